//! `outline` with its grammars compiled to WebAssembly.

use std::path::Path;
use std::time::Duration;

use gloaming_api::tool::ToolErrorCode;
use gloaming_sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use crate::support::{call, options, sandbox, workspace};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/outline/tests/sources");
const SNAPSHOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/outline/tests/snapshots");

fn outline(dir: &Path, args: Value) -> Value {
    let call = call(sandbox(), "outline", dir, args.clone());
    call.outcome.output.unwrap_or_else(|| panic!("{args}: {:?} {:?}", call.outcome.error, call.log))
}

#[test]
fn each_language_has_the_outline_it_has_natively() {
    let kinds = ["module", "class", "interface", "type", "function", "method", "variable", "macro", "field"];
    let mut compared = 0;
    for entry in std::fs::read_dir(SOURCES).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let output = outline(Path::new(SOURCES), json!({"path": name, "kinds": kinds}));
        let snapshot = Path::new(SNAPSHOTS).join(format!("outline__{}.snap", name.replace('.', "_")));
        let snapshot = std::fs::read_to_string(&snapshot).unwrap();
        let expected = snapshot.split_once("\n---\n").unwrap().1;
        // The snapshot has a line with kind and names before each line of the text.
        let text: Vec<&str> = output["text"].as_str().unwrap().lines().collect();
        let lines: Vec<&str> = expected.lines().collect();
        assert_eq!(lines[0], text[0]);
        let shown: Vec<&str> = lines[1..].iter().skip(1).step_by(2).map(|line| &line[4..]).collect();
        assert_eq!(shown, text[1..], "{name}");
        let kinds: Vec<String> = output["symbols"]
            .as_array()
            .unwrap()
            .iter()
            .map(|symbol| symbol["kind"].as_str().unwrap().to_owned())
            .collect();
        let expected: Vec<String> = lines[1..]
            .iter()
            .step_by(2)
            .map(|line| line.split_whitespace().next().unwrap().to_lowercase())
            .collect();
        assert_eq!(kinds, expected, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 11);
}

#[test]
fn deep_nesting_fits_on_the_guest_s_stack() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(50_000), close.repeat(50_000));
    let brackets = deep("(", ")");
    let files = [
        ("a.rs", deep("mod a { ", "}")),
        ("b.rs", format!("const X: u8 = {brackets};")),
        ("a.py", brackets.clone()),
        ("a.js", deep("[", "]")),
        ("b.js", "[{(".repeat(50_000)),
        ("a.tsx", deep("<a>", "</a>")),
        ("a.go", format!("package a\nvar x = {brackets}")),
        ("a.java", deep("class A { ", "}")),
        ("a.c", "{".repeat(100_000)),
        ("a.cpp", deep("namespace a { ", "}")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let dir = workspace(&files);
    for (path, _) in files {
        let call = call(sandbox(), "outline", dir.path(), json!({"path": path}));
        assert!(call.outcome.ok, "{path}: {:?} {:?}", call.outcome.error, call.log);
    }
}

/// Recovering from this needs memory for every way it might have been meant.
#[test]
fn a_source_that_takes_too_much_memory_is_told_as_that_and_costs_its_call_alone() {
    let dir = workspace(&[("a.cpp", &"a<".repeat(50_000)), ("b.cpp", "int b;\n")]);
    // Filling the memory takes seconds; on a busy machine more than a call has.
    let patient = Options { deadline: Duration::from_secs(300), ..options() };
    let patient = Sandbox::for_tool(patient, "outline").unwrap().unwrap();
    let failed = call(&patient, "outline", dir.path(), json!({}));
    let error = failed.outcome.error.unwrap();
    assert_eq!(error.code, ToolErrorCode::TooLarge, "{}", error.message);
    assert_eq!(error.message, "the tool needed more than 256 MiB of memory");
    let globs = json!({"globs": ["!a.cpp"]});
    assert_eq!(outline(dir.path(), globs)["text"], "b.cpp\n  1  int b\n");
}

#[test]
fn a_denied_file_is_left_out_below_a_folder_and_refused_by_name() {
    let dir = workspace(&[("secrets/key.py", "KEY = 1\n"), ("a.py", "A = 1\n")]);
    assert_eq!(outline(dir.path(), json!({}))["text"], "a.py\n  1  A = 1\n");
    let error =
        call(sandbox(), "outline", dir.path(), json!({"path": "secrets/key.py"})).outcome.error.unwrap();
    assert_eq!((error.code, error.rule.as_deref()), (ToolErrorCode::Denied, Some("no-secrets")));
}

#[test]
fn globs_hidden_and_ignored_choose_files() {
    let dir = workspace(&[
        (".gitignore", "gen.py\n"),
        (".hidden.py", "H = 1\n"),
        ("gen.py", "G = 1\n"),
        ("a.py", "A = 1\n"),
        ("b.rs", "fn b() {}\n"),
    ]);
    for (args, paths) in [
        (json!({}), "a.py b.rs"),
        (json!({"hidden": true}), ".hidden.py a.py b.rs"),
        (json!({"ignored": true}), "a.py b.rs gen.py"),
        (json!({"globs": ["*.rs"]}), "b.rs"),
        (json!({"globs": ["!*.rs"]}), "a.py"),
        (json!({"types": ["py"]}), "a.py"),
    ] {
        let output = outline(dir.path(), args.clone());
        let found: Vec<&str> =
            output["symbols"].as_array().unwrap().iter().map(|s| s["path"].as_str().unwrap()).collect();
        assert_eq!(found.join(" "), paths, "{args}");
    }
}
