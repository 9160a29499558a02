//! What of a text a reader does not see. Everything that looks for it, shows it or takes it out asks here.

/// Whether a character is shown as nothing, or turns the direction of what is shown.
///
/// Unicode's `Default_Ignorable_Code_Point` without the selectors of variants, and the separators of lines and paragraphs:
/// they end a comment in JavaScript, and are shown as nothing.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e00ff}'
        | '\u{e01f0}'..='\u{e0fff}')
}

/// Whether a character chooses a variant of the one before it, and is shown as nothing by itself.
pub fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Returns the characters of a text that a reader does not see, in order, each with its offset in bytes: control
/// characters but for those that part words and lines, invisible ones, and selectors where there is nothing to select.
///
/// What belongs to a writing is none: a selector behind a picture, a joiner between letters of Persian or pictures of a
/// family. A second one in a row is.
pub fn hidden(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let mut previous: Option<char> = None;
    text.char_indices().filter(move |(at, c)| {
        let before = previous.replace(*c).filter(|p| *p != '\n');
        match *c {
            '\n' | '\t' | '\u{b}' | '\u{c}' => false,
            // In front of a line feed it is a line's end; elsewhere it hides what stands before it, as a backspace or an
            // escape does in a terminal.
            '\r' => !matches!(text.as_bytes().get(at + 1), None | Some(b'\n')),
            '\u{fe00}'..='\u{fe0f}' => before.is_none_or(|p| p.is_ascii_alphabetic() || is_selector(p)),
            '\u{e0100}'..='\u{e01ef}' => before.is_none_or(|p| p.is_ascii() || is_selector(p)),
            '\u{200c}' | '\u{200d}' => before.is_none_or(|p| p.is_ascii() || is_invisible(p)),
            c => c.is_control() || is_invisible(c),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_told_from_what_belongs_to_the_writing() {
        for (text, expect) in [
            ("plain\r\ntext\twith\u{c}pages\r\n", ""),
            ("a\u{200b}b", "200B@1"),
            ("x\u{202e}y\u{2066}", "202E@1 2066@5"),
            ("\u{feff}begin", "FEFF@0"),
            ("tag\u{e0041}\u{e007f}", "E0041@3 E007F@7"),
            ("gone\rover", "D@4"),
            ("\u{1b}[8m", "1B@0"),
            ("👩\u{200d}👧 ش\u{200c}ی ✔\u{fe0f}", ""),
            // Data in a row of joiners, or of selectors.
            ("é\u{200d}\u{200c}\u{200d}", "200C@5 200D@8"),
            ("✔\u{fe0f}\u{fe01}", "FE01@6"),
            ("\n\u{fe0f}", "FE0F@1"),
        ] {
            let found: Vec<String> = hidden(text).map(|(at, c)| format!("{:X}@{at}", u32::from(c))).collect();
            assert_eq!(found.join(" "), expect, "{text:?}");
        }
    }
}
