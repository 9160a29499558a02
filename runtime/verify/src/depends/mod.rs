//! Dependencies that a patch changes where the policy lets it: what manifests and lockfiles say of them, and nothing else
//! of these files.
//!
//! A dependency may still decide what the tests show: one that a runner loads by itself, one that tests compare by, one that
//! stands in the place of the repository's own code. Those stay as they are, and so does where dependencies come from: what
//! is asked of a registry by a name and a version may change.

mod cargo_lock;
mod checking;
mod manifests;
mod node_lock;
mod own;
mod python_lock;

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::evidence::FileRole;
use gloaming_api::profile::Ecosystem;
use gloaming_profile::is_requirements;
use serde_json::Value as Json;
use toml::Table;

pub(crate) use self::own::own_names;
use crate::change::FileDiff;
use crate::manifests::spelled;

/// A manifest or lockfile beyond this is not read.
const LARGEST: usize = 16 << 20;

/// Of a lockfile: what comes from elsewhere than a registry, and what comes from another than any before.
const NO_REGISTRY: &str = "comes from no registry";
const NEW_SERVER: &str = "comes from a server that no other came from";
const ANOTHER: &str = "is another package by this name";
const NO_CHECKSUM: &str = "has no checksum";

/// What a file says of dependencies, and what it says besides.
#[derive(Debug, Default)]
struct Content {
    entries: BTreeSet<Entry>,
    rest: Rest,
}

/// Everything else of a file. As a value it is compared whatever the order of its keys.
#[derive(Debug, PartialEq)]
enum Rest {
    Text(String),
    Toml(Table),
    Json(Json),
}

impl Default for Rest {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// One dependency as a file names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// As its ecosystem spells it.
    name: String,
    /// The section it stands in and what is said of it.
    says: String,
    /// Why it is more than a name and a version.
    beyond: Option<String>,
    /// Of a lockfile: what is locked, and by which content.
    content: Option<(String, String)>,
}

impl Entry {
    fn new(name: &str, says: String, beyond: Option<String>) -> Self {
        Self { name: name.to_owned(), says, beyond, content: None }
    }
}

/// Returns why a change of a file that configures is more than one of dependencies; none where it is not. `own` are the
/// names of the repository's packages.
pub(crate) fn beyond(diff: &FileDiff, own: &BTreeSet<String>) -> Option<String> {
    let (Some(before), Some(after)) = (text(diff.before.as_deref()), text(diff.after.as_deref())) else {
        return Some("it is no file that was there and still is".to_owned());
    };
    let Some((ecosystem, read)) = reader(diff, &before, own) else {
        return Some("what it says of dependencies is not read".to_owned());
    };
    let (Some(before), Some(after)) = (read(&before), read(&after)) else {
        return Some("it cannot be read".to_owned());
    };
    if before.rest != after.rest {
        return Some("more than dependencies".to_owned());
    }
    // One version may be locked from two places.
    let mut locked: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (what, by) in contents(&before) {
        locked.entry(what).or_default().insert(by);
    }
    let other = |(what, by): &(&str, &str)| locked.get(what).is_some_and(|known| !known.contains(by));
    if let Some((what, _)) = contents(&after).find(other) {
        return Some(format!("other content for {what}"));
    }
    before.entries.symmetric_difference(&after.entries).find_map(|entry| {
        let name = spelled(&entry.name);
        let why = if own.contains(&name) {
            "is a package of the repository itself".to_owned()
        } else if checking::of_the_language(&name) {
            "has the name of a language's own library".to_owned()
        } else if checking::checks(ecosystem, &name) {
            "runs or checks tests, or is loaded by what does".to_owned()
        } else {
            entry.beyond.clone()?
        };
        Some(format!("`{}` {why}", entry.name))
    })
}

fn contents(content: &Content) -> impl Iterator<Item = (&str, &str)> {
    content
        .entries
        .iter()
        .filter_map(|entry| entry.content.as_ref())
        .map(|(what, by)| (what.as_str(), by.as_str()))
}

fn text(bytes: Option<&[u8]>) -> Option<String> {
    let bytes = bytes.filter(|bytes| bytes.len() <= LARGEST)?;
    Some(std::str::from_utf8(bytes).ok()?.to_owned())
}

/// The server and the path of an address that every program reads alike: over https, and without a user, a query, an
/// escape or a way back. What stands in front of an `@` or behind a backslash would be a server to some.
fn address(text: &str) -> Option<(&str, &str)> {
    let (server, path) = text.strip_prefix("https://")?.split_once('/')?;
    let plain = |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    let steps_back = path.split('/').any(|part| matches!(part, "" | "." | ".."));
    (!server.is_empty() && plain(server, ".-:") && plain(path, "/@._~+-") && !steps_back)
        .then_some((server, path))
}

type Read = Box<dyn Fn(&str) -> Option<Content>>;

/// How a file is read, and whose packages it names; none where its form is not known.
fn reader(diff: &FileDiff, before: &str, own: &BTreeSet<String>) -> Option<(Ecosystem, Read)> {
    if diff.file.role != FileRole::RunnerConfig {
        return None;
    }
    let path = &diff.file.path;
    let name = path.name()?;
    let own = own.clone();
    Some(match name {
        "Cargo.toml" => (Ecosystem::Rust, Box::new(manifests::cargo)),
        "pyproject.toml" => (Ecosystem::Python, Box::new(manifests::pyproject)),
        "package.json" => (Ecosystem::Node, Box::new(manifests::node)),
        "go.mod" => (Ecosystem::Go, Box::new(manifests::go)),
        "Cargo.lock" => {
            let known = cargo_lock::sources(before);
            (Ecosystem::Rust, Box::new(move |text| cargo_lock::read(text, &known, &own)))
        }
        "package-lock.json" | "npm-shrinkwrap.json" => {
            let known = node_lock::Known::of(before);
            (Ecosystem::Node, Box::new(move |text| node_lock::read(text, &known)))
        }
        "go.sum" => (Ecosystem::Go, Box::new(manifests::go_sum)),
        "poetry.lock" | "uv.lock" | "pdm.lock" => {
            let known = python_lock::Known::of(before);
            (Ecosystem::Python, Box::new(move |text| python_lock::read(text, &known, &own)))
        }
        _ if is_requirements(path)
            && !path.names().any(|name| name.ends_with(".egg-info") || name.ends_with(".dist-info")) =>
        {
            (Ecosystem::Python, Box::new(manifests::requirements))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::diff;

    pub(super) fn check(path: &str, before: &str, after: &str) -> String {
        let own = BTreeSet::from(["calc".to_owned(), "calc-core".to_owned()]);
        beyond(&diff(path, Some(before), Some(after)), &own).unwrap_or_else(|| "fine".to_owned())
    }

    #[test]
    fn dependencies_of_a_crate() {
        let before = "[package]\nname = \"calc\"\nversion = \"1.0.0\"\n\n[dependencies]\nlog = \"0.4\"\n";
        let with = |more: &str| check("Cargo.toml", before, &format!("{before}{more}"));
        assert_eq!(with("serde = { version = \"1\", features = [\"derive\"], optional = true }\n"), "fine");
        assert_eq!(with("[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n"), "fine");
        assert_eq!(with("[dev-dependencies]\nbytes.workspace = true\n"), "fine");
        assert_eq!(
            check("Cargo.toml", before, &before.replace("0.4", "0.5").replace("1.0.0", "2.0.0")),
            "fine"
        );
        assert_eq!(check("Cargo.toml", before, &before.replace("log = \"0.4\"\n", "")), "fine");
        for (more, why) in [
            ("x = { path = \"x\" }\n", "`x` has `path`"),
            ("x = { git = \"https://a.example/x\" }\n", "`x` has `git`"),
            ("x = { package = \"y\", version = \"1\" }\n", "`x` has `package`"),
            ("x = { version = \"1\", registry = \"own\" }\n", "`x` has `registry`"),
            ("calc = \"1\"\n", "`calc` is a package of the repository itself"),
            ("[workspace.dependencies]\nbytes = \"1\"\n", "more than dependencies"),
            ("std = \"1\"\n", "`std` has the name of a language's own library"),
            (
                "[dev-dependencies]\nrstest = \"1\"\n",
                "`rstest` runs or checks tests, or is loaded by what does",
            ),
            (
                "[dev-dependencies]\npretty_assertions = \"1\"\n",
                "`pretty_assertions` runs or checks tests, or is loaded by what does",
            ),
            ("[build-dependencies]\ncc = \"1\"\n", "more than dependencies"),
            ("[patch.x]\nlog = { path = \"log\" }\n", "more than dependencies"),
            ("[lib]\ntest = false\n", "more than dependencies"),
            ("[[test]]\nname = \"a\"\nharness = false\n", "more than dependencies"),
            ("[features]\ndefault = [\"x\"]\n", "more than dependencies"),
            ("[[", "it cannot be read"),
        ] {
            assert_eq!(with(more), why, "{more}");
        }
        let workspace = format!("{before}[workspace]\n");
        let with = |more: &str| {
            check("Cargo.toml", &workspace, &format!("{workspace}[workspace.dependencies]\n{more}"))
        };
        assert_eq!(with("bytes = \"1\"\n"), "fine");
        assert_eq!(with("calc = \"1\"\n"), "`calc` is a package of the repository itself");
        let path = before.replace("\"0.4\"", "{ path = \"log\" }");
        assert_eq!(check("Cargo.toml", &path, before), "`log` has `path`");
        assert_eq!(
            beyond(&diff("Cargo.toml", None, Some(before)), &BTreeSet::new()).unwrap(),
            "it is no file that was there and still is"
        );
    }

    #[test]
    fn dependencies_of_python() {
        let before = "[project]\nname = \"calc\"\nversion = \"1\"\ndependencies = [\"click>=8\"]\n";
        let with = |list: &str| check("pyproject.toml", before, &before.replace("\"click>=8\"", list));
        assert_eq!(with("\"click>=9,<10\", \"rich[all] ~= 13.0 ; python_version > '3'\""), "fine");
        for (list, why) in [
            ("\"click @ https://a.example/click.whl\"", "`click` is no plain requirement"),
            ("\"Calc\"", "`Calc` is a package of the repository itself"),
            (
                "\"click>=8\", \"pytest-randomly\"",
                "`pytest-randomly` runs or checks tests, or is loaded by what does",
            ),
            ("\"click>=8\", \"hypothesis\"", "`hypothesis` runs or checks tests, or is loaded by what does"),
        ] {
            assert_eq!(with(list), why);
        }
        let more = |more: &str| check("pyproject.toml", before, &format!("{before}{more}"));
        assert_eq!(more("[dependency-groups]\ndev = [\"rich\"]\n"), "fine");
        assert_eq!(more("[tool.poetry.dependencies]\nrich = \"^13\"\n"), "fine");
        for (text, why) in [
            ("[tool.poetry.dependencies]\nrich = { path = \"rich\" }\n", "`rich` has `path`"),
            ("[tool.poetry.dependencies]\npython = \"^3.13\"\n", "`python` is the language itself"),
            ("[tool.uv.sources]\nclick = { path = \"x\" }\n", "more than dependencies"),
            ("[build-system]\nrequires = [\"x\"]\n", "more than dependencies"),
            ("[tool.pytest.ini_options]\naddopts = \"-k x\"\n", "more than dependencies"),
            ("[project.entry-points.pytest11]\nx = \"calc.x\"\n", "more than dependencies"),
        ] {
            assert_eq!(more(text), why);
        }
        let list = "-r base.txt\nclick==8 \\\n    --hash=sha256:00\n";
        let list = |after: &str| check("requirements-dev.txt", list, after);
        assert_eq!(list("-r base.txt\n# newer\nclick==9 \\\n    --hash=sha256:01\nrich\n"), "fine");
        assert_eq!(list("-r other.txt\nclick==8 --hash=sha256:00\n"), "more than dependencies");
        assert_eq!(list("-r base.txt\n--index-url https://a.example\nclick==9\n"), "more than dependencies");
        assert_eq!(list("-r base.txt\n./own\n"), "`./own` is no plain requirement");
        assert_eq!(list("-r base.txt\nclick==9 --config-settings=x=y\n"), "`click` is no plain requirement");
        assert_eq!(check("setup.cfg", "a\n", "b\n"), "what it says of dependencies is not read");
        assert_eq!(check("yarn.lock", "a\n", "b\n"), "what it says of dependencies is not read");
    }

    #[test]
    fn a_list_of_requirements_is_what_pip_reads() {
        let list = |after: &str| check("requirements.txt", "click==8.1.6\n", after);
        assert_eq!(list("# newer\nclick==8.1.7\t# web\n"), "fine");
        assert_eq!(list("click==8.1.7 ; python_version >= '3.8' and sys_platform != \"win32\"\n"), "fine");
        assert_eq!(
            list("click==8.1.7 \\\r\n  --hash=sha256:00 \\\r\n  --hash=sha256:01\r\nrich[x-y]\r\n"),
            "fine"
        );
        let more = "more than dependencies";
        let plain = "`click` is no plain requirement";
        for (after, why) in [
            ("# pinned\u{c}--index-url https://a.example/simple\nclick==8.1.7\n", more),
            ("# pinned\u{b}-r notes.txt\nclick==8.1.7\n", more),
            ("click==8.1.7 ; python_version > '3' \\\n# note\n-i https://a.example/simple\n", more),
            ("# x\u{c}pytest==1\nclick==8.1.6\n", "`pytest` runs or checks tests, or is loaded by what does"),
            ("click==8.1.7 ; python_version > '3' -i https://a.example/simple\n", plain),
            ("click==8.1.7 ; python_version > '3' --pre\n", plain),
            ("click==8.1.7 ; python_version > '${X}'\n", plain),
            ("# coding: utf-7\n# +AAo---index-url https://a.example\nclick==8.1.6\n", "it cannot be read"),
            ("click-1.0-py3-none-any.whl\n", "`click-1.0-py3-none-any.whl` is no plain requirement"),
            ("click.tar.gz[x] ; python_version > '3'\n", "`click.tar.gz` is no plain requirement"),
            ("click==8.1.6\ncalc--core==9.9\n", "`calc--core` is a package of the repository itself"),
            (
                "click==8.1.6\nrequests--mock\n",
                "`requests--mock` runs or checks tests, or is loaded by what does",
            ),
            ("click==8.1.6\nBabel==2.0\n", "fine"),
        ] {
            assert_eq!(list(after), why, "{after:?}");
        }
    }

    #[test]
    fn dependencies_of_node() {
        let before =
            r#"{"name": "calc", "scripts": {"test": "node --test"}, "dependencies": {"a": "^1.0.0"}}"#;
        let with = |from: &str, to: &str| check("package.json", before, &before.replace(from, to));
        assert_eq!(with("^1.0.0", ">=2 <3 || 4.x"), "fine");
        assert_eq!(with(r#"{"a""#, r#"{"@x/b": "1.0.0-rc.1", "a""#), "fine");
        for (to, why) in [
            ("npm:b@1", "`a` does not come from the registry by its name and version"),
            ("file:../a", "`a` does not come from the registry by its name and version"),
            ("someone/a", "`a` does not come from the registry by its name and version"),
            (".", "`a` does not come from the registry by its name and version"),
            (" ..", "`a` does not come from the registry by its name and version"),
            ("a.tgz", "`a` does not come from the registry by its name and version"),
            ("1.0.TAR.GZ ", "`a` does not come from the registry by its name and version"),
        ] {
            assert_eq!(with("^1.0.0", to), why);
        }
        for range in ["", "*", "latest", "~1.2.3-rc.1+b", "1.x || >=2.5.0 || 5.0.0 - 7.2.3"] {
            assert_eq!(with("^1.0.0", range), "fine", "{range}");
        }
        assert_eq!(
            with(r#"{"a""#, r#"{"../b": "1", "a""#),
            "`../b` does not come from the registry by its name and version"
        );
        assert_eq!(
            with(r#"{"a""#, r#"{"ts-jest": "1", "a""#),
            "`ts-jest` runs or checks tests, or is loaded by what does"
        );
        assert_eq!(with(r#"{"a""#, r#"{"calc": "1", "a""#), "`calc` is a package of the repository itself");
        assert_eq!(with("node --test", "true"), "more than dependencies");
        assert_eq!(
            with(r#""dependencies""#, r#""overrides": {"b": "1"}, "dependencies""#),
            "more than dependencies"
        );
    }

    #[test]
    fn dependencies_of_go() {
        let before = "module calc.example/calc\n\ngo 1.22\n\nrequire a.example/b v1.0.0\n";
        let with = |more: &str| check("go.mod", before, &format!("{before}{more}"));
        assert_eq!(with("\nrequire (\n\tc.example/d v1.2.3 // indirect\n)\n"), "fine");
        assert_eq!(check("go.mod", before, &before.replace("v1.0.0", "v1.1.0")), "fine");
        for (more, why) in [
            ("replace a.example/b => ./b\n", "more than dependencies"),
            ("replace (\n\ta.example/b => ./b\n)\n", "more than dependencies"),
            ("exclude a.example/b v1.0.0\n", "more than dependencies"),
            (
                "require github.com/stretchr/testify v1.9.0\n",
                "`github.com/stretchr/testify` runs or checks tests, or is loaded by what does",
            ),
            (
                "require gopkg.in/check.v1 v1.0.0\n",
                "`gopkg.in/check.v1` runs or checks tests, or is loaded by what does",
            ),
        ] {
            assert_eq!(with(more), why, "{more}");
        }
        assert_eq!(check("go.mod", before, &before.replace("go 1.22", "go 1.23")), "more than dependencies");
        let sum = "a.example/b v1.0.0 h1:aa=\na.example/b v1.0.0/go.mod h1:bb=\n";
        assert_eq!(
            check("go.sum", sum, "a.example/b v1.1.0 h1:cc=\na.example/b v1.1.0/go.mod h1:dd=\n"),
            "fine"
        );
        assert_eq!(check("go.sum", sum, &sum.replace("aa", "cc")), "other content for a.example/b v1.0.0");
        assert_eq!(check("go.sum", sum, "what\n"), "it cannot be read");
    }
}
