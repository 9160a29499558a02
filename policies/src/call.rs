//! Calls as authors write them in tests and questions.

use gloaming_api::job::JobPurpose;
use gloaming_api::{Digest, PathError, RelPath};

use crate::Access;
use crate::file::TOOLS;
use crate::subject::{Asked, HOST_SETS, Host};
use crate::suggest::did_you_mean;

/// A call in words: `edit src/lib.rs`, `list`, `check test`, `connect test example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// A tool and the path it is called on; the path may be one that is never granted.
    Path { tool: String, path: Result<RelPath, PathError> },
    /// The `check` tool, and the job it asks for.
    Check(Option<JobPurpose>),
    /// What a job of a kind would have.
    Job { purpose: JobPurpose, ask: JobAsk },
    /// Who asks, and for what.
    Submit { asker: String, what: String },
    /// A model, and the server it is on where that is not the provider's own.
    Model { model: String, address: Option<Host> },
}

/// What a job would have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobAsk {
    Command(Vec<String>),
    Host(Host),
    Image(Digest),
    Env(String),
    Secret(String),
}

impl JobAsk {
    pub(crate) fn asked(&self) -> Asked<'_> {
        match self {
            Self::Command(argv) => Asked::Command(argv),
            Self::Host(host) => Asked::Host(host),
            Self::Image(image) => Asked::Image(image),
            Self::Env(name) => Asked::Env(name),
            Self::Secret(name) => Asked::Secret(name),
        }
    }
}

/// The words that begin a question which is no call of a tool.
const QUESTIONS: &[&str] = &["connect", "env", "image", "model", "secret", "submit"];

impl Call {
    /// Parses a call of one of `tools`, or another question.
    pub(crate) fn parse(text: &str, tools: &[&str]) -> Result<Self, String> {
        let text = text.trim_start();
        let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if name.is_empty() {
            return Err("the call is empty; write a tool and a path, like `edit src/lib.rs`".into());
        }
        let path = rest.trim_start();
        if !tools.contains(&name) && QUESTIONS.contains(&name) {
            return question(name, path);
        }
        if !tools.contains(&name) {
            let hint =
                did_you_mean(name, tools).unwrap_or_else(|| format!("the tools are {}", tools.join(", ")));
            return Err(format!("there is no tool {name:?}; {hint}"));
        }
        let tool = name.to_owned();
        match name {
            "check" => {
                let (word, command) = path.split_once(char::is_whitespace).unwrap_or((path, ""));
                if word.is_empty() {
                    return Ok(Self::Check(None));
                }
                let Some(purpose) = purpose(word) else {
                    return Err(format!(
                        "there is no check {word:?}; write `check setup`, `check build`, `check test` or `check lint`"
                    ));
                };
                match shell_words::split(command) {
                    Ok(argv) if argv.is_empty() => Ok(Self::Check(Some(purpose))),
                    Ok(argv) => Ok(Self::Job { purpose, ask: JobAsk::Command(argv) }),
                    Err(_) => Err(format!("the command `{command}` has a quote that is not closed")),
                }
            }
            "list" | "search" | "diff" => Ok(Self::Path { tool, path: RelPath::parse(path) }),
            // What a registered tool takes is its own affair.
            _ if !TOOLS.contains(&name) => Ok(Self::Path { tool, path: RelPath::parse(path) }),
            _ if path.is_empty() => Err(format!("{name} needs a path, like `{name} src/lib.rs`")),
            _ => Ok(Self::Path { tool, path: RelPath::parse(path) }),
        }
    }

    /// The accesses that a call of a tool needs, the one that is told first first. Of a registered tool only reading is
    /// known to be needed.
    pub(crate) fn accesses(tool: &str) -> &'static [Access] {
        match tool {
            "list" => &[Access::List],
            "write" | "remove" => &[Access::Write],
            "edit" | "patch" | "move" => &[Access::Read, Access::Write],
            _ => &[Access::Read],
        }
    }
}

fn purpose(word: &str) -> Option<JobPurpose> {
    JobPurpose::ALL.iter().copied().find(|purpose| purpose.as_str() == word)
}

fn question(name: &str, rest: &str) -> Result<Call, String> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    match (name, words.as_slice()) {
        ("submit", [asker, what]) => {
            Ok(Call::Submit { asker: (*asker).to_owned(), what: (*what).to_owned() })
        }
        ("submit", _) => Err("write who asks and for what, like `submit local model`".into()),
        ("model", [model]) => Ok(Call::Model { model: (*model).to_owned(), address: None }),
        ("model", [model, address]) => {
            let address = Host::parse(address, false).map_err(|bad| bad.message)?;
            Ok(Call::Model { model: (*model).to_owned(), address: Some(address) })
        }
        ("model", _) => {
            Err("write a model, like `model anthropic:claude-sonnet-4-5`, and the server where it is another"
                .into())
        }
        (_, [kind, what]) => {
            let purpose = purpose(kind).ok_or_else(|| {
                format!("there is no kind of job {kind:?}; write setup, build, test or lint")
            })?;
            let ask = match name {
                // A set can be asked about by its name; what is in it no policy knows.
                "connect" => {
                    let set = HOST_SETS.contains(what);
                    JobAsk::Host(Host::parse(what, set).map_err(|bad| bad.message)?)
                }
                "env" => JobAsk::Env((*what).to_owned()),
                "secret" => JobAsk::Secret((*what).to_owned()),
                _ => JobAsk::Image(
                    what.parse().map_err(|_| format!("{what:?} is not the digest of an image"))?,
                ),
            };
            Ok(Call::Job { purpose, ask })
        }
        (_, _) => Err(format!(
            "write the kind of job and what it would have, like `{name} test {}`",
            match name {
                "connect" => "example.org",
                "image" => "sha256:…",
                _ => "NAME",
            }
        )),
    }
}
