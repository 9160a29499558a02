//! What is known of a task before anybody is asked, and what somebody could ask for instead.

use serde_json::{Value, json};

use crate::resume::FILES;
use crate::support::{Ran, Scene};

/// Where nobody answers: a run that asks a model fails.
const NOBODY: &str = "http://127.0.0.1:9/v1";

fn run(scene: &Scene, task: &str, more: &[&str]) -> Ran {
    let mut args = vec!["run", "--repo", "repo", "--task", task, "--json"];
    args.extend(more);
    if !more.contains(&"--out") {
        args.extend(["--out", "out"]);
    }
    scene.gloaming(&args)
}

fn asked(scene: &Scene, task: &str, more: &[&str]) -> Ran {
    let model = ["--model", "openai:scripted", "--model-price", "0,0", "--model-url", NOBODY];
    run(scene, task, &[&model[..], more].concat())
}

fn bow_out(scene: &Scene) -> Value {
    serde_json::from_slice(&std::fs::read(scene.out().join("bowout.json")).unwrap()).unwrap()
}

fn journal(scene: &Scene) -> String {
    std::fs::read_to_string(scene.out().join("journal.jsonl")).unwrap()
}

/// The texts of the tasks that a bow-out names as what Gloaming could do itself.
fn patchable(bow_out: &Value) -> Vec<String> {
    let actions = bow_out["what_would_unblock"].as_array().unwrap().iter();
    let patchable = actions.filter(|action| action["patchable"] == true);
    patchable.map(|action| action["detail"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_task_for_protected_files_alone_costs_nothing() {
    let scene = Scene::new(FILES);
    scene.write(&[(".github/workflows/ci.yml", "on: push\n")]);
    scene.commit("ci");
    let result = asked(&scene, "Speed up .github/workflows/ci.yml by caching", &[]).exits(3).json();
    assert_eq!(
        (&result["reason_code"], &result["stage"]),
        (&json!("protected_path"), &json!("triage")),
        "{result}"
    );
    let journal = journal(&scene);
    assert!(!journal.contains("model_asked") && !journal.contains(r#""event":"job""#), "{journal}");
    let bow_out = bow_out(&scene);
    let first = bow_out["evidence"][0]["excerpt"].as_str().unwrap();
    assert!(
        first.starts_with("1 of 1 named files may not be changed: .github/workflows/ci.yml: "),
        "{first}"
    );
    // A replay has no history to look at: what was looked at is in the record.
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
    // Beside a file that may be changed it is only mentioned, and somebody is asked.
    let args = ["--out", "second"];
    let ran = asked(&scene, "calc/core.py fails in .github/workflows/ci.yml", &args);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
}

#[test]
fn a_policy_that_forbids_all_work_is_found_first() {
    let scene = Scene::new(FILES);
    for (policy, told) in [
        (
            "schema = 1\nrepos = [\"*/*\"]\n[[allow]]\nid = \"look\"\ntools = [\"read\", \"list\", \"search\"]\npaths = [\"**\"]\n",
            "no tool change",
        ),
        (
            "schema = 1\nrepos = [\"*/*\"]\nextends = [\"preset:standard\"]\n[jobs.test]\nenabled = false\n",
            "no test jobs",
        ),
    ] {
        let _ = std::fs::remove_dir_all(scene.out());
        std::fs::write(scene.path().join("policy.toml"), policy).unwrap();
        let result =
            asked(&scene, "twice(3) gives 5 and should give 6", &["--policy", "policy.toml"]).exits(3).json();
        assert_eq!(
            (&result["reason_code"], &result["stage"]),
            (&json!("policy_blocked"), &json!("triage")),
            "{result}"
        );
        assert!(result["summary"].as_str().unwrap().contains(told), "{result}");
        assert!(!journal(&scene).contains("model_asked"));
    }
}

#[test]
fn weights_of_the_operators_decide_and_travel_with_the_record() {
    let scene = Scene::new(FILES);
    let shown =
        scene.gloaming(&["gate", "show", "--repo", "repo", "--of", "tasks", "--json"]).exits(0).json();
    assert_eq!((&shown["file"], &shown["calibrated"]), (&Value::Null, &json!(false)), "{shown}");
    let mut weights = shown["weights"].clone();
    weights["features"]["unknown_places"]["weight"] = json!(9);
    std::fs::create_dir_all(scene.home()).unwrap();
    std::fs::write(scene.home().join("triage.json"), weights.to_string()).unwrap();
    let shown = scene.gloaming(&["gate", "show", "--repo", "repo", "--of", "tasks"]).exits(0);
    assert!(shown.stdout.contains("triage.json"), "{}", shown.stdout);
    let result = asked(&scene, "Repair app/models/user.py", &[]).exits(3).json();
    assert_eq!(result["reason_code"], "underspecified", "{result}");
    std::fs::remove_file(scene.home().join("triage.json")).unwrap();
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
    std::fs::write(scene.home().join("triage.json"), "{}").unwrap();
    let refused = run(&scene, "Repair app/models/user.py", &["--out", "other"]).exits(2);
    assert!(refused.json()["error"].as_str().unwrap().contains("triage.json"), "{}", refused.stdout);
}

#[test]
fn triages_weights_are_fitted_to_outcomes() {
    let scene = Scene::new(FILES);
    let line = |n: usize| {
        let open = n.is_multiple_of(3);
        json!({"features": {"open_question": u8::from(open), "unready": 0.5}, "merged": !open || n.is_multiple_of(9)})
    };
    let data: Vec<String> = (0..120).map(|n| line(n).to_string()).collect();
    std::fs::write(scene.path().join("outcomes.jsonl"), data.join("\n")).unwrap();
    let fitted =
        scene.gloaming(&["gate", "fit", "outcomes.jsonl", "--of", "tasks", "--json"]).exits(0).json();
    let weights = &fitted["weights"];
    assert_eq!(fitted["calibrated"], true, "{fitted:#}");
    assert!(weights["features"]["open_question"]["weight"].as_f64().unwrap() > 0.5, "{weights:#}");
    // No outcome shows it: it keeps what it had.
    assert_eq!(weights["features"]["suspicious"]["weight"], 6.0, "{weights:#}");
}

#[test]
fn what_is_too_large_names_its_parts_which_can_be_asked_for() {
    let scene = Scene::new(FILES);
    let text = "def half(n):\n    return n / 2\n";
    let files: Vec<(String, &str)> = ["a", "b"]
        .iter()
        .flat_map(|folder| (0..2).map(move |n| (format!("{folder}/m{n}.py"), text)))
        .collect();
    scene.write(&files.iter().map(|(path, text)| (path.as_str(), *text)).collect::<Vec<_>>());
    scene.commit("more");
    let policy = "schema = 1\nrepos = [\"*/*\"]\nextends = [\"preset:standard\"]\n[change]\nfiles = 3\n";
    std::fs::write(scene.path().join("policy.toml"), policy).unwrap();
    let task = "Replace `$A / 2` with `$A * 0.5` in all Python files";
    let result = run(&scene, task, &["--policy", "policy.toml"]).exits(3).json();
    assert_eq!(result["reason_code"], "too_large", "{result}");
    let parts = patchable(&bow_out(&scene));
    assert_eq!(parts, ["a", "b"].map(|place| format!("{task} in {place}")));
    // What is said to be Gloaming's to do is.
    for part in parts {
        let out = ["--policy", "policy.toml", "--out", if part.ends_with('a') { "part-a" } else { "part-b" }];
        assert_eq!(run(&scene, &part, &out).exits(0).json()["outcome"], "branch", "{part}");
    }
}

#[test]
fn a_part_that_needs_no_model_is_named() {
    let scene = Scene::new(FILES);
    let task = "The name says nothing. Rename the function twice to doubled everywhere. Then make it faster.";
    let result = run(&scene, task, &[]).exits(3).json();
    assert_eq!(result["reason_code"], "no_model", "{result}");
    assert_eq!(patchable(&bow_out(&scene)), ["Rename the function twice to doubled everywhere"]);
}
