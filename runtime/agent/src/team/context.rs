//! The conversation and its size.

use std::borrow::Cow;

use gloaming_api::Digest;
use gloaming_model::{Block, Message, Role};
use serde_json::Value;

use super::recall;
use super::untrusted::{Source, fenced};
use super::{Brief, Shown, user};
use crate::playbook::printable;

/// Above this many bytes old tool results are left out, oldest first: some 60,000 tokens.
const LIMIT: usize = 240_000;
/// Down to this many, so that it does not happen at every step (and a provider's prompt cache holds).
const TARGET: usize = 140_000;
/// The last messages are never touched.
const KEEP: usize = 6;
/// A result shorter than this is not worth leaving out.
const SHORT: usize = 400;
/// The most bytes of one result that a model is shown, of its begin and of its end: one call must not fill its context.
pub(super) const HEAD: usize = 32 << 10;
pub(super) const TAIL: usize = 16 << 10;
/// Both together, bytes.
pub const SHOWN: usize = HEAD + TAIL;
/// Of what is handed to somebody who is to sum up the work, bytes of one result, and of all.
const SUMMED: usize = 4 << 10;
const SUMMED_ALL: usize = 160 << 10;

/// The messages so far.
#[derive(Debug, Clone)]
pub(super) struct Conversation {
    messages: Vec<Message>,
}

impl Conversation {
    pub(super) fn new(brief: &Brief) -> Self {
        let mut text = String::from("The task:\n");
        text.push_str(&fenced(Source::Asker, &brief.task));
        if !brief.facts.is_empty() {
            // Commands are words of the repository's own files.
            let facts: Vec<String> =
                brief.facts.iter().map(|fact| format!("- {}", printable(fact).replace('\n', " "))).collect();
            text.push_str("\n\nWhat the system found in the repository's files:\n");
            text.push_str(&fenced(Source::Tool, &facts.join("\n")));
            text.push('\n');
        }
        for (path, instructions) in &brief.instructions {
            let path = printable(path).replace('\n', " ");
            text.push_str(&format!("\nThe repository's {path} says:\n"));
            text.push_str(&fenced(Source::Instructions, instructions));
            text.push('\n');
        }
        for Shown { source, title, text: shown } in &brief.shown {
            text.push_str(&format!("\n{title}:\n"));
            text.push_str(&fenced(*source, &self::shown(shown, HEAD, TAIL, None)));
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

    /// Whether what can be left out is, and it is too long all the same.
    pub(super) fn is_too_long(&self) -> bool {
        let size: usize = self.messages.iter().map(size_of).sum();
        size > LIMIT && self.border() > 2
    }

    /// Returns where the messages begin that are never touched: with one of the model's, whose calls have their results
    /// behind it.
    fn border(&self) -> usize {
        let from = self.messages.len().saturating_sub(KEEP).max(1);
        (from..self.messages.len()).find(|at| self.messages[*at].role == Role::Assistant).unwrap_or(1)
    }

    /// Returns the older part as a text, for somebody to sum up.
    pub(super) fn older(&self) -> String {
        let mut text = String::new();
        for block in self.messages[1..self.border()].iter().flat_map(|message| &message.blocks) {
            let (what, told) = match block {
                Block::Text { text } => ("said", text.clone()),
                Block::ToolUse { name, input, .. } => ("called", format!("{name} {input}")),
                Block::ToolResult { content, .. } => ("came back", content.clone()),
            };
            text.push_str(&format!("{what}: {}\n", shown(&told, SUMMED / 2, SUMMED / 2, None)));
        }
        fenced(Source::Team, &shown(&text, SUMMED_ALL / 2, SUMMED_ALL / 2, None))
    }

    /// Puts a summary in the place of the older part.
    pub(super) fn sum_up(&mut self, summary: &str) {
        let border = self.border();
        self.messages.drain(1..border);
        let summary = if summary.trim().is_empty() { "(nothing)" } else { summary };
        let told = format!(
            "\nOlder messages were left out to save space. What was done in them, as somebody who read them says:\n{}",
            fenced(Source::Team, &shown(summary, HEAD / 2, 0, None))
        );
        // One summary at a time: the next one is of this one too.
        self.messages[0].blocks.truncate(1);
        self.messages[0].blocks.push(Block::Text { text: told });
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
            let number = number_of(content);
            let first = content.lines().find(|line| !line.starts_with(['<', '['])).unwrap_or("");
            // In quotes, which it cannot end: no fence is around it any more.
            let first = format!("{:?}", gloaming_api::bowout::shorten(first, 120));
            let again = match number {
                Some(number) => format!("`{}` {{\"result\": {number}}} shows them", recall::RECALL),
                None => "call the tool again to see them".to_owned(),
            };
            let told = format!("[{}; {again}. It began with {first}]", left_out(content));
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

/// Puts the number of a result that may be asked for again before it.
pub(super) fn numbered(number: u64, text: &str, fenced: String) -> String {
    if text.len() > SHORT { format!("{NUMBER}{number}]\n{fenced}") } else { fenced }
}

/// Begins a result that has a number. What stands there is ours: what a tool says is behind the fence's first line.
const NUMBER: &str = "[result ";

fn number_of(content: &str) -> Option<u64> {
    content.strip_prefix(NUMBER)?.split_once(']')?.0.parse().ok()
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

/// Returns what a model is shown of a long text: all of it, or its begin and its end, and how to see the rest.
pub(super) fn shown(text: &str, head: usize, tail: usize, number: Option<u64>) -> Cow<'_, str> {
    if text.len() <= head + tail {
        return Cow::Borrowed(text);
    }
    // At the ends of lines where there are any near.
    let near = |at: usize| at.saturating_sub(at.min(2000))..at;
    let head = text.floor_char_boundary(head);
    let head = text.as_bytes()[near(head)]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(head, |line| near(head).start + line + 1);
    let tail = text.ceil_char_boundary(text.len() - tail);
    let tail = text.as_bytes()[tail..]
        .iter()
        .take(2000)
        .position(|byte| *byte == b'\n')
        .map_or(tail, |line| tail + line + 1);
    let again = match number {
        Some(number) => {
            let first = recall::pieces(&text[..head]).count() + 1;
            let last = recall::pieces(&text[..tail]).count().max(first);
            format!(
                "lines {first} to {last}; `{}` {{\"result\": {number}, \"from\": {first}}} shows them, or ask for less: \
                 fewer lines, a narrower path or pattern",
                recall::RECALL
            )
        }
        None => "they are not kept".to_owned(),
    };
    Cow::Owned(format!(
        "{}\n[{} bytes are not shown: {again}]\n{}",
        &text[..head],
        tail - head,
        &text[tail..]
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
