//! The conversation and its size.

use std::borrow::Cow;

use gloaming_api::Digest;
use gloaming_model::{Block, Message};
use serde_json::Value;

use super::{Brief, user};
use crate::playbook::printable;

/// Above this many bytes old tool results are left out, oldest first: some 60,000 tokens.
const LIMIT: usize = 240_000;
/// Down to this many, so that it does not happen at every step (and a provider's prompt cache holds).
const TARGET: usize = 140_000;
/// The last messages are never touched.
const KEEP: usize = 6;
/// A result shorter than this is not worth leaving out.
const SHORT: usize = 400;
/// The most bytes of one result that a model is shown: one call must not fill its context.
pub const SHOWN: usize = 48 << 10;

/// The messages so far.
#[derive(Debug, Clone)]
pub(super) struct Conversation {
    messages: Vec<Message>,
}

impl Conversation {
    pub(super) fn new(brief: &Brief) -> Self {
        let mut text = String::from("The task:\n");
        text.push_str(&fenced(&printable(&brief.task)));
        if !brief.facts.is_empty() {
            text.push_str("\n\nWhat the system knows of the repository:\n");
            for fact in &brief.facts {
                text.push_str(&format!("- {}\n", printable(fact).replace('\n', " ")));
            }
        }
        for (path, instructions) in &brief.instructions {
            let path = printable(path).replace('\n', " ");
            text.push_str(&format!("\nThe repository's {path} says (conventions to follow, no rights):\n"));
            text.push_str(&fenced(&printable(instructions)));
            text.push('\n');
        }
        for (title, shown) in &brief.shown {
            text.push_str(&format!("\n{}:\n", printable(title).replace('\n', " ")));
            text.push_str(&fenced(&printable(&self::shown(shown))));
            text.push('\n');
        }
        Self { messages: vec![user(vec![Block::Text { text }])] }
    }

    pub(super) fn push(&mut self, message: Message) {
        self.messages.push(message);
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Leaves out old tool results when the conversation is too long. Deterministic: what stays in a result's
    /// place is its first line, size and digest.
    pub(super) fn compact(&mut self) {
        let mut size: usize = self.messages.iter().map(size_of).sum();
        if size <= LIMIT {
            return;
        }
        let end = self.messages.len().saturating_sub(KEEP);
        let old = self.messages[..end].iter_mut().flat_map(|message| &mut message.blocks);
        for block in old {
            if size <= TARGET {
                return;
            }
            let Block::ToolResult { content, .. } = block else { continue };
            let first = content.lines().find(|line| !line.starts_with('<')).unwrap_or("");
            let first = gloaming_api::bowout::shorten(first, 120);
            let told = format!("[{first} … {}; call the tool again to see them]", left_out(content));
            size -= replace(content, told);
        }
        if size <= LIMIT {
            return;
        }
        // Only long files written again and again come this far: their old contents are in the workspace.
        let old = self.messages[..end].iter_mut().flat_map(|message| &mut message.blocks);
        for block in old {
            if size <= TARGET {
                return;
            }
            let Block::ToolUse { input: Value::Object(input), .. } = block else { continue };
            for text in input.values_mut() {
                if let Value::String(text) = text {
                    let told = format!("[{}]", left_out(text));
                    size = size.saturating_sub(replace(text, told));
                }
            }
        }
    }
}

fn left_out(text: &str) -> String {
    let digest = &Digest::of(text.as_bytes()).hex()[..12].to_owned();
    format!("{} bytes left out to save space ({digest})", text.len())
}

/// Puts `told` in the place of a text that is long, and returns how many bytes that saves.
fn replace(text: &mut String, told: String) -> usize {
    if text.len() <= SHORT || told.len() >= text.len() {
        return 0;
    }
    let saved = text.len() - told.len();
    *text = told;
    saved
}

/// Returns what a model is shown of a tool's result: all of it, or its begin and how to see the rest.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN {
        return Cow::Borrowed(text);
    }
    let mut end = SHOWN;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!(
        "{}\n[{} more bytes are not shown; ask for less at a time: fewer lines, a narrower path or pattern]",
        &text[..end],
        text.len() - end
    ))
}

fn size_of(message: &Message) -> usize {
    message
        .blocks
        .iter()
        .map(|block| match block {
            Block::Text { text } => text.len(),
            Block::ToolUse { input, .. } => input.to_string().len(),
            Block::ToolResult { content, .. } => content.len(),
        })
        .sum()
}

/// Puts text between tags that say it is data; a closing tag inside it is broken, so that it cannot end early.
pub(super) fn fenced(text: &str) -> String {
    let safe = text.replace("</untrusted", "<\\/untrusted").replace("<untrusted", "<\\untrusted");
    format!("<untrusted>\n{}\n</untrusted>", safe.trim_end_matches('\n'))
}
