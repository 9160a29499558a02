//! Languages by the words for them, the ends of their files' names, and how they comment.

/// A language.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The words for it, in lower case.
    words: &'static str,
    /// Extensions.
    pub(super) extensions: &'static str,
    pub(super) comment: Comment,
    /// Whether `source files` means its files, too.
    pub(super) source: bool,
    /// Whether there is a grammar for it.
    pub(super) grammar: bool,
}

/// How a comment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comment {
    /// Behind these characters, to the line's end.
    Line(&'static str),
    /// Between `/*` and `*/`.
    Block,
}

const SLASHES: Comment = Comment::Line("//");
const HASH: Comment = Comment::Line("#");
const DASHES: Comment = Comment::Line("--");

const fn parsed(name: &'static str, words: &'static str, extensions: &'static str, comment: Comment) -> Row {
    Row { name, words, extensions, comment, source: true, grammar: true }
}

const fn source(name: &'static str, words: &'static str, extensions: &'static str, comment: Comment) -> Row {
    Row { name, words, extensions, comment, source: true, grammar: false }
}

const fn other(name: &'static str, words: &'static str, extensions: &'static str, comment: Comment) -> Row {
    Row { name, words, extensions, comment, source: false, grammar: false }
}

pub(super) const ROWS: &[Row] = &[
    parsed("Rust", "rust", "rs", SLASHES),
    parsed("Python", "python", "py pyi", HASH),
    parsed("JavaScript", "javascript js", "js mjs cjs jsx", SLASHES),
    parsed("TypeScript", "typescript ts", "ts mts cts tsx", SLASHES),
    parsed("Go", "go golang", "go", SLASHES),
    source("C", "c", "c h", SLASHES),
    source("C++", "c++ cpp", "cc cpp cxx hh hpp hxx", SLASHES),
    source("C#", "c# csharp", "cs", SLASHES),
    source("Java", "java", "java", SLASHES),
    source("Kotlin", "kotlin", "kt kts", SLASHES),
    source("Scala", "scala", "scala", SLASHES),
    source("Swift", "swift", "swift", SLASHES),
    source("Dart", "dart", "dart", SLASHES),
    source("Ruby", "ruby", "rb", HASH),
    source("Shell", "shell bash sh", "sh bash", HASH),
    source("Lua", "lua", "lua", DASHES),
    other("SQL", "sql", "sql", DASHES),
    other("CSS", "css", "css", Comment::Block),
    other("TOML", "toml", "toml", HASH),
    other("YAML", "yaml yml", "yaml yml", HASH),
];

/// Returns the language of a word.
pub(super) fn named(word: &str) -> Option<&'static Row> {
    let word = word.to_lowercase();
    ROWS.iter().find(|row| row.words.split(' ').any(|known| known == word))
}

/// Returns the language of a path.
pub(super) fn of(path: &str) -> Option<&'static Row> {
    let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
    ROWS.iter().find(|row| row.extensions.split(' ').any(|known| known == extension))
}
