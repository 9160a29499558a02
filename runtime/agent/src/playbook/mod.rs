//! Deterministic ways to do a mechanical task, and the choice of one.

pub mod rename;

use gloaming_api::ReasonCode;

use rename::{Recognised, Rename};

/// The most bytes of a task's text.
const LARGEST: usize = 64 << 10;

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
    let bow_out = |code, summary: String, question: &str| Choice::BowOut {
        code,
        summary: gloaming_api::bowout::shorten(&summary, 280),
        questions: vec![question.to_owned()],
    };
    if text.len() > LARGEST {
        let summary = format!(
            "The task's text has {} bytes; at most {LARGEST} are read. Say in a few sentences what is to change, \
             and name files in the repository instead of quoting them.",
            text.len()
        );
        return bow_out(ReasonCode::TooLarge, summary, "What is the one change that is wanted?");
    }
    let text = printable(text);
    if text.trim().is_empty() {
        let summary = "The task has no text.".to_owned();
        return bow_out(ReasonCode::Underspecified, summary, "What is to be changed?");
    }
    match Rename::recognise(&text) {
        Recognised::Yes(request) => Choice::Playbook(Rename::of(request)),
        Recognised::NoChange { name } => {
            let summary = format!("The task renames `{name}` to `{name}`: there is nothing to change.");
            bow_out(ReasonCode::NoChangeNeeded, summary, "What is the new name to be?")
        }
        Recognised::Refused { why } => {
            bow_out(ReasonCode::ConflictingRequirements, sentence(&why), "What is the new name to be?")
        }
        // Both may be clear to a model.
        Recognised::Ambiguous { .. } | Recognised::No => Choice::Model,
    }
}

/// Says why no playbook takes a task on, in one sentence for a person.
pub fn declined(text: &str) -> String {
    match Rename::recognise(&printable(text)) {
        Recognised::No => "rename: the text does not ask for one rename and nothing else".into(),
        Recognised::Ambiguous { why } | Recognised::Refused { why } => format!("rename: {why}"),
        Recognised::NoChange { .. } => "rename: the two names are the same".into(),
        Recognised::Yes(_) => "rename: it would take this task on".into(),
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// Returns a text without what cannot be seen: control characters but newline and tab, and the invisible
/// ones that reorder or hide text (a reviewer would not see what a model reads).
pub(crate) fn printable(text: &str) -> String {
    let hidden = |c: char| {
        matches!(
            c,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
        )
    };
    text.replace("\r\n", "\n")
        .chars()
        .filter(|c| matches!(c, '\n' | '\t') || !(c.is_control() || hidden(*c)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match choose(text) {
            Choice::Playbook(rename) => format!("playbook: {}", rename.describe()),
            Choice::Model => "model".into(),
            Choice::BowOut { code, .. } => code.as_str().into(),
        }
    }

    #[test]
    fn a_text_decides_who_works() {
        assert_eq!(told("Rename foo_bar to parse_bar everywhere"), "playbook: foo_bar to parse_bar");
        assert_eq!(told("Rename foo_bar\x00 to\x1b parse\u{200b}_bar"), "playbook: foo_bar to parse_bar");
        assert_eq!(told("Rename foo_bar to parse_bar\r\n"), "playbook: foo_bar to parse_bar");
        assert_eq!(told("Fix the crash in the parser"), "model");
        assert_eq!(told("Rename a_b to c_d and e_f to g_h"), "model");
        assert_eq!(told(""), "underspecified");
        assert_eq!(told(" \n\t\x07\u{feff}"), "underspecified");
        assert_eq!(told("Rename foo to foo"), "no_change_needed");
        assert_eq!(told("Rename foo to return"), "conflicting_requirements");
        assert_eq!(told(&"a".repeat((64 << 10) + 1)), "too_large");
        assert_eq!(told(&"a".repeat(64 << 10)), "model");
    }

    #[test]
    fn a_refusal_says_why() {
        let Choice::BowOut { summary, questions, .. } = choose("Rename foo to return") else { panic!() };
        assert_eq!(summary, "`return` is a reserved word (rust, among others), so nothing can be called it.");
        assert_eq!(questions, ["What is the new name to be?"]);
        assert_eq!(
            declined("Rename Foo::a to Foo::b"),
            "rename: `Foo::a` is a qualified name; the playbook cannot tell its uses from its namesakes'"
        );
    }
}
