//! Has the repository's own linter or formatter fix what it can, without a model.
//!
//! What it does: has the profile's command run in its fixing form as a job, and writes what it made of the repository's files
//! through the tools, so that the policy's rules for writing hold. What it does not: fix what the tool has no fix for.

mod words;

use gloaming_api::ReasonCode;
use gloaming_api::profile::CommandKind;
use gloaming_api::tool::{ToolErrorCode, ToolOutcome};
use serde_json::{Value, json};

use super::files::{Edits, FileText, is_foreign, is_lockfile, listed};
use super::form::{Action, End, Event, NAMED, counted, output};
use super::splice::Spliced;

pub(super) use words::fit;

/// A tool's fixes, on their way.
#[derive(Debug, Clone)]
pub struct LintFix {
    /// Which command's: of the linter or the formatter.
    kind: CommandKind,
    /// The tool that the task names; none where it does not.
    tool: Option<String>,
    state: State,
    calls: u32,
    edits: Edits,
    command: String,
    ended: String,
    /// Whether the tool found nothing that is left.
    content: bool,
    /// `path: why`.
    left: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Fresh,
    Fixing,
    Editing,
    Checking,
    Over,
}

impl LintFix {
    fn new(kind: CommandKind, tool: Option<String>) -> Self {
        Self {
            kind,
            tool,
            state: State::Fresh,
            calls: 0,
            edits: Edits::default(),
            command: String::new(),
            ended: String::new(),
            content: false,
            left: Vec::new(),
        }
    }

    /// Returns what is asked for in a few words.
    pub(super) fn describe(&self) -> String {
        let tool = self.tool.as_ref().map_or(String::new(), |tool| format!(" with {tool}"));
        match self.kind {
            CommandKind::Format => format!("the formatting{tool}"),
            _ => format!("the linter's findings{tool}"),
        }
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        let next = match (&self.state, event) {
            (State::Fresh, Event::Start) => {
                self.state = State::Fixing;
                Ok(Action::Fix { id: self.id(), kind: self.kind })
            }
            (State::Fixing, Event::ToolDone { outcome, .. }) => self.fixed(&outcome),
            (State::Editing, Event::ToolDone { outcome, .. }) => self.edited(&outcome),
            (State::Checking, Event::Files { files }) => self.checked(&files),
            _ => return Vec::new(),
        };
        vec![next.unwrap_or_else(|end| {
            self.state = State::Over;
            end.into()
        })]
    }

    fn id(&mut self) -> String {
        self.calls += 1;
        format!("lint-fix-{}", self.calls)
    }

    fn fixed(&mut self, outcome: &ToolOutcome) -> Result<Action, End> {
        if let Some(error) = outcome.error.as_ref().filter(|error| error.code == ToolErrorCode::NotFound) {
            let summary = format!("There are no fixes to be had: {}.", error.message);
            return Err(End::new(ReasonCode::OutOfScope, summary)
                .asking("Which command fixes them? It can be named in .gloaming/profile.toml."));
        }
        let output = output(outcome, "fix")?;
        let text = |key: &str| output.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
        (self.command, self.ended) = (text("command"), text("ended"));
        self.content = output.get("exit").and_then(Value::as_i64) == Some(0);
        if let Some(tool) = &self.tool
            && !runs(&self.command, tool)
        {
            let summary = format!("The repository's own command is `{}`, which is not {tool}.", self.command);
            return Err(End::new(ReasonCode::ConflictingRequirements, summary)
                .asking(format!("Are the fixes of `{}` meant?", self.command)));
        }
        let left = output.get("left").and_then(Value::as_array).into_iter().flatten();
        self.left.extend(left.filter_map(Value::as_str).map(str::to_owned));
        let mut edits = Vec::new();
        for file in output.get("files").and_then(Value::as_array).into_iter().flatten() {
            let (Some(path), Some(content)) = (file["path"].as_str(), file["content"].as_str()) else {
                continue;
            };
            if is_foreign(path) {
                self.left.push(format!("{path}: somebody else's"));
                continue;
            }
            if is_lockfile(path) {
                self.left.push(format!("{path}: a lockfile, which the tool wrote on its way"));
                continue;
            }
            edits.push(Spliced {
                path: path.to_owned(),
                after: content.to_owned(),
                tool: "write",
                args: json!({"path": path, "content": content, "overwrite": true}),
            });
        }
        self.edits = Edits::new(edits)?;
        if self.edits.len() > 0 {
            return Ok(self.next_edit());
        }
        let told = [text("text")].into_iter().filter(|text| !text.is_empty());
        let left = self.left.iter().take(NAMED).cloned();
        // A lockfile is no finding.
        let path = |line: &String| line.split_once(": ").map_or(line.clone(), |(path, _)| path.to_owned());
        if self.left.iter().any(|line| !is_lockfile(&path(line))) {
            let summary = format!("`{}` has fixes for nothing but what is left as it is.", self.command);
            return Err(End::new(ReasonCode::OutOfScope, summary)
                .asking("Is a person to make these changes?")
                .with(left.chain(told)));
        }
        if self.content {
            let summary = format!("`{}` has nothing to fix.", self.command);
            return Err(End::new(ReasonCode::NoChangeNeeded, summary).with(left.chain(told)));
        }
        let summary = format!(
            "`{}` changed nothing and ended with {}: what it reports has no fix of its own, or it failed.",
            self.command, self.ended
        );
        Err(End::new(ReasonCode::OutOfScope, summary)
            .asking("How are the remaining findings to be fixed?")
            .with(left.chain(told)))
    }

    fn next_edit(&mut self) -> Action {
        match self.edits.next() {
            Some((tool, args)) => {
                self.state = State::Editing;
                Action::CallTool { id: self.id(), name: tool.into(), args }
            }
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
        let count = counted(self.edits.len(), "file", "files");
        let mut summary = format!("Apply the fixes of `{}`: {count}.", self.command);
        if !self.content {
            summary.push_str(&format!(
                "\n\nIt ended with {}: some of what it reports has no fix of its own.",
                self.ended
            ));
        }
        summary.push_str(&listed("Changed:", &self.edits.paths()));
        summary.push_str(&listed("Not changed:", &self.left));
        Ok(Action::Done { summary })
    }
}

/// Whether a command runs a tool, by its own name or as a part of another: `cargo fmt` is rustfmt.
fn runs(command: &str, tool: &str) -> bool {
    let has = |name: &str| command.split([' ', '/', '-']).any(|word| word == name);
    let part_of = match tool {
        "rustfmt" => "cargo",
        "gofmt" => "go",
        _ => return has(tool),
    };
    has(tool) || (has(part_of) && has("fmt"))
}

#[cfg(test)]
mod tests {
    use gloaming_api::tool::{ToolError, ToolErrorCode, ToolOutcome};
    use serde_json::json;

    use crate::playbook::memory::Repo;

    const TASK: &str = "Fix the findings of the linter";

    fn repo(outcome: ToolOutcome) -> Repo {
        let mut repo =
            Repo::new(&[("a.rs", "fn a() { return; }\n"), ("vendor/b.rs", "b\n"), ("locked/c.rs", "c\n")]);
        repo.fixes = Some(outcome);
        repo
    }

    fn made(exit: i32, files: &[(&str, &str)], left: &[&str]) -> ToolOutcome {
        let files: Vec<_> =
            files.iter().map(|(path, content)| json!({"path": path, "content": content})).collect();
        ToolOutcome::ok(json!({
            "command": "cargo clippy --fix", "text": "what it said", "exit": exit, "ended": format!("exit code {exit}"),
            "files": files, "left": left,
        }))
    }

    #[test]
    fn what_the_tool_made_is_written_by_ours() {
        let mut repo = repo(made(
            0,
            &[("a.rs", "fn a() {}\n"), ("vendor/b.rs", "c\n"), ("Cargo.lock", "")],
            &["d.rs: it was removed, which no fix is"],
        ));
        insta::assert_snapshot!(repo.run(TASK), @r"
        done: Apply the fixes of `cargo clippy --fix`: 1 file.

        Changed:

        - a.rs

        Not changed:

        - d.rs: it was removed, which no fix is
        - vendor/b.rs: somebody else's
        - Cargo.lock: a lockfile, which the tool wrote on its way
        ");
        assert_eq!(repo.files["a.rs"], "fn a() {}\n");
        assert_eq!(repo.story, ["fix lint", "write a.rs", "read 1 files"]);
        assert!(repo.run("Fix all clippy warnings").contains("Apply the fixes"));
        insta::assert_snapshot!(repo.run("Fix the ruff errors"), @"conflicting_requirements: The repository's own command is `cargo clippy --fix`, which is not ruff. | Are the fixes of `cargo clippy --fix` meant? | ");
    }

    #[test]
    fn a_tool_goes_by_the_name_of_the_command_that_runs_it() {
        for (command, tool, want) in [
            ("cargo fmt --all", "rustfmt", true),
            ("cargo +nightly fmt", "rustfmt", true),
            ("go fmt ./...", "gofmt", true),
            ("gofmt -w .", "gofmt", true),
            ("cargo clippy --fix", "rustfmt", false),
            ("cargo fmt --all", "gofmt", false),
            ("python3 -m black .", "black", true),
            ("python3 -m ruff format .", "black", false),
        ] {
            assert_eq!(super::runs(command, tool), want, "{command}: {tool}");
        }
    }

    #[test]
    fn where_there_is_nothing_to_be_had_it_says_why() {
        insta::assert_snapshot!(repo(made(0, &[], &[])).run(TASK), @"no_change_needed: `cargo clippy --fix` has nothing to fix. |  | what it said");
        insta::assert_snapshot!(repo(made(0, &[("vendor/b.rs", "c\n")], &["tests/a.rs: an existing test would say something else"])).run(TASK), @"out_of_scope: `cargo clippy --fix` has fixes for nothing but what is left as it is. | Is a person to make these changes? | tests/a.rs: an existing test would say something else; vendor/b.rs: somebody else's; what it said");
        let lock = "Cargo.lock: it configures what runs the tests";
        assert!(repo(made(0, &[], &[lock])).run(TASK).starts_with("no_change_needed"));
        insta::assert_snapshot!(repo(made(101, &[], &[])).run(TASK), @"out_of_scope: `cargo clippy --fix` changed nothing and ended with exit code 101: what it reports has no fix of its own, or it failed. | How are the remaining findings to be fixed? | what it said");
        insta::assert_snapshot!(repo(made(0, &[("locked/c.rs", "x")], &[])).run(TASK), @"policy_blocked: `write` was refused or failed: locked/c.rs may not be written (rule keep-locked) |  | locked/c.rs may not be written (rule keep-locked)");
        let none = ToolOutcome::error(ToolError::new(
            ToolErrorCode::NotFound,
            "this repository has no known lint command",
        ));
        insta::assert_snapshot!(repo(none).run(TASK), @"out_of_scope: There are no fixes to be had: this repository has no known lint command. | Which command fixes them? It can be named in .gloaming/profile.toml. | ");
        let denied =
            ToolOutcome::error(ToolError::new(ToolErrorCode::Denied, "policy does not let lint jobs run"));
        assert!(repo(denied).run(TASK).starts_with("policy_blocked"));
    }
}
