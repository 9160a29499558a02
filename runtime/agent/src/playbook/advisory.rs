//! What an advisory in the OSV format says: which versions of which packages it affects.
//!
//! The format and the way a version is held against it: <https://ossf.github.io/osv-schema/>. What an advisory says of
//! commits (`GIT` ranges) is not used, since nothing here depends on a commit.

use std::cmp::Ordering;

use serde::Deserialize;

/// The greatest length of a version that is read, bytes.
const LONGEST: usize = 64;

/// One advisory.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Advisory {
    id: String,
    aliases: Option<Vec<String>>,
    withdrawn: Option<String>,
    affected: Option<Vec<Affected>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Affected {
    package: Option<Package>,
    ranges: Option<Vec<Range>>,
    versions: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Package {
    ecosystem: String,
    name: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    events: Option<Vec<Event>>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
struct Event {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
    limit: Option<String>,
}

/// How the versions of an ecosystem are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    /// <https://semver.org>, with all three numbers.
    Semantic,
    /// PEP 440.
    Python,
}

impl Versions {
    /// Returns the order of two versions; none where one of them is no version here.
    pub(super) fn order(self, one: &str, other: &str) -> Option<Ordering> {
        match self {
            Self::Semantic => {
                let parse = |text: &str| semver::Version::parse(text.strip_prefix('v').unwrap_or(text)).ok();
                Some(parse(one)?.cmp_precedence(&parse(other)?))
            }
            Self::Python => {
                let parse = |text: &str| text.parse::<pep440_rs::Version>().ok();
                Some(parse(one)?.cmp(&parse(other)?))
            }
        }
    }

    /// Whether a text is one version, and nothing that a command or a manifest would take for more.
    fn knows(self, version: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || ".+-!".contains(c);
        version.len() <= LONGEST
            && version.starts_with(|c: char| c.is_ascii_digit())
            && version.chars().all(plain)
            && self.order(version, version).is_some()
    }
}

/// What an advisory says of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    Affected,
    Not,
    /// It names versions that cannot be held against this one.
    Unclear,
}

impl Advisory {
    /// Reads a file's text.
    ///
    /// # Errors
    /// It is no JSON, or not of this form; with line and column.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Whether it goes by an id, of its own or of somebody else's for the same thing.
    pub fn goes_by(&self, id: &str) -> bool {
        self.id == id || self.aliases().iter().any(|alias| alias == id)
    }

    /// Returns the ids that others know it by.
    pub fn aliases(&self) -> &[String] {
        self.aliases.as_deref().unwrap_or_default()
    }

    /// Returns when it was taken back.
    pub(super) fn withdrawn(&self) -> Option<&str> {
        self.withdrawn.as_deref()
    }

    fn affected(&self) -> &[Affected] {
        self.affected.as_deref().unwrap_or_default()
    }

    /// Returns the packages of an ecosystem that it names, each once.
    pub(super) fn packages(&self, ecosystem: &str) -> Vec<&str> {
        let mut names = Vec::new();
        for one in self.affected() {
            // `Debian:12` is a release of an ecosystem.
            if let Some(Package { ecosystem: theirs, name }) = &one.package
                && theirs.split(':').next() == Some(ecosystem)
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        }
        names
    }

    fn of<'a>(&'a self, ecosystem: &'a str, name: &'a str) -> impl Iterator<Item = &'a Affected> {
        self.affected().iter().filter(move |one| {
            one.package.as_ref().is_some_and(|package| {
                package.ecosystem.split(':').next() == Some(ecosystem) && package.name == name
            })
        })
    }

    /// Says of one version of a package, spelled as it is there, whether it is affected.
    pub(super) fn says(&self, versions: Versions, ecosystem: &str, name: &str, version: &str) -> Says {
        let mut unclear = false;
        for one in self.of(ecosystem, name) {
            let named = one.versions.as_deref().unwrap_or_default();
            let same =
                |other: &String| other == version || versions.order(other, version) == Some(Ordering::Equal);
            if named.iter().any(same) {
                return Says::Affected;
            }
            let ranges = one.ranges.as_deref().unwrap_or_default();
            for range in ranges.iter().filter(|range| range.is_of_versions()) {
                match range.holds(versions, version) {
                    Some(true) => return Says::Affected,
                    Some(false) => {}
                    None => unclear = true,
                }
            }
            if named.is_empty() {
                // It says that the package is affected, and not where: then everywhere.
                if ranges.is_empty() {
                    return Says::Affected;
                }
                unclear |= !ranges.iter().any(Range::is_of_versions);
            }
        }
        if unclear { Says::Unclear } else { Says::Not }
    }

    /// Returns the versions of a package in which it is mended, by its word, in no order.
    pub(super) fn fixed(&self, versions: Versions, ecosystem: &str, name: &str) -> Vec<String> {
        let ranges = self.of(ecosystem, name).flat_map(|one| one.ranges.as_deref().unwrap_or_default());
        let events = ranges
            .filter(|range| range.is_of_versions())
            .flat_map(|range| range.events.as_deref().unwrap_or_default());
        events.filter_map(|event| event.fixed.clone()).filter(|version| versions.knows(version)).collect()
    }
}

impl Range {
    fn is_of_versions(&self) -> bool {
        self.kind == "SEMVER" || self.kind == "ECOSYSTEM"
    }

    /// Whether a version lies within it; none where its versions and this one cannot be ordered.
    fn holds(&self, versions: Versions, version: &str) -> Option<bool> {
        // Where each event stands beside the version: `0` stands before every version.
        let beside = |at: &str| if at == "0" { Some(Ordering::Less) } else { versions.order(at, version) };
        let events = self.events.as_deref().unwrap_or_default();
        let mut within_limits = true;
        if events.iter().any(|event| event.limit.is_some()) {
            let limits = events.iter().filter_map(|event| event.limit.as_deref());
            let mut below = false;
            for limit in limits {
                below |= limit == "*" || versions.order(limit, version)? == Ordering::Greater;
            }
            within_limits = below;
        }
        // The last event at or before the version decides; a later one in the file wins at the same version.
        let mut last: Option<(&str, bool)> = None;
        for event in events {
            let Event { introduced, fixed, last_affected, .. } = event;
            let turns = [(introduced, true, true), (fixed, false, true), (last_affected, false, false)];
            for (at, affected, from_itself) in turns {
                let Some(at) = at.as_deref() else { continue };
                let counts = match beside(at)? {
                    Ordering::Less => true,
                    Ordering::Equal => from_itself,
                    Ordering::Greater => false,
                };
                let later = match last {
                    None => true,
                    Some((_, _)) if at == "0" => false,
                    Some(("0", _)) => true,
                    Some((before, _)) => versions.order(at, before)? != Ordering::Less,
                };
                if counts && later {
                    last = Some((at, affected));
                }
            }
        }
        Some(within_limits && last.is_some_and(|(_, affected)| affected))
    }
}

/// A Python package's name as indexes compare it.
pub(super) fn spelled(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advisory(affected: &str) -> Advisory {
        Advisory::parse(&format!(r#"{{"id": "X-1", "aliases": ["CVE-1"], "affected": [{affected}]}}"#))
            .unwrap()
    }

    fn ranges(kind: &str, events: &str) -> Advisory {
        advisory(&format!(
            r#"{{"package": {{"ecosystem": "npm", "name": "a"}}, "ranges": [{{"type": "{kind}", "events": [{events}]}}]}}"#
        ))
    }

    fn told(advisory: &Advisory, versions: Versions, all: &str) -> String {
        let told = |version: &str| {
            let says = advisory.says(versions, "npm", "a", version);
            format!(
                "{version} {}",
                match says {
                    Says::Affected => "yes",
                    Says::Not => "no",
                    Says::Unclear => "unclear",
                }
            )
        };
        all.split(' ').map(told).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_version_is_held_against_ranges_as_the_format_says() {
        use Versions::{Python, Semantic};
        for (kind, events, versions, all, want) in [
            (
                "SEMVER",
                r#"{"introduced": "0"}, {"fixed": "1.4.3"}, {"introduced": "1.5.0-beta"}, {"fixed": "1.5.2"}"#,
                Semantic,
                "0.0.0-0 1.4.2 1.4.3 1.5.0-alpha 1.5.0 1.5.2 1.5.2+build",
                "0.0.0-0 yes, 1.4.2 yes, 1.4.3 no, 1.5.0-alpha no, 1.5.0 yes, 1.5.2 no, 1.5.2+build no",
            ),
            // In the wrong order, as exports have them.
            (
                "ECOSYSTEM",
                r#"{"fixed": "2.0.0"}, {"introduced": "1.0.0"}"#,
                Semantic,
                "0.9.0 1.0.0 2.0.0 1.0",
                "0.9.0 no, 1.0.0 yes, 2.0.0 no, 1.0 unclear",
            ),
            (
                "ECOSYSTEM",
                r#"{"introduced": "0"}, {"last_affected": "2.31"}"#,
                Python,
                "2.31.0 2.31.0.post1 2.31rc1 3!0.1 x",
                "2.31.0 yes, 2.31.0.post1 no, 2.31rc1 yes, 3!0.1 no, x unclear",
            ),
            (
                "SEMVER",
                r#"{"introduced": "0"}, {"limit": "1.2.0"}"#,
                Semantic,
                "1.1.9 1.2.0 1.3.0",
                "1.1.9 yes, 1.2.0 no, 1.3.0 no",
            ),
            ("GIT", r#"{"introduced": "0"}"#, Semantic, "1.0.0", "1.0.0 unclear"),
        ] {
            assert_eq!(told(&ranges(kind, events), versions, all), want, "{events}");
        }
    }

    #[test]
    fn versions_may_be_listed_and_other_packages_do_not_count() {
        let listed = advisory(
            r#"{"package": {"ecosystem": "npm", "name": "a"}, "versions": ["1.0.0"]},
               {"package": {"ecosystem": "npm:x", "name": "b"}, "versions": ["2.0.0"]},
               {"package": {"ecosystem": "PyPI", "name": "a"}, "versions": ["3.0.0"]}, {"versions": ["4.0.0"]}"#,
        );
        let all = "1.0.0 2.0.0 3.0.0 4.0.0";
        assert_eq!(told(&listed, Versions::Semantic, all), "1.0.0 yes, 2.0.0 no, 3.0.0 no, 4.0.0 no");
        assert_eq!(listed.packages("npm"), ["a", "b"]);
        assert!(listed.goes_by("X-1") && listed.goes_by("CVE-1") && !listed.goes_by("CVE-2"));
        let everywhere = advisory(r#"{"package": {"ecosystem": "npm", "name": "a"}}"#);
        assert_eq!(told(&everywhere, Versions::Semantic, "1.0.0"), "1.0.0 yes");
    }

    #[test]
    fn what_is_fixed_is_a_version_and_nothing_else() {
        let events = r#"{"introduced": "0"}, {"fixed": "1.4.3"}, {"fixed": "1.5.0 --config=x"}, {"fixed": "2"}, {"fixed": "v3.0.0"}"#;
        let fixed = ranges("SEMVER", events).fixed(Versions::Semantic, "npm", "a");
        assert_eq!(fixed, ["1.4.3"]);
        assert_eq!(ranges("GIT", events).fixed(Versions::Semantic, "npm", "a"), [""; 0]);
        let fixed = ranges("ECOSYSTEM", events).fixed(Versions::Python, "npm", "a");
        assert_eq!(fixed, ["1.4.3", "2"]);
    }

    #[test]
    fn what_is_no_advisory_is_told_with_its_place() {
        let told = |text: &str| Advisory::parse(text).unwrap_err().to_string();
        assert_eq!(
            told("{\"id\": \"X\",\n\"affected\": [{\"package\": 1}]}").split(" at ").nth(1),
            Some("line 2 column 26")
        );
        assert!(told("{}").contains("missing field `id`"));
    }
}
