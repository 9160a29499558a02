//! What set-up jobs fetched, kept for the jobs behind them and for the next attempt.
//!
//! A cache belongs to one repository and one key (the digest of whatever decides what is in it: lockfiles, the command
//! that fills it, the environment). It is filled once, by jobs that may write to it, and is only mounted read-only from
//! then on: no other repository, and no patch, can put anything into it. It is never a home folder, and nothing that
//! holds credentials.
//!
//! ```text
//! dir/<digest of the repository's name>/<key>/         what is in it
//!                                       <key>.lock     shared by who uses it; its time is that of the last use
//!                                       <key>.size     bytes
//!                                       <key>.note     instead of what is in it: why it could not be filled
//!                                       <key>.new/     while it is filled, or left by who was killed doing so
//! ```
#![expect(
    clippy::disallowed_methods,
    reason = "this module owns the folder of caches; no job has run in its upper folders"
)]

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gloaming_api::{Digest, RepoId};

use crate::{Cancel, lock};

/// The most bytes of a note.
const NOTE: u64 = 1 << 20;

/// What an entry of a folder takes up at least, bytes.
const ENTRY: u64 = 512;

/// The caches of all repositories.
#[derive(Debug, Clone)]
pub struct Caches {
    dir: PathBuf,
    /// Bytes of all caches together that are kept.
    cap: u64,
}

/// A filled cache in use; it is not removed as long as the value lives.
#[derive(Debug)]
pub struct Cache {
    content: PathBuf,
    _used: File,
}

/// A cache that is being filled; dropping it without [`Filling::keep`] leaves no trace.
#[derive(Debug)]
pub struct Filling {
    at: Place,
    cap: u64,
    lock: Option<File>,
}

/// What is there for a key.
#[derive(Debug)]
pub enum Found {
    /// It has been filled.
    Filled(Cache),
    /// It has not; nobody else fills it meanwhile.
    Empty(Filling),
}

#[derive(Debug, Clone)]
struct Place {
    content: PathBuf,
    new: PathBuf,
    lock: PathBuf,
    size: PathBuf,
    note: PathBuf,
}

impl Caches {
    /// Returns the caches of a folder, made when there is none, private to its owner.
    pub fn new(dir: PathBuf, cap: u64) -> Self {
        Self { dir, cap }
    }

    /// Returns how many bytes all caches together may be.
    pub fn cap(&self) -> u64 {
        self.cap
    }

    /// Returns the cache of a repository for a key, filled or to be filled. Waits as long as another process fills it.
    ///
    /// # Errors
    /// The folder cannot be made, read or locked.
    pub fn find(&self, repo: &RepoId, key: &Digest) -> io::Result<Found> {
        let at = self.place(repo, key);
        let folder = at.lock.parent().unwrap_or(&self.dir);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let lock = loop {
            let lock = lock::share(&at.lock)?;
            if at.content.is_dir() {
                lock::touch(&lock)?;
                return Ok(Found::Filled(Cache { content: at.content, _used: lock }));
            }
            drop(lock);
            // Who wants it alone never waits for that: whoever filled it meanwhile holds it as long as it is used. The
            // wait is the one above, which ends when it is filled or given up.
            let lock = lock::open(&at.lock)?;
            match lock.try_lock() {
                Ok(()) if at.content.is_dir() || !lock::is_at(&lock, &at.lock)? => {}
                Ok(()) => break lock,
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        };
        remove(&at.new)?;
        fs::create_dir(&at.new)?;
        // The container's user must be able to write, whoever that is; the folders above let nobody else in.
        fs::set_permissions(&at.new, fs::Permissions::from_mode(0o777))?;
        Ok(Found::Empty(Filling { at, cap: self.cap, lock: Some(lock) }))
    }

    /// The same as [`Caches::find`] for a task that may be told to stop while another process fills the cache; none
    /// where it was.
    ///
    /// # Errors
    /// As those of [`Caches::find`].
    pub async fn wait(&self, repo: &RepoId, key: &Digest, cancel: &Cancel) -> io::Result<Option<Found>> {
        let (caches, repo, key) = (self.clone(), repo.clone(), key.clone());
        let (tell, told) = tokio::sync::oneshot::channel();
        // A thread of its own: the runtime's end would wait for one of its pool, and nothing ends a wait for a lock.
        // What it finds after nobody listens any more, it lets go again.
        std::thread::Builder::new()
            .name("cache".to_owned())
            .spawn(move || drop(tell.send(caches.find(&repo, &key))))?;
        tokio::select! {
            found = told => found.map_err(io::Error::other)?.map(Some),
            () = cancel.cancelled() => Ok(None),
        }
    }

    /// Removes the caches that were used longest ago until the rest fits the cap, and what killed processes left half
    /// filled; what is in use stays. Returns how many bytes went.
    ///
    /// # Errors
    /// The folder cannot be read, or something in it cannot be removed; all else that should go is gone then.
    pub fn evict(&self) -> io::Result<u64> {
        let mut kept: Vec<(SystemTime, Option<u64>, Place)> = Vec::new();
        for repo in entries(&self.dir)? {
            for path in entries(&repo)? {
                let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
                let Some(key) = name.strip_suffix(".lock") else { continue };
                let at = place_in(&repo, key);
                let used = fs::metadata(&at.lock)?.modified()?;
                let size = fs::read_to_string(&at.size).ok().and_then(|text| text.trim().parse().ok());
                // None where somebody was killed, or is busy, filling it.
                kept.push((used, size, at));
            }
        }
        kept.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.2.lock.cmp(&b.2.lock)));
        let known = kept.iter().filter_map(|(_, size, _)| *size);
        let (mut total, mut gone) = (known.fold(0_u64, u64::saturating_add), 0_u64);
        let mut failed = None;
        for (_, size, at) in kept {
            if size.is_some() && total <= self.cap {
                continue;
            }
            match clear(&at) {
                Ok(true) => {
                    total = total.saturating_sub(size.unwrap_or(0));
                    gone = gone.saturating_add(size.unwrap_or(0));
                }
                Ok(false) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(gone), Err)
    }

    fn place(&self, repo: &RepoId, key: &Digest) -> Place {
        place_in(&self.dir.join(Digest::of(repo.to_string()).hex()), key.hex())
    }
}

impl Cache {
    /// Returns the folder, to be mounted read-only.
    pub fn dir(&self) -> &Path {
        &self.content
    }
}

impl Filling {
    /// Returns the folder to fill.
    pub fn dir(&self) -> &Path {
        &self.at.new
    }

    /// Returns what was noted when it could not be filled, and when.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn note(&self) -> io::Result<Option<(Vec<u8>, SystemTime)>> {
        let file = match File::open(&self.at.note) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let at = file.metadata()?.modified()?;
        let mut text = Vec::new();
        file.take(NOTE).read_to_end(&mut text)?;
        Ok(Some((text, at)))
    }

    /// Gives it up and leaves a note for whoever comes next; one that is too long is none. It goes with the caches that were
    /// used longest ago, and when the cache is filled.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn give_up(self, note: &[u8]) -> io::Result<()> {
        if note.len() as u64 > NOTE {
            return remove(&self.at.note);
        }
        // Beside it first: half a note would be one that cannot be read.
        let draft = self.at.new.join("note");
        fs::write(&draft, note)?;
        fs::rename(draft, &self.at.note)?;
        fs::write(&self.at.size, (note.len() as u64).max(ENTRY).to_string())?;
        if let Some(lock) = &self.lock {
            lock::touch(lock)?;
        }
        Ok(())
    }

    /// Keeps what has been filled in; from now on it is only read.
    ///
    /// # Errors
    /// It cannot be measured or moved into its place; [`io::ErrorKind::FileTooLarge`] where it alone is more than all
    /// caches together may be.
    pub fn keep(mut self) -> io::Result<Cache> {
        let size = match size(&self.at.new) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                open_folders(&self.at.new)?;
                size(&self.at.new)?
            }
            size => size?,
        };
        if size > self.cap {
            let why = format!("{size} bytes were fetched, and all caches together may take {}", self.cap);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        // No longer writable by whoever the container's user was on the host.
        fs::set_permissions(&self.at.new, fs::Permissions::from_mode(0o755))?;
        remove(&self.at.note)?;
        fs::write(&self.at.size, size.to_string())?;
        fs::rename(&self.at.new, &self.at.content)?;
        let lock = self.lock.take().expect("it is held until it is kept or dropped");
        lock::touch(&lock)?;
        // From alone to shared without a moment in which nobody holds it would need another system call; whoever
        // removes it in that moment finds it just used, and removes the oldest first.
        lock.lock_shared()?;
        if !self.at.content.is_dir() || !lock::is_at(&lock, &self.at.lock)? {
            return Err(io::Error::other("the cache was removed while it was being kept; try again"));
        }
        Ok(Cache { content: self.at.content.clone(), _used: lock })
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        if self.lock.is_some() {
            let _ = remove(&self.at.new);
        }
    }
}

fn place_in(folder: &Path, key: &str) -> Place {
    let named = |end: &str| folder.join(format!("{key}{end}"));
    Place {
        content: named(""),
        new: named(".new"),
        lock: named(".lock"),
        size: named(".size"),
        note: named(".note"),
    }
}

/// The entries of a folder of ours, in order; none when there is no such folder.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let found = match fs::read_dir(dir) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        found => found?,
    };
    let mut paths = found.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Bytes on the disk of what a job wrote; no link is followed.
fn size(dir: &Path) -> io::Result<u64> {
    // Before that a file system need not know what a file takes up. What a sparse file pretends to hold does not count.
    rustix::fs::syncfs(File::open(dir)?)?;
    let mut bytes = 0;
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            bytes += (meta.blocks() * 512).max(ENTRY);
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(bytes)
}

/// Removes one cache; false where it is in use.
fn clear(at: &Place) -> io::Result<bool> {
    let lock = lock::open(&at.lock)?;
    if lock.try_lock().is_err() || !lock::is_at(&lock, &at.lock)? {
        return Ok(false);
    }
    remove(&at.new)?;
    // Whoever is killed halfway through must not leave half a cache where a whole one is looked for.
    if at.content.is_dir() {
        fs::rename(&at.content, &at.new)?;
    }
    for path in [&at.new, &at.note, &at.size, &at.lock] {
        remove(path)?;
    }
    Ok(true)
}

/// Lets its owner list and change every folder below one: a package may hold folders that nobody may write to, or read. No
/// link is followed.
fn open_folders(dir: &Path) -> io::Result<()> {
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let mode = fs::symlink_metadata(&folder)?.permissions().mode();
        if mode & 0o700 != 0o700 {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode | 0o700))?;
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                open_folders(path).and_then(|()| fs::remove_dir_all(path))
            }
            removed => removed,
        },
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(name: &str) -> RepoId {
        name.parse().unwrap()
    }

    fn fill(caches: &Caches, name: &str, key: &str, kilobytes: usize) -> Cache {
        match caches.find(&repo(name), &Digest::of(key)).unwrap() {
            Found::Empty(filling) => {
                fs::write(filling.dir().join("content"), vec![b'x'; kilobytes << 10]).unwrap();
                filling.keep().unwrap()
            }
            Found::Filled(_) => panic!("{name} {key} is filled already"),
        }
    }

    fn is_filled(caches: &Caches, name: &str, key: &str) -> bool {
        matches!(caches.find(&repo(name), &Digest::of(key)).unwrap(), Found::Filled(_))
    }

    #[test]
    fn a_cache_is_filled_once_and_is_one_repositorys_alone() {
        let dir = tempfile::tempdir().unwrap();
        let caches = Caches::new(dir.path().join("deps"), u64::MAX);
        let cache = fill(&caches, "acme/api", "lock 1", 1);
        assert!(cache.dir().join("content").exists());
        assert_eq!(fs::metadata(cache.dir()).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(is_filled(&caches, "acme/api", "lock 1"));
        assert!(!is_filled(&caches, "acme/api", "lock 2"));
        assert!(!is_filled(&caches, "evil/api", "lock 1"));
    }

    #[test]
    fn what_was_not_kept_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let caches = Caches::new(dir.path().to_owned(), u64::MAX);
        let Found::Empty(filling) = caches.find(&repo("a/b"), &Digest::of("k")).unwrap() else { panic!() };
        let new = filling.dir().to_owned();
        fs::write(new.join("half"), "x").unwrap();
        drop(filling);
        assert!(!new.exists() && !is_filled(&caches, "a/b", "k"));
        // Killed while it was filled: the next one begins afresh.
        fs::create_dir(&new).unwrap();
        fs::write(new.join("half"), "x").unwrap();
        let Found::Empty(filling) = caches.find(&repo("a/b"), &Digest::of("k")).unwrap() else { panic!() };
        assert_eq!(fs::read_dir(filling.dir()).unwrap().count(), 0);
    }

    #[test]
    fn folders_that_nobody_may_change_are_opened_to_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("kept/closed/deeper");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), "x").unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, deep.join("link")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for (path, bits) in [(&deep, 0o555), (&dir.path().join("kept/closed"), 0o000), (&outside, 0o500)] {
            fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
        }
        open_folders(&dir.path().join("kept")).unwrap();
        assert_eq!(
            (mode(&deep), mode(&dir.path().join("kept/closed")), mode(&outside)),
            (0o755, 0o700, 0o500)
        );
        remove(&dir.path().join("kept")).unwrap();
        assert!(!dir.path().join("kept").exists() && outside.exists());
    }

    #[test]
    fn a_note_of_why_it_was_not_filled_stays_until_it_is_or_makes_way() {
        let dir = tempfile::tempdir().unwrap();
        let caches = Caches::new(dir.path().to_owned(), 300 << 10);
        let empty = |key: &str| match caches.find(&repo("a/b"), &Digest::of(key)).unwrap() {
            Found::Empty(filling) => filling,
            Found::Filled(_) => panic!("{key} is filled"),
        };
        assert!(empty("k").note().unwrap().is_none());
        empty("k").give_up(b"no network").unwrap();
        let filling = empty("k");
        assert_eq!(filling.note().unwrap().unwrap().0, b"no network");
        // Nobody's cache makes way for a note, and the note stays as long as there is room.
        assert_eq!(caches.evict().unwrap(), 0);
        drop(filling);
        assert_eq!(caches.evict().unwrap(), 0);
        assert!(empty("k").note().unwrap().is_some());
        drop(empty("k").keep().unwrap());
        assert!(!caches.place(&repo("a/b"), &Digest::of("k")).note.exists());
        empty("l").give_up(b"no network").unwrap();
        Caches::new(dir.path().to_owned(), 0).evict().unwrap();
        assert!(empty("l").note().unwrap().is_none());
        empty("l").give_up(&vec![b'x'; 2 << 20]).unwrap();
        assert!(empty("l").note().unwrap().is_none());
    }

    #[test]
    fn who_comes_second_waits_and_finds_it_filled() {
        let dir = tempfile::tempdir().unwrap();
        let caches = Caches::new(dir.path().to_owned(), u64::MAX);
        let Found::Empty(filling) = caches.find(&repo("a/b"), &Digest::of("k")).unwrap() else { panic!() };
        let second = std::thread::spawn({
            let caches = caches.clone();
            move || is_filled(&caches, "a/b", "k")
        });
        let kept = filling.keep().unwrap();
        assert!(second.join().unwrap());
        drop(kept);
    }

    #[test]
    fn of_many_that_come_at_once_one_fills_it_and_the_others_use_it_while_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let caches = Caches::new(dir.path().to_owned(), 1 << 20);
        let (repo, key) = (RepoId::local("a"), Digest::of("key"));
        for _ in 0..20 {
            let key = Digest::of(format!("{key}{:?}", std::thread::current().id()));
            let start = std::sync::Barrier::new(4);
            // Each holds what it got until all have it.
            let filled = std::thread::scope(|scope| {
                let one = || {
                    start.wait();
                    match caches.find(&repo, &key).unwrap() {
                        Found::Filled(cache) => (cache, 0),
                        Found::Empty(filling) => (filling.keep().unwrap(), 1),
                    }
                };
                let all: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
                all.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            assert_eq!(filled.iter().map(|(_, filled)| filled).sum::<u32>(), 1);
            drop(filled);
            fs::remove_dir_all(dir.path()).unwrap();
            fs::create_dir(dir.path()).unwrap();
        }
    }

    #[test]
    fn the_longest_unused_goes_first_and_what_is_in_use_stays() {
        let dir = tempfile::tempdir().unwrap();
        let caches = Caches::new(dir.path().to_owned(), 300 << 10);
        let in_use = fill(&caches, "a/b", "in use", 100);
        for (key, age) in [("old", 30), ("young", 10)] {
            drop(fill(&caches, "a/b", key, 100));
            let lock = lock::open(&caches.place(&repo("a/b"), &Digest::of(key)).lock).unwrap();
            lock.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 - age))
                .unwrap();
        }
        let lock = lock::open(&caches.place(&repo("a/b"), &Digest::of("in use")).lock).unwrap();
        lock.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        drop(fill(&caches, "c/d", "new", 100));
        let gone = caches.evict().unwrap();
        assert!(gone >= 100 << 10, "{gone}");
        assert!(
            in_use.dir().exists() && is_filled(&caches, "c/d", "new") && is_filled(&caches, "a/b", "young")
        );
        assert!(!is_filled(&caches, "a/b", "old"));
    }

    #[test]
    fn whoever_waited_while_a_cache_was_removed_does_not_hold_a_lock_that_nobody_else_sees() {
        let dir = tempfile::tempdir().unwrap();
        let caches = Caches::new(dir.path().to_owned(), u64::MAX);
        drop(fill(&caches, "a/b", "k", 1));
        let path = caches.place(&repo("a/b"), &Digest::of("k")).lock;
        // The first keeps the number of the file from being given to another one.
        let (_kept, held) = (lock::open(&path).unwrap(), lock::open(&path).unwrap());
        held.lock().unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || lock::share(&path).unwrap()
        });
        // Until the kernel says that somebody waits for this very file.
        let inode = held.metadata().unwrap().ino();
        let waits = |line: &str| line.contains("->") && line.contains(&format!(":{inode} "));
        while !fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
            std::thread::yield_now();
        }
        fs::remove_file(&path).unwrap();
        drop(held);
        let got = waiting.join().unwrap();
        assert!(lock::is_at(&got, &path).unwrap() && got.metadata().unwrap().ino() != inode);
    }

    #[tokio::test]
    async fn a_wait_for_a_cache_can_be_cancelled_and_holds_nothing_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let caches = Caches::new(dir.path().to_owned(), u64::MAX);
        let (name, key, cancel) = (repo("a/b"), Digest::of("k"), Cancel::new());
        let Some(Found::Empty(filling)) = caches.wait(&name, &key, &cancel).await.unwrap() else { panic!() };
        let waiting = tokio::spawn({
            let (caches, name, key, cancel) = (caches.clone(), name.clone(), key.clone(), cancel.clone());
            async move { caches.wait(&name, &key, &cancel).await.unwrap().is_none() }
        });
        cancel.cancel();
        assert!(waiting.await.unwrap());
        drop(filling);
        // The thread that still waited has it now, and lets it go.
        assert!(matches!(caches.find(&name, &key).unwrap(), Found::Empty(_)));
    }

    #[test]
    fn what_is_larger_than_all_caches_may_be_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let caches = Caches::new(dir.path().to_owned(), 50 << 10);
        let Found::Empty(filling) = caches.find(&repo("a/b"), &Digest::of("k")).unwrap() else { panic!() };
        fs::write(filling.dir().join("content"), vec![b'x'; 100 << 10]).unwrap();
        assert_eq!(filling.keep().unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(!is_filled(&caches, "a/b", "k"));
    }

    #[test]
    fn a_link_in_a_cache_is_neither_followed_nor_counted_as_what_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), vec![b'x'; 1 << 20]).unwrap();
        let caches = Caches::new(dir.path().join("deps"), 64 << 10);
        let Found::Empty(filling) = caches.find(&repo("a/b"), &Digest::of("k")).unwrap() else { panic!() };
        std::os::unix::fs::symlink(&outside, filling.dir().join("link")).unwrap();
        assert!(size(filling.dir()).unwrap() < 64 << 10);
        drop(filling.keep().unwrap());
        Caches::new(dir.path().join("deps"), 0).evict().unwrap();
        assert!(!is_filled(&caches, "a/b", "k") && outside.join("kept").exists());
    }
}
