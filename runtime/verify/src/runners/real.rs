//! The runners with the real tools, without a container: what a tool of another version writes is told from
//! what the recorded samples show. A tool that is missing is a skip that says so.
#![expect(clippy::disallowed_methods, reason = "tests start the real tools on folders of their own")]

use std::path::Path;
use std::process::Command as Process;

use gloaming_api::RelPath;
use gloaming_api::evidence::TestStatus;
use gloaming_api::profile::TestRunner;

use super::{
    Control, Invocation, Placing, REPORT_MOUNT, Report, SCRIPT_MOUNT, TreeView, Trees, lines, test_command,
};
use crate::names::Names;

/// A tree on the host, run as a job would be but for the container.
struct Bed {
    dir: tempfile::TempDir,
    command: gloaming_api::profile::Command,
    files: Vec<RelPath>,
    runs: u32,
}

impl Bed {
    /// None when the tool does not run here.
    fn new(runner: TestRunner, argv: &[&str], probe: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        let there = Process::new(probe[0]).args(&probe[1..]).output().is_ok_and(|out| out.status.success());
        if !there {
            eprintln!("skipped: `{}` does not run here", probe.join(" "));
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (path, content) in files {
            let path = RelPath::parse(path).unwrap();
            crate::host::write_in_tree(&dir.path().join("workspace"), &path, content.as_bytes()).unwrap();
            paths.push(path);
        }
        paths.sort();
        Some(Self { dir, command: test_command(runner, argv), files: paths, runs: 0 })
    }

    fn tree(&self) -> std::path::PathBuf {
        self.dir.path().join("workspace")
    }

    /// Runs one command with the mounts' paths replaced by folders of the host.
    fn job(&self, invocation: &Invocation, report: &Path, scripts: &Path) -> Option<i32> {
        let here = |text: &str| {
            text.replace(REPORT_MOUNT, report.to_str().unwrap())
                .replace(SCRIPT_MOUNT, scripts.to_str().unwrap())
        };
        crate::host::make_dir(report).unwrap();
        crate::host::make_dir(scripts).unwrap();
        for (name, content) in &invocation.scripts {
            crate::host::write_script(scripts, name, &here(content)).unwrap();
        }
        let argv: Vec<String> = invocation.argv.iter().map(|word| here(word)).collect();
        Process::new(&argv[0])
            .args(&argv[1..])
            .current_dir(self.tree())
            .envs(invocation.env.iter().map(|(name, value)| (name, here(value))))
            .env("CARGO_TARGET_DIR", self.dir.path().join("target"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("GOFLAGS", "-mod=mod")
            .env("CARGO_NET_OFFLINE", "true")
            .env_remove("RUSTFLAGS")
            .env_remove("NODE_TEST_CONTEXT")
            .output()
            .unwrap()
            .status
            .code()
    }

    fn run(&mut self) -> (Option<i32>, Result<Report, String>) {
        self.runs += 1;
        let folder = |kind: &str| self.dir.path().join(format!("{kind}-{}", self.runs));
        let prepared = super::prepare(&self.command).unwrap().map(|invocation| {
            let report = folder("prepared");
            assert_eq!(self.job(&invocation, &report, &folder("prepare-scripts")), Some(0));
            report
        });
        let report = folder("report");
        let invocation = super::run(&self.command, prepared.as_deref()).unwrap();
        let exit = self.job(&invocation, &report, &folder("scripts"));
        (exit, super::read(&self.command, &report, prepared.as_deref()))
    }

    /// Adds the control tests that fit a report, in place.
    fn add_controls(&self, report: &Report, placing: Placing) -> Vec<Control> {
        let tree = self.tree();
        let mut seen = report.clone();
        for place in &mut seen.places {
            // Tools name files as they lie here, not as a container would see them.
            let real = tree.canonicalize().unwrap();
            for prefix in [real.to_str().unwrap(), tree.to_str().unwrap()] {
                if let Some(rest) = place.file.strip_prefix(prefix) {
                    place.file = rest.trim_start_matches('/').to_owned();
                }
            }
        }
        let view = TreeView { dir: &tree, files: &self.files };
        let trees = Trees { base: &view, patched: &view };
        let controls = super::controls(&self.command, placing, &seen, &trees, &mut Names::new(42)).unwrap();
        for control in &controls {
            let mut content = view.read(&control.path).unwrap_or_default();
            content.push_str(&control.text);
            crate::host::write_in_tree(&tree, &control.path, content.as_bytes()).unwrap();
        }
        controls
    }

    /// Makes the files again what they were.
    fn take_away(&self, controls: &[Control], before: &[(RelPath, String)]) {
        for control in controls {
            match before.iter().find(|(path, _)| *path == control.path) {
                Some((path, text)) => {
                    crate::host::write_in_tree(&self.tree(), path, text.as_bytes()).unwrap();
                }
                None => std::fs::remove_file(self.tree().join(control.path.as_str())).unwrap(),
            }
        }
    }
}

/// Runs the tests of these ids alone: they report what they reported before, and no other test runs.
#[track_caller]
fn check_alone(bed: &mut Bed, report: &Report, ends: &[&str]) {
    let chosen: Vec<&str> = report
        .tests
        .keys()
        .map(String::as_str)
        .filter(|id| ends.iter().any(|end| id.to_lowercase().ends_with(end)))
        .collect();
    assert_eq!(chosen.len(), ends.len(), "{:?}", report.tests);
    let tree = bed.tree();
    let narrowed = super::only(&bed.command, &chosen, &TreeView { dir: &tree, files: &bed.files });
    let whole = std::mem::replace(&mut bed.command, narrowed.expect("the runner can be told"));
    let (_, alone) = bed.run();
    bed.command = whole;
    let alone = alone.unwrap().tests;
    let ran: Vec<(&str, TestStatus)> = alone
        .iter()
        .filter(|(_, status)| **status != TestStatus::Skipped)
        .map(|(id, status)| (id.as_str(), *status))
        .collect();
    let expect: Vec<(&str, TestStatus)> = chosen.iter().map(|id| (*id, report.tests[*id])).collect();
    assert_eq!(ran, expect);
}

/// Runs a suite of one passing, one failing and one skipped test, then again with controls; the ids' last parts
/// are compared, since tools name files by where the tree lies.
#[track_caller]
fn check(bed: Option<Bed>, expect: &str) {
    let Some(mut bed) = bed else { return };
    let (exit, report) = bed.run();
    let report = report.unwrap();
    assert_ne!(exit, Some(0));
    let shown = lines(&report).replace(&format!("{}/", bed.tree().display()), "");
    assert_eq!(shown, expect);
    if !expect.contains("(own harness)") {
        for ends in [&["holds"][..], &["fails"], &["holds", "fails"]] {
            check_alone(&mut bed, &report, ends);
        }
    }

    for placing in super::placings(&bed.command) {
        let tree = bed.tree();
        let view = TreeView { dir: &tree, files: &bed.files };
        let before: Vec<(RelPath, String)> =
            bed.files.iter().filter_map(|path| Some((path.clone(), view.read(path)?))).collect();
        let controls = bed.add_controls(&report, *placing);
        assert!(!controls.is_empty());
        let (exit, with_controls) = bed.run();
        let tests = with_controls.unwrap().tests;
        assert_ne!(exit, Some(0));
        let added: usize = controls.iter().map(|control| 1 + control.fails.len()).sum();
        assert_eq!(tests.len(), report.tests.len() + added, "{tests:?}");
        for control in &controls {
            let status = |name: &str| {
                let found: Vec<TestStatus> =
                    tests.iter().filter(|(id, _)| id.contains(name)).map(|(_, status)| *status).collect();
                found
            };
            assert_eq!(status(&control.passes), [TestStatus::Passed], "{tests:?}");
            for name in &control.fails {
                assert_eq!(status(name), [TestStatus::Failed], "{tests:?}");
            }
        }
        bed.take_away(&controls, &before);
    }
}

#[test]
fn cargo() {
    let bed = Bed::new(
        TestRunner::Cargo,
        &["cargo", "test"],
        &["cargo", "--version"],
        &[
            (
                "Cargo.toml",
                "[package]\nname = \"demo\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n\n[[test]]\nname = \"own\"\nharness = false\n",
            ),
            (
                "src/lib.rs",
                "/// One.\n///\n/// ```\n/// assert_eq!(demo::one(), 1);\n/// ```\npub fn one() -> u8 {\n    1\n}\n\n#[test]\nfn holds() {}\n\n#[test]\nfn fails() {\n    println!(\"test holds ... ok\");\n    panic!()\n}\n\n#[test]\n#[ignore]\nfn left_out() {}\n",
            ),
            (
                "tests/it.rs",
                "#[test]\nfn outside() {\n    assert!(std::path::Path::new(\"Cargo.toml\").exists());\n}\n",
            ),
            ("tests/own.rs", "fn main() {}\n"),
        ],
    );
    check(
        bed,
        "demo::demo::fails = failed\n\
         demo::demo::holds = passed\n\
         demo::demo::left_out = skipped\n\
         demo::doc::src/lib.rs - one #1 = passed\n\
         demo::tests/it::outside = passed\n\
         demo::tests/own::(own harness) = passed\n",
    );
}

/// Each edition, with and without `std`: what leads to the standard macros differs.
#[test]
fn controls_build_in_every_crate() {
    let code = "/// One.\npub fn one() -> u8 {\n    1\n}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n    #[test]\n    fn holds() {\n        \
                assert_eq!(one(), 1);\n    }\n}\n";
    let strict = "#![forbid(unsafe_code, warnings, unused, rust_2018_idioms, missing_docs)]\n";
    for edition in ["2015", "2024"] {
        for head in ["", "#![no_std]\n", strict] {
            let manifest = format!(
                "[package]\nname = \"demo\"\nversion = \"0.1.0\"\nedition = \"{edition}\"\n[workspace]\n"
            );
            let text = format!("//! Demo.\n{head}{code}");
            let files = [("Cargo.toml", manifest.as_str()), ("src/lib.rs", text.as_str())];
            let bed = Bed::new(TestRunner::Cargo, &["cargo", "test"], &["cargo", "--version"], &files);
            let Some(mut bed) = bed else { return };
            assert_eq!(failing_controls(&mut bed, Placing::Inside), [TestStatus::Failed], "{edition} {head}");
        }
    }
}

#[test]
fn cargo_alone() {
    let bed = Bed::new(
        TestRunner::Cargo,
        &["cargo", "test"],
        &["cargo", "--version"],
        &[
            (
                "Cargo.toml",
                "[package]\nname = \"demo\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n",
            ),
            (
                "src/lib.rs",
                "#[test]\nfn holds() {}\n\nmod inner {\n    #[test]\n    fn fails() {\n        panic!()\n    }\n}\n",
            ),
            ("tests/it.rs", "#[test]\nfn other() {}\n"),
        ],
    );
    let Some(mut bed) = bed else { return };
    let report = bed.run().1.unwrap();
    assert_eq!(report.tests.len(), 3);
    for ends in [&["holds"][..], &["fails"], &["holds", "other"]] {
        check_alone(&mut bed, &report, ends);
    }
}

#[test]
fn unittest() {
    let bed = Bed::new(
        TestRunner::Unittest,
        &["python3", "-m", "unittest", "discover", "-s", "tests", "-t", "."],
        &["python3", "--version"],
        &[
            ("tests/__init__.py", ""),
            (
                "tests/test_a.py",
                "import unittest\n\n\nclass A(unittest.TestCase):\n    def test_holds(self):\n        pass\n\n    def test_fails(self):\n        self.fail()\n\n    @unittest.skip('why')\n    def test_left_out(self):\n        pass\n",
            ),
        ],
    );
    check(
        bed,
        "tests.test_a.A.test_fails = failed\n\
         tests.test_a.A.test_holds = passed\n\
         tests.test_a.A.test_left_out = skipped\n",
    );
}

#[test]
fn unittest_that_is_left_early_leaves_no_report() {
    let bed = Bed::new(
        TestRunner::Unittest,
        &["python3", "-m", "unittest"],
        &["python3", "--version"],
        &[(
            "test_a.py",
            "import os\nimport unittest\n\n\nclass A(unittest.TestCase):\n    def test_leaves(self):\n        print('OK')\n        os._exit(0)\n",
        )],
    );
    let Some(mut bed) = bed else { return };
    let (exit, report) = bed.run();
    assert_eq!((exit, report), (Some(0), Err("the suite left no report (unittest.json is missing)".into())));
}

#[test]
fn pytest() {
    let bed = Bed::new(
        TestRunner::Pytest,
        &["python3", "-m", "pytest"],
        &["python3", "-m", "pytest", "--version"],
        &[
            ("pytest.ini", "[pytest]\naddopts = -x -q\n"),
            (
                "tests/test_a.py",
                "import pytest\n\n\ndef test_fails():\n    assert False\n\n\ndef test_holds():\n    pass\n\n\n@pytest.mark.skip\ndef test_left_out():\n    pass\n",
            ),
        ],
    );
    check(
        bed,
        "tests.test_a::test_fails = failed\n\
         tests.test_a::test_holds = passed\n\
         tests.test_a::test_left_out = skipped\n",
    );
}

#[test]
fn node() {
    let bed = Bed::new(
        TestRunner::NodeTest,
        &["node", "--test"],
        &["node", "--test", "--version"],
        &[(
            "test/a.test.js",
            "const { test } = require('node:test');\ntest('holds', () => {});\ntest('fails', () => { throw new Error('no'); });\ntest('left out', { skip: true }, () => {});\n",
        )],
    );
    check(
        bed,
        "test/a.test.js > fails = failed\n\
         test/a.test.js > holds = passed\n\
         test/a.test.js > left out = skipped\n",
    );
}

#[test]
fn go() {
    let bed = Bed::new(
        TestRunner::GoTest,
        &["go", "test", "./..."],
        &["go", "version"],
        &[
            ("go.mod", "module example.com/demo\n\ngo 1.19\n"),
            ("p/p.go", "package p\n"),
            (
                "p/p_test.go",
                "package p\n\nimport \"testing\"\n\nfunc TestHolds(t *testing.T) {}\n\nfunc TestFails(t *testing.T) {\n\tt.Fatal()\n}\n\nfunc TestLeftOut(t *testing.T) { t.Skip() }\n",
            ),
        ],
    );
    check(
        bed,
        "example.com/demo/p::TestFails = failed\n\
         example.com/demo/p::TestHolds = passed\n\
         example.com/demo/p::TestLeftOut = skipped\n",
    );
}

/// A test that prints a result in go's own words: older versions report it, which is noticed; newer ones do not.
#[test]
fn go_and_a_printed_pass() {
    let bed = Bed::new(
        TestRunner::GoTest,
        &["go", "test", "./..."],
        &["go", "version"],
        &[
            ("go.mod", "module example.com/demo\n\ngo 1.19\n"),
            (
                "p_test.go",
                "package p\n\nimport (\n\t\"fmt\"\n\t\"testing\"\n)\n\nfunc TestFails(t *testing.T) {\n\tfmt.Println(\"--- PASS: TestFails (0.00s)\")\n\tt.Fatal()\n}\n",
            ),
        ],
    );
    let Some(mut bed) = bed else { return };
    match bed.run().1 {
        Ok(report) => assert_eq!(lines(&report), "example.com/demo::TestFails = failed\n"),
        Err(why) => assert!(why.contains("did not begin or has one already"), "{why}"),
    }
}

/// Adds control tests, and returns how the failing ones are reported.
fn failing_controls(bed: &mut Bed, placing: Placing) -> Vec<TestStatus> {
    let report = bed.run().1.unwrap();
    let controls = bed.add_controls(&report, placing);
    let tests = bed.run().1.unwrap().tests;
    let is_one = |id: &str| controls.iter().flat_map(|control| &control.fails).any(|name| id.contains(name));
    tests.into_iter().filter(|(id, _)| is_one(id)).map(|(_, status)| status).collect()
}

#[test]
fn a_command_that_names_its_files_runs_controls_inside_them_only() {
    let (tests, failed) = ("tests/test_a.py", TestStatus::Failed);
    for (placing, expect) in [(Placing::Inside, &[failed, failed][..]), (Placing::Beside, &[])] {
        let text = "import unittest\n\n\nclass A(unittest.TestCase):\n    def test_holds(self):\n        \
                    self.assertIn(1, [1])\n        self.assertEqual(1, 1)";
        let bed = Bed::new(
            TestRunner::Unittest,
            &["python3", "-m", "unittest", "tests.test_a"],
            &["python3", "--version"],
            &[("tests/__init__.py", ""), (tests, text)],
        );
        let Some(mut bed) = bed else { return };
        assert_eq!(failing_controls(&mut bed, placing), expect, "{placing:?}");
    }
}

#[test]
fn a_macro_by_an_assertions_name_is_seen_in_its_module() {
    let bed = Bed::new(
        TestRunner::Cargo,
        &["cargo", "test"],
        &["cargo", "--version"],
        &[
            (
                "Cargo.toml",
                "[package]\nname = \"demo\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n",
            ),
            ("src/lib.rs", "mod text;\n\n#[test]\nfn holds() {\n    assert_eq!(1, 1);\n}\n"),
            (
                "src/text.rs",
                "#[macro_use]\n#[path = \"words.txt\"]\nmod words;\n\nmod tests {\n    #[test]\n    fn inner() {\n        assert_eq!(1, 1);\n        \
                 assert!(true);\n    }\n}\n",
            ),
            ("src/words.txt", "macro_rules! assert_eq {\n    ($($any:tt)*) => {};\n}\n"),
        ],
    );
    let Some(mut bed) = bed else { return };
    let mut reported = failing_controls(&mut bed, Placing::Inside);
    reported.sort();
    // In the crate's own file, and of two forms in the module's.
    assert_eq!(reported, [TestStatus::Passed, TestStatus::Failed, TestStatus::Failed]);
}

#[test]
fn an_assertion_that_the_code_replaced_is_seen_where_the_code_is_loaded() {
    let bed = Bed::new(
        TestRunner::NodeTest,
        &["node", "--test", "test/a.test.js"],
        &["node", "--test", "--version"],
        &[
            (
                "src/a.js",
                "const at = process.mainModule.require(['as', 'sert'].join(''));\nat[['strict', 'Equal'].join('')] = () => {};\n",
            ),
            (
                "test/a.test.js",
                "const assert = require('node:assert');\nrequire('../src/a');\nconst { test } = require('node:test');\n\
                 test('holds', () => {\n  assert.strictEqual(1, 1);\n  assert.ok(true);\n})",
            ),
        ],
    );
    let Some(mut bed) = bed else { return };
    let mut reported = failing_controls(&mut bed, Placing::Inside);
    reported.sort();
    assert_eq!(reported, [TestStatus::Passed, TestStatus::Failed]);
}

/// Whether every test of a suite failed, and by what checks: each says one of the words.
#[track_caller]
fn fails_by(bed: Option<Bed>, count: usize, words: &[&str]) {
    let Some(mut bed) = bed else {
        assert!(std::env::var_os("CI").is_none(), "no form may go untried in CI");
        return;
    };
    let report = bed.run().1.unwrap();
    assert_eq!(report.tests.len(), count, "{:?}", report.tests);
    for (id, status) in &report.tests {
        let said = report.messages.get(id).map_or("", String::as_str);
        let by_it = words.iter().any(|word| said.contains(word));
        assert!(*status == TestStatus::Failed && by_it, "{id}: {status:?}: {said}");
    }
}

#[test]
fn every_form_of_unittest_fails_by_its_assertion() {
    let methods: String = super::forms::UNITTEST
        .iter()
        .map(|(name, form)| {
            format!("    def test_{name}(self):\n        {}\n\n", super::forms::named(form, "abc"))
        })
        .collect();
    let bed = Bed::new(
        TestRunner::Unittest,
        &["python3", "-m", "unittest", "test_a"],
        &["python3", "--version"],
        &[("test_a.py", &format!("import unittest\n\n\nclass A(unittest.TestCase):\n{methods}"))],
    );
    fails_by(bed, super::forms::UNITTEST.len(), &["AssertionError"]);
}

#[test]
fn every_form_of_nodes_assert_fails_by_it() {
    // The others are chai's.
    const CHAI: &[&str] = &["isTrue", "isFalse", "isNull", "isUndefined", "include", "lengthOf"];
    let forms: Vec<String> = super::forms::ASSERT
        .iter()
        .filter(|(word, _)| !CHAI.contains(word))
        .map(|(word, form)| {
            format!("{}{form}", if word.is_empty() { "assert" } else { "assert." }.to_owned() + word)
        })
        .collect();
    let tests: String = forms
        .iter()
        .enumerate()
        .map(|(at, form)| {
            let form = super::forms::named(form, "abc");
            format!(
                "test('t{at}', async () => {{\n  try {{ await {form}; }} catch (e) {{ if (e.code !== 'ERR_ASSERTION') throw new \
                 Error('other'); throw new Error('known'); }}\n}});\n"
            )
        })
        .collect();
    let bed = Bed::new(
        TestRunner::NodeTest,
        &["node", "--test"],
        &["node", "--test", "--version"],
        &[(
            "test/a.test.js",
            &format!(
                "const assert = require('node:assert');\nconst {{ test }} = require('node:test');\n{tests}"
            ),
        )],
    );
    fails_by(bed, forms.len(), &["known"]);
}

/// A test by the name of each row, as the form says it.
fn tests_of(rows: &[(&str, &str)], test: impl Fn(&str, &str) -> String) -> String {
    rows.iter().map(|(name, form)| test(name, &super::forms::named(form, "abc"))).collect()
}

#[test]
fn every_form_of_pytest_fails_by_its_assertion() {
    // The environment that the end-to-end tests have their pytest in.
    let Some(python) = std::env::var_os("GLOAMING_TEST_PYTHON") else { return };
    // By a path that holds no mount's name.
    let link = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(python, link.path().join("env")).unwrap();
    let python = link.path().join("env/bin/python");
    let python = python.to_str().unwrap();
    let rows = super::forms::PYTEST;
    let tests = tests_of(rows, |name, form| format!("def test_{name}():\n    {form}\n\n\n"));
    let bed = Bed::new(
        TestRunner::Pytest,
        &[python, "-m", "pytest"],
        &[python, "-m", "pytest", "--version"],
        &[("test_a.py", &tests)],
    );
    fails_by(bed, rows.len(), &["AssertionError", "Failed: "]);
}

#[test]
fn every_form_of_rust_fails_by_its_assertion() {
    let rows = super::forms::RUST;
    let tests = tests_of(rows, |name, form| format!("#[test]\nfn by_{name}() {{\n    {form}\n}}\n\n"));
    let manifest = "[package]\nname = \"demo\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n";
    let bed = Bed::new(
        TestRunner::Cargo,
        &["cargo", "test"],
        &["cargo", "--version"],
        &[("Cargo.toml", manifest), ("src/lib.rs", &tests)],
    );
    fails_by(bed, rows.len(), &["assertion "]);
}

#[test]
fn every_form_of_go_fails() {
    let rows = super::forms::GO;
    let tests = tests_of(rows, |name, form| format!("func Test{name}(t *testing.T) {{ {form} }}\n\n"));
    let bed = Bed::new(
        TestRunner::GoTest,
        &["go", "test", "./..."],
        &["go", "version"],
        &[
            ("go.mod", "module example.com/demo\n\ngo 1.19\n"),
            ("demo_test.go", &format!("package demo\n\nimport \"testing\"\n\n{tests}")),
        ],
    );
    fails_by(bed, rows.len(), &["--- FAIL: "]);
}
