//! The untouched tree: does it build, does its suite run, which of its tests are flaky.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use gloaming_api::Digest;
use gloaming_api::evidence::{Finding, JobEvidence, TestResults, TestStatus};
use gloaming_api::job::{CachedRun, JobPurpose};
use gloaming_api::profile::CommandKind;
use gloaming_profile::Lack;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::bench::{Bench, Lane, Scratch};
use crate::compare::{flips, settle};
use crate::lint::LintSeen;
use crate::outcome::Outcome;
use crate::{BaselineInputs, VerifyError, lint};

/// Part of every key; a change of how reports are read or ids are made raises it.
const VERSION: u32 = 3;

/// What was seen of the untouched tree. Reusable for every patch against the same base in the same
/// environment under the same policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Digest over everything the baseline depends on; see [`Baseline::fits`].
    pub key: Digest,
    /// The base commit.
    pub base: String,
    /// The environment of the jobs.
    pub environment: Digest,
    /// Why no patch against this base can be verified, where that is so.
    pub red: Option<Red>,
    /// Results of the suite: what most of its runs agree on, else the worst.
    pub tests: TestResults,
    /// How often the suite ran.
    pub runs: u32,
    /// Tests whose result differed between the runs, with each run's result; none where it was not reported.
    pub flips: BTreeMap<String, Vec<Option<TestStatus>>>,
    /// Milliseconds that the fastest run of the suite took: the others may have compiled something.
    pub suite_ms: u64,
    /// What each lint command said that runs here.
    pub lint: Vec<LintSeen>,
    /// What its jobs had of dependencies, as [`gloaming_profile::Dependencies::id`] tells it: one without them, or with
    /// others, says nothing of a tree that has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Digest>,
    /// Whether it was made for an earlier patch and kept.
    #[serde(skip)]
    pub kept: bool,
    /// Why the repository's dependencies could not be set up, where it wants some: a red baseline may be for want of
    /// them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lack: Option<Lack>,
    /// Every container run.
    pub jobs: Vec<JobEvidence>,
}

/// Why a base is of no use for verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Red {
    /// `baseline_red`, `no_tests` or `job_limit`.
    pub code: Finding,
    /// One line for a reviewer.
    pub detail: String,
}

impl fmt::Display for Red {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl Baseline {
    /// Returns the results of each run.
    pub(crate) fn each_run(&self) -> Vec<TestResults> {
        let run = |index: usize| {
            let mut results = self.tests.clone();
            for (id, seen) in &self.flips {
                match seen.get(index).copied().flatten() {
                    Some(status) => drop(results.insert(id.clone(), status)),
                    None => drop(results.remove(id)),
                }
            }
            results
        };
        (0..self.runs as usize).map(run).collect()
    }

    /// Returns what a run of the patched tree is held against: a test that passed in some run of the base can pass.
    pub(crate) fn reference(&self) -> TestResults {
        let mut results = self.tests.clone();
        for (id, seen) in &self.flips {
            if seen.contains(&Some(TestStatus::Passed)) {
                results.insert(id.clone(), TestStatus::Passed);
            }
        }
        results
    }

    /// Whether the baseline was made of the same commit with the same commands, environment and policy.
    pub fn fits(&self, inputs: &BaselineInputs<'_>) -> bool {
        self.key == key(inputs)
    }
}

/// Returns the key a baseline of these inputs has, for caching it.
pub fn key(inputs: &BaselineInputs<'_>) -> Digest {
    let commands: Vec<_> = [CommandKind::Install, CommandKind::Build, CommandKind::Test]
        .into_iter()
        .filter_map(|kind| inputs.profile.command(kind))
        .chain(lint::commands(inputs.profile))
        .map(|command| json!([command.kind, command.argv, command.cwd, command.env, command.runner]))
        .collect();
    Digest::of_json(&json!({
        "version": VERSION,
        "base": inputs.base.as_str(),
        "engine": inputs.engine.name(),
        "environment": inputs.environment,
        "grant": inputs.grant.digest_for_jobs(),
        "commands": commands,
        "provision": inputs.provision.is_some(),
        "runs": inputs.effort.reruns.baseline_runs,
    }))
}

/// Returns the baseline that is kept for the bench's inputs, where its jobs had the dependencies that jobs have now.
pub(crate) async fn kept(bench: &mut Bench<'_>) -> Result<Option<Baseline>, VerifyError> {
    let inputs = &bench.inputs;
    let found = inputs.baselines.and_then(|baselines| baselines.get(&key(inputs)));
    let Some((mut kept, at)) = found.filter(|(baseline, _)| baseline.fits(inputs)) else { return Ok(None) };
    if bench.dependencies(Scratch::Base).await?.id() != kept.dependencies {
        return Ok(None);
    }
    let (runs, tests) = (kept.runs, kept.tests.len());
    bench.tell("baseline", format!("the untouched tree is known: {runs} runs of {tests} tests"));
    kept.kept = true;
    // What was set up then is none of this attempt's; what is used now is on the bench.
    kept.jobs.retain(|job| job.record.purpose != JobPurpose::Setup);
    for job in &mut kept.jobs {
        job.record.cached.get_or_insert_with(|| CachedRun { key: kept.key.clone(), at });
    }
    kept.jobs.splice(0..0, bench.jobs.iter().cloned());
    Ok(Some(kept))
}

/// Builds the untouched tree and runs its suite as often as the rule of flakes wants it; a baseline of the same inputs
/// that is kept stands for that.
///
/// A base that does not build or whose suite does not run is not an error: [`Baseline::red`] says so.
///
/// # Errors
/// Only infrastructure: no engine, no permit for the jobs that are needed, a disk that is full.
pub async fn baseline(inputs: BaselineInputs<'_>) -> Result<Baseline, VerifyError> {
    let mut bench = Bench::new(inputs);
    if let Some(kept) = kept(&mut bench).await? {
        return Ok(kept);
    }
    let lane = bench.base_lane()?;
    make(&mut bench, &lane).await
}

/// Makes the baseline on a bench that goes on to be used.
pub(crate) async fn make(bench: &mut Bench<'_>, lane: &Lane) -> Result<Baseline, VerifyError> {
    let mut made = Baseline {
        key: key(&bench.inputs),
        base: bench.inputs.base.to_string(),
        environment: bench.inputs.environment.clone(),
        red: None,
        tests: TestResults::new(),
        runs: 0,
        flips: BTreeMap::new(),
        suite_ms: 0,
        lint: Vec::new(),
        dependencies: None,
        kept: false,
        lack: None,
        jobs: Vec::new(),
    };
    made.red = look(bench, lane, &mut made).await?.err();
    if made.red.is_none() {
        made.lint = lint::look(bench, lane).await?;
    }
    made.dependencies = bench.dependencies(lane.scratch()).await?.id();
    made.lack = bench.lack(lane);
    if let (Some(red), Some(lack)) = (&mut made.red, &made.lack)
        && !red.detail.contains(&lack.detail)
    {
        red.detail = format!("{}; {lack}", red.detail);
    }
    made.jobs = bench.jobs.clone();
    // A red one may be the machine's fault, or mended by tomorrow without a new commit; it is looked at again.
    if let Some(baselines) = bench.inputs.baselines.filter(|_| made.red.is_none()) {
        baselines.put(&made);
    }
    Ok(made)
}

async fn look(
    bench: &mut Bench<'_>,
    lane: &Lane,
    made: &mut Baseline,
) -> Result<Result<(), Red>, VerifyError> {
    let red = |code, detail: String| Ok(Err(Red { code, detail }));
    if bench.inputs.profile.command(CommandKind::Test).is_none() {
        return red(Finding::NoTests, "the profile has no test command".into());
    }
    let mut runs: Vec<TestResults> = Vec::new();
    for number in 1..=bench.inputs.effort.reruns.baseline_runs.max(1) {
        let label = if number == 1 { "baseline".to_owned() } else { format!("baseline-{number}") };
        match bench.suite(lane, &label, "V7", &[]).await? {
            Outcome::Ran(report) => runs.push(report.tests),
            Outcome::BuildFailed(why) if number == 1 => {
                return red(Finding::BaselineRed, format!("the untouched tree does not build: {why}"));
            }
            Outcome::NotRun(why) if number == 1 => {
                return red(Finding::BaselineRed, format!("the untouched tree's suite does not run: {why}"));
            }
            Outcome::BuildFailed(why) | Outcome::NotRun(why) => {
                let times = if number == 2 { "once".to_owned() } else { format!("{} times", number - 1) };
                return red(
                    Finding::BaselineRed,
                    format!("the untouched tree's suite ran {times} and then not: {why}"),
                );
            }
            Outcome::BuildLimit(why) | Outcome::SuiteLimit(why) => {
                return red(Finding::JobLimit, format!("on the untouched tree, twice: {why}"));
            }
        }
        let took = bench.jobs.last().map_or(0, |job| job.record.duration_ms);
        made.suite_ms = if number == 1 { took } else { made.suite_ms.min(took) };
        if number == 1 && !runs[0].values().any(|status| *status == TestStatus::Passed) {
            let count = runs[0].len();
            return red(
                Finding::BaselineRed,
                format!("of the untouched tree's {count} tests not one passes"),
            );
        }
    }
    made.runs = u32::try_from(runs.len()).unwrap_or(u32::MAX);
    made.tests = settle(&runs);
    let flipped: BTreeSet<String> = runs[1..].iter().flat_map(|run| flips(&runs[0], run)).collect();
    made.flips = flipped
        .into_iter()
        .map(|id| {
            let seen = runs.iter().map(|run| run.get(&id).copied()).collect();
            (id, seen)
        })
        .collect();
    Ok(Ok(()))
}

#[cfg(test)]
impl Baseline {
    /// A baseline of some runs.
    pub(crate) fn of_runs(runs: &[TestResults]) -> Self {
        let ids: BTreeSet<&String> = runs.iter().flat_map(|run| run.keys()).collect();
        let flips = ids
            .into_iter()
            .map(|id| (id.clone(), runs.iter().map(|run| run.get(id).copied()).collect::<Vec<_>>()))
            .filter(|(_, seen)| seen.iter().any(|status| *status != seen[0]))
            .collect();
        Self {
            key: Digest::zero(),
            base: String::new(),
            environment: Digest::zero(),
            red: None,
            tests: settle(runs),
            runs: runs.len() as u32,
            flips,
            suite_ms: 0,
            lint: Vec::new(),
            dependencies: None,
            kept: false,
            lack: None,
            jobs: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_can_be_told_from_what_is_kept() {
        use TestStatus::{Failed, Passed, Skipped};
        let run = |results: &[(&str, TestStatus)]| -> TestResults {
            results.iter().map(|(id, status)| ((*id).to_owned(), *status)).collect()
        };
        let runs = [
            run(&[("steady", Passed), ("flips", Failed), ("comes", Passed), ("off", Skipped)]),
            run(&[("steady", Passed), ("flips", Failed), ("off", Skipped)]),
            run(&[("steady", Passed), ("flips", Passed), ("off", Skipped)]),
        ];
        let baseline = Baseline::of_runs(&runs);
        assert_eq!(baseline.each_run(), runs);
        assert_eq!(baseline.tests, run(&[("steady", Passed), ("flips", Failed), ("off", Skipped)]));
        assert_eq!(
            baseline.reference(),
            run(&[("steady", Passed), ("flips", Passed), ("comes", Passed), ("off", Skipped)])
        );
        let kept: Baseline = serde_json::from_str(&serde_json::to_string(&baseline).unwrap()).unwrap();
        assert_eq!(kept, baseline);
    }
}
