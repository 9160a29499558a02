//! Rules, tools, jobs and tests of a policy file.

use std::collections::HashMap;
use std::ops::Range;

use gloaming_api::Digest;
use gloaming_api::job::JobPurpose;
use toml::de::{DeTable, DeValue};

use super::{MAX_PATTERNS, RESERVED, Reader, Value, keys};
use crate::call::Call;
use crate::file::{
    Extended, HOST_NAMES, InlineTest, JobRule, JobSection, Rule, Setting, TOOLS, ToolTable, Tools,
};
use crate::glob::Pattern;
use crate::preset::{PRESETS, preset_file};
use crate::subject::{Host, Kind, Subject};
use crate::suggest::did_you_mean;

/// What a rule about jobs names, each with its line and column.
type Placed = Vec<(Subject, u32, u32)>;

/// A rule of either kind.
pub(super) enum AnyRule {
    Files(Rule),
    Jobs(JobRule),
}

impl Reader<'_> {
    pub(super) fn tool_table(&mut self, value: &Value<'_>) -> Option<ToolTable> {
        let at = value.span().start;
        let table = self.table(value, "[[tool]]")?;
        self.known(table, "[[tool]]", keys::TOOL);
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

    pub(super) fn tool_name(&mut self, name: &str, span: &Range<usize>) -> bool {
        let well_formed = !name.is_empty()
            && name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let fault = if !well_formed {
            Some((
                format!("{name:?} is not a tool's name"),
                "lower-case letters, digits and `_`, at most 64, as `gloaming tools add` prints it",
            ))
        } else if name.starts_with(super::mcp::PREFIX) {
            // A rule of [[mcp]] lets its tools be used everywhere: one that works on files must not come to go by it.
            Some((
                format!("`{name}` is a name as tools of MCP servers have"),
                "register the tool by a name that does not begin with `mcp_`",
            ))
        } else if TOOLS.contains(&name) {
            Some((
                format!("`{name}` is Gloaming's own tool"),
                "leave the table out; [[tool]] is for tools that an operator registered",
            ))
        } else if HOST_NAMES.contains(&name) {
            Some((
                format!("`{name}` is a name that Gloaming keeps for a call of its own"),
                "register the tool by another name",
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
    pub(super) fn tool_names(&self) -> Vec<&str> {
        let registered = self.registered.iter().map(|tool| tool.name.as_str());
        TOOLS.iter().copied().chain(registered).chain(self.served.iter().map(String::as_str)).collect()
    }

    pub(super) fn rule<'i>(
        &mut self,
        value: &Value<'i>,
        deny: bool,
        ids: &mut HashMap<String, u32>,
    ) -> Option<AnyRule> {
        let kind = if deny { "[[deny]]" } else { "[[allow]]" };
        let at = value.span().start;
        let table = self.table(value, kind)?;
        let about_jobs =
            table.get("jobs").is_some() || Kind::ALL.iter().any(|kind| table.get(kind.key()).is_some());
        if about_jobs {
            self.known(
                table,
                &format!("{kind} about jobs"),
                if deny { keys::DENY_JOBS } else { keys::ALLOW_JOBS },
            );
        } else {
            self.known(table, kind, if deny { keys::DENY } else { keys::ALLOW });
        }
        let id = self.required(table, "id", at, kind, "id = \"a-short-name\"").and_then(|value| {
            let (id, span) = self.string(value, "id")?;
            self.id(&id, &span, ids).then_some(id)
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
        let warn = deny && self.warns(table);
        let (line, column) = self.place(at);
        if about_jobs {
            let purposes = self
                .required(table, "jobs", at, kind, "jobs = [\"test\"]` or `jobs = [\"*\"]")
                .and_then(|value| self.purposes(value));
            let subjects = self.subjects(table, at, kind);
            let ((kind, subjects), because) = (subjects?, because?);
            let (id, purposes) = (id?, purposes?);
            return Some(AnyRule::Jobs(JobRule {
                id,
                purposes,
                kind,
                subjects,
                because,
                instead,
                warn,
                line,
            }));
        }
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
        let only_writes = self.only_writes(table);
        Some(AnyRule::Files(Rule {
            id: id?,
            tools: tools?,
            only_writes,
            paths: paths?,
            because: because?,
            instead,
            warn,
            line,
            column,
        }))
    }

    fn only_writes(&mut self, table: &DeTable<'_>) -> bool {
        let Some(value) = table.get("access") else { return false };
        let Some((text, span)) = self.string(value, "access") else { return false };
        if text != "write" {
            self.fault(
                span.start,
                format!("{text:?} is not an access a rule can be limited to"),
                Some("write `access = \"write\"`, or leave it out to deny reading too".into()),
            );
            return false;
        }
        true
    }

    fn warns(&mut self, table: &DeTable<'_>) -> bool {
        let Some((text, span)) = table.get("enforce").and_then(|value| self.string(value, "enforce")) else {
            return false;
        };
        if text != "warn" && text != "deny" {
            let hint = "write `enforce = \"deny\"`, or \"warn\" to be told what the rule would stop";
            self.fault(span.start, format!("{text:?} is no way to enforce a rule"), Some(hint.into()));
        }
        text == "warn"
    }

    fn purposes(&mut self, value: &Value<'_>) -> Option<Vec<JobPurpose>> {
        let mut purposes = Vec::new();
        let names = self.strings(value, "jobs");
        if names.is_empty() && matches!(value.get_ref(), DeValue::Array(list) if list.is_empty()) {
            let hint = "write `jobs = [\"*\"]` for every kind of job";
            self.fault(
                value.span().start,
                "`jobs` is empty, so the rule could never decide anything",
                Some(hint.into()),
            );
            return None;
        }
        for (name, span) in names {
            if name == "*" {
                purposes.extend(JobPurpose::ALL);
            } else if let Some(purpose) = JobPurpose::ALL.iter().find(|purpose| purpose.as_str() == name) {
                purposes.push(*purpose);
            } else {
                let hint = did_you_mean(&name, keys::JOBS)
                    .unwrap_or_else(|| format!("the kinds are {}; `*` is every kind", keys::JOBS.join(", ")));
                self.fault(span.start, format!("there is no kind of job {name:?}"), Some(hint));
            }
        }
        purposes.sort_unstable();
        purposes.dedup();
        Some(purposes)
    }

    /// The one thing a rule about jobs is about.
    fn subjects(&mut self, table: &DeTable<'_>, at: usize, kind: &str) -> Option<(Kind, Placed)> {
        let mut found = Kind::ALL.iter().filter_map(|kind| Some((*kind, table.get(kind.key())?)));
        let Some((subject, value)) = found.next() else {
            let hint = format!("write what of them it is about, like `{}`", Kind::Commands.example());
            self.fault(
                at,
                format!("{kind} about jobs needs one of commands, hosts, images, env, secrets"),
                Some(hint),
            );
            return None;
        };
        if let Some((other, value)) = found.next() {
            self.fault(
                value.span().start,
                format!("a rule is about one thing: this one has `{}` and `{}`", subject.key(), other.key()),
                Some("write a rule for each".into()),
            );
            return None;
        }
        let texts = self.strings(value, subject.key());
        if texts.is_empty() && matches!(value.get_ref(), DeValue::Array(list) if list.is_empty()) {
            self.fault(
                value.span().start,
                format!("`{}` is empty, so the rule could never decide anything", subject.key()),
                Some(format!("write `{}`", subject.example())),
            );
            return None;
        }
        let mut subjects = Vec::new();
        for (text, span) in texts {
            if !self.counted(&span) {
                return None;
            }
            match Subject::parse(subject, &text) {
                Ok(parsed) => {
                    let (line, column) = self.place(span.start);
                    subjects.push((parsed, line, column));
                }
                Err(bad) => self.fault(span.start, bad.message, Some(bad.hint)),
            }
        }
        Some((subject, subjects))
    }

    pub(super) fn id(&mut self, id: &str, span: &Range<usize>, ids: &mut HashMap<String, u32>) -> bool {
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

    pub(super) fn tools(&mut self, value: &Value<'_>) -> Option<Tools> {
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

    /// Counts a pattern; false where there are too many.
    fn counted(&mut self, span: &Range<usize>) -> bool {
        self.patterns += 1;
        if self.patterns == MAX_PATTERNS + 1 {
            let hint = "name folders instead of files, or make several files";
            self.fault(
                span.start,
                format!("the file has more than {MAX_PATTERNS} patterns"),
                Some(hint.into()),
            );
        }
        self.patterns <= MAX_PATTERNS
    }

    pub(super) fn pattern(&mut self, text: &str, span: &Range<usize>) -> Option<Pattern> {
        if !self.counted(span) {
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

    pub(super) fn repo(&mut self, (text, span): (String, Range<usize>)) -> Option<String> {
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

    pub(super) fn extended(&mut self, (text, span): (String, Range<usize>)) -> Option<Extended> {
        let (line, column) = self.place(span.start);
        if let Some(path) = text.strip_prefix("file:") {
            let last = path.rsplit('/').next().unwrap_or_default();
            // Explanations tell by these names what is compiled in.
            let taken = last.starts_with("preset:") || last.starts_with("builtin:");
            if taken
                || path.is_empty()
                || path.starts_with('/')
                || path.contains('\\')
                || path.chars().any(char::is_control)
            {
                let hint = "write it relative to this file, like `file:base.toml` or `file:../team.toml`";
                self.fault(span.start, format!("{text:?} does not name a file"), Some(hint.into()));
                return None;
            }
            return Some(Extended { text, file: None, line, column });
        }
        let preset = text.strip_prefix("preset:").and_then(preset_file);
        if preset.is_none() {
            let (message, near) = match text.strip_prefix("preset:") {
                Some(name) => (format!("there is no preset {text:?}"), did_you_mean(name, PRESETS)),
                None => (format!("{text:?} cannot be extended: it is neither a preset nor a file"), None),
            };
            let hint = near.unwrap_or_else(|| {
                format!(
                    "write `extends = [\"preset:standard\"]`, or `\"file:base.toml\"` for a file beside this one; the \
                     presets are {}",
                    PRESETS.join(", ")
                )
            });
            self.fault(span.start, message, Some(hint));
        }
        Some(Extended { text, file: Some(preset?.clone()), line, column })
    }

    pub(super) fn job(&mut self, value: &Value<'_>, at: usize, purpose: &str) -> JobSection {
        let kind = format!("[jobs.{purpose}]");
        let line = self.line(at);
        let Some(table) = self.table(value, &kind) else { return JobSection::default() };
        self.known(table, &kind, keys::JOB);
        // An empty list says something: that such jobs reach nothing.
        let mut network = table.get("network").map(|_| Vec::new());
        if let (Some(value), Some(network)) = (table.get("network"), &mut network) {
            for (text, span) in self.strings(value, "network") {
                match Host::parse(&text, true) {
                    Ok(host) => {
                        let (line, column) = self.place(span.start);
                        network.push((host, line, column));
                    }
                    Err(bad) => self.fault(span.start, bad.message, Some(bad.hint)),
                }
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
            memory: self.size(table, "memory", 16 << 20, "4GiB"),
            timeout: self.duration(table, "timeout", "20m"),
            cpus: self.amount(table, "cpus", "a number of CPUs above 0, like `cpus = 2`", |v| {
                (0.01..=4096.0).contains(&v)
            }),
            processes: self.count(table, "processes"),
            network,
        }
    }

    pub(super) fn inline_test(&mut self, value: &Value<'_>) -> Option<InlineTest> {
        let at = value.span().start;
        let table = self.table(value, "[[test]]")?;
        self.known(table, "[[test]]", keys::TEST);
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
}
