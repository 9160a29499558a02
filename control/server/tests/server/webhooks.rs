//! Events to an operator's addresses: at least once, signed, and visible where they were given up.

use std::sync::Arc;
use std::time::Duration;

use gloaming_api::access::Scope;
use gloaming_server::feed::Teller;
use gloaming_server::webhook::{self, Executor, Webhook};
use gloaming_store::{EffectEnd, Kinds};
use serde_json::Value;

use super::receiver::Receiver;
use super::support::Running;

fn hook(url: &str, events: &[&str], repos: &[&str]) -> Arc<Webhook> {
    let setup = webhook::Setup {
        url: format!("{url}/hook"),
        secret: "a secret".into(),
        events: events.iter().map(|name| (*name).to_owned()).collect(),
        repos: repos.iter().map(|repo| repo.parse().unwrap()).collect(),
        private: true,
    };
    Arc::new(Webhook::new(setup).unwrap())
}

/// Tells and sends once; returns why what failed did.
async fn pass(running: &Running, hooks: &[Arc<Webhook>]) -> Vec<String> {
    let teller = Teller::new(Arc::clone(&running.store), hooks.to_vec(), false);
    while teller.pass(running.now()).unwrap() > 0 {}
    let executor = Executor::new(hooks);
    let mut errors = Vec::new();
    for effect in running.store.effects(Kinds::ALL, 100, Duration::from_secs(60), running.now()).unwrap() {
        let end = executor.run(&effect, running.now()).await;
        match &end {
            EffectEnd::Done(_) => {}
            EffectEnd::Later { error, at } => {
                errors.push(format!("{error}, again after {}", at.duration_since(running.now()).as_secs()));
            }
            EffectEnd::Dead { error } => errors.push(format!("{error}, never again")),
        }
        running.store.effect_ended(effect.id, &end, running.now()).unwrap();
    }
    errors
}

fn right(secret: &str, signature: &str, body: &str) -> bool {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let (time, given) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    hex == given
}

#[tokio::test]
async fn an_event_is_sent_until_it_is_taken_and_then_no_more() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    // It fails, is busy, leads elsewhere, and then takes it.
    let receiver = Receiver::start(|_, before| {
        let head = match before {
            0 => "500 Internal Server Error",
            1 => "429 Too Many Requests\r\nretry-after: 100",
            2 => "302 Found\r\nlocation: http://169.254.169.254/",
            _ => "204 No Content",
        };
        (head.to_owned(), String::new())
    });
    let hooks = [hook(&receiver.url, &["submitted"], &["acme/*"])];
    let id = running.submit(&token, "acme/api").await;
    running.submit(&token, "other/api").await;
    assert_eq!(pass(&running, &hooks).await, ["it answers 500 Internal Server Error, again after 10"]);
    assert_eq!(pass(&running, &hooks).await, [""; 0], "it waits");
    running.pass(Duration::from_secs(10));
    assert_eq!(pass(&running, &hooks).await, ["it answers 429 Too Many Requests, again after 100"]);
    running.pass(Duration::from_secs(100));
    assert_eq!(pass(&running, &hooks).await, ["it answers 302 Found, again after 40"]);
    running.pass(Duration::from_secs(40));
    assert_eq!(pass(&running, &hooks).await, [""; 0]);
    running.pass(Duration::from_secs(4000));
    assert_eq!(pass(&running, &hooks).await, [""; 0]);
    let came = receiver.came();
    assert_eq!(came.len(), 4);
    for one in &came {
        assert_eq!((one.path.as_str(), &one.body), ("/hook", &came[0].body));
        assert_eq!(one.headers["x-gloaming-delivery"], format!("{id}.1"));
        assert_eq!(one.headers["x-gloaming-event"], "submitted");
        assert!(right("a secret", &one.headers["x-gloaming-signature"], &one.body));
        assert!(!right("another", &one.headers["x-gloaming-signature"], &one.body));
    }
    let told: Value = serde_json::from_str(&came[0].body).unwrap();
    assert_eq!(told["repo"], "acme/api");
    assert_eq!(
        (&told["event"], &told["seq"], &told["asker"]),
        (&"submitted".into(), &1.into(), &"token:bot".into())
    );
}

#[tokio::test]
async fn what_was_taken_up_again_has_all_its_tries() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let receiver = Receiver::start(|_, _| ("503 Service Unavailable".to_owned(), String::new()));
    let hooks = [hook(&receiver.url, &["submitted"], &[])];
    running.submit(&token, "acme/api").await;
    let mut seconds = 0;
    let given_up = loop {
        let said = pass(&running, &hooks).await.remove(0);
        let Some((_, after)) = said.split_once("again after ") else { break said };
        let after: u64 = after.parse().unwrap();
        seconds += after;
        running.pass(Duration::from_secs(after));
    };
    assert_eq!(given_up, "it answers 503 Service Unavailable, never again");
    assert_eq!((receiver.came().len(), seconds), (21, 44_710), "as docs/webhooks.md has it");
    let dead = running.ask("GET", "/v1/dead", &running.admin).await.json();
    assert_eq!(dead[0]["tries"], 21);
    let path = format!("/v1/dead/{}/revive", dead[0]["id"]);
    assert_eq!(running.ask("POST", &path, &running.admin).await.status, 204);
    assert_eq!(pass(&running, &hooks).await, ["it answers 503 Service Unavailable, again after 10"]);
}

#[tokio::test]
async fn what_was_given_up_is_seen_and_taken_up_again() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let receiver = Receiver::start(|_, before| {
        let gone = before == 0;
        (
            if gone { "410 Gone" } else { "200 OK" }.to_owned(),
            if gone { "we\u{1b}[2J left" } else { "" }.to_owned(),
        )
    });
    let hooks = [hook(&receiver.url, &[], &[])];
    running.submit(&token, "acme/api").await;
    assert_eq!(pass(&running, &hooks).await, [r"it answers 410 Gone we\u{1b}[2J left, never again"]);
    assert_eq!(running.ask("GET", "/v1/dead", &token).await.code(), "forbidden");
    let dead = running.ask("GET", "/v1/dead", &running.admin).await.json();
    assert_eq!((&dead[0]["kind"], dead.as_array().unwrap().len()), (&"webhook".into(), 1));
    let path = format!("/v1/dead/{}/revive", dead[0]["id"]);
    assert_eq!(running.ask("POST", &path, &running.admin).await.status, 204);
    assert_eq!(running.ask("POST", &path, &running.admin).await.code(), "not_found");
    assert_eq!(running.ask("POST", "/v1/dead/x/revive", &running.admin).await.code(), "not_found");
    assert_eq!(pass(&running, &hooks).await, [""; 0]);
    assert_eq!(receiver.came().len(), 2);
    assert_eq!(running.ask("GET", "/v1/dead", &running.admin).await.json(), serde_json::json!([]));
    // What is for an address that is configured no more is given up, and says so.
    running.submit(&token, "acme/api").await;
    let teller = Teller::new(Arc::clone(&running.store), hooks.to_vec(), false);
    while teller.pass(running.now()).unwrap() > 0 {}
    let gone = pass(&running, &[]).await;
    assert_eq!(gone, ["no [[webhook]] has the address that it was for, never again"]);
}
