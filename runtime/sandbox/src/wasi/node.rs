//! Files that a WASI guest holds open.
//!
//! What is read comes from a file that was opened like any other. What is written is kept here and goes
//! to the workspace as one change when the guest closes or syncs the file, or asks for its path: through the
//! same commit as every other write, whole, with the file's mode kept. A guest that traps has written
//! nothing of what it still held open.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gloaming_api::RelPath;
use gloaming_api::tool::{ToolError, ToolErrorCode};

use crate::files::{Answer, Expected, Session};

/// Bytes one call may hold unwritten: 64 MiB.
const HELD: usize = 64 << 20;
/// Bytes handed over in one read.
const CHUNK: usize = 256 << 10;

/// An open file, shared by the descriptors and streams on it.
pub(super) type Shared = Arc<Mutex<Node>>;

pub(super) struct Node {
    pub(super) path: RelPath,
    /// What is read while nothing was written.
    file: Option<OwnedFd>,
    /// The whole content, once the file was opened for writing.
    content: Option<Vec<u8>>,
    /// Whether `content` differs from what is in the workspace.
    dirty: bool,
    expected: Expected,
    /// How many bytes the guest read; none while it has read nothing.
    read: Option<u64>,
    budget: Budget,
}

/// The bytes that all open files of a call hold.
#[derive(Clone, Default)]
struct Budget(Arc<AtomicUsize>);

impl Budget {
    fn resize(&self, from: usize, to: usize) -> bool {
        let moved = self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            Some(held - from + to).filter(|held| to <= from || *held <= HELD)
        });
        moved.is_ok()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.budget.resize(self.content.as_ref().map_or(0, Vec::len), 0);
    }
}

pub(super) fn lock(node: &Shared) -> MutexGuard<'_, Node> {
    node.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    /// Returns up to `length` bytes from an offset; none at the end.
    pub(super) fn read_at(&mut self, offset: u64, length: usize) -> Answer<Bytes> {
        let length = length.min(CHUNK);
        let bytes = match (&self.content, &self.file) {
            (Some(content), _) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
                Bytes::copy_from_slice(&content[start..content.len().min(start.saturating_add(length))])
            }
            (None, Some(file)) => {
                let mut buffer = vec![0; length];
                let count = loop {
                    match rustix::io::pread(file, buffer.as_mut_slice(), offset) {
                        Err(rustix::io::Errno::INTR) => {}
                        other => break other.map_err(|errno| broken(&self.path, errno))?,
                    }
                };
                buffer.truncate(count);
                buffer.into()
            }
            (None, None) => Bytes::new(),
        };
        self.read = Some(self.read.unwrap_or(0) + bytes.len() as u64);
        Ok(bytes)
    }

    /// Writes at an offset, or at the end.
    pub(super) fn write_at(&mut self, offset: Option<u64>, bytes: &[u8]) -> Answer<()> {
        let length = self.content.as_ref().map_or(0, Vec::len);
        let start = offset.map_or(Ok(length), usize::try_from).map_err(|_| too_large(&self.path))?;
        let end = start.checked_add(bytes.len()).ok_or_else(|| too_large(&self.path))?;
        if end > length {
            self.resize(end)?;
        }
        let Some(content) = &mut self.content else { return Err(not_open(&self.path)) };
        content[start..end].copy_from_slice(bytes);
        self.dirty = true;
        Ok(())
    }

    /// Cuts or lengthens the file.
    pub(super) fn resize(&mut self, size: usize) -> Answer<()> {
        let Some(content) = &mut self.content else { return Err(not_open(&self.path)) };
        if !self.budget.resize(content.len(), size) {
            return Err(too_large(&self.path));
        }
        content.resize(size, 0);
        self.dirty = true;
        Ok(())
    }

    /// Returns the file's size in bytes.
    pub(super) fn size(&self) -> u64 {
        match (&self.content, &self.file) {
            (Some(content), _) => content.len() as u64,
            (None, Some(file)) => {
                rustix::fs::fstat(file).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0))
            }
            (None, None) => 0,
        }
    }

    fn flush(&mut self, session: &mut Session) -> Answer<()> {
        let Some(content) = self.content.as_ref().filter(|_| self.dirty) else { return Ok(()) };
        // Once: a change that failed is not tried again at the next occasion.
        self.dirty = false;
        let version = session.write_in_folder(self.path.clone(), content.clone(), self.expected.clone())?;
        if matches!(self.expected, Expected::Absent) {
            self.expected = Expected::Any;
        }
        if matches!(self.expected, Expected::Version(_)) {
            self.expected = Expected::Version(version.to_string());
        }
        Ok(())
    }
}

/// The open files of a call.
#[derive(Default)]
pub(super) struct Open {
    /// Those opened for writing, with the number of descriptors on each.
    writers: BTreeMap<RelPath, (Shared, usize)>,
    readers: Vec<Shared>,
    budget: Budget,
    /// The first failure that the guest could not be told, since closing has no answer.
    failed: Option<ToolError>,
}

impl Open {
    /// Opens a file for reading.
    pub(super) fn reader(&mut self, session: &mut Session, path: &RelPath) -> Answer<Shared> {
        let file = session.open(path)?;
        let node = Arc::new(Mutex::new(Node {
            path: path.clone(),
            file: Some(file),
            content: None,
            dirty: false,
            expected: Expected::Any,
            read: None,
            budget: self.budget.clone(),
        }));
        self.readers.push(node.clone());
        Ok(node)
    }

    /// Opens a file for writing, made where it is missing and may be.
    pub(super) fn writer(&mut self, session: &mut Session, path: &RelPath, how: How) -> Answer<Shared> {
        if let Some((node, count)) = self.writers.get_mut(path) {
            session.may_write(path, how.reads)?;
            if how.exclusive {
                return Err(exists(path));
            }
            *count += 1;
            let node = node.clone();
            if how.truncate {
                lock(&node).resize(0)?;
            }
            return Ok(node);
        }
        session.may_write(path, how.reads)?;
        let (content, expected, dirty) = match session.content(path, HELD as u64, how.truncate) {
            Ok(_) if how.exclusive => return Err(exists(path)),
            Ok(None) => (Vec::new(), Expected::Any, true),
            Ok(Some((content, version))) => {
                let expected =
                    version.map_or(Expected::Any, |version| Expected::Version(version.to_string()));
                (content, expected, false)
            }
            Err(error) if error.code == ToolErrorCode::NotFound && how.create => {
                session.folder_exists(path)?;
                (Vec::new(), Expected::Absent, true)
            }
            Err(error) => return Err(error),
        };
        if !self.budget.resize(0, content.len()) {
            return Err(too_large(path));
        }
        let node = Arc::new(Mutex::new(Node {
            path: path.clone(),
            file: None,
            content: Some(content),
            dirty,
            expected,
            read: None,
            budget: self.budget.clone(),
        }));
        self.writers.insert(path.clone(), (node.clone(), 1));
        Ok(node)
    }

    /// Writes what is held of a path, before something else asks for the path.
    pub(super) fn flush(&mut self, session: &mut Session, path: &RelPath) -> Answer<()> {
        match self.writers.get(path) {
            Some((node, _)) => lock(node).flush(session),
            None => Ok(()),
        }
    }

    /// Writes what is held below a folder.
    pub(super) fn flush_below(&mut self, session: &mut Session, folder: &RelPath) -> Answer<()> {
        self.writers
            .values()
            .filter(|(node, _)| lock(node).path.is_within(folder))
            .try_for_each(|(node, _)| lock(node).flush(session))
    }

    /// Forgets a file that was removed: what is still written to it goes nowhere.
    pub(super) fn removed(&mut self, path: &RelPath) {
        self.writers.remove(path);
    }

    /// Follows a file to its new name.
    pub(super) fn renamed(&mut self, from: &RelPath, to: &RelPath) {
        self.writers.remove(to);
        if let Some((node, count)) = self.writers.remove(from) {
            let mut inner = lock(&node);
            inner.path = to.clone();
            drop(inner);
            self.writers.insert(to.clone(), (node, count));
        }
    }

    /// Closes one descriptor. Where that was the last, what is held is written.
    pub(super) fn close(&mut self, session: &mut Session, node: &Shared) {
        let path = lock(node).path.clone();
        if let Some((writer, count)) = self.writers.get_mut(&path)
            && Arc::ptr_eq(writer, node)
        {
            *count -= 1;
            if *count == 0 {
                let flushed = lock(node).flush(session);
                self.fail(flushed);
                note(session, node);
                self.writers.remove(&path);
            }
            return;
        }
        note(session, node);
        self.readers.retain(|reader| !Arc::ptr_eq(reader, node));
    }

    /// Writes everything that is still held, and answers with the first failure nobody was told of.
    pub(super) fn settle(&mut self, session: &mut Session) -> Answer<()> {
        for (node, _) in std::mem::take(&mut self.writers).into_values() {
            let flushed = lock(&node).flush(session);
            self.fail(flushed);
            note(session, &node);
        }
        self.note_reads(session);
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Notes what was read of the files still open.
    pub(super) fn note_reads(&mut self, session: &mut Session) {
        self.writers.values().for_each(|(node, _)| note(session, node));
        self.readers.drain(..).for_each(|node| note(session, &node));
    }

    fn fail(&mut self, result: Answer<()>) {
        if let (Err(error), None) = (result, &self.failed) {
            self.failed = Some(error);
        }
    }
}

/// How a file is opened for writing.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub(super) create: bool,
    pub(super) exclusive: bool,
    pub(super) truncate: bool,
    pub(super) reads: bool,
}

fn note(session: &mut Session, node: &Shared) {
    let mut node = lock(node);
    if let Some(bytes) = node.read.take() {
        session.access.read(&node.path, bytes);
    }
}

fn exists(path: &RelPath) -> ToolError {
    ToolError::new(ToolErrorCode::Conflict, format!("{path} exists already"))
}

fn too_large(path: &RelPath) -> ToolError {
    ToolError::new(ToolErrorCode::TooLarge, format!("{path}: more than {HELD} bytes held unwritten"))
}

fn not_open(path: &RelPath) -> ToolError {
    ToolError::new(ToolErrorCode::InvalidInput, format!("{path} is not open for writing"))
}

fn broken(path: &RelPath, errno: rustix::io::Errno) -> ToolError {
    ToolError::new(ToolErrorCode::Internal, format!("{path}: {}", std::io::Error::from(errno)))
}
