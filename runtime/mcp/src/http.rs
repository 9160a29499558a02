//! Streamable HTTP on one path, `/mcp`.
//!
//! In this order, and cheap things first: a cap on connections, time and size limits on the headers, the token,
//! the path, a cap on sessions, time and size limits on the body; then, in the SDK, `Host` and `Origin` against
//! pages that rebind a name to this machine, and only then is the body parsed.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gloaming_api::Digest;
use http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Server;
use crate::client::Client;

/// The one path.
const PATH: &str = "/mcp";
/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 128;
/// Sessions at once, and how long one lives without a request.
const SESSIONS: usize = 128;
const SESSION_LIFE: Duration = Duration::from_secs(30 * 60);
/// How long a client may take for its headers, which also ends connections that idle, and for its body.
const HEADER_TIME: Duration = Duration::from_secs(30);
const BODY_TIME: Duration = Duration::from_secs(30);
/// Bytes of all headers, and of a body: as much as a line on standard input may have.
const HEADER_BYTES: usize = 64 << 10;
const BODY_BYTES: usize = 16 << 20;
/// How long answers that are ready, and then connections, have to leave once the server stops.
const LEAVING: Duration = Duration::from_secs(2);
/// How long to wait after a connection could not be accepted: descriptors may be short.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The session header of the protocol.
const SESSION: &str = "mcp-session-id";

/// The fewest characters of a token: 128 bits in base64 are 22, and a word is shorter.
const TOKEN: usize = 16;

type Body = BoxBody<Bytes, Infallible>;

/// Why nothing is served over HTTP.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Others can reach the address, and there is no token.
    #[error("others can reach {0}, and there is no token that keeps them out")]
    Exposed(SocketAddr),
    /// The token is too short or cannot be sent.
    #[error("the token must be {TOKEN} or more characters of ASCII without spaces")]
    Token,
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// A bearer token, kept as its digest: it can be compared and not be printed.
#[derive(Clone)]
pub struct Token(Digest);

impl Token {
    /// Takes a token as an operator's file holds it; white space around it does not count.
    ///
    /// # Errors
    /// It is too short, or cannot be sent in a header.
    pub fn new(text: &str) -> Result<Self, HttpError> {
        let text = text.trim();
        if text.len() < TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HttpError::Token);
        }
        Ok(Self(Digest::of(text)))
    }

    /// Whether a request carries it. Digests are compared, in constant time: how long it takes says nothing.
    fn opens(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
        let (scheme, token) = given.split_at(given.len().min(b"Bearer ".len()));
        let token = Digest::of(token);
        let same = token.as_str().as_bytes().ct_eq(self.0.as_str().as_bytes());
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(same)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// An address that is listened on, with what keeps strangers out.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<Token>,
}

impl Listener {
    /// Listens on an address; on one that other machines can reach only with a token.
    ///
    /// # Errors
    /// The address can be reached by others and there is no token, or it cannot be had.
    pub async fn bind(address: SocketAddr, token: Option<Token>) -> Result<Self, HttpError> {
        if !is_loopback(address) && token.is_none() {
            return Err(HttpError::Exposed(address));
        }
        let failed = |source| HttpError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, token })
    }

    /// Returns the address that clients are given.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl Server {
    /// Serves over HTTP until `stop` ends; then calls that run have a moment to end and to be answered.
    pub async fn serve_http(&self, listener: Listener, stop: impl Future<Output = ()>) {
        let Listener { listener, address, token } = listener;
        let end = CancellationToken::new();
        let front = Arc::new(Front::new(self, address, token, end.clone()));
        let connections = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut stop = std::pin::pin!(stop);
        loop {
            let next = async {
                let place = places.clone().acquire_owned().await.expect("it is never closed");
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = &mut stop => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection = connections.watch(front.clone().connection(stream));
                    tokio::spawn(async move {
                        let _place = place;
                        if let Err(error) = connection.await {
                            tracing::debug!(%error, "a connection ended early");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
        drop(listener);
        self.drain().await;
        front.answers.close();
        let answered = tokio::time::timeout(LEAVING, front.answers.wait()).await;
        end.cancel();
        let closed = tokio::time::timeout(LEAVING, connections.shutdown()).await;
        if answered.is_err() || closed.is_err() {
            tracing::warn!("some clients did not take their answers; their connections are cut");
        }
    }
}

/// What stands before the SDK's service.
struct Front {
    service: StreamableHttpService<Client, LocalSessionManager>,
    sessions: Arc<LocalSessionManager>,
    token: Option<Token>,
    /// The answers to requests that are on their way.
    answers: TaskTracker,
}

impl Front {
    fn new(server: &Server, address: SocketAddr, token: Option<Token>, end: CancellationToken) -> Self {
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.keep_alive = Some(SESSION_LIFE);
        let sessions = Arc::new(sessions);
        let config = StreamableHttpServerConfig::default()
            .with_cancellation_token(end)
            .with_max_request_body_bytes(BODY_BYTES)
            // No page has business here: every request that a page made is refused.
            .enforce_origin_validation();
        let config = if is_loopback(address) {
            config.with_allowed_hosts([
                "localhost".to_owned(),
                "127.0.0.1".into(),
                "::1".into(),
                host(address),
            ])
        } else {
            // Under which names others reach this machine is not known here; a page that rebinds one of them
            // still has no token.
            config.disable_allowed_hosts()
        };
        let server = server.clone();
        let service = StreamableHttpService::new(move || Ok(server.client()), sessions.clone(), config);
        Self { service, sessions, token, answers: TaskTracker::new() }
    }

    fn connection(
        self: Arc<Self>,
        stream: TcpStream,
    ) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers may be held back");
        }
        let service = service_fn(move |request| {
            let front = self.clone();
            async move { Ok::<_, Infallible>(front.answer(request).await) }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if self.token.as_ref().is_some_and(|token| !token.opens(request.headers())) {
            let mut refusal = plain(StatusCode::UNAUTHORIZED, "a bearer token is needed");
            refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return refusal;
        }
        if request.uri().path() != PATH {
            return plain(StatusCode::NOT_FOUND, "the server is at /mcp");
        }
        let post = request.method() == Method::POST;
        if post
            && !request.headers().contains_key(SESSION)
            && self.sessions.sessions.read().await.len() >= SESSIONS
        {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "too many sessions; end some or come back later");
        }
        let on_its_way = post.then(|| self.answers.token());
        let (parts, body) = request.into_parts();
        let body = match tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_BYTES).collect()).await {
            Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive"),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return plain(StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than 16 MiB");
            }
            Ok(Err(_)) => return plain(StatusCode::BAD_REQUEST, "the request broke off"),
            Ok(Ok(body)) => body.to_bytes(),
        };
        let response = self.service.handle(Request::from_parts(parts, Full::new(body))).await;
        response.map(|body| {
            body.map_frame(move |frame| {
                // Dropped with the body, when the last of it has left.
                let _on_its_way = &on_its_way;
                frame
            })
            .boxed()
        })
    }
}

fn host(address: SocketAddr) -> String {
    address.ip().to_string()
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_to_itself_alone_and_cannot_be_printed() {
        let token = Token::new("0123456789abcdef-secret\n").unwrap();
        let headers = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            headers
        };
        assert!(token.opens(&headers("Bearer 0123456789abcdef-secret")));
        assert!(token.opens(&headers("bearer 0123456789abcdef-secret")));
        for wrong in [
            "Bearer 0123456789abcdef-secre",
            "Bearer 0123456789abcdef-secret2",
            "Bearer  0123456789abcdef-secret",
            "Basic 0123456789abcdef-secret",
            "0123456789abcdef-secret",
            "Bearer",
            "",
        ] {
            assert!(!token.opens(&headers(wrong)), "{wrong}");
        }
        assert!(!token.opens(&HeaderMap::new()));
        assert_eq!(format!("{token:?}"), "Token");
        for bad in ["", "short", "0123456789 abcdef", "0123456789äbcdef"] {
            assert!(Token::new(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn an_address_that_others_reach_is_not_bound_without_a_token() {
        for exposed in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
            let bound = Listener::bind(exposed.parse().unwrap(), None).await;
            assert!(matches!(bound, Err(HttpError::Exposed(_))), "{exposed}");
        }
        assert!(Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.is_ok());
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(Listener::bind("0.0.0.0:0".parse().unwrap(), Some(token)).await.is_ok());
    }
}
