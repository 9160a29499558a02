//! A grant as policies of Cedar's, for who wants to read, analyse or audit it with Cedar's tools.
//!
//! For every tool, access and path of at most [`DEPTH`] names Cedar's decision on [`cedar_request`] is that of
//! [`Grant::allows`]; a pattern of which that cannot be said is an error and never an approximation.
//!
//! Cedar permits what some policy permits and none forbids. So of the files that must each have a rule that
//! fits, the first that may grant a tool becomes permits, and every other one `forbid ... unless` for that tool.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::RelPath;
use serde_json::{Value, json};

pub use crate::glob::cedar::DEPTH;

use crate::file::{Rule, TOOLS, Tools, WRITING_TOOLS, forebears};
use crate::glob::Pattern;
use crate::glob::cedar::{allows, attributes, beneath, declared_attributes, denies, joined, quoted};
use crate::grant::Unit;
use crate::{Access, Diagnostic, Grant, Layer};

/// A grant in Cedar's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CedarExport {
    /// The policies, each with the rule it comes from as its `@id`.
    pub policies: String,
    /// The schema they are valid under; it is the same for every grant.
    pub schema: String,
    /// What the policies do not say.
    pub notes: Vec<String>,
}

/// One question for Cedar, in the forms that its libraries and its command line read.
#[derive(Debug, Clone, PartialEq)]
pub struct CedarRequest {
    /// `Tool::"edit"`
    pub principal: String,
    /// `Action::"Write"`
    pub action: String,
    /// `Path::"src/lib.rs"`
    pub resource: String,
    /// The entities of the question, in Cedar's JSON: the tool, and the path with its spellings.
    pub entities: Value,
}

/// Returns the question whether a tool may access a path; none where the path has more than [`DEPTH`] names, for
/// which the policies were not written.
pub fn cedar_request(tool: &str, access: Access, path: &RelPath) -> Option<CedarRequest> {
    let attributes = attributes(path.as_str())?;
    Some(CedarRequest {
        principal: uid("Tool", tool),
        action: action_uid(access),
        resource: uid("Path", path.as_str()),
        entities: json!([
            {"uid": {"type": "Tool", "id": tool}, "attrs": {}, "parents": []},
            {"uid": {"type": "Path", "id": path.as_str()}, "attrs": attributes, "parents": []},
        ]),
    })
}

impl Grant {
    /// Returns the grant as policies of Cedar's and the schema they are valid under.
    ///
    /// # Errors
    /// Every pattern that Cedar cannot say exactly, at its rule: `?`, negated and large classes, and several `*`
    /// that would have to be written out at too many depths.
    pub fn to_cedar(&self) -> Result<CedarExport, Vec<Diagnostic>> {
        let mut tools = self.tool_names();
        tools.sort_unstable();
        tools.dedup();
        let mut export = Export { grant: self, tools, policies: String::new(), faults: Vec::new() };
        export.root();
        for (index, unit) in self.units().iter().enumerate() {
            export.denials(unit);
            export.allowances(index, unit);
        }
        export.registered_writes();
        if !export.faults.is_empty() {
            // A pattern is said more than once: for each access, and for registered tools.
            export.faults.sort_by(|a, b| (&a.file, a.line, &a.message).cmp(&(&b.file, b.line, &b.message)));
            export.faults.dedup();
            return Err(export.faults);
        }
        let notes = vec![
            format!("A path of more than {DEPTH} names cannot be asked about; Gloaming decides it as any other."),
            "Jobs, budgets and the sizes of changes are not part of the policies.".into(),
            "The attributes of a path are made by Gloaming; a path that is spelled otherwise (case, Unicode's \
             composed form, dots and spaces at the end of a name) is decided otherwise."
                .into(),
        ];
        Ok(CedarExport { policies: export.policies, schema: schema(), notes })
    }
}

fn schema() -> String {
    format!(
        "// A tool of Gloaming's or one that an operator registered.\n\
         entity Tool;\n\
         // A path: `/a/b/` as it is, folded to one case, and, where that differs, as a file system may hold it;\n\
         // and its names from the root down (s0, s1, ...; f0, ...; t0, ...).\n\
         entity Path = {{\n{}}};\n\
         action Read, List, Write appliesTo {{ principal: [Tool], resource: [Path] }};\n",
        declared_attributes()
    )
}

const ACCESSES: [Access; 3] = [Access::Read, Access::List, Access::Write];

/// Returns an entity's name as Cedar spells it: it reads no other escapes than those it writes.
fn uid(kind: &str, id: &str) -> String {
    format!("{kind}::\"{}\"", id.escape_debug())
}

fn action_uid(access: Access) -> String {
    format!("Action::\"{access:?}\"")
}

struct Export<'a> {
    grant: &'a Grant,
    /// Every tool that a grant may allow anything.
    tools: Vec<&'a str>,
    policies: String,
    faults: Vec<Diagnostic>,
}

/// How a file's allow rules bind a tool.
enum Speaks {
    /// They name it: by these rules.
    Of(Vec<usize>),
    /// They name a tool that it follows: it is narrowed by these rules and granted nothing.
    OfForebears(Vec<usize>),
    /// They do not.
    Not,
}

impl Speaks {
    fn new(unit: &Unit, tool: &str) -> Self {
        let naming = |names: &[&str]| -> Vec<usize> {
            let rules = unit.file.allow.iter().enumerate();
            rules.filter(|(_, rule)| rule.tools.include_any(names)).map(|(at, _)| at).collect()
        };
        let (own, others) = (naming(&[tool]), naming(forebears(tool)));
        match (own.is_empty(), others.is_empty()) {
            (false, _) => Self::Of(own),
            (true, false) => Self::OfForebears(others),
            (true, true) => Self::Not,
        }
    }

    fn rules(&self) -> &[usize] {
        match self {
            Self::Of(rules) | Self::OfForebears(rules) => rules,
            Self::Not => &[],
        }
    }
}

impl<'a> Export<'a> {
    /// The first file that may grant a tool; where it fits, the others narrow alone.
    fn granted_by(&self, tool: &str) -> Option<usize> {
        let grants = |unit: &Unit| {
            unit.layer == Layer::Operator
                && unit.file.knows(tool)
                && matches!(Speaks::new(unit, tool), Speaks::Of(_))
        };
        self.grant.units().iter().position(grants)
    }

    /// The root is not covered by any pattern: a tool that may be used at all may look at it.
    fn root(&mut self) {
        let tools: Vec<&str> =
            self.tools.iter().copied().filter(|tool| self.grant.judge_tool(tool).allow).collect();
        let when = format!("resource.depth == 0 && {}", one_of(&tools));
        self.policy("permit", "repository-root", "", &[Access::Read, Access::List], &when, None);
    }

    fn denials(&mut self, unit: &Unit) {
        // What only warns decides nothing.
        for rule in unit.file.deny.iter().filter(|rule| !rule.warn) {
            // Accesses that are denied to the same tools go by one policy.
            let mut bound: BTreeMap<Option<Vec<&str>>, Vec<Access>> = BTreeMap::new();
            for access in ACCESSES {
                let tools: Vec<&str> =
                    self.tools.iter().copied().filter(|tool| rule.denies(tool, access)).collect();
                let everybody = rule.tools == Tools::All || tools.len() == self.tools.len();
                if !tools.is_empty() {
                    bound.entry((!everybody).then_some(tools)).or_default().push(access);
                }
            }
            let covers: Vec<String> =
                rule.paths.iter().filter_map(|pattern| self.said(unit, rule.line, pattern, denies)).collect();
            let covers = joined(&covers, "||", "false");
            for (part, (tools, accesses)) in bound.iter().enumerate() {
                let when = match tools {
                    None => covers.clone(),
                    Some(tools) => format!("{} && {covers}", one_of(tools)),
                };
                let part = if part == 0 { String::new() } else { format!("/{part}") };
                let id = format!("{}:{}:{}{part}", unit.file.name(), rule.line, rule.id);
                self.policy("forbid", &id, &rule.because, accesses, &when, None);
            }
        }
        for (at, protected) in unit.file.change.protected.iter().enumerate() {
            if let Some(covers) = self.said(unit, protected.line, &protected.pattern, denies) {
                let id = format!("{}:{}:protected/{at}", unit.file.name(), protected.line);
                self.policy("forbid", &id, "", &[Access::Write], &covers, None);
            }
        }
    }

    fn allowances(&mut self, index: usize, unit: &Unit) {
        let fits: Vec<String> = unit.file.allow.iter().map(|rule| self.fits(unit, rule)).collect();
        let mut granted: Vec<Vec<&str>> = vec![Vec::new(); fits.len()];
        let mut narrowed: BTreeMap<Vec<usize>, Vec<&str>> = BTreeMap::new();
        for tool in self.tools.clone() {
            let speaks = Speaks::new(unit, tool);
            match self.granted_by(tool) {
                // Nobody grants it, so that there is nothing to narrow.
                None => {}
                Some(by) if by == index => {
                    speaks.rules().iter().for_each(|rule| granted[*rule].push(tool));
                }
                Some(_) if speaks.rules().is_empty() => {}
                Some(_) => narrowed.entry(speaks.rules().to_vec()).or_default().push(tool),
            }
        }
        for ((rule, tools), fits) in unit.file.allow.iter().zip(granted).zip(&fits) {
            if !tools.is_empty() {
                let id = format!("{}:{}:{}", unit.file.name(), rule.line, rule.id);
                let when = format!("{} && {fits}", one_of(&tools));
                self.policy("permit", &id, &rule.because, &ACCESSES, &when, None);
            }
        }
        for (part, (rules, tools)) in narrowed.iter().enumerate() {
            let unless: Vec<String> = rules.iter().map(|rule| fits[*rule].clone()).collect();
            let id = format!("{}:default-deny/{part}", unit.file.name());
            let when = format!("resource.depth > 0 && {}", one_of(tools));
            let unless = joined(&unless, "||", "false");
            self.policy("forbid", &id, "", &ACCESSES, &when, Some(&unless));
        }
    }

    /// A registered tool writes only where a writing tool of Gloaming's may.
    fn registered_writes(&mut self) {
        let grant = self.grant;
        let registered = |tool: &&str| !TOOLS.contains(tool) && self.granted_by(tool).is_some();
        let registered: Vec<&str> = self.tools.iter().copied().filter(registered).collect();
        if registered.is_empty() {
            return;
        }
        let mut by_tool = Vec::new();
        for tool in WRITING_TOOLS {
            if self.granted_by(tool).is_none() {
                continue;
            }
            let mut all = Vec::new();
            for unit in grant.units() {
                let speaks = Speaks::new(unit, tool);
                if !speaks.rules().is_empty() {
                    let rules = speaks.rules().iter().map(|at| &unit.file.allow[*at]);
                    let fits: Vec<String> = rules.map(|rule| self.fits(unit, rule)).collect();
                    all.push(joined(&fits, "||", "false"));
                }
                let denials =
                    unit.file.deny.iter().filter(|rule| !rule.warn && rule.denies(tool, Access::Write));
                for rule in denials {
                    for pattern in &rule.paths {
                        let covers = self.said(unit, rule.line, pattern, denies);
                        all.extend(covers.map(|covers| format!("!({covers})")));
                    }
                }
            }
            by_tool.push(joined(&all, "&&", "true"));
        }
        let when = format!("resource.depth > 0 && {}", one_of(&registered));
        let unless = joined(&by_tool, "||", "false");
        let because = "A registered tool writes only where a tool of Gloaming's may.";
        self.policy("forbid", "registered-tools", because, &[Access::Write], &when, Some(&unless));
    }

    /// The expression that holds where an allow rule covers the path, or, for a listing, something beneath.
    fn fits(&mut self, unit: &Unit, rule: &Rule) -> String {
        if rule.paths.iter().any(Pattern::is_catch_all) {
            return "resource.depth > 0".into();
        }
        let mut all = BTreeSet::new();
        let mut listed = BTreeSet::new();
        for pattern in &rule.paths {
            all.extend(self.said(unit, rule.line, pattern, allows));
            listed.extend(self.said(unit, rule.line, pattern, beneath));
        }
        listed.remove("false");
        if !listed.is_empty() {
            let listed = joined(&listed.into_iter().collect::<Vec<_>>(), "||", "false");
            all.insert(format!("(action == {} && {listed})", action_uid(Access::List)));
        }
        joined(&all.into_iter().collect::<Vec<_>>(), "||", "false")
    }

    fn said(
        &mut self,
        unit: &Unit,
        line: u32,
        pattern: &Pattern,
        say: fn(&Pattern) -> Result<String, String>,
    ) -> Option<String> {
        let why = match say(pattern) {
            Ok(said) => return Some(said),
            Err(why) => why,
        };
        self.faults.push(Diagnostic {
            file: unit.file.name().to_owned(),
            line,
            column: 1,
            message: format!("{:?} cannot be exported to Cedar: it has {why}", pattern.as_str()),
            hint: Some("write it with `*`, or the names out".into()),
        });
        None
    }

    fn policy(
        &mut self,
        effect: &str,
        id: &str,
        because: &str,
        accesses: &[Access],
        when: &str,
        unless: Option<&str>,
    ) {
        let actions: Vec<String> = accesses.iter().map(|access| action_uid(*access)).collect();
        self.policies.push_str(&format!("@id({})\n", quoted(id)));
        if !because.is_empty() {
            self.policies.push_str(&format!("@because({})\n", quoted(because)));
        }
        let actions = actions.join(", ");
        let scope = format!("{effect} (principal, action in [{actions}], resource)");
        self.policies.push_str(&format!("{scope}\n  when {{ {when} }}"));
        if let Some(unless) = unless {
            self.policies.push_str(&format!("\n  unless {{ {unless} }}"));
        }
        self.policies.push_str(";\n\n");
    }
}

/// The expression that holds for some tools.
fn one_of(tools: &[&str]) -> String {
    match tools {
        // An empty set has no type.
        [] => "false".into(),
        [tool] => format!("principal == {}", uid("Tool", tool)),
        tools => {
            let tools: Vec<String> = tools.iter().map(|tool| uid("Tool", tool)).collect();
            format!("[{}].contains(principal)", tools.join(", "))
        }
    }
}
