//! Bow-outs: built in one place, so that each names evidence and a way on.

use gloaming_api::bowout::{Attempted, BowOut, BowOutEvidence, Cost, ReasonCode, Stage, Unblock, shorten};
use gloaming_api::evidence::{Finding, StepResult, Verdict};
use gloaming_api::{Attempt, TaskId};
use gloaming_policies::Diagnostic;

/// The parts of a bow-out that a stage knows; the run adds task, cost and the rest.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) stage: Stage,
    pub(crate) code: ReasonCode,
    pub(crate) summary: String,
    pub(crate) evidence: Vec<BowOutEvidence>,
    pub(crate) attempted: Vec<Attempted>,
    pub(crate) unblock: Vec<Unblock>,
    pub(crate) questions: Vec<String>,
    pub(crate) confidence: Option<(f64, f64)>,
    pub(crate) retryable: bool,
}

impl Draft {
    pub(crate) fn new(stage: Stage, code: ReasonCode, summary: impl Into<String>) -> Self {
        Self {
            stage,
            code,
            summary: summary.into(),
            evidence: Vec::new(),
            attempted: Vec::new(),
            unblock: Vec::new(),
            questions: Vec::new(),
            confidence: None,
            retryable: false,
        }
    }

    pub(crate) fn evidence(mut self, evidence: BowOutEvidence) -> Self {
        self.evidence.push(evidence);
        self
    }

    pub(crate) fn unblock(mut self, action: impl Into<String>, detail: impl Into<String>) -> Self {
        self.unblock.push(Unblock::by_hand(action, detail));
        self
    }

    pub(crate) fn finish(mut self, task: &TaskId, attempt: Attempt, cost: Cost) -> BowOut {
        if self.unblock.is_empty() {
            self.unblock.push(default_unblock(self.code));
        }
        BowOut {
            schema_version: 1,
            task_id: task.clone(),
            attempt,
            stage: self.stage,
            reason_code: self.code,
            summary: shorten(&self.summary, 280),
            evidence: self.evidence,
            attempted: self.attempted,
            what_would_unblock: self.unblock,
            questions: self.questions,
            confidence: self.confidence.map(|(confidence, _)| confidence),
            threshold: self.confidence.map(|(_, threshold)| threshold),
            cost,
            retryable: self.retryable,
        }
    }
}

/// What helps in general where a stage knows nothing better.
fn default_unblock(code: ReasonCode) -> Unblock {
    let (action, detail) = match code {
        ReasonCode::PolicyBlocked | ReasonCode::ProtectedPath => (
            "change the policy or the task",
            "`gloaming policy explain \"edit PATH\"` names the deciding rule; allow the path in the operator's policy, \
             or ask for a change that leaves it alone",
        ),
        ReasonCode::Unauthorized => {
            ("ask as somebody with write access", "the repository's owner can file the task")
        }
        ReasonCode::SuspectedInjection => {
            ("rewrite the task", "leave out text that gives instructions to tools")
        }
        ReasonCode::DuplicateOrFixed => ("look at the existing change", "file a new task if it does not fit"),
        ReasonCode::Underspecified => {
            ("say what should change", "name the file or function and what it should do")
        }
        ReasonCode::TooLarge => ("split the task", "one change of at most some hundred lines at a time"),
        ReasonCode::OutOfScope => ("do this one by hand", "it is of a kind Gloaming does not take on"),
        ReasonCode::NeedsCredentials => {
            ("provide test doubles", "make the tests run without the service's credentials")
        }
        ReasonCode::NeedsNetwork => {
            ("make the dependencies available offline", "fetch them on this machine beforehand")
        }
        ReasonCode::NoModel => {
            ("configure a model", "run again with --model openai:MODEL or --model anthropic:MODEL")
        }
        ReasonCode::EnvUnbuildable => (
            "make the commands run here",
            "`gloaming profile .` shows which commands were found and how they end in the container",
        ),
        ReasonCode::NoEngine => {
            ("make a container engine work", "run as root on Linux with user namespaces or cgroups")
        }
        ReasonCode::BaselineRed => ("repair the base first", "the listed commands fail without any change"),
        ReasonCode::NotReproducible => ("add steps to reproduce", "a failing test is best"),
        ReasonCode::ConflictingRequirements => ("resolve the conflict", "say which of the two should hold"),
        ReasonCode::Stuck => ("give a hint or a smaller step", "name the place where the change belongs"),
        ReasonCode::BudgetExhausted => ("raise the budget", "set [budget] in the policy, or split the task"),
        ReasonCode::NoChangeNeeded => ("check the task", "what it asks for already holds on the base"),
        ReasonCode::VerificationFailed => {
            ("look at the kept patch", "attempt.diff and evidence.json show what failed")
        }
        ReasonCode::QualityGate => {
            ("look at the kept patch", "attempt.diff and evidence.json show what is unclean")
        }
        ReasonCode::LowConfidence => {
            ("add a test that shows the wanted behaviour", "it must fail on the base")
        }
    };
    Unblock::by_hand(action, detail)
}

/// Bows out on a verdict that is not a pass.
pub(crate) fn from_verdict(verdict: &Verdict) -> Draft {
    let mut draft = Draft::new(
        Stage::Gate,
        verdict.reason_code.unwrap_or(ReasonCode::LowConfidence),
        verdict.summary.clone(),
    );
    for step in
        verdict.steps.iter().filter(|step| matches!(step.result, StepResult::Fail | StepResult::Unknown))
    {
        draft.evidence.push(BowOutEvidence {
            kind: "verification".into(),
            argv: Vec::new(),
            exit: None,
            excerpt: shorten(&format!("{}: {}", step.step, step.detail), 2000),
            artifact: Some("evidence.json".into()),
        });
        if step.code == Some(Finding::NoFailToPass) {
            draft.unblock.push(Unblock::by_hand(
                "add a failing test",
                "with a test that fails on the base and says what is wanted, the change can be shown to be right",
            ));
        }
        if step.code == Some(Finding::TestsWeakened) {
            draft.unblock.push(Unblock::by_hand(
                "change the test first",
                "an existing test says otherwise; where the task wants that changed, a person changes the test on the \
                 base, since whoever writes a change does not decide what it is measured by",
            ));
        }
    }
    for reason in &verdict.reasons {
        draft.evidence.push(BowOutEvidence::note("verification", reason.clone()));
    }
    draft.confidence = Some((verdict.confidence, verdict.threshold));
    draft
}

/// Bows out on a repository's own policy file that does not load: it fails closed.
pub fn invalid_repository_policy(task: &TaskId, attempt: Attempt, diagnostics: &[Diagnostic]) -> BowOut {
    let mut draft = Draft::new(
        Stage::Authorize,
        ReasonCode::PolicyBlocked,
        "The repository's own policy file does not load on the base commit, so nothing may be done here.",
    );
    for diagnostic in diagnostics {
        draft = draft.evidence(BowOutEvidence::note("policy", diagnostic.to_string()));
    }
    draft
        .unblock(
            "repair the policy file",
            "`gloaming policy check FILE` shows each error with line and column",
        )
        .finish(task, attempt, Cost::default())
}
