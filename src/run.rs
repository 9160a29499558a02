//! `gloaming run`: one task, from words to a branch or a bow-out.
#![expect(
    clippy::disallowed_methods,
    reason = "the edge: results are written to the operator's own out folder"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use gloaming_api::bowout::{BowOut, Cost};
use gloaming_api::evidence::VerdictKind;
use gloaming_api::journal::{AttemptStarted, EventKind};
use gloaming_api::path::escape_name;
use gloaming_api::{Attempt, Digest, RelPath, RepoId, TaskId};
use gloaming_forge::Change;
use gloaming_gate::Gate;
use gloaming_jobs::Cancel;
use gloaming_model::{Model, ModelSpec, PriceTable, SecretString, Settings};
use gloaming_policies::Diagnostic;
use gloaming_policies::Grant;
use gloaming_worker::{Assignment, Equipment, Journal, Learn, Outcome, Update, Verified, WorkerError};
use gloaming_workspace::{Author, CommitId, EntryKind, Interrupt, RepoError, Repository};
use serde_json::{Value, json};

use crate::cli::{ModelArgs, PolicyChoice, RunArgs};
use crate::console::{Console, print_json};
use crate::context::{self, Home, Resolved, WorkDir};
use crate::engine::JobLane;
use crate::failure::{Failure, exit, in_one_line, report, unless_cancelled};
use crate::known::Known;

/// The largest task text read, bytes; a longer one bows out before this is reached.
const TASK_CAP: usize = 1 << 20;

/// Who asks on the command line, as a policy's `[submit]` names them.
const ASKER: &str = "local";

pub(crate) async fn main(args: Box<RunArgs>) -> ExitCode {
    let mut traces = Traces {
        task: TaskId::generate(),
        out: None,
        fresh_clone: None,
        journal: None,
        publishing: false,
        cancel: Cancel::new(),
        console: None,
    };
    match attempt(&args, &mut traces).await {
        Ok(code) => code,
        Err(error) => traces.fail(&args, error),
    }
}

/// What a run has made so far that an early end must set right.
struct Traces {
    task: TaskId,
    out: Option<PathBuf>,
    /// A clone of which no journal tells yet: kept, it would be in the way of the corrected command.
    fresh_clone: Option<PathBuf>,
    /// A journal that has no end yet.
    journal: Option<Journal>,
    publishing: bool,
    cancel: Cancel,
    console: Option<Console>,
}

impl Traces {
    /// Begins the object that `--json` prints: every key a reader may rely on.
    fn known(&self) -> Value {
        json!({"outcome": null, "task": self.task, "branch": null, "reason_code": null, "out": self.out})
    }

    fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().expect("it is begun before anything is written into it")
    }

    /// Ends a run that came neither to a branch nor to a bow-out.
    fn fail(mut self, args: &RunArgs, error: anyhow::Error) -> ExitCode {
        if let Some(console) = &self.console {
            console.close();
        }
        let error = if self.publishing {
            error
        } else {
            unless_cancelled(error, &self.cancel, "cancelled; the repository is as it was")
        };
        if let Some(journal) = &mut self.journal {
            let end = if self.cancel.is_cancelled() && !self.publishing {
                EventKind::Cancelled
            } else {
                EventKind::Failed { error: in_one_line(&error) }
            };
            // The error itself matters more than failing to write it down (the disk may be full).
            let _ = journal.append(end);
        }
        if let Some(clone) = &self.fresh_clone {
            let _ = std::fs::remove_dir_all(clone);
        }
        report(&error, args.json.then(|| self.known()))
    }
}

async fn attempt(args: &RunArgs, traces: &mut Traces) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let text = task_text(args)?;
    let model = match &args.model.model {
        Some(spec) => Some(open_model(spec, &args.model)?),
        None => None,
    };
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
            attempt: Attempt(1),
            repo: repo.clone(),
            location: location.clone(),
            base: base.to_string(),
            text: text.clone(),
            policy: layers,
            grant,
            components,
            asker: Some(ASKER.to_owned()),
            model: args.model.model.clone(),
            model_price: args.model.model_price.clone(),
            weights: crate::gate::told(&gate),
        }))
    };
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(diagnostics) => {
            // A repository's policy that is present and does not load fails closed.
            record(traces.journal(), started(Digest::zero(), Vec::new(), BTreeMap::new()))?;
            let bow_out = gloaming_worker::invalid_repository_policy(&task, Attempt(1), &diagnostics);
            record(traces.journal(), EventKind::BowedOut { bow_out: Box::new(bow_out.clone()) })?;
            traces.journal = None;
            return finish_bow_out(args, traces, &out, &bow_out, &console);
        }
    };
    let grant = &resolved.grant;
    record(
        traces.journal(),
        started(grant.digest().clone(), resolved.layers.clone(), grant.tools().clone()),
    )?;
    let first = traces.journal().chain().head().clone();

    let JobLane { engine, environment } =
        crate::engine::open(&home, &resolved.grant, None, Some(&task)).await?;
    let environment_digest = environment.digest().clone();
    let known = Known::open(&home, &repo, args.corrections.as_deref())?;
    let assignment = Assignment {
        task: task.clone(),
        attempt: Attempt(1),
        repo: repo.clone(),
        text: text.clone(),
        base: base.clone(),
        asker: ASKER.to_owned(),
        seed: context::seed(),
    };
    let equipment = Equipment {
        repository,
        sandbox: sandbox.expect("it is opened where the policy loads"),
        learn: learning(known, resolved.grant.clone(), environment_digest.clone()),
        grant: resolved.grant,
        engine,
        environment: environment_digest,
        supplies: Some(crate::supplies::open(&home, &repo, &location)?),
        model,
        judge: crate::gate::judging(&gate),
        baselines: Some(Box::new(crate::baselines::Kept::open(&home, &repo, args.again)?)),
        work_dir: work.path().join(context::ATTEMPT),
        images: Some(work.undo_dir(&first)),
        cancel,
        recorded_checks: None,
        recorded_findings: None,
    };
    std::fs::create_dir_all(&equipment.work_dir)
        .map_err(|error| Failure::disk("make the attempt's folder", error))?;
    let progress = {
        let console = console.clone();
        move |update: Update| console.show(update)
    };
    let outcome = gloaming_worker::run(&assignment, &equipment, traces.journal(), &progress).await;
    if !matches!(outcome, Ok(Outcome::Verified(_))) {
        // The worker has written the end.
        traces.journal = None;
    }
    match outcome {
        Ok(Outcome::Verified(verified)) => {
            traces.publishing = true;
            let stage = gloaming_api::Stage::Publish;
            console.show(Update::Stage(stage));
            let published =
                publish(&home, &assignment, &equipment, &gate, &verified, traces.journal(), &out)?;
            console.show(Update::Finished { stage, detail: format!("branch {}", published.branch) });
            traces.journal = None;
            console.close();
            report_branch(args, traces, &out, &published, &verified);
            Ok(ExitCode::from(exit::OK))
        }
        Ok(Outcome::BowedOut(bow_out, unpublished)) => {
            if let Some(unpublished) = unpublished {
                write(&out, "attempt.diff", &unpublished.patch.diff)?;
                if let Some(evidence) = &unpublished.evidence {
                    let sealed = crate::evidence::seal(&home, evidence, &gate.judge(evidence), &gate)?;
                    write(&out, "evidence.json", &sealed)?;
                }
            }
            finish_bow_out(args, traces, &out, &bow_out, &console)
        }
        Ok(Outcome::Cancelled) => Err(Failure::cancelled("cancelled; the repository is as it was").into()),
        // A hostile tree or objects that a partial clone lacks: the repository's fault, with advice of its own.
        Err(WorkerError::Repository(error)) => Err(repo_failure(error)),
        Err(error) => Err(Failure::infrastructure("finish the attempt", error)
            .hint("nothing was published; the journal in the out folder tells how far it came")
            .into()),
    }
}

/// Returns how an attempt learns of a repository.
pub(crate) fn learning(known: Known, grant: Grant, environment: Digest) -> Learn {
    Box::new(move |checkout| known.profile(checkout, &grant, &environment))
}

/// Appends an event to the journal.
fn record(journal: &mut Journal, kind: EventKind) -> anyhow::Result<()> {
    journal
        .append(kind)
        .map_err(|error| Failure::disk(&format!("write {}", journal.path().display()), error).into())
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
    use tokio::signal::unix::{SignalKind, signal};
    // Listening begins before this returns; what arrives earlier ends the process as it ends any other.
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    let cancel = cancel.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        eprintln!("\nstopping; press Ctrl-C again to leave at once");
        cancel.cancel();
        if interrupt.recv().await.is_some() {
            std::process::exit(i32::from(exit::CANCELLED));
        }
    });
}

/// Opens a model by its spec, with the key and price that the options name.
fn open_model(spec: &str, args: &ModelArgs) -> anyhow::Result<Arc<dyn Model>> {
    let spec: ModelSpec = spec.parse().map_err(|error| {
        Failure::usage(format!("--model: {error}")).hint("like openai:gpt-5 or anthropic:claude-sonnet-4-5")
    })?;
    let key = match &args.model_key_file {
        Some(file) => Some(context::read_text(file, "the key file", context::FILE_CAP)?.trim().to_owned()),
        None => context::variable(spec.provider.key_variable()),
    };
    let mut settings = Settings {
        base_url: args.model_url.clone().or_else(|| context::variable(spec.provider.base_url_variable())),
        api_key: key.map(SecretString::from),
        stream: !args.no_stream,
        ..Settings::default()
    };
    settings.prices = prices(&spec, args.model_price.as_deref())?;
    let known = settings.prices.clone().unwrap_or_else(PriceTable::built_in).price(&spec).is_some();
    if !known {
        // Found before any work is done: a budget that cannot be read means stop.
        return Err(Failure::usage(format!("the price of {spec} is not known, so no budget could be held"))
            .hint("--model-price IN,OUT in US dollars per million tokens; 0,0 for a model of your own")
            .into());
    }
    gloaming_model::open(&spec, settings).map_err(|error| Failure::usage(format!("--model: {error}")).into())
}

/// Reads `IN,OUT`, US dollars per million tokens, as a price table of that model alone; none for the
/// built-in table.
pub(crate) fn prices(spec: &ModelSpec, given: Option<&str>) -> anyhow::Result<Option<PriceTable>> {
    let Some(given) = given else { return Ok(None) };
    let wrong = || {
        Failure::usage(format!("--model-price {given:?} is not a price"))
            .hint("two numbers, US dollars per million tokens in and out, like 1.25,10")
    };
    let (input, output) = given.split_once(',').ok_or_else(wrong)?;
    let number =
        |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0).ok_or_else(wrong);
    let table = format!(
        "schema = 1\n[[price]]\nprovider = {:?}\nmodel = {:?}\ninput = {:?}\noutput = {:?}\n",
        spec.provider.as_str(),
        spec.model,
        number(input)?,
        number(output)?,
    );
    Ok(Some(PriceTable::parse(&table).map_err(|_| wrong())?))
}

struct Published {
    branch: String,
    commit: CommitId,
}

/// Publishes a verified patch: recomputes the verdict on the evidence, writes the results, then the branch.
fn publish(
    home: &Home,
    assignment: &Assignment,
    equipment: &Equipment,
    gate: &Gate,
    verified: &Verified,
    journal: &mut Journal,
    out: &Path,
) -> anyhow::Result<Published> {
    let evidence = &verified.evidence;
    let verdict = gate.judge(evidence);
    // What is published must be what was judged: the same patch, the same tree, a passing verdict.
    anyhow::ensure!(
        verdict.verdict == VerdictKind::Pass
            && evidence.patch == verified.patch.digest
            && evidence.tree.as_deref() == Some(verified.patch.tree.as_str())
            && evidence.base == assignment.base.as_str(),
        Failure::infrastructure("publish", anyhow::anyhow!("the evidence is not about this patch"))
    );
    let sealed = crate::evidence::seal(home, evidence, &verdict, gate)?;
    let evidence_digest = Digest::of(&sealed);
    let change = Change {
        task: &assignment.task,
        attempt: assignment.attempt,
        text: &assignment.text,
        summary: &verified.summary,
        evidence,
        evidence_digest: &evidence_digest,
        verdict: &verdict,
    };
    write(out, "patch.diff", &verified.patch.diff)?;
    write(out, "evidence.json", &sealed)?;
    write(out, "pr.md", gloaming_forge::pull_request_body(&change).as_bytes())?;
    let author = Author { name: "Gloaming".into(), email: "gloaming@localhost".into() };
    let branch = assignment.task.branch();
    let commit = equipment
        .repository
        .publish(
            &assignment.base,
            &verified.patch,
            &branch,
            &gloaming_forge::commit_message(&change),
            &author,
            context::now(),
        )
        .map_err(repo_failure)?;
    let end = EventKind::Published {
        branch: branch.clone(),
        commit: commit.to_string(),
        patch: verified.patch.digest.clone(),
        cost: verified.cost,
    };
    record(journal, end)?;
    Ok(Published { branch, commit })
}

fn report_branch(args: &RunArgs, traces: &Traces, out: &Path, published: &Published, verified: &Verified) {
    if args.json {
        let mut object = traces.known();
        object["outcome"] = json!("branch");
        object["branch"] = json!(published.branch);
        object["commit"] = json!(published.commit);
        object["cost"] = json!(verified.cost);
        print_json(&object);
        return;
    }
    let (added, removed) = verified.patch.files.iter().fold((0, 0), |(a, r), f| (a + f.added, r + f.removed));
    println!("branch  {} at {}", published.branch, &published.commit.as_str()[..12]);
    println!("change  {} files, +{added} −{removed}", verified.patch.files.len());
    println!(
        "tests   {} on the base, {} with the change",
        counted(&verified.evidence.baseline_tests),
        counted(&verified.evidence.patched_tests)
    );
    if !verified.evidence.fail_to_pass.is_empty() {
        for (at, test) in verified.evidence.told_fail_to_pass().iter().enumerate() {
            println!("{:<7} {}", if at == 0 { "fixed" } else { "" }, escape_name(test.as_bytes()));
        }
    }
    println!("cost    {}", cost_line(&verified.cost));
    println!("out     {}", out.display());
    println!(
        "\nread pr.md there; `git diff {}...{}` shows the change",
        &verified.evidence.base[..12],
        published.branch
    );
}

fn counted(tests: &gloaming_api::evidence::TestResults) -> String {
    use gloaming_api::evidence::TestStatus;
    let count = |wanted| tests.values().filter(|status| **status == wanted).count();
    let (passed, failed) = (count(TestStatus::Passed), count(TestStatus::Failed));
    let rest = tests.len() - passed - failed;
    let mut text = format!("{passed} passed");
    if failed > 0 {
        text.push_str(&format!(", {failed} failed"));
    }
    if rest > 0 {
        text.push_str(&format!(", {rest} skipped or expected to fail"));
    }
    text
}

fn cost_line(cost: &Cost) -> String {
    format!("${:.4}, {} model calls, {:.0} s", cost.usd, cost.calls, cost.wall_s)
}

fn finish_bow_out(
    args: &RunArgs,
    traces: &Traces,
    out: &Path,
    bow_out: &BowOut,
    console: &Console,
) -> anyhow::Result<ExitCode> {
    console.close();
    write(out, "bowout.json", pretty(bow_out).as_bytes())?;
    if args.json {
        let mut object = traces.known();
        object["outcome"] = json!("bow_out");
        object["reason_code"] = json!(bow_out.reason_code);
        object["stage"] = json!(bow_out.stage);
        object["summary"] = json!(bow_out.summary);
        object["cost"] = json!(bow_out.cost);
        print_json(&object);
    } else {
        print!("{}", tell(bow_out));
        println!("out     {}", out.display());
    }
    Ok(ExitCode::from(exit::BOW_OUT))
}

/// Returns a bow-out for a person.
pub(crate) fn tell(bow_out: &BowOut) -> String {
    let safe = |text: &str| escape_name(text.as_bytes());
    let mut text = format!(
        "bowed out: {} (stage {})\n{}\n",
        bow_out.reason_code.as_str(),
        bow_out.stage.as_str(),
        safe(&bow_out.summary)
    );
    if !bow_out.evidence.is_empty() {
        text.push_str("\nwhat was seen\n");
        for item in bow_out.evidence.iter().take(8) {
            if !item.argv.is_empty() {
                let exit = item.exit.map_or(String::new(), |code| format!(" (exit {code})"));
                text.push_str(&format!("  $ {}{exit}\n", safe(&item.argv.join(" "))));
            }
            let lines: Vec<&str> = item.excerpt.trim_end().lines().collect();
            for line in &lines[lines.len().saturating_sub(12)..] {
                text.push_str(&format!("  {}\n", safe(line)));
            }
        }
    }
    for tried in &bow_out.attempted {
        text.push_str(&format!("\ntried: {} — {}\n", safe(&tried.approach), safe(&tried.outcome)));
    }
    text.push_str("\nwhat would unblock it\n");
    for unblock in &bow_out.what_would_unblock {
        text.push_str(&format!("  - {}: {}\n", safe(&unblock.action), safe(&unblock.detail)));
    }
    for question in &bow_out.questions {
        text.push_str(&format!("  ? {}\n", safe(question)));
    }
    text.push('\n');
    text.push_str(&format!("cost    {}\n", cost_line(&bow_out.cost)));
    text
}

pub(crate) fn pretty(value: &impl serde::Serialize) -> String {
    let mut text =
        serde_json::to_string_pretty(value).expect("our outputs serialise: string keys, finite numbers");
    text.push('\n');
    text
}

pub(crate) fn write(out: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = out.join(name);
    std::fs::write(&path, bytes)
        .map_err(|error| Failure::disk(&format!("write {}", path.display()), error).into())
}
