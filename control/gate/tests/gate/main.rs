//! The gate from outside.

mod envelope;
mod fit;
mod judge;
mod openssl;
mod score;

use std::collections::BTreeMap;

use gloaming_api::evidence::{
    ChangedFile, Evidence, FileChange, FileRole, Finding, Origin, Signal, Step, StepResult, TestStatus,
    Verdict,
};
use gloaming_api::{Digest, RelPath};

/// Evidence of a patch that nothing speaks against.
fn good() -> Evidence {
    Evidence {
        schema_version: 1,
        task: None,
        attempt: None,
        repo: "acme/api".parse().unwrap(),
        base: "0".repeat(40),
        patch: Digest::of("patch"),
        tree: Some("1".repeat(40)),
        origin: Origin::External,
        grant: Digest::of("grant"),
        environment: Some(Digest::of("environment")),
        commands: Vec::new(),
        files: vec![ChangedFile {
            path: RelPath::parse("src/lib.rs").unwrap(),
            change: FileChange::Modified,
            added: 3,
            removed: 1,
            binary: false,
            role: FileRole::Code,
        }],
        steps: ["V0", "V1", "V2", "V3", "V4", "V5", "V6", "V7", "V8", "V9", "V10"]
            .map(|name| step(name, StepResult::Pass, None))
            .to_vec(),
        jobs: Vec::new(),
        baseline_tests: BTreeMap::from([("a".into(), TestStatus::Passed)]),
        patched_tests: BTreeMap::from([("a".into(), TestStatus::Passed)]),
        fail_to_pass: Vec::new(),
        without_code: Vec::new(),
        flaky: Vec::new(),
        flakes: Vec::new(),
        findings: Vec::new(),
        coverage: None,
        mutants: None,
        asked: None,
        sent_back: 0,
        signals: Vec::new(),
        journal_head: None,
        journal_length: None,
    }
}

fn step(name: &str, result: StepResult, code: Option<Finding>) -> Step {
    Step { step: name.into(), result, code, detail: format!("detail of {name}") }
}

fn set(evidence: &mut Evidence, name: &str, result: StepResult, code: Option<Finding>) {
    evidence.steps.retain(|step| step.step != name);
    evidence.steps.push(step(name, result, code));
}

fn signal(name: &str) -> Signal {
    Signal { name: name.into(), path: RelPath::parse("src/lib.rs").unwrap(), line: 1, detail: String::new() }
}

/// `verdict code reason: summary`.
fn shown(verdict: &Verdict) -> String {
    let kind = serde_json::to_value(verdict.verdict).unwrap();
    let reason = verdict.reason_code.map_or("-", |reason| reason.as_str());
    format!("{} {} {reason}: {}", kind.as_str().unwrap(), verdict.code, verdict.summary)
}
