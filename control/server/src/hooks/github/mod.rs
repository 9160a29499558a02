//! Deliveries of GitHub: who asks for what, whether they may, and what became of pull requests.
//!
//! A delivery is worked on as often as it takes: each of its effects is one that a second time changes nothing. What people
//! wrote is kept as text of a task with its source beside it; it decides nothing here.

mod may;
mod payload;
mod reconcile;

use std::sync::{Arc, Mutex, PoisonError};

use gloaming_api::task::{NewTask, PullRequestOutcome, Source, TEXT_CAP, TaskKind};
use gloaming_api::{Digest, RepoId, TaskId};
use gloaming_forge::host::{CodeHost, HostError, RequestState};
use gloaming_store::{Delivery, Idempotency, Store, StoreError, Stored, Submission, Submitted, TaskRecord};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::publish::{Grants, Say};
use may::Refused;
use payload::{Asked, Somebody};

pub use payload::Called;

/// The sender's name under which deliveries are stored.
pub const SENDER: &str = "github";

/// What the ids of deliveries begin with that nobody sent: they were asked for.
const UNHEARD: &str = "event-";

/// How often a task re-enters for a review or a failed check.
pub const FOLLOW_UPS: u32 = 2;

/// How long whoever asks for work waits where as many tasks wait as may: the code host is not asked who may for each of them
/// again and again meanwhile.
const FULL: SignedDuration = SignedDuration::from_mins(1);

/// What came of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handled {
    /// A new task, or the one that this began before.
    Task(TaskId),
    /// A task goes on with what was said.
    FollowUp(TaskId),
    /// What became of a pull request is noted, or was before.
    Outcome(TaskId, PullRequestOutcome),
    /// Nothing: why, in a few words.
    Nothing(&'static str),
}

/// A delivery could not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It will be tried again.
    #[error("not now: {0}")]
    NotNow(String),
    /// Trying again changes nothing.
    #[error("{0}")]
    InVain(String),
}

impl From<HostError> for HookError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Later { .. } | HostError::Unknown { .. } => Self::NotNow(error.to_string()),
            HostError::NotFound { .. } | HostError::Refused { .. } => Self::InVain(error.to_string()),
        }
    }
}

impl From<StoreError> for HookError {
    fn from(error: StoreError) -> Self {
        Self::NotNow(error.to_string())
    }
}

/// The last task that an issue was taken up by, and the delivery that asked for it.
#[derive(Debug, Serialize, Deserialize)]
struct TakenUp {
    task: TaskId,
    delivery: String,
    /// When a delivery came last that began nothing, since the task was at it or its pull request open.
    #[serde(default)]
    heard: Option<Timestamp>,
}

/// The name under which is kept which task an issue was taken up by last.
fn taken_up_by(repo: &RepoId, issue: u64) -> String {
    format!("github:issue:{}#{issue}", repo.as_str().to_ascii_lowercase())
}

/// Works on GitHub's deliveries.
pub struct Hooks {
    store: Arc<dyn Store>,
    host: Arc<dyn CodeHost>,
    grants: Grants,
    called: Called,
    /// Until when nothing is begun, since as many tasks waited as may.
    full: Mutex<Option<Timestamp>>,
}

/// Where something was asked for.
struct Place<'a> {
    repo: &'a RepoId,
    number: u64,
    delivery: &'a str,
    source: Source,
}

impl Hooks {
    /// Returns one that works for a store, under the policies' `[submit]`, by what a code host is asked for work with.
    pub fn new(store: Arc<dyn Store>, host: Arc<dyn CodeHost>, grants: Grants, called: Called) -> Self {
        Self { store, host, grants, called, full: Mutex::default() }
    }

    /// Works on a stored delivery and notes that. False where it is to be taken again later.
    pub async fn work(&self, delivery: &Delivery, now: Timestamp) -> bool {
        let done = self.handle(delivery, now).await;
        let error = match &done {
            Ok(handled) => {
                tracing::info!(
                    delivery = delivery.id,
                    event = delivery.event,
                    ?handled,
                    "worked on a delivery"
                );
                None
            }
            Err(HookError::NotNow(why)) => {
                tracing::warn!(delivery = delivery.id, event = delivery.event, why, "a delivery waits");
                return false;
            }
            Err(HookError::InVain(why)) => Some(why.clone()),
        };
        let id = delivery.id.clone();
        self.ask(move |store| store.delivered(SENDER, &id, error.as_deref(), now)).await.is_ok()
    }

    /// Works on a delivery.
    ///
    /// # Errors
    /// Whether to try again.
    pub async fn handle(&self, delivery: &Delivery, now: Timestamp) -> Result<Handled, HookError> {
        let me = self.host.me().await?;
        let read = payload::read(&delivery.event, &delivery.body, &self.called, &me)
            .map_err(|error| HookError::InVain(format!("the delivery is not what its kind has: {error}")))?;
        let Some((repo, asked)) = read else { return Ok(Handled::Nothing("it asks for nothing here")) };
        match asked {
            Asked::Work { issue, text, by } => {
                let source = Source::Issue { number: issue };
                let place = Place { repo: &repo, number: issue, delivery: &delivery.id, source };
                self.take_up(place, text, &by, &me, now).await
            }
            Asked::Spoken { number, comment, words, about, on_request, by } => {
                if on_request {
                    let Some(task) = self.task_of_request(&repo, number).await? else {
                        return Ok(Handled::Nothing("a pull request of somebody else"));
                    };
                    let key = format!("comment {comment}");
                    return self.follow_up(&repo, number, task, &key, words, &by, &me, now).await;
                }
                let source = Source::Comment { number, comment };
                let text = if words.is_empty() { about } else { format!("{about}\n\n{words}") };
                let place = Place { repo: &repo, number, delivery: &delivery.id, source };
                self.take_up(place, text, &by, &me, now).await
            }
            Asked::Reviewed { number, task, key, words, by } => {
                self.follow_up(&repo, number, task, &key, words, &by, &me, now).await
            }
            Asked::Failed { task, commit, words } => {
                self.check_failed(&repo, task, &commit, words, now).await
            }
            Asked::Closed { number, task, merged } => {
                let outcome = if merged { PullRequestOutcome::Merged } else { PullRequestOutcome::Closed };
                if self.ours(&repo, &task, Some(number)).await?.is_none() {
                    return Ok(Handled::Nothing("a pull request of no task of ours"));
                }
                self.outcome(task, outcome, now).await
            }
            Asked::Pushed { messages } => self.taken_back(&repo, &messages, now).await,
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Store) -> Stored<T> + Send + 'static,
    ) -> Result<T, HookError> {
        let store = Arc::clone(&self.store);
        let asked = tokio::task::spawn_blocking(move || ask(store.as_ref())).await;
        Ok(asked.map_err(|error| HookError::NotNow(error.to_string()))??)
    }

    /// Begins a task for an issue, unless one is at it. Asking again after its end begins another.
    async fn take_up(
        &self,
        place: Place<'_>,
        text: String,
        by: &Somebody,
        me: &str,
        now: Timestamp,
    ) -> Result<Handled, HookError> {
        let full = || HookError::NotNow("as many tasks wait as may; this waits, too".to_owned());
        // A clock that was set back is not waited for.
        if self.full_until().is_some_and(|until| now < until && until <= now + FULL) {
            return Err(full());
        }
        if !self.may(place.repo, by, me, now).await? {
            return Ok(Handled::Nothing("whoever asks may not write to the repository"));
        }
        if text.is_empty() || text.len() > TEXT_CAP {
            return Ok(Handled::Nothing("there is no text, or too much of it"));
        }
        // A program that labels sweeps; nobody waits for its answer.
        let (who, by_name) = (asker(by), !by.bot);
        if let Err(why) = self.policy_lets(place.repo, &who, now).await? {
            let refused = Refused { repo: place.repo, number: place.number, who: &who, by_name, why: &why };
            self.refuse(refused, None, now).await?;
            return Ok(Handled::Nothing("no policy lets whoever asks"));
        }
        let name = taken_up_by(place.repo, place.number);
        let submission = Submission {
            id: TaskId::generate(),
            new: NewTask {
                repo: place.repo.clone(),
                kind: TaskKind::Change,
                text,
                base: None,
                priority: 0,
                not_before: None,
                supersede: None,
                needs: Vec::new(),
                cost_usd: None,
            },
            source: place.source,
            asker: who,
            by_name,
            idempotency: None,
            effects: Vec::new(),
        };
        let delivery = place.delivery.to_owned();
        let taken = self.ask(move |store| {
            let last: Option<TakenUp> =
                store.value(&name)?.and_then(|value| serde_json::from_str(&value).ok());
            let mut after = "none".to_owned();
            if let Some(last) = last {
                if last.delivery == delivery {
                    return Ok(Some(Handled::Task(last.task)));
                }
                let why = match store.task(&last.task)? {
                    Some(record) if !record.view.state.is_end() => Some("a task is at it already"),
                    Some(record) if has_open_request(&record) => Some("its pull request is open"),
                    _ => None,
                };
                if let Some(why) = why {
                    // Else the same would be found again by whoever asks what no delivery told, after the task's end.
                    if !delivery.starts_with(UNHEARD) {
                        let heard = TakenUp { heard: Some(now), ..last };
                        store.set_value(&name, &serde_json::to_string(&heard).expect("texts serialise"))?;
                    }
                    return Ok(Some(Handled::Nothing(why)));
                }
                after = last.task.to_string();
            }
            // The same for every delivery that comes after the same task: whichever is first is the one.
            let key = format!("{name}:after:{after}");
            let idempotency = Some(Idempotency { scope: SENDER.to_owned(), request: Digest::of(&key), key });
            let task = match store.submit(&Submission { idempotency, ..submission }, now)? {
                Submitted::New(task) | Submitted::Again(task) => task,
                Submitted::Full => return Ok(None),
                Submitted::Conflict => unreachable!("the request is its key"),
            };
            let taken = TakenUp { task: task.clone(), delivery, heard: None };
            store.set_value(&name, &serde_json::to_string(&taken).expect("texts serialise"))?;
            Ok(Some(Handled::Task(task)))
        });
        if let Some(handled) = taken.await? {
            return Ok(handled);
        }
        *self.full.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + FULL);
        Err(full())
    }

    fn full_until(&self) -> Option<Timestamp> {
        *self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the task whose branch a pull request is of. Asked once: a pull request keeps its branch, and what is said on it
    /// may wait for long.
    async fn task_of_request(&self, repo: &RepoId, number: u64) -> Result<Option<TaskId>, HookError> {
        let name = format!("github:request:{}#{number}", repo.as_str().to_ascii_lowercase());
        let known = name.clone();
        if let Some(task) = self.ask(move |store| store.value(&known)).await? {
            return Ok(task.parse().ok());
        }
        let request = self.host.request(repo, number).await?;
        let same =
            request.head_repo.as_ref().is_some_and(|of| of.as_str().eq_ignore_ascii_case(repo.as_str()));
        let task: Option<TaskId> =
            request.head.strip_prefix("gloaming/").and_then(|task| task.parse().ok()).filter(|_| same);
        if let Some(task) = task.clone() {
            self.ask(move |store| store.set_value_of(&task, &name, task.as_str())).await?;
        }
        Ok(task)
    }

    /// Returns a task of ours, where it is of this repository and has this pull request.
    async fn ours(
        &self,
        repo: &RepoId,
        task: &TaskId,
        number: Option<u64>,
    ) -> Result<Option<TaskRecord>, HookError> {
        let wanted = task.clone();
        let record = self.ask(move |store| store.task(&wanted)).await?;
        Ok(record.filter(|record| {
            let request = record.view.pull_request.as_ref();
            record.view.repo.as_str().eq_ignore_ascii_case(repo.as_str())
                && number.is_none_or(|number| request.is_some_and(|request| request.number == number))
        }))
    }

    #[expect(clippy::too_many_arguments, reason = "each is another thing that a delivery says")]
    async fn follow_up(
        &self,
        repo: &RepoId,
        number: u64,
        task: TaskId,
        key: &str,
        words: String,
        by: &Somebody,
        me: &str,
        now: Timestamp,
    ) -> Result<Handled, HookError> {
        if by.bot || by.login.eq_ignore_ascii_case(me) {
            return Ok(Handled::Nothing("a program's remarks are not followed"));
        }
        let Some(record) = self.ours(repo, &task, Some(number)).await? else {
            return Ok(Handled::Nothing("a pull request of no task of ours"));
        };
        let who = asker(by);
        if let Some(told) = stands(&record, &headline(key, &who)) {
            return told;
        }
        if !self.may(repo, by, me, now).await? {
            return Ok(Handled::Nothing("whoever asks may not write to the repository"));
        }
        if let Err(why) = self.policy_lets(repo, &who, now).await? {
            let refused = Refused { repo, number, who: &who, by_name: true, why: &why };
            self.refuse(refused, Some(task), now).await?;
            return Ok(Handled::Nothing("no policy lets whoever asks"));
        }
        let words = match key.strip_prefix("review ").and_then(|id| id.parse().ok()) {
            Some(review) => self.whole_review(repo, number, review).await?,
            None => words,
        };
        let text = format!("{}\n\n{words}", headline(key, &who));
        self.go_on(record, who, text, now).await
    }

    /// Returns what a review says as a whole and on lines: each of its deliveries has a part of it.
    async fn whole_review(&self, repo: &RepoId, number: u64, review: u64) -> Result<String, HookError> {
        let mut said = vec![self.host.review(repo, number, review).await?.body.trim().to_owned()];
        for remark in self.host.line_comments(repo, number).await? {
            if remark.review == Some(review) {
                let line = remark.line.map(|line| format!(", line {line}")).unwrap_or_default();
                said.push(format!("On {}{line}: {}", remark.path, remark.body.trim()));
            }
        }
        said.retain(|part| !part.is_empty());
        Ok(said.join("\n\n"))
    }

    async fn check_failed(
        &self,
        repo: &RepoId,
        task: TaskId,
        commit: &str,
        words: String,
        now: Timestamp,
    ) -> Result<Handled, HookError> {
        let Some(record) = self.ours(repo, &task, None).await? else {
            return Ok(Handled::Nothing("a branch of no task of ours"));
        };
        if record.view.pull_request.as_ref().is_none_or(|request| request.commit != commit) {
            return Ok(Handled::Nothing("not the newest commit"));
        }
        let who = "github:checks".to_owned();
        // All that fail on a commit are one follow-up: of one failure there are several checks, and their suite.
        let headline = headline(&format!("checks on {commit}"), &who);
        if let Some(told) = stands(&record, &headline) {
            return told;
        }
        // A check is nobody: it is for whoever asked for the task, who may have been let by policies that count no more.
        if self.policy_lets(repo, &record.view.asker, now).await?.is_err() {
            return Ok(Handled::Nothing("no policy lets whoever asked for the task"));
        }
        self.go_on(record, who, format!("{headline}\n\n{words}"), now).await
    }

    /// Has a task go on with what was said, where it may.
    async fn go_on(
        &self,
        record: TaskRecord,
        who: String,
        text: String,
        now: Timestamp,
    ) -> Result<Handled, HookError> {
        let view = &record.view;
        if view.text.len() + text.len() > TEXT_CAP {
            return Ok(Handled::Nothing("with this its text would be too long"));
        }
        let too_often = record.follow_ups >= FOLLOW_UPS;
        let task = view.id.clone();
        let open = view.pull_request.as_ref().filter(|request| request.outcome.is_none());
        let say = open.filter(|_| too_often).map(|request| {
            let marker = format!("<!-- gloaming task={task} enough -->");
            let body = format!(
                "This was followed up {FOLLOW_UPS} times, which is as often as it is. What is left is for a person.\n\n{marker}"
            );
            let repo = view.repo.clone();
            Say { repo, number: request.number, body, marker, since: Some(now) }.effect(&task, "enough")
        });
        self.ask(move |store| {
            if let Some(say) = say {
                store.add_effect(Some(&task), &say, now)?;
                return Ok(Handled::Nothing("it was followed up as often as it may be"));
            }
            if store.follow_up(&task, &text, &who, FOLLOW_UPS, now)? != Some(true) {
                return Ok(Handled::Nothing("the task cannot go on"));
            }
            Ok(Handled::FollowUp(task))
        })
        .await
    }

    async fn outcome(
        &self,
        task: TaskId,
        outcome: PullRequestOutcome,
        now: Timestamp,
    ) -> Result<Handled, HookError> {
        let of = task.clone();
        self.ask(move |store| store.outcome(&of, outcome, now)).await?;
        Ok(Handled::Outcome(task, outcome))
    }
}

fn has_open_request(record: &TaskRecord) -> bool {
    record.view.pull_request.as_ref().is_some_and(|request| request.outcome.is_none())
}

fn asker(by: &Somebody) -> String {
    format!("github:{}", by.login)
}

/// The line above what was said, by which it is known to be in a task's text already.
fn headline(key: &str, who: &str) -> String {
    format!("[{key} of {who}]")
}

/// What a delivery that asks for more is answered before anything is asked of the code host or written down: one that waits
/// is looked at again and again, for as long as an attempt takes. None where the task may go on.
fn stands(record: &TaskRecord, headline: &str) -> Option<Result<Handled, HookError>> {
    let view = &record.view;
    if view.text.contains(headline) {
        return Some(Ok(Handled::FollowUp(view.id.clone())));
    }
    let why = "the task is being worked on; this waits for its end";
    (!view.state.is_end()).then(|| Err(HookError::NotNow(why.to_owned())))
}

fn told(state: RequestState) -> Option<PullRequestOutcome> {
    match state {
        RequestState::Open => None,
        RequestState::Merged => Some(PullRequestOutcome::Merged),
        RequestState::Closed => Some(PullRequestOutcome::Closed),
    }
}
