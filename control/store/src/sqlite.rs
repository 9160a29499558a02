//! How every database of this crate is opened, brought to this version's form, and written.

use std::fs::File;
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
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    refuse_newer(&connection, migrations)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // What was answered outlives the machine's power too. With `normal` the last commits before it went would be gone: a
    // call of a model that was paid for, an effect that was done outside. It is one flush for each transaction.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(128);
    migrations.to_latest(&mut connection)?;
    Ok(connection)
}

/// Refuses a database whose form this version does not know.
pub(crate) fn refuse_newer(connection: &Connection, migrations: &Migrations<'_>) -> Result<(), Cause> {
    let pending = migrations.pending_migrations(connection)?;
    if pending >= 0 {
        return Ok(());
    }
    let form: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Err(format!(
        "it was made by a newer version: its form is number {form}, and this one knows {} of them; start the newer version, \
         or restore a backup that this one made",
        form + i64::from(pending)
    )
    .into())
}
