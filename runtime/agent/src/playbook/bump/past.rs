//! Which version is past an advisory: by what the operator's files say of it, and by what the repository uses.

use std::cmp::Ordering;

use gloaming_api::ReasonCode;
use gloaming_api::tool::{ToolErrorCode, ToolOutcome};
use serde::Deserialize;

use super::plan::{nowhere, uses};
use super::{Manager, words};
use crate::playbook::advisory::{Advisory, Says, Versions, spelled};
use crate::playbook::files::FileText;
use crate::playbook::form::{End, output};

impl Manager {
    const ALL: [Self; 4] = [Self::Cargo, Self::Npm, Self::Pip, Self::Uv];

    /// Returns what the OSV format calls where its packages come from.
    fn ecosystem(self) -> &'static str {
        match self {
            Self::Cargo => "crates.io",
            Self::Npm => "npm",
            Self::Pip | Self::Uv => "PyPI",
        }
    }

    pub(super) fn versions(self) -> Versions {
        match self {
            Self::Cargo | Self::Npm => Versions::Semantic,
            Self::Pip | Self::Uv => Versions::Python,
        }
    }

    /// Whether two names are of one package.
    pub(super) fn same(self, one: &str, other: &str) -> bool {
        match self {
            Self::Cargo | Self::Npm => one == other,
            Self::Pip | Self::Uv => spelled(one) == spelled(other),
        }
    }

    /// Whether two versions are the same one; Python's may be spelled otherwise.
    pub(super) fn equal(self, one: &str, other: &str) -> bool {
        let python = self.versions() == Versions::Python;
        one == other || (python && self.versions().order(one, other) == Some(Ordering::Equal))
    }

    /// Whether a task that names a manager may mean this one: who says pip may mean Python.
    pub(super) fn may_be(self, asked: Option<Self>) -> bool {
        asked.is_none_or(|asked| asked == self || (asked == Self::Pip && self == Self::Uv))
    }
}

/// An advisory, and the file that it was read from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    file: String,
    digest: String,
    advisory: Advisory,
}

/// What is done about an advisory.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) name: String,
    pub(super) manager: Manager,
    pub(super) version: String,
    /// The affected version that is to go.
    pub(super) from: String,
}

/// What was found among the operator's files.
#[derive(Deserialize)]
struct Found {
    file: String,
    digest: String,
    text: String,
}

/// Reads what was found of an advisory.
pub(super) fn sources(id: &str, outcome: &ToolOutcome) -> Result<Vec<Source>, End> {
    if let Some(error) = outcome.error.as_ref().filter(|error| error.code == ToolErrorCode::NotFound) {
        return Err(End::new(
            ReasonCode::Underspecified,
            format!("Which version is past {id} is not known here: {}.", error.message),
        )
        .asking(format!("Which version is the first that {id} does not speak of?")));
    }
    let found = output(outcome, "the operator's advisories")?.get("files").cloned().unwrap_or_default();
    let found: Vec<Found> = serde_json::from_value(found).unwrap_or_default();
    let mut sources = Vec::new();
    for Found { file, digest, text } in found {
        match Advisory::parse(&text) {
            Ok(advisory) => sources.push(Source { file, digest, advisory }),
            Err(error) => {
                return Err(End::new(ReasonCode::Stuck, format!("{file} is no advisory: {error}.")));
            }
        }
    }
    Ok(sources)
}

/// Names the files that decided.
pub(super) fn shown(sources: &[Source]) -> String {
    let shown = |source: &Source| format!("`{}` ({})", source.file, source.digest);
    sources.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// Returns the first of the versions that one of the advisories affects.
pub(super) fn still(sources: &[Source], manager: Manager, name: &str, versions: &[String]) -> Option<String> {
    versions.iter().find(|version| says(sources, manager, name, version) == Says::Affected).cloned()
}

fn says(sources: &[Source], manager: Manager, name: &str, version: &str) -> Says {
    let mut says = Says::Not;
    for source in sources {
        for package in source.advisory.packages(manager.ecosystem()) {
            if manager.same(package, name) {
                match source.advisory.says(manager.versions(), manager.ecosystem(), package, version) {
                    Says::Affected => return Says::Affected,
                    Says::Unclear => says = Says::Unclear,
                    Says::Not => {}
                }
            }
        }
    }
    says
}

fn fixed(sources: &[Source], manager: Manager, name: &str) -> Vec<String> {
    let mut all = Vec::new();
    for source in sources {
        for package in source.advisory.packages(manager.ecosystem()) {
            if manager.same(package, name) {
                all.extend(source.advisory.fixed(manager.versions(), manager.ecosystem(), package));
            }
        }
    }
    all
}

/// Decides which package goes to which version. An empty `name` is whatever the advisory names.
pub(super) fn decide(
    name: &str,
    asked: Option<Manager>,
    id: &str,
    sources: &mut Vec<Source>,
    files: &[FileText],
) -> Result<Decided, End> {
    let withdrawn = sources.first().and_then(|source| source.advisory.withdrawn()).unwrap_or("").to_owned();
    let all = shown(sources);
    sources.retain(|source| source.advisory.withdrawn().is_none());
    if sources.is_empty() {
        let summary = format!("{id} was withdrawn ({withdrawn}).");
        return Err(End::new(ReasonCode::NoChangeNeeded, summary).with([all]));
    }
    let (manager, name) = package(name, asked, id, sources, files)?;
    let uses = uses(manager, &name, files);
    let unclear = |what: String| {
        let summary = format!("{what}, so no version can be chosen by {id}.");
        End::new(ReasonCode::Underspecified, summary).asking(format!("To which version is {name} to go?"))
    };
    if uses.versions.is_empty() && uses.inner.is_empty() {
        return Err(unclear(format!("Which version of {name} is used cannot be told")).with(uses.unclear));
    }
    let held = |versions: &[String]| -> Result<Vec<String>, End> {
        let mut affected = Vec::new();
        for version in versions {
            match says(sources, manager, &name, version) {
                Says::Affected if !affected.contains(version) => affected.push(version.clone()),
                Says::Affected | Says::Not => {}
                Says::Unclear => {
                    let summary = format!("Whether {id} affects {name} {version} cannot be told");
                    return Err(unclear(summary).with([shown(sources)]));
                }
            }
        }
        Ok(affected)
    };
    let (affected, inner) = (held(&uses.versions)?, held(&uses.inner)?);
    let from = match affected.as_slice() {
        [one] => one.clone(),
        [] if inner.is_empty() && uses.unclear.is_empty() => {
            let summary =
                format!("{name} is at {}, which {id} does not affect.", uses.versions.join(" and "));
            return Err(End::new(ReasonCode::NoChangeNeeded, summary).with([shown(sources)]));
        }
        [] if inner.is_empty() => {
            return Err(
                unclear(format!("Not every place says which version of {name} it takes")).with(uses.unclear)
            );
        }
        [] => {
            let summary = format!(
                "{id} affects {name} {}, which only other packages bring for themselves; no bump reaches these.",
                inner.join(" and ")
            );
            return Err(End::new(ReasonCode::OutOfScope, summary));
        }
        several if manager == Manager::Cargo => {
            let summary = format!("{id} affects {name} {}, which are all used.", several.join(" and "));
            return Err(
                End::new(ReasonCode::Underspecified, summary).asking("Which of them is to go, and to what?")
            );
        }
        several => highest(manager.versions(), several),
    };
    let mut to = fixed(sources, manager, &name);
    to.retain(|version| manager.versions().order(version, &from) == Some(Ordering::Greater));
    to.sort_by(|one, other| manager.versions().order(one, other).unwrap_or(Ordering::Equal));
    match to.into_iter().find(|version| says(sources, manager, &name, version) == Says::Not) {
        Some(version) => Ok(Decided { name, manager, version, from }),
        None => {
            let summary = format!("No version of {name} above {from} is known in which {id} is fixed.");
            Err(End::new(ReasonCode::OutOfScope, summary)
                .asking(format!("Can the repository do without {name}?"))
                .with([shown(sources)]))
        }
    }
}

fn highest(order: Versions, versions: &[String]) -> String {
    let highest = versions.iter().max_by(|one, other| order.order(one, other).unwrap_or(Ordering::Equal));
    highest.cloned().unwrap_or_default()
}

/// Returns the one package that is meant.
fn package(
    name: &str,
    asked: Option<Manager>,
    id: &str,
    sources: &[Source],
    files: &[FileText],
) -> Result<(Manager, String), End> {
    let mut named: Vec<(Manager, String)> = Vec::new();
    let managers = || Manager::ALL.into_iter().filter(|one| one.may_be(asked));
    for manager in managers() {
        for package in sources.iter().flat_map(|source| source.advisory.packages(manager.ecosystem())) {
            let known = named.iter().any(|(whose, known)| *whose == manager && manager.same(known, package));
            if !known && words::is_name(package) {
                named.push((manager, package.to_owned()));
            }
        }
    }
    let told = named.iter().map(|(manager, name)| format!("{name} ({})", manager.ecosystem()));
    let told = told.collect::<Vec<_>>().join(", ");
    if !name.is_empty() {
        named.retain(|(manager, package)| manager.same(package, name));
    }
    let Some((_, first)) = named.first().cloned() else {
        let what = if told.is_empty() { "no package of a manager known here".to_owned() } else { told };
        let summary =
            format!("{id} speaks of {what}{}.", if name.is_empty() { "" } else { " and of nothing else" });
        return Err(End::new(ReasonCode::ConflictingRequirements, summary)
            .asking("Is the advisory's id right?")
            .with([shown(sources)]));
    };
    named.retain(|(manager, package)| uses(*manager, package, files).is_some());
    if named.iter().any(|(manager, _)| asked == Some(*manager)) {
        named.retain(|(manager, _)| asked == Some(*manager));
    }
    match named.as_slice() {
        [(manager, package)] => {
            Ok((*manager, if name.is_empty() { package.clone() } else { name.to_owned() }))
        }
        [] => Err(nowhere(&first, files)),
        several => {
            let all = several.iter().map(|(manager, name)| format!("{name} of {}", manager.name()));
            let summary = format!("{id} affects {}.", all.collect::<Vec<_>>().join(" and "));
            let mut end = End::new(ReasonCode::Underspecified, summary).asking("Which of them is meant?");
            for (manager, name) in several {
                end = end.instead(format!("Bump the {} package {name} past {id}", manager.name()));
            }
            Err(end)
        }
    }
}
