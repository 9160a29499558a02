//! `gloaming replay`: an attempt run again, without a model, to the same patch and verdict.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use gloaming_api::Digest;
use gloaming_api::evidence::{Verdict, VerdictKind};
use gloaming_api::journal::{AttemptStarted, Event, EventKind};
use gloaming_jobs::Cancel;
use gloaming_model::{Model, ModelSpec, PriceTable, Replay};
use gloaming_worker::{Assignment, Equipment, Journal, Outcome, RecordedCheck, Update, WorkerError};
use gloaming_workspace::{CommitId, Repository};
use serde_json::json;

use crate::cli::ReplayArgs;
use crate::console::{Console, print_json};
use crate::context::{self, Home};
use crate::engine::JobLane;
use crate::failure::{Failure, exit, unless_cancelled};
use crate::known::Known;
use crate::run::{cancel_on_signal, repo_failure};

/// What two runs of one attempt must have in common.
#[derive(Debug, PartialEq, serde::Serialize)]
struct Ending {
    outcome: &'static str,
    patch: Option<Digest>,
    verdict: Option<(VerdictKind, String)>,
    reason_code: Option<&'static str>,
}

pub(crate) async fn main(args: ReplayArgs) -> anyhow::Result<ExitCode> {
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
    let repo_path = args.repo.clone().unwrap_or_else(|| PathBuf::from(&started.location));
    let repository = Repository::open(&std::path::absolute(&repo_path)?, &work.path().join("git"))
        .map_err(repo_failure)?;
    let base: CommitId =
        started.base.parse().map_err(|error| Failure::usage(format!("the journal's base: {error}")))?;
    let base = repository.resolve(Some(base.as_str())).map_err(repo_failure)?;
    let grant = context::grant_of(&started.repo, &started.policy).map_err(|d| context::bad_policy(&d))?;
    let grant = grant.with_tools(started.components.clone());
    if *grant.digest() != started.grant {
        console.show(Update::Note(
            "the grant differs from the record: this version resolves the policy otherwise".into(),
        ));
    }
    let gate = crate::gate::recorded(started.weights.as_ref(), &grant)?;
    let JobLane { engine, environment } =
        crate::engine::open(&home, &grant, None, Some(&started.task)).await?;
    let model = match &started.model {
        Some(spec) => {
            Some(Arc::new(replay_model(spec, started.model_price.as_deref(), &events)?) as Arc<dyn Model>)
        }
        None => None,
    };
    let known = Known::open(&home, &started.repo, None)?;
    let assignment = Assignment {
        task: started.task.clone(),
        attempt: started.attempt,
        repo: started.repo.clone(),
        text: started.text.clone(),
        base,
        asker: started.asker.clone().unwrap_or_else(|| "local".to_owned()),
        seed: context::seed(),
    };
    let equipment = Equipment {
        repository,
        sandbox: context::sandbox(&home, &grant)?,
        learn: crate::run::learning(known, grant.clone(), environment.digest().clone()),
        grant,
        engine,
        environment: environment.digest().clone(),
        supplies: Some(crate::supplies::open(&home, &started.repo, &started.location)?),
        model,
        judge: crate::gate::judging(&gate),
        // What a replay is to show, it runs.
        baselines: None,
        work_dir: work.path().join("attempt"),
        images: None,
        cancel: cancel.clone(),
        recorded_checks: Some(Mutex::new(checks(&events).into())),
        recorded_findings: Some(Mutex::new(findings(&events).into())),
    };
    let disk = |error| Failure::disk(&format!("write to {}", work.path().display()), error);
    std::fs::create_dir_all(&equipment.work_dir).map_err(disk)?;
    let path = work.path().join("journal.jsonl");
    let mut journal = Journal::create(&path).map_err(disk)?;
    journal
        .append(EventKind::AttemptStarted(Box::new(AttemptStarted { ..(**started).clone() })))
        .map_err(disk)?;
    let shown = console.clone();
    let outcome = gloaming_worker::run(&assignment, &equipment, &mut journal, &move |update: Update| {
        shown.show(update)
    })
    .await;
    console.close();
    let diverged = |why: String| {
        if args.json {
            print_json(&json!({"same": false, "diverged": why, "recorded": recorded}));
        } else {
            println!("diverged: {why}");
        }
        Ok(ExitCode::from(exit::BLOCK))
    };
    match outcome {
        Ok(Outcome::Verified(_) | Outcome::BowedOut(..)) => {}
        Ok(Outcome::Cancelled) => return Err(Failure::cancelled("cancelled").into()),
        Err(WorkerError::Diverged(why)) => return diverged(why),
        Err(WorkerError::Model(error)) => return diverged(error.to_string()),
        Err(error) => return Err(Failure::infrastructure("replay the attempt", error).into()),
    }
    let replayed_events = crate::journal::read(&path)?;
    let replayed = ending(&replayed_events).unwrap_or_else(|| verified_ending(&replayed_events));
    let same = replayed == recorded;
    // Another Python or toolchain is a reason to end otherwise that lies outside of the record.
    let other_environment =
        job_environment(&events).is_some_and(|then| Some(then) != job_environment(&replayed_events));
    if args.json {
        let environment = if other_environment { "different" } else { "same" };
        print_json(
            &json!({"same": same, "recorded": recorded, "replayed": replayed, "environment": environment}),
        );
    } else if same {
        println!("same: {}", words(&replayed));
    } else {
        println!("different\n  recorded: {}\n  replayed: {}", words(&recorded), words(&replayed));
        if other_environment {
            println!(
                "  the containers saw other programs than in the record: replay with the same toolchains and the \
                 same virtual environment active (VIRTUAL_ENV)"
            );
        }
    }
    Ok(ExitCode::from(if same { exit::OK } else { exit::BLOCK }))
}

/// Returns the digest of what the first job of an attempt saw of the host.
fn job_environment(events: &[Event]) -> Option<&Digest> {
    events.iter().find_map(|event| match &event.kind {
        EventKind::Job { record, .. } => Some(&record.environment),
        _ => None,
    })
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

/// A replay publishes nothing, so its journal ends at the gate.
fn verified_ending(events: &[Event]) -> Ending {
    let (patch, verdict) = last_patch_and_verdict(events);
    Ending { outcome: "branch", patch, verdict, reason_code: None }
}

fn replay_model(spec: &str, price: Option<&str>, events: &[Event]) -> anyhow::Result<Replay> {
    let answers = events.iter().filter_map(|event| match &event.kind {
        EventKind::ModelCall { request, response, .. } => Some((request.clone(), response.clone())),
        _ => None,
    });
    let parsed: ModelSpec =
        spec.parse().map_err(|error| Failure::usage(format!("the journal's model: {error}")))?;
    let prices = crate::run::prices(&parsed, price)?.unwrap_or_else(PriceTable::built_in);
    Ok(Replay::new(spec, answers.collect()).priced(&prices))
}

/// What the model was told of each failed verification, in order.
fn findings(events: &[Event]) -> Vec<String> {
    let told = |event: &Event| match &event.kind {
        EventKind::FindingsTold { text, .. } => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(told).collect()
}

fn checks(events: &[Event]) -> Vec<RecordedCheck> {
    let calls = events.iter().filter_map(|event| match &event.kind {
        EventKind::ToolCall { args, outcome, record, .. } if record.tool == "check" => {
            Some(RecordedCheck { args: args.clone(), outcome: outcome.clone() })
        }
        _ => None,
    });
    calls.collect()
}
