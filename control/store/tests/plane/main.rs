//! What every store has to do: scripts with their answers, run on each backend.
//!
//! `GLOAMING_UPDATE=1 cargo test -p gloaming-store --test plane` writes the answers of the one in memory into the scripts.
//! A further backend is one more row of [`BACKENDS`].
#![expect(
    clippy::disallowed_methods,
    reason = "its scripts, files that it breaks on purpose, and whether to write anew"
)]

mod files;
mod model;
mod script;

use std::path::{Path, PathBuf};
use std::time::Duration;

use gloaming_store::{FORGOTTEN_AT_ONCE, Limits, MemoryStore, SETS_OF_LABELS, SqliteStore, Store};

/// A backend: its name, and how a fresh store is made in a folder.
type Backend = (&'static str, fn(&Path, Limits) -> Box<dyn Store>);

const BACKENDS: &[Backend] = &[
    ("memory", |_, limits| Box::new(MemoryStore::new(limits))),
    ("sqlite", |folder, limits| Box::new(sqlite(&folder.join("store.sqlite"), limits))),
];

fn sqlite(path: &Path, limits: Limits) -> SqliteStore {
    SqliteStore::open(path, limits).unwrap()
}

/// Reads `limits failures=2 backoff=10`.
fn limits(line: &str) -> Limits {
    let mut limits = Limits::default();
    for part in line.split_whitespace().skip(1) {
        let (name, value) = part.split_once('=').unwrap();
        let number: u32 = value.parse().unwrap();
        match name {
            "failures" => limits.failures = number,
            "losses" => limits.losses = number,
            "backoff" => limits.backoff = Duration::from_secs(number.into()),
            "running" => limits.running = number,
            "queued" => limits.queued = number,
            "bytes" => limits.bytes = number.into(),
            other => panic!("no limit {other}"),
        }
    }
    limits
}

/// Runs a script anew: its lines with the answers that a store gives.
fn play(text: &str, backend: &Backend) -> String {
    let folder = tempfile::tempdir().unwrap();
    let set = text.lines().find(|line| line.starts_with("limits "));
    let store = backend.1(folder.path(), set.map_or_else(Limits::default, limits));
    let mut played = String::new();
    for line in text.lines() {
        let call = line.split(" = ").next().unwrap();
        let is_call = line.starts_with(|c: char| c.is_ascii_digit());
        played += &if is_call {
            format!("{call} = {}\n", script::answer(&*store, call))
        } else {
            format!("{line}\n")
        };
    }
    played
}

fn scripts() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plane/cases");
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(found.len() > 10, "{found:?}");
    found
}

/// Whoever asks for a great many sets of labels keeps their own tasks waiting, and nobody's claim busy.
#[test]
fn of_so_many_sets_of_labels_is_looked_at() {
    for backend in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        let store = backend.1(folder.path(), Limits::default());
        let ask = |line: &str| script::answer(&*store, line);
        for set in 0..SETS_OF_LABELS {
            ask(&format!("0s submit {} acme/many needs=a{set:03}", set + 1));
        }
        ask("0s submit 100 acme/many needs=b");
        ask("0s submit 101 acme/other needs=b");
        assert_eq!(ask("1s claim w labels=b"), "101/1 acme/other until 61s", "{}", backend.0);
        assert_eq!(ask("1s claim w labels=b"), "nothing", "{}", backend.0);
        assert_eq!(ask("1s cancel 1"), "cancelled");
        assert_eq!(ask("1s claim w labels=b"), "100/1 acme/many until 61s", "{}", backend.0);
    }
}

/// A worker that says more than anybody reads fills nobody's disk by it.
#[test]
fn so_much_is_told_of_an_attempt() {
    for backend in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        let store = backend.1(folder.path(), Limits::default());
        let ask = |line: &str| script::answer(&*store, line);
        ask("0s submit 1 acme/api");
        ask("0s claim w");
        let long = "y".repeat(5_000);
        for stage in ["code", "verify"].iter().cycle().take(210) {
            assert_eq!(ask(&format!("0s renew 1/1 w stage={stage} doing={long}")), "60 s", "{}", backend.0);
        }
        let told = ask("0s events 1 limit=1000");
        let lines = (told.matches("progress").count(), told.matches("yyy…").count(), told.len() < 80_000);
        assert_eq!(lines, (200, 200, true), "{}", backend.0);
        let shown = ask("0s show 1");
        assert!(shown.contains(&format!("stage verify, doing {}…", "y".repeat(279))), "{shown}");
    }
}

/// Many are forgotten in small parts, the oldest first.
#[test]
fn so_many_are_forgotten_at_once() {
    for backend in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        let store = backend.1(folder.path(), Limits::default());
        let ask = |line: &str| script::answer(&*store, line);
        let tasks = u64::from(FORGOTTEN_AT_ONCE) + 2;
        for task in 1..=tasks {
            ask(&format!("0s submit {task} acme/api"));
            ask(&format!("{}s cancel {task}", tasks - task));
        }
        assert_eq!(
            ask("900s forget 800s"),
            format!("{FORGOTTEN_AT_ONCE} tasks, and there are more"),
            "{}",
            backend.0
        );
        assert_eq!(ask("900s list"), "2 1", "{}", backend.0);
        assert_eq!(ask("900s forget 800s"), "2 tasks", "{}", backend.0);
    }
}

/// Of large ones fewer: nobody else writes meanwhile.
#[test]
fn so_many_bytes_are_forgotten_at_once() {
    for backend in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        let store = backend.1(folder.path(), Limits::default());
        let ask = |line: &str| script::answer(&*store, line);
        let content = "x".repeat(40 << 20);
        for task in 1..=3 {
            ask(&format!("0s submit {task} acme/api"));
            ask("0s claim w");
            assert_eq!(ask(&format!("0s artifact {task}/1 w {content}")), "kept", "{}", backend.0);
            ask(&format!("1s finish {task}/1 w bowed"));
        }
        assert_eq!(ask("900s forget 800s"), "2 tasks, and there are more", "{}", backend.0);
        assert_eq!(ask("900s forget 800s"), "1 tasks", "{}", backend.0);
    }
}

#[test]
fn every_backend_does_what_the_scripts_say() {
    let mut wrong = Vec::new();
    for path in scripts() {
        let text = std::fs::read_to_string(&path).unwrap();
        if std::env::var_os("GLOAMING_UPDATE").is_some() {
            std::fs::write(&path, play(&text, &BACKENDS[0])).unwrap();
            continue;
        }
        for backend in BACKENDS {
            for (said, wanted) in play(&text, backend).lines().zip(text.lines()) {
                if said != wanted {
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    wrong.push(format!("{name} {}\n  wanted {wanted}\n  said   {said}", backend.0));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
