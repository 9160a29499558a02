//! The commit's message and the pull request's body.

use std::fmt::Write as _;

use gloaming_api::bowout::shorten;
use gloaming_api::evidence::{
    Evidence, FileRole, JobEvidence, Origin, StepResult, TestResults, TestStatus, Verdict,
};
use gloaming_api::job::JobPurpose;
use gloaming_api::profile::CommandKind;
use gloaming_api::{Attempt, Digest, TaskId};

use crate::text::{code, code_cell, inline, plain, quote};

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
/// evidence. Neither mentions or closes anything, whoever wrote the words.
pub fn commit_message(change: &Change<'_>) -> String {
    let first = change.text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("Apply a change");
    let first = plain(first.trim_start_matches(['#', ' ']));
    format!(
        "{}\n\n{}\n\nGloaming-Task: {}\nGloaming-Evidence: {}\n",
        shorten(first.trim_end_matches('.'), 72),
        wrap(&plain(change.summary), 72),
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

/// The parts of a pull request's body, each ending in a line feed.
struct Parts {
    asked: String,
    done: String,
    checks: String,
    reproduce: String,
    risks: String,
    files: String,
    details: String,
    marker: String,
}

impl Parts {
    fn of(change: &Change<'_>) -> Self {
        Self {
            asked: format!("{}\n", quote(change.text, 600)),
            done: done(change),
            checks: checks(change.evidence),
            reproduce: reproduce(change),
            risks: risks(change),
            files: files(change.evidence),
            details: details(change),
            marker: marker(change.task, change.attempt),
        }
    }
}

/// Returns the hidden line by which a pull request or comment is known to be of a task and attempt.
pub fn marker(task: &TaskId, attempt: Attempt) -> String {
    format!("<!-- gloaming task={task} attempt={attempt} -->\n")
}

/// Returns the pull request's body: what and why, the checks before and after, how to reproduce them,
/// what was not verified, the files; details folded; last a hidden marker of task and attempt, by which
/// the request is found again.
pub fn pull_request_body(change: &Change<'_>) -> String {
    let Parts { asked, done, checks, reproduce, risks, files, details, marker } = Parts::of(change);
    format!(
        "{asked}\n{done}\n{checks}\n**To see it yourself**\n\n{reproduce}\n**Not verified, and risks**\n\n{risks}\n\
         **Files**\n\n{files}\n{details}\n{marker}"
    )
}

/// The largest body that GitHub takes, characters, with room for a line or two around it.
const BODY_CAP: usize = 65_000;

/// Returns the same in the order and under the headings of a repository's template: what a heading asks for stands under
/// it, what no heading asks for behind all of them. Boxes to tick stay as they are; hints in comments are left out.
///
/// A template that makes it too long, or has no headings, is not followed.
pub fn pull_request_body_in(template: &str, change: &Change<'_>) -> String {
    let plain = pull_request_body(change);
    let template = without_comments(template);
    if !template.lines().any(|line| heading(line).is_some()) {
        return plain;
    }
    let parts = Parts::of(change);
    let marker = parts.marker.clone();
    let mut left: Vec<(&[&str], Option<&str>, String)> = vec![
        (
            &["why", "motivation", "context", "background", "problem", "issue"],
            Some("What was asked"),
            parts.asked,
        ),
        (&["what", "summary", "description", "change", "overview", "solution"], None, parts.done),
        (&["test", "verif", "checks", "qa"], None, format!("{}\n{}", parts.checks, parts.reproduce)),
        (&["risk", "not verified", "impact", "concern"], Some("Not verified, and risks"), parts.risks),
        (&["files"], Some("Files"), parts.files),
        (&[], None, parts.details),
    ];
    let mut out = String::new();
    for line in template.lines() {
        let _ = writeln!(out, "{line}");
        let Some(title) = heading(line).map(str::to_lowercase) else { continue };
        let wanted = left.iter().position(|(words, ..)| words.iter().any(|word| title.contains(word)));
        if let Some(at) = wanted {
            let _ = write!(out, "\n{}", left.remove(at).2);
        }
    }
    for (_, title, part) in left {
        if let Some(title) = title {
            let _ = write!(out, "\n**{title}**\n");
        }
        let _ = write!(out, "\n{part}");
    }
    let _ = write!(out, "\n{marker}");
    if out.chars().count() > BODY_CAP { plain } else { out }
}

/// Returns what an ATX heading says (CommonMark 4.2).
fn heading(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    ((1..=6).contains(&level) && rest.starts_with(' ')).then(|| rest.trim())
}

fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("<!--") {
        out.push_str(before);
        // One that is not closed reaches to the end, as in HTML.
        rest = comment.split_once("-->").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

fn done(change: &Change<'_>) -> String {
    let author = match &change.evidence.origin {
        Origin::Model(spec) => format!("the model {}", code(spec)),
        Origin::Playbook(name) => format!("the playbook {} (no model)", code(name)),
        Origin::External => "somebody else".to_owned(),
    };
    format!("**What was done**, in the words of {author}: {}\n", inline(change.summary, 600))
}

fn checks(evidence: &Evidence) -> String {
    let mut out = String::new();
    let before = counts(&evidence.baseline_tests);
    let after = counts(&evidence.patched_tests);
    out.push_str("| check | before | after |\n| --- | --- | --- |\n");
    // How dependencies came here is no check of the change.
    let checks: Vec<&JobEvidence> =
        evidence.jobs.iter().filter(|run| run.record.purpose != JobPurpose::Setup).collect();
    for job in ["V3", "V4"] {
        let exits = |patched: bool| {
            told_once(
                checks
                    .iter()
                    .filter(|run| run.step == job && run.tree.starts_with("patched") == patched)
                    .copied(),
            )
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
    out
}

/// Names each command once, with how it ended and how often it ended so: steps may run the same one again.
fn told_once<'a>(runs: impl Iterator<Item = &'a JobEvidence>) -> String {
    let mut commands: Vec<(String, Vec<(String, usize)>)> = Vec::new();
    for run in runs {
        let (command, exit) = (run.record.argv.join(" "), run.record.exit.to_string());
        let at = commands.iter().position(|(known, _)| *known == command).unwrap_or_else(|| {
            commands.push((command, Vec::new()));
            commands.len() - 1
        });
        let exits = &mut commands[at].1;
        match exits.iter_mut().find(|(known, _)| *known == exit) {
            Some((_, times)) => *times += 1,
            None => exits.push((exit, 1)),
        }
    }
    let told = commands.iter().map(|(command, exits)| {
        let exits = exits.iter().map(|(exit, times)| match times {
            1 => exit.clone(),
            times => format!("{exit} ({times} times)"),
        });
        format!("{}: {}", code_cell(command), exits.collect::<Vec<_>>().join(", "))
    });
    let told = told.collect::<Vec<_>>().join("<br>");
    if told.is_empty() { "—".to_owned() } else { told }
}

fn reproduce(change: &Change<'_>) -> String {
    let mut out = String::new();
    out.push_str("```sh\n");
    let _ = writeln!(out, "git switch {}", change.task.branch());
    if let Some(test) = change.evidence.commands.iter().find(|command| command.kind == CommandKind::Test) {
        let mut line = shell_words::join(&test.argv);
        if !test.cwd.is_root() {
            line = format!("cd {} && {line}", shell_words::quote(test.cwd.as_str()));
        }
        let _ = writeln!(out, "{}", gloaming_api::path::escape_name(line.as_bytes()));
    }
    out.push_str("```\n");
    out
}

fn risks(change: &Change<'_>) -> String {
    let evidence = change.evidence;
    let mut out = String::new();
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
    out
}

fn files(evidence: &Evidence) -> String {
    let mut out = String::new();
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
    out
}

fn details(change: &Change<'_>) -> String {
    let evidence = change.evidence;
    let mut out = String::new();
    out.push_str("<details><summary>Every step of verification</summary>\n\n| step | result | seen |\n| --- | --- | --- |\n");
    for step in &evidence.steps {
        let result = step.result.as_str();
        let _ = writeln!(out, "| {} | {result} | {} |", step.step, inline(&step.detail, 300));
    }
    let _ = writeln!(
        out,
        "\n{}, {:.2} needed. Base {}. Evidence: {}, {}.\n\n</details>",
        match change.verdict.p_merge {
            Some(p) => format!("P(merge) {p:.2}, calibrated on outcomes"),
            None => format!("Confidence {:.2}, not calibrated", change.verdict.confidence),
        },
        change.verdict.threshold,
        code(&evidence.base),
        code("evidence.json"),
        code(change.evidence_digest.as_str()),
    );
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
