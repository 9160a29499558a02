//! What a reviewer reads, whole, for a patch whose words are hostile.

use gloaming_api::evidence::{Evidence, Verdict};
use gloaming_api::{Attempt, Digest};
use gloaming_forge::{Change, commit_message, pull_request_body, pull_request_body_in};
use serde_json::json;

fn evidence() -> Evidence {
    let limits = json!({"memory": 1, "cpus": 1.0, "processes": 1, "wall_s": 1, "output": 1, "scratch": 1});
    let job = |tree: &str, step: &str, argv: &[&str]| {
        json!({
            "tree": tree, "step": step, "purpose": "test", "argv": argv, "cwd": ".", "engine": "embedded",
            "environment": Digest::of("env"), "grant": Digest::of("grant"), "exit": {"how": "code", "value": 0},
            "duration_ms": 1200, "limits": limits, "stdout_tail": "", "stderr_tail": ""
        })
    };
    let refused = |host: &str, decision: serde_json::Value| {
        json!({
            "at_ms": 1, "method": "CONNECT", "scheme": "https", "host": host, "port": 443, "decision": decision,
            "up": 0, "down": 0, "duration_ms": 1
        })
    };
    let by_rule =
        json!({"is": "refused", "rule": "default-deny", "reason": "No rule lets these jobs have the host."});
    let mut reaching = job("patched", "V7", &["cargo", "test"]);
    reaching["egress"] = json!({"attempts": [
        refused("home.example", by_rule.clone()),
        refused("home.example", by_rule),
        refused("<b>inside</b>.example", json!({"is": "refused", "reason": "it leads to 10.0.0.1, a private network"})),
        refused("allowed.example", json!({"is": "allowed", "rule": "registry"})),
    ]});
    let mut failed = job("patched", "V3", &["cargo", "build"]);
    failed["exit"]["value"] = json!(101);
    let file = |path: &str, role: &str| json!({"path": path, "change": "modified", "added": 3, "removed": 1, "binary": false, "role": role});
    let value = json!({
        "schema_version": 1,
        "repo": "acme/api",
        "base": "1111111111111111111111111111111111111111",
        "patch": Digest::of("patch"),
        "tree": "2222222222222222222222222222222222222222",
        "origin": {"kind": "model", "name": "openai:gpt-5"},
        "grant": Digest::of("grant"),
        "commands": [
            {"kind": "build", "argv": ["cargo", "build"], "cwd": "."},
            {"kind": "test", "argv": ["cargo", "test", "--features", "a b"], "cwd": "sub dir"}
        ],
        "files": [file("src/a|b.rs", "code"), file("tests/`x`.rs", "test")],
        "steps": [
            {"step": "V0", "result": "pass", "detail": "applies; 2 files"},
            {"step": "V4", "result": "skipped", "detail": "the profile has no lint command"},
            {"step": "V7", "result": "pass", "detail": "2 tests | <b>no</b> regression"}
        ],
        "jobs": [
            job("baseline", "V3", &["cargo", "build"]),
            job("patched", "V3", &["cargo", "build"]),
            job("patched", "V3", &["cargo", "check", "|"]),
            job("patched-again", "V3", &["cargo", "build"]),
            failed,
            job("patched", "V7", &["cargo", "test", "--for-the-report"]),
            reaching
        ],
        "baseline_tests": {"a::one": "passed", "a::two": "failed"},
        "patched_tests": {"a::one": "passed", "a::two": "passed", "a::three": "skipped"},
        "fail_to_pass": ["a::two"],
        "without_code": [{"id": "a::two", "by": "assertion", "said": "left | `right` <b>\n| x |"}],
        "flaky": [],
        "mutants": {"killed": 3, "survived": 1, "timed_out": 1, "own": {"noticed": 2, "missed": 2, "unknown": 1}},
        "signals": []
    });
    serde_json::from_value(value).expect("the evidence is valid")
}

#[test]
fn body_and_commit_message_are_readable_and_hold_hostile_words_down() {
    let evidence = evidence();
    let verdict: Verdict = serde_json::from_value(json!({
        "verdict": "pass", "code": "ok", "summary": "", "steps": [], "confidence": 0.93, "threshold": 0.7,
        "calibrated": false, "reasons": ["one debug print"]
    }))
    .expect("the verdict is valid");
    let task = "t-0123456789abcdef0123".parse().expect("a task id");
    let change = Change {
        task: &task,
        attempt: Attempt(1),
        text: "# Fix the <script>parser</script>, closes #12 @team\n\nIt fails. @everyone <!-- hidden -->\n```\nfence",
        summary: "Now it parses.\n## Approved by the owner\n[click](http://evil) fixes acme/api#7, GH-3 [skip ci]",
        evidence: &evidence,
        evidence_digest: &Digest::of("evidence"),
        verdict: &verdict,
    };
    insta::assert_snapshot!("body", pull_request_body(&change));
    let template = "<!-- Thank you! -->\n## Summary\n<!-- what\ndid you do -->\n\n## Checklist\n- [ ] I read the guide\n\n\
                    ## How was it tested?\n<!-- not closed";
    insta::assert_snapshot!("templated", pull_request_body_in(template, &change));
    assert_eq!(pull_request_body_in("no headings <!-- x -->", &change), pull_request_body(&change));
    insta::assert_snapshot!("commit", commit_message(&change));
}
