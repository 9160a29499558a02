//! Anthropic's messages.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::http::{Answer, Assembler};
use crate::openai::{arguments, call_id, malformed, reported, tool_name};
use crate::{Block, INVALID_JSON, ModelError, Request, Role, Stop, Usage};

/// Returns the request's body.
///
/// Two cache marks: after the system prompt (which stands behind the tools, so they are in it), and at the
/// conversation's end, where the next request's prefix will end.
pub(crate) fn body(request: &Request, model: &str, stream: bool) -> Value {
    let mark = json!({"type": "ephemeral"});
    let mut messages: Vec<Value> = Vec::new();
    for message in &request.messages {
        let role = match message.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let mut content: Vec<Value> = message.blocks.iter().filter_map(block).collect();
        if content.is_empty() {
            // An empty message is refused, and leaving it out would break the roles' turns.
            content.push(json!({"type": "text", "text": "(nothing)"}));
        }
        messages.push(json!({"role": role, "content": content}));
    }
    if let Some(last) = messages
        .last_mut()
        .and_then(|message| message["content"].as_array_mut())
        .and_then(|all| all.last_mut())
    {
        last["cache_control"] = mark.clone();
    }
    let mut body = json!({
        "model": model, "max_tokens": request.max_tokens, "stream": stream, "messages": messages,
    });
    if !request.system.trim().is_empty() {
        body["system"] = json!([{"type": "text", "text": request.system, "cache_control": mark}]);
    }
    if !request.tools.is_empty() {
        let tool = |tool: &crate::ToolDef| json!({"name": tool.name, "description": tool.description, "input_schema": tool.input_schema});
        body["tools"] = request.tools.iter().map(tool).collect();
    }
    body
}

fn block(block: &Block) -> Option<Value> {
    match block {
        Block::Text { text } if text.trim().is_empty() => None,
        Block::Text { text } => Some(json!({"type": "text", "text": text})),
        Block::ToolUse { id, name, input } => {
            Some(json!({"type": "tool_use", "id": call_id(id), "name": tool_name(name), "input": input}))
        }
        Block::ToolResult { id, content, is_error } => Some(
            json!({"type": "tool_result", "tool_use_id": call_id(id), "content": content, "is_error": is_error}),
        ),
    }
}

/// Reads a whole answer.
pub(crate) fn whole(body: &Value) -> Result<Answer, ModelError> {
    if let Some(error) = body.get("error").filter(|error| !error.is_null()) {
        return Err(reported(error));
    }
    let content = body
        .get("content")
        .and_then(Value::as_array)
        .ok_or_else(|| malformed("content", "it is not a list"))?;
    let mut blocks = Vec::new();
    for part in content {
        let text = |key: &str| part.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
        match part.get("type").and_then(Value::as_str) {
            Some("text") if !text("text").is_empty() => blocks.push(Block::Text { text: text("text") }),
            Some("tool_use") => {
                let input = match part.get("input") {
                    Some(Value::Object(map)) => Value::Object(map.clone()),
                    Some(Value::Null) | None => json!({}),
                    Some(other) => json!({INVALID_JSON: other.to_string()}),
                };
                blocks.push(Block::ToolUse { id: text("id"), name: text("name"), input });
            }
            // Blocks of kinds we did not ask for carry nothing to act on.
            _ => {}
        }
    }
    name_calls(&mut blocks);
    let mut usage = Option::<Usage>::None;
    take_usage(body.get("usage"), &mut usage);
    let reason = body.get("stop_reason").and_then(Value::as_str).unwrap_or("end_turn");
    Ok(Answer { stop: stop(reason), blocks, usage, model: model(body) })
}

/// Puts a streamed answer together.
#[derive(Default)]
pub(crate) struct Stream {
    blocks: BTreeMap<u64, Part>,
    open: Option<u64>,
    stop: Option<String>,
    usage: Option<Usage>,
    output_known: bool,
    model: String,
    done: bool,
}

enum Part {
    Text(String),
    Call { id: String, name: String, input: Value, json: String },
    Other,
}

impl Assembler for Stream {
    fn event(&mut self, data: &str) -> Result<bool, ModelError> {
        let event: Value = serde_json::from_str(data).map_err(|error| {
            malformed(&format!("line {} column {}", error.line(), error.column()), "it is not JSON")
        })?;
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
        let index = event.get("index").and_then(Value::as_u64).unwrap_or(0);
        match event.get("type").and_then(Value::as_str) {
            Some("message_start") => {
                if let Some(message) = event.get("message") {
                    self.model = model(message);
                    take_usage(message.get("usage"), &mut self.usage);
                }
            }
            Some("content_block_start") => {
                let part = match text("/content_block/type").as_str() {
                    "text" => Part::Text(text("/content_block/text")),
                    "tool_use" => Part::Call {
                        id: text("/content_block/id"),
                        name: text("/content_block/name"),
                        input: event.pointer("/content_block/input").cloned().unwrap_or(Value::Null),
                        json: String::new(),
                    },
                    _ => Part::Other,
                };
                self.blocks.insert(index, part);
                self.open = Some(index);
            }
            Some("content_block_delta") => {
                let part = self
                    .blocks
                    .get_mut(&index)
                    .ok_or_else(|| malformed("content_block_delta", "its block was not begun"))?;
                match (part, text("/delta/type").as_str()) {
                    (Part::Text(all), "text_delta") => all.push_str(&text("/delta/text")),
                    (Part::Call { json, .. }, "input_json_delta") => {
                        json.push_str(&text("/delta/partial_json"));
                    }
                    _ => {}
                }
            }
            Some("content_block_stop") => self.open = None,
            Some("message_delta") => {
                if let Some(reason) = event.pointer("/delta/stop_reason").and_then(Value::as_str) {
                    self.stop = Some(reason.to_owned());
                }
                if event.get("usage").is_some() {
                    self.output_known = true;
                }
                take_usage(event.get("usage"), &mut self.usage);
            }
            Some("message_stop") => {
                self.done = true;
                return Ok(true);
            }
            Some("error") => return Err(reported(event.get("error").unwrap_or(&Value::Null))),
            // `ping`, and what later versions add.
            _ => {}
        }
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Result<Answer, ModelError> {
        let cut = |place: &str| ModelError::Truncated { place: place.into(), source: None };
        if self.open.is_some() {
            return Err(cut("within a block"));
        }
        let Some(reason) = self.stop.filter(|_| self.done) else {
            return Err(cut("before its end was announced"));
        };
        let mut blocks = Vec::new();
        for part in self.blocks.into_values() {
            match part {
                Part::Text(text) if text.is_empty() => {}
                Part::Text(text) => blocks.push(Block::Text { text }),
                Part::Call { id, name, input, json } => {
                    let input = match input {
                        Value::Object(map) if json.is_empty() => Value::Object(map),
                        _ => arguments(&json),
                    };
                    blocks.push(Block::ToolUse { id, name, input });
                }
                Part::Other => {}
            }
        }
        name_calls(&mut blocks);
        // The usage at a message's begin counts hardly any output; without the end's it is too low to use.
        let usage = self.usage.filter(|_| self.output_known);
        Ok(Answer { stop: stop(&reason), blocks, usage, model: self.model })
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

fn name_calls(blocks: &mut [Block]) {
    for (index, block) in blocks.iter_mut().enumerate() {
        if let Block::ToolUse { id, .. } = block
            && id.is_empty()
        {
            *id = format!("call_{index}");
        }
    }
}

/// Takes the numbers that are named; a stream's end repeats only some of those at its begin.
fn take_usage(value: Option<&Value>, usage: &mut Option<Usage>) {
    let Some(value) = value.filter(|value| value.is_object()) else { return };
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    let mut sum = usage.unwrap_or_default();
    sum.input = number("input_tokens").unwrap_or(sum.input);
    sum.output = number("output_tokens").unwrap_or(sum.output);
    sum.cache_read = number("cache_read_input_tokens").unwrap_or(sum.cache_read);
    sum.cache_write = number("cache_creation_input_tokens").unwrap_or(sum.cache_write);
    *usage = Some(sum);
}

fn stop(reason: &str) -> Stop {
    match reason {
        "end_turn" | "stop_sequence" => Stop::EndTurn,
        "tool_use" => Stop::ToolUse,
        "max_tokens" | "model_context_window_exceeded" => Stop::MaxTokens,
        "refusal" => Stop::Refusal,
        _ => Stop::Other,
    }
}

fn model(body: &Value) -> String {
    body.get("model").and_then(Value::as_str).unwrap_or("").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, ToolDef};

    #[test]
    fn a_conversation_is_sent_in_the_apis_form_with_two_cache_marks() {
        let request = Request {
            system: "be brief".into(),
            messages: vec![
                Message { role: Role::User, blocks: vec![Block::Text { text: "do it".into() }] },
                Message {
                    role: Role::Assistant,
                    blocks: vec![
                        Block::Text { text: " ".into() },
                        Block::ToolUse { id: "a".into(), name: "read".into(), input: json!({"path": "x"}) },
                    ],
                },
                Message {
                    role: Role::User,
                    blocks: vec![Block::ToolResult { id: "a".into(), content: "no".into(), is_error: true }],
                },
                Message { role: Role::Assistant, blocks: vec![] },
                Message { role: Role::User, blocks: vec![Block::Text { text: "go on".into() }] },
            ],
            tools: vec![ToolDef {
                name: "read".into(),
                description: "Reads.".into(),
                input_schema: json!({"type": "object"}),
            }],
            max_tokens: 100,
        };
        assert_eq!(
            body(&request, "m", true),
            json!({
                "model": "m", "max_tokens": 100, "stream": true,
                "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "do it"}]},
                    {"role": "assistant", "content": [
                        {"type": "tool_use", "id": "a", "name": "read", "input": {"path": "x"}}]},
                    {"role": "user", "content": [
                        {"type": "tool_result", "tool_use_id": "a", "content": "no", "is_error": true}]},
                    {"role": "assistant", "content": [{"type": "text", "text": "(nothing)"}]},
                    {"role": "user", "content": [
                        {"type": "text", "text": "go on", "cache_control": {"type": "ephemeral"}}]},
                ],
                "tools": [{"name": "read", "description": "Reads.", "input_schema": {"type": "object"}}],
            })
        );
    }

    fn events() -> Vec<Value> {
        vec![
            json!({"type": "message_start", "message": {"model": "c-1", "usage": {
                "input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 7,
                "cache_creation_input_tokens": 3}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "I lo"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ok"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "content_block_start", "index": 1,
                   "content_block": {"type": "tool_use", "id": "a", "name": "read", "input": {}}}),
            json!({"type": "content_block_delta", "index": 1,
                   "delta": {"type": "input_json_delta", "partial_json": "{\"pa"}}),
            json!({"type": "content_block_delta", "index": 1,
                   "delta": {"type": "input_json_delta", "partial_json": "th\":\"x\"}"}}),
            json!({"type": "content_block_stop", "index": 1}),
            json!({"type": "content_block_start", "index": 2,
                   "content_block": {"type": "tool_use", "id": "b", "name": "list", "input": {}}}),
            json!({"type": "content_block_stop", "index": 2}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
            json!({"type": "message_stop"}),
        ]
    }

    fn stream(events: &[Value]) -> Result<Answer, ModelError> {
        let mut stream = Box::new(Stream::default());
        for event in events {
            stream.event(&event.to_string())?;
        }
        stream.finish()
    }

    #[test]
    fn a_stream_is_put_together() {
        assert_eq!(
            stream(&events()).unwrap(),
            Answer {
                blocks: vec![
                    Block::Text { text: "I look".into() },
                    Block::ToolUse { id: "a".into(), name: "read".into(), input: json!({"path": "x"}) },
                    Block::ToolUse { id: "b".into(), name: "list".into(), input: json!({}) },
                ],
                stop: Stop::ToolUse,
                usage: Some(Usage { input: 10, output: 9, cache_read: 7, cache_write: 3, estimated: false }),
                model: "c-1".into(),
            }
        );
    }

    #[test]
    fn a_stream_cut_anywhere_is_a_cut() {
        let events = events();
        for length in 0..events.len() {
            let error = stream(&events[..length]).unwrap_err();
            assert!(matches!(error, ModelError::Truncated { .. }), "after {length} events: {error}");
        }
    }

    #[test]
    fn input_that_is_no_object_is_marked() {
        let mut events = events();
        events[8] = json!({"type": "content_block_delta", "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": "th\": oops"}});
        assert!(matches!(
            &stream(&events).unwrap().blocks[1],
            Block::ToolUse { input, .. } if *input == json!({INVALID_JSON: "{\"path\": oops"})
        ));
    }

    #[test]
    fn an_overload_amid_an_answer_may_pass_and_a_bad_request_may_not() {
        let transient = |kind: &str| match stream(&[json!({"type": "error", "error": {"type": kind}})]) {
            Err(ModelError::Reported { transient, .. }) => transient,
            other => panic!("{other:?}"),
        };
        assert!(transient("overloaded_error"));
        assert!(transient("api_error"));
        assert!(!transient("invalid_request_error"));
    }

    #[test]
    fn a_whole_answer_is_read_and_unknown_blocks_are_left_out() {
        let answer = whole(&json!({
            "model": "c", "stop_reason": "max_tokens", "usage": {"input_tokens": 1, "output_tokens": 2},
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "x"},
                        {"type": "tool_use", "id": "", "name": "read", "input": "text"}],
        }))
        .unwrap();
        assert_eq!(
            answer.blocks,
            [
                Block::Text { text: "x".into() },
                Block::ToolUse {
                    id: "call_1".into(),
                    name: "read".into(),
                    input: json!({INVALID_JSON: "\"text\""})
                },
            ]
        );
        assert_eq!(answer.stop, Stop::MaxTokens);
        for body in [json!({}), json!({"content": "x"}), json!(null)] {
            assert!(matches!(whole(&body).unwrap_err(), ModelError::Malformed { .. }), "{body}");
        }
    }
}
