//! The code host that pull requests are made on, where one is configured, and who judges what is to be published there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gloaming_api::bowout::{BowOut, BowOutEvidence, Unblock};
use gloaming_api::{ReasonCode, RepoId, Stage, TaskId};
use gloaming_forge::github::{GitHub, Identity, Settings};
use gloaming_forge::host::CodeHost;
use gloaming_gate::Gate;
use gloaming_server::hooks::github::{Called, Hooks};
use gloaming_server::publish::{Executor, Grants, Publisher};
use gloaming_server::{Accepted, Acceptor, Claim, Refusal};
use gloaming_store::{AttemptEnd, Effect, EffectEnd, NewEffect, Store, StoreError};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::config::{self, Config};
use super::outside::Workers;
use crate::cli::{PolicyChoice, WeightsOf};
use crate::context::{self, Home};
use crate::failure::Failure;

/// GitHub's own API.
const GITHUB: &str = "https://api.github.com";

/// How often the outbox is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often it is asked after what was missed.
const ROUND: Duration = Duration::from_secs(300);

/// For how long an effect that was taken is nobody else's.
const HOLD: Duration = Duration::from_secs(300);

/// When a delivery is worked on again that could not be. They are worked on one after the other: nobody takes one meanwhile.
const DELIVERY: Duration = Duration::from_secs(20);

/// How many effects are taken at once.
const AT_ONCE: u32 = 16;

/// When an effect is tried again that this process could not do.
const AGAIN: Duration = Duration::from_secs(60);

/// The kind of effect by which a change ends that no code host takes.
const NO_HOST: &str = "no_host";

/// The kind of effect that shows something on a commit.
const CHECK_KIND: &str = "check";

/// What depends on the code host.
pub(crate) struct Parts {
    /// Judges what is to be published.
    pub(crate) acceptor: Arc<dyn Acceptor>,
    /// What deliveries are signed with.
    pub(crate) webhook_secret: Option<SecretString>,
    /// The host, and what it is asked for work by.
    pub(crate) host: Option<(Arc<dyn CodeHost>, Called)>,
    /// What it is called.
    pub(crate) name: Option<String>,
    /// What patches are judged by.
    pub(crate) gate: Gate,
}

/// Opens the code host of the configuration.
pub(crate) fn open(home: &Home, config: &Config, policies: Option<PathBuf>) -> anyhow::Result<Parts> {
    let gate = Gate { weights: WeightsOf::Patches.in_use(home)?, ..Gate::default() };
    let grants: Grants = Arc::new(move |repo: &RepoId| {
        let choice = PolicyChoice { policy: policies.clone(), name: Some(repo.clone()), sent: Vec::new() };
        match context::resolve_policy(&choice, repo, None) {
            Ok(Ok(resolved)) => Ok(resolved.grant),
            Ok(Err(faults)) => Err(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
            Err(error) => Err(crate::failure::in_one_line(&error)),
        }
    });
    let publisher = Publisher::new(gate.clone(), crate::keys::signing_key(home)?, grants);
    let Some(github) = &config.github else {
        let acceptor = Arc::new(NoHost(publisher));
        return Ok(Parts { acceptor, webhook_secret: None, host: None, name: None, gate });
    };
    let api = github.api.clone().unwrap_or_else(|| GITHUB.to_owned());
    let (identity, whose) = match (github.app, &github.key_file, &github.token_file) {
        (Some(id), Some(key), _) => {
            (Identity::App { id, key: config::secret(key, "the App's key")? }, format!("the App {id}"))
        }
        (_, _, Some(token)) => {
            (Identity::Token(config::secret(token, "the token of the code host")?), "a token".to_owned())
        }
        _ => unreachable!("the configuration was checked"),
    };
    let webhook_secret = github
        .webhook_secret_file
        .as_deref()
        .map(|path| config::secret(path, "the secret of webhooks"))
        .transpose()?;
    let host = GitHub::new(Settings { api: api.clone(), identity }, Arc::new(context::now))
        .map_err(|error| Failure::usage(format!("[github]: {error}")))?;
    let mut called = Called::default();
    called.label = github.label.clone().unwrap_or(called.label);
    called.name = github.name.clone().unwrap_or(called.name);
    let deliveries = if webhook_secret.is_some() { "" } else { ", no webhooks: name `webhook_secret_file`" };
    Ok(Parts {
        acceptor: Arc::new(publisher),
        webhook_secret,
        host: Some((Arc::new(host), called)),
        name: Some(format!("{api}, as {whose}{deliveries}")),
        gate,
    })
}

/// Judges as ever; what passes ends without a pull request, since there is nowhere to make one.
struct NoHost(Publisher);

impl Acceptor for NoHost {
    fn accept(&self, claim: &Claim<'_>) -> Result<Accepted, Refusal> {
        let accepted = self.0.accept(claim)?;
        let key = format!("{NO_HOST}/{}/{}", claim.lease.task, claim.lease.attempt);
        let effects = vec![NewEffect { key, kind: NO_HOST.to_owned(), payload: json!({}) }];
        Ok(Accepted { effects, ..accepted })
    }
}

fn end_without_host(store: &dyn Store, task: &TaskId) -> Result<EffectEnd, StoreError> {
    let Some(record) = store.task(task)? else { return Ok(EffectEnd::Done(Value::Null)) };
    let bow_out = BowOut {
        schema_version: 1,
        task_id: task.clone(),
        attempt: record.view.attempt,
        stage: Stage::Publish,
        reason_code: ReasonCode::NeedsCredentials,
        summary: "the change passes, and no code host is configured on which a pull request could be made"
            .to_owned(),
        evidence: vec![BowOutEvidence::note(
            "system",
            "[github] is not in the control plane's configuration",
        )],
        attempted: Vec::new(),
        what_would_unblock: vec![
            Unblock::by_hand("take the patch", format!("gloaming task get {task} patch | git apply --index")),
            Unblock::by_hand(
                "configure a code host",
                "name an App or a token under [github] (docs/github.md), and retry the task",
            ),
        ],
        questions: Vec::new(),
        confidence: None,
        threshold: None,
        cost: record.change.map_or(record.view.cost, |change| change.cost),
        retryable: true,
    };
    store.unpublished(task, &AttemptEnd::BowedOut(Box::new(bow_out)), &[], context::now())?;
    Ok(EffectEnd::Done(Value::Null))
}

/// Works on deliveries, does what is to be done to the outside as it comes due, and asks after what was missed, until it is
/// told to stop. What was begun is ended first.
pub(crate) async fn work_off(
    store: Arc<dyn Store>,
    host: Option<(Arc<dyn CodeHost>, Called)>,
    grants: Grants,
    gate: Gate,
    outside: Workers,
    stop: CancellationToken,
) {
    let (executor, hooks) = match host {
        Some((host, called)) => (
            Some(Executor::new(store.clone(), host.clone(), gate)),
            Some(Hooks::new(store.clone(), host, grants, called)),
        ),
        None => (None, None),
    };
    // Each by itself: whoever asks after a thousand pull requests, or waits for a code host that does not answer, must not keep
    // the others.
    let asking = async {
        let mut rounds = Rounds::every(ROUND, &stop);
        while let (true, Some(hooks)) = (rounds.next().await, &hooks) {
            let reconciled = tokio::select! {
                reconciled = hooks.reconcile(context::now()) => reconciled,
                // It looks before it does anything, and goes on from there next time.
                () = stop.cancelled() => return,
            };
            for error in reconciled.errors {
                tracing::warn!(error, "the code host could not be asked");
            }
        }
    };
    let hearing = async {
        let mut rounds = Rounds::every(LOOK, &stop);
        while rounds.next().await {
            let taken = blocking(&store, |store| store.deliveries(AT_ONCE, DELIVERY, context::now())).await;
            for delivery in taken.unwrap_or_default() {
                if outside.delivered(&store, &delivery).await {
                    continue;
                }
                // What is left is taken up at the next start.
                if stop.is_cancelled() {
                    break;
                }
                if let Some(hooks) = &hooks {
                    hooks.work(&delivery, context::now()).await;
                }
            }
        }
    };
    let doing = async {
        let mut rounds = Rounds::every(LOOK, &stop);
        while rounds.next().await {
            outside.tell(&store).await;
            let taken = blocking(&store, |store| store.effects(AT_ONCE, HOLD, context::now())).await;
            // Together, so that a receiver that does not answer holds up nobody else for longer than one answer is waited for.
            let (store, outside, executor) = (&store, &outside, executor.as_ref());
            let each = taken.unwrap_or_default().into_iter().map(async |effect: Effect| {
                let end = match outside.done(&effect).await {
                    Some(end) => end,
                    None => done(store, executor, &effect).await,
                };
                blocking(store, move |store| store.effect_ended(effect.id, &end, context::now())).await;
            });
            futures::future::join_all(each).await;
        }
    };
    tokio::join!(asking, hearing, doing);
}

/// At once and then every so often, until this process is told to stop.
struct Rounds<'a> {
    ticks: Interval,
    stop: &'a CancellationToken,
}

impl<'a> Rounds<'a> {
    fn every(period: Duration, stop: &'a CancellationToken) -> Self {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, stop }
    }

    /// Waits for the next; false where there is none.
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.ticks.tick() => true,
            () = self.stop.cancelled() => false,
        }
    }
}

async fn done(store: &Arc<dyn Store>, executor: Option<&Executor>, effect: &Effect) -> EffectEnd {
    let later = |error: String| EffectEnd::Later { at: context::now() + AGAIN, error };
    match (effect.what.kind.as_str(), executor, &effect.task) {
        (NO_HOST, _, Some(task)) => {
            let task = task.clone();
            let ended = blocking(store, move |store| end_without_host(store, &task)).await;
            ended.unwrap_or_else(|| later("the store failed".to_owned()))
        }
        (kind, Some(executor), _) if Executor::KINDS.contains(&kind) => {
            executor.run(effect, context::now()).await
        }
        // What nobody can be shown is shown to nobody: a schedule that bowed out, say.
        (CHECK_KIND, None, _) => EffectEnd::Done(Value::Null),
        (kind, _, _) => later(format!("nobody here does {kind:?}: is it still configured?")),
    }
}

/// Asks the store where blocking is no harm; what fails is logged, and is tried again by whoever looks next.
pub(super) async fn blocking<T: Send + 'static>(
    store: &Arc<dyn Store>,
    ask: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
) -> Option<T> {
    let store = store.clone();
    let asked = tokio::task::spawn_blocking(move || ask(store.as_ref())).await;
    match asked {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::error!(error = crate::failure::in_one_line(&error.into()), "the store failed");
            None
        }
        Err(error) => {
            tracing::error!(%error, "the store failed");
            None
        }
    }
}
