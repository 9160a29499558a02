//! Our sandboxed tools, served to other agents over the Model Context Protocol.
//!
//! A [`Server`] lends the tools of one [`Sandbox`](gloaming_sandbox::Sandbox) on one folder under one
//! [`Grant`](gloaming_policies::Grant), over a pair of streams ([`Server::serve_streams`], for standard input
//! and output) or over HTTP ([`Server::serve_http`]).
//!
//! The other way round [`list_their_tools`] and [`call_their_tool`] ask a server of somebody else's, over streams that the
//! caller brings.
//!
//! What it is not: it makes no policy, chooses no folder and keeps no journal: it is handed all three. It
//! starts no process and runs no job; `check` is not among the tools.
//!
//! Invariants, each a test:
//! - what a client says (its roots, its name, its arguments) never widens what is served;
//! - a tool that is denied as a whole is not listed, and calling it is an error that names the rule;
//! - a call that ran is recorded before it is answered, and where it cannot be recorded no further call runs;
//! - a call that is cancelled, or whose client has gone, is stopped; it costs no other call anything;
//! - on an address that others can reach nothing is served without a token, and no request is parsed before
//!   it is bounded and authenticated.
#![forbid(unsafe_code)]

mod call;
mod client;
mod http;
mod record;
mod roots;
mod server;
mod theirs;
mod tools;

pub use http::{HttpError, Listener, Token};
pub use record::Record;
pub use server::{Served, Server, StreamError};
pub use theirs::{NoAnswer, TheirResult, TheirTool, call_their_tool, list_their_tools};
