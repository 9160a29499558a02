//! The check that says where a follow-up stands: on the newest commit of its pull request, while an attempt works and until
//! it has ended.
//!
//! What asks for it is an event of the store's feed, so it is told late and at least once. What it says is where the task
//! stands when it is done: an event that others came after says nothing any more, and what an attempt's end wrote down, which
//! may be done before an event of its middle is told, is never written over by it.

use gloaming_api::TaskId;
use gloaming_api::task::{TaskEvent, TaskEventKind, TaskState};
use gloaming_forge::host::{Check, CheckState};
use gloaming_forge::text::inline;
use gloaming_store::{NewEffect, Store, Stored, TaskRecord};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::effects::CHECK;

/// How often it is tried to say at which stage an attempt is. Its next stage, and what it made, wait behind that.
pub(super) const TRIES: u32 = 5;

/// Events that are looked at after one.
const LOOK: u32 = 50;

/// Say where a task stands since one of its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Stands {
    /// The task.
    task: TaskId,
    /// The event's number.
    since: u64,
}

/// What is to be said.
pub(super) struct Said {
    /// Of which task.
    pub(super) record: TaskRecord,
    /// What.
    pub(super) check: Check,
}

/// Returns what is to be said on the code host when something happened to a task that has a pull request.
pub(crate) fn of_event(task: &TaskId, event: &TaskEvent) -> Option<NewEffect> {
    let stands = Stands { task: task.clone(), since: event.seq };
    let (key, payload) = (format!("check:{task}:event:{}", event.seq), json!(stands));
    is_shown(&event.kind).then(|| NewEffect { key, kind: "check".to_owned(), payload })
}

fn is_shown(event: &TaskEventKind) -> bool {
    match event {
        TaskEventKind::Retried { .. }
        | TaskEventKind::Progress { .. }
        | TaskEventKind::LeaseExpired { .. }
        | TaskEventKind::Released { .. }
        | TaskEventKind::AttemptFailed { .. } => true,
        // What is published or bows out says so by itself.
        TaskEventKind::Ended { state, .. } => {
            !matches!(state, TaskState::Published | TaskState::BowedOut | TaskState::Onboarded)
        }
        TaskEventKind::Submitted { .. }
        | TaskEventKind::Leased { .. }
        | TaskEventKind::Verified { .. }
        | TaskEventKind::CancelAsked { .. }
        | TaskEventKind::Outcome { .. } => false,
    }
}

impl Stands {
    /// Returns what is to be said now; none where something else is, or there is nowhere to say it.
    pub(super) fn look(&self, store: &dyn Store) -> Stored<Option<Said>> {
        // First, so that it is not of an event that comes between the two.
        let record = store.task(&self.task)?.filter(|record| record.view.pull_request.is_some());
        let later = store.events(&self.task, self.since, LOOK)?;
        let moved = |event: &TaskEvent| {
            is_shown(&event.kind)
                || matches!(event.kind, TaskEventKind::Verified { .. } | TaskEventKind::Ended { .. })
        };
        if later.iter().any(moved) {
            return Ok(None);
        }
        Ok(record.and_then(|record| Some(Said { check: check(&record)?, record })))
    }
}

/// Whether a check says that more is to come: then it need not be said at all costs.
pub(super) fn is_passing(check: &Check) -> bool {
    check.state == CheckState::Running
}

fn check(record: &TaskRecord) -> Option<Check> {
    let view = &record.view;
    let stage = view.stage.map(|stage| stage.as_str());
    let outcome = "Its outcome is a new commit, or a comment that says why there is none.";
    let (state, says, summary) = match view.state {
        TaskState::Queued => (CheckState::Running, "waits for a worker".to_owned(), outcome.to_owned()),
        TaskState::Running => {
            let says = stage.unwrap_or("begun").to_owned();
            (CheckState::Running, says, format!("Attempt {} is at work. {outcome}", view.attempt))
        }
        TaskState::Failed | TaskState::Quarantined | TaskState::Cancelled | TaskState::Superseded => {
            let at = stage.map(|stage| format!(", at {stage}")).unwrap_or_default();
            let why = view.failure.as_deref().map(|why| inline(why, 300)).unwrap_or_default();
            let summary = format!("There is no new commit. {why}").trim_end().to_owned();
            (CheckState::Neutral, format!("{}{at}", view.state.as_str()), summary)
        }
        TaskState::Publishing | TaskState::Published | TaskState::BowedOut | TaskState::Onboarded => {
            return None;
        }
    };
    Some(Check {
        name: CHECK.to_owned(),
        key: view.id.to_string(),
        state,
        title: format!("Follow-up {}: {says}", record.follow_ups),
        summary,
    })
}
