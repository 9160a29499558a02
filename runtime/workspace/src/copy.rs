//! Copying a workspace for a job.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use gloaming_api::RelPath;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};

/// Copies the tree at `from` into `to`, which must not exist or be empty: modes, modification times and
/// symbolic and hard links (as links) are kept, a `.git` at its top is left out, and with it every other name of a
/// file in it but of an object: git's own data is no job's business, and policy shows it to nobody. For the copies
/// jobs run on.
///
/// # Errors
/// What the system says, with the path; a socket or a device cannot be copied.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = at(from, std::fs::symlink_metadata(from))?;
    if !metadata.is_dir() {
        return Err(named(from, io::ErrorKind::NotADirectory.into()));
    }
    at(to, std::fs::create_dir_all(to))?;
    if at(to, std::fs::read_dir(to))?.next().is_some() {
        return Err(named(to, io::ErrorKind::DirectoryNotEmpty.into()));
    }
    let mut links = Links::default();
    links.keep_out(&from.join(".git"))?;
    copy_folder(from, to, &metadata, Some(".git"), &mut links)
}

/// What a file is, whatever its name.
type Inode = (u64, u64);

fn inode(metadata: &Metadata) -> Inode {
    (metadata.dev(), metadata.ino())
}

/// Files that have several names.
#[derive(Default)]
struct Links {
    kept_out: HashSet<Inode>,
    /// Where the first of the names was copied to.
    copied: HashMap<Inode, PathBuf>,
}

impl Links {
    fn keep_out(&mut self, folder: &Path) -> io::Result<()> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            // None, or a file that names where git's data is.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => return Err(named(folder, error)),
        };
        for entry in entries {
            let entry = at(folder, entry)?;
            let metadata = at(&entry.path(), entry.metadata())?;
            // Clones share objects by links, and there are many.
            if metadata.is_dir() && entry.file_name() != "objects" {
                self.keep_out(&entry.path())?;
            } else if metadata.is_file() && metadata.nlink() > 1 {
                self.kept_out.insert(inode(&metadata));
            }
        }
        Ok(())
    }
}

fn copy_folder(
    from: &Path,
    to: &Path,
    metadata: &Metadata,
    except: Option<&str>,
    links: &mut Links,
) -> io::Result<()> {
    for entry in at(from, std::fs::read_dir(from))? {
        let entry = at(from, entry)?;
        if except.is_some_and(|name| entry.file_name() == name) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let metadata = at(&source, entry.metadata())?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            at(&target, std::fs::create_dir(&target))?;
            copy_folder(&source, &target, &metadata, None, links)?;
        } else if kind.is_symlink() {
            let link = at(&source, std::fs::read_link(&source))?;
            at(&target, std::os::unix::fs::symlink(link, &target))?;
            at(&target, set_times(&target, &metadata))?;
        } else if kind.is_file() && metadata.nlink() > 1 {
            if links.kept_out.contains(&inode(&metadata)) {
                continue;
            }
            if let Some(first) = links.copied.get(&inode(&metadata)) {
                at(&target, std::fs::hard_link(first, &target))?;
                continue;
            }
            at(&source, std::fs::copy(&source, &target))?;
            at(&target, set_times(&target, &metadata))?;
            links.copied.insert(inode(&metadata), target);
        } else if kind.is_file() {
            at(&source, std::fs::copy(&source, &target))?;
            at(&target, set_times(&target, &metadata))?;
        } else if kind.is_fifo() {
            let mode = Mode::from_raw_mode(metadata.mode() & 0o7777);
            at(&target, rustix::fs::mknodat(CWD, &target, FileType::Fifo, mode, 0).map_err(io::Error::from))?;
        } else {
            let error = io::Error::new(io::ErrorKind::Unsupported, "a socket or device cannot be copied");
            return Err(named(&source, error));
        }
    }
    at(to, std::fs::set_permissions(to, metadata.permissions()))?;
    at(to, set_times(to, metadata))
}

/// Removes from a copy the files and links that `hidden` names, and returns them, sorted. What a policy lets
/// nobody read has no place where repository code runs and prints, under whichever of its names. One that is not
/// UTF-8 is judged as it is shown, with U+FFFD for what it does not hold.
///
/// # Errors
/// What the system says, with the path.
pub fn withhold(copy: &Path, hidden: &dyn Fn(&RelPath) -> bool) -> io::Result<Vec<RelPath>> {
    let mut removed = Vec::new();
    let mut linked = HashSet::new();
    withhold_below(
        copy,
        &RelPath::root(),
        &mut |path, metadata| {
            let hide = hidden(path);
            if hide && metadata.nlink() > 1 {
                linked.insert(inode(metadata));
            }
            hide
        },
        &mut removed,
    )?;
    if !linked.is_empty() {
        let other_name = &mut |_: &RelPath, metadata: &Metadata| linked.contains(&inode(metadata));
        withhold_below(copy, &RelPath::root(), other_name, &mut removed)?;
    }
    removed.sort();
    Ok(removed)
}

fn withhold_below(
    folder: &Path,
    path: &RelPath,
    hidden: &mut dyn FnMut(&RelPath, &Metadata) -> bool,
    removed: &mut Vec<RelPath>,
) -> io::Result<()> {
    for entry in at(folder, std::fs::read_dir(folder))? {
        let entry = at(folder, entry)?;
        let below = entry.path();
        // A name too long to be judged counts as one of the same folder; where even that is too long, it goes.
        let name = entry.file_name();
        let relative = path.join(&name.to_string_lossy()).or_else(|_| path.join("\u{fffd}")).ok();
        let metadata = at(&below, entry.metadata())?;
        match (metadata.is_dir(), relative) {
            (true, Some(relative)) => withhold_below(&below, &relative, hidden, removed)?,
            (true, None) => at(&below, std::fs::remove_dir_all(&below))?,
            (false, Some(relative)) if !hidden(&relative, &metadata) => {}
            (false, relative) => {
                at(&below, std::fs::remove_file(&below))?;
                removed.extend(relative);
            }
        }
    }
    Ok(())
}

fn set_times(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn at<T>(path: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| named(path, error))
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
