//! Texts of which a match must contain one.
//!
//! Rejected: leaving it to the regex engine. For one text it is as fast, but for several, and for one whose case
//! does not matter, its vector search has no form in WebAssembly, and a plain loop took two to four times
//! ripgrep's time. Rejected too: one search for each text, file by file, which took a third more than one for all.

use memchr::memmem::Finder;
use needles::{ByteSet, Needles};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// With more texts than this, searching for them costs more than it saves.
const MOST: usize = 64;
/// How often a part of a pattern is written out at the most.
const TIMES: u32 = 16;

/// A text; each of its bytes is one of some.
type Text = Vec<ByteSet>;

/// Tells files that cannot match.
#[derive(Debug, Default)]
pub(crate) enum Prefilter {
    /// There is nothing to look for.
    #[default]
    None,
    One(Box<Finder<'static>>),
    Some(Box<Needles>),
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
        let Some(texts) = hir.ok().and_then(|hir| required(&hir)) else { return Self::None };
        if let Some(needles) = Needles::new(&texts) {
            return Self::Some(Box::new(needles));
        }
        // What is too common or too short for that.
        if let [text] = texts.as_slice()
            && let Some(bytes) = text.iter().map(ByteSet::only).collect::<Option<Vec<u8>>>()
        {
            return Self::One(Box::new(Finder::new(&bytes).into_owned()));
        }
        Self::None
    }

    /// Whether a file with this content may match.
    pub(crate) fn passes(&self, data: &[u8]) -> bool {
        match self {
            Self::None => true,
            Self::One(finder) => finder.find(data).is_some(),
            Self::Some(needles) => needles.may_be_in(data),
        }
    }
}

/// Returns texts of which every match contains at least one; none when there are no such texts.
fn required(hir: &Hir) -> Option<Vec<Text>> {
    if let Some(text) = spelled_out(hir).filter(|text| !text.is_empty()) {
        return Some(vec![text]);
    }
    match hir.kind() {
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Concat(parts) => of_sequence(parts),
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
        _ => None,
    }
}

/// Returns the rarest of what the parts of a sequence require, neighbours put together.
fn of_sequence(parts: &[Hir]) -> Option<Vec<Text>> {
    let mut found: Vec<Vec<Text>> = Vec::new();
    let mut run = Text::new();
    for part in parts {
        if let Some(text) = spelled_out(part) {
            run.extend(text);
            continue;
        }
        found.push(vec![std::mem::take(&mut run)]);
        found.extend(required(part));
    }
    found.push(vec![run]);
    found.retain(|texts| texts.iter().all(|text| !text.is_empty()));
    found.into_iter().min_by(|a, b| needles::share(a).total_cmp(&needles::share(b)))
}

/// Returns the bytes of everything that matches, where that is always as many; none when it is not.
fn spelled_out(hir: &Hir) -> Option<Text> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(Text::new()),
        HirKind::Literal(literal) => Some(literal.0.iter().map(|byte| ByteSet::of(*byte)).collect()),
        HirKind::Class(class) => ascii(class).map(|set| vec![set]),
        HirKind::Capture(capture) => spelled_out(&capture.sub),
        HirKind::Repetition(repetition)
            if repetition.max == Some(repetition.min) && repetition.min <= TIMES =>
        {
            spelled_out(&repetition.sub).map(|text| text.repeat(repetition.min as usize))
        }
        HirKind::Concat(parts) => {
            let parts: Option<Vec<Text>> = parts.iter().map(spelled_out).collect();
            parts.map(|parts| parts.concat())
        }
        HirKind::Repetition(_) | HirKind::Alternation(_) => None,
    }
}

/// Returns the bytes of a class; none where it holds characters of several.
fn ascii(class: &Class) -> Option<ByteSet> {
    match class {
        Class::Unicode(class) if class.is_ascii() => {
            Some(class.iter().flat_map(|range| range.start() as u8..=range.end() as u8).collect())
        }
        Class::Bytes(class) => Some(class.iter().flat_map(|range| range.start()..=range.end()).collect()),
        Class::Unicode(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pattern: &str) -> Vec<String> {
        let hir = ParserBuilder::new().multi_line(true).utf8(false).build().parse(pattern).unwrap();
        let spelled = |text: Text| text.iter().map(|set| format!("{set:?}")).collect::<String>();
        required(&hir).unwrap_or_default().into_iter().map(spelled).collect()
    }

    #[test]
    fn the_rarest_text_of_a_sequence_is_required() {
        assert_eq!(texts(r"fn\s+parse_(\w+)\("), ["parse_"]);
        assert_eq!(texts(r"\bfoo\b"), ["foo"]);
        assert_eq!(texts(r"(?:ab|ac)x{2,}longer"), ["longer"]);
        assert_eq!(texts(r"a{3}b+"), ["aaa"]);
    }

    #[test]
    fn every_alternative_counts() {
        assert_eq!(texts("struct|enum|trait"), ["enum", "struct", "trait"]);
        assert_eq!(
            texts(r"\b(TODO|FIXME)\b"),
            ["TODO", "FIXME"].map(String::from).into_iter().rev().collect::<Vec<_>>()
        );
        assert_eq!(texts(r"foo|\d+"), Vec::<String>::new());
    }

    #[test]
    fn what_may_be_missing_is_not_required() {
        for pattern in ["(foo)?", "(foo)*", r"\w+", "^$", "", "[^a]", "(?i)k+", "."] {
            assert_eq!(texts(pattern), Vec::<String>::new(), "{pattern}");
        }
        assert_eq!(texts("(foo)?bar"), ["bar"]);
    }

    #[test]
    fn either_case_is_one_text_and_letters_with_foreign_twins_end_it() {
        assert_eq!(texts("(?i)foo"), ["[Ff][Oo][Oo]"]);
        // The long s and the sign of the Kelvin are letters of these words too.
        assert_eq!(texts("(?i)task_id"), ["_[Ii][Dd]"]);
        assert!(Prefilter::new("kelvin", true).passes("\u{212a}elvin".as_bytes()));
        assert!(Prefilter::new("(?i)maſs", false).passes("MASS".as_bytes()));
    }

    #[test]
    fn a_filter_passes_whatever_may_match() {
        assert!(Prefilter::new("ab|cd", false).passes(b"xxcd"));
        assert!(!Prefilter::new("ab|cd", false).passes(b"xxc"));
        assert!(Prefilter::new("foo", true).passes(b"FOO"));
        assert!(!Prefilter::new("foo", true).passes(b"F0O and more of the same, long enough for a vector"));
        assert!(Prefilter::new("(", false).passes(b""));
    }
}
