//! The workers' protocol over HTTP.

use std::sync::Arc;

use gloaming_api::problem::ProblemCode;
use gloaming_api::worker::{LeaseKey, LeaseRequest};
use gloaming_api::{Attempt, Digest, Profile, TaskId};
use http::StatusCode;
use jiff::Timestamp;

use crate::answer::{Answered, Fault, empty, json};
use crate::app::{App, Asked, Audited};
use crate::{body, leases};

/// Returns the lease of the path. What cannot be one is one that nobody holds.
pub(super) fn key(asked: &Asked) -> Result<LeaseKey, Fault> {
    let lost = |_| Fault::new(ProblemCode::LeaseLost, "this token holds no such lease; stop the attempt");
    let task: TaskId = asked.param("task").parse().map_err(|_| lost(()))?;
    let attempt = asked.param("attempt").parse().map_err(|_| lost(()))?;
    Ok(LeaseKey { task, attempt: Attempt(attempt) })
}

/// Asks for something of a lease of the caller's.
pub(super) async fn of_lease<T: Send + 'static>(
    app: &Arc<App>,
    asked: &Asked,
    ask: impl FnOnce(&App, &LeaseKey, &str, Timestamp) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let (key, token) = (key(asked)?, asked.caller()?.token.id.clone());
    app.ask(move |app, now| ask(app, &key, &token, now)).await?
}

pub(super) async fn lease(app: &Arc<App>, asked: &mut Asked) -> Answered {
    let request: LeaseRequest = body::parse(&asked.body)?;
    let (token, audited) = (asked.caller()?.token.clone(), Audited::of(asked)?);
    asked.working = None;
    Ok(match leases::lease(app, &token, &request, &audited).await? {
        Some(lease) => json(StatusCode::OK, &lease),
        None => empty(StatusCode::NO_CONTENT),
    })
}

pub(super) async fn renew(app: &Arc<App>, asked: &Asked) -> Answered {
    let renewal = body::parse(&asked.body)?;
    let renewed =
        of_lease(app, asked, move |app, key, token, now| leases::renew(app, key, token, &renewal, now));
    Ok(json(StatusCode::OK, &renewed.await?))
}

pub(super) async fn events(app: &Arc<App>, asked: &Asked) -> Answered {
    let from = asked.query_as("from")?.unwrap_or(0);
    let lines = asked.body.clone();
    let uploaded =
        of_lease(app, asked, move |app, key, token, now| leases::events(app, key, token, from, &lines, now));
    Ok(json(StatusCode::OK, &uploaded.await?))
}

/// Refuses what is not the caller's lease.
pub(crate) async fn held(app: &Arc<App>, asked: &Asked) -> Result<(), Fault> {
    of_lease(app, asked, |app, key, token, now| match app.store.holds(key, token, now)? {
        true => Ok(()),
        false => Err(gloaming_store::Refused::Lost.into()),
    })
    .await
}

pub(super) async fn artifact(app: &Arc<App>, asked: &Asked) -> Answered {
    let digest: Digest = asked.parsed("digest", "digest; want sha256: and 64 hexadecimal digits")?;
    let content = asked.body.clone();
    of_lease(app, asked, move |app, key, token, now| {
        leases::artifact(app, key, token, &digest, &content, now)
    })
    .await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) async fn profile(app: &Arc<App>, asked: &Asked) -> Answered {
    let profile: Profile = body::parse(&asked.body)?;
    of_lease(app, asked, move |app, key, token, now| leases::profile(app, key, token, &profile, now)).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) async fn result(app: &Arc<App>, asked: &Asked) -> Answered {
    let result = body::parse(&asked.body)?;
    let audited = Audited::of(asked)?;
    of_lease(app, asked, move |app, key, token, now| leases::result(app, key, token, &result, &audited, now))
        .await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) async fn release(app: &Arc<App>, asked: &Asked) -> Answered {
    let audited = Audited::of(asked)?;
    of_lease(app, asked, move |app, key, token, now| leases::release(app, key, token, &audited, now)).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
