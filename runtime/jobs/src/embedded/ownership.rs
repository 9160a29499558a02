//! Gives a folder's files to the job's user.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::Path;

/// Changes the owner of `folder` and of everything below it that is not owned by `user` already. Symbolic
/// links are changed themselves and never followed.
///
/// Regular files with a second hard link are left alone: the other name may be outside, and a job must not
/// be handed a file through it. Names too long to be reached are left alone too; only a job can have made them.
pub(crate) fn give(folder: &Path, user: u32) -> io::Result<()> {
    let mut open = vec![folder.to_owned()];
    change(folder, &fs::symlink_metadata(folder)?, user)?;
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if passable(&error) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let meta = match fs::symlink_metadata(&path) {
                Ok(meta) => meta,
                Err(error) if passable(&error) => continue,
                Err(error) => return Err(error),
            };
            change(&path, &meta, user)?;
            if meta.is_dir() {
                open.push(path);
            }
        }
    }
    Ok(())
}

fn change(path: &Path, meta: &fs::Metadata, user: u32) -> io::Result<()> {
    if (meta.uid() == user && meta.gid() == user) || (meta.is_file() && meta.nlink() > 1) {
        return Ok(());
    }
    match lchown(path, Some(user), Some(user)) {
        Err(error) if passable(&error) => Ok(()),
        result => result,
    }
}

fn passable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NAMETOOLONG.raw_os_error())
        || error.kind() == io::ErrorKind::NotFound
}
