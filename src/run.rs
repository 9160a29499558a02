//! `gloaming run`: one task, from words to a branch or a bow-out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gloaming_api::journal::{AttemptStarted, EventKind};
use gloaming_api::{Digest, RelPath, RepoId, TaskId};
use gloaming_gate::Gate;
use gloaming_jobs::Cancel;
use gloaming_policies::Diagnostic;
use gloaming_worker::{Assignment, Journal, Update};
use gloaming_workspace::{CommitId, EntryKind, Interrupt, RepoError, Repository};

use crate::attempt::{Course, Traces, finish_bow_out, follow, record};
use crate::cli::{PolicyChoice, RunArgs, WeightsOf};
use crate::console::Console;
use crate::context::{self, Home, Resolved, WorkDir};
use crate::failure::Failure;
use crate::leash::Leash;
use crate::model::open_model;

/// The largest task text read, bytes; a longer one bows out before this is reached.
const TASK_CAP: usize = 1 << 20;

/// Who asks on the command line, as a policy's `[submit]` names them.
pub(crate) const ASKER: &str = "local";

pub(crate) async fn main(mut args: Box<RunArgs>) -> ExitCode {
    let mut traces = Traces::new();
    let leash = args.lease.as_deref().map(Leash::read).transpose();
    let ended = match leash {
        Ok(leash) => {
            let leash = leash.unwrap_or_else(|| Leash::of_nobody(&traces.task));
            args.policy.sent = leash.policy.clone();
            attempt(&args, &leash, &mut traces).await
        }
        Err(error) => Err(error),
    };
    match ended {
        Ok(code) => code,
        Err(error) => traces.fail(args.json, error),
    }
}

async fn attempt(args: &RunArgs, leash: &Leash, traces: &mut Traces) -> anyhow::Result<ExitCode> {
    if args.lease.is_some() {
        traces.task = leash.task.clone();
        crate::leash::hold(&traces.cancel, leash.grace_s);
    }
    let home = Home::open()?;
    let text = task_text(args)?;
    let model = match &args.model.model {
        Some(spec) => {
            let price = args.model.reach.model_price.as_deref();
            Some(open_model(&home, spec, &args.model.reach, price)?)
        }
        None => None,
    };
    let review_model = match &args.review_model {
        Some(spec) => Some(open_model(&home, spec, &args.model.reach, None)?),
        None => None,
    };
    let ledger = crate::budget::ledger(&home, model.is_some() || review_model.is_some())?;
    let team = crate::team::told(args.team, args.review_model.as_deref());
    let task = traces.task.clone();
    let out = out_folder(args.out.as_deref(), &home, &task)?;
    traces.out = Some(out.clone());
    let work = home.work_dir(task.as_str())?;
    let console = traces.console.insert(Console::new()).clone();
    let cancel = traces.cancel.clone();
    cancel_on_signal(&cancel);

    let (repository, location) = open_repository(args, traces, &work)?;
    let repo =
        context::repo_name(&args.policy, Path::new(args.repo.trim_end_matches('/').trim_end_matches(".git")));
    let base = repository.resolve(args.base.as_deref()).map_err(repo_failure)?;
    let mut resolved = policy_for_jobs(&args.policy, &repo, &repository, &base)?;
    let sandbox = match &mut resolved {
        Ok(resolved) => Some(context::equip(&home, resolved)?),
        Err(_) => None,
    };
    let gate = match &resolved {
        Ok(resolved) => crate::gate::of(&home, &resolved.grant)?,
        Err(_) => Gate::default(),
    };
    let triage = WeightsOf::Tasks.in_use(&home)?;

    traces.journal = Some(
        Journal::create(&out.join("journal.jsonl"))
            .map_err(|error| Failure::disk(&format!("begin the journal in {}", out.display()), error))?,
    );
    traces.fresh_clone = None;
    let started = |grant: Digest, layers, components| {
        EventKind::AttemptStarted(Box::new(AttemptStarted {
            format: 1,
            program: format!("gloaming {}", env!("CARGO_PKG_VERSION")),
            task: task.clone(),
            attempt: leash.attempt,
            repo: repo.clone(),
            location: location.clone(),
            base: base.to_string(),
            text: text.clone(),
            policy: layers,
            grant,
            components,
            asker: Some(leash.asker.clone()),
            model: args.model.model.clone(),
            model_price: args.model.reach.model_price.clone(),
            team: team.clone(),
            prompts: gloaming_agent::prompts(),
            weights: WeightsOf::Patches.told(&gate.weights),
            triage: WeightsOf::Tasks.told(&triage),
        }))
    };
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(diagnostics) => {
            // A repository's policy that is present and does not load fails closed.
            record(traces.journal(), started(Digest::zero(), Vec::new(), BTreeMap::new()))?;
            let bow_out = gloaming_worker::invalid_repository_policy(&task, leash.attempt, &diagnostics);
            record(traces.journal(), EventKind::BowedOut { bow_out: Box::new(bow_out.clone()) })?;
            traces.journal = None;
            return finish_bow_out(args.json, traces, &out, &bow_out, &console);
        }
    };
    let grant = &resolved.grant;
    record(
        traces.journal(),
        started(grant.digest().clone(), resolved.layers.clone(), grant.tools().clone()),
    )?;
    let assignment = Assignment {
        task: task.clone(),
        attempt: leash.attempt,
        repo,
        text,
        base,
        asker: leash.asker.clone(),
        seed: context::seed(),
    };
    let course = Course {
        home,
        out,
        work,
        console,
        repository,
        location,
        assignment,
        grant: resolved.grant,
        sandbox: sandbox.expect("it is opened where the policy loads"),
        gate,
        model,
        team: crate::team::of(&team, review_model, triage),
        ledger,
        corrections: args.corrections.clone(),
        advisories: args.advisories.clone(),
        again: args.again,
    };
    follow(course, args.json, traces).await
}

/// Reads the task from where the options say.
fn task_text(args: &RunArgs) -> anyhow::Result<String> {
    match (&args.task, &args.task_file) {
        (Some(text), _) => Ok(text.clone()),
        (None, Some(file)) => {
            let bytes = context::read_bytes(file, "the task file", context::FILE_CAP)?;
            if bytes.len() > TASK_CAP {
                return Err(Failure::usage(format!("the task file {} is larger than 1 MiB", file.display()))
                    .hint("describe the change in some paragraphs; put long logs elsewhere")
                    .into());
            }
            String::from_utf8(bytes).map_err(|_| {
                Failure::usage(format!("the task file {} is not UTF-8 text", file.display())).into()
            })
        }
        (None, None) => unreachable!("the command line requires one of them"),
    }
}

/// Makes the out folder; refuses one that holds another run's journal, so that no result is lost.
fn out_folder(given: Option<&Path>, home: &Home, task: &TaskId) -> anyhow::Result<PathBuf> {
    let out = match given {
        Some(dir) => std::path::absolute(dir)?,
        None => home.data.join("results").join(task.as_str()),
    };
    make_out(&out)?;
    if out.join("journal.jsonl").exists() {
        return Err(Failure::usage(format!(
            "the out folder {} already holds a run's journal",
            out.display()
        ))
        .hint("name another folder with --out, or move the old results away")
        .into());
    }
    Ok(out)
}

/// Makes a folder for results. That it cannot be there is wrong use, but for what the disk is to blame for.
pub(crate) fn make_out(out: &Path) -> anyhow::Result<()> {
    use std::io::ErrorKind as Kind;
    std::fs::create_dir_all(out).map_err(|error| {
        let doing = format!("make the out folder {}", out.display());
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::ReadOnlyFilesystem => {
                Failure::disk(&doing, error)
            }
            _ => Failure::usage(format!("could not {doing}: {error}"))
                .hint("name a folder that you can write to with --out"),
        }
        .into()
    })
}

fn open_repository(
    args: &RunArgs,
    traces: &mut Traces,
    work: &WorkDir,
) -> anyhow::Result<(Repository, String)> {
    let (given, state) = (args.repo.as_str(), work.path().join("git"));
    let is_url = given.contains("://") || (given.contains(':') && !Path::new(given).exists());
    if is_url {
        if let Some(console) = &traces.console {
            console.show(Update::Doing("cloning".into()));
        }
        let out = traces.out.as_ref().expect("the out folder is made before the repository is opened");
        let into = out.join("repo.git");
        let interrupt = Interrupt::default();
        tokio::spawn({
            let (cancel, interrupt) = (traces.cancel.clone(), interrupt.clone());
            async move {
                cancel.cancelled().await;
                interrupt.trigger();
            }
        });
        let repository = Repository::clone_url(given, &into, &state, &interrupt).map_err(repo_failure)?;
        traces.fresh_clone = Some(into.clone());
        return Ok((repository, into.display().to_string()));
    }
    let path = std::path::absolute(given)?;
    let repository = Repository::open(&path, &state).map_err(repo_failure)?;
    Ok((repository, path.display().to_string()))
}

/// Resolves the policy for a commit: the operator's, narrowed by the repository's own as it is there. What is wrong
/// with the repository's comes back as the inner error.
pub(crate) fn policy_at(
    choice: &PolicyChoice,
    repo: &RepoId,
    repository: &Repository,
    base: &CommitId,
) -> anyhow::Result<Result<Resolved, Vec<Diagnostic>>> {
    let path = RelPath::parse(context::REPOSITORY_POLICY).expect("a constant path is a good one");
    let fault = |message: &str| {
        Ok(Err(vec![Diagnostic {
            file: context::REPOSITORY_POLICY.into(),
            line: 1,
            column: 1,
            message: message.into(),
            hint: Some("commit the policy itself there, a regular file of UTF-8 text".into()),
        }]))
    };
    // A policy that is there and cannot be read as one must not pass for none.
    let files = repository.list_files(base).map_err(repo_failure)?;
    let below = |raw: &[u8]| {
        raw.strip_prefix(context::REPOSITORY_POLICY.as_bytes())
            .is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
            || raw == b".gloaming"
    };
    match files.iter().find(|entry| below(&entry.raw)) {
        None => return context::resolve_policy(choice, repo, None),
        Some(entry)
            if entry.path.as_ref() == Some(&path)
                && matches!(entry.kind, EntryKind::File | EntryKind::Executable) => {}
        Some(_) => return fault("the repository's policy is no regular file, so what it says is not known"),
    }
    let bytes = repository.read_file(base, &path).map_err(repo_failure)?.unwrap_or_default();
    match String::from_utf8(bytes) {
        Ok(text) => context::resolve_policy(choice, repo, Some(text)),
        Err(_) => fault("the repository's policy is not UTF-8 text"),
    }
}

/// The same for a command that runs jobs: refuses a policy that names a set of hosts in which there is nothing on this
/// machine; whose fault it is says who is told.
pub(crate) fn policy_for_jobs(
    choice: &PolicyChoice,
    repo: &RepoId,
    repository: &Repository,
    base: &CommitId,
) -> anyhow::Result<Result<Resolved, Vec<Diagnostic>>> {
    filled(policy_at(choice, repo, repository, base)?)
}

fn filled(resolved: Result<Resolved, Vec<Diagnostic>>) -> anyhow::Result<Result<Resolved, Vec<Diagnostic>>> {
    let Ok(resolved) = resolved else { return Ok(resolved) };
    let faults = crate::network::unfilled(&Home::open()?, &resolved.grant)?;
    let (theirs, ours): (Vec<_>, Vec<_>) =
        faults.into_iter().partition(|fault| fault.file == context::REPOSITORY_POLICY);
    match (ours.is_empty(), theirs.is_empty()) {
        (false, _) => Err(context::bad_policy(&ours)),
        (true, false) => Ok(Err(theirs)),
        (true, true) => Ok(Ok(resolved)),
    }
}

/// Turns a repository's error into one of use, but for what the machine is to blame for.
pub(crate) fn repo_failure(error: RepoError) -> anyhow::Error {
    let hint = error.hint();
    let failure = if is_infrastructure(&error) {
        Failure::infrastructure("use the repository", error)
    } else {
        let mut text = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            text = format!("{text}: {source}");
        }
        Failure::usage(text)
    };
    match hint {
        Some(hint) => failure.hint(hint).into(),
        None => failure.into(),
    }
}

/// Whether the machine is to blame rather than what was asked for.
pub(crate) fn is_infrastructure(error: &RepoError) -> bool {
    use RepoError as E;
    matches!(
        error,
        E::DiskFull { .. }
            | E::Io { .. }
            | E::GitMissing(_)
            | E::GitTooOld { .. }
            | E::Git { .. }
            | E::TimedOut { .. }
            | E::BranchExists(_)
            | E::BadCommit(_)
            | E::BadBranch(_)
            | E::Interrupted { .. }
            | E::Untrusted { .. }
    )
}

/// Has Ctrl-C and a termination signal trigger a cancellation.
pub(crate) fn cancel_on_signal(cancel: &Cancel) {
    let cancel = cancel.clone();
    crate::signals::on_stop(move || cancel.cancel());
}
