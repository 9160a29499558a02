//! What Rust declares.

use tree_sitter::Node;

use super::{Facts, Found, Import, Unit, UnitKind, field_text, identifiers_below};
use crate::tree::{is_comment, text_of};

pub(super) fn describe<'t>(source: &[u8], node: Node<'t>, attributes: &[Node<'t>]) -> Found<'t> {
    let attributes: Vec<Attribute> = attributes.iter().map(|node| Attribute::of(source, *node)).collect();
    let cfg_test = attributes.iter().any(Attribute::is_cfg_test);
    let name = field_text(source, node, "name");
    let mut found = match node.kind() {
        "function_item" | "function_signature_item" => Found {
            kind: Some(UnitKind::Function),
            is_test: attributes.iter().any(Attribute::is_test),
            name,
            ..Found::default()
        },
        "macro_definition" => Found {
            kind: Some(UnitKind::Function),
            // A macro is in scope for everything below it, `assert_eq` included.
            facts: Facts { hook: true, ..Facts::default() },
            name,
            ..Found::default()
        },
        "struct_item" | "enum_item" | "union_item" | "type_item" | "associated_type" => {
            Found { kind: Some(UnitKind::Type), name, ..Found::default() }
        }
        "trait_item" => Found {
            kind: Some(UnitKind::Type),
            name,
            body: node.child_by_field_name("body"),
            ..Found::default()
        },
        "impl_item" => {
            let of = node.child_by_field_name("type");
            let type_name = of.map_or(String::new(), |of| text_of(source, of));
            let scope_name = match field_text(source, node, "trait") {
                shown if shown.is_empty() => type_name,
                shown => format!("{shown} for {type_name}"),
            };
            Found {
                kind: Some(UnitKind::Impl),
                name: format!("impl {scope_name}"),
                scope_name: Some(scope_name),
                body: node.child_by_field_name("body"),
                facts: Facts {
                    // What it gives members or a trait's behaviour to.
                    binds: of.map_or(Vec::new(), |of| identifiers_below(source, of)),
                    ..Facts::default()
                },
                ..Found::default()
            }
        }
        "mod_item" => Found {
            kind: Some(UnitKind::Module),
            name,
            body: node.child_by_field_name("body"),
            test_scope: cfg_test,
            ..Found::default()
        },
        "use_declaration" | "extern_crate_declaration" => {
            Found { kind: Some(UnitKind::Import), facts: imports(source, node), ..Found::default() }
        }
        // Evaluated by the compiler: adding one changes nothing that runs.
        "const_item" | "static_item" => Found {
            kind: Some(UnitKind::Constant),
            facts: Facts { inert: attributes.iter().all(Attribute::is_harmless), ..Facts::default() },
            name,
            ..Found::default()
        },
        _ => Found::default(),
    };
    found.test_scope |= cfg_test;
    // `#[ctor]` and its like run before any test.
    found.facts.hook |= attributes.iter().any(Attribute::runs_by_itself);
    found
}

/// Whether a unit is `#![cfg(test)]`.
pub(super) fn whole_file_is_tests(unit: &Unit) -> bool {
    let words: Vec<&str> = unit.tokens.iter().map(|token| token.text.as_str()).collect();
    unit.facts.scope.is_empty() && words == ["#", "!", "[", "cfg", "(", "test", ")", "]"]
}

struct Attribute {
    /// The path's names, `["tokio", "test"]`.
    path: Vec<String>,
    /// Every identifier in it.
    words: Vec<String>,
}

impl Attribute {
    fn of(source: &[u8], node: Node<'_>) -> Self {
        let words = identifiers_below(source, node);
        let text = text_of(source, node);
        let inner = text.trim_start_matches(['#', '[', ' ', '\n', '\t']);
        let end = inner.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':' | ' '))).unwrap_or(0);
        let path = inner[..end].split("::").map(|name| name.trim().to_owned()).collect();
        Self { path, words }
    }

    fn last(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    fn is_test(&self) -> bool {
        matches!(
            self.last(),
            "test"
                | "bench"
                | "rstest"
                | "test_case"
                | "quickcheck"
                | "wasm_bindgen_test"
                | "test_log"
                | "proptest"
        )
    }

    fn is_cfg_test(&self) -> bool {
        let has = |word: &str| self.words.iter().any(|w| w == word);
        self.last() == "cfg" && has("test") && !has("not")
    }

    fn runs_by_itself(&self) -> bool {
        matches!(
            self.last(),
            "ctor" | "dtor" | "global_allocator" | "panic_handler" | "link_section" | "macro_export"
        )
    }

    fn is_harmless(&self) -> bool {
        matches!(self.last(), "allow" | "expect" | "doc" | "deprecated" | "must_use" | "rustfmt" | "cfg")
    }
}

/// What a `use` brings in, path by path.
fn imports(source: &[u8], node: Node<'_>) -> Facts {
    // `pub`, and whether it is a `use` or an `extern crate`.
    let text = text_of(source, node);
    let prefix = match text.find("use").map_or(text.as_str(), |at| &text[..at]).trim() {
        "" => "use ".to_owned(),
        visibility => format!("{} use ", visibility.split_whitespace().collect::<String>()),
    };
    let mut imports = Vec::new();
    let mut stack: Vec<(Node<'_>, String)> = Vec::new();
    match node.child_by_field_name("argument") {
        Some(argument) => stack.push((argument, String::new())),
        None => {
            let (name, alias) = (field_text(source, node, "name"), field_text(source, node, "alias"));
            let bound = if alias.is_empty() { name } else { alias };
            imports.push(Import { what: text, bound: Some(bound) });
        }
    }
    let squeezed = |text: String| text.split_whitespace().collect::<String>();
    let join =
        |path: &str, name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}::{name}") };
    while let Some((node, path)) = stack.pop() {
        match node.kind() {
            "use_as_clause" => {
                let (from, alias) =
                    (squeezed(field_text(source, node, "path")), field_text(source, node, "alias"));
                let what = format!("{prefix}{} as {alias}", join(&path, &from));
                imports.push(Import { what, bound: Some(alias) });
            }
            "scoped_use_list" => {
                let path = join(&path, &squeezed(field_text(source, node, "path")));
                stack.extend(node.child_by_field_name("list").map(|list| (list, path)));
            }
            "use_list" => {
                let mut cursor = node.walk();
                let children = node.named_children(&mut cursor).filter(|child| !is_comment(child.kind()));
                stack.extend(children.map(|child| (child, path.clone())));
            }
            "use_wildcard" => {
                let whole = join(&path, &squeezed(text_of(source, node)));
                // What is around the tests is what they see anyway.
                let harmless = matches!(whole.as_str(), "super::*" | "crate::*");
                imports.push(Import { what: format!("{prefix}{whole}"), bound: harmless.then(String::new) });
            }
            _ => {
                let whole = join(&path, &squeezed(text_of(source, node)));
                let last = whole.strip_suffix("::self").unwrap_or(&whole);
                let bound = last.rsplit("::").next().unwrap_or("").to_owned();
                imports.push(Import { what: format!("{prefix}{whole}"), bound: Some(bound) });
            }
        }
    }
    Facts { imports, ..Facts::default() }
}
