//! One request and what its answer means: done, not now, not known, not there, refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use jiff::{SignedDuration, Timestamp};
use octocrab::Octocrab;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::host::HostError;

/// The version of the API that is spoken.
const VERSION: &str = "2022-11-28";

/// The largest answer that is read, bytes. A page of 100 long comments is the largest there is.
const ANSWER_CAP: usize = 32 << 20;

/// How long a request may take, from its first byte to its answer's last.
const WHOLE: Duration = Duration::from_secs(60);

/// How long to leave GitHub alone where it says "too much" and not for how long (its documentation: "at least one minute").
const PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// The longest that it may tell us to wait; a clock of its own that is wrong must not stop us for days.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(2);

/// Answers that are kept to ask "anything new?" with, their bytes, and those of the largest of them. A pull request is some
/// 20 KiB, so it is about 3,000 of them that are asked after by a round of the reconciler and cost nothing.
const MOST_KEPT: usize = 8_192;
const BYTES_KEPT: usize = 64 << 20;
const LARGEST_KEPT: usize = 512 << 10;

/// For how long an answer keeps its place where there are more. Where a round asks for more than are kept, taking the places of
/// those that are asked for again in the next one would keep none of them.
const FRESH: SignedDuration = SignedDuration::from_hours(1);

/// Tells the time. Requests ask it, so it is a function and not a value.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A request.
pub(super) struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<&'a Value>,
    accept: &'static str,
    conditional: bool,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        let accept = "application/vnd.github+json";
        Self { method: Method::GET, path, body: None, accept, conditional: false }
    }

    pub(super) fn post(path: &'a str, body: &'a Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(path) }
    }

    pub(super) fn patch(path: &'a str, body: &'a Value) -> Self {
        Self { method: Method::PATCH, body: Some(body), ..Self::get(path) }
    }

    /// Wants a file's bytes instead of a description of it.
    pub(super) fn raw(self) -> Self {
        Self { accept: "application/vnd.github.raw+json", ..self }
    }

    /// Asks only for what is new since the last time; costs nothing of the rate limit where nothing is.
    pub(super) fn polled(self) -> Self {
        Self { conditional: true, ..self }
    }

    fn asked(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Reads the answer's body.
    pub(super) fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, HostError> {
        serde_json::from_slice(body).map_err(|error| {
            let (asked, why) = (self.asked(), format!("its answer is not what is documented: {error}"));
            match self.method {
                Method::GET => HostError::Refused { asked, status: 200, why },
                // A page of a proxy in between says nothing of whether it was done.
                _ => HostError::Unknown { asked, why },
            }
        })
    }
}

/// An answer that is kept.
struct Kept {
    tag: HeaderValue,
    body: Arc<Vec<u8>>,
    /// When it was asked for last.
    used: Timestamp,
}

/// Answers that are kept, by path.
#[derive(Default)]
struct Seen {
    answers: HashMap<String, Kept>,
    bytes: usize,
}

impl Seen {
    fn find(&mut self, path: &str, now: Timestamp) -> Option<(HeaderValue, Arc<Vec<u8>>)> {
        let kept = self.answers.get_mut(path)?;
        kept.used = now;
        Some((kept.tag.clone(), Arc::clone(&kept.body)))
    }

    /// Keeps an answer where there is room, or one that was not asked for lately.
    fn keep(&mut self, path: &str, tag: &HeaderValue, body: &Arc<Vec<u8>>, now: Timestamp) {
        self.drop(path);
        if body.len() > LARGEST_KEPT {
            return;
        }
        while self.answers.len() >= MOST_KEPT || self.bytes + body.len() > BYTES_KEPT {
            let oldest = self.answers.iter().min_by_key(|(_, kept)| kept.used);
            let Some((oldest, _)) = oldest.filter(|(_, kept)| now.duration_since(kept.used) >= FRESH) else {
                return;
            };
            let oldest = oldest.clone();
            self.drop(&oldest);
        }
        self.bytes += body.len();
        let kept = Kept { tag: tag.clone(), body: Arc::clone(body), used: now };
        self.answers.insert(path.to_owned(), kept);
    }

    fn drop(&mut self, path: &str) {
        self.bytes -= self.answers.remove(path).map_or(0, |kept| kept.body.len());
    }
}

/// The connection to one GitHub.
pub(super) struct Client {
    octocrab: Octocrab,
    clock: Clock,
    seen: Mutex<Seen>,
}

impl Client {
    /// Opens no connection yet. `base` is the API's address.
    pub(super) fn new(base: &str, clock: Clock) -> Result<Self, octocrab::Error> {
        let octocrab = Octocrab::builder()
            .base_uri(base)?
            .set_connect_timeout(Some(Duration::from_secs(10)))
            .set_read_timeout(Some(Duration::from_secs(30)))
            .set_write_timeout(Some(Duration::from_secs(30)))
            .build()?;
        Ok(Self { octocrab, clock, seen: Mutex::default() })
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Sends a request whose answer is JSON of a type.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        token: &SecretString,
    ) -> Result<T, HostError> {
        call.read(&self.send(call, token).await?)
    }

    /// Sends a request. Returns the answer's body, where it was done.
    pub(super) async fn send(
        &self,
        call: &Call<'_>,
        token: &SecretString,
    ) -> Result<Arc<Vec<u8>>, HostError> {
        let asked = call.asked();
        let unknown = |why: String| HostError::Unknown { asked: asked.clone(), why };
        let kept = call.conditional.then(|| self.seen().find(call.path, self.now())).flatten();
        let request = request(call, token, kept.as_ref().map(|(tag, _)| tag))
            .map_err(|why| HostError::Refused { asked: asked.clone(), status: 0, why })?;
        let exchange = async {
            let answer = self.octocrab.execute(request).await.map_err(|error| cause(&error))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_CAP).collect().await.map_err(|error| error.to_string())?;
            Ok::<_, String>((head, body.to_bytes()))
        };
        let (head, body) = match tokio::time::timeout(WHOLE, exchange).await {
            Ok(done) => done.map_err(unknown)?,
            Err(_) => return Err(unknown(format!("no answer in {} s", WHOLE.as_secs()))),
        };
        tracing::debug!(%asked, status = head.status.as_u16(), "asked the code host");
        if head.status == StatusCode::NOT_MODIFIED
            && let Some((_, body)) = kept
        {
            return Ok(body);
        }
        if head.status.is_success() {
            let body = Arc::new(body.to_vec());
            if let (true, Some(tag)) = (call.conditional, head.headers.get(ETAG)) {
                self.seen().keep(call.path, tag, &body, self.now());
            }
            return Ok(body);
        }
        Err(failure(asked, head.status, &head.headers, &body, self.now()))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request(
    call: &Call<'_>,
    token: &SecretString,
    tag: Option<&HeaderValue>,
) -> Result<http::Request<String>, String> {
    let mut secret = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
        .map_err(|_| "the token has characters that no header can hold".to_owned())?;
    secret.set_sensitive(true);
    let mut request = http::Request::builder()
        .method(call.method.clone())
        .uri(format!("/{}", call.path))
        .header(ACCEPT, call.accept)
        .header("x-github-api-version", VERSION)
        .header(AUTHORIZATION, secret);
    if let Some(tag) = tag {
        request = request.header(IF_NONE_MATCH, tag);
    }
    let body = match call.body {
        Some(body) => {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
            body.to_string()
        }
        None => String::new(),
    };
    request.body(body).map_err(|error| error.to_string())
}

/// Tells an error with what is beneath it: the outermost one says "Service Error" and no more.
fn cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(next) = deepest.source() {
        deepest = next;
    }
    // The first line: octocrab's own may carry a backtrace.
    deepest.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Returns what an answer that is no success means.
fn failure(asked: String, status: StatusCode, headers: &HeaderMap, body: &[u8], now: Timestamp) -> HostError {
    let why = message(body);
    if status.is_server_error() {
        // GitHub tells by 503 and this header that it took nothing in; without the header nothing is known.
        return match (status, pause(headers, now)) {
            (StatusCode::SERVICE_UNAVAILABLE, Some(at)) => HostError::Later { at, asked, why },
            _ => HostError::Unknown { asked, why: format!("status {}: {why}", status.as_u16()) },
        };
    }
    let limited = status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::FORBIDDEN
            && (headers.contains_key(RETRY_AFTER)
                || number(headers, "x-ratelimit-remaining") == Some(0)
                || why.to_ascii_lowercase().contains("rate limit"));
    match status {
        _ if limited => HostError::Later { at: pause(headers, now).unwrap_or(now + PAUSE), asked, why },
        StatusCode::REQUEST_TIMEOUT => HostError::Unknown { asked, why },
        StatusCode::NOT_FOUND | StatusCode::GONE => HostError::NotFound { asked },
        status => HostError::Refused { asked, status: status.as_u16(), why },
    }
}

/// Returns when to ask again, where the answer says so: after `Retry-After` seconds, or when the hour's requests are used
/// up, at their return.
fn pause(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let after = number(headers, RETRY_AFTER.as_str()).map(|seconds| now + SignedDuration::from_secs(seconds));
    let reset = (number(headers, "x-ratelimit-remaining") == Some(0))
        .then(|| number(headers, "x-ratelimit-reset"))
        .flatten()
        .and_then(|second| Timestamp::from_second(second).ok())
        // Its clock and ours differ by a second or two.
        .map(|at| at + SignedDuration::from_secs(2));
    after.or(reset).map(|at| at.clamp(now, now + LONGEST_PAUSE))
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    let number: i64 = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
    (0..=i64::from(u32::MAX)).contains(&number).then_some(number)
}

/// Returns what the code host says of an error: `message`, and of each of `errors` what it has.
fn message(body: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return "(no message)".to_owned() };
    let mut said = vec![value["message"].as_str().unwrap_or("(no message)").to_owned()];
    for error in value["errors"].as_array().into_iter().flatten().take(3) {
        let part = error.as_str().or_else(|| error["message"].as_str()).or_else(|| error["code"].as_str());
        said.extend(part.map(str::to_owned));
    }
    gloaming_api::path::escape_name(gloaming_api::bowout::shorten(&said.join("; "), 300).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_what_is_asked_again_keeps_its_place() {
        let start: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
        let tag = HeaderValue::from_static("one");
        for size in [10, LARGEST_KEPT] {
            let body = Arc::new(vec![b'x'; size]);
            let fit = MOST_KEPT.min(BYTES_KEPT / size);
            let mut seen = Seen::default();
            let mut round = |now: Timestamp, count: usize| {
                let mut found = 0;
                for number in 0..count {
                    let path = number.to_string();
                    found += usize::from(seen.find(&path, now).is_some());
                    seen.keep(&path, &tag, &body, now);
                }
                (found, seen.answers.len(), seen.bytes == seen.answers.len() * size)
            };
            // One more than is kept: all others are found again, round after round.
            assert_eq!(round(start, fit + 1), (0, fit, true));
            for minutes in [5, 10] {
                assert_eq!(round(start + SignedDuration::from_mins(minutes), fit + 1), (fit, fit, true));
            }
            // What is asked for no more makes room.
            let later = start + SignedDuration::from_hours(2);
            seen.keep("new", &tag, &body, later);
            assert_eq!((seen.find("new", later).is_some(), seen.answers.len()), (true, fit));
            seen.keep("too large", &tag, &Arc::new(vec![0; LARGEST_KEPT + 1]), later);
            assert!(seen.find("too large", later).is_none());
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
        let told = |status: u16, headers: &[(&'static str, &str)], body: &str| {
            let headers = headers
                .iter()
                .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
                .collect();
            failure("GET x".into(), StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), now)
                .to_string()
        };
        let said: Vec<String> = vec![
            told(
                403,
                &[("retry-after", "30")],
                r#"{"message": "You have exceeded a secondary rate limit."}"#,
            ),
            told(429, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795780830")], "{}"),
            told(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1799999999")], "{}"),
            told(403, &[], r#"{"message": "You have exceeded a secondary rate limit."}"#),
            told(429, &[("retry-after", "-5")], "<html>"),
            told(403, &[], r#"{"message": "Resource not accessible by integration"}"#),
            told(
                422,
                &[],
                r#"{"message": "Validation Failed", "errors": [{"message": "already\u001b exists"}]}"#,
            ),
            told(401, &[], r#"{"message": "Bad credentials"}"#),
            told(404, &[], "{}"),
            told(502, &[], "<html>"),
            told(503, &[("retry-after", "7")], r#"{"message": "busy"}"#),
        ];
        insta::assert_snapshot!(said.join("\n"), @r"
        GET x: not before 2026-11-27T12:00:30Z: You have exceeded a secondary rate limit.
        GET x: not before 2026-11-27T12:00:32Z: (no message)
        GET x: not before 2026-11-27T14:00:00Z: (no message)
        GET x: not before 2026-11-27T12:01:00Z: You have exceeded a secondary rate limit.
        GET x: not before 2026-11-27T12:01:00Z: (no message)
        GET x: refused with status 403: Resource not accessible by integration
        GET x: refused with status 422: Validation Failed; already\u{1b} exists
        GET x: refused with status 401: Bad credentials
        GET x: there is no such thing, or the credentials do not reach it
        GET x: status 502: (no message); it may have been done all the same
        GET x: not before 2026-11-27T12:00:07Z: busy
        ");
    }
}
