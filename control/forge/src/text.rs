//! Untrusted words made safe for Markdown.

use gloaming_api::path::escape_name;

/// Returns `text` on one line, without control and invisible characters, with Markdown's and HTML's
/// active characters escaped, `@mentions` and bare addresses broken, and at most `max` characters long.
pub fn inline(text: &str, max: usize) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let clean = escape_name(gloaming_api::bowout::shorten(&one_line, max).as_bytes());
    let mut out = String::with_capacity(clean.len());
    for (at, c) in clean.char_indices() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // A zero-width joiner would be invisible text of our own; a visible space tells what happened.
            '@' => out.push_str("@ "),
            // Bare addresses are made links of, to wherever whoever wrote the text wanted.
            ':' if clean[at..].starts_with("://") => out.push_str("&#58;"),
            '.' if clean[..at].to_ascii_lowercase().ends_with("www") => out.push_str("&#46;"),
            c => out.push(c),
        }
    }
    out
}

/// Returns `text` as a code span on one line, whatever backticks it holds (CommonMark 6.1).
pub fn code(text: &str) -> String {
    let clean = escape_name(text.as_bytes());
    let longest = clean.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if clean.starts_with('`') || clean.ends_with('`') || clean.is_empty() { " " } else { "" };
    format!("{fence}{pad}{clean}{pad}{fence}")
}

/// Returns a code span for a table's cell, which a pipe would end even inside the span (GFM 4.10).
pub fn code_cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// Returns `text` as a quotation, each line behind `> `, cut at `max` characters.
pub fn quote(text: &str, max: usize) -> String {
    let text = gloaming_api::bowout::shorten(text.trim(), max);
    text.lines()
        .map(|line| format!("> {}", inline(line, usize::MAX)).trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_words_stay_words() {
        assert_eq!(
            inline("# Fixed\n<!-- x --> @admin [a](b)", 99),
            "\\# Fixed &lt;!-- x --&gt; @ admin \\[a\\](b)"
        );
        assert_eq!(
            inline("see https://evil.acme.example or WWW.evil.acme.example.", 99),
            "see https&#58;//evil.acme.example or WWW&#46;evil.acme.example."
        );
        assert_eq!(code("a`b|c"), "``a`b|c``");
        assert_eq!(code_cell("a`b|c"), "``a`b\\|c``");
        assert_eq!(code("`x`"), "`` `x` ``");
        assert_eq!(code("a\nb"), "`a\\nb`");
        assert_eq!(quote("one\n## two", 99), "> one\n> \\#\\# two");
        assert_eq!(inline("ab\u{202e}c", 9), "ab\\\\u{202e}c");
    }
}
