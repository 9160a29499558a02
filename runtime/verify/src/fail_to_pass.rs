//! V5: tests that fail without the patch's code and pass with it.
//!
//! They fail for the right reason: the tree they fail on has all of the patch but its code, so that nothing else of it
//! can be what they want. How each fails is noted for a reviewer.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::evidence::{FileRole, Finding, Origin, TestStatus, WithoutCode};

use crate::bench::{Bench, Lane};
use crate::change::Change;
use crate::outcome::Outcome;
use crate::runners::Report;
use crate::steps::{Found, count, some_of};
use crate::suites::{Seen, lane_of_base};
use crate::{Baseline, VerifyError, failure, hybrid};

/// How so many tests fail is noted.
const MOST_NOTED: usize = 200;

/// What the step found: the tests by their ids, and how they fail without the code.
pub(crate) struct Shown {
    pub(crate) found: Found,
    pub(crate) tests: Vec<String>,
    pub(crate) how: Vec<WithoutCode>,
}

/// Finds them, and says whether the step passed. For a patch that nobody promised to be a fix or feature, having
/// none is no failure.
pub(crate) async fn run(
    bench: &mut Bench<'_>,
    base_lane: &mut Option<Lane>,
    change: &Change,
    origin: &Origin,
    baseline: &Baseline,
    seen: &Seen,
    rewritten: bool,
) -> Result<Shown, VerifyError> {
    // Failed in every run of the base, passed in every run with the patch.
    let mut found: BTreeSet<String> =
        seen.comparison.fixed.iter().filter(|id| seen.steady.contains(*id)).cloned().collect();
    let mut candidates: BTreeSet<String> =
        seen.comparison.added.iter().filter(|id| seen.steady.contains(*id)).cloned().collect();
    let added = candidates.len();
    if rewritten {
        // A test of the base may say more now, and fail where the patch's code is missing.
        let held = |id: &&String| baseline.tests.get(*id) == Some(&TestStatus::Passed);
        candidates.extend(seen.steady.iter().filter(held).cloned());
    }
    let overlay = hybrid::overlay(change);
    let mut compiles = true;
    let mut ended = true;
    let mut seen_again = false;
    let mut shown = BTreeSet::new();
    let mut messages = Messages::default();
    if !candidates.is_empty() && !overlay.is_empty() {
        let base = lane_of_base(bench, base_lane)?;
        let lane = bench.overlay_lane(&base, &overlay)?;
        let mut failing = candidates.clone();
        for label in ["tests-on-base", "tests-on-base-2"] {
            if failing.is_empty() {
                break;
            }
            match bench.suite(&lane, label, "V5", &[]).await? {
                Outcome::Ran(report) => {
                    let holders = Holders::of(&report, baseline, seen);
                    if baseline.kept {
                        seen_again = true;
                        found.retain(|id| fails_in(id, &report, &holders));
                    }
                    failing.retain(|id| fails_in(id, &report, &holders));
                    messages = Messages { of: report.messages, of_all: None };
                }
                // The new tests need what the patch adds: they cannot even be compiled without it. That does not
                // differ between runs.
                Outcome::BuildFailed(why) => {
                    compiles = false;
                    messages.of_all = Some(why);
                    break;
                }
                Outcome::BuildLimit(_) | Outcome::SuiteLimit(_) | Outcome::NotRun(_) => {
                    ended = false;
                    failing.clear();
                }
            }
        }
        shown = failing;
    }
    // What failed on the base in an earlier run may have failed for want of something that is there now.
    if baseline.kept && !seen_again && !found.is_empty() {
        let base = lane_of_base(bench, base_lane)?;
        match bench.suite(&base, "base-again", "V5", &[]).await? {
            Outcome::Ran(report) => {
                found.retain(|id| report.tests.get(id) == Some(&TestStatus::Failed));
            }
            _ => found.clear(),
        }
    }
    found.extend(shown);
    let list: Vec<String> = found.into_iter().collect();
    let changes_code = change.files.iter().any(|diff| diff.file.role == FileRole::Code);
    let step = if !list.is_empty() {
        let how = if compiles { "" } else { " (new tests do not compile without it)" };
        Found::pass(format!(
            "{} without the change and {} with it{how}: {}",
            if list.len() == 1 { "1 test fails".to_owned() } else { format!("{} tests fail", list.len()) },
            if list.len() == 1 { "passes" } else { "pass" },
            some_of(&list)
        ))
    } else if changes_code && matches!(origin, Origin::Model(_)) {
        let new = match added {
            _ if !ended => {
                "with its tests the untouched code did not run to an end, so none is known to".to_owned()
            }
            0 if rewritten => "the tests it changed hold without it too".to_owned(),
            0 => "the patch adds no test".to_owned(),
            added if overlay.is_empty() => {
                format!("the {} the patch adds cannot be run without its code", count(added, "test"))
            }
            added => format!("the {} the patch adds hold without it too", count(added, "test")),
        };
        Found::fail(
            Finding::NoFailToPass,
            format!("no test fails without the change and passes with it: {new}"),
        )
    } else {
        Found::skipped("no test fails without the change and passes with it; only code by a model needs one")
    };
    let noted = |id: &String| {
        let (by, said) = failure::of(messages.of(id)?);
        Some(WithoutCode { id: id.clone(), by, said })
    };
    let how = list.iter().filter_map(noted).take(MOST_NOTED).collect();
    Ok(Shown { found: step, tests: list, how })
}

/// What was said where the patch's code was missing.
#[derive(Default)]
struct Messages {
    /// By each test, or by what holds it.
    of: BTreeMap<String, String>,
    /// By the compiler, of all tests.
    of_all: Option<String>,
}

impl Messages {
    fn of(&self, id: &str) -> Option<&str> {
        let begins = |holder: &str| id.starts_with(holder.strip_suffix("(crashed)").unwrap_or(holder));
        let own = self.of.get(id).or_else(|| {
            let holder = self.of.iter().rev().find(|(holder, _)| begins(holder));
            holder.map(|(_, message)| message)
        });
        self.of_all.as_ref().or(own).map(String::as_str)
    }
}

/// Whether a new test failed where the patch's code was missing: it says so itself, or what holds it (a module
/// that did not import, a file that did not load, a crashed executable) does.
fn fails_in(id: &str, report: &Report, holders: &Holders<'_>) -> bool {
    match report.tests.get(id) {
        Some(status) => *status == TestStatus::Failed,
        None => holders.holds(id),
    }
}

/// What failed where the patch's code was missing and is no test of either tree: beginnings of the ids of the tests in
/// it. Without an executable's `(crashed)`.
struct Holders<'r>(BTreeSet<&'r str>);

impl<'r> Holders<'r> {
    fn of(report: &'r Report, baseline: &Baseline, seen: &Seen) -> Self {
        let failed = report.tests.iter().filter(|(_, status)| **status == TestStatus::Failed);
        let unknown = failed
            .map(|(holder, _)| holder.as_str())
            .filter(|holder| !baseline.tests.contains_key(*holder) && !seen.patched.contains_key(*holder));
        let begins = unknown.map(|holder| holder.strip_suffix("(crashed)").unwrap_or(holder));
        Self(begins.filter(|begin| !begin.is_empty()).collect())
    }

    /// Whether one of them is a beginning of `id`. Not a walk through all of them: there may be as many as there are
    /// tests.
    fn holds(&self, id: &str) -> bool {
        let mut left = id;
        loop {
            // What comes before `left` in order and begins it is the last that does, or begins what both share.
            let Some(last) = self.0.range(..=left).next_back() else { return false };
            if left.starts_with(last) {
                return true;
            }
            let same = left.chars().zip(last.chars()).take_while(|(a, b)| a == b);
            left = &left[..same.map(|(c, _)| c.len_utf8()).sum()];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_test_failed_by_itself_or_with_what_holds_it() {
        let check = |id: &str, seen_on_base: &[(&str, TestStatus)]| {
            let mut report = Report::default();
            for (id, status) in seen_on_base {
                report.add((*id).to_owned(), *status, None);
            }
            let baseline = Baseline::of_runs(&[[("tests.test_old".to_owned(), TestStatus::Failed)].into()]);
            fails_in(id, &report, &Holders::of(&report, &baseline, &Seen::default()))
        };
        use TestStatus::{Failed, Passed, Skipped};
        assert!(check("tests.test_a::t", &[("tests.test_a::t", Failed)]));
        assert!(check("tests.test_a::t", &[("tests.test_a", Failed)]));
        assert!(check("demo::demo::tests::t", &[("demo::demo::(crashed)", Failed)]));
        // Another stands between the two in order.
        let failed = ["tests.é", "tests.test_a", "tests.test_a.B"].map(|id| (id, Failed));
        assert!(check("tests.test_a::t", &failed));
        for (id, on_base) in [
            ("tests.test_a::t", &[("tests.test_a::t", Passed)][..]),
            ("tests.test_a::t", &[("tests.test_a::t", Skipped)]),
            // It was not run at all: nothing shows that it would have failed.
            ("tests.test_a::t", &[]),
            ("tests.test_a::t", &[("tests.test_b", Failed)]),
            // The module did not import before the patch's tests came either.
            ("tests.test_old::t", &[("tests.test_old", Failed)]),
        ] {
            assert!(!check(id, on_base), "{id} {on_base:?}");
        }
    }
}
