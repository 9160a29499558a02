//! What is refused before anything runs.

use gloaming_api::tool::ToolOutcome;
use gloaming_sandbox::{Sandbox, SandboxError, Wit, component_digest, inspect};
use serde_json::json;

use crate::support::{call, guest, options, sandbox, workspace};

fn refusal(wat: &str) -> String {
    let mut sandbox = Sandbox::without_tools(options()).unwrap();
    let bytes = wat::parse_str(wat).unwrap();
    let error = sandbox.register(&bytes).unwrap_err();
    assert_eq!(sandbox.tools(), []);
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

#[test]
fn imports_outside_the_contract_are_listed_in_full() {
    let text = refusal(
        r#"(component
            (import "wasi:sockets/tcp@0.2.0" (instance (export "f" (func))))
            (import "wasi:http/outgoing-handler@0.2.0" (instance (export "f" (func))))
            (import "wasi:cli/environment@0.3.0" (instance (export "f" (func))))
            (import "gloaming:tool/other@0.1.0" (instance (export "f" (func))))
            (import "gloaming:tool/sly-types@0.1.0" (instance (export "f" (func))))
            (import "gloaming:tool/log@0.1.0" (instance (export "log" (func (param "message" string)))))
            (import "bare" (func)))"#,
    );
    assert_eq!(
        text.split(';').next().unwrap(),
        "the component imports what no grant can give: bare, gloaming:tool/other@0.1.0, \
         gloaming:tool/sly-types@0.1.0, wasi:cli/environment@0.3.0, wasi:http/outgoing-handler@0.2.0, \
         wasi:sockets/tcp@0.2.0"
    );
}

#[test]
fn another_version_of_the_contract_is_named() {
    let text = refusal(
        r#"(component (import "gloaming:tool/log@0.2.0" (instance (export "log" (func (param "message" string))))))"#,
    );
    assert_eq!(text, "the component speaks gloaming:tool@0.2.0, this host gloaming:tool@0.1.0; rebuild it");
}

#[test]
fn what_to_do_about_a_refusal_is_said() {
    let mut sandbox = Sandbox::without_tools(options()).unwrap();
    let mut advice =
        |wat: &str| sandbox.register(&wat::parse_str(wat).unwrap()).unwrap_err().advice().unwrap();
    let import = |name: &str| format!(r#"(component (import "{name}" (instance (export "f" (func)))))"#);
    assert!(advice(&import("wasi:http/types@0.2.10")).starts_with("a tool has no network: build it without"));
    assert_eq!(advice(&import("wasi:clocks/monotonic-clock@0.3.0")), "build it against WASI 0.2");
    assert!(advice(&import("acme:db/query")).starts_with("leave these imports out of its world"));
    assert!(
        advice(&import("gloaming:tool/log@0.2.0")).starts_with("rebuild it against the WIT of this host")
    );
    // A function that the interface of this name does not have.
    let unlinked = format!(
        r#"(component (import "gloaming:tool/log@0.1.0" (instance (export "f" (func)))) {})"#,
        exporting("(export \"go\" (func $f))")
    );
    let wit = Wit::text("package a:b; world w { /// Goes.\n export go: func() -> u32; }");
    let mut sandbox = Sandbox::without_tools(options()).unwrap();
    let error = sandbox.register_with_wit(&wat::parse_str(&unlinked).unwrap(), &wit).unwrap_err();
    assert!(matches!(error, SandboxError::Link(_)), "{error}");
    assert!(error.advice().unwrap().starts_with("rebuild it"));
}

/// A lifted function that answers 7, and something that exports it.
fn exporting(export: &str) -> String {
    format!(
        r#"(core module $m (func (export "f") (result i32) i32.const 7))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))
        {export}"#
    )
}

#[test]
fn a_component_without_a_function_that_can_be_a_tool_is_refused_with_each_reason() {
    assert_eq!(refusal("(component)"), "the component is not a tool: it exports no function");
    let text = refusal(&format!(
        "(component {})",
        exporting(
            r#"(export "a" (func $f)) (instance (export "wasi:cli/run@0.2.0") (export "run" (func $f)))"#
        )
    ));
    assert_eq!(
        text,
        "the component is not a tool: none of the functions it exports can be one (a: it has no doc comment, \
         which is the tool's description; where the toolchain lost it, register the component with its WIT; \
         wasi:cli/run@0.2.0.run: it is WASI's)"
    );
    let module = refusal("(module)");
    assert!(
        module.starts_with("the component is not a tool: it is a core module; build it for wasm32-wasip2")
    );
}

#[test]
fn functions_of_world_and_interfaces_are_tools_named_by_their_interface_where_they_must_be() {
    let component = format!(
        "(component {})",
        exporting(
            r#"(export "word-count" (func $f))
            (export "undocumented" (func $f))
            (instance (export "acme:x/first@1.0.0") (export "go" (func $f)) (export "stop" (func $f)))
            (instance (export "acme:x/second@1.0.0") (export "go" (func $f)) (export "word-count" (func $f)))"#
        )
    );
    let bytes = wat::parse_str(&component).unwrap();
    let wit = Wit::text(
        "package acme:x@1.0.0;
        interface first { /// One.\n go: func() -> u32; /// Stops.\n stop: func() -> u32; }
        interface second { /// Two.\n go: func() -> u32; /// Three.\n word-count: func() -> u32; }
        world w { /// Four.\n export word-count: func() -> u32; export first; export second; }",
    );
    let mut sandbox = Sandbox::without_tools(options()).unwrap();
    let found = sandbox.register_with_wit(&bytes, &wit).unwrap();
    assert_eq!(found, inspect(&bytes, Some(&wit)).unwrap());
    let tools: Vec<(&str, &str)> =
        found.tools.iter().map(|tool| (tool.name.as_str(), tool.description.as_str())).collect();
    assert_eq!(
        tools,
        [
            ("first_go", "One."),
            ("second_go", "Two."),
            ("second_word_count", "Three."),
            ("stop", "Stops."),
            ("word_count", "Four."),
        ]
    );
    let left_out: Vec<&str> = found.left_out.iter().map(|left| left.function.as_str()).collect();
    assert_eq!(left_out, ["undocumented"]);
    let dir = workspace(&[]);
    for (name, _) in tools {
        let outcome = call(&sandbox, name, dir.path(), json!({})).outcome;
        assert_eq!(outcome, ToolOutcome::ok(json!(7)), "{name}");
    }
}

#[test]
fn what_is_no_component_is_refused() {
    let mut sandbox = Sandbox::without_tools(options()).unwrap();
    let module = wat::parse_str("(module)").unwrap();
    for bytes in [&b""[..], b"not wasm", b"\0asm\x0d\0\x01\0\xff\xff", &module] {
        sandbox.register(bytes).unwrap_err();
    }
}

#[test]
fn a_name_is_registered_once_and_a_clone_keeps_its_own_list() {
    let mut one = sandbox().clone();
    let bytes = guest("evil-loop");
    let [spec] = one.register(&bytes).unwrap().tools.try_into().unwrap();
    assert_eq!(spec.name, "evil_loop");
    assert_eq!(spec.component, Some(component_digest(&bytes)));
    assert_eq!(one.register(&bytes).unwrap_err().to_string(), "a tool named evil_loop is registered already");
    assert!(sandbox().tools().iter().all(|tool| tool.name != "evil_loop"));
}

#[test]
fn a_component_without_doc_comments_takes_them_from_the_wit_beside_it() {
    let bytes = without_docs(&guest("evil-panic"));
    let mut sandbox = Sandbox::without_tools(options()).unwrap();
    let error = sandbox.register(&bytes).unwrap_err().to_string();
    assert!(error.contains("evil-panic: it has no doc comment"), "{error}");
    let wit = r"
        package acme:docs;
        world w {
            use gloaming:tool/types@0.1.0.{failure};
            record panic-args {
                /// Told beside the component.
                message: string,
            }
            record panic-output { text: string }
            /// What it does.
            export evil-panic: func(args: panic-args) -> result<panic-output, failure>;
        }";
    let [spec] = sandbox.register_with_wit(&bytes, &Wit::text(wit)).unwrap().tools.try_into().unwrap();
    assert_eq!(spec.description, "What it does.");
    assert_eq!(
        spec.input_schema["properties"]["message"]["description"].as_str(),
        Some("Told beside the component.")
    );
    sandbox.register_with_wit(&guest("evil-loop"), &Wit::text("no wit at all")).unwrap_err();
}

/// Drops a component's trailing section of doc comments.
fn without_docs(component: &[u8]) -> Vec<u8> {
    let name = b"package-docs";
    let at = component.windows(name.len()).rposition(|window| window == name).expect("it has doc comments");
    // Before the name stand its length, the section's length (one to three bytes here) and a zero.
    let start = (at.saturating_sub(6)..at - 1)
        .find(|start| {
            let (length, bytes) = leb(&component[start + 1..]);
            component[*start] == 0 && start + 1 + bytes + length == component.len()
        })
        .expect("the section is the last");
    component[..start].to_vec()
}

fn leb(bytes: &[u8]) -> (usize, usize) {
    let mut value = 0;
    for (i, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return (value, i + 1);
        }
    }
    (value, 5)
}
