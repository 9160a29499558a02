//! llmock: it breaks its answers as it is told, watches every try, and gives a verdict on the client.

use std::process::Command;
use std::time::Duration;

use gloaming_model::{
    Block, INVALID_JSON, Limits, Message, ModelError, Request, Response, Role, Settings, Stop, ToolCalls,
};
use serde_json::{Value, json};

use super::{Partner, folder};
use crate::wires::{Api, Wire, quick, request};

struct Llmock(Partner);

impl Llmock {
    fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Option<Self> {
        let program = folder()?.join("llmock/bin/llmock");
        let mut command = Command::new(program);
        command.args(["serve", "--host", "127.0.0.1", "--port", "0"]).args(more).env("NO_COLOR", "1");
        Some(Self(Partner::start(&mut command, "Uvicorn running on ")))
    }

    /// Begins anew with these behaviours waiting.
    async fn script(&self, behaviors: Value) {
        self.0.post("/_llmock/reset", &json!({})).await;
        self.0.post("/_llmock/scenario", &json!({"behaviors": behaviors})).await;
    }

    fn address(&self, wire: Wire) -> String {
        self.0.url(match wire.api {
            Api::Chat | Api::Responses => "/v1",
            Api::Messages => "/anthropic",
            Api::Gemini => "/gemini/v1beta",
        })
    }

    async fn ask_with(
        &self,
        wire: Wire,
        request: &Request,
        settings: Settings,
    ) -> Result<Response, ModelError> {
        wire.model_with(&self.address(wire), settings).complete(request).await
    }

    async fn ask(&self, wire: Wire, request: &Request) -> Result<Response, ModelError> {
        self.ask_with(wire, request, patient()).await
    }

    /// What it holds of us: the codes of its findings, warnings included, and how many tries and faults it saw.
    async fn verdict(&self) -> (Vec<String>, u64, u64) {
        let verdict = self.0.get("/_llmock/verdict").await;
        let findings = verdict["findings"].as_array().expect("a list");
        let codes =
            findings.iter().map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect();
        let number = |key: &str| verdict[key].as_u64().expect("a number");
        (codes, number("attempts"), number("faults_injected"))
    }

    /// Its verdict is clean: nothing to find fault with in so many tries.
    async fn content(&self, tries: u64, faults: u64, case: &str) {
        assert_eq!(self.verdict().await, (Vec::new(), tries, faults), "{case}");
    }
}

/// The settings of a real run, but for the first wait.
fn patient() -> Settings {
    Settings { tries: 4, backoff: Duration::from_millis(60), ..quick() }
}

fn plain() -> Request {
    let blocks = vec![Block::Text { text: "Say hello.".into() }];
    Request { messages: vec![Message { role: Role::User, blocks }], tools: vec![], ..request() }
}

fn asking_for_a_tool() -> Request {
    let blocks = vec![Block::Text { text: "Read a file.".into() }];
    Request { messages: vec![Message { role: Role::User, blocks }], ..request() }
}

const WORDS: &str = "One two three four five six seven eight nine ten.";

/// A reply we know, so that a part of it would be seen; it waits for the try that is not broken.
fn reply() -> Value {
    json!({"type": "reply", "text": WORDS, "times": null})
}

fn whole(answer: &Response) -> bool {
    answer.blocks == [Block::Text { text: WORDS.into() }] && answer.stop == Stop::EndTurn
}

#[tokio::test]
async fn llmock_is_content_with_us_when_a_status_says_later() {
    let Some(llmock) = Llmock::start() else { return };
    for wire in Wire::ALL {
        for (fault, times) in [
            (json!({"type": "fail", "status": 429, "retry_after": 0.4, "times": 2}), 2),
            (json!({"type": "fail", "status": 500, "times": 3}), 3),
            (json!({"type": "fail", "status": 503}), 1),
            (json!({"type": "fail", "status": 529}), 1),
        ] {
            llmock.script(json!([fault, reply()])).await;
            let answer = llmock
                .ask(wire, &plain())
                .await
                .unwrap_or_else(|error| panic!("{wire:?} {fault}: {error:?}"));
            assert!(whole(&answer), "{wire:?} {fault}: {answer:?}");
            llmock.content(times + 1, times, &format!("{wire:?} {fault}")).await;
        }
    }
}

/// One fault a case: with two, llmock compares two waits, and jitter can make any two nearly alike.
#[tokio::test]
async fn llmock_is_content_with_us_when_a_stream_breaks() {
    let Some(llmock) = Llmock::start() else { return };
    for wire in Wire::streamed() {
        for kind in ["truncate", "disconnect", "malformed"] {
            for after_chunks in [0, 1, 2, 5, 9] {
                let case = format!("{wire:?} {kind} after {after_chunks}");
                let fault = json!({"type": "stream_fault", "kind": kind, "after_chunks": after_chunks});
                llmock.script(json!([fault, reply()])).await;
                let answer =
                    llmock.ask(wire, &plain()).await.unwrap_or_else(|error| panic!("{case}: {error:?}"));
                assert!(whole(&answer), "{case}: {answer:?}");
                if kind == "malformed" {
                    // llmock takes a bad chunk for noticed only when we hang up before it has written the rest
                    // of its few bytes, which is a race; that it was asked again, and that nothing else is
                    // found, is none.
                    let (mut codes, tries, faults) = llmock.verdict().await;
                    codes.retain(|code| code != "malformed_chunk_ignored");
                    assert_eq!((codes, tries, faults), (Vec::new(), 2, 1), "{case}");
                } else {
                    llmock.content(2, 1, &case).await;
                }
            }
        }
    }
}

/// A call whose arguments break off is the one that would do harm: half a path, half a file.
#[tokio::test]
async fn llmock_breaks_off_within_a_call_and_gets_no_half_call_done() {
    let Some(llmock) = Llmock::start() else { return };
    let input = json!({"path": "src/a/rather/long/path/of/a/file.rs", "text": "fn main() {}"});
    for wire in Wire::streamed() {
        // Gemini's calls come in one piece.
        let breaks = if wire.api == Api::Gemini { 0..1 } else { 1..8 };
        for after_chunks in breaks {
            llmock
                .script(json!([
                    {"type": "stream_fault", "kind": "truncate", "after_chunks": after_chunks},
                    {"type": "reply", "tool_calls": [{"name": "read", "arguments": input}], "times": null},
                ]))
                .await;
            let answer = llmock.ask(wire, &asking_for_a_tool()).await.unwrap();
            let [Block::ToolUse { name, input: got, .. }] = answer.blocks.as_slice() else {
                panic!("{wire:?} {after_chunks}: {answer:?}")
            };
            assert_eq!((name.as_str(), got), ("read", &input), "{wire:?} {after_chunks}");
            llmock.content(2, 1, &format!("{wire:?} after {after_chunks}")).await;
        }
    }
}

#[tokio::test]
async fn llmock_stalls_and_we_do_not_wait_for_it() {
    let Some(llmock) = Llmock::start() else { return };
    for wire in Wire::streamed() {
        let stall =
            json!({"type": "stream_fault", "kind": "stall", "after_chunks": 3, "stall_seconds": 15.0});
        llmock.script(json!([stall, reply()])).await;
        let settings = Settings { idle_timeout: Duration::from_millis(500), ..patient() };
        let answer = llmock.ask_with(wire, &plain(), settings).await.unwrap();
        assert!(whole(&answer), "{wire:?}: {answer:?}");
        llmock.content(2, 1, &format!("{wire:?}")).await;
    }
}

#[tokio::test]
async fn llmock_refuses_and_is_not_asked_again() {
    let Some(llmock) = Llmock::start() else { return };
    for wire in Wire::ALL {
        for status in [400, 401, 403, 404, 422] {
            let fault = json!({"type": "fail", "status": status, "message": "not like this", "times": null});
            llmock.script(json!([fault])).await;
            let words = llmock.ask(wire, &plain()).await.unwrap_err().in_words();
            let expected = format!("the model's server answered {status}: not like this; ");
            assert!(words.starts_with(&expected), "{wire:?}: {words}");
            llmock.content(1, 1, &format!("{wire:?} {status}")).await;
        }
    }
}

#[tokio::test]
async fn llmock_is_down_and_we_give_up_in_good_order() {
    let Some(llmock) = Llmock::start() else { return };
    for wire in Wire::ALL {
        llmock.script(json!([{"type": "fail", "status": 502, "times": null}])).await;
        let error = llmock.ask(wire, &plain()).await.unwrap_err();
        assert!(matches!(error, ModelError::GaveUp { tries: 4, .. }), "{wire:?}: {error:?}");
        llmock.content(4, 4, &format!("{wire:?}")).await;
    }
}

/// The last try of one model is followed by another's first; llmock finds nothing wrong with either.
#[tokio::test]
async fn llmock_fails_one_model_for_good_and_another_answers() {
    let Some(llmock) = Llmock::start() else { return };
    for wire in Wire::ALL {
        let other = Wire::ALL.into_iter().find(|other| other.api != wire.api).expect("there is another");
        llmock.script(json!([{"type": "fail", "status": 503, "times": 4}, reply()])).await;
        let models = [wire, other].map(|wire| wire.model_with(&llmock.address(wire), patient()));
        let model = gloaming_model::chain(models.to_vec());
        let answer = model.complete(&plain()).await.unwrap();
        assert!(whole(&answer), "{wire:?}: {answer:?}");
        let provider = other.spec().provider.as_str();
        assert!(answer.model.starts_with(&format!("{provider}:")), "{wire:?}: {}", answer.model);
        llmock.content(5, 4, &format!("{wire:?}")).await;
    }
}

/// It keeps a quota of its own, as providers do: sixty at once, then one a second. Who comes too early is told when, and
/// all of us keep to that.
#[tokio::test]
async fn llmock_has_a_quota_and_every_call_of_many_keeps_to_it() {
    let Some(llmock) = Llmock::start_with(&["--rpm", "60"]) else { return };
    for wire in Wire::ALL.into_iter().filter(|wire| wire.stream) {
        llmock.script(json!([reply()])).await;
        let settings = Settings { limits: Limits::default(), ..patient() };
        let model = wire.model_with(&llmock.address(wire), settings);
        let ask = |number: usize| {
            let model = model.clone();
            let request = Request { system: format!("You are number {number}."), ..plain() };
            async move { model.complete(&request).await }
        };
        let answers = futures::future::join_all((0..63).map(ask)).await;
        for answer in answers {
            assert!(answer.as_ref().is_ok_and(whole), "{wire:?}: {answer:?}");
        }
        let (codes, tries, _) = llmock.verdict().await;
        assert_eq!(codes, Vec::<String>::new(), "{wire:?}");
        assert!(tries > 63, "{wire:?}: some came too early, or this shows nothing");
    }
}

/// The verdict has teeth: one try only, and the same fault is held against us.
#[tokio::test]
async fn llmock_would_see_a_client_that_does_not_ask_again() {
    let Some(llmock) = Llmock::start() else { return };
    let wire = Wire { api: Api::Chat, stream: true };
    let once = || Settings { tries: 1, ..patient() };
    for (fault, code) in [
        (json!({"type": "stream_fault", "kind": "truncate", "after_chunks": 3}), "truncated_stream_accepted"),
        (json!({"type": "fail", "status": 503}), "gave_up"),
    ] {
        llmock.script(json!([fault])).await;
        llmock.ask_with(wire, &plain(), once()).await.unwrap_err();
        assert_eq!(llmock.verdict().await, (vec![code.to_owned()], 1, 1));
    }
}

/// Its model calls the tool on offer with arguments by the tool's schema, and is done when it has the result.
#[tokio::test]
async fn llmock_calls_a_tool_and_takes_its_result() {
    let Some(llmock) = Llmock::start() else { return };
    for wire in Wire::ALL {
        llmock.0.post("/_llmock/reset", &json!({})).await;
        let mut conversation = asking_for_a_tool();
        let answer = llmock.ask(wire, &conversation).await.unwrap();
        let [Block::ToolUse { id, name, input }] = answer.blocks.as_slice() else {
            panic!("{wire:?}: {answer:?}")
        };
        assert_eq!((name.as_str(), answer.stop), ("read", Stop::ToolUse), "{wire:?}");
        assert!(!input.as_object().expect("an object").contains_key(INVALID_JSON), "{wire:?}: {input}");
        let result = Block::ToolResult { id: id.clone(), content: "fn a() {}".into(), is_error: false };
        conversation.messages.push(Message { role: Role::Assistant, blocks: answer.blocks });
        conversation.messages.push(Message { role: Role::User, blocks: vec![result] });
        let answer = llmock.ask(wire, &conversation).await.unwrap();
        assert!(matches!(answer.blocks.as_slice(), [Block::Text { .. }]), "{wire:?}: {answer:?}");
        assert_eq!(answer.stop, Stop::EndTurn, "{wire:?}");
        assert!(answer.usage.input > 0 && answer.usage.output > 0 && !answer.usage.estimated, "{wire:?}");
        llmock.content(2, 0, &format!("{wire:?}")).await;
    }
}

/// Without tool calls of its own it answers by the schema it is given, which has a place for them.
#[tokio::test]
async fn llmock_calls_a_tool_by_schema_and_takes_its_result() {
    let Some(llmock) = Llmock::start() else { return };
    let settings = || Settings { tools: ToolCalls::Schema, ..patient() };
    for wire in Wire::ALL.into_iter().filter(|wire| matches!(wire.api, Api::Chat | Api::Responses)) {
        llmock.0.post("/_llmock/reset", &json!({})).await;
        let mut conversation = asking_for_a_tool();
        for number in 0..2 {
            let answer = llmock.ask_with(wire, &conversation, settings()).await.unwrap();
            let [Block::Text { text }, Block::ToolUse { id, name, input }] = answer.blocks.as_slice() else {
                panic!("{wire:?}: {answer:?}")
            };
            assert!(!text.is_empty() && !text.contains('{'), "{wire:?}: {text}");
            assert_eq!((name.as_str(), answer.stop), ("read", Stop::ToolUse), "{wire:?}");
            assert_eq!(*id, format!("call_{number}"), "{wire:?}");
            assert!(input["path"].is_string(), "by the tool's own schema, {wire:?}: {input}");
            assert!(answer.usage.input > 0 && !answer.usage.estimated, "{wire:?}");
            let result = Block::ToolResult { id: id.clone(), content: "fn a() {}".into(), is_error: false };
            conversation.messages.push(Message { role: Role::Assistant, blocks: answer.blocks });
            conversation.messages.push(Message { role: Role::User, blocks: vec![result] });
        }
        llmock.content(2, 0, &format!("{wire:?}")).await;
        // A break is noticed and asked again as ever.
        if wire.stream {
            let fault = json!({"type": "stream_fault", "kind": "truncate", "after_chunks": 3});
            llmock.script(json!([fault])).await;
            let answer = llmock.ask_with(wire, &asking_for_a_tool(), settings()).await.unwrap();
            assert_eq!(answer.stop, Stop::ToolUse, "{wire:?}: {answer:?}");
            llmock.content(2, 1, &format!("{wire:?}")).await;
        }
    }
}

#[tokio::test]
async fn llmock_calls_badly_and_the_caller_hears_of_it() {
    let Some(llmock) = Llmock::start() else { return };
    for wire in Wire::ALL {
        let call =
            json!({"type": "reply", "tool_calls": [{"name": "read", "arguments": {"path": "src/lib.rs"}}]});
        // Whole answers of Anthropic's API carry an object, so there is nothing it could break there.
        if wire.has_text_for_arguments() {
            llmock.script(json!([call, {"type": "tool_fault", "kind": "malformed_arguments"}])).await;
            let answer = llmock.ask(wire, &asking_for_a_tool()).await.unwrap();
            let [Block::ToolUse { input, .. }] = answer.blocks.as_slice() else {
                panic!("{wire:?}: {answer:?}")
            };
            assert!(
                input[INVALID_JSON].as_str().is_some_and(|text| text.starts_with("{\"path")),
                "{wire:?}: {input}"
            );
        }
        llmock.script(json!([call, {"type": "tool_fault", "kind": "unknown_tool"}])).await;
        let answer = llmock.ask(wire, &asking_for_a_tool()).await.unwrap();
        let [Block::ToolUse { name, .. }] = answer.blocks.as_slice() else { panic!("{wire:?}: {answer:?}") };
        assert_ne!(name, "read", "{wire:?}");
        llmock.content(1, 0, &format!("{wire:?}")).await;
    }
}
