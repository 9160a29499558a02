//! Who waits for what, woken when it may be there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gloaming_api::TaskId;
use tokio::sync::{Notify, broadcast};

/// Which tasks a waiting worker may be handed: those with the same are alike, and one of them is woken for all.
pub(crate) type Kind = (Vec<String>, Vec<String>);

/// The bells of one server.
#[derive(Debug)]
pub(crate) struct Bells {
    /// None: it may be any of them.
    tasks: broadcast::Sender<Option<TaskId>>,
    workers: Mutex<HashMap<Kind, Arc<Notify>>>,
}

impl Bells {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { tasks: broadcast::channel(1024).0, workers: Mutex::default() })
    }

    /// Something happened to a task.
    pub(crate) fn task(&self, task: &TaskId) {
        // Nobody watching is no error.
        let _ = self.tasks.send(Some(task.clone()));
    }

    /// Something happened to tasks, and which is not known.
    pub(crate) fn any_task(&self) {
        let _ = self.tasks.send(None);
    }

    /// A task may be due: one waiting worker of each kind looks, and wakes the next of its kind where it found one.
    pub(crate) fn ready(&self) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|_, bell| Arc::strong_count(bell) > 1);
        for bell in workers.values() {
            bell.notify_one();
        }
    }

    /// Returns what wakes a watcher of tasks.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Option<TaskId>> {
        self.tasks.subscribe()
    }

    /// Returns what wakes a worker of a kind. While it is held the kind is known.
    pub(crate) fn worker(&self, kind: Kind) -> Arc<Notify> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(workers.entry(kind).or_default())
    }
}
