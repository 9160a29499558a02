//! Manifests, split into what they say of dependencies and everything else.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::{Content, Entry};
use crate::manifests as describing;

/// A requirement that names what it wants and nothing else (PEP 508): name, extras, versions, markers.
static PLAIN: LazyLock<Regex> = LazyLock::new(|| {
    let version = r"(?:===?|~=|!=|<=?|>=?)\s*[\w.*+!-]+";
    let versions = format!(r"\(?\s*{version}(?:\s*,\s*{version})*\s*,?\s*\)?");
    Regex::new(&format!(
        r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[\w\s,.-]*\])?\s*(?:{versions})?\s*(?:;(?:[^@\\-]|-[^-])*)?$"
    ))
    .expect("a constant pattern")
});

/// How a requirement begins.
static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)").expect("a constant pattern"));

/// A checksum behind a requirement.
static HASH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\s--hash[= ]\w+:[0-9A-Za-z]+").expect("a constant pattern"));

/// Returns the names of the packages that a manifest makes.
pub(super) fn own_names(manifest: &str, text: &str) -> Option<Vec<String>> {
    let name = |value: Option<&Value>| Some(value?.get("name")?.as_str()?.to_owned());
    Some(match manifest {
        "Cargo.toml" => {
            let whole: Table = text.parse().ok()?;
            [name(whole.get("package")), name(whole.get("lib"))].into_iter().flatten().collect()
        }
        "pyproject.toml" => {
            let whole: Table = text.parse().ok()?;
            let poetry = whole.get("tool").and_then(|tool| tool.get("poetry"));
            [name(whole.get("project")), name(poetry)].into_iter().flatten().collect()
        }
        "package.json" => {
            let whole: Json = serde_json::from_str(text).ok()?;
            vec![whole.get("name")?.as_str()?.to_owned()]
        }
        _ => text.lines().filter_map(|line| Some(line.strip_prefix("module ")?.trim().to_owned())).collect(),
    })
}

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
    Some(Content { entries, rest: format!("{whole:?}") })
}

fn of_cargo(place: &str, name: &str, value: &Value) -> Entry {
    const PLAIN: &[&str] =
        &["version", "features", "default-features", "default_features", "optional", "workspace"];
    Entry::new(name, format!("{place} {value}"), foreign_key(value, PLAIN))
}

/// The first key of a table that says more than which version is wanted.
fn foreign_key(value: &Value, plain: &[&str]) -> Option<String> {
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
    Some(Content { entries, rest: format!("{whole:?}") })
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
    let name = NAME.captures(text).map_or(text.trim(), |found| found.get(1).map_or("", |name| name.as_str()));
    let beyond = (!PLAIN.is_match(text)).then(|| "is no plain requirement".to_owned());
    Entry::new(name, format!("{place} {}", text.trim()), beyond)
}

pub(super) fn requirements(text: &str) -> Option<Content> {
    let mut content = Content::default();
    // A comment ends its line whether or not that goes on.
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    for line in lines.join("\n").replace("\\\n", " ").lines() {
        let said = line.split(" #").next().unwrap_or_default().trim();
        if said.starts_with('-') {
            content.rest.push_str(said);
            content.rest.push('\n');
        } else if !said.is_empty() {
            let named = HASH.replace_all(said, "");
            let mut entry = requirement("", &named);
            entry.says = said.to_owned();
            content.entries.insert(entry);
        }
    }
    Some(content)
}

pub(super) fn node(text: &str) -> Option<Content> {
    const KINDS: &[&str] = &["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];
    let mut whole = describing::package_json(text)?;
    let map = whole.as_object_mut()?;
    let mut entries = BTreeSet::new();
    for kind in KINDS {
        let Some(list) = map.remove(*kind) else { continue };
        for (name, version) in list.as_object()? {
            // An address, a folder and another package's name all need one of these.
            let plain = version.as_str().is_some_and(|version| !version.contains([':', '/', '@', '\\']));
            let beyond =
                (!plain).then(|| "does not come from the registry by its name and version".to_owned());
            entries.insert(Entry::new(name, format!("{kind} {version}"), beyond));
        }
    }
    Some(Content { entries, rest: whole.to_string() })
}

pub(super) fn go(text: &str) -> Option<Content> {
    let mut content = Content::default();
    let mut block = "";
    for line in text.lines() {
        let said = line.split("//").next().unwrap_or_default().trim();
        if said.is_empty() {
            continue;
        }
        let (word, rest) = said.split_once([' ', '\t', '(']).unwrap_or((said, ""));
        if block.is_empty() && said.ends_with('(') {
            block = word;
            continue;
        }
        if said == ")" {
            block = "";
            continue;
        }
        let (keyword, rest) = if block.is_empty() { (word, rest.trim()) } else { (block, said) };
        if keyword == "require" {
            let name = rest.split_whitespace().next().unwrap_or_default().trim_matches(['"', '`']);
            content.entries.insert(Entry::new(name, rest.to_owned(), None));
        } else {
            content.rest.push_str(&format!("{keyword} {rest}\n"));
        }
    }
    Some(content)
}
