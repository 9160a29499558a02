//! V7: results of two trees, compared by test id.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::RelPath;
use gloaming_api::evidence::{TestResults, TestStatus};

use crate::renaming::{Renames, rename_words};

/// The difference between the untouched tree's results and the patched tree's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Passed (or failed as expected) before, fail now.
    pub(crate) regressions: Vec<String>,
    /// Were not there, or did not run before, and fail.
    pub(crate) new_failures: Vec<String>,
    /// Were reported before and are not now.
    pub(crate) vanished: Vec<String>,
    /// Ran before and are skipped or expected to fail now, with how: `passed → skipped`.
    pub(crate) weakened: BTreeMap<String, String>,
    /// Old id to new id, for tests that a renaming explains.
    pub(crate) renamed: BTreeMap<String, String>,
    /// Failed before, pass now.
    pub(crate) fixed: Vec<String>,
    /// Were not there and pass.
    pub(crate) added: Vec<String>,
}

impl Comparison {
    /// Whether nothing speaks against the patch.
    #[cfg(test)]
    pub(crate) fn is_clean(&self) -> bool {
        self.complaints().is_empty()
    }

    /// Returns the ids of every test that speaks against the patch, by what they are on the base.
    pub(crate) fn complaints(&self) -> BTreeSet<String> {
        let plain = self.regressions.iter().chain(&self.new_failures).chain(&self.vanished);
        plain.chain(self.weakened.keys()).cloned().collect()
    }

    /// Leaves only these ids among what speaks against the patch.
    pub(crate) fn retain(&mut self, keep: &BTreeSet<&str>) {
        let kept = |id: &String| keep.contains(id.as_str());
        self.regressions.retain(kept);
        self.new_failures.retain(kept);
        self.vanished.retain(kept);
        self.weakened.retain(|id, _| kept(id));
    }

    /// Those that are no longer run as before, each with how: `id (passed → skipped)`.
    pub(crate) fn weakened(&self) -> Vec<String> {
        self.weakened.iter().map(|(id, how)| format!("{id} ({how})")).collect()
    }
}

/// Compares. `flaky` ids are held against nobody unless they vanish; `renames` and `moves` explain new ids.
pub(crate) fn compare(
    base: &TestResults,
    patched: &TestResults,
    flaky: &BTreeSet<String>,
    renames: &Renames,
    moves: &[(RelPath, RelPath)],
) -> Comparison {
    let mut out = Comparison::default();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (id, before) in base {
        let after = match patched.get(id) {
            Some(after) => *after,
            // One test explains one: of two that are now one, the other is gone.
            None => match renamed_id(id, base, patched, renames, moves, &taken) {
                Some(new) => {
                    let after = patched[&new];
                    taken.insert(new.clone());
                    out.renamed.insert(id.clone(), new);
                    after
                }
                None => {
                    // What failed before may be gone for a good reason (a module that did not import and
                    // now does); that no test's source was removed is V8's to see.
                    if *before != TestStatus::Failed {
                        out.vanished.push(id.clone());
                    }
                    continue;
                }
            },
        };
        if flaky.contains(id) {
            continue;
        }
        use TestStatus::{ExpectedFailure, Failed, Passed, Skipped};
        match (before, after) {
            (Passed | ExpectedFailure, Failed) => out.regressions.push(id.clone()),
            (Skipped, Failed) => out.new_failures.push(id.clone()),
            (Passed | Failed | ExpectedFailure, Skipped) | (Passed | Failed | Skipped, ExpectedFailure) => {
                out.weakened.insert(id.clone(), format!("{} → {}", word(*before), word(after)));
            }
            (Failed, Passed) => out.fixed.push(id.clone()),
            (Passed | ExpectedFailure | Skipped, Passed)
            | (Failed, Failed)
            | (Skipped, Skipped)
            | (ExpectedFailure, ExpectedFailure) => {}
        }
    }
    let explained: BTreeSet<&String> = out.renamed.values().collect();
    for (id, status) in patched {
        if base.contains_key(id) || explained.contains(id) {
            continue;
        }
        match status {
            TestStatus::Passed => out.added.push(id.clone()),
            TestStatus::Failed => out.new_failures.push(id.clone()),
            TestStatus::Skipped | TestStatus::ExpectedFailure => {}
        }
    }
    out
}

fn word(status: TestStatus) -> &'static str {
    match status {
        TestStatus::Passed => "passed",
        TestStatus::Failed => "failed",
        TestStatus::Skipped => "skipped",
        TestStatus::ExpectedFailure => "expected to fail",
    }
}

/// Returns the id a test goes by after the patch, where its renamings explain one that is new.
fn renamed_id(
    id: &str,
    base: &TestResults,
    patched: &TestResults,
    renames: &Renames,
    moves: &[(RelPath, RelPath)],
    taken: &BTreeSet<String>,
) -> Option<String> {
    let by_words = rename_words(id, renames);
    let mut candidates = vec![by_words.clone()];
    for (old, new) in moves {
        for (old, new) in [
            (old.as_str().to_owned(), new.as_str().to_owned()),
            (dotted(old), dotted(new)),
            (stem(old), stem(new)),
        ] {
            if !old.is_empty() {
                candidates.push(replace_whole(&by_words, &old, &new));
            }
        }
    }
    candidates.into_iter().find(|candidate| {
        candidate != id
            && patched.contains_key(candidate)
            && !base.contains_key(candidate)
            && !taken.contains(candidate)
    })
}

fn without_extension(path: &RelPath) -> &str {
    let name = path.name().unwrap_or("");
    let extension = name.split_once('.').map_or(0, |(_, extension)| extension.len() + 1);
    &path.as_str()[..path.as_str().len() - extension]
}

fn dotted(path: &RelPath) -> String {
    without_extension(path).replace('/', ".")
}

fn stem(path: &RelPath) -> String {
    without_extension(path).rsplit('/').next().unwrap_or("").to_owned()
}

/// Replaces `old` where neither neighbour belongs to a word.
fn replace_whole(text: &str, old: &str, new: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(old) {
        let (before, after) = (&rest[..at], &rest[at + old.len()..]);
        let whole = !out.chars().next_back().filter(|_| before.is_empty()).is_some_and(is_word)
            && !before.chars().next_back().is_some_and(is_word)
            && !after.chars().next().is_some_and(is_word);
        out.push_str(before);
        out.push_str(if whole { new } else { old });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Returns ids with different results in two runs of one tree, those reported by one run only included.
pub(crate) fn flips(first: &TestResults, second: &TestResults) -> BTreeSet<String> {
    first.keys().chain(second.keys()).filter(|id| first.get(*id) != second.get(*id)).cloned().collect()
}

/// Decides each test of several runs of one tree: the result that more than half of the runs agree on, else
/// the worse one. A test that most runs do not report is left out.
pub(crate) fn settle(runs: &[TestResults]) -> TestResults {
    let ids: BTreeSet<&String> = runs.iter().flat_map(|run| run.keys()).collect();
    ids.into_iter()
        .filter_map(|id| {
            let seen: Vec<TestStatus> = runs.iter().filter_map(|run| run.get(id).copied()).collect();
            if seen.len() * 2 <= runs.len() && runs.len() > 1 {
                return None;
            }
            let majority = seen
                .iter()
                .copied()
                .find(|status| seen.iter().filter(|other| *other == status).count() * 2 > runs.len());
            let worst = || {
                [TestStatus::Failed, TestStatus::Skipped, TestStatus::ExpectedFailure]
                    .into_iter()
                    .find(|status| seen.contains(status))
                    .unwrap_or(TestStatus::Passed)
            };
            Some((id.clone(), majority.unwrap_or_else(worst)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use gloaming_syntax::Rename;

    use super::*;

    fn results(text: &str) -> TestResults {
        text.split_whitespace()
            .map(|word| {
                let (id, status) = word.split_once('=').unwrap();
                let status = match status {
                    "p" => TestStatus::Passed,
                    "f" => TestStatus::Failed,
                    "s" => TestStatus::Skipped,
                    _ => TestStatus::ExpectedFailure,
                };
                (id.to_owned(), status)
            })
            .collect()
    }

    fn against(base: &str, patched: &str) -> Comparison {
        compare(&results(base), &results(patched), &BTreeSet::new(), &Renames::new(), &[])
    }

    #[test]
    fn every_transition() {
        assert_eq!(
            against(
                "pp=p pf=p ps=p px=p p-=p fp=f ff=f fs=f fx=f f-=f sp=s sf=s ss=s sx=s s-=s xp=x xf=x xs=x xx=x x-=x",
                "pp=p pf=f ps=s px=x fp=p ff=f fs=s fx=x sp=p sf=f ss=s sx=x xp=p xf=f xs=s xx=x new=p bad=f off=s"
            ),
            Comparison {
                regressions: vec!["pf".into(), "xf".into()],
                new_failures: vec!["sf".into(), "bad".into()],
                vanished: vec!["p-".into(), "s-".into(), "x-".into()],
                weakened: [
                    ("fs", "failed → skipped"),
                    ("fx", "failed → expected to fail"),
                    ("ps", "passed → skipped"),
                    ("px", "passed → expected to fail"),
                    ("sx", "skipped → expected to fail"),
                    ("xs", "expected to fail → skipped"),
                ]
                .map(|(id, how)| (id.to_owned(), how.to_owned()))
                .into(),
                renamed: BTreeMap::new(),
                fixed: vec!["fp".into()],
                added: vec!["new".into()],
            }
        );
        assert!(against("a=p b=f", "a=p b=f c=p").is_clean());
    }

    #[test]
    fn flaky_tests_are_held_against_nobody_unless_they_vanish() {
        let flaky = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let found = compare(&results("a=p b=p"), &results("a=f"), &flaky, &Renames::new(), &[]);
        assert_eq!((found.regressions.len(), found.vanished), (0, vec!["b".to_owned()]));
    }

    #[test]
    fn a_renaming_explains_a_new_id_and_nothing_else() {
        let renames = Renames::from([("add".to_owned(), Rename::seen("sum_of"))]);
        let check =
            |base, patched| compare(&results(base), &results(patched), &BTreeSet::new(), &renames, &[]);
        let found = check("m::add::works=p", "m::sum_of::works=p");
        assert!(found.is_clean() && found.added.is_empty());
        assert_eq!(found.renamed["m::add::works"], "m::sum_of::works");
        // The result counts under the new name too.
        assert_eq!(check("m::add::works=p", "m::sum_of::works=f").regressions, ["m::add::works"]);
        // A test that was there already stands in for nobody.
        assert_eq!(
            check("m::add::works=p m::sum_of::works=p", "m::sum_of::works=p").vanished,
            ["m::add::works"]
        );
        assert_eq!(check("m::other=p", "m::another=p").vanished, ["m::other"]);
        // Two that become one are one too few.
        let renames =
            Renames::from([("a", "c"), ("b", "c")].map(|(old, new)| (old.to_owned(), Rename::seen(new))));
        let found = compare(&results("m::a=p m::b=p"), &results("m::c=p"), &BTreeSet::new(), &renames, &[]);
        assert_eq!((found.renamed["m::a"].as_str(), found.vanished), ("m::c", vec!["m::b".to_owned()]));
    }

    #[test]
    fn a_moved_file_takes_its_ids_along() {
        let path = |text| RelPath::parse(text).unwrap();
        let check = |base: &str, patched: &str, old, new| {
            let moves = [(path(old), path(new))];
            compare(&results(base), &results(patched), &BTreeSet::new(), &Renames::new(), &moves).is_clean()
        };
        assert!(check(
            "tests.test_a::t=p",
            "tests.unit.test_a::t=p",
            "tests/test_a.py",
            "tests/unit/test_a.py"
        ));
        assert!(check("p::tests/one::t=p", "p::tests/two::t=p", "tests/one.rs", "tests/two.rs"));
        assert!(check("test/a.test.js>t=p", "test/x/a.test.js>t=p", "test/a.test.js", "test/x/a.test.js"));
        assert!(!check(
            "tests.test_ab::t=p",
            "tests.unit.test_ab::t=p",
            "tests/test_a.py",
            "tests/unit/test_a.py"
        ));
    }

    #[test]
    fn runs_are_settled_by_majority_and_ties_by_the_worse() {
        let runs = |texts: &[&str]| settle(&texts.iter().map(|text| results(text)).collect::<Vec<_>>());
        assert_eq!(runs(&["a=p b=f", "a=p b=p"]), results("a=p b=f"));
        assert_eq!(runs(&["a=p b=f c=p", "a=f b=p", "a=p b=p"]), results("a=p b=p"));
        assert_eq!(runs(&["a=p"]), results("a=p"));
        assert_eq!(
            flips(&results("a=p b=p c=p"), &results("a=p b=f d=p")).into_iter().collect::<Vec<_>>(),
            ["b", "c", "d"]
        );
    }
}
