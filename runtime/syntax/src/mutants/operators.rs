//! The operators: what is changed at a node, and into what.

use std::collections::BTreeSet;

use tree_sitter::Node;

use super::Mutant;
use crate::Language;
use crate::tree::{is_comment, line_of, text_of};

/// The longest text that is replaced or looked at, in bytes: nested code must not be copied once for each level.
const LONGEST: usize = 4096;

/// The longest text that is told of a fault, in characters.
const TOLD: usize = 60;

pub(super) fn length(node: Node<'_>) -> usize {
    node.end_byte() - node.start_byte()
}

pub(super) struct Planter<'s> {
    pub(super) language: Language,
    pub(super) source: &'s [u8],
    pub(super) lines: &'s BTreeSet<u32>,
}

impl Planter<'_> {
    /// The faults at a node; those of its children come from its children.
    pub(super) fn plant(&self, node: Node<'_>) -> Vec<Mutant> {
        let mut out = Vec::new();
        if node.end_position().row + 1 < self.first_line() || node.start_position().row + 1 > self.last_line()
        {
            return out;
        }
        match node.kind() {
            "binary_expression" | "binary_operator" | "comparison_operator" | "boolean_operator" => {
                self.operators(node, &mut out);
            }
            "compound_assignment_expr"
            | "augmented_assignment"
            | "augmented_assignment_expression"
            | "assignment_statement" => self.operators(node, &mut out),
            "boolean_literal" | "true" | "false" => {
                let other = match self.text(node).as_str() {
                    "true" => "false",
                    "false" => "true",
                    "True" => "False",
                    "False" => "True",
                    _ => return out,
                };
                out.extend(self.mutant("flip_boolean", node, other.to_owned()));
            }
            "integer_literal" | "integer" | "number" | "int_literal" => {
                let field = node.parent().is_some_and(|parent| parent.kind() == "field_expression");
                if let Some(next) = next_integer(&self.text(node)).filter(|_| !field) {
                    out.extend(self.mutant("off_by_one", node, next));
                }
            }
            "if_expression"
            | "if_statement"
            | "elif_clause"
            | "while_expression"
            | "while_statement"
            | "conditional_expression"
            | "ternary_expression" => self.condition(node, &mut out),
            "return_expression" | "return_statement" => self.returned(node, &mut out),
            "function_item" => self.tail(node, &mut out),
            "expression_statement" => self.dropped(node, &mut out),
            _ => {}
        }
        out
    }

    fn first_line(&self) -> usize {
        self.lines.first().map_or(0, |line| *line as usize)
    }

    fn last_line(&self) -> usize {
        self.lines.last().map_or(0, |line| *line as usize)
    }

    fn text(&self, node: Node<'_>) -> String {
        text_of(self.source, node)
    }

    fn mutant(&self, operator: &'static str, node: Node<'_>, replacement: String) -> Option<Mutant> {
        if length(node) > LONGEST {
            return None;
        }
        let original = self.text(node);
        if original == replacement {
            return None;
        }
        let told: Vec<&str> = original.split_whitespace().collect();
        let mut told = told.join(" ");
        if told.chars().count() > TOLD {
            told = told.chars().take(TOLD - 1).chain(['…']).collect();
        }
        Some(Mutant {
            operator,
            start: node.start_byte(),
            end: node.end_byte(),
            replacement,
            line: line_of(node),
            original: told,
        })
    }

    /// Operators of a node, which are children without a name of the grammar's.
    fn operators(&self, node: Node<'_>, out: &mut Vec<Mutant>) {
        let mut cursor = node.walk();
        let children: Vec<Node<'_>> = node.children(&mut cursor).collect();
        // Joining texts is no arithmetic: the other operators do not even compile.
        let texts = children.iter().any(|child| {
            matches!(
                child.kind(),
                "string"
                    | "string_literal"
                    | "template_string"
                    | "interpreted_string_literal"
                    | "concatenated_string"
            )
        });
        for child in children {
            if length(child) > 16 {
                continue;
            }
            let word = self.text(child);
            if child.is_named() && !matches!(word.as_str(), "is not" | "not in") {
                continue;
            }
            let words = word.split_whitespace().collect::<Vec<_>>().join(" ");
            for (operator, from, to) in SWAPS {
                let arithmetic = *operator == "swap_arithmetic";
                if words == *from && !(arithmetic && texts) && self.has(to) {
                    out.extend(self.mutant(operator, child, (*to).to_owned()));
                }
            }
        }
    }

    /// Whether the language has an operator.
    fn has(&self, operator: &str) -> bool {
        match operator {
            "and" | "or" | "is" | "is not" | "in" | "not in" => self.language == Language::Python,
            "===" | "!==" => self.language.is_script(),
            _ => true,
        }
    }

    /// A condition that is no comparison by itself becomes its opposite.
    fn condition(&self, node: Node<'_>, out: &mut Vec<Mutant>) {
        let Some(condition) = node.child_by_field_name("condition") else { return };
        let inner = match condition.kind() {
            "parenthesized_expression" => condition.named_child(0).unwrap_or(condition),
            _ => condition,
        };
        let own = matches!(
            inner.kind(),
            "comparison_operator" | "let_condition" | "let_chain" | "boolean_literal" | "true" | "false"
        ) || (inner.kind() == "binary_expression"
            && inner.child_by_field_name("operator").is_some_and(|operator| {
                matches!(operator.kind(), "<" | "<=" | ">" | ">=" | "==" | "!=" | "===" | "!==")
            }));
        if own || length(inner) > LONGEST {
            return;
        }
        let text = self.text(inner);
        let not =
            if self.language == Language::Python { format!("not ({text})") } else { format!("!({text})") };
        out.extend(self.mutant("negate_condition", inner, not));
    }

    /// A returned value becomes a default.
    fn returned(&self, node: Node<'_>, out: &mut Vec<Mutant>) {
        let Some(value) = node.named_child(0).filter(|child| !is_comment(child.kind())) else { return };
        // A default already.
        if length(value) > LONGEST
            || matches!(
                self.text(value).as_str(),
                "nil" | "0" | "\"\"" | "false" | "None" | "null" | "undefined"
            )
        {
            return;
        }
        let default = match self.language {
            Language::Rust => "Default::default()".to_owned(),
            Language::Python => "None".to_owned(),
            Language::JavaScript | Language::TypeScript | Language::Tsx => "undefined".to_owned(),
            Language::Go => match self.go_defaults(node) {
                Some(defaults) => defaults,
                None => return,
            },
        };
        out.extend(self.mutant("default_return", value, default));
    }

    /// The value a Rust function ends with becomes a default.
    fn tail(&self, node: Node<'_>, out: &mut Vec<Mutant>) {
        if node.child_by_field_name("return_type").is_none() {
            return;
        }
        let Some(body) = node.child_by_field_name("body") else { return };
        let last = body.named_child_count().checked_sub(1).and_then(|at| body.named_child(at as _));
        let Some(last) = last else { return };
        let value = last.kind().ends_with("_expression")
            || last.kind().ends_with("_literal")
            || matches!(last.kind(), "identifier" | "scoped_identifier" | "self");
        if value && last.kind() != "return_expression" {
            out.extend(self.mutant("default_return", last, "Default::default()".to_owned()));
        }
    }

    /// `*new(int), *new(error)`: the zero value of each type that the function around returns.
    fn go_defaults(&self, node: Node<'_>) -> Option<String> {
        let mut around = node.parent()?;
        while !matches!(around.kind(), "function_declaration" | "method_declaration" | "func_literal") {
            around = around.parent()?;
        }
        let result = around.child_by_field_name("result")?;
        let zero = |node: Node<'_>| format!("*new({})", self.text(node));
        if result.kind() != "parameter_list" {
            return Some(zero(result));
        }
        let mut cursor = result.walk();
        let mut out = Vec::new();
        for parameter in result.named_children(&mut cursor).filter(|child| !is_comment(child.kind())) {
            let of = parameter.child_by_field_name("type")?;
            let mut names = parameter.walk();
            let named = parameter.children_by_field_name("name", &mut names).count();
            out.extend(std::iter::repeat_n(zero(of), named.max(1)));
        }
        Some(out.join(", "))
    }

    /// A statement that only calls something is not made.
    fn dropped(&self, node: Node<'_>, out: &mut Vec<Mutant>) {
        let Some(mut inner) = node.named_child(0) else { return };
        if matches!(inner.kind(), "await_expression" | "await" | "try_expression") {
            inner = inner.named_child(0).unwrap_or(inner);
        }
        let call = matches!(inner.kind(), "call_expression" | "call");
        let function = inner.child_by_field_name("function").filter(|function| length(*function) <= LONGEST);
        let tells = function.is_none_or(|function| only_tells(&self.text(function)));
        if !call || tells || node.named_child_count() != 1 {
            return;
        }
        let nothing = match self.language {
            Language::Python => "pass",
            Language::Rust | Language::JavaScript | Language::TypeScript | Language::Tsx => ";",
            Language::Go => "",
        };
        out.extend(self.mutant("drop_call", node, nothing.to_owned()));
    }
}

/// Operator, what stands there, what stands there instead.
const SWAPS: &[(&str, &str, &str)] = &[
    ("negate_comparison", "<", ">="),
    ("negate_comparison", "<=", ">"),
    ("negate_comparison", ">", "<="),
    ("negate_comparison", ">=", "<"),
    ("negate_comparison", "==", "!="),
    ("negate_comparison", "!=", "=="),
    ("negate_comparison", "===", "!=="),
    ("negate_comparison", "!==", "==="),
    ("negate_comparison", "is", "is not"),
    ("negate_comparison", "is not", "is"),
    ("negate_comparison", "in", "not in"),
    ("negate_comparison", "not in", "in"),
    ("move_boundary", "<", "<="),
    ("move_boundary", "<=", "<"),
    ("move_boundary", ">", ">="),
    ("move_boundary", ">=", ">"),
    ("swap_arithmetic", "+", "-"),
    ("swap_arithmetic", "-", "+"),
    ("swap_arithmetic", "*", "/"),
    ("swap_arithmetic", "/", "*"),
    ("swap_arithmetic", "%", "*"),
    ("swap_arithmetic", "+=", "-="),
    ("swap_arithmetic", "-=", "+="),
    ("swap_arithmetic", "*=", "/="),
    ("swap_arithmetic", "/=", "*="),
    ("swap_logic", "&&", "||"),
    ("swap_logic", "||", "&&"),
    ("swap_logic", "and", "or"),
    ("swap_logic", "or", "and"),
];

/// `41` is `42`, `0_u8` is `1_u8`; none for what is no plain decimal.
fn next_integer(text: &str) -> Option<String> {
    let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '_').collect();
    let suffix = &text[digits.len()..];
    let known =
        ["", "n", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize"];
    // A leading zero means another base somewhere.
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    if !known.contains(&suffix) || (plain.len() > 1 && plain.starts_with('0')) {
        return None;
    }
    let next = plain.parse::<u64>().ok()?.checked_add(1)?;
    let underscore = if digits.ends_with('_') { "_" } else { "" };
    Some(format!("{next}{underscore}{suffix}"))
}

/// Whether a function prints or logs: what tests rarely look at.
pub(super) fn only_tells(function: &str) -> bool {
    let head = function.trim();
    let first = head.split(['.', ':']).next().unwrap_or("");
    matches!(
        first,
        "print"
            | "console"
            | "log"
            | "logger"
            | "logging"
            | "_logger"
            | "LOG"
            | "slog"
            | "tracing"
            | "debug"
            | "warnings"
    ) || head.starts_with("fmt.Print")
        || head.starts_with("self.log")
        || head.starts_with("this.log")
}
