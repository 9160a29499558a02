//! Finds out when the work goes in circles. Its memory is apart from the conversation, so that no compaction
//! loses it.

use std::collections::{BTreeMap, VecDeque};

use gloaming_api::Digest;
use gloaming_policies::WRITING_TOOLS;
use serde_json::{Value, json};

/// The same call with the same result.
const SAME_CALL: u32 = 4;
/// The same error, whatever was called.
const SAME_ERROR: u32 = 3;
/// Two calls by turns.
const ALTERNATIONS: usize = 6;

/// What was called and what came of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Loops {
    /// How often a call gave a result since something was changed.
    results: BTreeMap<(Digest, Digest), Count>,
    /// The last error and how often it came in a row.
    error: Option<(Digest, Count)>,
    recent: VecDeque<(String, Digest)>,
    found: Option<String>,
}

/// How often something came, once for each answer: calls made together were all made before any result was
/// seen, so that a repetition among them is no circle yet.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    times: u32,
    answer: u32,
}

impl Count {
    fn next(self, answer: u32) -> Self {
        Self { times: self.times + u32::from(self.answer != answer), answer }
    }
}

impl Loops {
    /// Takes a call and its result. `answer` is the number, from 1, of the model's answer that made it.
    pub(super) fn note(&mut self, answer: u32, name: &str, args: &Value, ok: bool, output: &Digest) {
        let call = Digest::of_json(&json!([name, args]));
        let count = self.results.entry((call.clone(), output.clone())).or_default();
        *count = count.next(answer);
        if count.times >= SAME_CALL {
            self.found =
                Some(format!("`{name}` was called {SAME_CALL} times with the same arguments and result"));
        }
        if ok {
            self.error = None;
            // What was written makes the same question a new one.
            if WRITING_TOOLS.contains(&name) {
                self.results.clear();
            }
        } else {
            let count = match &self.error {
                Some((last, count)) if last == output => count.next(answer),
                _ => Count::default().next(answer),
            };
            if count.times >= SAME_ERROR {
                self.found =
                    Some(format!("the same error came {SAME_ERROR} times in a row, last from `{name}`"));
            }
            self.error = Some((output.clone(), count));
        }
        self.recent.push_back((name.to_owned(), call));
        if self.recent.len() > 2 * ALTERNATIONS {
            self.recent.pop_front();
        }
        if self.alternates() {
            self.found = Some(format!("two calls alternated {ALTERNATIONS} times, last `{name}`"));
        }
    }

    fn alternates(&self) -> bool {
        let full = self.recent.len() == 2 * ALTERNATIONS && self.recent[0].1 != self.recent[1].1;
        full && (2..self.recent.len()).all(|i| self.recent[i].1 == self.recent[i - 2].1)
    }

    /// Returns what goes in circles.
    pub(super) fn stuck(&self) -> Option<String> {
        self.found.clone()
    }
}
