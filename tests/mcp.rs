//! `gloaming mcp` driven by the official TypeScript SDK's client, over both transports.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::own_tools::seven;
use crate::support::{Scene, partner};

const POLICY: &str = r#"
schema = 1
repos = ["local/*"]
extends = ["preset:standard"]

[[deny]]
id = "no-patches"
tools = ["patch"]
paths = ["**"]
because = "Edits are easier to read."
"#;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Where `tests/mcp/setup.sh` put the SDK; none, and a line that says so, where it is not installed.
fn sdk(test: &str) -> Option<PathBuf> {
    partner("GLOAMING_MCP_DIR", test)
}

/// A repository with a policy beside it, a secret, and files that are slow to search.
fn scene() -> Scene {
    let scene = Scene::new(&[
        ("src/lib.rs", "pub fn answer() -> u32 {\n    42\n}\n"),
        (".env", "PASSWORD=hunter2\n"),
    ]);
    std::fs::write(scene.path().join("p.toml"), POLICY).expect("write");
    std::fs::write(scene.path().join("token"), format!("{TOKEN}\n")).expect("write");
    // A million letters a and b in no order, so that no automaton can be made ahead of the search.
    let mut seed = 1_u64;
    for file in 0..8 {
        let mut text = String::with_capacity(1 << 20);
        for at in 1..=1_000_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push(if seed >> 63 == 0 { 'a' } else { 'b' });
            if at % 1000 == 0 {
                text.push('\n');
            }
        }
        scene.write(&[(&format!("slow/{file}.txt"), &text)]);
    }
    scene
}

/// Runs the script and returns what it printed, on both channels.
fn drive(scene: &Scene, sdk: &std::path::Path, rest: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/drive.mjs");
    let output = Command::new("node")
        .arg(script)
        .arg(sdk)
        .arg(scene.repo().canonicalize().expect("it is there"))
        .args(rest)
        .env("GLOAMING_HOME", scene.home())
        .output()
        .expect("node runs");
    let printed =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{printed}", output.status);
    printed
}

/// Checks the journal of one driven session by the program and by itself.
fn check_journal(scene: &Scene, file: &str) {
    let verified = scene.gloaming(&["journal", "verify", file, "--json"]).exits(0).json();
    assert_eq!(verified["ok"], true, "{verified}");
    let shown = scene.gloaming(&["journal", "show", file]).exits(0).stdout;
    assert!(shown.contains("client 1 is drive 1.0.0"), "{shown}");
    assert!(shown.contains("stopped serving"), "{shown}");
    let events = scene.gloaming(&["journal", "show", file, "--json"]).exits(0).json();
    let events = events["events"].as_array().expect("a list").clone();
    assert_eq!(events[0]["event"], "serving_started");
    assert_eq!(events[0]["data"]["policy"][0]["layer"], "operator");
    let calls: Vec<&Value> = events.iter().filter(|event| event["event"] == "tool_call").collect();
    let last = events.last().expect("not empty");
    assert_eq!((&last["event"], &last["data"]["calls"]), (&"serving_ended".into(), &calls.len().into()));
    let ended = |code: &str| {
        let with = calls.iter().filter(|call| call["data"]["outcome"]["error"]["code"] == code);
        with.map(|call| (*call).clone()).collect::<Vec<Value>>()
    };
    assert_eq!(ended("denied").len(), 3);
    let cancelled = ended("cancelled");
    assert_eq!(cancelled.len(), 2, "{cancelled:?}");
    for call in &cancelled {
        let record = &call["data"]["record"];
        assert_eq!(record["tool"], "search");
        // Stopped, not run out: its deadline is at 10 s.
        assert!(record["duration_us"]["total"].as_u64().expect("a number") < 9_000_000, "{record}");
    }
    let writes: Vec<&Value> =
        calls.iter().filter(|call| call["data"]["record"]["tool"] == "write").copied().collect();
    assert_eq!(writes[0]["data"]["record"]["decision"], "allow");
    assert!(!shown.contains("hunter2") && !format!("{events:?}").contains("hunter2"));
}

#[test]
fn the_typescript_sdk_drives_it_over_standard_input_and_output() {
    let Some(sdk) = sdk("the_typescript_sdk_drives_it_over_standard_input_and_output") else { return };
    let scene = scene();
    let path = |name: &str| scene.path().join(name).display().to_string();
    let (repo, policy, journal) = (path("repo"), path("p.toml"), path("journal.jsonl"));
    let program = env!("CARGO_BIN_EXE_gloaming");
    let server = ["stdio", program, "mcp", "--repo", &repo, "--policy", &policy, "--journal", &journal];
    let printed = drive(&scene, &sdk, &server);
    assert!(printed.contains("ok stdio: all of it"), "{printed}");
    assert!(
        printed.contains("a root of the client lies outside") && printed.contains("file:///etc"),
        "{printed}"
    );
    assert!(!printed.contains("root=\"file:///tmp"), "the served folder is no stranger: {printed}");
    check_journal(&scene, &journal);
}

/// A server over HTTP; killed when the value is dropped.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(scene: &Scene, more: &[&str]) -> Self {
        let mut args = vec!["mcp", "--repo", "repo", "--policy", "p.toml", "--http", "127.0.0.1:0"];
        args.extend(more);
        let mut child = scene.command(&args).stderr(Stdio::piped()).spawn().expect("the program runs");
        let mut lines = BufReader::new(child.stderr.take().expect("it is a pipe")).lines();
        let line = lines.next().expect("it says where it listens").expect("text");
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap_or_else(|| panic!("{line}"));
        let url = url.trim_end_matches(';').to_owned();
        // Read on, so that it is never held up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    fn interrupt(&mut self) -> i32 {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status().expect("kill runs");
        assert!(sent.success());
        self.child.wait().expect("it ends").code().unwrap_or(-1)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_typescript_sdk_drives_it_over_http() {
    let Some(sdk) = sdk("the_typescript_sdk_drives_it_over_http") else { return };
    let scene = scene();
    let mut serving = Serving::start(&scene, &["--token-file", "token", "--journal", "journal.jsonl"]);
    let printed = drive(&scene, &sdk, &["http", &serving.url.clone(), TOKEN]);
    assert!(printed.contains("ok http: all of it"), "{printed}");
    let begun = Instant::now();
    assert_eq!(serving.interrupt(), 0);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    check_journal(&scene, "journal.jsonl");
}

#[test]
fn what_it_cannot_serve_safely_it_does_not_serve() {
    let scene = Scene::new(&[("a.txt", "a\n")]);
    let refused = |args: &[&str], words: &str| {
        let ran = scene.gloaming(args).exits(2);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
    };
    refused(&["mcp", "--repo", "repo", "--http", "0.0.0.0:0"], "--token-file");
    refused(&["mcp", "--repo", "nowhere"], "nowhere");
    std::fs::write(scene.path().join("short"), "abc").expect("write");
    refused(&["mcp", "--repo", "repo", "--http", "127.0.0.1:0", "--token-file", "short"], "16");
    // A journal is not written over.
    std::fs::write(scene.path().join("old.jsonl"), "{}\n").expect("write");
    refused(&["mcp", "--repo", "repo", "--journal", "old.jsonl"], "old.jsonl");
    // The repository's own policy is the committed one, and fails closed.
    scene.write(&[(".gloaming/policy.toml", "schema = 1\n[[deny]]\nid = 3\n")]);
    scene.commit("a policy that does not load");
    refused(&["mcp", "--repo", "repo"], ".gloaming/policy.toml");
}

/// Starts the server on an empty standard input, where it begins and ends at once, and returns what it offered.
fn offered(scene: &Scene, journal: &str, more: &[&str]) -> Vec<String> {
    let mut args = vec!["mcp", "--repo", "repo", "--journal", journal];
    args.extend(more);
    let ran = scene.gloaming(&args).exits(0);
    assert_eq!(ran.stdout, "", "standard output is the protocol's");
    let events = scene.gloaming(&["journal", "show", journal, "--json"]).exits(0).json();
    let tools = events["events"][0]["data"]["tools"].as_array().expect("a list").clone();
    tools.iter().map(|tool| tool.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn the_repository_s_committed_policy_and_read_only_narrow_what_is_offered() {
    let scene = Scene::new(&[("a.txt", "a\n")]);
    let all = offered(&scene, "1.jsonl", &[]);
    assert!(all.contains(&"search".to_owned()) && all.contains(&"write".to_owned()), "{all:?}");
    let looking = offered(&scene, "2.jsonl", &["--read-only"]);
    assert!(looking.contains(&"search".to_owned()), "{looking:?}");
    for writing in ["edit", "write", "patch", "move", "remove"] {
        assert!(!looking.contains(&writing.to_owned()), "{looking:?}");
    }
    let policy = "schema = 1\n[[deny]]\nid = \"no-search\"\ntools = [\"search\"]\npaths = [\"**\"]\nbecause = \"Slow.\"\n";
    scene.write(&[(".gloaming/policy.toml", policy)]);
    assert_eq!(offered(&scene, "3.jsonl", &[]), all, "what is not committed does not count");
    scene.commit("a policy");
    let narrowed = offered(&scene, "4.jsonl", &[]);
    assert!(
        !narrowed.contains(&"search".to_owned()) && narrowed.contains(&"read".to_owned()),
        "{narrowed:?}"
    );
}

#[test]
fn registered_tools_are_offered_as_the_policy_allows_them_and_those_that_write_not_with_read_only() {
    let scene = Scene::new(&[("a.txt", "a\n")]);
    // `probe` writes, `seven` cannot.
    let writer = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/target/components/test/evil-paths.wasm");
    let seven = seven(&scene, 7).display().to_string();
    scene.gloaming(&["tools", "add", &seven, "--wit", "seven.wit"]).exits(0);
    scene.gloaming(&["tools", "add", writer]).exits(0);
    let both = |names: &[String]| ["probe", "seven"].map(|name| names.contains(&name.to_owned()));
    assert_eq!(both(&offered(&scene, "1.jsonl", &[])), [false, false]);
    let policy = "schema = 1\nextends = [\"preset:standard\"]\n\
        [[tool]]\nname = \"probe\"\n[[tool]]\nname = \"seven\"\n\
        [[allow]]\nid = \"own\"\ntools = [\"probe\", \"seven\"]\npaths = [\"**\"]\n";
    std::fs::write(scene.path().join("p.toml"), policy).expect("write");
    assert_eq!(both(&offered(&scene, "2.jsonl", &["--policy", "p.toml"])), [true, true]);
    let looking = offered(&scene, "3.jsonl", &["--policy", "p.toml", "--read-only"]);
    assert_eq!(both(&looking), [false, true], "{looking:?}");
    // A tool that the policy counts on and that is not there is no reason to begin without it.
    scene.gloaming(&["tools", "remove", "seven"]).exits(0);
    let missing = scene.gloaming(&["mcp", "--repo", "repo", "--policy", "p.toml"]).exits(2);
    assert!(missing.stderr.contains("the tool seven is not available"), "{}", missing.stderr);
}
