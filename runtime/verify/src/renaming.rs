//! Which identifiers a patch renames for good: the only change that may reach into an existing test.
//!
//! This decides what a name became in the code. At which places of a test it follows is decided there, place by place
//! ([`gloaming_syntax::test_changes`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use gloaming_api::RelPath;
use gloaming_api::evidence::FileRole;
use gloaming_syntax::{
    Declared, DeclaredKind, Language, MAX_SOURCE, Rename, covered_by, declared, declares_the_same,
    identifier_set, leads_elsewhere, renamed_identifiers, units,
};
use regex::Regex;

use crate::change::{Change, FileDiff};
use crate::runners::TreeView;

pub(crate) use gloaming_syntax::Renames;

static WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{L}_][\p{L}\p{N}_]*").expect("a constant pattern"));

/// Returns the identifiers that the code part of the patch renames: declared there under the old name before
/// and under the new one after, as the same and nowhere else, gone from all code, and to names nothing had before. So no
/// test can be pointed at something weaker that exists already or comes along.
pub(crate) fn renames(change: &Change, tree: &TreeView<'_>) -> Renames {
    let mut names = names(change);
    names.retain(|old, new| !leads_elsewhere(old, new));
    let mut modules = modules(change);
    modules.retain(|old, new| !leads_elsewhere(old, new));
    for diff in &change.files {
        keep_complete(&mut names, diff);
        keep_fresh(&mut modules, diff);
    }
    let mut kept = BTreeSet::new();
    keep_unknown_elsewhere(&mut names, &mut modules, &mut kept, change, tree);
    let code = declarations(change, |path| gloaming_workspace::role(path) == FileRole::Code);
    let tests = declarations(change, is_of_tests);
    names.retain(|old, new| !in_part(&tests, &kept, old, new));
    modules.retain(|old, new| !in_part(&tests, &kept, old, new));
    let every: BTreeMap<String, String> =
        names.iter().chain(&modules).map(|(o, n)| (o.clone(), n.clone())).collect();
    let same = |old: &str, new: &str| {
        [&code, &tests].iter().all(|(before, after)| {
            declares_the_same(before, after, old, new, |owner| {
                replace_words(owner, |word| every.get(word).cloned())
            })
        })
    };
    let mut out = Renames::new();
    for (old, new) in &names {
        let declared = || code.0.iter().filter(|one| one.name == *old);
        if declared().any(|one| one.kind != DeclaredKind::Text)
            && code.1.iter().any(|one| one.name == *new && one.kind != DeclaredKind::Text)
            && same(old, new)
        {
            let rename = Rename {
                to: new.clone(),
                seen: declared().any(Declared::is_seen),
                keyword: declared().any(|one| one.kind == DeclaredKind::Parameter),
                module: false,
            };
            out.insert(old.clone(), rename);
        }
    }
    for (old, new) in &modules {
        if same(old, new) {
            let named = Rename { to: new.clone(), seen: false, keyword: false, module: true };
            out.entry(old.clone()).or_insert(named);
        }
    }
    out
}

/// Old name to new name.
type Names = BTreeMap<String, String>;

/// What changed files of code rename, each by its own.
fn names(change: &Change) -> Names {
    let mut names = Names::new();
    let mut conflicting: BTreeSet<String> = BTreeSet::new();
    for diff in change.files.iter().filter(|diff| diff.file.role == FileRole::Code) {
        let Some(language) = Language::of(diff.file.path.as_str()) else { continue };
        let (Some(before), Some(after)) = (&diff.before, &diff.after) else { continue };
        for (old, new) in renamed_identifiers(language, before, after) {
            if names.get(&old).is_some_and(|other| *other != new) {
                conflicting.insert(old.clone());
            }
            names.insert(old, new);
        }
    }
    let mut targets: BTreeMap<String, u32> = BTreeMap::new();
    for new in names.values() {
        *targets.entry(new.clone()).or_default() += 1;
    }
    names.retain(|old, new| !conflicting.contains(old) && targets[new] == 1);
    names
}

/// A code file that moved takes its module's name along. Files of Go have no names in code.
fn modules(change: &Change) -> Names {
    let mut modules = Names::new();
    for (old, new) in change.moves() {
        if gloaming_workspace::role(&old) == FileRole::Code
            && let (Some(old), Some(new)) = (module_name(&old), module_name(&new))
            && old != new
            && !modules.values().any(|other| *other == new)
        {
            modules.entry(old).or_insert(new);
        }
    }
    modules
}

/// Whether a file serves tests: what it declares is found by its name, be it in another file.
fn is_of_tests(path: &RelPath) -> bool {
    gloaming_workspace::role(path) == FileRole::Test || path.name() == Some("conftest.py")
}

/// Whether of several things that tests declare by an old name only some have the new one: a fixture or a method that is
/// renamed leaves its place to another one of the name.
fn in_part(
    (before, after): &(Vec<Declared>, Vec<Declared>),
    kept: &BTreeSet<String>,
    old: &str,
    new: &str,
) -> bool {
    let has = |list: &[Declared], name: &str| list.iter().any(|one| one.name == name);
    has(before, old) && has(after, new) && (has(after, old) || kept.contains(old))
}

/// Drops names of which a file that the patch does not change knows the new one, or as code still the old one. `kept` gets
/// those that such a file of tests declares.
fn keep_unknown_elsewhere(
    names: &mut Names,
    modules: &mut Names,
    kept: &mut BTreeSet<String>,
    change: &Change,
    tree: &TreeView<'_>,
) {
    let changed: BTreeSet<&RelPath> = change.files.iter().map(|diff| &diff.file.path).collect();
    for path in tree.files.iter().filter(|path| !changed.contains(path)) {
        if names.is_empty() && modules.is_empty() {
            break;
        }
        let Some(language) = Language::of(path.as_str()) else { continue };
        // What cannot be looked into may hold any name.
        let Some(content) = crate::host::read_tree_file(tree.dir, path) else {
            names.clear();
            modules.clear();
            break;
        };
        let text = String::from_utf8_lossy(&content);
        // Parsing every file of a large repository costs seconds, looking for the words does not.
        if !names.iter().chain(&*modules).any(|(old, new)| text.contains(old) || text.contains(new)) {
            continue;
        }
        let words = words_of(language, &content);
        let is_code = gloaming_workspace::role(path) == FileRole::Code;
        names.retain(|old, new| !(words.contains(new) || is_code && words.contains(old)));
        // Code may have a name of its own for a module.
        modules.retain(|_, new| !words.contains(new));
        let known = |name: &String| names.contains_key(name) || modules.contains_key(name);
        if is_of_tests(path) && words.iter().any(known) {
            // One that is too large to be parsed may declare what it says.
            let all = content.len() > MAX_SOURCE;
            let declared =
                declared(language, &content).into_iter().filter(Declared::is_seen).map(|one| one.name);
            kept.extend(declared.chain(words.into_iter().filter(|_| all)).filter(known));
        }
    }
}

/// The identifiers of a file; all of its words, where it is too large to be parsed.
fn words_of(language: Language, content: &[u8]) -> BTreeSet<String> {
    if content.len() <= MAX_SOURCE {
        return identifier_set(language, content);
    }
    WORD.find_iter(&String::from_utf8_lossy(content)).map(|word| word.as_str().to_owned()).collect()
}

/// Drops renamings to names that a changed file had before.
fn keep_fresh(renames: &mut Names, diff: &FileDiff) {
    let (Some(language), Some(before)) = (Language::of(diff.file.path.as_str()), &diff.before) else {
        return;
    };
    let names = words_of(language, before);
    renames.retain(|_, new| !names.contains(new));
}

/// Drops renamings to names a changed file had before, and of names its code still has.
fn keep_complete(renames: &mut Names, diff: &FileDiff) {
    keep_fresh(renames, diff);
    let Some(language) = Language::of(diff.file.path.as_str()) else { return };
    if diff.file.role == FileRole::Code
        && let Some(after) = &diff.after
    {
        let names = words_of(language, after);
        renames.retain(|old, _| !names.contains(old));
    }
}

/// What the changed files of a role declare before and after. Tests among code do not count as code, and of files of
/// tests counts only what others see: a local is renamed where it stands.
fn declarations(change: &Change, of: fn(&RelPath) -> bool) -> (Vec<Declared>, Vec<Declared>) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for diff in change.files.iter().filter(|diff| of(&diff.file.path)) {
        let Some(language) = Language::of(diff.file.path.as_str()) else { continue };
        for (content, all) in [(&diff.before, &mut before), (&diff.after, &mut after)] {
            let Some(content) = content.as_deref() else { continue };
            let mut found = declared(language, content);
            if is_of_tests(&diff.file.path) {
                found.retain(Declared::is_seen);
            } else {
                let units = units(language, content);
                let is_test = covered_by(units.iter().filter(|unit| unit.is_test || unit.in_test_module));
                found.retain(|one| !is_test(one.start));
            }
            all.extend(found);
        }
    }
    (before, after)
}

fn module_name(path: &RelPath) -> Option<String> {
    Language::of(path.as_str()).filter(|language| *language != Language::Go)?;
    let (stem, _) = path.name()?.split_once('.')?;
    (WORD.find(stem)?.as_str() == stem).then(|| stem.to_owned())
}

/// Replaces whole words by the new names of what other code can name: in data, in what a test is called, in documentation.
pub(crate) fn rename_words(text: &str, renames: &Renames) -> String {
    let seen = |word: &str| {
        renames.get(word).filter(|rename| rename.seen || rename.module).map(|rename| rename.to.clone())
    };
    replace_words(text, seen)
}

/// Replaces every word that is renamed, be it a local: two texts that may be the same come out the same.
pub(crate) fn every_word_renamed(text: &str, renames: &Renames) -> String {
    replace_words(text, |word| renames.get(word).map(|rename| rename.to.clone()))
}

fn replace_words(text: &str, new: impl Fn(&str) -> Option<String>) -> String {
    WORD.replace_all(text, |found: &regex::Captures<'_>| {
        new(&found[0]).unwrap_or_else(|| found[0].to_owned())
    })
    .into_owned()
}

/// Whether one text is the other with each name renamed everywhere in it or nowhere.
pub(crate) fn follows(before: &str, after: &str, renames: &Renames) -> bool {
    let mut ways: BTreeMap<&str, bool> = BTreeMap::new();
    let same =
        WORD.find_iter(before).map(|word| word.as_str()).zip(WORD.find_iter(after)).all(|(was, is)| {
            let followed = was != is.as_str();
            !renames.contains_key(was) || *ways.entry(was).or_insert(followed) == followed
        });
    same && rename_words(before, renames) == rename_words(after, renames)
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
            .map(|(old, new)| format!("{old} → {}{}", new.to, if new.seen { "" } else { ", an inner name" }))
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
                .map(|(old, new)| format!("{old} → {}", new.to))
                .collect::<Vec<_>>()
        };
        assert_eq!(moved("src/core.js", "src/sums.js", &[]), ["core → sums"]);
        assert_eq!(moved("src/equal.js", "src/ok.js", &[]), [""; 0]);
        assert_eq!(moved("src/core.js", "src/sums.js", &[("src/a.js", "let sums = 1;\n")]), [""; 0]);
    }

    #[test]
    fn what_else_answers_to_the_new_name_makes_it_another_thing() {
        let rust = "impl Size { pub fn area(&self) -> u8 { 1 } }\n";
        let python = "class Size:\n    def area(self):\n        return 1\n";
        let script = "class Size { area() { return 1; } }\n";
        let go = "func (s Size) area() int { return 1 }\n";
        for (path, before, more) in [
            (
                "src/a.rs",
                rust,
                "trait Ext { fn extent(&self) -> bool { true } }\nimpl Ext for Option<u8> {}\n",
            ),
            ("src/a.py", python, "class Other:\n    def extent(self):\n        return 2\n"),
            ("src/a.py", python, "setattr(Other, 'extent', f)\n"),
            ("src/a.js", script, "Array.prototype.extent = () => 1;\n"),
            ("src/a.js", script, "Object.defineProperty(Array.prototype, 'extent', {});\n"),
            ("src/a.go", go, "func (o Other) extent() int { return 2 }\n"),
        ] {
            let after = before.replace("area", "extent");
            assert_eq!(check(&[(path, before, &after)], &[]), ["area → extent"], "{path}");
            assert_eq!(check(&[(path, before, &format!("{after}{more}"))], &[]), [""; 0], "{more}");
            // In another file, which is changed or not.
            let other = path.replace("a.", "b.");
            assert_eq!(check(&[(path, before, &after), (&other, "", more)], &[]), [""; 0], "{more}");
            // A text alone says nothing where nothing was changed.
            if !more.contains("'extent'") {
                assert_eq!(check(&[(path, before, &after)], &[(&other, more)]), [""; 0], "{more}");
            }
        }
        // Nor may a test declare it.
        let test = ("tests/test_a.py", "x = 1\n", "def extent():\n    return 1\n");
        let renamed = python.replace("area", "extent");
        assert_eq!(check(&[("src/a.py", python, &renamed), test], &[]), [""; 0]);
    }

    #[test]
    fn parameters_and_locals_are_inner_names_and_tests_among_code_are_no_code() {
        let python = "def area(side):\n    twice = side * side\n    return twice\n";
        let renamed = python.replace("side", "width").replace("twice", "square");
        assert_eq!(
            check(&[("src/a.py", python, &renamed)], &[]),
            ["side → width, an inner name", "twice → square, an inner name"]
        );
        let rust = "pub fn area() {}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn works() {\n        let sum = 1;\n    }\n}\n";
        assert_eq!(check(&[("src/a.rs", rust, &rust.replace("sum", "total"))], &[]), [""; 0]);
        assert_eq!(check(&[("src/a.rs", rust, &rust.replace("works", "runs"))], &[]), [""; 0]);
    }

    #[test]
    fn a_file_too_large_to_be_parsed_decides_against_what_it_may_hold() {
        let file = ("src/lib.rs", "pub fn area() {}\n", "pub fn extent() {}\n");
        let large =
            |word: &str| format!("fn f() {{ {word}(); }}\n{}", "// filler\n".repeat(MAX_SOURCE / 10 + 1));
        assert_eq!(check(&[file], &[("src/large.rs", &large("other"))]), ["area → extent"]);
        assert_eq!(check(&[file], &[("src/large.rs", &large("area"))]), [""; 0]);
        assert_eq!(check(&[file], &[("src/large.rs", &large("extent"))]), [""; 0]);
        assert_eq!(check(&[file], &[("tests/large.rs", &large("extent"))]), [""; 0]);
        let changed = (large("extent"), large("more"));
        assert_eq!(check(&[file, ("src/large.rs", &changed.0, &changed.1)], &[]), [""; 0]);
    }

    #[test]
    fn what_tests_declare_twice_is_renamed_twice() {
        let code = ("src/a.py", "def area():\n    return 1\n", "def extent():\n    return 1\n");
        let fixture = "@fixture\ndef area():\n    return 2\n";
        let inner = ("tests/b/conftest.py", fixture, "@fixture\ndef extent():\n    return 2\n");
        assert_eq!(check(&[code, inner], &[]), ["area → extent"]);
        assert_eq!(check(&[code, inner], &[("tests/conftest.py", fixture)]), [""; 0]);
        assert_eq!(
            check(&[code, inner, ("tests/conftest.py", fixture, &format!("{fixture}\n"))], &[]),
            [""; 0]
        );
        // Another test may use the old name of something else.
        assert_eq!(check(&[code, inner], &[("tests/test_c.py", "area = 1\n")]), [""; 0]);
        assert_eq!(
            check(&[code, inner], &[("tests/test_c.py", "def test_c(area):\n    pass\n")]),
            ["area → extent"]
        );
    }

    #[test]
    fn an_example_follows_everywhere_or_nowhere() {
        let renames = Renames::from([("add".to_owned(), Rename::seen("sum_of"))]);
        assert!(follows("add(1, add(2))", "sum_of(1, sum_of(2))", &renames));
        assert!(follows("add(1, add(2))", "add(1, add(2))", &renames));
        assert!(!follows("add(1, add(2))", "sum_of(1, add(2))", &renames));
        assert!(!follows("add(1)", "sum_of(2)", &renames));
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
        let renames = Renames::from([("foo".to_owned(), Rename::seen("bar"))]);
        assert_eq!(
            rename_words("foo foo_x xfoo foo.foo \"foo\"", &renames),
            "bar foo_x xfoo bar.bar \"bar\""
        );
    }
}
