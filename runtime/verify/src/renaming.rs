//! Which identifiers a patch renames for good: the only change that may reach into an existing test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use gloaming_api::RelPath;
use gloaming_api::evidence::FileRole;
use gloaming_syntax::{Language, TokenKind, identifier_set, renamed_identifiers, tokens, units};
use regex::Regex;

use crate::change::{Change, FileDiff};
use crate::runners::TreeView;

/// Old name to new name.
pub(crate) type Renames = BTreeMap<String, String>;

static WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{L}_][\p{L}\p{N}_]*").expect("a constant pattern"));

/// The largest file that is searched for a name, bytes.
const SEARCHED: usize = 4 << 20;

/// Returns the identifiers that the code part of the patch renames: declared there under the old name before
/// and under the new one after, gone from all code, and to names nothing had before. So no test can be
/// pointed at something weaker that exists already.
pub(crate) fn renames(change: &Change, tree: &TreeView<'_>) -> Renames {
    let mut renames = Renames::new();
    let mut conflicting: BTreeSet<String> = BTreeSet::new();
    let mut declared_before: BTreeSet<String> = BTreeSet::new();
    let mut declared_after: BTreeSet<String> = BTreeSet::new();
    for diff in change.files.iter().filter(|diff| diff.file.role == FileRole::Code) {
        let Some(language) = Language::of(diff.file.path.as_str()) else { continue };
        if let Some(before) = &diff.before {
            declared_before.extend(declared(language, before));
        }
        if let Some(after) = &diff.after {
            declared_after.extend(declared(language, after));
        }
        let (Some(before), Some(after)) = (&diff.before, &diff.after) else { continue };
        for (old, new) in renamed_identifiers(language, before, after) {
            if renames.get(&old).is_some_and(|other| *other != new) {
                conflicting.insert(old.clone());
            }
            renames.insert(old, new);
        }
    }
    let mut targets: BTreeMap<String, u32> = BTreeMap::new();
    for new in renames.values() {
        *targets.entry(new.clone()).or_default() += 1;
    }
    renames.retain(|old, new| {
        !conflicting.contains(old)
            && targets[new] == 1
            && declared_before.contains(old)
            && declared_after.contains(new)
    });
    for diff in &change.files {
        keep_complete(&mut renames, diff);
    }
    let changed: BTreeSet<&RelPath> = change.files.iter().map(|diff| &diff.file.path).collect();
    for path in tree.files.iter().filter(|path| !changed.contains(path)) {
        if renames.is_empty() {
            break;
        }
        let Some(language) = Language::of(path.as_str()) else { continue };
        let Some(content) = crate::host::read_tree_file(tree.dir, path) else { continue };
        let text = String::from_utf8_lossy(&content);
        // Parsing every file of a large repository costs seconds, looking for the words does not.
        if content.len() > SEARCHED
            || !renames.iter().any(|(old, new)| text.contains(old) || text.contains(new))
        {
            continue;
        }
        let names = identifier_set(language, &content);
        let is_code = gloaming_workspace::role(path) == FileRole::Code;
        renames.retain(|old, new| !(names.contains(new) || is_code && names.contains(old)));
    }
    // A code file that moved takes its module's name along.
    for (old, new) in change.moves() {
        if gloaming_workspace::role(&old) == FileRole::Code
            && let (Some(old), Some(new)) = (module_name(&old), module_name(&new))
            && old != new
        {
            renames.entry(old).or_insert(new);
        }
    }
    renames
}

/// Drops renamings to names a changed file had before, and of names its code still has.
fn keep_complete(renames: &mut Renames, diff: &FileDiff) {
    let Some(language) = Language::of(diff.file.path.as_str()) else { return };
    if let Some(before) = &diff.before {
        let names = identifier_set(language, before);
        renames.retain(|_, new| !names.contains(new));
    }
    if diff.file.role == FileRole::Code
        && let Some(after) = &diff.after
    {
        let names = identifier_set(language, after);
        renames.retain(|old, _| !names.contains(old));
    }
}

/// Words in front of a name that is being declared.
const INTRODUCE: &[&str] = &[
    "fn",
    "struct",
    "enum",
    "union",
    "trait",
    "type",
    "mod",
    "const",
    "static",
    "let",
    "mut",
    "macro_rules",
    "def",
    "class",
    "function",
    "var",
    "interface",
    "namespace",
    "func",
    "package",
];
/// Words whose next braces or parentheses hold declarations: fields, variants, parameters.
const HOLDERS: &[&str] = &["struct", "enum", "union", "interface", "fn", "def", "function", "func", "lambda"];

/// Returns the names a file declares: functions, types, variables, fields, variants and parameters.
/// Generous rather than exact; a name that is only called is not among them.
fn declared(language: Language, source: &[u8]) -> BTreeSet<String> {
    let mut out: BTreeSet<String> = units(language, source)
        .iter()
        .filter_map(|unit| WORD.find_iter(&unit.name).last().map(|found| found.as_str().to_owned()))
        .collect();
    let tokens: Vec<_> =
        tokens(language, source).into_iter().filter(|token| token.kind != TokenKind::Comment).collect();
    // How many brackets deep the last holder's own are, once they opened.
    let mut depth = 0_u32;
    let mut waiting = false;
    let mut held: Option<u32> = None;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "{" | "[" => {
                depth += 1;
                if waiting && token.text != "[" {
                    held = Some(depth);
                    waiting = false;
                }
            }
            ")" | "}" | "]" => {
                if held == Some(depth) {
                    held = None;
                }
                depth = depth.saturating_sub(1);
            }
            ";" => waiting = false,
            word if HOLDERS.contains(&word) => waiting = true,
            _ => {}
        }
        if token.kind != TokenKind::Identifier {
            continue;
        }
        let before = at.checked_sub(1).map_or("", |at| tokens[at].text.as_str());
        let after = tokens.get(at + 1).map_or("", |token| token.text.as_str());
        if held.is_some() || INTRODUCE.contains(&before) || matches!(after, "=" | ":=") {
            out.insert(token.text.clone());
        }
    }
    out
}

fn module_name(path: &RelPath) -> Option<String> {
    Language::of(path.as_str())?;
    let (stem, _) = path.name()?.split_once('.')?;
    (WORD.find(stem)?.as_str() == stem).then(|| stem.to_owned())
}

/// Replaces whole words by their new names.
pub(crate) fn rename_words(text: &str, renames: &Renames) -> String {
    WORD.replace_all(text, |found: &regex::Captures<'_>| {
        renames.get(&found[0]).cloned().unwrap_or_else(|| found[0].to_owned())
    })
    .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::diff;

    /// Renames of a patch, given its files and what else lies in the tree.
    fn check(files: &[(&str, &str, &str)], others: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (path, content) in others {
            let path = RelPath::parse(path).unwrap();
            crate::host::write_in_tree(dir.path(), &path, content.as_bytes()).unwrap();
            paths.push(path);
        }
        paths.sort();
        let change = Change {
            files: files.iter().map(|(path, before, after)| diff(path, Some(before), Some(after))).collect(),
            base: BTreeMap::new(),
            patched: BTreeMap::new(),
        };
        renames(&change, &TreeView { dir: dir.path(), files: &paths })
            .into_iter()
            .map(|(old, new)| format!("{old} → {new}"))
            .collect()
    }

    #[test]
    fn a_declaration_that_is_renamed_everywhere_counts() {
        assert_eq!(
            check(
                &[(
                    "src/lib.rs",
                    "pub fn add(a: i64) -> i64 { a }\n",
                    "pub fn sum_of(a: i64) -> i64 { a }\n"
                )],
                &[("src/other.rs", "fn unrelated() {}\n")]
            ),
            ["add → sum_of"]
        );
        assert_eq!(
            check(
                &[
                    (
                        "calc/core.py",
                        "def add(a, b):\n    return a + b\n",
                        "def sum_of(a, b):\n    return a + b\n"
                    ),
                    ("calc/__init__.py", "from calc.core import add\n", "from calc.core import sum_of\n")
                ],
                &[]
            ),
            ["add → sum_of"]
        );
        assert_eq!(
            check(&[("a.rs", "struct A { width: u8 }\n", "struct A { breadth: u8 }\n")], &[]),
            ["width → breadth"]
        );
    }

    #[test]
    fn calling_something_else_is_no_renaming() {
        // `lenient` is fresh and `strict` is gone, but neither is declared here.
        let call = ("src/a.py", "def f(x):\n    return strict(x)\n", "def f(x):\n    return lenient(x)\n");
        assert_eq!(check(&[call], &[]), [""; 0]);
    }

    #[test]
    fn a_name_that_stays_somewhere_or_was_there_is_no_renaming() {
        let file = ("src/lib.rs", "pub fn check() {}\n", "pub fn probe() {}\n");
        assert_eq!(check(&[file], &[("src/other.rs", "fn other() { check() }\n")]), [""; 0]);
        assert_eq!(check(&[file], &[("src/other.rs", "fn probe() {}\n")]), [""; 0]);
        assert_eq!(check(&[file], &[("tests/t.rs", "fn t() { probe() }\n")]), [""; 0]);
        // In tests and in comments the old name may stay: there it is judged by other rules.
        assert_eq!(check(&[file], &[("tests/t.rs", "fn t() { check() }\n")]), ["check → probe"]);
        assert_eq!(check(&[file], &[("src/other.rs", "// check\nfn other() {}\n")]), ["check → probe"]);
    }

    #[test]
    fn two_names_cannot_become_one() {
        assert_eq!(
            check(
                &[(
                    "a.py",
                    "def a1():\n    pass\n\n\ndef a2():\n    pass\n",
                    "def b():\n    pass\n\n\ndef b():\n    pass\n"
                )],
                &[]
            ),
            [""; 0]
        );
    }

    #[test]
    fn words_are_renamed_whole() {
        let renames = Renames::from([("foo".to_owned(), "bar".to_owned())]);
        assert_eq!(
            rename_words("foo foo_x xfoo foo.foo \"foo\"", &renames),
            "bar foo_x xfoo bar.bar \"bar\""
        );
    }
}
