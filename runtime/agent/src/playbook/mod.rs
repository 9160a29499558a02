//! Deterministic ways to do a mechanical task, and the choice of one.
//!
//! A playbook reads a task's text by a small grammar of its own ([`Fit`]), and works as a machine: [`Event`] in,
//! [`Action`] out, one at a time.

mod advisory;
mod bump;
mod codemod;
mod files;
mod form;
mod header;
mod instead;
mod languages;
mod lint_fix;
#[cfg(test)]
mod memory;
pub mod rename;
mod said;
mod splice;

use gloaming_api::ReasonCode;

pub use advisory::Advisory;
pub use bump::Bump;
pub use codemod::{Codemod, FileMatches, LanguageFault, Matches};
pub use files::FileText;
pub use form::{Action, Event, Fit};
pub use header::Header;
pub use instead::{divided, parts};
pub use lint_fix::LintFix;
use rename::Rename;
pub use splice::Splice;

/// A playbook among the others.
struct Row {
    name: &'static str,
    fit: fn(&str) -> Fit,
    /// What a task says that it takes, for who has none that fits.
    like: &'static str,
}

const ROWS: &[Row] = &[
    Row { name: "rename", fit: rename::fit, like: "Rename the function foo_bar to parse_bar everywhere" },
    Row { name: "header", fit: header::fit, like: "Add the header `Copyright 2026 Us` to all Rust files" },
    Row { name: "codemod", fit: codemod::fit, like: "Replace `$A.unwrap()` with `$A?` in all Rust files" },
    Row { name: "lint-fix", fit: lint_fix::fit, like: "Fix the findings of the linter" },
    Row { name: "bump", fit: bump::fit, like: "Bump serde to 1.0.220" },
];

/// The most bytes of a task's text.
const LARGEST: usize = 64 << 10;

/// Who is to work on a task.
#[derive(Debug, Clone)]
pub enum Choice {
    /// A playbook: no model is needed.
    Playbook(Box<Playbook>),
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
    among(ROWS, &text)
}

fn among(rows: &[Row], text: &str) -> Choice {
    let claims = |row: &Row| match (row.fit)(text) {
        Fit::No | Fit::Declined { .. } => None,
        fit => Some((row.name, fit)),
    };
    let mut fitting: Vec<(&str, Fit)> = rows.iter().filter_map(claims).collect();
    if let [(one, _), (other, _), ..] = fitting.as_slice() {
        let summary = format!(
            "The text can be read as a task for `{one}` and as one for `{other}`, which differ in what they do."
        );
        return Choice::BowOut {
            code: ReasonCode::ConflictingRequirements,
            summary,
            questions: vec![format!(
                "Which is meant, {}",
                fitting.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or ") + "?"
            )],
        };
    }
    match fitting.pop() {
        Some((_, Fit::Yes(playbook))) => Choice::Playbook(playbook),
        Some((_, Fit::Refused { code, summary, question })) => Choice::BowOut {
            code,
            summary: gloaming_api::bowout::shorten(&sentence(&summary), 280),
            questions: vec![question.to_owned()],
        },
        _ => Choice::Model,
    }
}

/// Says of each playbook why it does not take a task on, or that it does: one sentence each, for a person.
pub fn declined(text: &str) -> Vec<String> {
    let text = printable(text);
    let told = |row: &Row| {
        let why = match (row.fit)(&text) {
            Fit::No => format!("the text does not ask for what it does and nothing else; like: {}", row.like),
            Fit::Declined { why } | Fit::Refused { summary: why, .. } => why,
            Fit::Yes(_) => "it would take this task on".to_owned(),
        };
        format!("{}: {why}", row.name)
    };
    ROWS.iter().map(told).collect()
}

/// A task's deterministic way to its end.
#[derive(Debug, Clone)]
pub enum Playbook {
    /// Renames an identifier.
    Rename(Rename),
    /// Puts lines at the top of files.
    Header(Header),
    /// Replaces code by its structure.
    Codemod(Codemod),
    /// Has the linter or the formatter fix what it can.
    LintFix(LintFix),
    /// Brings a dependency to a version.
    Bump(Box<Bump>),
}

impl Playbook {
    /// Returns the name that policies and journals know it by.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rename(_) => "rename",
            Self::Header(_) => "header",
            Self::Codemod(_) => "codemod",
            Self::LintFix(_) => "lint-fix",
            Self::Bump(_) => "bump",
        }
    }

    /// Returns what is asked for in a few words.
    pub fn describe(&self) -> String {
        match self {
            Self::Rename(rename) => rename.describe(),
            Self::Header(header) => header.describe(),
            Self::Codemod(codemod) => codemod.describe(),
            Self::LintFix(fix) => fix.describe(),
            Self::Bump(bump) => bump.describe(),
        }
    }

    /// Returns the text of the task that does the same in one place, a file or a folder; none where half of it is wrong.
    pub fn within(&self, place: &str) -> Option<String> {
        match self {
            Self::Rename(_) | Self::LintFix(_) | Self::Bump(_) => None,
            Self::Header(header) => Some(header.within(place)),
            Self::Codemod(codemod) => Some(codemod.within(place)),
        }
    }

    /// Whether it changes what manifests and lockfiles say of dependencies, which the policy has to let it.
    pub fn changes_dependencies(&self) -> bool {
        matches!(self, Self::Bump(_))
    }

    /// Whether it needs to look at every file of source, so that one which no tool can name ends it.
    pub fn needs_all_source(&self) -> bool {
        match self {
            Self::Rename(_) | Self::Header(_) | Self::Codemod(_) => true,
            Self::LintFix(_) | Self::Bump(_) => false,
        }
    }

    /// Takes an event and returns what is to be done next: one action, or none for an event that answers nothing that
    /// was asked.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        match self {
            Self::Rename(rename) => rename.step(event),
            Self::Header(header) => header.step(event),
            Self::Codemod(codemod) => codemod.step(event),
            Self::LintFix(fix) => fix.step(event),
            Self::Bump(bump) => bump.step(event),
        }
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// Returns a text without what cannot be seen: a reviewer would not see what a model reads.
pub(crate) fn printable(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut out = String::with_capacity(text.len());
    let mut kept = 0;
    for (at, c) in gloaming_api::text::hidden(&text) {
        out.push_str(&text[kept..at]);
        kept = at + c.len_utf8();
    }
    out.push_str(&text[kept..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match choose(text) {
            Choice::Playbook(playbook) => format!("{}: {}", playbook.name(), playbook.describe()),
            Choice::Model => "model".into(),
            Choice::BowOut { code, .. } => code.as_str().into(),
        }
    }

    #[test]
    fn a_text_decides_who_works() {
        assert_eq!(told("Rename foo_bar to parse_bar everywhere"), "rename: foo_bar to parse_bar");
        assert_eq!(told("Rename foo_bar\x00 to\x1b parse\u{200b}_bar"), "rename: foo_bar to parse_bar");
        assert_eq!(told("Rename foo_bar to parse_bar\r\n"), "rename: foo_bar to parse_bar");
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
            declined("Rename Foo::a to Foo::b")[0],
            "rename: `Foo::a` is a qualified name; the playbook cannot tell its uses from its namesakes'"
        );
    }

    #[test]
    fn each_playbook_takes_its_own_example_and_no_others() {
        for (at, row) in ROWS.iter().enumerate() {
            let fits: Vec<bool> =
                ROWS.iter().map(|other| matches!((other.fit)(row.like), Fit::Yes(_))).collect();
            let own: Vec<bool> = (0..ROWS.len()).map(|other| other == at).collect();
            assert_eq!(fits, own, "{}", row.like);
            assert!(told(row.like).starts_with(row.name), "{}", told(row.like));
        }
        assert_eq!(declined("Fix the crash").len(), ROWS.len());
    }

    #[test]
    fn a_text_that_two_take_is_nobodys() {
        let again = Row { name: "again", ..ROWS[0] };
        let rows = [Row { ..ROWS[0] }, again];
        let Choice::BowOut { code, summary, questions } = among(&rows, rows[0].like) else { panic!() };
        assert_eq!(code, ReasonCode::ConflictingRequirements);
        assert_eq!(
            summary,
            "The text can be read as a task for `rename` and as one for `again`, which differ in what they do."
        );
        assert_eq!(questions, ["Which is meant, rename or again?"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd_and_none_that_says_more_is_taken(
            words in proptest::collection::vec(
                "(add|the|header|`|``|```|\"|a b|to|all|rust|files|in|src/|\\.\\./|replace|\\$A|with|fix|lint|findings|\n|é|\u{feff}|,|\\.)",
                0..14,
            ),
        ) {
            let text = words.join(" ");
            for row in ROWS {
                let _ = (row.fit)(&text);
            }
            proptest::prop_assert_eq!(declined(&text).len(), ROWS.len());
            // What is taken says all that there is: another wish behind it is no longer understood.
            for row in ROWS {
                let more = format!("{} and then {text} run the server", row.like);
                let takes_it = matches!((row.fit)(&more), Fit::Yes(_));
                proptest::prop_assert!(!takes_it, "{} takes {}", row.name, more);
            }
        }
    }
}
