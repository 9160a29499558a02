//! Workspaces, policies, calls.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use gloaming_policies::{Grant, Layer, ToolPermit};
use gloaming_sandbox::{Call, Files, Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;

/// Everything is allowed but what begins with `.env`, `secrets` and, for writing, `locked`.
pub(crate) const POLICY: &str = r#"
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

pub(crate) fn options() -> Options {
    Options {
        cache_dir: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled")),
        ..Options::default()
    }
}

/// The sandbox that tests share, with the built-in tools.
pub(crate) fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::new(options()).expect("the sandbox is made"))
}

/// A sandbox with one guest of `tools/test-guests`, a small memory and a short deadline.
pub(crate) fn with_guest(name: &str) -> Sandbox {
    let options =
        Options { memory: 32 << 20, deadline: Duration::from_millis(300), max_instances: 4, ..options() };
    with_guest_and(name, options)
}

pub(crate) fn with_guest_and(name: &str, options: Options) -> Sandbox {
    let mut sandbox = Sandbox::without_tools(options).expect("the engine is set up");
    sandbox.register(&guest(name)).expect("the guest is registered");
    sandbox
}

/// A test guest's bytes.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let path = Path::new(env!("GLOAMING_TEST_COMPONENTS")).join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make tools` first", path.display()))
}

pub(crate) fn permit(tool: &str) -> ToolPermit {
    // The guests are tools as an operator's are: known where the policy says so.
    let own = gloaming_policies::TOOLS.contains(&tool);
    let known = if own { String::new() } else { format!("[[tool]]\nname = {tool:?}\n") };
    let policy =
        gloaming_policies::parse("policy.toml", &format!("{POLICY}{known}")).expect("the policy parses");
    let repo = "acme/api".parse().expect("a repository's name");
    let grant = Grant::resolve(&repo, vec![(Layer::Operator, policy)]).expect("the policy resolves");
    grant.permit_tool(tool).expect("the tool is permitted")
}

pub(crate) fn call(sandbox: &Sandbox, tool: &str, dir: &Path, args: Value) -> Call {
    let files = Files::open(dir).expect("the workspace opens");
    sandbox.call(&permit(tool), &files, &args)
}

pub(crate) fn workspace(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        put(dir.path(), name, content);
    }
    dir
}

pub(crate) fn put(dir: &Path, name: &str, content: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

pub(crate) fn get(dir: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(dir.join(name)).ok()
}

/// Every name below a folder with its kind, mode and content, sorted: two of these are equal when the
/// folders are.
pub(crate) fn tree(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            let kind = entry.file_type().unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            if kind.is_dir() {
                lines.push(format!("{name}/"));
                todo.push(path);
            } else if kind.is_symlink() {
                lines.push(format!("{name} -> {}", std::fs::read_link(&path).unwrap().display()));
            } else if kind.is_file() {
                let length = entry.metadata().unwrap().len();
                // A file with a hole of gigabytes is not read for its zeros.
                let content = if length > 1 << 20 { Vec::new() } else { std::fs::read(&path).unwrap() };
                let shown: String = content.escape_ascii().to_string().chars().take(60).collect();
                lines.push(format!("{name} {mode:o} {length} {shown:?}"));
            } else {
                lines.push(format!("{name} other"));
            }
        }
    }
    lines.sort();
    lines
}
