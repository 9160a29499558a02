//! Tokens: made, listed, revoked.

use std::sync::Arc;

use gloaming_api::access::NewToken;
use gloaming_api::problem::ProblemCode;
use http::StatusCode;

use crate::answer::{Answered, Fault, empty, json};
use crate::app::{App, Asked, Audited};
use crate::{auth, body};

pub(super) async fn create(app: &Arc<App>, asked: &Asked) -> Answered {
    let new: NewToken = body::parse(&asked.body)?;
    auth::check_new(&new).map_err(|why| Fault::new(ProblemCode::InvalidBody, why))?;
    let (audited, caller) = (Audited::of(asked)?, asked.caller()?.clone());
    let made = app.ask(move |app, now| {
        let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.as_str()).collect();
        app.allowed(&audited, &new.name, &format!("scopes {}", scopes.join(" ")), now)?;
        // Spent before anything is made with it: of two requests with it one is first, and the other gets nothing.
        if caller.is_bootstrap() && !app.store.revoke_token(&caller.token.id, now)? {
            return Err(Fault::new(ProblemCode::Unauthorized, "the first token was used already"));
        }
        let made = auth::make_token(&*app.store, &new, now)?;
        made.map_err(|why| Fault::new(ProblemCode::InvalidBody, why))
    });
    Ok(json(StatusCode::CREATED, &made.await??))
}

pub(super) async fn list(app: &Arc<App>) -> Answered {
    let tokens = app.ask(|app, _| app.store.tokens()).await??;
    Ok(json(StatusCode::OK, &tokens))
}

pub(super) async fn revoke(app: &Arc<App>, asked: &Asked) -> Answered {
    let (audited, id) = (Audited::of(asked)?, asked.param("id").to_owned());
    let revoked = app.ask(move |app, now| {
        if app.store.token(&id)?.is_none() {
            return Err(Fault::missing("token"));
        }
        app.allowed(&audited, &id, "", now)?;
        // One that is revoked already is what was asked for.
        app.store.revoke_token(&id, now)?;
        Ok(())
    });
    revoked.await??;
    Ok(empty(StatusCode::NO_CONTENT))
}
