//! The proxy itself: takes connections, reads what is wanted, asks, and hands on.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gloaming_api::job::{EgressDecision, EgressLog};
use gloaming_policies::{Denial, JobPermit, RuleRef};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::net::Listener;

use super::connect::{NoConnection, connect};
use super::forward::{chain, forward};
use super::hello::Inspector;
use super::log::{Attempt, Log};
use super::stream::{Allowance, Watched};
use super::target::{self, Target};
use super::tunnel::Tunnel;
use super::{Egress, EgressLimits, Resolver};
use crate::{Job, JobError};

/// Says whether a job may reach a host at a port by a scheme (`http`, `https`, `tcp`), and by which rule.
pub type Decide = Arc<dyn Fn(&str, &str, u16) -> Result<RuleRef, Denial> + Send + Sync>;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;
type Opened = Arc<Mutex<Option<Tunnel<Watched<TcpStream>>>>>;

/// How long to wait when the machine has no descriptor left; it tells nobody when it has one again.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The proxy of one job. Clones share their connections' bounds and their log.
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
}

struct Shared {
    decide: Decide,
    private: BTreeSet<(String, u16)>,
    resolver: Resolver,
    limits: EgressLimits,
    allowance: Arc<Allowance>,
    log: Arc<Log>,
    slots: Arc<Semaphore>,
}

impl Proxy {
    /// Returns a proxy that decides by a function; the time of its log begins now.
    ///
    /// # Errors
    /// What is wrong with the operator's values.
    pub fn new(egress: &Egress, decide: Decide) -> Result<Self, String> {
        let private = egress.private.iter().map(|text| private(text)).collect::<Result<_, String>>()?;
        let shared = Shared {
            decide,
            private,
            resolver: egress.resolver.clone(),
            limits: egress.limits,
            allowance: Arc::new(Allowance::new(&egress.limits)),
            log: Arc::new(Log::new()),
            slots: Arc::new(Semaphore::new(egress.limits.connections.clamp(1, Semaphore::MAX_PERMITS))),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns the proxy of a job; none where its policy lets it reach nothing, or its caller offers it no network.
    ///
    /// # Errors
    /// The policy names a set of hosts that is not filled, or the operator's values make no sense.
    pub fn for_job(permit: &JobPermit, job: &Job) -> Result<Option<Self>, JobError> {
        let Some(egress) = job.egress.as_ref().filter(|_| permit.has_network()) else { return Ok(None) };
        let invalid = |reason: String| JobError::Invalid { label: job.label.clone(), reason };
        if let Some(fault) = permit.unfilled_sets(&egress.sets).into_iter().next() {
            return Err(invalid(format!("{fault}; {}", fault.hint.as_deref().unwrap_or_default())));
        }
        let (permit, sets) = (permit.clone(), egress.sets.clone());
        let decide: Decide = Arc::new(move |scheme, host, port| permit.reaches(scheme, host, port, &sets));
        Self::new(egress, decide).map(Some).map_err(invalid)
    }

    /// Serves what is connected to a listener. Never returns; dropped, it ends every connection.
    pub async fn serve(&self, listener: TcpListener) -> Infallible {
        self.accept(listener).await
    }

    /// Makes a Unix socket at a path and serves what is connected to it. Who can open the path can ask: the folder it
    /// is in is the caller's to protect, and the socket the caller's to remove. Dropped, it ends every connection.
    ///
    /// # Errors
    /// What kept the socket from being made.
    pub async fn serve_unix(&self, path: &Path) -> io::Result<Infallible> {
        let listener = UnixListener::bind(path)?;
        Ok(self.accept(listener).await)
    }

    /// Returns every attempt so far.
    pub fn log(&self) -> EgressLog {
        self.shared.log.read()
    }

    /// Serves what comes from a listener, a socket or not; as [`Self::serve`].
    pub(crate) async fn accept<L>(&self, mut listener: L) -> Infallible
    where
        L: Listener<Io: Unpin + Send + 'static>,
    {
        let mut tasks = JoinSet::new();
        loop {
            let Ok(slot) = self.shared.slots.clone().acquire_owned().await else {
                // The semaphore is never closed.
                std::future::pending().await
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let shared = self.shared.clone();
                    tasks.spawn(async move {
                        shared.converse(stream).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a job's connection to its proxy could not be taken");
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
            while tasks.try_join_next().is_some() {}
            if self.shared.exhausted() {
                // Nobody listens any more; what goes on may end.
                drop(listener);
                while tasks.join_next().await.is_some() {}
                return std::future::pending().await;
            }
        }
    }
}

impl Shared {
    /// One connection of the job, to its end.
    async fn converse(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let opened = Opened::default();
        let service = service_fn(|request| {
            let (shared, opened) = (self.clone(), opened.clone());
            async move { Ok::<_, Infallible>(shared.answer(request, &opened).await) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_headers(self.limits.headers)
            .max_header_size(self.limits.head_bytes)
            .half_close(false)
            .serve_connection(TokioIo::new(Watched::new(stream, self.limits.idle)), service)
            .with_upgrades()
            .await;
        if let Err(error) = served
            && error.is_parse()
        {
            let reason = format!("what was asked cannot be read: {}", chain(&error));
            drop(self.refused("", ("http", "", 0), None, reason));
        }
        let tunnel = opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tunnel) = tunnel {
            tunnel.run().await;
        }
    }

    async fn answer(&self, request: Request<Incoming>, opened: &Opened) -> Response<Body> {
        if self.exhausted() {
            let mut gone =
                told(StatusCode::TOO_MANY_REQUESTS, "too many", "the job has tried as often as it may");
            gone.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            return gone;
        }
        let method = request.method().clone();
        let read = target::read(&method, request.uri(), request.version(), request.headers());
        let target = match read {
            Ok(target) => target,
            Err(why) => {
                let (host, port) = request
                    .uri()
                    .authority()
                    .map_or(("", 0), |authority| (authority.host(), authority.port_u16().unwrap_or(0)));
                let scheme = if method == Method::CONNECT { "https" } else { "http" };
                drop(self.refused(method.as_str(), (scheme, host, port), None, why.to_owned()));
                return told(StatusCode::BAD_REQUEST, "refused", &format!("the request is refused: {why}"));
            }
        };
        let (scheme, decided) = self.decide(&target);
        let asked = (scheme, target.host.as_str(), target.port);
        let rule = match decided {
            Ok(rule) => rule,
            Err(denial) => {
                let rule = denial.rule.id.clone();
                let phrase = format!("refused by rule {rule}");
                let why = format!("{scheme}://{}:{} is {denial}", target.host, target.port);
                drop(self.refused(method.as_str(), asked, Some(rule), denial.rule.because));
                return told(StatusCode::FORBIDDEN, &phrase, &why);
            }
        };
        let mut attempt = self.log.begin(method.as_str(), asked, EgressDecision::Allowed { rule: rule.id });
        let private = self.private.contains(&(target.host.clone(), target.port));
        let connected =
            connect(&self.resolver, &target.host, target.port, private, self.limits.connect, |address| {
                attempt.connecting(address);
            });
        let (status, why) = match connected.await {
            Ok(stream) => {
                let host = Watched::new(stream, self.limits.idle)
                    .counted(attempt.live.clone(), self.allowance.clone());
                return if target.tunnel {
                    self.open(request, &target, scheme, host, attempt, opened)
                } else {
                    match forward(request, &target, host, attempt, &self.limits).await {
                        Ok(answer) => answer.map(|body| body.boxed_unsync()),
                        Err(why) => told(StatusCode::BAD_GATEWAY, "bad gateway", &why),
                    }
                };
            }
            Err(NoConnection::Refused(why)) => {
                attempt.refuse(&why);
                return told(StatusCode::FORBIDDEN, "refused address", &why);
            }
            Err(NoConnection::Failed(why)) => (StatusCode::BAD_GATEWAY, why),
            Err(NoConnection::TimedOut(why)) => (StatusCode::GATEWAY_TIMEOUT, why),
        };
        attempt.fail(&*why);
        told(status, "not reached", &why)
    }

    fn exhausted(&self) -> bool {
        self.log.count() >= self.limits.attempts
    }

    /// A tunnel is one of TLS, unless the policy names it as one of anything.
    fn decide(&self, target: &Target) -> (&'static str, Result<RuleRef, Denial>) {
        let ask = |scheme: &'static str| (self.decide)(scheme, &target.host, target.port);
        if !target.tunnel {
            return ("http", ask("http"));
        }
        let denial = match ask("https") {
            Ok(rule) => return ("https", Ok(rule)),
            Err(denial) => denial,
        };
        match ask("tcp") {
            Ok(rule) => ("tcp", Ok(rule)),
            Err(_) => ("https", Err(denial)),
        }
    }

    fn open(
        &self,
        request: Request<Incoming>,
        target: &Target,
        scheme: &str,
        host: Watched<TcpStream>,
        attempt: Attempt,
        opened: &Opened,
    ) -> Response<Body> {
        let tunnel = Tunnel {
            upgrade: hyper::upgrade::on(request),
            host,
            attempt,
            inspector: (scheme != "tcp").then(|| Inspector::new(&target.host)),
            patience: self.limits.head,
        };
        // Run when the connection is the tunnel's and no longer the server's.
        *opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
        Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync())
    }

    fn refused(
        &self,
        method: &str,
        asked: (&str, &str, u16),
        rule: Option<String>,
        reason: String,
    ) -> Attempt {
        self.log.begin(method, asked, EgressDecision::Refused { rule, reason })
    }
}

/// An answer of the proxy's own, for whoever reads the job's output.
fn told(status: StatusCode, phrase: &str, why: &str) -> Response<Body> {
    let text = format!("gloaming: {why}\n");
    let mut response = Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // The body of an answer to CONNECT is shown by no client; this is by some.
    if let Ok(phrase) = ReasonPhrase::try_from(phrase.as_bytes()) {
        response.extensions_mut().insert(phrase);
    }
    response
}

pub(super) fn private(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("{text:?} names no host that may be at a private address; write host:port");
    let authority = text.parse().map_err(|_| wrong())?;
    match target::host_and_port(&authority) {
        Ok((host, Some(port))) if port > 0 => Ok((host, port)),
        _ => Err(wrong()),
    }
}
