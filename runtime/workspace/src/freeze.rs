//! From a workspace back to a tree: what differs from the base, read without following a link.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gloaming_api::path::escape_name;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{AtFlags, FileType, Stat};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use crate::diff::{Index, between};
use crate::files::{DEEPEST, bytes_path, io_error, open_file, open_folder, open_root};
use crate::locate::ObjectFormat;
use crate::store::Store;
use crate::{Checkout, EntryKind, Patch, RepoError, Skipped, TreeEntry, names};

/// No reviewable change has more files, or a larger one; without a limit a build that forgot to be ignored
/// would be read, hashed and stored whole.
const MOST_FILES: usize = 20_000;
const LARGEST_FILE: u64 = 100 << 20;
const MOST_BYTES: u64 = 512 << 20;

/// At most so many skipped paths are named.
const MOST_SKIPPED: usize = 1_000;

/// Freezes a workspace into the patch against its base.
pub(crate) fn freeze(store: &Store, format: ObjectFormat, checkout: &Checkout) -> Result<Patch, RepoError> {
    let Some(base) = &checkout.base else { return Err(RepoError::NoBase(checkout.dir.clone())) };
    let entries = store.list(checkout.tree.as_str())?;
    let mut walk = Walk::new(store, format, checkout, &entries)?;
    let root = open_root(&checkout.dir)?;
    walk.folder(&root, Vec::new(), Vec::new(), false)?;
    let Walk { changed, seen, skipped, .. } = walk;
    let deleted: Vec<&TreeEntry> = entries
        .iter()
        .filter(|entry| entry.kind != EntryKind::Submodule && !seen.contains(entry.raw.as_slice()))
        .collect();
    let written = store_blobs(store, format, &checkout.dir, changed)?;
    let tree = if deleted.is_empty() && written.is_empty() {
        checkout.tree.clone()
    } else {
        let mut input = Vec::new();
        // Deletions first: a file may have become a folder.
        for entry in deleted {
            input.extend_from_slice(format!("0 {}\t", format.zero()).as_bytes());
            input.extend_from_slice(&entry.raw);
            input.push(0);
        }
        for file in written {
            input.extend_from_slice(format!("{} {}\t", file.mode, file.oid).as_bytes());
            input.extend_from_slice(&file.path);
            input.push(0);
        }
        let index = Index::of(store, &checkout.tree)?;
        let git = index.git("note the changes", "update-index").args(["-z", "--index-info"]);
        git.stdin(input).output()?;
        index.write_tree()?
    };
    let mut patch = between(store, base, &checkout.tree, tree)?;
    patch.skipped = skipped;
    Ok(patch)
}

/// A path whose content is not the base's.
struct Changed {
    path: Vec<u8>,
    mode: &'static str,
    content: Content,
}

enum Content {
    /// A regular file, to be read again when it is stored.
    File(u64),
    /// A link's target.
    Bytes(Vec<u8>),
    /// The base's own blob, under another mode.
    Stored(String),
}

/// A path with the blob it holds now.
struct Written {
    path: Vec<u8>,
    mode: &'static str,
    oid: String,
}

struct Walk<'a> {
    format: ObjectFormat,
    dir: &'a Path,
    base: HashMap<&'a [u8], &'a TreeEntry>,
    /// Every folder that holds something of the base.
    base_folders: BTreeSet<&'a [u8]>,
    /// The base's own ignore files, by folder.
    ignores: HashMap<&'a [u8], Gitignore>,
    seen: BTreeSet<Vec<u8>>,
    changed: Vec<Changed>,
    bytes: u64,
    skipped: Vec<Skipped>,
}

impl<'a> Walk<'a> {
    fn new(
        store: &Store,
        format: ObjectFormat,
        checkout: &'a Checkout,
        entries: &'a [TreeEntry],
    ) -> Result<Self, RepoError> {
        let mut base_folders = BTreeSet::new();
        for entry in entries {
            for (i, _) in entry.raw.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
                base_folders.insert(&entry.raw[..i]);
            }
        }
        Ok(Self {
            format,
            dir: &checkout.dir,
            base: entries.iter().map(|entry| (entry.raw.as_slice(), entry)).collect(),
            base_folders,
            ignores: ignores(store, entries)?,
            seen: BTreeSet::new(),
            changed: Vec::new(),
            bytes: 0,
            skipped: Vec::new(),
        })
    }

    /// Walks one folder. `ignored` says that a rule of the base ignores it: only what the base holds counts
    /// in it. `rules` are the folders above and including it that have ignore rules, outermost first.
    fn folder(
        &mut self,
        folder: &OwnedFd,
        path: Vec<u8>,
        mut rules: Vec<&'a [u8]>,
        ignored: bool,
    ) -> Result<(), RepoError> {
        if let Some((own, _)) = self.ignores.get_key_value(path.as_slice()) {
            rules.push(own);
        }
        let failed = |source: io::Error| io_error("list", &self.dir.join(bytes_path(&path)), source);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(folder).map_err(|error| failed(error.into()))? {
            let entry = entry.map_err(|error| failed(error.into()))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        names.sort();
        for name in names {
            let mut child = path.clone();
            if !child.is_empty() {
                child.push(b'/');
            }
            child.extend_from_slice(&name);
            let stat = rustix::fs::statat(folder, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| io_error("look at", &self.dir.join(bytes_path(&child)), error.into()))?;
            self.entry(folder, &name, child, &stat, &rules, ignored)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: Vec<u8>,
        stat: &Stat,
        rules: &[&'a [u8]],
        ignored: bool,
    ) -> Result<(), RepoError> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let base = self.base.get(path.as_slice()).copied();
        if base.is_some_and(|entry| entry.kind == EntryKind::Submodule) {
            if kind == FileType::Directory {
                return self.skip_submodule(parent, name, &path);
            }
            return Err(self.unfreezable(&path, "it is a submodule"));
        }
        if kind == FileType::Directory {
            let known = self.base_folders.contains(path.as_slice());
            let ignored = ignored || self.is_ignored(&path, true, rules);
            if ignored && !known {
                return Ok(());
            }
            if names::is_git_folder(name) {
                self.skip(&path, "a git folder is never part of a patch");
                return Ok(());
            }
            if path.iter().filter(|byte| **byte == b'/').count() >= DEEPEST {
                return Err(self.unfreezable(&path, "it is nested too deeply"));
            }
            let folder = open_folder(parent, name)
                .map_err(|error| io_error("open", &self.dir.join(bytes_path(&path)), error.into()))?;
            return self.folder(&folder, path, rules.to_vec(), ignored);
        }
        if base.is_none() && (ignored || self.is_ignored(&path, false, rules)) {
            return Ok(());
        }
        if base.is_none()
            && let Some(why) = names::refused(&path)
        {
            self.skip(&path, why);
            return Ok(());
        }
        match kind {
            FileType::RegularFile => self.file(parent, name, path, stat, base),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())
                    .map_err(|error| {
                        io_error("read the link", &self.dir.join(bytes_path(&path)), error.into())
                    })?
                    .into_bytes();
                let same = base.is_some_and(|entry| {
                    entry.kind == EntryKind::Symlink && entry.oid == blob_id(self.format, &target)
                });
                self.seen.insert(path.clone());
                if !same {
                    self.change(path, "120000", Content::Bytes(target))?;
                }
                Ok(())
            }
            _ if base.is_some() => Err(self.unfreezable(&path, "it has become a FIFO, a socket or a device")),
            _ => {
                self.skip(&path, "it is a FIFO, a socket or a device");
                Ok(())
            }
        }
    }

    fn file(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: Vec<u8>,
        stat: &Stat,
        base: Option<&TreeEntry>,
    ) -> Result<(), RepoError> {
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let kind = if stat.st_mode & 0o100 != 0 { EntryKind::Executable } else { EntryKind::File };
        let mode = if kind == EntryKind::Executable { "100755" } else { "100644" };
        let regular = base.filter(|entry| matches!(entry.kind, EntryKind::File | EntryKind::Executable));
        let same_content = match regular {
            Some(entry) if entry.size == size => {
                let failed = |source| io_error("read", &self.dir.join(bytes_path(&path)), source);
                let file = open_file(parent, name).map_err(|error| failed(error.into()))?;
                hash(self.format, size, file, &mut io::sink()).map_err(failed)? == entry.oid
            }
            _ => false,
        };
        if same_content && regular.is_some_and(|entry| entry.kind == kind) {
            self.seen.insert(path);
            return Ok(());
        }
        // A second name may be one that a rule denies: its content would leave under this name. The base's
        // own content is no secret.
        if stat.st_nlink > 1 && !same_content {
            if base.is_some() {
                return Err(self.unfreezable(&path, "it has a second hard link"));
            }
            self.skip(&path, "it has a second hard link");
            return Ok(());
        }
        if size > LARGEST_FILE && !same_content {
            return Err(self.unfreezable(&path, "it is larger than 100 MiB"));
        }
        self.seen.insert(path.clone());
        match regular {
            Some(entry) if same_content => self.change(path, mode, Content::Stored(entry.oid.clone())),
            _ => self.change(path, mode, Content::File(size)),
        }
    }

    fn change(&mut self, path: Vec<u8>, mode: &'static str, content: Content) -> Result<(), RepoError> {
        if std::str::from_utf8(&path).is_err() {
            return Err(self.unfreezable(&path, "its name is not UTF-8"));
        }
        self.bytes += match &content {
            Content::File(size) => *size,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Stored(_) => 0,
        };
        self.changed.push(Changed { path, mode, content });
        if self.changed.len() > MOST_FILES {
            return Err(RepoError::TooMuch { limit: "20,000 files" });
        }
        if self.bytes > MOST_BYTES {
            return Err(RepoError::TooMuch { limit: "512 MiB" });
        }
        Ok(())
    }

    fn skip_submodule(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), RepoError> {
        let failed =
            |error: rustix::io::Errno| io_error("list", &self.dir.join(bytes_path(path)), error.into());
        let folder = open_folder(parent, name).map_err(failed)?;
        let filled = rustix::fs::Dir::read_from(&folder)
            .map_err(failed)?
            .flatten()
            .any(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."));
        if filled {
            self.skip(path, "submodules are not looked into");
        }
        Ok(())
    }

    fn skip(&mut self, path: &[u8], reason: &str) {
        if self.skipped.len() < MOST_SKIPPED {
            self.skipped.push(Skipped { path: escape_name(path), reason: reason.to_owned() });
        }
    }

    fn unfreezable(&self, path: &[u8], why: &'static str) -> RepoError {
        RepoError::Unfreezable { path: escape_name(path), why }
    }

    /// Whether the base's rules ignore a path whose folders they do not.
    fn is_ignored(&self, path: &[u8], is_folder: bool, rules: &[&'a [u8]]) -> bool {
        let absolute = rule_path(path);
        // The innermost file that has anything to say decides.
        for folder in rules.iter().rev() {
            let matched = self.ignores[folder].matched(&absolute, is_folder);
            if !matched.is_none() {
                return matched.is_ignore();
            }
        }
        false
    }
}

/// Returns the path that ignore rules see: the workspace is at the root, wherever it really is.
fn rule_path(path: &[u8]) -> PathBuf {
    Path::new("/workspace").join(bytes_path(path))
}

fn ignores<'a>(store: &Store, entries: &'a [TreeEntry]) -> Result<HashMap<&'a [u8], Gitignore>, RepoError> {
    let mut found = HashMap::new();
    for entry in entries {
        let folder = match entry.raw.strip_suffix(b".gitignore") {
            Some(b"") => &entry.raw[..0],
            Some(rest) if rest.ends_with(b"/") => &rest[..rest.len() - 1],
            _ => continue,
        };
        // git reads no ignore file through a link either.
        if !matches!(entry.kind, EntryKind::File | EntryKind::Executable) || entry.size > 1 << 20 {
            continue;
        }
        let text = store.blob(&entry.oid)?;
        let text = String::from_utf8_lossy(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text)).into_owned();
        let mut builder = GitignoreBuilder::new(rule_path(folder));
        for line in text.lines() {
            // A line that is no valid pattern ignores nothing, as in git.
            let _ = builder.add_line(None, line);
        }
        if let Ok(rules) = builder.build() {
            found.insert(folder, rules);
        }
    }
    Ok(found)
}

/// Stores the changed contents and returns their ids.
fn store_blobs(
    store: &Store,
    format: ObjectFormat,
    dir: &Path,
    changed: Vec<Changed>,
) -> Result<Vec<Written>, RepoError> {
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let root = open_root(dir)?;
    // The writer runs beside git; what it did and where it failed comes back here.
    let written = Arc::new(Mutex::new(Vec::new()));
    let failed = Arc::new(Mutex::new(None));
    let git = store.git("store the changed files", "fast-import").args(["--quiet", "--done"]).write_stdin({
        let (written, failed) = (Arc::clone(&written), Arc::clone(&failed));
        move |pipe| {
            for file in changed {
                let path = file.path.clone();
                match write_blob(&root, format, file, pipe) {
                    Ok(file) => written.lock().unwrap_or_else(PoisonError::into_inner).push(file),
                    Err(error) => {
                        let kind = error.kind();
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((path, error));
                        return Err(kind.into());
                    }
                }
            }
            writeln!(pipe, "done")
        }
    });
    let finished = git.run();
    if let Some((path, source)) = failed.lock().unwrap_or_else(PoisonError::into_inner).take()
        && source.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(io_error("read", &dir.join(bytes_path(&path)), source));
    }
    let finished = finished?;
    if !finished.success {
        return Err(crate::git::failure("store the changed files", &finished.stderr));
    }
    Ok(std::mem::take(&mut *written.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Writes one blob into a stream for `git fast-import`.
fn write_blob(
    root: &OwnedFd,
    format: ObjectFormat,
    file: Changed,
    pipe: &mut dyn Write,
) -> io::Result<Written> {
    let Changed { path, mode, content } = file;
    let oid = match content {
        Content::Stored(oid) => oid,
        Content::Bytes(bytes) => {
            writeln!(pipe, "blob\ndata {}", bytes.len())?;
            pipe.write_all(&bytes)?;
            writeln!(pipe)?;
            blob_id(format, &bytes)
        }
        Content::File(size) => {
            let content = open_beneath(root, &path)?;
            writeln!(pipe, "blob\ndata {size}")?;
            let oid = hash(format, size, content, pipe)?;
            writeln!(pipe)?;
            oid
        }
    };
    Ok(Written { path, mode, oid })
}

fn open_beneath(root: &OwnedFd, path: &[u8]) -> io::Result<File> {
    let mut folder = root.try_clone()?;
    let mut names = path.split(|byte| *byte == b'/').peekable();
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            return Ok(open_file(&folder, name)?);
        }
        folder = open_folder(&folder, name)?;
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Returns the id of a blob in memory.
pub(crate) fn blob_id(format: ObjectFormat, content: &[u8]) -> String {
    hash(format, content.len() as u64, content, &mut io::sink()).expect("reading from memory cannot fail")
}

/// Copies exactly `size` bytes and returns the id they have as a blob.
pub(crate) fn hash(
    format: ObjectFormat,
    size: u64,
    from: impl Read,
    to: &mut dyn Write,
) -> io::Result<String> {
    let header = format!("blob {size}\0");
    match format {
        ObjectFormat::Sha1 => {
            let mut hasher = Sha1::new_with_prefix(header);
            copy_exactly(size, from, to, |bytes| hasher.update(bytes))?;
            Ok(hex(&hasher.finalize()))
        }
        ObjectFormat::Sha256 => {
            let mut hasher = Sha256::new_with_prefix(header);
            copy_exactly(size, from, to, |bytes| hasher.update(bytes))?;
            Ok(hex(&hasher.finalize()))
        }
    }
}

fn copy_exactly(
    size: u64,
    mut from: impl Read,
    to: &mut dyn Write,
    mut note: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut left = size;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = from.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file shrank while it was read"));
        }
        note(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        left -= read as u64;
    }
    if from.read(&mut [0])? != 0 {
        return Err(io::Error::other("the file grew while it was read"));
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
