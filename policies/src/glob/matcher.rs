//! One pattern against one path, without an index.
//!
//! A pattern is a row of chunks with `**` between them, each chunk a row of names. Since what matches a folder
//! covers everything beneath, nothing is anchored at the end of a path: it is enough to look for each chunk at
//! the first place behind the one before. So the work is at most the product of both lengths, whatever the
//! pattern.
//!
//! Case is folded as the `regex` crate folds it, by the tables of its parser.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::spelled::{Names, fold};
use super::{Pattern, Piece, Polarity, Segment};

/// Whether a pattern minds case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// It does.
    Exact,
    /// It does not. What it is compared with was folded by [`fold`].
    Folded,
}

/// A pattern made ready for comparing.
#[derive(Debug)]
pub(super) struct Glob {
    chunks: Box<[Chunk]>,
    /// Whether the first chunk stands at the root.
    anchored: bool,
    /// How many more names there must be behind the last chunk.
    beyond: usize,
}

pub(super) type Chunk = Box<[NameGlob]>;

/// A pattern for one name.
#[derive(Debug)]
pub(super) enum NameGlob {
    Text(Box<str>),
    /// `text*`
    Starts(Box<str>),
    /// `*text`
    Ends(Box<str>),
    Pieces(Box<[Token]>),
}

#[derive(Debug)]
pub(super) enum Token {
    Text(Box<str>),
    One,
    Many,
    /// One character of these ranges, which are in order.
    Class(Box<[(char, char)]>),
}

impl Glob {
    /// Whether `build/` names a folder or a file cannot be seen in a path: a denial takes both, an allowance
    /// only what lies beneath.
    pub(super) fn new(pattern: &Pattern, polarity: Polarity, case: Case) -> Self {
        let beneath = usize::from(pattern.folder_only && polarity == Polarity::Allow);
        let somewhere = usize::from(pattern.segments.last() == Some(&Segment::Any));
        let chunks = pattern.segments.split(|segment| *segment == Segment::Any);
        let chunks = chunks.map(|segments| {
            let names = segments.iter().filter_map(|segment| match segment {
                Segment::Name(name) => Some(NameGlob::new(name, case)),
                Segment::Any => None,
            });
            names.collect::<Chunk>()
        });
        Self {
            chunks: chunks.filter(|chunk| !chunk.is_empty()).collect(),
            anchored: pattern.segments.first() != Some(&Segment::Any),
            beyond: beneath + somewhere,
        }
    }

    /// Whether the pattern matches the path or a folder above it.
    pub(super) fn covers(&self, path: &Names<'_>) -> bool {
        let mut at = 0;
        for (index, chunk) in self.chunks.iter().enumerate() {
            let Some(last) = path.len().checked_sub(chunk.len()) else { return false };
            let stands = |start: usize| (start..).zip(chunk).all(|(at, name)| name.matches(path.get(at)));
            let last = if index == 0 && self.anchored { 0 } else { last };
            match (at..=last).find(|start| stands(*start)) {
                Some(start) => at = start + chunk.len(),
                None => return false,
            }
        }
        path.len() >= at + self.beyond
    }

    /// The names that stand at the root.
    pub(super) fn lead(&self) -> &[NameGlob] {
        if self.anchored { self.chunks.first().map_or(&[], |chunk| chunk) } else { &[] }
    }

    /// The names of the pattern in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &NameGlob> {
        self.chunks.iter().flatten()
    }

    /// The rows of names between the `**`.
    pub(super) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Whether the first of them stands at the root.
    pub(super) fn anchored(&self) -> bool {
        self.anchored
    }

    /// How many more names there must be behind the last.
    pub(super) fn beyond(&self) -> usize {
        self.beyond
    }

    /// Whether every path but the root is covered.
    pub(super) fn is_catch_all(&self) -> bool {
        match &*self.chunks {
            // A `**` alone; behind it nothing more than the name it stands for.
            [] => self.beyond <= 1,
            [chunk] => self.beyond == 0 && matches!(&**chunk, [name] if name.is_any()),
            _ => false,
        }
    }
}

impl NameGlob {
    pub(super) fn new(pieces: &[Piece], case: Case) -> Self {
        let mut tokens: Vec<Token> = Vec::new();
        let mut text = String::new();
        for piece in pieces {
            let token = match piece {
                Piece::Literal(c) => match literal(*c, case) {
                    Ok(c) => {
                        text.push(c);
                        continue;
                    }
                    Err(class) => class,
                },
                Piece::One => Token::One,
                Piece::Many => Token::Many,
                Piece::Class { negated, ranges } => class(ranges, *negated, case),
            };
            if !text.is_empty() {
                tokens.push(Token::Text(std::mem::take(&mut text).into()));
            }
            tokens.push(token);
        }
        if !text.is_empty() {
            tokens.push(Token::Text(text.into()));
        }
        match tokens.as_mut_slice() {
            [Token::Text(text)] => Self::Text(std::mem::take(text)),
            [Token::Text(text), Token::Many] => Self::Starts(std::mem::take(text)),
            [Token::Many, Token::Text(text)] => Self::Ends(std::mem::take(text)),
            _ => Self::Pieces(tokens.into()),
        }
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Text(text) => **text == *name,
            Self::Starts(text) => name.starts_with(&**text),
            Self::Ends(text) => name.ends_with(&**text),
            Self::Pieces(tokens) => tokens_match(tokens, name),
        }
    }

    fn is_any(&self) -> bool {
        matches!(self, Self::Pieces(tokens) if matches!(&**tokens, [Token::Many]))
    }

    /// The text the name is, where it is no pattern.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text that every matching name begins with, and the one it ends with; either may be empty.
    pub(super) fn ends(&self) -> (&str, &str) {
        match self {
            Self::Text(text) => (text, text),
            Self::Starts(text) => (text, ""),
            Self::Ends(text) => ("", text),
            Self::Pieces(tokens) => {
                (tokens.first().map_or("", Token::text), tokens.last().map_or("", Token::text))
            }
        }
    }
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::One | Self::Many | Self::Class(_) => "",
        }
    }
}

/// The character to compare with, or the class of those that are the same to a folded comparison.
fn literal(c: char, case: Case) -> Result<char, Token> {
    if case == Case::Exact {
        return Ok(c);
    }
    let mut buffer = [0; 4];
    let folded = fold(c.encode_utf8(&mut buffer)).chars().next().expect("one character folds to one");
    if folded.is_ascii() {
        return Ok(folded);
    }
    let class = class(&[(c, c)], false, case);
    match &class {
        Token::Class(ranges) if **ranges != [(c, c)] => Err(class),
        _ => Ok(c),
    }
}

/// Returns one character for all that are the same to a folded comparison.
pub(super) fn representative(c: char) -> char {
    match literal(c, Case::Folded) {
        Ok(c) => c,
        Err(Token::Class(ranges)) => {
            let same = || ranges.iter().flat_map(|(low, high)| *low..=*high);
            same().find(|c| c.is_lowercase()).or(same().next()).unwrap_or(c)
        }
        Err(_) => c,
    }
}

fn class(ranges: &[(char, char)], negated: bool, case: Case) -> Token {
    let mut class = ClassUnicode::new(ranges.iter().map(|(low, high)| ClassUnicodeRange::new(*low, *high)));
    if case == Case::Folded {
        class.try_case_fold_simple().expect("the tables of case are compiled in");
    }
    if negated {
        class.negate();
    }
    Token::Class(class.iter().map(|range| (range.start(), range.end())).collect())
}

/// Goes back to the last `*` alone where something does not fit: what it takes more could be taken by none
/// before it.
fn tokens_match(tokens: &[Token], name: &str) -> bool {
    let (mut token, mut rest) = (0, name);
    let mut star: Option<(usize, &str)> = None;
    loop {
        let fits = match tokens.get(token) {
            None if rest.is_empty() => return true,
            None => None,
            Some(Token::Many) if token + 1 == tokens.len() => return true,
            Some(Token::Many) => {
                star = Some((token + 1, rest));
                Some(rest)
            }
            Some(Token::Text(text)) => rest.strip_prefix(&**text),
            Some(Token::One) => behind_first(rest, |_| true),
            Some(Token::Class(ranges)) => behind_first(rest, |c| within(ranges, c)),
        };
        if let Some(behind) = fits {
            (token, rest) = (token + 1, behind);
            continue;
        }
        let Some((behind, from)) = star else { return false };
        let Some(from) = behind_first(from, |_| true) else { return false };
        star = Some((behind, from));
        (token, rest) = (behind, from);
    }
}

/// What follows the first character, where that is one of those wanted.
fn behind_first(text: &str, wanted: impl Fn(char) -> bool) -> Option<&str> {
    let mut chars = text.chars();
    chars.next().filter(|c| wanted(*c)).map(|_| chars.as_str())
}

fn within(ranges: &[(char, char)], c: char) -> bool {
    let at = ranges.partition_point(|(_, high)| *high < c);
    ranges.get(at).is_some_and(|(low, _)| *low <= c)
}
