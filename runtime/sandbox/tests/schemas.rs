//! What a model is offered, whole.

use crate::support::sandbox;

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
