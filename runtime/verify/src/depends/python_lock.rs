//! The lockfiles of uv, Poetry and PDM: which version of what, from which index, by which files.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::manifests::foreign_key;
use super::{ANOTHER, Content, Entry, NEW_SERVER, NO_CHECKSUM, NO_REGISTRY, Rest, address};
use crate::manifests::spelled;

/// What a lockfile said before a patch.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Where packages were looked for.
    indexes: BTreeSet<String>,
    /// The servers their files came from.
    servers: BTreeSet<String>,
}

impl Known {
    pub(super) fn of(text: &str) -> Self {
        let whole: Table = text.parse().unwrap_or_default();
        let mut known = Self::default();
        let packages = whole.get("package").and_then(Value::as_array).into_iter().flatten();
        for package in packages.filter_map(Value::as_table) {
            known.indexes.extend(index(package).map(str::to_owned));
            let files = files(package);
            let servers = files.iter().filter_map(|file| address(file.get("url")?.as_str()?));
            known.servers.extend(servers.map(|(server, _)| server.to_owned()));
        }
        known
    }
}

pub(super) fn read(text: &str, known: &Known, own: &BTreeSet<String>) -> Option<Content> {
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
    let mut of_repository = Vec::new();
    for package in packages.as_array()? {
        let package = package.as_table()?;
        if is_own(package, own) {
            of_repository.push(Value::Table(own_package(package, known, &mut entries)));
        } else {
            entries.insert(of_package(package, known));
        }
    }
    whole.insert("package".to_owned(), Value::Array(of_repository));
    Some(Content { entries, rest: Rest::Toml(whole) })
}

fn word<'a>(table: &'a Table, key: &str) -> &'a str {
    table.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a package is one that lies in the repository itself.
fn is_own(package: &Table, own: &BTreeSet<String>) -> bool {
    let in_folder =
        |source: &Table| ["editable", "virtual", "directory"].iter().any(|key| source.contains_key(*key));
    own.contains(&spelled(word(package, "name")))
        && package.get("source").and_then(Value::as_table).is_some_and(in_folder)
}

/// Puts what a package of the repository depends on among the entries, and returns everything else of it.
fn own_package(package: &Table, known: &Known, entries: &mut BTreeSet<Entry>) -> Table {
    const PLAIN: &[&str] = &["name", "version", "source", "marker", "extra", "extras", "specifier"];
    let mut rest = package.clone();
    rest.remove("version");
    let whose = word(package, "name");
    let mut take = |table: &mut Table, kind: &str| {
        let lists = match table.remove(kind) {
            None => return,
            Some(Value::Table(groups)) => groups.into_iter().collect(),
            Some(list) => vec![(String::new(), list)],
        };
        for (group, list) in lists {
            let items = match list {
                Value::Array(items) => items,
                one => vec![one],
            };
            for item in items {
                let says = format!("{whose} {kind} {group} {item}");
                let (Some(table), Some(name)) = (item.as_table(), item.get("name").and_then(Value::as_str))
                else {
                    let beyond = Some("is no plain requirement".to_owned());
                    entries.insert(Entry::new(&item.to_string(), says, beyond));
                    continue;
                };
                // Which of several versions is meant: each is an entry of its own.
                let from = if table.contains_key("source") { looked_for(table, known) } else { None };
                let beyond = foreign_key(&item, PLAIN).or(from.map(str::to_owned));
                entries.insert(Entry::new(name, says, beyond));
            }
        }
    };
    for kind in ["dependencies", "optional-dependencies", "dev-dependencies"] {
        take(&mut rest, kind);
    }
    if let Some(metadata) = rest.get_mut("metadata").and_then(Value::as_table_mut) {
        for kind in ["requires-dist", "requires-dev"] {
            take(metadata, kind);
        }
        if metadata.is_empty() {
            rest.remove("metadata");
        }
    }
    rest
}

/// The files that a package may be installed from.
fn files(package: &Table) -> Vec<&Table> {
    let lists = ["files", "wheels"].iter().filter_map(|key| package.get(*key)?.as_array()).flatten();
    lists.chain(package.get("sdist")).filter_map(Value::as_table).collect()
}

/// The index a package is looked for at, where one is named.
fn index(package: &Table) -> Option<&str> {
    let source = package.get("source")?.as_table()?;
    match source.get("registry") {
        // Beside another key it would be for the manager to choose.
        Some(registry) => registry.as_str().filter(|_| source.len() == 1),
        None if word(source, "type") == "legacy" => source.get("url")?.as_str(),
        None => None,
    }
}

/// Why a package with a source is looked for elsewhere than at an index that was known; none where it is not.
fn looked_for(package: &Table, known: &Known) -> Option<&'static str> {
    match index(package) {
        Some(index) if !index.starts_with("https://") => Some(NO_REGISTRY),
        Some(index) if !known.indexes.contains(index) => Some(NEW_SERVER),
        Some(_) => None,
        None => Some(NO_REGISTRY),
    }
}

fn of_package(package: &Table, known: &Known) -> Entry {
    const CONTENT: &[&str] = &["source", "files", "wheels", "sdist", "git", "url", "path", "editable"];
    let (name, version) = (word(package, "name"), word(package, "version"));
    let of = |wanted: &dyn Fn(&str) -> bool| -> String {
        package
            .iter()
            .filter(|(key, _)| wanted(key))
            .map(|(key, value)| format!("{key} = {value:?}\n"))
            .collect()
    };
    let says = of(&|key| key != "description");
    let mut entry = Entry::new(name, says, beyond(package, known).map(str::to_owned));
    entry.content = Some((format!("{name} {version}"), of(&|key| CONTENT.contains(&key))));
    entry
}

fn beyond(package: &Table, known: &Known) -> Option<&'static str> {
    let (name, version) = (word(package, "name"), word(package, "version"));
    if ["git", "url", "path", "editable"].iter().any(|key| package.contains_key(*key)) {
        return Some(NO_REGISTRY);
    }
    if package.contains_key("source")
        && let Some(why) = looked_for(package, known)
    {
        return Some(why);
    }
    let files = files(package);
    if files.is_empty() {
        return Some(NO_CHECKSUM);
    }
    files.into_iter().find_map(|file| {
        if file.contains_key("path") {
            return Some(NO_REGISTRY);
        }
        if let Some(url) = file.get("url") {
            let Some((server, path)) = address(url.as_str().unwrap_or_default()) else {
                return Some("has no plain address");
            };
            if !known.servers.contains(server) {
                return Some(NEW_SERVER);
            }
            if !is_file_of(path.rsplit('/').next().unwrap_or(path), name, version) {
                return Some(ANOTHER);
            }
        }
        let hash = word(file, "hash")
            .split_once(':')
            .filter(|(kind, _)| matches!(*kind, "sha256" | "sha384" | "sha512"));
        let known_hash =
            hash.is_some_and(|(_, hash)| !hash.is_empty() && hash.chars().all(|c| c.is_ascii_hexdigit()));
        (!known_hash).then_some(NO_CHECKSUM)
    })
}

/// Whether a file's name is that of an archive of a package in a version: `NAME-VERSION-TAGS.whl`, `NAME-VERSION.tar.gz`.
fn is_file_of(file: &str, name: &str, version: &str) -> bool {
    let begins = match file.strip_suffix(".whl") {
        Some(stem) => stem.match_indices('-').nth(1).map(|(at, _)| &stem[..at]),
        None => [".tar.gz", ".zip", ".tar.bz2", ".tgz"].iter().find_map(|end| file.strip_suffix(end)),
    };
    let parts = begins.and_then(|begins| begins.rsplit_once('-'));
    parts.is_some_and(|(of, in_version)| {
        spelled(of) == spelled(name) && spelled(in_version) == spelled(version)
    })
}

#[cfg(test)]
mod tests {
    use super::is_file_of;
    use crate::depends::tests::check;

    const UV: &str = r#"version = 1
requires-python = ">=3.12"

[[package]]
name = "calc"
version = "1"
source = { editable = "." }
dependencies = [{ name = "click" }]

[package.dev-dependencies]
dev = [{ name = "flake8-bugbear" }]

[package.metadata]
requires-dist = [{ name = "click", specifier = ">=8.0" }]

[package.metadata.requires-dev]
dev = [{ name = "flake8-bugbear" }]

[[package]]
name = "click"
version = "8.0"
source = { registry = "https://i.example/simple" }
sdist = { url = "https://f.example/p/click-8.0.tar.gz", hash = "sha256:cc", size = 1 }
wheels = [
    { url = "https://f.example/p/click-8.0-py3-none-any.whl", hash = "sha256:aa", size = 1 },
]
"#;

    #[test]
    fn versions_of_an_index_change() {
        let newer = UV.replace("8.0", "8.1").replace("aa", "bb").replace("cc", "dd");
        let lock = |from: &str, to: &str| {
            assert!(newer.contains(from), "{from}");
            check("uv.lock", UV, &newer.replace(from, to))
        };
        assert_eq!(lock("version = 1\n", "version = 1\nrevision = 3\n"), "fine");
        assert_eq!(check("uv.lock", UV, &UV.replace("aa", "bb")), "other content for click 8.0");
        for (from, to, why) in [
            (
                "f.example/p/click-8.1-",
                "g.example/p/click-8.1-",
                "`click` comes from a server that no other came from",
            ),
            ("f.example/p/click-8.1-", "f.example@g.example/p/click-8.1-", "`click` has no plain address"),
            ("https://i.example", "https://j.example", "`click` comes from a server that no other came from"),
            ("https://i.example", "http://i.example", "`click` comes from no registry"),
            ("https://i.example/simple", "tests/wheels", "`click` comes from no registry"),
            ("registry", "git", "`click` comes from no registry"),
            (
                "https://i.example/simple\" }",
                "https://i.example/simple\", git = \"https://g.example/x\" }",
                "`click` comes from no registry",
            ),
            (
                "url = \"https://f.example/p/click-8.1-py3",
                "path = \"click-8.1-py3",
                "`click` comes from no registry",
            ),
            ("p/click-8.1-py3", "p/clack-8.1-py3", "`click` is another package by this name"),
            ("p/click-8.1.tar", "p/click-8.2.tar", "`click` is another package by this name"),
            (", hash = \"sha256:bb\"", "", "`click` has no checksum"),
            ("sha256:bb", "md5:bb", "`click` has no checksum"),
            ("editable = \".\"", "registry = \"https://i.example/simple\"", "more than dependencies"),
            ("editable = \".\"", "editable = \"x\"", "more than dependencies"),
            (">=3.12", ">=3.13", "more than dependencies"),
            ("name = \"click\", specifier", "name = \"click\", url = \"x\", specifier", "`click` has `url`"),
            ("{ name = \"click\" }", "\"click\"", "`\"click\"` is no plain requirement"),
            (
                "{ name = \"click\" }",
                "{ name = \"click\", version = \"8.1\", source = { registry = \"https://i.example/simple\" } }",
                "fine",
            ),
            (
                "{ name = \"click\" }",
                "{ name = \"click\", source = { editable = \"x\" } }",
                "`click` comes from no registry",
            ),
        ] {
            assert_eq!(lock(from, to), why, "{to}");
        }
        let empty = "\n[[package]]\nname = \"rich\"\nversion = \"1\"\nsource = { registry = \"https://i.example/simple\" }\n";
        assert_eq!(check("uv.lock", UV, &format!("{UV}{empty}")), "`rich` has no checksum");
        assert_eq!(check("yarn.lock", "a\n", "b\n"), "what it says of dependencies is not read");
    }

    #[test]
    fn what_the_repository_itself_wants_of_linters_stays() {
        let linter = "`flake8-bugbear` runs or checks tests, or is loaded by what does";
        for dropped in [
            "[package.dev-dependencies]\ndev = [{ name = \"flake8-bugbear\" }]\n",
            "[package.metadata.requires-dev]\ndev = [{ name = \"flake8-bugbear\" }]\n",
        ] {
            assert!(UV.contains(dropped));
            assert_eq!(check("uv.lock", UV, &UV.replace(dropped, "")), linter);
        }
    }

    #[test]
    fn nothing_of_what_runs_or_checks_changes_in_place() {
        let poetry = "[[package]]\nname = \"flake8-bugbear\"\nversion = \"24.1\"\ndescription = \"\"\noptional = false\ngroups = [\"dev\"]\n\
            files = [{file = \"flake8_bugbear-24.1-py3-none-any.whl\", hash = \"sha256:aa\"}]\n\n[package.dependencies]\nflake8 = \">=6\"\n\n\
            [[package]]\nname = \"click\"\nversion = \"8.0\"\noptional = false\nfiles = [{file = \"click-8.0.tar.gz\", hash = \"sha256:cc\"}]\n\n\
            [metadata]\nlock-version = \"2.1\"\npython-versions = \"*\"\ncontent-hash = \"x\"\n";
        let lock = |from: &str, to: &str| {
            assert!(poetry.contains(from), "{from}");
            check("poetry.lock", poetry, &poetry.replace(from, to))
        };
        assert_eq!(lock("8.0", "8.1"), "fine");
        assert_eq!(lock("description = \"\"", "description = \"x\""), "fine");
        assert_eq!(lock("content-hash = \"x\"", "content-hash = \"y\""), "fine");
        let linter = "`flake8-bugbear` runs or checks tests, or is loaded by what does";
        for (from, to) in [
            ("groups", "markers = \"sys_platform == 'win32'\"\ngroups"),
            ("[\"dev\"]", "[\"other\"]"),
            ("optional = false\ngroups", "optional = true\ngroups"),
            (">=6", ">=5"),
        ] {
            assert_eq!(lock(from, to), linter, "{to}");
        }
        assert_eq!(lock("sha256:aa", "sha256:bb"), "other content for flake8-bugbear 24.1");
        let legacy = "version = \"8.1\"\nsource = {type = \"legacy\", url = \"https://i.example/simple\", reference = \"x\"}";
        assert_eq!(lock("version = \"8.0\"", legacy), "`click` comes from a server that no other came from");
        assert_eq!(
            lock("version = \"8.0\"", &legacy.replace("legacy", "url")),
            "`click` comes from no registry"
        );
    }

    #[test]
    fn archives_are_known_by_name_and_version() {
        for (file, is) in [
            ("typing_extensions-4.12.2-py3-none-any.whl", true),
            ("Typing-Extensions-4.12.2.tar.gz", true),
            ("typing_extensions-4.12.2-1-cp312-cp312-linux_x86_64.whl", true),
            ("typing_extensions-4.12-2-py3-none-any.whl", false),
            ("typing_extensions-4.12.2.tar.gz.asc", false),
            ("typing_extensions-4.12.2-evil.tar.gz", false),
            ("typing_extensions.whl", false),
            ("typing_extensions_4-12.2.tar.gz", false),
        ] {
            assert_eq!(is_file_of(file, "typing-extensions", "4.12.2"), is, "{file}");
        }
    }
}
