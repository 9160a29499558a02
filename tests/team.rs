//! The team around the coder: who reads the task, who writes the failing test, who reviews. Their words are transcripts;
//! what they may do, and what counts of it, is the program's.

use serde_json::{Value, json};

use crate::evil_model::{Scripted, calls};
use crate::resume::FILES;
use crate::support::{Ran, Scene};

const FAILING: &str = "import unittest\n\nfrom calc import twice\n\n\nclass ThreeTest(unittest.TestCase):\n    def test_three(self):\n        \
                       self.assertEqual(twice(3), 6)\n";

fn run(scene: &Scene, transcript: &Value) -> Ran {
    let model = Scripted::start(scene, transcript);
    let task = "twice(3) gives 5 and should give 6";
    let mut args =
        vec!["run", "--repo", "repo", "--task", task, "--model", "openai:scripted", "--out", "out", "--json"];
    args.extend(["--model-price", "0,0", "--model-url", model.url()]);
    scene.gloaming(&args)
}

fn events(scene: &Scene, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(scene.out().join("journal.jsonl")).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == kind).map(|event| event["data"].clone()).collect()
}

fn stages(scene: &Scene) -> Vec<String> {
    events(scene, "stage_finished").iter().map(|data| data["stage"].as_str().unwrap().to_owned()).collect()
}

fn reading(changes: &Value) -> Value {
    let mut reading = json!({
        "bug": true, "checkable": true, "open_question": false, "several_tasks": false, "needs_credentials": false,
        "needs_network": false, "visual": false, "not_a_change": false, "suspicious": false
    });
    for (name, value) in changes.as_object().unwrap() {
        reading[name] = value.clone();
    }
    json!([calls(&[("classify", reading)])])
}

fn edit(old: &str, new: &str) -> (&'static str, Value) {
    ("edit", json!({"path": "calc/core.py", "old": old, "new": new}))
}

fn write_test(content: &str) -> (&'static str, Value) {
    ("write", json!({"path": "tests/test_three.py", "content": content}))
}

fn edit_test(old: &str, new: &str) -> (&'static str, Value) {
    ("edit", json!({"path": "tests/test_three.py", "old": old, "new": new}))
}

fn reproduced(fails_with: &str) -> Value {
    calls(&[("finish", json!({"summary": "twice(3) is 6", "fails_with": fails_with}))])
}

fn finished() -> Value {
    calls(&[("finish", json!({"summary": "twice doubles"}))])
}

fn reviewed(problems: &[&str]) -> Value {
    let finding =
        |problem: &&str| json!({"on": "patch", "path": "calc/core.py", "line": 5, "problem": problem});
    let findings: Vec<Value> = problems.iter().map(finding).collect();
    json!([calls(&[("review", json!({"veto": !problems.is_empty(), "findings": findings}))])])
}

#[test]
fn a_test_that_fails_comes_first_and_is_what_the_change_is_measured_by() {
    let scene = Scene::new(FILES);
    let transcript = json!({
        "triage": reading(&json!({})),
        "reproducer": [
            // Code is none of its business.
            calls(&[edit("n + 2", "n * 2"), write_test(FAILING), ("check", json!({"what": "test"}))]),
            reproduced("5 != 6"),
        ],
        "coder": [
            // Nor is the test of the coder's.
            calls(&[edit_test("6", "5"), edit("n + 2", "n * 2")]),
            finished(),
        ],
        "reviewer": reviewed(&[]),
    });
    let result = run(&scene, &transcript).exits(0).json();
    assert_eq!(result["outcome"], "branch");
    let expected = [
        "intake",
        "triage",
        "provision",
        "baseline",
        "reproduce",
        "validate_reproducer",
        "code",
        "freeze",
        "verify",
        "review",
        "gate",
    ];
    assert_eq!(stages(&scene), expected);
    let denied: Vec<(String, String)> = events(&scene, "tool_call")
        .iter()
        .filter(|call| call["record"]["decision"] == "deny")
        .map(|call| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&call["id"]), text(&call["outcome"]["error"]["rule"]))
        })
        .collect();
    let denial = |id: &str, rule: &str| (id.to_owned(), rule.to_owned());
    assert_eq!(
        denied,
        [denial("reproducer-call-1", "role-reproducer"), denial("coder-call-1", "role-coder")]
    );
    let validated = &events(&scene, "stage_finished")[5];
    assert!(validated["detail"].as_str().unwrap().contains("test_three"), "{validated}");
    let gate = events(&scene, "stage_finished").pop().unwrap()["detail"].as_str().unwrap().to_owned();
    let accepted = "the test that was written for the task notices a planted fault: tests.test_three.ThreeTest.test_three";
    assert!(gate.contains(accepted), "{gate}");
    let asked: Vec<String> =
        events(&scene, "model_asked").iter().map(|data| data["role"].as_str().unwrap().to_owned()).collect();
    assert_eq!(asked, ["triage", "reproducer", "reproducer", "coder", "coder", "reviewer"]);
    let begun = &events(&scene, "attempt_started")[0];
    assert_eq!(begun["prompts"].as_object().unwrap().len(), 5, "{begun}");
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
}

#[test]
fn a_bug_that_no_test_shows_is_not_worked_on() {
    let scene = Scene::new(FILES);
    let holds = FAILING.replace("twice(3), 6", "twice(2), 4");
    let transcript = json!({
        "triage": reading(&json!({})),
        "reproducer": [
            // It holds on the untouched code; then it fails, and not for the reason given.
            calls(&[write_test(&holds)]),
            reproduced("5 != 6"),
            calls(&[edit_test("twice(2), 4", "twice(3), 7")]),
            reproduced("5 != 6"),
        ],
    });
    let ran = run(&scene, &transcript).exits(3);
    assert_eq!(ran.json()["reason_code"], "not_reproducible", "{}", ran.stderr);
    let details: Vec<String> = events(&scene, "stage_finished")
        .iter()
        .filter(|data| data["stage"] == "validate_reproducer")
        .map(|data| data["detail"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        details,
        [
            "no new test fails on the untouched code",
            "no new test fails with the words that were given as the reason"
        ]
    );
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
}

/// A test that fails for the reason and would pass with nearly anything else: other tests notice what is broken.
#[test]
fn a_failing_test_that_notices_no_planted_fault_is_not_enough() {
    let scene = Scene::new(FILES);
    let weak = FAILING.replace("assertEqual(twice(3), 6)", "assertNotEqual(twice(3), 5)");
    let transcript = json!({
        "triage": reading(&json!({})),
        "reproducer": [calls(&[write_test(&weak)]), reproduced("5 == 5")],
        "coder": [
            calls(&[edit("n + 2", "n * 2")]),
            finished(),
            calls(&[edit("return n * 2", "return 2 * n")]),
            finished(),
        ],
        "reviewer": reviewed(&[]),
    });
    let result = run(&scene, &transcript).exits(3).json();
    assert_eq!(
        (&result["reason_code"], &result["stage"]),
        (&json!("low_confidence"), &json!("gate")),
        "{result}"
    );
    let summary = result["summary"].as_str().unwrap();
    assert!(summary.contains("does not notice when the changed lines are broken again"), "{result}");
    let told = events(&scene, "findings_told");
    assert_eq!(told.len(), 1, "{told:?}");
    let text = told[0]["text"].as_str().unwrap();
    assert!(
        text.contains("idle_tests at calc/core.py:") && text.contains("Keep the change to what"),
        "{text}"
    );
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
}

/// What the coder's own tests do not notice it is told once.
#[test]
fn tests_of_the_coders_that_notice_nothing_are_sent_back_once() {
    let weak = FAILING.replace("assertEqual(twice(3), 6)", "assertNotEqual(twice(3), 5)");
    for better in [true, false] {
        let scene = Scene::new(FILES);
        let content = if better { FAILING } else { weak.as_str() };
        let own = |content: &str| {
            ("write", json!({"path": "tests/test_own.py", "content": content, "overwrite": true}))
        };
        let transcript = json!({
            "triage": reading(&json!({"bug": false})),
            "coder": [
                calls(&[own(&weak), edit("n + 2", "n * 2")]),
                finished(),
                calls(&[own(content), edit("return n * 2", "return 2 * n")]),
                finished(),
            ],
            "reviewer": reviewed(&[]),
        });
        let result = run(&scene, &transcript).exits(0).json();
        assert_eq!(result["outcome"], "branch", "{result}");
        let told = events(&scene, "findings_told");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0]["text"].as_str().unwrap().contains("Test what the changed lines do"), "{told:?}");
        // In the end it is in the score.
        let judged = events(&scene, "judged").pop().unwrap();
        let moved = judged["verdict"]["moved"].as_array().cloned().unwrap_or_default();
        assert_eq!(moved.iter().any(|part| part["feature"] == "idle_tests"), !better, "{moved:?}");
    }
}

#[test]
fn what_is_no_bug_is_worked_on_without_a_test_beforehand() {
    let scene = Scene::new(FILES);
    let transcript = json!({
        "triage": reading(&json!({"bug": false})),
        // What it leaves behind is none of the change.
        "reproducer": [
            calls(&[write_test("import nowhere\n")]),
            calls(&[("give_up", json!({"reason": "not_reproducible", "summary": "there is nothing to fail"}))]),
        ],
        "coder": [
            calls(&[("write", json!({"path": "tests/test_own.py", "content": FAILING})), edit("n + 2", "n * 2")]),
            finished(),
        ],
    });
    run(&scene, &transcript).exits(0);
    let changed = scene.git(&[
        "diff",
        "--name-only",
        "HEAD",
        scene.git(&["branch", "--list", "--format=%(refname)", "gloaming/*"]).trim(),
    ]);
    assert_eq!(changed, "calc/core.py\ntests/test_own.py\n");
}

#[test]
fn a_veto_sends_back_once_and_then_ends_it() {
    let scene = Scene::new(FILES);
    let coder = json!([
        calls(&[("write", json!({"path": "tests/test_own.py", "content": FAILING})), edit("n + 2", "n * 2")]),
        finished(),
        calls(&[edit("return n * 2", "return 2 * n")]),
        finished(),
    ]);
    let transcript = json!({
        "triage": reading(&json!({"bug": false})),
        "coder": coder,
        "reviewer": reviewed(&["twice() of a string repeats it now"]),
    });
    let ran = run(&scene, &transcript).exits(3);
    let result = ran.json();
    assert_eq!(
        (&result["reason_code"], &result["stage"]),
        (&json!("low_confidence"), &json!("review")),
        "{result}"
    );
    assert!(result["summary"].as_str().unwrap().contains("repeats it now"), "{result}");
    let told = events(&scene, "findings_told");
    assert_eq!(told.len(), 1);
    assert!(
        told[0]["text"].as_str().unwrap().contains("calc/core.py:5 (patch): twice() of a string"),
        "{told:?}"
    );
    assert_eq!(events(&scene, "reviewed").len(), 2);
    assert!(scene.out().join("attempt.diff").exists());
    assert_eq!(scene.git(&["branch", "--list", "gloaming/*"]), "");
}

#[test]
fn a_task_that_cannot_end_well_is_not_begun() {
    for (read, code) in [
        (json!({"open_question": true, "checkable": false}), "underspecified"),
        (json!({"several_tasks": true}), "too_large"),
        (json!({"needs_credentials": true}), "needs_credentials"),
        (json!({"needs_network": true}), "needs_network"),
        (json!({"visual": true}), "out_of_scope"),
        (json!({"not_a_change": true}), "out_of_scope"),
        (json!({"suspicious": true}), "suspected_injection"),
    ] {
        let scene = Scene::new(FILES);
        let ran = run(&scene, &json!({"triage": reading(&read)})).exits(3);
        let result = ran.json();
        assert_eq!((&result["reason_code"], &result["stage"]), (&json!(code), &json!("triage")), "{read}");
        let triaged = &events(&scene, "triaged")[0];
        assert_eq!(triaged["feasibility"]["calibrated"], false, "{triaged}");
        assert_eq!(events(&scene, "job").len(), 0, "nothing was run for {read}");
    }
}
