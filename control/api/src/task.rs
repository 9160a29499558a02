//! A task as people, bots and code hosts see it: how it is asked for, what becomes of it, and what is told on the way.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bowout::{BowOut, Cost, Stage};
use crate::{Attempt, Digest, RepoId, TaskId};

/// The longest text of a task, bytes.
pub const TEXT_CAP: usize = 256 * 1024;

/// The longest key of any sort that a client may choose, bytes.
pub const KEY_CAP: usize = 200;

/// The most labels that a task may need.
pub const NEEDS: usize = 16;

/// The largest and smallest priority.
pub const PRIORITIES: std::ops::RangeInclusive<i32> = -100..=100;

/// What is wanted of a repository.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// A change of it: ends in a pull request, or says why there is none.
    #[default]
    Change,
    /// To be known: its commands are found and proved by running them, on its default branch, without a model.
    Onboard,
}

impl TaskKind {
    /// Returns what a policy's `[submit]` calls asking for it.
    pub fn asked_as(self) -> &'static str {
        match self {
            Self::Change => "model",
            Self::Onboard => "onboard",
        }
    }

    /// Whether a change is wanted, as nearly always.
    pub fn is_change(&self) -> bool {
        *self == Self::Change
    }
}

/// What somebody asks for: the body of `POST /v1/tasks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// The repository, `owner/name`.
    pub repo: RepoId,
    /// What is wanted of it; a change where nothing is said.
    #[serde(default, skip_serializing_if = "TaskKind::is_change")]
    pub kind: TaskKind,
    /// What is to be done, in words; at most 256 KiB of UTF-8.
    #[schemars(length(min = 1, max = 262_144), regex(pattern = r"\S"))]
    pub text: String,
    /// The branch, tag or commit to start from; the repository's default branch where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f-][^\x00-\x1f\x7f-\x9f]*$"))]
    pub base: Option<String>,
    /// Higher goes first among the tasks of the same repository, from -100 to 100. It takes nothing from others.
    #[serde(default)]
    #[schemars(range(min = -100, max = 100))]
    pub priority: i32,
    /// Not to be begun before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// A task of the same repository with the same key that has not ended is superseded by this one; at most 200 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]+$"))]
    pub supersede: Option<String>,
    /// Labels that a worker must have, such as `arch:aarch64` or `engine:docker`; at most 16 of at most 200 bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 200), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")))]
    pub needs: Vec<String>,
    /// The most that it may cost, US dollars. It narrows what the repository's policy allows, and never widens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub cost_usd: Option<f64>,
}

impl NewTask {
    /// The key by which one request to onboard a repository takes the place of another that has not ended.
    pub const ONBOARD: &str = "gloaming:onboard";

    /// Returns what asks for a repository to be onboarded.
    pub fn onboard(repo: RepoId) -> Self {
        Self {
            text: format!("Find the commands of {repo}, and prove them by running them"),
            repo,
            kind: TaskKind::Onboard,
            base: None,
            priority: 0,
            not_before: None,
            supersede: Some(Self::ONBOARD.to_owned()),
            needs: Vec::new(),
            cost_usd: None,
        }
    }

    /// Checks what the types do not. An error names the field and what is wanted there.
    pub fn check(&self) -> Result<(), String> {
        let refuse = |place: &str, want: String| Err(format!("at `{place}`: want {want}"));
        if self.text.trim().is_empty() || self.text.len() > TEXT_CAP {
            return refuse("text", format!("1 to {TEXT_CAP} bytes that are not all white space"));
        }
        if !PRIORITIES.contains(&self.priority) {
            return refuse("priority", format!("{} to {}", PRIORITIES.start(), PRIORITIES.end()));
        }
        let short =
            |text: &String| !text.is_empty() && text.len() <= KEY_CAP && !text.chars().any(char::is_control);
        if !self.base.as_ref().is_none_or(|base| short(base) && !base.starts_with('-')) {
            return refuse("base", format!("a branch, tag or commit of at most {KEY_CAP} bytes"));
        }
        if !self.supersede.as_ref().is_none_or(short) {
            return refuse("supersede", format!("1 to {KEY_CAP} bytes without control characters"));
        }
        if self.kind == TaskKind::Onboard && self.base.is_some() {
            return refuse(
                "base",
                "none: what is kept of a repository is known of its default branch".to_owned(),
            );
        }
        if self.needs.len() > NEEDS || !self.needs.iter().all(short) {
            return refuse("needs", format!("at most {NEEDS} labels of 1 to {KEY_CAP} bytes"));
        }
        if self.cost_usd.is_some_and(|usd| !usd.is_finite() || usd < 0.0) {
            return refuse("cost_usd", "US dollars, 0 or more".to_owned());
        }
        Ok(())
    }
}

/// Where a task came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// The HTTP API.
    Api,
    /// An issue of the code host.
    Issue {
        /// Its number.
        number: u64,
    },
    /// A comment on an issue or a pull request.
    Comment {
        /// The number of the issue or pull request.
        number: u64,
        /// The comment's id.
        comment: u64,
    },
    /// A chat.
    Chat {
        /// The workspace.
        team: String,
        /// The channel.
        channel: String,
        /// The message that the answers are a thread of; empty where it was asked for without one, by a command.
        thread: String,
    },
    /// A schedule of the operator's.
    Schedule {
        /// Its name.
        name: String,
    },
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It waits for a worker, or for its time.
    Queued,
    /// A worker has it.
    Running,
    /// A worker is done with it, and what it made is being published.
    Publishing,
    /// The end: a pull request is open, or was.
    Published,
    /// The end: the repository is onboarded, and its profile kept.
    Onboarded,
    /// The end: no pull request, and why.
    BowedOut,
    /// The end: infrastructure failed as often as it may.
    Failed,
    /// The end: it killed as many workers as it may. Nobody takes it before it is retried by name.
    Quarantined,
    /// The end: somebody stopped it.
    Cancelled,
    /// The end: another task took its place.
    Superseded,
}

impl TaskState {
    /// Every state.
    pub const ALL: &[Self] = &[
        Self::Queued,
        Self::Running,
        Self::Publishing,
        Self::Published,
        Self::Onboarded,
        Self::BowedOut,
        Self::Failed,
        Self::Quarantined,
        Self::Cancelled,
        Self::Superseded,
    ];

    /// Returns the state as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Publishing => "publishing",
            Self::Published => "published",
            Self::Onboarded => "onboarded",
            Self::BowedOut => "bowed_out",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }

    /// Returns the state of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.as_str() == name)
    }

    /// Whether nothing happens to it any more unless somebody retries it.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Queued | Self::Running | Self::Publishing)
    }
}

/// What became of a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PullRequestOutcome {
    /// It was merged.
    Merged,
    /// It was closed without.
    Closed,
    /// It was merged, and taken back later.
    Reverted,
}

/// A pull request of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Its page.
    pub url: String,
    /// The branch that was written.
    pub branch: String,
    /// The commit on it.
    pub commit: String,
    /// What became of it, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<PullRequestOutcome>,
}

/// A task as it is shown: the answer of `GET /v1/tasks/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskView {
    /// Its id.
    pub id: TaskId,
    /// The repository.
    pub repo: RepoId,
    /// What is wanted of it.
    #[serde(default, skip_serializing_if = "TaskKind::is_change")]
    pub kind: TaskKind,
    /// What is to be done.
    pub text: String,
    /// What it starts from, where that was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Where it came from.
    pub source: Source,
    /// Who asked, as a policy's `[submit]` names them: `token:NAME`, `github:LOGIN`, `slack:TEAM/USER`.
    pub asker: String,
    /// Where it stands.
    pub state: TaskState,
    /// Its latest attempt; 0 before the first.
    pub attempt: Attempt,
    /// See [`NewTask::priority`].
    pub priority: i32,
    /// See [`NewTask::not_before`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When anything about it changed last.
    pub updated_at: Timestamp,
    /// Whether somebody asked for its end; a worker hears of it when it renews its lease.
    pub cancelling: bool,
    /// The stage its worker is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// What its worker does there, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<String>,
    /// What all its attempts took.
    pub cost: Cost,
    /// Its pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequest>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bow_out: Option<Box<BowOut>>,
    /// What failed, of the infrastructure's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The task that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<TaskId>,
    /// Digest of the grant its latest attempt worked under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Digest>,
}

/// Something that was to be done outside and was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadEffect {
    /// Its number, by which it is revived.
    pub id: i64,
    /// The task it was for, where it was for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// What it was: `publish`, `comment`, `check`, `chat`, `webhook`.
    pub kind: String,
    /// Its name, which no other has.
    pub key: String,
    /// How often it was tried.
    pub tries: u32,
    /// Why it was given up.
    pub error: String,
}

/// One page of tasks, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskView>,
    /// Give it as `before` for the next page; none where there is no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<TaskId>,
}

/// The answer to a request for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskAccepted {
    /// Its id.
    pub id: TaskId,
    /// Where it stands.
    pub state: TaskState,
}

/// Something that happened to a task; what `GET /v1/tasks/{id}/events` streams, with `seq` as the event's id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskEvent {
    /// Its position among the task's, from 1.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: TaskEventKind,
}

/// What happened to a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TaskEventKind {
    /// It was asked for.
    Submitted {
        /// By whom.
        asker: String,
    },
    /// A worker took it.
    Leased {
        /// The attempt that this began.
        attempt: Attempt,
        /// The worker's name.
        worker: String,
    },
    /// Its worker said what it does. Kept where the stage changed, or stages ended; not every line.
    Progress {
        /// The attempt.
        attempt: Attempt,
        /// The stage.
        stage: Stage,
        /// In a line.
        detail: String,
    },
    /// Its worker was not heard of in time; it goes back into the queue.
    LeaseExpired {
        /// The attempt.
        attempt: Attempt,
    },
    /// Its worker gave it back, as one does that is shut down.
    Released {
        /// The attempt.
        attempt: Attempt,
    },
    /// An attempt ended for the infrastructure's fault.
    AttemptFailed {
        /// The attempt.
        attempt: Attempt,
        /// Why.
        error: String,
    },
    /// A worker is done; the change is being published.
    Verified {
        /// The attempt.
        attempt: Attempt,
    },
    /// The state that no more follows after, unless it is retried.
    Ended {
        /// Which.
        state: TaskState,
        /// In a line: the pull request's page, the bow-out's summary, the error.
        detail: String,
    },
    /// Somebody asked for its end while a worker had it.
    CancelAsked {
        /// Who.
        by: String,
    },
    /// Somebody put it back into the queue.
    Retried {
        /// Who.
        by: String,
    },
    /// Its pull request was merged, closed or reverted.
    Outcome {
        /// Which.
        outcome: PullRequestOutcome,
    },
}

impl TaskEventKind {
    /// Every kind's name.
    pub const NAMES: &[&str] = &[
        "submitted",
        "leased",
        "progress",
        "lease_expired",
        "released",
        "attempt_failed",
        "verified",
        "ended",
        "cancel_asked",
        "retried",
        "outcome",
    ];

    /// Returns the kind's name, as it is written.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Submitted { .. } => "submitted",
            Self::Leased { .. } => "leased",
            Self::Progress { .. } => "progress",
            Self::LeaseExpired { .. } => "lease_expired",
            Self::Released { .. } => "released",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::Verified { .. } => "verified",
            Self::Ended { .. } => "ended",
            Self::CancelAsked { .. } => "cancel_asked",
            Self::Retried { .. } => "retried",
            Self::Outcome { .. } => "outcome",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_called_as_they_are_written() {
        let attempt = Attempt(1);
        let events = [
            TaskEventKind::Submitted { asker: String::new() },
            TaskEventKind::Leased { attempt, worker: String::new() },
            TaskEventKind::Progress { attempt, stage: Stage::Intake, detail: String::new() },
            TaskEventKind::LeaseExpired { attempt },
            TaskEventKind::Released { attempt },
            TaskEventKind::AttemptFailed { attempt, error: String::new() },
            TaskEventKind::Verified { attempt },
            TaskEventKind::Ended { state: TaskState::Failed, detail: String::new() },
            TaskEventKind::CancelAsked { by: String::new() },
            TaskEventKind::Retried { by: String::new() },
            TaskEventKind::Outcome { outcome: PullRequestOutcome::Merged },
        ];
        let names: Vec<&str> = events.iter().map(TaskEventKind::name).collect();
        assert_eq!(names, TaskEventKind::NAMES);
        for event in events {
            assert_eq!(serde_json::to_value(&event).unwrap()["event"], event.name());
        }
    }
}
