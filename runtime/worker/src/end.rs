//! How an attempt ends, and how what goes wrong on the way becomes an end.

use gloaming_api::bowout::{BowOut, BowOutEvidence, Cost, ReasonCode, Stage};
use gloaming_api::evidence::{Evidence, Verdict};
use gloaming_jobs::{JobError, NoEngine};
use gloaming_verify::VerifyError;
use gloaming_workspace::{Patch, RepoError};

use crate::bow::Draft;
use crate::journal::RecordError;

/// How an attempt ended.
#[derive(Debug)]
pub enum Outcome {
    /// A patch that the gate passed; the caller recomputes the verdict before it publishes.
    Verified(Box<Verified>),
    /// No pull request, and why. The patch is what there was of one.
    BowedOut(Box<BowOut>, Option<Box<Unpublished>>),
    /// Somebody stopped it.
    Cancelled,
}

/// A patch that the gate passed.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The patch.
    pub patch: Patch,
    /// What was seen of it.
    pub evidence: Evidence,
    /// The gate's decision.
    pub verdict: Verdict,
    /// What its maker says it did.
    pub summary: String,
    /// What it cost.
    pub cost: Cost,
}

/// A patch that did not pass, kept for a person to look at and never published.
#[derive(Debug, Clone)]
pub struct Unpublished {
    /// The patch.
    pub patch: Patch,
    /// What was seen of it, where the verifier came that far.
    pub evidence: Option<Evidence>,
}

/// Infrastructure failed; never the agent's or the patch's fault.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The repository could not be read.
    #[error("could not read the repository")]
    Repository(#[from] RepoError),
    /// A job could not be run.
    #[error("could not run a container")]
    Job(#[from] JobError),
    /// The verifier could not do its work.
    #[error("could not verify")]
    Verify(#[source] VerifyError),
    /// The sandbox could not be set up.
    #[error("could not open the workspace for tools")]
    Sandbox(#[source] gloaming_sandbox::SandboxError),
    /// The journal or a folder of ours could not be written.
    #[error("could not write {what}")]
    Write {
        /// What.
        what: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A replay asked for something else than the record holds.
    #[error("the replay diverged from the record: {0}")]
    Diverged(String),
    /// What runs spend together could not be read or written: nothing more is spent.
    #[error("the budget cannot be held")]
    Ledger(#[from] gloaming_api::budget::LedgerError),
    /// The model's provider failed for good.
    #[error("the model could not be reached")]
    Model(#[source] gloaming_model::ModelError),
}

impl From<RecordError> for WorkerError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Io(source) => Self::Write { what: "the journal", source },
            diverged @ RecordError::Diverged { .. } => Self::Diverged(diverged.to_string()),
        }
    }
}

/// Why a stage did not lead to the next.
pub(crate) enum End {
    BowOut(Box<Draft>, Option<Box<Unpublished>>),
    /// The record ends here, with this.
    Recorded(Box<BowOut>),
    Stopped,
    Error(WorkerError),
}

impl From<Draft> for End {
    fn from(draft: Draft) -> Self {
        Self::BowOut(Box::new(draft), None)
    }
}

impl From<WorkerError> for End {
    fn from(error: WorkerError) -> Self {
        Self::Error(error)
    }
}

impl From<RepoError> for End {
    fn from(error: RepoError) -> Self {
        Self::Error(error.into())
    }
}

impl From<JobError> for End {
    fn from(error: JobError) -> Self {
        match error {
            JobError::NoEngine(reason) => no_engine(&reason).into(),
            JobError::Denied { label, denial } => Draft::new(
                Stage::Authorize,
                ReasonCode::PolicyBlocked,
                format!("The policy does not let the job `{label}` run."),
            )
            .evidence(BowOutEvidence::note("policy", denial.to_string()))
            .unblock(
                "let it run",
                format!("rule {} in {}:{}", denial.rule.id, denial.rule.file, denial.rule.line),
            )
            .into(),
            error => Self::Error(error.into()),
        }
    }
}

impl From<VerifyError> for End {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Cancelled => Self::Stopped,
            VerifyError::Job(error) => error.into(),
            VerifyError::Repository(error) => error.into(),
            VerifyError::Denied { purpose, denial } => Draft::new(
                Stage::Baseline,
                ReasonCode::PolicyBlocked,
                format!(
                    "The policy lets no {} jobs run here, and without them no change can be verified.",
                    purpose.as_str()
                ),
            )
            .evidence(BowOutEvidence::note("policy", denial.to_string()))
            .unblock(
                "let these jobs run",
                format!("rule {} in {}:{}", denial.rule.id, denial.rule.file, denial.rule.line),
            )
            .into(),
            error => Self::Error(WorkerError::Verify(error)),
        }
    }
}

pub(crate) fn no_engine(error: &NoEngine) -> Draft {
    Draft::new(
        Stage::Provision,
        ReasonCode::NoEngine,
        format!("No container engine works here: {}", error.reason),
    )
    .evidence(BowOutEvidence::note("system", error.reason.clone()))
    .unblock("make a container engine work", error.hint.clone())
}
