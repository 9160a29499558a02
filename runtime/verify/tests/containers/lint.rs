//! Real linters on both trees.

use gloaming_api::profile::CommandKind;

use crate::support::{Case, command, has_python, told, unittest};

const TEST: (&str, &str) = (
    "tests/test_a.py",
    "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_t(self):\n        pass\n",
);

fn case(argv: &[&str], more: &[&[&str]], files: &[(&str, &str)]) -> Case {
    let mut commands = vec![unittest()];
    commands.extend([argv].iter().chain(more).map(|argv| command(CommandKind::Lint, None, argv)));
    let mut all = vec![TEST, ("tests/__init__.py", "")];
    all.extend(files);
    let mut case = Case::new(commands, &all);
    case.effort.mutants = 0;
    case
}

fn findings(evidence: &gloaming_api::evidence::Evidence) -> Vec<String> {
    evidence
        .findings
        .iter()
        .map(|found| format!("{} {} {}:{} {:?}", found.tool, found.rule, found.path, found.line, found.level))
        .collect()
}

#[tokio::test]
async fn ruff_and_mypy() {
    if !has_python("ruff") || !has_python("mypy") {
        return;
    }
    let before = "import os\n\n\ndef f(a: int) -> int:\n    return a\n";
    let case = case(&["ruff", "check", "--select=F", "."], &[&["mypy", "app.py"]], &[("app.py", before)]);
    // The old finding moves; a new one comes with each tool.
    let after =
        "import sys\nimport json\nimport os\n\n\ndef f(a: int) -> int:\n    return str(a)\n\n\nprint(sys)\n";
    let Some(evidence) = case.verify(&[("app.py", after)]).await else { return };
    assert_eq!(findings(&evidence), ["ruff F401 app.py:2 Warning", "mypy return-value app.py:7 Error"]);
    assert_eq!(
        told(&evidence, "V4"),
        "fail: 1 new finding: app.py:2: `json` imported but unused (ruff F401)"
    );
}

#[tokio::test]
async fn what_was_there_before_is_no_reason() {
    if !has_python("ruff") {
        return;
    }
    let case = case(&["ruff", "check", "--select=F", "."], &[], &[("app.py", "import os\n")]);
    let Some(evidence) = case.verify(&[("app.py", "# more\nx = 1\nimport os\n")]).await else { return };
    assert_eq!(findings(&evidence), [""; 0]);
    assert_eq!(
        told(&evidence, "V4"),
        "pass: `ruff check --select=F .` has no new findings; 1 were there before"
    );
}

#[tokio::test]
async fn a_tool_that_does_not_know_the_flags_is_run_as_it_stands() {
    // A linter of the repository's own under a known name.
    let tool = "import sys\n\n\nif any(word.startswith('--output-format') for word in sys.argv):\n    sys.exit('error: unexpected argument')\nfor line, text in enumerate(open('app.py'), 1):\n    if 'bad' in text:\n        print(f'app.py:{line}:1: X001 bad word')\nsys.exit(1)\n";
    let case = case(&["python3", "-m", "ruff", "check"], &[], &[("ruff.py", tool), ("app.py", "bad = 1\n")]);
    let Some(evidence) = case.verify(&[("app.py", "bad = 1\nworse = bad\n")]).await else { return };
    assert_eq!(findings(&evidence), ["ruff X001 app.py:2 Warning"]);
    assert!(told(&evidence, "V4").starts_with("fail: 1 new finding: app.py:2: X001 bad word (ruff X001)"));
}
