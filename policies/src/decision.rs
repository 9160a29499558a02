//! The words a decision is told in.

use gloaming_api::tool::{ToolError, ToolErrorCode};
use serde::Serialize;

/// What is asked of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// May its content or its facts be read?
    Read,
    /// May its name be shown in listings and walks, or the folder be entered on the way to something
    /// that is allowed? Where what the path is cannot be known from its spelling, the answer is that
    /// for a folder: a caller that knows the path to be a file asks for [`Access::Read`] too.
    List,
    /// May it be created, changed, renamed or removed?
    Write,
}

/// The answer to one question, with the rule that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may happen.
    Allow(RuleRef),
    /// It may not.
    Deny(Denial),
}

impl Decision {
    /// Whether this is an allowance.
    pub fn is_allow(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// Returns the deciding rule.
    pub fn rule(&self) -> &RuleRef {
        match self {
            Self::Allow(rule) => rule,
            Self::Deny(denial) => &denial.rule,
        }
    }
}

/// A rule, its place and its reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RuleRef {
    /// The rule's id.
    pub id: String,
    /// The file it stands in; `builtin:floor` and `preset:standard` for those compiled in.
    pub file: String,
    /// Its line, counted from 1.
    pub line: u32,
    /// The author's reason; may be empty for an allowance.
    pub because: String,
}

/// A refusal: the rule and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The rule that refuses.
    pub rule: RuleRef,
    /// The author's advice.
    pub instead: Option<String>,
}

impl Denial {
    /// Words the refusal of a whole tool, as the answer to a call of it.
    pub fn of_tool(self, tool: &str) -> ToolError {
        ToolError {
            code: ToolErrorCode::Denied,
            rule: Some(self.rule.id),
            message: format!("policy denies the tool {tool}: {}", self.rule.because),
            instead: self.instead,
        }
    }
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "denied by rule {} ({}:{})", self.rule.id, self.rule.file, self.rule.line)?;
        if !self.rule.because.is_empty() {
            write!(f, ": {}", self.rule.because)?;
        }
        match &self.instead {
            Some(instead) => write!(f, " {instead}"),
            None => Ok(()),
        }
    }
}

/// Where a policy file comes from. Each layer can only narrow what those before it grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Compiled in, always there.
    Floor,
    /// The operator's files, or `preset:standard` where there is none.
    Operator,
    /// The repository's own file, read from the base branch.
    Repository,
    /// What was asked for one task.
    Task,
}

impl Layer {
    /// Returns the layer's name as it is written in explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Operator => "operator",
            Self::Repository => "repository",
            Self::Task => "task",
        }
    }
}
