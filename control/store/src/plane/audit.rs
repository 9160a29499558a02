//! The audit log's chain: each entry holds the hash of the one before.

use gloaming_api::Digest;
use jiff::Timestamp;
use serde::Serialize;

use super::AuditEntry;

/// Where an audit log is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("the audit log is broken at entry {seq}: {why}")]
pub struct AuditBreak {
    /// The entry.
    pub seq: u64,
    /// What is wrong with it.
    pub why: &'static str,
}

/// What is decided, by whom, on what.
pub(super) struct Decided<'a> {
    pub(super) who: &'a str,
    pub(super) decision: &'a str,
    pub(super) action: &'a str,
    pub(super) subject: &'a str,
    pub(super) detail: &'a str,
}

/// What the log says of tasks that were forgotten, their ids oldest first.
pub(super) fn of_tasks(gone: &[&str], before: Timestamp) -> Option<(String, String)> {
    let (first, last) = (gone.first()?, gone.last()?);
    let detail = format!("ended before {before}; the first {first}, the last {last}");
    Some((count(gone.len() as u64, "task", "tasks"), detail))
}

/// What the log says of its own first entries, when they are forgotten.
pub(super) fn of_entries(gone: u64, last: (u64, &Digest), before: Timestamp) -> (String, String) {
    let detail = format!("from before {before}; the last of them {}, whose hash is {}", last.0, last.1);
    (count(gone, "audit entry", "audit entries"), detail)
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// What forgetting is called in the log.
pub(super) fn forgetting<'a>((subject, detail): &'a (String, String)) -> Decided<'a> {
    Decided { who: "system", decision: "allow", action: "forget", subject, detail }
}

/// Makes the entry that follows after one.
pub(super) fn chained(after: Option<(u64, Digest)>, decided: &Decided<'_>, at: Timestamp) -> AuditEntry {
    let (seq, prev) = after.unwrap_or_else(|| (0, Digest::zero()));
    let mut entry = AuditEntry {
        seq: seq + 1,
        at,
        who: decided.who.to_owned(),
        decision: decided.decision.to_owned(),
        action: decided.action.to_owned(),
        subject: decided.subject.to_owned(),
        detail: decided.detail.to_owned(),
        prev,
        hash: Digest::zero(),
    };
    entry.hash = hash(&entry);
    entry
}

/// Checks that entries follow after one another, and after one that was checked before: its number and hash, none for the
/// log's beginning. Returns the last one's.
///
/// A log whose last entries were cut off is a whole one; how far it has to go is known only to whoever noted that elsewhere.
pub fn verify_audit(
    after: Option<(u64, Digest)>,
    entries: &[AuditEntry],
) -> Result<Option<(u64, Digest)>, AuditBreak> {
    let mut last = after;
    for entry in entries {
        let (seq, prev) = last.unwrap_or_else(|| (0, Digest::zero()));
        let broken = |why| Err(AuditBreak { seq: entry.seq, why });
        if entry.seq != seq + 1 {
            return broken("an entry before it is missing");
        }
        if entry.prev != prev {
            return broken("it does not follow after the one before it");
        }
        if entry.hash != hash(entry) {
            return broken("it was changed: its hash is another");
        }
        last = Some((entry.seq, entry.hash.clone()));
    }
    Ok(last)
}

fn hash(entry: &AuditEntry) -> Digest {
    let mut value = serde_json::to_value(entry).expect("text and numbers always serialise");
    if let Some(fields) = value.as_object_mut() {
        fields.remove("hash");
    }
    Digest::of_value(&value)
}
