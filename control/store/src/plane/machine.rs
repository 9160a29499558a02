//! The state machine of a task: what each call makes of it. Functions of values; no IO, no clock.

use std::collections::BTreeSet;
use std::time::Duration;

use gloaming_api::access::RepoPattern;
use gloaming_api::bowout::{BowOut, Cost, Stage, shorten};
use gloaming_api::task::{
    NewTask, PullRequest, PullRequestOutcome, Source, TaskEventKind, TaskKind, TaskState, TaskView,
};
use gloaming_api::worker::{LeaseKey, Renewal, VerifiedChange};
use gloaming_api::{Attempt, Digest, RepoId, TaskId};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AttemptEnd, Claimant, Figure, Limits, Refused, Share, Submission, TaskRecord};

/// The longest wait after a failed attempt.
const LONGEST_BACKOFF: Duration = Duration::from_secs(24 * 60 * 60);

/// How long what a process had sent when it died may still be under way: for so long nobody else does the same effect.
pub(super) const UNDER_WAY: Duration = Duration::from_secs(10);

/// What a task of a repository of weight 1 adds to the repository's pass.
const STRIDE: i64 = 1_000_000;

/// How many changes of stage are told of one attempt, and how long a line of what its worker says may be, characters: a
/// worker is not trusted to be brief.
const STAGES_TOLD: u32 = 200;
const LINE: usize = 280;
const ERROR: usize = 2_000;

/// The most dollars, and seconds, that are counted of a task: sums stay numbers that JSON has, whatever a worker says.
const MOST: f64 = 1e9;

/// What was asked for: written once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) id: TaskId,
    pub(super) new: NewTask,
    pub(super) source: Source,
    pub(super) asker: String,
    pub(super) by_name: bool,
    pub(super) created_at: Timestamp,
}

/// Who has a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) token: String,
    pub(super) worker: String,
    pub(super) expires_at: Timestamp,
}

/// Where a task stands: what changes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) state: TaskState,
    pub(super) attempt: u32,
    pub(super) failures: u32,
    pub(super) losses: u32,
    pub(super) follow_ups: u32,
    /// What is shown: what was asked for, or when it goes on after a failure.
    pub(super) not_before: Option<Timestamp>,
    /// Since when it may be begun, or from when on; of a task that waits.
    pub(super) ready_at: Option<Timestamp>,
    pub(super) updated_at: Timestamp,
    /// Who asked for its end.
    pub(super) cancel: Option<String>,
    pub(super) superseded_by: Option<TaskId>,
    pub(super) held: Option<Held>,
    pub(super) stage: Option<Stage>,
    pub(super) stages_told: u32,
    pub(super) doing: Option<String>,
    /// What the attempts took that have ended, and what the running one took so far.
    pub(super) cost: Cost,
    pub(super) cost_now: Cost,
    /// What the running one's journal says that it took, as far as that was handed over: a worker that dies tells nothing more.
    #[serde(default)]
    pub(super) cost_told: Cost,
    pub(super) pull_request: Option<PullRequest>,
    pub(super) bow_out: Option<Box<BowOut>>,
    pub(super) failure: Option<String>,
    pub(super) grant: Option<Digest>,
    pub(super) change: Option<VerifiedChange>,
}

/// A task, with the events that the call in hand made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Task {
    pub(super) asked: Asked,
    pub(super) text: String,
    pub(super) now: Standing,
    pub(super) told: Vec<TaskEventKind>,
}

/// An attempt as it is kept: whose it was, how far its journal goes, and how it ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Try {
    pub(super) attempt: u32,
    pub(super) token: String,
    pub(super) worker: String,
    /// The journal's line that is wanted next.
    pub(super) next: u64,
    /// Bytes of journal and artifacts.
    pub(super) bytes: u64,
    /// Digest of the end its worker told, and the state that the task came to by it.
    pub(super) end: Option<(Digest, TaskState)>,
}

impl Try {
    /// Whether an upload of so many bytes still fits.
    pub(super) fn takes(&self, bytes: usize, limits: &Limits) -> bool {
        self.bytes.saturating_add(bytes as u64) <= limits.bytes
    }

    /// What an end is answered that comes under no lease: the first answer where it is the same end of the same attempt.
    pub(super) fn ended(&self, token: &str, end: &Digest) -> Result<TaskState, Refused> {
        match &self.end {
            _ if self.token != token => Err(Refused::Lost),
            None => Err(Refused::Lost),
            Some((before, state)) if before == end => Ok(*state),
            Some(_) => Err(Refused::Ended),
        }
    }
}

/// A time as it is kept: to the microsecond.
pub(super) fn kept(at: Timestamp) -> Timestamp {
    // The last second that there is has no parts in the library's count of microseconds.
    Timestamp::from_microsecond(at.as_microsecond()).or(Timestamp::from_second(at.as_second())).unwrap_or(at)
}

/// A time so much later.
pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    kept(at.checked_add(by).unwrap_or(Timestamp::MAX))
}

/// A repository's name as it is compared: without regard to case, as code hosts do. Else whoever spells it in two ways has
/// two shares.
pub(super) fn repo_key(repo: &RepoId) -> String {
    repo.as_str().to_ascii_lowercase()
}

/// What a repository is given by what was set, and where nothing was.
pub(super) fn share_of(shares: &[(RepoPattern, Share)], repo: &RepoId, limits: &Limits) -> Share {
    let named = shares.iter().filter(|(pattern, _)| pattern.matches(repo));
    let usual = Share { weight: Share::WEIGHT, running: limits.running };
    named.min_by_key(|(pattern, _)| pattern.breadth()).map_or(usual, |(_, share)| *share)
}

/// What a repository's pass grows by with each task that is handed out.
pub(super) fn stride(share: Share) -> i64 {
    STRIDE / i64::from(share.weight.clamp(1, 1_000))
}

/// Names the workers that compete for the same tasks: those with the same labels and repositories.
///
/// The pass that a task was handed out at last is kept for each such kind, and a repository's pass counts as no less: so
/// it saves nothing up while it has nothing for them. One number for all workers would be driven ahead by a worker that
/// serves a single repository, and would make equals of all others; the least of all passes would be held back by a task
/// that no worker fits.
pub(super) fn kind(claimant: &Claimant) -> Digest {
    let labels: BTreeSet<&str> = claimant.labels.iter().map(String::as_str).collect();
    let repos: BTreeSet<String> =
        claimant.repos.iter().map(|pattern| pattern.as_str().to_ascii_lowercase()).collect();
    Digest::of_json(&(labels, repos))
}

/// The end of a task of the same repository and key.
pub(super) fn is_superseded(new: &NewTask, other: &Asked, state: TaskState) -> bool {
    !state.is_end()
        && new.supersede.is_some()
        && new.supersede == other.new.supersede
        && repo_key(&new.repo) == repo_key(&other.new.repo)
}

impl Standing {
    /// What the running attempt took, as far as it is known: by its worker's word, or by its journal where that says more.
    fn taken(&self) -> Cost {
        let (now, told) = (self.cost_now, self.cost_told);
        Cost { usd: now.usd.max(told.usd), calls: now.calls.max(told.calls), ..now }
    }

    /// What came of the task of a repository that was asked for at a time.
    pub(super) fn figure(&self, repo: RepoId, kind: TaskKind, created_at: Timestamp) -> Figure {
        Figure {
            repo,
            kind,
            created_at,
            updated_at: self.updated_at,
            state: self.state,
            pull_request: self.pull_request.as_ref().map(|request| request.outcome),
            reason: self.bow_out.as_ref().map(|bow_out| bow_out.reason_code),
            cost: sum(self.cost, self.taken()),
        }
    }
}

impl Task {
    pub(super) fn new(submission: &Submission, now: Timestamp) -> Self {
        let not_before = submission.new.not_before.map(kept);
        let asked = Asked {
            id: submission.id.clone(),
            new: submission.new.clone(),
            source: submission.source.clone(),
            asker: submission.asker.clone(),
            by_name: submission.by_name,
            created_at: now,
        };
        let standing = Standing {
            state: TaskState::Queued,
            attempt: 0,
            failures: 0,
            losses: 0,
            follow_ups: 0,
            not_before,
            ready_at: Some(not_before.map_or(now, |at| at.max(now))),
            updated_at: now,
            cancel: None,
            superseded_by: None,
            held: None,
            stage: None,
            stages_told: 0,
            doing: None,
            cost: Cost::default(),
            cost_now: Cost::default(),
            cost_told: Cost::default(),
            pull_request: None,
            bow_out: None,
            failure: None,
            grant: None,
            change: None,
        };
        let told = vec![TaskEventKind::Submitted { asker: asked.asker.clone() }];
        Self { text: asked.new.text.clone(), asked, now: standing, told }
    }

    /// Whether a worker may be handed it.
    pub(super) fn fits(&self, claimant: &Claimant) -> bool {
        self.asked.new.needs.iter().all(|label| claimant.labels.contains(label))
            && claimant.repos.iter().any(|pattern| pattern.matches(&self.asked.new.repo))
    }

    /// The labels that it needs, as one name: a JSON array of them in order, each once.
    pub(super) fn needs(&self) -> String {
        let needs: BTreeSet<&String> = self.asked.new.needs.iter().collect();
        serde_json::to_string(&needs).expect("text always serialises")
    }

    /// Whether it waits, and may be begun.
    pub(super) fn is_ready(&self, now: Timestamp) -> bool {
        self.now.state == TaskState::Queued && self.now.ready_at.is_some_and(|at| at <= now)
    }

    /// Whether a lease is this task's, a token's, and not over.
    pub(super) fn is_held(&self, lease: &LeaseKey, token: &str, now: Timestamp) -> bool {
        self.now.attempt == lease.attempt.0
            && self.now.held.as_ref().is_some_and(|held| held.token == token && now < held.expires_at)
    }

    /// Whether its lease has run out.
    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        self.now.held.as_ref().is_some_and(|held| held.expires_at <= now)
    }

    pub(super) fn begin(&mut self, claimant: &Claimant, lease: Duration, now: Timestamp) -> Try {
        let (token, worker) = (claimant.token.clone(), claimant.worker.clone());
        self.now.state = TaskState::Running;
        self.now.attempt += 1;
        self.now.ready_at = None;
        self.now.stage = None;
        self.now.stages_told = 0;
        self.now.doing = None;
        self.now.grant = None;
        self.now.held =
            Some(Held { token: token.clone(), worker: worker.clone(), expires_at: later(now, lease) });
        self.now.updated_at = now;
        self.told.push(TaskEventKind::Leased { attempt: self.attempt(), worker: worker.clone() });
        Try { attempt: self.now.attempt, token, worker, next: 0, bytes: 0, end: None }
    }

    pub(super) fn renew(&mut self, renewal: &Renewal, hold: Duration, now: Timestamp) {
        if let Some(held) = &mut self.now.held {
            held.expires_at = later(now, hold);
        }
        if let Some(stage) = renewal.stage.filter(|stage| self.now.stage != Some(*stage)) {
            self.now.stage = Some(stage);
            self.now.stages_told += 1;
            if self.now.stages_told <= STAGES_TOLD {
                self.told.push(TaskEventKind::Progress {
                    attempt: self.attempt(),
                    stage,
                    detail: shorten(&renewal.doing, LINE),
                });
            }
        }
        self.now.doing = Some(shorten(&renewal.doing, LINE)).filter(|doing| !doing.is_empty());
        self.now.cost_now = renewal.cost;
        if let Some(grant) = &renewal.grant {
            self.now.grant = Some(grant.clone());
        }
        self.now.updated_at = now;
    }

    /// Takes note of what lines of the journal say that the attempt took. Returns whether they say anything of it.
    pub(super) fn hear(&mut self, lines: &[&str]) -> bool {
        let calls = self.now.cost_told.calls;
        for usd in lines.iter().filter_map(|line| paid(line)) {
            self.now.cost_told.usd = (self.now.cost_told.usd + usd).min(MOST);
            self.now.cost_told.calls = self.now.cost_told.calls.saturating_add(1);
        }
        self.now.cost_told.calls != calls
    }

    /// Lets a lease that ran out hold on.
    pub(super) fn hold_on(&mut self, hold: Duration, now: Timestamp) {
        if let Some(held) = &mut self.now.held {
            held.expires_at = later(now, hold);
        }
    }

    /// Takes a lease back that ran out. Returns what its attempt took, as far as that is known.
    pub(super) fn lose(&mut self, limits: &Limits, now: Timestamp) -> Cost {
        let worker = self.now.held.as_ref().map(|held| held.worker.clone()).unwrap_or_default();
        let took = self.now.taken();
        self.let_go(took);
        self.now.losses += 1;
        self.told.push(TaskEventKind::LeaseExpired { attempt: self.attempt() });
        if self.now.cancel.is_some() {
            self.stop(now);
        } else if self.now.losses >= limits.losses {
            let failure = format!(
                "its worker was lost {} times, {worker} the last of them; retry it by name once it is known why",
                self.now.losses
            );
            self.fail(TaskState::Quarantined, failure, now);
        } else {
            self.wait(now, now);
        }
        took
    }

    /// Gives the lease back. Returns what its attempt took, as far as that is known.
    pub(super) fn release(&mut self, now: Timestamp) -> Cost {
        let took = self.now.taken();
        self.let_go(took);
        self.told.push(TaskEventKind::Released { attempt: self.attempt() });
        if self.now.cancel.is_some() {
            self.stop(now);
        } else {
            self.wait(now, now);
        }
        took
    }

    /// Ends the running attempt. Returns whether the task came to where this end leads.
    pub(super) fn finish(&mut self, end: &AttemptEnd, limits: &Limits, now: Timestamp) -> bool {
        self.let_go(match end {
            AttemptEnd::Verified(change) => change.cost,
            AttemptEnd::BowedOut(bow_out) => bow_out.cost,
            AttemptEnd::Onboarded { cost }
            | AttemptEnd::Failed { cost, .. }
            | AttemptEnd::Cancelled { cost } => *cost,
        });
        if self.now.cancel.is_some() {
            self.stop(now);
            return matches!(end, AttemptEnd::Cancelled { .. });
        }
        match end {
            AttemptEnd::Verified(change) => {
                self.now.state = TaskState::Publishing;
                self.now.change = Some((**change).clone());
                self.now.updated_at = now;
                self.told.push(TaskEventKind::Verified { attempt: self.attempt() });
                true
            }
            AttemptEnd::BowedOut(bow_out) => {
                self.bow_out(bow_out, now);
                true
            }
            AttemptEnd::Onboarded { .. } => {
                self.now.failure = None;
                self.end(TaskState::Onboarded, "its profile is kept".to_owned(), now);
                true
            }
            AttemptEnd::Failed { error, .. } => self.count_failure(error, limits, now),
            AttemptEnd::Cancelled { .. } => {
                self.count_failure("its worker stopped it, and nobody had asked for that", limits, now);
                false
            }
        }
    }

    /// Puts it back into the queue for a while, or ends it where that was its last try. Returns whether it ended.
    fn count_failure(&mut self, error: &str, limits: &Limits, now: Timestamp) -> bool {
        let error = shorten(error, ERROR);
        self.now.failures += 1;
        self.told.push(TaskEventKind::AttemptFailed { attempt: self.attempt(), error: error.clone() });
        if self.now.failures >= limits.failures {
            self.fail(TaskState::Failed, error, now);
            return true;
        }
        let doubled = 1u32.checked_shl(self.now.failures - 1).unwrap_or(u32::MAX);
        let backoff = limits.backoff.saturating_mul(doubled).min(LONGEST_BACKOFF);
        self.now.failure = Some(error);
        self.now.not_before = Some(later(now, backoff));
        self.wait(later(now, backoff), now);
        false
    }

    pub(super) fn supersede(&mut self, by: &TaskId, now: Timestamp) {
        self.now.superseded_by = Some(by.clone());
        self.ask_for_end(by.as_str(), now);
    }

    /// Asks for its end. Returns whether it ended by that.
    pub(super) fn ask_for_end(&mut self, by: &str, now: Timestamp) -> bool {
        if self.now.state.is_end() {
            return false;
        }
        let first = self.now.cancel.is_none();
        if first {
            self.now.cancel = Some(by.to_owned());
            self.now.updated_at = now;
        }
        if self.now.state == TaskState::Queued {
            self.stop(now);
            return true;
        }
        if first {
            self.told.push(TaskEventKind::CancelAsked { by: by.to_owned() });
        }
        false
    }

    pub(super) fn retry(&mut self, by: &str, now: Timestamp) -> Result<(), TaskState> {
        if !self.now.state.is_end() || matches!(self.now.state, TaskState::Published | TaskState::Superseded)
        {
            return Err(self.now.state);
        }
        self.go_on(by, now);
        Ok(())
    }

    /// Lets it re-enter. Returns whether it does.
    pub(super) fn follow_up(&mut self, text: &str, by: &str, most: u32, now: Timestamp) -> bool {
        let open = self.now.pull_request.as_ref().is_some_and(|request| request.outcome.is_none());
        // Also where the one before came to nothing: whoever reviews may say more.
        let ended = matches!(self.now.state, TaskState::Published | TaskState::BowedOut | TaskState::Failed);
        if !ended || !open || self.now.follow_ups >= most {
            return false;
        }
        self.now.follow_ups += 1;
        self.text.push_str("\n\n");
        self.text.push_str(text);
        self.go_on(by, now);
        true
    }

    fn go_on(&mut self, by: &str, now: Timestamp) {
        self.now.failures = 0;
        self.now.losses = 0;
        self.now.cancel = None;
        self.now.superseded_by = None;
        self.now.bow_out = None;
        self.now.failure = None;
        self.now.not_before = None;
        self.told.push(TaskEventKind::Retried { by: by.to_owned() });
        self.wait(now, now);
    }

    pub(super) fn published(&mut self, request: &PullRequest, now: Timestamp) -> bool {
        if self.now.state != TaskState::Publishing {
            return false;
        }
        let before = self.now.pull_request.as_ref().filter(|before| before.number == request.number);
        let outcome = request.outcome.or(before.and_then(|before| before.outcome));
        self.now.pull_request = Some(PullRequest { outcome, ..request.clone() });
        self.now.failure = None;
        self.end(TaskState::Published, request.url.clone(), now);
        true
    }

    /// Ends what was being published. `None` where it was not; else whether it came to where this end leads.
    pub(super) fn unpublished(&mut self, end: &AttemptEnd, now: Timestamp) -> Option<bool> {
        if self.now.state != TaskState::Publishing
            || matches!(end, AttemptEnd::Verified(_) | AttemptEnd::Onboarded { .. })
        {
            return None;
        }
        if self.now.cancel.is_some() {
            self.stop(now);
            return Some(matches!(end, AttemptEnd::Cancelled { .. }));
        }
        match end {
            AttemptEnd::BowedOut(bow_out) => self.bow_out(bow_out, now),
            AttemptEnd::Failed { error, .. } => self.fail(TaskState::Failed, shorten(error, ERROR), now),
            AttemptEnd::Cancelled { .. } | AttemptEnd::Verified(_) | AttemptEnd::Onboarded { .. } => {
                self.stop(now);
            }
        }
        Some(true)
    }

    /// Goes back to be published where that failed; `last` is the attempt that it failed of. Returns whether it does.
    pub(super) fn publish_again(&mut self, last: &Try, by: &str, now: Timestamp) -> bool {
        let verified = matches!(last.end, Some((_, TaskState::Publishing)));
        if self.now.state != TaskState::Failed || self.now.attempt != last.attempt || !verified {
            return false;
        }
        self.now.failure = None;
        self.now.state = TaskState::Publishing;
        self.now.updated_at = now;
        self.told.push(TaskEventKind::Retried { by: by.to_owned() });
        true
    }

    pub(super) fn outcome(&mut self, outcome: PullRequestOutcome, now: Timestamp) -> bool {
        use PullRequestOutcome::{Closed, Merged, Reverted};
        let Some(request) = &mut self.now.pull_request else { return false };
        let follows = match (request.outcome, outcome) {
            (None, _) | (Some(Closed), Merged | Reverted) | (Some(Merged), Reverted) => true,
            (Some(Closed), Closed) | (Some(Merged), Merged | Closed) | (Some(Reverted), _) => false,
        };
        if follows {
            request.outcome = Some(outcome);
            self.now.updated_at = now;
            self.told.push(TaskEventKind::Outcome { outcome });
        }
        follows
    }

    pub(super) fn view(&self) -> TaskView {
        let now = &self.now;
        TaskView {
            id: self.asked.id.clone(),
            repo: self.asked.new.repo.clone(),
            kind: self.asked.new.kind,
            text: self.text.clone(),
            base: self.asked.new.base.clone(),
            source: self.asked.source.clone(),
            asker: self.asked.asker.clone(),
            state: now.state,
            attempt: self.attempt(),
            priority: self.asked.new.priority,
            not_before: now.not_before,
            created_at: self.asked.created_at,
            updated_at: now.updated_at,
            cancelling: now.cancel.is_some() && !now.state.is_end(),
            stage: now.stage,
            doing: now.doing.clone(),
            cost: sum(now.cost, now.taken()),
            pull_request: now.pull_request.clone(),
            bow_out: now.bow_out.clone(),
            failure: now.failure.clone(),
            superseded_by: now.superseded_by.clone(),
            grant: now.grant.clone(),
        }
    }

    pub(super) fn figure(&self) -> Figure {
        self.now.figure(self.asked.new.repo.clone(), self.asked.new.kind, self.asked.created_at)
    }

    pub(super) fn record(&self) -> TaskRecord {
        TaskRecord {
            view: self.view(),
            by_name: self.asked.by_name,
            new: self.asked.new.clone(),
            change: self.now.change.clone(),
            follow_ups: self.now.follow_ups,
        }
    }

    fn attempt(&self) -> Attempt {
        Attempt(self.now.attempt)
    }

    /// Nobody has it any more; what the attempt took is known.
    fn let_go(&mut self, took: Cost) {
        self.now.held = None;
        self.now.cost = sum(self.now.cost, took);
        self.now.cost_now = Cost::default();
        self.now.cost_told = Cost::default();
        self.now.doing = None;
    }

    fn wait(&mut self, ready_at: Timestamp, now: Timestamp) {
        self.now.state = TaskState::Queued;
        self.now.ready_at = Some(ready_at);
        self.now.stage = None;
        self.now.updated_at = now;
    }

    fn stop(&mut self, now: Timestamp) {
        let by = self.now.cancel.as_deref().unwrap_or("its publisher");
        let (state, detail) = match &self.now.superseded_by {
            Some(task) => (TaskState::Superseded, format!("{task} took its place")),
            None => (TaskState::Cancelled, format!("stopped by {by}")),
        };
        self.end(state, detail, now);
    }

    fn bow_out(&mut self, bow_out: &BowOut, now: Timestamp) {
        self.now.bow_out = Some(Box::new(bow_out.clone()));
        self.now.failure = None;
        self.end(TaskState::BowedOut, shorten(&bow_out.summary, LINE), now);
    }

    fn fail(&mut self, state: TaskState, failure: String, now: Timestamp) {
        self.now.failure = Some(failure.clone());
        self.end(state, failure, now);
    }

    fn end(&mut self, state: TaskState, detail: String, now: Timestamp) {
        self.now.state = state;
        self.now.ready_at = None;
        self.now.updated_at = now;
        self.told.push(TaskEventKind::Ended { state, detail });
    }
}

/// What a line of a journal says that a model was paid, US dollars. What says less than nothing says nothing.
fn paid(line: &str) -> Option<f64> {
    #[derive(Deserialize)]
    #[serde(tag = "event", content = "data", rename_all = "snake_case")]
    enum Said {
        ModelCall { cost_usd: f64 },
    }
    if !line.contains("\"model_call\"") {
        return None;
    }
    let Said::ModelCall { cost_usd } = serde_json::from_str(line).ok()?;
    (cost_usd.is_finite() && cost_usd >= 0.0).then_some(cost_usd)
}

fn sum(a: Cost, b: Cost) -> Cost {
    Cost {
        usd: (a.usd + b.usd).min(MOST),
        calls: a.calls.saturating_add(b.calls),
        tokens: a.tokens.saturating_add(b.tokens),
        tool_bytes: a.tool_bytes.saturating_add(b.tool_bytes),
        wall_s: (a.wall_s + b.wall_s).min(MOST),
    }
}
