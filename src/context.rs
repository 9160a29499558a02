//! What the process is given: folders, environment, clock. Read here and passed down as values.
#![cfg_attr(not(feature = "worker"), expect(dead_code, reason = "a control plane alone starts no attempts"))]
#![expect(
    clippy::disallowed_methods,
    reason = "the edge: environment and operator's files are read here and nowhere else"
)]

#[cfg(feature = "worker")]
mod equip;

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gloaming_api::journal::PolicyLayerText;
use gloaming_api::{Digest, RepoId};
use gloaming_policies::{Diagnostic, Grant, Lanes, Layer, PolicyFile};

#[cfg(feature = "worker")]
pub(crate) use self::equip::*;
use crate::cli::PolicyChoice;
use crate::failure::Failure;

/// The hidden subcommand that the container engine re-enters this binary by.
pub(crate) const JOB_HELPER: &str = "__job";

/// The file of a repository's own policy.
pub(crate) const REPOSITORY_POLICY: &str = ".gloaming/policy.toml";

/// The largest policy, task or key file read, bytes.
pub(crate) const FILE_CAP: u64 = 4 << 20;

/// The largest journal or patch read, bytes. A hundred steps of reads and searches come to tens of megabytes; and
/// that a patch is too large is a verdict.
pub(crate) const RECORD_CAP: u64 = 1 << 30;

/// The largest component, bytes: one that holds a language's runtime has a dozen MiB.
const COMPONENT_CAP: u64 = 128 << 20;

/// The folder of a run in which its attempt works.
pub(crate) const ATTEMPT: &str = "attempt";

/// How long what a session of `gloaming mcp` replaced or removed is kept after its last change, and how much of all
/// sessions together, bytes.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
const KEPT_BYTES: u64 = 4 << 30;

/// Bytes that must be free before a run begins.
const ROOM: usize = 8 << 20;

/// The folders state lives in.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// Results, keys.
    pub(crate) data: PathBuf,
    /// What can be made again.
    pub(crate) cache: PathBuf,
}

impl Home {
    /// Finds the folders and makes them, readable by their owner alone.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let home = match std::env::var_os("GLOAMING_HOME").filter(|home| !home.is_empty()) {
            Some(home) => {
                let data = std::path::absolute(PathBuf::from(home))?;
                Self { cache: data.join("cache"), data }
            }
            None => {
                use etcetera::BaseStrategy as _;
                let base = etcetera::choose_base_strategy().map_err(|error| {
                    Failure::infrastructure("find your home folder", error).hint("set GLOAMING_HOME")
                })?;
                Self { data: base.data_dir().join("gloaming"), cache: base.cache_dir().join("gloaming") }
            }
        };
        for dir in [&home.data, &home.cache] {
            use std::os::unix::fs::DirBuilderExt as _;
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
                Failure::infrastructure(&format!("make the folder {}", dir.display()), error)
                    .hint("set GLOAMING_HOME to a folder you can write to")
            })?;
        }
        Ok(home)
    }

    /// Returns a fresh folder for one run, removed when the value is dropped. What runs that were killed left here is
    /// removed first.
    pub(crate) fn work_dir(&self, name: &str) -> anyhow::Result<WorkDir> {
        let all = self.cache.join("work");
        let path = all.join(name);
        let failed = |error| Failure::disk(&format!("make the folder {}", path.display()), error);
        std::fs::create_dir_all(&all).map_err(failed)?;
        // One process at a time makes folders and removes them, so that none is taken for a dead run's before it is
        // locked. Where the file system knows no locks, nothing is ever taken for dead.
        let turn = File::create(self.cache.join("work.lock")).map_err(failed)?;
        let _ = turn.lock();
        remove_dead(&all);
        std::fs::create_dir(&path).map_err(failed)?;
        let lock = File::create(path.join(ALIVE)).map_err(failed)?;
        let _ = lock.lock();
        drop(turn);
        let work = WorkDir { path, _lock: lock };
        // A full disk shows up here, in plain words, and not as a container or a checkout that breaks.
        let room = work.path.join("room");
        std::fs::write(&room, vec![0; ROOM]).and_then(|()| std::fs::remove_file(&room)).map_err(|error| {
            Failure::infrastructure(&format!("write to {}", work.path.display()), error)
                .hint("free some space, or set GLOAMING_HOME to a folder on another disk")
        })?;
        Ok(work)
    }
}

impl Home {
    /// Returns the folder of a repository's proved profiles. A name has two parts, none of which begins with a dot.
    pub(crate) fn profiles_dir(&self, repo: &RepoId) -> PathBuf {
        self.data.join("profiles").join(repo.as_str())
    }

    /// Returns where what a session of `gloaming mcp` replaced or removed is kept. It is named by the first event of
    /// the session's journal, which says on which folder and by which policy: no other journal, whoever wrote it, can
    /// have it put back.
    pub(crate) fn undo_dir(&self, first: &Digest) -> PathBuf {
        self.data.join("undo").join(first.hex())
    }

    /// Makes that folder and locks it as long as the value lives. What earlier sessions kept too long is removed.
    pub(crate) fn new_undo_dir(&self, first: &Digest) -> anyhow::Result<UndoDir> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = self.undo_dir(first);
        let failed = |error| Failure::disk(&format!("make the folder {}", path.display()), error);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        let lock = File::create(path.join(ALIVE)).map_err(failed)?;
        // Where the file system knows no locks, age alone decides.
        let _ = lock.lock();
        remove_old(&self.data.join("undo"), now().into());
        Ok(UndoDir { path, _lock: lock })
    }
}

fn undo_dir_of(work: &Path, first: &Digest) -> PathBuf {
    work.join("undo").join(first.hex())
}

/// A folder of before-images in use.
#[derive(Debug)]
pub(crate) struct UndoDir {
    path: PathBuf,
    _lock: File,
}

impl UndoDir {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes what ended sessions kept for undoing: what was last written to too long ago, and the oldest of what is too
/// much together.
fn remove_old(all: &Path, now: SystemTime) {
    let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(all).into_iter().flatten().flatten() {
        let sizes = std::fs::read_dir(entry.path()).into_iter().flatten().flatten();
        let size = sizes.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
        let written = entry.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        kept.push((written, size, entry.path()));
    }
    kept.sort_unstable_by(|a, b| b.cmp(a));
    let mut bytes = 0;
    for (written, size, path) in kept {
        bytes += size;
        let old = now.duration_since(written).is_ok_and(|age| age > KEPT);
        let in_use = File::open(path.join(ALIVE)).is_ok_and(|lock| lock.try_lock().is_err());
        if in_use || !(old || bytes > KEPT_BYTES) {
            continue;
        }
        if let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(folder = %path.display(), %error, "cannot remove what an old session kept for undoing");
        }
    }
}

/// The file in a run's folder that is locked as long as the run lives; the kernel lets go of it whatever the end.
const ALIVE: &str = "alive";

/// Removes the folders of runs that ended without removing them.
fn remove_dead(all: &Path) {
    for entry in std::fs::read_dir(all).into_iter().flatten().flatten() {
        let path = entry.path();
        let dead = match File::open(path.join(ALIVE)) {
            Ok(lock) => lock.try_lock().is_ok(),
            // Killed between making the folder and locking it: the turn is ours, so nobody is just there.
            Err(error) => error.kind() == ErrorKind::NotFound && path.is_dir(),
        };
        if !dead {
            continue;
        }
        match std::fs::remove_dir_all(&path) {
            Ok(()) => tracing::info!(folder = %path.display(), "removed what a killed run left"),
            Err(error) => {
                tracing::warn!(folder = %path.display(), %error, "cannot remove what a killed run left")
            }
        }
    }
}

/// A folder that is removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    _lock: File,
}

impl WorkDir {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where what the attempt's tools replace or remove is kept.
    pub(crate) fn undo_dir(&self, first: &Digest) -> PathBuf {
        undo_dir_of(&self.path, first)
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Returns the log filter: `GLOAMING_LOG`, else the usual one.
pub(crate) fn log_filter(usual: &str) -> String {
    std::env::var("GLOAMING_LOG").unwrap_or_else(|_| usual.to_owned())
}

/// Returns the time now; everything below is handed it.
pub(crate) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Returns a number nobody can foresee: names of control tests are made of it.
pub(crate) fn seed() -> u64 {
    u64::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..8].try_into().expect("eight of sixteen bytes"))
}

/// Returns a variable of the environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns a variable of the environment that need not be text.
pub(crate) fn variable_os(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Reads an operator's text file of at most `cap` bytes, or standard input for `-`.
pub(crate) fn read_text(path: &Path, what: &str, cap: u64) -> anyhow::Result<String> {
    String::from_utf8(read_bytes(path, what, cap)?)
        .map_err(|_| Failure::usage(format!("{what} {} is not UTF-8 text", path.display())).into())
}

/// Reads a WebAssembly component.
pub(crate) fn read_component(path: &Path) -> anyhow::Result<Vec<u8>> {
    read_bytes(path, "the component", COMPONENT_CAP)
}

/// Reads an operator's file of at most `cap` bytes, or standard input for `-`.
pub(crate) fn read_bytes(path: &Path, what: &str, cap: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let result = if path == Path::new("-") {
        std::io::stdin().lock().take(cap + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| {
            if file.metadata()?.is_dir() {
                return Err(std::io::Error::other("it is a folder"));
            }
            file.take(cap + 1).read_to_end(&mut bytes)
        })
    };
    result.map_err(|error| Failure::usage(format!("cannot read {what} {}: {error}", path.display())))?;
    if bytes.len() as u64 > cap {
        return Err(
            Failure::usage(format!("{what} {} is larger than {} MiB", path.display(), cap >> 20)).into()
        );
    }
    Ok(bytes)
}

/// Returns the name a repository goes by: the operator's, or `local/` and its folder's.
pub(crate) fn repo_name(choice: &PolicyChoice, location: &Path) -> RepoId {
    choice.name.clone().unwrap_or_else(|| {
        let absolute = std::path::absolute(location).unwrap_or_else(|_| location.to_owned());
        let canonical = absolute.canonicalize().unwrap_or(absolute);
        RepoId::local(&canonical.file_name().unwrap_or_default().to_string_lossy())
    })
}

/// Returns the name under which what can be fetched for a repository is kept. Where it goes by its folder's name, which
/// another may have too, `location`, a path or an address, tells the two apart.
pub(crate) fn kept_as(repo: &RepoId, location: &str) -> RepoId {
    let Some(name) = repo.as_str().strip_prefix("local/") else { return repo.clone() };
    let path = Path::new(location).canonicalize();
    let place = path.map_or_else(|_| location.to_owned(), |path| path.to_string_lossy().into_owned());
    let digest = Digest::of(&place);
    let short: String = name.chars().take(80).collect();
    RepoId::local(&format!("{short}-{}", &digest.hex()[..16]))
}

/// Returns the name to look at a policy file under by hand: the operator's, else the folder's, else, where the
/// file is for other repositories, one that it is for (and says so).
pub(crate) fn repo_name_by_hand(choice: &PolicyChoice, location: &Path) -> anyhow::Result<RepoId> {
    let name = repo_name(choice, location);
    let (None, Some(path)) = (&choice.name, &choice.policy) else { return Ok(name) };
    if path.is_dir() {
        return Ok(name);
    }
    match load_policy(path)? {
        Ok(file) if !file.applies_to(&name) => {
            let example = file.example_repo();
            eprintln!(
                "note: {} is not for {name}; shown as it is for {example} (--as names another)",
                path.display()
            );
            Ok(example)
        }
        // What does not parse is told where it is resolved.
        _ => Ok(name),
    }
}

/// A grant and the text it was made from.
pub(crate) struct Resolved {
    pub(crate) grant: Grant,
    pub(crate) layers: Vec<PolicyLayerText>,
}

/// Adds a layer that only narrows, for this one start of the program.
pub(crate) fn narrow(resolved: Resolved, repo: &RepoId, layer: PolicyLayerText) -> anyhow::Result<Resolved> {
    let mut layers = resolved.layers;
    layers.push(layer);
    let grant = Grant::of_layers(repo, &layers).map_err(|diagnostics| bad_policy(&diagnostics))?;
    Ok(Resolved { grant, layers })
}

/// Makes the grant of the operator's file and, where there is one, the repository's text. The operator's
/// mistakes are errors of use; the repository's come back as the inner error, since they fail closed.
pub(crate) fn resolve_policy(
    choice: &PolicyChoice,
    repo: &RepoId,
    repository_policy: Option<String>,
) -> anyhow::Result<Result<Resolved, Vec<Diagnostic>>> {
    let mut layers = choice.sent.clone();
    if let Some(path) = &choice.policy {
        layers.append(&mut operator_layers(path, repo)?);
    }
    let operator = Grant::of_layers(repo, &layers).map_err(|diagnostics| bad_policy(&diagnostics))?;
    let Some(text) = repository_policy else {
        return Ok(Ok(Resolved { grant: operator, layers }));
    };
    layers.push(PolicyLayerText { layer: "repository".into(), file: REPOSITORY_POLICY.into(), text });
    Ok(Grant::of_layers(repo, &layers).map(|grant| Resolved { grant, layers }))
}

/// Reads an operator's policy, and the files that it extends: one file, `preset:NAME`, or those of a folder's own files
/// that are for the repository. Folders below it are for what these extend.
fn operator_layers(path: &Path, repo: &RepoId) -> anyhow::Result<Vec<PolicyLayerText>> {
    let files =
        policy_files(path, false)?.iter().map(|named| policy_text(named)).collect::<Result<Vec<_>, _>>()?;
    let only_for = path.is_dir().then_some(repo);
    let layers = gloaming_policies::operator_layers(&files, only_for, &read_base)
        .map_err(|faults| bad_policy(&faults))?;
    if layers.is_empty() {
        return Err(Failure::usage(format!("no policy in {} is for {repo}", path.display()))
            .hint("name the repository with `--as owner/name`, or write one: gloaming policy new OWNER/NAME")
            .into());
    }
    Ok(layers)
}

fn read_base(name: &str) -> Result<String, String> {
    read_text(Path::new(name), "the policy file", FILE_CAP).map_err(|error| error.to_string())
}

/// Returns a policy's name and text; `preset:NAME` is one that is compiled in.
pub(crate) fn policy_text(path: &Path) -> anyhow::Result<(String, String)> {
    let name = path.display().to_string();
    if let Some(preset) = name.strip_prefix("preset:") {
        let text = gloaming_policies::preset(preset).ok_or_else(|| no_preset(preset))?;
        return Ok((name, text.to_owned()));
    }
    let text = read_text(path, "the policy file", FILE_CAP)?;
    Ok((name, text))
}

pub(crate) fn no_preset(name: &str) -> Failure {
    Failure::usage(format!("there is no preset {name:?}"))
        .hint(format!("the presets are: {}", gloaming_policies::PRESETS.join(", ")))
}

/// Returns the policy files that a path names: itself, or every `.toml` file of a folder, and, when `below`, of those
/// below it, sorted.
pub(crate) fn policy_files(path: &Path, below: bool) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let entries = entries.map_err(|error| {
            Failure::usage(format!("cannot read the folder {}: {error}", folder.display()))
        })?;
        for entry in entries {
            let found = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.extend(below.then_some(found));
            } else if found.extension().is_some_and(|extension| extension == "toml") {
                files.push(found);
            }
        }
    }
    if files.is_empty() {
        return Err(Failure::usage(format!("no policy is in {}", path.display()))
            .hint("a policy is a .toml file; write one with: gloaming policy new OWNER/NAME")
            .into());
    }
    files.sort();
    Ok(files)
}

/// Loads an operator's policy file with what it extends.
pub(crate) fn load_policy(path: &Path) -> anyhow::Result<Result<PolicyFile, Vec<Diagnostic>>> {
    let (name, text) = policy_text(path)?;
    Ok(gloaming_policies::load(&name, &text, &read_base))
}

/// Makes a grant of one operator's file.
pub(crate) fn resolve_alone(repo: &RepoId, file: PolicyFile) -> Result<Grant, Vec<Diagnostic>> {
    Grant::resolve_on(repo, vec![(Layer::Operator, file)], Lanes::ALL)
}

/// Turns diagnostics of an operator's file into an error of use that prints each with its place.
pub(crate) fn bad_policy(diagnostics: &[Diagnostic]) -> anyhow::Error {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    let failure = Failure::usage(format!("the policy does not load\n{}", lines.join("\n")));
    match diagnostics.first().and_then(|found| found.hint.clone()) {
        Some(hint) => failure.hint(hint).into(),
        None => failure.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_runs_folder_is_removed_and_a_living_ones_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { data: dir.path().to_owned(), cache: dir.path().to_owned() };
        let living = home.work_dir("living").unwrap();
        let killed = dir.path().join("work/killed");
        std::fs::create_dir_all(killed.join("attempt")).unwrap();
        std::fs::write(killed.join(ALIVE), "").unwrap();
        let earlier = dir.path().join("work/killed-earlier");
        std::fs::create_dir(&earlier).unwrap();
        let next = home.work_dir("next").unwrap();
        assert!(living.path().exists() && next.path().exists());
        assert!(!killed.exists() && !earlier.exists());
        let path = next.path().to_owned();
        drop(next);
        assert!(!path.exists());
    }

    #[test]
    fn repositories_that_only_share_a_folders_name_share_nothing_that_is_fetched() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["work/app", "forks/app"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let place = |folder: &str| dir.path().join(folder).display().to_string();
        let local = RepoId::local("app");
        assert_eq!(kept_as(&local, &place("work/app")), kept_as(&local, &place("work/../work/app")));
        assert_ne!(kept_as(&local, &place("work/app")), kept_as(&local, &place("forks/app")));
        let [one, other] = ["one", "other"].map(|owner| format!("https://git.example/{owner}/app"));
        assert_ne!(kept_as(&local, &one), kept_as(&local, &other));
        let named: RepoId = "acme/app".parse().unwrap();
        assert_eq!(kept_as(&named, &one), named);
        let long = RepoId::local(&"n".repeat(100));
        assert!(kept_as(&long, &one).as_str().parse::<RepoId>().is_ok());
    }

    #[test]
    fn what_old_sessions_kept_for_undoing_goes_and_what_is_young_or_in_use_stays() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { data: dir.path().to_owned(), cache: dir.path().to_owned() };
        let age = |path: &Path, days: u64| {
            let then = SystemTime::from(now()) - Duration::from_secs(days * 24 * 3600);
            File::open(path).unwrap().set_modified(then).unwrap();
        };
        let in_use = home.new_undo_dir(&Digest::of("in use")).unwrap();
        let [old, young] = ["old", "young"].map(|name| {
            let session = home.new_undo_dir(&Digest::of(name)).unwrap();
            std::fs::write(session.path().join("content"), "x").unwrap();
            session.path().to_owned()
        });
        age(in_use.path(), 30);
        age(&old, 8);
        age(&young, 6);
        let next = home.new_undo_dir(&Digest::of("next")).unwrap();
        assert!(in_use.path().exists() && young.exists() && next.path().exists() && !old.exists());
        // Too much together: the oldest goes first.
        File::create(next.path().join("large")).unwrap().set_len(KEPT_BYTES).unwrap();
        home.new_undo_dir(&Digest::of("last")).unwrap();
        assert!(in_use.path().exists() && next.path().exists() && !young.exists());
    }
}
