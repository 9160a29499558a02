//! Who is logged in. A session is a random secret in a cookie; what is kept of it is its digest, in memory: a restart ends all
//! sessions. It names a token, and is worth what that token is worth at the time of each request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gloaming_api::Digest;
use gloaming_api::access::Scope;
use gloaming_api::problem::ProblemCode;
use http::header::{COOKIE, HeaderValue, SET_COOKIE};
use http::{HeaderMap, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};

use super::forms::Form;
use super::{HOME, forms, frame, page, see_other, status};
use crate::answer::{Answered, Body, Fault};
use crate::app::{App, Asked, Audited};
use crate::auth;

/// How long a session lasts at most.
const LONGEST: SignedDuration = SignedDuration::from_hours(12);
/// How long it lasts without a request.
const IDLE: SignedDuration = SignedDuration::from_hours(2);
/// Sessions of one token; one more ends the oldest of them.
const OF_ONE: usize = 16;
/// Sessions of all.
const ALL: usize = 10_000;
/// Bytes of a secret.
const SECRET: usize = 32;

struct Session {
    token: String,
    begun: Timestamp,
    seen: Timestamp,
}

impl Session {
    fn lasts(&self, now: Timestamp) -> bool {
        now.duration_since(self.begun) < LONGEST && now.duration_since(self.seen) < IDLE
    }
}

/// The sessions of one server, by the digest of their secret.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Digest, Session>>);

impl Sessions {
    /// Returns the id of the token that a session is of.
    pub(crate) fn token_of(&self, secret: &str, now: Timestamp) -> Option<String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = Digest::of(secret);
        let session = known.get_mut(&digest)?;
        if !session.lasts(now) {
            known.remove(&digest);
            return None;
        }
        session.seen = now;
        Some(session.token.clone())
    }

    /// Whether a session has not ended; to ask is no use of it.
    pub(crate) fn lasts(&self, secret: &str, now: Timestamp) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&Digest::of(secret)).is_some_and(|session| session.lasts(now))
    }

    fn begin(&self, secret: &str, token: &str, now: Timestamp) -> Result<(), Fault> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, session| session.lasts(now));
        let of_one: Vec<(&Digest, Timestamp)> = known
            .iter()
            .filter(|(_, session)| session.token == token)
            .map(|(digest, session)| (digest, session.begun))
            .collect();
        if of_one.len() >= OF_ONE {
            let oldest = of_one.into_iter().min_by_key(|(_, begun)| *begun).map(|(digest, _)| digest.clone());
            oldest.map(|oldest| known.remove(&oldest));
        } else if known.len() >= ALL {
            return Err(crate::app::overloaded("too many people are logged in"));
        }
        known.insert(Digest::of(secret), Session { token: token.to_owned(), begun: now, seen: now });
        Ok(())
    }

    fn end(&self, secret: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&Digest::of(secret));
    }
}

/// Whether a request came by TLS: ours, or a proxy's that says so. Whoever lies about it gets a cookie that is kept more
/// strictly than it has to be.
fn is_secure(app: &App, headers: &HeaderMap) -> bool {
    app.certificates.is_some()
        || headers
            .get("x-forwarded-proto")
            .is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// What a cookie is called. Under TLS browsers let nobody but this host set it (RFC 6265bis, section 4.1.3.2).
fn called(secure: bool, name: &str) -> String {
    if secure { format!("__Host-gloaming_{name}") } else { format!("gloaming_{name}") }
}

fn value(app: &App, headers: &HeaderMap, name: &str) -> Result<Option<String>, Fault> {
    let wanted = called(is_secure(app, headers), name);
    let mut found = None;
    // HTTP/2 may send each in a header of its own.
    for header in headers.get_all(COOKIE) {
        let text = header.to_str().unwrap_or_default();
        for (name, value) in text.split(';').filter_map(|pair| pair.trim().split_once('=')) {
            if name != wanted {
                continue;
            }
            if found.is_some() {
                let detail =
                    format!("the cookie {wanted} is there more than once; remove this site's cookies");
                return Err(Fault::new(ProblemCode::BadRequest, detail));
            }
            found = Some(value.to_owned());
        }
    }
    Ok(found)
}

/// Returns the session's secret that a request came with.
pub(crate) fn cookie(app: &App, headers: &HeaderMap) -> Result<Option<String>, Fault> {
    value(app, headers, "session")
}

fn set(secure: bool, name: &str, value: &str, lasts: Duration) -> HeaderValue {
    let attribute = if secure { "; Secure" } else { "" };
    let text = format!(
        "{}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{attribute}",
        called(secure, name),
        lasts.as_secs()
    );
    HeaderValue::from_str(&text).expect("it is plain")
}

/// What the form of the login must repeat: the secret that the page with it was given, in a cookie of its own.
pub(super) fn form_secret(app: &App, headers: &HeaderMap) -> Result<Option<String>, Fault> {
    value(app, headers, "form")
}

/// Shows where a person logs in; again where that was in vain.
pub(super) fn login_page(app: &Arc<App>, asked: &Asked, next: &str, fault: Option<Fault>) -> Answered {
    let secret = auth::random_hex::<SECRET>("make a form")?;
    let told = fault.map(|fault| fault.told(&asked.request_id));
    let problem = told.as_ref().map(|(problem, _)| problem);
    let code = problem.map_or(StatusCode::OK, |problem| status(problem.status));
    let markup = frame::login(&forms::secret_of("web_login", &secret), inside(next), problem);
    let mut response = page(code, markup);
    let headers = response.headers_mut();
    headers
        .append(SET_COOKIE, set(is_secure(app, &asked.headers), "form", &secret, Duration::from_secs(3600)));
    headers.extend(told.and_then(|(_, header)| header));
    Ok(response)
}

/// Returns where to go after the login: a page of ours, and nothing else that a link may name.
fn inside(next: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-?=&%+".contains(&byte);
    let ours = next == HOME || next.starts_with("/web/") || next.starts_with("/web?");
    if ours && next.len() <= 500 && next.bytes().all(plain) { next } else { HOME }
}

pub(super) async fn login(app: &Arc<App>, asked: &mut Asked, form: &Form) -> Answered {
    let given = form.get("token").unwrap_or_default().trim();
    let (id, secret) = auth::parts(given).map_err(|_| not_taken())?;
    let checked = app.check_token(id, secret, Scope::Read).await;
    let caller = checked.map_err(|fault| match fault.code {
        ProblemCode::Unauthorized => not_taken(),
        _ => fault,
    })?;
    if caller.is_bootstrap() {
        let detail = "this token makes the first other one, and does nothing else";
        return Err(Fault::new(ProblemCode::Forbidden, detail));
    }
    let id = caller.token.id.clone();
    asked.caller = Some(caller);
    let audited = Audited::of(asked)?;
    let session = auth::random_hex::<SECRET>("begin a session")?;
    let (begun, kept) = (session.clone(), id.clone());
    app.ask(move |app, now| {
        app.allowed(&audited, &kept, "logged in to the web page", now)?;
        app.sessions.begin(&begun, &kept, now)
    })
    .await??;
    // One that was there before is given up: a secret is never used for two logins.
    if let Some(before) = cookie(app, &asked.headers)? {
        app.sessions.end(&before);
    }
    let mut response = see_other(inside(form.get("next").unwrap_or_default()));
    let headers = response.headers_mut();
    headers
        .append(SET_COOKIE, set(is_secure(app, &asked.headers), "session", &session, LONGEST.unsigned_abs()));
    headers.append(SET_COOKIE, set(is_secure(app, &asked.headers), "form", "", Duration::ZERO));
    Ok(response)
}

fn not_taken() -> Fault {
    Fault::new(ProblemCode::Unauthorized, "This token is not taken. It may be mistyped, revoked or expired.")
}

pub(super) fn logout(app: &App, asked: &Asked) -> Response<Body> {
    if let Some(secret) = &asked.session {
        app.sessions.end(secret);
    }
    let mut response = see_other(super::LOGIN);
    response
        .headers_mut()
        .append(SET_COOKIE, set(is_secure(app, &asked.headers), "session", "", Duration::ZERO));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + minutes * 60).unwrap()
    }

    #[test]
    fn a_session_ends_by_time_by_idleness_and_where_there_are_too_many_of_its_token() {
        let sessions = Sessions::default();
        sessions.begin("a", "t1", at(0)).unwrap();
        assert_eq!(sessions.token_of("b", at(0)), None);
        for minutes in (100..=700).step_by(100) {
            assert_eq!(sessions.token_of("a", at(minutes)).as_deref(), Some("t1"), "{minutes}");
        }
        assert_eq!(sessions.token_of("a", at(720)), None, "twelve hours are over");
        sessions.begin("a", "t1", at(0)).unwrap();
        assert_eq!(sessions.token_of("a", at(119)).as_deref(), Some("t1"));
        assert!(sessions.lasts("a", at(238)) && !sessions.lasts("a", at(239)), "to ask is no use");
        assert_eq!(sessions.token_of("a", at(239)), None, "two hours without a request");
        for number in 0..=OF_ONE {
            sessions.begin(&number.to_string(), "t1", at(300 + i64::try_from(number).unwrap())).unwrap();
        }
        sessions.begin("other", "t2", at(300)).unwrap();
        assert_eq!(sessions.token_of("0", at(320)), None);
        assert!(["1", "16", "other"].iter().all(|secret| sessions.token_of(secret, at(320)).is_some()));
        sessions.end("other");
        assert_eq!(sessions.token_of("other", at(320)), None);
    }

    #[test]
    fn no_link_leads_elsewhere_after_the_login() {
        for next in ["/web", "/web/tasks/t-0?x=%20", "/web?repo=acme%2Fapi"] {
            assert_eq!(inside(next), next);
        }
        for next in [
            "",
            "/",
            "//evil.example",
            "/webx",
            "https://evil.example/web/",
            "/web/\r\nx",
            "/web/\\x",
            "/v1/tasks",
        ] {
            assert_eq!(inside(next), HOME, "{next}");
        }
    }
}
