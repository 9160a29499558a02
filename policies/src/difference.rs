//! What a policy lets happen that another does not.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::RelPath;
use gloaming_api::job::JobPurpose;
use serde::Serialize;

use crate::call::{Call, JobAsk};
use crate::file::JobSection;
use crate::narrower::unseen;
use crate::past::Past;
use crate::subject::Kind;
use crate::{Access, Budget, Grant, TOOLS, units};

/// What changes from one policy to another.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Difference {
    /// What the new policy lets happen and the old one does not.
    pub gained: Vec<Change>,
    /// What only the old one does.
    pub lost: Vec<Change>,
    /// Past calls and jobs that the two decide otherwise.
    pub past: Vec<PastChange>,
    /// How many files were looked at.
    pub files: usize,
    /// How many past calls and jobs were.
    pub calls: usize,
}

impl Difference {
    /// Whether the new policy lets anything happen that the old one does not, or cannot be seen not to.
    pub fn widens(&self) -> bool {
        !self.gained.is_empty() || self.past.iter().any(|past| past.now_allowed)
    }

    /// Whether the two decide alike on all that was looked at.
    pub fn is_empty(&self) -> bool {
        self.gained.is_empty() && self.lost.is_empty() && self.past.is_empty()
    }
}

/// One thing that changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// `path`, `commands`, `hosts`, `images`, `env`, `secrets`, `job`, `number`, `submit`, `model`, or `rule` for what
    /// is written and was found on no path and by no sample.
    pub kind: &'static str,
    /// The path, command, host or number.
    pub what: String,
    /// The tools it changes for, or the kinds of jobs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<String>,
    /// Whether a path is not on the tree: a sample of what a pattern of one of the policies takes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sample: bool,
}

/// A past call that flips.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PastChange {
    /// The journal.
    pub journal: String,
    /// The event's number there.
    pub seq: u64,
    /// The call in words.
    pub call: String,
    /// Whether the new policy allows it (and the old one does not).
    pub now_allowed: bool,
}

/// Compares two grants over the files of a tree, over samples of every pattern that either has (a rule for what is not
/// there yet is found by these), over commands, hosts, images, variables, secrets, numbers, who may ask and models, and
/// over what journals tell.
pub fn difference(old: &Grant, new: &Grant, tree: &[RelPath], past: &[Past]) -> Difference {
    let mut found = Difference { files: tree.len(), ..Difference::default() };
    paths(old, new, tree, &mut found);
    jobs(old, new, past, &mut found);
    numbers(old, new, &mut found);
    people_and_models(old, new, past, &mut found);
    for told in past {
        found.calls += told.len();
        let calls = told
            .calls
            .iter()
            .map(|call| (call.seq, call.words(), call.allowed_by(old), call.allowed_by(new)));
        let jobs =
            told.jobs.iter().map(|job| (job.seq, job.words(), job.allowed_by(old), job.allowed_by(new)));
        for (seq, call, before, after) in calls.chain(jobs).filter(|(.., before, after)| before != after) {
            debug_assert_ne!(before, after);
            found.past.push(PastChange { journal: told.journal.clone(), seq, call, now_allowed: after });
        }
    }
    let rule = |what: String| Change { kind: "rule", what, of: Vec::new(), sample: false };
    found.gained.extend(unseen(old, new).into_iter().map(rule));
    for list in [&mut found.gained, &mut found.lost] {
        list.sort();
        // What a pattern takes beneath what it takes is no news.
        let plain: BTreeSet<(String, Vec<String>)> =
            list.iter().map(|change| (change.what.clone(), change.of.clone())).collect();
        list.retain(|change| {
            let above = change.what.rsplit_once('/').map(|(above, _)| (above.to_owned(), change.of.clone()));
            !(change.sample && above.is_some_and(|above| plain.contains(&above)))
        });
    }
    found
}

fn paths(old: &Grant, new: &Grant, tree: &[RelPath], found: &mut Difference) {
    let tools: BTreeSet<&str> = old.tool_names().into_iter().chain(new.tool_names()).collect();
    let known: BTreeSet<&RelPath> = tree.iter().collect();
    let mut samples: BTreeSet<RelPath> = BTreeSet::new();
    for unit in old.units().iter().chain(new.units()) {
        let rules = unit.file.allow.iter().chain(&unit.file.deny).flat_map(|rule| &rule.paths);
        for pattern in rules.chain(unit.file.change.protected.iter().map(|protected| &protected.pattern)) {
            samples.extend(pattern.samples().iter().filter_map(|path| RelPath::parse(path).ok()));
        }
    }
    let both = tree
        .iter()
        .map(|path| (path, false))
        .chain(samples.iter().filter(|path| !known.contains(path)).map(|path| (path, true)));
    for (path, sample) in both {
        let (mut gained, mut lost) = (Vec::new(), Vec::new());
        for tool in &tools {
            let decide = |grant: &Grant| match *tool {
                // What a job sees of the workspace.
                "check" => grant.withheld(path).is_none(),
                // What a registered tool does besides reading is not known: it is asked about both.
                tool if !TOOLS.contains(&tool) => {
                    grant.allows(tool, Access::Read, path) && grant.allows(tool, Access::Write, path)
                }
                tool => grant.judge_call(tool, path).allow,
            };
            match (decide(old), decide(new)) {
                (false, true) => gained.push((*tool).to_owned()),
                (true, false) => lost.push((*tool).to_owned()),
                _ => {}
            }
        }
        for (list, of) in [(&mut found.gained, gained), (&mut found.lost, lost)] {
            if !of.is_empty() {
                list.push(Change { kind: "path", what: path.to_string(), of, sample });
            }
        }
    }
}

fn jobs(old: &Grant, new: &Grant, past: &[Past], found: &mut Difference) {
    let mut asks: BTreeSet<(Kind, JobAsk)> = BTreeSet::new();
    for unit in old.units().iter().chain(new.units()) {
        for rule in unit.file.job_allow.iter().chain(&unit.file.job_deny) {
            for (subject, ..) in &rule.subjects {
                asks.extend(subject.samples(rule.kind).into_iter().map(|ask| (rule.kind, ask)));
            }
        }
        for (host, ..) in unit.file.jobs.values().flat_map(JobSection::hosts) {
            asks.insert((Kind::Hosts, JobAsk::Host(host.as_asked())));
        }
    }
    for job in past.iter().flat_map(|past| &past.jobs) {
        asks.insert((Kind::Commands, JobAsk::Command(job.argv.clone())));
        asks.extend(job.env.iter().map(|name| (Kind::Env, JobAsk::Env(name.clone()))));
    }
    // A command, an image and a variable that no rule names: what is open where nothing is said.
    asks.insert((Kind::Commands, JobAsk::Command(vec!["any-other-command".into()])));
    asks.insert((Kind::Images, JobAsk::Image(gloaming_api::Digest::of("any other image"))));
    asks.insert((Kind::Env, JobAsk::Env("ANY_OTHER".into())));
    let mut change = |gained: bool, kind: &'static str, what: String, purpose: JobPurpose| {
        let list = if gained { &mut found.gained } else { &mut found.lost };
        let purpose = purpose.as_str().to_owned();
        match list.iter_mut().find(|change| change.kind == kind && change.what == what) {
            Some(change) => change.of.push(purpose),
            None => list.push(Change { kind, what, of: vec![purpose], sample: false }),
        }
    };
    for purpose in JobPurpose::ALL {
        let (before, after) = (old.judge_job(*purpose).allow, new.judge_job(*purpose).allow);
        if before != after {
            // What such jobs could have follows from it.
            change(after, "job", format!("{} jobs", purpose.as_str()), *purpose);
            continue;
        }
        for (kind, ask) in &asks {
            let asked = ask.asked();
            match (old.judge_asked(*purpose, &asked).allow, new.judge_asked(*purpose, &asked).allow) {
                (false, true) => change(true, kind.key(), asked.to_string(), *purpose),
                (true, false) => change(false, kind.key(), asked.to_string(), *purpose),
                _ => {}
            }
        }
    }
}

fn numbers(old: &Grant, new: &Grant, found: &mut Difference) {
    let mut compare = |name: String, before: f64, after: f64, show: &dyn Fn(f64) -> String| {
        let list = match after.total_cmp(&before) {
            std::cmp::Ordering::Greater => &mut found.gained,
            std::cmp::Ordering::Less => &mut found.lost,
            std::cmp::Ordering::Equal => return,
        };
        let what = format!("{name}: {} becomes {}", show(before), show(after));
        list.push(Change { kind: "number", what, of: Vec::new(), sample: false });
    };
    let plain = |value: f64| value.to_string();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "numbers that were whole and not negative before they were compared"
    )]
    let seconds = |value: f64| units::show_seconds(value as u64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "numbers that were whole and not negative before they were compared"
    )]
    let bytes = |value: f64| units::show_bytes(value as u64);
    let (before, after) = (old.budget(), new.budget());
    compare("budget.cost_usd".into(), before.cost_usd, after.cost_usd, &plain);
    compare("budget.steps".into(), before.steps.into(), after.steps.into(), &plain);
    compare("budget.wall".into(), before.wall.as_secs_f64(), after.wall.as_secs_f64(), &seconds);
    #[expect(clippy::cast_precision_loss, reason = "sizes and counts that are compared, not computed with")]
    let wide = |value: u64| value as f64;
    compare("budget.tokens".into(), wide(before.tokens), wide(after.tokens), &plain);
    compare("budget.tool_bytes".into(), wide(before.tool_bytes), wide(after.tool_bytes), &bytes);
    let day_cost = |budget: &Budget| budget.day.cost_usd.unwrap_or(f64::INFINITY);
    compare("budget.day.cost_usd".into(), day_cost(&before), day_cost(&after), &plain);
    let day_tokens = |budget: &Budget| budget.day.tokens.map_or(f64::INFINITY, wide);
    compare("budget.day.tokens".into(), day_tokens(&before), day_tokens(&after), &plain);
    compare("change.files".into(), old.change().files.into(), new.change().files.into(), &plain);
    compare("change.lines".into(), old.change().lines.into(), new.change().lines.into(), &plain);
    let may = |value: f64| if value > 0.0 { "change" } else { "keep" }.to_owned();
    let tests = |grant: &Grant| f64::from(u8::from(grant.change().existing_tests));
    compare("change.existing_tests".into(), tests(old), tests(new), &may);
    let dependencies = |grant: &Grant| f64::from(u8::from(grant.change().dependencies));
    compare("change.dependencies".into(), dependencies(old), dependencies(new), &may);
    // The other way round: a lower one lets more through.
    compare("gate.cost_ratio".into(), -old.cost_ratio(), -new.cost_ratio(), &|value| (-value).to_string());
    for (at, purpose) in JobPurpose::ALL.iter().enumerate() {
        let (before, after) = (old.job_limits(at), new.job_limits(at));
        let name = |key: &str| format!("jobs.{}.{key}", purpose.as_str());
        compare(name("memory"), wide(before.memory), wide(after.memory), &bytes);
        compare(name("cpus"), before.cpus, after.cpus, &plain);
        compare(name("processes"), before.processes.into(), after.processes.into(), &plain);
        compare(name("timeout"), wide(before.wall_s), wide(after.wall_s), &seconds);
    }
}

fn people_and_models(old: &Grant, new: &Grant, past: &[Past], found: &mut Difference) {
    let mut calls: BTreeSet<String> = BTreeSet::new();
    for unit in old.units().iter().chain(new.units()) {
        for entry in unit.file.submit.iter().flat_map(|submit| &submit.entries) {
            let asked = entry.what.iter().map(|what| what.sample());
            for what in asked.chain(["model", "rename", "anything-else"].map(str::to_owned)) {
                calls.insert(format!("submit {} {what}", entry.asker.sample()));
            }
        }
        if let Some(section) = &unit.file.model {
            calls.extend(section.allow.iter().map(|(pattern, _)| format!("model {}", pattern.sample())));
        }
    }
    // Every model of either at every server of either, and at one that neither names.
    let sections = || old.units().iter().chain(new.units()).filter_map(|unit| unit.file.model.as_ref());
    let models: BTreeSet<String> = sections()
        .flat_map(|section| section.allow.iter().map(|(pattern, _)| pattern.sample()))
        .chain(["any:other".to_owned()])
        .collect();
    let servers: BTreeSet<String> = sections()
        .flat_map(|section| section.hosts.iter().map(crate::subject::Host::sample))
        .chain(["https://any-other.example:443".to_owned()])
        .collect();
    for model in &models {
        calls.extend(servers.iter().map(|server| format!("model {model} {server}")));
    }
    calls.extend(past.iter().flat_map(|past| &past.models).map(|model| format!("model {model}")));
    for call in ["submit local model", "submit token:any model", "submit github:any model", "model any:other"]
    {
        calls.insert(call.to_owned());
    }
    let mut changes: BTreeMap<String, (bool, &'static str)> = BTreeMap::new();
    for text in calls {
        let Ok(call) = Call::parse(&text, &[]) else { continue };
        let kind = if matches!(call, Call::Model { .. }) { "model" } else { "submit" };
        match (old.explain_call(&call).is_allow(), new.explain_call(&call).is_allow()) {
            (false, true) => drop(changes.insert(text, (true, kind))),
            (true, false) => drop(changes.insert(text, (false, kind))),
            _ => {}
        }
    }
    for (what, (gained, kind)) in changes {
        let list = if gained { &mut found.gained } else { &mut found.lost };
        list.push(Change { kind, what, of: Vec::new(), sample: false });
    }
}
