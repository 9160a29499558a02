//! How tests say that something holds, as they are written: a control test fails by each of these forms that its
//! neighbours use, so that one that no longer says anything is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use gloaming_syntax::{Language, MAX_SOURCE, TokenKind, tokens};
use regex::Regex;

/// The most forms that get a failing control each: more than any language has known ones of, so that only names without end
/// for the same thing are left out.
const MOST: usize = 32;

/// What stands for the control's own name in a form.
const NAME: &str = "NAME";

/// A word of a language's assertions, and a statement that fails by it.
type Row = (&'static str, &'static str);

/// Tests that a control stands beside: what they say on the base, and with the patch. The base's forms come first, since
/// what the patch adds to tests might fill the list.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) before: Vec<String>,
    pub(super) after: Vec<String>,
}

impl Texts {
    /// Returns the forms that are found in each text, those used most first.
    fn forms(&self, of: impl Fn(&str) -> Vec<String>) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for texts in [&self.before, &self.after] {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for form in texts.iter().flat_map(|text| of(text)) {
                *counts.entry(form).or_default() += 1;
            }
            let mut forms: Vec<(String, usize)> = counts.into_iter().collect();
            forms.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
            for (form, _) in forms {
                if !out.contains(&form) {
                    out.push(form);
                }
            }
        }
        out.truncate(MOST);
        out
    }
}

/// Returns a statement with a name put in.
pub(super) fn named(form: &str, name: &str) -> String {
    form.replace(NAME, name)
}

/// The words of a file's code with a space between any two: no comments, and of texts only those that could name a package,
/// so that nothing is taken for code that is none.
fn code(language: Language, text: &str) -> String {
    if text.len() > MAX_SOURCE {
        return text.to_owned();
    }
    let package = |text: &str| {
        text.trim_matches(['"', '\''])
            .chars()
            .all(|letter| letter.is_alphanumeric() || "@_-./:".contains(letter))
    };
    let mut out = String::new();
    for token in tokens(language, text.as_bytes()) {
        match token.kind {
            TokenKind::Comment => continue,
            TokenKind::Literal if !package(&token.text) => out.push_str("''"),
            _ => out.push_str(&token.text),
        }
        out.push(' ');
    }
    out
}

fn row(rows: &[Row], word: &str) -> Option<String> {
    rows.iter().find(|row| row.0 == word).map(|row| row.1.to_owned())
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

/// What the groups of a pattern hold, wherever it is found.
fn words<'t>(pattern: &Regex, text: &'t str) -> impl Iterator<Item = &'t str> {
    pattern.captures_iter(text).filter_map(|found| Some(found.iter().skip(1).flatten().next()?.as_str()))
}

pub(super) const RUST: &[Row] = &[
    ("assert_eq", "assert_eq!(\"NAME\", \"\");"),
    ("assert_ne", "assert_ne!(\"NAME\", \"NAME\");"),
    ("assert", "assert!(\"NAME\".is_empty());"),
];

/// Statements that fail as the tests of a Rust file would.
pub(super) fn rust(texts: &Texts) -> Vec<String> {
    static CALL: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(assert(?:_eq|_ne)?) !"));
    let forms = texts
        .forms(|text| words(&CALL, &code(Language::Rust, text)).filter_map(|word| row(RUST, word)).collect());
    if forms.is_empty() { vec![RUST[0].1.to_owned()] } else { forms }
}

pub(super) const PYTEST: &[Row] = &[
    ("assert", "assert \"NAME\" == \"\""),
    ("raises", "import pytest\n    with pytest.raises(ValueError):\n        str(\"NAME\")"),
    ("approx", "import pytest\n    assert 1.0 == pytest.approx(2.0), \"NAME\""),
    ("warns", "import pytest\n    with pytest.warns(UserWarning):\n        str(\"NAME\")"),
    ("fail", "import pytest\n    pytest.fail(\"NAME\")"),
];

/// The same for functions of pytest, indented by four.
pub(super) fn pytest(texts: &Texts) -> Vec<String> {
    static CALL: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"\b(assert)\b|\b(raises|approx|warns) \(|\bpytest \. (fail) \("));
    let forms = texts.forms(|text| {
        words(&CALL, &code(Language::Python, text)).filter_map(|word| row(PYTEST, word)).collect()
    });
    if forms.is_empty() { vec![PYTEST[0].1.to_owned()] } else { forms }
}

pub(super) const UNITTEST: &[Row] = &[
    ("assertEqual", "self.assertEqual(\"NAME\", \"\")"),
    ("assertNotEqual", "self.assertNotEqual(\"NAME\", \"NAME\")"),
    ("assertTrue", "self.assertTrue(\"NAME\" == \"\")"),
    ("assertFalse", "self.assertFalse(\"NAME\")"),
    ("assertIs", "self.assertIs(\"NAME\", None)"),
    ("assertIsNot", "self.assertIsNot(None, None, \"NAME\")"),
    ("assertIsNone", "self.assertIsNone(\"NAME\")"),
    ("assertIsNotNone", "self.assertIsNotNone(None, \"NAME\")"),
    ("assertIn", "self.assertIn(\"NAME\", \"\")"),
    ("assertNotIn", "self.assertNotIn(\"NAME\", [\"NAME\"])"),
    ("assertIsInstance", "self.assertIsInstance(\"NAME\", int)"),
    ("assertAlmostEqual", "self.assertAlmostEqual(1.0, 2.0, msg=\"NAME\")"),
    ("assertGreater", "self.assertGreater(1, 2, \"NAME\")"),
    ("assertGreaterEqual", "self.assertGreaterEqual(1, 2, \"NAME\")"),
    ("assertLess", "self.assertLess(2, 1, \"NAME\")"),
    ("assertLessEqual", "self.assertLessEqual(2, 1, \"NAME\")"),
    ("assertRegex", "self.assertRegex(\"NAME\", \"^$\")"),
    ("assertCountEqual", "self.assertCountEqual([\"NAME\"], [])"),
    ("assertListEqual", "self.assertListEqual([\"NAME\"], [])"),
    ("assertTupleEqual", "self.assertTupleEqual((\"NAME\",), ())"),
    ("assertSetEqual", "self.assertSetEqual({\"NAME\"}, set())"),
    ("assertDictEqual", "self.assertDictEqual({\"NAME\": 1}, {})"),
    ("assertMultiLineEqual", "self.assertMultiLineEqual(\"NAME\", \"\")"),
    ("assertSequenceEqual", "self.assertSequenceEqual([\"NAME\"], [])"),
    ("assertRaises", "with self.assertRaises(ValueError, msg=\"NAME\"):\n            pass"),
    ("assertRaisesRegex", "with self.assertRaisesRegex(ValueError, \"NAME\"):\n            pass"),
    ("fail", "self.fail(\"NAME\")"),
];

/// The same for methods of unittest, indented by eight.
pub(super) fn unittest(texts: &Texts) -> Vec<String> {
    static CALL: LazyLock<Regex> = LazyLock::new(|| pattern(r"\. (assert\w+) \(|\bself \. (fail) \("));
    texts.forms(|text| {
        words(&CALL, &code(Language::Python, text)).filter_map(|word| row(UNITTEST, word)).collect()
    })
}

pub(super) const GO: &[Row] = &[
    ("Error", "t.Error(\"NAME\")"),
    ("Errorf", "t.Errorf(\"%s\", \"NAME\")"),
    ("Fatal", "t.Fatal(\"NAME\")"),
    ("Fatalf", "t.Fatalf(\"%s\", \"NAME\")"),
    ("Fail", "t.Fail()"),
    ("FailNow", "t.FailNow()"),
];

/// Of testify, behind the name of its package.
const TESTIFY: &[Row] = &[
    ("Equal", "Equal(t, \"NAME\", \"\")"),
    ("NotEqual", "NotEqual(t, \"NAME\", \"NAME\")"),
    ("True", "True(t, \"NAME\" == \"\")"),
    ("False", "False(t, \"NAME\" != \"\")"),
    ("Nil", "Nil(t, \"NAME\")"),
    ("NotNil", "NotNil(t, nil, \"NAME\")"),
    ("Error", "Error(t, nil, \"NAME\")"),
    ("Len", "Len(t, []string{\"NAME\"}, 0)"),
    ("Empty", "Empty(t, \"NAME\")"),
    ("Contains", "Contains(t, \"\", \"NAME\")"),
];

/// What a Go file's tests fail by: statements, and the imports that they need.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Go {
    pub(super) forms: Vec<String>,
    pub(super) imports: BTreeSet<String>,
}

pub(super) fn go(texts: &Texts) -> Go {
    static CALL: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(\w+ \. [A-Z]\w*) \("));
    static IMPORT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"(?:\b(\w+) )?("github\.com/stretchr/testify/(assert|require)")"#));
    // The line that imports each package, by the name it has.
    let packages = |code: &str| -> BTreeMap<String, String> {
        let import = |found: regex::Captures<'_>| {
            let alias = found.get(1).map(|alias| alias.as_str()).filter(|alias| *alias != "import");
            let line = alias.map_or_else(|| found[2].to_owned(), |alias| format!("{alias} {}", &found[2]));
            (alias.unwrap_or(&found[3]).to_owned(), line)
        };
        IMPORT.captures_iter(code).map(import).collect()
    };
    let mut forms = texts.forms(|text| {
        let code = code(Language::Go, text);
        let known = packages(&code);
        let form = |call: &str| {
            let (of, word) = call.split_once(" . ")?;
            match of {
                "t" => row(GO, word),
                package if known.contains_key(package) => Some(format!("{package}.{}", row(TESTIFY, word)?)),
                _ => None,
            }
        };
        words(&CALL, &code).filter_map(form).collect()
    });
    if forms.is_empty() {
        forms.extend(row(GO, "Fatal"));
    }
    let texts = texts.before.iter().chain(&texts.after);
    let known: BTreeMap<String, String> =
        texts.flat_map(|text| packages(&code(Language::Go, text))).collect();
    let needed =
        known.iter().filter(|(name, _)| forms.iter().any(|form| form.starts_with(&format!("{name}."))));
    let imports = needed.map(|(_, line)| line.clone()).collect();
    Go { forms, imports }
}

/// Of node's and chai's assert, behind the name it has in the file.
pub(super) const ASSERT: &[Row] = &[
    ("", "('NAME'.length === 0)"),
    ("ok", "('NAME'.length === 0)"),
    ("equal", "('NAME', '')"),
    ("strictEqual", "('NAME', '')"),
    ("deepEqual", "(['NAME'], [])"),
    ("deepStrictEqual", "(['NAME'], [])"),
    ("notEqual", "('NAME', 'NAME')"),
    ("notStrictEqual", "('NAME', 'NAME')"),
    ("notDeepEqual", "(['NAME'], ['NAME'])"),
    ("notDeepStrictEqual", "(['NAME'], ['NAME'])"),
    ("throws", "(() => {}, 'NAME')"),
    ("doesNotThrow", "(() => { throw new Error('NAME'); })"),
    ("rejects", "(async () => {}, 'NAME')"),
    ("match", "('NAME', /^$/)"),
    ("isTrue", "('NAME'.length === 0)"),
    ("isFalse", "('NAME'.length !== 0)"),
    ("isNull", "('NAME')"),
    ("isUndefined", "('NAME')"),
    ("include", "('', 'NAME')"),
    ("lengthOf", "('NAME', 0)"),
    ("fail", "('NAME')"),
];

/// Behind `expect`, of jest, vitest and chai.
const EXPECT: &[Row] = &[
    ("toBe", "('NAME').toBe('')"),
    ("toEqual", "('NAME').toEqual('')"),
    ("toStrictEqual", "('NAME').toStrictEqual('')"),
    ("toBeTruthy", "('NAME'.length === 0).toBeTruthy()"),
    ("toBeFalsy", "('NAME').toBeFalsy()"),
    ("toBeNull", "('NAME').toBeNull()"),
    ("toBeUndefined", "('NAME').toBeUndefined()"),
    ("toContain", "(['']).toContain('NAME')"),
    ("toHaveLength", "('NAME').toHaveLength(0)"),
    ("toMatch", "('NAME').toMatch(/^$/)"),
    ("toThrow", "(() => 'NAME').toThrow()"),
    ("to.equal", "('NAME').to.equal('')"),
    ("to.eql", "(['NAME']).to.eql([])"),
    ("to.deep.equal", "(['NAME']).to.deep.equal([])"),
    ("to.be.true", "('NAME'.length === 0).to.be.true"),
    ("to.be.false", "('NAME'.length !== 0).to.be.false"),
    ("to.throw", "(() => 'NAME').to.throw()"),
    ("to.include", "('').to.include('NAME')"),
    ("to.have.lengthOf", "('NAME').to.have.lengthOf(0)"),
];

/// What a JavaScript file's tests fail by, in the file's own scope.
pub(super) fn javascript(language: Language, texts: &Texts) -> Vec<String> {
    texts.forms(|text| said_in_script(&code(language, text)))
}

/// Names that the code of a file has for an assertion of its library, and for the library.
#[derive(Default)]
struct Known {
    whole: BTreeSet<String>,
    parts: BTreeMap<String, String>,
}

impl Known {
    fn of(code: &str) -> Self {
        static WHOLE: LazyLock<Regex> = LazyLock::new(|| {
            pattern(
                r#"\bimport (?:\* as )?([\w$]+) (?:, \{[^}]*\} )?from ['"](?:node:)?assert(?:/strict)?['"]|([\w$]+) = chai \. assert\b"#,
            )
        });
        static REQUIRED: LazyLock<Regex> = LazyLock::new(|| {
            pattern(r#"([\w$]+) = require \( ['"]((?:node:)?assert(?:/strict)?|chai)['"] \)((?: \. \w+)?)"#)
        });
        static PARTS: LazyLock<Regex> = LazyLock::new(|| {
            pattern(
                r#"\{([^{}]*)\} (?:from|= require \() ['"](?:(?:node:)?assert(?:/strict)?|chai|vitest)['"]"#,
            )
        });
        let mut out = Self::default();
        out.whole.extend(words(&WHOLE, code).map(str::to_owned));
        for found in REQUIRED.captures_iter(code) {
            let all = match &found[3] {
                "" | " . strict" => &found[2] != "chai",
                member => &found[2] == "chai" && member == " . assert",
            };
            if all {
                out.whole.insert(found[1].to_owned());
            }
        }
        for part in words(&PARTS, code).flat_map(|list| list.split(',')) {
            let (name, local) =
                part.split_once(" as ").or_else(|| part.split_once(':')).unwrap_or((part, part));
            match (name.trim(), local.trim()) {
                ("assert" | "strict", local) => drop(out.whole.insert(local.to_owned())),
                (name, local) => drop(out.parts.insert(local.to_owned(), name.to_owned())),
            }
        }
        out
    }
}

fn said_in_script(code: &str) -> Vec<String> {
    static MATCHER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\) \. (to[A-Z]\w*|to(?: \. \w+)+)"));
    let known = Known::of(code);
    let form = |name: String, word: &str| {
        let waits = if word == "rejects" { "return " } else { "" };
        Some(format!("{waits}{name}{};", row(ASSERT, word)?))
    };
    let parts: Vec<&str> = code.split_whitespace().collect();
    let at = |at: usize| parts.get(at).copied().unwrap_or_default();
    let mut out = Vec::new();
    for (here, name) in parts.iter().enumerate() {
        if here > 0 && at(here - 1) == "." {
            continue;
        }
        out.extend(match (at(here + 1), at(here + 3)) {
            ("(", _) => match known.parts.get(*name) {
                Some(word) => form((*name).to_owned(), word),
                None if known.whole.contains(*name) => form((*name).to_owned(), ""),
                None => None,
            },
            (".", "(") if known.whole.contains(*name) => {
                form(format!("{name}.{}", at(here + 2)), at(here + 2))
            }
            _ => None,
        });
    }
    if code.contains("expect (") {
        let matchers = words(&MATCHER, code).map(|matcher| matcher.replace(" . ", "."));
        out.extend(matchers.filter_map(|matcher| Some(format!("expect{};", row(EXPECT, &matcher)?))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> Texts {
        Texts { before: Vec::new(), after: vec![text.to_owned()] }
    }

    #[test]
    fn the_forms_of_a_file_are_the_most_used_first() {
        let rust = |text: &str| super::rust(&after(text));
        let pytest = |text: &str| super::pytest(&after(text));
        let unittest = |text: &str| super::unittest(&after(text));
        assert_eq!(rust("fn a() { 1; }"), ["assert_eq!(\"NAME\", \"\");"]);
        assert_eq!(
            rust("fn f() { assert!(a);\nassert!(b);\nassert_ne!(a, b); debug_assert!(c) }"),
            ["assert!(\"NAME\".is_empty());", "assert_ne!(\"NAME\", \"NAME\");"]
        );
        assert_eq!(
            pytest("def test_a():\n    assert 1\n    with pytest.raises(E):\n        pass\n    assert 2\n")[..],
            [PYTEST[0].1, PYTEST[1].1]
        );
        assert_eq!(
            unittest("self.assertEqual(a, b)\nself.assertEqual(a, c)\nself.assertClose(a)\nself.fail()"),
            ["self.assertEqual(\"NAME\", \"\")", "self.fail(\"NAME\")"]
        );
        assert_eq!(named("a(\"NAME\")", "x"), "a(\"x\")");
        assert_eq!(
            pytest("from pytest import raises, approx\nwith raises(E):\n    f()\nx = approx(1)\n")[..],
            [PYTEST[2].1, PYTEST[1].1]
        );
    }

    #[test]
    fn what_is_no_code_says_nothing_and_what_a_patch_adds_comes_last() {
        let comment = "# self.assertIs( self.assertIs( assert x\n'self.assertIn('\nself.assertLess(a, b)\n";
        assert_eq!(unittest(&after(comment)), ["self.assertLess(2, 1, \"NAME\")"]);
        assert_eq!(rust(&after("// assert!(a)\nconst A: &str = \"assert_ne!(\";")), [RUST[0].1]);
        let script = "// const a = require('assert'); a.ok(1);\nconst b = 'a.ok(';\n";
        assert_eq!(javascript(Language::JavaScript, &after(script)), [""; 0]);
        // A file that says the same by many names fills the list; what the base says is in it.
        let many: String =
            (0..60).map(|n| format!("import a{n} from 'assert';\na{n}.ok(1);\na{n}.ok(1);\n")).collect();
        let base = "import a0 from 'assert';\na0.strictEqual(1, 1);\n".to_owned();
        let texts = Texts { before: vec![base], after: vec![many] };
        let found = javascript(Language::TypeScript, &texts);
        assert_eq!((found.len(), found[0].as_str()), (MOST, "a0.strictEqual('NAME', '');"));
    }

    #[test]
    fn the_list_holds_every_known_form() {
        for rows in [RUST, PYTEST, UNITTEST, GO, TESTIFY, ASSERT, EXPECT] {
            assert!(rows.len() <= MOST);
        }
    }

    #[test]
    fn go_needs_the_imports_of_what_it_uses() {
        let text = "import (\n\t\"testing\"\n\tcheck \"github.com/stretchr/testify/assert\"\n\t\"github.com/stretchr/testify/require\"\n)\nfunc TestA(t *testing.T) { check.Equal(t, 1, 2); check.Equal(t, 1, 1); t.Errorf(\"x\") }";
        let go = |text: &str| super::go(&after(text));
        let found = go(text);
        assert_eq!(found.forms, ["check.Equal(t, \"NAME\", \"\")", "t.Errorf(\"%s\", \"NAME\")"]);
        assert_eq!(
            found.imports.into_iter().collect::<Vec<_>>(),
            ["check \"github.com/stretchr/testify/assert\""]
        );
        assert_eq!(go("func f() {}").forms, ["t.Fatal(\"NAME\")"]);
        let one = go("import \"github.com/stretchr/testify/assert\"\nfunc f() { assert.True(t, x) }");
        assert_eq!(one.imports.into_iter().collect::<Vec<_>>(), ["\"github.com/stretchr/testify/assert\""]);
    }

    #[test]
    fn javascript_by_the_names_of_the_file() {
        let check = |text: &str| javascript(Language::JavaScript, &after(text)).join(" ");
        assert_eq!(
            check(
                "const assert = require('node:assert');\nassert.strictEqual(1, 2);\nassert.strictEqual(1, 1);\nassert(x);\n"
            ),
            "assert.strictEqual('NAME', ''); assert('NAME'.length === 0);"
        );
        assert_eq!(check("import t from 'assert/strict';\nt.equal(a, b);"), "t.equal('NAME', '');");
        assert_eq!(
            check("const { deepEqual: same } = require('assert');\nsame(a, b)"),
            "same(['NAME'], []);"
        );
        assert_eq!(
            check("import { strict as assert } from 'assert';\nawait assert.rejects(f)"),
            "return assert.rejects(async () => {}, 'NAME');"
        );
        assert_eq!(check("expect(a).toBe(b);\nexpect(a).not.toEqual(c)"), "expect('NAME').toBe('');");
        assert_eq!(
            check("const { expect } = require('chai');\nexpect(f(a)).to.deep.equal(b)"),
            "expect(['NAME']).to.deep.equal([]);"
        );
        for text in [
            "import assert, { deepEqual } from \"node:assert\";\nassert.strictEqual(a, b);",
            "const test = require('node:test'), assert = require('assert');\nassert.strictEqual(a, b);",
            "const assert = require('chai').assert;\nassert.strictEqual(a, b)",
            "const chai = require('chai')\nconst assert = chai.assert\nassert.strictEqual(a, b)",
            "const assert = require('assert').strict\nassert.strictEqual(a, b)",
        ] {
            assert_eq!(check(text), "assert.strictEqual('NAME', '');", "{text}");
        }
        let mixed = "import assert, { deepEqual } from 'assert';\ndeepEqual(a, b);";
        assert_eq!(check(mixed), "deepEqual(['NAME'], []);");
        assert_eq!(check("const is = require('assert').strictEqual;\nis.equal(a, b)"), "");
        // Nobody knows what this is.
        assert_eq!(check("const check = require('./check');\ncheck.equal(a, b);"), "");
    }
}
