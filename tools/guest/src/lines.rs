//! Lines of a file and how they are shown.

use std::borrow::Cow;
use std::fmt::Write;

/// Characters of one line that are shown.
pub const LINE_CHARS: usize = 2000;

/// How much of a file is looked at to tell text from binary, bytes.
const SNIFF: usize = 8 << 10;

/// A line and what ends it: `\n`, `\r\n`, or nothing at the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The line without its ending.
    pub text: &'a [u8],
    /// The ending.
    pub ending: &'static str,
}

/// Splits a file into its lines; joined again they are the file.
pub fn split(data: &[u8]) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', data) {
        let line = &data[start..end];
        lines.push(match line.strip_suffix(b"\r") {
            Some(text) => Line { text, ending: "\r\n" },
            None => Line { text: line, ending: "\n" },
        });
        start = end + 1;
    }
    if start < data.len() {
        lines.push(Line { text: &data[start..], ending: "" });
    }
    lines
}

/// Whether a file is binary: it holds a NUL near its beginning.
pub fn is_binary(data: &[u8]) -> bool {
    memchr::memchr(0, &data[..data.len().min(SNIFF)]).is_some()
}

/// Cuts a line at a number of characters; returns how many were left out, too.
pub fn cut(line: &str, chars: usize) -> (&str, usize) {
    // Most lines: there cannot be more characters than bytes.
    if line.len() <= chars {
        return (line, 0);
    }
    match line.char_indices().nth(chars) {
        Some((end, _)) => (&line[..end], line[end..].chars().count()),
        None => (line, 0),
    }
}

/// Appends a line with its number, cut at [`LINE_CHARS`].
pub fn push_numbered(out: &mut String, number: usize, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    let (shown, dropped) = cut(&line, LINE_CHARS);
    push_shown(out, number, shown, dropped);
}

/// Appends a line with its number, saying how many of its characters were left out.
pub fn push_shown(out: &mut String, number: usize, shown: &str, dropped: usize) {
    // By hand: the formatting of the standard library takes longer than everything else a small read does.
    let (mut digits, mut rest) = ([b' '; 20], number);
    let mut at = digits.len();
    while at == digits.len() || rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let padded = &digits[at.min(digits.len() - 6)..];
    out.push_str(std::str::from_utf8(padded).unwrap_or_default());
    out.push('\t');
    out.push_str(shown);
    // Writing to a String cannot fail.
    if dropped > 0 {
        let _ = write!(out, " [{dropped} more characters]");
    }
    out.push('\n');
}

/// Shows parts of a file with their numbers and `context` lines around them. A part is its first line, from
/// 1, and the one behind its last; parts must be in order. At most about `budget` bytes.
pub fn snippet(data: &[u8], parts: &[(usize, usize)], context: usize, budget: usize) -> String {
    let lines = split(data);
    let mut out = String::new();
    let mut shown_to = 0;
    for &(first, end) in parts {
        let from = first.saturating_sub(context).max(1).max(shown_to + 1);
        let to = (end.max(first) + context).min(lines.len() + 1);
        if from > shown_to + 1 && shown_to > 0 {
            out.push_str("   ...\n");
        }
        for number in from..to {
            if out.len() > budget {
                out.push_str("   ... [more changed lines are not shown]\n");
                return out;
            }
            push_numbered(&mut out, number, lines[number - 1].text);
            shown_to = number;
        }
    }
    out
}

/// Returns a line with white space at both ends removed and typographic dashes, quotes and spaces as their
/// ASCII cousins: the loosest comparison that Codex's `apply_patch` makes.
pub fn plain(line: &str) -> Cow<'_, str> {
    fold(line.trim())
}

/// Returns a line with typographic dashes, quotes and spaces as their ASCII cousins.
pub fn fold(line: &str) -> Cow<'_, str> {
    if line.is_ascii() {
        return Cow::Borrowed(line);
    }
    let plain = |c| match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        '\u{a0}' | '\u{2002}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        c => c,
    };
    Cow::Owned(line.chars().map(plain).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_keeps_each_ending() {
        let line = |text: &'static str, ending| Line { text: text.as_bytes(), ending };
        assert_eq!(split(b""), []);
        assert_eq!(split(b"\n"), [line("", "\n")]);
        assert_eq!(
            split(b"a\r\nb\n\rc\r\r\nd"),
            [line("a", "\r\n"), line("b", "\n"), line("\rc\r", "\r\n"), line("d", "")]
        );
    }

    #[test]
    fn snippet_joins_close_parts_and_cuts_far_ones() {
        let data: String = (1..=20).map(|n| format!("l{n}\n")).collect();
        assert_eq!(
            snippet(data.as_bytes(), &[(3, 4), (5, 6), (19, 21)], 1, 10_000),
            "     2\tl2\n     3\tl3\n     4\tl4\n     5\tl5\n     6\tl6\n   ...\n    18\tl18\n    19\tl19\n    20\tl20\n"
        );
        assert_eq!(snippet(b"", &[(1, 1)], 3, 100), "");
    }

    #[test]
    fn cut_counts_characters_not_bytes() {
        assert_eq!(cut("äöü", 2), ("äö", 1));
        assert_eq!(cut("äöü", 3), ("äöü", 0));
    }
}
