//! The files of a checkout: which there are, and the content of the few that tell something.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use gloaming_api::{Digest, RelPath};
use rustix::fs::OFlags;

/// A repository's own files are rarely more; what lies beyond says nothing new of how to build them.
const MOST_FILES: usize = 50_000;
const DEEPEST: usize = 16;
const LARGEST: u64 = 1 << 20;
/// Of a lockfile that is read for what it names.
const LOCKFILE: u64 = 16 << 20;
/// Of a file that is only compared; lockfiles of large repositories are some megabytes.
const LONGEST: u64 = 64 << 20;

/// Folders of dependencies and results, never of the repository's own sources.
const FOREIGN: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "venv",
    ".tox",
    ".nox",
    ".eggs",
    "__pycache__",
    "node_modules",
    "bower_components",
    "target",
    "vendor",
    "third_party",
    "site-packages",
];

/// A walked checkout.
pub(crate) struct Tree {
    root: PathBuf,
    /// Regular files, sorted.
    files: Vec<RelPath>,
    /// Digests of the files whose content made the profile.
    read: RefCell<BTreeMap<RelPath, Digest>>,
}

impl Tree {
    /// Walks a checkout. What cannot be listed is left out.
    pub(crate) fn walk(root: &Path) -> Self {
        Self::walk_from(root, RelPath::root())
    }

    /// Walks a folder of the checkout, whatever it is called; nothing where a link leads there.
    pub(crate) fn below(&self, folder: &RelPath) -> Self {
        let mut place = self.root.clone();
        let is_own = folder.names().all(|name| {
            place.push(name);
            std::fs::symlink_metadata(&place).is_ok_and(|meta| meta.is_dir())
        });
        match is_own {
            true => Self::walk_from(&self.root, folder.clone()),
            false => Self { root: self.root.clone(), files: Vec::new(), read: RefCell::default() },
        }
    }

    fn walk_from(root: &Path, start: RelPath) -> Self {
        let mut files = Vec::new();
        let mut folders = vec![(start, 0)];
        while let Some((folder, depth)) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(root.join(folder.as_str())) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                let (Ok(kind), Ok(path)) = (entry.file_type(), folder.join(name)) else { continue };
                if kind.is_file() && files.len() < MOST_FILES {
                    files.push(path);
                } else if kind.is_dir() && depth < DEEPEST && !FOREIGN.contains(&name) {
                    folders.push((path, depth + 1));
                }
            }
        }
        files.sort();
        Self { root: root.to_owned(), files, read: RefCell::default() }
    }

    /// Returns a tree of which one file is known, without walking it.
    pub(crate) fn only(root: &Path, file: RelPath) -> Self {
        Self { root: root.to_owned(), files: vec![file], read: RefCell::default() }
    }

    /// Returns the files, sorted.
    pub(crate) fn files(&self) -> &[RelPath] {
        &self.files
    }

    /// Whether there is such a regular file.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.binary_search_by(|file| file.as_str().cmp(path)).is_ok()
    }

    /// Returns the files beneath a folder.
    pub(crate) fn within<'a>(&'a self, folder: &'a RelPath) -> impl Iterator<Item = &'a RelPath> {
        self.files.iter().filter(move |file| file.is_within(folder))
    }

    /// Returns the files of one name, those nearest to the root first.
    pub(crate) fn named<'a>(&'a self, name: &'a str) -> Vec<&'a RelPath> {
        let mut found: Vec<&RelPath> = self.files.iter().filter(|file| file.name() == Some(name)).collect();
        found.sort_by_key(|file| file.names().count());
        found
    }

    /// Reads a file that the profile is mined from; none when it is missing, too large or not text.
    pub(crate) fn read(&self, path: &RelPath) -> Option<String> {
        let text = self.peek(path)?;
        self.read.borrow_mut().insert(path.clone(), Digest::of(&text));
        Some(text)
    }

    /// Reads a file only to confirm something: a change of it does not make the profile stale.
    pub(crate) fn peek(&self, path: &RelPath) -> Option<String> {
        self.peek_up_to(path, LARGEST)
    }

    /// The same of a lockfile, which may be longer than what people write.
    pub(crate) fn peek_long(&self, path: &RelPath) -> Option<String> {
        self.peek_up_to(path, LOCKFILE)
    }

    fn peek_up_to(&self, path: &RelPath, most: u64) -> Option<String> {
        let mut bytes = Vec::new();
        self.open(path)?.take(most + 1).read_to_end(&mut bytes).ok()?;
        if bytes.len() as u64 > most {
            return None;
        }
        let text = String::from_utf8(bytes).ok()?;
        Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }

    /// Returns the digest of a file's content, however long up to a bound, and of its length; a change of it does not
    /// make the profile stale.
    pub(crate) fn digest(&self, path: &RelPath) -> Option<Digest> {
        let file = self.open(path)?;
        let length = file.metadata().ok()?.len();
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes).ok()?;
        bytes.extend(length.to_le_bytes());
        Some(Digest::of(bytes))
    }

    /// Opens a regular file of the list, without following a link or waiting for anybody.
    fn open(&self, path: &RelPath) -> Option<File> {
        if !self.has(path.as_str()) {
            return None;
        }
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(self.root.join(path.as_str())).ok()?;
        file.metadata().ok()?.is_file().then_some(file)
    }

    /// Reads the first kibibyte of a file, as far as it is text; a change of it does not make the profile stale.
    pub(crate) fn head(&self, path: &RelPath) -> Option<String> {
        let mut bytes = Vec::new();
        self.open(path)?.take(1024).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the files read with the digest of each.
    pub(crate) fn read_files(&self) -> Vec<(RelPath, Digest)> {
        self.read.borrow().iter().map(|(path, digest)| (path.clone(), digest.clone())).collect()
    }
}
