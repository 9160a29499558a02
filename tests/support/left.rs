//! What every run leaves, and what has to hold of it: the journal, a branch, a bow-out.

use std::path::Path;

use serde_json::Value;

use super::{Ran, Scene};

/// Returns how a run ended by what it printed and its exit code: `branch`, a bow-out's reason code, or `failed`.
pub(crate) fn ended(ran: &Ran) -> Result<String, String> {
    let said: Value = serde_json::from_str(&ran.stdout).unwrap_or(Value::Null);
    match (said["outcome"].as_str().unwrap_or_default(), ran.code) {
        ("branch", 0) => Ok("branch".to_owned()),
        ("bow_out", 3) => Ok(said["reason_code"].as_str().unwrap_or_default().to_owned()),
        ("failed", 4) => Ok("failed".to_owned()),
        _ => {
            let (code, stderr) = (ran.code, ran.stderr.trim());
            Err(format!("the run ended out of order, with exit {code}: {said} {stderr}"))
        }
    }
}

/// Returns the journal's events; a chain that is broken is a fault.
pub(crate) fn journal(scene: &Scene, faults: &mut Vec<String>) -> Vec<Value> {
    let checked = scene.gloaming(&["journal", "verify", "out/journal.jsonl"]);
    if checked.code != 0 {
        faults.push(format!("the journal is not whole: {}", checked.stderr.trim()));
    }
    let text = std::fs::read_to_string(scene.out().join("journal.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Returns what is wrong where the run does not replay to the same.
pub(crate) fn replay_fault(scene: &Scene, home: &Path) -> Option<String> {
    let replay = scene.gloaming_with(
        &["replay", "out/journal.jsonl", "--json"],
        &[("GLOAMING_HOME", &home.to_string_lossy())],
    );
    let same = replay.code == 0 && replay.json()["same"] == true;
    (!same).then(|| format!("it does not replay: {} {}", replay.stdout.trim(), replay.stderr.trim()))
}

/// Returns the repository's branches that the program made.
pub(crate) fn branches(scene: &Scene) -> Vec<String> {
    let all = scene.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/gloaming"]);
    all.lines().map(str::to_owned).collect()
}

/// Checks that a branch is one commit on the base, with evidence that is sealed.
pub(crate) fn check_branch(scene: &Scene, home: &Path, branch: &str, faults: &mut Vec<String>) {
    let parents = scene.git(&["log", "--format=%P", &format!("main..{branch}")]);
    if parents != scene.git(&["rev-parse", "main"]) {
        faults.push(format!("{branch} is not one commit on the base"));
    }
    let checked = scene.gloaming_with(
        &["evidence", "verify", "out/evidence.json"],
        &[("GLOAMING_HOME", &home.to_string_lossy())],
    );
    if checked.code != 0 {
        faults.push(format!("the evidence does not hold: {}", checked.stderr.trim()));
    }
}

/// Reads `bowout.json`, which has no field but those of its schema, and a summary that is short enough.
pub(crate) fn bow_out(scene: &Scene, faults: &mut Vec<String>) -> Option<gloaming_api::BowOut> {
    let text = std::fs::read_to_string(scene.out().join("bowout.json")).unwrap_or_default();
    match serde_json::from_str::<gloaming_api::BowOut>(&text) {
        Err(error) => {
            faults.push(format!("bowout.json: {error}"));
            None
        }
        Ok(bow_out) => {
            if bow_out.summary.chars().count() > 280 {
                faults.push("a summary is too long".to_owned());
            }
            Some(bow_out)
        }
    }
}
