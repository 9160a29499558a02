//! What is recorded of a container run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Digest;

/// What a job is run for; policy grants each purpose by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobPurpose {
    /// Compile or otherwise prepare.
    Build,
    /// Run tests.
    Test,
    /// Run a linter, formatter or type checker.
    Lint,
}

impl JobPurpose {
    /// Every purpose.
    pub const ALL: &[Self] = &[Self::Build, Self::Test, Self::Lint];

    /// Returns the purpose as it is written in policies and journals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Test => "test",
            Self::Lint => "lint",
        }
    }
}

/// How a job ended, taken from the kernel and never from what the job printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "how", content = "value")]
pub enum JobExit {
    /// The first process exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// The wall-clock limit passed; everything was killed.
    TimedOut,
    /// The memory limit was reached; everything was killed.
    OutOfMemory,
    /// It was told to stop.
    Cancelled,
}

impl JobExit {
    /// Whether the command exited with code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// Returns the exit code, where there is one.
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            _ => None,
        }
    }
}

impl std::fmt::Display for JobExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// The limits a job ran under.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobLimits {
    /// Bytes of memory (swap is not granted).
    pub memory: u64,
    /// CPUs, as a fraction of one.
    pub cpus: f64,
    /// Processes and threads.
    pub processes: u32,
    /// Wall-clock seconds.
    pub wall_s: u64,
    /// Bytes each of standard output and standard error that are kept; the rest is counted and dropped.
    pub output: u64,
    /// Bytes of the scratch folder and of temporary files.
    pub scratch: u64,
}

/// One container run, for the journal and the evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobRecord {
    /// What for.
    pub purpose: JobPurpose,
    /// The command.
    pub argv: Vec<String>,
    /// The profile's command that it was made of, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// The folder inside the workspace, `.` for its root.
    pub cwd: String,
    /// Variables set for this job beyond the environment's own (never secrets).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Names of the secrets it was handed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// The engine that ran it.
    pub engine: String,
    /// Digest of the environment (image, toolchains, mounts).
    pub environment: Digest,
    /// The grant that permitted it.
    pub grant: Digest,
    /// Rules with `enforce = "warn"` that would have kept the command or its variables from being run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How it ended.
    pub exit: JobExit,
    /// Milliseconds from start to end.
    pub duration_ms: u64,
    /// Peak memory, bytes, where the engine knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// Limits in force.
    pub limits: JobLimits,
    /// The end of standard output, for people.
    pub stdout_tail: String,
    /// The end of standard error, for people.
    pub stderr_tail: String,
}
