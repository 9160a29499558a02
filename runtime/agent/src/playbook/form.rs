//! What all playbooks have in common: what they say of a text, what happens to them, what they ask for, how they end.

use gloaming_api::ReasonCode;
use gloaming_api::bowout::shorten;
use gloaming_api::profile::CommandKind;
use gloaming_api::tool::{ToolError, ToolErrorCode, ToolOutcome};
use serde_json::Value;

use super::Playbook;
use super::codemod::{FileMatches, LanguageFault};
use super::files::FileText;
use super::rename::FileIdentifiers;

/// Places named in a summary or as evidence.
pub(super) const NAMED: usize = 20;

/// What a playbook says of a task's text. Whatever it does not understand to the last word is not its own: half a task done
/// is a wrong pull request.
#[derive(Debug, Clone)]
pub enum Fit {
    /// Not its words.
    No,
    /// Its words, but not all that it needs; a model may know more.
    Declined {
        /// Why, in lower case and without a full stop.
        why: String,
    },
    /// Its words, and nobody could do what they say.
    Refused {
        /// Why.
        code: ReasonCode,
        /// The same in a sentence, in lower case and without a full stop.
        summary: String,
        /// What a person would have been asked.
        question: &'static str,
    },
    /// Its task, and nothing else.
    Yes(Box<Playbook>),
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The work begins.
    Start,
    /// A tool call or a run of fixes ended.
    ToolDone {
        /// The call's id.
        id: String,
        /// Its whole outcome.
        outcome: ToolOutcome,
    },
    /// The answer to [`Action::FindIdentifiers`]: every path asked for, in the same order, but those
    /// the policy does not let it read.
    Identifiers {
        /// The files.
        files: Vec<FileIdentifiers>,
    },
    /// The answer to [`Action::Match`].
    Matched {
        /// Languages in which the two are no pattern and replacement; their files are not among the others.
        faults: Vec<LanguageFault>,
        /// Every other file asked for, in the same order, but those the policy does not let it read.
        files: Vec<FileMatches>,
    },
    /// The answer to [`Action::Read`]: every path asked for, in the same order, but those the policy does not let it read
    /// and those that are no files.
    Files {
        /// The files.
        files: Vec<FileText>,
    },
}

/// What is to be done. At most one action is open at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Call a tool; answered by [`Event::ToolDone`].
    CallTool {
        /// Unique within the attempt.
        id: String,
        /// The tool.
        name: String,
        /// The arguments.
        args: Value,
    },
    /// Find both names as identifiers in these files; answered by [`Event::Identifiers`].
    FindIdentifiers {
        /// The old name.
        from: String,
        /// The new name.
        to: String,
        /// The files.
        paths: Vec<String>,
    },
    /// Have the profile's command of this kind fix what it finds, on a copy; answered by [`Event::ToolDone`]. The outcome
    /// holds the command, how it ended, and the new content of each file that it changed.
    Fix {
        /// Unique within the attempt.
        id: String,
        /// The kind.
        kind: CommandKind,
    },
    /// Have a package manager make a lockfile anew, on a copy; answered by [`Event::ToolDone`]. The outcome holds the
    /// command, how it ended, whether it had network, and the lockfile's new content where it changed.
    Lock {
        /// Unique within the attempt.
        id: String,
        /// The command.
        argv: Vec<String>,
        /// The lockfile; the command is run in its folder.
        path: String,
    },
    /// Put a package manager's lockfile in its place, as the policy lets the system; answered by [`Event::ToolDone`].
    Place {
        /// Unique within the attempt.
        id: String,
        /// The lockfile.
        path: String,
        /// Its whole new content.
        content: String,
    },
    /// Look an advisory up among the operator's; answered by [`Event::ToolDone`]. The outcome holds the files that are about
    /// it: name, digest and text each.
    LookUp {
        /// Unique within the attempt.
        id: String,
        /// Its id, in any database.
        advisory: String,
    },
    /// Match a pattern of code in these files; answered by [`Event::Matched`].
    Match {
        /// The pattern.
        pattern: String,
        /// What is to stand where it matches.
        replacement: String,
        /// The files.
        paths: Vec<String>,
    },
    /// Read these files; answered by [`Event::Files`].
    Read {
        /// The files.
        paths: Vec<String>,
    },
    /// All of it is done: freeze and verify.
    Done {
        /// What was done and what was left, for the pull request.
        summary: String,
    },
    /// The end without a patch.
    BowOut {
        /// Why.
        code: ReasonCode,
        /// One or two sentences, at most 280 characters.
        summary: String,
        /// What a person would have been asked.
        questions: Vec<String>,
        /// Places and messages that led here, one line each.
        evidence: Vec<String>,
        /// Texts of tasks that a playbook would do instead.
        instead: Vec<String>,
    },
}

/// An end without a patch, on its way.
pub(super) struct End {
    code: ReasonCode,
    summary: String,
    questions: Vec<String>,
    evidence: Vec<String>,
    instead: Vec<String>,
}

impl End {
    pub(super) fn new(code: ReasonCode, summary: impl Into<String>) -> Self {
        Self {
            code,
            summary: summary.into(),
            questions: Vec::new(),
            evidence: Vec::new(),
            instead: Vec::new(),
        }
    }

    /// Names a task that a playbook would do instead.
    pub(super) fn instead(mut self, task: impl Into<String>) -> Self {
        self.instead.push(task.into());
        self
    }

    pub(super) fn asking(mut self, question: impl Into<String>) -> Self {
        self.questions.push(question.into());
        self
    }

    pub(super) fn with(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }
}

impl From<End> for Action {
    fn from(end: End) -> Self {
        let End { code, summary, questions, evidence, instead } = end;
        Self::BowOut { code, summary: shorten(&summary, 280), questions, evidence, instead }
    }
}

/// Returns what a tool answered, or the end that its refusal is.
pub(super) fn output<'a>(outcome: &'a ToolOutcome, tool: &str) -> Result<&'a Value, End> {
    if let (true, Some(output)) = (outcome.ok, &outcome.output) {
        return Ok(output);
    }
    let unknown = ToolError::new(ToolErrorCode::Internal, "it gave no answer");
    let error = outcome.error.as_ref().unwrap_or(&unknown);
    let code = match error.code {
        ToolErrorCode::Denied => ReasonCode::PolicyBlocked,
        ToolErrorCode::TooLarge => ReasonCode::TooLarge,
        _ => ReasonCode::Stuck,
    };
    let rule = error.rule.as_ref().map_or(String::new(), |rule| format!(" (rule {rule})"));
    let summary = format!("`{tool}` was refused or failed: {}{rule}", error.message);
    Err(End::new(code, summary).with([outcome.for_model()]))
}

/// Returns a number with its noun.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
