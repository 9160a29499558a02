//! Whole answers, on every wire.

use gloaming_model::{Block, INVALID_JSON, PriceTable, Request, Settings, Stop, Usage};
use serde_json::{Value, json};

use crate::server::{Reply, Server};
use crate::wires::{Api, FULL, HELLO, KEY, Said, Wire, price, quick, request};

#[tokio::test]
async fn an_answer_is_the_same_on_every_wire() {
    for wire in Wire::ALL {
        for said in [FULL, HELLO] {
            let server = Server::script([wire.reply(&said)]).await;
            assert_eq!(wire.ask(&server).await.unwrap(), wire.response(&said), "{wire:?}");
            assert_eq!(server.seen().len(), 1, "{wire:?}");
        }
    }
}

#[tokio::test]
async fn the_question_goes_where_the_api_has_it() {
    for wire in Wire::ALL {
        let server = Server::script([wire.reply(&HELLO)]).await;
        wire.ask(&server).await.unwrap();
        let seen = server.seen().remove(0);
        let manner = if wire.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
        let line_of_gemini = format!("POST /v1beta/models/gemini-3.5-flash:{manner} HTTP/1.1");
        let (line, name, value) = if wire.api == Api::Gemini {
            (line_of_gemini.as_str(), "x-goog-api-key", KEY.to_owned())
        } else if wire.api == Api::Messages {
            assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"));
            ("POST /v1/messages HTTP/1.1", "x-api-key", KEY.to_owned())
        } else if wire.api == Api::Responses {
            ("POST /v1/responses HTTP/1.1", "authorization", format!("Bearer {KEY}"))
        } else {
            ("POST /v1/chat/completions HTTP/1.1", "authorization", format!("Bearer {KEY}"))
        };
        assert_eq!(seen.line, line);
        assert_eq!(seen.header(name), Some(value.as_str()));
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert!(seen.header("user-agent").is_some_and(|agent| agent.starts_with("gloaming/")));
        let with_key = seen.headers.iter().filter(|(_, value)| value.contains(KEY)).count();
        assert_eq!(with_key, 1, "the key is in one header: {:?}", seen.headers);
        assert!(!seen.body.to_string().contains(KEY));
        if wire.api == Api::Gemini {
            assert_eq!(seen.body["generationConfig"]["maxOutputTokens"], 500);
            continue; // Its address says the rest.
        }
        assert_eq!(seen.body["stream"], wire.stream);
        // For completions the name that every server but OpenAI's own knows.
        let limit = if wire.api == Api::Responses { "max_output_tokens" } else { "max_tokens" };
        assert_eq!(seen.body[limit], 500, "{wire:?}");
        assert_eq!(seen.body["model"], wire.spec().model);
    }
}

#[tokio::test]
async fn without_a_key_none_is_sent() {
    for wire in Wire::ALL {
        let server = Server::script([wire.reply(&HELLO)]).await;
        wire.ask_with(&server, Settings { api_key: None, ..quick() }).await.unwrap();
        let seen = server.seen().remove(0);
        for name in ["authorization", "x-api-key", "x-goog-api-key"] {
            assert_eq!(seen.header(name), None);
        }
    }
}

/// Servers frame events as they please: CR LF, comments, ids, no space after the colon, a byte order mark.
#[tokio::test]
async fn a_stream_is_read_in_every_framing() {
    for wire in Wire::streamed() {
        let plain = wire.body(&FULL);
        let variants = [
            plain.replace('\n', "\r\n"),
            plain.replace('\n', "\r"),
            plain.replace("data: ", "data:"),
            format!("\u{feff}{plain}"),
            plain.replace("\n\n", "\n\n: keep-alive\n\n"),
            plain.replace("data: ", "id: 7\nretry: 10\ndata: "),
            // One event in two lines of data: they are joined by a newline, which JSON allows here.
            plain.replace("\"delta\":", "\ndata: \"delta\":"),
        ];
        for (index, variant) in variants.iter().enumerate() {
            let server = Server::script([Reply::stream(variant)]).await;
            let answer =
                wire.ask(&server).await.unwrap_or_else(|error| panic!("{wire:?} {index}: {error:?}"));
            assert_eq!(answer, wire.response(&FULL), "{wire:?} {index}");
        }
    }
}

/// Networks cut where they please, also within a character.
#[tokio::test]
async fn a_stream_is_read_when_every_byte_comes_alone() {
    for wire in Wire::ALL {
        let (body, kind) =
            (wire.body(&FULL), if wire.stream { "text/event-stream" } else { "application/json" });
        let mut bytes = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        .into_bytes();
        for byte in body.bytes() {
            bytes.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        let server = Server::script([Reply::raw(bytes)]).await;
        assert_eq!(wire.ask(&server).await.unwrap(), wire.response(&FULL), "{wire:?}");
    }
}

/// What a chunk costs must not depend on what came before it: a server could otherwise keep us busy for
/// minutes with a few megabytes, and a long answer in small pieces would be slow for no reason.
#[tokio::test]
async fn the_work_of_reading_grows_with_the_answer_and_not_faster() {
    for wire in Wire::streamed() {
        let long: &'static str = String::leak("word ".repeat(25_000));
        let body = wire.body(&HELLO).replace("Hell", long);
        let mut bytes =
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                .to_vec();
        for pair in body.as_bytes().chunks(2) {
            bytes.extend_from_slice(format!("{:x}\r\n", pair.len()).as_bytes());
            bytes.extend_from_slice(pair);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        let server = Server::script([Reply::raw(bytes)]).await;
        let answer = wire.ask(&server).await.unwrap();
        assert_eq!(answer.blocks, [Block::Text { text: format!("{long}o.") }], "{wire:?}");

        let mut empty = "\n".repeat(64 << 10);
        empty.push_str(&wire.body(&HELLO));
        let server = Server::script([Reply::stream(&empty)]).await;
        assert_eq!(wire.ask(&server).await.unwrap(), wire.response(&HELLO), "{wire:?}");
    }
}

/// A server need not close after the last event, and some never do.
#[tokio::test]
async fn the_end_of_an_answer_is_its_last_event_and_not_the_connections_end() {
    for wire in Wire::streamed() {
        let server = Server::script([wire.reply(&FULL).then_hang()]).await;
        assert_eq!(wire.ask(&server).await.unwrap(), wire.response(&FULL), "{wire:?}");
        server.ended(1).await;
    }
}

/// Some servers do not stream although asked to, and some always do.
#[tokio::test]
async fn what_comes_decides_and_not_what_was_asked_for() {
    for wire in Wire::ALL {
        let other = Wire { stream: !wire.stream, ..wire };
        let server = Server::script([other.reply(&FULL)]).await;
        assert_eq!(wire.ask(&server).await.unwrap(), wire.response(&FULL), "{wire:?}");
    }
}

#[tokio::test]
async fn a_content_type_may_have_parameters_or_be_missing() {
    for wire in Wire::ALL {
        let body = wire.body(&FULL);
        let types = if wire.stream {
            ["text/event-stream; charset=utf-8", "Text/Event-Stream", "text/plain"]
        } else {
            ["application/json; charset=utf-8", "Application/JSON", "text/plain"]
        };
        for kind in types {
            let server = Server::script([Reply::open(kind).then(body.clone())]).await;
            assert_eq!(wire.ask(&server).await.unwrap(), wire.response(&FULL), "{wire:?} {kind}");
        }
        let untyped = Reply::raw(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}"));
        let server = Server::script([untyped]).await;
        assert_eq!(wire.ask(&server).await.unwrap(), wire.response(&FULL), "{wire:?} untyped");
    }
}

/// A model's typing error must not end a task: the caller gets the text and can say so.
#[tokio::test]
async fn arguments_that_are_no_json_object_are_delivered_with_a_mark() {
    for wire in Wire::ALL {
        for arguments in ["{\"path\": \"src", "[1,2]", "\"src/lib.rs\"", "{'path': 'x'}", "read the file"] {
            if !wire.has_text_for_arguments() && arguments.starts_with('"') {
                continue; // There it is a JSON string in place of an object; the next test has that.
            }
            let arguments: &'static str = arguments;
            let calls: &'static [_] = Vec::leak(vec![("c1", "read", arguments)]);
            let said = Said { calls, ..FULL };
            let server = Server::script([wire.reply(&said)]).await;
            let answer = wire.ask(&server).await.unwrap();
            let Block::ToolUse { input, .. } = &answer.blocks[1] else { panic!("{answer:?}") };
            let text = input[INVALID_JSON].as_str().expect("the text is there");
            if wire.has_text_for_arguments() {
                assert_eq!(text, arguments, "{wire:?}");
            }
            assert_eq!(input.as_object().map(serde_json::Map::len), Some(1), "{wire:?}");
            assert_eq!(answer.stop, Stop::ToolUse, "{wire:?}");
        }
    }
}

#[tokio::test]
async fn a_call_cut_by_max_tokens_says_so_and_is_marked() {
    let said = Said { calls: &[("c1", "write", "{\"path\": \"a.rs\", \"text\": \"fn ")], cut: true, ..FULL };
    for wire in Wire::ALL {
        let server = Server::script([wire.reply(&said)]).await;
        let answer = wire.ask(&server).await.unwrap();
        assert_eq!(answer.stop, Stop::MaxTokens, "{wire:?}");
        assert!(
            matches!(&answer.blocks[1], Block::ToolUse { input, .. } if input.get(INVALID_JSON).is_some()),
            "{wire:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn calls_without_arguments_or_ids_get_both() {
    for wire in Wire::ALL {
        let said = Said { calls: &[("", "list", "{}"), ("", "check", "{}")], ..HELLO };
        let body = wire.body(&said).replace("\"arguments\":\"{}\"", "\"arguments\":\"\"");
        let server = Server::script([wire.wrap(&body)]).await;
        let answer = wire.ask(&server).await.unwrap();
        let calls: Vec<(&str, &Value)> = answer
            .blocks
            .iter()
            .filter_map(|block| match block {
                Block::ToolUse { id, input, .. } => Some((id.as_str(), input)),
                _ => None,
            })
            .collect();
        assert_eq!(calls.len(), 2, "{wire:?}: {answer:?}");
        assert!(
            calls.iter().all(|(id, input)| !id.is_empty() && **input == json!({})),
            "{wire:?}: {answer:?}"
        );
        assert_ne!(calls[0].0, calls[1].0, "an id names one call, {wire:?}");
    }
}

#[tokio::test]
async fn an_empty_answer_is_an_answer() {
    for wire in Wire::ALL {
        let server = Server::script([wire.reply(&Said::default())]).await;
        let answer = wire.ask(&server).await.unwrap();
        assert_eq!((answer.blocks.as_slice(), answer.stop), ([].as_slice(), Stop::EndTurn), "{wire:?}");
    }
}

/// What a provider adds (reasoning, log probabilities, other choices, new events) is no reason to fail.
#[tokio::test]
async fn what_we_do_not_know_is_passed_over() {
    let extras = [
        (
            Api::Chat,
            false,
            r#""content":"Hello.""#,
            r#""content":"Hello.","reasoning_content":"hm","audio":null"#,
        ),
        (Api::Chat, true, r#""delta":{"#, r#""logprobs":{"content":[]},"delta":{"reasoning_content":"hm","#),
        (
            Api::Messages,
            false,
            r#""content":["#,
            r#""content":[{"type":"thinking","thinking":"hm","signature":"s"},"#,
        ),
        (
            Api::Messages,
            true,
            "event: ping\n",
            "event: new_thing\ndata: {\"type\":\"new_thing\",\"index\":\"odd\"}\n\n\
             event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":9,\
             \"content_block\":{\"type\":\"thinking\",\"thinking\":\"\"}}\n\n\
             event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":9,\
             \"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n\n\
             event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":9}\n\nevent: ping\n",
        ),
        (
            Api::Responses,
            false,
            r#""output":["#,
            r#""output":[{"type":"reasoning","id":"rs","summary":[]},{"type":"web_search_call","id":"ws"},"#,
        ),
        (
            Api::Responses,
            true,
            "event: response.output_text.done\n",
            "event: response.new_thing\ndata: {\"type\":\"response.new_thing\",\"output_index\":\"odd\"}\n\n\
             event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\
             \"output_index\":9,\"item\":{\"type\":\"reasoning\",\"summary\":[]}}\n\n\
             event: response.reasoning_summary_text.delta\ndata: \
             {\"type\":\"response.reasoning_summary_text.delta\",\"output_index\":9,\"delta\":\"hm\"}\n\n\
             event: response.output_text.done\n",
        ),
    ];
    for (api, stream, from, to) in extras {
        let wire = Wire { api, stream };
        let body = wire.body(&HELLO);
        // `{,` would be no JSON where the delta is empty.
        let body = body.replacen(from, to, 1).replace(",}", "}");
        assert_ne!(body, wire.body(&HELLO), "the extra is in, {wire:?}");
        let server = Server::script([wire.wrap(&body)]).await;
        assert_eq!(wire.ask(&server).await.unwrap(), wire.response(&HELLO), "{wire:?}");
    }
}

#[tokio::test]
async fn a_missing_usage_is_counted_from_above_and_not_as_nothing() {
    for wire in Wire::ALL {
        let body = wire
            .body(&HELLO)
            .replace("\"usage\"", "\"usage_of_another_name\"")
            .replace("\"usageMetadata\"", "\"other\"");
        let server = Server::script([wire.wrap(&body)]).await;
        let answer = wire.ask(&server).await.unwrap();
        let Usage { input, output, estimated, .. } = answer.usage;
        let sent = request();
        let bytes = serde_json::to_string(&sent).unwrap().len() as u64;
        assert!(estimated && input >= bytes / 2 && output >= 3, "{wire:?}: {answer:?}");
        let cost = answer.cost_usd.unwrap();
        let input_cost = input as f64 * price(wire).input / 1e6;
        assert!(cost > input_cost, "{wire:?}: {cost}");
    }
}

/// A server that does not count says 0 to everything, and its answer is not free for that.
#[tokio::test]
async fn a_usage_of_nothing_is_a_missing_one() {
    for wire in Wire::ALL {
        let body = ["100", "20", "120", "40", "10", "1"].iter().fold(wire.body(&HELLO), |body, number| {
            body.replace(&format!("TokenCount\":{number}"), "TokenCount\":0")
                .replace(&format!("tokens\":{number},"), "tokens\":0,")
                .replace(&format!("tokens\":{number}}}"), "tokens\":0}")
        });
        let server = Server::script([wire.wrap(&body)]).await;
        let answer = wire.ask(&server).await.unwrap();
        assert!(answer.usage.estimated && answer.cost_usd.unwrap() > 0.0, "{wire:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_model_without_a_price_costs_an_unknown_sum() {
    for wire in Wire::ALL {
        let server = Server::script([wire.reply(&HELLO)]).await;
        let prices = PriceTable::parse("schema = 1").unwrap();
        let model = wire.model_with(server.url(), Settings { prices: Some(prices), ..quick() });
        assert_eq!(model.worst_case_usd(&request()), None);
        assert_eq!(model.complete(&request()).await.unwrap().cost_usd, None);
    }
}

/// The reservation before a call covers what the call turns out to cost, whatever the answer.
#[tokio::test]
async fn an_answer_costs_no_more_than_was_reserved_for_it() {
    for wire in Wire::ALL {
        let server = Server::script([wire.reply(&FULL)]).await;
        let model = wire.model(server.url());
        let request = Request { system: "You repair code. ".repeat(20), ..request() };
        let reserved = model.worst_case_usd(&request).unwrap();
        let cost = model.complete(&request).await.unwrap().cost_usd.unwrap();
        assert!(cost <= reserved, "{wire:?}: {cost} > {reserved}");
    }
}

#[tokio::test]
async fn calls_at_the_same_time_get_their_own_answers() {
    for wire in Wire::ALL {
        // Each question's number comes back as the served model's name.
        let server = Server::answering(move |_, seen| {
            let text = seen.body.to_string();
            let number: String = text
                .split("question ")
                .nth(1)
                .unwrap_or("?")
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            wire.wrap(&wire.body(&FULL).replace("served-model", &number))
        })
        .await;
        let model = wire.model(server.url());
        let ask = |number: usize| {
            let model = model.clone();
            async move {
                let asked = Request { system: format!("question {number}"), ..request() };
                model.complete(&asked).await.unwrap().model
            }
        };
        let answers = futures::future::join_all((0..24).map(ask)).await;
        assert_eq!(answers, (0..24).map(|number| number.to_string()).collect::<Vec<_>>(), "{wire:?}");
    }
}

/// Who gives up waiting also stops paying: the connection is closed with the call.
#[tokio::test]
async fn a_call_that_is_dropped_hangs_up() {
    for wire in Wire::ALL {
        let (first, asked) = tokio::sync::watch::channel(0);
        let server = Server::answering(move |number, _| {
            first.send_replace(number + 1);
            Reply::silence()
        })
        .await;
        let model = wire.model(server.url());
        let question = request();
        let mut asked = asked;
        tokio::select! {
            result = model.complete(&question) => panic!("{result:?}"),
            _ = asked.wait_for(|count| *count == 1) => {}
        }
        server.ended(1).await;
    }
}
