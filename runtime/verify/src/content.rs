//! V2: what a patch must not bring in: secrets, binaries, links, text that does not show.

use std::ops::Range;
use std::sync::LazyLock;

use gloaming_api::evidence::{FileChange, Finding};
use gloaming_api::text::{hidden, is_invisible, is_selector};
use gloaming_workspace::EntryKind;
use regex::Regex;

use crate::change::{Change, FileDiff};
use crate::steps::{Found, some_of};

/// Shapes of secrets that are recognised with next to no false alarms.
static SECRETS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    [
        ("a private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
        ("an AWS access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})"),
        ("a Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        ("an API key", r"\bsk-(?:ant-|proj-|live-|or-)?[A-Za-z0-9_-]{24,}"),
        ("a Stripe key", r"\b[sr]k_live_[A-Za-z0-9]{20,}"),
        ("a Google API key", r"\bAIza[0-9A-Za-z_-]{35}\b"),
        ("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
        ("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    ]
    .map(|(name, pattern)| (name, Regex::new(pattern).expect("a test compiles every pattern")))
    .into()
});

/// A piece of a text that has the shape of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretShape {
    /// Where it stands, in bytes; of a private key with what follows its head.
    pub range: Range<usize>,
    /// What it looks like, in words.
    pub what: &'static str,
}

/// Finds everything in a text that has the shape of a secret, in order. Of two that overlap both are named.
pub fn secret_shapes(text: &str) -> Vec<SecretShape> {
    let mut found: Vec<SecretShape> = SECRETS
        .iter()
        .flat_map(|(what, pattern)| pattern.find_iter(text).map(|hit| (*what, hit)))
        .map(|(what, hit)| {
            // The head of a key alone is no secret: what follows it is, up to its foot, or as far as it looks like one.
            let body =
                hit.as_str().starts_with("-----BEGIN").then(|| KEY_BODY.find(&text[hit.end()..])).flatten();
            SecretShape { range: hit.start()..hit.end() + body.map_or(0, |body| body.end()), what }
        })
        .collect();
    found.sort_by_key(|shape| (shape.range.start, shape.range.end));
    found
}

/// What follows the head of a private key, in a file, in JSON, or with the numbers of lines.
static KEY_BODY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:[^-]*-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\\\s]*)")
        .expect("a constant pattern")
});

pub(crate) fn forbidden(change: &Change) -> Found {
    let mut found = Vec::new();
    for diff in &change.files {
        if diff.file.change == FileChange::Deleted {
            continue;
        }
        let path = gloaming_api::path::escape_name(diff.file.path.as_str().as_bytes());
        match change.patched.get(&diff.file.path).map(|entry| entry.kind) {
            Some(EntryKind::Symlink) => found.push(format!("{path}: a symbolic link")),
            Some(EntryKind::Submodule) => found.push(format!("{path}: a submodule")),
            _ if diff.file.binary => found.push(format!("{path}: a binary file")),
            _ => {}
        }
        // A name that was there before is none of the patch's doing.
        if diff.file.change == FileChange::Added
            && let Some(what) = invisible(diff.file.path.as_str()).or_else(|| mixed(diff.file.path.as_str()))
        {
            found.push(format!("{path}: its name holds {what}"));
        }
        // Where letters have no case, one of the two would take the other's place.
        let twin = |other: &&gloaming_api::RelPath| {
            **other != diff.file.path
                && other.as_str().to_lowercase() == diff.file.path.as_str().to_lowercase()
        };
        if diff.file.change == FileChange::Added
            && let Some(other) = change.patched.keys().find(twin)
        {
            found.push(format!("{path}: differs from {other} in the case of letters alone"));
        }
        found.extend(in_lines(diff).into_iter().map(|(line, what)| format!("{path}:{line}: {what}")));
    }
    if found.is_empty() {
        return Found::pass("no secrets, binaries, links or invisible characters");
    }
    Found::fail(Finding::ForbiddenContent, some_of(&found))
}

/// Findings in added lines that the file did not have before, wherever it had them.
fn in_lines(diff: &FileDiff) -> Vec<(u32, String)> {
    let before = diff.text_before();
    let mut found = Vec::new();
    for (line, text) in diff.added() {
        for (name, pattern) in SECRETS.iter() {
            if pattern.find_iter(text).any(|hit| !before.contains(hit.as_str())) {
                found.push((line, name.to_string()));
            }
        }
        if let Some(what) = invisible(text)
            && !before.lines().any(|old| invisible(old).is_some() && similar_line(old, text))
        {
            found.push((line, what));
        }
        if let Some(what) = mixed(text).filter(|_| !before.lines().any(|old| mixed(old).is_some())) {
            found.push((line, what));
        }
        if line <= 2
            && diff.file.path.as_str().ends_with(".py")
            && let Some(name) = CODING.captures(text).map(|found| found[1].to_ascii_lowercase())
            && !PLAIN_CODINGS.contains(&name.replace('_', "-").as_str())
            && !before.contains(text)
        {
            found.push((line, format!("an encoding in which text may be something else: {name}")));
        }
    }
    found
}

/// Python's declaration of a source's encoding (PEP 263).
static CODING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[ \t\f]*#.*?coding[:=][ \t]*([-_.a-zA-Z0-9]+)").expect("a constant pattern")
});

/// Encodings in which ASCII is itself: in others (`utf-7`) a comment may hold what runs.
const PLAIN_CODINGS: &[&str] = &[
    "utf-8",
    "utf8",
    "utf-8-sig",
    "ascii",
    "us-ascii",
    "latin-1",
    "latin1",
    "iso-8859-1",
    "iso-8859-15",
    "cp1252",
    "windows-1252",
    "koi8-r",
    "cp1251",
];

/// Returns a word in which letters of Latin and of a script with the same shapes stand side by side: it reads
/// like a word it is not.
fn mixed(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).find_map(|word| {
        let latin = word.chars().any(|c| c.is_ascii_alphabetic());
        // Cyrillic, Armenian, Cherokee, full-width forms.
        let twin = |c: char| matches!(c, '\u{400}'..='\u{52f}' | '\u{531}'..='\u{587}' | '\u{13a0}'..='\u{13ff}' | '\u{ff21}'..='\u{ff5a}');
        let other = word.chars().find(|c| twin(*c))?;
        // A word of one script with a prefix or ending of another in ASCII (`JSON_схема`) is told apart by eye.
        let parts_alone = word.split('_').all(|part| part.is_ascii() || !part.chars().any(|c| c.is_ascii_alphabetic()));
        (latin && !parts_alone).then(|| format!("a word of two scripts, with U+{:04X}", u32::from(other)))
    })
}

/// Whether an edited line held the same invisible characters before.
fn similar_line(old: &str, new: &str) -> bool {
    let hides = |c: &char| is_invisible(*c) || is_selector(*c) || c.is_control() && *c != '\t';
    let those = |text: &str| text.chars().filter(hides).collect::<String>();
    those(old) == those(new)
}

fn invisible(text: &str) -> Option<String> {
    hidden(text).next().map(|(_, c)| {
        let kind = if c.is_control() { "control" } else { "invisible" };
        format!("the {kind} character U+{:04X}", u32::from(c))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::change::diff;

    fn check(before: Option<&str>, after: &str) -> String {
        let change = Change {
            files: vec![diff("src/a.py", before, Some(after))],
            base: BTreeMap::new(),
            patched: BTreeMap::new(),
        };
        forbidden(&change).detail
    }

    /// Assembled here, so that this file holds no secret's shape itself.
    fn secret(head: &str, length: usize) -> String {
        format!("{head}{}", "A1b2C3d4E5".repeat(8).chars().take(length).collect::<String>())
    }

    #[test]
    fn secrets_are_found_in_added_lines_only() {
        for (text, expect) in [
            (format!("-----BEGIN {} KEY-----", "RSA PRIVATE"), "a private key"),
            (secret("AKIA", 16).to_uppercase(), "an AWS access key"),
            (secret("ghp_", 36), "a GitHub token"),
            (secret("xoxb-", 20), "a Slack token"),
            (secret("sk-proj-", 40), "an API key"),
        ] {
            let line = format!("key = \"{text}\"\n");
            assert_eq!(check(Some("a = 1\n"), &line), format!("src/a.py:1: {expect}"));
            // The line moved or was edited around what was there before.
            assert!(check(Some(&line), &format!("x = 2\nother_{line}")).starts_with("no secrets"));
        }
        assert!(
            check(None, "task-force = 'sk-short'\nrisk-assessment-of-everything-we-know-about\n")
                .starts_with("no")
        );
    }

    #[test]
    fn shapes_of_secrets_are_found_where_they_stand_and_keys_whole() {
        let (head, foot) =
            (format!("-----BEGIN {}-----", "PRIVATE KEY"), format!("-----END {}-----", "PRIVATE KEY"));
        let token = secret("ghp_", 36);
        for (text, expect) in [
            (format!("a {token}, b"), vec![(token.as_str(), "a GitHub token")]),
            (
                format!("x\n{head}\nMIIE+/\n{foot}\ny"),
                vec![(&*format!("{head}\nMIIE+/\n{foot}"), "a private key")],
            ),
            (format!("{head}\\nMIIE"), vec![(&*format!("{head}\\nMIIE"), "a private key")]),
            (
                format!("{head}\n{token}"),
                vec![(&*format!("{head}\nghp"), "a private key"), (&token, "a GitHub token")],
            ),
            ("nothing".to_owned(), vec![]),
        ] {
            let shapes = secret_shapes(&text);
            let found: Vec<(&str, &str)> =
                shapes.iter().map(|shape| (&text[shape.range.clone()], shape.what)).collect();
            assert_eq!(found, expect, "{text}");
        }
    }

    #[test]
    fn invisible_characters_are_found_and_named() {
        assert_eq!(
            check(Some("a\n"), "a\nif x == 'user\u{202e}':\n"),
            "src/a.py:2: the invisible character U+202E"
        );
        assert_eq!(check(None, "a\u{200b}b = 1\n"), "src/a.py:1: the invisible character U+200B");
        // In JavaScript the second half is a statement.
        assert_eq!(check(None, "// why\u{2028}evil()\n"), "src/a.py:1: the invisible character U+2028");
        for c in
            ['\u{34f}', '\u{61c}', '\u{180b}', '\u{2029}', '\u{206a}', '\u{fff9}', '\u{1d173}', '\u{e0080}']
        {
            let expect = format!("src/a.py:1: the invisible character U+{:04X}", u32::from(c));
            assert_eq!(check(None, &format!("a{c}b = 1\n")), expect);
        }
        assert!(check(None, "family = '👩\u{200d}👧'\nprice = 'ش\u{200c}ی'\n").starts_with("no secrets"));
    }

    #[test]
    fn what_reads_like_something_else_is_found() {
        assert_eq!(check(None, "h\u{430}lve = 1\n"), "src/a.py:1: a word of two scripts, with U+0430");
        assert_eq!(check(None, "x = 'a\u{e0121}\u{e0122}'\n"), "src/a.py:1: the invisible character U+E0121");
        assert_eq!(check(None, "evil()\u{d}# nothing\n"), "src/a.py:1: the control character U+000D");
        assert_eq!(check(None, "x = '\u{1b}[8m'\n"), "src/a.py:1: the control character U+001B");
        assert!(check(None, "# -*- coding: utf-7 -*-\n").starts_with("src/a.py:1: an encoding"));
        for fine in [
            "x = 'половина'\r\n",
            "# -*- coding: utf-8 -*-\nx = '✔\u{fe0f}'\n",
            "x = 1\n\u{c}\ny = 'JSON_схема, Δt_max'\n",
        ] {
            assert!(check(None, fine).starts_with("no secrets"), "{fine:?}");
        }
    }

    #[test]
    fn binaries_are_named() {
        let mut file = diff("src/a.bin", None, Some("x"));
        file.file.binary = true;
        let change = Change { files: vec![file], base: BTreeMap::new(), patched: BTreeMap::new() };
        let found = forbidden(&change);
        assert_eq!(
            (found.code, found.detail.as_str()),
            (Some(Finding::ForbiddenContent), "src/a.bin: a binary file")
        );
    }
}
