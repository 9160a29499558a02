//! Text to [`PolicyFile`]: every fault is collected, each at its exact place and with what to write.

use std::collections::HashMap;
use std::ops::Range;

use gloaming_api::Digest;
use gloaming_api::job::JobPurpose;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Diagnostic;
use crate::explain::Call;
use crate::file::{
    BudgetSection, ChangeSection, InlineTest, JobSection, PolicyFile, Protected, Rule, Setting, TOOLS,
    ToolTable, Tools,
};
use crate::glob::Pattern;
use crate::preset::PRESETS;
use crate::suggest::did_you_mean;
use crate::units;

/// The largest policy file, in bytes.
const MAX_FILE: usize = 1 << 20;
/// The most patterns of one file.
const MAX_PATTERNS: usize = 4096;
/// Ids that decisions without a rule of their own go by.
const RESERVED: &[&str] = &["default-deny", "outside-workspace", "protected", "repository-root"];

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
}

impl<'a> Reader<'a> {
    fn new(name: &'a str, text: &'a str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name, text, line_starts, faults: Vec::new(), patterns: 0, registered: Vec::new() }
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
            jobs: Default::default(),
            budget: BudgetSection::default(),
            change: ChangeSection::default(),
            tests: Vec::new(),
            tools: Vec::new(),
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
        self.known(
            root,
            "a policy",
            &["schema", "repos", "extends", "tool", "allow", "deny", "jobs", "budget", "change", "test"],
        );
        if let Some(value) = root.get("repos") {
            file.repos_place = self.place(value.span().start);
            file.repos = self.strings(value, "repos").into_iter().filter_map(|s| self.repo(s)).collect();
        }
        if let Some(value) = root.get("extends") {
            file.extends =
                self.strings(value, "extends").into_iter().filter_map(|s| self.preset(s)).collect();
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
        // In the file's order, so that the second of two equal ids is the one reported.
        let mut rules: Vec<(bool, &Value<'_>)> = Vec::new();
        for (key, deny) in [("allow", false), ("deny", true)] {
            if let Some(value) = root.get(key) {
                rules.extend(self.tables(value, key).into_iter().map(|table| (deny, table)));
            }
        }
        rules.sort_by_key(|(_, value)| value.span().start);
        for (deny, value) in rules {
            if let Some(rule) = self.rule(value, deny, &mut ids) {
                if deny { &mut file.deny } else { &mut file.allow }.push(rule);
            }
        }
        if let Some(table) = root.get("jobs").and_then(|value| self.table(value, "jobs")) {
            self.known(table, "[jobs]", &["build", "test", "lint"]);
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
            self.known(table, "[budget]", &["cost_usd", "steps", "wall"]);
            file.budget = BudgetSection {
                cost_usd: self
                    .amount(table, "cost_usd", "0 or more dollars, like `cost_usd = 5.0`", |v| v >= 0.0),
                steps: self.count(table, "steps"),
                wall: self.duration(table, "wall", "40m"),
            };
        }
        if let Some(table) = root.get("change").and_then(|value| self.table(value, "change")) {
            self.known(table, "[change]", &["files", "lines", "protected"]);
            file.change.files = self.count(table, "files");
            file.change.lines = self.count(table, "lines");
            if let Some(value) = table.get("protected") {
                for (text, span) in self.strings(value, "protected") {
                    if let Some(pattern) = self.pattern(&text, &span) {
                        file.change.protected.push(Protected { pattern, line: self.line(span.start) });
                    }
                }
            }
        }
        if let Some(value) = root.get("test") {
            for value in self.tables(value, "test") {
                file.tests.extend(self.inline_test(value));
            }
        }
        file
    }

    fn tool_table(&mut self, value: &Value<'_>) -> Option<ToolTable> {
        let at = value.span().start;
        let table = self.table(value, "[[tool]]")?;
        self.known(table, "[[tool]]", &["name", "digest"]);
        let name = self
            .required(table, "name", at, "[[tool]]", "name = \"word_count\"")
            .and_then(|value| self.string(value, "name"))
            .and_then(|(name, span)| self.tool_name(&name, &span).then_some(name));
        let digest = match table.get("digest") {
            None => None,
            Some(value) => {
                let (text, span) = self.string(value, "digest")?;
                let digest = text.parse::<Digest>();
                if digest.is_err() {
                    let hint =
                        "write `sha256:` and 64 hexadecimal digits, as `gloaming tools add` prints them";
                    self.fault(span.start, format!("{text:?} is not a digest"), Some(hint.into()));
                }
                Some(digest.ok()?)
            }
        };
        Some(ToolTable { name: name?, digest, line: self.line(at) })
    }

    fn tool_name(&mut self, name: &str, span: &Range<usize>) -> bool {
        let well_formed = !name.is_empty()
            && name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let fault = if !well_formed {
            Some((
                format!("{name:?} is not a tool's name"),
                "lower-case letters, digits and `_`, at most 64, as `gloaming tools add` prints it",
            ))
        } else if TOOLS.contains(&name) {
            Some((
                format!("`{name}` is Gloaming's own tool"),
                "leave the table out; [[tool]] is for tools that an operator registered",
            ))
        } else {
            let first = self.registered.iter().find(|known| known.name == name);
            first.map(|first| {
                (format!("the tool {name:?} stands on line {} already", first.line), "name each tool once")
            })
        };
        if let Some((message, hint)) = &fault {
            self.fault(span.start, message.clone(), Some((*hint).into()));
        }
        fault.is_none()
    }

    /// The tools that the file's rules and tests may name.
    fn tool_names(&self) -> Vec<&str> {
        TOOLS.iter().copied().chain(self.registered.iter().map(|tool| tool.name.as_str())).collect()
    }

    fn rule<'i>(&mut self, value: &Value<'i>, deny: bool, ids: &mut HashMap<String, u32>) -> Option<Rule> {
        let kind = if deny { "[[deny]]" } else { "[[allow]]" };
        let at = value.span().start;
        let table = self.table(value, kind)?;
        if deny {
            self.known(table, kind, &["id", "tools", "paths", "access", "because", "instead"]);
        } else {
            self.known(table, kind, &["id", "tools", "paths", "because"]);
        }
        let id = self.required(table, "id", at, kind, "id = \"a-short-name\"").and_then(|value| {
            let (id, span) = self.string(value, "id")?;
            self.id(&id, &span, ids).then_some(id)
        });
        let tools = self
            .required(table, "tools", at, kind, "tools = [\"read\"]` or `tools = [\"*\"]")
            .and_then(|value| self.tools(value));
        let paths = self.required(table, "paths", at, kind, "paths = [\"src/**\"]").map(|value| {
            let texts = self.strings(value, "paths");
            if texts.is_empty() && matches!(value.get_ref(), DeValue::Array(list) if list.is_empty()) {
                self.fault(
                    value.span().start,
                    "`paths` is empty, so the rule could never decide anything",
                    Some("write `paths = [\"**\"]` for every file".into()),
                );
            }
            texts.into_iter().filter_map(|(text, span)| self.pattern(&text, &span)).collect::<Vec<_>>()
        });
        let because = if deny {
            self.required(table, "because", at, kind, "because = \"why, for those it stops\"")
                .and_then(|value| self.said(value, "because"))
        } else {
            match table.get("because") {
                Some(value) => self.said(value, "because"),
                None => Some(String::new()),
            }
        };
        let instead = table.get("instead").and_then(|value| self.said(value, "instead"));
        let only_writes = match table.get("access").and_then(|value| self.string(value, "access")) {
            None => false,
            Some((text, _)) if text == "write" => true,
            Some((text, span)) => {
                self.fault(
                    span.start,
                    format!("{text:?} is not an access a rule can be limited to"),
                    Some("write `access = \"write\"`, or leave it out to deny reading too".into()),
                );
                false
            }
        };
        Some(Rule {
            id: id?,
            tools: tools?,
            only_writes,
            paths: paths?,
            because: because?,
            instead,
            line: self.line(at),
        })
    }

    fn id(&mut self, id: &str, span: &Range<usize>, ids: &mut HashMap<String, u32>) -> bool {
        let well_formed = !id.is_empty()
            && id.len() <= 64
            && id.starts_with(|c: char| c.is_ascii_alphanumeric())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !well_formed {
            self.fault(
                span.start,
                format!("{id:?} is not a rule id"),
                Some("letters, digits, `-` and `_`, at most 64, like \"no-secrets\"".into()),
            );
            return false;
        }
        if RESERVED.contains(&id) {
            self.fault(
                span.start,
                format!("the id {id:?} is Gloaming's own"),
                Some("give the rule another name".into()),
            );
            return false;
        }
        let line = self.line(span.start);
        if let Some(first) = ids.insert(id.to_owned(), line) {
            ids.insert(id.to_owned(), first);
            self.fault(
                span.start,
                format!("the id {id:?} is already used on line {first}"),
                Some("give every rule of a file its own id".into()),
            );
            return false;
        }
        true
    }

    fn tools(&mut self, value: &Value<'_>) -> Option<Tools> {
        let names = self.strings(value, "tools");
        if matches!(value.get_ref(), DeValue::Array(list) if list.is_empty()) {
            self.fault(
                value.span().start,
                "`tools` is empty, so the rule could never decide anything",
                Some("write `tools = [\"*\"]` for every tool".into()),
            );
            return None;
        }
        let mut known = Vec::new();
        let mut all = false;
        for (name, span) in names {
            if name == "*" {
                all = true;
            } else if self.tool_names().contains(&name.as_str()) {
                known.push(name);
            } else {
                let hint = did_you_mean(&name, &self.tool_names()).unwrap_or_else(|| {
                    format!(
                        "the tools are {}; `*` is every tool; a registered one is made known by \
                         `[[tool]] name = {name:?}`",
                        TOOLS.join(", ")
                    )
                });
                self.fault(span.start, format!("there is no tool {name:?}"), Some(hint));
            }
        }
        Some(if all { Tools::All } else { Tools::Named(known) })
    }

    fn pattern(&mut self, text: &str, span: &Range<usize>) -> Option<Pattern> {
        self.patterns += 1;
        if self.patterns == MAX_PATTERNS + 1 {
            self.fault(span.start, format!("the file has more than {MAX_PATTERNS} patterns"), None);
        }
        if self.patterns > MAX_PATTERNS {
            return None;
        }
        match Pattern::parse(text) {
            Ok(pattern) => Some(pattern),
            Err(bad) => {
                self.fault(span.start, bad.message, Some(bad.hint));
                None
            }
        }
    }

    fn repo(&mut self, (text, span): (String, Range<usize>)) -> Option<String> {
        let part = |part: &str| {
            !part.is_empty()
                && part.len() <= 100
                && part.matches('*').count() <= 2
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'*'))
        };
        if text == "*" || text.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name)) {
            return Some(text);
        }
        self.fault(
            span.start,
            format!("{text:?} does not name repositories"),
            Some("write `owner/name`, `owner/*` or `*`".into()),
        );
        None
    }

    fn preset(&mut self, (text, span): (String, Range<usize>)) -> Option<String> {
        let name = text.strip_prefix("preset:").filter(|name| crate::preset(name).is_some());
        if name.is_none() {
            let (message, near) = match text.strip_prefix("preset:") {
                Some(name) => (format!("there is no preset {text:?}"), did_you_mean(name, PRESETS)),
                None => (
                    format!("{text:?} cannot be extended: only presets can be, not files or addresses, yet"),
                    None,
                ),
            };
            let hint = near.unwrap_or_else(|| {
                format!("write `extends = [\"preset:standard\"]`; the presets are {}", PRESETS.join(", "))
            });
            self.fault(span.start, message, Some(hint));
        }
        name.map(str::to_owned)
    }

    fn job(&mut self, value: &Value<'_>, at: usize, purpose: &str) -> JobSection {
        let kind = format!("[jobs.{purpose}]");
        let line = self.line(at);
        let Some(table) = self.table(value, &kind) else { return JobSection::default() };
        self.known(table, &kind, &["network", "memory", "timeout", "cpus", "processes", "enabled"]);
        if let Some(value) = table.get("network") {
            let hosts = self.strings(value, "network");
            if let Some((_, span)) = hosts.first() {
                self.fault(
                    span.start,
                    "no engine here can let some hosts through and hold the others back, and a rule that \
                     cannot be enforced does not load",
                    Some("write `network = []`; jobs run without network".into()),
                );
            }
        }
        JobSection {
            line,
            enabled: table.get("enabled").and_then(|value| match value.get_ref() {
                DeValue::Boolean(b) => Some(Setting { value: *b, line: self.line(value.span().start) }),
                _ => {
                    self.wrong_type(value, "enabled", "`true` or `false`");
                    None
                }
            }),
            memory: self.size(table, "memory", "4GiB"),
            timeout: self.duration(table, "timeout", "20m"),
            cpus: self.amount(table, "cpus", "a number of CPUs above 0, like `cpus = 2`", |v| {
                (0.01..=4096.0).contains(&v)
            }),
            processes: self.count(table, "processes"),
        }
    }

    fn inline_test(&mut self, value: &Value<'_>) -> Option<InlineTest> {
        let at = value.span().start;
        let table = self.table(value, "[[test]]")?;
        self.known(table, "[[test]]", &["call", "expect"]);
        let call = self.required(table, "call", at, "[[test]]", "call = \"edit src/lib.rs\"");
        let call =
            call.and_then(|value| self.string(value, "call")).filter(|(call, span)| {
                match Call::parse(call, &self.tool_names()) {
                    Ok(_) => true,
                    Err(message) => {
                        self.fault(span.start, message, None);
                        false
                    }
                }
            });
        let expect = self.required(table, "expect", at, "[[test]]", "expect = \"allow\"");
        let expect_allow = match expect.and_then(|value| self.string(value, "expect")) {
            Some((text, _)) if text == "allow" => Some(true),
            Some((text, _)) if text == "deny" => Some(false),
            Some((text, span)) => {
                let hint = "write `expect = \"allow\"` or `expect = \"deny\"`";
                self.fault(span.start, format!("{text:?} is not a decision"), Some(hint.into()));
                None
            }
            None => None,
        };
        let (call, span) = call?;
        let (line, column) = self.place(span.start);
        Some(InlineTest { call, expect_allow: expect_allow?, line, column })
    }

    // The shapes of values.

    fn known(&mut self, table: &DeTable<'_>, what: &str, keys: &[&str]) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !keys.contains(&name) {
                let hint = did_you_mean(name, keys)
                    .unwrap_or_else(|| format!("the keys of {what} are {}", keys.join(", ")));
                self.fault(key.span().start, format!("{what} has no key `{name}`"), Some(hint));
            }
        }
    }

    fn required<'t, 'i>(
        &mut self,
        table: &'t DeTable<'i>,
        key: &str,
        at: usize,
        what: &str,
        write: &str,
    ) -> Option<&'t Value<'i>> {
        let value = table.get(key);
        if value.is_none() {
            self.fault(at, format!("{what} needs the key `{key}`"), Some(format!("write `{write}`")));
        }
        value
    }

    fn wrong_type(&mut self, value: &Value<'_>, key: &str, want: &str) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.fault(value.span().start, format!("`{key}` is {found}"), Some(format!("write {want}")));
    }

    fn table<'t, 'i>(&mut self, value: &'t Value<'i>, key: &str) -> Option<&'t DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.wrong_type(value, key, "a table");
                None
            }
        }
    }

    fn tables<'t, 'i>(&mut self, value: &'t Value<'i>, key: &str) -> Vec<&'t Value<'i>> {
        match value.get_ref() {
            DeValue::Array(list) => list.iter().collect(),
            _ => {
                self.wrong_type(value, key, &format!("`[[{key}]]`, once for each"));
                Vec::new()
            }
        }
    }

    fn string(&mut self, value: &Value<'_>, key: &str) -> Option<(String, Range<usize>)> {
        match value.get_ref() {
            DeValue::String(text) => Some((text.to_string(), value.span())),
            _ => {
                self.wrong_type(value, key, "a string");
                None
            }
        }
    }

    /// A sentence for people: not empty, and nothing that could move a terminal's cursor.
    fn said(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
        let (text, span) = self.string(value, key)?;
        if text.trim().is_empty() {
            self.fault(span.start, format!("`{key}` is empty"), Some("say it in one sentence".into()));
            return None;
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            self.fault(span.start, format!("`{key}` holds a control character"), Some("leave it out".into()));
            return None;
        }
        Some(text)
    }

    fn strings(&mut self, value: &Value<'_>, key: &str) -> Vec<(String, Range<usize>)> {
        match value.get_ref() {
            DeValue::Array(list) => list.iter().filter_map(|item| self.string(item, key)).collect(),
            _ => {
                self.wrong_type(value, key, "an array of strings");
                Vec::new()
            }
        }
    }

    fn count(&mut self, table: &DeTable<'_>, key: &str) -> Option<Setting<u32>> {
        let value = table.get(key)?;
        let at = value.span().start;
        let want = format!("a whole number from 1 to 4294967295, like `{key} = 100`");
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(value, key, &want);
            return None;
        };
        match integer(number).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0) {
            Some(value) => Some(Setting { value, line: self.line(at) }),
            None => {
                self.fault(at, format!("`{key} = {number}` is out of range"), Some(format!("write {want}")));
                None
            }
        }
    }

    fn amount(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        want: &str,
        fits: impl Fn(f64) -> bool,
    ) -> Option<Setting<f64>> {
        let value = table.get(key)?;
        let at = value.span().start;
        let number = match value.get_ref() {
            DeValue::Float(f) => f.as_str().replace('_', "").parse::<f64>().ok(),
            DeValue::Integer(i) => integer(i).and_then(|n| u32::try_from(n).ok()).map(f64::from),
            _ => {
                self.wrong_type(value, key, want);
                return None;
            }
        };
        match number.filter(|n| n.is_finite() && fits(*n)) {
            Some(value) => Some(Setting { value, line: self.line(at) }),
            None => {
                self.fault(at, format!("`{key}` is out of range"), Some(format!("write {want}")));
                None
            }
        }
    }

    fn duration(&mut self, table: &DeTable<'_>, key: &str, example: &str) -> Option<Setting<u64>> {
        let value = table.get(key)?;
        let want = format!("a duration from 1s to 168h, like `{key} = \"{example}\"`");
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(value, key, &want);
            return None;
        };
        let at = value.span().start;
        match units::seconds(text).filter(|s| (1..=168 * 3600).contains(s)) {
            Some(value) => Some(Setting { value, line: self.line(at) }),
            None => {
                self.fault(
                    at,
                    format!("{text:?} is not a duration `{key}` can have"),
                    Some(format!("write {want}")),
                );
                None
            }
        }
    }

    fn size(&mut self, table: &DeTable<'_>, key: &str, example: &str) -> Option<Setting<u64>> {
        let value = table.get(key)?;
        let want = format!("a size of at least 16MiB, like `{key} = \"{example}\"`");
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(value, key, &want);
            return None;
        };
        let at = value.span().start;
        match units::bytes(text).filter(|bytes| (16 << 20..=1 << 50).contains(bytes)) {
            Some(value) => Some(Setting { value, line: self.line(at) }),
            None => {
                self.fault(
                    at,
                    format!("{text:?} is not a size `{key}` can have"),
                    Some(format!("write {want}")),
                );
                None
            }
        }
    }
}

fn integer(number: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}
