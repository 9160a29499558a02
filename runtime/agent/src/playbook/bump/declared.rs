//! Where manifests name a dependency, and what they would have to say for another version of it.

use std::collections::BTreeMap;

use pep440_rs::VersionSpecifiers;
use semver::{Op, Version, VersionReq};
use serde_json::value::RawValue;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Manager;
use crate::playbook::advisory::spelled;
use crate::playbook::splice::Splice;

/// The kinds of a Cargo manifest and of a package.json.
const CARGO: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];
const NPM: &[&str] = &["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];

const NO_VERSION: &str = "no version is said of it";

/// One place at which a manifest names the dependency.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Declaration {
    /// The section, or the line.
    pub(super) place: String,
    pub(super) says: Says,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Says {
    /// What versions it takes, and where in the file that stands: without quotation marks.
    Requirement { text: String, start: usize, end: usize },
    /// It takes what another manifest of the repository says.
    Inherited,
    /// Why no version can be said of it.
    Other(&'static str),
}

/// Returns where a manifest names a dependency; none where the file cannot be read.
pub(super) fn declarations(manager: Manager, text: &str, name: &str) -> Option<Vec<Declaration>> {
    match manager {
        Manager::Cargo => cargo(text, name),
        Manager::Npm => npm(text, name),
        Manager::Pip => pip(text, name),
        Manager::Uv => project(text, name),
    }
}

fn cargo(text: &str, name: &str) -> Option<Vec<Declaration>> {
    let whole = DeTable::parse(text).ok()?;
    let whole = whole.get_ref();
    let mut places: Vec<(String, &DeTable<'_>)> = vec![(String::new(), whole)];
    if let Some(DeValue::Table(workspace)) = whole.get("workspace").map(Spanned::get_ref) {
        places.push(("workspace.".to_owned(), workspace));
    }
    if let Some(DeValue::Table(targets)) = whole.get("target").map(Spanned::get_ref) {
        for (target, value) in targets {
            if let DeValue::Table(table) = value.get_ref() {
                places.push((format!("target.{}.", target.get_ref()), table));
            }
        }
    }
    let mut found = Vec::new();
    for (prefix, place) in places {
        for kind in CARGO {
            let Some(DeValue::Table(table)) = place.get(*kind).map(Spanned::get_ref) else { continue };
            for (key, value) in table {
                let says = cargo_entry(text, value);
                let package = match value.get_ref() {
                    DeValue::Table(entry) => string(entry.get("package")),
                    _ => None,
                };
                let says = match package {
                    Some(package) if package == name => {
                        Says::Other("it is there under another name (`package =`)")
                    }
                    None if key.get_ref() == name => says,
                    _ => continue,
                };
                found.push(Declaration { place: format!("{prefix}{kind}"), says });
            }
        }
    }
    Some(found)
}

fn cargo_entry(text: &str, value: &Spanned<DeValue<'_>>) -> Says {
    match value.get_ref() {
        DeValue::String(_) => requirement(text, value),
        DeValue::Table(entry) => {
            if entry.contains_key("path") || entry.contains_key("git") {
                return Says::Other("it comes from a path or a repository");
            }
            match entry.get("version") {
                Some(version) => requirement(text, version),
                None if entry.contains_key("workspace") => Says::Inherited,
                None => Says::Other(NO_VERSION),
            }
        }
        _ => Says::Other("it cannot be read"),
    }
}

fn string<'a>(value: Option<&'a Spanned<DeValue<'_>>>) -> Option<&'a str> {
    value.and_then(|value| value.get_ref().as_str())
}

/// A requirement as it stands between its quotation marks: none with escapes, which no version needs.
fn requirement(text: &str, value: &Spanned<DeValue<'_>>) -> Says {
    let Some(parsed) = value.get_ref().as_str() else { return Says::Other("it cannot be read") };
    let span = value.span();
    let within = text.get(span.clone()).and_then(|raw| raw.find(parsed));
    match within {
        Some(at) if !parsed.is_empty() => {
            let start = span.start + at;
            Says::Requirement { text: parsed.to_owned(), start, end: start + parsed.len() }
        }
        _ => Says::Other("it cannot be read"),
    }
}

fn npm(text: &str, name: &str) -> Option<Vec<Declaration>> {
    let whole: BTreeMap<&str, &RawValue> = serde_json::from_str(text).ok()?;
    let mut found = Vec::new();
    for kind in NPM {
        let Some(section) = whole.get(kind) else { continue };
        let Ok(section) = serde_json::from_str::<BTreeMap<&str, &RawValue>>(section.get()) else { continue };
        let Some(value) = section.get(name) else { continue };
        let raw = value.get();
        // What was not parsed yet is a piece of the text itself.
        let start = raw.as_ptr().addr().checked_sub(text.as_ptr().addr())? + 1;
        let says = match serde_json::from_str::<&str>(raw) {
            Ok(version) if text.get(start..start + version.len()) == Some(version) => {
                Says::Requirement { text: version.to_owned(), start, end: start + version.len() }
            }
            _ => Says::Other("it cannot be read"),
        };
        found.push(Declaration { place: (*kind).to_owned(), says });
    }
    Some(found)
}

fn pip(text: &str, name: &str) -> Option<Vec<Declaration>> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut continued = false;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let begin = at;
        at += line.len();
        let body = line.trim_end_matches(['\n', '\r']);
        let (was_continued, now) = (continued, body.ends_with('\\'));
        continued = now;
        let end = body.find(" #").unwrap_or(body.len());
        let said = body[..end].trim_end();
        let bare = said.trim_start();
        if was_continued || bare.starts_with(['#', '-']) {
            continue;
        }
        let Some(mut says) = python(bare, name, begin + (said.len() - bare.len())) else { continue };
        if now || bare.contains("--hash") {
            says = Says::Other("it is held by hashes, which no tool here makes anew");
        }
        found.push(Declaration { place: format!("line {}", number + 1), says });
    }
    Some(found)
}

/// Reads a Python requirement that begins at a place of its file; none of another package.
fn python(said: &str, name: &str, at: usize) -> Option<Says> {
    let named = said.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(said.len());
    if named == 0 || spelled(&said[..named]) != spelled(name) {
        return None;
    }
    let mut from = named;
    if said[from..].trim_start().starts_with('[') {
        let Some(end) = said[from..].find(']') else { return Some(Says::Other("it cannot be read")) };
        from += end + 1;
    }
    let to = said[from..].find(';').map_or(said.len(), |at| from + at);
    let spec = &said[from..to];
    let start = at + from + (spec.len() - spec.trim_start().len());
    Some(match spec.trim() {
        "" => Says::Other(NO_VERSION),
        spec if spec.starts_with('@') => Says::Other("it comes from an address"),
        spec => Says::Requirement { text: spec.to_owned(), start, end: start + spec.len() },
    })
}

/// The requirements of a `pyproject.toml` whose versions a lockfile says.
fn project(text: &str, name: &str) -> Option<Vec<Declaration>> {
    let whole = DeTable::parse(text).ok()?;
    let whole = whole.get_ref();
    let mut lists: Vec<(String, &Spanned<DeValue<'_>>)> = Vec::new();
    if let Some(project) = table(whole, "project") {
        lists.extend(project.get("dependencies").map(|list| ("project.dependencies".to_owned(), list)));
        for (extra, list) in table(project, "optional-dependencies").into_iter().flatten() {
            lists.push((format!("project.optional-dependencies.{}", extra.get_ref()), list));
        }
    }
    for (group, list) in table(whole, "dependency-groups").into_iter().flatten() {
        lists.push((format!("dependency-groups.{}", group.get_ref()), list));
    }
    let mut found = Vec::new();
    for (place, list) in lists {
        let DeValue::Array(list) = list.get_ref() else { continue };
        for one in list.iter() {
            let says = match requirement(text, one) {
                Says::Requirement { text: said, start, .. } => python(&said, name, start),
                _ => one
                    .get_ref()
                    .as_str()
                    .and_then(|said| python(said, name, 0))
                    .map(|_| Says::Other("it cannot be read")),
            };
            match says {
                None => {}
                // Which version is used, the lockfile says.
                Some(Says::Other(NO_VERSION)) => {
                    found.push(Declaration { place: place.clone(), says: Says::Inherited });
                }
                Some(says) => found.push(Declaration { place: place.clone(), says }),
            }
        }
    }
    Some(found)
}

fn table<'a, 'b>(of: &'a DeTable<'b>, key: &str) -> Option<&'a DeTable<'b>> {
    match of.get(key).map(Spanned::get_ref) {
        Some(DeValue::Table(table)) => Some(table),
        _ => None,
    }
}

/// What a requirement has to become for a version.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raised {
    /// It is what it should be.
    AsItIs,
    To(String),
    /// Nobody can tell what is wanted of it.
    Unclear,
}

/// Returns what a requirement becomes for a version. Cargo's and uv's stay where they take the version already, since the lockfile
/// says which is used; what npm installs by a version it raises to that, and pip's says it alone.
pub(super) fn raised(manager: Manager, requirement: &str, version: &str) -> Raised {
    if manager == Manager::Cargo {
        let (Ok(parsed), Ok(wanted)) = (VersionReq::parse(requirement), Version::parse(version)) else {
            return Raised::Unclear;
        };
        if parsed.matches(&wanted) {
            return Raised::AsItIs;
        }
        match parsed.comparators.as_slice() {
            [one] if matches!(one.op, Op::Caret | Op::Tilde | Op::Exact | Op::GreaterEq) => {}
            _ => return Raised::Unclear,
        }
    }
    if manager == Manager::Uv {
        let (Ok(parsed), Ok(wanted)) = (requirement.parse::<VersionSpecifiers>(), version.parse()) else {
            return Raised::Unclear;
        };
        if parsed.contains(&wanted) {
            return Raised::AsItIs;
        }
    }
    let Some((mark, _)) = parted(manager, requirement) else { return Raised::Unclear };
    let new = format!("{mark}{version}");
    if new == requirement { Raised::AsItIs } else { Raised::To(new) }
}

/// Parts a requirement of one comparison into its mark, with the space behind it, and its version.
fn parted(manager: Manager, requirement: &str) -> Option<(&str, &str)> {
    let operators: &[&str] = match manager {
        Manager::Cargo | Manager::Npm => &["^", "~", ">=", "=", ""],
        Manager::Pip | Manager::Uv => &["===", "==", ">=", "~="],
    };
    let rest = operators.iter().find_map(|op| requirement.strip_prefix(op))?;
    let number = rest.trim();
    let plain = number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_alphanumeric() || ".+-!".contains(c))
        && !number.split('.').any(|part| part == "x" || part == "X");
    plain.then(|| (&requirement[..requirement.len() - rest.trim_start().len()], number))
}

/// Returns the lowest version that a requirement of one comparison takes, with all its numbers; none where that is not
/// clear.
pub(super) fn lowest(manager: Manager, requirement: &str) -> Option<String> {
    let (_, number) = parted(manager, requirement)?;
    if matches!(manager, Manager::Pip | Manager::Uv) {
        return Some(number.to_owned());
    }
    let missing = 3usize.saturating_sub(number.split('.').count());
    let whole = format!("{number}{}", ".0".repeat(missing));
    Version::parse(&whole).is_ok().then_some(whole)
}

/// Whether a requirement of Cargo takes a version.
pub(super) fn takes(requirement: &str, version: &str) -> bool {
    match (VersionReq::parse(requirement), Version::parse(version)) {
        (Ok(requirement), Ok(version)) => requirement.matches(&version),
        _ => false,
    }
}

impl Declaration {
    /// Returns the change that makes it say something else.
    pub(super) fn becoming(&self, new: String) -> Option<Splice> {
        match self.says {
            Says::Requirement { start, end, .. } => Some(Splice { start, end, text: new }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(manager: Manager, text: &str, name: &str, version: &str) -> String {
        let told = |one: &Declaration| {
            let says = match &one.says {
                Says::Requirement { text: said, start, end } => {
                    assert_eq!(&text[*start..*end], said);
                    match raised(manager, said, version) {
                        Raised::To(new) => format!("{said} -> {new}"),
                        other => format!("{said} {other:?}"),
                    }
                }
                other => format!("{other:?}"),
            };
            format!("{}: {says}", one.place)
        };
        let found = declarations(manager, text, name);
        found.map_or("none".to_owned(), |found| found.iter().map(told).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn cargos_manifests_are_changed_where_they_keep_a_version_out() {
        let text = "[package]\nname = \"a\"\n[dependencies]\nlog = \"0.4\"\nlog_two = { package = \"log\", version = \"0.3\" }\n\
                    [dev-dependencies.log]\nversion = '=0.4.1'\n[target.'cfg(unix)'.dependencies]\nlog = { path = \"log\" }\n\
                    [workspace.dependencies]\nlog = { version = \">=0.3, <0.5\", features = [\"std\"] }\n\
                    [build-dependencies]\nlog.workspace = true\n";
        insta::assert_snapshot!(told(Manager::Cargo, text, "log", "0.4.20"), @r#"
        dependencies: 0.4 AsItIs
        dependencies: Other("it is there under another name (`package =`)")
        dev-dependencies: =0.4.1 -> =0.4.20
        build-dependencies: Inherited
        workspace.dependencies: >=0.3, <0.5 AsItIs
        target.cfg(unix).dependencies: Other("it comes from a path or a repository")
        "#);
        assert!(told(Manager::Cargo, text, "log", "0.5.0").contains(">=0.3, <0.5 Unclear"));
        assert_eq!(told(Manager::Cargo, text, "serde", "1.0.0"), "");
        assert_eq!(told(Manager::Cargo, "[dependencies\n", "log", "0.4.1"), "none");
    }

    #[test]
    fn a_python_project_is_changed_where_it_keeps_a_version_out() {
        let text = "[project]\nname = \"a\"\ndependencies = [\n  \"Idna[x]==3.6 ; python_version > '3'\", # why\n  \"idna-ssl==1\",\n]\n\
                    [project.optional-dependencies]\nweb = [\"idna>=3\", 'idna']\n[dependency-groups]\n\
                    dev = [\"idna @ https://one.acme.example/i.whl\", {include-group = \"x\"}, \"idna>=3,<3.7\"]\n";
        insta::assert_snapshot!(told(Manager::Uv, text, "idna", "3.7"), @r#"
        project.dependencies: ==3.6 -> ==3.7
        project.optional-dependencies.web: >=3 AsItIs
        project.optional-dependencies.web: Inherited
        dependency-groups.dev: Other("it comes from an address")
        dependency-groups.dev: >=3,<3.7 Unclear
        "#);
    }

    #[test]
    fn the_lowest_version_that_is_taken_is_whole() {
        for (manager, requirement, want) in [
            (Manager::Cargo, "0.4", Some("0.4.0")),
            (Manager::Cargo, "^1", Some("1.0.0")),
            (Manager::Cargo, ">=1, <3", None),
            (Manager::Npm, "~1.2.3-rc.1", Some("1.2.3-rc.1")),
            (Manager::Npm, "1.x", None),
            (Manager::Npm, "*", None),
            (Manager::Pip, ">= 2.0", Some("2.0")),
            (Manager::Pip, "<2", None),
        ] {
            assert_eq!(lowest(manager, requirement).as_deref(), want, "{requirement}");
        }
    }

    #[test]
    fn npms_manifests_name_what_was_installed() {
        let text = r#"{"name": "a", "dependencies": {"a": "^1.0.0", "b": "1.x"}, "devDependencies": {"a": "~1.0.0"}, "peerDependencies": {"a": 1}}"#;
        insta::assert_snapshot!(told(Manager::Npm, text, "a", "1.2.0"), @r#"
        dependencies: ^1.0.0 -> ^1.2.0
        devDependencies: ~1.0.0 -> ~1.2.0
        peerDependencies: Other("it cannot be read")
        "#);
        assert_eq!(told(Manager::Npm, text, "b", "1.2.0"), "dependencies: 1.x Unclear");
    }

    #[test]
    fn requirements_are_read_line_by_line() {
        let text = "# requests==1\nRequests[socks]==2.0.0 ; python_version > \"3\"  # why\nrequests >= 2\nrequests\nrequests>=1,<3\n\
                    requests==2.0 \\\n  --hash=sha256:aa\nrequests-mock==1.0\nrequests @ https://one.acme.example/r.whl\n";
        insta::assert_snapshot!(told(Manager::Pip, text, "requests", "2.32.0"), @r#"
        line 2: ==2.0.0 -> ==2.32.0
        line 3: >= 2 -> >= 2.32.0
        line 4: Other("no version is said of it")
        line 5: >=1,<3 Unclear
        line 6: Other("it is held by hashes, which no tool here makes anew")
        line 9: Other("it comes from an address")
        "#);
    }
}
