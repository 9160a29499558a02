//! The commit's message and the pull request's body.

use std::fmt::Write as _;

use gloaming_api::bowout::shorten;
use gloaming_api::evidence::{
    Evidence, FileRole, JobEvidence, Origin, StepResult, TestResults, TestStatus, Verdict,
};
use gloaming_api::job::JobPurpose;
use gloaming_api::profile::CommandKind;
use gloaming_api::{Attempt, Digest, TaskId};

use crate::text::{code, code_cell, inline, quote};

/// What a pull request is about.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The attempt that made it.
    pub attempt: Attempt,
    /// The task's text, as it was given.
    pub text: &'a str,
    /// What the playbook or model says it did; told as its words, not as fact.
    pub summary: &'a str,
    /// What the system saw.
    pub evidence: &'a Evidence,
    /// Digest of the evidence file's bytes.
    pub evidence_digest: &'a Digest,
    /// The gate's decision.
    pub verdict: &'a Verdict,
}

/// Returns a subject of at most 72 characters from the task's first line, and a body that names task and
/// evidence.
pub fn commit_message(change: &Change<'_>) -> String {
    let first = change.text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("Apply a change");
    let first = gloaming_api::path::escape_name(first.trim_start_matches(['#', ' ']).as_bytes());
    format!(
        "{}\n\n{}\n\nGloaming-Task: {}\nGloaming-Evidence: {}\n",
        shorten(first.trim_end_matches('.'), 72),
        wrap(&gloaming_api::path::escape_name(change.summary.replace('\n', " ").as_bytes()), 72),
        change.task,
        change.evidence_digest,
    )
}

fn wrap(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// Returns the pull request's body: what and why, the checks before and after, how to reproduce them,
/// what was not verified, the files; details folded; last a hidden marker of task and attempt, by which
/// the request is found again.
pub fn pull_request_body(change: &Change<'_>) -> String {
    let evidence = change.evidence;
    let mut out = String::new();
    let author = match &evidence.origin {
        Origin::Model(spec) => format!("the model {}", code(spec)),
        Origin::Playbook(name) => format!("the playbook {} (no model)", code(name)),
        Origin::External => "somebody else".to_owned(),
    };
    let _ = writeln!(out, "{}\n", quote(change.text, 600));
    let _ = writeln!(out, "**What was done**, in the words of {author}: {}\n", inline(change.summary, 600));

    let before = counts(&evidence.baseline_tests);
    let after = counts(&evidence.patched_tests);
    out.push_str("| check | before | after |\n| --- | --- | --- |\n");
    // How dependencies came here is no check of the change.
    let checks: Vec<&JobEvidence> =
        evidence.jobs.iter().filter(|run| run.record.purpose != JobPurpose::Setup).collect();
    for job in ["V3", "V4"] {
        let exits = |patched: bool| {
            let runs: Vec<String> = checks
                .iter()
                .filter(|run| run.step == job && run.tree.starts_with("patched") == patched)
                .map(|run| format!("{}: {}", code_cell(&run.record.argv.join(" ")), run.record.exit))
                .collect();
            if runs.is_empty() { "—".to_owned() } else { runs.join("<br>") }
        };
        if checks.iter().any(|run| run.step == job) {
            let name = if job == "V3" { "build" } else { "lint" };
            let _ = writeln!(out, "| {name} | {} | {} |", exits(false), exits(true));
        }
    }
    let _ = writeln!(out, "| tests passed | {} | {} |", before.passed, after.passed);
    let _ = writeln!(out, "| tests failed | {} | {} |", before.failed, after.failed);
    let _ = writeln!(out, "| tests skipped | {} | {} |", before.skipped, after.skipped);
    if !evidence.fail_to_pass.is_empty() {
        let _ = writeln!(
            out,
            "| failed without this change, pass with it | — | {} |",
            list(&evidence.told_fail_to_pass(), 3, "<br>")
        );
    }
    if let Some(mutants) = &evidence.mutants
        && let Some(own) = &mutants.own
    {
        let noticed = mutants.killed.saturating_add(mutants.timed_out);
        let all = noticed.saturating_add(mutants.survived);
        let judged = own.noticed.saturating_add(own.missed);
        let _ = writeln!(
            out,
            "| faults planted in the changed lines, noticed | — | {noticed} of {all}; {} of {judged} by the tests of \
             this change alone |",
            own.noticed
        );
    }
    if !evidence.flaky.is_empty() {
        let _ = writeln!(out, "| flaky | {} | |", list(&evidence.flaky, 3, ", "));
    }

    out.push_str("\n**To see it yourself**\n\n```sh\n");
    let _ = writeln!(out, "git switch {}", change.task.branch());
    if let Some(test) = evidence.commands.iter().find(|command| command.kind == CommandKind::Test) {
        let mut line = shell_words::join(&test.argv);
        if !test.cwd.is_root() {
            line = format!("cd {} && {line}", shell_words::quote(test.cwd.as_str()));
        }
        let _ = writeln!(out, "{}", gloaming_api::path::escape_name(line.as_bytes()));
    }
    out.push_str("```\n");

    out.push_str("\n**Not verified, and risks**\n\n");
    let mut any = false;
    for step in
        evidence.steps.iter().filter(|step| matches!(step.result, StepResult::Skipped | StepResult::Unknown))
    {
        let _ = writeln!(out, "- {}: {}", step.step, inline(&step.detail, 200));
        any = true;
    }
    for reason in change.verdict.reasons.iter().take(5) {
        let _ = writeln!(out, "- {}", inline(reason, 200));
        any = true;
    }
    for refused in evidence.refused_hosts().iter().take(5) {
        let _ = writeln!(out, "- {}", inline(&refused.to_string(), 200));
        any = true;
    }
    if !any {
        out.push_str(
            "- Every step of verification applied and passed; what tests do not cover stays unknown.\n",
        );
    }

    out.push_str("\n**Files**\n\n");
    for file in evidence.files.iter().take(20) {
        let why = match file.role {
            FileRole::Code => "code",
            FileRole::Test => "test",
            FileRole::RunnerConfig => "configuration",
            FileRole::Docs => "documentation",
            FileRole::Other => "other",
        };
        let _ = writeln!(out, "- {} (+{} −{}): {why}", code(file.path.as_str()), file.added, file.removed);
    }
    if evidence.files.len() > 20 {
        let _ = writeln!(out, "- and {} more", evidence.files.len() - 20);
    }

    out.push_str("\n<details><summary>Every step of verification</summary>\n\n| step | result | seen |\n| --- | --- | --- |\n");
    for step in &evidence.steps {
        let result = match step.result {
            StepResult::Pass => "pass",
            StepResult::Fail => "fail",
            StepResult::Unknown => "unknown",
            StepResult::Skipped => "skipped",
        };
        let _ = writeln!(out, "| {} | {result} | {} |", step.step, inline(&step.detail, 300));
    }
    let _ = writeln!(
        out,
        "\n{}, {:.2} needed. Base {}. Evidence: {}, {}.\n\n</details>\n",
        match change.verdict.p_merge {
            Some(p) => format!("P(merge) {p:.2}, calibrated on outcomes"),
            None => format!("Confidence {:.2}, not calibrated", change.verdict.confidence),
        },
        change.verdict.threshold,
        code(&evidence.base),
        code("evidence.json"),
        code(change.evidence_digest.as_str()),
    );
    let _ = writeln!(out, "<!-- gloaming task={} attempt={} -->", change.task, change.attempt);
    out
}

fn list(ids: &[String], most: usize, between: &str) -> String {
    let mut shown: Vec<String> = ids.iter().take(most).map(|id| code_cell(id)).collect();
    if ids.len() > most {
        shown.push(format!("and {} more", ids.len() - most));
    }
    shown.join(between)
}

struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

fn counts(results: &TestResults) -> Counts {
    let of = |wanted: &[TestStatus]| results.values().filter(|status| wanted.contains(status)).count();
    Counts {
        passed: of(&[TestStatus::Passed]),
        failed: of(&[TestStatus::Failed]),
        skipped: of(&[TestStatus::Skipped, TestStatus::ExpectedFailure]),
    }
}
