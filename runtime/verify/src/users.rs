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

static FROM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^[ \t]*from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)")
        .expect("a constant pattern")
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

/// A name that a Python file has from elsewhere: the module, the name there, and the name here.
fn python_names(text: &str) -> Vec<(String, String, String)> {
    let renamed = |part: &str| -> Option<(String, String)> {
        let mut words = part.split_whitespace();
        let name = words.next()?.to_owned();
        let local = if words.next() == Some("as") { words.next()?.to_owned() } else { name.clone() };
        Some((name, local))
    };
    let from = FROM.captures_iter(text).flat_map(|found| {
        let module = found[1].to_owned();
        let list = found[2].trim_matches(['(', ')']).to_owned();
        let parts: Vec<(String, String)> = list.split(',').filter_map(renamed).collect();
        parts.into_iter().map(move |(name, local)| (module.clone(), name, local))
    });
    let whole = IMPORT.captures_iter(text).flat_map(|found| {
        let parts: Vec<(String, String)> = found[1].split(',').filter_map(renamed).collect();
        parts.into_iter().map(|(name, local)| {
            let local =
                if local == name { name.split('.').next().unwrap_or(&name).to_owned() } else { local };
            (name, String::new(), local)
        })
    });
    from.chain(whole).collect()
}

/// Returns the modules that a name of a Python file may come from.
pub(crate) fn python_sources(text: &str, local: &str) -> Vec<String> {
    python_names(text)
        .into_iter()
        .filter(|(_, _, name)| name == local)
        .flat_map(|(module, name, _)| modules(&module, &name))
        .collect()
}

/// Returns every module, and every file by its path, that a Python file takes something from.
pub(crate) fn python_words(text: &str) -> Vec<String> {
    let modules = python_names(text).into_iter().flat_map(|(module, name, _)| modules(&module, &name));
    modules.chain(BY_PATH.captures_iter(text).map(|found| found[1].to_owned())).collect()
}

/// A module, and what it has, which may be one too.
fn modules(module: &str, name: &str) -> Vec<String> {
    let inner = if module.ends_with('.') { format!("{module}{name}") } else { format!("{module}.{name}") };
    let plain = !module.chars().all(|letter| letter == '.');
    [plain.then(|| module.to_owned()), (!name.is_empty()).then_some(inner)].into_iter().flatten().collect()
}

/// Whether no file of the tree but one takes something from a target, nor did one before the patch.
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
        !words.iter().any(|word| crate::named::names(&folder, word, target))
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
        let from = |name: &str| python_sources(text, name).join(" ");
        assert_eq!(from("b"), "tools.a");
        assert_eq!(from("os"), "os.path");
        assert_eq!(from("e"), "tools tools.d");
        assert_eq!(from("f"), ".near .near.f");
        assert_eq!(from("d"), "");
        assert_eq!(python_words("exec(open('a/b.py').read())\nfrom . import g"), [".g", "a/b.py"]);
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
}
