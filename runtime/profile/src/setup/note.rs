//! A note of a set-up that failed without network: it would fail again for as long as nothing is another.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use gloaming_api::Digest;
use gloaming_api::job::JobRecord;
use gloaming_api::profile::Command;
use gloaming_jobs::{Filling, JobOutput};
use gloaming_policies::JobPermit;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::Lack;
use crate::prove::excerpt;
use crate::remedy::missing_program;

/// Beside what the cache's key says, any file of the tree may be what a set-up fails of: so many are compared, and in a tree
/// of more it is tried again each time.
const MOST_FILES: usize = 200_000;

/// So much of a file is compared, bytes; and its length.
const LONGEST: u64 = 64 << 20;

/// Why a set-up failed, and of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    /// Digest of the tree's files and of the limits; none where the tree is too large to tell.
    of: Option<Digest>,
    pub(super) lack: Lack,
    pub(super) records: Vec<JobRecord>,
}

/// Whether a failure is the command's own word: time and memory run out where a machine is busy. A program that is missing
/// may be installed where no environment's digest looks.
pub(super) fn is_worth_one(command: &Command, output: &JobOutput) -> bool {
    let exit = output.record.exit;
    exit.code().is_some() && missing_program(command, exit, &excerpt(output)).is_none()
}

/// Reads what was noted of a cache that is not filled, and when; nothing where that makes no sense.
pub(super) fn read(filling: &Filling) -> io::Result<Option<(Note, SystemTime)>> {
    let Some((text, at)) = filling.note()? else { return Ok(None) };
    Ok(serde_json::from_slice(&text).ok().map(|note| (note, at)))
}

impl Note {
    pub(super) fn of(tree: &Path, permit: &JobPermit, lack: &Lack, records: &[JobRecord]) -> Self {
        Self { of: circumstances(tree, permit), lack: lack.clone(), records: records.to_vec() }
    }

    /// Whether nothing is another than it was then.
    pub(super) fn holds(&self, tree: &Path, permit: &JobPermit) -> bool {
        self.of.is_some() && self.of == circumstances(tree, permit)
    }

    pub(super) fn leave(&self, filling: Filling) -> io::Result<()> {
        filling.give_up(&serde_json::to_vec(self).map_err(io::Error::other)?)
    }
}

fn circumstances(tree: &Path, permit: &JobPermit) -> Option<Digest> {
    let mut files: Vec<(String, u32, String)> = Vec::new();
    let mut open = vec![tree.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).ok()? {
            let path = entry.ok()?.path();
            let meta = fs::symlink_metadata(&path).ok()?;
            let name = path.strip_prefix(tree).ok()?.to_str()?.to_owned();
            let what = if meta.is_dir() {
                // It is no part of the copy that a set-up sees.
                if name != ".git" {
                    open.push(path);
                }
                continue;
            } else if meta.is_symlink() {
                fs::read_link(&path).ok()?.to_str()?.to_owned()
            } else {
                content(&path).ok()?.to_string()
            };
            files.push((name, meta.mode(), what));
            if files.len() > MOST_FILES {
                return None;
            }
        }
    }
    files.sort();
    Some(Digest::of_json(&(files, permit.limits())))
}

fn content(path: &Path) -> io::Result<Digest> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    bytes.extend(length.to_le_bytes());
    Ok(Digest::of(bytes))
}
