//! From a tree to its leaves: one walk, without recursion, so that no nesting can exhaust the stack.

use tree_sitter::Node;

use crate::Language;

/// The class of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {
    /// A name.
    Identifier,
    /// A string (as one token, but for what is interpolated), a number, a character, text of a markup.
    Literal,
    /// A comment.
    Comment,
    /// Keywords, operators, punctuation.
    Other,
}

/// A leaf of the syntax tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its class.
    pub kind: TokenKind,
    /// Its text; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Its line, counted from 1.
    pub line: u32,
}

/// A leaf by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) kind: TokenKind,
    /// Whether it is text between quotes, which numbers are not.
    pub(crate) text: bool,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) line: u32,
}

impl Leaf {
    pub(crate) fn token(&self, source: &[u8]) -> Token {
        let text = String::from_utf8_lossy(&source[self.start..self.end]).into_owned();
        Token { kind: self.kind, text, line: self.line }
    }
}

/// Where an inner node begins and ends among the tokens. Two pieces of code are the same when their tokens
/// *and* their shape are: in Python and JavaScript a line break or an indentation says what no token does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Edge {
    /// How many tokens stand before it.
    pub(crate) at: u32,
    /// The grammar's number for the node's kind; none where the innermost node ends.
    pub(crate) opens: Option<u16>,
}

/// What a walk leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Nothing.
    Everything,
    /// Comments, docstrings without examples, and punctuation that formatters add and remove.
    Meaning,
}

/// Walks from `node` and hands over leaves and edges in order; `skip` is a node to leave out.
pub(crate) fn walk(
    language: Language,
    source: &[u8],
    node: Node<'_>,
    skip: Option<Node<'_>>,
    detail: Detail,
) -> (Vec<Leaf>, Vec<Edge>) {
    let mut out =
        Collector { source, detail, leaves: Vec::new(), edges: Vec::new(), covered: node.start_byte() };
    let mut cursor = node.walk();
    // Kinds of the open nodes: asking a node for its parent would search from the root each time.
    let mut above: Vec<&str> = Vec::new();
    loop {
        let here = cursor.node();
        let descend = if skip.is_some_and(|skip| skip.id() == here.id()) {
            out.gap(here.start_byte(), line_of(here));
            out.covered = here.end_byte();
            false
        } else {
            match classify(language, source, here, above.last().copied().unwrap_or(""), detail) {
                Class::Leaf(kind, text) => {
                    out.leaf(here, kind, text);
                    false
                }
                Class::Dropped => {
                    out.gap(here.start_byte(), line_of(here));
                    out.covered = here.end_byte();
                    false
                }
                Class::Inner => {
                    if here.is_named() {
                        out.edge(Some(here.kind_id()));
                    }
                    true
                }
            }
        };
        if descend && cursor.goto_first_child() {
            above.push(here.kind());
            continue;
        }
        loop {
            if cursor.goto_next_sibling() {
                break;
            }
            above.pop();
            if !cursor.goto_parent() {
                out.gap(node.end_byte(), line_of(node));
                out.drop_trailing_comma();
                return (out.leaves, out.edges);
            }
            let done = cursor.node();
            out.gap(done.end_byte(), line_of(done));
            if done.is_named() {
                out.edge(None);
            }
        }
    }
}

struct Collector<'s> {
    source: &'s [u8],
    detail: Detail,
    leaves: Vec<Leaf>,
    edges: Vec<Edge>,
    /// Everything before this byte was handed over or left out.
    covered: usize,
}

impl Collector<'_> {
    fn leaf(&mut self, node: Node<'_>, kind: TokenKind, text: bool) {
        self.gap(node.start_byte(), line_of(node));
        self.covered = self.covered.max(node.end_byte());
        if node.start_byte() == node.end_byte() {
            return; // inserted by the parser's recovery
        }
        if self.detail == Detail::Meaning
            && matches!(&self.source[node.start_byte()..node.end_byte()], b")" | b"]" | b"}")
        {
            self.drop_trailing_comma();
        }
        self.push(Leaf { kind, text, start: node.start_byte(), end: node.end_byte(), line: line_of(node) });
    }

    /// Text that no leaf covers, since the grammar hides it: nothing may go missing in a comparison.
    fn gap(&mut self, until: usize, line: u32) {
        if until <= self.covered {
            return;
        }
        let (start, text) = (self.covered, &self.source[self.covered..until]);
        self.covered = until;
        let visible = |b: &u8| !b.is_ascii_whitespace() && *b != b'\\';
        if let (Some(first), Some(last)) = (text.iter().position(visible), text.iter().rposition(visible)) {
            let (start, end) = (start + first, start + last + 1);
            self.push(Leaf { kind: TokenKind::Other, text: false, start, end, line });
        }
    }

    fn push(&mut self, leaf: Leaf) {
        self.leaves.push(leaf);
    }

    fn edge(&mut self, opens: Option<u16>) {
        if self.detail == Detail::Meaning {
            let at = u32::try_from(self.leaves.len()).unwrap_or(u32::MAX);
            self.edges.push(Edge { at, opens });
        }
    }

    fn drop_trailing_comma(&mut self) {
        let comma = |leaf: &&Leaf| &self.source[leaf.start..leaf.end] == b",";
        if self.detail == Detail::Meaning && self.leaves.last().as_ref().is_some_and(comma) {
            self.leaves.pop();
            let at = u32::try_from(self.leaves.len()).unwrap_or(u32::MAX);
            for edge in self.edges.iter_mut().rev().take_while(|edge| edge.at > at) {
                edge.at = at;
            }
        }
    }
}

enum Class {
    Leaf(TokenKind, bool),
    Inner,
    Dropped,
}

fn classify(language: Language, source: &[u8], node: Node<'_>, parent: &str, detail: Detail) -> Class {
    let kind = node.kind();
    let leaf = node.child_count() == 0;
    if !node.is_named() {
        let separator = detail == Detail::Meaning
            && kind == ";"
            && (language == Language::Python || (language.is_script() && may_end_without(parent)));
        return match (leaf, separator) {
            (_, true) => Class::Dropped,
            (true, _) if kind == "`" => Class::Leaf(TokenKind::Literal, true),
            (true, false) => Class::Leaf(TokenKind::Other, false),
            (false, false) => Class::Inner,
        };
    }
    if is_comment(kind) {
        return match detail {
            Detail::Everything => Class::Leaf(TokenKind::Comment, false),
            Detail::Meaning => Class::Dropped,
        };
    }
    if detail == Detail::Meaning {
        let dropped = match kind {
            "line_continuation" | "empty_statement" => true,
            "expression_statement" => language == Language::Python && is_docstring(source, node),
            _ => false,
        };
        if dropped {
            return Class::Dropped;
        }
    }
    if is_string(kind) {
        return if interpolates(node) { Class::Inner } else { Class::Leaf(TokenKind::Literal, true) };
    }
    if is_string_part(kind) {
        return Class::Leaf(TokenKind::Literal, true);
    }
    if !leaf {
        return Class::Inner;
    }
    if is_identifier(kind) {
        return Class::Leaf(TokenKind::Identifier, false);
    }
    let number = matches!(
        kind,
        "integer_literal"
            | "float_literal"
            | "integer"
            | "float"
            | "number"
            | "int_literal"
            | "imaginary_literal"
    );
    Class::Leaf(if number { TokenKind::Literal } else { TokenKind::Other }, false)
}

/// Whether a `;` in such a node of a script says nothing that the node does not. (Those of a `for` belong
/// to the declaration and the statement inside it.)
fn may_end_without(parent: &str) -> bool {
    parent.ends_with("_statement") || parent.ends_with("_declaration") || parent == "class_body"
}

pub(crate) fn is_comment(kind: &str) -> bool {
    matches!(kind, "comment" | "line_comment" | "block_comment" | "html_comment" | "hash_bang_line")
}

fn is_string(kind: &str) -> bool {
    matches!(
        kind,
        "string"
            | "string_literal"
            | "raw_string_literal"
            | "char_literal"
            | "interpreted_string_literal"
            | "rune_literal"
            | "template_string"
            | "regex"
    )
}

fn is_string_part(kind: &str) -> bool {
    matches!(
        kind,
        "string_start"
            | "string_content"
            | "string_end"
            | "string_fragment"
            | "escape_sequence"
            | "jsx_text"
            | "html_character_reference"
    )
}

pub(crate) fn is_identifier(kind: &str) -> bool {
    kind.ends_with("identifier")
        || matches!(kind, "label_name" | "shorthand_property_identifier_pattern" | "metavariable")
}

fn interpolates(node: Node<'_>) -> bool {
    let mut cursor = node.walk();
    node.children(&mut cursor).any(|child| matches!(child.kind(), "interpolation" | "template_substitution"))
}

/// Whether a statement of Python is a string and nothing else, and no doctest.
fn is_docstring(source: &[u8], node: Node<'_>) -> bool {
    node.named_child_count() == 1
        && node.named_child(0).is_some_and(|child| {
            child.kind() == "string"
                && !interpolates(child)
                && !source[child.start_byte()..child.end_byte()].windows(3).any(|w| w == b">>>")
        })
}

pub(crate) fn line_of(node: Node<'_>) -> u32 {
    u32::try_from(node.start_position().row + 1).unwrap_or(u32::MAX)
}

/// The text of a node; bytes that are not UTF-8 are replaced.
pub(crate) fn text_of(source: &[u8], node: Node<'_>) -> String {
    String::from_utf8_lossy(&source[node.start_byte()..node.end_byte()]).into_owned()
}
