//! The vital property: a tool built against WASI and the same tool built against `workspace` decide and answer
//! alike, and leave the same files behind.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::OnceLock;

use gloaming_api::tool::ToolErrorCode;
use gloaming_sandbox::{Call, Sandbox};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{call, options, put, sandbox, tree, with_guest_and, workspace};

fn over_wasi() -> &'static Sandbox {
    static VARIANTS: OnceLock<Sandbox> = OnceLock::new();
    VARIANTS.get_or_init(|| sandbox().wasi_variants().expect("the variants are registered"))
}

/// One workspace with everything in it that has ever been a way out.
fn corpus() -> TempDir {
    let dir = workspace(&[
        ("a.txt", "one\ntwo\nthree\n"),
        ("crlf.txt", "one\r\ntwo\r\n"),
        ("empty", ""),
        ("src/lib.rs", "fn main() {}\n"),
        ("src/deep/er.rs", "fn deep() {}\n"),
        ("with space/ö 😀.txt", "text\n"),
        (".env", "KEY=1\n"),
        ("src/.env.local", "KEY=2\n"),
        ("secrets/key.txt", "KEY=3\n"),
        ("locked/l.txt", "one\n"),
        (".git/config", "[core]\n"),
        ("sub/.git/config", "[core]\n"),
        ("linked", "one\n"),
        ("binary", "a\0b"),
        ("twice.txt", "x\nx\n"),
    ]);
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("latin1.txt"), b"caf\xe9\n").unwrap();
    std::fs::hard_link(at("linked"), at("linked-too")).unwrap();
    std::fs::hard_link(at(".env"), at("env-link")).unwrap();
    symlink("a.txt", at("link")).unwrap();
    symlink(".env", at("link-to-denied")).unwrap();
    symlink("link", at("link-to-link")).unwrap();
    symlink("/etc/passwd", at("link-out")).unwrap();
    symlink("../../../etc/passwd", at("link-up")).unwrap();
    symlink("src", at("link-folder")).unwrap();
    symlink("secrets", at("link-secrets")).unwrap();
    symlink("nowhere", at("link-dangling")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), fifo, rustix::fs::Mode::from_raw_mode(0o666), 0)
        .unwrap();
    std::fs::File::create(at("large")).unwrap().set_len(9 << 20).unwrap();
    std::fs::File::create(at("huge")).unwrap().set_len(2 << 30).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(at("src/lib.rs"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(at("crlf.txt"), std::fs::Permissions::from_mode(0o600)).unwrap();
    dir
}

const PATHS: &[&str] = &[
    "a.txt",
    "./a.txt",
    "/workspace/a.txt",
    "/workspace//./a.txt",
    "src//lib.rs",
    "src/./deep/er.rs",
    "src/lib.rs/",
    "with space/ö 😀.txt",
    "crlf.txt",
    "empty",
    "binary",
    "latin1.txt",
    "large",
    "huge",
    "twice.txt",
    "",
    ".",
    "src",
    "/workspace",
    "missing",
    "missing/deep/er",
    "a.txt/below",
    ".env",
    "./.env",
    "/workspace/.env",
    ".//.env",
    ".env/",
    ".env.missing",
    "src/.env.local",
    "secrets/key.txt",
    "secrets/missing",
    "secrets",
    "locked/l.txt",
    ".git/config",
    ".git",
    "sub/.git/config",
    "linked",
    "linked-too",
    "env-link",
    "link",
    "link-to-denied",
    "link-to-link",
    "link-out",
    "link-up",
    "link-folder/lib.rs",
    "link-secrets/key.txt",
    "link-dangling",
    "fifo",
    "..",
    "../a.txt",
    "src/../a.txt",
    "src/../../etc/passwd",
    "/etc/passwd",
    "/",
    "/workspacex/a.txt",
    "/workspace/../etc/passwd",
    "a\0b",
];

/// What must be the same of two calls.
fn essence(call: &Call) -> Value {
    let record = &call.record;
    let error = call.outcome.error.as_ref();
    json!({
        "ok": call.outcome.ok,
        "output": call.outcome.output,
        "code": error.map(|error| error.code),
        "rule": error.and_then(|error| error.rule.clone()),
        "decision": record.decision,
        "denials": record.denials,
        "writes": record.writes,
        "bytes_written": record.bytes_written,
        // How often, and how far where it gives up, is the tool's own way.
        "read": call.outcome.ok.then(|| record.reads.iter().map(|read| &read.path).collect::<Vec<_>>()),
    })
}

fn agree(tool: &str, args: &Value) -> Call {
    let (dir, other) = (corpus(), corpus());
    let native = call(sandbox(), tool, dir.path(), args.clone());
    let wasi = call(over_wasi(), tool, other.path(), args.clone());
    let told = |call: &Call| call.outcome.error.as_ref().map(|error| error.message.clone());
    assert_eq!(
        essence(&wasi),
        essence(&native),
        "{tool} {args}\nwasi: {:?}\nnative: {:?}\n{:?}",
        told(&wasi),
        told(&native),
        wasi.log
    );
    assert_eq!(tree(other.path()), tree(dir.path()), "{tool} {args}");
    native
}

#[test]
fn read_answers_alike_over_wasi() {
    let mut codes = std::collections::BTreeMap::new();
    for path in PATHS {
        let call = agree("read", &json!({"path": path}));
        let code = call.outcome.error.map_or("ok".to_owned(), |error| format!("{:?}", error.code));
        *codes.entry(code).or_insert(0) += 1;
    }
    // The table holds all of it: not everything is refused, nor for one reason.
    assert!(codes.values().sum::<i32>() >= 40, "{codes:?}");
    assert!(codes.len() >= 5, "{codes:?}");
    for args in [
        json!({"path": "a.txt", "start": 2, "lines": 1}),
        json!({"path": "a.txt", "start": 9}),
        json!({"path": "a.txt", "lines": 0}),
        json!({"path": "large", "start": 1, "lines": 1}),
    ] {
        agree("read", &args);
    }
}

#[test]
fn edit_answers_alike_over_wasi_and_leaves_the_same_files() {
    for path in PATHS {
        agree("edit", &json!({"path": path, "old": "one", "new": "ONE"}));
        agree("edit", &json!({"path": path, "old": "KEY", "new": "stolen"}));
    }
    for args in [
        json!({"path": "twice.txt", "old": "x", "new": "y"}),
        json!({"path": "twice.txt", "old": "x", "new": "y", "all": true}),
        json!({"path": "src/lib.rs", "old": "fn main() {}", "new": ""}),
        json!({"path": "crlf.txt", "old": "one\ntwo", "new": "1\n2"}),
        json!({"path": "a.txt", "old": "absent", "new": "x"}),
        json!({"path": "a.txt", "old": "", "new": "x"}),
        json!({"path": "a.txt", "old": "one", "new": "one"}),
        json!({"path": "a.txt", "edits": [{"old": "one", "new": "1"}, {"old": "1", "new": "uno"}]}),
        json!({"path": "a.txt", "edits": [{"old": "one", "new": "1"}, {"old": "absent", "new": "x"}]}),
        json!({"edits": [{"path": "a.txt", "old": "one", "new": "1"}, {"path": ".env", "old": "KEY", "new": "x"}]}),
        json!({"path": "a.txt"}),
    ] {
        agree("edit", &args);
    }
}

#[test]
fn a_denial_over_wasi_keeps_its_rule_and_reason() {
    let dir = corpus();
    let call = call(over_wasi(), "read", dir.path(), json!({"path": ".env"}));
    let error = call.outcome.error.unwrap();
    assert_eq!(error.code, ToolErrorCode::Denied);
    assert_eq!(error.rule.as_deref(), Some("no-secrets"));
    assert_eq!(error.message, "the policy does not let .env be read: Secrets never enter a model's context.");
    assert_eq!(error.instead.as_deref(), Some("Name the variable."));
}

/// The same operation through each interface, raw.
fn probe(
    sandbox: &Sandbox,
    dir: &Path,
    op: &str,
    path: &str,
    to: Option<&str>,
    data: Option<&str>,
) -> (bool, Call) {
    let call = call(sandbox, "probe", dir, json!({"op": op, "path": path, "to": to, "data": data}));
    let output =
        call.outcome.output.clone().unwrap_or_else(|| panic!("{op} {path}: {:?}", call.outcome.error));
    let text: Value = serde_json::from_str(output["text"].as_str().unwrap()).unwrap();
    (text.get("ok").is_some(), call)
}

#[test]
fn raw_operations_over_wasi_go_as_those_of_our_own() {
    let ours = with_guest_and("evil-paths", options());
    let wasi = with_guest_and("evil-wasi", options());
    let (mut dir, mut other) = (corpus(), corpus());
    let before = tree(dir.path());
    for path in PATHS.iter().filter(|path| !path.contains('\0')) {
        // The native form and the one over WASI of each operation. A rename over WASI replaces what is
        // there, as POSIX has it; so the target is free here.
        for (native, over, to, data) in [
            ("stat", "symlink_metadata", None, None),
            ("read", "read", None, None),
            ("write", "write", None, Some("new")),
            ("remove", "remove", None, None),
            ("rename", "rename", Some("free"), None),
            ("rename", "rename", Some(".env.new"), None),
            ("rename", "rename", Some("locked/new"), None),
            ("rename", "rename", Some("../free"), None),
            ("rename", "rename", Some("link-folder/free"), None),
        ] {
            // Ours makes folders that are missing and reads no more than 8 MiB at once.
            if (native == "write" && path.contains("missing/"))
                || (native == "read" && ["large", "huge"].contains(path))
            {
                continue;
            }
            let (native_done, a) =
                probe(&ours, dir.path(), native, path, to, data.or((native == "rename").then_some("any")));
            let (wasi_done, b) = probe(&wasi, other.path(), over, path, to, data);
            let shown = format!(
                "{native} {path:?} {to:?}\nnative: {:?}\nwasi: {:?}",
                a.outcome.output, b.outcome.output
            );
            assert_eq!(wasi_done, native_done, "{shown}");
            assert_eq!(b.record.decision, a.record.decision, "{shown}");
            assert_eq!(b.record.denials, a.record.denials, "{shown}");
            let after = tree(dir.path());
            assert_eq!(tree(other.path()), after, "{shown}");
            if after != before {
                (dir, other) = (corpus(), corpus());
            }
        }
    }
}

#[test]
fn what_is_denied_is_left_out_of_a_folder_alike() {
    let ours = with_guest_and("evil-paths", options());
    let wasi = with_guest_and("evil-wasi", options());
    let dir = corpus();
    put(dir.path(), "src/plain", "");
    for folder in ["", "src", "secrets", ".git", "link-folder", "missing", "a.txt", "sub"] {
        let names = |sandbox: &Sandbox, op: &str| -> Option<Vec<String>> {
            let (_, call) = probe(sandbox, dir.path(), op, folder, None, None);
            let text: Value =
                serde_json::from_str(call.outcome.output.unwrap()["text"].as_str().unwrap()).unwrap();
            let mut names: Vec<String> = text["ok"]
                .as_array()?
                .iter()
                .map(|entry| entry["name"].as_str().unwrap().to_owned())
                .collect();
            names.sort();
            Some(names)
        };
        assert_eq!(names(&wasi, "readdir"), names(&ours, "list"), "{folder}");
    }
}
