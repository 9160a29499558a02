//! What is written down to be done to a code host, with the change of state that asks for it.

use gloaming_api::bowout::Stage;
use gloaming_api::evidence::{Evidence, Verdict};
use gloaming_api::task::{Source, TaskView};
use gloaming_api::{Attempt, RepoId, TaskId};
use gloaming_forge::host::{Check, CheckState};
use gloaming_forge::text::inline;
use gloaming_forge::{bow_out_comment, failure_comment, marker};
use gloaming_store::{AttemptEnd, NewEffect, TaskRecord};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What our check is called.
pub const CHECK: &str = "gloaming";

/// Publish what an attempt made; everything else is in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Publish {
    /// The attempt.
    pub attempt: Attempt,
}

/// Say something under an issue or pull request, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Say {
    /// The repository.
    pub repo: RepoId,
    /// The issue's or pull request's number.
    pub number: u64,
    /// What is said; in Markdown.
    pub body: String,
    /// A part of it by which it is found again.
    pub marker: String,
    /// It was not said before this, by this machine's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Set a check on a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The repository.
    pub repo: RepoId,
    /// The commit, or a branch whose newest is meant; the default branch where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The check.
    pub check: Check,
}

impl Publish {
    /// Returns it as an effect.
    pub fn effect(&self, task: &TaskId) -> NewEffect {
        let key = format!("publish:{task}:{}", self.attempt);
        NewEffect { key, kind: "publish".to_owned(), payload: json(self) }
    }
}

impl Say {
    /// Returns it as an effect; `about` tells it from others of the task.
    pub fn effect(&self, task: &TaskId, about: &str) -> NewEffect {
        self.effect_of(&format!("{task}:{about}"))
    }

    /// Returns it as an effect that `about` tells from all others.
    pub fn effect_of(&self, about: &str) -> NewEffect {
        NewEffect { key: format!("comment:{about}"), kind: "comment".to_owned(), payload: json(self) }
    }
}

impl Mark {
    /// Returns it as an effect; `about` tells it from others of the task.
    pub fn effect(&self, task: &TaskId, about: &str) -> NewEffect {
        self.effect_of(&format!("{task}:{about}"))
    }

    /// Returns it as an effect that `about` tells from all others.
    pub fn effect_of(&self, about: &str) -> NewEffect {
        NewEffect { key: format!("check:{about}"), kind: "check".to_owned(), payload: json(self) }
    }
}

fn json(payload: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(payload).expect("texts and numbers serialise")
}

/// Returns what the code host is told when an attempt ends so.
///
/// A verified change is published. Anything else is answered with a comment where the task came from an issue or comment and
/// somebody asked for it by name, and with a neutral check and no comment where nobody did. What was cancelled is answered with
/// nothing, but for a check that would go on for ever.
pub fn of_end(record: &TaskRecord, attempt: Attempt, end: &AttemptEnd) -> Vec<NewEffect> {
    let view = &record.view;
    let (title, body) = match end {
        AttemptEnd::Verified(_) => return vec![Publish { attempt }.effect(&view.id)],
        // The check that says where a follow-up stands ends by the feed.
        AttemptEnd::Onboarded { .. } | AttemptEnd::Cancelled { .. } => return Vec::new(),
        AttemptEnd::BowedOut(bow_out) => {
            let (reason, stage) = (bow_out.reason_code.as_str(), bow_out.stage.as_str());
            (format!("No pull request: {reason}, at {stage}"), bow_out_comment(bow_out))
        }
        AttemptEnd::Failed { error, .. } => (
            "No pull request: the infrastructure failed".to_owned(),
            failure_comment(&view.id, attempt, error),
        ),
    };
    let about = format!("{attempt}:end");
    let neutral = |commit: Option<String>| {
        let (title, summary) = (title.clone(), body.clone());
        let check = Check {
            name: CHECK.to_owned(),
            key: view.id.to_string(),
            state: CheckState::Neutral,
            title,
            summary,
        };
        Mark { repo: view.repo.clone(), commit, check }.effect(&view.id, &about)
    };
    let open = view.pull_request.as_ref().map(|request| request.commit.clone());
    // Of a failure the check on an open pull request tells by the feed, as it does of a stop.
    let by_feed = open.is_some() && matches!(end, AttemptEnd::Failed { .. });
    if !record.by_name {
        return if by_feed { Vec::new() } else { vec![neutral(open.or_else(|| view.base.clone()))] };
    }
    let Some(number) = talked_in(view) else { return Vec::new() };
    let say = Say {
        repo: view.repo.clone(),
        number,
        marker: marker(&view.id, attempt).trim_end().to_owned(),
        body: body.clone(),
        since: Some(view.created_at),
    };
    let said = say.effect(&view.id, &about);
    // The check that says a follow-up is worked on.
    let check = open.filter(|_| !by_feed).map(|commit| neutral(Some(commit)));
    std::iter::once(said).chain(check).collect()
}

/// Returns what follows when a pull request is open, or has a new commit: a check on that one, and an end of the check on
/// the one before.
pub(super) fn of_request(
    record: &TaskRecord,
    commit: &str,
    verdict: &Verdict,
    evidence: &Evidence,
) -> Vec<NewEffect> {
    let view = &record.view;
    let attempt = view.attempt;
    let mark = |commit: &str, state, title: &str, summary: String, about: &str| {
        let check = Check {
            name: CHECK.to_owned(),
            key: view.id.to_string(),
            state,
            title: title.to_owned(),
            summary,
        };
        let mark = Mark { repo: view.repo.clone(), commit: Some(commit.to_owned()), check };
        mark.effect(&view.id, &format!("{attempt}:{about}"))
    };
    let steps: Vec<String> =
        evidence.steps.iter().map(|step| format!("{} {}", step.step, step.result.as_str())).collect();
    let summary = format!(
        "{}\n\nLast stage: {}. Steps: {}",
        inline(&verdict.summary, 500),
        Stage::Publish.as_str(),
        inline(&steps.join(", "), 500)
    );
    let title = "Published: every required step passed";
    let done = mark(commit, CheckState::Success, title, summary, "published");
    let before = view.pull_request.as_ref().filter(|before| before.commit != commit).map(|before| {
        let title = "A newer commit follows";
        mark(&before.commit, CheckState::Neutral, title, format!("The newer commit is {commit}."), "before")
    });
    std::iter::once(done).chain(before).collect()
}

/// Returns the number of the issue or pull request under which a task is answered: its pull request where there is one,
/// wherever it was asked for; none where it did not come from the code host and has none.
fn talked_in(view: &TaskView) -> Option<u64> {
    let asked_in = match &view.source {
        Source::Issue { number } | Source::Comment { number, .. } => Some(*number),
        Source::Api | Source::Chat { .. } | Source::Schedule { .. } => None,
    };
    view.pull_request.as_ref().map(|request| request.number).or(asked_in)
}
