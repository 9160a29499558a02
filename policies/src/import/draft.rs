//! The policy while it is made: rules with where they came from, the report, and the text of both.

use std::collections::BTreeMap;

use gloaming_api::RepoId;
use gloaming_api::tool::Decided;

use super::origin::{Origin, hidden, quoted, shown};
use super::{Imported, Note, NoteKind};
use crate::glob::{BadPattern, Pattern};
use crate::{Diagnostic, Grant, Layer};

/// The most rules of one policy; a file of patterns is read whole by whoever answers for it.
pub(super) const MOST_RULES: usize = 1000;
/// The most faults that are told of one file.
pub(super) const MOST_FAULTS: usize = 100;
/// The most patterns of one rule.
const MOST_PATTERNS: usize = 64;
/// The most inline tests.
const MOST_TESTS: usize = 100;
/// What the policy is called while it is tried.
const POLICY: &str = "imported.toml";

/// What a rule about files binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Everything,
    /// Reading, searching and listing. Since `read` is among them no tool may see what is there.
    Reading,
    Listing,
    Searching,
    /// Every way to change a file.
    Writing,
    /// Writing a file whole.
    WholeFiles,
}

impl Reach {
    fn tools(self, deny: bool) -> &'static [&'static str] {
        match self {
            Self::Everything => &["*"],
            Self::Reading => &["read", "list", "search", "outline", "diff"],
            Self::Listing => &["list"],
            Self::Searching => &["search"],
            // A denial for everyone that binds writing alone takes tools in that come later.
            Self::Writing if deny => &["*"],
            Self::Writing => &["edit", "write", "patch", "move", "remove"],
            Self::WholeFiles => &["write", "patch"],
        }
    }

    /// A tool that shows what the rule does.
    fn example(self) -> &'static str {
        match self {
            Self::Everything | Self::Reading => "read",
            Self::Listing => "list",
            Self::Searching => "search",
            Self::Writing => "edit",
            Self::WholeFiles => "write",
        }
    }
}

/// A rule of the source: where it stands and how it is written.
#[derive(Debug, Clone)]
pub(super) struct Cited {
    at: usize,
    written: String,
}

#[derive(Debug)]
struct Rule {
    at: usize,
    deny: bool,
    id: String,
    from: String,
    about: About,
    because: String,
    instead: Option<&'static str>,
}

/// An inline test.
#[derive(Debug)]
struct Example {
    call: String,
    allowed: bool,
}

#[derive(Debug)]
enum About {
    Files(Reach, Vec<String>),
    /// Patterns of the commands a job is started with.
    Commands(Vec<String>),
}

#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) origin: Origin<'a>,
    agent: &'static str,
    rules: Vec<Rule>,
    /// Which rule switches every kind of job off.
    jobs_off: Option<String>,
    /// Each with its byte; places are counted at the end, in one go.
    notes: Vec<(usize, Note)>,
    /// How many rules begin with an id.
    ids: BTreeMap<String, usize>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(origin: Origin<'a>, agent: &'static str) -> Self {
        Self { origin, agent, rules: Vec::new(), jobs_off: None, notes: Vec::new(), ids: BTreeMap::new() }
    }

    pub(super) fn cite(&self, at: usize, written: &str) -> Cited {
        Cited { at, written: shown(written) }
    }

    pub(super) fn line(&self, cited: &Cited) -> u32 {
        self.origin.line(cited.at)
    }

    pub(super) fn note(
        &mut self,
        cited: &Cited,
        kind: NoteKind,
        message: impl Into<String>,
        rule: Option<String>,
    ) {
        let (line, column) = (1, 1);
        let (file, source) = (self.origin.name.to_owned(), cited.written.clone());
        let message = shown_whole(&message.into());
        self.notes.push((cited.at, Note { file, line, column, kind, source, message, rule }));
    }

    pub(super) fn inert(&mut self, cited: &Cited, message: impl Into<String>) {
        self.note(cited, NoteKind::Inert, message, None);
    }

    pub(super) fn left_out(&mut self, cited: &Cited, message: impl Into<String>) {
        self.note(cited, NoteKind::NotCarried, message, None);
    }

    /// Adds a denial of files; returns its id. `asked` when the agent would have asked a person.
    ///
    /// # Errors
    /// Says which pattern cannot be written in the dialect; nothing is added.
    pub(super) fn deny(
        &mut self,
        cited: &Cited,
        reach: Reach,
        paths: Vec<String>,
        asked: bool,
        because: Option<&str>,
    ) -> Result<String, BadPattern> {
        // Only a `?` can stand for a character a pattern may not hold; it takes more than was meant.
        let paths = paths.iter().map(|path| path.replace(char::is_control, "?")).collect();
        self.add(cited, true, About::Files(reach, checked(paths)?), asked, because)
    }

    /// Adds an allowance of files, which narrows the tools it names to these paths; returns its id.
    ///
    /// # Errors
    /// Says which pattern cannot be written in the dialect; nothing is added.
    pub(super) fn allow(
        &mut self,
        cited: &Cited,
        reach: Reach,
        paths: Vec<String>,
    ) -> Result<String, BadPattern> {
        self.add(cited, false, About::Files(reach, checked(paths)?), false, None)
    }

    /// Adds a denial of commands that a job is started with; returns its id.
    pub(super) fn deny_commands(
        &mut self,
        cited: &Cited,
        commands: Vec<String>,
        asked: bool,
        because: Option<&str>,
    ) -> String {
        self.add(cited, true, About::Commands(commands), asked, because).unwrap_or_default()
    }

    /// Adds commands a job may be started with: where there are some, no others may; returns its id.
    pub(super) fn allow_commands(&mut self, cited: &Cited, commands: Vec<String>) -> String {
        self.add(cited, false, About::Commands(commands), false, None).unwrap_or_default()
    }

    /// Switches every kind of job off; returns what a decision about it goes by.
    pub(super) fn no_jobs(&mut self, cited: &Cited) -> String {
        let from = self.from(cited);
        self.jobs_off.get_or_insert(from);
        "jobs.*".into()
    }

    fn from(&self, cited: &Cited) -> String {
        format!("{}:{}: {}", shown(self.origin.name), self.line(cited), cited.written)
    }

    fn add(
        &mut self,
        cited: &Cited,
        deny: bool,
        about: About,
        asked: bool,
        because: Option<&str>,
    ) -> Result<String, BadPattern> {
        let word = if deny { "deny" } else { "allow" };
        let line = self.line(cited);
        let mut id = format!("{word}-line-{line}");
        let count = self.ids.entry(id.clone()).or_default();
        *count += 1;
        if *count > 1 {
            id = format!("{id}-{count}");
        }
        let told = because.map(str::trim).filter(|because| !because.is_empty()).map(shown_whole);
        let because = told.unwrap_or_else(|| {
            let verb = if asked { "asked about" } else { "denied" };
            format!("{} {verb} it: {}", self.agent, cited.written)
        });
        let instead =
            asked.then_some("Nobody is there to be asked. Say in the summary what would have to be done.");
        let from = self.from(cited);
        self.rules.push(Rule { at: cited.at, deny, id: id.clone(), from, about, because, instead });
        Ok(id)
    }

    /// Writes the policy and the report.
    ///
    /// # Errors
    /// More rules than a policy takes.
    pub(super) fn finish(mut self) -> Result<Imported, Vec<Diagnostic>> {
        self.rules.sort_by_key(|rule| rule.at);
        let (tests, _) = self.tried()?;
        let policy = self.text(true, &tests);
        let mut notes = std::mem::take(&mut self.notes);
        notes.sort_by_key(|(at, _)| *at);
        // A file may stand on one line, and counting it from its beginning for every note takes minutes.
        let mut last = (0, 1, 1);
        for (at, note) in &mut notes {
            let line = self.origin.line(*at);
            let column = if line == last.1 && *at >= last.0 {
                last.2 + self.origin.characters(last.0..*at)
            } else {
                self.origin.place(*at).1
            };
            last = (*at, line, column);
            (note.line, note.column) = (line, column);
        }
        Ok(Imported { policy, notes: notes.into_iter().map(|(_, note)| note).collect() })
    }

    /// The policy without its rules about commands, which stand apart so that what files are allowed can be tried
    /// by itself.
    #[cfg(test)]
    pub(super) fn about_files(&self) -> Result<String, Vec<Diagnostic>> {
        self.tried().map(|(_, text)| text)
    }

    /// The tests that the rules themselves give, with what is decided of each, and the text without commands.
    fn tried(&self) -> Result<(Vec<Example>, String), Vec<Diagnostic>> {
        if self.rules.len() > MOST_RULES {
            let message = format!("these are more than {MOST_RULES} rules");
            return Err(vec![self.origin.fault(0, message, "import the part of them that is still meant")]);
        }
        let unfit = |faults: Vec<Diagnostic>| {
            let told = faults.first().map_or_else(String::new, |fault| fault.message.clone());
            vec![self.origin.fault(0, format!("the policy does not load: {told}"), "import fewer rules")]
        };
        let file = crate::parse(POLICY, &self.text(false, &[])).map_err(unfit)?;
        let grant =
            Grant::resolve(&RepoId::local("imported"), vec![(Layer::Operator, file)]).map_err(unfit)?;
        let mut tests: Vec<Example> = Vec::new();
        for rule in &self.rules {
            if tests.len() >= MOST_TESTS {
                break;
            }
            let About::Files(reach, paths) = &rule.about else { continue };
            for path in paths.iter().filter_map(|path| sample(path)) {
                let call = format!("{} {path}", reach.example());
                let denied = grant.explain(&call).is_ok_and(|explained| explained.decision == Decided::Deny);
                // An allowance's sample may fall under a denial; that is then no example of the rule.
                if denied == rule.deny && !tests.iter().any(|test| test.call == call) {
                    tests.push(Example { call, allowed: !rule.deny });
                    break;
                }
            }
        }
        if self.jobs_off.is_some() {
            tests.push(Example { call: "check test".into(), allowed: false });
        }
        let text = self.text(false, &tests);
        Ok((tests, text))
    }

    fn text(&self, commands: bool, tests: &[Example]) -> String {
        let mut out = format!(
            "# Made from the permissions of {}, {}.\n\
             # It narrows preset:standard: what that denies stays denied, and order does not matter here.\n\
             schema = 1\nextends = [\"preset:standard\"]\n",
            self.agent,
            shown(self.origin.name)
        );
        for rule in &self.rules {
            if !commands && matches!(rule.about, About::Commands(_)) {
                continue;
            }
            let kind = if rule.deny { "deny" } else { "allow" };
            out.push_str(&format!("\n# {}\n[[{kind}]]\nid = {}\n", rule.from, quoted(&rule.id)));
            match &rule.about {
                About::Files(reach, paths) => {
                    out.push_str(&format!("tools = {}\n", list(reach.tools(rule.deny).iter())));
                    if rule.deny && *reach == Reach::Writing {
                        out.push_str("access = \"write\"\n");
                    }
                    out.push_str(&format!("paths = {}\n", list(paths.iter())));
                }
                About::Commands(patterns) => {
                    out.push_str(&format!("jobs = [\"*\"]\ncommands = {}\n", list(patterns.iter())));
                }
            }
            if rule.deny {
                out.push_str(&format!("because = {}\n", quoted(&rule.because)));
                if let Some(instead) = rule.instead {
                    out.push_str(&format!("instead = {}\n", quoted(instead)));
                }
            }
        }
        if let Some(from) = &self.jobs_off {
            out.push_str(&format!("\n# {from}\n"));
            for purpose in ["setup", "build", "test", "lint"] {
                out.push_str(&format!("[jobs.{purpose}]\nenabled = false\n"));
            }
        }
        for Example { call, allowed } in tests {
            let expect = if *allowed { "allow" } else { "deny" };
            out.push_str(&format!("\n[[test]]\ncall = {}\nexpect = \"{expect}\"\n", quoted(call)));
        }
        out
    }
}

fn list<S: AsRef<str>>(items: impl Iterator<Item = S>) -> String {
    let items: Vec<String> = items.map(|item| quoted(item.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

fn checked(paths: Vec<String>) -> Result<Vec<String>, BadPattern> {
    if paths.len() > MOST_PATTERNS || paths.is_empty() {
        return Err(BadPattern {
            message: format!("it stands for {} patterns", paths.len()),
            hint: format!("write at most {MOST_PATTERNS}"),
        });
    }
    for path in &paths {
        Pattern::parse(path)?;
    }
    Ok(paths)
}

/// Text of any length with what is hidden in it escaped.
fn shown_whole(text: &str) -> String {
    let escaped = |c: char| if hidden(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// A path that a pattern matches; none where none comes easily.
fn sample(pattern: &str) -> Option<String> {
    let body = pattern.strip_prefix('/').unwrap_or(pattern);
    let (body, folder) = match body.strip_suffix('/') {
        Some(body) => (body, true),
        None => (body, false),
    };
    let names: Vec<&str> = body.split('/').collect();
    let mut out: Vec<String> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let any = name.len() > 1 && name.bytes().all(|b| b == b'*');
        match (any, at + 1 == names.len()) {
            (true, false) => {}
            (true, true) => out.push("x".into()),
            (false, _) => out.push(sample_name(name)?),
        }
    }
    if folder {
        out.push("x".into());
    }
    let path = out.join("/");
    (!path.is_empty() && path.trim() == path && !path.contains(hidden)).then_some(path)
}

fn sample_name(name: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' => out.push('x'),
            '\\' => out.push(chars.next()?),
            '[' => {
                let first = chars.next().filter(|c| c.is_alphanumeric())?;
                chars.by_ref().find(|c| *c == ']')?;
                out.push(first);
            }
            c => out.push(c),
        }
    }
    Some(out)
}
