//! What deliveries would have told, asked for: a reconciler takes no input but the store.

use std::collections::BTreeMap;
use std::ops::Bound;

use gloaming_api::task::{PullRequestOutcome, TaskState, TaskView};
use gloaming_api::{Digest, RepoId, TaskId};
use gloaming_forge::host::{Commit, HostError, IssueEvent};
use gloaming_store::{AttemptEnd, Delivery, Store, Stored, TaskFilter};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Handled, HookError, Hooks, SENDER, TakenUp, UNHEARD, taken_up_by, told};
use crate::publish::of_end;

/// How long after its task's end a pull request is still asked for.
const WATCHED: SignedDuration = SignedDuration::from_hours(24 * 90);

/// Deliveries older than this are kept by GitHub no longer.
const DELIVERIES: SignedDuration = SignedDuration::from_hours(72);

/// Among how many of the latest tasks repositories are looked for that are asked what no delivery told.
const LATEST: u32 = 1_000;

/// How many repositories are asked that in a round, and where is kept which was the last.
const ASKED: usize = 100;
const ASKED_LAST: &str = "github:events-asked";

/// Where is kept up to when closed pull requests were asked after: somebody may open one again, and that is told by a delivery
/// nearly always, so it is asked for once a day.
const CLOSED_ASKED: &str = "github:closed-asked";

/// An hour and a day, seconds.
const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// By how much the clocks of two machines may differ.
const SKEW: SignedDuration = SignedDuration::from_secs(10);

/// The states of a task that may have a pull request which is done with: also where a follow-up of it came to nothing.
const REQUESTED: [TaskState; 6] = [
    TaskState::Published,
    TaskState::BowedOut,
    TaskState::Failed,
    TaskState::Quarantined,
    TaskState::Cancelled,
    TaskState::Superseded,
];

/// Tasks of one page, and pages.
const PAGE: u32 = 100;
const PAGES: usize = 20;

/// What a round of the reconciler did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// Pull requests whose outcome is known since.
    pub outcomes: Vec<(TaskId, PullRequestOutcome)>,
    /// Deliveries that were asked for again.
    pub redelivered: usize,
    /// What happened to issues and no delivery had told.
    pub unheard: usize,
    /// What could not be asked, in its words.
    pub errors: Vec<String>,
}

impl Hooks {
    /// Asks for missed deliveries, and what became of pull requests; says of quarantined tasks that they are. One repository
    /// that cannot be asked does not keep the others.
    pub async fn reconcile(&self, now: Timestamp) -> Reconciled {
        let mut done = Reconciled::default();
        if let Err(error) = self.missed(now, &mut done).await {
            done.errors.push(error.to_string());
        }
        if let Err(error) = self.unheard(now, &mut done).await {
            done.errors.push(error.to_string());
        }
        match self.requested(now).await {
            Ok(tasks) => self.outcomes(tasks, now, &mut done).await,
            Err(error) => done.errors.push(error.to_string()),
        }
        done.errors.extend(self.tell_quarantined(now).await.err().map(|error| error.to_string()));
        done
    }

    async fn missed(&self, now: Timestamp, done: &mut Reconciled) -> Result<(), HookError> {
        let mut asked = std::collections::BTreeSet::new();
        for failed in self.host.failed_deliveries().await? {
            if now.duration_since(failed.at) < DELIVERIES && asked.insert(failed.guid) {
                self.host.redeliver(failed.id).await?;
                done.redelivered += 1;
            }
        }
        Ok(())
    }

    /// Asks what happened to issues of repositories that tasks were asked for in, where missed deliveries cannot be asked for
    /// again, and takes it for deliveries. Where it is asked for the first time, what is past is left. Some repositories a
    /// round: the next goes on where this one stopped.
    async fn unheard(&self, now: Timestamp, done: &mut Reconciled) -> Result<(), HookError> {
        if self.host.redelivers() {
            return Ok(());
        }
        let filter = TaskFilter { limit: LATEST, ..TaskFilter::default() };
        let tasks = self.ask(move |store| store.tasks(&filter)).await?;
        let repos: BTreeMap<String, RepoId> =
            tasks.into_iter().map(|task| (task.repo.as_str().to_ascii_lowercase(), task.repo)).collect();
        let last = self.ask(|store| store.value(ASKED_LAST)).await?.unwrap_or_default();
        let behind = repos.range::<str, _>((Bound::Excluded(last.as_str()), Bound::Unbounded));
        let before = repos.range::<str, _>((Bound::Unbounded, Bound::Included(last.as_str())));
        for (key, repo) in behind.chain(before).take(ASKED) {
            let events = match self.host.issue_events(repo).await {
                Ok(events) => events,
                // Later for one is later for all.
                Err(error @ HostError::Later { .. }) => return Err(error.into()),
                Err(error) => {
                    done.errors.push(error.to_string());
                    continue;
                }
            };
            let (name, key, repo) = (format!("github:events:{key}"), key.clone(), repo.clone());
            let told = self.ask(move |store| {
                let told = take_up_unheard(store, &name, &repo, events, now)?;
                store.set_value(ASKED_LAST, &key)?;
                Ok(told)
            });
            done.unheard += told.await?;
        }
        Ok(())
    }

    /// Returns the tasks in a state that changed not too long ago, the newest first.
    async fn tasks(&self, state: TaskState, now: Timestamp) -> Result<Vec<TaskView>, HookError> {
        let mut all: Vec<TaskView> = Vec::new();
        for _ in 0..PAGES {
            let before = all.last().map(|task| task.id.clone());
            let filter = TaskFilter { state: Some(state), before, limit: PAGE, ..TaskFilter::default() };
            let page = self.ask(move |store| store.tasks(&filter)).await?;
            let last = page.len() < PAGE as usize;
            all.extend(page);
            if last {
                break;
            }
        }
        all.retain(|task| now.duration_since(task.updated_at) < WATCHED);
        Ok(all)
    }

    /// Returns the tasks that may have a pull request and are done with it, as [`Hooks::tasks`] does.
    async fn requested(&self, now: Timestamp) -> Result<Vec<TaskView>, HookError> {
        let mut all = Vec::new();
        for state in REQUESTED {
            all.extend(self.tasks(state, now).await?);
        }
        Ok(all)
    }

    async fn outcomes(&self, tasks: Vec<TaskView>, now: Timestamp, done: &mut Reconciled) {
        let mut merged: Vec<RepoId> = Vec::new();
        let last = match self.ask(|store| store.value(CLOSED_ASKED)).await {
            Ok(last) => last.and_then(|last| last.parse().ok()),
            Err(error) => return done.errors.push(error.to_string()),
        };
        let before = done.errors.len();
        for task in tasks {
            let Some(request) = &task.pull_request else { continue };
            match request.outcome {
                Some(PullRequestOutcome::Closed) if !is_due(&task.id, last, now) => {}
                None | Some(PullRequestOutcome::Closed) => {
                    match self.host.request(&task.repo, request.number).await.map(|found| told(found.state)) {
                        Ok(Some(outcome)) if request.outcome != Some(outcome) => {
                            match self.outcome(task.id.clone(), outcome, now).await {
                                Ok(_) => done.outcomes.push((task.id, outcome)),
                                Err(error) => done.errors.push(error.to_string()),
                            }
                        }
                        Ok(_) => {}
                        // Later for one is later for all.
                        Err(error @ HostError::Later { .. }) => return done.errors.push(error.to_string()),
                        Err(error) => done.errors.push(error.to_string()),
                    }
                }
                Some(PullRequestOutcome::Merged) if !merged.contains(&task.repo) => merged.push(task.repo),
                Some(_) => {}
            }
        }
        // What could not be asked is asked with the next round.
        if done.errors.len() == before
            && let Err(error) = self.ask(move |store| store.set_value(CLOSED_ASKED, &now.to_string())).await
        {
            done.errors.push(error.to_string());
        }
        for repo in merged {
            match self.reverts(&repo, now).await {
                Ok(Some((task, outcome))) => done.outcomes.push((task, outcome)),
                Ok(None) => {}
                Err(error) => done.errors.push(error.to_string()),
            }
        }
    }

    /// Reads the default branch since the last time it was read.
    async fn reverts(
        &self,
        repo: &RepoId,
        now: Timestamp,
    ) -> Result<Option<(TaskId, PullRequestOutcome)>, HookError> {
        let name = format!("github:read:{repo}");
        let key = name.clone();
        let read = self.ask(move |store| store.value(&key)).await?;
        let since = read.and_then(|text| text.parse().ok()).unwrap_or(now - SignedDuration::from_hours(24));
        // To the hour: the same question is asked again and again, and costs nothing where its answer is the same.
        let since = Timestamp::from_second(since.as_second().div_euclid(HOUR) * HOUR).unwrap_or(since);
        let branch = self.host.repository(repo).await?.default_branch;
        let commits: Vec<Commit> = self.host.commits_since(repo, &branch, since).await?;
        let messages: Vec<String> = commits.into_iter().map(|commit| commit.message).collect();
        let handled = self.taken_back(repo, &messages, now).await?;
        // An hour over, for commits that were pushed after they were made.
        let mark = (now - SignedDuration::from_hours(1)).to_string();
        self.ask(move |store| store.set_value(&name, &mark)).await?;
        Ok(match handled {
            Handled::Outcome(task, outcome) => Some((task, outcome)),
            _ => None,
        })
    }

    /// Notes which merged pull requests of ours commits take back, by git's own words or GitHub's.
    pub(super) async fn taken_back(
        &self,
        repo: &RepoId,
        messages: &[String],
        now: Timestamp,
    ) -> Result<Handled, HookError> {
        // "Reverts acme/api#1", "This reverts commit ...".
        let says: Vec<&String> = messages.iter().filter(|message| message.contains("everts ")).collect();
        if says.is_empty() {
            return Ok(Handled::Nothing("nothing is taken back"));
        }
        let mut found = Handled::Nothing("nothing of ours is taken back");
        for task in self.requested(now).await? {
            let Some(request) = task.pull_request else { continue };
            let same = task.repo.as_str().eq_ignore_ascii_case(repo.as_str());
            if !same || request.outcome != Some(PullRequestOutcome::Merged) {
                continue;
            }
            let merged_as = self.host.request(repo, request.number).await?.merged_as;
            let commits = [Some(request.commit), merged_as];
            let named = says.iter().any(|message| {
                commits
                    .iter()
                    .flatten()
                    .any(|commit| message.contains(&format!("This reverts commit {commit}")))
                    || names(message, repo, request.number)
            });
            if named {
                found = self.outcome(task.id, PullRequestOutcome::Reverted, now).await?;
            }
        }
        Ok(found)
    }

    /// A task that is quarantined ends without a word of a worker's.
    async fn tell_quarantined(&self, now: Timestamp) -> Result<(), HookError> {
        for task in self.tasks(TaskState::Quarantined, now).await? {
            self.ask(move |store| {
                let Some(record) = store.task(&task.id)? else { return Ok(()) };
                let error = task.failure.clone().unwrap_or_else(|| "it killed its workers".to_owned());
                let end = AttemptEnd::Failed { error, cost: task.cost };
                for effect in of_end(&record, task.attempt, &end) {
                    store.add_effect(Some(&task.id), &effect, now)?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

/// Whether a task's time of the day came since the last round: each has its own, so that not all are asked after at once.
fn is_due(task: &TaskId, last: Option<Timestamp>, now: Timestamp) -> bool {
    // A clock that was ahead must not keep it for as long.
    let Some(last) = last.filter(|last| *last <= now) else { return true };
    let own = i64::from_str_radix(&Digest::of(task.as_str()).hex()[..8], 16).unwrap_or(0) % DAY;
    let days = |at: Timestamp| (at.as_second() - own).div_euclid(DAY);
    days(now) > days(last)
}

/// Keeps what happened since a mark as deliveries, and moves the mark. Returns how many. Where nothing happened yet, the mark
/// says so: what comes next is not past.
fn take_up_unheard(
    store: &dyn Store,
    mark: &str,
    repo: &RepoId,
    mut events: Vec<IssueEvent>,
    now: Timestamp,
) -> Stored<usize> {
    let mut told = 0;
    let seen = store.value(mark)?.and_then(|value| value.parse::<u64>().ok());
    let newest = events.iter().map(|event| event.id).chain(seen).max().unwrap_or(0);
    if let Some(seen) = seen {
        events.retain(|event| event.id > seen);
        events.sort_by_key(|event| event.id);
        for mut event in events {
            // One whose delivery came began a task, or met one that was at it.
            let last = store.value(&taken_up_by(repo, event.issue))?;
            let last = last.and_then(|value| serde_json::from_str::<TakenUp>(&value).ok());
            let heard = match last {
                Some(TakenUp { heard: Some(at), .. }) => Some(at),
                Some(last) => store.task(&last.task)?.map(|task| task.view.created_at),
                None => None,
            };
            if heard.is_some_and(|heard| event.at <= heard + SKEW) {
                continue;
            }
            event.payload["repository"] = json!({ "full_name": repo });
            let delivery = Delivery {
                sender: SENDER.to_owned(),
                id: format!("{UNHEARD}{}", event.id),
                event: "issues".to_owned(),
                body: event.payload.to_string().into_bytes(),
            };
            told += usize::from(store.deliver(&delivery, now)?);
        }
    }
    store.set_value(mark, &newest.to_string())?;
    Ok(told)
}

/// Whether a message names a pull request as GitHub's own button does: `Reverts owner/name#12`.
fn names(message: &str, repo: &RepoId, number: u64) -> bool {
    let wanted = format!("everts {repo}#{number}").to_ascii_lowercase();
    let message = message.to_ascii_lowercase();
    message
        .match_indices(&wanted)
        .any(|(at, _)| !message[at + wanted.len()..].starts_with(|next: char| next.is_ascii_digit()))
}
