//! A policy file as it was written, checked, with the lines of what can decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use gloaming_api::job::JobPurpose;
use gloaming_api::{Digest, RepoId};
use serde_json::{Value, json};

use crate::Access;
use crate::glob::Pattern;
use crate::subject::{Asked, Host, Kind, Subject, Wild};

/// The tools a rule may name.
pub const TOOLS: &[&str] =
    &["read", "list", "search", "outline", "diff", "edit", "write", "patch", "move", "remove", "check"];

/// Names that no tool of anybody else's may have either, since a call by one is taken by the host itself: those by which a
/// role ends its work or looks at earlier results, and what the record knows the host's own work by. The crate that takes
/// such a call tests that its names are here.
pub const HOST_NAMES: &[&str] = &["finish", "give_up", "plan", "review", "classify", "recall", "map", "fix"];

/// Those of [`TOOLS`] that change files.
pub const WRITING_TOOLS: &[&str] = &["edit", "write", "patch", "move", "remove"];

/// Returns the tools whose rules bind a later tool too, so that a policy from before there was one has no
/// hole in it: an author who kept edit, write and patch out of a folder had named every way to write.
pub(crate) fn forebears(tool: &str) -> &'static [&'static str] {
    match tool {
        "move" | "remove" => &["edit", "write", "patch"],
        "outline" | "diff" => &["read"],
        _ => &[],
    }
}

/// A policy file that was parsed and checked; made by [`crate::parse`].
#[derive(Debug, Clone)]
pub struct PolicyFile {
    pub(crate) name: String,
    pub(crate) repos: Vec<String>,
    pub(crate) extends: Vec<Extended>,
    pub(crate) allow: Vec<Rule>,
    pub(crate) deny: Vec<Rule>,
    pub(crate) job_allow: Vec<JobRule>,
    pub(crate) job_deny: Vec<JobRule>,
    pub(crate) jobs: BTreeMap<JobPurpose, JobSection>,
    pub(crate) budget: BudgetSection,
    pub(crate) change: ChangeSection,
    pub(crate) gate: GateSection,
    pub(crate) submit: Option<SubmitSection>,
    pub(crate) model: Option<ModelSection>,
    pub(crate) tests: Vec<InlineTest>,
    /// Registered tools the file knows.
    pub(crate) tools: Vec<ToolTable>,
    /// MCP servers whose tools the file lets be used.
    pub(crate) mcp: Vec<McpTable>,
    /// Where `repos` stands.
    pub(crate) repos_place: (u32, u32),
}

impl PolicyFile {
    /// Returns the file's name, as it was given to [`crate::parse`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `repos` names the repository; true where the file has no `repos`.
    pub fn applies_to(&self, repo: &RepoId) -> bool {
        self.repos.is_empty() || self.repos.iter().any(|pattern| repo_matches(pattern, repo.as_str()))
    }

    /// Returns a repository that `repos` names (`acme/*` gives `acme/example`), `local/example` where the
    /// file has none: for explaining a file on its own.
    pub fn example_repo(&self) -> RepoId {
        let first = self.repos.first().map_or("local/example", String::as_str);
        let spelled = if first == "*" { "*/*" } else { first };
        spelled.replace('*', "example").parse().unwrap_or_else(|_| RepoId::local("example"))
    }

    /// What the file says, without its name and places, every list sorted: the part of a grant's digest.
    pub(crate) fn content(&self) -> Value {
        let rules = |rules: &[Rule]| {
            let mut rules: Vec<Value> = rules.iter().map(Rule::content).collect();
            rules.sort_by_cached_key(ToString::to_string);
            rules
        };
        let mut protected: Vec<&str> = self.change.protected.iter().map(|p| p.pattern.as_str()).collect();
        protected.sort_unstable();
        let jobs: BTreeMap<&str, Value> =
            self.jobs.iter().map(|(purpose, section)| (purpose.as_str(), section.content())).collect();
        let mut content = json!({
            "allow": rules(&self.allow),
            "deny": rules(&self.deny),
            "jobs": jobs,
            "budget": {
                "cost_usd": self.budget.cost_usd.map(|s| s.value),
                "steps": self.budget.steps.map(|s| s.value),
                "wall_s": self.budget.wall.map(|s| s.value),
            },
            "change": {
                "files": self.change.files.map(|s| s.value),
                "lines": self.change.lines.map(|s| s.value),
                "protected": protected,
            },
        });
        // Left out where there is none, so that a policy from before there were any keeps its digest.
        for (key, said) in [("tokens", self.budget.tokens), ("tool_bytes", self.budget.tool_bytes)] {
            if let Some(setting) = said {
                content["budget"][key] = json!(setting.value);
            }
        }
        if let Some(cost) = self.budget.day_cost_usd {
            content["budget"]["day"]["cost_usd"] = json!(cost.value);
        }
        if let Some(tokens) = self.budget.day_tokens {
            content["budget"]["day"]["tokens"] = json!(tokens.value);
        }
        if let Some(tests) = self.change.existing_tests {
            content["change"]["existing_tests"] = json!(if tests.value { "change" } else { "keep" });
        }
        if let Some(dependencies) = self.change.dependencies {
            content["change"]["dependencies"] = json!(if dependencies.value { "change" } else { "keep" });
        }
        if let Some(ratio) = self.gate.cost_ratio {
            content["gate"] = json!({"cost_ratio": ratio.value});
        }
        let job_rules = |rules: &[JobRule]| {
            let mut rules: Vec<Value> = rules.iter().map(JobRule::content).collect();
            rules.sort_by_cached_key(ToString::to_string);
            rules
        };
        for (key, rules) in [("job_allow", &self.job_allow), ("job_deny", &self.job_deny)] {
            if !rules.is_empty() {
                content[key] = json!(job_rules(rules));
            }
        }
        if let Some(submit) = &self.submit {
            let mut entries: Vec<Value> = submit.entries.iter().map(SubmitEntry::content).collect();
            entries.sort_by_cached_key(ToString::to_string);
            content["submit"] = json!(entries);
        }
        if let Some(model) = &self.model {
            let sorted = |mut texts: Vec<String>| {
                texts.sort_unstable();
                texts
            };
            content["model"] = json!({
                "allow": sorted(model.allow.iter().map(|(pattern, _)| pattern.text()).collect()),
                "hosts": sorted(model.hosts.iter().map(|host| host.text.clone()).collect()),
            });
        }
        if !self.tools.is_empty() {
            let tools: BTreeMap<&str, Option<&Digest>> =
                self.tools.iter().map(|tool| (tool.name.as_str(), tool.digest.as_ref())).collect();
            content["tools"] = json!(tools);
        }
        if !self.mcp.is_empty() {
            let mut servers: Vec<Value> = self.mcp.iter().map(|server| server.content()).collect();
            servers.sort_by_cached_key(ToString::to_string);
            content["mcp"] = json!(servers);
        }
        content
    }

    /// Whether the file may grant a tool: Gloaming's own always, a registered one when a `[[tool]]` names it, an MCP
    /// server's when an `[[mcp]]` does.
    pub(crate) fn knows(&self, tool: &str) -> bool {
        TOOLS.contains(&tool)
            || self.tools.iter().any(|known| known.name == tool)
            || self.mcp.iter().any(|server| server.tools.iter().any(|(_, ours)| ours == tool))
    }
}

/// What a file extends.
#[derive(Debug, Clone)]
pub(crate) struct Extended {
    /// As it is written: `preset:standard`, `file:base.toml`.
    pub(crate) text: String,
    /// The file itself; none while a `file:` has not been read.
    pub(crate) file: Option<Arc<PolicyFile>>,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// One `[[tool]]`: a registered tool that the file's rules may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolTable {
    pub(crate) name: String,
    /// The one component that may serve it.
    pub(crate) digest: Option<Digest>,
    pub(crate) line: u32,
}

/// One `[[mcp]]`: a server of the Model Context Protocol, and which of its tools may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct McpTable {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    /// Its tools by its own names and by ours.
    pub(crate) tools: Vec<(String, String)>,
    /// Whether it sees a copy of the workspace.
    pub(crate) workspace: bool,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl McpTable {
    fn content(&self) -> Value {
        let mut tools: Vec<&str> = self.tools.iter().map(|(theirs, _)| theirs.as_str()).collect();
        tools.sort_unstable();
        json!({"name": self.name, "command": self.command, "tools": tools, "workspace": self.workspace})
    }
}

/// One `[[allow]]` or `[[deny]]`.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) tools: Tools,
    /// Only for `[[deny]]`: binds writing alone.
    pub(crate) only_writes: bool,
    pub(crate) paths: Vec<Pattern>,
    pub(crate) because: String,
    pub(crate) instead: Option<String>,
    /// Only for `[[deny]]`: decides nothing yet, and is told where it would.
    pub(crate) warn: bool,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Rule {
    /// Whether a denial binds a tool: it names it, or one that the tool comes to the same as. What may not be edited may
    /// not be overwritten, moved away or removed either; what may not be written or removed may not be by a patch. A
    /// denial of a tool as a whole is about that tool; only those that are younger than it are bound too.
    pub(crate) fn binds(&self, tool: &str) -> bool {
        let whole = || self.paths.iter().any(Pattern::is_catch_all);
        let same: &[&str] = match tool {
            "edit" => &["patch"],
            "write" => &["edit", "patch"],
            "patch" => &["edit", "write", "remove"],
            "move" => &["edit", "write", "patch", "remove"],
            "remove" => &["edit", "write", "patch"],
            _ => &[],
        };
        self.tools.include(tool)
            || (self.tools.include_any(forebears(tool)) && WRITING_TOOLS.contains(&tool))
            || (self.tools.include_any(same) && !whole())
    }

    /// Whether a denial binds a tool's access. What `read` may not see no other tool may: an error of edit
    /// shows what is there, and a search of one file is a way to read it.
    pub(crate) fn denies(&self, tool: &str, access: Access) -> bool {
        let named = self.binds(tool) || (access == Access::Read && self.tools.include("read"));
        named && (access == Access::Write || !self.only_writes)
    }

    fn content(&self) -> Value {
        let mut paths: Vec<&str> = self.paths.iter().map(Pattern::as_str).collect();
        paths.sort_unstable();
        let tools = match &self.tools {
            Tools::All => vec!["*"],
            Tools::Named(names) => {
                let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
                names.sort_unstable();
                names
            }
        };
        let mut content = json!({
            "id": self.id, "tools": tools, "only_writes": self.only_writes, "paths": paths,
            "because": self.because, "instead": self.instead,
        });
        if self.warn {
            content["enforce"] = json!("warn");
        }
        content
    }
}

/// One `[[allow]]` or `[[deny]]` about jobs.
#[derive(Debug, Clone)]
pub(crate) struct JobRule {
    pub(crate) id: String,
    pub(crate) purposes: Vec<JobPurpose>,
    pub(crate) kind: Kind,
    /// With the line and column of each.
    pub(crate) subjects: Vec<(Subject, u32, u32)>,
    pub(crate) because: String,
    pub(crate) instead: Option<String>,
    pub(crate) warn: bool,
    pub(crate) line: u32,
}

impl JobRule {
    /// Whether the rule speaks of such a thing of such jobs.
    pub(crate) fn speaks(&self, purpose: JobPurpose, kind: Kind) -> bool {
        self.kind == kind && self.purposes.contains(&purpose)
    }

    pub(crate) fn allows(&self, purpose: JobPurpose, asked: &Asked<'_>) -> bool {
        self.speaks(purpose, asked.kind()) && self.subjects.iter().any(|(subject, ..)| subject.allows(asked))
    }

    pub(crate) fn denies(&self, purpose: JobPurpose, asked: &Asked<'_>) -> bool {
        self.speaks(purpose, asked.kind()) && self.subjects.iter().any(|(subject, ..)| subject.denies(asked))
    }

    fn content(&self) -> Value {
        let mut subjects: Vec<String> = self.subjects.iter().map(|(subject, ..)| subject.text()).collect();
        subjects.sort_unstable();
        let mut purposes: Vec<&str> = self.purposes.iter().map(|purpose| purpose.as_str()).collect();
        purposes.sort_unstable();
        let mut content = json!({
            "id": self.id, "jobs": purposes, "because": self.because, "instead": self.instead,
        });
        content[self.kind.key()] = json!(subjects);
        if self.warn {
            content["enforce"] = json!("warn");
        }
        content
    }
}

/// `[submit]`: who may ask for what.
#[derive(Debug, Clone)]
pub(crate) struct SubmitSection {
    pub(crate) line: u32,
    pub(crate) entries: Vec<SubmitEntry>,
}

/// One line of `[submit]`.
#[derive(Debug, Clone)]
pub(crate) struct SubmitEntry {
    /// Like `local`, `token:chat-*` or `github:alice`.
    pub(crate) asker: Wild,
    /// `model`, playbooks by name, or `*`.
    pub(crate) what: Vec<Wild>,
    pub(crate) line: u32,
}

impl SubmitEntry {
    fn content(&self) -> Value {
        let mut what: Vec<String> = self.what.iter().map(Wild::text).collect();
        what.sort_unstable();
        json!({"asker": self.asker.text(), "what": what})
    }
}

/// `[model]`: where a repository's code may be sent.
#[derive(Debug, Clone)]
pub(crate) struct ModelSection {
    pub(crate) line: u32,
    /// Like `anthropic:*`, each with its line.
    pub(crate) allow: Vec<(Wild, u32)>,
    /// Addresses besides the provider's own.
    pub(crate) hosts: Vec<Host>,
}

/// The tools a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tools {
    All,
    Named(Vec<String>),
}

impl Tools {
    pub(crate) fn include(&self, tool: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| name == tool),
        }
    }

    /// The names it is made of.
    pub(crate) fn named(&self) -> &[String] {
        match self {
            Self::All => &[],
            Self::Named(names) => names,
        }
    }

    pub(crate) fn include_any(&self, tools: &[&str]) -> bool {
        tools.iter().any(|tool| self.include(tool))
    }
}

/// A number and the line it stands on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) line: u32,
}

/// One `[jobs.*]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobSection {
    pub(crate) line: u32,
    pub(crate) enabled: Option<Setting<bool>>,
    /// Bytes.
    pub(crate) memory: Option<Setting<u64>>,
    /// Seconds.
    pub(crate) timeout: Option<Setting<u64>>,
    pub(crate) cpus: Option<Setting<f64>>,
    pub(crate) processes: Option<Setting<u32>>,
    /// What such jobs may reach, each with its line and column; nothing where the list is empty, and not spoken of
    /// where there is none.
    pub(crate) network: Option<Vec<(Host, u32, u32)>>,
}

impl JobSection {
    /// Whether it says that such jobs reach no host, whatever else does.
    pub(crate) fn reach_nothing(&self) -> bool {
        self.network.as_ref().is_some_and(Vec::is_empty)
    }

    /// The hosts that are named, with their places.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &(Host, u32, u32)> {
        self.network.iter().flatten()
    }

    fn content(&self) -> Value {
        let mut content = json!({
            "enabled": self.enabled.map(|s| s.value),
            "memory": self.memory.map(|s| s.value),
            "timeout_s": self.timeout.map(|s| s.value),
            "cpus": self.cpus.map(|s| s.value),
            "processes": self.processes.map(|s| s.value),
        });
        if let Some(network) = &self.network {
            let mut hosts: Vec<&str> = network.iter().map(|(host, ..)| host.text.as_str()).collect();
            hosts.sort_unstable();
            content["network"] = json!(hosts);
        }
        content
    }
}

/// `[budget]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct BudgetSection {
    pub(crate) cost_usd: Option<Setting<f64>>,
    pub(crate) steps: Option<Setting<u32>>,
    /// Seconds.
    pub(crate) wall: Option<Setting<u64>>,
    pub(crate) tokens: Option<Setting<u64>>,
    /// Bytes.
    pub(crate) tool_bytes: Option<Setting<u64>>,
    /// Of `[budget.day]`.
    pub(crate) day_cost_usd: Option<Setting<f64>>,
    pub(crate) day_tokens: Option<Setting<u64>>,
}

/// `[change]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChangeSection {
    pub(crate) files: Option<Setting<u32>>,
    pub(crate) lines: Option<Setting<u32>>,
    /// Whether existing tests may change.
    pub(crate) existing_tests: Option<Setting<bool>>,
    /// Whether dependencies may change.
    pub(crate) dependencies: Option<Setting<bool>>,
    pub(crate) protected: Vec<Protected>,
}

/// `[gate]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct GateSection {
    /// What a bad pull request costs by what a good one gains.
    pub(crate) cost_ratio: Option<Setting<f64>>,
}

/// One pattern of `change.protected`.
#[derive(Debug, Clone)]
pub(crate) struct Protected {
    pub(crate) pattern: Pattern,
    pub(crate) line: u32,
}

/// One `[[test]]`.
#[derive(Debug, Clone)]
pub(crate) struct InlineTest {
    pub(crate) call: String,
    pub(crate) expect_allow: bool,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// Matches `owner/name` with `*` within either part; repository names do not differ by case.
fn repo_matches(pattern: &str, repo: &str) -> bool {
    fn part(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| part(rest, &text[skip..])),
            Some((c, rest)) => {
                text.split_first().is_some_and(|(t, tail)| t.eq_ignore_ascii_case(c) && part(rest, tail))
            }
        }
    }
    let whole = if pattern == "*" { "*/*" } else { pattern };
    match (whole.split_once('/'), repo.split_once('/')) {
        (Some((po, pn)), Some((ro, rn))) => {
            part(po.as_bytes(), ro.as_bytes()) && part(pn.as_bytes(), rn.as_bytes())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::repo_matches;

    #[test]
    fn repositories_are_named_by_owner_and_name() {
        assert!(repo_matches("acme/*", "acme/api"));
        assert!(repo_matches("Acme/API", "acme/api"));
        assert!(repo_matches("*", "acme/api"));
        assert!(repo_matches("acme/api-*", "acme/api-v2"));
        assert!(!repo_matches("acme/*", "evil/acme"));
        assert!(!repo_matches("acme/*", "acme-evil/api"));
        assert!(!repo_matches("*", "acme"));
    }
}
