//! What Python declares.

use tree_sitter::Node;

use super::{Facts, Found, Import, Scope, UnitKind, field_text, holds, identifiers_below};
use crate::tree::text_of;

/// What makes an expression run something.
const RUNS: &[&str] = &["call", "await", "yield", "named_expression", "interpolation"];

pub(super) fn describe<'t>(source: &[u8], node: Node<'t>, scope: Scope<'_>) -> Found<'t> {
    let (definition, decorated) = match node.kind() {
        "decorated_definition" => match node.child_by_field_name("definition") {
            Some(definition) => (definition, true),
            None => return Found::default(),
        },
        _ => (node, false),
    };
    let name = field_text(source, definition, "name");
    match definition.kind() {
        "function_definition" => {
            let in_class = scope.kind == Some(UnitKind::Type);
            let is_test =
                name.starts_with("test") && (!in_class || scope.test) || (scope.test && name == "runTest");
            let fixture_for_all = decorated && {
                let header = &source[node.start_byte()..definition.start_byte()];
                let header = String::from_utf8_lossy(header);
                header.contains("autouse") || header.contains("hookimpl") || header.contains("register")
            };
            let hook = is_hook(&name, in_class) || fixture_for_all;
            Found {
                kind: Some(UnitKind::Function),
                facts: Facts { hook, ..Facts::default() },
                name,
                is_test,
                ..Found::default()
            }
        }
        "class_definition" => {
            let bases = field_text(source, definition, "superclasses");
            let test_scope = name.starts_with("Test") || bases.contains("TestCase") || bases.contains("Test");
            Found {
                kind: Some(UnitKind::Type),
                body: definition.child_by_field_name("body"),
                test_scope,
                name,
                ..Found::default()
            }
        }
        "import_statement" | "import_from_statement" | "future_import_statement" => {
            Found { kind: Some(UnitKind::Import), facts: imports(source, definition), ..Found::default() }
        }
        "expression_statement" => match definition.named_child(0).filter(|c| c.kind() == "assignment") {
            Some(assignment) => {
                let left = assignment.child_by_field_name("left");
                let binds = left.map_or(Vec::new(), |left| identifiers_below(source, left));
                let plain = left.is_some_and(|left| {
                    matches!(left.kind(), "identifier" | "pattern_list" | "tuple_pattern")
                });
                let magic = binds.iter().any(|name| is_magic(name));
                let single = plain && binds.len() == 1;
                Found {
                    kind: single.then_some(UnitKind::Constant),
                    name: if single { binds[0].clone() } else { String::new() },
                    facts: Facts {
                        hook: magic,
                        inert: plain && !magic && !holds(assignment, RUNS),
                        binds,
                        ..Facts::default()
                    },
                    ..Found::default()
                }
            }
            None => Found::default(),
        },
        "pass_statement" => Found { facts: Facts { inert: true, ..Facts::default() }, ..Found::default() },
        _ => Found::default(),
    }
}

/// Names that pytest, unittest, nose and twisted call by themselves or that take a runner's place.
fn is_hook(name: &str, in_class: bool) -> bool {
    let begins = |list: &[&str]| list.iter().any(|prefix| name.starts_with(prefix));
    begins(&["setup", "teardown", "setUp", "tearDown", "asyncSetUp", "asyncTearDown", "pytest_"])
        || matches!(name, "load_tests" | "event_loop" | "event_loop_policy" | "anyio_backend")
        || (in_class
            && (begins(&["assert", "fail", "_call", "doClass", "doModule", "doCleanups", "addClass"])
                || matches!(
                    name,
                    "run" | "debug" | "skipTest" | "subTest" | "id" | "defaultTestResult" | "countTestCases"
                )))
        || (in_class && name.starts_with("__") && name.ends_with("__"))
        || (!in_class && name.starts_with("__"))
}

/// Variables that a runner reads.
fn is_magic(name: &str) -> bool {
    name.starts_with("pytest")
        || name.starts_with("collect_ignore")
        || (name.starts_with("__") && name.ends_with("__"))
        || matches!(name, "skip" | "todo" | "suppress" | "timeout" | "runTest" | "failureException")
}

fn imports(source: &[u8], node: Node<'_>) -> Facts {
    let mut imports = Vec::new();
    let module = node.child_by_field_name("module_name");
    let from = match (node.kind(), module) {
        ("import_statement", _) => String::new(),
        ("future_import_statement", _) => "from __future__ ".to_owned(),
        (_, module) => format!("from {} ", module.map_or(String::new(), |module| squeezed(source, module))),
    };
    let mut cursor = node.walk();
    for child in node.named_children(&mut cursor) {
        if module.is_some_and(|module| module.id() == child.id()) {
            continue;
        }
        match child.kind() {
            "aliased_import" => {
                let (name, alias) = (field_text(source, child, "name"), field_text(source, child, "alias"));
                imports.push(Import { what: format!("{from}import {name} as {alias}"), bound: Some(alias) });
            }
            // `import a.b` binds `a`; behind `from m` there is no dot.
            "dotted_name" => {
                let name = squeezed(source, child);
                let bound = name.split('.').next().unwrap_or("").to_owned();
                imports.push(Import { what: format!("{from}import {name}"), bound: Some(bound) });
            }
            "wildcard_import" => imports.push(Import { what: format!("{from}import *"), bound: None }),
            _ => {}
        }
    }
    Facts { imports, ..Facts::default() }
}

fn squeezed(source: &[u8], node: Node<'_>) -> String {
    text_of(source, node).split_whitespace().collect()
}
