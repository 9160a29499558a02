//! Added tests that cannot fail: they assert nothing of the code, or nothing but their own mock.

use std::collections::BTreeSet;

use gloaming_api::evidence::{FileChange, FileRole};
use gloaming_syntax::{Language, Token, TokenKind, Unit, UnitKind, units};

use crate::change::FileDiff;

/// Why an added test says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Empty {
    /// It mentions nothing of the code.
    Nothing,
    /// It asserts nothing.
    NoAssertion,
    /// It calls nothing but what it replaced itself.
    OwnMock,
    /// It is skipped, whatever the circumstances.
    Skipped,
}

impl Empty {
    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::Nothing => "an added test that has nothing to do with the code",
            Self::NoAssertion => "an added test that asserts nothing",
            Self::OwnMock => "an added test of its own mock",
            Self::Skipped => "an added test that is skipped",
        }
    }
}

/// One added test that says nothing.
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) line: u32,
    pub(crate) why: Empty,
}

/// Returns the added tests of a file that say nothing, and how many tests it got in all.
pub(crate) fn added(diff: &FileDiff) -> (Vec<Found>, usize) {
    let Some(language) = Language::of(diff.file.path.as_str()) else { return (Vec::new(), 0) };
    if diff.file.change == FileChange::Deleted || !matches!(diff.file.role, FileRole::Test | FileRole::Code) {
        return (Vec::new(), 0);
    }
    let names = |source: &Option<Vec<u8>>| -> BTreeSet<String> {
        let units = source.as_deref().map_or(Vec::new(), |source| units(language, source));
        units.into_iter().filter(|unit| unit.is_test).map(|unit| unit.name).collect()
    };
    let old = names(&diff.before);
    let new = diff.after.as_deref().map_or(Vec::new(), |source| units(language, source));
    // What the file declares itself: a helper in it may assert.
    let helpers: BTreeSet<String> = new
        .iter()
        .filter(|unit| unit.kind == UnitKind::Function && !unit.is_test)
        .filter(|unit| asserts(language, &unit.tokens))
        .filter_map(|unit| unit.name.rsplit("::").next().map(str::to_owned))
        .collect();
    let tests: Vec<&Unit> = new.iter().filter(|unit| unit.is_test && !old.contains(&unit.name)).collect();
    let found = tests
        .iter()
        .filter_map(|unit| {
            let why = empty(language, &unit.tokens, &helpers)?;
            Some(Found { name: unit.name.clone(), line: unit.line, why })
        })
        .collect();
    (found, tests.len())
}

/// Words that assert something by themselves, in whichever language.
fn is_assertion(word: &str) -> bool {
    let begins =
        ["assert", "expect", "should", "debug_assert", "insta", "verify", "check", "require", "ensure"];
    matches!(
        word,
        "raises"
            | "warns"
            | "fail"
            | "panic"
            | "unwrap"
            | "Error"
            | "Errorf"
            | "Fatal"
            | "Fatalf"
            | "Fail"
            | "FailNow"
            | "throw"
            | "raise"
            | "strictEqual"
            | "deepEqual"
            | "deepStrictEqual"
            | "is"
            | "ok"
            | "equal"
            | "Equal"
            | "should_panic"
            | "compile_fail"
            | "Output"
            | "approx"
            | "unreachable"
    ) || begins.iter().any(|start| word.to_ascii_lowercase().starts_with(start))
}

fn asserts(language: Language, tokens: &[Token]) -> bool {
    tokens.iter().any(|token| {
        is_assertion(&token.text)
            || (language == Language::Rust && token.text == "?")
            // The expected output of an example in Go.
            || (token.kind == TokenKind::Comment && token.text.to_ascii_lowercase().contains("output:"))
    })
}

/// Words that say nothing about the code under test.
const PLAIN: &[&str] = &[
    // Names of the frameworks and of what they hand over.
    "self",
    "t",
    "b",
    "tb",
    "test",
    "it",
    "describe",
    "pytest",
    "unittest",
    "mock",
    "Mock",
    "MagicMock",
    "mocker",
    "monkeypatch",
    "patch",
    "object",
    "jest",
    "vi",
    "sinon",
    "testing",
    "T",
    "B",
    "node",
    "jasmine",
    "TestCase",
    "testCase",
    "done",
    "ctx",
    "mark",
    "parametrize",
    "tokio",
    "rstest",
    "test_case",
    "fn",
    "spyOn",
    "method",
    "mockReturnValue",
    "mockImplementation",
    "return_value",
    "side_effect",
    "setattr",
    "setitem",
    "skip",
    "skipif",
    "xfail",
    "reason",
    "ignore",
    "skipIf",
    "todo",
    "Skip",
    "Skipf",
    "SkipNow",
    "Log",
    "Logf",
    "Helper",
    "Parallel",
    "Run",
    // What every language has.
    "print",
    "println",
    "eprintln",
    "printf",
    "console",
    "log",
    "len",
    "range",
    "list",
    "dict",
    "set",
    "str",
    "int",
    "float",
    "bool",
    "tuple",
    "sum",
    "min",
    "max",
    "abs",
    "True",
    "False",
    "None",
    "true",
    "false",
    "null",
    "undefined",
    "Ok",
    "Err",
    "Some",
    "String",
    "Vec",
    "vec",
    "format",
    "from",
    "to_string",
    "to_owned",
    "Result",
    "Option",
    "Object",
    "Array",
    "Number",
    "Math",
    "JSON",
    "Promise",
    "string",
    "error",
    "nil",
    "i32",
    "i64",
    "u8",
    "u32",
    "u64",
    "usize",
    "f64",
    "async",
    "await",
    "isinstance",
    "type",
    "toBe",
    "toEqual",
    "toBeTruthy",
    "toBeDefined",
    "toStrictEqual",
    "not",
    "AssertionError",
    "Exception",
    "Error",
    "message",
    "fmt",
    "Println",
    "Printf",
    "Sprintf",
];

fn empty(language: Language, tokens: &[Token], helpers: &BTreeSet<String>) -> Option<Empty> {
    let words: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    if skipped(language, &words) {
        return Some(Empty::Skipped);
    }
    // From the body on: the name and the parameters are not what a test does.
    let start = body(language, &words);
    let (head, tokens) = tokens.split_at(start);
    let own: BTreeSet<&str> = locals(tokens);
    let mut mocked: BTreeSet<String> = BTreeSet::new();
    let mut speaks = false;
    let mut called: Vec<&str> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let text = token.text.as_str();
        if token.kind == TokenKind::Literal && mocks(&tokens[at.saturating_sub(6)..at]) {
            let name = text.trim_matches(['"', '\'', '`']).rsplit('.').next().unwrap_or_default();
            mocked.insert(name.to_owned());
        }
        if token.kind != TokenKind::Identifier || PLAIN.contains(&text) || own.contains(text) {
            continue;
        }
        let helper = helpers.contains(text);
        if is_assertion(text) && !helper {
            continue;
        }
        speaks = true;
        if matches!(tokens.get(at + 1).map(|next| next.text.as_str()), Some("(")) && !helper {
            called.push(text);
        }
    }
    // A fixture or a case of a table is something of the code's, too.
    let given = head.iter().skip_while(|token| token.text != "(").any(|token| {
        token.kind == TokenKind::Identifier
            && !PLAIN.contains(&token.text.as_str())
            && language == Language::Python
    });
    if !speaks && !given {
        return Some(Empty::Nothing);
    }
    if !mocked.is_empty() && !called.is_empty() && called.iter().all(|name| mocked.contains(*name)) {
        return Some(Empty::OwnMock);
    }
    let mentions_helper = tokens.iter().any(|token| helpers.contains(&token.text));
    let has = asserts(language, head) || asserts(language, tokens) || mentions_helper;
    (!has).then_some(Empty::NoAssertion)
}

/// Whether the words just before a literal replace what it names.
fn mocks(before: &[Token]) -> bool {
    let words: Vec<&str> = before.iter().map(|token| token.text.as_str()).collect();
    let replaces = ["patch", "object", "setattr", "method", "spyOn", "replace"];
    // `patch.object(core, "double"`: nothing but the target stands between.
    words.iter().rposition(|word| replaces.contains(word)).is_some_and(|at| {
        words[at + 1..].iter().all(|word| {
            matches!(*word, "(" | "," | ".") || word.chars().all(|c| c.is_alphanumeric() || c == '_')
        }) && words.get(at + 1) == Some(&"(")
    })
}

/// Whether a test is skipped without a condition.
fn skipped(language: Language, words: &[&str]) -> bool {
    let head = &words[..body(language, words).min(words.len())];
    let pairs = |first: &str, second: &str| head.windows(2).any(|pair| pair[0] == first && pair[1] == second);
    match language {
        Language::Python => pairs(".", "skip") || pairs("@", "skip") || pairs(".", "expectedFailure"),
        Language::Rust => pairs("[", "ignore"),
        Language::Go => false,
        _ => {
            matches!(words.first(), Some(&"xit" | &"xtest" | &"xspecify"))
                || words.iter().take(4).any(|word| matches!(*word, "skip" | "todo"))
        }
    }
}

/// Where the body of a test begins among its words.
fn body(language: Language, words: &[&str]) -> usize {
    let after = |at: Option<usize>| at.map_or(0, |at| at + 1);
    match language {
        Language::Python => {
            let def = words.iter().position(|word| *word == "def").unwrap_or(0);
            let mut depth = 0_i32;
            let colon = words[def..].iter().position(|word| {
                depth += match *word {
                    "(" | "[" | "{" => 1,
                    ")" | "]" | "}" => -1,
                    _ => 0,
                };
                depth == 0 && *word == ":"
            });
            after(colon.map(|at| at + def))
        }
        Language::Rust | Language::Go => {
            let start = words.iter().position(|word| matches!(*word, "fn" | "func")).unwrap_or(0);
            after(words[start..].iter().position(|word| *word == "{").map(|at| at + start))
        }
        _ => after(words.iter().position(|word| matches!(*word, "=>" | "{"))),
    }
}

/// Names that a body gives a value without a call: `expected = 8`.
fn locals(tokens: &[Token]) -> BTreeSet<&str> {
    let mut out = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1).map_or("", |token| token.text.as_str());
        let value = tokens.get(at + 2);
        let assigned = next == "=" || next == ":=";
        let plain = value.is_some_and(|value| value.kind == TokenKind::Literal)
            || value.is_some_and(|value| {
                matches!(value.text.as_str(), "[" | "{" | "(" | "-" | "vec" | "True" | "true")
            });
        if token.kind == TokenKind::Identifier && assigned && plain {
            out.insert(token.text.as_str());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::diff;

    fn check(path: &str, text: &str) -> String {
        let (found, all) = added(&diff(path, None, Some(text)));
        let found: Vec<String> = found.iter().map(|test| format!("{}: {:?}", test.name, test.why)).collect();
        format!("{} of {all} {}", found.len(), found.join(", "))
    }

    #[test]
    fn tests_that_say_nothing() {
        for (path, text, expect) in [
            ("tests/test_a.py", "def test_x():\n    assert True\n", "1 of 1 test_x: Nothing"),
            (
                "tests/test_a.py",
                "def test_x():\n    expected = 8\n    assert expected == 8\n",
                "1 of 1 test_x: Nothing",
            ),
            ("tests/test_a.py", "def test_x():\n    f(1)\n", "1 of 1 test_x: NoAssertion"),
            (
                "tests/test_a.py",
                "def test_x():\n    with mock.patch.object(core, \"f\", return_value=8):\n        assert core.f(4) == 8\n",
                "1 of 1 test_x: OwnMock",
            ),
            (
                "tests/test_a.py",
                "@pytest.mark.skip(reason=\"x\")\ndef test_x():\n    assert f(1) == 2\n",
                "1 of 1 test_x: Skipped",
            ),
            ("tests/a.rs", "#[test]\nfn x() {\n    assert!(true);\n}\n", "1 of 1 x: Nothing"),
            (
                "tests/a.rs",
                "#[test]\nfn x() {\n    let expected = 6;\n    assert_eq!(expected, 6);\n}\n",
                "1 of 1 x: Nothing",
            ),
            ("test/a.test.js", "test('x', () => {});\n", "1 of 1 x: Nothing"),
            (
                "a_test.go",
                "package a\n\nfunc TestX(t *testing.T) {\n\tt.Log(\"x\")\n}\n",
                "1 of 1 TestX: Nothing",
            ),
        ] {
            assert_eq!(check(path, text), expect, "{text}");
        }
    }

    #[test]
    fn tests_that_say_something() {
        for (path, text) in [
            ("tests/test_a.py", "def test_x():\n    assert f(1) == 2\n"),
            ("tests/test_a.py", "def test_x():\n    assert calc.LIMIT\n"),
            ("tests/test_a.py", "def test_x(client):\n    assert client\n"),
            ("tests/test_a.py", "def test_x():\n    with pytest.raises(ValueError):\n        f(1)\n"),
            ("tests/test_a.py", "def agree(a):\n    assert a\n\n\ndef test_x():\n    agree(f(1))\n"),
            (
                "tests/test_a.py",
                "def test_x():\n    with mock.patch.object(core, \"g\", return_value=8) as g:\n        assert core.f(4) == 8\n",
            ),
            (
                "tests/test_a.py",
                "@pytest.mark.skipif(WINDOWS, reason=\"x\")\ndef test_x():\n    assert f(1) == 2\n",
            ),
            ("tests/a.rs", "#[test]\nfn x() {\n    assert_eq!(f(1), 2);\n}\n"),
            ("tests/a.rs", "#[test]\n#[should_panic]\nfn x() {\n    f(1);\n}\n"),
            ("test/a.test.js", "test('x', () => {\n  expect(f(1)).toBe(2);\n});\n"),
            (
                "a_test.go",
                "package a\n\nfunc TestX(t *testing.T) {\n\tif F(1) != 2 {\n\t\tt.Fatal()\n\t}\n}\n",
            ),
            ("a_test.go", "package a\n\nfunc ExampleF() {\n\tfmt.Println(F(1))\n\t// Output: 2\n}\n"),
        ] {
            assert_eq!(check(path, text), "0 of 1 ", "{text}");
        }
    }
}
