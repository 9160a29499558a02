//! Tokens and the audit log.

use gloaming_api::Digest;
use gloaming_api::access::{NewToken, TokenView};
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::rows;
use crate::plane::audit::{Decided, chained};
use crate::plane::{AuditEntry, minute, token_view};
use crate::sqlite::Cause;

pub(super) fn add(
    tx: &Transaction<'_>,
    id: &str,
    secret: &Digest,
    token: &NewToken,
    now: Timestamp,
) -> Result<(), Cause> {
    let view = token_view(id, token, now);
    let added = tx.execute(
        "INSERT INTO token (id, secret, token) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING",
        params![id, secret.as_str(), rows::json(&view)?],
    )?;
    if added == 0 {
        return Err(format!("there is a token {id}").into());
    }
    Ok(())
}

pub(super) fn token(tx: &Transaction<'_>, id: &str) -> Result<Option<(TokenView, Digest)>, Cause> {
    let mut query = tx.prepare_cached("SELECT token, secret FROM token WHERE id = ?1")?;
    Ok(query.query_row([id], |row| Ok((rows::json_at(row, 0)?, rows::parsed_at(row, 1)?))).optional()?)
}

pub(super) fn tokens(tx: &Transaction<'_>) -> Result<Vec<TokenView>, Cause> {
    let mut query = tx.prepare_cached("SELECT token FROM token ORDER BY seq DESC")?;
    let found = query.query_map([], |row| rows::json_at(row, 0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn is_used_anew(tx: &Transaction<'_>, id: &str, now: Timestamp) -> Result<bool, Cause> {
    Ok(token(tx, id)?.is_some_and(|(view, _)| view.last_used_at != Some(minute(now))))
}

pub(super) fn used(tx: &Transaction<'_>, id: &str, now: Timestamp) -> Result<(), Cause> {
    let Some((mut view, _)) = token(tx, id)? else { return Ok(()) };
    view.last_used_at = Some(minute(now));
    save(tx, &view)
}

pub(super) fn revoke(tx: &Transaction<'_>, id: &str, now: Timestamp) -> Result<bool, Cause> {
    let Some((mut view, _)) = token(tx, id)?.filter(|(view, _)| view.revoked_at.is_none()) else {
        return Ok(false);
    };
    view.revoked_at = Some(now);
    save(tx, &view)?;
    Ok(true)
}

fn save(tx: &Transaction<'_>, view: &TokenView) -> Result<(), Cause> {
    tx.execute("UPDATE token SET token = ?2 WHERE id = ?1", params![view.id, rows::json(view)?])?;
    Ok(())
}

/// Adds an entry after the one that is noted as the last, whatever became of that one.
pub(super) fn audit(tx: &Transaction<'_>, decided: &Decided<'_>, at: Timestamp) -> Result<(), Cause> {
    let entry = chained(head(tx)?, decided, at);
    let seq = rows::signed(entry.seq);
    tx.prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?.execute(params![
        seq,
        entry.at.as_microsecond(),
        entry.who,
        entry.decision,
        entry.action,
        entry.subject,
        entry.detail,
        entry.prev.as_str(),
        entry.hash.as_str()
    ])?;
    tx.prepare_cached(
        "INSERT INTO audit_head VALUES (1, ?1, ?2) ON CONFLICT (one) DO UPDATE SET seq = ?1, hash = ?2",
    )?
    .execute(params![seq, entry.hash.as_str()])?;
    Ok(())
}

/// The number and hash of the entry that is noted as the last.
pub(super) fn head(tx: &Transaction<'_>) -> Result<Option<(u64, Digest)>, Cause> {
    let mut query = tx.prepare_cached("SELECT seq, hash FROM audit_head")?;
    Ok(query.query_row([], |row| Ok((rows::unsigned(row, 0)?, rows::parsed_at(row, 1)?))).optional()?)
}

/// The number and hash of the last entry that was forgotten.
pub(super) fn base(tx: &Transaction<'_>) -> Result<Option<(u64, Digest)>, Cause> {
    let mut query = tx.prepare_cached("SELECT seq, hash FROM audit_base")?;
    Ok(query.query_row([], |row| Ok((rows::unsigned(row, 0)?, rows::parsed_at(row, 1)?))).optional()?)
}

pub(super) fn audit_log(tx: &Transaction<'_>, after: u64, limit: u32) -> Result<Vec<AuditEntry>, Cause> {
    let mut query = tx.prepare_cached(
        "SELECT seq, at, who, decision, action, subject, detail, prev, hash FROM audit
         WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let found = query.query_map(params![rows::signed(after), limit], |row| {
        Ok(AuditEntry {
            seq: rows::unsigned(row, 0)?,
            at: rows::time_at(row, 1)?,
            who: row.get(2)?,
            decision: row.get(3)?,
            action: row.get(4)?,
            subject: row.get(5)?,
            detail: row.get(6)?,
            prev: rows::parsed_at(row, 7)?,
            hash: rows::parsed_at(row, 8)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}
