//! Components that an operator registers: what they answer, where they are kept, how large they may be.

use std::path::Path;

use gloaming_api::tool::{ToolErrorCode, ToolOutcome};
use gloaming_sandbox::{
    NewComponent, Sandbox, StoreError, StoredComponent, ToolStore, Wit, component_digest,
};
use serde_json::json;

use crate::support::{call, get, options, put, workspace};

/// A component of one function `go` that answers whatever memory holds at 0, and the WIT of it.
fn answering(types: &str, result: &str, data: &str) -> (Vec<u8>, Wit) {
    let text = format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (data (i32.const 0) "{data}")
                (func (export "f") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            {types}
            (func (export "go") (result {result}) (canon lift (core func $i "f") (memory $i "memory"))))"#
    );
    let bytes = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    // Only the comment is taken from it.
    (bytes, Wit::text("package a:b; world w { /// Goes.\n export go: func(); }"))
}

fn answer(types: &str, result: &str, data: &str) -> ToolOutcome {
    let (bytes, wit) = answering(types, result, data);
    let mut sandbox = Sandbox::without_tools(options()).unwrap();
    sandbox.register_with_wit(&bytes, &wit).unwrap();
    call(&sandbox, "go", workspace(&[]).path(), json!({})).outcome
}

#[test]
fn every_kind_of_result_is_an_answer() {
    // A string is its address and its length.
    let text = r"\10\00\00\00\02\00\00\00\00\00\00\00\00\00\00\00hi";
    let outcome = answer("", "string", text);
    assert_eq!(outcome, ToolOutcome::ok(json!("hi")));
    assert_eq!(outcome.for_model(), "hi", "text is shown as it is, not as JSON");
    // A result is its case before its payload.
    let ok = r"\00\00\00\00\10\00\00\00\02\00\00\00\00\00\00\00hi";
    let error = r"\01\00\00\00\10\00\00\00\02\00\00\00\00\00\00\00no";
    assert_eq!(answer("", "(result string (error string))", ok), ToolOutcome::ok(json!("hi")));
    let failed = answer("", "(result string (error string))", error).error.unwrap();
    assert_eq!((failed.code, failed.message.as_str()), (ToolErrorCode::Failed, "no"));
    let failed = answer("", "(result string)", error).error.unwrap();
    assert_eq!(failed.message, "the tool failed without saying why");
    assert_eq!(answer("", "(tuple u8 u8)", r"\01\02"), ToolOutcome::ok(json!([1, 2])));
}

#[test]
fn an_answer_without_a_form_in_json_is_left_out() {
    let text = r#"(component
        (import "gloaming:tool/workspace@0.1.0" (instance $w (export "walk" (type (sub resource)))))
        (alias export $w "walk" (type $walk))
        (core module $m (func (export "f") (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func (export "go") (result (own $walk)) (canon lift (core func $i "f"))))"#;
    let wit = Wit::text("package a:b; world w { /// Goes.\n export go: func(); }");
    let mut sandbox = Sandbox::without_tools(options()).unwrap();
    let error = sandbox.register_with_wit(&wat::parse_str(text).unwrap(), &wit).unwrap_err();
    assert!(
        error.to_string().contains("its answer holds the type `own`, which has no form in JSON"),
        "{error}"
    );
}

/// Components linked from a language's runtime and its libraries have more tables, memories and instances than
/// a place of the pool; making every place that large would cost everybody.
#[test]
fn a_component_too_large_for_a_place_of_the_pool_runs_beside_it() {
    let large = |module: &str, instances: usize| {
        let many =
            (0..instances).map(|n| format!("(core instance $i{n} (instantiate $m))")).collect::<String>();
        wat::parse_str(format!(
            r#"(component
                (core module $m {module} (func (export "f") (result i32) i32.const 7))
                {many}
                (func (export "go") (result u32) (canon lift (core func $i0 "f"))))"#
        ))
        .unwrap()
    };
    let wit = Wit::text("package a:b; world w { /// Goes.\n export go: func(); }");
    let dir = workspace(&[]);
    for (module, instances) in
        [("(table 30000 funcref)", 1), ("", 20), ("(memory 1)", 5), ("(table 1 funcref)", 9)]
    {
        let mut sandbox = Sandbox::without_tools(options()).unwrap();
        sandbox.register_with_wit(&large(module, instances), &wit).unwrap();
        let outcome = call(&sandbox, "go", dir.path(), json!({})).outcome;
        assert_eq!(outcome, ToolOutcome::ok(json!(7)), "{module} {instances}");
    }
    // There are bounds there too.
    let mut sandbox = Sandbox::without_tools(options()).unwrap();
    sandbox.register_with_wit(&large("(memory 4096)", 2), &wit).unwrap();
    let outcome = call(&sandbox, "go", dir.path(), json!({})).outcome;
    assert_eq!(
        outcome.error.unwrap().code,
        ToolErrorCode::TooLarge,
        "two memories of 256 MiB are over the cap"
    );
}

fn add(folder: &Path, new: &(Vec<u8>, Wit), replace: bool) -> Result<StoredComponent, StoreError> {
    let mut sandbox = Sandbox::without_tools(options()).unwrap();
    let new = NewComponent {
        bytes: new.0.clone(),
        wit: Some(new.1.clone()),
        source: "go.wasm".into(),
        added: "2026-01-01T00:00:00Z".into(),
    };
    ToolStore::new(folder).add(&mut sandbox, new, replace).map(|(stored, _, _)| stored)
}

#[test]
fn a_registered_component_is_kept_by_digest_and_loaded_again() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = workspace(&[]);
    let folder = dir.path().join("tools");
    let store = ToolStore::new(&folder);
    assert_eq!(store.components().unwrap(), []);
    let component = answering("", "(tuple u8 u8)", r"\01\02");
    let stored = add(&folder, &component, false).unwrap();
    assert_eq!(stored.digest, component_digest(&component.0));
    assert_eq!(stored.tools, ["go"]);
    assert_eq!(add(&folder, &component, false).unwrap(), stored, "adding it again changes nothing");
    assert_eq!(store.components().unwrap(), std::slice::from_ref(&stored));
    assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    let mut sandbox = Sandbox::without_tools(options()).unwrap();
    let loaded = store.load(&mut sandbox, &stored).unwrap();
    assert_eq!(loaded, store.inspect(&stored).unwrap());
    assert_eq!(call(&sandbox, "go", dir.path(), json!({})).outcome, ToolOutcome::ok(json!([1, 2])));

    let another = answering("", "(tuple u8 u8)", r"\03\04");
    let error = add(&folder, &another, false).unwrap_err();
    assert_eq!(error.to_string(), format!("a tool named go is registered already, by {}", stored.digest));
    let newer = add(&folder, &another, true).unwrap();
    assert_eq!(store.components().unwrap(), std::slice::from_ref(&newer));
    store.remove(&newer).unwrap();
    assert_eq!(store.components().unwrap(), []);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_registered_component_that_was_changed_is_not_loaded() {
    let dir = workspace(&[]);
    let stored = add(dir.path(), &answering("", "(tuple u8 u8)", r"\01\02"), false).unwrap();
    let store = ToolStore::new(dir.path());
    let name = |extension: &str| format!("{}.{extension}", stored.digest.hex());
    let other = answering("", "(tuple u8 u8)", r"\03\04").0;
    std::fs::write(dir.path().join(name("wasm")), &other).unwrap();
    let mut sandbox = Sandbox::without_tools(options()).unwrap();
    let error = store.load(&mut sandbox, &stored).unwrap_err();
    assert!(matches!(error, StoreError::Digest { .. }), "{error}");
    assert_eq!(sandbox.tools(), []);
    std::fs::remove_file(dir.path().join(name("wasm"))).unwrap();
    assert!(matches!(store.load(&mut sandbox, &stored).unwrap_err(), StoreError::Io { .. }));
    // A record under another component's name, and one that is none.
    let record = get(dir.path(), &name("json")).unwrap();
    std::fs::remove_file(dir.path().join(name("json"))).unwrap();
    for (file, text) in [("0000.json", record.as_str()), ("1111.json", "{}")] {
        put(dir.path(), file, text);
        assert!(matches!(store.components().unwrap_err(), StoreError::Record { .. }), "{file}");
        std::fs::remove_file(dir.path().join(file)).unwrap();
    }
}
