//! What was run and seen of a change, and what the gate made of it.

use gloaming_api::evidence::{Evidence, StepResult, TestResults, TestStatus, Verdict, VerdictKind};
use maud::{Markup, html};

use super::text::{code, facts, long, mark, name_of, plain, shown, table, took, words};

/// Rows of a table that are shown.
const ROWS: usize = 200;

pub(super) fn verdict(verdict: &Verdict) -> Markup {
    let (word, kind) = match verdict.verdict {
        VerdictKind::Pass => ("Pass", "good"),
        VerdictKind::Block => ("Block", "bad"),
        VerdictKind::BowOut => ("Bow out", "warn"),
    };
    let steps: Vec<Vec<Markup>> = verdict
        .steps
        .iter()
        .map(|step| {
            let (word, kind) = match step.result {
                StepResult::Pass => ("Pass", "good"),
                StepResult::Fail => ("Fail", "bad"),
                StepResult::Unknown => ("Unknown", "warn"),
                StepResult::Skipped => ("Skipped", "quiet"),
            };
            let code = step.code.as_ref().map(|code| html! { code { (name_of(code)) } " " });
            vec![
                html! { (shown(&step.step)) },
                mark(word, kind),
                html! { @if let Some(code) = code { (code) } (shown(&step.detail)) },
            ]
        })
        .collect();
    html! {
        section aria-labelledby="verdict" {
            h2 id="verdict" { "Verdict" }
            p { (mark(word, kind)) " " (shown(&verdict.summary)) }
            (facts(&[
                ("Code", code(&verdict.code)),
                ("Reason", verdict.reason_code.and_then(|reason| plain(words(reason.as_str())))),
                ("Confidence", plain(format!("{:.2}, needed {:.2}", verdict.confidence, verdict.threshold))),
                ("Merged, by estimate", verdict.p_merge.and_then(|p| plain(format!("{p:.2}")))),
                ("Weights", plain(if verdict.calibrated { "fitted on outcomes" } else { "not fitted on outcomes" })),
            ]))
            @if !verdict.reasons.is_empty() {
                h3 { "What moved the score" }
                ul { @for reason in &verdict.reasons { li { (shown(reason)) } } }
            }
            @if !steps.is_empty() { (table("Steps of verification", &["Step", "Result", "What was seen"], &steps)) }
        }
    }
}

pub(super) fn evidence(seen: &Evidence) -> Markup {
    html! {
        section aria-labelledby="evidence" {
            h2 id="evidence" { "Evidence" }
            (facts(&[
                ("Base", code(&seen.base)),
                ("Tree", seen.tree.as_ref().and_then(code)),
                ("Patch", code(&seen.patch)),
                ("Tests before", tests(&seen.baseline_tests)),
                ("Tests after", tests(&seen.patched_tests)),
                ("Changed lines run by tests", seen.coverage.as_ref().and_then(|lines| {
                    plain(format!("{} of {}, by {}", lines.covered, lines.covered.saturating_add(lines.uncovered), lines.tool))
                })),
                ("Planted faults noticed", seen.mutants.as_ref().and_then(|faults| {
                    let noticed = faults.killed.saturating_add(faults.timed_out);
                    plain(format!("{noticed} of {}", noticed.saturating_add(faults.survived)))
                })),
                ("Sent back to its author", (seen.sent_back > 0).then(|| html! { (seen.sent_back) })),
            ]))
            (listed("Fails without the change, passes with it", &seen.told_fail_to_pass()))
            (listed("Tests that do not always end alike", &seen.flaky))
            (files(seen))
            (findings(seen))
            (signals(seen))
            (jobs(seen))
        }
    }
}

fn tests(results: &TestResults) -> Option<Markup> {
    let count = |wanted: TestStatus| results.values().filter(|status| **status == wanted).count();
    let told = [
        (TestStatus::Passed, "passed"),
        (TestStatus::Failed, "failed"),
        (TestStatus::Skipped, "skipped"),
        (TestStatus::ExpectedFailure, "failed as expected"),
    ]
    .map(|(status, word)| (count(status), word));
    let told: Vec<String> =
        told.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    plain(told.join(", "))
}

fn listed(heading: &str, lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            h3 { (heading) }
            ul { @for line in lines.iter().take(ROWS) { li { code { (shown(line)) } } } }
            (left_out(lines.len()))
        }
    }
}

fn left_out(count: usize) -> Markup {
    html! { @if count > ROWS { p class="hint" { "And " (count - ROWS) " more." } } }
}

fn rows<T>(caption: &str, heads: &[&str], all: &[T], row: impl Fn(&T) -> Vec<Markup>) -> Markup {
    let rows: Vec<Vec<Markup>> = all.iter().take(ROWS).map(row).collect();
    html! { @if !rows.is_empty() { (table(caption, heads, &rows)) (left_out(all.len())) } }
}

fn files(seen: &Evidence) -> Markup {
    rows("Changed files", &["File", "Change", "Role", "Lines"], &seen.files, |file| {
        let lines =
            if file.binary { "binary".to_owned() } else { format!("+{} -{}", file.added, file.removed) };
        vec![
            html! { code { (shown(file.path.as_str())) } },
            html! { (words(&name_of(&file.change))) },
            html! { (words(&name_of(&file.role))) },
            html! { (lines) },
        ]
    })
}

/// A line of a file, or all of it.
fn place(path: &str, line: u32) -> Markup {
    html! { code { (shown(path)) @if line > 0 { ":" (line) } } }
}

fn findings(seen: &Evidence) -> Markup {
    rows("New findings of linters", &["Place", "By", "Level", "What it says"], &seen.findings, |finding| {
        vec![
            place(finding.path.as_str(), finding.line),
            html! { (shown(&finding.tool)) " " (shown(&finding.rule)) },
            html! { (words(&name_of(&finding.level))) },
            html! { (shown(&finding.message)) },
        ]
    })
}

fn signals(seen: &Evidence) -> Markup {
    rows("Signals that lower confidence", &["Place", "Signal", "What was seen"], &seen.signals, |signal| {
        vec![
            place(signal.path.as_str(), signal.line),
            html! { (shown(&words(&signal.name))) },
            html! { (shown(&signal.detail)) },
        ]
    })
}

fn jobs(seen: &Evidence) -> Markup {
    let numbered: Vec<_> = seen.jobs.iter().enumerate().collect();
    rows("Container runs", &["Tree", "Step", "Command", "End", "Time"], &numbered, |(at, job)| {
        let record = &job.record;
        vec![
            html! { (shown(&job.tree)) },
            html! { (shown(&job.step)) },
            command(&format!("evidence-job-{at}"), record),
            html! { (record.exit.to_string()) },
            html! { (took(record.duration_ms)) },
        ]
    })
}

/// The command of a job, with what it printed last.
pub(super) fn command(id: &str, record: &gloaming_api::job::JobRecord) -> Markup {
    let line = record.command.as_ref().unwrap_or(&record.argv).join(" ");
    let printed = [record.stdout_tail.as_str(), record.stderr_tail.as_str()];
    let printed = printed.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
    html! {
        @if printed.is_empty() { code { (shown(&line)) } } @else { (long(id, &line, &printed)) }
    }
}
