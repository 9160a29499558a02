//! Words made safe for Slack's mrkdwn. Source: "Formatting text" in Slack's documentation.

use gloaming_api::bowout::shorten;
use gloaming_api::path::escape_name;

/// Returns a text that others wrote on one line, at most `max` characters of it: it can call nobody, lead nowhere, and set
/// nothing as code. It may be shown bold, italic or struck: Slack has an escape for `&`, `<` and `>` and for nothing else, and
/// what is put between to prevent it would be copied along with a command.
pub(crate) fn words(text: &str, max: usize) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let clean = escape_name(shorten(&one_line, max).as_bytes());
    let mut out = String::with_capacity(clean.len());
    for (at, c) in clean.char_indices() {
        match c {
            // What Slack gives a meaning between `<` and `>`: people, channels, links.
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '`' => out.push('\''),
            // With names linked, as a workspace may have it; a visible space tells what happened.
            '@' => out.push_str("@ "),
            ':' if clean[at..].starts_with("://") => out.push_str(": "),
            c => out.push(c),
        }
    }
    out
}

/// Returns a link to an address of ours or of the code host; the words alone where it is no such address.
pub(crate) fn link(url: &str, label: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '|' | '"' | '`');
    let web = url.starts_with("https://") || url.starts_with("http://");
    if web && url.chars().all(plain) {
        format!("<{}|{}>", url.replace('&', "&amp;"), words(label, 80))
    } else {
        words(label, 80)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_words_stay_words() {
        assert_eq!(
            words("<!channel> @here\n<https://one.acme.example|the PR> & `rm`", 99),
            "&lt;!channel&gt; @ here &lt;https: //one.acme.example|the PR&gt; &amp; 'rm'"
        );
        assert_eq!(words("a\u{202e}b\u{7}", 99), "a\\u{202e}b\\u{7}");
        assert_eq!(
            link("https://one.acme.example/a?b=1&c=2", "#7 <x>"),
            "<https://one.acme.example/a?b=1&amp;c=2|#7 &lt;x&gt;>"
        );
        for bad in ["javascript:x", "https://one.acme.example|<!here>", "https://a b"] {
            assert_eq!(link(bad, "x"), "x", "{bad}");
        }
    }
}
