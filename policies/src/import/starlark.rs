//! The part of Starlark that rules are written in: calls with literal arguments, and nothing that would have to be
//! run.

use super::draft::MOST_RULES;
use super::origin::Origin;
use crate::Diagnostic;

/// A call at the top of the file, like `prefix_rule(pattern = ["git"], decision = "allow")`.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) at: usize,
    /// Behind the closing parenthesis.
    pub(super) end: usize,
    pub(super) name: String,
    pub(super) arguments: Vec<Argument>,
}

#[derive(Debug)]
pub(super) struct Argument {
    pub(super) at: usize,
    /// None for one that is given by its position.
    pub(super) name: Option<String>,
    pub(super) value: Literal,
}

#[derive(Debug)]
pub(super) enum Literal {
    Text(String),
    List(Vec<(usize, Literal)>),
    /// A name or a number.
    Other,
}

/// How deep lists may lie in each other.
const DEEPEST: usize = 8;

const ONLY_CALLS: &str = "only calls with literal arguments are imported, like `prefix_rule(pattern = [\"git\"], \
                          decision = \"prompt\")`: write out what the file would compute";

/// Reads a file of calls.
pub(super) fn read(origin: &Origin<'_>) -> Result<Vec<Call>, Diagnostic> {
    let mut reader = Reader { origin, at: 0 };
    let mut calls = Vec::new();
    while reader.peek().is_some() {
        if reader.take(';') {
            continue;
        }
        if calls.len() == MOST_RULES {
            let message = format!("these are more than {MOST_RULES} rules");
            return Err(origin.fault(reader.at, message, "import the part of them that is still meant"));
        }
        calls.push(reader.call()?);
    }
    Ok(calls)
}

struct Reader<'a> {
    origin: &'a Origin<'a>,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.origin.text[self.at..]
    }

    fn fault(&self, message: impl Into<String>) -> Diagnostic {
        self.origin.fault(self.at, message, ONLY_CALLS)
    }

    /// The next character that is neither space nor comment.
    fn peek(&mut self) -> Option<char> {
        loop {
            let rest = self.rest();
            let c = rest.chars().next()?;
            if c == '#' {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if c.is_whitespace() || c == '\u{feff}' {
                self.at += c.len_utf8();
            } else {
                return Some(c);
            }
        }
    }

    fn take(&mut self, want: char) -> bool {
        let found = self.peek() == Some(want);
        if found {
            self.at += want.len_utf8();
        }
        found
    }

    fn expect(&mut self, want: char) -> Result<(), Diagnostic> {
        if self.take(want) { Ok(()) } else { Err(self.fault(format!("`{want}` is expected here"))) }
    }

    fn name(&mut self) -> Option<String> {
        self.peek()?;
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        self.at += end;
        (!name.is_empty()).then_some(name)
    }

    fn call(&mut self) -> Result<Call, Diagnostic> {
        self.peek();
        let at = self.at;
        let name = self.name().ok_or_else(|| self.fault("this is not a call"))?;
        if self.peek() != Some('(') {
            self.at = at;
            return Err(self.fault("this is not a call"));
        }
        self.at += 1;
        let mut arguments = Vec::new();
        while !self.take(')') {
            arguments.push(self.argument()?);
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(Call { at, end: self.at, name, arguments })
    }

    fn argument(&mut self) -> Result<Argument, Diagnostic> {
        self.peek();
        let at = self.at;
        if let Some(name) = self.name() {
            if self.take('=') {
                return Ok(Argument { at, name: Some(name), value: self.literal(0)? });
            }
            self.at = at;
        }
        Ok(Argument { at, name: None, value: self.literal(0)? })
    }

    fn literal(&mut self, depth: usize) -> Result<Literal, Diagnostic> {
        if depth > DEEPEST {
            return Err(self.fault("lists lie too deep in each other"));
        }
        let raw = self.peek() == Some('r') && self.rest()[1..].starts_with(['"', '\'']);
        match self.peek() {
            Some('"' | '\'') => self.text(false).map(Literal::Text),
            Some('r') if raw => {
                self.at += 1;
                self.text(true).map(Literal::Text)
            }
            Some(open @ ('[' | '(')) => {
                self.at += 1;
                let close = if open == '[' { ']' } else { ')' };
                let mut items = Vec::new();
                while !self.take(close) {
                    self.peek();
                    items.push((self.at, self.literal(depth + 1)?));
                    if !self.take(',') {
                        self.expect(close)?;
                        break;
                    }
                }
                Ok(Literal::List(items))
            }
            _ => match self.name() {
                Some(_) => Ok(Literal::Other),
                None => Err(self.fault("a text or a list is expected here")),
            },
        }
    }

    fn text(&mut self, raw: bool) -> Result<String, Diagnostic> {
        let start = self.at;
        let quote = if self.rest().starts_with('"') { '"' } else { '\'' };
        let long = quote.to_string().repeat(3);
        let (open, many_lines) =
            if self.rest().starts_with(&long) { (long.as_str(), true) } else { (&long[..1], false) };
        let mut out = String::new();
        let mut chars = self.origin.text[start + open.len()..].char_indices();
        while let Some((at, c)) = chars.next() {
            let here = start + open.len() + at;
            if self.origin.text[here..].starts_with(open) {
                self.at = here + open.len();
                return Ok(out);
            }
            match c {
                '\n' if !many_lines => break,
                '\\' => match chars.next() {
                    Some((_, c)) if raw => out.extend(['\\', c]),
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, 'r')) => out.push('\r'),
                    Some((_, '\n')) => {}
                    Some((_, c @ ('\\' | '"' | '\''))) => out.push(c),
                    _ => {
                        self.at = here;
                        return Err(self.fault("this escape is not known"));
                    }
                },
                c => out.push(c),
            }
        }
        self.at = start;
        Err(self.fault("this text is not closed"))
    }
}
