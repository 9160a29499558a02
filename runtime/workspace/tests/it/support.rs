//! A repository in a temporary folder, and the state folder beside it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gloaming_workspace::{Author, Checkout, CommitId, Patch, Repository};
use jiff::Timestamp;

/// A folder that holds `repo/` and `state/` and goes away with the test.
pub(crate) struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    /// A repository with one commit.
    pub(crate) fn new() -> Self {
        let scene = Self::empty(&[]);
        scene.write("README.md", "# Title\n");
        scene.write("src/lib.rs", "pub fn foo_bar() -> u32 {\n    1\n}\n");
        scene.commit("first");
        scene
    }

    /// A repository without commits.
    pub(crate) fn empty(init: &[&str]) -> Self {
        let scene = Self::bare_folder();
        let mut args = vec!["init", "-q", "-b", "main"];
        args.extend(init);
        args.push("repo");
        git(scene.dir.path(), &args);
        scene
    }

    /// A folder without a repository.
    pub(crate) fn bare_folder() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn open(&self) -> Repository {
        Repository::open(&self.repo(), &self.state()).unwrap()
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        write(&self.repo().join(path), content);
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.repo(), args)
    }

    pub(crate) fn commit(&self, message: &str) -> CommitId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.head()
    }

    pub(crate) fn head(&self) -> CommitId {
        self.git(&["rev-parse", "HEAD"]).trim().parse().unwrap()
    }

    /// Opens the repository and checks HEAD out into `work/`.
    pub(crate) fn checked_out(&self) -> (Repository, Checkout) {
        let repository = self.open();
        let base = repository.resolve(None).unwrap();
        let checkout = repository.checkout(&base, &self.path("work")).unwrap();
        (repository, checkout)
    }
}

pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Runs git as a user would, but without the machine's configuration.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let (output, said) = try_git(dir, args, b"");
    output.unwrap_or_else(|| panic!("git {args:?}: {said}"))
}

pub(crate) fn git_with(dir: &Path, args: &[&str], stdin: &[u8]) -> String {
    let (output, said) = try_git(dir, args, stdin);
    output.unwrap_or_else(|| panic!("git {args:?}: {said}"))
}

pub(crate) fn try_git(dir: &Path, args: &[&str], stdin: &[u8]) -> (Option<String>, String) {
    let mut child = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "protocol.file.allow")
        .env("GIT_CONFIG_VALUE_0", "always")
        .env("GIT_AUTHOR_NAME", "A U Thor")
        .env("GIT_AUTHOR_EMAIL", "author@example.com")
        .env("GIT_AUTHOR_DATE", "@1700000000 +0000")
        .env("GIT_COMMITTER_NAME", "C O Mitter")
        .env("GIT_COMMITTER_EMAIL", "committer@example.com")
        .env("GIT_COMMITTER_DATE", "@1700000000 +0000")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // A command that reads nothing closes it early.
    let _ = pipe.write_all(stdin);
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success().then_some(text), said)
}

/// Whether this git can store refs as reftable (2.45 can).
pub(crate) fn has_reftable() -> bool {
    let dir = tempfile::tempdir().unwrap();
    let there = try_git(dir.path(), &["init", "-q", "--ref-format=reftable", "x"], b"").0.is_some();
    if !there {
        eprintln!("SKIPPED: this git has no reftable");
    }
    there
}

/// Everything in a folder: mode, size or link target, and content, by path bytes.
pub(crate) fn listing(dir: &Path) -> BTreeMap<Vec<u8>, (u32, Vec<u8>)> {
    fn walk(dir: &Path, prefix: &[u8], out: &mut BTreeMap<Vec<u8>, (u32, Vec<u8>)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let mut name = prefix.to_vec();
            name.extend_from_slice(entry.file_name().as_bytes());
            let metadata = entry.metadata().unwrap();
            let kind = metadata.file_type();
            let content = if kind.is_symlink() {
                std::fs::read_link(entry.path()).unwrap().as_os_str().as_bytes().to_vec()
            } else if kind.is_file() {
                std::fs::read(entry.path()).unwrap()
            } else {
                Vec::new()
            };
            out.insert(name.clone(), (metadata.mode(), content));
            if kind.is_dir() {
                name.push(b'/');
                walk(&entry.path(), &name, out);
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(dir, b"", &mut out);
    out
}

/// The listing of a checkout for a snapshot: `mode name = content`.
pub(crate) fn show(dir: &Path) -> String {
    let mut out = String::new();
    for (name, (mode, content)) in listing(dir) {
        let name = gloaming_api::path::escape_name(&name);
        let content = gloaming_api::path::escape_name(&content);
        out.push_str(&format!("{mode:06o} {name} = {content}\n"));
    }
    out
}

/// A patch's files for a snapshot: `change path +added -removed [binary]`.
pub(crate) fn files(patch: &Patch) -> Vec<String> {
    patch
        .files
        .iter()
        .map(|file| {
            let binary = if file.binary { " binary" } else { "" };
            let path = gloaming_api::path::escape_name(file.path.as_str().as_bytes());
            format!("{:?} {path} +{} -{}{binary}", file.change, file.added, file.removed)
        })
        .collect()
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

pub(crate) fn author() -> Author {
    Author { name: "Gloaming".into(), email: "gloaming@example.com".into() }
}

pub(crate) fn when() -> Timestamp {
    Timestamp::from_second(1_750_000_000).unwrap()
}
