//! Untrusted words made safe for Markdown, and for the plain text of commits and titles.

use gloaming_api::path::escape_name;

/// Returns `text` on one line, without control and invisible characters, with Markdown's and HTML's
/// active characters escaped, `@mentions`, references such as `#12` and bare addresses broken, and at most `max` characters long.
pub fn inline(text: &str, max: usize) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let clean = escape_name(gloaming_api::bowout::shorten(&one_line, max).as_bytes());
    let mut out = String::with_capacity(clean.len());
    for (at, c) in clean.char_indices() {
        match c {
            // What it makes a character of is one again: `&#64;admin` mentions.
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Bare addresses are made links of, to wherever whoever wrote the text wanted.
            ':' if clean[at..].starts_with("://") => out.push_str("&#58;"),
            '.' if clean[..at].to_ascii_lowercase().ends_with("www") => out.push_str("&#46;"),
            c => out.push(c),
        }
        if refers(&clean, at, c) {
            out.push(' ');
        }
    }
    out
}

/// Returns `text` on one line for where there is no markup to escape it with, a commit's message or a title, without control and
/// invisible characters. A code host reads these too: on a merge `closes #12` closes, `@team` notifies, `[skip ci]` keeps CI from
/// running. So mentions, references and addresses are broken by a space, which a reader sees and reads past; a character of no
/// width would be invisible text of our own, and is taken out by whoever copies it.
pub fn plain(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let clean = escape_name(one_line.as_bytes());
    let mut out = String::with_capacity(clean.len());
    for (at, c) in clean.char_indices() {
        out.push(c);
        let address = c == ':' && clean[at..].starts_with("://");
        if address || refers(&clean, at, c) || skips(&clean[at..]) {
            out.push(' ');
        }
    }
    out
}

/// Whether a code host may make a mention or a reference of what goes on behind a character: `@name`, `#12`, `owner/name#12`,
/// `GH-12`.
fn refers(text: &str, at: usize, c: char) -> bool {
    let number = || text[at + c.len_utf8()..].starts_with(|next: char| next.is_ascii_digit());
    match c {
        '@' => true,
        '#' => number(),
        '-' => {
            let before = &text.as_bytes()[..at];
            let word =
                before.len() - before.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            before[word..].eq_ignore_ascii_case(b"gh") && number()
        }
        _ => false,
    }
}

/// Whether what begins here keeps GitHub's workflows from running on a commit, by GitHub's documentation.
fn skips(text: &str) -> bool {
    const WORDS: [&str; 5] = ["[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]"];
    let begins = |word: &str| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    text.starts_with('[') && WORDS.iter().any(|word| begins(word))
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
        for (hostile, harmless) in [
            ("&#64;admin", "&amp;\\# 64;admin"),
            ("closes &#35;12 &commat;admin &lt;b>", "closes &amp;\\# 35;12 &amp;commat;admin &amp;lt;b&gt;"),
            ("closes #12, acme/api#7 and gh-3", "closes \\# 12, acme/api\\# 7 and gh- 3"),
            ("high-3 and C# are words", "high-3 and C\\# are words"),
        ] {
            assert_eq!(inline(hostile, 99), harmless);
        }
        assert_eq!(code("a`b|c"), "``a`b|c``");
        assert_eq!(code_cell("a`b|c"), "``a`b\\|c``");
        assert_eq!(code("`x`"), "`` `x` ``");
        assert_eq!(code("a\nb"), "`a\\nb`");
        assert_eq!(quote("one\n## two", 99), "> one\n> \\#\\# two");
        assert_eq!(inline("ab\u{202e}c", 9), "ab\\\\u{202e}c");
    }

    #[test]
    fn nobody_is_told_and_nothing_closed_by_plain_words() {
        for (hostile, harmless) in [
            ("Add `a & b` to *x* (C#, high-3)", "Add `a & b` to *x* (C#, high-3)"),
            ("closes #12 @team", "closes # 12 @ team"),
            ("fixes acme/api#12, GH-3", "fixes acme/api# 12, GH- 3"),
            (
                "resolves\n https://code.acme.example/a/b/issues/1",
                "resolves https: //code.acme.example/a/b/issues/1",
            ),
            ("Quick [Skip CI] [x] [no ci]", "Quick [ Skip CI] [x] [ no ci]"),
            ("a\u{200b}b\u{1b}[2J", "a\\u{200b}b\\u{1b}[2J"),
        ] {
            assert_eq!(plain(hostile), harmless);
        }
    }
}
