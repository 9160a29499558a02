//! Structural search and replace: a pattern of code with `$NAME` for any one piece and `$$$NAME` for any number of them,
//! and what is to stand where it matches.

use std::borrow::Cow;
use std::collections::BTreeSet;

use ast_grep_core::matcher::{Pattern, PatternBuilder, PatternError, PatternNode};
use ast_grep_core::tree_sitter::{LanguageExt, StrDoc, TSLanguage};
use ast_grep_core::{Matcher as _, NodeMatch};
use tree_sitter::Tree;

use crate::tree::is_comment;
use crate::{Language, MAX_SOURCE, new_errors};

/// The longest pattern and the longest replacement, bytes.
const LONGEST: usize = 1000;
/// The deepest tree that is searched: comparing two captures descends by recursion.
const DEEPEST: u32 = 400;

/// Why a pattern and its replacement are no rule of a language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    /// The pattern is no piece of code.
    #[error("the pattern `{0}` does not parse")]
    Pattern(String),
    /// The pattern is several pieces of code.
    #[error("the pattern `{0}` is not one expression, statement or declaration")]
    NotOne(String),
    /// The pattern matches whatever there is.
    #[error("the pattern `{0}` matches all code there is")]
    Everything(String),
    /// The replacement is no piece of code.
    #[error("the replacement `{0}` does not parse")]
    Replacement(String),
    /// The replacement names what the pattern does not.
    #[error("the replacement's `{0}` is not in the pattern")]
    Variable(String),
    /// One of the two is longer than is read.
    #[error("a pattern or replacement has more than 1000 bytes")]
    TooLong,
}

/// Why a file's matches are not replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewriteFault {
    /// The match's line, counted from 1.
    pub line: u32,
    /// Why, in lower case and without a full stop.
    pub why: String,
}

/// A match and what is to stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// First byte.
    pub start: usize,
    /// Byte behind the last.
    pub end: usize,
    /// Its line, counted from 1.
    pub line: u32,
    /// The new text.
    pub text: String,
}

/// A pattern and its replacement, in one language.
pub struct Rule {
    language: Language,
    pattern: Pattern,
    replacement: Vec<Part>,
    /// Whether the replacement is one node, so that it has to be one where it stands, too.
    one: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Text(String),
    One(String),
    Many(String),
}

impl Part {
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::One(name) => format!("${name}"),
            Self::Many(name) => format!("$$${name}"),
        }
    }
}

/// What a match becomes, with the spans of its captures in the new text.
struct Made {
    rewrite: Rewrite,
    captures: Vec<(usize, usize)>,
}

impl Rule {
    /// Makes the rule.
    ///
    /// # Errors
    /// What keeps the two from being one in this language.
    pub fn new(language: Language, pattern: &str, replacement: &str) -> Result<Self, RuleFault> {
        let (pattern, replacement) = (pattern.trim(), replacement.trim());
        if pattern.len() > LONGEST || replacement.len() > LONGEST {
            return Err(RuleFault::TooLong);
        }
        let core = Core(language);
        if parsed(core, pattern).is_none() {
            return Err(RuleFault::Pattern(pattern.to_owned()));
        }
        let parts = parts(replacement);
        let known: BTreeSet<Part> = self::parts(pattern).into_iter().collect();
        let unknown = |part: &&Part| !matches!(part, Part::Text(_)) && !known.contains(part);
        if let Some(part) = parts.iter().find(unknown) {
            return Err(RuleFault::Variable(part.shown()));
        }
        let compiled = compile(core, pattern).map_err(|fault| match fault {
            PatternError::RootMultiMetaVar(_) => RuleFault::Everything(pattern.to_owned()),
            _ => RuleFault::NotOne(pattern.to_owned()),
        })?;
        if matches!(compiled.node, PatternNode::MetaVar { .. }) {
            return Err(RuleFault::Everything(pattern.to_owned()));
        }
        let tree = parsed(core, replacement)
            .filter(|tree| tree.root_node().child_count() > 0)
            .ok_or_else(|| RuleFault::Replacement(replacement.to_owned()))?;
        let one = tree.root_node().child_count() == 1;
        Ok(Self { language, pattern: compiled, replacement: parts, one })
    }

    /// Returns what is to be changed in a source, in order; nothing where nothing matches.
    ///
    /// # Errors
    /// The first match that cannot be replaced as the rule says, or that would say something else afterwards.
    pub fn rewrites(&self, source: &str) -> Result<Vec<Rewrite>, RewriteFault> {
        if source.len() > MAX_SOURCE {
            return Err(RewriteFault { line: 1, why: "the file is too large to be parsed".into() });
        }
        let Ok(doc) = StrDoc::try_new(source, Core(self.language)) else {
            return Err(RewriteFault { line: 1, why: "the file cannot be parsed".into() });
        };
        let grep = ast_grep_core::AstGrep::doc(doc);
        if let Some(line) = too_deep(&grep.root().get_doc().tree) {
            return Err(RewriteFault { line, why: "the code is nested too deeply to be searched".into() });
        }
        let mut made: Vec<Made> = Vec::new();
        for found in grep.root().find_all(&self.pattern) {
            let next = self.make(source, &found)?;
            let line = next.rewrite.line;
            if made.last().is_some_and(|last| next.rewrite.start < last.rewrite.end) {
                let why =
                    "the pattern matches within another match, and the two cannot both be replaced".into();
                return Err(RewriteFault { line, why });
            }
            made.push(next);
        }
        made.retain(|made| source[made.rewrite.start..made.rewrite.end] != made.rewrite.text);
        self.check(source, &made)?;
        Ok(made.into_iter().map(|made| made.rewrite).collect())
    }

    fn make(&self, source: &str, found: &NodeMatch<'_, StrDoc<Core>>) -> Result<Made, RewriteFault> {
        let start = found.range().start;
        let end = self
            .pattern
            .get_match_len(found.get_node().clone())
            .map_or(found.range().end, |length| start + length);
        let line = line_at(source, start);
        let margin: String = source[..start]
            .rsplit('\n')
            .next()
            .unwrap_or("")
            .chars()
            .take_while(|c| matches!(c, ' ' | '\t'))
            .collect();
        let mut text = String::new();
        let mut captures = Vec::new();
        let mut kept: Vec<std::ops::Range<usize>> = Vec::new();
        for part in &self.replacement {
            let nodes = match part {
                Part::Text(piece) => {
                    text.push_str(&piece.replace('\n', &format!("\n{margin}")));
                    continue;
                }
                Part::One(name) => found.get_env().get_match(name).cloned().into_iter().collect(),
                Part::Many(name) => found.get_env().get_multiple_matches(name),
            };
            if let (Some(first), Some(last)) = (nodes.first(), nodes.last()) {
                let (from, to) = (first.range().start, last.range().end);
                for node in nodes.iter().filter(|node| node.is_named()) {
                    let at = |byte: usize| text.len() + byte - from;
                    captures.push((at(node.range().start), at(node.range().end)));
                }
                text.push_str(&source[from..to]);
                kept.push(from..to);
            }
        }
        let lost = found.dfs().any(|node| {
            let range = node.range();
            is_comment(&node.kind())
                && range.end <= end
                && !kept.iter().any(|kept| kept.start <= range.start && range.end <= kept.end)
        });
        if lost {
            let why = "the match holds a comment that the replacement would drop".into();
            return Err(RewriteFault { line, why });
        }
        Ok(Made { rewrite: Rewrite { start, end, line, text }, captures })
    }

    /// Parses what comes out: each replacement has to be one piece of code where it stands, and what was captured one
    /// within it, or operators beside them would bind otherwise than before.
    fn check(&self, source: &str, made: &[Made]) -> Result<(), RewriteFault> {
        let Some(first) = made.first() else { return Ok(()) };
        let mut after = String::with_capacity(source.len());
        let mut starts = Vec::new();
        let mut at = 0;
        for Made { rewrite, .. } in made {
            after.push_str(&source[at..rewrite.start]);
            starts.push(after.len());
            after.push_str(&rewrite.text);
            at = rewrite.end;
        }
        after.push_str(&source[at..]);
        if let Some(error) = new_errors(self.language, source.as_bytes(), after.as_bytes()).first() {
            let why = format!("what comes out does not parse (at `{}`)", error.text);
            return Err(RewriteFault { line: error.line.min(line_at(source, source.len())), why });
        }
        let Some(tree) = self.language.parse(after.as_bytes()) else {
            return Err(RewriteFault { line: first.rewrite.line, why: "what comes out is too large".into() });
        };
        for (Made { rewrite, captures }, start) in made.iter().zip(starts) {
            let whole = !self.one || is_whole(&tree, &after, start, start + rewrite.text.len());
            let within = captures.iter().all(|(from, to)| is_whole(&tree, &after, start + from, start + to));
            if !whole || !within {
                let why = format!(
                    "`{}` would be read as another expression where it stands, for want of parentheses",
                    crate::rewrite::short(&rewrite.text)
                );
                return Err(RewriteFault { line: rewrite.line, why });
            }
        }
        Ok(())
    }
}

/// Whether a piece of a text is one node, but for a semicolon behind it. A macro's arguments are no expressions yet.
fn is_whole(tree: &Tree, text: &str, start: usize, end: usize) -> bool {
    let Some(node) = tree.root_node().descendant_for_byte_range(start, end) else { return false };
    let rest = text.get(end..node.end_byte()).unwrap_or("");
    node.kind() == "token_tree" || (node.start_byte() == start && matches!(rest.trim(), "" | ";"))
}

fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    let cut: String = line.chars().take(60).collect();
    if cut.len() == text.len() { cut } else { format!("{cut} …") }
}

fn line_at(source: &str, byte: usize) -> u32 {
    u32::try_from(source[..byte].matches('\n').count() + 1).unwrap_or(u32::MAX)
}

/// Returns the line of the first node that is deeper than is searched.
fn too_deep(tree: &Tree) -> Option<u32> {
    let mut cursor = tree.walk();
    loop {
        if cursor.depth() > DEEPEST {
            return Some(crate::tree::line_of(cursor.node()));
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return None;
            }
        }
    }
}

/// Cuts a text at its `$NAME` and `$$$NAME`.
fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let dollars = rest.len() - rest.trim_start_matches('$').len();
        let behind = &rest[dollars..];
        let length = behind
            .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
            .unwrap_or(behind.len());
        let name = &behind[..length];
        let named = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
        if named && matches!(dollars, 1 | 3) {
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            let make = if dollars == 1 { Part::One } else { Part::Many };
            parts.push(make(name.to_owned()));
            rest = &behind[length..];
        } else {
            let length = if dollars > 0 { dollars } else { c.len_utf8() };
            plain.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    parts
}

/// Compiles a pattern. Go's grammar takes a call outside of any function for the conversion of a type, so that its patterns
/// are read within one where they can stand there.
fn compile(core: Core, pattern: &str) -> Result<Pattern, PatternError> {
    use ast_grep_core::Language as _;
    if core.0 == Language::Go {
        let head = "package p\n\nfunc f() {\n";
        let text = core.pre_process_pattern(pattern);
        let span = head.len()..head.len() + text.len();
        let doc = StrDoc::try_new(&format!("{head}{text}\n}}\n"), core).map_err(PatternError::Parse)?;
        let within = ast_grep_core::AstGrep::doc(doc);
        let sound = !within.root().get_doc().tree.root_node().has_error();
        if let Some(node) = within.root().dfs().filter(|node| sound && node.range() == span).last() {
            return Ok(Pattern::from(node));
        }
    }
    Pattern::try_new(pattern, core)
}

/// Parses a piece of code by itself; none where it is none. Rust's grammar knows an expression by itself only as a
/// statement.
fn parsed(core: Core, text: &str) -> Option<Tree> {
    use ast_grep_core::Language as _;
    if text.is_empty() {
        return None;
    }
    let text = core.pre_process_pattern(text).into_owned();
    let parse = |text: String| core.0.parse(text.as_bytes()).filter(|tree| fits(tree, text.len()));
    let statement = || (core.0 == Language::Rust).then(|| parse(format!("{text};"))).flatten();
    parse(text.clone()).or_else(statement)
}

/// Whether nothing is wrong in a tree but for a semicolon that is missing at its end.
fn fits(tree: &Tree, end: usize) -> bool {
    let mut cursor = tree.walk();
    loop {
        let node = cursor.node();
        let semicolon = node.kind() == ";" && node.start_byte() == end;
        if node.is_error() || (node.is_missing() && !semicolon) {
            return false;
        }
        if node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return true;
            }
        }
    }
}

/// A language as the searching crate sees it.
#[derive(Debug, Clone, Copy)]
struct Core(Language);

impl ast_grep_core::Language for Core {
    fn kind_to_id(&self, kind: &str) -> u16 {
        self.0.grammar().id_for_node_kind(kind, true)
    }

    fn field_to_id(&self, field: &str) -> Option<u16> {
        self.0.grammar().field_id_for_name(field).map(|id| id.get())
    }

    fn build_pattern(&self, builder: &PatternBuilder<'_>) -> Result<Pattern, PatternError> {
        builder.build(|text| StrDoc::try_new(text, *self))
    }

    /// What stands for `$` where a name may not hold one.
    fn expando_char(&self) -> char {
        if self.0.is_script() { '$' } else { 'µ' }
    }

    fn pre_process_pattern<'q>(&self, query: &'q str) -> Cow<'q, str> {
        if self.0.is_script() {
            return Cow::Borrowed(query);
        }
        let mut text = String::with_capacity(query.len());
        let mut rest = query;
        while let Some(at) = rest.find('$') {
            text.push_str(&rest[..at]);
            let behind = rest[at..].trim_start_matches('$');
            let dollars = rest.len() - at - behind.len();
            let variable = behind.starts_with(|c: char| c.is_ascii_uppercase() || c == '_') || dollars == 3;
            text.extend(std::iter::repeat_n(if variable { self.expando_char() } else { '$' }, dollars));
            rest = behind;
        }
        text.push_str(rest);
        Cow::Owned(text)
    }
}

impl LanguageExt for Core {
    fn get_ts_language(&self) -> TSLanguage {
        self.0.grammar()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a source of what comes out, or says why not.
    fn run(language: Language, pattern: &str, replacement: &str, source: &str) -> String {
        let rule = match Rule::new(language, pattern, replacement) {
            Ok(rule) => rule,
            Err(fault) => return format!("no rule: {fault}"),
        };
        match rule.rewrites(source) {
            Err(fault) => format!("{}: {}", fault.line, fault.why),
            Ok(rewrites) => {
                let mut after = source.to_owned();
                for rewrite in rewrites.iter().rev() {
                    after.replace_range(rewrite.start..rewrite.end, &rewrite.text);
                }
                after
            }
        }
    }

    #[test]
    fn matches_are_replaced_with_what_they_captured() {
        use Language::{Go, JavaScript, Python, Rust, TypeScript};
        let cases = [
            (Rust, "$A.unwrap()", "$A?", "fn f() { a.b(1).unwrap(); c }\n", "fn f() { a.b(1)?; c }\n"),
            (
                Rust,
                "foo($A, $$$REST)",
                "bar($$$REST, $A)",
                "fn f() { foo(1, 2, 3) }\n",
                "fn f() { bar(2, 3, 1) }\n",
            ),
            (
                Python,
                "assert_equal($A, $B)",
                "assert $A == $B",
                "def f():\n    assert_equal(g(1), 2)\n",
                "def f():\n    assert g(1) == 2\n",
            ),
            (JavaScript, "var $A = $B", "let $A = $B", "var a = 1;\n", "let a = 1;\n"),
            (TypeScript, "$A == null", "$A === null", "if (x.y == null) {}\n", "if (x.y === null) {}\n"),
            (
                Go,
                "errors.New(fmt.Sprintf($$$A))",
                "fmt.Errorf($$$A)",
                "package p\n\nfunc f() error { return errors.New(fmt.Sprintf(\"%d\", 1)) }\n",
                "package p\n\nfunc f() error { return fmt.Errorf(\"%d\", 1) }\n",
            ),
            // The same name twice is the same code twice.
            (Rust, "$A == $A", "true", "fn f() { x == x; x == y }\n", "fn f() { true; x == y }\n"),
            // Strings and comments are no code.
            (
                Python,
                "f($A)",
                "g($A)",
                "# f(1)\nx = \"f(1)\"\ny = f(1)\n",
                "# f(1)\nx = \"f(1)\"\ny = g(1)\n",
            ),
            (
                Rust,
                "f($A)",
                "println!(\"{}\", $A)",
                "fn m() { f(1 + 2) }\n",
                "fn m() { println!(\"{}\", 1 + 2) }\n",
            ),
            (Rust, "f($A)", "g($A)", "fn m() {}\n", "fn m() {}\n"),
        ];
        for (language, pattern, replacement, source, want) in cases {
            assert_eq!(run(language, pattern, replacement, source), want, "{pattern}");
        }
    }

    #[test]
    fn what_would_say_something_else_afterwards_is_refused() {
        let told = |pattern, replacement, source| run(Language::Rust, pattern, replacement, source);
        let cases = [
            (
                "double($A)",
                "$A * 2",
                "fn f() {\n    double(1 + 2)\n}\n",
                "2: `1 + 2 * 2` would be read as another expression where it stands, for want of parentheses",
            ),
            (
                "add($A, $B)",
                "$A + $B",
                "fn f() {\n    3 * add(1, 2)\n}\n",
                "2: `1 + 2` would be read as another expression where it stands, for want of parentheses",
            ),
            ("add($A, $B)", "$A + $B", "fn f() { g(add(1, 2)) }\n", "fn f() { g(1 + 2) }\n"),
            (
                "$A.unwrap()",
                "$A?",
                "fn f() {\n\n    x.unwrap().unwrap()\n}\n",
                "3: the pattern matches within another match, and the two cannot both be replaced",
            ),
            (
                "f($A)",
                "g($A)",
                "fn m() { f(/* why */ 1) }\n",
                "1: the match holds a comment that the replacement would drop",
            ),
            (
                "f($A)",
                "return",
                "const X: u8 = f(1);\nstruct f { a: u8 }\n",
                "const X: u8 = return;\nstruct f { a: u8 }\n",
            ),
        ];
        for (pattern, replacement, source, want) in cases {
            assert_eq!(told(pattern, replacement, source), want, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_rule_says_why() {
        let told = |pattern: &str, replacement: &str| match Rule::new(Language::Rust, pattern, replacement) {
            Ok(_) => String::new(),
            Err(fault) => fault.to_string(),
        };
        assert_eq!(told("$A.unwrap()", "$A?"), "");
        assert_eq!(told("foo(", "$A?"), "the pattern `foo(` does not parse");
        assert_eq!(told("f($A)", "$A ++"), "the replacement `$A ++` does not parse");
        assert_eq!(told("f($A)", ""), "the replacement `` does not parse");
        assert_eq!(told("f($A)", "g($B)"), "the replacement's `$B` is not in the pattern");
        assert_eq!(told("f($$$A)", "g($A)"), "the replacement's `$A` is not in the pattern");
        assert_eq!(told("$A", "g($A)"), "the pattern `$A` matches all code there is");
        assert_eq!(
            told("f($A); g($A);", "h($A);"),
            "the pattern `f($A); g($A);` is not one expression, statement or declaration"
        );
        assert_eq!(told(&"a".repeat(1001), "b"), "a pattern or replacement has more than 1000 bytes");
    }

    #[test]
    fn no_source_exhausts_the_stack() {
        let rule = Rule::new(Language::Rust, "f($A, $A)", "g($A)").expect("a rule");
        let deep = format!("fn m() {{ f({0}1{1}, {0}1{1}) }}", "(".repeat(5000), ")".repeat(5000));
        let why = rule.rewrites(&deep).unwrap_err().why;
        assert_eq!(why, "the code is nested too deeply to be searched");
        for source in ["", "fn", "\u{feff}f(1, 1)", "f(((((", "\0"] {
            let _ = rule.rewrites(source);
        }
    }
}
