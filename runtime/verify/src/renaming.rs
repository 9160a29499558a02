//! Which identifiers a patch renames for good: the only change that may reach into an existing test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use gloaming_api::RelPath;
use gloaming_api::evidence::FileRole;
use gloaming_syntax::{
    Language, Occurrence, OccurrenceKind, TokenKind, identifier_set, identifiers, renamed_identifiers,
    tokens, units,
};
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
    // A code file that moved takes its module's name along.
    let mut modules = Renames::new();
    for (old, new) in change.moves() {
        if gloaming_workspace::role(&old) == FileRole::Code
            && let (Some(old), Some(new)) = (module_name(&old), module_name(&new))
            && old != new
            && !modules.values().any(|other| *other == new)
        {
            modules.entry(old).or_insert(new);
        }
    }
    renames.retain(|old, new| !leads_elsewhere(old, new));
    modules.retain(|old, new| !leads_elsewhere(old, new));
    for diff in &change.files {
        keep_complete(&mut renames, diff);
        keep_fresh(&mut modules, diff);
    }
    let changed: BTreeSet<&RelPath> = change.files.iter().map(|diff| &diff.file.path).collect();
    for path in tree.files.iter().filter(|path| !changed.contains(path)) {
        if renames.is_empty() && modules.is_empty() {
            break;
        }
        let Some(language) = Language::of(path.as_str()) else { continue };
        let Some(content) = crate::host::read_tree_file(tree.dir, path) else { continue };
        let text = String::from_utf8_lossy(&content);
        // Parsing every file of a large repository costs seconds, looking for the words does not.
        if content.len() > SEARCHED
            || !renames.iter().chain(&modules).any(|(old, new)| text.contains(old) || text.contains(new))
        {
            continue;
        }
        let names = identifier_set(language, &content);
        let is_code = gloaming_workspace::role(path) == FileRole::Code;
        renames.retain(|old, new| !(names.contains(new) || is_code && names.contains(old)));
        // Code may have a name of its own for a module.
        modules.retain(|_, new| !names.contains(new));
    }
    for (old, new) in modules {
        renames.entry(old).or_insert(new);
    }
    renames
}

/// Words by which tests check: the name of none of them may come or go in a test, whatever the code declares.
static CHECKS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?xi)^(?:
            (?:debug_)?assert\w* | expect\w* | should\w* | refute\w* | require
            | errorf | fatalf? | fail | fail_?if\w* | failnow
            | equals? | strict_?equal | deep_?equal | deep_?strict_?equal | not_?equal\w* | not_?strict\w* | not_?deep\w*
            | ok | not_?ok | is_?true | is_?false | match(?:es)? | raises\w* | throws | does_?not_?\w* | rejects | resolves
            | to(?:_?(?:be|equal|strict|match|contain|have|throw|return|satisfy|include)\w*)
            | unwrap\w* | panic | warns
        )$",
    )
    .expect("a constant pattern")
});

/// Words of frameworks, of the languages' libraries and of what is built into them, in pairs of which one is weaker than the
/// other: that both the old and the new name are such words is no accident.
const KNOWN: &[&str] = &[
    // frameworks
    "error",
    "log",
    "logf",
    "skip",
    "skipf",
    "skipnow",
    "run",
    "parallel",
    "cleanup",
    "helper",
    "setenv",
    "todo",
    "only",
    "test",
    "it",
    "describe",
    "before",
    "after",
    "each",
    "xit",
    "xtest",
    "it_fails",
    "mark",
    "xfail",
    "skipif",
    "parametrize",
    "fixture",
    "called",
    "called_once",
    "subtest",
    "sub_test",
    // what is asked of values
    "all",
    "any",
    "every",
    "some",
    "none",
    "min",
    "max",
    "sum",
    "len",
    "length",
    "size",
    "count",
    "bool",
    "boolean",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "is",
    "contains",
    "includes",
    "has",
    "index",
    "indexof",
    "find",
    "filter",
    "search",
    "startswith",
    "starts_with",
    "hasprefix",
    "endswith",
    "ends_with",
    "hassuffix",
    "equalfold",
    "compare",
    "cmp",
    "sorted",
    "set",
    "list",
    "tuple",
    "dict",
    "str",
    "repr",
    "int",
    "float",
    "abs",
    "round",
    "isinstance",
    "issubclass",
    "hasattr",
    "getattr",
    "callable",
    "is_some",
    "is_none",
    "is_ok",
    "is_err",
    "is_empty",
    "is_some_and",
    "is_ok_and",
    "is_none_or",
    "iter",
    "isnan",
    "isfinite",
    "isclose",
    "isdigit",
    "isalpha",
    "isalnum",
    "keys",
    "values",
    "items",
    "entries",
    "print",
    "println",
    "eprintln",
    "format",
];

/// Whether a renaming would let a test check by something else than before, or with something weaker.
fn leads_elsewhere(old: &str, new: &str) -> bool {
    let known = |name: &str| KNOWN.contains(&name.to_ascii_lowercase().as_str());
    CHECKS.is_match(old) || CHECKS.is_match(new) || (known(old) && known(new))
}

/// Drops renamings to names that a changed file had before.
fn keep_fresh(renames: &mut Renames, diff: &FileDiff) {
    let (Some(language), Some(before)) = (Language::of(diff.file.path.as_str()), &diff.before) else {
        return;
    };
    let names = identifier_set(language, before);
    renames.retain(|_, new| !names.contains(new));
}

/// Drops renamings to names a changed file had before, and of names its code still has.
fn keep_complete(renames: &mut Renames, diff: &FileDiff) {
    keep_fresh(renames, diff);
    let Some(language) = Language::of(diff.file.path.as_str()) else { return };
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

/// Replaces what is a name in code by its new one; strings and comments stay.
pub(crate) fn rename_identifiers(language: Language, source: &[u8], renames: &Renames) -> String {
    let mut places: Vec<(Occurrence, &str)> = renames
        .iter()
        .flat_map(|(old, new)| {
            identifiers(language, source, old).into_iter().map(move |place| (place, new.as_str()))
        })
        .filter(|(place, _)| place.kind == OccurrenceKind::Code)
        .collect();
    places.sort_by_key(|(place, _)| place.start);
    let (mut out, mut at) = (Vec::with_capacity(source.len()), 0);
    for (place, new) in places {
        out.extend_from_slice(source.get(at..place.start).unwrap_or_default());
        out.extend_from_slice(new.as_bytes());
        at = place.end;
    }
    out.extend_from_slice(source.get(at..).unwrap_or_default());
    String::from_utf8_lossy(&out).into_owned()
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
    fn what_tests_check_by_is_not_renamed() {
        let declares = |old: &str, new: &str| {
            let file = |name: &str| format!("class A:\n    def {name}(self):\n        pass\n");
            check(&[("src/a.py", &file(old), &file(new))], &[])
        };
        for (old, new) in [
            ("errorf", "logf"),
            ("Fatalf", "Note"),
            ("equal", "ok"),
            ("assertEqual", "check"),
            ("value", "toBeDefined"),
            ("all", "any"),
            ("startswith", "count"),
            ("unwrap", "take"),
        ] {
            assert_eq!(declares(old, new), [""; 0], "{old} → {new}");
        }
        for (old, new) in [("add", "sum_of"), ("total", "count"), ("log", "note"), ("matcher", "finder")] {
            assert_eq!(declares(old, new), [format!("{old} → {new}")]);
        }
    }

    #[test]
    fn a_module_that_moves_takes_its_name_along_unless_it_leads_elsewhere() {
        let moved = |old: &str, new: &str, others: &[(&str, &str)]| {
            let entry = |path: &str| {
                let path = RelPath::parse(path).unwrap();
                let entry = gloaming_workspace::TreeEntry {
                    path: Some(path.clone()),
                    raw: path.as_str().as_bytes().to_vec(),
                    kind: gloaming_workspace::EntryKind::File,
                    oid: "1".repeat(40),
                    size: 2,
                };
                BTreeMap::from([(path, entry)])
            };
            let dir = tempfile::tempdir().unwrap();
            let mut paths = Vec::new();
            for (path, content) in others {
                let path = RelPath::parse(path).unwrap();
                crate::host::write_in_tree(dir.path(), &path, content.as_bytes()).unwrap();
                paths.push(path);
            }
            let change = Change {
                files: vec![diff(old, Some("x\n"), None), diff(new, None, Some("x\n"))],
                base: entry(old),
                patched: entry(new),
            };
            renames(&change, &TreeView { dir: dir.path(), files: &paths })
                .into_iter()
                .map(|(old, new)| format!("{old} → {new}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(moved("src/core.js", "src/sums.js", &[]), ["core → sums"]);
        assert_eq!(moved("src/equal.js", "src/ok.js", &[]), [""; 0]);
        assert_eq!(moved("src/core.js", "src/sums.js", &[("src/a.js", "let sums = 1;\n")]), [""; 0]);
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
