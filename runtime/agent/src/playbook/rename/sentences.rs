//! A text cut into sentences, and those into words and quoted names.

/// What a line break within a paragraph is.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Lines {
    /// White space.
    Joined,
    /// An end.
    Apart,
}

/// A word, a stop or comma, or a quoted name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) quoted: bool,
}

impl Token {
    /// Returns the word in lower case; nothing for a quoted one, which is a name and never a word.
    pub(crate) fn word(&self) -> String {
        if self.quoted { String::new() } else { self.text.to_lowercase() }
    }

    /// Whether this is one of some words; they are given with spaces between.
    pub(crate) fn is(&self, words: &str) -> bool {
        !self.quoted && words.split_ascii_whitespace().any(|word| word == self.text.to_lowercase())
    }
}

/// Returns the sentences of a text. A heading and an item of a list end with their line.
pub(crate) fn sentences(text: &str, lines: Lines) -> Vec<Vec<Token>> {
    let mut paragraphs = vec![String::new()];
    for line in text.lines() {
        let line = line.trim();
        let bare = line.trim_start_matches(['#', '-', '*', '>', '•']).trim_start();
        let item = bare.len() != line.len();
        if line.is_empty() || item || lines == Lines::Apart {
            paragraphs.push(String::new());
        }
        if let Some(last) = paragraphs.last_mut() {
            last.push(' ');
            last.push_str(bare);
        }
        if line.starts_with('#') {
            paragraphs.push(String::new());
        }
    }
    let mut all = Vec::new();
    for paragraph in paragraphs {
        let mut current = Vec::new();
        for token in tokens(&paragraph) {
            if !token.quoted && matches!(token.text.as_str(), "." | "!" | "?" | ";") {
                all.push(std::mem::take(&mut current));
            } else {
                current.push(token);
            }
        }
        all.push(current);
    }
    all.retain(|sentence| !sentence.is_empty());
    all
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let closing = match first {
            '`' | '"' | '\'' | '*' => Some(first),
            '“' | '„' => Some('”'),
            '‘' => Some('’'),
            '«' => Some('»'),
            _ => None,
        };
        let after = &rest[first.len_utf8()..];
        if let Some(closing) = closing
            && let Some(end) = after.find(closing)
            && end > 0
        {
            tokens.push(Token { text: after[..end].to_owned(), quoted: true });
            rest = &after[end + closing.len_utf8()..];
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | ';')).unwrap_or(rest.len());
            let (word, tail) = if end == 0 { rest.split_at(first.len_utf8()) } else { rest.split_at(end) };
            // A stop at a word's end is a stop; within it, it is part of a path or a qualified name.
            let bare = if end == 0 { word } else { word.trim_end_matches(['.', ':', '!', '?']) };
            if !bare.is_empty() {
                tokens.push(Token { text: bare.to_owned(), quoted: false });
            }
            if let Some(stop) = word[bare.len()..].chars().next() {
                tokens.push(Token { text: stop.to_string(), quoted: false });
            }
            rest = tail;
        }
        rest = rest.trim_start();
    }
    tokens
}
