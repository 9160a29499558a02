//! Which files take something from which: what only the set-up of the tests uses is a part of it.

use std::sync::LazyLock;

use gloaming_api::RelPath;
use regex::Regex;

use crate::change::Change;
use crate::runners::TreeView;

/// What a script takes by a path, from its own folder or one above.
static NEAR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?:\brequire\(\s*|\bfrom\s+|\bimport\s*\(?\s*)["'`](\.{1,2}/[^"'`\n]{1,300})["'`]"#)
        .expect("a constant pattern")
});

/// The head of an import from a module; what is imported stands behind it.
static FROM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^[ \t]*from[ \t]+([\w.]+)[ \t]+import\b[ \t]*").expect("a constant pattern")
});

static IMPORT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^[ \t]*import[ \t]+([^\n#]*)").expect("a constant pattern"));

/// A file of Python that is run or read by its path.
static BY_PATH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"["']([^"'\n]{1,300}\.py)["']"#).expect("a constant pattern"));

/// The largest file that is looked through, bytes.
const LARGEST: usize = 1 << 20;

/// Returns the paths by which a script takes what is near.
pub(crate) fn near(text: &str) -> Vec<String> {
    NEAR.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// A name that a Python file has from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) module: String,
    /// The name in the module, `*` for all; empty where the module itself is imported.
    pub(crate) name: String,
    /// The name in the file.
    pub(crate) local: String,
}

impl Import {
    /// Returns the modules that the name may come from: the one it is taken from, and what that has, which may be one too.
    pub(crate) fn sources(&self) -> Vec<String> {
        let Self { module, name, .. } = self;
        let inner =
            if module.ends_with('.') { format!("{module}{name}") } else { format!("{module}.{name}") };
        let plain = !module.chars().all(|letter| letter == '.');
        let both = [plain.then(|| module.clone()), (!name.is_empty()).then_some(inner)];
        both.into_iter().flatten().collect()
    }
}

/// Returns every name that a Python file imports.
pub(crate) fn python_imports(text: &str) -> Vec<Import> {
    let text = &text.replace("\\\n", " ");
    let renamed = |part: &str| -> Option<(String, String)> {
        let mut words = part.split_whitespace();
        let name = words.next()?.to_owned();
        let local = if words.next() == Some("as") { words.next()?.to_owned() } else { name.clone() };
        Some((name, local))
    };
    let mut imports = Vec::new();
    for (module, list) in from_lists(text) {
        let plain: Vec<&str> = list.lines().filter_map(|line| line.split('#').next()).collect();
        let names = plain.join(" ").split(',').filter_map(renamed).collect::<Vec<_>>();
        imports.extend(names.into_iter().map(|(name, local)| Import {
            module: module.to_owned(),
            name,
            local,
        }));
    }
    for found in IMPORT.captures_iter(text) {
        imports.extend(found[1].split(',').filter_map(renamed).map(|(module, local)| {
            let first = module.split('.').next().unwrap_or(&module).to_owned();
            let local = if local == module { first } else { local };
            Import { module, name: String::new(), local }
        }));
    }
    imports
}

/// Each module that a Python file imports from, with the text of what it imports. No part of the file is looked through
/// twice, whatever brackets it opens.
fn from_lists(text: &str) -> Vec<(&str, &str)> {
    let (mut lists, mut behind, mut closes) = (Vec::new(), 0, true);
    for found in FROM.captures_iter(text) {
        let (Some(whole), Some(module)) = (found.get(0), found.get(1)) else { continue };
        if whole.start() < behind {
            continue;
        }
        let rest = &text[whole.end()..];
        let end = if closes && rest.starts_with('(') { rest.find(')') } else { None };
        closes &= end.is_some() || !rest.starts_with('(');
        let list = match end {
            Some(end) => &rest[1..end],
            None => rest.lines().next().unwrap_or_default(),
        };
        behind = whole.end() + list.len();
        lists.push((module.as_str(), list));
    }
    lists
}

/// Returns every module, and every file by its path, that a Python file takes something from.
pub(crate) fn python_words(text: &str) -> Vec<String> {
    let modules = python_imports(text).into_iter().flat_map(|import| import.sources());
    modules.chain(BY_PATH.captures_iter(text).map(|found| found[1].to_owned())).collect()
}

/// Whether a word of a configuration in `folder` is the path, or the dotted name, of a file.
pub(crate) fn names(folder: &RelPath, word: &str, path: &RelPath) -> bool {
    let (stem, extension) = path.as_str().rsplit_once('.').unwrap_or((path.as_str(), ""));
    let named = folder
        .resolve(word.trim_start_matches("<rootDir>/"))
        .is_some_and(|target| target == *path || is_script_by(target.as_str(), stem, extension));
    if named || extension != "py" {
        return named;
    }
    let module = stem.trim_end_matches("/__init__");
    let written = word.trim_start_matches('.');
    if written.contains('/') {
        return false;
    }
    let dots = word.len() - written.len();
    let inner = written.replace('.', "/");
    let from = |folder: &RelPath| {
        (!inner.is_empty())
            .then(|| folder.join(&inner).ok())
            .flatten()
            .is_some_and(|path| path.as_str() == module)
    };
    if dots > 0 {
        // One dot is the file's own package, each further one the package around it.
        let package = std::iter::successors(Some(folder.clone()), RelPath::parent).nth(dots - 1);
        return package.is_some_and(|package| from(&package));
    }
    // A module goes by its name from its folder, from the root, or from a folder of sources.
    let sources = RelPath::root().join("src").expect("a plain name");
    from(&RelPath::root()) || from(&sources) || from(folder)
}

/// Whether a path as a script writes it leads to a script, `stem` and `extension` of which are given. In TypeScript it
/// bears the extension that the file has once it is compiled.
fn is_script_by(written: &str, stem: &str, extension: &str) -> bool {
    let is_typed = matches!(extension, "ts" | "tsx" | "cts" | "mts");
    let is_script = is_typed || matches!(extension, "js" | "jsx" | "cjs" | "mjs" | "json");
    let compiled = || [".js", ".jsx", ".cjs", ".mjs"].iter().find_map(|end| written.strip_suffix(end));
    (is_script && (stem == written || stem.strip_suffix("/index") == Some(written)))
        || (is_typed && compiled() == Some(stem))
}

/// Whether no file of the tree but one takes something from a target, as the files were before the patch. One that the
/// patch removes takes nothing any more: a patch that leaves a set-up the only user of something has made it a part of that.
pub(crate) fn none_but(user: &RelPath, target: &RelPath, change: &Change, tree: &TreeView<'_>) -> bool {
    let extension =
        |path: &RelPath| path.as_str().rsplit_once('.').map(|(_, extension)| extension.to_owned());
    let is_python = extension(target).as_deref() == Some("py");
    let scripts = ["js", "cjs", "mjs", "jsx", "ts", "cts", "mts", "tsx"];
    let others = tree.files.iter().filter(|path| {
        *path != user
            && *path != target
            && match extension(path).as_deref() {
                Some("py") => is_python,
                Some(other) => !is_python && scripts.contains(&other),
                None => false,
            }
    });
    others.into_iter().all(|path| {
        // What a patch writes makes nothing its own.
        let before = change.files.iter().find(|diff| diff.file.path == *path).map(|diff| diff.text_before());
        let Some(text) = before.or_else(|| tree.read(path)).filter(|text| text.len() <= LARGEST) else {
            return true;
        };
        let folder = path.parent().unwrap_or_else(RelPath::root);
        let words = if is_python { python_words(&text) } else { near(&text) };
        !words.iter().any(|word| names(&folder, word, target))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::change::diff;

    #[test]
    fn where_names_come_from() {
        let text = "import os.path, tools.a as b\nfrom tools import (c, d as e)\nfrom .near import f\n";
        let from = |name: &str| {
            let imports = python_imports(text).into_iter().filter(|import| import.local == name);
            imports.flat_map(|import| import.sources()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(from("b"), "tools.a");
        assert_eq!(from("os"), "os.path");
        assert_eq!(from("e"), "tools tools.d");
        assert_eq!(from("f"), ".near .near.f");
        assert_eq!(from("d"), "");
        let text = "from .a import (  # all of it\n    b,  # and\n    c,\n)\nfrom d import e, \\\n    f\n";
        assert_eq!(python_words(text), [".a", ".a.b", ".a", ".a.c", "d", "d.e", "d", "d.f"]);
        assert_eq!(python_words("exec(open('a/b.py').read())\nfrom . import g"), [".g", "a/b.py"]);
    }

    /// Looked through once for each of its beginnings, a file of these took minutes.
    #[test]
    fn brackets_that_stay_open_are_looked_through_once() {
        let open = "from a import (\n".repeat(1 << 15);
        assert_eq!(python_imports(&open).len(), 1 << 15);
        assert_eq!(from_lists(&(open + ")\nfrom b import c\n")).len(), 2);
    }

    #[test]
    fn a_module_of_the_product_that_it_takes_by_dots_is_not_the_set_ups_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = |text: &str| RelPath::parse(text).unwrap();
        let check = |user: &str| {
            let files = [
                ("calc/about.py", "VERSION = 1\n"),
                ("calc/sub/banner.py", user),
                ("setup.py", "import calc.about\n"),
            ];
            for (name, text) in files {
                crate::host::write_in_tree(dir.path(), &path(name), text.as_bytes()).unwrap();
            }
            let paths: Vec<RelPath> = files.iter().map(|(name, _)| path(name)).collect();
            let change = Change { files: Vec::new(), base: BTreeMap::new(), patched: BTreeMap::new() };
            let tree = TreeView { dir: dir.path(), files: &paths };
            none_but(&path("setup.py"), &path("calc/about.py"), &change, &tree)
        };
        assert!(!check("from ..about import VERSION\n"));
        assert!(!check("from .. import about\n"));
        assert!(!check("from calc.about import VERSION\n"));
        assert!(check("from .about import VERSION\n"));
        assert!(check("from ...about import VERSION\n"));
    }

    #[test]
    fn what_others_use_too_is_not_one_files_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = |text: &str| RelPath::parse(text).unwrap();
        let files = [
            ("src/b.js", "require('./a');\n"),
            ("src/c.js", "require('../shared/own');\n"),
            ("tools/setup.js", "require('../shared/own');\nrequire('../src/a');\n"),
        ];
        for (name, text) in files {
            crate::host::write_in_tree(dir.path(), &path(name), text.as_bytes()).unwrap();
        }
        let paths: Vec<RelPath> = files.iter().map(|(name, _)| path(name)).collect();
        let tree = TreeView { dir: dir.path(), files: &paths };
        let check = |changed: Vec<crate::change::FileDiff>, target: &str| {
            let change = Change { files: changed, base: BTreeMap::new(), patched: BTreeMap::new() };
            none_but(&path("tools/setup.js"), &path(target), &change, &tree)
        };
        assert!(!check(Vec::new(), "src/a.js"));
        assert!(!check(Vec::new(), "shared/own.js"));
        // The patch itself writes that another one uses it.
        assert!(check(vec![diff("src/c.js", Some("x\n"), Some(files[1].1))], "shared/own.js"));
    }

    #[test]
    fn a_word_is_a_path_from_its_own_folder() {
        let check = |folder: &str, word: &str, path: &str| {
            let folder = if folder.is_empty() { RelPath::root() } else { RelPath::parse(folder).unwrap() };
            names(&folder, word, &RelPath::parse(path).unwrap())
        };
        assert!(check("", "./setup.js", "setup.js"));
        assert!(check("", "./setup", "setup.js"));
        assert!(check("pkg", "<rootDir>/setup.js", "pkg/setup.js"));
        assert!(check("", "calc.plugin", "calc/plugin.py"));
        assert!(!check("pkg", "setup.js", "setup.js"));
        assert!(!check("", "setup", "setup.rs"));
        assert!(check("packages/a", "../../tools/setup.js", "tools/setup.js"));
        assert!(!check("packages/a", "../../../tools/setup.js", "tools/setup.js"));
        assert!(check("tests", "support.plugin", "support/plugin.py"));
        assert!(check("tests", ".hooks", "tests/hooks.py"));
        assert!(!check("tests", ".hooks", "hooks.py"));
        assert!(check("calc/sub", "..about", "calc/about.py"));
        assert!(check("calc/sub", "...about", "about.py"));
        assert!(check("calc/sub", "..deep.about", "calc/deep/about/__init__.py"));
        assert!(!check("calc/sub", "....about", "about.py"));
        assert!(!check("calc/sub", "..about", "about.py"));
        assert!(check("", "./tools", "tools/index.js"));
        assert!(check("support", "./matchers", "support/matchers.tsx"));
        assert!(check("support", "./matchers.js", "support/matchers.ts"));
        assert!(check("support", "./matchers.jsx", "support/matchers.tsx"));
        assert!(check("support", "./matchers.mjs", "support/matchers.mts"));
        assert!(check("support", "./matchers/index.js", "support/matchers/index.ts"));
        assert!(!check("support", "./matchers.js", "support/matchers.mjs"));
        assert!(!check("support", "./matchers.json", "support/matchers.ts"));
    }
}
