//! What an attempt does with what it finds on its way: findings that go back, work that is given up, files that
//! policy keeps from jobs, and commands it does not let run.

use serde_json::{Value, json};

use crate::evil_model::{Scripted, calls};
use crate::support::{Ran, Scene};

const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"calc\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"calc\"\nversion = \"0.1.0\"\n"),
    (
        "src/lib.rs",
        "pub fn twice(n: u32) -> u32 {\n    n + 2\n}\n\npub fn one() -> u32 {\n    1\n}\n\n\
         #[test]\nfn two() {\n    assert_eq!(twice(2), 4);\n}\n\n#[test]\nfn is_one() {\n    assert_eq!(one(), 1);\n}\n",
    ),
    (".env", "TOKEN=hunter2-secret\n"),
];

fn run(scene: &Scene, transcript: &Value, more: &[&str]) -> Ran {
    let model = Scripted::start(scene, transcript);
    let mut args =
        vec!["run", "--repo", "repo", "--task", "twice(3) should be 6", "--model", "openai:scripted"];
    args.extend(["--model-price", "0,0", "--model-url", model.url(), "--out", "out", "--json"]);
    args.extend(more);
    scene.gloaming(&args)
}

fn new_test() -> (&'static str, Value) {
    let content = "#[test]\nfn three() {\n    assert_eq!(calc::twice(3), 6);\n}\n";
    ("write", json!({"path": "tests/three.rs", "content": content}))
}

fn events(scene: &Scene, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(scene.out().join("journal.jsonl")).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == kind).map(|event| event["data"].clone()).collect()
}

#[test]
fn a_failed_verification_goes_back_and_the_whole_replays() {
    let scene = Scene::new(FILES);
    let transcript = json!([
        calls(&[new_test(), ("edit", json!({"path": "src/lib.rs", "old": "n + 2", "new": "n * 2"}))]),
        calls(&[("edit", json!({"path": "src/lib.rs", "old": "    1\n", "new": "    2\n"}))]),
        calls(&[("finish", json!({"summary": "twice doubles"}))]),
        calls(&[("edit", json!({"path": "src/lib.rs", "old": "    2\n", "new": "    1\n"}))]),
        calls(&[("finish", json!({"summary": "twice doubles, and one is one again"}))]),
    ]);
    run(&scene, &transcript, &[]).exits(0);
    let told = events(&scene, "findings_told");
    assert_eq!(told.len(), 1);
    let text = told[0]["text"].as_str().unwrap();
    assert!(text.contains("is_one") && !text.contains("control"), "{text}");
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
}

#[test]
fn a_test_cannot_print_what_policy_lets_nobody_read() {
    let scene = Scene::new(FILES);
    let content = "#[test]\nfn leak() {\n    for path in [\".env\", \"/workspace/.env\"] {\n        \
                   println!(\"LEAK {:?}\", std::fs::read_to_string(path));\n    }\n    panic!(\"look\");\n}\n";
    let transcript = json!([
        calls(&[
            ("write", json!({"path": "tests/leak.rs", "content": content})),
            ("check", json!({"what": "test"})),
        ]),
        calls(&[("finish", json!({"summary": "done"}))]),
        calls(&[("give_up", json!({"reason": "underspecified", "summary": "no secret"}))]),
    ]);
    let ran = run(&scene, &transcript, &[]).exits(3);
    assert!(ran.stderr.contains("lets nobody read .env"), "{}", ran.stderr);
    let calls = events(&scene, "tool_call");
    let check = calls.iter().find(|call| call["record"]["tool"] == "check").expect("it was made");
    let shown = check["outcome"]["output"]["text"].as_str().unwrap();
    assert!(shown.contains("LEAK Err") && shown.contains("lets nobody read .env"), "{shown}");
    for name in ["journal.jsonl", "bowout.json", "attempt.diff"] {
        let text = std::fs::read_to_string(scene.out().join(name)).unwrap();
        assert!(!text.contains("hunter2"), "the secret is in {name}");
    }
}

#[test]
fn work_that_is_given_up_is_kept_to_look_at() {
    let scene = Scene::new(FILES);
    let transcript = json!([
        calls(&[new_test()]),
        calls(&[("give_up", json!({"reason": "underspecified", "summary": "which three?"}))]),
    ]);
    let ran = run(&scene, &transcript, &[]).exits(3);
    assert_eq!(ran.json()["reason_code"], "underspecified");
    let kept = std::fs::read_to_string(scene.out().join("attempt.diff")).unwrap();
    assert!(kept.contains("+++ b/tests/three.rs"), "{kept}");
    assert_eq!(scene.git(&["branch", "--list", "gloaming/*"]), "");
}

#[test]
fn a_policy_without_test_jobs_blocks_and_is_no_failure_of_the_machine() {
    let scene = Scene::new(FILES);
    let policy = "schema = 1\nextends = [\"preset:standard\"]\n\n[jobs.test]\nenabled = false\n";
    std::fs::write(scene.path().join("p.toml"), policy).unwrap();
    let ran = run(&scene, &json!([]), &["--policy", "p.toml"]).exits(3);
    assert_eq!(ran.json()["reason_code"], "policy_blocked");
    let bow_out = std::fs::read_to_string(scene.out().join("bowout.json")).unwrap();
    assert!(bow_out.contains("p.toml:5"), "{bow_out}");
}

#[test]
fn a_red_base_and_a_repository_without_tests_say_so() {
    let scene = Scene::new(FILES);
    scene.write(&[("tests/red.rs", "#[test]\nfn red() {\n    panic!(\"red on the base\");\n}\n")]);
    scene.write(&[("src/lib.rs", "pub fn broken( {\n")]);
    scene.commit("red");
    let ran = run(&scene, &json!([]), &[]).exits(3);
    assert_eq!(ran.json()["reason_code"], "baseline_red");

    let scene = Scene::new(&[("README.md", "nothing to run\n")]);
    let ran = run(&scene, &json!([]), &[]).exits(3);
    assert_eq!(ran.json()["reason_code"], "env_unbuildable");
}

#[test]
fn the_time_allowed_runs_out_into_a_bow_out() {
    let scene = Scene::new(FILES);
    let policy = "schema = 1\nextends = [\"preset:standard\"]\n\n[budget]\nwall = \"1s\"\n";
    std::fs::write(scene.path().join("p.toml"), policy).unwrap();
    // The base's tests sleep past it: nothing else decides when the time is over.
    scene.write(&[(
        "tests/slow.rs",
        "#[test]\nfn slow() {\n    std::thread::sleep(std::time::Duration::from_secs(60));\n}\n",
    )]);
    scene.commit("slow");
    let ran = run(&scene, &json!([]), &["--policy", "p.toml"]).exits(3);
    assert_eq!(ran.json()["reason_code"], "budget_exhausted");
}

#[test]
fn a_rename_refuses_source_it_cannot_read_and_reaches_what_gitignore_names() {
    const TASK: &str = "Rename the function twice to double everywhere";
    let scene = Scene::new(FILES);
    std::fs::write(scene.repo().join("latin.rs"), b"// caf\xe9\npub fn f() { twice(1); }\n").unwrap();
    scene.commit("latin");
    let args = ["run", "--repo", "repo", "--task", TASK, "--out", "out", "--json"];
    let ran = scene.gloaming(&args).exits(3);
    assert_eq!(ran.json()["reason_code"], "out_of_scope");
    assert!(ran.json()["summary"].as_str().unwrap().contains("latin.rs"), "{}", ran.stdout);

    let scene = Scene::new(FILES);
    scene.write(&[
        (".gitignore", "generated*\n"),
        ("tests/generated.rs", "#[test]\nfn g() {\n    calc::twice(1);\n}\n"),
    ]);
    scene.git(&["add", "--force", "tests/generated.rs"]);
    scene.commit("tracked though ignored");
    let ran = scene.gloaming(&args).exits(0);
    let branch = ran.json()["branch"].as_str().unwrap().to_owned();
    assert!(scene.git(&["show", &format!("{branch}:tests/generated.rs")]).contains("calc::double(1)"));
}

#[test]
fn a_repository_policy_that_is_a_link_or_no_text_blocks() {
    let args =
        ["run", "--repo", "repo", "--task", "Rename the function twice to double", "--out", "out", "--json"];
    let scene = Scene::new(FILES);
    std::fs::create_dir(scene.repo().join(".gloaming")).unwrap();
    std::os::unix::fs::symlink("../p.toml", scene.repo().join(".gloaming/policy.toml")).unwrap();
    scene.write(&[("p.toml", "schema = 1\n")]);
    scene.commit("link");
    let ran = scene.gloaming(&args).exits(3);
    assert_eq!(ran.json()["reason_code"], "policy_blocked");
    assert!(std::fs::read_to_string(scene.out().join("bowout.json")).unwrap().contains("no regular file"));

    let scene = Scene::new(FILES);
    std::fs::create_dir(scene.repo().join(".gloaming")).unwrap();
    std::fs::write(scene.repo().join(".gloaming/policy.toml"), b"schema = 1 # \xff\n").unwrap();
    scene.commit("latin");
    let ran = scene.gloaming(&args).exits(3);
    assert_eq!(ran.json()["reason_code"], "policy_blocked");
}
