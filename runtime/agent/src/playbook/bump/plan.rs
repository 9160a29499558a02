//! What a bump changes, by what manifests and lockfiles say before it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::ReasonCode;
use semver::Version;

use super::declared::{Declaration, Raised, Says, declarations, lowest, raised, takes};
use super::{Manager, locked};
use crate::playbook::files::{FileText, is_foreign};
use crate::playbook::form::End;
use crate::playbook::splice::{Spliced, splice};

/// Manifests and lockfiles, also those of managers whose are not changed: a task for these is told so.
pub(super) const GLOBS: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "*.txt",
    "*.in",
    "pyproject.toml",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile",
    "go.mod",
    "Gemfile",
    "pom.xml",
    "build.gradle",
    "composer.json",
];

/// Folders in which a manifest may be what tests read.
const OF_TESTS: &[&str] = &["test", "tests", "testdata", "fixtures", "__fixtures__", "__tests__"];

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    /// Whose dependency it is, where that is known.
    pub(super) manager: Option<Manager>,
    /// The version that is to go, where that is known: others of the lockfile stay.
    pub(super) from: Option<&'a str>,
}

/// What is done.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) manager: Manager,
    name: String,
    version: String,
    from: Option<String>,
    /// The versions it has been at.
    pub(super) old: Vec<String>,
    /// What manifests become.
    pub(super) edits: Vec<Spliced>,
    /// The lockfile to be made anew.
    pub(super) lock: Option<Lock>,
    /// What the manifests require once they are changed.
    required: Vec<String>,
    /// `path: why`.
    pub(super) left: Vec<String>,
}

/// A lockfile, the manifest beside it, and the first command.
#[derive(Debug, Clone)]
pub(super) struct Lock {
    pub(super) path: String,
    pub(super) manifest: String,
    pub(super) first: Vec<String>,
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn beside(path: &str, name: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    }
}

/// Whether a file says something of the repository's own dependencies.
pub(super) fn is_ours(path: &str) -> bool {
    let name = name_of(path);
    let text = name.ends_with(".txt") || name.ends_with(".in");
    let requirements = path.contains("requirements") || name.contains("constraints");
    let of_tests = path.split('/').rev().skip(1).any(|folder| OF_TESTS.contains(&folder));
    !is_foreign(path) && !of_tests && (!text || requirements)
}

fn manager_of(path: &str, files: &[FileText]) -> Option<Manager> {
    let locked_by =
        |lock: &str| files.iter().any(|file| name_of(&file.path) == lock && below(path, &file.path));
    match name_of(path) {
        "pyproject.toml" if locked_by("uv.lock") => Some(Manager::Uv),
        "Cargo.toml" => Some(Manager::Cargo),
        "package.json" => Some(Manager::Npm),
        name if name.ends_with(".txt") => Some(Manager::Pip),
        _ => None,
    }
}

/// A manifest that names the dependency.
struct Naming<'a> {
    path: &'a str,
    text: &'a str,
    declarations: Vec<Declaration>,
}

impl Plan {
    /// Finds out what is to change.
    pub(super) fn of(wish: Wish<'_>, files: &[FileText]) -> Result<Self, End> {
        let Wish { name, version, manager: asked, from } = wish;
        let mut naming: BTreeMap<Manager, Vec<Naming<'_>>> = BTreeMap::new();
        let mut left = Vec::new();
        for file in files {
            let (Some(manager), Some(text)) = (manager_of(&file.path, files), file.text.as_deref()) else {
                continue;
            };
            match declarations(manager, text, name) {
                Some(declarations) if declarations.is_empty() => {}
                Some(declarations) => {
                    naming.entry(manager).or_default().push(Naming { path: &file.path, text, declarations });
                }
                None => left.push(format!("{}: it cannot be read", file.path)),
            }
        }
        let locks = locks(name, files);
        let manager = choose(name, asked, &naming, &locks, files)?;
        if manager != Manager::Pip && manager.versions().order(version, version).is_none() {
            let form = match manager {
                Manager::Cargo | Manager::Npm => ", which has three numbers",
                Manager::Pip | Manager::Uv => "",
            };
            let summary = format!("{version} is no whole version for {}{form}.", manager.name());
            return Err(End::new(ReasonCode::Underspecified, summary)
                .asking(format!("Which version of {name} is meant?")));
        }
        let naming = naming.remove(&manager).unwrap_or_default();
        let mut plan = Self {
            manager,
            name: name.to_owned(),
            version: version.to_owned(),
            from: from.map(str::to_owned),
            old: Vec::new(),
            edits: Vec::new(),
            lock: None,
            required: Vec::new(),
            left,
        };
        plan.raise(&naming)?;
        match manager {
            Manager::Cargo => plan.lock_by_cargo(&naming, &locks)?,
            Manager::Npm => plan.lock_by_npm(&naming, &locks, files)?,
            Manager::Uv => plan.lock_by_uv(&naming, &locks)?,
            Manager::Pip => {}
        }
        if plan.edits.is_empty() && plan.lock.is_none() {
            let summary = match plan.old.as_slice() {
                [] => format!("What requires {name} takes {version} already, and no lockfile holds another."),
                old => format!("{name} is at {} already.", old.join(" and ")),
            };
            return Err(End::new(ReasonCode::NoChangeNeeded, summary).with(plan.left));
        }
        Ok(plan)
    }

    /// Changes what the manifests require.
    fn raise(&mut self, naming: &[Naming<'_>]) -> Result<(), End> {
        let mut others = false;
        for manifest in naming {
            let mut splices = Vec::new();
            for one in &manifest.declarations {
                let (path, place) = (manifest.path, &one.place);
                let text = match &one.says {
                    Says::Requirement { text, .. } => text,
                    Says::Inherited => {
                        others |= self.manager == Manager::Uv;
                        continue;
                    }
                    Says::Other(why) => {
                        self.left.push(format!("{path}, {place}: {why}"));
                        continue;
                    }
                };
                // What takes another version than the one that is to go.
                if self.manager == Manager::Cargo && self.from.as_ref().is_some_and(|from| !takes(text, from))
                {
                    others = true;
                    continue;
                }
                match raised(self.manager, text, &self.version) {
                    Raised::AsItIs => self.required.push(text.clone()),
                    Raised::To(new) => {
                        if lower(&self.version, text) {
                            return Err(self.lower(&format!("{path} requires {text}")));
                        }
                        self.required.push(new.clone());
                        splices.extend(one.becoming(new));
                    }
                    Raised::Unclear => {
                        let summary = format!(
                            "{path} requires {} `{text}` ({place}), and what that is to become for {} is not clear.",
                            self.name, self.version
                        );
                        return Err(End::new(ReasonCode::ConflictingRequirements, summary)
                            .asking(format!("What is {path} to require of {}?", self.name)));
                    }
                }
            }
            splices.sort_by_key(|splice| splice.start);
            if !splices.is_empty() {
                self.edits.extend(splice(manifest.path, manifest.text, &splices));
            }
        }
        if self.required.is_empty() && !naming.is_empty() && !others {
            let summary = format!("Every place that names {} says no version of it.", self.name);
            return Err(End::new(ReasonCode::OutOfScope, summary).with(std::mem::take(&mut self.left)));
        }
        Ok(())
    }

    fn lower(&self, what: &str) -> End {
        let summary = format!("{what}, which is newer than {}: that is no bump.", self.version);
        End::new(ReasonCode::ConflictingRequirements, summary)
            .asking(format!("Is {} to go back to {}?", self.name, self.version))
    }

    fn lock_by_cargo(&mut self, naming: &[Naming<'_>], locks: &[Locked]) -> Result<(), End> {
        let mut own: Vec<&Locked> = locks.iter().filter(|lock| lock.manager == Manager::Cargo).collect();
        // A lockfile holds for the manifests below its folder.
        if !naming.is_empty() {
            own.retain(|lock| naming.iter().any(|manifest| below(manifest.path, &lock.path)));
        }
        let lock = match own.as_slice() {
            [] => return Ok(()),
            [lock] => *lock,
            several => return Err(self.several(several.iter().map(|lock| lock.path.clone()))),
        };
        self.old.clone_from(&lock.versions);
        let to_go = self.from.as_ref().is_some_and(|from| lock.versions.contains(from));
        if lock.versions.contains(&self.version) && self.edits.is_empty() && !to_go {
            return Ok(());
        }
        let argv = if self.edits.is_empty() {
            let held = self.held(&lock.versions)?;
            if lower(&self.version, &held) {
                return Err(self.lower(&format!("{} locks {} {held}", lock.path, self.name)));
            }
            self.old = vec![held.clone()];
            self.exactly(&held)
        } else {
            words("cargo update --workspace")
        };
        self.lock =
            Some(Lock { path: lock.path.clone(), manifest: beside(&lock.path, "Cargo.toml"), first: argv });
        Ok(())
    }

    /// Returns the one locked version that is meant.
    fn held(&self, versions: &[String]) -> Result<String, End> {
        if let Some(from) = self.from.as_ref().filter(|from| versions.contains(from)) {
            return Ok(from.clone());
        }
        let required = |version: &&String| {
            self.required.is_empty() || self.required.iter().any(|required| takes(required, version))
        };
        let held: Vec<&String> = versions.iter().filter(required).collect();
        match held.as_slice() {
            [one] => Ok((*one).clone()),
            _ => {
                let summary = format!("The lockfile holds {} at {}.", self.name, versions.join(" and "));
                Err(End::new(ReasonCode::Underspecified, summary)
                    .asking(format!("Which of them is to become {}?", self.version)))
            }
        }
    }

    fn exactly(&self, held: &str) -> Vec<String> {
        words(&format!("cargo update -p {}@{held} --precise {}", self.name, self.version))
    }

    /// Returns the command that locks the version alone, where the lockfile holds another by now.
    pub(super) fn precisely(&self, versions: &[String]) -> Option<Vec<String>> {
        if self.manager != Manager::Cargo {
            return None;
        }
        self.held(versions).ok().map(|held| self.exactly(&held))
    }

    fn lock_by_npm(
        &mut self,
        naming: &[Naming<'_>],
        locks: &[Locked],
        files: &[FileText],
    ) -> Result<(), End> {
        let there = |path: String| files.iter().any(|file| file.path == path);
        let [manifest] = naming else {
            return Err(self.several(naming.iter().map(|manifest| manifest.path.to_owned())));
        };
        for other in ["npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"] {
            if there(beside(manifest.path, other)) {
                let summary = format!(
                    "{} is not npm's package-lock.json, and is made by nothing here.",
                    beside(manifest.path, other)
                );
                return Err(End::new(ReasonCode::OutOfScope, summary));
            }
        }
        let path = beside(manifest.path, "package-lock.json");
        let Some(lock) = locks.iter().find(|lock| lock.path == path) else {
            let of_all =
                locks.iter().find(|lock| lock.manager == Manager::Npm && below(manifest.path, &lock.path));
            return match of_all {
                Some(lock) => {
                    let summary = format!(
                        "{} is one of several packages that {} is for; such are not done.",
                        manifest.path, lock.path
                    );
                    Err(End::new(ReasonCode::OutOfScope, summary))
                }
                None => Ok(()),
            };
        };
        self.old.clone_from(&lock.versions);
        if lock.versions.contains(&self.version) && self.edits.is_empty() {
            return Ok(());
        }
        if let Some(held) = lock.versions.iter().find(|held| lower(&self.version, held)) {
            return Err(self.lower(&format!("{path} locks {} {held}", self.name)));
        }
        // Saved as it stands in the manifest by now: with the same mark before the version, or none.
        let mark = match self.required.first().map(String::as_str) {
            Some(required) if required.starts_with('^') => "--save-prefix=^",
            Some(required) if required.starts_with('~') => "--save-prefix=~",
            _ => "--save-exact",
        };
        let argv = words(&format!(
            "npm install {}@{} --package-lock-only --ignore-scripts --no-audit --no-fund {mark}",
            self.name, self.version
        ));
        self.lock = Some(Lock { path, manifest: manifest.path.to_owned(), first: argv });
        Ok(())
    }

    fn lock_by_uv(&mut self, naming: &[Naming<'_>], locks: &[Locked]) -> Result<(), End> {
        let mut own: Vec<&Locked> = locks.iter().filter(|lock| lock.manager == Manager::Uv).collect();
        own.retain(|lock| {
            if naming.is_empty() {
                !lock.versions.is_empty()
            } else {
                naming.iter().any(|manifest| below(manifest.path, &lock.path))
            }
        });
        let lock = match own.as_slice() {
            [] => return Ok(()),
            [lock] => *lock,
            several => return Err(self.several(several.iter().map(|lock| lock.path.clone()))),
        };
        self.old.clone_from(&lock.versions);
        let there = |version: &String| self.manager.equal(version, &self.version);
        if !lock.versions.is_empty() && lock.versions.iter().all(there) && self.edits.is_empty() {
            return Ok(());
        }
        // Of several, for several platforms, one command cannot choose.
        if lock.versions.len() > 1 {
            let summary = format!("{} holds {} at {}.", lock.path, self.name, lock.versions.join(" and "));
            return Err(End::new(ReasonCode::Underspecified, summary)
                .asking(format!("Which of them is to become {}?", self.version)));
        }
        let older =
            |held: &&String| self.manager.versions().order(&self.version, held) == Some(Ordering::Less);
        if let Some(held) = lock.versions.iter().find(older) {
            return Err(self.lower(&format!("{} locks {} {held}", lock.path, self.name)));
        }
        let argv = words(&format!("uv lock --no-build --upgrade-package {}=={}", self.name, self.version));
        self.lock = Some(Lock {
            path: lock.path.clone(),
            manifest: beside(&lock.path, "pyproject.toml"),
            first: argv,
        });
        Ok(())
    }

    fn several(&self, paths: impl Iterator<Item = String>) -> End {
        let paths: Vec<String> = paths.collect();
        let summary = format!("{} is a dependency in several places: {}.", self.name, paths.join(", "));
        let mut end = End::new(ReasonCode::Underspecified, summary).asking("Which of them is meant?");
        let folders: BTreeSet<&str> =
            paths.iter().filter_map(|path| path.rsplit_once('/').map(|(folder, _)| folder)).collect();
        for folder in folders {
            end = end.instead(format!("Bump {} to {} in {folder}", self.name, self.version));
        }
        end.with(paths)
    }
}

/// A lockfile that is read, and the versions of the dependency in it.
struct Locked {
    manager: Manager,
    path: String,
    versions: Vec<String>,
    /// Those that other packages have for themselves.
    inner: Vec<String>,
}

/// The lockfiles that hold the dependency; npm's and uv's also where they do not yet.
fn locks(name: &str, files: &[FileText]) -> Vec<Locked> {
    let read = |file: &FileText| {
        let manager = match name_of(&file.path) {
            "Cargo.lock" => Manager::Cargo,
            "package-lock.json" => Manager::Npm,
            "uv.lock" => Manager::Uv,
            _ => return None,
        };
        let text = file.text.as_deref()?;
        let versions = locked::versions(manager, text, name)?;
        let mut inner = locked::everywhere(manager, text, name);
        inner.retain(|version| !versions.contains(version));
        (manager != Manager::Cargo || !versions.is_empty()).then(|| Locked {
            manager,
            path: file.path.clone(),
            versions,
            inner,
        })
    };
    files.iter().filter_map(read).collect()
}

fn choose(
    name: &str,
    asked: Option<Manager>,
    naming: &BTreeMap<Manager, Vec<Naming<'_>>>,
    locks: &[Locked],
    files: &[FileText],
) -> Result<Manager, End> {
    let mut managers: BTreeSet<Manager> = naming.keys().copied().collect();
    let held = |lock: &&Locked| lock.manager != Manager::Npm && !lock.versions.is_empty();
    if managers.is_empty() {
        managers.extend(locks.iter().filter(held).map(|lock| lock.manager));
    }
    managers.retain(|manager| manager.may_be(asked));
    if asked.is_some_and(|asked| managers.contains(&asked)) {
        managers.retain(|manager| Some(*manager) == asked);
    }
    match managers.iter().collect::<Vec<_>>().as_slice() {
        [one] => Ok(**one),
        [] => Err(nowhere(name, files)),
        _ => {
            let names: Vec<&str> = managers.iter().map(|manager| manager.name()).collect();
            let summary = format!("{name} is a dependency for {}.", names.join(" and for "));
            Err(End::new(ReasonCode::Underspecified, summary)
                .asking(format!("Is {name} of {} meant?", names.join(" or of "))))
        }
    }
}

/// What a repository uses of a package.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Uses {
    /// The versions that lockfiles hold for it; without them the lowest that manifests take.
    pub(super) versions: Vec<String>,
    /// Versions that other packages have for themselves.
    pub(super) inner: Vec<String>,
    /// Places that name it, and no version.
    pub(super) unclear: Vec<String>,
}

impl Uses {
    /// Whether anything names the package.
    pub(super) fn is_some(&self) -> bool {
        *self != Self::default()
    }
}

/// Returns what the files say of a package's versions.
pub(super) fn uses(manager: Manager, name: &str, files: &[FileText]) -> Uses {
    let mut uses = Uses::default();
    for lock in locks(name, files).into_iter().filter(|lock| lock.manager == manager) {
        uses.versions.extend(lock.versions);
        uses.inner.extend(lock.inner);
    }
    if !uses.versions.is_empty() {
        return uses;
    }
    for file in files.iter().filter(|file| manager_of(&file.path, files) == Some(manager)) {
        let found = file.text.as_deref().and_then(|text| declarations(manager, text, name));
        for one in found.unwrap_or_default() {
            match &one.says {
                Says::Requirement { text, .. } if lowest(manager, text).is_some() => {
                    uses.versions.extend(lowest(manager, text));
                }
                Says::Inherited => {}
                Says::Requirement { text, .. } => {
                    uses.unclear.push(format!("{}, {}: {text}", file.path, one.place));
                }
                Says::Other(why) => uses.unclear.push(format!("{}, {}: {why}", file.path, one.place)),
            }
        }
    }
    uses
}

/// Says why a dependency that no manifest names which is changed here cannot be changed.
pub(super) fn nowhere(name: &str, files: &[FileText]) -> End {
    let word = |text: &str| {
        text.match_indices(name).any(|(at, found)| {
            let around = [text[..at].chars().next_back(), text[at + found.len()..].chars().next()];
            around.iter().flatten().all(|c| !(c.is_alphanumeric() || "-_".contains(*c)))
        })
    };
    let named = files.iter().find(|file| file.text.as_deref().is_some_and(word));
    match named {
        Some(file) => {
            let summary = format!(
                "{} names {name}. A bump changes Cargo.toml, package.json, requirements files and pyproject.toml with a uv.lock, what these name \
                 themselves, and what Cargo.lock and uv.lock hold.",
                file.path
            );
            End::new(ReasonCode::OutOfScope, summary).with([format!("{}: {name}", file.path)])
        }
        None => {
            let summary = format!("No manifest and no lockfile of this repository names {name}.");
            End::new(ReasonCode::Underspecified, summary).asking("Which dependency is meant?")
        }
    }
}

/// Whether a version is before what a requirement or a lockfile names; false where that cannot be told.
fn lower(version: &str, than: &str) -> bool {
    let than = than.trim_start_matches(['^', '~', '=', '>', ' ', 'v']);
    let numbers = |text: &str| -> Option<Vec<u64>> {
        let plain = text.split(['-', '+']).next().unwrap_or(text);
        plain.split('.').map(|part| part.parse().ok()).collect()
    };
    match (Version::parse(version), Version::parse(than)) {
        (Ok(version), Ok(than)) => version < than,
        _ => matches!((numbers(version), numbers(than)), (Some(version), Some(than)) if version < than),
    }
}

/// Whether a manifest lies in the folder of a lockfile, or below it.
fn below(manifest: &str, lock: &str) -> bool {
    match lock.rsplit_once('/') {
        Some((folder, _)) => manifest.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
        None => true,
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}
