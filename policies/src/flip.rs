//! The smallest edit that would turn a decision round, and what else it would turn.

use std::sync::Arc;

use gloaming_api::RelPath;
use serde::Serialize;

use crate::call::Call;
use crate::file::{JobRule, PolicyFile, Rule, SubmitEntry, Tools};
use crate::glob::{DenySet, Pattern, Spelled};
use crate::grant::Unit;
use crate::subject::{Kind, Subject, Wild};
use crate::{Grant, Layer};

/// How many other calls are named.
const NAMED: usize = 20;
/// How many edits one answer may take.
const EDITS: usize = 12;

/// How a decision could be turned round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// The edits, all of which are needed; none where nothing can.
    pub edits: Vec<Edit>,
    /// Why nothing can, or why not by these edits alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impossible: Option<String>,
    /// Other calls on the tree that the edits would turn round too, the first of them.
    pub others: Vec<String>,
    /// How many such calls there are.
    pub others_total: usize,
    /// How many files of the tree were looked at.
    pub files: usize,
}

/// One edit of a policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// The file.
    pub file: String,
    /// The line of what is edited, counted from 1.
    pub line: u32,
    /// What to do, in words.
    pub edit: String,
    /// What to add, as TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<String>,
}

impl Grant {
    /// Finds the smallest edit that would turn the decision on a call round. `tree` is every file of the repository;
    /// what else on it the edit would allow (or, for a call that is allowed, deny) is told with it.
    ///
    /// # Errors
    /// As [`Grant::explain`].
    pub fn flip(&self, call: &str, tree: &[RelPath]) -> Result<Flip, String> {
        let call = Call::parse(call, &self.tool_names())?;
        let allowed = self.explain_call(&call).is_allow();
        let found = if allowed { self.closed(&call) } else { self.opened(&call, tree) };
        let nothing = |why: String| Flip {
            edits: Vec::new(),
            impossible: Some(why),
            others: Vec::new(),
            others_total: 0,
            files: tree.len(),
        };
        let (edits, after) = match found {
            Ok(found) => found,
            Err(why) => return Ok(nothing(why)),
        };
        let (others, others_total) = self.turned(&after, tree, &call, !allowed);
        Ok(Flip { edits, impossible: None, others, others_total, files: tree.len() })
    }

    /// The calls on the tree that another grant decides otherwise, as is wanted, but for one.
    fn turned(&self, other: &Self, tree: &[RelPath], except: &Call, wanted: bool) -> (Vec<String>, usize) {
        let mut named = Vec::new();
        let mut total = 0;
        for path in tree {
            for tool in self.tool_names().into_iter().filter(|tool| *tool != "check") {
                let same = matches!(except, Call::Path { tool: t, path: Ok(p) } if t == tool && p == path);
                let now = other.judge_call(tool, path).allow;
                if same || now != wanted || self.judge_call(tool, path).allow == now {
                    continue;
                }
                total += 1;
                if named.len() < NAMED {
                    named.push(format!("{tool} {path}"));
                }
            }
        }
        (named, total)
    }

    /// A denial of just this call, in the operator's own file.
    fn closed(&self, call: &Call) -> Result<(Vec<Edit>, Self), String> {
        let mut units = self.units().to_vec();
        let at = own_file(&units).ok_or("there is no file of the operator's to write a rule into")?;
        let because = "because = \"…\"\n";
        let (name, line) = (units[at].file.name().to_owned(), 1);
        let file = Arc::make_mut(&mut units[at].file);
        let add = match call {
            Call::Path { tool, path: Ok(path) } if !path.is_root() => {
                let pattern = Pattern::exact(path);
                let text = pattern.as_str().to_owned();
                file.deny.push(Rule { warn: false, ..new_rule(tool, pattern) });
                format!("[[deny]]\nid = \"…\"\ntools = [{tool:?}]\npaths = [{text:?}]\n{because}")
            }
            Call::Path { tool, .. } => {
                let pattern = Pattern::parse("**").map_err(|bad| bad.message)?;
                file.deny.push(new_rule(tool, pattern));
                format!("[[deny]]\nid = \"…\"\ntools = [{tool:?}]\npaths = [\"**\"]\n{because}")
            }
            Call::Check(None) => {
                let pattern = Pattern::parse("**").map_err(|bad| bad.message)?;
                file.deny.push(new_rule("check", pattern));
                format!("[[deny]]\nid = \"…\"\ntools = [\"check\"]\npaths = [\"**\"]\n{because}")
            }
            Call::Check(Some(purpose)) => {
                let value = crate::file::Setting { value: false, line };
                file.jobs.entry(*purpose).or_default().enabled = Some(value);
                format!("[jobs.{}]\nenabled = false\n", purpose.as_str())
            }
            Call::Job { purpose, ask } => {
                let (kind, text) = literal(ask);
                let subject = Subject::parse(kind, &text).map_err(|bad| bad.message)?;
                file.job_deny.push(new_job_rule(*purpose, kind, subject));
                format!(
                    "[[deny]]\nid = \"…\"\njobs = [{:?}]\n{} = [{text:?}]\n{because}",
                    purpose.as_str(),
                    kind.key()
                )
            }
            Call::Submit { .. } | Call::Model { .. } => {
                let section = if matches!(call, Call::Model { .. }) { "model" } else { "submit" };
                return Err(format!(
                    "what is allowed is listed in [{section}]: write it without the entry, or write the section"
                ));
            }
        };
        let after = Self::recompiled(units)?;
        let edit = if name.starts_with("preset:") {
            format!(
                "write a policy that extends {name} (`gloaming policy new OWNER/NAME`), and add a rule to it"
            )
        } else {
            format!("add a rule to {name}")
        };
        Ok((vec![Edit { file: name, line, edit, add: Some(add) }], after))
    }

    /// Takes away what denies, one after the other, until the call is allowed.
    fn opened(&self, call: &Call, tree: &[RelPath]) -> Result<(Vec<Edit>, Self), String> {
        let mut grant = self.clone();
        let mut edits = Vec::new();
        for _ in 0..EDITS {
            let told = grant.explain_call(call);
            if told.is_allow() {
                return Ok((edits, grant));
            }
            if told.layer == Layer::Floor {
                return Err(format!("{} is part of the floor, which no policy can lift", told.rule));
            }
            let units = grant.units();
            let at = units
                .iter()
                .position(|unit| unit.layer == told.layer && unit.file.name() == told.file)
                .ok_or_else(|| "no file is to blame".to_owned())?;
            let mut choices = lifted(units, at, &told.rule, told.line, call);
            if choices.is_empty() {
                return Err(format!(
                    "rule {} of {}:{} cannot be edited to allow it",
                    told.rule, told.file, told.line
                ));
            }
            // Of several ways the one that opens the least else.
            let mut best: Option<(usize, Edit, Self)> = None;
            let single = choices.len() == 1;
            for (mut edit, units) in choices.drain(..) {
                if let Some(preset) = edit.file.strip_prefix("preset:") {
                    edit.edit = format!(
                        "copy preset:{preset} (`gloaming policy show {preset}`) instead of extending it, and {}",
                        edit.edit
                    );
                }
                let after = Self::recompiled(units)?;
                let opens = if single { 0 } else { grant.turned(&after, tree, call, true).1 };
                if best.as_ref().is_none_or(|(least, ..)| opens < *least) {
                    best = Some((opens, edit, after));
                }
            }
            let (_, edit, after) = best.expect("there is a choice");
            edits.push(edit);
            grant = after;
        }
        Err(format!("more than {EDITS} edits would be needed"))
    }
}

fn own_file(units: &[Unit]) -> Option<usize> {
    units.iter().rposition(|unit| unit.layer == Layer::Operator && !unit.extended)
}

fn new_rule(tool: &str, pattern: Pattern) -> Rule {
    Rule {
        id: "…".into(),
        tools: Tools::Named(vec![tool.to_owned()]),
        only_writes: false,
        paths: vec![pattern],
        because: String::new(),
        instead: None,
        warn: false,
        line: 1,
        column: 1,
    }
}

fn new_job_rule(purpose: gloaming_api::job::JobPurpose, kind: Kind, subject: Subject) -> JobRule {
    JobRule {
        id: "…".into(),
        purposes: vec![purpose],
        kind,
        subjects: vec![(subject, 1, 1)],
        because: String::new(),
        instead: None,
        warn: false,
        line: 1,
    }
}

/// What a job asks for, as the pattern that names just it.
fn literal(ask: &crate::call::JobAsk) -> (Kind, String) {
    use crate::call::JobAsk;
    match ask {
        JobAsk::Command(argv) => (Kind::Commands, shell_words::join(argv)),
        JobAsk::Host(host) => (Kind::Hosts, host.text.clone()),
        JobAsk::Image(image) => (Kind::Images, image.to_string()),
        JobAsk::Env(name) => (Kind::Env, name.clone()),
        JobAsk::Secret(name) => (Kind::Secrets, name.clone()),
    }
}

/// The ways to edit one file so that what it told no longer denies the call: each with the units that result.
fn lifted(units: &[Unit], at: usize, rule: &str, line: u32, call: &Call) -> Vec<(Edit, Vec<Unit>)> {
    let name = units[at].file.name().to_owned();
    let mut choices: Vec<(Edit, Vec<Unit>)> = Vec::new();
    let mut choose = |line: u32, edit: String, add: Option<String>, change: &dyn Fn(&mut PolicyFile)| {
        let mut units = units.to_vec();
        change(Arc::make_mut(&mut units[at].file));
        choices.push((Edit { file: name.clone(), line, edit, add }, units));
    };
    let file = &units[at].file;
    match call {
        Call::Path { tool, path: Ok(path) } => {
            if let Some(index) = file.deny.iter().position(|r| r.id == rule && r.line == line) {
                let denying = matching(&file.deny[index].paths, path);
                let texts = quoted(&denying);
                choose(line, format!("take {texts} out of `paths` of rule {rule}"), None, &|file| {
                    file.deny[index].paths.retain(|p| !denying.contains(&p.as_str().to_owned()));
                });
                if let Tools::Named(names) = &file.deny[index].tools
                    && names.contains(tool)
                    && names.len() > 1
                {
                    choose(line, format!("take \"{tool}\" out of `tools` of rule {rule}"), None, &|file| {
                        if let Tools::Named(names) = &mut file.deny[index].tools {
                            names.retain(|name| name != tool);
                        }
                    });
                }
            } else if rule == "protected" {
                let protected: Vec<Pattern> =
                    file.change.protected.iter().map(|p| p.pattern.clone()).collect();
                let denying = matching(&protected, path);
                choose(line, format!("take {} out of `change.protected`", quoted(&denying)), None, &|file| {
                    file.change.protected.retain(|p| !denying.contains(&p.pattern.as_str().to_owned()));
                });
            } else if rule == "default-deny" && !path.is_root() {
                let exact = Pattern::exact(path);
                let text = exact.as_str().to_owned();
                let naming = file.allow.iter().enumerate().filter(|(_, r)| r.tools.include(tool));
                let named = naming.min_by_key(|(_, r)| r.id.clone());
                match named {
                    Some((index, held)) => choose(
                        held.line,
                        format!("add {text:?} to `paths` of rule {}", held.id),
                        None,
                        &|file| file.allow[index].paths.push(exact.clone()),
                    ),
                    None => choose(
                        1,
                        format!("add a rule to {name}"),
                        Some(format!("[[allow]]\nid = \"…\"\ntools = [{tool:?}]\npaths = [{text:?}]\n")),
                        &|file| file.allow.push(new_rule(tool, exact.clone())),
                    ),
                }
            }
        }
        Call::Path { .. } => {}
        Call::Check(purpose) => {
            if let Some(index) = file.deny.iter().position(|r| r.id == rule && r.line == line) {
                choose(line, format!("take rule {rule} out"), None, &|file| {
                    file.deny.remove(index);
                });
            } else if let Some(purpose) = purpose
                && rule.starts_with("jobs.")
            {
                choose(line, format!("take `enabled = false` out of [{rule}]"), None, &|file| {
                    file.jobs.entry(*purpose).or_default().enabled = None;
                });
            } else if rule == "default-deny" {
                let add = "[[allow]]\nid = \"…\"\ntools = [\"check\"]\npaths = [\"**\"]\n".to_owned();
                choose(1, format!("add a rule to {name}"), Some(add), &|file| {
                    if let Ok(all) = Pattern::parse("**") {
                        file.allow.push(new_rule("check", all));
                    }
                });
            }
        }
        Call::Job { purpose, ask } => {
            let (kind, text) = literal(ask);
            if let Some(index) = file.job_deny.iter().position(|r| r.id == rule && r.line == line) {
                let asked = ask.asked();
                let denying: Vec<String> = file.job_deny[index]
                    .subjects
                    .iter()
                    .filter(|(subject, ..)| subject.denies(&asked))
                    .map(|(subject, ..)| subject.text())
                    .collect();
                let edit = format!("take {} out of `{}` of rule {rule}", quoted(&denying), kind.key());
                choose(line, edit, None, &|file| {
                    file.job_deny[index].subjects.retain(|(subject, ..)| !denying.contains(&subject.text()));
                });
            } else if rule.starts_with("jobs.") {
                choose(line, format!("take `enabled = false` out of [{rule}]"), None, &|file| {
                    file.jobs.entry(*purpose).or_default().enabled = None;
                });
            } else if let Ok(subject) = Subject::parse(kind, &text) {
                let speaking = file.job_allow.iter().position(|r| r.speaks(*purpose, kind));
                match speaking {
                    Some(index) => {
                        let held = &file.job_allow[index];
                        let edit = format!("add {text:?} to `{}` of rule {}", kind.key(), held.id);
                        choose(held.line, edit, None, &|file| {
                            file.job_allow[index].subjects.push((subject.clone(), 1, 1));
                        });
                    }
                    None => choose(
                        1,
                        format!("add a rule to {name}"),
                        Some(format!(
                            "[[allow]]\nid = \"…\"\njobs = [{:?}]\n{} = [{text:?}]\n",
                            purpose.as_str(),
                            kind.key()
                        )),
                        &|file| file.job_allow.push(new_job_rule(*purpose, kind, subject.clone())),
                    ),
                }
            }
        }
        Call::Submit { asker, what } => {
            let add = format!("[submit]\n{asker:?} = [{what:?}]\n");
            choose(line, format!("let `{asker}` ask for `{what}` in [submit]"), Some(add), &|file| {
                if let Some(submit) = &mut file.submit {
                    let (asker, what) = (Wild::new(asker), vec![Wild::new(what)]);
                    submit.entries.push(SubmitEntry { asker, what, line });
                }
            });
        }
        Call::Model { model, address } => {
            let edit = match address {
                Some(address) => {
                    format!("name {model:?} in `model.allow` and {:?} in `model.hosts`", address.text)
                }
                None => format!("name {model:?} in `model.allow`"),
            };
            choose(line, edit, None, &|file| {
                if let Some(section) = &mut file.model {
                    section.allow.push((Wild::new(model), line));
                    section.hosts.extend(address.clone());
                }
            });
        }
    }
    choices
}

/// The patterns that take a path when they deny.
fn matching(patterns: &[Pattern], path: &RelPath) -> Vec<String> {
    let spelled = Spelled::new(path.as_str());
    let takes = |pattern: &&Pattern| !DenySet::new(&[*pattern]).matches(&spelled).is_empty();
    patterns.iter().filter(takes).map(|pattern| pattern.as_str().to_owned()).collect()
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(" and ")
}
