//! The evil suite: a model that tries everything, as data. Whatever it says and calls, nothing leaves, nothing outside the
//! grant changes, budgets hold, and the run ends in order.
//!
//! By default the cases marked `sample`; `GLOAMING_EVIL=all` (`make evil`) is all of it, another word the cases whose name
//! holds it. README.md says how to write one.

mod case;
mod run;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use case::{Case, Kind};
use run::{Ground, Outcome};

use crate::support::{for_each_case, tell};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evil")
}

/// Every case by its name; what cannot be read is a failure of its own.
fn cases(ground: &Ground) -> BTreeMap<String, Result<Case, String>> {
    let port = ground.port();
    let words = [("port", port.as_str())];
    let mut out = BTreeMap::new();
    for entry in std::fs::read_dir(folder().join("cases")).expect("the cases are there") {
        let entry = entry.expect("readable");
        let name = entry.file_name().into_string().expect("UTF-8");
        out.insert(name, Case::load(&entry.path(), &words));
    }
    out
}

#[test]
fn whatever_a_model_does_the_promises_hold() {
    let wanted = std::env::var("GLOAMING_EVIL").unwrap_or_default();
    let ground = Ground::new(folder());
    let mut faults: Vec<String> = Vec::new();
    let mut todo: Vec<(String, Case)> = Vec::new();
    for (name, case) in cases(&ground) {
        match case {
            Err(fault) => faults.push(format!("{name}: {fault}")),
            Ok(case) => {
                let chosen = match wanted.as_str() {
                    "" => case.sample,
                    "all" => true,
                    word => name.contains(word),
                };
                todo.extend(chosen.then_some((name, case)));
            }
        }
    }
    let outcomes = for_each_case(&todo, |(name, case)| {
        let outcome = run::run(&ground, case);
        let seconds = outcome.took.as_secs_f64();
        if !wanted.is_empty() {
            tell(&format!("{name:<44} {:<22} {seconds:5.1} s\n", outcome.ended));
        }
        for fault in &outcome.faults {
            tell(&format!("tests/evil/cases/{name}: {fault}\n"));
        }
        outcome
    });
    let results: Vec<(&str, &Case, Outcome)> =
        todo.iter().zip(outcomes).map(|((name, case), outcome)| (name.as_str(), case, outcome)).collect();
    tell(&table(&results));
    for (name, _, outcome) in &results {
        faults.extend(outcome.faults.iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(!results.is_empty(), "no case is called {wanted:?}");
}

/// How many of each kind ran, and how long they took.
fn table(results: &[(&str, &Case, Outcome)]) -> String {
    let mut lines = vec![format!("{:<12} {:>6} {:>7} {:>8}", "evil suite", "cases", "held", "seconds")];
    for kind in Kind::ALL {
        let of_it: Vec<&Outcome> =
            results.iter().filter(|(_, case, _)| case.kind == *kind).map(|(.., outcome)| outcome).collect();
        let held = of_it.iter().filter(|outcome| outcome.faults.is_empty()).count();
        let seconds: f64 = of_it.iter().map(|outcome| outcome.took.as_secs_f64()).sum();
        if !of_it.is_empty() {
            let name = format!("{kind:?}").to_lowercase();
            lines.push(format!("{name:<12} {:>6} {held:>7} {seconds:>8.1}", of_it.len()));
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_suite_is_as_large_and_as_wide_as_is_promised() {
    let ground = Ground::new(folder());
    let cases: Vec<Case> = cases(&ground)
        .into_iter()
        .map(|(name, case)| case.unwrap_or_else(|fault| panic!("{name}: {fault}")))
        .collect();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    for kind in Kind::ALL {
        let count =
            |sample: bool| cases.iter().filter(|case| case.kind == *kind && (case.sample || !sample)).count();
        assert!(count(false) >= 3 && count(true) >= 1, "{kind:?} has {} cases", count(false));
    }
}

/// A suite whose cases cannot fail shows nothing: each of these is wrong, and must be told so.
#[test]
fn a_case_that_does_not_hold_is_told() {
    let ground = Ground::new(folder());
    let read = "[[coder]]\ncalls = [[\"read\", {path = \"calc/core.py\"}]]\n";
    for (text, told) in [
        ("ends = [\"stuck\"]\n", "ended with underspecified (nothing worked), not with stuck"),
        ("ends = [\"underspecified\"]\ndenied = [\"no-secrets\"]\n", "the rule no-secrets denied nothing"),
        ("ends = [\"underspecified\"]\nrefused = [\"read\"]\n", "did what it was asked to"),
        ("ends = [\"underspecified\"]\nrefused = [\"list\"]\n", "list was never called"),
        ("ends = [\"underspecified\"]\nuntold = [\"def twice\"]\n", "the model was told \"def twice\""),
        ("ends = [\"underspecified\"]\ntold = [\"no such words\"]\n", "was not told"),
        ("ends = [\"underspecified\"]\nasked = 1\n", "the model was asked 2 times, not at most 1"),
    ] {
        let text = format!("title = \"It is wrong.\"\nkind = \"path\"\n{text}{read}");
        let case = Case::parse(&text, &[]).expect("a case");
        let found = run::run(&ground, &case).faults.join("; ");
        assert!(found.contains(told), "{text}: {found:?}");
    }
    let unsaid = Case::parse("title = \"T\"\nkind = \"path\"\nends = [\"branch\"]\n", &[]);
    assert!(unsaid.is_err_and(|fault| fault.contains("says what holds all the same")));
}
