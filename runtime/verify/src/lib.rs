//! Verification of a patch. First cut of the interface.
#![forbid(unsafe_code)]

mod baseline;
mod inputs;

use gloaming_api::evidence::{Evidence, Origin};
use gloaming_api::{Attempt, RepoId, TaskId};
use gloaming_policies::Grant;
use gloaming_workspace::{ApplyError, CommitId};

pub use baseline::{Baseline, Red, baseline};
pub use inputs::{BaselineInputs, Inputs, Progress, ProgressSink, VerifyError};

/// Runs every step on a patch and returns what was seen.
pub async fn verify(inputs: Inputs<'_>) -> Result<Evidence, VerifyError> {
    let _ = inputs;
    todo!()
}

/// What is known of a patch that does not apply.
#[derive(Debug)]
pub struct Unapplied<'a> {
    /// The repository's name.
    pub repo_id: &'a RepoId,
    /// The commit it was to be applied to.
    pub base: &'a CommitId,
    /// The patch's bytes as they were given.
    pub diff: &'a [u8],
    /// The policy of the attempt.
    pub grant: &'a Grant,
    /// Who made it.
    pub origin: Origin,
    /// The task and attempt, where there are any.
    pub task: Option<(TaskId, Attempt)>,
    /// Why it does not apply.
    pub error: ApplyError,
}

/// Returns the evidence of a patch that makes no tree.
///
/// # Errors
/// The repository could not be read, which says nothing about the patch.
pub fn evidence_without_tree(patch: Unapplied<'_>) -> Result<Evidence, VerifyError> {
    let _ = patch;
    todo!()
}
