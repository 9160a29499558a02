//! Lock files that may be removed by whoever holds them alone, under those who wait for them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

/// Opens a lock file, made when there is none.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Opens a file and locks it together with others who use the same thing. Whoever removes that thing removes the file
/// too, under whoever waits for it: what was locked must still be what others will find there.
pub(crate) fn share(path: &Path) -> io::Result<File> {
    take(path, File::lock_shared)
}

/// Opens a file and locks it alone.
pub(crate) fn alone(path: &Path) -> io::Result<File> {
    take(path, File::lock)
}

fn take(path: &Path, lock: impl Fn(&File) -> io::Result<()>) -> io::Result<File> {
    loop {
        let file = open(path)?;
        lock(&file)?;
        if is_at(&file, path)? {
            return Ok(file);
        }
    }
}

/// Whether an open file is the one that has the name now.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(there.dev() == ours.dev() && there.ino() == ours.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes down that it is used now, by the clock of the disk, so that no other clock is read; returns that time.
pub(crate) fn touch(file: &File) -> io::Result<SystemTime> {
    let touched = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
    };
    rustix::fs::futimens(file, &touched)?;
    file.metadata()?.modified()
}
