//! The coder: a conversation with a model until it says it is done, gives up, is stuck or out of budget.

use std::time::Duration;

use gloaming_api::bowout::Attempted;
use gloaming_api::{Digest, ReasonCode};
use gloaming_model::{Request, Response, ToolDef};
use serde_json::Value;

use crate::Budget;

/// What a coder is given.
#[derive(Debug, Clone)]
pub struct Brief {
    /// The task's text, as somebody wrote it.
    pub task: String,
    /// The tools it may call.
    pub tools: Vec<ToolDef>,
    /// What the system itself found out about the repository, one sentence each.
    pub facts: Vec<String>,
    /// The repository's instruction files: path and text.
    pub instructions: Vec<(String, String)>,
    /// What it may spend.
    pub budget: Budget,
    /// The most tokens of one answer.
    pub max_tokens: u32,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The work begins.
    Start,
    /// The model answered.
    Answer {
        /// The answer.
        response: Response,
        /// What it cost, US dollars.
        cost_usd: f64,
    },
    /// The model gave no answer, for good.
    ModelFailed {
        /// The error, in words.
        message: String,
    },
    /// A tool call ended.
    ToolDone {
        /// The call's id, from [`Action::CallTool`].
        id: String,
        /// The tool.
        name: String,
        /// Whether it did what it was asked to.
        ok: bool,
        /// What the model is shown.
        text: String,
        /// Digest of the whole outcome.
        output_digest: Digest,
    },
    /// The verifier does not accept the work; after [`Action::Done`] only.
    Findings {
        /// What it found.
        text: String,
    },
    /// Time passed. Gives no action; it is weighed before the next model call.
    Clock {
        /// Since the attempt began.
        elapsed: Duration,
    },
}

/// What is to be done. At most one action is open at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Ask the model.
    CallModel(Request),
    /// Call a tool.
    CallTool {
        /// Unique within the attempt.
        id: String,
        /// The tool: one of the brief's.
        name: String,
        /// The arguments: a JSON object.
        args: Value,
    },
    /// The model says that it is done: freeze and verify.
    Done {
        /// What it says it did.
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
        /// What was tried.
        attempted: Vec<Attempted>,
    },
}

/// The coder's state.
#[derive(Debug, Clone)]
pub struct Coder {
    brief: Brief,
}

/// Returns the digest of the system prompt.
pub fn prompt_digest() -> Digest {
    Digest::of("")
}

impl Coder {
    /// Makes a coder that has not begun.
    pub fn new(brief: Brief) -> Self {
        Self { brief }
    }

    /// Takes an event and returns what is to be done next.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        let _ = (event, &self.brief);
        Vec::new()
    }
}
