//! How ready a repository is for work that nobody watches, and what its merged changes look like.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a repository's merged changes look like: the measure for the size and form of a new one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StyleNorms {
    /// How many changes were looked at.
    pub changes: u32,
    /// Files of a change.
    pub files: Spread,
    /// Lines of a change, added and removed together.
    pub lines: Spread,
    /// The form most of their messages have.
    pub commit_form: CommitForm,
    /// Share of the messages in the form of Conventional Commits (`fix(parser): …`), 0 to 1.
    pub conventional: f64,
    /// Share of the changes that touch a test, 0 to 1.
    pub with_tests: f64,
    /// The longest subject line of nine in ten, in characters.
    pub subject: u32,
}

/// Quantiles of a count, by the nearest-rank method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// Half of the changes have at most this.
    pub median: u32,
    /// Nine in ten have at most this.
    pub p90: u32,
    /// 19 in 20 have at most this.
    pub p95: u32,
}

/// The form of commit messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommitForm {
    /// `fix(parser): handle empty input`, as Conventional Commits 1.0.0 has it.
    Conventional,
    /// `parser: handle empty input`: a topic of the project's own.
    Topic,
    /// A plain sentence that begins with a capital letter.
    Sentence,
    /// No form that most of them share.
    Mixed,
}

/// A score with the checks it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Readiness {
    /// 0 to 100: the share of the checks' weight that holds.
    pub score: u8,
    /// Every check, the heaviest first.
    pub checks: Vec<ReadinessCheck>,
    /// The one change that would help most: the remedy of the heaviest check that does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_help: Option<String>,
}

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// The test command was run and passed.
    TestsProved,
    /// Results can be told test by test.
    TestReport,
    /// A build was run and passed, or the language needs none.
    BuildProved,
    /// Tests need no service that a job has not.
    NoServicesMissing,
    /// The whole suite takes less than [`Readiness`]'s limit for a quick answer, five minutes.
    FastSuite,
    /// A linter is known and could be run.
    Lint,
    /// Types are checked, by a compiler or a checker.
    Typecheck,
    /// The dependencies are pinned by a lockfile.
    Lockfile,
    /// The toolchain's version is pinned.
    PinnedToolchain,
    /// There is continuous integration.
    Ci,
    /// There are instructions for agents.
    Instructions,
}

/// Whether a check holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// Nothing was run that could show it; counts as not holding.
    Unknown,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadinessCheck {
    /// Which.
    pub name: CheckName,
    /// Whether it holds.
    pub state: CheckState,
    /// Its share of the score; all weights add up to 100.
    pub weight: u8,
    /// What was seen.
    pub detail: String,
    /// What to do about it; empty where it holds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}
