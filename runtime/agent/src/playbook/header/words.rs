//! Reading a task's text: a header for some files and nothing else, or not ours.

use gloaming_api::ReasonCode;

use super::Header;
use crate::playbook::Playbook;
use crate::playbook::form::Fit;
use crate::playbook::said::{ASKING, Reader, THANKS, Which};

/// The longest header, in lines.
const LONGEST: usize = 60;

/// Says whether a text asks for a header and nothing else.
pub(crate) fn fit(text: &str) -> Fit {
    let Some((quoted, which)) = Reader::new(text).and_then(read) else { return Fit::No };
    let Some(quoted) = quoted else {
        return Fit::Declined {
            why: "the header's own words are not given, in backticks or quotation marks".into(),
        };
    };
    if which.languages.is_empty() && !which.source {
        let why = "which files are meant is not said: name a language, or say `source files`".into();
        return Fit::Declined { why };
    }
    match lines(&quoted) {
        Ok(lines) => Fit::Yes(Box::new(Playbook::Header(Header::new(lines, which)))),
        Err(summary) => Fit::Refused {
            code: ReasonCode::ConflictingRequirements,
            summary,
            question: "What is the header to say?",
        },
    }
}

/// "Add the licence header `…` to all Rust files", and the same with the header's words at the end.
fn read(mut reader: Reader) -> Option<(Option<String>, Which)> {
    const NOUNS: &str = "header headers line lines notice comment comments banner";
    const KINDS: &str = "licence license copyright spdx legal file following short";
    const ARTICLES: &str = "the a an this our missing";
    reader.any(ASKING);
    reader.one("add put insert prepend place")?;
    reader.any(ARTICLES);
    reader.any(KINDS);
    let mut named = reader.any(NOUNS);
    let mut quoted = reader.quoted();
    if reader.one("as").is_some() {
        reader.any(ARTICLES);
        reader.any(KINDS);
        named |= reader.any(NOUNS);
    }
    reader.one("to in into at on")?;
    let top = reader.any("the at top start beginning head of in to");
    let which = reader.files()?;
    reader.any("that which where if is are lack lacks miss misses missing do does don't doesn't not have has it them one yet already still without the a header");
    quoted = quoted.or_else(|| reader.quoted());
    reader.any(THANKS);
    (reader.is_over() && (named || top)).then_some((quoted, which))
}

/// Returns a header's lines without the marks of a comment that it was given in.
fn lines(quoted: &str) -> Result<Vec<String>, String> {
    let mut lines: Vec<String> = quoted.lines().map(|line| line.trim_end().to_owned()).collect();
    let trimmed = |lines: &[String]| -> Vec<String> {
        let mut lines: Vec<String> = lines.to_vec();
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
        }
        let blank = lines.iter().take_while(|line| line.trim().is_empty()).count();
        lines.split_off(blank)
    };
    lines = trimmed(&lines);
    if let (Some(first), Some(last)) = (lines.first().cloned(), lines.last().cloned())
        && first.trim_start().starts_with("/*")
        && last.trim_end().ends_with("*/")
    {
        let end = lines.len() - 1;
        lines[end] = last.trim_end().trim_end_matches('/').trim_end_matches('*').trim_end().to_owned();
        let first = lines[0].trim_start().trim_start_matches('/').trim_start_matches('*').trim_start();
        lines[0] = first.to_owned();
        for line in &mut lines[1..] {
            if let Some(rest) = line.trim_start().strip_prefix('*') {
                *line = rest.strip_prefix(' ').unwrap_or(rest).to_owned();
            }
        }
        lines = trimmed(&lines);
    } else {
        for mark in ["//", "#", "--"] {
            let marked = |line: &String| line.is_empty() || line.starts_with(mark);
            if !lines.is_empty() && lines.iter().all(marked) {
                for line in &mut lines {
                    let rest = line.strip_prefix(mark).unwrap_or("");
                    *line = rest.strip_prefix(' ').unwrap_or(rest).to_owned();
                }
                lines = trimmed(&lines);
                break;
            }
        }
    }
    let text = lines.join("\n");
    let fault = if !text.contains(char::is_alphanumeric) {
        Some("the header has no words")
    } else if lines.len() > LONGEST {
        Some("the header has more than 60 lines")
    } else if text.contains("*/") || text.contains("/*") {
        Some("the header holds `/*` or `*/`, which would begin or end a comment")
    } else if lines.iter().any(|line| line.ends_with('\\')) {
        Some("a line of the header ends with a backslash, which would join the next line of code to it")
    } else if text.contains("coding:") || text.contains("coding=") {
        Some("the header would be read as a file's encoding")
    } else {
        None
    };
    match fault {
        Some(fault) => Err(fault.to_owned()),
        None => Ok(lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match fit(text) {
            Fit::No => "no".into(),
            Fit::Declined { why } => format!("declined: {why}"),
            Fit::Refused { summary, .. } => format!("refused: {summary}"),
            Fit::Yes(playbook) => playbook.describe(),
        }
    }

    #[test]
    fn texts_that_ask_for_a_header() {
        for (text, want) in [
            ("Add the header `Copyright 2026 Us` to all Rust files", "`Copyright 2026 Us` in all Rust files"),
            (
                "Please add the licence header `// SPDX-License-Identifier: MIT` to every Rust and Go file in src/ that lacks it. Thanks!",
                "`SPDX-License-Identifier: MIT` in all Rust and Go files in src",
            ),
            ("Put \"Copyright Us\" at the top of all source files", "`Copyright Us` in all source files"),
            (
                "Add the following copyright notice to all Python files in the repository:\n\n```\n# Copyright Us\n#\n# All rights reserved.\n```\n",
                "`Copyright Us …` in all Python files",
            ),
            ("Insert `/* Copyright Us */` as a header into the CSS files", "`Copyright Us` in all CSS files"),
        ] {
            assert_eq!(told(text), want, "{text}");
        }
    }

    #[test]
    fn texts_that_ask_for_something_else_or_more() {
        for text in [
            "Add a header to the page",
            "Add the header `X-Frame-Options: DENY` to all responses",
            "Add the header `a` to all Rust files and run the formatter",
            "Add the header `a` to all Rust files. Also fix the tests.",
            "Add `a` to all Rust files",
            "Remove the header `a` from all Rust files",
            "Add the header `a` to all Rust files except src/main.rs",
            "Do not add the header `a` to all Rust files",
            "Add the header `a` to all Rust files in ../other",
        ] {
            assert_eq!(told(text), "no", "{text}");
        }
        assert_eq!(
            told("Add the licence header to all Rust files"),
            "declined: the header's own words are not given, in backticks or quotation marks"
        );
        assert_eq!(
            told("Add the header `a` to all files"),
            "declined: which files are meant is not said: name a language, or say `source files`"
        );
        assert_eq!(
            told("Add the header `a */ b` to all Rust files"),
            "refused: the header holds `/*` or `*/`, which would begin or end a comment"
        );
        assert_eq!(
            told("Add the header `a\\` to all C files"),
            "refused: a line of the header ends with a backslash, which would join the next line of code to it"
        );
        assert_eq!(told("Add the header `//` to all C files"), "refused: the header has no words");
        assert_eq!(told("Add the header `-----` to all C files"), "refused: the header has no words");
    }

    #[test]
    fn a_header_is_taken_without_its_marks() {
        let lines = |text: &str| lines(text).unwrap().join("|");
        assert_eq!(lines("/*\n * a\n *\n *   b\n */"), "a||  b");
        assert_eq!(lines("/* a\n   b */"), "a|   b");
        assert_eq!(lines("# a\n#b\n\n# c\n"), "a|b||c");
        assert_eq!(lines("-- a"), "a");
        assert_eq!(lines("a # b"), "a # b");
    }
}
