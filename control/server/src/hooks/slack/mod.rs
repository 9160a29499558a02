//! Deliveries of Slack: who asks for what, and whether the operator lets them.
//!
//! Nothing is asked of Slack here, and nothing said: what is to be said is written down for [`crate::chat`]. What people wrote
//! is kept as text of a task with its source beside it; it decides nothing.

pub(crate) mod signature;
pub(crate) mod words;

use std::sync::Arc;

use gloaming_api::access::{RepoPattern, Scope};
use gloaming_api::task::{NewTask, Source, TEXT_CAP, TaskKind};
use gloaming_api::{Digest, RepoId, TaskId};
use gloaming_store::{Delivery, Idempotency, Store, Stored, Submission, Submitted, TaskRecord};
use jiff::Timestamp;

use crate::chat::{self, Chat, text};
use crate::publish::Grants;
use words::{Event, Spoken, Wanted};

/// The sender's name under which deliveries are stored.
pub const SENDER: &str = "slack";

/// What is said to whoever asks how it goes.
pub(crate) const HELP: &str = "Say `/gloaming owner/name what is to be done`, `/gloaming status TASK` or `/gloaming cancel TASK`. \
     Where I am in the channel, mentioning me does the same; in a task's thread `status` and `cancel` need no task.";

/// What is said to whoever may not ask.
pub(crate) const STRANGER: &str =
    "You are not among those who may ask here. Whoever runs this Gloaming can add you.";

/// What somebody in a chat may do. Who is in no entry may do nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The workspace's id.
    pub team: String,
    /// The person's id; none for everybody of the workspace.
    pub user: Option<String>,
    /// `read` lets them see tasks, `submit` ask for them and cancel them, too.
    pub scope: Scope,
    /// Of these repositories.
    pub repos: Vec<RepoPattern>,
}

/// Everybody who may do something.
#[derive(Debug, Clone, Default)]
pub struct People(pub Vec<Person>);

impl People {
    fn of<'a>(&'a self, spoken: &'a Spoken) -> impl Iterator<Item = &'a Person> {
        self.0.iter().filter(|person| {
            person.team == spoken.team && person.user.as_ref().is_none_or(|user| *user == spoken.user)
        })
    }

    /// Whether whoever speaks is let in at all.
    pub(crate) fn know(&self, spoken: &Spoken) -> bool {
        self.of(spoken).next().is_some()
    }

    /// Whether whoever speaks may do what a scope is needed for, of a repository.
    fn may(&self, spoken: &Spoken, wanted: Scope, repo: &RepoId) -> bool {
        self.of(spoken).any(|person| {
            person.scope.covers(wanted) && person.repos.iter().any(|pattern| pattern.matches(repo))
        })
    }
}

/// Works on Slack's deliveries.
pub struct Hooks {
    store: Arc<dyn Store>,
    people: Arc<People>,
    grants: Grants,
}

impl Hooks {
    /// Returns one that works for a store, for these people, under the policies' `[submit]`.
    pub fn new(store: Arc<dyn Store>, people: Arc<People>, grants: Grants) -> Self {
        Self { store, people, grants }
    }

    /// Works on a stored delivery and notes that. A second time changes nothing. Blocks.
    ///
    /// # Errors
    /// The store's; the delivery is to be taken again.
    pub fn work(&self, delivery: &Delivery, now: Timestamp) -> Stored<()> {
        let spoken = match delivery.event.as_str() {
            words::COMMAND => words::command(&delivery.body),
            words::MENTION => words::event(&delivery.body).map(|event| match event {
                Event::Spoken(spoken) => Some(spoken),
                Event::Challenge(_) | Event::Other => None,
            }),
            other => Err(format!("{other:?} is no kind of delivery that is worked on")),
        };
        let error = match spoken {
            Ok(Some(spoken)) => self.answer(&spoken, now)?,
            Ok(None) => None,
            Err(why) => Some(why),
        };
        tracing::info!(delivery = delivery.id, event = delivery.event, error, "worked on a delivery");
        self.store.delivered(SENDER, &delivery.id, error.as_deref(), now)
    }

    /// Does what is wanted, and has it said where that is not seen by itself. Returns why not, where nothing was done.
    fn answer(&self, spoken: &Spoken, now: Timestamp) -> Stored<Option<String>> {
        let done = match spoken.wanted() {
            _ if !self.people.know(spoken) => {
                self.decided(spoken, false, "slack", "the operator's configuration names them nowhere", now)?;
                // A stranger's command was answered at once; what one says in a channel is answered there.
                match spoken.thread.is_empty() {
                    true => Ok(()),
                    false => Err(STRANGER.to_owned()),
                }
            }
            Ok(Wanted::Help) => Err(HELP.to_owned()),
            Err(why) => Err(format!("{}. {HELP}", text::words(&why, 200))),
            Ok(Wanted::Work { repo, text }) => self.submit(spoken, repo, text, now)?,
            // As a command it was answered at once, to whoever asked alone.
            Ok(Wanted::Status(_)) if spoken.thread.is_empty() => Ok(()),
            Ok(Wanted::Status(task)) => Err(status(self.store.as_ref(), &self.people, spoken, task)?),
            Ok(Wanted::Cancel(task)) => match self.task(spoken, task, Scope::Submit)? {
                Ok(record) => {
                    let id = record.view.id;
                    self.decided(spoken, true, id.as_str(), "cancel", now)?;
                    let state = self.store.cancel(&id, &asker(spoken), &[], now)?;
                    let said = match state {
                        Some(state) if state.is_end() => format!("{id} is {}.", state.as_str()),
                        _ => format!("{id} will stop as soon as its worker hears of it."),
                    };
                    Err(said)
                }
                Err(why) => Err(why),
            },
        };
        let Err(said) = done else { return Ok(None) };
        let say =
            Chat::Say { channel: spoken.channel.clone(), thread: spoken.thread.clone(), text: said.clone() };
        self.store.add_effect(None, &say.effect(&format!("say:{}", spoken.id)), now)?;
        Ok(None)
    }

    /// Asks for a task; the error is what is said instead.
    fn submit(
        &self,
        spoken: &Spoken,
        repo: RepoId,
        text: String,
        now: Timestamp,
    ) -> Stored<Result<(), String>> {
        let shown = repo.to_string();
        if !self.people.may(spoken, Scope::Submit, &repo) {
            self.decided(spoken, false, &shown, "the operator's configuration does not let them", now)?;
            return Ok(Err(format!("You may not ask for work on {}.", text::words(&shown, 200))));
        }
        if text.len() > TEXT_CAP {
            return Ok(Err(format!("That is more than {TEXT_CAP} bytes.")));
        }
        let asker = asker(spoken);
        let grant = match (self.grants)(&repo) {
            Ok(grant) => grant,
            Err(why) => return Ok(Err(text::words(&why, 500))),
        };
        if let gloaming_policies::Decision::Deny(denial) = grant.decide_submit(&asker, "model") {
            self.decided(spoken, false, &shown, &denial.to_string(), now)?;
            return Ok(Err(text::words(&denial.to_string(), 500)));
        }
        self.decided(spoken, true, &shown, &format!("grant {}", grant.digest()), now)?;
        let source = Source::Chat {
            team: spoken.team.clone(),
            channel: spoken.channel.clone(),
            thread: spoken.thread.clone(),
        };
        let submission = Submission {
            id: TaskId::generate(),
            new: NewTask {
                repo,
                kind: TaskKind::Change,
                text,
                base: None,
                priority: 0,
                not_before: None,
                supersede: None,
                needs: Vec::new(),
                cost_usd: None,
            },
            source,
            asker,
            by_name: true,
            idempotency: Some(Idempotency {
                scope: SENDER.to_owned(),
                request: Digest::of(&spoken.id),
                key: spoken.id.clone(),
            }),
            effects: Vec::new(),
        };
        match self.store.submit(&submission, now)? {
            Submitted::New(task) | Submitted::Again(task) => {
                if !spoken.thread.is_empty() {
                    let name = chat::thread(&spoken.channel, &spoken.thread);
                    self.store.set_value_of(&task, &name, task.as_str())?;
                }
                Ok(Ok(()))
            }
            Submitted::Conflict | Submitted::Full => {
                Ok(Err("As many tasks wait as may; ask again later.".to_owned()))
            }
        }
    }

    fn task(
        &self,
        spoken: &Spoken,
        task: Option<TaskId>,
        wanted: Scope,
    ) -> Stored<Result<TaskRecord, String>> {
        found(self.store.as_ref(), &self.people, spoken, task, wanted)
    }

    fn decided(
        &self,
        spoken: &Spoken,
        allowed: bool,
        subject: &str,
        detail: &str,
        now: Timestamp,
    ) -> Stored<()> {
        let decision = if allowed { "allow" } else { "deny" };
        self.store.audit(&asker(spoken), decision, SENDER, subject, detail, now)
    }
}

/// Says where a task stands that whoever speaks may see. Blocks.
pub(crate) fn status(
    store: &dyn Store,
    people: &People,
    spoken: &Spoken,
    task: Option<TaskId>,
) -> Stored<String> {
    Ok(match found(store, people, spoken, task, Scope::Read)? {
        Ok(record) => chat::message(&record.view),
        Err(why) => why,
    })
}

/// Finds a task that is named, or the one of the thread, where whoever speaks may do that with it.
fn found(
    store: &dyn Store,
    people: &People,
    spoken: &Spoken,
    task: Option<TaskId>,
    wanted: Scope,
) -> Stored<Result<TaskRecord, String>> {
    let task = match task {
        Some(task) => Some(task),
        None if spoken.thread.is_empty() => None,
        None => {
            let known = store.value(&chat::thread(&spoken.channel, &spoken.thread))?;
            known.and_then(|task| task.parse().ok())
        }
    };
    let Some(task) = task else {
        return Ok(Err("Which task? Name it, or say this in its thread.".to_owned()));
    };
    let found = store.task(&task)?;
    let found = found.filter(|found| people.may(spoken, wanted, &found.view.repo));
    // The same words whether there is none or it is another's.
    Ok(found.ok_or_else(|| format!("There is no task {task} that you may do this with.")))
}

/// Who it is as policies and tasks name them.
fn asker(spoken: &Spoken) -> String {
    format!("slack:{}/{}", spoken.team, spoken.user)
}
