//! A piece of the plan: what is opened and read together.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use gloaming_api::RelPath;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::super::open::{Info, Kind};
use super::super::read::{Range, read_into};
use super::super::{Answer, View};
use super::{BATCH, Batch, Visited, WalkOptions};

/// Bytes after which a stretch is handed over, read or not: it bounds what waits to be fetched.
const ENOUGH: usize = 1 << 20;
/// How many buffers are kept to be used again, and how large one may be.
const SPARE: usize = 16;
const SPARE_BYTES: usize = 2 * BATCH;

/// Memory that batches were read into. New memory comes from the system in pages that have to be zeroed first,
/// and is in no processor's cache.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    fn take(&self) -> Vec<u8> {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        used.unwrap_or_else(|| Vec::with_capacity(BATCH))
    }

    pub(super) fn put(&self, mut buffer: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < SPARE && (BATCH..=SPARE_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

/// Paths that are to be reported where the policy lets them be, in order.
pub(super) struct Stretch {
    wanted: VecDeque<Wanted>,
}

/// A path that was planned.
pub(super) struct Wanted {
    path: RelPath,
    escaped: bool,
    from: From,
}

/// Where what is reported of a path comes from.
enum From {
    /// From the plan: no content is wanted of it.
    Plan(Info),
    /// From the file, opened by its name in its folder.
    File(Arc<OwnedFd>),
    /// From the name in its folder, which cannot be a path's.
    Escaped(Arc<OwnedFd>, Vec<u8>),
    /// From the file, opened by its path: the walk began there.
    Root,
}

impl Wanted {
    /// A path whose name and kind are all that is reported.
    pub(super) fn name(path: RelPath, escaped: bool, kind: FileType) -> Self {
        let kind = match kind {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        };
        Self { path, escaped, from: From::Plan(Info { kind, size: 0, executable: false }) }
    }

    /// A file whose content is wanted.
    pub(super) fn content(path: RelPath, folder: Arc<OwnedFd>, raw: Option<Vec<u8>>) -> Self {
        let escaped = raw.is_some();
        let from = raw.map_or_else(|| From::File(folder.clone()), |raw| From::Escaped(folder.clone(), raw));
        Self { path, escaped, from }
    }
}

/// What was read of a stretch.
#[derive(Default)]
pub(super) struct Read {
    pub(super) batches: VecDeque<Batch>,
    /// What is still to be read of it.
    pub(super) rest: Option<Stretch>,
}

impl Stretch {
    pub(super) fn new(wanted: Vec<Wanted>) -> Self {
        Self { wanted: wanted.into() }
    }

    /// The file a walk began with.
    pub(super) fn of_root(path: &RelPath) -> Self {
        Self { wanted: VecDeque::from([Wanted { path: path.clone(), escaped: false, from: From::Root }]) }
    }

    /// Opens and reads its files, as far as is enough for now.
    pub(super) fn read(mut self, view: &View, options: &WalkOptions, spare: &Spare) -> Answer<Read> {
        let mut read = Read::default();
        let mut batch = Batch::default();
        let mut bytes = 0;
        while bytes < ENOUGH
            && let Some(wanted) = self.wanted.pop_front()
        {
            view.check_deadline()?;
            if !wanted.is_shown(view) {
                continue;
            }
            let Some((info, file)) = wanted.open(view, options)? else { continue };
            let size = if file.is_some() { info.size } else { 0 };
            if !batch.visited.is_empty() && batch.bytes.len() as u64 + size > BATCH as u64 {
                read.batches.push_back(std::mem::take(&mut batch));
            }
            let mut at = None;
            if let Some(file) = file {
                if batch.bytes.capacity() == 0 {
                    batch.bytes = spare.take();
                }
                let offset = batch.bytes.len();
                read_into(view, &wanted.path, &file, 0, size, &mut batch.bytes)?;
                let length = batch.bytes.len() - offset;
                bytes += length;
                at = Some(Range { offset: offset as u64, length: length as u64 });
            }
            batch.visited.push(Visited { path: wanted.path, info, at, escaped: wanted.escaped });
        }
        if !batch.visited.is_empty() {
            read.batches.push_back(batch);
        }
        read.rest = Some(self).filter(|rest| !rest.wanted.is_empty());
        Ok(read)
    }
}

impl Wanted {
    /// Whether the policy lets it be reported.
    fn is_shown(&self, view: &View) -> bool {
        let kind = match &self.from {
            From::Plan(info) if info.kind == Kind::Directory => Kind::Directory,
            // The walk began with it: it was decided on then.
            From::Root => return true,
            _ => Kind::Other,
        };
        view.shows(&self.path, kind)
    }

    /// Returns what it is and, where its content is wanted and can be read, the file; none when it is gone or
    /// has become a link or a folder.
    fn open(&self, view: &View, options: &WalkOptions) -> Answer<Option<(Info, Option<OwnedFd>)>> {
        let (file, stat) = match &self.from {
            From::Plan(info) => return Ok(Some((*info, None))),
            From::Root => {
                let (file, stat) = view.root.open_file(&self.path)?;
                (Some(file).filter(|_| options.contents), stat)
            }
            From::Escaped(folder, raw) => {
                let stat = rustix::fs::statat(folder, raw.as_slice(), AtFlags::SYMLINK_NOFOLLOW);
                let Ok(stat) = stat else { return Ok(None) };
                (None, stat)
            }
            From::File(folder) => {
                let name = self.path.name().unwrap_or_default();
                let Some((file, stat)) = open_name(folder, name) else { return Ok(None) };
                (Some(file), stat)
            }
        };
        let info = Info::of(&stat);
        if matches!(info.kind, Kind::Symlink | Kind::Directory) {
            return Ok(None);
        }
        let readable = info.kind == Kind::File && info.size <= options.largest();
        Ok(Some((info, file.filter(|_| readable))))
    }
}

fn open_name(folder: &OwnedFd, name: &str) -> Option<(OwnedFd, Stat)> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder.as_fd(), name, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    Some((file, stat))
}
