//! A run whose process is killed is gone on with to the same end, wherever it was killed, and nothing is done twice.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::evil_model::{Scripted, calls};
use crate::support::Scene;

pub(crate) const FILES: &[(&str, &str)] = &[
    ("calc/__init__.py", "from calc.core import mean, twice\n"),
    (
        "calc/core.py",
        "\"\"\"Small sums.\"\"\"\n\n\ndef twice(n):\n    return n + 2\n\n\ndef mean(values):\n    return sum(values) / len(values)\n",
    ),
    ("tests/__init__.py", ""),
    (
        "tests/test_core.py",
        "import unittest\n\nfrom calc import mean, twice\n\n\nclass CoreTest(unittest.TestCase):\n    def test_twice(self):\n        \
         self.assertEqual(twice(2), 4)\n\n    def test_mean(self):\n        self.assertEqual(mean([1, 3]), 2)\n",
    ),
];

pub(crate) const NEW_TEST: &str = "import unittest\n\nfrom calc import twice\n\n\nclass ThreeTest(unittest.TestCase):\n    def test_three(self):\n        \
                        self.assertEqual(twice(3), 6)\n";

/// A first try that breaks something, the findings, and a second.
fn transcript() -> Value {
    let edit = |path: &str, old: &str, new: &str| ("edit", json!({"path": path, "old": old, "new": new}));
    json!([
        calls(&[
            ("read", json!({"path": "calc/core.py"})),
            ("write", json!({"path": "tests/test_three.py", "content": NEW_TEST})),
        ]),
        calls(&[
            edit("calc/core.py", "n + 2", "n * 2"),
            edit("calc/core.py", "sum(values)", "max(values)"),
            ("check", json!({"what": "test"})),
        ]),
        calls(&[("finish", json!({"summary": "twice doubles"}))]),
        calls(&[edit("calc/core.py", "max(values)", "sum(values)")]),
        calls(&[("finish", json!({"summary": "twice doubles, and mean is left alone"}))]),
    ])
}

fn arguments<'a>(model: &'a Scripted, out: &'a str) -> Vec<&'a str> {
    let task = "twice(3) should be 6";
    let mut args = vec!["run", "--repo", "repo", "--task", task, "--model", "openai:scripted", "--out", out];
    args.extend(["--model-price", "1,2", "--model-url", model.url(), "--json"]);
    args
}

pub(crate) fn events(out: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(out.join("journal.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What counts of an attempt: its events but for those that were begun again, without what differs from one run to the
/// next.
fn story(out: &Path) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for event in events(out) {
        let (kind, data) = (event["event"].as_str().unwrap(), &event["data"]);
        match kind {
            "resumed" => {
                let dead = usize::try_from(data["dead"].as_u64().unwrap()).unwrap();
                told.truncate(told.len() - dead);
                continue;
            }
            "stage_started" | "stage_finished" => told.push(format!("{kind} {}", data["stage"])),
            "tool_call" => {
                told.push(format!("{} {} {}", data["record"]["tool"], data["args"], data["outcome"]["ok"]))
            }
            "job" => told.push(format!("job {}", data["label"])),
            "frozen" => told.push(format!("frozen {}", data["patch"])),
            "judged" => told.push(format!("judged {}", data["verdict"]["code"])),
            "published" => told.push(format!("published {}", data["patch"])),
            _ => told.push(kind.to_owned()),
        }
    }
    // A question whose answer never came is asked again.
    told.dedup_by(|again, first| again == first && again == "model_asked");
    told
}

/// Kills a run as soon as its journal has so many events. Returns whether it was still at work.
pub(crate) fn killed_after(scene: &Scene, args: &[&str], out: &Path, count: usize) -> bool {
    std::fs::create_dir_all(out).unwrap();
    let mut child = scene.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&mut child, out, count);
    let working = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    working
}

/// Returns when the journal is that long, or the process is gone: its words are read until then, so that nobody looks
/// at a clock.
fn wait_for(child: &mut Child, out: &Path, count: usize) {
    let mut said = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        let mut line = Vec::new();
        while said.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            line.clear();
        }
    });
    while events(out).len() < count && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
}

#[test]
fn wherever_it_is_killed_it_comes_to_the_same_end() {
    let scene = Scene::new(FILES);
    let model = Scripted::start(&scene, &transcript());
    let whole = scene.path().join("whole");
    scene.gloaming(&arguments(&model, "whole")).exits(0);
    let expected = story(&whole);
    let total = events(&whole).len();
    // Begins and ends of stages, and what is within them; each of them with `make kill`.
    let step = if std::env::var_os("GLOAMING_KILL_ALL").is_some() { 1 } else { 4 };
    let mut killed = 0;
    for count in (1..=total).step_by(step) {
        let name = format!("killed-{count}");
        let out = scene.path().join(&name);
        if !killed_after(&scene, &arguments(&model, &name), &out, count) {
            continue;
        }
        killed += 1;
        let lost = events(&out).len();
        let url = model.url();
        let ran = scene.gloaming(&["resume", &name, "--model-url", url, "--json"]);
        if ran.code == 2 && ran.stderr.contains("has ended") {
            continue;
        }
        let ran = ran.exits(0);
        assert_eq!(story(&out), expected, "killed after {lost} events: {}", ran.stderr);
        scene.gloaming(&["journal", "verify", &format!("{name}/journal.jsonl")]).exits(0);
        let replay = scene.gloaming(&["replay", &format!("{name}/journal.jsonl"), "--json"]).exits(0).json();
        assert_eq!(replay["same"], true, "killed after {lost} events: {replay:#}");
        // One branch for each task, whenever it was killed.
        let task = ran.json()["task"].as_str().unwrap().to_owned();
        let branches = scene.git(&["branch", "--list", &format!("gloaming/{task}*")]);
        assert_eq!(branches.lines().count(), 1, "{branches}");
    }
    assert!(killed * step + step > total / 2, "only {killed} runs were killed in time");
}

#[test]
fn what_has_ended_or_is_at_work_is_not_gone_on_with() {
    let scene = Scene::new(FILES);
    let model = Scripted::start(
        &scene,
        &json!([calls(&[("give_up", json!({"reason": "underspecified", "summary": "which?"}))])]),
    );
    scene.gloaming(&arguments(&model, "out")).exits(3);
    let ran = scene.gloaming(&["resume", "out", "--json"]).exits(2);
    assert!(ran.stderr.contains("the attempt has ended, with underspecified"), "{}", ran.stderr);
    let ran = scene.gloaming(&["resume", "nowhere"]).exits(2);
    assert!(ran.stderr.contains("nowhere/journal.jsonl cannot be opened"), "{}", ran.stderr);

    // A journal that was changed is none to go on with.
    let file = scene.out().join("journal.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    std::fs::write(&file, lines[..lines.len() - 2].concat().replace("twice(3)", "twice(4)")).unwrap();
    let ran = scene.gloaming(&["resume", "out"]).exits(2);
    assert!(ran.stderr.contains("is not a whole journal"), "{}", ran.stderr);
    // One whose last line is half there is.
    std::fs::write(&file, format!("{}{{\"seq\":", lines[..lines.len() - 2].concat())).unwrap();
    let held = std::fs::File::open(&file).unwrap();
    held.lock().unwrap();
    let ran = scene.gloaming(&["resume", "out"]).exits(2);
    assert!(ran.stderr.contains("a process still works on"), "{}", ran.stderr);
    // What was just starting as the attempt was killed holds its lock for a moment; it is waited for.
    let command = scene
        .command(&["resume", "out", "--model-url", model.url(), "--json"])
        .stdout(Stdio::piped())
        .spawn();
    let mut waiting = command.unwrap();
    let id = waiting.id();
    let opened = || std::fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
    while !opened().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == file)) {
        assert!(waiting.try_wait().unwrap().is_none(), "it does not wait");
        std::thread::yield_now();
    }
    drop(held);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["reason_code"], "underspecified");
}
