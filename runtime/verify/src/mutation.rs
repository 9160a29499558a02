//! V9, second half: whether the tests notice when a changed line is wrong.
//!
//! Faults come from `gloaming_syntax::mutants`, spread over the changed lines in a fixed order. Each is planted in a copy of the
//! patched tree, and the tests run on it: the whole suite where that takes no longer than
//! [`crate::Effort::alone_from`], else those the patch adds. Only tests that passed in every run of the patched tree
//! can notice. A fault that does not compile says nothing and is not counted.
//!
//! Which of the tests that the patch brings notice a fault is read in the same run's report. Where the whole suite did not
//! end, so that nobody can say who noticed, those tests run alone.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::RelPath;
use gloaming_api::evidence::{Mutant, Mutants, NoticedByOwn, Signal, TestStatus};
use gloaming_api::profile::{Command, CommandKind};
use gloaming_syntax::Language;

use crate::bench::{Bench, Lane, SuiteRun};
use crate::change::Change;
use crate::coverage::product_lines;
use crate::outcome::Outcome;
use crate::runners::{self, Report};
use crate::steps::{count, some_of};
use crate::suites::Seen;
use crate::{Baseline, VerifyError};

/// The most survivors that are listed.
const LISTED: usize = 20;

/// How many times longer than the suite a run with a fault may take before it counts as never ending.
const PATIENCE: u64 = 4;

struct Planted {
    path: RelPath,
    content: Vec<u8>,
    fault: gloaming_syntax::Mutant,
}

/// The signal that the tests a patch brings notice no fault in what it changes.
pub const IDLE_TESTS: &str = "idle_tests";

/// What the tests noticed.
pub(crate) struct Noticed {
    pub(crate) mutants: Mutants,
    pub(crate) detail: String,
    /// Where the tests that the patch brings notice none of it by themselves.
    pub(crate) idle: Option<Signal>,
}

/// The tests that the patch brings.
struct Own {
    ids: BTreeSet<String>,
    /// What runs them and no others, where the runner can be told to.
    command: Option<Command>,
}

impl Own {
    fn of(bench: &Bench<'_>, lane: &Lane, seen: &Seen, fail_to_pass: &[String]) -> Self {
        let mut ids: BTreeSet<String> = fail_to_pass.iter().cloned().collect();
        ids.extend(seen.comparison.added.iter().cloned());
        ids.retain(|id| seen.steady.contains(id));
        let listed: Vec<&str> = ids.iter().map(String::as_str).collect();
        let whole = bench.inputs.profile.command(CommandKind::Test);
        let command = whole.and_then(|command| runners::only(command, &listed, &lane.view()));
        Self { ids, command }
    }
}

/// What the tests noticed; `Err` is the rule by which nothing was planted.
pub(crate) async fn run(
    bench: &mut Bench<'_>,
    lane: &Lane,
    change: &Change,
    baseline: &Baseline,
    seen: &Seen,
    fail_to_pass: &[String],
) -> Result<Result<Noticed, String>, VerifyError> {
    let effort = bench.inputs.effort;
    if effort.mutants == 0 {
        return Ok(Err("no faults are planted in this run".into()));
    }
    let planted = plant(change, effort.mutants as usize);
    if planted.is_empty() {
        return Ok(Err("the changed lines hold nothing that a fault could be planted in".into()));
    }
    let own = Own::of(bench, lane, seen, fail_to_pass);
    let command = match command(bench, baseline, &own) {
        Ok(command) => command,
        Err(why) => return Ok(Err(why)),
    };
    let limit = effort.mutant_time.as_millis();
    let wall_s = (baseline.suite_ms.saturating_mul(PATIENCE) / 1000).max(10);
    let first_job = bench.jobs.len();
    let mut out = Mutants { killed: 0, survived: 0, timed_out: 0, survivors: Vec::new(), own: None };
    let mut by_own = NoticedByOwn::default();
    let mut by = BTreeSet::new();
    let mut first = None;
    let (mut tried, mut unviable) = (0_usize, 0_usize);
    for (number, one) in (1..).zip(&planted) {
        let spent: u128 = bench.jobs[first_job..].iter().map(|job| u128::from(job.record.duration_ms)).sum();
        if spent >= limit {
            break;
        }
        let label = format!("mutant-{number}");
        let overlay = [(one.path.clone(), Some(one.content.clone()))];
        let faulty = bench.overlay_of_patched(lane, &label, &overlay)?;
        let suite = SuiteRun {
            command: &command,
            lane: &faulty,
            label: &label,
            step: "V9",
            controls: &[],
            wall_s: Some(wall_s),
        };
        let outcome = bench.suite_once(&suite).await?;
        tried += 1;
        let of_own = if own.ids.is_empty() {
            None
        } else {
            noticed_by_own(bench, &suite, &outcome, &own, &seen.steady).await?
        };
        bench.forget(faulty);
        if !matches!(outcome, Outcome::BuildFailed(_) | Outcome::BuildLimit(_)) {
            first.get_or_insert(one);
            match of_own {
                Some(ids) if ids.is_empty() => by_own.missed += 1,
                Some(ids) => {
                    by_own.noticed += 1;
                    by.extend(ids);
                }
                None => by_own.unknown += 1,
            }
        }
        match outcome {
            Outcome::Ran(report) if noticed(&report, &seen.steady) => out.killed += 1,
            Outcome::Ran(_) => {
                out.survived += 1;
                if out.survivors.len() < LISTED {
                    out.survivors.push(told(one));
                }
            }
            // Nothing ran to its end: whoever runs the tests sees that.
            Outcome::NotRun(_) => out.killed += 1,
            Outcome::SuiteLimit(_) => out.timed_out += 1,
            Outcome::BuildFailed(_) | Outcome::BuildLimit(_) => unviable += 1,
        }
    }
    let counted = (out.killed + out.survived + out.timed_out) as usize;
    let Some(first) = first.filter(|_| counted > 0) else {
        return Ok(Err(format!("none of {} with a planted fault builds", count(tried, "copy"))));
    };
    if !own.ids.is_empty() {
        by_own.by = by.into_iter().collect();
        out.own = Some(by_own);
    }
    let mut detail =
        format!("they notice {} of {}", out.killed + out.timed_out, count(counted, "planted fault"));
    if !out.survivors.is_empty() {
        let survivors: Vec<String> = out
            .survivors
            .iter()
            .map(|mutant| format!("{}:{} ({})", mutant.path, mutant.line, mutant.detail))
            .collect();
        detail.push_str(&format!(", not {}", some_of(&survivors)));
    }
    if let Some(own) = &out.own {
        detail.push_str(&told_of_own(own));
    }
    if unviable > 0 {
        detail.push_str(&format!("; {unviable} more did not build"));
    }
    if tried < planted.len() {
        detail.push_str(&format!("; {} more were not tried: time was up", planted.len() - tried));
    }
    let all: Vec<String> = own.ids.into_iter().collect();
    let idle = out.unnoticed_by(&all).then(|| Signal {
        name: IDLE_TESTS.to_owned(),
        path: first.path.clone(),
        line: first.fault.line,
        detail: format!(
            "whatever was broken in the lines it changes, here {}, every test that the patch brings passes: {}",
            told(first).detail,
            some_of(&all)
        ),
    });
    Ok(Ok(Noticed { mutants: out, detail, idle }))
}

/// Which of the tests that the patch brings notice the fault of a run; none where that cannot be told.
async fn noticed_by_own(
    bench: &mut Bench<'_>,
    suite: &SuiteRun<'_>,
    outcome: &Outcome,
    own: &Own,
    steady: &BTreeSet<String>,
) -> Result<Option<BTreeSet<String>>, VerifyError> {
    Ok(match outcome {
        Outcome::Ran(report) => Some(noticing(report, &own.ids, steady)),
        Outcome::BuildFailed(_) | Outcome::BuildLimit(_) => None,
        Outcome::NotRun(_) | Outcome::SuiteLimit(_) => {
            let Some(command) = &own.command else { return Ok(None) };
            // They ran alone already where the suite takes long.
            if command == suite.command {
                return Ok(Some(own.ids.clone()));
            }
            let label = format!("{}-own", suite.label);
            let alone = SuiteRun { command, label: &label, ..*suite };
            match bench.suite_once(&alone).await? {
                Outcome::Ran(report) => Some(noticing(&report, &own.ids, steady)),
                Outcome::NotRun(_) | Outcome::SuiteLimit(_) => Some(own.ids.clone()),
                Outcome::BuildFailed(_) | Outcome::BuildLimit(_) => None,
            }
        }
    })
}

/// Which of some tests failed in a run, by themselves or with what holds them.
fn noticing(report: &Report, ids: &BTreeSet<String>, steady: &BTreeSet<String>) -> BTreeSet<String> {
    let holders: Vec<&str> = report
        .tests
        .iter()
        .filter(|(id, status)| **status == TestStatus::Failed && !id.is_empty() && !steady.contains(*id))
        .map(|(id, _)| id.strip_suffix("(crashed)").unwrap_or(id))
        .collect();
    let noticed = |id: &&String| match report.tests.get(*id) {
        Some(status) => *status == TestStatus::Failed,
        None => holders.iter().any(|holder| id.starts_with(holder)),
    };
    ids.iter().filter(noticed).cloned().collect()
}

fn told_of_own(own: &NoticedByOwn) -> String {
    let told = own.noticed + own.missed;
    let mut text = match told {
        0 => String::new(),
        _ => format!("; the tests the patch brings notice {} of {told} by themselves", own.noticed),
    };
    if own.unknown > 0 {
        text.push_str(&format!(
            "; of {} it is not known whether they notice: the suite did not end, and the runner cannot be told to run them \
             alone",
            own.unknown
        ));
    }
    text
}

/// The faults to plant, at most so many: of each changed line the first, then of each the second, and so on.
fn plant(change: &Change, most: usize) -> Vec<Planted> {
    let mut ranked: Vec<(usize, Planted)> = Vec::new();
    for (path, lines) in product_lines(change) {
        let diff = change.files.iter().find(|diff| diff.file.path == path);
        let (Some(language), Some(after)) =
            (Language::of(path.as_str()), diff.and_then(|diff| diff.after.as_deref()))
        else {
            continue;
        };
        let mut on_line: BTreeMap<u32, usize> = BTreeMap::new();
        for fault in gloaming_syntax::mutants(language, after, &lines) {
            let Some(content) = fault.apply(after) else { continue };
            let rank = on_line.entry(fault.line).or_default();
            ranked.push((*rank, Planted { path: path.clone(), content, fault }));
            *rank += 1;
        }
    }
    // The order of files and lines is kept within a rank.
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().take(most).map(|(_, planted)| planted).collect()
}

/// The command that runs the tests which are to notice.
fn command(bench: &Bench<'_>, baseline: &Baseline, own: &Own) -> Result<Command, String> {
    let Some(command) = bench.inputs.profile.command(CommandKind::Test) else {
        return Err("the profile has no test command".into());
    };
    if u128::from(baseline.suite_ms) <= bench.inputs.effort.alone_from.as_millis() {
        return Ok(command.clone());
    }
    if own.ids.is_empty() {
        return Err("the patch adds no test, and the suite takes too long to run it for each fault".into());
    }
    own.command.clone().ok_or_else(|| {
        "the runner cannot be told to run the added tests alone, and the suite takes too long".into()
    })
}

/// Whether a test that always passed does not.
fn noticed(report: &Report, steady: &BTreeSet<String>) -> bool {
    let failed = |id: &String| report.tests.get(id) == Some(&TestStatus::Failed);
    // What holds a test may fail in its place: a module that does not import, an executable that crashes.
    report.tests.iter().any(|(id, status)| {
        *status == TestStatus::Failed && !steady.contains(id) && !id.is_empty() && stands_for(id, steady)
    }) || steady.iter().any(failed)
}

fn stands_for(id: &str, steady: &BTreeSet<String>) -> bool {
    let holder = id.strip_suffix("(crashed)").unwrap_or(id);
    steady.range(holder.to_owned()..).next().is_some_and(|next| next.starts_with(holder))
}

fn told(one: &Planted) -> Mutant {
    let instead =
        if one.fault.replacement.trim().is_empty() { "nothing" } else { one.fault.replacement.trim() };
    Mutant {
        path: one.path.clone(),
        line: one.fault.line,
        operator: one.fault.operator.to_owned(),
        detail: gloaming_api::bowout::shorten(&format!("`{}` → `{instead}`", one.fault.original), 160),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::diff;

    #[test]
    fn faults_are_spread_over_the_lines() {
        let change = Change {
            files: vec![
                diff("a.py", Some("x\n"), Some("x\na = 1 + 1\nb = 2 + 2\n")),
                diff("b.py", None, Some("c = d < e\n")),
            ],
            base: BTreeMap::new(),
            patched: BTreeMap::new(),
        };
        let shown = |most| -> Vec<String> {
            plant(&change, most)
                .iter()
                .map(|one| format!("{}:{} {}", one.path, one.fault.line, one.fault.operator))
                .collect()
        };
        assert_eq!(
            shown(5),
            [
                "a.py:2 off_by_one",
                "a.py:3 off_by_one",
                "b.py:1 move_boundary",
                "a.py:2 swap_arithmetic",
                "a.py:3 swap_arithmetic"
            ]
        );
        assert_eq!(shown(100).len(), 8);
        assert_eq!(shown(5), shown(5));
    }

    #[test]
    fn which_of_the_patchs_own_tests_notice() {
        use TestStatus::{Failed, Passed};
        let set = |ids: &[&str]| -> BTreeSet<String> { ids.iter().map(|id| (*id).to_owned()).collect() };
        let steady = set(&["m::a", "m::ab", "n::c", "p::p::t"]);
        let own = set(&["m::ab", "p::p::t"]);
        let seen = |results: &[(&str, TestStatus)]| {
            let mut report = Report::default();
            for (id, status) in results {
                report.add((*id).to_owned(), *status, None);
            }
            noticing(&report, &own, &steady)
        };
        assert_eq!(seen(&[("m::ab", Failed), ("n::c", Failed), ("p::p::t", Passed)]), set(&["m::ab"]));
        // Another test whose name begins alike is none that holds it.
        assert_eq!(seen(&[("m::a", Failed), ("m::ab", Passed), ("p::p::t", Passed)]), set(&[]));
        assert_eq!(seen(&[("m", Failed), ("p::p::t", Passed)]), set(&["m::ab"]));
        assert_eq!(seen(&[("m::ab", Passed), ("p::p::(crashed)", Failed)]), set(&["p::p::t"]));
    }

    #[test]
    fn when_the_patchs_own_tests_are_idle() {
        let own = ["t::new".to_owned(), "t::newer".to_owned()];
        let judged = |(killed, survived): (u32, u32), noticed, unknown, by: &[&str], of: &[String]| {
            let by = by.iter().map(|id| (*id).to_owned()).collect();
            let missed = killed + survived - noticed - unknown;
            let own = Some(NoticedByOwn { noticed, missed, unknown, by });
            Mutants { killed, survived, timed_out: 0, survivors: Vec::new(), own }.unnoticed_by(of)
        };
        assert!(judged((3, 0), 0, 0, &[], &own), "others notice all of it");
        assert!(judged((0, 2), 0, 0, &[], &own), "nobody notices anything");
        assert!(!judged((0, 1), 0, 0, &[], &own), "one that nobody notices may change nothing");
        assert!(!judged((1, 2), 0, 1, &[], &own), "one was noticed by nobody knows whom");
        assert!(!judged((1, 2), 1, 0, &["t::new"], &own));
        assert!(judged((1, 2), 1, 0, &["t::newer"], &own[..1]), "the one test that is asked about did not");
        let nothing = Mutants { killed: 3, survived: 0, timed_out: 0, survivors: Vec::new(), own: None };
        assert!(!nothing.unnoticed_by(&own), "the patch brings no test");
    }

    #[test]
    fn what_notices() {
        let steady: BTreeSet<String> = ["m::a", "p::p::t"].map(str::to_owned).into();
        let check = |results: &[(&str, TestStatus)]| {
            let mut report = Report::default();
            for (id, status) in results {
                report.add((*id).to_owned(), *status, None);
            }
            noticed(&report, &steady)
        };
        use TestStatus::{Failed, Passed};
        assert!(check(&[("m::a", Failed)]));
        assert!(check(&[("m", Failed)]));
        assert!(check(&[("p::p::(crashed)", Failed)]));
        // One that failed before, or flips, notices nothing.
        assert!(!check(&[("m::a", Passed), ("z::flaky", Failed)]));
        assert!(!check(&[]));
    }
}
