//! Takes the values of secrets out of what a job prints, in the forms programs print them in.
//!
//! A job that holds a secret can always print it in a form that nobody thought of (reversed, a letter at a time). What
//! is done here keeps a secret out of logs where a program shows its environment, a request or a configuration; it does
//! not hold one against a program that wants to give it away. That is what the grant is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// Shorter parts of a value (lines of a key, groups of base64) are too common to be taken out of a text.
const SHORTEST: usize = 8;

/// Replaces secrets by their names, `[secret NAME]`.
#[derive(Clone, Default)]
pub struct Redactor {
    found: Option<Arc<Patterns>>,
}

struct Patterns {
    search: AhoCorasick,
    /// What stands in the place of each pattern.
    instead: Vec<String>,
    /// Bytes of the longest pattern.
    longest: usize,
}

impl Redactor {
    /// Makes one for values by name. A value is also found line by line, as a URL, in JSON, in XML, in hexadecimal,
    /// and in base64 wherever in a longer text it stands.
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut forms: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for (name, value) in values {
            for form in forms_of(value) {
                forms.entry(form).or_insert_with(|| format!("[secret {name}]"));
            }
        }
        let Some(longest) = forms.keys().map(Vec::len).max() else { return Self::default() };
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(forms.keys())
            .expect("values are bounded, so their forms are within the search's limits");
        let instead = forms.into_values().collect();
        Self { found: Some(Arc::new(Patterns { search, instead, longest })) }
    }

    /// Whether there is nothing to take out.
    pub fn is_empty(&self) -> bool {
        self.found.is_none()
    }

    /// Returns the bytes without the secrets.
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.stream();
        let mut clean = stream.push(bytes);
        clean.extend(stream.finish());
        clean
    }

    /// Returns the text without the secrets.
    pub fn text(&self, text: &str) -> String {
        match &self.found {
            None => text.to_owned(),
            Some(patterns) => patterns.search.replace_all(text, &patterns.instead),
        }
    }

    /// Returns the value without the secrets, wherever in it they are: in texts and in the names of fields.
    pub fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, field)| (self.text(&name), self.value(field))).collect()
            }
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
        }
    }

    pub(crate) fn stream(&self) -> Stream {
        Stream { redactor: self.clone(), held: Vec::new() }
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let forms = self.found.as_ref().map_or(0, |patterns| patterns.instead.len());
        write!(f, "Redactor({forms} forms)")
    }
}

/// A redactor for bytes that come piece by piece: what may be the beginning of a secret is held back.
pub(crate) struct Stream {
    redactor: Redactor,
    held: Vec<u8>,
}

impl Stream {
    /// Takes further bytes; returns those that can be shown by now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(patterns) = &self.redactor.found else { return bytes.to_vec() };
        self.held.extend_from_slice(bytes);
        // A match that begins before this can no longer become another, longer one.
        let settled = self.held.len().saturating_sub(patterns.longest);
        let (clean, taken) = patterns.replace(&self.held, settled);
        self.held.drain(..taken);
        clean
    }

    /// Returns what was held back to the end.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        match &self.redactor.found {
            None => held,
            Some(patterns) => patterns.replace(&held, held.len()).0,
        }
    }
}

impl Patterns {
    /// Returns the bytes up to `settled`, or to the end of a secret that goes on beyond it, without secrets, and how
    /// many that were.
    fn replace(&self, bytes: &[u8], settled: usize) -> (Vec<u8>, usize) {
        let mut clean = Vec::with_capacity(settled);
        let mut at = 0;
        for found in self.search.find_iter(bytes) {
            if found.start() >= settled {
                break;
            }
            clean.extend_from_slice(&bytes[at..found.start()]);
            clean.extend_from_slice(self.instead[found.pattern().as_usize()].as_bytes());
            at = found.end();
        }
        if at < settled {
            clean.extend_from_slice(&bytes[at..settled]);
            at = settled;
        }
        (clean, at)
    }
}

fn forms_of(value: &str) -> Vec<Vec<u8>> {
    let mut forms: Vec<Vec<u8>> = Vec::new();
    let value = value.trim_end_matches(['\r', '\n']);
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST);
    let mut plain: Vec<&str> = lines.collect();
    plain.push(value);
    for text in plain {
        forms.push(text.as_bytes().to_vec());
        let json = serde_json::to_string(text).unwrap_or_default();
        forms.push(json.trim_matches('"').as_bytes().to_vec());
        forms.extend(in_xml(text));
        forms.push(percent(text, b"-._~").into_bytes());
        forms.push(lower_case_percent(&percent(text, b"-._~")).into_bytes());
        // As a form sends it.
        forms.push(percent(text, b"-._*").replace("%20", "+").into_bytes());
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        forms.push(hex.to_uppercase().into_bytes());
        forms.push(hex.into_bytes());
        forms.extend(in_base64(text.as_bytes()));
    }
    forms.extend(wrapped_base64(value.as_bytes()));
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

/// As reports of tests have it: some writers escape what they must, others every kind of quote too.
fn in_xml(text: &str) -> [Vec<u8>; 4] {
    let must = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let quoted = must.replace('"', "&quot;");
    let named = quoted.replace('\'', "&apos;");
    let numbered = must.replace('"', "&#34;").replace('\'', "&#39;");
    [must, quoted, named, numbered].map(String::into_bytes)
}

fn percent(text: &str, kept: &[u8]) -> String {
    text.bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() || kept.contains(&byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// `%2f` for `%2F`.
fn lower_case_percent(text: &str) -> String {
    let mut digits = 0;
    text.chars()
        .map(|c| {
            let digit = digits > 0;
            digits = if c == '%' { 2 } else { digits.max(1) - 1 };
            if digit { c.to_ascii_lowercase() } else { c }
        })
        .collect()
}

/// The lines that `base64` (76 characters) and `openssl base64` (64) print of a longer value.
fn wrapped_base64(value: &[u8]) -> Vec<Vec<u8>> {
    let text = STANDARD_NO_PAD.encode(value);
    // The last character may hold bits of a line break behind the value.
    let settled = &text.as_bytes()[..value.len() * 8 / 6];
    [64, 76].into_iter().flat_map(|width| settled.chunks(width)).map(<[u8]>::to_vec).collect()
}

/// The characters of base64 that depend on the value alone, for each of the three places within a group of three bytes
/// that it may begin at (`user:VALUE` of an `Authorization` header is the common case).
fn in_base64(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for before in 0..3_usize {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(value);
        // Characters that hold bits of what stands before or behind are left out.
        let first = (before * 8).div_ceil(6);
        let last = bytes.len() * 8 / 6;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let text = engine.encode(&bytes);
            if let Some(inner) = text.as_bytes().get(first..last) {
                forms.push(inner.to_vec());
            }
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redactor() -> Redactor {
        let key = "-----BEGIN-----\nline-one-of-it\nshort\n";
        Redactor::new([("TOKEN", "s3cr3t/+value"), ("KEY", key), ("XML", "a<b&\"c\">dd")])
    }

    #[test]
    fn a_value_is_found_in_the_forms_programs_print_it_in() {
        let redactor = redactor();
        for (text, clean) in [
            ("TOKEN=s3cr3t/+value\n", "TOKEN=[secret TOKEN]\n"),
            ("s3cr3t/+valuess3cr3t/+value", "[secret TOKEN]s[secret TOKEN]"),
            ("https://u:s3cr3t%2F%2Bvalue@host/", "https://u:[secret TOKEN]@host/"),
            ("  line-one-of-it", "  [secret KEY]"),
            ("\"-----BEGIN-----\\nline-one-of-it\\nshort\"", "\"[secret KEY]\""),
            ("7333637233742f2b76616c7565", "[secret TOKEN]"),
            (
                "<failure message=\"got a&lt;b&amp;&quot;c&quot;&gt;dd\"/>",
                "<failure message=\"got [secret XML]\"/>",
            ),
            ("s3cr3t and value and short", "s3cr3t and value and short"),
        ] {
            assert_eq!(redactor.text(text), clean);
            assert_eq!(redactor.bytes(text.as_bytes()), clean.as_bytes());
        }
    }

    #[test]
    fn a_value_is_found_in_every_place_of_an_answer() {
        let value = serde_json::json!({"s3cr3t/+value": ["a s3cr3t/+value", 1, {"x": "\"line-one-of-it\""}], "n": null});
        let clean = serde_json::json!({"[secret TOKEN]": ["a [secret TOKEN]", 1, {"x": "\"[secret KEY]\""}], "n": null});
        assert_eq!(redactor().value(value), clean);
    }

    #[test]
    fn base64_in_lines_and_lower_case_urls_do_not_show_it() {
        let value: String = (0..150_u8).map(|number| char::from(b'!' + number % 90)).collect();
        let redactor = Redactor::new([("LONG", value.as_str())]);
        let text = STANDARD_NO_PAD.encode(format!("{value}\n"));
        for width in [64, 76] {
            let lines: Vec<&str> =
                text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
            let clean = redactor.text(&lines.join("\n"));
            assert_eq!(clean.matches("[secret LONG]").count(), lines.len(), "{clean}");
            assert!(clean.replace("[secret LONG]", "").trim().len() <= 2, "{clean}");
        }
        assert_eq!(self::redactor().text("s3cr3t%2f%2bvalue"), "[secret TOKEN]");
    }

    #[test]
    fn base64_of_a_longer_text_does_not_show_it() {
        let redactor = redactor();
        for before in ["", "u", "us", "user:"] {
            for after in ["", "x", "xy"] {
                let text = STANDARD_NO_PAD.encode(format!("{before}s3cr3t/+value{after}"));
                let clean = redactor.text(&text);
                assert!(clean.contains("[secret TOKEN]"), "{text} {clean}");
                // What is left cannot hold more than the bits that it shares with its neighbours.
                assert!(
                    clean.len() < before.len() * 2 + after.len() * 2 + "[secret TOKEN]".len() + 8,
                    "{clean}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_same_comes_out(
            pieces in prop::collection::vec("(s3cr3t/\\+value|s3cr3t|/\\+value|line-one-of-it|[a-z]{0,5}|\n)", 0..12),
            cuts in prop::collection::vec(0_usize..200, 0..12),
        ) {
            let text = pieces.concat();
            let redactor = redactor();
            let whole = redactor.text(&text);
            prop_assert!(!whole.contains("s3cr3t/+value"));
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut stream = redactor.stream();
            let mut clean = Vec::new();
            let mut at = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                clean.extend(stream.push(&text.as_bytes()[at..cut]));
                at = cut;
            }
            clean.extend(stream.finish());
            prop_assert_eq!(String::from_utf8(clean).unwrap(), whole);
        }
    }
}
