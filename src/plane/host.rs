//! The code host that pull requests are made on, where one is configured, and who judges what is to be published there.

use std::sync::Arc;
use std::time::Duration;

use gloaming_api::bowout::{BowOut, BowOutEvidence, Unblock};
use gloaming_api::{ReasonCode, Stage, TaskId};
use gloaming_forge::github::{GitHub, Identity, Settings};
use gloaming_forge::host::CodeHost;
use gloaming_gate::Gate;
use gloaming_gate::envelope::SigningKey;
use gloaming_server::hooks::github::{Called, Hooks};
use gloaming_server::hooks::slack;
use gloaming_server::publish::{Executor, Grants, Publisher};
use gloaming_server::{Accepted, Acceptor, Claim, Refusal};
use gloaming_store::{AttemptEnd, Delivery, Effect, EffectEnd, NewEffect, Store, StoreError};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::config::{self, Config};
use super::lanes::{self, Rounds};
use super::outside::Workers;
use crate::cli::WeightsOf;
use crate::context::{self, Home};
use crate::failure::Failure;

/// GitHub's own API.
const GITHUB: &str = "https://api.github.com";

/// How often it is asked after what was missed.
const ROUND: Duration = Duration::from_secs(300);

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
    /// What they were signed with before, while that is changed.
    pub(crate) webhook_secret_before: Option<SecretString>,
    /// The host, and what it is asked for work by.
    pub(crate) host: Option<(Arc<dyn CodeHost>, Called)>,
    /// What it is called.
    pub(crate) name: Option<String>,
    /// What patches are judged by.
    pub(crate) gate: Gate,
    /// What the evidence of what is published is sealed with.
    pub(crate) key: SigningKey,
}

/// Opens the code host of the configuration. What is published is judged by `grants`: the same policies as everything else.
pub(crate) fn open(home: &Home, config: &Config, grants: Grants) -> anyhow::Result<Parts> {
    let gate = Gate { weights: WeightsOf::Patches.in_use(home)?, ..Gate::default() };
    let publisher = Publisher::new(gate.clone(), grants);
    let key = crate::keys::signing_key(home)?;
    let Some(github) = &config.github else {
        let acceptor = Arc::new(NoHost(publisher));
        let (webhook_secret, webhook_secret_before) = (None, None);
        return Ok(Parts {
            acceptor,
            webhook_secret,
            webhook_secret_before,
            host: None,
            name: None,
            gate,
            key,
        });
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
    let secret = |path: &Option<std::path::PathBuf>| {
        path.as_deref().map(|path| config::secret(path, "the secret of webhooks")).transpose()
    };
    let webhook_secret = secret(&github.webhook_secret_file)?;
    let webhook_secret_before = secret(&github.webhook_secret_before_file)?;
    let host = GitHub::new(Settings { api: api.clone(), identity }, Arc::new(context::now))
        .map_err(|error| Failure::usage(format!("[github]: {error}")))?;
    let mut called = Called::default();
    called.label = github.label.clone().unwrap_or(called.label);
    called.name = github.name.clone().unwrap_or(called.name);
    let deliveries = if webhook_secret.is_some() { "" } else { ", no webhooks: name `webhook_secret_file`" };
    Ok(Parts {
        acceptor: Arc::new(publisher),
        webhook_secret,
        webhook_secret_before,
        host: Some((Arc::new(host), called)),
        name: Some(format!("{api}, as {whose}{deliveries}")),
        gate,
        key,
    })
}

/// Judges as ever; what passes ends without a pull request, since there is nowhere to make one, and without a seal, since nobody
/// says here whether its files make its tree.
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
    key: SigningKey,
    outside: Workers,
    stop: CancellationToken,
) {
    let (executor, hooks) = match host {
        Some((host, called)) => (
            Some(Executor::new(store.clone(), host.clone(), gate, key)),
            Some(Arc::new(Hooks::new(store.clone(), host, grants, called))),
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
    let (outside, executor) = (Arc::new(outside), executor.map(Arc::new));
    let telling = async {
        let mut rounds = Rounds::looking(&stop);
        while rounds.next().await {
            outside.tell(&store).await;
        }
    };
    let hear = |delivery: Delivery| {
        let (store, outside, hooks) = (store.clone(), outside.clone(), hooks.clone());
        async move {
            match (delivery.sender.as_str(), hooks) {
                (slack::SENDER, _) => outside.delivered(&store, &delivery).await,
                // Whether it was done with is in the store: what is not comes again.
                (_, Some(hooks)) => drop(hooks.work(&delivery, context::now()).await),
                // It waits until a code host is configured.
                (_, None) => {}
            }
        }
    };
    let hearing = lanes::deliveries(&store, &stop, &hear);
    let work = |effect: Effect| {
        let (store, outside, executor) = (store.clone(), outside.clone(), executor.clone());
        async move {
            match outside.done(&effect).await {
                Some(end) => end,
                None => done(&store, executor.as_deref(), &effect).await,
            }
        }
    };
    let doing = lanes::effects(&store, &stop, &work);
    tokio::join!(asking, telling, hearing, doing);
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
