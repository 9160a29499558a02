//! What came of tasks: a function of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bowout::Cost;
use crate::task::{PullRequestOutcome, TaskKind, TaskState};
use crate::{ReasonCode, RepoId};

/// What came of a task, for statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Its repository.
    pub repo: RepoId,
    /// What was wanted of it.
    pub kind: TaskKind,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When anything about it changed last.
    pub updated_at: Timestamp,
    /// Where it stands.
    pub state: TaskState,
    /// Whether it has a pull request, and what became of that, as far as is known.
    pub pull_request: Option<Option<PullRequestOutcome>>,
    /// Why it has none.
    pub reason: Option<ReasonCode>,
    /// What all its attempts took.
    pub cost: Cost,
}

/// What came of tasks, all together, by repository, and by the week they were asked for.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Of all tasks.
    pub total: Count,
    /// By repository.
    pub repositories: BTreeMap<String, Count>,
    /// By the Monday, UTC, that the week began with.
    pub weeks: BTreeMap<String, Count>,
}

/// What came of some tasks.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// Changes that were asked for.
    pub tasks: u64,
    /// Pull requests that were opened.
    pub opened: u64,
    /// These that were merged.
    pub merged: u64,
    /// These that were closed without.
    pub closed: u64,
    /// These that were merged and taken back.
    pub reverted: u64,
    /// Tasks that ended without a pull request and for a reason.
    pub abstained: u64,
    /// These, by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Tasks that ended for the infrastructure's fault.
    pub failed: u64,
    /// Tasks that were cancelled or superseded.
    pub dropped: u64,
    /// Tasks that have not ended.
    pub open: u64,
    /// Times that a repository was to be onboarded; they are counted here alone.
    #[serde(default)]
    pub onboardings: u64,
    /// US dollars that all these tasks took.
    pub cost_usd: f64,
    /// Cost of all tasks by the number of them; none where there is no task.
    pub cost_per_task_usd: Option<f64>,
    /// Cost of all tasks, those without a pull request too, by the number of merged ones; none where there is none.
    pub cost_per_merged_usd: Option<f64>,
}

impl Stats {
    /// Counts a task.
    pub fn add(&mut self, task: &Figure) {
        let day = task.created_at.to_zoned(TimeZone::UTC).date();
        let back = day.weekday().since(Weekday::Monday);
        let monday = day.saturating_sub(jiff::Span::new().days(i64::from(back)));
        let repository = self.repositories.entry(task.repo.as_str().to_owned()).or_default();
        let week = self.weeks.entry(monday.to_string()).or_default();
        for count in [&mut self.total, repository, week] {
            count.add(task);
        }
    }
}

impl Count {
    fn add(&mut self, task: &Figure) {
        if task.kind == TaskKind::Onboard {
            self.onboardings += 1;
            return;
        }
        self.tasks += 1;
        if let Some(request) = &task.pull_request {
            self.opened += 1;
            match request {
                Some(PullRequestOutcome::Merged) => self.merged += 1,
                Some(PullRequestOutcome::Closed) => self.closed += 1,
                Some(PullRequestOutcome::Reverted) => self.reverted += 1,
                None => {}
            }
        }
        match task.state {
            TaskState::BowedOut => {
                self.abstained += 1;
                if let Some(reason) = task.reason {
                    let reason = serde_json::to_value(reason).unwrap_or_default();
                    *self.reasons.entry(reason.as_str().unwrap_or_default().to_owned()).or_default() += 1;
                }
            }
            TaskState::Failed | TaskState::Quarantined => self.failed += 1,
            TaskState::Cancelled | TaskState::Superseded => self.dropped += 1,
            TaskState::Queued | TaskState::Running | TaskState::Publishing => self.open += 1,
            TaskState::Published | TaskState::Onboarded => {}
        }
        self.cost_usd += task.cost.usd;
        self.cost_per_task_usd = Some(self.cost_usd / self.tasks as f64);
        self.cost_per_merged_usd = (self.merged > 0).then(|| self.cost_usd / self.merged as f64);
    }
}
