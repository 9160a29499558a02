//! What the system knows of source code by its grammar. First cut of the interface.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

/// A language with a grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// Rust.
    Rust,
    /// Python.
    Python,
    /// JavaScript, with JSX.
    JavaScript,
    /// TypeScript.
    TypeScript,
    /// TypeScript with JSX.
    Tsx,
    /// Go.
    Go,
}

impl Language {
    /// Returns the language of a path by its extension.
    pub fn of(_path: &str) -> Option<Self> {
        None
    }
}

/// In what an identifier occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OccurrenceKind {
    /// Code.
    Code,
    /// The content of a string.
    String,
    /// A comment.
    Comment,
}

/// One whole-word occurrence of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A place where the grammar does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// The offending text, shortened, or what is missing.
    pub text: String,
}

/// The class of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {
    /// A name.
    Identifier,
    /// A string's content, a number, a character.
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
    /// Its text.
    pub text: String,
    /// Its line, counted from 1.
    pub line: u32,
}

/// What a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitKind {
    /// A function or method.
    Function,
    /// A class, struct, enum, trait, interface or other type.
    Type,
    /// An impl block.
    Impl,
    /// A module or namespace, or a `describe` block.
    Module,
    /// An import.
    Import,
    /// Any other statement of a module, class or impl body.
    Statement,
}

/// A declaration or module-level statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Qualified name, like `TestFoo::test_bar`; empty for statements.
    pub name: String,
    /// What it is.
    pub kind: UnitKind,
    /// First byte, attributes and decorators included.
    pub start: usize,
    /// Byte behind the last.
    pub end: usize,
    /// First line, counted from 1.
    pub line: u32,
    /// Tokens without comments; of a parent only its own header, not its children.
    pub tokens: Vec<Token>,
    /// Whether a runner would take it for a test.
    pub is_test: bool,
    /// Whether it lies in a test module.
    pub in_test_module: bool,
}

/// What happened to a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TestChangeKind {
    /// It is gone.
    Removed,
    /// Its body or its attributes changed.
    Changed,
    /// A later declaration of the same name hides it.
    Shadowed,
    /// The class, module or block around tests changed.
    HeaderChanged,
    /// A module-level statement was added, changed or removed.
    Statement,
    /// A hook that runs around tests was added or changed.
    Hook,
}

/// One way in which existing tests changed other than by renaming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestChange {
    /// Line after the change (before it, where it is gone), counted from 1.
    pub line: u32,
    /// The unit's qualified name; empty for statements.
    pub name: String,
    /// What happened.
    pub what: TestChangeKind,
    /// One line for a reviewer.
    pub detail: String,
}

/// Returns whole-word occurrences of a name.
pub fn identifiers(_lang: Language, _source: &[u8], _name: &str) -> Vec<Occurrence> {
    Vec::new()
}
/// Returns every identifier of a file.
pub fn identifier_set(_lang: Language, _source: &[u8]) -> BTreeSet<String> {
    BTreeSet::new()
}
/// Returns syntax errors of `after` that `before` has not.
pub fn new_errors(_lang: Language, _before: &[u8], _after: &[u8]) -> Vec<SyntaxError> {
    Vec::new()
}
/// Returns the leaves of the tree in order.
pub fn tokens(_lang: Language, _source: &[u8]) -> Vec<Token> {
    Vec::new()
}
/// Returns declarations and module-level statements in order.
pub fn units(_lang: Language, _source: &[u8]) -> Vec<Unit> {
    Vec::new()
}
/// Returns how existing tests changed other than by `renames`.
pub fn test_changes(
    _lang: Language,
    _before: &[u8],
    _after: &[u8],
    _renames: &BTreeMap<String, String>,
    _whole_file: bool,
) -> Vec<TestChange> {
    Vec::new()
}
/// Returns the identifiers that were renamed consistently, old to new.
pub fn renamed_identifiers(_lang: Language, _before: &[u8], _after: &[u8]) -> BTreeMap<String, String> {
    BTreeMap::new()
}
