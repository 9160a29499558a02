//! What operators look at.

use std::sync::Arc;

use gloaming_api::problem::ProblemCode;
use gloaming_api::stats::Stats;
use gloaming_api::task::DeadEffect;
use gloaming_store::TaskFilter;
use http::{Response, StatusCode};

use crate::answer::{Answered, Body, Fault, bytes, empty, json};
use crate::app::{App, Asked, Audited, Phase};
use crate::openapi as description;

/// How much of what was given up is listed.
const DEAD: u32 = 100;

const TEXT: &str = "text/plain; charset=utf-8";

pub(super) fn live() -> Response<Body> {
    bytes(StatusCode::OK, TEXT, "ok\n")
}

/// Says whether work can be done, in lines: `ok` or what is wrong, and what is not as the operator meant it to be.
pub(super) async fn ready(app: &Arc<App>) -> Answered {
    if *app.phase.borrow() > Phase::Running {
        return Ok(bytes(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n"));
    }
    let written = app.ask(|app, now| app.store.set_value("readyz", &now.to_string())).await;
    let written = written.and_then(|written| Ok(written?));
    Ok(match written {
        Err(_) => {
            bytes(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the database cannot be written; the log has more\n")
        }
        // Which file and line is for the log and `gloaming doctor`: this is told to anybody.
        Ok(()) if app.policies.fault().is_some() => bytes(
            StatusCode::OK,
            TEXT,
            "ok\nthe policy folder has a fault; the policies read before it count\n",
        ),
        Ok(()) => bytes(StatusCode::OK, TEXT, "ok\n"),
    })
}

pub(super) fn metrics(app: &App) -> Response<Body> {
    bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", app.recorder.render())
}

pub(super) fn openapi() -> Response<Body> {
    bytes(StatusCode::OK, "application/json", description::text())
}

pub(super) async fn stats(app: &Arc<App>, asked: &Asked) -> Answered {
    let repos = asked.caller()?.token.repos.clone();
    let told = app.ask(move |app, _| {
        let mut stats = Stats::default();
        let mut before = None;
        loop {
            let limit = 500;
            let filter = TaskFilter { repos: Some(repos.clone()), repo: None, state: None, before, limit };
            let page = app.store.tasks(&filter)?;
            page.iter().for_each(|task| stats.add(task));
            before = match page.last() {
                Some(last) if page.len() == limit as usize => Some(last.id.clone()),
                _ => return Ok::<_, Fault>(stats),
            };
        }
    });
    Ok(json(StatusCode::OK, &told.await??))
}

pub(super) async fn dead(app: &Arc<App>) -> Answered {
    let dead = app.ask(|app, _| app.store.dead_effects(DEAD)).await??;
    let shown: Vec<DeadEffect> = dead
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
    let audited = Audited::of(asked)?;
    let revived = app.ask(move |app, now| {
        app.allowed(&audited, &id.to_string(), "", now)?;
        Ok::<_, Fault>(app.store.revive_effect(id, now)?)
    });
    if !revived.await?? {
        return Err(missing());
    }
    Ok(empty(StatusCode::NO_CONTENT))
}
