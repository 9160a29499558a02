//! At which places of a test a renaming of the code is followed.

use gloaming_syntax::{Language, Rename, test_changes};

/// A renaming as a test writes it: `old>new` of what other code can name, `old~new` of a parameter, `old/new` of a module.
fn rename(text: &str) -> (String, Rename) {
    let at = text.find(['>', '~', '/']).expect("one of the three");
    let (old, new) = (&text[..at], &text[at + 1..]);
    let sign = text.as_bytes()[at];
    let rename =
        Rename { seen: sign == b'>', keyword: sign == b'~', module: sign == b'/', ..Rename::seen(new) };
    (old.to_owned(), rename)
}

/// What a change by the pairs is told as: `+` for a file that only follows.
fn told(language: Language, renames: &str, before: &str, pairs: &[(&str, &str)]) -> String {
    let renames = renames.split(' ').map(rename).collect();
    let mut after = before.to_owned();
    for (old, new) in pairs {
        assert!(after.contains(old), "{old:?} is not in {after:?}");
        after = after.replace(old, new);
    }
    assert_ne!(after, before);
    let changes = test_changes(language, before.as_bytes(), after.as_bytes(), &renames, true);
    match changes.first() {
        None => "+".to_owned(),
        Some(change) => change.detail.clone(),
    }
}

const PYTHON: &str = r#"import pytest
from calc import area, helpers
from calc.shapes import Size
from unittest import mock


@pytest.fixture
def values():
    return [1, 2]


class TestSize:
    def test_area(self):
        total = Size(width=2).total()
        assert total == 4
        total = area(3)
        assert total == 9, "area is wrong"

    @pytest.mark.xfail(strict=True)
    def test_values(self, values):
        assert helpers.first(values, strict=True) == "values"

    @mock.patch("calc.shapes.area")
    def test_patched(self, fake):
        assert str(fake) == "area"
        pytest.strict(fake)
"#;

#[test]
fn python() {
    let check = |renames: &str, pairs: &[(&str, &str)]| told(Language::Python, renames, PYTHON, pairs);
    // A function: imported, called, named for the library that replaces it, told to a reader.
    let all = [("import area", "import extent"), ("area(3)", "extent(3)"), ("shapes.area", "shapes.extent")];
    assert_eq!(check("area>extent", &all), "+");
    assert_eq!(check("area>extent", &[&all[..], &[("area is", "extent is")]].concat()), "+");
    // But not where a test expects the text.
    insta::assert_snapshot!(check("area>extent", &[&all[..], &[("\"area\"", "\"extent\"")]].concat()), @r#"the test `TestSize::test_patched` changed at line 25: `) == "area" pytest . strict ( fake` is now `) == "extent" pytest . strict ( fake`"#);
    insta::assert_snapshot!(check("area>extent", &[("area(3)", "extent(3)")]), @"`area` is renamed at some places and not at others");
    // A method is not the local of its name.
    assert_eq!(check("total>sum_of", &[(".total()", ".sum_of()")]), "+");
    insta::assert_snapshot!(check("total>sum_of", &[("total = area", "sum_of = area")]), @"`total` is renamed at some places and not at others");
    // A parameter is named by calls, and not by what runs the tests.
    assert_eq!(check("strict~exact", &[("values, strict", "values, exact")]), "+");
    insta::assert_snapshot!(check("strict~exact", &[("strict=True", "exact=True")]), @"the test `TestSize::test_values` changed at line 19: `xfail ( strict = True ) def test_values` is now `xfail ( exact = True ) def test_values`");
    insta::assert_snapshot!(check("strict>exact", &[("pytest.strict", "pytest.exact")]), @"the test `TestSize::test_patched` changed at line 26: `pytest . strict ( fake )` is now `pytest . exact ( fake )`");
    insta::assert_snapshot!(check("total~sum_of", &[(".total()", ".sum_of()")]), @"the test `TestSize::test_area` changed at line 14: `) . total ( ) assert total ==` is now `) . sum_of ( ) assert total ==`");
    // A fixture that is renamed where it is made and not where it is taken leaves that to another one.
    insta::assert_snapshot!(check("values~items", &[("def values", "def items")]), @"`values` is renamed at some places and not at others");
    insta::assert_snapshot!(check("values~items", &[("\"values\"", "\"items\"")]), @r#"the test `TestSize::test_values` changed at line 21: `) == "values"` is now `) == "items"`"#);
    assert_eq!(
        check(
            "values~items",
            &[("def values", "def items"), ("self, values", "self, items"), ("first(values", "first(items")]
        ),
        "+"
    );
    // What is added does not take a renamed thing's place.
    insta::assert_snapshot!(check("values~items", &[("self, values", "self, items"), ("first(values", "first(items"), ("\n\nclass", "\n\n@pytest.fixture\ndef items():\n    return []\n\n\nclass")]), @"a second `items` stands beside the one that was there");
    // Nothing renames a test.
    insta::assert_snapshot!(check("test_area>area_of", &[("test_area", "area_of")]), @"the test `TestSize::test_area` changed at line 13: `def test_area ( self ) : total =` is now `def area_of ( self ) : total =`");
    // A module moves.
    assert_eq!(check("shapes/forms", &[("calc.shapes", "calc.forms")]), "+");
    insta::assert_snapshot!(check("mock>fake_of", &[("import mock", "import fake_of"), ("@mock", "@fake_of")]), @"`from unittest import fake_of` is imported in the place of `from unittest import mock`");
}

const SCRIPT: &str = r#"import assert, { same } from 'node:assert';
import { area } from '../src/shapes.js';

jest.mock('../src/shapes.js');

describe('area', () => {
  let made;
  beforeEach(() => { made = 2; });
  it('is there', () => { assert.exact(made, 2); });

  it('area of a square', (t) => {
    const sum = area({ width: 2 });
    assert.exact(sum, 4);
    same(sum.unit, 'area');
    expect(area(3)).to.be.near(9);
    t.plan(1);
    jest.spyOn(shapes, 'area');
  });

  it('of many', { width: 3 }, () => {
    for (const { side, want } of [{ side: 1, want: 1 }]) {
      if (want) assert.exact(area(side), want);
    }
  });
});
"#;

#[test]
fn script() {
    let check = |renames: &str, pairs: &[(&str, &str)]| {
        let told = told(Language::JavaScript, renames, SCRIPT, pairs);
        assert_eq!(self::told(Language::Tsx, renames, SCRIPT, pairs), told);
        told
    };
    let all = [("{ area }", "{ extent }"), ("area(", "extent(")];
    assert_eq!(check("area>extent", &all), "+");
    assert_eq!(
        check(
            "area>extent",
            &[&all[..], &[("('area'", "('extent'"), ("shapes, 'area'", "shapes, 'extent'")]].concat()
        ),
        "+"
    );
    insta::assert_snapshot!(check("area>extent", &[&all[..], &[("unit, 'area'", "unit, 'extent'")]].concat()), @"the test `area::area of a square` changed at line 14: `unit , 'area' ) expect ( area (` is now `unit , 'extent' ) expect ( extent (`");
    insta::assert_snapshot!(check("area>extent", &[("expect(area", "expect(extent")]), @"`area` is renamed at some places and not at others");
    // Members of what checks, whatever the code declares.
    for (old, new) in [("assert.exact", "assert.loose"), ("be.near", "be.loose"), ("t.plan", "t.loose")] {
        let name = &old[old.find('.').unwrap() + 1..];
        assert_ne!(check(&format!("{name}>loose"), &[(old, new)]), "+", "{old}");
    }
    assert_ne!(check("same>loose", &[("{ same }", "{ loose }"), ("same(", "loose(")]), "+");
    assert_ne!(check("exact/loose", &[("assert.exact", "assert.loose")]), "+");
    // What a call takes, and what a runner does.
    assert_eq!(check("width>breadth", &[("{ width: 2", "{ breadth: 2")]), "+");
    insta::assert_snapshot!(check("width>breadth", &[("width", "breadth")]), @"the test `area::of many` changed at line 20: `, { width : 3 } , (` is now `, { breadth : 3 } , (`");
    // A table's column and what reads it are one thing.
    assert_eq!(check("want>wish", &[("want", "wish")]), "+");
    insta::assert_snapshot!(check("want>wish", &[("side, want", "side, wish"), ("(want)", "(wish)"), ("), want", "), wish")]), @"`want` is renamed at some places and not at others");
    // What a block of tests shares goes together.
    insta::assert_snapshot!(check("made~found", &[("made = 2", "found = 2")]), @"`made` is renamed at some places and not at others");
    assert_eq!(check("made~found", &[("made", "found")]), "+");
    // What is taken out of an object by its name is not everything of the name.
    let required = "const { parse } = require('../src/a');\n\ntest('parses', () => {\n  assert.exact(parse('1'), JSON.parse('1'));\n});\n";
    let follow = [("{ parse }", "{ read }"), ("(parse(", "(read(")];
    assert_eq!(told(Language::JavaScript, "parse>read", required, &follow), "+");
    // A module moves.
    assert_eq!(check("shapes/forms", &[("src/shapes", "src/forms")]), "+");
}

const GO: &str = r#"package calc_test

import (
	"errors"
	"testing"

	"example.com/calc"
)

type Fake struct{}

func (Fake) Area() int { return 1 }

func check(tt *testing.T, got, want int) {
	if got != want {
		tt.Errorf("Area() = %d", got)
	}
}

func TestArea(t *testing.T) {
	area := calc.Area(2)
	check(t, area, 4)
	area = calc.Area(3)
	check(t, area, 9)
	t.Run("Area", func(t *testing.T) { t.Exact(calc.Unit(), "Area") })
	if err := calc.Fail(); !errors.Are(err, calc.ErrOdd) {
		t.Fatal(err)
	}
}

func ExampleUnit() {
	print(calc.Unit())
	// Output: Area
}
"#;

#[test]
fn go() {
    let check = |renames: &str, pairs: &[(&str, &str)]| told(Language::Go, renames, GO, pairs);
    let all = [("calc.Area", "calc.Extent"), (") Area()", ") Extent()")];
    assert_eq!(check("Area>Extent", &all), "+");
    assert_eq!(
        check(
            "Area>Extent",
            &[&all[..], &[("\"Area() =", "\"Extent() ="), ("Run(\"Area", "Run(\"Extent")]].concat()
        ),
        "+"
    );
    insta::assert_snapshot!(check("Area>Extent", &[&all[..], &[("), \"Area\"", "), \"Extent\"")]].concat()), @r#"the test `TestArea` changed at line 25: `) , "Area" ) } ) if err` is now `) , "Extent" ) } ) if err`"#);
    insta::assert_snapshot!(check("Area>Extent", &[&all[..], &[("Output: Area", "Output: Extent")]].concat()), @"the test `ExampleUnit` changed at line 33: `) ) // Output: Area }` is now `) ) // Output: Extent }`");
    // One binding of two.
    assert_eq!(check("area~extent", &[("area", "extent")]), "+");
    insta::assert_snapshot!(check("area~extent", &[("area = calc", "extent = calc")]), @"`area` is renamed at some places and not at others");
    // The tests' own method of a name goes with those of the code, or all stay.
    insta::assert_snapshot!(check("Area>Extent", &[(") Area()", ") Extent()")]), @"`Area` is renamed at some places and not at others");
    for (old, new) in [("tt.Errorf", "tt.Logf"), ("t.Exact", "t.Loose"), ("errors.Are", "errors.Loose")] {
        let (name, to) = (&old[old.find('.').unwrap() + 1..], &new[new.find('.').unwrap() + 1..]);
        assert_ne!(check(&format!("{name}>{to}"), &[(old, new)]), "+", "{old}");
    }
    insta::assert_snapshot!(check("TestArea>ProbeArea", &[("TestArea", "ProbeArea")]), @"the test `TestArea` changed at line 20: `func TestArea ( t * testing . T` is now `func ProbeArea ( t * testing . T`");
}

const RUST: &str = r#"use calc::{area, Size};

#[test]
fn squares() {
    let total = area(2);
    assert_eq!(total, 4, "area of 2");
    let total = Size { width: 3 }.total();
    assert_eq!(format!("{total}"), "9");
    assert_eq!(calc::unit(), "area");
    assert_eq!(std::mem::exact(total), 9);
}
"#;

#[test]
fn rust() {
    let check = |renames: &str, pairs: &[(&str, &str)]| told(Language::Rust, renames, RUST, pairs);
    let all = [("{area", "{extent"), ("area(2)", "extent(2)")];
    assert_eq!(check("area>extent", &all), "+");
    assert_eq!(check("area>extent", &[&all[..], &[("area of", "extent of")]].concat()), "+");
    insta::assert_snapshot!(check("area>extent", &[&all[..], &[("\"area\"", "\"extent\"")]].concat()), @r#"the test `squares` changed at line 9: `) , "area" ) ; assert_eq ! (` is now `) , "extent" ) ; assert_eq ! (`"#);
    assert_eq!(check("width>breadth", &[("width", "breadth")]), "+");
    assert_eq!(check("total>sum_of", &[(".total()", ".sum_of()")]), "+");
    assert_eq!(
        check("total~sum_of", &[("let total", "let sum_of"), ("(total", "(sum_of"), ("{total}", "{sum_of}")]),
        "+"
    );
    insta::assert_snapshot!(check("total~sum_of", &[("let total = Size", "let sum_of = Size")]), @"`total` is renamed at some places and not at others");
    assert_ne!(check("exact>loose", &[("mem::exact", "mem::loose")]), "+");
}

/// Whether one text of a test may become another by the renamings.
#[track_caller]
fn follows(language: Language, renames: &str, before: &str, old: &str, new: &str) -> bool {
    told(language, renames, before, &[(old, new)]) == "+"
}

#[test]
fn no_name_becomes_one_of_the_languages_own() {
    let python = "from calc.core import *\n\n\ndef test_valid():\n    assert is_valid(\"abc\")\n";
    assert!(!follows(Language::Python, "is_valid>bool", python, "is_valid", "bool"));
    assert!(follows(Language::Python, "is_valid>is_sound", python, "is_valid", "is_sound"));
    // But by an import of its own.
    let named = python.replace('*', "is_valid");
    assert!(follows(Language::Python, "is_valid>bool", &named, "is_valid", "bool"));
    // A member is another thing.
    let member = "from calc.core import Rows\n\n\ndef test_rows():\n    assert Rows().lowest() == 1\n";
    assert!(follows(Language::Python, "lowest>min", member, "lowest", "min"));
    let rust = "use calc::*;\n\n#[test]\nfn finds() {\n    assert!(lookup(1).is_some());\n}\n";
    assert!(!follows(Language::Rust, "lookup>Some", rust, "lookup", "Some"));
    assert!(follows(Language::Rust, "lookup>find_it", rust, "lookup", "find_it"));
    let go = "package calc\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) {\n\tif width(\"ab\") != 2 {\n\t\tt.Fatal()\n\t}\n}\n";
    assert!(!follows(Language::Go, "width>len", go, "width", "len"));
    assert!(follows(Language::Go, "width>breadth", go, "width", "breadth"));
    let script = "require('./setup');\n\ntest('a', () => { assert(isValid('a')); });\n";
    assert!(!follows(Language::JavaScript, "isValid>Boolean", script, "isValid", "Boolean"));
    assert!(follows(Language::JavaScript, "isValid>isSound", script, "isValid", "isSound"));
}

#[test]
fn no_parameter_becomes_a_fixture_of_pytest() {
    let rows = "import pytest\n\n\n@pytest.mark.usefixtures(\"rows\")\ndef test_totals(rows):\n    for given in rows:\n        assert given\n";
    assert!(!follows(Language::Python, "rows~recwarn", rows, "rows", "recwarn"));
    assert!(follows(Language::Python, "rows~lines", rows, "rows", "lines"));
    let text = rows.replace("(rows)", "()").replace("in rows", "in [1]");
    assert!(!follows(Language::Python, "rows~recwarn", &text, "rows", "recwarn"));
    // The name of an argument is the code's.
    let called = "from calc import handle\n\n\ndef test_handles():\n    assert handle(request=1)\n";
    assert!(follows(Language::Python, "request~asked", called, "request", "asked"));
}

#[test]
fn members_of_a_librarys_value_stay() {
    let python = |body: &str| {
        format!(
            "import subprocess\nimport pytest\nfrom pathlib import Path\nfrom unittest.mock import Mock\nfrom calc import run, Store\n\n\ndef test_it(capsys, tmp_path):\n    {body}\n"
        )
    };
    for (body, stays) in [
        ("done = subprocess.run([])\n    assert done.old == ''", true),
        ("done: object = subprocess.run([])\n    assert done.old == ''", true),
        ("done = subprocess.run([])\n    out = done.stdout\n    assert out.old()", true),
        ("a, done = subprocess.run([])\n    assert done.old == ''", true),
        ("assert capsys.readouterr().old == ''", true),
        ("target = tmp_path / 'a'\n    assert target.old()", true),
        ("assert (tmp_path / 'a').old()", true),
        ("for path in tmp_path.iterdir():\n        assert path.old()", true),
        ("with open('a') as held:\n        assert held.old()", true),
        ("with pytest.raises(E) as caught:\n        run()\n    assert caught.old is None", true),
        ("import subprocess as s\n    done = s.run([])\n    assert done.old == ''", true),
        ("from pathlib import PurePath\n    path = PurePath('a')\n    assert path.old == ''", true),
        ("self.done = subprocess.run([])\n    assert self.done.old == ''", true),
        // The code's own, be it behind what a library hands on.
        ("done = run()\n    assert done.old == ''", false),
        ("with pytest.raises(E) as caught:\n        run()\n    assert caught.value.old == 1", false),
        (
            "with pytest.raises(E) as caught:\n        run()\n    said = caught.value\n    assert said.old == 1",
            false,
        ),
        ("client = Mock()\n    run(client)\n    assert client.old.called", false),
        ("rows = list(run())\n    assert rows[0].line.old == 1", false),
        ("store = Store(path=Path('a'))\n    assert store.old", false),
        ("if Path('a').exists(): done = run()\n    assert done.old", false),
    ] {
        let follows = follows(Language::Python, "old>late", &python(body), "old", "late");
        assert_eq!(follows, !stays, "{body}");
    }
    let shared = "import subprocess\nfrom calc import Job\n\n\ndef done():\n    return subprocess.run([])\n\n\nclass TestIt:\n    def setup_method(self):\n        self.job = subprocess.run([])\n\n    def test_a(self):\n        assert done().old == ''\n\n    def test_b(self):\n        assert self.job.old == ''\n\n    def test_c(self):\n        job = Job()\n        assert job.old == ''\n";
    for (text, stays) in [("done().old", true), ("self.job.old", true), (" job.old", false)] {
        let new = text.replace("old", "late");
        assert_eq!(follows(Language::Python, "old>late", shared, text, &new), !stays, "{text}");
    }
    let script = |body: &str| {
        format!(
            "const assert = require('node:assert');\nconst {{ spawnSync }} = require('node:child_process');\nconst {{ run }} = require('../src');\n\ntest('a', async () => {{ {body} }});\n"
        )
    };
    for (body, stays) in [
        ("const done = spawnSync('a'); assert.ok(!done.old);", true),
        ("const { old } = spawnSync('a'); assert.ok(!old);", true),
        ("const done = await spawnSync('a'); assert.ok(!done.old);", true),
        ("const seen = new Set(); run(seen); assert.ok(seen.old(1));", true),
        ("const done = run(); assert.ok(!done.old);", false),
        ("const { old } = run(); assert.ok(!old);", false),
        ("const seen = new Map(); run(seen); assert.ok(seen.get(1).old);", false),
    ] {
        let follows = follows(Language::JavaScript, "old>late", &script(body), "old", "late");
        assert_eq!(follows, !stays, "{body}");
    }
    let rust = |body: &str| {
        format!("use calc::{{Shape, run}};\nuse std::sync::Arc;\n\n#[test]\nfn works() {{\n    {body}\n}}\n")
    };
    for (body, stays) in [
        ("let path = std::env::temp_dir().join(\"a\"); assert!(path.old());", true),
        ("let mut path: std::path::PathBuf = std::path::PathBuf::new(); assert!(path.old());", true),
        ("let shape = Arc::new(Shape::new()); assert!(shape.old());", false),
        ("let shape = std::sync::Arc::new(Shape::new()); assert!(shape.old());", false),
        ("let shapes = vec![run()]; assert!(shapes[0].side.old());", false),
    ] {
        assert_eq!(follows(Language::Rust, "old>late", &rust(body), "old", "late"), !stays, "{body}");
    }
    let go = |body: &str| {
        format!(
            "package calc\n\nimport (\n\t\"os/exec\"\n\t\"testing\"\n)\n\nfunc TestA(t *testing.T) {{\n\t{body}\n}}\n"
        )
    };
    for (body, stays) in [
        ("done, err := exec.Command(\"a\")\n\tif err != nil || done.old() {\n\t\tt.Fatal()\n\t}", true),
        ("done, err := run(\"a\")\n\tif err != nil || done.old() {\n\t\tt.Fatal()\n\t}", false),
    ] {
        assert_eq!(follows(Language::Go, "old>late", &go(body), "old", "late"), !stays, "{body}");
    }
}

#[test]
fn expected_texts_stay() {
    let script = |line: &str| format!("const t = require('tape');\n\nt('a', (t) => {{ {line} }});\n");
    for (line, stays) in [
        ("t.assert.strictEqual('width', key());", true),
        ("t.is('width', key());", true),
        ("t.test('width', () => {});", false),
        ("describe.skip('width', () => {});", false),
        ("it.each([1])('width', () => {});", false),
    ] {
        let follows = follows(Language::JavaScript, "width>breadth", &script(line), "width", "breadth");
        assert_eq!(follows, !stays, "{line}");
    }
    let rust = |line: &str| format!("use calc::name;\n\n#[test]\nfn names() {{\n    {line}\n}}\n");
    for (line, stays) in [
        ("assert_eq!(name::<u8, u8>(), \"width\");", true),
        ("assert_eq!(name::<Vec<Vec<u8>>, u8>(), \"width\");", true),
        ("assert_eq!(<A as B<u8, u8>>::name(), \"width\");", true),
        ("assert!(1 < 2, \"width\");", false),
        ("assert_eq!(name::<u8, u8>(), \"a\", \"width\");", false),
        ("assert_eq!(1 < 2, 2 > 1, \"width\");", false),
    ] {
        assert_eq!(
            follows(Language::Rust, "width>breadth", &rust(line), "width", "breadth"),
            !stays,
            "{line}"
        );
    }
    let python = |line: &str| {
        format!(
            "from unittest import mock\nfrom calc import key\n\n\ndef test_a(client, mocker):\n    {line}\n"
        )
    };
    for (line, stays) in [
        ("assert client; return key(), \"width\"", true),
        ("assert client; yield key(), \"width\"", true),
        ("assert client; total += key(), \"width\"", true),
        ("assert client == key(), \"width\"", false),
        ("assert client <= (key() or 1), \"width\"", false),
        ("client.patch(\"/width/\")", true),
        ("client.patch(\"a.width\")", true),
        ("mock.patch(\"/width/\")", true),
        ("mock.patch(\"calc.width\")", false),
        ("mocker.patch(\"calc.width\")", false),
    ] {
        let follows = follows(Language::Python, "width>breadth", &python(line), "width", "breadth");
        assert_eq!(follows, !stays, "{line}");
    }
}

#[test]
fn what_is_handed_on_or_compared_follows() {
    let python = |line: &str| {
        format!(
            "import functools\nfrom types import SimpleNamespace\nfrom unittest.mock import Mock, call\nfrom dataclasses import replace\nfrom calc import Vec, area\n\n\ndef test_a(client):\n    {line}\n"
        )
    };
    for (line, follow) in [
        ("client.send.assert_called_once_with(width=3)", true),
        ("client.send.assert_any_call(width=3)", true),
        ("client.send.assert_awaited_with(width=3)", true),
        ("client.assert_shape(width=3)", false),
        ("assert area(SimpleNamespace(width=3)) == 6", true),
        ("assert client.calls == [call(width=3), call.send(width=3)]", true),
        ("assert replace(area(1), width=3).width == 3", true),
        ("assert functools.partial(area, width=3)() == 1", true),
        ("client = Mock(width=3)", false),
        // A keyword before a bracket is no name.
        ("assert (Vec(1) + Vec(2)).width == 3", true),
        ("assert not (await Vec(1)).width", true),
        ("return (expect(1)).width", false),
    ] {
        let follows = follows(Language::Python, "width>breadth", &python(line), "width", "breadth");
        assert_eq!(follows, follow, "{line}");
    }
    let script =
        |line: &str| format!("const {{ shape }} = require('../src');\n\ntest('a', (t) => {{ {line} }});\n");
    for (line, follow) in [
        ("t.assert.deepStrictEqual(shape(), { width: 1 });", true),
        ("t.deepEqual({ width: 1 }, shape());", true),
        ("t.deepEqual(shape(), 1, { width: 1 });", false),
        ("t.test('a', { width: 1 }, () => {});", false),
        ("test('a', { width: 1 });", false),
        ("test.fails('a', { width: 1 }, () => {});", false),
    ] {
        let follows = follows(Language::TypeScript, "width>breadth", &script(line), "width", "breadth");
        assert_eq!(follows, follow, "{line}");
    }
}

#[test]
fn comments_that_tell_a_compiler_something_stay() {
    let go = "//go:build legacy\n\npackage calc\n\n// legacy things.\nfunc helper() {}\n";
    assert!(!follows(Language::Go, "legacy>linux", go, "build legacy", "build linux"));
    let script = "/**\n * @jest-environment legacy\n */\ntest('a', () => {});\n";
    assert!(!follows(Language::JavaScript, "legacy>modern", script, "legacy", "modern"));
}
