//! Verification: runs a patch through every step and makes evidence of what was seen.
//!
//! What it is not: it does not judge (that is the gate's, on the evidence alone), it fixes nothing, and no model
//! is asked. It runs no program itself: everything of the repository runs as a job.
//!
//! Invariants:
//! - jobs run on fresh copies of fresh checkouts, in fresh containers, with commands of the profile, which was
//!   mined from the base; nothing but the patch crosses from where it was made;
//! - how a job ended is the engine's word, never the job's; a report that contradicts it counts for nothing;
//! - unknown is never noted as a pass, and a step that does not apply says by which rule;
//! - a report folder is read as hostile: plain files only, bounded, no link followed;
//! - no clock, environment or randomness is read: names of control tests come from the seed.
//!
//! docs/VERIFICATION.md tells each step, its codes, and what cannot be caught.
#![forbid(unsafe_code)]

mod alone;
mod baseline;
mod bench;
mod change;
mod churn;
mod collected;
mod commanded;
mod compare;
mod content;
mod controls;
mod coverage;
mod dependencies;
mod depends;
mod examples;
mod fail_to_pass;
mod failure;
mod flakes;
mod host;
mod hunks;
mod hybrid;
mod inputs;
mod integrity;
mod lint;
mod manifests;
mod markdown;
mod mutation;
mod named;
mod names;
mod near;
mod new_dependencies;
mod outcome;
mod reach;
mod reading;
mod renaming;
mod reproduce;
mod reruns;
mod rules;
mod runners;
#[cfg(test)]
mod samples;
mod sarif;
mod shadows;
mod signals;
mod steps;
mod suites;
mod unapplied;
mod users;
mod vacuous;
mod verify;

pub use baseline::{Baseline, Red, baseline, key as baseline_key};
pub use content::{SecretShape, secret_shapes};
pub use flakes::RerunRule;
pub use inputs::{BaselineInputs, Baselines, Effort, Inputs, Progress, ProgressSink, VerifyError};
pub use lint::{LintSeen, Seen as SeenFinding};
pub use markdown::markdown;
pub use mutation::IDLE_TESTS;
pub use reading::{Reading, read};
pub use reproduce::{Reproduction, reproduce};
pub use sarif::sarif;
pub use unapplied::{Unapplied, evidence_without_tree};
pub use verify::verify;
