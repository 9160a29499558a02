//! OpenAI's responses, whole and streamed, as its own and other servers speak them.
//!
//! Nothing is kept on the server (`store: false`): every request carries the whole conversation, as on the other wires.
//! What a model thought between its calls is therefore not handed back to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::http::{Answer, Assembler};
use crate::openai::{arguments, call_id, malformed, model, reported, tool_name};
use crate::{Block, ModelError, Request, Role, Stop, Usage};

/// The fewest tokens that the API lets an answer be bounded to.
const LEAST_TOKENS: u32 = 16;

/// Returns the request's body.
pub(crate) fn body(request: &Request, model: &str, stream: bool) -> Value {
    let mut input = Vec::new();
    for message in &request.messages {
        match message.role {
            Role::User => user(&message.blocks, &mut input),
            Role::Assistant => assistant(&message.blocks, &mut input),
        }
    }
    let mut body = json!({
        "model": model, "input": input, "max_output_tokens": request.max_tokens.max(LEAST_TOKENS),
        "stream": stream, "store": false,
    });
    if !request.system.trim().is_empty() {
        body["instructions"] = request.system.clone().into();
    }
    if !request.tools.is_empty() {
        // Strict schemas are the default of this API alone, and make an optional argument a required one.
        let tool = |tool: &crate::ToolDef| {
            json!({"type": "function", "name": tool.name, "description": tool.description,
                   "parameters": tool.input_schema, "strict": false})
        };
        body["tools"] = request.tools.iter().map(tool).collect();
    }
    body
}

/// Results first, as they follow their calls.
fn user(blocks: &[Block], input: &mut Vec<Value>) {
    let mut texts = Vec::new();
    for block in blocks {
        match block {
            Block::Text { text } => texts.push(text.as_str()),
            Block::ToolResult { id, content, is_error } => {
                // There is no field for failure here; the word has to say it.
                let output = if *is_error { format!("ERROR: {content}") } else { content.clone() };
                input.push(json!({"type": "function_call_output", "call_id": call_id(id), "output": output}));
            }
            Block::ToolUse { .. } => {}
        }
    }
    if !texts.is_empty() {
        input.push(json!({"role": "user", "content": texts.join("\n\n")}));
    }
}

fn assistant(blocks: &[Block], input: &mut Vec<Value>) {
    for block in blocks {
        match block {
            Block::Text { text } if text.is_empty() => {}
            Block::Text { text } => input.push(json!({"role": "assistant", "content": text})),
            // The item's own id is left out: with it the server would ask for the thoughts that led to the call.
            Block::ToolUse { id, name, input: arguments } => input.push(json!({
                "type": "function_call", "call_id": call_id(id), "name": tool_name(name), "arguments": arguments.to_string(),
            })),
            Block::ToolResult { .. } => {}
        }
    }
}

/// Reads a whole answer.
pub(crate) fn whole(body: &Value) -> Result<Answer, ModelError> {
    if let Some(error) = body.get("error").filter(|error| !error.is_null()) {
        return Err(reported(error));
    }
    let items =
        body.get("output").and_then(Value::as_array).ok_or_else(|| malformed("output", "it is no list"))?;
    answer(body, items.iter())
}

/// Makes an answer of a response and its items, which a stream may have told of before.
fn answer<'a>(response: &Value, items: impl Iterator<Item = &'a Value>) -> Result<Answer, ModelError> {
    let status = response.get("status").and_then(Value::as_str).unwrap_or("completed");
    if !matches!(status, "completed" | "incomplete") {
        return Err(match status {
            "failed" | "cancelled" => ModelError::Reported {
                kind: status.into(),
                message: "without a reason".into(),
                transient: true,
            },
            _ => malformed("status", "it is none of an answer that has ended"),
        });
    }
    let (mut blocks, mut calls, mut refused) = (Vec::new(), 0, false);
    for item in items {
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or("");
        match item.get("type").and_then(Value::as_str) {
            Some("message") => {
                let mut said = String::new();
                for part in item.get("content").and_then(Value::as_array).into_iter().flatten() {
                    let text = |key: &str| part.get(key).and_then(Value::as_str).unwrap_or("");
                    refused |= part.get("type").and_then(Value::as_str) == Some("refusal");
                    said.push_str(text("text"));
                    said.push_str(text("refusal"));
                }
                if !said.is_empty() {
                    blocks.push(Block::Text { text: said });
                }
            }
            Some("function_call") => {
                let id = [text("call_id"), text("id")].into_iter().find(|id| !id.is_empty());
                let id = id.map_or_else(|| format!("call_{calls}"), str::to_owned);
                let input = match item.get("arguments") {
                    Some(Value::String(text)) => arguments(text),
                    Some(Value::Null) | None => json!({}),
                    Some(other) => arguments(&other.to_string()),
                };
                calls += 1;
                blocks.push(Block::ToolUse { id, name: text("name").into(), input });
            }
            // Thoughts and calls of the server's own tools: nothing to act on.
            _ => {}
        }
    }
    let reason = response.pointer("/incomplete_details/reason").and_then(Value::as_str);
    let stop = match (status, reason) {
        _ if refused => Stop::Refusal,
        (_, Some("content_filter")) => Stop::Refusal,
        ("incomplete", _) => Stop::MaxTokens,
        _ if calls > 0 => Stop::ToolUse,
        _ => Stop::EndTurn,
    };
    Ok(Answer { blocks, stop, usage: usage(response.get("usage")), model: model(response) })
}

/// Puts a streamed answer together.
#[derive(Default)]
pub(crate) struct Stream {
    /// By their place in the answer; what their deltas said so far, then the whole item.
    items: BTreeMap<u64, Value>,
    /// The response as the last event had it.
    end: Option<Value>,
    usage: Option<Usage>,
}

impl Assembler for Stream {
    fn event(&mut self, data: &str) -> Result<bool, ModelError> {
        if data.trim() == "[DONE]" {
            return Ok(true);
        }
        let mut event: Value = serde_json::from_str(data).map_err(|error| {
            malformed(&format!("line {} column {}", error.line(), error.column()), "it is not JSON")
        })?;
        let kind = event.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
        let place = event.get("output_index").and_then(Value::as_u64).unwrap_or(0);
        match kind.as_str() {
            "response.output_item.added" | "response.output_item.done" => {
                if let Some(item) = event.get_mut("item").filter(|item| item.is_object()) {
                    self.items.insert(place, item.take());
                }
            }
            "response.output_text.delta" | "response.refusal.delta" => {
                let kind = if kind.contains("refusal") { "refusal" } else { "text" };
                let part = event.get("content_index").and_then(Value::as_u64).unwrap_or(0);
                self.said(place, part, kind, &event);
            }
            "response.function_call_arguments.delta" => {
                if let (Some(item), Some(more)) = (self.items.get_mut(&place), event["delta"].as_str()) {
                    append(&mut item["arguments"], more);
                }
            }
            "response.function_call_arguments.done" => {
                if let (Some(item), Some(all)) = (self.items.get_mut(&place), event["arguments"].as_str()) {
                    item["arguments"] = all.into();
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                let response = event.get_mut("response").map_or(Value::Null, Value::take);
                self.usage = usage(response.get("usage"));
                if let Some(error) = response.get("error").filter(|error| !error.is_null()) {
                    return Err(reported(error));
                }
                if !response.is_object() {
                    return Err(malformed("response", "it is no object"));
                }
                self.end = Some(response);
                return Ok(true);
            }
            "error" => {
                let nested = event.get("error").filter(|error| !error.is_null());
                let flat = json!({"code": event["code"], "message": event["message"]});
                return Err(reported(nested.unwrap_or(&flat)));
            }
            _ => {
                // Servers of other APIs name an error this way.
                if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
                    return Err(reported(error));
                }
            }
        }
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Result<Answer, ModelError> {
        let Some(end) = self.end else {
            return Err(ModelError::Truncated { place: "before its last event".into(), source: None });
        };
        // The last event tells all again, but not on every server.
        match end.get("output").and_then(Value::as_array).filter(|items| !items.is_empty()) {
            Some(items) => answer(&end, items.iter()),
            None => answer(&end, self.items.values()),
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

impl Stream {
    /// Takes a piece of text for a part of a message, whose beginning need not have been told.
    fn said(&mut self, place: u64, part: u64, kind: &str, event: &Value) {
        let Some(more) = event["delta"].as_str() else { return };
        let item = self.items.entry(place).or_insert_with(|| json!({"type": "message", "content": []}));
        if !item["content"].is_array() {
            item["content"] = json!([]);
        }
        let Some(parts) = item["content"].as_array_mut() else { return };
        // A place far beyond what was told would be filled up with nothing.
        let part = usize::try_from(part).unwrap_or(usize::MAX).min(parts.len());
        let new = || json!({"type": if kind == "text" { "output_text" } else { kind }});
        match parts.get_mut(part) {
            Some(part) if !part.is_object() => *part = new(),
            Some(_) => {}
            None => parts.push(new()),
        }
        append(&mut parts[part][kind], more);
    }
}

/// Makes a text longer in place: a copy of it with every piece would cost the square of its size.
fn append(text: &mut Value, more: &str) {
    match text {
        Value::String(text) => text.push_str(more),
        other => *other = more.into(),
    }
}

fn usage(value: Option<&Value>) -> Option<Usage> {
    let number = |pointer: &str| value?.pointer(pointer)?.as_u64();
    let cached = number("/input_tokens_details/cached_tokens").unwrap_or(0);
    Some(Usage::of(number("/input_tokens")?, cached, number("/output_tokens").unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::INVALID_JSON;
    use crate::openai::tests::conversation;

    #[test]
    fn a_conversation_is_sent_in_the_apis_form() {
        assert_eq!(
            body(&conversation(), "m", true),
            json!({
                "model": "m", "stream": true, "store": false, "max_output_tokens": 100, "instructions": "be brief",
                "input": [
                    {"role": "user", "content": "do it"},
                    {"role": "assistant", "content": "reading"},
                    {"type": "function_call", "call_id": "a", "name": "read", "arguments": "{\"path\":\"x\"}"},
                    {"type": "function_call", "call_id": "b", "name": "no_such",
                     "arguments": "{\"__invalid_json\":\"{bad\"}"},
                    {"type": "function_call_output", "call_id": "a", "output": "1: hi"},
                    {"type": "function_call_output", "call_id": "b", "output": "ERROR: what?"},
                    {"role": "user", "content": "go on"},
                ],
                "tools": [{"type": "function", "name": "read", "description": "Reads.",
                           "parameters": {"type": "object"}, "strict": false}],
            })
        );
        let few = Request { max_tokens: 3, ..conversation() };
        assert_eq!(body(&few, "m", false)["max_output_tokens"], 16, "the API refuses fewer");
    }

    fn stream(events: &[Value]) -> Result<Answer, ModelError> {
        let mut stream = Box::new(Stream::default());
        for event in events {
            if stream.event(&event.to_string())? {
                break;
            }
        }
        stream.finish()
    }

    fn completed(rest: Value) -> Value {
        let mut response = json!({"status": "completed", "model": "m-1", "output": []});
        response.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!({"type": "response.completed", "response": response})
    }

    /// Some servers tell of the items as they come and of none at the end.
    #[test]
    fn items_that_the_last_event_leaves_out_are_those_that_came() {
        let answer = stream(&[
            json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "I "}),
            json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "look"}),
            json!({"type": "response.output_item.added", "output_index": 1,
                   "item": {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "read", "arguments": ""}}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{\"path\""}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": ":1}"}),
            json!({"type": "response.output_item.done", "output_index": 2,
                   "item": {"type": "function_call", "id": "fc_2", "name": "list", "arguments": "[1]"}}),
            completed(json!({"usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 6},
                             "output_tokens": 4}})),
        ])
        .unwrap();
        assert_eq!(
            answer,
            Answer {
                blocks: vec![
                    Block::Text { text: "I look".into() },
                    Block::ToolUse { id: "a".into(), name: "read".into(), input: json!({"path": 1}) },
                    Block::ToolUse {
                        id: "fc_2".into(),
                        name: "list".into(),
                        input: json!({INVALID_JSON: "[1]"})
                    },
                ],
                stop: Stop::ToolUse,
                usage: Some(Usage { input: 4, output: 4, cache_read: 6, ..Usage::default() }),
                model: "m-1".into(),
            }
        );
    }

    #[test]
    fn reasons_to_stop_are_told_apart() {
        let stop = |rest: Value| {
            let mut body = completed(rest)["response"].take();
            if body["output"].as_array().unwrap().is_empty() {
                body["output"] =
                    json!([{"type": "message", "content": [{"type": "output_text", "text": "x"}]}]);
            }
            whole(&body).unwrap().stop
        };
        assert_eq!(stop(json!({})), Stop::EndTurn);
        assert_eq!(
            stop(json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}})),
            Stop::MaxTokens
        );
        assert_eq!(stop(json!({"status": "incomplete", "incomplete_details": null})), Stop::MaxTokens);
        assert_eq!(
            stop(json!({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}})),
            Stop::Refusal
        );
        let call = json!({"output": [{"type": "function_call", "name": "f", "arguments": "{}"}]});
        assert_eq!(stop(call), Stop::ToolUse);
    }

    /// A refusal is a part of a message of its own kind; streamed it comes in pieces.
    #[test]
    fn a_refusal_is_told_with_its_words() {
        let piece = |delta: &str| json!({"type": "response.refusal.delta", "output_index": 0, "content_index": 0, "delta": delta});
        let answer = stream(&[piece("I can't "), piece("do that."), completed(json!({}))]).unwrap();
        assert_eq!(
            (answer.blocks, answer.stop),
            (vec![Block::Text { text: "I can't do that.".into() }], Stop::Refusal)
        );
        let part = json!({"type": "refusal", "refusal": "No."});
        let body = json!({"status": "completed", "output": [{"type": "message", "content": [part]}]});
        assert_eq!(whole(&body).unwrap().stop, Stop::Refusal);
    }

    #[test]
    fn an_end_without_the_last_event_is_a_cut() {
        let delta = json!({"type": "response.output_text.delta", "output_index": 0, "delta": "half an ans"});
        for events in [vec![], vec![delta]] {
            assert!(matches!(stream(&events).unwrap_err(), ModelError::Truncated { .. }));
        }
    }

    #[test]
    fn failures_are_classed_in_each_of_their_forms() {
        let transient = |event: Value| match stream(&[event]).unwrap_err() {
            ModelError::Reported { transient, kind, .. } => (transient, kind),
            other => panic!("{other}"),
        };
        let failed = |code: &str| {
            json!({"type": "response.failed",
                   "response": {"status": "failed", "error": {"code": code, "message": "no"}, "output": []}})
        };
        assert_eq!(transient(failed("server_error")), (true, "server_error".into()));
        assert_eq!(transient(failed("rate_limit_exceeded")), (true, "rate_limit_exceeded".into()));
        assert_eq!(transient(failed("invalid_prompt")), (false, "invalid_prompt".into()));
        assert_eq!(
            transient(json!({"type": "error", "code": "server_error", "message": "oops", "param": null})),
            (true, "server_error".into())
        );
        assert_eq!(
            transient(json!({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}})),
            (false, "invalid_request_error".into())
        );
        assert_eq!(
            transient(json!({"type": "response.failed", "response": {"status": "failed", "error": null}})),
            (true, "failed".into())
        );
    }

    #[test]
    fn a_body_without_items_is_malformed() {
        for body in [json!({}), json!({"output": 3}), json!({"status": "queued", "output": []}), json!(null)]
        {
            assert!(matches!(whole(&body).unwrap_err(), ModelError::Malformed { .. }), "{body}");
        }
    }

    /// Places are the server's word: none of them makes us hold more than was sent.
    #[test]
    fn a_place_beyond_all_others_is_no_room_taken() {
        let far = json!({"type": "response.output_text.delta", "output_index": u64::MAX, "content_index": u64::MAX,
                         "delta": "x"});
        let answer = stream(&[far, completed(json!({}))]).unwrap();
        assert_eq!(answer.blocks, [Block::Text { text: "x".into() }]);
    }
}
