//! pytest and unittest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gloaming_api::RelPath;
use gloaming_api::evidence::TestStatus;
use gloaming_api::profile::Command;
use serde::Deserialize;

use super::{
    Control, Invocation, Placing, REPORT_MOUNT, Report, SCRIPT_MOUNT, TreeView, Trees, forms, junit,
    required, with_options,
};
use crate::names::Names;

const UNITTEST_FILE: &str = "unittest.json";

pub(super) fn pytest(command: &Command) -> Result<Invocation, String> {
    let is_pytest = |word: &String| {
        let name = word.rsplit('/').next().unwrap_or(word);
        matches!(name, "pytest" | "py.test")
    };
    if !command.argv.iter().any(is_pytest) {
        return Err(format!("`{}` is not a pytest command", command.argv.join(" ")));
    }
    let report = format!("--junitxml={REPORT_MOUNT}/{}", junit::FILE);
    // The last of several wins: what the repository's own options say of these is overridden.
    let argv = with_options(
        &command.argv,
        &[
            &report,
            "-o",
            "junit_family=xunit2",
            "--maxfail=0",
            "--continue-on-collection-errors",
            "--color=no",
        ],
    );
    Ok(Invocation { argv, env: command.env.clone(), scripts: Vec::new() })
}

pub(super) fn unittest(command: &Command) -> Result<Invocation, String> {
    let at = command
        .argv
        .windows(2)
        .position(|pair| pair[0] == "-m" && pair[1] == "unittest")
        .ok_or_else(|| format!("`{}` is not a unittest command", command.argv.join(" ")))?;
    let mut argv = command.argv[..at].to_vec();
    argv.push(format!("{SCRIPT_MOUNT}/unittest_report"));
    argv.push(format!("{REPORT_MOUNT}/{UNITTEST_FILE}"));
    argv.extend(command.argv[at + 2..].iter().filter(|arg| *arg != "-f" && *arg != "--failfast").cloned());
    Ok(Invocation {
        argv,
        env: command.env.clone(),
        scripts: vec![("unittest_report", include_str!("../../scripts/unittest_report.py").into())],
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnittestReport {
    planned: Vec<String>,
    results: Vec<(String, TestStatus, String)>,
    run: u64,
    successful: bool,
}

pub(super) fn read_unittest(report: &Path) -> Result<Report, String> {
    parse_unittest(&required(report, UNITTEST_FILE)?)
}

fn parse_unittest(bytes: &[u8]) -> Result<Report, String> {
    let report: UnittestReport = serde_json::from_slice(bytes)
        .map_err(|error| format!("the report is not what our runner writes: {error}"))?;
    let mut out = Report::default();
    // By what each is the fixture of, whether it failed.
    let mut fixtures: BTreeMap<&str, bool> = BTreeMap::new();
    for (id, status, message) in &report.results {
        if let Some(owner) = fixture_owner(id) {
            let failed = *status == TestStatus::Failed;
            *fixtures.entry(owner).or_default() |= failed;
            if !failed {
                continue;
            }
        }
        out.add(plain_id(id), *status, Some(message));
    }
    for id in report.planned.iter().map(|id| plain_id(id)) {
        if out.tests.contains_key(&id) {
            continue;
        }
        // One that did not come up failed or was skipped: nothing else excuses a test that did not run.
        let around = id.match_indices('.').filter_map(|(at, _)| fixtures.get(&id[..at]).copied());
        let (status, why) = match around.reduce(|one, other| one || other) {
            Some(false) => (TestStatus::Skipped, "the fixture around it did not come up"),
            Some(true) => (TestStatus::Failed, "the fixture around it did not come up"),
            None => (TestStatus::Failed, "was planned and reported no result"),
        };
        out.add(id, status, Some(why));
    }
    for (id, status) in out.tests.clone() {
        if let Some(module) = module_of(&id) {
            out.count_place(module, "", status);
        }
    }
    if (out.failed() == 0) != report.successful {
        return Err(format!(
            "the report says successful: {} and shows {} failed tests",
            report.successful,
            out.failed()
        ));
    }
    if report.run > 0 && out.tests.is_empty() {
        return Err(format!("the report says {} tests ran and shows none", report.run));
    }
    Ok(out)
}

/// A module that cannot be imported is reported as a test of its own class.
fn plain_id(id: &str) -> String {
    for prefix in ["unittest.loader._FailedTest.", "unittest.loader.ModuleSkipped."] {
        if let Some(rest) = id.strip_prefix(prefix) {
            return rest.to_owned();
        }
    }
    id.to_owned()
}

/// `setUpClass (tests.test_u.B)` is a fixture of `tests.test_u.B`.
fn fixture_owner(id: &str) -> Option<&str> {
    ["setUpClass (", "setUpModule (", "tearDownClass (", "tearDownModule ("]
        .iter()
        .find_map(|prefix| id.strip_prefix(prefix))
        .and_then(|rest| rest.strip_suffix(')'))
}

/// `tests.test_u` of `tests.test_u.A.test_ok`.
fn module_of(id: &str) -> Option<&str> {
    let (class, _) = id.rsplit_once('.')?;
    class.rsplit_once('.').map(|(module, _)| module)
}

/// Finds the file of a dotted name (`tests.test_a`, `tests.test_a.TestC`): the file git has whose path ends
/// with the longest leading part of the name.
fn file_of(name: &str, cwd: &RelPath, tree: &TreeView<'_>) -> Option<RelPath> {
    // A longer name than any path is nobody's.
    if name.len() > 4096 {
        return None;
    }
    let parts: Vec<&str> = name.split('.').collect();
    for length in (1..=parts.len()).rev() {
        let tail = format!("{}.py", parts[..length].join("/"));
        if let Ok(path) = cwd.join(&tail)
            && tree.has(&path)
        {
            return Some(path);
        }
        let suffix = format!("/{tail}");
        if let Some(path) = tree.files.iter().find(|path| path.as_str().ends_with(&suffix)) {
            return Some(path.clone());
        }
    }
    None
}

/// A new file beside `path` that is named by the same pattern.
fn beside(path: &RelPath, name: &str) -> Option<RelPath> {
    let stem = path.name()?.strip_suffix(".py")?;
    let stem = if stem.starts_with("test_") {
        format!("test_{name}")
    } else if stem.ends_with("_test") {
        format!("{name}_test")
    } else if stem.starts_with("test") {
        format!("test{name}")
    } else if let Some((_, ending)) = stem.rsplit_once('_') {
        format!("{name}_{ending}")
    } else {
        return None;
    };
    path.parent()?.join(&format!("{stem}.py")).ok()
}

pub(super) fn controls_pytest(
    command: &Command,
    placing: Placing,
    report: &Report,
    trees: &Trees<'_>,
    names: &mut Names,
) -> Vec<Control> {
    let texts = texts(command, report, trees);
    let (methods, functions) = (forms::unittest(&texts), forms::pytest(&texts));
    controls(command, placing, report, trees.patched, names, |passes, names| {
        // A file of classes alone may assert nothing by itself.
        let mut control =
            Written { text: format!("\n\ndef test_{passes}():\n    pass\n"), fails: Vec::new() };
        for form in &functions {
            let fails = names.next_name();
            control.text += &format!("\n\ndef test_{fails}():\n    {}\n", forms::named(form, &fails));
            control.fails.push(fails);
        }
        if !methods.is_empty() {
            control.class(&methods, names);
        }
        control
    })
}

pub(super) fn controls_unittest(
    command: &Command,
    placing: Placing,
    report: &Report,
    trees: &Trees<'_>,
    names: &mut Names,
) -> Vec<Control> {
    let mut forms = forms::unittest(&texts(command, report, trees));
    if forms.is_empty() {
        forms.push("self.assertEqual(\"NAME\", \"\")".to_owned());
    }
    controls(command, placing, report, trees.patched, names, |passes, names| {
        let mut control = Written::default();
        control.class(&forms, names);
        control.text += &format!("\n    def test_{passes}(self):\n        pass\n");
        control
    })
}

/// Every file whose tests ran: one process runs them all, so that what one checks by is missing to all.
fn texts(command: &Command, report: &Report, trees: &Trees<'_>) -> forms::Texts {
    let places = report.best_places();
    let paths: BTreeSet<RelPath> =
        places.iter().filter_map(|place| file_of(&place.name, &command.cwd, trees.patched)).collect();
    let read = |tree: &TreeView<'_>| paths.iter().filter_map(|path| tree.read(path)).collect();
    forms::Texts { before: read(trees.base), after: read(trees.patched) }
}

/// The text of control tests, and the names of those that fail.
#[derive(Default)]
struct Written {
    text: String,
    fails: Vec<String>,
}

impl Written {
    /// Adds a class with a failing method for each form.
    fn class(&mut self, forms: &[String], names: &mut Names) {
        let (module, class) = (names.next_name(), names.next_name());
        self.text += &format!("\n\nimport unittest as {module}\n\n\nclass {class}({module}.TestCase):\n");
        for (at, form) in forms.iter().enumerate() {
            let fails = names.next_name();
            let space = if at == 0 { "" } else { "\n" };
            self.text +=
                &format!("{space}    def test_{fails}(self):\n        {}\n", forms::named(form, &fails));
            self.fails.push(fails);
        }
    }
}

/// Beside a file with passing tests, or inside it, in each of at most eight folders.
fn controls(
    command: &Command,
    placing: Placing,
    report: &Report,
    tree: &TreeView<'_>,
    names: &mut Names,
    write: impl Fn(&str, &mut Names) -> Written,
) -> Vec<Control> {
    let mut folders: Vec<RelPath> = Vec::new();
    let mut out = Vec::new();
    for place in report.best_places() {
        let Some(path) = file_of(&place.name, &command.cwd, tree) else { continue };
        let Some(folder) = path.parent() else { continue };
        if folders.contains(&folder) {
            continue;
        }
        if !tree.has(&path) {
            continue;
        }
        let path = match placing {
            Placing::Inside => Some(path),
            Placing::Beside => beside(&path, &names.next_name()),
        };
        let Some(path) = path else { continue };
        folders.push(folder);
        let passes = names.next_name();
        let written = write(&passes, names);
        out.push(Control { path, text: written.text, passes, fails: written.fails });
        if out.len() == 8 {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use gloaming_api::profile::TestRunner;

    use super::super::{lines, test_command};
    use super::*;

    const UNITTEST: &str = include_str!("../../tests/samples/unittest.json");

    #[test]
    fn unittest_report() {
        let report = parse_unittest(UNITTEST.as_bytes()).unwrap();
        assert_eq!(
            lines(&report),
            "setUpClass (tests.test_u.B) = failed\n\
             tests.test_u.A.test_bad = failed\n\
             tests.test_u.A.test_ok = passed\n\
             tests.test_u.A.test_skip = skipped\n\
             tests.test_u.A.test_sub = failed\n\
             tests.test_u.A.test_xfail = expected_failure\n\
             tests.test_u.A.test_xpass = failed\n\
             tests.test_u.B.test_never = failed\n\
             tests.test_u.C.test_c = skipped\n\
             tests.test_u.D.test_d = skipped\n\
             tests.test_v = failed\n"
        );
        assert_eq!(report.best_places()[0].name, "tests.test_u");
    }

    #[test]
    fn forged_and_truncated_unittest_reports_are_errors() {
        let error = |text: &str| parse_unittest(text.as_bytes()).unwrap_err();
        assert!(
            error(&UNITTEST[..UNITTEST.len() / 2]).starts_with("the report is not what our runner writes")
        );
        assert!(error("[]").starts_with("the report is not what our runner writes"));
        assert_eq!(
            error(r#"{"planned": ["a.B.c"], "results": [], "run": 1, "successful": true}"#),
            "the report says successful: true and shows 1 failed tests"
        );
        assert_eq!(
            error(r#"{"planned": [], "results": [], "run": 3, "successful": true}"#),
            "the report says 3 tests ran and shows none"
        );
        assert_eq!(
            error(
                r#"{"planned": ["a.B.c"], "results": [["a.B.c", "passed", ""]], "run": 1, "successful": false}"#
            ),
            "the report says successful: false and shows 0 failed tests"
        );
        // No fixture passes in the place of the tests in it.
        let forged = r#"{"planned": ["a.B.c"], "results": [["setUpClass (a.B)", "passed", ""]], "run": 0, "successful": true}"#;
        assert_eq!(lines(&parse_unittest(forged.as_bytes()).unwrap()), "a.B.c = skipped\n");
    }

    #[test]
    fn commands() {
        let run = pytest(&test_command(TestRunner::Pytest, &["python3", "-m", "pytest", "tests"])).unwrap();
        assert_eq!(
            run.argv.join(" "),
            "python3 -m pytest tests --junitxml=/report/junit.xml -o junit_family=xunit2 --maxfail=0 \
             --continue-on-collection-errors --color=no"
        );
        assert!(pytest(&test_command(TestRunner::Pytest, &["make", "test"])).is_err());
        let run = unittest(&test_command(
            TestRunner::Unittest,
            &["python3", "-m", "unittest", "discover", "-f", "-s", "tests"],
        ))
        .unwrap();
        assert_eq!(
            run.argv.join(" "),
            "python3 /gloaming/unittest_report /report/unittest.json discover -s tests"
        );
    }

    #[test]
    fn controls_go_beside_files_with_passing_tests() {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<RelPath> =
            ["app/checks_spec.py", "src/a.py", "tests/test_u.py", "tests/unit/test_w.py"]
                .map(|path| RelPath::parse(path).unwrap())
                .to_vec();
        for path in &files {
            let text = b"self.assertTrue(a)\nself.assertTrue(b)\nself.assertIn(a, b)\n";
            crate::host::write_in_tree(dir.path(), path, text).unwrap();
        }
        let tree = TreeView { dir: dir.path(), files: &files };
        let trees = Trees { base: &tree, patched: &tree };
        let command = test_command(TestRunner::Unittest, &["python3", "-m", "unittest"]);
        let report = parse_unittest(UNITTEST.as_bytes()).unwrap();
        let inside = controls_unittest(&command, Placing::Inside, &report, &trees, &mut Names::new(3));
        assert_eq!((inside.len(), inside[0].path.as_str()), (1, "tests/test_u.py"));
        let controls = controls_unittest(&command, Placing::Beside, &report, &trees, &mut Names::new(3));
        assert_eq!((controls.len(), controls[0].fails.len()), (1, 2));
        let path = controls[0].path.as_str();
        assert!(path.starts_with("tests/test_") && path.ends_with(".py") && path != "tests/test_u.py");
        assert!(controls[0].text.contains(&format!("def test_{}(self)", controls[0].fails[1])));
        assert!(controls[0].text.contains("self.assertIn("));

        let path = |text| RelPath::parse(text).unwrap();
        assert_eq!(file_of("test_w.TestC", &RelPath::root(), &tree), Some(path("tests/unit/test_w.py")));
        assert_eq!(file_of("nowhere", &RelPath::root(), &tree), None);
        assert_eq!(file_of(&"a.".repeat(1 << 20), &RelPath::root(), &tree), None);
        assert_eq!(beside(&path("app/checks_spec.py"), "x"), Some(path("app/x_spec.py")));
        assert_eq!(beside(&path("lib/thing_test.py"), "x"), Some(path("lib/x_test.py")));
    }
}
