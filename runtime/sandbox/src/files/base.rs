//! The tree an attempt began from, and what in the workspace is not as it was there.

use std::error::Error;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;

use gloaming_api::tool::{ToolError, ToolErrorCode};
use gloaming_api::{Digest, RelPath};
use gloaming_policies::Access;

use super::open::{Info, Kind};
use super::read::{Content, WHOLE, too_large};
use super::{Answer, Session, Walk, WalkOptions, shown};

/// How many changed paths one call is told of.
const PATHS: usize = 200_000;

/// A regular file of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseFile {
    /// Where it lies.
    pub path: RelPath,
    /// Bytes.
    pub size: u64,
    /// Whether it is executable.
    pub executable: bool,
    /// What the base knows its content by.
    pub id: String,
}

/// Why a base says nothing.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// There is none; the text, which a model is shown, says why.
    #[error("{0}")]
    None(String),
    /// There is one, and it cannot be read; the cause is for the operator.
    #[error("the base cannot be read")]
    Unreadable(#[source] Box<dyn Error + Send + Sync>),
}

/// The tree a workspace began from. What it holds is decided on and compared here; it only keeps it.
pub trait Base: Send + Sync {
    /// Returns its regular files, in byte order of their paths.
    fn files(&self) -> Result<&[BaseFile], BaseError>;
    /// Returns a file's content.
    fn read(&self, file: &BaseFile) -> Result<Vec<u8>, BaseError>;
    /// Whether `content`, which has the file's size, is the file's own. The error is the reader's.
    fn holds(&self, file: &BaseFile, content: &mut dyn Read) -> io::Result<bool>;
}

/// A path that is not as it is in the base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) path: RelPath,
    pub(crate) before: Option<Info>,
    pub(crate) after: Option<Info>,
}

impl Session {
    /// Lists what is not as in the base, below a folder or at one path, in byte order. Nothing of it is
    /// noted: the tool learns of contents only by reading them.
    pub(crate) fn changed(&mut self, below: &RelPath) -> Answer<Vec<Changed>> {
        if !self.permit.allows(Access::Read, below) && !self.permit.allows(Access::List, below) {
            self.decide(Access::Read, below)?;
        }
        self.decide_named(below)?;
        let base = self.base()?;
        let files = base.files().map_err(unreadable)?;
        let mut changed = Vec::new();
        for file in files.iter().filter(|file| is_within(&file.path, below)) {
            self.check_deadline()?;
            if self.shows(&file.path, Kind::File)
                && let Some(found) = self.compare(base.as_ref(), file)?
            {
                changed.push(found);
            }
        }
        self.new_files(files, below, &mut changed)?;
        if changed.len() > PATHS {
            let message = format!("more than {PATHS} files are not as in the base");
            return Err(ToolError::new(ToolErrorCode::TooLarge, message).instead("Name a folder."));
        }
        changed.sort_unstable_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
        Ok(changed)
    }

    /// Compares one file of the base with what is at its path.
    fn compare(&self, base: &dyn Base, file: &BaseFile) -> Answer<Option<Changed>> {
        let before = Info { kind: Kind::File, size: file.size, executable: file.executable };
        let changed = |after| Some(Changed { path: file.path.clone(), before: Some(before), after });
        let Ok((handle, stat)) = self.root.open_file(&file.path) else {
            // Gone, or in its place something that is never opened; a file that the system does not let us
            // read is there all the same.
            let stat = self.root.stat(&file.path).ok();
            return Ok(changed(stat.map(|stat| Info::of(&stat)).filter(|info| info.kind == Kind::File)));
        };
        let after = Info::of(&stat);
        if after != before {
            return Ok(changed(Some(after)));
        }
        let mut content = Timed { file: std::fs::File::from(handle), deadline: self.deadline };
        match base.holds(file, &mut content) {
            Ok(true) => Ok(None),
            Ok(false) => Ok(changed(Some(after))),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.check_deadline().map(|()| None),
            // It grew or shrank meanwhile.
            Err(_) => Ok(changed(Some(after))),
        }
    }

    /// Adds the files that are not in the base and that no ignore file leaves out.
    fn new_files(&mut self, files: &[BaseFile], below: &RelPath, changed: &mut Vec<Changed>) -> Answer<()> {
        let options = WalkOptions {
            globs: Vec::new(),
            hidden: true,
            ignore_files: true,
            depth: None,
            directories: false,
            contents: false,
            max_file_size: 0,
        };
        let mut walk = match Walk::start(self, below, options) {
            Ok(walk) => walk,
            // Gone as a whole: there is nothing new. A denial was told above.
            Err(error) if error.code == ToolErrorCode::Timeout => return Err(error),
            Err(_) => return Ok(()),
        };
        while let Some(batch) = walk.next(self)? {
            for visited in batch.visited {
                let known = |file: &BaseFile| file.path.as_str().cmp(visited.path.as_str());
                if visited.info.kind != Kind::File
                    || visited.escaped
                    || files.binary_search_by(known).is_ok()
                    || changed.len() > PATHS
                {
                    continue;
                }
                let Ok(path) = RelPath::parse(visited.path.as_str()) else { continue };
                // The walk knows only what the folder says of it; a second name of a file is never opened.
                let Ok(stat) = self.root.stat(&path) else { continue };
                let after = Info::of(&stat);
                if after.kind == Kind::File {
                    changed.push(Changed { path, before: None, after: Some(after) });
                }
            }
        }
        Ok(())
    }

    /// Reads a file of the base, whole.
    pub(crate) fn read_base(&mut self, path: &RelPath) -> Answer<Content> {
        self.decide(Access::Read, path)?;
        let base = self.base()?;
        let files = base.files().map_err(unreadable)?;
        let Ok(at) = files.binary_search_by(|file| file.path.as_str().cmp(path.as_str())) else {
            let message = format!("{} is not in the base", shown(path));
            return Err(ToolError::new(ToolErrorCode::NotFound, message));
        };
        if files[at].size > WHOLE {
            return Err(too_large(path, files[at].size, WHOLE));
        }
        let data = base.read(&files[at]).map_err(unreadable)?;
        self.access.read(path, data.len() as u64);
        Ok(Content { size: data.len() as u64, version: Some(Digest::of(&data)), data })
    }

    fn base(&self) -> Answer<Arc<dyn Base>> {
        self.base.clone().ok_or_else(|| unreadable(BaseError::None("this workspace has none".to_owned())))
    }
}

/// A file that is read until the call's deadline.
struct Timed {
    file: std::fs::File,
    deadline: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() >= self.deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.file.read(buffer)
    }
}

fn is_within(path: &RelPath, below: &RelPath) -> bool {
    let rest = path.as_str().strip_prefix(below.as_str());
    below.is_root() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn unreadable(error: BaseError) -> ToolError {
    match error {
        BaseError::None(why) => {
            ToolError::new(ToolErrorCode::NotFound, format!("there is no base to compare with: {why}"))
                .instead("Read the files themselves; what was changed in them is not known here.")
        }
        BaseError::Unreadable(cause) => {
            tracing::warn!(error = cause.as_ref() as &dyn Error, "the base cannot be read");
            ToolError::new(ToolErrorCode::Internal, "the base cannot be read")
        }
    }
}
