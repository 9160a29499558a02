//! How a call is decided, and by which rule.

use gloaming_api::RelPath;
use gloaming_api::tool::Decided;
use serde::Serialize;

use crate::call::Call;
use crate::grant::Judged;
use crate::preset::{FLOOR_NAME, floor_line};
use crate::{Access, Grant, Layer, RuleRef};

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
    /// Rules with `enforce = "warn"` that would deny it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<RuleRef>,
}

impl Explanation {
    /// Whether the call is allowed.
    pub fn is_allow(&self) -> bool {
        self.decision == Decided::Allow
    }
}

impl Grant {
    /// Explains how a call like `edit src/lib.rs`, `list` or `check test` is decided: every access the
    /// tool would need is asked for, and a denial told, rather by a rule than by the lack of one. Of a
    /// registered tool only reading is known to be needed.
    ///
    /// Other questions: `check test cargo test --locked` (may the profile's command be this one?),
    /// `connect test HOST`, `env test NAME`, `secret test NAME`, `image test DIGEST`, `submit ASKER WHAT` and
    /// `model PROVIDER:MODEL [SCHEME://HOST:PORT]`.
    ///
    /// The error is a sentence about a call that makes no sense (an unknown tool, no path). A path that
    /// leaves the workspace makes sense and is denied.
    pub fn explain(&self, call: &str) -> Result<Explanation, String> {
        Ok(self.explain_call(&Call::parse(call, &self.tool_names())?))
    }

    pub(crate) fn explain_call(&self, call: &Call) -> Explanation {
        let warnings = match call {
            Call::Path { tool, path: Ok(path) } => {
                let accesses = Call::accesses(tool).iter();
                let mut all: Vec<RuleRef> =
                    accesses.flat_map(|access| self.warnings(tool, *access, path)).collect();
                all.sort();
                all.dedup();
                all
            }
            Call::Job { purpose, ask } => self.job_warnings(*purpose, &ask.asked()),
            _ => Vec::new(),
        };
        let explanation = match call {
            Call::Check(purpose) => match (self.judge_tool("check"), purpose) {
                (judged, None) => explanation(judged),
                (judged, _) if !judged.allow => explanation(judged),
                (_, Some(purpose)) => explanation(self.judge_job(*purpose)),
            },
            Call::Job { purpose, ask } => explanation(self.judge_asked(*purpose, &ask.asked())),
            Call::Submit { asker, what } => explanation(self.judge_submit(asker, what)),
            Call::Model { model, address } => explanation(self.judge_model(model, address.as_ref())),
            Call::Path { path: Err(error), .. } => Explanation {
                decision: Decided::Deny,
                rule: "outside-workspace".into(),
                file: FLOOR_NAME.into(),
                line: floor_line("outside-workspace"),
                because: error.to_string(),
                instead: None,
                layer: Layer::Floor,
                warnings: Vec::new(),
            },
            Call::Path { tool, path: Ok(path) } => explanation(self.judge_call(tool, path)),
        };
        Explanation { warnings, ..explanation }
    }

    /// What is decided of a call of a tool on a path: of every access it needs.
    pub(crate) fn judge_call(&self, tool: &str, path: &RelPath) -> Judged<'_> {
        let accesses = Call::accesses(tool);
        let mut judged = self.judge(tool, accesses[0], path);
        for access in &accesses[1..] {
            let next = self.judge(tool, *access, path);
            // A rule that was written for the path says more than that none was.
            if judged.allow || (judged.is_default_deny() && !next.allow && !next.is_default_deny()) {
                judged = next;
            }
        }
        // A folder that holds something to look at may be named to these.
        if matches!(tool, "search" | "diff") && !judged.allow && judged.is_default_deny() {
            let folder = self.judge(tool, Access::List, path);
            if folder.allow {
                judged = folder;
            }
        }
        judged
    }
}

fn explanation(judged: Judged<'_>) -> Explanation {
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
        warnings: Vec::new(),
    }
}
