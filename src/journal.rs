//! `gloaming journal`: the story of an attempt, and whether it is whole.

use std::path::Path;
use std::process::ExitCode;

use gloaming_api::bowout::shorten;
use gloaming_api::journal::{ChainError, Event, EventKind, parse};
use gloaming_api::path::escape_name;
use gloaming_api::tool::CallRecord;
use serde_json::json;

use crate::cli::{JournalArgs, JournalCommand};
use crate::context;
use crate::failure::{Failure, exit};
use crate::told::print_json;

pub(crate) fn main(args: JournalArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        JournalCommand::Show { file, json } => {
            let events = read(&file)?;
            if json {
                print_json(&json!({"events": events}));
            } else {
                for event in &events {
                    let time = event.at.strftime("%H:%M:%S");
                    println!("{:>4}  {time}  {}", event.seq, tell(&event.kind));
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        JournalCommand::Undo(args) => crate::undo::main(&args),
        JournalCommand::Verify { file, json } => {
            let text = context::read_text(&file, "the journal", context::RECORD_CAP)?;
            match parse(&text) {
                Ok(events) => {
                    let head = &events.last().expect("a parsed journal is not empty").hash;
                    if json {
                        print_json(&json!({"ok": true, "events": events.len(), "head": head}));
                    } else {
                        println!("whole: {} events, head {head}", events.len());
                    }
                    Ok(ExitCode::SUCCESS)
                }
                Err(error) => {
                    if json {
                        print_json(&json!({"ok": false, "error": error.to_string()}));
                    } else {
                        println!("broken: {error}");
                    }
                    Ok(ExitCode::from(exit::BLOCK))
                }
            }
        }
    }
}

/// What rules that only warn would have denied.
fn warning(rules: &[&str]) -> String {
    let rules: std::collections::BTreeSet<&str> = rules.iter().copied().collect();
    match rules.len() {
        0 => String::new(),
        _ => format!(", would be denied by {}", rules.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

/// Reads a journal and checks its chain; a broken one is an error of use.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<Event>> {
    let text = context::read_text(file, "the journal", context::RECORD_CAP)?;
    parse(&text).map_err(|error: ChainError| {
        Failure::usage(format!("{} is not a whole journal: {error}", file.display()))
            .hint("`gloaming journal verify FILE` checks the chain; use a copy that was not changed")
            .into()
    })
}

fn tell(kind: &EventKind) -> String {
    let text = match kind {
        EventKind::AttemptStarted(started) => {
            format!(
                "task {} on {} at {}: {}",
                started.task,
                started.repo,
                short(&started.base),
                shorten(started.text.trim(), 100)
            )
        }
        EventKind::ServingStarted(started) => format!(
            "tools served from {} as {} over {}: {}",
            started.location,
            started.repo,
            started.transport,
            started.tools.join(", ")
        ),
        EventKind::ClientJoined { client, name, version, protocol } => {
            format!("client {client} is {name} {version}, protocol {protocol}")
        }
        EventKind::StageStarted { stage } => format!("{} …", stage.as_str()),
        EventKind::StageFinished { stage, detail, wall_ms, .. } => {
            format!("{} done in {:.1} s: {detail}", stage.as_str(), *wall_ms as f64 / 1e3)
        }
        EventKind::Looked { because, .. } => match because.as_slice() {
            [] => "nothing in the repository speaks against the task".to_owned(),
            lines => format!("before anybody is asked: {}", lines.join("; ")),
        },
        EventKind::Triaged { features, feasibility } => {
            let names: Vec<&str> = features.keys().map(String::as_str).collect();
            let against = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            format!(
                "feasible at {:.2} of {:.2} needed; against it: {against}",
                feasibility.score, feasibility.threshold
            )
        }
        EventKind::Reviewed { veto, findings } => {
            let told = if *veto { "the reviewer vetoes" } else { "the reviewer has no veto" };
            format!("{told}, {}", counted(findings.len(), "finding"))
        }
        EventKind::OriginChosen { origin, because } => format!("by {origin:?}: {because}"),
        EventKind::ModelCall { response, cost_usd, duration_ms, .. } => {
            let blocks = response["blocks"].as_array().map_or(0, Vec::len);
            format!(
                "model answered with {blocks} blocks in {:.1} s for ${cost_usd:.4}",
                *duration_ms as f64 / 1e3
            )
        }
        EventKind::ModelAsked { role, reserved_usd, summary, .. } => {
            let what = if *summary { " to sum up what was said" } else { "" };
            format!("the {} asks the model{what}, for ${reserved_usd:.4} at most", role.as_str())
        }
        EventKind::BudgetRefused { refusal } => format!(
            "the model is not asked: {} more does not fit into the day's {}",
            refusal.counted.amount(refusal.needed),
            refusal.counted.amount(refusal.cap)
        ),
        EventKind::Resumed { stage, dead, idle_ms } => format!(
            "gone on with in {}, {:.0} s later; {} before this count no more",
            stage.as_str(),
            *idle_ms as f64 / 1e3,
            counted(usize::try_from(*dead).unwrap_or(usize::MAX), "event")
        ),
        EventKind::ModelFailed { error, .. } => format!("model failed: {error}"),
        EventKind::ToolCall { id, args, outcome, record } => {
            let target = ["path", "pattern", "what"].iter().find_map(|key| args[*key].as_str()).unwrap_or("");
            let how = match &outcome.error {
                None => "ok".to_owned(),
                Some(error) => format!("{:?}: {}", error.code, shorten(&error.message, 80)),
            };
            let micros = record.duration_us.total;
            let warned: Vec<&str> = record.warnings.iter().map(|warning| warning.rule.as_str()).collect();
            format!(
                "{} {target}: {how} ({micros} µs), call {id}{}{}",
                record.tool,
                changed(record),
                warning(&warned)
            )
        }
        EventKind::Undone(undone) => {
            let calls: Vec<String> = undone.calls.iter().map(u64::to_string).collect();
            format!(
                "undone: {} of the journal that begins with {}, {} in {}",
                calls.join(", "),
                short(undone.journal.hex()),
                counted(undone.files.len(), "file"),
                undone.location
            )
        }
        EventKind::Job { label, record } => {
            let warned: Vec<&str> = record.warnings.iter().map(String::as_str).collect();
            format!(
                "job {label}: {} — {} in {:.1} s{}",
                shorten(&record.argv.join(" "), 80),
                record.exit,
                record.duration_ms as f64 / 1e3,
                warning(&warned)
            )
        }
        EventKind::Frozen { patch, files, .. } => {
            format!("frozen: {} files, {}", files.len(), short(patch.hex()))
        }
        EventKind::Verified { round, .. } => format!("evidence of try {round}"),
        EventKind::Judged { verdict } => {
            format!("verdict {:?} ({}): {}", verdict.verdict, verdict.code, verdict.summary)
        }
        EventKind::FindingsTold { round, .. } => {
            format!("the findings of try {round} went back to the model")
        }
        EventKind::Published { branch, commit, .. } => format!("branch {branch} at {}", short(commit)),
        EventKind::BowedOut { bow_out } => {
            format!("bowed out: {} — {}", bow_out.reason_code.as_str(), bow_out.summary)
        }
        EventKind::Failed { error } => format!("failed: {error}"),
        EventKind::Cancelled => "cancelled".to_owned(),
        EventKind::ServingEnded { clients, calls } => {
            format!("stopped serving: {calls} calls by {clients} clients")
        }
    };
    escape_name(text.as_bytes())
}

/// What a call changed, and whether it can be undone.
fn changed(record: &CallRecord) -> String {
    let Some(undo) = &record.undo else { return String::new() };
    let mut text = format!(", changed {}", counted(undo.files.len(), "file"));
    if !undo.folders.is_empty() {
        text.push_str(&format!(" and {}", counted(undo.folders.len(), "folder")));
    }
    if let Some(why) = &undo.impossible {
        text.push_str(&format!(", cannot be undone: {why}"));
    }
    text
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
