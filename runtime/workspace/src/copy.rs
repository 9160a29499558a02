//! Copying a workspace for a job.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use gloaming_api::RelPath;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};

/// Copies the tree at `from` into `to`, which must not exist or be empty: modes, modification times and
/// symbolic links (as links) are kept, a `.git` at its top is left out: git's own data is no job's business, and
/// policy shows it to nobody. For the copies jobs run on.
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
    copy_folder(from, to, &metadata, Some(".git"))
}

fn copy_folder(from: &Path, to: &Path, metadata: &Metadata, except: Option<&str>) -> io::Result<()> {
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
            copy_folder(&source, &target, &metadata, None)?;
        } else if kind.is_symlink() {
            let link = at(&source, std::fs::read_link(&source))?;
            at(&target, std::os::unix::fs::symlink(link, &target))?;
            at(&target, set_times(&target, &metadata))?;
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
/// nobody read has no place where repository code runs and prints. A name that is not UTF-8 is judged as it is
/// shown, with U+FFFD for what it does not hold.
///
/// # Errors
/// What the system says, with the path.
pub fn withhold(copy: &Path, hidden: &dyn Fn(&RelPath) -> bool) -> io::Result<Vec<RelPath>> {
    let mut removed = Vec::new();
    withhold_below(copy, &RelPath::root(), hidden, &mut removed)?;
    removed.sort();
    Ok(removed)
}

fn withhold_below(
    folder: &Path,
    path: &RelPath,
    hidden: &dyn Fn(&RelPath) -> bool,
    removed: &mut Vec<RelPath>,
) -> io::Result<()> {
    for entry in at(folder, std::fs::read_dir(folder))? {
        let entry = at(folder, entry)?;
        let below = entry.path();
        // A name too long to be judged counts as one of the same folder; where even that is too long, it goes.
        let name = entry.file_name();
        let relative = path.join(&name.to_string_lossy()).or_else(|_| path.join("\u{fffd}")).ok();
        match (at(&below, entry.file_type())?.is_dir(), relative) {
            (true, Some(relative)) => withhold_below(&below, &relative, hidden, removed)?,
            (true, None) => at(&below, std::fs::remove_dir_all(&below))?,
            (false, Some(relative)) if !hidden(&relative) => {}
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
