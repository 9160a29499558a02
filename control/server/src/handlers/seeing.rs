//! What operators look at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gloaming_api::problem::ProblemCode;
use gloaming_api::stats::Stats;
use gloaming_api::task::DeadEffect;
use gloaming_store::{Effect, StoreError};
use http::{Response, StatusCode};
use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::answer::{Answered, Body, Fault, bytes, empty, json};
use crate::app::{App, Asked, Audited, Phase};
use crate::auth::Caller;
use crate::openapi as description;
use crate::publish;

/// How much of what was given up is listed.
const DEAD: u32 = 100;

const TEXT: &str = "text/plain; charset=utf-8";

/// How long a write may take before the database counts as one that cannot be written.
const WRITTEN: Duration = Duration::from_secs(2);

/// What is known of whether the store can be written.
#[derive(Debug, Default)]
pub(crate) struct Writable {
    /// When it was tried last, and whether it could.
    tried: Option<(Instant, bool)>,
    /// A write that has not come back: beside it no second one is begun.
    running: Option<JoinHandle<bool>>,
}

impl Writable {
    /// Waits so long for the write that is under way, or for the one that is begun. Returns whether it was written.
    async fn look(&mut self, patience: Duration, begin: impl FnOnce() -> JoinHandle<bool>) -> bool {
        let running = self.running.get_or_insert_with(begin);
        let written = tokio::time::timeout(patience, running).await;
        if written.is_ok() {
            self.running = None;
        }
        let writable = matches!(written, Ok(Ok(true)));
        self.tried = Some((Instant::now(), writable));
        writable
    }
}

pub(super) fn live() -> Response<Body> {
    bytes(StatusCode::OK, TEXT, "ok\n")
}

/// Says whether work can be done, in lines: `ok` or what is wrong, and what is not as the operator meant it to be.
pub(super) async fn ready(app: &Arc<App>) -> Answered {
    if *app.phase.borrow() > Phase::Running {
        return Ok(bytes(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n"));
    }
    // One at a time, and what it found counts for a second: anybody may ask, and nobody may have us write without end.
    let mut known = app.writable.lock().await;
    let fresh = known.tried.filter(|(tried, _)| tried.elapsed() < Duration::from_secs(1));
    let writable = match fresh {
        Some((_, writable)) => writable,
        None => {
            let begin = || {
                let app = Arc::clone(app);
                tokio::spawn(async move {
                    let write = app.ask(|app, now| app.store.set_value("readyz", &now.to_string()));
                    matches!(write.await, Ok(Ok(())))
                })
            };
            // Whoever probes waits for some seconds; a disk that hangs is one that cannot be written.
            known.look(WRITTEN, begin).await
        }
    };
    drop(known);
    Ok(match writable {
        false => {
            bytes(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the database cannot be written; the log has more\n")
        }
        // Which file and line is for the log and `gloaming doctor`: this is told to anybody.
        true if app.policies.fault().is_some() => bytes(
            StatusCode::OK,
            TEXT,
            "ok\nthe policy folder has a fault; the policies read before it count\n",
        ),
        true => bytes(StatusCode::OK, TEXT, "ok\n"),
    })
}

pub(super) fn metrics(app: &App) -> Response<Body> {
    bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", app.recorder.render())
}

pub(super) fn openapi() -> Response<Body> {
    bytes(StatusCode::OK, "application/json", description::text())
}

pub(super) async fn stats(app: &Arc<App>, asked: &Asked) -> Answered {
    let caller = asked.caller()?.clone();
    let mut repos: Vec<String> = caller.token.repos.iter().map(|one| one.as_str().to_owned()).collect();
    repos.sort_unstable();
    let store = Arc::clone(&app.store);
    let told = app.stats.of(repos, move || {
        let mut stats = Stats::default();
        let figures = store.figures(Timestamp::UNIX_EPOCH)?;
        figures.iter().filter(|figure| caller.reaches(&figure.repo)).for_each(|figure| stats.add(figure));
        Ok(Arc::new(stats))
    });
    let told = told.await.map_err(|error| Fault::internal("read what came of tasks", &*error))?;
    Ok(json(StatusCode::OK, &*told))
}

/// Whether a caller may know of an effect: of a task's who reaches its repository, of others who reaches every one.
fn is_seen(app: &App, caller: &Caller, effect: &Effect) -> Result<bool, StoreError> {
    if caller.reaches_all() {
        return Ok(true);
    }
    let Some(task) = &effect.task else { return Ok(false) };
    Ok(app.store.task(task)?.is_some_and(|record| caller.reaches(&record.view.repo)))
}

pub(super) async fn dead(app: &Arc<App>, asked: &Asked) -> Answered {
    let caller = asked.caller()?.clone();
    let dead = app.ask(move |app, _| {
        // What others' tasks have given up leaves no less room for those of the caller's.
        let most = if caller.reaches_all() { DEAD } else { u32::MAX };
        let mut seen = Vec::new();
        for one in app.store.dead_effects(most)? {
            if seen.len() < DEAD as usize && is_seen(app, &caller, &one.0)? {
                seen.push(one);
            }
        }
        Ok::<_, Fault>(seen)
    });
    let shown: Vec<DeadEffect> = dead
        .await??
        .into_iter()
        .map(|(effect, error)| DeadEffect {
            id: effect.id,
            task: effect.task,
            kind: effect.what.kind,
            key: effect.what.key,
            tries: effect.tries,
            error,
        })
        .collect();
    Ok(json(StatusCode::OK, &shown))
}

pub(super) async fn revive(app: &Arc<App>, asked: &Asked) -> Answered {
    let missing = || Fault::new(ProblemCode::NotFound, "nothing of that number was given up");
    let id: i64 = asked.param("id").parse().map_err(|_| missing())?;
    let (audited, caller) = (Audited::of(asked)?, asked.caller()?.clone());
    let by = caller.asker();
    let revived = app.ask(move |app, now| {
        if !caller.reaches_all() {
            let Some(effect) = app.store.dead_effect(id)? else { return Ok(false) };
            if !is_seen(app, &caller, &effect)? {
                return Ok(false);
            }
        }
        app.allowed(&audited, &id.to_string(), "", now)?;
        Ok::<_, Fault>(publish::revive(&*app.store, id, &by, now)?)
    });
    if !revived.await?? {
        return Err(missing());
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn beside_a_write_that_hangs_none_is_begun() {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let mut writable = Writable::default();
        let hangs = || tokio::spawn(async move { ended.await.is_ok() });
        assert!(!writable.look(Duration::ZERO, hangs).await);
        assert!(!writable.look(Duration::ZERO, || panic!("a second one")).await);
        end.send(()).expect("it waits");
        assert!(writable.look(WRITTEN, || panic!("a second one")).await);
        assert!(!writable.look(WRITTEN, || tokio::spawn(async { false })).await);
    }
}
