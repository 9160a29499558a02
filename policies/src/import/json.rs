//! JSON with the place of everything in it. `serde_json` keeps no places, so it checks the text and reads the
//! strings, and this walks the text that is known to be right.

use super::origin::Origin;
use crate::Diagnostic;

/// A value and the byte it begins at.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: usize,
    pub(super) value: Json,
}

#[derive(Debug)]
pub(super) enum Json {
    Object(Vec<Member>),
    Array(Vec<Node>),
    String(String),
    /// A number, `true`, `false` or `null`.
    Other,
}

/// A key of an object and what stands there.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) at: usize,
    pub(super) key: String,
    pub(super) node: Node,
}

impl Node {
    pub(super) fn member(&self, key: &str) -> Option<&Member> {
        match &self.value {
            Json::Object(members) => members.iter().find(|member| member.key == key),
            _ => None,
        }
    }
}

/// The text as a value without places.
pub(super) fn value(origin: &Origin<'_>) -> Result<serde_json::Value, Diagnostic> {
    serde_json::from_str(origin.text).map_err(|error| {
        let at = origin.line_start(error.line()) + error.column().saturating_sub(1);
        let at = (0..=at.min(origin.text.len())).rev().find(|at| origin.text.is_char_boundary(*at));
        let told = error.to_string();
        let message = told.split(" at line ").next().unwrap_or("the text is broken off");
        origin.fault(
            at.unwrap_or(0),
            format!("this is not JSON: {message}"),
            "mend the file; JSON knows no comments and no comma behind the last item",
        )
    })
}

/// Reads a text; a key that stands twice in one object is a fault, since the agent would drop one of the two.
pub(super) fn read(origin: &Origin<'_>) -> Result<Node, Diagnostic> {
    // It also bounds how deep values lie in each other.
    value(origin)?;
    let mut walk = Walk { origin, at: 0, twice: None };
    let broken = || origin.fault(0, "this is not JSON", "mend the file");
    let node = walk.node().ok_or_else(broken)?;
    match walk.twice {
        Some((at, key)) => Err(origin.fault(
            at,
            format!("the key {key:?} stands twice, and the agent takes only one of the two"),
            "put both together",
        )),
        None => Ok(node),
    }
}

struct Walk<'a> {
    origin: &'a Origin<'a>,
    at: usize,
    twice: Option<(usize, String)>,
}

impl Walk<'_> {
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.origin.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn node(&mut self) -> Option<Node> {
        let first = self.peek()?;
        let at = self.at;
        let value = match first {
            b'{' => Json::Object(self.members()?),
            b'[' => {
                let mut items = Vec::new();
                self.at += 1;
                while self.peek()? != b']' {
                    items.push(self.node()?);
                    if self.peek()? == b',' {
                        self.at += 1;
                    }
                }
                self.at += 1;
                Json::Array(items)
            }
            b'"' => Json::String(self.string()?),
            _ => {
                let rest = &self.origin.text[self.at..];
                self.at += rest.find([',', '}', ']', ' ', '\n', '\r', '\t']).unwrap_or(rest.len()).max(1);
                Json::Other
            }
        };
        Some(Node { at, value })
    }

    fn members(&mut self) -> Option<Vec<Member>> {
        let mut members: Vec<Member> = Vec::new();
        self.at += 1;
        while self.peek()? != b'}' {
            let at = self.at;
            let key = self.string()?;
            if self.peek()? == b':' {
                self.at += 1;
            }
            let node = self.node()?;
            if members.iter().any(|member| member.key == key) && self.twice.is_none() {
                self.twice = Some((at, key.clone()));
            }
            members.push(Member { at, key, node });
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(members)
    }

    fn string(&mut self) -> Option<String> {
        let bytes = self.origin.text.as_bytes();
        let start = self.at;
        let mut at = start + 1;
        while *bytes.get(at)? != b'"' {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        self.at = at + 1;
        serde_json::from_str(self.origin.text.get(start..self.at)?).ok()
    }
}
