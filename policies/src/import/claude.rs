//! Claude Code's `settings.json`: `permissions` with `deny`, `ask`, `allow`, `defaultMode`.
//!
//! What its documentation and its own start-up warnings say, and this goes by:
//!
//! - rules are looked at in the order deny, ask, allow, whatever stands in which order or says more;
//! - of paths only those of `Read(...)` and `Edit(...)` are ever looked at: `Edit` stands for every tool that
//!   changes a file, `Read` for every tool that looks. `Write(path)`, `Glob(path)` and the like bind nothing
//!   (claude-code #80893, #81170, #75315);
//! - paths are gitignore's, with `//` for absolute, `~/` for the home folder, `/` for the folder the settings
//!   belong to, the rest for the folder the agent is started in, here taken for the repository's root;
//! - in `Bash(...)`, `*` runs over words, ` *` at the end also takes the command alone, `:*` at the end is the same
//!   as ` *`, and elsewhere keeps a rule from ever matching (#84969);
//! - looking at files of the working folder needs no permission.

use std::collections::BTreeMap;

use super::command::{Commands, starts_no_job, wildcard};
use super::draft::{Cited, Draft, MOST_FAULTS, MOST_RULES, Reach};
use super::json::{self, Json, Node};
use super::origin::{Origin, base_name, is_of_a_home};
use super::{NoteKind, Verdict};
use crate::Diagnostic;
use crate::suggest::did_you_mean;

const MODES: &[&str] =
    &["default", "manual", "acceptEdits", "plan", "auto", "dontAsk", "delegate", "bypassPermissions"];
/// Tools whose name alone can be ruled on, and that have no counterpart here.
const OTHER_TOOLS: &[&str] = &[
    "Agent",
    "AskUserQuestion",
    "BashOutput",
    "CronCreate",
    "EnterPlanMode",
    "EnterWorktree",
    "ExitPlanMode",
    "KillShell",
    "ListMcpResourcesTool",
    "LSP",
    "Monitor",
    "PowerShell",
    "ReadMcpResourceTool",
    "Skill",
    "SlashCommand",
    "Task",
    "TaskCreate",
    "TaskOutput",
    "TaskStop",
    "TaskUpdate",
    "TodoWrite",
    "ToolSearch",
];
const KNOWN_TOOLS: &[&str] =
    &["Read", "Edit", "Write", "NotebookEdit", "Grep", "Glob", "LS", "Bash", "WebFetch", "WebSearch"];

/// One string of `allow`, `ask` or `deny`.
struct Rule {
    verdict: Verdict,
    cited: Cited,
    tool: String,
    /// What stands in the parentheses; none for the tool as a whole.
    about: Option<String>,
}

pub(super) fn draft(origin: Origin<'_>) -> Result<Draft<'_>, Vec<Diagnostic>> {
    let root = json::read(&origin).map_err(|fault| vec![fault])?;
    let Json::Object(members) = &root.value else {
        return Err(vec![origin.fault(
            root.at,
            "these are not settings",
            "an object is expected: `{ ... }`",
        )]);
    };
    let mut reader = Reader {
        of_a_home: is_of_a_home(origin.name) || base_name(origin.name).starts_with("managed-settings"),
        draft: Draft::new(origin, "Claude Code"),
        faults: Vec::new(),
        edits: Edits::default(),
        commands: Vec::new(),
        every_command: false,
        some_commands: false,
    };
    match root.member("permissions") {
        Some(member) => reader.permissions(&member.node),
        None => reader.fault(root.at, "there is no `permissions`, so there is nothing to import", SHAPE),
    }
    for member in members {
        let cited = reader.draft.cite(member.at, &member.key);
        match member.key.as_str() {
            "hooks" => reader.draft.left_out(
                &cited,
                "hooks are programs that decide; what they decide has to be written as rules",
            ),
            "sandbox" => {
                reader.draft.left_out(
                    &cited,
                    "every job runs in its own sandbox here, without network; paths named here need a rule",
                );
            }
            _ => {}
        }
    }
    if reader.faults.is_empty() { Ok(reader.draft) } else { Err(reader.faults) }
}

const SHAPE: &str = "write `\"permissions\": { \"deny\": [\"Read(./.env)\"] }`";

/// What the allow rules say of editing.
#[derive(Default)]
struct Edits {
    /// Every file may be edited.
    all: bool,
    /// Rules that narrow it.
    some: usize,
}

struct Reader<'a> {
    draft: Draft<'a>,
    /// Whether `/` in the settings is not the repository's root.
    of_a_home: bool,
    faults: Vec<Diagnostic>,
    edits: Edits,
    /// Commands that are allowed, with their rule.
    commands: Vec<(Cited, Vec<String>, Option<&'static str>)>,
    every_command: bool,
    some_commands: bool,
}

impl Reader<'_> {
    fn fault(&mut self, at: usize, message: impl Into<String>, hint: &str) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(self.draft.origin.fault(at, message, hint));
        }
    }

    fn permissions(&mut self, node: &Node) {
        let Json::Object(members) = &node.value else {
            return self.fault(node.at, "`permissions` is not an object", SHAPE);
        };
        let mut mode = "default".to_owned();
        let mut mode_cited = None;
        let mut rules = Vec::new();
        for member in members {
            let cited = self.draft.cite(member.at, &member.key);
            match member.key.as_str() {
                "deny" => rules.extend(self.rules(&member.node, Verdict::Deny)),
                "ask" => rules.extend(self.rules(&member.node, Verdict::Ask)),
                "allow" => rules.extend(self.rules(&member.node, Verdict::Allow)),
                "defaultMode" => match &member.node.value {
                    Json::String(text) => {
                        mode.clone_from(text);
                        mode_cited = Some(self.draft.cite(member.at, &format!("defaultMode: {text}")));
                    }
                    _ => self.fault(member.node.at, "`defaultMode` is not a string", "write `\"default\"`"),
                },
                "additionalDirectories" => {
                    self.draft.left_out(&cited, "nothing outside the repository is ever given to an attempt")
                }
                "disableBypassPermissionsMode" | "disableAutoMode" => self.draft.note(
                    &cited,
                    NoteKind::Carried,
                    "there is no mode here in which rules do not count",
                    None,
                ),
                other => {
                    let known = ["deny", "ask", "allow", "defaultMode", "additionalDirectories"];
                    let near = did_you_mean(other, &known).unwrap_or_else(|| "it is left out".into());
                    self.draft
                        .inert(&cited, format!("Claude Code knows no such key of `permissions`; {near}"));
                }
            }
        }
        if let Some(cited) = &mode_cited {
            self.mode(cited, &mode);
        }
        let shadows = Shadows::of(&rules, &self.draft);
        for (at, rule) in rules.iter().enumerate() {
            if let Some(message) = shadows.of_rule(at, rule) {
                self.draft.inert(&rule.cited, message);
            } else {
                self.rule(rule, &mode);
            }
        }
        self.allow_commands();
        if mode == "dontAsk"
            && let Some(cited) = mode_cited
        {
            self.nothing_else(&cited);
        }
    }

    fn rules(&mut self, node: &Node, verdict: Verdict) -> Vec<Rule> {
        let Json::Array(items) = &node.value else {
            self.fault(node.at, "this is not a list of rules", "write `[\"Read(./.env)\"]`");
            return Vec::new();
        };
        if items.len() > MOST_RULES {
            let message = format!("these are more than {MOST_RULES} rules");
            self.fault(node.at, message, "import the part of them that is still meant");
            return Vec::new();
        }
        let mut rules = Vec::new();
        for item in items {
            let Json::String(text) = &item.value else {
                self.fault(item.at, "this rule is not a string", "write it like `\"Read(./.env)\"`");
                continue;
            };
            let cited = self.draft.cite(item.at, text);
            let text = text.trim();
            let (tool, about) = match text.split_once('(') {
                None => (text, None),
                Some((tool, rest)) => match rest.strip_suffix(')') {
                    Some("" | "*") => (tool, None),
                    // A path of `**` is every file.
                    Some("**") if matches!(tool, "Read" | "Edit") => (tool, None),
                    Some(about) => (tool, Some(about.to_owned())),
                    None => {
                        self.draft.inert(&cited, "it is not closed by `)`, so it matches nothing");
                        continue;
                    }
                },
            };
            rules.push(Rule { verdict, cited, tool: tool.to_owned(), about });
        }
        rules
    }

    fn mode(&mut self, cited: &Cited, mode: &str) {
        let (kind, message) = match mode {
            "default" | "manual" | "auto" | "delegate" => {
                (NoteKind::Changed, "what no rule is about is asked about there; here the preset decides it")
            }
            "acceptEdits" => (NoteKind::Carried, "files may be changed; what the preset denies stays denied"),
            "bypassPermissions" => {
                (NoteKind::Changed, "nothing here lifts a denial: the preset and these rules stay")
            }
            "dontAsk" => (NoteKind::Carried, "what no rule allows is denied"),
            "plan" => {
                let everything = vec!["**".to_owned()];
                let rule = self.draft.deny(cited, Reach::Writing, everything, false, None).ok();
                return self.draft.note(cited, NoteKind::Carried, "files are looked at, never changed", rule);
            }
            other => {
                let near = did_you_mean(other, MODES).map_or(String::new(), |near| format!("; {near}"));
                return self.draft.inert(cited, format!("Claude Code knows no such mode{near}"));
            }
        };
        self.draft.note(cited, kind, message, None);
    }

    fn rule(&mut self, rule: &Rule, mode: &str) {
        let asked = rule.verdict == Verdict::Ask;
        match (rule.tool.as_str(), rule.verdict) {
            ("Bash", Verdict::Allow) => self.allowed_command(rule),
            ("Bash", _) => self.denied_command(rule, asked),
            ("Edit", Verdict::Allow) => self.allowed_edit(rule, mode),
            ("Write" | "NotebookEdit" | "MultiEdit", Verdict::Allow) if rule.about.is_some() => {
                let name = &rule.tool;
                self.draft.inert(
                    &rule.cited,
                    format!("only `Edit(path)` rules are looked at for changing files, never `{name}(path)`"),
                );
            }
            ("Write", Verdict::Allow) => {
                // Whoever may write every file whole needs no editing tool to change them.
                self.edits.all = true;
                let message = "who may write every file whole may edit it too; where an `Edit(path)` rule is allowed that narrows all of them";
                self.draft.note(&rule.cited, NoteKind::Changed, message, None);
            }
            ("Read" | "Grep" | "Glob" | "LS", Verdict::Allow) => self.allowed_look(rule),
            ("Edit", _) => self.denied_files(rule, Reach::Writing, asked, None),
            ("Read", _) => {
                let more = "it holds for every tool here and keeps the files out of jobs' copies; in Claude Code \
                            `cat` and other programs could still read them";
                self.denied_files(rule, Reach::Reading, asked, Some(more));
            }
            ("Write" | "NotebookEdit" | "MultiEdit" | "Grep" | "Glob" | "LS", _) if rule.about.is_some() => {
                self.dead_denial(rule, asked);
            }
            ("Write", _) => {
                let message = "it takes `write` and `patch`, and with them `move` and `remove`";
                self.deny_paths(rule, Reach::WholeFiles, vec!["**".into()], asked, NoteKind::Changed, message);
            }
            ("Grep", _) => {
                let message = "it takes `search`; reading and listing stay";
                let paths = vec!["**".into()];
                self.deny_paths(rule, Reach::Searching, paths, asked, NoteKind::Changed, message);
            }
            ("NotebookEdit", _) => {
                self.draft.left_out(&rule.cited, "there is no tool for notebooks here: they are files like others");
            }
            ("Glob" | "LS", _) => {
                let message = "it takes `list`; searching stays";
                self.deny_paths(rule, Reach::Listing, vec!["**".into()], asked, NoteKind::Changed, message);
            }
            ("*", Verdict::Deny | Verdict::Ask) => {
                let id = self.draft.no_jobs(&rule.cited);
                let message = format!("no file is shown or changed, and no job runs ({id})");
                let paths = vec!["**".into()];
                self.deny_paths(rule, Reach::Everything, paths, asked, NoteKind::Carried, &message);
            }
            ("WebFetch" | "WebSearch", Verdict::Allow) => self.draft.left_out(
                &rule.cited,
                "nothing here reaches the network: there is no tool for it, and jobs have none",
            ),
            ("WebFetch" | "WebSearch", _) => self.draft.left_out(
                &rule.cited,
                "nothing here reaches the network anyway: there is no tool for it, and jobs have none",
            ),
            (name, _) if name.starts_with("mcp__") => self.draft.left_out(
                &rule.cited,
                "tools of MCP servers are not called here; a tool an operator registers is ruled on by its name",
            ),
            (name, _) if OTHER_TOOLS.contains(&name) => {
                self.draft.left_out(&rule.cited, format!("there is no `{name}` here"));
            }
            (name, _) => {
                let lower: Vec<String> = KNOWN_TOOLS.iter().map(|known| known.to_lowercase()).collect();
                let names: Vec<&str> = lower.iter().map(String::as_str).collect();
                let near = did_you_mean(name, &names).and_then(|near| {
                    let known = KNOWN_TOOLS.iter().zip(&names).find(|(_, lower)| near.contains(&format!("`{lower}`")));
                    known.map(|(known, _)| format!("; did you mean `{known}`?"))
                });
                let near = near.unwrap_or_default();
                self.draft.inert(&rule.cited, format!("Claude Code knows no tool of this name{near}"));
            }
        }
    }

    fn allowed_look(&mut self, rule: &Rule) {
        match rule.about.as_deref().map(|about| self.paths(about, false)) {
            Some(Err(Unplaced::Outside(why))) => self.draft.left_out(&rule.cited, why),
            _ => self.draft.inert(
                &rule.cited,
                "looking at files of the working folder needs no permission; the preset allows it too",
            ),
        }
    }

    fn allowed_edit(&mut self, rule: &Rule, mode: &str) {
        let Some(about) = &rule.about else {
            if mode == "plan" {
                return self.draft.inert(&rule.cited, "in the mode `plan` no file is changed");
            }
            self.edits.all = true;
            let message = "the preset allows it too; what the preset denies stays denied";
            return self.draft.note(&rule.cited, NoteKind::Carried, message, None);
        };
        match (mode, self.paths(about, false)) {
            ("acceptEdits" | "bypassPermissions", Ok(_)) => self.draft.inert(
                &rule.cited,
                format!("the mode `{mode}` allows every edit already, so it narrows nothing"),
            ),
            ("plan", Ok(_)) => self.draft.inert(&rule.cited, "in the mode `plan` no file is changed"),
            (_, Ok((paths, _))) => match self.draft.allow(&rule.cited, Reach::Writing, paths) {
                Ok(id) => {
                    self.edits.some += 1;
                    let message = "only what an `Edit` rule names may be changed, moved or removed; the rest was asked about";
                    self.draft.note(&rule.cited, NoteKind::Carried, message, Some(id));
                }
                Err(bad) => self.draft.left_out(&rule.cited, format!("{}; {}", bad.message, bad.hint)),
            },
            (_, Err(Unplaced::Outside(why))) => self.draft.left_out(&rule.cited, why),
            (_, Err(Unplaced::Elsewhere(why))) => self.draft.inert(&rule.cited, why),
        }
    }

    fn denied_files(&mut self, rule: &Rule, reach: Reach, asked: bool, more: Option<&str>) {
        let (paths, wider) = match rule.about.as_deref().map(|about| self.paths(about, true)) {
            None => (vec!["**".to_owned()], false),
            Some(Ok(found)) => found,
            Some(Err(Unplaced::Outside(why))) => return self.draft.left_out(&rule.cited, why),
            Some(Err(Unplaced::Elsewhere(why))) => return self.draft.inert(&rule.cited, why),
        };
        let mut told = Vec::new();
        if asked {
            told.push("nobody is there to be asked, so it is denied");
        }
        if wider {
            told.push("it binds at any depth, since where the agent is started is not known");
        }
        told.extend(more);
        let kind = if asked || wider || more.is_some() { NoteKind::Changed } else { NoteKind::Carried };
        let message =
            if told.is_empty() { "it binds every tool that changes files".into() } else { told.join("; ") };
        self.deny_paths(rule, reach, paths, asked, kind, &message);
    }

    fn deny_paths(
        &mut self,
        rule: &Rule,
        reach: Reach,
        paths: Vec<String>,
        asked: bool,
        kind: NoteKind,
        message: &str,
    ) {
        match self.draft.deny(&rule.cited, reach, paths, asked, None) {
            Ok(id) => self.draft.note(&rule.cited, kind, message, Some(id)),
            Err(bad) => self.draft.left_out(&rule.cited, format!("{}; {}", bad.message, bad.hint)),
        }
    }

    /// A denial that Claude Code never looks at. What was meant is plain, so it binds here.
    fn dead_denial(&mut self, rule: &Rule, asked: bool) {
        let (right, reach) = match rule.tool.as_str() {
            "Write" | "NotebookEdit" | "MultiEdit" => ("Edit", Reach::Writing),
            _ => ("Read", Reach::Reading),
        };
        let name = &rule.tool;
        let why = format!(
            "Claude Code never looks at `{name}(path)`, only at `{right}(path)`, so it bound nothing there; here it \
             does"
        );
        match self.paths(rule.about.as_deref().unwrap_or("**"), true) {
            Ok((paths, _)) => self.deny_paths(rule, reach, paths, asked, NoteKind::Inert, &why),
            Err(Unplaced::Outside(more) | Unplaced::Elsewhere(more)) => {
                self.draft.inert(&rule.cited, format!("Claude Code never looks at `{name}(path)`; {more}"));
            }
        }
    }

    fn allowed_command(&mut self, rule: &Rule) {
        let (text, live) = command_text(rule.about.as_deref().unwrap_or("*"));
        if !live {
            return self.draft.inert(&rule.cited, COLON_STAR);
        }
        match wildcard(&text, false) {
            Commands::All => {
                self.every_command = true;
                let message =
                    "a job may be started with every command of the repository's profile, as it is anyway";
                self.draft.note(&rule.cited, NoteKind::Carried, message, None);
            }
            Commands::Same(patterns) => self.allowed_patterns(rule, patterns, None),
            Commands::Near(patterns, how) => self.allowed_patterns(rule, patterns, Some(how)),
            Commands::None(why) => self.draft.left_out(&rule.cited, why),
        }
    }

    fn allowed_patterns(&mut self, rule: &Rule, patterns: Vec<String>, how: Option<&'static str>) {
        if patterns.iter().all(|pattern| starts_no_job(pattern)) {
            let message = "the model has no shell here, and no build, test or lint is started with it";
            return self.draft.left_out(&rule.cited, message);
        }
        self.commands.push((rule.cited.clone(), patterns, how));
    }

    /// Allowed commands are written at the end: where every command is allowed they narrow nothing.
    fn allow_commands(&mut self) {
        for (cited, patterns, how) in std::mem::take(&mut self.commands) {
            if self.every_command {
                self.draft.inert(&cited, "another rule allows every command already");
                continue;
            }
            let id = self.draft.allow_commands(&cited, patterns);
            let mut message =
                "only what a `Bash` rule names may start a build, test or lint; the rest was asked \
                               about"
                    .to_owned();
            if let Some(how) = how {
                message = format!("{message}; {how}");
            }
            self.draft.note(&cited, NoteKind::Changed, message, Some(id));
            self.some_commands = true;
        }
    }

    fn denied_command(&mut self, rule: &Rule, asked: bool) {
        let (text, live) = command_text(rule.about.as_deref().unwrap_or("*"));
        let kind = if live { NoteKind::Changed } else { NoteKind::Inert };
        let mut told = Vec::new();
        if !live {
            told.push(COLON_STAR);
        }
        if asked {
            told.push("nobody is there to be asked, so it is denied");
        }
        let id = match wildcard(&text, true) {
            Commands::All => {
                told.push("no build, test or lint is started for the model");
                self.draft.no_jobs(&rule.cited)
            }
            Commands::None(why) if live => return self.draft.left_out(&rule.cited, why),
            Commands::None(_) => return self.draft.inert(&rule.cited, COLON_STAR),
            Commands::Same(patterns) => {
                told.push(NO_SHELL);
                self.draft.deny_commands(&rule.cited, patterns, asked, None)
            }
            Commands::Near(patterns, how) => {
                told.extend([NO_SHELL, how]);
                self.draft.deny_commands(&rule.cited, patterns, asked, None)
            }
        };
        self.draft.note(&rule.cited, kind, told.join("; "), Some(id));
    }

    /// In the mode `dontAsk` what no rule allows is denied.
    fn nothing_else(&mut self, cited: &Cited) {
        if !self.edits.all && self.edits.some == 0 {
            let everything = vec!["**".to_owned()];
            let rule = self.draft.deny(cited, Reach::Writing, everything, false, None).ok();
            self.draft.note(cited, NoteKind::Carried, "no rule allows to change a file", rule);
        }
        if !self.every_command && !self.some_commands {
            let id = self.draft.no_jobs(cited);
            self.draft.note(cited, NoteKind::Carried, "no rule allows a command", Some(id));
        }
    }

    /// The patterns of a path rule here, and whether they say more than it did.
    fn paths(&self, about: &str, deny: bool) -> Result<(Vec<String>, bool), Unplaced> {
        let absolute =
            "an absolute path has no meaning here: an attempt sees the repository and nothing else";
        let home =
            "a path of the home folder has no meaning here: an attempt sees the repository and nothing else";
        if let Some(rest) = about.strip_prefix("//") {
            // From the root of the file system at any depth: the repository lies there too.
            return if deny && rest.starts_with("**/") {
                Ok((vec![rest.to_owned()], false))
            } else {
                Err(Unplaced::Outside(absolute))
            };
        }
        if let Some(rest) = about.strip_prefix('~') {
            return match rest.strip_prefix('/') {
                Some(rest) if deny && rest.starts_with("**/") => Ok((vec![rest.to_owned()], true)),
                _ => Err(Unplaced::Outside(home)),
            };
        }
        if about.as_bytes().get(1) == Some(&b':') || about.starts_with("\\\\") {
            return Err(Unplaced::Outside(absolute));
        }
        if about.split('/').any(|name| name == "..") {
            return Err(Unplaced::Outside(
                "it leads out of the repository, and an attempt sees nothing else",
            ));
        }
        if let Some(rest) = about.strip_prefix('/') {
            let first = rest.split('/').next().unwrap_or_default();
            if ["etc", "home", "mnt", "opt", "private", "proc", "root", "tmp", "usr", "Users", "var"]
                .contains(&first)
            {
                return Err(Unplaced::Elsewhere(
                    "one `/` is the folder of the settings, so it never meant this absolute path (that is `//`), \
                     which has no meaning here",
                ));
            }
            if self.of_a_home {
                return Err(Unplaced::Elsewhere(
                    "in a person's own settings `/` is the folder of the settings, not the repository",
                ));
            }
            return Ok((vec![about.to_owned()], false));
        }
        let dotted = about.starts_with("./");
        let rest = about.trim_start_matches("./");
        if rest.is_empty() || rest == "." {
            return Ok((vec!["**".into()], false));
        }
        let single = !rest.trim_end_matches('/').contains('/');
        Ok(match (deny, single) {
            _ if rest.starts_with("**/") => (vec![rest.to_owned()], false),
            (true, true) => (vec![rest.to_owned()], dotted),
            // A folder's content (`src/**`) is denied at any depth there too.
            (true, false) => (
                vec![format!("**/{rest}")],
                rest.strip_suffix("/**").is_none_or(|folder| folder.contains('/')),
            ),
            (false, true) if !dotted && rest.contains('*') => (vec![rest.to_owned()], false),
            (false, _) => (vec![format!("/{rest}")], false),
        })
    }
}

const COLON_STAR: &str = "`:*` counts only at the end; elsewhere it keeps a rule from ever matching";
const NO_SHELL: &str =
    "the model has no shell here: it binds the commands builds, tests and lints start with";

/// Why a path is not of the repository.
enum Unplaced {
    /// It is somewhere else.
    Outside(&'static str),
    /// It never was what its author took it for.
    Elsewhere(&'static str),
}

/// A command rule with its `:*` written as ` *`, and whether Claude Code ever matches it.
fn command_text(about: &str) -> (String, bool) {
    let about = about.trim();
    let body = about.strip_suffix(":*").unwrap_or(about);
    let live = !body.contains(":*");
    let text = about.replace(":*", " *");
    (text, live)
}

/// Which rules are never reached, since one that is looked at earlier decides the same.
struct Shadows {
    /// The first rule of each kind, tool and content, and its line.
    first: BTreeMap<(u8, String, Option<String>), (usize, u32)>,
}

fn order(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Deny => 0,
        Verdict::Ask => 1,
        Verdict::Allow => 2,
    }
}

impl Shadows {
    fn of(rules: &[Rule], draft: &Draft<'_>) -> Self {
        let mut first = BTreeMap::new();
        for (at, rule) in rules.iter().enumerate() {
            let key = (order(rule.verdict), rule.tool.clone(), rule.about.clone());
            first.entry(key).or_insert_with(|| (at, draft.line(&rule.cited)));
        }
        Self { first }
    }

    fn of_rule(&self, at: usize, rule: &Rule) -> Option<String> {
        for earlier in 0..=order(rule.verdict) {
            let said = |tool: &str, about: &Option<String>| {
                self.first.get(&(earlier, tool.to_owned(), about.clone())).filter(|(first, _)| *first != at)
            };
            // `Edit` as a whole stands for `Write` too.
            let whole = match rule.tool.as_str() {
                "Write" => said("Write", &None).or_else(|| said("Edit", &None)),
                tool => said(tool, &None),
            };
            if let Some((_, line)) = said(&rule.tool, &rule.about).or(whole) {
                let list = ["deny", "ask", "allow"][usize::from(earlier)];
                return Some(format!("the `{list}` rule on line {line} decides before it is looked at"));
            }
        }
        None
    }
}
