//! Small faults planted in changed lines: whether tests notice them says whether the tests mean these lines.
//!
//! A fixed set of operators in the tradition of mutation testing (DeMillo, Lipton, Sayward: Hints on Test Data Selection,
//! Computer 11(4), 1978): each makes one change that a careful test of the line would notice. Sources of the set:
//! Offutt et al.: An Experimental Determination of Sufficient Mutant Operators, ACM TOSEM 5(2), 1996 (relational,
//! arithmetic and logical operators carry most), and statement deletion (Deng, Offutt, Li, ICST 2013).
//!
//! Left out: tests, imports, attributes, types, macros' arguments (their tokens have no grammar), and calls that only
//! print or log. What does not parse any more is left out; what does not compile is the caller's to notice.

mod operators;

use std::collections::BTreeSet;

use tree_sitter::{InputEdit, Node, Parser, Point, Tree};

use crate::Language;
use crate::tree::{is_comment, text_of};
use crate::units::units;
use operators::{Planter, length, only_tells};

/// The largest source that faults are planted in, in bytes.
const MAX_MUTATED: usize = 256 << 10;

/// The most faults of one source.
const MOST: usize = 200;

/// The most faults of one source that are parsed to find those.
const TRIED: usize = 400;

/// One planted fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// The kind of fault: `negate_comparison`, `off_by_one`, ...
    pub operator: &'static str,
    /// First byte of what is replaced.
    pub start: usize,
    /// Byte behind the last.
    pub end: usize,
    /// What stands there instead.
    pub replacement: String,
    /// The line it begins in, counted from 1.
    pub line: u32,
    /// What stood there, shortened, on one line.
    pub original: String,
}

impl Mutant {
    /// Returns the source with the fault in it; none when the source is not the one it was made for.
    pub fn apply(&self, source: &[u8]) -> Option<Vec<u8>> {
        let (before, after) = (source.get(..self.start)?, source.get(self.end..)?);
        Some([before, self.replacement.as_bytes(), after].concat())
    }
}

/// Returns faults of these lines (counted from 1), in the order of the source, at most 200; each parses as well as the
/// source does. Empty for a source of more than 256 KiB.
pub fn mutants(language: Language, source: &[u8], lines: &BTreeSet<u32>) -> Vec<Mutant> {
    if source.len() > MAX_MUTATED || lines.is_empty() {
        return Vec::new();
    }
    let Some(tree) = language.parse(source) else { return Vec::new() };
    let mut parser = language.parser();
    let broken = tree.root_node().has_error();
    let tests: Vec<(usize, usize)> = units(language, source)
        .into_iter()
        .filter(|unit| unit.is_test || unit.in_test_module)
        .map(|unit| (unit.start, unit.end))
        .collect();
    let planter = Planter { language, source, lines };
    let mut out: Vec<Mutant> = Vec::new();
    let mut tried = 0;
    let mut cursor = tree.walk();
    loop {
        let node = cursor.node();
        let left_out = is_left_out(language, source, node)
            || tests.iter().any(|(start, end)| node.start_byte() >= *start && node.end_byte() <= *end);
        if !left_out {
            let mut found = planter.plant(node);
            found.retain(|mutant| {
                lines.contains(&mutant.line) && tried < TRIED && {
                    tried += 1;
                    broken || parses(&mut parser, &tree, source, mutant)
                }
            });
            out.extend(found);
            if out.len() >= MOST || tried >= TRIED {
                break;
            }
            if cursor.goto_first_child() {
                continue;
            }
        }
        let mut done = false;
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                done = true;
                break;
            }
        }
        if done {
            break;
        }
    }
    out.sort_by(|a, b| (a.start, a.operator, &a.replacement).cmp(&(b.start, b.operator, &b.replacement)));
    out.dedup_by(|a, b| (a.start, a.end, &a.replacement) == (b.start, b.end, &b.replacement));
    out.truncate(MOST);
    out
}

/// Whether the source with a fault in it fits the grammar. Only what the fault touches is parsed anew.
fn parses(parser: &mut Parser, tree: &Tree, source: &[u8], mutant: &Mutant) -> bool {
    let Some(faulty) = mutant.apply(source) else { return false };
    let point = |text: &[u8], byte: usize| {
        let before = &text[..byte];
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        Point { row: before.iter().filter(|b| **b == b'\n').count(), column: byte - start }
    };
    let new_end = mutant.start + mutant.replacement.len();
    let mut edited = tree.clone();
    edited.edit(&InputEdit {
        start_byte: mutant.start,
        old_end_byte: mutant.end,
        new_end_byte: new_end,
        start_position: point(source, mutant.start),
        old_end_position: point(source, mutant.end),
        new_end_position: point(&faulty, new_end),
    });
    parser.parse(&faulty, Some(&edited)).is_some_and(|tree| !tree.root_node().has_error())
}

/// What no fault is planted in.
fn is_left_out(language: Language, source: &[u8], node: Node<'_>) -> bool {
    let kind = node.kind();
    if matches!(kind, "call" | "call_expression")
        && let Some(function) = node.child_by_field_name("function").filter(|function| length(*function) < 64)
        && only_tells(&text_of(source, function))
    {
        return true;
    }
    is_comment(kind)
        || matches!(
            kind,
            "attribute_item"
                | "inner_attribute_item"
                | "token_tree"
                | "use_declaration"
                | "import_statement"
                | "import_from_statement"
                | "import_declaration"
                | "decorator"
                | "type_arguments"
                | "type_annotation"
                | "type_parameters"
                | "type_alias_declaration"
                | "interface_declaration"
                | "array_type"
                | "enum_variant"
                | "macro_definition"
        )
        || (kind == "type" && language == Language::Python)
}
