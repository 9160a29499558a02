//! `patch`: Codex's apply_patch.
use crate::{Changes, Code, Failure};

/// A changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchedFile {
    /// The file.
    pub path: String,
    /// `added`, `modified`, `deleted` or `moved`.
    pub change: &'static str,
    /// The new path of a moved file.
    pub to: Option<String>,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// What to tell.
    pub text: String,
    /// The files.
    pub files: Vec<PatchedFile>,
}

/// Applies a patch.
pub fn patch(_files: &impl Changes, _patch: &str) -> Result<Output, Failure> {
    Err(Failure::new(Code::Internal, "not yet"))
}
