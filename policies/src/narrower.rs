//! Whether a policy can be seen to be narrower than another by what is written, beside the samples that are asked.
//!
//! Samples find what changes on the tree and near it; that nothing else changes they cannot show. So whatever the old
//! policy denies the new one must deny by a pattern that takes as much, and wherever the old one narrows a tool to some
//! patterns the new one must narrow it to the same or to what lies beneath. What cannot be seen to be so counts as
//! gained, and is told as a rule.

use std::collections::BTreeSet;

use gloaming_api::job::JobPurpose;

use crate::file::{JobRule, Rule, TOOLS, forebears};
use crate::glob::Pattern;
use crate::grant::Unit;
use crate::subject::Kind;
use crate::{Access, Grant};

/// Sentences on what the new grant does not visibly hold of the old one.
pub(crate) fn unseen(old: &Grant, new: &Grant) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let tools: BTreeSet<&str> = old.tool_names().into_iter().chain(new.tool_names()).collect();
    for tool in tools.into_iter().filter(|tool| new.offers(tool)) {
        if !old.offers(tool) {
            found.insert(format!("the tool {tool} is let be used"));
        }
        for access in [Access::Read, Access::List, Access::Write] {
            denials(old, new, tool, access, &mut found);
        }
        allowances(old, new, tool, &mut found);
    }
    pins(old, new, &mut found);
    for purpose in JobPurpose::ALL {
        for kind in Kind::ALL {
            jobs(old, new, *purpose, *kind, &mut found);
        }
    }
    found
}

/// What of each kind the denials of a grant take from a tool.
fn denied<'a>(grant: &'a Grant, tool: &'a str, access: Access) -> Vec<&'a Pattern> {
    let rules = grant.units().iter().flat_map(|unit| &unit.file.deny);
    let denying = rules.filter(|rule| !rule.warn && rule.denies(tool, access));
    let mut patterns: Vec<&Pattern> = denying.flat_map(|rule| &rule.paths).collect();
    if access == Access::Write {
        let protected = grant.units().iter().flat_map(|unit| &unit.file.change.protected);
        patterns.extend(protected.map(|protected| &protected.pattern));
    }
    patterns
}

fn denials(old: &Grant, new: &Grant, tool: &str, access: Access, found: &mut BTreeSet<String>) {
    let now = denied(new, tool, access);
    for pattern in denied(old, tool, access) {
        if !now.iter().any(|kept| kept.covers(pattern)) {
            let verb = if access == Access::Write { "change" } else { "look at" };
            found.insert(format!("{tool} is not kept from {:?} any more (to {verb} it)", pattern.as_str()));
        }
    }
}

/// The patterns a unit narrows a tool to; none where it does not speak of it, or allows it everything.
fn narrowed<'a>(unit: &'a Unit, tool: &str) -> Option<Vec<&'a Pattern>> {
    let naming = |names: &[&str]| -> Vec<&Rule> {
        unit.file.allow.iter().filter(|rule| rule.tools.include_any(names)).collect()
    };
    let mut rules = naming(&[tool]);
    if rules.is_empty() {
        rules = naming(forebears(tool));
    }
    let patterns: Vec<&Pattern> = rules.iter().flat_map(|rule| &rule.paths).collect();
    (!patterns.is_empty() && !patterns.iter().any(|pattern| pattern.is_catch_all())).then_some(patterns)
}

fn allowances(old: &Grant, new: &Grant, tool: &str, found: &mut BTreeSet<String>) {
    let now: Vec<Vec<&Pattern>> = new.units().iter().filter_map(|unit| narrowed(unit, tool)).collect();
    for then in old.units().iter().filter_map(|unit| narrowed(unit, tool)) {
        let within =
            |patterns: &Vec<&Pattern>| patterns.iter().all(|new| then.iter().any(|old| old.covers(new)));
        if now.iter().any(within) {
            continue;
        }
        // The nearest of them tells what is new.
        let fresh = |patterns: &Vec<&Pattern>| -> Vec<String> {
            let outside = patterns.iter().filter(|new| !then.iter().any(|old| old.covers(new)));
            outside.map(|pattern| format!("{:?}", pattern.as_str())).collect()
        };
        let nearest = now.iter().map(fresh).min_by_key(Vec::len);
        found.insert(match nearest {
            Some(patterns) => format!("{tool} is let touch {}", patterns.join(", ")),
            None => {
                let held: Vec<String> = then.iter().take(6).map(|p| format!("{:?}", p.as_str())).collect();
                format!("{tool} is not held to {} any more", held.join(", "))
            }
        });
    }
}

/// A pin that is gone lets any component serve the tool.
fn pins(old: &Grant, new: &Grant, found: &mut BTreeSet<String>) {
    let now = new.declared_tools();
    for tool in old.declared_tools().into_iter().filter(|tool| tool.digest.is_some()) {
        let of_name = || now.iter().filter(|known| known.name == tool.name);
        if of_name().next().is_some() && !of_name().any(|known| known.digest == tool.digest) {
            found.insert(format!("the tool {} may be served by another component", tool.name));
        }
    }
    let then = old.mcp_servers();
    for server in new.mcp_servers() {
        let same = |known: &&crate::McpServer| {
            known.command == server.command && known.workspace >= server.workspace
        };
        if !then.iter().filter(|known| known.name == server.name).any(|known| same(&known)) {
            found.insert(format!(
                "the MCP server {} may be started: {}",
                server.name,
                server.command.join(" ")
            ));
        }
    }
    for tool in now.iter().filter(|tool| !TOOLS.contains(&tool.name.as_str())) {
        if !old.declared_tools().iter().any(|known| known.name == tool.name) && new.offers(&tool.name) {
            found.insert(format!("the registered tool {} may be used", tool.name));
        }
    }
}

fn jobs(old: &Grant, new: &Grant, purpose: JobPurpose, kind: Kind, found: &mut BTreeSet<String>) {
    if !new.judge_job(purpose).allow {
        return;
    }
    let texts = |rules: &[&JobRule]| -> BTreeSet<String> {
        rules.iter().flat_map(|rule| rule.subjects.iter().map(|(subject, ..)| subject.text())).collect()
    };
    let speaking = |rules: &[JobRule]| -> BTreeSet<String> {
        texts(&rules.iter().filter(|rule| !rule.warn && rule.speaks(purpose, kind)).collect::<Vec<_>>())
    };
    let of = purpose.as_str();
    let denied = |grant: &Grant| -> BTreeSet<String> {
        grant.units().iter().flat_map(|unit| speaking(&unit.file.job_deny)).collect()
    };
    let now = denied(new);
    for gone in denied(old).difference(&now).filter(|_| !now.contains("*")) {
        found.insert(format!("{of} jobs are not kept from {} {gone:?} any more", kind.key()));
    }
    let allowed = |grant: &Grant| -> Vec<BTreeSet<String>> {
        let sets = grant.units().iter().map(|unit| {
            let mut set = speaking(&unit.file.job_allow);
            if let (Kind::Hosts, Some(section)) = (kind, unit.file.jobs.get(&purpose)) {
                set.extend(section.hosts().map(|(host, ..)| host.text.clone()));
            }
            set
        });
        sets.filter(|set| !set.is_empty() && !set.contains("*")).collect()
    };
    let now = allowed(new);
    for then in allowed(old) {
        if now.iter().any(|set| set.is_subset(&then)) {
            continue;
        }
        let nearest =
            now.iter().map(|set| set.difference(&then).cloned().collect::<Vec<_>>()).min_by_key(Vec::len);
        found.insert(match nearest {
            Some(fresh) => format!("{of} jobs are let have {} {}", kind.key(), fresh.join(", ")),
            None => format!("{of} jobs are not held to their {} any more", kind.key()),
        });
    }
}
