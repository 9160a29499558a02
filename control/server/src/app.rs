//! A request's way: routed, let in, bounded, read, done, and written down.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gloaming_api::Digest;
use gloaming_api::access::Scope;
use gloaming_api::endpoints::{Auth, Content, Endpoint, is_web};
use gloaming_api::problem::ProblemCode;
use gloaming_api::stats::Stats;
use gloaming_store::Store;
use http::header::{ALLOW, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use jiff::Timestamp;
use metrics_exporter_prometheus::PrometheusHandle;
use moka::future::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::Instrument as _;

use crate::accept::Acceptor;
use crate::answer::{Answered, Body, Fault, empty};
use crate::auth::{self, Caller, LastUse};
use crate::bells::Bells;
use crate::guard::Rooms;
use crate::limits::{Rates, client_of};
use crate::policies::Policies;
use crate::profiles::Profiles;
use crate::routes::{Routed, Routes};
use crate::settings::{Clock, Settings};
use crate::shared::Shared;
use crate::tls::{Certificates, TlsError};
use crate::watched::Watched;
use crate::web::{self, Sessions};
use crate::wire::REQUEST_ID;
use crate::{body, handlers, meters};

/// For how long what came of tasks is told to others that may see the same.
const STATS: Duration = Duration::from_secs(5);

/// Larger answers, bytes, are counted among those that there is room for.
const LARGE: usize = 256 << 10;

/// How far a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// No new request is taken, and streams and waits end.
    Draining,
    /// What is still open is cut.
    Forced,
}

/// Everything that requests share.
pub(crate) struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) policies: Arc<Policies>,
    pub(crate) acceptor: Arc<dyn Acceptor>,
    pub(crate) bells: Arc<Bells>,
    pub(crate) profiles: Profiles,
    pub(crate) certificates: Option<Certificates>,
    pub(crate) recorder: &'static PrometheusHandle,
    pub(crate) rates: Rates,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) waiting: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    /// Streams of each token.
    pub(crate) streams_of: Mutex<HashMap<String, usize>>,
    requests: Arc<Semaphore>,
    body_bytes: Semaphore,
    /// The same for bodies whose sender is only known when they are read: they cannot take the others' room.
    unknown_bytes: Semaphore,
    /// What came of tasks, by the repositories that one may see: every task is read for it.
    pub(crate) stats: Shared<Vec<String>, Arc<Stats>>,
    /// For large answers.
    rooms: Arc<Rooms>,
    /// Whether the store can be written: tried once a second, however often it is asked for.
    pub(crate) writable: tokio::sync::Mutex<crate::handlers::seeing::Writable>,
    routes: Routes,
    last_use: LastUse,
    pub(crate) sessions: Sessions,
}

/// A request that was let in, with its body.
pub(crate) struct Asked {
    pub(crate) endpoint: &'static Endpoint,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) caller: Option<Caller>,
    /// The secret of the session it came under; none where it came with a token.
    pub(crate) session: Option<String>,
    pub(crate) request_id: String,
    /// Counts it among those that are worked on; given up by what waits.
    pub(crate) working: Option<OwnedSemaphorePermit>,
}

impl Asked {
    /// Returns a parameter of the path; the table has it.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Returns a parameter of the path as what it stands for; what cannot be one is not there.
    pub(crate) fn parsed<T: std::str::FromStr>(&self, name: &str, what: &str) -> Result<T, Fault> {
        self.param(name).parse().map_err(|_| Fault::missing(what))
    }

    /// Returns a parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns a parameter of the query as what it stands for.
    pub(crate) fn query_as<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Fault> {
        let value = self.query(name).map(str::parse).transpose();
        value.map_err(|_| Fault::new(ProblemCode::BadRequest, format!("the query's `{name}` cannot be that")))
    }

    pub(crate) fn caller(&self) -> Result<&Caller, Fault> {
        // The table lets nobody else in; were it wrong, nobody would be.
        self.caller.as_ref().ok_or_else(|| Fault::new(ProblemCode::Unauthorized, "give a token"))
    }

    /// Says who asks, for the audit log.
    pub(crate) fn who(&self, address: IpAddr) -> String {
        self.caller.as_ref().map_or_else(|| format!("address:{address}"), |caller| caller.token.id.clone())
    }
}

impl App {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        settings: Settings,
        clock: Clock,
        policies: Arc<Policies>,
        acceptor: Arc<dyn Acceptor>,
    ) -> Result<Arc<Self>, TlsError> {
        let bells = Bells::new();
        let store: Arc<dyn Store> = Arc::new(Watched::new(store, Arc::clone(&bells)));
        let caps = &settings.caps;
        Ok(Arc::new(Self {
            profiles: Profiles::new(Arc::clone(&store)),
            store,
            certificates: settings.tls.clone().map(Certificates::open).transpose()?,
            recorder: meters::recorder(),
            rates: Rates::new(settings.rate_factor),
            phase: watch::channel(Phase::Running).0,
            waiting: Arc::new(Semaphore::new(caps.waiting)),
            streams: Arc::new(Semaphore::new(caps.streams)),
            streams_of: Mutex::default(),
            requests: Arc::new(Semaphore::new(caps.requests)),
            body_bytes: Semaphore::new(caps.body_bytes.min(Semaphore::MAX_PERMITS)),
            unknown_bytes: Semaphore::new((caps.body_bytes / 4).min(Semaphore::MAX_PERMITS)),
            stats: Shared::new(Cache::builder().max_capacity(100).time_to_live(STATS).build()),
            rooms: Rooms::new(caps.answer_bytes),
            writable: tokio::sync::Mutex::default(),
            routes: Routes::new(),
            last_use: LastUse::default(),
            sessions: Sessions::default(),
            bells,
            settings,
            clock,
            policies,
            acceptor,
        }))
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Asks the store where it may block.
    pub(crate) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        ask: impl FnOnce(&App, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let app = Arc::clone(self);
        let span = tracing::Span::current();
        let asked = tokio::task::spawn_blocking(move || {
            let _entered = span.enter();
            let now = app.now();
            ask(&app, now)
        });
        asked.await.map_err(|error| Fault::internal("finish what was asked", &error))
    }

    /// Answers a request. What is returned carries the request's id, whatever became of it.
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        address: IpAddr,
    ) -> Response<Body> {
        let begun = Instant::now();
        let id = uuid::Uuid::now_v7().simple().to_string();
        let routed = self.routes.find(request.method(), request.uri().path());
        // The root leads to the pages and is none: what is no request at all most often names it.
        let page = request.uri().path() != "/" && is_web(request.uri().path());
        let endpoint = match &routed {
            Routed::Found { endpoint, .. } => endpoint.name,
            _ => "unknown",
        };
        let head = request.method() == Method::HEAD;
        let span = tracing::info_span!("request", id, endpoint, method = %request.method(), %address);
        meters::in_flight(1.0);
        let _gone = OnDrop(|| meters::in_flight(-1.0));
        let old = request.version() < Version::HTTP_2;
        let mut unread = !request.body().is_end_stream();
        let answered = self.answer(routed, request, address, &id, &mut unread).instrument(span.clone()).await;
        let mut response = answered.unwrap_or_else(|fault| {
            span.in_scope(|| tracing::info!(code = fault.code.as_str(), detail = fault.detail, "refused"));
            if page { web::refusal(fault, &id) } else { fault.answer(&id) }
        });
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, HeaderValue::from_str(&id).expect("it is hexadecimal"));
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        if unread && old {
            // What of the body is still to come is not the next request.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if head {
            if let Some(size) = response.body().size_hint().exact() {
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
            }
            *response.body_mut() = Empty::new().map_err(|never| match never {}).boxed_unsync();
        }
        let (status, took) = (response.status().as_u16(), begun.elapsed());
        meters::answered(endpoint, status, took);
        span.in_scope(|| tracing::info!(status, ms = took.as_secs_f64() * 1000.0, "answered"));
        response
    }

    async fn answer(
        self: &Arc<Self>,
        routed: Routed,
        request: Request<Incoming>,
        address: IpAddr,
        id: &str,
        unread: &mut bool,
    ) -> Answered {
        let hosts = request.headers().get_all(HOST).iter().count();
        if hosts > 1 || hosts == 0 && request.version() == Version::HTTP_11 {
            return Err(Fault::new(ProblemCode::BadRequest, "there must be one header Host"));
        }
        let (endpoint, params) = match routed {
            Routed::Found { endpoint, params } => (endpoint, params),
            Routed::Other { allow } if request.method() == Method::OPTIONS => {
                let mut response = empty(StatusCode::NO_CONTENT);
                response
                    .headers_mut()
                    .insert(ALLOW, HeaderValue::from_str(&allow).expect("it is made of methods"));
                return Ok(response);
            }
            Routed::Other { allow } => return Err(Fault::not_allowed(&allow)),
            Routed::Missing => {
                return Err(Fault::new(
                    ProblemCode::NotFound,
                    "there is no such path; /openapi.json lists them",
                ));
            }
        };
        let (parts, incoming) = request.into_parts();
        let mut asked = Asked {
            endpoint,
            params,
            query: Vec::new(),
            headers: parts.headers,
            body: Bytes::new(),
            caller: None,
            session: None,
            request_id: id.to_owned(),
            working: None,
        };
        // Whoever looks whether it lives is answered, however much there is to do.
        let probe = matches!(endpoint.name, "livez" | "readyz");
        if !probe {
            if *self.phase.borrow() > Phase::Running {
                let wait = Duration::from_secs(1);
                return Err(Fault::after(
                    ProblemCode::Draining,
                    wait,
                    "this server is shutting down; ask again",
                ));
            }
            asked.working = Some(self.place()?);
        }
        let done = self.let_in_and_do(&mut asked, parts.uri.query(), incoming, address, unread).await;
        let done = match done {
            Err(fault) if is_denial(fault.code) && !web::is_no_login(&asked, &fault) => {
                Err(self.denied(&asked, fault, parts.uri.path(), address).await)
            }
            done => done,
        };
        let done = done.and_then(|response| self.with_room(&asked, address, response));
        match done {
            Err(fault) if endpoint.is_web() => web::refused(self, &asked, fault, &parts.uri),
            done => done,
        }
    }

    /// Takes a place among the requests that are worked on.
    fn place(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let permit = Arc::clone(&self.requests).try_acquire_owned();
        permit.map_err(|_| overloaded("too many requests are worked on"))
    }

    /// Takes room for an answer that is large, until the client has taken it.
    fn with_room(&self, asked: &Asked, address: IpAddr, mut response: Response<Body>) -> Answered {
        let bytes = response.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
        if let Some(bytes) = bytes.filter(|bytes| *bytes > LARGE) {
            let client =
                asked.caller.as_ref().map_or_else(|| client_of(address), |caller| caller.token.id.clone());
            let room = self.rooms.take(&client, bytes);
            let room = room.ok_or_else(|| overloaded("too many large answers wait to be taken"))?;
            response.extensions_mut().insert(room);
        }
        Ok(response)
    }

    async fn let_in_and_do(
        self: &Arc<Self>,
        asked: &mut Asked,
        query: Option<&str>,
        incoming: Incoming,
        address: IpAddr,
        unread: &mut bool,
    ) -> Answered {
        let endpoint = asked.endpoint;
        let client = match endpoint.auth {
            Auth::Public | Auth::Signature => client_of(address),
            Auth::Token(scope) | Auth::Session(scope) | Auth::Password(scope) => {
                let by_session = matches!(endpoint.auth, Auth::Session(_));
                let caller = if by_session && !asked.headers.contains_key(AUTHORIZATION) {
                    self.recognise(asked, scope).await?
                } else if matches!(endpoint.auth, Auth::Password(_)) {
                    let caller = self.authenticate(&asked.headers, scope, true).await;
                    caller.map_err(Fault::asking_for_password)?
                } else {
                    self.authenticate(&asked.headers, scope, false).await?
                };
                let client = format!("token:{}", caller.token.id);
                asked.caller = Some(caller);
                client
            }
        };
        self.rates.check(endpoint, &client).map_err(|wait| {
            let detail = format!("more than {} requests a second; wait", endpoint.rate);
            Fault::after(ProblemCode::RateLimited, wait, detail)
        })?;
        if asked.caller.as_ref().is_some_and(Caller::is_bootstrap) && endpoint.name != "create_token" {
            let detail = "this token makes the first other one, and does nothing else";
            return Err(Fault::new(ProblemCode::Forbidden, detail));
        }
        asked.query = parse_query(endpoint, query)?;
        body::check(endpoint, &asked.headers, &incoming)?;
        body::acceptable(endpoint, &asked.headers)?;
        if endpoint.name == "lease_artifact" {
            // The largest body there is: whether it will be taken is asked before it is read.
            handlers::leases::held(self, asked).await?;
        }
        if let Content::Git(_) = endpoint.body {
            return handlers::git::read(self, asked, incoming, unread).await;
        }
        let timeouts = &self.settings.timeouts;
        let stall = timeouts.body;
        let (read, _held) = if asked.caller.is_some() {
            body::read(endpoint, incoming, stall, None, &self.body_bytes).await?
        } else {
            // Who it is shows only in what is read: until then it takes nobody's place, and no long time.
            let worked_on = asked.working.take().is_some();
            let whole = Some(timeouts.stranger);
            let read = body::read(endpoint, incoming, stall, whole, &self.unknown_bytes).await?;
            asked.working = worked_on.then(|| self.place()).transpose()?;
            read
        };
        *unread = false;
        asked.body = read;
        handlers::handle(self, asked).await
    }

    /// Finds out who asks. Nothing of the body was read before.
    async fn authenticate(
        self: &Arc<Self>,
        headers: &HeaderMap,
        wanted: Scope,
        password: bool,
    ) -> Result<Caller, Fault> {
        let (id, secret) = auth::shown(body::single(headers, AUTHORIZATION.as_str())?, password)?;
        self.check_token(id, secret, wanted).await
    }

    /// Checks a token by its id and the digest of its secret.
    pub(crate) async fn check_token(
        self: &Arc<Self>,
        id: String,
        secret: Digest,
        wanted: Scope,
    ) -> Result<Caller, Fault> {
        self.ask(move |app, now| {
            let found = app.store.token(&id)?;
            app.used(auth::check(found, &secret, wanted, now)?, now)
        })
        .await?
    }

    /// Finds out whose session a request came under. It ends with its token: that is asked each time.
    async fn recognise(self: &Arc<Self>, asked: &mut Asked, wanted: Scope) -> Result<Caller, Fault> {
        let secret = web::cookie(self, &asked.headers)?.ok_or_else(auth::refused)?;
        let id = self.sessions.token_of(&secret, self.now()).ok_or_else(auth::refused)?;
        asked.session = Some(secret);
        self.ask(move |app, now| {
            let (token, _) = app.store.token(&id)?.ok_or_else(auth::refused)?;
            app.used(auth::taken(token, wanted, now)?, now)
        })
        .await?
    }

    /// Notes that a token was used.
    fn used(&self, caller: Caller, now: Timestamp) -> Result<Caller, Fault> {
        if self.last_use.is_news(&caller.token.id, now) {
            self.store.token_used(&caller.token.id, now)?;
        }
        Ok(caller)
    }

    /// Writes a refusal down. One address's are written so often a second, and no more: the log is not for strangers to fill.
    async fn denied(self: &Arc<Self>, asked: &Asked, fault: Fault, path: &str, address: IpAddr) -> Fault {
        let client =
            asked.caller.as_ref().map_or_else(|| client_of(address), |caller| caller.token.id.clone());
        if let Err(wait) = self.rates.refused(&client) {
            return Fault::after(ProblemCode::RateLimited, wait, "too many refused requests; wait");
        }
        let (who, action) = (asked.who(address), asked.endpoint.name);
        let subject: String = path.chars().take(200).collect();
        let detail = format!("{}, request {}", fault.code.as_str(), asked.request_id);
        let written = self
            .ask(move |app, now| app.store.audit(&who, "deny", action, &subject, &detail, now))
            .await
            .and_then(|written| Ok(written?));
        // What could not be written down is refused all the same; the log has told why.
        written.err().unwrap_or(fault)
    }

    /// Writes down what is about to be done.
    pub(crate) fn allowed(
        &self,
        asked: &Audited,
        subject: &str,
        detail: &str,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let detail = match detail {
            "" => format!("request {}", asked.request_id),
            detail => format!("{detail}, request {}", asked.request_id),
        };
        Ok(self.store.audit(&asked.who, "allow", asked.action, subject, &detail, now)?)
    }

    /// Ends when the server has come so far in its life.
    pub(crate) async fn reached(&self, wanted: Phase) {
        // An error is a server that is gone.
        let _ = self.phase.subscribe().wait_for(|phase| *phase >= wanted).await;
    }
}

/// Whose request it is, as the audit log says it.
#[derive(Debug, Clone)]
pub(crate) struct Audited {
    pub(crate) who: String,
    pub(crate) action: &'static str,
    pub(crate) request_id: String,
}

impl Audited {
    pub(crate) fn of(asked: &Asked) -> Result<Self, Fault> {
        let who = asked.caller()?.token.id.clone();
        Ok(Self { who, action: asked.endpoint.name, request_id: asked.request_id.clone() })
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

pub(crate) fn overloaded(detail: &str) -> Fault {
    meters::turned_away(ProblemCode::Overloaded.as_str());
    Fault::after(ProblemCode::Overloaded, Duration::from_secs(1), format!("{detail}; try again later"))
}

/// Whether a refusal is a decision about who may do what.
fn is_denial(code: ProblemCode) -> bool {
    matches!(
        code,
        ProblemCode::Unauthorized
            | ProblemCode::Forbidden
            | ProblemCode::NotFound
            | ProblemCode::LeaseLost
            | ProblemCode::BadSignature
            | ProblemCode::PolicyBlocked
    )
}

/// Takes a query apart: what the table does not name for the endpoint is refused.
fn parse_query(endpoint: &Endpoint, query: Option<&str>) -> Result<Vec<(String, String)>, Fault> {
    let wrong = |detail: String| Fault::new(ProblemCode::BadRequest, detail);
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let Some(known) = endpoint.query.iter().find(|known| known.name == name) else {
            let names: Vec<&str> = endpoint.query.iter().map(|known| known.name).collect();
            let known = if names.is_empty() {
                "takes none".to_owned()
            } else {
                format!("takes {}", names.join(", "))
            };
            let name: String = name.escape_debug().take(80).collect();
            return Err(wrong(format!(
                "the query's parameter `{name}` is unknown; {} {known}",
                endpoint.name
            )));
        };
        if found.iter().any(|(name, _)| name == known.name) {
            return Err(wrong(format!("the query's `{}` is there more than once", known.name)));
        }
        found.push((known.name.to_owned(), value.into_owned()));
    }
    let missing = endpoint
        .query
        .iter()
        .find(|known| known.required && !found.iter().any(|(name, _)| name == known.name));
    match missing {
        Some(missing) => Err(wrong(format!("the query's `{}` is missing", missing.name))),
        None => Ok(found),
    }
}
