//! `gloaming journal undo`: what a call changed is put back, where nothing else was changed there since.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gloaming_api::journal::{Event, EventKind, PolicyLayerText, Undone};
use gloaming_api::path::escape_name;
use gloaming_api::tool::{CallRecord, FileChange, ToolErrorCode, UndoRecord};
use gloaming_api::{RelPath, RepoId};
use gloaming_policies::{Grant, ToolPermit};
use gloaming_sandbox::{CallToUndo, Disturbed, Files, UndoError};
use gloaming_worker::Journal;
use serde_json::json;

use crate::cli::{PolicyChoice, UndoArgs};
use crate::context::{self, Home};
use crate::failure::Failure;
use crate::told::print_json;

pub(crate) fn main(args: &UndoArgs) -> anyhow::Result<ExitCode> {
    let events = crate::journal::read(&args.file)?;
    let home = Home::open()?;
    let session = Session::of(&events, args, &home)?;
    let calls = chosen(&events, args)?;
    let grant = session.grant(args, &home)?;
    let mut permits: Vec<ToolPermit> = Vec::new();
    for call in &calls {
        permits.push(grant.permit_tool(&call.record.tool).map_err(|denial| {
            let rule = denial.rule.id.clone();
            let error = denial.of_tool(&call.record.tool);
            let failure = Failure::denied(format!("{} (rule {rule})", error.message));
            error.instead.into_iter().fold(failure, Failure::hint)
        })?);
    }
    // One at a time, and nothing is done that could not be recorded.
    let beside = record_file(&args.file)?;
    let journal = if args.dry_run {
        None
    } else {
        let begun = Journal::resume(&beside);
        Some(begun.map_err(|error| {
            let damaged = error.kind() == std::io::ErrorKind::InvalidData;
            let failure = Failure::disk(&format!("write {}", beside.display()), error);
            if damaged { failure.hint("it is not a whole journal: move it away") } else { failure }
        })?)
    };
    let folder = &session.folder;
    let files = Files::open(folder)
        .map_err(|error| Failure::usage(format!("cannot open the folder {}: {error}", folder.display())))?
        .with_images(&session.images)
        .map_err(|error| {
            Failure::infrastructure(&format!("open the folder {}", session.images.display()), error)
        })?;
    let records = calls.iter().zip(&permits).map(|(call, permit)| CallToUndo { permit, record: call.undo });
    let records: Vec<CallToUndo<'_>> = records.collect();
    let refused = |error| refusal(error, &events, &calls);
    let plan = files.plan_undo(&records).map_err(refused)?;
    if plan.is_done_already() {
        return Ok(tell("already", &calls, plan.record(), None, args.json));
    }
    let Some(mut journal) = journal else {
        return Ok(tell("would_undo", &calls, plan.record(), None, args.json));
    };
    let done = files.undo(&permits[0], plan).map_err(refused)?;
    journal
        .append(EventKind::Undone(Box::new(Undone {
            format: 1,
            program: format!("gloaming {}", env!("CARGO_PKG_VERSION")),
            journal: events[0].hash.clone(),
            calls: calls.iter().rev().map(|call| call.number).collect(),
            location: folder.display().to_string(),
            grant: grant.digest().clone(),
            files: done.files.clone(),
            folders: done.folders.clone(),
        })))
        .map_err(|error| {
            Failure::disk(&format!("record it in {}; it is undone", beside.display()), error.into())
        })?;
    Ok(tell("undone", &calls, &done, Some(&beside), args.json))
}

/// Where the calls of a journal were made, by its first event.
struct Session<'a> {
    repo: &'a RepoId,
    policy: &'a [PolicyLayerText],
    folder: PathBuf,
    images: PathBuf,
    /// Whether the folder is a user's own, whose repository may have another policy by now.
    own_folder: bool,
}

impl<'a> Session<'a> {
    fn of(events: &'a [Event], args: &UndoArgs, home: &Home) -> anyhow::Result<Self> {
        let first = &events[0];
        let (session, gone) = match &first.kind {
            EventKind::ServingStarted(started) => {
                let folder = args.repo.clone().unwrap_or_else(|| PathBuf::from(&started.location));
                let session = Session {
                    repo: &started.repo,
                    policy: &started.policy,
                    folder: std::path::absolute(folder)?,
                    images: home.undo_dir(&first.hash),
                    own_folder: true,
                };
                let gone = "nothing is kept any more of what the calls of this journal replaced";
                (
                    session,
                    Failure::blocked(gone).hint("it is kept for seven days after a session's last change"),
                )
            }
            EventKind::AttemptStarted(started) => {
                if args.repo.is_some() {
                    return Err(Failure::usage("--repo is for journals of `gloaming mcp`")
                        .hint("an attempt's calls are undone in the attempt's own workspace")
                        .into());
                }
                let (folder, images) = home.attempt_dirs(&started.task, &first.hash);
                let (repo, policy) = (&started.repo, started.policy.as_slice());
                let gone =
                    Failure::blocked(format!("the attempt {} has no workspace any more", started.task));
                let session = Session { repo, policy, folder, images, own_folder: false };
                (session, gone.hint("an attempt's calls can be undone until it ends"))
            }
            _ => {
                let message = "the journal begins with neither an attempt nor a server of tools";
                return Err(Failure::usage(message).into());
            }
        };
        if session.images.is_dir() { Ok(session) } else { Err(gone.into()) }
    }

    /// Returns what the tools were allowed, narrowed by the policies that are there now.
    fn grant(&self, args: &UndoArgs, home: &Home) -> anyhow::Result<Grant> {
        let choice =
            PolicyChoice { policy: args.policy.clone(), name: Some(self.repo.clone()), sent: Vec::new() };
        let now = if self.own_folder {
            crate::mcp::policy(&choice, self.repo, &self.folder, home)?
        } else {
            context::resolve_policy(&choice, self.repo, None)?
        };
        let now = now.map_err(|diagnostics| context::bad_policy(&diagnostics))?.layers;
        let mut layers = self.policy.to_vec();
        for mut layer in now {
            if layers.iter().any(|known| known.text == layer.text && known.layer == layer.layer) {
                continue;
            }
            // A second file of the operator's could also widen the first.
            if layer.layer == "operator" {
                layer.layer = "task".into();
            }
            layers.push(layer);
        }
        Grant::of_layers(self.repo, &layers).map_err(|diagnostics| context::bad_policy(&diagnostics))
    }
}

/// A call that changed something.
struct Call<'a> {
    number: u64,
    id: &'a str,
    record: &'a CallRecord,
    undo: &'a UndoRecord,
}

impl Call<'_> {
    fn name(&self) -> String {
        format!("call {} ({}, {})", self.number, escape_name(self.id.as_bytes()), self.record.tool)
    }
}

fn changing(events: &[Event]) -> impl Iterator<Item = Call<'_>> {
    events.iter().filter_map(|event| match &event.kind {
        EventKind::ToolCall { id, record, .. } => {
            Some(Call { number: event.seq, id, record, undo: record.undo.as_ref()? })
        }
        _ => None,
    })
}

/// Returns the calls that are to be undone, in the order in which they were made.
fn chosen<'a>(events: &'a [Event], args: &UndoArgs) -> anyhow::Result<Vec<Call<'a>>> {
    let named = args.call.as_deref().or(args.since.as_deref()).unwrap_or_default();
    let number = find(events, named)?;
    let calls: Vec<Call<'_>> = if args.since.is_some() {
        changing(events).filter(|call| call.number >= number).collect()
    } else {
        changing(events).filter(|call| call.number == number).collect()
    };
    if calls.is_empty() {
        let what = if args.since.is_some() { "neither it nor a call after it" } else { "it" };
        return Err(Failure::usage(format!(
            "there is nothing to undo of call {named}: {what} changed anything"
        ))
        .hint("`gloaming journal show FILE` says what each call changed")
        .into());
    }
    Ok(calls)
}

/// Finds a call by its event's number or by its id.
fn find(events: &[Event], named: &str) -> anyhow::Result<u64> {
    let hint = "`gloaming journal show FILE` begins each call with its number and ends it with its id";
    // Digits alone are always a number: some models' servers count their calls in the same way.
    let found: Vec<u64> = match named.parse::<u64>() {
        Ok(number) if named.bytes().all(|byte| byte.is_ascii_digit()) => {
            let is_call =
                |event: &&Event| event.seq == number && matches!(event.kind, EventKind::ToolCall { .. });
            events.iter().find(is_call).map(|event| event.seq).into_iter().collect()
        }
        _ => {
            let is_it = |event: &&Event| matches!(&event.kind, EventKind::ToolCall { id, .. } if id == named);
            events.iter().filter(is_it).map(|event| event.seq).collect()
        }
    };
    match found.as_slice() {
        [number] => Ok(*number),
        [] => Err(Failure::usage(format!("there is no call {named} in the journal")).hint(hint).into()),
        several => {
            let numbers: Vec<String> = several.iter().map(u64::to_string).collect();
            let message = format!("several calls have the id {named}: {}", numbers.join(", "));
            Err(Failure::usage(message).hint("name the one that is meant by its number").into())
        }
    }
}

/// Returns the journal in which it is recorded that calls were undone: their own may be in use.
fn record_file(journal: &Path) -> anyhow::Result<PathBuf> {
    let Some(stem) = journal.file_stem().filter(|_| journal != Path::new("-")) else {
        return Err(Failure::usage("the journal must be a file: what is undone is recorded beside it").into());
    };
    let mut name = stem.to_owned();
    name.push(".undone.jsonl");
    Ok(journal.with_file_name(name))
}

fn refusal(error: UndoError, events: &[Event], calls: &[Call<'_>]) -> anyhow::Error {
    let failure = match error {
        UndoError::Impossible { call, why } => {
            Failure::blocked(format!("{} cannot be undone: {why}", calls[call].name()))
        }
        UndoError::Denied(error) => {
            let rule = error.rule.map(|rule| format!(" (rule {rule})")).unwrap_or_default();
            let failure = Failure::denied(format!("{}{rule}", error.message));
            error.instead.into_iter().fold(failure, Failure::hint)
        }
        UndoError::Changed(disturbed) => changed_since(&disturbed, events, calls),
        UndoError::Between { path, earlier, later } => Failure::blocked(format!(
            "{} was changed between {} and {}, by something that is not in the journal",
            shown(&path),
            calls[earlier].name(),
            calls[later].name()
        ))
        .hint("undo the later call alone, and see what was there before it"),
        error @ UndoError::Image { .. } => Failure::blocked(error.to_string()),
        error @ UndoError::TooLarge => {
            Failure::blocked(error.to_string()).hint("undo the calls one by one, the last first")
        }
        UndoError::Failed(error) if error.code == ToolErrorCode::Internal => {
            Failure::infrastructure("undo it", anyhow::anyhow!(error.message))
        }
        UndoError::Failed(error) => Failure::blocked(error.message),
    };
    failure.into()
}

/// Says who changed what is not as the calls left it.
fn changed_since(disturbed: &[Disturbed], events: &[Event], calls: &[Call<'_>]) -> Failure {
    let last = calls.last().map_or(0, |call| call.number);
    let mut later: Vec<u64> = Vec::new();
    let mut lines = Vec::new();
    for path in disturbed {
        let touched = |call: &Call<'_>| call.undo.files.iter().any(|change| change.path == path.path);
        let left_so = |call: &Call<'_>| {
            call.undo.files.iter().any(|change| change.path == path.path && change.after == path.now)
        };
        let since: Vec<Call<'_>> =
            changing(events).filter(|call| call.number > last && touched(call)).collect();
        later.extend(since.iter().map(|call| call.number));
        let by = match since.iter().rev().find(|call| left_so(call)) {
            Some(call) => format!("by {}", call.name()),
            None => "by no call of this journal".to_owned(),
        };
        lines.push(format!("{}: {by}", path.how));
    }
    let failure = Failure::blocked(format!("nothing was undone\n  {}", lines.join("\n  ")));
    match (later.iter().max(), calls) {
        (Some(number), [only]) => {
            let since = only.number;
            failure.hint(format!("undo call {number} first, or all of them with `--since {since}`"))
        }
        (Some(number), _) => failure.hint(format!("undo call {number} first")),
        (None, _) => {
            failure.hint("put what is there now somewhere else, if it is wanted, and look what to keep of it")
        }
    }
}

fn tell(outcome: &str, calls: &[Call<'_>], done: &UndoRecord, record: Option<&Path>, json: bool) -> ExitCode {
    if json {
        let calls = calls.iter().rev();
        let calls = calls.map(|call| json!({"number": call.number, "id": call.id, "tool": call.record.tool}));
        print_json(&json!({
            "outcome": outcome,
            "calls": calls.collect::<Vec<_>>(),
            "files": done.files,
            "folders": done.folders,
            "record": record,
        }));
        return ExitCode::SUCCESS;
    }
    let names = calls.iter().rev().map(Call::name).collect::<Vec<_>>().join(", ");
    match outcome {
        "already" => println!("undone already: everything is as it was before {names}"),
        "would_undo" => println!("would undo {names}:"),
        _ => println!("undid {names}:"),
    }
    for FileChange { path, before, after } in &done.files {
        let what = match (before, after) {
            (None, _) => "brought back",
            (_, None) => "removed",
            _ => "put back",
        };
        println!("  {what} {}", shown(path));
    }
    for folder in &done.folders {
        let what = if folder.after.is_some() { "made again" } else { "removed" };
        println!("  {what} {}/", shown(&folder.path));
    }
    ExitCode::SUCCESS
}

fn shown(path: &RelPath) -> String {
    escape_name(path.as_str().as_bytes())
}
