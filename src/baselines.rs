//! What was seen of untouched trees, kept from one patch to the next: a folder for each repository under
//! `$GLOAMING_HOME/cache/baselines`, one file for each base, environment, policy and set of commands.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gloaming_api::{Digest, RepoId};
use gloaming_verify::{Baseline, Baselines};

use crate::context::{self, Home};
use crate::failure::Failure;

/// How many of a repository are kept, and for how long: what a job sees of this machine's caches may have changed
/// though nothing that the key names did.
const MOST: usize = 32;
const KEPT: Duration = Duration::from_secs(14 * 24 * 3600);

/// The baselines of one repository.
pub(crate) struct Kept {
    dir: PathBuf,
    /// Nothing that is kept is used; what is made anew takes its place.
    again: bool,
}

impl Kept {
    /// Opens the folder of a repository, and removes from it what is too old.
    pub(crate) fn open(home: &Home, repo: &RepoId, again: bool) -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let dir = home.cache.join("baselines").join(repo.as_str());
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|error| Failure::disk(&format!("make the folder {}", dir.display()), error))?;
        tidy(&dir, context::now().into());
        Ok(Self { dir, again })
    }

    fn file(&self, key: &Digest) -> PathBuf {
        self.dir.join(format!("{}.json", key.hex()))
    }

    fn write(&self, baseline: &Baseline) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        serde_json::to_writer(std::io::BufWriter::new(&mut file), baseline)?;
        file.persist(self.file(&baseline.key))?;
        Ok(())
    }
}

impl Baselines for Kept {
    fn get(&self, key: &Digest) -> Option<(Baseline, jiff::Timestamp)> {
        let path = self.file(key);
        if self.again || !path.exists() {
            return None;
        }
        let made = || anyhow::Ok(path.metadata()?.modified()?.try_into()?);
        let read = context::read_text(&path, "the kept baseline", context::RECORD_CAP)
            .and_then(|text| Ok((serde_json::from_str::<Baseline>(&text)?, made()?)));
        match read {
            Ok(kept) => Some(kept),
            Err(error) => {
                tracing::warn!(%error, file = %path.display(), "a kept baseline cannot be read, and is made anew");
                None
            }
        }
    }

    fn put(&self, baseline: &Baseline) {
        if let Err(error) = self.write(baseline) {
            tracing::warn!(%error, folder = %self.dir.display(), "the baseline could not be kept");
        }
    }
}

/// Removes what is too old, and the oldest of what is too much. Two that do so at once do no harm: a baseline that is
/// missing is made anew.
fn tidy(dir: &Path, now: SystemTime) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<(SystemTime, PathBuf)> =
        entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    files.sort_by(|a, b| b.cmp(a));
    for (index, (made, path)) in files.iter().enumerate() {
        let old = now.duration_since(*made).is_ok_and(|age| age > KEPT);
        if old || index >= MOST {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_or_too_much_goes_and_the_newest_stay() {
        let dir = tempfile::tempdir().unwrap();
        let now: SystemTime = context::now().into();
        let make = |name: String, age: Duration| {
            let path = dir.path().join(name);
            let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
            file.set_modified(now - age).unwrap();
        };
        for index in 0..MOST as u64 + 3 {
            make(format!("{index:02}"), Duration::from_secs(60 * index));
        }
        make("old".into(), KEPT + Duration::from_secs(1));
        tidy(dir.path(), now);
        let mut left: Vec<String> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!((left.len(), left.last().unwrap().as_str()), (MOST, "31"));
    }
}
