//! The escape corpus: every case of `cases/` on every road, on one process that goes on serving meanwhile.
//!
//! `GLOAMING_ESCAPE=word` runs the cases whose folder holds the word. README.md says how to write one.

mod case;
mod roads;
mod run;
mod tree;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Instant;

use case::{Case, Topic};
use run::{Corpus, Outcome};

/// Cases that run at once.
const WORKERS: usize = 3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape/cases")
}

/// Every case by its folder's name; what cannot be read is a failure of its own.
fn cases() -> BTreeMap<String, Result<Case, String>> {
    let entries = std::fs::read_dir(folder()).expect("the cases are there");
    entries
        .map(|entry| {
            let entry = entry.expect("readable");
            (entry.file_name().into_string().expect("UTF-8"), Case::load(&entry.path()))
        })
        .collect()
}

#[test]
fn every_case_of_the_corpus_holds() {
    let wanted = std::env::var("GLOAMING_ESCAPE").unwrap_or_default();
    let cases: Vec<_> = cases().into_iter().filter(|(name, _)| name.contains(&wanted)).collect();
    let corpus = Corpus::shared();
    let todo = Mutex::new(cases.iter());
    let (failed, times) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some((name, case)) = todo.lock().expect("no panic holds it").next() else { return };
                    let began = Instant::now();
                    let outcome = match case {
                        Ok(case) => corpus.run(&folder().join(name), case),
                        Err(fault) => Outcome::Fails(vec![fault.clone()]),
                    };
                    times.lock().expect("no panic holds it").push((began.elapsed(), name.as_str()));
                    match outcome {
                        Outcome::Holds => {}
                        Outcome::Skipped(why) => {
                            crate::support::skipped(&format!("escape case {name}"), &why)
                        }
                        Outcome::Fails(faults) => {
                            // Past the harness, as it happens; all of it where one case was asked for.
                            let more = match faults.len() {
                                1 => String::new(),
                                count => format!(" (and {} more)", count - 1),
                            };
                            let shown = if wanted.is_empty() { &faults[..1] } else { faults.as_slice() };
                            let text = shown.join("\n    ");
                            writeln!(std::io::stderr(), "tests/escape/cases/{name}: {text}{more}")
                                .expect("standard error can be written to");
                            failed.lock().expect("no panic holds it").push(name.clone());
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic held it");
    let mut times = times.into_inner().expect("no panic held it");
    times.sort_unstable_by(|a, b| b.cmp(a));
    let slowest: Vec<String> =
        times.iter().take(5).map(|(time, name)| format!("{name} {:.1} s", time.as_secs_f64())).collect();
    writeln!(
        std::io::stderr(),
        "escape corpus: {} cases, {} calls, {} failed; slowest: {}",
        cases.len(),
        corpus.calls.load(Ordering::Relaxed),
        failed.len(),
        slowest.join(", ")
    )
    .expect("standard error can be written to");
    assert!(failed.is_empty(), "{} of {} cases do not hold: {failed:?}", failed.len(), cases.len());
}

#[test]
fn the_corpus_has_every_topic() {
    let cases: Vec<Case> = cases().into_values().flatten().collect();
    for topic in Topic::ALL {
        assert!(cases.iter().any(|case| case.covers.contains(topic)), "no case is about {topic:?}");
    }
}

/// A corpus whose cases cannot fail shows nothing: each of these is wrong, and must be told so.
#[test]
fn a_case_that_does_not_hold_is_told() {
    let head = "about = \"It is wrong.\"\ncovers = [\"component\"]\n";
    let read = "[[call]]\nask = \"read\"\npaths = [\"a.txt\"]\n";
    for (text, told) in [
        (format!("{read}expect = \"denied\""), "expected denied, was answered ok"),
        (format!("{read}expect = \"ok\"\nhas = [\"four\"]"), "the answer lacks \"four\""),
        (format!("{read}expect = \"ok\"\nlacks = [\"three\"]"), "holds \"three\""),
        (
            format!("{read}expect = \"ok\"\nexcept = {{ wasi = \"denied\" }}"),
            "by Wasi of \"a.txt\" (openat2): expected denied",
        ),
        (format!("{read}expect = \"ok\"\nafter = {{ \"new\" = true }}"), "afterwards new is not there"),
        (
            "[[call]]\nask = \"read\"\npaths = [\".env\"]\nexpect = \"denied\"\nrule = \"locked\"".into(),
            "denied by no-secrets instead of locked",
        ),
        (
            "tree = [{ file = \"leak.txt\", text = \"<<canary>>\" }]\n\
             [[call]]\nask = \"read\"\npaths = [\"leak.txt\"]\nexpect = \"ok\""
                .into(),
            "shows what nobody may see",
        ),
        (
            "tree = [{ file = \"leak.txt\", text = \"<<outside>>\" }]\n\
             [[call]]\ntool = \"search\"\nargs = { pattern = \".\" }\nexpect = \"ok\""
                .into(),
            "shows a path of the host",
        ),
        ("[[call]]\nask = \"write\"\npaths = [\"a.txt\"]\nexpect = \"ok\"".into(), "a.txt was file"),
        (
            "[[call]]\nask = \"read\"\npaths = [\"a.txt\", \"b.txt\"]\nexpect = \"ok\"\nalike = true".into(),
            "tells \"a.txt\" from \"b.txt\"",
        ),
        (
            format!("mischief = [{{ exchange = [\"a.txt\", \"missing\"] }}]\n{read}expect = \"ok\""),
            "cannot be done",
        ),
        ("[[call]]\njob = \"cat a.txt; exit 3\"\nexpect = \"ok\"".into(), "was answered exit 3"),
        (
            "[[call]]\njob = \"cat a.txt\"\nexpect = \"ok\"\nlacks = [\"two\"]".into(),
            "the job printed \"two\"",
        ),
    ] {
        let case: Case = toml::from_str(&format!("{head}{text}")).expect("it is a case");
        match Corpus::shared().run(Path::new("nowhere"), &case) {
            Outcome::Fails(faults) => {
                assert!(faults.iter().any(|fault| fault.contains(told)), "{text}: {faults:?}");
            }
            Outcome::Skipped(_) if text.contains("job") => {}
            outcome => panic!("{text}: {outcome:?}"),
        }
    }
}
