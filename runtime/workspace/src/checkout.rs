//! Writing a tree's files into a folder, as they are in the tree: no filter, no line-ending conversion.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::files::{bytes_path, io_error, make_empty, open_folder, open_root};
use crate::store::Store;
use crate::{EntryKind, RepoError, TreeEntry, names};

/// A link's target longer than this is no link a system would make.
const LONGEST_LINK: u64 = 4096;

/// Writes the entries of a tree into `dir`, which is made and must be empty; what was written is removed
/// again on failure.
pub(crate) fn materialise(store: &Store, tree_ish: &str, dir: &Path) -> Result<(), RepoError> {
    let entries = store.list(tree_ish)?;
    for entry in &entries {
        if let Some(why) = names::refused(&entry.raw) {
            return Err(RepoError::HostileTree { path: entry.display(), why });
        }
        if entry.kind == EntryKind::Symlink && entry.size > LONGEST_LINK {
            return Err(RepoError::HostileTree { path: entry.display(), why: "its link target is too long" });
        }
    }
    let existed = dir.exists();
    make_empty(dir)?;
    write_all(store, &entries, dir).inspect_err(|_| {
        // What is left of a failed checkout is of no use, and on a full disk in the way.
        if existed { clear(dir) } else { drop(std::fs::remove_dir_all(dir)) }
    })
}

fn clear(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let _ = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        };
    }
}

fn write_all(store: &Store, entries: &[TreeEntry], dir: &Path) -> Result<(), RepoError> {
    let mut folders = Folders { open: Vec::new(), root: open_root(dir)? };
    let oids = entries.iter().filter(|entry| entry.kind != EntryKind::Submodule);
    let mut blobs = store.blobs(oids.map(|entry| entry.oid.clone()).collect())?;
    for entry in entries {
        let (parents, name) = match entry.raw.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&entry.raw[..slash], &entry.raw[slash + 1..]),
            None => (&entry.raw[..0], &entry.raw[..]),
        };
        let failed = |source: io::Error| {
            // Two entries that claim one place: a link and a folder of one name, or names that differ only in
            // case where the file system does not tell.
            let taken = [Errno::EXIST, Errno::NOTDIR, Errno::LOOP, Errno::ISDIR];
            if Errno::from_io_error(&source).is_some_and(|errno| taken.contains(&errno)) {
                RepoError::HostileTree { path: entry.display(), why: "another entry is in its place" }
            } else {
                io_error("write", &dir.join(bytes_path(&entry.raw)), source)
            }
        };
        let folder = folders.enter(parents).map_err(failed)?;
        match entry.kind {
            EntryKind::File | EntryKind::Executable => {
                let mode = if entry.kind == EntryKind::Executable { 0o755 } else { 0o644 };
                blobs.next(&entry.oid, |size, content| {
                    write_file(folder, name, mode, size, content).map_err(failed)
                })?;
            }
            EntryKind::Symlink => {
                let target = blobs.next(&entry.oid, |size, content| {
                    let mut target = Vec::new();
                    content.take(size).read_to_end(&mut target).map_err(failed)?;
                    Ok(target)
                })?;
                if target.is_empty() || target.contains(&0) {
                    let why = "its link target is empty or holds a NUL byte";
                    return Err(RepoError::HostileTree { path: entry.display(), why });
                }
                rustix::fs::symlinkat(target.as_slice(), folder, name)
                    .map_err(|error| failed(error.into()))?;
            }
            EntryKind::Submodule => {
                let made = rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o755));
                made.map_err(|error| failed(error.into()))?;
            }
        }
    }
    blobs.finish()
}

fn write_file(folder: &OwnedFd, name: &[u8], mode: u32, size: u64, content: &mut dyn Read) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600))?);
    let written = io::copy(content, &mut file)?;
    if written != size {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    // Set by hand, so that the caller's umask makes no difference to what a job sees.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    Ok(())
}

/// The open folders from the root down to the last one entered.
struct Folders {
    root: OwnedFd,
    open: Vec<(Vec<u8>, OwnedFd)>,
}

impl Folders {
    /// Opens a folder beneath the root, making what is missing, never through a link.
    fn enter(&mut self, path: &[u8]) -> io::Result<&OwnedFd> {
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let common = self.open.iter().zip(&names).take_while(|((open, _), name)| open == *name).count();
        self.open.truncate(common);
        for name in &names[common..] {
            let parent = self.open.last().map_or(&self.root, |(_, folder)| folder);
            let made = match rustix::fs::mkdirat(parent, *name, Mode::from_raw_mode(0o755)) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(error) => return Err(error.into()),
            };
            let folder = open_folder(parent, name)?;
            if made {
                rustix::fs::fchmod(&folder, Mode::from_raw_mode(0o755))?;
            }
            self.open.push((name.to_vec(), folder));
        }
        Ok(self.open.last().map_or(&self.root, |(_, folder)| folder))
    }
}
