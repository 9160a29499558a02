//! `gloaming policy` as an author uses it, and that the program obeys what it tells.

use gloaming_api::{Digest, canonical_json};
use serde_json::json;

use crate::support::Scene;

const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"calc\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"calc\"\nversion = \"0.1.0\"\n"),
    ("src/lib.rs", "//! See [`foo_bar`].\npub fn foo_bar(n: u32) -> u32 {\n    n + 2\n}\n"),
    ("tests/all.rs", "use calc::foo_bar;\n\n#[test]\nfn two() {\n    assert_eq!(foo_bar(2), 4);\n}\n"),
    ("docs/a.md", "a\n"),
    ("docs/b.md", "b\n"),
    (
        ".gloaming/policy.toml",
        "schema = 1\n[[deny]]\nid = \"no-docs\"\ntools = [\"*\"]\naccess = \"write\"\npaths = [\"docs/\"]\nbecause = \"Docs have a team.\"\n",
    ),
];

const RENAME: &str = "Rename the function foo_bar to parse_bar everywhere";

fn put(scene: &Scene, name: &str, text: &str) {
    let path = scene.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn an_author_writes_checks_tests_and_asks() {
    let scene = Scene::new(FILES);
    let made = scene
        .gloaming(&["policy", "new", "acme/api", "--from", "rust-library", "-o", "api.toml", "--json"])
        .exits(0)
        .json();
    assert_eq!((&made["file"], &made["preset"]), (&json!("api.toml"), &json!("rust-library")));
    put(
        &scene,
        "policies/base/common.toml",
        "schema = 1\nextends = [\"preset:standard\"]\n[budget]\nsteps = 9\n",
    );
    put(
        &scene,
        "policies/api.toml",
        "schema = 1\nrepos = [\"acme/api\"]\nextends = [\"file:base/common.toml\"]\n[[deny]]\nid = \"a\"\ntools = [\"*\"]\npaths = [\"a/\"]\nbecause = \"x\"\n[[deny]]\nid = \"b\"\ntools = [\"*\"]\npaths = [\"b/\"]\nbecause = \"x\"\n[[test]]\ncall = \"read a/x\"\nexpect = \"deny\"\n",
    );
    put(&scene, "policies/web.toml", "schema = 1\nrepos = [\"acme/web\"]\nextends = [\"preset:node-web\"]\n");
    let told = scene.gloaming(&["policy", "check", "policies"]).exits(0);
    assert_eq!(told.stdout, "3 files ok\n");
    let told = scene.gloaming(&["policy", "test", "policies", "--coverage"]).exits(0);
    assert!(told.stdout.contains("policies/api.toml:9: rule b decided no test"), "{}", told.stdout);
    assert!(told.stdout.ends_with("1 test run in 3 files, 0 failed\n"), "{}", told.stdout);
    put(&scene, "bad.toml", "schema = 1\n[[test]]\ncall = \"read .env\"\nexpect = \"allow\"\n");
    let told = scene.gloaming(&["policy", "test", "bad.toml", "--json"]).exits(1).json();
    assert_eq!((&told["ok"], &told["failed"], &told["run"]), (&json!(false), &json!(1), &json!(1)));

    // A folder's policies: those for the repository count.
    let explain = |more: &[&str], call: &str, code: i32| {
        let args = [&["policy", "explain", "--json"], more, &[call]].concat();
        scene.gloaming(&args).exits(code).json()
    };
    let api = &["--repo", "acme/api", "--policy", "policies"];
    assert_eq!(explain(api, "read a/x", 5)["rule"], "a");
    assert_eq!(explain(&["--repo", "acme/web", "--policy", "policies"], "read a/x", 0)["layer"], "operator");
    scene.gloaming(&["policy", "explain", "--repo", "acme/other", "--policy", "policies", "read a"]).exits(2);
    scene.gloaming(&["policy", "explain", "--repo", "no such thing", "read a"]).exits(2);
    // The repository's own policy counts, and what else an edit opens is of its files.
    let told = explain(&["--repo", "repo"], "edit docs/a.md", 5);
    assert_eq!((&told["rule"], &told["layer"]), (&json!("no-docs"), &json!("repository")));
    assert_eq!(told["flip"]["edits"][0]["edit"], "take \"docs/\" out of `paths` of rule no-docs");
    assert_eq!(told["flip"]["files"], 7);
    assert!(told["flip"]["others"].as_array().unwrap().contains(&json!("edit docs/b.md")), "{told:#}");
    let preset = explain(&["--policy", "preset:read-only"], "edit src/lib.rs", 5);
    assert_eq!(preset["layer"], "operator");

    let shown = scene.gloaming(&["policy", "show", "--repo", "repo", "--json"]).exits(0).json();
    let canonical = canonical_json(&shown["grant"]);
    assert_eq!(Digest::of(canonical).as_str(), shown["digest"]);
    let again = scene.gloaming(&["policy", "show", "--repo", "repo", "--json"]).exits(0);
    assert_eq!(again.json(), shown, "the same inputs give the same bytes");
    assert!(shown["grant"]["tools"]["edit"].as_str().unwrap().starts_with("sha256:"));
    scene.gloaming(&["policy", "show", "nothing"]).exits(2);

    let schema = scene.gloaming(&["policy", "schema"]).exits(0).json();
    assert!(schema["properties"]["allow"].is_object());
}

#[test]
fn what_a_run_needed_is_learned_and_is_enough_to_run_again() {
    let scene = Scene::new(FILES);
    let run = |out: &str, policy: &[&str]| {
        let args = [&["run", "--repo", "repo", "--task", RENAME, "--out", out, "--json"], policy].concat();
        scene.gloaming(&args)
    };
    assert_eq!(run("out", &[]).exits(0).json()["outcome"], "branch");
    // Every call and job cites the grant that is shown.
    let shown = scene.gloaming(&["policy", "show", "--repo", "repo", "--json"]).exits(0).json();
    let events = scene.gloaming(&["journal", "show", "out/journal.jsonl", "--json"]).exits(0).json();
    let mut cited = 0;
    for event in events["events"].as_array().unwrap() {
        let grant = match event["event"].as_str().unwrap() {
            "attempt_started" => &event["data"]["grant"],
            "tool_call" | "job" => &event["data"]["record"]["grant"],
            _ => continue,
        };
        assert_eq!(*grant, shown["digest"], "{event:#}");
        cited += 1;
    }
    assert!(cited > 3, "{cited}");

    let told = scene
        .gloaming(&["policy", "learn", "--from", "out", "--repo", "repo", "-o", "tight.toml", "--json"])
        .exits(0)
        .json();
    assert_eq!(told["left_out"], json!([]));
    scene.gloaming(&["policy", "check", "tight.toml"]).exits(0);
    scene.gloaming(&["policy", "explain", "--policy", "tight.toml", "read docs/a.md"]).exits(5);
    assert_eq!(run("out2", &["--policy", "tight.toml"]).exits(0).json()["outcome"], "branch");
    // And it is narrower than what was there, on the tree, in general, and not for what was done.
    let compared = [
        "policy",
        "diff",
        "preset:standard",
        "tight.toml",
        "--as",
        "local/repo",
        "--tree",
        "repo",
        "--history",
        "out",
        "out2",
        "--json",
    ];
    let told = scene.gloaming(&compared).exits(0).json();
    assert_eq!((&told["widens"], &told["past"]), (&json!(false), &json!([])), "{told:#}");
    assert!(told["calls"].as_u64().unwrap() > 4 && !told["lost"].as_array().unwrap().is_empty());
    let mut back = compared;
    back.swap(2, 3);
    assert_eq!(scene.gloaming(&back).exits(1).json()["widens"], true);
    // A policy that takes away what was done says which calls.
    put(&scene, "none.toml", "schema = 1\nextends = [\"preset:read-only\"]\n[jobs.test]\nenabled = false\n");
    let told = scene
        .gloaming(&[
            "policy",
            "diff",
            "preset:standard",
            "none.toml",
            "--as",
            "local/repo",
            "--history",
            "out",
        ])
        .exits(0);
    assert!(told.stdout.contains("past calls that would be decided otherwise:"), "{}", told.stdout);
    scene.gloaming(&["policy", "learn", "--from", "repo"]).exits(2);
}

#[test]
fn every_rule_is_tried_through_both_lanes() {
    let scene = Scene::new(FILES);
    let told = scene.gloaming(&["policy", "verify", "--repo", "repo", "--json"]).exits(0).json();
    assert_eq!((&told["ok"], &told["faults"]), (&json!(true), &json!(0)), "{told:#}");
    assert!(told["tried"].as_u64().unwrap() > 500);
    if let Some(why) = told["job_lane"]["skipped"].as_str() {
        crate::support::skipped("every_rule_is_tried_through_both_lanes", why);
    } else {
        assert!(told["job_lane"]["tried"].as_u64().unwrap() > 50);
    }
    let own = told["rules"].as_array().unwrap().iter().find(|rule| rule["rule"] == "no-docs");
    assert!(own.is_some_and(|rule| rule["tried"].as_u64().unwrap() > 10), "{told:#}");
    assert_eq!(scene.git(&["status", "--porcelain"]), "", "the repository itself is left alone");
    // Rules about jobs, a denial as a whole, narrow allowances, odd names, a rule that warns.
    put(
        &scene,
        "p.toml",
        r#"schema = 1
extends = ["preset:standard"]
[[allow]]
id = "one-crate"
tools = ["edit", "write", "patch"]
paths = ["src/**", "app/\\[id\\]/*.rs", "{a,b}/Größe.rs"]
[[deny]]
id = "no-moves"
tools = ["move"]
paths = ["**"]
because = "x"
[[deny]]
id = "later"
tools = ["*"]
paths = ["later/"]
because = "x"
enforce = "warn"
[[deny]]
id = "unread"
tools = ["read"]
paths = ["unread/*.txt"]
because = "x"
[[deny]]
id = "kept-from-jobs"
tools = ["check"]
paths = ["fixtures/"]
because = "x"
[[allow]]
id = "cargo"
jobs = ["test"]
commands = ["cargo *"]
[[deny]]
id = "no-variables"
jobs = ["*"]
env = ["AWS_*"]
because = "x"
[change]
protected = ["src/api/**"]
"#,
    );
    let told = scene.gloaming(&["policy", "verify", "--repo", "repo", "--policy", "p.toml"]);
    assert_eq!(told.code, 0, "{}\n{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("every rule that was tried holds"), "{}", told.stdout);
}

#[test]
fn verifying_touches_nothing_outside_its_copy_and_never_waits() {
    // A link that leads out, where the preset's own patterns lie, and where a rule's do.
    let scene = Scene::new(FILES);
    let outside = scene.path().join("outside");
    std::fs::create_dir_all(outside.join("workflows")).unwrap();
    std::fs::write(outside.join("a.rs"), "precious").unwrap();
    for link in ["vendor", ".github"] {
        std::os::unix::fs::symlink(&outside, scene.repo().join(link)).unwrap();
    }
    scene.commit("links");
    put(
        &scene,
        "p.toml",
        "schema = 1\nextends = [\"preset:standard\"]\n[[deny]]\nid = \"v\"\ntools = [\"*\"]\npaths = [\"/vendor/a.rs\", \"/vendor/**\"]\nbecause = \"x\"\n",
    );
    let told = scene.gloaming(&["policy", "verify", "--repo", "repo", "--policy", "p.toml"]).exits(0);
    assert!(
        told.stdout.contains("rule v (") && told.stdout.contains("could not be planted"),
        "{}",
        told.stdout
    );
    let mut left: Vec<String> = std::fs::read_dir(&outside)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["a.rs", "workflows"]);
    assert_eq!(std::fs::read_to_string(outside.join("a.rs")).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(outside.join("workflows")).unwrap().count(), 0);
    // A named pipe in a folder that is no repository, and a home that lies within what is copied.
    let plain = scene.path().join("plain");
    std::fs::create_dir(&plain).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, plain.join(".env"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    scene.gloaming(&["policy", "verify", "--repo", "plain"]).exits(0);
    let home = plain.join("home");
    std::fs::create_dir(&home).unwrap();
    let output =
        scene.command(&["policy", "verify", "--repo", "plain"]).env("GLOAMING_HOME", &home).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    scene.gloaming(&["policy", "diff", "p.toml", "p.toml", "--tree", "nowhere"]).exits(2);
}

#[test]
fn who_may_ask_and_which_model_may_see_the_code_is_decided_before_anything_is_spent() {
    let scene = Scene::new(FILES);
    let model = [
        "--model",
        "openai-compatible:local",
        "--model-url",
        "http://127.0.0.1:9/v1",
        "--model-price",
        "0,0",
    ];
    let run = |policy: &str, task: &str, out: &str| {
        put(&scene, "p.toml", &format!("schema = 1\nextends = [\"preset:standard\"]\n{policy}"));
        let args = ["run", "--repo", "repo", "--task", task, "--out", out, "--json", "--policy", "p.toml"];
        scene.gloaming(&[&args[..], &model].concat())
    };
    for (policy, task, out, words) in [
        ("[submit]\n\"token:*\" = [\"*\"]\n", RENAME, "out1", "does not let `local` ask for `rename`"),
        (
            "[submit]\nlocal = [\"rename\"]\n",
            "Make it faster.",
            "out2",
            "does not let `local` ask for `model`",
        ),
        (
            "[model]\nallow = [\"anthropic:*\"]\n",
            "Make it faster.",
            "out3",
            "be sent to openai-compatible:local",
        ),
        ("[model]\nallow = [\"*\"]\n", "Make it faster.", "out4", "be sent to openai-compatible:local"),
        (
            "[[deny]]\nid = \"no-cargo\"\njobs = [\"*\"]\ncommands = [\"cargo\"]\nbecause = \"x\"\n",
            RENAME,
            "out5",
            "jobs run here, and without them",
        ),
    ] {
        let told = run(policy, task, out).exits(3).json();
        assert_eq!(told["reason_code"], "policy_blocked", "{told:#}");
        assert!(told["summary"].as_str().unwrap().contains(words), "{told:#}");
        assert_eq!(told["cost"]["calls"], 0);
    }
    // Who is asked only when another fails, or only at the review, sees the code all the same.
    let policy = "schema = 1\nextends = [\"preset:standard\"]\n[model]\nallow = [\"openai-compatible:local\"]\n\
                  hosts = [\"http://127.0.0.1:9\"]\n";
    put(&scene, "p.toml", policy);
    std::fs::write(
        scene.home().join("prices.toml"),
        "schema = 1\n[[price]]\nprovider = \"openai-compatible\"\nmodel = \"*\"\ninput = 0\noutput = 0\n",
    )
    .unwrap();
    let base = ["run", "--repo", "repo", "--task", "Make it faster.", "--json", "--policy", "p.toml"];
    let reach = ["--model-url", "http://127.0.0.1:9/v1"];
    for (out, models) in [
        ("out7", vec!["--model", "openai-compatible:local,openai-compatible:other"]),
        ("out8", vec!["--model", "openai-compatible:local", "--review-model", "openai-compatible:other"]),
    ] {
        let told = scene.gloaming(&[&base[..], &reach, &models, &["--out", out]].concat()).exits(3).json();
        assert_eq!(told["reason_code"], "policy_blocked", "{told:#}");
        assert!(
            told["summary"].as_str().unwrap().ends_with("be sent to openai-compatible:other."),
            "{told:#}"
        );
        assert_eq!(told["cost"]["calls"], 0);
    }
    let told = run("[submit]\nlocal = [\"rename\"]\n[model]\nallow = []\n", RENAME, "out6").exits(0).json();
    assert_eq!(told["outcome"], "branch");
}

#[test]
fn what_a_warning_rule_would_have_denied_is_in_the_journal() {
    let scene = Scene::new(FILES);
    put(
        &scene,
        "p.toml",
        "schema = 1\nextends = [\"preset:standard\"]\n[[deny]]\nid = \"soon\"\ntools = [\"*\"]\naccess = \"write\"\n\
         paths = [\"src/\"]\nbecause = \"x\"\nenforce = \"warn\"\n[[deny]]\nid = \"not-cargo\"\njobs = [\"*\"]\n\
         commands = [\"cargo\"]\nbecause = \"x\"\nenforce = \"warn\"\n",
    );
    let args = ["run", "--repo", "repo", "--task", RENAME, "--out", "out", "--json", "--policy", "p.toml"];
    assert_eq!(scene.gloaming(&args).exits(0).json()["outcome"], "branch");
    let story = scene.gloaming(&["journal", "show", "out/journal.jsonl"]).exits(0).stdout;
    let said = |rule: &str| {
        story.lines().filter(|line| line.contains(&format!("would be denied by {rule}"))).count()
    };
    assert!(said("soon") == 1 && said("not-cargo") > 2, "{story}");
}

#[test]
fn permissions_of_other_agents_become_policies() {
    let scene = Scene::new(FILES);
    put(
        &scene,
        "settings.json",
        r#"{"permissions": {"deny": ["Read(./.env)", "Bash(npm publish:*)", "Wirte(x)"], "allow": ["Edit(/src/**)"], "ask": ["WebFetch(domain:x.example)"]}}"#,
    );
    put(&scene, "config.toml", "sandbox_mode = \"read-only\"\napproval_policy = \"never\"\n");
    put(&scene, "rules.toml", "[[rule]]\ntoolName = \"write_file\"\ndecision = \"deny\"\npriority = 100\n");
    put(
        &scene,
        "permission.yaml",
        "user:\n  always_allow: []\n  ask_before: []\n  never_allow:\n    - developer__text_editor\n",
    );
    for (agent, file) in [
        ("claude", "settings.json"),
        ("codex", "config.toml"),
        ("gemini", "rules.toml"),
        ("goose", "permission.yaml"),
    ] {
        let out = format!("{agent}.toml");
        let told = scene.gloaming(&["policy", "import", agent, file, "-o", &out, "--json"]).exits(0).json();
        assert!(!told["notes"].as_array().unwrap().is_empty(), "{agent}: {told:#}");
        scene.gloaming(&["policy", "check", &out]).exits(0);
        scene.gloaming(&["policy", "explain", "--policy", &out, "read .env"]).exits(5);
    }
    scene.gloaming(&["policy", "explain", "--policy", "codex.toml", "edit src/lib.rs"]).exits(5);
    let told = scene.gloaming(&["policy", "import", "claude", "settings.json"]).exits(0);
    assert!(told.stdout.starts_with("# Made from the permissions of Claude Code"), "{}", told.stdout);
    assert!(
        told.stderr.contains("not carried over") || told.stderr.contains("did nothing"),
        "{}",
        told.stderr
    );
    scene.gloaming(&["policy", "import", "claude", "config.toml"]).exits(2);
}
