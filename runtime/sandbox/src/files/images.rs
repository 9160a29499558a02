//! Before-images: contents that calls replaced or removed, kept so that the calls can be undone.
//!
//! Each content is one file named by its digest, in a folder only its owner can look into. They are written before
//! anything is changed and not synced: after a crash of the machine a call may not be undone, which the digest tells.

use std::collections::hash_map::RandomState;
use std::fs::DirBuilder;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use gloaming_api::tool::{FileState, ToolError};
use gloaming_api::{Digest, RelPath};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::commit::{changed, write_all};
use super::{View, shown};

/// Bytes that are kept of all calls on a workspace: 1 GiB.
const ALL: u64 = 1 << 30;
/// What the smallest file costs on the disk.
const BLOCK: u64 = 4 << 10;

/// The before-images of one workspace.
pub(crate) struct Images {
    folder: OwnedFd,
    kept: AtomicU64,
    most: u64,
}

/// Why a content is not kept.
pub(super) enum NotKept {
    /// The change goes on, and cannot be undone.
    Because(String),
    /// The change fails.
    Failed(ToolError),
}

impl From<ToolError> for NotKept {
    fn from(error: ToolError) -> Self {
        Self::Failed(error)
    }
}

/// Why a content cannot be had again.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Its file is gone, or there never was one.
    #[error("it is not kept any more")]
    Missing,
    /// Its file holds something else.
    #[error("what is kept of it has the digest {0}")]
    Damaged(Digest),
    /// Its file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] io::Error),
}

impl Images {
    /// Opens a folder of before-images, made where it is missing.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        Self::open_with_room(folder, ALL)
    }

    /// Like [`Images::open`], for `most` bytes in all.
    pub(super) fn open_with_room(folder: &Path, most: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(folder, flags, Mode::empty())?;
        let mut kept = 0;
        for entry in std::fs::read_dir(folder)? {
            kept += room(entry?.metadata()?.len());
        }
        Ok(Self { folder: handle, kept: AtomicU64::new(kept), most })
    }

    /// Keeps the content of an open file, which was found to be in `state`. A content is kept once.
    pub(super) fn keep(
        &self,
        view: &View,
        path: &RelPath,
        file: &OwnedFd,
        state: &FileState,
    ) -> Result<(), NotKept> {
        let name = state.digest.hex();
        if rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| u64::try_from(stat.st_size) == Ok(state.size))
        {
            return Ok(());
        }
        let room = room(state.size);
        let reserve = |kept: u64| kept.checked_add(room).filter(|kept| *kept <= self.most);
        if self.kept.try_update(Ordering::Relaxed, Ordering::Relaxed, reserve).is_err() {
            let most = self.most >> 20;
            return Err(NotKept::Because(format!("the contents kept for undoing have reached {most} MiB")));
        }
        let temporary = format!("new-{:016x}", RandomState::new().build_hasher().finish());
        let written = self.write(view, path, file, state, &temporary).and_then(|()| {
            rustix::fs::renameat(&self.folder, &temporary, &self.folder, name)
                .map_err(|errno| lost(path, errno))
        });
        if written.is_err() {
            self.kept.fetch_sub(room, Ordering::Relaxed);
            // It may not have been made at all.
            let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        }
        written
    }

    fn write(
        &self,
        view: &View,
        path: &RelPath,
        file: &OwnedFd,
        state: &FileState,
        temporary: &str,
    ) -> Result<(), NotKept> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let image = rustix::fs::openat(&self.folder, temporary, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| lost(path, errno))?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        let mut offset = 0;
        loop {
            match rustix::io::pread(file, buffer.as_mut_slice(), offset) {
                Ok(0) => break,
                Ok(count) => {
                    view.check_deadline()?;
                    hasher.update(&buffer[..count]);
                    write_all(&image, &buffer[..count]).map_err(|errno| lost(path, errno))?;
                    offset += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(view.root.failure(errno, path).into()),
            }
        }
        if Digest::from_hash(hasher.finalize().as_slice()) == state.digest {
            Ok(())
        } else {
            Err(changed(path).into())
        }
    }

    /// Returns a content that is kept, when it is still the one that was.
    pub(super) fn read(&self, state: &FileState) -> Result<Vec<u8>, ImageError> {
        let unreadable = |errno: Errno| ImageError::Unreadable(errno.into());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.folder, state.digest.hex(), flags, Mode::empty()) {
            Err(Errno::NOENT) => return Err(ImageError::Missing),
            other => other.map_err(unreadable)?,
        };
        let stat = rustix::fs::fstat(&file).map_err(unreadable)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(unreadable(Errno::INVAL));
        }
        let mut data = Vec::new();
        // One byte more than there should be shows that there is more.
        let limited = io::Read::take(std::fs::File::from(file), state.size + 1);
        io::Read::read_to_end(&mut { limited }, &mut data).map_err(ImageError::Unreadable)?;
        let digest = Digest::of(&data);
        if digest == state.digest { Ok(data) } else { Err(ImageError::Damaged(digest)) }
    }
}

/// What a content takes of the room there is.
fn room(size: u64) -> u64 {
    size.max(BLOCK)
}

fn lost(path: &RelPath, errno: Errno) -> NotKept {
    let cause = io::Error::from(errno);
    NotKept::Because(format!("the content of {} could not be kept: {cause}", shown(path)))
}
