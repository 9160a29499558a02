//! What is told to the outside of what happens to tasks: read from the store's feed of all events, one after the other.
//!
//! What follows from an event is written down under keys made of task and event, and then the position is kept: whoever dies
//! between the two does it again, which changes nothing.

use std::sync::Arc;

use gloaming_api::TaskId;
use gloaming_api::task::Source;
use gloaming_store::{NewEffect, Store, Stored, Told};
use jiff::Timestamp;

use crate::chat::Chat;
use crate::publish;
use crate::webhook::Webhook;

/// The name under which the position is kept.
const POSITION: &str = "feed:told";
/// Events that are read at a time.
const AT_ONCE: u32 = 200;

/// Writes down what is to be told of what happened.
pub struct Teller {
    store: Arc<dyn Store>,
    webhooks: Vec<Arc<Webhook>>,
    chat: bool,
    checks: bool,
}

impl Teller {
    /// Returns one that tells these webhooks, and chats where there is one.
    pub fn new(store: Arc<dyn Store>, webhooks: Vec<Arc<Webhook>>, chat: bool) -> Self {
        Self { store, webhooks, chat, checks: false }
    }

    /// Tells a code host, too, that takes checks: at which stage a follow-up is.
    #[must_use]
    pub fn with_checks(self, checks: bool) -> Self {
        Self { checks, ..self }
    }

    /// Reads what happened since the last time. Returns how many events that was; where it is none, all is told. Blocks.
    ///
    /// # Errors
    /// The store's; what was written down stays, and the rest is for the next time.
    pub fn pass(&self, now: Timestamp) -> Stored<usize> {
        let after = self.store.value(POSITION)?.and_then(|value| value.parse().ok()).unwrap_or(0);
        let told = self.store.feed(after, AT_ONCE)?;
        let Some(last) = told.last() else { return Ok(0) };
        for one in &told {
            for (task, effect) in self.follows(one)? {
                self.store.add_effect(task, &effect, now)?;
            }
        }
        self.store.set_value(POSITION, &last.position.to_string())?;
        Ok(told.len())
    }

    /// Returns what follows, each with the task that it is of where what else is done for that waits for it.
    fn follows<'a>(&self, told: &'a Told) -> Stored<Vec<(Option<&'a TaskId>, NewEffect)>> {
        let name = told.event.kind.name();
        if !self.chat && !self.checks && !self.webhooks.iter().any(|hook| hook.wants(name)) {
            return Ok(Vec::new());
        }
        // One that is forgotten meanwhile is told to nobody.
        let Some(record) = self.store.task(&told.task)? else { return Ok(Vec::new()) };
        let mut effects = Vec::new();
        if self.chat && matches!(record.view.source, Source::Chat { .. }) {
            effects.extend(Chat::of_event(&told.task, &told.event).into_iter().map(|effect| (None, effect)));
        }
        if self.checks && record.view.pull_request.is_some() {
            effects
                .extend(publish::of_event(&told.task, &told.event).map(|effect| (Some(&told.task), effect)));
        }
        let wanting = self.webhooks.iter().filter(|hook| hook.wants(name) && hook.is_for(&record.view.repo));
        effects.extend(wanting.map(|hook| (None, hook.effect(&record.view, &told.event))));
        Ok(effects)
    }
}
