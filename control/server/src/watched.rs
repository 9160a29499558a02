//! A store whose writes are timed, and ring the bells of whoever waits for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gloaming_api::access::{NewToken, RepoPattern, TokenView};
use gloaming_api::bowout::Cost;
use gloaming_api::task::{PullRequest, PullRequestOutcome, TaskEvent, TaskState, TaskView};
use gloaming_api::worker::{LeaseKey, Renewal, Renewed};
use gloaming_api::{Attempt, Digest, RepoId, TaskId};
use gloaming_store::*;
use jiff::Timestamp;
use serde_json::Value;

use crate::bells::Bells;
use crate::meters;

/// See the module.
pub(crate) struct Watched {
    store: Arc<dyn Store>,
    bells: Arc<Bells>,
}

impl Watched {
    pub(crate) fn new(store: Arc<dyn Store>, bells: Arc<Bells>) -> Self {
        Self { store, bells }
    }

    fn timed<T>(&self, call: &'static str, write: impl FnOnce(&dyn Store) -> Stored<T>) -> Stored<T> {
        let begun = Instant::now();
        let result = write(&*self.store);
        meters::wrote(call, begun.elapsed());
        result
    }

    /// A write that changes a task, and may make one due.
    fn rung<T>(
        &self,
        call: &'static str,
        task: &TaskId,
        write: impl FnOnce(&dyn Store) -> Stored<T>,
    ) -> Stored<T> {
        let result = self.timed(call, write);
        self.bells.task(task);
        self.bells.ready();
        result
    }
}

/// Calls that are handed on as they are: `read` at once, `write` with their time taken, `task` with bells too (those name
/// their task first).
macro_rules! hand_on {
    ($(read $read:ident($($read_arg:ident: $read_type:ty),*) -> $read_result:ty;)*
     $(write $write:ident($($arg:ident: $type:ty),*) -> $result:ty;)*
     $(task $task:ident($first:ident $($task_arg:ident: $task_type:ty),*) -> $task_result:ty;)*) => {
        $(fn $read(&self $(, $read_arg: $read_type)*) -> Stored<$read_result> { self.store.$read($($read_arg),*) })*
        $(fn $write(&self $(, $arg: $type)*) -> Stored<$result> {
            self.timed(stringify!($write), |store| store.$write($($arg),*))
        })*
        $(fn $task(&self, $first: &TaskId $(, $task_arg: $task_type)*) -> Stored<$task_result> {
            self.rung(stringify!($task), $first, |store| store.$task($first $(, $task_arg)*))
        })*
    };
}

impl Store for Watched {
    hand_on! {
        read task(task: &TaskId) -> Option<TaskRecord>;
        read tasks(filter: &TaskFilter) -> Vec<TaskView>;
        read events(task: &TaskId, after: u64, limit: u32) -> Vec<TaskEvent>;
        read holds(lease: &LeaseKey, token: &str, now: Timestamp) -> bool;
        read feed(after: u64, limit: u32) -> Vec<Told>;
        read load(now: Timestamp) -> Load;
        read figures(since: Timestamp) -> Vec<Figure>;
        read journal(task: &TaskId, attempt: Attempt, from: u64, limit: u32) -> Vec<String>;
        read artifact(task: &TaskId, digest: &Digest) -> Option<Vec<u8>>;
        read dead_effect(id: i64) -> Option<Effect>;
        read dead_effects(limit: u32) -> Vec<(Effect, String)>;
        read effect_done(key: &str) -> Option<Value>;
        read token(id: &str) -> Option<(TokenView, Digest)>;
        read tokens() -> Vec<TokenView>;
        read audit_log(after: u64, limit: u32) -> Vec<AuditEntry>;
        read profile(repo: &RepoId) -> Option<(Digest, Value)>;
        read profile_key(repo: &RepoId) -> Option<Digest>;
        read value(name: &str) -> Option<String>;
        read shares() -> Vec<(RepoPattern, Share)>;
        read share(repo: &RepoId) -> Share;
        write append(lease: &LeaseKey, token: &str, from: u64, lines: &[&str], now: Timestamp) -> Result<u64, Refused>;
        write put_artifact(lease: &LeaseKey, token: &str, digest: &Digest, content: &[u8], now: Timestamp) -> Result<(), Refused>;
        write keep_artifact(task: &TaskId, digest: &Digest, content: &[u8]) -> bool;
        write add_effect(task: Option<&TaskId>, effect: &NewEffect, now: Timestamp) -> ();
        write effects(kinds: Kinds<'_>, limit: u32, hold: Duration, now: Timestamp) -> Vec<Effect>;
        write effect_ended(id: i64, end: &EffectEnd, now: Timestamp) -> ();
        write revive_effect(id: i64, now: Timestamp) -> bool;
        write deliver(delivery: &Delivery, now: Timestamp) -> bool;
        write deliveries(sender: &str, limit: u32, hold: Duration, now: Timestamp) -> Vec<Delivery>;
        write delivered(sender: &str, id: &str, error: Option<&str>, now: Timestamp) -> ();
        write add_token(id: &str, secret: &Digest, token: &NewToken, now: Timestamp) -> ();
        write token_used(id: &str, now: Timestamp) -> ();
        write revoke_token(id: &str, now: Timestamp) -> bool;
        write audit(who: &str, decision: &str, action: &str, subject: &str, detail: &str, now: Timestamp) -> ();
        write put_profile(repo: &RepoId, key: &Digest, profile: &Value, now: Timestamp) -> ();
        write set_value(name: &str, value: &str) -> ();
        write set_value_of(task: &TaskId, name: &str, value: &str) -> ();
        write grace(hold: Duration, now: Timestamp) -> u64;
        write let_go(now: Timestamp) -> u64;
        write forget(before: Timestamp, now: Timestamp) -> Gone;
        write forget_audit(before: Timestamp, now: Timestamp) -> u64;
        task cancel(task by: &str, effects: &[NewEffect], now: Timestamp) -> Option<TaskState>;
        task retry(task by: &str, now: Timestamp) -> Option<Result<(), TaskState>>;
        task follow_up(task text: &str, by: &str, most: u32, now: Timestamp) -> Option<bool>;
        task published(task request: &PullRequest, effects: &[NewEffect], now: Timestamp) -> bool;
        task unpublished(task end: &AttemptEnd, effects: &[NewEffect], now: Timestamp) -> bool;
        task publish_again(task attempt: Attempt, effect: i64, by: &str, now: Timestamp) -> bool;
        task outcome(task outcome: PullRequestOutcome, now: Timestamp) -> bool;
    }

    fn submit(&self, submission: &Submission, now: Timestamp) -> Stored<Submitted> {
        let submitted = self.timed("submit", |store| store.submit(submission, now))?;
        if let Submitted::New(task) = &submitted {
            self.bells.task(task);
            self.bells.ready();
            // Whoever watches those that this one took the place of is told at once, too.
            if submission.new.supersede.is_some() {
                self.bells.any_task();
            }
        }
        Ok(submitted)
    }

    fn claim(&self, claimant: &Claimant, lease: Duration, now: Timestamp) -> Stored<Option<Claimed>> {
        let claimed = self.timed("claim", |store| store.claim(claimant, lease, now))?;
        if let Some(claimed) = &claimed {
            self.bells.task(&claimed.lease.task);
        }
        Ok(claimed)
    }

    fn renew(
        &self,
        lease: &LeaseKey,
        token: &str,
        renewal: &Renewal,
        hold: Duration,
        now: Timestamp,
    ) -> Stored<Result<Renewed, Refused>> {
        let renewed = self.timed("renew", |store| store.renew(lease, token, renewal, hold, now))?;
        self.bells.task(&lease.task);
        Ok(renewed)
    }

    fn finish(
        &self,
        lease: &LeaseKey,
        token: &str,
        end: &AttemptEnd,
        effects: &[NewEffect],
        now: Timestamp,
    ) -> Stored<Result<TaskState, Refused>> {
        // Told a second time, the same end is answered as the first time.
        let ends = self.store.holds(lease, token, now)?;
        let finished =
            self.rung("finish", &lease.task, |store| store.finish(lease, token, end, effects, now))?;
        if ends && finished.is_ok() {
            let (outcome, cost) = outcome_of(end);
            meters::attempt_ended(outcome, &cost);
        }
        Ok(finished)
    }

    fn release(&self, lease: &LeaseKey, token: &str, now: Timestamp) -> Stored<Result<Cost, Refused>> {
        let released = self.rung("release", &lease.task, |store| store.release(lease, token, now))?;
        if let Ok(took) = &released {
            meters::attempt_ended("released", took);
        }
        Ok(released)
    }

    fn set_shares(&self, shares: &[(RepoPattern, Share)], now: Timestamp) -> Stored<()> {
        let set = self.timed("set_shares", |store| store.set_shares(shares, now));
        self.bells.ready();
        set
    }

    fn sweep(&self, now: Timestamp) -> Stored<Vec<(TaskId, Cost)>> {
        let swept = self.timed("sweep", |store| store.sweep(now))?;
        for (task, took) in &swept {
            self.bells.task(task);
            meters::attempt_ended("expired", took);
        }
        meters::expired(swept.len());
        if !swept.is_empty() {
            self.bells.ready();
        }
        Ok(swept)
    }
}

/// What an attempt that is ended so is counted as, and what it took.
pub(crate) fn outcome_of(end: &AttemptEnd) -> (&'static str, Cost) {
    match end {
        AttemptEnd::Verified(change) => ("verified", change.cost),
        AttemptEnd::BowedOut(bow_out) => ("bowed_out", bow_out.cost),
        AttemptEnd::Onboarded { cost } => ("onboarded", *cost),
        AttemptEnd::Failed { cost, .. } => ("failed", *cost),
        AttemptEnd::Cancelled { cost } => ("cancelled", *cost),
    }
}
