//! The APIs, streamed and not, as one table: what a model says is written once and put on every wire.

use std::sync::Arc;
use std::time::Duration;

use gloaming_model::{
    Block, Message, Model, ModelError, ModelSpec, Price, PriceTable, Request, Response, Role, SecretString,
    Settings, Stop, ToolDef, Usage,
};
use serde_json::{Value, json};

use crate::server::{Reply, Server};

mod gemini;
mod responses;

pub(crate) const KEY: &str = "sk-Test-4F9a71c2E8";

/// One API, streamed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) api: Api,
    pub(crate) stream: bool,
}

/// A form of requests and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Google's Gemini.
    Gemini,
}

impl Wire {
    pub(crate) const ALL: [Self; 8] = [
        Self { api: Api::Chat, stream: false },
        Self { api: Api::Chat, stream: true },
        Self { api: Api::Messages, stream: false },
        Self { api: Api::Messages, stream: true },
        Self { api: Api::Responses, stream: false },
        Self { api: Api::Responses, stream: true },
        Self { api: Api::Gemini, stream: false },
        Self { api: Api::Gemini, stream: true },
    ];

    pub(crate) fn streamed() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|wire| wire.stream)
    }

    pub(crate) fn spec(self) -> ModelSpec {
        let spec = match self.api {
            Api::Chat => "openai:gpt-5",
            Api::Responses => "openai-responses:gpt-5",
            Api::Messages => "anthropic:claude-sonnet-4-5",
            Api::Gemini => "gemini:gemini-3.5-flash",
        };
        spec.parse().expect("a spec")
    }

    /// Whether a call's arguments come as text, which need not be JSON, rather than as an object.
    pub(crate) fn has_text_for_arguments(self) -> bool {
        match self.api {
            Api::Chat | Api::Responses => true,
            Api::Messages => self.stream,
            Api::Gemini => false,
        }
    }

    /// The model behind `url`, with settings that keep a test short.
    pub(crate) fn model(self, url: &str) -> Arc<dyn Model> {
        self.model_with(url, quick())
    }

    pub(crate) fn model_with(self, url: &str, settings: Settings) -> Arc<dyn Model> {
        let settings = Settings { base_url: Some(url.into()), stream: self.stream, ..settings };
        gloaming_model::open(&self.spec(), settings).expect("it opens")
    }

    /// Asks the server once.
    pub(crate) async fn ask(self, server: &Server) -> Result<Response, ModelError> {
        self.model(server.url()).complete(&request()).await
    }

    pub(crate) async fn ask_with(self, server: &Server, settings: Settings) -> Result<Response, ModelError> {
        self.model_with(server.url(), settings).complete(&request()).await
    }

    /// Puts what a model says on this wire.
    pub(crate) fn body(self, said: &Said) -> String {
        match (self.api, self.stream) {
            (Api::Chat, false) => openai_whole(said),
            (Api::Chat, true) => openai_stream(said),
            (Api::Responses, false) => responses::whole(said),
            (Api::Responses, true) => responses::stream(said),
            (Api::Gemini, false) => gemini::whole(said),
            (Api::Gemini, true) => gemini::stream(said),
            (Api::Messages, false) => anthropic_whole(said),
            (Api::Messages, true) => anthropic_stream(said),
        }
    }

    pub(crate) fn reply(self, said: &Said) -> Reply {
        self.wrap(&self.body(said))
    }

    /// An answer with this body.
    pub(crate) fn wrap(self, body: &str) -> Reply {
        if self.stream { Reply::stream(body) } else { Reply::json(body) }
    }

    /// What the client makes of it.
    pub(crate) fn response(self, said: &Said) -> Response {
        let mut blocks = Vec::new();
        if !said.text.is_empty() {
            blocks.push(Block::Text { text: said.text.into() });
        }
        for (id, name, arguments) in said.calls {
            let input = serde_json::from_str(arguments)
                .ok()
                .filter(Value::is_object)
                .unwrap_or_else(|| json!({gloaming_model::INVALID_JSON: arguments}));
            blocks.push(Block::ToolUse { id: (*id).into(), name: (*name).into(), input });
        }
        let stop = if said.cut {
            Stop::MaxTokens
        } else if said.calls.is_empty() {
            Stop::EndTurn
        } else {
            Stop::ToolUse
        };
        let usage = if self.api == Api::Messages {
            Usage { input: 100, output: 20, cache_read: 40, cache_write: 10, estimated: false }
        } else {
            Usage { input: 60, output: 20, cache_read: 40, cache_write: 0, estimated: false }
        };
        let cost_usd = Some(price(self).of(&usage));
        Response { blocks, stop, usage, model: "served-model".into(), cost_usd }
    }
}

/// The prices of the models, as the table has them.
pub(crate) fn price(wire: Wire) -> Price {
    PriceTable::built_in().price(&wire.spec()).expect("the table has them")
}

/// Settings that keep a test short: tries follow at once, and no wait is long.
pub(crate) fn quick() -> Settings {
    Settings {
        api_key: Some(SecretString::from(KEY)),
        tries: 3,
        total: Duration::from_secs(30),
        try_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(10),
        backoff: Duration::from_millis(1),
        ..Settings::default()
    }
}

/// A conversation with everything in it that can be sent.
pub(crate) fn request() -> Request {
    let text = |text: &str| Block::Text { text: text.into() };
    Request {
        system: "You repair code.".into(),
        messages: vec![
            Message { role: Role::User, blocks: vec![text("Fix the bug.")] },
            Message {
                role: Role::Assistant,
                blocks: vec![
                    text("I look."),
                    Block::ToolUse {
                        id: "t1".into(),
                        name: "read".into(),
                        input: json!({"path": "src/lib.rs"}),
                    },
                ],
            },
            Message {
                role: Role::User,
                blocks: vec![Block::ToolResult {
                    id: "t1".into(),
                    content: "fn a() {}".into(),
                    is_error: false,
                }],
            },
        ],
        tools: vec![ToolDef {
            name: "read".into(),
            description: "Reads a file.".into(),
            input_schema: json!({"type": "object", "properties": {"path": {"type": "string"}}}),
        }],
        max_tokens: 500,
    }
}

/// What a model says, without a wire.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    pub(crate) text: &'static str,
    /// Id, name, arguments as text.
    pub(crate) calls: &'static [(&'static str, &'static str, &'static str)],
    /// It ran into `max_tokens`.
    pub(crate) cut: bool,
}

/// Text beyond ASCII and two calls at once, one without arguments worth a fragment.
pub(crate) const FULL: Said = Said {
    text: "Ich prüfe beide 🔍.\n",
    calls: &[
        ("c1", "read", r#"{"path":"src/größe.rs","lines":[1,20]}"#),
        ("c2", "list", r#"{"glob":"**/*.rs","note":"a \"b\" \\ \u0000"}"#),
    ],
    cut: false,
};

/// The least that has text and a call in fragments.
pub(crate) const SHORT: Said =
    Said { text: "Ja ü.", calls: &[("c1", "read", r#"{"path":"ß"}"#)], cut: false };

pub(crate) const HELLO: Said = Said { text: "Hello.", calls: &[], cut: false };

/// Cuts a text into pieces of `size` characters.
fn pieces(text: &str, size: usize) -> Vec<String> {
    let all: Vec<char> = text.chars().collect();
    all.chunks(size).map(|piece| piece.iter().collect()).collect()
}

fn openai_usage() -> Value {
    json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
           "prompt_tokens_details": {"cached_tokens": 40}})
}

fn openai_finish(said: &Said) -> &'static str {
    match said {
        Said { cut: true, .. } => "length",
        Said { calls: [], .. } => "stop",
        _ => "tool_calls",
    }
}

fn openai_whole(said: &Said) -> String {
    let calls: Vec<Value> = said
        .calls
        .iter()
        .map(|(id, name, arguments)| {
            json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
        })
        .collect();
    let mut message = json!({"role": "assistant", "content": said.text, "refusal": null});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    json!({
        "id": "x", "object": "chat.completion", "created": 1, "model": "served-model",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": openai_finish(said)}],
        "usage": openai_usage(),
    })
    .to_string()
}

/// The calls' fragments come interleaved, as parallel calls may.
fn openai_stream(said: &Said) -> String {
    let mut out = String::new();
    let mut chunk = |choices: Value, usage: Value| {
        let chunk = json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "served-model",
                           "choices": choices, "usage": usage});
        out.push_str(&format!("data: {chunk}\n\n"));
    };
    let mut delta = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}]), Value::Null)
    };
    delta(json!({"role": "assistant", "content": ""}), Value::Null);
    for piece in pieces(said.text, 4) {
        delta(json!({"content": piece}), Value::Null);
    }
    for (index, (id, name, _)) in said.calls.iter().enumerate() {
        let function = json!({"name": name, "arguments": ""});
        delta(
            json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}),
            Value::Null,
        );
    }
    let fragments: Vec<Vec<String>> =
        said.calls.iter().map(|(_, _, arguments)| pieces(arguments, 5)).collect();
    for turn in 0..fragments.iter().map(Vec::len).max().unwrap_or(0) {
        for (index, fragments) in fragments.iter().enumerate() {
            if let Some(fragment) = fragments.get(turn) {
                let function = json!({"arguments": fragment});
                delta(json!({"tool_calls": [{"index": index, "function": function}]}), Value::Null);
            }
        }
    }
    delta(json!({}), openai_finish(said).into());
    chunk(json!([]), openai_usage());
    out.push_str("data: [DONE]\n\n");
    out
}

fn anthropic_stop(said: &Said) -> &'static str {
    match said {
        Said { cut: true, .. } => "max_tokens",
        Said { calls: [], .. } => "end_turn",
        _ => "tool_use",
    }
}

fn anthropic_whole(said: &Said) -> String {
    let mut content = Vec::new();
    if !said.text.is_empty() {
        content.push(json!({"type": "text", "text": said.text}));
    }
    for (id, name, arguments) in said.calls {
        let input: Value = serde_json::from_str(arguments).unwrap_or_else(|_| (*arguments).into());
        content.push(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
    }
    json!({
        "id": "x", "type": "message", "role": "assistant", "model": "served-model", "content": content,
        "stop_reason": anthropic_stop(said), "stop_sequence": null,
        "usage": {"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 40,
                  "cache_creation_input_tokens": 10},
    })
    .to_string()
}

fn anthropic_stream(said: &Said) -> String {
    let mut out = String::new();
    let mut event = |event: Value| {
        let name = event["type"].as_str().unwrap_or("").to_owned();
        out.push_str(&format!("event: {name}\ndata: {event}\n\n"));
    };
    event(json!({"type": "message_start", "message": {
        "id": "x", "type": "message", "role": "assistant", "model": "served-model", "content": [],
        "stop_reason": null, "usage": {"input_tokens": 100, "output_tokens": 1,
                                       "cache_read_input_tokens": 40, "cache_creation_input_tokens": 10}}}));
    event(json!({"type": "ping"}));
    let mut index = 0;
    if !said.text.is_empty() {
        event(
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        );
        for piece in pieces(said.text, 4) {
            let delta = json!({"type": "text_delta", "text": piece});
            event(json!({"type": "content_block_delta", "index": 0, "delta": delta}));
        }
        event(json!({"type": "content_block_stop", "index": 0}));
        index += 1;
    }
    for (id, name, arguments) in said.calls {
        let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
        event(json!({"type": "content_block_start", "index": index, "content_block": block}));
        for piece in pieces(arguments, 5) {
            let delta = json!({"type": "input_json_delta", "partial_json": piece});
            event(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        event(json!({"type": "content_block_stop", "index": index}));
        index += 1;
    }
    event(
        json!({"type": "message_delta", "delta": {"stop_reason": anthropic_stop(said), "stop_sequence": null},
                 "usage": {"output_tokens": 20}}),
    );
    event(json!({"type": "message_stop"}));
    out
}
