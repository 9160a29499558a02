//! One task from words to a branch, and what can be done with what it leaves.

use serde_json::{Value, json};

use crate::evil_model::{Scripted, calls};
use crate::support::Scene;

const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"calc\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"calc\"\nversion = \"0.1.0\"\n"),
    (
        "src/lib.rs",
        "//! See [`foo_bar`].\nmod inner;\n\n/// Doubles.\npub fn foo_bar(n: u32) -> u32 {\n    inner::twice(n)\n}\n",
    ),
    ("src/inner.rs", "// foo_bar calls this\npub fn twice(n: u32) -> u32 {\n    n + 2\n}\n"),
    ("tests/all.rs", "use calc::foo_bar;\n\n#[test]\nfn two() {\n    assert_eq!(foo_bar(2), 4);\n}\n"),
];

fn rename(scene: &Scene) -> Value {
    scene
        .gloaming(&[
            "run",
            "--repo",
            "repo",
            "--task",
            "Rename the function foo_bar to parse_bar everywhere",
            "--out",
            "out",
            "--json",
        ])
        .exits(0)
        .json()
}

#[test]
fn a_rename_ends_in_one_commit_on_a_branch_and_replays() {
    let scene = Scene::new(FILES);
    let head = scene.git(&["rev-parse", "HEAD"]);
    let result = rename(&scene);
    assert_eq!(result["outcome"], "branch");
    let branch = result["branch"].as_str().unwrap();
    assert_eq!(branch, format!("gloaming/{}", result["task"].as_str().unwrap()));
    assert_eq!(scene.git(&["rev-list", "--count", &format!("main..{branch}")]).trim(), "1");
    assert_eq!(scene.git(&["rev-parse", "HEAD"]), head);
    assert_eq!(scene.git(&["status", "--porcelain"]), "");
    let diff = scene.git(&["diff", "--stat", "main", branch]);
    assert!(
        diff.contains("src/lib.rs") && diff.contains("tests/all.rs") && diff.contains("src/inner.rs"),
        "{diff}"
    );
    for name in ["pr.md", "patch.diff", "evidence.json", "journal.jsonl"] {
        assert!(scene.out().join(name).exists(), "{name}");
    }
    assert!(!scene.out().join("bowout.json").exists());
    let message = scene.git(&["log", "-1", "--format=%B", branch]);
    assert!(message.starts_with("Rename the function foo_bar to parse_bar everywhere\n"), "{message}");
    let pr = std::fs::read_to_string(scene.out().join("pr.md")).unwrap();
    assert!(pr.contains("| tests passed | 1 | 1 |") && pr.contains("<!-- gloaming task="), "{pr}");

    // The evidence is sealed, about this commit, and its digest stands in the description.
    let sealed = std::fs::read(scene.out().join("evidence.json")).unwrap();
    let tree = scene.git(&["rev-parse", &format!("{branch}^{{tree}}")]);
    let genuine = scene.gloaming(&["evidence", "verify", "out/evidence.json", "--json"]).exits(0).json();
    assert_eq!((&genuine["ok"], genuine["tree"].as_str()), (&json!(true), Some(tree.trim())));
    assert!(pr.contains(gloaming_api::Digest::of(&sealed).as_str()), "{pr}");
    let mut changed = sealed;
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(scene.path().join("changed.json"), changed).unwrap();
    let refused = scene.gloaming(&["evidence", "verify", "changed.json", "--json"]).exits(1).json();
    assert_eq!(refused["ok"], false);

    let verified = scene.gloaming(&["journal", "verify", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(verified["ok"], true);
    let story = scene.gloaming(&["journal", "show", "out/journal.jsonl"]).exits(0).stdout;
    assert!(story.contains("baseline") && story.contains("branch gloaming/"), "{story}");
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
    assert!(
        replay["events"].as_u64().unwrap() > 10 && replay["head"].as_str().unwrap().len() > 60,
        "{replay:#}"
    );
    // A journal of many long answers is read too (100 steps may read and find tens of megabytes); that no tool gives them
    // is found.
    let text = std::fs::read_to_string(scene.out().join("journal.jsonl")).unwrap();
    let mut chain = gloaming_api::journal::Chain::default();
    let mut long = String::new();
    for event in gloaming_api::journal::parse(&text).unwrap() {
        let mut kind = event.kind;
        if let gloaming_api::journal::EventKind::ToolCall { outcome, .. } = &mut kind {
            outcome.output = Some(json!({"text": "x".repeat(1 << 20)}));
        }
        long.push_str(&serde_json::to_string(&chain.append(event.at, kind)).unwrap());
        long.push('\n');
    }
    assert!(long.len() > 5 << 20, "{}", long.len());
    std::fs::write(scene.out().join("long.jsonl"), long).unwrap();
    scene.gloaming(&["journal", "verify", "out/long.jsonl"]).exits(0);
    scene.gloaming(&["journal", "show", "out/long.jsonl"]).exits(0);
    let replay = scene.gloaming(&["replay", "out/long.jsonl", "--json"]).exits(1).json();
    let diverged = replay["diverged"].as_str().unwrap();
    assert!(diverged.starts_with("event ") && diverged.contains("recorded is tool_call"), "{replay:#}");
    // The base travels with the record: where the repository is not, it comes out the same.
    std::fs::rename(scene.repo(), scene.path().join("elsewhere")).unwrap();
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
    std::fs::rename(scene.path().join("elsewhere"), scene.repo()).unwrap();
    // A replay publishes nothing.
    assert_eq!(scene.git(&["branch", "--list", "gloaming/*"]).lines().count(), 1);
}

#[test]
fn a_rename_onto_a_taken_name_bows_out() {
    let scene = Scene::new(FILES);
    let ran = scene
        .gloaming(&[
            "run",
            "--repo",
            "repo",
            "--task",
            "Rename the function foo_bar to twice",
            "--out",
            "out",
            "--json",
        ])
        .exits(3);
    assert_eq!(ran.json()["reason_code"], "conflicting_requirements");
    let bow_out: Value =
        serde_json::from_slice(&std::fs::read(scene.out().join("bowout.json")).unwrap()).unwrap();
    assert!(bow_out["evidence"].to_string().contains("src/inner.rs"), "{bow_out:#}");
}

/// A model's transcript that fixes `twice` and adds a test for it.
fn fix() -> Value {
    json!([
        calls(&[("read", json!({"path": "src/inner.rs"})), ("search", json!({"pattern": "twice"}))]),
        calls(&[
            (
                "write",
                json!({"path": "tests/three.rs", "content": "#[test]\nfn three() {\n    assert_eq!(calc::foo_bar(3), 6);\n}\n"})
            ),
            ("check", json!({"what": "test_one", "selector": "three"})),
        ]),
        calls(&[
            ("edit", json!({"path": "src/inner.rs", "old": "n + 2", "new": "n * 2"})),
            ("diff", json!({})),
            ("check", json!({"what": "test"}))
        ]),
        calls(&[("finish", json!({"summary": "twice doubles for every n now"}))]),
    ])
}

fn run_model(scene: &Scene, transcript: &Value, code: i32) -> Value {
    let model = Scripted::start(scene, transcript);
    let args = [
        "run",
        "--repo",
        "repo",
        "--task",
        "foo_bar(3) should be 6",
        "--model",
        "openai:scripted",
        "--model-price",
        "1,1",
        "--model-url",
        model.url(),
        "--out",
        "out",
        "--json",
    ];
    scene.gloaming(&args).exits(code).json()
}

#[test]
fn a_models_fix_is_published_with_a_test_that_turned_green_and_replays() {
    let scene = Scene::new(FILES);
    let result = run_model(&scene, &fix(), 0);
    assert_eq!(result["outcome"], "branch");
    let shown = scene.gloaming(&["evidence", "show", "out/evidence.json", "--json"]).exits(0).json();
    assert_eq!(shown["authentic"], true);
    let evidence = &shown["evidence"];
    assert!(evidence["fail_to_pass"].to_string().contains("three"), "{}", evidence["fail_to_pass"]);
    assert!(result["cost"]["usd"].as_f64().unwrap() > 0.0);
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");

    // An answer that is changed, with the chain made whole again, must diverge.
    let text = std::fs::read_to_string(scene.out().join("journal.jsonl")).unwrap();
    // The model could see what it had changed of the commit it works on.
    assert!(text.contains("diff --git a/src/inner.rs b/src/inner.rs"), "{text}");
    let mut chain = gloaming_api::journal::Chain::default();
    let mut forged = String::new();
    for event in gloaming_api::journal::parse(&text).unwrap() {
        let line = serde_json::to_string(&event.kind).unwrap().replace("n * 2", "n + n");
        let event = chain.append(event.at, serde_json::from_str(&line).unwrap());
        forged.push_str(&serde_json::to_string(&event).unwrap());
        forged.push('\n');
    }
    std::fs::write(scene.out().join("forged.jsonl"), forged).unwrap();
    let replay = scene.gloaming(&["replay", "out/forged.jsonl", "--repo", "repo", "--json"]).exits(1).json();
    assert_eq!(replay["same"], false, "{replay:#}");
    assert!(replay["diverged"].as_str().unwrap().starts_with("event "), "{replay:#}");
    // Without what the stages handed on it cannot be replayed, and says what is missing.
    std::fs::write(scene.path().join("alone.jsonl"), &text).unwrap();
    let alone = scene.gloaming(&["replay", "alone.jsonl"]).exits(4);
    assert!(alone.stderr.contains("artifacts"), "{}", alone.stderr);

    // A line that is changed without that is found at once.
    std::fs::write(scene.path().join("broken.jsonl"), text.replacen("n * 2", "n + n", 1)).unwrap();
    scene.gloaming(&["journal", "verify", "broken.jsonl"]).exits(1);
    scene.gloaming(&["replay", "broken.jsonl"]).exits(2);
}

#[test]
fn a_fix_without_a_test_that_shows_it_bows_out() {
    let scene = Scene::new(FILES);
    let transcript = json!([
        calls(&[("edit", json!({"path": "src/inner.rs", "old": "n + 2", "new": "n * 2"}))]),
        calls(&[("finish", json!({"summary": "fixed"}))]),
        calls(&[("finish", json!({"summary": "fixed, really"}))]),
        calls(&[("finish", json!({"summary": "fixed, I said"}))]),
    ]);
    let result = run_model(&scene, &transcript, 3);
    assert_eq!(result["reason_code"], "low_confidence", "{result:#}");
}

#[test]
fn a_model_that_cannot_be_reached_is_infrastructure() {
    let scene = Scene::new(FILES);
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{unused}/v1");
    let args = [
        "run",
        "--repo",
        "repo",
        "--task",
        "foo_bar(3) should be 6",
        "--model",
        "openai:x",
        "--model-price",
        "1,1",
        "--model-url",
        &url,
        "--out",
        "out",
        "--json",
    ];
    let ran = scene.gloaming(&args).exits(4);
    assert_eq!(ran.json()["outcome"], "failed");
}

#[test]
fn an_interrupt_leaves_the_repository_as_it_was() {
    a_signal_leaves_the_repository_as_it_was("-INT");
}

#[test]
fn a_termination_signal_leaves_the_repository_as_it_was() {
    a_signal_leaves_the_repository_as_it_was("-TERM");
}

fn a_signal_leaves_the_repository_as_it_was(signal: &str) {
    let scene = Scene::new(FILES);
    // A listener that takes the connection and never answers: the run waits for its model.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let refs = scene.git(&["for-each-ref"]);
    let mut command = scene.command(&[
        "run",
        "--repo",
        "repo",
        "--task",
        "foo_bar(3) should be 6",
        "--model",
        "openai:x",
        "--model-price",
        "1,1",
        "--model-url",
        &url,
        "--out",
        "out",
        "--json",
    ]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let _waiting = listener.accept().unwrap();
    let status = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["outcome"], "cancelled");
    let text = std::fs::read_to_string(scene.out().join("journal.jsonl")).unwrap();
    assert!(text.lines().last().unwrap().contains("\"event\":\"cancelled\""), "the journal ends with it");
    assert_eq!(scene.git(&["for-each-ref"]), refs);
    assert_eq!(scene.git(&["status", "--porcelain"]), "");
    let work = scene.home().join("cache/work");
    let left: Vec<_> = std::fs::read_dir(work).map(|dir| dir.collect()).unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_url_is_cloned_and_the_branch_is_in_the_clone() {
    let scene = Scene::new(FILES);
    let url = format!("file://{}", scene.repo().display());
    let result = scene
        .gloaming(&["run", "--repo", &url, "--task", "Rename foo_bar to parse_bar", "--out", "out", "--json"])
        .exits(0)
        .json();
    let branch = result["branch"].as_str().unwrap();
    let found = scene.git(&["--git-dir", "../out/repo.git", "rev-parse", branch]);
    assert_eq!(found.trim().len(), 40);
    assert_eq!(scene.git(&["branch", "--list", "gloaming/*"]), "");
}

#[test]
fn patches_are_judged_by_the_operators_weights_and_the_policys_ratio_of_costs() {
    let scene = Scene::new(FILES);
    let shown = scene.gloaming(&["gate", "show", "--json"]).exits(0).json();
    assert_eq!((&shown["file"], &shown["cost_ratio"]), (&Value::Null, &json!(1.5)));
    let mut weights = shown["weights"].clone();
    weights["bias"] = json!(2.0);
    let home = scene.home();
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("weights.json"), weights.to_string()).unwrap();
    let own = scene.gloaming(&["gate", "show", "--json"]).exits(0).json();
    assert_ne!(own["digest"], shown["digest"]);

    // What the attempt was judged by is in its journal, so that it replays when the operator has other weights by then.
    rename(&scene);
    let journal = std::fs::read_to_string(scene.out().join("journal.jsonl")).unwrap();
    assert!(journal.contains(own["digest"].as_str().unwrap()), "{journal}");
    std::fs::remove_file(home.join("weights.json")).unwrap();
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
    let genuine = scene.gloaming(&["evidence", "verify", "out/evidence.json", "--json"]).exits(0).json();
    assert_eq!((&genuine["weights"], &genuine["built_in_weights"]), (&own["digest"], &json!(false)));

    // What was judged can be judged anew by anybody's weights, without running anything.
    let strict = scene.path().join("strict.json");
    let mut weights = shown["weights"].clone();
    weights["bias"] = json!(-2.0);
    std::fs::write(&strict, weights.to_string()).unwrap();
    let swapped =
        scene.gloaming(&["replay", "out/journal.jsonl", "--swap", "gate=strict.json", "--json"]).exits(1);
    let swapped = swapped.json();
    let verdict = |when: &str| swapped["verdicts"][0][when]["verdict"].as_str().unwrap().to_owned();
    assert_eq!((verdict("recorded"), verdict("now")), ("pass".into(), "bow_out".into()), "{swapped:#}");
    let narrow = "schema = 1\nextends = [\"preset:standard\"]\n\n[[deny]]\nid = \"no-src\"\ntools = [\"*\"]\npaths = [\"src/**\"]\nbecause = \"no\"\n";
    std::fs::write(scene.path().join("narrow.toml"), narrow).unwrap();
    let swapped =
        scene.gloaming(&["replay", "out/journal.jsonl", "--swap", "policy=narrow.toml", "--json"]).exits(1);
    let calls = swapped.json()["calls"].as_array().unwrap().clone();
    assert!(!calls.is_empty() && calls.iter().all(|call| call["now_allowed"] == false), "{calls:?}");
    let wrong = scene.gloaming(&["replay", "out/journal.jsonl", "--swap", "model=x"]).exits(2);
    assert!(wrong.stderr.contains("write gate=FILE"), "{}", wrong.stderr);

    // A policy for whose author no patch is sure enough.
    let policy =
        "schema = 1\nrepos = [\"*\"]\nextends = [\"preset:standard\"]\n\n[gate]\ncost_ratio = 100000\n";
    std::fs::write(scene.path().join("sure.toml"), policy).unwrap();
    let task = "Rename the function foo_bar to parse_bar everywhere";
    let args =
        ["run", "--repo", "repo", "--policy", "sure.toml", "--task", task, "--out", "out-sure", "--json"];
    let bowed = scene.gloaming(&args).exits(3).json();
    assert_eq!(bowed["reason_code"], "quality_gate", "{bowed:#}");
    let kept = std::fs::read_to_string(scene.path().join("out-sure/bowout.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let threshold = kept["threshold"].as_f64().unwrap();
    assert!(threshold > 0.9999 && kept["confidence"].as_f64().unwrap() < threshold, "{kept:#}");

    // Weights that cannot be read are never taken for those of the build.
    std::fs::write(home.join("weights.json"), "{}").unwrap();
    let told =
        scene.gloaming(&["run", "--repo", "repo", "--task", task, "--out", "out-bad", "--json"]).exits(2);
    assert!(told.stdout.contains("weights.json holds no weights"), "{}", told.stdout);
}
