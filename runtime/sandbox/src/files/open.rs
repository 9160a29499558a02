//! Opening beneath the workspace's directory handle.
//!
//! Two ways with the same answers: `openat2`, which refuses links and anything outside in the kernel, and
//! a walk name by name. `cap-std` was rejected for the second: it follows links as long as they stay
//! inside, and a link inside is how a denied file gets an allowed name.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use gloaming_api::RelPath;
use gloaming_api::tool::{ToolError, ToolErrorCode};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{Answer, shown};

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    Other,
}

/// Facts about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) executable: bool,
}

impl Info {
    pub(super) fn of(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if stat.st_nlink <= 1 => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        };
        let file = kind == Kind::File;
        Self {
            kind,
            size: if file { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 },
            executable: file && stat.st_mode & 0o100 != 0,
        }
    }
}

/// The workspace's directory and how paths beneath it are opened.
pub(super) struct Root {
    pub(super) handle: OwnedFd,
    pub(super) device: u64,
    pub(super) opener: Opener,
    /// Held while files are changed, so that a check and the change it permits are not torn apart by
    /// another call.
    pub(super) writing: Mutex<()>,
}

/// A way to open a path without following a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opener {
    /// One call; the kernel refuses.
    Openat2,
    /// Name by name.
    Stepwise,
}

/// How often `openat2` is asked again after EAGAIN, its answer when something beneath was renamed just then.
const RETRIES: u32 = 64;

impl Opener {
    /// Returns `openat2` where it works.
    pub(super) fn detect(handle: &OwnedFd) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat2(handle.as_fd(), ".", flags) {
            Ok(_) => Self::Openat2,
            Err(_) => Self::Stepwise,
        }
    }
}

fn openat2(handle: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_XDEV;
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(handle, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) if tries < RETRIES => tries += 1,
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

impl Root {
    /// Opens a path as it is, links not followed. `flags` name the access; nothing is created.
    pub(super) fn open(&self, path: &RelPath, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match self.opener {
            Opener::Openat2 => {
                let path = if path.is_root() { "." } else { path.as_str() };
                openat2(self.handle.as_fd(), path, flags)
            }
            Opener::Stepwise => self.open_stepwise(path, flags),
        }
    }

    fn open_stepwise(&self, path: &RelPath, flags: OFlags) -> Result<OwnedFd, Errno> {
        let Some(name) = path.name() else {
            return rustix::fs::openat(&self.handle, ".", flags, Mode::empty());
        };
        let parent = path.parent().unwrap_or_else(RelPath::root);
        let mut above: Option<OwnedFd> = None;
        for step in parent.names() {
            let from = above.as_ref().unwrap_or(&self.handle);
            above = Some(self.step(from.as_fd(), step)?);
        }
        let from = above.as_ref().unwrap_or(&self.handle);
        let opened = match rustix::fs::openat(from, name, flags, Mode::empty()) {
            Err(Errno::NOTDIR) => return Err(link_or(from.as_fd(), name, Errno::NOTDIR)),
            other => other?,
        };
        let stat = rustix::fs::fstat(&opened)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory && stat.st_dev != self.device {
            return Err(Errno::XDEV);
        }
        Ok(opened)
    }

    /// Opens a folder by its name in the one above it.
    pub(super) fn step(&self, from: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
        let folder = open_folder(from, name)?;
        if rustix::fs::fstat(&folder)?.st_dev == self.device { Ok(folder) } else { Err(Errno::XDEV) }
    }

    /// Opens a folder to work in (`O_PATH`).
    pub(super) fn open_folder(&self, path: &RelPath) -> Result<OwnedFd, Errno> {
        self.open(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Returns facts about a path, a link's own for a link.
    pub(super) fn stat(&self, path: &RelPath) -> Result<Stat, Errno> {
        rustix::fs::fstat(self.open(path, OFlags::PATH)?)
    }

    /// Opens a regular file with one link for reading; anything else is refused before a byte is read.
    pub(super) fn open_file(&self, path: &RelPath) -> Answer<(OwnedFd, Stat)> {
        // O_NONBLOCK: opening a pipe would otherwise wait for its other end, past every deadline.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match self.open(path, flags) {
            // A socket, or a device without a driver: there, but nothing that opens.
            Err(Errno::NXIO | Errno::NODEV) => return Err(not_regular(path)),
            other => other.map_err(|errno| self.failure(errno, path))?,
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| self.failure(errno, path))?;
        regular(path, &stat)?;
        Ok((file, stat))
    }

    /// Words a system error for a model.
    pub(super) fn failure(&self, errno: Errno, path: &RelPath) -> ToolError {
        let name = shown(path);
        match errno {
            Errno::NOENT => ToolError::new(ToolErrorCode::NotFound, format!("{name} does not exist"))
                .instead("List its folder to see what is there."),
            Errno::LOOP => self.link_failure(path),
            Errno::NOTDIR => self.not_a_folder(path),
            Errno::ISDIR => is_a_folder(path),
            Errno::XDEV => invalid(format!("{name} lies on another file system; it is not opened")),
            Errno::NAMETOOLONG => invalid(format!("{name} is too long for the file system")),
            Errno::ACCESS | Errno::PERM => {
                invalid(format!("{name} cannot be opened: the operating system refuses"))
            }
            Errno::ROFS => invalid(format!("{name} lies on a read-only file system")),
            Errno::NOSPC | Errno::DQUOT => ToolError::new(
                ToolErrorCode::Internal,
                format!("{name}: the disk is full; nothing was changed"),
            ),
            Errno::FBIG => ToolError::new(
                ToolErrorCode::TooLarge,
                format!("{name} would be too large; nothing was changed"),
            ),
            errno => {
                ToolError::new(ToolErrorCode::Internal, format!("{name}: {}", std::io::Error::from(errno)))
            }
        }
    }

    /// Names the first link on the way; the caller's own spelling named it, so nothing is told anew.
    fn link_failure(&self, path: &RelPath) -> ToolError {
        let (link, whole) =
            match self.first_that(path, |stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink) {
                Some(link) => (shown(&link), link == *path),
                None => (shown(path), true),
            };
        let error = invalid(format!("{link} is a symbolic link; not followed"));
        if whole {
            error.instead("Name the file itself.")
        } else {
            error.instead("Name the file by its own folder.")
        }
    }

    fn not_a_folder(&self, path: &RelPath) -> ToolError {
        let file = self
            .first_that(path, |stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory)
            .unwrap_or_else(|| path.clone());
        // `openat2` says this of a link that a folder was to be, too.
        if self.stat(&file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink) {
            return self.link_failure(path);
        }
        if file == *path {
            invalid(format!("{} is not a folder", shown(path)))
        } else {
            let message = format!("{} does not exist: {} is not a folder", shown(path), shown(&file));
            ToolError::new(ToolErrorCode::NotFound, message)
        }
    }

    fn first_that(&self, path: &RelPath, is: impl Fn(&Stat) -> bool) -> Option<RelPath> {
        let mut at = RelPath::root();
        for name in path.names() {
            at = at.join(name).ok()?;
            if self.stat(&at).is_ok_and(|stat| is(&stat)) {
                return Some(at);
            }
        }
        None
    }
}

/// Opens one name as a folder, no link followed.
pub(super) fn open_folder(from: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(from, name, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOTDIR => link_or(from, name, errno),
        errno => errno,
    })
}

/// `O_DIRECTORY` answers ENOTDIR for a link as for a file: tells which, as `openat2` does.
fn link_or(from: BorrowedFd<'_>, name: &str, errno: Errno) -> Errno {
    match rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => Errno::LOOP,
        _ => errno,
    }
}

/// Accepts a regular file with one link.
pub(super) fn regular(path: &RelPath, stat: &Stat) -> Answer<()> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_nlink > 1 => {
            let message = format!("{} has a second hard link; such files are not opened", shown(path));
            Err(invalid(message))
        }
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(is_a_folder(path)),
        FileType::Symlink => Err(invalid(format!("{} is a symbolic link; not followed", shown(path)))
            .instead("Name the file itself.")),
        _ => Err(not_regular(path)),
    }
}

fn is_a_folder(path: &RelPath) -> ToolError {
    invalid(format!("{} is a folder", shown(path))).instead("Use list to see what it holds.")
}

fn not_regular(path: &RelPath) -> ToolError {
    invalid(format!("{} is a pipe, socket or device; such files are not opened", shown(path)))
}

pub(super) fn invalid(message: String) -> ToolError {
    ToolError::new(ToolErrorCode::InvalidInput, message)
}
