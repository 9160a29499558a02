//! What journals say was done, as questions to a policy.

use std::collections::BTreeSet;

use gloaming_api::RelPath;
use gloaming_api::job::JobPurpose;
use gloaming_api::journal::{Event, EventKind};

use crate::{Access, Grant};

/// What one journal tells.
#[derive(Debug, Clone)]
pub struct Past {
    /// What the journal is called.
    pub journal: String,
    /// The calls of tools that work on files.
    pub(crate) calls: Vec<PastCall>,
    pub(crate) jobs: Vec<PastJob>,
    /// Calls of `check`.
    pub(crate) checks: usize,
    /// US dollars.
    pub(crate) cost_usd: f64,
    pub(crate) model_calls: u32,
    pub(crate) models: BTreeSet<String>,
    /// Changed files and lines of the largest patch.
    pub(crate) files: u32,
    pub(crate) lines: u32,
    /// Seconds from the first event to the last.
    pub(crate) wall_s: u64,
}

/// One call of a tool.
#[derive(Debug, Clone)]
pub(crate) struct PastCall {
    /// Its number in the journal.
    pub(crate) seq: u64,
    pub(crate) tool: String,
    /// The folder or file it was called on, where its arguments name one.
    pub(crate) path: Option<RelPath>,
    pub(crate) reads: Vec<RelPath>,
    pub(crate) writes: Vec<RelPath>,
    /// Whether it came to its end, with nothing denied.
    pub(crate) passed: bool,
}

/// One container run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PastJob {
    pub(crate) seq: u64,
    pub(crate) purpose: JobPurpose,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<String>,
}

impl Past {
    /// Reads what the events of a journal say.
    pub fn of(journal: &str, events: &[Event]) -> Self {
        let mut past = Self {
            journal: journal.to_owned(),
            calls: Vec::new(),
            jobs: Vec::new(),
            checks: 0,
            cost_usd: 0.0,
            model_calls: 0,
            models: BTreeSet::new(),
            files: 0,
            lines: 0,
            wall_s: 0,
        };
        for event in events {
            match &event.kind {
                EventKind::AttemptStarted(started) => past.models.extend(started.model.clone()),
                EventKind::ModelCall { cost_usd, .. } => {
                    past.cost_usd += cost_usd;
                    past.model_calls += 1;
                }
                EventKind::ToolCall { args, outcome, record, .. } if record.tool != "check" => {
                    let named = args.get("path").and_then(|path| path.as_str());
                    let path = match named {
                        Some(text) => RelPath::parse(text).ok(),
                        None => Some(RelPath::root()),
                    };
                    past.calls.push(PastCall {
                        seq: event.seq,
                        tool: record.tool.clone(),
                        path,
                        reads: record.reads.iter().map(|read| read.path.clone()).collect(),
                        writes: record.writes.iter().map(|write| write.path.clone()).collect(),
                        passed: outcome.ok && record.denials.is_empty(),
                    });
                }
                EventKind::ToolCall { .. } => past.checks += 1,
                EventKind::Job { record, .. } => past.jobs.push(PastJob {
                    seq: event.seq,
                    purpose: record.purpose,
                    // A verifier asks for the profile's command, and runs what it made of it.
                    argv: record.command.clone().unwrap_or_else(|| record.argv.clone()),
                    env: record.env.keys().cloned().collect(),
                }),
                EventKind::Frozen { files, .. } => {
                    past.files = past.files.max(u32::try_from(files.len()).unwrap_or(u32::MAX));
                    let lines =
                        files.iter().map(|file| u64::from(file.added) + u64::from(file.removed)).sum::<u64>();
                    past.lines = past.lines.max(u32::try_from(lines).unwrap_or(u32::MAX));
                }
                _ => {}
            }
        }
        if let (Some(first), Some(last)) = (events.first(), events.last()) {
            past.wall_s = u64::try_from(last.at.duration_since(first.at).as_secs()).unwrap_or(0);
        }
        past
    }

    /// How many calls of tools and jobs it tells of.
    pub fn len(&self) -> usize {
        self.calls.len() + self.jobs.len() + self.checks
    }

    /// Whether it tells of none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PastCall {
    /// The accesses it is known to have needed.
    pub(crate) fn accesses(&self) -> Vec<(Access, &RelPath)> {
        let mut accesses: Vec<(Access, &RelPath)> =
            self.reads.iter().map(|path| (Access::Read, path)).collect();
        accesses.extend(self.writes.iter().map(|path| (Access::Write, path)));
        if accesses.is_empty()
            && let Some(path) = &self.path
        {
            accesses.push((Access::List, path));
        }
        accesses
    }

    /// Whether a grant would have let it happen as it did.
    pub(crate) fn allowed_by(&self, grant: &Grant) -> bool {
        grant.offers(&self.tool)
            && self.accesses().iter().all(|(access, path)| grant.allows(&self.tool, *access, path))
    }

    pub(crate) fn words(&self) -> String {
        let path = self.writes.first().or(self.reads.first()).or(self.path.as_ref());
        let path = path.map(ToString::to_string).unwrap_or_default();
        let more = (self.writes.len() + self.reads.len()).saturating_sub(1);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{} {path}{more}", self.tool)
    }
}

impl PastJob {
    /// Whether a grant would have let it run.
    pub(crate) fn allowed_by(&self, grant: &Grant) -> bool {
        grant.permit_command(self.purpose, &self.argv, &self.env).is_ok()
    }

    pub(crate) fn words(&self) -> String {
        format!("check {} {}", self.purpose.as_str(), shell_words::join(&self.argv))
    }
}
