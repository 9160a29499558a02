//! Calls as authors write them, and how one is decided.

use gloaming_api::job::JobPurpose;
use gloaming_api::tool::Decided;
use gloaming_api::{PathError, RelPath};
use serde::Serialize;

use crate::file::TOOLS;
use crate::grant::Judged;
use crate::preset::{FLOOR_NAME, floor_line};
use crate::suggest::did_you_mean;
use crate::{Access, Grant, Layer};

/// How and by which rule a call is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// `allow` or `deny`.
    pub decision: Decided,
    /// The deciding rule's id.
    pub rule: String,
    /// The file it stands in.
    pub file: String,
    /// Its line, counted from 1.
    pub line: u32,
    /// The author's reason; may be empty for an allowance.
    pub because: String,
    /// The author's advice, for a denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
    /// The layer the rule belongs to.
    pub layer: Layer,
}

/// A call in words: `edit src/lib.rs`, `list`, `check test`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// A tool and the path it is called on; the path may be one that is never granted.
    Path { tool: String, path: Result<RelPath, PathError> },
    /// The `check` tool, and the job it asks for.
    Check(Option<JobPurpose>),
}

impl Call {
    /// Parses a call of one of `tools`.
    pub(crate) fn parse(text: &str, tools: &[&str]) -> Result<Self, String> {
        let text = text.trim_start();
        let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if name.is_empty() {
            return Err("the call is empty; write a tool and a path, like `edit src/lib.rs`".into());
        }
        if !tools.contains(&name) {
            let hint =
                did_you_mean(name, tools).unwrap_or_else(|| format!("the tools are {}", tools.join(", ")));
            return Err(format!("there is no tool {name:?}; {hint}"));
        }
        let path = rest.trim_start();
        let tool = name.to_owned();
        match name {
            "check" => match path.trim_end() {
                "" => Ok(Self::Check(None)),
                word => match JobPurpose::ALL.iter().find(|purpose| purpose.as_str() == word) {
                    Some(purpose) => Ok(Self::Check(Some(*purpose))),
                    None => Err(format!(
                        "there is no check {word:?}; write `check build`, `check test` or `check lint`"
                    )),
                },
            },
            "list" | "search" | "diff" => Ok(Self::Path { tool, path: RelPath::parse(path) }),
            // What a registered tool takes is its own affair.
            _ if !TOOLS.contains(&name) => Ok(Self::Path { tool, path: RelPath::parse(path) }),
            _ if path.is_empty() => Err(format!("{name} needs a path, like `{name} src/lib.rs`")),
            _ => Ok(Self::Path { tool, path: RelPath::parse(path) }),
        }
    }
}

impl Grant {
    /// Explains how a call like `edit src/lib.rs`, `list` or `check test` is decided: every access the
    /// tool would need is asked for, and a denial told, rather by a rule than by the lack of one. Of a
    /// registered tool only reading is known to be needed.
    ///
    /// The error is a sentence about a call that makes no sense (an unknown tool, no path). A path that
    /// leaves the workspace makes sense and is denied.
    pub fn explain(&self, call: &str) -> Result<Explanation, String> {
        Ok(match Call::parse(call, &self.tool_names())? {
            Call::Check(purpose) => match (self.judge_tool("check"), purpose) {
                (judged, None) => self.explanation(judged),
                (judged, _) if !judged.allow => self.explanation(judged),
                (_, Some(purpose)) => self.explanation(self.judge_job(purpose)),
            },
            Call::Path { path: Err(error), .. } => Explanation {
                decision: Decided::Deny,
                rule: "outside-workspace".into(),
                file: FLOOR_NAME.into(),
                line: floor_line("outside-workspace"),
                because: error.to_string(),
                instead: None,
                layer: Layer::Floor,
            },
            Call::Path { tool, path: Ok(path) } => {
                let tool = tool.as_str();
                let accesses: &[Access] = match tool {
                    "list" => &[Access::List],
                    "write" | "remove" => &[Access::Write],
                    "edit" | "patch" | "move" => &[Access::Read, Access::Write],
                    _ => &[Access::Read],
                };
                let mut judged = self.judge(tool, accesses[0], &path);
                for access in &accesses[1..] {
                    let next = self.judge(tool, *access, &path);
                    // A rule that was written for the path says more than that none was.
                    if judged.allow || (judged.is_default_deny() && !next.allow && !next.is_default_deny()) {
                        judged = next;
                    }
                }
                // A folder that holds something to look at may be named to these.
                if matches!(tool, "search" | "diff") && !judged.allow && judged.is_default_deny() {
                    let folder = self.judge(tool, Access::List, &path);
                    if folder.allow {
                        judged = folder;
                    }
                }
                self.explanation(judged)
            }
        })
    }

    fn explanation(&self, judged: Judged<'_>) -> Explanation {
        let layer = judged.layer;
        let allow = judged.allow;
        let denial = judged.into_denial();
        Explanation {
            decision: if allow { Decided::Allow } else { Decided::Deny },
            rule: denial.rule.id,
            file: denial.rule.file,
            line: denial.rule.line,
            because: denial.rule.because,
            instead: if allow { None } else { denial.instead },
            layer,
        }
    }
}
