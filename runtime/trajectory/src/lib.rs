//! What agents did, in the forms that others read and write.
//!
//! What it is not: it reads no file, calls no tool and no model. It makes values of values; `src/` reads and writes, and
//! hands it what calls the tools.
//!
//! Invariants:
//! - a call of another agent is equivalent, or differs for a reason that has a name, or is out of reach for one.
#![forbid(unsafe_code)]

pub mod recorded;
