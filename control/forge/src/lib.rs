//! What is said to a code host: the text of a commit and of a pull request.
//!
//! What it is not: it opens no connection yet and holds no token; it renders evidence, it does not
//! judge it.
//!
//! Invariants: nothing from a task, a patch or a test's output can end a code span, forge a heading or
//! hide text in what is rendered (see [`text::inline`]); the body fits one screen, the rest is folded.
#![forbid(unsafe_code)]

pub mod body;
pub mod text;

pub use body::{Change, commit_message, pull_request_body};
