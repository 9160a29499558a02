//! Texts of which a match must contain one.
//!
//! Rejected: leaving it to the regex engine. For one literal it is as fast, but for several its vector
//! search has no form in WebAssembly, and a plain loop took four times ripgrep's time; one vectorised
//! search for each text, file by file, takes a third of that.

use memchr::memmem::Finder;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};

/// With more texts than this, searching for each costs more than it saves.
const MOST: usize = 32;

/// Tells files that cannot match.
#[derive(Debug, Default)]
pub(crate) struct Prefilter {
    finders: Vec<Finder<'static>>,
}

impl Prefilter {
    /// Returns the filter of a pattern that matches as `grep-regex` would have it; one that lets everything
    /// pass when there is nothing to look for.
    pub(crate) fn new(pattern: &str, ignore_case: bool) -> Self {
        let hir = ParserBuilder::new()
            .multi_line(true)
            .utf8(false)
            .case_insensitive(ignore_case)
            .build()
            .parse(pattern);
        let texts = hir.ok().and_then(|hir| required(&hir)).unwrap_or_default();
        Self { finders: texts.iter().map(|text| Finder::new(text).into_owned()).collect() }
    }

    /// Whether a file with this content may match.
    pub(crate) fn passes(&self, data: &[u8]) -> bool {
        self.finders.is_empty() || self.finders.iter().any(|finder| finder.find(data).is_some())
    }
}

/// Returns texts of which every match contains at least one; none when there are no such texts.
fn required(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(vec![literal.0.to_vec()]),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(required).max_by_key(|texts| {
            let shortest = texts.iter().map(Vec::len).min().unwrap_or(0);
            (shortest.min(8), usize::MAX - texts.len())
        }),
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(required(part)?);
                if all.len() > MOST {
                    return None;
                }
            }
            all.sort();
            all.dedup();
            Some(all)
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) | HirKind::Repetition(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pattern: &str) -> Vec<String> {
        let hir = ParserBuilder::new().multi_line(true).utf8(false).build().parse(pattern).unwrap();
        let texts = required(&hir).unwrap_or_default();
        texts.into_iter().map(|text| String::from_utf8(text).unwrap()).collect()
    }

    #[test]
    fn the_longest_text_of_a_sequence_is_required() {
        assert_eq!(texts(r"fn\s+parse_(\w+)\("), ["parse_"]);
        assert_eq!(texts(r"\bfoo\b"), ["foo"]);
        assert_eq!(texts(r"(?:ab|ac)x{2,}longer"), ["longer"]);
    }

    #[test]
    fn every_alternative_counts() {
        assert_eq!(texts("struct|enum|trait"), ["enum", "struct", "trait"]);
        assert_eq!(texts(r"\b(TODO|FIXME)\b"), ["FIXME", "TODO"]);
        assert_eq!(texts(r"foo|\d+"), Vec::<String>::new());
    }

    #[test]
    fn what_may_be_missing_is_not_required() {
        for pattern in ["(foo)?", "(foo)*", r"\w+", "^$", "", "[ab]", "(?i)foo"] {
            assert_eq!(texts(pattern), Vec::<String>::new(), "{pattern}");
        }
        assert_eq!(texts("(foo)?bar"), ["bar"]);
    }

    #[test]
    fn a_filter_passes_whatever_may_match() {
        assert!(Prefilter::new("ab|cd", false).passes(b"xxcd"));
        assert!(!Prefilter::new("ab|cd", false).passes(b"xxc"));
        assert!(Prefilter::new("foo", true).passes(b"FOO"));
        assert!(Prefilter::new("(", false).passes(b""));
    }
}
