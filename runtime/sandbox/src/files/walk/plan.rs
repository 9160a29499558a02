//! What is visited, and in which order.

use std::cmp::Ordering;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use gloaming_api::RelPath;
use gloaming_api::tool::{ToolError, ToolErrorCode};
use gloaming_policies::Access;
use ignore::overrides::Override;
use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::Errno;

use super::super::ignores::Ignores;
use super::super::read::{names, spelled};
use super::super::{Answer, View};
use super::stretch::{Stretch, Wanted};
use super::{PATHS, WalkOptions};

/// How many names one walk holds at once, and how many bytes their paths may take.
const HELD: usize = 1_000_000;
const HELD_BYTES: usize = 256 << 20;
/// How many folders of the way down are held open; those above are opened anew on the way back.
const OPEN: usize = 48;
/// Files of a stretch whose contents are wanted. Their folders are held open until they are read.
const FILES: usize = 16;

/// Goes through the folders of a tree.
pub(super) struct Planner {
    options: Plan,
    globs: Override,
    ignores: Ignores,
    frames: Vec<Frame>,
    held: usize,
    held_bytes: usize,
}

/// What of the options this part goes by.
struct Plan {
    hidden: bool,
    ignore_files: bool,
    depth: Option<u32>,
    directories: bool,
    contents: bool,
}

/// A folder being visited.
struct Frame {
    path: RelPath,
    handle: Option<Arc<OwnedFd>>,
    items: std::vec::IntoIter<Item>,
}

/// Something to do in a folder.
struct Item {
    path: RelPath,
    step: Step,
}

enum Step {
    /// With what the folder says it is, and the name as it is there where the path holds it escaped.
    Report(FileType, Option<Vec<u8>>),
    Enter,
}

impl Item {
    /// What sorts it among those of its folder, whose path is `above` bytes long. A folder is reported under its
    /// name and entered under its name with a slash: that gives the byte order of whole paths.
    fn key(&self, above: usize) -> (&[u8], &[u8]) {
        let slash: &[u8] = if matches!(self.step, Step::Enter) { b"/" } else { b"" };
        (&self.path.as_str().as_bytes()[above..], slash)
    }
}

/// Compares two byte strings, each given in two parts.
fn compare(a: (&[u8], &[u8]), b: (&[u8], &[u8])) -> Ordering {
    let shared = a.0.len().min(b.0.len());
    a.0[..shared]
        .cmp(&b.0[..shared])
        .then_with(|| a.0[shared..].iter().chain(a.1).cmp(b.0[shared..].iter().chain(b.1)))
}

impl Planner {
    /// Begins at a folder that may be listed.
    pub(super) fn new(view: &View, root: &RelPath, options: &WalkOptions, globs: Override) -> Answer<Self> {
        let &WalkOptions { hidden, ignore_files, depth, directories, contents, .. } = options;
        let options = Plan { hidden, ignore_files, depth, directories, contents };
        let mut planner =
            Self { options, globs, ignores: Ignores::default(), frames: Vec::new(), held: 0, held_bytes: 0 };
        if ignore_files {
            let mut above = Vec::new();
            let mut at = root.parent();
            while let Some(folder) = at {
                at = folder.parent();
                above.push(folder);
            }
            above.iter().rev().for_each(|folder| planner.ignores.enter(view, folder, |_| true));
        }
        planner.enter(view, root.clone())?;
        Ok(planner)
    }

    /// Returns what comes next, none at the end.
    pub(super) fn next(&mut self, view: &View) -> Answer<Option<Stretch>> {
        let most = if self.options.contents { FILES } else { PATHS };
        let mut wanted: Vec<Wanted> = Vec::new();
        while wanted.len() < most {
            let Some(next) = self.advance(view)? else { break };
            wanted.push(next);
        }
        Ok(if wanted.is_empty() { None } else { Some(Stretch::new(wanted)) })
    }

    fn advance(&mut self, view: &View) -> Answer<Option<Wanted>> {
        while let Some(frame) = self.frames.last_mut() {
            view.check_deadline()?;
            let Some(item) = frame.items.next() else {
                self.frames.pop();
                if self.options.ignore_files {
                    self.ignores.leave();
                }
                continue;
            };
            self.held -= 1;
            self.held_bytes -= item.path.as_str().len();
            match item.step {
                Step::Enter => self.enter(view, item.path)?,
                Step::Report(kind, raw) => {
                    if let Some(wanted) = self.wanted(view, item.path, kind, raw) {
                        return Ok(Some(wanted));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Plans one name of the folder being visited; none when the folder is gone.
    fn wanted(&mut self, view: &View, path: RelPath, kind: FileType, raw: Option<Vec<u8>>) -> Option<Wanted> {
        let frame = self.frames.last_mut()?;
        if !self.options.contents || kind != FileType::RegularFile {
            return Some(Wanted::name(path, raw.is_some(), kind));
        }
        if frame.handle.is_none() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            frame.handle = Some(Arc::new(view.root.open(&frame.path, flags).ok()?));
        }
        let folder = frame.handle.as_ref()?.clone();
        Some(Wanted::content(path, folder, raw))
    }

    /// Reads a folder's names, keeps what is to be visited, sorted. A folder that is gone or cannot be read
    /// is left out, unless the walk began there.
    fn enter(&mut self, view: &View, path: RelPath) -> Answer<()> {
        view.check_deadline()?;
        let opened = view.root.open(&path, OFlags::RDONLY | OFlags::DIRECTORY);
        let handle = match opened {
            Ok(handle) => handle,
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
                return Err(ToolError::new(ToolErrorCode::Internal, "the host has no file handle left"));
            }
            Err(errno) if self.frames.is_empty() => return Err(view.root.failure(errno, &path)),
            Err(_) => return Ok(()),
        };
        let found = names(view, &handle, &path)?;
        if self.options.ignore_files {
            let holds = |name: &str| found.iter().any(|(raw, _)| raw == name.as_bytes());
            self.ignores.enter(view, &path, holds);
        }
        let below = self.options.depth.is_none_or(|depth| (self.frames.len() as u64) + 1 < u64::from(depth));
        let mut items = Vec::with_capacity(found.len());
        for (count, (raw, mut kind)) in found.into_iter().enumerate() {
            if count % 1024 == 0 {
                view.check_deadline()?;
            }
            if kind == FileType::Unknown {
                let stat = rustix::fs::statat(&handle, raw.as_slice(), AtFlags::SYMLINK_NOFOLLOW);
                kind = stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode));
            }
            let is_folder = kind == FileType::Directory;
            let (name, escaped) = spelled(&raw);
            let Ok(below_it) = path.join(&name) else { continue };
            if kind == FileType::Symlink || !self.visits(view, &below_it, &raw, is_folder) {
                continue;
            }
            if is_folder && below && !escaped {
                items.push(Item { path: below_it.clone(), step: Step::Enter });
            }
            if !is_folder || self.options.directories {
                let raw = escaped.then_some(raw);
                items.push(Item { path: below_it, step: Step::Report(kind, raw) });
            }
        }
        self.held += items.len();
        self.held_bytes += items.iter().map(|item| item.path.as_str().len()).sum::<usize>();
        if self.held > HELD || self.held_bytes > HELD_BYTES {
            let error = ToolError::new(ToolErrorCode::TooLarge, format!("more than {HELD} names at once"));
            return Err(error.instead("Give a narrower path or globs."));
        }
        let above = if path.is_root() { 0 } else { path.as_str().len() + 1 };
        items.sort_unstable_by(|a, b| compare(a.key(above), b.key(above)));
        self.frames.push(Frame { path, handle: Some(Arc::new(handle)), items: items.into_iter() });
        if let Some(above) = self.frames.len().checked_sub(OPEN + 1) {
            self.frames[above].handle = None;
        }
        Ok(())
    }

    fn visits(&self, view: &View, path: &RelPath, raw: &[u8], is_folder: bool) -> bool {
        if raw == b".git" || (!self.options.hidden && raw.starts_with(b".")) {
            return false;
        }
        if self.globs.matched(path.as_str(), is_folder).is_ignore() {
            return false;
        }
        if self.options.ignore_files && self.ignores.matches(path.as_str(), is_folder) {
            return false;
        }
        // A file's name is decided on where it is read, by whichever thread does that.
        !is_folder || view.permit.allows(Access::List, path)
    }
}
