//! Google's Gemini: `generateContent`, whole and streamed.
//!
//! Its calls need no id, and carry a signature that newer models refuse to be without when the call is told again. Both are
//! kept in the id of a [`Block::ToolUse`]: `ID#SIGNATURE`, with an id of ours where there is none.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::http::{Answer, Assembler};
use crate::openai::{malformed, reported, tool_name};
use crate::{Block, INVALID_JSON, ModelError, Request, Role, Stop, Usage};

/// What ids begin with that are ours and not the server's.
const OURS: &str = "gemini_";

/// Returns the request's body.
pub(crate) fn body(request: &Request) -> Value {
    let mut names = BTreeMap::new();
    let mut contents = Vec::new();
    for message in &request.messages {
        let role = match message.role {
            Role::User => "user",
            Role::Assistant => "model",
        };
        let mut parts = Vec::new();
        for block in &message.blocks {
            match block {
                Block::Text { text } if text.is_empty() => {}
                Block::Text { text } => parts.push(json!({"text": text})),
                Block::ToolUse { id, name, input } => {
                    names.insert(id.as_str(), name.as_str());
                    parts.push(call(id, name, input));
                }
                Block::ToolResult { id, content, is_error } => {
                    let name = names.get(id.as_str()).copied().unwrap_or_default();
                    let key = if *is_error { "error" } else { "output" };
                    let mut response = json!({"name": tool_name(name), "response": {key: content}});
                    name_call(&mut response, id);
                    parts.push(json!({"functionResponse": response}));
                }
            }
        }
        if parts.is_empty() {
            // An empty message is refused, and leaving it out would break the roles' turns.
            parts.push(json!({"text": "(nothing)"}));
        }
        contents.push(json!({"role": role, "parts": parts}));
    }
    let mut body = json!({"contents": contents, "generationConfig": {"maxOutputTokens": request.max_tokens}});
    if !request.system.trim().is_empty() {
        body["systemInstruction"] = json!({"parts": [{"text": request.system}]});
    }
    if !request.tools.is_empty() {
        let tool = |tool: &crate::ToolDef| json!({"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.input_schema});
        body["tools"] = json!([{"functionDeclarations": request.tools.iter().map(tool).collect::<Vec<_>>()}]);
    }
    body
}

fn call(id: &str, name: &str, input: &Value) -> Value {
    let mut call = json!({"name": tool_name(name), "args": input});
    name_call(&mut call, id);
    let mut part = json!({"functionCall": call});
    if let Some((_, signature)) = id.split_once('#') {
        part["thoughtSignature"] = signature.into();
    }
    part
}

/// Gives a call or its result the server's id, where it had one.
fn name_call(call: &mut Value, id: &str) {
    let id = id.split('#').next().unwrap_or("");
    if !id.starts_with(OURS) {
        call["id"] = id.into();
    }
}

/// Reads a whole answer.
pub(crate) fn whole(body: &Value) -> Result<Answer, ModelError> {
    let mut parts = Parts::default();
    parts.take(body)?;
    if parts.finish.is_none() {
        return Err(malformed("candidates", "there is none that has ended"));
    }
    parts.answer()
}

/// Puts a streamed answer together.
#[derive(Default)]
pub(crate) struct Stream(Parts);

impl Assembler for Stream {
    fn event(&mut self, data: &str) -> Result<bool, ModelError> {
        let chunk: Value = serde_json::from_str(data).map_err(|error| {
            malformed(&format!("line {} column {}", error.line(), error.column()), "it is not JSON")
        })?;
        self.0.take(&chunk)?;
        Ok(self.0.finish.is_some())
    }

    fn finish(self: Box<Self>) -> Result<Answer, ModelError> {
        if self.0.finish.is_none() {
            return Err(ModelError::Truncated {
                place: "before the reason for its end".into(),
                source: None,
            });
        }
        self.0.answer()
    }

    fn usage(&self) -> Option<Usage> {
        self.0.usage
    }
}

/// What was said so far.
#[derive(Default)]
struct Parts {
    blocks: Vec<Block>,
    calls: usize,
    finish: Option<String>,
    usage: Option<Usage>,
    model: String,
}

impl Parts {
    fn take(&mut self, chunk: &Value) -> Result<(), ModelError> {
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            // Its names for errors are in `status`: INVALID_ARGUMENT, UNAVAILABLE.
            let status = error.get("status").and_then(Value::as_str).map(str::to_lowercase);
            let message = error.get("message").cloned().unwrap_or_default();
            return Err(match status {
                Some(status) => reported(&json!({"type": status, "message": message})),
                None => reported(error),
            });
        }
        if let Some(usage) = usage(chunk.get("usageMetadata")) {
            self.usage = Some(usage);
        }
        if let Some(model) = chunk.get("modelVersion").and_then(Value::as_str) {
            self.model = model.chars().take(200).collect();
        }
        let Some(candidate) = chunk.pointer("/candidates/0") else {
            // A question that its filter refuses has no candidates.
            if chunk.pointer("/promptFeedback/blockReason").is_some_and(Value::is_string) {
                self.finish = Some("PROMPT_BLOCKED".into());
            }
            return Ok(());
        };
        for part in candidate.pointer("/content/parts").and_then(Value::as_array).into_iter().flatten() {
            self.take_part(part);
        }
        if let Some(finish) = candidate.get("finishReason").and_then(Value::as_str) {
            self.finish = Some(finish.to_owned());
        }
        Ok(())
    }

    fn take_part(&mut self, part: &Value) {
        let thought = part.get("thought").and_then(Value::as_bool).unwrap_or(false);
        if let Some(more) =
            part.get("text").and_then(Value::as_str).filter(|text| !thought && !text.is_empty())
        {
            match self.blocks.last_mut() {
                Some(Block::Text { text }) => text.push_str(more),
                _ => self.blocks.push(Block::Text { text: more.to_owned() }),
            }
        }
        let Some(call) = part.get("functionCall").filter(|call| call.is_object()) else { return };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").to_owned();
        let mut id = text(call.get("id"));
        if id.is_empty() {
            id = format!("{OURS}{}", self.calls);
        }
        if let Some(signature) = part.get("thoughtSignature").and_then(Value::as_str) {
            id = format!("{id}#{signature}");
        }
        let input = match call.get("args") {
            Some(Value::Object(map)) => Value::Object(map.clone()),
            Some(Value::Null) | None => json!({}),
            Some(other) => json!({INVALID_JSON: other.to_string()}),
        };
        self.calls += 1;
        self.blocks.push(Block::ToolUse { id, name: text(call.get("name")), input });
    }

    fn answer(self) -> Result<Answer, ModelError> {
        let stop = match self.finish.as_deref().unwrap_or("") {
            "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" => {
                return Err(ModelError::Reported {
                    kind: "a malformed call".into(),
                    message: "the model called a tool in no form that its provider knows".into(),
                    transient: true,
                });
            }
            "MAX_TOKENS" => Stop::MaxTokens,
            "PROMPT_BLOCKED" | "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => {
                Stop::Refusal
            }
            _ if self.calls > 0 => Stop::ToolUse,
            "STOP" => Stop::EndTurn,
            _ => Stop::Other,
        };
        Ok(Answer { blocks: self.blocks, stop, usage: self.usage, model: self.model })
    }
}

/// Thoughts are paid for as output.
fn usage(value: Option<&Value>) -> Option<Usage> {
    let number = |key: &str| value?.get(key)?.as_u64();
    let or_none = |key: &str| number(key).unwrap_or(0);
    let output = or_none("candidatesTokenCount").saturating_add(or_none("thoughtsTokenCount"));
    Some(Usage::of(number("promptTokenCount")?, or_none("cachedContentTokenCount"), output))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::tests::conversation;

    #[test]
    fn numbers_beyond_all_sums_are_the_largest_one() {
        let told = json!({"promptTokenCount": 3, "cachedContentTokenCount": 9, "candidatesTokenCount": u64::MAX, "thoughtsTokenCount": 1});
        let usage = usage(Some(&told));
        assert_eq!(usage, Some(Usage { output: u64::MAX, cache_read: 3, ..Usage::default() }));
    }

    #[test]
    fn a_conversation_is_sent_in_the_apis_form() {
        assert_eq!(
            body(&conversation()),
            json!({
                "systemInstruction": {"parts": [{"text": "be brief"}]},
                "generationConfig": {"maxOutputTokens": 100},
                "contents": [
                    {"role": "user", "parts": [{"text": "do it"}]},
                    {"role": "model", "parts": [
                        {"text": "reading"},
                        {"functionCall": {"id": "a", "name": "read", "args": {"path": "x"}}},
                        {"functionCall": {"id": "b", "name": "no_such", "args": {"__invalid_json": "{bad"}}},
                    ]},
                    {"role": "user", "parts": [
                        {"functionResponse": {"id": "a", "name": "read", "response": {"output": "1: hi"}}},
                        {"functionResponse": {"id": "b", "name": "no_such", "response": {"error": "what?"}}},
                        {"text": "go on"},
                    ]},
                ],
                "tools": [{"functionDeclarations": [
                    {"name": "read", "description": "Reads.", "parametersJsonSchema": {"type": "object"}}]}],
            })
        );
    }

    /// What came with a call goes back with it, and an id of ours to nobody.
    #[test]
    fn a_calls_signature_goes_back_with_it() {
        let part =
            json!({"functionCall": {"name": "read", "args": {"path": "x"}}, "thoughtSignature": "c2ln#+/="});
        let answer = whole(&json!({"candidates": [
            {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}]}))
        .unwrap();
        let Block::ToolUse { id, .. } = &answer.blocks[0] else { panic!("{answer:?}") };
        assert_eq!(id, "gemini_0#c2ln#+/=");
        let result = Block::ToolResult { id: id.clone(), content: "hi".into(), is_error: false };
        let message = |role, block: &Block| crate::Message { role, blocks: vec![block.clone()] };
        let messages = vec![message(Role::Assistant, &answer.blocks[0]), message(Role::User, &result)];
        let sent = body(&Request { messages, ..conversation() });
        assert_eq!(sent["contents"][0]["parts"], json!([part]));
        let response = json!({"functionResponse": {"name": "read", "response": {"output": "hi"}}});
        assert_eq!(sent["contents"][1]["parts"], json!([response]));
    }

    #[test]
    fn reasons_to_stop_are_told_apart() {
        let answer = |finish: &str| {
            let content = json!({"parts": [{"text": "x"}]});
            whole(&json!({"candidates": [{"content": content, "finishReason": finish}]}))
        };
        let stop = |finish: &str| answer(finish).unwrap().stop;
        assert_eq!(stop("STOP"), Stop::EndTurn);
        assert_eq!(stop("MAX_TOKENS"), Stop::MaxTokens);
        assert_eq!(stop("SAFETY"), Stop::Refusal);
        assert_eq!(stop("SOMETHING_NEW"), Stop::Other);
        assert!(answer("MALFORMED_FUNCTION_CALL").unwrap_err().is_transient());
        let blocked = whole(&json!({"promptFeedback": {"blockReason": "SAFETY"}})).unwrap();
        assert_eq!((blocked.blocks.len(), blocked.stop), (0, Stop::Refusal));
    }

    #[test]
    fn thoughts_are_no_words_and_are_paid_for() {
        let answer = whole(&json!({
            "candidates": [{"content": {"parts": [{"text": "hm", "thought": true}, {"text": "Yes."}]},
                            "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 2,
                              "thoughtsTokenCount": 30},
        }))
        .unwrap();
        assert_eq!(answer.blocks, [Block::Text { text: "Yes.".into() }]);
        assert_eq!(answer.usage, Some(Usage { input: 6, output: 32, cache_read: 4, ..Usage::default() }));
    }

    #[test]
    fn errors_amid_an_answer_are_classed_by_their_status() {
        let transient = |status: &str| {
            let error = json!({"error": {"code": 1, "status": status, "message": "no"}}).to_string();
            Stream::default().event(&error).unwrap_err().is_transient()
        };
        assert!(transient("UNAVAILABLE") && transient("RESOURCE_EXHAUSTED") && transient("INTERNAL"));
        assert!(!transient("INVALID_ARGUMENT") && !transient("PERMISSION_DENIED") && !transient("NOT_FOUND"));
    }

    #[test]
    fn a_body_without_an_end_is_malformed() {
        for body in
            [json!({}), json!({"candidates": []}), json!({"candidates": [{}]}), json!([1]), json!(null)]
        {
            assert!(matches!(whole(&body).unwrap_err(), ModelError::Malformed { .. }), "{body}");
        }
    }
}
