//! Answers: what a handler returns, and what it refuses with.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use gloaming_api::problem::{MEDIA_TYPE, Problem, ProblemCode};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use serde::Serialize;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What a handler comes to.
pub(crate) type Answered = Result<Response<Body>, Fault>;

/// The longest detail of a problem, bytes.
const DETAIL_CAP: usize = 1000;

/// Why a request is not done, with the headers that go with it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: ProblemCode,
    pub(crate) detail: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Fault {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        let header = (code == ProblemCode::Unauthorized)
            .then(|| (WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"gloaming\"")));
        Self { code, detail: detail.into(), header }
    }

    /// Says to a client that shows no header by itself that a password is wanted: git.
    pub(crate) fn asking_for_password(mut self) -> Self {
        if self.code == ProblemCode::Unauthorized {
            self.header = Some((WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"gloaming\"")));
        }
        self
    }

    /// The same words whether there is no such thing or it is another's.
    pub(crate) fn missing(what: &str) -> Self {
        Self::new(ProblemCode::NotFound, format!("there is no such {what}, or this token may not see it"))
    }

    pub(crate) fn after(code: ProblemCode, wait: Duration, detail: impl Into<String>) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let header = Some((RETRY_AFTER, HeaderValue::from(seconds.max(1))));
        Self { code, detail: detail.into(), header }
    }

    pub(crate) fn not_allowed(allow: &str) -> Self {
        let header = HeaderValue::from_str(allow).ok().map(|value| (ALLOW, value));
        let detail = format!("this path takes {allow}");
        Self { code: ProblemCode::MethodNotAllowed, detail, header }
    }

    /// Something failed that the client can do nothing about: it is told no more than that, and the log has the rest.
    pub(crate) fn internal(doing: &str, error: &dyn std::error::Error) -> Self {
        let causes: Vec<String> =
            std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
        tracing::error!(error = causes.join(": "), "could not {doing}");
        Self::new(
            ProblemCode::Internal,
            format!("could not {doing}; the server's log has more under this request's id"),
        )
    }

    pub(crate) fn answer(self, request_id: &str) -> Response<Body> {
        let (problem, header) = self.told(request_id);
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(status, &problem);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.extend(header);
        response
    }

    /// Returns it as it is told, and the header that goes with it.
    pub(crate) fn told(self, request_id: &str) -> (Problem, Option<(HeaderName, HeaderValue)>) {
        let mut detail = self.detail;
        // It may quote what was sent, which may be as long as a body.
        if detail.len() > DETAIL_CAP {
            detail.truncate(detail.floor_char_boundary(DETAIL_CAP));
            detail.push_str(" ...");
        }
        let mut problem = Problem::new(self.code, detail);
        problem.request_id = Some(request_id.to_owned());
        (problem, self.header)
    }
}

impl From<gloaming_store::StoreError> for Fault {
    fn from(error: gloaming_store::StoreError) -> Self {
        Self::internal("ask the store", &error)
    }
}

/// Returns an answer with a body of a type.
pub(crate) fn bytes(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Returns an answer of JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(body) => bytes(status, "application/json", body),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Returns an answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}
