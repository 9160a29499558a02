//! What is recorded of a container run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Digest;

/// What a job is run for; policy grants each purpose by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobPurpose {
    /// Fetch what the others need: dependencies, generated sources.
    Setup,
    /// Compile or otherwise prepare.
    Build,
    /// Run tests.
    Test,
    /// Run a linter, formatter or type checker.
    Lint,
}

impl JobPurpose {
    /// Every purpose.
    pub const ALL: &[Self] = &[Self::Setup, Self::Build, Self::Test, Self::Lint];

    /// Returns the purpose as it is written in policies and journals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
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
    /// What it tried to reach, where it had network at all; none where it had nothing but its own loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<EgressLog>,
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
    /// Where the job was not run, since one before it had left what it would leave: all of this record is about that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<CachedRun>,
}

/// What stood in for a run: the content of a cache, or a note of how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CachedRun {
    /// The digest of everything that decides what the run leaves behind.
    pub key: Digest,
    /// When the run before had ended.
    pub at: Timestamp,
}

/// What a job with network tried to reach, as the proxy that is its only way out saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EgressLog {
    /// The attempts, by the time they began; bounded.
    pub attempts: Vec<EgressAttempt>,
    /// Attempts beyond the bound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
}

impl EgressLog {
    /// Returns the attempts that were refused, for people.
    pub fn refused(&self) -> impl Iterator<Item = &EgressAttempt> {
        self.attempts.iter().filter(|attempt| matches!(attempt.decision, EgressDecision::Refused { .. }))
    }
}

/// One attempt of a job to reach a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EgressAttempt {
    /// Milliseconds after the job's start.
    pub at_ms: u64,
    /// The HTTP method, `CONNECT` for a tunnel; empty where no request could be made out.
    pub method: String,
    /// `http`, `https`, or `tcp` for a tunnel that carries something else.
    pub scheme: String,
    /// The host as it was asked for; empty where none could be made out.
    pub host: String,
    /// The port; 0 where none could be made out.
    pub port: u16,
    /// What was decided.
    pub decision: EgressDecision,
    /// Why an attempt that was allowed came to nothing: the name is not known, nobody answers, a limit was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The address that was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Bytes sent to the host.
    pub up: u64,
    /// Bytes received from it.
    pub down: u64,
    /// Milliseconds from the attempt's start to its end, or to the job's.
    pub duration_ms: u64,
}

/// Whether a job was let reach a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum EgressDecision {
    /// By a rule of the policy.
    Allowed {
        /// The rule's id.
        rule: String,
    },
    /// By a rule of the policy, or by what no policy can allow: a private address, a request that hides where it goes.
    Refused {
        /// The rule's id, where a rule refused it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// Why, in plain words.
        reason: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field by reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A host that jobs wanted to reach and were refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusedHost {
    /// The kind of job.
    pub purpose: JobPurpose,
    /// `host:port`; `something that named no host` where none could be made out.
    pub host: String,
    /// How often.
    pub times: usize,
    /// The rule's id, or why no policy can allow it.
    pub because: String,
}

impl std::fmt::Display for RefusedHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let times = if self.times == 1 { String::new() } else { format!(" ({} times)", self.times) };
        write!(f, "a {} job was refused {}{times}: {}", self.purpose.as_str(), self.host, self.because)
    }
}

impl RefusedHost {
    /// Returns what the jobs of these records were refused, each host once for a kind of job, in order.
    pub fn of<'r>(records: impl IntoIterator<Item = &'r JobRecord>) -> Vec<Self> {
        let mut hosts: BTreeMap<(JobPurpose, String, String), usize> = BTreeMap::new();
        for record in records {
            for attempt in record.egress.iter().flat_map(|log| &log.attempts) {
                let EgressDecision::Refused { rule, reason } = &attempt.decision else { continue };
                let host = match (attempt.host.as_str(), attempt.port) {
                    ("", _) => "something that named no host".to_owned(),
                    (host, 0) => host.to_owned(),
                    (host, port) => format!("{host}:{port}"),
                };
                let because = rule.as_ref().map_or_else(|| reason.clone(), |rule| format!("rule {rule}"));
                *hosts.entry((record.purpose, host, because)).or_default() += 1;
            }
        }
        hosts
            .into_iter()
            .map(|((purpose, host, because), times)| Self { purpose, host, times, because })
            .collect()
    }
}
