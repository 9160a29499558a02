//! What the answer of a call says of syntax errors that it brought into source files.

use gloaming_sandbox::Files;
use serde_json::{Value, json};

use crate::support::{permit, put, sandbox};

/// Makes a call on a workspace of these files and returns its answer's note on syntax, if it has one.
fn noted(before: &[(&str, &str)], tool: &str, args: Value) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    before.iter().for_each(|(path, text)| put(dir.path(), path, text));
    let files = Files::open(dir.path()).unwrap();
    let call = sandbox().call(&permit(tool), &files, &args);
    assert!(call.outcome.ok, "{}", call.outcome.for_model());
    let text = call.outcome.for_model();
    text.find("[new syntax errors").map(|at| text[at..].to_owned())
}

#[test]
fn an_edit_that_breaks_a_file_is_told_so_with_the_line() {
    let before = [("src/a.rs", "fn a() {\n    one(two);\n}\n")];
    let edit = |new: &str| json!({"path": "src/a.rs", "old": "one(two);", "new": new});
    insta::assert_snapshot!(noted(&before, "edit", edit("one(two;")).unwrap(), @"
    [new syntax errors, which were not there before this call:
    src/a.rs:2:12: missing `)`, in: one(two;
    Look whether that is meant]
    ");
    assert_eq!(noted(&before, "edit", edit("one(three);")), None);
}

#[test]
fn what_was_broken_before_is_not_told_again() {
    let before = [("a.py", "def f(:\n    pass\n\nx = 1\n")];
    assert_eq!(noted(&before, "edit", json!({"path": "a.py", "old": "x = 1", "new": "x = 2"})), None);
    insta::assert_snapshot!(noted(&before, "edit", json!({"path": "a.py", "old": "x = 1", "new": "x = 2)"})).unwrap(), @"
    [new syntax errors, which were not there before this call:
    a.py:4:1: unexpected `x = 2)`, in: x = 2)
    Look whether that is meant]
    ");
}

#[test]
fn a_written_file_is_looked_at_and_one_without_a_grammar_is_not() {
    let write = |path: &str, content: &str| json!({"path": path, "content": content, "overwrite": true});
    insta::assert_snapshot!(noted(&[("a.ts", "let a = 1;\n")], "write", write("a.ts", "let a = {;\n")).unwrap(), @"
    [new syntax errors, which were not there before this call:
    a.ts:1:10: missing `}`, in: let a = {;
    Look whether that is meant]
    ");
    assert_eq!(noted(&[], "write", write("a.go", "package a\n\nfunc f() {}\n")), None);
    assert_eq!(noted(&[], "write", write("a.txt", "}{")), None);
}

#[test]
fn what_a_patch_moves_takes_its_old_errors_along() {
    let broken = "fn a( {\n}\n\nfn b() {\n    one();\n}\n";
    let moved = |new: &str| json!({"patch": format!("*** Begin Patch\n*** Update File: a.rs\n*** Move to: b.rs\n@@\n-    one();\n+    {new}\n*** End Patch")});
    assert_eq!(noted(&[("a.rs", broken)], "patch", moved("two();")), None);
    insta::assert_snapshot!(noted(&[("a.rs", broken)], "patch", moved("let x = ;")).unwrap(), @"
    [new syntax errors, which were not there before this call:
    b.rs:5:11: unexpected `=`, in: let x = ;
    Look whether that is meant]
    ");
}

#[test]
fn many_errors_and_long_lines_are_cut_and_large_files_left_alone() {
    let broken = format!("fn a() {{\n{}}}\n", format!("    let {} = ;\n", "x".repeat(300)).repeat(50));
    let note = noted(&[], "write", json!({"path": "a.rs", "content": broken})).unwrap();
    assert_eq!(note.lines().count(), 8, "{note}");
    assert!(note.len() < 1500 && note.contains("and 45 more\n"), "{note}");
    let large = format!("fn a( {{\n{}", "// line\n".repeat(20_000));
    assert_eq!(noted(&[], "write", json!({"path": "a.rs", "content": large})), None);
}

#[test]
fn old_errors_of_a_file_too_large_to_be_looked_at_are_not_new_once_it_is_small() {
    let filler = "// line\n".repeat(20_000);
    let large = format!("fn a( {{\n}}\n{filler}");
    let before = [("a.rs", large.as_str())];
    assert_eq!(noted(&before, "edit", json!({"path": "a.rs", "old": filler, "new": "fn b() {}\n"})), None);
    // In another place neither, where the large one is gone.
    let removed = filler.lines().map(|line| format!("-{line}\n")).collect::<String>();
    let patch = format!(
        "*** Begin Patch\n*** Update File: a.rs\n*** Move to: b.rs\n@@\n fn a( {{\n }}\n{removed}+fn b() {{}}\n*** End Patch"
    );
    assert_eq!(noted(&before, "patch", json!({"patch": patch})), None);
    // What another file of the call brings in is told all the same.
    let small = [("a.rs", "fn a() {}\n")];
    assert!(noted(&small, "edit", json!({"path": "a.rs", "old": "fn a() {}", "new": "fn a( {}"})).is_some());
}
