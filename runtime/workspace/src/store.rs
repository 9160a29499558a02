//! Folders of ours in which git works.
//!
//! [`Store`] borrows a repository's objects through `objects/info/alternates` and keeps what we make beside
//! them. [`Window`] shows git a repository's own objects and refs through links, for the two moments when
//! it has to see refs or write: what `git new-workdir` once did, with our configuration in place of theirs.

#![expect(clippy::disallowed_methods, reason = "opens object files of our own store")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use gloaming_api::Digest;

use crate::error::Missing;
use crate::files::{io_error, read_small, write_whole};
use crate::git::{Finished, Git, Running, failure};
use crate::locate::{Facts, Location, ObjectFormat, RefFormat};
use crate::{EntryKind, RelPath, RepoError, TreeEntry, is_object_id, names};

/// Our object store for one repository.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    /// A bare repository's folder, ours alone.
    pub(crate) dir: PathBuf,
    /// A folder for what lives as long as one command.
    pub(crate) scratch: PathBuf,
    /// The repository it borrows from, for errors.
    pub(crate) repository: PathBuf,
    format: ObjectFormat,
    missing: Missing,
}

impl Store {
    /// Opens the store of the repository at `location` beneath `state_dir`, making it where it is missing.
    pub(crate) fn open(state_dir: &Path, location: &Location, facts: &Facts) -> Result<Self, RepoError> {
        std::fs::create_dir_all(state_dir)
            .map_err(|source| io_error("make the folder", state_dir, source))?;
        let state_dir =
            std::fs::canonicalize(state_dir).map_err(|source| io_error("open", state_dir, source))?;
        let mut key = location.common_dir.as_os_str().as_bytes().to_vec();
        key.push(0);
        key.extend_from_slice(facts.format.as_str().as_bytes());
        let stores = state_dir.join("stores");
        std::fs::create_dir_all(&stores).map_err(|source| io_error("make the folder", &stores, source))?;
        let dir = stores.join(&Digest::of(key).hex()[..32]);
        if !dir.join("HEAD").is_file() {
            let fresh = tempfile::Builder::new()
                .prefix("new-")
                .tempdir_in(&stores)
                .map_err(|source| io_error("make a folder in", &stores, source))?;
            write_skeleton(fresh.path(), facts.format, RefFormat::Files, None)?;
            for folder in ["objects/info", "objects/pack", "refs"] {
                let folder = fresh.path().join(folder);
                std::fs::create_dir_all(&folder)
                    .map_err(|source| io_error("make the folder", &folder, source))?;
            }
            // Another process may have been first; then its store is as good as ours.
            if let Err(source) = std::fs::rename(fresh.path(), &dir)
                && !dir.join("HEAD").is_file()
            {
                return Err(io_error("make the folder", &dir, source));
            }
        }
        let alternates = dir.join("objects/info/alternates");
        let mut line = quote(location.common_dir.join("objects").as_os_str().as_bytes());
        line.push(b'\n');
        write_whole(&alternates, &line)?;
        let scratch = state_dir.join("tmp");
        std::fs::create_dir_all(&scratch).map_err(|source| io_error("make the folder", &scratch, source))?;
        Ok(Self {
            dir,
            scratch,
            repository: location.root.clone(),
            format: facts.format,
            missing: facts.missing,
        })
    }

    /// Begins a command in the store.
    pub(crate) fn git(&self, operation: &'static str, command: &str) -> Git {
        Git::new(operation, &self.dir, command)
    }

    /// Runs a command and returns its output; complaints about objects that are not there are told apart.
    pub(crate) fn output(&self, git: Git) -> Result<Vec<u8>, RepoError> {
        git.output().map_err(|error| self.explain(error))
    }

    /// Recognises a missing object in what git said.
    pub(crate) fn explain(&self, error: RepoError) -> RepoError {
        const SIGNS: &[&str] = &[
            "unable to read",
            "bad object",
            "not a tree object",
            "missing",
            "Could not read",
            "could not fetch",
            "unable to find",
            "invalid object",
            "not a valid object",
            "failed to unpack tree",
            "bad tree",
            "unable to get",
        ];
        if let RepoError::Git { stderr, .. } = &error
            && SIGNS.iter().any(|sign| stderr.contains(sign))
            && let Some(oid) = stderr.split(|c: char| !c.is_ascii_hexdigit()).find(|word| is_object_id(word))
        {
            return self.missing(oid);
        }
        error
    }

    /// Returns the error for an object that is not there.
    pub(crate) fn missing(&self, oid: &str) -> RepoError {
        RepoError::MissingObject { path: self.repository.clone(), oid: oid.to_owned(), because: self.missing }
    }

    /// Lists a tree's files, links and submodules, sorted by path bytes.
    pub(crate) fn list(&self, tree_ish: &str) -> Result<Vec<TreeEntry>, RepoError> {
        let git = self
            .git("list the files", "ls-tree")
            .args(["-r", "-z", "-l", "--full-tree", "--end-of-options"])
            .arg(tree_ish);
        let output = self.output(git)?;
        let mut entries = output
            .split(|byte| *byte == 0)
            .filter(|line| !line.is_empty())
            .map(|line| parse_entry(line).ok_or(line))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|line| RepoError::Git {
                operation: "list the files",
                stderr: format!("unexpected line {:?}", gloaming_api::path::escape_name(line)),
            })?;
        // A hostile tree need not be sorted, nor without doubles.
        entries.sort_by(|a, b| a.raw.cmp(&b.raw));
        for pair in entries.windows(2) {
            if pair[0].raw == pair[1].raw {
                return Err(RepoError::HostileTree { path: pair[0].display(), why: "it is there twice" });
            }
        }
        Ok(entries)
    }

    /// Reads one blob.
    pub(crate) fn blob(&self, oid: &str) -> Result<Vec<u8>, RepoError> {
        self.output(self.git("read a file", "cat-file").args(["blob", oid]))
    }

    /// Starts reading blobs in the order of `oids`.
    pub(crate) fn blobs(&self, oids: Vec<String>) -> Result<Blobs<'_>, RepoError> {
        let running = self
            .git("read the files", "cat-file")
            .args(["--batch", "--buffer"])
            .write_stdin(move |pipe| oids.iter().try_for_each(|oid| writeln!(pipe, "{oid}")))
            .start()?;
        Ok(Blobs { store: self, running: Some(running), reader: None })
    }

    /// Writes objects of the store as loose ones into a folder of their own.
    pub(crate) fn loose_copies(&self, oids: &[String]) -> Result<Loose, RepoError> {
        let dir = tempfile::Builder::new()
            .prefix("loose-")
            .tempdir_in(&self.scratch)
            .map_err(|source| io_error("make a folder in", &self.scratch, source))?;
        write_skeleton(dir.path(), self.format, RefFormat::Files, None)?;
        for folder in ["objects", "refs"] {
            let folder = dir.path().join(folder);
            std::fs::create_dir(&folder).map_err(|source| io_error("make the folder", &folder, source))?;
        }
        let mut list = oids.join("\n").into_bytes();
        list.push(b'\n');
        let pack = self.git("pack the new objects", "pack-objects").args(["--stdout", "-q"]).stdin(list);
        let pack = self.output(pack)?;
        Git::new("unpack the new objects", dir.path(), "unpack-objects").arg("-q").stdin(pack).output()?;
        Ok(Loose { dir })
    }

    /// Returns which of the objects are not in the store or what it borrows from.
    pub(crate) fn absent(&self, oids: &[&str]) -> Result<Vec<String>, RepoError> {
        absent(&self.dir, oids)
    }
}

/// Loose objects in a folder that lives as long as this.
pub(crate) struct Loose {
    dir: tempfile::TempDir,
}

impl Loose {
    /// Opens an object's file.
    pub(crate) fn open(&self, oid: &str) -> Result<File, RepoError> {
        let path = self.dir.path().join("objects").join(&oid[..2]).join(&oid[2..]);
        File::open(&path).map_err(|source| io_error("read", &path, source))
    }
}

/// Returns which objects are not in the repository at `dir`.
pub(crate) fn absent(dir: &Path, oids: &[&str]) -> Result<Vec<String>, RepoError> {
    let mut input = oids.join("\n").into_bytes();
    input.push(b'\n');
    let output = Git::new("look for objects", dir, "cat-file").arg("--batch-check").stdin(input).output()?;
    Ok(String::from_utf8_lossy(&output)
        .lines()
        .filter_map(|line| line.strip_suffix(" missing").map(str::to_owned))
        .collect())
}

/// Blobs being read one after the other.
pub(crate) struct Blobs<'a> {
    store: &'a Store,
    running: Option<Running>,
    reader: Option<BufReader<std::process::ChildStdout>>,
}

impl Blobs<'_> {
    /// Hands the next blob's size and content to `take`, which must read it to its end.
    pub(crate) fn next<T>(
        &mut self,
        oid: &str,
        take: impl FnOnce(u64, &mut dyn Read) -> Result<T, RepoError>,
    ) -> Result<T, RepoError> {
        let broken = |source| RepoError::Io { operation: "read from", path: "git".into(), source };
        if self.reader.is_none() {
            let running = self.running.as_mut().expect("it is there until finish");
            self.reader = running.take_stdout().map(|pipe| BufReader::with_capacity(256 * 1024, pipe));
        }
        let reader = self.reader.as_mut().expect("it was just set");
        let mut header = String::new();
        reader.take(200).read_line(&mut header).map_err(broken)?;
        let words: Vec<&str> = header.split_whitespace().collect();
        let size = match words.as_slice() {
            [id, "blob", size] if *id == oid => size.parse::<u64>().ok(),
            _ => None,
        };
        let Some(size) = size else {
            // The command's own words, where it died of it, say more than the line that is not there.
            return match self.running.take().map(Running::finish) {
                Some(Ok(Finished { success: false, stderr, .. })) if !header.ends_with("missing\n") => {
                    Err(self.store.explain(failure("read the files", &stderr)))
                }
                Some(Err(error)) => Err(error),
                _ => Err(self.store.missing(oid)),
            };
        };
        let mut content = reader.take(size);
        let value = take(size, &mut content)?;
        let left = content.limit();
        std::io::copy(&mut content, &mut std::io::sink()).map_err(broken)?;
        debug_assert_eq!(left, 0, "the content is read to its end");
        let mut newline = [0];
        reader.read_exact(&mut newline).map_err(broken)?;
        Ok(value)
    }

    /// Waits for the command's end.
    pub(crate) fn finish(mut self) -> Result<(), RepoError> {
        drop(self.reader.take());
        match self.running.take().map(Running::finish) {
            Some(Ok(finished)) if !finished.success => {
                Err(self.store.explain(failure("read the files", &finished.stderr)))
            }
            Some(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Parses `<mode> <type> <id> <size>\t<path>`.
fn parse_entry(line: &[u8]) -> Option<TreeEntry> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let raw = line[tab + 1..].to_vec();
    let facts = std::str::from_utf8(&line[..tab]).ok()?;
    let words: Vec<&str> = facts.split_ascii_whitespace().collect();
    let [mode, _, oid, size] = words.as_slice() else { return None };
    let kind = entry_kind(mode)?;
    if !is_object_id(oid) {
        return None;
    }
    Some(TreeEntry {
        path: rel_path(&raw),
        raw,
        kind,
        oid: (*oid).to_owned(),
        size: size.parse().unwrap_or_default(),
    })
}

/// Returns what a git mode stands for; group-writable files of ancient trees are plain ones.
pub(crate) fn entry_kind(mode: &str) -> Option<EntryKind> {
    match mode {
        "100644" | "100664" => Some(EntryKind::File),
        "100755" => Some(EntryKind::Executable),
        "120000" => Some(EntryKind::Symlink),
        "160000" => Some(EntryKind::Submodule),
        _ => None,
    }
}

/// Returns the path where it is UTF-8 and one spelling of itself.
pub(crate) fn rel_path(raw: &[u8]) -> Option<RelPath> {
    let text = std::str::from_utf8(raw).ok()?;
    if names::refused(raw).is_some() {
        return None;
    }
    RelPath::parse(text).ok().filter(|path| path.as_str() == text)
}

/// A repository's own objects and refs, shown to git under a configuration of ours.
pub(crate) struct Window {
    dir: tempfile::TempDir,
}

impl Window {
    /// Makes the window; `refs_of` is the git folder whose refs are shown (a linked work tree has its own
    /// HEAD).
    pub(crate) fn open(
        scratch: &Path,
        location: &Location,
        facts: &Facts,
        refs_of: &Path,
    ) -> Result<Self, RepoError> {
        let dir = tempfile::Builder::new()
            .prefix("window-")
            .tempdir_in(scratch)
            .map_err(|source| io_error("make a folder in", scratch, source))?;
        // Never the repository's own HEAD: nothing done here may move it.
        write_skeleton(dir.path(), facts.format, facts.refs, facts.shared.as_deref())?;
        let link = |from: &Path, name: &str| {
            let to = dir.path().join(name);
            std::os::unix::fs::symlink(from.join(name), &to).map_err(|source| io_error("link", &to, source))
        };
        link(&location.common_dir, "objects")?;
        link(&location.common_dir, "refs")?;
        match facts.refs {
            RefFormat::Files => link(&location.common_dir, "packed-refs")?,
            RefFormat::Reftable => link(refs_of, "reftable")?,
        }
        if location.common_dir.join("shallow").exists() {
            link(&location.common_dir, "shallow")?;
        }
        Ok(Self { dir })
    }

    /// Copies the index in; returns whether there is one.
    pub(crate) fn copy_index(&self, location: &Location) -> Result<bool, RepoError> {
        const LARGEST: u64 = 1 << 30;
        let Some(index) = read_small(&location.git_dir.join("index"), LARGEST)? else { return Ok(false) };
        write_whole(&self.dir.path().join("index"), &index)?;
        // A split index keeps most of its entries in a file that git looks for beside HEAD.
        for entry in std::fs::read_dir(&location.git_dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.as_bytes().starts_with(b"sharedindex.")
                && let Some(bytes) = read_small(&entry.path(), LARGEST)?
            {
                write_whole(&self.dir.path().join(name), &bytes)?;
            }
        }
        Ok(true)
    }

    /// Returns the git folder.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Shows HEAD as it is, for a clone to find the branch to start from. A copy: nothing can move it.
    pub(crate) fn show_head(&self, location: &Location) -> Result<(), RepoError> {
        match read_small(&location.git_dir.join("HEAD"), 64 * 1024)? {
            Some(head) => write_whole(&self.dir.path().join("HEAD"), &head),
            None => Ok(()),
        }
    }

    /// Begins a command in the window.
    pub(crate) fn git(&self, operation: &'static str, command: &str) -> Git {
        Git::new(operation, self.dir.path(), command)
    }

    /// Returns every ref with its value, for refs that only git can read.
    pub(crate) fn refs(&self) -> Result<HashMap<String, String>, RepoError> {
        let output = self
            .git("list the branches", "for-each-ref")
            .arg("--format=%(refname) %(objectname)")
            .output()?;
        Ok(String::from_utf8_lossy(&output)
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, oid)| (name.to_owned(), oid.to_owned()))
            .collect())
    }
}

/// Writes HEAD and a configuration of ours into a git folder.
fn write_skeleton(
    dir: &Path,
    format: ObjectFormat,
    refs: RefFormat,
    shared: Option<&str>,
) -> Result<(), RepoError> {
    let mut config = String::from("[core]\n\trepositoryformatversion = 1\n\tbare = true\n");
    if let Some(shared) = shared.filter(|value| is_plain_word(value)) {
        config.push_str(&format!("\tsharedRepository = {shared}\n"));
    }
    config.push_str("[extensions]\n");
    if format == ObjectFormat::Sha256 {
        config.push_str("\tobjectFormat = sha256\n");
    }
    if refs == RefFormat::Reftable {
        config.push_str("\trefStorage = reftable\n");
    }
    write_whole(&dir.join("config"), config.as_bytes())?;
    write_whole(&dir.join("HEAD"), b"ref: refs/heads/none\n")
}

fn is_plain_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Quotes a path as C does, as git reads it in lists of paths.
fn quote(path: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in path {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0x20..=0x7e => out.push(*byte),
            _ => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
        }
    }
    out.push(b'"');
    out
}
