//! The one way to a file, tried directly, by both openers.
#![expect(clippy::disallowed_methods, reason = "tests lay out workspaces")]

mod base;
mod changing;
mod escapes;
mod looking;
mod undoing;
mod walking;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use gloaming_api::Digest;
use gloaming_api::RelPath;
use gloaming_api::tool::ToolErrorCode;
use gloaming_policies::{Grant, Layer};
use tempfile::TempDir;

use super::*;

/// Everything is allowed but what begins with `.env`, `secrets` and, for writing, `locked`.
const POLICY: &str = r#"
schema = 1
[[allow]]
id = "all"
tools = ["*"]
paths = ["**"]
[[deny]]
id = "no-secrets"
tools = ["*"]
paths = [".env*", "secrets/"]
because = "Secrets never enter a model's context."
instead = "Name the variable."
[[deny]]
id = "locked"
tools = ["*"]
access = "write"
paths = ["locked/"]
because = "It is locked."
"#;

fn permit(policy: &str) -> ToolPermit {
    let policy = gloaming_policies::parse("policy.toml", policy).expect("the policy parses");
    let repo = "acme/api".parse().expect("a repository's name");
    let grant = Grant::resolve(&repo, vec![(Layer::Operator, policy)]).expect("the policy resolves");
    grant.permit_tool("edit").expect("the tool is permitted")
}

fn on(files: &Files) -> Session {
    Session::new(files, permit(POLICY), Instant::now() + Duration::from_secs(60))
}

/// A session for each way of opening, on the same folder.
fn both(dir: &Path) -> [(&'static str, Session); 2] {
    [("openat2", on(&Files::open(dir).unwrap())), ("stepwise", on(&Files::open_stepwise(dir).unwrap()))]
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn workspace(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        put(dir.path(), name, content);
    }
    dir
}

fn put(dir: &Path, name: &str, content: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn get(dir: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(dir.join(name)).ok()
}

fn mode(dir: &Path, name: &str) -> u32 {
    std::fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o7777
}

/// Every name below a folder, sorted: shows that nothing was left behind.
fn tree(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            names.push(entry.path().strip_prefix(dir).unwrap().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            }
        }
    }
    names.sort();
    names
}

fn refusal<T: std::fmt::Debug>(answer: Answer<T>) -> (ToolErrorCode, String) {
    let error = answer.expect_err("it should have been refused");
    (error.code, error.message)
}
