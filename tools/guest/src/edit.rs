//! `edit`: exact replacement.
use crate::{Changes, Code, Failure};

/// What to replace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The file.
    pub path: String,
    /// The text to replace.
    pub old: String,
    /// The text to put there.
    pub new: String,
    /// Whether to replace every occurrence.
    pub all: bool,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The changed lines.
    pub text: String,
    /// The path as the workspace spells it.
    pub path: String,
    /// How many occurrences were replaced.
    pub replaced: u32,
}

/// Edits.
pub fn edit(_files: &impl Changes, _args: &Args) -> Result<Output, Failure> {
    Err(Failure::new(Code::Internal, "not yet"))
}
