//! The one glob dialect: gitignore's.
//!
//! A pattern is parsed once into segments, and patterns are filed by what they demand of a path
//! ([`index`]), then compared by whole characters ([`matcher`]). `globset` was looked at for this and left: it
//! matches bytes, so that `?` and `[é]` never meet a character beyond ASCII, and a negated class of its may run
//! over a `/`.
//!
//! - no `/` but a trailing one: the pattern matches at any depth; else it is anchored at the root;
//! - `*` and `?` stay within one name; `**` as a whole name spans folders; `[a-z]`, `[!a-z]`, `\x`;
//!   braces are themselves;
//! - what matches a folder covers everything beneath it.

pub(crate) mod cedar;
mod index;
mod matcher;
mod spelled;

use unicode_normalization::UnicodeNormalization;

pub(crate) use index::{AllowSet, DenySet};
pub(crate) use spelled::Spelled;

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 1024;

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
        // `/workspace/` and `/:/` are how absolute paths begin.
        let absolute = path.as_str().starts_with("workspace") || path.as_str().starts_with(':');
        for (at, c) in path.as_str().char_indices() {
            if matches!(c, '*' | '?' | '[' | '\\') || (at == 0 && absolute) {
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

    /// Whether the pattern plainly takes all that another one takes: it is the same, takes everything, or is a folder
    /// named in full that the other lies beneath.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        if self.text == other.text || self.is_catch_all() {
            return true;
        }
        let named = |segment: &Segment| match segment {
            Segment::Any => false,
            Segment::Name(pieces) => pieces.iter().all(|piece| matches!(piece, Piece::Literal(_))),
        };
        let (folder, any) = match self.segments.as_slice() {
            [folder @ .., Segment::Any] => (folder, true),
            folder => (folder, false),
        };
        !folder.is_empty()
            && folder.iter().all(named)
            && other.segments.starts_with(folder)
            // `src/**` and `src/` take what is beneath alone, and `src` itself too.
            && (other.segments.len() > folder.len() || (!any && !self.folder_only))
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

    /// The names before the first `**`.
    fn lead(&self) -> impl Iterator<Item = &[Piece]> {
        self.segments.iter().map_while(|segment| match segment {
            Segment::Any => None,
            Segment::Name(name) => Some(name.as_slice()),
        })
    }

    fn has_negated_class(&self) -> bool {
        self.segments.iter().any(|segment| match segment {
            Segment::Any => false,
            Segment::Name(name) => {
                name.iter().any(|piece| matches!(piece, Piece::Class { negated: true, .. }))
            }
        })
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Polarity {
    Allow,
    Deny,
}

#[cfg(test)]
mod plain;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod reference;
#[cfg(test)]
mod tests;
