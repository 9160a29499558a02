//! Whom is told what happens, beside the code host: chats, and an operator's webhooks.

use std::sync::Arc;

use gloaming_server::chat::{self, Slack};
use gloaming_server::feed::Teller;
use gloaming_server::hooks::slack::{Hooks, People, Person, SENDER};
use gloaming_server::webhook::{self, Setup, Webhook};
use gloaming_server::{Server, Slack as Shared};
use gloaming_store::{Delivery, Effect, EffectEnd, Store};

use super::config::{self, Config};
use crate::context;
use crate::failure::Failure;

/// What the configuration names.
pub(crate) struct Outside {
    /// What is shared with Slack.
    pub(crate) shared: Option<Shared>,
    slack: Option<Slack>,
    webhooks: Vec<Arc<Webhook>>,
}

/// Opens what the configuration names. Nobody is asked anything yet.
pub(crate) fn open(config: &Config) -> anyhow::Result<Outside> {
    let mut outside = Outside { shared: None, slack: None, webhooks: Vec::new() };
    if let Some(slack) = &config.slack {
        let people = slack.users.iter().map(|user| Person {
            team: user.team.clone(),
            user: (user.user != "*").then(|| user.user.clone()),
            scope: user.scope,
            repos: user.repos.clone(),
        });
        let secret = config::secret(&slack.signing_secret_file, "Slack's signing secret")?;
        let token = config::secret(&slack.token_file, "the bot's token for Slack")?;
        let api = slack.api.as_deref().unwrap_or(Slack::API);
        let client = Slack::new(api, token).map_err(|why| Failure::usage(format!("[slack]: {why}")))?;
        outside.shared = Some(Shared { secret, people: Arc::new(People(people.collect())) });
        outside.slack = Some(client);
    }
    for hook in &config.webhooks {
        let setup = Setup {
            url: hook.url.clone(),
            secret: config::secret(&hook.secret_file, "the secret of a webhook")?,
            events: hook.events.clone(),
            repos: hook.repos.clone(),
            private: hook.private,
        };
        let made = Webhook::new(setup).map_err(|why| Failure::usage(format!("[[webhook]]: {why}")))?;
        outside.webhooks.push(Arc::new(made));
    }
    Ok(outside)
}

/// Who does what is to be done there.
pub(crate) struct Workers {
    teller: Arc<Teller>,
    slack: Option<(Arc<Hooks>, chat::Executor)>,
    webhooks: webhook::Executor,
}

impl Outside {
    /// Returns who works for a server; `checks` says whether a code host takes checks.
    pub(crate) fn workers(self, server: &Server, checks: bool) -> Workers {
        let store = server.store();
        let webhooks = webhook::Executor::new(&self.webhooks);
        let teller = Teller::new(store.clone(), self.webhooks, self.slack.is_some()).with_checks(checks);
        let slack = self.slack.zip(self.shared).map(|(client, shared)| {
            let hooks = Hooks::new(store.clone(), shared.people, server.grants());
            (Arc::new(hooks), chat::Executor::new(store, client))
        });
        Workers { teller: Arc::new(teller), slack, webhooks }
    }

    /// Asks Slack who we are to it; none where there is no Slack.
    pub(crate) async fn check(&self) -> Option<Result<String, String>> {
        match &self.slack {
            Some(slack) => Some(slack.check().await),
            None => None,
        }
    }

    /// Returns them in words; none where nobody is told.
    pub(crate) fn told(&self) -> Option<String> {
        let mut told = Vec::new();
        if let Some(shared) = &self.shared {
            told.push(match shared.people.0.len() {
                0 => "Slack, where nobody is let in: name somebody in [slack] users".to_owned(),
                _ => "Slack".to_owned(),
            });
        }
        match self.webhooks.len() {
            0 => {}
            1 => told.push("one webhook".to_owned()),
            count => told.push(format!("{count} webhooks")),
        }
        (!told.is_empty()).then(|| told.join(", "))
    }
}

impl Workers {
    /// Writes down what is to be told of what happened since the last time.
    pub(crate) async fn tell(&self, store: &Arc<dyn Store>) {
        loop {
            let teller = self.teller.clone();
            match super::host::blocking(store, move |_| teller.pass(context::now())).await {
                None | Some(0) => return,
                Some(_) => {}
            }
        }
    }

    /// Works on a delivery of a chat.
    pub(crate) async fn delivered(&self, store: &Arc<dyn Store>, delivery: &Delivery) {
        let delivery = delivery.clone();
        let hooks = self.slack.as_ref().map(|(hooks, _)| hooks.clone());
        super::host::blocking(store, move |store| match hooks {
            Some(hooks) => hooks.work(&delivery, context::now()),
            None => {
                store.delivered(SENDER, &delivery.id, Some("no Slack is configured any more"), context::now())
            }
        })
        .await;
    }

    /// Does an effect; none where it is of another kind.
    pub(crate) async fn done(&self, effect: &Effect) -> Option<EffectEnd> {
        match (effect.what.kind.as_str(), &self.slack) {
            (chat::Executor::KIND, Some((_, chat))) => Some(chat.run(effect, context::now()).await),
            (webhook::Executor::KIND, _) => Some(self.webhooks.run(effect, context::now()).await),
            _ => None,
        }
    }
}
