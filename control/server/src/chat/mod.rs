//! What is said in a chat: one message for a task, kept up to date, and its end told in the thread.
//!
//! What is written down is what is to be done (`Chat`); what is said is made of the store's state at the time. A message
//! carries the key of its effect, by which it is found before it is sent a second time.

mod slack;
pub(crate) mod text;

use std::sync::Arc;

use gloaming_api::task::{PullRequestOutcome, Source, TaskState, TaskView};
use gloaming_api::{Digest, TaskId};
use gloaming_store::{Effect, EffectEnd, NewEffect, Store, StoreError, Stored};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use slack::Slack;
use slack::Trouble;

/// How often something is tried that Slack could not do; with the pauses between, about a day.
const TRIES: u32 = 100;

/// The longest pause between two tries.
const LONGEST: SignedDuration = SignedDuration::from_mins(15);

/// How long a message is waited for that is to be changed, and how often; from then on as for anything else.
const SOON_TRIES: u32 = 10;
const SOON: SignedDuration = SignedDuration::from_secs(2);

/// What is to be done in a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Chat {
    /// Say something.
    Say { channel: String, thread: String, text: String },
    /// Say where a task stands.
    Post { task: TaskId },
    /// Bring what was said of a task up to date.
    Update { task: TaskId },
    /// Say in the task's thread how it ended.
    End { task: TaskId, state: TaskState, detail: String },
}

impl Chat {
    /// Returns it as an effect. It is one of no task: what is said in chats never holds up what is published.
    pub(crate) fn effect(&self, about: &str) -> NewEffect {
        let payload = serde_json::to_value(self).expect("texts serialise");
        NewEffect { key: format!("chat:{about}"), kind: Executor::KIND.to_owned(), payload }
    }

    fn posted(task: &TaskId) -> String {
        format!("chat:{task}:post")
    }

    /// Returns what is to be done in a chat when something happened to a task that was asked for there.
    pub(crate) fn of_event(task: &TaskId, event: &gloaming_api::task::TaskEvent) -> Vec<NewEffect> {
        use gloaming_api::task::TaskEventKind;
        let seq = event.seq;
        match &event.kind {
            TaskEventKind::Submitted { .. } => {
                vec![Self::Post { task: task.clone() }.effect(&format!("{task}:post"))]
            }
            TaskEventKind::Ended { state, detail } => {
                let end = Self::End { task: task.clone(), state: *state, detail: detail.clone() };
                let update = Self::Update { task: task.clone() };
                vec![update.effect(&format!("{task}:{seq}")), end.effect(&format!("{task}:{seq}:end"))]
            }
            _ => vec![Self::Update { task: task.clone() }.effect(&format!("{task}:{seq}"))],
        }
    }
}

/// The name under which the task of a thread is kept.
pub(crate) fn thread(channel: &str, thread: &str) -> String {
    format!("slack:thread:{channel}:{thread}")
}

/// Returns where a task stands, in Slack's mrkdwn. Every line but those that are ours is made safe.
pub(crate) fn message(view: &TaskView) -> String {
    let title = view.text.trim().lines().next().unwrap_or_default();
    let asker = view.asker.strip_prefix("slack:").and_then(|who| who.split_once('/'));
    let asker = match asker {
        Some((_, user)) if user.bytes().all(|byte| byte.is_ascii_alphanumeric()) => format!("<@{user}>"),
        _ => text::words(&view.asker, 100),
    };
    let mut lines = vec![
        format!("*{}*  {}", text::words(view.repo.as_str(), 200), text::words(title, 200)),
        format!("{} for {asker}", view.id),
    ];
    let mut state = match view.state {
        TaskState::Queued => "waits for a worker".to_owned(),
        TaskState::Running => format!("attempt {} is at work", view.attempt),
        TaskState::Publishing => "the change passes, and is being published".to_owned(),
        TaskState::Published | TaskState::Onboarded => "done".to_owned(),
        TaskState::BowedOut => "no pull request".to_owned(),
        other => other.as_str().to_owned(),
    };
    if let (Some(stage), TaskState::Running) = (view.stage, view.state) {
        state.push_str(&format!(": {}", stage.as_str()));
        if let Some(doing) = &view.doing {
            state.push_str(&format!(", {}", text::words(doing, 120)));
        }
    }
    if view.cancelling {
        state.push_str("; it is to be stopped");
    }
    lines.push(state);
    if let Some(request) = &view.pull_request {
        let outcome = match request.outcome {
            None => "",
            Some(PullRequestOutcome::Merged) => ", merged",
            Some(PullRequestOutcome::Closed) => ", closed",
            Some(PullRequestOutcome::Reverted) => ", merged and taken back",
        };
        lines.push(format!(
            "{}{outcome}",
            text::link(&request.url, &format!("Pull request #{}", request.number))
        ));
    }
    if let Some(bow_out) = view.bow_out.as_ref().filter(|_| view.state == TaskState::BowedOut) {
        lines.push(format!("{}: {}", bow_out.reason_code.as_str(), text::words(&bow_out.summary, 300)));
        let wanted = bow_out.what_would_unblock.iter().take(3);
        lines
            .extend(wanted.map(|one| {
                format!("• {}: {}", text::words(&one.action, 100), text::words(&one.detail, 200))
            }));
    }
    if let Some(failure) = &view.failure {
        lines.push(text::words(failure, 300));
    }
    if view.state.is_end() && view.cost.usd > 0.0 {
        lines.push(format!("${:.2}", view.cost.usd));
    }
    lines.join("\n")
}

/// Says in a chat what is due.
pub struct Executor {
    store: Arc<dyn Store>,
    slack: Slack,
}

impl Executor {
    /// The kind of effects it does.
    pub const KIND: &str = "chat";

    /// Returns one that works for a store.
    pub fn new(store: Arc<dyn Store>, slack: Slack) -> Self {
        Self { store, slack }
    }

    /// Does what an effect asks for.
    pub async fn run(&self, effect: &Effect, now: Timestamp) -> EffectEnd {
        let done = match serde_json::from_value::<Chat>(effect.what.payload.clone()) {
            Ok(chat) => self.done(effect, chat).await,
            Err(error) => Err(Trouble::Never(format!("its payload is not understood: {error}"))),
        };
        // Two seconds, doubled each time.
        let pause = SignedDuration::from_secs(2 << effect.tries.min(9)).min(LONGEST);
        match done {
            Ok(value) => EffectEnd::Done(value),
            Err(Trouble::Never(error)) => EffectEnd::Dead { error },
            Err(Trouble::Later { error, .. }) if effect.tries >= TRIES => EffectEnd::Dead { error },
            Err(Trouble::Later { after, error }) => {
                let after = after.unwrap_or(pause).min(LONGEST);
                EffectEnd::Later { at: now.checked_add(after).unwrap_or(now), error }
            }
        }
    }

    async fn done(&self, effect: &Effect, chat: Chat) -> Result<Value, Trouble> {
        let key = &effect.what.key;
        // Whoever tried before may have been heard.
        let search = effect.tried;
        match chat {
            Chat::Say { channel, thread, text } => {
                self.slack.say(&channel, &thread, &text, key, search).await.map(|ts| json!({"ts": ts}))
            }
            Chat::Post { task } => {
                let Some((view, channel, parent)) = self.view(&task).await? else { return Ok(Value::Null) };
                let text = message(&view);
                let ts = self.slack.say(&channel, &parent, &text, key, search).await?;
                let (of, said) = (task.clone(), Digest::of(&text));
                let root = parent.is_empty().then(|| thread(&channel, &ts));
                self.ask(move |store| {
                    if let Some(root) = root {
                        store.set_value_of(&of, &root, of.as_str())?;
                    }
                    store.set_value_of(&of, &shown(&of), &said.to_string())
                })
                .await?;
                Ok(json!({"channel": channel, "ts": ts}))
            }
            Chat::Update { task } => {
                let Some((view, channel, _)) = self.view(&task).await? else { return Ok(Value::Null) };
                let ts = self.posted(effect, &task).await?;
                let text = message(&view);
                let said = Digest::of(&text).to_string();
                let name = shown(&task);
                if self.ask(move |store| store.value(&name)).await?.as_ref() == Some(&said) {
                    return Ok(Value::Null);
                }
                self.slack.update(&channel, &ts, &text).await?;
                self.ask(move |store| store.set_value_of(&task, &shown(&task), &said)).await?;
                Ok(Value::Null)
            }
            Chat::End { task, state, detail } => {
                let Some((view, channel, parent)) = self.view(&task).await? else { return Ok(Value::Null) };
                let ts = self.posted(effect, &task).await?;
                let text = match &view.pull_request {
                    Some(request) if state == TaskState::Published => {
                        format!(
                            "Ready for review: {}",
                            text::link(&request.url, &format!("#{}", request.number))
                        )
                    }
                    _ => format!("{}: {}", state.as_str(), text::words(&detail, 500)),
                };
                let parent = if parent.is_empty() { ts } else { parent };
                self.slack.say(&channel, &parent, &text, key, search).await.map(|ts| json!({"ts": ts}))
            }
        }
    }

    /// Returns a task, the channel it was asked for in, and the message that answers are a thread of; none where it was not
    /// asked for in a chat, or is forgotten.
    async fn view(&self, task: &TaskId) -> Result<Option<(TaskView, String, String)>, Trouble> {
        let task = task.clone();
        let record = self.ask(move |store| store.task(&task)).await?;
        Ok(record.and_then(|record| match record.view.source.clone() {
            Source::Chat { channel, thread, .. } => Some((record.view, channel, thread)),
            _ => None,
        }))
    }

    /// Returns the message that says where a task stands.
    async fn posted(&self, effect: &Effect, task: &TaskId) -> Result<String, Trouble> {
        let key = Chat::posted(task);
        let done = self.ask(move |store| store.effect_done(&key)).await?;
        let ts = done.and_then(|done| done["ts"].as_str().map(str::to_owned));
        ts.ok_or_else(|| Trouble::Later {
            after: (effect.tries < SOON_TRIES).then_some(SOON),
            error: "the task's message is not there yet".to_owned(),
        })
    }

    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Store) -> Stored<T> + Send + 'static,
    ) -> Result<T, Trouble> {
        let store = Arc::clone(&self.store);
        let asked = tokio::task::spawn_blocking(move || ask(store.as_ref())).await;
        let failed = |error: String| Trouble::Later { after: None, error };
        asked
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error: StoreError| failed(error.to_string()))
    }
}

/// The name under which it is kept what a task's message says, so that the same is not said again.
fn shown(task: &TaskId) -> String {
    format!("slack:shown:{task}")
}
