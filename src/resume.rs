//! `gloaming resume`: an attempt whose process died, gone on with from its journal.

use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use gloaming_api::journal::EventKind;
use gloaming_worker::{Journal, WorkerError};
use gloaming_workspace::Repository;

use crate::attempt::{Course, Traces, assignment, follow};
use crate::cli::{ResumeArgs, WeightsOf};
use crate::console::Console;
use crate::context::{self, Home};
use crate::failure::Failure;
use crate::model::open_model;
use crate::run::{cancel_on_signal, repo_failure};

pub(crate) async fn main(args: ResumeArgs) -> ExitCode {
    let mut traces = Traces::new();
    match go_on(&args, &mut traces).await {
        Ok(code) => code,
        Err(error) => traces.fail(args.json, error),
    }
}

/// How long a lock on the journal is waited for.
const LOCKED: Duration = Duration::from_secs(5);

/// Opens what an attempt worked with whose process died, by its journal.
async fn go_on(args: &ResumeArgs, traces: &mut Traces) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let out = std::path::absolute(&args.out)?;
    let file = out.join("journal.jsonl");
    let (mut journal, events) = Journal::reopen(&file, LOCKED).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => Failure::usage(format!("a process still works on {}", file.display()))
            .hint("wait for it, or end it first"),
        ErrorKind::InvalidData => {
            Failure::usage(format!("{} is not a whole journal: {error}", file.display()))
                .hint("`gloaming journal verify FILE` says what is wrong with it")
        }
        _ => Failure::usage(format!("{} cannot be opened: {error}", file.display()))
            .hint("name the out folder of a run"),
    })?;
    let started = match events.first().map(|event| &event.kind) {
        Some(EventKind::AttemptStarted(started)) => (**started).clone(),
        _ => return Err(Failure::usage("the journal does not begin with an attempt").into()),
    };
    let ended = match events.last().map(|event| &event.kind) {
        Some(EventKind::Published { branch, .. }) => Some(format!("in the branch {branch}")),
        Some(EventKind::BowedOut { bow_out }) => Some(format!("with {}", bow_out.reason_code.as_str())),
        _ => None,
    };
    if let Some(how) = ended {
        return Err(Failure::usage(format!("the attempt has ended, {how}"))
            .hint("begin another with `gloaming run`")
            .into());
    }
    traces.task = started.task.clone();
    traces.out = Some(out.clone());
    let model = match &started.model {
        Some(spec) => {
            let price = args.model.model_price.clone().or_else(|| started.model_price.clone());
            Some(open_model(&home, spec, &args.model, price.as_deref())?)
        }
        None => None,
    };
    let review_model = match started.team.values().flatten().next() {
        Some(spec) => Some(open_model(&home, spec, &args.model, None)?),
        None => None,
    };
    let ledger = crate::budget::ledger(&home, model.is_some() || review_model.is_some())?;
    let work = home.work_dir(started.task.as_str())?;
    let console = traces.console.insert(Console::new()).clone();
    cancel_on_signal(&traces.cancel);
    let repository =
        Repository::open(Path::new(&started.location), &work.path().join("git")).map_err(repo_failure)?;
    let base = repository.resolve(Some(&started.base)).map_err(repo_failure)?;
    let grant = gloaming_policies::Grant::of_layers(&started.repo, &started.policy)
        .map_err(|d| context::bad_policy(&d))?;
    let sandbox = context::sandbox(&home, &grant)?;
    let grant = grant.with_tools(context::components(&sandbox));
    if *grant.digest() != started.grant {
        return Err(Failure::usage(
            "this version resolves the attempt's policy otherwise, or serves other tools",
        )
        .hint("go on with the version that began it, or begin anew with `gloaming run`")
        .into());
    }
    let gate = crate::gate::recorded(started.weights.as_ref(), &grant)?;
    let triage = WeightsOf::Tasks.recorded(started.triage.as_ref())?;
    journal.keep_next().map_err(WorkerError::from)?;
    traces.journal = Some(journal);
    let assignment = assignment(&started, base);
    let course = Course {
        home,
        out,
        work,
        console,
        repository,
        location: started.location.clone(),
        assignment,
        grant,
        sandbox,
        gate,
        model,
        team: crate::team::of(&started.team, review_model, triage),
        ledger,
        corrections: args.corrections.clone(),
        advisories: args.advisories.clone(),
        again: false,
    };
    follow(course, args.json, traces).await
}
