//! What is known of a repository, each fact with its source and, where it was run, its proof.

mod facts;
mod readiness;

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::job::JobExit;
use crate::{Digest, RelPath};

pub use facts::{
    Correction, CorrectionBy, InstructionFile, InstructionKind, Manager, PackageManager, Part, Pin,
    ProtectedKind, ProtectedPath, Service, Setup, SetupKind, SetupStep,
};
pub use readiness::{CheckName, CheckState, CommitForm, Readiness, ReadinessCheck, Spread, StyleNorms};

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
    /// The JVM: Maven or Gradle.
    Java,
    /// C and C++: CMake or make.
    #[serde(rename = "c")]
    C,
}

impl Ecosystem {
    /// Returns the name as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Node => "node",
            Self::Go => "go",
            Self::Java => "java",
            Self::C => "c",
        }
    }
}

/// What a command of a repository is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CommandKind {
    /// Compile.
    Build,
    /// Run every test.
    Test,
    /// Run a linter.
    Lint,
    /// Fetch or unpack what the other commands need.
    Install,
    /// Check the formatting; it changes no file.
    Format,
    /// Check the types.
    Typecheck,
    /// Run one test: an argument holds the placeholder [`TEST_PLACEHOLDER`].
    TestOne,
}

/// What stands for a test's name in the command of [`CommandKind::TestOne`].
pub const TEST_PLACEHOLDER: &str = "{test}";

impl CommandKind {
    /// Every kind, in the order in which they are run.
    pub const ALL: &[Self] =
        &[Self::Install, Self::Build, Self::Format, Self::Lint, Self::Typecheck, Self::Test, Self::TestOne];

    /// Returns the kind as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Test => "test",
            Self::Lint => "lint",
            Self::Install => "install",
            Self::Format => "format",
            Self::Typecheck => "typecheck",
            Self::TestOne => "test-one",
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
    /// Maven Surefire's JUnit XML, `target/surefire-reports` of each module.
    Surefire,
    /// Gradle's JUnit XML, `build/test-results` of each project.
    Gradle,
    /// CTest's JUnit XML (`--output-junit`, CMake 3.21 and later).
    Ctest,
}

impl TestRunner {
    /// Every runner.
    pub const ALL: &[Self] = &[
        Self::Cargo,
        Self::Pytest,
        Self::Unittest,
        Self::NodeTest,
        Self::Jest,
        Self::Vitest,
        Self::Mocha,
        Self::GoTest,
        Self::Surefire,
        Self::Gradle,
        Self::Ctest,
    ];

    /// Returns the runner as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Pytest => "pytest",
            Self::Unittest => "unittest",
            Self::NodeTest => "node_test",
            Self::Jest => "jest",
            Self::Vitest => "vitest",
            Self::Mocha => "mocha",
            Self::GoTest => "go_test",
            Self::Surefire => "surefire",
            Self::Gradle => "gradle",
            Self::Ctest => "ctest",
        }
    }
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
    /// Paths of the files with instructions for agents, those nearest to the root first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instructions: Vec<RelPath>,
    /// The same and what is written for people who contribute, with kind and scope. Data, never a command to us.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instruction_files: Vec<InstructionFile>,
    /// Versions of toolchains that the repository asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub toolchains: Vec<Pin>,
    /// What fetches its dependencies and builds it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<Manager>,
    /// The packages of a monorepo, each with its own commands; empty where there is one package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// Services that its tests may need: none can be had in a job, so each is a gap too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// Paths that are somebody's or something's, and that a change should leave alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protected: Vec<ProtectedPath>,
    /// How its people's and agents' environments are set up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setups: Vec<Setup>,
    /// Fields that a file of the operator's or of the repository's has set, in place of what was mined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrections: Vec<Correction>,
    /// What its merged changes look like; none where no history was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norms: Option<StyleNorms>,
    /// How ready it is to be worked on by an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Readiness>,
    /// Digest over the files the profile was mined from and the commands they gave; a change of it makes the profile
    /// stale.
    pub mined_from: Digest,
}

impl Profile {
    /// Returns a profile that knows nothing.
    pub fn empty() -> Self {
        Self {
            schema_version: 1,
            ecosystems: Vec::new(),
            commands: Vec::new(),
            rejected: Vec::new(),
            gaps: Vec::new(),
            instructions: Vec::new(),
            instruction_files: Vec::new(),
            toolchains: Vec::new(),
            managers: Vec::new(),
            parts: Vec::new(),
            services: Vec::new(),
            protected: Vec::new(),
            setups: Vec::new(),
            corrections: Vec::new(),
            norms: None,
            readiness: None,
            mined_from: Digest::zero(),
        }
    }

    /// Whether any command of it was run, and not only found.
    pub fn is_proved(&self) -> bool {
        self.commands.iter().any(|command| command.proof.is_some())
    }

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
    /// The run that showed it, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_runners_are_written_as_they_are_spelled() {
        for kind in CommandKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for runner in TestRunner::ALL {
            assert_eq!(serde_json::to_value(runner).unwrap(), runner.as_str());
        }
        for ecosystem in ["rust", "python", "node", "go", "java", "c"] {
            let read: Ecosystem = serde_json::from_value(ecosystem.into()).unwrap();
            assert_eq!(read.as_str(), ecosystem);
        }
    }

    #[test]
    fn a_profile_written_before_there_were_facts_is_read() {
        let old = r#"{
            "schema_version": 1, "ecosystems": ["rust"],
            "commands": [{"kind": "lint", "argv": ["cargo", "clippy"], "cwd": ".",
                "source": {"file": "Makefile", "line": 3, "because": "target \"lint\""}}],
            "rejected": [{"command": "x", "source": {"file": "Makefile", "line": 1, "because": "y"}, "reason": "z"}],
            "instructions": ["AGENTS.md"],
            "mined_from": "sha256:845528e94fd98eb73e1e0c885a4e48b1147de72c5d82368999ed1415530370e4"
        }"#;
        let profile: Profile = serde_json::from_str(old).unwrap();
        assert_eq!(profile.command(CommandKind::Lint).unwrap().argv, ["cargo", "clippy"]);
        assert_eq!((profile.parts, profile.readiness), (vec![], None));
        assert_eq!(profile.rejected[0].proof, None);
    }
}
