//! Asking a control plane over HTTP: what the command line and workers do.
//!
//! What it is not: it decides nothing, keeps nothing, and retries nothing; whoever asks knows what a second request means.
//!
//! Invariants:
//! - the token is sent to the one server that was named, over TLS or to this machine, and is never printed;
//! - redirects are not followed, and an answer is read to a bound.
#![forbid(unsafe_code)]

mod lease;

use std::fmt;
use std::time::Duration;

use eventsource_stream::Eventsource as _;
use futures::{Stream, StreamExt as _};
use gloaming_api::endpoints::{Content, Endpoint, Method};
use gloaming_api::problem::Problem;
use gloaming_api::task::TaskEvent;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Response, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest that an answer is waited for, beyond what was asked to be waited.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest answer that is read, bytes.
const ANSWER_CAP: usize = 64 << 20;

/// Why a control plane did not answer as it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address or the token cannot be used.
    #[error("{0}")]
    Setup(String),
    /// The request was refused, and why.
    #[error("{} ({}): {}", .0.title, .0.code.as_str(), .0.detail)]
    Refused(Box<Problem>),
    /// It could not be reached, broke off, or is too busy.
    #[error("{0}")]
    Away(String),
    /// What was answered is nothing that a control plane says.
    #[error("{0}")]
    Nonsense(String),
}

/// A control plane, and a token for it.
#[derive(Clone)]
pub struct Client {
    base: Url,
    authorization: HeaderValue,
    token: SecretString,
    http: reqwest::Client,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client for the control plane at `base`, such as `https://gloaming.acme.example`.
    ///
    /// # Errors
    /// It is no such address, the token cannot be sent in a header, or it would be sent in the open.
    pub fn new(base: &str, token: &SecretString) -> Result<Self, ClientError> {
        let bad = |why: String| ClientError::Setup(format!("{base}: {why}"));
        let mut url = Url::parse(base).map_err(|error| bad(format!("no address: {error}")))?;
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => return Err(bad("it names no host".into())),
        };
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(bad("the token would be sent in the open: use https".into())),
            _ => return Err(bad("want an https address".into())),
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(bad("want an address without user, password and query".into()));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret().trim()))
            .map_err(|_| ClientError::Setup("the token holds characters that no token has".into()))?;
        authorization.set_sensitive(true);
        // Fails only where a provider was chosen before; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("gloaming/", env!("CARGO_PKG_VERSION")));
        if loopback {
            builder = builder.no_proxy();
        }
        if url.scheme() == "http" {
            // The system's certificates are neither needed nor always there.
            builder = builder.tls_certs_only([]);
        }
        let http =
            builder.build().map_err(|error| bad(format!("the HTTP client does not start: {error}")))?;
        Ok(Self { base: url, authorization, token: token.clone(), http })
    }

    /// Returns an address of the control plane's with the token in it, for git to read from.
    pub(crate) fn with_credentials(&self, path: &str) -> Result<String, ClientError> {
        let mut url = self.url(path)?;
        let token = self.token.expose_secret().trim();
        url.set_username("lease")
            .and_then(|()| url.set_password(Some(token)))
            .map_err(|()| ClientError::Setup("the address takes no credentials".into()))?;
        Ok(url.into())
    }

    fn url(&self, path: &str) -> Result<Url, ClientError> {
        self.base
            .join(path.trim_start_matches('/'))
            .map_err(|error| ClientError::Setup(format!("{path} is no path: {error}")))
    }

    /// Begins a request to an endpoint of the table; `path` are the values of its parameters, in order.
    fn request(
        &self,
        endpoint: &Endpoint,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<reqwest::RequestBuilder, ClientError> {
        let mut url = self.url("")?;
        let mut values = path.iter();
        {
            let mut segments =
                url.path_segments_mut().map_err(|()| ClientError::Setup("the address has no path".into()))?;
            segments.pop_if_empty();
            for part in endpoint.path.trim_start_matches('/').split('/') {
                match part.starts_with('{') {
                    true => segments.push(values.next().expect("a value for each parameter")),
                    false => segments.push(part),
                };
            }
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let method = match endpoint.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        Ok(self.http.request(method, url).header(AUTHORIZATION, self.authorization.clone()))
    }

    /// Asks an endpoint and returns the answer's bytes; none where there is no content.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn bytes(&self, ask: Ask<'_>) -> Result<Option<Vec<u8>>, ClientError> {
        let mut request = self.request(ask.endpoint, ask.path, ask.query)?.timeout(PATIENCE + ask.wait);
        if let Some(key) = ask.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = ask.body {
            let kind = match ask.endpoint.body {
                Content::Json(_) => "application/json",
                Content::Lines => "application/jsonl",
                _ => "application/octet-stream",
            };
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        let response = sound(request.send().await.map_err(|error| away(&error))?).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        bounded(response).await.map(Some)
    }

    /// Asks an endpoint that answers JSON.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn json<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T, ClientError> {
        let name = ask.endpoint.name;
        let bytes = self.bytes(ask).await?.unwrap_or_default();
        serde_json::from_slice(&bytes).map_err(|error| {
            ClientError::Nonsense(format!("the answer of {name} is not understood: {error}"))
        })
    }

    /// Streams what happens to a task after an event. The stream ends when the task has, or the server drains.
    ///
    /// # Errors
    /// See [`ClientError`]; an error within the stream ends it.
    pub async fn watch(
        &self,
        endpoint: &Endpoint,
        task: &str,
        after: u64,
    ) -> Result<impl Stream<Item = Result<TaskEvent, ClientError>> + use<>, ClientError> {
        let request = self.request(endpoint, &[task], &[])?.header("last-event-id", after.to_string());
        let response = sound(request.send().await.map_err(|error| away(&error))?).await?;
        Ok(response.bytes_stream().eventsource().filter_map(|event| async {
            match event {
                Ok(event) if event.data.is_empty() => None,
                Ok(event) => {
                    Some(serde_json::from_str(&event.data).map_err(|error| {
                        ClientError::Nonsense(format!("an event is not understood: {error}"))
                    }))
                }
                Err(error) => Some(Err(ClientError::Away(format!("the stream broke off: {error}")))),
            }
        }))
    }
}

/// One question.
#[derive(Clone)]
pub struct Ask<'a> {
    /// Whom.
    pub endpoint: &'a Endpoint,
    /// The values of the path's parameters, in order.
    pub path: &'a [&'a str],
    /// The query.
    pub query: &'a [(&'a str, String)],
    /// The body.
    pub body: Option<Vec<u8>>,
    /// What makes a second request the first one.
    pub idempotency_key: Option<&'a str>,
    /// How long the server was asked to wait before it answers.
    pub wait: Duration,
}

impl<'a> Ask<'a> {
    /// Asks an endpoint of the table by its name.
    ///
    /// # Panics
    /// There is no such endpoint: a mistake in the program.
    pub fn of(name: &str, path: &'a [&'a str]) -> Self {
        let endpoint = gloaming_api::endpoints::named(name);
        let endpoint = endpoint.unwrap_or_else(|| panic!("{name} is no endpoint"));
        Self { endpoint, path, query: &[], body: None, idempotency_key: None, wait: Duration::ZERO }
    }

    /// With JSON as its body.
    #[must_use]
    pub fn with(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_vec(body).expect("values of ours are JSON"));
        self
    }
}

/// Returns an answer that says that all went well, or what else it says.
async fn sound(response: Response) -> Result<Response, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retryable = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    let bytes = bounded(response).await?;
    match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) if !retryable => Err(ClientError::Refused(Box::new(problem))),
        Ok(problem) => Err(ClientError::Away(format!("{} ({status}): {}", problem.title, problem.detail))),
        Err(_) if retryable => Err(ClientError::Away(format!("the server answers {status}"))),
        Err(_) => Err(ClientError::Nonsense(format!(
            "the server answers {status}, and not as a control plane does"
        ))),
    }
}

async fn bounded(mut response: Response) -> Result<Vec<u8>, ClientError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| away(&error))? {
        if bytes.len() + chunk.len() > ANSWER_CAP {
            return Err(ClientError::Nonsense(format!("the answer is larger than {} MiB", ANSWER_CAP >> 20)));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// An error with its causes, without the address: that is the caller's to name.
fn away(error: &reqwest::Error) -> ClientError {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&part);
        }
        cause = error.source();
    }
    ClientError::Away(text)
}
