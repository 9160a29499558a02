//! What the control plane remembers: tasks, leases, journals, effects, tokens and the audit log behind the trait [`Store`], and
//! the ledger of what the runs of a machine spend together.
//!
//! What it is not: it decides nothing but who is next and whether an amount fits into a cap, knows no policy and no model, and
//! reads no clock: a call carries its own time.
//!
//! Invariants, each a test:
//! - a task has one live lease at most, and what comes under any other is refused;
//! - a change of state, its events and the effects it asks for are one transaction, on the disk when the call returns;
//! - of repositories that have tasks that wait, none gets more than its weight's share;
//! - the sum of what is spent and set aside never exceeds a cap by a reservation, whoever else is at it;
//! - what was returned as set aside or settled is on the disk: a process that is killed takes nothing back;
//! - what cannot be read or written is an error, never a fit.
#![forbid(unsafe_code)]

mod ledger;
mod plane;
mod sqlite;

pub use ledger::{BudgetLedger, RepositoryDay};
pub use plane::*;
