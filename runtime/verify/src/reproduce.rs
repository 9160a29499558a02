//! Whether a test that somebody wrote for a task fails on the untouched code, each time, and for the reason given.

use std::collections::BTreeMap;

use gloaming_api::evidence::{JobEvidence, TestStatus, WithoutCode};
use gloaming_workspace::Patch;
use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::change::Change;
use crate::outcome::Outcome;
use crate::steps::some_of;
use crate::{Baseline, BaselineInputs, VerifyError, failure};

/// How often it has to fail.
const RUNS: u32 = 3;

/// What the untouched code does with a new test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reproduction {
    /// Why the test shows nothing; none where it does.
    pub refused: Option<String>,
    /// The tests that fail, by their ids; none where they do not even compile without the change.
    pub tests: Vec<String>,
    /// How they fail.
    pub how: Vec<WithoutCode>,
    /// Every container run.
    pub jobs: Vec<JobEvidence>,
}

/// Runs the suite on the untouched tree with the files of a patch that holds tests alone, several times.
///
/// # Errors
/// Only infrastructure and cancellation.
pub async fn reproduce(
    inputs: BaselineInputs<'_>,
    patch: &Patch,
    baseline: &Baseline,
    fails_with: &str,
) -> Result<Reproduction, VerifyError> {
    let change = Change::read(inputs.repository, inputs.base, &patch.tree, &patch.files)?;
    let overlay: Vec<_> =
        change.files.iter().map(|diff| (diff.file.path.clone(), diff.after.clone())).collect();
    let mut bench = Bench::new(inputs);
    let base = bench.base_lane()?;
    let lane = bench.overlay_lane(&base, &overlay)?;
    let mut seen = Failing::default();
    for number in 1..=RUNS {
        let label = if number == 1 { "reproducer".to_owned() } else { format!("reproducer-{number}") };
        match bench.suite(&lane, &label, "V5", &[]).await? {
            Outcome::Ran(report) => seen.run(&report.tests, &report.messages, baseline, fails_with),
            // Without the change it does not even compile, which does not differ between runs.
            Outcome::BuildFailed(why) => {
                seen.compiler(&why, fails_with);
                break;
            }
            Outcome::BuildLimit(why) | Outcome::SuiteLimit(why) | Outcome::NotRun(why) => {
                seen.refused = Some(format!("with the test the suite does not run to an end: {why}"));
                break;
            }
        }
        if seen.refused.is_some() {
            break;
        }
    }
    let (refused, tests, how) = seen.told();
    Ok(Reproduction { refused, tests, how, jobs: bench.jobs })
}

/// What failed in every run so far.
#[derive(Default)]
struct Failing {
    refused: Option<String>,
    /// By test: what it said last.
    tests: Option<BTreeMap<String, String>>,
    compiler: Option<String>,
}

impl Failing {
    fn run(
        &mut self,
        tests: &BTreeMap<String, TestStatus>,
        messages: &BTreeMap<String, String>,
        baseline: &Baseline,
        fails_with: &str,
    ) {
        let failed = |id: &&String| tests[*id] == TestStatus::Failed;
        let flaky = |id: &String| baseline.flips.contains_key(id);
        let broken: Vec<String> = tests
            .keys()
            .filter(failed)
            .filter(|id| baseline.tests.get(*id) == Some(&TestStatus::Passed) && !flaky(id))
            .cloned()
            .collect();
        if !broken.is_empty() {
            self.refused =
                Some(format!("with the test others fail that passed before: {}", some_of(&broken)));
            return;
        }
        let new: BTreeMap<String, String> = tests
            .keys()
            .filter(failed)
            .filter(|id| !baseline.tests.contains_key(*id) && !flaky(id))
            .map(|id| (id.clone(), messages.get(id).cloned().unwrap_or_default()))
            .collect();
        if new.is_empty() {
            let added = tests.keys().filter(|id| !baseline.tests.contains_key(*id)).count();
            self.refused = Some(match added {
                0 => "the suite ran no test that it does not have already".to_owned(),
                _ => "no new test fails on the untouched code".to_owned(),
            });
            return;
        }
        let said: BTreeMap<String, String> =
            new.into_iter().filter(|(_, message)| says(message, fails_with)).collect();
        if said.is_empty() {
            self.refused = Some("no new test fails with the words that were given as the reason".to_owned());
            return;
        }
        let before = self.tests.take();
        let steady: BTreeMap<String, String> = match before {
            None => said,
            Some(before) => said.into_iter().filter(|(id, _)| before.contains_key(id)).collect(),
        };
        if steady.is_empty() {
            self.refused = Some("no new test fails in every run".to_owned());
        }
        self.tests = Some(steady);
    }

    fn compiler(&mut self, why: &str, fails_with: &str) {
        if says(why, fails_with) {
            self.compiler = Some(why.to_owned());
        } else {
            self.refused = Some(format!(
                "the test does not compile, and not with the words that were given as the reason: {}",
                gloaming_api::bowout::shorten(why, 400)
            ));
        }
    }

    fn told(self) -> (Option<String>, Vec<String>, Vec<WithoutCode>) {
        let tests = self.tests.unwrap_or_default();
        let noted = |(id, message): (&String, &String)| {
            let (by, said) = failure::of(message);
            WithoutCode { id: id.clone(), by, said }
        };
        let mut how: Vec<WithoutCode> = tests.iter().map(noted).collect();
        how.extend(self.compiler.iter().map(|why| {
            let (by, said) = failure::of(why);
            WithoutCode { id: "(compiler)".to_owned(), by, said }
        }));
        (self.refused, tests.into_keys().collect(), how)
    }
}

/// Whether a message holds some words, however its lines are broken.
fn says(message: &str, words: &str) -> bool {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let wanted = plain(words);
    !wanted.is_empty() && plain(message).contains(&wanted)
}

#[cfg(test)]
mod tests {
    use TestStatus::{Failed, Passed};

    use super::*;

    fn seen(runs: &[&[(&str, TestStatus, &str)]], fails_with: &str) -> (Option<String>, Vec<String>) {
        let baseline =
            Baseline::of_runs(&[[("t::old".to_owned(), Passed), ("t::red".to_owned(), Failed)].into()]);
        let mut failing = Failing::default();
        for run in runs {
            let tests = run.iter().map(|(id, status, _)| ((*id).to_owned(), *status)).collect();
            let messages = run.iter().map(|(id, _, said)| ((*id).to_owned(), (*said).to_owned())).collect();
            failing.run(&tests, &messages, &baseline, fails_with);
            if failing.refused.is_some() {
                break;
            }
        }
        let (refused, tests, _) = failing.told();
        (refused, tests)
    }

    #[test]
    fn a_test_shows_the_reason_when_it_fails_with_it_each_time() {
        let fails = ("t::new", Failed, "AssertionError: 5\n  != 6");
        let old = ("t::old", Passed, "");
        assert_eq!(seen(&[&[fails, old], &[fails, old]], "5 != 6"), (None, vec!["t::new".to_owned()]));
        for (runs, said) in [
            (&[&[old][..]][..], "ran no test that it does not have already"),
            (&[&[("t::new", Passed, ""), old]], "no new test fails on the untouched code"),
            (
                &[&[("t::red", Failed, "5 != 6"), ("t::new", Passed, "")]],
                "no new test fails on the untouched",
            ),
            (&[&[("t::new", Failed, "ImportError: calc")]], "not the words"),
            (&[&[fails, ("t::old", Failed, "")]], "others fail that passed before: t::old"),
            (&[&[fails], &[("t::other", Failed, "5 != 6")]], "in every run"),
        ] {
            let (refused, _) = seen(runs, "5 != 6");
            let refused = refused.expect("it shows nothing");
            let said = if said == "not the words" { "with the words that were given" } else { said };
            assert!(refused.contains(said), "{refused}");
        }
        assert!(!says("anything", "  \n"));
    }
}
