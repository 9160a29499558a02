//! Gemini CLI's policies: `[[rule]]` tables, of which the one with the highest `priority` that fits decides.
//!
//! Here denials win and order does not matter. What that comes to, for looking, changing and commands each:
//!
//! - a rule that is beneath one for the whole tool never decided; it is inert, but for a denial beneath an
//!   allowance, which wins here;
//! - a denial of the whole tool with allowances above it is a list of what is allowed, as allow rules are here;
//! - an allowance above a denial of a part loses against it, and the report says so.
//!
//! A rule without a valid `decision` and `priority` makes Gemini CLI drop the whole file, so it is a fault here.

use super::command::{Commands, beginning, starts_no_job, wildcard};
use super::draft::{Draft, Reach};
use super::gemini_rule::{About, Domain, Rule, read};
use super::origin::{Origin, is_of_a_home};
use super::{NoteKind, Verdict};
use crate::Diagnostic;

pub(super) fn draft(origin: Origin<'_>) -> Result<Draft<'_>, Vec<Diagnostic>> {
    let of_a_workspace = origin.name.contains(".gemini/policies/") && !is_of_a_home(origin.name);
    let mut draft = Draft::new(origin, "Gemini CLI");
    if of_a_workspace {
        let cited = draft.cite(0, draft.origin.name);
        draft.inert(
            &cited,
            "Gemini CLI does not load the policies of a workspace (#18186), so nothing in this file bound anything \
             there; here it does",
        );
    }
    let rules = read(&mut draft)?;
    for domain in [Domain::Look, Domain::Change, Domain::Shell] {
        let mut of_domain: Vec<&Rule> =
            rules.iter().filter(|rule| rule.reaches.iter().any(|(known, _)| *known == domain)).collect();
        // Of equal priorities the earlier decides.
        of_domain.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        Ranked { draft: &mut draft, domain, rules: of_domain }.carry();
    }
    Ok(draft)
}

/// The rules of one domain, the highest first.
struct Ranked<'d, 'a, 'r> {
    draft: &'d mut Draft<'a>,
    domain: Domain,
    rules: Vec<&'r Rule>,
}

/// A denial of a part of what tools do, and how many rules have priority over it.
struct Denied<'t> {
    rank: usize,
    line: u32,
    patterns: &'t [String],
}

/// What a rule is about, in this dialect.
enum Told {
    Whole,
    Patterns(Vec<String>, Option<&'static str>),
    No(&'static str),
}

impl Ranked<'_, '_, '_> {
    fn carry(mut self) {
        let rules = std::mem::take(&mut self.rules);
        let told: Vec<Told> = rules.iter().map(|rule| self.told(rule)).collect();
        let is_whole = |rule: &Rule, told: &Told| {
            matches!(told, Told::Whole) && rule.always && rule.dead.is_none() && self.is_main(rule)
        };
        let whole = rules.iter().zip(&told).position(|(rule, told)| is_whole(rule, told));
        let whole_verdict = whole.map(|at| rules[at].verdict);
        let whole_line = whole.map(|at| self.draft.line(&rules[at].cited)).unwrap_or_default();
        // Allowances that make the list of what is allowed.
        let mut listed = false;
        let denied: Vec<Denied<'_>> = rules
            .iter()
            .zip(&told)
            .enumerate()
            .filter(|(_, (rule, _))| rule.verdict != Verdict::Allow)
            .filter_map(|(rank, (rule, told))| match told {
                Told::Patterns(patterns, _) => {
                    Some(Denied { rank, line: self.draft.line(&rule.cited), patterns })
                }
                _ => None,
            })
            .collect();
        for (at, (rule, what)) in rules.iter().zip(&told).enumerate() {
            let beneath = whole.is_some_and(|whole| whole < at);
            if Some(at) == whole {
                continue;
            }
            if beneath && (rule.verdict == Verdict::Allow || whole_verdict != Some(Verdict::Allow)) {
                let message = format!("the rule on line {whole_line} has priority and fits whatever it fits");
                self.draft.inert(&rule.cited, message);
            } else if rule.verdict == Verdict::Allow {
                // Those above it decide there too.
                let below: Vec<&Denied<'_>> = denied.iter().filter(|denied| denied.rank > at).collect();
                listed |= self.allow(rule, what, whole_verdict, &below);
            } else if beneath && matches!(what, Told::Whole) && self.is_main(rule) {
                if let Some(whole) = whole {
                    self.rest(rule, rules[whole], whole_line);
                }
            } else {
                let over = (beneath && whole_verdict == Some(Verdict::Allow)).then_some(whole_line);
                self.deny(rule, what, over);
            }
        }
        if let Some(at) = whole {
            self.whole(rules[at], listed);
        }
    }

    /// Whether a rule is about the domain as a whole, not one of its lesser tools.
    fn is_main(&self, rule: &Rule) -> bool {
        let main = rule.reaches.iter().any(|(domain, reach)| {
            *domain == self.domain && !matches!(reach, Reach::Listing | Reach::Searching | Reach::WholeFiles)
        });
        // Who may replace text in a file may not for that write it whole.
        let part =
            self.domain == Domain::Change && rule.verdict == Verdict::Allow && !rule.names(&["write_file"]);
        main && !part
    }

    /// A denial of a whole domain beneath an allowance of its main tool: what that does not name is denied.
    fn rest(&mut self, rule: &Rule, allowed: &Rule, line: u32) {
        let mut rest = Vec::new();
        if self.domain == Domain::Look && !allowed.names(&["list_directory", "glob"]) {
            rest.push(Reach::Listing);
        }
        if self.domain == Domain::Look && !allowed.names(&["search_file_content", "grep_search"]) {
            rest.push(Reach::Searching);
        }
        if rest.is_empty() {
            let message = format!("the allow rule on line {line} has priority and fits whatever it fits");
            return self.draft.inert(&rule.cited, message);
        }
        let asked = rule.verdict == Verdict::Ask;
        for reach in rest {
            let id = self.draft.deny(&rule.cited, reach, vec!["**".into()], asked, rule.because.as_deref());
            let message =
                format!("it takes what the allow rule on line {line}, which has priority, does not name");
            self.draft.note(&rule.cited, NoteKind::Changed, message, id.ok());
        }
    }

    fn reach(&self, rule: &Rule) -> Reach {
        let found = rule.reaches.iter().find(|(domain, _)| *domain == self.domain);
        found.map_or(Reach::Everything, |(_, reach)| *reach)
    }

    fn told(&self, rule: &Rule) -> Told {
        let deny = rule.verdict != Verdict::Allow;
        match (&rule.about, self.domain) {
            (About::Whole, _) => Told::Whole,
            (About::Prefixes(prefixes), Domain::Shell) => {
                let all = prefixes.iter().map(|prefix| {
                    let words: Vec<&str> = prefix.split_whitespace().collect();
                    beginning(&words, deny)
                });
                commands(all)
            }
            (About::Commands(texts), Domain::Shell) => {
                commands(texts.iter().map(|text| wildcard(text, deny)))
            }
            (About::Paths(paths), Domain::Look | Domain::Change) => Told::Patterns(paths.clone(), None),
            (About::Unclear(why), _) => Told::No(why),
            _ => Told::No("what it says of the arguments is not about this tool"),
        }
    }

    /// Carries an allowance; whether it narrows.
    fn allow(&mut self, rule: &Rule, told: &Told, whole: Option<Verdict>, denied: &[&Denied<'_>]) -> bool {
        if let Some(why) = rule.dead {
            self.draft.inert(&rule.cited, why);
            return false;
        }
        if !rule.always {
            self.draft.left_out(
                &rule.cited,
                "it allows only in some modes, for some agents or where a person sits, and an attempt is none of \
                 these",
            );
            return false;
        }
        if self.domain == Domain::Look && !matches!(whole, Some(Verdict::Deny | Verdict::Ask)) {
            self.draft.inert(
                &rule.cited,
                "looking at files of the workspace needs no rule; the preset allows it too",
            );
            return false;
        }
        if whole == Some(Verdict::Allow) {
            self.draft
                .inert(&rule.cited, "another rule allows the whole tool, and nothing above that denies it");
            return false;
        }
        let (patterns, how) = match told {
            Told::Patterns(patterns, how) => (patterns.clone(), *how),
            Told::Whole => {
                self.draft
                    .left_out(&rule.cited, "it allows one tool of several, and the rest stays as it is");
                return false;
            }
            Told::No(why) => {
                self.draft.left_out(&rule.cited, *why);
                return false;
            }
        };
        let no_job = self.domain == Domain::Shell && patterns.iter().all(|pattern| starts_no_job(pattern));
        if no_job && whole.is_none() {
            let message = "the model has no shell here, and no build, test or lint is started with it";
            self.draft.left_out(&rule.cited, message);
            return false;
        }
        let overlap = denied.iter().find(|denied| {
            patterns.iter().any(|one| denied.patterns.iter().any(|other| overlaps(one, other)))
        });
        let id = if self.domain == Domain::Shell {
            Ok(self.draft.allow_commands(&rule.cited, patterns))
        } else {
            let reach = if self.domain == Domain::Look { Reach::Reading } else { Reach::Writing };
            self.draft.allow(&rule.cited, reach, patterns)
        };
        let id = match id {
            Ok(id) => id,
            Err(bad) => {
                self.draft.left_out(&rule.cited, format!("{}; {}", bad.message, bad.hint));
                return false;
            }
        };
        let mut kind = NoteKind::Carried;
        let mut message = match self.domain {
            Domain::Look => "only what such rules name may be looked at".to_owned(),
            Domain::Change => "only what such rules name may be changed, moved or removed".to_owned(),
            Domain::Shell => {
                kind = NoteKind::Changed;
                "only what such rules name may start a build, test or lint".to_owned()
            }
        };
        if let Some(denied) = overlap {
            kind = NoteKind::Changed;
            let line = denied.line;
            message.push_str(&format!("; it had priority over the denial on line {line}, which wins here"));
        }
        if let Some(how) = how {
            kind = NoteKind::Changed;
            message.push_str(&format!("; {how}"));
        }
        self.draft.note(&rule.cited, kind, message, Some(id));
        true
    }

    fn deny(&mut self, rule: &Rule, told: &Told, over: Option<u32>) {
        let asked = rule.verdict == Verdict::Ask;
        let mut parts: Vec<String> = Vec::new();
        if let Some(why) = rule.dead {
            parts.push(format!("{why}, so it bound nothing there; here it does"));
        }
        if asked {
            parts.push("nobody is there to be asked, so it is denied".into());
        }
        if !rule.always {
            parts.push("it binds always, not only in some modes or for some agents".into());
        }
        if let Some(line) = over {
            parts.push(format!("the allow rule on line {line} had priority; here the denial wins"));
        }
        let reach = self.reach(rule);
        let because = rule.because.as_deref();
        let mut changed = !parts.is_empty();
        let id = match (told, self.domain) {
            (Told::No(why), _) => return self.draft.left_out(&rule.cited, *why),
            (Told::Whole, Domain::Shell) => {
                parts.push("no build, test or lint is started for the model".into());
                changed = true;
                Ok(self.draft.no_jobs(&rule.cited))
            }
            (Told::Patterns(patterns, how), Domain::Shell) => {
                parts.push(
                    "the model has no shell here: it binds the commands builds, tests and lints start with"
                        .into(),
                );
                parts.extend(how.map(str::to_owned));
                changed = true;
                Ok(self.draft.deny_commands(&rule.cited, patterns.clone(), asked, because))
            }
            (Told::Whole, _) => self.draft.deny(&rule.cited, reach, vec!["**".into()], asked, because),
            (Told::Patterns(paths, _), _) => {
                self.draft.deny(&rule.cited, reach, paths.clone(), asked, because)
            }
        };
        match id {
            Ok(id) => {
                let kind = match (rule.dead, changed) {
                    (Some(_), _) => NoteKind::Inert,
                    (None, true) => NoteKind::Changed,
                    (None, false) => NoteKind::Carried,
                };
                if parts.is_empty() {
                    parts.push("it binds every such tool here".into());
                }
                self.draft.note(&rule.cited, kind, parts.join("; "), Some(id));
            }
            Err(bad) => self.draft.left_out(&rule.cited, format!("{}; {}", bad.message, bad.hint)),
        }
    }

    /// The rule for the whole domain that has priority over all others for it.
    fn whole(&mut self, rule: &Rule, listed: bool) {
        match rule.verdict {
            Verdict::Allow => {
                let message = "the preset allows it too; what the preset denies stays denied";
                self.draft.note(&rule.cited, NoteKind::Carried, message, None);
            }
            _ if listed => {
                let message = "what no allow rule above it names is denied";
                self.draft.note(&rule.cited, NoteKind::Carried, message, None);
            }
            _ => self.deny(rule, &Told::Whole, None),
        }
    }
}

fn commands(all: impl Iterator<Item = Commands>) -> Told {
    let mut patterns = Vec::new();
    let mut how = None;
    for commands in all {
        match commands {
            Commands::All => return Told::Whole,
            Commands::Same(more) => patterns.extend(more),
            Commands::Near(more, told) => {
                patterns.extend(more);
                how = Some(told);
            }
            Commands::None(why) => return Told::No(why),
        }
    }
    if patterns.is_empty() { Told::No("it names no command") } else { Told::Patterns(patterns, how) }
}

/// Whether two patterns may fit the same thing, by the text before their first wildcard.
fn overlaps(one: &str, other: &str) -> bool {
    let fixed = |pattern: &str| {
        let end = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
        pattern[..end].trim_end().trim_start_matches('/').to_owned()
    };
    let (one, other) = (fixed(one), fixed(other));
    one.starts_with(&other) || other.starts_with(&one)
}
