//! `gloaming verify`: the gate on anybody's patch.

use std::process::ExitCode;
use std::sync::Arc;

use gloaming_api::Stage;
use gloaming_api::evidence::{Asked, Evidence, Origin, StepResult, Verdict, VerdictKind};
use gloaming_api::path::escape_name;
use gloaming_jobs::{
    BoxFuture, Cancel, Capabilities, Engine, Facts, Feature, Job, JobError, JobOutput, NoEngine, Support,
};
use gloaming_policies::{Diagnostic, JobPermit};
use gloaming_verify::{Inputs, VerifyError};
use gloaming_worker::Update;
use gloaming_workspace::{ApplyError, Repository};
use serde_json::json;

use crate::baselines::Kept;
use crate::cli::VerifyArgs;
use crate::console::Console;
use crate::context::{self, Home};
use crate::engine::JobLane;
use crate::failure::{Failure, exit, unless_cancelled};
use crate::hand_over;
use crate::known::{Known, bad_corrections};
use crate::leash::Leash;
use crate::run::{cancel_on_signal, make_out, policy_for_jobs, repo_failure};
use crate::told::print_json;
use crate::told::{pretty, write};

pub(crate) async fn main(mut args: Box<VerifyArgs>) -> anyhow::Result<ExitCode> {
    let leash = args.lease.as_deref().map(Leash::read).transpose()?;
    if let Some(leash) = &leash {
        args.policy.sent = leash.policy.clone();
    }
    let console = Console::new();
    let cancel = Cancel::new();
    let ended = judge(&args, leash.as_ref(), &console, &cancel).await;
    console.close();
    ended.map_err(|error| unless_cancelled(error, &cancel, "cancelled; nothing was judged"))
}

async fn judge(
    args: &VerifyArgs,
    leash: Option<&Leash>,
    console: &Console,
    cancel: &Cancel,
) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let diff = context::read_bytes(&args.patch, "the patch", context::RECORD_CAP)?;
    if args.task.as_ref().is_some_and(|task| task == &args.patch && task.as_os_str() == "-") {
        return Err(Failure::usage("standard input cannot be both the patch and the task")
            .hint("give one of them as a file")
            .into());
    }
    let asked = match &args.task {
        Some(path) => Some(Asked::of(&context::read_text(path, "the task", context::FILE_CAP)?)),
        None => None,
    };
    let first = args.of.as_deref().map(hand_over::first).transpose()?;
    let work = home.work_dir(gloaming_api::TaskId::generate().as_str())?;
    cancel_on_signal(cancel);
    if let Some(leash) = leash {
        crate::leash::hold(cancel, leash.grace_s);
    }
    console.show(Update::Stage(Stage::Provision));
    let path = std::path::absolute(&args.repo)?;
    let repository = Repository::open(&path, &work.path().join("git")).map_err(repo_failure)?;
    let base = repository.resolve(args.base.as_deref()).map_err(repo_failure)?;
    let repo = context::repo_name(&args.policy, &path);
    let resolved = match policy_for_jobs(&args.policy, &repo, &repository, &base)? {
        Ok(resolved) => resolved,
        Err(diagnostics) => {
            console.close();
            return Ok(policy_blocked(args, &diagnostics));
        }
    };
    let gate = crate::gate::of(&home, &resolved.grant)?;
    let JobLane { engine, environment } =
        crate::engine::open(&home, &resolved.grant, args.engine, None).await?;
    let engine: Arc<dyn Engine> = engine.unwrap_or_else(|error| Arc::new(Absent(error)));
    for note in repository.notes(&base) {
        console.show(Update::Note(note));
    }

    let (origin, attempt) = match &first {
        Some(first) => (first.origin.clone(), first.task.clone().zip(first.attempt)),
        None => (Origin::External, None),
    };
    let mut frozen = None;
    let evidence = match repository.patch_from_bytes(&base, &diff) {
        Err(ApplyError::Repository(error)) => return Err(repo_failure(error)),
        Err(error) => gloaming_verify::evidence_without_tree(gloaming_verify::Unapplied {
            repo_id: &repo,
            base: &base,
            diff: &diff,
            grant: &resolved.grant,
            origin,
            task: attempt,
            error,
        }),
        Ok(patch) => {
            let patch = frozen.insert(patch);
            let checkout = repository.checkout(&base, &work.path().join("base")).map_err(repo_failure)?;
            let known = Known::open(&home, &repo, args.corrections.as_deref())?;
            let profile = known
                .profile(checkout.dir(), &resolved.grant, environment.digest())
                .map_err(bad_corrections)?;
            let profile = gloaming_profile::with_norms(profile, &repository, &base);
            console.show(Update::Stage(Stage::Verify));
            let shown = console.clone();
            let supplies = crate::supplies::open(&home, &repo, &path.to_string_lossy())?;
            let baselines = Kept::open(&home, &repo, args.again)?;
            gloaming_verify::verify(Inputs {
                repository: &repository,
                base: &base,
                patch,
                grant: &resolved.grant,
                profile: &profile,
                engine: engine.as_ref(),
                environment: environment.digest(),
                provision: Some(crate::supplies::provision(&supplies, None)),
                origin,
                task: attempt,
                repo_id: &repo,
                work_dir: &work.path().join("verify"),
                baseline: None,
                seed: context::seed(),
                effort: gloaming_verify::Effort::default(),
                baselines: Some(&baselines),
                progress: &move |update: gloaming_verify::Progress| {
                    shown.show(Update::Doing(update.to_string()))
                },
                cancel,
            })
            .await
        }
    };
    let mut evidence = evidence.map_err(|error| match error {
        VerifyError::Repository(error) => repo_failure(error),
        error => Failure::infrastructure("verify the patch", error).into(),
    })?;
    evidence.asked = asked;
    if let Some(first) = first {
        hand_over::joined(&mut evidence, first);
    }
    console.close();
    let verdict = gate.judge(&evidence);
    if let Some(out) = &args.out {
        make_out(out)?;
        write(out, "evidence.json", &crate::evidence::seal(&home, &evidence, &verdict, &gate)?)?;
        let sarif = gloaming_verify::sarif(&evidence, &verdict, env!("CARGO_PKG_VERSION"));
        write(out, "findings.sarif", pretty(&sarif).as_bytes())?;
        write(out, "summary.md", gloaming_verify::markdown(&evidence, &verdict).as_bytes())?;
        if let Some(patch) = &frozen {
            write(out, "patch.diff", &patch.diff)?;
            if args.of.is_some() {
                hand_over::write_down(out, &repository, patch, &evidence)?;
            }
        }
    }
    if args.json {
        let mut value = serde_json::to_value(&verdict)?;
        value["repo"] = json!(repo);
        value["base"] = json!(base);
        value["patch"] = json!(evidence.patch);
        value["fail_to_pass"] = json!(evidence.fail_to_pass);
        value["without_code"] = json!(evidence.without_code);
        value["flaky"] = json!(evidence.flaky);
        let refused: Vec<String> = evidence.refused_hosts().iter().map(ToString::to_string).collect();
        value["refused_hosts"] = json!(refused);
        value["signals"] = json!(evidence.signals);
        value["tests"] =
            json!({"baseline": evidence.baseline_tests.len(), "patched": evidence.patched_tests.len()});
        print_json(&value);
    } else {
        print!("{}", table(&verdict, &evidence));
    }
    Ok(ExitCode::from(match verdict.verdict {
        VerdictKind::Pass => exit::OK,
        VerdictKind::Block => exit::BLOCK,
        VerdictKind::BowOut => exit::BOW_OUT,
    }))
}

/// Stands in for an engine that does not work here: what a patch's text shows is judged all the same, and the first
/// job ends in `no_engine`.
struct Absent(NoEngine);

impl Engine for Absent {
    fn name(&self) -> &str {
        "none"
    }

    fn run<'a>(
        &'a self,
        _permit: &'a JobPermit,
        _job: &'a Job,
        _cancel: &'a Cancel,
    ) -> BoxFuture<'a, Result<JobOutput, JobError>> {
        Box::pin(async { Err(JobError::NoEngine(self.0.clone())) })
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::all();
        for feature in Feature::ALL {
            capabilities.set(feature, Support::No(self.0.reason.clone()));
        }
        capabilities
    }

    fn probe(&self) -> BoxFuture<'_, Result<Facts, NoEngine>> {
        Box::pin(async { Err(self.0.clone()) })
    }
}

/// Bows out of judging where the repository's own policy does not load: what it would forbid is not known.
fn policy_blocked(args: &VerifyArgs, diagnostics: &[Diagnostic]) -> ExitCode {
    let task = gloaming_api::TaskId::generate();
    let bow_out = gloaming_worker::invalid_repository_policy(&task, gloaming_api::Attempt(1), diagnostics);
    if args.json {
        print_json(&json!({
            "verdict": VerdictKind::BowOut,
            "code": bow_out.reason_code,
            "reason_code": bow_out.reason_code,
            "summary": bow_out.summary,
            "steps": [],
            "reasons": diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }));
    } else {
        print!("{}", crate::told::tell(&bow_out));
    }
    ExitCode::from(exit::BOW_OUT)
}

/// Returns the table a reviewer reads.
fn table(verdict: &Verdict, evidence: &Evidence) -> String {
    let word = match verdict.verdict {
        VerdictKind::Pass => "pass",
        VerdictKind::Block => "block",
        VerdictKind::BowOut => "bow out",
    };
    let mut text = format!("{word} ({}): {}\n\n", verdict.code, escape_name(verdict.summary.as_bytes()));
    for step in &verdict.steps {
        let result = match step.result {
            StepResult::Pass => "pass",
            StepResult::Fail => "FAIL",
            StepResult::Unknown => "unknown",
            StepResult::Skipped => "skipped",
        };
        text.push_str(&format!("  {:<4} {result:<8} {}\n", step.step, escape_name(step.detail.as_bytes())));
    }
    if !evidence.fail_to_pass.is_empty() {
        text.push_str("\nfail without the change, pass with it:\n");
        for test in evidence.told_fail_to_pass() {
            text.push_str(&format!("  {}\n", escape_name(test.as_bytes())));
        }
    }
    if !evidence.flaky.is_empty() {
        text.push_str(&format!("\nflaky: {}\n", escape_name(evidence.flaky.join(", ").as_bytes())));
    }
    let refused = evidence.refused_hosts();
    if !refused.is_empty() {
        text.push('\n');
    }
    for host in refused {
        text.push_str(&format!("{}\n", escape_name(host.to_string().as_bytes())));
    }
    for signal in &evidence.signals {
        text.push_str(&format!(
            "\n{} at {}:{}: {}",
            signal.name,
            escape_name(signal.path.as_str().as_bytes()),
            signal.line,
            escape_name(signal.detail.as_bytes())
        ));
    }
    if !evidence.signals.is_empty() {
        text.push('\n');
    }
    text
}
