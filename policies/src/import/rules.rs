//! Codex's `.rules`: calls of `prefix_rule` about the first words of a command.
//!
//! The strictest of all rules that fit decides (`forbidden`, then `prompt`, then `allow`), which is how denials work
//! here. `allow` lets a command run outside of the sandbox; what no rule is about runs inside of it. So `allow`
//! narrows nothing there, and has nothing to give here, where every job stays in its sandbox.

use std::collections::BTreeSet;

use super::command::{Commands, beginning};
use super::draft::Draft;
use super::origin::{Origin, base_name};
use super::starlark::{self, Call, Literal};
use super::{NoteKind, Verdict};
use crate::Diagnostic;

/// The most spellings that the alternatives of one pattern make.
const MOST: usize = 64;

/// Whether a file of Codex's is one of rules.
pub(super) fn looks_like(origin: &Origin<'_>) -> bool {
    let name = base_name(origin.name);
    if name.ends_with(".rules") || name.ends_with(".codexpolicy") {
        return true;
    }
    !name.ends_with(".toml") && origin.text.lines().any(|line| line.trim_start().starts_with("prefix_rule("))
}

struct Rule {
    at: usize,
    verdict: Verdict,
    /// Each word, or its alternatives.
    words: Vec<BTreeSet<String>>,
    written: String,
    justification: Option<String>,
}

pub(super) fn draft(origin: Origin<'_>) -> Result<Draft<'_>, Vec<Diagnostic>> {
    let calls = starlark::read(&origin).map_err(|fault| vec![fault])?;
    let mut draft = Draft::new(origin, "Codex");
    let mut rules = Vec::new();
    let mut faults = Vec::new();
    for call in &calls {
        let written = draft.origin.written(call.at..call.end);
        let cited = draft.cite(call.at, &written);
        match call.name.as_str() {
            "prefix_rule" => match rule(&draft.origin, call, written) {
                Ok(rule) => rules.push(rule),
                Err(fault) => faults.push(fault),
            },
            "host_executable" => draft.left_out(
                &cited,
                "a job's command names its program, and which file that is the job's image decides",
            ),
            "network_rule" => draft.left_out(&cited, "jobs have no network at all"),
            _ => draft.left_out(&cited, "Codex's rules are made by `prefix_rule`; this call makes none"),
        }
    }
    if rules.is_empty() && faults.is_empty() && makes_nothing(&calls) {
        let hint = "write `prefix_rule(pattern = [\"git\", \"push\"], decision = \"prompt\")`";
        faults.push(draft.origin.fault(
            0,
            "there is no rule in the file, so there is nothing to import",
            hint,
        ));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    for (at, rule) in rules.iter().enumerate() {
        let cited = draft.cite(rule.at, &rule.written);
        // Of two equal rules the first is told as the one that counts.
        let shadow = rules.iter().enumerate().find(|(other_at, other)| {
            let stricter = strictness(other.verdict) > strictness(rule.verdict);
            let earlier = strictness(other.verdict) == strictness(rule.verdict)
                && (*other_at < at || !begins_with(&other.words, &rule.words));
            (stricter || earlier) && *other_at != at && begins_with(&rule.words, &other.words)
        });
        if let Some((_, other)) = shadow {
            let line = draft.origin.place(other.at).0;
            draft.inert(
                &cited,
                format!("the rule on line {line} fits whatever it fits, and is at least as strict"),
            );
            continue;
        }
        if rule.verdict == Verdict::Allow {
            draft.left_out(
                &cited,
                "it lets a command out of Codex's sandbox; here every job stays in its own, and the commands of the \
                 repository's profile need no rule",
            );
            continue;
        }
        let asked = rule.verdict == Verdict::Ask;
        let mut patterns = Vec::new();
        let mut told = Vec::new();
        if asked {
            told.push("nobody is there to be asked, so it is denied");
        }
        told.push("the model has no shell here: it binds the commands builds, tests and lints start with");
        let mut none = None;
        let (spellings, cut) = spellings(&rule.words);
        if cut {
            told.push("its alternatives are too many, so what stands before them decides");
        }
        for words in spellings {
            match beginning(&words, true) {
                Commands::Same(more) => patterns.extend(more),
                Commands::Near(more, how) => {
                    patterns.extend(more);
                    if !told.contains(&how) {
                        told.push(how);
                    }
                }
                // No words make a pattern for every command.
                Commands::All => none = Some("it names no command"),
                Commands::None(why) => none = Some(why),
            }
        }
        match none {
            Some(why) if patterns.is_empty() => draft.left_out(&cited, why),
            _ => {
                if none.is_some() {
                    told.push("some of its alternatives cannot be written as a pattern and are left out");
                }
                let id = draft.deny_commands(&cited, patterns, asked, rule.justification.as_deref());
                draft.note(&cited, NoteKind::Changed, told.join("; "), Some(id));
            }
        }
    }
    Ok(draft)
}

fn makes_nothing(calls: &[Call]) -> bool {
    !calls.iter().any(|call| matches!(call.name.as_str(), "host_executable" | "network_rule"))
}

fn strictness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Ask => 1,
        Verdict::Deny => 2,
    }
}

/// Whether every command that `words` fits begins with something that `prefix` fits.
fn begins_with(words: &[BTreeSet<String>], prefix: &[BTreeSet<String>]) -> bool {
    prefix.len() <= words.len() && prefix.iter().zip(words).all(|(wide, narrow)| narrow.is_subset(wide))
}

/// The patterns with one word at each place; where they are too many, what stands before them, and `true`.
fn spellings(words: &[BTreeSet<String>]) -> (Vec<Vec<String>>, bool) {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for alternatives in words {
        if all.len() * alternatives.len() > MOST {
            return (all, true);
        }
        let with = |start: &Vec<String>, word: &String| {
            let mut start = start.clone();
            start.push(word.clone());
            start
        };
        all = all.iter().flat_map(|start| alternatives.iter().map(move |word| with(start, word))).collect();
    }
    (all, false)
}

fn rule(origin: &Origin<'_>, call: &Call, written: String) -> Result<Rule, Diagnostic> {
    let hint = "write `prefix_rule(pattern = [\"git\", [\"push\", \"fetch\"]], decision = \"prompt\")`";
    let fault = |at: usize, message: &str| Err(origin.fault(at, message, hint));
    let mut words: Option<Vec<BTreeSet<String>>> = None;
    // What Codex takes where nothing stands.
    let mut verdict = Verdict::Allow;
    let mut justification = None;
    for argument in &call.arguments {
        match (argument.name.as_deref(), &argument.value) {
            (Some("pattern"), Literal::List(items)) => {
                let mut all = Vec::new();
                for (at, item) in items {
                    all.push(match item {
                        Literal::Text(word) => BTreeSet::from([word.clone()]),
                        Literal::List(alternatives) => {
                            let words = alternatives.iter().map(|(_, word)| match word {
                                Literal::Text(word) => Some(word.clone()),
                                _ => None,
                            });
                            match words.collect::<Option<BTreeSet<_>>>() {
                                Some(words) if !words.is_empty() => words,
                                _ => return fault(*at, "alternatives are a list of texts"),
                            }
                        }
                        Literal::Other => return fault(*at, "a word of a pattern is a text"),
                    });
                }
                words = Some(all);
            }
            (Some("pattern"), _) => return fault(argument.at, "`pattern` is not a list"),
            (Some("decision"), Literal::Text(text)) => {
                verdict = match text.as_str() {
                    "allow" => Verdict::Allow,
                    "prompt" => Verdict::Ask,
                    "forbidden" => Verdict::Deny,
                    _ => return fault(argument.at, "`decision` is `allow`, `prompt` or `forbidden`"),
                }
            }
            (Some("decision"), _) => return fault(argument.at, "`decision` is not a text"),
            (Some("justification"), Literal::Text(text)) => justification = Some(text.clone()),
            (Some("match" | "not_match" | "justification"), _) => {}
            (Some(_), _) => return fault(argument.at, "Codex knows no such argument and refuses the file"),
            (None, _) => return fault(argument.at, "the arguments of `prefix_rule` have names"),
        }
    }
    match words {
        Some(words) if !words.is_empty() => Ok(Rule { at: call.at, verdict, words, written, justification }),
        _ => fault(call.at, "this rule has no `pattern`"),
    }
}
