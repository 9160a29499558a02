//! `Cargo.lock`: which version of what, from which registry, by which content.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{Content, Entry, NEW_SERVER, NO_CHECKSUM, NO_REGISTRY, Rest};
use crate::manifests::spelled;

/// Returns the registries that packages of a lockfile come from.
pub(super) fn sources(text: &str) -> BTreeSet<String> {
    let whole: Table = text.parse().unwrap_or_default();
    let packages = whole.get("package").and_then(Value::as_array).into_iter().flatten();
    packages.filter_map(|package| Some(package.get("source")?.as_str()?.to_owned())).collect()
}

pub(super) fn read(text: &str, known: &BTreeSet<String>, own: &BTreeSet<String>) -> Option<Content> {
    let mut whole: Table = text.parse().ok()?;
    let packages = whole.remove("package").unwrap_or(Value::Array(Vec::new()));
    whole.remove("version");
    let mut entries = BTreeSet::new();
    for package in packages.as_array()? {
        let word = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
        let (name, version, source) = (word("name"), word("version"), word("source"));
        let replaced = package.get("replace").is_some();
        // A package of the repository: what it depends on is its manifest's to say.
        if source.is_empty() && !replaced && own.contains(&spelled(name)) {
            continue;
        }
        let from_registry = ["registry+", "sparse+"].iter().any(|start| source.starts_with(start));
        let beyond = if !from_registry || replaced {
            Some(NO_REGISTRY)
        } else if !known.contains(source) {
            Some(NEW_SERVER)
        } else if word("checksum").is_empty() {
            Some(NO_CHECKSUM)
        } else {
            None
        };
        // What a package depends on is the registry's to say: cargo asks it.
        let by = format!("{source} {}", word("checksum"));
        let mut entry = Entry::new(name, format!("{version} {by}"), beyond.map(str::to_owned));
        entry.content = Some((format!("{name} {version}"), by));
        entries.insert(entry);
    }
    Some(Content { entries, rest: Rest::Toml(whole) })
}

#[cfg(test)]
mod tests {
    use crate::depends::tests::check;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"calc\"\nversion = \"1.0.0\"\ndependencies = [\n \"log\",\n]\n\n[[package]]\nname = \"log\"\nversion = \"0.4.1\"\nsource = \"registry+https://one.acme.example/\"\nchecksum = \"aa\"\n";

    fn lock(after: &str) -> String {
        check("Cargo.lock", LOCK, after)
    }

    #[test]
    fn versions_of_a_registry_change() {
        let newer = LOCK.replace("0.4.1", "0.4.2").replace("aa", "bb");
        assert_eq!(lock(&newer), "fine");
        let source = "source = \"registry+https://one.acme.example/\"\nchecksum = \"aa\"\n";
        for (after, why) in [
            (LOCK.replace("aa", "bb"), "other content for log 0.4.1"),
            (newer.replace("registry+", "git+"), "`log` comes from no registry"),
            (LOCK.replace("0.4.1", "0.4.2").replace(source, ""), "`log` comes from no registry"),
            (newer.replace("one.acme", "two.acme"), "`log` comes from a server that no other came from"),
            (newer.replace("checksum = \"bb\"\n", ""), "`log` has no checksum"),
            (newer.replace("checksum", "replace"), "`log` comes from no registry"),
            (
                format!("{LOCK}\n[[package]]\nname = \"calc\"\nversion = \"2.0.0\"\n{source}"),
                "`calc` is a package of the repository itself",
            ),
        ] {
            assert_eq!(lock(&after), why, "{after}");
        }
    }

    #[test]
    fn a_version_may_be_locked_from_two_places() {
        let git = "\n[[package]]\nname = \"log\"\nversion = \"0.4.1\"\nsource = \"git+https://forge.example/log#abc\"\n";
        let two = format!(
            "{LOCK}{git}\n[[package]]\nname = \"libc\"\nversion = \"0.2.1\"\nsource = \"registry+https://one.acme.example/\"\nchecksum = \"cc\"\n"
        );
        assert_eq!(check("Cargo.lock", &two, &two.replace("0.2.1", "0.2.2").replace("cc", "dd")), "fine");
        assert_eq!(check("Cargo.lock", &two, &two.replace("aa", "dd")), "other content for log 0.4.1");
        assert_eq!(check("Cargo.lock", &two, &two.replace("#abc", "#abd")), "other content for log 0.4.1");
    }
}
