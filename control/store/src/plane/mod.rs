//! What the control plane remembers of tasks: one state machine behind [`Store`], which every backend keeps in the same way.
//!
//! A store reads no clock and makes no ids: each call carries its time, kept to the microsecond, and a new task its id. It
//! needs no order between the times of calls: a clock that was ahead and was set right makes what was written meanwhile hold
//! longer by that much, and nothing else. (Were time made to run forwards by the store, every lease would hold until the
//! clock is there again.) Calls block.
//!
//! What a task goes through is decided in one place, [`machine`], a function of values; a backend keeps what it returns,
//! finds it again, and does each call whole or not at all.

mod audit;
mod forget;
mod machine;
mod memory;
mod sqlite;

use std::collections::BTreeMap;
use std::time::Duration;

use gloaming_api::access::{NewToken, RepoPattern, TokenView};
use gloaming_api::bowout::{BowOut, Cost};
pub use gloaming_api::stats::Figure;
use gloaming_api::task::{NewTask, PullRequest, PullRequestOutcome, Source, TaskEvent, TaskState, TaskView};
use gloaming_api::worker::{LeaseKey, Renewal, Renewed, VerifiedChange};
use gloaming_api::{Attempt, Digest, RepoId, TaskId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use audit::{AuditBreak, verify_audit};
pub use forget::{AUDIT_FORGOTTEN_AT_ONCE, FORGOTTEN_AT_ONCE, Gone};
use forget::{CHECK, at_once};
pub use memory::MemoryStore;
pub use sqlite::{Health, Sizes, SqliteStore};

/// What a store is set to.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// How many attempts a task has that end for the infrastructure's fault, the last of them among it.
    pub failures: u32,
    /// How many leases of a task may run out before it is quarantined.
    pub losses: u32,
    /// How long a task waits after its first failed attempt; twice as long after each further one.
    pub backoff: Duration,
    /// Tasks of one repository that may run at once, where nothing else is set for it.
    pub running: u32,
    /// Tasks that may wait, of all repositories; one more is refused.
    pub queued: u32,
    /// Bytes of journal and artifacts that one attempt may hand over.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failures: 3,
            losses: 3,
            backoff: Duration::from_secs(30),
            running: 4,
            queued: 100_000,
            bytes: 256 << 20,
        }
    }
}

/// How much of the workers a repository is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its weight, from 1 to 1,000 (what is beyond is taken for the nearest); twice the weight is twice the tasks while both
    /// have some that wait. Where nothing was set it is [`Share::WEIGHT`].
    pub weight: u32,
    /// How many of its tasks may run at once; 0 holds it.
    pub running: u32,
}

impl Share {
    /// The weight of a repository that none was set for.
    pub const WEIGHT: u32 = 100;
}

/// A request for a task, with what the server knows of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// The id of the task that this becomes, where it is a new one.
    pub id: TaskId,
    /// What is asked for.
    pub new: NewTask,
    /// Where it came from.
    pub source: Source,
    /// Who asks.
    pub asker: String,
    /// Whether somebody asked for this by name: only then is a bow-out told where it came from.
    pub by_name: bool,
    /// The key of the request, with whose it is: the same key and the same request is the same task.
    pub idempotency: Option<Idempotency>,
    /// What is to be done to the outside when it was taken, in the same transaction.
    pub effects: Vec<NewEffect>,
}

/// What makes two requests one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Idempotency {
    /// Whose key it is: a token's id, or a kind of delivery.
    pub scope: String,
    /// The key.
    pub key: String,
    /// Digest of the request.
    pub request: Digest,
}

/// What became of a request for a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// A new task, and those that it supersedes.
    New(TaskId),
    /// The task of the same request before.
    Again(TaskId),
    /// The key was used for another request.
    Conflict,
    /// As many tasks wait as may.
    Full,
}

/// A worker that asks for a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimant {
    /// Its name.
    pub worker: String,
    /// The token it shows, by id: writes under the lease are taken from that token alone.
    pub token: String,
    /// What it has.
    pub labels: Vec<String>,
    /// Whose tasks it is handed.
    pub repos: Vec<RepoPattern>,
}

/// A task as a worker is handed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// Task and attempt.
    pub lease: LeaseKey,
    /// The task.
    pub task: TaskView,
    /// When the lease runs out.
    pub expires_at: Timestamp,
}

/// What is known of a task beside what is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRecord {
    /// What is shown.
    pub view: TaskView,
    /// Whether somebody asked for it by name.
    pub by_name: bool,
    /// What was asked for.
    pub new: NewTask,
    /// The change of its latest verified attempt.
    pub change: Option<VerifiedChange>,
    /// How often it re-entered after a review or a failed check.
    pub follow_ups: u32,
}

/// Why a write of a worker is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no such lease, or it is another token's, or over.
    Lost,
    /// Lines before these are missing; the number is the one wanted next.
    Gap(u64),
    /// The attempt has ended already, and with another result.
    Ended,
    /// The attempt has handed over as much as it may, see [`Limits::bytes`].
    Full,
}

/// How an attempt ends, as the server found it: a verified change only after its evidence was judged again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// It is to be published.
    Verified(Box<VerifiedChange>),
    /// No change.
    BowedOut(Box<BowOut>),
    /// The repository is known, of a task that asked for that alone.
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
    /// It was stopped.
    Cancelled {
        /// What it took.
        cost: Cost,
    },
}

/// Something to be done to the outside, written down with the change of state that asks for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewEffect {
    /// Names it for good: a second one of the same key is the first one.
    pub key: String,
    /// What it is, such as `publish`, `comment`, `check`, `slack`, `webhook`.
    pub kind: String,
    /// What it needs.
    pub payload: Value,
}

/// An effect that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// Its number.
    pub id: i64,
    /// The task it is for, where it is for one.
    pub task: Option<TaskId>,
    /// What it is.
    pub what: NewEffect,
    /// How often it was tried before, since somebody took it up where it was dead.
    pub tries: u32,
    /// Whether it was tried at all before, and may have been done by that.
    pub tried: bool,
}

/// Which kinds of effects are taken: whoever does one kind is not held up by those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds<'a> {
    /// These.
    Only(&'a [&'a str]),
    /// All others.
    Except(&'a [&'a str]),
}

impl Kinds<'static> {
    /// Whatever there is.
    pub const ALL: Self = Self::Except(&[]);
}

impl Kinds<'_> {
    /// Whether a kind is among them.
    pub fn take(&self, kind: &str) -> bool {
        match self {
            Self::Only(kinds) => kinds.contains(&kind),
            Self::Except(kinds) => !kinds.contains(&kind),
        }
    }
}

/// What became of an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum EffectEnd {
    /// It is done, with what is to be known of it.
    Done(Value),
    /// Not this time; again at a time.
    Later {
        /// When.
        at: Timestamp,
        /// Why.
        error: String,
    },
    /// Never: it stays visible until somebody takes it up.
    Dead {
        /// Why.
        error: String,
    },
}

/// An event among those of all tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Its position among all, from 1; positions of forgotten tasks are missing.
    pub position: u64,
    /// Whose it is.
    pub task: TaskId,
    /// What happened.
    pub event: TaskEvent,
}

/// How much there is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// Tasks by where they stand.
    pub tasks: BTreeMap<TaskState, u64>,
    /// Those that wait and may be begun.
    pub ready: u64,
    /// Since when the one of these waits that waits the longest.
    pub ready_since: Option<Timestamp>,
    /// Effects that are neither done nor dead.
    pub effects: u64,
    /// Effects that are dead.
    pub dead_effects: u64,
    /// Deliveries that nobody is done with.
    pub deliveries: u64,
}

/// Which tasks are listed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskFilter {
    /// Of these repositories; none for all.
    pub repos: Option<Vec<RepoPattern>>,
    /// Of this one alone.
    pub repo: Option<RepoId>,
    /// In this state.
    pub state: Option<TaskState>,
    /// Older than this one.
    pub before: Option<TaskId>,
    /// At most so many.
    pub limit: u32,
}

/// A delivery of a code host or chat, as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Who sends: `github`, `slack`.
    pub sender: String,
    /// The sender's id of it.
    pub id: String,
    /// The sender's name of its kind.
    pub event: String,
    /// Its body, verified.
    pub body: Vec<u8>,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its position, from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who: a token's id, `github:LOGIN`, `operator`, `system`.
    pub who: String,
    /// What was decided: `allow`, `deny`.
    pub decision: String,
    /// On what: an endpoint's name or a command.
    pub action: String,
    /// About what: a task, a repository, a token's id.
    pub subject: String,
    /// Why.
    pub detail: String,
    /// Hash of the entry before, 64 zeros for the first.
    pub prev: Digest,
    /// Hash of this entry's canonical JSON without `hash`.
    pub hash: Digest,
}

/// A store failed. Nothing of the call was done.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing}")]
pub struct StoreError {
    /// What could not be done, and where.
    pub doing: String,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Of how many sets of labels that tasks of one repository need a claim looks at, in the order of their names: whoever
/// makes up more of them keeps their own waiting, and not everybody else's claim busy.
pub const SETS_OF_LABELS: usize = 64;

/// What a store answers.
pub type Stored<T> = Result<T, StoreError>;

/// What the control plane remembers. Each call is one transaction: done whole, and on the disk when it returns, or not done.
pub trait Store: Send + Sync {
    /// Takes a request for a task. Tasks of the same repository and supersede key that have not ended are superseded: one
    /// that waits ends, one that runs or is being published is asked to.
    fn submit(&self, submission: &Submission, now: Timestamp) -> Stored<Submitted>;

    /// Hands a worker the task that is due: leases that ran out are swept first; among the repositories that have a task
    /// which fits and may run one more, the one that had least for its weight (stride scheduling); of that one's, by priority
    /// and then age. A repository that had nothing to be handed out for a while has not saved anything up by it.
    fn claim(&self, claimant: &Claimant, lease: Duration, now: Timestamp) -> Stored<Option<Claimed>>;

    /// Keeps a lease and takes note of what its worker says.
    fn renew(
        &self,
        lease: &LeaseKey,
        token: &str,
        renewal: &Renewal,
        hold: Duration,
        now: Timestamp,
    ) -> Stored<Result<Renewed, Refused>>;

    /// Whether a lease is held by a token.
    fn holds(&self, lease: &LeaseKey, token: &str, now: Timestamp) -> Stored<bool>;

    /// Appends lines to an attempt's journal, the first of them the `from`th, from 0; those that are there are skipped. Returns the number wanted next.
    fn append(
        &self,
        lease: &LeaseKey,
        token: &str,
        from: u64,
        lines: &[&str],
        now: Timestamp,
    ) -> Stored<Result<u64, Refused>>;

    /// Keeps an artifact of an attempt by its digest, which the caller has computed.
    fn put_artifact(
        &self,
        lease: &LeaseKey,
        token: &str,
        digest: &Digest,
        content: &[u8],
        now: Timestamp,
    ) -> Stored<Result<(), Refused>>;

    /// Keeps an artifact of the server's own of a task, by its digest, which the caller has computed; once more is no more. False
    /// where there is no such task.
    fn keep_artifact(&self, task: &TaskId, digest: &Digest, content: &[u8]) -> Stored<bool>;

    /// Ends an attempt: the task's state, its events and the effects that follow are one transaction. A second time with the
    /// same end changes nothing, and returns what the first did. A failed one goes back into the queue as often as it may. A
    /// task whose end was asked for ends so, whatever its worker made. The effects are written where the task comes to where
    /// this end leads and no other: a verified one to `publishing`, a failed one to `failed`, and so on.
    fn finish(
        &self,
        lease: &LeaseKey,
        token: &str,
        end: &AttemptEnd,
        effects: &[NewEffect],
        now: Timestamp,
    ) -> Stored<Result<TaskState, Refused>>;

    /// Gives a lease back: the task waits again, and the try is not counted. Returns what the attempt took, as far as its
    /// worker said.
    fn release(&self, lease: &LeaseKey, token: &str, now: Timestamp) -> Stored<Result<Cost, Refused>>;

    /// Takes back leases that ran out. Returns the tasks they were of, and what the attempts took, as far as their workers said.
    fn sweep(&self, now: Timestamp) -> Stored<Vec<(TaskId, Cost)>>;

    /// Lets leases that ran out hold for a while from now on, and returns how many. For the start of a server that was away:
    /// their workers could not renew, and neither they nor their tasks are to be blamed. They can give them back or hand over
    /// what they have; those of workers that are gone run out once more.
    fn grace(&self, hold: Duration, now: Timestamp) -> Stored<u64>;

    /// Lets go of effects and deliveries that somebody took and was not done with, so that they can be taken at once, and
    /// returns how many; of effects in some seconds, since what was sent for them may still be under way. For the start of a
    /// server that is alone on its store: whoever took them is gone.
    fn let_go(&self, now: Timestamp) -> Stored<u64>;

    /// Asks for a task's end: one that waits ends at once, and the effects are written; one that runs ends when its worker
    /// hears of it, one that is being published when its publisher looks, see [`Store::unpublished`]. Returns its state, none
    /// where there is no such task.
    fn cancel(
        &self,
        task: &TaskId,
        by: &str,
        effects: &[NewEffect],
        now: Timestamp,
    ) -> Stored<Option<TaskState>>;

    /// Puts a task that ended without a pull request back into the queue, with its failures and losses forgotten; not one
    /// that another took the place of. `Ok(Err)` says the state it is in instead.
    fn retry(&self, task: &TaskId, by: &str, now: Timestamp) -> Stored<Option<Result<(), TaskState>>>;

    /// Lets a task that was published, and whose last attempt has ended, re-enter for a review or a failed check, at most
    /// `most` times, with words added to its text, as long as its pull request is open. False where it may not.
    fn follow_up(
        &self,
        task: &TaskId,
        text: &str,
        by: &str,
        most: u32,
        now: Timestamp,
    ) -> Stored<Option<bool>>;

    /// Notes the pull request of a task that was being published: its end. False, and nothing done, where it was not.
    fn published(
        &self,
        task: &TaskId,
        request: &PullRequest,
        effects: &[NewEffect],
        now: Timestamp,
    ) -> Stored<bool>;

    /// Ends a task that was being published without a pull request. False, and nothing done, where it was not, or where the
    /// end is a verified change. Whether its end was asked for is in [`TaskView::cancelling`]: then it ends so.
    fn unpublished(
        &self,
        task: &TaskId,
        end: &AttemptEnd,
        effects: &[NewEffect],
        now: Timestamp,
    ) -> Stored<bool>;

    /// Lets a task whose publishing failed be published after all: the change of that attempt, which has to be its latest. The
    /// dead effect that is to do it, by its number, is due again with that. False, and nothing done, where it did not fail of that.
    fn publish_again(
        &self,
        task: &TaskId,
        attempt: Attempt,
        effect: i64,
        by: &str,
        now: Timestamp,
    ) -> Stored<bool>;

    /// Notes what became of a pull request; false where nothing changed by it. What was merged can only be reverted, and what
    /// was reverted stays so: deliveries come in any order.
    fn outcome(&self, task: &TaskId, outcome: PullRequestOutcome, now: Timestamp) -> Stored<bool>;

    /// Returns a task.
    fn task(&self, task: &TaskId) -> Stored<Option<TaskRecord>>;

    /// Lists tasks, the newest first.
    fn tasks(&self, filter: &TaskFilter) -> Stored<Vec<TaskView>>;

    /// Returns what happened to a task after an event, oldest first.
    fn events(&self, task: &TaskId, after: u64, limit: u32) -> Stored<Vec<TaskEvent>>;

    /// Returns what happened to all tasks after a position, oldest first: whoever reacts to it, with effects whose keys are
    /// made of task and event, and keeps the position then, misses nothing and does nothing twice.
    fn feed(&self, after: u64, limit: u32) -> Stored<Vec<Told>>;

    /// Returns lines of an attempt's journal from one on.
    fn journal(&self, task: &TaskId, attempt: Attempt, from: u64, limit: u32) -> Stored<Vec<String>>;

    /// Returns an artifact of a task.
    fn artifact(&self, task: &TaskId, digest: &Digest) -> Stored<Option<Vec<u8>>>;

    /// Sets what repositories are given of the workers, all at once: what was set before and is not among it counts no more.
    /// Of several that name a repository the one that names the least counts; of equal ones the last.
    fn set_shares(&self, shares: &[(RepoPattern, Share)], now: Timestamp) -> Stored<()>;

    /// Returns what repositories are given, as it was set: in lower case, in the order of the names.
    fn shares(&self) -> Stored<Vec<(RepoPattern, Share)>>;

    /// Returns what a repository is given.
    fn share(&self, repo: &RepoId) -> Stored<Share>;

    /// Writes down an effect of no change of state.
    fn add_effect(&self, task: Option<&TaskId>, effect: &NewEffect, now: Timestamp) -> Stored<()>;

    /// Takes effects of some kinds that are due, at most `limit`, for a while in which nobody else gets them; those that are
    /// due for the longest first, and of one task never a later one before an earlier one, of whatever kind, is done or dead.
    fn effects(&self, kinds: Kinds<'_>, limit: u32, hold: Duration, now: Timestamp) -> Stored<Vec<Effect>>;

    /// Notes what became of an effect; of one that is done or dead nothing any more.
    fn effect_ended(&self, id: i64, end: &EffectEnd, now: Timestamp) -> Stored<()>;

    /// Returns effects that are dead, newest first.
    fn dead_effects(&self, limit: u32) -> Stored<Vec<(Effect, String)>>;

    /// Returns a dead effect.
    fn dead_effect(&self, id: i64) -> Stored<Option<Effect>>;

    /// Takes up a dead effect: it is due again, with its tries forgotten but not that it was tried. False where it is not dead.
    fn revive_effect(&self, id: i64, now: Timestamp) -> Stored<bool>;

    /// Returns what an effect of a key came to, where it is done.
    fn effect_done(&self, key: &str) -> Stored<Option<Value>>;

    /// Keeps a delivery for whoever works on it; false where that id is known.
    fn deliver(&self, delivery: &Delivery, now: Timestamp) -> Stored<bool>;

    /// Takes deliveries of a sender that nobody is done with, at most `limit`, for a while: in their order those that nobody
    /// took yet, then those that somebody took and was not done with, the one that was held the longest ago first.
    fn deliveries(&self, sender: &str, limit: u32, hold: Duration, now: Timestamp) -> Stored<Vec<Delivery>>;

    /// Notes that a delivery is worked on, with an error where it was in vain.
    fn delivered(&self, sender: &str, id: &str, error: Option<&str>, now: Timestamp) -> Stored<()>;

    /// Keeps a token: its id, and the SHA-256 of its secret.
    fn add_token(&self, id: &str, secret: &Digest, token: &NewToken, now: Timestamp) -> Stored<()>;

    /// Returns a token and the digest of its secret.
    fn token(&self, id: &str) -> Stored<Option<(TokenView, Digest)>>;

    /// Lists tokens, newest first.
    fn tokens(&self) -> Stored<Vec<TokenView>>;

    /// Notes that a token was used; kept to the minute.
    fn token_used(&self, id: &str, now: Timestamp) -> Stored<()>;

    /// Revokes a token; false where there is none or it was.
    fn revoke_token(&self, id: &str, now: Timestamp) -> Stored<bool>;

    /// Adds to the audit log; `seq`, `prev` and `hash` are made here.
    fn audit(
        &self,
        who: &str,
        decision: &str,
        action: &str,
        subject: &str,
        detail: &str,
        now: Timestamp,
    ) -> Stored<()>;

    /// Returns the audit log after an entry.
    fn audit_log(&self, after: u64, limit: u32) -> Stored<Vec<AuditEntry>>;

    /// Keeps what is known of a repository under a content key.
    fn put_profile(&self, repo: &RepoId, key: &Digest, profile: &Value, now: Timestamp) -> Stored<()>;

    /// Returns what is known of a repository: the newest, with its key.
    fn profile(&self, repo: &RepoId) -> Stored<Option<(Digest, Value)>>;

    /// Returns the key of what is known of a repository, without reading that.
    fn profile_key(&self, repo: &RepoId) -> Stored<Option<Digest>>;

    /// Keeps a value of the server's own under a name, such as the last delivery that was fetched.
    fn set_value(&self, name: &str, value: &str) -> Stored<()>;

    /// Keeps such a value for as long as there is a task; where there is none, nothing.
    fn set_value_of(&self, task: &TaskId, name: &str, value: &str) -> Stored<()>;

    /// Returns such a value.
    fn value(&self, name: &str) -> Stored<Option<String>>;

    /// Returns what came of the tasks that were asked for since a time, as far as they are not forgotten, the oldest first.
    fn figures(&self, since: Timestamp) -> Stored<Vec<Figure>>;

    /// Returns how much there is to do.
    fn load(&self, now: Timestamp) -> Stored<Load>;

    /// Removes tasks that ended before a time and have no effect that is not done (but checks that failed), with their journals, artifacts, effects
    /// and idempotency keys; and deliveries and effects of no task that were done, or given up, before, but for what was posted of a task
    /// that stays (the key `chat:TASK:post`). Which tasks is said in the audit log in the same transaction. The oldest go first,
    /// at most [`FORGOTTEN_AT_ONCE`], and none after 64 MiB of journals and artifacts.
    fn forget(&self, before: Timestamp, now: Timestamp) -> Stored<Gone>;

    /// Removes the audit log's first entries, up to one that is not from before a time, at most
    /// [`AUDIT_FORGOTTEN_AT_ONCE`]; never the last one. Up to where is noted, so that the rest can be checked, and said in the
    /// log itself. Returns how many.
    fn forget_audit(&self, before: Timestamp, now: Timestamp) -> Stored<u64>;
}

impl StoreError {
    /// Something that a store says of itself.
    fn said(doing: impl Into<String>, why: impl Into<String>) -> Self {
        Self { doing: doing.into(), source: why.into().into() }
    }
}

/// A token that was just made.
fn token_view(id: &str, token: &NewToken, now: Timestamp) -> TokenView {
    let now = machine::kept(now);
    TokenView {
        id: id.to_owned(),
        name: token.name.clone(),
        scopes: token.scopes.clone(),
        repos: token.repos.clone(),
        created_at: now,
        expires_at: token.expires_s.map(|seconds| machine::later(now, Duration::from_secs(seconds))),
        last_used_at: None,
        revoked_at: None,
    }
}

/// The minute of a time.
fn minute(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(at)
}
