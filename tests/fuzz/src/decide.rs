//! The decision on a path against the rules walked one by one, as docs/policy.md tells it; and a layer on top
//! never allows more.
//!
//! Lines of the input, each of words: `operator`, `repository` or `task` begins a policy file (with `extends`
//! behind it, of the standard preset); `allow TOOL,TOOL PATTERN..`, `deny ..` and `deny-writes ..` are rules of it,
//! `protected PATTERN..` and `tool NAME` say what they say; `? TOOL ACCESS PATH` asks. A file that may not load, as
//! nothing could hold anybody to a rule of it, must be refused, and is put right before anything is asked.

use std::sync::LazyLock;

use gloaming_api::{RelPath, RepoId};
use gloaming_policies::fuzzing::{by_reference, matched};
use gloaming_policies::{Access, Diagnostic, Grant, Layer, TOOLS, WRITING_TOOLS};
use serde::Deserialize;

/// How much an input holds at most: compiling patterns and trying everything take time.
const FILES: usize = 5;
const RULES: usize = 6;
const PATTERNS: usize = 4;
const QUESTIONS: usize = 8;
const BYTES: usize = 48;

/// Holds one input against all that must be true of it.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (mut files, questions) = read(text);
    if questions.is_empty() {
        return;
    }
    for file in &mut files {
        let sound = repaired(file);
        if let Some(sound) = sound {
            assert!(resolved(&[file]).is_err(), "it loads:\n{}", written(file));
            *file = sound;
        }
    }
    let mut last: Option<Grant> = None;
    for top in [Layer::Operator, Layer::Repository, Layer::Task] {
        // Compiling is what takes long: a layer of no file is the one beneath.
        if last.is_some() && !files.iter().any(|file| file.layer == top) {
            continue;
        }
        let files: Vec<&File> = files.iter().filter(|file| file.layer <= top).collect();
        let grant = compiled(&files);
        let units = units(&files);
        for (tool, access, path) in &questions {
            let question = format!("{tool} {access:?} {path} under {}", written_all(&files));
            let allowed = grant.allows(tool, *access, path);
            let change = grant.decide_change(path).is_allow();
            let decision = grant.decide(tool, *access, path);
            assert_eq!(decision.is_allow(), allowed, "{question}");
            assert!(!decision.rule().id.is_empty() && decision.rule().line > 0, "{question}");
            assert!(grant.offers(tool) || !allowed, "{question}");
            if text.is_ascii() {
                assert_eq!(allowed, allows(&units, tool, *access, path), "{question}");
                assert_eq!(change, may_change(&units, path), "change of {question}");
                assert_eq!(grant.offers(tool), offers(&units, tool), "the tool of {question}");
                let withheld = !path.is_root() && denied(&units, "check", Access::Read, path);
                assert_eq!(grant.withheld(path).is_some(), withheld, "{question} in a job");
            }
            if let Some(last) = &last {
                assert!(last.allows(tool, *access, path) || !allowed, "{top:?} widens {question}");
                assert!(
                    last.decide_change(path).is_allow() || !change,
                    "{top:?} widens change of {question}"
                );
                assert!(last.offers(tool) || !grant.offers(tool), "{top:?} widens the tool of {question}");
            }
        }
        last = Some(grant);
    }
}

/// A policy file, no more of it than decides here.
#[derive(Debug, Clone, Deserialize)]
struct File {
    #[serde(skip, default = "operator")]
    layer: Layer,
    #[serde(skip)]
    extends: bool,
    #[serde(default)]
    allow: Vec<Rule>,
    #[serde(default)]
    deny: Vec<Rule>,
    #[serde(default)]
    change: Change,
    #[serde(skip)]
    tools: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Rule {
    tools: Vec<String>,
    paths: Vec<String>,
    /// `write` where it binds writing alone.
    access: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Change {
    #[serde(default)]
    protected: Vec<String>,
}

fn operator() -> Layer {
    Layer::Operator
}

static STANDARD: LazyLock<File> = LazyLock::new(|| {
    toml::from_str(gloaming_policies::preset("standard").expect("it is there")).expect("it parses")
});
static FLOOR: LazyLock<File> = LazyLock::new(|| {
    let text = include_str!("../../../policies/presets/floor.toml");
    File { layer: Layer::Floor, ..toml::from_str(text).expect("it parses") }
});

type Question<'a> = (&'a str, Access, RelPath);

/// Reads an input; what no policy could hold is left out.
fn read(text: &str) -> (Vec<File>, Vec<Question<'_>>) {
    let (mut files, mut questions): (Vec<File>, Vec<Question<'_>>) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let layer = match words.first() {
            Some(&"operator") => Some(Layer::Operator),
            Some(&"repository") => Some(Layer::Repository),
            Some(&"task") => Some(Layer::Task),
            _ => None,
        };
        if let Some(layer) = layer {
            if files.len() == FILES {
                break;
            }
            let extends = words.get(1) == Some(&"extends");
            let (allow, deny, change, tools) = Default::default();
            files.push(File { layer, extends, allow, deny, change, tools });
            continue;
        }
        let patterns = |words: &[&str]| -> Vec<String> {
            let fits = |pattern: &&&str| pattern.len() <= BYTES && matched(pattern, "a").is_some();
            words.iter().filter(fits).take(PATTERNS).map(|pattern| (*pattern).to_owned()).collect()
        };
        match (words.as_slice(), files.last_mut()) {
            (["?", tool, access, path], _) if questions.len() < QUESTIONS => {
                let access = match *access {
                    "read" => Access::Read,
                    "list" => Access::List,
                    "write" => Access::Write,
                    _ => continue,
                };
                if let (Ok(path), true) = (RelPath::parse(path), path.len() <= BYTES) {
                    questions.push((tool, access, path));
                }
            }
            ([kind @ ("allow" | "deny" | "deny-writes"), tools, rest @ ..], Some(file)) => {
                let known = |tool: &&str| {
                    *tool == "*" || TOOLS.contains(tool) || file.tools.iter().any(|own| own == tool)
                };
                let tools: Vec<String> = tools.split(',').filter(known).map(str::to_owned).collect();
                let paths = patterns(rest);
                let rules = if *kind == "allow" { &mut file.allow } else { &mut file.deny };
                if !tools.is_empty() && !paths.is_empty() && rules.len() < RULES {
                    let access = (*kind == "deny-writes").then(|| "write".to_owned());
                    rules.push(Rule { tools, paths, access });
                }
            }
            (["protected", rest @ ..], Some(file)) => file.change.protected = patterns(rest),
            (["tool", name], Some(file)) => {
                let well_formed = name.starts_with(|c: char| c.is_ascii_lowercase())
                    && name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_')
                    && name.len() <= 64;
                let known = TOOLS.contains(name) || file.tools.iter().any(|tool| tool == name);
                if well_formed && !known && file.tools.len() < RULES {
                    file.tools.push((*name).to_owned());
                }
            }
            _ => {}
        }
    }
    (files, questions)
}

/// The policy as its author writes it.
fn written(file: &File) -> String {
    // Every string of JSON is one of TOML, as there are no control characters.
    let json = |value: &Vec<String>| serde_json::to_string(value).expect("strings serialise");
    let mut out = String::from("schema = 1\n");
    if file.extends {
        out += "extends = [\"preset:standard\"]\n";
    }
    out += &format!("change.protected = {}\n", json(&file.change.protected));
    for tool in &file.tools {
        out += &format!("[[tool]]\nname = \"{tool}\"\n");
    }
    for (kind, rules) in [("allow", &file.allow), ("deny", &file.deny)] {
        for (at, rule) in rules.iter().enumerate() {
            out += &format!(
                "[[{kind}]]\nid = \"{kind}-{at}\"\ntools = {}\npaths = {}\n",
                json(&rule.tools),
                json(&rule.paths)
            );
            if kind == "deny" {
                out += "because = \"x\"\n";
            }
            if let Some(access) = &rule.access {
                out += &format!("access = \"{access}\"\n");
            }
        }
    }
    out
}

fn written_all(files: &[&File]) -> String {
    files.iter().map(|file| format!("{}:\n{}", file.layer.as_str(), written(file))).collect()
}

fn compiled(files: &[&File]) -> Grant {
    static OF_NO_FILE: LazyLock<Grant> = LazyLock::new(|| resolved(&[]).expect("it loads"));
    if files.is_empty() {
        return OF_NO_FILE.clone();
    }
    resolved(files).unwrap_or_else(|faults| panic!("{faults:?}\n{}", written_all(files)))
}

fn resolved(files: &[&File]) -> Result<Grant, Vec<Diagnostic>> {
    static REPO: LazyLock<RepoId> = LazyLock::new(|| RepoId::local("example"));
    let layers = files.iter().enumerate().map(|(at, file)| {
        let parsed = gloaming_policies::parse(&format!("{at}.toml"), &written(file));
        (file.layer, parsed.unwrap_or_else(|faults| panic!("{faults:?}\n{}", written(file))))
    });
    Grant::resolve(&REPO, layers.collect())
}

/// The file without what keeps it from loading: jobs see every file that is not denied, and tools that only look do
/// not write. None where it loads as it is.
fn repaired(file: &File) -> Option<File> {
    let mut sound = file.clone();
    let about_jobs: Vec<&Rule> = file.allow.iter().filter(|rule| names(rule, "check")).collect();
    if !about_jobs.is_empty() && !about_jobs.iter().any(|rule| is_whole(rule)) {
        sound.allow.push(Rule { tools: vec!["check".into()], paths: vec!["**".into()], access: None });
    }
    let looks = |tool: &String| TOOLS.contains(&tool.as_str()) && !WRITING_TOOLS.contains(&tool.as_str());
    for rule in sound.deny.iter_mut().filter(|rule| rule.tools.iter().all(looks)) {
        rule.access = None;
    }
    let changed = sound.allow.len() != file.allow.len()
        || sound.deny.iter().zip(&file.deny).any(|(now, before)| now.access != before.access);
    changed.then_some(sound)
}

/// All that binds: the files, what they extend, the floor, and the preset where no operator said anything.
fn units(files: &[&File]) -> Vec<File> {
    let mut units = vec![FLOOR.clone()];
    for file in files {
        units.push((*file).clone());
        if file.extends {
            units.push(File { layer: file.layer, ..STANDARD.clone() });
        }
    }
    if !files.iter().any(|file| file.layer == Layer::Operator) {
        units.push(STANDARD.clone());
    }
    units
}

/// The tools whose rules bind a tool that came later.
fn older(tool: &str) -> &'static [&'static str] {
    match tool {
        "move" | "remove" => &["edit", "write", "patch"],
        "outline" | "diff" => &["read"],
        _ => &[],
    }
}

fn names(rule: &Rule, tool: &str) -> bool {
    rule.tools.iter().any(|name| name == "*" || name == tool)
}

/// Whether a denial is about a tool: the table of "What a denial binds".
fn binds(rule: &Rule, tool: &str) -> bool {
    let as_well = |named: &str| -> &[&str] {
        match named {
            "edit" => &["write", "patch", "move", "remove"],
            "write" => &["patch", "move", "remove"],
            "patch" => &["edit", "write", "move", "remove"],
            "remove" => &["patch", "move"],
            _ => &[],
        }
    };
    let younger = WRITING_TOOLS.contains(&tool) && older(tool).iter().any(|older| names(rule, older));
    let bound = rule.tools.iter().any(|named| as_well(named).contains(&tool));
    names(rule, tool) || younger || (bound && !is_whole(rule))
}

fn is_whole(rule: &Rule) -> bool {
    rule.paths.iter().any(|pattern| is_everything(pattern))
}

fn allows(units: &[File], tool: &str, access: Access, path: &RelPath) -> bool {
    // A registered tool writes only where one of Gloaming's own might.
    let may = access != Access::Write || TOOLS.contains(&tool) || may_change(units, path);
    may && allows_own(units, tool, access, path)
}

fn may_change(units: &[File], path: &RelPath) -> bool {
    WRITING_TOOLS.iter().any(|tool| allows_own(units, tool, Access::Write, path))
}

fn allows_own(units: &[File], tool: &str, access: Access, path: &RelPath) -> bool {
    if path.is_root() {
        return access != Access::Write && offers(units, tool);
    }
    let covers = |rule: &Rule| {
        rule.paths.iter().any(|pattern| {
            let found = by_reference(pattern, path.as_str());
            if access == Access::List { found.list } else { found.allow }
        })
    };
    !denied(units, tool, access, path) && granted(units, tool, covers)
}

fn denied(units: &[File], tool: &str, access: Access, path: &RelPath) -> bool {
    let covers = |pattern: &String| by_reference(pattern, path.as_str()).deny;
    units.iter().any(|unit| {
        let protected = access == Access::Write && unit.change.protected.iter().any(covers);
        protected
            || unit.deny.iter().any(|rule| {
                // What `read` may not see no tool reads.
                let about = binds(rule, tool) || (access == Access::Read && names(rule, "read"));
                about && (access == Access::Write || rule.access.is_none()) && rule.paths.iter().any(covers)
            })
    })
}

/// Whether every file that speaks of the tool allows it, and one of the operator's that knows it is among them. A
/// file that speaks only of the tools there were before it narrows it by those.
fn granted(units: &[File], tool: &str, covers: impl Fn(&Rule) -> bool) -> bool {
    let mut by_operator = false;
    for unit in units {
        let own: Vec<&Rule> = unit.allow.iter().filter(|rule| names(rule, tool)).collect();
        let speaking = if own.is_empty() {
            unit.allow.iter().filter(|rule| older(tool).iter().any(|older| names(rule, older))).collect()
        } else {
            own.clone()
        };
        if !speaking.is_empty() && !speaking.iter().any(|rule| covers(rule)) {
            return false;
        }
        let knows = TOOLS.contains(&tool) || unit.tools.iter().any(|known| known == tool);
        by_operator |= !own.is_empty() && unit.layer == Layer::Operator && knows;
    }
    by_operator
}

fn offers(units: &[File], tool: &str) -> bool {
    let whole = |rule: &Rule| binds(rule, tool) && rule.access.is_none() && is_whole(rule);
    !units.iter().flat_map(|unit| &unit.deny).any(whole) && granted(units, tool, |_| true)
}

/// Whether a pattern matches every path but the root: nothing but stars, and no more than one name is asked for.
fn is_everything(pattern: &str) -> bool {
    let names: Vec<&str> = pattern.trim_start_matches('/').split('/').collect();
    let is_stars = |name: &&str| !name.is_empty() && name.bytes().all(|c| c == b'*');
    let single = names.iter().filter(|name| **name == "*").count();
    let last = names.last().is_some_and(|name| name.len() > 1);
    names.iter().all(is_stars) && single + usize::from(last) <= 1
}
