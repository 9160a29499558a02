//! Statuses: what is asked again, when, and what a person is told.

use std::time::Duration;

use gloaming_model::{ModelError, Settings};

use crate::server::{Reply, Server};
use crate::wires::{Api, FULL, HELLO, KEY, Wire, quick};

fn error_body(wire: Wire, kind: &str, message: &str) -> String {
    if wire.api == Api::Messages {
        format!("{{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"{message}\"}}}}")
    } else {
        format!(
            "{{\"error\":{{\"message\":\"{message}\",\"type\":\"{kind}\",\"param\":null,\"code\":null}}}}"
        )
    }
}

#[tokio::test]
async fn failures_that_pass_are_asked_again() {
    for wire in Wire::ALL {
        for status in [408, 409, 429, 500, 502, 503, 504, 529] {
            let failure =
                Reply::status(status, &["content-type: application/json"], &error_body(wire, "x", "later"));
            let bare = Reply::status(status, &[], "");
            let server = Server::script([failure, bare, wire.reply(&FULL)]).await;
            assert_eq!(wire.ask(&server).await.unwrap(), wire.response(&FULL), "{wire:?} {status}");
            let seen = server.seen();
            assert_eq!(seen.len(), 3, "{wire:?} {status}");
            assert!(seen.iter().all(|request| request.body == seen[0].body), "the same question");
        }
    }
}

#[tokio::test]
async fn retry_after_is_waited_for_in_every_form() {
    let forms: [(&[&str], Duration); 4] = [
        (&["retry-after: 1"], Duration::from_secs(1)),
        (&["Retry-After: 0.3"], Duration::from_millis(300)),
        (&["retry-after-ms: 250", "retry-after: 60"], Duration::from_millis(250)),
        (
            &["date: Sun, 06 Nov 1994 08:49:37 GMT", "retry-after: Sun, 06 Nov 1994 08:49:38 GMT"],
            Duration::from_secs(1),
        ),
    ];
    let one = |wire: Wire, headers: &'static [&'static str], wait: Duration| async move {
        let server = Server::script([Reply::status(429, headers, "{}"), wire.reply(&HELLO)]).await;
        wire.ask(&server).await.unwrap();
        let seen = server.seen();
        let gap = seen[1].at - seen[0].at;
        assert!(gap >= wait && gap < wait + Duration::from_secs(5), "{wire:?} {headers:?}: {gap:?}");
    };
    let all = Wire::ALL.into_iter().flat_map(|wire| forms.map(|(headers, wait)| one(wire, headers, wait)));
    futures::future::join_all(all).await;
}

#[tokio::test]
async fn an_unreadable_retry_after_is_as_good_as_none() {
    for value in ["soon", "-5", "", "NaN", "Sun, 99 Foo 1994 08:49:37 GMT", "1e400"] {
        let wire = Wire::ALL[1];
        let header = format!("retry-after: {value}");
        let server = Server::script([Reply::status(429, &[&header], ""), wire.reply(&HELLO)]).await;
        wire.ask(&server).await.unwrap_or_else(|error| panic!("{value:?}: {error:?}"));
    }
}

#[tokio::test]
async fn a_wait_that_is_too_long_ends_the_call() {
    for wire in Wire::ALL {
        for headers in [["retry-after: 3600"], ["retry-after: 18446744073709551615"]] {
            let server =
                Server::script([Reply::status(429, &headers, &error_body(wire, "x", "slow down"))]).await;
            let error = wire.ask(&server).await.unwrap_err();
            assert_eq!(server.seen().len(), 1);
            assert!(matches!(&error, ModelError::GaveUp { tries: 1, .. }), "{error:?}");
            let words = error.in_words();
            assert!(words.contains("at most 120 s are waited") && words.ends_with(": slow down"), "{words}");
        }
    }
}

#[tokio::test]
async fn it_gives_up_after_the_last_try() {
    for wire in Wire::ALL {
        for (status, words) in [
            (500, "the model's server failed with 500: later"),
            (429, "the model's server answered 429 (too many requests or overloaded): later"),
        ] {
            let body = error_body(wire, "x", "later");
            let server = Server::answering(move |_, _| Reply::status(status, &[], &body)).await;
            let error = wire.ask_with(&server, Settings { tries: 4, ..quick() }).await.unwrap_err();
            assert_eq!(error.in_words(), format!("no answer after 4 tries (that was the last): {words}"));
            assert_eq!(server.seen().len(), 4);
            assert_eq!(error.spent_usd(), Some(0.0), "a refused request costs nothing");
        }
    }
}

#[tokio::test]
async fn waits_grow() {
    let wire = Wire::ALL[1];
    let server = Server::answering(|_, _| Reply::status(500, &[], "")).await;
    let settings = Settings { tries: 4, backoff: Duration::from_millis(40), ..quick() };
    wire.ask_with(&server, settings).await.unwrap_err();
    let seen = server.seen();
    let gap = |n: usize| seen[n + 1].at - seen[n].at;
    for (n, least) in [(0, 40), (1, 80), (2, 160)] {
        assert!(gap(n) >= Duration::from_millis(least), "wait {n} was {:?}", gap(n));
    }
}

#[tokio::test]
async fn what_would_be_refused_again_is_not_asked_again_and_says_what_to_do() {
    let cases: &[(u16, &str)] = &[
        (400, "check the model's name and its limits (context length, most output tokens)"),
        (401, "check the API key"),
        (402, "check the account's credit"),
        (403, "the key may not use this model, or not from here"),
        (404, "check the model's name and the base URL"),
        (405, "check the model's name and the base URL"),
        (413, "the conversation is too long for this server"),
        (418, "the server will not take this request; check the model's name, the key and the base URL"),
        (422, "check the model's name and its limits (context length, most output tokens)"),
    ];
    for wire in Wire::ALL {
        for (status, hint) in cases {
            let body = error_body(wire, "invalid_request_error", "no such thing");
            let server =
                Server::script([Reply::status(*status, &["content-type: application/json"], &body)]).await;
            let error = wire.ask(&server).await.unwrap_err();
            assert_eq!(
                error.in_words(),
                format!("the model's server answered {status}: no such thing; {hint}"),
                "{wire:?}"
            );
            assert_eq!(server.seen().len(), 1, "{wire:?} {status}");
        }
    }
}

/// OpenAI answers 429 also when there is no money left; waiting does not help.
#[tokio::test]
async fn an_empty_account_is_not_asked_again() {
    for wire in Wire::ALL.into_iter().filter(|wire| wire.api != Api::Messages) {
        let body = r#"{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        let server = Server::script([Reply::status(429, &["retry-after: 1"], body)]).await;
        assert_eq!(
            wire.ask(&server).await.unwrap_err().in_words(),
            "the model's server answered 429: You exceeded your current quota.; \
             the account has no credit left: add some, or use another key"
        );
        assert_eq!(server.seen().len(), 1);
    }
}

/// Servers explain themselves in many forms; none of them may hide or spoil the status.
#[tokio::test]
async fn explanations_are_found_in_every_form() {
    for (body, said) in [
        (r#"{"error":{"message":"plain"}}"#, "plain"),
        (r#"{"error":"a text"}"#, "a text"),
        (r#"{"message":"on top"}"#, "on top"),
        (r#"{"detail":"of fastapi"}"#, "of fastapi"),
        (r#"{"object":"error","message":"of vllm","type":"x"}"#, "of vllm"),
        ("plain words", "plain words"),
        ("", "no explanation"),
        ("<html>\n<b>Bad</b>\n</html>", "<html> <b>Bad</b> </html>"),
        ("a\u{1b}[2Jb\u{202e}c\r\nd", "a\\u{1b}[2Jb\\u{202e}c d"),
    ] {
        let server = Server::script([Reply::status(404, &[], body)]).await;
        assert_eq!(
            Wire::ALL[0].ask(&server).await.unwrap_err().in_words(),
            format!("the model's server answered 404: {said}; check the model's name and the base URL")
        );
    }
}

/// Named for what could go wrong: a redirect to elsewhere would take the key with it.
#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_goes_nowhere_else() {
    for wire in Wire::ALL {
        for status in [301, 302, 303, 307, 308] {
            let elsewhere = Server::script([wire.reply(&HELLO)]).await;
            let location = format!("location: {}/v1/chat/completions", elsewhere.url());
            let server = Server::script([Reply::status(status, &[&location], "moved")]).await;
            let error = wire.ask(&server).await.unwrap_err();
            assert_eq!(
                error.in_words(),
                format!(
                    "the model's server answered {status}: moved; redirects are not followed, so that the key \
                     goes nowhere else: correct the base URL"
                )
            );
            assert_eq!((server.seen().len(), elsewhere.seen().len()), (1, 0));
            assert!(!format!("{error:?}").contains(KEY));
        }
    }
}
