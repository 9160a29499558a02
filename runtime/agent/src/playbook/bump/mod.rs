//! Brings one dependency to one version, without a model: manifest and lockfile, and nothing else.
//!
//! What it does: changes what manifests require, through the tools; has the package manager make the lockfile anew, as a job
//! on a copy; and has the system put that lockfile in place, as far as the policy lets it. It believes no exit code: the
//! lockfile has to say the version. What it does not: touch the code that uses the dependency.

mod declared;
mod locked;
mod plan;
#[cfg(test)]
mod tests;
mod words;

use gloaming_api::ReasonCode;
use gloaming_api::tool::{ToolErrorCode, ToolOutcome};
use serde_json::Value;

use super::files::{Edits, FileText, Listing, listed};
use super::form::{Action, End, Event, output};
use plan::{Lock, Plan};

pub(super) use words::fit;

/// Whose manifests and lockfiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Manager {
    Cargo,
    Npm,
    Pip,
}

impl Manager {
    fn name(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Npm => "npm",
            Self::Pip => "pip",
        }
    }
}

/// Runs of the package manager: one for what manifests ask now, one for the exact version.
const RUNS: u32 = 2;

/// A dependency on its way to a version.
#[derive(Debug, Clone)]
pub struct Bump {
    name: String,
    version: String,
    /// Whose dependency it is, where the task says so.
    manager: Option<Manager>,
    advisory: Option<String>,
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
    fn new(
        name: String,
        version: String,
        manager: Option<Manager>,
        advisory: Option<String>,
        scope: Option<String>,
    ) -> Self {
        Self {
            name,
            version,
            manager,
            advisory,
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
        format!("{} to {}{place}{past}", self.name, self.version)
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        let next = match (self.state, event) {
            (State::Fresh, Event::Start) => {
                self.state = State::Listing;
                Ok(self.list(self.listing.first()))
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
        let plan = Plan::of(&self.name, &self.version, self.manager, files)?;
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
        if now.contains(&self.version) {
            let agrees = self.plan().manager != Manager::Npm
                || locked::agrees(text(&lock.path), text(&lock.manifest), &self.name);
            if !agrees {
                let summary =
                    format!("{} and {} say different things of {}.", lock.path, lock.manifest, self.name);
                return Err(End::new(ReasonCode::ConflictingRequirements, summary));
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
        let past = self.advisory.as_ref().map_or(String::new(), |id| {
            format!(
                "\n\nThat {} is past {id} is the task's word; no database of advisories was asked.",
                self.version
            )
        });
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
