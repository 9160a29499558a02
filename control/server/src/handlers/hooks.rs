//! Deliveries of code hosts and chats: bounded, verified by their raw bytes, kept; whoever works on them does so later.

use std::sync::Arc;

use gloaming_api::problem::ProblemCode;
use gloaming_store::Delivery;
use http::StatusCode;
use serde_json::json;

use crate::answer::{Answered, Fault, empty, json};
use crate::app::{App, Asked};
use crate::chat::text;
use crate::hooks::slack::words::{self, Event, Wanted};
use crate::hooks::slack::{self, signature};
use crate::{body, meters, signed};

/// The longest id of a delivery, bytes.
const ID_CAP: usize = 200;

pub(super) async fn github(app: &Arc<App>, asked: &Asked) -> Answered {
    let verified = verify(app, asked);
    if verified.is_err() {
        meters::delivered("github", "refused");
    }
    verified?;
    let header = |name: &str, plain: fn(&u8) -> bool| {
        let value = body::single(&asked.headers, name)?.unwrap_or_default();
        if value.is_empty() || value.len() > ID_CAP || !value.as_bytes().iter().all(plain) {
            return Err(Fault::new(
                ProblemCode::BadRequest,
                format!("the header {name} is missing or malformed"),
            ));
        }
        Ok(value.to_owned())
    };
    let delivery = Delivery {
        sender: "github".to_owned(),
        id: header("x-github-delivery", u8::is_ascii_graphic)?,
        event: header("x-github-event", |byte| byte.is_ascii_lowercase() || *byte == b'_')?,
        body: asked.body.to_vec(),
    };
    let new = app.ask(move |app, now| app.store.deliver(&delivery, now)).await??;
    meters::delivered("github", if new { "taken" } else { "known" });
    Ok(empty(StatusCode::ACCEPTED))
}

/// Checks a delivery's signature over its raw body. Nothing of it is parsed before.
fn verify(app: &App, asked: &Asked) -> Result<(), Fault> {
    let refused = |why: &str| Fault::new(ProblemCode::BadSignature, why);
    let secret = app.settings.github_secret.as_ref();
    let secret = secret.ok_or_else(|| refused("this control plane shares no secret with GitHub; set one"))?;
    let wrong = || refused("the header X-Hub-Signature-256 is not that of this body with the shared secret");
    let given =
        body::single(&asked.headers, "x-hub-signature-256")?.and_then(|value| value.strip_prefix("sha256="));
    // Both are tried whatever the first says.
    let secrets = std::iter::once(secret).chain(&app.settings.github_secret_before);
    let of = |given| {
        secrets.map(|secret| signed::is_of(secret, &[&asked.body], given)).fold(false, |any, one| any | one)
    };
    given.is_some_and(of).then_some(()).ok_or_else(wrong)
}

/// Checks a request of Slack's over its raw body. Nothing of it is parsed before.
fn of_slack(app: &App, asked: &Asked) -> Result<(), Fault> {
    let refused = |why: &str| Fault::new(ProblemCode::BadSignature, why);
    let slack = app.settings.slack.as_ref();
    let slack = slack.ok_or_else(|| refused("this control plane shares no secret with Slack; set one"))?;
    let time = body::single(&asked.headers, "x-slack-request-timestamp")?.unwrap_or_default();
    let signature = body::single(&asked.headers, "x-slack-signature")?.unwrap_or_default();
    signature::verify(&slack.secret, time, signature, &asked.body, app.now()).map_err(|why| {
        meters::delivered("slack", "refused");
        refused(why)
    })
}

/// A slash command. Whoever may not ask, or asks for nothing, is told so at once; all else is for later.
pub(super) async fn slack_command(app: &Arc<App>, asked: &Asked) -> Answered {
    of_slack(app, asked)?;
    // Shown to whoever asked, and to nobody else.
    let said = |text: &str| Ok(json(StatusCode::OK, &json!({"response_type": "ephemeral", "text": text})));
    let spoken = words::command(&asked.body).map_err(|why| Fault::new(ProblemCode::BadRequest, why))?;
    let Some(spoken) = spoken else { return said("") };
    let known = app.settings.slack.as_ref().is_some_and(|slack| slack.people.know(&spoken));
    match spoken.wanted() {
        // Written down, and told, by whoever works on it.
        _ if !known => {}
        Ok(Wanted::Help) => return said(slack::HELP),
        Err(why) => return said(&format!("{}. {}", text::words(&why, 200), slack::HELP)),
        Ok(Wanted::Status(task)) => {
            let told = app.ask(move |app, _| match &app.settings.slack {
                Some(shared) => slack::status(app.store.as_ref(), &shared.people, &spoken, task),
                None => Ok(String::new()),
            });
            return said(&told.await??);
        }
        Ok(_) => {}
    }
    keep(app, words::COMMAND, spoken.id, asked).await?;
    said(if known { "Taken; the answer follows in the channel." } else { slack::STRANGER })
}

/// An event.
pub(super) async fn slack_event(app: &Arc<App>, asked: &Asked) -> Answered {
    of_slack(app, asked)?;
    match words::event(&asked.body).map_err(|why| Fault::new(ProblemCode::BadRequest, why))? {
        Event::Challenge(challenge) => return Ok(json(StatusCode::OK, &json!({"challenge": challenge}))),
        Event::Spoken(spoken) => keep(app, words::MENTION, spoken.id, asked).await?,
        Event::Other => {}
    }
    Ok(json(StatusCode::OK, &json!({})))
}

async fn keep(app: &Arc<App>, event: &str, id: String, asked: &Asked) -> Result<(), Fault> {
    let sender = slack::SENDER.to_owned();
    let delivery = Delivery { sender, id, event: event.to_owned(), body: asked.body.to_vec() };
    let new = app.ask(move |app, now| app.store.deliver(&delivery, now)).await??;
    meters::delivered("slack", if new { "taken" } else { "known" });
    Ok(())
}
