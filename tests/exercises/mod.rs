//! Small programs with one defect each, and transcripts written for the purpose: right fixes are published, wrong ones are
//! not, and what cannot be done bows out with the code that says why. They prove the machinery, not a model's skill.
//!
//! By default the tries marked `sample`; `GLOAMING_EXERCISES=all` (`make exercises`) is all of it, another word the tries
//! of exercises whose name holds it. docs/exercises.md says how to write one.

mod case;
mod quixbugs;
mod run;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use case::{Exercise, Kind, Try};
use run::Outcome;

use crate::support::{Scene, for_each_case, tell};

/// Every exercise by its name; what cannot be read is a failure of its own.
fn exercises() -> BTreeMap<String, Result<Exercise, String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exercises/cases");
    let files = std::fs::read_dir(folder).expect("the exercises are there");
    let files: Vec<PathBuf> = files.map(|entry| entry.expect("readable").path()).collect();
    let name = |file: &Path| file.file_stem().expect("a name").to_string_lossy().into_owned();
    files.iter().map(|file| (name(file), Exercise::load(file))).collect()
}

/// One run: the exercise's name, itself, the number of the try, and the exercise's state folder.
struct Job<'a> {
    name: &'a str,
    exercise: &'a Exercise,
    attempt: &'a Try,
    home: PathBuf,
}

/// Runs what is chosen of exercises, tells what came of it, and returns the faults.
fn run_all(
    exercises: &BTreeMap<String, Exercise>,
    title: &str,
    chosen: impl Fn(&str, &Try) -> bool,
) -> Vec<String> {
    let homes: BTreeMap<&String, Scene> = exercises.keys().map(|name| (name, Scene::bare_folder())).collect();
    let mut jobs = Vec::new();
    for (name, exercise) in exercises {
        let home = homes[name].home();
        let tries = exercise.tries.iter().filter(|attempt| chosen(name, attempt));
        jobs.extend(tries.map(|attempt| Job { name, exercise, attempt, home: home.clone() }));
    }
    let outcomes = for_each_case(&jobs, |job| {
        let outcome = run::run(job.exercise, job.attempt, &job.home);
        let (name, kind, seconds) = (job.name, kind_name(job.attempt.kind), outcome.took.as_secs_f64());
        let (ended, note) = (&outcome.ended, &job.attempt.note);
        let mut line = format!("{name:<26} {kind:<12} {ended:<22} {seconds:5.1} s  {note}\n");
        for fault in &outcome.faults {
            line += &format!("    fault: {fault}; {}\n", outcome.said);
        }
        tell(&line);
        outcome
    });
    tell(&table(title, &jobs, &outcomes));
    let mut faults = Vec::new();
    for (job, outcome) in jobs.iter().zip(&outcomes) {
        let kind = kind_name(job.attempt.kind);
        faults.extend(outcome.faults.iter().map(|fault| format!("{} {kind}: {fault}", job.name)));
    }
    if jobs.is_empty() {
        faults.push("no exercise is called that".to_owned());
    }
    faults
}

/// Returns a kind as the cases write it.
fn kind_name(kind: Kind) -> String {
    let mut name = String::new();
    for c in format!("{kind:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(c.to_lowercase());
    }
    name
}

/// What became of the tries of each kind.
fn table(title: &str, jobs: &[Job<'_>], outcomes: &[Outcome]) -> String {
    let mut lines = vec![format!(
        "{title:<14} {:>5} {:>9} {:>5} {:>8}  ended with",
        "tries", "published", "held", "seconds"
    )];
    for kind in Kind::ALL {
        let of_it: Vec<&Outcome> = jobs
            .iter()
            .zip(outcomes)
            .filter(|(job, _)| job.attempt.kind == *kind)
            .map(|(_, outcome)| outcome)
            .collect();
        if of_it.is_empty() {
            continue;
        }
        let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
        for outcome in &of_it {
            *codes.entry(&outcome.ended).or_default() += 1;
        }
        let published = codes.get("branch").copied().unwrap_or_default();
        let held = of_it.iter().filter(|outcome| outcome.faults.is_empty()).count();
        let seconds: f64 = of_it.iter().map(|outcome| outcome.took.as_secs_f64()).sum();
        let codes: Vec<String> = codes.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let (name, tries, codes) = (kind_name(*kind), of_it.len(), codes.join(", "));
        lines.push(format!("{name:<14} {tries:>5} {published:>9} {held:>5} {seconds:>8.1}  {codes}"));
    }
    lines.join("\n") + "\n"
}

#[test]
fn right_fixes_are_published_and_wrong_ones_are_not() {
    let wanted = std::env::var("GLOAMING_EXERCISES").unwrap_or_default();
    let mut faults = Vec::new();
    let mut read = BTreeMap::new();
    for (name, exercise) in exercises() {
        match exercise {
            Ok(exercise) => {
                read.insert(name, exercise);
            }
            Err(fault) => faults.push(format!("{name}: {fault}")),
        }
    }
    faults.extend(run_all(&read, "exercises", |name, attempt| match wanted.as_str() {
        "" => attempt.sample,
        "all" => true,
        word => name.contains(word),
    }));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_exercises_are_as_many_as_is_promised() {
    let read: BTreeMap<String, Exercise> = exercises()
        .into_iter()
        .map(|(name, exercise)| exercise.map(|exercise| (name, exercise)))
        .collect::<Result<_, _>>()
        .expect("exercises that can be read");
    let of = |head: &str| read.keys().filter(|name| name.starts_with(head)).count();
    assert!(of("py_") >= 12 && of("rs_") >= 8, "{} and {}", of("py_"), of("rs_"));
    let tries: Vec<&Try> = read.values().flat_map(|exercise| &exercise.tries).collect();
    for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Mutant) {
        assert!(tries.iter().any(|attempt| attempt.kind == *kind), "no try is {}", kind_name(*kind));
    }
    for (name, exercise) in &read {
        let right = exercise.tries.iter().filter(|attempt| attempt.kind == Kind::Right).count();
        assert!(right == 1 && exercise.tries.len() >= 3, "{name} has {right} right tries");
    }
}

/// A suite that cannot fail shows nothing: this try does not end as it says, and must be told so.
#[test]
fn a_try_that_does_not_hold_is_told() {
    let text = "title = \"T\"\nlanguage = \"python\"\ntask = \"Do it.\"\n[files]\n\"a.py\" = \"x = 1\\n\"\n[[try]]\n";
    let parse = |attempt: &str| {
        let exercise: Exercise = toml::from_str(&format!("{text}{attempt}")).expect("an exercise");
        exercise.checked()
    };
    let published = parse("kind = \"veto\"\nends = \"branch\"\n");
    assert!(published.is_err_and(|fault| fault.contains("does not end with branch")));
    let exercise = parse("kind = \"unfixable\"\nends = \"stuck\"\nreading = { needs_credentials = true }\n");
    let exercise = exercise.expect("an exercise");
    let home = Scene::bare_folder();
    let outcome = run::run(&exercise, &exercise.tries[0], &home.home());
    assert_eq!(outcome.faults, ["ended with needs_credentials, not with stuck"], "{}", outcome.said);
}
