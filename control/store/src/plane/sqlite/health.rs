//! How much there is, whether it is whole, and copies of it.

use std::fs::File;
use std::path::{Path, PathBuf};

use gloaming_api::task::TaskState;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Transaction, params};
use serde::Serialize;

use super::{SqliteStore, access, rows, schema};
use crate::plane::{AuditBreak, Load, StoreError, Stored, verify_audit};
use crate::sqlite::{Cause, PATIENCE, private, refuse_newer};

/// Audit entries that are checked at a time.
const CHUNK: u32 = 1_000;

/// What a look at a store's file found. All is well where `damage` is empty and `audit` is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Tasks in it.
    pub tasks: u64,
    /// The number of the first entry of its audit log: those before were forgotten.
    pub audited_from: u64,
    /// The number of the last one up to which they follow after one another.
    pub audited: u64,
    /// Where the audit log is not what was written.
    pub audit: Option<AuditBreak>,
    /// What else is wrong, a line for each, at most a hundred.
    pub damage: Vec<String>,
    /// How large it is.
    pub sizes: Sizes,
}

/// How large a store's file is, and what of, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// The file, without its log.
    pub file: u64,
    /// What of it is free for what is to come: it grows no more before that is used up.
    pub free: u64,
    /// Journals.
    pub journals: u64,
    /// Artifacts, each once.
    pub artifacts: u64,
    /// Deliveries of code hosts and chats.
    pub deliveries: u64,
    /// The audit log.
    pub audit: u64,
}

impl Health {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.audit.is_none()
    }
}

impl SqliteStore {
    /// Writes a copy of all that was written so far to a new file, while the store is being used. The file is whole and on
    /// the disk when this returns, and not there before; a store opens it like its own.
    ///
    /// # Errors
    /// There is a file of that name, or it cannot be written.
    pub fn backup(&self, to: &Path) -> Stored<()> {
        let done = || copy(&self.reader()?, to);
        done().map_err(|source| self.error(&format!("back up to {}", to.display()), source))
    }

    /// As [`SqliteStore::backup`], of a store's file that another process may have open. Nothing is brought forward by it.
    ///
    /// # Errors
    /// See [`SqliteStore::backup`]; and the file is none of a store, or was made by a newer version.
    pub fn backup_file(from: &Path, to: &Path) -> Stored<()> {
        let done = || copy(&existing(from)?, to);
        let doing = || format!("back up {} to {}", from.display(), to.display());
        done().map_err(|source| StoreError { doing: doing(), source })
    }

    /// Looks at the whole file, see [`SqliteStore::check_file`].
    pub fn check(&self) -> Stored<Health> {
        let done = || look(&mut self.reader()?);
        done().map_err(|source| self.error("check", source))
    }

    /// Looks at the whole file of a store or of a backup, which may be in use: its pages and indexes, its form, that no row
    /// names one that is not there, that what is searched for of a task is what its row says, that a task is held exactly while
    /// it runs, and the chain of the audit log to its noted end.
    ///
    /// # Errors
    /// It cannot be read, is no store, or was made by a newer version.
    pub fn check_file(path: &Path) -> Stored<Health> {
        let done = || look(&mut existing(path)?);
        done().map_err(|source| StoreError { doing: format!("check the store {}", path.display()), source })
    }

    /// Makes a store of a backup. The backup is looked at first, and stays.
    ///
    /// # Errors
    /// Something is wrong with the backup, there is a store already where one is to be made, or it cannot be written.
    pub fn restore(from: &Path, to: &Path) -> Stored<Health> {
        let done = || -> Result<Health, Cause> {
            let mut backup = existing(from)?;
            let health = look(&mut backup)?;
            if let Some(wrong) = health.damage.first() {
                return Err(format!("the backup is damaged: {wrong}").into());
            }
            if let Some(broken) = &health.audit {
                return Err(format!("the backup is not what was written: {broken}").into());
            }
            copy(&backup, to)?;
            Ok(health)
        };
        let doing = || format!("restore {} to {}", from.display(), to.display());
        done().map_err(|source| StoreError { doing: doing(), source })
    }
}

/// Opens a file that is there, for reading alone.
fn existing(path: &Path) -> Result<Connection, Cause> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(PATIENCE)?;
    let form: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if form == 0 {
        return Err("it is no store: nothing was ever written to it".into());
    }
    refuse_newer(&connection, &schema::MIGRATIONS)?;
    Ok(connection)
}

/// Writes a copy beside where it is to be, and moves it there once it is on the disk.
fn copy(from: &Connection, to: &Path) -> Result<(), Cause> {
    // A log that lies beside belongs to a store of that name, and would be read into the copy.
    for beside in ["", "-wal", "-journal"] {
        let other = suffixed(to, beside);
        if other.try_exists()? {
            return Err(format!(
                "there is a file {} already; move it away, or name another",
                other.display()
            )
            .into());
        }
    }
    let part = suffixed(to, ".part");
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    private(&part)?;
    let name = part.to_str().ok_or("its name is not UTF-8")?;
    // One read transaction, so a copy of one moment; and smaller than a copy of the pages.
    from.execute("VACUUM INTO ?1", [name])?;
    open(&part)?.sync_all()?;
    std::fs::rename(&part, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    open(folder)?.sync_all()?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a copy of the store and its folder, for their flush")]
fn open(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn look(connection: &mut Connection) -> Result<Health, Cause> {
    let tx = connection.transaction()?;
    let mut health = Health::default();
    tx.prepare("PRAGMA integrity_check(100)")?
        .query_map([], |row| row.get::<_, String>(0))?
        .filter(|line| line.as_ref().is_ok_and(|line| line != "ok"))
        .try_for_each(|line| line.map(|line| health.damage.push(line)))?;
    if !health.damage.is_empty() {
        // What is read of broken pages says nothing.
        return Ok(health);
    }
    for (what, sql) in CHECKS {
        let mut query = tx.prepare(sql)?;
        let found = query.query_map([], |row| row.get::<_, String>(0))?.take(10);
        for subject in found {
            health.damage.push(format!("{what}: {}", subject?));
        }
    }
    health.tasks = tx.query_row("SELECT count(*) FROM task", [], |row| rows::unsigned(row, 0))?;
    health.sizes = sizes(&tx)?;
    // A file of an older version is looked at as it is.
    let knows_base: bool =
        tx.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'audit_base'", [], |row| row.get(0))?;
    let mut last = if knows_base { access::base(&tx)? } else { None };
    health.audited_from = last.as_ref().map_or(1, |(seq, _)| seq + 1);
    health.audited = health.audited_from - 1;
    loop {
        let entries = access::audit_log(&tx, health.audited, CHUNK)?;
        if entries.is_empty() {
            break;
        }
        match verify_audit(last, &entries) {
            Ok(checked) => last = checked,
            Err(broken) => {
                health.audit = Some(broken);
                return Ok(health);
            }
        }
        health.audited = last.as_ref().map_or(0, |(seq, _)| *seq);
    }
    if last != access::head(&tx)? {
        let why = "the entries after it are missing, or were never noted as the log's";
        health.audit = Some(AuditBreak { seq: health.audited, why });
    }
    Ok(health)
}

/// What must find nothing: what it is, and how it is asked.
const CHECKS: &[(&str, &str)] = &[
    (
        "a row names one that is not there",
        "SELECT \"table\" || ' of ' || parent FROM pragma_foreign_key_check",
    ),
    (
        "a task's row does not say what is searched for",
        "SELECT id FROM task WHERE state IS NOT standing ->> 'state'
            OR (expires_at IS NULL) IS NOT (standing ->> '$.held' IS NULL)
            OR (ready_at IS NULL) IS NOT (standing ->> 'ready_at' IS NULL)",
    ),
    ("a task has no text", "SELECT id FROM task WHERE seq NOT IN (SELECT task FROM asked)"),
    (
        "a task's latest attempt is not there",
        "SELECT id FROM task t WHERE standing ->> 'attempt' IS NOT
            (SELECT coalesce(max(number), 0) FROM attempt WHERE task = t.seq)",
    ),
    (
        "a journal is not as long as was said",
        "SELECT t.id || ' attempt ' || a.number FROM attempt a JOIN task t ON t.seq = a.task
         WHERE a.next IS NOT (SELECT count(*) FROM journal j WHERE j.task = a.task AND j.attempt = a.number)",
    ),
    (
        "events of a task are missing",
        "SELECT t.id FROM task t WHERE (SELECT count(*) FROM event WHERE task = t.seq)
            IS NOT (SELECT coalesce(max(seq), 0) FROM event WHERE task = t.seq)",
    ),
    (
        "tasks are not counted right",
        "SELECT state FROM tally n WHERE tasks IS NOT (SELECT count(*) FROM task WHERE state = n.state)
         UNION SELECT state FROM task WHERE state NOT IN (SELECT state FROM tally)",
    ),
];

/// Measures a store's file.
fn sizes(tx: &Transaction<'_>) -> Result<Sizes, Cause> {
    let number =
        |sql: &str| -> Result<u64, Cause> { Ok(tx.query_row(sql, [], |row| rows::unsigned(row, 0))?) };
    let page = number("PRAGMA page_size")?;
    Ok(Sizes {
        file: page * number("PRAGMA page_count")?,
        free: page * number("PRAGMA freelist_count")?,
        journals: number("SELECT coalesce(sum(octet_length(text)), 0) FROM journal")?,
        artifacts: number("SELECT coalesce(sum(octet_length(bytes)), 0) FROM content")?,
        deliveries: number("SELECT coalesce(sum(octet_length(body)), 0) FROM delivery")?,
        audit: number(
            "SELECT coalesce(sum(octet_length(who) + octet_length(action) + octet_length(subject) + octet_length(detail) + 160), 0)
             FROM audit",
        )?,
    })
}

pub(super) fn load(tx: &Transaction<'_>, now: Timestamp) -> Result<Load, Cause> {
    let mut load = Load::default();
    let mut tally = tx.prepare_cached("SELECT state, tasks FROM tally WHERE tasks > 0")?;
    let mut found = tally.query([])?;
    while let Some(row) = found.next()? {
        let state: TaskState = rows::named(&row.get::<_, String>(0)?, 0)?;
        load.tasks.insert(state, rows::unsigned(row, 1)?);
    }
    let now = now.as_microsecond();
    let mut waits = tx.prepare_cached(
        "SELECT count(*), min(ready_at) FROM task WHERE ready = ?1 AND ready_at IS NOT NULL AND ready_at <= ?2",
    )?;
    for ready in [1, 0] {
        let (count, since) = waits.query_row(params![ready, now], |row| {
            let since: Option<i64> = row.get(1)?;
            Ok((rows::unsigned(row, 0)?, since.map(|_| rows::time_at(row, 1)).transpose()?))
        })?;
        load.ready += count;
        load.ready_since = load.ready_since.into_iter().chain(since).min();
    }
    let count = |sql| -> Result<u64, Cause> {
        Ok(tx.prepare_cached(sql)?.query_row([], |row| rows::unsigned(row, 0))?)
    };
    load.effects = count("SELECT count(*) FROM effect WHERE state = 'pending'")?;
    load.dead_effects = count("SELECT count(*) FROM effect WHERE state = 'dead'")?;
    load.deliveries = count("SELECT count(*) FROM delivery WHERE done_at IS NULL")?;
    Ok(load)
}
