//! What is answered bit by bit: a task's events as they come, and a journal.
//!
//! Both are pulled: the store is asked for more when the client has taken what there was, so a slow one costs a page.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use gloaming_api::problem::ProblemCode;
use gloaming_api::task::TaskEvent;
use gloaming_api::{Attempt, TaskId};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::Instant;

use super::tasks::{of_task, visible};
use crate::answer::{Answered, Body, Fault, empty};
use crate::app::{App, Asked, Phase, overloaded};
use crate::auth::Caller;
use crate::body;

/// Events that are read at once.
const PAGE: u32 = 64;
/// Lines of a journal that are read at once.
const LINES: u32 = 64;

pub(super) fn streamed(
    kind: &'static str,
    body: impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Response<Body> {
    use futures::TryStreamExt as _;
    let mut response = Response::new(StreamBody::new(body.map_ok(Frame::data)).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A place among the streams of one token or lease, and of all.
pub(super) struct Place {
    app: Arc<App>,
    whose: String,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Takes one, where whoever it is of has fewer than `most`.
    pub(super) fn take(app: &Arc<App>, whose: String, most: usize) -> Result<Self, Fault> {
        let permit = Arc::clone(&app.streams)
            .try_acquire_owned()
            .map_err(|_| overloaded("too many streams are open"))?;
        let mut streams = app.streams_of.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = streams.entry(whose.clone()).or_default();
        if *of_one >= most {
            let (wait, detail) =
                (Duration::from_secs(5), "too many streams are open for one token or lease; close one");
            return Err(Fault::after(ProblemCode::RateLimited, wait, detail));
        }
        *of_one += 1;
        drop(streams);
        Ok(Self { app: Arc::clone(app), whose, _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = self.app.streams_of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_one) = streams.get_mut(&self.whose) {
            *of_one -= 1;
            if *of_one == 0 {
                streams.remove(&self.whose);
            }
        }
    }
}

/// One client that watches one task.
struct Watch {
    app: Arc<App>,
    caller: Caller,
    /// Of a page; none of a client with a token.
    session: Option<String>,
    task: TaskId,
    bells: broadcast::Receiver<Option<TaskId>>,
    /// The last event that was sent.
    seen: u64,
    page: VecDeque<TaskEvent>,
    next_beat: Instant,
    _place: Place,
}

pub(crate) async fn watch(app: &Arc<App>, asked: &mut Asked) -> Answered {
    let after = match body::single(&asked.headers, "last-event-id")? {
        None => asked.query_as("after")?.unwrap_or(0),
        Some(text) => text.parse().map_err(|_| {
            Fault::new(ProblemCode::BadRequest, "the header Last-Event-ID: want the number of an event")
        })?,
    };
    // Before anything is looked at, so that nothing is missed between.
    let bells = app.bells.watch();
    let (task, fresh) = of_task(app, asked, move |app, task, _| {
        let fresh = app.store.events(&task.view.id, after, 1)?;
        Ok((task, fresh))
    })
    .await?;
    if fresh.is_empty() && task.view.state.is_end() {
        // Nothing will come. A browser that is told so does not connect again.
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let caller = asked.caller()?.clone();
    let place = Place::take(app, caller.token.id.clone(), app.settings.caps.streams_of_one)?;
    asked.working = None;
    let watch = Watch {
        next_beat: Instant::now() + app.settings.timeouts.heartbeat,
        app: Arc::clone(app),
        caller,
        session: asked.session.clone(),
        task: task.view.id,
        bells,
        seen: after,
        page: VecDeque::new(),
        _place: place,
    };
    // At once, so that a client knows that it is heard.
    let hello = stream::once(async { Ok(Bytes::from_static(b": \n\n")) });
    let events = stream::unfold(watch, Watch::next);
    Ok(streamed("text/event-stream", futures::StreamExt::chain(hello, events)))
}

impl Watch {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.seen = event.seq;
                return Some((Ok(written(&event)), self));
            }
            if *self.app.phase.borrow() > Phase::Running {
                return None;
            }
            let (task, after, caller) = (self.task.clone(), self.seen, self.caller.clone());
            let session = self.session.clone();
            let looked = self.app.ask(move |app, now| {
                if session.is_some_and(|secret| !app.sessions.lasts(&secret, now)) {
                    return Err(Fault::missing("session"));
                }
                let (token, _) = app.store.token(&caller.token.id)?.ok_or_else(|| Fault::missing("token"))?;
                let scope = gloaming_api::access::Scope::Read;
                if !token.allows(scope, now) {
                    return Err(Fault::missing("token"));
                }
                // In this order: what ends between the two has told so by the time its events are read.
                let ended = visible(app, &caller, &task)?.view.state.is_end();
                let events = app.store.events(&task, after, PAGE)?;
                let over = ended && events.is_empty();
                Ok((events, over))
            });
            // A token that is revoked ends its streams, as does a session that ends, as does a store that fails: the client asks again and is told.
            let (events, over) = looked.await.and_then(|looked| looked).ok()?;
            if events.is_empty() {
                if over {
                    return None;
                }
                if self.wait().await == Woken::Beat {
                    self.next_beat = Instant::now() + self.app.settings.timeouts.heartbeat;
                    return Some((Ok(Bytes::from_static(b": \n\n")), self));
                }
                continue;
            }
            self.page = events.into();
        }
    }

    /// Waits until something may have happened to the task, or a heartbeat is due.
    async fn wait(&mut self) -> Woken {
        let app = Arc::clone(&self.app);
        loop {
            tokio::select! {
                rung = self.bells.recv() => match rung {
                    Ok(Some(task)) if task != self.task => {}
                    // Too many bells to tell which: look.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return Woken::Look,
                    Err(broadcast::error::RecvError::Closed) => return Woken::Look,
                },
                () = tokio::time::sleep_until(self.next_beat) => return Woken::Beat,
                () = app.reached(Phase::Draining) => return Woken::Look,
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Woken {
    Look,
    Beat,
}

fn written(event: &TaskEvent) -> Bytes {
    let mut value = serde_json::to_value(event).expect("an event is JSON");
    let name = value["event"].as_str().unwrap_or("message").to_owned();
    // JSON on one line: a line break in a string is written as an escape.
    let data = value.take().to_string();
    Bytes::from(format!("id: {}\nevent: {name}\ndata: {data}\n\n", event.seq))
}

pub(super) async fn trajectory(app: &Arc<App>, asked: &mut Asked) -> Answered {
    let (task, attempt, first) = of_task(app, asked, |app, task, _| {
        let (id, attempt) = (task.view.id, task.view.attempt);
        let first = if attempt.0 == 0 { Vec::new() } else { app.store.journal(&id, attempt, 0, LINES)? };
        Ok((id, attempt, first))
    })
    .await?;
    if first.is_empty() {
        return Err(Fault::new(ProblemCode::NotFound, "the task's latest attempt has no journal yet"));
    }
    let place = Place::take(app, asked.caller()?.token.id.clone(), app.settings.caps.streams_of_one)?;
    asked.working = None;
    let journal = Journal { app: Arc::clone(app), task, attempt, next: 0, page: Some(first), _place: place };
    Ok(streamed("application/jsonl", stream::unfold(journal, Journal::next)))
}

struct Journal {
    app: Arc<App>,
    task: TaskId,
    attempt: Attempt,
    next: u64,
    page: Option<Vec<String>>,
    _place: Place,
}

impl Journal {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let lines = match self.page.take() {
            Some(lines) => lines,
            None => {
                let (task, attempt, next) = (self.task.clone(), self.attempt, self.next);
                let read = self.app.ask(move |app, _| app.store.journal(&task, attempt, next, LINES)).await;
                match read {
                    Ok(Ok(lines)) => lines,
                    // An answer that is cut short must not look whole.
                    _ => return Some((Err(io::Error::other("the journal could not be read")), self)),
                }
            }
        };
        if lines.is_empty() || *self.app.phase.borrow() == Phase::Forced {
            return None;
        }
        self.next += lines.len() as u64;
        let mut text = lines.join("\n");
        text.push('\n');
        Some((Ok(text.into()), self))
    }
}
