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
