//! OpenAI's chat completions, as its own and many other servers speak them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::http::{Answer, Assembler};
use crate::{Block, INVALID_JSON, ModelError, Request, Role, Stop, Usage};

/// Returns the request's body. `official`: OpenAI's own server, whose newer models refuse `max_tokens`,
/// which is the only name most others know.
pub(crate) fn body(request: &Request, model: &str, stream: bool, official: bool) -> Value {
    let mut messages = vec![json!({"role": "system", "content": request.system})];
    for message in &request.messages {
        match message.role {
            Role::User => user(&message.blocks, &mut messages),
            Role::Assistant => messages.push(assistant(&message.blocks)),
        }
    }
    let limit = if official { "max_completion_tokens" } else { "max_tokens" };
    let mut body = json!({"model": model, "messages": messages, limit: request.max_tokens, "stream": stream});
    if stream {
        body["stream_options"] = json!({"include_usage": true});
    }
    if !request.tools.is_empty() {
        let tool = |tool: &crate::ToolDef| {
            json!({"type": "function", "function": {
                "name": tool.name, "description": tool.description, "parameters": tool.input_schema,
            }})
        };
        body["tools"] = request.tools.iter().map(tool).collect();
    }
    body
}

fn user(blocks: &[Block], messages: &mut Vec<Value>) {
    let mut text = String::new();
    for block in blocks {
        match block {
            Block::Text { text: more } => {
                if !text.is_empty() {
                    text.push_str("\n\n");
                }
                text.push_str(more);
            }
            Block::ToolResult { id, content, is_error } => {
                // There is no field for failure here; the word has to say it.
                let content = if *is_error { format!("ERROR: {content}") } else { content.clone() };
                messages.push(json!({"role": "tool", "tool_call_id": call_id(id), "content": content}));
            }
            Block::ToolUse { .. } => {}
        }
    }
    if !text.is_empty() {
        messages.push(json!({"role": "user", "content": text}));
    }
}

fn assistant(blocks: &[Block]) -> Value {
    let mut text = String::new();
    let mut calls = Vec::new();
    for block in blocks {
        match block {
            Block::Text { text: more } => text.push_str(more),
            Block::ToolUse { id, name, input } => calls.push(json!({
                "id": call_id(id), "type": "function",
                "function": {"name": tool_name(name), "arguments": input.to_string()},
            })),
            Block::ToolResult { .. } => {}
        }
    }
    let mut message = json!({"role": "assistant"});
    message["content"] = if text.is_empty() && !calls.is_empty() { Value::Null } else { text.into() };
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    message
}

/// Returns a tool's name in the letters that servers take back; a model can invent any.
pub(crate) fn tool_name(name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let name: String = name.chars().map(legal).take(64).collect();
    if name.is_empty() { "unnamed".into() } else { name }
}

/// Returns a call's id in the letters that servers take back: in a chain it may be another's, with more than an id in it.
pub(crate) fn call_id(id: &str) -> String {
    tool_name(id.split('#').next().unwrap_or(""))
}

/// Returns a call's arguments: the object they are, or the text that is none under [`INVALID_JSON`].
pub(crate) fn arguments(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Value::Object(map),
        _ => json!({INVALID_JSON: text}),
    }
}

/// Reads a whole answer.
pub(crate) fn whole(body: &Value) -> Result<Answer, ModelError> {
    if let Some(error) = body.get("error").filter(|error| !error.is_null()) {
        return Err(reported(error));
    }
    let choice = body.pointer("/choices/0").ok_or_else(|| malformed("choices", "there is none"))?;
    let message = choice.get("message").ok_or_else(|| malformed("choices[0].message", "there is none"))?;
    let mut parts = Parts::default();
    parts.take_text(message);
    for (index, call) in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten().enumerate()
    {
        let function =
            call.get("function").ok_or_else(|| malformed("tool_calls", "a call has no function"))?;
        let arguments = match function.get("arguments") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").to_owned();
        parts.calls.insert(
            index as u64,
            Call { id: text(call.get("id")), name: text(function.get("name")), arguments },
        );
    }
    let finish = choice.get("finish_reason").and_then(Value::as_str);
    Ok(parts.answer(finish.unwrap_or("stop"), usage(body.get("usage")), model(body)))
}

/// Puts a streamed answer together.
#[derive(Default)]
pub(crate) struct Stream {
    parts: Parts,
    finish: Option<String>,
    usage: Option<Usage>,
    model: String,
}

impl Assembler for Stream {
    fn event(&mut self, data: &str) -> Result<bool, ModelError> {
        if data.trim() == "[DONE]" {
            return Ok(true);
        }
        let chunk: Value = serde_json::from_str(data).map_err(|error| {
            malformed(&format!("line {} column {}", error.line(), error.column()), "it is not JSON")
        })?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            return Err(reported(error));
        }
        if self.model.is_empty() {
            self.model = model(&chunk);
        }
        if let Some(usage) = usage(chunk.get("usage")) {
            self.usage = Some(usage);
        }
        // The last chunk carries the usage and no choice.
        for choice in chunk.get("choices").and_then(Value::as_array).into_iter().flatten() {
            if choice.get("index").and_then(Value::as_u64).unwrap_or(0) != 0 {
                continue;
            }
            if let Some(delta) = choice.get("delta") {
                self.parts.take_text(delta);
                for call in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
                    self.parts.take_call(call);
                }
            }
            if let Some(finish) = choice.get("finish_reason").and_then(Value::as_str) {
                self.finish = Some(finish.to_owned());
            }
        }
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Result<Answer, ModelError> {
        // Some servers close without `[DONE]`; without a reason to finish, though, more was to come.
        let Some(finish) = self.finish else {
            return Err(ModelError::Truncated {
                place: "before the reason for its end".into(),
                source: None,
            });
        };
        Ok(self.parts.answer(&finish, self.usage, self.model))
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

#[derive(Default)]
struct Parts {
    text: String,
    refusal: String,
    calls: BTreeMap<u64, Call>,
}

#[derive(Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Parts {
    fn take_text(&mut self, message: &Value) {
        match message.get("content") {
            Some(Value::String(text)) => self.text.push_str(text),
            Some(Value::Array(parts)) => {
                for text in parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)) {
                    self.text.push_str(text);
                }
            }
            _ => {}
        }
        if let Some(text) = message.get("refusal").and_then(Value::as_str) {
            self.refusal.push_str(text);
        }
    }

    /// Takes a fragment of a call. Servers that leave out `index` begin each call with its id.
    fn take_call(&mut self, fragment: &Value) {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").to_owned();
        let id = text(fragment.get("id"));
        let last = self.calls.last_key_value().map(|(index, call)| (*index, call.id.clone()));
        let index = match (fragment.get("index").and_then(Value::as_u64), last) {
            (Some(index), _) => index,
            (None, None) => 0,
            (None, Some((index, known))) if id.is_empty() || id == known => index,
            (None, Some((index, _))) => index.saturating_add(1),
        };
        let call = self.calls.entry(index).or_default();
        if call.id.is_empty() {
            call.id = id;
        }
        if let Some(function) = fragment.get("function") {
            let name = text(function.get("name"));
            if call.name != name {
                call.name.push_str(&name);
            }
            match function.get("arguments") {
                Some(Value::String(text)) => call.arguments.push_str(text),
                Some(Value::Null) | None => {}
                Some(other) => call.arguments.push_str(&other.to_string()),
            }
        }
    }

    fn answer(self, finish: &str, usage: Option<Usage>, model: String) -> Answer {
        let mut blocks = Vec::new();
        for text in [self.text, self.refusal.clone()] {
            if !text.is_empty() {
                blocks.push(Block::Text { text });
            }
        }
        let calls = !self.calls.is_empty();
        for (index, call) in self.calls {
            // Some servers give no id; the answer to the call has to name one.
            let id = if call.id.is_empty() { format!("call_{index}") } else { call.id };
            blocks.push(Block::ToolUse { id, name: call.name, input: arguments(&call.arguments) });
        }
        let stop = match finish {
            _ if !self.refusal.is_empty() => Stop::Refusal,
            "length" => Stop::MaxTokens,
            "content_filter" => Stop::Refusal,
            _ if calls => Stop::ToolUse,
            "stop" => Stop::EndTurn,
            _ => Stop::Other,
        };
        Answer { blocks, stop, usage, model }
    }
}

fn usage(value: Option<&Value>) -> Option<Usage> {
    let number = |pointer: &str| value?.pointer(pointer)?.as_u64();
    let cached = number("/prompt_tokens_details/cached_tokens").unwrap_or(0);
    Some(Usage::of(number("/prompt_tokens")?, cached, number("/completion_tokens").unwrap_or(0)))
}

pub(crate) fn model(body: &Value) -> String {
    body.get("model").and_then(Value::as_str).unwrap_or("").chars().take(200).collect()
}

/// Reads an error object that came instead of, or amid, an answer.
pub(crate) fn reported(error: &Value) -> ModelError {
    let text = |key: &str| match error.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let (kind, code) = (text("type"), text("code"));
    let message = error.as_str().map_or_else(|| text("message"), str::to_owned);
    let lasting = [
        "invalid_request",
        "authentication",
        "permission",
        "not_found",
        "too_large",
        "insufficient_quota",
        "billing",
        "context_length",
        "content_policy",
        "invalid_prompt",
        "invalid_argument",
    ];
    let transient = !lasting.iter().any(|word| kind.contains(word) || code.contains(word));
    let kind = [kind, code].into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| "an error".into());
    ModelError::Reported { kind, message, transient }
}

pub(crate) fn malformed(place: &str, reason: &str) -> ModelError {
    ModelError::Malformed { place: place.into(), reason: reason.into() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Message, ToolDef};

    pub(crate) fn conversation() -> Request {
        Request {
            system: "be brief".into(),
            messages: vec![
                Message { role: Role::User, blocks: vec![Block::Text { text: "do it".into() }] },
                Message {
                    role: Role::Assistant,
                    blocks: vec![
                        Block::Text { text: "reading".into() },
                        Block::ToolUse { id: "a".into(), name: "read".into(), input: json!({"path": "x"}) },
                        Block::ToolUse { id: "b".into(), name: "no such".into(), input: arguments("{bad") },
                    ],
                },
                Message {
                    role: Role::User,
                    blocks: vec![
                        Block::ToolResult { id: "a".into(), content: "1: hi".into(), is_error: false },
                        Block::ToolResult { id: "b".into(), content: "what?".into(), is_error: true },
                        Block::Text { text: "go on".into() },
                    ],
                },
            ],
            tools: vec![ToolDef {
                name: "read".into(),
                description: "Reads.".into(),
                input_schema: json!({"type": "object"}),
            }],
            max_tokens: 100,
        }
    }

    #[test]
    fn a_conversation_is_sent_in_the_apis_form() {
        assert_eq!(
            body(&conversation(), "m", true, false),
            json!({
                "model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 100,
                "messages": [
                    {"role": "system", "content": "be brief"},
                    {"role": "user", "content": "do it"},
                    {"role": "assistant", "content": "reading", "tool_calls": [
                        {"id": "a", "type": "function", "function": {"name": "read", "arguments": "{\"path\":\"x\"}"}},
                        {"id": "b", "type": "function",
                         "function": {"name": "no_such", "arguments": "{\"__invalid_json\":\"{bad\"}"}},
                    ]},
                    {"role": "tool", "tool_call_id": "a", "content": "1: hi"},
                    {"role": "tool", "tool_call_id": "b", "content": "ERROR: what?"},
                    {"role": "user", "content": "go on"},
                ],
                "tools": [{"type": "function", "function": {
                    "name": "read", "description": "Reads.", "parameters": {"type": "object"}}}],
            })
        );
        assert_eq!(body(&conversation(), "m", false, true)["max_completion_tokens"], 100);
    }

    #[test]
    fn ids_of_another_server_are_made_fit() {
        assert_eq!(call_id("toolu_01-A"), "toolu_01-A");
        assert_eq!(call_id("gemini_0#c2ln+/="), "gemini_0");
        assert_eq!(call_id("functions.read:0"), "functions_read_0");
    }

    fn stream(chunks: &[Value]) -> Result<Answer, ModelError> {
        let mut stream = Box::new(Stream::default());
        for chunk in chunks {
            stream.event(&chunk.to_string())?;
        }
        stream.finish()
    }

    fn delta(delta: Value) -> Value {
        json!({"model": "m-1", "choices": [{"index": 0, "delta": delta}]})
    }

    #[test]
    fn fragments_of_parallel_calls_are_put_together() {
        let fragment = |index: u64, rest: Value| {
            let mut call = json!({"index": index});
            call.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            delta(json!({"tool_calls": [call]}))
        };
        let answer = stream(&[
            delta(json!({"role": "assistant", "content": "I "})),
            delta(json!({"content": "look"})),
            fragment(0, json!({"id": "a", "function": {"name": "read", "arguments": ""}})),
            fragment(0, json!({"function": {"arguments": "{\"path\""}})),
            fragment(1, json!({"id": "b", "function": {"name": "list", "arguments": ""}})),
            fragment(0, json!({"function": {"arguments": ":\"é\"}"}})),
            json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
            json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 4,
                   "prompt_tokens_details": {"cached_tokens": 6}}}),
        ])
        .unwrap();
        assert_eq!(
            answer,
            Answer {
                blocks: vec![
                    Block::Text { text: "I look".into() },
                    Block::ToolUse { id: "a".into(), name: "read".into(), input: json!({"path": "é"}) },
                    Block::ToolUse { id: "b".into(), name: "list".into(), input: json!({}) },
                ],
                stop: Stop::ToolUse,
                usage: Some(Usage { input: 4, output: 4, cache_read: 6, ..Usage::default() }),
                model: "m-1".into(),
            }
        );
    }

    #[test]
    fn calls_without_index_or_id_are_told_apart() {
        let answer = stream(&[
            delta(json!({"tool_calls": [{"id": "x", "function": {"name": "a", "arguments": "{"}}]})),
            delta(json!({"tool_calls": [{"function": {"arguments": "}"}}]})),
            delta(json!({"tool_calls": [{"id": "y", "function": {"name": "b", "arguments": "[1]"}}]})),
            json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
        ])
        .unwrap();
        assert_eq!(
            answer.blocks,
            [
                Block::ToolUse { id: "x".into(), name: "a".into(), input: json!({}) },
                Block::ToolUse { id: "y".into(), name: "b".into(), input: json!({INVALID_JSON: "[1]"}) },
            ]
        );
        assert_eq!((answer.stop, answer.usage), (Stop::ToolUse, None));
        let answer = stream(&[
            delta(json!({"tool_calls": [{"index": 3, "function": {"name": "a", "arguments": "{}"}}]})),
            json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
        ]);
        assert!(matches!(&answer.unwrap().blocks[0], Block::ToolUse { id, .. } if id == "call_3"));
    }

    #[test]
    fn an_end_without_a_reason_is_a_cut() {
        let error = stream(&[delta(json!({"content": "half an ans"}))]).unwrap_err();
        assert!(matches!(error, ModelError::Truncated { .. }));
        assert!(matches!(stream(&[]).unwrap_err(), ModelError::Truncated { .. }));
    }

    #[test]
    fn reasons_to_stop_are_told_apart() {
        let stop = |finish: &str, message: Value| {
            whole(&json!({"choices": [{"finish_reason": finish, "message": message}]})).unwrap().stop
        };
        assert_eq!(stop("stop", json!({"content": "x"})), Stop::EndTurn);
        assert_eq!(stop("length", json!({"content": "x"})), Stop::MaxTokens);
        assert_eq!(stop("content_filter", json!({"content": "x"})), Stop::Refusal);
        assert_eq!(stop("stop", json!({"content": null, "refusal": "no"})), Stop::Refusal);
        assert_eq!(stop("eos", json!({"content": "x"})), Stop::Other);
        let call = json!({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]});
        assert_eq!(stop("stop", call), Stop::ToolUse, "some servers say stop for calls");
    }

    #[test]
    fn an_error_amid_an_answer_is_classed() {
        let transient = |error: Value| match stream(&[json!({"error": error})]).unwrap_err() {
            ModelError::Reported { transient, .. } => transient,
            other => panic!("{other}"),
        };
        assert!(transient(json!({"type": "server_error", "message": "oops"})));
        assert!(transient(json!("overloaded")));
        assert!(!transient(json!({"type": "invalid_request_error", "message": "no"})));
        assert!(!transient(json!({"code": "context_length_exceeded", "message": "no"})));
    }

    #[test]
    fn a_body_without_choices_is_malformed() {
        for body in [json!({}), json!({"choices": []}), json!({"choices": [{}]}), json!([1]), json!(null)] {
            assert!(matches!(whole(&body).unwrap_err(), ModelError::Malformed { .. }), "{body}");
        }
    }
}
