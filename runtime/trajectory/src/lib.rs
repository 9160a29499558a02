//! What agents did, in the forms that others read and write.
//!
//! What it is not: it reads no file, calls no tool and no model. It makes values of values; `src/` reads and writes, and
//! hands it what calls the tools.
//!
//! Invariants:
//! - what is exported is a function of the journal, and of prompts and tools that are those the journal names;
//! - a call of another agent is equivalent, or differs for a reason that has a name, or is out of reach for one.
#![forbid(unsafe_code)]

pub mod atif;
pub mod attempt;
pub mod chat;
pub mod datasheet;
pub mod outcome;
pub mod predictions;
pub mod recorded;
pub mod roles;
pub mod scrub;
