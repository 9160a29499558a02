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

use gloaming_store::{Limits, MemoryStore, SqliteStore, Store};

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
