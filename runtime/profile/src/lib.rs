//! What is known of a repository: how it is built, tested and linted, each fact with file and line, and the
//! proof that it works.
//!
//! What it is not: it runs nothing on the host (proofs are jobs), asks no model, and guesses no command that
//! nothing in the repository speaks for.
//!
//! Invariants:
//! - [`detect`] only reads regular files of the checkout, each up to a cap, and follows no symbolic link;
//! - no file of the repository, however hostile, makes it panic or blow up;
//! - a file of corrections that does not load is an error with its place, never ignored;
//! - a command is a program and its arguments: what would need a shell is rejected, with the reason.
#![forbid(unsafe_code)]

mod choose;
mod commands;
mod corrections;
mod facts;
mod instructions;
mod makefile;
mod manifests;
mod mine;
mod norms;
mod prove;
mod readiness;
mod remedy;
mod requirements;
mod setup;
mod shell;
mod tree;
mod workflow;
mod yaml;

pub use choose::{detect, is_stale, known};
pub use corrections::{CORRECTIONS_FILE, Corrections};
pub use norms::{norms, with_norms};
pub use prove::{CountTests, ProfileError, Proving, prove};
pub use readiness::{FAST_SUITE_MS, readiness};
pub use remedy::lacks_dependencies;
pub use requirements::{declares_encoding, is_requirements, requirement_lines};
pub use setup::{
    Dependencies, Lack, Provision, SetupError, SetupInputs, SetupTree, decided_by, deciding, own_places,
    set_up,
};
pub use yaml::yaml_value;
