//! Text to [`PolicyFile`]: every fault is collected, each at its exact place and with what to write.

pub(crate) mod keys;
mod mcp;
mod rules;
mod sections;
mod values;

use std::collections::HashMap;

use gloaming_api::job::JobPurpose;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::rules::AnyRule;
use self::values::integer;
use crate::Diagnostic;
use crate::file::{BudgetSection, ChangeSection, GateSection, PolicyFile, Protected, ToolTable};

/// The largest policy file, in bytes.
const MAX_FILE: usize = 1 << 20;
/// The most patterns of one file.
const MAX_PATTERNS: usize = 4096;
/// Ids that decisions without a rule of their own go by.
pub(crate) const RESERVED: &[&str] =
    &["default-deny", "model", "outside-workspace", "protected", "repository-root", "submit"];

/// Parses and checks a policy file; returns every fault found, in the file's order.
///
/// `file_name` is only what diagnostics and explanations call the file; nothing is opened.
pub fn parse(file_name: &str, text: &str) -> Result<PolicyFile, Vec<Diagnostic>> {
    let mut reader = Reader::new(file_name, text);
    if text.len() > MAX_FILE {
        reader.fault(0, "the file is larger than 1 MiB", Some("a policy is some hundred lines".into()));
        return Err(reader.faults);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            reader.fault(at, error.message().to_owned(), None);
        }
        return Err(reader.finish());
    }
    let file = reader.file(table.get_ref());
    if reader.faults.is_empty() { Ok(file) } else { Err(reader.finish()) }
}

type Value<'i> = Spanned<DeValue<'i>>;

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
    faults: Vec<Diagnostic>,
    patterns: usize,
    /// The registered tools that the file's `[[tool]]` tables make known.
    registered: Vec<ToolTable>,
    /// The names of the tools of MCP servers that its `[[mcp]]` tables make known.
    served: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(name: &'a str, text: &'a str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self {
            name,
            text,
            line_starts,
            faults: Vec::new(),
            patterns: 0,
            registered: Vec::new(),
            served: Vec::new(),
        }
    }

    /// Line and column, in characters, of a byte.
    fn place(&self, at: usize) -> (u32, u32) {
        let line = self.line_starts.partition_point(|start| *start <= at).max(1);
        let start = self.line_starts[line - 1];
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count());
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column + 1).unwrap_or(u32::MAX))
    }

    fn line(&self, at: usize) -> u32 {
        self.place(at).0
    }

    fn fault(&mut self, at: usize, message: impl Into<String>, hint: Option<String>) {
        let (line, column) = self.place(at);
        let message = message.into();
        self.faults.push(Diagnostic { file: self.name.to_owned(), line, column, message, hint });
    }

    fn finish(mut self) -> Vec<Diagnostic> {
        self.faults.sort_by_key(|fault| (fault.line, fault.column));
        self.faults
    }

    fn file(&mut self, root: &DeTable<'_>) -> PolicyFile {
        let mut file = PolicyFile {
            name: self.name.to_owned(),
            repos: Vec::new(),
            extends: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            job_allow: Vec::new(),
            job_deny: Vec::new(),
            jobs: Default::default(),
            budget: BudgetSection::default(),
            gate: GateSection::default(),
            change: ChangeSection::default(),
            submit: None,
            model: None,
            tests: Vec::new(),
            tools: Vec::new(),
            mcp: Vec::new(),
            repos_place: (1, 1),
        };
        match root.get("schema") {
            None => {
                self.fault(0, "the key `schema` is missing", Some("begin the file with `schema = 1`".into()))
            }
            Some(value) => match value.get_ref() {
                DeValue::Integer(i) if integer(i) == Some(1) => {}
                _ => {
                    let hint = "write `schema = 1`; a newer schema needs a newer Gloaming";
                    self.fault(value.span().start, "this schema is not known", Some(hint.into()));
                    return file;
                }
            },
        }
        self.known(root, "a policy", keys::FILE);
        if let Some(value) = root.get("repos") {
            file.repos_place = self.place(value.span().start);
            file.repos = self.strings(value, "repos").into_iter().filter_map(|s| self.repo(s)).collect();
        }
        if let Some(value) = root.get("extends") {
            file.extends =
                self.strings(value, "extends").into_iter().filter_map(|s| self.extended(s)).collect();
        }
        // Before the rules and tests, which may name them.
        if let Some(value) = root.get("tool") {
            for value in self.tables(value, "tool") {
                if let Some(table) = self.tool_table(value) {
                    self.registered.push(table);
                }
            }
            file.tools.clone_from(&self.registered);
        }
        let mut ids = HashMap::new();
        if let Some(value) = root.get("mcp") {
            for value in self.tables(value, "mcp") {
                if let Some((server, rule)) = self.mcp_table(value, &mut ids) {
                    self.served.extend(server.tools.iter().map(|(_, ours)| ours.clone()));
                    file.mcp.push(server);
                    file.allow.push(rule);
                }
            }
        }
        // In the file's order, so that the second of two equal ids is the one reported.
        let mut rules: Vec<(bool, &Value<'_>)> = Vec::new();
        for (key, deny) in [("allow", false), ("deny", true)] {
            if let Some(value) = root.get(key) {
                rules.extend(self.tables(value, key).into_iter().map(|table| (deny, table)));
            }
        }
        rules.sort_by_key(|(_, value)| value.span().start);
        for (deny, value) in rules {
            match self.rule(value, deny, &mut ids) {
                Some(AnyRule::Files(rule)) => if deny { &mut file.deny } else { &mut file.allow }.push(rule),
                Some(AnyRule::Jobs(rule)) => {
                    if deny { &mut file.job_deny } else { &mut file.job_allow }.push(rule);
                }
                None => {}
            }
        }
        if let Some(table) = root.get("jobs").and_then(|value| self.table(value, "jobs")) {
            self.known(table, "[jobs]", keys::JOBS);
            for purpose in JobPurpose::ALL {
                if let Some((key, value)) = table.get_key_value(purpose.as_str()) {
                    // `[jobs.test]` spans its header; `jobs.test.memory = ` only its key.
                    let at = value.span().start.min(key.span().start);
                    let section = self.job(value, at, purpose.as_str());
                    file.jobs.insert(*purpose, section);
                }
            }
        }
        if let Some(table) = root.get("budget").and_then(|value| self.table(value, "budget")) {
            self.known(table, "[budget]", keys::BUDGET);
            let day = table.get("day").and_then(|value| self.table(value, "budget.day"));
            if let Some(day) = day {
                self.known(day, "[budget.day]", keys::BUDGET_DAY);
            }
            file.budget = BudgetSection {
                cost_usd: self.dollars(table),
                steps: self.count(table, "steps"),
                wall: self.duration(table, "wall", "40m"),
                tokens: self.tokens(table),
                tool_bytes: self.size(table, "tool_bytes", 1 << 10, "16MiB"),
                day_cost_usd: day.and_then(|day| self.dollars(day)),
                day_tokens: day.and_then(|day| self.tokens(day)),
            };
        }
        if let Some(table) = root.get("change").and_then(|value| self.table(value, "change")) {
            self.known(table, "[change]", keys::CHANGE);
            file.change.files = self.count(table, "files");
            file.change.lines = self.count(table, "lines");
            file.change.existing_tests =
                self.may_change(table, "existing_tests", "to existing tests", "a patch change what they say");
            file.change.dependencies = self.may_change(
                table,
                "dependencies",
                "to dependencies",
                "a patch change which ones there are",
            );
            if let Some(value) = table.get("protected") {
                for (text, span) in self.strings(value, "protected") {
                    if let Some(pattern) = self.pattern(&text, &span) {
                        file.change.protected.push(Protected { pattern, line: self.line(span.start) });
                    }
                }
            }
        }
        if let Some(table) = root.get("gate").and_then(|value| self.table(value, "gate")) {
            self.known(table, "[gate]", keys::GATE);
            let want = "a number from 0 (open everything) to 1000000 (open next to nothing), like `cost_ratio = 3.0`";
            file.gate.cost_ratio = self.amount(table, "cost_ratio", want, |v| (0.0..=1e6).contains(&v));
        }
        if let Some((key, value)) = root.get_key_value("submit") {
            let at = value.span().start.min(key.span().start);
            file.submit = self.table(value, "submit").map(|table| self.submit(table, at));
        }
        if let Some((key, value)) = root.get_key_value("model") {
            let at = value.span().start.min(key.span().start);
            file.model = self.table(value, "model").map(|table| self.model(table, at));
        }
        if let Some(value) = root.get("test") {
            for value in self.tables(value, "test") {
                file.tests.extend(self.inline_test(value));
            }
        }
        file
    }
}
