//! Evidence of a patch that makes no tree.

use gloaming_api::evidence::{Evidence, Finding, Origin, TestResults};
use gloaming_api::{Attempt, Digest, RepoId, TaskId};
use gloaming_policies::Grant;
use gloaming_workspace::{ApplyError, CommitId};

use crate::VerifyError;
use crate::steps::{Found, Steps};

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

/// Returns the evidence of a patch that makes no tree: V0 fails, or V1 where it names a path no patch may.
///
/// # Errors
/// The repository could not be read, which says nothing about the patch.
pub fn evidence_without_tree(patch: Unapplied<'_>) -> Result<Evidence, VerifyError> {
    let (step, code) = match patch.error {
        ApplyError::Repository(error) => return Err(error.into()),
        ApplyError::Empty => ("V0", Finding::EmptyPatch),
        ApplyError::TooLarge { .. } => ("V0", Finding::TooLarge),
        ApplyError::BadPath { .. } => ("V1", Finding::ProtectedPath),
        ApplyError::DoesNotApply { .. } | ApplyError::Submodule { .. } => ("V0", Finding::PatchDoesNotApply),
    };
    let mut steps = Steps::default();
    steps.note(step, Found::fail(code, patch.error.to_string()));
    let (task, attempt) = patch.task.unzip();
    Ok(Evidence {
        schema_version: 1,
        task,
        attempt,
        repo: patch.repo_id.clone(),
        base: patch.base.to_string(),
        patch: Digest::of(patch.diff),
        tree: None,
        origin: patch.origin,
        grant: patch.grant.digest().clone(),
        environment: None,
        commands: Vec::new(),
        files: Vec::new(),
        steps: steps.finish(),
        jobs: Vec::new(),
        baseline_tests: TestResults::new(),
        patched_tests: TestResults::new(),
        fail_to_pass: Vec::new(),
        without_code: Vec::new(),
        flaky: Vec::new(),
        flakes: Vec::new(),
        findings: Vec::new(),
        coverage: None,
        mutants: None,
        asked: None,
        sent_back: 0,
        signals: Vec::new(),
        journal_head: None,
        journal_length: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(error: ApplyError) -> String {
        let evidence = evidence_without_tree(Unapplied {
            repo_id: &"acme/api".parse().unwrap(),
            base: &"0".repeat(40).parse().unwrap(),
            diff: b"x",
            grant: &Grant::resolve(&"acme/api".parse().unwrap(), Vec::new()).unwrap(),
            origin: Origin::External,
            task: None,
            error,
        })
        .unwrap();
        assert_eq!(evidence.steps.len(), 11);
        let step = evidence.steps.iter().find(|step| step.code.is_some()).unwrap();
        format!("{} {:?}: {}", step.step, step.code.unwrap(), step.detail)
    }

    #[test]
    fn each_way_not_to_apply() {
        let does_not =
            ApplyError::DoesNotApply { file: Some("a".into()), line: Some(3), detail: "hunk 1".into() };
        assert_eq!(shown(does_not), "V0 PatchDoesNotApply: the patch does not apply: hunk 1");
        assert_eq!(shown(ApplyError::Empty), "V0 EmptyPatch: there is no diff in the patch");
        assert_eq!(shown(ApplyError::TooLarge { limit: 9 }), "V0 TooLarge: the patch has more than 9 bytes");
        assert_eq!(
            shown(ApplyError::BadPath { path: "../x".into(), why: "it leaves the repository" }),
            "V1 ProtectedPath: the patch names the path \"../x\", which is refused: it leaves the repository"
        );
    }
}
