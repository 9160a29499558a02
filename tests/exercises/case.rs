//! The form of an exercise; docs/exercises.md is the author's guide.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::support::Answer;
use crate::tamper::Edit;

/// What a transcript does, and so what has to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// The fix and a test that shows the bug: published.
    Right,
    /// The reported example comes out right, something else wrong.
    ExampleOnly,
    /// An existing test says less, or something else.
    WeakensTest,
    /// Something else is changed than what is wrong.
    WrongPlace,
    /// The fix with a mechanical fault in it, or a part of it.
    Mutant,
    /// The test beforehand holds on the untouched code.
    TestHolds,
    /// The work is said to be done, and nothing was.
    NoChange,
    /// The reviewer says no.
    Veto,
    /// The reproducer cannot show what is reported.
    NotShown,
    /// Nobody could do it: what the repository or the task is keeps from it.
    Unfixable,
    /// Wrong, and published all the same: what no test of anybody's says, and the reviewer let pass.
    Uncaught,
}

impl Kind {
    pub(super) const ALL: &[Self] = &[
        Self::Right,
        Self::ExampleOnly,
        Self::WeakensTest,
        Self::WrongPlace,
        Self::Mutant,
        Self::TestHolds,
        Self::NoChange,
        Self::Veto,
        Self::NotShown,
        Self::Unfixable,
        Self::Uncaught,
    ];

    /// Whether its work ends in a branch.
    pub(super) fn is_published(self) -> bool {
        matches!(self, Self::Right | Self::Uncaught)
    }
}

/// What an exercise is written in, and so what stands around its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Language {
    Python,
    /// A crate called `exercise` without dependencies.
    Rust,
}

/// A small program with one defect, and what is tried on it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exercise {
    /// What is wrong, in a sentence.
    pub(super) title: String,
    pub(super) language: Language,
    /// The task as somebody who met the bug would write it.
    pub(super) task: String,
    /// The repository: paths and texts.
    pub(super) files: BTreeMap<String, String>,
    /// The test that shows the bug, in every try that has none of its own.
    pub(super) test: Option<Test>,
    /// The change that the coder makes, in every try that has none of its own.
    #[serde(default)]
    pub(super) fix: Vec<Change>,
    #[serde(rename = "try")]
    pub(super) tries: Vec<Try>,
}

/// A test that the reproducer writes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    pub(super) path: String,
    pub(super) text: String,
    /// A part of what it prints when it fails.
    pub(super) fails_with: String,
}

/// One call of `edit`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    pub(super) path: String,
    pub(super) old: String,
    pub(super) new: String,
}

/// One run on the exercise's repository, with a transcript.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Try {
    pub(super) kind: Kind,
    /// `branch` or a bow-out's reason code.
    pub(super) ends: String,
    /// Whether it runs in `make test`.
    #[serde(default)]
    pub(super) sample: bool,
    /// What is tried, where the kind does not say it; why, for what is uncaught.
    #[serde(default)]
    pub(super) note: String,
    /// Another task.
    pub(super) task: Option<String>,
    /// What changes in the repository before the run, and is committed.
    #[serde(default)]
    pub(super) base: Vec<Edit>,
    pub(super) test: Option<Test>,
    pub(super) fix: Option<Vec<Change>>,
    /// What triage reads otherwise than of a bug that can be checked.
    #[serde(default)]
    pub(super) reading: Map<String, Value>,
    /// Answers in the place of the usual ones.
    pub(super) reproducer: Option<Vec<Answer>>,
    pub(super) planner: Option<Vec<Answer>>,
    pub(super) coder: Option<Vec<Answer>>,
    pub(super) reviewer: Option<Vec<Answer>>,
}

/// So many tries at verification has a coder that believes in its work: the first, and two that findings lead to.
const TRIES: u32 = 3;

impl Exercise {
    pub(super) fn load(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        let exercise: Self = toml::from_str(&text).map_err(|error| error.to_string())?;
        exercise.checked()
    }

    /// Refuses an exercise that could not fail, or whose tries say something else than their kind.
    pub(super) fn checked(self) -> Result<Self, String> {
        let wrong = |attempt: &&Try| attempt.kind.is_published() != (attempt.ends == "branch");
        if let Some(attempt) = self.tries.iter().find(wrong) {
            return Err(format!("a try of the kind {:?} does not end with {}", attempt.kind, attempt.ends));
        }
        if self.tries.is_empty() || self.title.is_empty() || self.task.trim().is_empty() {
            return Err("an exercise has a title, a task and tries".to_owned());
        }
        Ok(self)
    }

    /// Returns every file of the repository, those that the language wants included.
    pub(super) fn repository(&self) -> Vec<(&str, &str)> {
        let around: &[(&str, &str)] = match self.language {
            Language::Python => &[],
            Language::Rust => &[
                ("Cargo.toml", "[package]\nname = \"exercise\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
                ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"exercise\"\nversion = \"0.1.0\"\n"),
            ],
        };
        let own = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        around.iter().copied().filter(|(path, _)| !self.files.contains_key(*path)).chain(own).collect()
    }

    pub(super) fn test_of<'a>(&'a self, attempt: &'a Try) -> Option<&'a Test> {
        attempt.test.as_ref().or(self.test.as_ref())
    }

    pub(super) fn fix_of<'a>(&'a self, attempt: &'a Try) -> &'a [Change] {
        attempt.fix.as_ref().unwrap_or(&self.fix)
    }

    /// Returns what tests/demo/scripted_model.py serves for a try.
    pub(super) fn transcript(&self, attempt: &Try) -> Value {
        let mut reading = json!({
            "bug": true, "checkable": true, "open_question": false, "several_tasks": false,
            "needs_credentials": false, "needs_network": false, "visual": false, "not_a_change": false,
            "suspicious": false
        });
        reading.as_object_mut().expect("an object").extend(attempt.reading.clone());
        let call = |name: &str, args: Value| (name.to_owned(), args);
        let mut transcript = json!({"triage": Answer::calling(vec![call("classify", reading)]).entries()});

        let reproducer = attempt.reproducer.clone().or_else(|| {
            let test = self.test_of(attempt)?;
            let write = call("write", json!({"path": test.path, "content": test.text}));
            let look = call("check", json!({"what": "test"}));
            let told = json!({"summary": "The test shows what is reported.", "fails_with": test.fails_with});
            // What is told a second time is no truer.
            Some(vec![
                Answer::calling(vec![write, look]),
                Answer::calling(vec![call("finish", told)]).times(2),
            ])
        });
        let edits = self.fix_of(attempt).iter();
        let edits = edits
            .map(|change| call("edit", json!({"path": change.path, "old": change.old, "new": change.new})))
            .collect::<Vec<_>>();
        let coder = attempt.coder.clone().unwrap_or_else(|| {
            let mut answers = vec![Answer::calling(edits)];
            let done = json!({"summary": "What was reported is repaired."});
            answers.push(Answer::calling(vec![call("finish", done)]).times(TRIES));
            answers
        });
        let roles = [
            ("reproducer", reproducer),
            ("planner", attempt.planner.clone()),
            ("coder", Some(coder)),
            ("reviewer", attempt.reviewer.clone()),
        ];
        for (role, answers) in roles {
            if let Some(answers) = answers {
                transcript[role] = answers.iter().flat_map(Answer::entries).collect();
            }
        }
        transcript
    }
}
