//! Events of tasks, sent to an operator's addresses: at least once, signed, and led nowhere that was not meant.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gloaming_api::access::RepoPattern;
use gloaming_api::address::{Standing, standing};
use gloaming_api::task::{TaskEvent, TaskEventKind, TaskView};
use gloaming_api::{Digest, RepoId};
use gloaming_store::{Effect, EffectEnd, NewEffect};
use jiff::{SignedDuration, Timestamp};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::signed;

/// How long a receiver may take to answer, and to be reached.
const PATIENCE: Duration = Duration::from_secs(10);
const REACHED: Duration = Duration::from_secs(5);
/// How often one event is sent again before it is given up: with the pauses between, over about 12 hours.
const TRIES: u32 = 20;
/// The longest pause between two tries.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);
/// How much of an answer that is no success is read, bytes.
const ANSWER_CAP: usize = 1 << 10;

/// An operator's address, and what is sent there.
pub struct Webhook {
    /// Names it in keys: the same address is the same webhook, whatever else is set of it.
    id: String,
    url: Url,
    secret: SecretString,
    events: Vec<String>,
    repos: Vec<RepoPattern>,
    http: reqwest::Client,
}

/// What an operator sets.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where events are sent.
    pub url: String,
    /// What they are signed with.
    pub secret: SecretString,
    /// Which kinds, by name; none for all.
    pub events: Vec<String>,
    /// Of which repositories; none for all.
    pub repos: Vec<RepoPattern>,
    /// Whether it may lead to this machine and into private networks, and need not be TLS.
    pub private: bool,
}

/// What is written down to be sent.
#[derive(Debug, Serialize, Deserialize)]
struct Sent {
    /// The webhook.
    to: String,
    /// The event's kind.
    event: String,
    /// The id of the event, the same for every webhook and every try.
    id: String,
    /// The body, as it is signed.
    body: String,
}

impl Webhook {
    /// Makes a webhook.
    ///
    /// # Errors
    /// What is wrong with what was set.
    pub fn new(setup: Setup) -> Result<Self, String> {
        let shown = setup.url.split('?').next().unwrap_or_default();
        let url = Url::parse(&setup.url).map_err(|error| format!("{shown} is no address: {error}"))?;
        let tls = url.scheme() == "https" || url.scheme() == "http" && setup.private;
        if !tls || url.host().is_none() {
            return Err(format!("{shown}: want an https address (http where it is `private = true`)"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("{shown}: want an address without user and password; events are signed"));
        }
        if let Some(unknown) = setup.events.iter().find(|name| !TaskEventKind::NAMES.contains(&name.as_str()))
        {
            return Err(format!("{unknown:?} is no event; there are {}", TaskEventKind::NAMES.join(", ")));
        }
        let literal = url.host_str().unwrap_or_default().trim_matches(['[', ']']).parse::<IpAddr>();
        if let Ok(address) = literal
            && let Some(why) = refused(address, setup.private)
        {
            return Err(format!("{shown} is {why}"));
        }
        // Fails only where a provider was chosen before; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would look names up by itself.
            .no_proxy()
            .dns_resolver(Arc::new(Resolver { private: setup.private }))
            .connect_timeout(REACHED)
            .timeout(PATIENCE)
            .user_agent(concat!("gloaming/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| format!("the HTTP client does not start: {error}"))?;
        let id = Digest::of(url.as_str()).hex()[..16].to_owned();
        Ok(Self { id, url, secret: setup.secret, events: setup.events, repos: setup.repos, http })
    }

    pub(crate) fn wants(&self, event: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|name| name == event)
    }

    pub(crate) fn is_for(&self, repo: &RepoId) -> bool {
        self.repos.is_empty() || self.repos.iter().any(|pattern| pattern.matches(repo))
    }

    /// Returns what is to be sent of an event.
    pub(crate) fn effect(&self, view: &TaskView, event: &TaskEvent) -> NewEffect {
        let id = format!("{}.{}", view.id, event.seq);
        let mut body =
            json!({"id": id, "task": view.id, "repo": view.repo, "asker": view.asker, "source": view.source});
        let told = serde_json::to_value(event).expect("an event serialises");
        if let (Some(body), serde_json::Value::Object(told)) = (body.as_object_mut(), told) {
            body.extend(told);
        }
        let sent = Sent {
            to: self.id.clone(),
            event: event.kind.name().to_owned(),
            id: id.clone(),
            body: body.to_string(),
        };
        NewEffect {
            key: format!("webhook:{}:{id}", self.id),
            kind: Executor::KIND.to_owned(),
            payload: serde_json::to_value(sent).expect("texts serialise"),
        }
    }

    /// Sends it once. The error says after how long to try again, none for never.
    async fn send(
        &self,
        sent: &Sent,
        tries: u32,
        now: Timestamp,
    ) -> Result<u16, (Option<SignedDuration>, String)> {
        // Ten seconds, doubled each time.
        let pause = SignedDuration::from_secs(10 << tries.min(9)).min(LONGEST);
        let time = now.as_second().to_string();
        let signature = signed::sign(&self.secret, &[time.as_bytes(), b".", sent.body.as_bytes()]);
        let request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("x-gloaming-event", &sent.event)
            .header("x-gloaming-delivery", &sent.id)
            .header("x-gloaming-signature", format!("t={time},v1={signature}"))
            .body(sent.body.clone());
        let mut answer = request.send().await.map_err(|error| (Some(pause), causes(&error.without_url())))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(status.as_u16());
        }
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let wait =
            wait.map_or(pause, |seconds: u32| SignedDuration::from_secs(i64::from(seconds)).min(LONGEST));
        let said = answer.chunk().await.ok().flatten().unwrap_or_default();
        let said = String::from_utf8_lossy(&said[..said.len().min(ANSWER_CAP)]).into_owned();
        let said =
            gloaming_api::path::escape_name(gloaming_api::bowout::shorten(said.trim(), 200).as_bytes());
        let error = format!("it answers {status} {said}").trim_end().to_owned();
        let gone = status == StatusCode::GONE;
        Err(((!gone).then_some(wait.max(pause)), error))
    }
}

/// Whether two addresses are the same one, however they are written.
pub fn is_same(one: &str, other: &str) -> bool {
    match (Url::parse(one), Url::parse(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// Sends what is due.
pub struct Executor(BTreeMap<String, Arc<Webhook>>);

impl Executor {
    /// The kind of effects it does.
    pub const KIND: &str = "webhook";

    /// Returns one that sends to these.
    pub fn new(webhooks: &[Arc<Webhook>]) -> Self {
        Self(webhooks.iter().map(|hook| (hook.id.clone(), Arc::clone(hook))).collect())
    }

    /// Sends what an effect asks for.
    pub async fn run(&self, effect: &Effect, now: Timestamp) -> EffectEnd {
        let sent: Sent = match serde_json::from_value(effect.what.payload.clone()) {
            Ok(sent) => sent,
            Err(error) => {
                return EffectEnd::Dead { error: format!("its payload is not understood: {error}") };
            }
        };
        let Some(hook) = self.0.get(&sent.to) else {
            return EffectEnd::Dead { error: "no [[webhook]] has the address that it was for".to_owned() };
        };
        match hook.send(&sent, effect.tries, now).await {
            Ok(status) => EffectEnd::Done(json!({"status": status})),
            Err((Some(after), error)) if effect.tries < TRIES => {
                EffectEnd::Later { at: now.checked_add(after).unwrap_or(now), error }
            }
            Err((_, error)) => EffectEnd::Dead { error },
        }
    }
}

/// Returns what an address is that is not sent to.
fn refused(address: IpAddr, private: bool) -> Option<String> {
    match standing(address.to_canonical()) {
        Standing::Public => None,
        Standing::Private(_) if private => None,
        Standing::Private(what) => Some(format!("{what}; set `private = true` where that is meant")),
        Standing::Never(what) => Some(format!("{what}, and nothing is sent there")),
    }
}

/// Looks names up, and leaves out where nothing is to be sent: a name's addresses can change after it was configured.
struct Resolver {
    private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let (mut good, mut bad) = (Vec::<SocketAddr>::new(), None);
            for one in found {
                match refused(one.ip(), private) {
                    None => good.push(one),
                    Some(why) => bad = Some(why),
                }
            }
            if good.is_empty() {
                let why = bad.unwrap_or_else(|| "without an address".to_owned());
                return Err(format!("the name {} is {why}", name.as_str()).into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

/// Tells an error with all that is beneath it.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let causes: Vec<String> =
        std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    causes.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(url: &str, private: bool, events: &[&str]) -> Result<Webhook, String> {
        let events = events.iter().map(|name| (*name).to_owned()).collect();
        Webhook::new(Setup { url: url.into(), secret: "s".into(), events, repos: Vec::new(), private })
    }

    #[test]
    fn what_leads_astray_is_refused() {
        let refused = |url, private, events: &[&str]| made(url, private, events).err().unwrap_or_default();
        let told = [
            refused("https://127.0.0.1/x", false, &[]),
            refused("https://[::ffff:10.0.0.1]/x?key=secret", false, &[]),
            refused("https://169.254.169.254/x", true, &[]),
            refused("http://one.acme.example/x", false, &[]),
            refused("ftp://one.acme.example/x", true, &[]),
            refused("https://me:it@one.acme.example/", false, &[]),
            refused("https://one.acme.example/", false, &["merged"]),
            refused("one.acme.example", false, &[]),
        ];
        insta::assert_snapshot!(told.join("\n"), @r#"
        https://127.0.0.1/x is this machine's loopback; set `private = true` where that is meant
        https://[::ffff:10.0.0.1]/x is a private network; set `private = true` where that is meant
        https://169.254.169.254/x is link-local (where clouds tell a machine its credentials), and nothing is sent there
        http://one.acme.example/x: want an https address (http where it is `private = true`)
        ftp://one.acme.example/x: want an https address (http where it is `private = true`)
        https://me:it@one.acme.example/: want an address without user and password; events are signed
        "merged" is no event; there are submitted, leased, progress, lease_expired, released, attempt_failed, verified, ended, cancel_asked, retried, outcome
        one.acme.example is no address: relative URL without a base
        "#);
        assert!(made("https://one.acme.example/", false, &["ended"]).is_ok());
        assert!(made("http://127.0.0.1:9/", true, &[]).is_ok());
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_refused_when_it_is_looked_up() {
        let hook = made("https://localhost:9/", false, &[]).unwrap();
        let sent = Sent { to: String::new(), event: "ended".into(), id: "1".into(), body: "{}".into() };
        let (again, error) = hook.send(&sent, 0, Timestamp::UNIX_EPOCH).await.unwrap_err();
        assert!(error.contains("this machine's loopback") && again.is_some(), "{error}");
    }
}
