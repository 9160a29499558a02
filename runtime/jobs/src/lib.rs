//! The container lane: builds, tests and linters run as jobs, each in a container of its own.
//!
//! What it is not: it decides nothing (a job needs a [`gloaming_policies::JobPermit`], which only policy can
//! make), it reads no test reports, and it touches no repository; a workspace is a folder it is handed.
//!
//! Invariants:
//! - no job ever runs on the bare host: where no container can be made, the answer is [`NoEngine`];
//! - a job sees no network but its own loopback, nothing of our environment, and of the host only what
//!   [`Environment`] and the job's own mounts name, read-only unless said otherwise;
//! - how a job ended comes from the kernel, over a channel the job cannot reach, never from what it printed;
//! - nothing of a job outlives it, and nothing outlives us: a helper or parent killed without warning takes
//!   its containers along.
#![deny(unsafe_code)]

mod cancel;
mod embedded;
mod engine;
mod environment;

pub use cancel::Cancel;
pub use embedded::{Embedded, helper_main, reap};
pub use engine::{BoxFuture, Engine, Job, JobError, JobOutput, Mount, NoEngine};
pub use environment::{Environment, HostFacts};
