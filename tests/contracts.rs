//! What other programs rely on: `--json` objects and exit codes.

use serde_json::{Value, json};

use crate::support::Scene;

const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"calc\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    ("src/lib.rs", "pub fn main_thing() {}\n"),
    (".env", "SECRET=1\n"),
    (".github/workflows/ci.yml", "on: push\n"),
    (".gitignore", "ignored.txt\n"),
    ("ignored.txt", "pub fn hidden() {}\n"),
];

fn call(scene: &Scene, tool: &str, args: &Value, more: &[&str]) -> (i32, Value) {
    let args = args.to_string();
    let mut all = vec!["tools", "call", tool, "--workspace", "repo", "--args", &args, "--json"];
    all.extend(more);
    let ran = scene.gloaming(&all);
    (ran.code, ran.json())
}

#[test]
fn tools_call_answers_ok_output_error() {
    let scene = Scene::new(FILES);
    let (code, answer) = call(&scene, "search", &json!({"pattern": "fn main"}), &[]);
    assert_eq!((code, &answer["ok"]), (0, &json!(true)), "{answer:#}");
    assert_eq!(answer["output"]["matches"][0]["path"], "src/lib.rs");

    for (tool, args, error) in [
        ("read", json!({"path": ".env"}), "denied"),
        ("read", json!({"path": "./.env"}), "denied"),
        ("read", json!({"path": "nowhere"}), "not_found"),
        ("read", json!({"path": "../x"}), "invalid_input"),
        ("read", json!({"path": 3}), "invalid_input"),
        ("read", json!({}), "invalid_input"),
        ("read", json!({"path": "src/lib.rs", "colour": "red"}), "invalid_input"),
        ("search", json!({"pattern": "("}), "invalid_input"),
        ("write", json!({"path": "src/lib.rs", "content": ""}), "conflict"),
        ("edit", json!({"path": "src/lib.rs", "old": "absent", "new": "x"}), "not_found"),
        ("edit", json!({"path": ".github/workflows/ci.yml", "old": "push", "new": "b"}), "denied"),
        ("edit", json!({"path": ".git/config", "old": "a", "new": "b"}), "denied"),
        ("nonsense", json!({}), "denied"),
    ] {
        let (code, answer) = call(&scene, tool, &args, &[]);
        let found = &answer["error"]["code"];
        assert_eq!(code, 5, "{tool} {args}: {answer:#}");
        assert_eq!(answer["ok"], false);
        // Where there is no such text or tool, either word is a fair one.
        let fair = match error {
            "not_found" => found == "not_found" || found == "invalid_input" || found == "conflict",
            "denied" if tool == "nonsense" => found == "denied" || found == "not_found",
            "invalid_input" if args["path"] == "../x" => found == "invalid_input" || found == "denied",
            _ => found == error,
        };
        assert!(fair, "{tool} {args}: {answer:#}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
        if found == "denied" {
            assert!(answer["error"]["rule"].is_string(), "{answer:#}");
        }
    }
}

#[test]
fn the_wasi_builds_of_read_and_edit_answer_the_same() {
    let scene = Scene::new(FILES);
    for (tool, args) in [
        ("read", json!({"path": "src/lib.rs"})),
        ("read", json!({"path": ".env"})),
        ("read", json!({"path": "nowhere"})),
        ("edit", json!({"path": "Cargo.toml", "old": "nope", "new": "x"})),
    ] {
        let ours = call(&scene, tool, &args, &[]);
        let wasi = call(&scene, tool, &args, &["--wasi"]);
        assert_eq!(ours.0, wasi.0, "{tool} {args}");
        assert_eq!(ours.1["error"]["code"], wasi.1["error"]["code"], "{tool} {args}");
        assert_eq!(ours.1["output"], wasi.1["output"], "{tool} {args}");
    }
}

#[test]
fn diff_compares_a_checkout_with_its_head_and_says_where_there_is_none() {
    let scene = Scene::new(FILES);
    let (code, answer) = call(&scene, "diff", &json!({}), &[]);
    assert_eq!((code, &answer["output"]["total"]), (0, &json!(0)), "{answer:#}");

    scene.write(&[
        ("src/lib.rs", "pub fn main_thing() {}\npub fn more() {}\n"),
        ("new.txt", "n\n"),
        (".env", "S=2\n"),
    ]);
    std::fs::remove_file(scene.repo().join("Cargo.toml")).unwrap();
    let (code, answer) = call(&scene, "diff", &json!({"summary": true}), &[]);
    assert_eq!(code, 0, "{answer:#}");
    // Neither what the policy denies nor what gitignore leaves out is told.
    assert_eq!(
        answer["output"]["text"],
        "deleted Cargo.toml (+0 -4)\nadded new.txt (+1 -0)\nmodified src/lib.rs (+1 -0)\n"
    );
    // It is what git says, too.
    let (_, answer) = call(&scene, "diff", &json!({"path": "src"}), &[]);
    let ours = answer["output"]["text"].as_str().unwrap().to_owned();
    let git: String = scene
        .git(&["diff", "--", "src"])
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("index "))
        .map(|line| {
            if line.starts_with("@@") {
                line.split_inclusive("@@").take(2).collect::<String>() + "\n"
            } else {
                line.to_owned()
            }
        })
        .collect();
    assert_eq!(ours, git);
    let (code, answer) = call(&scene, "diff", &json!({"path": ".env"}), &[]);
    assert_eq!((code, &answer["error"]["code"]), (5, &json!("denied")), "{answer:#}");

    let plain = Scene::bare_folder();
    plain.write(&[("a", "1\n")]);
    let (code, answer) = call(&plain, "diff", &json!({}), &[]);
    assert_eq!((code, &answer["error"]["code"]), (5, &json!("not_found")), "{answer:#}");
    assert_eq!(
        answer["error"]["message"],
        "there is no base to compare with: this folder is not the top of a git checkout with a commit"
    );
}

#[test]
fn tools_list_names_each_tool_with_a_schema() {
    let scene = Scene::new(FILES);
    let list = scene.gloaming(&["tools", "list", "--json"]).exits(0).json();
    let tools = list["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["check", "diff", "edit", "list", "move", "outline", "patch", "read", "remove", "search", "write"]
    );
    for tool in tools {
        assert_eq!(tool["input_schema"]["type"], "object", "{tool:#}");
        assert!(tool["description"].as_str().unwrap().len() > 40, "{tool:#}");
    }
}

#[test]
fn a_tool_denied_as_a_whole_is_not_offered() {
    let scene = Scene::new(FILES);
    let policy = "schema = 1\nextends = [\"preset:standard\"]\n\n[[deny]]\nid = \"no-writing\"\ntools = [\"write\", \"edit\", \"patch\"]\npaths = [\"**\"]\nbecause = \"read only\"\n";
    std::fs::write(scene.path().join("p.toml"), policy).unwrap();
    let list = scene.gloaming(&["tools", "list", "--json", "--policy", "p.toml"]).exits(0).json();
    let names: Vec<&str> =
        list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    // What was not there when such a policy was written is denied with the others of its kind.
    assert_eq!(names, ["check", "diff", "list", "outline", "read", "search"]);
    let (code, answer) =
        call(&scene, "write", &json!({"path": "x", "content": "y"}), &["--policy", "p.toml"]);
    assert_eq!((code, &answer["error"]["rule"]), (5, &json!("no-writing")), "{answer:#}");
    assert!(!scene.repo().join("x").exists());
}

#[test]
fn policy_explain_says_who_decided() {
    let scene = Scene::new(FILES);
    let explain =
        |call: &str, code: i32| scene.gloaming(&["policy", "explain", "--json", call]).exits(code).json();
    let answer = explain("edit src/lib.rs", 0);
    assert_eq!(answer["decision"], "allow");
    for call in [
        "read .env",
        "edit .github/workflows/ci.yml",
        "edit Cargo.lock",
        "read .git/config",
        "edit .gloaming/policy.toml",
    ] {
        let answer = explain(call, 5);
        assert_eq!(answer["decision"], "deny", "{call}");
        assert!(
            answer["rule"].is_string() && answer["file"].is_string() && answer["line"].is_u64(),
            "{answer:#}"
        );
        assert!(!answer["because"].as_str().unwrap().is_empty(), "{answer:#}");
    }
    scene.gloaming(&["policy", "explain", "nonsense"]).exits(2);
}

#[test]
fn policy_check_points_at_file_line_and_column() {
    let scene = Scene::new(FILES);
    let bad = "schema = 1\n\n[[allow]]\nid = \"a\"\ntoolz = [\"edit\"]\npaths = [\"src/**\"]\n\n[jobs.test]\nnetwork = [\"registry\"]\n";
    std::fs::write(scene.path().join("bad.toml"), bad).unwrap();
    let said = scene.gloaming(&["policy", "check", "bad.toml"]).exits(2).stdout;
    assert!(said.contains("bad.toml:5:1: "), "{said}");
    let unenforced = "schema = 1\n\n[jobs.test]\nnetwork = [\"ssh://git.example:22\"]\n";
    std::fs::write(scene.path().join("hosts.toml"), unenforced).unwrap();
    let said = scene.gloaming(&["policy", "check", "hosts.toml"]).exits(2).stdout;
    assert!(said.contains("hosts.toml:4:12: "), "a rule that cannot be enforced does not load: {said}");
    let shown = scene.gloaming(&["policy", "show"]).exits(0).stdout;
    std::fs::write(scene.path().join("good.toml"), shown).unwrap();
    scene.gloaming(&["policy", "check", "good.toml"]).exits(0);
}

#[test]
fn policy_new_writes_a_file_that_loads_and_overwrites_none() {
    let scene = Scene::new(FILES);
    let explain = |file: &str, name: &str, call: &str, code: i32| {
        scene
            .gloaming(&["policy", "explain", "--policy", file, "--as", name, "--json", call])
            .exits(code)
            .json()
    };
    let said = scene.gloaming(&["policy", "new", "acme/api", "--from", "rust-library"]).exits(0).stdout;
    assert!(said.contains("gloaming policy check acme-api.toml"), "{said}");
    scene.gloaming(&["policy", "check", "acme-api.toml"]).exits(0);
    assert_eq!(explain("acme-api.toml", "acme/api", "edit src/lib.rs", 0)["file"], "preset:rust-library");
    assert_eq!(explain("acme-api.toml", "acme/api", "edit Cargo.toml", 5)["rule"], "no-cargo-configuration");
    // What the file holds as comments loads too, once it is no comment.
    let text = std::fs::read_to_string(scene.path().join("acme-api.toml")).unwrap();
    let from = text.find("schema = 1").expect("the policy begins");
    let is_setting = |line: &str| {
        line.split_once(" = ")
            .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    let told: String = text[from..]
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.starts_with('[') || is_setting(key) => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    std::fs::write(scene.path().join("told.toml"), told).unwrap();
    scene.gloaming(&["policy", "check", "told.toml"]).exits(0);

    let again = scene.gloaming(&["policy", "new", "acme/api"]).exits(2).stderr;
    assert!(again.contains("acme-api.toml exists already") && again.contains("--out"), "{again}");
    assert_eq!(std::fs::read_to_string(scene.path().join("acme-api.toml")).unwrap(), text);
    scene.gloaming(&["policy", "new", "acme/*", "--from", "preset:docs-only"]).exits(0);
    assert_eq!(explain("acme-all.toml", "acme/site", "edit docs/a.md", 0)["rule"], "change-documents");
    let shown = scene.gloaming(&["policy", "new", "acme/api", "--out", "-"]).exits(0).stdout;
    assert!(shown.contains("extends = [\"preset:standard\"]"), "{shown}");
    let unknown = scene.gloaming(&["policy", "new", "acme/api", "--from", "lax"]).exits(2).stderr;
    assert!(unknown.contains("read-only"), "{unknown}");
    for wrong in ["acme", "acme/api\"]\n", "../up/there", ""] {
        let said = scene.gloaming(&["policy", "new", wrong, "--out", "wrong.toml"]).exits(2).stderr;
        assert!(said.contains("does not name a repository"), "{said}");
    }
    assert!(!scene.path().join("wrong.toml").exists());
}

#[test]
fn verify_prints_one_object_with_its_steps() {
    let scene = Scene::new(FILES);
    let diff = scene
        .diff_of(|root| std::fs::write(root.join("Cargo.toml"), "[package]\nname = \"other\"\n").unwrap());
    let ran = scene.verify(&diff, &[]).exits(1);
    let verdict = ran.json();
    assert_eq!(verdict["verdict"], "block");
    for step in verdict["steps"].as_array().unwrap() {
        assert!(
            ["pass", "fail", "unknown", "skipped"].contains(&step["result"].as_str().unwrap()),
            "{step:#}"
        );
        assert!(step["step"].as_str().unwrap().starts_with('V'));
        assert!(step["detail"].is_string());
    }
}

#[test]
fn verify_bows_out_of_what_it_cannot_judge() {
    let scene = Scene::new(FILES);
    let verdict = |diff: &str| {
        let verdict = scene.verify(diff, &[]).exits(3).json();
        assert_eq!(verdict["verdict"], "bow_out", "{verdict:#}");
        verdict["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(verdict(""), "empty_patch");
    let many = scene.diff_of(|root| std::fs::write(root.join("data.txt"), "line\n".repeat(5000)).unwrap());
    assert_eq!(verdict(&many), "too_large");
    // Larger than anything else that is read: still a verdict.
    let huge = scene.diff_of(|root| std::fs::write(root.join("data.txt"), "line\n".repeat(1 << 20)).unwrap());
    assert!(huge.len() > 5 << 20);
    assert_eq!(verdict(&huge), "too_large");

    scene.write(&[("src/lib.rs", "pub fn main_thing() -> u8 {}\n")]);
    scene.commit("does not compile");
    let good = scene.diff_of(|root| std::fs::write(root.join("NOTES"), "x\n").unwrap());
    assert_eq!(verdict(&good), "baseline_red");

    scene.write(&[(".gloaming/policy.toml", "schema = 1\nallow everything\n")]);
    scene.commit("policy");
    assert_eq!(verdict(&good), "policy_blocked");
}

#[test]
fn tools_call_check_runs_the_folders_own_command_in_a_container() {
    let scene = Scene::new(FILES);
    let (code, answer) = call(&scene, "check", &json!({"what": "build"}), &[]);
    assert_eq!((code, &answer["output"]["exit"]), (0, &json!(0)), "{answer:#}");
    let (code, answer) = call(&scene, "check", &json!({"what": "anything"}), &[]);
    assert_eq!((code, &answer["error"]["code"]), (5, &json!("invalid_input")), "{answer:#}");
    let policy = "schema = 1\nextends = [\"preset:standard\"]\n\n[jobs.build]\nenabled = false\n";
    std::fs::write(scene.path().join("p.toml"), policy).unwrap();
    let (code, answer) = call(&scene, "check", &json!({"what": "build"}), &["--policy", "p.toml"]);
    assert_eq!((code, &answer["error"]["code"]), (5, &json!("denied")), "{answer:#}");
    std::fs::remove_dir_all(scene.home().join("cache/jobs")).unwrap();
    std::fs::write(scene.home().join("cache/jobs"), "").unwrap();
    let (code, answer) = call(&scene, "check", &json!({"what": "build"}), &[]);
    assert_eq!((code, &answer["error"]["code"]), (5, &json!("internal")), "{answer:#}");
}

#[test]
fn profile_is_under_the_repositorys_own_policy_too() {
    let scene = Scene::new(FILES);
    scene.write(&[(".gloaming/policy.toml", "schema = 1\n\n[jobs.test]\nenabled = false\n")]);
    scene.commit("policy");
    let profile = scene.gloaming(&["profile", "repo", "--json"]).exits(0).json();
    let commands = profile["commands"].as_array().unwrap();
    let proof = |kind: &str| &commands.iter().find(|command| command["kind"] == kind).unwrap()["proof"];
    assert!(proof("test").is_null() && proof("build").is_object(), "{profile:#}");
    assert!(profile["gaps"].to_string().contains("no test job"), "{profile:#}");

    scene.write(&[(".gloaming/policy.toml", "schema = 1\nallow everything\n")]);
    scene.commit("broken policy");
    let profile = scene.gloaming(&["profile", "repo", "--json"]).exits(3).json();
    assert_eq!(profile["reason_code"], "policy_blocked", "{profile:#}");
    assert!(profile["error"].as_str().unwrap().contains(".gloaming/policy.toml:2"), "{profile:#}");
}

#[test]
fn profile_finds_and_proves_commands() {
    let scene = Scene::new(FILES);
    let profile = scene.gloaming(&["profile", "repo", "--json"]).exits(0).json();
    let test =
        profile["commands"].as_array().unwrap().iter().find(|c| c["kind"] == "test").expect("a test command");
    assert_eq!(test["argv"][0], "cargo");
    assert_eq!(test["source"]["file"], "Cargo.toml");
    assert_eq!(test["proof"]["exit"]["value"], 0, "{test:#}");
}

#[test]
fn wrong_use_exits_2() {
    let scene = Scene::new(FILES);
    for args in [
        &["run"][..],
        &["run", "--task", "x", "--task-file", "y"],
        &["nonsense"],
        &["verify", "--repo", "repo", "--patch", "missing.diff"],
        &["tools", "call", "read", "--workspace", "missing", "--args", "{}"],
        &["tools", "call", "read", "--workspace", "repo", "--args", "{"],
        &["run", "--repo", "repo", "--task", "x", "--model", "nonsense"],
        &["run", "--repo", "repo", "--task", "x", "--model", "openai:unheard-of-model"],
        &["journal", "show", "missing"],
    ] {
        let ran = scene.gloaming(args).exits(2);
        assert!(!ran.stderr.is_empty() && ran.stdout.is_empty(), "{args:?}");
    }
}
