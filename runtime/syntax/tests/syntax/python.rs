//! Python's tests and what may happen to them.

use gloaming_syntax::Language;

use crate::{change, compare, kinds, outline};

const SOURCE: &str = r#""""Tests of parsing."""
import unittest
from unittest import mock

import pytest

from pkg.core import foo_bar, other
from pkg import core as c

CASES = ["1", "2"]


@pytest.fixture
def client():
    return c.Client()


def test_parses(client):
    """It parses."""
    assert foo_bar("1") == 1
    assert client.get(f"/{foo_bar('x')}") == "foo_bar", 'foo_bar failed'


@pytest.mark.parametrize("text", CASES)
def test_each(text):
    for item in text:
        if item:
            assert foo_bar(item)
        other(item)


class TestCore:
    limit = 3

    def setup_method(self):
        self.core = c.Core()

    def helper(self):
        return self.core

    def test_core(self):
        assert self.helper().run() is True


class Legacy(unittest.TestCase):
    def test_old(self):
        self.assertEqual(foo_bar("1"), 1)
        with self.assertRaises(ValueError):
            foo_bar("x")


if __name__ == "__main__":
    unittest.main()
"#;

#[test]
fn declarations() {
    insta::assert_snapshot!(outline(Language::Python, SOURCE), @r"
    2 Import 
    3 Import 
    5 Import 
    7 Import 
    8 Import 
    10 Constant CASES
    13 Function client
    18 Function test_parses [test]
    24 Function test_each [test]
    32 Type TestCore [in tests]
    33 Constant TestCore::limit [in tests]
    35 Function TestCore::setup_method [in tests]
    38 Function TestCore::helper [in tests]
    41 Function TestCore::test_core [test]
    45 Type Legacy [in tests]
    46 Function Legacy::test_old [test]
    52 Statement
    ");
}

fn told(from: &str, to: &str) -> String {
    change(Language::Python, SOURCE, from, to)
}

#[test]
fn a_consistent_renaming_is_no_change() {
    // Not in what a test expects.
    let after = SOURCE.replace("foo_bar", "parse_bar").replace("== \"parse_bar\"", "== \"foo_bar\"");
    assert_eq!(compare(Language::Python, SOURCE, &after, &[("foo_bar", "parse_bar")], true), "");
    let sorted = after.replace("import parse_bar, other", "import other, parse_bar");
    assert_eq!(compare(Language::Python, SOURCE, &sorted, &[("foo_bar", "parse_bar")], true), "");
    assert_eq!(
        kinds(&compare(Language::Python, SOURCE, &after, &[], true)),
        ["Statement", "Changed", "Changed", "Changed"],
    );
    // A renamed class or test takes its members along.
    let moved = SOURCE.replace("TestCore", "TestKernel");
    assert_eq!(compare(Language::Python, SOURCE, &moved, &[("TestCore", "TestKernel")], true), "");
}

#[test]
fn formatting_comments_and_additions_are_no_change() {
    assert_eq!(told("assert foo_bar(\"1\") == 1", "assert foo_bar(\n        \"1\",\n    ) == 1  # said"), "");
    assert_eq!(told("    \"\"\"It parses.\"\"\"\n", ""), "");
    assert_eq!(told("\"\"\"Tests of parsing.\"\"\"", "\"\"\"Tests of everything.\"\"\""), "");
    assert_eq!(told("import pytest\n", "import pytest\nimport json, os.path\nfrom typing import Any\n"), "");
    assert_eq!(told("CASES =", "MORE = {\"a\": [1, -2], \"b\": None}\nCASES ="), "");
    assert_eq!(
        told(
            "class TestCore:",
            "def helper_two(x):\n    return x\n\n\ndef test_more():\n    assert helper_two(1)\n\n\nclass TestCore:"
        ),
        ""
    );
    assert_eq!(
        told(
            "    def test_core(self):",
            "    def test_another(self):\n        assert 1\n\n    def test_core(self):"
        ),
        ""
    );
    assert_eq!(
        told(
            "if __name__",
            "class TestNew(unittest.TestCase):\n    url = \"x\"\n\n    def setUp(self):\n        self.x = 1\n\n    def test_core(self):\n        pass\n\n\nif __name__"
        ),
        ""
    );
}

#[test]
fn what_weakens_a_test_is_told() {
    insta::assert_snapshot!(told("    assert foo_bar(\"1\") == 1\n", "    assert foo_bar(\"1\")\n"), @r#"18: Changed test_parses: the test `test_parses` changed at line 21: `"1" ) == 1 assert client . get` is now `"1" ) assert client . get ( f"`"#);
    insta::assert_snapshot!(told("    assert foo_bar(\"1\") == 1\n", ""), @r#"18: Changed test_parses: the test `test_parses` changed at line 20: `: assert foo_bar ( "1" ) == 1` is now `: assert client . get ( f" /`"#);
    insta::assert_snapshot!(told("def test_parses(client):\n", "def test_parses(client):\n    return\n"), @r#"18: Changed test_parses: the test `test_parses` changed at line 19: `) : assert foo_bar ( "1" ) ==` is now `) : return assert foo_bar ( "1" )`"#);
    insta::assert_snapshot!(told("def test_parses(client):\n", "def test_parses(client):\n    pytest.skip('flaky')\n"), @r#"18: Changed test_parses: the test `test_parses` changed at line 19: `) : assert foo_bar ( "1" ) ==` is now `) : pytest . skip ( 'flaky' )`"#);
    insta::assert_snapshot!(told("def test_parses(client):", "@pytest.mark.skip\ndef test_parses(client):"), @"18: Changed test_parses: the test `test_parses` changed at line 18: `def test_parses ( client ) : assert foo_bar` is now `@ pytest . mark . skip def test_parses`");
    insta::assert_snapshot!(told("    def test_old(self):", "    @unittest.expectedFailure\n    def test_old(self):"), @"46: Changed Legacy::test_old: the test `Legacy::test_old` changed at line 46: `def test_old ( self ) : self .` is now `@ unittest . expectedFailure def test_old ( self`");
    insta::assert_snapshot!(told("def test_parses(", "def _test_parses("), @"18: Removed test_parses: the test `test_parses` is gone");
    insta::assert_snapshot!(told("class Legacy(unittest.TestCase):", "class Legacy(object):"), @"45: HeaderChanged Legacy: the type `Legacy` changed at line 45: `Legacy ( unittest . TestCase ) :` is now `Legacy ( object ) :`");
    insta::assert_snapshot!(told("CASES = [\"1\", \"2\"]", "CASES = []"), @r#"10: Statement CASES: the constant `CASES` changed at line 10: `= [ "1" , "2" ]` is now `= [ ]`"#);
    insta::assert_snapshot!(told("    limit = 3", "    limit = 4"), @"33: Statement TestCore::limit: the constant `TestCore::limit` changed at line 33: `limit = 3` is now `limit = 4`");
    insta::assert_snapshot!(told("        self.core = c.Core()", "        pass"), @"35: Changed TestCore::setup_method: the function `TestCore::setup_method` changed at line 36: `) : self . core = c .` is now `) : pass`");
    insta::assert_snapshot!(told("    for item in text:\n", "    for item in text[:0]:\n"), @"24: Changed test_each: the test `test_each` changed at line 26: `in text : if item : assert foo_bar` is now `in text [ : 0 ] : if`");
}

#[test]
fn indentation_and_line_ends_are_part_of_what_is_said() {
    // Every token is the same.
    insta::assert_snapshot!(told("            assert foo_bar(item)\n        other(item)", "            assert foo_bar(item)\n            other(item)"), @"24: Changed test_each: the test `test_each` has the same words, put together otherwise");
    let file = "def test_a():\n    x = 1\n    -f(x)\n    assert g(x)\n";
    insta::assert_snapshot!(change(Language::Python, file, "x = 1\n    -f(x)", "x = 1 -f(x)"), @"1: Changed test_a: the test `test_a` has the same words, put together otherwise");
    assert_eq!(change(Language::Python, file, "x = 1\n    -f(x)", "x = 1; -f(x)"), "");
    insta::assert_snapshot!(told("    assert foo_bar(\"1\") == 1\n", "    if False:\n        assert foo_bar(\"1\") == 1\n"), @r#"18: Changed test_parses: the test `test_parses` changed at line 20: `) : assert foo_bar ( "1" ) ==` is now `) : if False : assert foo_bar (`"#);
}

#[test]
fn what_takes_the_place_of_something_is_told() {
    insta::assert_snapshot!(told("class TestCore:", "def test_parses():\n    pass\n\n\nclass TestCore:"), @"32: Shadowed test_parses: a second `test_parses` stands beside the one that was there");
    insta::assert_snapshot!(told("if __name__", "test_parses = None\n\nif __name__"), @"52: Shadowed test_parses: a second `test_parses` stands beside the one that was there");
    insta::assert_snapshot!(told("if __name__", "del test_parses\n\nif __name__"), @"52: Statement : a statement is new: `del test_parses`");
    insta::assert_snapshot!(told("if __name__", "pytestmark = pytest.mark.skip\n\nif __name__"), @"52: Statement pytestmark: a runner reads this: `pytestmark = pytest . mark . skip`");
    insta::assert_snapshot!(told("CASES =", "pytest.skip('x', allow_module_level=True)\nCASES ="), @"10: Statement : a statement is new: `pytest . skip ( 'x' , allow_module_level = True )`");
    insta::assert_snapshot!(told("CASES =", "raise unittest.SkipTest('x')\nCASES ="), @"10: Statement : a statement is new: `raise unittest . SkipTest ( 'x' )`");
    insta::assert_snapshot!(told("CASES =", "collect_ignore = ['x']\nCASES ="), @"10: Statement collect_ignore: a runner reads this: `collect_ignore = [ 'x' ]`");
    insta::assert_snapshot!(told("    limit = 3\n", "    limit = 3\n    __test__ = False\n"), @"34: Statement TestCore::__test__: a runner reads this: `__test__ = False`");
    insta::assert_snapshot!(told("class TestCore:", "@pytest.fixture(autouse=True)\ndef calm():\n    yield\n\n\nclass TestCore:"), @"32: Hook calm: `calm` runs by itself around the tests or in place of them");
    insta::assert_snapshot!(told("class TestCore:", "def setup_module():\n    raise SystemExit(0)\n\n\nclass TestCore:"), @"32: Hook setup_module: `setup_module` runs by itself around the tests or in place of them");
    insta::assert_snapshot!(told("class TestCore:", "def pytest_collection_modifyitems(items):\n    items.clear()\n\n\nclass TestCore:"), @"32: Hook pytest_collection_modifyitems: `pytest_collection_modifyitems` runs by itself around the tests or in place of them");
    insta::assert_snapshot!(told("    def test_old(self):", "    def assertEqual(self, *a):\n        pass\n\n    def test_old(self):"), @"46: Hook Legacy::assertEqual: `Legacy::assertEqual` runs by itself around the tests or in place of them");
    insta::assert_snapshot!(told("    def test_old(self):", "    def run(self, result=None):\n        pass\n\n    def test_old(self):"), @"46: Hook Legacy::run: `Legacy::run` runs by itself around the tests or in place of them");
    insta::assert_snapshot!(told("    def test_old(self):", "    def tearDown(self):\n        pass\n\n    def test_old(self):"), @"46: Hook Legacy::tearDown: `Legacy::tearDown` runs by itself around the tests or in place of them");
    insta::assert_snapshot!(told("import pytest\n", "import pytest\nfrom fake import foo_bar\n"), @"6: Shadowed : an import brings in `foo_bar`, which the tests already used: `from fake import foo_bar`");
    insta::assert_snapshot!(told("import pytest\n", "import pytest\nfrom fake import *\n"), @"6: Shadowed : an import brings in names that cannot be told: `from fake import *`");
    insta::assert_snapshot!(told("from pkg.core import foo_bar, other", "from fake import foo_bar, other"), @r"
    7: Shadowed : an import brings in `foo_bar`, which the tests already used: `from fake import foo_bar`
    7: Shadowed : an import brings in `other`, which the tests already used: `from fake import other`
    7: Statement : an import is gone: `from pkg.core import foo_bar`
    7: Statement : an import is gone: `from pkg.core import other`
    ");
    insta::assert_snapshot!(told("def test_parses(client):", "def client():\n    pass\n\n\ndef test_parses(client):"), @"18: Shadowed client: a second `client` stands beside the one that was there");
    insta::assert_snapshot!(told("CASES =", "foo_bar = lambda x: 1\nCASES ="), @"10: Shadowed foo_bar: `foo_bar` is new and goes by a name that the tests already used");
    insta::assert_snapshot!(told("CASES =", "QUIET = foo()\nCASES ="), @"10: Statement QUIET: a statement is new: `QUIET = foo ( )`");
    insta::assert_snapshot!(told("CASES =", "core.check = 3\nCASES ="), @"10: Statement : a statement gives `core`, which the tests already used, a new meaning: `core . check = 3`");
}

#[test]
fn a_new_file_changes_no_test() {
    assert_eq!(compare(Language::Python, "", SOURCE, &[], true), "");
    assert_eq!(compare(Language::Python, "# nothing yet\n", SOURCE, &[], true), "");
}

#[test]
fn a_deleted_file_changes_them_all() {
    insta::assert_snapshot!(compare(Language::Python, SOURCE, "", &[], true), @r#"
    2: Statement : an import is gone: `import unittest`
    3: Statement : an import is gone: `from unittest import mock`
    5: Statement : an import is gone: `import pytest`
    7: Statement : an import is gone: `from pkg.core import foo_bar`
    7: Statement : an import is gone: `from pkg.core import other`
    8: Statement : an import is gone: `from pkg import core as c`
    10: Removed CASES: the constant `CASES` is gone
    13: Removed client: the function `client` is gone
    18: Removed test_parses: the test `test_parses` is gone
    24: Removed test_each: the test `test_each` is gone
    32: Removed TestCore: the type `TestCore` is gone
    41: Removed TestCore::test_core: the test `TestCore::test_core` is gone
    45: Removed Legacy: the type `Legacy` is gone
    46: Removed Legacy::test_old: the test `Legacy::test_old` is gone
    52: Statement : a statement is gone or changed: `if __name__ == "__main__" : unittest . main ( )`
    "#);
}
