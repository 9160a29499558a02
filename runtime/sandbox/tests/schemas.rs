//! What a model is offered, whole.

use serde_json::json;

use crate::support::{call, sandbox, workspace};

#[test]
fn the_built_in_tools_are_offered_with_names_descriptions_and_schemas() {
    let mut text = String::new();
    for tool in sandbox().tools() {
        let writes = if tool.writes { ", writes" } else { "" };
        text.push_str(&format!("# {}{writes}\n{}\n", tool.name, tool.description));
        text.push_str(&serde_json::to_string_pretty(&tool.input_schema).unwrap());
        text.push('\n');
    }
    insta::assert_snapshot!("tools", text);
}

#[test]
fn the_variants_over_wasi_are_offered_as_the_tools_they_stand_for() {
    for variant in sandbox().wasi_variants().unwrap().tools() {
        let tool = sandbox().tools().into_iter().find(|tool| tool.name == variant.name).unwrap();
        assert_eq!(variant.description, tool.description);
        assert_eq!(variant.input_schema, tool.input_schema);
        assert_ne!(variant.component, tool.component);
        assert!(variant.writes);
    }
}

#[test]
fn the_built_in_tools_say_what_they_answer() {
    let dir = workspace(&[("a.txt", "one\n")]);
    let variants = sandbox().wasi_variants().unwrap();
    for tool in sandbox().tools() {
        let schema = sandbox().output_schema(&tool.name).unwrap();
        assert_eq!((&schema["type"], &schema["additionalProperties"]), (&json!("object"), &json!(false)));
        if variants.tools().iter().any(|variant| variant.name == tool.name) {
            assert_eq!(variants.output_schema(&tool.name), Some(schema), "{}", tool.name);
        }
    }
    for (tool, args) in [
        ("read", json!({"path": "a.txt"})),
        ("list", json!({})),
        ("search", json!({"pattern": "one"})),
        ("write", json!({"path": "b.txt", "content": "two\n"})),
        ("edit", json!({"path": "b.txt", "old": "two", "new": "three"})),
    ] {
        let outcome = call(sandbox(), tool, dir.path(), args).outcome;
        let answer = outcome.output.unwrap_or_else(|| panic!("{tool}: {:?}", outcome.error));
        let schema = sandbox().output_schema(tool).unwrap();
        let answer = answer.as_object().unwrap();
        assert!(answer.keys().all(|key| schema["properties"].get(key).is_some()), "{tool}: {answer:?}");
        let required = schema["required"].as_array().unwrap();
        assert!(required.iter().all(|key| answer.contains_key(key.as_str().unwrap())), "{tool}: {answer:?}");
    }
    assert_eq!(sandbox().output_schema("no_such_tool"), None);
}
