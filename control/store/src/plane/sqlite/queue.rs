//! Taking requests in, handing tasks out, taking leases back.

use std::time::Duration;

use gloaming_api::access::RepoPattern;
use gloaming_api::bowout::Cost;
use gloaming_api::worker::LeaseKey;
use gloaming_api::{RepoId, TaskId};
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::rows::{self, TaskRow};
use crate::plane::machine::{Task, kind, later, repo_key, share_of, stride};
use crate::plane::{Claimant, Claimed, Limits, SETS_OF_LABELS, Share, Submission, Submitted};
use crate::sqlite::Cause;

pub(super) fn submit(
    tx: &Transaction<'_>,
    limits: &Limits,
    submission: &Submission,
    now: Timestamp,
) -> Result<Submitted, Cause> {
    if let Some(wanted) = &submission.idempotency {
        let before: Option<(String, TaskId)> = tx
            .prepare_cached(
                "SELECT i.request, t.id FROM idempotency i JOIN task t ON t.seq = i.task
                 WHERE i.scope = ?1 AND i.key = ?2",
            )?
            .query_row(params![wanted.scope, wanted.key], |row| Ok((row.get(0)?, rows::parsed_at(row, 1)?)))
            .optional()?;
        if let Some((request, task)) = before {
            let same = request == wanted.request.as_str();
            return Ok(if same { Submitted::Again(task) } else { Submitted::Conflict });
        }
    }
    if rows::seq_of(tx, &submission.id)?.is_some() {
        return Err(format!("there is a task {}", submission.id).into());
    }
    let superseded = superseded(tx, submission)?;
    let waiting: i64 = tx
        .prepare_cached("SELECT coalesce(sum(tasks), 0) FROM tally WHERE state = 'queued'")?
        .query_row([], |row| row.get(0))?;
    let leaving = superseded.iter().filter(|row| row.task.now.ready_at.is_some()).count();
    if waiting - i64::try_from(leaving)? >= i64::from(limits.queued) {
        return Ok(Submitted::Full);
    }
    let row = rows::insert(tx, Task::new(submission, now), now)?;
    for mut other in superseded {
        other.task.supersede(&submission.id, now);
        rows::save(tx, &mut other, now)?;
    }
    if let Some(key) = &submission.idempotency {
        tx.prepare_cached("INSERT INTO idempotency VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            key.scope,
            key.key,
            key.request.as_str(),
            row.seq
        ])?;
    }
    for effect in &submission.effects {
        rows::ask(tx, Some(&submission.id), effect, now)?;
    }
    Ok(Submitted::New(submission.id.clone()))
}

fn superseded(tx: &Transaction<'_>, submission: &Submission) -> Result<Vec<TaskRow>, Cause> {
    let Some(key) = &submission.new.supersede else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT {} FROM task t JOIN asked a ON a.task = t.seq
         WHERE t.supersede = ?1 AND t.repo = ?2 AND t.state IN ('queued', 'running', 'publishing') ORDER BY t.seq",
        rows::TASK
    );
    let mut query = tx.prepare_cached(&sql)?;
    let found = query.query_map(params![key, repo_key(&submission.new.repo)], rows::task_of)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Takes back the leases that ran out, the oldest first.
pub(super) fn sweep(
    tx: &Transaction<'_>,
    limits: &Limits,
    now: Timestamp,
) -> Result<Vec<(TaskId, Cost)>, Cause> {
    let mut lost = Vec::new();
    for mut row in overdue(tx, now)? {
        let took = row.task.lose(limits, now);
        rows::save(tx, &mut row, now)?;
        lost.push((row.task.asked.id, took));
    }
    Ok(lost)
}

/// Lets the leases that ran out hold on.
pub(super) fn grace(tx: &Transaction<'_>, hold: Duration, now: Timestamp) -> Result<u64, Cause> {
    let due = overdue(tx, now)?;
    let held = due.len() as u64;
    for mut row in due {
        row.task.hold_on(hold, now);
        rows::save(tx, &mut row, now)?;
    }
    Ok(held)
}

fn overdue(tx: &Transaction<'_>, now: Timestamp) -> Result<Vec<TaskRow>, Cause> {
    let sql = format!(
        "SELECT {} FROM task t JOIN asked a ON a.task = t.seq
         WHERE t.expires_at IS NOT NULL AND t.expires_at <= ?1 ORDER BY t.expires_at, t.seq",
        rows::TASK
    );
    let mut query = tx.prepare_cached(&sql)?;
    let found = query.query_map([now.as_microsecond()], rows::task_of)?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn claim(
    tx: &Transaction<'_>,
    limits: &Limits,
    claimant: &Claimant,
    lease: Duration,
    now: Timestamp,
) -> Result<Option<Claimed>, Cause> {
    sweep(tx, limits, now)?;
    tx.prepare_cached(
        "UPDATE task SET ready = 1 WHERE ready = 0 AND ready_at IS NOT NULL AND ready_at <= ?1",
    )?
    .execute([now.as_microsecond()])?;
    let kind = kind(claimant);
    let least: Option<i64> = tx
        .prepare_cached("SELECT pass FROM handed WHERE kind = ?1")?
        .query_row([kind.as_str()], |row| row.get(0))
        .optional()?;
    for turn in turns(tx, limits, claimant, least.unwrap_or(0))? {
        let Some(seq) = first_that_fits(tx, &turn.repo, claimant)? else { continue };
        tx.prepare_cached(
            "INSERT INTO repository (repo, pass) VALUES (?1, ?2) ON CONFLICT (repo) DO UPDATE SET pass = ?2",
        )?
        .execute(params![turn.repo, turn.pass + stride(turn.share)])?;
        tx.prepare_cached(
            "INSERT INTO handed VALUES (?1, ?2, ?3) ON CONFLICT (kind) DO UPDATE SET pass = ?2, at = ?3",
        )?
        .execute(params![kind.as_str(), turn.pass, now.as_microsecond()])?;
        return hand_out(tx, seq, claimant, lease, now).map(Some);
    }
    Ok(None)
}

pub(super) fn set_shares(tx: &Transaction<'_>, shares: &[(RepoPattern, Share)]) -> Result<(), Cause> {
    tx.execute("DELETE FROM share", [])?;
    let mut set = tx.prepare_cached(
        "INSERT INTO share VALUES (?1, ?2, ?3) ON CONFLICT (pattern) DO UPDATE SET weight = ?2, running = ?3",
    )?;
    for (pattern, share) in shares {
        set.execute(params![pattern.to_lowercase().as_str(), share.weight, share.running])?;
    }
    Ok(())
}

pub(super) fn shares(tx: &Transaction<'_>) -> Result<Vec<(RepoPattern, Share)>, Cause> {
    let mut query = tx.prepare_cached("SELECT pattern, weight, running FROM share ORDER BY pattern")?;
    let found = query.query_map([], |row| {
        Ok((rows::parsed_at(row, 0)?, Share { weight: row.get(1)?, running: row.get(2)? }))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// A repository that has something to be handed out and may run one more.
struct Turn {
    pass: i64,
    repo: String,
    share: Share,
}

/// Whose turn it is, in this order. Reads one entry of the index for each repository, however many tasks it has.
fn turns(tx: &Transaction<'_>, limits: &Limits, claimant: &Claimant, least: i64) -> Result<Vec<Turn>, Cause> {
    let mut next =
        tx.prepare_cached("SELECT repo FROM task WHERE ready = 1 AND repo > ?1 ORDER BY repo LIMIT 1")?;
    let mut known = tx.prepare_cached("SELECT pass FROM repository WHERE repo = ?1")?;
    let mut running = tx.prepare_cached("SELECT count(*) FROM task WHERE state = 'running' AND repo = ?1")?;
    let shares = shares(tx)?;
    let mut turns = Vec::new();
    let mut after = String::new();
    while let Some(repo) = next.query_row([&after], |row| row.get::<_, String>(0)).optional()? {
        after.clone_from(&repo);
        let id: RepoId = repo.parse()?;
        if !claimant.repos.iter().any(|pattern: &RepoPattern| pattern.matches(&id)) {
            continue;
        }
        let pass = known.query_row([&repo], |row| row.get::<_, i64>(0)).optional()?.unwrap_or_default();
        let share = share_of(&shares, &id, limits);
        if running.query_row([&repo], |row| row.get::<_, i64>(0))? < i64::from(share.running) {
            turns.push(Turn { pass: pass.max(least), repo, share });
        }
    }
    turns.sort_by(|a, b| (a.pass, &a.repo).cmp(&(b.pass, &b.repo)));
    Ok(turns)
}

/// The task of a repository that a worker is handed, by priority and age. Reads two entries of the index for each set of
/// labels that its tasks need.
fn first_that_fits(tx: &Transaction<'_>, repo: &str, claimant: &Claimant) -> Result<Option<i64>, Cause> {
    let mut next = tx.prepare_cached(
        "SELECT needs FROM task WHERE ready = 1 AND repo = ?1 AND needs > ?2 ORDER BY needs LIMIT 1",
    )?;
    let mut first = tx.prepare_cached(
        "SELECT priority, seq FROM task WHERE ready = 1 AND repo = ?1 AND needs = ?2 ORDER BY priority DESC, seq LIMIT 1",
    )?;
    let mut best: Option<(i64, i64)> = None;
    let mut after = String::new();
    for _ in 0..SETS_OF_LABELS {
        let found = next.query_row([repo, &after], |row| row.get::<_, String>(0)).optional()?;
        let Some(needs) = found else { break };
        let labels: Vec<String> = serde_json::from_str(&needs)?;
        if labels.iter().all(|label| claimant.labels.contains(label)) {
            let (priority, seq) =
                first.query_row([repo, &needs], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
            best = best.into_iter().chain([(-priority, seq)]).min();
        }
        after = needs;
    }
    Ok(best.map(|(_, seq)| seq))
}

fn hand_out(
    tx: &Transaction<'_>,
    seq: i64,
    claimant: &Claimant,
    lease: Duration,
    now: Timestamp,
) -> Result<Claimed, Cause> {
    let mut row = rows::at(tx, seq)?;
    let begun = row.task.begin(claimant, lease, now);
    rows::save(tx, &mut row, now)?;
    tx.prepare_cached("INSERT INTO attempt VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, NULL, NULL)")?
        .execute(params![seq, begun.attempt, begun.token, begun.worker, now.as_microsecond()])?;
    let task = row.task.view();
    Ok(Claimed {
        lease: LeaseKey { task: task.id.clone(), attempt: task.attempt },
        task,
        expires_at: later(now, lease),
    })
}
