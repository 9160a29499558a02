//! What the tools need of a file system: implemented on the host's `workspace` and `changes` interfaces,
//! on `std::fs` for the WASI builds, and in memory for the tests.

use crate::Failure;

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file that can be read.
    File,
    /// A folder.
    Directory,
    /// A symbolic link; it is never followed.
    Symlink,
    /// A pipe, device or socket, or a file with a second hard link: never opened.
    Other,
}

impl Kind {
    /// Says what a path is, as in "src is a folder".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Directory => "a folder",
            Self::Symlink => "a symbolic link, which no tool follows",
            Self::Other => "no regular file with one link",
        }
    }
}

/// Facts about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// What it is.
    pub kind: Kind,
    /// Bytes; 0 for anything but a file.
    pub size: u64,
    /// Whether the owner may execute it.
    pub executable: bool,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The bytes.
    pub data: Vec<u8>,
    /// Bytes of the whole file.
    pub size: u64,
    /// The version of the whole file; none when only a part of it was read.
    pub version: Option<String>,
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first byte, from 0.
    pub offset: u64,
    /// How many bytes at the most.
    pub length: u64,
}

/// Reads single files.
pub trait Files {
    /// Says what a path is.
    fn stat(&self, path: &str) -> Result<Info, Failure>;
    /// Reads a file, whole or in part.
    fn read(&self, path: &str, range: Option<Range>) -> Result<Content, Failure>;
}

/// How to walk; the contract's `walk-options`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkOptions {
    /// Gitignore-style globs; one that begins with `!` leaves files out.
    pub globs: Vec<String>,
    /// Whether to visit names that begin with a dot.
    pub hidden: bool,
    /// Whether to honour ignore files.
    pub ignore_files: bool,
    /// How many folders deep; none for all.
    pub depth: Option<u32>,
    /// Whether to report folders too.
    pub directories: bool,
    /// Whether to hand over contents.
    pub contents: bool,
    /// Files larger than this (bytes) are reported without content.
    pub max_file_size: u64,
}

/// One visited path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visited {
    /// The path.
    pub path: String,
    /// What it is.
    pub info: Info,
    /// Where its content lies in the batch's bytes.
    pub at: Option<Range>,
    /// Whether `path` holds an escaped name.
    pub escaped: bool,
}

/// Some visited paths, in byte order, with their contents one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The paths.
    pub visited: Vec<Visited>,
    /// The contents.
    pub bytes: Vec<u8>,
}

/// Walks folders.
pub trait Walks {
    /// Walks below `root` and hands every batch to `each`, until there is none or `each` answers false.
    fn walk(
        &self,
        root: &str,
        options: &WalkOptions,
        each: &mut dyn FnMut(Batch) -> Result<bool, Failure>,
    ) -> Result<(), Failure>;
}

/// A path that is not as it is in the base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The path.
    pub path: String,
    /// What it is in the base; none when it is new.
    pub before: Option<Info>,
    /// What it is in the workspace; none when it is gone.
    pub after: Option<Info>,
}

/// The tree the attempt began from.
pub trait Base: Files {
    /// Lists the paths below a folder, or the one path, that are not as in the base, in byte order.
    fn changed(&self, below: &str) -> Result<Vec<Changed>, Failure>;
    /// Reads a file of the base.
    fn read_base(&self, path: &str) -> Result<Content, Failure>;
}

/// What must be at a path for a change to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Nothing may be there.
    Absent,
    /// A file with this content must be there.
    Version(String),
    /// Anything, or nothing.
    Any,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A file's new content.
    Put {
        /// Where.
        path: String,
        /// The content.
        data: Vec<u8>,
        /// What must be there now.
        expected: Expected,
    },
    /// A file's removal.
    Remove {
        /// Where.
        path: String,
        /// What must be there now.
        expected: Expected,
    },
    /// A file's new name.
    Rename {
        /// The old path.
        from: String,
        /// The new one, where nothing may be.
        to: String,
        /// What must be at `from` now.
        expected: Expected,
    },
}

/// Changes files.
pub trait Changes: Files {
    /// Writes one file.
    fn write(&self, path: &str, data: &[u8], expected: Expected) -> Result<(), Failure>;
    /// Makes every change or none.
    fn commit(&self, changes: Vec<Change>) -> Result<(), Failure>;
}
