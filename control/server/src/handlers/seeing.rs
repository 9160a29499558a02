//! What operators look at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Response, StatusCode};
use jiff::Timestamp;

use crate::answer::{Answered, Body, Fault, bytes, json};
use crate::app::{App, Asked, Phase};
use crate::{openapi as description, stats as counted};

const TEXT: &str = "text/plain; charset=utf-8";

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
    let fresh = known.filter(|(tried, _)| tried.elapsed() < Duration::from_secs(1));
    let writable = match fresh {
        Some((_, writable)) => writable,
        None => {
            let written = app.ask(|app, now| app.store.set_value("readyz", &now.to_string())).await;
            let writable = written.is_ok_and(|written| written.is_ok());
            *known = Some((Instant::now(), writable));
            writable
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
    let told = app.ask(move |app, _| {
        let mut stats = counted::Stats::default();
        let figures = app.store.figures(Timestamp::UNIX_EPOCH)?;
        figures.iter().filter(|figure| caller.reaches(&figure.repo)).for_each(|figure| stats.add(figure));
        Ok::<_, Fault>(stats)
    });
    Ok(json(StatusCode::OK, &told.await??))
}
