//! Code that reaches for what tests it: replaces a piece of the runner, or asks whether it is being tested.
//!
//! Known words alone are found; docs/VERIFICATION.md says what that leaves.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use gloaming_api::evidence::{FileChange, FileRole};
use gloaming_syntax::{Language, TokenKind, tokens};
use regex::Regex;

use crate::change::FileDiff;

const JS: &[Language] = &[Language::JavaScript, Language::TypeScript, Language::Tsx];

/// What an added line must not do, in code or in tests: language, pattern, what it does.
static REPLACES: LazyLock<Vec<(&[Language], Regex, &str)>> = LazyLock::new(|| {
    let pattern = |text| Regex::new(text).expect("a constant pattern");
    vec![
        (
            &[Language::Python],
            pattern(
                r"(?:^|[^\w.])(?:from|import)\s+(?:_pytest|pluggy)\b|\bimport_module\(\s*[\x22'](?:_pytest|pluggy)",
            ),
            "takes hold of pytest's inner parts",
        ),
        (
            &[Language::Python],
            pattern(
                r"(?:\b(?:pytest|_pytest|unittest)\b|sys\.modules\[\s*[\x22'](?:_?pytest|unittest)[\w.]*[\x22']\s*\])(?:\.\w+)+\s*=[^=]|\bsetattr\(\s*(?:pytest|_pytest|unittest)\b",
            ),
            "replaces a part of the test runner",
        ),
        (
            JS,
            pattern(
                r"(?:\brequire\(\s*['\x22](?:node:)?(?:assert|test)(?:/strict)?['\x22]\s*\)|\bassert(?:\.strict)?|\bexpect|\bchai)(?:\.\w+|\[[^\]\n]{1,80}\])+\s*=[^=>]",
            ),
            "replaces what tests check with",
        ),
        (
            JS,
            pattern(
                r"\b(?:Object\.(?:assign|definePropert(?:y|ies)|setPrototypeOf)|Reflect\.(?:set|defineProperty))\(\s*(?:require\(\s*['\x22](?:node:)?(?:assert|test)(?:/strict)?['\x22]|assert\b|expect\b|chai\b)",
            ),
            "replaces what tests check with",
        ),
        (
            &[Language::Rust],
            pattern(
                r"\bmacro_rules!\s*(?:assert\w*|debug_assert\w*|panic|matches|unreachable)\b|\bas\s+(?:debug_)?assert(?:_eq|_ne)?\s*[,;}]",
            ),
            "gives an assertion's name to something else",
        ),
    ]
});

/// By which other names a file knows what tests check with: language, the pattern of an import, whose groups are names, and
/// what must not be done to one of them, `{}`.
static ALIASES: LazyLock<Vec<(&[Language], Regex, &str)>> = LazyLock::new(|| {
    let pattern = |text| Regex::new(text).expect("a constant pattern");
    let assigned = r"\b(?:{})(?:\.\w+|\[[^\]\n]{1,80}\])+\s*=[^=>]|\b(?:Object\.(?:assign|definePropert(?:y|ies)|setPrototypeOf)|Reflect\.(?:set|defineProperty))\(\s*(?:{})\b";
    vec![
        (
            JS,
            pattern(
                r"\b(?:const|let|var)\s+([\w$]+)\s*=\s*(?:await\s+)?(?:require|import)\(\s*['\x22](?:(?:node:)?(?:assert|test)(?:/strict)?|chai|expect|should|vitest|@jest/globals|power-assert)['\x22]",
            ),
            assigned,
        ),
        (
            JS,
            pattern(
                r"\bimport\s+(?:\*\s*as\s+)?([\w$]+)[^;\n]{0,80}?\bfrom\s*['\x22](?:(?:node:)?(?:assert|test)(?:/strict)?|chai|expect|should|vitest|@jest/globals|power-assert)['\x22]",
            ),
            assigned,
        ),
        (
            &[Language::Python],
            pattern(r"\bimport\s+(?:_?pytest|unittest)(?:\.\w+)*\s+as\s+(\w+)"),
            r"\b(?:{})(?:\.\w+)+\s*=[^=]|\bsetattr\(\s*(?:{})\b",
        ),
        (
            &[Language::Python],
            pattern(r"\bfrom\s+(?:_?pytest|unittest)(?:\.\w+)*\s+import\s+(?:\(\s*)?(?:\w+\s+as\s+)?(\w+)"),
            r"\b(?:{})(?:\.\w+)+\s*=[^=]|\bsetattr\(\s*(?:{})\b",
        ),
    ]
});

/// The most other names that are followed.
const MOST_NAMES: usize = 50;

/// Returns what must not be done to what tests check with by the names that a file has for it; none where it has none.
fn by_other_names(language: Language, text: &str) -> Option<Regex> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut told = None;
    for (_, import, must_not) in ALIASES.iter().filter(|(languages, ..)| languages.contains(&language)) {
        let found = import.captures_iter(text).filter_map(|found| Some(found.get(1)?.as_str().to_owned()));
        names.extend(found.take(MOST_NAMES));
        told = Some(must_not);
    }
    // A name for a name.
    for _ in 0..4 {
        let known = names.len();
        let again = format!(r"\b([\w$]+)\s*=\s*(?:{})\s*(?:;|$|[,)\n])", joined(&names)?);
        let again = Regex::new(&again).ok()?;
        names.extend(again.captures_iter(text).map(|found| found[1].to_owned()).take(MOST_NAMES));
        if names.len() == known {
            break;
        }
    }
    Regex::new(&told?.replace("{}", &joined(&names)?)).ok()
}

/// Names as alternatives of a pattern.
fn joined(names: &BTreeSet<String>) -> Option<String> {
    let escaped: Vec<String> = names.iter().map(|name| regex::escape(name)).collect();
    (!escaped.is_empty()).then(|| escaped.join("|"))
}

/// A file's code on one line, with a space only where two words would run into each other, and the line of each token.
fn squeezed(language: Language, source: &[u8]) -> (String, Vec<(usize, u32)>) {
    let (mut text, mut places) = (String::new(), Vec::new());
    let is_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '$');
    for token in tokens(language, source).iter().filter(|token| token.kind != TokenKind::Comment) {
        if text.ends_with(is_word) && token.text.starts_with(is_word) {
            text.push(' ');
        }
        places.push((text.len(), token.line));
        text.push_str(&token.text);
    }
    (text, places)
}

/// How product code is recognised to ask for tests: language, pattern.
static ASKS: LazyLock<Vec<(&[Language], Regex)>> = LazyLock::new(|| {
    let pattern = |text| Regex::new(text).expect("a constant pattern");
    vec![
        (
            &[Language::Python],
            pattern(
                r"\bPYTEST_\w+|[\x22'](?:_?pytest|unittest)[\x22']\s*(?:not\s+)?in\s+sys\.modules|sys\.modules[^\n]*[\x22'](?:_?pytest|unittest)\b|^\s*(?:import|from)\s+(?:pytest|unittest)\b|\b_called_from_test\b",
            ),
        ),
        (
            &[Language::Rust],
            pattern(
                r"\bnot\(\s*test\s*\)|\bcfg!\(\s*test\s*\)|\bRUST_TEST_\w+|\bRUSTC_BOOTSTRAP\b|\bNEXTEST\w*",
            ),
        ),
        (
            JS,
            pattern(
                r"\bNODE_ENV\b[^\n]{0,20}['\x22]test['\x22]|\b(?:JEST_WORKER_ID|VITEST\w*|NODE_TEST_CONTEXT)\b|['\x22]node:test['\x22]|['\x22]--test\b|\btypeof\s+(?:jest|describe|it|vi)\b",
            ),
        ),
        (
            &[Language::Go],
            pattern(r"\btesting\.Testing\(|\bflag\.Lookup\(\s*\x22test\.|\x22-?test\.\w*|\x22\.test\x22"),
        ),
        // Where a verification keeps its reports and its own files.
        (
            &[
                Language::Python,
                Language::Rust,
                Language::Go,
                Language::JavaScript,
                Language::TypeScript,
                Language::Tsx,
            ],
            pattern(
                r"\b(?:open|isdir|exists|is_dir|glob|listdir|scandir|iterdir|Path|read_dir|read\w*|write\w*|Stat|ReadDir|ReadFile|WriteFile|Open|Create|fs|os)\b[^\n]*[\x22'`]/(?:report|gloaming)(?:[/\x22'`])",
            ),
        ),
    ]
});

/// Attributes with `not(test)` that say nothing about behaviour.
const HARMLESS: &[&str] = &["no_std", "no_main", "allow(", "deny(", "warn(", "forbid("];

/// Whether a line is such an attribute and nothing else; one may also name another file (`path`).
fn is_harmless(language: Language, text: &str) -> bool {
    let text = text.trim();
    let attribute = text.trim_start_matches('#').trim_start_matches('!');
    language == Language::Rust
        && attribute.starts_with("[cfg_attr(")
        && attribute.ends_with(")]")
        && HARMLESS.iter().any(|word| attribute.contains(word))
        && !["path", "{", ";"].iter().any(|word| attribute.contains(word))
}

/// Returns the added lines that are more than a comment.
pub(crate) fn added_code(language: Language, diff: &FileDiff) -> Vec<(u32, &str)> {
    let comments = comment_lines(language, diff.after.as_deref().unwrap_or_default());
    diff.added().filter(|(line, text)| !(comments.contains(line) || text.starts_with("#!/"))).collect()
}

/// Lines with nothing but a comment on them, as the language sees it: a line that begins with `//` goes on with a
/// division in Python, and one that begins with `*` with a product.
fn comment_lines(language: Language, source: &[u8]) -> BTreeSet<u32> {
    let (mut comments, mut said) = (BTreeSet::new(), BTreeSet::new());
    for token in tokens(language, source) {
        if token.kind == TokenKind::Comment {
            let more = token.text.trim_end().matches('\n').count();
            comments.extend(token.line..=token.line.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)));
        } else {
            said.insert(token.line);
        }
    }
    comments.retain(|line| !said.contains(line));
    comments
}

/// Returns the added lines that replace a part of the runner, each with what it does.
pub(crate) fn replaces(diff: &FileDiff) -> Vec<String> {
    let role = diff.file.role;
    if diff.file.change == FileChange::Deleted || !matches!(role, FileRole::Code | FileRole::Test) {
        return Vec::new();
    }
    let Some(language) = Language::of(diff.file.path.as_str()) else { return Vec::new() };
    let before = diff.text_before();
    let added = added_code(language, diff);
    let mut out = Vec::new();
    let told = |line: u32, what: &str| {
        let path = gloaming_api::path::escape_name(diff.file.path.as_str().as_bytes());
        format!("{path}:{line} {what}")
    };
    let lines: BTreeSet<u32> = added.iter().map(|(line, _)| *line).collect();
    let (code, places) = squeezed(language, diff.after.as_deref().unwrap_or_default());
    // The line of a match that no single line shows, where the patch wrote some of it.
    let across_lines = |pattern: &Regex| {
        pattern.find_iter(&code).find_map(|found| {
            let first = places.partition_point(|(start, _)| *start < found.start()).saturating_sub(1);
            let tokens = places[first..].iter().take_while(|(start, _)| *start < found.end());
            tokens.map(|(_, line)| *line).find(|line| lines.contains(line))
        })
    };
    for (languages, pattern, what) in REPLACES.iter() {
        // A plugin's own file did so before.
        if !languages.contains(&language) || pattern.is_match(&before) {
            continue;
        }
        let found = added.iter().find(|(_, text)| pattern.is_match(text)).map(|(line, _)| *line);
        out.extend(found.or_else(|| across_lines(pattern)).map(|line| told(line, what)));
    }
    let after = diff.after.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    if out.is_empty()
        && let Some(pattern) = by_other_names(language, &after)
        && !pattern.is_match(&before)
    {
        let found = added.iter().find(|(_, text)| pattern.is_match(text)).map(|(line, _)| *line);
        out.extend(
            found.or_else(|| across_lines(&pattern)).map(|line| told(line, "replaces what tests check with")),
        );
    }
    out
}

/// Returns the added lines of product code that ask whether they are being tested.
pub(crate) fn asks<'d>(diff: &'d FileDiff) -> Vec<(u32, &'d str)> {
    if diff.file.role != FileRole::Code || diff.file.change == FileChange::Deleted {
        return Vec::new();
    }
    let Some(language) = Language::of(diff.file.path.as_str()) else { return Vec::new() };
    let before = diff.text_before();
    let added = added_code(language, diff);
    let mut out: Vec<(u32, &'d str)> = Vec::new();
    for (languages, pattern) in ASKS.iter() {
        if !languages.contains(&language) || pattern.is_match(&before) {
            continue;
        }
        out.extend(added.iter().filter(|(_, text)| pattern.is_match(text) && !is_harmless(language, text)));
    }
    out.sort_unstable();
    out.dedup_by_key(|(line, _)| *line);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::diff;

    #[test]
    fn a_part_of_the_runner_is_not_replaced() {
        for (path, line) in [
            ("calc/a.py", "from _pytest.python import Function"),
            ("tests/__init__.py", "import _pytest.runner as r"),
            ("calc/a.py", "pytest.approx = lambda *a: 1"),
            ("calc/a.py", "unittest.TestCase.assertEqual = print"),
            ("calc/a.py", "sys.modules['pytest'].raises = suppress"),
            ("src/a.js", "require('node:assert').strictEqual = () => {};"),
            ("src/a.js", "Object.assign(require('assert'), { strictEqual() {} });"),
            ("src/a.js", "const c = require('node:assert');\nconst d = c;\nd.strictEqual = () => {};"),
            ("src/a.mjs", "import * as check from 'node:assert';\ncheck['ok'] = () => {};"),
            ("calc/a.py", "import pytest as p\np.approx = list"),
            ("calc/a.py", "from unittest import TestCase\nTestCase.assertEqual = print"),
            ("src/a.rs", "macro_rules! assert_eq {"),
            ("src/a.rs", "macro_rules!\nassert_eq {\n    () => {};\n}"),
        ] {
            assert_eq!(replaces(&diff(path, Some("x\n"), Some(&format!("x\n{line}\n")))).len(), 1, "{line}");
        }
        for (path, line) in [
            ("tests/test_a.py", "import pytest"),
            ("tests/test_a.py", "assert pytest.approx(1) == x"),
            ("calc/a.py", "# import _pytest"),
            ("src/a.js", "assert.strictEqual(a, b);"),
            ("src/a.js", "const check = (a) => assert.ok(a);"),
            ("src/a.js", "const c = require('node:assert');\nc.ok(1);\nconst e = { c };\ne.x = 1;"),
            ("tests/test_a.py", "from unittest import TestCase\nclass T(TestCase):\n    x = 1"),
            ("src/a.rs", "assert_eq!(a, b);"),
        ] {
            assert_eq!(replaces(&diff(path, Some("x\n"), Some(&format!("x\n{line}\n")))), [""; 0], "{line}");
        }
        // It only looks like a comment, and runs.
        for (path, text) in [
            ("calc/a.py", "y = (1\n// (setattr(pytest, 'approx', f) or 1))\n"),
            ("calc/a.py", "y = (1\n* (setattr(pytest, 'approx', f) or 1))\n"),
            ("src/a.js", "const y = 1\n* (assert.strictEqual = f);\n"),
        ] {
            assert_eq!(replaces(&diff(path, Some("x\n"), Some(&format!("x\n{text}")))).len(), 1, "{text}");
        }
        let comment = "/*\n * assert.strictEqual = f;\n * expect.extend = g\n */\n";
        assert_eq!(replaces(&diff("src/a.js", Some("x\n"), Some(&format!("x\n{comment}")))), [""; 0]);
        // A plugin goes on as it was.
        let plugin = "from _pytest.python import Function\n";
        assert_eq!(replaces(&diff("a.py", Some(plugin), Some(&format!("{plugin}{plugin}")))), [""; 0]);
    }

    #[test]
    fn product_code_that_asks_for_tests_is_told() {
        for (path, line) in [
            ("calc/a.py", "if \"pytest\" in sys.modules:"),
            ("calc/a.py", "if os.environ.get('PYTEST_CURRENT_TEST'):"),
            ("calc/a.py", "import pytest"),
            ("calc/a.py", "ok = os.path.isdir(\"/report\")"),
            ("src/a.rs", "#[cfg(not(test))]"),
            ("src/a.rs", "if cfg!(test) {"),
            ("src/a.rs", "if cfg!(test) && allow(x) {"),
            ("src/a.rs", "#[cfg_attr(not(test), allow(unused), path = \"other.rs\")]"),
            ("calc/a.py", "if 'pytest' in sys.modules and allow(x):"),
            ("src/a.js", "if (process.env.NODE_ENV === 'test') {"),
            ("a.go", "if flag.Lookup(\"test.v\") != nil {"),
        ] {
            assert_eq!(asks(&diff(path, Some("x\n"), Some(&format!("x\n{line}\n")))).len(), 1, "{line}");
        }
        for (path, line) in [
            ("tests/test_a.py", "import pytest"),
            ("calc/a.py", "@app.route(\"/report\")"),
            ("src/a.rs", "#[cfg(test)]"),
            ("src/a.rs", "#![cfg_attr(not(test), no_std)]"),
            ("src/a.js", "if (process.env.NODE_ENV === 'production') {"),
            ("a.go", "f := flag.Lookup(\"strict\")"),
        ] {
            assert_eq!(asks(&diff(path, Some("x\n"), Some(&format!("x\n{line}\n")))), [], "{line}");
        }
    }
}
