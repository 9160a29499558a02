//! The sandbox from outside: real components, real files.
#![expect(clippy::disallowed_methods, reason = "tests lay out workspaces and read guests")]

mod agreement;
mod concurrency;
mod control;
mod evil;
mod outline;
mod own_tools;
mod page;
mod probe;
mod registration;
mod schemas;
mod support;
mod syntax;
mod tools;
mod wasi;

/// A test file that is not named above would never run.
#[test]
fn every_test_file_is_a_module() {
    let text = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(
            ["main", "snapshots"].contains(&module) || text.contains(&format!("mod {module};")),
            "{name} is not a module"
        );
    }
}
