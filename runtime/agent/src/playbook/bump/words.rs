//! Reading a task's text: one dependency to one version and nothing else, or not ours.

use super::{Bump, Manager};
use crate::playbook::Playbook;
use crate::playbook::form::Fit;
use crate::playbook::said::{ASKING, Reader, THANKS};

const NOUNS: &str = "dependency dependencies crate package library module dev-dependency";
/// What has a version and is no dependency.
const OTHERS: &[&str] = &[
    "version",
    "versions",
    "python",
    "node",
    "nodejs",
    "rust",
    "rustc",
    "go",
    "golang",
    "java",
    "msrv",
    "toolchain",
    "edition",
    "copyright",
    "schema",
    "api",
    "protocol",
    "compiler",
    "docs",
    "readme",
    "changelog",
    "release",
    "timeout",
    "limit",
    "year",
];
/// The longest name that a registry has.
const LONGEST: usize = 214;

/// Says whether a text asks for a dependency at a version and nothing else.
pub(crate) fn fit(text: &str) -> Fit {
    match Reader::new(text).and_then(read) {
        None => Fit::No,
        Some(Asked { version: None, advisory: None, .. }) => Fit::Declined {
            why: "the text does not say to which version; like: Bump serde to 1.2.3".to_owned(),
        },
        Some(asked) => Fit::Yes(Box::new(Playbook::Bump(Box::new(Bump::new(asked))))),
    }
}

/// What a text asks for: a version or an advisory, or both; a name, or an advisory that says it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    /// Whose dependency it is, where the text says so.
    pub(super) manager: Option<Manager>,
    pub(super) advisory: Option<String>,
    pub(super) scope: Option<String>,
}

/// "Bump serde to 1.0.220", "Update the npm package lodash from 4.17.20 to 4.17.21 in web", "Upgrade requests past
/// CVE-2024-35195".
fn read(mut reader: Reader) -> Option<Asked> {
    reader.any(ASKING);
    reader.one("bump update upgrade raise")?;
    let (mut manager, mut noun) = (None, false);
    loop {
        if let Some(word) = reader.one("crate npm cargo pip pypi uv") {
            manager = Some(match word.as_str() {
                "npm" => Manager::Npm,
                "crate" | "cargo" => Manager::Cargo,
                "uv" => Manager::Uv,
                _ => Manager::Pip,
            });
            noun |= word == "crate";
        } else if reader.any(NOUNS) {
            noun = true;
        } else if !reader.any("the our a version of python rust node") {
            break;
        }
    }
    if reader.any("past beyond") {
        let advisory = advisory(&mut reader)?;
        let scope = place(&mut reader)?;
        reader.any(THANKS);
        return reader.is_over().then_some(Asked {
            name: None,
            version: None,
            manager,
            advisory: Some(advisory),
            scope,
        });
    }
    let name =
        reader.word(|word| is_name(word) && (noun || !OTHERS.contains(&word.to_lowercase().as_str())))?;
    loop {
        if reader.one("crate").is_some() {
            (manager, noun) = (Some(Manager::Cargo), true);
        } else if reader.any(NOUNS) {
            noun = true;
        } else {
            break;
        }
    }
    if reader.one("from").is_some() {
        reader.any("version");
        reader.word(|word| version_of(word, true).is_some())?;
    }
    let mut version = None;
    if reader.one("to").is_some() {
        if reader.any("at least") || reader.any("version") {
            noun = true;
            reader.any("version");
        }
        let word = reader.word(|word| version_of(word, noun).is_some())?;
        version = version_of(&word, noun);
    }
    let scope = place(&mut reader)?;
    let said = reader.any(
        "past beyond for because of fixes fix to for against address resolve which that is the advisory",
    );
    let advisory = advisory(&mut reader);
    if said && advisory.is_none() {
        return None;
    }
    reader.any(THANKS);
    // Neither a version nor an advisory: words that others have too ("Update the docs").
    (reader.is_over() && (version.is_some() || advisory.is_some() || noun)).then_some(Asked {
        name: Some(name),
        version,
        manager,
        advisory,
        scope,
    })
}

/// Reads where: `None` within for everywhere, none for words that are no place.
fn place(reader: &mut Reader) -> Option<Option<String>> {
    if reader.one("in below").is_none() {
        return Some(None);
    }
    reader.any("the this folder directory");
    let mut scope = None;
    if reader.one("repository repo project codebase workspace").is_none() {
        scope = Some(reader.path()?);
    }
    reader.any("folder directory");
    Some(scope)
}

/// Reads an advisory's id, and returns it as its database spells it: only GitHub's have small letters.
fn advisory(reader: &mut Reader) -> Option<String> {
    let id = reader.word(is_advisory)?.to_uppercase();
    Some(id.strip_prefix("GHSA-").map_or(id.clone(), |rest| format!("GHSA-{}", rest.to_lowercase())))
}

pub(super) fn is_name(word: &str) -> bool {
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let fits = match word.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').is_some_and(|(scope, name)| plain(scope) && plain(name)),
        None => plain(word),
    };
    fits && word.len() <= LONGEST && word.contains(|c: char| c.is_ascii_alphabetic())
}

/// Returns a version without the `v` before it. `Python to 3.12` is no dependency's: two numbers alone are a version where
/// the text says that it means one.
fn version_of(word: &str, two: bool) -> Option<String> {
    let bare = word.strip_prefix(['v', 'V']).unwrap_or(word);
    let end = bare.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(bare.len());
    let (numbers, rest) = bare.split_at(end);
    let numbers = numbers.trim_end_matches('.');
    let parts = numbers.split('.').count();
    let well_formed = numbers.split('.').all(|part| !part.is_empty() && part.len() < 10)
        && rest.len() < 40
        && rest != "x"
        && rest.chars().all(|c| c.is_ascii_alphanumeric() || ".+-".contains(c));
    (well_formed && (parts >= 3 || (two && parts == 2))).then(|| bare.to_owned())
}

/// `CVE-2024-35195`, `GHSA-9wx4-h78v-vm56`, `RUSTSEC-2024-0001`, `PYSEC-2023-74`.
fn is_advisory(word: &str) -> bool {
    let upper = word.to_uppercase();
    let known = ["CVE-", "GHSA-", "RUSTSEC-", "PYSEC-", "GO-"];
    known.iter().any(|prefix| upper.starts_with(prefix) && upper.len() > prefix.len() + 3)
        && upper.len() < 40
        && upper.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match fit(text) {
            Fit::Yes(playbook) => playbook.describe(),
            Fit::Refused { code, summary, .. } => format!("{}: {summary}", code.as_str()),
            Fit::Declined { why } => format!("declined: {why}"),
            Fit::No => "no".into(),
        }
    }

    #[test]
    fn texts_that_ask_for_a_dependency_at_a_version() {
        for (text, want) in [
            ("Bump serde to 1.0.220", "serde to 1.0.220"),
            ("Please update lodash to v4.17.21.", "lodash to 4.17.21"),
            ("Bump lodash from 4.17.20 to 4.17.21", "lodash to 4.17.21"),
            ("Upgrade the npm package `@types/node` to 20.1.0 in web/", "@types/node to 20.1.0 in web"),
            ("Bump the crate time to 0.3.36 (RUSTSEC-2020-0071)", "time to 0.3.36, past RUSTSEC-2020-0071"),
            (
                "Update requests to 2.32.0 because of CVE-2024-35195",
                "requests to 2.32.0, past CVE-2024-35195",
            ),
            ("Bump the dependency idna to version 3.7", "idna to 3.7"),
            ("Bump serde to 2.0.0-rc.1", "serde to 2.0.0-rc.1"),
        ] {
            assert_eq!(told(text), want, "{text}");
        }
    }

    #[test]
    fn an_advisory_is_as_good_as_a_version_and_may_say_the_name() {
        for (text, want) in [
            ("Upgrade requests past ghsa-9WX4-h78v-vm56", "requests, past GHSA-9wx4-h78v-vm56"),
            ("Bump the crate serde past RUSTSEC-2024-0001", "serde, past RUSTSEC-2024-0001"),
            ("Upgrade requests because of cve-2024-35195", "requests, past CVE-2024-35195"),
            (
                "Please bump past RUSTSEC-2024-0001 in web",
                "what the advisory names in web, past RUSTSEC-2024-0001",
            ),
            ("Bump the npm package past CVE-2024-1000", "what the advisory names, past CVE-2024-1000"),
        ] {
            assert_eq!(told(text), want, "{text}");
        }
        insta::assert_snapshot!(told("Bump the serde crate"), @"declined: the text does not say to which version; like: Bump serde to 1.2.3");
    }

    #[test]
    fn texts_that_ask_for_something_else_or_more() {
        for text in [
            "Update Python to 3.12",
            "Update the copyright to 2026",
            "Bump the version to 1.2.3",
            "Bump the MSRV to 1.70.0",
            "Update the docs",
            "Update README for CVE handling",
            "Bump serde to 1.0.220 and fix the tests",
            "Bump serde to 1.0.220 and lodash to 4.17.21",
            "Do not bump serde to 1.0.220",
            "Bump serde to the newest version",
            "Bump --config=x to 1.0.0",
            "Bump serde to 1.0.220;id",
            "Bump past it",
            "Bump past RUSTSEC-2024-0001 and fix the tests",
        ] {
            assert_eq!(told(text), "no", "{text}");
        }
    }
}
