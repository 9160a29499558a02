//! Evidence and verdict as Markdown for a job summary or a comment: one screen that a reviewer would read.
//!
//! A pure function. Test names, messages and paths were written by the patch: they are shown as text that can be no
//! markup, link, image, mention, reference or HTML, and as one line.

use std::fmt::Write as _;

use gloaming_api::evidence::{Evidence, Runs, StepResult, TestResults, TestStatus, Verdict, VerdictKind};

/// The most characters of one cell.
const CELL: usize = 300;

/// The most rows of a table that is folded away.
const ROWS: usize = 50;

/// What each step is called.
const STEPS: &[(&str, &str)] = &[
    ("V0", "patch"),
    ("V1", "paths"),
    ("V2", "content"),
    ("V3", "build"),
    ("V4", "lint and types"),
    ("V5", "fail to pass"),
    ("V6", "tests near the change"),
    ("V7", "all tests"),
    ("V8", "integrity"),
    ("V9", "coverage and mutants"),
    ("V10", "soft signals"),
    ("V11", "review"),
    ("V12", "gate"),
];

/// Returns the summary.
pub fn markdown(evidence: &Evidence, verdict: &Verdict) -> String {
    let mut out = String::new();
    let head = match verdict.verdict {
        VerdictKind::Pass => "✅ worth a reviewer's time",
        VerdictKind::Block => "❌ blocked",
        VerdictKind::BowOut => "⚠️ not decided for the patch",
    };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "### Gloaming: {head} (`{}`)\n", code(&verdict.code));
    let _ = writeln!(out, "{}\n", text(&verdict.summary));
    if let Some(asked) = &evidence.asked {
        let _ = writeln!(out, "Asked for: {}\n", text(&asked.title));
    }
    let _ = writeln!(out, "| | step | seen |\n| --- | --- | --- |");
    for step in &evidence.steps {
        let mark = match step.result {
            StepResult::Pass => "✅",
            StepResult::Fail => "❌",
            StepResult::Unknown => "❓",
            StepResult::Skipped => "➖",
        };
        let name = STEPS.iter().find(|row| row.0 == step.step).map_or("", |row| row.1);
        let _ = writeln!(out, "| {mark} | {} {name} | {} |", text(&step.step), text(&step.detail));
    }
    let _ = writeln!(
        out,
        "\n| tests | passed | failed | skipped |\n| --- | --: | --: | --: |\n{}\n{}",
        counts("without the patch", &evidence.baseline_tests),
        counts("with the patch", &evidence.patched_tests)
    );
    confidence(&mut out, evidence, verdict);
    folded(
        &mut out,
        "tests that fail without the change and pass with it",
        &["test", "without it", "says"],
        evidence
            .fail_to_pass
            .iter()
            .map(|id| {
                let how = evidence.without_code.iter().find(|test| test.id == *id);
                let (by, said) =
                    how.map_or_else(Default::default, |how| (how.by.to_string(), how.said.clone()));
                vec![text(id), text(&by), text(&said)]
            })
            .collect(),
    );
    folded(
        &mut out,
        "tests that did not end alike in every run",
        &["test", "without the patch", "with it"],
        evidence
            .flakes
            .iter()
            .map(|flake| vec![text(&flake.id), runs(flake.base), runs(flake.patched)])
            .collect(),
    );
    folded(
        &mut out,
        "new findings of linters",
        &["place", "rule", "message"],
        evidence
            .findings
            .iter()
            .map(|found| {
                let rule = format!("{} {}", found.tool, found.rule);
                vec![place(found.path.as_str(), found.line), text(rule.trim()), text(&found.message)]
            })
            .collect(),
    );
    folded(
        &mut out,
        "faults that no test notices",
        &["place", "fault"],
        evidence
            .mutants
            .iter()
            .flat_map(|mutants| &mutants.survivors)
            .map(|mutant| vec![place(mutant.path.as_str(), mutant.line), text(&mutant.detail)])
            .collect(),
    );
    folded(
        &mut out,
        "soft signals",
        &["place", "signal", "seen"],
        evidence
            .signals
            .iter()
            .map(|signal| {
                vec![place(signal.path.as_str(), signal.line), text(&signal.name), text(&signal.detail)]
            })
            .collect(),
    );
    folded(
        &mut out,
        "hosts that jobs were refused",
        &["job", "host", "times", "because"],
        evidence
            .refused_hosts()
            .iter()
            .map(|refused| {
                let times = refused.times.to_string();
                vec![text(refused.purpose.as_str()), text(&refused.host), times, text(&refused.because)]
            })
            .collect(),
    );
    let _ = writeln!(out, "\nbase `{}`, patch `{}`", code(&evidence.base), code(&evidence.patch.to_string()));
    out
}

fn counts(name: &str, tests: &TestResults) -> String {
    let of = |wanted: &[TestStatus]| tests.values().filter(|status| wanted.contains(status)).count();
    format!(
        "| {name} | {} | {} | {} |",
        of(&[TestStatus::Passed, TestStatus::ExpectedFailure]),
        of(&[TestStatus::Failed]),
        of(&[TestStatus::Skipped])
    )
}

fn confidence(out: &mut String, evidence: &Evidence, verdict: &Verdict) {
    let (score, needed) = (verdict.confidence, verdict.threshold);
    let _ = match verdict.p_merge {
        Some(p) => write!(out, "\nP(merge) {p:.2}, {needed:.2} needed."),
        None => write!(out, "\nConfidence {score:.2}, {needed:.2} needed, weights not calibrated."),
    };
    if let Some(lines) = &evidence.coverage {
        let all = lines.covered.saturating_add(lines.uncovered);
        let _ = write!(out, " Tests run {} of {all} changed lines ({}).", lines.covered, text(&lines.tool));
    }
    if let Some(mutants) = &evidence.mutants {
        let noticed = mutants.killed.saturating_add(mutants.timed_out);
        let all = noticed.saturating_add(mutants.survived);
        let _ = write!(out, " They notice {noticed} of {all} planted faults.");
        if let Some(own) = &mutants.own {
            let judged = own.noticed.saturating_add(own.missed);
            let _ = write!(out, " Those the patch brings notice {} of {judged} by themselves.", own.noticed);
        }
    }
    out.push('\n');
    for reason in &verdict.reasons {
        let _ = writeln!(out, "- {}", text(reason));
    }
}

fn runs(runs: Runs) -> String {
    let mut words = vec![format!("{} passed", runs.passed), format!("{} failed", runs.failed)];
    if runs.absent > 0 {
        words.push(format!("{} not run", runs.absent));
    }
    words.join(", ")
}

fn place(path: &str, line: u32) -> String {
    if line == 0 { text(path) } else { format!("{}:{line}", text(path)) }
}

fn folded(out: &mut String, title: &str, head: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n<details><summary>{title}: {}</summary>\n", rows.len());
    let _ = writeln!(out, "| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len()));
    for row in rows.iter().take(ROWS) {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    if rows.len() > ROWS {
        let _ = writeln!(out, "| and {} more |{}", rows.len() - ROWS, " |".repeat(head.len() - 1));
    }
    let _ = writeln!(out, "\n</details>");
}

/// Text that is nothing but text, wherever it stands: punctuation is written as character references, which no
/// Markdown or HTML parser takes for markup, and with it the beginnings of mentions and references (`@`, `#`) and of
/// links (`:`, `.` of bare addresses).
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut gap = false;
    for c in gloaming_api::bowout::shorten(raw, CELL).chars() {
        if c.is_whitespace() || c.is_control() {
            gap = true;
            continue;
        }
        if gloaming_api::text::is_invisible(c) {
            continue;
        }
        if gap && !out.is_empty() {
            out.push(' ');
        }
        gap = false;
        match c {
            c if c.is_alphanumeric() => out.push(c),
            ',' | '/' | '?' | ';' | '(' | ')' | '=' | '%' | '+' => out.push(c),
            c if c.is_ascii() => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Our own words and digests between backticks: whatever else is left out.
fn code(raw: &str) -> String {
    raw.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_blocked_patch() {
        let (evidence, verdict) = samples::blocked();
        insta::assert_snapshot!(markdown(&evidence, &verdict), @r"
        ### Gloaming: ❌ blocked (`new_lint_findings`)

        V4&#58; 1 new finding&#58; src/a b&#46;py&#58;3

        Asked for: Sum of &#60;two&#62; numbers

        | | step | seen |
        | --- | --- | --- |
        | ✅ | V0 patch | applies |
        | ❌ | V4 lint and types | 1 new finding&#58; src/a b&#46;py&#58;3&#58; &#96;os&#96; imported &#124; unused (ruff F401) |
        | ❓ | V7 all tests | not known to hold&#58; tests&#46;test&#95;a&#58;&#58;t |
        | ➖ | V8 integrity | not reached&#58; V4 decided |

        | tests | passed | failed | skipped |
        | --- | --: | --: | --: |
        | without the patch | 1 | 0 | 0 |
        | with the patch | 2 | 0 | 0 |

        Confidence 0.70, 0.50 needed, weights not calibrated. Tests run 3 of 3 changed lines (coverage&#46;py). They notice 1 of 2 planted faults.
        - debug&#95;print ×1 (0&#46;7)

        <details><summary>tests that fail without the change and pass with it: 1</summary>

        | test | without it | says |
        | --- | --- | --- |
        | tests&#46;test&#95;a&#58;&#58;new | assertion | assert &#60;1&#62; == 2 &#124; &#64;all |

        </details>

        <details><summary>tests that did not end alike in every run: 1</summary>

        | test | without the patch | with it |
        | --- | --- | --- |
        | tests&#46;test&#95;a&#58;&#58;t&#91;&#60;b&#62;&#93; | 2 passed, 1 failed | 1 passed, 2 failed, 1 not run |

        </details>

        <details><summary>new findings of linters: 2</summary>

        | place | rule | message |
        | --- | --- | --- |
        | src/a b&#46;py:3 | ruff F401 | &#96;os&#96; imported &#124; unused, says &#64;someone |
        | src/a b&#46;py | black | not formatted |

        </details>

        <details><summary>faults that no test notices: 1</summary>

        | place | fault |
        | --- | --- |
        | src/a b&#46;py:2 | &#96;a &#60; b&#96; → &#96;a &#62;= b&#96; |

        </details>

        <details><summary>soft signals: 1</summary>

        | place | signal | seen |
        | --- | --- | --- |
        | src/a b&#46;py:4 | debug&#95;print | print(&#39;&#60;script&#62;&#39;) |

        </details>

        base `0123456789012345678901234567890123456789`, patch `sha256:a4895eb44afc336fecbba6e520cd67e178dace0276655d102fceffa8e5f70570`
        ");
    }

    #[test]
    fn a_passed_patch() {
        let (evidence, verdict) = samples::passed();
        insta::assert_snapshot!(markdown(&evidence, &verdict), @r"
        ### Gloaming: ✅ worth a reviewer's time (`ok`)

        every required step passed; confidence 1&#46;00, 0&#46;50 needed

        Asked for: Sum of &#60;two&#62; numbers

        | | step | seen |
        | --- | --- | --- |
        | ✅ | V0 patch | applies |
        | ✅ | V7 all tests | 2 tests on the base, 2 with the patch, none fails that passed |
        | ✅ | V9 coverage and mutants | the tests run 3 of 3 changed lines |

        | tests | passed | failed | skipped |
        | --- | --: | --: | --: |
        | without the patch | 1 | 0 | 0 |
        | with the patch | 2 | 0 | 0 |

        Confidence 1.00, 0.50 needed, weights not calibrated. Tests run 3 of 3 changed lines (coverage&#46;py). They notice 5 of 5 planted faults. Those the patch brings notice 3 of 4 by themselves.

        <details><summary>tests that fail without the change and pass with it: 1</summary>

        | test | without it | says |
        | --- | --- | --- |
        | tests&#46;test&#95;a&#58;&#58;new | assertion | assert &#60;1&#62; == 2 &#124; &#64;all |

        </details>

        base `0123456789012345678901234567890123456789`, patch `sha256:a4895eb44afc336fecbba6e520cd67e178dace0276655d102fceffa8e5f70570`
        ");
    }

    #[test]
    fn what_the_patch_names_is_no_markup() {
        let attack = "<img src=x> | @everyone #1 [a](https://evil.example) ![b](c) `x` **y** </details>\n# z \u{202e}w www.evil.example &lt;";
        let shown = text(attack);
        assert!(
            !shown.contains(['<', '>', '|', '@', '[', ']', '`', '*', '\n', '\u{202e}', '!', ':', '.']),
            "{shown}"
        );
        // The only `#` and `&` are those of the references.
        assert_eq!(shown.matches('#').count(), shown.matches("&#").count());
        assert_eq!(shown.matches('&').count(), shown.matches("&#").count());
        let (mut evidence, verdict) = samples::blocked();
        for file in &mut evidence.findings {
            file.message = attack.to_owned();
        }
        let whole = markdown(&evidence, &verdict);
        assert!(!whole.contains("<img") && !whole.contains("@everyone") && !whole.contains("https://evil"));
        assert_eq!(whole.matches("</details>").count(), whole.matches("<details>").count());
    }
}
