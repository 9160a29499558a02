//! Visiting a tree in byte order of its paths, contents in batches.

use std::os::fd::{AsFd, OwnedFd};

use gloaming_api::RelPath;
use gloaming_api::tool::{ToolError, ToolErrorCode};
use gloaming_policies::Access;
use ignore::overrides::{Override, OverrideBuilder};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::ignores::{Ignores, costly};
use super::open::{Info, Kind, invalid};
use super::read::{Range, names, read_into, spelled, too_many};
use super::{Answer, Session};

/// Bytes of contents a batch aims at: 256 KiB.
const BATCH: u64 = 256 << 10;
/// Paths a batch holds at the most.
const BATCH_PATHS: usize = 4_096;
/// The largest content handed over, whatever was asked for: 32 MiB.
const LARGEST: u64 = 32 << 20;
/// How many names one walk holds at once.
const HELD: usize = 1_000_000;
/// How many folders of the way down are held open; those above are opened anew on the way back.
const OPEN: usize = 48;
/// How many globs one walk may have.
const GLOBS: usize = 256;

/// How to walk; see the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WalkOptions {
    pub(crate) globs: Vec<String>,
    pub(crate) hidden: bool,
    pub(crate) ignore_files: bool,
    pub(crate) depth: Option<u32>,
    pub(crate) directories: bool,
    pub(crate) contents: bool,
    pub(crate) max_file_size: u64,
}

/// One visited path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visited {
    pub(crate) path: String,
    pub(crate) info: Info,
    /// Where its content lies in the batch's bytes.
    pub(crate) at: Option<Range>,
    pub(crate) escaped: bool,
}

/// Some visited paths and their contents, one behind the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) visited: Vec<Visited>,
    pub(crate) bytes: Vec<u8>,
}

/// A walk under way.
#[expect(unreachable_pub, reason = "the generated bindings re-export it, which takes a public item")]
pub struct Walk {
    options: WalkOptions,
    globs: Override,
    ignores: Ignores,
    frames: Vec<Frame>,
    /// What did not fit into the batch before.
    ahead: Option<Found>,
    held: usize,
}

/// A folder being visited.
struct Frame {
    path: RelPath,
    handle: Option<OwnedFd>,
    items: std::vec::IntoIter<Item>,
}

/// Something to do in a folder. A folder is reported under its name and entered under its name with a
/// slash, so that sorting by `key` gives the byte order of whole paths.
struct Item {
    key: Vec<u8>,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// With what the folder says it is.
    Report(FileType),
    Enter,
}

/// A path about to be reported, its file open where its content is wanted.
struct Found {
    path: RelPath,
    escaped: bool,
    info: Info,
    file: Option<OwnedFd>,
}

impl Walk {
    /// Begins a walk below a folder, or of one file.
    pub(crate) fn start(session: &mut Session, root: &RelPath, options: WalkOptions) -> Answer<Self> {
        let globs = globs(&options.globs)?;
        let info = session.stat(root)?;
        let mut walk =
            Self { options, globs, ignores: Ignores::default(), frames: Vec::new(), ahead: None, held: 0 };
        if info.kind != Kind::Directory {
            let (file, stat) = session.root.open_file(root)?;
            if !walk.globs.matched(root.as_str(), false).is_ignore() {
                let info = Info::of(&stat);
                let readable = info.size <= walk.options.max_file_size.min(LARGEST);
                let file = Some(file).filter(|_| walk.options.contents && readable);
                let found = Found { path: root.clone(), escaped: false, info, file };
                walk.ahead = Some(found);
            }
            return Ok(walk);
        }
        session.decide(Access::List, root)?;
        if walk.options.ignore_files {
            let mut above = Vec::new();
            let mut at = root.parent();
            while let Some(folder) = at {
                at = folder.parent();
                above.push(folder);
            }
            above.iter().rev().for_each(|folder| walk.ignores.enter(session, folder));
        }
        walk.enter(session, root.clone())?;
        Ok(walk)
    }

    /// Returns the next batch, none at the end.
    pub(crate) fn next(&mut self, session: &mut Session) -> Answer<Option<Batch>> {
        let mut batch = Batch::default();
        while let Some(found) = match self.ahead.take() {
            Some(found) => Some(found),
            None => self.advance(session)?,
        } {
            let size = if found.file.is_some() { found.info.size } else { 0 };
            if !batch.visited.is_empty() && batch.bytes.len() as u64 + size > BATCH {
                self.ahead = Some(found);
                break;
            }
            Self::report(session, found, &mut batch)?;
            if batch.visited.len() == BATCH_PATHS {
                break;
            }
        }
        Ok(if batch.visited.is_empty() { None } else { Some(batch) })
    }

    fn report(session: &mut Session, found: Found, batch: &mut Batch) -> Answer<()> {
        let mut at = None;
        if let Some(file) = found.file {
            let offset = batch.bytes.len() as u64;
            read_into(&file, 0, found.info.size, &mut batch.bytes)
                .map_err(|errno| session.root.failure(errno, &found.path))?;
            let length = batch.bytes.len() as u64 - offset;
            session.access.read(&found.path, length);
            at = Some(Range { offset, length });
        }
        let path = found.path.as_str().to_owned();
        batch.visited.push(Visited { path, info: found.info, at, escaped: found.escaped });
        Ok(())
    }

    /// Returns the next path to report.
    fn advance(&mut self, session: &mut Session) -> Answer<Option<Found>> {
        while let Some(frame) = self.frames.last_mut() {
            session.check_deadline()?;
            let Some(item) = frame.items.next() else {
                self.frames.pop();
                if self.options.ignore_files {
                    self.ignores.leave();
                }
                continue;
            };
            self.held -= 1;
            match item.step {
                Step::Enter => {
                    let name = String::from_utf8_lossy(&item.key[..item.key.len() - 1]).into_owned();
                    let Ok(path) = frame.path.join(&name) else { continue };
                    self.enter(session, path)?;
                }
                Step::Report(kind) => {
                    if let Some(found) = self.look(session, &item.key, kind) {
                        return Ok(Some(found));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Looks at one name of the folder being visited; none when it is gone, denied or has become a link.
    fn look(&mut self, session: &Session, raw: &[u8], kind: FileType) -> Option<Found> {
        let frame = self.frames.last_mut()?;
        let (name, escaped) = spelled(raw);
        let path = frame.path.join(&name).ok()?;
        let expected = if kind == FileType::Directory { Kind::Directory } else { Kind::Other };
        if !session.shows(&path, expected) {
            return None;
        }
        if frame.handle.is_none() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            frame.handle = Some(session.root.open(&frame.path, flags).ok()?);
        }
        let folder = frame.handle.as_ref()?;
        let (file, stat) = if self.options.contents && !escaped && kind == FileType::RegularFile {
            let (file, stat) = open_name(folder, raw)?;
            (Some(file), stat)
        } else {
            (None, rustix::fs::statat(folder, raw, AtFlags::SYMLINK_NOFOLLOW).ok()?)
        };
        let info = Info::of(&stat);
        let changed = (info.kind == Kind::Directory) != (kind == FileType::Directory);
        if info.kind == Kind::Symlink || changed {
            return None;
        }
        let readable = info.kind == Kind::File && info.size <= self.options.max_file_size.min(LARGEST);
        Some(Found { path, escaped, info, file: file.filter(|_| readable) })
    }

    /// Reads a folder's names, keeps what is to be visited, sorted. A folder that is gone or cannot be read
    /// is left out, unless the walk began there.
    fn enter(&mut self, session: &mut Session, path: RelPath) -> Answer<()> {
        session.check_deadline()?;
        let opened = session.root.open(&path, OFlags::RDONLY | OFlags::DIRECTORY);
        let handle = match opened {
            Ok(handle) => handle,
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
                return Err(ToolError::new(ToolErrorCode::Internal, "the host has no file handle left"));
            }
            Err(errno) if self.frames.is_empty() => return Err(session.root.failure(errno, &path)),
            Err(_) => return Ok(()),
        };
        let found = names(&handle).map_err(|errno| match errno {
            Errno::OVERFLOW => too_many(&path),
            errno => session.root.failure(errno, &path),
        })?;
        if self.options.ignore_files {
            self.ignores.enter(session, &path);
        }
        let below = self.options.depth.is_none_or(|depth| (self.frames.len() as u64) + 1 < u64::from(depth));
        let mut items = Vec::with_capacity(found.len());
        for (count, (raw, mut kind)) in found.into_iter().enumerate() {
            if count % 1024 == 0 {
                session.check_deadline()?;
            }
            if kind == FileType::Unknown {
                let stat = rustix::fs::statat(&handle, raw.as_slice(), AtFlags::SYMLINK_NOFOLLOW);
                kind = stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode));
            }
            let is_folder = kind == FileType::Directory;
            if kind == FileType::Symlink || !self.visits(session, &path, &raw, is_folder) {
                continue;
            }
            if is_folder && below && std::str::from_utf8(&raw).is_ok() {
                items.push(Item { key: [raw.as_slice(), b"/"].concat(), step: Step::Enter });
            }
            if !is_folder || self.options.directories {
                items.push(Item { key: raw, step: Step::Report(kind) });
            }
        }
        self.held += items.len();
        if self.held > HELD {
            let error = ToolError::new(ToolErrorCode::TooLarge, format!("more than {HELD} names at once"));
            return Err(error.instead("Give a narrower path or globs."));
        }
        items.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        self.frames.push(Frame { path, handle: Some(handle), items: items.into_iter() });
        if let Some(above) = self.frames.len().checked_sub(OPEN + 1) {
            self.frames[above].handle = None;
        }
        Ok(())
    }

    fn visits(&self, session: &Session, folder: &RelPath, raw: &[u8], is_folder: bool) -> bool {
        if raw == b".git" || (!self.options.hidden && raw.starts_with(b".")) {
            return false;
        }
        let Ok(path) = folder.join(&spelled(raw).0) else { return false };
        if self.globs.matched(path.as_str(), is_folder).is_ignore() {
            return false;
        }
        if self.options.ignore_files && self.ignores.matches(path.as_str(), is_folder) {
            return false;
        }
        // A file's name is decided on when it is reported.
        !is_folder || session.permit.allows(Access::List, &path)
    }
}

fn open_name(folder: &OwnedFd, raw: &[u8]) -> Option<(OwnedFd, Stat)> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder.as_fd(), raw, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    Some((file, stat))
}

/// Compiles globs as `rg -g` reads them, anchored at the workspace's root.
fn globs(globs: &[String]) -> Answer<Override> {
    if globs.len() > GLOBS || globs.iter().any(|glob| costly(glob)) {
        let message = format!("too many or too long globs: at most {GLOBS} of 4096 bytes and 64 braces each");
        return Err(invalid(message));
    }
    let mut builder = OverrideBuilder::new("");
    for glob in globs {
        builder.add(glob).map_err(|error| invalid(format!("{glob:?} is not a glob: {error}")))?;
    }
    builder.build().map_err(|error| invalid(format!("the globs cannot be used together: {error}")))
}
