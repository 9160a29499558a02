//! A policy's inline tests, and which of its rules they ever reach.

use std::collections::BTreeSet;

use gloaming_api::RepoId;
use serde::Serialize;

use crate::{Diagnostic, Explanation, Grant, Layer, PolicyFile, RuleRef};

/// What the inline tests of a file came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tested {
    /// Each test, in the file's order.
    pub tests: Vec<TestResult>,
    /// The file's rules that decided none of them, in the file's order.
    pub undecided: Vec<RuleRef>,
    /// How many rules the file has.
    pub rules: usize,
}

/// One inline test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestResult {
    /// The call.
    pub call: String,
    /// Its line, counted from 1.
    pub line: u32,
    /// Whether it is expected to be allowed.
    pub expect_allow: bool,
    /// Whether that is how it is decided.
    pub passed: bool,
    /// How it is decided.
    pub explanation: Explanation,
}

/// Runs the inline tests of a file as the operator's.
///
/// # Errors
/// What keeps the file from loading but for a test that fails.
pub fn run_tests(repo: &RepoId, file: PolicyFile) -> Result<Tested, Vec<Diagnostic>> {
    let name = file.name().to_owned();
    let (tests, rules) = (file.tests.clone(), rules(&file));
    let grant = Grant::resolve_untested(repo, vec![(Layer::Operator, file)], crate::Lanes::ALL)?;
    let mut decided: BTreeSet<(String, u32)> = BTreeSet::new();
    let mut results = Vec::new();
    for test in tests {
        // Refused when the file was parsed.
        let Ok(explanation) = grant.explain(&test.call) else { continue };
        if explanation.file == name {
            decided.insert((explanation.rule.clone(), explanation.line));
        }
        let warned = explanation.warnings.iter().filter(|rule| rule.file == name);
        decided.extend(warned.map(|rule| (rule.id.clone(), rule.line)));
        results.push(TestResult {
            call: test.call,
            line: test.line,
            expect_allow: test.expect_allow,
            passed: explanation.is_allow() == test.expect_allow,
            explanation,
        });
    }
    let count = rules.len();
    let undecided =
        rules.into_iter().filter(|rule| !decided.contains(&(rule.id.clone(), rule.line))).collect();
    Ok(Tested { tests: results, undecided, rules: count })
}

/// What of a file can decide, by place.
fn rules(file: &PolicyFile) -> Vec<RuleRef> {
    let told = |id: &str, line: u32, because: &str| RuleRef {
        id: id.to_owned(),
        file: file.name().to_owned(),
        line,
        because: because.to_owned(),
    };
    let of_files = file.allow.iter().chain(&file.deny).map(|rule| told(&rule.id, rule.line, &rule.because));
    let of_jobs =
        file.job_allow.iter().chain(&file.job_deny).map(|rule| told(&rule.id, rule.line, &rule.because));
    let protected = file.change.protected.iter().map(|protected| {
        told("protected", protected.line, &format!("{:?} is protected", protected.pattern.as_str()))
    });
    let mut rules: Vec<RuleRef> = of_files.chain(of_jobs).chain(protected).collect();
    rules.sort_by_key(|rule| rule.line);
    rules
}
