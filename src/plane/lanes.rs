//! What is to be done outside, and what came in from there: each group of kinds, and each sender, by itself, so that whoever
//! does not answer holds up nobody else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gloaming_server::hooks::{github, slack};
use gloaming_server::{chat, webhook};
use gloaming_store::{Delivery, Effect, EffectEnd, Kinds, Store};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::host::blocking;
use crate::context;

/// How often the outbox is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// For how long an effect that was taken is nobody else's.
const HOLD: Duration = Duration::from_secs(300);

/// When a delivery is worked on again that could not be. Those of one sender are worked on one after the other: nobody takes
/// one meanwhile.
const DELIVERY: Duration = Duration::from_secs(20);

/// How many deliveries of a sender are taken at once.
const TAKEN: u32 = 16;

/// How many effects of a group are under way at once.
const AT_ONCE: usize = 16;

/// What is done apart from everything else, and all else: what is for the code host, and what nobody knows.
const GROUPS: [Kinds<'static>; 3] = [
    Kinds::Only(&[chat::Executor::KIND]),
    Kinds::Only(&[webhook::Executor::KIND]),
    Kinds::Except(&[chat::Executor::KIND, webhook::Executor::KIND]),
];

/// At once and then every so often, until this process is told to stop.
pub(super) struct Rounds<'a> {
    ticks: Interval,
    stop: &'a CancellationToken,
}

impl<'a> Rounds<'a> {
    pub(super) fn every(period: Duration, stop: &'a CancellationToken) -> Self {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, stop }
    }

    /// As often as the outbox is looked at.
    pub(super) fn looking(stop: &'a CancellationToken) -> Self {
        Self::every(LOOK, stop)
    }

    /// Waits for the next; false where there is none.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.ticks.tick() => true,
            () = self.stop.cancelled() => false,
        }
    }
}

/// Does effects as they come due, each group in a loop of its own, until it is told to stop. What was begun is ended first.
pub(super) async fn effects<D>(
    store: &Arc<dyn Store>,
    stop: &CancellationToken,
    work: impl Fn(Effect) -> D + Copy,
) where
    D: Future<Output = EffectEnd> + Send + 'static,
{
    let [chat, webhooks, host] = GROUPS.map(|kinds| group(store, kinds, HOLD, stop, work));
    tokio::join!(chat, webhooks, host);
}

/// Does the effects of some kinds. A place that comes free is given away at once: the slow ones keep their own, and no other.
/// What takes longer than the hold comes out of the store again, and is not begun a second time.
async fn group<D>(
    store: &Arc<dyn Store>,
    kinds: Kinds<'static>,
    hold: Duration,
    stop: &CancellationToken,
    work: impl Fn(Effect) -> D,
) where
    D: Future<Output = EffectEnd> + Send + 'static,
{
    let mut rounds = Rounds::looking(stop);
    let mut under_way = JoinSet::new();
    let mut ids: HashMap<tokio::task::Id, i64> = HashMap::new();
    loop {
        tokio::select! {
            more = rounds.next() => if !more { break },
            Some(ended) = under_way.join_next_with_id() => {
                ids.remove(&ended.as_ref().map_or_else(|error| error.id(), |(task, ())| *task));
                noted(ended.map(drop));
            }
        }
        let room = u32::try_from(AT_ONCE - under_way.len()).expect("there are few");
        if room == 0 {
            continue;
        }
        let taken = blocking(store, move |store| store.effects(kinds, room, hold, context::now())).await;
        for effect in taken.unwrap_or_default() {
            let id = effect.id;
            if ids.values().any(|other| *other == id) {
                continue;
            }
            let (done, store) = (work(effect), store.clone());
            let begun = under_way.spawn(async move {
                let end = done.await;
                blocking(&store, move |store| store.effect_ended(id, &end, context::now())).await;
            });
            ids.insert(begun.id(), id);
        }
    }
    while let Some(ended) = under_way.join_next().await {
        noted(ended);
    }
}

/// What did not come to its end is tried again after its while.
fn noted(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "something that was to be done outside was given up");
    }
}

/// Works on deliveries, each sender's in a loop of its own, until it is told to stop. `work` of one that is worked on by nobody
/// for now just returns.
pub(super) async fn deliveries<D>(
    store: &Arc<dyn Store>,
    stop: &CancellationToken,
    work: impl Fn(Delivery) -> D + Copy,
) where
    D: Future<Output = ()> + Send,
{
    let [github, slack] = [github::SENDER, slack::SENDER].map(|sender| of_sender(store, sender, stop, work));
    tokio::join!(github, slack);
}

async fn of_sender<D>(
    store: &Arc<dyn Store>,
    sender: &'static str,
    stop: &CancellationToken,
    work: impl Fn(Delivery) -> D,
) where
    D: Future<Output = ()> + Send,
{
    let mut rounds = Rounds::looking(stop);
    while rounds.next().await {
        let take = move |store: &dyn Store| store.deliveries(sender, TAKEN, DELIVERY, context::now());
        for delivery in blocking(store, take).await.unwrap_or_default() {
            // What is left is taken up at the next start.
            if stop.is_cancelled() {
                return;
            }
            work(delivery).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use gloaming_store::{Limits, MemoryStore, NewEffect};
    use serde_json::{Value, json};
    use tokio::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Longer than anything here takes; a test that hangs fails by it.
    const LONG: Duration = Duration::from_secs(20);

    fn store(effects: &[(&str, usize)]) -> Arc<dyn Store> {
        let store = MemoryStore::new(Limits::default());
        for (kind, count) in effects {
            for number in 1..=*count {
                let what =
                    NewEffect { key: format!("{kind}-{number}"), kind: (*kind).into(), payload: json!({}) };
                store.add_effect(None, &what, context::now()).unwrap();
            }
        }
        Arc::new(store)
    }

    async fn told(mut from: Receiver<String>, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        while told.len() < count {
            told.push(from.recv().await.expect("it works"));
        }
        told.sort();
        told
    }

    /// Does effects, those for which it is said that they hang never to their end. Returns the first that were done.
    async fn done(store: Arc<dyn Store>, count: usize, hangs: fn(&Effect) -> bool) -> Vec<String> {
        let (say, said) = channel(AT_ONCE);
        let work = |effect: Effect| -> Pin<Box<dyn Future<Output = EffectEnd> + Send>> {
            let say: Sender<String> = say.clone();
            Box::pin(async move {
                if hangs(&effect) {
                    std::future::pending::<()>().await;
                }
                say.send(effect.what.key).await.expect("somebody listens");
                EffectEnd::Done(Value::Null)
            })
        };
        let stop = CancellationToken::new();
        let done = async {
            tokio::select! {
                () = effects(&store, &stop, &work) => Vec::new(),
                done = told(said, count) => done,
            }
        };
        tokio::time::timeout(LONG, done).await.expect("what hangs holds nobody up")
    }

    #[tokio::test]
    async fn receivers_that_do_not_answer_hold_up_neither_chat_nor_the_code_host() {
        let store = store(&[("webhook", 40), ("publish", 1), ("chat", 1), ("unknown", 1)]);
        let done = done(store, 3, |effect| effect.what.kind == "webhook").await;
        assert_eq!(done, ["chat-1", "publish-1", "unknown-1"]);
    }

    #[tokio::test]
    async fn a_publish_that_takes_long_holds_up_neither_chat_nor_webhooks() {
        let store = store(&[("publish", 20), ("chat", 1), ("webhook", 1)]);
        assert_eq!(done(store, 2, |effect| effect.what.kind == "publish").await, ["chat-1", "webhook-1"]);
    }

    #[tokio::test]
    async fn beside_slow_ones_of_its_kind_the_others_go_on() {
        let store = store(&[("webhook", AT_ONCE + 4)]);
        let slow = |effect: &Effect| effect.id < AT_ONCE as i64;
        let done = done(store, 5, slow).await;
        assert_eq!(done, ["webhook-16", "webhook-17", "webhook-18", "webhook-19", "webhook-20"]);
    }

    #[tokio::test]
    async fn what_takes_longer_than_its_hold_is_not_begun_again_beside_itself() {
        let store = store(&[("publish", 2)]);
        let (say, mut said) = channel(AT_ONCE);
        let work = |effect: Effect| {
            let say: Sender<i64> = say.clone();
            async move {
                say.send(effect.id).await.expect("somebody listens");
                if effect.id == 1 {
                    std::future::pending::<()>().await;
                }
                EffectEnd::Later { at: context::now(), error: "again".into() }
            }
        };
        let stop = CancellationToken::new();
        let begun = async {
            let mut begun = Vec::new();
            while begun.iter().filter(|id| **id == 2).count() < 3 {
                begun.push(said.recv().await.expect("it works"));
            }
            begun
        };
        let begun = async {
            tokio::select! {
                () = group(&store, Kinds::ALL, Duration::ZERO, &stop, &work) => Vec::new(),
                begun = begun => begun,
            }
        };
        let begun = tokio::time::timeout(LONG, begun).await.expect("the other goes on");
        assert_eq!(begun.iter().filter(|id| **id == 1).count(), 1, "{begun:?}");
    }

    #[tokio::test]
    async fn a_code_host_that_hangs_holds_up_no_chat() {
        let store = store(&[]);
        for (sender, id) in [("github", "1"), ("slack", "2"), ("slack", "3")] {
            let delivery =
                Delivery { sender: sender.into(), id: id.into(), event: "issues".into(), body: Vec::new() };
            store.deliver(&delivery, context::now()).unwrap();
        }
        let (say, said) = channel(AT_ONCE);
        let stop = CancellationToken::new();
        let work = |delivery: Delivery| {
            let say = say.clone();
            async move {
                if delivery.sender == "github" {
                    std::future::pending::<()>().await;
                }
                say.send(delivery.id).await.expect("somebody listens");
            }
        };
        let heard = async {
            tokio::select! {
                () = deliveries(&store, &stop, &work) => Vec::new(),
                heard = told(said, 2) => heard,
            }
        };
        assert_eq!(tokio::time::timeout(LONG, heard).await.expect("it is heard"), ["2", "3"]);
    }

    #[tokio::test]
    async fn what_was_begun_is_ended_before_it_stops() {
        let store = store(&[("chat", 1)]);
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let work = |_: Effect| {
            stopping.cancel();
            async { EffectEnd::Done(json!("said")) }
        };
        tokio::time::timeout(LONG, effects(&store, &stop, &work)).await.expect("it stops");
        assert_eq!(store.effect_done("chat-1").unwrap(), Some(json!("said")));
    }
}
