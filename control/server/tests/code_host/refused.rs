//! What a worker that lies, or is of another version, is answered.

use std::sync::Arc;

use gloaming_api::task::Source;
use gloaming_api::{Attempt, Digest, RelPath, canonical_json};
use gloaming_forge::memory::MemoryHost;
use gloaming_server::Refusal;
use serde_json::{Value, json};

use crate::scene::{Changed, Result, Scene, start};

const CHANGE: &[Changed<'_>] =
    &[("src/lib.rs", "100644", Some("pub fn greet(name: &str) {}\n")), ("src/old.rs", "100644", None)];

fn told(change: impl FnOnce(&mut Result, &mut Value)) -> String {
    let host = Arc::new(MemoryHost::new(&[("src/lib.rs", "")], start()));
    let scene = Scene::new(host, "acme/api");
    scene.submit(Source::Issue { number: 12 }, true);
    let lease = scene.claim();
    let mut result = scene.result(&lease, &"b".repeat(40), &"c".repeat(40), CHANGE);
    let mut evidence: Value = serde_json::from_slice(&result.evidence).expect("JSON");
    let before = evidence.clone();
    change(&mut result, &mut evidence);
    if evidence != before {
        result.evidence = canonical_json(&evidence).into_bytes();
        result.change.evidence = Digest::of(&result.evidence);
    }
    match scene.judge(&result) {
        Ok(accepted) => format!("taken: {}", accepted.verdict.summary),
        Err(Refusal::Failed(error)) => format!("failed: {error}"),
        Err(Refusal::BowOut(bow_out)) => format!("{}: {}", bow_out.reason_code.as_str(), bow_out.summary),
    }
}

#[test]
fn each_lie_is_told_apart() {
    let path = |path: &str| RelPath::parse(path).expect("a path");
    let said = [
        told(|_, _| {}),
        told(|result, _| result.lease.attempt = Attempt(2)),
        told(|_, evidence| evidence["task"] = json!("t-0123456789abcdef0123")),
        told(|_, evidence| evidence["repo"] = json!("acme/other")),
        told(|result, _| result.change.base = "d".repeat(40)),
        told(|result, _| result.change.tree = "d".repeat(40)),
        told(|result, evidence| {
            result.change.tree = "HEAD".to_owned();
            evidence["tree"] = json!("HEAD");
        }),
        told(|result, _| result.patch.push(b'x')),
        told(|result, _| result.evidence.push(b'\n')),
        told(|_, evidence| evidence["approved_by"] = json!("everybody")),
        told(|_, evidence| evidence["files"] = json!([])),
        told(|result, _| drop(result.change.blobs.pop())),
        told(|result, _| result.change.blobs[1].content = result.change.blobs[0].content.clone()),
        told(|result, _| result.change.blobs.push(result.change.blobs[0].clone())),
        told(|result, _| result.change.blobs[0].mode = "160000".to_owned()),
        told(|result, evidence| {
            result.change.blobs[0].path = path(".github/workflows/ci.yml");
            evidence["files"][0]["path"] = json!(".github/workflows/ci.yml");
        }),
        told(|_, evidence| evidence["files"][0]["added"] = json!(100_000)),
        told(|_, evidence| evidence["steps"][5]["result"] = json!("fail")),
        told(|_, evidence| evidence["steps"] = json!([])),
        told(|_, evidence| evidence["patched_tests"]["greets"] = json!("failed")),
        told(|_, evidence| evidence["fail_to_pass"] = json!([])),
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
    taken: every required step passed; confidence 0.95, 0.60 needed
    verification_failed: the worker's result is not taken: its evidence is about another attempt
    verification_failed: the worker's result is not taken: its evidence is about another task
    verification_failed: the worker's result is not taken: its evidence is about another repository
    verification_failed: the worker's result is not taken: its evidence is about another base commit
    verification_failed: the worker's result is not taken: its evidence is about another tree
    verification_failed: the worker's result is not taken: its evidence is about another tree
    verification_failed: the worker's result is not taken: its evidence is about another patch
    verification_failed: the worker's result is not taken: its evidence is not canonical JSON
    verification_failed: the worker's result is not taken: its evidence is not canonical JSON
    verification_failed: the worker's result is not taken: evidence and uploaded files do not agree about src/lib.rs
    verification_failed: the worker's result is not taken: evidence and uploaded files do not agree about src/old.rs
    verification_failed: the worker's result is not taken: evidence and uploaded files do not agree about src/old.rs
    verification_failed: the worker's result is not taken: src/lib.rs is handed over twice, or is no file
    verification_failed: the worker's result is not taken: src/lib.rs has the mode "160000"
    protected_path: .github/workflows/ci.yml may not be changed: rule ci-configuration (builtin:floor:41)
    too_large: 100003 lines are changed, and 400 may be
    verification_failed: the control plane's gate does not pass it: V7: seen
    low_confidence: the control plane's gate does not pass it: V0 is missing, and nothing passes without it
    verification_failed: the control plane's gate does not pass it: 1 tests held before the patch and fail with it, greets first
    low_confidence: the control plane's gate does not pass it: a model changed code and no test fails without the change and passes with it
    "#);
}
