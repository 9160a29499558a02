//! The allow rules of one file, so that a decision need not go through all of them.

use crate::Access;
use crate::file::{Rule, Tools};
use crate::glob::{AllowSet, Pattern, Spelled};

/// A file's allow rules, by what they match and by which tools they name.
#[derive(Debug)]
pub(crate) struct Allowances {
    /// The patterns of the rules that are no catch-alls.
    set: AllowSet,
    /// Which rule each pattern belongs to.
    rule_of: Vec<usize>,
    /// For each tool that some rule names.
    tools: Vec<(String, OfTool)>,
    /// For every other tool.
    other: OfTool,
}

/// What holds of the rules that name a tool, whatever the path. Among rules that all allow it the id decides
/// which is told, so that order does not: these are the first by their ids.
#[derive(Debug, Default, Clone, Copy)]
struct OfTool {
    any: Option<usize>,
    /// The least of the lines they stand on.
    first_line: Option<u32>,
    /// A rule allows it every path.
    every_path: Option<usize>,
    /// A rule allows it something that may lie in any folder.
    in_every_folder: Option<usize>,
}

impl Allowances {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut patterns = Vec::new();
        let mut rule_of = Vec::new();
        for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| !is_catch_all(rule)) {
            patterns.extend(&rule.paths);
            rule_of.resize(patterns.len(), at);
        }
        let set = AllowSet::new(&patterns);
        let mut in_every_folder: Vec<usize> =
            set.anywhere().iter().map(|pattern| rule_of[*pattern]).collect();
        in_every_folder.dedup();
        let of = |names: &dyn Fn(&Tools) -> bool| {
            let first = |found: &mut dyn Iterator<Item = usize>| {
                found.filter(|at| names(&rules[*at].tools)).min_by_key(|at| &rules[*at].id)
            };
            OfTool {
                any: first(&mut (0..rules.len())),
                first_line: rules.iter().filter(|rule| names(&rule.tools)).map(|rule| rule.line).min(),
                every_path: first(&mut (0..rules.len()).filter(|at| is_catch_all(&rules[*at]))),
                in_every_folder: first(&mut in_every_folder.iter().copied()),
            }
        };
        let mut named: Vec<&String> = rules.iter().flat_map(|rule| rule.tools.named()).collect();
        named.sort_unstable();
        named.dedup();
        let tools = named.into_iter().map(|tool| (tool.clone(), of(&|tools| tools.include(tool)))).collect();
        Self { set, rule_of, tools, other: of(&|tools| *tools == Tools::All) }
    }

    /// Returns the line of the topmost rule that names one of the tools; none where no rule does.
    pub(crate) fn first_line(&self, tools: &[&str]) -> Option<u32> {
        tools.iter().filter_map(|tool| self.of(tool).first_line).min()
    }

    /// Returns the index of the first rule, by its id, that names one of the tools.
    pub(crate) fn naming(&self, rules: &[Rule], tools: &[&str]) -> Option<usize> {
        self.first(rules, tools, |of| of.any)
    }

    /// Returns the index of the first rule that names one of the tools and allows the path.
    pub(crate) fn fitting(
        &self,
        rules: &[Rule],
        tools: &[&str],
        access: Access,
        path: &Spelled<'_>,
    ) -> Option<usize> {
        if let Some(at) = self.first(rules, tools, |of| of.every_path) {
            return Some(at);
        }
        let mut found = self.set.matches(path);
        let mut best = None;
        if access == Access::List {
            found.extend(self.set.matches_beneath(path));
            best = self.first(rules, tools, |of| of.in_every_folder);
        }
        let fitting = found.into_iter().map(|pattern| self.rule_of[pattern]);
        let fitting = fitting.filter(|at| rules[*at].tools.include_any(tools));
        fitting.chain(best).min_by_key(|at| &rules[*at].id)
    }

    fn first(&self, rules: &[Rule], tools: &[&str], get: impl Fn(&OfTool) -> Option<usize>) -> Option<usize> {
        tools.iter().filter_map(|tool| get(self.of(tool))).min_by_key(|at| &rules[*at].id)
    }

    fn of(&self, tool: &str) -> &OfTool {
        self.tools.iter().find(|(name, _)| name == tool).map_or(&self.other, |(_, of)| of)
    }
}

fn is_catch_all(rule: &Rule) -> bool {
    rule.paths.iter().any(Pattern::is_catch_all)
}
