//! Dependencies that a patch changes where the policy lets it: what manifests and lockfiles say of them, and nothing else
//! of these files.
//!
//! A dependency may still decide what the tests show: one that a runner loads by itself, one that tests compare by, one that
//! stands in the place of the repository's own code. Those stay as they are, and so does where dependencies come from: what
//! is asked of a registry by a name and a version may change.

mod locks;
mod manifests;

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::evidence::FileRole;

use crate::change::FileDiff;
use crate::runners::TreeView;

/// A manifest or lockfile beyond this is not read.
const LARGEST: usize = 16 << 20;

/// What a file says of dependencies, and what it says besides.
#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    entries: BTreeSet<Entry>,
    /// Everything else, comparable.
    rest: String,
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

/// Returns the names of the packages that the repository itself is made of, spelled alike.
pub(crate) fn own_names(tree: &TreeView<'_>) -> BTreeSet<String> {
    let manifests = tree.files.iter().filter(|path| {
        let foreign = path.names().any(|name| matches!(name, "node_modules" | "vendor" | "site-packages"));
        matches!(path.name(), Some("Cargo.toml" | "package.json" | "pyproject.toml" | "go.mod")) && !foreign
    });
    manifests
        .filter_map(|path| manifests::own_names(path.name()?, &tree.read(path)?))
        .flatten()
        .map(|name| spelled(&name))
        .collect()
}

/// Returns why a change of a file that configures is more than one of dependencies; none where it is not. `own` are the
/// names of the repository's packages.
pub(crate) fn beyond(diff: &FileDiff, own: &BTreeSet<String>) -> Option<String> {
    let (Some(before), Some(after)) = (text(diff.before.as_deref()), text(diff.after.as_deref())) else {
        return Some("it is no file that was there and still is".to_owned());
    };
    let Some(read) = reader(diff, &before, own) else {
        return Some("what it says of dependencies is not read".to_owned());
    };
    let (Some(before), Some(after)) = (read(&before), read(&after)) else {
        return Some("it cannot be read".to_owned());
    };
    if before.rest != after.rest {
        return Some("more than dependencies".to_owned());
    }
    let locked: BTreeMap<&str, &str> = contents(&before).collect();
    if let Some((what, _)) = contents(&after).find(|(what, by)| locked.get(what).is_some_and(|old| old != by))
    {
        return Some(format!("other content for {what}"));
    }
    before.entries.symmetric_difference(&after.entries).find_map(|entry| {
        let name = spelled(&entry.name);
        let why = if own.contains(&name) {
            "is a package of the repository itself".to_owned()
        } else if of_the_language(&name) {
            "has the name of a language's own library".to_owned()
        } else if checks(&name) {
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

type Reader = Box<dyn Fn(&str) -> Option<Content>>;

/// How a file is read; none where its form is not known.
fn reader(diff: &FileDiff, before: &str, own: &BTreeSet<String>) -> Option<Reader> {
    if diff.file.role != FileRole::RunnerConfig {
        return None;
    }
    let path = &diff.file.path;
    let name = path.name()?;
    let (hosts, own) = (locks::hosts(before), own.clone());
    Some(match name {
        "Cargo.toml" => Box::new(manifests::cargo),
        "pyproject.toml" => Box::new(manifests::pyproject),
        "package.json" => Box::new(manifests::node),
        "go.mod" => Box::new(manifests::go),
        "Cargo.lock" => Box::new(move |text| locks::cargo(text, &own)),
        "package-lock.json" | "npm-shrinkwrap.json" => Box::new(move |text| locks::node(text, &hosts)),
        "go.sum" => Box::new(locks::go),
        "poetry.lock" | "uv.lock" | "pdm.lock" => Box::new(move |text| locks::python(text, &hosts, &own)),
        name if (name.ends_with(".txt") || name.ends_with(".in"))
            && !path.names().any(|name| name.ends_with(".egg-info") || name.ends_with(".dist-info"))
            && (name.contains("requirements")
                || name.contains("constraints")
                || path.parent().is_some_and(|folder| folder.name() == Some("requirements"))) =>
        {
            Box::new(manifests::requirements)
        }
        _ => return None,
    })
}

/// A name however it is spelled.
fn spelled(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// Whether a dependency of that name would be found before a part of the language.
fn of_the_language(name: &str) -> bool {
    matches!(name, "std" | "core" | "alloc" | "proc-macro" | "unittest" | "doctest")
}

/// Words in the names of runners, of what extends them, of what tests compare by and of linters.
const CHECKING: &[&str] = &[
    "pytest",
    "nose",
    "nose2",
    "unittest",
    "unittest2",
    "doctest",
    "xdoctest",
    "tox",
    "nox",
    "coverage",
    "pluggy",
    "xdist",
    "jest",
    "vitest",
    "mocha",
    "chai",
    "jasmine",
    "karma",
    "ava",
    "tape",
    "tapjs",
    "cypress",
    "playwright",
    "sinon",
    "should",
    "nyc",
    "c8",
    "istanbul",
    "expect",
    "swc",
    "esbuild",
    "babel",
    "tsx",
    "typescript",
    "rstest",
    "quickcheck",
    "proptest",
    "insta",
    "trybuild",
    "mockall",
    "criterion",
    "nextest",
    "ginkgo",
    "gomega",
    "gocheck",
    "gotest",
    "gotestsum",
    "quicktest",
    "cmp",
    "eslint",
    "tslint",
    "flake8",
    "pylint",
    "mypy",
    "pyright",
    "ruff",
    "biome",
    "prettier",
    "black",
    "golangci",
    "staticcheck",
];

/// The same by their whole name: their packages have pytest load them, or they run whenever Python starts.
const LOADED: &[&str] = &[
    "hypothesis",
    "anyio",
    "typeguard",
    "syrupy",
    "pyfakefs",
    "faker",
    "requests-mock",
    "flaky",
    "schemathesis",
    "inline-snapshot",
    "sybil",
    "ddtrace",
    "logfire",
    "langsmith",
    "iniconfig",
    "setuptools",
    "pip",
    "wheel",
    "ts-node",
    "tap",
    "libtest-mimic",
    "expect-test",
    "googletest",
    "ntest",
];

/// Whether a package of that name runs tests, is loaded by what does, is what they compare by, or lints.
fn checks(name: &str) -> bool {
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    LOADED.contains(&name)
        || words
            .any(|word| CHECKING.contains(&word) || word.starts_with("test") || word.starts_with("assert"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::diff;

    fn check(path: &str, before: &str, after: &str) -> String {
        let own = BTreeSet::from(["calc".to_owned()]);
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
        ] {
            assert_eq!(with("^1.0.0", to), why);
        }
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

    #[test]
    fn locks() {
        let cargo = "version = 4\n\n[[package]]\nname = \"calc\"\nversion = \"1.0.0\"\ndependencies = [\n \"log\",\n]\n\n[[package]]\nname = \"log\"\nversion = \"0.4.1\"\nsource = \"registry+https://one.acme.example/\"\nchecksum = \"aa\"\n";
        let lock = |after: &str| check("Cargo.lock", cargo, after);
        assert_eq!(lock(&cargo.replace("0.4.1", "0.4.2").replace("aa", "bb")), "fine");
        assert_eq!(lock(&cargo.replace("aa", "bb")), "other content for log 0.4.1");
        assert_eq!(
            lock(&cargo.replace("registry+", "git+").replace("0.4.1", "0.4.2")),
            "`log` comes from no registry"
        );
        assert_eq!(
            lock(
                &cargo
                    .replace("0.4.1", "0.4.2")
                    .replace("source = \"registry+https://one.acme.example/\"\nchecksum = \"aa\"\n", "")
            ),
            "`log` comes from no registry"
        );
        let stands_in = "\n[[package]]\nname = \"calc\"\nversion = \"2.0.0\"\nsource = \"registry+https://one.acme.example/\"\n";
        assert_eq!(lock(&format!("{cargo}{stands_in}")), "`calc` is a package of the repository itself");

        let node = r#"{"name": "calc", "lockfileVersion": 3, "packages": {"": {"dependencies": {"a": "1"}},
            "node_modules/a": {"version": "1.0.0", "resolved": "https://r.example/a.tgz", "integrity": "sha512-aa"}}}"#;
        let lock = |from: &str, to: &str| check("package-lock.json", node, &node.replace(from, to));
        let newer = r#"1.1.0", "resolved": "https://r.example/a-1.1.0.tgz", "integrity": "sha512-bb"#;
        let old = r#"1.0.0", "resolved": "https://r.example/a.tgz", "integrity": "sha512-aa"#;
        assert_eq!(lock(old, newer), "fine");
        assert_eq!(lock("sha512-aa", "sha512-bb"), "other content for node_modules/a 1.0.0");
        assert_eq!(
            lock(old, &newer.replace("r.example", "s.example")),
            "`a` comes from a server that no other came from"
        );
        assert_eq!(
            lock(old, &newer.replace("https://r.example/", "git+ssh://r.example/")),
            "`a` comes from no registry"
        );
        assert_eq!(lock(old, &newer.replace("integrity", "engines")), "`a` has no checksum");
        assert_eq!(
            lock(old, &format!("{newer}\", \"hasInstallScript\": true, \"x\": \"")),
            "`a` runs a script when it is installed"
        );

        let uv = "version = 1\n\n[[package]]\nname = \"calc\"\nversion = \"1\"\nsource = { editable = \".\" }\n\n[[package]]\nname = \"click\"\nversion = \"8.0\"\nsource = { registry = \"https://i.example/simple\" }\nwheels = [\n    { url = \"https://f.example/click-8.0.whl\", hash = \"sha256:aa\" },\n]\n";
        let lock = |after: &str| check("uv.lock", uv, after);
        let newer = uv.replace("8.0", "8.1").replace("aa", "bb");
        assert_eq!(lock(&newer), "fine");
        assert_eq!(lock(&uv.replace("aa", "bb")), "other content for click 8.0");
        assert_eq!(
            lock(&newer.replace("f.example", "g.example")),
            "`click` comes from a server that no other came from"
        );
        assert_eq!(lock(&newer.replace("registry", "git")), "`click` comes from no registry");
        assert_eq!(
            lock(&newer.replace("editable", "registry")),
            "`calc` is a package of the repository itself"
        );
        assert_eq!(check("yarn.lock", "a\n", "b\n"), "what it says of dependencies is not read");
    }
}
