//! The words every other crate shares: ids, wire types, reason codes, the journal's chain.
//!
//! What it is not: it performs no IO, decides nothing and imports nothing of ours.
//!
//! Invariants:
//! - every type that crosses a process border round-trips through JSON and refuses unknown keys where
//!   a person writes it;
//! - [`RelPath`] can only hold a normalised path that stays beneath the workspace;
//! - a [`journal::Chain`] accepts an event only in order and only with the right predecessor's hash.
#![forbid(unsafe_code)]

pub mod access;
pub mod address;
pub mod bowout;
pub mod budget;
pub mod canonical;
pub mod endpoints;
pub mod evidence;
pub mod ids;
pub mod job;
pub mod journal;
pub mod path;
pub mod problem;
pub mod profile;
pub mod stats;
pub mod task;
pub mod text;
pub mod tool;
pub mod triage;
pub mod worker;

pub use bowout::{BowOut, ReasonCode, Stage};
pub use canonical::canonical_json;
pub use evidence::{Evidence, Judge, Verdict, VerdictKind};
pub use ids::{Attempt, Digest, RepoId, TaskId};
pub use path::{PathError, RelPath};
pub use profile::Profile;
