//! What is to be done outside, and what came in from there.

use std::time::Duration;

use gloaming_api::TaskId;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use serde_json::Value;

use super::rows;
use crate::plane::machine::{UNDER_WAY, kept, later};
use crate::plane::{Delivery, Effect, EffectEnd, Kinds, NewEffect};
use crate::sqlite::Cause;

const EFFECT: &str = "e.id, e.task, e.key, e.kind, e.payload, e.tries, e.tried";
/// Where what is read beside them stands.
const BESIDE: usize = 7;

fn effect_of(row: &Row<'_>) -> rusqlite::Result<Effect> {
    let task = row.get::<_, Option<String>>(1)?.map(|_| rows::parsed_at::<TaskId>(row, 1));
    Ok(Effect {
        id: row.get(0)?,
        task: task.transpose()?,
        what: NewEffect { key: row.get(2)?, kind: row.get(3)?, payload: rows::json_at(row, 4)? },
        tries: row.get(5)?,
        tried: row.get(6)?,
    })
}

/// The kinds of what is pending: each is one look into the index, however many effects there are of it.
const KINDS: &str = "
    WITH RECURSIVE known (kind) AS (
        SELECT min(kind) FROM effect WHERE state = 'pending'
        UNION ALL
        SELECT (SELECT min(e.kind) FROM effect e WHERE e.state = 'pending' AND e.kind > known.kind)
        FROM known WHERE known.kind IS NOT NULL
    )
    SELECT kind FROM known WHERE kind IS NOT NULL";

/// Effects of one kind that may be handed out, those that are due for the longest first.
fn that_are_due() -> String {
    format!(
        "SELECT {EFFECT}, e.due_at FROM effect e
         WHERE e.state = 'pending' AND e.kind = ?3 AND e.due_at <= ?1 AND (e.held_until IS NULL OR e.held_until <= ?1)
           AND NOT EXISTS (SELECT 1 FROM effect b WHERE b.state = 'pending' AND b.task = e.task AND b.id < e.id)
         ORDER BY e.due_at, e.id LIMIT ?2"
    )
}

/// Deliveries of a sender that may be handed out, those that were held after those that were not.
const WAITING: &str = "SELECT seq, sender, id, event, body FROM delivery
    WHERE sender = ?3 AND done_at IS NULL AND coalesce(held_until, 0) <= ?1
    ORDER BY coalesce(held_until, 0), seq LIMIT ?2";

pub(super) fn effects(
    tx: &Transaction<'_>,
    kinds: Kinds<'_>,
    limit: u32,
    hold: Duration,
    now: Timestamp,
) -> Result<Vec<Effect>, Cause> {
    let known: Vec<String> =
        tx.prepare_cached(KINDS)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut due: Vec<(i64, Effect)> = Vec::new();
    for kind in known.iter().filter(|kind| kinds.take(kind)) {
        let mut query = tx.prepare_cached(&that_are_due())?;
        let found = query.query_map(params![now.as_microsecond(), limit, kind], |row| {
            Ok((row.get(BESIDE)?, effect_of(row)?))
        })?;
        for one in found {
            due.push(one?);
        }
    }
    due.sort_by_key(|(due_at, effect)| (*due_at, effect.id));
    due.truncate(limit as usize);
    let until = later(now, hold).as_microsecond();
    for (_, effect) in &due {
        tx.prepare_cached("UPDATE effect SET tries = tries + 1, tried = 1, held_until = ?2 WHERE id = ?1")?
            .execute(params![effect.id, until])?;
    }
    Ok(due.into_iter().map(|(_, effect)| effect).collect())
}

/// Lets go of what whoever is gone had taken: of effects when what it sent can be under way no more.
pub(super) fn let_go(tx: &Transaction<'_>, now: Timestamp) -> Result<u64, Cause> {
    let until = later(now, UNDER_WAY).as_microsecond();
    let effects =
        tx.execute("UPDATE effect SET held_until = ?1 WHERE state = 'pending' AND held_until > ?1", [until])?;
    let deliveries = tx.execute(
        "UPDATE delivery SET held_until = NULL WHERE done_at IS NULL AND held_until > ?1",
        [now.as_microsecond()],
    )?;
    Ok((effects + deliveries) as u64)
}

pub(super) fn ended(tx: &Transaction<'_>, id: i64, end: &EffectEnd, now: Timestamp) -> Result<(), Cause> {
    let now = now.as_microsecond();
    match end {
        EffectEnd::Done(value) => tx.execute(
            "UPDATE effect SET state = 'done', held_until = NULL, result = ?2, error = NULL, ended_at = ?3
             WHERE id = ?1 AND state = 'pending'",
            params![id, rows::json(value)?, now],
        )?,
        EffectEnd::Later { at, error } => tx.execute(
            "UPDATE effect SET held_until = NULL, due_at = ?2, error = ?3 WHERE id = ?1 AND state = 'pending'",
            params![id, kept(*at).as_microsecond(), error],
        )?,
        EffectEnd::Dead { error } => tx.execute(
            "UPDATE effect SET state = 'dead', held_until = NULL, error = ?2, ended_at = ?3
             WHERE id = ?1 AND state = 'pending'",
            params![id, error, now],
        )?,
    };
    Ok(())
}

pub(super) fn dead(tx: &Transaction<'_>, limit: u32) -> Result<Vec<(Effect, String)>, Cause> {
    let sql = format!(
        "SELECT {EFFECT}, coalesce(e.error, '') FROM effect e WHERE e.state = 'dead' ORDER BY e.id DESC LIMIT ?1"
    );
    let mut query = tx.prepare_cached(&sql)?;
    let found = query.query_map([limit], |row| Ok((effect_of(row)?, row.get(BESIDE)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn dead_one(tx: &Transaction<'_>, id: i64) -> Result<Option<Effect>, Cause> {
    let sql = format!("SELECT {EFFECT} FROM effect e WHERE e.id = ?1 AND e.state = 'dead'");
    Ok(tx.prepare_cached(&sql)?.query_row([id], effect_of).optional()?)
}

pub(super) fn revive(tx: &Transaction<'_>, id: i64, now: Timestamp) -> Result<bool, Cause> {
    let changed = tx.execute(
        "UPDATE effect SET state = 'pending', due_at = ?2, ended_at = NULL, tries = 0 WHERE id = ?1 AND state = 'dead'",
        params![id, now.as_microsecond()],
    )?;
    Ok(changed > 0)
}

pub(super) fn done(tx: &Transaction<'_>, key: &str) -> Result<Option<Value>, Cause> {
    let mut query = tx.prepare_cached("SELECT result FROM effect WHERE key = ?1 AND state = 'done'")?;
    Ok(query.query_row([key], |row| rows::json_at(row, 0)).optional()?)
}

pub(super) fn deliver(tx: &Transaction<'_>, delivery: &Delivery, now: Timestamp) -> Result<bool, Cause> {
    let added = tx
        .prepare_cached(
            "INSERT INTO delivery (sender, id, event, body, at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (sender, id) DO NOTHING",
        )?
        .execute(params![
            delivery.sender,
            delivery.id,
            delivery.event,
            delivery.body,
            now.as_microsecond()
        ])?;
    Ok(added > 0)
}

pub(super) fn deliveries(
    tx: &Transaction<'_>,
    sender: &str,
    limit: u32,
    hold: Duration,
    now: Timestamp,
) -> Result<Vec<Delivery>, Cause> {
    let mut query = tx.prepare_cached(WAITING)?;
    let waiting: Vec<(i64, Delivery)> = query
        .query_map(params![now.as_microsecond(), limit, sender], |row| {
            let delivery =
                Delivery { sender: row.get(1)?, id: row.get(2)?, event: row.get(3)?, body: row.get(4)? };
            Ok((row.get(0)?, delivery))
        })?
        .collect::<Result<_, _>>()?;
    let until = later(now, hold).as_microsecond();
    for (seq, _) in &waiting {
        tx.prepare_cached("UPDATE delivery SET held_until = ?2 WHERE seq = ?1")?
            .execute(params![seq, until])?;
    }
    Ok(waiting.into_iter().map(|(_, delivery)| delivery).collect())
}

pub(super) fn delivered(
    tx: &Transaction<'_>,
    sender: &str,
    id: &str,
    error: Option<&str>,
    now: Timestamp,
) -> Result<(), Cause> {
    tx.execute(
        "UPDATE delivery SET done_at = ?3, held_until = NULL, error = ?4, body = iif(?4 IS NULL, x'', body)
         WHERE sender = ?1 AND id = ?2 AND done_at IS NULL",
        params![sender, id, now.as_microsecond(), error],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::plane::sqlite::schema::MIGRATIONS;
    use crate::sqlite::to_latest;

    /// However much is pending that is held or not due, what is looked for stands first in an index, and is not sorted.
    #[test]
    fn what_is_due_is_found_by_an_index() {
        let mut connection = Connection::open_in_memory().unwrap();
        to_latest(&mut connection, &MIGRATIONS).unwrap();
        for (query, index) in [
            (that_are_due(), "effect_due (kind=? AND due_at<?)"),
            (WAITING.to_owned(), "delivery_waits (sender=? AND "),
        ] {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
            let steps: Vec<String> =
                plan.query_map(params![0, 1, ""], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
            assert!(steps[0].contains(index), "{steps:?}");
            assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
        }
    }
}
