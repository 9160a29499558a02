//! The roads a question can take, and what each answers, in the same words for all.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use gloaming_api::tool::Decided;
use gloaming_sandbox::{Call, Options, Sandbox, Wit};
use serde_json::{Value, json};

use super::case::{Question, Road, Strictness};

/// The guests that misbehave; each is a tool of its own beside the built-in ones.
const GUESTS: &[&str] = &["evil-loop", "evil-memory", "evil-recursion", "evil-panic", "evil-flood"];

/// One engine, and the tools that share it.
pub(super) struct Engine {
    pub(super) deadline: Duration,
    /// The built-in tools and the guests.
    pub(super) tools: Sandbox,
    variants: Sandbox,
    interface: Sandbox,
    wasi: Sandbox,
    /// For components of single cases.
    plain: Mutex<Sandbox>,
}

impl Engine {
    pub(super) fn new(strictness: Strictness) -> Self {
        let cache_dir = Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("escape"));
        let options = match strictness {
            Strictness::Ordinary => Options { cache_dir, ..Options::default() },
            Strictness::Tight => Options {
                cache_dir,
                memory: 32 << 20,
                deadline: Duration::from_secs(1),
                ..Options::default()
            },
        };
        let deadline = options.deadline;
        let built_in = Sandbox::new(options).expect("the sandbox is made");
        let with = |guests: &[&str]| {
            let mut sandbox = built_in.clone();
            for name in guests {
                sandbox.register(&guest(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            sandbox
        };
        Self {
            deadline,
            tools: with(GUESTS),
            variants: built_in.wasi_variants().expect("the variants are registered"),
            interface: with(&["evil-paths"]),
            wasi: with(&["evil-wasi"]),
            plain: Mutex::new(built_in),
        }
    }

    /// The sandbox in which a guest is a tool, and the tool's name.
    pub(super) fn guest(&self, name: &str) -> Option<(Sandbox, String)> {
        let (sandbox, tool) = match name {
            "evil-paths" => (&self.interface, "probe".to_owned()),
            "evil-wasi" => (&self.wasi, "probe".to_owned()),
            name if GUESTS.contains(&name) => (&self.tools, name.replace('-', "_")),
            _ => return None,
        };
        Some((sandbox.clone(), tool))
    }

    /// Registers a component written as text, whose one tool is `go`. The answer is a refusal's words.
    pub(super) fn component(&self, text: &str) -> Result<Sandbox, String> {
        let bytes = wat::parse_str(text).map_err(|error| format!("it is no component: {error}"))?;
        // Only the comment is taken from it.
        let wit = Wit::text("package a:b; world w { /// Goes.\n export go: func(); }");
        let mut sandbox = self.plain.lock().expect("nothing panics with it").clone();
        sandbox.register_with_wit(&bytes, &wit).map_err(|error| format!("refused: {error}"))?;
        Ok(sandbox)
    }

    /// What a question comes to on a road; none where that cannot ask it.
    pub(super) fn ask(&self, road: Road, asked: &Asked<'_>) -> Option<(Sandbox, String, Value)> {
        let Asked { question, path, to, content } = *asked;
        let (old, new) = content.split_once(" => ").unwrap_or(("one", "ONE"));
        let named =
            |sandbox: &Sandbox, tool: &str, args: Value| Some((sandbox.clone(), tool.to_owned(), args));
        let patch = |body: String| {
            // A path is the rest of a line there, trimmed.
            let one_line =
                |path: &str| !path.is_empty() && path.trim() == path && !path.contains(char::is_control);
            let fits = one_line(path) && (question != Question::Rename || one_line(to));
            let args = json!({"patch": format!("*** Begin Patch\n{body}\n*** End Patch")});
            fits.then(|| (self.tools.clone(), "patch".to_owned(), args))
        };
        let probe = |sandbox: &Sandbox, op: &str, to: Option<&str>, data: Option<&str>| {
            named(sandbox, "probe", json!({"op": op, "path": path, "to": to, "data": data}))
        };
        match (road, question) {
            (Road::Read, Question::Read) => named(&self.tools, "read", json!({"path": path})),
            (Road::ReadWasi, Question::Read) => named(&self.variants, "read", json!({"path": path})),
            (Road::List, Question::List) => {
                let args = json!({"path": path, "depth": 1, "hidden": true, "ignored": true});
                named(&self.tools, "list", args)
            }
            (Road::List, Question::Walk) => {
                named(&self.tools, "list", json!({"path": path, "hidden": true, "ignored": true}))
            }
            (Road::Search, Question::Walk) => {
                let args = json!({"pattern": ".", "path": path, "hidden": true, "ignored": true});
                named(&self.tools, "search", args)
            }
            (Road::Write, Question::Write) => {
                named(&self.tools, "write", json!({"path": path, "content": content, "overwrite": true}))
            }
            (Road::Write, Question::Truncate) => {
                named(&self.tools, "write", json!({"path": path, "content": "", "overwrite": true}))
            }
            (Road::Write, Question::Create) => {
                named(&self.tools, "write", json!({"path": path, "content": content}))
            }
            (Road::Edit, Question::Edit) => {
                named(&self.tools, "edit", json!({"path": path, "old": old, "new": new}))
            }
            (Road::EditWasi, Question::Edit) => {
                named(&self.variants, "edit", json!({"path": path, "old": old, "new": new}))
            }
            (Road::Outline, Question::Walk) => {
                named(&self.tools, "outline", json!({"path": path, "hidden": true, "ignored": true}))
            }
            (Road::Move, Question::Rename) => named(&self.tools, "move", json!({"from": path, "to": to})),
            (Road::Remove, Question::Remove) => named(&self.tools, "remove", json!({"path": path})),
            (Road::Patch, Question::Create) => patch(format!("*** Add File: {path}\n+{content}")),
            (Road::Patch, Question::Remove) => patch(format!("*** Delete File: {path}")),
            (Road::Patch, Question::Rename) => patch(format!("*** Update File: {path}\n*** Move to: {to}")),
            (Road::Interface, question) => {
                let wide = json!({"hidden": true, "contents": true, "directories": true}).to_string();
                let (op, to, data) = match question {
                    Question::Read => ("read", None, None),
                    Question::Stat => ("stat", None, None),
                    Question::List => ("list", None, None),
                    Question::Walk => ("walk", None, Some(wide.as_str())),
                    Question::Write => ("write", None, Some(content)),
                    Question::Truncate => ("write", None, Some("")),
                    Question::Create => ("write", Some("absent"), Some(content)),
                    Question::Remove => ("remove", None, None),
                    Question::Rename => ("rename", Some(to), None),
                    Question::Edit | Question::Append => return None,
                };
                probe(&self.interface, op, to, data)
            }
            (Road::Wasi, question) => {
                let (op, to, data) = match question {
                    Question::Read => ("read", None, None),
                    Question::Stat => ("symlink_metadata", None, None),
                    Question::List => ("readdir", None, None),
                    Question::Write => ("write", None, Some(content)),
                    Question::Append => ("append", None, Some(content)),
                    Question::Truncate => ("truncate", None, None),
                    Question::Create => ("create_new", None, Some(content)),
                    Question::Remove => ("remove", None, None),
                    Question::Rename => ("rename", Some(to), None),
                    Question::Edit | Question::Walk => return None,
                };
                probe(&self.wasi, op, to, data)
            }
            _ => None,
        }
    }
}

impl Road {
    pub(super) const ALL: [Self; 13] = [
        Self::Read,
        Self::ReadWasi,
        Self::List,
        Self::Search,
        Self::Edit,
        Self::EditWasi,
        Self::Write,
        Self::Patch,
        Self::Move,
        Self::Remove,
        Self::Outline,
        Self::Interface,
        Self::Wasi,
    ];
}

/// A question with its words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) question: Question,
    pub(super) path: &'a str,
    pub(super) to: &'a str,
    pub(super) content: &'a str,
}

/// What a call answered: `ok` or the code of an error, and the rule that denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) code: String,
    pub(super) rule: Option<String>,
    /// The words.
    pub(super) text: String,
}

/// Reads an answer; what a probe tells of a raw call counts as that call's.
pub(super) fn told(call: &Call) -> Told {
    let mut told = Told { code: "ok".into(), rule: None, text: String::new() };
    if let Some(error) = &call.outcome.error {
        told.code = json!(error.code).as_str().unwrap_or_default().to_owned();
        told.rule = error.rule.clone();
        told.text = call.outcome.for_model();
        return told;
    }
    let output = call.outcome.output.clone().unwrap_or_default();
    told.text = output.to_string();
    if call.record.tool != "probe" {
        return told;
    }
    told.text = output["text"].as_str().unwrap_or_default().to_owned();
    let answer: Value = serde_json::from_str(&told.text).unwrap_or_default();
    let error = &answer["error"];
    if let Some(code) = error["code"].as_str() {
        told.code = code.to_owned();
        told.rule = error["rule"].as_str().map(str::to_owned);
    } else if let Some(kind) = error["kind"].as_str() {
        // WASI has numbers only; the rule stands in the record.
        let denied = call.record.decision == Decided::Deny;
        told.code = match kind {
            "PermissionDenied" if denied => "denied",
            "NotFound" => "not_found",
            "AlreadyExists" | "DirectoryNotEmpty" => "conflict",
            "FileTooLarge" => "too_large",
            "PermissionDenied" | "InvalidInput" | "IsADirectory" | "NotADirectory" => "invalid_input",
            // A name that is not UTF-8, which the guest's own libc does not let pass.
            "Uncategorized" if error["errno"] == 25 => "invalid_input",
            other => other,
        }
        .to_owned();
        if told.code == "denied" {
            told.rule = call.record.denials.last().map(|denial| denial.rule.clone());
        }
    }
    told
}

fn guest(name: &str) -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tools/target/components/test/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make tools` first", path.display()))
}
