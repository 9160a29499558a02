//! Manifests, split into what they say of dependencies and everything else.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use gloaming_profile::{declares_encoding, requirement_lines};
use regex::Regex;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::{Content, Entry, Rest};
use crate::manifests::{self as describing, go_mod, requirement_name};

/// A requirement that names what it wants and nothing else (PEP 508): name, extras, versions, markers. A marker has no
/// word that begins with a dash, which would be an option.
static PLAIN: LazyLock<Regex> = LazyLock::new(|| {
    let version = r"(?:===?|~=|!=|<=?|>=?)\s*[\w.*+!-]+";
    let versions = format!(r"\(?\s*{version}(?:\s*,\s*{version})*\s*,?\s*\)?");
    Regex::new(&format!(
        r#"^\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[\w\s,.-]*\])?\s*(?:{versions})?\s*(?:;(?:[\w\s.,+*<>=!~()'"]|\b-)*)?$"#
    ))
    .expect("a constant pattern")
});

/// How the name of an archive ends, which pip and npm take for a file of the tree.
const ARCHIVES: &[&str] =
    &[".whl", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz", ".xz", ".txz", ".lz", ".tlz", ".lzma", ".egg"];

fn is_archive(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    ARCHIVES.iter().any(|end| text.ends_with(end))
}

/// A range of versions or a tag of npm's.
static RANGE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[\w\s*^~<>=|+-][\w\s.*^~<>=|+-]*$").expect("a constant pattern"));

/// The name of a package of npm's.
static PACKAGE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:@[A-Za-z0-9~_-][\w.~-]*/)?[A-Za-z0-9~_-][\w.~-]*$").expect("a constant pattern")
});

/// Whether a name is one that a registry of npm's may have, and no place in a folder.
pub(super) fn is_package(name: &str) -> bool {
    PACKAGE.is_match(name)
}

/// A checksum behind a requirement.
static HASH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\s--hash[= ]\w+:[0-9A-Za-z]+").expect("a constant pattern"));

pub(super) fn cargo(text: &str) -> Option<Content> {
    const KINDS: &[&str] = &["dependencies", "dev-dependencies"];
    let mut whole = describing::cargo(text)?;
    let mut entries = BTreeSet::new();
    let mut take = |place: &str, table: &mut Table, kinds: &[&str]| {
        for kind in kinds {
            if let Some(Value::Table(list)) = table.remove(*kind) {
                entries.extend(
                    list.iter().map(|(name, value)| of_cargo(&format!("{place}{kind}"), name, value)),
                );
            }
        }
    };
    take("", &mut whole, KINDS);
    if let Some(workspace) = whole.get_mut("workspace").and_then(Value::as_table_mut) {
        take("workspace ", workspace, &["dependencies"]);
    }
    if let Some(targets) = whole.get_mut("target").and_then(Value::as_table_mut) {
        for (name, target) in targets.iter_mut() {
            if let Some(target) = target.as_table_mut() {
                take(&format!("{name} "), target, KINDS);
            }
        }
        targets.retain(|_, target| target.as_table().is_none_or(|table| !table.is_empty()));
        if targets.is_empty() {
            whole.remove("target");
        }
    }
    Some(Content { entries, rest: Rest::Toml(whole) })
}

fn of_cargo(place: &str, name: &str, value: &Value) -> Entry {
    const PLAIN: &[&str] =
        &["version", "features", "default-features", "default_features", "optional", "workspace"];
    Entry::new(name, format!("{place} {value}"), foreign_key(value, PLAIN))
}

/// The first key of a table that says more than which version is wanted.
pub(super) fn foreign_key(value: &Value, plain: &[&str]) -> Option<String> {
    match value {
        Value::String(_) => None,
        Value::Table(table) => {
            table.keys().find(|key| !plain.contains(&key.as_str())).map(|key| format!("has `{key}`"))
        }
        _ => Some("is no plain requirement".to_owned()),
    }
}

pub(super) fn pyproject(text: &str) -> Option<Content> {
    let mut whole = describing::pyproject(text)?;
    let mut entries = BTreeSet::new();
    let list = |place: &str, value: &Value| -> Vec<Entry> {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        items
            .iter()
            .map(|item| match item.as_str() {
                Some(text) => requirement(place, text),
                None => {
                    Entry::new(&item.to_string(), place.to_owned(), Some("is no plain requirement".into()))
                }
            })
            .collect()
    };
    let lists = |place: &str, value: &Value| -> Vec<Entry> {
        let groups = value.as_table().into_iter().flatten();
        groups.flat_map(|(group, value)| list(&format!("{place} {group}"), value)).collect()
    };
    if let Some(project) = whole.get_mut("project").and_then(Value::as_table_mut) {
        entries.extend(project.remove("dependencies").iter().flat_map(|value| list("project", value)));
        entries
            .extend(project.remove("optional-dependencies").iter().flat_map(|value| lists("extra", value)));
    }
    entries.extend(whole.remove("dependency-groups").iter().flat_map(|value| lists("group", value)));
    let poetry = whole.get_mut("tool").and_then(|tool| tool.get_mut("poetry")).and_then(Value::as_table_mut);
    if let Some(poetry) = poetry {
        for kind in ["dependencies", "dev-dependencies"] {
            entries.extend(poetry.remove(kind).iter().flat_map(|value| of_poetry(kind, value)));
        }
        if let Some(groups) = poetry.get_mut("group").and_then(Value::as_table_mut) {
            for (name, group) in groups.iter_mut() {
                let list = group.as_table_mut().and_then(|group| group.remove("dependencies"));
                entries.extend(list.iter().flat_map(|value| of_poetry(&format!("group {name}"), value)));
            }
        }
    }
    prune(&mut whole, &["tool", "poetry", "group"]);
    Some(Content { entries, rest: Rest::Toml(whole) })
}

/// Takes tables on the way to a key away that have nothing in them but each other: a first dependency of a kind adds them.
fn prune(table: &mut Table, way: &[&str]) {
    let Some((first, rest)) = way.split_first() else {
        table.retain(|_, value| value.as_table().is_none_or(|table| !table.is_empty()));
        return;
    };
    if let Some(inner) = table.get_mut(*first).and_then(Value::as_table_mut) {
        prune(inner, rest);
        if inner.is_empty() {
            table.remove(*first);
        }
    }
}

fn of_poetry(place: &str, value: &Value) -> Vec<Entry> {
    const PLAIN: &[&str] = &["version", "extras", "optional", "python", "markers"];
    let of = |(name, value): (&String, &Value)| {
        let beyond = match name.as_str() {
            "python" => Some("is the language itself".to_owned()),
            _ => foreign_key(value, PLAIN),
        };
        Entry::new(name, format!("{place} {value}"), beyond)
    };
    value.as_table().into_iter().flatten().map(of).collect()
}

fn requirement(place: &str, text: &str) -> Entry {
    let name = requirement_name(text).map_or(text.trim(), |(name, _)| name);
    let wanted = text.split([';', '[']).next().unwrap_or(text);
    let beyond = (!PLAIN.is_match(text) || is_archive(wanted)).then(|| "is no plain requirement".to_owned());
    Entry::new(name, format!("{place} {}", text.trim()), beyond)
}

pub(super) fn requirements(text: &str) -> Option<Content> {
    if declares_encoding(text) {
        return None;
    }
    let mut entries = BTreeSet::new();
    let mut rest = String::new();
    for said in requirement_lines(text) {
        if said.starts_with('-') {
            rest.push_str(&said);
            rest.push('\n');
        } else {
            let named = HASH.replace_all(&said, "");
            let mut entry = requirement("", &named);
            entry.says = said.clone();
            entries.insert(entry);
        }
    }
    Some(Content { entries, rest: Rest::Text(rest) })
}

/// The lists of a `package.json` with what it wants of others.
pub(super) const NODE_LISTS: &[&str] =
    &["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];

pub(super) fn node(text: &str) -> Option<Content> {
    let mut whole = describing::package_json(text)?;
    let map = whole.as_object_mut()?;
    let mut entries = BTreeSet::new();
    for kind in NODE_LISTS {
        if let Some(list) = map.remove(*kind) {
            entries.extend(list.as_object()?.iter().map(|(name, version)| of_node(kind, name, version)));
        }
    }
    Some(Content { entries, rest: Rest::Json(whole) })
}

/// One dependency of a `package.json`. An address, a folder, a file and another package's name all need more than a range.
pub(super) fn of_node(place: &str, name: &str, version: &Json) -> Entry {
    let plain = version.as_str().is_some_and(|version| {
        let version = version.trim();
        version.is_empty() || (RANGE.is_match(version) && !is_archive(version))
    });
    let beyond = (!plain || !is_package(name))
        .then(|| "does not come from the registry by its name and version".to_owned());
    Entry::new(name, format!("{place} {version}"), beyond)
}

pub(super) fn go(text: &str) -> Option<Content> {
    let mut entries = BTreeSet::new();
    let mut rest = String::new();
    for (keyword, said, _) in go_mod(text) {
        if keyword == "require" {
            let name = said.split_whitespace().next().unwrap_or_default().trim_matches(['"', '`']);
            entries.insert(Entry::new(name, said.to_owned(), None));
        } else {
            rest.push_str(&format!("{keyword} {said}\n"));
        }
    }
    Some(Content { entries, rest: Rest::Text(rest) })
}

pub(super) fn go_sum(text: &str) -> Option<Content> {
    let mut content = Content::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let [module, version, hash] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        let mut entry = Entry::new(module, format!("{version} {hash}"), None);
        entry.content = Some((format!("{module} {version}"), hash.to_owned()));
        content.entries.insert(entry);
    }
    Some(content)
}
