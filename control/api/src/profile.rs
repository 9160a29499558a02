//! What is known of a repository, each fact with its source and, where it was run, its proof.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::job::JobExit;
use crate::{Digest, RelPath};

/// A language's build and test world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ecosystem {
    /// Cargo.
    Rust,
    /// CPython.
    Python,
    /// Node.js.
    Node,
    /// Go modules.
    Go,
}

/// What a command of a repository is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    /// Compile.
    Build,
    /// Run every test.
    Test,
    /// Run a linter or formatter check.
    Lint,
}

impl CommandKind {
    /// Returns the kind as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Test => "test",
            Self::Lint => "lint",
        }
    }
}

/// How a test command's results are had from a machine report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestRunner {
    /// `cargo test`: each test binary's libtest JSON.
    Cargo,
    /// pytest's JUnit XML.
    Pytest,
    /// unittest, through our own runner's JSON.
    Unittest,
    /// `node --test`'s JUnit XML.
    NodeTest,
    /// jest's JSON.
    Jest,
    /// vitest's JUnit XML.
    Vitest,
    /// mocha's XUnit XML.
    Mocha,
    /// `go test -json`.
    GoTest,
}

/// A repository's profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// Always 1.
    pub schema_version: u32,
    /// The languages found, most files first.
    pub ecosystems: Vec<Ecosystem>,
    /// The commands, at most one chosen of each kind, chosen first.
    pub commands: Vec<Command>,
    /// Commands found but not chosen, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
    /// What is missing, in words a person can act on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
    /// Files with instructions for agents, as data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instructions: Vec<RelPath>,
    /// Digest over the files the profile was mined from; a change of it makes the profile stale.
    pub mined_from: Digest,
}

impl Profile {
    /// Returns the chosen command of a kind.
    pub fn command(&self, kind: CommandKind) -> Option<&Command> {
        self.commands.iter().find(|command| command.kind == kind)
    }
}

/// A command of a repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// What for.
    pub kind: CommandKind,
    /// Program and arguments; never a shell line.
    pub argv: Vec<String>,
    /// The folder to run it in.
    pub cwd: RelPath,
    /// Variables it needs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// How results are read, for a test command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<TestRunner>,
    /// Where it was found.
    pub source: Source,
    /// The run that showed that it works; none while it is only mined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// Where a fact was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// The file.
    pub file: RelPath,
    /// The line, counted from 1.
    pub line: u32,
    /// Why the line means it: `package with a [lib] target`, `CI step "Test"`.
    pub because: String,
}

/// A command's run in a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Proof {
    /// How it ended.
    pub exit: JobExit,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
    /// When.
    pub at: Timestamp,
    /// The environment it ran in.
    pub environment: Digest,
    /// Tests that reported a result, where a report was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<u32>,
    /// The end of its output when it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub excerpt: String,
}

/// A command that was found and not chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// The command as it stands in the file.
    pub command: String,
    /// Where.
    pub source: Source,
    /// Why it was not chosen.
    pub reason: String,
}
