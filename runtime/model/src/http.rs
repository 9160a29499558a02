//! One call over HTTP: its tries, its waits, its bounds.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::Bytes;
use eventsource_stream::{EventStreamError, Eventsource as _};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::address::{is_loopback, of_model, origin};
use crate::error::presentable;
use crate::limit::{Limiter, NoTurn, Turn};
use crate::lines::lines;
use crate::price::{request_bytes, worst_case};
use crate::spec::Api;
use crate::wait::{delay_in_details, retry_after};
use crate::{
    Block, Model, ModelError, ModelSpec, Price, Request, Response, Settings, Stop, ToolCalls, Usage,
    anthropic, by_schema, estimate_tokens, gemini, openai, responses,
};

/// The most bytes of an error's body that are read.
const MAX_ERROR_BODY: usize = 64 << 10;

/// A whole answer, before it is priced.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) blocks: Vec<Block>,
    pub(crate) stop: Stop,
    /// None when the provider named none.
    pub(crate) usage: Option<Usage>,
    pub(crate) model: String,
}

/// Puts a streamed answer together.
pub(crate) trait Assembler: Send {
    /// Takes the next event. Returns whether it was the last.
    fn event(&mut self, data: &str) -> Result<bool, ModelError>;

    /// Returns the whole answer, or that it is cut off.
    fn finish(self: Box<Self>) -> Result<Answer, ModelError>;

    /// Returns the usage named so far, for the price of an answer that breaks off.
    fn usage(&self) -> Option<Usage>;
}

/// A model behind HTTP.
pub(crate) struct Client {
    spec: ModelSpec,
    name: String,
    url: reqwest::Url,
    key: Option<SecretString>,
    headers: HeaderMap,
    http: reqwest::Client,
    price: Option<Price>,
    settings: Settings,
    limiter: Arc<Limiter>,
    official: bool,
}

/// How far a try came: what it may be billed for when it fails.
#[derive(Default)]
struct Progress {
    /// The server took the request and began to answer.
    accepted: bool,
    usage: Option<Usage>,
    bytes: usize,
}

impl Client {
    pub(crate) fn new(spec: &ModelSpec, mut settings: Settings) -> Result<Self, ModelError> {
        let name = spec.to_string();
        let setup = |reason: String, hint: String| ModelError::Setup { spec: name.clone(), reason, hint };
        let base = settings.base_url.as_deref().or(spec.provider.default_base_url()).ok_or_else(|| {
            setup(
                "no base URL is given".into(),
                "name the server's address, like http://localhost:8080/v1".into(),
            )
        })?;
        let url = of_model(spec, base, settings.stream).map_err(|reason| {
            setup(format!("the base URL is not usable: {reason}"), "give one like https://host/v1".into())
        })?;
        if settings.tools == ToolCalls::Schema && matches!(spec.provider.api(), Api::Messages | Api::Gemini) {
            return Err(setup(
                "all models of this API call tools natively".into(),
                "leave out the schema for its tool calls".into(),
            ));
        }
        let official = settings.base_url.is_none() || url.host_str() == Some("api.openai.com");
        let key = settings.api_key.take().filter(|key| !key.expose_secret().trim().is_empty());
        if key.is_none() && settings.base_url.is_none() {
            let variable = spec.provider.key_variable();
            return Err(setup("no API key is given".into(), format!("set {variable}")));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if spec.provider.api() == Api::Messages {
            headers
                .insert(HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
        }
        if let Some(key) = &key {
            let key = key.expose_secret().trim();
            let (name, text) = match spec.provider.api() {
                Api::Messages => (HeaderName::from_static("x-api-key"), key.to_owned()),
                Api::Gemini => (HeaderName::from_static("x-goog-api-key"), key.to_owned()),
                Api::Chat | Api::Responses => (header::AUTHORIZATION, format!("Bearer {key}")),
            };
            let mut value = HeaderValue::from_str(&text).map_err(|_| {
                setup("the API key holds characters no key has".into(), "check how it was copied".into())
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let loopback = is_loopback(&url);
        if key.is_some() && url.scheme() == "http" && !loopback {
            tracing::warn!(model = %name, "the API key is sent over plain http");
        }
        // Fails only where a provider was chosen before; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.connect_timeout)
            .user_agent(concat!("gloaming/", env!("CARGO_PKG_VERSION")));
        if loopback {
            builder = builder.no_proxy();
        }
        if url.scheme() == "http" {
            // The system's certificates are neither needed nor always there.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| {
            setup(
                format!("the HTTP client does not start: {error}"),
                "check the system's certificates".into(),
            )
        })?;
        let prices = settings.prices.take().unwrap_or_else(crate::PriceTable::built_in);
        let price = prices.price(spec);
        let limiter = settings.limits.of(origin(&url), settings.rates);
        Ok(Self { spec: spec.clone(), name, url, key, headers, http, price, settings, limiter, official })
    }

    /// What is asked, as the model is told it.
    fn asked<'a>(&self, request: &'a Request) -> Cow<'a, Request> {
        match self.settings.tools {
            ToolCalls::Native => Cow::Borrowed(request),
            ToolCalls::Schema => Cow::Owned(by_schema::in_words(request)),
        }
    }

    fn body(&self, request: &Request) -> Value {
        let asked = self.asked(request);
        let (stream, model) = (self.settings.stream, &self.spec.model);
        let mut body = match self.spec.provider.api() {
            Api::Messages => anthropic::body(&asked, model, stream),
            Api::Chat => openai::body(&asked, model, stream, self.official),
            Api::Responses => responses::body(&asked, model, stream),
            Api::Gemini => gemini::body(&asked),
        };
        if self.settings.tools == ToolCalls::Schema
            && let Some(schema) = by_schema::schema(&request.tools)
        {
            // Strict ones would have to name every argument as required.
            let mut format = json!({"name": "answer", "schema": schema, "strict": false});
            match self.spec.provider.api() {
                Api::Responses => {
                    format["type"] = "json_schema".into();
                    body["text"] = json!({"format": format});
                }
                Api::Chat | Api::Messages | Api::Gemini => {
                    body["response_format"] = json!({"type": "json_schema", "json_schema": format});
                }
            }
        }
        body
    }

    fn assembler(&self) -> Box<dyn Assembler> {
        match self.spec.provider.api() {
            Api::Messages => Box::new(anthropic::Stream::default()),
            Api::Chat => Box::new(openai::Stream::default()),
            Api::Responses => Box::new(responses::Stream::default()),
            Api::Gemini => Box::new(gemini::Stream::default()),
        }
    }

    fn whole(&self, body: &Value) -> Result<Answer, ModelError> {
        match self.spec.provider.api() {
            Api::Messages => anthropic::whole(body),
            Api::Chat => openai::whole(body),
            Api::Responses => responses::whole(body),
            Api::Gemini => gemini::whole(body),
        }
    }

    async fn call(&self, request: &Request) -> Result<Response, ModelError> {
        let body = Bytes::from(self.body(request).to_string());
        let input_bound = estimate_tokens(body.len().max(request_bytes(&self.asked(request))));
        let end = Instant::now() + self.settings.total;
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(self.settings.backoff)
            .with_max_delay(self.settings.longest_wait)
            .with_max_times(self.settings.tries.saturating_sub(1) as usize)
            .with_jitter()
            .build();
        let mut broken_off = Usage::default();
        let mut tries = 0;
        loop {
            tries += 1;
            let mut progress = Progress::default();
            let turn = self.turn(input_bound + u64::from(request.max_tokens), end).await;
            let allowed = self.settings.try_timeout.min(end.saturating_duration_since(Instant::now()));
            let started = Instant::now();
            let result = match &turn {
                Ok(_) => timeout(allowed, self.attempt(body.clone(), &mut progress))
                    .await
                    .unwrap_or(Err(ModelError::Timeout { what: "one whole answer", after: allowed })),
                Err(why) => Err(ModelError::NotAsked { why: why.clone() }),
            };
            let settle = |usage: &Usage| {
                if let Ok(turn) = turn {
                    turn.used(usage.total());
                }
            };
            let error = match result {
                Ok(answer) => {
                    let answer = match self.settings.tools {
                        ToolCalls::Native => answer,
                        ToolCalls::Schema => by_schema::read(answer, request),
                    };
                    let response = self.priced(answer, input_bound, &broken_off);
                    settle(&response.usage);
                    tracing::debug!(
                        model = %self.name, tries, ms = started.elapsed().as_millis() as u64,
                        input = response.usage.input, output = response.usage.output, "a model answered"
                    );
                    return Ok(response);
                }
                Err(error) => error,
            };
            let lost = billed(&error, &progress, input_bound);
            settle(&lost);
            add(&mut broken_off, &lost);
            let gave_up = |why: &str, source: ModelError| ModelError::GaveUp {
                tries,
                why: why.to_owned(),
                spent_usd: if broken_off == Usage::default() {
                    Some(0.0)
                } else {
                    self.price.map(|price| price.of(&broken_off))
                },
                source: Box::new(source),
            };
            if !error.is_transient() {
                // One try, nothing lost: the error itself says what to do.
                let plain = tries == 1 && broken_off == Usage::default();
                return Err(if plain { error } else { gave_up("it would fail again", error) });
            }
            let asked = match &error {
                ModelError::Busy { retry_after, .. } => *retry_after,
                _ => None,
            };
            if let Some(asked) = asked {
                // Whoever else would ask this server waits too.
                self.limiter.pause(asked);
            }
            let Some(backoff) = waits.next() else {
                return Err(gave_up("that was the last", error));
            };
            if let Some(asked) = asked.filter(|asked| *asked > self.settings.longest_wait) {
                let why = format!(
                    "the server asks to wait {} s; at most {} s are waited",
                    asked.as_secs(),
                    self.settings.longest_wait.as_secs()
                );
                return Err(gave_up(&why, error));
            }
            let wait = asked.map_or(backoff, |asked| asked.max(backoff.min(Duration::from_millis(250))));
            if Instant::now() + wait >= end {
                return Err(gave_up("its time is up", error));
            }
            tracing::info!(
                model = %self.name, tries, wait_ms = wait.as_millis() as u64, error = %error,
                "a model call is tried again"
            );
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits until the server may be asked; else says why it is not.
    async fn turn(&self, tokens: u64, end: Instant) -> Result<Turn, String> {
        let longest = self.settings.longest_wait;
        self.limiter.turn(tokens, longest, end).await.map_err(|why| match why {
            NoTurn::Paused(rest) => format!(
                "it asks to wait {} s; at most {} s are waited",
                rest.as_secs_f64().ceil(),
                longest.as_secs()
            ),
            NoTurn::Late => "its rate limit leaves no turn before the call's time is up".to_owned(),
        })
    }

    async fn attempt(&self, body: Bytes, progress: &mut Progress) -> Result<Answer, ModelError> {
        let settings = &self.settings;
        let sending = self.http.post(self.url.clone()).headers(self.headers.clone()).body(body).send();
        let first_byte = if settings.stream { settings.idle_timeout } else { settings.try_timeout };
        let response = timeout(first_byte, sending)
            .await
            .map_err(|_| ModelError::Timeout { what: "the begin of an answer", after: first_byte })?
            .map_err(|error| ModelError::Connect { source: error.without_url() })?;
        if !response.status().is_success() {
            return Err(self.failure(response).await);
        }
        progress.accepted = true;
        let content_type = response
            .headers()
            .get(header::CONTENT_TYPE)
            .map_or("", |value| value.to_str().unwrap_or("?"))
            .to_owned();
        let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        // A server may ignore `stream`; what it sends decides. Some name no type at all.
        let streamed = match essence.as_str() {
            "text/event-stream" => true,
            "application/json" => false,
            "" | "text/plain" | "application/octet-stream" => settings.stream,
            _ => {
                return Err(ModelError::NotTheApi { content_type: presentable(&content_type, self.key()) });
            }
        };
        if streamed {
            self.read_stream(response, progress).await
        } else {
            self.read_whole(response, progress).await
        }
    }

    async fn read_whole(
        &self,
        response: reqwest::Response,
        progress: &mut Progress,
    ) -> Result<Answer, ModelError> {
        let mut chunks = std::pin::pin!(response.bytes_stream());
        let mut body = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| broken(error, format!("after {} bytes", body.len())))?;
            if body.len() + chunk.len() > self.settings.max_response {
                return Err(ModelError::TooLarge { what: "its body", limit: self.settings.max_response });
            }
            body.extend_from_slice(&chunk);
            progress.bytes = body.len();
        }
        let value: Value = serde_json::from_slice(&body).map_err(|error| {
            let place = format!("line {} column {} of the body", error.line(), error.column());
            if error.is_eof() {
                ModelError::Truncated { place: format!("at {place}"), source: None }
            } else {
                ModelError::Malformed { place, reason: "it is not JSON".into() }
            }
        })?;
        self.whole(&value).map_err(|error| self.clean(error))
    }

    async fn read_stream(
        &self,
        response: reqwest::Response,
        progress: &mut Progress,
    ) -> Result<Answer, ModelError> {
        let mut events = std::pin::pin!(lines(response.bytes_stream(), &self.settings).eventsource());
        let mut assembler = self.assembler();
        let mut number = 0u64;
        while let Some(event) = events.next().await {
            number += 1;
            let event = event.map_err(|error| match error {
                EventStreamError::Transport(error) => error,
                EventStreamError::Utf8(_) => ModelError::Malformed {
                    place: format!("event {number} of the stream"),
                    reason: "it is not UTF-8".into(),
                },
                EventStreamError::Parser(_) => ModelError::Malformed {
                    place: format!("event {number} of the stream"),
                    reason: "it is no event".into(),
                },
            })?;
            progress.bytes += event.data.len();
            let last = assembler.event(&event.data).map_err(|error| match error {
                ModelError::Malformed { place, reason } => {
                    let place = if place.is_empty() { String::new() } else { format!(", {place}") };
                    ModelError::Malformed { place: format!("event {number} of the stream{place}"), reason }
                }
                other => self.clean(other),
            });
            progress.usage = assembler.usage();
            if last? {
                // Reading to the end lets the connection be used again; it is not worth waiting for.
                let _ = timeout(Duration::from_millis(200), events.next()).await;
                break;
            }
        }
        assembler.finish()
    }

    async fn failure(&self, response: reqwest::Response) -> ModelError {
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let mut body = Vec::new();
        let mut chunks = std::pin::pin!(response.bytes_stream());
        let reading = async {
            while let Some(Ok(chunk)) = chunks.next().await {
                body.extend_from_slice(&chunk[..chunk.len().min(MAX_ERROR_BODY - body.len())]);
                if body.len() == MAX_ERROR_BODY {
                    break;
                }
            }
        };
        // The status is known; its explanation gets a moment.
        let _ = timeout(Duration::from_secs(5), reading).await;
        let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let error = value.get("error").unwrap_or(&value);
        let retry_after = retry_after.or_else(|| delay_in_details(error));
        let text = [error.get("message"), Some(error), value.get("message"), value.get("detail")]
            .into_iter()
            .flatten()
            .find_map(Value::as_str)
            .map_or_else(|| String::from_utf8_lossy(&body).into_owned(), str::to_owned);
        let message = match presentable(&text, self.key()) {
            empty if empty.is_empty() => "no explanation".to_owned(),
            text => text,
        };
        let code = error.get("code").or_else(|| error.get("type")).and_then(Value::as_str).unwrap_or("");
        match status {
            429 if code == "insufficient_quota" => ModelError::Refused {
                status,
                message,
                hint: "the account has no credit left: add some, or use another key",
            },
            429 | 503 | 529 => ModelError::Busy { status, message, retry_after },
            408 | 409 | 500..=599 => ModelError::Server { status, message },
            _ => ModelError::Refused { status, message, hint: hint(status) },
        }
    }

    fn priced(&self, answer: Answer, input_bound: u64, broken_off: &Usage) -> Response {
        // An answer of no tokens at all is a server that does not count them.
        let named = answer.usage.filter(|usage| *usage != Usage::default());
        let usage = named.unwrap_or_else(|| Usage {
            input: input_bound,
            output: estimate_tokens(serde_json::to_string(&answer.blocks).map_or(0, |text| text.len())),
            estimated: true,
            ..Usage::default()
        });
        let cost_usd = self.price.map(|price| price.of(&usage) + price.of(broken_off));
        Response { blocks: answer.blocks, stop: answer.stop, usage, model: answer.model, cost_usd }
    }

    fn key(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.expose_secret().trim())
    }

    fn clean(&self, error: ModelError) -> ModelError {
        match error {
            ModelError::Reported { kind, message, transient } => ModelError::Reported {
                kind: presentable(&kind, self.key()),
                message: presentable(&message, self.key()),
                transient,
            },
            other => other,
        }
    }
}

impl Model for Client {
    fn spec(&self) -> &str {
        &self.name
    }

    fn readers(&self) -> Vec<(String, Option<String>)> {
        let own = self.spec.provider.default_base_url().and_then(|own| reqwest::Url::parse(own).ok());
        let is_own = own.is_some_and(|own| own.origin() == self.url.origin());
        let address = (!is_own).then(|| origin(&self.url));
        vec![(self.name.clone(), address)]
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, ModelError>> {
        Box::pin(self.call(request))
    }

    fn worst_case_usd(&self, request: &Request) -> Option<f64> {
        self.price.map(|price| worst_case(&price, &self.asked(request)))
    }
}

/// What a failed try may be billed for: nothing before the server took it; then its input, and the output
/// that was seen.
fn billed(error: &ModelError, progress: &Progress, input_bound: u64) -> Usage {
    let perhaps = matches!(error, ModelError::Timeout { .. });
    if !progress.accepted && !perhaps {
        return Usage::default();
    }
    let seen = estimate_tokens(progress.bytes);
    match progress.usage {
        Some(usage) => Usage { output: usage.output.max(seen), ..usage },
        None => Usage { input: input_bound, output: seen, estimated: true, ..Usage::default() },
    }
}

fn add(sum: &mut Usage, more: &Usage) {
    // What a server says may be any number.
    sum.input = sum.input.saturating_add(more.input);
    sum.output = sum.output.saturating_add(more.output);
    sum.cache_read = sum.cache_read.saturating_add(more.cache_read);
    sum.cache_write = sum.cache_write.saturating_add(more.cache_write);
    sum.estimated |= more.estimated;
}

pub(crate) fn broken(error: reqwest::Error, place: String) -> ModelError {
    ModelError::Truncated { place, source: Some(error.without_url()) }
}

fn hint(status: u16) -> &'static str {
    match status {
        300..=399 => "redirects are not followed, so that the key goes nowhere else: correct the base URL",
        400 | 422 => "check the model's name and its limits (context length, most output tokens)",
        401 => "check the API key",
        402 => "check the account's credit",
        403 => "the key may not use this model, or not from here",
        404 | 405 => "check the model's name and the base URL",
        413 => "the conversation is too long for this server",
        _ => "the server will not take this request; check the model's name, the key and the base URL",
    }
}
