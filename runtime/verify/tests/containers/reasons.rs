//! For what reason a new test fails where the patch's code is missing.

use gloaming_api::evidence::FailsBy;

use crate::support::{Case, told, unittest};

const APP: &str = "def add(a, b):\n    return a + b\n";

const HEAD: &str =
    "import json\nimport unittest\n\nimport app\n\n\nclass T(unittest.TestCase):\n    def test_new(self):\n";

async fn check(test: &str) -> Option<gloaming_api::evidence::Evidence> {
    let mut case = Case::new(
        vec![unittest()],
        &[
            ("app.py", APP),
            ("tests/__init__.py", ""),
            (
                "tests/test_app.py",
                "import unittest\n\nimport app\n\n\nclass T(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(app.add(1, 2), 3)\n",
            ),
        ],
    );
    case.effort.mutants = 0;
    case.effort.coverage = false;
    case.effort.reruns.baseline_runs = 1;
    let code = format!("{APP}\n\ndef sub(a, b):\n    return a - b\n");
    let test = format!("{HEAD}        {test}\n");
    case.verify(&[("app.py", &code), ("rates.json", "{\"a\": 1}\n"), ("tests/test_new.py", &test)]).await
}

#[tokio::test]
async fn a_test_that_wants_the_code_counts_and_one_that_only_wants_a_file_beside_it_does_not() {
    let Some(evidence) = check("self.assertEqual(app.sub(3, 1), 2)").await else { return };
    assert_eq!(evidence.fail_to_pass, ["tests.test_new.T.test_new"], "{}", told(&evidence, "V5"));
    let [how] = evidence.without_code.as_slice() else { panic!("{:?}", evidence.without_code) };
    assert_eq!(
        (how.id.as_str(), how.by, how.said.as_str()),
        (
            "tests.test_new.T.test_new",
            FailsBy::MissingName,
            "AttributeError: module 'app' has no attribute 'sub'"
        )
    );
    let evidence =
        check("self.assertEqual(json.load(open('rates.json'))['a'], app.add(0, 1))").await.unwrap();
    assert_eq!(evidence.fail_to_pass, Vec::<String>::new(), "{}", told(&evidence, "V5"));
    assert!(evidence.without_code.is_empty(), "{:?}", evidence.without_code);
}
