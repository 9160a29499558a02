//! QuixBugs' Python programs as exercises, made at run time of a clone that `GLOAMING_QUIXBUGS_DIR` names (`make quixbugs`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::case::Exercise;
use super::run_all;
use crate::support::{skipped, tell};

/// What `quixbugs.py` prints.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    exercises: BTreeMap<String, Exercise>,
    /// Why a program has none.
    left_out: BTreeMap<String, String>,
}

/// Makes the exercises of the programs whose names hold a word, with the tests' own Python, which has pytest.
fn make(clone: &Path, word: &str) -> Made {
    let python = std::env::var_os("GLOAMING_TEST_PYTHON");
    let python =
        python.map_or_else(|| PathBuf::from("python3"), |folder| Path::new(&folder).join("bin/python3"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exercises/quixbugs.py");
    let made = Command::new(python).arg(script).arg(clone).arg(word).output().expect("python runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    serde_json::from_slice(&made.stdout).expect("exercises as JSON")
}

#[test]
fn fixes_of_quixbugs_are_published_and_their_mutants_are_not() {
    let Some(clone) = std::env::var_os("GLOAMING_QUIXBUGS_DIR") else {
        return skipped("quixbugs", "GLOAMING_QUIXBUGS_DIR names no clone (make quixbugs)");
    };
    let wanted = std::env::var("GLOAMING_EXERCISES").unwrap_or_default();
    let made = make(Path::new(&clone), if wanted == "all" { "" } else { &wanted });
    for (name, reason) in &made.left_out {
        tell(&format!("{name:<26} left out: {reason}\n"));
    }
    let exercises: Result<BTreeMap<String, Exercise>, String> =
        made.exercises.into_iter().map(|(name, exercise)| Ok((name, exercise.checked()?))).collect();
    let faults = run_all(&exercises.expect("well-formed exercises"), "quixbugs", |_, _| true);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
