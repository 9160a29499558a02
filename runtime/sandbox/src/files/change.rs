//! What a change is and what it expects.

use gloaming_api::tool::{ToolError, ToolErrorCode};
use gloaming_api::{Digest, RelPath};
use gloaming_policies::Access;

use super::open::invalid;
use super::{Answer, Session, shown};

/// What must be at a path for a change to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Nothing may be there.
    Absent,
    /// A file with this content must be there.
    Version(String),
    /// Anything, or nothing.
    Any,
}

/// One change, its paths as the tool spelled them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A file's new content. With `mode`, who may read, write and run it; else that stays as it was. With `folders`,
    /// those that are missing on the way are made.
    Put { path: RelPath, data: Vec<u8>, expected: Expected, mode: Option<u32>, folders: bool },
    /// A file's removal.
    Remove { path: RelPath, expected: Expected },
    /// A file's new name. With `replace`, a file that stands there gives way, its mode kept; only WASI
    /// asks for that.
    Rename { from: RelPath, to: RelPath, expected: Expected, replace: bool },
}

/// How many changes one commit may hold.
const CHANGES: usize = 2_000;
/// How many bytes one call may write: 128 MiB.
pub(super) const BYTES: u64 = 128 << 20;

impl Change {
    pub(super) fn paths(&self) -> impl Iterator<Item = &RelPath> {
        let (first, second) = match self {
            Self::Put { path, .. } | Self::Remove { path, .. } => (path, None),
            Self::Rename { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(first).chain(second)
    }

    pub(super) fn expected(&self) -> &Expected {
        match self {
            Self::Put { expected, .. } | Self::Remove { expected, .. } | Self::Rename { expected, .. } => {
                expected
            }
        }
    }
}

impl Session {
    /// Writes one file and returns its new version.
    pub(crate) fn write(&mut self, path: RelPath, data: Vec<u8>, expected: Expected) -> Answer<Digest> {
        self.put(path, data, expected, true)
    }

    /// Like [`Session::write`], where the folder must be there: what WASI opened and has gone with its folder since
    /// does not bring the folder back.
    pub(crate) fn write_in_folder(
        &mut self,
        path: RelPath,
        data: Vec<u8>,
        expected: Expected,
    ) -> Answer<Digest> {
        self.put(path, data, expected, false)
    }

    fn put(&mut self, path: RelPath, data: Vec<u8>, expected: Expected, folders: bool) -> Answer<Digest> {
        let version = self.version(&data)?;
        self.commit(vec![Change::Put { path, data, expected, mode: None, folders }])?;
        Ok(version)
    }

    /// Refuses what makes no sense or is not allowed, before anything is looked at: so a denied path
    /// answers the same whether or not it is there.
    pub(crate) fn check_changes(&mut self, changes: &[Change]) -> Answer<()> {
        if changes.len() > CHANGES {
            let message = format!("{} changes at once, more than {CHANGES}", changes.len());
            return Err(ToolError::new(ToolErrorCode::TooLarge, message));
        }
        let mut bytes = self.access.bytes_written;
        let mut seen = std::collections::BTreeSet::new();
        for change in changes {
            for path in change.paths() {
                not_the_root(path)?;
                if !seen.insert(path) {
                    return Err(invalid(format!("{} occurs twice; name each path once", shown(path))));
                }
            }
            if let Change::Put { data, .. } = change {
                bytes += data.len() as u64;
            } else if *change.expected() == Expected::Absent {
                let message = "a file that is removed or renamed cannot be expected absent".to_owned();
                return Err(named(invalid(message), change, changes));
            }
        }
        if bytes > BYTES {
            let message = format!("one call may write {BYTES} bytes; nothing was changed");
            return Err(ToolError::new(ToolErrorCode::TooLarge, message));
        }
        for change in changes {
            self.decide_on(change).map_err(|error| named(error, change, changes))?;
        }
        Ok(())
    }

    fn decide_on(&mut self, change: &Change) -> Answer<()> {
        match change {
            Change::Put { path, expected, .. } | Change::Remove { path, expected } => {
                self.decide(Access::Write, path)?;
                // A version that fits tells what the content is.
                if matches!(expected, Expected::Version(_)) {
                    self.decide(Access::Read, path)?;
                }
                Ok(())
            }
            Change::Rename { from, to, .. } => {
                // Under its new name the content may be readable: so it must be readable under the old.
                self.decide(Access::Read, from)?;
                self.decide(Access::Write, from)?;
                self.decide(Access::Write, to)
            }
        }
    }
}

/// Names the change that failed where there are several.
pub(super) fn named(mut error: ToolError, change: &Change, all: &[Change]) -> ToolError {
    if all.len() > 1 {
        let number = all.iter().position(|other| std::ptr::eq(other, change)).map_or(0, |index| index + 1);
        let done = if error.message.ends_with("nothing was changed") { "" } else { "; nothing was changed" };
        error.message = format!("change {number} of {}: {}{done}", all.len(), error.message);
    }
    error
}

/// Refuses the workspace's own path, before it is decided on: whatever the policy, it is a folder.
pub(super) fn not_the_root(path: &RelPath) -> Answer<()> {
    if path.is_root() { Err(invalid("the workspace itself is not a file".to_owned())) } else { Ok(()) }
}
