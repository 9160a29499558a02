//! The part of V8 that needs no run: what a patch does to the tests that are there and to what runs them.

use gloaming_api::RelPath;
use gloaming_api::evidence::{FileChange, FileRole, Finding, Signal, TestResults};
use gloaming_policies::Grant;
use gloaming_syntax::{Language, test_changes};

use crate::change::{Change, FileDiff};
use crate::renaming::{Renames, every_word_renamed, rename_words};
use crate::runners::TreeView;
use crate::steps::{Found, count, some_of};
use crate::{depends, examples, manifests, named, reach, shadows, users};

fn sides(diff: &FileDiff) -> (Option<Language>, Option<&[u8]>, Option<&[u8]>) {
    (Language::of(diff.file.path.as_str()), diff.before.as_deref(), diff.after.as_deref())
}

/// What a patch does to existing tests beyond a consistent renaming, each with its file.
type Weakened = Vec<(RelPath, String)>;

/// What the policy lets a patch do to files of configuration and to existing tests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lets {
    pub(crate) existing_tests: bool,
    pub(crate) dependencies: bool,
}

impl Lets {
    pub(crate) fn of(grant: &Grant) -> Self {
        let caps = grant.change();
        Self { existing_tests: caps.existing_tests, dependencies: caps.dependencies }
    }
}

/// Returns what is wrong with the patch as it reads; none when nothing is. `tree` is the patched tree.
pub(crate) fn read_through(
    change: &Change,
    renames: &Renames,
    tree: &TreeView<'_>,
    lets: Lets,
) -> Option<Found> {
    let weakened = match runner_kept(change, renames, tree, lets) {
        Ok(weakened) => weakened,
        Err(found) => return Some(found),
    };
    let told: Vec<String> = weakened.into_iter().map(|(_, what)| what).collect();
    (!told.is_empty()).then(|| Found::fail(Finding::TestsWeakened, some_of(&told)))
}

/// The same where the policy lets a patch change what existing tests say: what it does to them is a signal.
///
/// # Errors
/// What it does to that which runs them.
pub(crate) fn signals_of(
    change: &Change,
    renames: &Renames,
    tree: &TreeView<'_>,
    lets: Lets,
) -> Result<Vec<Signal>, Found> {
    let weakened = runner_kept(change, renames, tree, lets)?;
    let signal = |(path, detail)| Signal { name: "changed_test".into(), path, line: 0, detail };
    Ok(weakened.into_iter().map(signal).collect())
}

/// Returns what a patch does to existing tests, unless it changes what runs them.
fn runner_kept(
    change: &Change,
    renames: &Renames,
    tree: &TreeView<'_>,
    lets: Lets,
) -> Result<Weakened, Found> {
    let changed = change.files.iter().filter(|diff| changes_the_runner(diff, renames));
    let mut configured: Vec<String> = if lets.dependencies {
        let own = depends::own_names(tree);
        let told = |diff: &FileDiff| {
            if manifests::may_be_data(&diff.file.path) {
                return Some(format!("{}: it may be data of the tests", shown(diff)));
            }
            Some(format!("{}: {}", shown(diff), depends::beyond(diff, &own)?))
        };
        changed.filter_map(told).collect()
    } else {
        changed.map(shown).collect()
    };
    configured.extend(shadows::stand_ins(change, tree));
    configured.extend(named::named(change, tree));
    configured.extend(change.files.iter().flat_map(reach::replaces));
    if !configured.is_empty() {
        return Err(Found::fail(
            Finding::RunnerConfigChanged,
            format!("changes what runs the tests: {}", some_of(&configured)),
        ));
    }
    let of_file = |diff: &FileDiff| {
        let path = diff.file.path.clone();
        weakened(diff, renames).into_iter().map(move |what| (path.clone(), what)).collect::<Vec<_>>()
    };
    let mut weakened: Weakened = change.files.iter().flat_map(of_file).collect();
    weakened.extend(data_of_tests(change, renames, tree));
    weakened.extend(examples::gone(change, renames, tree));
    Ok(weakened)
}

/// Returns what a patch does to files that no rule takes for tests by their name or by a configuration, and in which the
/// base's report has tests: `testcore.py`, which unittest collects; what a configuration says in words nobody reads here.
/// `tree` is the patched tree.
pub(crate) fn read_with_report(
    change: &Change,
    renames: &Renames,
    tests: &TestResults,
    tree: &TreeView<'_>,
) -> Option<Found> {
    let is_of_tests = |path: &RelPath| {
        // One that nobody takes anything from is there for its tests. Else it is code with tests in it.
        holds_tests(path, tests) && (speaks_of_tests(path) || users::none_but(path, path, change, tree))
    };
    let code =
        change.files.iter().filter(|diff| diff.file.role == FileRole::Code && is_of_tests(&diff.file.path));
    let told: Vec<String> = code
        .filter(|diff| diff.file.change != FileChange::Added && !diff.same_content())
        .flat_map(|diff| match sides(diff) {
            (Some(language), Some(before), Some(after)) => {
                told(&shown(diff), test_changes(language, before, after, renames, true))
            }
            _ => vec![format!("{}: a file of tests is no longer there", shown(diff))],
        })
        .collect();
    (!told.is_empty()).then(|| Found::fail(Finding::TestsWeakened, some_of(&told)))
}

fn speaks_of_tests(path: &RelPath) -> bool {
    let name = path.name().unwrap_or_default().to_ascii_lowercase();
    name.contains("test") || name.contains("spec")
}

/// Whether a report has tests in a file. Examples in docstrings are none: their names begin with the module's once more.
fn holds_tests(path: &RelPath, tests: &TestResults) -> bool {
    let Some((stem, extension)) = path.as_str().rsplit_once('.') else { return false };
    let begins = match extension {
        "py" => stem.replace('/', "."),
        _ => path.as_str().to_owned(),
    };
    let within = |id: &str| {
        let rest = id.strip_prefix(begins.as_str())?;
        let rest = rest
            .strip_prefix("::")
            .or_else(|| rest.strip_prefix('.'))
            .or_else(|| rest.strip_prefix(" > "))?;
        (!rest.starts_with(begins.as_str())).then_some(())
    };
    tests
        .range(begins.clone()..)
        .take_while(|(id, _)| id.starts_with(&begins))
        .any(|(id, _)| within(id).is_some())
}

/// Says what read through without a finding, for the step's detail.
pub(crate) fn read_through_detail(change: &Change, renames: &Renames, rewritten: usize) -> String {
    // Whatever else it could do to such a file was a finding.
    let dependencies = if change.files.iter().any(|diff| changes_the_runner(diff, renames)) {
        "; dependencies changed, as the policy lets them"
    } else {
        ""
    };
    if rewritten > 0 {
        let changes = count(rewritten, "change");
        return format!("{changes} to what existing tests say, as the policy lets it{dependencies}");
    }
    let touched = change
        .files
        .iter()
        .filter(|diff| diff.file.role == FileRole::Test && diff.file.change == FileChange::Modified)
        .count();
    let said = match (touched, renames.len()) {
        (0, _) => "no existing test file was changed".to_owned(),
        (_, 0) => format!("{} only got new tests", count(touched, "existing test file")),
        (_, names) => {
            format!("{} changed by {} only", count(touched, "existing test file"), count(names, "renaming"))
        }
    };
    said + dependencies
}

fn shown(diff: &FileDiff) -> String {
    gloaming_api::path::escape_name(diff.file.path.as_str().as_bytes())
}

fn changes_the_runner(diff: &FileDiff, renames: &Renames) -> bool {
    diff.file.role == FileRole::RunnerConfig
        && !renames_in_fixtures(diff, renames)
        && !manifests::describes_only(diff)
}

/// A `conftest.py` holds fixtures beside hooks: renaming what it uses of the code is no change of the runner,
/// as long as no hook's name is touched.
fn renames_in_fixtures(diff: &FileDiff, renames: &Renames) -> bool {
    let hook = |name: &String| name.starts_with("pytest_");
    diff.file.path.name() == Some("conftest.py")
        && diff.file.change == FileChange::Modified
        && !renames.iter().any(|(old, new)| hook(old) || hook(&new.to))
        && matches!((&diff.before, &diff.after), (Some(before), Some(after))
            if every_word_renamed(&String::from_utf8_lossy(before), renames)
                == every_word_renamed(&String::from_utf8_lossy(after), renames)
                && test_changes(Language::Python, before, after, renames, true).is_empty())
}

fn weakened(diff: &FileDiff, renames: &Renames) -> Vec<String> {
    let path = shown(diff);
    let is_test = diff.file.role == FileRole::Test;
    // A file of tests in Go is compiled together with those that are there: what runs by itself in a new one
    // runs around them.
    let joins = is_test && diff.file.path.as_str().ends_with("_test.go");
    if let (true, FileChange::Added, Some(after)) = (joins, diff.file.change, &diff.after) {
        return told(&path, test_changes(Language::Go, b"", after, renames, true));
    }
    if matches!(diff.file.change, FileChange::Added | FileChange::Deleted) || diff.same_content() {
        return Vec::new();
    }
    match sides(diff) {
        (Some(language), Some(before), Some(after)) if is_test || diff.file.role == FileRole::Code => {
            let mut found = told(&path, test_changes(language, before, after, renames, is_test));
            if language == Language::Rust {
                let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
                let gone = examples::changed(&before, &after, renames);
                found.extend(
                    gone.iter().map(|line| {
                        format!("{path}: an example in documentation is gone or changed: `{line}`")
                    }),
                );
            }
            found
        }
        (_, Some(before), Some(after)) if is_test => {
            if !diff.file.binary && renamed_only(before, after, renames) {
                Vec::new()
            } else {
                vec![format!("{path}: data of the tests was changed")]
            }
        }
        // It was or became something else than a regular file.
        _ if is_test => vec![format!("{path}: is no longer the file it was")],
        _ => Vec::new(),
    }
}

fn told(path: &str, changes: Vec<gloaming_syntax::TestChange>) -> Vec<String> {
    changes
        .into_iter()
        .map(|change| {
            let name = if change.name.is_empty() { String::new() } else { format!("{}: ", change.name) };
            format!("{path}:{}: {name}{}", change.line, change.detail)
        })
        .collect()
}

/// Files outside the folders of tests that a file of tests names: recorded values, golden files, examples. What
/// only documents is not taken for such.
fn data_of_tests(change: &Change, renames: &Renames, tree: &TreeView<'_>) -> Weakened {
    let prose = ["md", "mdx", "rst", "adoc", "html"];
    let candidates: Vec<&FileDiff> = change
        .files
        .iter()
        .filter(|diff| matches!(diff.file.role, FileRole::Docs | FileRole::Other))
        .filter(|diff| diff.file.change != FileChange::Added && !diff.same_content())
        .filter(|diff| {
            let (stem, extension) =
                diff.file.path.name().unwrap_or_default().rsplit_once('.').unwrap_or_default();
            !stem.is_empty() && !prose.contains(&extension.to_ascii_lowercase().as_str())
        })
        .collect();
    if candidates.is_empty() {
        return Vec::new();
    }
    let changed = |path: &gloaming_api::RelPath| change.files.iter().find(|diff| diff.file.path == *path);
    let mut tests: Vec<String> = change
        .files
        .iter()
        .filter(|diff| diff.file.role == FileRole::Test)
        .map(FileDiff::text_before)
        .collect();
    let is_test = |path: &&gloaming_api::RelPath| {
        Language::of(path.as_str()).is_some() && gloaming_workspace::role(path) == FileRole::Test
    };
    tests.extend(
        tree.files
            .iter()
            .filter(is_test)
            .filter(|path| changed(path).is_none())
            .filter_map(|path| tree.read(path)),
    );
    candidates
        .into_iter()
        .filter(|diff| {
            let name = diff.file.path.name().unwrap_or_default();
            tests.iter().any(|text| text.contains(name))
        })
        .filter(|diff| match (&diff.before, &diff.after) {
            (Some(before), Some(after)) => diff.file.binary || !renamed_only(before, after, renames),
            _ => true,
        })
        .map(|diff| (diff.file.path.clone(), format!("{}: what a test reads was changed", shown(diff))))
        .collect()
}

/// Whether replacing whole words makes one of the other, byte for byte.
fn renamed_only(before: &[u8], after: &[u8], renames: &Renames) -> bool {
    let (Ok(before), Ok(after)) = (std::str::from_utf8(before), std::str::from_utf8(after)) else {
        return false;
    };
    rename_words(before, renames) == after
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gloaming_api::evidence::TestStatus;

    use gloaming_syntax::Rename;

    use super::*;
    use crate::change::diff;

    fn names(pairs: &[(&str, &str)]) -> Renames {
        pairs.iter().map(|(old, new)| ((*old).to_owned(), Rename::seen(new))).collect()
    }

    fn change(files: Vec<FileDiff>) -> Change {
        Change { files, base: BTreeMap::new(), patched: BTreeMap::new() }
    }

    fn check(files: Vec<FileDiff>, renames: &[(&str, &str)]) -> String {
        let tree = TreeView { dir: std::path::Path::new("."), files: &[] };
        match read_through(&change(files), &names(renames), &tree, Lets::default()) {
            Some(found) => format!("{:?}: {}", found.code.unwrap(), found.detail),
            None => "fine".into(),
        }
    }

    #[test]
    fn what_runs_the_tests_may_not_change() {
        for path in ["pyproject.toml", "tests/conftest.py", ".cargo/config.toml", "package.json", "Makefile"]
        {
            assert_eq!(
                check(vec![diff(path, Some("a\n"), Some("b\n"))], &[]),
                format!("RunnerConfigChanged: changes what runs the tests: {path}")
            );
        }
        assert_eq!(
            check(vec![diff("conftest.py", None, Some("x\n"))], &[("a", "b")]),
            "RunnerConfigChanged: changes what runs the tests: conftest.py"
        );
    }

    #[test]
    fn a_new_file_cannot_stand_in_for_the_runner() {
        for path in ["pytest.py", "src/unittest/__init__.py", "tests/json.py", "_pytest/main.py"] {
            assert!(
                check(vec![diff(path, None, Some("x = 1\n"))], &[]).starts_with("RunnerConfigChanged"),
                "{path}"
            );
        }
        for path in ["calc/json.py", "src/calc/types.py", "calc/pytest/plugin.py"] {
            assert_eq!(check(vec![diff(path, None, Some("x = 1\n"))], &[]), "fine", "{path}");
        }
    }

    #[test]
    fn fixtures_may_follow_a_renaming_and_hooks_may_not() {
        let file = |before: &str, after: &str| vec![diff("tests/conftest.py", Some(before), Some(after))];
        let renames = [("add", "sum_of")];
        assert_eq!(check(file("import add\n", "import sum_of\n"), &renames), "fine");
        assert!(
            check(file("import add\n", "import sum_of  # x\n"), &renames).starts_with("RunnerConfigChanged")
        );
        assert!(
            check(
                file("def pytest_collection(): pass\n", "def old_collection(): pass\n"),
                &[("pytest_collection", "old_collection")]
            )
            .starts_with("RunnerConfigChanged")
        );
    }

    #[test]
    fn data_of_tests_changes_by_renaming_only() {
        let file =
            |before: &str, after: &str| vec![diff("tests/data/expected.txt", Some(before), Some(after))];
        assert_eq!(check(file("foo(1) = 2\n", "bar(1) = 2\n"), &[("foo", "bar")]), "fine");
        for after in ["bar(1) = 3\n", "bar(1) = 2\nmore\n", "foobar(1) = 2\n"] {
            assert_eq!(
                check(file("foo(1) = 2\n", after), &[("foo", "bar")]),
                "TestsWeakened: tests/data/expected.txt: data of the tests was changed"
            );
        }
        let mut binary = file("a", "b");
        binary[0].file.binary = true;
        assert!(check(binary, &[("a", "b")]).starts_with("TestsWeakened"));
    }

    #[test]
    fn where_the_policy_lets_it_a_changed_test_is_a_signal_and_a_changed_runner_still_blocks() {
        let tree = TreeView { dir: std::path::Path::new("."), files: &[] };
        let of = |files| signals_of(&change(files), &names(&[]), &tree, Lets::default());
        let test = || {
            let before = "def test_a():\n    assert add(1, 2) == 3\n";
            diff("tests/test_a.py", Some(before), Some(&before.replace('3', "4")))
        };
        let signals = of(vec![test()]).unwrap();
        assert_eq!((signals.len(), signals[0].name.as_str()), (1, "changed_test"));
        assert_eq!(signals[0].path.as_str(), "tests/test_a.py");
        assert!(check(vec![test()], &[]).starts_with("TestsWeakened"));
        let found = of(vec![test(), diff("tests/conftest.py", Some("a\n"), Some("b\n"))]).unwrap_err();
        assert_eq!(found.code, Some(Finding::RunnerConfigChanged));
    }

    #[test]
    fn a_file_in_which_the_report_has_tests_is_one_of_tests() {
        let before = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(1, 1)\n";
        let after = before.replace("assertEqual(1, 1)", "assertTrue(1)");
        let dir = tempfile::tempdir().unwrap();
        let check = |path: &str, id: &str, user: &str| {
            let change = change(vec![diff(path, Some(before), Some(&after))]);
            let tests = TestResults::from([(id.to_owned(), TestStatus::Passed)]);
            let files = [RelPath::parse("calc/__init__.py").unwrap()];
            crate::host::write_in_tree(dir.path(), &files[0], user.as_bytes()).unwrap();
            let tree = TreeView { dir: dir.path(), files: &files };
            read_with_report(&change, &Renames::new(), &tests, &tree).is_some()
        };
        assert!(check("testcore.py", "testcore.T.test_add", ""));
        assert!(check("calc/core_spec.py", "calc.core_spec::test_add", "from .core_spec import T\n"));
        assert!(!check("testcore.py", "testcore2.T.test_add", ""));
        // A name that says nothing: one of code, where others use it.
        assert!(check("checks/core.py", "checks.core::check_add", ""));
        assert!(!check("calc/core.py", "calc.core.T.test_add", "from .core import add\n"));
        // Examples.
        assert!(!check("calc/testclient.py", "calc.testclient::calc.testclient.get", ""));
        assert!(!check("calc/core.py", "calc.core::calc.core.get", ""));
    }

    #[test]
    fn manifests_among_the_tests_may_be_data() {
        let manifest = |license: &str| format!("{{\"name\": \"a\", \"license\": \"{license}\"}}\n");
        let changed = |path: &str| vec![diff(path, Some(&manifest("mit")), Some(&manifest("MIT")))];
        assert_eq!(check(changed("package.json"), &[]), "fine");
        let path = "test/fixtures/a/package.json";
        assert_eq!(
            check(changed(path), &[]),
            format!("RunnerConfigChanged: changes what runs the tests: {path}")
        );
        let tree = TreeView { dir: std::path::Path::new("."), files: &[] };
        let lets = Lets { dependencies: true, ..Lets::default() };
        let found = read_through(&change(changed(path)), &names(&[]), &tree, lets).unwrap();
        assert_eq!(found.detail, format!("changes what runs the tests: {path}: it may be data of the tests"));
        let bump = |path: &str| {
            let with = |version: &str| format!("{{\"dependencies\": {{\"a\": \"{version}\"}}}}\n");
            let files = vec![diff(path, Some(&with("^1.0.0")), Some(&with("^1.0.1")))];
            read_through(&change(files), &names(&[]), &tree, lets).map(|found| found.detail)
        };
        assert_eq!(bump("package.json"), None);
        assert!(bump("test/expected/package.json").is_some());
    }
}
