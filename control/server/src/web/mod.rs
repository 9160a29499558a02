//! The pages that people look at: made here whole, read without a script, and worth nothing to whoever is not logged in.
//!
//! Nothing on them is taken from elsewhere, and nothing of what a repository, a model, a test or a stranger wrote is markup:
//! every text goes through [`text::shown`], and the browser is told to run and load nothing but the two files here.

mod change;
mod evidence;
mod forms;
mod frame;
mod journal;
mod list;
mod policy;
mod repos;
mod sessions;
mod task;
mod text;
mod tree;

use std::sync::Arc;

use gloaming_api::RepoId;
use gloaming_api::endpoints::Method;
use gloaming_api::problem::ProblemCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, LOCATION, REFERRER_POLICY};
use http::{HeaderName, Response, StatusCode, Uri};
use maud::Markup;

use self::forms::Form;
use self::frame::Frame;
pub(crate) use self::sessions::{Sessions, cookie};
use crate::answer::{Answered, Body, Fault, bytes, empty};
use crate::app::{App, Asked};
use crate::handlers::{stream, tasks};

/// What a browser may load, run and send, and who may frame it: the files here, and nobody.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const LOGIN: &str = "/web/login";
pub(crate) const HOME: &str = "/web";

/// Does what is asked for of a page.
pub(crate) async fn handle(app: &Arc<App>, asked: &mut Asked) -> Answered {
    let form = match asked.endpoint.method {
        Method::Post => Some(forms::checked(app, asked)?),
        _ => None,
    };
    let answered = match (asked.endpoint.name, form) {
        ("web_root", _) => Ok(see_other(HOME)),
        ("web_login_page", _) => {
            sessions::login_page(app, asked, asked.query("next").unwrap_or_default(), None)
        }
        ("web_login", Some(form)) => sessions::login(app, asked, &form).await,
        ("web_logout", _) => Ok(sessions::logout(app, asked)),
        ("web_style", _) => Ok(file("text/css; charset=utf-8", frame::STYLE)),
        ("web_script", _) => Ok(file("text/javascript; charset=utf-8", frame::SCRIPT)),
        ("web_tasks", _) => list::page(app, asked).await,
        ("web_task", _) => task::page(app, asked).await,
        ("web_watch", _) => stream::watch(app, asked).await,
        ("web_submit_page", _) => {
            // A link may name anything; what is filled in is a repository's name or nothing.
            let repo = asked.query("repo").and_then(|repo| repo.parse::<RepoId>().ok());
            let repo = repo.as_ref().map_or("", RepoId::as_str);
            let form = Form::of(&[("repo", repo), ("key", &forms::fresh()?)]);
            Ok(page(StatusCode::OK, forms::submit(&Frame::of(asked), &form, None)))
        }
        ("web_submit", Some(form)) => forms::submitted(app, asked, &form).await,
        ("web_cancel", _) => tasks::stop(app, asked).await.map(|task| see_other(&task_path(&task.view.id))),
        ("web_retry", _) => tasks::again(app, asked).await.map(|task| see_other(&task_path(&task.view.id))),
        ("web_onboard", _) => repos::onboard(app, asked).await,
        ("web_repos", _) => repos::list(app, asked).await,
        ("web_repo", _) => repos::page(app, asked).await,
        (name, _) => {
            Err(Fault::new(ProblemCode::Internal, format!("{name} is in the table and nobody does it")))
        }
    };
    answered.map(guarded)
}

/// Whether a refusal says no more than that nobody is logged in: no decision to be written down.
pub(crate) fn is_no_login(asked: &Asked, fault: &Fault) -> bool {
    asked.endpoint.is_web()
        && asked.endpoint.name != "web_login"
        && fault.code == ProblemCode::Unauthorized
        && !asked.headers.contains_key(http::header::AUTHORIZATION)
}

/// Answers a request for a page that is refused: people are led to where they log in, and are shown what they sent.
pub(crate) fn refused(app: &Arc<App>, asked: &Asked, fault: Fault, uri: &Uri) -> Answered {
    tracing::info!(code = fault.code.as_str(), detail = fault.detail, "refused");
    let bearer = asked.headers.contains_key(http::header::AUTHORIZATION);
    if asked.endpoint.name == "web_login" {
        let next = Form::parse(&asked.body).ok();
        let next = next.as_ref().and_then(|form| form.get("next")).unwrap_or_default();
        return sessions::login_page(app, asked, next, Some(fault)).map(guarded);
    }
    if fault.code == ProblemCode::Unauthorized && !bearer && asked.endpoint.method == Method::Get {
        let wanted = uri.path_and_query().map_or(HOME, |wanted| wanted.as_str());
        let from_outside = asked.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
        if from_outside && cookie(app, &asked.headers)?.is_none() {
            // A link from elsewhere comes without the cookie, which is `SameSite=Strict`; one from here comes with it.
            return Ok(guarded(page(StatusCode::OK, frame::go_on(wanted))));
        }
        let next: String = form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
        return Ok(guarded(see_other(&format!("{LOGIN}?next={next}"))));
    }
    let form = (asked.endpoint.name == "web_submit").then(|| Form::parse(&asked.body).ok()).flatten();
    let shown = match form {
        Some(form) if asked.caller.is_some() && fault.code != ProblemCode::Forbidden => {
            let (problem, header) = fault.told(&asked.request_id);
            let mut response =
                page(status(problem.status), forms::submit(&Frame::of(asked), &form, Some(&problem)));
            response.headers_mut().extend(header);
            response
        }
        _ => told(&Frame::of(asked), fault, &asked.request_id),
    };
    Ok(guarded(shown))
}

/// Answers a request that was refused before anything was known of who asks.
pub(crate) fn refusal(fault: Fault, request_id: &str) -> Response<Body> {
    guarded(told(&Frame::stranger(), fault, request_id))
}

fn told(frame: &Frame, fault: Fault, request_id: &str) -> Response<Body> {
    let (problem, header) = fault.told(request_id);
    let mut response = page(status(problem.status), frame::problem(frame, &problem));
    response.headers_mut().extend(header);
    response
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn page(status: StatusCode, markup: Markup) -> Response<Body> {
    bytes(status, HTML, markup.into_string())
}

/// A file of ours; its address changes when it does.
fn file(kind: &'static str, content: &'static str) -> Response<Body> {
    let mut response = bytes(StatusCode::OK, kind, content);
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(CACHE_CONTROL, kept);
    response
}

fn see_other(path: &str) -> Response<Body> {
    let mut response = empty(StatusCode::SEE_OTHER);
    let headers = response.headers_mut();
    headers.insert(LOCATION, HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static(HOME)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn task_path(id: &gloaming_api::TaskId) -> String {
    format!("/web/tasks/{id}")
}

fn guarded(mut response: Response<Body>) -> Response<Body> {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
