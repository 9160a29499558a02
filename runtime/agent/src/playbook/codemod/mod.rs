//! Replaces code by its structure, with the pattern and the replacement that the task gives, without a model.
//!
//! What it does: lists the files, has the pattern matched in them, changes them one by one, looks again. What it does not:
//! guess. A match that cannot be replaced, or would say something else afterwards, ends it before anything is changed.

mod words;

use gloaming_api::ReasonCode;
use gloaming_api::tool::ToolOutcome;
use serde_json::Value;

use super::files::{Edits, FileText, Listing, is_foreign, listed};
use super::form::{Action, End, Event, NAMED, counted};
use super::instead::quoted;
use super::languages;
use super::said::Which;
use super::splice::{Splice, splice};

pub(super) use words::fit;

/// What one file holds of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMatches {
    /// The file.
    pub path: String,
    /// What was found.
    pub found: Matches,
}

/// What was found of a pattern in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matches {
    /// It is not UTF-8, or too large.
    Unreadable,
    /// A match that cannot be replaced.
    Refused {
        /// Its line, counted from 1.
        line: u32,
        /// Why, in lower case and without a full stop.
        why: String,
    },
    /// Matches, each with what is to stand there.
    Places {
        /// The file's text.
        text: String,
        /// The changes, in order, with their lines.
        places: Vec<(u32, Splice)>,
    },
}

/// What keeps a pattern or its replacement from being one in a language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanguageFault {
    /// The language.
    pub language: String,
    /// Why, in lower case and without a full stop.
    pub why: String,
}

/// A codemod's state.
#[derive(Debug, Clone)]
pub struct Codemod {
    pattern: String,
    replacement: String,
    which: Which,
    state: State,
    calls: u32,
    listing: Listing,
    edits: Edits,
    /// `path: lines`.
    places: Vec<String>,
    count: usize,
    /// `path: why`.
    left: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Fresh,
    Listing,
    Matching,
    Editing,
    Checking,
    Over,
}

impl Codemod {
    fn new(pattern: String, replacement: String, which: Which) -> Self {
        let all = languages::ROWS.iter().filter(|row| row.grammar);
        let chosen = if which.languages.is_empty() { all.collect() } else { which.languages.clone() };
        Self {
            pattern,
            replacement,
            listing: Listing::of(&chosen, which.scope.clone()),
            which,
            state: State::Fresh,
            calls: 0,
            edits: Edits::default(),
            places: Vec::new(),
            count: 0,
            left: Vec::new(),
        }
    }

    /// Returns what is asked for in a few words.
    pub(super) fn describe(&self) -> String {
        format!("`{}` to `{}` in all {}", self.pattern, self.replacement, self.which.shown())
    }

    /// Returns the text of the task that does the same in one place.
    pub(super) fn within(&self, place: &str) -> String {
        let files = self.which.within(place);
        format!("Replace {} with {} in all {files}", quoted(&self.pattern), quoted(&self.replacement))
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        let next = match (&self.state, event) {
            (State::Fresh, Event::Start) => Ok(self.call("list", self.listing.first(), State::Listing)),
            (State::Listing, Event::ToolDone { outcome, .. }) => self.listed(&outcome),
            (State::Matching, Event::Matched { faults, files }) => self.matched(&faults, files),
            (State::Editing, Event::ToolDone { outcome, .. }) => self.edited(&outcome),
            (State::Checking, Event::Files { files }) => self.checked(&files),
            _ => return Vec::new(),
        };
        vec![next.unwrap_or_else(|end| {
            self.state = State::Over;
            end.into()
        })]
    }

    fn call(&mut self, name: &str, args: Value, then: State) -> Action {
        self.calls += 1;
        self.state = then;
        Action::CallTool { id: format!("codemod-{}", self.calls), name: name.into(), args }
    }

    fn listed(&mut self, outcome: &ToolOutcome) -> Result<Action, End> {
        if let Some(args) = self.listing.take(outcome)? {
            return Ok(self.call("list", args, State::Listing));
        }
        if self.listing.paths.is_empty() {
            let summary = format!("There are no {}.", self.which.shown());
            return Err(End::new(ReasonCode::Underspecified, summary).asking("Which files are meant?"));
        }
        self.state = State::Matching;
        Ok(Action::Match {
            pattern: self.pattern.clone(),
            replacement: self.replacement.clone(),
            paths: self.listing.paths.clone(),
        })
    }

    fn matched(&mut self, faults: &[LanguageFault], files: Vec<FileMatches>) -> Result<Action, End> {
        // Where no language is named, those are meant in which the two are code.
        let meant = !self.which.languages.is_empty() || files.is_empty();
        if let Some(fault) = faults.first().filter(|_| meant) {
            let summary = format!("In {} {}.", fault.language, fault.why);
            return Err(End::new(ReasonCode::ConflictingRequirements, summary)
                .asking("What are the pattern and the replacement to be?")
                .with(faults.iter().map(|fault| format!("{}: {}", fault.language, fault.why))));
        }
        let mut edits = Vec::new();
        let mut refused = Vec::new();
        let looked_at = files.len();
        for FileMatches { path, found } in files {
            match found {
                Matches::Unreadable => self.left.push(format!("{path}: it is not UTF-8, or too large")),
                Matches::Places { places, .. } if places.is_empty() => {}
                _ if is_foreign(&path) => self.left.push(format!("{path}: somebody else's")),
                Matches::Refused { line, why } => refused.push((path, line, why)),
                Matches::Places { text, places } => {
                    let (lines, splices): (Vec<u32>, Vec<Splice>) = places.into_iter().unzip();
                    let made = splice(&path, &text, &splices);
                    let stuck =
                        || End::new(ReasonCode::Stuck, format!("{path}: the matches are not in order"));
                    edits.push(made.ok_or_else(stuck)?);
                    let lines: Vec<String> = lines.iter().map(u32::to_string).collect();
                    self.count += lines.len();
                    self.places.push(format!("{path}: line {}", lines.join(", ")));
                }
            }
        }
        if let Some((path, line, why)) = refused.first() {
            let summary = format!("A match cannot be replaced, at {path}:{line}: {why}.");
            return Err(End::new(ReasonCode::ConflictingRequirements, summary)
                .asking("What is to become of that place?")
                .with(refused.iter().take(NAMED).map(|(path, line, why)| format!("{path}:{line}: {why}"))));
        }
        if edits.is_empty() {
            let summary = format!(
                "`{}` matches nothing in {}{}. Strings, comments and the arguments of Rust's macros are not searched.",
                self.pattern,
                counted(looked_at, "file", "files"),
                self.which.place()
            );
            return Err(
                End::new(ReasonCode::NoChangeNeeded, summary).with(self.left.iter().take(NAMED).cloned())
            );
        }
        self.edits = Edits::new(edits)?;
        Ok(self.next_edit())
    }

    fn next_edit(&mut self) -> Action {
        match self.edits.next() {
            Some((tool, args)) => self.call(tool, args, State::Editing),
            None => {
                self.state = State::Checking;
                Action::Read { paths: self.edits.paths() }
            }
        }
    }

    fn edited(&mut self, outcome: &ToolOutcome) -> Result<Action, End> {
        self.edits.took(outcome)?;
        Ok(self.next_edit())
    }

    fn checked(&mut self, files: &[FileText]) -> Result<Action, End> {
        self.edits.check(files)?;
        self.state = State::Over;
        let mut summary = format!(
            "Replace `{}` with `{}`: {} in {}.",
            self.pattern,
            self.replacement,
            counted(self.count, "place", "places"),
            counted(self.edits.len(), "file", "files")
        );
        summary.push_str(&listed("Changed:", &self.places));
        summary.push_str(&listed("Not changed:", &self.left));
        Ok(Action::Done { summary })
    }
}

#[cfg(test)]
mod tests {
    use crate::playbook::codemod::{FileMatches, LanguageFault, Matches};
    use crate::playbook::memory::Repo;
    use crate::playbook::splice::Splice;

    const TASK: &str = "Replace `f($A)` with `g($A)` in all Rust files";

    /// Matches by the first letter alone; the grammar's work is `syntax`'s to test.
    fn matched(path: &str, text: &str) -> Result<FileMatches, LanguageFault> {
        if path.ends_with(".py") {
            return Err(LanguageFault {
                language: "Python".into(),
                why: "the pattern `f($A)` does not parse".into(),
            });
        }
        let place = |(at, _): (usize, &str)| {
            let line = text[..at].matches('\n').count() as u32 + 1;
            (line, Splice { start: at, end: at + 1, text: "g".into() })
        };
        let found = match text {
            "\u{fffd}" => Matches::Unreadable,
            "nested" => Matches::Refused { line: 3, why: "the pattern matches within another match".into() },
            text => {
                Matches::Places { text: text.into(), places: text.match_indices("f(").map(place).collect() }
            }
        };
        Ok(FileMatches { path: path.into(), found })
    }

    fn repo(files: &[(&str, &str)]) -> Repo {
        let mut repo = Repo::new(files);
        repo.matcher = matched;
        repo
    }

    #[test]
    fn every_match_is_replaced() {
        let mut repo = repo(&[
            ("src/a.rs", "f(1)\nx\nf(2) + f(3)\n"),
            ("src/b.rs", "x\n"),
            ("src/odd.rs", "\u{fffd}"),
            ("vendor/v.rs", "f(1)\n"),
        ]);
        insta::assert_snapshot!(repo.run(TASK), @r"
        done: Replace `f($A)` with `g($A)`: 3 places in 1 file.

        Changed:

        - src/a.rs: line 1, 3, 3

        Not changed:

        - src/odd.rs: it is not UTF-8, or too large
        - vendor/v.rs: somebody else's
        ");
        assert_eq!(repo.files["src/a.rs"], "g(1)\nx\ng(2) + g(3)\n");
        insta::assert_snapshot!(repo.run(&format!("{TASK} in src")), @"no_change_needed: `f($A)` matches nothing in 3 files in src. Strings, comments and the arguments of Rust's macros are not searched. |  | src/odd.rs: it is not UTF-8, or too large");
    }

    #[test]
    fn one_match_that_cannot_be_replaced_ends_it_with_nothing_changed() {
        let mut repo = repo(&[("a.rs", "f(1)\n"), ("b.rs", "nested")]);
        insta::assert_snapshot!(repo.run(TASK), @"conflicting_requirements: A match cannot be replaced, at b.rs:3: the pattern matches within another match. | What is to become of that place? | b.rs:3: the pattern matches within another match");
        assert_eq!(repo.story, ["list", "match f($A) in 2 files"]);
    }

    #[test]
    fn what_is_no_code_in_the_language_is_refused_and_in_others_passed_over() {
        let mut repo = repo(&[("a.py", "f(1)\n")]);
        let everywhere = "Replace `f($A)` with `g($A)`";
        let refused = "conflicting_requirements: In Python the pattern `f($A)` does not parse. | What are the pattern and the replacement to be? | Python: the pattern `f($A)` does not parse";
        assert_eq!(repo.run("Replace `f($A)` with `g($A)` in Python files"), refused);
        assert_eq!(repo.run(everywhere), refused);
        repo.files.insert("a.rs".into(), "f(1)\n".into());
        assert!(repo.run(everywhere).starts_with("done"));
        insta::assert_snapshot!(repo.run("Replace `f($A)` with `g($A)` in Go files"), @"underspecified: There are no Go files. | Which files are meant? | ");
    }
}
