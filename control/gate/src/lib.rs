//! The gate: evidence in, verdict out.
//!
//! What it is not: it runs nothing, reads no clock, file or environment, and asks no model. The worker
//! calls it to decide, and the control plane calls the same function again before it publishes. [`envelope`] signs
//! what was seen and decided, with a key it is handed; [`fit`] makes weights of outcomes it is handed.
//!
//! Invariants:
//! - a step that failed, is unknown, or is missing though required, is never a pass;
//! - the verdict is monotone: a further failure or signal never turns a block or bow-out into a pass;
//! - what the evidence's own data contradict is not believed: a regression visible in the test results
//!   blocks though the step says "pass";
//! - the verdict names what moved the score and the weights behind it, and says whether these are calibrated;
//! - a sealed envelope opens only as the very bytes that were sealed, and what is in it is what this gate decides.
#![forbid(unsafe_code)]

pub mod envelope;
mod features;
mod findings;
pub mod fit;
pub mod triage;
pub mod weights;

use std::collections::BTreeSet;

use gloaming_api::ReasonCode;
use gloaming_api::evidence::{
    Evidence, FileRole, Finding, LintLevel, Moved, Origin, Step, StepResult, TestStatus, Verdict, VerdictKind,
};

pub use features::{Features, features};
pub use findings::{consequence, finding_code};
use weights::{CostRatio, Weights};

/// Steps without which nothing passes, in their order. `V3` may be skipped (a repository without a build
/// command), the others must have passed.
const REQUIRED: &[&str] = &["V0", "V1", "V2", "V3", "V7", "V8"];

/// Every step there is; anything else in evidence is not understood and so not a pass.
const KNOWN: &[&str] = &["V0", "V1", "V2", "V3", "V4", "V5", "V6", "V7", "V8", "V9", "V10", "V11", "V12"];

/// The weights and the ratio of costs that one repository's patches are judged by.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// What speaks against a patch, and how much.
    pub weights: Weights,
    /// What a bad pull request costs by what a good one gains.
    pub costs: CostRatio,
}

impl Default for Gate {
    fn default() -> Self {
        Self { weights: weights::built_in().clone(), costs: CostRatio::default() }
    }
}

impl Gate {
    /// Decides on a piece of evidence.
    pub fn judge(&self, evidence: &Evidence) -> Verdict {
        judge_with(evidence, &self.weights, self.costs)
    }
}

/// Decides on a piece of evidence with the built-in weights and ratio of costs.
pub fn judge(evidence: &Evidence) -> Verdict {
    judge_with(evidence, weights::built_in(), CostRatio::default())
}

/// Decides on a piece of evidence with given weights, and what a bad pull request costs by what a good one gains.
pub fn judge_with(evidence: &Evidence, weights: &Weights, costs: CostRatio) -> Verdict {
    let (confidence, moved) = weights.score(&features(evidence));
    let reasons: Vec<String> = moved.iter().map(reason).collect();
    let threshold = costs.threshold();
    let decision = hard_block(evidence)
        .or_else(|| bow_out(evidence))
        .or_else(|| missing(evidence))
        .or_else(|| no_fail_to_pass(evidence))
        .unwrap_or_else(|| soft(confidence, threshold, &reasons));
    Verdict {
        verdict: decision.kind,
        code: decision.code,
        reason_code: decision.reason,
        summary: decision.summary,
        steps: evidence.steps.clone(),
        confidence,
        threshold,
        calibrated: weights.calibrated(),
        p_merge: weights.calibrated().then_some(confidence),
        reasons,
        moved,
        weights: Some(weights.digest().clone()),
    }
}

/// Returns one line for a reviewer on what moved the score.
fn reason(part: &Moved) -> String {
    let Moved { feature, value, log_odds } = part;
    if feature.ends_with("_share") {
        format!("{feature} {:.0} %: log-odds -{log_odds:.2}", value * 100.0)
    } else if value.fract() == 0.0 {
        format!("{value} × {feature}: log-odds -{log_odds:.2}")
    } else {
        format!("{feature} {value:.2}: log-odds -{log_odds:.2}")
    }
}

struct Decision {
    kind: VerdictKind,
    code: String,
    reason: Option<ReasonCode>,
    summary: String,
}

impl Decision {
    fn of_finding(kind: VerdictKind, finding: Finding, summary: String) -> Self {
        let (_, reason) = consequence(finding);
        Self { kind, code: finding_code(finding).to_owned(), reason: Some(reason), summary }
    }

    fn of_step(step: &Step) -> Self {
        let summary = format!("{}: {}", step.step, step.detail);
        match (step.result, step.code) {
            (StepResult::Fail, Some(finding)) => Self::of_finding(consequence(finding).0, finding, summary),
            (StepResult::Fail, None) => Self {
                kind: VerdictKind::Block,
                code: ReasonCode::VerificationFailed.as_str().to_owned(),
                reason: Some(ReasonCode::VerificationFailed),
                summary,
            },
            // Unknown is not a finding against the patch: its own reason code where it has one.
            (_, Some(finding)) => Self::of_finding(VerdictKind::BowOut, finding, summary),
            (_, None) => Self::low_confidence(summary),
        }
    }

    fn low_confidence(summary: String) -> Self {
        Self {
            kind: VerdictKind::BowOut,
            code: ReasonCode::LowConfidence.as_str().to_owned(),
            reason: Some(ReasonCode::LowConfidence),
            summary,
        }
    }
}

/// Steps in the order of the table, whatever order the evidence lists them in.
fn in_order(evidence: &Evidence) -> Vec<&Step> {
    let mut steps: Vec<&Step> = evidence.steps.iter().collect();
    steps.sort_by_key(|step| KNOWN.iter().position(|known| *known == step.step).unwrap_or(KNOWN.len()));
    steps
}

fn hard_block(evidence: &Evidence) -> Option<Decision> {
    let said = in_order(evidence)
        .into_iter()
        .filter(|step| step.result == StepResult::Fail)
        .map(Decision::of_step)
        .find(|decision| decision.kind == VerdictKind::Block);
    said.or_else(|| regression(evidence)).or_else(|| lint_error(evidence))
}

/// A regression that the results show, whatever V7 says.
fn regression(evidence: &Evidence) -> Option<Decision> {
    let flaky: BTreeSet<&String> = evidence.flaky.iter().collect();
    let regressed: Vec<&str> = evidence
        .baseline_tests
        .iter()
        .filter(|(id, status)| {
            matches!(status, TestStatus::Passed | TestStatus::ExpectedFailure)
                && evidence.patched_tests.get(*id) == Some(&TestStatus::Failed)
                && !flaky.contains(id)
        })
        .map(|(id, _)| id.as_str())
        .collect();
    let first = regressed.first()?;
    let summary = format!("{} tests held before the patch and fail with it, {first} first", regressed.len());
    Some(Decision::of_finding(VerdictKind::Block, Finding::Regression, summary))
}

/// A new error of a linter or type checker, whatever V4 says.
fn lint_error(evidence: &Evidence) -> Option<Decision> {
    let mut errors = evidence.findings.iter().filter(|finding| finding.level == LintLevel::Error);
    let first = errors.next()?;
    let summary = format!(
        "{} new errors of linters and type checkers, first in {}:{}: {}",
        1 + errors.count(),
        first.path,
        first.line,
        first.message
    );
    Some(Decision::of_finding(VerdictKind::Block, Finding::NewLintFindings, summary))
}

fn bow_out(evidence: &Evidence) -> Option<Decision> {
    in_order(evidence).into_iter().find_map(|step| match step.result {
        StepResult::Fail | StepResult::Unknown => {
            Some(Decision { kind: VerdictKind::BowOut, ..Decision::of_step(step) })
        }
        StepResult::Pass | StepResult::Skipped if !KNOWN.contains(&step.step.as_str()) => {
            Some(Decision::low_confidence(format!("{:?} is not a step this gate knows", step.step)))
        }
        StepResult::Pass | StepResult::Skipped => None,
    })
}

fn missing(evidence: &Evidence) -> Option<Decision> {
    if evidence.schema_version != 1 {
        return Some(Decision::low_confidence(format!(
            "evidence of schema version {} is not understood",
            evidence.schema_version
        )));
    }
    for required in REQUIRED {
        let of_step =
            |result| evidence.steps.iter().any(|step| step.step == *required && step.result == result);
        let skipped = of_step(StepResult::Skipped);
        if of_step(StepResult::Pass) && !skipped || *required == "V3" && skipped {
            continue;
        }
        let what = if skipped { "was skipped" } else { "is missing" };
        let summary = format!("{required} {what}, and nothing passes without it");
        return Some(if matches!(*required, "V7" | "V8") {
            Decision::of_finding(VerdictKind::BowOut, Finding::SuiteNotRun, summary)
        } else {
            Decision::low_confidence(summary)
        });
    }
    if evidence.tree.is_none() {
        return Some(Decision::low_confidence(
            "the evidence names no tree, so nothing can be published".into(),
        ));
    }
    if !evidence.patched_tests.values().any(|status| *status == TestStatus::Passed) {
        return Some(Decision::of_finding(
            VerdictKind::BowOut,
            Finding::NoTests,
            "not one test passed on the patched tree".into(),
        ));
    }
    None
}

fn no_fail_to_pass(evidence: &Evidence) -> Option<Decision> {
    let by_model = matches!(evidence.origin, Origin::Model(_));
    let changes_code = evidence.files.iter().any(|file| file.role == FileRole::Code);
    let shown = !evidence.fail_to_pass.is_empty()
        && evidence.steps.iter().any(|step| step.step == "V5" && step.result == StepResult::Pass);
    (by_model && changes_code && !shown).then(|| {
        Decision::of_finding(
            VerdictKind::BowOut,
            Finding::NoFailToPass,
            "a model changed code and no test fails without the change and passes with it".into(),
        )
    })
}

fn soft(confidence: f64, threshold: f64, reasons: &[String]) -> Decision {
    if confidence >= threshold {
        return Decision {
            kind: VerdictKind::Pass,
            code: "ok".into(),
            reason: None,
            summary: format!("every required step passed; confidence {confidence:.2}, {threshold:.2} needed"),
        };
    }
    let why = if reasons.is_empty() {
        "nothing speaks against the patch, the bar is higher".to_owned()
    } else {
        reasons.join("; ")
    };
    let summary = format!("confidence {confidence:.2} is below {threshold:.2}: {why}");
    Decision::of_finding(VerdictKind::BowOut, Finding::QualityGate, summary)
}
