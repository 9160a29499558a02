//! Names and where they occur.

use std::collections::BTreeSet;

use crate::Language;
use crate::tree::{Detail, Leaf, Token, TokenKind, walk};

/// In what an identifier occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OccurrenceKind {
    /// Code, what a string interpolates included.
    Code,
    /// The text of a string, or of markup.
    String,
    /// A comment.
    Comment,
}

/// One whole-word occurrence of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// First byte.
    pub start: usize,
    /// Byte behind the last.
    pub end: usize,
    /// Line, counted from 1.
    pub line: u32,
    /// What it lies in.
    pub kind: OccurrenceKind,
}

/// Returns the leaves of the tree in order: empty for a source larger than [`crate::MAX_SOURCE`].
pub fn tokens(language: Language, source: &[u8]) -> Vec<Token> {
    leaves(language, source).iter().map(|leaf| leaf.token(source)).collect()
}

/// Returns every identifier of a file, those in comments and strings left out.
pub fn identifier_set(language: Language, source: &[u8]) -> BTreeSet<String> {
    let named = |leaf: &&Leaf| leaf.kind == TokenKind::Identifier;
    leaves(language, source).iter().filter(named).map(|leaf| leaf.token(source).text).collect()
}

/// Returns the whole-word occurrences of a name, in order. In code these are the name's own tokens; in
/// strings and comments what looks like it.
pub fn identifiers(language: Language, source: &[u8], name: &str) -> Vec<Occurrence> {
    if name.is_empty() || source.len() > crate::MAX_SOURCE {
        return Vec::new();
    }
    let mut leaves: Option<Vec<Leaf>> = None;
    let mut line = 1u32;
    let mut counted = 0;
    let mut out = Vec::new();
    for start in words(source, name.as_bytes(), language.is_script()) {
        line += u32::try_from(source[counted..start].iter().filter(|b| **b == b'\n').count()).unwrap_or(0);
        counted = start;
        let leaves = leaves.get_or_insert_with(|| self::leaves(language, source));
        let at = leaves.partition_point(|leaf| leaf.end <= start);
        let kind = match leaves.get(at).filter(|leaf| leaf.start <= start) {
            Some(leaf) if leaf.kind == TokenKind::Comment => OccurrenceKind::Comment,
            Some(leaf) if leaf.text => OccurrenceKind::String,
            _ => OccurrenceKind::Code,
        };
        out.push(Occurrence { start, end: start + name.len(), line, kind });
    }
    out
}

/// Where `word` stands with no character of a word on either side.
pub(crate) fn words(source: &[u8], word: &[u8], dollar: bool) -> Vec<usize> {
    let part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80 || (dollar && *b == b'$');
    let mut out = Vec::new();
    let mut from = 0;
    while let Some(found) = source[from..].windows(word.len()).position(|window| window == word) {
        let start = from + found;
        let before = start.checked_sub(1).and_then(|at| source.get(at));
        let after = source.get(start + word.len());
        if !before.is_some_and(part) && !after.is_some_and(part) {
            out.push(start);
        }
        from = start + 1;
    }
    out
}

fn leaves(language: Language, source: &[u8]) -> Vec<Leaf> {
    match language.parse(source) {
        Some(tree) => walk(language, source, tree.root_node(), None, Detail::Everything).0,
        None => Vec::new(),
    }
}
