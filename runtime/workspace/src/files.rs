//! Small files of a repository, and folders opened by handle.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::RepoError;

/// Folders nested deeper than this are refused: each costs an open handle while its files are written.
pub(crate) const DEEPEST: usize = 200;

/// Reads a regular file of at most `limit` bytes; none when there is no such file. Links are followed (a
/// user may link parts of `.git`), but never anything that could block.
pub(crate) fn read_small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, RepoError> {
    let blocked = OFlags::NONBLOCK.bits() as i32;
    let file = match File::options().read(true).custom_flags(blocked).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(source) => return Err(io_error("read", path, source)),
    };
    let metadata = file.metadata().map_err(|source| io_error("read", path, source))?;
    let malformed = |why: &str| RepoError::Malformed { path: path.to_owned(), why: why.to_owned() };
    if metadata.is_dir() {
        return Ok(None);
    }
    if !metadata.is_file() {
        return Err(malformed("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|source| io_error("read", path, source))?;
    if bytes.len() as u64 > limit {
        return Err(malformed("it is larger than git would make it"));
    }
    Ok(Some(bytes))
}

/// Writes a file of ours whole: beside its place, then renamed into it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RepoError> {
    let failed = |source| io_error("write", path, source);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    io::Write::write_all(&mut file, bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Turns a system error into ours, told apart where a person can act on it.
pub(crate) fn io_error(operation: &'static str, path: &Path, source: io::Error) -> RepoError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            RepoError::Permission { operation, path, source }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => RepoError::DiskFull { operation, path },
        _ => RepoError::Io { operation, path, source },
    }
}

/// Makes the folder `dir` where it does not exist; an error when it is not empty.
pub(crate) fn make_empty(dir: &Path) -> Result<(), RepoError> {
    match std::fs::create_dir_all(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(RepoError::NotAFolder(dir.to_owned()));
        }
        Err(source) => return Err(io_error("make the folder", dir, source)),
    }
    let mut entries = std::fs::read_dir(dir).map_err(|source| io_error("list", dir, source))?;
    if entries.next().is_some() { Err(RepoError::NotEmpty(dir.to_owned())) } else { Ok(()) }
}

/// Opens a folder beneath `parent` by one name, not following a link.
pub(crate) fn open_folder(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Opens the folder at `path`, which is ours or the user's and may be reached through links.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, RepoError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|error| io_error("open", path, error.into()))
}

/// Opens a regular file beneath `parent` by one name for reading: no link followed, nothing blocked on.
pub(crate) fn open_file(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty()).map(File::from)
}

/// Returns the path of bytes as git holds it.
pub(crate) fn bytes_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}
