//! Who made a container and where its control group is, so that the next process can clean up after a dead one.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cgroup::{Group, Hierarchy};
use crate::JobError;

const FILE: &str = "helper.json";
/// A folder without a record is being made right now, or its maker died within an instant.
const BEING_MADE: Duration = Duration::from_secs(60);
const DYING: Duration = Duration::from_secs(5);

/// The record in a container's folder.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pid: u32,
    /// The process's start, in the kernel's ticks since boot: a number used again has another.
    start: u64,
    cgroup: Option<String>,
}

impl Record {
    /// Returns the record of a container whose helper is this process.
    pub(crate) fn for_this_process(cgroup: Option<String>) -> io::Result<Self> {
        let pid = std::process::id();
        let start = start_time(pid).ok_or_else(|| io::Error::other("/proc/self/stat makes no sense"))?;
        Ok(Self { pid, start, cgroup })
    }

    /// Makes the container's folder, private, with the record in it.
    pub(crate) fn create(&self, folder: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(folder)?;
        self.replace(folder)
    }

    /// Replaces the record.
    pub(crate) fn replace(&self, folder: &Path) -> io::Result<()> {
        let draft = folder.join("helper.json.new");
        fs::write(&draft, serde_json::to_vec(self)?)?;
        fs::rename(draft, folder.join(FILE))
    }

    fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()
    }

    fn helper_lives(&self) -> bool {
        start_time(self.pid) == Some(self.start)
    }
}

/// Returns the folder that containers' folders are made in.
pub(crate) fn containers(state_dir: &Path) -> PathBuf {
    state_dir.join("containers")
}

/// Removes what dead helpers left behind under an engine's `state_dir`: processes, control groups, folders.
/// Returns the names of the containers it removed. Containers whose helper lives are left alone, whoever
/// started them.
///
/// # Errors
/// When the folder cannot be listed; one that does not exist holds nothing.
pub fn reap(state_dir: &Path) -> Result<Vec<String>, JobError> {
    let folder = containers(state_dir);
    let list = |error| JobError::Io { doing: format!("listing {}", folder.display()), source: error };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(list(error)),
    };
    let mut reaped = Vec::new();
    for entry in entries {
        let path = entry.map_err(list)?.path();
        if reap_one(&path)
            && let Some(name) = path.file_name()
        {
            reaped.push(name.to_string_lossy().into_owned());
        }
    }
    reaped.sort();
    Ok(reaped)
}

/// Removes one container if its helper is dead; returns whether it is gone by our doing.
pub(crate) fn reap_one(folder: &Path) -> bool {
    match Record::read(folder) {
        Some(record) if record.helper_lives() => return false,
        Some(Record { cgroup: Some(cgroup), .. }) => {
            let Ok(hierarchy) = Hierarchy::detect() else { return false };
            let group = Group::existing(hierarchy, cgroup);
            if !group.kill_all(DYING) || !group.remove() {
                tracing::warn!(folder = %folder.display(), "a container's processes cannot be killed");
                return false;
            }
        }
        Some(_) => {}
        None => {
            let age = fs::symlink_metadata(folder)
                .and_then(|meta| meta.modified())
                .ok()
                .and_then(|modified| modified.elapsed().ok());
            if age.is_none_or(|age| age < BEING_MADE) {
                return false;
            }
        }
    }
    discard(folder)
}

/// Removes a container's folder, unless something is mounted in it: its mounts live in a namespace of their
/// own, and were one of them visible here after all, removing would empty what it shows (`/usr`).
pub(crate) fn discard(folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return false };
    let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else { return false };
    if mounts_below(&mounts, &folder) {
        tracing::error!(folder = %folder.display(), "a container's folder still has mounts in it and is kept");
        return false;
    }
    fs::remove_dir_all(folder).is_ok()
}

fn mounts_below(mountinfo: &str, folder: &Path) -> bool {
    let folder = folder.as_os_str().as_encoded_bytes();
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).any(|mount| {
        let mount = unescape(mount);
        mount.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    })
}

/// Undoes the kernel's `\040` for a space and the like.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) if byte == b'\\' => {
                out.push(escaped);
                rest = &tail[3..];
            }
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    out
}

/// Field 22 of `/proc/<pid>/stat`; the name in field 2 may hold anything, up to its closing parenthesis.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    // A zombie runs nothing any more.
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_mounts_in_it_is_never_emptied() {
        let info = "36 1 8:1 / /var/a\\040b/rootfs/usr ro - ext4 /dev/sda rw\n";
        assert!(mounts_below(info, Path::new("/var/a b")));
        assert!(mounts_below(info, Path::new("/var/a b/rootfs/usr")));
        assert!(!mounts_below(info, Path::new("/var/a b/rootfs/us")));
        assert!(!mounts_below(info, Path::new("/var/a")));
    }

    #[test]
    fn the_living_are_left_alone_and_the_dead_are_removed() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(reap(state.path()).unwrap(), Vec::<String>::new());
        let folder = containers(state.path());
        fs::create_dir_all(&folder).unwrap();
        let mine = Record::for_this_process(None).unwrap();
        mine.create(&folder.join("alive")).unwrap();
        // The same number, another process.
        Record { start: mine.start + 1, ..mine }.create(&folder.join("dead")).unwrap();
        fs::create_dir(folder.join("being-made")).unwrap();
        assert_eq!(reap(state.path()).unwrap(), ["dead"]);
        assert!(folder.join("alive").exists());
        assert!(folder.join("being-made").exists());
        assert!(!folder.join("dead").exists());
    }
}
