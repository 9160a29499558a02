//! Jobs that are stopped when what they write on the disk outgrows a bound.
//!
//! No file system counts for a folder that is bound into a container, so this looks, while the job runs: at the room that
//! is left on the disk, four times a second, and into the folders where that says that a bound may have been passed, and
//! now and then in any case. A job can so write more than its bound by what it writes between two looks; what it has
//! deleted and still holds open only the room on the disk tells. The size of a single file the kernel bounds for every job.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gloaming_policies::JobPermit;
use tokio::time::{MissedTickBehavior, interval};

use crate::{Cancel, Engine, Job, JobError, JobOutput};

/// Between two looks at the room on the disk.
const LOOK: Duration = Duration::from_millis(250);

/// After so many looks the folders are measured whatever the disk says: others free what the job takes.
const MEASURE: u32 = 20;

/// No job may leave a disk with less room than this, bytes.
const ROOM: u64 = 256 << 20;

/// An entry of a folder takes up this at least, bytes.
const ENTRY: u64 = 512;

/// How much may be in some folders of one disk together.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The folders; those that are not there hold nothing.
    pub folders: Vec<PathBuf>,
    /// Bytes on the disk that were in them before and are not the job's.
    pub before: u64,
    /// Bytes on the disk that the job may add.
    pub most: u64,
    /// What says how much it is, for people: "the cap of all caches".
    pub named: String,
}

/// Why a job was stopped, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgrown {
    /// What it did.
    pub reason: String,
    /// Whether the disk is full rather than a bound passed.
    pub disk_is_full: bool,
}

/// Runs a job as [`Engine::run`] does, and stops it when one of the bounds is passed; its exit then is that of a job that
/// was cancelled, and it is said which bound it was. A job that ended before that was seen is measured once more.
///
/// # Errors
/// As those of [`Engine::run`].
pub async fn run_bounded(
    engine: &dyn Engine,
    permit: &JobPermit,
    job: &Job,
    cancel: &Cancel,
    bounds: &[Bound],
) -> Result<(JobOutput, Option<Outgrown>), JobError> {
    let stop = Cancel::new();
    let mut running = engine.run(permit, job, &stop);
    let mut watches: Vec<Watch> = bounds.iter().cloned().map(Watch::of).collect();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut outgrown, mut told) = (None, false);
    loop {
        tokio::select! {
            output = &mut running => {
                let output = output?;
                if outgrown.is_none() && !cancel.is_cancelled() {
                    (_, outgrown) = looked(watches, true).await;
                }
                return Ok((output, outgrown));
            }
            () = cancel.cancelled(), if !told => {
                told = true;
                stop.cancel();
            }
            _ = looks.tick(), if outgrown.is_none() => {
                (watches, outgrown) = looked(watches, false).await;
                if outgrown.is_some() {
                    stop.cancel();
                }
            }
        }
    }
}

/// Looks on a thread that may wait for the disk.
async fn looked(mut watches: Vec<Watch>, last: bool) -> (Vec<Watch>, Option<Outgrown>) {
    let looked = tokio::task::spawn_blocking(move || {
        let outgrown = watches.iter_mut().find_map(|watch| watch.look(last));
        (watches, outgrown)
    });
    // It ends early only where it panicked, or with the runtime.
    looked.await.unwrap_or_default()
}

/// What is known of one bound's folders.
struct Watch {
    bound: Bound,
    /// Bytes that the job had added when the folders were measured last.
    held: u64,
    /// Bytes that the disk had left then; none before.
    room: Option<u64>,
    looks: u32,
}

impl Watch {
    fn of(bound: Bound) -> Self {
        Self { bound, held: 0, room: None, looks: 0 }
    }

    fn look(&mut self, measure: bool) -> Option<Outgrown> {
        let room = self.bound.folders.iter().find_map(|folder| room(folder).ok());
        if room.is_some_and(|room| room < ROOM) {
            let reason = format!("the disk has less than {} MiB left", ROOM >> 20);
            return Some(Outgrown { reason, disk_is_full: true });
        }
        self.looks += 1;
        // What went off the disk since is more than what this job wrote, or somebody else has made room.
        let taken = match (self.room, room) {
            (Some(before), Some(now)) => before.saturating_sub(now),
            _ => u64::MAX,
        };
        if !measure
            && !self.looks.is_multiple_of(MEASURE)
            && self.held.saturating_add(taken) <= self.bound.most
        {
            return None;
        }
        let held = self.bound.folders.iter().map(|folder| bytes_in(folder)).fold(0, u64::saturating_add);
        self.held = held.saturating_sub(self.bound.before);
        self.room = room;
        (self.held > self.bound.most).then(|| Outgrown {
            reason: format!(
                "it had {} on the disk, and {} is {}",
                megabytes(self.held),
                self.bound.named,
                megabytes(self.bound.most)
            ),
            disk_is_full: false,
        })
    }
}

/// Returns the bytes that anybody may still write to the disk of a folder.
fn room(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Returns the bytes on the disk below a folder, as far as it can be looked into: what goes meanwhile is gone. A file of
/// several names counts once for each.
pub fn bytes_in(folder: &Path) -> u64 {
    let mut bytes = 0_u64;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            // Of the entry itself: a link is not followed.
            let Ok(meta) = entry.metadata() else { continue };
            bytes = bytes.saturating_add((meta.blocks() * 512).max(ENTRY));
            if meta.is_dir() {
                open.push(entry.path());
            }
        }
    }
    bytes
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes % (1 << 20)) * 10) >> 20)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "makes the files that are measured")]
mod tests {
    use super::*;

    #[test]
    fn folders_are_measured_together_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        for (folder, size) in [(&one, 300 << 10), (&two, 200 << 10)] {
            fs::create_dir_all(folder.join("deep")).unwrap();
            fs::write(folder.join("deep/file"), vec![1; size]).unwrap();
        }
        std::os::unix::fs::symlink(&two, one.join("link")).unwrap();
        let bound = |most| Bound {
            folders: vec![one.clone(), two.clone(), dir.path().join("none")],
            before: 100 << 10,
            most,
            named: "the cap".to_owned(),
        };
        assert_eq!(Watch::of(bound(1 << 20)).look(true), None);
        let outgrown = Watch::of(bound(300 << 10)).look(false).unwrap();
        assert!(
            !outgrown.disk_is_full && outgrown.reason.ends_with("and the cap is 0.2 MiB"),
            "{outgrown:?}"
        );
        assert_eq!(megabytes((3 << 20) + (1 << 19)), "3.5 MiB");
    }
}
