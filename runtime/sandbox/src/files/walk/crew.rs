//! Who plans and reads: the thread that asks for batches, and helpers beside it.
//!
//! Each does the next thing there is to do: read the first stretch that nobody reads, else plan one more. The
//! caller does so only while what it waits for is not there, so that guest and helpers work at the same time
//! and no core waits while there is work. What is read ahead is bounded.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use gloaming_api::tool::{ToolError, ToolErrorCode};

use super::super::{Answer, View};
use super::plan::Planner;
use super::stretch::{Read, Spare, Stretch};
use super::{Batch, WalkOptions};

/// Stretches that are planned or read ahead.
const AHEAD: usize = 16;
/// Bytes read ahead, beyond which only what the caller waits for is read.
const AHEAD_BYTES: usize = 2 << 20;
/// Helpers one walk has at the most: one guest takes in no more than three threads read.
const HELPERS: usize = 3;

/// Helpers at work in the whole process: no more than there are other cores.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// The threads of one walk.
pub(super) struct Crew {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Whether helpers were thought of.
    hired: bool,
}

struct Shared {
    view: View,
    options: WalkOptions,
    spare: Spare,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Who plans takes it out.
    planner: Option<Planner>,
    /// Whether everything is planned.
    planned: bool,
    /// In the order in which they are handed out.
    slots: VecDeque<Slot>,
    /// How many slots were handed out: a slot keeps its number while others leave.
    gone: usize,
    /// Bytes that were read and not handed out.
    ahead: usize,
    /// How many threads wait for a change.
    waiting: usize,
    stopped: bool,
}

enum Slot {
    Planned(Stretch),
    /// Someone reads it.
    Taken,
    Read(Read),
    Failed(ToolError),
}

impl Crew {
    /// Begins with a plan.
    pub(super) fn new(view: View, options: WalkOptions, planner: Planner) -> Self {
        Self::begin(view, options, Some(planner), VecDeque::new())
    }

    /// Begins with a stretch that is all there is.
    pub(super) fn of_one(view: View, options: WalkOptions, stretch: Stretch) -> Self {
        Self::begin(view, options, None, VecDeque::from([Slot::Planned(stretch)]))
    }

    fn begin(view: View, options: WalkOptions, planner: Option<Planner>, slots: VecDeque<Slot>) -> Self {
        let planned = planner.is_none();
        let state = State { planner, planned, slots, gone: 0, ahead: 0, waiting: 0, stopped: false };
        let spare = Spare::default();
        let shared = Shared { view, options, spare, state: Mutex::new(state), changed: Condvar::new() };
        Self { shared: Arc::new(shared), helpers: Vec::new(), hired: false }
    }

    /// Returns where memory is put that batches were read into.
    pub(super) fn spare(&self) -> &Spare {
        &self.shared.spare
    }

    /// Returns the next batch, none at the end.
    pub(super) fn next(&mut self) -> Answer<Option<Batch>> {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        loop {
            let planned = state.planned;
            match state.slots.front_mut() {
                Some(Slot::Read(read)) => {
                    if let Some(batch) = read.batches.pop_front() {
                        state.ahead -= batch.bytes.len();
                        shared.tell(&state);
                        return Ok(Some(batch));
                    }
                    match read.rest.take() {
                        Some(rest) => state.slots[0] = Slot::Planned(rest),
                        None => {
                            state.slots.pop_front();
                            state.gone += 1;
                        }
                    }
                    continue;
                }
                Some(Slot::Failed(error)) => return Err(error.clone()),
                None if planned => return Ok(None),
                Some(Slot::Planned(_) | Slot::Taken) | None => {}
            }
            if !self.hired && state.gone > 0 {
                // The first stretch was not all of it.
                drop(state);
                self.hire();
                state = shared.lock();
                continue;
            }
            state = match shared.work(state) {
                Ok(state) => state,
                Err(state) => shared.wait(state)?,
            };
        }
    }

    /// Takes on helpers as far as there are cores without one.
    fn hire(&mut self) {
        self.hired = true;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let room = |at_work: usize| (at_work + 1 < cores).then_some(at_work + 1);
        while self.helpers.len() < HELPERS
            && AT_WORK.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
        {
            let helper = Helper(self.shared.clone());
            match std::thread::Builder::new().name("gloaming-walk".into()).spawn(move || helper.run()) {
                Ok(thread) => self.helpers.push(thread),
                Err(error) => {
                    tracing::debug!(%error, "no thread to help a walk");
                    return;
                }
            }
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        for helper in self.helpers.drain(..) {
            // Whatever went wrong there was answered or is of no more interest.
            let _ = helper.join();
        }
    }
}

/// A helper's share; counted while it lives.
struct Helper(Arc<Shared>);

impl Helper {
    fn run(self) {
        let mut state = self.0.lock();
        while !state.stopped {
            state = match self.0.work(state) {
                Ok(state) => state,
                Err(state) if state.planned && !state.has_work() => return,
                Err(state) => match self.0.wait(state) {
                    Ok(state) => state,
                    // Past the deadline: the caller will see that by itself.
                    Err(_) => return,
                },
            };
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    /// Whether anything is or may become readable.
    fn has_work(&self) -> bool {
        self.slots.iter().any(|slot| match slot {
            Slot::Planned(_) | Slot::Taken => true,
            Slot::Read(read) => read.rest.is_some(),
            Slot::Failed(_) => false,
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned lock guards nothing that a panic could have torn: work is done outside of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, state: &State) {
        // Waking costs a system call even when nobody sleeps.
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits for a change, until the deadline.
    fn wait<'a>(&self, mut state: MutexGuard<'a, State>) -> Answer<MutexGuard<'a, State>> {
        self.view.check_deadline()?;
        let left = self.view.deadline.saturating_duration_since(Instant::now());
        state.waiting += 1;
        let mut state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        state.waiting -= 1;
        Ok(state)
    }

    /// Does the next thing there is to do; `Err` when there is nothing.
    fn work<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, MutexGuard<'a, State>> {
        let room = state.ahead < AHEAD_BYTES;
        let unread = state.slots.iter().position(|slot| matches!(slot, Slot::Planned(_)));
        if let Some(at) = unread.filter(|at| room || *at == 0) {
            let number = state.gone + at;
            let Slot::Planned(stretch) = std::mem::replace(&mut state.slots[at], Slot::Taken) else {
                unreachable!("it was looked up under the same lock")
            };
            drop(state);
            let read = caught(|| stretch.read(&self.view, &self.options, &self.spare));
            let mut state = self.lock();
            let at = number - state.gone;
            state.slots[at] = match read {
                Ok(read) => {
                    state.ahead += read.batches.iter().map(|batch| batch.bytes.len()).sum::<usize>();
                    Slot::Read(read)
                }
                Err(error) => Slot::Failed(error),
            };
            self.tell(&state);
            return Ok(state);
        }
        if state.slots.len() < AHEAD
            && let Some(mut planner) = state.planner.take()
        {
            drop(state);
            let next = caught(|| planner.next(&self.view));
            let mut state = self.lock();
            match next {
                Ok(Some(stretch)) => {
                    state.slots.push_back(Slot::Planned(stretch));
                    state.planner = Some(planner);
                }
                Ok(None) => state.planned = true,
                Err(error) => {
                    state.slots.push_back(Slot::Failed(error));
                    state.planned = true;
                }
            }
            self.tell(&state);
            return Ok(state);
        }
        Err(state)
    }
}

/// Turns a panic into an answer: a thread that waits for this one must not wait for ever.
fn caught<T>(work: impl FnOnce() -> Answer<T>) -> Answer<T> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        tracing::error!("the host panicked during a walk");
        Err(ToolError::new(ToolErrorCode::Internal, "the host of the tool broke"))
    })
}
