//! Verifications of repositories whose tests need what a set-up job fetches.

use gloaming_api::evidence::Evidence;
use gloaming_api::evidence::TestStatus::{Failed, Passed};
use gloaming_api::job::JobPurpose;
use gloaming_api::profile::CommandKind;
use gloaming_jobs::Caches;

use crate::support::{Case, command, told, unittest};

/// Puts a module into the virtual environment, as a package manager would.
const INSTALL: &str = "import pathlib, sysconfig\n\
    pathlib.Path(sysconfig.get_path('purelib'), 'small.py').write_text('VALUE = 1\\n')\n";

const APP: &str = "import small\n\n\ndef value():\n    return small.VALUE\n";

/// It says which value it saw, and tries to leave another one to whoever comes next.
const TESTS: &str = r#"
import pathlib, unittest

import app, small


class T(unittest.TestCase):
    def test_value(self):
        self.assertIn(app.value(), (1, 2))

    def test_nobody_writes_to_it(self):
        with self.assertRaises(OSError):
            pathlib.Path(small.__file__).write_text("VALUE = 3\n")
"#;

fn case(dir: &tempfile::TempDir) -> Case {
    case_of(dir, TESTS)
}

fn case_of(dir: &tempfile::TempDir, tests: &str) -> Case {
    let install = command(CommandKind::Install, None, &["python3", "deps/install.py"]);
    let files = [
        ("app.py", APP),
        ("deps/install.py", INSTALL),
        ("tests/__init__.py", ""),
        ("tests/test_app.py", tests),
    ];
    let mut case = Case::new(vec![install, unittest()], &files);
    case.caches = Some(Caches::new(dir.path().join("deps"), 1 << 30));
    case.effort.mutants = 0;
    case.effort.coverage = false;
    case
}

/// The trees that were set up, and with how many jobs; of those whose cache was used, it says so.
fn set_up(evidence: &Evidence) -> Vec<String> {
    let jobs = evidence.jobs.iter().filter(|job| job.record.purpose == JobPurpose::Setup);
    jobs.map(|job| {
        let cached = if job.record.cached.is_some() { ", cached" } else { "" };
        format!("{}{cached}", job.tree)
    })
    .collect()
}

#[tokio::test]
async fn a_patch_gets_the_bases_dependencies_and_may_not_change_what_decides_them() {
    let dir = tempfile::tempdir().unwrap();
    let changed =
        [("app.py", "import small\n\n\ndef value():\n    \"\"\"Return it.\"\"\"\n    return small.VALUE\n")];
    let mut case = case(&dir);
    let Some(evidence) = case.verify(&changed).await else { return };
    assert!(told(&evidence, "V7").starts_with("pass"), "{}", told(&evidence, "V7"));
    assert_eq!(set_up(&evidence), ["setup of base", "setup of base"]);

    // From the cache this time.
    let evidence = case.verify(&changed).await.unwrap();
    assert_eq!(set_up(&evidence), ["setup of base, cached", "setup of base, cached"]);

    // What runs in a set-up would stand around every test.
    let other = INSTALL.replace("VALUE = 1", "VALUE = 2");
    let evidence = case.verify(&[changed[0], ("deps/install.py", &other)]).await.unwrap();
    assert_eq!(
        told(&evidence, "V8"),
        "fail: changes what runs the tests: deps/install.py decides what the set-up fetches"
    );
    assert_eq!(set_up(&evidence), Vec::<String>::new());

    // Without a set-up the base does not even run.
    case.caches = None;
    let evidence = case.verify(&[changed[0], ("deps/install.py", INSTALL)]).await.unwrap();
    assert!(told(&evidence, "V3").contains("untouched tree"), "{}", told(&evidence, "V3"));
}

#[tokio::test]
async fn a_base_that_lacks_its_dependencies_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let install =
        command(CommandKind::Install, None, &["python3", "-c", "raise SystemExit('dial tcp: no route')"]);
    let mut case = Case::new(
        vec![install, unittest()],
        &[("app.py", APP), ("tests/__init__.py", ""), ("tests/test_app.py", TESTS)],
    );
    case.caches = Some(Caches::new(dir.path().join("deps"), 1 << 30));
    let Some(evidence) = case.verify(&[("app.py", "import small\n")]).await else { return };
    let why = told(&evidence, "V3");
    assert!(why.contains("the policy names no host for set-up jobs") && why.contains("dial tcp"), "{why}");
}

#[tokio::test]
async fn a_baseline_that_was_made_without_dependencies_says_nothing_of_a_tree_that_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let tests = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_small(self):\n        import small\n\n    \
                 def test_plain(self):\n        pass\n";
    let mut case = case_of(&dir, tests);
    case.baselines = Some(Box::default());
    // Nothing so small is kept: jobs have what the machine has.
    case.caches = Some(Caches::new(dir.path().join("small"), 1));
    let change = [("app.py", "VALUE = 1\n")];
    let Some(evidence) = case.verify(&change).await else { return };
    let failed = |evidence: &Evidence| evidence.baseline_tests.values().filter(|one| **one == Failed).count();
    assert_eq!(failed(&evidence), 1, "{:?}", evidence.baseline_tests);
    let kept = |case: &Case| case.baselines.as_ref().map(|kept| kept.kept());
    assert_eq!(kept(&case), Some(1));
    case.caches = Some(Caches::new(dir.path().join("deps"), 1 << 30));
    for _ in 0..2 {
        let evidence = case.verify(&change).await.unwrap();
        assert_eq!((failed(&evidence), &evidence.fail_to_pass), (0, &Vec::new()));
        assert_eq!(kept(&case), Some(2));
    }
}

#[tokio::test]
async fn what_failed_on_a_base_that_was_kept_is_looked_at_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut case = case(&dir);
    case.baselines = Some(Box::default());
    let change = [("app.py", "import small\n\n\ndef value():\n    return 2 - small.VALUE\n")];
    let Some(_) = case.verify(&change).await else { return };
    let id = "tests.test_app.T.test_value";
    case.baselines.as_ref().unwrap().change(|kept| {
        assert_eq!(kept.tests.insert(id.to_owned(), Failed), Some(Passed));
    });
    let evidence = case.verify(&change).await.unwrap();
    assert_eq!(evidence.baseline_tests[id], Failed);
    assert_eq!(evidence.fail_to_pass, Vec::<String>::new());
    assert!(evidence.jobs.iter().any(|job| job.tree == "base-again"), "{:?}", evidence.jobs);
}
