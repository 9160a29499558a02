//! Examples in documentation that are run as tests: comments, which no comparison of code sees.

use std::collections::BTreeMap;

use gloaming_api::RelPath;
use gloaming_api::evidence::{FileChange, FileRole};

use crate::change::{Change, FileDiff};
use crate::renaming::{Renames, follows, rename_words};
use crate::runners::TreeView;

/// The largest file that is looked through for who runs examples, bytes.
const LARGEST: usize = 1 << 20;

/// Returns the examples that a patch takes out of documents and docstrings that the tree's tests run, or changes beyond a
/// renaming, each with its file.
pub(crate) fn gone(change: &Change, renames: &Renames, tree: &TreeView<'_>) -> Vec<(RelPath, String)> {
    let candidate = |diff: &&FileDiff| {
        diff.file.change != FileChange::Added && !diff.same_content() && extension(&diff.file.path).is_some()
    };
    let candidates: Vec<&FileDiff> = change.files.iter().filter(candidate).collect();
    if candidates.is_empty() {
        return Vec::new();
    }
    let (doctests, included) = (runs_doctests(tree), documents_of_rust(tree));
    let mut out = Vec::new();
    for diff in candidates {
        let (before, after) = (diff.text_before(), diff.text_after());
        let name = diff.file.path.name().unwrap_or_default();
        let mut found = Vec::new();
        if doctests {
            found.extend(missing(sessions(&before), sessions(&after), renames));
        }
        if extension(&diff.file.path) == Some("md") && included.iter().any(|path| path.ends_with(name)) {
            found.extend(missing(fenced(before.lines()), fenced(after.lines()), renames));
        }
        let told = |line: String| {
            let path = gloaming_api::path::escape_name(diff.file.path.as_str().as_bytes());
            (
                diff.file.path.clone(),
                format!("{path}: an example in documentation is gone or changed: `{line}`"),
            )
        };
        out.extend(found.into_iter().map(told));
    }
    out
}

/// The end of a file's name, where its documentation may hold examples that are run and that code is not compared by.
fn extension(path: &RelPath) -> Option<&str> {
    let (_, end) = path.name()?.rsplit_once('.')?;
    ["py", "pyi", "md", "rst", "txt"].contains(&end).then_some(end)
}

/// Whether a configuration has Python's examples run.
fn runs_doctests(tree: &TreeView<'_>) -> bool {
    let configures = |path: &&RelPath| gloaming_workspace::role(path) == FileRole::RunnerConfig;
    tree.files
        .iter()
        .filter(configures)
        .any(|path| tree.read(path).is_some_and(|text| text.len() <= LARGEST && text.contains("doctest")))
}

/// What files of Rust include as their documentation, as they name it.
fn documents_of_rust(tree: &TreeView<'_>) -> Vec<String> {
    let rust = tree.files.iter().filter(|path| path.as_str().ends_with(".rs"));
    let texts = rust.filter_map(|path| tree.read(path)).filter(|text| text.len() <= LARGEST);
    let mut out = Vec::new();
    for text in texts.filter(|text| text.contains("include_str!")) {
        let documents = text.split("include_str!").skip(1).filter_map(|rest| rest.split('"').nth(1));
        out.extend(documents.filter(|name| name.ends_with(".md")).map(str::to_owned));
    }
    out
}

/// Sessions at Python's prompt: the lines from `>>>` to the next that is empty.
fn sessions(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines().map(str::trim) {
        let ends = line.is_empty() || line.starts_with("\"\"\"") || line.starts_with("'''");
        if line.starts_with(">>>") {
            // What stands before the line is what the one above it prints.
            out.push(format!("{line}\n{line}\n"));
            open = true;
        } else if ends {
            open = false;
        } else if open && let Some(session) = out.last_mut() {
            session.push_str(line);
            session.push('\n');
        }
    }
    out
}

/// Words behind a fence by which rustdoc takes a block for something else than an example to run.
const NOT_RUN: &[&str] = &["text", "ignore", "console", "sh", "bash", "toml", "json", "txt", "plain", "none"];

/// Returns the examples of the base's documentation that are not there any more, word for word but for
/// renamings; each by its first line.
pub(crate) fn changed(before: &str, after: &str, renames: &Renames) -> Vec<String> {
    missing(examples(before), examples(after), renames)
}

fn missing(before: Vec<String>, after: Vec<String>, renames: &Renames) -> Vec<String> {
    let mut left: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for example in after {
        left.entry(rename_words(&example, renames)).or_default().push(example);
    }
    let mut gone = Vec::new();
    for example in before {
        let same = left.get_mut(&rename_words(&example, renames)).and_then(|list| {
            let at = list.iter().position(|after| follows(&example, after, renames))?;
            Some(list.swap_remove(at))
        });
        if same.is_none() {
            let line = example.lines().nth(1).unwrap_or_default().trim().to_owned();
            gone.push(line);
        }
    }
    gone
}

/// The examples in a Rust source's documentation comments that rustdoc compiles, with what stands behind the
/// fence as the first line.
fn examples(source: &str) -> Vec<String> {
    // In a comment of several lines a star may stand before each.
    let mut inside = false;
    let documented = source.lines().map(|line| {
        let line = line.trim_start();
        if inside {
            inside = !line.contains("*/");
            let line = line.split("*/").next().unwrap_or_default();
            return Some(line.strip_prefix('*').unwrap_or(line));
        }
        if let Some(doc) = line.strip_prefix("/**").or_else(|| line.strip_prefix("/*!")) {
            inside = !doc.contains("*/");
            return Some(doc.split("*/").next().unwrap_or_default());
        }
        line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))
    });
    blocks(documented)
}

/// The examples in a document.
fn fenced<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<String> {
    blocks(lines.map(Some))
}

/// The blocks between fences; none stands for a line of something else.
fn blocks<'t>(lines: impl Iterator<Item = Option<&'t str>>) -> Vec<String> {
    let mut out = Vec::new();
    let mut block: Option<String> = None;
    for line in lines {
        let Some(doc) = line else {
            block = None;
            continue;
        };
        let text = doc.trim();
        let fence = text.starts_with("```") || text.starts_with("~~~");
        match (&mut block, fence) {
            (None, true) => block = Some(text.trim_start_matches(['`', '~']).trim().to_owned() + "\n"),
            (Some(open), true) => {
                let head = open.lines().next().unwrap_or_default();
                let words = || head.split([',', ' ', '{', '}']).filter(|word| !word.is_empty());
                // `rust`, `no_run`, `should_panic` and editions are examples; any other word is a language.
                let runs = !words().any(|word| NOT_RUN.contains(&word.split('-').next().unwrap_or(word)));
                if runs {
                    out.push(std::mem::take(open));
                }
                block = None;
            }
            (Some(open), false) => {
                open.push_str(text);
                open.push('\n');
            }
            (None, false) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use gloaming_syntax::Rename;

    use super::*;

    #[test]
    fn examples_of_documents_and_docstrings_that_are_run_stay() {
        let dir = tempfile::tempdir().unwrap();
        let check = |files: &[(&str, &str)], path: &str, before: &str, after: &str| {
            let mut paths = Vec::new();
            for (path, text) in files {
                let path = RelPath::parse(path).unwrap();
                crate::host::write_in_tree(dir.path(), &path, text.as_bytes()).unwrap();
                paths.push(path);
            }
            let files = vec![crate::change::diff(path, Some(before), Some(after))];
            let change = Change { files, base: BTreeMap::new(), patched: BTreeMap::new() };
            let renames = Renames::from([("double".to_owned(), Rename::seen("twice"))]);
            gone(&change, &renames, &TreeView { dir: dir.path(), files: &paths }).len()
        };
        let configured: &[(&str, &str)] = &[("pytest.ini", "[pytest]\naddopts = --doctest-modules\n")];
        let doc = |line: &str| {
            format!("def double(n):\n    \"\"\"Double.\n\n    >>> double(2)\n    {line}\n    \"\"\"\n")
        };
        assert_eq!(check(configured, "calc.py", &doc("4"), &doc("5")), 1);
        assert_eq!(check(&[("pytest.ini", "[pytest]\n")], "calc.py", &doc("4"), &doc("5")), 0);
        assert_eq!(check(configured, "calc.py", &doc("4"), &doc("4").replace("double", "twice")), 0);
        assert_eq!(check(configured, "calc.py", &doc("4"), &format!("{}# more\n", doc("4"))), 0);
        assert_eq!(check(configured, "docs/use.rst", ">>> 1\n1\n", "\n"), 1);
        let readme = |line: &str| format!("# Calc\n\n```\n{line}\n```\n\n```text\n{line}\n```\n");
        let included: &[(&str, &str)] = &[("src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n")];
        assert_eq!(check(included, "README.md", &readme("assert!(a);"), &readme("assert!(b);")), 1);
        assert_eq!(
            check(&[("src/lib.rs", "\n")], "README.md", &readme("assert!(a);"), &readme("assert!(b);")),
            0
        );
    }

    #[test]
    fn a_comment_of_several_lines_holds_examples_too() {
        let doc = |line: &str| format!("/**\n * Doubles.\n *\n * ```\n * {line}\n * ```\n */\nfn f() {{}}\n");
        let none = Renames::new();
        assert_eq!(changed(&doc("assert!(a);"), &doc("assert!(b);"), &none), ["assert!(a);"]);
        assert_eq!(changed(&doc("assert!(a);"), &doc("assert!(a);"), &none), [""; 0]);
    }

    #[test]
    fn an_example_stays_what_it_was() {
        let doc = |head: &str, line: &str| {
            format!("/// Doubles.\n///\n/// ```{head}\n/// {line}\n/// ```\nfn f() {{}}\n")
        };
        let check = |before: &str, after: &str, renames: &[(&str, &str)]| {
            let renames = renames.iter().map(|(a, b)| ((*a).to_owned(), Rename::seen(b))).collect();
            changed(before, after, &renames).join("; ")
        };
        let base = doc("", "assert_eq!(double(2), 4);");
        assert_eq!(check(&base, &doc("", "assert_eq!(double(2), 3);"), &[]), "assert_eq!(double(2), 4);");
        for head in ["text", "no_run", "ignore", "should_panic"] {
            assert_eq!(
                check(&base, &doc(head, "assert_eq!(double(2), 4);"), &[]),
                "assert_eq!(double(2), 4);"
            );
        }
        assert_eq!(check(&base, "fn f() {}\n", &[]), "assert_eq!(double(2), 4);");
        assert_eq!(check(&base, &doc("", "assert_eq!(twice(2), 4);"), &[("double", "twice")]), "");
        assert_eq!(check(&base, &format!("{base}{}", doc("", "assert!(true);")), &[]), "");
        assert_eq!(check(&doc("text", "= 4"), &doc("text", "= 5"), &[]), "");
        assert_eq!(check(&base, &base.replace("Doubles.", "Doubles a number."), &[]), "");
    }
}
