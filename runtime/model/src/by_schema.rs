//! Tool calls for models that have none of their own: tools are described in the prompt, and the answer is held to a JSON
//! schema that has a place for calls.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::http::Answer;
use crate::{Block, INVALID_JSON, Message, Request, Role, Stop, ToolDef};

/// How a model calls tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ToolCalls {
    /// By its API's own tool calls.
    #[default]
    Native,
    /// By answers that are held to a JSON schema.
    Schema,
}

const FORM: &str = "\
Answer with one JSON object and nothing else: {\"say\": \"...\", \"calls\": [{\"tool\": \"NAME\", \"arguments\": {...}}]}. \
`say` holds your words. `calls` holds the tools to call now, in order; their results come with the next message. Leave it \
empty when no tool is to be called. The arguments of a tool follow its schema.";

/// Returns the request without tool calls: what it says about tools is words.
pub(crate) fn in_words(request: &Request) -> Request {
    let mut system = request.system.clone();
    if !request.tools.is_empty() {
        let _ = write!(system, "\n\n# Tools\n\n{FORM}\n");
        for ToolDef { name, description, input_schema } in &request.tools {
            let _ = write!(system, "\n## {name}\n\n{description}\n\nSchema: {input_schema}\n");
        }
    }
    let mut names = BTreeMap::new();
    let messages = request.messages.iter().map(|message| {
        let blocks = match message.role {
            Role::User => message.blocks.iter().map(|block| told(block, &names)).collect(),
            Role::Assistant => {
                for block in &message.blocks {
                    if let Block::ToolUse { id, name, .. } = block {
                        names.insert(id.as_str(), name.as_str());
                    }
                }
                as_answered(&message.blocks)
            }
        };
        Message { role: message.role, blocks }
    });
    Request { messages: messages.collect(), system, tools: Vec::new(), max_tokens: request.max_tokens }
}

/// A tool's result as words; what is words stays.
fn told(block: &Block, names: &BTreeMap<&str, &str>) -> Block {
    let Block::ToolResult { id, content, is_error } = block else { return block.clone() };
    let tool = names.get(id.as_str()).copied().unwrap_or("a tool");
    let how = if *is_error { "failed" } else { "returned" };
    Block::Text { text: format!("The call {id} of {tool} {how}:\n{content}") }
}

/// What the model said before, in the form it said it in.
fn as_answered(blocks: &[Block]) -> Vec<Block> {
    let called = blocks.iter().any(|block| matches!(block, Block::ToolUse { .. }));
    if !called {
        return blocks.to_vec();
    }
    let mut say = String::new();
    let mut calls = Vec::new();
    for block in blocks {
        match block {
            Block::Text { text } => say.push_str(text),
            Block::ToolUse { name, input, .. } => calls.push(json!({"tool": name, "arguments": input})),
            Block::ToolResult { .. } => {}
        }
    }
    vec![Block::Text { text: json!({"say": say, "calls": calls}).to_string() }]
}

/// Returns the schema that an answer is held to; none when no tool is on offer.
pub(crate) fn schema(tools: &[ToolDef]) -> Option<Value> {
    let call = |tool: &ToolDef| {
        json!({
            "type": "object", "required": ["tool", "arguments"], "additionalProperties": false,
            "properties": {"tool": {"type": "string", "enum": [tool.name]}, "arguments": tool.input_schema},
        })
    };
    let calls: Vec<Value> = tools.iter().map(call).collect();
    (!calls.is_empty()).then(|| {
        json!({
            "type": "object", "required": ["say", "calls"], "additionalProperties": false,
            "properties": {
                "say": {"type": "string"},
                "calls": {"type": "array", "items": {"anyOf": calls}},
            },
        })
    })
}

/// Returns the answer with the calls that its words hold. Words that are no such object stay words: a server that knows
/// no schema, or an answer that was cut off.
pub(crate) fn read(mut answer: Answer, request: &Request) -> Answer {
    let native = answer.blocks.iter().any(|block| matches!(block, Block::ToolUse { .. }));
    if request.tools.is_empty() || native || answer.stop == Stop::Refusal {
        return answer;
    }
    let mut text = String::new();
    for block in &answer.blocks {
        if let Block::Text { text: more } = block {
            text.push_str(more);
        }
    }
    let Ok(Value::Object(said)) = serde_json::from_str::<Value>(unfenced(&text)) else { return answer };
    let Some(calls) = said.get("calls").and_then(Value::as_array) else { return answer };
    let known = request.messages.iter().flat_map(|message| &message.blocks);
    let before = known.filter(|block| matches!(block, Block::ToolUse { .. })).count();
    answer.blocks.clear();
    if let Some(words) = said.get("say").and_then(Value::as_str).filter(|words| !words.is_empty()) {
        answer.blocks.push(Block::Text { text: words.to_owned() });
    }
    for (index, call) in calls.iter().enumerate() {
        let name = call.get("tool").and_then(Value::as_str).unwrap_or("").to_owned();
        let input = match call.get("arguments") {
            Some(Value::Object(map)) => Value::Object(map.clone()),
            Some(Value::Null) | None => json!({}),
            Some(other) => json!({INVALID_JSON: other.to_string()}),
        };
        // An id names one call of the whole conversation.
        answer.blocks.push(Block::ToolUse { id: format!("call_{}", before + index), name, input });
    }
    if !calls.is_empty() {
        answer.stop = Stop::ToolUse;
    }
    answer
}

/// Models that learned to write JSON in a fence do so where no schema holds them.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    inner.and_then(|inner| inner.strip_suffix("```")).unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::tests::conversation;

    fn text(text: &str) -> Block {
        Block::Text { text: text.into() }
    }

    #[test]
    fn a_conversation_with_tools_is_told_in_words() {
        let told = in_words(&conversation());
        assert_eq!(
            told.system,
            format!(
                "be brief\n\n# Tools\n\n{FORM}\n\n## read\n\nReads.\n\nSchema: {{\"type\":\"object\"}}\n"
            )
        );
        assert_eq!((told.tools.len(), told.max_tokens), (0, 100));
        let blocks: Vec<&[Block]> = told.messages.iter().map(|message| message.blocks.as_slice()).collect();
        assert_eq!(
            blocks,
            [
                &[text("do it")][..],
                &[text(
                    "{\"calls\":[{\"arguments\":{\"path\":\"x\"},\"tool\":\"read\"},\
                     {\"arguments\":{\"__invalid_json\":\"{bad\"},\"tool\":\"no such\"}],\"say\":\"reading\"}"
                )],
                &[
                    text("The call a of read returned:\n1: hi"),
                    text("The call b of no such failed:\nwhat?"),
                    text("go on"),
                ],
            ]
        );
        let plain = Request { messages: vec![], tools: vec![], ..conversation() };
        assert_eq!(in_words(&plain), plain, "where nothing is said of tools, nothing changes");
    }

    #[test]
    fn each_tool_has_its_place_in_the_schema() {
        let schema = schema(&conversation().tools).unwrap();
        let call = &schema["properties"]["calls"]["items"]["anyOf"][0]["properties"];
        assert_eq!(
            *call,
            json!({"tool": {"type": "string", "enum": ["read"]}, "arguments": {"type": "object"}})
        );
        assert_eq!(super::schema(&[]), None);
    }

    fn answered(said: &str, stop: Stop) -> (Vec<Block>, Stop) {
        let blocks = vec![text(said)];
        let answer = Answer { blocks, stop, usage: None, model: String::new() };
        let answer = read(answer, &conversation());
        (answer.blocks, answer.stop)
    }

    #[test]
    fn calls_are_found_in_an_answer_and_have_ids_of_their_own() {
        let call =
            |id: &str, name: &str, input: Value| Block::ToolUse { id: id.into(), name: name.into(), input };
        let said = r#"{"say": "I look.", "calls": [{"tool": "read", "arguments": {"path": "a"}}, {"tool": "list"},
                       {"tool": "read", "arguments": [1]}, 7]}"#;
        let expected = (
            vec![
                text("I look."),
                call("call_2", "read", json!({"path": "a"})),
                call("call_3", "list", json!({})),
                call("call_4", "read", json!({INVALID_JSON: "[1]"})),
                call("call_5", "", json!({})),
            ],
            Stop::ToolUse,
        );
        assert_eq!(answered(said, Stop::EndTurn), expected, "two calls were made before");
        assert_eq!(answered(&format!("```json\n{said}\n```\n"), Stop::EndTurn), expected);
        let done = answered(r#"{"say": "Done.", "calls": []}"#, Stop::EndTurn);
        assert_eq!(done, (vec![text("Done.")], Stop::EndTurn));
    }

    #[test]
    fn what_is_no_such_object_stays_words() {
        for (said, stop) in [
            ("I would rather talk.", Stop::EndTurn),
            (r#"{"say": "I lo"#, Stop::MaxTokens),
            (r#"{"answer": 42}"#, Stop::EndTurn),
            (r#"{"say": "x", "calls": "none"}"#, Stop::EndTurn),
            ("[]", Stop::EndTurn),
            (r#"{"say": "no", "calls": [{"tool": "read"}]}"#, Stop::Refusal),
        ] {
            assert_eq!(answered(said, stop), (vec![text(said)], stop), "{said}");
        }
    }
}
