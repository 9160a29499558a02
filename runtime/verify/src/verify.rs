//! The order of steps, and the evidence they make.

use gloaming_api::RelPath;
use gloaming_api::evidence::{
    ChangedLines, CheckedCommand, Evidence, Finding, Flake, JobEvidence, LintFinding, Mutants, Signal,
    StepResult, TestResults, WithoutCode,
};
use gloaming_api::profile::{Command, CommandKind};
use gloaming_jobs::JobError;

use crate::baseline::{self, Baseline};
use crate::bench::{Bench, Lane};
use crate::change::Change;
use crate::integrity::Lets;
use crate::renaming::{self, Renames};
use crate::steps::{Found, Steps, some_of};
use crate::suites::{self, Explained};
use crate::{
    Inputs, VerifyError, alone, collected, commanded, content, coverage, fail_to_pass, integrity, mutation,
    rules, signals,
};

/// What a verification has seen so far.
#[derive(Default)]
struct Seen {
    baseline_tests: TestResults,
    patched_tests: TestResults,
    fail_to_pass: Vec<String>,
    without_code: Vec<WithoutCode>,
    flaky: Vec<String>,
    flakes: Vec<Flake>,
    findings: Vec<LintFinding>,
    coverage: Option<ChangedLines>,
    mutants: Option<Mutants>,
    /// What the patch does to existing tests, where the policy lets it.
    changed_tests: Vec<Signal>,
    /// That the tests the patch brings notice no planted fault.
    idle: Option<Signal>,
}

/// Runs a patch through every step and returns what was seen.
///
/// Cheap and decisive steps come first, and the first that does not pass ends the work; the steps behind it are
/// listed as skipped. What the text of a patch shows of V8 (a changed runner, weakened tests) is looked at
/// before anything runs.
///
/// # Errors
/// Only infrastructure and cancellation. That no container engine works is evidence too: V3 is unknown with
/// the code `no_engine`.
pub async fn verify(inputs: Inputs<'_>) -> Result<Evidence, VerifyError> {
    let mut bench = Bench::new(inputs.for_baseline());
    let mut steps = Steps::default();
    let mut seen = Seen::default();

    bench.tell("V0", "reading the patch");
    // What is too large is not looked into: to compare it line by line would cost a minute.
    let change = if rules::size(&inputs.patch.files, inputs.grant).result == StepResult::Pass {
        let mut change =
            Change::read(inputs.repository, inputs.base, &inputs.patch.tree, &inputs.patch.files)?;
        let of_base = |path: &RelPath| {
            let bytes = inputs.repository.read_file(inputs.base, path).ok()??;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        collected::mark(&mut change, inputs.profile, &of_base);
        change
    } else {
        Change::unread(&inputs.patch.files)
    };
    let signals = signals::signals(&change, inputs.profile.norms.as_ref());
    let mut names: Vec<&str> = signals.iter().map(|signal| signal.name.as_str()).collect();
    names.dedup();
    let v10 =
        if signals.is_empty() { "no signals".to_owned() } else { format!("signals: {}", some_of(&names)) };
    steps.note("V10", Found::pass(v10));

    let mut reused = Vec::new();
    match judge(&inputs, &mut bench, &mut steps, &mut seen, &change, &mut reused).await {
        Ok(()) => {}
        Err(VerifyError::Job(JobError::NoEngine(error))) => {
            steps.note("V3", Found::unknown(Finding::NoEngine, error.to_string()));
        }
        Err(VerifyError::Job(JobError::Denied { denial, .. })) => {
            steps.note(
                "V7",
                Found::unknown(Finding::NoTests, format!("the policy permits no such job: {denial}")),
            );
        }
        Err(VerifyError::Denied { purpose, denial }) => {
            steps.note(
                "V7",
                Found::unknown(
                    Finding::NoTests,
                    format!("the policy permits no {} jobs: {denial}", purpose.as_str()),
                ),
            );
        }
        Err(error) => return Err(error),
    }

    // What was set up before is in both.
    bench.jobs.retain(|job| !reused.contains(job));
    reused.append(&mut bench.jobs);
    let (task, attempt) = inputs.task.clone().unzip();
    Ok(Evidence {
        schema_version: 1,
        task,
        attempt,
        repo: inputs.repo_id.clone(),
        base: inputs.base.to_string(),
        patch: inputs.patch.digest.clone(),
        tree: Some(inputs.patch.tree.to_string()),
        origin: inputs.origin.clone(),
        grant: inputs.grant.digest().clone(),
        environment: (!reused.is_empty()).then(|| inputs.environment.clone()),
        commands: commands(&inputs, &reused),
        files: change.files.iter().map(|diff| diff.file.clone()).collect(),
        steps: steps.finish(),
        jobs: reused,
        baseline_tests: seen.baseline_tests,
        patched_tests: seen.patched_tests,
        fail_to_pass: seen.fail_to_pass,
        without_code: seen.without_code,
        flaky: seen.flaky,
        flakes: seen.flakes,
        findings: seen.findings,
        coverage: seen.coverage,
        mutants: seen.mutants,
        asked: None,
        sent_back: 0,
        signals: signals.into_iter().chain(seen.changed_tests).chain(seen.idle).collect(),
        journal_head: None,
        journal_length: None,
    })
}

/// The profile's commands that jobs were made of, here or for the baseline that is kept.
fn commands(inputs: &Inputs<'_>, jobs: &[JobEvidence]) -> Vec<CheckedCommand> {
    let ran = |command: &&Command| {
        jobs.iter().any(|job| {
            let record = &job.record;
            record.command.as_ref().unwrap_or(&record.argv) == &command.argv
                && record.cwd == command.cwd.as_str()
        })
    };
    let checked = |command: &Command| CheckedCommand {
        kind: command.kind,
        argv: command.argv.clone(),
        cwd: command.cwd.clone(),
    };
    inputs.profile.commands.iter().filter(ran).map(checked).collect()
}

async fn judge(
    inputs: &Inputs<'_>,
    bench: &mut Bench<'_>,
    steps: &mut Steps,
    seen: &mut Seen,
    change: &Change,
    jobs: &mut Vec<JobEvidence>,
) -> Result<(), VerifyError> {
    if inputs.patch.base != *inputs.base {
        let detail = format!("the patch was made against {}", inputs.patch.base);
        steps.note("V0", Found::fail(Finding::PatchDoesNotApply, detail));
        return Ok(());
    }
    if !steps.note("V0", rules::size(&inputs.patch.files, inputs.grant))
        || !steps.note("V1", rules::paths(change, inputs.grant))
        || !steps.note("V2", content::forbidden(change))
    {
        return Ok(());
    }
    bench.tell("V8", "reading what the patch does to the tests");
    let patched = bench.patched_lane(&inputs.patch.tree, change)?;
    let renames: Renames = renaming::renames(change, &patched.view());
    let lets = Lets::of(inputs.grant);
    let rewritten = lets.existing_tests;
    if let Some(found) = commanded::changed(change, inputs.profile, &patched.view(), lets) {
        steps.note("V8", found);
        return Ok(());
    }
    let found = if rewritten {
        integrity::signals_of(change, &renames, &patched.view(), lets)
            .map(|signals| seen.changed_tests = signals)
            .err()
    } else {
        integrity::read_through(change, &renames, &patched.view(), lets)
    };
    if let Some(found) = found {
        steps.note("V8", found);
        return Ok(());
    }

    let mut base_lane: Option<Lane> = None;
    let given = inputs.baseline.filter(|baseline| baseline.fits(&bench.inputs));
    let kept = if given.is_none() { baseline::kept(bench).await? } else { None };
    let made;
    let baseline: &Baseline = match given.or(kept.as_ref()) {
        Some(baseline) => {
            jobs.extend(baseline.jobs.iter().cloned());
            baseline
        }
        None => {
            bench.tell("baseline", "building and testing the untouched tree");
            let lane = suites::lane_of_base(bench, &mut base_lane)?;
            made = baseline::make(bench, &lane).await?;
            &made
        }
    };
    seen.baseline_tests = baseline.tests.clone();
    seen.flaky = baseline.flips.keys().cloned().collect();
    if let Some(red) = &baseline.red {
        match red.code {
            Finding::NoTests => steps.note("V7", Found::unknown(Finding::NoTests, &red.detail)),
            Finding::JobLimit => steps.note("V3", Found::unknown(Finding::JobLimit, &red.detail)),
            code => steps.note("V3", Found::fail(code, &red.detail)),
        };
        return Ok(());
    }

    if !rewritten
        && let Some(found) = integrity::read_with_report(change, &renames, &baseline.tests, &patched.view())
    {
        steps.note("V8", found);
        return Ok(());
    }
    let moves = change.moves();
    let runner = inputs.profile.command(CommandKind::Test).and_then(|command| command.runner);
    let without_tests = alone::overlay(change, &renames, runner, rewritten);
    let explained = Explained { renames: &renames, moves: &moves, without_tests: &without_tests };
    let read_through = integrity::read_through_detail(change, &renames, seen.changed_tests.len());
    let ran =
        suites::run(bench, steps, (&mut base_lane, &patched), baseline, &explained, change, &read_through)
            .await?;
    seen.flaky = ran.flaky.iter().cloned().collect();
    seen.flakes = ran.flakes.clone();
    seen.findings = ran.findings.clone();
    seen.patched_tests = ran.patched.clone();
    if !steps.passed("V8") {
        return Ok(());
    }
    let rewritten = !seen.changed_tests.is_empty();
    let shown =
        fail_to_pass::run(bench, &mut base_lane, change, &inputs.origin, baseline, &ran, rewritten).await?;
    (seen.fail_to_pass, seen.without_code) = (shown.tests, shown.how);
    if steps.note("V5", shown.found) {
        let found = confidence(bench, &patched, change, baseline, &ran, seen).await?;
        steps.note("V9", found);
    }
    Ok(())
}

/// V9: what says how much the tests mean the changed lines. It fails nothing.
async fn confidence(
    bench: &mut Bench<'_>,
    patched: &Lane,
    change: &Change,
    baseline: &Baseline,
    ran: &suites::Seen,
    seen: &mut Seen,
) -> Result<Found, VerifyError> {
    let covered = if bench.inputs.effort.coverage {
        coverage::measure(bench, patched, change).await?
    } else {
        Err("not asked for".to_owned())
    };
    let noticed = mutation::run(bench, patched, change, baseline, ran, &seen.fail_to_pass).await?;
    let measured = covered.is_ok() || noticed.is_ok();
    let lines = match covered {
        Ok((lines, detail)) => {
            seen.coverage = Some(lines);
            detail
        }
        Err(why) => format!("coverage is not measured: {why}"),
    };
    let faults = match noticed {
        Ok(noticed) => {
            seen.mutants = Some(noticed.mutants);
            seen.idle = noticed.idle;
            noticed.detail
        }
        Err(why) => format!("no faults are planted: {why}"),
    };
    let detail = format!("{lines}; {faults}");
    Ok(if measured { Found::pass(detail) } else { Found::skipped(detail) })
}
