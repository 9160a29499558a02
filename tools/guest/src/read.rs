//! `read`: a file's lines with their numbers.
use crate::{Code, Failure, Files};

/// What to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The file.
    pub path: String,
    /// The first line, counted from 1.
    pub start: Option<u32>,
    /// How many lines.
    pub lines: Option<u32>,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The lines, each with its number.
    pub text: String,
    /// The path as the workspace spells it.
    pub path: String,
    /// The first line shown.
    pub first: u32,
    /// The last line shown.
    pub last: u32,
    /// Lines of the whole file.
    pub total: u32,
    /// Whether something was left out.
    pub truncated: bool,
    /// Whether the file is binary.
    pub binary: bool,
    /// Bytes of the whole file.
    pub size: u64,
}

/// Reads.
pub fn read(files: &impl Files, args: &Args) -> Result<Output, Failure> {
    let content = files.read(&args.path, None)?;
    let text = String::from_utf8(content.data).map_err(|_| Failure::new(Code::InvalidInput, "binary"))?;
    let total = text.lines().count() as u32;
    let text = text.lines().enumerate().map(|(i, l)| format!("{:>6}\t{l}\n", i + 1)).collect();
    Ok(Output { text, path: args.path.clone(), first: 1, last: total, total, size: content.size, ..Output::default() })
}
