//! What the tools do, as functions of values and of a small file trait ([`files`]).
//!
//! Not here: anything of WebAssembly or WIT; the crates in `tool/` convert the contract's types and call
//! these functions, so that everything below is tested natively.
//!
//! Invariants: no function panics on any input; nothing is read but through [`Files`] and [`Walks`],
//! nothing written but through [`Changes`], nothing of the tree an attempt began from but through [`Base`] ([`disk`] implements them on `std::fs` for the WASI builds and
//! is the only module that opens anything); every failure a tool makes says what to do next.
#![forbid(unsafe_code)]

mod failure;
pub mod files;

pub mod diff;
pub mod edit;
pub mod list;
pub mod r#move;
pub mod patch;
pub mod read;
pub mod remove;
pub mod search;
pub mod write;

#[cfg(test)]
mod corpus;
pub mod disk;
#[cfg(test)]
mod fuzz;
pub mod lines;
mod media;
#[cfg(any(test, feature = "fuzzing"))]
pub mod memory;
mod near;
pub mod path;
mod prefilter;
mod repair;
pub mod types;

pub use failure::{Code, Failure};
pub use files::{Base, Changes, Files, Walks};
