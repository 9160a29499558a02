//! The text that is imported: its places, and how parts of it are shown.

use crate::Diagnostic;

/// The file that is imported.
#[derive(Debug, Clone)]
pub(super) struct Origin<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Origin<'a> {
    pub(super) fn new(name: &'a str, text: &'a str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name, text, line_starts }
    }

    /// Line and column, in characters, of a byte.
    pub(super) fn place(&self, at: usize) -> (u32, u32) {
        let line = self.line(at);
        let start = self.line_start(usize::try_from(line).unwrap_or(1));
        (line, self.characters(start..at).saturating_add(1))
    }

    /// The line of a byte.
    pub(super) fn line(&self, at: usize) -> u32 {
        let line = self.line_starts.partition_point(|start| *start <= at).max(1);
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    /// How many characters a part of the text has.
    pub(super) fn characters(&self, span: std::ops::Range<usize>) -> u32 {
        let count = self.text.get(span).map_or(0, |part| part.chars().count());
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The first byte of a line, counted from 1.
    pub(super) fn line_start(&self, line: usize) -> usize {
        self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0)
    }

    pub(super) fn fault(&self, at: usize, message: impl Into<String>, hint: &str) -> Diagnostic {
        let (line, column) = self.place(at);
        let (file, message) = (self.name.to_owned(), message.into());
        Diagnostic { file, line, column, message, hint: Some(hint.to_owned()) }
    }

    /// A part of the text as it was written, on one line, for a note.
    pub(super) fn written(&self, span: std::ops::Range<usize>) -> String {
        let part = self.text.get(span).unwrap_or_default();
        part.lines().map(str::trim).collect::<Vec<_>>().join(" ")
    }
}

/// Text with every character escaped that is not seen as it is: controls, and those that turn the writing
/// direction or are invisible. At most 200 characters; the rest is told by `...`.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == 200 {
            out.push_str("...");
            break;
        }
        if hidden(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a character is not seen as it is.
pub(super) fn hidden(c: char) -> bool {
    c.is_control() || gloaming_api::text::is_invisible(c)
}

/// A TOML basic string of any text.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if hidden(c) => out.push_str(&format!("\\U{:08X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A file's name without its folders.
pub(super) fn base_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// Whether a path is one of a person's own settings, outside of any repository. A path that does not tell is
/// taken for the repository's.
pub(super) fn is_of_a_home(name: &str) -> bool {
    let parts: Vec<&str> = name.split(['/', '\\']).collect();
    let hidden_at = |at: usize| parts.get(at).is_some_and(|part| part.starts_with('.'));
    match parts.as_slice() {
        ["~", ..] => true,
        ["", "root", ..] => hidden_at(2),
        ["", "home" | "Users", _, ..] => hidden_at(3),
        ["", "etc", ..] => true,
        _ => false,
    }
}
