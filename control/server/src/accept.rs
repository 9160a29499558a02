//! The seam between a worker's word and what is published of it.

use gloaming_api::bowout::BowOut;
use gloaming_api::evidence::Verdict;
use gloaming_api::worker::{LeaseKey, VerifiedChange};
use gloaming_api::{Attempt, TaskId};
use gloaming_store::NewEffect;

/// A change that a worker says is verified, with what it uploaded of it. Every blob of it that has content is in the store
/// by then, under the task.
pub struct Claim<'a> {
    /// Task and attempt that it is said of.
    pub lease: &'a LeaseKey,
    /// The task as the store has it.
    pub task: &'a gloaming_store::TaskRecord,
    /// What is said.
    pub change: &'a VerifiedChange,
    /// The bytes that [`VerifiedChange::evidence`] names; their digest is that.
    pub evidence: &'a [u8],
    /// The bytes that [`VerifiedChange::patch`] names; their digest is that.
    pub patch: &'a [u8],
}

/// What follows when a change is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// What the control plane's own gate decided.
    pub verdict: Verdict,
    /// What is to be done to the outside, in the transaction that ends the attempt.
    pub effects: Vec<NewEffect>,
}

/// Judges a worker's change again. Blocks; reads no clock and no network.
pub trait Acceptor: Send + Sync {
    /// Decides whether a change may be published. The error is why not.
    fn accept(&self, claim: &Claim<'_>) -> Result<Accepted, Refusal>;
}

/// Why a change is not taken: how its attempt ends instead.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// It must not be published.
    BowOut(Box<BowOut>),
    /// It could not be judged here; another attempt may be.
    Failed(String),
}

/// Takes nothing: what a server does that was not told how to publish.
#[derive(Debug, Clone, Copy, Default)]
pub struct RefuseAll;

impl Acceptor for RefuseAll {
    fn accept(&self, _: &Claim<'_>) -> Result<Accepted, Refusal> {
        let why = "this control plane is not set up to publish; configure a code host and a signing key";
        Err(Refusal::Failed(why.to_owned()))
    }
}

/// The name under which the store keeps the digest of an attempt's sealed evidence: what `GET /v1/tasks/{id}/evidence` answers.
/// It is there once the change was found to make the evidence's tree of a base that may be built on, and not before.
pub fn envelope_value(task: &TaskId, attempt: Attempt) -> String {
    format!("envelope:{task}:{attempt}")
}

/// The name under which the store keeps the digest of the verdict on an attempt, as this control plane computed it.
pub fn verdict_value(task: &TaskId, attempt: Attempt) -> String {
    format!("verdict:{task}:{attempt}")
}
