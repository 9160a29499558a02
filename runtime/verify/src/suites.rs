//! V3, V4, V6, V7 and the part of V8 that needs runs: the patched tree's build, linter, suite and controls.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::RelPath;
use gloaming_api::evidence::{Finding, Flake, LintFinding, TestResults, TestStatus};
use gloaming_api::job::JobPurpose;
use gloaming_api::profile::CommandKind;

use crate::bench::{Bench, Lane};
use crate::change::Change;
use crate::compare::{Comparison, compare, settle};
use crate::flakes::Next;
use crate::outcome::Outcome;
use crate::renaming::Renames;
use crate::reruns::{self, Judged};
use crate::runners::Report;
use crate::steps::{Found, Steps, count, some_of};
use crate::{Baseline, VerifyError, alone, lint, near};

/// What explains that an id of the base is another one's on the patched tree.
pub(crate) struct Explained<'a> {
    pub(crate) renames: &'a Renames,
    pub(crate) moves: &'a [(RelPath, RelPath)],
    /// What makes the patched tree one with the base's tests.
    pub(crate) without_tests: &'a [(RelPath, Option<Vec<u8>>)],
}

/// What running the patched tree showed.
#[derive(Default)]
pub(crate) struct Seen {
    /// Settled results of the patched tree.
    pub(crate) patched: TestResults,
    /// Ids that flipped on the base, or on the patched tree and were cleared.
    pub(crate) flaky: BTreeSet<String>,
    /// What linters newly say.
    pub(crate) findings: Vec<LintFinding>,
    /// How often they and others flipped.
    pub(crate) flakes: Vec<Flake>,
    pub(crate) comparison: Comparison,
    /// Ids that passed in every run of the patched tree.
    pub(crate) steady: BTreeSet<String>,
}

/// Runs V3, V4, V6, V7 and V8. The steps noted decide whether V5 is worth its time: it is when V8 passed.
pub(crate) async fn run(
    bench: &mut Bench<'_>,
    steps: &mut Steps,
    lanes: (&mut Option<Lane>, &Lane),
    baseline: &Baseline,
    explained: &Explained<'_>,
    change: &Change,
    read_through: &str,
) -> Result<Seen, VerifyError> {
    let (base_lane, patched_lane) = lanes;
    let mut seen = Seen { flaky: baseline.flips.keys().cloned().collect(), ..Seen::default() };

    let near = near::run(bench, (&mut *base_lane, patched_lane), baseline, explained, change).await?;
    if !steps.note("V6", near) {
        return Ok(seen);
    }
    let first = bench.suite(patched_lane, "patched", "V7", &[]).await?;
    if !build_step(bench, steps, &first) {
        return Ok(seen);
    }
    let (lint, findings) = lint::step(bench, patched_lane, baseline, change).await?;
    seen.findings = findings;
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

    let judged = reruns::judge(bench, base_lane, patched_lane, baseline, explained, &first).await?;
    seen.flaky = judged.flaky(baseline);
    seen.flakes = judged.flakes.clone();
    seen.patched = settle(&judged.runs);
    let reference = baseline.reference();
    seen.comparison = compare(&reference, &seen.patched, &seen.flaky, explained.renames, explained.moves);
    seen.steady = seen
        .patched
        .keys()
        .filter(|id| judged.runs.iter().all(|run| run.get(*id) == Some(&TestStatus::Passed)))
        .cloned()
        .collect();

    let found = compare_step(&mut seen, &judged, baseline, &first);
    if !steps.note("V7", found) {
        return Ok(seen);
    }
    if let Err(found) = alone::look(bench, patched_lane, explained, baseline, &seen.flaky).await? {
        steps.note("V8", found);
        return Ok(seen);
    }
    steps.note(
        "V8",
        match judged.controls {
            Some(Ok(said)) => Found::pass(format!("{said}; {read_through}")),
            Some(Err(found)) => found,
            None => Found::unknown(Finding::SuiteNotRun, "the control tests were not run"),
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
            None if bench
                .jobs
                .iter()
                .any(|job| job.step == "V3" && job.record.purpose != JobPurpose::Setup) =>
            {
                Found::pass("the tests of both trees compile")
            }
            None => Found::skipped("the profile has no build command"),
        },
    };
    steps.note("V3", found)
}

fn compare_step(seen: &mut Seen, judged: &Judged, baseline: &Baseline, first: &Report) -> Found {
    match judged.decision {
        Next::Guilty => {
            let mut found = seen.comparison.clone();
            found.retain(&judged.guilty.keys().map(String::as_str).collect());
            against(&found, &judged.guilty, first)
        }
        Next::Unknown | Next::Run(_) => {
            let open: Vec<String> = judged.open.iter().map(|(id, told)| format!("{id} ({told})")).collect();
            let why = judged.stopped.as_ref().map_or_else(String::new, |why| format!("; {why}"));
            Found::unknown(
                Finding::Regression,
                format!("not known to hold with the patch as without it: {}{why}", some_of(&open)),
            )
        }
        Next::Cleared => {
            // Of the base nothing is known: that a test of the patch's own flips is the patch's doing.
            let own: Vec<&String> = judged
                .cleared
                .iter()
                .filter(|id| !baseline.tests.contains_key(*id) && !baseline.flips.contains_key(*id))
                .filter(|id| judged.runs.iter().any(|run| run.get(*id) == Some(&TestStatus::Passed)))
                .collect();
            if own.is_empty() {
                nothing_against(seen, judged, baseline)
            } else {
                Found::unknown(
                    Finding::Regression,
                    format!("new with the patch, and not passing every time: {}", some_of(&own)),
                )
            }
        }
    }
}

fn against(found: &Comparison, guilty: &BTreeMap<String, String>, first: &Report) -> Found {
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
        let told = guilty.get(id).map_or_else(String::new, |told| format!("; the first {told}"));
        let shown = found.renamed.get(id).unwrap_or(id);
        let message = first.messages.get(shown).map_or_else(String::new, |message| {
            format!("; it says: {}", crate::steps::last_words(message, 300))
        });
        return Found::fail(Finding::Regression, format!("{what}: {}{told}{message}", some_of(failing)));
    }
    if !found.weakened.is_empty() {
        return Found::fail(
            Finding::TestsWeakened,
            format!("no longer run as before: {}", some_of(&found.weakened())),
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
    // They ended in so many ways that most runs agree on none.
    let told: Vec<String> = guilty.iter().map(|(id, told)| format!("{id} ({told})")).collect();
    Found::fail(Finding::Regression, format!("worse with the patch: {}", some_of(&told)))
}

fn nothing_against(seen: &Seen, judged: &Judged, baseline: &Baseline) -> Found {
    let mut detail = format!(
        "{} on the base, {} with the patch, none fails that passed",
        count(baseline.tests.len(), "test"),
        seen.patched.len()
    );
    if !seen.comparison.renamed.is_empty() {
        detail.push_str(&format!("; {} renamed", seen.comparison.renamed.len()));
    }
    let on_patched: Vec<&String> =
        judged.cleared.iter().filter(|id| !baseline.flips.contains_key(*id)).collect();
    if !on_patched.is_empty() {
        detail.push_str(&format!(
            "; failed once with the patch and are cleared by reruns: {}",
            some_of(&on_patched)
        ));
    }
    if !baseline.flips.is_empty() {
        let flaky: Vec<&String> = baseline.flips.keys().collect();
        detail.push_str(&format!("; flaky on the base: {}", some_of(&flaky)));
    }
    Found::pass(detail)
}
