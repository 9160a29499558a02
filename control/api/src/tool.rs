//! What a tool call answers and what is recorded of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Digest, RelPath};

/// The class of a tool call's failure; stable, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolErrorCode {
    /// A policy rule forbids it.
    Denied,
    /// There is no such file or tool.
    NotFound,
    /// The arguments do not fit the schema or make no sense.
    InvalidInput,
    /// The file is not as the call expected it.
    Conflict,
    /// A cap on bytes, entries or memory was reached.
    TooLarge,
    /// The deadline passed.
    Timeout,
    /// The tool could not do it, and says why in its own words (one whose errors are not the contract's).
    Failed,
    /// Whoever asked for the call stopped it.
    Cancelled,
    /// The tool broke (a trap, a panic) or the host did.
    Internal,
}

/// Why a tool call failed, written for a model: what went wrong and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolError {
    /// The class.
    pub code: ToolErrorCode,
    /// The deciding rule's id, for `denied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What went wrong.
    pub message: String,
    /// What to do instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

impl ToolError {
    /// Returns an error with neither rule nor advice.
    pub fn new(code: ToolErrorCode, message: impl Into<String>) -> Self {
        Self { code, rule: None, message: message.into(), instead: None }
    }

    /// Adds what to do instead.
    #[must_use]
    pub fn instead(mut self, advice: impl Into<String>) -> Self {
        self.instead = Some(advice.into());
        self
    }
}

/// A tool call's answer: `{"ok": bool, "output": ..., "error": {...}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolOutcome {
    /// Whether the call did what it was asked to.
    pub ok: bool,
    /// The tool's typed result; its field `text`, where there is one, is what a model is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ToolError>,
    /// What the host adds for a model: syntax errors that the call brought into source files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl ToolOutcome {
    /// Wraps a result.
    pub fn ok(output: Value) -> Self {
        Self { ok: true, output: Some(output), error: None, note: None }
    }

    /// Wraps a failure.
    pub fn error(error: ToolError) -> Self {
        Self { ok: false, output: None, error: Some(error), note: None }
    }

    /// Returns what a model is shown: the output's `text` field (or the output where that is text, or its JSON), or
    /// the error in words; and the host's note.
    pub fn for_model(&self) -> String {
        let mut text = self.own_words();
        if let Some(note) = &self.note {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(note);
        }
        text
    }

    fn own_words(&self) -> String {
        match (&self.output, &self.error) {
            (_, Some(error)) => {
                let mut text = error.message.clone();
                if let Some(rule) = &error.rule {
                    text.push_str(&format!(" (rule {rule})"));
                }
                if let Some(instead) = &error.instead {
                    text.push('\n');
                    text.push_str(instead);
                }
                text
            }
            (Some(Value::String(text)), None) => text.clone(),
            (Some(output), None) => match output.get("text").and_then(Value::as_str) {
                Some(text) => text.to_owned(),
                None => output.to_string(),
            },
            (None, None) => String::new(),
        }
    }
}

/// A tool as a model is offered it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolSpec {
    /// The exported function's name.
    pub name: String,
    /// Its WIT doc comment.
    pub description: String,
    /// JSON Schema of the arguments, derived from the WIT.
    pub input_schema: Value,
    /// Whether it can change files (it imports `changes`, or runs on the host with that power).
    pub writes: bool,
    /// The component's digest; none for a tool the host itself provides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Digest>,
}

/// What one tool call did, for the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallRecord {
    /// The tool.
    pub tool: String,
    /// The component that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Digest>,
    /// The grant that permitted or denied it.
    pub grant: Digest,
    /// Digest of the arguments' canonical JSON.
    pub args_digest: Digest,
    /// `allow`, or `deny` when any path or the tool itself was denied.
    pub decision: Decided,
    /// The paths that were denied, with the rule; capped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denials: Vec<PathDenial>,
    /// What rules with `enforce = "warn"` would have denied of what was read and written; capped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<PathDenial>,
    /// Files read, with bytes; capped at 1,000 entries, see `reads_total`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<PathBytes>,
    /// How many files were read in all.
    pub reads_total: u64,
    /// Files written, with bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<PathBytes>,
    /// Bytes read in all.
    pub bytes_read: u64,
    /// Bytes written in all.
    pub bytes_written: u64,
    /// What undoing it takes; none when it changed nothing or no before-images are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoRecord>,
    /// Microseconds, in all and by phase.
    pub duration_us: CallDuration,
    /// How often the engine's clock of one millisecond found the guest running. Beside the times, which count a
    /// guest that waits for a processor too, it tells a busy guest from a busy machine.
    #[serde(default)]
    pub ticks: u64,
    /// Peak linear memory of the instance, bytes.
    pub peak_memory: u64,
}

impl CallRecord {
    /// Returns the record of a call that no component ran for: the host answered it, or it was refused.
    pub fn without_run(tool: &str, grant: &Digest, args: &Value, decision: Decided) -> Self {
        Self {
            tool: tool.to_owned(),
            component: None,
            grant: grant.clone(),
            args_digest: Digest::of_value(args),
            decision,
            denials: Vec::new(),
            warnings: Vec::new(),
            reads: Vec::new(),
            reads_total: 0,
            writes: Vec::new(),
            bytes_read: 0,
            bytes_written: 0,
            undo: None,
            duration_us: CallDuration::default(),
            ticks: 0,
            peak_memory: 0,
        }
    }
}

/// What a call changed, as undoing it needs it: each path as the call found and as it left it, however often it changed
/// it in between. The contents that are gone are kept elsewhere, named by their digests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UndoRecord {
    /// Why the call cannot be undone; none when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impossible: Option<String>,
    /// The files, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileChange>,
    /// The folders that were made or removed, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<FolderChange>,
}

/// A file before and after a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileChange {
    /// The path.
    pub path: RelPath,
    /// What the call found there; none when there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<FileState>,
    /// What the call left there; none when there is nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<FileState>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct FileState {
    /// Digest of the content.
    pub digest: Digest,
    /// Bytes of the content.
    pub size: u64,
    /// Who may read, write and run it, as the system's nine bits.
    pub mode: u32,
}

/// A folder before and after a call: its mode, or none when there was or is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FolderChange {
    /// The path.
    pub path: RelPath,
    /// The mode the call found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u32>,
    /// The mode the call left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
}

/// Where a call's time went, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallDuration {
    /// From the request to the answer.
    pub total: u64,
    /// Making store and instance.
    pub instantiate: u64,
    /// Inside the guest, arguments and result converted.
    #[serde(default)]
    pub run: u64,
    /// Inside host functions.
    pub host: u64,
}

/// How a policy decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decided {
    /// Every access was allowed.
    Allow,
    /// At least one was denied.
    Deny,
}

/// A path and how many of its bytes moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathBytes {
    /// The path.
    pub path: RelPath,
    /// Bytes read or written; 0 for a removal.
    pub bytes: u64,
}

/// A path that was denied. `path` is as the caller spelled it, escaped, since it may not be a valid one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathDenial {
    /// The spelling asked for.
    pub path: String,
    /// The rule that denied it.
    pub rule: String,
}
