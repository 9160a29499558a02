//! Git's reads of the repository of a lease's task, handed on to the code host and back bit by bit.
//!
//! The worker shows its own token; the code host's credential is put in here and comes back to nobody. Neither redirects nor
//! what else the code host says beside the protocol's own messages is handed on.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use gloaming_api::RepoId;
use gloaming_api::access::Scope;
use gloaming_api::endpoints::Content;
use gloaming_api::problem::ProblemCode;
use gloaming_api::worker::LeaseKey;
use gloaming_forge::HostError;
use gloaming_forge::host::ReadAccess;
use gloaming_store::Refused;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, StatusCode};
use hyper::body::{Body as _, Incoming};
use jiff::{SignedDuration, Timestamp};
use reqwest::{RequestBuilder, Response};
use tokio::time::{Instant, timeout};

use super::leases::{key, of_lease};
use super::stream::{Place, streamed};
use crate::answer::{Answered, Fault};
use crate::app::{App, Asked};
use crate::body;
use crate::reads::Reads;

/// The service that reads. The other one writes, and is not there.
const READ: &str = "git-upload-pack";
/// How many reads of one lease go on at once: git makes one after the other.
const STREAMS: usize = 4;
/// How often it is looked whether the lease is still held while an answer goes on.
const LOOK: SignedDuration = SignedDuration::from_secs(5);
/// How long to leave the code host alone where it says "too much" and not for how long, and the longest that it may say.
const PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(7200);
/// The longest value of the header Git-Protocol that is handed on, bytes.
const PROTOCOL_CAP: usize = 200;

/// Begins a read: what there is.
pub(super) async fn refs(app: &Arc<App>, asked: &mut Asked) -> Answered {
    match asked.query("service") {
        Some(READ) => {}
        Some("git-receive-pack") => {
            let detail = "nothing is written this way; a worker hands over its change with its result";
            return Err(Fault::new(ProblemCode::Forbidden, detail));
        }
        _ => return Err(Fault::new(ProblemCode::BadRequest, format!("the query's `service`: want {READ}"))),
    }
    let (reads, repo) = of_task(app, asked).await?;
    let place = place(app, asked)?;
    let wait = app.settings.timeouts.host;
    let ask = |access: &ReadAccess| {
        request(asked, &reads, Method::GET, access, &format!("info/refs?service={READ}"))
    };
    let first = access(app, &reads, &repo, None).await?;
    let mut answer = sent(ask(&first)?, wait).await?;
    if answer.status() == StatusCode::UNAUTHORIZED {
        // A credential may be taken back before its time.
        let second = access(app, &reads, &repo, Some(&first)).await?;
        answer = sent(ask(&second)?, wait).await?;
    }
    handed_on(app, asked, answer, place)
}

/// Reads objects.
pub(crate) async fn read(
    app: &Arc<App>,
    asked: &mut Asked,
    incoming: Incoming,
    unread: &mut bool,
) -> Answered {
    let (reads, repo) = of_task(app, asked).await?;
    let place = place(app, asked)?;
    let access = access(app, &reads, &repo, None).await?;
    let mut request = request(asked, &reads, Method::POST, &access, READ)?;
    for name in [CONTENT_TYPE, CONTENT_ENCODING] {
        if let Some(value) = asked.headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let size = incoming.size_hint().exact();
    if let Some(size) = size {
        request = request.header(CONTENT_LENGTH, size);
    }
    let (cap, stall) = (asked.endpoint.body_cap, app.settings.timeouts.body);
    let most =
        size.and_then(|size| u32::try_from(size).ok()).unwrap_or(u32::try_from(cap).unwrap_or(u32::MAX));
    let longest = body::longest(stall, most);
    let (why, whole) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(incoming.is_end_stream())));
    let wants = Wants {
        body: incoming,
        cap,
        left: cap,
        stall,
        end: Instant::now() + longest,
        why: Arc::clone(&why),
        whole: Arc::clone(&whole),
    };
    let body = reqwest::Body::wrap_stream(stream::unfold(wants, Wants::next));
    let answer = sent(request.body(body), longest + app.settings.timeouts.host).await;
    *unread = !whole.load(Ordering::Acquire);
    if let Some(fault) = why.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(fault);
    }
    handed_on(app, asked, answer?, place)
}

/// Returns what reads, and what is to be read: the repository of the task whose lease the caller holds.
async fn of_task(app: &Arc<App>, asked: &Asked) -> Result<(Arc<Reads>, RepoId), Fault> {
    let repo = of_lease(app, asked, |app, key, token, now| {
        let task =
            app.store.holds(key, token, now)?.then(|| app.store.task(&key.task)).transpose()?.flatten();
        Ok(task.ok_or(Refused::Lost)?.view.repo)
    });
    let repo = repo.await?;
    let detail = "this control plane reads no code host for workers; clone from where the lease says";
    let reads = app.settings.reads.clone().ok_or_else(|| Fault::new(ProblemCode::NotFound, detail))?;
    Ok((reads, repo))
}

async fn access(
    app: &App,
    reads: &Reads,
    repo: &RepoId,
    refused: Option<&ReadAccess>,
) -> Result<ReadAccess, Fault> {
    reads.access(repo, refused).await.map_err(|error| {
        tracing::warn!(%error, %repo, "the code host does not let a repository be read");
        match error {
            HostError::Later { at, .. } => {
                busy(Duration::try_from(at.duration_since(app.now())).unwrap_or_default())
            }
            HostError::NotFound { .. } => missing(),
            HostError::Unknown { .. } | HostError::Refused { .. } => {
                failed("it gives no credential to read with")
            }
        }
    })
}

fn request(
    asked: &Asked,
    reads: &Reads,
    method: Method,
    access: &ReadAccess,
    tail: &str,
) -> Result<RequestBuilder, Fault> {
    let version = body::single(&asked.headers, "git-protocol")?;
    if version
        .is_some_and(|text| text.len() > PROTOCOL_CAP || !text.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        return Err(Fault::new(ProblemCode::BadRequest, "the header Git-Protocol: want such as `version=2`"));
    }
    let request = reads.request(method, access, tail, kind(asked)).map_err(|why| {
        tracing::error!(why, "the code host cannot be asked");
        failed("it cannot be asked")
    })?;
    Ok(match version {
        Some(version) => request.header("git-protocol", version),
        None => request,
    })
}

/// The media type of the endpoint's answer.
fn kind(asked: &Asked) -> &'static str {
    match asked.endpoint.answer {
        Content::Git(kind) => kind,
        _ => unreachable!("the table says so of both"),
    }
}

/// Sends a request, and waits for the answer's head.
async fn sent(request: RequestBuilder, wait: Duration) -> Result<Response, Fault> {
    match timeout(wait, request.send()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            tracing::warn!(
                error = crate::webhook::causes(&error.without_url()),
                "the code host was not reached"
            );
            Err(failed("it could not be reached, or broke off"))
        }
        Err(_) => Err(failed("it did not answer in time")),
    }
}

/// Hands an answer on that is one of the protocol's; says of any other what it means.
fn handed_on(app: &Arc<App>, asked: &mut Asked, answer: Response, place: Place) -> Answered {
    let (status, wanted) = (answer.status(), kind(asked));
    if status != StatusCode::OK {
        tracing::warn!(status = status.as_u16(), "the code host lets a repository not be read");
        return Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
                missing()
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let wait =
                    answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                busy(wait.map_or(PAUSE, Duration::from_secs))
            }
            status if status.is_redirection() => failed(
                "it leads elsewhere, which is not followed; name the repository as it is called there now",
            ),
            _ => failed("it answers with an error"),
        });
    }
    let given = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !given.eq_ignore_ascii_case(wanted) || answer.headers().contains_key(CONTENT_ENCODING) {
        tracing::warn!(given, wanted, "the code host's answer is none of git's smart HTTP protocol");
        return Err(failed("what it answers is none of git's smart HTTP protocol"));
    }
    asked.working = None;
    let told = Told {
        answer,
        app: Arc::clone(app),
        key: key(asked)?,
        token: asked.caller()?.token.id.clone(),
        looked: app.now(),
        _place: place,
    };
    Ok(streamed(wanted, stream::unfold(told, Told::next)))
}

/// Takes a place among the streams of the lease, since many workers may share one token.
fn place(app: &Arc<App>, asked: &Asked) -> Result<Place, Fault> {
    let LeaseKey { task, attempt } = key(asked)?;
    Place::take(app, format!("{task}/{attempt}"), STREAMS.min(app.settings.caps.streams_of_one))
}

fn missing() -> Fault {
    let detail = "the code host has no such repository, or does not let this control plane read it";
    Fault::new(ProblemCode::NotFound, detail)
}

fn busy(wait: Duration) -> Fault {
    let detail = "the code host wants to be left alone for a while; try again later";
    Fault::after(ProblemCode::Overloaded, wait.min(LONGEST_PAUSE), detail)
}

fn failed(why: &str) -> Fault {
    Fault::new(ProblemCode::HostFailed, format!("the code host did not let the repository be read: {why}"))
}

/// What git asks for, on its way to the code host.
struct Wants {
    body: Incoming,
    cap: usize,
    left: usize,
    stall: Duration,
    end: Instant,
    /// Why it ended before its end.
    why: Arc<Mutex<Option<Fault>>>,
    /// Whether all of it was read.
    whole: Arc<AtomicBool>,
}

impl Wants {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let by = self.end.min(Instant::now() + self.stall);
        let piece = body::piece(&mut self.body, self.cap, &mut self.left, by).await;
        if self.body.is_end_stream() {
            self.whole.store(true, Ordering::Release);
        }
        match piece {
            Ok(piece) => Some((Ok(piece?), self)),
            Err(fault) => {
                *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
                // What is cut short must not look whole to the code host either.
                Some((Err(io::Error::other("the body broke off")), self))
            }
        }
    }
}

/// What the code host tells, on its way to git.
struct Told {
    answer: Response,
    app: Arc<App>,
    key: LeaseKey,
    token: String,
    looked: Timestamp,
    _place: Place,
}

impl Told {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let piece = match self.held().await {
            true => timeout(self.app.settings.timeouts.host, self.answer.chunk()).await,
            false => return Some((Err(io::Error::other("the lease is lost")), self)),
        };
        match piece {
            Ok(Ok(piece)) => Some((Ok(piece?), self)),
            // An answer that is cut short must not look whole.
            Ok(Err(error)) => {
                let why = crate::webhook::causes(&error.without_url());
                tracing::warn!(why, "the code host broke off");
                Some((Err(io::Error::other("the code host broke off")), self))
            }
            Err(_) => Some((Err(io::Error::other("the code host went silent")), self)),
        }
    }

    /// Whether the lease is still the token's, looked up every few seconds.
    async fn held(&mut self) -> bool {
        let now = self.app.now();
        if now.duration_since(self.looked) < LOOK {
            return true;
        }
        self.looked = now;
        let (key, token) = (self.key.clone(), self.token.clone());
        let asked = self.app.ask(move |app, now| {
            let taken = app.store.token(&token)?.is_some_and(|(token, _)| token.allows(Scope::Worker, now));
            Ok::<_, gloaming_store::StoreError>(taken && app.store.holds(&key, &token, now)?)
        });
        matches!(asked.await, Ok(Ok(true)))
    }
}
