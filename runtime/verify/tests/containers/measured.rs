//! V9: coverage and planted faults, with real tools.

use gloaming_api::evidence::StepResult;
use gloaming_api::profile::{CommandKind, TestRunner};

use crate::support::{Case, command, has_python, step, told, unittest};

const TESTED: &str = "import unittest\n\nimport app\n\n\nclass T(unittest.TestCase):\n    def test_big(self):\n        self.assertTrue(app.big(11))\n        self.assertFalse(app.big(10))\n";

const BEFORE: &str = "def big(n):\n    return n > 10\n";
const AFTER: &str = "def big(n):\n    return n > 10\n\n\ndef small(n):\n    if n < 3:\n        return True\n    return n == -1\n";

#[tokio::test]
async fn faults_in_lines_no_test_means_survive() {
    let case = Case::new(
        vec![unittest()],
        &[("app.py", BEFORE), ("tests/__init__.py", ""), ("tests/test_app.py", TESTED)],
    );
    let tests = format!(
        "{TESTED}\n    def test_small(self):\n        self.assertTrue(app.small(2))\n        self.assertFalse(app.small(3))\n"
    );
    let Some(evidence) = case.verify(&[("app.py", AFTER), ("tests/test_app.py", &tests)]).await else {
        return;
    };
    let mutants = evidence.mutants.as_ref().unwrap();
    let survivors: Vec<String> = mutants
        .survivors
        .iter()
        .map(|mutant| format!("{}:{} {} {}", mutant.path, mutant.line, mutant.operator, mutant.detail))
        .collect();
    insta::assert_snapshot!(
        format!("{} killed, {} survived, {} timed out\n{}", mutants.killed, mutants.survived, mutants.timed_out, survivors.join("\n")),
        @r"
    6 killed, 2 survived, 0 timed out
    app.py:8 default_return `n == -1` → `None`
    app.py:8 off_by_one `1` → `2`
    "
    );
    assert_eq!(step(&evidence, "V9").result, StepResult::Pass, "{}", told(&evidence, "V9"));
}

#[tokio::test]
async fn a_fault_that_never_ends_is_noticed_in_time() {
    let before = "def count(n):\n    return n\n";
    let after = "def count(n):\n    seen = 0\n    while n > seen:\n        seen += 1\n    return seen\n";
    let tests = "import unittest\n\nimport app\n\n\nclass T(unittest.TestCase):\n    def test_count(self):\n        self.assertEqual(app.count(3), 3)\n";
    let mut case = Case::new(
        vec![unittest()],
        &[("app.py", before), ("tests/__init__.py", ""), ("tests/test_app.py", tests)],
    );
    case.effort.coverage = false;
    let Some(evidence) = case.verify(&[("app.py", after)]).await else { return };
    let mutants = evidence.mutants.as_ref().unwrap();
    assert!(mutants.timed_out >= 1 && mutants.killed >= 1, "{mutants:?}");
    // Four times the suite's time, and not the policy's twenty minutes.
    let limits = evidence.jobs.iter().filter(|job| job.step == "V9").map(|job| job.record.limits.wall_s);
    assert!(limits.clone().all(|limit| (10..1200).contains(&limit)), "{:?}", limits.collect::<Vec<_>>());
}

#[tokio::test]
async fn coverage_of_python() {
    let argv: &[&str] = &["python3", "-m", "pytest"];
    if !has_python("coverage") || !has_python("pytest") {
        return;
    }
    let mut case = Case::new(
        vec![command(CommandKind::Test, Some(TestRunner::Pytest), argv)],
        &[("app.py", BEFORE), ("tests/__init__.py", ""), ("tests/test_app.py", TESTED)],
    );
    case.effort.mutants = 0;
    let Some(evidence) = case.verify(&[("app.py", AFTER)]).await else { return };
    assert_eq!(
        told(&evidence, "V9"),
        "pass: the tests run 1 of 4 changed lines (coverage.py), not app.py:6, app.py:7, app.py:8; no faults are \
         planted: no faults are planted in this run"
    );
}

#[tokio::test]
async fn coverage_of_node() {
    let test = "const { test } = require('node:test');\nconst assert = require('node:assert');\nconst { big } = require('../app.js');\ntest('big', () => assert.ok(big(11)));\n";
    let before = "exports.big = (n) => {\n  return n > 10;\n};\n";
    let after = "exports.big = (n) => {\n  if (n > 10) {\n    return true;\n  }\n  return false;\n};\n";
    let mut case = Case::new(
        vec![command(CommandKind::Test, Some(TestRunner::NodeTest), &["node", "--test"])],
        &[("app.js", before), ("test/app.test.js", test)],
    );
    case.effort.mutants = 0;
    let Some(evidence) = case.verify(&[("app.js", after)]).await else { return };
    assert!(
        told(&evidence, "V9").starts_with("pass: the tests run 2 of 3 changed lines (v8), not app.js:5"),
        "{} {}",
        told(&evidence, "V7"),
        told(&evidence, "V9")
    );
}

#[tokio::test]
async fn coverage_of_go() {
    let test = "package p\n\nimport \"testing\"\n\nfunc TestBig(t *testing.T) {\n\tif !Big(11) {\n\t\tt.Fatal()\n\t}\n}\n";
    let before = "package p\n\nfunc Big(n int) bool {\n\treturn n > 10\n}\n";
    let after =
        "package p\n\nfunc Big(n int) bool {\n\tif n > 10 {\n\t\treturn true\n\t}\n\treturn false\n}\n";
    let mut case = Case::new(
        vec![command(CommandKind::Test, Some(TestRunner::GoTest), &["go", "test", "./..."])],
        &[("go.mod", "module example.com/demo\n\ngo 1.19\n"), ("p/p.go", before), ("p/p_test.go", test)],
    );
    case.effort.mutants = 0;
    let Some(evidence) = case.verify(&[("p/p.go", after)]).await else { return };
    assert!(
        told(&evidence, "V9")
            .starts_with("pass: the tests run 2 of 3 changed lines (go cover), not p/p.go:7"),
        "{} {}",
        told(&evidence, "V7"),
        told(&evidence, "V9")
    );
}

#[tokio::test]
async fn coverage_of_rust() {
    let manifest = "[package]\nname = \"demo\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n";
    let tests = "\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() {\n        assert!(super::big(11));\n    }\n}\n";
    let before = format!("pub fn big(n: u32) -> bool {{\n    n > 10\n}}\n{tests}");
    let after = format!(
        "pub fn big(n: u32) -> bool {{\n    if n > 10 {{\n        return true;\n    }}\n    n == 3\n}}\n{tests}"
    );
    let mut case = Case::new(
        vec![command(CommandKind::Test, Some(TestRunner::Cargo), &["cargo", "test"])],
        &[("Cargo.toml", manifest), ("Cargo.lock", LOCK), ("src/lib.rs", &before)],
    );
    case.effort.mutants = 0;
    let Some(evidence) = case.verify(&[("src/lib.rs", &after)]).await else { return };
    let said = told(&evidence, "V9");
    // The compiler's own LLVM tools are a component that is not always there.
    assert!(
        said.starts_with("pass: the tests run 2 of 3 changed lines (llvm-cov), not src/lib.rs:5")
            || said.starts_with(
                "skipped: coverage is not measured: llvm-cov is not installed where the tests run"
            ),
        "{} {said}",
        told(&evidence, "V7"),
    );
    eprintln!("{said}");
}

const LOCK: &str = "version = 3\n\n[[package]]\nname = \"demo\"\nversion = \"0.1.0\"\n";

/// Go: faults through another language's compiler, where one that does not build says nothing.
#[tokio::test]
async fn faults_in_go() {
    let test = "package p\n\nimport \"testing\"\n\nfunc TestBig(t *testing.T) {\n\tif !Big(11) || Big(10) {\n\t\tt.Fatal()\n\t}\n}\n";
    let before = "package p\n\nfunc Big(n int) bool {\n\treturn n > 10\n}\n";
    let after =
        "package p\n\nfunc Big(n int) bool {\n\tif n > 10 {\n\t\treturn true\n\t}\n\treturn false\n}\n";
    let mut case = Case::new(
        vec![command(CommandKind::Test, Some(TestRunner::GoTest), &["go", "test", "./..."])],
        &[("go.mod", "module example.com/demo\n\ngo 1.19\n"), ("p/p.go", before), ("p/p_test.go", test)],
    );
    case.effort.coverage = false;
    let Some(evidence) = case.verify(&[("p/p.go", after)]).await else { return };
    let mutants = evidence.mutants.as_ref().unwrap();
    assert_eq!((mutants.survived, mutants.timed_out), (0, 0), "{}", told(&evidence, "V9"));
    assert!(mutants.killed >= 4, "{}", told(&evidence, "V9"));
}

/// A test that the patch adds and that holds of nearly anything: others notice what it does not.
#[tokio::test]
async fn tests_that_notice_nothing_by_themselves_are_a_signal() {
    let case = Case::new(
        vec![unittest()],
        &[("app.py", BEFORE), ("tests/__init__.py", ""), ("tests/test_app.py", TESTED)],
    );
    let after = "def big(n):\n    limit = 10\n    return n > limit\n";
    let weak = format!(
        "{TESTED}\n    def test_more(self):\n        self.assertIn(app.big(11), (True, False, None))\n"
    );
    let strong = weak.replace("assertIn(app.big(11), (True, False, None))", "assertFalse(app.big(10))");
    let mut told_of = Vec::new();
    for tests in [weak, strong] {
        let Some(evidence) = case.verify(&[("app.py", after), ("tests/test_app.py", &tests)]).await else {
            return;
        };
        let own = evidence.mutants.as_ref().unwrap().own.clone().unwrap();
        let idle: Vec<String> = evidence
            .signals
            .iter()
            .filter(|signal| signal.name == gloaming_verify::IDLE_TESTS)
            .map(|signal| format!("{}:{}: {}", signal.path, signal.line, signal.detail))
            .collect();
        told_of.push((own.noticed, own.missed, own.unknown, own.by, idle));
    }
    let said = "app.py:2: whatever was broken in the lines it changes, here `10` → `11`, every test that the patch brings \
                passes: tests.test_app.T.test_more";
    assert_eq!(told_of[0], (0, 4, 0, vec![], vec![said.to_owned()]));
    assert_eq!(told_of[1], (2, 2, 0, vec!["tests.test_app.T.test_more".to_owned()], vec![]));
}
