//! The patch's code with the base's tests: what holds only as long as the patch's own tests are loaded beside does
//! not hold.
//!
//! Where one process runs every test, a new file of tests can repair the code for all others, or replace a part of
//! the runner, while it is imported. So the base's tests are run once more without the patch's.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::RelPath;
use gloaming_api::evidence::{FileChange, FileRole, Finding};
use gloaming_api::profile::TestRunner;
use similar::{DiffTag, TextDiff};

use crate::bench::{Bench, Lane};
use crate::change::{Change, FileDiff, Hunk, MOST_WORK};
use crate::compare::compare;
use crate::outcome::Outcome;
use crate::renaming::{Renames, every_word_renamed};
use crate::steps::{Found, some_of};
use crate::suites::Explained;
use crate::{Baseline, VerifyError};

/// Returns what makes the patched tree one with the base's tests: files to write, or to remove. Empty where they are
/// the same. New files stay where a runner gives each file of tests a process or a world of its own. Where the policy lets
/// a patch rewrite existing tests, those it changed stay as it made them.
pub(crate) fn overlay(
    change: &Change,
    renames: &Renames,
    runner: Option<TestRunner>,
    rewritten: bool,
) -> Vec<(RelPath, Option<Vec<u8>>)> {
    let Some(runner) = runner else { return Vec::new() };
    let shared = [TestRunner::Pytest, TestRunner::Unittest, TestRunner::Mocha, TestRunner::GoTest];
    let shared = shared.contains(&runner);
    let moves = change.moves();
    change
        .files
        .iter()
        .filter(|diff| diff.file.role == FileRole::Test)
        .filter_map(|diff| {
            let path = &diff.file.path;
            match diff.file.change {
                FileChange::Added
                    if shared && loaded_unasked(path) && !moves.iter().any(|(_, new)| new == path) =>
                {
                    Some((path.clone(), None))
                }
                // A changed mode may come with other content.
                FileChange::Modified | FileChange::ModeChanged if !rewritten => {
                    let content = without_additions(diff, renames);
                    (content != diff.after).then(|| (path.clone(), content))
                }
                _ => None,
            }
        })
        .collect()
}

/// Returns a file as the base has it, but for what the patch renames: with the old names the base's tests would not find
/// the code. That nothing but renamings was changed in it has been read before; here what was added goes.
fn without_additions(diff: &FileDiff, renames: &Renames) -> Option<Vec<u8>> {
    let before = diff.before.as_deref()?;
    let (Ok(text), false) = (std::str::from_utf8(before), renames.is_empty()) else {
        return Some(before.to_vec());
    };
    let after = diff.text_after();
    let old: Vec<&str> = text.split_inclusive('\n').collect();
    let new: Vec<&str> = after.split_inclusive('\n').collect();
    let work = (old.len() + new.len()) as u64 * diff.hunks.iter().map(Hunk::lines).sum::<u64>();
    if work > MOST_WORK {
        return Some(every_word_renamed(text, renames).into_bytes());
    }
    let mut content = String::with_capacity(text.len());
    for op in TextDiff::from_slices(&old, &new).ops() {
        if op.tag() == DiffTag::Equal {
            content.extend(old[op.old_range()].iter().copied());
            continue;
        }
        // Which of its places followed a renaming is not known here: the line is taken as the patch has it.
        let added: BTreeMap<String, &str> =
            new[op.new_range()].iter().rev().map(|line| (every_word_renamed(line, renames), *line)).collect();
        for at in op.old_range() {
            let everywhere = every_word_renamed(old[at], renames);
            content.push_str(added.get(&everywhere).copied().unwrap_or(&everywhere));
        }
    }
    Some(content.into_bytes())
}

/// Whether a runner loads a file of tests by its name or place. Anything else is loaded by something that is looked
/// at itself.
fn loaded_unasked(path: &RelPath) -> bool {
    let name = path.name().unwrap_or_default();
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    match extension {
        "py" => {
            stem.starts_with("test")
                || stem.ends_with("_test")
                || stem.ends_with("_tests")
                || stem == "__init__"
        }
        "go" => stem.ends_with("_test"),
        "js" | "cjs" | "mjs" | "ts" | "cts" | "mts" | "jsx" | "tsx" => {
            [".test", ".spec", "-test", "_test"].iter().any(|end| stem.ends_with(end))
                || path
                    .parent()
                    .and_then(|folder| folder.name().map(str::to_owned))
                    .is_some_and(|folder| matches!(folder.as_str(), "test" | "tests" | "spec" | "__tests__"))
        }
        _ => false,
    }
}

/// Runs the base's tests on the patch's code without the patch's tests. `Err` says which of them fail then.
pub(crate) async fn look(
    bench: &mut Bench<'_>,
    patched: &Lane,
    explained: &Explained<'_>,
    baseline: &Baseline,
    flaky: &BTreeSet<String>,
) -> Result<Result<(), Found>, VerifyError> {
    if explained.without_tests.is_empty() {
        return Ok(Ok(()));
    }
    let lane = bench.lane_with(patched, explained.without_tests, "patched-base-tests")?;
    let mut held: Option<Vec<String>> = None;
    // Twice, so that no test that flips is taken for one that the patch's tests hold up.
    for label in ["patched-base-tests", "patched-base-tests-2"] {
        let worse = match bench.suite(&lane, label, "V8", &[]).await? {
            Outcome::Ran(report) => {
                let found =
                    compare(&baseline.tests, &report.tests, flaky, explained.renames, explained.moves);
                found
                    .regressions
                    .into_iter()
                    .chain(found.weakened.into_keys())
                    .chain(found.vanished)
                    .collect::<Vec<String>>()
            }
            Outcome::BuildFailed(why)
            | Outcome::BuildLimit(why)
            | Outcome::SuiteLimit(why)
            | Outcome::NotRun(why) => {
                let detail =
                    format!("the base's tests do not run on the patch's code without its tests: {why}");
                return Ok(Err(Found::unknown(Finding::SuiteNotRun, detail)));
            }
        };
        let worse = match held {
            None => worse,
            Some(before) => {
                let again: BTreeSet<String> = worse.into_iter().collect();
                before.into_iter().filter(|id| again.contains(id)).collect()
            }
        };
        if worse.is_empty() {
            return Ok(Ok(()));
        }
        held = Some(worse);
    }
    let worse = held.unwrap_or_default();
    let which = match worse.len() {
        1 => "1 of the base's tests holds".to_owned(),
        many => format!("{many} of the base's tests hold"),
    };
    Ok(Err(Found::fail(
        Finding::TestsWeakened,
        format!("{which} only as long as the patch's tests are loaded beside: {}", some_of(&worse)),
    )))
}

#[cfg(test)]
mod tests {
    use gloaming_syntax::Rename;

    use super::*;
    use crate::change::diff;

    #[test]
    fn what_is_left_out_and_put_back() {
        let change = Change {
            files: vec![
                diff("calc/a.py", Some("a\n"), Some("b\n")),
                diff("tests/__init__.py", None, Some("import x\n")),
                diff("tests/helpers.py", None, Some("x\n")),
                diff("tests/test_a.py", Some("a\n"), Some("import x\na\n")),
                diff("tests/test_b.py", None, Some("b\n")),
            ],
            base: BTreeMap::new(),
            patched: BTreeMap::new(),
        };
        let shown = |renames: &Renames, runner| -> String {
            overlay(&change, renames, runner, false)
                .iter()
                .map(|(path, content)| format!("{path} {} ", if content.is_some() { "back" } else { "out" }))
                .collect()
        };
        let none = Renames::new();
        let expect = "tests/__init__.py out tests/test_a.py back tests/test_b.py out ";
        assert_eq!(shown(&none, Some(TestRunner::Pytest)), expect);
        assert_eq!(shown(&none, Some(TestRunner::NodeTest)), "tests/test_a.py back ");
        assert_eq!(shown(&none, None), "");
        let renames = Renames::from([("a".to_owned(), Rename::seen("b"))]);
        assert_eq!(shown(&renames, Some(TestRunner::Unittest)), expect);
    }

    #[test]
    fn under_a_renaming_a_file_keeps_its_new_names_and_loses_what_was_added() {
        let renames = Renames::from([("add".to_owned(), Rename::seen("sum_of"))]);
        let before =
            "from calc import add\n\n\ndef test_add():\n    # add\n    assert add(1, 2) == 3, \"add\"\n";
        let after = "from calc import _compat\nfrom calc import sum_of\n\n\ndef test_add():\n    # sum_of\n    \
                     assert sum_of(1, 2) == 3, \"add\"\n    repair()\n\n\ndef test_more():\n    pass\n";
        let content = without_additions(&diff("tests/test_a.py", Some(before), Some(after)), &renames);
        assert_eq!(
            String::from_utf8(content.unwrap()).unwrap(),
            "from calc import sum_of\n\n\ndef test_add():\n    # sum_of\n    assert sum_of(1, 2) == 3, \"add\"\n"
        );
        // Nothing but the renaming: there is nothing to put back.
        let only = every_word_renamed(before, &renames);
        let change = Change {
            files: vec![diff("tests/test_a.py", Some(before), Some(&only))],
            base: BTreeMap::new(),
            patched: BTreeMap::new(),
        };
        assert_eq!(overlay(&change, &renames, Some(TestRunner::Pytest), false), []);
    }

    #[test]
    fn a_file_that_was_made_executable_as_well_is_put_back() {
        let mut file = diff("tests/test_a.py", Some("a\n"), Some("import x\na\n"));
        file.file.change = FileChange::ModeChanged;
        let change = Change { files: vec![file], base: BTreeMap::new(), patched: BTreeMap::new() };
        assert_eq!(
            overlay(&change, &Renames::new(), Some(TestRunner::Pytest), false),
            [(RelPath::parse("tests/test_a.py").unwrap(), Some(b"a\n".to_vec()))]
        );
    }
}
