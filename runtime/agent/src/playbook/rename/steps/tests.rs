//! Whole renames against a small repository in memory, as transcripts.

use std::collections::BTreeMap;

use gloaming_api::tool::{ToolError, ToolErrorCode};

use super::*;
use crate::playbook::rename::{Definition, Found};

/// Files in memory, with tools that answer as the real ones do.
struct Repo {
    files: BTreeMap<&'static str, String>,
    definitions: Vec<(&'static str, u32, Option<&'static str>)>,
    story: Vec<String>,
}

impl Repo {
    fn new(files: &[(&'static str, &str)]) -> Self {
        Self {
            files: files.iter().map(|(path, text)| (*path, (*text).to_owned())).collect(),
            definitions: Vec::new(),
            story: Vec::new(),
        }
    }

    /// Runs a rename to its end and returns that.
    fn run(&mut self, text: &str) -> Action {
        let Recognised::Yes(request) = Rename::recognise(text) else { panic!("{text}") };
        let mut rename = Rename::of(request);
        let mut event = Event::Start;
        for _ in 0..50 {
            let mut actions = rename.step(event);
            assert_eq!(actions.len(), 1, "one action at a time");
            event = match actions.remove(0) {
                Action::CallTool { id, name, args } => {
                    let outcome = self.call(&name, &args);
                    Event::ToolDone { id, outcome }
                }
                Action::FindIdentifiers { from, to, paths } => {
                    self.story.push(format!("find {from}, {to} in {}", paths.join(" ")));
                    Event::Identifiers { files: paths.iter().map(|p| self.identify(p, &from, &to)).collect() }
                }
                end => {
                    assert_eq!(rename.step(Event::Start), [], "the end is the end");
                    return end;
                }
            };
        }
        panic!("no end: {:?}", self.story);
    }

    fn call(&mut self, name: &str, args: &Value) -> ToolOutcome {
        let text = |key: &str| args[key].as_str().unwrap_or("").to_owned();
        match name {
            "search" => {
                self.story.push(format!("search {}", text("pattern")));
                let mut found = Vec::new();
                for (path, content) in &self.files {
                    for (line, content) in content.lines().enumerate() {
                        if !words(content, &text("pattern")).is_empty() {
                            found.push(json!({"path": path, "line": line + 1}));
                        }
                    }
                }
                ToolOutcome::ok(json!({"matches": found, "truncated": false}))
            }
            "list" => {
                self.story.push("list".into());
                let globs: Vec<&str> =
                    args["globs"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
                let named = |path: &&&str| {
                    globs.iter().any(|glob| match glob.strip_prefix("**/") {
                        Some(glob) => {
                            let (folder, extension) = glob.split_once("/**/*").unwrap();
                            path.ends_with(extension)
                                && path.split('/').rev().skip(1).any(|part| part == folder)
                        }
                        None => path.rsplit('/').next() == Some(glob),
                    })
                };
                let paths: Vec<&&str> = self.files.keys().filter(named).collect();
                ToolOutcome::ok(json!({"paths": paths, "truncated": false}))
            }
            "write" => {
                self.story.push(format!("write {}", text("path")));
                let content = self.files.get_mut(text("path").as_str()).unwrap();
                *content = text("content");
                ToolOutcome::ok(json!({}))
            }
            "patch" => {
                let patch = text("patch");
                let path = patch.lines().nth(1).unwrap().strip_prefix("*** Update File: ").unwrap();
                self.story.push(format!("patch {path}"));
                if path.starts_with("locked/") {
                    let mut error =
                        ToolError::new(ToolErrorCode::Denied, format!("{path} may not be written"));
                    error.rule = Some("keep-locked".into());
                    return ToolOutcome::error(error);
                }
                let content = self.files.get_mut(path).unwrap();
                if !path.starts_with("lying/") {
                    *content = crate::playbook::splice::tests::apply(content, &patch);
                }
                ToolOutcome::ok(json!({}))
            }
            other => panic!("{other}"),
        }
    }

    fn identify(&self, path: &str, from: &str, to: &str) -> FileIdentifiers {
        let text = &self.files[path];
        let language = match path.rsplit('.').next() {
            Some("py") => Some("python"),
            Some("rs") => Some("rust"),
            _ => None,
        };
        let find = |word| if language.is_some() { occurrences(text, word) } else { Vec::new() };
        let definitions = self.definitions.iter().filter(|(file, ..)| *file == path);
        FileIdentifiers {
            path: path.into(),
            language: language.map(str::to_owned),
            text: (!text.contains('\u{fffd}')).then(|| text.clone()),
            from: find(from),
            to: find(to),
            definitions: definitions
                .map(|(_, line, container)| Definition {
                    line: *line,
                    container: container.map(str::to_owned),
                })
                .collect(),
        }
    }
}

fn words(text: &str, word: &str) -> Vec<usize> {
    let inner = |c: Option<char>| c.is_some_and(|c| c == '_' || c.is_alphanumeric());
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| {
            !inner(text[..*at].chars().next_back()) && !inner(text[at + word.len()..].chars().next())
        })
        .collect()
}

/// A line's part behind `#` or `//` is a comment, what stands in quotes a string.
fn occurrences(text: &str, word: &str) -> Vec<Found> {
    let kind = |at: usize| {
        let line = text[..at].rsplit('\n').next().unwrap_or("");
        if line.contains('#') || line.contains("//") {
            FoundKind::Comment
        } else if line.matches('"').count() % 2 == 1 {
            FoundKind::String
        } else {
            FoundKind::Code
        }
    };
    words(text, word)
        .into_iter()
        .map(|start| Found {
            start,
            end: start + word.len(),
            line: text[..start].matches('\n').count() as u32 + 1,
            kind: kind(start),
        })
        .collect()
}

fn end(action: &Action) -> (ReasonCode, &str, &[String], &[String]) {
    match action {
        Action::BowOut { code, summary, questions, evidence, .. } => (*code, summary, questions, evidence),
        other => panic!("{other:?}"),
    }
}

const TASK: &str = "Rename the function foo_bar to parse_bar";

#[test]
fn a_rename_across_files() {
    let mut repo = Repo::new(&[
        ("README.md", "Call `foo_bar`.\nOr foo_bar().\n"),
        ("src/a.py", "def foo_bar(x):\n    \"\"\"Not foo_bar2.\"\"\"\n    return x  # foo_bar\n"),
        ("src/b.py", "from a import foo_bar\n\nfoo_bar(foo_bar_baz)\nkey = \"foo_bar\"\n"),
        ("src/c.py", "unrelated = 1\n"),
    ]);
    let Action::Done { summary } = repo.run(TASK) else { panic!() };
    assert_eq!(
        repo.story,
        [
            "search foo_bar",
            "list",
            "search parse_bar",
            "find foo_bar, parse_bar in README.md src/a.py src/b.py",
            "patch src/a.py",
            "patch src/b.py",
            "find foo_bar, parse_bar in src/a.py src/b.py",
        ]
    );
    assert_eq!(
        summary,
        "Rename `foo_bar` to `parse_bar`: 3 places in code, 1 in comments, 2 files.\n\n\
         - src/a.py: 2\n- src/b.py: 2\n\n\
         Not changed:\n\n- README.md:1 and 1 more: not source code\n- src/b.py:4: in a string"
    );
    assert_eq!(
        repo.files["src/b.py"],
        "from a import parse_bar\n\nparse_bar(foo_bar_baz)\nkey = \"foo_bar\"\n"
    );
    assert_eq!(repo.files["README.md"], "Call `foo_bar`.\nOr foo_bar().\n");
}

#[test]
fn a_name_that_is_taken_is_refused_with_its_places() {
    let mut repo =
        Repo::new(&[("a.py", "def foo_bar(): pass\n"), ("b.py", "# parse_bar\nx = 1\nparse_bar = 2\n")]);
    let action = repo.run(TASK);
    assert_eq!(
        end(&action),
        (
            ReasonCode::ConflictingRequirements,
            "`parse_bar` is already in use (b.py:3); the two would become one.",
            &["What is `foo_bar` to be called instead?".to_owned()][..],
            &["b.py:3".to_owned()][..]
        )
    );
    let mut repo = Repo::new(&[("a.py", "def foo_bar(): pass\n"), ("b.py", "# parse_bar, some day\n")]);
    assert!(matches!(repo.run(TASK), Action::Done { .. }), "a comment is no use of a name");
}

#[test]
fn a_name_that_is_nowhere_in_code_is_no_work() {
    let run = |files: &[(&'static str, &str)]| {
        let action = Repo::new(files).run(TASK);
        let (code, summary, ..) = end(&action);
        format!("{}: {summary}", code.as_str())
    };
    assert_eq!(
        run(&[("a.py", "x = 1\n")]),
        "underspecified: `foo_bar` occurs nowhere as a whole word: there is nothing to rename."
    );
    assert_eq!(
        run(&[("a.py", "def parse_bar(): pass\n")]),
        "no_change_needed: `foo_bar` occurs nowhere and `parse_bar` does: the rename is already done."
    );
    assert_eq!(
        run(&[("a.py", "# foo_bar\n"), ("b.md", "foo_bar\n")]),
        "underspecified: `foo_bar` occurs only in text, comments or files of unknown languages, not in code."
    );
}

#[test]
fn a_file_of_the_same_name_is_refused() {
    for path in ["src/foo_bar.py", "foo_bar/mod.rs", "x/foo_bar/y.py"] {
        let mut repo = Repo::new(&[("a.py", "import foo_bar\n"), (path, "x = 1\n")]);
        let action = repo.run(TASK);
        let (code, summary, _, evidence) = end(&action);
        assert_eq!(code, ReasonCode::Underspecified);
        assert!(summary.contains(path), "{summary}");
        assert_eq!(evidence, [path]);
    }
    let mut repo = Repo::new(&[("a.py", "def foo_bar(): pass\n"), ("data/foo_bar.json", "{}\n")]);
    assert!(matches!(repo.run(TASK), Action::Done { .. }), "no source file");
}

#[test]
fn several_things_of_one_name_need_the_word_everywhere() {
    let files = [("a.py", "def foo_bar(): pass\n"), ("b.py", "def foo_bar(): pass\n")];
    let mut repo = Repo::new(&files);
    repo.definitions = vec![("a.py", 1, None), ("b.py", 1, None)];
    let action = repo.run(TASK);
    assert_eq!(
        end(&action),
        (
            ReasonCode::Underspecified,
            "`foo_bar` names several things: a.py:1, b.py:1.",
            &["Which `foo_bar` is meant? Say `everywhere` for all of them.".to_owned()][..],
            &["a.py:1".to_owned(), "b.py:1".to_owned()][..]
        )
    );
    // What it names instead is a task of its own.
    let Action::BowOut { instead, .. } = action else { panic!() };
    assert_eq!(instead, ["Rename `foo_bar` to `parse_bar` everywhere"]);
    assert!(matches!(Rename::recognise(&instead[0]), Recognised::Yes(request) if request.everywhere));
    let mut repo = Repo::new(&files);
    repo.definitions = vec![("a.py", 1, None), ("b.py", 1, None)];
    assert!(matches!(repo.run(&format!("{TASK} everywhere")), Action::Done { .. }));
    let mut repo = Repo::new(&files);
    repo.definitions = vec![("a.py", 1, None), ("a.py", 5, None)];
    assert!(matches!(repo.run(TASK), Action::Done { .. }), "variants of one thing");
    let mut repo = Repo::new(&files);
    repo.definitions = vec![("a.py", 1, Some("A")), ("a.py", 5, Some("B"))];
    assert_eq!(end(&repo.run(TASK)).0, ReasonCode::Underspecified, "methods of two classes");
}

#[test]
fn a_scope_confines_a_variable_and_questions_the_rest() {
    let files = [("src/a.py", "foo_bar = 1\n"), ("src/b.py", "foo_bar = 2\n")];
    let mut repo = Repo::new(&files);
    let action = repo.run("Rename the function foo_bar to parse_bar in src/a.py");
    let (code, summary, questions, evidence) = end(&action);
    assert_eq!(code, ReasonCode::Underspecified);
    assert_eq!(summary, "`foo_bar` is also used outside src/a.py, where the task confines the rename.");
    assert_eq!(questions, ["Are the uses outside src/a.py to be renamed too?"]);
    assert_eq!(evidence, ["src/b.py:1"]);

    let mut repo = Repo::new(&files);
    let Action::Done { summary } = repo.run("Rename the variable foo_bar to parse_bar in a.py") else {
        panic!()
    };
    assert_eq!(repo.files["src/a.py"], "parse_bar = 1\n");
    assert_eq!(repo.files["src/b.py"], "foo_bar = 2\n");
    assert!(summary.ends_with("- src/b.py:1: outside the task's scope"), "{summary}");

    let mut repo = Repo::new(&files);
    let action = repo.run("Rename the variable foo_bar to parse_bar in lib/");
    assert_eq!(end(&action).1, "`foo_bar` does not occur in lib, where the task looks for it.");
}

#[test]
fn reserved_words_are_decided_by_the_files() {
    let mut repo = Repo::new(&[("a.py", "def foo_bar(): pass\n")]);
    assert!(matches!(repo.run("Rename foo_bar to match"), Action::Done { .. }));
    let mut repo = Repo::new(&[("a.rs", "fn foo_bar() {}\n")]);
    let action = repo.run("Rename foo_bar to match");
    assert_eq!(end(&action).1, "`match` is a reserved word of rust (a.rs): nothing can be called it.");
}

#[test]
fn a_refused_edit_ends_it_with_the_rule() {
    let mut repo = Repo::new(&[("locked/a.py", "def foo_bar(): pass\n")]);
    let action = repo.run(TASK);
    let (code, summary, _, evidence) = end(&action);
    assert_eq!(code, ReasonCode::PolicyBlocked);
    assert_eq!(summary, "`patch` was refused or failed: locked/a.py may not be written (rule keep-locked)");
    assert_eq!(evidence, ["locked/a.py may not be written (rule keep-locked)"]);
}

#[test]
fn a_tool_that_says_ok_and_did_nothing_is_found_out() {
    let mut repo = Repo::new(&[("lying/a.py", "def foo_bar(): pass\n")]);
    let action = repo.run(TASK);
    assert_eq!(end(&action).0, ReasonCode::Stuck);
    assert_eq!(end(&action).1, "lying/a.py is not what the rename was to make of it.");
}

#[test]
fn source_that_cannot_be_read_as_text_is_not_half_renamed() {
    let mut repo = Repo::new(&[("a.py", "def foo_bar(): pass\n"), ("b.py", "foo_bar = \"\u{fffd}\"\n")]);
    let action = repo.run(TASK);
    assert_eq!(end(&action).0, ReasonCode::OutOfScope);
    assert_eq!(end(&action).3, ["b.py"]);
}

#[test]
fn too_many_places_are_too_large() {
    let mut rename = Rename::new("foo", "bar");
    rename.step(Event::Start);
    let outcome = ToolOutcome::ok(json!({"matches": [], "truncated": true}));
    let actions = rename.step(Event::ToolDone { id: "rename-1".into(), outcome });
    assert_eq!(end(&actions[0]).0, ReasonCode::TooLarge);
}

#[test]
fn events_that_answer_nothing_are_passed_over() {
    let mut rename = Rename::new("foo", "bar");
    assert_eq!(rename.step(Event::Identifiers { files: vec![] }), []);
    assert_eq!(rename.step(Event::Start).len(), 1);
    assert_eq!(rename.step(Event::Start), []);
    let outcome = ToolOutcome { ok: true, output: None, error: None, note: None };
    let actions = rename.step(Event::ToolDone { id: "rename-1".into(), outcome });
    assert_eq!(end(&actions[0]).0, ReasonCode::Stuck, "an answer without content");
}
