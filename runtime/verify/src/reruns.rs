//! V7: runs tests again until [`crate::flakes`] has decided which of those that differ the patch broke.
//!
//! Every run of the patched tree's whole suite is held against the base: a test that it speaks of becomes a
//! suspect. Where the suite takes long and the runner can be told, suspects are rerun alone, on both trees; what
//! clears them is believed only if the next run of the whole suite does not speak of them again, since a test may
//! depend on what ran before it. Otherwise both trees' whole suites are rerun, and the baseline's runs count.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::evidence::{Flake, Runs, TestResults, TestStatus};
use gloaming_api::profile::{Command, CommandKind};

use crate::bench::{Bench, Lane};
use crate::compare::{Comparison, compare, flips};
use crate::controls::{Controls, control_run};
use crate::flakes::{History, Next, Tree, Trial};
use crate::outcome::Outcome;
use crate::renaming::Renames;
use crate::runners::{self, Report};
use crate::steps::{Found, count};
use crate::suites::{Explained, lane_of_base};
use crate::{Baseline, RerunRule, VerifyError};

/// What all runs together say.
pub(crate) struct Judged {
    /// How it ended; never to run something.
    pub(crate) decision: Next,
    /// Why it ended early, where it did.
    pub(crate) stopped: Option<String>,
    /// Each run of the patched tree's whole suite.
    pub(crate) runs: Vec<TestResults>,
    /// What speaks against the patch beyond doubt, with the runs it took, by id.
    pub(crate) guilty: BTreeMap<String, String>,
    /// What was neither cleared nor found guilty.
    pub(crate) open: BTreeMap<String, String>,
    /// Suspects that are cleared.
    pub(crate) cleared: BTreeSet<String>,
    /// Every test that did not end alike on one tree.
    pub(crate) flakes: Vec<Flake>,
    /// What the control tests showed; none when it did not come to them.
    pub(crate) controls: Option<Result<String, Found>>,
}

impl Judged {
    /// Ids that are held against nobody: those that flip on the base, and those that were cleared.
    pub(crate) fn flaky(&self, baseline: &Baseline) -> BTreeSet<String> {
        let on_base = self.flakes.iter().filter(|flake| flips_alone(&flake.base));
        let mut flaky: BTreeSet<String> = on_base.map(|flake| flake.id.clone()).collect();
        flaky.extend(baseline.flips.keys().cloned());
        flaky.extend(self.cleared.iter().cloned());
        flaky.retain(|id| !self.guilty.contains_key(id));
        flaky
    }
}

fn flips_alone(runs: &Runs) -> bool {
    [runs.passed, runs.failed, runs.absent].iter().filter(|times| **times > 0).count() > 1
}

/// What a run of the patched tree is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The first run, and the one with the control tests.
    Look,
    /// To decide about suspects.
    Rerun,
}

struct Reruns<'a> {
    explained: &'a Explained<'a>,
    reference: TestResults,
    /// Runs of the whole suite of the base, the baseline's first, and what each would be blamed for.
    base: Vec<(TestResults, BTreeSet<String>)>,
    patched: Vec<TestResults>,
    /// What any run of the patched tree was blamed for.
    blamed: BTreeSet<String>,
    whole: Trial,
    alone: Option<Trial>,
    renamed: BTreeMap<String, String>,
    stopped: Option<String>,
}

/// Judges the patched tree, whose first run is given.
pub(crate) async fn judge(
    bench: &mut Bench<'_>,
    base_lane: &mut Option<Lane>,
    patched_lane: &Lane,
    baseline: &Baseline,
    explained: &Explained<'_>,
    first: &Report,
) -> Result<Judged, VerifyError> {
    let mut reruns = Reruns::new(bench.inputs.effort.reruns, baseline, explained);
    reruns.patched_ran(first.tests.clone(), Kind::Look);

    let mut controls = None;
    let mut decision = reruns.resolve(bench, base_lane, patched_lane, baseline).await?;
    if decision == Next::Cleared {
        // The next look at the patched tree is the one with the controls in it.
        let Controls { found, results } = control_run(bench, base_lane, patched_lane, first).await?;
        controls = Some(found);
        if let Some(results) = results {
            let spoken_of = reruns.patched_ran(results, Kind::Look);
            if !spoken_of.is_empty() {
                decision = reruns.run_whole(bench, base_lane, patched_lane).await?;
            }
        }
    }
    Ok(reruns.finish(decision, controls))
}

/// What tests near the change showed.
pub(crate) enum Near {
    /// They cannot be run alone.
    Unable,
    /// None of them fails.
    Holds,
    /// Some fail, and it is not known whether the patch broke them.
    Open(Vec<String>),
    /// The patch broke these, with the runs it took.
    Broken(BTreeMap<String, String>),
}

/// Runs some tests of the base alone, on the patched tree first.
pub(crate) async fn judge_near(
    bench: &mut Bench<'_>,
    (base_lane, patched_lane): (&mut Option<Lane>, &Lane),
    baseline: &Baseline,
    explained: &Explained<'_>,
    ids: &[String],
) -> Result<Near, VerifyError> {
    let Some(command) = bench.inputs.profile.command(CommandKind::Test) else { return Ok(Near::Unable) };
    if has_own_harness(baseline) {
        return Ok(Near::Unable);
    }
    let Some(results) = alone(bench, patched_lane, ("patched-near", "V6"), command, ids).await? else {
        return Ok(Near::Unable);
    };
    let mut reruns = Reruns::new(bench.inputs.effort.reruns, baseline, explained);
    let passed = |id: &&String| {
        matches!(reruns.reference.get(*id), Some(TestStatus::Passed | TestStatus::ExpectedFailure))
    };
    let failing: Vec<String> = ids
        .iter()
        .filter(passed)
        .filter(|id| results.get(*id) == Some(&TestStatus::Failed))
        .cloned()
        .collect();
    if failing.is_empty() {
        return Ok(Near::Holds);
    }
    let mut trial = Trial::new(bench.inputs.effort.reruns);
    for id in &failing {
        trial.suspect(id, Vec::new());
    }
    let decision = reruns.run_alone(bench, base_lane, patched_lane, &mut trial, "V6").await?;
    Ok(match decision {
        Some(Next::Guilty) => Near::Broken(told(&trial, trial.guilty())),
        _ => Near::Open(failing),
    })
}

/// Whether something runs whole whatever it is told.
fn has_own_harness(baseline: &Baseline) -> bool {
    baseline.tests.keys().any(|id| id.ends_with("(own harness)"))
}

/// Suspects with their runs in words.
fn told(trial: &Trial, ids: Vec<&str>) -> BTreeMap<String, String> {
    let histories: BTreeMap<&str, &History> = trial.histories().collect();
    ids.into_iter().filter_map(|id| Some((id.to_owned(), histories.get(id)?.tell()))).collect()
}

impl<'a> Reruns<'a> {
    fn new(rule: RerunRule, baseline: &Baseline, explained: &'a Explained<'a>) -> Self {
        let mut reruns = Self {
            explained,
            reference: baseline.reference(),
            base: Vec::new(),
            patched: Vec::new(),
            blamed: BTreeSet::new(),
            whole: Trial::new(rule),
            alone: None,
            renamed: BTreeMap::new(),
            stopped: None,
        };
        for run in baseline.each_run() {
            reruns.base_ran(run);
        }
        reruns
    }

    fn compare(&self, run: &TestResults) -> Comparison {
        compare(&self.reference, run, &BTreeSet::new(), self.explained.renames, self.explained.moves)
    }

    /// Adds a run of the base's suite.
    fn base_ran(&mut self, run: TestResults) {
        let blamed = compare(&self.reference, &run, &BTreeSet::new(), &Renames::new(), &[]).complaints();
        self.rerun(Tree::Base, &blamed);
        self.base.push((run, blamed));
    }

    /// Adds a run of the patched tree's suite; returns what it speaks of. Whatever a look speaks of is a suspect; what a
    /// rerun does, once it is the second run to do so: else one flaky test after the other would prolong the reruns.
    fn patched_ran(&mut self, run: TestResults, kind: Kind) -> BTreeSet<String> {
        let comparison = self.compare(&run);
        let blamed = comparison.complaints();
        self.renamed.extend(comparison.renamed);
        self.rerun(Tree::Patched, &blamed);
        for id in &blamed {
            let again = self.blamed.contains(id);
            if kind == Kind::Rerun && !again {
                continue;
            }
            let before = self.base.iter().map(|(_, blamed)| blamed.contains(id)).collect();
            self.whole.suspect(id, before);
        }
        self.blamed.extend(blamed.iter().cloned());
        self.patched.push(run);
        blamed
    }

    /// Hands a run to the trial, once there are suspects.
    fn rerun(&mut self, tree: Tree, blamed: &BTreeSet<String>) {
        let run: BTreeMap<String, bool> =
            self.whole.histories().map(|(id, _)| (id.to_owned(), blamed.contains(id))).collect();
        if !run.is_empty() {
            self.whole.add(tree, &run);
        }
    }

    /// Decides about what the first run spoke of.
    async fn resolve(
        &mut self,
        bench: &mut Bench<'_>,
        base_lane: &mut Option<Lane>,
        patched_lane: &Lane,
        baseline: &Baseline,
    ) -> Result<Next, VerifyError> {
        let suspects: Vec<String> = self.whole.histories().map(|(id, _)| id.to_owned()).collect();
        if suspects.is_empty() {
            return Ok(Next::Cleared);
        }
        bench.tell("V7", format!("{} differed from the base, running again", count(suspects.len(), "test")));
        let long = u128::from(baseline.suite_ms) > bench.inputs.effort.alone_from.as_millis();
        // Only what was reported as failed: whether a test is there at all shows in the whole suite.
        let regressions = self.compare(&self.patched[0]).regressions.len();
        if long && !has_own_harness(baseline) && regressions == suspects.len() {
            let mut trial = Trial::new(bench.inputs.effort.reruns);
            for id in &suspects {
                trial.suspect(id, Vec::new());
            }
            let decision = self.run_alone(bench, base_lane, patched_lane, &mut trial, "V7").await?;
            if decision.is_some() {
                self.alone = Some(trial);
            }
            if let Some(decision) = decision {
                return Ok(decision);
            }
        }
        self.run_whole(bench, base_lane, patched_lane).await
    }

    /// Reruns both trees' whole suites until it is decided.
    async fn run_whole(
        &mut self,
        bench: &mut Bench<'_>,
        base_lane: &mut Option<Lane>,
        patched_lane: &Lane,
    ) -> Result<Next, VerifyError> {
        loop {
            let Next::Run(tree) = self.whole.next() else { return Ok(self.whole.next()) };
            let (lane, label) = match tree {
                Tree::Base => (lane_of_base(bench, base_lane)?, format!("baseline-{}", self.base.len() + 1)),
                Tree::Patched => (patched_lane.clone(), format!("patched-{}", self.patched.len() + 1)),
            };
            match (bench.suite(&lane, &label, "V7", &[]).await?, tree) {
                (Outcome::Ran(report), Tree::Base) => self.base_ran(report.tests),
                (Outcome::Ran(report), Tree::Patched) => drop(self.patched_ran(report.tests, Kind::Rerun)),
                (
                    Outcome::BuildFailed(why)
                    | Outcome::BuildLimit(why)
                    | Outcome::SuiteLimit(why)
                    | Outcome::NotRun(why),
                    _,
                ) => {
                    self.stopped = Some(format!("{label}: {why}"));
                    return Ok(Next::Unknown);
                }
            }
        }
    }

    /// Reruns the suspects without the other tests, on both trees; none when that does not work here.
    async fn run_alone(
        &mut self,
        bench: &mut Bench<'_>,
        base_lane: &mut Option<Lane>,
        patched_lane: &Lane,
        trial: &mut Trial,
        step: &str,
    ) -> Result<Option<Next>, VerifyError> {
        let Some(command) = bench.inputs.profile.command(CommandKind::Test) else { return Ok(None) };
        let mut numbers = (0, 0);
        loop {
            let Next::Run(tree) = trial.next() else { return Ok(Some(trial.next())) };
            let open: Vec<String> = trial.open().into_iter().map(str::to_owned).collect();
            let (lane, label) = match tree {
                Tree::Base => {
                    numbers.0 += 1;
                    (lane_of_base(bench, base_lane)?, format!("baseline-alone-{}", numbers.0))
                }
                Tree::Patched => {
                    numbers.1 += 1;
                    (patched_lane.clone(), format!("patched-alone-{}", numbers.1))
                }
            };
            let named = |id: &String| match tree {
                Tree::Base => id.clone(),
                Tree::Patched => self.renamed.get(id).unwrap_or(id).clone(),
            };
            let names: Vec<String> = open.iter().map(named).collect();
            let Some(results) = alone(bench, &lane, (&label, step), command, &names).await? else {
                return Ok(None);
            };
            // On the base every one has to be found, else they are not what was asked for.
            if tree == Tree::Base && names.iter().any(|name| !ran(results.get(name))) {
                return Ok(None);
            }
            let failed = |name: &String| match results.get(name) {
                Some(TestStatus::Passed | TestStatus::ExpectedFailure) => false,
                Some(TestStatus::Failed | TestStatus::Skipped) | None => true,
            };
            let run = open.iter().zip(&names).map(|(id, name)| (id.clone(), failed(name))).collect();
            trial.add(tree, &run);
        }
    }

    fn finish(self, decision: Next, controls: Option<Result<String, Found>>) -> Judged {
        // Those that were rerun alone and spoken of again were decided by whole suites.
        let decided_alone =
            self.alone.as_ref().filter(|trial| trial.next() == decision && controls.is_none());
        let trial = decided_alone.unwrap_or(&self.whole);
        let guilty = if decision == Next::Guilty { told(trial, trial.guilty()) } else { BTreeMap::new() };
        let open = if decision == Next::Unknown { told(trial, trial.open()) } else { BTreeMap::new() };
        let suspects: BTreeSet<String> = self.whole.histories().map(|(id, _)| id.to_owned()).collect();
        let cleared = match decision {
            Next::Cleared => suspects.clone(),
            _ => {
                let open: BTreeSet<&str> = trial.open().into_iter().collect();
                suspects.iter().filter(|id| !open.contains(id.as_str())).cloned().collect()
            }
        };
        Judged {
            decision,
            flakes: self.flakes(&suspects),
            stopped: self.stopped,
            runs: self.patched,
            guilty,
            open,
            cleared,
            controls,
        }
    }

    /// Every test that did not end alike in every run of one tree, with how often it did how.
    fn flakes(&self, suspects: &BTreeSet<String>) -> Vec<Flake> {
        let mut ids: BTreeSet<String> = BTreeSet::new();
        let base: Vec<&TestResults> = self.base.iter().map(|(run, _)| run).collect();
        let patched: Vec<&TestResults> = self.patched.iter().collect();
        for runs in [&base, &patched] {
            ids.extend(runs.iter().skip(1).flat_map(|run| flips(runs[0], run)));
        }
        ids.extend(suspects.iter().cloned());
        let tally = |runs: &[&TestResults], id: &str, alone: Option<&Vec<bool>>| {
            let mut out = Runs::default();
            for run in runs {
                match run.get(id) {
                    Some(TestStatus::Passed | TestStatus::ExpectedFailure) => out.passed += 1,
                    Some(TestStatus::Failed) => out.failed += 1,
                    Some(TestStatus::Skipped) | None => out.absent += 1,
                }
            }
            for failed in alone.into_iter().flatten() {
                *if *failed { &mut out.failed } else { &mut out.passed } += 1;
            }
            out
        };
        let alone: BTreeMap<&str, &History> = self.alone.iter().flat_map(Trial::histories).collect();
        // A new id of a renamed test is told under the old one.
        let renamed: BTreeSet<&String> = self.renamed.values().collect();
        ids.into_iter()
            .filter(|id| !renamed.contains(id))
            .map(|id| {
                let history = alone.get(id.as_str());
                let name = self.renamed.get(&id).unwrap_or(&id);
                Flake {
                    base: tally(&base, &id, history.map(|history| &history.base)),
                    patched: tally(&patched, name, history.map(|history| &history.patched)),
                    id,
                }
            })
            .filter(|flake| flips_alone(&flake.base) || flips_alone(&flake.patched))
            .collect()
    }
}

fn ran(status: Option<&TestStatus>) -> bool {
    matches!(status, Some(TestStatus::Passed | TestStatus::Failed | TestStatus::ExpectedFailure))
}

async fn alone(
    bench: &mut Bench<'_>,
    lane: &Lane,
    (label, step): (&str, &str),
    command: &Command,
    names: &[String],
) -> Result<Option<TestResults>, VerifyError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let Some(narrowed) = runners::only(command, &names, &lane.view()) else { return Ok(None) };
    Ok(match bench.suite_by(&narrowed, lane, label, step, &[]).await? {
        Outcome::Ran(report) => Some(report.tests),
        _ => None,
    })
}
