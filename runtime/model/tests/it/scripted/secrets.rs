//! The key, and what is asked, are in nothing that is printed.

use gloaming_model::{Settings, Stop};

use crate::server::{Reply, Server};
use crate::wires::{Api, FULL, KEY, Wire, quick, request};

/// A hostile or careless server that repeats every header it got, in every place it can.
#[tokio::test]
async fn a_key_that_a_server_repeats_is_in_no_error() {
    for wire in Wire::ALL {
        let body =
            format!("{{\"error\":{{\"type\":\"{KEY}\",\"message\":\"bad key {KEY}\",\"code\":\"{KEY}\"}}}}");
        let event = if wire.stream {
            format!(
                "data: {{\"type\":\"error\",\"error\":{{\"type\":\"invalid_request {KEY}\",\"message\":\"{KEY}\"}}}}\n\n"
            )
        } else {
            body.clone()
        };
        let typed = format!("content-type: text/{KEY}");
        let header = format!("x-key: {KEY}");
        let location = format!("location: http://127.0.0.1:9/{KEY}");
        for reply in [
            Reply::status(401, &[], &body),
            Reply::status(401, &[], KEY),
            Reply::status(400, &[&header], &format!("{}{KEY}", "x".repeat(490))),
            Reply::status(500, &[], &body),
            Reply::status(429, &["retry-after: 9999"], &body),
            Reply::status(307, &[&location], &body),
            Reply::status(200, &[&typed], &body),
            Reply::json(&format!("{{\"{KEY}\": {KEY}}}")),
            Reply::stream(&format!("data: {KEY}\n\n")),
            Reply::raw(format!("HTTP/1.1 200 {KEY}\r\n{KEY}\r\n\r\n")),
            wire.wrap(&event),
        ] {
            let server = Server::answering({
                let reply = reply.clone();
                move |_, _| reply.clone()
            })
            .await;
            let error = wire.ask(&server).await.unwrap_err();
            for text in [error.to_string(), error.in_words(), format!("{error:?}"), format!("{error:#?}")] {
                // Also not most of it: a message is shortened, and a key with it.
                let part = KEY[..12].to_lowercase();
                assert!(!text.to_lowercase().contains(&part), "{wire:?} {reply:?}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn the_key_is_not_in_what_debug_prints() {
    let settings = quick();
    assert!(!format!("{settings:?} {settings:#?}").contains(KEY));
    let bad = Settings {
        api_key: Some(format!("{KEY}\nx").into()),
        base_url: Some("http://h/v1".into()),
        ..quick()
    };
    let error = gloaming_model::open(&Wire::ALL[0].spec(), bad).err().expect("no header can hold it");
    assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}");
}

#[tokio::test]
async fn a_key_with_a_line_end_after_it_is_the_same_key() {
    for wire in Wire::ALL {
        let server = Server::script([wire.reply(&FULL)]).await;
        let answer =
            wire.ask_with(&server, Settings { api_key: Some(format!("{KEY}\n").into()), ..quick() }).await;
        assert_eq!(answer.unwrap().stop, Stop::ToolUse);
        let seen = server.seen().remove(0);
        let names = ["authorization", "x-api-key", "x-goog-api-key"];
        let value = names.iter().find_map(|name| seen.header(name));
        assert!(value.is_some_and(|value| value.ends_with(KEY)), "{value:?}");
    }
}

/// What is asked may be a company's source code: an error names the failure, not the conversation.
#[tokio::test]
async fn prompts_and_answers_are_in_no_error() {
    for wire in Wire::ALL {
        let body = wire.body(&FULL);
        for reply in [
            wire.wrap(&body[..body.len() / 2]),
            wire.wrap(&body.replace("\"model\"", "model\"")),
            Reply::open(if wire.stream { "text/event-stream" } else { "application/json" })
                .then(&body[..body.len() / 2]),
        ] {
            let server = Server::answering(move |_, _| reply.clone()).await;
            let error = wire.ask(&server).await.unwrap_err();
            let text = format!("{error:?} {}", error.in_words());
            for secret in ["repair", "fn a()", "src/lib.rs", "prüfe", "größe"] {
                assert!(!text.contains(secret), "{wire:?} {secret}: {text}");
            }
        }
    }
}

/// The question is the same, byte for byte, whoever asks it: nothing of this machine is in it.
#[tokio::test]
async fn nothing_but_the_question_is_sent() {
    for wire in Wire::ALL {
        let server = Server::script([wire.reply(&FULL), wire.reply(&FULL)]).await;
        wire.ask(&server).await.unwrap();
        wire.ask(&server).await.unwrap();
        let seen = server.seen();
        assert_eq!(seen[0].body, seen[1].body);
        let mut names: Vec<&str> = seen[0].headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let expected: &[&str] = if wire.api == Api::Gemini {
            &["accept", "content-length", "content-type", "host", "user-agent", "x-goog-api-key"]
        } else if wire.api == Api::Messages {
            &[
                "accept",
                "anthropic-version",
                "content-length",
                "content-type",
                "host",
                "user-agent",
                "x-api-key",
            ]
        } else {
            &["accept", "authorization", "content-length", "content-type", "host", "user-agent"]
        };
        assert_eq!(names, expected, "{wire:?}");
        let mut keys: Vec<&String> = seen[0].body.as_object().unwrap().keys().collect();
        keys.sort_unstable();
        let expected: &[&str] = match (wire.api, wire.stream) {
            (Api::Gemini, _) => &["contents", "generationConfig", "systemInstruction", "tools"],
            (Api::Responses, _) => {
                &["input", "instructions", "max_output_tokens", "model", "store", "stream", "tools"]
            }
            (Api::Messages, _) => &["max_tokens", "messages", "model", "stream", "system", "tools"],
            (Api::Chat, true) => &["max_tokens", "messages", "model", "stream", "stream_options", "tools"],
            (Api::Chat, false) => &["max_tokens", "messages", "model", "stream", "tools"],
        };
        assert_eq!(keys, expected, "{wire:?}");
    }
    // What `request` holds is compared whole by the tests beside the clients.
    assert_eq!(request().messages.len(), 3);
}
