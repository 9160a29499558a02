//! A workspace becomes a patch, and the patch makes the same tree again.

use std::os::unix::fs::symlink;

use gloaming_workspace::RepoError;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::{Scene, files, git_with, os, set_mode, write};

#[test]
fn every_kind_of_change_is_in_the_patch() {
    let scene = Scene::empty(&[]);
    for name in ["edit.txt", "delete.txt", "mode.sh", "to-link", "to-folder", "keep.txt", "crlf.txt"] {
        scene.write(name, format!("{name}\r\n"));
    }
    scene.write("folder/to-file/x", "x\n");
    scene.write("bytes.bin", b"\0\x01\x02");
    symlink("keep.txt", scene.repo().join("link")).unwrap();
    scene.commit("first");
    let (repository, checkout) = scene.checked_out();
    let dir = checkout.dir();
    write(&dir.join("edit.txt"), "edited\r\nmore\r\n");
    std::fs::remove_file(dir.join("delete.txt")).unwrap();
    set_mode(&dir.join("mode.sh"), 0o755);
    std::fs::remove_file(dir.join("to-link")).unwrap();
    symlink("/etc/passwd", dir.join("to-link")).unwrap();
    std::fs::remove_file(dir.join("to-folder")).unwrap();
    write(&dir.join("to-folder/inner"), "inner\n");
    std::fs::remove_dir_all(dir.join("folder/to-file")).unwrap();
    write(&dir.join("folder/to-file"), "now a file\n");
    write(&dir.join("bytes.bin"), b"\0\x03");
    std::fs::remove_file(dir.join("link")).unwrap();
    symlink("edit.txt", dir.join("link")).unwrap();
    write(&dir.join("a name\nwith 😀 \"q\""), "new\n");
    write(&dir.join("no newline"), "x");
    write(&dir.join("empty"), "");
    let patch = repository.freeze(&checkout).unwrap();
    assert_eq!(
        files(&patch),
        [
            "Added a name\\nwith 😀 \"q\" +1 -0",
            "Modified bytes.bin +0 -0 binary",
            "Deleted delete.txt +0 -1",
            "Modified edit.txt +2 -1",
            "Added empty +0 -0",
            "Added folder/to-file +1 -0",
            "Deleted folder/to-file/x +0 -1",
            "Modified link +1 -1",
            "ModeChanged mode.sh +0 -0",
            "Added no newline +1 -0",
            "Deleted to-folder +0 -1",
            "Added to-folder/inner +1 -0",
            "ModeChanged to-link +1 -1",
        ]
    );
    let base = checkout.base().unwrap();
    assert_eq!(repository.patch_from_bytes(base, &patch.diff).unwrap(), patch);
    repository.checkout_tree(&patch.tree, &scene.path("again")).unwrap();
    assert_eq!(crate::support::show(&scene.path("again")), crate::support::show(dir));
    // What git itself makes of the same folder is the same tree.
    let tree = {
        let work_tree = format!("--work-tree={}", dir.display());
        scene.git(&["-c", "core.autocrlf=false", &work_tree, "add", "-A"]);
        scene.git(&["write-tree"])
    };
    assert_eq!(patch.tree.as_str(), tree.trim());
}

#[test]
fn a_file_keeps_its_time_but_not_its_content() {
    // Same size, same modification time: only the content tells.
    let scene = Scene::new();
    let (repository, checkout) = scene.checked_out();
    let path = checkout.dir().join("README.md");
    let time = path.metadata().unwrap().modified().unwrap();
    write(&path, "# Tilte\n");
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    assert_eq!(files(&repository.freeze(&checkout).unwrap()), ["Modified README.md +1 -1"]);
}

#[test]
fn what_the_base_ignores_is_left_out_whatever_the_workspace_says() {
    let scene = Scene::empty(&[]);
    scene.write(".gitignore", "# build\n/target/\n*.log\n!keep.log\nnode_modules\n\\#odd\ntrailing   \n");
    scene.write("sub/.gitignore", "!sub.log\n/only-here\n");
    scene.write("a.txt", "a\n");
    scene.git(&["add", "-A"]);
    scene.write("target/tracked.txt", "tracked although ignored\n");
    scene.git(&["add", "-f", "target/tracked.txt"]);
    scene.commit("first");
    let (repository, checkout) = scene.checked_out();
    let dir = checkout.dir();
    for name in [
        "target/x",
        "target/deep/y",
        "b.log",
        "keep.log",
        "sub/sub.log",
        "sub/b.log",
        "sub/only-here",
        "only-here",
        "sub/node_modules/x/y",
        "node_modules",
        "#odd",
        "trailing",
        "new.txt",
    ] {
        write(&dir.join(name), "x\n");
    }
    write(&dir.join("target/tracked.txt"), "changed\n");
    // The workspace's own rules do not count: neither to hide a file nor to bring one in.
    write(&dir.join(".gitignore"), "new.txt\n!b.log\n");
    let patch = repository.freeze(&checkout).unwrap();
    let expected = [
        "Modified .gitignore +2 -7",
        "Added keep.log +1 -0",
        "Added new.txt +1 -0",
        "Added only-here +1 -0",
        "Added sub/sub.log +1 -0",
        "Modified target/tracked.txt +1 -1",
    ];
    assert_eq!(files(&patch), expected);
    assert_eq!(patch.skipped, []);
}

#[test]
fn what_is_no_plain_file_is_named_and_not_read() {
    let scene = Scene::new();
    let (repository, checkout) = scene.checked_out();
    let dir = checkout.dir();
    let fifo = |name: &str| {
        let path = dir.join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    };
    fifo("fifo");
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    write(&dir.join(".git/config"), "[core]\n\tfsmonitor = evil\n");
    write(&dir.join("nested/.GIT/config"), "x");
    write(&scene.path("secret"), "s3cret");
    std::fs::hard_link(scene.path("secret"), dir.join("copy-of-secret")).unwrap();
    let patch = repository.freeze(&checkout).unwrap();
    assert!(patch.is_empty(), "{patch:?}");
    let skipped: Vec<String> =
        patch.skipped.iter().map(|skipped| format!("{}: {}", skipped.path, skipped.reason)).collect();
    assert_eq!(
        skipped,
        [
            ".git: a git folder is never part of a patch",
            "copy-of-secret: it has a second hard link",
            "fifo: it is a FIFO, a socket or a device",
            "nested/.GIT: a git folder is never part of a patch",
            "socket: it is a FIFO, a socket or a device",
        ]
    );
    // Of a file of the base, it is an error: what it holds now cannot be told.
    std::fs::remove_file(dir.join("README.md")).unwrap();
    fifo("README.md");
    let error = repository.freeze(&checkout).unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"README.md\" cannot be part of a patch: it has become a FIFO, a socket or a device"
    );
    std::fs::remove_file(dir.join("README.md")).unwrap();
    std::fs::hard_link(scene.path("secret"), dir.join("README.md")).unwrap();
    let error = repository.freeze(&checkout).unwrap_err();
    assert_eq!(error.to_string(), "\"README.md\" cannot be part of a patch: it has a second hard link");
    // A second link to what the base holds anyway gives nothing away.
    std::fs::remove_file(dir.join("README.md")).unwrap();
    write(&dir.join("README.md"), "# Title\n");
    std::fs::hard_link(dir.join("README.md"), scene.path("elsewhere")).unwrap();
    assert!(repository.freeze(&checkout).unwrap().is_empty());
}

#[test]
fn links_are_never_followed() {
    let scene = Scene::new();
    write(&scene.path("outside/lib.rs"), "secret\n");
    let (repository, checkout) = scene.checked_out();
    std::fs::remove_dir_all(checkout.dir().join("src")).unwrap();
    symlink(scene.path("outside"), checkout.dir().join("src")).unwrap();
    let patch = repository.freeze(&checkout).unwrap();
    assert_eq!(files(&patch), ["Added src +1 -0", "Deleted src/lib.rs +0 -3"]);
    assert!(!patch.diff.windows(6).any(|window| window == b"secret"));
}

#[test]
fn a_name_no_rule_can_judge_is_refused() {
    let scene = Scene::new();
    let (repository, checkout) = scene.checked_out();
    std::fs::write(checkout.dir().join(os(b"caf\xe9")), "x").unwrap();
    let error = repository.freeze(&checkout).unwrap_err();
    assert_eq!(error.to_string(), "\"caf\\\\xe9\" cannot be part of a patch: its name is not UTF-8");
    // Of the base it may be, as long as it stays as it is.
    let scene = Scene::new();
    let blob = git_with(&scene.repo(), &["hash-object", "-w", "--stdin"], b"x");
    let mut line = format!("100644 {}\t", blob.trim()).into_bytes();
    line.extend_from_slice(b"caf\xe9\0");
    git_with(&scene.repo(), &["update-index", "-z", "--index-info"], &line);
    scene.git(&["commit", "-q", "-m", "odd"]);
    let (repository, checkout) = scene.checked_out();
    write(&checkout.dir().join("README.md"), "x\n");
    assert_eq!(files(&repository.freeze(&checkout).unwrap()), ["Modified README.md +1 -1"]);
    std::fs::remove_file(checkout.dir().join(os(b"caf\xe9"))).unwrap();
    assert!(matches!(repository.freeze(&checkout), Err(RepoError::Unfreezable { .. })));
}

#[test]
fn more_than_is_ever_reviewed_is_refused() {
    let scene = Scene::new();
    let (repository, checkout) = scene.checked_out();
    let file = std::fs::File::create(checkout.dir().join("huge")).unwrap();
    file.set_len(101 << 20).unwrap();
    let error = repository.freeze(&checkout).unwrap_err();
    assert_eq!(error.to_string(), "\"huge\" cannot be part of a patch: it is larger than 100 MiB");
}

#[test]
fn a_bare_tree_has_no_patch() {
    let scene = Scene::new();
    let repository = scene.open();
    let tree = repository.tree_of(&scene.head()).unwrap();
    let checkout = repository.checkout_tree(&tree, &scene.path("work")).unwrap();
    assert!(matches!(repository.freeze(&checkout), Err(RepoError::NoBase(_))));
}

/// One random change to a workspace.
#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Remove(usize),
    Execute(usize),
    Link(usize, String),
}

const NAMES: &[&str] = &[
    "a",
    "b.txt",
    "dir/a",
    "dir/b",
    "dir/deep/er/c",
    "-dash",
    "sp ace",
    "new\nline",
    "tab\there",
    "q\"uote",
    "é😀",
    "#x",
    "a.b/c",
];

fn change() -> impl Strategy<Value = Change> {
    let name = 0..NAMES.len();
    let content = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'\n'), Just(b'\r'), Just(b' ')], 0..60),
        Just(b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n".to_vec()),
    ];
    prop_oneof![
        5 => (name.clone(), content).prop_map(|(name, content)| Change::Write(name, content)),
        2 => name.clone().prop_map(Change::Remove),
        1 => name.clone().prop_map(Change::Execute),
        1 => (name, "[a-z/.]{1,10}").prop_map(|(name, target)| Change::Link(name, target)),
    ]
}

fn perform(dir: &std::path::Path, change: &Change) {
    let (Change::Write(name, _) | Change::Remove(name) | Change::Execute(name) | Change::Link(name, _)) =
        change;
    let path = dir.join(NAMES[*name]);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    match change {
        Change::Execute(_) if path.is_file() && !path.is_symlink() => set_mode(&path, 0o755),
        Change::Execute(_) => {}
        _ => {
            let _ = std::fs::remove_file(&path);
        }
    }
    match change {
        Change::Write(_, content) => std::fs::write(&path, content).unwrap(),
        Change::Link(_, target) => symlink(target, &path).unwrap(),
        Change::Remove(_) | Change::Execute(_) => {}
    }
}

#[test]
fn any_workspace_survives_the_way_through_a_patch() {
    let changes = || proptest::collection::vec(change(), 1..12);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&(changes(), changes()), |(before, after)| {
            let scene = Scene::empty(&[]);
            for change in &before {
                perform(&scene.repo(), change);
            }
            scene.commit("first");
            let (repository, checkout) = scene.checked_out();
            for change in &after {
                perform(checkout.dir(), change);
            }
            let patch =
                repository.freeze(&checkout).map_err(|error| TestCaseError::fail(error.to_string()))?;
            scene.git(&[
                "-c",
                "core.autocrlf=false",
                &format!("--work-tree={}", checkout.dir().display()),
                "add",
                "-A",
            ]);
            let expected = scene.git(&["write-tree"]);
            prop_assert_eq!(patch.tree.as_str(), expected.trim());
            if !patch.is_empty() {
                let again = repository
                    .patch_from_bytes(checkout.base().unwrap(), &patch.diff)
                    .map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(again, patch);
            }
            Ok(())
        })
        .unwrap();
}
