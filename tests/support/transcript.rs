//! What a model says in a case of a suite, as data.

use serde::Deserialize;
use serde_json::{Value, json};

/// One answer of a model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    #[serde(default)]
    text: String,
    /// Name, and arguments as a table or as the text of their JSON.
    #[serde(default)]
    calls: Vec<(String, Value)>,
    /// So many calls of it in the place of one.
    #[serde(default = "one")]
    each: u32,
    /// The id of all its calls.
    id: Option<String>,
    /// So many answers of it.
    #[serde(default = "one")]
    times: u32,
    /// Keys of tests/demo/scripted_model.py, by which the wire misbehaves.
    #[serde(default)]
    wire: serde_json::Map<String, Value>,
}

fn one() -> u32 {
    1
}

impl Answer {
    /// Returns an answer that makes these calls.
    pub(crate) fn calling(calls: Vec<(String, Value)>) -> Self {
        Self { text: String::new(), calls, each: 1, id: None, times: 1, wire: serde_json::Map::new() }
    }

    /// Returns the same answer given so many times.
    pub(crate) fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// Returns what tests/demo/scripted_model.py serves for it.
    pub(crate) fn entries(&self) -> Vec<Value> {
        (1..=self.times).map(|time| self.entry(time)).collect()
    }

    fn entry(&self, time: u32) -> Value {
        let mut calls: Vec<Value> = Vec::new();
        for number in 1..=self.each {
            for (name, args) in &self.calls {
                let mut args = args.clone();
                let which = ((time - 1) * self.each + number).to_string();
                for_each_text(&mut args, &mut |text| *text = text.replace("<<n>>", &which));
                let mut call = match args {
                    Value::String(arguments) => json!({"name": name, "arguments": arguments}),
                    args => json!({"name": name, "args": args}),
                };
                if let Some(id) = &self.id {
                    call["id"] = id.as_str().into();
                }
                calls.push(call);
            }
        }
        let mut entry = json!({"text": self.text, "calls": calls});
        entry.as_object_mut().expect("an object").extend(self.wire.clone());
        entry
    }
}

/// Changes every text of a value, but for the names of fields.
pub(crate) fn for_each_text(value: &mut Value, change: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| for_each_text(item, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| for_each_text(field, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
