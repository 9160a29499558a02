//! What is no longer wanted of a store.

use gloaming_api::Digest;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{access, rows};
use crate::plane::audit::{forgetting, of_entries, of_tasks};
use crate::plane::{AUDIT_FORGOTTEN_AT_ONCE, CHECK, FORGOTTEN_AT_ONCE, Gone, at_once};
use crate::sqlite::Cause;

pub(super) fn forget(tx: &Transaction<'_>, before: Timestamp, now: Timestamp) -> Result<Gone, Cause> {
    let old = before.as_microsecond();
    tx.execute_batch("CREATE TEMP TABLE IF NOT EXISTS gone (seq INTEGER PRIMARY KEY, id TEXT NOT NULL) STRICT; DELETE FROM gone;")?;
    let mut query = tx.prepare_cached(
        "SELECT seq, id, (SELECT coalesce(sum(bytes), 0) FROM attempt a WHERE a.task = t.seq) FROM task t
         WHERE state IN ('published', 'onboarded', 'bowed_out', 'failed', 'quarantined', 'cancelled', 'superseded')
           AND updated_at < ?1
           AND NOT EXISTS (SELECT 1 FROM effect e WHERE e.task = t.id AND (e.state = 'pending' OR e.state = 'dead' AND e.kind <> ?3))
         ORDER BY updated_at, id LIMIT ?2",
    )?;
    // One over, which says whether there are more.
    let found = query.query_map(params![old, FORGOTTEN_AT_ONCE + 1, CHECK], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, rows::unsigned(row, 2)?))
    })?;
    let mut gone: Vec<(i64, String, u64)> = found.collect::<Result<_, _>>()?;
    let there = gone.len();
    gone.truncate(at_once(gone.iter().map(|(_, _, bytes)| *bytes)));
    let more = gone.len() < there;
    for (seq, id, _) in &gone {
        tx.prepare_cached("INSERT INTO gone VALUES (?1, ?2)")?.execute(params![seq, id])?;
    }
    if let Some(said) = of_tasks(&gone.iter().map(|(_, id, _)| id.as_str()).collect::<Vec<_>>(), before) {
        access::audit(tx, &forgetting(&said), now)?;
        tx.execute("DELETE FROM effect WHERE task IN (SELECT id FROM gone)", [])?;
        // Its events, attempts, journals, keys and artifacts go with it, and content that nobody names any more.
        tx.execute("DELETE FROM task WHERE seq IN (SELECT seq FROM gone)", [])?;
        tx.execute("DELETE FROM content WHERE digest NOT IN (SELECT digest FROM artifact)", [])?;
    }
    // What is said of a task in a chat is changed as long as there is the task.
    tx.execute(
        "DELETE FROM effect WHERE task IS NULL AND state <> 'pending' AND ended_at < ?1
         AND NOT (key GLOB 'chat:*:post' AND substr(key, 6, length(key) - 10) IN (SELECT id FROM task))",
        [old],
    )?;
    tx.execute("DELETE FROM delivery WHERE done_at < ?1", [old])?;
    tx.execute("DELETE FROM handed WHERE at < ?1", [old])?;
    Ok(Gone { tasks: gone.len() as u64, more })
}

pub(super) fn forget_audit(tx: &Transaction<'_>, before: Timestamp, now: Timestamp) -> Result<u64, Cause> {
    let Some((head, _)) = access::head(tx)? else { return Ok(0) };
    let (base, _) = access::base(tx)?.unwrap_or_else(|| (0, Digest::zero()));
    // Reads as far as what goes, and one entry more.
    let stays: Option<u64> = tx
        .prepare_cached("SELECT seq FROM audit WHERE at >= ?1 ORDER BY seq LIMIT 1")?
        .query_row([before.as_microsecond()], |row| rows::unsigned(row, 0))
        .optional()?;
    let last =
        stays.unwrap_or(head).min(head).saturating_sub(1).min(base + u64::from(AUDIT_FORGOTTEN_AT_ONCE));
    if last <= base {
        return Ok(0);
    }
    let hash: Digest = tx
        .prepare_cached("SELECT hash FROM audit WHERE seq = ?1")?
        .query_row([rows::signed(last)], |row| rows::parsed_at(row, 0))?;
    let said = of_entries(last - base, (last, &hash), before);
    access::audit(tx, &forgetting(&said), now)?;
    tx.execute("DELETE FROM audit WHERE seq <= ?1", [rows::signed(last)])?;
    tx.execute(
        "INSERT INTO audit_base VALUES (1, ?1, ?2) ON CONFLICT (one) DO UPDATE SET seq = ?1, hash = ?2",
        params![rows::signed(last), hash.as_str()],
    )?;
    Ok(last - base)
}
