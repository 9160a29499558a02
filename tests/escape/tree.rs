//! Trees: laid from a manifest, looked at, changed behind a call's back.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gloaming_api::Digest;
use gloaming_worker::GitBase;
use rustix::fs::{CWD, FileType, Mode, OFlags, RenameFlags};
use tempfile::TempDir;

use super::case::{Entry, Step};

/// Files up to this size are compared by content, others by size, times and inode: bytes.
const HASHED: u64 = 256 << 10;

/// From how many files on a tree is laid in memory.
const MANY: u32 = 5_000;

/// A folder of one case: `workspace` and beside it what nobody may reach.
pub(super) struct Scene {
    dir: TempDir,
    /// The word that must not be seen.
    pub(super) canary: String,
}

impl Scene {
    /// Lays a tree, or says why that cannot be done here.
    pub(super) fn lay(entries: &[Entry]) -> Result<Self, String> {
        // A disk takes a minute to make what memory does in a second.
        let many = |entry: &Entry| matches!(entry, Entry::Many { count, .. } if *count >= MANY);
        let memory = Path::new("/dev/shm");
        let dir = if entries.iter().any(many) && memory.is_dir() {
            TempDir::with_prefix_in("gloaming-escape-", memory)
        } else {
            TempDir::with_prefix("gloaming-escape-")
        };
        let dir = dir.map_err(|error| error.to_string())?;
        // A container's user must be able to pass through.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))
            .map_err(|error| error.to_string())?;
        let canary = format!("canary{:016x}", RandomState::new().hash_one(dir.path()));
        let scene = Self { dir, canary };
        scene.lay_in("workspace", entries)?;
        Ok(scene)
    }

    fn lay_in(&self, folder: &'static str, entries: &[Entry]) -> Result<(), String> {
        let ground = Ground { scene: self, root: self.dir.path().join(folder) };
        std::fs::create_dir(&ground.root).map_err(|error| error.to_string())?;
        entries
            .iter()
            .try_for_each(|entry| ground.put(entry).map_err(|error| format!("cannot lay {entry:?}: {error}")))
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.dir.path().join("workspace")
    }

    /// Replaces `<<canary>>`, `<<outside>>` (its absolute path), `<<text*N>>` (a text N times) and `<<xNN>>` (a
    /// byte).
    pub(super) fn bytes(&self, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("<<") {
            let Some(length) = rest[start..].find(">>") else { break };
            out.extend_from_slice(&rest.as_bytes()[..start]);
            let word = &rest[start + 2..start + length];
            let byte = word.strip_prefix('x').filter(|digits| digits.len() == 2);
            if word == "canary" {
                out.extend_from_slice(self.canary.as_bytes());
            } else if word == "outside" {
                out.extend_from_slice(self.dir.path().join("outside").as_os_str().as_bytes());
            } else if let Some(byte) = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                out.push(byte);
            } else if let Some((text, times)) = word.rsplit_once('*')
                && let Ok(times) = times.parse::<usize>()
            {
                out.extend(text.repeat(times).into_bytes());
            } else {
                out.extend_from_slice(&rest.as_bytes()[start..start + length + 2]);
            }
            rest = &rest[start + length + 2..];
        }
        out.extend_from_slice(rest.as_bytes());
        out
    }

    /// The same for what a call is given, which is text.
    pub(super) fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text)).into_owned()
    }

    /// Lays a tree beside the workspace and commits it, and returns the base it is.
    pub(super) fn commit(&self, entries: &[Entry], state_dir: &Path) -> Result<GitBase, String> {
        let folder = self.dir.path().join("base");
        self.lay_in("base", entries)?;
        for args in [&["init", "-q"][..], &["add", "-A", "-f"], &["commit", "-q", "-m", "base"]] {
            let git = Command::new("git")
                .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"])
                .args(args)
                .current_dir(&folder)
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .output();
            match git {
                Ok(output) if output.status.success() => {}
                Ok(output) => {
                    return Err(format!("git {args:?}: {}", String::from_utf8_lossy(&output.stderr)));
                }
                Err(error) => return Err(format!("git {args:?}: {error}")),
            }
        }
        Ok(GitBase::head(&folder, state_dir))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.workspace().join(OsStr::from_bytes(&self.bytes(path)))
    }

    /// Everything there is, by path, with kind, mode, content, inode and time of change: what was rewritten the
    /// same shows as well. Folders and links by kind and target alone.
    pub(super) fn look(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut todo = vec![self.dir.path().to_owned()];
        while let Some(folder) = todo.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else {
                found.insert(folder, "cannot be read".to_owned());
                continue;
            };
            for entry in entries.flatten() {
                let path = entry.path();
                let Ok(facts) = entry.metadata() else { continue };
                let kind = facts.file_type();
                let is = if kind.is_dir() {
                    // What lies too deep for one path is left to the one call that can reach it.
                    if path.as_os_str().len() < 3_500 {
                        todo.push(path.clone());
                    }
                    format!("folder {:o}", facts.mode())
                } else if kind.is_symlink() {
                    format!("link to {}", std::fs::read_link(&path).unwrap_or_default().display())
                } else if kind.is_file() {
                    let content = if facts.len() == 0 {
                        String::new()
                    } else if facts.len() <= HASHED {
                        std::fs::read(&path).map_or(String::new(), |data| Digest::of(&data).to_string())
                    } else {
                        format!("{} blocks", facts.blocks())
                    };
                    format!(
                        "file {:o} {} {content} inode {} links {} at {}.{}",
                        facts.mode(),
                        facts.len(),
                        facts.ino(),
                        facts.nlink(),
                        facts.mtime(),
                        facts.mtime_nsec()
                    )
                } else {
                    let what = if kind.is_fifo() { "fifo" } else { "socket or device" };
                    format!("{what} {:o}", facts.mode())
                };
                found.insert(path, is);
            }
        }
        found
    }

    /// Does mischief until told to stop, and counts the rounds; each ends with everything in its place.
    pub(super) fn mischief(
        &self,
        steps: &[Step],
        stop: &AtomicBool,
        rounds: &AtomicU64,
    ) -> Result<(), String> {
        let step = |step: &Step, back: bool| -> rustix::io::Result<()> {
            let (names, flags) = match step {
                Step::Exchange { exchange } => (exchange, RenameFlags::EXCHANGE),
                Step::Rename { rename } => (rename, RenameFlags::NOREPLACE),
            };
            let [mut from, mut to] = [self.at(&names[0]), self.at(&names[1])];
            if back {
                std::mem::swap(&mut from, &mut to);
            }
            rustix::fs::renameat_with(CWD, from, CWD, to, flags)
        };
        while !stop.load(Ordering::Relaxed) {
            let there = steps.iter().map(|one| (one, false));
            for (one, back) in there.chain(steps.iter().rev().map(|one| (one, true))) {
                step(one, back).map_err(|errno| format!("mischief {one:?} cannot be done: {errno}"))?;
            }
            rounds.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A folder that a tree is laid in.
struct Ground<'a> {
    scene: &'a Scene,
    root: PathBuf,
}

impl Ground<'_> {
    fn at(&self, path: &str) -> PathBuf {
        self.root.join(OsStr::from_bytes(&self.scene.bytes(path)))
    }

    /// The path with the folder above it made.
    fn made(&self, path: &str) -> std::io::Result<PathBuf> {
        let path = self.at(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(path)
    }

    fn put(&self, entry: &Entry) -> std::io::Result<()> {
        let node = |path: &str, kind, device| -> std::io::Result<()> {
            Ok(rustix::fs::mknodat(CWD, self.made(path)?, kind, Mode::from_raw_mode(0o666), device)?)
        };
        let mode_of = |path: &Path, mode: &Option<u32>| match mode {
            Some(mode) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode)),
            None => Ok(()),
        };
        match entry {
            Entry::File { file, text, mode } => {
                let path = self.made(file)?;
                std::fs::write(&path, self.scene.bytes(text))?;
                mode_of(&path, mode)
            }
            Entry::Folder { folder, mode } => {
                let path = self.made(folder)?;
                std::fs::create_dir_all(&path)?;
                mode_of(&path, mode)
            }
            Entry::Link { link, to } => symlink(OsStr::from_bytes(&self.scene.bytes(to)), self.made(link)?),
            Entry::Hard { hard, of } => std::fs::hard_link(self.at(of), self.made(hard)?),
            Entry::Fifo { fifo } => node(fifo, FileType::Fifo, 0),
            // The name stays when the listener is gone.
            Entry::Socket { socket } => UnixListener::bind(self.made(socket)?).map(drop),
            Entry::Device { device, major, minor } => {
                node(device, FileType::CharacterDevice, rustix::fs::makedev(*major, *minor))
            }
            Entry::Sparse { sparse, size, text } => {
                use std::os::unix::fs::FileExt as _;
                let file = std::fs::File::create(self.made(sparse)?)?;
                file.set_len(*size)?;
                let text = self.scene.bytes(text);
                file.write_all_at(&text, size - text.len() as u64)
            }
            Entry::Many { many, count, text } => {
                let text = self.scene.bytes(text);
                self.made(many)?;
                for n in 0..*count {
                    std::fs::write(self.at(&many.replace("{n}", &n.to_string())), &text)?;
                }
                Ok(())
            }
            Entry::Deep { deep, levels, file, text } => {
                // By handles: the whole path may be longer than the system takes.
                let mut folder =
                    rustix::fs::open(&self.root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
                for _ in 0..*levels {
                    match rustix::fs::mkdirat(&folder, deep.as_str(), Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                    let flags = OFlags::PATH | OFlags::DIRECTORY;
                    folder = rustix::fs::openat(&folder, deep.as_str(), flags, Mode::empty())?;
                }
                let flags = OFlags::WRONLY | OFlags::CREATE;
                let file = rustix::fs::openat(&folder, file.as_str(), flags, Mode::from_raw_mode(0o644))?;
                rustix::io::write(&file, &self.scene.bytes(text))?;
                Ok(())
            }
        }
    }
}
