//! Renames an identifier, whole words in code only, without a model.
//!
//! What it does: finds the files (`search`), makes sure that nothing else goes by either name, changes the
//! files one by one (`patch`), looks again, and says what it left alone. What it does not: resolve
//! symbols. Where a whole word is not enough to tell what is meant, it bows out and asks.

mod edit;
mod keywords;
mod python;
mod sentences;
mod steps;
mod words;

use gloaming_api::ReasonCode;
use serde::{Deserialize, Serialize};

use super::Playbook;
use super::form::Fit;

pub use steps::Rename;

/// What a text asks for, as far as this playbook is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognised {
    /// Something else, or more.
    No,
    /// A rename to the same name.
    NoChange {
        /// The name.
        name: String,
    },
    /// A rename to or from what can be no name.
    Refused {
        /// Why, in one sentence.
        why: String,
    },
    /// Several renames, or one that can be read in several ways.
    Ambiguous {
        /// Why, in one sentence.
        why: String,
    },
    /// One rename and nothing else.
    Yes(Request),
}

/// One rename.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What the name is said to name.
    pub kind: Kind,
    /// The name.
    pub from: String,
    /// The new name.
    pub to: String,
    /// The file or folder it is confined to.
    pub scope: Option<String>,
    /// Whether the text says that every place is meant (`everywhere`, `throughout the code`).
    pub everywhere: bool,
    /// Whether comments and docstrings are left as they are.
    pub code_only: bool,
}

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Any,
    Function,
    Method,
    Type,
    Variable,
    Constant,
}

/// What one file holds of the two names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentifiers {
    /// The file.
    pub path: String,
    /// The language in lower case (`rust`, `python`, `javascript`, `typescript`, `tsx`, `go`); none when
    /// there is no grammar for it.
    pub language: Option<String>,
    /// The content; none when it is not UTF-8 or too large.
    pub text: Option<String>,
    /// Where the old name stands as a whole word, by position. Empty without a language.
    pub from: Vec<Found>,
    /// Where the new name does.
    pub to: Vec<Found>,
    /// Declarations of the old name in this file.
    pub definitions: Vec<Definition>,
}

/// A whole word in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// Line, counted from 1.
    pub line: u32,
    /// What it stands in.
    pub kind: FoundKind,
}

/// What a word stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum FoundKind {
    Code,
    String,
    Comment,
}

/// A declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Line, counted from 1.
    pub line: u32,
    /// What it is declared in (a class, an impl, a function); none for the file itself.
    pub container: Option<String>,
}

/// Says whether this playbook takes a text on.
pub(super) fn fit(text: &str) -> Fit {
    let refused = |code, summary| Fit::Refused { code, summary, question: "What is the new name to be?" };
    match Rename::recognise(text) {
        Recognised::Yes(request) => Fit::Yes(Box::new(Playbook::Rename(Rename::of(request)))),
        Recognised::No => Fit::No,
        // It may be clear to a model.
        Recognised::Ambiguous { why } => Fit::Declined { why },
        Recognised::NoChange { name } => refused(
            ReasonCode::NoChangeNeeded,
            format!("the task renames `{name}` to `{name}`: there is nothing to change"),
        ),
        Recognised::Refused { why } => refused(ReasonCode::ConflictingRequirements, why),
    }
}
