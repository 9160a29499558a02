//! Calls a language model: one trait, a client for OpenAI's two APIs, Anthropic's and Gemini, a
//! chain of several, and a replay.
//!
//! What it is not: it holds no conversation and decides nothing; `gloaming-agent` does. It reads no
//! environment: key, base URL, prices and times are in [`Settings`].
//!
//! Invariants:
//! - an answer is whole or an error: a stream or body that is cut off is tried again and never passed
//!   on as a short answer;
//! - a key is sent to the configured base URL alone (redirects are not followed), and neither it nor any
//!   prompt or answer is printed, traced, or part of an error;
//! - every byte that comes in is bounded before it is kept: the body, one line of a stream, an error;
//! - a call ends: tries, their total time, and each wait are bounded;
//! - a missing price or a missing usage never makes an answer look free (see [`Usage::estimated`]).
#![forbid(unsafe_code)]

mod address;
mod anthropic;
mod by_schema;
mod chain;
mod error;
mod gemini;
mod http;
mod limit;
mod lines;
mod openai;
mod price;
mod replay;
mod responses;
mod settings;
mod spec;
mod types;
mod wait;

pub use by_schema::ToolCalls;
pub use chain::chain;
pub use error::ModelError;
pub use limit::{Limits, Rates};
pub use price::{Price, PriceError, PriceRow, PriceTable, most_tokens};
pub use replay::Replay;
pub use settings::Settings;
pub use spec::{ModelSpec, Provider, SpecError, open};
pub use types::{
    Block, INVALID_JSON, Message, Model, Request, Response, Role, Stop, ToolDef, Usage, estimate_tokens,
};

/// Re-exported so that callers can wrap a key without naming the crate.
pub use secrecy::SecretString;
