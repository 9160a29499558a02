//! Runs one attempt through the blueprint: the only place in `runtime/` where everything meets.
//!
//! What it is not: it does not decide what may be done (that is `policies`), does not judge (it is handed
//! the gate as a function), does not publish and never sees a forge's key.
//!
//! Invariants:
//! - a run ends in a verified patch, a bow-out or a cancellation; infrastructure failures are errors,
//!   never any of these;
//! - every tool call with its job, and every model answer, is in the journal before the next one begins; the jobs of
//!   the baseline and of a verification are there when that stage ends;
//! - spending never exceeds the budget by more than the call in flight.
#![forbid(unsafe_code)]

mod advisories;
mod base;
pub mod blueprint;
mod bow;
pub mod check;
mod code;
mod end;
mod facts;
mod fix;
pub mod journal;
pub mod lease;
mod lock;
mod machine;
mod playbook;
pub mod progress;
mod provision;
mod spend;
mod tape;
mod team;
mod theirs;
mod triage;

pub use advisories::{Advisories, AdvisoryFile};
pub use base::GitBase;
pub use blueprint::{Assignment, Equipment, Learn, Supplies, Team, WORKSPACE, run};
pub use bow::invalid_repository_policy;
pub use code::offered;
pub use end::{Outcome, Unpublished, Verified, WorkerError};
pub use journal::{ARTIFACTS, Journal, RecordError};
pub use progress::{Progress, Update};
pub use tape::told;
