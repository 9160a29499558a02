//! The tamper suite: attacks on the gate and, beside each, a change that looks alike and is legitimate.
//!
//! By default the attacks that are decided by reading and both halves of the cases marked `sample`;
//! `GLOAMING_TAMPER=all` (`make tamper`) is all of it, another word the patches whose path
//! (`LANGUAGE/NAME/attack` or `/twin`) holds it. README.md says
//! how to write one.

mod case;
mod run;

pub(crate) use case::Edit;
pub(crate) use run::{apply, copy_folder};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use case::{Case, Class};
use run::{Bases, Half, Outcome, judge, missing};

use crate::support::{Scene, WORKERS, expand, for_each_case, tell};

/// The share of the twins that may be blocked.
const BLOCKED: f64 = 0.02;

const LANGUAGES: &[&str] = &["go", "node", "python", "rust"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tamper")
}

/// Every case by `language/name`; what cannot be read is a failure of its own.
fn cases() -> BTreeMap<String, Result<Case, String>> {
    let mut out = BTreeMap::new();
    for language in LANGUAGES {
        let entries = std::fs::read_dir(folder().join(language)).expect("the cases are there");
        for entry in entries {
            let entry = entry.expect("readable");
            let name = entry.file_name().into_string().expect("UTF-8");
            out.insert(format!("{language}/{name}"), Case::load(&entry.path()));
        }
    }
    out
}

/// The halves of a case that are judged.
fn halves(name: &str, case: &Case, wanted: &str) -> Vec<Half> {
    let mut halves = match wanted {
        "" if !case.sample && case.reads => vec![Half::Attack],
        "" if !case.sample => Vec::new(),
        _ => vec![Half::Attack, Half::Twin],
    };
    halves.retain(|half| *half == Half::Attack || case.uncaught.is_none());
    halves.retain(|half| {
        let path = format!("{name}/{}", if *half == Half::Attack { "attack" } else { "twin" });
        matches!(wanted, "" | "all") || path.contains(wanted)
    });
    halves
}

#[test]
fn no_attack_passes_and_the_twins_do() {
    let wanted = std::env::var("GLOAMING_TAMPER").unwrap_or_default();
    let mut faults: Vec<String> = Vec::new();
    let mut todo: Vec<(String, Case, Half)> = Vec::new();
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    for (name, case) in cases() {
        match case {
            Err(fault) => faults.push(format!("{name}: {fault}")),
            Ok(case) => {
                let halves = halves(&name, &case, &wanted);
                match missing(&case.fixture) {
                    Some(why) if !halves.is_empty() => *skipped.entry(why).or_default() += halves.len(),
                    _ => todo.extend(halves.into_iter().map(|half| (name.clone(), case.clone(), half))),
                }
            }
        }
    }
    for (why, count) in &skipped {
        crate::support::skipped(&format!("{count} patches of the tamper suite"), why);
    }
    assert!(
        skipped.is_empty() || std::env::var_os("CI").is_none(),
        "nothing of the tamper suite must be skipped in CI: {skipped:?}"
    );

    let bases = Bases::new(folder().join("fixtures"));
    let outcomes = for_each_case(&todo, |(name, case, half)| {
        let outcome = judge(&bases, case, *half);
        // Where all was asked for each patch is told, past the harness, as it happens.
        if !wanted.is_empty() {
            tell(&line(name, case, &outcome));
        }
        for fault in &outcome.faults {
            tell(&format!("tests/tamper/{name}: {fault}\n    {}\n", outcome.summary));
        }
        outcome
    });
    let mut results: Vec<(&str, &Case, Outcome)> =
        todo.iter().zip(outcomes).map(|((name, case, _), outcome)| (name.as_str(), case, outcome)).collect();
    results.sort_by_key(|(name, _, outcome)| (*name, outcome.half == Half::Twin));
    tell(&table(&results));

    let (mut twins, mut blocked) = (0_u32, 0_u32);
    for (name, case, outcome) in &results {
        if outcome.half == Half::Twin {
            twins += 1;
            blocked += u32::from(!outcome.passed());
        }
        // A twin that is blocked unexpectedly is told above, and counted.
        if outcome.half == Half::Attack || case.twin_blocked.is_some() || outcome.code.is_empty() {
            faults.extend(outcome.faults.iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    let share = f64::from(blocked) / f64::from(twins.max(1));
    assert!(share <= BLOCKED, "{blocked} of {twins} benign twins are blocked");
    assert!(!results.is_empty(), "no case is called {wanted:?}");
}

/// One patch and what came of it.
fn line(name: &str, case: &Case, outcome: &Outcome) -> String {
    let half = match outcome.half {
        Half::Attack if case.uncaught.is_some() => "uncaught",
        Half::Attack => "attack",
        Half::Twin => "twin",
    };
    let seconds = outcome.took.as_secs_f64();
    format!("{name:<58} {half:<9} {:<24} {seconds:5.1} s\n", outcome.code)
}

/// The sums by class, and how long it took.
fn table(results: &[(&str, &Case, Outcome)]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let row = |name: &str, [attacks, passed, twins, blocked]: [&str; 4]| {
        format!("{name:<20} {attacks:>8} {passed:>8} {twins:>8} {blocked:>8}")
    };
    lines.push(row("tamper suite", ["attacks", "passed", "twins", "blocked"]));
    for class in Class::ALL.iter().copied().map(Some).chain([None]) {
        let fits = |case: &Case| case.uncaught.is_none() && class.is_none_or(|class| class == case.class);
        let count = |half: Half, code: &dyn Fn(&Outcome) -> bool| {
            let of = |(_, case, outcome): &&(&str, &Case, Outcome)| {
                fits(case) && outcome.half == half && code(outcome)
            };
            results.iter().filter(of).count().to_string()
        };
        let sums = [
            count(Half::Attack, &|_| true),
            count(Half::Attack, &Outcome::passed),
            count(Half::Twin, &|_| true),
            count(Half::Twin, &|outcome| !outcome.passed()),
        ];
        if sums != ["0", "0", "0", "0"] {
            let name = class.map_or_else(|| "all".to_owned(), Class::name);
            lines.push(row(&name, sums.each_ref().map(String::as_str)));
        }
    }
    let uncaught: Vec<&str> =
        results.iter().filter(|(_, case, _)| case.uncaught.is_some()).map(|(name, ..)| *name).collect();
    if !uncaught.is_empty() {
        lines.push(format!("known and not caught: {}", uncaught.join(", ")));
    }
    let mut times: Vec<_> = results.iter().map(|(name, _, outcome)| (outcome.took, *name)).collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    let all: f64 = times.iter().map(|(took, _)| took.as_secs_f64()).sum();
    let slowest: Vec<String> =
        times.iter().take(3).map(|(took, name)| format!("{name} {:.1} s", took.as_secs_f64())).collect();
    lines.push(format!(
        "{} patches, {:.1} s each with {WORKERS} at once; slowest: {}",
        times.len(),
        all / times.len().max(1) as f64,
        slowest.join(", ")
    ));
    lines.join("\n") + "\n"
}

#[test]
fn the_suite_is_as_large_and_as_wide_as_is_promised() {
    let cases: Vec<(String, Case)> = cases()
        .into_iter()
        .map(|(name, case)| (name.clone(), case.unwrap_or_else(|fault| panic!("{name}: {fault}"))))
        .collect();
    let attacks = cases.iter().filter(|(_, case)| case.uncaught.is_none()).count();
    assert!(attacks >= 120, "{attacks} attacks");
    for class in Class::ALL {
        assert!(cases.iter().any(|(_, case)| case.class == *class), "no case is about {}", class.name());
    }
    for (name, case) in &cases {
        assert!(
            folder().join("fixtures").join(&case.fixture).is_dir(),
            "{name}: no fixture {}",
            case.fixture
        );
    }
}

/// A suite whose cases cannot fail shows nothing: each of these is wrong, and must be told so.
#[test]
fn a_case_that_does_not_hold_is_told() {
    let head = "title = \"It is wrong.\"\nclass = \"protected-path\"\nfixture = \"rust\"\n";
    let gone =
        "[[attack]]\nfile = \"Cargo.lock\"\nremove = true\n[[twin]]\nfile = \"Cargo.lock\"\nremove = true\n";
    let bases = Bases::new(folder().join("fixtures"));
    let faults = |text: &str, half| match Case::parse(&format!("{head}{text}")) {
        Ok(case) => judge(&bases, &case, half).faults.join("; "),
        Err(fault) => fault,
    };
    for (text, half, told) in [
        (
            format!("expect = [\"regression\"]\n{gone}"),
            Half::Attack,
            "expected regression, was judged protected_path",
        ),
        (
            format!("expect = [\"protected_path\"]\n{gone}"),
            Half::Twin,
            "the benign twin is judged protected_path",
        ),
        (
            "uncaught = \"no reason\"\n[[attack]]\nfile = \"Cargo.lock\"\nremove = true\n".to_owned(),
            Half::Attack,
            "is caught now",
        ),
        (format!("expect = [\"ok\"]\n{gone}"), Half::Attack, "no attack may pass"),
        (gone.to_owned(), Half::Attack, "expects a code"),
        // Under the policy that it asks for.
        (
            format!("dependencies = \"change\"\nexpect = [\"protected_path\"]\n{gone}"),
            Half::Attack,
            "expected protected_path, was judged runner_config_changed",
        ),
        (
            format!("expect = [\"regression\"]\n{}", gone.replace("remove = true", "replace = \"nowhere\"")),
            Half::Attack,
            "does not hold \"nowhere\"",
        ),
        (
            format!("expect = [\"regression\"]\n{}", gone.replace("remove = true", "append = \"\"")),
            Half::Attack,
            "the edits change nothing",
        ),
    ] {
        let found = faults(&text, half);
        assert!(found.contains(told), "{text}: {found:?}");
    }
    assert_eq!(expand("a<<U+202E>>b<<3*x\\n>>1 << 2").as_deref(), Ok("a\u{202e}bx\nx\nx\n1 << 2"));
}

#[test]
fn a_patch_that_does_not_apply_is_no_pass() {
    let scene = Scene::new(&[("src/lib.rs", "pub fn f() {}\n")]);
    let diff = "--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -1,1 +1,1 @@\n-no such line\n+x\n";
    let verdict = scene.verify(diff, &[]).exits(3).json();
    assert_eq!((&verdict["verdict"], &verdict["code"]), (&"bow_out".into(), &"patch_does_not_apply".into()));
}
