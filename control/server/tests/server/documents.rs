//! What is written of the server is what it does. `GLOAMING_UPDATE=1` rewrites the OpenAPI document.

use std::collections::BTreeMap;

use gloaming_api::endpoints::ENDPOINTS;
use gloaming_api::problem::ProblemCode;
use serde_json::Value;

fn docs(path: &str) -> String {
    format!("{}/../../docs/{path}", env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(docs(path)).unwrap_or_default()
}

#[test]
fn the_published_description_is_the_tables() {
    let path = "schemas/openapi.json";
    if std::env::var_os("GLOAMING_UPDATE").is_some() {
        std::fs::write(docs(path), gloaming_server::openapi::text()).unwrap();
    }
    let same = read(path) == gloaming_server::openapi::text();
    assert!(
        same,
        "docs/{path} is not the table's; GLOAMING_UPDATE=1 cargo test -p gloaming-server rewrites it"
    );
}

/// Every reference leads somewhere, and every operation is the table's.
#[test]
fn the_description_is_whole() {
    let document: Value = serde_json::from_str(gloaming_server::openapi::text()).unwrap();
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        if let Some(reference) = value["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference}"));
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => open.extend(fields.values()),
            _ => {}
        }
    }
    let operations: usize =
        document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(operations, ENDPOINTS.iter().filter(|endpoint| !endpoint.is_web()).count());
}

/// A page for each code, in the same order: what it is, why, what to do, an example.
#[test]
fn each_code_has_a_page_and_each_page_a_code() {
    let mut files: Vec<String> = std::fs::read_dir(docs("errors"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut wanted: Vec<String> =
        ProblemCode::ALL.iter().map(|code| format!("{}.md", code.as_str())).collect();
    wanted.sort();
    assert_eq!(files, wanted);
    for code in ProblemCode::ALL {
        let page = read(&format!("errors/{}.md", code.as_str()));
        let head = format!("# `{}`: {}\n\nHTTP status {}. ", code.as_str(), code.title(), code.status());
        assert!(page.starts_with(&head), "docs/errors/{}.md begins otherwise than\n{head}", code.as_str());
        for section in ["\n## Why\n", "\n## What to do\n", "\n## Example\n"] {
            assert!(page.contains(section), "{}: {section}", code.as_str());
        }
        let example = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let problem: gloaming_api::problem::Problem = serde_json::from_str(example).unwrap();
        let made = gloaming_api::problem::Problem::new(*code, problem.detail.clone());
        assert_eq!((problem.kind, problem.title, problem.status), (made.kind, made.title, made.status));
        assert_eq!(problem.code, *code);
    }
}

#[test]
fn each_metric_is_told_of_and_nothing_else_is() {
    let page = read("metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `gloaming_"));
    let told: BTreeMap<String, (String, String)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            let name = format!("gloaming_{}", cells[0].trim_end_matches('`'));
            (name, (cells[1].to_owned(), cells[2].trim_end_matches(" |").to_owned()))
        })
        .collect();
    let counted: BTreeMap<String, (String, String)> = gloaming_server::METRICS
        .iter()
        .map(|(name, kind, about)| ((*name).to_owned(), ((*kind).to_owned(), (*about).to_owned())))
        .collect();
    assert_eq!(told, counted);
}
