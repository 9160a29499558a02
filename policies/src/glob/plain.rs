//! Sets of patterns as one automaton each: what the sets were before they were indexed, and what these are held
//! against. The `regex` crate says what folding case means; the reference knows that of ASCII alone.

use regex::{RegexSet, RegexSetBuilder};

use super::*;

/// The same patterns in every set.
pub(super) struct Sets<'a> {
    patterns: &'a [&'a Pattern],
    folded: RegexSet,
    exact: RegexSet,
    allow: RegexSet,
    ancestors: RegexSet,
}

impl<'a> Sets<'a> {
    pub(super) fn new(patterns: &'a [&'a Pattern]) -> Self {
        let denials = || patterns.iter().map(|pattern| pattern.expression(Polarity::Deny));
        Self {
            folded: compile(denials(), true),
            exact: compile(denials(), false),
            allow: compile(patterns.iter().map(|pattern| pattern.expression(Polarity::Allow)), false),
            ancestors: compile(patterns.iter().map(|pattern| pattern.ancestors()), false),
            patterns,
        }
    }

    /// The indexes of the denials that match, in order.
    pub(super) fn denials(&self, path: &str) -> Vec<usize> {
        let nfc = nfc(path);
        let mut out: Vec<usize> = self.folded.matches(&nfc).iter().collect();
        out.extend(self.folded.matches(&stripped(&nfc)).iter());
        out.extend(self.exact.matches(&nfc).iter().filter(|at| self.patterns[*at].has_negated_class()));
        out.sort_unstable();
        out.dedup();
        out
    }

    /// The indexes of the allowances that match, in order.
    pub(super) fn allowances(&self, path: &str) -> Vec<usize> {
        self.allow.matches(&nfc(path)).iter().collect()
    }

    /// The indexes of the allowances that something beneath the path may match, in order.
    pub(super) fn beneath(&self, path: &str) -> Vec<usize> {
        self.ancestors.matches(&nfc(path)).iter().collect()
    }
}

fn nfc(path: &str) -> String {
    path.nfc().collect()
}

/// The path as file systems hold it that leave out what HFS+ ignores and Windows drops.
fn stripped(path: &str) -> String {
    let names = path.split('/').map(|name| {
        let ignored =
            |c: &char| matches!(u32::from(*c), 0x200c..=0x200f | 0x202a..=0x202e | 0x206a..=0x206f | 0xfeff);
        let kept: String = name.chars().filter(|c| !ignored(c)).collect();
        match kept.trim_end_matches(['.', ' ']) {
            "" => name.to_owned(),
            kept => kept.to_owned(),
        }
    });
    names.collect::<Vec<_>>().join("/")
}

/// Compiles expressions into one automaton.
pub(super) fn compile(expressions: impl Iterator<Item = String>, fold: bool) -> RegexSet {
    RegexSetBuilder::new(expressions).case_insensitive(fold).build().expect("a few patterns")
}

impl Pattern {
    /// The expression for what the pattern matches. Whether `build/` names a folder or a file cannot be
    /// seen in a path: a denial takes both, an allowance only what lies beneath.
    fn expression(&self, polarity: Polarity) -> String {
        let end = match (self.folder_only, polarity) {
            (true, Polarity::Allow) => "/",
            _ => "(?:/|$)",
        };
        let mut out = String::from("^");
        for (i, segment) in self.segments.iter().enumerate() {
            let last = i + 1 == self.segments.len();
            match segment {
                Segment::Any if last => {
                    out.push_str("[^/]+");
                    out.push_str(end);
                }
                Segment::Any => out.push_str("(?:[^/]+/)*"),
                Segment::Name(name) => {
                    push_name(name, &mut out);
                    out.push_str(if last { end } else { "/" });
                }
            }
        }
        out
    }

    /// The expression for the folders that something matching may lie beneath.
    fn ancestors(&self) -> String {
        let mut out = String::from("^");
        let mut open = 0;
        for (i, segment) in self.segments.iter().enumerate() {
            if *segment == Segment::Any {
                // Anything below here may hold a match.
                out.push_str(if i == 0 { "" } else { "(?:/|$)" });
                out.push_str(&")".repeat(open));
                return out;
            }
            if i + 1 == self.segments.len() && !self.folder_only {
                break;
            }
            let Segment::Name(name) = segment else { continue };
            if i > 0 {
                out.push_str("(?:$|/");
                open += 1;
            }
            push_name(name, &mut out);
        }
        if out.len() == 1 {
            // A single anchored name: only the root is above it.
            return String::from("^$");
        }
        out.push('$');
        out.push_str(&")".repeat(open));
        out
    }
}

fn push_name(name: &[Piece], out: &mut String) {
    for piece in name {
        match piece {
            Piece::Literal(c) => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            Piece::One => out.push_str("[^/]"),
            Piece::Many => out.push_str("[^/]*"),
            Piece::Class { negated, ranges } => {
                out.push_str(if *negated { "[[^" } else { "[[" });
                for (low, high) in ranges {
                    out.push_str(&format!(r"\x{{{:x}}}-\x{{{:x}}}", *low as u32, *high as u32));
                }
                out.push_str("]&&[^/]]");
            }
        }
    }
}
