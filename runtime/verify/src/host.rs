//! The host's folders of one verification: copies of trees, build output, reports, our own scripts.
//!
//! A report folder was writable by the patched code. Nothing in it is trusted: only plain files directly in
//! it are read, no link is followed, no FIFO waited for, and every read is bounded.
#![expect(
    clippy::disallowed_methods,
    reason = "this module owns the host folders of a verification; trees are only written where git has a regular file"
)]

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use gloaming_api::RelPath;
use gloaming_jobs::Redactor;
use rustix::fs::{AtFlags, CWD, OFlags, Timespec, Timestamps, UTIME_NOW};

/// The largest report that is read, bytes.
pub(crate) const REPORT_CAP: u64 = 128 << 20;

/// The most files of a report folder that are looked at.
const REPORT_FILES: usize = 20_000;

/// Makes a folder that must not exist yet, with its parents.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::create_dir(dir)
}

/// Makes a folder that a container's user may write to, whoever that is.
pub(crate) fn make_open_dir(dir: &Path) -> io::Result<()> {
    make_dir(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o777))
}

/// Makes a folder that a container's user may read.
pub(crate) fn make_readable_dir(dir: &Path) -> io::Result<()> {
    make_dir(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
}

/// Removes a folder; what cannot be removed (files of a container's user) stays with the work folder.
pub(crate) fn remove_dir(dir: &Path) {
    let _ = fs::remove_dir_all(dir);
}

/// Whether there is something at the path.
pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Writes one of our own files for a container to read or execute.
pub(crate) fn write_script(dir: &Path, name: &str, content: &str) -> io::Result<()> {
    let path = dir.join(name);
    fs::write(&path, content)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
}

/// Reads a plain file of a report folder; none when there is no such plain file.
///
/// # Errors
/// The file is larger than [`REPORT_CAP`] or cannot be read.
pub(crate) fn read_report(dir: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    if name.is_empty() || name.contains('/') || name == ".." {
        return Ok(None);
    }
    read_plain(&dir.join(name), REPORT_CAP)
}

/// Returns the names of plain files in a report folder, sorted; names that are not UTF-8 are left out.
///
/// # Errors
/// The folder cannot be read, or there are so many files in it that one could be hidden among them.
pub(crate) fn list_report(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for (seen, entry) in fs::read_dir(dir)?.enumerate() {
        let entry = entry?;
        if seen >= REPORT_FILES {
            return Err(io::Error::other(format!("more than {REPORT_FILES} files")));
        }
        if entry.file_type()?.is_file()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Reads a regular file of a tree that no job has run in.
pub(crate) fn read_tree_file(tree: &Path, path: &RelPath) -> Option<Vec<u8>> {
    read_plain(&tree.join(path.as_str()), REPORT_CAP).ok().flatten()
}

/// Takes the secrets that a job was handed out of the plain files of its report folder: what it printed was searched for
/// them already, and a report says the same again.
///
/// # Errors
/// A file is larger than [`REPORT_CAP`], or cannot be read or replaced.
pub(crate) fn redact(dir: &Path, redactor: &Redactor) -> io::Result<()> {
    if redactor.is_empty() {
        return Ok(());
    }
    for name in list_report(dir)? {
        let Some(bytes) = read_report(dir, &name)? else { continue };
        let clean = redactor.bytes(&bytes);
        if clean != bytes {
            // Another file of the name: the old one may have another name elsewhere.
            fs::remove_file(dir.join(&name))?;
            OpenOptions::new().write(true).create_new(true).open(dir.join(&name))?.write_all(&clean)?;
        }
    }
    Ok(())
}

fn read_plain(path: &Path, cap: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(cap + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > cap {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {cap} bytes")));
    }
    Ok(Some(bytes))
}

/// Writes a file into a tree that no job has run in: git made its folders, so none of them is a link.
pub(crate) fn write_in_tree(tree: &Path, path: &RelPath, content: &[u8]) -> io::Result<()> {
    let path = tree.join(path.as_str());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
        fs::remove_file(&path)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(&path)?;
    file.write_all(content)
}

/// Removes a file of a tree that no job has run in.
pub(crate) fn remove_in_tree(tree: &Path, path: &RelPath) -> io::Result<()> {
    match fs::remove_file(tree.join(path.as_str())) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives every file of a tree the present time, so that no build tool takes what it built of another tree
/// to be fresh.
pub(crate) fn touch_all(dir: &Path) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
            rustix::fs::utimensat(CWD, entry.path(), &times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_folder_cannot_make_us_read_elsewhere_or_wait() {
        let dir = tempfile::tempdir().unwrap();
        let report = dir.path().join("report");
        make_open_dir(&report).unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink("../secret", report.join("link.json")).unwrap();
        fs::create_dir(report.join("folder.json")).unwrap();
        rustix::fs::mknodat(
            CWD,
            report.join("fifo.json"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        fs::write(report.join("plain.json"), "{}").unwrap();
        for name in ["link.json", "folder.json", "fifo.json", "missing", "../secret", ""] {
            assert_eq!(read_report(&report, name).unwrap(), None, "{name}");
        }
        assert_eq!(read_report(&report, "plain.json").unwrap().unwrap(), b"{}");
        assert_eq!(list_report(&report).unwrap(), ["plain.json"]);
        // Nor hide one file among many.
        for number in 0..REPORT_FILES {
            fs::write(report.join(number.to_string()), "").unwrap();
        }
        assert!(list_report(&report).unwrap_err().to_string().contains("more than 20000 files"));
    }

    #[test]
    fn writing_in_a_tree_replaces_a_link_and_does_not_follow_it() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(dir.path().join("outside"), "kept").unwrap();
        std::os::unix::fs::symlink("../outside", tree.join("file")).unwrap();
        write_in_tree(&tree, &RelPath::parse("file").unwrap(), b"new").unwrap();
        assert_eq!(fs::read(dir.path().join("outside")).unwrap(), b"kept");
        assert_eq!(fs::read(tree.join("file")).unwrap(), b"new");
    }
}
