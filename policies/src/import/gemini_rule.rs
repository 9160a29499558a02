//! One `[[rule]]` of Gemini CLI: what it is about and whether it ever counts.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Verdict;
use super::draft::{Cited, Draft, MOST_FAULTS, MOST_RULES, Reach};
use super::origin::shown;
use super::regexes::{Part, alternatives};
use crate::Diagnostic;
use crate::suggest::did_you_mean;

type Value<'i> = Spanned<DeValue<'i>>;

/// What tools are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Domain {
    Look,
    Change,
    Shell,
}

/// What a rule says of a call's arguments.
#[derive(Debug)]
pub(super) enum About {
    Whole,
    /// The first words of a command.
    Prefixes(Vec<String>),
    /// Commands with `*` for anything.
    Commands(Vec<String>),
    /// Patterns of paths.
    Paths(Vec<String>),
    Unclear(&'static str),
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) cited: Cited,
    pub(super) verdict: Verdict,
    pub(super) priority: i64,
    pub(super) reaches: Vec<(Domain, Reach)>,
    names: Vec<String>,
    pub(super) about: About,
    /// Whether it counts for every agent and in the usual mode, with nobody there.
    pub(super) always: bool,
    /// Why Gemini CLI never takes it.
    pub(super) dead: Option<&'static str>,
    pub(super) because: Option<String>,
}

impl Rule {
    /// Whether it names one of these tools, or every tool.
    pub(super) fn names(&self, tools: &[&str]) -> bool {
        self.names.iter().any(|name| name == "*" || tools.contains(&name.as_str()))
    }
}

const LOOK: &[&str] =
    &["read_file", "read_many_files", "list_directory", "glob", "search_file_content", "grep_search"];
const NETWORK: &[&str] = &["web_fetch", "google_web_search"];
const OTHERS: &[&str] = &[
    "activate_skill",
    "ask_user",
    "cli_help",
    "codebase_investigator",
    "complete_task",
    "delegate_to_agent",
    "enter_plan_mode",
    "exit_plan_mode",
    "generalist",
    "get_internal_docs",
    "invoke_agent",
    "save_memory",
    "update_topic",
    "write_todos",
];
const KEYS: &[&str] = &[
    "toolName",
    "subagent",
    "mcpName",
    "toolAnnotations",
    "argsPattern",
    "commandPrefix",
    "commandRegex",
    "decision",
    "priority",
    "denyMessage",
    "deny_message",
    "modes",
    "interactive",
    "allowRedirection",
    "allow_redirection",
];
const DROPPED: &str = "Gemini CLI drops a file with such a rule as a whole; mend it first";
const NO_GLOB: &str = "what its regular expression says of the arguments cannot be said in patterns here";

/// Reads the rules of a file; those that have no place here are told and left out.
pub(super) fn read(draft: &mut Draft<'_>) -> Result<Vec<Rule>, Vec<Diagnostic>> {
    let text = draft.origin.text;
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let fault = |error: &toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            draft.origin.fault(at, format!("this is not TOML: {}", error.message()), "mend the file")
        };
        return Err(errors.iter().map(fault).collect());
    }
    let mut reader = Reader { draft, faults: Vec::new() };
    let mut rules = Vec::new();
    for (key, value) in table.get_ref() {
        let name = key.get_ref().as_ref();
        let at = key.span().start;
        match (name, value.get_ref()) {
            ("rule", DeValue::Array(items)) if items.len() > MOST_RULES => {
                let message = format!("these are more than {MOST_RULES} rules");
                reader.fault(at, message, "import the part of them that is still meant");
            }
            ("rule", DeValue::Array(items)) => {
                for item in items {
                    match item.get_ref() {
                        DeValue::Table(table) => rules.extend(reader.rule(item.span().start, table)),
                        _ => reader.fault(item.span().start, "a rule is a table", "write `[[rule]]`"),
                    }
                }
            }
            ("rule", _) => reader.fault(at, "`rule` is not a list of tables", "write `[[rule]]`"),
            ("safety_checker", _) => {
                let cited = reader.draft.cite(at, "[[safety_checker]]");
                reader.draft.left_out(&cited, "it is a program that decides, and no rule");
            }
            (other, _) => {
                let cited = reader.draft.cite(at, other);
                let near = did_you_mean(other, &["rule", "safety_checker"]);
                let near = near.map_or(String::new(), |near| format!("; {near}"));
                reader.draft.inert(&cited, format!("Gemini CLI knows no such key{near}"));
            }
        }
    }
    if !table.get_ref().contains_key("rule") {
        reader.fault(
            0,
            "there is no `[[rule]]`, so there is nothing to import",
            "name one of `policies/*.toml`",
        );
    }
    let faults = std::mem::take(&mut reader.faults);
    if faults.is_empty() { Ok(rules) } else { Err(faults) }
}

struct Reader<'d, 'a> {
    draft: &'d mut Draft<'a>,
    faults: Vec<Diagnostic>,
}

impl Reader<'_, '_> {
    fn fault(&mut self, at: usize, message: impl Into<String>, hint: &str) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(self.draft.origin.fault(at, message, hint));
        }
    }

    fn texts(&mut self, table: &DeTable<'_>, key: &str) -> Option<Vec<String>> {
        let value = table.get(key)?;
        let of = |value: &Value<'_>| match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        };
        let found = match value.get_ref() {
            DeValue::Array(items) => items.iter().map(of).collect(),
            _ => of(value).map(|text| vec![text]),
        };
        if found.is_none() {
            self.fault(
                value.span().start,
                format!("`{key}` is neither a string nor a list of them"),
                DROPPED,
            );
        }
        found
    }

    fn rule(&mut self, at: usize, table: &DeTable<'_>) -> Option<Rule> {
        let cited = self.draft.cite(at, &written(table));
        let verdict = match self.texts(table, "decision").as_deref() {
            Some([one]) if one == "allow" => Verdict::Allow,
            Some([one]) if one == "ask_user" => Verdict::Ask,
            Some([one]) if one == "deny" => Verdict::Deny,
            _ => {
                self.fault(at, "`decision` is not `allow`, `deny` or `ask_user`", DROPPED);
                return None;
            }
        };
        let priority = match table.get("priority").map(Spanned::get_ref) {
            Some(DeValue::Integer(number)) => {
                i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
            }
            _ => None,
        };
        let Some(priority) = priority.filter(|priority| (0..=999).contains(priority)) else {
            self.fault(at, "`priority` is not a number from 0 to 999", DROPPED);
            return None;
        };
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !KEYS.contains(&name) {
                let near = did_you_mean(name, KEYS).map_or(String::new(), |near| format!("; {near}"));
                let cited = self.draft.cite(key.span().start, name);
                self.draft.inert(&cited, format!("Gemini CLI knows no such key of a rule{near}"));
            }
        }
        if table.contains_key("mcpName") {
            self.draft.left_out(
                &cited,
                "tools of MCP servers are not called here; a tool an operator registers is ruled on by its name",
            );
            return None;
        }
        if table.contains_key("toolAnnotations") {
            self.draft.left_out(&cited, "what a tool says of itself decides nothing here");
            return None;
        }
        let names = self.texts(table, "toolName");
        let prefixes = self.texts(table, "commandPrefix");
        let regexes = self.texts(table, "commandRegex");
        let arguments = self.texts(table, "argsPattern");
        let modes = self.texts(table, "modes").unwrap_or_default();
        let because = self.texts(table, "denyMessage").or_else(|| self.texts(table, "deny_message"));
        let seated = matches!(table.get("interactive").map(Spanned::get_ref), Some(DeValue::Boolean(true)));
        let always = (modes.is_empty() || modes.iter().any(|mode| mode == "default"))
            && !seated
            && !table.contains_key("subagent");
        let of_commands = prefixes.is_some() || regexes.is_some();
        let mut dead = None;
        let is_array = matches!(table.get("toolName").map(Spanned::get_ref), Some(DeValue::Array(_)));
        if of_commands && (is_array || names.as_deref() != Some(&["run_shell_command".to_owned()])) {
            dead = Some(
                "Gemini CLI takes `commandPrefix` and `commandRegex` only beside `toolName = \"run_shell_command\"`",
            );
        } else if of_commands && arguments.is_some() || prefixes.is_some() && regexes.is_some() {
            dead = Some("Gemini CLI takes only one of `commandPrefix`, `commandRegex` and `argsPattern`");
        } else if prefixes.iter().flatten().any(|prefix| prefix.ends_with(char::is_whitespace)) {
            dead = Some(
                "Gemini CLI looks for a space or the end behind `commandPrefix`, which ends with one itself",
            );
        } else if regexes.iter().flatten().any(|regex| regex.starts_with('^')) {
            dead = Some("`^` is the beginning of all arguments, so this `commandRegex` never matches");
        }
        let reaches = if of_commands {
            vec![(Domain::Shell, Reach::Everything)]
        } else {
            self.reaches(&cited, names.as_deref())
        };
        if reaches.is_empty() {
            return None;
        }
        let deny = verdict != Verdict::Allow;
        let about = match (prefixes, regexes, arguments) {
            (Some(prefixes), ..) => About::Prefixes(prefixes),
            (None, Some(regexes), _) => {
                let all: Option<Vec<Vec<String>>> = regexes
                    .iter()
                    .map(|regex| commands(regex.trim_start_matches('^'), false, deny))
                    .collect();
                all.map_or(About::Unclear(NO_GLOB), |all| About::Commands(all.concat()))
            }
            (None, None, Some(arguments)) => {
                let shell = reaches.iter().any(|(domain, _)| *domain == Domain::Shell);
                let all: Option<Vec<Vec<String>>> = arguments
                    .iter()
                    .map(|regex| if shell { commands(regex, true, deny) } else { paths(regex, deny) })
                    .collect();
                match all {
                    Some(all) if shell => About::Commands(all.concat()),
                    Some(all) => About::Paths(all.concat()),
                    None => About::Unclear(NO_GLOB),
                }
            }
            (None, None, None) => About::Whole,
        };
        let because = because.map(|lines| lines.join(" "));
        let names = names.unwrap_or_else(|| vec!["*".into()]);
        Some(Rule { cited, verdict, priority, reaches, names, about, always, dead, because })
    }

    /// Which tools here a rule is about.
    fn reaches(&mut self, cited: &Cited, names: Option<&[String]>) -> Vec<(Domain, Reach)> {
        let all = ["*".to_owned()];
        let names = names.unwrap_or(&all);
        let has = |wanted: &[&str]| names.iter().any(|name| name == "*" || wanted.contains(&name.as_str()));
        let mut reaches = Vec::new();
        if has(&["read_file", "read_many_files"]) {
            reaches.push((Domain::Look, Reach::Reading));
        } else if has(&["search_file_content", "grep_search"]) {
            reaches.push((Domain::Look, Reach::Searching));
        } else if has(&["list_directory", "glob"]) {
            reaches.push((Domain::Look, Reach::Listing));
        }
        if has(&["replace", "edit"]) {
            reaches.push((Domain::Change, Reach::Writing));
        } else if has(&["write_file"]) {
            reaches.push((Domain::Change, Reach::WholeFiles));
        }
        if has(&["run_shell_command"]) {
            reaches.push((Domain::Shell, Reach::Everything));
        }
        for name in names {
            let name = name.as_str();
            let known = LOOK.contains(&name)
                || ["replace", "edit", "write_file", "run_shell_command", "*"].contains(&name);
            if known {
                continue;
            }
            let named = shown(name);
            if NETWORK.contains(&name) {
                self.draft.left_out(
                    cited,
                    "nothing here reaches the network: there is no tool for it, and jobs have none",
                );
            } else if name.starts_with("mcp_") || name.contains("__") {
                self.draft.left_out(
                    cited,
                    "tools of MCP servers are not called here; a tool an operator registers is ruled on by its name",
                );
            } else if OTHERS.contains(&name) {
                self.draft.left_out(cited, format!("there is no `{named}` here"));
            } else {
                let all: Vec<&str> =
                    LOOK.iter().chain(&["replace", "write_file", "run_shell_command"]).copied().collect();
                let near = did_you_mean(name, &all).map_or(String::new(), |near| format!("; {near}"));
                self.draft.inert(cited, format!("Gemini CLI has no tool `{named}`{near}"));
            }
        }
        reaches
    }
}

/// A rule in short, as its author would tell it apart from others.
fn written(table: &DeTable<'_>) -> String {
    let keys =
        ["toolName", "mcpName", "argsPattern", "commandPrefix", "commandRegex", "decision", "priority"];
    let parts = keys.iter().filter_map(|key| {
        let value = table.get(*key)?;
        Some(format!("{key} = {}", short(value)))
    });
    format!("[[rule]] {}", parts.collect::<Vec<_>>().join(", "))
}

fn short(value: &Value<'_>) -> String {
    match value.get_ref() {
        DeValue::String(text) => format!("'{text}'"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Array(items) => {
            format!("[{}]", items.iter().take(20).map(short).collect::<Vec<_>>().join(", "))
        }
        _ => "...".into(),
    }
}

/// The commands an expression fits, as texts with `*`; `keyed` where it must name the argument itself.
fn commands(regex: &str, keyed: bool, deny: bool) -> Option<Vec<String>> {
    let mut out = Vec::new();
    for parts in alternatives(regex)? {
        let mut text = String::new();
        for part in &parts {
            match part {
                // A `*` of the command itself would be taken for any text.
                Part::Text(more) if more.contains('*') && !deny => return None,
                Part::Text(more) => text.push_str(more),
                Part::Any => text.push('*'),
            }
        }
        let text = if keyed {
            let open = text.starts_with('*');
            let rest = text.trim_start_matches('*');
            match rest.strip_prefix("\"command\":\"") {
                Some(rest) => rest.to_owned(),
                // Words that stand anywhere in the arguments.
                None if deny && !open && !rest.contains(['"', ':']) => format!("*{rest}"),
                None => return None,
            }
        } else {
            text
        };
        out.push(match text.strip_suffix('"') {
            Some(whole) => whole.to_owned(),
            None => format!("{text}*"),
        });
    }
    Some(out)
}

/// The paths an expression over a call's arguments fits, as patterns.
fn paths(regex: &str, deny: bool) -> Option<Vec<String>> {
    const ARGUMENTS: &[&str] = &["file_path", "path", "dir_path", "absolute_path"];
    let mut out = Vec::new();
    for mut parts in alternatives(regex)? {
        let mut at_start = false;
        if parts.len() > 1
            && parts[0] == Part::Any
            && matches!(&parts[1], Part::Text(text) if text.starts_with('"'))
        {
            parts.remove(0);
        }
        if let Some(Part::Text(text)) = parts.first_mut() {
            let key = ARGUMENTS
                .iter()
                .find_map(|key| text.strip_prefix(&format!("\"{key}\":\"")).map(str::to_owned));
            if let Some(rest) = key {
                at_start = true;
                *text = rest;
            }
        }
        let mut at_end = false;
        if let Some(Part::Text(text)) = parts.last_mut()
            && let Some(rest) = text.strip_suffix('"')
        {
            at_end = true;
            *text = rest.to_owned();
        }
        parts.retain(|part| *part != Part::Text(String::new()));
        if parts.first() == Some(&Part::Any) {
            at_start = false;
            parts.remove(0);
        }
        if parts.last() == Some(&Part::Any) {
            at_end = false;
            parts.pop();
        }
        out.extend(globs(&parts, at_start, at_end, deny)?);
    }
    Some(out)
}

fn globs(parts: &[Part], at_start: bool, at_end: bool, deny: bool) -> Option<Vec<String>> {
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Any => None,
        })
        .collect();
    if texts.len() > 2 || texts.iter().any(|text| text.contains('"')) {
        return None;
    }
    let Some(first) = texts.first() else { return Some(vec!["**".into()]) };
    if first.starts_with('/') && (at_start || !deny) {
        return None;
    }
    let first = first.trim_start_matches("./");
    let front = match (at_start, first.strip_prefix('/')) {
        (true, _) => format!("/{}", escaped(first)),
        // A name begins behind a slash, or at the root.
        (false, Some(rest)) => format!("**/{}", escaped(rest)),
        (false, None) => format!("**/*{}", escaped(first)),
    };
    let fronts = match texts.get(1) {
        None => vec![front],
        Some(last) if front.ends_with('/') => vec![format!("{front}**/*{}", escaped(last))],
        Some(last) => vec![format!("{front}*{}", escaped(last)), format!("{front}*/**/*{}", escaped(last))],
    };
    let close = |front: String| match (at_end, front.ends_with('/')) {
        (true, _) => front,
        (false, true) => format!("{front}**"),
        (false, false) => format!("{front}*"),
    };
    Some(fronts.into_iter().map(close).collect())
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
