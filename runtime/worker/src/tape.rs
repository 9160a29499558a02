//! What a journal already holds of an attempt that is gone on with after its process died, or replayed: the events
//! that are still to come, in their order.
//!
//! An attempt is the same function of its record each time. What no function gives, the clock, a model's answers and
//! what jobs did, is taken from the record; everything else is done again and has to come out as it did.

use std::collections::VecDeque;

use gloaming_api::Stage;
use gloaming_api::journal::{Event, EventKind, counted};
use serde_json::Value;

/// Stages of which only the end counts: what they did is not done again when they had one, and all of it when not.
pub(crate) const WHOLE: [Stage; 4] =
    [Stage::Provision, Stage::Baseline, Stage::ValidateReproducer, Stage::Verify];

/// One recorded event.
#[derive(Debug, Clone)]
enum Item {
    /// Is to come out again.
    Live(Event),
    /// Of a stage that was begun again, or about that: it is kept, and means nothing.
    Dead(Event),
}

/// The rest of a record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape(VecDeque<Item>);

impl Tape {
    /// Returns the whole of a record that ended.
    pub(crate) fn of(events: Vec<Event>) -> Self {
        let counts = counted(&events);
        let item = |(event, counts)| if counts { Item::Live(event) } else { Item::Dead(event) };
        Self(events.into_iter().zip(counts).map(item).collect())
    }

    /// Returns what counts of a record that broke off, and the event that says so: the stage in which it is gone on
    /// with, and how many events at its end count no more.
    pub(crate) fn of_broken(events: Vec<Event>) -> (Self, Stage, u64) {
        let mut tape = Self::of(events);
        let mut open: Option<(Stage, usize)> = None;
        let mut last = Stage::Intake;
        for (at, item) in tape.0.iter().enumerate() {
            match item {
                Item::Live(Event { kind: EventKind::StageStarted { stage }, .. }) => {
                    (open, last) = (Some((*stage, at)), *stage);
                }
                Item::Live(Event { kind: EventKind::StageFinished { .. }, .. }) => open = None,
                _ => {}
            }
        }
        // An end that was no result, and what led to it; a job whose call was not recorded is run again.
        let ends = tape.0.iter().rev().take_while(|item| {
            matches!(
                item,
                Item::Live(Event {
                    kind: EventKind::Cancelled
                        | EventKind::Failed { .. }
                        | EventKind::ModelFailed { .. }
                        | EventKind::Job { .. },
                    ..
                })
            )
        });
        let ended = tape.0.len() - ends.count();
        let begin = match open {
            Some((stage, begin)) if WHOLE.contains(&stage) => begin,
            _ => ended,
        };
        let dead = tape.0.len() - begin;
        for item in tape.0.iter_mut().skip(begin) {
            if let Item::Live(event) = item {
                *item = Item::Dead(event.clone());
            }
        }
        (tape, last, dead as u64)
    }

    /// Takes the events at the front that mean nothing.
    pub(crate) fn dead(&mut self) -> Vec<Event> {
        let mut dead = Vec::new();
        while let Some(Item::Dead(event)) = self.0.front() {
            dead.push(event.clone());
            self.0.pop_front();
        }
        dead
    }

    /// Returns the next event that is to come out again. The caller has taken the dead ones.
    pub(crate) fn peek(&self) -> Option<&Event> {
        self.0.iter().find_map(|item| match item {
            Item::Live(event) => Some(event),
            Item::Dead(_) => None,
        })
    }

    /// Takes it.
    pub(crate) fn take(&mut self) -> Option<Event> {
        match self.0.pop_front()? {
            Item::Live(event) | Item::Dead(event) => Some(event),
        }
    }

    /// Returns the end of the stage that has begun, where the record has it.
    pub(crate) fn end_of(&self, stage: Stage) -> Option<&EventKind> {
        let live = self.0.iter().filter_map(|item| match item {
            Item::Live(event) => Some(&event.kind),
            Item::Dead(_) => None,
        });
        for kind in live {
            match kind {
                EventKind::StageFinished { stage: ended, .. } if *ended == stage => return Some(kind),
                EventKind::StageStarted { .. } => return None,
                EventKind::BowedOut { .. } => return Some(kind),
                _ => {}
            }
        }
        None
    }
}

/// Returns what of an event comes out the same each time: all of it but how long something took.
pub(crate) fn essence(kind: &EventKind) -> Value {
    let mut value = serde_json::to_value(kind).expect("events serialise: string keys, finite numbers");
    let data = &mut value["data"];
    for name in ["wall_ms", "duration_ms"] {
        if let Some(object) = data.as_object_mut() {
            object.remove(name);
        }
    }
    match kind {
        EventKind::ToolCall { .. } => {
            for measured in ["duration_us", "ticks", "peak_memory"] {
                data["record"][measured].take();
            }
        }
        EventKind::BowedOut { .. } => {
            data["bow_out"]["cost"]["wall_s"].take();
        }
        EventKind::Published { .. } => {
            data["cost"]["wall_s"].take();
        }
        _ => {}
    }
    value
}

/// Says in one line what an event is, for whoever reads where a replay left its record.
pub fn told(kind: &EventKind) -> String {
    let value = essence(kind);
    let name = value["event"].as_str().unwrap_or_default().to_owned();
    let data = match kind {
        EventKind::ToolCall { args, record, .. } => format!("{} {args}", record.tool),
        EventKind::Frozen { patch, .. } => patch.to_string(),
        EventKind::Judged { verdict } => format!("{}: {}", verdict.code, verdict.summary),
        EventKind::BowedOut { bow_out } => {
            format!("{}: {}", bow_out.reason_code.as_str(), bow_out.summary)
        }
        _ => value["data"].to_string(),
    };
    format!("{name} {}", gloaming_api::bowout::shorten(&data, 400))
}
