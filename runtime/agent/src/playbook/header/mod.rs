//! Puts lines (a licence, a notice) as a comment at the top of files, without a model.
//!
//! What it does: lists the files, reads their tops, writes the comment where nothing has to stand before it, looks again. What
//! it does not: change or remove a header that is there. A file with another one of the same kind is left and told.

mod top;
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

/// A header's state.
#[derive(Debug, Clone)]
pub struct Header {
    /// The lines, without marks of a comment.
    lines: Vec<String>,
    which: Which,
    state: State,
    calls: u32,
    listing: Listing,
    edits: Edits,
    /// How many files had it.
    had: usize,
    /// `path: why`.
    left: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Fresh,
    Listing,
    Reading,
    Editing,
    Checking,
    Over,
}

impl Header {
    fn new(lines: Vec<String>, which: Which) -> Self {
        let all = languages::ROWS.iter().filter(|row| row.source);
        let chosen = if which.languages.is_empty() { all.collect() } else { which.languages.clone() };
        Self {
            lines,
            listing: Listing::of(&chosen, which.scope.clone()),
            which,
            state: State::Fresh,
            calls: 0,
            edits: Edits::default(),
            had: 0,
            left: Vec::new(),
        }
    }

    /// Returns what is asked for in a few words.
    pub(super) fn describe(&self) -> String {
        let more = if self.lines.len() > 1 { " …" } else { "" };
        format!("`{}{more}` in all {}", self.lines.first().map_or("", String::as_str), self.which.shown())
    }

    /// Returns the text of the task that does the same in one place.
    pub(super) fn within(&self, place: &str) -> String {
        let files = self.which.within(place);
        format!("Add the header {} to all {files}", quoted(&self.lines.join("\n")))
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        let next = match (&self.state, event) {
            (State::Fresh, Event::Start) => Ok(self.call("list", self.listing.first(), State::Listing)),
            (State::Listing, Event::ToolDone { outcome, .. }) => self.listed(&outcome),
            (State::Reading, Event::Files { files }) => self.read(&files),
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
        Action::CallTool { id: format!("header-{}", self.calls), name: name.into(), args }
    }

    fn listed(&mut self, outcome: &ToolOutcome) -> Result<Action, End> {
        if let Some(args) = self.listing.take(outcome)? {
            return Ok(self.call("list", args, State::Listing));
        }
        if self.listing.paths.is_empty() {
            let summary = format!("There are no {}.", self.which.shown());
            return Err(End::new(ReasonCode::Underspecified, summary).asking("Which files are meant?"));
        }
        self.state = State::Reading;
        Ok(Action::Read { paths: self.listing.paths.clone() })
    }

    fn read(&mut self, files: &[FileText]) -> Result<Action, End> {
        let mut edits = Vec::new();
        let mut another = Vec::new();
        for path in &self.listing.paths {
            let file = files.iter().find(|file| file.path == *path);
            let why = match file {
                None => "it may not be read".to_owned(),
                Some(FileText { text: None, .. }) => "it is not UTF-8, or too large".to_owned(),
                Some(_) if is_foreign(path) => "somebody else's".to_owned(),
                Some(FileText { text: Some(text), .. }) => match top::look(path, text, &self.lines) {
                    top::Top::Has => {
                        self.had += 1;
                        continue;
                    }
                    top::Top::Leave(why) => why.to_owned(),
                    top::Top::Another(line) => {
                        another.push(format!("{path}: {line}"));
                        format!("it has another header, `{line}`")
                    }
                    top::Top::Lacks { at, text: new } => {
                        let insertion = Splice { start: at, end: at, text: new };
                        edits.extend(splice(path, text, &[insertion]));
                        continue;
                    }
                },
            };
            self.left.push(format!("{path}: {why}"));
        }
        self.edits = Edits::new(edits)?;
        if self.edits.len() == 0 {
            return Err(self.nothing_to_do(another));
        }
        Ok(self.next_edit())
    }

    fn nothing_to_do(&self, another: Vec<String>) -> End {
        if another.is_empty() {
            let left = if self.left.is_empty() {
                String::new()
            } else {
                format!(", {} are left as they are", self.left.len())
            };
            let summary = format!("No file lacks the header: {} it{left}.", has(self.had));
            return End::new(ReasonCode::NoChangeNeeded, summary).with(self.left.iter().take(NAMED).cloned());
        }
        let summary = format!(
            "No file lacks a header: {} this one and {} another of the same kind, which is not replaced.",
            has(self.had),
            has(another.len())
        );
        End::new(ReasonCode::ConflictingRequirements, summary)
            .asking("Is the other header to be removed?")
            .with(another.into_iter().take(NAMED))
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
        let mut summary = format!("Add the header to {}", counted(self.edits.len(), "file", "files"));
        if self.had > 0 {
            summary.push_str(&format!("; {} it already", has(self.had)));
        }
        summary.push_str(&format!(".\n\n```\n{}\n```", self.lines.join("\n")));
        summary.push_str(&listed("Changed:", &self.edits.paths()));
        summary.push_str(&listed("Not changed:", &self.left));
        Ok(Action::Done { summary })
    }
}

fn has(count: usize) -> String {
    format!("{count} {}", if count == 1 { "has" } else { "have" })
}

#[cfg(test)]
mod tests;
