//! The built-in tools, once each, with their records.

use gloaming_api::tool::{Decided, ToolErrorCode};
use serde_json::json;

use crate::support::{call, get, permit, sandbox, tree, workspace};

#[test]
fn each_tool_does_what_it_says_and_its_record_tells_it() {
    let dir = workspace(&[("src/a.rs", "fn a() {}\nfn b() {}\n"), ("b.txt", "x"), (".env", "KEY=1")]);
    let done = |tool: &str, args: serde_json::Value| {
        let call = call(sandbox(), tool, dir.path(), args);
        assert!(call.outcome.ok, "{tool}: {:?} {:?}", call.outcome.error, call.log);
        assert_eq!(call.record.decision, Decided::Allow, "{tool}");
        assert_eq!(call.record.tool, tool);
        assert_eq!(call.record.grant, *permit(tool).grant().digest());
        assert!(call.record.component.is_some() && call.record.peak_memory > 0, "{tool}");
        let record = &call.record;
        let shown = |list: &[gloaming_api::tool::PathBytes]| {
            list.iter().map(|entry| format!("{}:{}", entry.path, entry.bytes)).collect::<Vec<_>>().join(" ")
        };
        (call.outcome.output.unwrap(), shown(&record.reads), shown(&record.writes))
    };
    let (output, reads, writes) = done("read", json!({"path": "./src//a.rs"}));
    assert_eq!((output["path"].as_str(), output["total"].as_u64()), (Some("src/a.rs"), Some(2)));
    assert_eq!((reads.as_str(), writes.as_str()), ("src/a.rs:20", ""));

    let (output, reads, _) = done("list", json!({}));
    assert_eq!(output["paths"], json!(["b.txt", "src/a.rs"]));
    assert_eq!(reads, "");

    let (output, reads, _) = done("search", json!({"pattern": "fn b"}));
    assert_eq!(output["matches"][0]["line"], 2);
    assert_eq!(reads, "b.txt:1 src/a.rs:20");

    let (output, reads, writes) = done("outline", json!({"kinds": ["function"]}));
    assert_eq!(output["text"], "src/a.rs\n  1  fn a()\n  2  fn b()\n");
    assert_eq!(output["symbols"][1]["kind"], "function");
    assert_eq!((reads.as_str(), writes.as_str()), ("src/a.rs:20", ""));

    let (output, reads, writes) = done("edit", json!({"path": "src/a.rs", "old": "fn b", "new": "fn c"}));
    assert_eq!(output["replaced"], 1);
    assert_eq!((reads.as_str(), writes.as_str()), ("src/a.rs:20", "src/a.rs:20"));

    let (output, _, writes) = done("write", json!({"path": "new/n.txt", "content": "n"}));
    assert_eq!(output["created"], true);
    assert_eq!(writes, "new/n.txt:1");

    let patch = "*** Begin Patch\n*** Delete File: b.txt\n*** Add File: c.txt\n+c\n*** Update File: src/a.rs\n@@\n-fn a() {}\n+fn z() {}\n*** End Patch\n";
    let (_, _, writes) = done("patch", json!({"patch": patch}));
    assert_eq!(writes, "b.txt:0 c.txt:2 src/a.rs:20");
    assert_eq!(get(dir.path(), "src/a.rs").unwrap(), "fn z() {}\nfn c() {}\n");
    assert_eq!(get(dir.path(), "b.txt"), None);

    let (output, reads, writes) = done("move", json!({"from": "c.txt", "to": "moved/c.txt"}));
    assert_eq!(output["files"], json!([{"from": "c.txt", "to": "moved/c.txt"}]));
    assert_eq!((reads.as_str(), writes.as_str()), ("", "c.txt:0 moved/c.txt:0"));

    let (output, _, writes) = done("remove", json!({"path": "moved", "recursive": true}));
    assert_eq!(output["paths"], json!(["moved/c.txt"]));
    assert_eq!(writes, "moved/c.txt:0");
    assert_eq!(get(dir.path(), "moved/c.txt"), None);
}

#[test]
fn several_files_are_edited_moved_and_removed_all_or_not_at_all() {
    let files = [("src/a.rs", "one\n"), ("src/b.rs", "one\n"), ("locked/c.rs", "one\n"), ("locked/d", "")];
    let dir = workspace(&files);
    let before = tree(dir.path());
    let edit = |path: &str, old: &str| json!({"path": path, "old": old, "new": "two"});
    for (tool, args, code) in [
        ("edit", json!({"edits": [edit("src/a.rs", "one"), edit("src/b.rs", "x")]}), ToolErrorCode::Conflict),
        (
            "edit",
            json!({"edits": [edit("src/a.rs", "one"), edit("locked/c.rs", "one")]}),
            ToolErrorCode::Denied,
        ),
        ("move", json!({"from": "locked", "to": "open"}), ToolErrorCode::Denied),
        ("move", json!({"from": "src", "to": "locked/src"}), ToolErrorCode::Denied),
        ("move", json!({"from": "src", "to": "secrets"}), ToolErrorCode::Denied),
        ("remove", json!({"path": "locked", "recursive": true}), ToolErrorCode::Denied),
        ("remove", json!({"path": ".", "recursive": true}), ToolErrorCode::InvalidInput),
        (
            "patch",
            json!({"patch": "--- a/src/a.rs\n+++ b/src/a.rs\n@@ -1 +1 @@\n-one\n+two\n--- a/locked/c.rs\n+++ b/locked/c.rs\n@@ -1 +1 @@\n-one\n+two\n"}),
            ToolErrorCode::Denied,
        ),
    ] {
        let call = call(sandbox(), tool, dir.path(), args.clone());
        assert_eq!(call.outcome.error.map(|error| error.code), Some(code), "{tool} {args}");
        assert_eq!(tree(dir.path()), before, "{tool} {args}");
    }
    let moved = call(sandbox(), "move", dir.path(), json!({"from": "src", "to": "lib"}));
    assert!(moved.outcome.ok, "{:?}", moved.outcome.error);
    assert_eq!(get(dir.path(), "lib/b.rs").unwrap(), "one\n");
}

#[test]
fn diff_without_a_base_says_that_there_is_none() {
    let dir = workspace(&[("a", "1")]);
    let error = call(sandbox(), "diff", dir.path(), json!({})).outcome.error.unwrap();
    assert_eq!(error.code, ToolErrorCode::NotFound);
    assert_eq!(error.message, "there is no base to compare with: this workspace has none");
}

#[test]
fn a_denied_read_says_the_rule_and_is_recorded() {
    let dir = workspace(&[(".env", "KEY=1")]);
    for spelling in [".env", "./.env", "/workspace/.env", ".//.env", ".env/"] {
        let call = call(sandbox(), "read", dir.path(), json!({"path": spelling}));
        let error = call.outcome.error.unwrap();
        assert_eq!(error.code, ToolErrorCode::Denied, "{spelling}");
        assert_eq!(error.rule.as_deref(), Some("no-secrets"), "{spelling}");
        assert_eq!(error.instead.as_deref(), Some("Name the variable."), "{spelling}");
        assert_eq!(call.record.decision, Decided::Deny, "{spelling}");
        let denials: Vec<String> =
            call.record.denials.iter().map(|denial| format!("{} {}", denial.path, denial.rule)).collect();
        assert_eq!(denials, [".env no-secrets"], "{spelling}");
        assert_eq!(call.record.bytes_read, 0, "{spelling}");
    }
}

#[test]
fn bad_arguments_are_named_with_what_was_expected_and_given() {
    let dir = workspace(&[]);
    for (tool, args, expected) in [
        ("read", json!({}), "`path` is missing: expected text"),
        ("read", json!({"path": 3}), "`path`: expected text, got 3"),
        (
            "read",
            json!({"path": "a", "start": -1}),
            "`start`: expected a whole number from 0 to 4294967295, got -1",
        ),
        (
            "read",
            json!({"path": "a", "start": "1"}),
            "`start`: expected a whole number from 0 to 4294967295, got \"1\"",
        ),
        (
            "read",
            json!({"path": "a", "strat": 1}),
            "there is no field `strat`; the fields are path, start, lines, column",
        ),
        ("read", json!("a"), "expected an object with the tool's arguments, got \"a\""),
        ("list", json!({"globs": "*.rs"}), "`globs`: expected a list, each text, got \"*.rs\""),
        ("list", json!({"globs": ["a", null]}), "`globs[1]`: expected text, got null"),
    ] {
        let call = call(sandbox(), tool, dir.path(), args.clone());
        let error = call.outcome.error.unwrap();
        assert_eq!((error.code, error.message.as_str()), (ToolErrorCode::InvalidInput, expected), "{args}");
        assert_eq!(call.record.args_digest, gloaming_api::Digest::of_json(&args));
    }
}

#[test]
fn null_stands_for_an_absent_option_and_whole_floats_for_integers() {
    let dir = workspace(&[("a", "1\n2\n3\n")]);
    let call = call(sandbox(), "read", dir.path(), json!({"path": "a", "start": 2.0, "lines": null}));
    assert_eq!(call.outcome.output.unwrap()["first"], 2);
}

#[test]
fn a_permit_for_another_tool_finds_none() {
    let dir = workspace(&[]);
    let call = call(sandbox(), "check", dir.path(), json!({}));
    let error = call.outcome.error.unwrap();
    assert_eq!(error.code, ToolErrorCode::NotFound);
    assert_eq!(
        error.message,
        "there is no tool \"check\"; the tools are diff, edit, list, move, outline, patch, read, remove, search, write"
    );
}
