//! Places where a source does not fit its grammar.

use std::collections::HashMap;

use tree_sitter::Node;

use crate::Language;

/// The most errors that are told of one file.
const MAX_ERRORS: usize = 50;
/// The most that are looked at.
const MAX_SEEN: usize = 1000;

/// A place where the grammar does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// The first line of the offending text, shortened, or what is missing.
    pub text: String,
}

/// Returns the syntax errors of `after` that `before` has not, compared by their text and not their line:
/// a grammar that does not know a new construct is no error of a patch. At most 50.
pub fn new_errors(language: Language, before: &[u8], after: &[u8]) -> Vec<SyntaxError> {
    new_errors_among(language, &[before], after)
}

/// Like [`new_errors`], of several sources that there were before.
pub fn new_errors_among(language: Language, before: &[&[u8]], after: &[u8]) -> Vec<SyntaxError> {
    let found = errors(language, after);
    let mut known: HashMap<String, usize> = HashMap::new();
    // A source without errors has no new ones, whatever there was before.
    for source in before.iter().filter(|_| !found.is_empty()) {
        for error in errors(language, source) {
            *known.entry(error.text).or_default() += 1;
        }
    }
    found
        .into_iter()
        .filter(|error| match known.get_mut(&error.text) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        })
        .take(MAX_ERRORS)
        .collect()
}

fn errors(language: Language, source: &[u8]) -> Vec<SyntaxError> {
    let Some(tree) = language.parse(source) else { return Vec::new() };
    let mut out: Vec<SyntaxError> = Vec::new();
    // Spans of the errors found so far: one that holds another is told by the inner one.
    let mut cursor = tree.walk();
    let mut open: Vec<(usize, usize)> = Vec::new();
    loop {
        if out.len() >= MAX_SEEN {
            return out;
        }
        let node = cursor.node();
        let descend = node.has_error();
        if node.is_missing() {
            out.push(SyntaxError { text: format!("missing `{}`", node.kind()), ..at(source, node) });
        } else if node.is_error() {
            open.push((cursor.depth() as usize, out.len()));
        }
        if descend && cursor.goto_first_child() {
            continue;
        }
        loop {
            // Leaving a node: an error that held no other is told itself.
            let node = cursor.node();
            if let Some((depth, had)) = open.last().copied()
                && depth == cursor.depth() as usize
                && node.is_error()
            {
                open.pop();
                if had == out.len() {
                    let text = String::from_utf8_lossy(&source[node.start_byte()..node.end_byte()]);
                    let text: String = text.trim().lines().next().unwrap_or("").chars().take(60).collect();
                    out.push(SyntaxError { text, ..at(source, node) });
                }
            }
            if cursor.goto_next_sibling() {
                break;
            }
            if !cursor.goto_parent() {
                return out;
            }
        }
    }
}

fn at(source: &[u8], node: Node<'_>) -> SyntaxError {
    let place = node.start_position();
    let line_start = node.start_byte().saturating_sub(place.column);
    let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
    let before = String::from_utf8_lossy(&source[line_start..node.start_byte()]);
    SyntaxError { line: count(place.row), column: count(before.chars().count()), text: String::new() }
}
