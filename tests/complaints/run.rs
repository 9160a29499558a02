//! Runs a case: lays its tree, serves it, makes its calls and jobs, and says what did not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use super::case::{CANARY, Case, Entry, Hand, Step};
use crate::support::Scene;

/// A test suite that prints every file of the job's copy, names and contents.
const LEAK: &str = r#"import os
import unittest


class Leak(unittest.TestCase):
    def test_every_file(self):
        for top, _, files in os.walk("."):
            for name in sorted(files):
                path = os.path.join(top, name)
                try:
                    with open(path, errors="replace") as file:
                        print(path, file.read())
                except OSError as error:
                    print(path, "cannot be read:", error.strerror)
"#;
const MAKEFILE: &str = "test:\n\tpython3 -m unittest\n";

/// What there is, by path: a file's text, a link's target, or a folder.
type Look = BTreeMap<String, String>;

pub(super) fn run(case: &Case) -> Vec<String> {
    let mut faults = Vec::new();
    let scene = lay(case);
    std::fs::write(scene.path().join("policy.toml"), &case.policy).expect("write");
    for pattern in &case.not_loaded {
        check_not_loaded(&scene, pattern, &mut faults);
    }
    let mut served = Served::start(&scene);
    let mut told = String::new();
    for (at, step) in case.step.iter().enumerate() {
        let name = format!("step {}", at + 1);
        if let Some(hand) = &step.hand {
            by_hand(&scene, hand);
        } else if let Some(kind) = &step.job {
            job(&scene, step, kind, &name, &mut told, &mut faults);
        } else if let Some(tool) = &step.tool {
            for args in each_args(step) {
                let before = look(&scene.repo());
                let name = format!("{name}: {tool} {args}");
                let answer = match served.call(tool, &args) {
                    Ok(answer) => answer,
                    Err(fault) => {
                        faults.push(format!("{name}: {fault}"));
                        return faults;
                    }
                };
                told.push_str(&format!("{answer}\n"));
                check_answer(step, &answer, &name, &mut faults);
                check_explained(&scene, step, &asked(step, tool, &args), &name, &mut faults);
                check_tree(&before, &look(&scene.repo()), step, &name, &mut faults);
            }
        }
    }
    served.end();
    for file in ["journal.jsonl", "served.log"] {
        told.push_str(&std::fs::read_to_string(scene.path().join(file)).expect("it was written"));
    }
    let shown = scene.gloaming(&["journal", "show", "journal.jsonl"]).exits(0);
    told.push_str(&shown.stdout);
    for line in told.lines().filter(|line| line.contains(CANARY)) {
        let line: String = line.chars().take(400).collect();
        faults.push(format!("an answer, its record or the journal shows what nobody may see: {line}"));
    }
    faults
}

fn lay(case: &Case) -> Scene {
    let scene = Scene::bare_folder();
    if case.step.iter().any(|step| step.job.is_some()) {
        scene.write(&[("test_leak.py", LEAK), ("Makefile", MAKEFILE)]);
    }
    for entry in &case.tree {
        match entry {
            Entry::File { file, text } => scene.write(&[(file, text)]),
            Entry::Link { link, to } => by_hand(&scene, &Hand::Link { link: link.clone(), to: to.clone() }),
            Entry::Hard { hard, of } => by_hand(&scene, &Hand::Hard { hard: hard.clone(), of: of.clone() }),
        }
    }
    scene.git(&["init", "-q", "-b", "main"]);
    scene.commit("base");
    scene
}

fn by_hand(scene: &Scene, hand: &Hand) {
    let at = |path: &String| {
        let path = scene.repo().join(path);
        std::fs::create_dir_all(path.parent().expect("inside the repository")).expect("mkdir");
        path
    };
    match hand {
        Hand::Write { write, text } => scene.write(&[(write, text)]),
        Hand::Rename { rename: [from, to] } => std::fs::rename(at(from), at(to)).expect("rename"),
        Hand::Link { link, to } => symlink(to, at(link)).expect("symlink"),
        Hand::Hard { hard, of } => std::fs::hard_link(at(of), at(hard)).expect("link"),
    }
}

/// The arguments of each call of a step.
fn each_args(step: &Step) -> Vec<Value> {
    let args = if step.args.is_null() { json!({}) } else { step.args.clone() };
    if step.paths.is_empty() {
        return vec![args];
    }
    let with = |path: &String| {
        let mut args = args.clone();
        args["path"] = json!(path);
        args
    };
    step.paths.iter().map(with).collect()
}

/// What `policy explain` is asked of a call.
fn asked(step: &Step, tool: &str, args: &Value) -> Vec<String> {
    if let Some(explain) = &step.explain {
        return explain.clone();
    }
    // Of another refusal than a denial a policy knows nothing.
    let keys: &[&str] = if step.refused.is_some() { &[] } else { &["path", "from", "to"] };
    let paths = keys.iter().filter_map(|key| args[*key].as_str()).filter(|path| !path.is_empty());
    paths.map(|path| format!("{tool} {path}")).collect()
}

fn check_answer(step: &Step, answer: &Value, name: &str, faults: &mut Vec<String>) {
    let error = &answer["_meta"]["gloaming/error"];
    let failed = answer["isError"] == true;
    let (code, rule) = (error["code"].as_str().unwrap_or("no code"), error["rule"].as_str());
    let text = answer["content"][0]["text"].as_str().unwrap_or_default();
    let found = if failed { code } else { "ok" };
    let expected = match (&step.denied, &step.refused) {
        (Some(_), _) => "denied",
        (None, Some(code)) => code.as_str(),
        (None, None) => "ok",
    };
    if found != expected {
        faults.push(format!("{name}: expected {expected}, was answered {found}: {text:?}"));
        return;
    }
    if step.denied.is_some() && rule != step.denied.as_deref() {
        faults.push(format!("{name}: denied by {}", rule.unwrap_or("no rule")));
    }
    check_text(step, text, name, faults);
}

fn check_text(step: &Step, text: &str, name: &str, faults: &mut Vec<String>) {
    for wanted in step.has.iter().filter(|wanted| !text.contains(*wanted)) {
        faults.push(format!("{name}: the answer lacks {wanted:?}: {text:?}"));
    }
    for absent in step.lacks.iter().filter(|absent| text.contains(*absent)) {
        faults.push(format!("{name}: the answer holds {absent:?}: {text:?}"));
    }
}

/// Whoever asks beforehand must be told what the lane then does.
fn check_explained(scene: &Scene, step: &Step, asked: &[String], name: &str, faults: &mut Vec<String>) {
    if asked.is_empty() {
        return;
    }
    let explain = |call: &String| {
        let ran = scene.gloaming(&["policy", "explain", "--policy", "policy.toml", "--json", call]);
        let answer = ran.json();
        let denies = answer["decision"] == "deny";
        assert_eq!(ran.code, if denies { 5 } else { 0 }, "{call}: {answer}");
        denies.then(|| answer["rule"].as_str().unwrap_or_default().to_owned())
    };
    let denials: BTreeSet<String> = asked.iter().filter_map(explain).collect();
    let agrees = match &step.denied {
        Some(rule) => denials.contains(rule),
        None => denials.is_empty(),
    };
    if !agrees {
        faults.push(format!("{name}: policy explain says of {asked:?} that it is denied by {denials:?}"));
    }
}

fn job(scene: &Scene, step: &Step, kind: &str, name: &str, told: &mut String, faults: &mut Vec<String>) {
    let name = format!("{name}: check {kind}");
    let before = look(&scene.repo());
    let args = json!({"what": kind}).to_string();
    let called = ["tools", "call", "check", "--workspace", "repo", "--policy", "policy.toml"];
    let ran = scene.gloaming(&[&called[..], &["--args", &args, "--record", "--json"]].concat());
    told.push_str(&format!("{}\n{}\n", ran.stdout, ran.stderr));
    let answer = ran.json();
    let rule = answer["error"]["rule"].as_str();
    if let Some(expected) = &step.denied {
        if rule != Some(expected.as_str()) {
            faults.push(format!("{name}: expected a denial by {expected}: {answer}"));
        }
    } else if answer["output"]["exit"] != 0 {
        faults.push(format!("{name}: it did not end well: {answer}"));
    } else {
        check_text(step, answer["output"]["text"].as_str().unwrap_or_default(), &name, faults);
    }
    let asked = step.explain.clone().unwrap_or_else(|| vec![format!("check {kind}")]);
    check_explained(scene, step, &asked, &name, faults);
    check_tree(&before, &look(&scene.repo()), step, &name, faults);
}

/// A pattern that could only ever match nothing is a fault of the policy, told at its line.
fn check_not_loaded(scene: &Scene, pattern: &str, faults: &mut Vec<String>) {
    let rule = |paths: &str| {
        format!(
            "schema = 1\n[[deny]]\nid = \"d\"\ntools = [\"*\"]\npaths = [{}]\nbecause = \"It is secret.\"\n",
            json!(paths)
        )
    };
    for (paths, code) in [(pattern, 2), ("fine", 0)] {
        std::fs::write(scene.path().join("pattern.toml"), rule(paths)).expect("write");
        let ran = scene.gloaming(&["policy", "check", "pattern.toml"]);
        if ran.code != code || (code == 2 && !ran.stdout.contains("pattern.toml:5:")) {
            faults.push(format!("policy check of {paths:?} ended with {}: {}", ran.code, ran.stdout));
        }
    }
}

/// Everything in the folder but git's own data.
fn look(repo: &Path) -> Look {
    let mut found = Look::new();
    let mut todo = vec![repo.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable") {
            let entry = entry.expect("readable");
            let (path, kind) = (entry.path(), entry.file_type().expect("it has a kind"));
            let name = path.strip_prefix(repo).expect("inside").to_string_lossy().into_owned();
            if name == ".git" {
                continue;
            }
            let what = if kind.is_dir() {
                todo.push(path);
                "a folder".to_owned()
            } else if kind.is_symlink() {
                format!("a link to {}", std::fs::read_link(&path).expect("a link").display())
            } else {
                String::from_utf8_lossy(&std::fs::read(&path).expect("readable")).into_owned()
            };
            found.insert(name, what);
        }
    }
    found
}

fn check_tree(before: &Look, after: &Look, step: &Step, name: &str, faults: &mut Vec<String>) {
    let expected = |path: &str| {
        let holds = |may: &String| may.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        step.after.contains_key(path) || step.after.keys().any(holds)
    };
    for path in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let [was, is] = [before, after].map(|look| look.get(path).map_or("nothing", String::as_str));
        if was != is && !expected(path) {
            faults.push(format!("{name}: {path} was {was} and is {is}"));
        }
    }
    for (path, expected) in &step.after {
        let is = after.get(path).map(String::as_str);
        if is != expected.as_str() {
            faults.push(format!("{name}: afterwards {path} is {is:?}"));
        }
    }
}

/// `gloaming mcp` on the scene's repository; ended when the value is dropped.
struct Served {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    asked: u64,
}

impl Served {
    fn start(scene: &Scene) -> Self {
        let log = std::fs::File::create(scene.path().join("served.log")).expect("create");
        let mut child = scene
            .command(&["mcp", "--repo", "repo", "--policy", "policy.toml", "--journal", "journal.jsonl"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program runs");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let mut served = Self { child, input, output, asked: 0 };
        let hello = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "complaints", "version": "1"},
        });
        if let Err(fault) = served.request("initialize", &hello) {
            let log = std::fs::read_to_string(scene.path().join("served.log")).unwrap_or_default();
            panic!("gloaming mcp does not serve: {fault}\n{log}");
        }
        served.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        served
    }

    fn call(&mut self, tool: &str, args: &Value) -> Result<Value, String> {
        self.request("tools/call", &json!({"name": tool, "arguments": args}))
    }

    fn request(&mut self, method: &str, params: &Value) -> Result<Value, String> {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line).map_err(|error| error.to_string())?;
            if line.is_empty() {
                return Err("the server has gone".into());
            }
            let answer: Value = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
            if answer["id"] == id {
                let result = answer["result"].clone();
                return if result.is_null() { Err(answer.to_string()) } else { Ok(result) };
            }
        }
    }

    fn send(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("it is open until the end");
        // A server that has gone is told when its answer is read.
        let _ = writeln!(input, "{message}");
    }

    /// Lets it end by itself, so that its journal is whole.
    fn end(&mut self) {
        self.input.take();
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "gloaming mcp ended with {status}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
