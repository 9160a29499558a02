//! Secrets taken out of what is exported, and counted.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use gloaming_api::Digest;
use serde_json::Value;

/// Finds secrets in a text: where each is, and what.
pub type Find<'a> = &'a dyn Fn(&str) -> Vec<(Range<usize>, String)>;

/// Takes values that are known as secrets out of a text, `[secret NAME]` in their place.
pub type Known<'a> = &'a dyn Fn(&str) -> String;

/// What was taken out, by what it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed(BTreeMap<String, Taken>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Taken {
    places: usize,
    /// Digests of the values, which tell how many there were and are written nowhere.
    values: BTreeSet<Digest>,
}

impl Scrubbed {
    /// Returns each kind with the number of places it was taken from and of different values there.
    pub fn counts(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.0.iter().map(|(what, taken)| (what.as_str(), taken.places, taken.values.len()))
    }

    /// Whether nothing was taken out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes secrets out of every text of a value, keys of objects too.
    pub fn value(&mut self, value: &mut Value, known: Known<'_>, find: Find<'_>) {
        match value {
            Value::String(text) => *text = self.text(text, known, find),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item, known, find)),
            Value::Object(object) => {
                let before = std::mem::take(object);
                for (key, mut item) in before {
                    self.value(&mut item, known, find);
                    object.insert(self.text(&key, known, find), item);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Takes secrets out of a text.
    pub fn text(&mut self, text: &str, known: Known<'_>, find: Find<'_>) -> String {
        let cleaned = known(text);
        if cleaned != text {
            self.note_known(text, &cleaned);
        }
        let mut clean = String::with_capacity(cleaned.len());
        let mut from = 0;
        for (range, what) in find(&cleaned) {
            // Two shapes may meet in one place: nothing of either stays.
            let range = range.start.max(from)..range.end;
            if range.is_empty() {
                continue;
            }
            let taken = self.0.entry(what.clone()).or_default();
            taken.places += 1;
            taken.values.insert(Digest::of(&cleaned[range.clone()]));
            clean.push_str(&cleaned[from..range.start]);
            clean.push_str(&format!("[{what} was here]"));
            from = range.end;
        }
        clean.push_str(&cleaned[from..]);
        clean
    }

    /// Counts values that were known: each name is one value.
    fn note_known(&mut self, before: &str, after: &str) {
        let marks = |text: &str| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for part in text.split("[secret ").skip(1) {
                if let Some((name, _)) = part.split_once(']') {
                    *counts.entry(name.to_owned()).or_default() += 1;
                }
            }
            counts
        };
        let earlier = marks(before);
        for (name, count) in marks(after) {
            let new = count - earlier.get(&name).copied().unwrap_or_default().min(count);
            if new > 0 {
                let taken = self.0.entry(format!("the operator's secret {name}")).or_default();
                taken.places += new;
                taken.values.insert(Digest::of(&name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_stays_of_two_that_overlap() {
        let find =
            |_: &str| vec![(1..4, "one".to_owned()), (2..3, "within".to_owned()), (3..6, "other".to_owned())];
        let clean = Scrubbed::default().text("a12345b", &str::to_owned, &find);
        assert_eq!(clean, "a[one was here][other was here]b");
    }

    #[test]
    fn secrets_go_from_every_place_and_are_counted_by_value() {
        let known = |text: &str| text.replace("hunter22", "[secret TOKEN]");
        let find = |text: &str| -> Vec<(Range<usize>, String)> {
            text.match_indices("key-").map(|(at, _)| (at..at + 6, "a key".to_owned())).collect()
        };
        let mut scrubbed = Scrubbed::default();
        let mut value = json!({"a": ["key-01 and key-01", {"key-02": "hunter22, [secret TOKEN]"}], "n": 1});
        scrubbed.value(&mut value, &known, &find);
        let clean = json!({
            "a": ["[a key was here] and [a key was here]", {"[a key was here]": "[secret TOKEN], [secret TOKEN]"}], "n": 1
        });
        assert_eq!(value, clean);
        let counts: Vec<_> = scrubbed.counts().collect();
        assert_eq!(counts, [("a key", 3, 2), ("the operator's secret TOKEN", 1, 1)]);
    }
}
