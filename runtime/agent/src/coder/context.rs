//! The conversation and its size.

use gloaming_api::Digest;
use gloaming_model::{Block, Message, Role};

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
        let old = self.messages[..end].iter_mut().filter(|message| message.role == Role::User);
        for block in old.flat_map(|message| &mut message.blocks) {
            if size <= TARGET {
                return;
            }
            let Block::ToolResult { content, .. } = block else { continue };
            if content.len() <= SHORT {
                continue;
            }
            let first = content.lines().find(|line| !line.starts_with('<')).unwrap_or("");
            let first = gloaming_api::bowout::shorten(first, 120);
            let digest = &Digest::of(content.as_bytes()).hex()[..12].to_owned();
            let short = format!(
                "[{first} … {} bytes left out to save space ({digest}); call the tool again to see them]",
                content.len()
            );
            size -= content.len() - short.len().min(content.len());
            *content = short;
        }
    }
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
