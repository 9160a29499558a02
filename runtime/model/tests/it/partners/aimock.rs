//! aimock: one file of fixtures (tests/wire/aimock.json), served on the wires of all APIs by its own reading
//! of them. Its journal says what it understood of what we sent.

use std::process::Command;
use std::time::{Duration, Instant};

use gloaming_model::{Block, Message, ModelError, Request, Response, Role, Settings, Stop, ToolCalls, Usage};
use serde_json::{Value, json};

use super::{Partner, beside_setup, folder};
use crate::wires::{Api, KEY, Wire, price, quick, request};

struct Aimock(Partner);

impl Aimock {
    fn start(configure: impl FnOnce(&mut Command) -> &mut Command) -> Option<Self> {
        let script = folder()?.join("node_modules/@copilotkit/aimock/dist/cli.js");
        assert!(script.is_file(), "{} is not there: run tests/wire/setup.sh again", script.display());
        let mut command = Command::new("node");
        command.arg(script).args(["--port", "0", "--strict", "--validate-on-load", "--fixtures"]);
        command.arg(beside_setup("aimock.json"));
        Some(Self(Partner::start(configure(&mut command), "server listening on ")))
    }

    /// Begins anew: every sequence at its first answer, the journal empty.
    async fn reset(&self) {
        let fixtures = std::fs::read_to_string(beside_setup("aimock.json")).expect("it is in the repository");
        self.0.post("/__aimock/reset", &json!({})).await;
        self.0.post("/__aimock/fixtures", &serde_json::from_str(&fixtures).expect("it is JSON")).await;
    }

    fn address(&self, wire: Wire) -> String {
        self.0.url(if wire.api == Api::Gemini { "/v1beta" } else { "/v1" })
    }

    async fn ask_with(&self, wire: Wire, text: &str, settings: Settings) -> Result<Response, ModelError> {
        wire.model_with(&self.address(wire), settings).complete(&asking(text)).await
    }

    async fn ask(&self, wire: Wire, text: &str) -> Result<Response, ModelError> {
        self.ask_with(wire, text, quick()).await
    }

    /// The model requests it saw.
    async fn journal(&self) -> Vec<Value> {
        let Value::Array(entries) = self.0.get("/__aimock/journal").await else { panic!("it is a list") };
        entries
    }
}

fn asking(text: &str) -> Request {
    let blocks = vec![Block::Text { text: format!("Please {text}.") }];
    Request { messages: vec![Message { role: Role::User, blocks }], ..request() }
}

fn text(text: &str) -> Vec<Block> {
    vec![Block::Text { text: text.into() }]
}

#[tokio::test]
async fn aimock_is_understood_on_every_wire() {
    let Some(aimock) = Aimock::start(|command| command) else { return };
    for wire in Wire::ALL {
        aimock.reset().await;
        let usage = Usage { input: 100, output: 20, ..Usage::default() };
        assert_eq!(
            aimock.ask(wire, "say hello").await.unwrap(),
            Response {
                blocks: text("Hello from the other side, with ümläuts and 🔍 in it."),
                stop: Stop::EndTurn,
                usage,
                // On Gemini's wire it names none.
                model: if wire.api == Api::Gemini { String::new() } else { "served-model".into() },
                cost_usd: Some(price(wire).of(&usage)),
            },
            "{wire:?}"
        );

        let answer = aimock.ask(wire, "call without arguments").await.unwrap();
        let call = Block::ToolUse { id: "call_a".into(), name: "list".into(), input: json!({}) };
        assert_eq!((answer.blocks, answer.stop), (vec![call], Stop::ToolUse), "{wire:?}");

        let answer = aimock.ask(wire, "run out of tokens").await.unwrap();
        assert_eq!((answer.blocks, answer.stop), (text("This is as far as"), Stop::MaxTokens), "{wire:?}");

        let answer = aimock.ask(wire, "think first").await.unwrap();
        assert_eq!(answer.blocks, text("Done thinking."), "{wire:?}");
        assert!(answer.cost_usd.unwrap() > 0.0, "no answer is free, whatever usage is named: {wire:?}");
    }
}

/// Two calls at once, their results sent back, and what the server takes the conversation for.
#[tokio::test]
async fn aimock_and_we_hold_a_conversation_with_tools() {
    let Some(aimock) = Aimock::start(|command| command) else { return };
    let mut read_alike = Vec::new();
    for wire in Wire::ALL {
        aimock.reset().await;
        let mut conversation = asking("compare two files");
        let answer = wire.model(&aimock.address(wire)).complete(&conversation).await.unwrap();
        let call =
            |id: &str, name: &str, input: Value| Block::ToolUse { id: id.into(), name: name.into(), input };
        assert_eq!(
            (answer.blocks.as_slice(), answer.stop),
            (
                [
                    Block::Text { text: "I read both.".into() },
                    call("call_a", "read", json!({"path": "src/größe.rs", "lines": [1, 20]})),
                    call("call_b", "list", json!({"glob": "**/*.rs", "note": "a \"b\" \\ c"})),
                ]
                .as_slice(),
                Stop::ToolUse
            ),
            "{wire:?}"
        );
        let result = |id: &str, content: &str, is_error| Block::ToolResult {
            id: id.into(),
            content: content.into(),
            is_error,
        };
        conversation.messages.push(Message { role: Role::Assistant, blocks: answer.blocks });
        conversation.messages.push(Message {
            role: Role::User,
            blocks: vec![result("call_a", "the first", true), result("call_b", "the second", false)],
        });
        let answer = wire.model(&aimock.address(wire)).complete(&conversation).await.unwrap();
        assert_eq!((answer.blocks, answer.stop), (text("They differ."), Stop::EndTurn), "{wire:?}");

        let mut journal = aimock.journal().await;
        assert_eq!(journal.len(), 2, "{wire:?}");
        let body = journal.remove(1)["body"].take();
        let names: Vec<&Value> =
            body["tools"].as_array().unwrap().iter().map(|tool| &tool["function"]["name"]).collect();
        assert_eq!(names, ["read"], "{wire:?}");
        assert_eq!(body["max_tokens"], 500, "{wire:?}");
        read_alike.push(said(&body["messages"]));
    }
    let begin = ["system: You repair code.", "user: Please compare two files."];
    let first = "read({\"lines\":[1,20],\"path\":\"src/größe.rs\"}) as call_a";
    let second = "list({\"glob\":\"**/*.rs\",\"note\":\"a \\\"b\\\" \\\\ c\"}) as call_b";
    for (wire, read) in Wire::ALL.into_iter().zip(&read_alike) {
        // Responses are a list of items, each of which it takes for a message.
        let answers = if wire.api == Api::Responses {
            vec![
                "assistant: I read both.".into(),
                format!("assistant:  {first}"),
                format!("assistant:  {second}"),
            ]
        } else {
            vec![format!("assistant: I read both. {first} {second}")]
        };
        // OpenAI's wire has no field for a failed call, so the word says it.
        let (first, second) = match wire.api {
            Api::Messages => ("the first", "the second"),
            Api::Chat | Api::Responses => ("ERROR: the first", "the second"),
            Api::Gemini => ("{\"error\":\"the first\"}", "{\"output\":\"the second\"}"),
        };
        let results = [format!("tool: {first} for call_a"), format!("tool: {second} for call_b")];
        let expected: Vec<String> =
            begin.iter().map(|line| (*line).to_owned()).chain(answers).chain(results).collect();
        assert_eq!(read, &expected, "{wire:?}");
    }
}

/// A model without tool calls of its own: what it is told, and what is made of its answer.
#[tokio::test]
async fn aimock_takes_a_schema_for_tool_calls() {
    let Some(aimock) = Aimock::start(|command| command) else { return };
    for wire in Wire::ALL.into_iter().filter(|wire| matches!(wire.api, Api::Chat | Api::Responses)) {
        aimock.reset().await;
        let settings = Settings { tools: ToolCalls::Schema, ..quick() };
        let mut conversation = asking("answer by a schema");
        let model = wire.model_with(&aimock.address(wire), settings);
        let answer = model.complete(&conversation).await.unwrap();
        let call =
            Block::ToolUse { id: "call_0".into(), name: "read".into(), input: json!({"path": "größe.rs"}) };
        assert_eq!(answer.blocks, [Block::Text { text: "I look.".into() }, call], "{wire:?}");
        assert_eq!(answer.stop, Stop::ToolUse, "{wire:?}");
        let result =
            Block::ToolResult { id: "call_0".into(), content: "no such file".into(), is_error: true };
        conversation.messages.push(Message { role: Role::Assistant, blocks: answer.blocks });
        conversation.messages.push(Message { role: Role::User, blocks: vec![result] });
        let answer = model.complete(&conversation).await.unwrap();
        assert_eq!((answer.blocks, answer.stop), (text("It is gone."), Stop::EndTurn), "{wire:?}");

        let mut journal = aimock.journal().await;
        let body = journal.remove(1)["body"].take();
        assert!(body["tools"].as_array().is_none_or(Vec::is_empty), "{wire:?}: {body}");
        if wire.api == Api::Chat {
            let calls = &body["response_format"]["json_schema"]["schema"]["properties"]["calls"];
            let tool = &calls["items"]["anyOf"][0]["properties"]["tool"];
            assert_eq!(tool["enum"], json!(["read"]), "{wire:?}: {body}");
        }
        let said = said(&body["messages"]);
        assert!(said[0].starts_with("system: You repair code.\n\n# Tools\n"), "{wire:?}: {said:?}");
        assert_eq!(
            said[2..],
            [
                "assistant: {\"calls\":[{\"arguments\":{\"path\":\"größe.rs\"},\"tool\":\"read\"}],\"say\":\"I look.\"}",
                "user: The call call_0 of read failed:\nno such file",
            ],
            "{wire:?}"
        );
    }
}

/// One line for each message, as aimock has it in its own form.
fn said(messages: &Value) -> Vec<String> {
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    };
    let line = |message: &Value| {
        let mut line = format!("{}: {}", word(&message["role"]), word(&message["content"]));
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let arguments: Value = serde_json::from_str(&word(&call["function"]["arguments"])).expect("JSON");
            line.push_str(&format!(
                " {}({arguments}) as {}",
                word(&call["function"]["name"]),
                word(&call["id"])
            ));
        }
        if let Some(id) = message["tool_call_id"].as_str() {
            line.push_str(&format!(" for {id}"));
        }
        line
    };
    messages.as_array().expect("a list").iter().map(line).collect()
}

#[tokio::test]
async fn aimock_fails_once_and_is_asked_again() {
    let Some(aimock) = Aimock::start(|command| command) else { return };
    let tale = "One two three four five six seven eight nine ten.";
    for wire in Wire::ALL {
        aimock.reset().await;
        let began = Instant::now();
        assert_eq!(aimock.ask(wire, "be busy once").await.unwrap().blocks, text("Now."), "{wire:?}");
        assert!(began.elapsed() >= Duration::from_secs(1), "it asked for a second, {wire:?}");
        for question in ["fail once", "disconnect once", "garble it once"] {
            let answer = aimock.ask(wire, question).await;
            assert_eq!(answer.unwrap().blocks, text("Now."), "{wire:?} {question}");
        }
        let mut asked = 8;
        if wire.stream {
            assert_eq!(aimock.ask(wire, "break off once").await.unwrap().blocks, text(tale), "{wire:?}");
            let call = Block::ToolUse {
                id: "call_a".into(),
                name: "read".into(),
                input: json!({"path": "a/rather/long/path.rs"}),
            };
            let answer = aimock.ask(wire, "break off within a call once").await.unwrap();
            assert_eq!(answer.blocks, [call], "{wire:?}");
            // Gemini's calls come in one piece, in which nothing can break off.
            asked += if wire.api == Api::Gemini { 3 } else { 4 };
        }
        assert_eq!(aimock.journal().await.len(), asked, "{wire:?}");
    }
}

#[tokio::test]
async fn aimock_is_late_once_and_is_asked_again() {
    let Some(aimock) = Aimock::start(|command| command) else { return };
    for wire in Wire::ALL {
        aimock.reset().await;
        let short = Duration::from_millis(700);
        let settings = Settings { idle_timeout: short, try_timeout: short, ..quick() };
        let answer = aimock.ask_with(wire, "take your time once", settings).await;
        assert_eq!(answer.unwrap().blocks, text("Now."), "{wire:?}");
    }
}

#[tokio::test]
async fn aimock_fails_for_good_and_we_end() {
    let Some(aimock) = Aimock::start(|command| command) else { return };
    for wire in Wire::ALL {
        let cases = [
            (
                "ask to wait an hour",
                1,
                "no answer after 1 try (the server asks to wait 3600 s; at most 120 s are waited): the model's \
                 server answered 429 (too many requests or overloaded): slow down",
            ),
            (
                "be overloaded",
                3,
                "no answer after 3 tries (that was the last): the model's server answered 529 (too many requests \
                 or overloaded): overloaded",
            ),
            (
                "refuse it",
                1,
                "the model's server answered 404: no such model; check the model's name and the base URL",
            ),
            (
                "do what no fixture has",
                3,
                "no answer after 3 tries (that was the last): the model's server answered 503 (too many requests \
                 or overloaded): Strict mode: no fixture matched",
            ),
        ];
        for (question, tries, words) in cases {
            aimock.reset().await;
            assert_eq!(aimock.ask(wire, question).await.unwrap_err().in_words(), words, "{wire:?}");
            assert_eq!(aimock.journal().await.len(), tries, "{wire:?} {question}");
        }
        if wire.stream {
            aimock.reset().await;
            let error = aimock.ask(wire, "always break off").await.unwrap_err();
            let ModelError::GaveUp { tries: 3, source, .. } = &error else { panic!("{wire:?}: {error:?}") };
            assert!(matches!(**source, ModelError::Truncated { .. }), "{wire:?}: {error:?}");
            assert!(error.spent_usd().unwrap() > 0.0, "{wire:?}: {error:?}");
        }
    }
}

#[tokio::test]
async fn aimock_takes_our_key_and_no_other() {
    let Some(aimock) = Aimock::start(|command| command.env("AIMOCK_API_KEYS", KEY)) else { return };
    for wire in Wire::ALL {
        assert!(aimock.ask(wire, "say hello").await.is_ok(), "{wire:?}");
        for key in [None, Some("sk-another-key".into())] {
            let error =
                aimock.ask_with(wire, "say hello", Settings { api_key: key, ..quick() }).await.unwrap_err();
            let words = error.in_words();
            assert!(words.starts_with("the model's server answered 401: "), "{wire:?}: {words}");
            assert!(words.ends_with("; check the API key"), "{wire:?}: {words}");
            assert!(!format!("{error:?}").contains("another-key"), "{wire:?}");
        }
    }
}
