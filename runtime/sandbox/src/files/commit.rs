//! Making several changes whole or not at all.
//!
//! New contents are staged in temporary files beside their targets; then every change is one rename. An
//! existing file is exchanged with the staged one, so the old file itself is the before-image: what came
//! out is compared with what was checked, undoing is the same exchange again, and no moment shows a
//! missing or half-written file. Nothing is synced to the disk: a workspace does not outlive its attempt.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, PoisonError};

use gloaming_api::tool::{FileChange, FileState, ToolError, ToolErrorCode};
use gloaming_api::{Digest, RelPath};
use gloaming_policies::Access;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::change::{named, not_the_root};
use super::open::{Root, invalid, regular};
use super::undo::{Changes, recorded};
use super::{Answer, CHUNK, Change, Expected, Session, View, shown};

/// A name in a folder that is held open.
#[derive(Clone)]
struct Place {
    folder: Arc<OwnedFd>,
    name: String,
}

/// What was found at a path when it was checked. A change of the content in place shows in size or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, u64),
}

impl Identity {
    #[expect(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as i64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        }
    }
}

/// A file that was there when the change was checked.
struct Found {
    identity: Identity,
    mode: Mode,
    /// Its content's digest, where somebody asked for it.
    version: Option<Digest>,
    /// The file that gives way to it where it is renamed.
    replaced: Option<Box<Found>>,
}

impl Found {
    fn of(stat: &Stat, version: Option<Digest>) -> Self {
        let (identity, mode) = (Identity::of(stat), Mode::from_raw_mode(stat.st_mode & 0o777));
        Self { identity, mode, version, replaced: None }
    }

    fn state(&self) -> Option<FileState> {
        let size = u64::try_from(self.identity.size).unwrap_or(0);
        self.version.clone().map(|digest| FileState { digest, size, mode: recorded(self.mode) })
    }
}

/// A new content, written beside its target.
struct Staged {
    place: Place,
    mode: Mode,
}

/// How to take one step back.
enum Undo {
    Exchange(Place, Place),
    Rename {
        now: Place,
        before: Place,
    },
    RemoveFile(Place),
    /// By its path: a handle for each of many folders would be too many.
    RemoveFolder(RelPath),
    Mode(OwnedFd, Mode),
}

/// How many folders one commit may make. None does for good reason, and each is work that no deadline interrupts.
const FOLDERS: usize = 500;

/// A commit under way. Dropped by a panic, it takes back what it did.
struct Commit<'a> {
    view: &'a View,
    root: &'a Root,
    undo: Vec<Undo>,
    /// How many folders it made.
    folders: usize,
    /// Before-images and staged files that are removed once everything is done.
    leftovers: Vec<Place>,
}

impl Session {
    /// Makes every change or none.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) -> Answer<()> {
        self.check_changes(&changes)?;
        let found = self.sources.found(&self.view, &changes);
        self.carry_out(&changes, &[])?;
        self.sources.made(found, changes);
        Ok(())
    }

    /// Makes changes that were decided on, and before them `folders` with their modes, which are not there.
    pub(super) fn carry_out(&mut self, changes: &[Change], folders: &[(&RelPath, u32)]) -> Answer<()> {
        let root = self.root.clone();
        // A poisoned lock guards no data: whoever panicked has taken back what it did.
        let _writing = root.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let view = self.view.clone();
        let mut commit =
            Commit { view: &view, root: &root, undo: Vec::new(), folders: 0, leftovers: Vec::new() };
        let made = commit.make_folders(folders).and_then(|()| self.make(&mut commit, changes));
        let files = match made {
            Ok(files) => files,
            Err(error) => return Err(self.taken_back(&mut commit, error)),
        };
        for path in commit.folders_made() {
            let mode = root.stat(&path).map_or(0o755, |stat| stat.st_mode & 0o777);
            self.changes.folder(path, None, Some(mode));
        }
        files.into_iter().for_each(|change| self.changes.file(change));
        commit.finish();
        for change in changes {
            let bytes = if let Change::Put { data, .. } = change { data.len() as u64 } else { 0 };
            change.paths().for_each(|path| self.access.write(path, bytes));
        }
        Ok(())
    }

    /// Takes back what was done of a commit that failed.
    fn taken_back(&mut self, commit: &mut Commit<'_>, mut error: ToolError) -> ToolError {
        if let Err(errno) = commit.take_back() {
            tracing::error!(%errno, "cannot take back a change of the workspace");
            self.changes.halfway();
            let cause = std::io::Error::from(errno);
            error.code = ToolErrorCode::Internal;
            error.message =
                format!("{}; and taking it back failed ({cause}): look before going on", error.message);
        }
        error
    }

    /// Answers with what was there before and is there now, where before-images are kept.
    fn make(&mut self, commit: &mut Commit<'_>, changes: &[Change]) -> Answer<Vec<FileChange>> {
        let mut found = Vec::with_capacity(changes.len());
        for change in changes {
            self.check_deadline()?;
            found.push(
                check(&self.view, change, &mut self.changes)
                    .map_err(|error| named(error, change, changes))?,
            );
        }
        let mut staged = Vec::with_capacity(changes.len());
        for (change, found) in changes.iter().zip(&found) {
            self.check_deadline()?;
            staged.push(commit.stage(change, found.as_ref()).map_err(|error| named(error, change, changes))?);
        }
        let mut files = Vec::new();
        for ((change, found), staged) in changes.iter().zip(found).zip(staged) {
            self.check_deadline()?;
            if self.images.is_some() {
                files.extend(effects(self, change, found.as_ref(), staged.as_ref())?);
            }
            commit
                .apply(change, found, staged.map(|staged| staged.place))
                .map_err(|error| named(error, change, changes))?;
        }
        Ok(files)
    }

    /// Makes a folder; WASI's only. An empty folder is nothing that git knows of.
    pub(crate) fn make_folder(&mut self, path: &RelPath) -> Answer<()> {
        not_the_root(path)?;
        self.decide(Access::Write, path)?;
        let (place, root) = (self.place(path)?, self.root.clone());
        match rustix::fs::mkdirat(&place.folder, place.name.as_str(), Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) => Err(exists(path)),
            other => other.map_err(|errno| root.failure(errno, path)),
        }?;
        let mode = root.stat(path).map_or(0o755, |stat| stat.st_mode & 0o777);
        self.changes.folder(path.clone(), None, Some(mode));
        Ok(())
    }

    /// Removes an empty folder; WASI's only.
    pub(crate) fn remove_folder(&mut self, path: &RelPath) -> Answer<()> {
        not_the_root(path)?;
        self.decide(Access::Write, path)?;
        let (place, root) = (self.place(path)?, self.root.clone());
        let mode = root.stat(path).map_or(0o755, |stat| stat.st_mode & 0o777);
        match rustix::fs::unlinkat(&place.folder, place.name.as_str(), AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err(conflict(path, "is not empty")),
            other => other.map_err(|errno| root.failure(errno, path)),
        }?;
        self.changes.folder(path.clone(), Some(mode), None);
        Ok(())
    }

    fn place(&self, path: &RelPath) -> Answer<Place> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Err(invalid("the workspace itself cannot be made or removed".to_owned()));
        };
        let folder = self.root.open_folder(&parent).map_err(|errno| self.root.failure(errno, path))?;
        Ok(Place { folder: Arc::new(folder), name: name.to_owned() })
    }
}

/// Compares what is at a change's path with what it expects, and keeps what will be gone.
fn check(view: &View, change: &Change, changes: &mut Changes) -> Answer<Option<Found>> {
    let path = change.paths().next().expect("a change has a path");
    let must_exist = !matches!(change, Change::Put { .. });
    let found = match view.root.open_file(path) {
        Ok((file, stat)) => {
            let version = match change.expected() {
                Expected::Version(_) => Some(digest(view, &file, path)?),
                Expected::Any if view.images.is_some() => Some(digest(view, &file, path)?),
                Expected::Absent | Expected::Any => None,
            };
            Some((file, Found::of(&stat, version)))
        }
        Err(error) if error.code == ToolErrorCode::NotFound && !must_exist => None,
        Err(error) => return Err(error),
    };
    match (change.expected(), &found) {
        (Expected::Absent, Some(_)) => return Err(exists(path)),
        (Expected::Version(_), None) => return Err(conflict(path, "is no longer there")),
        (Expected::Version(expected), Some((_, found)))
            if found.version.as_ref().is_none_or(|version| version.as_str() != expected) =>
        {
            return Err(changed(path));
        }
        _ => {}
    }
    let Some((file, mut found)) = found else { return Ok(None) };
    match change {
        // Its content stays, under the new name.
        Change::Rename { to, replace: true, .. } => {
            found.replaced = replaced(view, to, changes)?.map(Box::new)
        }
        Change::Rename { .. } => {}
        Change::Put { .. } | Change::Remove { .. } => {
            if let Some(state) = found.state() {
                changes.keep(view, path, &file, &state)?;
            }
        }
    }
    Ok(Some(found))
}

/// Finds the file that gives way to one that is renamed, and keeps what it holds.
fn replaced(view: &View, to: &RelPath, changes: &mut Changes) -> Answer<Option<Found>> {
    let (file, stat) = match view.root.open_file(to) {
        Ok(found) => found,
        Err(error) if error.code == ToolErrorCode::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let version = if view.images.is_some() { Some(digest(view, &file, to)?) } else { None };
    let found = Found::of(&stat, version);
    if let Some(state) = found.state() {
        changes.keep(view, to, &file, &state)?;
    }
    Ok(Some(found))
}

/// Says what a change makes of its paths.
fn effects(
    view: &View,
    change: &Change,
    found: Option<&Found>,
    staged: Option<&Staged>,
) -> Answer<Vec<FileChange>> {
    let before = found.and_then(Found::state);
    Ok(match change {
        Change::Put { path, data, .. } => {
            let mode = recorded(staged.map_or(Mode::empty(), |staged| staged.mode));
            let after = FileState { digest: view.version(data)?, size: data.len() as u64, mode };
            vec![FileChange { path: path.clone(), before, after: Some(after) }]
        }
        Change::Remove { path, .. } => vec![FileChange { path: path.clone(), before, after: None }],
        Change::Rename { from, to, .. } => {
            let replaced = found.and_then(|found| found.replaced.as_ref()?.state());
            let mut after = before.clone();
            if let (Some(after), Some(replaced)) = (&mut after, &replaced) {
                after.mode = replaced.mode;
            }
            vec![
                FileChange { path: from.clone(), before, after: None },
                FileChange { path: to.clone(), before: replaced, after },
            ]
        }
    })
}

pub(super) fn digest(view: &View, file: &OwnedFd, path: &RelPath) -> Answer<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut offset = 0;
    loop {
        match rustix::io::pread(file, buffer.as_mut_slice(), offset) {
            Ok(0) => return Ok(Digest::from_hash(hasher.finalize().as_slice())),
            Ok(count) => {
                view.check_deadline()?;
                hasher.update(&buffer[..count]);
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(view.root.failure(errno, path)),
        }
    }
}

impl Commit<'_> {
    /// Makes the folders a change needs and writes its content beside the target.
    fn stage(&mut self, change: &Change, found: Option<&Found>) -> Answer<Option<Staged>> {
        let root = self.root;
        match change {
            Change::Put { path, data, mode, folders, .. } => {
                // A file that was there had its folder: where that is gone by now somebody took it away, and it is not made anew.
                let made = *folders && found.is_none();
                let place = if made { self.place_made(path)? } else { self.place(path)? };
                let temporary = beside(&place);
                let kept = found.map(|found| found.mode);
                let mode = mode.map(Mode::from_raw_mode).or(kept);
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let failure = |errno| root.failure(errno, path);
                let file = rustix::fs::openat(
                    &temporary.folder,
                    temporary.name.as_str(),
                    flags,
                    Mode::from_raw_mode(0o644),
                )
                .map_err(failure)?;
                self.undo.push(Undo::RemoveFile(temporary.clone()));
                for part in data.chunks(CHUNK) {
                    self.view.check_deadline()?;
                    write_all(&file, part).map_err(failure)?;
                }
                if let Some(mode) = mode {
                    rustix::fs::fchmod(&file, mode).map_err(failure)?;
                }
                let made = rustix::fs::fstat(&file).map_err(failure)?;
                Ok(Some(Staged { place: temporary, mode: Mode::from_raw_mode(made.st_mode & 0o777) }))
            }
            Change::Rename { to, .. } => {
                self.place_made(to)?;
                Ok(None)
            }
            Change::Remove { .. } => Ok(None),
        }
    }

    fn apply(&mut self, change: &Change, found: Option<Found>, staged: Option<Place>) -> Answer<()> {
        match (change, staged, found) {
            (Change::Put { path, .. }, Some(staged), Some(found)) => {
                let target = self.place(path)?;
                self.exchange(&staged, &target, path)?;
                self.same(&staged, &found, path)?;
                self.leftovers.push(staged);
                Ok(())
            }
            (Change::Put { path, .. }, Some(staged), None) => {
                let target = self.place(path)?;
                self.rename(&staged, &target, path)
            }
            (Change::Remove { path, .. }, _, Some(found)) => {
                let target = self.place(path)?;
                let aside = beside(&target);
                self.rename(&target, &aside, path)?;
                self.same(&aside, &found, path)?;
                self.leftovers.push(aside);
                Ok(())
            }
            (Change::Rename { from, to, replace, .. }, _, Some(found)) => {
                let (source, target) = (self.place(from)?, self.place(to)?);
                if *replace && let Some(replaced) = &found.replaced {
                    return self.replace(&source, &target, &found, replaced, to);
                }
                self.rename(&source, &target, to)?;
                self.same(&target, &found, from)
            }
            (change, _, _) => {
                let path = change.paths().next().expect("a change has a path");
                Err(conflict(path, "is no longer there"))
            }
        }
    }

    /// Puts a file in another's place.
    fn replace(
        &mut self,
        source: &Place,
        target: &Place,
        found: &Found,
        replaced: &Found,
        to: &RelPath,
    ) -> Answer<()> {
        self.exchange(source, target, to)?;
        self.same(target, found, to)?;
        self.same(source, replaced, to)?;
        let aside = beside(source);
        self.rename(source, &aside, to)?;
        self.leftovers.push(aside);
        // The content is the new file's, who may run it stays as it was.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.root.open(to, flags).map_err(|errno| self.root.failure(errno, to))?;
        rustix::fs::fchmod(&file, replaced.mode).map_err(|errno| self.root.failure(errno, to))?;
        self.undo.push(Undo::Mode(file, found.mode));
        Ok(())
    }

    /// Makes folders with their modes, those above first.
    fn make_folders(&mut self, folders: &[(&RelPath, u32)]) -> Answer<()> {
        let root = self.root;
        for (path, mode) in folders {
            let failure = |errno| root.failure(errno, path);
            let place = self.place_made(path)?;
            rustix::fs::mkdirat(&place.folder, place.name.as_str(), Mode::RWXU).map_err(failure)?;
            self.undo.push(Undo::RemoveFolder((*path).clone()));
            let folder = root.open(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failure)?;
            rustix::fs::fchmod(&folder, Mode::from_raw_mode(*mode)).map_err(failure)?;
        }
        Ok(())
    }

    fn folders_made(&self) -> Vec<RelPath> {
        let made = self.undo.iter().filter_map(|step| match step {
            Undo::RemoveFolder(path) => Some(path.clone()),
            _ => None,
        });
        made.collect()
    }

    fn place(&self, path: &RelPath) -> Answer<Place> {
        let (parent, name) = split(path)?;
        let folder = self.root.open_folder(&parent).map_err(|errno| self.root.failure(errno, path))?;
        Ok(Place { folder: Arc::new(folder), name })
    }

    /// Returns a path's place and makes the folders that are missing above it.
    fn place_made(&mut self, path: &RelPath) -> Answer<Place> {
        let (parent, name) = split(path)?;
        let root = self.root;
        let folder = match root.open_folder(&parent) {
            Err(Errno::NOENT) => self.folder_made(&parent, path)?,
            other => other.map_err(|errno| root.failure(errno, path))?,
        };
        Ok(Place { folder: Arc::new(folder), name })
    }

    /// Makes a folder and those above it. From the root down, in a loop: a path can name two thousand, and the
    /// guest decides how much of the stack is left.
    fn folder_made(&mut self, folder: &RelPath, path: &RelPath) -> Answer<OwnedFd> {
        let root = self.root;
        let failure = |errno| root.failure(errno, path);
        let mut at = RelPath::root();
        let mut handle = root.open_folder(&at).map_err(failure)?;
        for name in folder.names() {
            at = at.join(name).map_err(|error| invalid(error.to_string()))?;
            handle = match root.step(handle.as_fd(), name) {
                Err(Errno::NOENT) => {
                    if self.folders == FOLDERS {
                        let message =
                            format!("{}: more than {FOLDERS} folders would be made at once", shown(path));
                        return Err(ToolError::new(ToolErrorCode::TooLarge, message));
                    }
                    match rustix::fs::mkdirat(&handle, name, Mode::from_raw_mode(0o755)) {
                        Ok(()) => {
                            self.folders += 1;
                            self.undo.push(Undo::RemoveFolder(at.clone()));
                        }
                        Err(Errno::EXIST) => {}
                        Err(errno) => return Err(failure(errno)),
                    }
                    root.step(handle.as_fd(), name).map_err(failure)?
                }
                other => other.map_err(failure)?,
            };
        }
        Ok(handle)
    }

    /// Exchanges two names, or where the file system cannot, puts `a` in `b`'s place by two renames and
    /// then `b` in `a`'s.
    fn exchange(&mut self, a: &Place, b: &Place, path: &RelPath) -> Answer<()> {
        match exchange(a, b) {
            Ok(()) => {
                self.undo.push(Undo::Exchange(a.clone(), b.clone()));
                Ok(())
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let aside = beside(b);
                self.rename(b, &aside, path)?;
                self.rename(a, b, path)?;
                self.rename(&aside, a, path)
            }
            Err(Errno::NOENT) => Err(changed(path)),
            Err(errno) => Err(self.root.failure(errno, path)),
        }
    }

    /// Renames to a name that is free.
    fn rename(&mut self, now: &Place, new: &Place, path: &RelPath) -> Answer<()> {
        match rename_to_free(now, new) {
            Ok(()) => {
                self.undo.push(Undo::Rename { now: new.clone(), before: now.clone() });
                Ok(())
            }
            Err(Errno::EXIST) => Err(exists(path)),
            Err(Errno::NOENT) => Err(changed(path)),
            Err(errno) => Err(self.root.failure(errno, path)),
        }
    }

    /// Compares a file that was moved with the one that was checked.
    fn same(&self, place: &Place, found: &Found, path: &RelPath) -> Answer<()> {
        let stat = rustix::fs::statat(&place.folder, place.name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.root.failure(errno, path))?;
        regular(path, &stat)?;
        if Identity::of(&stat) == found.identity { Ok(()) } else { Err(changed(path)) }
    }

    fn finish(mut self) {
        self.undo.clear();
        for leftover in &self.leftovers {
            if let Err(errno) =
                rustix::fs::unlinkat(&leftover.folder, leftover.name.as_str(), AtFlags::empty())
            {
                tracing::warn!(name = leftover.name, %errno, "cannot remove a temporary file");
            }
        }
    }

    /// Takes back every step, the last first. Goes on where one fails, and answers with the first failure.
    fn take_back(&mut self) -> Result<(), Errno> {
        let mut result = Ok(());
        while let Some(step) = self.undo.pop() {
            let back = match &step {
                Undo::Exchange(a, b) => exchange(a, b),
                Undo::Rename { now, before } => rename_to_free(now, before),
                Undo::RemoveFile(place) => {
                    rustix::fs::unlinkat(&place.folder, place.name.as_str(), AtFlags::empty())
                }
                Undo::Mode(file, mode) => rustix::fs::fchmod(file, *mode),
                Undo::RemoveFolder(path) => match (path.parent(), path.name()) {
                    (Some(parent), Some(name)) => self
                        .root
                        .open_folder(&parent)
                        .and_then(|folder| rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR)),
                    _ => Ok(()),
                },
            };
            result = result.and(back);
        }
        result
    }
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        if let Err(errno) = self.take_back() {
            tracing::error!(%errno, "cannot take back a change of the workspace");
        }
    }
}

fn exchange(a: &Place, b: &Place) -> Result<(), Errno> {
    let flags = RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(&a.folder, a.name.as_str(), &b.folder, b.name.as_str(), flags)
}

fn rename_to_free(now: &Place, new: &Place) -> Result<(), Errno> {
    let flags = RenameFlags::NOREPLACE;
    match rustix::fs::renameat_with(&now.folder, now.name.as_str(), &new.folder, new.name.as_str(), flags) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            // A file system without it: the lock keeps other calls away, and nothing else writes here.
            match rustix::fs::statat(&new.folder, new.name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => {
                    rustix::fs::renameat(&now.folder, now.name.as_str(), &new.folder, new.name.as_str())
                }
                Ok(_) => Err(Errno::EXIST),
                Err(errno) => Err(errno),
            }
        }
        other => other,
    }
}

pub(super) fn write_all(file: &OwnedFd, mut data: &[u8]) -> Result<(), Errno> {
    while !data.is_empty() {
        match rustix::io::write(file.as_fd(), data) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(count) => data = &data[count..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Returns a free name beside another, that nobody can have put there beforehand.
fn beside(place: &Place) -> Place {
    let random = RandomState::new().build_hasher().finish();
    Place { folder: place.folder.clone(), name: format!(".gloaming-{random:016x}.tmp") }
}

fn split(path: &RelPath) -> Answer<(RelPath, String)> {
    match (path.parent(), path.name()) {
        (Some(parent), Some(name)) => Ok((parent, name.to_owned())),
        _ => Err(invalid("the workspace itself is not a file".to_owned())),
    }
}

fn exists(path: &RelPath) -> ToolError {
    conflict(path, "exists already")
}

pub(super) fn changed(path: &RelPath) -> ToolError {
    conflict(path, "has changed since it was read").instead("Read it again and repeat the change.")
}

fn conflict(path: &RelPath, what: &str) -> ToolError {
    ToolError::new(ToolErrorCode::Conflict, format!("{} {what}", shown(path)))
}
