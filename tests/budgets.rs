//! What runs may spend, alone and together: nothing is spent that does not fit, whoever else is at work, and what was
//! spent is known after a kill.

use std::net::TcpListener;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::evil_model::{Scripted, calls};
use crate::resume::{FILES, events, killed_after};
use crate::support::Scene;

/// An answer of the scripted model has a thousand tokens in and a hundred out; at this price eleven cents.
const PRICE: &str = "100,100";
const ANSWER: f64 = 0.11;

fn reads(count: u32) -> Vec<Value> {
    (1..=count).map(|n| calls(&[("read", json!({"path": "calc/core.py", "start": n}))])).collect()
}

/// Reads so often, and gives up.
fn transcript(count: u32) -> Value {
    let mut answers = reads(count);
    answers.push(calls(&[("give_up", json!({"reason": "underspecified", "summary": "which?"}))]));
    Value::Array(answers)
}

fn arguments<'a>(url: &'a str, out: &'a str) -> Vec<&'a str> {
    let mut args =
        vec!["run", "--repo", "repo", "--task", "twice(3) should be 6", "--model", "openai:scripted"];
    args.extend(["--model-url", url, "--model-price", PRICE, "--team", "coder", "--policy", "p.toml"]);
    args.extend(["--out", out, "--json"]);
    args
}

fn whole_team<'a>(url: &'a str, out: &'a str) -> Vec<&'a str> {
    arguments(url, out).into_iter().map(|arg| if arg == "coder" { "full" } else { arg }).collect()
}

fn policy(scene: &Scene, numbers: &str) {
    let text = format!("schema = 1\nextends = [\"preset:standard\"]\n\n{numbers}\n");
    std::fs::write(scene.path().join("p.toml"), text).unwrap();
}

/// What `gloaming budget` says of the one repository: spent, set aside, and how many calls.
fn told(scene: &Scene) -> (f64, f64, u64) {
    let told = scene.gloaming(&["budget", "--json"]).exits(0).json();
    let of = &told["repositories"][0];
    let number = |value: &Value| value["cost_usd"].as_f64().unwrap();
    (number(&of["spent"]), number(&of["held"]), of["calls"].as_u64().unwrap())
}

fn bow_out(scene: &Scene, out: &str) -> Value {
    serde_json::from_slice(&std::fs::read(scene.path().join(out).join("bowout.json")).unwrap()).unwrap()
}

#[test]
fn tokens_and_what_tools_answer_run_out() {
    let scene = Scene::new(FILES);
    let model = Scripted::start(&scene, &Value::Array(reads(40)));
    policy(&scene, "[budget]\ncost_usd = 1000\ntokens = 20_000");
    let ran = scene.gloaming(&arguments(model.url(), "tokens")).exits(3).json();
    assert_eq!(ran["reason_code"], "budget_exhausted", "{ran}");
    let summary = ran["summary"].as_str().unwrap();
    assert!(summary.starts_with("The next question and its answer may have up to "), "{summary}");
    let (tokens, asked) = (ran["cost"]["tokens"].as_u64().unwrap(), ran["cost"]["calls"].as_u64().unwrap());
    assert!(asked > 1 && tokens == 1100 * asked && tokens <= 20_000, "{ran}");

    policy(&scene, "[budget]\ncost_usd = 1000\ntool_bytes = \"1KiB\"");
    let ran = scene.gloaming(&arguments(model.url(), "bytes")).exits(3).json();
    assert_eq!(ran["reason_code"], "budget_exhausted", "{ran}");
    let handed: Vec<u64> = events(&scene.path().join("bytes"))
        .iter()
        .filter(|event| event["event"] == "tool_call")
        .map(|event| event["data"]["outcome"]["output"]["text"].as_str().unwrap_or_default().len() as u64)
        .collect();
    let bytes = ran["cost"]["tool_bytes"].as_u64().unwrap();
    // By no more than the call in flight.
    let last = handed.last().copied().unwrap();
    assert!(bytes >= 1024 && bytes - last < 1024, "{bytes} with {handed:?}: {ran}");

    // What a model is shown again, it is handed again.
    let mut answers = reads(1);
    let again = || ("recall", json!({"result": 1}));
    answers.push(calls(&[again(), again(), again()]));
    answers.push(calls(&[("give_up", json!({"reason": "underspecified", "summary": "which?"}))]));
    let model = Scripted::start(&scene, &Value::Array(answers));
    policy(&scene, "[budget]\ncost_usd = 1000");
    let ran = scene.gloaming(&arguments(model.url(), "recalled")).exits(3).json();
    let read = events(&scene.path().join("recalled"))
        .iter()
        .find(|event| event["data"]["id"] == "coder-call-1")
        .map(|event| event["data"]["outcome"]["output"]["text"].as_str().unwrap().len() as u64)
        .unwrap();
    assert!(ran["cost"]["tool_bytes"].as_u64().unwrap() >= 4 * read, "{read}: {ran}");
    for out in ["tokens", "bytes", "recalled"] {
        let replay = scene.gloaming(&["replay", &format!("{out}/journal.jsonl"), "--json"]).exits(0).json();
        assert_eq!(replay["same"], true, "{out}: {replay:#}");
    }
}

#[test]
fn runs_at_once_share_a_days_cap() {
    let scene = Scene::new(FILES);
    let model = Scripted::start(&scene, &transcript(3));
    // Two bounds and a little: most are refused while others are in flight, and the rest when it is spent.
    policy(&scene, "[budget]\ncost_usd = 1000\n\n[budget.day]\ncost_usd = 3.2");
    let outs: Vec<String> = (0..6).map(|n| format!("out-{n}")).collect();
    let children: Vec<_> = outs
        .iter()
        .map(|out| {
            let mut command = scene.command(&arguments(model.url(), out));
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(3));
    }
    let ends: Vec<Value> = outs.iter().map(|out| bow_out(&scene, out)).collect();
    let cost: f64 = ends.iter().map(|end| end["cost"]["usd"].as_f64().unwrap()).sum();
    let (spent, held, asked) = told(&scene);
    assert!((spent - cost).abs() < 1e-6 && held == 0.0, "{spent} and {held}, {cost} in the bow-outs");
    assert!(spent <= 3.2 && (spent - ANSWER * asked as f64).abs() < 1e-6, "{spent} in {asked} calls");
    assert!(asked >= 2, "at least the first were made");
    let refused =
        ends.iter().position(|end| end["reason_code"] == "budget_exhausted").expect("one is refused");
    let end = &ends[refused];
    assert!(end["summary"].as_str().unwrap().contains("all runs on local/repo may spend on "), "{end:#}");
    assert_eq!(end["retryable"], true);
    assert_eq!(
        end["what_would_unblock"][1]["detail"],
        "`cost_usd` under [budget.day] in the operator's policy"
    );

    // What others spent is the record's to say: the ledger is gone, and it is the same story.
    for name in ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"] {
        let _ = std::fs::remove_file(scene.home().join(name));
    }
    let out = scene.path().join(&outs[refused]);
    let file = out.join("journal.jsonl");
    let replay = scene.gloaming(&["replay", file.to_str().unwrap(), "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    assert!(lines[lines.len() - 2].contains("\"budget_refused\""), "{text}");
    std::fs::write(&file, lines[..lines.len() - 1].concat()).unwrap();
    let ran = scene.gloaming(&["resume", &outs[refused], "--model-url", model.url(), "--json"]).exits(3);
    assert_eq!(ran.json()["summary"], end["summary"]);
}

#[test]
fn a_machines_cap_binds_every_repository() {
    let scene = Scene::new(FILES);
    let model = Scripted::start(&scene, &transcript(2));
    policy(&scene, "");
    let run = |out: &str, name: &str| {
        let mut args = arguments(model.url(), out);
        args.extend(["--as", name]);
        scene.gloaming(&args).exits(3).json()
    };
    assert_eq!(run("one", "acme/api")["reason_code"], "underspecified");
    // Three answers have 3,300, and the next may have more than 8,192.
    std::fs::write(scene.home().join("budget.toml"), "schema = 1\n[day]\ntokens = 9_000\n").unwrap();
    let refused = run("two", "acme/web");
    assert_eq!(refused["reason_code"], "budget_exhausted");
    let end = bow_out(&scene, "two");
    assert_eq!(end["what_would_unblock"][1]["detail"], "`tokens` under [day] in budget.toml");
    let shown = scene.gloaming(&["budget"]).exits(0).stdout;
    let lines: Vec<String> =
        shown.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let (api, all) = (&lines[1], lines.last().unwrap());
    assert!(api.starts_with("acme/api $0.3300 $0.0000 $50.00 3300 0 100000000 3"), "{shown}");
    assert!(
        all.starts_with("all repositories $") && all.contains(" no cap ") && all.contains(" 9000 "),
        "{shown}"
    );
}

#[test]
fn what_cannot_be_held_is_not_spent() {
    let scene = Scene::new(FILES);
    let model = Scripted::start(&scene, &transcript(1));
    policy(&scene, "");
    let caps = scene.home().join("budget.toml");
    for (text, why) in [
        ("schema = 1\n[day]\ncost_usd = \"5\"\n", "budget.toml: TOML parse error"),
        ("schema = 1\n[day]\ncost_usd = -1\n", "`cost_usd` is a number of US dollars, 0 or more"),
        ("schema = 1\n[days]\ncost_usd = 5\n", "unknown field `days`"),
        ("schema = 2\n", "it has schema 2; this version reads 1"),
    ] {
        std::fs::write(&caps, text).unwrap();
        for args in [arguments(model.url(), "out"), vec!["budget"]] {
            let ran = scene.gloaming(&args).exits(2);
            assert!(ran.stderr.contains(why), "{text:?}: {}", ran.stderr);
        }
    }
    let page = include_str!("../docs/budgets.md");
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    std::fs::write(&caps, example).unwrap();
    let told = scene.gloaming(&["budget", "--json"]).exits(0).json();
    assert_eq!(told["machine"]["caps"], json!({"cost_usd": 100.0, "tokens": 200_000_000}));
    std::fs::remove_file(&caps).unwrap();
    let ledger = scene.home().join("ledger.sqlite");
    let _ = std::fs::remove_file(scene.home().join("ledger.sqlite-wal"));
    std::fs::write(&ledger, "no ledger at all, and long enough to be taken for one. ".repeat(40)).unwrap();
    let ran = scene.gloaming(&arguments(model.url(), "out")).exits(4);
    assert!(
        ran.stderr.contains("open the ledger") && ran.stderr.contains("is not a database"),
        "{}",
        ran.stderr
    );
    assert!(!scene.out().join("journal.jsonl").exists(), "nothing was begun");
    // What asks no model spends nothing.
    let rename =
        ["run", "--repo", "repo", "--task", "Rename the function twice to double everywhere", "--out", "out"];
    scene.gloaming(&rename).exits(0);
}

#[test]
fn a_call_in_flight_when_its_process_is_killed_counts_at_the_most_it_can_take() {
    let scene = Scene::new(FILES);
    policy(&scene, "[budget.day]\ncost_usd = 30");
    // It takes the question and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", silent.local_addr().unwrap());
    let out = scene.path().join("out");
    let is_question = |event: &Value| event["event"] == "model_asked";
    let model = Scripted::start(&scene, &transcript(0));
    scene.gloaming(&whole_team(model.url(), "whole")).exits(3);
    // Who reads the task asks first, before any job is run.
    let first = events(&scene.path().join("whole")).iter().position(is_question).unwrap() + 1;
    let (whole, _, each) = told(&scene);

    assert!(killed_after(&scene, &whole_team(&url, "out"), &out, first));
    assert_eq!(events(&out).iter().filter(|event| is_question(event)).count(), 1);
    let (spent, held, asked) = told(&scene);
    assert!(spent == whole && held > ANSWER && asked == each + 1, "{spent} and {held} in {asked} calls");

    // Whoever goes on takes that bound for spent, and asks again.
    let ran = scene.gloaming(&["resume", "out", "--model-url", model.url(), "--json"]).exits(3).json();
    assert_eq!(ran["reason_code"], "underspecified", "{ran}");
    let (after, none, asked) = told(&scene);
    assert!(none == 0.0 && asked == 2 * each + 1, "{none} is set aside in {asked} calls");
    assert!((after - 2.0 * whole - held).abs() < 1e-6, "{after}, {whole}, {held}");
    assert!((ran["cost"]["usd"].as_f64().unwrap() - whole - held).abs() < 1e-6, "{ran}");
}

#[test]
fn an_answer_that_nobody_waits_for_counts_at_the_most_it_can_take() {
    let scene = Scene::new(FILES);
    policy(&scene, "[budget]\nwall = \"2s\"");
    // It takes the question and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", silent.local_addr().unwrap());
    let ran = scene.gloaming(&whole_team(&url, "out")).exits(3).json();
    assert_eq!(ran["reason_code"], "budget_exhausted", "{ran}");
    assert!(ran["summary"].as_str().unwrap().starts_with("The time allowed (2 seconds) ran out"), "{ran}");
    let (spent, held, asked) = told(&scene);
    assert!(held == 0.0 && asked == 1 && spent > ANSWER, "{spent} and {held} in {asked} calls");
    assert!((ran["cost"]["usd"].as_f64().unwrap() - spent).abs() < 1e-6, "{ran}");
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");
}
