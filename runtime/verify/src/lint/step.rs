//! V4: the commands run on both trees, and what the step says.

use gloaming_api::evidence::{Finding, LintFinding, LintLevel};
use gloaming_api::job::{JobExit, JobPurpose};
use gloaming_api::profile::{Command, CommandKind, Profile};
use serde::{Deserialize, Serialize};

use super::{Asked, Seen, ask, new_findings, place, read};
use crate::bench::{Bench, Lane};
use crate::change::Change;
use crate::steps::{Found, count, some_of};
use crate::{Baseline, VerifyError};

/// What one command said of the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LintSeen {
    /// The command as it stands in the profile.
    pub argv: Vec<String>,
    /// Whether it was run as it stands: what makes the tool print its machine format did not work here.
    pub plain: bool,
    /// Whether it ended with exit code 0.
    pub clean: bool,
    /// What it found; empty where its output is not of a known form.
    pub findings: Vec<Seen>,
}

/// The kinds of commands that say something of the code without running it.
const LINTING: &[CommandKind] = &[CommandKind::Format, CommandKind::Lint, CommandKind::Typecheck];

/// The commands whose findings are compared, every one of them.
pub(crate) fn commands(profile: &Profile) -> impl Iterator<Item = &Command> {
    profile.commands.iter().filter(|command| LINTING.contains(&command.kind))
}

struct Ran {
    exit: JobExit,
    plain: bool,
    findings: Vec<Seen>,
}

/// Runs one command on a lane; none when the policy permits none.
async fn run(
    bench: &mut Bench<'_>,
    lane: &Lane,
    label: &str,
    command: &Command,
    plain: bool,
) -> Result<Option<Ran>, VerifyError> {
    if bench.permit(JobPurpose::Lint, command).is_err() {
        return Ok(None);
    }
    let asked = if plain { Asked::plain(&command.argv) } else { ask(&command.argv) };
    let (exit, stdout, stderr) = bench.lint(lane, label, command, &asked.argv).await?;
    // A version that does not know the flags says so and finds nothing.
    let understood =
        asked.tool.and_then(|tool| tool.read).is_none_or(|read| read(&stdout, &stderr).is_some());
    let (exit, stdout, stderr, plain) = if !plain && !understood && exit != JobExit::Code(0) {
        let (exit, stdout, stderr) = bench.lint(lane, label, command, &command.argv).await?;
        (exit, stdout, stderr, true)
    } else {
        (exit, stdout, stderr, plain)
    };
    let asked = if plain { Asked::plain(&command.argv) } else { asked };
    let by = match asked.tool.or_else(|| ask(&command.argv).tool) {
        Some(tool) => tool.name.to_owned(),
        None => program(command),
    };
    let findings = place(read(&asked, &by, &stdout, &stderr), &command.cwd, &lane.view());
    Ok(Some(Ran { exit, plain, findings }))
}

/// `black` of `/venv/bin/black --check .`.
fn program(command: &Command) -> String {
    command.argv.first().and_then(|word| word.rsplit('/').next()).unwrap_or("linter").to_owned()
}

/// Looks at the base: the commands that run there.
pub(crate) async fn look(bench: &mut Bench<'_>, lane: &Lane) -> Result<Vec<LintSeen>, VerifyError> {
    let mut out = Vec::new();
    for command in commands(bench.inputs.profile) {
        let Some(ran) = run(bench, lane, "baseline", command, false).await? else { continue };
        match ran.exit {
            // 126 and 127: there is no such program here.
            JobExit::Code(126 | 127)
            | JobExit::Signal(_)
            | JobExit::TimedOut
            | JobExit::OutOfMemory
            | JobExit::Cancelled => {}
            JobExit::Code(code) => out.push(LintSeen {
                argv: command.argv.clone(),
                plain: ran.plain,
                clean: code == 0,
                findings: ran.findings,
            }),
        }
    }
    Ok(out)
}

/// Runs the commands on the patched tree and compares; returns what is new, also where that does not fail the step.
pub(crate) async fn step(
    bench: &mut Bench<'_>,
    lane: &Lane,
    baseline: &Baseline,
    change: &Change,
) -> Result<(Found, Vec<LintFinding>), VerifyError> {
    let all: Vec<&Command> = commands(bench.inputs.profile).collect();
    if all.is_empty() {
        return Ok((Found::skipped("the profile has no lint command"), Vec::new()));
    }
    let mut said = Vec::new();
    let mut passed = false;
    let mut new = Vec::new();
    let mut stopped = None;
    for command in all {
        let shown = command.argv.join(" ");
        let Some(before) = baseline.lint.iter().find(|seen| seen.argv == command.argv) else {
            said.push(format!("`{shown}` does not run on the untouched tree"));
            continue;
        };
        let Some(after) = run(bench, lane, "patched", command, before.plain).await? else {
            said.push("the policy permits no lint jobs".to_owned());
            continue;
        };
        let found = new_findings(&before.findings, &after.findings, change);
        match one(&shown, before, &after, &found) {
            Said::Content(words) => {
                passed = true;
                said.push(words);
            }
            Said::Nothing(words) => said.push(words),
            Said::Against(found) => stopped = stopped.or(Some(found)),
        }
        new.extend(found);
    }
    let found = match stopped {
        Some(found) => found,
        None if passed => Found::pass(said.join("; ")),
        None => Found::skipped(said.join("; ")),
    };
    Ok((found, new))
}

enum Said {
    Content(String),
    /// It cannot tell.
    Nothing(String),
    Against(Found),
}

fn one(shown: &str, before: &LintSeen, after: &Ran, new: &[LintFinding]) -> Said {
    let JobExit::Code(code) = after.exit else {
        return Said::Against(Found::unknown(
            Finding::JobLimit,
            format!("`{shown}` {} with the patch", after.exit),
        ));
    };
    // What the repository's own settings let it end with 0 for is told, and does not fail the step.
    let tool = if after.plain { None } else { ask(&before.argv).tool };
    let says_by_exit = tool.is_none_or(|tool| !tool.always_content);
    let counts = |finding: &&LintFinding| {
        finding.level == LintLevel::Error
            || (finding.level == LintLevel::Warning && (code != 0 || !says_by_exit))
    };
    let against: Vec<String> = new.iter().filter(counts).map(tell).collect();
    if !against.is_empty() {
        return Said::Against(Found::fail(
            Finding::NewLintFindings,
            format!("{}: {}", count(against.len(), "new finding"), some_of(&against)),
        ));
    }
    if code == 0 {
        let more =
            if new.is_empty() { String::new() } else { format!(", with {}", count(new.len(), "new note")) };
        return Said::Content(format!("`{shown}` is content{more}"));
    }
    if before.clean {
        return Said::Against(Found::fail(
            Finding::NewLintFindings,
            format!("`{shown}` was content with the base and ends with exit {code} with the patch"),
        ));
    }
    // It broke off: what it would have said with the patch is not known.
    if after.findings.is_empty() && !before.findings.is_empty() {
        return Said::Against(Found::unknown(
            Finding::NewLintFindings,
            format!(
                "`{shown}` told {} on the base and ends with exit {code} and no finding with the patch",
                count(before.findings.len(), "finding")
            ),
        ));
    }
    if after.findings.is_empty() {
        return Said::Nothing(format!(
            "`{shown}` fails on both trees and prints nothing that could be compared"
        ));
    }
    Said::Content(format!("`{shown}` has no new findings; {} were there before", after.findings.len()))
}

/// `src/a.rs:3: unused variable: `x` (rustc unused_variables)`.
fn tell(finding: &LintFinding) -> String {
    let place = match finding.line {
        0 => finding.path.to_string(),
        line => format!("{}:{line}", finding.path),
    };
    let by = format!("{} {}", finding.tool, finding.rule);
    format!("{place}: {} ({})", finding.message, by.trim_end())
}

#[cfg(test)]
mod tests {
    use gloaming_api::RelPath;

    use super::*;

    fn seen(count: usize) -> Vec<Seen> {
        let finding = LintFinding {
            tool: "ruff".into(),
            rule: "F401".into(),
            path: RelPath::parse("a.py").unwrap(),
            line: 1,
            message: "m".into(),
            level: LintLevel::Warning,
        };
        vec![Seen { finding, text: "import os".into() }; count]
    }

    fn check(before: (bool, usize), after: (i32, usize)) -> String {
        let base =
            LintSeen { argv: vec!["x".into()], plain: true, clean: before.0, findings: seen(before.1) };
        let patched = Ran { exit: JobExit::Code(after.0), plain: true, findings: seen(after.1) };
        match one("x", &base, &patched, &[]) {
            Said::Content(_) => "content".into(),
            Said::Nothing(_) => "nothing".into(),
            Said::Against(found) => format!("{:?}", found.result),
        }
    }

    #[test]
    fn a_linter_that_breaks_off_with_the_patch_says_nothing_for_it() {
        assert_eq!(check((true, 0), (0, 0)), "content");
        assert_eq!(check((true, 0), (2, 0)), "Fail");
        assert_eq!(check((false, 2), (1, 2)), "content");
        assert_eq!(check((false, 2), (2, 0)), "Unknown");
        // Its output is of no known form, and it never was content.
        assert_eq!(check((false, 0), (1, 0)), "nothing");
    }
}
