//! A file's top: what has to stay first, and which header is there.

use crate::playbook::languages::{self, Comment};

/// How many lines of a file's first comments are looked at.
const LOOKED_AT: usize = 120;

/// What a file's top says of a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Top {
    Has,
    /// It is none of our business.
    Leave(&'static str),
    /// It has another of the same kind, by its line.
    Another(String),
    Lacks {
        /// Where the header goes, bytes.
        at: usize,
        /// What goes there.
        text: String,
    },
}

/// Looks at a file's top.
pub(super) fn look(path: &str, text: &str, header: &[String]) -> Top {
    let Some(language) = languages::of(path) else { return Top::Leave("its language is not known") };
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        return Top::Leave("it is empty");
    }
    let comments = first_comments(text, language.comment);
    let said: Vec<&str> = comments.iter().map(|line| line.as_str()).filter(|line| !line.is_empty()).collect();
    let wanted: Vec<&str> = header.iter().map(|line| bare(line)).filter(|line| !line.is_empty()).collect();
    if !wanted.is_empty() && said.windows(wanted.len()).any(|window| window == wanted) {
        return Top::Has;
    }
    let generated = |line: &&str| line.contains("@generated") || line.contains("DO NOT EDIT");
    if said.iter().any(generated) {
        return Top::Leave("it is generated");
    }
    let ours = kinds(&wanted.join("\n"));
    if let Some(line) = said.iter().find(|line| kinds(line).iter().any(|kind| ours.contains(kind))) {
        return Top::Another((*line).chars().take(80).collect());
    }
    let at = preamble(text, path, language.comment);
    let line_end = if text.lines().count() > 0 && text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut new = String::new();
    if at > 0 && !text[..at].ends_with(['\n', '\u{feff}']) {
        new.push_str(line_end);
    }
    for line in commented(header, language.comment) {
        new.push_str(&line);
        new.push_str(line_end);
    }
    let rest = &text[at..];
    if !rest.is_empty() && !rest.starts_with('\n') && !rest.starts_with("\r\n") {
        new.push_str(line_end);
    }
    Top::Lacks { at, text: new }
}

fn commented(header: &[String], comment: Comment) -> Vec<String> {
    let marked = |mark: &str, line: &str| format!("{mark} {line}").trim_end().to_owned();
    match (comment, header) {
        (Comment::Line(mark), _) => header.iter().map(|line| marked(mark, line)).collect(),
        (Comment::Block, [line]) => vec![format!("/* {line} */")],
        (Comment::Block, _) => {
            let inner = header.iter().map(|line| marked(" *", line));
            std::iter::once("/*".to_owned()).chain(inner).chain([" */".to_owned()]).collect()
        }
    }
}

/// Which kinds of header a text is.
fn kinds(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    let licence = ["spdx-license-identifier", "licensed under", "permission is hereby granted"];
    let mut kinds = Vec::new();
    if text.contains("copyright") || text.contains('©') {
        kinds.push("copyright");
    }
    if licence.iter().any(|words| text.contains(words)) {
        kinds.push("licence");
    }
    kinds
}

/// Returns how many bytes have to stay first: a byte order mark, the line that names the program, the one that names the
/// encoding, a style sheet's `@charset`.
fn preamble(text: &str, path: &str, comment: Comment) -> usize {
    let mut at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    for (number, line) in text[at..].split_inclusive('\n').enumerate().take(2) {
        let program = number == 0 && line.starts_with("#!") && !line.starts_with("#![");
        let magic = comment == Comment::Line("#")
            && line.starts_with('#')
            && (line.contains("coding:")
                || line.contains("coding=")
                || line.contains("-*-")
                || line.contains("frozen_string_literal"));
        let charset = number == 0 && path.ends_with(".css") && line.starts_with("@charset");
        let yaml = number == 0 && line.starts_with("%YAML");
        if !(program || magic || charset || yaml) {
            break;
        }
        at += line.len();
    }
    at
}

fn is_comment(line: &str, comment: Comment) -> bool {
    matches!(comment, Comment::Line(mark) if line.starts_with(mark))
}

/// Returns a line's words, without what it is marked or adorned by.
fn bare(line: &str) -> &str {
    line.trim_matches(|c: char| c.is_whitespace() || "/*!#-".contains(c))
}

/// Returns the text of the comments before the first code, without marks; a blank line is an empty one.
fn first_comments(text: &str, comment: Comment) -> Vec<String> {
    let mut lines = Vec::new();
    let mut in_block = false;
    for line in text.trim_start_matches('\u{feff}').lines().take(LOOKED_AT) {
        let line = line.trim();
        let hashes = comment == Comment::Line("#");
        if in_block || (!hashes && line.starts_with("/*")) {
            in_block = !line.ends_with("*/");
        } else if !(line.is_empty()
            || is_comment(line, comment)
            || line.starts_with("#!")
            || line.starts_with("@charset")
            || line.starts_with("%YAML"))
        {
            break;
        }
        lines.push(bare(line).to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(path: &str, text: &str, header: &[&str]) -> String {
        let header: Vec<String> = header.iter().map(|line| (*line).to_owned()).collect();
        match look(path, text, &header) {
            Top::Lacks { at, text: new } => {
                let made = format!("{}{new}{}", &text[..at], &text[at..]);
                assert_eq!(look(path, &made, &header), Top::Has, "a second time nothing changes: {made}");
                made
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_header_goes_behind_what_has_to_stay_first() {
        let one = ["Copyright Us"];
        for (path, text, want) in [
            ("a.rs", "fn a() {}\n", "// Copyright Us\n\nfn a() {}\n"),
            ("a.rs", "#![no_std]\n", "// Copyright Us\n\n#![no_std]\n"),
            ("a.rs", "\nfn a() {}\n", "// Copyright Us\n\nfn a() {}\n"),
            ("a.go", "// Package a is.\npackage a\n", "// Copyright Us\n\n// Package a is.\npackage a\n"),
            (
                "a.py",
                "#!/usr/bin/env python3\n# -*- coding: latin-1 -*-\nx = 1\n",
                "#!/usr/bin/env python3\n# -*- coding: latin-1 -*-\n# Copyright Us\n\nx = 1\n",
            ),
            ("a.sh", "#!/bin/sh", "#!/bin/sh\n# Copyright Us\n"),
            (
                "a.rb",
                "# frozen_string_literal: true\n\nx\n",
                "# frozen_string_literal: true\n# Copyright Us\n\nx\n",
            ),
            ("a.css", "@charset \"utf-8\";\na {}\n", "@charset \"utf-8\";\n/* Copyright Us */\n\na {}\n"),
            ("a.js", "\u{feff}x()\r\ny()\r\n", "\u{feff}// Copyright Us\r\n\r\nx()\r\ny()\r\n"),
            ("a.sql", "select 1", "-- Copyright Us\n\nselect 1"),
        ] {
            assert_eq!(after(path, text, &one), want, "{path}");
        }
        let two = ["Copyright Us", "", "All of it."];
        assert_eq!(after("a.py", "x = 1\n", &two), "# Copyright Us\n#\n# All of it.\n\nx = 1\n");
        assert_eq!(after("a.css", "a {}\n", &two), "/*\n * Copyright Us\n *\n * All of it.\n */\n\na {}\n");
    }

    #[test]
    fn a_header_that_is_there_is_respected() {
        let mit = ["SPDX-License-Identifier: MIT"];
        for (text, want) in [
            ("/*\n * SPDX-License-Identifier: MIT\n */\nfn a() {}\n", "Has"),
            ("//! Docs.\n\n// SPDX-License-Identifier: MIT\n\nfn a() {}\n", "Has"),
            (
                "// SPDX-License-Identifier: Apache-2.0\nfn a() {}\n",
                "Another(\"SPDX-License-Identifier: Apache-2.0\")",
            ),
            ("// @generated by x\nfn a() {}\n", "Leave(\"it is generated\")"),
            ("  \n", "Leave(\"it is empty\")"),
            // A copyright line says nothing of a licence, and code is no comment.
            (
                "// Copyright Us\nfn a() {}\n",
                "// SPDX-License-Identifier: MIT\n\n// Copyright Us\nfn a() {}\n",
            ),
            (
                "const A: &str = \"SPDX-License-Identifier: MIT\";\n",
                "// SPDX-License-Identifier: MIT\n\nconst A: &str = \"SPDX-License-Identifier: MIT\";\n",
            ),
        ] {
            assert_eq!(after("a.rs", text, &mit), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_header_is_only_ever_added_and_only_once(
            lines in proptest::collection::vec(
                "(#!/bin/sh|# -\\*- coding: x -\\*-|// a|/\\*|\\*/|\"\"\"|x = 1||  |é|%YAML 1|@charset \"a\";|#|--)",
                0..8,
            ),
            end in "(|\n|\r\n)",
            first in "(Header Us|--- Us ---|#Us|\\* Us|! Us)",
            path in "a\\.(rs|py|css|sql|sh|yaml)",
        ) {
            let text = lines.join(if end.is_empty() { "\n" } else { &end }) + &end;
            let header = [first, String::new(), "é".to_owned()];
            if let Top::Lacks { at, text: new } = look(&path, &text, &header) {
                let made = format!("{}{new}{}", &text[..at], &text[at..]);
                proptest::prop_assert_eq!(look(&path, &made, &header), Top::Has, "{}", made);
            }
        }
    }
}
