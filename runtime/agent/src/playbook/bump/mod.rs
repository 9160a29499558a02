//! Brings one dependency to one version, without a model: manifest and lockfile, and nothing else.
//!
//! What it does: changes what manifests require, through the tools; has the package manager make the lockfile anew, as a job
//! on a copy; and has the system put that lockfile in place, as far as the policy lets it. It believes no exit code: the
//! lockfile has to say the version. What it does not: touch the code that uses the dependency.

mod declared;
mod locked;
mod past;
mod plan;
#[cfg(test)]
mod tests;
mod words;

use gloaming_api::ReasonCode;
use gloaming_api::tool::{ToolErrorCode, ToolOutcome};
use serde_json::Value;

use super::files::{Edits, FileText, Listing, listed};
use super::form::{Action, End, Event, output};
use past::Source;
use plan::{Lock, Plan, Wish};
use words::Asked;

pub(super) use words::fit;

/// Whose manifests and lockfiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Manager {
    Cargo,
    Npm,
    Pip,
    Uv,
}

impl Manager {
    fn name(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Npm => "npm",
            Self::Pip => "pip",
            Self::Uv => "uv",
        }
    }
}

/// Runs of the package manager: one for what manifests ask now, one for the exact version.
const RUNS: u32 = 2;

/// A dependency on its way to a version.
#[derive(Debug, Clone)]
pub struct Bump {
    /// Empty until the advisory has said it.
    name: String,
    /// Empty until it is known which is past the advisory.
    version: String,
    /// Whose dependency it is, where the task or the advisory says so.
    manager: Option<Manager>,
    advisory: Option<String>,
    /// What the operator has of the advisory, where that decides.
    sources: Vec<Source>,
    /// The affected version that is to go.
    from: Option<String>,
    state: State,
    calls: u32,
    listing: Listing,
    plan: Option<Plan>,
    edits: Edits,
    /// The commands that were run, and what they changed beside the lockfile.
    ran: Vec<String>,
    left: Vec<String>,
    /// Whether the lockfile was changed.
    placed: bool,
    /// What was to be put in place.
    wanted: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Fresh,
    Asking,
    Listing,
    Reading,
    Editing,
    Checking,
    Locking,
    Placing,
    Looking,
    Over,
}

impl Bump {
    fn new(asked: Asked) -> Self {
        let Asked { name, version, manager, advisory, scope } = asked;
        Self {
            name: name.unwrap_or_default(),
            version: version.unwrap_or_default(),
            manager,
            advisory,
            sources: Vec::new(),
            from: None,
            state: State::Fresh,
            calls: 0,
            listing: Listing::named(plan::GLOBS, scope),
            plan: None,
            edits: Edits::default(),
            ran: Vec::new(),
            left: Vec::new(),
            placed: false,
            wanted: String::new(),
        }
    }

    /// Returns what is asked for in a few words.
    pub(super) fn describe(&self) -> String {
        let place = self.listing.scope().map_or(String::new(), |scope| format!(" in {scope}"));
        let past = self.advisory.as_ref().map_or(String::new(), |id| format!(", past {id}"));
        let name = if self.name.is_empty() { "what the advisory names" } else { &self.name };
        let to = if self.version.is_empty() { String::new() } else { format!(" to {}", self.version) };
        format!("{name}{to}{place}{past}")
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        let next = match (self.state, event) {
            (State::Fresh, Event::Start) => match self.advisory.clone().filter(|_| self.version.is_empty()) {
                Some(advisory) => {
                    self.state = State::Asking;
                    Ok(Action::LookUp { id: self.id(), advisory })
                }
                None => Ok(self.begin()),
            },
            (State::Asking, Event::ToolDone { outcome, .. }) => {
                past::sources(self.past(), &outcome).map(|sources| {
                    self.sources = sources;
                    self.begin()
                })
            }
            (State::Listing, Event::ToolDone { outcome, .. }) => self.listed(&outcome),
            (State::Reading, Event::Files { files }) => self.read(&files),
            (State::Editing, Event::ToolDone { outcome, .. }) => {
                self.edits.took(&outcome).map(|()| self.next_edit())
            }
            (State::Checking, Event::Files { files }) => {
                self.edits.check(&files).map(|()| self.lock_or_end())
            }
            (State::Locking, Event::ToolDone { outcome, .. }) => self.locked(&outcome),
            (State::Placing, Event::ToolDone { outcome, .. }) => self.put(&outcome),
            (State::Looking, Event::Files { files }) => self.look(&files),
            _ => return Vec::new(),
        };
        vec![next.unwrap_or_else(|end| {
            self.state = State::Over;
            end.into()
        })]
    }

    fn id(&mut self) -> String {
        self.calls += 1;
        format!("bump-{}", self.calls)
    }

    /// The id of the advisory; empty where the task names none.
    fn past(&self) -> &str {
        self.advisory.as_deref().unwrap_or_default()
    }

    fn begin(&mut self) -> Action {
        self.state = State::Listing;
        self.list(self.listing.first())
    }

    fn list(&mut self, args: Value) -> Action {
        Action::CallTool { id: self.id(), name: "list".into(), args }
    }

    fn listed(&mut self, outcome: &ToolOutcome) -> Result<Action, End> {
        if let Some(more) = self.listing.take(outcome)? {
            return Ok(self.list(more));
        }
        self.state = State::Reading;
        let paths = self.listing.paths.iter().filter(|path| plan::is_ours(path)).cloned();
        Ok(Action::Read { paths: paths.collect() })
    }

    fn read(&mut self, files: &[FileText]) -> Result<Action, End> {
        if self.version.is_empty() {
            let id = self.past().to_owned();
            let decided = past::decide(&self.name, self.manager, &id, &mut self.sources, files)?;
            (self.name, self.version) = (decided.name, decided.version);
            (self.manager, self.from) = (Some(decided.manager), Some(decided.from));
        }
        let wish = Wish {
            name: &self.name,
            version: &self.version,
            manager: self.manager,
            from: self.from.as_deref(),
        };
        let plan = Plan::of(wish, files)?;
        self.edits = Edits::new(plan.edits.clone())?;
        self.left.clone_from(&plan.left);
        self.plan = Some(plan);
        Ok(self.next_edit())
    }

    fn next_edit(&mut self) -> Action {
        if let Some((tool, args)) = self.edits.next() {
            self.state = State::Editing;
            return Action::CallTool { id: self.id(), name: tool.into(), args };
        }
        if self.edits.len() == 0 {
            return self.lock_or_end();
        }
        self.state = State::Checking;
        Action::Read { paths: self.edits.paths() }
    }

    fn plan(&self) -> &Plan {
        self.plan.as_ref().expect("it was made when the files were read")
    }

    fn lock_or_end(&mut self) -> Action {
        let Some(lock) = self.plan().lock.clone() else { return self.done() };
        self.lock(&lock, lock.first.clone())
    }

    fn lock(&mut self, lock: &Lock, argv: Vec<String>) -> Action {
        self.state = State::Locking;
        self.ran.push(argv.join(" "));
        Action::Lock { id: self.id(), argv, path: lock.path.clone() }
    }

    fn locked(&mut self, outcome: &ToolOutcome) -> Result<Action, End> {
        if let Some(error) = outcome.error.as_ref().filter(|error| error.code == ToolErrorCode::NotFound) {
            return Err(End::new(
                ReasonCode::EnvUnbuildable,
                format!("The lockfile cannot be made: {}.", error.message),
            ));
        }
        let output = output(outcome, "the package manager's job")?;
        let text = |key: &str| output.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
        if output.get("exit").and_then(Value::as_i64) != Some(0) {
            return Err(self.failed(
                &text("command"),
                &text("ended"),
                output.get("network") == Some(&Value::Bool(true)),
                text("text"),
            ));
        }
        let lock = self.plan().lock.clone().expect("it is what was made");
        let others =
            output.get("others").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let mut taken = self.edits.paths();
        // A manager writes the manifest again on its way; what it is to say was written already.
        taken.push(lock.manifest.clone());
        for other in others.filter(|other| !taken.iter().any(|path| path == other)) {
            let told = format!("{other}: the package manager changed it, which no bump does");
            if !self.left.contains(&told) {
                self.left.push(told);
            }
        }
        match output.get("content").and_then(Value::as_str) {
            Some(content) => {
                self.state = State::Placing;
                content.clone_into(&mut self.wanted);
                Ok(Action::Place { id: self.id(), path: lock.path, content: content.to_owned() })
            }
            None => Ok(self.look_again()),
        }
    }

    fn failed(&self, command: &str, ended: &str, network: bool, text: String) -> End {
        if !network {
            let summary = format!(
                "`{command}` ended with {ended}, and set-up jobs have no network here: the operator's policy gives it by \
                 `[jobs.setup] network = [\"registry\"]`."
            );
            return End::new(ReasonCode::NeedsNetwork, summary)
                .asking("May set-up jobs reach the package registry?")
                .with([text]);
        }
        let summary =
            format!("`{command}` ended with {ended}: it cannot lock {} at {}.", self.name, self.version);
        End::new(ReasonCode::ConflictingRequirements, summary)
            .asking(format!(
                "Is there a version {} of {}, and may everything else that uses it have it?",
                self.version, self.name
            ))
            .with([text])
    }

    fn put(&mut self, outcome: &ToolOutcome) -> Result<Action, End> {
        output(outcome, "the package manager")?;
        self.placed = true;
        Ok(self.look_again())
    }

    fn look_again(&mut self) -> Action {
        self.state = State::Looking;
        let lock = self.plan().lock.as_ref().expect("it is what was made");
        Action::Read { paths: vec![lock.path.clone(), lock.manifest.clone()] }
    }

    fn look(&mut self, files: &[FileText]) -> Result<Action, End> {
        let lock = self.plan().lock.clone().expect("it is what was made");
        let text = |path: &str| {
            let file = files.iter().find(|file| file.path == path);
            file.and_then(|file| file.text.as_deref()).unwrap_or_default()
        };
        if self.placed && text(&lock.path) != self.wanted {
            let summary = format!("{} is not what the package manager made of it.", lock.path);
            return Err(End::new(ReasonCode::Stuck, summary));
        }
        let now = locked::versions(self.plan().manager, text(&lock.path), &self.name).unwrap_or_default();
        if now.iter().any(|locked| self.plan().manager.equal(locked, &self.version)) {
            let agrees = self.plan().manager != Manager::Npm
                || locked::agrees(text(&lock.path), text(&lock.manifest), &self.name);
            if !agrees {
                let summary =
                    format!("{} and {} say different things of {}.", lock.path, lock.manifest, self.name);
                return Err(End::new(ReasonCode::ConflictingRequirements, summary));
            }
            let all = locked::everywhere(self.plan().manager, text(&lock.path), &self.name);
            if let Some(held) = past::still(&self.sources, self.plan().manager, &self.name, &all) {
                self.left.push(format!(
                    "{}: another package has {} {held} for itself, which {} affects",
                    lock.path,
                    self.name,
                    self.past()
                ));
            }
            return Ok(self.done());
        }
        let next = (self.ran.len() < RUNS as usize).then(|| self.plan().precisely(&now)).flatten();
        match next {
            Some(argv) => Ok(self.lock(&lock, argv)),
            None => {
                let summary = format!(
                    "{} locks {} at {} and not at {}: something else there decides.",
                    lock.path,
                    self.name,
                    if now.is_empty() { "no version".to_owned() } else { now.join(" and ") },
                    self.version
                );
                Err(End::new(ReasonCode::ConflictingRequirements, summary)
                    .asking(format!("Is {} the version that is wanted?", self.version))
                    .with(self.ran.iter().map(|argv| format!("it was tried with `{argv}`"))))
            }
        }
    }

    fn done(&mut self) -> Action {
        self.state = State::Over;
        let plan = self.plan.as_ref().expect("it was made when the files were read");
        let from =
            if plan.old.is_empty() { String::new() } else { format!(" from {}", plan.old.join(" and ")) };
        let past = match (&self.advisory, &self.from) {
            (Some(id), Some(from)) => format!(
                "\n\n{} is the first version above {from} that {id} does not affect, by {}.",
                self.version,
                past::shown(&self.sources)
            ),
            (Some(id), None) => format!(
                "\n\nThat {} is past {id} is the task's word; no database of advisories was asked.",
                self.version
            ),
            (None, _) => String::new(),
        };
        let ran = match self.ran.as_slice() {
            [] => String::new(),
            ran => format!("\n\nThe lockfile is what `{}` made of it.", ran.join("` and `")),
        };
        let mut changed = self.edits.paths();
        changed.extend(plan.lock.iter().filter(|_| self.placed).map(|lock| lock.path.clone()));
        let mut summary = format!("Bump {}{from} to {}.{past}{ran}", self.name, self.version);
        summary.push_str(&listed("Changed:", &changed));
        summary.push_str(&listed("Not changed:", &self.left));
        Action::Done { summary }
    }
}
