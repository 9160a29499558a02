//! The journal on disk: each event is one line, written and flushed before the work goes on.
#![expect(
    clippy::disallowed_methods,
    reason = "the journal's file is the operator's, and its times are the clock's"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use gloaming_api::journal::{Chain, ChainError, EventKind, parse};
use jiff::Timestamp;

/// An attempt's journal, open for appending.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    chain: Chain,
}

impl Journal {
    /// Begins a journal; fails when the file exists, so that no story is overwritten.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Self { file, path: path.to_owned(), chain: Chain::default() })
    }

    /// Goes on with a journal that is written now and then, or begins it. Whoever else wants to waits until the value
    /// is dropped.
    pub fn resume(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        file.lock()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let chain = match parse(&text) {
            Ok(events) => Chain::after(events.last().expect("a parsed journal is not empty")),
            Err(ChainError::Empty) => Chain::default(),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        Ok(Self { file, path: path.to_owned(), chain })
    }

    /// Appends one event and flushes it to the disk.
    pub fn append(&mut self, kind: EventKind) -> io::Result<()> {
        let event = self.chain.append(Timestamp::now(), kind);
        let mut line = serde_json::to_string(&event).expect("events serialise: string keys, finite numbers");
        line.push('\n');
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()
    }

    /// Returns the end of the chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
