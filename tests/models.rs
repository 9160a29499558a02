//! `gloaming models`: a model checked end to end, against a server written by others (`tests/wire/setup.sh`), and the
//! prices that count.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::evil_model::{Scripted, calls};
use crate::support::{Ran, Scene, partner};

/// llmock, killed when the value is dropped.
struct Llmock {
    child: Child,
    url: String,
}

impl Drop for Llmock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Llmock {
    /// Starts it on a free port and waits until it has said which.
    fn start(test: &str) -> Option<Self> {
        let folder = partner("GLOAMING_WIRE_DIR", test)?;
        let program = folder.join("llmock/bin/llmock");
        let mut child = Command::new(program)
            .args(["serve", "--host", "127.0.0.1", "--port", "0"])
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("llmock starts; else run tests/wire/setup.sh again");
        let mut lines = BufReader::new(child.stderr.take().expect("it is a pipe")).lines();
        let line = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("Uvicorn running on "))
            .expect("llmock says where it listens");
        // It must never wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let url = line.split("running on ").nth(1).and_then(|rest| rest.split_whitespace().next());
        Some(Self { child, url: url.expect("an address").to_owned() })
    }

    /// Has it behave so from here on.
    fn script(&self, behaviors: &Value) {
        for (path, body) in [("reset", json!({})), ("scenario", json!({"behaviors": behaviors}))] {
            let address = self.url.trim_start_matches("http://");
            post(address, &format!("/_llmock/{path}"), &body.to_string());
        }
    }

    fn test(&self, scene: &Scene, provider: &str, more: &[&str]) -> Ran {
        let path = match provider {
            "anthropic" => "/anthropic",
            "gemini" => "/gemini/v1beta",
            _ => "/v1",
        };
        let (spec, url) = (format!("{provider}:some-model"), format!("{}{path}", self.url));
        let mut args = vec!["models", "test", &spec, "--model-url", &url, "--json"];
        args.extend(more);
        scene.gloaming_with(&args, &[("OPENAI_API_KEY", "sk-x"), ("ANTHROPIC_API_KEY", "sk-x")])
    }
}

fn post(address: &str, path: &str, body: &str) {
    use std::io::Read as _;
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}

/// Each check and how it went.
fn results(report: &Value) -> Vec<(&str, &str)> {
    let checks = report["models"][0]["checks"].as_array().expect("a list");
    let word = |check: &'_ Value, key: &str| check[key].as_str().expect("a word").to_owned();
    checks
        .iter()
        .map(|check| {
            assert!(!word(check, "detail").is_empty());
            (check["check"].as_str().expect("a word"), check["result"].as_str().expect("a word"))
        })
        .collect()
}

#[test]
fn a_model_that_does_what_a_run_needs_passes_every_check() {
    let Some(llmock) = Llmock::start("models") else { return };
    let scene = Scene::bare_folder();
    for provider in ["anthropic", "openai", "openai-responses", "gemini", "openai-compatible"] {
        let report = llmock.test(&scene, provider, &["--model-price", "1,2"]).exits(0).json();
        let all = ["whole answer", "streamed answer", "tool call", "tool result", "usage", "price"];
        assert_eq!(results(&report), all.map(|check| (check, "works")), "{provider}: {report}");
        assert_eq!(report["works"], true);
        assert!(report["models"][0]["cost_usd"].as_f64().expect("the price is known") > 0.0, "{report}");
    }
    // And so does one that has no tool calls of its own.
    for provider in ["openai-responses", "openai-compatible"] {
        let more = ["--model-price", "1,2", "--model-tools", "schema"];
        assert_eq!(llmock.test(&scene, provider, &more).exits(0).json()["works"], true);
    }
    let ran = llmock.test(&scene, "anthropic", &["--model-tools", "schema"]).exits(2);
    assert!(ran.stderr.contains("call tools natively"), "{ran:?}");
    // For people, the same in a table.
    let spec = ["models", "test", "openai-compatible:m", "--model-url"];
    let url = format!("{}/v1", llmock.url);
    let shown = scene.gloaming(&[&spec[..], &[&url, "--model-price", "0,0"]].concat()).exits(0).stdout;
    assert!(shown.contains("  tool call        works      add(a = "), "{shown}");
}

#[test]
fn what_a_model_lacks_is_told_apart_from_a_server_that_does_not_answer() {
    let Some(llmock) = Llmock::start("models") else { return };
    let scene = Scene::bare_folder();
    // It answers, and never calls.
    llmock.script(&json!([{"type": "reply", "text": "I would rather not.", "times": null}]));
    let report = llmock.test(&scene, "openai", &[]).exits(1).json();
    assert_eq!(
        results(&report),
        [
            ("whole answer", "works"),
            ("streamed answer", "works"),
            ("tool call", "fails"),
            ("tool result", "not_asked"),
            ("usage", "works"),
            ("price", "fails"),
        ],
        "{report}"
    );
    assert_eq!((report["works"].as_bool(), report["models"][0]["cost_usd"].as_f64()), (Some(false), None));

    // The key is bad: nothing is asked that needs an answer, and no key is told.
    llmock.script(&json!([{"type": "fail", "status": 401, "message": "bad key sk-x", "times": null}]));
    let ran = llmock.test(&scene, "anthropic", &["--model-price", "1,2"]).exits(4);
    let report = ran.json();
    assert_eq!(
        results(&report),
        [
            ("whole answer", "unreachable"),
            ("streamed answer", "unreachable"),
            ("tool call", "not_asked"),
            ("tool result", "not_asked"),
            ("usage", "not_asked"),
            ("price", "works"),
        ],
        "{report}"
    );
    assert!(
        report["models"][0]["checks"][0]["detail"]
            .as_str()
            .is_some_and(|words| words.ends_with("check the API key"))
    );
    assert!(!format!("{ran:?}").contains("sk-x"), "{ran:?}");

    // Streams break, whole answers come: the call is tried by those.
    let broken = json!({"type": "stream_fault", "kind": "truncate", "after_chunks": 1, "times": null});
    llmock.script(&json!([broken]));
    let report = llmock.test(&scene, "openai-responses", &["--model-price", "1,2"]).exits(4).json();
    assert_eq!(
        results(&report)[..4],
        [
            ("whole answer", "works"),
            ("streamed answer", "unreachable"),
            ("tool call", "works"),
            ("tool result", "works"),
        ],
        "{report}"
    );
}

#[test]
fn a_model_that_cannot_be_asked_at_all_is_wrong_use() {
    let scene = Scene::bare_folder();
    for (args, words) in [
        (["models", "test", "some-model"], "is not PROVIDER:MODEL"),
        (["models", "test", "openai:gpt-5"], "no API key is given"),
        (["models", "test", "openai-compatible:m"], "no base URL is given"),
    ] {
        let ran = scene.gloaming(&args).exits(2);
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
}

/// The first provider is down; the second does the work, and the journal says both what was asked for and who answered.
#[test]
fn a_run_goes_on_with_the_next_model_of_its_chain() {
    let scene = Scene::new(&[
        ("Cargo.toml", "[package]\nname = \"page\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"page\"\nversion = \"0.1.0\"\n"),
        ("src/lib.rs", "#[test]\nfn works() {}\n"),
    ]);
    let words = json!({"reason": "underspecified", "summary": "Which page is meant is not said."});
    let transcript = json!([calls(&[("give_up", words)])]);
    let model = Scripted::start(&scene, &transcript);
    let prices = "schema = 1\n[[price]]\nprovider = \"openai-compatible\"\nmodel = \"scripted\"\ninput = 0\noutput = 0\n";
    std::fs::write(scene.home().join("prices.toml"), prices).expect("written");
    let chain = "anthropic:claude-sonnet-4-5,openai-compatible:scripted";
    let args =
        ["run", "--repo", "repo", "--task", "Make the page better", "--team", "coder", "--model", chain];
    // Nobody listens on port 9, where discarded bytes go.
    let env = [
        ("ANTHROPIC_API_KEY", "sk-x"),
        ("ANTHROPIC_BASE_URL", "http://127.0.0.1:9"),
        ("OPENAI_BASE_URL", model.url()),
    ];
    let told = scene.gloaming_with(&[&args[..], &["--out", "out", "--json"]].concat(), &env).exits(3).json();
    assert_eq!(told["reason_code"], "underspecified", "{told:#}");
    let text = std::fs::read_to_string(scene.out().join("journal.jsonl")).expect("it is there");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let data = |kind: &str| {
        events
            .iter()
            .find(|event| event["event"] == kind)
            .map(|event| &event["data"])
            .expect("it is recorded")
    };
    assert_eq!(data("attempt_started")["model"], chain);
    let answered = data("model_call")["response"]["model"].as_str().expect("a name").to_owned();
    assert!(answered.starts_with("openai-compatible:"), "{answered}");
    scene.gloaming(&["replay", "out/journal.jsonl"]).exits(0);
}

/// Address and key of a provider can be the operator's once and for all; options and the environment go before.
#[test]
fn a_providers_address_and_key_come_from_the_operators_file() {
    let scene = Scene::bare_folder();
    let write = |text: &str| std::fs::write(scene.home().join("models.toml"), text).expect("written");
    std::fs::write(scene.home().join("openai.key"), "sk-from-the-file\n").expect("written");
    for (env, key) in [(vec![], "sk-from-the-file"), (vec![("OPENAI_API_KEY", "sk-env")], "sk-env")] {
        // One each: what the run before had waiting in the queue is not asked here.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        write(&format!(
            "schema = 1\n[provider.openai]\nurl = \"http://{address}/v1\"\nkey_file = \"openai.key\"\n\
         requests_per_minute = 600\n"
        ));
        std::thread::scope(|threads| {
            let asked = threads.spawn(|| {
                let (mut stream, _) = listener.accept().expect("somebody asks");
                let mut head = String::new();
                let mut lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() {
                        break;
                    }
                    head.push_str(&line.to_lowercase());
                    head.push('\n');
                }
                let refused = "HTTP/1.1 401 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(refused.as_bytes()).expect("it listens");
                head
            });
            // Its next question finds nobody who answers, and it is ended.
            let mut command = scene.command(&["models", "test", "openai:gpt-5", "--json"]);
            command.envs(env.clone()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().expect("it starts");
            let head = asked.join().expect("it was asked");
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
            assert!(head.contains(&format!("authorization: bearer {key}\n")), "{head}");
        });
    }
    for (text, words) in [
        ("schema = 2\n", "schema 2"),
        ("schema = 1\n[provider.nobody]\n", "none of the providers"),
        ("schema = 1\n[provider.openai]\nrequests_per_minute = 0\n", "never be asked"),
        ("schema = 1\n[provider.openai]\nkey = \"sk-x\"\n", "unknown field `key`"),
        ("schema = 1\n[provider.openai]\nkey_file = \"none\"\n", "cannot read the key file"),
    ] {
        write(text);
        let ran = scene.gloaming(&["models", "test", "openai:gpt-5"]).exits(2);
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
}

/// Every price says where it is from, and the operator's own stand before the built-in ones.
#[test]
fn prices_are_listed_with_their_sources_and_the_operators_count_first() {
    let scene = Scene::bare_folder();
    let source = |report: &Value, provider: &str, model: &str| {
        let rows: Vec<Value> = report["models"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|row| row["provider"] == provider && row["model"] == model)
            .cloned()
            .collect();
        assert!(rows.len() < 2, "a model has one price: {rows:?}");
        rows.first().map(|row| (row["source"].clone(), row["usd_per_million"]["input"].clone()))
    };
    let built_in = scene.gloaming(&["models", "list", "--json"]).exits(0).json();
    let (from, price) = source(&built_in, "openai", "gpt-5").expect("it is known");
    assert!(from.as_str().is_some_and(|from| from.starts_with("built in, as of ")), "{from}");
    assert_eq!(price, 1.25);

    let own = "schema = 1\nsource = \"our contract\"\n\n[[price]]\nprovider = \"openai\"\nmodel = \"gpt-5\"\n\
               input = 1.0\noutput = 8.0\n\n[[price]]\nprovider = \"openai-compatible\"\nmodel = \"*\"\ninput = 0\n\
               output = 0\nsource = \"our own machine\"\n";
    std::fs::write(scene.home().join("prices.toml"), own).expect("written");
    let listed = scene.gloaming(&["models", "list", "--json"]).exits(0).json();
    assert_eq!(source(&listed, "openai", "gpt-5"), Some((json!("our contract"), json!(1.0))));
    assert_eq!(source(&listed, "openai-compatible", "*"), Some((json!("our own machine"), json!(0.0))));
    assert!(scene.gloaming(&["models", "list"]).exits(0).stdout.contains("our own machine"));

    std::fs::write(scene.home().join("prices.toml"), "schema = 1\n[[price]]\nmodel = 3\n").expect("written");
    let ran = scene.gloaming(&["models", "list"]).exits(2);
    assert!(ran.stderr.contains("prices.toml"), "{ran:?}");
}
