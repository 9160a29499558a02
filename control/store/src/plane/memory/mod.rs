//! A store that keeps nothing beyond its process, written to be obviously right: every question is asked of every row.

mod calls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gloaming_api::access::{NewToken, RepoPattern, TokenView};
use gloaming_api::bowout::Cost;
use gloaming_api::task::{PullRequest, PullRequestOutcome, TaskEvent, TaskState, TaskView};
use gloaming_api::worker::{LeaseKey, Renewal, Renewed};
use gloaming_api::{Attempt, Digest, RepoId, TaskId};
use jiff::Timestamp;
use serde_json::Value;

use super::audit::{Decided, chained, forgetting, of_entries, of_tasks};
use super::machine::{
    self, Task, Try, UNDER_WAY, is_superseded, kept, kind, later, repo_key, share_of, stride,
};
use super::{
    AUDIT_FORGOTTEN_AT_ONCE, AttemptEnd, AuditEntry, CHECK, Claimant, Claimed, Delivery, Effect, EffectEnd,
    Figure, Gone, Idempotency, Kinds, Limits, Load, NewEffect, Refused, SETS_OF_LABELS, Share, Store,
    StoreError, Stored, Submission, Submitted, TaskFilter, TaskRecord, Told, at_once, minute, token_view,
};

/// The reference of what a [`Store`] does, and a store for tests.
#[derive(Debug, Default)]
pub struct MemoryStore {
    limits: Limits,
    kept: Mutex<Kept>,
}

/// Everything, in the order in which it came.
#[derive(Debug, Default)]
struct Kept {
    tasks: Vec<Row>,
    feed: Vec<Told>,
    positions: u64,
    keys: Vec<(Idempotency, TaskId)>,
    shares: Vec<(RepoPattern, Share)>,
    /// What each repository had, for its weight.
    passes: BTreeMap<String, i64>,
    /// At what pass a task was handed out last, and when, for each kind of workers.
    handed: BTreeMap<Digest, (i64, Timestamp)>,
    effects: Vec<Wanted>,
    effect_ids: i64,
    deliveries: Vec<Received>,
    tokens: Vec<(TokenView, Digest)>,
    audit: Vec<AuditEntry>,
    profiles: BTreeMap<String, (Digest, Value)>,
    /// With the task that each is kept as long as, where it is of one.
    values: BTreeMap<String, (String, Option<TaskId>)>,
}

#[derive(Debug)]
struct Row {
    task: Task,
    events: u64,
    tries: Vec<Try>,
    journals: BTreeMap<u32, Vec<String>>,
    artifacts: BTreeMap<Digest, Vec<u8>>,
}

#[derive(Debug)]
struct Wanted {
    effect: Effect,
    due_at: Timestamp,
    held_until: Option<Timestamp>,
    end: Option<Result<(Value, Timestamp), (String, Timestamp)>>,
}

#[derive(Debug)]
struct Received {
    delivery: Delivery,
    held_until: Option<Timestamp>,
    done_at: Option<Timestamp>,
}

impl MemoryStore {
    /// Makes an empty store.
    pub fn new(limits: Limits) -> Self {
        Self { limits, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to a task: its events are written down, and the effects where they are wanted.
    fn with<T>(
        &self,
        id: &TaskId,
        now: Timestamp,
        effects: &[NewEffect],
        work: impl FnOnce(&mut Row) -> (T, bool),
    ) -> Option<T> {
        let mut kept = self.kept();
        let at = kept.position(id)?;
        let (value, wanted) = work(&mut kept.tasks[at]);
        kept.tell(at, now);
        if wanted {
            effects.iter().for_each(|effect| kept.ask(Some(id), effect, now));
        }
        Some(value)
    }

    /// Does something under a lease.
    fn under<T>(
        &self,
        lease: &LeaseKey,
        token: &str,
        now: Timestamp,
        work: impl FnOnce(&mut Row) -> Result<T, Refused>,
    ) -> Stored<Result<T, Refused>> {
        let done = self.with(&lease.task, now, &[], |row| {
            let held = row.task.is_held(lease, token, now);
            (if held { work(row) } else { Err(Refused::Lost) }, false)
        });
        Ok(done.unwrap_or(Err(Refused::Lost)))
    }
}

impl Row {
    fn latest(&mut self) -> &mut Try {
        self.tries.last_mut().expect("a task that is held has an attempt")
    }
}

impl Kept {
    fn position(&self, id: &TaskId) -> Option<usize> {
        self.tasks.iter().position(|row| row.task.asked.id == *id)
    }

    fn row(&self, id: &TaskId) -> Option<&Row> {
        self.tasks.iter().find(|row| row.task.asked.id == *id)
    }

    /// Writes down what happened to a task.
    fn tell(&mut self, at: usize, now: Timestamp) {
        let row = &mut self.tasks[at];
        for kind in std::mem::take(&mut row.task.told) {
            row.events += 1;
            self.positions += 1;
            self.feed.push(Told {
                position: self.positions,
                task: row.task.asked.id.clone(),
                event: TaskEvent { seq: row.events, at: now, kind },
            });
        }
    }

    fn ask(&mut self, task: Option<&TaskId>, what: &NewEffect, now: Timestamp) {
        if self.effects.iter().any(|asked| asked.effect.what.key == what.key) {
            return;
        }
        self.effect_ids += 1;
        let effect =
            Effect { id: self.effect_ids, task: task.cloned(), what: what.clone(), tries: 0, tried: false };
        self.effects.push(Wanted { effect, due_at: now, held_until: None, end: None });
    }

    fn sweep(&mut self, limits: &Limits, now: Timestamp) -> Vec<(TaskId, Cost)> {
        let mut due: Vec<usize> =
            (0..self.tasks.len()).filter(|at| self.tasks[*at].task.is_overdue(now)).collect();
        due.sort_by_key(|at| self.tasks[*at].task.now.held.as_ref().map(|held| held.expires_at));
        let lost = due.into_iter().map(|at| {
            let took = self.tasks[at].task.lose(limits, now);
            self.tell(at, now);
            (self.tasks[at].task.asked.id.clone(), took)
        });
        lost.collect()
    }

    fn share(&self, repo: &str, limits: &Limits) -> Share {
        share_of(&self.shares, &repo.parse().expect("it was made of one"), limits)
    }

    /// Adds to the audit log.
    fn note(&mut self, decided: &Decided<'_>, now: Timestamp) {
        let last = self.audit.last().map(|entry| (entry.seq, entry.hash.clone()));
        self.audit.push(chained(last, decided, now));
    }

    /// The task that a worker is handed: repository by pass, then task by priority and age.
    fn choose(&mut self, claimant: &Claimant, limits: &Limits, now: Timestamp) -> Option<usize> {
        let least = self.handed.get(&kind(claimant)).map_or(0, |(pass, _)| *pass);
        let looked_at = |task: &Task| {
            let repo = repo_key(&task.asked.new.repo);
            let ready = self.tasks.iter().map(|row| &row.task).filter(|other| other.is_ready(now));
            let beside = ready.filter(|other| repo_key(&other.asked.new.repo) == repo);
            let sets: BTreeSet<String> = beside.map(Task::needs).collect();
            sets.iter().take(SETS_OF_LABELS).any(|set| *set == task.needs())
        };
        let room = |repo: &str| {
            let running = self.tasks.iter().filter(|row| {
                row.task.now.state == TaskState::Running && repo_key(&row.task.asked.new.repo) == repo
            });
            running.count() < self.share(repo, limits).running as usize
        };
        let ready = self.tasks.iter().enumerate().filter(|(_, row)| {
            row.task.is_ready(now)
                && row.task.fits(claimant)
                && looked_at(&row.task)
                && room(&repo_key(&row.task.asked.new.repo))
        });
        let (pass, repo, _, at) = ready
            .map(|(at, row)| {
                let repo = repo_key(&row.task.asked.new.repo);
                let pass = self.passes.get(&repo).copied().unwrap_or(0).max(least);
                (pass, repo, -row.task.asked.new.priority, at)
            })
            .min()?;
        let grown = pass + stride(self.share(&repo, limits));
        self.passes.insert(repo, grown);
        self.handed.insert(kind(claimant), (pass, now));
        Some(at)
    }
}

impl Kept {
    fn delivery(&mut self, sender: &str, id: &str) -> Option<&mut Received> {
        self.deliveries.iter_mut().find(|received| {
            (received.delivery.sender.as_str(), received.delivery.id.as_str()) == (sender, id)
        })
    }
}
