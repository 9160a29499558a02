//! Lockfiles: which version of what, from where, by which content.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::{Content, Entry, spelled};

/// The server of an address.
static HOST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"\b(\w+(?:\+\w+)?)://(?:[^/\s"'@]*@)?([^/\s"'@]+)"#).expect("a constant pattern")
});

/// Returns the servers that a lockfile names, with how they are spoken to.
pub(super) fn hosts(text: &str) -> BTreeSet<String> {
    HOST.captures_iter(text).map(|found| format!("{}://{}", &found[1], &found[2])).collect()
}

const NO_REGISTRY: &str = "comes from no registry";
const NEW_SERVER: &str = "comes from a server that no other came from";

fn is_known(text: &str, known: &BTreeSet<String>) -> bool {
    hosts(text).is_subset(known)
}

pub(super) fn cargo(text: &str, own: &BTreeSet<String>) -> Option<Content> {
    let mut whole: Table = text.parse().ok()?;
    let packages = whole.remove("package").unwrap_or(Value::Array(Vec::new()));
    whole.remove("version");
    let mut entries = BTreeSet::new();
    for package in packages.as_array()? {
        let word = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
        let (name, version, source) = (word("name"), word("version"), word("source"));
        // A package of the repository: what it depends on is its manifest's to say.
        if source.is_empty() && own.contains(&spelled(name)) {
            continue;
        }
        let from_registry = ["registry+", "sparse+"].iter().any(|start| source.starts_with(start));
        let mut entry =
            Entry::new(name, format!("{version} {source}"), (!from_registry).then(|| NO_REGISTRY.to_owned()));
        entry.content = Some((format!("{name} {version}"), format!("{source} {}", word("checksum"))));
        entries.insert(entry);
    }
    Some(Content { entries, rest: format!("{whole:?}") })
}

pub(super) fn node(text: &str, known: &BTreeSet<String>) -> Option<Content> {
    let whole: Json = serde_json::from_str(text).ok()?;
    let mut entries = BTreeSet::new();
    // The first form has only what later ones repeat for older programs.
    if let Some(list) = whole.get("packages").and_then(Json::as_object) {
        for (place, package) in list {
            // The repository's own are what their manifests say.
            if place.contains("node_modules/") {
                entries.insert(of_node(place, package, known));
            }
        }
    }
    let mut open = vec![(String::new(), &whole)];
    while let Some((folder, value)) = open.pop() {
        for (name, package) in value.get("dependencies").and_then(Json::as_object).into_iter().flatten() {
            let place = format!("{folder}node_modules/{name}");
            entries.insert(of_node(&place, package, known));
            // In the other form these are names with ranges.
            if package.is_object() {
                open.push((format!("{place}/"), package));
            }
        }
    }
    Some(Content { entries, rest: String::new() })
}

fn of_node(place: &str, package: &Json, known: &BTreeSet<String>) -> Entry {
    let word = |key: &str| package.get(key).and_then(Json::as_str).unwrap_or_default();
    let is = |key: &str| package.get(key).and_then(Json::as_bool).unwrap_or(false);
    let name = place.rsplit_once("node_modules/").map_or(place, |(_, name)| name);
    let (version, resolved) = (word("version"), word("resolved"));
    let bundled = is("inBundle") || is("bundled");
    let beyond = if !word("name").is_empty() && word("name") != name {
        Some("is another package by this name")
    } else if is("link") || version.contains([':', '/']) || !(resolved.starts_with("https://") || bundled) {
        Some(NO_REGISTRY)
    } else if !is_known(resolved, known) {
        Some(NEW_SERVER)
    } else if word("integrity").is_empty() && !bundled {
        Some("has no checksum")
    } else if is("hasInstallScript") {
        Some("runs a script when it is installed")
    } else {
        None
    };
    let by = format!("{resolved} {}", word("integrity"));
    let mut entry = Entry::new(name, format!("{place} {version} {by}"), beyond.map(str::to_owned));
    entry.content = Some((format!("{place} {version}"), by));
    entry
}

pub(super) fn go(text: &str) -> Option<Content> {
    let mut content = Content::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let [module, version, hash] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        let mut entry = Entry::new(module, format!("{version} {hash}"), None);
        entry.content = Some((format!("{module} {version}"), hash.to_owned()));
        content.entries.insert(entry);
    }
    Some(content)
}

pub(super) fn python(text: &str, known: &BTreeSet<String>, own: &BTreeSet<String>) -> Option<Content> {
    const SAID: &[&str] = &["source", "files", "wheels", "sdist", "git", "url", "path"];
    // What each manager notes of the manifest and of itself.
    const NOTES: &[&str] = &["content-hash", "content_hash", "lock-version", "lock_version"];
    let mut whole: Table = text.parse().ok()?;
    let packages = whole.remove("package").unwrap_or(Value::Array(Vec::new()));
    for key in ["version", "revision"] {
        whole.remove(key);
    }
    if let Some(metadata) = whole.get_mut("metadata").and_then(Value::as_table_mut) {
        metadata.retain(|key, _| !NOTES.contains(&key));
    }
    let mut entries = BTreeSet::new();
    for package in packages.as_array()? {
        let package = package.as_table()?;
        let word = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
        let (name, version) = (word("name"), word("version"));
        let source = package.get("source").and_then(Value::as_table);
        let of_folder = |source: &Table| {
            ["editable", "virtual"].iter().any(|key| source.get(*key).and_then(Value::as_str) == Some("."))
        };
        if own.contains(&spelled(name)) && source.is_some_and(of_folder) {
            continue;
        }
        let by: String =
            SAID.iter().filter_map(|key| Some(format!("{key} = {:?}\n", package.get(*key)?))).collect();
        let foreign = source.is_some_and(|source| {
            !source.contains_key("registry") && source.get("type").and_then(Value::as_str) != Some("legacy")
        });
        let beyond = if foreign || ["git", "url", "path"].iter().any(|key| package.contains_key(*key)) {
            Some(NO_REGISTRY)
        } else if !is_known(&by, known) {
            Some(NEW_SERVER)
        } else {
            None
        };
        let mut entry = Entry::new(name, format!("{version} {by}"), beyond.map(str::to_owned));
        entry.content = Some((format!("{name} {version}"), by));
        entries.insert(entry);
    }
    Some(Content { entries, rest: format!("{whole:?}") })
}
