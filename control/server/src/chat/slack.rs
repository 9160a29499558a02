//! Slack's Web API, as far as it is needed: <https://docs.slack.dev/apis/web-api>.

use std::time::Duration;

use gloaming_api::path::escape_name;
use jiff::SignedDuration;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read, bytes.
const ANSWER_CAP: usize = 8 << 20;
/// Messages of a page, and pages, in which one of ours is searched for.
const PAGE: &str = "200";
const PAGES: usize = 5;
/// What our messages' metadata is called.
const METADATA: &str = "gloaming";

/// Slack's words for what may be well the next time.
const PASSING: &[&str] = &[
    "ratelimited",
    "rate_limited",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
];

/// Why Slack did not do something.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Perhaps another time; after so long, where it says so.
    Later { after: Option<SignedDuration>, error: String },
    /// Not this one.
    Never(String),
}

/// A Slack, and a bot's token for it.
pub struct Slack {
    api: Url,
    token: SecretString,
    http: reqwest::Client,
    /// Who we are, once that was asked.
    me: OnceCell<String>,
}

impl Slack {
    /// Slack's own API.
    pub const API: &str = "https://slack.com/api/";

    /// Makes a client for the API at an address, which ends in `/`.
    ///
    /// # Errors
    /// It is no such address, or the token would be sent in the open.
    pub fn new(api: &str, token: SecretString) -> Result<Self, String> {
        let url = Url::parse(api).map_err(|error| format!("{api} is no address: {error}"))?;
        let local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if !(url.scheme() == "https" || url.scheme() == "http" && local) || !url.path().ends_with('/') {
            return Err(format!("{api}: want an https address that ends in `/`"));
        }
        // Fails only where a provider was chosen before; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .user_agent(concat!("gloaming/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            builder = builder.no_proxy().tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| format!("the HTTP client does not start: {error}"))?;
        Ok(Self { api: url, token, http, me: OnceCell::new() })
    }

    /// Asks Slack who we are to it: the workspace and the bot's name.
    ///
    /// # Errors
    /// Why it does not say.
    pub async fn check(&self) -> Result<String, String> {
        let told = self.call("auth.test", &[]).await.map_err(|trouble| match trouble {
            Trouble::Later { error, .. } | Trouble::Never(error) => error,
        })?;
        let word = |name: &str| escape_name(told[name].as_str().unwrap_or("?").as_bytes());
        Ok(format!("{} ({}) as {}", word("team"), word("team_id"), word("user")))
    }

    /// Says something, in a thread where one is named. With `search`, what was said before under the same key is looked for
    /// first. Returns the message's time, which names it.
    pub(crate) async fn say(
        &self,
        channel: &str,
        thread: &str,
        text: &str,
        key: &str,
        search: bool,
    ) -> Result<String, Trouble> {
        if search && let Some(found) = self.find(channel, thread, key).await? {
            return Ok(found);
        }
        let metadata = json!({"event_type": METADATA, "event_payload": {"key": key}}).to_string();
        let mut form = vec![("channel", channel), ("text", text), ("metadata", &metadata)];
        form.extend(QUIET);
        form.extend(ALONE);
        if !thread.is_empty() {
            form.push(("thread_ts", thread));
        }
        let answer = self.call("chat.postMessage", &form).await?;
        let ts = answer["ts"].as_str();
        ts.map(str::to_owned)
            .ok_or_else(|| Trouble::Later { after: None, error: "the answer has no `ts`".into() })
    }

    /// Changes what a message of ours says.
    pub(crate) async fn update(&self, channel: &str, ts: &str, text: &str) -> Result<(), Trouble> {
        let mut form = vec![("channel", channel), ("ts", ts), ("text", text)];
        form.extend(QUIET);
        self.call("chat.update", &form).await.map(|_| ())
    }

    /// Looks for a message of ours by its key.
    async fn find(&self, channel: &str, thread: &str, key: &str) -> Result<Option<String>, Trouble> {
        let me = self.me.get_or_try_init(|| async {
            let told = self.call("auth.test", &[]).await?;
            Ok(told["user_id"].as_str().unwrap_or_default().to_owned())
        });
        let me = me.await?;
        let method = if thread.is_empty() { "conversations.history" } else { "conversations.replies" };
        let mut cursor = String::new();
        for _ in 0..PAGES {
            let mut form = vec![("channel", channel), ("include_all_metadata", "true"), ("limit", PAGE)];
            if !thread.is_empty() {
                form.push(("ts", thread));
            }
            if !cursor.is_empty() {
                form.push(("cursor", &cursor));
            }
            let answer = self.call(method, &form).await?;
            // Anybody can write the same metadata; only what we said is ours.
            let ours = answer["messages"].as_array().into_iter().flatten().find(|message| {
                message["user"] == me.as_str()
                    && message["metadata"]["event_type"] == METADATA
                    && message["metadata"]["event_payload"]["key"] == key
            });
            if let Some(ts) = ours.and_then(|message| message["ts"].as_str()) {
                return Ok(Some(ts.to_owned()));
            }
            cursor = answer["response_metadata"]["next_cursor"].as_str().unwrap_or_default().to_owned();
            if cursor.is_empty() {
                break;
            }
        }
        Ok(None)
    }

    /// Calls a method; what it takes is a form, which every method does.
    async fn call(&self, method: &str, form: &[(&str, &str)]) -> Result<Value, Trouble> {
        let later = |after, error| Trouble::Later { after, error: format!("{method}: {error}") };
        let url = self.api.join(method).map_err(|error| Trouble::Never(format!("{method}: {error}")))?;
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let sent = self
            .http
            .post(url)
            .bearer_auth(self.token.expose_secret())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await;
        let mut answer = sent.map_err(|error| later(None, error.without_url().to_string()))?;
        let status = answer.status();
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let wait = wait.map(|seconds: u32| SignedDuration::from_secs(i64::from(seconds.max(1))));
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(later(wait, "Slack limits how often it is asked".to_owned()));
        }
        if !status.is_success() {
            return Err(later(wait, format!("Slack answers {status}")));
        }
        let mut read = Vec::new();
        while let Some(chunk) =
            answer.chunk().await.map_err(|error| later(None, error.without_url().to_string()))?
        {
            if read.len() + chunk.len() > ANSWER_CAP {
                return Err(Trouble::Never(format!(
                    "{method}: the answer is larger than {ANSWER_CAP} bytes"
                )));
            }
            read.extend_from_slice(&chunk);
        }
        let told: Value = serde_json::from_slice(&read)
            .map_err(|error| later(None, format!("the answer is no JSON: {error}")))?;
        if told["ok"] == true {
            return Ok(told);
        }
        let error = told["error"].as_str().unwrap_or("it does not say why");
        let error: String = error.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(100).collect();
        if PASSING.contains(&error.as_str()) {
            return Err(later(wait, error));
        }
        Err(Trouble::Never(format!("{method}: {error}{}", advice(&error))))
    }
}

/// Nothing that others wrote is made a link or a call of.
const QUIET: [(&str, &str); 2] = [("parse", "none"), ("link_names", "false")];

/// Nor a preview, which is made when a message is posted: `chat.update` knows neither of these.
const ALONE: [(&str, &str); 2] = [("unfurl_links", "false"), ("unfurl_media", "false")];

/// What an operator does about an error.
fn advice(error: &str) -> &'static str {
    match error {
        "not_in_channel" | "channel_not_found" => "; invite the bot into the channel",
        "invalid_auth" | "not_authed" | "token_revoked" | "account_inactive" | "token_expired" => {
            "; put the bot's token into the file of [slack] token_file"
        }
        "missing_scope" => "; docs/slack.md lists the scopes that the app needs",
        _ => "",
    }
}
