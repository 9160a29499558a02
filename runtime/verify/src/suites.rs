//! V3, V4, V7 and the part of V8 that needs runs: the patched tree's build, linter, suite and controls.

use std::collections::BTreeSet;

use gloaming_api::RelPath;
use gloaming_api::evidence::{Finding, TestResults, TestStatus};
use gloaming_api::job::JobExit;
use gloaming_api::profile::CommandKind;

use crate::bench::{Bench, Lane, Outcome};
use crate::compare::{Comparison, compare, flips, settle};
use crate::lint::new_findings;
use crate::names::Names;
use crate::renaming::Renames;
use crate::runners::{self, Control, Report};
use crate::steps::{Found, Steps, count, some_of};
use crate::{Baseline, VerifyError};

/// What explains that an id of the base is another one's on the patched tree.
pub(crate) struct Explained<'a> {
    pub(crate) renames: &'a Renames,
    pub(crate) moves: &'a [(RelPath, RelPath)],
}

/// What running the patched tree showed.
#[derive(Default)]
pub(crate) struct Seen {
    /// Settled results of the patched tree.
    pub(crate) patched: TestResults,
    /// Ids that flipped on the base, or on the patched tree without ever failing the comparison.
    pub(crate) flaky: BTreeSet<String>,
    pub(crate) comparison: Comparison,
    /// Ids that passed in every run of the patched tree.
    pub(crate) steady: BTreeSet<String>,
}

/// Runs V3, V4, V7 and V8. The steps noted decide whether V5 is worth its time: it is when V8 passed.
pub(crate) async fn run(
    bench: &mut Bench<'_>,
    steps: &mut Steps,
    lanes: (&mut Option<Lane>, &Lane),
    baseline: &Baseline,
    explained: &Explained<'_>,
    read_through: &str,
) -> Result<Seen, VerifyError> {
    let (base_lane, patched_lane) = lanes;
    let mut seen = Seen { flaky: baseline.flaky.iter().cloned().collect(), ..Seen::default() };

    let first = bench.suite(patched_lane, "patched", "V7", &[]).await?;
    if !build_step(bench, steps, &first) {
        return Ok(seen);
    }
    let lint = lint_step(bench, patched_lane, baseline).await?;
    if !steps.note("V4", lint) {
        return Ok(seen);
    }
    let first = match first {
        Outcome::Ran(report) => report,
        Outcome::SuiteLimit(why) => {
            steps.note(
                "V7",
                Found::fail(Finding::JobLimit, format!("{why} with the patch, twice, and not without it")),
            );
            return Ok(seen);
        }
        Outcome::NotRun(why) | Outcome::BuildFailed(why) | Outcome::BuildLimit(why) => {
            steps.note("V7", Found::unknown(Finding::SuiteNotRun, "there are no results to compare"));
            steps.note(
                "V8",
                Found::fail(
                    Finding::SuiteNotRun,
                    format!("the suite ran on the base and, with the patch, {why}"),
                ),
            );
            return Ok(seen);
        }
    };

    let against = |results: &TestResults, flaky: &BTreeSet<String>| {
        compare(&baseline.tests, results, flaky, explained.renames, explained.moves)
    };
    let mut runs = vec![first.tests.clone()];
    let mut controls = None;
    if against(&first.tests, &seen.flaky).is_clean() {
        // The second look at the patched tree is the one with the controls in it.
        let judged = control_run(bench, base_lane, patched_lane, &first).await?;
        runs.extend(judged.results.clone());
        controls = Some(judged.found);
    } else if let Some(second) = rerun(bench, patched_lane, "patched-2").await? {
        runs.push(second);
    }
    let mut unsteady = unsteady(&runs, &seen.flaky);
    if !unsteady.is_empty() {
        bench.tell(
            "V7",
            format!("{} differed between two runs, once more on both trees", count(unsteady.len(), "test")),
        );
        if let Some(third) = rerun(bench, patched_lane, "patched-3").await? {
            runs.push(third);
        }
        let lane = lane_of_base(bench, base_lane)?;
        if let Some(third) = rerun(bench, &lane, "baseline-3").await? {
            seen.flaky.extend(flips(&baseline.tests, &third));
        }
        unsteady.retain(|id| !seen.flaky.contains(id));
    }
    seen.patched = settle(&runs);
    seen.comparison = against(&seen.patched, &seen.flaky);
    seen.steady = seen
        .patched
        .keys()
        .filter(|id| runs.iter().all(|run| run.get(*id) == Some(&TestStatus::Passed)))
        .cloned()
        .collect();

    let found = compare_step(&seen, &runs, &unsteady, baseline, &first);
    if !steps.note("V7", found) {
        return Ok(seen);
    }
    let controls = match controls {
        Some(found) => found,
        None => control_run(bench, base_lane, patched_lane, &first).await?.found,
    };
    steps.note(
        "V8",
        match controls {
            Ok(said) => Found::pass(format!("{said}; {read_through}")),
            Err(found) => found,
        },
    );
    Ok(seen)
}

/// Returns the base's checkout, made when it is first needed.
pub(crate) fn lane_of_base(bench: &mut Bench<'_>, lane: &mut Option<Lane>) -> Result<Lane, VerifyError> {
    if let Some(lane) = lane {
        return Ok(lane.clone());
    }
    let made = bench.base_lane()?;
    *lane = Some(made.clone());
    Ok(made)
}

async fn rerun(bench: &mut Bench<'_>, lane: &Lane, label: &str) -> Result<Option<TestResults>, VerifyError> {
    Ok(match bench.suite(lane, label, "V7", &[]).await? {
        Outcome::Ran(report) => Some(report.tests),
        _ => None,
    })
}

fn unsteady(runs: &[TestResults], flaky: &BTreeSet<String>) -> BTreeSet<String> {
    let Some((first, rest)) = runs.split_first() else { return BTreeSet::new() };
    let mut out: BTreeSet<String> = rest.iter().flat_map(|run| flips(first, run)).collect();
    out.retain(|id| !flaky.contains(id));
    out
}

fn build_step(bench: &Bench<'_>, steps: &mut Steps, outcome: &Outcome) -> bool {
    let build = bench.inputs.profile.command(CommandKind::Build);
    let found = match outcome {
        Outcome::BuildFailed(why) => {
            Found::fail(Finding::BuildFailed, format!("built on the base and does not with the patch: {why}"))
        }
        Outcome::BuildLimit(why) => {
            Found::unknown(Finding::JobLimit, format!("with the patch, twice: {why}"))
        }
        _ => match build {
            Some(build) => Found::pass(format!("`{}` builds both trees", build.argv.join(" "))),
            None if bench.jobs.iter().any(|job| job.step == "V3") => {
                Found::pass("the tests of both trees compile")
            }
            None => Found::skipped("the profile has no build command"),
        },
    };
    steps.note("V3", found)
}

async fn lint_step(bench: &mut Bench<'_>, lane: &Lane, baseline: &Baseline) -> Result<Found, VerifyError> {
    let Some(command) = bench.inputs.profile.command(CommandKind::Lint) else {
        return Ok(Found::skipped("the profile has no lint command"));
    };
    let shown = command.argv.join(" ");
    let Some(before) = &baseline.lint else {
        return Ok(Found::skipped(format!("`{shown}` does not run on the untouched tree")));
    };
    let Some((exit, after)) = bench.lint(lane, "patched").await? else {
        return Ok(Found::skipped("the policy permits no lint jobs"));
    };
    let code = match exit {
        JobExit::Code(code) => code,
        other => return Ok(Found::unknown(Finding::JobLimit, format!("`{shown}` {other} with the patch"))),
    };
    let new = new_findings(&before.findings, &after);
    if code == 0 {
        return Ok(Found::pass(format!("`{shown}` is content")));
    }
    if !new.is_empty() {
        return Ok(Found::fail(
            Finding::NewLintFindings,
            format!("{}: {}", count(new.len(), "new finding"), some_of(&new)),
        ));
    }
    if before.clean {
        return Ok(Found::fail(
            Finding::NewLintFindings,
            format!("`{shown}` was content with the base and ends with exit {code} with the patch"),
        ));
    }
    if after.is_empty() {
        return Ok(Found::skipped(format!(
            "`{shown}` fails on both trees and prints nothing that could be compared"
        )));
    }
    Ok(Found::pass(format!("`{shown}` has no new findings; {} were there before", after.len())))
}

fn compare_step(
    seen: &Seen,
    runs: &[TestResults],
    unsteady: &BTreeSet<String>,
    baseline: &Baseline,
    first: &Report,
) -> Found {
    let found = &seen.comparison;
    // What newly fails beside regressions is mostly their shadow (a crashed executable, a fixture).
    let failing = if found.regressions.is_empty() { &found.new_failures } else { &found.regressions };
    if let Some(id) = failing.first() {
        let what = match (found.regressions.len(), found.new_failures.len()) {
            (0, new) => format!(
                "{} with the patch",
                if new == 1 { "1 new test fails".into() } else { format!("{new} new tests fail") }
            ),
            (old, _) => format!(
                "{} passed on the base and {} with the patch",
                count(old, "test"),
                if old == 1 { "fails" } else { "fail" }
            ),
        };
        let shown = found.renamed.get(id).unwrap_or(id);
        let message = first.messages.get(shown).map_or_else(String::new, |message| {
            format!("; the first says: {}", crate::steps::last_words(message, 300))
        });
        return Found::fail(Finding::Regression, format!("{what}: {}{message}", some_of(failing)));
    }
    if !found.weakened.is_empty() {
        return Found::fail(
            Finding::TestsWeakened,
            format!("no longer run as before: {}", some_of(&found.weakened)),
        );
    }
    if !found.vanished.is_empty() {
        return Found::fail(
            Finding::TestsWeakened,
            format!(
                "{} reported on the base and not with the patch: {}",
                count(found.vanished.len(), "test"),
                some_of(&found.vanished)
            ),
        );
    }
    // Settled to passing, but not every time, while the base never faltered.
    let faltered: Vec<String> = unsteady
        .iter()
        .filter(|id| runs.iter().any(|run| run.get(*id) != Some(&TestStatus::Passed)))
        .map(|id| {
            let times = runs.iter().filter(|run| run.get(id) != Some(&TestStatus::Passed)).count();
            format!("{id} ({times} of {} runs)", runs.len())
        })
        .collect();
    if !faltered.is_empty() {
        return Found::unknown(
            Finding::Regression,
            format!("did not pass every time with the patch, and always on the base: {}", some_of(&faltered)),
        );
    }
    let mut detail = format!(
        "{} on the base, {} with the patch, none fails that passed",
        count(baseline.tests.len(), "test"),
        seen.patched.len()
    );
    if !found.renamed.is_empty() {
        detail.push_str(&format!("; {} renamed", found.renamed.len()));
    }
    if !seen.flaky.is_empty() {
        let flaky: Vec<&String> = seen.flaky.iter().collect();
        detail.push_str(&format!("; flaky on the base and left out: {}", some_of(&flaky)));
    }
    Found::pass(detail)
}

struct Judged {
    /// What to say when the controls were reported as they are; else the step's finding.
    found: Result<String, Found>,
    /// The other tests' results of that run, where it ran.
    results: Option<TestResults>,
}

/// Runs the whole suite with control tests added to a copy of the patched tree. Where they are misreported,
/// the same is tried on the base: what the base gets right is held against the patch, what it gets wrong too
/// only says that the controls do not work here.
async fn control_run(
    bench: &mut Bench<'_>,
    base_lane: &mut Option<Lane>,
    patched_lane: &Lane,
    report: &Report,
) -> Result<Judged, VerifyError> {
    let Some(command) = bench.inputs.profile.command(CommandKind::Test) else {
        return Ok(Judged { found: Err(Found::unknown(Finding::NoTests, "no test command")), results: None });
    };
    let mut names = Names::new(bench.inputs.seed);
    let controls = match runners::controls(command, report, &patched_lane.view(), &mut names) {
        Ok(controls) => controls,
        Err(why) => {
            let found = Found::unknown(Finding::SuiteNotRun, format!("no control tests: {why}"));
            return Ok(Judged { found: Err(found), results: None });
        }
    };
    let (wrong, results) = match bench.suite(patched_lane, "patched-controls", "V8", &controls).await? {
        Outcome::Ran(report) => {
            let mut tests = report.tests;
            let wrong = misreported(&controls, &tests);
            tests.retain(|id, _| !controls.iter().any(|control| control.names(id)));
            (wrong, Some(tests))
        }
        Outcome::BuildFailed(why)
        | Outcome::BuildLimit(why)
        | Outcome::SuiteLimit(why)
        | Outcome::NotRun(why) => (Some(why), None),
    };
    let Some(wrong) = wrong else {
        let said = format!(
            "{} added after the freeze {} reported as they are",
            count(controls.len() * 2, "control test"),
            "were"
        );
        return Ok(Judged { found: Ok(said), results });
    };
    bench.tell("V8", "the control tests were misreported, the same on the base");
    let base = lane_of_base(bench, base_lane)?;
    let placed: Vec<Control> =
        controls.iter().filter(|control| fits(control, &base, patched_lane)).cloned().collect();
    let works_on_base = match bench.suite(&base, "baseline-controls", "V8", &placed).await? {
        Outcome::Ran(report) => !placed.is_empty() && misreported(&placed, &report.tests).is_none(),
        _ => false,
    };
    let found = if works_on_base {
        Found::fail(
            Finding::SuiteNotRun,
            format!("control tests are reported as they are on the base, and with the patch not: {wrong}"),
        )
    } else {
        Found::unknown(Finding::SuiteNotRun, format!("control tests are misreported on both trees: {wrong}"))
    };
    Ok(Judged { found: Err(found), results: None })
}

/// Whether a control that was placed by the patched tree can stand on the base: it is a new file on both, or
/// is added to a file of both.
fn fits(control: &Control, base: &Lane, patched: &Lane) -> bool {
    base.view().has(&control.path) == patched.view().has(&control.path)
}

/// Says which control test was not reported as it is.
fn misreported(controls: &[Control], tests: &TestResults) -> Option<String> {
    for control in controls {
        for (name, expect) in [(&control.passes, TestStatus::Passed), (&control.fails, TestStatus::Failed)] {
            let mut found = tests.iter().filter(|(id, _)| id.contains(name.as_str()));
            let what = match (found.next(), found.next()) {
                (Some((_, status)), None) if *status == expect => continue,
                (Some((_, status)), None) => format!("reported as {status:?}").to_lowercase(),
                (None, _) => "not reported".into(),
                (Some(_), Some(_)) => "reported more than once".into(),
            };
            let kind = if expect == TestStatus::Passed { "passing" } else { "failing" };
            return Some(format!("the {kind} control beside {} was {what}", control.path));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_have_to_be_reported_exactly() {
        let control = Control {
            path: RelPath::parse("tests/test_x.py").unwrap(),
            text: String::new(),
            passes: "holds".into(),
            fails: "breaks".into(),
        };
        let check = |results: &[(&str, TestStatus)]| {
            let tests = results.iter().map(|(id, status)| ((*id).to_owned(), *status)).collect();
            misreported(std::slice::from_ref(&control), &tests).unwrap_or_else(|| "as they are".into())
        };
        use TestStatus::{Failed, Passed, Skipped};
        assert_eq!(check(&[("t::holds", Passed), ("t::breaks", Failed), ("other", Failed)]), "as they are");
        assert_eq!(
            check(&[("t::holds", Passed), ("t::breaks", Passed)]),
            "the failing control beside tests/test_x.py was reported as passed"
        );
        assert_eq!(
            check(&[("t::holds", Skipped), ("t::breaks", Failed)]),
            "the passing control beside tests/test_x.py was reported as skipped"
        );
        assert_eq!(
            check(&[("t::holds", Passed)]),
            "the failing control beside tests/test_x.py was not reported"
        );
        assert_eq!(
            check(&[("t::holds", Passed), ("u::holds", Passed), ("t::breaks", Failed)]),
            "the passing control beside tests/test_x.py was reported more than once"
        );
    }
}
