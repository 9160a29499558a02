//! A policy compiled for one attempt, and the permits it makes.

use std::sync::Arc;
use std::time::Duration;

use gloaming_api::job::{JobLimits, JobPurpose};
use gloaming_api::{Digest, RelPath, RepoId};
use serde_json::json;

use crate::allowances::Allowances;
use crate::file::{PolicyFile, Rule, TOOLS, WRITING_TOOLS, forebears};
use crate::glob::{DenySet, Pattern, Spelled};
use crate::limits::Limits;
use crate::preset::{FLOOR_NAME, STANDARD_NAME, floor, floor_line, preset_file, standard};
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
}

/// How large a patch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeCaps {
    /// Changed files.
    pub files: u32,
    /// Added and removed lines together.
    pub lines: u32,
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

/// A policy compiled for one attempt: its layers, their patterns and their numbers. Cheap to clone; two
/// grants of the same content have the same digest, whatever the order of layers, rules and patterns.
#[derive(Debug, Clone)]
pub struct Grant(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    units: Vec<Unit>,
    denials: DenySet,
    /// What each pattern of `denials` belongs to.
    denied_by: Vec<DeniedBy>,
    allowances: Vec<Allowances>,
    limits: Limits,
    digest: Digest,
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

/// A decision before it is put in words.
#[derive(Debug, Clone)]
pub(crate) struct Judged<'a> {
    pub(crate) allow: bool,
    pub(crate) layer: Layer,
    file: &'a str,
    line: u32,
    reason: Reason<'a>,
}

#[derive(Debug, Clone)]
enum Reason<'a> {
    Rule(&'a Rule),
    /// One of [`FLOOR_NAME`]'s decisions that are no rules, a protected path or a job.
    Own {
        id: String,
        because: String,
        instead: Option<String>,
    },
    /// None of the rules that name one of the tools fits.
    DefaultDeny {
        tool: String,
        names: Vec<String>,
        rules: &'a [Rule],
    },
}

impl Judged<'_> {
    pub(crate) fn is_default_deny(&self) -> bool {
        matches!(self.reason, Reason::DefaultDeny { .. })
    }

    pub(crate) fn into_denial(self) -> Denial {
        let (id, because, instead) = match self.reason {
            Reason::Rule(rule) => (rule.id.clone(), rule.because.clone(), rule.instead.clone()),
            Reason::Own { id, because, instead } => (id, because, instead),
            Reason::DefaultDeny { tool, rules: [], .. } => {
                ("default-deny".into(), format!("No rule allows the tool `{tool}`."), None)
            }
            Reason::DefaultDeny { tool, names, rules } => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let speaking = rules.iter().filter(|rule| rule.tools.include_any(&names));
                let mut paths: Vec<&str> =
                    speaking.flat_map(|rule| rule.paths.iter().map(Pattern::as_str)).collect();
                paths.sort_unstable();
                paths.dedup();
                let more = if paths.len() > 12 { ", ..." } else { "" };
                paths.truncate(12);
                (
                    "default-deny".into(),
                    format!("No rule lets `{tool}` touch this path."),
                    Some(format!("It may touch {}{more}.", paths.join(", "))),
                )
            }
        };
        Denial { rule: RuleRef { id, file: self.file.to_owned(), line: self.line, because }, instead }
    }

    fn into_decision(self) -> Decision {
        if self.allow { Decision::Allow(self.into_denial().rule) } else { Decision::Deny(self.into_denial()) }
    }
}

impl Grant {
    /// Compiles layers, given in any order, into a grant for one repository.
    ///
    /// The floor is always added. Of the operator's files only those count whose `repos` names the
    /// repository; with no operator's file at all `preset:standard` stands in, and with some but none for
    /// this repository there is no grant. A repository's or task's file always counts: it can only narrow.
    ///
    /// # Errors
    /// Every fault found: a file for other repositories, an inline `[[test]]` that fails.
    pub fn resolve(repo: &RepoId, layers: Vec<(Layer, PolicyFile)>) -> Result<Self, Vec<Diagnostic>> {
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
        let grant = Self::compile(units.clone())?;
        grant.run_tests()?;
        Ok(grant)
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
        let digest = Digest::of_json(&json!({
            "schema": 1,
            "units": units
                .iter()
                .map(|unit| json!({"layer": unit.layer, "content": unit.file.content()}))
                .collect::<Vec<_>>(),
            "budget": {
                "cost_usd": limits.budget.cost_usd,
                "steps": limits.budget.steps,
                "wall_s": limits.budget.wall.as_secs(),
            },
            "change": {"files": limits.change.files, "lines": limits.change.lines},
            "jobs": limits.jobs,
        }));
        Ok(Self(Arc::new(Inner { denials, denied_by, allowances, limits, digest, units })))
    }

    /// Runs the inline tests of every file but those compiled in. A test is decided by its file and the
    /// layers up to its own: what a later layer takes away is not its author's fault.
    fn run_tests(&self) -> Result<(), Vec<Diagnostic>> {
        let mut faults = Vec::new();
        for layer in [Layer::Operator, Layer::Repository, Layer::Task] {
            let tested = |unit: &&Unit| unit.layer == layer && !unit.extended && !unit.file.tests.is_empty();
            let tested: Vec<&Unit> =
                self.0.units.iter().filter(tested).filter(|unit| unit.file.name != STANDARD_NAME).collect();
            if tested.is_empty() {
                continue;
            }
            let below = self.0.units.iter().filter(|unit| unit.layer <= layer).cloned().collect();
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
        &self.0.digest
    }

    /// Returns what the attempt may spend: the least of what the layers say.
    pub fn budget(&self) -> Budget {
        self.0.limits.budget
    }

    /// Returns how large a patch may be; see [`Grant::decide_change`] for which paths it may touch.
    pub fn change(&self) -> &ChangeCaps {
        &self.0.limits.change
    }

    /// Returns one line for each number that a layer reduced, or asked for and did not get.
    pub fn notes(&self) -> &[String] {
        &self.0.limits.notes
    }

    /// Decides one access of a tool to a path, with the rule that decides.
    pub fn decide(&self, tool: &str, access: Access, path: &RelPath) -> Decision {
        self.judge(tool, access, path).into_decision()
    }

    /// Whether [`Grant::decide`] allows it, without putting the rule in words.
    pub fn allows(&self, tool: &str, access: Access, path: &RelPath) -> bool {
        self.judge(tool, access, path).allow
    }

    /// Decides whether a patch may touch a path, whoever wrote the patch: whether a writing tool could
    /// have changed it under this grant.
    pub fn decide_change(&self, path: &RelPath) -> Decision {
        self.judge_change(path).into_decision()
    }

    fn judge_change(&self, path: &RelPath) -> Judged<'_> {
        let mut denied: Option<Judged<'_>> = None;
        for tool in WRITING_TOOLS {
            let judged = self.judge(tool, Access::Write, path);
            if judged.allow {
                return judged;
            }
            // A rule that was written for the path says more than that none was.
            if denied.as_ref().is_none_or(|held| held.is_default_deny() && !judged.is_default_deny()) {
                denied = Some(judged);
            }
        }
        denied.expect("there is a writing tool")
    }

    /// Returns the registered tools that the layers know, in the order of the layers; one that several files
    /// know stands there for each of them.
    pub fn declared_tools(&self) -> Vec<DeclaredTool> {
        let declared = self.0.units.iter().flat_map(|unit| {
            unit.file.tools.iter().map(|tool| DeclaredTool {
                name: tool.name.clone(),
                digest: tool.digest.clone(),
                file: unit.file.name.clone(),
                line: tool.line,
            })
        });
        declared.collect()
    }

    /// The layers from the floor up, in the order in which they are asked.
    pub(crate) fn units(&self) -> &[Unit] {
        &self.0.units
    }

    /// The tools that some layer knows.
    pub(crate) fn tool_names(&self) -> Vec<&str> {
        let registered = self.0.units.iter().flat_map(|unit| &unit.file.tools);
        TOOLS.iter().copied().chain(registered.map(|tool| tool.name.as_str())).collect()
    }

    /// Returns the denial by which a file is kept out of every job's copy of the workspace; none when jobs see
    /// it. What a rule forbids `check`, or `read` and with it everybody, to read would come back to the model in
    /// a test's output.
    pub fn withheld(&self, path: &RelPath) -> Option<Denial> {
        self.denied("check", Access::Read, &Spelled::new(path.as_str())).map(Judged::into_denial)
    }

    /// Whether a tool is not denied as a whole: those that are, are not shown to a model.
    pub fn offers(&self, tool: &str) -> bool {
        self.judge_tool(tool).allow
    }

    /// Returns the permit without which no tool runs.
    pub fn permit_tool(&self, tool: &str) -> Result<ToolPermit, Denial> {
        let judged = self.judge_tool(tool);
        if judged.allow {
            Ok(ToolPermit { tool: tool.to_owned(), grant: self.clone() })
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
        Ok(JobPermit { purpose, limits: self.0.limits.jobs[at], grant: self.0.digest.clone() })
    }

    pub(crate) fn judge(&self, tool: &str, access: Access, path: &RelPath) -> Judged<'_> {
        let judged = self.judge_own(tool, access, path);
        // No rule can know what a registered tool is for. So none of them writes where a patch may not: a
        // denial for edit, write and patch was not meant to leave a way round, and the gate would refuse it.
        if judged.allow && access == Access::Write && !TOOLS.contains(&tool) {
            let change = self.judge_change(path);
            if !change.allow {
                return change;
            }
        }
        judged
    }

    fn judge_own(&self, tool: &str, access: Access, path: &RelPath) -> Judged<'_> {
        if path.is_root() {
            let judged = self.judge_tool(tool);
            if access == Access::Write && judged.allow {
                return Judged {
                    allow: false,
                    layer: Layer::Floor,
                    file: FLOOR_NAME,
                    line: floor_line("repository-root"),
                    reason: Reason::Own {
                        id: "repository-root".into(),
                        because: "The root is a folder, not a file.".into(),
                        instead: Some("Name a file.".into()),
                    },
                };
            }
            return judged;
        }
        let path = Spelled::new(path.as_str());
        if let Some(denied) = self.denied(tool, access, &path) {
            return denied;
        }
        self.allowed(tool, |unit, rules, names| self.0.allowances[unit].fitting(rules, names, access, &path))
    }

    /// The denial that is told first: by unit from the floor up, then by id.
    fn denied(&self, tool: &str, access: Access, path: &Spelled<'_>) -> Option<Judged<'_>> {
        let mut found: Vec<(usize, &str, u32, Option<&Rule>)> = Vec::new();
        for pattern in self.0.denials.matches(path) {
            match self.0.denied_by[pattern] {
                DeniedBy::Rule { unit, rule } => {
                    let rule = &self.0.units[unit].file.deny[rule];
                    if rule.denies(tool, access) {
                        found.push((unit, &rule.id, rule.line, Some(rule)));
                    }
                }
                DeniedBy::Protected { unit, at } if access == Access::Write => {
                    let line = self.0.units[unit].file.change.protected[at].line;
                    found.push((unit, "protected", line, None));
                }
                DeniedBy::Protected { .. } => {}
            }
        }
        // Rules before protected paths: they carry a reason of their own.
        let (unit, _, line, rule) =
            found.into_iter().min_by_key(|(unit, id, line, rule)| (*unit, rule.is_none(), *id, *line))?;
        let unit = &self.0.units[unit];
        let reason = match rule {
            Some(rule) => Reason::Rule(rule),
            None => Reason::Own {
                id: "protected".into(),
                because: "No patch may change a protected path.".into(),
                instead: Some("Leave it as it is and say in the summary what would have to change.".into()),
            },
        };
        Some(Judged { allow: false, layer: unit.layer, file: &unit.file.name, line, reason })
    }

    /// Every unit that has allow rules for the tool must have one that fits, and one of the operator's that
    /// knows the tool must: a `*` that was written before a tool was registered narrows it and does not
    /// grant it. A unit that does not name the tool but one whose rules bind it too is narrowed by those, and
    /// grants nothing. `fitting` returns the index of a unit's rule that fits, among those that name one of
    /// the tools it is handed.
    fn allowed<'s>(
        &'s self,
        tool: &str,
        fitting: impl Fn(usize, &'s [Rule], &[&str]) -> Option<usize>,
    ) -> Judged<'s> {
        let mut granted: Option<Judged<'s>> = None;
        let mut by_operator = false;
        for (index, unit) in self.0.units.iter().enumerate() {
            let rules = unit.file.allow.as_slice();
            let allowances = &self.0.allowances[index];
            let own = [tool];
            let named = allowances.first_line(&own).is_some();
            let names = if named { &own[..] } else { forebears(tool) };
            let Some(line) = allowances.first_line(names) else { continue };
            let Some(at) = fitting(index, rules, names) else {
                let names = names.iter().map(|name| (*name).to_owned()).collect();
                let reason = Reason::DefaultDeny { tool: tool.to_owned(), names, rules };
                return Judged { allow: false, layer: unit.layer, file: &unit.file.name, line, reason };
            };
            by_operator |= named && unit.layer == Layer::Operator && unit.file.knows(tool);
            let (rule, file) = (&rules[at], unit.file.name.as_str());
            granted = Some(Judged {
                allow: true,
                layer: unit.layer,
                file,
                line: rule.line,
                reason: Reason::Rule(rule),
            });
        }
        match granted {
            Some(judged) if by_operator => judged,
            _ => {
                let unit = self.0.units.iter().rfind(|unit| unit.layer == Layer::Operator);
                Judged {
                    allow: false,
                    layer: Layer::Operator,
                    file: unit.map_or(FLOOR_NAME, |unit| &unit.file.name),
                    line: 1,
                    reason: Reason::DefaultDeny { tool: tool.to_owned(), names: Vec::new(), rules: &[] },
                }
            }
        }
    }

    /// Whether a tool may be used at all.
    pub(crate) fn judge_tool(&self, tool: &str) -> Judged<'_> {
        for unit in &self.0.units {
            let whole = |rule: &&Rule| {
                rule.binds(tool) && !rule.only_writes && rule.paths.iter().any(Pattern::is_catch_all)
            };
            if let Some(rule) = unit.file.deny.iter().filter(whole).min_by_key(|rule| &rule.id) {
                return Judged {
                    allow: false,
                    layer: unit.layer,
                    file: &unit.file.name,
                    line: rule.line,
                    reason: Reason::Rule(rule),
                };
            }
        }
        self.allowed(tool, |unit, rules, names| self.0.allowances[unit].naming(rules, names))
    }

    pub(crate) fn judge_job(&self, purpose: JobPurpose) -> Judged<'_> {
        let id = format!("jobs.{}", purpose.as_str());
        for unit in &self.0.units {
            let section = unit.file.jobs.get(&purpose);
            if let Some(enabled) =
                section.and_then(|section| section.enabled).filter(|enabled| !enabled.value)
            {
                return Judged {
                    allow: false,
                    layer: unit.layer,
                    file: &unit.file.name,
                    line: enabled.line,
                    reason: Reason::Own {
                        because: format!("Jobs of the kind {} are switched off.", purpose.as_str()),
                        instead: None,
                        id,
                    },
                };
            }
        }
        let told = self.0.units.iter().rev().find_map(|unit| {
            unit.file.jobs.get(&purpose).map(|section| (unit.layer, unit.file.name.as_str(), section.line))
        });
        let (layer, file, line) = told.unwrap_or_else(|| {
            let line = standard().jobs.get(&purpose).map_or(1, |section| section.line);
            (Layer::Operator, STANDARD_NAME, line)
        });
        let reason = Reason::Own { id, because: String::new(), instead: None };
        Judged { allow: true, layer, file, line, reason }
    }
}

/// Adds the presets that a file extends, and those that they extend, each once for a layer.
fn extend(units: &mut Vec<Unit>, layer: Layer, file: &PolicyFile) {
    for name in &file.extends {
        let preset = preset_file(name).expect("a name that is no preset's does not parse");
        let known = |unit: &Unit| unit.layer == layer && unit.extended && unit.file.name() == preset.name();
        if !units.iter().any(known) {
            units.push(Unit { layer, extended: true, file: preset.clone() });
            extend(units, layer, preset);
        }
    }
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

    /// Whether [`ToolPermit::decide`] allows it, without putting the rule in words.
    pub fn allows(&self, access: Access, path: &RelPath) -> bool {
        self.grant.allows(&self.tool, access, path)
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
