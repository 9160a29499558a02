//! `write`: a whole file.
use crate::files::Expected;
use crate::{Changes, Failure};

/// What to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The file.
    pub path: String,
    /// The whole content.
    pub content: String,
    /// Whether an existing file may be replaced.
    pub overwrite: bool,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// What to tell.
    pub text: String,
    /// The path as the workspace spells it.
    pub path: String,
    /// Whether the file is new.
    pub created: bool,
    /// Bytes written.
    pub size: u64,
}

/// Writes.
pub fn write(files: &impl Changes, args: &Args) -> Result<Output, Failure> {
    files.write(&args.path, args.content.as_bytes(), Expected::Any)?;
    Ok(Output::default())
}
