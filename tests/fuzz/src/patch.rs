//! `patch`: any text changes all that it names or nothing, and a patch that was made from two trees makes one of
//! the other, in every form it can be written.
//!
//! Parts of the input: `file PATH` with its content; `exec PATH` and `deny PATH`; `patch` with the text of one; or
//! `after PATH` and `gone PATH`, from which patches are made here.

use std::collections::BTreeSet;

use guest::memory::Memory;
use guest::patch::patch;

use crate::tree::{self, Tree};

/// Lines of a file from which a patch is made at most: the comparison is the plainest there is.
const LINES: usize = 60;

/// Holds one input against all that must be true of it.
pub fn check(data: &[u8]) {
    let (mut before, mut texts) = (Tree::new(), Vec::new());
    let (mut denied, mut executable) = (Vec::new(), Vec::new());
    let (mut later, mut gone) = (Tree::new(), Vec::new());
    for (head, body) in crate::parts(data) {
        match head.split_once(' ').unwrap_or((head, "")) {
            ("file", path) => tree::add(&mut before, path, body),
            ("after", path) => tree::add(&mut later, path, body),
            ("gone", path) => gone.push(path.to_owned()),
            ("deny", path) => denied.push(path.to_owned()),
            ("exec", path) => executable.push(path.to_owned()),
            ("patch", _) => texts.extend(std::str::from_utf8(body)),
            _ => {}
        }
    }
    for text in texts {
        let mut files = tree::workspace(&before);
        for path in &executable {
            files = files.executable(path);
        }
        files.denied.clone_from(&denied);
        holds(&files, &denied, text);
        // A second time it fits or it does not, and then too it is all or nothing.
        holds(&files, &denied, text);
    }
    let mut after = before.clone();
    after.retain(|path, _| !gone.contains(path));
    after.extend(later);
    let is_text = |data: &Vec<u8>| {
        !data.contains(&b'\r')
            && !data.contains(&0)
            && std::str::from_utf8(data).is_ok()
            && split(data).len() <= LINES
    };
    let is_text = before.values().chain(after.values()).all(is_text);
    if is_text && before != after && tree::is_possible(&after) {
        for form in
            [Form::Git { context: 3 }, Form::Git { context: 0 }, Form::Plain { context: 1 }, Form::Codex]
        {
            let Some(text) = written(&before, &after, form) else { continue };
            let files = tree::workspace(&before);
            let result = patch(&files, &text);
            assert!(result.is_ok(), "{text}\n{result:?}");
            assert_eq!(tree::contents(&files), after, "{text}");
        }
    }
}

fn holds(files: &Memory, denied: &[String], text: &str) {
    let (before, shown) = (tree::contents(files), files.show());
    let result = patch(files, text);
    let after = tree::contents(files);
    let output = match result {
        Ok(output) => output,
        Err(failure) => {
            assert_eq!(files.show(), shown, "a failed patch changes nothing");
            assert_eq!(after, before, "a failed patch changes nothing");
            assert!(!failure.message.is_empty());
            return;
        }
    };
    assert!(output.text.ends_with('\n'));
    assert!(tree::is_possible(&after), "{:?}", after.keys());
    let named: BTreeSet<&str> = output
        .files
        .iter()
        .flat_map(|file| [Some(&file.path), file.to.as_ref()])
        .flatten()
        .map(String::as_str)
        .collect();
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed: Vec<&String> =
        paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(!changed.is_empty(), "a patch changes something");
    for path in changed {
        assert!(named.contains(path.as_str()), "{path:?} was changed and not told");
        assert!(!denied.contains(path), "{path:?} may not be written");
    }
}

#[derive(Debug, Clone, Copy)]
enum Form {
    /// As `git diff` writes it.
    Git { context: usize },
    /// As `diff -u` writes it.
    Plain { context: usize },
    /// As models of OpenAI's write it: each file whole.
    Codex,
}

/// Writes what makes one tree of the other; none where the form cannot say it.
fn written<'a>(before: &'a Tree, after: &'a Tree, form: Form) -> Option<String> {
    let mut out = String::new();
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for path in paths {
        let (old, new) = (before.get(path), after.get(path));
        if old == new {
            continue;
        }
        let lines_of = |data: &'a Vec<u8>| split(data);
        let (old_lines, new_lines) =
            (old.map(lines_of).unwrap_or_default(), new.map(lines_of).unwrap_or_default());
        match form {
            Form::Codex => {
                let marked = |line: &&str| line.trim().starts_with("*** ");
                let ended = old_lines.iter().chain(&new_lines).all(|line| line.ends_with('\n'));
                // It trims paths, takes an indented marker for one, and has no word for a last line without newline.
                if path.trim() != path || path.contains('\n') || old_lines.iter().any(marked) || !ended {
                    return None;
                }
                let all = |mark: char, lines: &[&str]| {
                    lines.iter().map(|line| format!("{mark}{line}")).collect::<String>()
                };
                out += &match (old, new) {
                    (None, _) => format!("*** Add File: {path}\n{}", all('+', &new_lines)),
                    (_, None) => format!("*** Delete File: {path}\n"),
                    _ => format!(
                        "*** Update File: {path}\n@@\n{}",
                        marked_lines(&compared(&old_lines, &new_lines))
                    ),
                };
            }
            Form::Git { context } | Form::Plain { context } => {
                let names = |side: char, data: Option<&Vec<u8>>| match data {
                    Some(_) => quoted(&format!("{side}/{path}")),
                    None => "/dev/null".to_owned(),
                };
                if matches!(form, Form::Git { .. }) {
                    out += &format!(
                        "diff --git {} {}\n",
                        quoted(&format!("a/{path}")),
                        quoted(&format!("b/{path}"))
                    );
                    out += match (old, new) {
                        (None, _) => "new file mode 100644\nindex 0000000..1111111\n",
                        (_, None) => "deleted file mode 100644\nindex 1111111..0000000\n",
                        _ => "index 1111111..2222222 100644\n",
                    };
                }
                let hunks = hunks(&compared(&old_lines, &new_lines), context);
                // Git says nothing more of an empty file.
                if !hunks.is_empty() || matches!(form, Form::Plain { .. }) {
                    let tab = if path.contains(' ') { "\t" } else { "" };
                    out += &format!("--- {}{tab}\n+++ {}{tab}\n", names('a', old), names('b', new));
                }
                out += &hunks;
            }
        }
    }
    if let Form::Codex = form {
        out = format!("*** Begin Patch\n{out}*** End Patch\n");
    }
    Some(out)
}

/// A path as git writes it: with what is not plain in quotes.
fn quoted(path: &str) -> String {
    if path.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        return path.to_owned();
    }
    let escaped: String = path
        .bytes()
        .map(|byte| match byte {
            b'"' => "\\\"".to_owned(),
            b'\\' => "\\\\".to_owned(),
            b'\n' => "\\n".to_owned(),
            b'\t' => "\\t".to_owned(),
            b' '..=b'~' => char::from(byte).to_string(),
            other => format!("\\{other:03o}"),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Lines with their newlines.
fn split(data: &[u8]) -> Vec<&str> {
    std::str::from_utf8(data).map(|text| text.split_inclusive('\n').collect()).unwrap_or_default()
}

/// What became of the lines: each with its mark, by the longest common subsequence.
fn compared<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let mut longest = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i][j] = if old[i] == new[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            out.push(('-', old[i]));
            i += 1;
        } else {
            out.push(('+', new[j]));
            j += 1;
        }
    }
    out
}

fn marked_lines(lines: &[(char, &str)]) -> String {
    let line = |(mark, line): &(char, &str)| match line.strip_suffix('\n') {
        Some(line) => format!("{mark}{line}\n"),
        None => format!("{mark}{line}\n\\ No newline at end of file\n"),
    };
    lines.iter().map(line).collect()
}

/// The hunks of a unified diff.
fn hunks(lines: &[(char, &str)], context: usize) -> String {
    let near = |at: usize| {
        let around = &lines[at.saturating_sub(context)..lines.len().min(at + context + 1)];
        around.iter().any(|(mark, _)| *mark != ' ')
    };
    let count = |lines: &[(char, &str)], other: char| lines.iter().filter(|(mark, _)| *mark != other).count();
    let mut out = String::new();
    let mut at = 0;
    while at < lines.len() {
        if !near(at) {
            at += 1;
            continue;
        }
        let end = (at..lines.len()).find(|at| !near(*at)).unwrap_or(lines.len());
        let (hunk, above) = (&lines[at..end], &lines[..at]);
        let range = |other: char| {
            let count_here = count(hunk, other);
            // Of an empty range the line before it is named.
            format!("{},{count_here}", count(above, other) + usize::from(count_here > 0))
        };
        out += &format!("@@ -{} +{} @@\n{}", range('+'), range('-'), marked_lines(hunk));
        at = end;
    }
    out
}
