//! V2: what a patch must not bring in: secrets, binaries, links, text that does not show.

use std::sync::LazyLock;

use gloaming_api::evidence::{FileChange, Finding};
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
        if let Some(what) = invisible(diff.file.path.as_str()) {
            found.push(format!("{path}: its name holds {what}"));
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
    }
    found
}

/// Whether an edited line held the same invisible characters before.
fn similar_line(old: &str, new: &str) -> bool {
    let hidden = |text: &str| text.chars().filter(|c| is_invisible(*c)).collect::<String>();
    hidden(old) == hidden(new)
}

fn invisible(text: &str) -> Option<String> {
    let mut previous = None;
    for c in text.chars() {
        // Joiners between letters and pictures of other scripts belong to the writing.
        let joins = matches!(c, '\u{200c}' | '\u{200d}') && previous.is_some_and(|p: char| !p.is_ascii());
        if is_invisible(c) && !joins {
            return Some(format!("the invisible character U+{:04X}", u32::from(c)));
        }
        previous = Some(c);
    }
    None
}

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        | '\u{feff}' | '\u{e0000}'..='\u{e007f}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
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
    fn invisible_characters_are_found_and_named() {
        assert_eq!(
            check(Some("a\n"), "a\nif x == 'user\u{202e}':\n"),
            "src/a.py:2: the invisible character U+202E"
        );
        assert_eq!(check(None, "a\u{200b}b = 1\n"), "src/a.py:1: the invisible character U+200B");
        assert!(check(None, "family = '👩\u{200d}👧'\nprice = 'ش\u{200c}ی'\n").starts_with("no secrets"));
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
