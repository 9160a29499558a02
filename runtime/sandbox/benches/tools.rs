//! A `read` call and a `search` over a large tree, against native programs doing the same in the same run.
//!
//! Prints medians and ratios; asserts nothing. `cargo bench -p gloaming-sandbox --bench tools`, with
//! GLOAMING_BENCH_TREE naming a folder to search (default: a tree of 30,000 files made for the run).
#![expect(clippy::disallowed_methods, reason = "a benchmark drives host programs and reads its own settings")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gloaming_api::RepoId;
use gloaming_policies::{Grant, ToolPermit};
use gloaming_sandbox::{Files, Options, Sandbox};
use serde_json::{Value, json};

fn main() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let tree = match std::env::var_os("GLOAMING_BENCH_TREE") {
        Some(tree) => PathBuf::from(tree),
        None => make_tree(&scratch.path().join("tree")),
    };
    let grant = Grant::resolve(&RepoId::local("bench"), Vec::new()).expect("preset:standard resolves");
    let sandbox = Sandbox::new(Options { deadline: Duration::from_secs(120), ..Options::default() })
        .expect("a sandbox");
    let files = Files::open(&tree).expect("the tree opens");
    let permit = |tool: &str| grant.permit_tool(tool).expect("the preset offers it");

    let small = scratch.path().join("small");
    std::fs::create_dir(&small).expect("mkdir");
    std::fs::write(small.join("file.rs"), "// a line of forty characters, or nearly\n".repeat(50))
        .expect("write");
    let small_files = Files::open(&small).expect("opens");
    let read = permit("read");
    println!("| `read` of a 2 KB file | median | ratio to ours |\n| --- | --- | --- |");
    let ours = median(2000, || call(&sandbox, &read, &small_files, &json!({"path": "file.rs"})));
    let path = small.join("file.rs");
    let cat = median(300, || run(Command::new("cat").arg(&path)));
    let native = median(2000, || drop(std::fs::read(&path).expect("readable")));
    row("sandboxed call, fresh instance", ours, ours);
    row("spawning `cat`", cat, ours);
    row("std::fs::read in process", native, ours);

    let count = walkdir_count(&tree);
    println!("\n| `search` over {count} files | median | ratio to ours |\n| --- | --- | --- |");
    let search = permit("search");
    for (name, args, native) in [
        (
            "literal",
            json!({"pattern": "needle_in_haystack", "literal": true, "limit": 10000}),
            vec!["-F", "needle_in_haystack"],
        ),
        (
            "regex",
            json!({"pattern": "needle_[a-z]+_haystack", "limit": 10000}),
            vec!["needle_[a-z]+_haystack"],
        ),
        (
            "case-insensitive",
            json!({"pattern": "NEEDLE_IN_haystack", "case_sensitive": false, "limit": 10000}),
            vec!["-i", "NEEDLE_IN_haystack"],
        ),
    ] {
        let ours = median(7, || call(&sandbox, &search, &files, &args));
        row(&format!("{name}: sandboxed"), ours, ours);
        let peers: [(&str, &[&str]); 3] =
            [("rg", &["rg", "-n"]), ("rg -j1", &["rg", "-n", "-j1"]), ("grep -rnE", &["grep", "-rnE"])];
        for (label, command) in peers {
            if !installed(command[0]) {
                println!("| {name}: `{label}` | not installed here | |");
                continue;
            }
            let mut native = native.clone();
            if command[0] == "grep" && native[0] == "-F" {
                native.remove(0);
            }
            let time =
                median(7, || run(Command::new(command[0]).args(&command[1..]).args(&native).arg(&tree)));
            row(&format!("{name}: `{label}`"), time, ours);
        }
    }
}

fn call(sandbox: &Sandbox, permit: &ToolPermit, files: &Files, args: &Value) {
    let call = sandbox.call(permit, files, args);
    assert!(call.outcome.ok, "{:?}", call.outcome);
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.is_ok(), "the program runs");
}

fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn median(times: usize, mut work: impl FnMut()) -> Duration {
    work();
    let mut all: Vec<Duration> = (0..times)
        .map(|_| {
            let since = Instant::now();
            work();
            since.elapsed()
        })
        .collect();
    all.sort();
    all[times / 2]
}

fn row(name: &str, time: Duration, ours: Duration) {
    println!(
        "| {name} | {:.3} ms | {:.2} |",
        time.as_secs_f64() * 1e3,
        time.as_secs_f64() / ours.as_secs_f64()
    );
}

/// Makes 30,000 files of some 4 KB in 300 folders; one in a hundred holds the needle.
fn make_tree(root: &Path) -> PathBuf {
    let filler =
        "fn some_function(argument: usize) -> Option<usize> { argument.checked_add(1) }\n".repeat(50);
    for folder in 0..300 {
        let dir = root.join(format!("module_{folder:03}"));
        std::fs::create_dir_all(&dir).expect("mkdir");
        for file in 0..100 {
            let mut text = filler.clone();
            if file == folder % 100 {
                text.push_str("let needle_in_haystack = 1;\n");
            }
            std::fs::write(dir.join(format!("file_{file:03}.rs")), text).expect("write");
        }
    }
    root.to_owned()
}

fn walkdir_count(root: &Path) -> usize {
    let mut count = 0;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable").flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => count += 1,
                _ => {}
            }
        }
    }
    count
}
