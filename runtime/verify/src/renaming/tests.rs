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
            &[("src/lib.rs", "pub fn add(a: i64) -> i64 { a }\n", "pub fn sum_of(a: i64) -> i64 { a }\n")],
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

/// Renames of a patch that moves `old` to `new` and changes or adds `more`, given what else lies in the tree.
fn moved(old: &str, new: &str, more: &[(&str, &str, &str)], others: &[(&str, &str)]) -> Vec<String> {
    let entry = |path: &str, oid: &str| {
        let path = RelPath::parse(path).unwrap();
        let entry = gloaming_workspace::TreeEntry {
            path: Some(path.clone()),
            raw: path.as_str().as_bytes().to_vec(),
            kind: gloaming_workspace::EntryKind::File,
            oid: oid.repeat(40),
            size: 2,
        };
        (path, entry)
    };
    let dir = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (path, content) in others {
        let path = RelPath::parse(path).unwrap();
        crate::host::write_in_tree(dir.path(), &path, content.as_bytes()).unwrap();
        paths.push(path);
    }
    let mut files = vec![diff(old, Some("x\n"), None), diff(new, None, Some("x\n"))];
    let mut patched = BTreeMap::from([entry(new, "1")]);
    for (path, before, after) in more {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        files.push(diff(path, text(before).as_deref(), text(after).as_deref()));
        patched.extend([entry(path, "2")]);
    }
    patched.extend(others.iter().map(|(path, _)| entry(path, "3")));
    let change = Change { files, base: BTreeMap::from([entry(old, "1")]), patched };
    renames(&change, &TreeView { dir: dir.path(), files: &paths })
        .into_iter()
        .map(|(old, new)| format!("{old} → {}", new.to))
        .collect()
}

#[test]
fn a_module_that_moves_takes_its_name_along_unless_it_leads_elsewhere() {
    assert_eq!(moved("src/core.js", "src/sums.js", &[], &[]), ["core → sums"]);
    assert_eq!(moved("src/equal.js", "src/ok.js", &[], &[]), [""; 0]);
    assert_eq!(moved("src/core.js", "src/sums.js", &[], &[("src/a.js", "let sums = 1;\n")]), [""; 0]);
}

#[test]
fn a_module_whose_old_path_still_leads_somewhere_takes_no_name_along() {
    for (old, new, other) in [
        ("calc/core.py", "calc/sums.py", "calc/core/__init__.py"),
        ("calc/core.py", "calc/sums.py", "calc/core.cpython-312-x86_64-linux-gnu.so"),
        ("core.py", "sums.py", "core/__init__.py"),
        ("src/core.js", "src/sums.js", "src/core/index.js"),
        ("src/core.js", "src/sums.js", "src/core/package.json"),
        ("src/core.js", "src/sums.js", "src/core.json"),
        ("src/core.ts", "src/sums.ts", "src/core.tsx"),
        ("src/core.rs", "src/sums.rs", "src/core/mod.rs"),
    ] {
        assert_eq!(moved(old, new, &[(other, "", "1\n")], &[]), [""; 0], "{other}");
        assert_eq!(moved(old, new, &[], &[(other, "1\n")]), [""; 0], "{other}");
    }
    for (old, new, other) in [
        ("calc/core.py", "calc/sums.py", "other/core.py"),
        ("calc/core.py", "calc/sums.py", "calc/cores.py"),
        ("src/core.js", "src/sums.js", "src/core.test.js"),
        ("src/core.js", "src/sums.js", "src/core.css"),
        ("src/core.rs", "src/sums.rs", "src/core/inner/mod.rs"),
    ] {
        assert_eq!(moved(old, new, &[(other, "", "1\n")], &[]), ["core → sums"], "{other}");
    }
    // What the module around it calls so.
    for (path, before, after, follows) in [
        ("src/lib.rs", "pub mod core;\n", "pub mod sums;\n", true),
        (
            "src/lib.rs",
            "pub mod core;\npub use core::add;\n",
            "#[path = \"x.rs\"]\npub mod core;\npub mod sums;\n",
            false,
        ),
        ("src/lib.rs", "pub mod core;\n", "mod inner;\npub use inner::core;\n", false),
        ("src/lib.rs", "pub mod core;\n", "mod inner;\npub use inner::x as core;\n", false),
        ("src/lib.rs", "pub mod core;\npub use core::core;\n", "pub mod sums;\npub use sums::core;\n", true),
        ("src.rs", "pub mod core;\n", "#[path = \"x.rs\"]\npub mod core;\n", false),
        ("other/lib.rs", "pub mod core;\n", "pub mod core;\nmod x;\n", true),
    ] {
        let found = moved("src/core.rs", "src/sums.rs", &[(path, before, after)], &[]);
        assert_eq!(found == ["core → sums"], follows, "{after}");
    }
    for (after, follows) in [
        ("from calc.sums import add\n", true),
        ("from calc.inner import core\n", false),
        ("import calc.inner as core\n", false),
        ("import sys\nsys.modules[\"calc.core\"] = inner\n", false),
    ] {
        let init = ("calc/__init__.py", "from calc.core import add\n", after);
        let found = moved("calc/core.py", "calc/sums.py", &[init], &[]);
        assert_eq!(found == ["core → sums"], follows, "{after}");
    }
    // A function of the module's name.
    let init = ("calc/__init__.py", "from calc.core import core\n", "from calc.sums import core\n");
    assert_eq!(moved("calc/core.py", "calc/sums.py", &[init], &[]), ["core → sums"]);
}

#[test]
fn no_test_is_pointed_at_another_fixture() {
    let code = |new: &str| format!("def total({new}):\n    return sum({new})\n");
    let test = |new: &str| format!("def test_total({new}):\n    assert total({new})\n");
    let (before, after) = (code("rows"), code("lines"));
    let (asks, follows) = (test("rows"), test("lines"));
    let code = ("src/a.py", before.as_str(), after.as_str());
    let tests = ("tests/test_a.py", asks.as_str(), follows.as_str());
    let fixture = "import pytest\n\n\n@pytest.fixture\ndef rows():\n    return [1]\n";
    // A fixture of a file that stays as it is.
    assert_eq!(check(&[code, tests], &[("tests/conftest.py", fixture)]), [""; 0]);
    let named = "import pytest\n\n\n@pytest.fixture(name=\"rows\")\ndef made():\n    return [1]\n";
    assert_eq!(check(&[code, tests], &[("tests/conftest.py", named)]), [""; 0]);
    let text = ("tests/test_a.py", "use = usefixtures('rows')\n", "use = usefixtures('lines')\n");
    assert_eq!(check(&[code, text], &[("tests/conftest.py", fixture)]), [""; 0]);
    // One of a plugin.
    assert_eq!(check(&[code, tests], &[]), [""; 0]);
    // One that is renamed along.
    let renamed = fixture.replace("rows", "lines");
    let conftest = ("tests/conftest.py", fixture, renamed.as_str());
    assert_eq!(check(&[code, tests, conftest], &[]), ["rows → lines, an inner name"]);
    // What a decorator passes, and what the test does not ask for.
    for (before, after) in [
        (
            "@parametrize('rows', [1])\ndef test_a(rows):\n    pass\n",
            "@parametrize('lines', [1])\ndef test_a(lines):\n    pass\n",
        ),
        (
            "@mock.patch('x.y')\ndef test_a(rows):\n    pass\n",
            "@mock.patch('x.y')\ndef test_a(lines):\n    pass\n",
        ),
        ("def test_a(rows):\n    total(rows=rows)\n", "def test_a(rows):\n    total(lines=rows)\n"),
        ("def check(rows):\n    total(rows)\n", "def check(lines):\n    total(lines)\n"),
    ] {
        assert_eq!(
            check(&[code, ("tests/test_a.py", before, after)], &[]),
            ["rows → lines, an inner name"],
            "{after}"
        );
    }
}

#[test]
fn very_many_renamed_names_take_little_time() {
    let many = |letter: char, count: usize| -> String {
        (0..count).map(|number| format!("function {letter}{number}() {{}} ")).collect()
    };
    let began = std::time::Instant::now();
    let few = check(&[("src/a.js", &many('a', 1500), &many('z', 1500))], &[]);
    assert_eq!(few.len(), 1500);
    // With more than anybody follows none counts.
    assert_eq!(check(&[("src/a.js", &many('a', 20_000), &many('z', 20_000))], &[]), [""; 0]);
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}

#[test]
fn what_else_answers_to_the_new_name_makes_it_another_thing() {
    let rust = "impl Size { pub fn area(&self) -> u8 { 1 } }\n";
    let python = "class Size:\n    def area(self):\n        return 1\n";
    let script = "class Size { area() { return 1; } }\n";
    let go = "func (s Size) area() int { return 1 }\n";
    for (path, before, more) in [
        ("src/a.rs", rust, "trait Ext { fn extent(&self) -> bool { true } }\nimpl Ext for Option<u8> {}\n"),
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
    let large = |word: &str| format!("fn f() {{ {word}(); }}\n{}", "// filler\n".repeat(MAX_SOURCE / 10 + 1));
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
    assert_eq!(check(&[code, inner, ("tests/conftest.py", fixture, &format!("{fixture}\n"))], &[]), [""; 0]);
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
    assert_eq!(rename_words("foo foo_x xfoo foo.foo \"foo\"", &renames), "bar foo_x xfoo bar.bar \"bar\"");
}
