//! The one glob dialect: gitignore's.
//!
//! A pattern is parsed once into segments and compiled to a regular expression over whole characters.
//! `globset` was looked at for this and left: it matches bytes, so that `?` and `[é]` never meet a
//! character beyond ASCII, and a negated class of its may run over a `/`.
//!
//! - no `/` but a trailing one: the pattern matches at any depth; else it is anchored at the root;
//! - `*` and `?` stay within one name; `**` as a whole name spans folders; `[a-z]`, `[!a-z]`, `\x`;
//!   braces are themselves;
//! - what matches a folder covers everything beneath it.

use std::borrow::Cow;

use regex::{RegexSet, RegexSetBuilder};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 1024;
/// Bytes one compiled set may take.
const MAX_COMPILED: usize = 64 << 20;

/// A parsed pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: String,
    segments: Vec<Segment>,
    folder_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// `**`: any number of folders; as the last segment, at least one name.
    Any,
    /// One name.
    Name(Vec<Piece>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(char),
    One,
    Many,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Piece {
    fn sample(&self, many: &str) -> String {
        match self {
            Self::Literal(c) => c.to_string(),
            Self::One => "x".into(),
            Self::Many => many.to_owned(),
            Self::Class { negated: false, ranges } => ranges.first().map_or('x', |(low, _)| *low).to_string(),
            Self::Class { negated: true, ranges } => {
                let within = |c: &char| ranges.iter().any(|(low, high)| (*low..=*high).contains(c));
                "x0_-éA".chars().find(|c| !within(c)).unwrap_or('x').to_string()
            }
        }
    }
}

/// Why a pattern is refused, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadPattern {
    pub(crate) message: String,
    pub(crate) hint: String,
}

fn bad<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, BadPattern> {
    Err(BadPattern { message: message.into(), hint: hint.into() })
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, BadPattern> {
        if text.trim().is_empty() {
            return bad("an empty pattern matches nothing", "write `**` for every file");
        }
        if text.len() > MAX_PATTERN {
            return bad(format!("the pattern is longer than {MAX_PATTERN} bytes"), "split it into several");
        }
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return bad(
                format!("the pattern holds the control character {:?}", c),
                "match it with `?` where a file name really holds one",
            );
        }
        if let Some(rest) = text.strip_prefix('!') {
            return bad(
                format!("{text:?}: a pattern cannot be negated, since the order of patterns never matters"),
                format!(
                    "write a rule of the other kind for {rest:?}, or `\\!` for a name that begins with `!`"
                ),
            );
        }
        if text.starts_with('~') || text.get(1..3).is_some_and(|s| s == ":/" || s == ":\\") {
            return bad(
                format!("{text:?} is an absolute path"),
                "write it relative to the repository's root, like `src/**`",
            );
        }
        if let Some(rest) = text.strip_prefix("/workspace/").or((text == "/workspace").then_some("**")) {
            return bad(
                format!("{text:?} is an absolute path; a leading `/` is the repository's root"),
                format!("write {:?}", format!("/{rest}")),
            );
        }
        if text.ends_with(' ') && !text.ends_with("\\ ") || text.starts_with(' ') {
            return bad(
                format!("{text:?} begins or ends with a space"),
                "leave it out, or write `\\ ` where the name has one",
            );
        }
        let text: String = text.nfc().collect();
        let (body, folder_only) = match text.strip_suffix('/') {
            Some(body) if !body.ends_with('\\') => (body, true),
            _ => (text.as_str(), false),
        };
        let (body, anchored) = match body.strip_prefix('/') {
            Some(rest) => (rest, true),
            None => (body, body.contains('/')),
        };
        if body.is_empty() {
            return bad("`/` alone matches nothing", "write `**` for every file");
        }
        let mut segments = if anchored { Vec::new() } else { vec![Segment::Any] };
        // A class never matches a slash (git's WM_PATHNAME), so a slash inside brackets splits it and is
        // reported as an unclosed bracket.
        for part in body.split('/') {
            match part {
                "" => {
                    return bad(format!("{text:?} has an empty name between two slashes"), "write one `/`");
                }
                "." => return bad(format!("{text:?} has a `.` component"), "leave it out: `src/**`"),
                ".." => {
                    return bad(
                        format!(
                            "{text:?} has a `..` component, and nothing outside the workspace is ever granted"
                        ),
                        "write it relative to the repository's root",
                    );
                }
                stars if stars.len() > 1 && stars.bytes().all(|b| b == b'*') => {
                    if segments.last() != Some(&Segment::Any) {
                        segments.push(Segment::Any);
                    }
                }
                name => segments.push(Segment::Name(pieces(&text, name)?)),
            }
        }
        Ok(Self { segments, folder_only, text })
    }

    /// Returns the pattern for one file, with what has a meaning in a pattern escaped.
    pub(crate) fn exact(path: &gloaming_api::RelPath) -> Self {
        let mut text = String::from("/");
        for c in path.as_str().chars() {
            if matches!(c, '*' | '?' | '[' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        if text.ends_with(' ') {
            text.insert(text.len() - 1, '\\');
        }
        // A name with a control character is written with `?`, as an author has to.
        let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).nfc().collect();
        let name = |name: &str| {
            Segment::Name(
                name.chars().map(|c| if c.is_control() { Piece::One } else { Piece::Literal(c) }).collect(),
            )
        };
        let composed: String = path.as_str().nfc().collect();
        Self { segments: composed.split('/').map(name).collect(), folder_only: false, text }
    }

    /// Some paths that the pattern takes, as samples for comparing policies: `*` stands for nothing and for a word,
    /// `**` for no folder and for one.
    pub(crate) fn samples(&self) -> Vec<String> {
        let mut out: Vec<Vec<String>> = vec![Vec::new()];
        for (i, segment) in self.segments.iter().enumerate() {
            let last = i + 1 == self.segments.len();
            let names: Vec<Option<String>> = match segment {
                Segment::Any if last => vec![Some("sample".into())],
                Segment::Any => vec![None, Some("sample".into())],
                Segment::Name(pieces) => ["", "sample"]
                    .map(|many| pieces.iter().map(|piece| piece.sample(many)).collect::<String>())
                    .into_iter()
                    .filter(|name| !name.is_empty())
                    .map(Some)
                    .collect(),
            };
            out = out
                .iter()
                .flat_map(|path| {
                    names.iter().map(|name| path.iter().cloned().chain(name.clone()).collect::<Vec<_>>())
                })
                .take(16)
                .collect();
        }
        let mut paths: Vec<String> =
            out.iter().map(|names| names.join("/")).filter(|path| !path.is_empty()).collect();
        if self.folder_only {
            paths = paths.iter().map(|path| format!("{path}/sample")).collect();
        } else {
            paths.extend(out.first().map(|names| format!("{}/sample", names.join("/"))));
        }
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// The pattern as the author wrote it, in NFC.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether every path but the root matches.
    pub(crate) fn is_catch_all(&self) -> bool {
        !self.folder_only
            && match self.segments.as_slice() {
                [Segment::Any] => true,
                [Segment::Any, Segment::Name(name)] | [Segment::Name(name)] => {
                    name.iter().all(|piece| *piece == Piece::Many)
                }
                _ => false,
            }
    }

    fn has_negated_class(&self) -> bool {
        self.segments.iter().any(|segment| match segment {
            Segment::Any => false,
            Segment::Name(name) => {
                name.iter().any(|piece| matches!(piece, Piece::Class { negated: true, .. }))
            }
        })
    }

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

fn pieces(whole: &str, name: &str) -> Result<Vec<Piece>, BadPattern> {
    let mut out = Vec::new();
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => {
                if out.last() != Some(&Piece::Many) {
                    out.push(Piece::Many);
                }
            }
            '?' => out.push(Piece::One),
            '\\' => match chars.next() {
                Some(c) => out.push(Piece::Literal(c)),
                None => {
                    return bad(
                        format!("{whole:?} has a backslash with nothing behind it"),
                        "write `/` between names, or `\\\\` for a backslash",
                    );
                }
            },
            '[' => out.push(class(whole, &mut chars)?),
            c => out.push(Piece::Literal(c)),
        }
    }
    Ok(out)
}

fn class(whole: &str, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Piece, BadPattern> {
    let unclosed = || BadPattern {
        message: format!("{whole:?} has a `[` that is not closed within one name"),
        hint: "close it with `]`, or write `\\[` for the character itself".into(),
    };
    let negated = chars.next_if(|c| matches!(c, '!' | '^')).is_some();
    let mut ranges = Vec::new();
    let mut first = true;
    loop {
        let low = match chars.next().ok_or_else(unclosed)? {
            ']' if !first => break,
            '[' if chars.peek() == Some(&':') => {
                return bad(
                    format!("{whole:?} has a POSIX class, which this dialect does not know"),
                    "write the characters out: `[a-z]` for `[[:lower:]]`",
                );
            }
            '\\' => chars.next().ok_or_else(unclosed)?,
            c => c,
        };
        first = false;
        let mut high = low;
        if chars.peek() == Some(&'-') {
            let mut ahead = chars.clone();
            ahead.next();
            if ahead.peek().is_some_and(|c| *c != ']') {
                chars.next();
                high = match chars.next().ok_or_else(unclosed)? {
                    '\\' => chars.next().ok_or_else(unclosed)?,
                    c => c,
                };
            }
        }
        if low > high {
            return bad(
                format!("{whole:?} has the range `{low}-{high}`, which is empty"),
                format!("write `{high}-{low}`"),
            );
        }
        ranges.push((low, high));
    }
    Ok(Piece::Class { negated, ranges })
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Polarity {
    Allow,
    Deny,
}

/// A path in the spellings it is compared in.
pub(crate) struct Spelled<'a> {
    nfc: Cow<'a, str>,
    /// As file systems fold names: without characters HFS+ ignores, without the dots and spaces that
    /// Windows drops from a name's end. Only where that differs.
    stripped: Option<String>,
}

impl<'a> Spelled<'a> {
    pub(crate) fn new(path: &'a str) -> Self {
        // Nearly every path ends here; this runs for every file of a walk.
        let dropped = path.ends_with(['.', ' ']) || path.contains("./") || path.contains(" /");
        if path.is_ascii() && !dropped {
            return Self { nfc: Cow::Borrowed(path), stripped: None };
        }
        let nfc = match is_nfc_quick(path.chars()) {
            IsNormalized::Yes => Cow::Borrowed(path),
            _ => Cow::Owned(path.nfc().collect()),
        };
        let droppable = |name: &str| name.ends_with(['.', ' ']) || name.contains(ignorable);
        let stripped = nfc.split('/').any(droppable).then(|| {
            let names = nfc.split('/').map(|name| {
                let kept: String = name.chars().filter(|c| !ignorable(*c)).collect();
                match kept.trim_end_matches(['.', ' ']) {
                    "" => name.to_owned(),
                    kept => kept.to_owned(),
                }
            });
            names.collect::<Vec<_>>().join("/")
        });
        Self { nfc, stripped }
    }
}

/// The characters HFS+ leaves out of a comparison (git's `next_hfs_char`).
fn ignorable(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// Patterns of denials, compiled together. Matches in any case and however a file system may fold a
/// name, so that a denial cannot be walked round by spelling.
#[derive(Debug)]
pub(crate) struct DenySet {
    folded: RegexSet,
    /// `[!A-Z]` folded would match less than it does as written; such patterns stand here too.
    exact: RegexSet,
    exact_index: Vec<usize>,
}

impl DenySet {
    pub(crate) fn new(patterns: &[&Pattern]) -> Result<Self, regex::Error> {
        let negated: Vec<usize> = (0..patterns.len()).filter(|i| patterns[*i].has_negated_class()).collect();
        Ok(Self {
            folded: compile(patterns.iter().map(|p| p.expression(Polarity::Deny)), true)?,
            exact: compile(negated.iter().map(|i| patterns[*i].expression(Polarity::Deny)), false)?,
            exact_index: negated,
        })
    }

    /// Whether any pattern matches.
    pub(crate) fn is_match(&self, path: &Spelled<'_>) -> bool {
        self.folded.is_match(&path.nfc)
            || (!self.exact.is_empty() && self.exact.is_match(&path.nfc))
            || path.stripped.as_ref().is_some_and(|path| self.folded.is_match(path))
    }

    /// The indexes of the patterns that match, each at least once.
    pub(crate) fn matches(&self, path: &Spelled<'_>) -> Vec<usize> {
        let mut out: Vec<usize> = self.folded.matches(&path.nfc).iter().collect();
        if !self.exact.is_empty() {
            out.extend(self.exact.matches(&path.nfc).iter().map(|i| self.exact_index[i]));
        }
        if let Some(path) = &path.stripped {
            out.extend(self.folded.matches(path).iter());
        }
        out
    }
}

/// Patterns of allowances, compiled together. Case matters.
#[derive(Debug)]
pub(crate) struct AllowSet {
    paths: RegexSet,
    ancestors: RegexSet,
}

impl AllowSet {
    pub(crate) fn new(patterns: &[&Pattern]) -> Result<Self, regex::Error> {
        Ok(Self {
            paths: compile(patterns.iter().map(|p| p.expression(Polarity::Allow)), false)?,
            ancestors: compile(patterns.iter().map(|p| p.ancestors()), false)?,
        })
    }

    /// The indexes of the patterns that match.
    pub(crate) fn matches(&self, path: &Spelled<'_>) -> Vec<usize> {
        self.paths.matches(&path.nfc).iter().collect()
    }

    /// The indexes of the patterns that something beneath the path may match.
    pub(crate) fn matches_beneath(&self, path: &Spelled<'_>) -> Vec<usize> {
        self.ancestors.matches(&path.nfc).iter().collect()
    }
}

fn compile(expressions: impl Iterator<Item = String>, fold: bool) -> Result<RegexSet, regex::Error> {
    RegexSetBuilder::new(expressions).case_insensitive(fold).size_limit(MAX_COMPILED).build()
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod reference;
#[cfg(test)]
mod tests;
