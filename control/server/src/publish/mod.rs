//! From a worker's result to a pull request: judged here, published here.
//!
//! The worker sends base, changed files, evidence and journal, and holds no key of the code host. [`Publisher`] judges;
//! [`Executor`] does what was then written down: it checks base and tree on the code host, seals the evidence and publishes.
//! Each of its steps looks before it makes, so that one that was killed
//! between any two of them, or was not told what became of one, goes on without making anything twice.

mod effects;
mod judge;
mod stages;

use std::sync::Arc;

use gloaming_api::bowout::{Cost, shorten};
use gloaming_api::evidence::{Evidence, Verdict};
use gloaming_api::task::{PullRequest, PullRequestOutcome, Source, TaskState, TaskView};
use gloaming_api::worker::{LeaseKey, VerifiedChange};
use gloaming_api::{Digest, ReasonCode, RepoId, TaskId};
use gloaming_forge::host::{
    Check, CodeHost, HostError, NewRequest, Request, RequestState, TreeChange, blob_id,
};
use gloaming_forge::{Change, commit_message, pull_request_body, pull_request_body_in};
use gloaming_gate::Gate;
use gloaming_gate::envelope::{self, SigningKey};
use gloaming_policies::Grant;
use gloaming_store::{AttemptEnd, Effect, EffectEnd, Store, StoreError, Stored, TaskRecord};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::accept::{Accepted, Acceptor, Claim, Refusal, envelope_value};

pub use effects::{CHECK, Mark, Publish, Say, of_end};
pub use judge::{Rejection, judge};
pub(crate) use stages::of_event;
use stages::{Said, Stands};

/// Where a repository's template of pull requests may lie, by GitHub's documentation.
const TEMPLATES: [&str; 4] = [
    ".github/pull_request_template.md",
    ".github/PULL_REQUEST_TEMPLATE.md",
    "PULL_REQUEST_TEMPLATE.md",
    "pull_request_template.md",
];

/// How often something that the code host refuses is tried: whoever runs it may be about to give the App a permission.
const REFUSALS: u32 = 8;

/// How often something whose end is not known is tried: for about half a day.
const TRIES: u32 = 60;

/// By how much the clocks of the code host and of this machine may differ.
const CLOCKS: SignedDuration = SignedDuration::from_mins(10);

/// Returns the operator's policy for a repository, compiled.
pub type Grants = Arc<dyn Fn(&RepoId) -> Result<Grant, String> + Send + Sync>;

/// Judges what can be judged without the code host.
pub struct Publisher {
    gate: Gate,
    grants: Grants,
}

impl Publisher {
    /// Returns one that judges by a gate and an operator's policies.
    pub fn new(gate: Gate, grants: Grants) -> Self {
        Self { gate, grants }
    }
}

impl Acceptor for Publisher {
    fn accept(&self, claim: &Claim<'_>) -> Result<Accepted, Refusal> {
        let grant = (self.grants)(&claim.task.view.repo).map_err(Refusal::Failed)?;
        let verdict = judge(claim, &self.gate, &grant).map_err(|rejection| {
            Refusal::BowOut(Box::new(rejection.bow_out(claim.lease, claim.change.cost)))
        })?;
        let effects = vec![Publish { attempt: claim.lease.attempt }.effect(&claim.lease.task)];
        Ok(Accepted { verdict, effects })
    }
}

/// Why an effect is not done yet.
enum Stop {
    Host(HostError),
    Store(StoreError),
    /// It will not be.
    Never(String),
}

impl From<HostError> for Stop {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Does what was written down to be done to a code host: effects of the kinds `publish`, `comment` and `check`.
pub struct Executor {
    store: Arc<dyn Store>,
    host: Arc<dyn CodeHost>,
    gate: Gate,
    key: SigningKey,
}

/// What is to be published, with what was computed of it.
struct Ready {
    record: TaskRecord,
    change: VerifiedChange,
    evidence: Evidence,
    verdict: Verdict,
}

impl Ready {
    fn words(&self) -> Change<'_> {
        let view = &self.record.view;
        Change {
            task: &view.id,
            attempt: view.attempt,
            text: &view.text,
            summary: &self.change.description,
            evidence: &self.evidence,
            evidence_digest: &self.change.evidence,
            verdict: &self.verdict,
        }
    }
}

impl Executor {
    /// The kinds of effects that it does.
    pub const KINDS: [&str; 3] = ["publish", "comment", "check"];

    /// Returns one that works for a store on a code host, judges by a gate what it publishes, and seals it with a key.
    pub fn new(store: Arc<dyn Store>, host: Arc<dyn CodeHost>, gate: Gate, key: SigningKey) -> Self {
        Self { store, host, gate, key }
    }

    /// Does an effect, or as much of it as can be done now.
    pub async fn run(&self, effect: &Effect, now: Timestamp) -> EffectEnd {
        let done = match effect.what.kind.as_str() {
            "publish" => self.publish(effect, now).await,
            "comment" => self.say(effect).await,
            "check" => self.mark(effect).await,
            other => Err(Stop::Never(format!("{other:?} is no kind of effect that is done here"))),
        };
        match done {
            Ok(value) => EffectEnd::Done(value),
            Err(stop) => self.stopped(effect, stop, now).await,
        }
    }

    /// Returns when to go on, or gives up: then the task that waits to be published ends as failed.
    async fn stopped(&self, effect: &Effect, stop: Stop, now: Timestamp) -> EffectEnd {
        // Ten seconds, doubled each time, at most a quarter of an hour. What may have been done is looked for sooner.
        let doubled = |first: i64| SignedDuration::from_secs((first << effect.tries.min(9)).min(900));
        let (pause, soon) = (doubled(10), doubled(2));
        let (again, error) = match stop {
            Stop::Host(HostError::Later { at, asked, why }) => (Some(at), format!("{asked}: {why}")),
            Stop::Host(error @ HostError::Unknown { .. }) => {
                ((effect.tries < TRIES).then_some(now + soon), error.to_string())
            }
            Stop::Host(error) => ((effect.tries < REFUSALS).then_some(now + pause), error.to_string()),
            Stop::Store(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                (Some(now + pause), format!("{error}: {cause}"))
            }
            Stop::Never(why) => (None, why),
        };
        if let Some(at) = again {
            return EffectEnd::Later { at: at.max(now), error };
        }
        if let (Some(task), "publish") = (effect.task.clone(), effect.what.kind.as_str()) {
            let end =
                AttemptEnd::Failed { error: format!("could not publish: {error}"), cost: Cost::default() };
            if let Err(Stop::Store(source)) = self.unpublished(task, end, now).await {
                return EffectEnd::Later { at: now + pause, error: source.to_string() };
            }
        }
        EffectEnd::Dead { error }
    }

    /// Asks the store where it may block.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Store) -> Stored<T> + Send + 'static,
    ) -> Result<T, Stop> {
        let store = Arc::clone(&self.store);
        let asked = tokio::task::spawn_blocking(move || ask(store.as_ref())).await;
        Ok(asked.map_err(|error| {
            Stop::Store(StoreError { doing: "finish what was asked".into(), source: error.into() })
        })??)
    }

    async fn record(&self, task: TaskId) -> Result<Option<TaskRecord>, Stop> {
        self.ask(move |store| store.task(&task)).await
    }

    /// Ends a task that was being published without a pull request, and has it said where it was asked for.
    async fn unpublished(&self, task: TaskId, end: AttemptEnd, now: Timestamp) -> Result<(), Stop> {
        self.ask(move |store| {
            let Some(record) = store.task(&task)? else { return Ok(()) };
            let effects = effects::of_end(&record, record.view.attempt, &end);
            store.unpublished(&task, &end, &effects, now)?;
            Ok(())
        })
        .await
    }

    async fn artifact(&self, task: &TaskId, digest: &Digest) -> Result<Vec<u8>, Stop> {
        let (task, wanted) = (task.clone(), digest.clone());
        let found = self.ask(move |store| store.artifact(&task, &wanted)).await?;
        found.ok_or_else(|| Stop::Never(format!("the artifact {digest} is gone")))
    }

    async fn publish(&self, effect: &Effect, now: Timestamp) -> Result<Value, Stop> {
        let payload: Publish = payload(effect)?;
        let task = effect.task.clone().ok_or_else(|| Stop::Never("it names no task".to_owned()))?;
        let Some(record) = self.record(task.clone()).await? else {
            return Ok(json!({"skipped": "the task is forgotten"}));
        };
        let view = &record.view;
        if view.state != TaskState::Publishing || view.attempt != payload.attempt {
            return Ok(json!({"skipped": "the task is not at this any more"}));
        }
        if view.cancelling {
            return self.cancelled(record, now).await;
        }
        let ready = self.ready(record).await?;
        let done = match self.write(&ready).await? {
            Ok(commit) => self.request(&ready, &commit).await?.map(|request| (commit, request)),
            Err(end) => Err(end),
        };
        match done {
            Ok((commit, request)) => self.note(&ready, commit, request, now).await,
            Err((reason, why)) => {
                let rejection = Rejection { reason, why: why.clone(), verdict: None };
                let lease = LeaseKey { task: task.clone(), attempt: payload.attempt };
                let mut bow_out = rejection.bow_out(&lease, Cost::default());
                bow_out.retryable = reason != ReasonCode::VerificationFailed;
                self.unpublished(task, AttemptEnd::BowedOut(Box::new(bow_out)), now).await?;
                Ok(json!({"bowed_out": why}))
            }
        }
    }

    /// Ends a task that is to be stopped. A pull request that an earlier run opened, and was not told of, is noted in its place: what
    /// is open is the task's.
    async fn cancelled(&self, record: TaskRecord, now: Timestamp) -> Result<Value, Stop> {
        let task = record.view.id.clone();
        // Nothing was made before it was sealed.
        if self.is_sealed(&record.view).await? {
            let ready = self.ready(record).await?;
            let (repo, branch) = (&ready.record.view.repo, task.branch());
            if let Some(commit) =
                self.written(&ready, self.host.branch(repo, &branch).await?.as_deref()).await?
                && let Some(found) = self.host.find_request(repo, &branch).await?
                && found.state == RequestState::Open
            {
                self.describe(&ready, &found).await?;
                return self.note(&ready, commit, found, now).await;
            }
        }
        self.unpublished(task, AttemptEnd::Cancelled { cost: Cost::default() }, now).await?;
        Ok(json!({"skipped": "the task was cancelled"}))
    }

    /// Computes again what is published.
    async fn ready(&self, record: TaskRecord) -> Result<Ready, Stop> {
        let change = record.change.clone().ok_or_else(|| Stop::Never("the task has no change".to_owned()))?;
        let bytes = self.artifact(&record.view.id, &change.evidence).await?;
        let evidence = judge::read(&bytes).map_err(|rejection| Stop::Never(rejection.why))?;
        let verdict = self.gate.judge(&evidence);
        if verdict.verdict != gloaming_api::evidence::VerdictKind::Pass {
            return Err(Stop::Never(format!("the gate does not pass it any more: {}", verdict.summary)));
        }
        Ok(Ready { record, change, evidence, verdict })
    }

    /// Makes the commit and has the branch there; finds both where they are. The inner error is why there cannot be one.
    async fn write(&self, ready: &Ready) -> Result<Result<String, (ReasonCode, String)>, Stop> {
        let Ready { record, change, .. } = ready;
        let (view, host) = (&record.view, &self.host);
        let repo = &view.repo;
        let branch = view.id.branch();
        let stands_at = host.branch(repo, &branch).await?;
        if let Some(written) = self.written(ready, stands_at.as_deref()).await? {
            return Ok(Ok(written));
        }
        let moved = |why: String| Ok(Err((ReasonCode::DuplicateOrFixed, why)));
        match (&stands_at, &view.pull_request) {
            (Some(at), None) if !self.is_ours(&view.id, at).await? => {
                return moved(format!("there is a branch {branch} already, at {at}; remove it and retry"));
            }
            // Also where an attempt before made the branch and no pull request: nobody was shown it.
            (_, None) => {
                let from = match &view.base {
                    Some(base) => base.clone(),
                    None => host.repository(repo).await?.default_branch,
                };
                if !host.contains(repo, &from, &change.base).await? {
                    let why = format!(
                        "{} is no commit of {from}: what it stands on was reviewed by nobody",
                        change.base
                    );
                    return Ok(Err((ReasonCode::VerificationFailed, why)));
                }
            }
            (Some(at), Some(request)) if *at == change.base => {
                if host.request(repo, request.number).await?.state != RequestState::Open {
                    return moved(format!("{} was closed or merged while it was worked on", request.url));
                }
            }
            (Some(at), Some(_)) => {
                let base = &change.base;
                return moved(format!(
                    "{branch} has moved on to {at}, and what was verified stands on {base}"
                ));
            }
            (None, Some(_)) => return moved(format!("{branch} is gone, and its pull request with it")),
        }
        let tree = self.tree(ready).await?;
        if tree != change.tree {
            let why =
                format!("the changed files make the tree {tree}, and the evidence is about {}", change.tree);
            return Ok(Err((ReasonCode::VerificationFailed, why)));
        }
        self.seal(ready).await?;
        let message = commit_message(&ready.words());
        let commit = host.create_commit(repo, &message, &tree, &change.base).await?;
        // Before there is a branch at it: one that stands elsewhere is somebody else's. A branch that is to be moved may stay
        // where it is, should this be cut short.
        let made = match (&stands_at, &view.pull_request) {
            (Some(at), None) => format!("{at} {commit}"),
            _ => commit.clone(),
        };
        let (id, name) = (view.id.clone(), made_value(&view.id));
        self.ask(move |store| store.set_value_of(&id, &name, &made)).await?;
        match (stands_at, &view.pull_request) {
            (None, _) => host.create_branch(repo, &branch, &commit).await?,
            (Some(_), Some(_)) => host.forward_branch(repo, &branch, &commit).await?,
            (Some(_), None) => host.replace_branch(repo, &branch, &commit).await?,
        }
        Ok(Ok(commit))
    }

    /// Returns the commit that an earlier run made of the change, where the branch stands at it.
    async fn written(&self, ready: &Ready, stands_at: Option<&str>) -> Result<Option<String>, Stop> {
        let Ready { record, change, .. } = ready;
        let Some(at) = stands_at else { return Ok(None) };
        // Nothing of this attempt's is there before its evidence is sealed; what looks like it then is not ours.
        if !self.is_sealed(&record.view).await? {
            return Ok(None);
        }
        let commit = self.host.commit(&record.view.repo, at).await?;
        let evidence = format!("\nGloaming-Evidence: {}", change.evidence);
        let same = commit.tree == change.tree
            && commit.parents == [change.base.clone()]
            && commit.message.contains(&evidence);
        Ok(same.then_some(commit.sha))
    }

    /// Whether a task's branch stands where this control plane put it last. What a commit says of itself anybody can write.
    async fn is_ours(&self, task: &TaskId, at: &str) -> Result<bool, Stop> {
        let name = made_value(task);
        let made = self.ask(move |store| store.value(&name)).await?;
        Ok(made.is_some_and(|made| made.split(' ').any(|commit| commit == at)))
    }

    async fn is_sealed(&self, task: &TaskView) -> Result<bool, Stop> {
        let name = envelope_value(&task.id, task.attempt);
        Ok(self.ask(move |store| store.value(&name)).await?.is_some())
    }

    /// Seals the evidence of a change whose base and tree were found to be what it says, and shows it from then on. Once: what
    /// was sealed stays as it is.
    async fn seal(&self, ready: &Ready) -> Result<(), Stop> {
        let task = &ready.record.view;
        if self.is_sealed(task).await? {
            return Ok(());
        }
        let (gate, key) = (&self.gate, &self.key);
        let sealed = envelope::seal(&ready.evidence, &ready.verdict, &gate.weights, gate.costs, key)
            .map_err(|error| Stop::Never(format!("the evidence could not be sealed: {error}")))?;
        let (id, name) = (task.id.clone(), envelope_value(&task.id, task.attempt));
        self.ask(move |store| {
            let digest = Digest::of(&sealed);
            if store.keep_artifact(&id, &digest, &sealed)? {
                store.set_value_of(&id, &name, digest.as_str())?;
            }
            Ok(())
        })
        .await
    }

    /// Hands the changed files over. Returns the tree that they make of the base's.
    async fn tree(&self, ready: &Ready) -> Result<String, Stop> {
        let Ready { record, change, .. } = ready;
        let repo = &record.view.repo;
        let mut changes = Vec::with_capacity(change.blobs.len());
        for blob in &change.blobs {
            let made = match &blob.content {
                None => None,
                Some(digest) => {
                    let content = self.artifact(&record.view.id, digest).await?;
                    let made = self.host.create_blob(repo, &content).await?;
                    if made.len() == 40 && made != blob_id(&content) {
                        return Err(Stop::Never(format!(
                            "the code host made another content of {}",
                            blob.path
                        )));
                    }
                    Some(made)
                }
            };
            changes.push(TreeChange { path: blob.path.clone(), mode: blob.mode.clone(), blob: made });
        }
        let base = self.host.commit(repo, &change.base).await?;
        Ok(self.host.create_tree(repo, &base.tree, &changes).await?)
    }

    /// Has the pull request there. The inner error is why there cannot be one.
    async fn request(
        &self,
        ready: &Ready,
        commit: &str,
    ) -> Result<Result<Request, (ReasonCode, String)>, Stop> {
        let Ready { record, .. } = ready;
        let (view, host) = (&record.view, &self.host);
        let repo = &view.repo;
        let branch = view.id.branch();
        match host.find_request(repo, &branch).await? {
            Some(found) if found.state == RequestState::Open => {
                self.describe(ready, &found).await?;
                return Ok(Ok(found));
            }
            Some(found) if view.pull_request.is_some() => {
                let why = format!("{} was closed or merged before {commit} was on it", found.url);
                return Ok(Err((ReasonCode::DuplicateOrFixed, why)));
            }
            // Somebody closed it before it was noted here.
            Some(found) => return Ok(Ok(found)),
            None => {}
        }
        let default = host.repository(repo).await?.default_branch;
        let base = match &view.base {
            Some(named) if host.branch(repo, named).await?.is_some() => named.clone(),
            _ => default,
        };
        let title = commit_message(&ready.words()).lines().next().unwrap_or_default().to_owned();
        let new = NewRequest { title, body: self.body(ready).await?, head: branch, base };
        Ok(Ok(host.create_request(repo, &new).await?))
    }

    /// Has an open pull request say what is so of its newest commit.
    async fn describe(&self, ready: &Ready, found: &Request) -> Result<(), Stop> {
        let body = self.body(ready).await?;
        if found.body != body {
            self.host.edit_request(&ready.record.view.repo, found.number, &body).await?;
        }
        Ok(())
    }

    async fn body(&self, ready: &Ready) -> Result<String, Stop> {
        let view = &ready.record.view;
        let mut template = None;
        for path in TEMPLATES {
            template = self.host.file(&view.repo, &ready.change.base, path).await?;
            if template.is_some() {
                break;
            }
        }
        let words = ready.words();
        let body = match template.and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(template) => pull_request_body_in(&template, &words),
            None => pull_request_body(&words),
        };
        Ok(match &view.source {
            Source::Issue { number } => format!("Fixes #{number}\n\n{body}"),
            Source::Comment { number, .. } => format!("Asked for in #{number}\n\n{body}"),
            Source::Api | Source::Chat { .. } | Source::Schedule { .. } => body,
        })
    }

    async fn note(
        &self,
        ready: &Ready,
        commit: String,
        request: Request,
        now: Timestamp,
    ) -> Result<Value, Stop> {
        let record = &ready.record;
        let outcome = match request.state {
            RequestState::Open => None,
            RequestState::Merged => Some(PullRequestOutcome::Merged),
            RequestState::Closed => Some(PullRequestOutcome::Closed),
        };
        let effects = effects::of_request(record, &commit, &ready.verdict, &ready.evidence);
        let noted =
            PullRequest { number: request.number, url: request.url, branch: request.head, commit, outcome };
        let value = json!({"pull_request": noted.number, "url": noted.url, "commit": noted.commit});
        let task = record.view.id.clone();
        self.ask(move |store| store.published(&task, &noted, &effects, now)).await?;
        Ok(value)
    }

    /// Writes a comment, or finds it; one of our own alone counts.
    async fn say(&self, effect: &Effect) -> Result<Value, Stop> {
        let Say { repo, number, body, marker, since } = payload(effect)?;
        let me = self.host.me().await?;
        // Of a long talk not all is told: what was said before this could have been is none of it.
        let since = since.map(|since| since.checked_sub(CLOCKS).unwrap_or(Timestamp::MIN));
        let said = self.host.comments(&repo, number, since).await?;
        let ours = said.iter().find(|one| one.author.login == me && one.body.contains(&marker));
        let id = match ours {
            None => self.host.create_comment(&repo, number, &body).await?,
            Some(found) => {
                // A code host may keep line ends of its own kind.
                if found.body.replace("\r\n", "\n").trim_end() != body.trim_end() {
                    self.host.edit_comment(&repo, found.id, &body).await?;
                }
                found.id
            }
        };
        Ok(json!({"comment": id}))
    }

    /// Sets a check, or what it says.
    async fn mark(&self, effect: &Effect) -> Result<Value, Stop> {
        if !self.host.writes_checks() {
            return Ok(json!({"skipped": "the code host takes checks of Apps alone, and this is a token"}));
        }
        let Mark { repo, commit, mut check } = match payload(effect)? {
            Shown::Mark(mark) => mark,
            Shown::Stands(stands) => return self.stand(effect, stands).await,
        };
        check.title = shorten(&check.title, 200);
        let reference = match commit {
            Some(commit) => commit,
            None => self.host.repository(&repo).await?.default_branch,
        };
        let commit = self.host.commit(&repo, &reference).await?.sha;
        let id = self.set_check(&repo, &commit, &check).await?;
        Ok(json!({"check": id, "commit": commit}))
    }

    async fn set_check(&self, repo: &RepoId, commit: &str, check: &Check) -> Result<u64, HostError> {
        match self.host.find_check(repo, commit, &check.name, &check.key).await? {
            Some(id) => self.host.edit_check(repo, id, check).await.map(|()| id),
            None => self.host.create_check(repo, commit, check).await,
        }
    }

    /// Has a check say where a task stands.
    async fn stand(&self, effect: &Effect, stands: Stands) -> Result<Value, Stop> {
        let Some(Said { record, check }) = self.ask(move |store| stands.look(store)).await? else {
            return Ok(json!({"skipped": "something else is to be said by now"}));
        };
        let view = &record.view;
        let Some(request) = &view.pull_request else { return Ok(Value::Null) };
        match self.set_check(&view.repo, &request.commit, &check).await {
            Ok(id) => Ok(json!({"check": id, "commit": request.commit})),
            // What follows is said anew, and does not wait for this any longer.
            Err(error @ (HostError::NotFound { .. } | HostError::Refused { .. }))
                if stages::is_passing(&check) =>
            {
                Ok(json!({"skipped": error.to_string()}))
            }
            Err(error @ HostError::Unknown { .. })
                if stages::is_passing(&check) && effect.tries >= stages::TRIES =>
            {
                Ok(json!({"skipped": error.to_string()}))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What effects of the kind `check` ask for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Shown {
    Mark(Mark),
    Stands(Stands),
}

/// The name under which the store keeps the last commit that was made for a task's branch; behind the one that the branch stood
/// at before, where it was to be moved from there.
fn made_value(task: &TaskId) -> String {
    format!("made:{task}")
}

/// Takes up an effect that was given up. Where that was publishing a change, and the task failed of it, the task is published again;
/// one that has gone on since is not. False where there is no such effect. Blocks.
///
/// # Errors
/// The store failed.
pub fn revive(store: &dyn Store, id: i64, by: &str, now: Timestamp) -> Stored<bool> {
    let Some(effect) = store.dead_effect(id)? else { return Ok(false) };
    if let (Some(task), "publish") = (&effect.task, effect.what.kind.as_str())
        && let Ok(Publish { attempt }) = serde_json::from_value(effect.what.payload.clone())
        && store.publish_again(task, attempt, id, by, now)?
    {
        return Ok(true);
    }
    store.revive_effect(id, now)
}

fn payload<T: serde::de::DeserializeOwned>(effect: &Effect) -> Result<T, Stop> {
    serde_json::from_value(effect.what.payload.clone())
        .map_err(|error| Stop::Never(format!("its payload is not what its kind has: {error}")))
}
