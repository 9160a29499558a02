//! Flaky tests, and broken ones.

use std::time::Duration;

use crate::support::{Case, runs, told, unittest};

/// A test that fails in the runs of its tree that `fails` names: trees share nothing, runs of one tree a folder.
const TESTS: &str = r#"
import os, pathlib, unittest


def count(name):
    path = pathlib.Path(os.environ["HOME"]) / name
    number = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(number))
    return number


class T(unittest.TestCase):
    def test_steady(self):
        import app
        self.assertEqual(app.add(1, 2), 3)

    def test_flaky(self):
        import fails
        self.assertNotIn(count("flaky"), fails.RUNS)
"#;

const APP: &str = "def add(a, b):\n    return a + b\n";

fn runs_that_fail(numbers: &str) -> String {
    format!("RUNS = {numbers}\n")
}

fn case(fails: &str) -> Case {
    let fails = runs_that_fail(fails);
    Case::new(
        vec![unittest()],
        &[("app.py", APP), ("fails.py", &fails), ("tests/__init__.py", ""), ("tests/test_app.py", TESTS)],
    )
}

fn flakes(evidence: &gloaming_api::evidence::Evidence) -> Vec<String> {
    evidence
        .flakes
        .iter()
        .map(|flake| {
            format!(
                "{} base {}/{} patched {}/{}",
                flake.id, flake.base.passed, flake.base.failed, flake.patched.passed, flake.patched.failed
            )
        })
        .collect()
}

#[tokio::test]
async fn a_test_that_flips_on_the_base_is_listed_and_held_against_nobody() {
    let mut case = case("[2]");
    case.effort.mutants = 0;
    // The patched tree's second run fails like the base's did.
    let Some(evidence) = case.verify(&[("app.py", "def add(a, b):\n    return b + a\n")]).await else {
        return;
    };
    assert_eq!(
        told(&evidence, "V7"),
        "pass: 2 tests on the base, 2 with the patch, none fails that passed; flaky on the base: \
         tests.test_app.T.test_flaky"
    );
    assert_eq!(evidence.flaky, ["tests.test_app.T.test_flaky"]);
    // Three runs of the base; of the patched tree one, the controls, and three that clear it.
    assert_eq!(flakes(&evidence), ["tests.test_app.T.test_flaky base 2/1 patched 4/1"]);
}

#[tokio::test]
async fn a_test_that_fails_once_with_the_patch_is_cleared_and_listed() {
    let mut case = case("[]");
    case.effort.mutants = 0;
    let Some(evidence) = case.verify(&[("fails.py", &runs_that_fail("[1]"))]).await else { return };
    assert_eq!(
        told(&evidence, "V7"),
        "pass: 2 tests on the base, 2 with the patch, none fails that passed; failed once with the patch and are \
         cleared by reruns: tests.test_app.T.test_flaky"
    );
    assert_eq!(flakes(&evidence), ["tests.test_app.T.test_flaky base 3/0 patched 8/1"]);
    assert_eq!(evidence.flaky, ["tests.test_app.T.test_flaky"]);
}

#[tokio::test]
async fn a_broken_test_is_a_regression_after_three_more_runs() {
    let case = case("[]");
    let Some(evidence) = case.verify(&[("app.py", "def add(a, b):\n    return a - b\n")]).await else {
        return;
    };
    assert_eq!(
        runs(&evidence, "V7"),
        [
            "baseline",
            "baseline-2",
            "baseline-3",
            "patched",
            "patched-2",
            "patched-3",
            "patched-4",
            "baseline-4"
        ]
    );
    let said = told(&evidence, "V7");
    assert!(
        said.starts_with(
            "fail: 1 test passed on the base and fails with the patch: tests.test_app.T.test_steady; the first failed \
             3 of 3 reruns with the patch and 0 of 4 without; it says:"
        ),
        "{said}"
    );
}

#[tokio::test]
async fn where_the_suite_takes_long_tests_are_rerun_alone_on_both_trees() {
    let mut broken = case("[]");
    broken.effort.alone_from = Duration::ZERO;
    let Some(evidence) = broken.verify(&[("app.py", "def add(a, b):\n    return a - b\n")]).await else {
        return;
    };
    let alone: Vec<String> = runs(&evidence, "V7").split_off(4);
    assert_eq!(
        alone,
        [
            "patched-alone-1",
            "baseline-alone-1",
            "patched-alone-2",
            "baseline-alone-2",
            "patched-alone-3",
            "baseline-alone-3",
            "patched-alone-4",
            "baseline-alone-4"
        ]
    );
    assert!(told(&evidence, "V7").starts_with("fail: 1 test passed on the base and fails with the patch"));
    let job = evidence.jobs.iter().find(|job| job.tree == "patched-alone-1").unwrap();
    assert_eq!(job.record.env["GLOAMING_ONLY"], "tests.test_app.T.test_steady");
}

/// It fails behind other tests and never alone: what clears it alone does not count.
#[tokio::test]
async fn a_test_that_fails_only_behind_others_is_not_cleared_alone() {
    let tests = r#"
import app, unittest


class T(unittest.TestCase):
    def test_a(self):
        app.calls.append(1)

    def test_b(self):
        self.assertLess(len(app.calls), app.most)
"#;
    let mut case = Case::new(
        vec![unittest()],
        &[("app.py", "calls = []\nmost = 2\n"), ("tests/__init__.py", ""), ("tests/test_app.py", tests)],
    );
    case.effort.alone_from = Duration::ZERO;
    let Some(evidence) = case.verify(&[("app.py", "calls = []\nmost = 1\n")]).await else { return };
    let said = told(&evidence, "V7");
    assert!(
        said.starts_with("fail: 1 test passed on the base and fails with the patch: tests.test_app.T.test_b"),
        "{said}"
    );
    let ran = runs(&evidence, "V7");
    assert!(
        ran.contains(&"patched-alone-8".to_owned()) && ran.last().unwrap().starts_with("baseline-"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_break_near_the_change_ends_the_work_before_the_suite_runs() {
    let test = |name: &str, value: &str| {
        format!(
            "import unittest\n\nimport {name}\n\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        self.assertEqual({name}.f(), {value})\n"
        )
    };
    let (money, time, rates) = (test("money", "1"), test("time_of_day", "2"), test("rates", "3"));
    let mut case = Case::new(
        vec![unittest()],
        &[
            ("money.py", "def f():\n    return 1\n"),
            ("time_of_day.py", "def f():\n    return 2\n"),
            ("rates.py", "def f():\n    return 3\n"),
            ("tests/__init__.py", ""),
            ("tests/test_money.py", &money),
            ("tests/test_time_of_day.py", &time),
            ("tests/test_rates.py", &rates),
        ],
    );
    case.effort.alone_from = Duration::ZERO;
    case.effort.mutants = 0;
    let Some(evidence) = case.verify(&[("money.py", "def f():\n    return 7\n")]).await else { return };
    assert_eq!(
        told(&evidence, "V6"),
        "fail: near the change, 1 test passed on the base and fails with the patch: tests.test_money.T.test_it (failed \
         4 of 4 reruns with the patch and 0 of 4 without)"
    );
    assert_eq!(runs(&evidence, "V7"), ["baseline", "baseline-2", "baseline-3"]);
    assert_eq!(told(&evidence, "V7"), "skipped: not reached: V6 decided");
    let Some(evidence) = case.verify(&[("money.py", "def f():\n    return 3 - 2\n")]).await else { return };
    assert_eq!(told(&evidence, "V6"), "pass: run first, 1 test near the change: none fails");
}

#[tokio::test]
async fn the_untouched_tree_is_run_once_for_patches_of_one_base() {
    let mut case = case("[2]");
    case.effort.mutants = 0;
    case.baselines = Some(Box::default());
    let of_base = |evidence: &gloaming_api::evidence::Evidence| -> Vec<_> {
        evidence.jobs.iter().filter(|job| job.tree.starts_with("baseline")).cloned().collect()
    };
    let Some(first) = case.verify(&[("app.py", "def add(a, b):\n    return b + a\n")]).await else { return };
    let other = "def add(a, b):\n    return sum((a, b))\n";
    let second = case.verify(&[("app.py", other)]).await.expect("containers can be made");
    assert_eq!(case.baselines.as_ref().map(|kept| kept.kept()), Some(1));
    // The very runs, with their times, as what they are.
    let mut again = of_base(&second);
    for job in &mut again {
        let cached = job.record.cached.take().expect("it was not run this time");
        assert_eq!(cached.at, jiff::Timestamp::UNIX_EPOCH);
    }
    assert_eq!((of_base(&first).len(), again), (3, of_base(&first)));
    assert_eq!((&second.flaky, told(&second, "V7")), (&first.flaky, told(&first, "V7")));
    // Another number of runs is another baseline.
    case.effort.reruns.baseline_runs = 2;
    case.verify(&[("app.py", other)]).await.expect("containers can be made");
    assert_eq!(case.baselines.as_ref().map(|kept| kept.kept()), Some(2));
}
