//! What is refused before anything runs.

use gloaming_sandbox::{Sandbox, component_digest};

use crate::support::{guest, options, sandbox};

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
fn a_tool_exports_one_function() {
    assert_eq!(refusal("(component)"), "the component is not a tool: it exports no function");
    let two = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func (export "a") (canon lift (core func $i "f")))
        (func (export "b") (canon lift (core func $i "f"))))"#;
    assert_eq!(refusal(two), "the component is not a tool: it exports 2 functions (a, b); export one");
    let instance = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance (export "acme:x/y@1.0.0") (export "f" (func $f))))"#;
    assert_eq!(
        refusal(instance),
        "the component is not a tool: it exports functions in the interface acme:x/y@1.0.0; export one function \
         from the world"
    );
}

#[test]
fn a_tool_answers_a_result_with_the_contract_s_failure() {
    let plain = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func (export "a") (canon lift (core func $i "f"))))"#;
    assert_eq!(
        refusal(plain),
        "the component is not a tool: its function a does not answer result<..., failure> with the failure of \
         gloaming:tool/types"
    );
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
    let spec = one.register(&bytes).unwrap();
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
    assert!(error.contains("evil-panic has no doc comment"), "{error}");
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
    let spec = sandbox.register_with_wit(&bytes, wit).unwrap();
    assert_eq!(spec.description, "What it does.");
    assert_eq!(
        spec.input_schema["properties"]["message"]["description"].as_str(),
        Some("Told beside the component.")
    );
    sandbox.register_with_wit(&guest("evil-loop"), "no wit at all").unwrap_err();
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
