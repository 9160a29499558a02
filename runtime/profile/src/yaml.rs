//! YAML into a small tree with lines, bounded: an alias stands for nothing instead of a copy.

use saphyr_parser::{Event, Parser};

/// A value with the line it begins on.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) line: u32,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    /// Text; of a block, the line is that of its first line.
    Scalar(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(String, Node)>),
    /// An alias, or what was too deep.
    Nothing,
}

const MOST_NODES: usize = 50_000;
const DEEPEST: usize = 50;

impl Node {
    /// Returns a mapping's value.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Returns a mapping's entries; none of anything else.
    pub(crate) fn entries(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// Returns a sequence's items; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }
}

/// Parses the first document; none when it is not YAML or larger than any real workflow.
pub(crate) fn parse(text: &str) -> Option<Node> {
    enum Open {
        Sequence(Vec<Node>),
        Mapping(Vec<(String, Node)>, Option<String>),
    }
    let mut open: Vec<(u32, Open)> = Vec::new();
    let mut nodes = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        let line = u32::try_from(span.start.line()).unwrap_or(u32::MAX);
        nodes += 1;
        if nodes > MOST_NODES || open.len() > DEEPEST {
            return None;
        }
        let node = match event {
            Event::Scalar(text, ..) => {
                // The parser gives a block's first line that is not empty.
                let empty = text.bytes().take_while(|byte| *byte == b'\n').count();
                let line = line.saturating_sub(u32::try_from(empty).unwrap_or(0));
                Node { line, value: Value::Scalar(text.into_owned()) }
            }
            Event::Alias(_) => Node { line, value: Value::Nothing },
            Event::SequenceStart(..) => {
                open.push((line, Open::Sequence(Vec::new())));
                continue;
            }
            Event::MappingStart(..) => {
                open.push((line, Open::Mapping(Vec::new(), None)));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (line, closed) = open.pop()?;
                let value = match closed {
                    Open::Sequence(items) => Value::Sequence(items),
                    Open::Mapping(entries, _) => Value::Mapping(entries),
                };
                Node { line, value }
            }
            _ => continue,
        };
        match open.last_mut() {
            None => return Some(node),
            Some((_, Open::Sequence(items))) => items.push(node),
            Some((_, Open::Mapping(entries, key))) => match key.take() {
                Some(name) => entries.push((name, node)),
                // A key that is no text names nothing we look for.
                None => *key = Some(node.text().unwrap_or_default().to_owned()),
            },
        }
    }
    None
}

/// Returns a YAML document as JSON, every scalar as text, of an operator's own small file; none where it is not YAML or
/// larger than any of those.
pub fn yaml_value(text: &str) -> Option<serde_json::Value> {
    fn value(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Scalar(text) => text.as_str().into(),
            Value::Sequence(items) => items.iter().map(value).collect(),
            Value::Mapping(entries) => entries
                .iter()
                .map(|(name, node)| (name.clone(), value(node)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::Nothing => serde_json::Value::Null,
        }
    }
    parse(text).as_ref().map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_lines() {
        let node = parse("a:\n  - b: |\n      x\n      y\n    c: [1, 2]\nd: |-\n\n  z\ne: w\n").unwrap();
        let item = &node.get("a").unwrap().items()[0];
        assert_eq!((item.get("b").unwrap().line, item.get("b").unwrap().text()), (3, Some("x\ny\n")));
        assert_eq!((node.get("d").unwrap().line, node.get("d").unwrap().text()), (7, Some("\nz")));
        assert_eq!((node.get("e").unwrap().line, node.get("e").unwrap().text()), (9, Some("w")));
        assert_eq!(item.get("c").unwrap().items().len(), 2);
    }

    #[test]
    fn bombs_and_nonsense_do_no_harm() {
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 0..30 {
            bomb.push_str(&format!("b{i}: &b{i} [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"));
        }
        assert!(parse(&bomb).is_some());
        for nonsense in
            ["", "[", "{a: ", "a: b: c", "\t- x", "- *nope", "%TAG", "? ? ?", "&a *a", "\u{0}", "--- !!x\n"]
        {
            let _ = parse(nonsense);
        }
        assert!(parse(&"[".repeat(10_000)).is_none());
        assert!(parse(&"- ".repeat(10_000)).is_none());
        assert!(parse(&"- x\n".repeat(60_000)).is_none());
    }
}
