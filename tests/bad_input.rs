//! Bad input gets its own clear answer and leaves the repository as it was.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::{Scene, skipped};

pub(crate) const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"calc\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"calc\"\nversion = \"0.1.0\"\n"),
    (
        "src/lib.rs",
        "pub fn foo_bar() -> u8 {\n    1\n}\n\n#[test]\nfn works() {\n    assert_eq!(foo_bar(), 1);\n}\n",
    ),
];

pub(crate) const RENAME: &str = "Rename the function foo_bar to parse_bar everywhere";

/// Every file below a folder with its content, to compare before and after.
fn snapshot(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(dir: &Path, root: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).expect("readable") {
            let path = entry.expect("readable").path();
            let kind = std::fs::symlink_metadata(&path).expect("there");
            let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
            if kind.is_dir() {
                walk(&path, root, into);
            } else if kind.is_file() {
                into.insert(name, std::fs::read(&path).expect("readable"));
            } else {
                into.insert(name, Vec::new());
            }
        }
    }
    let mut into = BTreeMap::new();
    walk(root, root, &mut into);
    into
}

/// Runs a task, asserts the exit code and that the repository is byte for byte as before; returns what was said.
#[track_caller]
fn refused(scene: &Scene, args: &[&str], code: i32) -> String {
    let before = snapshot(&scene.repo());
    let mut all = vec!["run", "--repo", "repo", "--out", "out"];
    all.extend(args);
    let ran = scene.gloaming(&all).exits(code);
    assert!(snapshot(&scene.repo()) == before, "the repository was changed");
    format!("{}{}", ran.stdout, ran.stderr)
}

#[test]
fn an_empty_task_bows_out_underspecified() {
    let scene = Scene::new(FILES);
    let said = refused(&scene, &["--task", "  \n "], 3);
    assert!(said.contains("underspecified"), "{said}");
}

#[test]
fn a_huge_task_bows_out_too_large() {
    let scene = Scene::new(FILES);
    std::fs::write(scene.path().join("task.md"), "word ".repeat(40_000)).unwrap();
    let said = refused(&scene, &["--task-file", "task.md"], 3);
    assert!(said.contains("too_large"), "{said}");
}

#[test]
fn a_task_file_that_is_not_text_is_an_error_of_use() {
    let scene = Scene::new(FILES);
    std::fs::write(scene.path().join("task.md"), b"\xff\xfe\x00").unwrap();
    let said = refused(&scene, &["--task-file", "task.md"], 2);
    assert!(said.contains("not UTF-8"), "{said}");
}

#[test]
fn no_model_and_no_playbook_bows_out_no_model() {
    let scene = Scene::new(FILES);
    let said = refused(&scene, &["--task", "Make the parser faster"], 3);
    assert!(said.contains("no_model") && said.contains("--model"), "{said}");
    let bow_out: serde_json::Value =
        serde_json::from_slice(&std::fs::read(scene.out().join("bowout.json")).unwrap()).unwrap();
    assert_eq!(bow_out["reason_code"], "no_model");
    assert!(!bow_out["what_would_unblock"].as_array().unwrap().is_empty());
    assert!(scene.out().join("journal.jsonl").exists());
}

#[test]
fn not_git() {
    let scene = Scene::bare_folder();
    let said = refused(&scene, &["--task", RENAME], 2);
    assert!(said.contains("not a git repository"), "{said}");
}

#[test]
fn no_commits() {
    let scene = Scene::bare_folder();
    scene.git(&["init", "-q"]);
    let said = refused(&scene, &["--task", RENAME], 2);
    assert!(said.contains("no commits"), "{said}");
}

#[test]
fn no_such_repository_or_revision() {
    let scene = Scene::new(FILES);
    let said = scene.gloaming(&["run", "--repo", "nowhere", "--task", RENAME]).exits(2).stderr;
    assert!(said.contains("nowhere"), "{said}");
    let said = refused(&scene, &["--task", RENAME, "--base", "no-such-branch"], 2);
    assert!(said.contains("no-such-branch"), "{said}");
}

#[test]
fn a_bare_repository_gets_its_branch() {
    let scene = Scene::new(FILES);
    scene.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
    scene.gloaming(&["run", "--repo", "bare.git", "--task", RENAME, "--out", "out"]).exits(0);
    let branches = scene.git(&["--git-dir", "../bare.git", "branch", "--list", "gloaming/*"]);
    assert_eq!(branches.lines().count(), 1, "{branches}");
}

#[test]
fn a_dirty_repository_is_worked_on_from_its_commit() {
    let scene = Scene::new(FILES);
    scene.write(&[("src/lib.rs", "not even rust"), ("untracked.txt", "mine")]);
    let files = || {
        let mut all = snapshot(&scene.repo());
        all.retain(|name, _| !name.starts_with(".git/"));
        all
    };
    let before = files();
    let status = scene.git(&["status", "--porcelain"]);
    let ran = scene.gloaming(&["run", "--repo", "repo", "--task", RENAME, "--out", "out"]).exits(0);
    assert!(ran.stderr.contains("uncommitted"), "{}", ran.stderr);
    assert!(files() == before);
    assert_eq!(scene.git(&["status", "--porcelain"]), status);
}

#[test]
fn a_shallow_clone_works() {
    let scene = Scene::new(FILES);
    scene.write(&[("notes.txt", "two")]);
    scene.commit("second");
    let url = format!("file://{}", scene.repo().display());
    scene.git(&["clone", "-q", "--depth=1", &url, "../shallow"]);
    scene.gloaming(&["run", "--repo", "shallow", "--task", RENAME, "--out", "out"]).exits(0);
}

#[test]
fn a_submodule_is_noted_and_skipped() {
    let scene = Scene::new(FILES);
    let commit = scene.git(&["rev-parse", "HEAD"]).trim().to_owned();
    scene.write(&[(
        ".gitmodules",
        "[submodule \"sub\"]\n\tpath = sub\n\turl = https://example.invalid/x.git\n",
    )]);
    scene.git(&["add", ".gitmodules"]);
    scene.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},sub")]);
    scene.git(&["commit", "-q", "-m", "submodule"]);
    let ran = scene.gloaming(&["run", "--repo", "repo", "--task", RENAME, "--out", "out"]).exits(0);
    assert!(ran.stderr.contains("submodule"), "{}", ran.stderr);
}

#[test]
fn hostile_git_settings_run_nothing() {
    let scene = Scene::new(FILES);
    let marker = scene.path().join("ran");
    let command = format!("touch {}", marker.display());
    for (key, value) in [
        ("core.fsmonitor", command.as_str()),
        ("core.sshCommand", &command),
        ("core.pager", &command),
        ("core.editor", &command),
        ("diff.external", &command),
        ("filter.evil.clean", &command),
        ("filter.evil.smudge", &command),
        ("filter.evil.process", &command),
        ("diff.evil.textconv", &command),
        ("diff.evil.command", &command),
        ("gpg.program", &command),
        ("commit.gpgsign", "true"),
        ("uploadpack.packObjectsHook", &command),
        ("alias.rev-parse", "!false"),
        ("credential.helper", &command),
        ("core.hooksPath", ".evil-hooks"),
    ] {
        scene.git(&["config", key, value]);
    }
    let hooks = [
        "pre-commit",
        "post-checkout",
        "reference-transaction",
        "post-update",
        "update",
        "pre-receive",
        "post-index-change",
        "pre-auto-gc",
    ];
    for dir in [scene.repo().join(".evil-hooks"), scene.repo().join(".git/hooks")] {
        std::fs::create_dir_all(&dir).unwrap();
        for hook in hooks {
            use std::os::unix::fs::PermissionsExt as _;
            let path = dir.join(hook);
            std::fs::write(&path, format!("#!/bin/sh\n{command}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    std::fs::write(scene.repo().join(".git/info/attributes"), "* filter=evil diff=evil\n").unwrap();
    scene.gloaming(&["run", "--repo", "repo", "--task", RENAME, "--out", "out"]).exits(0);
    assert!(!marker.exists(), "something the repository configured was run");
}

#[test]
fn odd_contents_and_names_survive_a_rename() {
    use std::os::unix::ffi::OsStrExt as _;
    let scene = Scene::new(FILES);
    let root = scene.repo();
    let odd = ["with space.txt", "new\nline.txt", "emoji 😀.txt", "quote\".txt", "-dash", "tab\t.txt"];
    for name in odd {
        std::fs::write(root.join(name), "foo_bar stays: not code\n").unwrap();
    }
    std::fs::write(root.join(std::ffi::OsStr::from_bytes(b"latin-\xe9.txt")), b"\xe9\xe8 foo_bar").unwrap();
    std::fs::write(root.join("crlf.rs"), "// foo_bar\r\npub fn other() {}\r\n").unwrap();
    std::fs::write(root.join("latin.rs"), b"// caf\xe9\n").unwrap();
    scene.commit("odd");
    scene.gloaming(&["run", "--repo", "repo", "--task", RENAME, "--out", "out"]).exits(0);
    let branch =
        scene.git(&["branch", "--list", "gloaming/*", "--format", "%(refname:short)"]).trim().to_owned();
    let changed = scene.git(&["diff", "--name-only", "main", &branch]);
    assert_eq!(changed.lines().collect::<Vec<_>>(), ["crlf.rs", "src/lib.rs"]);
    let crlf = scene.git(&["show", &format!("{branch}:crlf.rs")]);
    assert_eq!(crlf, "// parse_bar\r\npub fn other() {}\r\n");
}

#[test]
fn odd_names_of_source_files_are_renamed_in_like_any_other() {
    let scene = Scene::new(FILES);
    let root = scene.repo();
    let odd = [
        "with space.rs",
        "new\nline.rs",
        "emoji 😀.rs",
        "quote\".rs",
        "-dash.rs",
        "tab\t.rs",
        "a\\b.rs",
        "*[x]?.rs",
    ];
    for name in odd {
        std::fs::write(root.join(name), "pub fn other() -> u8 {\n    foo_bar()\n}\n").unwrap();
    }
    scene.commit("odd");
    scene.gloaming(&["run", "--repo", "repo", "--task", RENAME, "--out", "out"]).exits(0);
    let branch =
        scene.git(&["branch", "--list", "gloaming/*", "--format", "%(refname:short)"]).trim().to_owned();
    for name in odd {
        let renamed = scene.git(&["show", &format!("{branch}:{name}")]);
        assert_eq!(renamed, "pub fn other() -> u8 {\n    parse_bar()\n}\n", "{name:?}");
    }
}

#[test]
fn an_out_folder_with_results_is_not_overwritten() {
    let scene = Scene::new(FILES);
    refused(&scene, &["--task", "Do something unclear"], 3);
    let said = refused(&scene, &["--task", "Do something unclear"], 2);
    assert!(said.contains("already holds"), "{said}");
}

#[test]
fn a_full_disk_fails_as_infrastructure_and_says_so() {
    // A small file system of its own stands in for the disk; it needs root and mount.
    let scene = Scene::new(FILES);
    let small = scene.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&small)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        skipped("a_full_disk_fails_as_infrastructure_and_says_so", "cannot mount a tmpfs (needs root)");
        return;
    }
    let before = snapshot(&scene.repo());
    let mut command = scene.command(&["run", "--repo", "repo", "--task", RENAME, "--out", "out", "--json"]);
    command.env("GLOAMING_HOME", &small);
    let output = command.output().unwrap();
    let _ = std::process::Command::new("umount").arg("-l").arg(&small).status();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("No space left"), "{said}");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["outcome"], "failed");
    assert!(snapshot(&scene.repo()) == before);
}

#[test]
fn an_invalid_policy_of_the_operator_is_an_error_with_its_place() {
    let scene = Scene::new(FILES);
    std::fs::write(scene.path().join("p.toml"), "schema = 1\n[budgets]\ncost_usd = 1\n").unwrap();
    let said = refused(&scene, &["--task", RENAME, "--policy", "p.toml"], 2);
    assert!(said.contains("p.toml:2:"), "{said}");
}

#[test]
fn an_invalid_policy_of_the_repository_fails_closed() {
    let scene = Scene::new(FILES);
    scene.write(&[(".gloaming/policy.toml", "schema = 1\nallow everything\n")]);
    scene.commit("policy");
    let said = refused(&scene, &["--task", RENAME], 3);
    assert!(said.contains("policy_blocked") && said.contains(".gloaming/policy.toml:2"), "{said}");
}

#[test]
fn a_source_file_whose_name_is_not_text_is_not_left_out_of_a_rename_unsaid() {
    use std::os::unix::ffi::OsStrExt as _;
    let scene = Scene::new(FILES);
    let name = std::ffi::OsStr::from_bytes(b"latin-\xe9.rs");
    std::fs::write(scene.repo().join(name), "pub fn other() -> u8 {\n    foo_bar()\n}\n").unwrap();
    scene.commit("odd");
    let said = refused(&scene, &["--task", RENAME], 3);
    assert!(said.contains("out_of_scope") && said.contains("latin-"), "{said}");
}

#[test]
fn a_partial_clone_without_its_files_is_an_error_of_use_with_advice() {
    let scene = Scene::new(FILES);
    scene.git(&["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", scene.repo().display());
    scene.git(&["clone", "-q", "--filter=blob:none", "--no-checkout", &url, "../partial"]);
    let ran =
        scene.gloaming(&["run", "--repo", "partial", "--task", RENAME, "--out", "out", "--json"]).exits(2);
    let said = ran.json();
    assert_eq!(said["outcome"], "failed");
    assert!(!said["hint"].as_str().unwrap_or_default().is_empty(), "{said:#}");
}
