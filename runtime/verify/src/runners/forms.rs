//! How tests say that something holds, as they are written: a control test fails by each of these forms that its
//! neighbours use, so that one that no longer says anything is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

/// The most forms of one file that get a failing control each.
const MOST: usize = 6;

/// What stands for the control's own name in a form.
const NAME: &str = "NAME";

/// A word of a language's assertions, and a statement that fails by it.
type Row = (&'static str, &'static str);

/// Returns a statement with a name put in.
pub(super) fn named(form: &str, name: &str) -> String {
    form.replace(NAME, name)
}

/// Returns statements by the words that are used, the one that is used most first.
fn most_used(words: impl Iterator<Item = String>, of: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for form in words.filter_map(|word| of(&word)) {
        *counts.entry(form).or_default() += 1;
    }
    let mut forms: Vec<(String, usize)> = counts.into_iter().collect();
    forms.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    forms.into_iter().take(MOST).map(|(form, _)| form).collect()
}

fn row(rows: &[Row], word: &str) -> Option<String> {
    rows.iter().find(|row| row.0 == word).map(|row| row.1.to_owned())
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

fn words(pattern: &Regex, text: &str) -> impl Iterator<Item = String> {
    pattern.captures_iter(text).filter_map(|found| Some(found.get(1)?.as_str().to_owned()))
}

const RUST: &[Row] = &[
    ("assert_eq", "assert_eq!(\"NAME\", \"\");"),
    ("assert_ne", "assert_ne!(\"NAME\", \"NAME\");"),
    ("assert", "assert!(\"NAME\".is_empty());"),
];

/// Statements that fail as the tests of a Rust file would.
pub(super) fn rust(text: &str) -> Vec<String> {
    static CALL: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(assert(?:_eq|_ne)?)\s*!"));
    let forms = most_used(words(&CALL, text), |word| row(RUST, word));
    if forms.is_empty() { vec![RUST[0].1.to_owned()] } else { forms }
}

const PYTEST: &[Row] = &[
    ("assert", "assert \"NAME\" == \"\""),
    ("raises", "import pytest\n    with pytest.raises(ValueError):\n        str(\"NAME\")"),
    ("approx", "import pytest\n    assert 1.0 == pytest.approx(2.0), \"NAME\""),
];

/// The same for functions of pytest, indented by four.
pub(super) fn pytest(text: &str) -> Vec<String> {
    static CALL: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?m)^[ \t]*(assert)\b|\bpytest\.(?:raises|approx)\b"));
    let said = CALL.find_iter(text).map(|found| {
        let word = found.as_str();
        word.rsplit(['.', ' ', '\t']).next().unwrap_or(word).to_owned()
    });
    let forms = most_used(said, |word| row(PYTEST, word));
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
pub(super) fn unittest(text: &str) -> Vec<String> {
    static CALL: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bself\.(assert\w+|fail)\("));
    most_used(words(&CALL, text), |word| row(UNITTEST, word))
}

const GO: &[Row] = &[
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

pub(super) fn go(text: &str) -> Go {
    static CALL: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(\w+\.[A-Z]\w*)\("));
    static IMPORT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r#"(?m)^\s*(?:import\s+)?((?:(\w+)\s+)?"github\.com/stretchr/testify/(assert|require)")"#)
    });
    let known: BTreeMap<&str, &str> = IMPORT
        .captures_iter(text)
        .filter_map(|found| {
            let name = found.get(2).or(found.get(3))?.as_str();
            Some((if name == "import" { found.get(3)?.as_str() } else { name }, found.get(1)?.as_str()))
        })
        .collect();
    let mut forms = most_used(words(&CALL, text), |call| {
        let (of, word) = call.split_once('.')?;
        match of {
            "t" => row(GO, word),
            package if known.contains_key(package) => Some(format!("{package}.{}", row(TESTIFY, word)?)),
            _ => None,
        }
    });
    if forms.is_empty() {
        forms.extend(row(GO, "Fatal"));
    }
    let needed =
        known.iter().filter(|(name, _)| forms.iter().any(|form| form.starts_with(&format!("{name}."))));
    let imports = needed.map(|(_, line)| line.trim_start_matches("import ").to_owned()).collect();
    Go { forms, imports }
}

/// Of node's and chai's assert, behind the name it has in the file.
pub(super) const ASSERT: &[Row] = &[
    ("", "('NAME' === '')"),
    ("ok", "('NAME' === '')"),
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
    ("isTrue", "('NAME' === '')"),
    ("isFalse", "('NAME' !== '')"),
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
    ("toBeTruthy", "('NAME' === '').toBeTruthy()"),
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
    ("to.be.true", "('NAME' === '').to.be.true"),
    ("to.be.false", "('NAME' !== '').to.be.false"),
    ("to.throw", "(() => 'NAME').to.throw()"),
    ("to.include", "('').to.include('NAME')"),
    ("to.have.lengthOf", "('NAME').to.have.lengthOf(0)"),
];

/// What a JavaScript file's tests fail by, in the file's own scope.
pub(super) fn javascript(text: &str) -> Vec<String> {
    static WHOLE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"\b(?:const|let|var)\s+([\w$]+)\s*=\s*require\(\s*['"](?:node:)?assert(?:/strict)?['"]\s*\)(?:\.strict\b)?\s*(?:[;,\n]|$)|\bimport\s+(?:\*\s*as\s+)?([\w$]+)\s+from\s*['"](?:node:)?assert(?:/strict)?['"]"#,
        )
    });
    static PARTS: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r#"\b(?:import|const|let|var)\s*\{([^}]*)\}\s*(?:from|=\s*require\()\s*['"](?:(?:node:)?assert(?:/strict)?|chai|vitest)['"]"#,
        )
    });
    static CALL: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:^|[^.\w$])([\w$]+(?:\.[\w$]+)?)\s*\("));
    static MATCHER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\)\s*\.(to[A-Z]\w*|to(?:\.\w+)+)"));
    let mut whole: BTreeSet<String> = WHOLE
        .captures_iter(text)
        .filter_map(|found| Some(found.get(1).or(found.get(2))?.as_str().to_owned()))
        .collect();
    let mut parts: BTreeMap<String, String> = BTreeMap::new();
    for list in words(&PARTS, text) {
        for part in list.split(',') {
            let (name, local) =
                part.split_once(" as ").or_else(|| part.split_once(':')).unwrap_or((part, part));
            match (name.trim(), local.trim()) {
                ("assert" | "strict", local) => drop(whole.insert(local.to_owned())),
                (name, local) => drop(parts.insert(local.to_owned(), name.to_owned())),
            }
        }
    }
    let asserted = words(&CALL, text).filter(|call| {
        let of = call.split('.').next().unwrap_or(call);
        whole.contains(of) || parts.contains_key(call)
    });
    let expected = if text.contains("expect(") {
        words(&MATCHER, text).map(|matcher| format!("expect {matcher}")).collect()
    } else {
        Vec::new()
    };
    most_used(asserted.chain(expected), |said| {
        if let Some(matcher) = said.strip_prefix("expect ") {
            return Some(format!("expect{};", row(EXPECT, matcher)?));
        }
        let (of, word) = said.split_once('.').unwrap_or((said, ""));
        let word = parts.get(said).map_or(word, String::as_str);
        let waits = if word == "rejects" { "return " } else { "" };
        let name =
            if parts.contains_key(said) { said.to_owned() } else { of.to_owned() + dotted(word).as_str() };
        Some(format!("{waits}{name}{};", row(ASSERT, word)?))
    })
}

fn dotted(word: &str) -> String {
    if word.is_empty() { String::new() } else { format!(".{word}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_file_are_the_most_used_first() {
        assert_eq!(rust("fn a() { 1; }"), ["assert_eq!(\"NAME\", \"\");"]);
        assert_eq!(
            rust("assert!(a);\nassert!(b);\nassert_ne!(a, b); debug_assert!(c)"),
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
    }

    #[test]
    fn go_needs_the_imports_of_what_it_uses() {
        let text = "import (\n\t\"testing\"\n\tcheck \"github.com/stretchr/testify/assert\"\n\t\"github.com/stretchr/testify/require\"\n)\nfunc TestA(t *testing.T) { check.Equal(t, 1, 2); check.Equal(t, 1, 1); t.Errorf(\"x\") }";
        let found = go(text);
        assert_eq!(found.forms, ["check.Equal(t, \"NAME\", \"\")", "t.Errorf(\"%s\", \"NAME\")"]);
        assert_eq!(
            found.imports.into_iter().collect::<Vec<_>>(),
            ["check \"github.com/stretchr/testify/assert\""]
        );
        assert_eq!(go("func f() {}").forms, ["t.Fatal(\"NAME\")"]);
        let one = go("import \"github.com/stretchr/testify/assert\"\nassert.True(t, x)");
        assert_eq!(one.imports.into_iter().collect::<Vec<_>>(), ["\"github.com/stretchr/testify/assert\""]);
    }

    #[test]
    fn javascript_by_the_names_of_the_file() {
        let check = |text: &str| javascript(text).join(" ");
        assert_eq!(
            check(
                "const assert = require('node:assert');\nassert.strictEqual(1, 2);\nassert.strictEqual(1, 1);\nassert(x);\n"
            ),
            "assert.strictEqual('NAME', ''); assert('NAME' === '');"
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
        // Nobody knows what this is.
        assert_eq!(check("const check = require('./check');\ncheck.equal(a, b);"), "");
    }
}
