//! The list of steps as it grows, and the words a reviewer reads.

use gloaming_api::evidence::{Finding, Step, StepResult};

/// What one step found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) result: StepResult,
    pub(crate) code: Option<Finding>,
    pub(crate) detail: String,
}

impl Found {
    pub(crate) fn pass(detail: impl Into<String>) -> Self {
        Self { result: StepResult::Pass, code: None, detail: detail.into() }
    }

    pub(crate) fn fail(code: Finding, detail: impl Into<String>) -> Self {
        Self { result: StepResult::Fail, code: Some(code), detail: detail.into() }
    }

    pub(crate) fn unknown(code: Finding, detail: impl Into<String>) -> Self {
        Self { result: StepResult::Unknown, code: Some(code), detail: detail.into() }
    }

    pub(crate) fn skipped(rule: impl Into<String>) -> Self {
        Self { result: StepResult::Skipped, code: None, detail: rule.into() }
    }
}

/// Every step this crate makes, in order.
pub(crate) const ORDER: &[&str] = &["V0", "V1", "V2", "V3", "V4", "V5", "V6", "V7", "V8", "V9", "V10"];

/// The steps of one verification; each may be found once.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    found: Vec<(&'static str, Found)>,
}

impl Steps {
    /// Notes what a step found; returns whether the later steps are worth their time.
    pub(crate) fn note(&mut self, step: &'static str, found: Found) -> bool {
        let goes_on = matches!(found.result, StepResult::Pass | StepResult::Skipped);
        self.found.push((step, found));
        goes_on
    }

    /// Whether a step was found to pass.
    pub(crate) fn passed(&self, step: &str) -> bool {
        self.found.iter().any(|(name, found)| *name == step && found.result == StepResult::Pass)
    }

    /// Returns the steps in order; those that were not reached are listed as skipped, with the step that
    /// stopped the rest.
    pub(crate) fn finish(self) -> Vec<Step> {
        let stopped = ORDER
            .iter()
            .filter_map(|step| self.found.iter().find(|(name, _)| name == step))
            .find(|(_, found)| matches!(found.result, StepResult::Fail | StepResult::Unknown))
            .map_or("an earlier step", |(name, _)| *name);
        ORDER
            .iter()
            .map(|step| {
                let found = self.found.iter().find(|(name, _)| name == step).map_or_else(
                    || Found::skipped(format!("not reached: {stopped} decided")),
                    |(_, found)| found.clone(),
                );
                Step {
                    step: (*step).to_owned(),
                    result: found.result,
                    code: found.code,
                    detail: found.detail,
                }
            })
            .collect()
    }
}

/// `a, b, c and 4 more`.
pub(crate) fn some_of<T: std::fmt::Display>(items: &[T]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = items.iter().take(SHOWN).map(ToString::to_string).collect();
    match items.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

/// `1 test`, `2 tests`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Makes one line of what a program printed, its end if it is long.
pub(crate) fn last_words(text: &str, max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let length = line.chars().count();
    if length <= max {
        return line;
    }
    let tail: String = line.chars().skip(length - max + 1).collect();
    format!("…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_not_reached_are_listed_with_what_stopped_them() {
        let mut steps = Steps::default();
        assert!(steps.note("V0", Found::pass("applies")));
        assert!(!steps.note("V1", Found::fail(Finding::ProtectedPath, "no")));
        steps.note("V10", Found::pass("no signals"));
        let shown: Vec<String> = steps
            .finish()
            .iter()
            .map(|step| format!("{} {:?}: {}", step.step, step.result, step.detail))
            .collect();
        assert_eq!(shown[0], "V0 Pass: applies");
        assert_eq!(shown[1], "V1 Fail: no");
        assert_eq!(shown[2], "V2 Skipped: not reached: V1 decided");
        assert_eq!(shown[10], "V10 Pass: no signals");
        assert_eq!(shown.len(), 11);
    }

    #[test]
    fn words() {
        assert_eq!(some_of(&["a", "b", "c"]), "a, b, c");
        assert_eq!(some_of(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
        assert_eq!(last_words("one\ntwo  three", 8), "…o three");
        assert_eq!(count(1, "test"), "1 test");
    }
}
