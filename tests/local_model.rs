//! A language model on this machine, served by llama.cpp: real tokens, real usage, and answers held to a JSON schema. It is
//! far too small to solve anything, and a run with it has to end in order all the same. `make local-model` brings it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::resume::FILES;
use crate::support::{Scene, skipped};

/// The server, which ends with its standard input.
struct Llama {
    child: Child,
    url: String,
}

impl Drop for Llama {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Llama {
    fn start(test: &str) -> Option<Self> {
        let Some(folder) = std::env::var_os("GLOAMING_LOCAL_MODEL_DIR") else {
            skipped(test, "GLOAMING_LOCAL_MODEL_DIR is not set (make local-model sets it)");
            return None;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/local_model.py");
        let mut child = Command::new(PathBuf::from(folder).join("bin/python"))
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python starts; else run make local-model again");
        let lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        let said =
            lines.map_while(Result::ok).find_map(|line| line.strip_prefix("listening ").map(str::to_owned));
        Some(Self { child, url: format!("{}/v1", said.expect("it says where it listens")) })
    }
}

#[test]
fn a_model_without_tool_calls_makes_them_by_a_schema() {
    let Some(llama) = Llama::start("local_model::a_model_without_tool_calls_makes_them_by_a_schema") else {
        return;
    };
    let scene = Scene::new(FILES);
    let args = [
        "models",
        "test",
        "openai:smollm2",
        "--model-url",
        &llama.url,
        "--model-price",
        "0,0",
        "--model-tools",
        "schema",
        "--json",
    ];
    let report = scene.gloaming_with(&args, &[("OPENAI_API_KEY", "none")]).json();
    let checks = report["models"][0]["checks"].as_array().expect("checks");
    let result = |name: &str| {
        checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("{name}: {report:#}"))["result"].clone()
    };
    for name in ["whole answer", "streamed answer", "usage", "price"] {
        assert_eq!(result(name), "works", "{report:#}");
    }
    // The schema leaves it no other form than a call's; which one is a matter of its wits.
    assert_ne!(result("tool call"), "unreachable", "{report:#}");
}

#[test]
fn a_run_by_a_model_that_can_do_nothing_ends_in_order() {
    let Some(llama) = Llama::start("local_model::a_run_by_a_model_that_can_do_nothing_ends_in_order") else {
        return;
    };
    let scene = Scene::new(FILES);
    let policy = "schema = 1\nrepos = [\"*/*\"]\nextends = [\"preset:standard\"]\n[budget]\nsteps = 2\nwall = \"5m\"\n";
    std::fs::write(scene.path().join("policy.toml"), policy).expect("write");
    let args = [
        "run",
        "--repo",
        "repo",
        "--task",
        "twice(3) gives 5 and should give 6",
        "--model",
        "openai:smollm2",
        "--model-url",
        &llama.url,
        "--model-price",
        "0,0",
        "--model-tools",
        "schema",
        "--policy",
        "policy.toml",
        "--out",
        "out",
        "--json",
    ];
    let ran = scene.gloaming_with(&args, &[("OPENAI_API_KEY", "none")]).exits(3);
    assert_eq!(scene.git(&["branch", "--list", "gloaming/*"]), "", "{}", ran.stdout);
    let journal = std::fs::read_to_string(scene.out().join("journal.jsonl")).expect("a journal");
    let events = journal.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    let answers: Vec<Value> = events.filter(|event| event["event"] == "model_call").collect();
    assert!(!answers.is_empty(), "{journal}");
    for answer in &answers {
        let usage = &answer["data"]["response"]["usage"];
        assert_ne!(usage["estimated"], true, "the server's own numbers: {usage}");
        assert!(usage["input"].as_u64().is_some_and(|tokens| tokens > 0), "{usage}");
    }
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
}
