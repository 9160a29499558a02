//! A repository in memory for the playbooks' tests, with tools that answer as the real ones do.

use std::collections::BTreeMap;

use gloaming_api::tool::{ToolError, ToolErrorCode, ToolOutcome};
use serde_json::{Value, json};

use super::files::FileText;
use super::{Action, Choice, Event, FileMatches, LanguageFault, choose, splice};

/// Files in memory. One below `locked/` may not be written, one below `lying/` is never changed, whatever a tool says.
pub(super) struct Repo {
    pub(super) files: BTreeMap<String, String>,
    pub(super) story: Vec<String>,
    /// What a tool's fixes made.
    pub(super) fixes: Option<ToolOutcome>,
    /// What a package manager answers to a command, and to what its lockfile is.
    pub(super) manager: fn(&[String], &str) -> ToolOutcome,
    /// What the operator has of an advisory: files with their texts.
    pub(super) advisories: Vec<(&'static str, String)>,
    /// What matches in a file.
    pub(super) matcher: fn(&str, &str) -> Result<FileMatches, LanguageFault>,
}

impl Repo {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Self {
            files,
            story: Vec::new(),
            fixes: None,
            manager: |argv, _| panic!("nothing is run like {argv:?}"),
            advisories: Vec::new(),
            matcher: |path, _| panic!("nothing is matched in {path}"),
        }
    }

    /// Runs the playbook of a text to its end and returns that: its summary, or the code, the summary, the questions and
    /// the evidence.
    pub(super) fn run(&mut self, text: &str) -> String {
        let Choice::Playbook(mut playbook) = choose(text) else { panic!("no playbook takes {text}") };
        let mut event = Event::Start;
        for _ in 0..50 {
            let mut actions = playbook.step(event);
            assert_eq!(actions.len(), 1, "one action at a time");
            event = match actions.remove(0) {
                Action::CallTool { id, name, args } => {
                    Event::ToolDone { id, outcome: self.call(&name, &args) }
                }
                Action::Read { paths } => {
                    self.story.push(format!("read {} files", paths.len()));
                    Event::Files { files: paths.iter().map(|path| self.read(path)).collect() }
                }
                Action::Fix { id, kind } => {
                    self.story.push(format!("fix {}", kind.as_str()));
                    Event::ToolDone { id, outcome: self.fixes.clone().unwrap() }
                }
                Action::Lock { id, argv, path } => {
                    self.story.push(format!("lock {path}: {}", argv.join(" ")));
                    let outcome = (self.manager)(&argv, &self.files[&path]);
                    Event::ToolDone { id, outcome }
                }
                Action::Place { id, path, content } => {
                    self.story.push(format!("place {path}"));
                    self.files.insert(path, content);
                    Event::ToolDone { id, outcome: ToolOutcome::ok(json!({})) }
                }
                Action::LookUp { id, advisory } => {
                    self.story.push(format!("look up {advisory}"));
                    let found = |(file, text): &(&str, String)| json!({"file": file, "digest": "sha256:00", "text": text});
                    let files: Vec<Value> = self.advisories.iter().map(found).collect();
                    let outcome = match files.as_slice() {
                        [] => ToolOutcome::error(ToolError::new(ToolErrorCode::NotFound, "there are none")),
                        _ => ToolOutcome::ok(json!({"files": files})),
                    };
                    Event::ToolDone { id, outcome }
                }
                Action::Match { pattern, paths, .. } => {
                    self.story.push(format!("match {pattern} in {} files", paths.len()));
                    let (mut faults, mut files) = (Vec::new(), Vec::new());
                    for path in &paths {
                        match (self.matcher)(path, &self.files[path]) {
                            Ok(file) => files.push(file),
                            Err(fault) => faults.push(fault),
                        }
                    }
                    Event::Matched { faults, files }
                }
                Action::Done { summary } => return format!("done: {summary}"),
                Action::BowOut { code, summary, questions, evidence, .. } => {
                    assert_eq!(playbook.step(Event::Start), [], "the end is the end");
                    return format!(
                        "{}: {summary} | {} | {}",
                        code.as_str(),
                        questions.join("; "),
                        evidence.join("; ")
                    );
                }
                other => panic!("{other:?}"),
            };
        }
        panic!("no end: {:?}", self.story);
    }

    fn read(&self, path: &str) -> FileText {
        let text = self.files[path].clone();
        FileText { path: path.to_owned(), text: (!text.contains('\u{fffd}')).then_some(text) }
    }

    fn call(&mut self, name: &str, args: &Value) -> ToolOutcome {
        let path = match name {
            "list" => {
                self.story.push("list".into());
                let globs: Vec<&str> =
                    args["globs"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
                let named = |path: &&String| globs.iter().any(|glob| path.ends_with(&glob[1..]));
                let paths: Vec<&String> = self.files.keys().filter(named).collect();
                return ToolOutcome::ok(json!({"paths": paths, "truncated": false, "next": null}));
            }
            "patch" => {
                let line = args["patch"].as_str().unwrap().lines().nth(1).unwrap();
                line.strip_prefix("*** Update File: ").unwrap().to_owned()
            }
            "write" => args["path"].as_str().unwrap().to_owned(),
            other => panic!("{other}"),
        };
        self.story.push(format!("{name} {path}"));
        if path.starts_with("locked/") {
            let mut error = ToolError::new(ToolErrorCode::Denied, format!("{path} may not be written"));
            error.rule = Some("keep-locked".into());
            return ToolOutcome::error(error);
        }
        if !path.starts_with("lying/") {
            let before = &self.files[&path];
            let after = match args["patch"].as_str() {
                Some(patch) => splice::tests::apply(before, patch),
                None => args["content"].as_str().unwrap().to_owned(),
            };
            self.files.insert(path, after);
        }
        ToolOutcome::ok(json!({}))
    }
}
