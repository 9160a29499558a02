//! What a job was handed is in no report that evidence is made of.

use gloaming_api::evidence::Evidence;
use gloaming_jobs::{SecretString, Vault};
use gloaming_policies::{Grant, Lanes, Layer, parse};

use crate::support::{Case, repo_id, unittest};

const VALUE: &str = "s3cr3t/<value>&more";

/// A test is named by the secret it was given, and says it when it fails.
const TESTS: &str = r#"
import os, unittest

import app


class T(unittest.TestCase):
    def test_adds(self):
        self.assertEqual(app.add(1, 2), 3)


def says(self):
    self.fail(os.environ["TOKEN"])


setattr(T, "test_" + os.environ["TOKEN"], says)
"#;

#[tokio::test]
async fn a_secret_that_tests_put_into_their_report_reaches_no_evidence() {
    let app = "def add(a, b):\n    return a + b\n";
    let files = [("app.py", app), ("tests/__init__.py", ""), ("tests/test_app.py", TESTS)];
    let mut case = Case::new(vec![unittest()], &files);
    case.effort.mutants = 0;
    let policy = "schema = 1\nextends = [\"preset:standard\"]\n\
                  [[allow]]\nid = \"token\"\njobs = [\"*\"]\nsecrets = [\"TOKEN\"]\n";
    let layers = vec![(Layer::Operator, parse("test.toml", policy).unwrap())];
    let lanes = Lanes { secrets: true, ..Lanes::default() };
    case.grant = Grant::resolve_on(&repo_id(), layers, lanes).unwrap();
    let mut vault = Vault::default();
    vault.add("TOKEN", &SecretString::from(VALUE)).unwrap();
    case.vault = vault;
    let patch = [("app.py", "def add(a, b):\n    \"\"\"Add.\"\"\"\n    return a + b\n")];
    let Some(evidence) = case.verify(&patch).await else { return };
    let named = |evidence: &Evidence| {
        let ids = evidence.baseline_tests.keys().chain(evidence.patched_tests.keys());
        ids.filter(|id| id.contains("[secret TOKEN]")).count()
    };
    assert_eq!(named(&evidence), 2, "{:?}", evidence.baseline_tests);
    let text = serde_json::to_string(&evidence).unwrap();
    assert!(!text.contains("s3cr3t"), "{text}");
}
