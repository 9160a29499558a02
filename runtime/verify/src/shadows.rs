//! New files that are found in the place of others: the tests run, and test something else.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use gloaming_api::RelPath;
use gloaming_api::evidence::{FileChange, FileRole};
use regex::Regex;

use crate::change::{Change, FileDiff};
use crate::runners::TreeView;

/// Modules that a runner imports while the repository's own folder comes first on Python's path: a new file
/// of such a name runs in the runner's place.
const SHADOWS: &[&str] = &[
    "pytest",
    "_pytest",
    "py",
    "pluggy",
    "iniconfig",
    "unittest",
    "doctest",
    "xdist",
    "nose",
    "nose2",
    "coverage",
    "argparse",
    "ast",
    "atexit",
    "bdb",
    "builtins",
    "codecs",
    "collections",
    "configparser",
    "contextlib",
    "copy",
    "dataclasses",
    "datetime",
    "difflib",
    "dis",
    "encodings",
    "enum",
    "errno",
    "faulthandler",
    "fnmatch",
    "functools",
    "gc",
    "getopt",
    "getpass",
    "glob",
    "hashlib",
    "importlib",
    "inspect",
    "io",
    "itertools",
    "json",
    "keyword",
    "linecache",
    "locale",
    "logging",
    "math",
    "operator",
    "os",
    "pathlib",
    "pdb",
    "pickle",
    "platform",
    "posixpath",
    "pprint",
    "queue",
    "random",
    "re",
    "reprlib",
    "runpy",
    "selectors",
    "shlex",
    "shutil",
    "signal",
    "site",
    "socket",
    "stat",
    "string",
    "struct",
    "subprocess",
    "sys",
    "sysconfig",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "timeit",
    "token",
    "tokenize",
    "tomllib",
    "traceback",
    "types",
    "typing",
    "uuid",
    "warnings",
    "weakref",
    "xml",
    "zipfile",
    "zipimport",
];

/// Folders whose content Python finds without a name in front.
const ROOTS: &[&str] = &["src", "lib", "python", "test", "tests", "testing"];

/// What an `import` statement begins with: the first name of the module.
static IMPORT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)[\w.]*[ \t]+import\b|import[ \t]+([^\n#;]+))")
        .expect("a constant pattern")
});

/// Returns the new files that stand in something's place, each with what it replaces.
pub(crate) fn stand_ins(change: &Change, tree: &TreeView<'_>) -> Vec<String> {
    let added = || change.files.iter().filter(|diff| diff.file.change == FileChange::Added);
    let mut out: Vec<String> = Vec::new();
    // Names that a new file gives a module at a place where Python looks, with the folder it looks in.
    let mut modules: Vec<(&FileDiff, &str, String)> = Vec::new();
    for diff in added() {
        let path = &diff.file.path;
        if let Some((folder, name)) = module_at_a_root(path) {
            if SHADOWS.contains(&name) {
                out.push(format!("{path} stands in the place of the module {name}"));
            } else {
                modules.push((diff, name, folder));
            }
        }
        out.extend(beside_its_twin(path, change).map(|twin| format!("{path} is found before {twin}")));
        if path.names().any(|name| name == "__mocks__") {
            out.push(format!("{path} takes a module's place in every test of jest"));
        }
    }
    // What was there at the same place only grows.
    modules.retain(|(_, name, folder)| !is_module_of(&change.base, folder, name));
    if modules.is_empty() {
        return out;
    }
    let imported = imported(change, tree);
    for (diff, name, folder) in modules {
        // A module that moved stands nowhere else any more.
        let moved = change.base.keys().any(|path| module_at_a_root(path).is_some_and(|(_, at)| at == name))
            && !change
                .patched
                .keys()
                .any(|path| module_at_a_root(path).is_some_and(|(at, found)| found == name && at != folder));
        if imported.contains(name) && !moved {
            let path = &diff.file.path;
            out.push(format!("{path} stands in the place of the module {name}, which was imported before"));
        }
    }
    out.dedup();
    out
}

/// The folder Python looks in and the name it finds there, for a file at such a place: `tests` and `calc` for
/// `tests/calc/core.py`.
fn module_at_a_root(path: &RelPath) -> Option<(String, &str)> {
    if !path.as_str().ends_with(".py") {
        return None;
    }
    let names: Vec<&str> = path.names().collect();
    let at = names.iter().position(|name| !ROOTS.contains(name)).unwrap_or(names.len() - 1);
    let name = names[at].strip_suffix(".py").unwrap_or(names[at]);
    (name != "__init__").then(|| (names[..at].join("/"), name))
}

fn is_module_of<V>(files: &std::collections::BTreeMap<RelPath, V>, folder: &str, name: &str) -> bool {
    files.keys().any(|path| module_at_a_root(path).is_some_and(|(at, found)| at == folder && found == name))
}

/// First names of the modules that the Python files of the base import.
fn imported(change: &Change, tree: &TreeView<'_>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut add = |text: &str| {
        for found in IMPORT.captures_iter(text) {
            if let Some(name) = found.get(1) {
                out.insert(name.as_str().to_owned());
            }
            for part in found.get(2).map_or("", |list| list.as_str()).split(',') {
                let first = part.trim().split(|c: char| !(c.is_alphanumeric() || c == '_')).next();
                out.extend(first.filter(|name| !name.is_empty()).map(str::to_owned));
            }
        }
    };
    let changed: BTreeSet<&RelPath> = change.files.iter().map(|diff| &diff.file.path).collect();
    for diff in change.files.iter().filter(|diff| diff.file.path.as_str().ends_with(".py")) {
        add(&diff.text_before());
    }
    for path in tree.files.iter().filter(|path| path.as_str().ends_with(".py") && !changed.contains(path)) {
        if let Some(text) = tree.read(path) {
            add(&text);
        }
    }
    out
}

/// Extensions in the order in which `require("./x")` tries them; behind them comes the folder `x`.
const SCRIPTS: &[&str] = &["js", "jsx", "ts", "tsx", "json", "node"];

/// A file or folder that stays, is asked for by the same words, and is no longer found: `x/index.js` beside a
/// new `x.js`, `x.py` beside a new package `x`.
fn beside_its_twin(path: &RelPath, change: &Change) -> Option<RelPath> {
    let stays = |path: &str| {
        let path = RelPath::parse(path).ok()?;
        (change.base.contains_key(&path) && change.patched.contains_key(&path)).then_some(path)
    };
    if let Some(package) = path.as_str().strip_suffix("/__init__.py") {
        return stays(&format!("{package}.py"));
    }
    let (stem, extension) = path.as_str().rsplit_once('.')?;
    if !SCRIPTS.contains(&extension)
        || stem.ends_with(".d")
        || gloaming_workspace::role(path) == FileRole::RunnerConfig
    {
        return None;
    }
    let behind = SCRIPTS.iter().skip_while(|other| **other != extension).skip(1);
    behind
        .map(|other| format!("{stem}.{other}"))
        .chain(SCRIPTS.iter().map(|other| format!("{stem}/index.{other}")))
        .find_map(|twin| stays(&twin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_python_finds_a_module() {
        let at = |text: &str| {
            let path = RelPath::parse(text).unwrap();
            module_at_a_root(&path).map(|(folder, name)| format!("{folder}:{name}"))
        };
        for (path, expect) in [
            ("calc.py", Some(":calc")),
            ("tests/calc.py", Some("tests:calc")),
            ("tests/calc/core.py", Some("tests:calc")),
            ("src/calc/__init__.py", Some("src:calc")),
            ("calc/json.py", Some(":calc")),
            ("tests/__init__.py", None),
            ("tests/calc.txt", None),
        ] {
            assert_eq!(at(path).as_deref(), expect, "{path}");
        }
    }
}
