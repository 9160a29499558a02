//! What other agents did: their recordings read, each call mapped to tools of ours, made again and compared.
//!
//! The format is that of SWE-agent's `.traj` files, in its versions from before 1.0 to 1.1: `trajectory` with `action`,
//! `observation` and `state` of each step, or `history` alone, the messages.

mod command;
mod read;
mod reason;
mod replay;
mod seen;
mod shell;

pub use read::{ReadError, Recording, Step};
pub use reason::Reason;
pub use replay::{Fate, Report, Row, Tools, replay};
