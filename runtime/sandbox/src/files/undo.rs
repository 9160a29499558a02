//! What a call changed, and putting it back.
//!
//! A call's changes are noted as the states each path had before and after it, however often it changed the path in
//! between. Undoing compares what is there with these states: what no call left or found is somebody else's work, and
//! is never written over.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use gloaming_api::RelPath;
use gloaming_api::tool::{FileChange, FileState, FolderChange, ToolError, ToolErrorCode, UndoRecord};
use gloaming_policies::{Access, ToolPermit};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::change::BYTES;
use super::images::{ImageError, NotKept};
use super::open::{Info, Kind};
use super::read::{names, spelled};
use super::{Answer, Change, Expected, Files, Session, View, shown};

/// How many paths the record of one call names.
const PATHS: usize = 10_000;
/// How long undoing may take.
const UNDOING: Duration = Duration::from_secs(600);

/// What one call has changed so far.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    files: BTreeMap<RelPath, (Option<FileState>, Option<FileState>)>,
    folders: BTreeMap<RelPath, (Option<u32>, Option<u32>)>,
    kept: u64,
    impossible: Option<String>,
    /// Whether the workspace may hold what no state tells of.
    broken: bool,
}

impl Changes {
    /// Keeps what a file holds before it is replaced or removed. That it cannot be kept is no reason to fail the call:
    /// its record says that it cannot be undone.
    pub(super) fn keep(
        &mut self,
        view: &View,
        path: &RelPath,
        file: &OwnedFd,
        state: &FileState,
    ) -> Answer<()> {
        let Some(images) = &view.images else { return Ok(()) };
        if self.impossible.is_some() {
            return Ok(());
        }
        self.kept += state.size;
        // Undoing writes as much, and may write no more than a call.
        if self.kept > BYTES {
            let most = BYTES >> 20;
            self.give_up(format!(
                "it replaced or removed more than the {most} MiB that are kept of one call"
            ));
            return Ok(());
        }
        match images.keep(view, path, file, state) {
            Ok(()) => Ok(()),
            Err(NotKept::Because(why)) => {
                self.give_up(why);
                Ok(())
            }
            Err(NotKept::Failed(error)) => Err(error),
        }
    }

    /// Notes what became of a file.
    pub(super) fn file(&mut self, change: FileChange) {
        let full = self.files.len() + self.folders.len() >= PATHS;
        match self.files.entry(change.path) {
            Entry::Occupied(mut known) => known.get_mut().1 = change.after,
            Entry::Vacant(_) if full => self.give_up(format!("it changed more than {PATHS} paths")),
            Entry::Vacant(new) => {
                new.insert((change.before, change.after));
            }
        }
    }

    /// Notes what became of a folder.
    pub(super) fn folder(&mut self, path: RelPath, before: Option<u32>, after: Option<u32>) {
        let full = self.files.len() + self.folders.len() >= PATHS;
        match self.folders.entry(path) {
            Entry::Occupied(mut known) => known.get_mut().1 = after,
            Entry::Vacant(_) if full => self.give_up(format!("it changed more than {PATHS} paths")),
            Entry::Vacant(new) => {
                new.insert((before, after));
            }
        }
    }

    /// Notes that the call cannot be undone. The first reason is told.
    fn give_up(&mut self, why: String) {
        self.impossible.get_or_insert(why);
    }

    /// Notes that a change failed halfway and stayed so.
    pub(super) fn halfway(&mut self) {
        self.broken = true;
        self.impossible = Some("a change of it failed halfway and could not be taken back".to_owned());
    }

    /// Returns what undoing takes; none when all is as before.
    fn record(self) -> Option<UndoRecord> {
        let files = self.files.into_iter().filter(|(_, (before, after))| before != after);
        let files: Vec<FileChange> =
            files.map(|(path, (before, after))| FileChange { path, before, after }).collect();
        let folders = self.folders.into_iter().filter(|(_, (before, after))| before != after);
        let folders: Vec<FolderChange> =
            folders.map(|(path, (before, after))| FolderChange { path, before, after }).collect();
        if files.is_empty() && folders.is_empty() && !self.broken {
            return None;
        }
        Some(UndoRecord { impossible: self.impossible, files, folders })
    }
}

/// A call that is to be undone.
#[derive(Debug, Clone, Copy)]
pub struct CallToUndo<'a> {
    /// What its tool may do: what it may not change any more is not put back either.
    pub permit: &'a ToolPermit,
    /// What it did.
    pub record: &'a UndoRecord,
}

/// A path that is not as any of the calls found or left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disturbed {
    /// The path.
    pub path: RelPath,
    /// What is there now, where it is a file.
    pub now: Option<FileState>,
    /// How that differs, in words: "x is gone".
    pub how: String,
}

/// Why calls are not undone. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// One of them cannot be undone by its own record.
    #[error("{why}")]
    Impossible {
        /// Which of the calls.
        call: usize,
        /// Why.
        why: String,
    },
    /// The policy denies it.
    #[error("{}", .0.message)]
    Denied(ToolError),
    /// Something else was changed there since.
    #[error("{}", told(.0))]
    Changed(Vec<Disturbed>),
    /// Something else was changed there between two of the calls.
    #[error("{} was changed between two of the calls, and by none of them", shown(path))]
    Between {
        /// The path.
        path: RelPath,
        /// Which call left it otherwise than the other found it.
        earlier: usize,
        /// Which call found it so.
        later: usize,
    },
    /// What was there cannot be had again.
    #[error("{} had the digest {}: {why}", shown(path), before.digest)]
    Image {
        /// The path.
        path: RelPath,
        /// What was there.
        before: FileState,
        /// Why it is not to be had.
        why: ImageError,
    },
    /// More would be written than one commit may.
    #[error("undoing this writes more than {} MiB at once", BYTES >> 20)]
    TooLarge,
    /// It could not be done.
    #[error("{}", .0.message)]
    Failed(ToolError),
}

fn told(disturbed: &[Disturbed]) -> String {
    disturbed.iter().map(|path| path.how.as_str()).collect::<Vec<_>>().join("; ")
}

/// How calls are undone; made by looking, without a change.
#[derive(Debug)]
pub struct UndoPlan {
    changes: Vec<Change>,
    /// What it will have changed.
    record: UndoRecord,
}

impl UndoPlan {
    /// Returns what undoing will have changed; nothing when everything is as it was before the calls.
    pub fn record(&self) -> &UndoRecord {
        &self.record
    }

    /// Whether everything is as it was before the calls.
    pub fn is_done_already(&self) -> bool {
        self.record.files.is_empty() && self.record.folders.is_empty()
    }
}

/// The states that the calls found and left a path in.
struct Trail {
    /// The one to go back to.
    first: Option<FileState>,
    known: Vec<Option<FileState>>,
    last_call: usize,
}

impl Files {
    /// Finds out how calls, in the order in which they were made, can all be undone.
    pub fn plan_undo(&self, calls: &[CallToUndo<'_>]) -> Result<UndoPlan, UndoError> {
        let deadline = Instant::now() + UNDOING;
        let mut trails: BTreeMap<&RelPath, Trail> = BTreeMap::new();
        let mut folders: BTreeMap<&RelPath, Option<u32>> = BTreeMap::new();
        for (at, call) in calls.iter().enumerate() {
            if let Some(why) = &call.record.impossible {
                return Err(UndoError::Impossible { call: at, why: why.clone() });
            }
            let mut session = Session::new(self, call.permit.clone(), deadline);
            for change in &call.record.files {
                session.decide(Access::Write, &change.path).map_err(UndoError::Denied)?;
                follow(&mut trails, change, at)?;
            }
            for change in &call.record.folders {
                // A folder that was made for a file was not decided on; it is removed with the file.
                if change.before.is_some() {
                    session.decide(Access::Write, &change.path).map_err(UndoError::Denied)?;
                }
                folders.entry(&change.path).or_insert(change.before);
            }
        }
        let Some(first) = calls.first() else {
            return Ok(UndoPlan { changes: Vec::new(), record: UndoRecord::default() });
        };
        let session = Session::new(self, first.permit.clone(), deadline);
        session.plan(&trails, &folders)
    }

    /// Undoes calls as planned: every file or none. Answers with what it changed.
    pub fn undo(&self, permit: &ToolPermit, plan: UndoPlan) -> Result<UndoRecord, UndoError> {
        let UndoPlan { changes, mut record } = plan;
        let mut session = Session::new(self, permit.clone(), Instant::now() + UNDOING);
        let made = record.folders.iter().filter_map(|change| Some((&change.path, change.after?)));
        let made: Vec<(&RelPath, u32)> = made.collect();
        session.carry_out(&changes, &made).map_err(UndoError::Failed)?;
        // From the bottom up. One that somebody put something into meanwhile stays.
        let mut emptied: Vec<RelPath> = Vec::new();
        for change in record.folders.iter().rev().filter(|change| change.after.is_none()) {
            if session.unmake_folder(&change.path).is_ok() {
                emptied.push(change.path.clone());
            }
        }
        record.folders.retain(|change| change.after.is_some() || emptied.contains(&change.path));
        Ok(record)
    }
}

fn follow<'a>(
    trails: &mut BTreeMap<&'a RelPath, Trail>,
    change: &'a FileChange,
    call: usize,
) -> Result<(), UndoError> {
    let (before, after) = (change.before.clone(), change.after.clone());
    match trails.entry(&change.path) {
        Entry::Vacant(new) => {
            new.insert(Trail { first: before.clone(), known: vec![before, after], last_call: call });
        }
        Entry::Occupied(mut known) => {
            let trail = known.get_mut();
            // Any of them, not the last alone: calls in between may have been undone before.
            if !trail.known.contains(&before) {
                let path = change.path.clone();
                return Err(UndoError::Between { path, earlier: trail.last_call, later: call });
            }
            trail.known.push(after);
            trail.last_call = call;
        }
    }
    Ok(())
}

impl Session {
    /// Returns what undoing the call takes, and forgets it.
    pub(crate) fn undo_record(&mut self) -> Option<UndoRecord> {
        let changes = std::mem::take(&mut self.changes);
        self.images.as_ref().and_then(|_| changes.record())
    }

    fn plan(
        &self,
        trails: &BTreeMap<&RelPath, Trail>,
        folders: &BTreeMap<&RelPath, Option<u32>>,
    ) -> Result<UndoPlan, UndoError> {
        let mut files: Vec<FileChange> = Vec::new();
        let mut there: Vec<(RelPath, FileState)> = Vec::new();
        let mut disturbed = Vec::new();
        for (path, trail) in trails {
            let now = self.state(path);
            match &now {
                Ok(now) if trail.known.contains(now) => {}
                Err(error) if matches!(error.code, ToolErrorCode::Timeout | ToolErrorCode::Internal) => {
                    return Err(UndoError::Failed(error.clone()));
                }
                _ => {
                    let how = difference(path, trail, &now);
                    disturbed.push(Disturbed { path: (*path).clone(), now: now.ok().flatten(), how });
                    continue;
                }
            }
            let now = now.expect("the other case goes on above");
            if let Some(now) = &now {
                there.push(((*path).clone(), now.clone()));
            }
            if now != trail.first {
                files.push(FileChange { path: (*path).clone(), before: now, after: trail.first.clone() });
            }
        }
        if !disturbed.is_empty() {
            return Err(UndoError::Changed(disturbed));
        }
        let changes = self.changes_for(&files, &there)?;
        let folders = self.folders_for(folders, &files)?;
        Ok(UndoPlan { changes, record: UndoRecord { impossible: None, files, folders } })
    }

    /// Returns the commit that makes `files` of what is there. What only has another name gets its old one again.
    fn changes_for(
        &self,
        files: &[FileChange],
        there: &[(RelPath, FileState)],
    ) -> Result<Vec<Change>, UndoError> {
        let mut surplus: BTreeMap<&FileState, Vec<&RelPath>> = BTreeMap::new();
        for change in files.iter().rev() {
            if let FileChange { path, before: Some(now), after: None } = change {
                surplus.entry(now).or_default().push(path);
            }
        }
        let mut changes = Vec::new();
        let mut bytes = 0;
        for FileChange { path, before: now, after: wanted } in files {
            let Some(wanted) = wanted else { continue };
            let expected = match now {
                Some(now) => Expected::Version(now.digest.to_string()),
                None => Expected::Absent,
            };
            let renamed = if now.is_none() { surplus.get_mut(wanted).and_then(Vec::pop) } else { None };
            if let Some(from) = renamed {
                changes.push(Change::Rename {
                    from: from.clone(),
                    to: path.clone(),
                    expected: Expected::Version(wanted.digest.to_string()),
                    replace: false,
                });
                continue;
            }
            bytes += wanted.size;
            if bytes > BYTES {
                return Err(UndoError::TooLarge);
            }
            let data = self.content_again(path, wanted, there)?;
            changes.push(Change::Put {
                path: path.clone(),
                data,
                expected,
                mode: Some(wanted.mode),
                folders: true,
            });
        }
        for (state, paths) in surplus {
            let expected = Expected::Version(state.digest.to_string());
            changes.extend(
                paths
                    .into_iter()
                    .map(|path| Change::Remove { path: path.clone(), expected: expected.clone() }),
            );
        }
        Ok(changes)
    }

    /// Returns a content by its digest: from the before-images, or from a file that has it now.
    fn content_again(
        &self,
        path: &RelPath,
        wanted: &FileState,
        there: &[(RelPath, FileState)],
    ) -> Result<Vec<u8>, UndoError> {
        let kept = match &self.images {
            Some(images) => images.read(wanted),
            None => Err(ImageError::Missing),
        };
        let why = match kept {
            Ok(data) => return Ok(data),
            Err(why) => why,
        };
        if let Some((other, _)) = there.iter().find(|(_, state)| state.digest == wanted.digest) {
            let (file, _) = self.root.open_file(other).map_err(UndoError::Failed)?;
            let mut data = Vec::new();
            super::read::read_into(self, other, &file, 0, wanted.size, &mut data)
                .map_err(UndoError::Failed)?;
            if self.version(&data).map_err(UndoError::Failed)? == wanted.digest {
                return Ok(data);
            }
        }
        Err(UndoError::Image { path: path.clone(), before: wanted.clone(), why })
    }

    /// Returns the folders to make again and those that will be empty, of those that were removed and made.
    fn folders_for(
        &self,
        folders: &BTreeMap<&RelPath, Option<u32>>,
        files: &[FileChange],
    ) -> Result<Vec<FolderChange>, UndoError> {
        let mut going: BTreeSet<RelPath> =
            files.iter().filter(|change| change.after.is_none()).map(|change| change.path.clone()).collect();
        let mut changes = Vec::new();
        // What lies in a folder comes after it by name, so that backwards means from the bottom up.
        for (path, before) in folders.iter().rev() {
            let now = self.root.stat(path).ok().filter(|stat| Info::of(stat).kind == Kind::Directory);
            let now = now.map(|stat| stat.st_mode & 0o777);
            let change = FolderChange { path: (*path).clone(), before: now, after: *before };
            if before.is_some() && now.is_none() {
                changes.push(change);
            } else if before.is_none()
                && now.is_some()
                && self.will_be_empty(path, &going).map_err(UndoError::Failed)?
            {
                going.insert((*path).clone());
                changes.push(change);
            }
        }
        changes.reverse();
        Ok(changes)
    }

    fn will_be_empty(&self, path: &RelPath, going: &BTreeSet<RelPath>) -> Answer<bool> {
        let Ok(folder) = self.root.open(path, OFlags::RDONLY | OFlags::DIRECTORY) else { return Ok(false) };
        let names = names(self, &folder, path)?;
        Ok(names.iter().all(|(raw, _)| {
            let (name, escaped) = spelled(raw);
            !escaped && path.join(&name).is_ok_and(|below| going.contains(&below))
        }))
    }

    /// Returns the state of what is at a path; none where nothing is. What is no regular file with one name is an
    /// error.
    fn state(&self, path: &RelPath) -> Answer<Option<FileState>> {
        match self.root.open_file(path) {
            Ok((file, stat)) => Ok(Some(FileState {
                digest: super::commit::digest(self, &file, path)?,
                size: u64::try_from(stat.st_size).unwrap_or(0),
                mode: stat.st_mode & 0o777,
            })),
            Err(error) if error.code == ToolErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a folder that is empty.
    fn unmake_folder(&self, path: &RelPath) -> Result<(), Errno> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else { return Err(Errno::INVAL) };
        let folder = self.root.open_folder(&parent)?;
        rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR)
    }
}

fn difference(path: &RelPath, trail: &Trail, now: &Answer<Option<FileState>>) -> String {
    let path = shown(path);
    let left = trail.known.last().and_then(Option::as_ref);
    match (left, now) {
        (_, Err(error)) => error.message.clone(),
        (_, Ok(None)) => format!("{path} is gone"),
        (None, Ok(Some(_))) => format!("{path} is there again"),
        (Some(left), Ok(Some(now))) if left.digest == now.digest => {
            format!("{path} has the mode {:03o} now, not {:03o}", now.mode, left.mode)
        }
        (Some(_), Ok(Some(_))) => format!("{path} has been changed since"),
    }
}

/// Returns the bits of a mode as they are recorded.
pub(super) fn recorded(mode: Mode) -> u32 {
    mode.as_raw_mode() & 0o777
}
