//! What workers and the control plane say to each other: over HTTP across machines, through [`Control`] in one process.
//!
//! A lease is one attempt at one task. Every write of a worker names both, and a write of an attempt that is not the
//! task's running one is refused: whoever lost its lease can change nothing any more.

use std::future::Future;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bowout::{BowOut, Cost, Stage};
use crate::journal::PolicyLayerText;
use crate::task::TaskKind;
use crate::{Attempt, Digest, Profile, RelPath, RepoId, TaskId};

/// The version of this protocol. A control plane refuses workers of another.
pub const PROTOCOL: u32 = 2;

/// How long a lease holds when it is not renewed, where the operator says nothing else: what its worker leaves behind when it
/// dies is begun anew within a minute, with some seconds for whoever takes it.
pub const LEASE: Duration = Duration::from_secs(54);

/// The longest that a request for a lease waits for a task.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The largest artifact, bytes.
pub const ARTIFACT_CAP: usize = 16 << 20;

/// The most bytes of journal lines in one upload.
pub const CHUNK_CAP: usize = 1 << 20;

/// A worker asks for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The worker's name, unique among the control plane's workers.
    #[schemars(length(max = 200), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]+$"))]
    pub worker: String,
    /// What it has, such as `engine:embedded` and `arch:x86_64`.
    #[schemars(length(max = 64), inner(length(max = 200), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")))]
    pub labels: Vec<String>,
    /// Seconds to wait for a task, at most 30.
    pub wait_s: u64,
}

/// A task handed to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// Seconds for which it holds when it is not renewed.
    pub expires_s: u64,
    /// The repository.
    pub repo: RepoId,
    /// Where it is cloned from: a URL without credentials. A relative URL is the control plane's own, which reads
    /// from the code host for the worker of this lease.
    pub clone: String,
    /// What is wanted of it.
    #[serde(default, skip_serializing_if = "TaskKind::is_change")]
    pub kind: TaskKind,
    /// What is to be done.
    pub text: String,
    /// The branch, tag or commit to start from; the default branch where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// A branch of an earlier attempt to go on with, whose pull request is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onto: Option<String>,
    /// Who asked.
    pub asker: String,
    /// The operator's and the task's policy layers, which the worker's own files can only narrow.
    pub policy: Vec<PolicyLayerText>,
}

/// Which lease a worker writes under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeaseKey {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
}

/// What a worker says when it renews.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// The stage it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// What it does there, in a line.
    #[serde(default)]
    pub doing: String,
    /// What the attempt took so far.
    pub cost: Cost,
    /// Digest of the grant it works under, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Digest>,
}

/// What it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renewed {
    /// Seconds for which the lease holds from now on.
    pub expires_s: u64,
    /// Whether the attempt is to be stopped: somebody cancelled the task, or another took its place.
    pub cancel: bool,
}

/// What a worker is told of its upload of journal lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Uploaded {
    /// The number of the line that is wanted next. Lines that are there already are not taken a second time.
    pub next: u64,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AttemptResult {
    /// A change that the worker's own gate passed. The control plane judges it again.
    Verified(Box<VerifiedChange>),
    /// No change, and why.
    BowedOut {
        /// The answer.
        bow_out: Box<BowOut>,
    },
    /// What is known of the repository was handed over, of a task that asked for that alone.
    Onboarded {
        /// What it took.
        cost: Cost,
    },
    /// Infrastructure failed.
    Failed {
        /// Why.
        error: String,
        /// What it took.
        cost: Cost,
    },
    /// It was stopped because the control plane asked for it.
    Cancelled {
        /// What it took.
        cost: Cost,
    },
}

/// A change that is ready to be published. What is named by digest was uploaded before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifiedChange {
    /// The commit it stands on, a full hash.
    pub base: String,
    /// The tree it makes, a full hash.
    pub tree: String,
    /// Every changed file.
    pub blobs: Vec<ChangedBlob>,
    /// The patch.
    pub patch: Digest,
    /// The evidence, canonical JSON, unsigned.
    pub evidence: Digest,
    /// What was done, in words, for the pull request's description.
    pub description: String,
    /// What it took.
    pub cost: Cost,
}

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedBlob {
    /// Where it is.
    pub path: RelPath,
    /// Its mode in git: `100644`, `100755` or `120000`; of a removed file the one it had.
    pub mode: String,
    /// Its content; none for a removed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
}

/// Why the control plane did not do what a worker asked for.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The lease is another's, or nobody's: the attempt must stop, and nothing of it counts any more.
    #[error("the lease of attempt {attempt} at {task} is lost")]
    Lost {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// What was sent is refused for good; sending it again changes nothing.
    #[error("refused: {0}")]
    Refused(String),
    /// It could not be asked, or could not answer; later it may.
    #[error("the control plane cannot be reached: {0}")]
    Away(String),
}

/// The control plane, as a worker sees it.
pub trait Control: Send + Sync {
    /// Waits for a task that fits.
    fn lease(
        &self,
        request: &LeaseRequest,
    ) -> impl Future<Output = Result<Option<Lease>, ControlError>> + Send;

    /// Keeps a lease, says what is being done, and hears whether to stop.
    fn renew(
        &self,
        lease: &LeaseKey,
        renewal: &Renewal,
    ) -> impl Future<Output = Result<Renewed, ControlError>> + Send;

    /// Hands over lines of the attempt's journal, the first of them the `from`th, from 0.
    fn events(
        &self,
        lease: &LeaseKey,
        from: u64,
        lines: &str,
    ) -> impl Future<Output = Result<Uploaded, ControlError>> + Send;

    /// Hands over an artifact. A second time changes nothing.
    fn artifact(
        &self,
        lease: &LeaseKey,
        digest: &Digest,
        content: Vec<u8>,
    ) -> impl Future<Output = Result<(), ControlError>> + Send;

    /// Says what the attempt found to be known of its repository.
    fn profile(
        &self,
        lease: &LeaseKey,
        profile: &Profile,
    ) -> impl Future<Output = Result<(), ControlError>> + Send;

    /// Ends an attempt. A second time with the same result changes nothing.
    fn result(
        &self,
        lease: &LeaseKey,
        result: &AttemptResult,
    ) -> impl Future<Output = Result<(), ControlError>> + Send;

    /// Gives a lease back unused or unfinished: another worker goes on, and the try is not counted.
    fn release(&self, lease: &LeaseKey) -> impl Future<Output = Result<(), ControlError>> + Send;
}
