//! A lockfile made anew: by its package manager, as a set-up job on a copy of the workspace, with the hosts that policy
//! lets set-up jobs reach; and put in its place by the system, as far as policy lets that.
//!
//! What comes back of the job is one file's content and nothing else. No tool has this right, and no model can ask for it.

use std::collections::BTreeMap;
use std::time::Instant;

use gloaming_api::job::{JobPurpose, JobRecord};
use gloaming_api::profile::{Command, CommandKind, Source};
use gloaming_api::tool::{CallDuration, CallRecord, Decided, ToolError, ToolErrorCode, ToolOutcome};
use gloaming_api::{Digest, RelPath};
use gloaming_jobs::JobError;
use gloaming_policies::MANAGER;
use gloaming_sandbox::Files;
use serde_json::json;

use crate::blueprint::Run;
use crate::check::{Bench, on_copy, render};
use crate::code::{for_jobs, host_record, record_call, recorded_job};
use crate::end::{End, WorkerError};
use crate::fix::looked_at;
use crate::provision;

/// Other changed files that are named.
const NAMED: usize = 20;

/// Has a lockfile made anew, records the job as a call is, and returns what was made of it.
pub(crate) async fn make(
    run: &mut Run<'_>,
    bench: &provision::Bench,
    id: &str,
    argv: Vec<String>,
    path: &str,
) -> Result<ToolOutcome, End> {
    let (name, args) = ("lock", json!({"argv": argv, "path": path}));
    if run.journal.recorded().map_err(WorkerError::from)?.is_some() {
        return recorded_job(run, id, name, &args);
    }
    let since = Instant::now();
    let files = run.equipment.repository.list_files(&run.assignment.base)?;
    let paths = files.into_iter().filter_map(|file| file.path).collect();
    let (outcome, job) = call(&for_jobs(run, bench), &bench.files, paths, argv, path).await?;
    let decided = match outcome.error.as_ref().map(|error| error.code) {
        Some(ToolErrorCode::Denied) => Decided::Deny,
        _ => Decided::Allow,
    };
    let record = host_record(run, name, &args, decided, since.elapsed().as_micros());
    record_call(run, id, args, outcome, record, job)
}

/// Puts a lockfile in its place, and records that as a call is. It is done again by a replay, to the same bytes.
pub(crate) fn place(
    run: &mut Run<'_>,
    bench: &provision::Bench,
    id: &str,
    path: &str,
    content: String,
) -> Result<ToolOutcome, End> {
    let since = Instant::now();
    let args = json!({"path": path, "content": Digest::of(&content)});
    let (outcome, record) = match (RelPath::parse(path), run.equipment.grant.permit_lockfiles()) {
        (Ok(path), Ok(permit)) => bench.files.write(&permit, &path, content.into_bytes()),
        (Err(error), _) => {
            let error = ToolError::new(ToolErrorCode::InvalidInput, error.to_string());
            (ToolOutcome::error(error), host_record(run, MANAGER, &args, Decided::Allow, 0))
        }
        (_, Err(denial)) => {
            (ToolOutcome::error(denial.of_tool(MANAGER)), host_record(run, MANAGER, &args, Decided::Deny, 0))
        }
    };
    let total = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
    let record = CallRecord {
        args_digest: Digest::of_value(&args),
        duration_us: CallDuration { total, ..CallDuration::default() },
        ..record
    };
    record_call(run, id, args, outcome, record, None)
}

async fn call(
    bench: &Bench<'_>,
    files: &Files,
    paths: Vec<RelPath>,
    argv: Vec<String>,
    path: &str,
) -> Result<(ToolOutcome, Option<JobRecord>), JobError> {
    let refuse = |error: ToolError| Ok((ToolOutcome::error(error), None));
    let path = match RelPath::parse(path) {
        Ok(path) => path,
        Err(error) => return refuse(ToolError::new(ToolErrorCode::InvalidInput, error.to_string())),
    };
    let read = match bench.grant.permit_tool("read") {
        Ok(permit) => permit,
        Err(denial) => return refuse(denial.of_tool("read")),
    };
    let command = Command {
        kind: CommandKind::Install,
        argv: argv.clone(),
        cwd: path.parent().unwrap_or_else(RelPath::root),
        env: BTreeMap::new(),
        runner: None,
        source: Source { file: path.clone(), line: 1, because: "a playbook makes it anew".to_owned() },
        proof: None,
    };
    let label = format!("lock {}", argv.first().map_or("", String::as_str));
    let job = match on_copy(bench, &command, argv.clone(), JobPurpose::Setup, label).await? {
        Ok(job) => job,
        Err(error) => return refuse(error),
    };
    let (files, redactor, tree) = (files.clone(), job.output.redactor.clone(), job.tree.clone());
    let compared = tokio::task::spawn_blocking(move || {
        // What a job leaves is anybody's work: it is read without following a link, within its own folder.
        let made = Files::open(&tree)?;
        let (mut content, mut others) = (Ok(None), Vec::new());
        for one in paths {
            let Ok(Some(before)) = files.read(&read, &one) else { continue };
            let after = made.read(&read, &one);
            if matches!(&after, Ok(Some(after)) if *after == before) {
                continue;
            }
            if one != path {
                others.push(one.to_string());
                continue;
            }
            content = match after {
                Ok(Some(after)) if redactor.bytes(&after) != after => {
                    Err("what was made of it holds a secret")
                }
                Ok(Some(after)) => {
                    String::from_utf8(after).map(Some).map_err(|_| "what was made of it is not UTF-8")
                }
                Ok(None) => Err("it was removed"),
                Err(_) => Err("what was made of it is no plain file, or larger than 8 MiB"),
            };
        }
        others.truncate(NAMED);
        Ok::<_, gloaming_sandbox::SandboxError>((content, others))
    })
    .await;
    let (content, others) = match looked_at(compared) {
        Ok((Ok(content), others)) => (content, others),
        Ok((Err(why), _)) => {
            let error =
                ToolError::new(ToolErrorCode::InvalidInput, format!("the lockfile is not taken: {why}"));
            return Ok((ToolOutcome::error(error), Some(job.output.record)));
        }
        Err(error) => return refuse(error),
    };
    let record = job.output.record;
    let outcome = ToolOutcome::ok(json!({
        "command": argv.join(" "),
        "text": render(&record, &job.output.stdout, &job.output.stderr),
        "exit": record.exit.code(),
        "ended": record.exit.to_string(),
        "network": job.reaches,
        "content": content,
        "others": others,
    }));
    Ok((outcome, Some(record)))
}
