//! Answers that break off, lie, stall or never end: asked for again, bounded, and never passed on in part.

use std::time::{Duration, Instant};

use gloaming_model::{ModelError, Settings, Usage};

use crate::server::{Reply, Server};
use crate::wires::{Api, FULL, HELLO, SHORT, Wire, price, quick, request};

fn last(error: &ModelError) -> &ModelError {
    match error {
        ModelError::GaveUp { source, .. } => source,
        other => other,
    }
}

/// One try: what a single bad answer is taken for.
fn once() -> Settings {
    Settings { tries: 1, ..quick() }
}

/// Every place a connection can close at that differs, for all APIs and with and without a stream.
#[tokio::test]
async fn an_answer_cut_at_any_byte_is_never_a_short_answer() {
    for wire in Wire::ALL {
        let body = wire.body(&SHORT);
        let whole = wire.response(&SHORT);
        // Past its reason for the end, an OpenAI stream has only its usage left to lose.
        let content =
            body.find("\"finish_reason\":\"tool_calls\"").filter(|_| wire.stream && wire.api == Api::Chat);
        let bytes = body.clone().into_bytes();
        // Within a line of a stream a byte is like its neighbour; around a line's end each is its own case.
        let cuts: Vec<usize> = (0..bytes.len())
            .filter(|at| {
                let near = at.saturating_sub(2)..(at + 2).min(bytes.len());
                !wire.stream || at % 7 == 0 || bytes.len() - at < 60 || bytes[near].contains(&b'\n')
            })
            .collect();
        let kind = if wire.stream { "text/event-stream" } else { "application/json" };
        let server = {
            let cuts = cuts.clone();
            Server::answering(move |number, _| Reply::open(kind).then(&bytes[..cuts[number]])).await
        };
        let model = wire.model_with(server.url(), once());
        let question = request();
        for length in cuts {
            match model.complete(&question).await {
                Ok(answer) => {
                    let in_tail = content.is_some_and(|content| length > content);
                    let frame_only = wire.stream && body.len() - length <= 2;
                    assert!(in_tail || frame_only, "{wire:?} passed on {length} of {} bytes", body.len());
                    assert_eq!(
                        (&answer.blocks, answer.stop),
                        (&whole.blocks, whole.stop),
                        "{wire:?} {length}"
                    );
                    assert!(
                        answer.cost_usd >= whole.cost_usd,
                        "a lost usage costs no less: {wire:?} {length}"
                    );
                }
                Err(error) => {
                    assert!(
                        matches!(last(&error), ModelError::Truncated { .. } | ModelError::Malformed { .. }),
                        "{wire:?} {length}: {error:?}"
                    );
                    assert!(last(&error).is_transient());
                }
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    for wire in Wire::ALL {
        let body = wire.body(&FULL);
        let half = &body[..body.len() / 2];
        let kind = if wire.stream { "text/event-stream" } else { "application/json" };
        let promised = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{half}",
            body.len()
        );
        let chunked = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n\
             {:x}\r\n{half}\r\n",
            half.len()
        );
        for broken in [
            Reply::open(kind).then(half),
            Reply::raw(promised),
            Reply::raw(chunked),
            Reply::raw("HTTP/1.1 200 OK\r\ncontent-type: text/ev"),
            Reply::nothing(),
        ] {
            let server = Server::script([broken.clone(), wire.reply(&FULL)]).await;
            let answer =
                wire.ask(&server).await.unwrap_or_else(|error| panic!("{wire:?} {broken:?}: {error:?}"));
            assert_eq!(answer.blocks, wire.response(&FULL).blocks, "{wire:?}");
            let seen = server.seen();
            assert_eq!(seen.len(), 2, "{wire:?}");
            assert_eq!(seen[0].body, seen[1].body, "the same question, {wire:?}");
        }
    }
}

/// Answers that break off are billed by the provider all the same.
#[tokio::test]
async fn an_answer_that_broke_off_is_part_of_the_price() {
    for wire in Wire::ALL {
        let body = wire.body(&FULL);
        let half = wire.wrap(&body[..body.len() / 2]);
        let broken = Reply::open(if wire.stream { "text/event-stream" } else { "application/json" })
            .then(&body[..body.len() / 2]);
        let plain = wire.response(&FULL).cost_usd.unwrap();
        let server = Server::script([broken.clone(), wire.reply(&FULL)]).await;
        let twice = wire.ask(&server).await.unwrap().cost_usd.unwrap();
        assert!(twice > plain, "{wire:?}: {twice} <= {plain}");

        let server = Server::script([broken.clone(), broken.clone(), half]).await;
        let error = wire.ask(&server).await.unwrap_err();
        let ModelError::GaveUp { tries: 3, .. } = &error else { panic!("{wire:?}: {error:?}") };
        assert!(error.spent_usd().unwrap() > 0.0, "{wire:?}: {error:?}");
    }
}

/// A usage that came before the break is used; the output is at least what was seen.
#[tokio::test]
async fn a_broken_streams_price_is_no_less_than_the_usage_it_named() {
    let wire = Wire { api: Api::Messages, stream: true };
    let body = wire.body(&FULL);
    let cut = body.find("event: content_block_start").unwrap();
    let server = Server::script([Reply::stream(&body[..cut])]).await;
    let error = wire.ask_with(&server, once()).await.unwrap_err();
    let named = Usage { input: 100, output: 1, cache_read: 40, cache_write: 10, estimated: false };
    assert!(error.spent_usd().unwrap() >= price(wire).of(&named), "{error:?}");
}

#[tokio::test]
async fn what_is_not_json_is_asked_for_again() {
    for wire in Wire::ALL {
        let bad: &[&str] = if wire.stream {
            &["data: {\"choices\": [{]}\n\n", "data: oops\n\ndata: [DONE]\n\n", "data: \u{0}\n\n"]
        } else {
            &["oops", "{\"choices\": [{]}", "{}", "[]", "null", "{\"content\": \"text\", \"choices\": 3}"]
        };
        for bad in bad {
            let server = Server::script([wire.wrap(bad), wire.reply(&HELLO)]).await;
            let answer =
                wire.ask(&server).await.unwrap_or_else(|error| panic!("{wire:?} {bad:?}: {error:?}"));
            assert_eq!(answer.blocks, wire.response(&HELLO).blocks, "{wire:?} {bad:?}");
            assert_eq!(server.seen().len(), 2, "{wire:?} {bad:?}");
        }
        let kind = if wire.stream { "text/event-stream" } else { "application/json" };
        let latin = Reply::open(kind).then(b"data: {\"x\":\"\xff\xfe\"}\n\n".as_slice());
        let server = Server::script([latin, wire.reply(&HELLO)]).await;
        wire.ask(&server).await.unwrap_or_else(|error| panic!("{wire:?} not UTF-8: {error:?}"));
    }
}

/// A delta for a block that never began, an end in the middle, values of other types: no panic, no answer.
#[tokio::test]
async fn events_out_of_order_are_no_answer() {
    let wire = Wire { api: Api::Messages, stream: true };
    for bad in [
        "data: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n",
        "data: {\"type\":\"message_stop\"}\n\n",
        "data: {\"type\":7}\n\ndata: []\n\ndata: null\n\n",
        "data: {\"type\":\"content_block_start\",\"index\":0}\n\ndata: {\"type\":\"message_stop\"}\n\n",
    ] {
        let server = Server::script([Reply::stream(bad)]).await;
        let error = wire.ask_with(&server, once()).await.unwrap_err();
        let cause = last(&error);
        assert!(
            matches!(cause, ModelError::Truncated { .. } | ModelError::Malformed { .. }),
            "{bad}: {error:?}"
        );
    }
    let wire = Wire { api: Api::Chat, stream: true };
    for bad in [
        "data: [DONE]\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\ndata: [DONE]\n\n",
        "data: {\"choices\":{\"0\":1}}\n\ndata: 7\n\n",
    ] {
        let server = Server::script([Reply::stream(bad)]).await;
        let error = wire.ask_with(&server, once()).await.unwrap_err();
        assert!(matches!(last(&error), ModelError::Truncated { .. }), "{bad}: {error:?}");
    }
    let wire = Wire { api: Api::Responses, stream: true };
    for bad in [
        "data: [DONE]\n\n",
        "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"half\"}\n\ndata: [DONE]\n\n",
        "data: {\"type\":\"response.function_call_arguments.delta\",\"output_index\":7,\"delta\":\"{\"}\n\n",
        "data: {\"type\":\"response.output_item.added\",\"item\":3}\n\ndata: {\"type\":\"response.completed\"}\n\n",
        "data: {\"type\":\"response.output_item.done\",\"item\":{\"content\":[1]}}\n\n\
         data: {\"type\":\"response.refusal.delta\",\"delta\":\"x\"}\n\ndata: 7\n\ndata: []\n\n",
        "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"in_progress\"}}\n\n",
    ] {
        let server = Server::script([Reply::stream(bad)]).await;
        let error = wire.ask_with(&server, once()).await.unwrap_err();
        let cause = last(&error);
        assert!(
            matches!(cause, ModelError::Truncated { .. } | ModelError::Malformed { .. }),
            "{bad}: {error:?}"
        );
    }
}

/// A provider can fail after it began to answer with 200.
#[tokio::test]
async fn an_error_within_an_answer_is_an_error() {
    for wire in Wire::ALL {
        let event = |kind: &str| {
            let error =
                format!("{{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"busy\"}}}}");
            if wire.stream {
                let begun = wire.body(&FULL);
                let begun = &begun[..begun.find("\n\n").unwrap() + 2];
                Reply::stream(&format!("{begun}event: error\ndata: {error}\n\n"))
            } else {
                Reply::json(&error)
            }
        };
        let server = Server::script([event("overloaded_error"), wire.reply(&HELLO)]).await;
        assert_eq!(wire.ask(&server).await.unwrap().blocks, wire.response(&HELLO).blocks, "{wire:?}");

        let server = Server::script([event("invalid_request_error")]).await;
        let error = wire.ask(&server).await.unwrap_err();
        assert_eq!(server.seen().len(), 1, "{wire:?}");
        assert!(
            error.in_words().ends_with("the model's provider reported invalid_request_error: busy"),
            "{wire:?}: {}",
            error.in_words()
        );
    }
}

/// Two hundred pages of something else: a proxy's login page, a status page.
#[tokio::test]
async fn a_page_is_not_an_answer() {
    for wire in Wire::ALL {
        let page = Reply::status(200, &["content-type: text/html; charset=utf-8"], "<html>Sign in</html>");
        let server = Server::script([page]).await;
        assert_eq!(
            wire.ask(&server)
                .await
                .unwrap_err()
                .in_words()
                .replace("no answer after 1 try (it would fail again): ", ""),
            "the model's server answered with \"text/html; charset=utf-8\" instead of JSON or an event stream; \
             check the base URL"
        );
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_without_end_is_bounded_and_hung_up_on() {
    let small = || Settings { max_response: 256 << 10, max_line: 16 << 10, ..quick() };
    for wire in Wire::ALL {
        let floods = if wire.stream {
            vec![
                ("one line of its stream", Reply::stream("data: ").then_flood("x".repeat(1000))),
                ("one line of its stream", Reply::stream("").then_flood("x".repeat(1000))),
                ("its stream", Reply::stream("").then_flood(": keep-alive\n\n".repeat(100))),
                ("its stream", Reply::stream("").then_flood("data: x\n".repeat(100))),
                ("its stream", Reply::stream("").then_flood("\n".repeat(1000))),
            ]
        } else {
            vec![
                ("its body", Reply::json("").then_flood("x")),
                ("its body", Reply::open("application/json").then_flood(" ".repeat(1000))),
                (
                    "its body",
                    Reply::raw(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n",
                    )
                    .then_flood("[".repeat(1000)),
                ),
            ]
        };
        for (place, flood) in floods.into_iter().skip(usize::from(!wire.stream)) {
            let server = Server::script([flood]).await;
            let error = wire.ask_with(&server, small()).await.unwrap_err();
            assert!(
                matches!(last(&error), ModelError::TooLarge { what, .. } if *what == place),
                "{wire:?} {place}: {error:?}"
            );
            server.ended(1).await;
            assert_eq!(server.seen().len(), 1, "it would be as large again, {wire:?}");
        }
    }
}

/// JSON nested twenty thousand deep is refused by the parser, not by the stack.
#[tokio::test]
async fn deep_nesting_is_no_crash() {
    for wire in Wire::ALL {
        let deep = "[".repeat(20_000);
        let body = if wire.stream { format!("data: {deep}\n\n") } else { deep.clone() };
        let server = Server::script([wire.wrap(&body)]).await;
        let error = wire.ask_with(&server, once()).await.unwrap_err();
        assert!(last(&error).is_transient(), "{wire:?}: {error:?}");

        // As a call's arguments it is a text like any other that is no object.
        if wire.has_text_for_arguments() {
            let calls: &'static [_] = Vec::leak(vec![("c1", "read", &*String::leak(deep))]);
            let said = crate::wires::Said { calls, ..HELLO };
            let server = Server::script([wire.reply(&said)]).await;
            assert_eq!(wire.ask(&server).await.unwrap(), wire.response(&said), "{wire:?}");
        }
    }
}

#[tokio::test]
async fn an_explanation_without_end_is_bounded() {
    for wire in Wire::ALL {
        let endless = Reply::raw("HTTP/1.1 400 x\r\ncontent-type: text/plain\r\n\r\n")
            .then_flood("because ".repeat(100));
        let server = Server::script([endless]).await;
        let error = wire.ask(&server).await.unwrap_err();
        assert!(matches!(&error, ModelError::Refused { status: 400, .. }), "{wire:?}: {error:?}");
        assert!(error.in_words().len() < 1000);
        server.ended(1).await;
    }
}

#[tokio::test]
async fn silence_is_noticed_and_asked_again() {
    for wire in Wire::ALL {
        let body = wire.body(&FULL);
        let impatient = || Settings {
            idle_timeout: Duration::from_millis(150),
            try_timeout: if wire.stream { Duration::from_secs(20) } else { Duration::from_millis(150) },
            ..quick()
        };
        let kind = if wire.stream { "text/event-stream" } else { "application/json" };
        for silent in [
            Reply::silence(),
            Reply::open(kind).then_hang(),
            Reply::open(kind).then(&body[..body.len() / 2]).then_hang(),
        ] {
            let server = Server::script([silent, wire.reply(&FULL)]).await;
            let began = Instant::now();
            let answer = wire.ask_with(&server, impatient()).await.unwrap();
            assert_eq!(answer.blocks, wire.response(&FULL).blocks, "{wire:?}");
            assert!(began.elapsed() >= Duration::from_millis(150), "{wire:?}");
            server.ended(2).await;
        }
    }
}

/// A byte now and then keeps a connection from being idle for ever; the try's own time ends it.
#[tokio::test]
async fn a_trickle_ends_with_the_time_of_its_try() {
    for wire in Wire::ALL {
        let kind = if wire.stream { "text/event-stream" } else { "application/json" };
        let trickle = Reply::open(kind).then_flood(if wire.stream { ": ping\n\n" } else { " " });
        let server = Server::script([trickle]).await;
        let settings = Settings { try_timeout: Duration::from_millis(200), max_response: 1 << 40, ..once() };
        let error = wire.ask_with(&server, settings).await.unwrap_err();
        assert!(
            matches!(last(&error), ModelError::Timeout { what: "one whole answer", .. }),
            "{wire:?}: {error:?}"
        );
        server.ended(1).await;
    }
}

#[tokio::test]
async fn all_tries_together_have_an_end() {
    for wire in Wire::ALL {
        let server = Server::answering(|_, _| Reply::silence()).await;
        let settings = Settings {
            tries: 1000,
            total: Duration::from_millis(400),
            idle_timeout: Duration::from_millis(100),
            try_timeout: Duration::from_millis(100),
            ..quick()
        };
        let began = Instant::now();
        let error = wire.ask_with(&server, settings).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(10), "{wire:?}");
        let ModelError::GaveUp { tries, why, .. } = &error else { panic!("{wire:?}: {error:?}") };
        assert!((2..1000).contains(tries) && why == "its time is up", "{wire:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_again_and_named_as_such() {
    // A port that was ours a moment ago and listens no more.
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    for wire in Wire::ALL {
        let error = wire.model(&format!("http://{gone}")).complete(&request()).await.unwrap_err();
        let words = error.in_words();
        assert!(
            words.starts_with(
                "no answer after 3 tries (that was the last): the model's server cannot be reached"
            ),
            "{words}"
        );
        assert_eq!(error.spent_usd(), Some(0.0), "nothing was sent");
    }
}
