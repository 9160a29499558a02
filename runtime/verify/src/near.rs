//! V6: tests near the change run first, where the suite takes long: a patch that breaks one need not wait for the rest.
//!
//! Near is a test whose id names a changed file or, for Go, its package. Only a confirmed failure ends the work; whatever
//! else is seen here, V7 runs every test.

use std::collections::BTreeSet;

use gloaming_api::evidence::{FileRole, Finding};
use gloaming_api::profile::{CommandKind, TestRunner};

use crate::bench::{Bench, Lane};
use crate::change::Change;
use crate::reruns::{self, Near};
use crate::steps::{Found, count, some_of};
use crate::suites::Explained;
use crate::{Baseline, VerifyError};

/// Names of files that say nothing of what is in them.
const COMMON: &[&str] = &[
    "lib", "main", "mod", "index", "init", "__init__", "core", "util", "utils", "common", "types", "test",
    "tests",
];

/// Says what the step found.
pub(crate) async fn run(
    bench: &mut Bench<'_>,
    lanes: (&mut Option<Lane>, &Lane),
    baseline: &Baseline,
    explained: &Explained<'_>,
    change: &Change,
) -> Result<Found, VerifyError> {
    let effort = bench.inputs.effort;
    if u128::from(baseline.suite_ms) <= effort.alone_from.as_millis() {
        return Ok(Found::skipped("the suite takes no longer than the tests near the change would"));
    }
    let runner = bench.inputs.profile.command(CommandKind::Test).and_then(|command| command.runner);
    let near: Vec<String> = near(baseline, change, runner);
    if near.is_empty() {
        return Ok(Found::skipped("no test is named like a changed file"));
    }
    if near.len() * 2 > baseline.tests.len() {
        return Ok(Found::skipped("most tests are near the change, so V7 runs them all at once"));
    }
    let found = reruns::judge_near(bench, lanes, baseline, explained, &near).await?;
    Ok(match found {
        Near::Unable => Found::skipped("the tests near the change could not be run alone"),
        Near::Holds => {
            Found::pass(format!("run first, {} near the change: none fails", count(near.len(), "test")))
        }
        Near::Open(ids) => Found::pass(format!(
            "of {} near the change some differ, which V7 decides: {}",
            count(near.len(), "test"),
            some_of(&ids)
        )),
        Near::Broken(ids) => {
            let told: Vec<String> = ids.iter().map(|(id, told)| format!("{id} ({told})")).collect();
            Found::fail(
                Finding::Regression,
                format!(
                    "near the change, {} passed on the base and {} with the patch: {}",
                    count(ids.len(), "test"),
                    if ids.len() == 1 { "fails" } else { "fail" },
                    some_of(&told)
                ),
            )
        }
    })
}

/// Tests of the base that are named like a changed file, sorted.
fn near(baseline: &Baseline, change: &Change, runner: Option<TestRunner>) -> Vec<String> {
    let mut words: BTreeSet<String> = BTreeSet::new();
    let mut folders: BTreeSet<String> = BTreeSet::new();
    for diff in &change.files {
        let path = &diff.file.path;
        if !matches!(diff.file.role, FileRole::Code | FileRole::Test) {
            continue;
        }
        let stem = path.name().unwrap_or("").split('.').next().unwrap_or("").to_lowercase();
        let stem = stem.trim_start_matches("test_").trim_end_matches("_test").to_owned();
        if stem.len() > 2 && !COMMON.contains(&stem.as_str()) {
            words.insert(stem);
        }
        folders.extend(path.parent().map(|folder| folder.to_string()).filter(|folder| folder != "."));
    }
    let named = |id: &str| {
        if runner == Some(TestRunner::GoTest) {
            let package = id.split("::").next().unwrap_or(id);
            return folders.iter().any(|folder| package.ends_with(&format!("/{folder}")));
        }
        let id = id.to_lowercase();
        id.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| {
            let part = part.trim_start_matches("test_").trim_end_matches("_test");
            words.contains(part)
        })
    };
    baseline.tests.keys().filter(|id| named(id)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gloaming_api::evidence::TestStatus;

    use super::*;
    use crate::change::diff;

    fn check(runner: TestRunner, changed: &[&str], ids: &[&str]) -> Vec<String> {
        let baseline =
            Baseline::of_runs(&[ids.iter().map(|id| ((*id).to_owned(), TestStatus::Passed)).collect()]);
        let change = Change {
            files: changed.iter().map(|path| diff(path, Some("a\n"), Some("b\n"))).collect(),
            base: BTreeMap::new(),
            patched: BTreeMap::new(),
        };
        near(&baseline, &change, Some(runner))
    }

    #[test]
    fn tests_named_like_what_changed() {
        let python =
            ["tests.test_money::t", "tests.test_time::t", "tests.test_moneybag::t", "tests.unit.money::T::t"];
        assert_eq!(
            check(TestRunner::Pytest, &["shop/money.py"], &python),
            ["tests.test_money::t", "tests.unit.money::T::t"]
        );
        assert_eq!(check(TestRunner::Pytest, &["tests/test_time.py"], &python), ["tests.test_time::t"]);
        assert_eq!(check(TestRunner::Pytest, &["shop/utils.py", "README.md"], &python), [""; 0]);
        assert_eq!(
            check(TestRunner::Cargo, &["src/money.rs"], &["p::p::money::tests::t", "p::p::time::t"]),
            ["p::p::money::tests::t"]
        );
        assert_eq!(
            check(
                TestRunner::GoTest,
                &["shop/cash.go"],
                &["example.com/x/shop::TestA", "example.com/x/workshop::TestB"]
            ),
            ["example.com/x/shop::TestA"]
        );
    }
}
