//! What the system knows of source code by its grammar: names, tokens, declarations, syntax errors, and
//! whether existing tests still say what they said.
//!
//! What it is not: it resolves no names and knows no types; it reads no files and judges nothing. The only
//! crate that names tree-sitter, and what searches its trees.
//!
//! Invariants, each a test:
//! - no source makes it panic or exhaust the stack, however it is nested, cut or encoded;
//! - every visible byte of a source is in some token;
//! - a planted fault parses as well as the source it is planted in;
//! - a file larger than [`MAX_SOURCE`] is not parsed, and [`test_changes`] says so rather than "no change".
#![forbid(unsafe_code)]

mod changes;
mod checks;
mod declared;
mod errors;
mod identifiers;
mod language;
mod libraries;
mod mutants;
mod renamed;
mod renames;
mod rewrite;
mod strings;
mod surroundings;
mod tree;
mod units;
mod values;

pub use changes::{TestChange, TestChangeKind, test_changes};
pub use checks::leads_elsewhere;
pub use declared::{ByName, Declared, DeclaredKind, by_name, covered_by, declared, declares_the_same};
pub use errors::{SyntaxError, new_errors, new_errors_among};
pub use identifiers::{Occurrence, OccurrenceKind, identifier_set, identifiers, tokens};
pub use language::{Language, MAX_SOURCE};
pub use mutants::{Mutant, mutants};
pub use renames::{Rename, Renames, renamed_identifiers};
pub use rewrite::{Rewrite, RewriteFault, Rule, RuleFault};
pub use tree::{Token, TokenKind};
pub use units::{Unit, UnitKind, units};
