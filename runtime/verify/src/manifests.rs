//! Manifests as they are read wherever one is: what only describes (a version, a description, an address, which nothing
//! reads when tests run), the statements of a `go.mod`, names.

use std::sync::LazyLock;

use gloaming_api::RelPath;
use gloaming_api::evidence::FileRole;
use regex::Regex;
use serde_json::Value;
use toml::Table;

use crate::change::FileDiff;

const PACKAGE_JSON: &[&str] = &[
    "version",
    "description",
    "keywords",
    "author",
    "contributors",
    "maintainers",
    "license",
    "homepage",
    "bugs",
    "repository",
    "funding",
];

const CARGO: &[&str] = &[
    "version",
    "description",
    "keywords",
    "categories",
    "authors",
    "license",
    "homepage",
    "repository",
    "documentation",
    "readme",
    "rust-version",
];

const PYPROJECT: &[&str] = &[
    "version",
    "description",
    "keywords",
    "classifiers",
    "authors",
    "maintainers",
    "license",
    "urls",
    "readme",
];

/// Whether a manifest lies among the tests, where it may be what they read or expect: no part of it is of no account.
pub(crate) fn may_be_data(path: &RelPath) -> bool {
    let is_of_tests = |folder: RelPath| {
        folder.join("x").is_ok_and(|inside| gloaming_workspace::role(&inside) == FileRole::Test)
    };
    // A folder of another role below that one, as `node_modules` is, makes it no less theirs.
    std::iter::successors(path.parent(), RelPath::parent).any(is_of_tests)
}

/// Whether both versions of a manifest say the same but for what describes the package.
pub(crate) fn describes_only(diff: &FileDiff) -> bool {
    let (Some(before), Some(after)) = (&diff.before, &diff.after) else { return false };
    let (Ok(before), Ok(after)) = (std::str::from_utf8(before), std::str::from_utf8(after)) else {
        return false;
    };
    if may_be_data(&diff.file.path) {
        return false;
    }
    match diff.file.path.name() {
        Some("package.json") => same(package_json(before), package_json(after)),
        Some("Cargo.toml") => same(cargo(before), cargo(after)),
        Some("pyproject.toml") => same(pyproject(before), pyproject(after)),
        _ => false,
    }
}

fn same<T: PartialEq>(before: Option<T>, after: Option<T>) -> bool {
    before.is_some() && before == after
}

/// Returns a `Cargo.toml` without what only describes.
pub(crate) fn cargo(text: &str) -> Option<Table> {
    table(text, &["package", "workspace.package"], CARGO)
}

/// Returns a `pyproject.toml` without what only describes.
pub(crate) fn pyproject(text: &str) -> Option<Table> {
    table(text, &["project", "tool.poetry"], PYPROJECT)
}

/// Returns a `package.json` without what only describes.
pub(crate) fn package_json(text: &str) -> Option<Value> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    let map = value.as_object_mut()?;
    map.retain(|key, _| !describes_node(key));
    Some(value)
}

/// Whether a key of a `package.json` only describes.
pub(crate) fn describes_node(key: &str) -> bool {
    PACKAGE_JSON.contains(&key)
}

/// Returns what a `go.mod` says, statement by statement: the word it begins with, what follows, the comment behind it.
pub(crate) fn go_mod(text: &str) -> Vec<(&str, &str, &str)> {
    let mut statements = Vec::new();
    let mut block: Option<&str> = None;
    for line in text.lines() {
        let (said, comment) = line.split_once("//").unwrap_or((line, ""));
        let (said, comment) = (said.trim(), comment.trim());
        match block {
            _ if said.is_empty() => {}
            Some(_) if said == ")" => block = None,
            Some(keyword) => statements.push((keyword, said, comment)),
            None => {
                let (keyword, rest) = said.split_once([' ', '\t', '(']).unwrap_or((said, ""));
                if said.ends_with('(') {
                    block = Some(keyword);
                } else {
                    statements.push((keyword, rest.trim(), comment));
                }
            }
        }
    }
    statements
}

/// How a requirement begins (PEP 508).
static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)").expect("a constant pattern"));

/// Returns the name a requirement begins with, and what follows it.
pub(crate) fn requirement_name(text: &str) -> Option<(&str, &str)> {
    let name = NAME.captures(text)?.get(1)?;
    Some((name.as_str(), &text[name.end()..]))
}

/// Returns a name however it is spelled, as PEP 503 does.
pub(crate) fn spelled(name: &str) -> String {
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

fn table(text: &str, tables: &[&str], keys: &[&str]) -> Option<Table> {
    let mut whole: Table = text.parse().ok()?;
    for name in tables {
        let mut here = Some(&mut whole);
        for part in name.split('.') {
            here = here.and_then(|table| table.get_mut(part)).and_then(toml::Value::as_table_mut);
        }
        if let Some(table) = here {
            table.retain(|key, _| !keys.contains(&key));
        }
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::diff;

    #[test]
    fn what_describes_a_package_configures_nothing() {
        let check =
            |path: &str, before: &str, after: &str| describes_only(&diff(path, Some(before), Some(after)));
        let python =
            "[project]\nname = \"a\"\nversion = \"1\"\n\n[tool.pytest.ini_options]\naddopts = \"-q\"\n";
        assert!(check("pyproject.toml", python, &python.replace("\"1\"", "\"2\"")));
        assert!(!check("pyproject.toml", python, &python.replace("-q", "-k x")));
        assert!(!check("pyproject.toml", python, &python.replace("[tool.pytest.ini_options]\n", "")));
        let rust = "[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\n";
        assert!(check("Cargo.toml", rust, &rust.replace("edition", "description = \"x\"\nedition")));
        assert!(!check("Cargo.toml", rust, &rust.replace("2021", "2018")));
        assert!(!check("Cargo.toml", rust, &format!("{rust}build = \"x.rs\"\n")));
        let node = r#"{"name": "a", "version": "1.0.0", "scripts": {"test": "node --test"}}"#;
        assert!(check("package.json", node, &node.replace("1.0.0", "1.1.0")));
        assert!(!check("package.json", node, &node.replace("--test", "--test || true")));
        assert!(!check("package.json", node, "{"));
        assert!(!check("setup.cfg", "a", "b"));
        for path in [
            "test/fixtures/a/package.json",
            "test/expected/package.json",
            "tests/a/node_modules/b/package.json",
        ] {
            assert!(!check(path, node, &node.replace("1.0.0", "1.1.0")), "{path}");
        }
        assert!(check("packages/testbed/package.json", node, &node.replace("1.0.0", "1.1.0")));
    }

    #[test]
    fn statements_of_a_go_mod() {
        let text = "module \"a.example/b\" // Deprecated: x\n\nrequire(\n\tc.example/d v1.0.0 // indirect\n\n)\nrequire e.example/f v1.0.0\n";
        assert_eq!(
            go_mod(text),
            [
                ("module", "\"a.example/b\"", "Deprecated: x"),
                ("require", "c.example/d v1.0.0", "indirect"),
                ("require", "e.example/f v1.0.0", ""),
            ]
        );
    }

    #[test]
    fn names_of_requirements() {
        assert_eq!(requirement_name(" a-b[x]>=1"), Some(("a-b", "[x]>=1")));
        assert_eq!(requirement_name("./a"), None);
        assert_eq!(spelled("Calc--_Core.x"), "calc-core-x");
    }
}
