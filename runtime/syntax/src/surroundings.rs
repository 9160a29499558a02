//! What stands around a token: the bracket it is in, what is called there, what it hangs at.

use std::collections::BTreeSet;

use crate::Language;
use crate::tree::{Token, TokenKind};

/// So many links of `a.b().c()` are followed.
const LONGEST_CHAIN: usize = 64;
/// So many brackets around a place are looked through.
const DEEPEST: usize = 64;

/// A bracket that is open.
struct Open {
    at: usize,
    /// How many commas stand in it so far.
    commas: usize,
    /// How many `<` of Rust's generics are open in it: the commas between them part types.
    generics: usize,
}

/// Brackets of a sequence of tokens.
pub(crate) struct Surroundings<'t> {
    tokens: &'t [Token],
    /// The bracket that is open around each token; for one that closes, its own.
    opens: Vec<Option<usize>>,
    /// How many commas stand before each token in its bracket.
    argument: Vec<usize>,
    /// Names of parameters that fail tests: `t *testing.T`.
    fail: BTreeSet<&'t str>,
    /// The comment from which on an example of Go says what it prints.
    output: Option<usize>,
}

impl<'t> Surroundings<'t> {
    pub(crate) fn new(language: Language, tokens: &'t [Token]) -> Self {
        let mut stack: Vec<Open> = Vec::new();
        let (mut opens, mut argument) = (Vec::with_capacity(tokens.len()), Vec::with_capacity(tokens.len()));
        for (at, token) in tokens.iter().enumerate() {
            let other = token.kind == TokenKind::Other;
            if other && matches!(token.text.as_str(), ")" | "]" | "}") {
                let own = stack.pop();
                opens.push(own.map(|open| open.at));
                argument.push(0);
                continue;
            }
            opens.push(stack.last().map(|open| open.at));
            argument.push(stack.last().map_or(0, |open| open.commas));
            if other && (matches!(token.text.as_str(), "(" | "[") || token.text.ends_with('{')) {
                stack.push(Open { at, commas: 0, generics: 0 });
            } else if other && let Some(open) = stack.last_mut() {
                match token.text.as_str() {
                    "," if open.generics == 0 => open.commas += 1,
                    ">" | ">>" => open.generics = open.generics.saturating_sub(token.text.len()),
                    "<" if language == Language::Rust && begins_generics(tokens, at) => open.generics += 1,
                    // Inside of them every one is.
                    "<" if open.generics > 0 => open.generics += 1,
                    _ => {}
                }
            }
        }
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        let fails = |at: &usize| {
            let from = if text(at + 1) == "*" { at + 2 } else { at + 1 };
            text(from) == "testing" && matches!(text(from + 2), "T" | "B" | "TB" | "F" | "M")
        };
        let fail = match language {
            Language::Go => (0..tokens.len()).filter(fails).map(text).collect(),
            _ => BTreeSet::new(),
        };
        let output = tokens.iter().position(|token| {
            token.kind == TokenKind::Comment && token.text.to_ascii_lowercase().contains("output:")
        });
        Self { tokens, opens, argument, fail, output }
    }

    /// How many tokens there are.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn is_identifier(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == TokenKind::Identifier)
    }

    pub(crate) fn text(&self, at: Option<usize>) -> &'t str {
        at.and_then(|at| self.tokens.get(at)).map_or("", |token| token.text.as_str())
    }

    pub(crate) fn token(&self, at: usize) -> &'t Token {
        &self.tokens[at]
    }

    /// The bracket a token stands in, by its first letter.
    pub(crate) fn open(&self, at: usize) -> Option<&'t str> {
        let open = self.opens[at]?;
        let text = self.text(Some(open));
        Some(&text[text.len() - 1..])
    }

    /// Where the bracket is that a token stands in, or that it closes.
    pub(crate) fn bracket(&self, at: usize) -> Option<usize> {
        self.opens[at]
    }

    /// Whether a token closes a bracket.
    pub(crate) fn closes(&self, at: usize) -> bool {
        self.tokens[at].kind == TokenKind::Other && matches!(self.text(Some(at)), ")" | "]" | "}")
    }

    /// Which argument of its bracket a token belongs to, counted from 0.
    pub(crate) fn argument(&self, at: usize) -> usize {
        self.argument[at]
    }

    /// Whether a comment says what an example of Go prints.
    pub(crate) fn is_output(&self, at: usize) -> bool {
        self.output.is_some_and(|output| output <= at)
    }

    /// Whether a name is that of something which fails tests.
    pub(crate) fn fails_tests(&self, name: &str) -> bool {
        self.fail.contains(name)
    }

    /// Whether a token is a member of what stands before it.
    pub(crate) fn hangs_at(&self, at: usize) -> bool {
        matches!(self.text(at.checked_sub(1)), "." | "?." | "::" | "!.")
    }

    /// The names of `a.b().c` from `c` at a place to its root; none where there are too many. Of `(a + b).c` the root is the
    /// first name in the brackets.
    pub(crate) fn chain(&self, at: usize) -> Option<Vec<&'t str>> {
        let mut out = vec![self.text(Some(at))];
        let mut here = at;
        while self.hangs_at(here) {
            if out.len() > LONGEST_CHAIN {
                return None;
            }
            let Some(mut left) = here.checked_sub(2) else { break };
            // What is called or indexed in between.
            let mut steps = 0;
            let mut bracket = None;
            while matches!(self.text(Some(left)), ")" | "]" | "?" | "!") {
                let from = if self.closes(left) { self.opens[left] } else { Some(left) };
                let Some(from) = from.filter(|_| steps < LONGEST_CHAIN) else { return Some(out) };
                bracket = Some(from).filter(|from| self.text(Some(*from)) == "(");
                let Some(before) = from.checked_sub(1) else {
                    out.extend(bracket.and_then(|open| self.first_name(open)));
                    return Some(out);
                };
                left = before;
                steps += 1;
            }
            if !self.is_link(left) {
                out.extend(bracket.and_then(|open| self.first_name(open)));
                break;
            }
            out.push(self.text(Some(left)));
            here = left;
        }
        Some(out)
    }

    /// Whether something can hang at a token: a name, and not a keyword that stands before a bracket.
    fn is_link(&self, at: usize) -> bool {
        let text = self.text(Some(at));
        let own = matches!(text, "self" | "this" | "super" | "cls" | "crate");
        // `a.await`, `a.0`, `u8::MAX`.
        let inner = self.hangs_at(at) && self.tokens[at].kind != TokenKind::Comment;
        let root = self.text(Some(at + 1)) == "::" && text.starts_with(|letter: char| letter.is_alphabetic());
        self.is_identifier(at) || own || inner || root
    }

    /// The first name of an expression in brackets.
    fn first_name(&self, open: usize) -> Option<&'t str> {
        let skip = ["await", "new", "&", "*", "mut", "not", "!", "(", "-"];
        let at = (open + 1..).take(DEEPEST).find(|at| !skip.contains(&self.text(Some(*at))))?;
        let own = matches!(self.text(Some(at)), "self" | "this");
        (self.is_identifier(at) || own).then(|| self.text(Some(at)))
    }

    /// Where the name stands of what is called with the bracket that a token is in.
    fn called(&self, at: usize) -> Option<usize> {
        let open = self.opens[at].filter(|open| self.text(Some(*open)) == "(")?;
        let mut before = open.checked_sub(1)?;
        // What a call returned is called in turn.
        for _ in 0..DEEPEST {
            if self.text(Some(before)) != ")" {
                break;
            }
            before = self.opens[before]?.checked_sub(1)?;
        }
        // A macro of Rust.
        let name = if self.text(Some(before)) == "!" { before.checked_sub(1)? } else { before };
        (self.tokens[name].kind != TokenKind::Literal).then_some(name)
    }

    /// Whether what a call returned is called with the bracket that a token is in: `it.each(rows)("title")`.
    pub(crate) fn called_again(&self, at: usize) -> bool {
        self.text(self.opens[at].and_then(|open| open.checked_sub(1))) == ")"
    }

    /// What is called with the bracket that a token is in, its own name first, then what it hangs at.
    pub(crate) fn caller(&self, at: usize) -> Option<Vec<&'t str>> {
        self.chain(self.called(at)?)
    }

    /// Whether that is a macro of Rust.
    pub(crate) fn in_macro(&self, at: usize) -> bool {
        self.opens[at].and_then(|open| open.checked_sub(1)).is_some_and(|at| self.text(Some(at)) == "!")
    }

    /// The names of the call whose argument a literal of fields or the name of an argument is, and which argument that is;
    /// no names behind a function's body, none at all where the brackets are too many.
    pub(crate) fn callers(&self, at: usize) -> Option<(Vec<&'t str>, usize)> {
        let mut here = at;
        for _ in 0..DEEPEST {
            let Some(open) = self.opens[here] else { return Some((Vec::new(), 0)) };
            let text = self.text(Some(open));
            // A function's body: what calls that does not see the names in it.
            let before = self.text(open.checked_sub(1));
            if text == "{" && matches!(before, ")" | "=>" | "else" | "try" | "do") {
                return Some((Vec::new(), 0));
            }
            // A list of literals is data, and no call's options.
            if text == "[" {
                return Some((Vec::new(), 0));
            }
            if text == "(" {
                return Some((self.caller(here).unwrap_or_default(), self.argument(here)));
            }
            here = open;
        }
        None
    }

    /// Whether the bracket that a token is in holds the parameters of a function.
    pub(crate) fn declares_parameters(&self, at: usize) -> bool {
        let Some(name) = self.opens[at].and_then(|open| open.checked_sub(1)) else { return false };
        matches!(self.text(name.checked_sub(1)), "def" | "fn" | "func" | "function")
            || matches!(self.text(Some(name)), "lambda" | "func" | "function")
    }
}

/// Whether a `<` of Rust begins generics and does not compare: behind `::`, and where nothing stands before it that could be
/// compared.
fn begins_generics(tokens: &[Token], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| tokens.get(before)).is_none_or(|before| {
        before.kind == TokenKind::Other && !matches!(before.text.as_str(), ")" | "]" | "}" | "?" | "self")
    })
}
