//! Words on a page. Whatever somebody else wrote goes through here.

use std::fmt::Display;

use gloaming_api::text::hidden;
use jiff::Timestamp;
use maud::{Markup, html};

/// Returns a text as a reader is to see it: no markup, and what would be seen as nothing, or would turn the direction of the
/// rest, by its number.
pub(super) fn shown(text: &str) -> Markup {
    let mut from = 0;
    let mut parts: Vec<(&str, Option<char>)> = Vec::new();
    for (at, c) in hidden(text) {
        parts.push((&text[from..at], Some(c)));
        from = at + c.len_utf8();
    }
    parts.push((&text[from..], None));
    html! {
        @for (plain, invisible) in parts {
            (plain)
            @if let Some(c) = invisible { span class="unseen" { (format!("U+{:04X}", u32::from(c))) } }
        }
    }
}

/// Returns a text that a link brought into a field, without what would be seen as nothing there.
pub(super) fn seen(text: &str) -> String {
    let unseen: Vec<usize> = hidden(text).map(|(at, _)| at).collect();
    text.char_indices().filter(|(at, _)| !unseen.contains(at)).map(|(_, c)| c).collect()
}

/// Returns the first line that says something, at most so many characters.
pub(super) fn title(text: &str, most: usize) -> String {
    let line = text.lines().map(|line| line.trim_start_matches('#').trim()).find(|line| !line.is_empty());
    gloaming_api::bowout::shorten(line.unwrap_or("Untitled"), most)
}

pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at.strftime("%Y-%m-%d %H:%M:%S UTC")) } }
}

/// Returns milliseconds as a person says them.
pub(super) fn took(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 if ms < 1000 => format!("{ms} ms"),
        0..60 => format!("{}.{} s", seconds, ms % 1000 / 100),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        _ => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
    }
}

fn two(many: u64, unit: &str, rest: u64, smaller: &str) -> String {
    if rest == 0 { format!("{many} {unit}") } else { format!("{many} {unit} {rest} {smaller}") }
}

/// Returns seconds in the same way.
pub(super) fn took_s(seconds: f64) -> String {
    took(
        std::time::Duration::try_from_secs_f64(seconds.max(0.0))
            .map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
    )
}

/// Returns a name of ours, such as `bowed_out`, as words.
pub(super) fn words(name: &str) -> String {
    let mut text = name.replace('_', " ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// Returns a serialised name, such as a verdict's, as it is written.
pub(super) fn name_of(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// A list of terms and what they are; those without anything are left out.
pub(super) fn facts(facts: &[(&str, Option<Markup>)]) -> Markup {
    html! {
        dl class="facts" {
            @for (term, value) in facts {
                @if let Some(value) = value { div { dt { (term) } dd { (value) } } }
            }
        }
    }
}

pub(super) fn plain(value: impl Display) -> Option<Markup> {
    let text = value.to_string();
    (!text.is_empty()).then(|| shown(&text))
}

pub(super) fn code(value: impl Display) -> Option<Markup> {
    Some(html! { code { (shown(&value.to_string())) } })
}

/// A table that can be moved sideways, by keyboard too.
pub(super) fn table(caption: &str, heads: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
            }
        }
    }
}

/// The mark of how something stands: its word, and a colour beside it.
pub(super) fn mark(word: &str, kind: &str) -> Markup {
    html! { span class={ "mark " (kind) } { (word) } }
}

/// Something long, of a program or a model, to be opened.
pub(super) fn long(id: &str, summary: &str, text: &str) -> Markup {
    html! {
        details id=(id) {
            summary { (shown(summary)) }
            pre tabindex="0" { (shown(text)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup_or_unseen() {
        for (text, expect) in [
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("a & \"b\"", "a &amp; &quot;b&quot;"),
            ("x\u{202e}y", "x<span class=\"unseen\">U+202E</span>y"),
            ("\u{1b}[8m", "<span class=\"unseen\">U+001B</span>[8m"),
            ("lines\nand\ttabs", "lines\nand\ttabs"),
            ("", ""),
        ] {
            assert_eq!(shown(text).into_string(), expect);
        }
    }

    #[test]
    fn times_are_told_as_people_do() {
        let told: Vec<String> = [0, 999, 1000, 61_500, 3_600_000, 7_260_000].into_iter().map(took).collect();
        assert_eq!(told, ["0 ms", "999 ms", "1.0 s", "1 min 1 s", "1 h", "2 h 1 min"]);
        assert_eq!(
            (took_s(-1.0).as_str(), took_s(f64::NAN).as_str(), took_s(2.55).as_str()),
            ("0 ms", "0 ms", "2.5 s")
        );
    }

    #[test]
    fn a_title_is_the_first_line_that_says_something() {
        assert_eq!(title("\n\n## Fix it \nmore", 80), "Fix it");
        assert_eq!(title(" \n", 80), "Untitled");
    }
}
