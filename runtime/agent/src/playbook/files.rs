//! What playbooks that go through many files have in common: listing them, and changing them one by one.

use gloaming_api::ReasonCode;
use gloaming_api::tool::ToolOutcome;
use serde_json::{Value, json};

use super::form::{End, NAMED, counted, output};
use super::languages::Row;
use super::splice::Spliced;

/// The most files that are looked through.
const MOST_FILES: usize = 20_000;
/// The most that are changed.
const MOST_CHANGED: usize = 1_000;
/// The most paths that `list` returns at once.
const PAGE: u64 = 5_000;

/// Folders whose files are somebody else's.
const FOREIGN: &[&str] = &["vendor", "third_party", "node_modules"];

/// Whether a file is a copy of somebody else's.
pub(super) fn is_foreign(path: &str) -> bool {
    path.split('/').any(|part| FOREIGN.contains(&part))
}

/// Whether a file says which versions of dependencies are used: tools write it again on their way to something else.
pub(super) fn is_lockfile(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.ends_with(".lock") || matches!(name, "package-lock.json" | "pnpm-lock.yaml" | "bun.lockb" | "go.sum")
}

/// One file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileText {
    /// The file.
    pub path: String,
    /// Its text; none when it is not UTF-8 or too large.
    pub text: Option<String>,
}

/// Files of some languages, page by page.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    globs: Vec<String>,
    scope: Option<String>,
    pub(super) paths: Vec<String>,
}

impl Listing {
    pub(super) fn of(languages: &[&'static Row], scope: Option<String>) -> Self {
        let extensions = languages.iter().flat_map(|language| language.extensions.split(' '));
        Self { globs: extensions.map(|end| format!("*.{end}")).collect(), scope, paths: Vec::new() }
    }

    /// Files by what their names are like.
    pub(super) fn named(globs: &[&str], scope: Option<String>) -> Self {
        Self { globs: globs.iter().map(|glob| (*glob).to_owned()).collect(), scope, paths: Vec::new() }
    }

    /// The file or folder that they are in; none for everywhere.
    pub(super) fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Returns the arguments of the first call of `list`. The workspace holds what git has: what is ignored there is
    /// somebody's all the same.
    pub(super) fn first(&self) -> Value {
        json!({"globs": self.globs, "hidden": true, "ignored": true, "limit": PAGE})
    }

    /// Takes a page; returns the arguments of the next call, where there is more.
    pub(super) fn take(&mut self, outcome: &ToolOutcome) -> Result<Option<Value>, End> {
        let output = output(outcome, "list")?;
        let paths = output.get("paths").and_then(Value::as_array).into_iter().flatten();
        let inside = |path: &&str| {
            self.scope.as_deref().is_none_or(|scope| {
                *path == scope || path.strip_prefix(scope).is_some_and(|rest| rest.starts_with('/'))
            })
        };
        let found: Vec<String> = paths
            .filter_map(Value::as_str)
            .filter(inside)
            .filter(|path| !path.ends_with('/'))
            .map(str::to_owned)
            .collect();
        self.paths.extend(found);
        if self.paths.len() > MOST_FILES {
            let summary =
                format!("There are more than {MOST_FILES} such files, which is more than is looked through.");
            return Err(End::new(ReasonCode::TooLarge, summary).asking("Which folder is meant?"));
        }
        Ok(output.get("next").and_then(Value::as_str).map(|cursor| {
            let mut args = self.first();
            args["cursor"] = json!(cursor);
            args
        }))
    }
}

/// Changes of files, one by one, and a second look at them.
#[derive(Debug, Clone, Default)]
pub(super) struct Edits {
    all: Vec<Spliced>,
    at: usize,
}

impl Edits {
    pub(super) fn new(all: Vec<Spliced>) -> Result<Self, End> {
        if all.len() > MOST_CHANGED {
            let summary = format!(
                "{} files would change; at most {MOST_CHANGED} do at once: a change of that size is more than one review can hold.",
                all.len()
            );
            return Err(End::new(ReasonCode::TooLarge, summary).asking("Which folder is to come first?"));
        }
        Ok(Self { all, at: 0 })
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.all.iter().map(|edit| edit.path.clone()).collect()
    }

    /// Returns the next call.
    pub(super) fn next(&mut self) -> Option<(&'static str, Value)> {
        let edit = self.all.get(self.at)?;
        self.at += 1;
        Some((edit.tool, edit.args.clone()))
    }

    /// Takes the answer of the last call.
    pub(super) fn took(&self, outcome: &ToolOutcome) -> Result<(), End> {
        let tool = self.at.checked_sub(1).and_then(|at| self.all.get(at)).map_or("patch", |edit| edit.tool);
        output(outcome, tool).map(|_| ())
    }

    /// Nothing is done because a tool said so: every file has to be what it was to become.
    pub(super) fn check(&self, files: &[FileText]) -> Result<(), End> {
        for edit in &self.all {
            let now = files.iter().find(|file| file.path == edit.path).and_then(|file| file.text.as_deref());
            if now != Some(edit.after.as_str()) {
                let summary = format!("{} is not what the playbook was to make of it.", edit.path);
                return Err(End::new(ReasonCode::Stuck, summary));
            }
        }
        Ok(())
    }
}

/// Returns lines for a summary under a heading, at most twenty; nothing for none.
pub(super) fn listed(heading: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut text = format!("\n\n{heading}\n");
    for line in lines.iter().take(NAMED) {
        text.push_str(&format!("\n- {line}"));
    }
    if lines.len() > NAMED {
        text.push_str(&format!("\n- and {}", counted(lines.len() - NAMED, "other", "others")));
    }
    text
}
