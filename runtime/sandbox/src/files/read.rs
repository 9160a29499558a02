//! Looking at files and folders.

use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};

use gloaming_api::path::escape_name;
use gloaming_api::tool::{ToolError, ToolErrorCode};
use gloaming_api::{Digest, RelPath};
use gloaming_policies::Access;
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, FileType, OFlags, RawDir};
use rustix::io::Errno;

use super::change::not_the_root;
use super::open::{Info, Kind};
use super::{Answer, CHUNK, Session, View, shown};

/// The largest file, and the largest part of one, handed over at once: 8 MiB.
pub(crate) const WHOLE: u64 = 8 << 20;
/// How many names of one folder are listed.
const NAMES: usize = 200_000;

/// A part of a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) data: Vec<u8>,
    /// Bytes of the whole file.
    pub(crate) size: u64,
    /// The whole file's version; none when only a part was read.
    pub(crate) version: Option<Digest>,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) info: Info,
    /// Whether `name` is escaped, because it is not UTF-8.
    pub(crate) escaped: bool,
}

impl Session {
    /// Says what a path is. What may be listed as a folder but not read as a file is denied unless it is a
    /// folder, whether or not it is there.
    pub(crate) fn stat(&mut self, path: &RelPath) -> Answer<Info> {
        let readable = self.permit.allows(Access::Read, path);
        if !readable && !self.permit.allows(Access::List, path) {
            self.decide(Access::Read, path)?;
        }
        let found = self.root.stat(path);
        if !readable && !found.as_ref().is_ok_and(|stat| Info::of(stat).kind == Kind::Directory) {
            self.decide(Access::Read, path)?;
        }
        found.map(|stat| Info::of(&stat)).map_err(|errno| self.root.failure(errno, path))
    }

    /// Reads a file, whole or in part.
    pub(crate) fn read(&mut self, path: &RelPath, range: Option<Range>) -> Answer<Content> {
        self.decide(Access::Read, path)?;
        let (file, stat) = self.root.open_file(path)?;
        let mut size = u64::try_from(stat.st_size).unwrap_or(0);
        let mut data = Vec::new();
        let fill = |offset, length, data: &mut Vec<u8>| read_into(self, path, &file, offset, length, data);
        match range {
            Some(part) => {
                let rest = size.saturating_sub(part.offset);
                fill(part.offset, part.length.min(WHOLE).min(rest), &mut data)?;
            }
            None => {
                if size <= WHOLE {
                    fill(0, size + 1, &mut data)?;
                }
                if data.len() as u64 > size {
                    // It grew since it was opened.
                    data.clear();
                    fill(0, WHOLE + 1, &mut data)?;
                }
                size = size.max(data.len() as u64);
                if size > WHOLE {
                    return Err(too_large(path, size, WHOLE));
                }
                size = data.len() as u64;
            }
        }
        let whole = range.is_none_or(|part| part.offset == 0) && data.len() as u64 == size;
        self.access.read(path, data.len() as u64);
        let version = if whole { Some(self.version(&data)?) } else { None };
        Ok(Content { data, size, version })
    }

    /// Opens a file for reading in parts; what is read of it is noted by the caller.
    pub(crate) fn open(&mut self, path: &RelPath) -> Answer<OwnedFd> {
        self.decide(Access::Read, path)?;
        self.root.open_file(path).map(|(file, _)| file)
    }

    /// Decides whether a file may be opened for writing, and for reading with it.
    pub(crate) fn may_write(&mut self, path: &RelPath, reads: bool) -> Answer<()> {
        not_the_root(path)?;
        self.decide(Access::Write, path)?;
        if reads { self.decide(Access::Read, path) } else { Ok(()) }
    }

    /// Returns a file's whole content to be changed, after [`Session::may_write`], and its version where the
    /// tool could read it; nothing of it is handed to the tool. With `emptied`, only checks that the file
    /// could be opened.
    pub(crate) fn content(
        &mut self,
        path: &RelPath,
        most: u64,
        emptied: bool,
    ) -> Answer<Option<(Vec<u8>, Option<Digest>)>> {
        let (file, stat) = self.root.open_file(path)?;
        if emptied {
            return Ok(None);
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size > most {
            return Err(too_large(path, size, most));
        }
        let mut data = Vec::new();
        read_into(self, path, &file, 0, size, &mut data)?;
        let readable = self.permit.allows(Access::Read, path);
        let version = if readable { Some(self.version(&data)?) } else { None };
        Ok(Some((data, version)))
    }

    /// Checks that the folder a new file would lie in is there.
    pub(crate) fn folder_exists(&self, path: &RelPath) -> Answer<()> {
        let folder = path.parent().unwrap_or_else(RelPath::root);
        self.root.open_folder(&folder).map(drop).map_err(|errno| self.root.failure(errno, &folder))
    }

    /// Lists a folder, sorted by name in byte order, without what the policy denies.
    pub(crate) fn list(&mut self, path: &RelPath) -> Answer<Vec<Entry>> {
        self.decide(Access::List, path)?;
        let folder = match self.root.open(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(folder) => folder,
            Err(errno) => {
                // Not a folder that may be listed: then the rule for a file holds, there or not.
                self.decide(Access::Read, path)?;
                return Err(self.root.failure(errno, path));
            }
        };
        let mut names = names(self, &folder, path)?;
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut entries = Vec::with_capacity(names.len());
        for (count, (raw, _)) in names.iter().enumerate() {
            if count % 256 == 0 {
                self.check_deadline()?;
            }
            let (name, escaped) = spelled(raw);
            let Ok(below) = path.join(&name) else { continue };
            let Ok(stat) = rustix::fs::statat(&folder, raw.as_slice(), AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let info = Info::of(&stat);
            if self.shows(&below, info.kind) {
                entries.push(Entry { name: name.into_owned(), info, escaped });
            }
        }
        Ok(entries)
    }
}

/// Appends up to `length` bytes from `offset`; fewer where the file ends.
pub(super) fn read_into(
    view: &View,
    path: &RelPath,
    file: &OwnedFd,
    offset: u64,
    length: u64,
    data: &mut Vec<u8>,
) -> Answer<()> {
    let failure = |errno| view.root.failure(errno, path);
    let start = data.len();
    let end = start + usize::try_from(length).map_err(|_| failure(Errno::FBIG))?;
    data.reserve(end - start);
    while data.len() < end {
        let at = data.len();
        let from = offset + (at - start) as u64;
        let count = if end - start <= CHUNK {
            // Read into what was never written to: filling it with zeros first shows in a search.
            rustix::io::pread(file.as_fd(), spare_capacity(data), from)
        } else {
            view.check_deadline()?;
            data.resize(end.min(at + CHUNK), 0);
            let count = rustix::io::pread(file.as_fd(), &mut data[at..], from);
            data.truncate(at + *count.as_ref().unwrap_or(&0));
            count
        };
        match count {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(failure(errno)),
        }
    }
    // There may have been room for more than was asked for.
    data.truncate(end);
    Ok(())
}

/// Returns the names in a folder with what the folder says they are, unsorted, without `.` and `..`.
pub(super) fn names(view: &View, folder: &OwnedFd, path: &RelPath) -> Answer<Vec<(Vec<u8>, FileType)>> {
    let mut names = Vec::new();
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut dir = RawDir::new(folder, buffer.spare_capacity_mut());
    while let Some(entry) = dir.next() {
        let entry = entry.map_err(|errno| view.root.failure(errno, path))?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if names.len() == NAMES {
            return Err(too_many(path));
        }
        if names.len() % 1024 == 1023 {
            view.check_deadline()?;
        }
        names.push((name.to_vec(), entry.file_type()));
    }
    Ok(names)
}

/// Returns a name as text, escaped where it is not UTF-8.
pub(super) fn spelled(raw: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(raw) {
        Ok(name) => (name.into(), false),
        Err(_) => (escape_name(raw).into(), true),
    }
}

pub(super) fn too_large(path: &RelPath, size: u64, most: u64) -> ToolError {
    let message = format!("{} has {size} bytes, more than the {most} that are read at once", shown(path));
    ToolError::new(ToolErrorCode::TooLarge, message).instead("Read a part of it.")
}

fn too_many(path: &RelPath) -> ToolError {
    let message = format!("{} holds more than {NAMES} names", shown(path));
    ToolError::new(ToolErrorCode::TooLarge, message).instead("Give a narrower path.")
}
