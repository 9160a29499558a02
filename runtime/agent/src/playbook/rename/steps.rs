//! The rename's steps: one action at a time, each weighed before the next.

use std::collections::BTreeMap;

use gloaming_api::ReasonCode;
use gloaming_api::tool::ToolOutcome;
use serde_json::{Value, json};

use super::edit::{Edit, edit, places};
use super::keywords::is_reserved;
use super::{FileIdentifiers, FoundKind, Kind, Recognised, Request, words};
use crate::playbook::form::{Action, End, Event, NAMED, counted, output};

/// The most matching lines `search` returns.
const SEARCH_LIMIT: u64 = 10_000;

/// Extensions of files whose name other files import.
const SOURCES: &[&str] = &["rs", "py", "pyi", "js", "jsx", "mjs", "cjs", "ts", "tsx", "go"];

/// A rename's state.
#[derive(Debug, Clone)]
pub struct Rename {
    request: Request,
    state: State,
    calls: u32,
    /// Where `search` saw the old name, by file: lines.
    mentions: BTreeMap<String, Vec<u64>>,
    /// Where it saw the new one.
    taken: Vec<String>,
    edits: Vec<Edit>,
    /// `path:line: why`, for the summary.
    left: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Fresh,
    /// Waiting for the files that hold the old name.
    SearchingOld,
    /// Waiting for files that go by the old name.
    Listing,
    /// Waiting for the files that hold the new name.
    SearchingNew,
    /// Waiting for identifiers.
    Identifying,
    /// Waiting for an edit.
    Editing(usize),
    /// Waiting for a second look.
    Checking,
    Over,
}

impl Rename {
    /// Says whether a text asks for one rename and nothing else.
    pub fn recognise(text: &str) -> Recognised {
        words::recognise(text)
    }

    /// Makes a rename of every place.
    pub fn new(from: &str, to: &str) -> Self {
        Self::of(Request {
            kind: Kind::Any,
            from: from.into(),
            to: to.into(),
            scope: None,
            everywhere: true,
            code_only: false,
        })
    }

    /// Makes the rename that was recognised.
    pub fn of(request: Request) -> Self {
        Self {
            request,
            state: State::Fresh,
            calls: 0,
            mentions: BTreeMap::new(),
            taken: Vec::new(),
            edits: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Returns what is asked for in a few words: `foo_bar to parse_bar`.
    pub fn describe(&self) -> String {
        let Request { from, to, scope, .. } = &self.request;
        let scope = scope.as_ref().map_or(String::new(), |scope| format!(" in {scope}"));
        format!("{from} to {to}{scope}")
    }

    /// Takes an event and returns what is to be done next: one action, or none for an event that answers
    /// nothing that was asked.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        let state = std::mem::replace(&mut self.state, State::Over);
        let next = match (&state, event) {
            (State::Fresh, Event::Start) => Ok(self.search(&self.request.from.clone(), State::SearchingOld)),
            (State::SearchingOld, Event::ToolDone { outcome, .. }) => self.found_old(&outcome),
            (State::Listing, Event::ToolDone { outcome, .. }) => self.listed(&outcome),
            (State::SearchingNew, Event::ToolDone { outcome, .. }) => self.found_new(&outcome),
            (State::Identifying, Event::Identifiers { files }) => self.identified(&files),
            (State::Editing(index), Event::ToolDone { outcome, .. }) => self.edited(*index, &outcome),
            (State::Checking, Event::Identifiers { files }) => self.checked(&files),
            _ => {
                self.state = state;
                return Vec::new();
            }
        };
        let action = next.unwrap_or_else(|end| {
            self.state = State::Over;
            end.into()
        });
        vec![action]
    }

    fn call(&mut self, name: &str, args: Value, then: State) -> Action {
        self.calls += 1;
        self.state = then;
        Action::CallTool { id: format!("rename-{}", self.calls), name: name.into(), args }
    }

    fn search(&mut self, word: &str, then: State) -> Action {
        let args = json!({
            "pattern": word, "literal": true, "word": true, "hidden": true, "ignored": true, "limit": SEARCH_LIMIT,
        });
        self.call("search", args, then)
    }

    fn found_old(&mut self, outcome: &ToolOutcome) -> Result<Action, End> {
        self.mentions = matches(outcome, &self.request.from)?;
        let from = &self.request.from;
        // Files and folders that go by the name: an import of them is the same word.
        let globs: Vec<String> = SOURCES
            .iter()
            .map(|extension| format!("{from}.{extension}"))
            .chain(SOURCES.iter().map(|extension| format!("**/{from}/**/*.{extension}")))
            .collect();
        let args = json!({"globs": globs, "limit": NAMED});
        Ok(self.call("list", args, State::Listing))
    }

    fn listed(&mut self, outcome: &ToolOutcome) -> Result<Action, End> {
        let output = output(outcome, "list")?;
        let paths: Vec<String> = output
            .get("paths")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|path| path.as_str().map(str::to_owned))
            .filter(|path| !path.ends_with('/'))
            .collect();
        let from = &self.request.from;
        if let Some(first) = paths.first() {
            let summary = format!(
                "`{from}` is also the name of a source file or folder ({first}), and an import of it is the \
                 same word; the playbook cannot tell the two apart."
            );
            let question = format!("Is {first} to keep its name?");
            return Err(End::new(ReasonCode::Underspecified, summary).asking(question).with(paths));
        }
        Ok(self.search(&self.request.to.clone(), State::SearchingNew))
    }

    fn found_new(&mut self, outcome: &ToolOutcome) -> Result<Action, End> {
        self.taken = matches(outcome, &self.request.to)?.into_keys().collect();
        let mut paths: Vec<String> = self.mentions.keys().chain(&self.taken).cloned().collect();
        paths.sort();
        paths.dedup();
        self.state = State::Identifying;
        let Request { from, to, .. } = self.request.clone();
        Ok(Action::FindIdentifiers { from, to, paths })
    }

    fn identified(&mut self, files: &[FileIdentifiers]) -> Result<Action, End> {
        let request = self.request.clone();
        let scope = self.resolve_scope(&request)?;
        let inside = |path: &str| {
            scope.as_deref().is_none_or(|scope| {
                path == scope
                    || path.strip_prefix(scope).is_some_and(|rest| rest.starts_with('/'))
                    || scope == "."
            })
        };
        let in_code = |file: &&FileIdentifiers| file.from.iter().any(|found| found.kind == FoundKind::Code);
        self.refuse_unreadable(files, &inside)?;
        if !files.iter().filter(|file| inside(&file.path)).any(|file| in_code(&file)) {
            return Err(self.nothing_to_rename(files, scope.as_deref()));
        }
        // A variable lives in its file; anything else is also used outside, and half a rename breaks it.
        let outside: Vec<&FileIdentifiers> =
            files.iter().filter(|file| !inside(&file.path)).filter(in_code).collect();
        if let (Some(scope), Some(_), false) = (&scope, outside.first(), request.kind == Kind::Variable) {
            let summary = format!(
                "`{}` is also used outside {scope}, where the task confines the rename.",
                request.from
            );
            let question = format!("Are the uses outside {scope} to be renamed too?");
            let evidence = code_places(&outside, FileIdentifiers::places_of_old);
            return Err(End::new(ReasonCode::Underspecified, summary).asking(question).with(evidence));
        }
        let chosen: Vec<&FileIdentifiers> = files.iter().filter(|file| inside(&file.path)).collect();
        self.refuse_collisions(&request, files, &chosen)?;
        self.refuse_namesakes(&request, &chosen)?;
        for file in files {
            self.plan(&request, file, inside(&file.path))?;
        }
        self.edits.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(self.next_edit(0))
    }

    /// Returns the scope as a path of the workspace: a bare file name is the one file of that name.
    fn resolve_scope(&self, request: &Request) -> Result<Option<String>, End> {
        let Some(scope) = &request.scope else { return Ok(None) };
        let scope = scope.trim_start_matches("./").trim_end_matches('/');
        let within = |path: &String| path == scope || path.starts_with(&format!("{scope}/"));
        if scope.is_empty() || scope == "." {
            return Ok(None);
        }
        if self.mentions.keys().any(within) {
            return Ok(Some(scope.to_owned()));
        }
        let ending = format!("/{scope}");
        let mut candidates: Vec<&String> =
            self.mentions.keys().filter(|path| path.ends_with(&ending)).collect();
        if let (1, Some(only)) = (candidates.len(), candidates.pop()) {
            return Ok(Some(only.clone()));
        }
        let summary = format!("`{}` does not occur in {scope}, where the task looks for it.", request.from);
        Err(End::new(ReasonCode::Underspecified, summary)
            .asking(format!("Which file is meant by {scope}?"))
            .with(self.mentions.keys().take(NAMED).cloned()))
    }

    fn refuse_unreadable(
        &self,
        files: &[FileIdentifiers],
        inside: &impl Fn(&str) -> bool,
    ) -> Result<(), End> {
        let unreadable: Vec<String> = files
            .iter()
            .filter(|file| file.language.is_some() && file.text.is_none())
            .filter(|file| inside(&file.path) && self.mentions.contains_key(&file.path))
            .map(|file| file.path.clone())
            .collect();
        match unreadable.first() {
            None => Ok(()),
            Some(first) => {
                let summary = format!(
                    "{first} holds `{}` but is too large or not UTF-8, so the rename could not be whole.",
                    self.request.from
                );
                Err(End::new(ReasonCode::OutOfScope, summary).with(unreadable))
            }
        }
    }

    fn nothing_to_rename(&self, files: &[FileIdentifiers], scope: Option<&str>) -> End {
        let Request { from, to, .. } = &self.request;
        let done: Vec<&FileIdentifiers> =
            files.iter().filter(|file| file.to.iter().any(|found| found.kind == FoundKind::Code)).collect();
        let place = scope.map_or(String::new(), |scope| format!(" in {scope}"));
        if self.mentions.is_empty() && !done.is_empty() {
            let summary = format!("`{from}` occurs nowhere and `{to}` does: the rename is already done.");
            return End::new(ReasonCode::NoChangeNeeded, summary)
                .with(code_places(&done, FileIdentifiers::places_of_new));
        }
        let summary = if self.mentions.is_empty() {
            format!("`{from}` occurs nowhere as a whole word: there is nothing to rename.")
        } else {
            format!(
                "`{from}` occurs{place} only in text, comments or files of unknown languages, not in code."
            )
        };
        let evidence = self.mentions.iter().map(|(path, lines)| named(path, lines)).take(NAMED);
        End::new(ReasonCode::Underspecified, summary)
            .asking(format!("Which identifier is meant by `{from}`?"))
            .with(evidence)
    }

    fn refuse_collisions(
        &self,
        request: &Request,
        files: &[FileIdentifiers],
        chosen: &[&FileIdentifiers],
    ) -> Result<(), End> {
        // A variable's name may be in use elsewhere; of anything else every file could see both.
        let all: Vec<&FileIdentifiers> = files.iter().collect();
        let seen = if request.kind == Kind::Variable && request.scope.is_some() { chosen } else { &all };
        let taken = code_places(seen, FileIdentifiers::places_of_new);
        if let Some(first) = taken.first() {
            let summary = format!("`{}` is already in use ({first}); the two would become one.", request.to);
            return Err(End::new(ReasonCode::ConflictingRequirements, summary)
                .asking(format!("What is `{}` to be called instead?", request.from))
                .with(taken));
        }
        for file in chosen.iter().filter(|file| !file.from.is_empty()) {
            let Some(language) = &file.language else { continue };
            for (word, what) in [(&request.to, "nothing can be called it"), (&request.from, "it is no name")]
            {
                if is_reserved(language, word) {
                    let summary =
                        format!("`{word}` is a reserved word of {language} ({}): {what}.", file.path);
                    return Err(End::new(ReasonCode::ConflictingRequirements, summary)
                        .asking(format!("What is `{}` to be called?", request.from)));
                }
            }
        }
        Ok(())
    }

    /// Refuses a name that several things go by, unless the task says that every place is meant.
    fn refuse_namesakes(&self, request: &Request, chosen: &[&FileIdentifiers]) -> Result<(), End> {
        if request.everywhere || request.kind == Kind::Variable {
            return Ok(());
        }
        let mut things: BTreeMap<(&str, &str), String> = BTreeMap::new();
        for file in chosen {
            for definition in &file.definitions {
                let container = definition.container.as_deref().unwrap_or("");
                // Several declarations in one place are variants of one thing: overloads, platforms.
                things.entry((&file.path, container)).or_insert_with(|| {
                    let container =
                        if container.is_empty() { String::new() } else { format!(" in {container}") };
                    format!("{}:{}{container}", file.path, definition.line)
                });
            }
        }
        if things.len() < 2 {
            return Ok(());
        }
        let places: Vec<String> = things.into_values().take(NAMED).collect();
        let summary = format!("`{}` names several things: {}.", request.from, places.join(", "));
        let end = End::new(ReasonCode::Underspecified, summary)
            .asking(format!("Which `{}` is meant? Say `everywhere` for all of them.", request.from))
            .with(places);
        // A task that is confined to a place cannot say so.
        let confined = request.scope.is_some();
        Err(if confined {
            end
        } else {
            end.instead(format!("Rename `{}` to `{}` everywhere", request.from, request.to))
        })
    }

    fn plan(&mut self, request: &Request, file: &FileIdentifiers, inside: bool) -> Result<(), End> {
        let Some(lines) = self.mentions.get(&file.path) else { return Ok(()) };
        if file.language.is_none() {
            self.left.push(format!("{}: not source code", named(&file.path, lines)));
            return Ok(());
        }
        if !inside {
            self.left.push(format!("{}: outside the task's scope", named(&file.path, lines)));
            return Ok(());
        }
        let places = places(file, request);
        for found in &places.leave {
            let within = if found.kind == FoundKind::Comment { "a comment" } else { "a string" };
            self.left.push(format!("{}:{}: in {within}", file.path, found.line));
        }
        if !places.change.is_empty() {
            let edit = edit(file, &places, request).map_err(|what| End::new(ReasonCode::Stuck, what))?;
            self.edits.push(edit);
        }
        Ok(())
    }

    fn next_edit(&mut self, index: usize) -> Action {
        match self.edits.get(index).cloned() {
            Some(edit) => self.call(edit.tool, edit.args, State::Editing(index)),
            None => {
                self.state = State::Checking;
                let paths = self.edits.iter().map(|edit| edit.path.clone()).collect();
                let Request { from, to, .. } = self.request.clone();
                Action::FindIdentifiers { from, to, paths }
            }
        }
    }

    fn edited(&mut self, index: usize, outcome: &ToolOutcome) -> Result<Action, End> {
        let tool = self.edits.get(index).map_or("patch", |edit| edit.tool);
        output(outcome, tool)?;
        Ok(self.next_edit(index + 1))
    }

    /// Nothing is done because a tool said so: every file has to be what it was to become.
    fn checked(&mut self, files: &[FileIdentifiers]) -> Result<Action, End> {
        for edit in &self.edits {
            let now = files.iter().find(|file| file.path == edit.path).and_then(|file| file.text.as_deref());
            if now != Some(edit.after.as_str()) {
                let summary = format!("{} is not what the rename was to make of it.", edit.path);
                return Err(End::new(ReasonCode::Stuck, summary));
            }
        }
        self.state = State::Over;
        Ok(Action::Done { summary: self.summary() })
    }

    fn summary(&self) -> String {
        let Request { from, to, .. } = &self.request;
        let sum = |count: fn(&Edit) -> u32| self.edits.iter().map(count).sum::<u32>();
        let (code, comments) = (sum(|edit| edit.code), sum(|edit| edit.comments));
        let mut text = format!(
            "Rename `{from}` to `{to}`: {}",
            counted(code as usize, "place in code", "places in code")
        );
        if comments > 0 {
            text.push_str(&format!(", {comments} in comments"));
        }
        text.push_str(&format!(", {}.\n", counted(self.edits.len(), "file", "files")));
        for edit in &self.edits {
            text.push_str(&format!("\n- {}: {}", edit.path, edit.code + edit.comments));
        }
        if !self.left.is_empty() {
            text.push_str("\n\nNot changed:\n");
            for place in self.left.iter().take(NAMED) {
                text.push_str(&format!("\n- {place}"));
            }
            if self.left.len() > NAMED {
                text.push_str(&format!("\n- and {} more", self.left.len() - NAMED));
            }
        }
        text
    }
}

impl FileIdentifiers {
    fn places_of_old(&self) -> Vec<u32> {
        self.from.iter().filter(|found| found.kind == FoundKind::Code).map(|found| found.line).collect()
    }

    fn places_of_new(&self) -> Vec<u32> {
        self.to.iter().filter(|found| found.kind == FoundKind::Code).map(|found| found.line).collect()
    }
}

fn code_places(files: &[&FileIdentifiers], lines: fn(&FileIdentifiers) -> Vec<u32>) -> Vec<String> {
    files
        .iter()
        .flat_map(|file| lines(file).into_iter().map(|line| format!("{}:{line}", file.path)))
        .take(NAMED)
        .collect()
}

fn named(path: &str, lines: &[u64]) -> String {
    let more = if lines.len() > 1 { format!(" and {} more", lines.len() - 1) } else { String::new() };
    format!("{path}:{}{more}", lines.first().unwrap_or(&0))
}

/// Reads the files and lines of a search.
fn matches(outcome: &ToolOutcome, word: &str) -> Result<BTreeMap<String, Vec<u64>>, End> {
    let output = output(outcome, "search")?;
    if output.get("truncated").and_then(Value::as_bool).unwrap_or(false) {
        let summary = format!(
            "`{word}` occurs on more than {SEARCH_LIMIT} lines; a change of that size is more than one review can hold."
        );
        return Err(End::new(ReasonCode::TooLarge, summary));
    }
    let mut files: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for found in output.get("matches").and_then(Value::as_array).into_iter().flatten() {
        if let Some(path) = found.get("path").and_then(Value::as_str) {
            let line = found.get("line").and_then(Value::as_u64).unwrap_or(0);
            files.entry(path.to_owned()).or_default().push(line);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
