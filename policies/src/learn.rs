//! The tightest policy under which what journals tell would have happened.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::job::JobPurpose;
use gloaming_api::{RelPath, RepoId};
use serde::Serialize;

use crate::call::Call;
use crate::file::WRITING_TOOLS;
use crate::glob::Pattern;
use crate::past::Past;
use crate::subject::{Kind, Subject};
use crate::{Access, Grant, Layer, units};

/// How many tests are made of the calls.
const TESTS: usize = 120;

/// A policy made from journals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Learned {
    /// The policy, TOML that loads.
    pub policy: String,
    /// How many calls and jobs it was made from.
    pub calls: usize,
    /// Calls it could not be made to allow, and why; never silently left out.
    pub left_out: Vec<String>,
}

/// One journal to learn from, and what its own policy allowed; without one a walk of a folder counts for the files it is
/// known to have read.
pub struct Lesson<'a> {
    /// What was done.
    pub past: &'a Past,
    /// Under which policy.
    pub grant: Option<&'a Grant>,
}

/// Writes the tightest policy under which the journals' calls and jobs would have happened. `tree` is every file of the
/// repository: a folder is named as a whole only where every file in it was used, and there are several; without a tree
/// every file is named by itself.
pub fn learn(repo: &RepoId, lessons: &[Lesson<'_>], tree: &[RelPath]) -> Learned {
    let tree: BTreeSet<&RelPath> = tree.iter().collect();
    let mut used: BTreeMap<&str, BTreeSet<RelPath>> = BTreeMap::new();
    let mut tests: BTreeSet<(String, bool)> = BTreeSet::new();
    for lesson in lessons {
        for call in &lesson.past.calls {
            if let Some(path) = call.writes.first().or(call.reads.first()).or(call.path.as_ref()) {
                let path = if matches!(call.tool.as_str(), "list" | "search" | "diff") {
                    call.path.as_ref().unwrap_or(path)
                } else {
                    path
                };
                tests.insert((format!("{} {path}", call.tool).trim_end().to_owned(), call.passed));
            }
            if !call.passed {
                continue;
            }
            let files = used.entry(call.tool.as_str()).or_default();
            files.extend(call.reads.iter().chain(&call.writes).cloned());
            let walks = matches!(call.tool.as_str(), "list" | "search" | "diff");
            if let (true, Some(folder), Some(grant)) = (walks, &call.path, lesson.grant) {
                let access = if call.tool == "list" { Access::List } else { Access::Read };
                let seen = |path: &RelPath| grant.allows(&call.tool, access, path);
                let beneath = tree.iter().filter(|path| path.is_within(folder) && seen(path));
                let before = files.len();
                files.extend(beneath.map(|path| (*path).clone()));
                if files.len() == before && call.reads.is_empty() && !folder.is_root() {
                    files.insert(folder.clone());
                }
            }
        }
    }
    let mut left_out = Vec::new();
    for lesson in lessons {
        let journal = &lesson.past.journal;
        if lesson.grant.is_none() {
            left_out.push(format!(
                "{journal}: its policy does not load any more, so what that denied is not known"
            ));
        }
        let cut = lesson.past.calls.iter().filter(|call| call.reads.len() >= 1_000);
        left_out.extend(cut.map(|call| format!("{journal}:{} its record is cut at 1,000 files", call.seq)));
        let elsewhere = lesson.past.models.iter().filter(|model| model.starts_with("openai-compatible:"));
        left_out.extend(elsewhere.map(|model| {
            format!("{journal}: the server of {model} is not in the journal; name it in `model.hosts`")
        }));
    }
    let mut ids = BTreeSet::new();
    let jobs: Vec<_> = lessons.iter().flat_map(|lesson| &lesson.past.jobs).collect();
    let checked = lessons.iter().any(|lesson| lesson.past.checks > 0);

    let mut text = format!(
        "# The tightest policy under which {} of {} would have passed.\n# Made by `gloaming policy learn`; read it before you use it.\nschema = 1\nrepos = [{}]\n",
        counted(lessons.iter().map(|lesson| lesson.past.len()).sum(), "call"),
        counted(lessons.len(), "journal"),
        quote(repo.as_str()),
    );
    used.retain(|_, files| !files.is_empty());
    // Tools that used the same files share a rule.
    let mut rules: BTreeMap<Vec<String>, Vec<&str>> = BTreeMap::new();
    for (tool, files) in &used {
        rules.entry(patterns(files, &tree)).or_default().push(tool);
    }
    let mut known: Vec<&str> = used.keys().copied().filter(|tool| !crate::TOOLS.contains(tool)).collect();
    known.dedup();
    for tool in &known {
        text.push_str(&format!("\n[[tool]]\nname = {}\n", quote(tool)));
    }
    for (paths, tools) in &rules {
        let verb = if tools.iter().any(|tool| WRITING_TOOLS.contains(tool)) { "change" } else { "look" };
        let id = free(&mut ids, &format!("{verb}-{}", tools.join("-")));
        text.push_str(&format!("\n[[allow]]\nid = {}\n", quote(&id)));
        text.push_str(&format!("tools = {}\npaths = {}\n", list(tools.iter().copied()), lines(paths)));
    }
    if checked {
        text.push_str("\n[[allow]]\nid = \"run-the-checks\"\ntools = [\"check\"]\npaths = [\"**\"]\n");
    }
    for purpose in JobPurpose::ALL {
        let mut commands: BTreeSet<String> = BTreeSet::new();
        for job in jobs.iter().filter(|job| job.purpose == *purpose) {
            let command = shell_words::join(&job.argv);
            // A `*` would be taken for any characters, and cannot be written otherwise.
            let written = Subject::parse(Kind::Commands, &command).is_ok() && !command.contains('*');
            if written {
                commands.insert(command);
            } else {
                left_out.push(format!("no rule can name the command `{command}` alone"));
            }
        }
        let name = purpose.as_str();
        if commands.is_empty() {
            text.push_str(&format!("\n[jobs.{name}]\nenabled = false\n"));
            continue;
        }
        let commands: Vec<String> = commands.into_iter().collect();
        text.push_str(&format!(
            "\n[[allow]]\nid = \"{name}-commands\"\njobs = [\"{name}\"]\ncommands = {}\n",
            lines(&commands)
        ));
    }
    ids.extend(JobPurpose::ALL.iter().map(|purpose| format!("{}-commands", purpose.as_str())));
    ids.insert("run-the-checks".to_owned());
    let denied = Denials::of(lessons, &mut ids, &known);
    text.push_str(&denied.rules);
    text.push_str(&numbers(lessons, &denied.protected));
    finish(repo, lessons, text, tests, left_out)
}

/// Adds the tests that hold, and says what the policy does not allow after all.
fn finish(
    repo: &RepoId,
    lessons: &[Lesson<'_>],
    mut text: String,
    tests: BTreeSet<(String, bool)>,
    mut left_out: Vec<String>,
) -> Learned {
    let calls = lessons.iter().map(|lesson| lesson.past.len()).sum();
    let resolved = crate::parse("learned.toml", &text)
        .and_then(|file| Grant::resolve_untested(repo, vec![(Layer::Operator, file)], crate::Lanes::ALL));
    let grant = match resolved {
        Ok(grant) => grant,
        Err(faults) => {
            // Names that no pattern can hold.
            left_out.extend(faults.iter().map(ToString::to_string));
            return Learned { policy: text, calls, left_out };
        }
    };
    for lesson in lessons {
        let past = lesson.past;
        let calls = past.calls.iter().filter(|call| call.passed && !call.allowed_by(&grant));
        left_out.extend(calls.map(|call| format!("{}:{} {}", past.journal, call.seq, call.words())));
        let jobs = past.jobs.iter().filter(|job| !job.allowed_by(&grant));
        left_out.extend(jobs.map(|job| format!("{}:{} {}", past.journal, job.seq, job.words())));
    }
    let mut added = 0;
    for (call, passed) in tests {
        let plain = !call.chars().any(char::is_control);
        let holds = Call::parse(&call, &grant.tool_names())
            .is_ok_and(|parsed| grant.explain_call(&parsed).is_allow() == passed);
        if plain && holds && added < TESTS {
            let expect = if passed { "allow" } else { "deny" };
            text.push_str(&format!("\n[[test]]\ncall = {}\nexpect = \"{expect}\"\n", quote(&call)));
            added += 1;
        }
    }
    Learned { policy: text, calls, left_out }
}

/// What the journals' own policies denied, which stays denied: a folder of which every file was used may get others.
struct Denials {
    rules: String,
    protected: BTreeSet<String>,
}

impl Denials {
    /// `known` are the registered tools that the policy declares.
    fn of(lessons: &[Lesson<'_>], ids: &mut BTreeSet<String>, known: &[&str]) -> Self {
        let (mut rules, mut protected) = (String::new(), BTreeSet::new());
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut write = |id: &str, rest: String| {
            // The same rule of several grants once.
            if seen.insert(format!("{id}{rest}")) {
                rules.push_str(&format!("\n[[deny]]\nid = {}\n{rest}", quote(&free(ids, id))));
            }
        };
        let units = lessons.iter().filter_map(|lesson| lesson.grant).flat_map(Grant::units);
        for unit in units.filter(|unit| unit.layer != Layer::Floor) {
            for rule in unit.file.deny.iter().filter(|rule| !rule.warn) {
                let names: Vec<&str> = match rule.tools.named() {
                    [] => vec!["*"],
                    // A registered one that no call used is not known here, and denies nothing.
                    names => {
                        let here = |name: &&str| crate::TOOLS.contains(name) || known.contains(name);
                        names.iter().map(String::as_str).filter(here).collect()
                    }
                };
                let looks = |name: &&str| crate::TOOLS.contains(name) && !WRITING_TOOLS.contains(name);
                let idle = rule.only_writes && names.iter().all(looks);
                if names.is_empty() || idle {
                    continue;
                }
                let paths: Vec<String> = rule.paths.iter().map(|path| path.as_str().to_owned()).collect();
                let access = if rule.only_writes { "access = \"write\"\n" } else { "" };
                write(
                    &rule.id,
                    format!(
                        "tools = {}\n{access}paths = {}\n{}",
                        list(names.into_iter()),
                        lines(&paths),
                        said(&rule.because, rule.instead.as_deref())
                    ),
                );
            }
            for rule in unit.file.job_deny.iter().filter(|rule| !rule.warn) {
                let subjects: Vec<String> =
                    rule.subjects.iter().map(|(subject, ..)| subject.text()).collect();
                write(
                    &rule.id,
                    format!(
                        "jobs = {}\n{} = {}\n{}",
                        list(rule.purposes.iter().map(|purpose| purpose.as_str())),
                        rule.kind.key(),
                        lines(&subjects),
                        said(&rule.because, rule.instead.as_deref())
                    ),
                );
            }
            protected.extend(unit.file.change.protected.iter().map(|p| p.pattern.as_str().to_owned()));
        }
        Self { rules, protected }
    }
}

/// Returns an id that no rule has yet, and takes it.
fn free(ids: &mut BTreeSet<String>, id: &str) -> String {
    let short = |length: usize| &id[..id.len().min(length)];
    let numbered = (2..).map(|n| format!("{}-{n}", short(56)));
    let id = std::iter::once(short(64).to_owned()).chain(numbered).find(|id| !ids.contains(id));
    let id = id.expect("there are numbers enough");
    ids.insert(id.clone());
    id
}

fn said(because: &str, instead: Option<&str>) -> String {
    let instead = instead.map(|instead| format!("instead = {}\n", quote(instead))).unwrap_or_default();
    format!("because = {}\n{instead}", quote(because))
}

fn numbers(lessons: &[Lesson<'_>], protected: &BTreeSet<String>) -> String {
    let most = |get: &dyn Fn(&Past) -> u32| lessons.iter().map(|lesson| get(lesson.past)).max().unwrap_or(0);
    let mut text = String::new();
    let attempts: Vec<&Past> = lessons
        .iter()
        .map(|lesson| lesson.past)
        .filter(|past| past.model_calls > 0 || past.files > 0)
        .collect();
    if !attempts.is_empty() {
        let cost = attempts.iter().map(|past| past.cost_usd).fold(0.0, f64::max);
        let minutes =
            attempts.iter().map(|past| past.wall_s).max().unwrap_or(0).div_ceil(60).clamp(1, 168 * 60);
        // To the cent above: a budget is read before a call, with the bound of what it may cost.
        text.push_str(&format!(
            "\n[budget]\ncost_usd = {:.2}\nwall = \"{}\"\n",
            (cost * 100.0).ceil() / 100.0,
            units::show_seconds(minutes * 60)
        ));
        if most(&|past| past.model_calls) > 0 {
            text.push_str(&format!("steps = {}\n", most(&|past| past.model_calls)));
        }
    }
    if most(&|past| past.files) > 0 || !protected.is_empty() {
        text.push_str("\n[change]\n");
    }
    if most(&|past| past.files) > 0 {
        let (files, lines) = (most(&|past| past.files), most(&|past| past.lines).max(1));
        text.push_str(&format!("files = {files}\nlines = {lines}\n"));
    }
    if !protected.is_empty() {
        let protected: Vec<String> = protected.iter().cloned().collect();
        text.push_str(&format!("protected = {}\n", lines(&protected)));
    }
    let models: BTreeSet<&str> =
        lessons.iter().flat_map(|lesson| lesson.past.models.iter().map(String::as_str)).collect();
    if !models.is_empty() || !attempts.is_empty() {
        text.push_str(&format!("\n[model]\nallow = {}\n", list(models.into_iter())));
    }
    text
}

/// The patterns for the files used, with folders of which every file was.
fn patterns(used: &BTreeSet<RelPath>, tree: &BTreeSet<&RelPath>) -> Vec<String> {
    if used.iter().any(RelPath::is_root) {
        return vec!["**".into()];
    }
    if tree.is_empty() {
        return used.iter().map(|path| Pattern::exact(path).as_str().to_owned()).collect();
    }
    let all: BTreeSet<&RelPath> = tree.iter().copied().chain(used).collect();
    let mut out = Vec::new();
    narrow(&RelPath::root(), &all, used, &mut out);
    out.sort();
    out
}

fn narrow(folder: &RelPath, all: &BTreeSet<&RelPath>, used: &BTreeSet<RelPath>, out: &mut Vec<String>) {
    if all.iter().all(|path| used.contains(*path)) && all.len() > 1 {
        out.push(if folder.is_root() {
            "**".into()
        } else {
            format!("{}/**", Pattern::exact(folder).as_str())
        });
        return;
    }
    let depth = if folder.is_root() { 0 } else { folder.as_str().split('/').count() };
    let mut below: BTreeMap<&str, BTreeSet<&RelPath>> = BTreeMap::new();
    for path in all {
        if let Some(name) = path.as_str().split('/').nth(depth) {
            below.entry(name).or_default().insert(path);
        }
    }
    for (name, paths) in below {
        let Ok(child) = folder.join(name) else { continue };
        if paths.contains(&child) && used.contains(&child) {
            out.push(Pattern::exact(&child).as_str().to_owned());
        }
        let deeper: BTreeSet<&RelPath> = paths.into_iter().filter(|path| **path != child).collect();
        if deeper.iter().any(|path| used.contains(*path)) {
            narrow(&child, &deeper, used, out);
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", texts.map(quote).collect::<Vec<_>>().join(", "))
}

fn lines(texts: &[String]) -> String {
    match texts {
        [one] => format!("[{}]", quote(one)),
        many => {
            format!("[\n{}]", many.iter().map(|text| format!("    {},\n", quote(text))).collect::<String>())
        }
    }
}
