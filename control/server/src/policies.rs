//! The operator's policies: a folder that is read again when anything in it changes, whole or not at all.
#![expect(clippy::disallowed_methods, reason = "the operator's policy folder is a folder of the host")]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gloaming_api::journal::PolicyLayerText;
use gloaming_api::{Digest, RepoId};
use gloaming_policies::{Diagnostic, Grant};

use crate::publish::Grants;

/// The largest policy file, bytes.
const FILE_CAP: u64 = 1 << 20;
/// Grants that are kept made.
const KEPT: usize = 1000;

/// Why there is no grant for a repository, in lines.
pub(crate) type NoGrant = String;

/// The policies that count now.
pub struct Policies {
    folder: Option<PathBuf>,
    /// Whether the folder need not be there.
    optional: bool,
    now: Mutex<Now>,
}

struct Now {
    good: Arc<Loaded>,
    /// Digest of what was looked at last, and what is wrong with it.
    seen: Digest,
    fault: Option<String>,
}

/// What was read together.
#[derive(Default)]
pub(crate) struct Loaded {
    files: Vec<(String, String)>,
    bases: BTreeMap<String, String>,
    grants: Mutex<HashMap<RepoId, Arc<Granted>>>,
}

/// A repository's grant, and what it was made of.
pub(crate) struct Granted {
    pub(crate) grant: Grant,
    pub(crate) layers: Vec<PolicyLayerText>,
}

impl Policies {
    /// Reads a folder's `*.toml`; with no folder the preset `standard` counts for every repository. Blocks.
    ///
    /// # Errors
    /// Every fault of a file, each with its place, in lines.
    pub fn open(folder: Option<PathBuf>) -> Result<Self, String> {
        let good = folder.as_deref().map_or_else(|| Ok(Loaded::default()), Loaded::read)?;
        Ok(Self::of(folder, false, good))
    }

    /// The same of a folder that may not be there yet: as long as it never was, the preset `standard` counts for every
    /// repository. Blocks.
    ///
    /// # Errors
    /// Every fault of a file, each with its place, in lines.
    pub fn open_where_there(folder: PathBuf) -> Result<Self, String> {
        let good = if is_absent(&folder) { Loaded::default() } else { Loaded::read(&folder)? };
        Ok(Self::of(Some(folder), true, good))
    }

    fn of(folder: Option<PathBuf>, optional: bool, good: Loaded) -> Self {
        let seen = good.digest();
        Self { folder, optional, now: Mutex::new(Now { good: Arc::new(good), seen, fault: None }) }
    }

    /// Returns the folder, where files of it count.
    pub fn counting(&self) -> Option<&Path> {
        self.folder.as_deref().filter(|_| !self.good().files.is_empty())
    }

    /// Returns what says what counts for a repository, as it is at the time.
    pub fn grants(self: &Arc<Self>) -> Grants {
        let policies = Arc::clone(self);
        Arc::new(move |repo| policies.granted(repo).map(|granted| granted.grant.clone()))
    }

    fn good(&self) -> Arc<Loaded> {
        Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner).good)
    }

    /// Looks at the folder again: what changed and is good counts from now on; what is bad changes nothing, and is told by
    /// [`Policies::fault`]. Blocks.
    pub fn reload(&self) {
        let Some(folder) = &self.folder else { return };
        // One that is taken away is no word of its operator's that everything is allowed from now on.
        let never_was = self.optional && self.good().files.is_empty() && is_absent(folder);
        let read = if never_was { Ok(Loaded::default()) } else { Loaded::texts(folder) };
        let seen = match &read {
            Ok(loaded) => loaded.digest(),
            Err(fault) => Digest::of(fault),
        };
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.seen == seen {
            return;
        }
        now.seen = seen;
        match read.and_then(Loaded::checked) {
            Ok(loaded) => {
                tracing::info!(files = loaded.files.len(), "the policies were read again");
                now.good = Arc::new(loaded);
                now.fault = None;
            }
            Err(fault) => {
                tracing::warn!(fault, "the policies that were read last stay");
                now.fault = Some(fault);
            }
        }
    }

    /// Returns what is wrong with the folder as it is now, where older files count because of it.
    pub fn fault(&self) -> Option<String> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).fault.clone()
    }

    /// Returns what counts for a repository.
    pub(crate) fn granted(&self, repo: &RepoId) -> Result<Arc<Granted>, NoGrant> {
        self.good().granted(repo)
    }
}

impl Loaded {
    fn read(folder: &Path) -> Result<Self, String> {
        Self::texts(folder)?.checked()
    }

    /// Reads every file, and those that they extend.
    fn texts(folder: &Path) -> Result<Self, String> {
        let shown = folder.display();
        let mut files = Vec::new();
        let entries =
            std::fs::read_dir(folder).map_err(|error| format!("cannot read the folder {shown}: {error}"))?;
        for entry in entries {
            let path = entry.map_err(|error| format!("cannot read the folder {shown}: {error}"))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") && !path.is_dir() {
                files.push((path.display().to_string(), text(&path)?));
            }
        }
        if files.is_empty() {
            return Err(format!("no policy is in {shown}; a policy is a .toml file"));
        }
        files.sort();
        let bases = RefCell::new(BTreeMap::new());
        let read = |name: &str| {
            let text = text(Path::new(name))?;
            bases.borrow_mut().insert(name.to_owned(), text.clone());
            Ok(text)
        };
        // Faults are told when it is checked; here only what is extended is looked for.
        let _ = gloaming_policies::operator_layers(&files, None, &read);
        Ok(Self { files, bases: bases.into_inner(), grants: Mutex::default() })
    }

    fn digest(&self) -> Digest {
        Digest::of_json(&(&self.files, &self.bases))
    }

    fn base(&self, name: &str) -> Result<String, String> {
        self.bases.get(name).cloned().ok_or_else(|| format!("cannot read {name}"))
    }

    /// Holds each file to what it says of itself: that it loads, and that its own tests pass.
    fn checked(self) -> Result<Self, String> {
        let read = |name: &str| self.base(name);
        let mut faults: Vec<Diagnostic> = Vec::new();
        for (name, text) in &self.files {
            let made = gloaming_policies::load(name, text, &read).and_then(|file| {
                let repo = file.example_repo();
                let layers = gloaming_policies::operator_layers(&self.files, Some(&repo), &read)?;
                Grant::of_layers(&repo, &layers)
            });
            faults.extend(made.err().into_iter().flatten());
        }
        faults.sort();
        faults.dedup();
        if faults.is_empty() { Ok(self) } else { Err(lines(&faults)) }
    }

    fn granted(&self, repo: &RepoId) -> Result<Arc<Granted>, NoGrant> {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = grants.get(repo) {
            return Ok(Arc::clone(made));
        }
        let layers = gloaming_policies::operator_layers(&self.files, Some(repo), &|name| self.base(name))
            .map_err(|faults| lines(&faults))?;
        if layers.is_empty() && !self.files.is_empty() {
            return Err(format!("no policy of this control plane is for {repo}"));
        }
        let grant = Grant::of_layers(repo, &layers).map_err(|faults| lines(&faults))?;
        let made = Arc::new(Granted { grant, layers });
        if grants.len() >= KEPT {
            grants.clear();
        }
        grants.insert(repo.clone(), Arc::clone(&made));
        Ok(made)
    }
}

fn text(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let size = std::fs::metadata(path).map_err(|error| format!("cannot read {shown}: {error}"))?.len();
    if size > FILE_CAP {
        return Err(format!("{shown} is larger than {FILE_CAP} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))
}

fn lines(faults: &[Diagnostic]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Whether there is nothing of a name. What cannot be looked at, or leads nowhere, is a fault and no word of its operator's.
fn is_absent(folder: &Path) -> bool {
    matches!(folder.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(name: &str) -> RepoId {
        name.parse().unwrap()
    }

    #[test]
    fn a_bad_file_keeps_the_last_good_ones_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("acme.toml");
        let cap = |usd: &str| format!("schema = 1\nrepos = [\"acme/*\"]\n[budget]\ncost_usd = {usd}\n");
        std::fs::write(&file, cap("0.5")).unwrap();
        let policies = Policies::open(Some(dir.path().to_owned())).unwrap();
        let usd = || policies.granted(&repo("acme/api")).unwrap().grant.budget().cost_usd;
        assert_eq!((usd(), policies.fault()), (0.5, None));
        assert!(policies.granted(&repo("other/api")).err().unwrap().contains("other/api"));
        std::fs::write(&file, "schema = 1\nnonsense = true\n").unwrap();
        policies.reload();
        assert_eq!(usd(), 0.5);
        assert!(policies.fault().unwrap().contains("acme.toml:2:1"), "{:?}", policies.fault());
        std::fs::write(&file, cap("0.25")).unwrap();
        policies.reload();
        assert_eq!((usd(), policies.fault()), (0.25, None));
        std::fs::remove_file(&file).unwrap();
        policies.reload();
        assert_eq!(usd(), 0.25);
        assert!(policies.fault().unwrap().contains("no policy is in"));
    }

    #[test]
    fn a_change_of_what_a_file_extends_counts_too() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("base")).unwrap();
        let base = dir.path().join("base/all.toml");
        std::fs::write(&base, "schema = 1\n[budget]\ncost_usd = 0.5\n").unwrap();
        std::fs::write(dir.path().join("a.toml"), "schema = 1\nextends = [\"file:base/all.toml\"]\n")
            .unwrap();
        let policies = Policies::open(Some(dir.path().to_owned())).unwrap();
        let usd = || policies.granted(&repo("acme/api")).unwrap().grant.budget().cost_usd;
        assert_eq!(usd(), 0.5);
        std::fs::write(&base, "schema = 1\n[budget]\ncost_usd = 0.125\n").unwrap();
        policies.reload();
        assert_eq!(usd(), 0.125);
    }

    #[test]
    fn a_folder_that_comes_later_counts_from_then_on_and_goes_for_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("policies");
        let policies = Policies::open_where_there(folder.clone()).unwrap();
        let said = || {
            policies.reload();
            let usd = policies.granted(&repo("acme/api")).ok().map(|granted| granted.grant.budget().cost_usd);
            (usd, policies.counting().is_some(), policies.fault().is_some())
        };
        let standard = said();
        assert!(standard.0.is_some() && !standard.1 && !standard.2, "{standard:?}");
        // Empty, or wrong, or away again: what counted before counts.
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(said(), (standard.0, false, true));
        std::fs::write(folder.join("a.toml"), "schema = 7\n").unwrap();
        assert_eq!(said(), (standard.0, false, true));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(said(), standard);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a.toml"), "schema = 1\nrepos = [\"acme/*\"]\n[budget]\ncost_usd = 0.5\n")
            .unwrap();
        assert_eq!(said(), (Some(0.5), true, false));
        assert!(policies.granted(&repo("other/api")).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(said(), (Some(0.5), true, true));
        assert!(Policies::open(Some(folder)).is_err(), "one that is named has to be there");
    }

    #[test]
    fn without_a_folder_the_standard_preset_counts() {
        let policies = Policies::open(None).unwrap();
        assert!(policies.granted(&repo("acme/api")).unwrap().layers.is_empty());
    }
}
