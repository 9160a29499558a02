//! Tools of an MCP server that a policy names, end to end: a server of the official Python SDK in a job's container, a model
//! that uses and misuses its tools, and the whole run again from its record.

use serde_json::{Value, json};

use crate::evil_model::{Scripted, calls};
use crate::resume::FILES;
use crate::support::{Ran, Scene, partner};

const POLICY: &str = r#"schema = 1
extends = ["preset:standard"]

[[mcp]]
name = "sums"
command = ["python3", "server.py"]
tools = ["twice", "look", "flood", "fail", "leave", "tell"]
workspace = "read"

[[allow]]
id = "handed"
jobs = ["test"]
secrets = ["HANDED"]

[[deny]]
id = "no-floods"
tools = ["mcp_sums_flood"]
paths = ["**"]
because = "It says too much."
"#;

/// A repository with the server in it and a secret; the virtual environment holds the SDK.
fn scene() -> Option<(Scene, String)> {
    let sdk = partner("GLOAMING_MCP_DIR", "their_tools")?;
    let scene = Scene::new(FILES);
    scene.write(&[("server.py", include_str!("mcp/server.py")), (".env", "TOKEN=hunter2-secret\n")]);
    scene.commit("a server");
    std::fs::write(scene.path().join("policy.toml"), POLICY).unwrap();
    std::fs::write(scene.path().join("value"), "v4lue-of-it\n").unwrap();
    scene.gloaming(&["secrets", "set", "HANDED", "--file", "value"]).exits(0);
    let python = std::path::Path::new(&sdk).join("python").to_str().expect("UTF-8").to_owned();
    Some((scene, python))
}

fn run(scene: &Scene, python: &str, transcript: &Value) -> Ran {
    let model = Scripted::start(scene, transcript);
    let mut args =
        vec!["run", "--repo", "repo", "--task", "twice(3) should be 6", "--model", "openai:scripted"];
    args.extend(["--model-price", "0,0", "--model-url", model.url(), "--out", "out", "--json"]);
    args.extend(["--policy", "policy.toml", "--team", "coder"]);
    scene.gloaming_with(&args, &[("VIRTUAL_ENV", python)])
}

fn events(scene: &Scene, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(scene.out().join("journal.jsonl")).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == kind).map(|event| event["data"].clone()).collect()
}

#[test]
fn a_policys_server_lends_its_tools_and_nothing_else() {
    let Some((scene, python)) = scene() else { return };
    let give_up = ("give_up", json!({"reason": "underspecified", "summary": "enough was seen"}));
    let transcript = json!([
        calls(&[
            ("mcp_sums_twice", json!({"n": 21})),
            ("mcp_sums_look", json!({})),
            ("mcp_sums_flood", json!({})),
            ("mcp_sums_unnamed", json!({})),
            ("unnamed", json!({})),
            ("mcp_sums_fail", json!({})),
            ("mcp_sums_leave", json!({})),
            ("mcp_sums_tell", json!({})),
            ("read", json!({"path": "calc/core.py"})),
        ]),
        calls(&[give_up]),
    ]);
    let ran = run(&scene, &python, &transcript).exits(3);
    assert_eq!(ran.json()["reason_code"], "underspecified", "{}", ran.stderr);
    let all = events(&scene, "tool_call");
    let outcome = |tool: &str| {
        let call = all
            .iter()
            .find(|call| call["record"]["tool"] == tool)
            .unwrap_or_else(|| panic!("{tool}: {all:#?}"));
        call["outcome"].clone()
    };
    // What is lent: the tools that the policy names, and denies nobody, with the server's words as data.
    let listed = outcome("mcp_sums");
    let names: Vec<&str> = listed["output"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["twice", "look", "fail", "leave", "tell"], "what is lent and nothing else");
    assert_eq!(outcome("mcp_sums_twice")["output"]["text"], "42");
    let seen = outcome("mcp_sums_look")["output"]["text"].as_str().unwrap().to_owned();
    assert!(seen.contains("'calc'") && seen.contains("/workspace/.env FileNotFoundError"), "{seen}");
    assert!(seen.contains("/root/.netrc") && seen.contains("did not connect"), "{seen}");
    let failed = outcome("mcp_sums_fail");
    assert_eq!((&failed["ok"], &failed["error"]["code"]), (&json!(false), &json!("failed")), "{failed}");
    let left = outcome("mcp_sums_leave")["error"]["message"].as_str().unwrap().to_owned();
    assert!(left.contains("last words") && left.contains("exit 3"), "{left}");
    assert_eq!(outcome("mcp_sums_tell")["output"]["text"], "the value is [secret HANDED]");
    // A copy is what it saw: nothing that it writes comes back.
    assert!(!outcome("read")["output"].to_string().contains("evil"), "{}", outcome("read"));
    for absent in ["mcp_sums_flood", "mcp_sums_unnamed", "unnamed"] {
        assert!(!all.iter().any(|call| call["record"]["tool"] == absent), "{absent} was called");
    }
    let jobs =
        events(&scene, "job").iter().filter(|job| job["label"].as_str().unwrap().starts_with("mcp_")).count();
    assert_eq!(jobs, 6, "one for the list, one for each call");
    let text = std::fs::read_to_string(scene.out().join("journal.jsonl")).unwrap();
    assert!(!text.contains("hunter2") && !text.contains("v4lue-of-it"), "a secret is in the journal");
    // From the record, without a server.
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
}

#[test]
fn a_server_that_is_none_lends_nothing_and_the_work_goes_on() {
    let Some((scene, python)) = scene() else { return };
    let policy = POLICY.replace("[\"python3\", \"server.py\"]", "[\"cat\", \"/etc/hostname\"]");
    std::fs::write(scene.path().join("policy.toml"), policy).unwrap();
    let transcript = json!([
        calls(&[("mcp_sums_twice", json!({"n": 1})), ("read", json!({"path": "calc/core.py"}))]),
        calls(&[("give_up", json!({"reason": "underspecified", "summary": "no such tool"}))]),
    ]);
    run(&scene, &python, &transcript).exits(3);
    // The map of the code is drawn before.
    let mut all = events(&scene, "tool_call");
    all.retain(|call| call["record"]["tool"] != "outline");
    assert_eq!((&all[0]["record"]["tool"], &all[0]["outcome"]["ok"]), (&json!("mcp_sums"), &json!(false)));
    assert_eq!((&all[1]["record"]["tool"], &all[1]["outcome"]["ok"]), (&json!("read"), &json!(true)));
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
}

#[test]
fn a_repositorys_own_file_names_no_server() {
    let scene = Scene::new(FILES);
    let table = "schema = 1\n\n[[mcp]]\nname = \"own\"\ncommand = [\"sh\"]\ntools = [\"x\"]\n";
    scene.write(&[(".gloaming/policy.toml", table)]);
    scene.commit("a policy");
    let args =
        ["run", "--repo", "repo", "--task", "Rename twice to double everywhere", "--out", "out", "--json"];
    let ran = scene.gloaming(&args).exits(3);
    assert_eq!(ran.json()["reason_code"], "policy_blocked");
    let bow_out = std::fs::read_to_string(scene.out().join("bowout.json")).unwrap();
    assert!(bow_out.contains("only an operator's file may name MCP servers"), "{bow_out}");
    std::fs::write(scene.path().join("p.toml"), format!("{table}\n[jobs.test]\nenabled = false\n")).unwrap();
    let ran = scene.gloaming(&["policy", "check", "p.toml"]);
    assert_ne!(ran.code, 0);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("p.toml:3") && said.contains("can never run"), "{said}");
}
