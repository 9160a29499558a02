//! Folders as archives: how a job's files get into a pod, and how they come back.
//!
//! What comes back was made by a job, and is unpacked by us: each entry is made below the folder it belongs to by
//! the kernel's own resolution, which neither leaves the folder nor follows a link.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, Timespec, Timestamps};

/// Permissions are all that is kept of a mode: nothing of a job's is to be another user's program.
const PERMISSIONS: u32 = 0o777;

/// What is done with what cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// It is an error.
    Refused,
    /// It is our own, and is opened for us.
    Opened,
}

/// Adds a folder and what is in it, or a single file, under a name. Sockets, pipes and devices are left out; a file of
/// several names is added once for each.
pub(super) fn add<W: Write>(
    archive: &mut tar::Builder<W>,
    host: &Path,
    name: &Path,
    closed: Closed,
) -> io::Result<()> {
    let mut open = vec![(host.to_owned(), name.to_owned())];
    while let Some((path, name)) = open.pop() {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let meta = fs::symlink_metadata(&path).map_err(named)?;
        let mut header = tar::Header::new_gnu();
        header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
        header.set_mode(meta.mode() & PERMISSIONS);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        let kind = meta.file_type();
        if kind.is_symlink() {
            header.set_entry_type(tar::EntryType::Symlink);
            archive.append_link(&mut header, &name, fs::read_link(&path).map_err(named)?)?;
        } else if kind.is_dir() {
            if closed == Closed::Opened && meta.mode() & 0o700 != 0o700 {
                fs::set_permissions(&path, fs::Permissions::from_mode(meta.mode() | 0o700)).map_err(named)?;
            }
            header.set_entry_type(tar::EntryType::Directory);
            archive.append_data(&mut header, &name, io::empty())?;
            for entry in fs::read_dir(&path).map_err(named)? {
                let entry = entry.map_err(named)?;
                open.push((entry.path(), name.join(entry.file_name())));
            }
        } else if kind.is_file() {
            if closed == Closed::Opened && meta.mode() & 0o400 == 0 {
                fs::set_permissions(&path, fs::Permissions::from_mode(meta.mode() | 0o400)).map_err(named)?;
            }
            let file = fs::File::open(&path).map_err(named)?;
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(meta.len());
            // As long as was said, whatever happens to the file meanwhile.
            let content = file.take(meta.len()).chain(io::repeat(0)).take(meta.len());
            archive.append_data(&mut header, &name, content)?;
        }
    }
    Ok(())
}

/// Adds a file of our own.
pub(super) fn add_content<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    content: &[u8],
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mtime(0);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, name, content)
}

/// Adds an empty folder or a named pipe.
pub(super) fn add_empty<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    kind: tar::EntryType,
    mode: u32,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mtime(0);
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    archive.append_data(&mut header, name, io::empty())
}

/// A folder that comes back: what it is called in the archive, and where it belongs.
#[derive(Debug, Clone)]
pub(super) struct Returned {
    pub(super) name: String,
    pub(super) host: PathBuf,
}

/// Puts what came back into the folders it belongs to, in place of what was in them: only when all of it could be
/// unpacked, so that a broken archive changes nothing.
///
/// # Errors
/// An archive that is none, or has something in it that belongs nowhere.
pub(super) fn unpack(archive: impl Read, returned: &[Returned]) -> io::Result<()> {
    let stages =
        returned.iter().map(|returned| Stage::make(&returned.host)).collect::<io::Result<Vec<_>>>()?;
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path_bytes().into_owned();
        let path = Path::new(OsStr::from_bytes(&path));
        let (stage, inside) = returned
            .iter()
            .zip(&stages)
            .find_map(|(returned, stage)| Some((stage, path.strip_prefix(&returned.name).ok()?)))
            .ok_or_else(|| bad("belongs to no folder", path))?;
        stage.unpack(&mut entry, inside)?;
    }
    stages.into_iter().try_for_each(Stage::take_over)
}

fn bad(what: &str, path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("an entry of the archive {what}: {path:?}"))
}

/// A folder below the one that is filled, so that it is on the same disk.
struct Stage {
    host: PathBuf,
    folder: tempfile::TempDir,
    open: OwnedFd,
}

impl Stage {
    fn make(host: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(".gloaming-returned-").tempdir_in(host)?;
        let open = rustix::fs::open(
            folder.path(),
            OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self { host: host.to_owned(), folder, open })
    }

    /// Opens what is below the folder, by a path that leaves it nowhere and follows no link.
    fn below(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.open, path, flags | OFlags::CLOEXEC, mode, resolve)?)
    }

    fn unpack<R: Read>(&self, entry: &mut tar::Entry<'_, R>, path: &Path) -> io::Result<()> {
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(bad("has a path that leads elsewhere", path));
        }
        let mode = Mode::from_raw_mode(entry.header().mode()? & PERMISSIONS);
        let Some(name) = path.file_name() else {
            // The folder itself, whose owner and mode are not the job's to change.
            return Ok(());
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        match entry.header().entry_type() {
            tar::EntryType::Directory => {
                let parent = self.below(folder, OFlags::DIRECTORY, Mode::empty())?;
                // Whatever the job has done to it, we are to read it and to remove it.
                rustix::fs::mkdirat(&parent, name, mode | Mode::RWXU)?;
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name_bytes().ok_or_else(|| bad("is a link to nothing", path))?;
                let parent = self.below(folder, OFlags::DIRECTORY, Mode::empty())?;
                rustix::fs::symlinkat(OsStr::from_bytes(&target), &parent, name)?;
            }
            tar::EntryType::Regular => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW;
                let mut file =
                    fs::File::from(self.below(path, flags, Mode::from_raw_mode(PERMISSIONS) & mode)?);
                io::copy(entry, &mut file)?;
                rustix::fs::fchmod(&file, mode)?;
                touch(file.as_fd(), entry.header().mtime()?)?;
            }
            other => return Err(bad(&format!("is of a kind that has no place there ({other:?})"), path)),
        }
        Ok(())
    }

    /// Removes what was in the folder and puts in its place what was unpacked.
    fn take_over(self) -> io::Result<()> {
        let own = self.folder.path().file_name().map(OsStr::to_owned);
        for entry in fs::read_dir(&self.host)? {
            let entry = entry?;
            if Some(entry.file_name()) == own {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        for entry in fs::read_dir(self.folder.path())? {
            let entry = entry?;
            fs::rename(entry.path(), self.host.join(entry.file_name()))?;
        }
        self.folder.close()
    }
}

fn touch(file: impl AsFd, seconds: u64) -> io::Result<()> {
    let time = Timespec { tv_sec: i64::try_from(seconds).unwrap_or(0), tv_nsec: 0 };
    rustix::fs::futimens(file, &Timestamps { last_access: time, last_modification: time })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn packed(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        fill(&mut archive);
        archive.into_inner().unwrap()
    }

    fn unpacked(archive: &[u8], into: &Path) -> io::Result<()> {
        unpack(archive, &[Returned { name: "workspace".to_owned(), host: into.to_owned() }])
    }

    #[test]
    fn a_folder_comes_back_as_it_was_left_and_what_was_deleted_is_gone() {
        let (pod, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(pod.path().join("deep/er")).unwrap();
        fs::write(pod.path().join("deep/er/file"), "new").unwrap();
        fs::set_permissions(pod.path().join("deep/er/file"), fs::Permissions::from_mode(0o6755)).unwrap();
        let long = "n".repeat(200);
        fs::write(pod.path().join("deep").join(&long), "").unwrap();
        symlink("/etc/passwd", pod.path().join("link")).unwrap();
        let odd = OsStr::from_bytes(b"\xff\xfe");
        fs::write(pod.path().join(odd), "odd").unwrap();
        fs::set_permissions(pod.path().join("deep"), fs::Permissions::from_mode(0o000)).unwrap();
        let archive =
            packed(|archive| add(archive, pod.path(), Path::new("workspace"), Closed::Opened).unwrap());
        fs::write(host.path().join("old"), "old").unwrap();
        fs::create_dir(host.path().join("gone")).unwrap();
        unpacked(&archive, host.path()).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(host.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [OsStr::new("deep"), OsStr::new("link"), odd]);
        assert_eq!(fs::read_to_string(host.path().join("deep/er/file")).unwrap(), "new");
        assert_eq!(fs::metadata(host.path().join("deep/er/file")).unwrap().mode() & 0o7777, 0o755);
        assert!(host.path().join("deep").join(&long).exists());
        assert_eq!(fs::read_link(host.path().join("link")).unwrap(), Path::new("/etc/passwd"));
    }

    /// Entries that a job that has taken over its first process could send.
    #[test]
    fn an_archive_that_leads_elsewhere_changes_nothing() {
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().display().to_string();
        let raw = |archive: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, link: &str| {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_entry_type(kind);
            header.set_mode(0o644);
            header.set_size(0);
            header.set_cksum();
            archive.append(&header, io::empty()).unwrap();
        };
        let file = tar::EntryType::Regular;
        for (name, kind, link) in [
            ("workspace/../escaped", file, ""),
            ("/workspace/x", file, ""),
            ("other/x", file, ""),
            ("workspace/link/x", file, ""),
            ("workspace/hard", tar::EntryType::Link, "workspace/link"),
            ("workspace/device", tar::EntryType::Block, ""),
            ("workspace/pipe", tar::EntryType::Fifo, ""),
            ("workspace/link", file, ""),
        ] {
            let host = tempfile::tempdir().unwrap();
            fs::write(host.path().join("kept"), "kept").unwrap();
            let archive = packed(|archive| {
                raw(archive, "workspace/link", tar::EntryType::Symlink, &target);
                raw(archive, name, kind, link);
            });
            unpacked(&archive, host.path()).unwrap_err();
            let left: Vec<_> =
                fs::read_dir(host.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["kept"], "{name}");
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{name}");
        }
    }
}
