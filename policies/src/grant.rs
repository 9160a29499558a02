//! First cut of the interface: compiles, denies everything.
use std::sync::Arc;
use std::time::Duration;

use gloaming_api::job::{JobLimits, JobPurpose};
use gloaming_api::{Digest, RelPath, RepoId};
use serde::Serialize;

use crate::{Access, Decision, Denial, Diagnostic, Layer, RuleRef};

/// A policy file that was parsed and checked.
#[derive(Debug, Clone)]
pub struct PolicyFile {}

/// Parses and checks a policy file; returns every fault found, in the file's order.
pub fn parse(_file_name: &str, _text: &str) -> Result<PolicyFile, Vec<Diagnostic>> {
    Ok(PolicyFile {})
}

/// Returns the text of a preset by its name, like `standard`.
pub fn preset(_name: &str) -> Option<&'static str> {
    None
}

/// What an attempt may spend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// US dollars.
    pub cost_usd: f64,
    /// Steps of the loop.
    pub steps: u32,
    /// Wall-clock time.
    pub wall: Duration,
}

/// How large a patch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeCaps {
    /// Changed files.
    pub files: u32,
    /// Added and removed lines together.
    pub lines: u32,
}

/// A policy compiled for one attempt. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Grant(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    digest: Digest,
    change: ChangeCaps,
}

/// How and by which rule a call is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// `allow` or `deny`.
    pub decision: gloaming_api::tool::Decided,
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

impl Grant {
    /// Compiles layers, given in any order, into a grant.
    pub fn resolve(_repo: &RepoId, _layers: Vec<(Layer, PolicyFile)>) -> Result<Self, Vec<Diagnostic>> {
        Ok(Self(Arc::new(Inner { digest: Digest::zero(), change: ChangeCaps { files: 20, lines: 400 } })))
    }
    /// Returns the grant's digest.
    pub fn digest(&self) -> &Digest {
        &self.0.digest
    }
    /// Returns what the attempt may spend.
    pub fn budget(&self) -> Budget {
        Budget { cost_usd: 5.0, steps: 100, wall: Duration::from_secs(2400) }
    }
    /// Returns how large a patch may be.
    pub fn change(&self) -> &ChangeCaps {
        &self.0.change
    }
    /// Decides one access of a tool to a path.
    pub fn decide(&self, _tool: &str, _access: Access, _path: &RelPath) -> Decision {
        Decision::Deny(denial())
    }
    /// Decides whether a patch may touch a path.
    pub fn decide_change(&self, _path: &RelPath) -> Decision {
        Decision::Deny(denial())
    }
    /// Whether a tool is not denied as a whole.
    pub fn offers(&self, _tool: &str) -> bool {
        false
    }
    /// Returns the permit without which no tool runs.
    pub fn permit_tool(&self, _tool: &str) -> Result<ToolPermit, Denial> {
        Err(denial())
    }
    /// Returns the permit without which no job runs.
    pub fn permit_job(&self, _purpose: JobPurpose) -> Result<JobPermit, Denial> {
        Err(denial())
    }
    /// Explains a call like `edit src/lib.rs` or `check test`.
    pub fn explain(&self, _call: &str) -> Result<Explanation, String> {
        Err("not yet".into())
    }
}

fn denial() -> Denial {
    let rule = RuleRef { id: "default-deny".into(), file: String::new(), line: 1, because: String::new() };
    Denial { rule, instead: None }
}

/// The right to call one tool; only a [`Grant`] makes it.
#[derive(Debug, Clone)]
pub struct ToolPermit {
    tool: String,
    grant: Grant,
}

impl ToolPermit {
    /// Returns the tool's name.
    pub fn tool(&self) -> &str {
        &self.tool
    }
    /// Returns the grant it was made by.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }
    /// Decides one access of the tool to a path.
    pub fn decide(&self, access: Access, path: &RelPath) -> Decision {
        self.grant.decide(&self.tool, access, path)
    }
}

/// The right to run jobs of one purpose; only a [`Grant`] makes it.
#[derive(Debug, Clone)]
pub struct JobPermit {
    purpose: JobPurpose,
    limits: JobLimits,
    grant: Digest,
}

impl JobPermit {
    /// Returns what the jobs are for.
    pub fn purpose(&self) -> JobPurpose {
        self.purpose
    }
    /// Returns the limits they run under.
    pub fn limits(&self) -> JobLimits {
        self.limits
    }
    /// Returns the digest of the grant that permits them.
    pub fn grant_digest(&self) -> &Digest {
        &self.grant
    }
}
