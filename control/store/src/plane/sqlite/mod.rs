//! The store in one SQLite file: one connection that writes, in transactions that take the database at their beginning, and
//! others that read what was written before (write-ahead log).

mod access;
mod calls;
mod health;
mod keep;
mod outbox;
mod queue;
mod rows;
mod schema;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, Transaction};

use super::{Limits, StoreError, Stored};
use crate::sqlite::{Cause, Database, PATIENCE};

pub use health::{Health, Sizes};

/// Connections that are kept open for readers. More than so many at once open their own.
const READERS: usize = 4;

/// The store of a control plane on one machine.
#[derive(Debug)]
pub struct SqliteStore {
    limits: Limits,
    database: Database,
    readers: Mutex<Vec<Connection>>,
}

impl SqliteStore {
    /// Opens the store, made where there is none.
    ///
    /// # Errors
    /// The file cannot be read or written, is none of SQLite's, or was made by a newer version.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        let database = Database::open(path, &schema::MIGRATIONS)
            .map_err(|source| StoreError { doing: format!("open the store {}", path.display()), source })?;
        Ok(Self { limits, database, readers: Mutex::default() })
    }

    /// Does something alone and whole.
    fn write<T>(&self, doing: &str, work: impl FnOnce(&Transaction<'_>) -> Result<T, Cause>) -> Stored<T> {
        self.database.alone(work).map_err(|source| self.error(doing, source))
    }

    /// Reads what was written before; what is written meanwhile is not seen.
    fn read<T>(&self, doing: &str, work: impl FnOnce(&Transaction<'_>) -> Result<T, Cause>) -> Stored<T> {
        let done = || -> Result<T, Cause> {
            let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = idle.map_or_else(|| self.reader(), Ok)?;
            let value = work(&connection.transaction()?)?;
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < READERS {
                readers.push(connection);
            }
            Ok(value)
        };
        done().map_err(|source| self.error(doing, source))
    }

    fn reader(&self) -> Result<Connection, Cause> {
        let connection = Connection::open_with_flags(
            self.database.path(),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }

    fn error(&self, doing: &str, source: Cause) -> StoreError {
        StoreError { doing: format!("{doing} (store {})", self.database.path().display()), source }
    }
}
