//! The terminal answer without a pull request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Attempt, Digest, TaskId};

/// A step of the blueprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "docs/ARCHITECTURE.md tells each stage in the blueprint's table")]
pub enum Stage {
    Intake,
    Authorize,
    Dedupe,
    Triage,
    Provision,
    Baseline,
    Reproduce,
    ValidateReproducer,
    Plan,
    Code,
    Freeze,
    Verify,
    SoftSignals,
    Review,
    Gate,
    Publish,
    FollowUp,
    Outcome,
}

impl Stage {
    /// Returns the stage's name as it is written in journals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Authorize => "authorize",
            Self::Dedupe => "dedupe",
            Self::Triage => "triage",
            Self::Provision => "provision",
            Self::Baseline => "baseline",
            Self::Reproduce => "reproduce",
            Self::ValidateReproducer => "validate_reproducer",
            Self::Plan => "plan",
            Self::Code => "code",
            Self::Freeze => "freeze",
            Self::Verify => "verify",
            Self::SoftSignals => "soft_signals",
            Self::Review => "review",
            Self::Gate => "gate",
            Self::Publish => "publish",
            Self::FollowUp => "follow_up",
            Self::Outcome => "outcome",
        }
    }
}

/// Why there is no pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "docs/bow-outs.md tells each code's meaning and remedy; a test holds them equal"
)]
pub enum ReasonCode {
    PolicyBlocked,
    Unauthorized,
    SuspectedInjection,
    DuplicateOrFixed,
    Underspecified,
    TooLarge,
    OutOfScope,
    NeedsCredentials,
    NeedsNetwork,
    NoModel,
    EnvUnbuildable,
    NoEngine,
    BaselineRed,
    NotReproducible,
    ConflictingRequirements,
    Stuck,
    BudgetExhausted,
    NoChangeNeeded,
    ProtectedPath,
    VerificationFailed,
    QualityGate,
    LowConfidence,
}

impl ReasonCode {
    /// Returns the code of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }

    /// Every code, in the order of the blueprint.
    pub const ALL: &[Self] = &[
        Self::PolicyBlocked,
        Self::Unauthorized,
        Self::SuspectedInjection,
        Self::DuplicateOrFixed,
        Self::Underspecified,
        Self::TooLarge,
        Self::OutOfScope,
        Self::NeedsCredentials,
        Self::NeedsNetwork,
        Self::NoModel,
        Self::EnvUnbuildable,
        Self::NoEngine,
        Self::BaselineRed,
        Self::NotReproducible,
        Self::ConflictingRequirements,
        Self::Stuck,
        Self::BudgetExhausted,
        Self::NoChangeNeeded,
        Self::ProtectedPath,
        Self::VerificationFailed,
        Self::QualityGate,
        Self::LowConfidence,
    ];

    /// Returns the code as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PolicyBlocked => "policy_blocked",
            Self::Unauthorized => "unauthorized",
            Self::SuspectedInjection => "suspected_injection",
            Self::DuplicateOrFixed => "duplicate_or_fixed",
            Self::Underspecified => "underspecified",
            Self::TooLarge => "too_large",
            Self::OutOfScope => "out_of_scope",
            Self::NeedsCredentials => "needs_credentials",
            Self::NeedsNetwork => "needs_network",
            Self::NoModel => "no_model",
            Self::EnvUnbuildable => "env_unbuildable",
            Self::NoEngine => "no_engine",
            Self::BaselineRed => "baseline_red",
            Self::NotReproducible => "not_reproducible",
            Self::ConflictingRequirements => "conflicting_requirements",
            Self::Stuck => "stuck",
            Self::BudgetExhausted => "budget_exhausted",
            Self::NoChangeNeeded => "no_change_needed",
            Self::ProtectedPath => "protected_path",
            Self::VerificationFailed => "verification_failed",
            Self::QualityGate => "quality_gate",
            Self::LowConfidence => "low_confidence",
        }
    }
}

/// A terminal answer without a pull request, written as `bowout.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BowOut {
    /// Always 1.
    pub schema_version: u32,
    /// The task.
    pub task_id: TaskId,
    /// The attempt that ended.
    pub attempt: Attempt,
    /// The stage that ended it.
    pub stage: Stage,
    /// Why.
    pub reason_code: ReasonCode,
    /// One or two sentences for a person, at most 280 characters.
    #[schemars(length(max = 280))]
    pub summary: String,
    /// What the system itself ran or saw that led here.
    pub evidence: Vec<BowOutEvidence>,
    /// What was tried before.
    pub attempted: Vec<Attempted>,
    /// At least one thing that would unblock the task.
    #[schemars(length(min = 1))]
    pub what_would_unblock: Vec<Unblock>,
    /// What a person would have been asked, had one been there.
    pub questions: Vec<String>,
    /// The confidence reached, 0 to 1, where a gate was reached.
    pub confidence: Option<f64>,
    /// The confidence that was needed.
    pub threshold: Option<f64>,
    /// What it cost.
    pub cost: Cost,
    /// Whether the same task may succeed unchanged later.
    pub retryable: bool,
}

impl BowOut {
    /// The name that work which did not pass has in an out folder, and in the evidence that names its artifact.
    pub const PARTIAL: &str = "attempt.diff";

    /// Returns the digest of the work that did not pass, where a worker handed that over.
    pub fn partial(&self) -> Option<Digest> {
        let named =
            self.evidence.iter().find(|one| one.kind == "file" && one.excerpt.starts_with(Self::PARTIAL))?;
        named.artifact.as_ref()?.parse().ok()
    }
}

/// One piece of a bow-out's evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BowOutEvidence {
    /// What it is: `command`, `policy`, `file`, `verification`, `model`, `system`.
    pub kind: String,
    /// The command, for `command`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub argv: Vec<String>,
    /// Its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// The telling part, at most some 2,000 characters.
    pub excerpt: String,
    /// A file in the out folder that holds the rest; of a control plane's task the digest of an artifact of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
}

impl BowOutEvidence {
    /// Returns evidence of a kind that is told in words alone.
    pub fn note(kind: &str, excerpt: impl Into<String>) -> Self {
        Self { kind: kind.into(), argv: Vec::new(), exit: None, excerpt: excerpt.into(), artifact: None }
    }
}

/// One approach that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attempted {
    /// What was tried.
    pub approach: String,
    /// How it ended.
    pub outcome: String,
}

/// One action that would unblock a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unblock {
    /// A short imperative: `configure a model`.
    pub action: String,
    /// How, with names and commands; where it is `patchable`, the text of the task that would do it.
    pub detail: String,
    /// Whether Gloaming could make the change itself: `detail` is a task that needs no model.
    pub patchable: bool,
}

impl Unblock {
    /// Returns an action that Gloaming takes by itself, without a model, when it is given `task` as a task's text.
    pub fn by_task(action: impl Into<String>, task: impl Into<String>) -> Self {
        Self { action: action.into(), detail: task.into(), patchable: true }
    }

    /// Returns an action that a person has to take.
    pub fn by_hand(action: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { action: action.into(), detail: detail.into(), patchable: false }
    }
}

/// What an attempt spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// US dollars, by the price table; 0 where no model was called.
    pub usd: f64,
    /// Calls of a model.
    pub calls: u32,
    /// Tokens of its questions and answers, those of a provider's cache among them; 0 in records from before they were
    /// counted.
    #[serde(default)]
    pub tokens: u64,
    /// Bytes of tools' answers that models were handed; 0 in the same records.
    #[serde(default)]
    pub tool_bytes: u64,
    /// Wall-clock seconds.
    pub wall_s: f64,
}

/// Shortens `text` to at most `max` characters, at a character border, with an ellipsis.
pub fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(max.saturating_sub(1)).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_print_as_they_serialise() {
        for code in ReasonCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
        assert_eq!(
            serde_json::to_value(Stage::ValidateReproducer).unwrap(),
            Stage::ValidateReproducer.as_str()
        );
    }

    #[test]
    fn shorten_counts_characters() {
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äö…");
    }
}
