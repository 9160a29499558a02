//! Bodies: bounded before a byte of them is read, and in time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gloaming_api::endpoints::{Auth, Content, Endpoint};
use gloaming_api::problem::ProblemCode;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::answer::Fault;
use crate::app::overloaded;

/// Bytes a second that a client must send at least, over the whole of a body.
const SLOWEST: u64 = 64 << 10;

/// What a browser's forms are sent as, and whatever `curl -d` sends.
const FORM: &str = "application/x-www-form-urlencoded";

/// Returns the one value of a header, none where it is not there.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Fault::new(
            ProblemCode::BadRequest,
            format!("the header {name} is there more than once"),
        ));
    }
    let text = first.map(|value| value.to_str()).transpose();
    text.map_err(|_| Fault::new(ProblemCode::BadRequest, format!("the header {name} is not visible ASCII")))
}

/// Refuses a body that is too large by its own word, or of a type that is not taken.
pub(crate) fn check(endpoint: &Endpoint, headers: &HeaderMap, body: &Incoming) -> Result<(), Fault> {
    let cap = endpoint.body_cap;
    let least = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if least > cap {
        return Err(too_large(cap));
    }
    if body.is_end_stream() {
        return Ok(());
    }
    if cap == 0 {
        return Err(too_large(cap));
    }
    let gzip = matches!(endpoint.body, Content::Git(_))
        && single(headers, CONTENT_ENCODING.as_str())?
            .is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
    if headers.contains_key(CONTENT_ENCODING) && !gzip {
        let detail = "a body is taken as it is; send it without Content-Encoding";
        return Err(Fault::new(ProblemCode::UnsupportedMediaType, detail));
    }
    let wanted = types(&endpoint.body);
    if wanted.is_empty() {
        return Ok(());
    }
    let given = single(headers, CONTENT_TYPE.as_str())?;
    if given.is_none() && is_taken_for_json(endpoint) {
        return Ok(());
    }
    let given = given.unwrap_or_default();
    let mut parts = given.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let utf8 = parts.all(|part| {
        !part.to_ascii_lowercase().starts_with("charset=")
            || part["charset=".len()..].trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    let fits = wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(kind))
        || is_taken_for_json(endpoint) && kind.eq_ignore_ascii_case(FORM);
    if utf8 && fits {
        return Ok(());
    }
    let wanted = wanted.join(" or ");
    Err(Fault::new(ProblemCode::UnsupportedMediaType, format!("the Content-Type must be {wanted}")))
}

/// Whether what comes without a media type, or with the one that `curl -d` sends where none is named, is taken for JSON. Only
/// where a token has to be shown in a header: no page of another site's has a browser send that, which is what the type would
/// otherwise be looked at for.
pub(crate) fn is_taken_for_json(endpoint: &Endpoint) -> bool {
    matches!((&endpoint.body, endpoint.auth), (Content::Json(_), Auth::Token(_)))
}

/// The media types of a content, the usual one first.
fn types(content: &Content) -> &[&'static str] {
    match content {
        Content::Json(_) => &["application/json"],
        Content::Events(_) => &["text/event-stream"],
        Content::Lines => &["application/jsonl", "application/x-ndjson"],
        Content::Bytes => &["application/octet-stream"],
        Content::Git(kind) => std::slice::from_ref(kind),
        Content::Text => &["text/plain"],
        Content::Page => &["text/html"],
        Content::Form => &[FORM],
        Content::None => &[],
    }
}

/// Refuses a client that takes none of what the endpoint answers in (RFC 9110, section 12.5.1; weights but 0 say nothing, as
/// there is nothing to choose from).
pub(crate) fn acceptable(endpoint: &Endpoint, headers: &HeaderMap) -> Result<(), Fault> {
    let Some(offered) = types(&endpoint.answer).first() else { return Ok(()) };
    let mut wanted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    let fits = wanted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let refused =
            parts.any(|part| matches!(part.strip_prefix("q="), Some("0" | "0." | "0.0" | "0.00" | "0.000")));
        let family = kind.strip_suffix('*').filter(|family| family.ends_with('/'));
        let fits = kind == "*/*"
            || kind.eq_ignore_ascii_case(offered)
            || family.is_some_and(|family| offered.starts_with(&family.to_ascii_lowercase()));
        fits && !refused
    });
    if fits {
        Ok(())
    } else {
        Err(Fault::new(ProblemCode::NotAcceptable, format!("this endpoint answers {offered}")))
    }
}

fn too_large(cap: usize) -> Fault {
    let detail = match cap {
        0 => "this endpoint takes no body".to_owned(),
        cap => format!("the body is larger than {cap} bytes, the most that this endpoint takes"),
    };
    Fault::new(ProblemCode::TooLarge, detail)
}

/// Reads a whole body, at most the endpoint's cap, within `whole` where that is given. `held` bounds the bytes of all bodies
/// together: each counts when it is there, and not when it is announced, so that whoever sends slowly holds little. The permit
/// holds them until the request is done.
pub(crate) async fn read<'a>(
    endpoint: &Endpoint,
    mut body: Incoming,
    stall: Duration,
    whole: Option<Duration>,
    held: &'a Semaphore,
) -> Result<(Bytes, Option<SemaphorePermit<'a>>), Fault> {
    if body.is_end_stream() {
        return Ok((Bytes::new(), None));
    }
    let cap = endpoint.body_cap;
    let said = body.size_hint().exact().and_then(|size| usize::try_from(size).ok());
    let most = u32::try_from(said.unwrap_or(cap).min(cap)).unwrap_or(u32::MAX);
    let end = Instant::now() + whole.unwrap_or_else(|| longest(stall, most));
    let mut read = BytesMut::new();
    let mut left = cap;
    let mut permit: Option<SemaphorePermit<'a>> = None;
    while let Some(data) = piece(&mut body, cap, &mut left, end.min(Instant::now() + stall)).await? {
        let more = held.try_acquire_many(u32::try_from(data.len()).unwrap_or(u32::MAX));
        let more = more.map_err(|_| overloaded("too many bodies are being read at once"))?;
        match &mut permit {
            Some(permit) => permit.merge(more),
            None => permit = Some(more),
        }
        read.extend_from_slice(&data);
    }
    Ok((read.freeze(), permit))
}

/// How long a body of so many bytes may take as a whole.
pub(crate) fn longest(stall: Duration, bytes: u32) -> Duration {
    stall + Duration::from_secs(u64::from(bytes) / SLOWEST)
}

/// Reads the next bytes of a body of which `left` of `cap` bytes may still come; none where it has ended.
pub(crate) async fn piece(
    body: &mut Incoming,
    cap: usize,
    left: &mut usize,
    by: Instant,
) -> Result<Option<Bytes>, Fault> {
    loop {
        let frame = match tokio::time::timeout_at(by, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(Fault::new(
                    ProblemCode::BadRequest,
                    format!("the body could not be read: {error}"),
                ));
            }
            Ok(None) => return Ok(None),
            Err(_) => {
                return Err(Fault::new(ProblemCode::RequestTimeout, "the body did not come in time"));
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        *left = left.checked_sub(data.len()).ok_or_else(|| too_large(cap))?;
        return Ok(Some(data));
    }
}

/// Reads JSON of a type; the error names the place.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let place = error.path().to_string();
        let place = if place == "." { String::new() } else { format!("at `{place}`: ") };
        match error.inner().classify() {
            serde_json::error::Category::Data => {
                Fault::new(ProblemCode::InvalidBody, format!("{place}{}", error.inner()))
            }
            _ => Fault::new(ProblemCode::BadRequest, format!("the body is not JSON: {}", error.inner())),
        }
    })?;
    reader
        .end()
        .map_err(|error| Fault::new(ProblemCode::BadRequest, format!("the body is not JSON: {error}")))?;
    Ok(value)
}
