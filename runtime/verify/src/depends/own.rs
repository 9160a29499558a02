//! The names of the packages that a repository is made of. A dependency of such a name would stand in its place.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use gloaming_api::RelPath;
use regex::Regex;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::manifests::{go_mod, spelled};
use crate::named::is_foreign;
use crate::new_dependencies::TEST_DATA;
use crate::runners::TreeView;

/// A name in a script for setuptools, given to what it calls or to a variable.
static IN_SCRIPT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)\b(?:\w+_)?name["']?\s*[=:]\s*["']([\w.-]+)["']"#).expect("a constant pattern")
});

/// Returns the names of the packages that the repository itself is made of, spelled alike.
pub(crate) fn own_names(tree: &TreeView<'_>) -> BTreeSet<String> {
    let manifests = tree.files.iter().filter(|path| {
        let name = path.name().unwrap_or_default();
        !is_foreign(path)
            && matches!(
                name,
                "Cargo.toml" | "package.json" | "pyproject.toml" | "go.mod" | "setup.cfg" | "setup.py"
            )
    });
    // What lies among the tests is their data, unless another manifest takes it for a part of the repository.
    let (among, outside): (Vec<&RelPath>, Vec<&RelPath>) =
        manifests.partition(|path| in_test_data(path).is_some());
    let texts: Vec<(&RelPath, String)> =
        outside.into_iter().filter_map(|path| Some((path, tree.read(path)?))).collect();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for path in among {
        let named = in_test_data(path).is_some_and(|folder| {
            let all = folder.rsplit_once('/').map_or("*".to_owned(), |(above, _)| format!("{above}/*"));
            texts.iter().any(|(_, text)| text.contains(folder) || text.contains(&all))
        });
        if named {
            names.extend(tree.read(path).map(|text| of_manifest(tree, path, &text)).unwrap_or_default());
        }
    }
    names.extend(texts.iter().flat_map(|(path, text)| of_manifest(tree, path, text)));
    names.iter().map(|name| spelled(name)).collect()
}

/// The folder of a manifest from the first folder of tests on its way; none where there is none.
fn in_test_data(path: &RelPath) -> Option<&str> {
    let (folder, _) = path.as_str().rsplit_once('/')?;
    let mut from = 0;
    for name in folder.split('/') {
        if TEST_DATA.contains(&name) {
            return Some(&folder[from..]);
        }
        from += name.len() + 1;
    }
    None
}

fn of_manifest(tree: &TreeView<'_>, path: &RelPath, text: &str) -> Vec<String> {
    let names = written(path.name().unwrap_or_default(), text).unwrap_or_default();
    if !names.is_empty() || path.name() != Some("setup.py") {
        return names;
    }
    // A script may read the name from anywhere; what it packs mostly has it too.
    let folder = path.parent().unwrap_or_else(RelPath::root);
    let packed = |file: &RelPath| {
        let rest: Vec<&str> = match folder.as_str() {
            "" => file.as_str(),
            folder => file.as_str().strip_prefix(folder)?.strip_prefix('/')?,
        }
        .split('/')
        .collect();
        match rest[..] {
            [name, "__init__.py"] | ["src" | "lib", name, "__init__.py"] => Some(name.to_owned()),
            _ => None,
        }
    };
    tree.files.iter().filter_map(packed).filter(|name| !TEST_DATA.contains(&name.as_str())).collect()
}

/// The names a manifest has in so many words.
fn written(manifest: &str, text: &str) -> Option<Vec<String>> {
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
        "setup.cfg" => in_section(text).into_iter().collect(),
        "setup.py" => IN_SCRIPT.captures_iter(text).map(|found| found[1].to_owned()).collect(),
        _ => {
            let modules = go_mod(text).into_iter().filter(|(keyword, ..)| *keyword == "module");
            modules.map(|(_, said, _)| said.trim_matches(['"', '`']).to_owned()).collect()
        }
    })
}

/// The name in setuptools' own file.
fn in_section(text: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| line.trim_end() != "[metadata]").skip(1);
    let inside = lines.by_ref().take_while(|line| !line.starts_with('['));
    inside
        .filter_map(|line| line.strip_prefix("name")?.trim_start().strip_prefix(['=', ':']))
        .next()
        .map(|name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (path, text) in files {
            let path = RelPath::parse(path).unwrap();
            crate::host::write_in_tree(dir.path(), &path, text.as_bytes()).unwrap();
            paths.push(path);
        }
        paths.sort();
        own_names(&TreeView { dir: dir.path(), files: &paths }).into_iter().collect()
    }

    #[test]
    fn each_manifest_names_its_package() {
        assert_eq!(
            names(&[
                ("Cargo.toml", "[package]\nname = \"Calc_Core\"\n[lib]\nname = \"calc\"\n"),
                ("a/pyproject.toml", "[tool.poetry]\nname = \"a\"\n"),
                ("b/package.json", "{\"name\": \"@x/b\"}"),
                ("c/go.mod", "module (\n\t\"example.com/c\"\n)\n"),
                ("d/setup.cfg", "[flake8]\nname = x\n[metadata]\nversion = 1\nname: d\n"),
                ("e/setup.py", "setup(\n    name='e-lib', version='1')\n"),
                ("f/setup.py", "PKG_NAME = \"f\"\nsetup(name=PKG_NAME)\n"),
                ("vendor/g/Cargo.toml", "[package]\nname = \"g\"\n"),
            ]),
            ["@x/b", "a", "calc", "calc-core", "d", "e-lib", "example-com/c", "f"]
        );
    }

    #[test]
    fn a_script_that_takes_its_name_from_elsewhere_has_that_of_what_it_packs() {
        let script = "from about import META\nsetup(**META)\n";
        let files = [
            ("setup.py", script),
            ("calc/__init__.py", ""),
            ("src/sums/__init__.py", ""),
            ("tests/__init__.py", ""),
        ];
        assert_eq!(names(&files), ["calc", "sums"]);
    }

    #[test]
    fn data_of_tests_names_nothing_and_a_member_among_them_does() {
        let manifest = "[project]\nname = \"click\"\n";
        assert_eq!(names(&[("tests/fixtures/x/pyproject.toml", manifest)]), [""; 0]);
        let member = ("tests/help/Cargo.toml", "[package]\nname = \"calc-help\"\n");
        for members in ["\"tests/help\"", "\"tests/*\""] {
            let root = format!("[workspace]\nmembers = [{members}]\n");
            assert_eq!(names(&[member, ("Cargo.toml", &root)]), ["calc-help"]);
        }
        assert_eq!(names(&[member, ("Cargo.toml", "[workspace]\n")]), [""; 0]);
    }
}
