//! How every database of this crate is opened, brought to this version's form, and written.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use rusqlite_migration::Migrations;

/// Why something of a database could not be done.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How long one process waits for others that write; each of them takes milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One SQLite file that any number of processes have open, and this one's connection that writes to it.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Database {
    /// Opens the file, made where there is none.
    ///
    /// # Errors
    /// It cannot be read or written, is none of SQLite's, or was made by a newer version.
    pub(crate) fn open(path: &Path, migrations: &Migrations<'_>) -> Result<Self, Cause> {
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connect(path, migrations)?) })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The connection that writes.
    pub(crate) fn connection(&self) -> MutexGuard<'_, Connection> {
        // A transaction that panicked was rolled back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something alone: nobody else reads what it decides on before it is written.
    pub(crate) fn alone<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Cause>,
    ) -> Result<T, Cause> {
        let mut connection = self.connection();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&tx)?;
        tx.commit()?;
        Ok(value)
    }
}

/// Opens the file and brings it to this version's form, one process at a time: the library looks at the form before it
/// takes the database for itself.
#[expect(clippy::disallowed_methods, reason = "a database's own file, beside the one that SQLite opens")]
fn connect(path: &Path, migrations: &Migrations<'_>) -> Result<Connection, Cause> {
    let turn = File::create(path.with_extension("lock"))?;
    turn.lock()?;
    private(path)?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    refuse_newer(&connection, migrations)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // What was answered outlives the machine's power too. With `normal` the last commits before it went would be gone: a
    // call of a model that was paid for, an effect that was done outside. It is one flush for each transaction.
    connection.pragma_update(None, "synchronous", "full")?;
    // The log of a large transaction, such as of an artifact, is not kept at its length for good.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.set_prepared_statement_cache_capacity(128);
    to_latest(&mut connection, migrations)?;
    Ok(connection)
}

/// Brings a database to this version's form. A table that is made anew is dropped on the way, which would take along what
/// stands on it if foreign keys counted then; steps that do so check them at their end.
pub(crate) fn to_latest(connection: &mut Connection, migrations: &Migrations<'_>) -> Result<(), Cause> {
    connection.pragma_update(None, "foreign_keys", false)?;
    migrations.to_latest(connection)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(())
}

/// Makes a file that its owner alone may read, where there is none. SQLite's files beside it are made like it.
pub(crate) fn private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

/// Refuses a database whose form this version does not know.
pub(crate) fn refuse_newer(connection: &Connection, migrations: &Migrations<'_>) -> Result<(), Cause> {
    let form: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let pending = migrations.pending_migrations(connection)?;
    if pending >= 0 {
        return Ok(());
    }
    Err(format!(
        "it was made by a newer version: its form is number {form}, and this one knows {} of them; start the newer version, \
         or restore a backup that this one made",
        form + i64::from(pending)
    )
    .into())
}
