//! Each call, as one transaction.

use std::time::Duration;

use gloaming_api::access::{NewToken, RepoPattern, TokenView};
use gloaming_api::bowout::Cost;
use gloaming_api::task::{PullRequest, PullRequestOutcome, TaskEvent, TaskState, TaskView};
use gloaming_api::worker::{LeaseKey, Renewal, Renewed};
use gloaming_api::{Attempt, Digest, RepoId, TaskId};
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params, params_from_iter, types};
use serde_json::Value;

use super::rows::{self, TaskRow};
use super::{SqliteStore, access, health, keep, outbox, queue};
use crate::plane::machine::{Standing, kept, repo_key, share_of};
use crate::plane::{
    AttemptEnd, AuditEntry, Claimant, Claimed, Delivery, Effect, EffectEnd, Figure, Gone, Kinds, Load,
    NewEffect, Refused, Share, Store, Stored, Submission, Submitted, TaskFilter, TaskRecord, Told,
};
use crate::sqlite::Cause;

/// Does something to a task: its events are written down, and the effects where they are wanted. None where there is no
/// such task.
fn with<T>(
    tx: &Transaction<'_>,
    id: &TaskId,
    effects: &[NewEffect],
    now: Timestamp,
    work: impl FnOnce(&mut TaskRow) -> (T, bool),
) -> Result<Option<T>, Cause> {
    let Some(mut row) = rows::find(tx, id)? else { return Ok(None) };
    let (value, wanted) = work(&mut row);
    rows::save(tx, &mut row, now)?;
    if wanted {
        for effect in effects {
            rows::ask(tx, Some(id), effect, now)?;
        }
    }
    Ok(Some(value))
}

/// Returns the task of a lease that is held by a token.
fn held(
    tx: &Transaction<'_>,
    lease: &LeaseKey,
    token: &str,
    now: Timestamp,
) -> Result<Option<TaskRow>, Cause> {
    Ok(rows::find(tx, &lease.task)?.filter(|row| row.task.is_held(lease, token, now)))
}

/// Writes an artifact of a task down, where it is not there.
fn put(tx: &Transaction<'_>, seq: i64, digest: &Digest, content: &[u8]) -> Result<(), Cause> {
    tx.prepare_cached("INSERT INTO content VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING")?
        .execute(params![digest.as_str(), content])?;
    tx.prepare_cached("INSERT INTO artifact VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![seq, digest.as_str()])?;
    Ok(())
}

impl Store for SqliteStore {
    fn submit(&self, submission: &Submission, now: Timestamp) -> Stored<Submitted> {
        self.write("take a task", |tx| queue::submit(tx, &self.limits, submission, kept(now)))
    }

    fn claim(&self, claimant: &Claimant, lease: Duration, now: Timestamp) -> Stored<Option<Claimed>> {
        self.write("hand a task out", |tx| queue::claim(tx, &self.limits, claimant, lease, kept(now)))
    }

    fn renew(
        &self,
        lease: &LeaseKey,
        token: &str,
        renewal: &Renewal,
        hold: Duration,
        now: Timestamp,
    ) -> Stored<Result<Renewed, Refused>> {
        let now = kept(now);
        self.write("renew a lease", |tx| {
            let Some(mut row) = held(tx, lease, token, now)? else { return Ok(Err(Refused::Lost)) };
            row.task.renew(renewal, hold, now);
            rows::save(tx, &mut row, now)?;
            Ok(Ok(Renewed { expires_s: hold.as_secs(), cancel: row.task.now.cancel.is_some() }))
        })
    }

    fn holds(&self, lease: &LeaseKey, token: &str, now: Timestamp) -> Stored<bool> {
        self.read("look at a lease", |tx| Ok(held(tx, lease, token, kept(now))?.is_some()))
    }

    fn append(
        &self,
        lease: &LeaseKey,
        token: &str,
        from: u64,
        lines: &[&str],
        now: Timestamp,
    ) -> Stored<Result<u64, Refused>> {
        self.write("append to a journal", |tx| {
            let now = kept(now);
            let Some(mut row) = held(tx, lease, token, now)? else { return Ok(Err(Refused::Lost)) };
            let Some(attempt) = rows::attempt(tx, row.seq, lease.attempt.0)? else {
                return Ok(Err(Refused::Lost));
            };
            if from > attempt.next {
                return Ok(Err(Refused::Gap(attempt.next)));
            }
            let known = usize::try_from(attempt.next - from).unwrap_or(usize::MAX);
            let fresh = lines.get(known..).unwrap_or_default();
            let bytes: usize = fresh.iter().map(|line| line.len()).sum();
            if !attempt.takes(bytes, &self.limits) {
                return Ok(Err(Refused::Full));
            }
            let mut write = tx.prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4)")?;
            let mut next = attempt.next;
            for line in fresh {
                write.execute(params![row.seq, lease.attempt.0, rows::signed(next), line])?;
                next += 1;
            }
            tx.prepare_cached(
                "UPDATE attempt SET next = ?3, bytes = bytes + ?4 WHERE task = ?1 AND number = ?2",
            )?
            .execute(params![
                row.seq,
                lease.attempt.0,
                rows::signed(next),
                rows::signed(bytes as u64)
            ])?;
            if row.task.hear(fresh) {
                rows::save(tx, &mut row, now)?;
            }
            Ok(Ok(next))
        })
    }

    fn put_artifact(
        &self,
        lease: &LeaseKey,
        token: &str,
        digest: &Digest,
        content: &[u8],
        now: Timestamp,
    ) -> Stored<Result<(), Refused>> {
        self.write("keep an artifact", |tx| {
            let Some(row) = held(tx, lease, token, kept(now))? else { return Ok(Err(Refused::Lost)) };
            let Some(attempt) = rows::attempt(tx, row.seq, lease.attempt.0)? else {
                return Ok(Err(Refused::Lost));
            };
            let key = params![row.seq, digest.as_str()];
            let mut has = tx.prepare_cached("SELECT 1 FROM artifact WHERE task = ?1 AND digest = ?2")?;
            if has.exists(key)? {
                return Ok(Ok(()));
            }
            if !attempt.takes(content.len(), &self.limits) {
                return Ok(Err(Refused::Full));
            }
            put(tx, row.seq, digest, content)?;
            tx.prepare_cached("UPDATE attempt SET bytes = bytes + ?3 WHERE task = ?1 AND number = ?2")?
                .execute(params![row.seq, lease.attempt.0, rows::signed(content.len() as u64)])?;
            Ok(Ok(()))
        })
    }

    fn keep_artifact(&self, task: &TaskId, digest: &Digest, content: &[u8]) -> Stored<bool> {
        self.write("keep what was made of a task", |tx| {
            let Some(seq) = rows::seq_of(tx, task)? else { return Ok(false) };
            put(tx, seq, digest, content)?;
            Ok(true)
        })
    }

    fn finish(
        &self,
        lease: &LeaseKey,
        token: &str,
        end: &AttemptEnd,
        effects: &[NewEffect],
        now: Timestamp,
    ) -> Stored<Result<TaskState, Refused>> {
        let now = kept(now);
        let digest = Digest::of_json(end);
        self.write("end an attempt", |tx| {
            let Some(mut row) = rows::find(tx, &lease.task)? else { return Ok(Err(Refused::Lost)) };
            if !row.task.is_held(lease, token, now) {
                let attempt = rows::attempt(tx, row.seq, lease.attempt.0)?;
                return Ok(attempt.map_or(Err(Refused::Lost), |one| one.ended(token, &digest)));
            }
            let wanted = row.task.finish(end, &self.limits, now);
            rows::save(tx, &mut row, now)?;
            let state = row.task.now.state;
            tx.prepare_cached("UPDATE attempt SET ended = ?3, came_to = ?4 WHERE task = ?1 AND number = ?2")?
                .execute(params![row.seq, lease.attempt.0, digest.as_str(), state.as_str()])?;
            for effect in effects.iter().filter(|_| wanted) {
                rows::ask(tx, Some(&lease.task), effect, now)?;
            }
            Ok(Ok(state))
        })
    }

    fn release(&self, lease: &LeaseKey, token: &str, now: Timestamp) -> Stored<Result<Cost, Refused>> {
        let now = kept(now);
        self.write("take a lease back", |tx| {
            let Some(mut row) = held(tx, lease, token, now)? else { return Ok(Err(Refused::Lost)) };
            let took = row.task.release(now);
            rows::save(tx, &mut row, now)?;
            Ok(Ok(took))
        })
    }

    fn sweep(&self, now: Timestamp) -> Stored<Vec<(TaskId, Cost)>> {
        self.write("take leases back that ran out", |tx| queue::sweep(tx, &self.limits, kept(now)))
    }

    fn grace(&self, hold: Duration, now: Timestamp) -> Stored<u64> {
        self.write("let leases hold on", |tx| queue::grace(tx, hold, kept(now)))
    }

    fn let_go(&self, now: Timestamp) -> Stored<u64> {
        self.write("let go of what was taken", |tx| outbox::let_go(tx, kept(now)))
    }

    fn cancel(
        &self,
        task: &TaskId,
        by: &str,
        effects: &[NewEffect],
        now: Timestamp,
    ) -> Stored<Option<TaskState>> {
        let now = kept(now);
        self.write("cancel a task", |tx| {
            with(tx, task, effects, now, |row| {
                let ended = row.task.ask_for_end(by, now);
                (row.task.now.state, ended)
            })
        })
    }

    fn retry(&self, task: &TaskId, by: &str, now: Timestamp) -> Stored<Option<Result<(), TaskState>>> {
        let now = kept(now);
        self.write("retry a task", |tx| with(tx, task, &[], now, |row| (row.task.retry(by, now), false)))
    }

    fn follow_up(
        &self,
        task: &TaskId,
        text: &str,
        by: &str,
        most: u32,
        now: Timestamp,
    ) -> Stored<Option<bool>> {
        let now = kept(now);
        self.write("let a task re-enter", |tx| {
            with(tx, task, &[], now, |row| (row.task.follow_up(text, by, most, now), false))
        })
    }

    fn published(
        &self,
        task: &TaskId,
        request: &PullRequest,
        effects: &[NewEffect],
        now: Timestamp,
    ) -> Stored<bool> {
        let now = kept(now);
        self.write("note a pull request", |tx| {
            let done = with(tx, task, effects, now, |row| {
                let done = row.task.published(request, now);
                (done, done)
            })?;
            Ok(done.unwrap_or(false))
        })
    }

    fn unpublished(
        &self,
        task: &TaskId,
        end: &AttemptEnd,
        effects: &[NewEffect],
        now: Timestamp,
    ) -> Stored<bool> {
        let now = kept(now);
        self.write("end what was being published", |tx| {
            let done = with(tx, task, effects, now, |row| {
                let done = row.task.unpublished(end, now);
                (done.is_some(), done == Some(true))
            })?;
            Ok(done.unwrap_or(false))
        })
    }

    fn publish_again(
        &self,
        task: &TaskId,
        attempt: Attempt,
        effect: i64,
        by: &str,
        now: Timestamp,
    ) -> Stored<bool> {
        let now = kept(now);
        self.write("take up what was being published", |tx| {
            let Some(mut row) = rows::find(tx, task)? else { return Ok(false) };
            let Some(last) = rows::attempt(tx, row.seq, attempt.0)? else { return Ok(false) };
            let done = row.task.publish_again(&last, by, now);
            rows::save(tx, &mut row, now)?;
            if done {
                outbox::revive(tx, effect, now)?;
            }
            Ok(done)
        })
    }

    fn outcome(&self, task: &TaskId, outcome: PullRequestOutcome, now: Timestamp) -> Stored<bool> {
        let now = kept(now);
        self.write("note an outcome", |tx| {
            let done = with(tx, task, &[], now, |row| (row.task.outcome(outcome, now), false))?;
            Ok(done.unwrap_or(false))
        })
    }

    fn task(&self, task: &TaskId) -> Stored<Option<TaskRecord>> {
        self.read("read a task", |tx| Ok(rows::find(tx, task)?.map(|row| row.task.record())))
    }

    fn tasks(&self, filter: &TaskFilter) -> Stored<Vec<TaskView>> {
        self.read("list tasks", |tx| {
            let mut sql = format!("SELECT {} FROM task t JOIN asked a ON a.task = t.seq WHERE 1", rows::TASK);
            let mut values: Vec<types::Value> = Vec::new();
            if let Some(patterns) = &filter.repos {
                sql.push_str(" AND (0");
                for pattern in patterns {
                    let pattern = pattern.as_str().to_ascii_lowercase();
                    match pattern.strip_suffix("/*") {
                        _ if pattern == "*" => sql.push_str(" OR 1"),
                        // `0` follows after `/`: all names that begin with the owner, by the index.
                        Some(owner) => {
                            sql.push_str(" OR (t.repo >= ? AND t.repo < ?)");
                            values.extend([format!("{owner}/").into(), format!("{owner}0").into()]);
                        }
                        None => {
                            sql.push_str(" OR t.repo = ?");
                            values.push(pattern.into());
                        }
                    }
                }
                sql.push(')');
            }
            if let Some(repo) = &filter.repo {
                sql.push_str(" AND t.repo = ?");
                values.push(repo_key(repo).into());
            }
            if let Some(state) = filter.state {
                sql.push_str(" AND t.state = ?");
                values.push(state.as_str().to_owned().into());
            }
            if let Some(before) = &filter.before {
                sql.push_str(" AND t.id < ?");
                values.push(before.as_str().to_owned().into());
            }
            sql.push_str(" ORDER BY t.id DESC LIMIT ?");
            values.push(i64::from(filter.limit).into());
            let mut query = tx.prepare_cached(&sql)?;
            let found = query.query_map(params_from_iter(values), rows::task_of)?;
            Ok(found.map(|row| Ok(row?.task.view())).collect::<rusqlite::Result<_>>()?)
        })
    }

    fn events(&self, task: &TaskId, after: u64, limit: u32) -> Stored<Vec<TaskEvent>> {
        self.read("read a task's events", |tx| {
            let Some(seq) = rows::seq_of(tx, task)? else { return Ok(Vec::new()) };
            let mut query = tx.prepare_cached(
                "SELECT seq, at, kind FROM event WHERE task = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )?;
            let found = query.query_map(params![seq, rows::signed(after), limit], |row| {
                Ok(TaskEvent {
                    seq: rows::unsigned(row, 0)?,
                    at: rows::time_at(row, 1)?,
                    kind: rows::json_at(row, 2)?,
                })
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    fn feed(&self, after: u64, limit: u32) -> Stored<Vec<Told>> {
        self.read("read events", |tx| {
            let mut query = tx.prepare_cached(
                "SELECT e.seq, e.at, e.kind, e.position, t.id FROM event e JOIN task t ON t.seq = e.task
                 WHERE e.position > ?1 ORDER BY e.position LIMIT ?2",
            )?;
            let found = query.query_map(params![rows::signed(after), limit], |row| {
                Ok(Told {
                    position: rows::unsigned(row, 3)?,
                    task: rows::parsed_at(row, 4)?,
                    event: TaskEvent {
                        seq: rows::unsigned(row, 0)?,
                        at: rows::time_at(row, 1)?,
                        kind: rows::json_at(row, 2)?,
                    },
                })
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    fn journal(&self, task: &TaskId, attempt: Attempt, from: u64, limit: u32) -> Stored<Vec<String>> {
        self.read("read a journal", |tx| {
            let Some(seq) = rows::seq_of(tx, task)? else { return Ok(Vec::new()) };
            let mut query = tx.prepare_cached(
                "SELECT text FROM journal WHERE task = ?1 AND attempt = ?2 AND line >= ?3 ORDER BY line LIMIT ?4",
            )?;
            let found =
                query.query_map(params![seq, attempt.0, rows::signed(from), limit], |row| row.get(0))?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    fn artifact(&self, task: &TaskId, digest: &Digest) -> Stored<Option<Vec<u8>>> {
        self.read("read an artifact", |tx| {
            let mut query = tx.prepare_cached(
                "SELECT c.bytes FROM task t JOIN artifact a ON a.task = t.seq JOIN content c ON c.digest = a.digest
                 WHERE t.id = ?1 AND a.digest = ?2",
            )?;
            Ok(query.query_row([task.as_str(), digest.as_str()], |row| row.get(0)).optional()?)
        })
    }

    fn set_shares(&self, shares: &[(RepoPattern, Share)], _now: Timestamp) -> Stored<()> {
        self.write("set what repositories are given", |tx| queue::set_shares(tx, shares))
    }

    fn shares(&self) -> Stored<Vec<(RepoPattern, Share)>> {
        self.read("read what repositories are given", queue::shares)
    }

    fn share(&self, repo: &RepoId) -> Stored<Share> {
        self.read("read what a repository is given", |tx| {
            Ok(share_of(&queue::shares(tx)?, repo, &self.limits))
        })
    }

    fn add_effect(&self, task: Option<&TaskId>, effect: &NewEffect, now: Timestamp) -> Stored<()> {
        self.write("write an effect down", |tx| rows::ask(tx, task, effect, kept(now)))
    }

    fn effects(&self, kinds: Kinds<'_>, limit: u32, hold: Duration, now: Timestamp) -> Stored<Vec<Effect>> {
        self.write("take effects", |tx| outbox::effects(tx, kinds, limit, hold, kept(now)))
    }

    fn effect_ended(&self, id: i64, end: &EffectEnd, now: Timestamp) -> Stored<()> {
        self.write("note what became of an effect", |tx| outbox::ended(tx, id, end, kept(now)))
    }

    fn dead_effects(&self, limit: u32) -> Stored<Vec<(Effect, String)>> {
        self.read("list dead effects", |tx| outbox::dead(tx, limit))
    }

    fn dead_effect(&self, id: i64) -> Stored<Option<Effect>> {
        self.read("read a dead effect", |tx| outbox::dead_one(tx, id))
    }

    fn revive_effect(&self, id: i64, now: Timestamp) -> Stored<bool> {
        self.write("take a dead effect up", |tx| outbox::revive(tx, id, kept(now)))
    }

    fn effect_done(&self, key: &str) -> Stored<Option<Value>> {
        self.read("read an effect", |tx| outbox::done(tx, key))
    }

    fn deliver(&self, delivery: &Delivery, now: Timestamp) -> Stored<bool> {
        self.write("keep a delivery", |tx| outbox::deliver(tx, delivery, kept(now)))
    }

    fn deliveries(&self, sender: &str, limit: u32, hold: Duration, now: Timestamp) -> Stored<Vec<Delivery>> {
        self.write("take deliveries", |tx| outbox::deliveries(tx, sender, limit, hold, kept(now)))
    }

    fn delivered(&self, sender: &str, id: &str, error: Option<&str>, now: Timestamp) -> Stored<()> {
        self.write("note a delivery", |tx| outbox::delivered(tx, sender, id, error, kept(now)))
    }

    fn add_token(&self, id: &str, secret: &Digest, token: &NewToken, now: Timestamp) -> Stored<()> {
        self.write("keep a token", |tx| access::add(tx, id, secret, token, now))
    }

    fn token(&self, id: &str) -> Stored<Option<(TokenView, Digest)>> {
        self.read("read a token", |tx| access::token(tx, id))
    }

    fn tokens(&self) -> Stored<Vec<TokenView>> {
        self.read("list tokens", access::tokens)
    }

    fn token_used(&self, id: &str, now: Timestamp) -> Stored<()> {
        // Looked at first: a token is used with each request, and written down once in a minute.
        if !self.read("read a token", |tx| access::is_used_anew(tx, id, now))? {
            return Ok(());
        }
        self.write("note a token's use", |tx| access::used(tx, id, now))
    }

    fn revoke_token(&self, id: &str, now: Timestamp) -> Stored<bool> {
        self.write("revoke a token", |tx| access::revoke(tx, id, kept(now)))
    }

    fn audit(
        &self,
        who: &str,
        decision: &str,
        action: &str,
        subject: &str,
        detail: &str,
        now: Timestamp,
    ) -> Stored<()> {
        let decided = crate::plane::audit::Decided { who, decision, action, subject, detail };
        self.write("write the audit log", |tx| access::audit(tx, &decided, kept(now)))
    }

    fn audit_log(&self, after: u64, limit: u32) -> Stored<Vec<AuditEntry>> {
        self.read("read the audit log", |tx| access::audit_log(tx, after, limit))
    }

    fn put_profile(&self, repo: &RepoId, key: &Digest, profile: &Value, now: Timestamp) -> Stored<()> {
        self.write("keep a profile", |tx| {
            tx.execute(
                "INSERT INTO profile VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (repo) DO UPDATE SET key = ?2, profile = ?3, at = ?4",
                params![repo_key(repo), key.as_str(), rows::json(profile)?, kept(now).as_microsecond()],
            )?;
            Ok(())
        })
    }

    fn profile(&self, repo: &RepoId) -> Stored<Option<(Digest, Value)>> {
        self.read("read a profile", |tx| {
            let mut query = tx.prepare_cached("SELECT key, profile FROM profile WHERE repo = ?1")?;
            let found = query
                .query_row([repo_key(repo)], |row| Ok((rows::parsed_at(row, 0)?, rows::json_at(row, 1)?)));
            Ok(found.optional()?)
        })
    }

    fn profile_key(&self, repo: &RepoId) -> Stored<Option<Digest>> {
        self.read("read a profile's key", |tx| {
            let mut query = tx.prepare_cached("SELECT key FROM profile WHERE repo = ?1")?;
            Ok(query.query_row([repo_key(repo)], |row| rows::parsed_at(row, 0)).optional()?)
        })
    }

    fn set_value(&self, name: &str, value: &str) -> Stored<()> {
        self.write("keep a value", |tx| {
            tx.execute(
                "INSERT INTO value (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
                [name, value],
            )?;
            Ok(())
        })
    }

    fn set_value_of(&self, task: &TaskId, name: &str, value: &str) -> Stored<()> {
        self.write("keep a value", |tx| {
            let Some(task) = rows::seq_of(tx, task)? else { return Ok(()) };
            tx.execute(
                "INSERT INTO value (name, value, task) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET value = ?2, task = ?3",
                params![name, value, task],
            )?;
            Ok(())
        })
    }

    fn value(&self, name: &str) -> Stored<Option<String>> {
        self.read("read a value", |tx| {
            let mut query = tx.prepare_cached("SELECT value FROM value WHERE name = ?1")?;
            Ok(query.query_row([name], |row| row.get(0)).optional()?)
        })
    }

    fn figures(&self, since: Timestamp) -> Stored<Vec<Figure>> {
        self.read("read what came of tasks", |tx| {
            // Without the table of what was asked for: the texts alone would be gigabytes.
            let mut query = tx.prepare_cached(
                "SELECT spelt, kind, created_at, standing FROM task WHERE created_at >= ?1 ORDER BY seq",
            )?;
            let found = query.query_map([kept(since).as_microsecond()], |row| {
                let standing: Standing = rows::json_at(row, 3)?;
                Ok(standing.figure(rows::parsed_at(row, 0)?, rows::json_at(row, 1)?, rows::time_at(row, 2)?))
            })?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn load(&self, now: Timestamp) -> Stored<Load> {
        self.read("count what there is to do", |tx| health::load(tx, kept(now)))
    }

    fn forget(&self, before: Timestamp, now: Timestamp) -> Stored<Gone> {
        self.write("forget what is old", |tx| keep::forget(tx, kept(before), kept(now)))
    }

    fn forget_audit(&self, before: Timestamp, now: Timestamp) -> Stored<u64> {
        self.write("forget the audit log's beginning", |tx| keep::forget_audit(tx, kept(before), kept(now)))
    }
}
