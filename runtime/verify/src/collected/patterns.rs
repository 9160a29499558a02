//! Patterns of files as runners have them, and the texts that a configuration in code or YAML says behind a key.

use regex::Regex;

/// The most places of a key that are looked at in one file.
const MOST_PLACES: usize = 100;
/// The longest value that is looked at, bytes: whatever a file holds, reading it takes a bounded time.
const LONGEST: usize = 16 << 10;

/// Returns a pattern of a shell as Python has it: `*` is any characters, `[!a-c]` is a class.
pub(super) fn fnmatch(pattern: &str) -> Option<Regex> {
    // With a folder in it, pytest matches the end of a path.
    let head = if pattern.contains('/') { "^(?:.*/)?" } else { "^" };
    Regex::new(&format!("{head}{}$", shell(pattern, "."))).ok()
}

/// Returns the text of a pattern that finds a name of a function or class as pytest does: by its beginning, or by a
/// pattern of a shell.
pub(super) fn name(option: &str) -> String {
    let beginning = regex::escape(option);
    if option.contains(['*', '?', '[']) {
        format!(r"(?:{beginning}|{}\b)", shell(option, r"\w"))
    } else {
        beginning
    }
}

fn shell(pattern: &str, any: &str) -> String {
    let letters: Vec<char> = pattern.chars().collect();
    let mut text = String::new();
    let mut at = 0;
    while let Some(letter) = letters.get(at).copied() {
        at += 1;
        match letter {
            '*' => text.push_str(&format!("{any}*")),
            '?' => text.push_str(any),
            '[' => match class(&letters[at..]) {
                Some((class, length)) => {
                    text.push_str(&class);
                    at += length;
                }
                None => text.push_str(r"\["),
            },
            letter => text.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    text
}

/// Returns what stands in brackets as a class, and how many letters it takes up to behind its end; none without an end.
fn class(letters: &[char]) -> Option<(String, usize)> {
    let negated = matches!(letters.first(), Some('!' | '^'));
    let from = usize::from(negated);
    // A bracket that comes first is one of the letters.
    let end = from + 1 + letters.get(from + 1..)?.iter().position(|letter| *letter == ']')?;
    let mut text = String::from(if negated { "[^" } else { "[" });
    for letter in &letters[from..end] {
        match letter {
            '-' => text.push('-'),
            letter => text.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    text.push(']');
    Some((text, end + 1))
}

/// Returns a pattern as Node's tools have it: `**`, `{a,b}`, `[jt]s`, `?(x)`, `+(a|b)`; `!(a)` is any name here.
pub(super) fn glob(pattern: &str) -> Option<Regex> {
    let mut text = String::from("^");
    let mut open: Vec<&str> = Vec::new();
    let letters: Vec<char> = pattern.chars().collect();
    let mut at = 0;
    while let Some(letter) = letters.get(at).copied() {
        let next = letters.get(at + 1).copied();
        at += 1;
        match letter {
            '!' if next == Some('(') => {
                text.push_str("[^/]*");
                at += 1;
                let mut depth = 1;
                while depth > 0 {
                    match letters.get(at)? {
                        '(' => depth += 1,
                        ')' => depth -= 1,
                        _ => {}
                    }
                    at += 1;
                }
            }
            '?' | '+' | '*' | '@' if next == Some('(') => {
                text.push_str("(?:");
                open.push(match letter {
                    '?' => ")?",
                    '+' => ")+",
                    '*' => ")*",
                    _ => ")",
                });
                at += 1;
            }
            '*' if next == Some('*') => {
                at += 1;
                if letters.get(at) == Some(&'/') {
                    at += 1;
                    text.push_str("(?:.*/)?");
                } else {
                    text.push_str(".*");
                }
            }
            '*' => text.push_str("[^/]*"),
            '?' => text.push_str("[^/]"),
            '{' => {
                text.push_str("(?:");
                open.push("}");
            }
            '}' if open.last() == Some(&"}") => {
                open.pop();
                text.push(')');
            }
            ',' if open.last() == Some(&"}") => text.push('|'),
            ')' if open.last().is_some_and(|end| end.starts_with(')')) => text.push_str(open.pop()?),
            '|' if !open.is_empty() => text.push('|'),
            '[' => {
                let (class, length) = class(&letters[at..])?;
                text.push_str(&class);
                at += length;
            }
            letter => text.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    if open.is_empty() { Regex::new(&(text + "$")).ok() } else { None }
}

/// Returns the texts behind a key of a configuration that is code, JSON or YAML: one, or those of a list.
pub(super) fn values(text: &str, key: &str) -> Vec<String> {
    let in_a_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let places = text.match_indices(key).filter(|(at, _)| !text[..*at].ends_with(in_a_word));
    let value = |at: usize| {
        let rest = &text[at + key.len()..];
        rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start().strip_prefix(':')
    };
    let values = places.take(MOST_PLACES).filter_map(|(at, _)| value(at));
    values.flat_map(|value| texts(head(value))).collect()
}

fn head(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

/// The texts that a value begins with.
fn texts(value: &str) -> Vec<String> {
    let begins = value.trim_start();
    match begins.chars().next() {
        Some('[') => {
            let list = list(begins);
            let quoted = crate::named::quoted(list);
            if quoted.is_empty() { words(list.trim_matches(['[', ']']).split([',', '\n'])) } else { quoted }
        }
        Some('"' | '\'' | '`') => crate::named::quoted(first_line(begins)).into_iter().take(1).collect(),
        // YAML: one a line, or one beside the key.
        Some('-') => words(begins.lines().map_while(|line| line.trim_start().strip_prefix("- "))),
        Some(_) => words([first_line(value)].into_iter()),
        None => Vec::new(),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn words<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let plain = texts.map(|text| {
        let text = text.split_once(" #").map_or(text, |(text, _)| text);
        text.trim().trim_end_matches(',').trim_matches(['"', '\''])
    });
    plain.filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// A list up to its end; a quotation ends with its line, for an apostrophe in a comment opens one too.
fn list(text: &str) -> &str {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if letter == open || letter == '\n' => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(letter),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return &text[..=at];
                }
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_a_shell() {
        let check = |pattern: &str, path: &str| fnmatch(pattern).is_some_and(|regex| regex.is_match(path));
        assert!(check("check_[a-z]*.py", "check_core.py"));
        assert!(!check("check_[a-z]*.py", "check_1.py"));
        assert!(check("check_[!a-z]*.py", "check_1.py"));
        assert!(check("a[]x]b", "a]b"));
        assert!(check("a[b", "a[b"));
        assert!(check("a[&~^]b", "a&b"));
        assert!(check("checks/*.py", "deep/checks/a.py"));
        assert!(check("checks/*.py", "checks/a.py"));
        assert!(!check("checks/*.py", "xchecks/a.py"));
        assert!(!check("a?c", "ac"));
    }

    #[test]
    fn patterns_of_node() {
        let check = |pattern: &str, path: &str| glob(pattern).is_some_and(|regex| regex.is_match(path));
        assert!(check("**/?(*.)+(checks|proof).[jt]s?(x)", "a/b.checks.tsx"));
        assert!(check("checks/[!_]*.js", "checks/a.js"));
        assert!(!check("checks/[!_]*.js", "checks/_a.js"));
        assert!(check("checks/!(skipped|other).js", "checks/a.js"));
        assert!(check("checks/!(a|+(b)).js", "checks/a.js"));
        assert!(check("checks/*.{js,mjs}", "checks/a.mjs"));
        assert!(!check("checks/*.js", "checks/deep/a.js"));
        assert!(!check("checks/!(a.js", "checks/a.js"));
    }

    #[test]
    fn texts_behind_a_key() {
        let check = |text: &str| values(text, "spec").join(" ");
        assert_eq!(check("spec: ['a.js', // don't\n  \"[jt]s\"], other: ['x']"), "a.js [jt]s");
        assert_eq!(check("{\"spec\": \"a.js\", \"other\": \"x\"}"), "a.js");
        assert_eq!(check("spec:\n  - a.js # all\n  - 'b.js'\nother:\n  - c.js\n"), "a.js b.js");
        assert_eq!(check("spec: [a.js, b.js]\n"), "a.js b.js");
        assert_eq!(check("spec: a/*.{js,mjs}\nx: y\n"), "a/*.{js,mjs}");
        assert_eq!(check("spec:\n  [\n    'a.js',\n  ],\n"), "a.js");
        assert_eq!(check("inspec: 'a.js'\nspecs: 'b.js'\n"), "");
        assert_eq!(check("spec:"), "");
    }

    /// Looked through once for each of its beginnings, a megabyte of these took minutes.
    #[test]
    fn lists_without_an_end_take_no_longer_than_others() {
        let text = "spec:[\nspec:xyzw\n".repeat(1 << 16);
        assert!(values(&text, "spec").len() <= MOST_PLACES * LONGEST);
    }
}
