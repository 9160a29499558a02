//! What a tool built on the standard library can do, and what it cannot.

use std::os::unix::fs::symlink;
use std::path::Path;

use gloaming_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::support::{call, get, guest, options, put, tree, with_guest_and, workspace};

fn over_wasi() -> Sandbox {
    with_guest_and("evil-wasi", options())
}

/// `ok` with what was returned, or the error's kind.
fn tried(sandbox: &Sandbox, dir: &Path, op: &str, path: &str, to: &str, data: &str) -> String {
    let call = call(sandbox, "probe", dir, json!({"op": op, "path": path, "to": to, "data": data}));
    match call.outcome.output {
        None => format!("failed: {}", call.outcome.error.unwrap().message),
        Some(output) => {
            let text: Value = serde_json::from_str(output["text"].as_str().unwrap()).unwrap();
            match text.get("ok") {
                Some(ok) => format!("ok {ok}"),
                None => text["error"]["kind"].as_str().unwrap().to_owned(),
            }
        }
    }
}

#[test]
fn files_are_written_whole_when_they_are_closed_with_their_mode_kept() {
    let sandbox = over_wasi();
    let dir = workspace(&[("a.sh", "one")]);
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir.path().join("a.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (op, path, to, data, expected, after) in [
        ("write", "a.sh", "", "two", "ok null", ("a.sh", "two")),
        ("append", "a.sh", "", " three", "ok null", ("a.sh", "two three")),
        ("set_len", "a.sh", "", "3", "ok null", ("a.sh", "two")),
        ("truncate", "a.sh", "", "", "ok null", ("a.sh", "")),
        ("append", "new", "", "x", "ok null", ("new", "x")),
        ("create_new", "new", "", "y", "AlreadyExists", ("new", "x")),
        ("create_new", "newer", "", "y", "ok null", ("newer", "y")),
        ("open_write", "newer", "", "", "ok null", ("newer", "y")),
        ("write", "no/such/folder", "", "x", "NotFound", ("newer", "y")),
        ("create_dir_all", "some/folder", "", "", "ok null", ("newer", "y")),
        ("create_dir", "some/folder", "", "", "AlreadyExists", ("newer", "y")),
        ("write", "some/folder/f", "", "z", "ok null", ("some/folder/f", "z")),
        ("copy", "some/folder/f", "copied", "", "ok 1", ("copied", "z")),
        ("rename", "copied", "a.sh", "", "ok null", ("a.sh", "z")),
        ("remove_dir", "some", "", "", "AlreadyExists", ("some/folder/f", "z")),
        ("remove", "some/folder/f", "", "", "ok null", ("a.sh", "z")),
        ("remove_dir", "some/folder", "", "", "ok null", ("a.sh", "z")),
        ("exists", "a.sh", "", "", "ok true", ("a.sh", "z")),
        ("exists", "gone", "", "", "ok false", ("a.sh", "z")),
    ] {
        let found = tried(&sandbox, dir.path(), op, path, to, data);
        assert_eq!(found, expected, "{op} {path} {to}");
        assert_eq!(get(dir.path(), after.0).as_deref(), Some(after.1), "{op} {path} {to}");
    }
    assert_eq!(tree(dir.path()), ["a.sh 755 1 \"z\"", "new 644 1 \"x\"", "newer 644 1 \"y\"", "some/"]);
}

#[test]
fn links_times_and_folder_renames_are_refused() {
    let sandbox = over_wasi();
    let dir = workspace(&[("a", "a"), ("folder/.env", "KEY=1"), ("folder/b", "b"), (".env", "KEY=2")]);
    symlink("folder", dir.path().join("link")).unwrap();
    let before = tree(dir.path());
    for (op, path, to) in [
        ("symlink", "new", "../../outside"),
        ("symlink", "new", ".env"),
        ("symlink", "new", "a"),
        ("hard_link", ".env", "new"),
        ("hard_link", "a", "new"),
        ("read_link", "link", ""),
        ("set_times", "a", ""),
        ("rename", "folder", "elsewhere"),
        ("rename", "link", "elsewhere"),
        ("rename", "link/.env", "stolen"),
        ("rename", "link/b", "stolen"),
        ("rename", ".env", "a"),
        ("rename", "a", ".env"),
        ("rename", "a", "link/b"),
        ("rename", "a", "folder"),
        ("copy", ".env", "stolen"),
        ("copy", "link/.env", "stolen"),
        ("copy", "a", ".env.new"),
        ("write", ".env", ""),
        ("write", ".env.new", ""),
        ("create_new", ".env.new", ""),
        ("create_dir", "secrets", ""),
        ("create_dir", "link/new", ""),
        ("truncate", ".env", ""),
        ("append", ".env", ""),
        ("set_len", "link/b", ""),
        ("remove", ".env", ""),
        ("remove", "link", ""),
        ("remove", "link/b", ""),
        ("remove_dir", "link", ""),
        ("readdir", "link", ""),
        ("metadata", "link", ""),
        ("metadata", "link/b", ""),
        ("read", "/etc/passwd", ""),
        ("read", "../../etc/passwd", ""),
        ("readdir", "/", ""),
        ("readdir", "/etc", ""),
        ("write", "/tmp/owned", ""),
        ("write", "../owned", ""),
    ] {
        let found = tried(&sandbox, dir.path(), op, path, to, "x");
        assert!(!found.starts_with("ok"), "{op} {path} {to}: {found}");
        assert_eq!(tree(dir.path()), before, "{op} {path} {to}");
    }
}

/// A denied file and one that is missing look the same.
#[test]
fn there_is_no_oracle_for_denied_names() {
    let sandbox = over_wasi();
    let dir = workspace(&[(".env", "KEY=1"), ("secrets/key", "KEY=2")]);
    for op in [
        "read",
        "metadata",
        "symlink_metadata",
        "write",
        "open_write",
        "remove",
        "truncate",
        "readdir",
        "exists",
    ] {
        let there = tried(&sandbox, dir.path(), op, ".env", "", "");
        let missing = tried(&sandbox, dir.path(), op, ".env.missing", "", "");
        assert_eq!(there, missing, "{op}");
        let there = tried(&sandbox, dir.path(), op, "secrets/key", "", "");
        let missing = tried(&sandbox, dir.path(), op, "secrets/missing", "", "");
        assert_eq!(there, missing, "{op}");
    }
}

#[test]
fn a_name_that_is_not_utf8_does_not_hide_its_folder() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = over_wasi();
    let dir = workspace(&[("a", "")]);
    std::fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "").unwrap();
    let found = tried(&sandbox, dir.path(), "readdir", "", "", "");
    assert_eq!(found, r#"ok [{"kind":"file","name":"a"},{"kind":"file","name":"caf\\xe9"}]"#);
}

/// Our own interface, raw: the rename through a link that once stole a denied file, and the create that once
/// left an empty one behind.
#[test]
fn the_holes_of_an_earlier_interposer_stay_closed() {
    let sandbox = over_wasi();
    let dir = workspace(&[("secrets/key", "KEY=1")]);
    symlink("secrets", dir.path().join("innocent")).unwrap();
    put(dir.path(), "a", "a");
    assert_eq!(tried(&sandbox, dir.path(), "rename", "innocent/key", "stolen", ""), "InvalidInput");
    assert_eq!(tried(&sandbox, dir.path(), "create_new", ".env", "", "x"), "PermissionDenied");
    assert_eq!(
        tree(dir.path()),
        ["a 644 1 \"a\"", "innocent -> secrets", "secrets/", "secrets/key 644 5 \"KEY=1\""]
    );
}

#[test]
fn a_tool_over_wasi_is_one_that_writes() {
    let mut sandbox = Sandbox::without_tools(options()).unwrap();
    assert!(sandbox.register(&guest("evil-wasi")).unwrap().tools[0].writes);
}
