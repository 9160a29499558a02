//! What the system itself ran and saw of a patch, and the verdict a gate makes of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bowout::{ReasonCode, shorten};
use crate::job::{JobRecord, RefusedHost};
use crate::profile::CommandKind;
use crate::{Attempt, Digest, RelPath, RepoId, TaskId};

/// The result of one test, from a machine report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestStatus {
    /// It ran and held.
    Passed,
    /// It ran and did not hold, or broke.
    Failed,
    /// It did not run.
    Skipped,
    /// It failed as it was marked to.
    ExpectedFailure,
}

/// Results by test id. An id is the report's own, prefixed by what disambiguates it (a binary, a file).
pub type TestResults = BTreeMap<String, TestStatus>;

/// Who made a patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum Origin {
    /// A model, by its spec.
    Model(String),
    /// A playbook, by its name.
    Playbook(String),
    /// Somebody else: `gloaming verify`.
    External,
}

/// What the system itself ran and saw of one patch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Always 1.
    pub schema_version: u32,
    /// The task, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// What was asked for, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// The repository.
    pub repo: RepoId,
    /// The base commit, 40 or 64 hexadecimal digits.
    pub base: String,
    /// Digest of the patch's bytes.
    pub patch: Digest,
    /// The git tree the patch makes of the base; none when it does not apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// Who made it.
    pub origin: Origin,
    /// The grant it was judged under.
    pub grant: Digest,
    /// The environment of the jobs; none when no job ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Digest>,
    /// The repository's own commands that were run, as a person would type them: the jobs' have what makes
    /// the machine report added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CheckedCommand>,
    /// The changed files.
    pub files: Vec<ChangedFile>,
    /// The steps, in the order they ran.
    pub steps: Vec<Step>,
    /// Every container run.
    pub jobs: Vec<JobEvidence>,
    /// Test results of the untouched tree.
    pub baseline_tests: TestResults,
    /// Test results of the patched tree.
    pub patched_tests: TestResults,
    /// Tests that fail without the patch's code and pass with it.
    pub fail_to_pass: Vec<String>,
    /// How those fail without it, in the order of their ids; of the first 200 of which that was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_code: Vec<WithoutCode>,
    /// Tests whose result differed between runs of one tree.
    pub flaky: Vec<String>,
    /// How often each of those passed and failed, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flakes: Vec<Flake>,
    /// What linters and type checkers say of the patched tree and did not say of the base.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<LintFinding>,
    /// Whether the tests run the changed lines; none when it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<ChangedLines>,
    /// Whether the tests notice when the changed lines are wrong; none when it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutants: Option<Mutants>,
    /// How often an earlier version of the patch had been sent back to its author with findings.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sent_back: u32,
    /// Facts that lower confidence without blocking.
    pub signals: Vec<Signal>,
    /// Head hash of the journal when the evidence was made, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_head: Option<Digest>,
    /// Number of the journal's events up to that head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_length: Option<u64>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How a test fails on the untouched tree with everything of the patch but its code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WithoutCode {
    /// The test, as in the results.
    pub id: String,
    /// In what way, as far as its words tell.
    pub by: FailsBy,
    /// The line that says it, at most 200 bytes; untrusted.
    pub said: String,
}

/// In what way a test fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailsBy {
    /// What it asserts does not hold.
    Assertion,
    /// It, or what holds it, names something that is not there: it does not import, load or compile.
    MissingName,
    /// Something is raised, thrown or panics.
    Error,
    /// Anything else.
    Other,
}

impl std::fmt::Display for FailsBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Assertion => "assertion",
            Self::MissingName => "missing name",
            Self::Error => "error",
            Self::Other => "failure",
        })
    }
}

impl std::fmt::Display for WithoutCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, by, said } = self;
        if said.is_empty() { write!(f, "{id} ({by})") } else { write!(f, "{id} ({by}): {said}") }
    }
}

impl Evidence {
    /// The tests that fail without the patch's code and pass with it, each with how it fails where that is known.
    pub fn told_fail_to_pass(&self) -> Vec<String> {
        let how: std::collections::BTreeMap<&str, &WithoutCode> =
            self.without_code.iter().map(|test| (test.id.as_str(), test)).collect();
        let told = |id: &String| how.get(id.as_str()).map_or_else(|| id.clone(), ToString::to_string);
        self.fail_to_pass.iter().map(told).collect()
    }
}

/// A test that did not end alike in every run of one tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flake {
    /// The test, as in the results.
    pub id: String,
    /// Its runs on the untouched tree.
    pub base: Runs,
    /// Its runs on the patched tree.
    pub patched: Runs,
}

/// How the runs of one test on one tree ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Runs {
    /// Runs in which it passed, or failed as it was marked to.
    pub passed: u32,
    /// Runs in which it failed.
    pub failed: u32,
    /// Runs in which it was skipped or not reported.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub absent: u32,
}

/// One thing a linter, formatter or type checker said of a place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LintFinding {
    /// The program: `clippy`, `rustc`, `ruff`, `eslint`, ...
    pub tool: String,
    /// Its name for the rule; empty where it has none.
    pub rule: String,
    /// The file.
    pub path: RelPath,
    /// The line after the change, counted from 1; 0 for the whole file.
    pub line: u32,
    /// What it said, on one line.
    pub message: String,
    /// How bad the tool calls it.
    pub level: LintLevel,
}

/// How bad a finding is, in the words of SARIF 2.1.0 (`level`, section 3.27.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LintLevel {
    /// Something to know.
    Note,
    /// A problem.
    Warning,
    /// A serious problem.
    Error,
}

/// How many of the lines that a patch adds or changes the tests run. Only lines that can be run count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedLines {
    /// Lines that some test ran.
    pub covered: u32,
    /// Lines that none did.
    pub uncovered: u32,
    /// What measured it: `llvm-cov`, `coverage.py`, `c8`, `go cover`, ...
    pub tool: String,
}

/// Copies of the patched tree with one small fault each in a changed line, run against the tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mutants {
    /// Some test failed with it, or it did not build.
    pub killed: u32,
    /// Every test passed with it.
    pub survived: u32,
    /// The tests did not end in time with it; counts as noticed.
    pub timed_out: u32,
    /// Those that survived, or the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub survivors: Vec<Mutant>,
    /// What the tests that the patch brings notice without the help of any other; none where it brings none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<NoticedByOwn>,
}

/// The planted faults by whether the tests that a patch brings notice them: those it adds, and those that fail without
/// its code and pass with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoticedByOwn {
    /// Some of those tests failed with it, or a run of them alone did not end.
    pub noticed: u32,
    /// All of those tests passed with it.
    pub missed: u32,
    /// The whole suite did not end with it, and the runner cannot be told to run those tests alone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown: u32,
    /// Those of the tests that noticed some fault, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
}

impl Mutants {
    /// Whether none of these tests, which the patch brings, notices any fault by itself, and that speaks against them.
    ///
    /// It does not where nothing is known: where no fault ran, where one was noticed by nobody knows whom, and where the
    /// only fault survives every test there is, since it may be one that changes nothing.
    pub fn unnoticed_by(&self, tests: &[String]) -> bool {
        let Some(own) = &self.own else { return false };
        let noticed_by_others = self.killed > 0 || self.timed_out > 0;
        own.unknown == 0
            && !own.by.iter().any(|id| tests.contains(id))
            && (noticed_by_others || self.survived >= 2)
    }
}

/// One planted fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mutant {
    /// The file.
    pub path: RelPath,
    /// The line of the patched tree, counted from 1.
    pub line: u32,
    /// The kind of fault: `negate_condition`, `off_by_one`, ...
    pub operator: String,
    /// What stood there and what stood there instead.
    pub detail: String,
}

/// A command of the profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckedCommand {
    /// What for.
    pub kind: CommandKind,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The folder to run it in.
    pub cwd: RelPath,
}

/// One changed file of a patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedFile {
    /// The path after the change (before it, for a deletion).
    pub path: RelPath,
    /// What happened to it.
    pub change: FileChange,
    /// Lines added; 0 for binary.
    pub added: u32,
    /// Lines removed; 0 for binary.
    pub removed: u32,
    /// Whether git calls it binary.
    pub binary: bool,
    /// What it is, by its path: decides which rules of verification apply.
    pub role: FileRole,
}

/// What happened to a file. A rename is a deletion and an addition: policy decides each path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum FileChange {
    Added,
    Modified,
    Deleted,
    /// Only its executable bit or type changed, or that and its content.
    ModeChanged,
}

/// What a file is to verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileRole {
    /// Product code.
    Code,
    /// Tests and their data.
    Test,
    /// Configuration of the test runner, build or CI that could change what a run reports.
    RunnerConfig,
    /// Documentation.
    Docs,
    /// Anything else.
    Other,
}

/// One container run of a verification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobEvidence {
    /// `baseline`, `baseline-2`, `patched`, `tests-on-base`, ...
    pub tree: String,
    /// The step it served.
    pub step: String,
    /// The run.
    #[serde(flatten)]
    pub record: JobRecord,
}

/// The request that a patch answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// Its first line that is not empty, without a heading's marks; at most 120 characters.
    pub title: String,
    /// Digest of its text.
    pub text: Digest,
}

impl Asked {
    /// Returns what is kept of a request's text.
    pub fn of(text: &str) -> Self {
        let title =
            text.lines().map(|line| line.trim_start_matches('#').trim()).find(|line| !line.is_empty());
        Self { title: shorten(title.unwrap_or_default(), 120), text: Digest::of(text) }
    }
}

impl Evidence {
    /// Returns the hosts that its jobs were refused.
    pub fn refused_hosts(&self) -> Vec<RefusedHost> {
        RefusedHost::of(self.jobs.iter().map(|job| &job.record).filter(|record| record.cached.is_none()))
    }
}

/// How a step of verification ended. Unknown is never a pass; skipped means not applicable by a stated
/// rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the type's comment tells them")]
pub enum StepResult {
    Pass,
    Fail,
    Unknown,
    Skipped,
}

impl StepResult {
    /// Returns the result as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }
}

/// One step of verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// `V0` to `V12`.
    pub step: String,
    /// How it ended.
    pub result: StepResult,
    /// The finding's code, for `fail` and `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Finding>,
    /// One line for a reviewer; what was seen, with names.
    pub detail: String,
}

/// The code of a finding; a verdict's `code` is that of the first decisive one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The patch does not apply to its base.
    PatchDoesNotApply,
    /// The patch changes nothing.
    EmptyPatch,
    /// More files or lines than the policy lets one patch change.
    TooLarge,
    /// A changed path is protected or no write rule allows it.
    ProtectedPath,
    /// A secret, a binary, invisible Unicode or a new dependency.
    ForbiddenContent,
    /// The untouched tree does not build or its suite does not run.
    BaselineRed,
    /// It built before and does not now.
    BuildFailed,
    /// New findings of the linter.
    NewLintFindings,
    /// No test fails without the change and passes with it.
    NoFailToPass,
    /// A test that passed fails now, confirmed by rerunning.
    Regression,
    /// An existing test was deleted, skipped, or changed other than by a consistent renaming.
    TestsWeakened,
    /// Configuration of the runner was changed.
    RunnerConfigChanged,
    /// There is no positive evidence that the suite ran: no report, missing controls, exit code and
    /// report that contradict each other.
    SuiteNotRun,
    /// The profile has no test command that was proved.
    NoTests,
    /// Stray files, debug prints and the like.
    QualityGate,
    /// No container engine works here.
    NoEngine,
    /// A job ran out of time or memory twice.
    JobLimit,
}

/// A fact that lowers confidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Signal {
    /// `debug_print`, `stray_file`, `commented_code`, `todo`, `churn`, ...
    pub name: String,
    /// The file.
    pub path: RelPath,
    /// The line after the change, counted from 1; 0 for the whole file.
    pub line: u32,
    /// The line or a short explanation.
    pub detail: String,
}

/// A gate's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// Worth a reviewer's time.
    Pass,
    /// The patch is wrong or does what it must not.
    Block,
    /// Not decided against the patch, but not known to be good either.
    BowOut,
}

/// A gate's decision on a piece of evidence, with how it came to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The decision.
    pub verdict: VerdictKind,
    /// `ok`, or the decisive finding's or reason's code.
    pub code: String,
    /// The reason code a run bows out with, unless it passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<ReasonCode>,
    /// One or two sentences.
    pub summary: String,
    /// The steps, as in the evidence.
    pub steps: Vec<Step>,
    /// Score of the features, 0 to 1: the logistic function of the log-odds that are left.
    pub confidence: f64,
    /// The score that was needed: `c / (1 + c)`, where `c` is what a bad pull request costs by what a good one gains.
    pub threshold: f64,
    /// Whether the weights were fitted on outcomes.
    pub calibrated: bool,
    /// The estimated probability that the patch is merged; only of calibrated weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_merge: Option<f64>,
    /// What moved the score, in words, the largest part first.
    pub reasons: Vec<String>,
    /// The same in numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<Moved>,
    /// Digest of the weights' canonical JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Digest>,
}

/// What one feature of the evidence did to the score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moved {
    /// The feature: a signal's name, `flaky_suite`, `uncovered_share`, ...
    pub feature: String,
    /// Its value: a count or a share.
    pub value: f64,
    /// What it took from the log-odds, at least 0.
    pub log_odds: f64,
}

/// The gate as the worker is handed it: a pure function. The control plane calls the same one again
/// before it publishes.
pub type Judge = std::sync::Arc<dyn Fn(&Evidence) -> Verdict + Send + Sync>;
