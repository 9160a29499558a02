//! What of a task speaks against beginning it: what its text is, and what somebody has read in it.

use gloaming_agent::Reading;
use gloaming_api::bowout::{BowOutEvidence, ReasonCode, Stage};
use gloaming_api::triage::{Feasibility, TaskFeatures};

use crate::bow::Draft;

/// A text shorter than this says little, in characters.
const SHORT: usize = 20;
/// Beyond so many bytes a text is long, and the unit of what is beyond.
const LONG: f64 = 4096.0;
/// Beyond so many files that a text names, it wants much.
const FILES: usize = 5;

/// Returns what speaks against a task.
///
/// | name | is |
/// | --- | --- |
/// | `open_question`, `several_tasks`, `needs_credentials`, `needs_network`, `visual`, `not_a_change`, `suspicious` | 1 where it was read in the text |
/// | `not_checkable` | 1 where the text does not say how one would see that it is done |
/// | `short_text` | 1 for less than 20 characters |
/// | `long_text` | what is beyond 4 KiB, in units of 4 KiB |
/// | `many_files` | files named beyond the first five |
pub(crate) fn features(text: &str, reading: Reading) -> TaskFeatures {
    let named: std::collections::BTreeSet<&str> = words(text).filter(|word| is_file(word)).collect();
    let yes = |yes: bool| f64::from(u8::from(yes));
    let found = [
        ("open_question", yes(reading.open_question)),
        ("several_tasks", yes(reading.several_tasks)),
        ("needs_credentials", yes(reading.needs_credentials)),
        ("needs_network", yes(reading.needs_network)),
        ("visual", yes(reading.visual)),
        ("not_a_change", yes(reading.not_a_change)),
        ("suspicious", yes(reading.suspicious)),
        ("not_checkable", yes(!reading.checkable)),
        ("short_text", yes(text.trim().chars().count() < SHORT)),
        ("long_text", ((text.len() as f64 - LONG) / LONG).max(0.0)),
        ("many_files", named.len().saturating_sub(FILES) as f64),
    ];
    found
        .into_iter()
        .filter(|(_, value)| *value > 0.0)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Returns a text's words, without what may stand around them.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "`'\"(),;".contains(c)).filter(|word| !word.is_empty())
}

/// Whether a word is a path with an extension.
pub(crate) fn is_file(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or(word);
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    word.contains('/')
        && !word.contains("://")
        && !stem.is_empty()
        && (1..=5).contains(&extension.len())
        && extension.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Says why a task is not begun: by what lowered its score most.
pub(crate) fn declined(feasibility: &Feasibility, facts: &[String], asked: bool) -> Draft {
    let most = feasibility.moved.first().map_or("", |part| part.feature.as_str());
    let (code, why, action) = match most {
        "suspicious" => (
            ReasonCode::SuspectedInjection,
            "its text tells whoever works on it to break rules, or to do what it does not need itself",
            "say in plain words what is to change",
        ),
        "several_tasks" | "long_text" | "many_files" => {
            (ReasonCode::TooLarge, "it wants several things at once", "make a task of each")
        }
        "needs_credentials" => {
            (ReasonCode::NeedsCredentials, "it needs a secret or an account", "do that part by hand")
        }
        "needs_network" => (
            ReasonCode::NeedsNetwork,
            "it needs something of the network while it runs",
            "put what it needs into the repository",
        ),
        "denied_files" => (
            ReasonCode::ProtectedPath,
            "the files that it names are not to be changed here",
            "ask for a change that leaves them alone, or allow them in the operator's policy",
        ),
        "unknown_places" => (
            ReasonCode::Underspecified,
            "it names files that the repository does not have",
            "name files of this repository",
        ),
        "large_files" => {
            (ReasonCode::TooLarge, "the file that it names is very large", "name the function that is meant")
        }
        "undone_area" | "untested_area" | "unready" => (
            ReasonCode::OutOfScope,
            "what is known of the repository speaks against it",
            "do what would help most: `gloaming onboard .` names it",
        ),
        "not_a_change" => (
            ReasonCode::OutOfScope,
            "it wants no change of this repository's files",
            "ask for a change of files",
        ),
        "visual" => (
            ReasonCode::OutOfScope,
            "what it wants shows on a screen alone, and no test could tell",
            "say what a test could check",
        ),
        _ => (
            ReasonCode::Underspecified,
            "it leaves open what somebody has to decide first, or how one would see that it is done",
            "say what should come out, for which input",
        ),
    };
    let read = if asked { "was read and not begun" } else { "was not begun, and no model asked" };
    let mut draft = Draft::new(Stage::Triage, code, format!("The task {read}: {why}."));
    for fact in facts {
        draft = draft.evidence(BowOutEvidence::note("system", fact.clone()));
    }
    for part in &feasibility.moved {
        let told = format!("{} = {} takes {:.2} from the log-odds", part.feature, part.value, part.log_odds);
        draft = draft.evidence(BowOutEvidence::note("system", told));
    }
    draft.confidence = Some((feasibility.score, feasibility.threshold));
    draft.unblock(action, "the task's text is all that is known of it: nobody can be asked")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Reading {
        Reading {
            bug: true,
            checkable: true,
            open_question: false,
            several_tasks: false,
            needs_credentials: false,
            needs_network: false,
            visual: false,
            not_a_change: false,
            suspicious: false,
        }
    }

    #[test]
    fn what_speaks_against_a_task_is_read_off_its_text_and_reading() {
        let told = |text: &str, reading| {
            let features = features(text, reading);
            features.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(told("twice(3) gives 5 and should give 6", reading()), "");
        let vague = Reading { checkable: false, open_question: true, ..reading() };
        assert_eq!(told("make it better", vague), "not_checkable 1, open_question 1, short_text 1");
        let files: Vec<String> = (0..8).map(|n| format!("src/f{n}.rs")).collect();
        assert_eq!(
            told(&format!("change {} and https://a.example/b.html", files.join(", ")), reading()),
            "many_files 3"
        );
        assert_eq!(told(&"a b ".repeat(2048), reading()), "long_text 1");
    }
}
