//! npm's lockfiles: which version of what lies where, from which registry, by which content, with which programs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use gloaming_api::profile::Ecosystem;
use regex::Regex;
use serde_json::{Map, Value as Json};

use super::checking::checks;
use super::manifests::{NODE_LISTS, is_package, of_node};
use super::{ANOTHER, Content, Entry, NEW_SERVER, NO_CHECKSUM, NO_REGISTRY, Rest, address};
use crate::manifests::{describes_node, spelled};
use crate::named::RUNS;

/// Keys of an entry that only describe.
const DESCRIBING: &[&str] = &["license", "funding", "deprecated"];

/// Keys of an entry that follow from the packages around it, not from its version.
const AROUND: &[&str] =
    &["dev", "optional", "devOptional", "peer", "extraneous", "link", "inBundle", "bundled"];

/// Programs that scripts call beside interpreters: npm looks for each among what packages bring first.
const CALLED: &[&str] = &["npm", "npx", "pnpm", "yarn", "corepack", "make", "env", "git"];

/// A checksum that npm looks at; of one it does not understand it makes none.
static CHECKSUM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:\s*sha(?:1|256|384|512)-[A-Za-z0-9+/]+=*)+\s*$").expect("a constant pattern")
});

/// What a lockfile said before a patch.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Where packages came from: the part of their addresses before their names.
    registries: BTreeSet<String>,
    /// The packages that brought a program, by its name.
    programs: BTreeMap<String, BTreeSet<String>>,
}

impl Known {
    pub(super) fn of(text: &str) -> Self {
        let whole: Json = serde_json::from_str(text).unwrap_or_default();
        let mut known = Self::default();
        for (_, place, package) in packages(&whole) {
            let name = name_of(&place);
            let (resolved, version) = (word(package, "resolved"), word(package, "version"));
            known.registries.extend(registry(resolved, name, version).map(str::to_owned));
            for program in programs(name, package).unwrap_or_default() {
                known.programs.entry(program).or_default().insert(name.to_owned());
            }
        }
        known
    }

    fn has_server(&self, server: &str) -> bool {
        let starts = format!("https://{server}/");
        self.registries.iter().any(|registry| registry.starts_with(&starts))
    }

    /// Whether a package may bring a program: one that it brought before, or one of its own name that nobody else brought
    /// and that nothing else is known by.
    fn may_bring(&self, name: &str, program: &str) -> bool {
        match self.programs.get(program) {
            Some(packages) => packages.contains(name),
            None => {
                program == last_of(name)
                    && !checks(Ecosystem::Node, &spelled(program))
                    && !RUNS.contains(&program)
                    && !CALLED.contains(&program)
            }
        }
    }
}

pub(super) fn read(text: &str, known: &Known) -> Option<Content> {
    let mut whole: Json = serde_json::from_str(text).ok()?;
    let mut entries: BTreeSet<Entry> = packages(&whole)
        .into_iter()
        .map(|(form, place, package)| of_package(form, &place, package, known))
        .collect();
    let map = whole.as_object_mut()?;
    for key in ["version", "dependencies"] {
        map.remove(key);
    }
    // The repository's own packages are what their manifests say.
    if let Some(list) = map.get_mut("packages").and_then(Json::as_object_mut) {
        list.retain(|place, _| !place.contains("node_modules/"));
        for (place, package) in list {
            let Some(package) = package.as_object_mut() else { continue };
            package.retain(|key, _| !describes_node(key));
            for kind in NODE_LISTS {
                let wanted = package.remove(*kind);
                for (name, version) in wanted.as_ref().and_then(Json::as_object).into_iter().flatten() {
                    entries.insert(of_node(&format!("{place} {kind}"), name, version));
                }
            }
        }
    }
    Some(Content { entries, rest: Rest::Json(whole) })
}

/// Returns the packages of a lockfile that lie in a folder of such, by form and place. The first form, of nested lists,
/// stands beside the other for older programs.
fn packages(whole: &Json) -> Vec<(&'static str, String, &Json)> {
    let list = whole.get("packages").and_then(Json::as_object).into_iter().flatten();
    let mut out: Vec<(&'static str, String, &Json)> = list
        .filter(|(place, _)| place.contains("node_modules/"))
        .map(|(place, package)| ("packages", place.clone(), package))
        .collect();
    let mut open = vec![(String::new(), whole)];
    while let Some((folder, value)) = open.pop() {
        for (name, package) in value.get("dependencies").and_then(Json::as_object).into_iter().flatten() {
            let place = format!("{folder}node_modules/{name}");
            open.push((format!("{place}/"), package));
            out.push(("dependencies", place, package));
        }
    }
    out
}

fn name_of(place: &str) -> &str {
    place.rsplit_once("node_modules/").map_or(place, |(_, name)| name)
}

/// A name without its scope.
fn last_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn word<'a>(package: &'a Json, key: &str) -> &'a str {
    package.get(key).and_then(Json::as_str).unwrap_or_default()
}

/// Returns where an address has a package from: what stands before the name in an address of this name and version.
fn registry<'a>(resolved: &'a str, name: &str, version: &str) -> Option<&'a str> {
    let resolved = without_checksum(resolved);
    address(resolved)?;
    let last = last_of(name);
    let files = [format!("{name}/-/{last}-{version}.tgz"), format!("{name}/-/{name}-{version}.tgz")];
    // Some registries have the content's checksum for a name.
    let hashed = || {
        let (head, hash) = resolved.rsplit_once('/')?;
        let hex = hash.len() >= 32 && hash.chars().all(|c| c.is_ascii_hexdigit());
        head.strip_suffix(&format!("{name}/{version}")).filter(|_| hex)
    };
    let registry = files.iter().find_map(|file| resolved.strip_suffix(file)).or_else(hashed)?;
    registry.ends_with('/').then_some(registry)
}

/// An address without the checksum that yarn writes behind it.
fn without_checksum(resolved: &str) -> &str {
    match resolved.split_once('#') {
        Some((address, hash)) if hash.chars().all(|c| c.is_ascii_hexdigit()) => address,
        _ => resolved,
    }
}

/// Returns the names of the programs that a package brings; none where that cannot be read.
fn programs(name: &str, package: &Json) -> Option<Vec<String>> {
    match package.get("bin") {
        None => Some(Vec::new()),
        Some(Json::String(_)) => Some(vec![last_of(name).to_owned()]),
        Some(Json::Object(list)) => Some(list.keys().cloned().collect()),
        Some(_) => None,
    }
}

fn of_package(form: &str, place: &str, package: &Json, known: &Known) -> Entry {
    let name = name_of(place);
    let mut said: Map<String, Json> = package.as_object().cloned().unwrap_or_default();
    said.retain(|key, _| !DESCRIBING.contains(&key.as_str()));
    if form == "dependencies" {
        // Nested packages, each an entry of its own.
        said.remove("dependencies");
    }
    let bundled = is_bundled(place, package);
    let says = format!("{form} {place} {}", Json::Object(said.clone()));
    let mut entry = Entry::new(name, says, beyond(place, package, bundled, known));
    if !bundled {
        said.retain(|key, _| !AROUND.contains(&key.as_str()));
        entry.content =
            Some((format!("{name} {}", word(package, "version")), format!("{form} {}", Json::Object(said))));
    }
    entry
}

fn is(package: &Json, key: &str) -> bool {
    package.get(key).is_some_and(|value| value != &Json::Bool(false))
}

/// Whether a package comes within another's archive, whose checksum covers it.
fn is_bundled(place: &str, package: &Json) -> bool {
    (is(package, "inBundle") || is(package, "bundled"))
        && package.get("resolved").is_none()
        && place.matches("node_modules/").count() > 1
}

fn beyond(place: &str, package: &Json, bundled: bool, known: &Known) -> Option<String> {
    let name = name_of(place);
    let (version, resolved) = (word(package, "version"), word(package, "resolved"));
    let why = if !is_package(name) || place.contains('\\') || place.split('/').any(|part| part == "..") {
        "lies where no package does"
    } else if package.get("name").is_some_and(|other| other != name) {
        ANOTHER
    } else if is(package, "link")
        || version.contains([':', '/'])
        || !(bundled || resolved.starts_with("https://"))
    {
        NO_REGISTRY
    } else if is(package, "hasInstallScript") {
        "runs a script when it is installed"
    } else if is(package, "hasShrinkwrap") || is(package, "_hasShrinkwrap") {
        "brings a lockfile of its own"
    } else if let Some(program) = foreign_program(name, package, known) {
        return Some(format!("brings the program `{program}`"));
    } else if bundled {
        return None;
    } else {
        match (address(without_checksum(resolved)), registry(resolved, name, version)) {
            (None, _) => "has no plain address",
            (Some((server, _)), _) if !known.has_server(server) => NEW_SERVER,
            (_, Some(registry)) if known.registries.contains(registry) => {
                return (!CHECKSUM.is_match(word(package, "integrity"))).then(|| NO_CHECKSUM.to_owned());
            }
            _ => ANOTHER,
        }
    };
    Some(why.to_owned())
}

/// The first program of a package that stands in the way of another.
fn foreign_program(name: &str, package: &Json, known: &Known) -> Option<String> {
    let Some(programs) = programs(name, package) else { return Some("?".to_owned()) };
    programs.into_iter().find(|program| !known.may_bring(name, program))
}

#[cfg(test)]
mod tests {
    use crate::depends::tests::check;

    const LOCK: &str = r#"{"name": "calc", "version": "0.1.0", "lockfileVersion": 3, "packages": {
        "": {"name": "calc", "version": "0.1.0", "dependencies": {"a": "^1.0.0"}, "devDependencies": {"eslint": "^9.0.0"}},
        "node_modules/a": {"version": "1.0.0", "resolved": "https://r.example/a/-/a-1.0.0.tgz", "integrity": "sha512-aa", "license": "MIT", "funding": {"url": "https://money.example/a"}},
        "node_modules/b": {"version": "1.0.0", "resolved": "https://r.example/b/-/b-1.0.0.tgz", "integrity": "sha512-bb", "bin": {"b": "b.js", "run-b": "b.js"}},
        "node_modules/eslint": {"version": "9.0.0", "resolved": "https://r.example/eslint/-/eslint-9.0.0.tgz", "integrity": "sha512-cc", "dev": true, "bin": {"eslint": "bin/eslint.js"}}}}"#;
    const OLD: &str =
        r#""version": "1.0.0", "resolved": "https://r.example/a/-/a-1.0.0.tgz", "integrity": "sha512-aa""#;
    const NEWER: &str =
        r#""version": "1.1.0", "resolved": "https://r.example/a/-/a-1.1.0.tgz", "integrity": "sha512-dd""#;

    fn lock(from: &str, to: &str) -> String {
        assert!(LOCK.contains(from), "{from}");
        check("package-lock.json", LOCK, &LOCK.replace(from, to))
    }

    /// With another entry for the newer version.
    fn newer(from: &str, to: &str) -> String {
        assert!(NEWER.contains(from), "{from}");
        lock(OLD, &NEWER.replace(from, to))
    }

    /// With one more package.
    fn more(place: &str, entry: &str) -> String {
        lock(r#""node_modules/b""#, &format!(r#""{place}": {{{entry}}}, "node_modules/b""#))
    }

    #[test]
    fn versions_of_a_registry_change() {
        assert_eq!(lock(OLD, NEWER), "fine");
        assert_eq!(newer("sha512-dd", "sha1-dd= sha512-dd=="), "fine");
        assert_eq!(newer("1.1.0.tgz", "1.1.0.tgz#00ff"), "fine");
        assert_eq!(lock(r#""license": "MIT", "#, ""), "fine");
        assert_eq!(lock(r#""^1.0.0""#, r#""^1.1.0""#), "fine");
        assert_eq!(
            more(
                "node_modules/@x/c",
                r#""version": "2.0.0", "resolved": "https://r.example/@x/c/-/c-2.0.0.tgz", "integrity": "sha512-ee""#
            ),
            "fine"
        );
        let all = [
            ("https://r.example/", "git+ssh://r.example/", "`a` comes from no registry"),
            ("integrity", "engines", "`a` has no checksum"),
            ("sha512-dd", "unknown-dd", "`a` has no checksum"),
            (
                "sha512-dd",
                "sha512-dd\", \"hasInstallScript\": true, \"x\": \"",
                "`a` runs a script when it is installed",
            ),
            (
                "sha512-dd",
                "sha512-dd\", \"hasShrinkwrap\": true, \"x\": \"",
                "`a` brings a lockfile of its own",
            ),
            ("sha512-dd", "sha512-dd\", \"name\": \"c", "`a` is another package by this name"),
        ];
        for (from, to, why) in all {
            assert_eq!(newer(from, to), why, "{to}");
        }
        assert_eq!(lock("sha512-aa", "sha512-dd"), "other content for a 1.0.0");
        assert_eq!(
            lock(r#""a": "^1.0.0""#, r#""a": "file:x""#),
            "`a` does not come from the registry by its name and version"
        );
        assert_eq!(lock(r#""lockfileVersion": 3"#, r#""lockfileVersion": 1"#), "more than dependencies");
        assert_eq!(
            lock(
                r#""name": "calc", "version": "0.1.0", "dependencies""#,
                r#""name": "calc", "bin": "x.js", "dependencies""#
            ),
            "more than dependencies"
        );
    }

    #[test]
    fn an_address_is_one_of_the_package_at_a_registry_that_was_known() {
        let another = "`a` is another package by this name";
        let server = "`a` comes from a server that no other came from";
        let unclear = "`a` has no plain address";
        for (to, why) in [
            ("https://r.example/b/-/b-1.1.0.tgz", another),
            ("https://r.example/a/-/a-1.2.0.tgz", another),
            ("https://r.example/@evil/a/-/a-1.1.0.tgz", another),
            ("https://r.example/b/a/-/a-1.1.0.tgz", another),
            ("https://r.example/xa/-/a-1.1.0.tgz", another),
            ("https://s.example/a/-/a-1.1.0.tgz", server),
            ("https://money.example/a/-/a-1.1.0.tgz", server),
            ("https://r.example.evil.example/a/-/a-1.1.0.tgz", server),
            ("https://s.example?@r.example/a/-/a-1.1.0.tgz", unclear),
            ("https://s.example\\\\@r.example/a/-/a-1.1.0.tgz", unclear),
            ("https://s.example#@r.example/a/-/a-1.1.0.tgz", unclear),
            ("https://r.example@s.example/a/-/a-1.1.0.tgz", unclear),
            ("https://r.example/b/../a/-/a-1.1.0.tgz", unclear),
            ("https://r.example/b/%2e%2e/a/-/a-1.1.0.tgz", unclear),
            ("http://r.example/a/-/a-1.1.0.tgz", "`a` comes from no registry"),
        ] {
            assert_eq!(newer("https://r.example/a/-/a-1.1.0.tgz", to), why, "{to}");
        }
        let hash = "0123456789abcdef0123456789abcdef";
        let hashed = LOCK.replace("/-/a-1.0.0.tgz", &format!("/1.0.0/{hash}"));
        assert_eq!(
            check(
                "package-lock.json",
                &hashed,
                &hashed.replace("1.0.0/0", "1.1.0/1").replace(
                    r#""1.0.0", "resolved": "https://r.example/a"#,
                    r#""1.1.0", "resolved": "https://r.example/a"#
                )
            ),
            "fine"
        );
    }

    #[test]
    fn what_is_bundled_comes_within_another_package() {
        assert_eq!(more("node_modules/b/node_modules/c", r#""version": "1.0.0", "inBundle": true"#), "fine");
        for (place, entry) in [
            ("node_modules/c", r#""version": "1.0.0", "inBundle": true"#),
            ("node_modules/c", r#""version": "1.0.0", "inBundle": true, "resolved": "file:.""#),
            (
                "node_modules/b/node_modules/c",
                r#""version": "1.0.0", "inBundle": true, "resolved": "file:.""#,
            ),
            ("node_modules/b/node_modules/c", r#""version": "1.0.0", "inBundle": true, "resolved": 1"#),
            ("node_modules/b/node_modules/c", r#""version": "1.0.0", "inBundle": false"#),
        ] {
            assert_eq!(more(place, entry), "`c` comes from no registry", "{entry}");
        }
    }

    #[test]
    fn a_package_lies_where_packages_do() {
        let entry = r#""version": "1.0.0", "resolved": "https://r.example/c/-/c-1.0.0.tgz", "integrity": "sha512-ee""#;
        for place in ["node_modules/.bin/c", "node_modules/../c", "../node_modules/c", "node_modules/b/c"] {
            let found = more(place, entry);
            assert!(found.ends_with("lies where no package does"), "{place}: {found}");
        }
    }

    #[test]
    fn nothing_of_what_runs_or_checks_changes_in_place() {
        let eslint = "`eslint` runs or checks tests, or is loaded by what does";
        assert_eq!(lock("bin/eslint.js", "bin/none.js"), "other content for eslint 9.0.0");
        assert_eq!(
            lock(r#""dev": true"#, r#""dev": true, "os": ["none"]"#),
            "other content for eslint 9.0.0"
        );
        assert_eq!(lock(r#""dev": true"#, r#""dev": true, "optional": true"#), eslint);
        assert_eq!(lock(r#""dev": true, "#, ""), eslint);
        assert_eq!(lock(r#""devDependencies": {"eslint": "^9.0.0"}"#, r#""devDependencies": {}"#), eslint);
    }

    #[test]
    fn a_program_is_that_of_its_package() {
        let with = |bin: &str| newer("sha512-dd\"", &format!("sha512-dd\", \"bin\": {bin}"));
        assert_eq!(with(r#"{"a": "cli.js"}"#), "fine");
        assert_eq!(with(r#""cli.js""#), "fine");
        for program in ["eslint", "b", "node", "sh", "npm", "what"] {
            assert_eq!(
                with(&format!(r#"{{"{program}": "x.js"}}"#)),
                format!("`a` brings the program `{program}`")
            );
        }
        assert_eq!(with("3"), "`a` brings the program `?`");
        // What a package brought before it may go on to bring.
        let b = r#""version": "1.0.0", "resolved": "https://r.example/b/-/b-1.0.0.tgz", "integrity": "sha512-bb""#;
        assert_eq!(lock(b, &b.replace("1.0.0", "1.1.0").replace("bb", "dd")), "fine");
    }

    #[test]
    fn the_first_form_is_read_alike() {
        let old = r#"{"name": "calc", "lockfileVersion": 1, "dependencies": {
            "a": {"version": "1.0.0", "resolved": "https://r.example/a/-/a-1.0.0.tgz", "integrity": "sha512-aa", "requires": {"b": "^1.0.0"},
                "dependencies": {"b": {"version": "1.0.0", "resolved": "https://r.example/b/-/b-1.0.0.tgz", "integrity": "sha512-bb"}}}}}"#;
        let lock = |from: &str, to: &str| check("package-lock.json", old, &old.replace(from, to));
        assert_eq!(lock("b/-/b-1.0.0.tgz\", \"integrity\": \"sha512-bb", "x"), "other content for b 1.0.0");
        let b = r#""1.0.0", "resolved": "https://r.example/b/-/b-1.0.0.tgz", "integrity": "sha512-bb""#;
        assert_eq!(lock(b, &b.replace("1.0.0", "1.0.1").replace("bb", "cc")), "fine");
        assert_eq!(
            lock(b, &b.replace("1.0.0", "1.0.1").replace("/b", "/c")),
            "`b` is another package by this name"
        );
        assert_eq!(lock(b, r#""1.0.1", "bundled": true"#), "fine");
        assert_eq!(lock(b, r#""file:b""#), "`b` comes from no registry");
    }
}
