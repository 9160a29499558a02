//! A value of JSON as lists of terms: what is shown of a policy or a profile without a form of its own.

use maud::{Markup, html};
use serde_json::Value;

use super::text::{shown, words};

/// How deep it goes; what is deeper is shown as JSON.
const DEEPEST: usize = 6;

pub(super) fn tree(value: &Value) -> Markup {
    at(value, 0)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn at(value: &Value, depth: usize) -> Markup {
    if depth > DEEPEST {
        return html! { code { (shown(&value.to_string())) } };
    }
    match value {
        Value::Null => html! { "none" },
        Value::Bool(true) => html! { "yes" },
        Value::Bool(false) => html! { "no" },
        Value::Number(number) => html! { (number) },
        Value::String(text) => html! { code { (shown(text)) } },
        Value::Array(values) if values.is_empty() => html! { "none" },
        Value::Array(values) => html! { ul { @for value in values { li { (at(value, depth + 1)) } } } },
        Value::Object(fields) => html! {
            dl class="tree" {
                @for (name, value) in fields {
                    @if !is_empty(value) { div { dt { (shown(&words(name))) } dd { (at(value, depth + 1)) } } }
                }
            }
        },
    }
}
