//! The one way from a tool to a file, whichever interface the tool was built against.
//!
//! A [`Session`] is one call's view of a workspace. Every operation parses the spelling, asks the permit,
//! and only then opens beneath the workspace's directory handle; what was done is noted for the call's
//! record. The interfaces in `host` and `wasi` translate and do nothing else.

mod access;
mod base;
mod change;
mod commit;
mod ignores;
mod images;
mod open;
mod read;
mod sources;
mod undo;
mod walk;

#[cfg(test)]
mod tests;

use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gloaming_api::tool::{CallRecord, ToolError, ToolErrorCode, ToolOutcome};
use gloaming_api::{Digest, RelPath, path::escape_name};
use gloaming_policies::{Access, Decision, ToolPermit};
use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

pub(crate) use access::AccessLog;
pub use base::{Base, BaseError, BaseFile};
pub(crate) use change::{Change, Expected};
pub use images::ImageError;
use images::Images;
pub(crate) use open::{Info, Kind};
pub(crate) use read::{Content, Entry, Range};
use sources::Sources;
use undo::Changes;
pub use undo::{CallToUndo, Disturbed, UndoError, UndoPlan};
#[expect(unreachable_pub, reason = "the generated bindings re-export it, which takes a public item")]
pub use walk::Walk;
pub(crate) use walk::{Batch, Visited, WalkOptions};

use crate::{Control, SandboxError};
use open::{Opener, Root};

/// Bytes that are read, written or hashed between two looks at the clock.
const CHUNK: usize = 1 << 20;
/// How long a read on the host's own behalf may take.
const HOST_READ: Duration = Duration::from_secs(10);

/// What a file operation answers; the error is written for a model.
pub(crate) type Answer<T> = Result<T, ToolError>;

/// A workspace directory opened for tools; cheap to clone.
///
/// It holds a handle of the directory, so that renaming or replacing the directory's path changes nothing.
/// Changes made through one value (and its clones) exclude each other.
#[derive(Clone)]
pub struct Files {
    root: Arc<Root>,
    base: Option<Arc<dyn Base>>,
    images: Option<Arc<Images>>,
}

impl Files {
    /// Opens a directory. Its own path may lead through symbolic links: it is the operator's.
    pub fn open(dir: &Path) -> Result<Self, SandboxError> {
        Self::open_by(dir, None)
    }

    /// Opens a directory and walks every path name by name, as is done by itself where the kernel has no
    /// `openat2` (before Linux 5.6) or a container's filter forbids it. Slower, same answers.
    pub fn open_stepwise(dir: &Path) -> Result<Self, SandboxError> {
        Self::open_by(dir, Some(Opener::Stepwise))
    }

    /// Returns the same workspace with the tree it began from, for tools that compare.
    #[must_use]
    pub fn with_base(self, base: Arc<dyn Base>) -> Self {
        Self { base: Some(base), ..self }
    }

    /// Returns the same workspace with a folder, made where it is missing, in which the contents that calls replace
    /// or remove are kept. The records of calls on it say what undoing them takes.
    pub fn with_images(self, folder: &Path) -> io::Result<Self> {
        Ok(Self { images: Some(Arc::new(Images::open(folder)?)), ..self })
    }

    /// Reads a whole file (at most 8 MiB) on the host's own behalf, by the same decisions and in the same way as
    /// a tool that holds `permit` would; none where there is no such file.
    pub fn read(&self, permit: &ToolPermit, path: &RelPath) -> Result<Option<Vec<u8>>, ToolError> {
        let mut session = Session::new(self, permit.clone(), Instant::now() + HOST_READ);
        match session.read(path, None) {
            Ok(content) => Ok(Some(content.data)),
            Err(error) if error.code == ToolErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a whole file (at most 128 MiB) on the host's own behalf, by the same decisions and in the same way as a tool
    /// that holds `permit` would; returns the answer, and what is recorded of it but for its arguments and its time.
    pub fn write(&self, permit: &ToolPermit, path: &RelPath, data: Vec<u8>) -> (ToolOutcome, CallRecord) {
        let mut session = Session::new(self, permit.clone(), Instant::now() + HOST_READ);
        let outcome = match session.write(path.clone(), data, Expected::Any) {
            Ok(version) => ToolOutcome::ok(serde_json::json!({"path": path.as_str(), "version": version})),
            Err(error) => ToolOutcome::error(error),
        };
        let undo = session.undo_record();
        (outcome, CallRecord { undo, ..session.access.record(permit) })
    }

    fn open_by(dir: &Path, opener: Option<Opener>) -> Result<Self, SandboxError> {
        let failed = |errno: rustix::io::Errno| SandboxError::Workspace {
            path: dir.to_owned(),
            source: io::Error::from(errno),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(dir, flags, Mode::empty()).map_err(failed)?;
        let device = rustix::fs::fstat(&handle).map_err(failed)?.st_dev;
        let opener = opener.unwrap_or_else(|| Opener::detect(&handle));
        let root = Arc::new(Root { handle, device, opener, writing: Mutex::new(()) });
        Ok(Self { root, base: None, images: None })
    }
}

/// What a call may see of a workspace, and until when. Cheap to clone, for the helpers of a walk.
#[derive(Clone)]
pub(crate) struct View {
    root: Arc<Root>,
    base: Option<Arc<dyn Base>>,
    images: Option<Arc<Images>>,
    permit: ToolPermit,
    deadline: Instant,
    /// What stops the call before its deadline.
    pub(crate) control: Control,
}

/// One call's view of a workspace, and what it did there.
pub(crate) struct Session {
    view: View,
    /// What was done so far.
    pub(crate) access: AccessLog,
    /// What it changed, where before-images are kept.
    changes: Changes,
    /// The source files it changed.
    sources: Sources,
    /// The last refusal, kept for tools that cannot be told its reason (WASI has only error codes) or cannot
    /// hand it on (their errors are their own).
    pub(crate) refused: Option<ToolError>,
}

impl Session {
    pub(crate) fn new(files: &Files, permit: ToolPermit, deadline: Instant) -> Self {
        let view = View {
            root: files.root.clone(),
            base: files.base.clone(),
            images: files.images.clone(),
            permit,
            deadline,
            control: Control::default(),
        };
        let (access, changes, sources) = (AccessLog::default(), Changes::default(), Sources::default());
        Self { view, access, changes, sources, refused: None }
    }

    /// Lets a control stop it.
    pub(crate) fn under(mut self, control: &Control) -> Self {
        self.view.control = control.clone();
        self
    }

    /// Says which syntax errors the call brought into source files, in words; none where there are none.
    pub(crate) fn new_syntax_errors(&self) -> Option<String> {
        self.sources.note()
    }

    /// Parses a path as a tool spelled it.
    pub(crate) fn path(&self, spelling: &str) -> Answer<RelPath> {
        RelPath::parse(spelling)
            .map_err(|error| ToolError::new(ToolErrorCode::InvalidInput, error.to_string()))
    }

    /// Decides on the place that a call names, of a tool that reads what is below it. What a rule keeps from being read
    /// is refused there in words: passed over, as it is where it is met on the way, it would look like nothing. Of a
    /// folder that no rule allows as a whole some files may still be.
    pub(crate) fn decide_named(&mut self, path: &RelPath) -> Answer<()> {
        if self.permit.tool() == "list" {
            return Ok(());
        }
        match self.permit.decide(Access::Read, path) {
            Decision::Deny(denial) if denial.rule.id != "default-deny" => self.decide(Access::Read, path),
            _ => Ok(()),
        }
    }

    /// Asks the permit, and notes and words a denial.
    pub(crate) fn decide(&mut self, access: Access, path: &RelPath) -> Answer<()> {
        let Decision::Deny(denial) = self.permit.decide(access, path) else { return Ok(()) };
        let what = match access {
            Access::Read => "read",
            Access::List => "listed",
            Access::Write => "changed",
        };
        let mut message = format!("the policy does not let {} be {what}", shown(path));
        if !denial.rule.because.is_empty() {
            message.push_str(": ");
            message.push_str(&denial.rule.because);
        }
        self.access.deny(path, &denial.rule.id);
        Err(ToolError {
            code: ToolErrorCode::Denied,
            rule: Some(denial.rule.id),
            message,
            instead: denial.instead,
        })
    }
}

impl Deref for Session {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl View {
    /// Whether a name may be shown: a folder's by the policy on listing, anything else's by that on
    /// reading too. Nothing is noted: what is not shown was not asked for.
    fn shows(&self, path: &RelPath, kind: Kind) -> bool {
        if kind == Kind::Directory {
            return self.permit.allows(Access::List, path);
        }
        // What may be read may be listed: one decision for both.
        let readable = self.permit.allows(Access::Read, path);
        debug_assert!(!readable || self.permit.allows(Access::List, path), "{path} is readable and hidden");
        readable
    }

    /// Fails once the call's deadline has passed or it was told to stop: no epoch interrupts a host function.
    fn check_deadline(&self) -> Answer<()> {
        if self.control.is_cancelled() {
            return Err(cancelled());
        }
        if Instant::now() < self.deadline {
            return Ok(());
        }
        Err(ToolError::new(ToolErrorCode::Timeout, "the call took too long")
            .instead("Narrow it: name a folder, give globs or a smaller depth."))
    }

    /// Returns the version of a content.
    fn version(&self, data: &[u8]) -> Answer<Digest> {
        let mut hasher = Sha256::new();
        for part in data.chunks(CHUNK) {
            self.check_deadline()?;
            hasher.update(part);
        }
        Ok(Digest::from_hash(hasher.finalize().as_slice()))
    }
}

/// The error of a call that was told to stop.
pub(crate) fn cancelled() -> ToolError {
    ToolError::new(ToolErrorCode::Cancelled, "the call was cancelled")
}

/// Returns a path for a message: a name can neither forge a line nor move a terminal's cursor.
fn shown(path: &RelPath) -> String {
    if path.is_root() { ".".to_owned() } else { escape_name(path.as_str().as_bytes()) }
}
