//! The two calls a model ends with. They run nothing: the coder itself takes them.

use gloaming_api::ReasonCode;
use gloaming_model::ToolDef;
use serde_json::{Value, json};

pub(super) const FINISH: &str = "finish";
pub(super) const GIVE_UP: &str = "give_up";

/// Reasons a model may give; the others are the system's alone to find.
const REASONS: &[ReasonCode] = &[
    ReasonCode::Underspecified,
    ReasonCode::TooLarge,
    ReasonCode::OutOfScope,
    ReasonCode::NeedsCredentials,
    ReasonCode::NeedsNetwork,
    ReasonCode::NotReproducible,
    ReasonCode::ConflictingRequirements,
    ReasonCode::NoChangeNeeded,
    ReasonCode::PolicyBlocked,
    ReasonCode::Stuck,
];

/// What a model says when it gives up.
pub(super) struct GivenUp {
    pub(super) reason: ReasonCode,
    pub(super) summary: String,
    pub(super) questions: Vec<String>,
}

impl GivenUp {
    pub(super) fn parse(args: &Value) -> Option<Self> {
        let reason = args["reason"].as_str()?;
        let questions = args["questions"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Some(Self {
            reason: *REASONS.iter().find(|code| code.as_str() == reason)?,
            summary: args["summary"].as_str()?.to_owned(),
            questions: questions.take(5).map(|text| gloaming_api::bowout::shorten(text, 280)).collect(),
        })
    }

    pub(super) fn usage() -> String {
        format!("give_up needs a `summary` and a `reason`, one of: {}.", names().join(", "))
    }
}

fn names() -> Vec<&'static str> {
    REASONS.iter().map(|code| code.as_str()).collect()
}

pub(super) fn tools() -> [ToolDef; 2] {
    [
        ToolDef {
            name: FINISH.into(),
            description:
                "Says that the change is complete. The system then verifies it; alone in its answer or last."
                    .into(),
            input_schema: json!({
                "type": "object",
                "properties": {"summary": {"type": "string", "description": "What was changed and why, one to three sentences."}},
                "required": ["summary"],
                "additionalProperties": false
            }),
        },
        ToolDef {
            name: GIVE_UP.into(),
            description: "Ends the work without a change, with the reason.".into(),
            input_schema: json!({
                "type": "object",
                "properties": {
                    "reason": {"type": "string", "enum": names()},
                    "summary": {"type": "string", "description": "Why, in one or two sentences, with the names of files."},
                    "questions": {"type": "array", "items": {"type": "string"}, "description": "What somebody would have to answer first."}
                },
                "required": ["reason", "summary"],
                "additionalProperties": false
            }),
        },
    ]
}
