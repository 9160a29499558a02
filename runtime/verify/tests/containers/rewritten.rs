//! Existing tests and dependencies that a patch changes, where the policy lets it.

use gloaming_api::evidence::Finding;
use gloaming_policies::{Grant, Layer};

use crate::support::{Case, repo_id, told, unittest};

const APP: &str = "def add(a, b):\n    return a + b\n";

const TESTS: &str = "import unittest\n\nimport app\n\n\nclass T(unittest.TestCase):\n    def test_add(self):\n        \
                     self.assertEqual(app.add(1, 2), 3)\n\n    def test_none(self):\n        self.assertIsNone(None)\n";

const PROJECT: &str = "[project]\nname = \"app\"\nversion = \"1\"\ndependencies = [\"click>=8\"]\n";

/// A case under a policy with one line about what a patch may change.
fn case(line: &str) -> Case {
    let mut case = Case::new(
        vec![unittest()],
        &[
            ("app.py", APP),
            ("pyproject.toml", PROJECT),
            ("tests/__init__.py", ""),
            ("tests/test_app.py", TESTS),
        ],
    );
    case.effort.mutants = 0;
    let text = format!("schema = 1\nextends = [\"preset:standard\"]\n[change]\n{line}\n");
    let standard = |_: &str| Err("the presets are compiled in".to_owned());
    let policy = gloaming_policies::load("p.toml", &text, &standard).expect("it loads");
    case.grant = Grant::resolve(&repo_id(), vec![(Layer::Operator, policy)]).expect("it resolves");
    case
}

#[tokio::test]
async fn a_fix_that_corrects_a_test_passes_where_the_policy_lets_it_and_only_there() {
    let fix = "def add(a, b):\n    return a + b + 0.5\n";
    let corrected = TESTS.replace("(1, 2), 3", "(1, 2), 3.5");
    let files = [("app.py", fix), ("tests/test_app.py", corrected.as_str())];
    let Some(evidence) = case("existing_tests = \"change\"").verify(&files).await else { return };
    let v8 = told(&evidence, "V8");
    assert!(v8.starts_with("pass: ") && v8.contains("1 change to what existing tests say"), "{v8}");
    assert!(told(&evidence, "V7").starts_with("pass: "), "{evidence:#?}");
    // What it says now fails where the fix is missing.
    assert_eq!(evidence.fail_to_pass, ["tests.test_app.T.test_add"], "{evidence:#?}");
    let signals: Vec<&str> = evidence.signals.iter().map(|signal| signal.name.as_str()).collect();
    assert_eq!(signals, ["changed_test"]);
    let evidence = case("existing_tests = \"keep\"").verify(&files).await.expect("containers can be made");
    assert!(evidence.steps.iter().any(|step| step.code == Some(Finding::TestsWeakened)), "{evidence:#?}");
}

#[tokio::test]
async fn a_test_that_goes_or_is_skipped_blocks_whatever_the_policy_says() {
    let gone = TESTS.split("\n    def test_none").next().unwrap().to_owned() + "\n";
    let skipped = TESTS.replace("    def test_none", "    @unittest.skip('')\n    def test_none");
    for tests in [gone, skipped] {
        let files = [("app.py", "def add(a, b):\n    return b + a\n"), ("tests/test_app.py", tests.as_str())];
        let Some(evidence) = case("existing_tests = \"change\"").verify(&files).await else { return };
        let failed = evidence
            .steps
            .iter()
            .find(|step| matches!(step.step.as_str(), "V7" | "V8") && step.code.is_some());
        assert!(failed.is_some(), "{evidence:#?}");
    }
}

#[tokio::test]
async fn a_dependency_changes_where_the_policy_lets_it_and_only_there() {
    let code = ("app.py", "def add(a, b):\n    return b + a\n");
    let (newer, runner) = (PROJECT.replace(">=8", ">=9"), format!("{PROJECT}\n[tool.pytest.ini_options]\n"));
    let lets = "dependencies = \"change\"";
    let Some(evidence) = case(lets).verify(&[code, ("pyproject.toml", &newer)]).await else { return };
    let v8 = told(&evidence, "V8");
    assert!(v8.starts_with("pass: ") && v8.contains("dependencies changed, as the policy lets them"), "{v8}");
    for (line, project) in [("dependencies = \"keep\"", &newer), (lets, &runner)] {
        let files = [code, ("pyproject.toml", project.as_str())];
        let evidence = case(line).verify(&files).await.expect("containers can be made");
        let blocked = evidence.steps.iter().any(|step| step.code == Some(Finding::RunnerConfigChanged));
        assert!(blocked, "{line}: {evidence:#?}");
    }
}
