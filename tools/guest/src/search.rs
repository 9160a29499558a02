//! `search`: matching lines.
use crate::{Code, Failure, Walks};

/// What to search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// A regular expression, or plain text.
    pub pattern: String,
    /// Whether `pattern` is plain text.
    pub literal: bool,
    /// Whether case does not matter.
    pub ignore_case: bool,
    /// Whether the match must be a whole word.
    pub word: bool,
    /// The folder or file; the root when none.
    pub path: Option<String>,
    /// Gitignore-style globs.
    pub globs: Vec<String>,
    /// Lines before and after each match.
    pub context: u32,
    /// Whether to search names that begin with a dot.
    pub hidden: bool,
    /// Whether to search what gitignore leaves out.
    pub ignored: bool,
    /// How many matching lines.
    pub limit: Option<u32>,
}

/// A matching line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The file.
    pub path: String,
    /// The line, counted from 1.
    pub line: u32,
    /// Byte column of the first match, counted from 1.
    pub column: u32,
    /// The line, cut.
    pub text: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Ripgrep's form.
    pub text: String,
    /// The matching lines.
    pub matches: Vec<Match>,
    /// Files with a match.
    pub files: u32,
    /// Files searched.
    pub searched: u32,
    /// Whether there is more.
    pub truncated: bool,
}

/// Searches.
pub fn search(_files: &impl Walks, _args: &Args) -> Result<Output, Failure> {
    Err(Failure::new(Code::Internal, "not yet"))
}
