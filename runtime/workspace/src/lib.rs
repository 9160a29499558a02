//! Repositories: opening, checking out, freezing a workspace into a patch, applying a patch, publishing
//! one commit on one branch. The only crate that runs git.
//!
//! What it is not: it judges no path and no patch, runs no build or test, speaks to no forge, and is no
//! general git library.
//!
//! Invariants:
//! - git never opens a user's repository. It works in an object store of our own that borrows the
//!   repository's objects through `objects/info/alternates`, with a configuration of our own; refs and the
//!   few settings we need are read from files. So nothing a repository configures (hooks, filters,
//!   textconv, fsmonitor, external diff, ssh command, aliases, includes, lazy fetching) can run.
//! - Only [`Repository::publish`] writes to a user's repository: objects first, then one branch that did
//!   not exist before; HEAD, index and work tree are never touched.
//! - Files are written beneath a checkout's folder without following a symbolic link, and read back
//!   without following one; no content is converted on the way in or out.
#![forbid(unsafe_code)]

mod apply;
mod checkout;
mod clone;
mod copy;
mod diff;
mod error;
mod files;
mod freeze;
mod git;
mod history;
mod locate;
mod names;
mod notes;
mod publish;
mod revision;
mod role;
mod store;
mod travel;

use std::fmt;
use std::path::{Path, PathBuf};

use gloaming_api::evidence::ChangedFile;
use gloaming_api::{Digest, RelPath};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use copy::{copy_tree, withhold};
pub use error::{ApplyError, Missing, RepoError};
pub use git::Interrupt;
pub use history::PastChange;
pub use role::role;

use locate::{Facts, Location};
use store::Store;

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(value: String) -> Result<Self, String> {
                if is_object_id(&value) { Ok(Self(value)) } else { Err(format!("{value:?} is not an object id")) }
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(value: &str) -> Result<Self, String> {
                Self::try_from(value.to_owned())
            }
        }
        impl TreeIsh for $name {
            fn object_id(&self) -> &str {
                &self.0
            }
        }
    };
}

object_id!(
    /// The id of a commit.
    CommitId
);
object_id!(
    /// The id of a tree.
    TreeId
);

/// What names a tree: a [`TreeId`], or a [`CommitId`] for the commit's own.
pub trait TreeIsh {
    /// Returns the object's id.
    fn object_id(&self) -> &str;
}

fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A user's repository; never written but by [`Repository::publish`].
#[derive(Debug, Clone)]
pub struct Repository {
    location: Location,
    facts: Facts,
    store: Store,
}

/// Who a commit is by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The name, not empty.
    pub name: String,
    /// The address.
    pub email: String,
}

/// One file, symbolic link or submodule of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// The path; none when it is not UTF-8 (see [`TreeEntry::raw`]).
    pub path: Option<RelPath>,
    /// The path's bytes as git holds them.
    pub raw: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// The blob's id, or the commit's for a submodule.
    pub oid: String,
    /// Bytes; 0 for a submodule.
    pub size: u64,
}

impl TreeEntry {
    /// Returns the path for people, escaped where it is not printable.
    pub fn display(&self) -> String {
        gloaming_api::path::escape_name(&self.raw)
    }
}

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A regular file with the executable bit.
    Executable,
    /// A symbolic link.
    Symlink,
    /// A commit of another repository.
    Submodule,
}

/// A frozen change: the only thing that crosses from a workspace to the verifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The commit it is made against.
    pub base: CommitId,
    /// The tree it makes of the base.
    pub tree: TreeId,
    /// Our own canonical git diff of the two trees (binary, full object ids, no renames).
    pub diff: Vec<u8>,
    /// Digest of `diff`.
    pub digest: Digest,
    /// The changed files, sorted by path.
    pub files: Vec<ChangedFile>,
    /// What lay in the workspace and is not in the patch though no ignore rule names it, escaped for
    /// people, with the reason.
    pub skipped: Vec<Skipped>,
}

impl Patch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// A path of a workspace that freezing left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The path, escaped.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Plain files of a tree in a folder, without `.git`.
#[derive(Debug, Clone)]
pub struct Checkout {
    dir: PathBuf,
    base: Option<CommitId>,
    tree: TreeId,
}

impl Checkout {
    /// Returns the folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the commit it was made of; none for a bare tree.
    pub fn base(&self) -> Option<&CommitId> {
        self.base.as_ref()
    }

    /// Returns the tree it was made of.
    pub fn tree(&self) -> &TreeId {
        &self.tree
    }
}

impl Repository {
    /// Opens the repository at `path`: a work tree's top folder or a bare repository. `state_dir` is ours;
    /// the object store is made in it.
    ///
    /// # Errors
    /// One variant of [`RepoError`] for each way a path is not a usable repository.
    pub fn open(path: &Path, state_dir: &Path) -> Result<Self, RepoError> {
        let location = locate::locate(path)?;
        let facts = locate::facts(&location)?;
        let store = Store::open(state_dir, &location, &facts)?;
        let refs = revision::Refs::read(&store, &location, &facts)?;
        if let revision::Head::Unborn(_) = refs.head()?
            && !refs.any()
        {
            return Err(RepoError::NoCommits(path.to_owned()));
        }
        Ok(Self { location, facts, store })
    }

    /// Clones `url` as a bare repository into the folder `into`, which must not exist or be empty, and
    /// opens it. Another thread may stop it; of a clone that fails nothing is left in `into`.
    pub fn clone_url(
        url: &str,
        into: &Path,
        state_dir: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self, RepoError> {
        clone::clone(url, into, state_dir, interrupt)
    }

    /// Returns a commit without its history as one file, for [`Repository::of_pack`]; none where it has more bytes than
    /// `most`.
    ///
    /// # Errors
    /// Objects are missing, as in a partial clone, or git fails.
    pub fn pack(&self, commit: &CommitId, most: usize) -> Result<Option<Vec<u8>>, RepoError> {
        travel::pack(&self.store, commit, most)
    }

    /// Makes a bare repository in `into`, which must not exist or be empty, of what [`Repository::pack`] made of
    /// `commit`.
    ///
    /// # Errors
    /// It is no such pack, or git fails.
    pub fn of_pack(pack: Vec<u8>, commit: &str, into: &Path, state_dir: &Path) -> Result<Self, RepoError> {
        travel::unpack(pack, commit, into, state_dir)
    }

    /// Returns the folder the repository was opened at.
    pub fn root(&self) -> &Path {
        &self.location.root
    }

    /// Returns the commit that `rev` names: a branch, tag, remote branch or (abbreviated) id, with `~n` and
    /// `^n` suffixes; HEAD for none.
    pub fn resolve(&self, rev: Option<&str>) -> Result<CommitId, RepoError> {
        revision::resolve(&self.store, &self.location, &self.facts, rev)
    }

    /// Returns the tree of a commit.
    pub fn tree_of(&self, commit: &CommitId) -> Result<TreeId, RepoError> {
        let git = self.store.git("read the commit", "rev-parse");
        let git = git.args(["--verify", "--end-of-options"]).arg(format!("{commit}^{{tree}}"));
        git.object_id().map(TreeId).map_err(|_| self.store.missing(commit.as_str()))
    }

    /// Returns what a person should know of how the base was read: uncommitted changes that are not
    /// seen, shallow history, submodules, LFS pointers.
    pub fn notes(&self, base: &CommitId) -> Vec<String> {
        let head = self.resolve(None).ok();
        notes::notes(&self.store, &self.location, &self.facts, head.as_ref(), base)
    }

    /// Returns the changes on the way from `tip` along first parents, newest first, `most` commits at most. Neither
    /// the first commit of all nor the border of a shallow clone is a change. Of a history that takes too long or
    /// is too large (2000 commits, 16 MiB of names, a minute), what was read until then.
    ///
    /// # Errors
    /// Objects are missing, as in a partial clone, or git fails.
    pub fn history(&self, tip: &CommitId, most: usize) -> Result<Vec<PastChange>, RepoError> {
        history::history(&self.store, &self.location, &self.facts, tip, most)
    }

    /// Writes a commit's files into `dir`, which must not exist or be empty.
    pub fn checkout(&self, commit: &CommitId, dir: &Path) -> Result<Checkout, RepoError> {
        let tree = self.tree_of(commit)?;
        Ok(Checkout { base: Some(commit.clone()), ..self.checkout_tree(&tree, dir)? })
    }

    /// Writes a tree's files into `dir`, which must not exist or be empty.
    pub fn checkout_tree(&self, tree: &TreeId, dir: &Path) -> Result<Checkout, RepoError> {
        checkout::materialise(&self.store, tree.as_str(), dir)?;
        Ok(Checkout { dir: dir.to_owned(), base: None, tree: tree.clone() })
    }

    /// Returns the handle of a checkout of `commit` that an earlier process made in `dir`.
    pub fn reopen(&self, commit: &CommitId, dir: &Path) -> Result<Checkout, RepoError> {
        if !dir.is_dir() {
            return Err(RepoError::PathMissing(dir.to_owned()));
        }
        Ok(Checkout { dir: dir.to_owned(), base: Some(commit.clone()), tree: self.tree_of(commit)? })
    }

    /// Returns the content of a regular file; none where there is none (or a link, folder or submodule).
    pub fn read_file(&self, at: &impl TreeIsh, path: &RelPath) -> Result<Option<Vec<u8>>, RepoError> {
        let git = self.store.git("find a file", "ls-tree").args(["-z", "--full-tree", at.object_id(), "--"]);
        if path.is_root() {
            return Ok(None);
        }
        let output = self.store.output(git.arg(path.as_str()))?;
        let facts = String::from_utf8_lossy(&output);
        match facts.split([' ', '\t']).collect::<Vec<_>>().as_slice() {
            [mode, "blob", oid, ..] if *mode != "120000" => self.store.blob(oid).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns every file, link and submodule of a tree, sorted by path bytes.
    pub fn list_files(&self, at: &impl TreeIsh) -> Result<Vec<TreeEntry>, RepoError> {
        self.store.list(at.object_id())
    }

    /// Returns the content of a [`TreeEntry`] that is a file.
    pub fn read_blob(&self, oid: &str) -> Result<Vec<u8>, RepoError> {
        self.store.blob(oid)
    }

    /// Returns the id that a content of `size` bytes has as a blob. The error is the reader's.
    pub fn blob_id(&self, size: u64, content: impl std::io::Read) -> std::io::Result<String> {
        freeze::hash(self.facts.format, size, content, &mut std::io::sink())
    }

    /// Freezes a workspace: its difference to the base it was checked out from. New files that the base's
    /// own `.gitignore` files ignore are left out.
    pub fn freeze(&self, checkout: &Checkout) -> Result<Patch, RepoError> {
        freeze::freeze(&self.store, self.facts.format, checkout)
    }

    /// Applies a unified diff (git's, or plain with one leading folder) to `base` and returns it in
    /// canonical form.
    pub fn patch_from_bytes(&self, base: &CommitId, diff: &[u8]) -> Result<Patch, ApplyError> {
        apply::apply(&self.store, base, &self.tree_of(base)?, diff)
    }

    /// Writes the patch as one commit on a new branch of the user's repository.
    pub fn publish(
        &self,
        base: &CommitId,
        patch: &Patch,
        branch: &str,
        message: &str,
        author: &Author,
        when: Timestamp,
    ) -> Result<CommitId, RepoError> {
        let base_tree = &self.tree_of(base)?;
        let publication = publish::Publication { base, base_tree, patch, branch, message, author, when };
        publish::publish(&self.store, &self.location, &self.facts, &publication)
    }
}
