//! The untouched tree: does it build, does its suite run, which of its tests are flaky.

use std::collections::BTreeMap;
use std::fmt;

use gloaming_api::Digest;
use gloaming_api::evidence::{Finding, JobEvidence, TestResults, TestStatus};
use gloaming_api::job::JobExit;
use gloaming_api::profile::CommandKind;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::bench::{Bench, Lane, Outcome};
use crate::compare::flips;
use crate::{BaselineInputs, VerifyError};

/// Part of every key; a change of how reports are read or ids are made raises it.
const VERSION: u32 = 1;

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
    /// Results of the first run of the suite.
    pub tests: TestResults,
    /// Tests whose result differed between the runs.
    pub flaky: Vec<String>,
    /// What the linter said; none where there is none or it does not run.
    pub lint: Option<LintSeen>,
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

/// What a linter said of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LintSeen {
    /// Whether it ended with exit code 0.
    pub clean: bool,
    /// Findings without line numbers, by how often each was seen; empty where its output is not of a known
    /// form.
    pub findings: BTreeMap<String, u32>,
}

impl Baseline {
    /// Whether the baseline was made of the same commit with the same commands, environment and policy.
    pub fn fits(&self, inputs: &BaselineInputs<'_>) -> bool {
        self.key == key(inputs)
    }
}

/// Returns the key a baseline of these inputs has, for caching it.
pub fn key(inputs: &BaselineInputs<'_>) -> Digest {
    let commands: Vec<_> = [CommandKind::Build, CommandKind::Test, CommandKind::Lint]
        .into_iter()
        .filter_map(|kind| inputs.profile.command(kind))
        .map(|command| json!([command.kind, command.argv, command.cwd, command.env, command.runner]))
        .collect();
    Digest::of_json(&json!({
        "version": VERSION,
        "base": inputs.base.as_str(),
        "environment": inputs.environment,
        "grant": inputs.grant.digest(),
        "commands": commands,
    }))
}

/// Builds the untouched tree and runs its suite twice.
///
/// A base that does not build or whose suite does not run is not an error: [`Baseline::red`] says so.
///
/// # Errors
/// Only infrastructure: no engine, no permit for the jobs that are needed, a disk that is full.
pub async fn baseline(inputs: BaselineInputs<'_>) -> Result<Baseline, VerifyError> {
    let mut bench = Bench::new(inputs);
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
        flaky: Vec::new(),
        lint: None,
        jobs: Vec::new(),
    };
    made.red = look(bench, lane, &mut made.tests, &mut made.flaky).await?.err();
    if made.red.is_none() {
        made.lint = bench.lint(lane, "baseline").await?.and_then(|(exit, findings)| match exit {
            // 126 and 127: there is no such program here.
            JobExit::Code(126 | 127) | JobExit::Signal(_) | JobExit::TimedOut | JobExit::OutOfMemory => None,
            JobExit::Code(code) => Some(LintSeen { clean: code == 0, findings }),
            JobExit::Cancelled => None,
        });
    }
    made.jobs = bench.jobs.clone();
    Ok(made)
}

async fn look(
    bench: &mut Bench<'_>,
    lane: &Lane,
    tests: &mut TestResults,
    flaky: &mut Vec<String>,
) -> Result<Result<(), Red>, VerifyError> {
    let red = |code, detail: String| Ok(Err(Red { code, detail }));
    if bench.inputs.profile.command(CommandKind::Test).is_none() {
        return red(Finding::NoTests, "the profile has no test command".into());
    }
    match bench.suite(lane, "baseline", "V7", &[]).await? {
        Outcome::Ran(report) => *tests = report.tests,
        Outcome::BuildFailed(why) => {
            return red(Finding::BaselineRed, format!("the untouched tree does not build: {why}"));
        }
        Outcome::NotRun(why) => {
            return red(Finding::BaselineRed, format!("the untouched tree's suite does not run: {why}"));
        }
        Outcome::BuildLimit(why) | Outcome::SuiteLimit(why) => {
            return red(Finding::JobLimit, format!("on the untouched tree, twice: {why}"));
        }
    }
    if !tests.values().any(|status| *status == TestStatus::Passed) {
        let count = tests.len();
        return red(Finding::BaselineRed, format!("of the untouched tree's {count} tests not one passes"));
    }
    match bench.suite(lane, "baseline-2", "V7", &[]).await? {
        Outcome::Ran(report) => *flaky = flips(tests, &report.tests).into_iter().collect(),
        Outcome::BuildFailed(why) | Outcome::NotRun(why) => {
            return red(
                Finding::BaselineRed,
                format!("the untouched tree's suite ran once and then not: {why}"),
            );
        }
        Outcome::BuildLimit(why) | Outcome::SuiteLimit(why) => {
            return red(Finding::JobLimit, format!("on the untouched tree's second run, twice: {why}"));
        }
    }
    Ok(Ok(()))
}
