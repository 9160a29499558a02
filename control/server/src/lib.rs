//! The control plane's server: requests in, decisions of the store out, and effects on code hosts and chats.
//!
//! What it is not: it runs no code of a repository, holds no container engine, no component and no model, and decides nothing
//! about a patch that the gate does not.
#![forbid(unsafe_code)]

mod accept;
pub mod hooks;
pub mod publish;

pub use accept::{Accepted, Acceptor, Claim, Refusal, RefuseAll, envelope_value, verdict_value};
