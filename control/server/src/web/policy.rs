//! What counts in a repository: limits, and the rules of each layer.

use maud::{Markup, html};
use serde_json::{Map, Value};

use super::text::{code, facts, long, mark, name_of, shown, table, words};
use super::tree::{named, tree};
use crate::handlers::repos::NOTE;

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The operator's policy, as the API tells it.
pub(super) fn effective(policy: &Value) -> Markup {
    let notes: Vec<&str> =
        policy["notes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let files = policy["layers"].as_array();
    let grant = &policy["grant"];
    html! {
        section aria-labelledby="policy" {
            h2 id="policy" { "The operator's policy" }
            p { (spoken(NOTE)) }
            (facts(&[("Grant", code(text(policy, "digest")))]))
            @if !notes.is_empty() { ul { @for note in &notes { li { (shown(note)) } } } }
            h3 { "Limits of an attempt" }
            (tree(&without(grant, &["layers", "jobs", "schema", "digest"])))
            (jobs(&grant["jobs"]))
            h3 { "Rules" }
            @for (at, layer) in grant["layers"].as_array().into_iter().flatten().enumerate() { (rules(at, layer)) }
            h3 { "Files" }
            @if files.is_none_or(Vec::is_empty) { p { "No file of the operator's is for it: the preset " code { "standard" } " counts." } }
            @for (at, file) in files.into_iter().flatten().enumerate() {
                (long(&format!("file-{at}"), &format!("{}: {}", text(file, "layer"), text(file, "file")), text(file, "text")))
            }
        }
    }
}

/// Returns a sentence with what stands between backticks in it as code.
fn spoken(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() { @if at % 2 == 1 { code { (part) } } @else { (part) } }
    }
}

/// Returns an object without some of its fields.
pub(super) fn without(value: &Value, names: &[&str]) -> Value {
    let fields = value.as_object().into_iter().flatten().filter(|(name, _)| !names.contains(&name.as_str()));
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// The limits of jobs, a row for each purpose.
fn jobs(jobs: &Value) -> Markup {
    let Some((jobs, first)) =
        jobs.as_object().and_then(|jobs| Some((jobs, jobs.values().next()?.as_object()?)))
    else {
        return html! {};
    };
    let names: Vec<&String> = first.keys().collect();
    let heads: Vec<String> = std::iter::once("For".to_owned())
        .chain(names.iter().map(|name| named(name, &first[name.as_str()]).0))
        .collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let rows: Vec<Vec<Markup>> = jobs
        .iter()
        .map(|(purpose, limits)| {
            let cells = names.iter().map(|name| match &limits[name.as_str()] {
                Value::Null => html! {},
                value => named(name, value).1.unwrap_or_else(|| html! { (shown(&name_of(value))) }),
            });
            std::iter::once(html! { (words(purpose)) }).chain(cells).collect()
        })
        .collect();
    table("Limits of container jobs", &heads, &rows)
}

/// A layer's rules as a table, and whatever else it sets.
fn rules(at: usize, layer: &Value) -> Markup {
    let content = layer["content"].as_object().cloned().unwrap_or_default();
    let (mut rows, mut rest) = (Vec::new(), Map::new());
    for (kind, value) in content {
        match value.as_array() {
            Some(rules) if rules.iter().all(|rule| rule["id"].is_string()) => {
                rows.extend(rules.iter().map(|rule| row(&kind, rule)));
            }
            _ => _ = rest.insert(kind, value),
        }
    }
    let name = words(text(layer, "layer"));
    let count = rows.len();
    html! {
        details id={ "layer-" (at) } {
            summary { (name) ": " (count) @if count == 1 { " rule" } @else { " rules" } }
            @if !rows.is_empty() { (table(&format!("Rules of the layer {name}"), &["Rule", "Decision", "Of what", "Because"], &rows)) }
            @if !rest.is_empty() { (tree(&Value::Object(rest))) }
        }
    }
}

fn row(kind: &str, rule: &Value) -> Vec<Markup> {
    let told = ["id", "because", "instead"];
    let colour = match kind {
        "allow" => "good",
        "deny" => "bad",
        _ => "quiet",
    };
    vec![
        html! { code { (shown(text(rule, "id"))) } },
        mark(&words(kind), colour),
        html! {
            @for (name, value) in without(rule, &told).as_object().into_iter().flatten() {
                p { (words(name)) ": " (inline(value)) }
            }
        },
        html! {
            (shown(text(rule, "because")))
            @if !text(rule, "instead").is_empty() { p class="hint" { "Instead: " (shown(text(rule, "instead"))) } }
        },
    ]
}

fn inline(value: &Value) -> Markup {
    match value {
        Value::Bool(true) => html! { "yes" },
        Value::Bool(false) => html! { "no" },
        Value::Array(values) => html! {
            @for (at, value) in values.iter().enumerate() { @if at > 0 { ", " } code { (shown(&name_of(value))) } }
        },
        value => html! { code { (shown(&name_of(value))) } },
    }
}
