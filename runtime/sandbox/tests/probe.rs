//! Our own interface, called raw by a guest.

use std::path::Path;

use gloaming_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::support::{call, get, options, tree, with_guest_and, workspace};

fn tried(sandbox: &Sandbox, dir: &Path, args: Value) -> Value {
    let call = call(sandbox, "probe", dir, args);
    let output = call.outcome.output.unwrap_or_else(|| panic!("{:?}", call.outcome.error));
    serde_json::from_str(output["text"].as_str().unwrap()).unwrap()
}

#[test]
fn a_guest_reads_lists_and_walks() {
    let sandbox = with_guest_and("evil-paths", options());
    let dir = workspace(&[("a/b.txt", "b"), ("a/.env", "KEY"), ("c", "c")]);
    let read = tried(&sandbox, dir.path(), json!({"op": "read", "path": "a/b.txt"}));
    assert_eq!(read["ok"]["data"], "b");
    assert_eq!(read["ok"]["version"], gloaming_api::Digest::of("b").as_str());
    let list = tried(&sandbox, dir.path(), json!({"op": "list", "path": "a"}));
    assert_eq!(
        list["ok"],
        json!([{"name": "b.txt", "escaped": false, "info": {"kind": "file", "size": 1, "executable": false}}])
    );
    let options = json!({"contents": true, "directories": true, "hidden": true}).to_string();
    let walk = tried(&sandbox, dir.path(), json!({"op": "walk", "path": "", "data": options}));
    let visited = |one: &Value| format!("{} {}", one["path"].as_str().unwrap(), one["content"]);
    let visited: Vec<String> = walk["ok"]["visited"].as_array().unwrap().iter().map(visited).collect();
    assert_eq!(visited, ["a null", "a/b.txt \"b\"", "c \"c\""]);
    let denied = tried(&sandbox, dir.path(), json!({"op": "stat", "path": "a/.env"}));
    assert_eq!(denied["error"]["code"], "denied");
    assert_eq!(denied["error"]["rule"], "no-secrets");
}

#[test]
fn a_commit_from_a_guest_is_whole_or_nothing() {
    let sandbox = with_guest_and("evil-paths", options());
    let dir = workspace(&[("a", "a"), ("b", "b")]);
    let before = tree(dir.path());
    let changes = |third: Value| {
        let list = json!([{"put": "a", "data": "A"}, {"rename": "b", "to": "c/d"}, third]);
        json!({"op": "commit", "path": "", "data": list.to_string()})
    };
    for third in [
        json!({"put": ".env", "data": "x"}),
        json!({"put": "a", "data": "x"}),
        json!({"put": "n", "data": "x", "expected": "sha256:0"}),
        json!({"remove": "missing"}),
        json!({"put": "../out", "data": "x"}),
    ] {
        let answer = tried(&sandbox, dir.path(), changes(third.clone()));
        assert!(answer["error"].is_object(), "{third}: {answer}");
        assert_eq!(tree(dir.path()), before, "{third}");
    }
    let answer = tried(&sandbox, dir.path(), changes(json!({"put": "n", "data": "n", "expected": "absent"})));
    assert!(answer.get("ok").is_some(), "{answer}");
    assert_eq!(get(dir.path(), "a").unwrap(), "A");
    assert_eq!(get(dir.path(), "c/d").unwrap(), "b");
}
