//! What JavaScript and TypeScript declare, and what their test runners take for a test.

use tree_sitter::Node;

use super::{Facts, Found, Import, UnitKind, field_text, holds, identifiers_below};
use crate::tree::text_of;

/// What makes an expression run something.
const RUNS: &[&str] = &[
    "call_expression",
    "new_expression",
    "await_expression",
    "yield_expression",
    "assignment_expression",
    "augmented_assignment_expression",
    "update_expression",
    "template_substitution",
];

/// Whether a comment tells a runner how to run the file: which environment to load, above all.
pub(super) fn is_pragma(source: &[u8], node: Node<'_>) -> bool {
    let text = String::from_utf8_lossy(&source[node.start_byte()..node.end_byte()]);
    node.kind() == "comment" && (text.contains("@jest-") || text.contains("@vitest-"))
}

pub(super) fn describe<'t>(source: &[u8], node: Node<'t>) -> Found<'t> {
    let declaration = match node.kind() {
        "export_statement" | "ambient_declaration" => match node.child_by_field_name("declaration") {
            Some(declaration) => declaration,
            None => {
                let mut cursor = node.walk();
                let inner = node.named_children(&mut cursor).find(|child| {
                    child.kind().ends_with("_declaration")
                        || matches!(child.kind(), "module" | "internal_module")
                });
                match inner {
                    Some(declaration) => declaration,
                    // `export { a } from "b"`, `export default expression`.
                    None => return Found::default(),
                }
            }
        },
        _ => node,
    };
    let name = field_text(source, declaration, "name");
    match declaration.kind() {
        "function_declaration"
        | "generator_function_declaration"
        | "function_signature"
        | "method_definition"
        | "method_signature"
        | "abstract_method_signature" => Found { kind: Some(UnitKind::Function), name, ..Found::default() },
        "class_declaration" | "abstract_class_declaration" => Found {
            kind: Some(UnitKind::Type),
            body: declaration.child_by_field_name("body"),
            name,
            ..Found::default()
        },
        "interface_declaration" | "type_alias_declaration" | "enum_declaration" => {
            Found { kind: Some(UnitKind::Type), name, ..Found::default() }
        }
        "internal_module" | "module" => Found {
            kind: Some(UnitKind::Module),
            body: declaration.child_by_field_name("body"),
            name,
            ..Found::default()
        },
        "public_field_definition" | "field_definition" => {
            let name = if name.is_empty() { field_text(source, declaration, "property") } else { name };
            Found { kind: Some(UnitKind::Constant), name, ..Found::default() }
        }
        "import_statement" => Found {
            kind: Some(UnitKind::Import),
            facts: Facts { imports: imports(source, declaration), ..Facts::default() },
            ..Found::default()
        },
        "lexical_declaration" | "variable_declaration" => variables(source, declaration),
        "expression_statement" => match declaration.named_child(0) {
            // TypeScript takes `namespace X {}` for an expression.
            Some(inner) if inner.kind() == "internal_module" => Found {
                kind: Some(UnitKind::Module),
                name: field_text(source, inner, "name"),
                body: inner.child_by_field_name("body"),
                ..Found::default()
            },
            _ => expression(source, declaration),
        },
        _ => Found::default(),
    }
}

fn variables<'t>(source: &[u8], node: Node<'t>) -> Found<'t> {
    let mut cursor = node.walk();
    let declarators: Vec<Node<'_>> =
        node.named_children(&mut cursor).filter(|child| child.kind() == "variable_declarator").collect();
    let names: Vec<Node<'_>> = declarators.iter().filter_map(|d| d.child_by_field_name("name")).collect();
    let binds: Vec<String> = names.iter().flat_map(|name| identifiers_below(source, *name)).collect();
    let value = match declarators.as_slice() {
        [one] => one.child_by_field_name("value"),
        _ => None,
    };
    let single = matches!(names.as_slice(), [one] if one.kind() == "identifier");
    let name = if single { binds[0].clone() } else { String::new() };
    match value.map(|value| (value, value.kind())) {
        Some((_, "arrow_function" | "function_expression" | "generator_function")) if single => {
            Found { kind: Some(UnitKind::Function), name, ..Found::default() }
        }
        Some((value, "call_expression")) if field_text(source, value, "function") == "require" => Found {
            kind: Some(UnitKind::Import),
            facts: Facts { imports: required(source, names[0], value), ..Facts::default() },
            ..Found::default()
        },
        _ => Found {
            kind: single.then_some(UnitKind::Constant),
            name,
            facts: Facts { inert: !holds(node, RUNS), binds, ..Facts::default() },
            ..Found::default()
        },
    }
}

/// A call of `describe`, `it`, `beforeEach` and their like.
fn expression<'t>(source: &[u8], node: Node<'t>) -> Found<'t> {
    let Some(mut call) = node.named_child(0) else { return Found::default() };
    if call.kind() == "await_expression" {
        let Some(inner) = call.named_child(0) else { return Found::default() };
        call = inner;
    }
    if call.kind() != "call_expression" {
        return Found::default();
    }
    let Some(function) = call.child_by_field_name("function") else { return Found::default() };
    let callee = callee(source, function);
    let Some(root) = callee.first().map(String::as_str) else { return Found::default() };
    let chained = |names: &[&str]| callee.iter().skip(1).any(|name| names.contains(&name.as_str()));
    let only = chained(&["only"]) || matches!(root, "fit" | "fdescribe" | "ftest" | "fcontext");
    let hooks = [
        "beforeEach",
        "afterEach",
        "beforeAll",
        "afterAll",
        "before",
        "after",
        "setup",
        "teardown",
        "suiteSetup",
        "suiteTeardown",
    ];
    let blocks = ["describe", "context", "suite", "fdescribe", "xdescribe", "xcontext", "fcontext"];
    let tests = ["it", "test", "fit", "xit", "ftest", "xtest", "specify", "xspecify", "bench"];
    let runner = matches!(root, "QUnit" | "Deno");
    let known = blocks.contains(&root) || tests.contains(&root) || hooks.contains(&root) || runner;
    if !known {
        return Found::default();
    }
    let arguments = call.child_by_field_name("arguments");
    let mut cursor = call.walk();
    let arguments: Vec<Node<'_>> =
        arguments.map_or(Vec::new(), |arguments| arguments.named_children(&mut cursor).collect());
    if hooks.contains(&root) || chained(&hooks) {
        return Found {
            kind: Some(UnitKind::Function),
            name: callee.last().cloned().unwrap_or_default(),
            test_scope: true,
            facts: Facts { hook: true, named_by_text: true, ..Facts::default() },
            ..Found::default()
        };
    }
    let Some(title) = arguments.first() else { return Found::default() };
    let name = match title.kind() {
        "string" | "template_string" => text_of(source, *title).trim_matches(['"', '\'', '`']).to_owned(),
        _ => one_line(&text_of(source, *title)),
    };
    let facts = Facts { only, named_by_text: true, ..Facts::default() };
    if blocks.contains(&root) || chained(&["describe", "module"]) {
        let body = arguments.iter().rev().find_map(|argument| match argument.kind() {
            "arrow_function" | "function_expression" => {
                argument.child_by_field_name("body").filter(|body| body.kind() == "statement_block")
            }
            _ => None,
        });
        return Found {
            kind: Some(UnitKind::Module),
            name,
            body,
            test_scope: true,
            facts,
            ..Found::default()
        };
    }
    Found { kind: Some(UnitKind::Function), name, is_test: true, test_scope: true, facts, ..Found::default() }
}

/// The names of `it.each([...]).only`, from the root on.
fn callee(source: &[u8], function: Node<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let mut node = function;
    loop {
        match node.kind() {
            "member_expression" => {
                out.push(field_text(source, node, "property"));
                match node.child_by_field_name("object") {
                    Some(object) => node = object,
                    None => break,
                }
            }
            "call_expression" => match node.child_by_field_name("function") {
                Some(function) => node = function,
                None => break,
            },
            "identifier" => {
                out.push(text_of(source, node));
                out.reverse();
                return out;
            }
            _ => break,
        }
    }
    Vec::new()
}

fn imports(source: &[u8], node: Node<'_>) -> Vec<Import> {
    let from = field_text(source, node, "source").trim_matches(['"', '\'']).to_owned();
    let mut out = Vec::new();
    let mut stack = vec![node];
    while let Some(node) = stack.pop() {
        match node.kind() {
            "import_specifier" => {
                let (name, alias) = (field_text(source, node, "name"), field_text(source, node, "alias"));
                let alias = if alias.is_empty() { name.clone() } else { alias };
                let what = format!("import {{{name} as {alias}}} from {from}");
                out.push(Import { what, bound: Some(alias) });
            }
            "namespace_import" => {
                let name = identifiers_below(source, node).pop().unwrap_or_default();
                out.push(Import { what: format!("import * as {name} from {from}"), bound: Some(name) });
            }
            "identifier" => {
                let name = text_of(source, node);
                out.push(Import { what: format!("import {name} from {from}"), bound: Some(name) });
            }
            _ => {
                let mut cursor = node.walk();
                stack.extend(node.named_children(&mut cursor));
            }
        }
    }
    if out.is_empty() {
        out.push(Import { what: format!("import {from}"), bound: Some(String::new()) });
    }
    out
}

/// What `const {a, b: c} = require("m")` brings in.
fn required(source: &[u8], pattern: Node<'_>, value: Node<'_>) -> Vec<Import> {
    let arguments = field_text(source, value, "arguments");
    let from = arguments.trim_matches(['(', ')', '"', '\'', '`', ' ']);
    let mut cursor = pattern.walk();
    let parts: Vec<Node<'_>> = match pattern.kind() {
        "object_pattern" => pattern.named_children(&mut cursor).collect(),
        _ => vec![pattern],
    };
    let whole = if pattern.kind() == "object_pattern" { "part" } else { "whole" };
    parts
        .into_iter()
        .map(|part| Import {
            what: format!("require {whole} {} of {from}", one_line(&text_of(source, part))),
            bound: identifiers_below(source, part).pop(),
        })
        .collect()
}

/// The beginning of a title that is no string, on one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(60).collect()
}
