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
    if !caller.token.covers(&new.repos) {
        let own: Vec<&str> = caller.token.repos.iter().map(|pattern| pattern.as_str()).collect();
        let detail = format!("at `repos`: this token makes tokens for {} alone", own.join(", "));
        return Err(Fault::new(ProblemCode::Forbidden, detail));
    }
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

/// Lists the tokens that reach no further than the caller's: of others nothing is told.
pub(super) async fn list(app: &Arc<App>, asked: &Asked) -> Answered {
    let mut tokens = app.ask(|app, _| app.store.tokens()).await??;
    let caller = asked.caller()?;
    tokens.retain(|token| caller.token.covers(&token.repos));
    Ok(json(StatusCode::OK, &tokens))
}

pub(super) async fn revoke(app: &Arc<App>, asked: &Asked) -> Answered {
    let (audited, id) = (Audited::of(asked)?, asked.param("id").to_owned());
    let caller = asked.caller()?.clone();
    let revoked = app.ask(move |app, now| {
        let found = app.store.token(&id)?.filter(|(token, _)| caller.token.covers(&token.repos));
        if found.is_none() {
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
