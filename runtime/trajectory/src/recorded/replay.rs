//! Recorded calls made again by tools of ours, and their answers compared.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::bowout::shorten;
use gloaming_api::tool::{ToolErrorCode, ToolOutcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::command::{Act, acts};
use super::{Reason, Recording, Step};

mod changing;
mod finding;
mod looking;

/// Calls tools on the workspace of a replay.
pub trait Tools {
    /// Makes one call.
    fn call(&mut self, tool: &str, args: &Value) -> ToolOutcome;
}

/// What became of a recorded call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It maps to calls of ours, which give the same.
    Equivalent,
    /// It maps to calls of ours, which give something else; the reason says why.
    Differs,
    /// It maps to the repository's own command in a container, which a replay does not run.
    Check,
    /// It is not to be done by an agent, by design; the reason says why.
    OutOfReach,
}

impl Fate {
    /// Every fate.
    pub const ALL: &[Self] = &[Self::Equivalent, Self::Differs, Self::Check, Self::OutOfReach];

    /// Returns its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equivalent => "equivalent",
            Self::Differs => "differs",
            Self::Check => "check",
            Self::OutOfReach => "out_of_reach",
        }
    }
}

/// One recorded call and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Number of the step, from 1.
    pub step: usize,
    /// The command, shortened to a line.
    pub theirs: String,
    /// The calls it maps to.
    pub ours: Vec<String>,
    /// What became of it.
    pub fate: Fate,
    /// Why, where it is not equivalent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What differs, in some words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A recording made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Each recorded call.
    pub rows: Vec<Row>,
    /// How many calls met each fate.
    pub fates: BTreeMap<Fate, usize>,
    /// How many calls have each reason.
    pub reasons: BTreeMap<Reason, usize>,
}

impl Report {
    fn of(rows: Vec<Row>) -> Self {
        let mut fates: BTreeMap<Fate, usize> = Fate::ALL.iter().map(|fate| (*fate, 0)).collect();
        let mut reasons = BTreeMap::new();
        for row in &rows {
            *fates.entry(row.fate).or_default() += 1;
            if let Some(reason) = row.reason {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        Self { rows, fates, reasons }
    }

    /// Whether nothing differs that has no explanation.
    pub fn is_explained(&self) -> bool {
        !self.reasons.contains_key(&Reason::Unexplained)
    }
}

/// Makes a recording again, call by call. The tools work on the commit that the recording began with.
pub fn replay(recording: &Recording, tools: &mut dyn Tools) -> Report {
    let mut replay = Replay {
        tools,
        root: recording.root.clone(),
        folder: String::new(),
        open: None,
        selected: None,
        programs: false,
        ours: Vec::new(),
    };
    let rows = recording.steps.iter().enumerate();
    Report::of(rows.map(|(at, step)| replay.step(at + 1, step)).collect())
}

/// Why a call is not equivalent, and what differs.
type Difference = (Reason, String);

/// What both agree on, or not.
type Compared = Result<(), Difference>;

/// The most bytes of a call that are shown.
const SHOWN: usize = 110;

/// A replay on its way. Paths are the workspace's, `.` for its root.
struct Replay<'a> {
    tools: &'a mut dyn Tools,
    root: String,
    /// Where their shell stands.
    folder: String,
    /// What their viewer shows.
    open: Option<String>,
    selected: Option<(usize, usize)>,
    /// Whether a program ran that could have made files.
    programs: bool,
    /// The calls of the step.
    ours: Vec<String>,
}

impl Replay<'_> {
    fn step(&mut self, number: usize, step: &Step) -> Row {
        self.ours.clear();
        let mut worst: Option<Difference> = None;
        let mut check = false;
        for act in acts(&step.action) {
            if let Act::Check { what } = act {
                self.ours.push(told("check", &json!({"what": what})));
                check = true;
                continue;
            }
            if let Err(difference) = self.act(act, &step.observation) {
                worst.get_or_insert(difference);
            }
        }
        let fate = match &worst {
            Some((reason, _)) if reason.is_out_of_reach() => Fate::OutOfReach,
            Some(_) => Fate::Differs,
            None if check => Fate::Check,
            None => Fate::Equivalent,
        };
        let (reason, detail) = worst.map_or((None, String::new()), |(reason, detail)| (Some(reason), detail));
        let theirs = shorten(&step.action.trim().replace('\n', "\\n"), SHOWN);
        Row { step: number, theirs, ours: std::mem::take(&mut self.ours), fate, reason, detail }
    }

    fn act(&mut self, act: Act, answer: &str) -> Compared {
        match act {
            Act::Open { path } => {
                let path = self.place(&path)?;
                self.show(&path, answer)?;
                self.open = Some(path);
                Ok(())
            }
            Act::Move => {
                let path = self.opened()?;
                self.show(&path, answer)
            }
            Act::Select { first, last } => {
                self.selected = Some((first, last));
                let path = self.opened()?;
                self.show(&path, answer)
            }
            Act::View { path, from } => {
                let path = self.place(&path)?;
                self.view(&path, from, answer)
            }
            Act::Print { path } => {
                let path = self.place(&path)?;
                self.print(&path, answer)
            }
            Act::Create { path, text } => {
                let path = self.place(&path)?;
                let opens = text.is_none();
                self.create(&path, text, answer)?;
                if opens {
                    self.open = Some(path);
                    // Of a new file the first line is selected.
                    self.selected = Some((1, 1));
                }
                Ok(())
            }
            Act::EditLines { lines, text } => {
                let path = self.opened()?;
                let lines = lines.or(self.selected).ok_or_else(|| unexplained("no lines are selected"))?;
                self.edit_lines(&path, lines, &text, answer)
            }
            Act::Replace { path, old, new, all } => {
                let path = self.given_or_opened(path)?;
                self.replace(&path, &old, &new, all, answer)
            }
            Act::Insert { path, after, text } => {
                let path = self.given_or_opened(path)?;
                self.insert(&path, after, &text, answer)
            }
            Act::Remove { path, recursive } => {
                let path = self.place(&path)?;
                self.remove(&path, recursive, answer)
            }
            Act::ListFolder { path, hidden } => {
                let path = self.place(&path)?;
                self.list_folder(&path, hidden, answer)
            }
            Act::FindFiles { path, names, filter } => {
                let place = self.place(&path)?;
                self.find_files(&path, &place, &names, &filter, answer)
            }
            Act::Search(search) => {
                let path = if search.path.is_empty() { self.opened()? } else { self.place(&search.path)? };
                self.search(&search, &path, answer)
            }
            Act::Submit => self.submit(answer),
            Act::ChangeFolder { path } => {
                self.folder = self.place(&path)?;
                Ok(())
            }
            Act::Check { .. } => Ok(()),
            Act::OutOfReach(reason) => {
                self.programs |= reason == Reason::Program;
                Err((reason, String::new()))
            }
        }
    }

    /// Makes a call that the step maps to.
    fn call(&mut self, tool: &str, args: &Value) -> ToolOutcome {
        self.ours.push(told(tool, args));
        self.tools.call(tool, args)
    }

    fn given_or_opened(&self, path: Option<String>) -> Result<String, Difference> {
        match path {
            Some(path) => self.place(&path),
            None => self.opened(),
        }
    }

    fn opened(&self) -> Result<String, Difference> {
        self.open.clone().ok_or_else(|| unexplained("no file is open"))
    }

    /// Returns a path of theirs as the workspace has it.
    fn place(&self, path: &str) -> Result<String, Difference> {
        let outside = || (Reason::Outside, path.to_owned());
        let below = match path.strip_prefix('/') {
            Some(_) if self.root.is_empty() => return Err(outside()),
            Some(_) => match path.strip_prefix(&self.root) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.to_owned(),
                _ => return Err(outside()),
            },
            None if path.starts_with('~') => return Err(outside()),
            None => format!("{}/{path}", self.folder),
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in below.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop().ok_or_else(outside)?;
                }
                part => parts.push(part),
            }
        }
        Ok(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
    }

    /// Why a file is not there that they had.
    fn missing(&self, detail: impl Into<String>) -> Difference {
        let reason = if self.programs { Reason::AfterOutOfReach } else { Reason::NotInCommit };
        (reason, detail.into())
    }

    /// Why a call of ours failed that theirs did not.
    fn failed(&self, outcome: &ToolOutcome) -> Difference {
        let told = shorten(&outcome.for_model().replace('\n', " "), 200);
        match outcome.error.as_ref().map(|error| error.code) {
            Some(ToolErrorCode::Denied) => (Reason::Policy, told),
            Some(ToolErrorCode::NotFound) => self.missing(told),
            _ => (Reason::Unexplained, told),
        }
    }
}

/// Tells a call in a line: its path first, then the rest.
fn told(tool: &str, args: &Value) -> String {
    let mut rest = args.clone();
    let path = rest.as_object_mut().and_then(|object| object.remove("path"));
    let path = path.as_ref().and_then(Value::as_str).map_or(String::new(), |path| format!(" {path}"));
    match rest {
        Value::Object(object) if object.is_empty() => format!("{tool}{path}"),
        rest => format!("{tool}{path} {}", shorten(&rest.to_string(), SHOWN)),
    }
}

fn unexplained(detail: impl Into<String>) -> Difference {
    (Reason::Unexplained, detail.into())
}

/// Compares two sets of names; what theirs has more, something of their environment explains.
fn same_names(theirs: &BTreeSet<String>, ours: &BTreeSet<String>) -> Compared {
    let told = |names: Vec<&String>| {
        let first: Vec<&str> = names.iter().take(3).map(|name| name.as_str()).collect();
        format!("{} ({} in all)", first.join(", "), names.len())
    };
    let more: Vec<&String> = ours.difference(theirs).collect();
    if !more.is_empty() {
        return Err(unexplained(format!("only ours names {}", told(more))));
    }
    let fewer: Vec<&String> = theirs.difference(ours).collect();
    if !fewer.is_empty() {
        return Err((Reason::NotInCommit, format!("only theirs names {}", told(fewer))));
    }
    Ok(())
}
