//! The team that works on a task, as functions of values: `(state, event) -> actions`.
//!
//! What it is not: it performs nothing. It reads no file, no clock and no environment, calls no model and
//! no tool; `gloaming-worker` does what the actions say and reports back by events.
//!
//! Invariants:
//! - the same events give the same actions, byte for byte: a replay depends on it;
//! - [`Agent`] asks for at most `budget.steps` model calls, and for none once the money or time it was
//!   told of is spent;
//! - every tool call of an answer has its result before the model is asked again;
//! - no sequence of events panics;
//! - what a model says decides nothing but the next action: it can say that it is done or gives up, never
//!   that it succeeded.
#![forbid(unsafe_code)]

pub mod playbook;
pub mod team;

pub use gloaming_policies::Budget;
pub use playbook::{Choice, Playbook, choose, declined, divided, parts};
pub use team::{
    Action, Agent, Brief, Done, Event, Plan, Reading, Reproduced, Review, ReviewFinding, SHOWN, Shown,
    Source, ends, fenced, prompt, prompts, recalls,
};
