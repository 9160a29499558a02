//! Another agent's permission settings, turned into a policy, with a report of what did not come along.
//!
//! A reader per format (`claude`, `codex`, `rules`, `gemini`, `goose`) fills a [`draft::Draft`], which writes the
//! policy and the report. What all of them hold to:
//!
//! - the policy extends `preset:standard`: nothing the preset denies is opened, and an allowance only narrows;
//! - what was asked about is denied, since nobody is there to be asked;
//! - a denial is carried wider rather than narrower, an allowance narrower rather than wider; what cannot be
//!   said at all is reported and left out, never guessed;
//! - a denial that bound nothing in the agent, whose meaning is plain, binds here, and the report says so;
//! - the text is not trusted: nothing of it reaches the output unescaped, and no bytes make this panic.
//!
//! What it is not: it opens no file and knows no YAML. `goose`'s file comes as an already parsed value.

mod claude;
mod codex;
mod command;
mod draft;
mod gemini;
mod gemini_rule;
mod goose;
mod json;
mod origin;
mod regexes;
mod rules;
mod starlark;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::Diagnostic;
use draft::Draft;
use origin::Origin;

/// The largest file that is read, in bytes.
const MAX_FILE: usize = 1 << 20;

/// What the settings were written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Claude Code's `settings.json`, its `permissions`.
    Claude,
    /// Codex's `config.toml`, or a `.rules` file by its extension: then the same as [`Source::CodexRules`].
    Codex,
    /// Codex's `.rules`: calls of `prefix_rule` in Starlark.
    CodexRules,
    /// Gemini CLI's policies, `policies/*.toml`.
    Gemini,
    /// goose's `permission.yaml`. [`import`] takes it written as JSON; [`import_goose`] takes the parsed value.
    Goose,
}

impl Source {
    /// Returns the agent's name as people write it.
    pub fn agent(self) -> &'static str {
        match self {
            Self::Claude => "Claude Code",
            Self::Codex | Self::CodexRules => "Codex",
            Self::Gemini => "Gemini CLI",
            Self::Goose => "goose",
        }
    }
}

/// A policy made of another agent's settings, and what became of each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The policy, a TOML text that [`crate::parse`] takes, with comments saying where each rule came from.
    pub policy: String,
    /// At least one note for each rule of the source and each setting that says something about permissions; in the
    /// order of the source.
    pub notes: Vec<Note>,
}

/// What became of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The file's name, as it was given to [`import`].
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// The column in characters, counted from 1.
    pub column: u32,
    /// What became of it.
    pub kind: NoteKind,
    /// The rule as it was written; characters that could move a terminal's cursor are escaped.
    pub source: String,
    /// What that means, in a sentence.
    pub message: String,
    /// The id of the rule that came of it, or `jobs.*` where it switched a kind of job off.
    pub rule: Option<String>,
}

/// What became of a rule of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// It holds here as it held there.
    Carried,
    /// It holds here in another way; the message says which.
    Changed,
    /// It decided nothing where it came from. Where a `rule` stands beside it, it does here.
    Inert,
    /// It has no place here.
    NotCarried,
}

/// Turns another agent's settings into a policy.
///
/// `file_name` is what diagnostics and notes call the file, and its path and extension tell whose settings they
/// are (a person's own, or the repository's); nothing is opened.
///
/// # Errors
/// Text that is not of the format, settings that the agent itself would refuse, and more than 1 MiB.
pub fn import(source: Source, file_name: &str, text: &str) -> Result<Imported, Vec<Diagnostic>> {
    draft(source, file_name, text)?.finish()
}

/// Turns goose's `permission.yaml`, parsed by whoever knows YAML, into a policy. `text` is the file as it was
/// written: rules are looked up in it for their lines.
///
/// # Errors
/// A value that is not of the file's shape, and more than 1 MiB.
pub fn import_goose(
    file_name: &str,
    text: &str,
    value: &serde_json::Value,
) -> Result<Imported, Vec<Diagnostic>> {
    goose::draft(origin(file_name, text)?, value)?.finish()
}

fn draft<'a>(source: Source, file_name: &'a str, text: &'a str) -> Result<Draft<'a>, Vec<Diagnostic>> {
    let origin = origin(file_name, text)?;
    match source {
        Source::Claude => claude::draft(origin),
        Source::Codex if rules::looks_like(&origin) => rules::draft(origin),
        Source::Codex => codex::draft(origin),
        Source::CodexRules => rules::draft(origin),
        Source::Gemini => gemini::draft(origin),
        Source::Goose => {
            let value = json::value(&origin).map_err(|fault| vec![fault])?;
            goose::draft(origin, &value)
        }
    }
}

fn origin<'a>(file_name: &'a str, text: &'a str) -> Result<Origin<'a>, Vec<Diagnostic>> {
    let origin = Origin::new(file_name, text);
    if text.len() > MAX_FILE {
        let hint = "settings are some hundred lines: is it the right file?";
        return Err(vec![origin.fault(0, "the file is larger than 1 MiB", hint)]);
    }
    Ok(origin)
}

/// What a rule of the source decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allow,
    Ask,
    Deny,
}
