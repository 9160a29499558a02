//! The part of V8 that needs a run: control tests, added where nobody who wrote the patch could know of them.

use gloaming_api::evidence::{Finding, TestResults, TestStatus};
use gloaming_api::profile::CommandKind;

use crate::VerifyError;
use crate::bench::{Bench, Lane};
use crate::names::Names;
use crate::outcome::Outcome;
use crate::runners::{self, Control, Report, Trees};
use crate::steps::{Found, count};
use crate::suites::lane_of_base;

/// What a run with control tests showed.
pub(crate) struct Controls {
    /// What to say when the controls were reported as they are; else the step's finding.
    pub(crate) found: Result<String, Found>,
    /// The other tests' results of that run, where it ran.
    pub(crate) results: Option<TestResults>,
}

/// Runs the whole suite with control tests added to a copy of the patched tree. Where they are misreported,
/// the same is tried on the base: what the base gets right is held against the patch, what it gets wrong too
/// only says that the controls do not work here, and they are tried at another place.
pub(crate) async fn control_run(
    bench: &mut Bench<'_>,
    base_lane: &mut Option<Lane>,
    patched_lane: &Lane,
    report: &Report,
) -> Result<Controls, VerifyError> {
    let Some(command) = bench.inputs.profile.command(CommandKind::Test) else {
        return Ok(Controls {
            found: Err(Found::unknown(Finding::NoTests, "no test command")),
            results: None,
        });
    };
    let mut names = Names::new(bench.inputs.seed);
    let mut unknown = None;
    let base = lane_of_base(bench, base_lane)?;
    for placing in runners::placings(command) {
        let trees = Trees { base: &base.view(), patched: &patched_lane.view() };
        let controls = match runners::controls(command, *placing, report, &trees, &mut names) {
            Ok(controls) => controls,
            Err(why) => {
                let found = Found::unknown(Finding::SuiteNotRun, format!("no control tests: {why}"));
                unknown.get_or_insert(found);
                continue;
            }
        };
        let wrong = match added(bench, patched_lane, "patched-controls", &controls).await? {
            Ok(results) => {
                let added: usize = controls.iter().map(|control| 1 + control.fails.len()).sum();
                let said = format!(
                    "{} added after the freeze were reported as they are",
                    count(added, "control test")
                );
                return Ok(Controls { found: Ok(said), results: Some(results) });
            }
            Err(wrong) => wrong,
        };
        bench.tell("V8", "the control tests were misreported, the same on the base");
        let placed: Vec<Control> =
            controls.iter().filter(|control| fits(control, &base, patched_lane)).cloned().collect();
        if !placed.is_empty() && added(bench, &base, "baseline-controls", &placed).await?.is_ok() {
            let detail = format!(
                "control tests are reported as they are on the base, and with the patch not: {wrong}"
            );
            let found = Err(Found::fail(Finding::SuiteNotRun, detail));
            return Ok(Controls { found, results: None });
        }
        // What was run says more than that there was no place.
        let detail = format!("control tests are misreported on both trees: {wrong}");
        unknown = Some(Found::unknown(Finding::SuiteNotRun, detail));
    }
    let nowhere = || Found::unknown(Finding::SuiteNotRun, "no control tests: there is no place for them");
    Ok(Controls { found: Err(unknown.unwrap_or_else(nowhere)), results: None })
}

/// Runs the whole suite of a tree with control tests added: the other tests' results where each was reported as it is,
/// else what was not.
async fn added(
    bench: &mut Bench<'_>,
    lane: &Lane,
    label: &str,
    controls: &[Control],
) -> Result<Result<TestResults, String>, VerifyError> {
    Ok(match bench.suite(lane, label, "V8", controls).await? {
        Outcome::Ran(report) => match misreported(controls, &report.tests) {
            Some(wrong) => Err(wrong),
            None => {
                let mut tests = report.tests;
                tests.retain(|id, _| !controls.iter().any(|control| control.names(id)));
                Ok(tests)
            }
        },
        Outcome::BuildFailed(why)
        | Outcome::BuildLimit(why)
        | Outcome::SuiteLimit(why)
        | Outcome::NotRun(why) => Err(why),
    })
}

/// Whether a control that was placed by the patched tree can stand on the base: it is a new file on both, or
/// is added to a file of both.
fn fits(control: &Control, base: &Lane, patched: &Lane) -> bool {
    base.view().has(&control.path) == patched.view().has(&control.path)
}

/// Says which control test was not reported as it is.
fn misreported(controls: &[Control], tests: &TestResults) -> Option<String> {
    for control in controls {
        let fails = control.fails.iter().map(|name| (name, TestStatus::Failed));
        for (name, expect) in [(&control.passes, TestStatus::Passed)].into_iter().chain(fails) {
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
    use gloaming_api::RelPath;

    use super::*;

    #[test]
    fn controls_have_to_be_reported_exactly() {
        let control = Control {
            path: RelPath::parse("tests/test_x.py").unwrap(),
            text: String::new(),
            passes: "holds".into(),
            fails: vec!["breaks".into()],
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
