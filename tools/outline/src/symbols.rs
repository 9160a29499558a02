//! From a syntax tree to its symbols: one walk, without recursion, so that no nesting can exhaust the stack.

use std::collections::HashSet;
use std::ops::{ControlFlow, Range};

use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree};

use crate::Kind;
use crate::languages::{self, LANGUAGES, Language, Name, Row, When};

/// Characters of a signature.
const SIGNATURE: usize = 200;
/// Bytes that a signature is made from.
const HEAD: usize = 4 << 10;
/// Bytes of a name.
const NAME: usize = 200;
/// How deep in one another symbols may stand.
pub(crate) const NESTING: usize = 32;

/// A symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) signature: String,
    /// Its first and last line, counted from 1.
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// The symbol it stands in.
    pub(crate) parent: Option<usize>,
    /// How many symbols it stands in.
    pub(crate) depth: usize,
}

/// A file's symbols, each behind the one it stands in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Symbols {
    pub(crate) list: Vec<Symbol>,
    /// In how many places the source does not fit the grammar.
    pub(crate) wrong: usize,
    /// Whether symbols nest deeper than [`NESTING`]; those are left out.
    pub(crate) deeper: bool,
}

/// The parsers, made as they are needed: setting one up costs more than a small file.
#[derive(Default)]
pub(crate) struct Parsers {
    ready: Vec<Option<Ready>>,
}

struct Ready {
    parser: Parser,
    /// By a node's kind: the first of its rows, or what else is to be done with it.
    acts: Vec<Act>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Look into it.
    Enter,
    /// Do not.
    Skip,
    /// Rows declare it; this is the first.
    Rows(usize),
}

impl Ready {
    fn new(language: &Language) -> Option<Self> {
        let grammar = (language.grammar)();
        let mut acts = vec![Act::Enter; grammar.node_kind_count()];
        for (id, act) in acts.iter_mut().enumerate() {
            let id = u16::try_from(id).ok()?;
            let Some(kind) = grammar.node_kind_for_id(id).filter(|_| grammar.node_kind_is_named(id)) else {
                continue;
            };
            if let Some(first) = language.rows.iter().position(|row| row.node == kind) {
                *act = Act::Rows(first);
            } else if language.closed.contains(&kind) {
                *act = Act::Skip;
            }
        }
        let mut parser = Parser::new();
        parser.set_language(&grammar).ok()?;
        Some(Self { parser, acts })
    }
}

impl Parsers {
    /// Parses a source in the language of its path; where several may be meant, in the one it fits.
    pub(crate) fn best(&mut self, path: &str, source: &[u8]) -> Option<Symbols> {
        let mut best: Option<Symbols> = None;
        for language in languages::of(path) {
            let Some(found) = self.symbols(language, source) else { continue };
            if best.as_ref().is_none_or(|best| found.wrong < best.wrong) {
                best = Some(found);
            }
            if best.as_ref().is_some_and(|best| best.wrong == 0) {
                break;
            }
        }
        best
    }

    /// Returns the symbols of a source in the language of this number; none when parsing it takes far longer
    /// than its size explains.
    pub(crate) fn symbols(&mut self, language: usize, source: &[u8]) -> Option<Symbols> {
        self.ready.resize_with(LANGUAGES.len(), || None);
        let slot = &mut self.ready[language];
        if slot.is_none() {
            *slot = Ready::new(&LANGUAGES[language]);
        }
        let ready = slot.as_mut()?;
        let source = (LANGUAGES[language].prepare)(source);
        let tree = parse(&mut ready.parser, &source)?;
        let mut walk = Walk {
            language: &LANGUAGES[language],
            source: &source,
            found: Symbols { wrong: wrong(&tree), ..Symbols::default() },
            above: Vec::new(),
            open: Vec::new(),
            variables: HashSet::new(),
        };
        walk.run(&tree, &ready.acts);
        Some(walk.found)
    }
}

/// Parses within a budget of steps. It is counted, not timed, so that the answer is the same on every machine.
fn parse(parser: &mut Parser, source: &[u8]) -> Option<Tree> {
    // The parser asks every hundred steps; a usual source takes about one for each of its bytes.
    let mut left = 10_000 + source.len() / 5;
    let mut progress = |_: &ParseState| {
        left = left.saturating_sub(1);
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = ParseOptions::new().progress_callback(&mut progress);
    let mut read = |at: usize, _| source.get(at..).unwrap_or_default();
    let tree = parser.parse_with_options(&mut read, None, Some(options));
    if tree.is_none() {
        parser.reset();
    }
    tree
}

/// Counts what the parser could not make sense of, and what it had to add.
fn wrong(tree: &Tree) -> usize {
    let mut count = 0;
    let mut cursor = tree.walk();
    loop {
        let node = cursor.node();
        count += usize::from(node.is_error() || node.is_missing());
        if node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return count;
            }
        }
    }
}

struct Walk<'t> {
    language: &'static Language,
    source: &'t [u8],
    found: Symbols,
    /// The nodes on the way down: asking a node for its parent would search from the root each time.
    above: Vec<Node<'t>>,
    /// The symbols on the way down, each with its level in `above`.
    open: Vec<(usize, usize)>,
    /// Variables by what they stand in: one that is assigned twice is shown once.
    variables: HashSet<(Option<usize>, String)>,
}

impl<'t> Walk<'t> {
    fn run(&mut self, tree: &'t Tree, acts: &[Act]) {
        let mut cursor = tree.walk();
        loop {
            let node = cursor.node();
            if self.enters(node, acts) && cursor.goto_first_child() {
                self.above.push(node);
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return;
                }
                self.above.pop();
                while self.open.last().is_some_and(|(level, _)| *level >= self.above.len()) {
                    self.open.pop();
                }
            }
            while self.open.last().is_some_and(|(level, _)| *level >= self.above.len()) {
                self.open.pop();
            }
        }
    }

    /// Notes a node's symbol; whether to look into it.
    fn enters(&mut self, node: Node<'t>, acts: &[Act]) -> bool {
        let first = match acts.get(usize::from(node.kind_id())).copied().unwrap_or(Act::Enter) {
            Act::Enter => return true,
            Act::Skip => return false,
            Act::Rows(first) => first,
        };
        let kind = node.kind();
        let rows = self.language.rows[first..].iter().filter(|row| row.node == kind);
        for row in rows {
            if !self.fits(row, node) {
                continue;
            }
            let Some((name, declared)) = self.name(row, node) else { continue };
            let parent = self.open.last().map(|(_, symbol)| *symbol);
            let kind = self.kind(row, declared, parent);
            if self.open.len() >= NESTING {
                self.found.deeper = true;
                return false;
            }
            let repeated = matches!(kind, Kind::Variable | Kind::Field)
                && !self.variables.insert((parent, name.clone()));
            if repeated {
                return false;
            }
            let (signature, first) = self.signature(node, kind);
            self.found.list.push(Symbol {
                kind,
                name,
                signature,
                first,
                last: last_line(node),
                parent,
                depth: self.open.len(),
            });
            let open = row.open && kind != Kind::Function && kind != Kind::Method;
            if open {
                self.open.push((self.above.len(), self.found.list.len() - 1));
            }
            return open;
        }
        true
    }

    fn fits(&self, row: &Row, node: Node<'t>) -> bool {
        let parent = || self.above.last().map_or("", |parent| parent.kind());
        match row.when {
            When::Always => true,
            When::Has(field) => node.child_by_field_name(field).is_some(),
            When::Is(field, kinds) => {
                node.child_by_field_name(field).is_some_and(|child| kinds.contains(&child.kind()))
            }
            When::Under(kind) => parent() == kind,
            When::Near(levels) => {
                let from = self.open.last().map_or(0, |(level, _)| *level);
                self.above.len() - from <= levels
            }
            When::Defined => node.child_by_field_name("body").is_some() && parent() != "type_definition",
        }
    }

    fn kind(&self, row: &Row, declared: Declared, parent: Option<usize>) -> Kind {
        let holder = parent.map(|parent| self.found.list[parent].kind);
        let member = matches!(holder, Some(Kind::Class | Kind::Interface | Kind::Variable));
        match (row.kind, declared) {
            (Kind::Variable | Kind::Field, Declared::Function) if member => Kind::Method,
            (Kind::Variable | Kind::Field, Declared::Function) => Kind::Function,
            _ if member => row.member,
            _ => row.kind,
        }
    }

    /// A symbol's name, and what C's declarators say it is.
    fn name(&self, row: &Row, node: Node<'t>) -> Option<(String, Declared)> {
        let mut declared = Declared::Value;
        let name = match row.name {
            Name::Field(field) => self.names(node, field, Some),
            Name::Path(field, inner) => self.names(node, field, |child| child.child_by_field_name(inner)),
            Name::Whole => self.text(node),
            Name::Fixed(name) => Some(name.to_owned()),
            Name::Declarator => self.names(node, "declarator", |child| {
                let (name, what) = declarator(child)?;
                declared = what;
                Some(name)
            }),
            Name::Impl => {
                let of = self.text(node.child_by_field_name("type")?)?;
                match node.child_by_field_name("trait").and_then(|of| self.text(of)) {
                    Some(the_trait) => Some(format!("{the_trait} for {of}")),
                    None => Some(of),
                }
            }
        }?;
        (!name.is_empty()).then_some((name, declared))
    }

    fn names(
        &self,
        node: Node<'t>,
        field: &str,
        mut of: impl FnMut(Node<'t>) -> Option<Node<'t>>,
    ) -> Option<String> {
        let mut names = String::new();
        let mut cursor = node.walk();
        for child in node.children_by_field_name(field, &mut cursor).filter(Node::is_named) {
            let Some(name) = of(child).filter(|node| !is_place(node.kind())).and_then(|node| self.text(node))
            else {
                continue;
            };
            if !names.is_empty() {
                names.push_str(", ");
            }
            names.push_str(&name);
            if names.len() > NAME {
                break;
            }
        }
        (!names.is_empty()).then_some(names)
    }

    /// The text of a node in one line; none when it is no name's.
    fn text(&self, node: Node<'t>) -> Option<String> {
        let text = self.source.get(node.byte_range())?;
        (text.len() <= NAME).then(|| one_line(text, &[]))
    }

    /// How a symbol is declared, in one line without its body, and the line that begins on.
    fn signature(&self, node: Node<'t>, kind: Kind) -> (String, u32) {
        let (outer, keyword) = self.outermost(node);
        let from = self.without_decorations(outer).min(node.end_byte());
        let body = body(node).filter(|body| self.source.get(body.start) != Some(&b'('));
        let to = body.as_ref().map_or(node.end_byte(), |body| body.start).max(from);
        let mut cut = to > from + HEAD;
        let mut head = self.source[from..to.min(from + HEAD)].trim_ascii_end();
        if body.is_none() && !matches!(kind, Kind::Function | Kind::Method) {
            // A value or a list of members: its first line says enough.
            let own = node.start_byte().saturating_sub(from).min(head.len());
            if let Some(end) = memchr::memchr(b'\n', &head[own..]) {
                head = head[..own + end].trim_ascii_end();
                head = head.strip_suffix(b"\\").unwrap_or(head);
                cut = true;
            }
        }
        let comments =
            if head.contains(&b'\n') { comments(outer, from..from + head.len()) } else { Vec::new() };
        let mut line = one_line(head, &comments);
        line.truncate(line.trim_end_matches([' ', '{', ';', ',']).len());
        if let Some(body) = body {
            let rest = line.strip_suffix(':').or_else(|| line.strip_suffix('=')).unwrap_or(&line);
            line.truncate(rest.trim_end().len());
            // `typedef struct { ... } name`
            let tail = self.source.get(body.end..node.end_byte().min(body.end + HEAD)).unwrap_or_default();
            let tail = one_line(tail, &[]);
            let tail = tail.trim_end_matches([' ', ';']);
            if !tail.is_empty() {
                line.push_str(" { … } ");
                line.push_str(tail);
            }
        }
        if let Some(keyword) = keyword {
            line = format!("{keyword} {line}");
        }
        if let Some((end, _)) = line.char_indices().nth(SIGNATURE) {
            line.truncate(end);
            cut = true;
        }
        if cut {
            line.push_str(" …");
        }
        (line, u32::try_from(outer.start_position().row + 1).unwrap_or(u32::MAX))
    }

    /// The outermost node that is about this declaration alone. Where one is about several (`const a = 1, b = 2`),
    /// the word that each of them needs.
    fn outermost(&self, node: Node<'t>) -> (Node<'t>, Option<String>) {
        let (mut outer, mut several) = (node, false);
        for &parent in self.above.iter().rev() {
            if !self.language.wrappers.contains(&parent.kind()) {
                break;
            }
            let mut cursor = parent.walk();
            let like =
                parent.named_children(&mut cursor).filter(|child| child.kind() == outer.kind()).take(2);
            let grouped = parent.child(1).is_some_and(|child| child.kind() == "(");
            several |= like.count() > 1 || grouped;
            if !several {
                outer = parent;
            } else if let Some(word) =
                parent.child(0).filter(|child| !child.is_named() && child.kind() != "(")
            {
                return (outer, self.text(word));
            }
        }
        (outer, None)
    }

    fn is_decoration(&self, node: Node<'t>) -> bool {
        self.language.decorations.contains(&node.kind())
    }

    /// Where a declaration begins behind its decorations; in Java they stand among the modifiers.
    fn without_decorations(&self, node: Node<'t>) -> usize {
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            if self.is_decoration(child) || child.is_extra() {
                continue;
            }
            if child.kind() == "modifiers" {
                let mut inner = child.walk();
                let first = child.children(&mut inner).find(|modifier| !self.is_decoration(*modifier));
                match first {
                    Some(first) => return first.start_byte(),
                    None => continue,
                }
            }
            return child.start_byte();
        }
        node.start_byte()
    }
}

/// Whether what is assigned to is no name: a pattern (`const {a, b} = ...`), a part of something.
fn is_place(kind: &str) -> bool {
    kind.contains("pattern") || matches!(kind, "attribute" | "subscript" | "subscript_expression")
}

/// What a declarator of C is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Declared {
    Value,
    Function,
}

/// Follows C's declarators to the name. A function is what the name is called as: `int (*f)(void)` is none.
fn declarator(mut node: Node<'_>) -> Option<(Node<'_>, Declared)> {
    let mut declared = Declared::Value;
    loop {
        match node.kind() {
            "function_declarator" => declared = Declared::Function,
            "parenthesized_declarator" | "init_declarator" | "attributed_declarator" => {}
            kind if kind.ends_with("_declarator") => declared = Declared::Value,
            _ => return Some((node, declared)),
        }
        let inner = node.child_by_field_name("declarator").or_else(|| {
            let mut cursor = node.walk();
            node.named_children(&mut cursor).find(|child| {
                let kind = child.kind();
                kind.ends_with("declarator") || kind.ends_with("identifier") || kind.ends_with("_name")
            })
        });
        node = inner?;
    }
}

/// Where a symbol's body is: its own, that of the function, class or type it is bound to.
fn body(node: Node<'_>) -> Option<Range<usize>> {
    let inner = ["value", "right", "type"];
    let own = node.child_by_field_name("body");
    let body = own.or_else(|| {
        inner.iter().find_map(|field| node.child_by_field_name(field)?.child_by_field_name("body"))
    })?;
    Some(body.byte_range())
}

/// Comments in a part of a source.
fn comments(node: Node<'_>, within: Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut cursor = node.walk();
    loop {
        let here = cursor.node();
        let inside = here.start_byte() < within.end && here.end_byte() > within.start;
        if inside && here.kind().ends_with("comment") {
            let start = here.start_byte().max(within.start) - within.start;
            found.push(start..here.end_byte().min(within.end) - within.start);
        } else if inside && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return found;
            }
        }
    }
}

/// Returns a text in one line, without these parts, control characters escaped: a file cannot forge a line.
fn one_line(text: &[u8], without: &[Range<usize>]) -> String {
    let mut kept = Vec::with_capacity(text.len());
    let mut at = 0;
    for part in without {
        kept.extend_from_slice(text.get(at..part.start).unwrap_or_default());
        kept.push(b' ');
        at = part.end;
    }
    kept.extend_from_slice(text.get(at..).unwrap_or_default());
    let mut line = String::new();
    for word in String::from_utf8_lossy(&kept).split_whitespace() {
        if word.starts_with([')', ']']) {
            // Arguments that stood on lines of their own.
            line.truncate(line.trim_end_matches(',').len());
        } else if !line.is_empty() && !line.ends_with(['(', '[']) {
            line.push(' ');
        }
        for c in word.chars() {
            if c.is_control() || is_format(c) {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
    }
    line
}

/// Whether a character changes how others are shown: the marks of bidirectional text.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The last line of a node; a line break at its end belongs to that line.
fn last_line(node: Node<'_>) -> u32 {
    let (start, end) = (node.start_position(), node.end_position());
    let row = if end.column == 0 && end.row > start.row { end.row - 1 } else { end.row };
    u32::try_from(row + 1).unwrap_or(u32::MAX)
}
