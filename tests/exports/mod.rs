//! Runs in the forms of others, read by the code of those others where it is at hand.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::evil_model::{Scripted, calls};
use crate::resume::FILES;
use crate::support::{Scene, partner};

const TASK: &str = "twice(3) gives 5 and should give 6";

const FAILING: &str = "import unittest\n\nfrom calc import twice\n\n\nclass ThreeTest(unittest.TestCase):\n    def test_three(self):\n        \
                       self.assertEqual(twice(3), 6)\n";

/// A value that the operator holds as a secret, and one that nobody holds but that looks like a token. Assembled here, so
/// that this file holds no secret's shape itself.
const HELD: &str = "correct-horse-battery";

fn token() -> String {
    format!("ghp_{}", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8")
}

fn run(scene: &Scene, out: &str, transcript: &Value, code: i32) -> Value {
    let model = Scripted::start(scene, transcript);
    let mut args = vec!["run", "--repo", "repo", "--task", TASK, "--model", "openai:scripted", "--out", out];
    args.extend(["--model-price", "1,2", "--model-url", model.url(), "--json"]);
    scene.gloaming(&args).exits(code).json()
}

fn edit(old: &str, new: &str) -> (&'static str, Value) {
    ("edit", json!({"path": "calc/core.py", "old": old, "new": new}))
}

fn finish(more: &Value) -> Value {
    let mut args = json!({"summary": "twice doubles"});
    if let Some(text) = more.as_str() {
        args["fails_with"] = json!(text);
    }
    calls(&[("finish", args)])
}

/// A run that ends in a branch, one of the same task that verification sends away, and one that gives up.
fn three_runs() -> Scene {
    let scene = Scene::new(FILES);
    std::fs::write(scene.path().join("value"), HELD).expect("write");
    scene.gloaming(&["secrets", "set", "TOKEN", "--file", "value"]).exits(0);
    std::fs::create_dir(scene.path().join("runs")).expect("mkdir");
    let reading = json!({
        "bug": true, "checkable": true, "open_question": false, "several_tasks": false, "needs_credentials": false,
        "needs_network": false, "visual": false, "not_a_change": false, "suspicious": false
    });
    let good = json!({
        "triage": [calls(&[("classify", reading)])],
        "reproducer": [
            calls(&[("write", json!({"path": "tests/test_three.py", "content": FAILING}))]),
            finish(&json!("5 != 6")),
        ],
        "coder": [
            calls(&[("search", json!({"pattern": format!("{} {HELD}", token()), "literal": true})), edit("n + 2", "n * 2")]),
            finish(&Value::Null),
        ],
    });
    run(&scene, "runs/good", &good, 0);
    let worse = |old: &str, new: &str| calls(&[edit(old, new), ("finish", json!({"summary": "done"}))]);
    let bad = json!([
        worse("sum(values)", "max(values)"),
        worse("max(values)", "min(values)"),
        worse("min(values)", "max(values)")
    ]);
    let ended = run(&scene, "runs/bad", &bad, 3);
    assert_eq!(ended["reason_code"], "verification_failed");
    let idle = json!([calls(&[("give_up", json!({"reason": "underspecified", "summary": "what is six?"}))])]);
    run(&scene, "runs/idle", &idle, 3);
    scene
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn lines(path: &Path) -> Vec<Value> {
    read(path).lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Has a file read by the program whose format it is; none where that is not installed.
fn by_others(form: &str, file: &Path) -> Option<Value> {
    let folder = partner("GLOAMING_FORMATS_DIR", "exports")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exports/read.py");
    let python = folder.join("bin/python");
    let output = Command::new(python).arg(script).arg(form).arg(file).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("an object"))
}

/// Who speaks, and what each calls.
fn told(messages: &Value) -> Vec<String> {
    let messages = messages.as_array().expect("messages");
    let told = messages.iter().map(|message| {
        let role = message["role"].as_str().expect("a role");
        let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> =
            calls.iter().map(|call| call["function"]["name"].as_str().expect("a name")).collect();
        format!("{role} {}", names.join(" ")).trim().to_owned()
    });
    told.collect()
}

#[test]
fn runs_are_written_in_the_forms_of_others_with_secrets_taken_out() {
    let scene = three_runs();
    trajectories(&scene);
    predictions(&scene);
    merged_conversations(&scene);
    pairs(&scene);
    let fit = scene.gloaming(&["export", "runs", "--format", "outcomes", "--to", "fit.jsonl", "--json"]);
    assert_eq!(fit.exits(0).json()["written"], 1);
    let line = &lines(&scene.path().join("fit.jsonl"))[0];
    assert_eq!(line["merged"], true);
    assert!(line["envelope"]["payload"].is_string(), "{line}");
    let key = scene.home().join("keys/evidence.pub.pem");
    let fitted = scene.gloaming(&["gate", "fit", "fit.jsonl", "--key", &key.to_string_lossy()]);
    // It reads and checks what is sealed; one outcome is too few to fit anything to.
    assert!(fitted.stderr.contains("1 merged and 0 other outcomes"), "{fitted:?}");
    broken(&scene);
}

fn trajectories(scene: &Scene) {
    let ran =
        scene.gloaming(&["export", "runs", "--format", "atif", "--to", "atif", "--json"]).exits(0).json();
    assert_eq!(ran["written"], 3, "{ran:#}");
    let taken: Vec<&str> =
        ran["scrubbed"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    assert_eq!(taken, ["a GitHub token", "the operator's secret TOKEN"]);
    let file = scene.path().join("atif/good.json");
    let text = read(&file);
    assert!(!text.contains(HELD) && !text.contains(&token()), "{text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    let steps = document["steps"].as_array().unwrap();
    let told: Vec<String> = steps
        .iter()
        .map(|step| {
            let calls = step["tool_calls"].as_array().cloned().unwrap_or_default();
            let calls: Vec<&str> = calls.iter().map(|call| call["function_name"].as_str().unwrap()).collect();
            let message = step["message"].as_str().unwrap().split(':').next().unwrap();
            format!("{} {message} {}", step["source"].as_str().unwrap(), calls.join(" ")).trim().to_owned()
        })
        .collect();
    insta::assert_json_snapshot!(told, @r#"
    [
      "user twice(3) gives 5 and should give 6",
      "system intake",
      "system origin",
      "system The triage is asked.",
      "system triage",
      "system provision",
      "system baseline",
      "agent  outline",
      "system The reproducer is asked.",
      "system reproduce",
      "system validate_reproducer",
      "agent  search edit",
      "agent  finish",
      "system code",
      "system freeze",
      "system verify",
      "system The reviewer is asked.",
      "system review",
      "system gate",
      "system publish"
    ]
    "#);
    assert_eq!(document["final_metrics"]["total_prompt_tokens"], 6000);
    assert_eq!(document["extra"]["end"]["outcome"], "branch");
    for name in ["good", "bad", "idle"] {
        if let Some(read) = by_others("atif", &scene.path().join(format!("atif/{name}.json"))) {
            assert_eq!((&read["valid"], &read["version"]), (&json!(true), &json!("ATIF-v1.7")), "{read:#}");
        }
    }
    // One run alone is one document, on standard output.
    let one = scene.gloaming(&["export", "runs/idle", "--format", "atif"]).exits(0);
    assert_eq!(serde_json::from_str::<Value>(&one.stdout).unwrap()["schema_version"], "ATIF-v1.7");
    let many = scene.gloaming(&["export", "runs", "--format", "atif"]).exits(2);
    assert!(many.stderr.contains("--to DIR is needed"), "{}", many.stderr);
}

fn predictions(scene: &Scene) {
    scene.gloaming(&["export", "runs", "--format", "preds", "--to", "preds.json"]).exits(0);
    let file = scene.path().join("preds.json");
    let all: Value = serde_json::from_str(&read(&file)).unwrap();
    assert_eq!(all["good"]["model_patch"], read(&scene.path().join("runs/good/patch.diff")));
    assert_eq!(all["bad"]["model_patch"], "");
    assert_eq!(
        all["good"]["model_name_or_path"],
        format!("gloaming-{}+openai:scripted", env!("CARGO_PKG_VERSION"))
    );
    if let Some(read) = by_others("preds", &file) {
        assert_eq!(read, json!({"valid": true, "instances": ["bad", "good", "idle"], "patched": ["good"]}));
    }
    let again = scene.gloaming(&["export", "runs", "--format", "preds", "--to", "preds.json"]).exits(2);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    let twice = scene.gloaming(&["export", "runs", "runs/good", "--format", "preds"]).exits(2);
    assert!(twice.stderr.contains("there are two runs named \"good\""), "{}", twice.stderr);
}

fn merged_conversations(scene: &Scene) {
    let export = |to: &str| {
        scene.gloaming(&["export", "runs", "--format", "chat", "--to", to, "--json"]).exits(0).json()
    };
    // Nobody has said that anything was merged.
    let none = export("chat");
    assert_eq!((&none["written"], &none["to"]), (&json!(0), &Value::Null));
    let left_out = json!({
        "bowed out: underspecified": 1, "bowed out: verification_failed": 1, "no outcome is recorded": 1
    });
    assert_eq!(none["left_out"], left_out);
    assert!(!scene.path().join("chat").exists());
    let refused = scene.gloaming(&["outcome", "runs/bad", "merged"]).exits(2);
    assert!(refused.stderr.contains("did not end in a branch"), "{}", refused.stderr);

    scene.gloaming(&["outcome", "runs/good", "merged", "--reason", "reads well"]).exits(0);
    let shown = scene.gloaming(&["outcome", "runs/good"]).exits(0).stdout;
    assert!(shown.starts_with("merged (") && shown.ends_with("): reads well\n"), "{shown}");
    let made = export("chat");
    assert_eq!(made["written"], 2, "{made:#}");
    let data = lines(&scene.path().join("chat/data.jsonl"));
    assert_eq!(told(&data[0]["messages"]), ["system", "user", "assistant write", "tool", "assistant finish"]);
    assert_eq!(
        told(&data[1]["messages"]),
        ["system", "user", "assistant search edit", "tool", "tool", "assistant finish"]
    );
    let coder = &data[1];
    assert_eq!(coder["metadata"]["role"], "coder");
    let called = &coder["messages"][2]["tool_calls"][0];
    assert_eq!(
        called["function"]["arguments"],
        r#"{"literal":true,"pattern":"[a GitHub token was here] [secret TOKEN]"}"#
    );
    assert_eq!(called["id"], coder["messages"][3]["tool_call_id"]);
    let tools = coder["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"edit") && names.contains(&"check") && names.contains(&"finish"), "{names:?}");
    let sheet = read(&scene.path().join("chat/DATASHEET.md"));
    for row in [
        "| runs looked at | 3 |",
        "| lines | 2 |",
        "| tool calls | 5 |",
        "| lines, repository local/repo | 2 |",
        "| bowed out: verification_failed | 1 |",
        "| a GitHub token | 1 | 1 |",
        "| the operator's secret TOKEN | 1 | 1 |",
    ] {
        assert!(sheet.contains(row), "{row} is not in\n{sheet}");
    }

    // What was taken back is training data no more.
    scene.gloaming(&["outcome", "runs/good", "reverted"]).exits(0);
    assert_eq!(export("chat-again")["left_out"]["reverted"], 1);
    scene.gloaming(&["outcome", "runs/good", "merged"]).exits(0);
}

fn pairs(scene: &Scene) {
    let ran = scene.gloaming(&["export", "runs", "--format", "preferences", "--to", "pairs", "--json"]);
    let ran = ran.exits(0).json();
    assert_eq!(ran["written"], 1, "{ran:#}");
    let pair = &lines(&scene.path().join("pairs/data.jsonl"))[0];
    assert_eq!(told(&pair["prompt"]), ["system", "user"]);
    assert_eq!(told(&pair["chosen"]), ["assistant search edit", "tool", "tool", "assistant finish"]);
    let rejected = told(&pair["rejected"]);
    assert_eq!(rejected.iter().filter(|said| *said == "assistant edit finish").count(), 3, "{rejected:?}");
    let findings = pair["rejected"][2]["content"].as_str().unwrap();
    assert!(findings.contains("does not pass"), "{findings}");
    let why = (&pair["metadata"]["chosen_as"], &pair["metadata"]["rejected_as"]);
    assert_eq!(why, (&json!("merged"), &json!("verification_failed")));
    let sheet = read(&scene.path().join("pairs/DATASHEET.md"));
    assert!(sheet.contains("| lines | 1 |") && sheet.contains("makes a pair with it | 1 |"), "{sheet}");
}

fn broken(scene: &Scene) {
    let file = scene.path().join("runs/idle/journal.jsonl");
    let text = read(&file).replace("what is six?", "what is nine?");
    std::fs::write(&file, text).expect("write");
    for format in ["atif", "preds", "chat", "preferences", "outcomes"] {
        let ran = scene.gloaming(&["export", "runs", "--format", format, "--to", "refused"]).exits(2);
        assert!(ran.stderr.contains("runs/idle/journal.jsonl is not a whole journal"), "{}", ran.stderr);
        assert!(!scene.path().join("refused").exists());
    }
    let file = scene.path().join("runs/good/outcome.jsonl");
    let mut outcome = lines(&file).remove(0);
    outcome["journal"] = outcome["patch"].take();
    outcome["patch"] = outcome["journal"].clone();
    std::fs::write(&file, format!("{outcome}\n")).expect("write");
    let ran = scene.gloaming(&["export", "runs/good", "--format", "atif"]).exits(2);
    assert!(ran.stderr.contains("outcome.jsonl:1: the outcome is about another journal"), "{}", ran.stderr);
}
