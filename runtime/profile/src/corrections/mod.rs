//! What an operator or the repository itself says of the repository, in place of what was mined.
//!
//! ```toml
//! ecosystems = ["python"]
//! instructions = ["docs/for-agents.md"]
//!
//! [commands.test]
//! argv = ["python3", "-m", "pytest", "tests"]
//! cwd = "."
//! env = { PYTHONPATH = "/workspace/src" }
//! runner = "pytest"
//!
//! [commands.lint]
//! disable = true
//!
//! [toolchains]
//! python = "3.11"
//!
//! [services.postgres]
//! disable = true
//!
//! [[protected]]
//! pattern = "schema/*.sql"
//! owners = ["@db"]
//! ```

mod apply;

use std::collections::BTreeMap;
use std::path::Path;

use gloaming_api::profile::{
    CommandKind, CorrectionBy, Ecosystem, ProtectedKind, ProtectedPath, Source, TEST_PLACEHOLDER, TestRunner,
};
use gloaming_api::{Digest, RelPath};
use gloaming_policies::Diagnostic;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::tree::Tree;

/// Where a repository keeps its own.
pub const CORRECTIONS_FILE: &str = ".gloaming/profile.toml";

/// The largest file, in bytes.
const LARGEST: usize = 1 << 18;
const MOST_WORDS: usize = 500;
const MOST_ENTRIES: usize = 200;

/// A file of corrections that was read without a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrections {
    by: CorrectionBy,
    digest: Digest,
    ecosystems: Option<(Vec<Ecosystem>, Source)>,
    instructions: Option<(Vec<RelPath>, Source)>,
    commands: Vec<Changed>,
    toolchains: Vec<(String, String, Source)>,
    services: Vec<ChangedService>,
    protected: Vec<ProtectedPath>,
}

/// What is said of one kind of command; what is not said stays as it was mined.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Changed {
    kind: CommandKind,
    disable: bool,
    argv: Option<Vec<String>>,
    cwd: Option<RelPath>,
    env: Option<BTreeMap<String, String>>,
    /// `Some(None)` for `"none"`.
    runner: Option<Option<TestRunner>>,
    source: Source,
    column: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ChangedService {
    name: String,
    disable: bool,
    image: Option<String>,
    ports: Option<Vec<String>>,
    source: Source,
    column: u32,
}

impl Corrections {
    /// Parses an operator's file; `name` is what diagnostics and sources call it.
    ///
    /// # Errors
    /// Every fault, each at its place, in the file's order.
    pub fn of_operator(name: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        // A source names a path of the repository's; of the operator's, the file's own name is enough.
        let short = name.rsplit('/').next().unwrap_or(name);
        let file = RelPath::parse(short).unwrap_or_else(|_| RelPath::root());
        parse(name, file, CorrectionBy::Operator, text)
    }

    /// Reads the repository's own file from a checkout of its base; none where there is none.
    ///
    /// # Errors
    /// Every fault; a file that is too large, no regular file or not UTF-8 is one.
    pub fn of_repository(dir: &Path) -> Result<Option<Self>, Vec<Diagnostic>> {
        let fault = |message: &str| {
            vec![Diagnostic {
                file: CORRECTIONS_FILE.to_owned(),
                line: 1,
                column: 1,
                message: message.to_owned(),
                hint: None,
            }]
        };
        let Ok(file) = RelPath::parse(CORRECTIONS_FILE) else { return Ok(None) };
        // Beneath a link to elsewhere lies nothing of the repository's.
        if std::fs::symlink_metadata(dir.join(".gloaming")).is_ok_and(|folder| folder.is_symlink()) {
            return Err(fault("the folder is a symbolic link"));
        }
        match std::fs::symlink_metadata(dir.join(CORRECTIONS_FILE)) {
            Err(_) => return Ok(None),
            Ok(metadata) if !metadata.is_file() => return Err(fault("it is no regular file")),
            Ok(_) => {}
        }
        let tree = Tree::only(dir, file.clone());
        let Some(text) = tree.read(&file) else {
            return Err(fault("it cannot be read as UTF-8 text of at most 256 KiB"));
        };
        parse(CORRECTIONS_FILE, file, CorrectionBy::Repository, &text).map(Some)
    }

    /// Returns the digest of its text.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

fn parse(name: &str, file: RelPath, by: CorrectionBy, text: &str) -> Result<Corrections, Vec<Diagnostic>> {
    let mut reader = Reader { name, file, by, text, faults: Vec::new() };
    if text.len() > LARGEST {
        reader.fault(0, "the file is larger than 256 KiB", "corrections are some dozen lines");
        return Err(reader.faults);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        reader.fault(error.span().map_or(0, |span| span.start), error.message(), "");
    }
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    let corrections = reader.corrections(table.get_ref());
    reader.faults.sort_by_key(|fault| (fault.line, fault.column));
    if reader.faults.is_empty() { Ok(corrections) } else { Err(reader.faults) }
}

type Value<'i> = Spanned<DeValue<'i>>;

struct Reader<'a> {
    name: &'a str,
    file: RelPath,
    by: CorrectionBy,
    text: &'a str,
    faults: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// Line and column, in characters, of a byte.
    fn place(&self, at: usize) -> (u32, u32) {
        let before = self.text.get(..at).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[start..].chars().count() + 1;
        (crate::mine::line_at(self.text, at), u32::try_from(column).unwrap_or(u32::MAX))
    }

    fn fault(&mut self, at: usize, message: impl Into<String>, hint: &str) {
        if self.faults.len() >= 100 {
            return;
        }
        let (line, column) = self.place(at);
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.faults.push(Diagnostic {
            file: self.name.to_owned(),
            line,
            column,
            message: message.into(),
            hint,
        });
    }

    fn source(&self, at: usize) -> Source {
        let because = format!("the {}'s correction", self.by.as_str());
        Source { file: self.file.clone(), line: self.place(at).0, because }
    }

    fn known(&mut self, table: &DeTable<'_>, what: &str, keys: &[&str]) {
        let unknown: Vec<(usize, String)> = table
            .iter()
            .filter(|(key, _)| !keys.contains(&key.get_ref().as_ref()))
            .map(|(key, _)| (key.span().start, key.get_ref().to_string()))
            .collect();
        for (at, key) in unknown {
            let key = gloaming_api::bowout::shorten(&key, 80);
            self.fault(
                at,
                format!("{what} has no key {key:?}"),
                &format!("the keys are {}", keys.join(", ")),
            );
        }
    }

    fn corrections(&mut self, root: &DeTable<'_>) -> Corrections {
        const KEYS: &[&str] =
            &["ecosystems", "instructions", "commands", "toolchains", "services", "protected"];
        self.known(root, "a file of corrections", KEYS);
        let mut corrections = Corrections {
            by: self.by,
            digest: Digest::of(self.text),
            ecosystems: None,
            instructions: None,
            commands: Vec::new(),
            toolchains: Vec::new(),
            services: Vec::new(),
            protected: Vec::new(),
        };
        if let Some(value) = root.get("ecosystems") {
            let source = self.source(value.span().start);
            let names = self.strings(value, "ecosystems");
            let all = ["rust", "python", "node", "go", "java", "c"];
            let ecosystems = names.into_iter().filter_map(|(at, name)| {
                let found = serde_json::from_value::<Ecosystem>(name.as_str().into()).ok();
                if found.is_none() {
                    self.fault(
                        at,
                        format!("{name:?} is no ecosystem"),
                        &format!("one of {}", all.join(", ")),
                    );
                }
                found
            });
            corrections.ecosystems = Some((ecosystems.collect(), source));
        }
        if let Some(value) = root.get("instructions") {
            let source = self.source(value.span().start);
            let names = self.strings(value, "instructions");
            let paths = names.into_iter().filter_map(|(at, name)| self.path(at, &name)).collect();
            corrections.instructions = Some((paths, source));
        }
        for (key, value) in self.entries(root, "commands") {
            let kind = CommandKind::ALL.iter().find(|kind| kind.as_str() == key);
            match (kind, value.get_ref()) {
                (Some(kind), DeValue::Table(table)) => {
                    let changed = self.command(*kind, table, value.span().start);
                    corrections.commands.push(changed);
                }
                (None, _) => {
                    let kinds: Vec<&str> = CommandKind::ALL.iter().map(|kind| kind.as_str()).collect();
                    let hint = format!("the kinds are {}", kinds.join(", "));
                    self.fault(value.span().start, format!("there is no kind of command {key:?}"), &hint);
                }
                (Some(_), _) => {
                    self.fault(value.span().start, "a command is a table", "write [commands.test]")
                }
            }
        }
        for (tool, value) in self.entries(root, "toolchains") {
            let source = self.source(value.span().start);
            if let Some(version) = self.string(value, "a version") {
                corrections.toolchains.push((tool, version, source));
            }
        }
        for (name, value) in self.entries(root, "services") {
            let DeValue::Table(table) = value.get_ref() else {
                self.fault(value.span().start, "a service is a table", "write [services.postgres]");
                continue;
            };
            self.known(table, "a service", &["disable", "image", "ports"]);
            let source = self.source(value.span().start);
            let column = self.place(value.span().start).1;
            let disable = self.flag(table, "disable");
            let image = table.get("image").and_then(|value| self.string(value, "image"));
            let ports = table
                .get("ports")
                .map(|value| self.strings(value, "ports").into_iter().map(|(_, port)| port).collect());
            corrections.services.push(ChangedService { name, disable, image, ports, source, column });
        }
        if let Some(value) = root.get("protected") {
            corrections.protected = self.protected(value);
        }
        corrections
    }

    fn protected(&mut self, value: &Value<'_>) -> Vec<ProtectedPath> {
        let DeValue::Array(items) = value.get_ref() else {
            self.fault(value.span().start, "protected paths are a list of tables", "write [[protected]]");
            return Vec::new();
        };
        self.not_too_many(value, "the list of protected paths", items.len(), MOST_ENTRIES);
        let mut found = Vec::new();
        for item in items.iter().take(MOST_ENTRIES) {
            let at = item.span().start;
            let DeValue::Table(table) = item.get_ref() else {
                self.fault(at, "a protected path is a table", "write [[protected]]");
                continue;
            };
            self.known(table, "a protected path", &["pattern", "owners"]);
            let source = self.source(at);
            let owners = table.get("owners").map(|value| self.strings(value, "owners")).unwrap_or_default();
            match table.get("pattern").map(|value| self.string(value, "pattern")) {
                Some(Some(pattern)) => found.push(ProtectedPath {
                    pattern,
                    kind: ProtectedKind::Owners,
                    owners: owners.into_iter().map(|(_, owner)| owner).collect(),
                    source,
                }),
                Some(None) => {}
                None => self.fault(at, "a protected path needs a pattern", "write pattern = \"schema/**\""),
            }
        }
        found
    }

    fn command(&mut self, kind: CommandKind, table: &DeTable<'_>, at: usize) -> Changed {
        self.known(table, "a command", &["argv", "cwd", "env", "runner", "disable"]);
        let mut changed = Changed {
            kind,
            disable: self.flag(table, "disable"),
            argv: None,
            cwd: None,
            env: None,
            runner: None,
            source: self.source(at),
            column: self.place(at).1,
        };
        if changed.disable
            && let Some((key, _)) = table.iter().find(|(key, _)| key.get_ref() != "disable")
        {
            self.fault(
                key.span().start,
                "a command that is disabled has nothing else",
                "drop one of the two",
            );
        }
        if let Some(value) = table.get("argv") {
            changed.argv = self.argv(kind, value);
        }
        if let Some(value) = table.get("cwd") {
            let at = value.span().start;
            changed.cwd = self.string(value, "cwd").and_then(|text| self.path(at, &text));
        }
        if let Some(value) = table.get("env") {
            changed.env = self.env(value);
        }
        if let Some(value) = table.get("runner") {
            let at = value.span().start;
            let names: Vec<&str> = TestRunner::ALL.iter().map(|runner| runner.as_str()).collect();
            if kind != CommandKind::Test {
                self.fault(at, "only the test command has a runner", "set it in [commands.test]");
            } else if let Some(name) = self.string(value, "runner") {
                let runner = TestRunner::ALL.iter().copied().find(|runner| runner.as_str() == name);
                if runner.is_none() && name != "none" {
                    self.fault(
                        at,
                        format!("{name:?} is no runner"),
                        &format!("one of {}, none", names.join(", ")),
                    );
                }
                changed.runner = Some(runner);
            }
        }
        changed
    }

    fn argv(&mut self, kind: CommandKind, value: &Value<'_>) -> Option<Vec<String>> {
        let at = value.span().start;
        if matches!(value.get_ref(), DeValue::String(_)) {
            self.fault(at, "argv is a list of words, never a shell line", "write [\"make\", \"test\"]");
            return None;
        }
        let argv: Vec<String> = self.strings(value, "argv").into_iter().map(|(_, word)| word).collect();
        if argv.first().is_none_or(String::is_empty) {
            self.fault(at, "argv names no program", "its first word is the program");
            return None;
        }
        if kind == CommandKind::TestOne && !argv.iter().any(|word| word.contains(TEST_PLACEHOLDER)) {
            self.fault(at, "no word holds the placeholder {test}", "write it where the test's name goes");
            return None;
        }
        Some(argv)
    }

    fn env(&mut self, value: &Value<'_>) -> Option<BTreeMap<String, String>> {
        let DeValue::Table(table) = value.get_ref() else {
            self.fault(value.span().start, "env is a table", "write env = { NAME = \"value\" }");
            return None;
        };
        self.not_too_many(value, "env", table.len(), MOST_ENTRIES);
        let mut env = BTreeMap::new();
        for (name, value) in table.iter().take(MOST_ENTRIES) {
            if !crate::shell::is_variable(name.get_ref()) {
                self.fault(name.span().start, format!("{:?} is no variable's name", name.get_ref()), "");
            } else if let Some(text) = self.string(value, "a variable") {
                env.insert(name.get_ref().to_string(), text);
            }
        }
        Some(env)
    }

    /// Returns the entries of a table below the root.
    fn entries<'t, 'i>(&mut self, root: &'t DeTable<'i>, key: &str) -> Vec<(String, &'t Value<'i>)> {
        let Some(value) = root.get(key) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            self.fault(value.span().start, format!("{key} is a table"), "");
            return Vec::new();
        };
        self.not_too_many(value, key, table.len(), MOST_ENTRIES);
        table.iter().take(MOST_ENTRIES).map(|(key, value)| (key.get_ref().to_string(), value)).collect()
    }

    /// What is beyond a bound is a fault: left out in silence, it would be taken to hold.
    fn not_too_many(&mut self, value: &Value<'_>, what: &str, count: usize, most: usize) {
        if count > most {
            self.fault(
                value.span().start,
                format!("{what} has {count} entries, and at most {most} are read"),
                "drop some",
            );
        }
    }

    fn flag(&mut self, table: &DeTable<'_>, key: &str) -> bool {
        match table.get(key).map(|value| (value.span().start, value.get_ref())) {
            None => false,
            Some((_, DeValue::Boolean(flag))) => *flag,
            Some((at, _)) => {
                self.fault(at, format!("{key} is true or false"), "");
                false
            }
        }
    }

    fn string(&mut self, value: &Value<'_>, what: &str) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) if text.len() <= 4096 && !text.contains('\0') => Some(text.to_string()),
            DeValue::String(_) => {
                self.fault(
                    value.span().start,
                    format!("{what} is longer than 4096 bytes or holds a NUL byte"),
                    "",
                );
                None
            }
            _ => {
                self.fault(value.span().start, format!("{what} is a string"), "");
                None
            }
        }
    }

    fn strings(&mut self, value: &Value<'_>, what: &str) -> Vec<(usize, String)> {
        let DeValue::Array(items) = value.get_ref() else {
            self.fault(value.span().start, format!("{what} is a list of strings"), "");
            return Vec::new();
        };
        self.not_too_many(value, what, items.len(), MOST_WORDS);
        let items = items.iter().take(MOST_WORDS);
        items.filter_map(|item| Some((item.span().start, self.string(item, what)?))).collect()
    }

    fn path(&mut self, at: usize, text: &str) -> Option<RelPath> {
        match RelPath::parse(text) {
            Ok(path) => Some(path),
            Err(error) => {
                self.fault(at, error.to_string(), "");
                None
            }
        }
    }
}
