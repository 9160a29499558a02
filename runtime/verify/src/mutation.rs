//! V9, second half: whether the tests notice when a changed line is wrong.
//!
//! Faults come from `gloaming_syntax::mutants`, spread over the changed lines in a fixed order. Each is planted in a copy of the
//! patched tree, and the tests run on it: the whole suite where that takes no longer than
//! [`crate::Effort::alone_from`], else those the patch adds. Only tests that passed in every run of the patched tree
//! can notice. A fault that does not compile says nothing and is not counted.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::RelPath;
use gloaming_api::evidence::{Mutant, Mutants, TestStatus};
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

/// What the tests noticed; `Err` is the rule by which nothing was planted.
pub(crate) async fn run(
    bench: &mut Bench<'_>,
    lane: &Lane,
    change: &Change,
    baseline: &Baseline,
    seen: &Seen,
    fail_to_pass: &[String],
) -> Result<Result<(Mutants, String), String>, VerifyError> {
    let effort = bench.inputs.effort;
    if effort.mutants == 0 {
        return Ok(Err("no faults are planted in this run".into()));
    }
    let planted = plant(change, effort.mutants as usize);
    if planted.is_empty() {
        return Ok(Err("the changed lines hold nothing that a fault could be planted in".into()));
    }
    let command = match command(bench, lane, baseline, seen, fail_to_pass) {
        Ok(command) => command,
        Err(why) => return Ok(Err(why)),
    };
    let limit = effort.mutant_time.as_millis();
    let wall_s = (baseline.suite_ms.saturating_mul(PATIENCE) / 1000).max(10);
    let first_job = bench.jobs.len();
    let mut out = Mutants { killed: 0, survived: 0, timed_out: 0, survivors: Vec::new() };
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
        bench.forget(faulty);
        tried += 1;
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
    if counted == 0 {
        return Ok(Err(format!("none of {} with a planted fault builds", count(tried, "copy"))));
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
    if unviable > 0 {
        detail.push_str(&format!("; {unviable} more did not build"));
    }
    if tried < planted.len() {
        detail.push_str(&format!("; {} more were not tried: time was up", planted.len() - tried));
    }
    Ok(Ok((out, detail)))
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
fn command(
    bench: &Bench<'_>,
    lane: &Lane,
    baseline: &Baseline,
    seen: &Seen,
    fail_to_pass: &[String],
) -> Result<Command, String> {
    let Some(command) = bench.inputs.profile.command(CommandKind::Test) else {
        return Err("the profile has no test command".into());
    };
    if u128::from(baseline.suite_ms) <= bench.inputs.effort.alone_from.as_millis() {
        return Ok(command.clone());
    }
    let mut ids: BTreeSet<&str> = fail_to_pass.iter().map(String::as_str).collect();
    ids.extend(seen.comparison.added.iter().map(String::as_str));
    ids.retain(|id| seen.steady.contains(*id));
    if ids.is_empty() {
        return Err("the patch adds no test, and the suite takes too long to run it for each fault".into());
    }
    let ids: Vec<&str> = ids.into_iter().collect();
    runners::only(command, &ids, &lane.view()).ok_or_else(|| {
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
