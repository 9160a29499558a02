//! pip's lists of requirements, read line by line as pip reads them.

use gloaming_api::RelPath;

/// What ends a line to pip, which splits as Python does: whoever looks for line feeds alone takes for a comment what
/// stands behind a form feed.
const ENDS: &[char] =
    &['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];

/// Whether a file is a list of requirements or of constraints by its path.
pub fn is_requirements(file: &RelPath) -> bool {
    let name = file.name().unwrap_or_default();
    let text = name.ends_with(".txt") || name.ends_with(".in");
    let folder = file.parent();
    let folder = folder.as_ref().and_then(RelPath::name).unwrap_or_default();
    text && (name.contains("requirements") || name.contains("constraints") || folder == "requirements")
}

/// Returns what a list says, one requirement or option each, without comments and empty lines. A line goes on behind a
/// backslash, and a comment ends it even there.
pub fn requirement_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.replace("\r\n", "\n").split(ENDS) {
        let comment = line.trim_start_matches(is_space).starts_with('#');
        if !comment && line.ends_with('\\') {
            open.push_str(line.trim_matches('\\'));
            continue;
        }
        if !comment {
            open.push_str(line);
        }
        lines.push(std::mem::take(&mut open));
    }
    lines.push(open);
    lines
        .iter()
        .map(|line| without_comment(line).trim_matches(is_space).to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Whether pip would read a list in another encoding than it is written in here: what is a comment in the one may be an
/// option in the other.
pub fn declares_encoding(text: &str) -> bool {
    let declared = |line: &str| {
        line.match_indices("coding").find_map(|(at, word)| {
            let name = line[at + word.len()..].strip_prefix([':', '='])?.trim_start();
            let end = name.find(|c: char| !(c.is_alphanumeric() || "-_.".contains(c))).unwrap_or(name.len());
            (end > 0).then(|| name[..end].to_ascii_lowercase())
        })
    };
    let mut first = text.split('\n').take(2).filter(|line| line.starts_with('#'));
    first.any(|line| declared(line).is_some_and(|name| !matches!(name.as_str(), "utf-8" | "utf8" | "ascii")))
}

/// White space to Python.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// Cuts off a comment: it begins a line, or stands behind white space of any kind.
fn without_comment(line: &str) -> &str {
    let begins = |at: usize| line[..at].chars().next_back().is_none_or(is_space);
    line.match_indices('#').find(|(at, _)| begins(*at)).map_or(line, |(at, _)| &line[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_line_by_line_as_pip_does() {
        for (text, lines) in [
            ("a==1\n\n  b # web\nc\t# web\nd#e\n", &["a==1", "b", "c", "d#e"][..]),
            (
                "a==1 \\\n    --hash=sha256:00 \\\r\n    --hash=sha256:01\r\nb",
                &["a==1     --hash=sha256:00     --hash=sha256:01", "b"],
            ),
            ("# pinned\u{c}--index-url https://a.example\n", &["--index-url https://a.example"]),
            ("# pinned\u{b}-r notes.txt\n", &["-r notes.txt"]),
            ("# pinned\u{85}a\u{2028}b\u{1c}c\rd\n", &["a", "b", "c", "d"]),
            // A comment ends a line that was to go on, and does not go on itself.
            (
                "a ; python_version > '3' \\\n# note\n-i https://a.example\n",
                &["a ; python_version > '3'", "-i https://a.example"],
            ),
            ("# a \\\nb\n", &["b"]),
            ("a \\", &["a"]),
        ] {
            assert_eq!(requirement_lines(text), lines, "{text:?}");
        }
    }

    #[test]
    fn another_encoding_is_noticed_where_pip_would() {
        for (text, declared) in [
            ("# -*- coding: utf-8 -*-\na\n", false),
            ("# coding: utf-7\n# +AAo---index-url https://a.example\n", true),
            ("a\n#vim: fileencoding=UTF-16 :\n", true),
            ("a\nb\n# coding: utf-7\n", false),
            (" # coding: utf-7\n", false),
            ("# coding style: none\n", false),
        ] {
            assert_eq!(declares_encoding(text), declared, "{text:?}");
        }
    }
}
