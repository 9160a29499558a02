//! Running an exercise as a user would, and looking at what came of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::case::{Exercise, Try};
use crate::evil_model::Scripted;
use crate::support::{Scene, bow_out, branches, check_branch, ended, journal, replay_fault};
use crate::tamper::apply;

/// What came of one try.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// `branch`, a bow-out's reason code, or `failed`.
    pub(super) ended: String,
    /// The stage it ended at and what was said, for a bow-out.
    pub(super) said: String,
    /// What does not hold, in words.
    pub(super) faults: Vec<String>,
    pub(super) took: Duration,
}

/// Runs one try of an exercise. `home` is the exercise's state folder, so that what is known of a base is kept between its
/// tries as it is between a user's.
pub(super) fn run(exercise: &Exercise, attempt: &Try, home: &Path) -> Outcome {
    let began = Instant::now();
    let mut outcome =
        Outcome { ended: String::new(), said: String::new(), faults: Vec::new(), took: Duration::default() };
    if let Err(fault) = perform(exercise, attempt, home, &mut outcome) {
        outcome.faults.push(fault);
    }
    outcome.took = began.elapsed();
    outcome
}

fn perform(exercise: &Exercise, attempt: &Try, home: &Path, outcome: &mut Outcome) -> Result<(), String> {
    let scene = Scene::bare_folder();
    scene.write(&exercise.repository());
    for edit in &attempt.base {
        apply(&scene.repo(), edit)?;
    }
    scene.git(&["init", "-q", "-b", "main"]);
    scene.commit("base");
    let before = state(&scene);
    let model = Scripted::start(&scene, &exercise.transcript(attempt));
    let task = attempt.task.as_deref().unwrap_or(&exercise.task);
    let mut args = vec!["run", "--repo", "repo", "--task", task, "--model", "openai:scripted"];
    args.extend(["--model-price", "0,0", "--model-url", model.url(), "--out", "out", "--json"]);
    let ran = scene.gloaming_with(&args, &[("GLOAMING_HOME", &home.to_string_lossy())]);
    outcome.ended = ended(&ran)?;
    if outcome.ended != attempt.ends {
        outcome.faults.push(format!("ended with {}, not with {}", outcome.ended, attempt.ends));
    }
    journal(&scene, &mut outcome.faults);
    outcome.faults.extend(replay_fault(&scene, home));
    if outcome.ended == "branch" {
        let branch = ran.json()["branch"].as_str().unwrap_or_default().to_owned();
        published(&scene, home, exercise, attempt, &branch, &mut outcome.faults);
        scene.git(&["update-ref", "-d", &format!("refs/heads/{branch}")]);
    } else {
        bowed_out(&scene, outcome);
    }
    if state(&scene) != before {
        outcome.faults.push("the repository is another than before".to_owned());
    }
    Ok(())
}

/// What nobody may have changed: every reference with what it leads to, what is checked out, and the work tree.
fn state(scene: &Scene) -> String {
    let references = scene.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
    references + &scene.git(&["symbolic-ref", "HEAD"]) + &scene.git(&["status", "--porcelain", "--ignored"])
}

/// A branch holds the change that the coder made and the reproducer's test, and nothing else.
fn published(
    scene: &Scene,
    home: &Path,
    exercise: &Exercise,
    attempt: &Try,
    branch: &str,
    faults: &mut Vec<String>,
) {
    if branches(scene) != [branch] {
        faults.push(format!("the repository has the branches {:?}", branches(scene)));
        return;
    }
    check_branch(scene, home, branch, faults);
    let mut expected: BTreeMap<&str, String> = BTreeMap::new();
    for change in exercise.fix_of(attempt) {
        let text = expected
            .entry(&change.path)
            .or_insert_with(|| scene.git(&["show", &format!("main:{}", change.path)]));
        *text = text.replacen(&change.old, &change.new, 1);
    }
    if let Some(test) = exercise.test_of(attempt) {
        expected.insert(&test.path, test.text.clone());
    }
    let changed = scene.git(&["diff", "--name-only", &format!("main..{branch}")]);
    if changed.lines().ne(expected.keys().copied()) {
        faults.push(format!("the branch changes {changed:?}"));
        return;
    }
    for (path, text) in &expected {
        if scene.git(&["show", &format!("{branch}:{path}")]) != *text {
            faults.push(format!("{path} is on the branch another than it was made"));
        }
    }
    if !scene.out().join("pr.md").exists() {
        faults.push("there is no pr.md".to_owned());
    }
}

/// A bow-out has the right form, says why, what was seen, and what would help; nothing else was made.
fn bowed_out(scene: &Scene, outcome: &mut Outcome) {
    let Some(bow_out) = bow_out(scene, &mut outcome.faults) else { return };
    outcome.said = format!("{:?}: {}", bow_out.stage, bow_out.summary);
    if bow_out.reason_code.as_str() != outcome.ended {
        outcome.faults.push(format!("bowout.json says {}", bow_out.reason_code.as_str()));
    }
    if bow_out.evidence.is_empty() {
        outcome.faults.push("the bow-out has no evidence".to_owned());
    }
    if bow_out.what_would_unblock.is_empty() {
        outcome.faults.push("the bow-out says nothing that would unblock it".to_owned());
    }
    if scene.out().join("pr.md").exists() {
        outcome.faults.push("there is a pr.md".to_owned());
    }
}
