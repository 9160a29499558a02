//! Declarations and module-level statements: what a change of a test file is told in.
//!
//! Each language says in a module of its own what a node declares ([`Found`]); walking containers, scopes
//! and tokens is common to all.

mod go;
mod python;
mod rust;
mod script;

use std::collections::BTreeSet;

use tree_sitter::Node;

use crate::Language;
use crate::tree::{Detail, Edge, Token, is_comment, line_of, text_of, walk};

/// How deep containers are opened; what lies deeper is part of the last one's tokens.
const MAX_DEPTH: usize = 40;

/// What a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitKind {
    /// A function, method or macro, or a call that registers a test.
    Function,
    /// A class, struct, enum, trait, interface or other type.
    Type,
    /// An impl block.
    Impl,
    /// A module or namespace, or a `describe` block.
    Module,
    /// An import.
    Import,
    /// A named value of a module, class or impl: a const, a static, a variable.
    Constant,
    /// Any other statement; has no name.
    Statement,
}

/// A declaration or a statement of a module, class or impl body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Qualified name, like `TestFoo::test_bar`; that of an impl block is `impl Foo` or `impl Trait for Foo`
    /// (and its functions' are `Foo::bar` and `Trait for Foo::bar`). Empty for imports and statements.
    pub name: String,
    /// What it is.
    pub kind: UnitKind,
    /// First byte, attributes and decorators included.
    pub start: usize,
    /// Byte behind the last.
    pub end: usize,
    /// First line, counted from 1.
    pub line: u32,
    /// Tokens without comments and without what only formatters care for; of a container (class, impl,
    /// module, `describe`) only its own header, its members being units of their own.
    pub tokens: Vec<Token>,
    /// Whether a test runner would take it for a test.
    pub is_test: bool,
    /// Whether it belongs to tests without being one: it lies in, or is, a test module or class.
    pub in_test_module: bool,
    /// How the tokens hang together.
    pub(crate) shape: Vec<Edge>,
    pub(crate) facts: Facts,
}

/// What comparing needs to know of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Qualified name of the container; empty at the top.
    pub(crate) scope: String,
    /// Whether it holds units of its own.
    pub(crate) container: bool,
    /// Whether it runs by itself around tests, or before them.
    pub(crate) hook: bool,
    /// Whether a runner leaves the others out because of it (`it.only`).
    pub(crate) only: bool,
    /// Whether evaluating it calls nothing: it can be added without changing what runs.
    pub(crate) inert: bool,
    /// Names it puts into its scope, where that is not its own.
    pub(crate) binds: Vec<String>,
    /// What an import brings in, thing by thing.
    pub(crate) imports: Vec<Import>,
    /// The type it is a member of, where that is not the container it stands in.
    pub(crate) member_of: Option<String>,
    /// Whether its name is text and not an identifier.
    pub(crate) named_by_text: bool,
}

/// One thing that an import brings in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// What and from where, in one spelling: `from m import x as y`.
    pub(crate) what: String,
    /// The name it goes by here: none for what cannot be told (`import *`), empty for none at all
    /// (`import "./setup"`).
    pub(crate) bound: Option<String>,
}

/// What a language says of a node.
#[derive(Default)]
pub(crate) struct Found<'t> {
    pub(crate) kind: Option<UnitKind>,
    pub(crate) name: String,
    /// What its members' names begin with, where that is not `name`.
    pub(crate) scope_name: Option<String>,
    /// The node whose children are units of their own.
    pub(crate) body: Option<Node<'t>>,
    pub(crate) is_test: bool,
    /// Whether everything in it belongs to tests.
    pub(crate) test_scope: bool,
    pub(crate) facts: Facts,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: Option<UnitKind>,
    pub(crate) test: bool,
    depth: usize,
}

/// Returns declarations and module-level statements in document order, members after their container.
/// Empty for a source larger than [`crate::MAX_SOURCE`].
pub fn units(language: Language, source: &[u8]) -> Vec<Unit> {
    let Some(tree) = language.parse(source) else { return Vec::new() };
    let mut out = Vec::new();
    let top = Scope { name: "", kind: None, test: false, depth: 0 };
    collect(language, source, tree.root_node(), top, &mut out);
    if language == Language::Rust && out.iter().any(rust::whole_file_is_tests) {
        out.iter_mut().for_each(|unit| unit.in_test_module = true);
    }
    // What holds tests belongs to them, whatever it is called.
    let scopes: BTreeSet<&str> =
        out.iter().filter(|unit| unit.is_test).map(|unit| unit.facts.scope.as_str()).collect();
    let holders: BTreeSet<String> = scopes
        .into_iter()
        .flat_map(|scope| {
            let outer = scope.match_indices("::").map(|(at, _)| &scope[..at]);
            outer.chain([scope]).map(str::to_owned)
        })
        .collect();
    for unit in &mut out {
        unit.in_test_module |= unit.facts.container && holders.contains(&unit.name);
    }
    out
}

fn collect(language: Language, source: &[u8], body: Node<'_>, scope: Scope<'_>, out: &mut Vec<Unit>) {
    let mut cursor = body.walk();
    // Attributes stand before what they belong to.
    let mut attributes: Vec<Node<'_>> = Vec::new();
    for child in body.children(&mut cursor) {
        let directive = match language {
            Language::Go => go::is_directive(source, child),
            language => language.is_script() && script::is_pragma(source, child),
        };
        if (is_comment(child.kind()) && !directive) || !child.is_named() || child.kind() == "empty_statement"
        {
            continue;
        }
        if child.kind() == "attribute_item" || child.kind() == "decorator" {
            attributes.push(child);
            continue;
        }
        let attributes = std::mem::take(&mut attributes);
        let mut found = match language {
            Language::Rust => rust::describe(source, child, &attributes),
            Language::Python => python::describe(source, child, scope),
            Language::Go => go::describe(source, child),
            Language::JavaScript | Language::TypeScript | Language::Tsx => script::describe(source, child),
        };
        if scope.depth >= MAX_DEPTH {
            found.body = None;
        }
        let (mut tokens, mut shape) = (Vec::new(), Vec::new());
        for node in attributes.iter().chain([&child]) {
            // The expected output of an example is a comment.
            let whole = directive || (language == Language::Go && go::is_example(&found));
            let detail = if whole { Detail::Everything } else { Detail::Meaning };
            let (leaves, edges) = walk(language, source, *node, found.body, detail);
            let offset = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
            shape.extend(edges.iter().map(|edge| Edge { at: edge.at.saturating_add(offset), ..*edge }));
            tokens.extend(leaves.iter().map(|leaf| leaf.token(source)));
        }
        let kind = found.kind.unwrap_or(UnitKind::Statement);
        if tokens.is_empty() && kind == UnitKind::Statement {
            continue; // a docstring
        }
        let qualify = |name: &str| match scope.name {
            _ if name.is_empty() => String::new(),
            "" => name.to_owned(),
            outer => format!("{outer}::{name}"),
        };
        let first = attributes.first().unwrap_or(&child);
        let name = qualify(&found.name);
        let inner = found.scope_name.as_deref().map_or_else(|| name.clone(), qualify);
        let test = scope.test || found.test_scope;
        out.push(Unit {
            kind,
            start: first.start_byte(),
            end: child.end_byte(),
            line: line_of(*first),
            tokens,
            is_test: found.is_test,
            in_test_module: test,
            shape,
            facts: Facts { scope: scope.name.to_owned(), container: found.body.is_some(), ..found.facts },
            name,
        });
        if let Some(body) = found.body {
            let scope = Scope { name: &inner, kind: Some(kind), test, depth: scope.depth + 1 };
            collect(language, source, body, scope, out);
        }
    }
    // Attributes with nothing behind them: an error of syntax, but nothing may go missing.
    for node in attributes {
        let (leaves, shape) = walk(language, source, node, None, Detail::Meaning);
        out.push(Unit {
            name: String::new(),
            kind: UnitKind::Statement,
            start: node.start_byte(),
            end: node.end_byte(),
            line: line_of(node),
            tokens: leaves.iter().map(|leaf| leaf.token(source)).collect(),
            is_test: false,
            in_test_module: scope.test,
            shape,
            facts: Facts { scope: scope.name.to_owned(), ..Facts::default() },
        });
    }
}

fn field_text(source: &[u8], node: Node<'_>, field: &str) -> String {
    node.child_by_field_name(field).map_or(String::new(), |node| text_of(source, node))
}

/// Whether any node below (or the node itself) is of one of the kinds; without recursion.
fn holds(node: Node<'_>, kinds: &[&str]) -> bool {
    let mut cursor = node.walk();
    loop {
        if kinds.contains(&cursor.node().kind()) {
            return true;
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return false;
            }
        }
    }
}

/// The identifiers below a node, in order; without recursion.
fn identifiers_below(source: &[u8], node: Node<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let mut cursor = node.walk();
    loop {
        let here = cursor.node();
        if here.is_named() && here.child_count() == 0 && crate::tree::is_identifier(here.kind()) {
            out.push(text_of(source, here));
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return out;
            }
        }
    }
}
