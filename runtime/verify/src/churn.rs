//! Soft signals about what a patch is made of: changes nobody asked for, padding, size, what others build on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use gloaming_api::evidence::{FileChange, FileRole};
use gloaming_api::profile::StyleNorms;
use gloaming_syntax::{Language, TokenKind, Unit, UnitKind, tokens, units};
use regex::Regex;

use crate::change::{Change, FileDiff, Hunk};
use crate::hunks;

/// One observation: the signal's name, its line and what it says.
pub(crate) type Seen = (&'static str, u32, String);

/// Changed lines of code, tests and others together, and changed files, beyond which a change is large where nothing
/// is known of the repository's own changes; docs/VERIFICATION.md says how many merged changes are.
const LARGE: Size = Size { lines: 300, files: 12 };

/// Where the repository's changes are known, the limit is the size that 19 in 20 of them do not exceed, but never
/// below the first of these (a change of a few lines is never large) nor above the second (what nobody reads
/// carefully is large, whatever is usual).
const LIMITS: [Size; 2] = [Size { lines: 100, files: 5 }, Size { lines: 1_000, files: 40 }];

/// So few changes have no 19 in 20.
const LEAST_CHANGES: u32 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    lines: u64,
    files: usize,
}

impl Size {
    /// The size beyond which a change is large.
    fn limit(norms: Option<&StyleNorms>) -> Self {
        let Some(norms) = norms.filter(|norms| norms.changes >= LEAST_CHANGES) else { return LARGE };
        let [least, most] = LIMITS;
        Self {
            lines: u64::from(norms.lines.p95).clamp(least.lines, most.lines),
            files: usize::try_from(norms.files.p95).unwrap_or(usize::MAX).clamp(least.files, most.files),
        }
    }
}

/// Added lines of comment in one file beyond which they are padding where they outnumber its code.
const PADDING: usize = 8;

static SUPPRESSES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"#\s*noqa\b|#\s*type:\s*ignore|#\s*pylint:\s*disable|#\s*pragma:\s*no cover|#!?\[(?:allow|expect)\(|\beslint-disable|@ts-(?:ignore|nocheck|expect-error)\b|//\s*nolint\b|\b(?:istanbul|c8|v8) ignore\b",
    )
    .expect("a constant pattern")
});

/// What one file shows by itself.
pub(crate) fn of_file(diff: &FileDiff) -> Vec<Seen> {
    let Some(language) = Language::of(diff.file.path.as_str()) else { return Vec::new() };
    if diff.file.change == FileChange::Deleted || diff.same_content() {
        return Vec::new();
    }
    let mut out = Vec::new();
    let before = diff.text_before();
    let known: BTreeSet<&str> = before.lines().map(str::trim).collect();
    for hunk in &diff.hunks {
        if let Some((line, _)) = hunk.added.first().filter(|_| reorders_imports(language, hunk)) {
            out.push(("import_churn", *line, "only the order of imports changed".to_owned()));
        }
    }
    for (line, text) in diff.added().filter(|(_, text)| SUPPRESSES.is_match(text)) {
        if !known.contains(text.trim()) {
            out.push(("lint_suppressed", line, text.to_owned()));
        }
    }
    if diff.file.role == FileRole::Code {
        out.extend(padding(language, diff));
        out.extend(public_interface(language, diff));
    }
    out
}

/// What the patch shows as a whole, each at one of its files. `norms` are the sizes of the repository's own changes.
pub(crate) fn of_patch<'c>(change: &'c Change, norms: Option<&StyleNorms>) -> Vec<(&'c FileDiff, Seen)> {
    let mut out = Vec::new();
    let lines: u64 =
        change.files.iter().map(|diff| u64::from(diff.file.added) + u64::from(diff.file.removed)).sum();
    let limit = Size::limit(norms);
    if let Some(first) = change.files.first()
        && (lines > limit.lines || change.files.len() > limit.files)
    {
        let detail = format!(
            "{lines} changed lines in {} files; {} lines or {} files are not large here",
            change.files.len(),
            limit.lines,
            limit.files
        );
        out.push((first, ("large_change", 0, detail)));
    }
    out.extend(unrelated(change));
    out.extend(hunks::unrelated(change));
    out
}

fn is_import(language: Language, line: &str) -> bool {
    let line = line.trim_start();
    let begins = |words: &[&str]| words.iter().any(|word| line.starts_with(word));
    match language {
        Language::Rust => begins(&["use ", "pub use ", "extern crate ", "mod ", "pub mod "]),
        Language::Python => begins(&["import ", "from "]),
        Language::Go => begins(&["import ", "\""]),
        _ => begins(&["import "]) || line.contains("= require("),
    }
}

/// Whether a hunk moves imports and nothing else.
fn reorders_imports(language: Language, hunk: &Hunk) -> bool {
    let words = |lines: &mut dyn Iterator<Item = &str>| -> Option<Vec<String>> {
        let mut words = Vec::new();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            if !is_import(language, line) {
                return None;
            }
            words.extend(line.split(|c: char| !(c.is_alphanumeric() || c == '_')).map(str::to_owned));
        }
        words.retain(|word| !word.is_empty());
        words.sort();
        Some(words)
    };
    let removed = words(&mut hunk.removed.iter().map(String::as_str));
    let added = words(&mut hunk.added.iter().map(|(_, text)| text.as_str()));
    removed.as_ref().is_some_and(|words| !words.is_empty()) && removed == added
}

fn is_comment(language: Language, line: &str) -> bool {
    let line = line.trim_start();
    match language {
        Language::Python => line.starts_with('#') && !line.starts_with("#!"),
        _ => ["//", "/*", "* ", "*/"].iter().any(|start| line.starts_with(start)) || line == "*",
    }
}

fn padding(language: Language, diff: &FileDiff) -> Option<Seen> {
    // Documentation of what others call is no padding.
    let documents =
        |line: &str| ["///", "//!", "/**"].iter().any(|start| line.trim_start().starts_with(start));
    let added: Vec<(u32, &str)> = diff.added().filter(|(_, text)| !text.trim().is_empty()).collect();
    let comments: Vec<&(u32, &str)> =
        added.iter().filter(|(_, text)| is_comment(language, text) && !documents(text)).collect();
    let code = added.iter().filter(|(_, text)| !is_comment(language, text)).count();
    let first = comments.first().filter(|_| comments.len() >= PADDING && comments.len() > code)?;
    Some(("comment_padding", first.0, format!("{} lines of comment to {code} of code", comments.len())))
}

/// Public declarations that are gone or take or return something else.
fn public_interface(language: Language, diff: &FileDiff) -> Vec<Seen> {
    let (Some(before), Some(after)) = (&diff.before, &diff.after) else { return Vec::new() };
    let (old, new) = (public(language, before), public(language, after));
    old.into_iter()
        .filter_map(|(name, (_, head))| match new.get(&name) {
            None => Some(("public_interface", 0, format!("`{name}` is gone"))),
            Some((line, other)) if *other != head => {
                Some(("public_interface", *line, format!("`{name}` has another signature")))
            }
            Some(_) => None,
        })
        .collect()
}

/// Public declarations by name: line, and the words up to the body.
fn public(language: Language, source: &[u8]) -> BTreeMap<String, (u32, String)> {
    let mut out = BTreeMap::new();
    for unit in units(language, source) {
        let outside = !(unit.is_test || unit.in_test_module);
        if outside && is_public(language, &unit) && !unit.name.is_empty() {
            let ends = |word: &str| match language {
                Language::Python => word == ":",
                _ => word == "{" || word == ";",
            };
            let mut depth = 0_i32;
            let head: Vec<&str> = unit
                .tokens
                .iter()
                .map(|token| token.text.as_str())
                .take_while(|word| {
                    depth += match *word {
                        "(" | "[" => 1,
                        ")" | "]" => -1,
                        _ => 0,
                    };
                    !(depth == 0 && ends(word))
                })
                .collect();
            out.entry(unit.name.clone()).or_insert((unit.line, head.join(" ")));
        }
    }
    out
}

fn is_public(language: Language, unit: &Unit) -> bool {
    let callable = matches!(unit.kind, UnitKind::Function | UnitKind::Type);
    let word = |at: usize| unit.tokens.get(at).map_or("", |token| token.text.as_str());
    let parts = || unit.name.split("::");
    match language {
        Language::Rust => {
            let at = unit.tokens.iter().position(|token| token.text == "pub");
            callable
                && at.is_some_and(|at| {
                    word(at + 1) != "(" && !unit.tokens[..at].iter().any(|t| t.text == "fn")
                })
        }
        Language::Python => callable && parts().all(|part| !part.starts_with('_')),
        Language::Go => callable && parts().all(|part| part.starts_with(char::is_uppercase)),
        _ => callable && word(0) == "export",
    }
}

/// Changed files of code that have no word in common with the rest of the change.
fn unrelated(change: &Change) -> Vec<(&FileDiff, Seen)> {
    let code: Vec<&FileDiff> = change
        .files
        .iter()
        .filter(|diff| matches!(diff.file.role, FileRole::Code | FileRole::Test) && !diff.same_content())
        .filter(|diff| Language::of(diff.file.path.as_str()).is_some())
        .collect();
    // Of more files than anybody reviews nothing needs to be said but that.
    if code.len() < 2 || code.len() > 50 {
        return Vec::new();
    }
    let words: Vec<BTreeSet<String>> = code.iter().map(|diff| changed_words(diff)).collect();
    let mut out = Vec::new();
    for (at, diff) in code.iter().enumerate() {
        let related =
            words.iter().enumerate().any(|(other, theirs)| other != at && !theirs.is_disjoint(&words[at]));
        if !related && diff.file.role == FileRole::Code && !words[at].is_empty() {
            let detail = "shares no name with the other changed files".to_owned();
            out.push((*diff, ("unrelated_file", 0, detail)));
        }
    }
    out
}

/// Names of changed lines and of what they are in, and the file's own.
fn changed_words(diff: &FileDiff) -> BTreeSet<String> {
    let Some(language) = Language::of(diff.file.path.as_str()) else { return BTreeSet::new() };
    let mut text = String::new();
    for hunk in &diff.hunks {
        for line in
            hunk.removed.iter().map(String::as_str).chain(hunk.added.iter().map(|(_, text)| text.as_str()))
        {
            text.push_str(line);
            text.push('\n');
        }
    }
    let mut out: BTreeSet<String> = tokens(language, text.as_bytes())
        .into_iter()
        .filter(|token| token.kind == TokenKind::Identifier)
        .map(|token| token.text)
        .chain(around(language, diff))
        .filter(|word| word.len() >= 3 && !COMMON.contains(&word.as_str()))
        .collect();
    let stem = diff.file.path.name().and_then(|name| name.split('.').next()).unwrap_or_default();
    out.insert(stem.trim_start_matches("test_").trim_end_matches("_test").to_owned());
    out
}

/// Names of the functions and types whose lines changed: a test that calls one need not name what changed inside.
fn around(language: Language, diff: &FileDiff) -> Vec<String> {
    let Some(after) = &diff.after else { return Vec::new() };
    let changed: Vec<u32> = diff.hunks.iter().flat_map(|hunk| &hunk.added).map(|(line, _)| *line).collect();
    units(language, after)
        .into_iter()
        .filter(|unit| matches!(unit.kind, UnitKind::Function | UnitKind::Type))
        .filter(|unit| {
            let (from, to) = hunks::lines_of(unit, after);
            changed.iter().any(|line| (from..=to).contains(line))
        })
        .flat_map(|unit| unit.name.split("::").map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Names that every file has.
pub(crate) const COMMON: &[&str] = &[
    "self",
    "len",
    "str",
    "int",
    "None",
    "True",
    "False",
    "Some",
    "String",
    "Result",
    "Option",
    "Vec",
    "assert",
    "assert_eq",
    "test",
    "the",
    "super",
    "std",
    "use",
    "require",
    "module",
    "exports",
    "console",
    "this",
    "name",
    "value",
    "err",
    "error",
    "fmt",
    "nil",
    "string",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::diff;

    fn check(path: &str, before: &str, after: &str) -> Vec<String> {
        of_file(&diff(path, Some(before), Some(after)))
            .into_iter()
            .map(|(name, line, detail)| format!("{name} {line}: {detail}"))
            .collect()
    }

    #[test]
    fn what_one_file_shows() {
        assert_eq!(
            check("a.py", "import b, a\nx = 1\n", "import a, b\nx = 1\n"),
            ["import_churn 1: only the order of imports changed"]
        );
        assert_eq!(check("a.py", "import a\n", "import a\nimport b\n"), [""; 0]);
        assert_eq!(
            check("src/a.rs", "pub fn f(a: u8) {}\n", "pub fn f(a: u16) {}\n"),
            ["public_interface 1: `f` has another signature"]
        );
        assert_eq!(check("src/a.rs", "fn f(a: u8) {}\n", "fn f(a: u16) {}\n"), [""; 0]);
        assert_eq!(check("a.py", "def f(a):\n    return 1\n", "def f(a):\n    return 2\n"), [""; 0]);
        assert_eq!(
            check("a.go", "package a\n\nfunc F() {}\n", "package a\n"),
            ["public_interface 0: `F` is gone"]
        );
        assert_eq!(check("a.py", "x = f()\n", "x = f()  # noqa\n"), ["lint_suppressed 1: x = f()  # noqa"]);
        let padded = format!("x = 1\n{}y = 2\n", "# more words\n".repeat(9));
        assert_eq!(check("a.py", "x = 1\n", &padded), ["comment_padding 2: 9 lines of comment to 1 of code"]);
    }

    #[test]
    fn a_file_that_shares_no_name_with_the_rest_is_told() {
        let change = |files: Vec<FileDiff>| Change { files, base: BTreeMap::new(), patched: BTreeMap::new() };
        let names = |change: &Change| -> Vec<String> {
            of_patch(change, None)
                .iter()
                .map(|(diff, seen)| format!("{} {}", seen.0, diff.file.path))
                .collect()
        };
        let fix =
            || diff("calc/core.py", Some("def add(a):\n    pass\n"), Some("def add(a):\n    return total\n"));
        let test = diff("tests/test_core.py", Some("x\n"), Some("x\nassert total\n"));
        let other = diff("calc/colour.py", Some("red = 1\n"), Some("red = 2\n"));
        assert_eq!(names(&change(vec![fix(), test.clone()])), [""; 0]);
        assert_eq!(names(&change(vec![fix(), test, other])), ["unrelated_file calc/colour.py"]);

        // The line itself names nothing that its test does; the function it is in does.
        let sign = diff(
            "calc/core.py",
            Some("def plus(a, b):\n    return a - b\n"),
            Some("def plus(a, b):\n    return a + b\n"),
        );
        let calls = diff("tests/test_sums.py", Some("x\n"), Some("x\nassert plus(1, 2) == 3\n"));
        assert_eq!(names(&change(vec![sign, calls])), [""; 0]);
    }
}
