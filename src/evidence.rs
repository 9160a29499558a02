//! `gloaming evidence`: reads sealed evidence, and checks who sealed it and that nothing was changed since.
#![cfg_attr(not(feature = "worker"), expect(dead_code, reason = "attempts and patches are the worker's"))]

use std::path::Path;
use std::process::ExitCode;

use gloaming_api::evidence::{Evidence, Origin, StepResult, TestResults, TestStatus, Verdict, VerdictKind};
use gloaming_api::path::escape_name;
use gloaming_gate::Gate;
use gloaming_gate::envelope::{self, EnvelopeError, Opened, key_id};
use gloaming_gate::weights::built_in;
use serde_json::json;

use crate::cli::{EvidenceArgs, EvidenceCommand};
use crate::context::{self, Home};
use crate::failure::{Failure, exit, in_one_line};
use crate::keys;
use crate::told::print_json;

pub(crate) fn main(args: EvidenceArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        EvidenceCommand::Show { file, key, json } => show(&file, key.as_deref(), json),
        EvidenceCommand::Verify { file, key, json } => verify(&file, key.as_deref(), json),
    }
}

/// Seals evidence with the operator's key, as the gate decides on it.
pub(crate) fn seal(
    home: &Home,
    evidence: &Evidence,
    verdict: &Verdict,
    gate: &Gate,
) -> anyhow::Result<Vec<u8>> {
    let key = keys::signing_key(home)?;
    envelope::seal(evidence, verdict, &gate.weights, gate.costs, &key)
        .map_err(|error| Failure::infrastructure("seal the evidence", error).into())
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    context::read_bytes(file, "the evidence", envelope::MOST_BYTES as u64)
}

fn verify(file: &Path, key: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let sealed = read(file)?;
    let key = match key {
        Some(path) => keys::read_public(path)?,
        None => keys::own_public(&Home::open()?)?.ok_or_else(|| {
            Failure::usage("there is no key on this machine to check it by")
                .hint("give the public key of whoever sealed it with --key FILE")
        })?,
    };
    match envelope::open(&sealed, &key) {
        Ok(opened) => {
            if json {
                print_json(&json!({
                    "ok": true, "key": opened.key_id, "verdict": opened.verdict.verdict, "code": opened.verdict.code,
                    "repo": opened.evidence.repo, "base": opened.evidence.base, "tree": opened.evidence.tree,
                    "patch": opened.evidence.patch, "weights": opened.weights.digest(),
                    "built_in_weights": opened.weights == *built_in(), "cost_ratio": f64::from(opened.costs),
                }));
            } else {
                println!("genuine: sealed with the key {}", opened.key_id);
                print!("{}", about(&opened));
            }
            Ok(ExitCode::from(exit::OK))
        }
        Err(error) => {
            let said = in_one_line(&anyhow::Error::from(error));
            if json {
                print_json(&json!({"ok": false, "error": said}));
            } else {
                println!("refused: {}", escape_name(said.as_bytes()));
            }
            Ok(ExitCode::from(exit::BLOCK))
        }
    }
}

fn show(file: &Path, key: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let sealed = read(file)?;
    let refused = |error: EnvelopeError| {
        let said = in_one_line(&anyhow::Error::from(error));
        Failure::usage(format!("{} is refused: {said}", file.display()))
    };
    let opened = match key {
        Some(path) => envelope::open(&sealed, &keys::read_public(path)?).map_err(refused)?,
        None => {
            let opened = envelope::open_unverified(&sealed).map_err(refused)?;
            match keys::own_public(&Home::open()?)? {
                Some(own) if key_id(&own) == opened.key_id => {
                    envelope::open(&sealed, &own).map_err(refused)?
                }
                _ => opened,
            }
        }
    };
    if json {
        print_json(&json!({
            "authentic": opened.authentic, "key": opened.key_id, "version": opened.version,
            "cost_ratio": f64::from(opened.costs), "weights": opened.weights, "evidence": opened.evidence,
            "verdict": opened.verdict,
        }));
    } else {
        print!("{}", tell(&opened));
    }
    Ok(ExitCode::from(exit::OK))
}

/// What it is about, in a few lines.
fn about(opened: &Opened) -> String {
    let Opened { evidence, verdict, weights, .. } = opened;
    let word = match verdict.verdict {
        VerdictKind::Pass => "pass",
        VerdictKind::Block => "block",
        VerdictKind::BowOut => "bow out",
    };
    let by = match &evidence.origin {
        Origin::Model(name) => format!("the model {name}"),
        Origin::Playbook(name) => format!("the playbook {name}"),
        Origin::External => "somebody else".to_owned(),
    };
    let whose = if weights == built_in() { "this build's" } else { "not this build's" };
    let fields = [
        ("verdict", format!("{word} ({}): {}", verdict.code, verdict.summary)),
        ("repo", format!("{} at {}", evidence.repo, evidence.base)),
        ("patch", format!("{} by {by}", evidence.patch)),
        ("tree", evidence.tree.clone().unwrap_or_else(|| "none: it does not apply".to_owned())),
        ("weights", format!("{}, {whose}, ratio of costs {}", weights.digest(), f64::from(opened.costs))),
    ];
    fields.iter().map(|(name, text)| format!("  {name:<8} {}\n", safe(text))).collect()
}

/// Everything a reviewer would ask for.
fn tell(opened: &Opened) -> String {
    let Opened { evidence, verdict, .. } = opened;
    let checked = if opened.authentic {
        "signature checked"
    } else {
        "signature NOT checked: give its public key with --key"
    };
    let mut text = format!("sealed with the key {}; {checked}\n{}", safe(&opened.key_id), about(opened));
    let environment = evidence.environment.as_ref().map_or("no job ran", |digest| digest.as_str());
    text.push_str(&format!("  {:<8} {}\n  {:<8} {environment}\n", "grant", evidence.grant, "jobs in"));
    if let (Some(head), Some(length)) = (&evidence.journal_head, evidence.journal_length) {
        text.push_str(&format!("  {:<8} {length} events, head {head}\n", "journal"));
    }
    if let Some(asked) = &evidence.asked {
        text.push_str(&format!("  {:<8} {}\n", "asked", safe(&asked.title)));
    }

    text.push_str("\nsteps\n");
    for step in &verdict.steps {
        let result = match step.result {
            StepResult::Pass => "pass",
            StepResult::Fail => "FAIL",
            StepResult::Unknown => "unknown",
            StepResult::Skipped => "skipped",
        };
        text.push_str(&format!("  {:<4} {result:<8} {}\n", safe(&step.step), safe(&step.detail)));
    }
    section(
        &mut text,
        "commands",
        evidence.jobs.iter().map(|job| {
            let took = job.record.duration_ms as f64 / 1e3;
            let argv = job.record.command.as_ref().unwrap_or(&job.record.argv).join(" ");
            let cached =
                job.record.cached.as_ref().map(|run| format!(", kept since {}", run.at)).unwrap_or_default();
            format!("{} {} ({}, {took:.1} s{cached}) {argv}", job.step, job.tree, job.record.exit)
        }),
    );
    text.push_str(&format!(
        "\ntests\n  {} on the base, {} with the patch\n",
        counted(&evidence.baseline_tests),
        counted(&evidence.patched_tests)
    ));
    section(&mut text, "fail without the patch, pass with it", evidence.told_fail_to_pass().into_iter());
    let known =
        evidence.flakes.iter().map(|flake| flake.id.as_str()).collect::<std::collections::BTreeSet<_>>();
    let flakes = evidence.flakes.iter().map(|flake| {
        let runs = |runs: &gloaming_api::evidence::Runs| {
            format!("{} of {}", runs.passed, sum([runs.passed, runs.failed, runs.absent]))
        };
        format!(
            "{} passed {} on the base, {} with the patch",
            flake.id,
            runs(&flake.base),
            runs(&flake.patched)
        )
    });
    let bare = evidence.flaky.iter().filter(|id| !known.contains(id.as_str())).cloned();
    section(&mut text, "flaky", flakes.chain(bare));
    section(
        &mut text,
        "new findings",
        evidence.findings.iter().map(|found| {
            format!("{}:{}: {} ({} {})", found.path, found.line, found.message, found.tool, found.rule)
        }),
    );
    section(
        &mut text,
        "signals",
        evidence
            .signals
            .iter()
            .map(|signal| format!("{}:{}: {}: {}", signal.path, signal.line, signal.name, signal.detail)),
    );
    section(
        &mut text,
        "changed lines that tests run",
        evidence.coverage.iter().map(|lines| {
            format!("{} of {} ({})", lines.covered, sum([lines.covered, lines.uncovered]), lines.tool)
        }),
    );
    section(
        &mut text,
        "mutants of the changed lines",
        evidence.mutants.iter().flat_map(|mutants| {
            let all = sum([mutants.killed, mutants.survived, mutants.timed_out]);
            let survivors = mutants.survivors.iter().map(|mutant| {
                format!("survived: {}:{}: {}: {}", mutant.path, mutant.line, mutant.operator, mutant.detail)
            });
            let own = mutants.own.iter().flat_map(|own| {
                let judged = sum([own.noticed, own.missed]);
                let first = format!("{} of {judged} noticed by the patch's own tests alone", own.noticed);
                std::iter::once(first).chain(own.by.iter().map(|id| format!("noticed by: {id}")))
            });
            std::iter::once(format!("{} of {all} survived", mutants.survived)).chain(survivors).chain(own)
        }),
    );
    section(&mut text, "what moved the score", verdict.reasons.iter().cloned());
    text
}

/// Adds a heading and its lines, unless there are none.
fn section(text: &mut String, heading: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        text.push_str(&format!("\n{heading}\n"));
    }
    for line in lines {
        text.push_str(&format!("  {}\n", safe(&line)));
    }
}

/// Adds counts that anybody may have written.
fn sum<const N: usize>(counts: [u32; N]) -> u64 {
    counts.into_iter().map(u64::from).sum()
}

fn counted(tests: &TestResults) -> String {
    let of = |wanted: TestStatus| tests.values().filter(|status| **status == wanted).count();
    let parts = [
        (of(TestStatus::Passed), "passed"),
        (of(TestStatus::Failed), "failed"),
        (of(TestStatus::Skipped), "skipped"),
        (of(TestStatus::ExpectedFailure), "failed as marked"),
    ];
    let shown: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

/// Words of a repository, a model or a file of unknown origin, made safe for a terminal.
fn safe(text: &str) -> String {
    escape_name(text.as_bytes())
}
