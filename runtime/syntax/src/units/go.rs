//! What Go declares.

use tree_sitter::Node;

use super::{Facts, Found, Import, UnitKind, field_text, holds, identifiers_below};
use crate::tree::text_of;

/// Whether a comment tells the compiler whether to take the file.
pub(super) fn is_directive(source: &[u8], node: Node<'_>) -> bool {
    let text = &source[node.start_byte()..node.end_byte()];
    node.kind() == "comment" && (text.starts_with(b"//go:") || text.starts_with(b"// +build"))
}

/// Whether a unit is an example, which is compared with what a comment in it says it prints.
pub(super) fn is_example(found: &Found<'_>) -> bool {
    found.is_test && found.name.starts_with("Example")
}

/// Whether a function is handed what fails a test: it serves tests, wherever it stands.
fn checks(source: &[u8], function: Node<'_>) -> bool {
    let parameters = field_text(source, function, "parameters");
    ["testing.T", "testing.B", "testing.TB", "testing.F", "testing.M"]
        .iter()
        .any(|word| parameters.contains(word))
}

pub(super) fn describe<'t>(source: &[u8], node: Node<'t>) -> Found<'t> {
    match node.kind() {
        "function_declaration" => {
            let name = field_text(source, node, "name");
            let suite = |prefix: &str| {
                name.strip_prefix(prefix).is_some_and(|rest| !rest.starts_with(|c: char| c.is_lowercase()))
            };
            let hook = matches!(name.as_str(), "TestMain" | "init");
            Found {
                kind: Some(UnitKind::Function),
                is_test: !hook && ["Test", "Benchmark", "Example", "Fuzz"].into_iter().any(suite),
                test_scope: checks(source, node),
                facts: Facts { hook, ..Facts::default() },
                name,
                ..Found::default()
            }
        }
        "method_declaration" => {
            let name = field_text(source, node, "name");
            let receiver = node.child_by_field_name("receiver");
            let owner = receiver.and_then(|receiver| identifiers_below(source, receiver).pop());
            // testify's suites.
            let hook = ["SetupSuite", "SetupTest", "SetupSubTest", "BeforeTest"].contains(&name.as_str())
                || ["TearDownSuite", "TearDownTest", "TearDownSubTest", "AfterTest"].contains(&name.as_str());
            let is_test = name.starts_with("Test")
                && owner.as_ref().is_some_and(|owner| owner.contains("Suite") || owner.contains("Test"));
            Found {
                kind: Some(UnitKind::Function),
                facts: Facts { hook, member_of: owner.clone(), ..Facts::default() },
                name: match owner {
                    Some(owner) => format!("{owner}::{name}"),
                    None => name,
                },
                is_test,
                ..Found::default()
            }
        }
        "type_declaration" => Found {
            kind: Some(UnitKind::Type),
            name: spec_names(source, node).join(", "),
            ..Found::default()
        },
        "import_declaration" => {
            Found { kind: Some(UnitKind::Import), facts: imports(source, node), ..Found::default() }
        }
        "const_declaration" | "var_declaration" => {
            let names = spec_names(source, node);
            let runs = ["call_expression", "func_literal"];
            let single = names.len() == 1 && names[0] != "_";
            Found {
                kind: single.then_some(UnitKind::Constant),
                name: if single { names[0].clone() } else { String::new() },
                facts: Facts {
                    inert: node.kind() == "const_declaration" || !holds(node, &runs),
                    binds: names,
                    ..Facts::default()
                },
                ..Found::default()
            }
        }
        _ => Found::default(),
    }
}

/// The names that the specs of a declaration declare.
fn spec_names(source: &[u8], node: Node<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let mut stack = vec![node];
    while let Some(node) = stack.pop() {
        let mut cursor = node.walk();
        if matches!(node.kind(), "const_spec" | "var_spec" | "type_spec" | "type_alias") {
            let names = node.children_by_field_name("name", &mut cursor).filter(Node::is_named);
            out.extend(names.map(|name| text_of(source, name)));
        } else {
            stack.extend(node.named_children(&mut cursor).collect::<Vec<_>>().into_iter().rev());
        }
    }
    out
}

fn imports(source: &[u8], node: Node<'_>) -> Facts {
    let mut imports = Vec::new();
    let mut stack = vec![node];
    while let Some(node) = stack.pop() {
        if node.kind() == "import_spec" {
            let path = field_text(source, node, "path");
            let last = path.trim_matches(['"', '`']).rsplit('/').next().unwrap_or("").to_owned();
            let name = field_text(source, node, "name");
            let what = format!("import {name} {path}");
            let bound = match name.as_str() {
                "" => Some(last),
                "." => None,
                "_" => Some(String::new()),
                _ => Some(name),
            };
            imports.push(Import { what, bound });
        } else {
            let mut cursor = node.walk();
            stack.extend(node.named_children(&mut cursor));
        }
    }
    Facts { imports, ..Facts::default() }
}
