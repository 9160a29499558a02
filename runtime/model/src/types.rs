//! What is asked and what is answered, independent of a provider.

use futures::future::BoxFuture;
use gloaming_api::{Digest, tool::ToolSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ModelError;

/// The key of a [`Block::ToolUse`] input that stands for arguments which were no JSON object.
///
/// The input is then `{"__invalid_json": "<the text as the model wrote it>"}`: the caller answers the
/// model with an error and the conversation goes on, instead of a typing error ending a task.
pub const INVALID_JSON: &str = "__invalid_json";

/// A language model.
pub trait Model: Send + Sync {
    /// Returns the model's spec as it is written in journals: `anthropic:claude-...`, or several joined by commas.
    fn spec(&self) -> &str;

    /// Returns who may be sent what is asked: each model's spec, and its server, `scheme://host:port`, where that is
    /// another than the provider's own.
    fn readers(&self) -> Vec<(String, Option<String>)>;

    /// Asks the model once and returns its whole answer. Failures that may pass are tried again inside.
    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, ModelError>>;

    /// Returns an upper bound of one answer's price in US dollars, for reserving budget before the call;
    /// none when the model's price is not known. Each answer that breaks off and is asked for again can
    /// cost as much once more; it is part of the final [`Response::cost_usd`].
    fn worst_case_usd(&self, request: &Request) -> Option<f64>;
}

/// One request: the whole conversation so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The system prompt.
    pub system: String,
    /// The conversation, beginning with the user, roles alternating.
    pub messages: Vec<Message>,
    /// The tools on offer.
    pub tools: Vec<ToolDef>,
    /// The most tokens the answer may have.
    pub max_tokens: u32,
}

impl Request {
    /// Returns the digest that journals and [`crate::Replay`] know the request by.
    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }
}

/// A tool on offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolDef {
    /// The name the model calls it by.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments: an object.
    pub input_schema: Value,
}

impl From<&ToolSpec> for ToolDef {
    fn from(spec: &ToolSpec) -> Self {
        Self {
            name: spec.name.clone(),
            description: spec.description.clone(),
            input_schema: spec.input_schema.clone(),
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub blocks: Vec<Block>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// We: the task, tool results, findings.
    User,
    /// The model.
    Assistant,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// The model wants a tool called.
    ToolUse {
        /// The model's name for this call.
        id: String,
        /// The tool.
        name: String,
        /// The arguments: an object, see [`INVALID_JSON`].
        input: Value,
    },
    /// What a tool answered.
    ToolResult {
        /// The call it answers.
        id: String,
        /// The answer.
        content: String,
        /// Whether the call failed.
        is_error: bool,
    },
}

/// One whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// What the model said and wants called, in its order.
    pub blocks: Vec<Block>,
    /// Why it stopped.
    pub stop: Stop,
    /// Tokens of this answer.
    pub usage: Usage,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// US dollars by the price table, broken-off tries included; none when the price is not known.
    pub cost_usd: Option<f64>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The model had nothing more to say.
    EndTurn,
    /// It wants tools called.
    ToolUse,
    /// It reached `max_tokens` or the end of its context; the last block may be cut.
    MaxTokens,
    /// The model or a filter of its provider refused.
    Refusal,
    /// Something this version does not know.
    Other,
}

/// Tokens of one answer; each token is counted in one field only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Input tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Input tokens read from the provider's cache.
    pub cache_read: u64,
    /// Input tokens written to it.
    pub cache_write: u64,
    /// Whether the provider named no usage and this is our upper bound by size.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl Usage {
    /// Makes one of the numbers of a provider that counts what its cache had among the question's tokens.
    pub(crate) fn of(asked: u64, cached: u64, output: u64) -> Self {
        let cache_read = cached.min(asked);
        Self { input: asked - cache_read, output, cache_read, ..Self::default() }
    }

    /// Returns the tokens of the question and the answer.
    pub fn total(&self) -> u64 {
        self.input
            .saturating_add(self.output)
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
    }
}

/// Returns an upper bound of the tokens in `bytes` bytes of text: two bytes a token. Prose and code have
/// three to four; only noise and some scripts come near two.
pub fn estimate_tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(2)
}
