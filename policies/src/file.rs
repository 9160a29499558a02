//! A policy file as it was written, checked, with the lines of what can decide.

use std::collections::BTreeMap;

use gloaming_api::job::JobPurpose;
use gloaming_api::{Digest, RepoId};
use serde_json::{Value, json};

use crate::Access;
use crate::glob::Pattern;

/// The tools a rule may name.
pub const TOOLS: &[&str] =
    &["read", "list", "search", "outline", "diff", "edit", "write", "patch", "move", "remove", "check"];

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
    /// Names of presets, without `preset:`.
    pub(crate) extends: Vec<String>,
    pub(crate) allow: Vec<Rule>,
    pub(crate) deny: Vec<Rule>,
    pub(crate) jobs: BTreeMap<JobPurpose, JobSection>,
    pub(crate) budget: BudgetSection,
    pub(crate) change: ChangeSection,
    pub(crate) tests: Vec<InlineTest>,
    /// Registered tools the file knows.
    pub(crate) tools: Vec<ToolTable>,
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
        if !self.tools.is_empty() {
            let tools: BTreeMap<&str, Option<&Digest>> =
                self.tools.iter().map(|tool| (tool.name.as_str(), tool.digest.as_ref())).collect();
            content["tools"] = json!(tools);
        }
        content
    }

    /// Whether the file may grant a tool: Gloaming's own always, a registered one when a `[[tool]]` names it.
    pub(crate) fn knows(&self, tool: &str) -> bool {
        TOOLS.contains(&tool) || self.tools.iter().any(|known| known.name == tool)
    }
}

/// One `[[tool]]`: a registered tool that the file's rules may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolTable {
    pub(crate) name: String,
    /// The one component that may serve it.
    pub(crate) digest: Option<Digest>,
    pub(crate) line: u32,
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
    pub(crate) line: u32,
}

impl Rule {
    /// Whether a denial binds a tool: it names it, or one that could write before this one was there.
    pub(crate) fn binds(&self, tool: &str) -> bool {
        let forebears = if WRITING_TOOLS.contains(&tool) { forebears(tool) } else { &[] };
        self.tools.include(tool) || self.tools.include_any(forebears)
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
        json!({
            "id": self.id, "tools": tools, "only_writes": self.only_writes, "paths": paths,
            "because": self.because, "instead": self.instead,
        })
    }
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
}

impl JobSection {
    fn content(&self) -> Value {
        json!({
            "enabled": self.enabled.map(|s| s.value),
            "memory": self.memory.map(|s| s.value),
            "timeout_s": self.timeout.map(|s| s.value),
            "cpus": self.cpus.map(|s| s.value),
            "processes": self.processes.map(|s| s.value),
        })
    }
}

/// `[budget]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct BudgetSection {
    pub(crate) cost_usd: Option<Setting<f64>>,
    pub(crate) steps: Option<Setting<u32>>,
    /// Seconds.
    pub(crate) wall: Option<Setting<u64>>,
}

/// `[change]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChangeSection {
    pub(crate) files: Option<Setting<u32>>,
    pub(crate) lines: Option<Setting<u32>>,
    pub(crate) protected: Vec<Protected>,
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
