//! A tool as a client is shown it.

use std::sync::Arc;

use gloaming_api::tool::ToolSpec;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::Value;

/// Those of our own tools that write and of which the same call again changes nothing more. Others that write, and
/// whatever an operator registered, are taken for the worst: they may destroy, and doing it again may do more.
const SAME_AGAIN: &[&str] = &["remove", "write"];

/// Returns a tool with its annotations. They are hints for people; what a tool may do is held by the sandbox.
pub(crate) fn shown(spec: &ToolSpec, output: Option<Value>) -> Tool {
    let title = in_words(&spec.name);
    let annotations = ToolAnnotations::with_title(title.clone())
        .read_only(!spec.writes)
        .destructive(spec.writes)
        .idempotent(!spec.writes || SAME_AGAIN.contains(&spec.name.as_str()))
        .open_world(false);
    let tool = Tool::new(spec.name.clone(), spec.description.clone(), object(spec.input_schema.clone()))
        .with_title(title)
        .with_annotations(annotations);
    match output {
        Some(schema) => tool.with_raw_output_schema(object(schema)),
        None => tool,
    }
}

/// `word_count` as a title: "Word count".
fn in_words(name: &str) -> String {
    let mut words = name.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

fn object(schema: Value) -> Arc<JsonObject> {
    Arc::new(match schema {
        Value::Object(schema) => schema,
        // The sandbox makes objects only; an empty schema lets everything through to the check it makes.
        _ => JsonObject::new(),
    })
}
