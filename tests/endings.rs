//! However a command ends, a program that asked for JSON gets one object, and nothing is left lying about.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bad_input::{FILES, RENAME};
use crate::support::{Ran, Scene, ran, skipped};

/// Never ends, so that whoever waits for it is there to be interrupted.
const ENDLESS: &[(&str, &str)] = &[
    FILES[0],
    FILES[1],
    (
        "src/lib.rs",
        "pub fn foo_bar() -> u8 {\n    1\n}\n\n#[test]\nfn works() {\n    loop {\n        std::thread::park();\n    }\n}\n",
    ),
];

/// Returns the object after checking that every key of `run`'s contract is there.
#[track_caller]
fn object(ran: &Ran, outcome: &str) -> Value {
    let object = ran.json();
    assert_eq!(object["outcome"], outcome, "{object:#}\n{}", ran.stderr);
    for key in ["task", "branch", "reason_code", "out"] {
        assert!(object.get(key).is_some(), "{key} is missing: {object:#}");
    }
    object
}

fn last_event(scene: &Scene) -> Value {
    let text = std::fs::read_to_string(scene.out().join("journal.jsonl")).expect("a journal");
    serde_json::from_str(text.lines().last().expect("an event")).expect("an event is JSON")
}

/// A file system of its own in the scene, too small for anything; none without the right to mount.
struct TinyDisk(PathBuf);

impl TinyDisk {
    fn mount(scene: &Scene, test: &str, options: &str) -> Option<Self> {
        let at = scene.path().join("tiny");
        std::fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at);
        if !mount.status().is_ok_and(|status| status.success()) {
            skipped(test, "cannot mount a tmpfs (needs root)");
            return None;
        }
        Some(Self(at))
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_run_that_cannot_begin_prints_one_object() {
    let scene = Scene::new(FILES);
    let run = |repo: &str, out: &str, code: i32| {
        let args = ["run", "--repo", repo, "--task", RENAME, "--out", out, "--json"];
        let ran = scene.gloaming(&args).exits(code);
        object(&ran, "failed")
    };
    assert!(run("nowhere", "out", 2)["error"].as_str().unwrap().contains("nowhere"));
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let result = run(&format!("http://{unused}/calc.git"), "out", 4);
    assert!(result["error"].as_str().unwrap().contains("clone"), "{result:#}");
    std::fs::write(scene.path().join("file"), "").unwrap();
    assert!(run("repo", "file/out", 2)["hint"].as_str().unwrap().contains("--out"));
}

#[test]
fn an_out_folder_on_a_full_disk_is_infrastructure() {
    let scene = Scene::new(FILES);
    // Its root folder is the one file it can hold.
    let Some(disk) =
        TinyDisk::mount(&scene, "an_out_folder_on_a_full_disk_is_infrastructure", "size=64k,nr_inodes=1")
    else {
        return;
    };
    let out = disk.0.join("out");
    let out = out.to_str().unwrap();
    let ran = scene.gloaming(&["run", "--repo", "repo", "--task", RENAME, "--out", out, "--json"]).exits(4);
    let result = object(&ran, "failed");
    assert!(result["error"].as_str().unwrap().contains("No space left"), "{result:#}");
    let diff = scene.diff_of(|root| std::fs::write(root.join("NOTES"), "x\n").unwrap());
    let ran = scene.verify(&diff, &["--out", out]).exits(4);
    assert_eq!(ran.json()["outcome"], "failed");
}

#[test]
fn a_branch_that_cannot_be_made_ends_the_journal_and_prints_one_object() {
    let scene = Scene::new(FILES);
    // A branch of that name leaves no room for one beneath it.
    scene.git(&["branch", "gloaming"]);
    let args = ["run", "--repo", "repo", "--task", RENAME, "--out", "out", "--json"];
    let ran = scene.gloaming(&args).exits(4);
    object(&ran, "failed");
    assert_eq!(last_event(&scene)["event"], "failed");
    scene.gloaming(&["journal", "verify", "out/journal.jsonl"]).exits(0);
}

#[test]
fn the_other_commands_print_one_object_when_they_fail() {
    let scene = Scene::new(FILES);
    for args in [
        &["profile", "nowhere"][..],
        &["verify", "--repo", "repo", "--patch", "nowhere.diff"],
        &["replay", "nowhere.jsonl"],
        &["journal", "show", "nowhere.jsonl"],
        &["policy", "check", "nowhere.toml"],
        &["tools", "call", "read", "--workspace", "nowhere"],
    ] {
        let mut all = args.to_vec();
        all.push("--json");
        let ran = scene.gloaming(&all).exits(2);
        assert_eq!(ran.json()["outcome"], "failed", "{args:?}");
        assert!(ran.json()["error"].as_str().unwrap().contains("nowhere"), "{args:?}: {ran:?}");
    }
}

#[test]
fn without_a_container_engine_every_command_says_so() {
    let scene = Scene::new(FILES);
    // Where containers keep their state there is a file: no container can be made.
    std::fs::write(scene.home().join("cache/jobs"), "").unwrap();
    let args = ["run", "--repo", "repo", "--task", RENAME, "--out", "out", "--json"];
    let result = object(&scene.gloaming(&args).exits(3), "bow_out");
    assert_eq!(result["reason_code"], "no_engine", "{result:#}");
    let profile = scene.gloaming(&["profile", "repo", "--json"]).exits(3).json();
    assert_eq!((&profile["outcome"], &profile["reason_code"]), (&"bow_out".into(), &"no_engine".into()));
    scene.gloaming(&["profile", "repo", "--json", "--no-run"]).exits(0).json();
    let patch = "--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -1,3 +1,4 @@\n pub fn foo_bar() -> u8 {\n+    // One.\n     1\n }\n";
    std::fs::write(scene.path().join("p.diff"), patch).unwrap();
    let judged = scene.gloaming(&["verify", "--repo", "repo", "--patch", "p.diff", "--json"]).exits(3).json();
    assert_eq!((&judged["verdict"], &judged["code"]), (&"bow_out".into(), &"no_engine".into()), "{judged:#}");
}

/// Waits for a line of standard error, so that the program is known to be in that stage.
fn wait_for(child: &mut std::process::Child, line: &str) {
    let stderr = child.stderr.as_mut().expect("standard error is piped");
    let mut seen = String::new();
    let mut lines = BufReader::new(stderr);
    while lines.read_line(&mut seen).expect("text") > 0 {
        if seen.lines().last() == Some(line) {
            return;
        }
    }
    panic!("no line {line:?}: {seen}");
}

fn signal(child: &std::process::Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn nothing_left(scene: &Scene) {
    let work = scene.home().join("cache/work");
    let left: Vec<PathBuf> =
        std::fs::read_dir(work).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[test]
fn a_termination_signal_ends_verify_and_profile_in_order() {
    let scene = Scene::new(ENDLESS);
    let diff = scene.diff_of(|root| std::fs::write(root.join("NOTES"), "x\n").unwrap());
    std::fs::write(scene.path().join("change.diff"), diff).unwrap();
    for (args, stage) in [
        (&["verify", "--repo", "repo", "--patch", "change.diff", "--json"][..], "verify"),
        (&["profile", "repo", "--json"], "provision"),
    ] {
        let mut child = scene.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&mut child, stage);
        signal(&child, "-TERM");
        let ran = ran(child.wait_with_output().unwrap()).exits(130);
        assert_eq!(ran.json()["outcome"], "cancelled", "{args:?}");
        nothing_left(&scene);
    }
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next_command() {
    let scene = Scene::new(ENDLESS);
    let args = ["run", "--repo", "repo", "--task", RENAME, "--out", "out"];
    let mut child = scene.command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&mut child, "baseline");
    signal(&child, "-KILL");
    child.wait().unwrap();
    let left = |path: &Path| std::fs::read_dir(path).unwrap().count();
    assert_eq!(left(&scene.home().join("cache/work")), 1);
    scene.gloaming(&["profile", "repo", "--no-run"]).exits(0);
    nothing_left(&scene);
}
