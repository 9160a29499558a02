//! What each finding means for the verdict: one row per code.

use gloaming_api::ReasonCode;
use gloaming_api::evidence::{Finding, VerdictKind};

/// One row per finding: its code as written, what a failed step with it leads to, and the reason a run
/// bows out with.
const TABLE: &[(Finding, &str, VerdictKind, ReasonCode)] = {
    use Finding::*;
    use VerdictKind::{Block, BowOut};
    &[
        (PatchDoesNotApply, "patch_does_not_apply", BowOut, ReasonCode::VerificationFailed),
        (EmptyPatch, "empty_patch", BowOut, ReasonCode::NoChangeNeeded),
        (TooLarge, "too_large", BowOut, ReasonCode::TooLarge),
        (ProtectedPath, "protected_path", Block, ReasonCode::ProtectedPath),
        (ForbiddenContent, "forbidden_content", Block, ReasonCode::VerificationFailed),
        (BaselineRed, "baseline_red", BowOut, ReasonCode::BaselineRed),
        (BuildFailed, "build_failed", Block, ReasonCode::VerificationFailed),
        (NewLintFindings, "new_lint_findings", Block, ReasonCode::QualityGate),
        (NoFailToPass, "no_fail_to_pass", BowOut, ReasonCode::LowConfidence),
        (Regression, "regression", Block, ReasonCode::VerificationFailed),
        (TestsWeakened, "tests_weakened", Block, ReasonCode::VerificationFailed),
        (RunnerConfigChanged, "runner_config_changed", Block, ReasonCode::VerificationFailed),
        (SuiteNotRun, "suite_not_run", Block, ReasonCode::VerificationFailed),
        (NoTests, "no_tests", BowOut, ReasonCode::LowConfidence),
        (QualityGate, "quality_gate", BowOut, ReasonCode::QualityGate),
        (NoEngine, "no_engine", BowOut, ReasonCode::NoEngine),
        (JobLimit, "job_limit", Block, ReasonCode::VerificationFailed),
    ]
};

/// Returns what a *failed* step with this finding leads to, and the reason code of a run that ends on it.
/// An unknown step always leads to a bow-out, with the same reason code.
pub fn consequence(finding: Finding) -> (VerdictKind, ReasonCode) {
    TABLE
        .iter()
        .find(|row| row.0 == finding)
        .map_or((VerdictKind::Block, ReasonCode::VerificationFailed), |row| (row.2, row.3))
}

/// Returns the finding's code as it is written in JSON.
pub fn finding_code(finding: Finding) -> &'static str {
    TABLE.iter().find(|row| row.0 == finding).map_or("verification_failed", |row| row.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_print_as_they_serialise() {
        for (finding, code, ..) in TABLE {
            assert_eq!(serde_json::to_value(finding).unwrap(), *code);
        }
    }

    #[test]
    fn every_finding_has_a_row() {
        // Adding a finding to the vocabulary breaks this list, and so reminds of the table.
        let listed = |finding| match finding {
            Finding::PatchDoesNotApply
            | Finding::EmptyPatch
            | Finding::TooLarge
            | Finding::ProtectedPath
            | Finding::ForbiddenContent
            | Finding::BaselineRed
            | Finding::BuildFailed
            | Finding::NewLintFindings
            | Finding::NoFailToPass
            | Finding::Regression
            | Finding::TestsWeakened
            | Finding::RunnerConfigChanged
            | Finding::SuiteNotRun
            | Finding::NoTests
            | Finding::QualityGate
            | Finding::NoEngine
            | Finding::JobLimit => 17,
        };
        assert_eq!(TABLE.len(), listed(Finding::NoTests));
    }
}
