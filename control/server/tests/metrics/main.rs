//! What is counted, in a process of its own: a process has one set of metrics, and other tests would count into it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use gloaming_api::access::{NewToken, RepoPattern, Scope};
use gloaming_api::bowout::{BowOut, Cost};
use gloaming_api::evidence::{Verdict, VerdictKind};
use gloaming_api::worker::PROTOCOL;
use gloaming_api::{Attempt, Digest, ReasonCode, Stage};
use gloaming_server::{Accepted, Acceptor, Claim, Policies, Refusal, Server, Settings, make_token};
use gloaming_store::{Limits, MemoryStore, Store};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Longer than anything here takes; a test that hangs fails by it.
const LONG: Duration = Duration::from_secs(20);

/// Takes what its evidence says is good.
struct ByWord;

impl Acceptor for ByWord {
    fn accept(&self, claim: &Claim<'_>) -> Result<Accepted, Refusal> {
        if claim.evidence != b"good" {
            return Err(Refusal::Failed("the evidence is not good".into()));
        }
        let verdict = Verdict {
            verdict: VerdictKind::Pass,
            code: "pass".into(),
            reason_code: None,
            summary: "good".into(),
            steps: vec![],
            confidence: 0.9,
            threshold: 0.5,
            calibrated: false,
            p_merge: None,
            reasons: vec![],
            moved: vec![],
            weights: None,
        };
        Ok(Accepted { verdict, effects: vec![] })
    }
}

struct Scene {
    address: SocketAddr,
    clock: Arc<AtomicI64>,
    tokens: [String; 3],
    client: reqwest::Client,
}

const ADMIN: usize = 0;
const BOT: usize = 1;
const WORKER: usize = 2;

impl Scene {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = Arc::new(AtomicI64::new(1_790_000_000));
        let shown = Arc::clone(&clock);
        let time: gloaming_server::Clock =
            Arc::new(move || Timestamp::from_second(shown.load(Ordering::SeqCst)).unwrap());
        let store = Arc::new(MemoryStore::new(Limits::default()));
        let token = |name: &str, scope| {
            let new = NewToken {
                name: name.into(),
                scopes: vec![scope],
                repos: vec![RepoPattern::all()],
                expires_s: None,
            };
            make_token(&*store, &new, time()).unwrap().unwrap().token
        };
        let tokens =
            [token("admin", Scope::Admin), token("bot", Scope::Submit), token("worker", Scope::Worker)];
        let settings = Settings {
            github_secret: Some("a secret".into()),
            tick: Duration::from_millis(20),
            ..Settings::default()
        };
        let policies = Policies::open(None).unwrap();
        let server =
            Server::new(store as Arc<dyn Store>, settings, time, policies, Arc::new(ByWord)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
        Self { address, clock, tokens, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn send(
        &self,
        who: usize,
        method: reqwest::Method,
        path: &str,
        kind: &str,
        body: impl Into<reqwest::Body>,
    ) -> (u16, String) {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        let request = request.bearer_auth(&self.tokens[who]).header("content-type", kind).body(body);
        let answer = tokio::time::timeout(LONG, request.send()).await.unwrap().unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn post(&self, who: usize, path: &str, body: Value) -> (u16, String) {
        self.send(who, reqwest::Method::POST, path, "application/json", body.to_string()).await
    }

    async fn put(&self, path: &str, kind: &str, body: String) -> (u16, String) {
        self.send(WORKER, reqwest::Method::PUT, path, kind, body).await
    }

    /// Has a task taken by the worker; returns its id and the path of the lease.
    async fn leased(&self, path: &str, body: Value) -> (String, String) {
        let (status, told) = self.post(BOT, path, body).await;
        assert_eq!(status, 202, "{told}");
        let id = serde_json::from_str::<Value>(&told).unwrap()["id"].as_str().unwrap().to_owned();
        let ask = json!({"protocol": PROTOCOL, "worker": "w", "labels": [], "wait_s": 0});
        let (status, told) = self.post(WORKER, "/v1/leases", ask).await;
        assert_eq!(status, 200, "{told}");
        let lease: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(lease["task"], id.as_str());
        (id.clone(), format!("/v1/leases/{id}/1"))
    }

    async fn change(&self) -> (String, String) {
        self.leased("/v1/tasks", json!({"repo": "acme/api", "text": "Fix it."})).await
    }

    /// Ends an attempt; the task waits no more then, whatever it came to.
    async fn ended(&self, (id, lease): (String, String), result: Value) {
        // Told twice, as whoever does not hear the answer does, it counts once.
        for _ in 0..2 {
            let (status, told) = self.post(WORKER, &format!("{lease}/result"), result.clone()).await;
            assert_eq!(status, 204, "{told}");
        }
        self.cancel(&id).await;
    }

    async fn cancel(&self, id: &str) {
        self.post(BOT, &format!("/v1/tasks/{id}/cancel"), json!({})).await;
    }

    async fn metrics(&self) -> String {
        self.send(ADMIN, reqwest::Method::GET, "/metrics", "text/plain", "").await.1
    }
}

/// What an attempt took: another power of ten of tokens each time, so that the sum says which are in it.
fn cost(power: u32) -> Value {
    json!({"usd": 0.5, "calls": 1, "tokens": 10_u64.pow(power), "wall_s": 1.0})
}

fn verified(evidence: &str, cost: &Value) -> Value {
    json!({
        "kind": "verified", "base": "1".repeat(40), "tree": "2".repeat(40), "blobs": [],
        "patch": Digest::of("patch"), "evidence": Digest::of(evidence), "description": "Done.", "cost": cost,
    })
}

fn bowed_out(id: &str, cost: &Value) -> Value {
    let bow_out = BowOut {
        schema_version: 1,
        task_id: id.parse().unwrap(),
        attempt: Attempt(1),
        stage: Stage::Plan,
        reason_code: ReasonCode::Stuck,
        summary: "it is not clear".into(),
        evidence: vec![],
        attempted: vec![],
        what_would_unblock: vec![],
        questions: vec![],
        confidence: None,
        threshold: None,
        cost: serde_json::from_value::<Cost>(cost.clone()).unwrap(),
        retryable: true,
    };
    json!({"kind": "bowed_out", "bow_out": bow_out})
}

fn signed(body: &str) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"a secret").unwrap();
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[tokio::test]
async fn every_end_of_an_attempt_is_counted_once_with_what_it_took() {
    let scene = Scene::start().await;
    for (power, evidence) in [(0, "good"), (1, "bad")] {
        let leased = scene.change().await;
        for content in [evidence, "patch"] {
            let path = format!("{}/artifacts/{}", leased.1, Digest::of(content));
            assert_eq!(scene.put(&path, "application/octet-stream", content.into()).await.0, 204);
        }
        scene.ended(leased, verified(evidence, &cost(power))).await;
    }
    let leased = scene.change().await;
    let result = bowed_out(&leased.0, &cost(2));
    scene.ended(leased, result).await;
    let leased = scene.change().await;
    scene.ended(leased, json!({"kind": "failed", "error": "no disk", "cost": cost(3)})).await;
    let leased = scene.change().await;
    scene.ended(leased, json!({"kind": "cancelled", "cost": cost(4)})).await;
    let leased = scene.leased("/v1/repos/acme/api/onboard", json!({})).await;
    let profile = serde_json::to_string(&gloaming_api::Profile::empty()).unwrap();
    assert_eq!(scene.put(&format!("{}/profile", leased.1), "application/json", profile).await.0, 204);
    scene.ended(leased, json!({"kind": "onboarded", "cost": cost(5)})).await;
    // Given back, and lost: what it took is known as far as it was told.
    let (id, lease) = scene.change().await;
    let renewal = |power| json!({"doing": "it", "cost": cost(power)}).to_string();
    assert_eq!(scene.put(&lease, "application/json", renewal(6)).await.0, 200);
    scene.cancel(&id).await;
    assert_eq!(scene.send(WORKER, reqwest::Method::DELETE, &lease, "text/plain", "").await.0, 204);
    let (id, lease) = scene.change().await;
    assert_eq!(scene.put(&lease, "application/json", renewal(7)).await.0, 200);
    scene.cancel(&id).await;
    scene.clock.fetch_add(3_600, Ordering::SeqCst);
    let expired = async { while !scene.metrics().await.contains("outcome=\"expired\"") {} };
    tokio::time::timeout(LONG, expired).await.expect("it is swept");
    assert_eq!(scene.put(&lease, "application/json", renewal(8)).await.0, 409);
    // Whoever lost the lease is judged, and not counted.
    scene
        .post(WORKER, &format!("{lease}/result"), json!({"kind": "failed", "error": "x", "cost": cost(9)}))
        .await;
    for (id, signature) in [("1", signed("{}")), ("1", signed("{}")), ("2", signed("[]"))] {
        let request = scene.client.post(format!("http://{}/hooks/github", scene.address));
        let request = request.header("content-type", "application/json").header("x-github-event", "ping");
        let request = request.header("x-github-delivery", id).header("x-hub-signature-256", signature);
        request.body("{}").send().await.unwrap();
    }
    let told = scene.metrics().await;
    let counted = [
        "gloaming_attempts_total",
        "gloaming_cost_usd_total",
        "gloaming_gate_verdicts_total",
        "gloaming_lease_expiries_total",
        "gloaming_leases_total",
        "gloaming_queue_wait_seconds_count",
        "gloaming_ready",
        "gloaming_renew_refusals_total",
        "gloaming_tokens_total",
        "gloaming_webhooks_total",
    ];
    let mut lines: Vec<&str> =
        told.lines().filter(|line| counted.iter().any(|name| line.starts_with(name))).collect();
    lines.sort_unstable();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    gloaming_attempts_total{outcome="bowed_out"} 1
    gloaming_attempts_total{outcome="cancelled"} 1
    gloaming_attempts_total{outcome="expired"} 1
    gloaming_attempts_total{outcome="failed"} 2
    gloaming_attempts_total{outcome="onboarded"} 1
    gloaming_attempts_total{outcome="released"} 1
    gloaming_attempts_total{outcome="verified"} 1
    gloaming_cost_usd_total 4
    gloaming_gate_verdicts_total{verdict="pass"} 1
    gloaming_gate_verdicts_total{verdict="refused"} 1
    gloaming_lease_expiries_total 1
    gloaming_leases_total 8
    gloaming_queue_wait_seconds_count 8
    gloaming_ready 1
    gloaming_renew_refusals_total 1
    gloaming_tokens_total 11111111
    gloaming_webhooks_total{sender="github",outcome="known"} 1
    gloaming_webhooks_total{sender="github",outcome="refused"} 1
    gloaming_webhooks_total{sender="github",outcome="taken"} 1
    "#);
    for (name, said) in [
        ("gloaming_http_request_seconds_count", r#"endpoint="submit_task""#),
        ("gloaming_store_write_seconds_count", r#"call="finish""#),
        ("gloaming_tasks", r#"state="bowed_out""#),
    ] {
        assert!(told.lines().any(|line| line.starts_with(name) && line.contains(said)), "{name}: {told}");
    }
}
