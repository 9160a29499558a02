//! A value of JSON as lists of terms: what is shown of a policy or a profile without a form of its own.

use maud::{Markup, html};
use serde_json::Value;

use super::text::{shown, took_s, words};

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

/// Returns what a field is called and what it holds, as a person says them: sizes, times and money by their units.
pub(super) fn named(name: &str, value: &Value) -> (String, Option<Markup>) {
    if let ("argv", Value::Array(parts)) = (name, value) {
        let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
        return ("Command".to_owned(), Some(html! { code { (shown(&parts.join(" "))) } }));
    }
    let (stem, number) = match (name.rsplit_once('_'), value.as_f64()) {
        (Some((stem, "s")), Some(seconds)) => (stem, Some(took_s(seconds))),
        (Some((stem, "usd")), Some(usd)) => (stem, Some(super::list::usd(usd))),
        (_, Some(bytes)) if matches!(name, "memory" | "output" | "scratch" | "tool_bytes") => {
            (name, Some(size(bytes)))
        }
        _ => (name, None),
    };
    let stem = if stem == "wall" { "time" } else { stem };
    (words(stem), number.map(|number| html! { (number) }))
}

/// Returns bytes as a person says them.
fn size(bytes: f64) -> String {
    let (unit, name) = [(1_f64, "B"), (1024.0, "KiB"), (1_048_576.0, "MiB"), (1_073_741_824.0, "GiB")]
        .into_iter()
        .rev()
        .find(|(unit, _)| bytes >= *unit)
        .unwrap_or((1.0, "B"));
    let text = format!("{:.1}", bytes / unit);
    format!("{} {name}", text.strip_suffix(".0").unwrap_or(&text))
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
                    @if !is_empty(value) { (field(name, value, depth)) }
                }
            }
        },
    }
}

fn field(name: &str, value: &Value, depth: usize) -> Markup {
    let (name, said) = named(name, value);
    html! { div { dt { (shown(&name)) } dd { (said.unwrap_or_else(|| at(value, depth + 1))) } } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_have_their_units_and_whatever_is_deep_is_json() {
        let told = |value: Value| tree(&value).into_string();
        for (value, expect) in [
            (json!({"memory": 4_294_967_296_u64}), "<dt>Memory</dt><dd>4 GiB</dd>"),
            (json!({"output": 1536}), "<dt>Output</dt><dd>1.5 KiB</dd>"),
            (json!({"wall_s": 90}), "<dt>Time</dt><dd>1 min 30 s</dd>"),
            (json!({"cost_usd": 5}), "<dt>Cost</dt><dd>$5.00</dd>"),
            (
                json!({"<b>": ["</b>"]}),
                "<dt>&lt;b&gt;</dt><dd><ul><li><code>&lt;/b&gt;</code></li></ul></dd>",
            ),
        ] {
            assert_eq!(told(value), format!("<dl class=\"tree\"><div>{expect}</div></dl>"));
        }
        let deep = (0..100).fold(json!("x"), |value, _| json!([value]));
        assert!(told(deep).contains("<code>[[["));
    }
}
