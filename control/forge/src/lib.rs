//! Code hosts: what is asked of one ([`CodeHost`]), GitHub as one, and what is said there.
//!
//! What it is not: it decides nothing about a change and remembers no task; it renders evidence, it does not
//! judge it.
//!
//! Invariants: nothing from a task, a patch or a test's output can end a code span, forge a heading or
//! hide text in what is rendered (see [`text::inline`]); the body fits one screen, the rest is folded. A token is in no error
//! and no log, and reaches one repository with the permissions of one use.
#![forbid(unsafe_code)]

pub mod answer;
pub mod body;
pub mod github;
pub mod host;
pub mod memory;
pub mod text;

pub use answer::{bow_out_comment, failure_comment};
pub use body::{Change, commit_message, marker, pull_request_body, pull_request_body_in};
pub use github::GitHub;
pub use host::{CodeHost, HostError};
pub use memory::MemoryHost;
