//! The lines of a patch that its tests should mean: added, in code, and not in tests.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::RelPath;
use gloaming_syntax::{Language, TokenKind, tokens, units};

use super::is_code;
use crate::change::Change;

/// Returns the added lines with something to run in them, by file; files of tests and tests inside files of code left
/// out.
pub(crate) fn product_lines(change: &Change) -> BTreeMap<RelPath, BTreeSet<u32>> {
    let mut out = BTreeMap::new();
    for diff in change.files.iter().filter(|diff| is_code(&diff.file.path, diff.file.role)) {
        let (Some(language), Some(after)) = (Language::of(diff.file.path.as_str()), diff.after.as_deref())
        else {
            continue;
        };
        let mut lines: BTreeSet<u32> = diff.added().map(|(line, _)| line).collect();
        let said = said_lines(language, after);
        lines.retain(|line| said.contains(line));
        for (first, last) in test_lines(language, after) {
            lines.retain(|line| *line < first || *line > last);
        }
        if !lines.is_empty() {
            out.insert(diff.file.path.clone(), lines);
        }
    }
    out
}

/// Lines with more in them than comments and brackets.
fn said_lines(language: Language, source: &[u8]) -> BTreeSet<u32> {
    tokens(language, source)
        .into_iter()
        .filter(|token| match token.kind {
            TokenKind::Identifier | TokenKind::Literal => true,
            TokenKind::Comment => false,
            TokenKind::Other => token.text.chars().any(char::is_alphabetic),
        })
        .map(|token| token.line)
        .collect()
}

/// First and last line of each test and test module.
fn test_lines(language: Language, source: &[u8]) -> Vec<(u32, u32)> {
    let line_at = |byte: usize| {
        let newlines = source[..byte.min(source.len())].iter().filter(|b| **b == b'\n').count();
        u32::try_from(newlines + 1).unwrap_or(u32::MAX)
    };
    units(language, source)
        .into_iter()
        .filter(|unit| unit.is_test || unit.in_test_module)
        .map(|unit| (unit.line, line_at(unit.end)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::diff;

    #[test]
    fn neither_comments_nor_tests_nor_brackets() {
        let files = vec![
            diff(
                "src/lib.rs",
                Some("fn a() {}\n"),
                Some(
                    "fn a() {}\n// why\nfn b() {\n    c();\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() {\n        super::b();\n    }\n}\n",
                ),
            ),
            diff("tests/test_a.py", None, Some("x = 1\n")),
            diff("README.md", None, Some("x\n")),
        ];
        let change = Change { files, base: BTreeMap::new(), patched: BTreeMap::new() };
        let lines = product_lines(&change);
        assert_eq!(lines, [(RelPath::parse("src/lib.rs").unwrap(), BTreeSet::from([3, 4]))].into());
    }
}
