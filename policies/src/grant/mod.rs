//! A policy compiled for one attempt, and the permits it makes.

mod jobs;
mod judge;
mod lanes;
mod lockfile;
mod object;
mod permit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gloaming_api::budget::DayCaps;
use gloaming_api::job::JobPurpose;
use gloaming_api::{Digest, RelPath, RepoId};

pub(crate) use self::judge::Judged;
pub use self::lanes::Lanes;
pub use self::lockfile::MANAGER;
pub use self::permit::{JobPermit, MayWrite, ToolPermit};
use crate::allowances::Allowances;
use crate::file::{PolicyFile, TOOLS};
use crate::glob::{DenySet, Pattern, Spelled};
use crate::limits::Limits;
use crate::preset::{FLOOR_NAME, STANDARD_NAME, floor, standard};
use crate::{Access, Decision, Denial, Diagnostic, Layer, RuleRef};

/// What an attempt may spend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// US dollars.
    pub cost_usd: f64,
    /// Steps of the loop.
    pub steps: u32,
    /// Wall-clock time.
    pub wall: Duration,
    /// Tokens of questions and answers.
    pub tokens: u64,
    /// Bytes of tools' answers that models are handed.
    pub tool_bytes: u64,
    /// What all attempts on the repository may spend in a day; a policy has a cap of each kind.
    pub day: DayCaps,
}

/// How large a patch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeCaps {
    /// Changed files.
    pub files: u32,
    /// Added and removed lines together.
    pub lines: u32,
    /// Whether it may change what existing tests say; otherwise they change by a consistent renaming only.
    pub existing_tests: bool,
    /// Whether it may change what its manifests and lockfiles say of dependencies; otherwise those stay as they are.
    pub dependencies: bool,
}

/// A tool that an operator registered and a policy file knows by a `[[tool]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredTool {
    /// The tool's name.
    pub name: String,
    /// The one component that may serve it; none where the file takes any.
    pub digest: Option<Digest>,
    /// The file the table stands in.
    pub file: String,
    /// Its line, counted from 1.
    pub line: u32,
}

/// A server of the Model Context Protocol that the operator lets be started, as a job of the kind `test`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpServer {
    /// Its name in the policy.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The tools that may be used, by the server's names and by ours (`mcp_NAME_TOOL`).
    pub tools: Vec<(String, String)>,
    /// Whether it sees a copy of the workspace.
    pub workspace: bool,
}

/// A policy compiled for one attempt: its layers, their patterns and their numbers. Cheap to clone; two
/// grants of the same content have the same digest, whatever the order of layers, rules and patterns.
#[derive(Debug, Clone)]
pub struct Grant {
    inner: Arc<Inner>,
    /// The components that serve the tools, by name, where it is known.
    tools: Arc<BTreeMap<String, Digest>>,
    digest: Digest,
}

#[derive(Debug)]
struct Inner {
    units: Vec<Unit>,
    denials: DenySet,
    /// What each pattern of `denials` belongs to.
    denied_by: Vec<DeniedBy>,
    allowances: Vec<Allowances>,
    limits: Limits,
    /// Whether any rule only warns.
    warns: bool,
}

/// One file of one layer, or a preset that a file extends.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) layer: Layer,
    /// Whether a file of the layer brought it in by `extends`.
    pub(crate) extended: bool,
    pub(crate) file: Arc<PolicyFile>,
}

#[derive(Debug, Clone, Copy)]
enum DeniedBy {
    Rule { unit: usize, rule: usize },
    Protected { unit: usize, at: usize },
}

impl Grant {
    /// Compiles layers, given in any order, into a grant for one repository.
    ///
    /// The floor is always added. Of the operator's files only those count whose `repos` names the
    /// repository; with no operator's file at all `preset:standard` stands in, and with some but none for
    /// this repository there is no grant. A repository's or task's file always counts: it can only narrow.
    ///
    /// # Errors
    /// Every fault found: a file for other repositories, a rule that no lane can enforce, an inline `[[test]]`
    /// that fails.
    pub fn resolve(repo: &RepoId, layers: Vec<(Layer, PolicyFile)>) -> Result<Self, Vec<Diagnostic>> {
        Self::resolve_on(repo, layers, Lanes::default())
    }

    /// Like [`Grant::resolve`], for lanes that can enforce more than every engine must.
    ///
    /// # Errors
    /// As [`Grant::resolve`].
    pub fn resolve_on(
        repo: &RepoId,
        layers: Vec<(Layer, PolicyFile)>,
        lanes: Lanes,
    ) -> Result<Self, Vec<Diagnostic>> {
        let grant = Self::resolve_untested(repo, layers, lanes)?;
        grant.run_tests()?;
        Ok(grant)
    }

    pub(crate) fn resolve_untested(
        repo: &RepoId,
        layers: Vec<(Layer, PolicyFile)>,
        lanes: Lanes,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut files: Vec<(Layer, PolicyFile)> = Vec::new();
        let mut others: Vec<PolicyFile> = Vec::new();
        for (layer, file) in layers {
            if layer == Layer::Operator && !file.applies_to(repo) {
                others.push(file);
            } else {
                files.push((layer, file));
            }
        }
        if !files.iter().any(|(layer, _)| *layer == Layer::Operator) {
            if !others.is_empty() {
                return Err(others.iter().map(|file| for_other_repositories(file, repo)).collect());
            }
            files.push((Layer::Operator, standard().clone()));
        }
        let faults: Vec<Diagnostic> = files.iter().flat_map(|(layer, file)| not_read(*layer, file)).collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut units = vec![Unit { layer: Layer::Floor, extended: false, file: Arc::new(floor().clone()) }];
        for (layer, file) in files {
            extend(&mut units, layer, &file);
            units.push(Unit { layer, extended: false, file: Arc::new(file) });
        }
        units.sort_by_cached_key(|unit| {
            (
                unit.layer,
                unit.file.name != FLOOR_NAME,
                !unit.extended,
                // Every other preset narrows it, so theirs is the rule that says more.
                unit.file.name != STANDARD_NAME,
                unit.file.name.clone(),
                unit.file.content().to_string(),
            )
        });
        let faults = lanes::unenforceable(&units, lanes);
        if !faults.is_empty() {
            return Err(faults);
        }
        Self::compile(units)
    }

    /// Returns the files that the grant was made of, without the floor and without what they extend, which they bring
    /// with them: resolved again they make the same grant.
    pub fn layers(&self) -> Vec<(Layer, PolicyFile)> {
        let own = self.units().iter().filter(|unit| !unit.extended && unit.layer != Layer::Floor);
        own.map(|unit| (unit.layer, PolicyFile::clone(&unit.file))).collect()
    }

    /// The limits of the kind of jobs at a place of [`JobPurpose::ALL`].
    pub(crate) fn job_limits(&self, at: usize) -> gloaming_api::job::JobLimits {
        self.inner.limits.jobs[at]
    }

    /// The files of every layer, with what they extend.
    pub(crate) fn units(&self) -> &[Unit] {
        &self.inner.units
    }

    /// Compiles files that were changed after they were resolved.
    pub(crate) fn recompiled(units: Vec<Unit>) -> Result<Self, String> {
        Self::compile(units).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    fn compile(units: Vec<Unit>) -> Result<Self, Vec<Diagnostic>> {
        let mut denied_by = Vec::new();
        let mut deny_patterns: Vec<&Pattern> = Vec::new();
        let mut allowances = Vec::new();
        for (index, unit) in units.iter().enumerate() {
            for (at, rule) in unit.file.deny.iter().enumerate() {
                for pattern in &rule.paths {
                    denied_by.push(DeniedBy::Rule { unit: index, rule: at });
                    deny_patterns.push(pattern);
                }
            }
            for (at, protected) in unit.file.change.protected.iter().enumerate() {
                denied_by.push(DeniedBy::Protected { unit: index, at });
                deny_patterns.push(&protected.pattern);
            }
            allowances.push(Allowances::new(&unit.file.allow));
        }
        let denials = DenySet::new(&deny_patterns);
        let limits = Limits::resolve(&units);
        let warns = units.iter().any(|unit| {
            unit.file.deny.iter().any(|rule| rule.warn) || unit.file.job_deny.iter().any(|rule| rule.warn)
        });
        let inner = Inner { denials, denied_by, allowances, limits, units, warns };
        let tools = Arc::default();
        let digest = object::digest(&inner, &tools);
        Ok(Self { inner: Arc::new(inner), tools, digest })
    }

    /// Runs the inline tests of every file but those compiled in. A test is decided by its file and the
    /// layers up to its own: what a later layer takes away is not its author's fault.
    fn run_tests(&self) -> Result<(), Vec<Diagnostic>> {
        let mut faults = Vec::new();
        for layer in [Layer::Operator, Layer::Repository, Layer::Task] {
            let tested = |unit: &&Unit| unit.layer == layer && !unit.extended && !unit.file.tests.is_empty();
            let tested: Vec<&Unit> = self
                .inner
                .units
                .iter()
                .filter(tested)
                .filter(|unit| unit.file.name != STANDARD_NAME)
                .collect();
            if tested.is_empty() {
                continue;
            }
            let below = self.inner.units.iter().filter(|unit| unit.layer <= layer).cloned().collect();
            let grant = Self::compile(below)?;
            for unit in tested {
                for test in &unit.file.tests {
                    let explained = match grant.explain(&test.call) {
                        Ok(explained) => explained,
                        Err(_) => continue, // refused when the file was parsed
                    };
                    let allowed = explained.decision == gloaming_api::tool::Decided::Allow;
                    if allowed == test.expect_allow {
                        continue;
                    }
                    let words = |allow: bool| if allow { "allow" } else { "deny" };
                    faults.push(Diagnostic {
                        file: unit.file.name.clone(),
                        line: test.line,
                        column: test.column,
                        message: format!(
                            "test failed: `{}` is expected to be {}, and is {} by rule {} ({}:{})",
                            test.call,
                            if test.expect_allow { "allowed" } else { "denied" },
                            if allowed { "allowed" } else { "denied" },
                            explained.rule,
                            explained.file,
                            explained.line,
                        ),
                        hint: Some(format!("change that rule, or write `expect = \"{}\"`", words(allowed))),
                    });
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Returns the digest of the compiled content.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns what the attempt may spend: the least of what the layers say.
    pub fn budget(&self) -> Budget {
        self.inner.limits.budget
    }

    /// Returns how large a patch may be; see [`Grant::decide_change`] for which paths it may touch.
    pub fn change(&self) -> &ChangeCaps {
        &self.inner.limits.change
    }

    /// Returns what a bad pull request costs by what a good one gains, 0 to 1e6: the highest that a layer says. A score
    /// of `c / (1 + c)` is needed.
    pub fn cost_ratio(&self) -> f64 {
        self.inner.limits.cost_ratio
    }

    /// Returns one line for each number that a layer reduced, or asked for and did not get.
    pub fn notes(&self) -> &[String] {
        &self.inner.limits.notes
    }

    /// Decides one access of a tool to a path, with the rule that decides.
    pub fn decide(&self, tool: &str, access: Access, path: &RelPath) -> Decision {
        self.judge(tool, access, path).into_decision()
    }

    /// Whether [`Grant::decide`] allows it, without putting the rule in words.
    pub fn allows(&self, tool: &str, access: Access, path: &RelPath) -> bool {
        self.judge(tool, access, path).allow
    }

    /// Returns the rules with `enforce = "warn"` that would deny the access; what is decided does not depend on them.
    pub fn warnings(&self, tool: &str, access: Access, path: &RelPath) -> Vec<RuleRef> {
        if !self.inner.warns {
            return Vec::new();
        }
        let spelled = Spelled::new(path.as_str());
        let mut found: Vec<(usize, usize)> = Vec::new();
        for pattern in self.inner.denials.matches(&spelled) {
            if let DeniedBy::Rule { unit, rule } = self.inner.denied_by[pattern] {
                let stated = &self.inner.units[unit].file.deny[rule];
                if stated.warn && stated.denies(tool, access) {
                    found.push((unit, rule));
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        let told = found.into_iter().map(|(unit, rule)| {
            let file = &self.inner.units[unit].file;
            let rule = &file.deny[rule];
            RuleRef {
                id: rule.id.clone(),
                file: file.name.clone(),
                line: rule.line,
                because: rule.because.clone(),
            }
        });
        told.collect()
    }

    /// Decides whether a patch may touch a path, whoever wrote the patch: whether a writing tool could
    /// have changed it under this grant, or it is a lockfile that follows its manifest ([`Grant::permit_lockfiles`]).
    pub fn decide_change(&self, path: &RelPath) -> Decision {
        self.judge_change(path).into_decision()
    }

    /// Returns the registered tools that the layers know, in the order of the layers; one that several files
    /// know stands there for each of them.
    pub fn declared_tools(&self) -> Vec<DeclaredTool> {
        let declared = self.inner.units.iter().flat_map(|unit| {
            unit.file.tools.iter().map(|tool| DeclaredTool {
                name: tool.name.clone(),
                digest: tool.digest.clone(),
                file: unit.file.name.clone(),
                line: tool.line,
            })
        });
        declared.collect()
    }

    /// Returns the MCP servers that the operator names, in the order of its files, each with those of its tools that no
    /// layer denies; none that is left without any.
    pub fn mcp_servers(&self) -> Vec<McpServer> {
        let tables = self.inner.units.iter().flat_map(|unit| &unit.file.mcp);
        let servers = tables.map(|table| McpServer {
            name: table.name.clone(),
            command: table.command.clone(),
            tools: table.tools.iter().filter(|(_, ours)| self.offers(ours)).cloned().collect(),
            workspace: table.workspace,
        });
        servers.filter(|server| !server.tools.is_empty()).collect()
    }

    /// The tools that some layer knows.
    pub(crate) fn tool_names(&self) -> Vec<&str> {
        let registered = self.inner.units.iter().flat_map(|unit| &unit.file.tools);
        let served = self.inner.units.iter().flat_map(|unit| &unit.file.mcp).flat_map(|server| &server.tools);
        TOOLS
            .iter()
            .copied()
            .chain(registered.map(|tool| tool.name.as_str()))
            .chain(served.map(|(_, ours)| ours.as_str()))
            .collect()
    }

    /// Returns the denial by which a file is kept out of every job's copy of the workspace; none when jobs see
    /// it. What a rule forbids `check`, or `read` and with it everybody, to read would come back to the model in
    /// a test's output.
    pub fn withheld(&self, path: &RelPath) -> Option<Denial> {
        self.denied("check", Access::Read, &Spelled::new(path.as_str())).map(judge::Judged::into_denial)
    }

    /// Whether a tool is not denied as a whole: those that are, are not shown to a model.
    pub fn offers(&self, tool: &str) -> bool {
        self.judge_tool(tool).allow
    }

    /// Returns the permit without which no tool runs.
    pub fn permit_tool(&self, tool: &str) -> Result<ToolPermit, Denial> {
        let judged = self.judge_tool(tool);
        if judged.allow {
            Ok(ToolPermit { tool: tool.to_owned(), grant: self.clone(), narrower: None })
        } else {
            Err(judged.into_denial())
        }
    }

    /// Returns the permit without which no job runs.
    pub fn permit_job(&self, purpose: JobPurpose) -> Result<JobPermit, Denial> {
        let judged = self.judge_job(purpose);
        if !judged.allow {
            return Err(judged.into_denial());
        }
        let at = JobPurpose::ALL.iter().position(|p| *p == purpose).expect("every purpose is in ALL");
        Ok(JobPermit {
            purpose,
            limits: self.inner.limits.jobs[at],
            command: None,
            warnings: Vec::new(),
            secrets: true,
            grant: self.clone(),
        })
    }
}

/// Adds what a file extends, and what that extends, each once for a layer.
fn extend(units: &mut Vec<Unit>, layer: Layer, file: &PolicyFile) {
    for base in file.extends.iter().filter_map(|extended| extended.file.as_ref()) {
        let known = |unit: &Unit| unit.layer == layer && unit.extended && unit.file.name() == base.name();
        if !units.iter().any(known) {
            units.push(Unit { layer, extended: true, file: base.clone() });
            extend(units, layer, base);
        }
    }
}

/// A file that extends another which nobody read. Only the operator's files have others beside them: a repository's
/// is read from the base commit alone.
fn not_read(layer: Layer, file: &PolicyFile) -> Vec<Diagnostic> {
    let missing = file.extends.iter().filter(|extended| {
        extended.file.is_none() || (layer == Layer::Repository && extended.text.starts_with("file:"))
    });
    missing
        .map(|extended| Diagnostic {
            file: file.name.clone(),
            line: extended.line,
            column: extended.column,
            message: format!(
                "{:?} cannot be extended here: only an operator's file can extend files",
                extended.text
            ),
            hint: Some("extend presets, and write the rules out".into()),
        })
        .collect()
}

fn for_other_repositories(file: &PolicyFile, repo: &RepoId) -> Diagnostic {
    let (line, column) = file.repos_place;
    Diagnostic {
        file: file.name.clone(),
        line,
        column,
        message: format!("this policy is for {}, and the repository is {repo}", file.repos.join(", ")),
        hint: Some("name the repository with `--as owner/name`, or add it to `repos`".into()),
    }
}
