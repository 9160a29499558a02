//! `gloaming replay`: an attempt run again, without a model, to the same patch and verdict.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use gloaming_api::Digest;
use gloaming_api::evidence::{Verdict, VerdictKind};
use gloaming_api::journal::{AttemptStarted, Event, EventKind};
use gloaming_jobs::{BoxFuture, Cancel, Capabilities, Engine, Facts, Job, JobError, JobOutput, NoEngine};
use gloaming_model::{Model, Replay};
use gloaming_policies::JobPermit;
use gloaming_worker::{Equipment, Journal, Outcome, Update, WorkerError, told};
use gloaming_workspace::{CommitId, Repository};
use serde_json::json;

use crate::attempt::{BASE, assignment};
use crate::cli::{PolicyChoice, ReplayArgs, WeightsOf};
use crate::console::Console;
use crate::context::{self, Home};
use crate::failure::{Failure, exit, unless_cancelled};
use crate::run::{cancel_on_signal, repo_failure};
use crate::told::print_json;

/// What two runs of one attempt must have in common.
#[derive(Debug, PartialEq, serde::Serialize)]
struct Ending {
    outcome: &'static str,
    patch: Option<Digest>,
    verdict: Option<(VerdictKind, String)>,
    reason_code: Option<&'static str>,
}

pub(crate) async fn main(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    if !args.swap.is_empty() {
        return crate::swap::main(&args);
    }
    let console = Console::new();
    let cancel = Cancel::new();
    let ended = replay(&args, &console, &cancel).await;
    console.close();
    ended.map_err(|error| unless_cancelled(error, &cancel, "cancelled; nothing was compared"))
}

async fn replay(args: &ReplayArgs, console: &Console, cancel: &Cancel) -> anyhow::Result<ExitCode> {
    let events = crate::journal::read(&args.file)?;
    let Some(EventKind::AttemptStarted(started)) = events.first().map(|event| &event.kind) else {
        return Err(Failure::usage("the journal does not begin with an attempt").into());
    };
    let recorded = ending(&events).ok_or_else(|| {
        Failure::usage("the journal has no end that could be compared")
            .hint("an attempt that was cancelled or failed has no result to arrive at")
    })?;
    let home = Home::open()?;
    let work = home.work_dir(&format!("replay-{}", gloaming_api::TaskId::generate()))?;
    cancel_on_signal(cancel);
    let artifacts = args.file.with_file_name(gloaming_worker::ARTIFACTS);
    let (repository, base) = base_of(args, started, &artifacts, work.path())?;
    let refused = refused(started, &repository, &base)?;
    let grant = gloaming_policies::Grant::of_layers(&started.repo, &started.policy)
        .map_err(|d| context::bad_policy(&d))?;
    let sandbox = context::sandbox(&home, &grant)?;
    let grant = grant.with_tools(started.components.clone());
    if *grant.digest() != started.grant {
        console.show(Update::Note(
            "the grant differs from the record: this version resolves the policy otherwise".into(),
        ));
    }
    let gate = crate::gate::recorded(started.weights.as_ref(), &grant)?;
    let assignment = assignment(started, base);
    let disk = |error| Failure::disk(&format!("write to {}", work.path().display()), error);
    let equipment = Equipment {
        repository,
        sandbox,
        // What was learned is in the record.
        learn: Box::new(|_| Err(Vec::new())),
        grant,
        engine: Ok(Arc::new(NoJobs)),
        environment: Digest::zero(),
        supplies: None,
        model: started.model.as_deref().map(|spec| Arc::new(Replay::of(spec)) as Arc<dyn Model>),
        team: crate::team::of(
            &started.team,
            started.team.values().flatten().next().map(|spec| Arc::new(Replay::of(spec)) as Arc<dyn Model>),
            WeightsOf::Tasks.recorded(started.triage.as_ref())?,
        ),
        judge: crate::gate::judging(&gate),
        ledger: None,
        advisories: None,
        baselines: None,
        work_dir: work.path().join(context::ATTEMPT),
        images: Some(work.undo_dir(&events[0].hash)),
        cancel: cancel.clone(),
    };
    std::fs::create_dir_all(&equipment.work_dir).map_err(disk)?;
    let path = work.path().join("journal.jsonl");
    let mut journal = Journal::replaying(&path, events.clone(), &artifacts).map_err(disk)?;
    journal.keep_next().map_err(WorkerError::from)?;
    let shown = console.clone();
    let outcome = match refused {
        Some(bow_out) => journal
            .append(EventKind::BowedOut { bow_out: Box::new(bow_out.clone()) })
            .map(|()| Outcome::BowedOut(Box::new(bow_out), None))
            .map_err(WorkerError::from),
        None => {
            gloaming_worker::run(&assignment, &equipment, &mut journal, &move |update: Update| {
                shown.show(update)
            })
            .await
        }
    };
    console.close();
    let diverged = |why: String| {
        if args.json {
            print_json(&json!({"same": false, "diverged": why, "recorded": recorded}));
        } else {
            println!("diverged: {why}");
        }
        Ok(ExitCode::from(exit::BLOCK))
    };
    let patch = match outcome {
        Ok(Outcome::Verified(verified)) => Some(verified.patch.digest),
        Ok(Outcome::BowedOut(..)) => None,
        Ok(Outcome::Cancelled) => return Err(Failure::cancelled("cancelled").into()),
        Err(WorkerError::Diverged(why)) => return diverged(why),
        Err(error) => return Err(Failure::infrastructure("replay the attempt", error).into()),
    };
    // A replay publishes nothing: that this patch was published is the record's last word.
    if let Some(made) = patch {
        match journal.recorded().map_err(WorkerError::from)? {
            Some(EventKind::Published { patch, .. }) if *patch == made => {}
            Some(other) => return diverged(format!("the patch passes; recorded is {}", told(other))),
            None => return diverged("the patch passes, and the record has no end".to_owned()),
        }
        journal.keep_next().map_err(WorkerError::from)?;
    }
    if let Some(more) = journal.recorded().map_err(WorkerError::from)? {
        let more = told(more);
        return diverged(format!("the attempt has ended, and the record goes on with {more}"));
    }
    let replayed = crate::journal::read(&path)?;
    let head = journal.chain().head().clone();
    let same = head == events[events.len() - 1].hash;
    let ended = ending(&replayed);
    if args.json {
        print_json(
            &json!({"same": same, "recorded": recorded, "replayed": ended, "events": replayed.len(), "head": head}),
        );
    } else if same {
        println!("same: {}; {} events, head {}", words(&recorded), replayed.len(), &head.hex()[..12]);
    } else {
        println!("different: the last event's hash is {head}, recorded is {}", events[events.len() - 1].hash);
    }
    Ok(ExitCode::from(if same { exit::OK } else { exit::BLOCK }))
}

/// What an attempt ends with whose repository's own policy does not load: nothing was begun, and no grant was made.
fn refused(
    started: &AttemptStarted,
    repository: &Repository,
    base: &CommitId,
) -> anyhow::Result<Option<gloaming_api::BowOut>> {
    if started.grant != Digest::zero() {
        return Ok(None);
    }
    let choice = PolicyChoice { policy: None, name: None, sent: Vec::new() };
    let diagnostics =
        crate::run::policy_at(&choice, &started.repo, repository, base)?.err().unwrap_or_default();
    Ok(Some(gloaming_worker::invalid_repository_policy(&started.task, started.attempt, &diagnostics)))
}

/// Returns the base: of the repository that is named, else as it travels with the record, else of the repository that the
/// journal names.
fn base_of(
    args: &ReplayArgs,
    started: &AttemptStarted,
    artifacts: &Path,
    work: &Path,
) -> anyhow::Result<(Repository, CommitId)> {
    let state = work.join("git");
    let pack = artifacts.join(BASE);
    let repository = if args.repo.is_none() && pack.exists() {
        let bytes = context::read_bytes(&pack, "the base", context::RECORD_CAP)?;
        Repository::of_pack(bytes, &started.base, &work.join("base.git"), &state)
    } else {
        let path = args.repo.clone().unwrap_or_else(|| PathBuf::from(&started.location));
        Repository::open(&std::path::absolute(&path)?, &state)
    };
    let repository = repository.map_err(repo_failure)?;
    let base = repository.resolve(Some(&started.base)).map_err(repo_failure)?;
    Ok((repository, base))
}

/// A replay takes what jobs did from the record, and runs none.
struct NoJobs;

impl Engine for NoJobs {
    fn name(&self) -> &str {
        "replay"
    }

    fn run<'a>(
        &'a self,
        _: &'a JobPermit,
        job: &'a Job,
        _: &'a Cancel,
    ) -> BoxFuture<'a, Result<JobOutput, JobError>> {
        let reason = "a replay runs no jobs, and the record has nothing of this one".to_owned();
        Box::pin(async move { Err(JobError::Invalid { label: job.label.clone(), reason }) })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }

    fn probe(&self) -> BoxFuture<'_, Result<Facts, NoEngine>> {
        Box::pin(async { Err(NoEngine { reason: "a replay runs no jobs".to_owned(), hint: String::new() }) })
    }
}

fn words(ending: &Ending) -> String {
    let patch = ending
        .patch
        .as_ref()
        .map_or("no patch".to_owned(), |digest| format!("patch {}", &digest.hex()[..12]));
    let verdict =
        ending.verdict.as_ref().map_or("no verdict".to_owned(), |(_, code)| format!("verdict {code}"));
    let reason = ending.reason_code.map_or(String::new(), |code| format!(" ({code})"));
    format!("{}{reason}, {patch}, {verdict}", ending.outcome)
}

fn last_patch_and_verdict(events: &[Event]) -> (Option<Digest>, Option<(VerdictKind, String)>) {
    let patch = events.iter().rev().find_map(|event| match &event.kind {
        EventKind::Frozen { patch, .. } => Some(patch.clone()),
        _ => None,
    });
    let verdict = events.iter().rev().find_map(|event| match &event.kind {
        EventKind::Judged { verdict: Verdict { verdict, code, .. } } => Some((*verdict, code.clone())),
        _ => None,
    });
    (patch, verdict)
}

fn ending(events: &[Event]) -> Option<Ending> {
    let (patch, verdict) = last_patch_and_verdict(events);
    match &events.last()?.kind {
        EventKind::Published { .. } => Some(Ending { outcome: "branch", patch, verdict, reason_code: None }),
        EventKind::BowedOut { bow_out } => Some(Ending {
            outcome: "bow_out",
            patch,
            verdict,
            reason_code: Some(bow_out.reason_code.as_str()),
        }),
        _ => None,
    }
}
