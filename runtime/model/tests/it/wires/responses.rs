//! What a model says, on the wire of OpenAI's responses.

use serde_json::{Value, json};

use super::{Said, pieces};

/// The items of an answer: a message, and each call.
fn items(said: &Said) -> Vec<Value> {
    let mut items = Vec::new();
    if !said.text.is_empty() {
        let part = json!({"type": "output_text", "text": said.text, "annotations": [], "logprobs": []});
        items.push(json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                          "content": [part]}));
    }
    for (index, (id, name, arguments)) in said.calls.iter().enumerate() {
        items.push(json!({"type": "function_call", "id": format!("fc_{index}"), "call_id": id, "name": name,
                          "arguments": arguments, "status": "completed"}));
    }
    items
}

/// The answer as a whole; one that is not done has neither items nor usage.
fn response(said: &Said, done: bool) -> Value {
    let status = match (done, said.cut) {
        (false, _) => "in_progress",
        (true, true) => "incomplete",
        (true, false) => "completed",
    };
    let usage = json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 40}, "output_tokens": 20,
                       "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 120});
    json!({
        "id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": null,
        "incomplete_details": (done && said.cut).then(|| json!({"reason": "max_output_tokens"})),
        "model": "served-model", "output": if done { items(said) } else { Vec::new() },
        "parallel_tool_calls": true, "store": false, "usage": done.then_some(usage),
    })
}

pub(super) fn whole(said: &Said) -> String {
    response(said, true).to_string()
}

pub(super) fn stream(said: &Said) -> String {
    let (mut out, mut number) = (String::new(), 0);
    let mut event = |kind: &str, rest: Value| {
        let mut event = json!({"type": kind, "sequence_number": number});
        event.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        out.push_str(&format!("event: {kind}\ndata: {event}\n\n"));
        number += 1;
    };
    event("response.created", json!({"response": response(said, false)}));
    event("response.in_progress", json!({"response": response(said, false)}));
    for (index, item) in items(said).into_iter().enumerate() {
        let mut begun = item.clone();
        begun["status"] = "in_progress".into();
        let place = |rest: Value| {
            let mut all = json!({"output_index": index, "item_id": item["id"]});
            all.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
            all
        };
        if item["type"] == "message" {
            begun["content"] = json!([]);
            event("response.output_item.added", json!({"output_index": index, "item": begun}));
            let mut part = item["content"][0].clone();
            part["text"] = "".into();
            event("response.content_part.added", place(json!({"content_index": 0, "part": part})));
            for piece in pieces(said.text, 4) {
                event("response.output_text.delta", place(json!({"content_index": 0, "delta": piece})));
            }
            event("response.output_text.done", place(json!({"content_index": 0, "text": said.text})));
            event(
                "response.content_part.done",
                place(json!({"content_index": 0, "part": item["content"][0]})),
            );
        } else {
            begun["arguments"] = "".into();
            event("response.output_item.added", json!({"output_index": index, "item": begun}));
            let arguments = item["arguments"].as_str().expect("a text");
            for piece in pieces(arguments, 5) {
                event("response.function_call_arguments.delta", place(json!({"delta": piece})));
            }
            event("response.function_call_arguments.done", place(json!({"arguments": arguments})));
        }
        event("response.output_item.done", json!({"output_index": index, "item": item}));
    }
    let end = if said.cut { "response.incomplete" } else { "response.completed" };
    event(end, json!({"response": response(said, true)}));
    out
}
