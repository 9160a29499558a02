//! Deterministic ways to do a mechanical task, and the choice of one.

pub mod rename;

use gloaming_api::ReasonCode;

use rename::{Recognised, Rename};

/// Who is to work on a task.
#[derive(Debug, Clone)]
pub enum Choice {
    /// A playbook: no model is needed.
    Playbook(Rename),
    /// A model.
    Model,
    /// Nobody.
    BowOut {
        /// Why.
        code: ReasonCode,
        /// One or two sentences, at most 280 characters.
        summary: String,
        /// What a person would have been asked.
        questions: Vec<String>,
    },
}

/// Chooses who is to work on a task, by its text alone.
pub fn choose(text: &str) -> Choice {
    match Rename::recognise(text) {
        Recognised::Yes(request) => Choice::Playbook(Rename::of(request)),
        _ => Choice::Model,
    }
}

/// Says why no playbook takes a task on, in one sentence for a person.
pub fn declined(text: &str) -> String {
    let _ = text;
    String::new()
}
