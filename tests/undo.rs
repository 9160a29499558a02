//! `gloaming journal undo`: calls of a served session and of a living attempt are put back, and nothing else is.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::evil_model::{Scripted, calls};
use crate::support::{Ran, Scene};

const FILES: &[(&str, &str)] = &[
    ("src/lib.rs", "pub fn answer() -> u32 {\n    42\n}\n"),
    ("run.sh", "#!/bin/sh\necho hello\n"),
    ("old/a.txt", "a\n"),
    ("old/deep/b.txt", "b\n"),
    ("notes.md", "# Notes\n"),
];

/// A session of `gloaming mcp` over standard input and output; killed when the value is dropped.
struct Session {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    asked: u64,
}

impl Session {
    fn start(scene: &Scene, more: &[&str]) -> Self {
        let mut args = vec!["mcp", "--repo", "repo", "--journal", "journal.jsonl"];
        args.extend(more);
        let mut command = scene.command(&args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program runs");
        let input = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        let mut session = Self { child, input, lines, asked: 0 };
        let client = json!({"name": "undo", "version": "1"});
        session.ask(
            "initialize",
            &json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}),
        );
        session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        session
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input.as_mut().expect("it is open"), "{message}").expect("it reads");
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let line = self.lines.next().expect("it answers").expect("text");
            let message: Value = serde_json::from_str(&line).expect("JSON");
            if message["id"] == id && message.get("method").is_none() {
                assert!(message.get("error").is_none(), "{message}");
                return message["result"].clone();
            }
        }
    }

    /// Makes a call that must succeed and returns its id in the journal.
    fn call(&mut self, tool: &str, args: &Value) -> String {
        let result = self.ask("tools/call", &json!({"name": tool, "arguments": args}));
        assert_ne!(result["isError"], true, "{result}");
        result["_meta"]["gloaming/call"].as_str().expect("an id").to_owned()
    }

    /// Closes standard input, as a client that quits does, and waits for the end.
    fn end(mut self) {
        self.input = None;
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn undo(scene: &Scene, more: &[&str]) -> Ran {
    let mut args = vec!["journal", "undo", "journal.jsonl"];
    args.extend(more);
    scene.gloaming(&args)
}

/// Every file of the repository with mode and content, and every folder.
fn snapshot(repo: &Path) -> Vec<(PathBuf, u32, Option<Vec<u8>>)> {
    let (mut found, mut todo) = (Vec::new(), vec![repo.to_owned()]);
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if path.ends_with(".git") {
                continue;
            }
            let content = kind.is_file().then(|| std::fs::read(&path).unwrap());
            found.push((path.clone(), entry.metadata().unwrap().permissions().mode(), content));
            if kind.is_dir() {
                todo.push(path);
            }
        }
    }
    found.sort();
    found
}

fn scene() -> Scene {
    let scene = Scene::new(FILES);
    std::fs::set_permissions(scene.repo().join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    scene
}

/// Makes one call with each of the writing tools and returns their ids.
fn change_everything(session: &mut Session) -> Vec<String> {
    let patch = "*** Begin Patch\n*** Update File: src/lib.rs\n@@\n-    42\n+    43\n*** Add File: new/file.txt\n+x\n\
                 *** Delete File: notes.md\n*** End Patch";
    vec![
        session.call("write", &json!({"path": "docs/made/new.md", "content": "new\n"})),
        session.call("write", &json!({"path": "run.sh", "content": "#!/bin/sh\n", "overwrite": true})),
        session.call("edit", &json!({"path": "src/lib.rs", "old": "answer", "new": "reply"})),
        session.call("patch", &json!({"patch": patch})),
        session.call("move", &json!({"from": "old", "to": "moved/there"})),
        session.call("remove", &json!({"path": "moved", "recursive": true})),
        session.call("edit", &json!({"path": "src/lib.rs", "old": "43", "new": "44"})),
    ]
}

#[test]
fn calls_of_a_session_are_undone_while_it_runs_and_after_its_client_quit() {
    let scene = scene();
    let before = snapshot(&scene.repo());
    let mut session = Session::start(&scene, &[]);
    let ids = change_everything(&mut session);
    assert_eq!(ids.first().map(String::as_str), Some("1.1"));
    session.call("read", &json!({"path": "src/lib.rs"}));
    let changed = snapshot(&scene.repo());
    let shown = scene.gloaming(&["journal", "show", "journal.jsonl"]).exits(0).stdout;
    assert!(shown.contains(", call 1.4, changed 3 files and 1 folder\n"), "{shown}");
    assert!(shown.contains(", call 1.5, changed 4 files and 3 folders\n"), "{shown}");

    // Looked at, then done, while the server has the journal open; by id and by number.
    let looked = undo(&scene, &["1.7", "--dry-run"]).exits(0).stdout;
    assert!(looked.starts_with("would undo call ") && looked.contains("put back src/lib.rs"), "{looked}");
    assert_eq!(snapshot(&scene.repo()), changed);
    assert!(!scene.path().join("journal.undone.jsonl").exists());
    let undone = undo(&scene, &["1.7", "--json"]).exits(0).json();
    assert_eq!((&undone["outcome"], &undone["calls"][0]["id"]), (&json!("undone"), &json!("1.7")));
    let number = undone["calls"][0]["number"].to_string();
    let text = std::fs::read_to_string(scene.repo().join("src/lib.rs")).unwrap();
    assert_eq!(text, "pub fn reply() -> u32 {\n    43\n}\n");
    let again = undo(&scene, &[&number]).exits(0).stdout;
    assert!(again.starts_with("undone already: everything is as it was before call "), "{again}");

    // The session goes on with what is there now.
    session.call("edit", &json!({"path": "src/lib.rs", "old": "43", "new": "45"}));
    session.end();
    undo(&scene, &["--since", "1.1"]).exits(0);
    assert_eq!(snapshot(&scene.repo()), before);
    assert_eq!(undo(&scene, &["--since", "1.1", "--json"]).exits(0).json()["outcome"], "already");

    scene.gloaming(&["journal", "verify", "journal.jsonl"]).exits(0);
    scene.gloaming(&["journal", "verify", "journal.undone.jsonl"]).exits(0);
    let record = scene.gloaming(&["journal", "show", "journal.undone.jsonl", "--json"]).exits(0).json();
    let events = record["events"].as_array().unwrap();
    assert_eq!(events.len(), 2, "{record:#}");
    assert_eq!(events[0]["data"]["calls"], json!([undone["calls"][0]["number"]]));
    assert_eq!(events[1]["data"]["calls"].as_array().unwrap().len(), 8);
    let first = scene.gloaming(&["journal", "show", "journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(events[1]["data"]["journal"], first["events"][0]["hash"]);
}

#[test]
fn what_was_changed_since_is_refused_with_the_call_that_did_it() {
    let scene = scene();
    let mut session = Session::start(&scene, &[]);
    change_everything(&mut session);
    session.end();
    let changed = snapshot(&scene.repo());
    let refused = undo(&scene, &["1.3"]).exits(1).stderr;
    assert!(
        refused.contains("src/lib.rs has been changed since: by call ") && refused.contains("(1.7, edit)")
    );
    assert!(refused.contains("first, or all of them with `--since"), "{refused}");
    // The user's own work is nobody's to undo.
    scene.write(&[("run.sh", "mine\n")]);
    let refused = undo(&scene, &["1.2", "--json"]).exits(1);
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("run.sh has been changed since: by no call of this journal"), "{error}");
    undo(&scene, &["--since", "1.1"]).exits(1);
    scene.write(&[("run.sh", "#!/bin/sh\n")]);
    assert_eq!(snapshot(&scene.repo()), changed);

    for (call, words) in [
        ("1.99", "there is no call 1.99"),
        ("0", "there is no call 0 in the journal"),
        ("nonsense", "there is no call nonsense"),
    ] {
        let refused = undo(&scene, &[call]).exits(2).stderr;
        assert!(refused.contains(words), "{refused}");
    }
    undo(&scene, &[]).exits(2);
    undo(&scene, &["1.1", "--since", "1.1"]).exits(2);
    scene.gloaming(&["journal", "undo", "nowhere.jsonl", "1.1"]).exits(2);
    let journal = std::fs::read_to_string(scene.path().join("journal.jsonl")).unwrap();
    std::fs::write(scene.path().join("forged.jsonl"), journal.replace("reply", "evil!")).unwrap();
    let refused = scene.gloaming(&["journal", "undo", "forged.jsonl", "1.3"]).exits(2).stderr;
    assert!(refused.contains("is not a whole journal"), "{refused}");
}

#[test]
fn a_policy_that_denies_the_change_by_now_denies_undoing_it() {
    let scene = scene();
    let mut session = Session::start(&scene, &[]);
    session.call("edit", &json!({"path": "src/lib.rs", "old": "42", "new": "43"}));
    session.call("edit", &json!({"path": "notes.md", "old": "Notes", "new": "Remarks"}));
    session.end();
    let policy = "schema = 1\n[[deny]]\nid = \"sources-are-frozen\"\ntools = [\"*\"]\naccess = \"write\"\n\
                  paths = [\"src/\"]\nbecause = \"A release is being made.\"\ninstead = \"Wait for it.\"\n";
    std::fs::write(scene.path().join("p.toml"), policy).unwrap();
    let denied = undo(&scene, &["1.1", "--policy", "p.toml"]).exits(5).stderr;
    assert!(denied.contains("A release is being made. (rule sources-are-frozen)"), "{denied}");
    // The repository's own counts as it is committed now.
    scene.write(&[(".gloaming/policy.toml", policy)]);
    scene.commit("a policy");
    let denied = undo(&scene, &["--since", "1.1"]).exits(5).stderr;
    assert!(denied.contains("sources-are-frozen") && denied.contains("Wait for it."), "{denied}");
    undo(&scene, &["1.2"]).exits(0);
    assert!(std::fs::read_to_string(scene.repo().join("notes.md")).unwrap().contains("Notes"));
    assert!(std::fs::read_to_string(scene.repo().join("src/lib.rs")).unwrap().contains("43"));
}

#[test]
fn only_what_a_session_of_ours_kept_is_put_back() {
    let scene = scene();
    let mut session = Session::start(&scene, &[]);
    session.call("edit", &json!({"path": "src/lib.rs", "old": "42", "new": "43"}));
    session.call("read", &json!({"path": "src/lib.rs"}));
    session.end();
    let refused = undo(&scene, &["1.2"]).exits(2).stderr;
    assert!(refused.contains("there is nothing to undo of call 1.2"), "{refused}");
    // A journal that another home wrote, whatever it says.
    let elsewhere = scene.path().join("elsewhere");
    let mut command = scene.command(&["journal", "undo", "journal.jsonl", "1.1"]);
    let refused = crate::support::ran(command.env("GLOAMING_HOME", &elsewhere).output().unwrap()).exits(1);
    assert!(refused.stderr.contains("nothing is kept any more"), "{}", refused.stderr);

    let kept = std::fs::read_dir(scene.home().join("undo")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o700);
    let images = std::fs::read_dir(&kept).unwrap().flatten().map(|entry| entry.path());
    let image = images.into_iter().find(|path| !path.ends_with("alive")).expect("a before-image");
    let content = std::fs::read_to_string(&image).unwrap();
    assert_eq!(content, FILES[0].1);
    std::fs::write(&image, content.replace("42", "66")).unwrap();
    let refused = undo(&scene, &["1.1"]).exits(1).stderr;
    assert!(refused.contains("src/lib.rs had the digest sha256:") && refused.contains("what is kept of it"));
    assert!(std::fs::read_to_string(scene.repo().join("src/lib.rs")).unwrap().contains("43"));
    std::fs::write(&image, content).unwrap();
    undo(&scene, &["1.1"]).exits(0);
}

#[test]
fn a_call_of_an_attempt_is_undone_until_the_attempt_ends() {
    let scene = Scene::new(&[
        ("Cargo.toml", "[package]\nname = \"victim\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"victim\"\nversion = \"0.1.0\"\n"),
        ("src/lib.rs", "#[test]\nfn works() {\n    assert_eq!(1, 1);\n}\n"),
    ]);
    // The check that follows the edit never ends by itself.
    let endless = "loop { std::thread::park(); }";
    let transcript = json!([calls(&[
        ("edit", json!({"path": "src/lib.rs", "old": "assert_eq!(1, 1);", "new": endless})),
        ("check", json!({"what": "test"})),
    ])]);
    let model = Scripted::start(&scene, &transcript);
    let args =
        ["run", "--repo", "repo", "--task", "Make it better", "--out", "out", "--model", "openai:scripted"];
    let mut command = scene.command(&args);
    command.args(["--model-price", "0,0", "--model-url", model.url()]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs");
    let journal = scene.out().join("journal.jsonl");
    let call = loop {
        let text = std::fs::read_to_string(&journal).unwrap_or_default();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(event) = events.into_iter().find(|event| event["data"]["record"]["tool"] == "edit") {
            break event;
        }
        assert!(child.try_wait().expect("it can be asked").is_none(), "it ended: {text}");
        std::thread::yield_now();
    };
    let number = call["seq"].to_string();
    let work = std::fs::read_dir(scene.home().join("cache/work")).unwrap().next().unwrap().unwrap().path();
    let file = work.join("attempt/workspace/src/lib.rs");
    assert!(std::fs::read_to_string(&file).unwrap().contains(endless));
    let undone = scene.gloaming(&["journal", "undo", "out/journal.jsonl", &number, "--json"]).exits(0).json();
    assert_eq!(undone["outcome"], "undone", "{undone}");
    assert!(std::fs::read_to_string(&file).unwrap().contains("assert_eq!(1, 1);"));
    assert!(std::fs::read_to_string(scene.repo().join("src/lib.rs")).unwrap().contains("assert_eq!(1, 1);"));

    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    child.wait().expect("it ends");
    let refused = scene.gloaming(&["journal", "undo", "out/journal.jsonl", &number]).exits(1).stderr;
    assert!(refused.contains("has no workspace any more"), "{refused}");
    scene.gloaming(&["journal", "verify", "out/journal.undone.jsonl"]).exits(0);
}
