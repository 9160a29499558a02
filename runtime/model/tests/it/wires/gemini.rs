//! What a model says, on Gemini's wire.

use serde_json::{Value, json};

use super::{Said, pieces};

fn chunk(parts: &[Value], finish: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    let mut chunk = json!({"modelVersion": "served-model", "responseId": "x"});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
        chunk["usageMetadata"] = json!({"promptTokenCount": 100, "cachedContentTokenCount": 40,
                                        "candidatesTokenCount": 20, "totalTokenCount": 120});
    }
    chunk["candidates"] = json!([candidate]);
    chunk
}

/// Its calls come whole, their arguments as an object.
fn calls(said: &Said) -> Vec<Value> {
    let call = |(id, name, arguments): &(&str, &str, &str)| {
        let args: Value = serde_json::from_str(arguments).unwrap_or_else(|_| (*arguments).into());
        json!({"functionCall": {"id": id, "name": name, "args": args}})
    };
    said.calls.iter().map(call).collect()
}

fn finish(said: &Said) -> &'static str {
    if said.cut { "MAX_TOKENS" } else { "STOP" }
}

pub(super) fn whole(said: &Said) -> String {
    let text = (!said.text.is_empty()).then(|| json!({"text": said.text}));
    let parts: Vec<Value> = text.into_iter().chain(calls(said)).collect();
    chunk(&parts, Some(finish(said))).to_string()
}

pub(super) fn stream(said: &Said) -> String {
    let mut out = String::new();
    let mut event = |chunk: Value| out.push_str(&format!("data: {chunk}\n\n"));
    for piece in pieces(said.text, 4) {
        event(chunk(&[json!({"text": piece})], None));
    }
    for call in calls(said) {
        event(chunk(&[call], None));
    }
    event(chunk(&[json!({"text": ""})], Some(finish(said))));
    out
}
