//! What of a piece of evidence the score is made of: numbers by name, each of which speaks against the patch the more
//! the larger it is.

use std::collections::BTreeMap;

use gloaming_api::evidence::{Evidence, FileRole, Flake};

/// Numbers by name, each at least 0. A name that is missing is 0.
pub type Features = BTreeMap<String, f64>;

/// Lines of one change that are nobody's worry, and the unit of those beyond.
const LINES: f64 = 100.0;

/// Returns the features of a piece of evidence. What was not measured is left out, and so speaks neither way.
///
/// | name | is |
/// | --- | --- |
/// | a signal's | how often it was seen |
/// | `flaked_with_patch` | tests that failed in some run of the patched tree and in none of the untouched one, and were cleared |
/// | `flaky_suite` | 1 when a test's result differed between runs of one tree |
/// | `lint_findings` | new findings of linters and type checkers |
/// | `no_fail_to_pass` | 1 when code changed and no test fails without the change |
/// | `sent_back` | how often an earlier version was sent back with findings |
/// | `size` | changed lines outside tests and documentation beyond the first hundred, in hundreds |
/// | `surviving_share` | of the mutants that ran, the share no test noticed |
/// | `uncovered_share` | of the changed lines that can be run, the share no test runs |
pub fn features(evidence: &Evidence) -> Features {
    let mut found = Features::new();
    let mut add = |name: &str, value: f64| {
        if value > 0.0 {
            *found.entry(name.to_owned()).or_default() += value;
        }
    };
    for signal in &evidence.signals {
        add(&signal.name, 1.0);
    }
    if !(evidence.flaky.is_empty() && evidence.flakes.is_empty()) {
        add("flaky_suite", 1.0);
    }
    let with_patch =
        |flake: &&Flake| flake.patched.failed > 0 && flake.base.failed == 0 && flake.base.passed > 0;
    add("flaked_with_patch", evidence.flakes.iter().filter(with_patch).count() as f64);
    add("lint_findings", evidence.findings.len() as f64);
    let changes_code = evidence.files.iter().any(|file| file.role == FileRole::Code);
    if changes_code && evidence.fail_to_pass.is_empty() {
        add("no_fail_to_pass", 1.0);
    }
    add("sent_back", f64::from(evidence.sent_back));
    let counted = evidence.files.iter().filter(|file| !matches!(file.role, FileRole::Test | FileRole::Docs));
    let lines: f64 = counted.map(|file| f64::from(file.added) + f64::from(file.removed)).sum();
    add("size", (lines - LINES) / LINES);
    if let Some(mutants) = &evidence.mutants {
        add("surviving_share", share(mutants.survived, [mutants.killed, mutants.timed_out]));
    }
    if let Some(lines) = &evidence.coverage {
        add("uncovered_share", share(lines.uncovered, [lines.covered, 0]));
    }
    found
}

fn share(part: u32, rest: [u32; 2]) -> f64 {
    let all = f64::from(part) + rest.map(f64::from).iter().sum::<f64>();
    if all > 0.0 { f64::from(part) / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_nothing_are_nothing() {
        assert_eq!(share(0, [0, 0]), 0.0);
        assert_eq!(share(u32::MAX, [0, 0]), 1.0);
        assert_eq!(share(1, [2, 1]), 0.25);
    }
}
