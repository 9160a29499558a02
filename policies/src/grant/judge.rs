//! How a question about a file, a tool or a kind of job is answered.

use gloaming_api::RelPath;
use gloaming_api::job::JobPurpose;

use super::{DeniedBy, Grant, MANAGER};
use crate::file::{Rule, TOOLS, WRITING_TOOLS, forebears};
use crate::glob::{Pattern, Spelled};
use crate::preset::{FLOOR_NAME, STANDARD_NAME, floor_line, standard};
use crate::{Access, Decision, Denial, Layer, RuleRef};

/// A decision before it is put in words.
#[derive(Debug, Clone)]
pub(crate) struct Judged<'a> {
    pub(crate) allow: bool,
    pub(crate) layer: Layer,
    pub(super) file: &'a str,
    pub(super) line: u32,
    pub(super) reason: Reason<'a>,
}

#[derive(Debug, Clone)]
pub(super) enum Reason<'a> {
    Rule {
        id: &'a str,
        because: &'a str,
        instead: Option<&'a str>,
    },
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
    /// No rule about jobs covers what is asked; `may` is what they do.
    NotAmong {
        asked: String,
        may: Vec<String>,
    },
}

impl Judged<'_> {
    pub(crate) fn is_default_deny(&self) -> bool {
        matches!(self.reason, Reason::DefaultDeny { .. } | Reason::NotAmong { .. })
    }

    pub(crate) fn into_denial(self) -> Denial {
        let (id, because, instead) = match self.reason {
            Reason::Rule { id, because, instead } => {
                (id.to_owned(), because.to_owned(), instead.map(str::to_owned))
            }
            Reason::Own { id, because, instead } => (id, because, instead),
            Reason::NotAmong { asked, may } => {
                let instead = (!may.is_empty()).then(|| format!("They may have {}.", listed(may)));
                ("default-deny".into(), format!("No rule lets these jobs have {asked}."), instead)
            }
            Reason::DefaultDeny { tool, rules: [], .. } => {
                ("default-deny".into(), format!("No rule allows the tool `{tool}`."), None)
            }
            Reason::DefaultDeny { tool, names, rules } => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let speaking = rules.iter().filter(|rule| rule.tools.include_any(&names));
                let paths = speaking.flat_map(|rule| &rule.paths).map(|path| path.as_str().to_owned());
                (
                    "default-deny".into(),
                    format!("No rule lets `{tool}` touch this path."),
                    Some(format!("It may touch {}.", listed(paths.collect()))),
                )
            }
        };
        Denial { rule: RuleRef { id, file: self.file.to_owned(), line: self.line, because }, instead }
    }

    pub(super) fn into_decision(self) -> Decision {
        if self.allow { Decision::Allow(self.into_denial().rule) } else { Decision::Deny(self.into_denial()) }
    }
}

/// Names a few of them.
fn listed(mut names: Vec<String>) -> String {
    names.sort_unstable();
    names.dedup();
    let more = if names.len() > 12 { ", ..." } else { "" };
    names.truncate(12);
    format!("{}{more}", names.join(", "))
}

fn of_rule(rule: &Rule) -> Reason<'_> {
    Reason::Rule { id: &rule.id, because: &rule.because, instead: rule.instead.as_deref() }
}

impl Grant {
    /// What a patch may touch: what a writing tool could have changed, and a lockfile that follows its manifest.
    pub(super) fn judge_change(&self, path: &RelPath) -> Judged<'_> {
        let by_tools = self.judge_tools_change(path);
        if by_tools.allow {
            return by_tools;
        }
        let by_manager = self.judge_lockfile(path);
        if by_manager.allow { by_manager } else { by_tools }
    }

    pub(super) fn judge_tools_change(&self, path: &RelPath) -> Judged<'_> {
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

    pub(crate) fn judge(&self, tool: &str, access: Access, path: &RelPath) -> Judged<'_> {
        if tool == MANAGER {
            return self.judge_lockfile(path);
        }
        let judged = self.judge_own(tool, access, path);
        // No rule can know what a registered tool is for. So none of them writes where a patch may not: a
        // denial for edit, write and patch was not meant to leave a way round, and the gate would refuse it.
        if judged.allow && access == Access::Write && !TOOLS.contains(&tool) {
            let change = self.judge_tools_change(path);
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
        self.allowed(tool, |unit, rules, names| {
            self.inner.allowances[unit].fitting(rules, names, access, &path)
        })
    }

    /// The denial that is told first: by unit from the floor up, then by id.
    pub(super) fn denied(&self, tool: &str, access: Access, path: &Spelled<'_>) -> Option<Judged<'_>> {
        let mut found: Vec<(usize, &str, u32, Option<&Rule>)> = Vec::new();
        for pattern in self.inner.denials.matches(path) {
            match self.inner.denied_by[pattern] {
                DeniedBy::Rule { unit, rule } => {
                    let rule = &self.inner.units[unit].file.deny[rule];
                    if !rule.warn && rule.denies(tool, access) {
                        found.push((unit, &rule.id, rule.line, Some(rule)));
                    }
                }
                DeniedBy::Protected { unit, at } if access == Access::Write => {
                    let line = self.inner.units[unit].file.change.protected[at].line;
                    found.push((unit, "protected", line, None));
                }
                DeniedBy::Protected { .. } => {}
            }
        }
        // Rules before protected paths: they carry a reason of their own.
        let (unit, _, line, rule) =
            found.into_iter().min_by_key(|(unit, id, line, rule)| (*unit, rule.is_none(), *id, *line))?;
        let unit = &self.inner.units[unit];
        let reason = match rule {
            Some(rule) => of_rule(rule),
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
        for (index, unit) in self.inner.units.iter().enumerate() {
            let rules = unit.file.allow.as_slice();
            let allowances = &self.inner.allowances[index];
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
            granted =
                Some(Judged { allow: true, layer: unit.layer, file, line: rule.line, reason: of_rule(rule) });
        }
        match granted {
            Some(judged) if by_operator => judged,
            _ => {
                let unit = self.inner.units.iter().rfind(|unit| unit.layer == Layer::Operator);
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
        for unit in &self.inner.units {
            let whole = |rule: &&Rule| {
                rule.binds(tool)
                    && !rule.warn
                    && !rule.only_writes
                    && rule.paths.iter().any(Pattern::is_catch_all)
            };
            if let Some(rule) = unit.file.deny.iter().filter(whole).min_by_key(|rule| &rule.id) {
                return Judged {
                    allow: false,
                    layer: unit.layer,
                    file: &unit.file.name,
                    line: rule.line,
                    reason: of_rule(rule),
                };
            }
        }
        self.allowed(tool, |unit, rules, names| self.inner.allowances[unit].naming(rules, names))
    }

    pub(crate) fn judge_job(&self, purpose: JobPurpose) -> Judged<'_> {
        let id = format!("jobs.{}", purpose.as_str());
        for unit in &self.inner.units {
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
        let told = self.inner.units.iter().rev().find_map(|unit| {
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
