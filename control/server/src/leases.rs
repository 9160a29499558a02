//! The workers' protocol, the same whether it comes over HTTP or from this process.

use std::sync::Arc;
use std::time::Duration;

use gloaming_api::access::TokenView;
use gloaming_api::bowout::{BowOut, BowOutEvidence, Cost, Unblock};
use gloaming_api::journal::PolicyLayerText;
use gloaming_api::problem::ProblemCode;
use gloaming_api::task::{KEY_CAP, TaskKind};
use gloaming_api::worker::{
    AttemptResult, CHUNK_CAP, LONGEST_WAIT, Lease, LeaseKey, LeaseRequest, PROTOCOL, Renewal, Renewed,
    Uploaded, VerifiedChange,
};
use gloaming_api::{Digest, Profile, ReasonCode, RepoId, Stage};
use gloaming_store::{AttemptEnd, Claimant, Claimed, NewEffect, Refused, TaskRecord};
use jiff::Timestamp;
use serde::de::IgnoredAny;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::accept::{Claim, Refusal, verdict_value};
use crate::answer::Fault;
use crate::app::{App, Audited, Phase, overloaded};
use crate::meters;
use crate::publish;
use crate::watched::outcome_of;

/// Labels that a worker may have.
const LABELS: usize = 64;
/// The longest error of an attempt that is kept, bytes.
const ERROR_CAP: usize = 4096;
/// The most dollars, and the most seconds, that an attempt may be said to have taken.
const MOST: f64 = 1e9;

fn lost() -> Fault {
    // The same words whether it never was, is over, or is another's.
    Fault::new(ProblemCode::LeaseLost, "this token holds no such lease; stop the attempt")
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Lost => lost(),
            Refused::Gap(next) => Self::new(ProblemCode::Conflict, format!("line {next} is wanted next")),
            Refused::Ended => {
                Self::new(ProblemCode::Conflict, "the attempt has ended, and with another result")
            }
            Refused::Full => {
                Self::new(ProblemCode::TooLarge, "the attempt has handed over as many bytes as it may")
            }
        }
    }
}

/// Waits for a task that fits a worker.
pub(crate) async fn lease(
    app: &Arc<App>,
    token: &TokenView,
    request: &LeaseRequest,
    audited: &Audited,
) -> Result<Option<Lease>, Fault> {
    check(request)?;
    let waiting = Arc::clone(&app.waiting).try_acquire_owned();
    let _waiting = waiting.map_err(|_| overloaded("too many workers wait"))?;
    let mut labels = request.labels.clone();
    labels.sort_unstable();
    labels.dedup();
    let claimant = Claimant {
        worker: request.worker.clone(),
        token: token.id.clone(),
        labels,
        repos: token.repos.clone(),
    };
    let repos = token.repos.iter().map(|pattern| pattern.as_str().to_owned()).collect();
    let bell = app.bells.worker((repos, claimant.labels.clone()));
    let end = Instant::now() + Duration::from_secs(request.wait_s).min(LONGEST_WAIT);
    loop {
        if let Some(lease) = claim(app, &claimant, audited).await? {
            // There may be another: the next of this kind looks.
            bell.notify_one();
            return Ok(Some(lease));
        }
        tokio::select! {
            () = bell.notified() => {}
            () = tokio::time::sleep_until(end) => return Ok(None),
            () = app.reached(Phase::Draining) => return Ok(None),
        }
    }
}

fn check(request: &LeaseRequest) -> Result<(), Fault> {
    if request.protocol != PROTOCOL {
        let detail = format!(
            "the worker speaks version {} of the protocol, and this control plane {PROTOCOL}; install the same release",
            request.protocol
        );
        return Err(Fault::new(ProblemCode::ProtocolVersion, detail));
    }
    let short =
        |text: &String| !text.is_empty() && text.len() <= KEY_CAP && !text.chars().any(char::is_control);
    if !short(&request.worker) {
        let detail = format!("at `worker`: want 1 to {KEY_CAP} bytes without control characters");
        return Err(Fault::new(ProblemCode::InvalidBody, detail));
    }
    if request.labels.len() > LABELS || !request.labels.iter().all(short) {
        let detail = format!("at `labels`: want at most {LABELS} of 1 to {KEY_CAP} bytes");
        return Err(Fault::new(ProblemCode::InvalidBody, detail));
    }
    Ok(())
}

/// Claims a task that is due now. A worker that went away meanwhile holds nothing: what was claimed for it is given back.
async fn claim(app: &Arc<App>, claimant: &Claimant, audited: &Audited) -> Result<Option<Lease>, Fault> {
    let (tell, told) = oneshot::channel();
    let (claimant, audited) = (claimant.clone(), audited.clone());
    app.ask(move |app, now| {
        let claimed = claim_now(app, &claimant, &audited, now);
        let Err(Ok(Some(lease))) = tell.send(claimed) else { return };
        let key = LeaseKey { task: lease.task, attempt: lease.attempt };
        if let Err(error) = app.store.release(&key, &claimant.token, now) {
            tracing::warn!(%error, task = %key.task, "a lease for a worker that went away runs out by itself");
        }
    })
    .await?;
    told.await.map_err(|error| Fault::internal("claim a task", &error))?
}

fn claim_now(
    app: &App,
    claimant: &Claimant,
    audited: &Audited,
    now: Timestamp,
) -> Result<Option<Lease>, Fault> {
    // By itself, so that what ran out is told of and counted.
    app.store.sweep(now)?;
    while let Some(claimed) = app.store.claim(claimant, app.settings.lease, now)? {
        let task = &claimed.task;
        let granted = match app.policies.granted(&task.repo) {
            Ok(granted) => granted,
            Err(why) => {
                // It may have been taken out since the task was asked for. Nobody works without a policy.
                let error = format!("no policy lets this be worked on: {why}");
                let end = AttemptEnd::Failed { error, cost: Cost::default() };
                let record = app.store.task(&task.id)?;
                let effects = record.map(|record| publish::of_end(&record, claimed.lease.attempt, &end));
                let effects = effects.unwrap_or_default();
                let _ = app.store.finish(&claimed.lease, &claimant.token, &end, &effects, now)?;
                continue;
            }
        };
        let record = app.store.task(&task.id)?.ok_or_else(lost)?;
        if let Some(end) = spent(&record, &claimed.lease) {
            let effects = publish::of_end(&record, claimed.lease.attempt, &end);
            let _ = app.store.finish(&claimed.lease, &claimant.token, &end, &effects, now)?;
            continue;
        }
        let detail = format!(
            "attempt {} to {:?}, grant {}",
            claimed.lease.attempt,
            claimant.worker,
            granted.grant.digest()
        );
        let written = app.allowed(audited, claimed.lease.task.as_str(), &detail, now);
        let lease = match written.and_then(|()| handed(app, &claimed, &record, &granted.layers, now)) {
            Ok(lease) => lease,
            Err(fault) => {
                // Nobody is told of the lease. Where that fails, too, it runs out by itself.
                let _ = app.store.release(&claimed.lease, &claimant.token, now)?;
                return Err(fault);
            }
        };
        let first = claimed.lease.attempt.0 == 1;
        let since = task.not_before.map_or(task.created_at, |start| start.max(task.created_at));
        meters::leased(first.then(|| Duration::try_from(now.duration_since(since)).unwrap_or_default()));
        return Ok(Some(lease));
    }
    Ok(None)
}

/// Returns what is left of the most that a task may cost, US dollars; none where nothing was said. What its attempts took
/// before is gone.
fn left(record: &TaskRecord) -> Option<f64> {
    record.new.cost_usd.map(|usd| (usd - record.view.cost.usd).max(0.0))
}

/// Returns the end of a task that has spent all that it may. One that may spend nothing has not: there is work that costs
/// nothing.
fn spent(record: &TaskRecord, lease: &LeaseKey) -> Option<AttemptEnd> {
    let (most, took) = (record.new.cost_usd?, record.view.cost.usd);
    if took <= 0.0 || took < most {
        return None;
    }
    let why = format!("the task may cost {most} US dollars, and its attempts took {took:.4}");
    Some(AttemptEnd::BowedOut(Box::new(BowOut {
        schema_version: 1,
        task_id: lease.task.clone(),
        attempt: lease.attempt,
        stage: Stage::Triage,
        reason_code: ReasonCode::BudgetExhausted,
        evidence: vec![BowOutEvidence::note("system", &why)],
        summary: why,
        attempted: Vec::new(),
        what_would_unblock: vec![Unblock::by_hand(
            "ask again with more to spend",
            "the most that a task may cost is `cost_usd` (`gloaming task submit --cost`)",
        )],
        questions: Vec::new(),
        confidence: None,
        threshold: None,
        cost: Cost::default(),
        retryable: false,
    })))
}

fn handed(
    app: &App,
    claimed: &Claimed,
    record: &TaskRecord,
    layers: &[PolicyLayerText],
    now: Timestamp,
) -> Result<Lease, Fault> {
    let task = &claimed.task;
    let mut policy = layers.to_vec();
    if let Some(usd) = left(record) {
        let text = format!("schema = 1\n\n[budget]\ncost_usd = {usd:?}\n");
        policy.push(PolicyLayerText { layer: "task".to_owned(), file: "task".to_owned(), text });
    }
    let onto =
        (record.follow_ups > 0).then(|| task.pull_request.as_ref().map(|request| request.branch.clone()));
    Ok(Lease {
        task: task.id.clone(),
        attempt: claimed.lease.attempt,
        expires_s: u64::try_from(claimed.expires_at.duration_since(now).as_secs()).unwrap_or(0),
        repo: task.repo.clone(),
        clone: clone_url(app, &claimed.lease, &task.repo),
        text: task.text.clone(),
        base: task.base.clone(),
        kind: task.kind,
        onto: onto.flatten(),
        asker: task.asker.clone(),
        policy,
    })
}

fn clone_url(app: &App, lease: &LeaseKey, repo: &RepoId) -> String {
    match (&app.settings.clone, &app.settings.reads) {
        (Some(pattern), _) => pattern.replace("{repo}", repo.as_str()),
        (None, Some(_)) => format!("/v1/leases/{}/{}/git", lease.task, lease.attempt),
        (None, None) => format!("https://github.com/{repo}.git"),
    }
}

/// Checks what a worker says that an attempt took: what is below nothing would give back what others spent,
/// and numbers near the greatest that there are make sums that are none.
fn check_cost(cost: &Cost) -> Result<(), Fault> {
    let sound = |value: f64| (0.0..=MOST).contains(&value);
    if sound(cost.usd) && sound(cost.wall_s) {
        return Ok(());
    }
    Err(Fault::new(ProblemCode::InvalidBody, "at `cost`: want US dollars and seconds from 0 to 1000000000"))
}

/// Keeps a lease.
pub(crate) fn renew(
    app: &App,
    key: &LeaseKey,
    token: &str,
    renewal: &Renewal,
    now: Timestamp,
) -> Result<Renewed, Fault> {
    check_cost(&renewal.cost)?;
    let mut renewal = renewal.clone();
    cut(&mut renewal.doing, KEY_CAP);
    let renewed = app.store.renew(key, token, &renewal, app.settings.lease, now)?;
    if renewed.is_err() {
        meters::renew_refused();
    }
    Ok(renewed?)
}

fn cut(text: &mut String, cap: usize) {
    if text.len() > cap {
        text.truncate(text.floor_char_boundary(cap));
    }
}

/// Takes lines of an attempt's journal. Lines that are missing before them are no error: the answer says which is wanted.
pub(crate) fn events(
    app: &App,
    key: &LeaseKey,
    token: &str,
    from: u64,
    text: &[u8],
    now: Timestamp,
) -> Result<Uploaded, Fault> {
    let wrong = |detail: String| Fault::new(ProblemCode::InvalidBody, detail);
    if text.len() > CHUNK_CAP {
        return Err(Fault::new(
            ProblemCode::TooLarge,
            format!("more than {CHUNK_CAP} bytes of lines at once"),
        ));
    }
    let text =
        std::str::from_utf8(text).map_err(|error| wrong(format!("the lines are not UTF-8: {error}")))?;
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        serde_json::from_str::<IgnoredAny>(line)
            .map_err(|error| wrong(format!("line {} is not JSON: {error}", at + 1)))?;
    }
    match app.store.append(key, token, from, &lines, now)? {
        Ok(next) | Err(Refused::Gap(next)) => Ok(Uploaded { next }),
        Err(refused) => Err(refused.into()),
    }
}

/// Takes an artifact, whose digest is computed here.
pub(crate) fn artifact(
    app: &App,
    key: &LeaseKey,
    token: &str,
    digest: &Digest,
    content: &[u8],
    now: Timestamp,
) -> Result<(), Fault> {
    let found = Digest::of(content);
    if found != *digest {
        return Err(Fault::new(
            ProblemCode::InvalidBody,
            format!("the body's digest is {found}, not the path's"),
        ));
    }
    Ok(app.store.put_artifact(key, token, digest, content, now)??)
}

/// The name under which it is kept that an attempt handed a profile over.
fn profiled_value(key: &LeaseKey) -> String {
    format!("profiled:{}:{}", key.task, key.attempt)
}

/// Takes what an attempt found to be known of its repository. What is known is of the default branch: of an attempt that began
/// elsewhere nothing is kept. Where the same files were proved before, what they tell by themselves is no news.
pub(crate) fn profile(
    app: &App,
    key: &LeaseKey,
    token: &str,
    profile: &Profile,
    now: Timestamp,
) -> Result<(), Fault> {
    let held = app.store.holds(key, token, now)?.then(|| app.store.task(&key.task)).transpose()?.flatten();
    let task = held.ok_or_else(lost)?;
    if profile.schema_version != 1 {
        let detail = format!("at `schema_version`: {} is not known here; want 1", profile.schema_version);
        return Err(Fault::new(ProblemCode::InvalidBody, detail));
    }
    app.store.set_value_of(&key.task, &profiled_value(key), "")?;
    if task.view.base.is_some() || task.follow_ups > 0 {
        return Ok(());
    }
    let content = Digest::of_json(profile);
    if let Some((known, value)) = app.store.profile(&task.view.repo)? {
        let before = serde_json::from_value::<Profile>(value).ok();
        let proved =
            before.is_some_and(|before| before.mined_from == profile.mined_from && before.is_proved());
        if known == content || proved && !profile.is_proved() {
            return Ok(());
        }
    }
    let value = serde_json::to_value(profile).map_err(|error| Fault::internal("write a profile", &error))?;
    Ok(app.store.put_profile(&task.view.repo, &content, &value, now)?)
}

/// Ends an attempt. A change that is said to be verified is judged again, and what is refused of it ends as a failed attempt.
pub(crate) fn result(
    app: &App,
    key: &LeaseKey,
    token: &str,
    result: &AttemptResult,
    audited: &Audited,
    now: Timestamp,
) -> Result<(), Fault> {
    check_cost(match result {
        AttemptResult::Verified(change) => &change.cost,
        AttemptResult::BowedOut { bow_out } => &bow_out.cost,
        AttemptResult::Onboarded { cost }
        | AttemptResult::Failed { cost, .. }
        | AttemptResult::Cancelled { cost } => cost,
    })?;
    let refused = match result {
        AttemptResult::Verified(_) | AttemptResult::Onboarded { .. } => not_asked(app, key, result)?,
        _ => None,
    };
    let (end, effects) = match (refused, result) {
        (Some(end), _) => (end, Vec::new()),
        (None, AttemptResult::Verified(change)) => judged(app, key, token, change, now)?,
        (None, AttemptResult::BowedOut { bow_out }) => (AttemptEnd::BowedOut(bow_out.clone()), Vec::new()),
        (None, AttemptResult::Onboarded { cost }) => (AttemptEnd::Onboarded { cost: *cost }, Vec::new()),
        (None, AttemptResult::Failed { error, cost }) => {
            let mut error = error.clone();
            cut(&mut error, ERROR_CAP);
            (AttemptEnd::Failed { error, cost: *cost }, Vec::new())
        }
        (None, AttemptResult::Cancelled { cost }) => (AttemptEnd::Cancelled { cost: *cost }, Vec::new()),
    };
    let effects = match (&end, app.store.task(&key.task)?) {
        (AttemptEnd::Verified(_), _) | (_, None) => effects,
        // Whoever asked is told why there is nothing. Of failures only the last is told: the store alone knows which that is, and
        // writes what follows from it then.
        (_, Some(task)) => publish::of_end(&task, key.attempt, &end),
    };
    if app.store.holds(key, token, now)? {
        let (outcome, _) = outcome_of(&end);
        app.allowed(audited, key.task.as_str(), &format!("attempt {}: {outcome}", key.attempt), now)?;
    }
    app.store.finish(key, token, &end, &effects, now)??;
    Ok(())
}

/// Returns the end of an attempt that says it did what was not asked for, or that hands over nothing of what was.
fn not_asked(app: &App, key: &LeaseKey, result: &AttemptResult) -> Result<Option<AttemptEnd>, Fault> {
    let task = app.store.task(&key.task)?.ok_or_else(lost)?;
    let (error, cost) = match (result, task.view.kind) {
        (AttemptResult::Verified(change), TaskKind::Onboard) => {
            ("a change was handed over, and none was asked for", change.cost)
        }
        (AttemptResult::Onboarded { cost }, TaskKind::Change) => {
            ("a change was asked for, and only a profile was handed over", *cost)
        }
        (AttemptResult::Onboarded { cost }, TaskKind::Onboard)
            if app.store.value(&profiled_value(key))?.is_none() =>
        {
            ("it was said to be onboarded, and no profile was handed over", *cost)
        }
        _ => return Ok(None),
    };
    tracing::warn!(task = %key.task, attempt = %key.attempt, error, "an attempt's result is not taken");
    Ok(Some(AttemptEnd::Failed { error: error.to_owned(), cost }))
}

fn judged(
    app: &App,
    key: &LeaseKey,
    token: &str,
    change: &VerifiedChange,
    now: Timestamp,
) -> Result<(AttemptEnd, Vec<NewEffect>), Fault> {
    let task = app.store.task(&key.task)?.ok_or_else(lost)?;
    let held = app.store.holds(key, token, now)?;
    let uploaded = |place: &str, digest: &Digest| {
        app.store.artifact(&key.task, digest)?.ok_or_else(|| {
            // Without the lease nothing is told of what there is.
            if !held {
                return lost();
            }
            Fault::new(
                ProblemCode::Conflict,
                format!("at `{place}`: {digest} was not uploaded; upload it and send this again"),
            )
        })
    };
    let evidence = uploaded("evidence", &change.evidence)?;
    let patch = uploaded("patch", &change.patch)?;
    for blob in &change.blobs {
        if let Some(content) = &blob.content {
            uploaded("blobs", content)?;
        }
    }
    let claim = Claim { lease: key, task: &task, change, evidence: &evidence, patch: &patch };
    let judged = app.acceptor.accept(&claim);
    // What is told again, or by whoever lost the lease, counts for nothing.
    if held {
        meters::judged(if judged.is_ok() { "pass" } else { "refused" });
    }
    let accepted = match judged {
        Ok(accepted) => accepted,
        Err(Refusal::BowOut(bow_out)) => {
            tracing::warn!(task = %key.task, attempt = %key.attempt, why = bow_out.summary, "a verified change is refused");
            return Ok((AttemptEnd::BowedOut(bow_out), Vec::new()));
        }
        Err(Refusal::Failed(why)) => {
            tracing::warn!(task = %key.task, attempt = %key.attempt, why, "a verified change cannot be judged");
            let error = format!("the control plane does not take the change: {why}");
            return Ok((AttemptEnd::Failed { error, cost: change.cost }, Vec::new()));
        }
    };
    if held {
        let verdict = serde_json::to_vec(&accepted.verdict)
            .map_err(|error| Fault::internal("write a verdict", &error))?;
        // Not the evidence's seal: whether the files make its tree is the code host's to say, when it is published.
        let digest = Digest::of(&verdict);
        app.store.keep_artifact(&key.task, &digest, &verdict)?;
        app.store.set_value_of(&key.task, &verdict_value(&key.task, key.attempt), digest.as_str())?;
    }
    Ok((AttemptEnd::Verified(Box::new(change.clone())), accepted.effects))
}

/// Gives a lease back.
pub(crate) fn release(
    app: &App,
    key: &LeaseKey,
    token: &str,
    audited: &Audited,
    now: Timestamp,
) -> Result<(), Fault> {
    if !app.store.holds(key, token, now)? {
        return Err(lost());
    }
    app.allowed(audited, key.task.as_str(), &format!("attempt {}", key.attempt), now)?;
    app.store.release(key, token, now)??;
    Ok(())
}
