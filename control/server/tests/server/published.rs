//! Changes that are said to be verified, events as they come, and deliveries.

use std::sync::Arc;
use std::time::Duration;

use gloaming_api::access::Scope;
use gloaming_api::evidence::{Verdict, VerdictKind};
use gloaming_api::task::PullRequest;
use gloaming_api::worker::PROTOCOL;
use gloaming_api::{Digest, TaskId};
use gloaming_server::{Accepted, Acceptor, Claim, Refusal, Settings, Timeouts};
use gloaming_store::NewEffect;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::support::{Answer, LONG, Running, Setup};

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
        let key = format!("publish:{}:{}", claim.lease.task, claim.lease.attempt);
        let effects = vec![NewEffect { key, kind: "publish".into(), payload: json!({}) }];
        Ok(Accepted { verdict, envelope: [b"sealed ", claim.evidence].concat(), effects })
    }
}

async fn with_lease(setup: Setup) -> (Running, String, String, String) {
    let running = Running::with(setup).await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let worker = running.token("worker", &[Scope::Worker], "*");
    let id = running.submit(&token, "acme/api").await;
    let ask = json!({"protocol": PROTOCOL, "worker": "w", "labels": [], "wait_s": 0});
    assert_eq!(running.post("/v1/leases", &worker, ask).await.status, 200);
    (running, token, worker, id)
}

async fn upload(running: &Running, worker: &str, id: &str, content: &str) {
    let path = format!("/v1/leases/{id}/1/artifacts/{}", Digest::of(content));
    let headers = [("content-type", "application/octet-stream")];
    assert_eq!(running.send("PUT", &path, worker, &headers, content.into()).await.status, 204);
}

async fn verified(running: &Running, worker: &str, id: &str, evidence: &str) -> Answer {
    let change = json!({
        "kind": "verified", "base": "1".repeat(40), "tree": "2".repeat(40),
        "blobs": [{"path": "src/lib.rs", "mode": "100644", "content": Digest::of("blob")}],
        "patch": Digest::of("patch"), "evidence": Digest::of(evidence), "description": "Done.",
        "cost": {"usd": 1.0, "calls": 2, "tokens": 3, "wall_s": 4.0},
    });
    running.post(&format!("/v1/leases/{id}/1/result"), worker, change).await
}

#[tokio::test]
async fn a_change_is_judged_again_sealed_and_shown_when_it_is_published() {
    let setup = Setup { acceptor: Arc::new(ByWord), ..Setup::default() };
    let (running, token, worker, id) = with_lease(setup).await;
    for content in ["good", "patch"] {
        upload(&running, &worker, &id, content).await;
    }
    let early = verified(&running, &worker, &id, "good").await;
    assert_eq!(early.code(), "conflict");
    assert!(early.text().contains("`blobs`"), "{}", early.text());
    upload(&running, &worker, &id, "blob").await;
    assert_eq!(verified(&running, &worker, &id, "good").await.status, 204);
    assert_eq!(verified(&running, &worker, &id, "good").await.status, 204);
    let get = async |what: &str| running.ask("GET", &format!("/v1/tasks/{id}{what}"), &token).await;
    assert_eq!(get("").await.json()["state"], "publishing");
    assert_eq!(get("/patch").await.text(), "patch");
    assert_eq!(get(&format!("/artifacts/{}", Digest::of("patch"))).await.text(), "patch");
    assert_eq!(get(&format!("/artifacts/{}", Digest::of("nothing"))).await.code(), "not_found");
    assert_eq!(get("/verdict").await.json()["verdict"], "pass");
    assert_eq!(get("/evidence").await.text(), "sealed good");
    let due = running.store.effects(10, Duration::from_secs(60), running.now()).unwrap();
    assert_eq!(due.iter().map(|effect| effect.what.kind.as_str()).collect::<Vec<_>>(), ["publish"]);
    let task: TaskId = id.parse().unwrap();
    let request = PullRequest {
        number: 1,
        url: "https://git.acme.example/pull/1".into(),
        branch: task.branch(),
        commit: "3".repeat(40),
        outcome: None,
    };
    assert!(running.store.published(&task, &request, &[], running.now()).unwrap());
    assert_eq!(get("/evidence").await.text(), "sealed good");
}

#[tokio::test]
async fn what_the_control_plane_does_not_take_is_not_published() {
    let setup = Setup { acceptor: Arc::new(ByWord), ..Setup::default() };
    for (setup, why) in [(setup, "not good"), (Setup::default(), "not set up to publish")] {
        let (running, token, worker, id) = with_lease(setup).await;
        for content in ["bad", "patch", "blob"] {
            upload(&running, &worker, &id, content).await;
        }
        assert_eq!(verified(&running, &worker, &id, "bad").await.status, 204);
        let shown = running.ask("GET", &format!("/v1/tasks/{id}"), &token).await.json();
        assert_eq!(shown["state"], "queued");
        let events = running.store.events(&id.parse().unwrap(), 0, 100).unwrap();
        assert!(format!("{events:?}").contains(why), "{events:?}");
        assert!(running.store.effects(10, Duration::from_secs(60), running.now()).unwrap().is_empty());
        let verdict = running.ask("GET", &format!("/v1/tasks/{id}/verdict"), &token).await;
        assert_eq!(verdict.code(), "not_found");
    }
}

/// A connection is not idle while an answer is being taken, however slowly; the request itself is done long before.
#[tokio::test]
async fn who_takes_an_answer_bit_by_bit_gets_all_of_it() {
    let timeouts = Timeouts { idle: Duration::from_secs(1), ..Timeouts::default() };
    let settings = Settings { timeouts, ..Settings::default() };
    let (running, token, worker, id) =
        with_lease(Setup { acceptor: Arc::new(ByWord), settings, ..Setup::default() }).await;
    let patch = "p".repeat(15 << 20);
    let change = json!({
        "kind": "verified", "base": "1".repeat(40), "tree": "2".repeat(40), "blobs": [],
        "patch": Digest::of(&patch), "evidence": Digest::of("good"), "description": "Done.",
        "cost": {"usd": 1.0, "calls": 2, "tokens": 3, "wall_s": 4.0},
    });
    for content in ["good", &patch] {
        upload(&running, &worker, &id, content).await;
    }
    assert_eq!(running.post(&format!("/v1/leases/{id}/1/result"), &worker, change).await.status, 204);
    let head =
        format!("GET /v1/tasks/{id}/patch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut stream = running.raw(head.as_bytes()).await;
    let (mut read, mut buffer) = (0, vec![0; 128 << 10]);
    while read < patch.len() {
        let count = tokio::time::timeout(LONG, stream.read(&mut buffer)).await.unwrap().unwrap();
        assert!(count > 0, "cut after {read} bytes");
        read += count;
        let _ = tokio::time::timeout(Duration::from_millis(10), std::future::pending::<()>()).await;
    }
}

/// Reads a stream of events until it has so many, or it ends.
async fn read_events(stream: &mut reqwest::Response, wanted: usize) -> Vec<(String, String, Value)> {
    let mut text = String::new();
    loop {
        let events: Vec<_> = text
            .split_inclusive("\n\n")
            .filter(|block| block.ends_with("\n\n") && !block.starts_with(':'))
            .map(|block| {
                let field =
                    |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
                (field("id: "), field("event: "), serde_json::from_str(&field("data: ")).unwrap())
            })
            .collect();
        if events.len() >= wanted {
            return events;
        }
        match tokio::time::timeout(LONG, stream.chunk()).await.unwrap().unwrap() {
            Some(chunk) => text.push_str(&String::from_utf8_lossy(&chunk)),
            None => return events,
        }
    }
}

#[tokio::test]
async fn events_come_as_they_happen_go_on_where_they_were_left_and_end_with_the_task() {
    let timeouts = Timeouts { heartbeat: Duration::from_secs(300), ..Timeouts::default() };
    let setup = Setup { settings: Settings { timeouts, ..Settings::default() }, ..Setup::default() };
    let (running, token, worker, id) = with_lease(setup).await;
    let path = format!("/v1/tasks/{id}/events");
    let mut stream = running.open("GET", &path, &token, &[], vec![]).await;
    let first = read_events(&mut stream, 2).await;
    assert_eq!(
        first.iter().map(|one| (one.0.as_str(), one.1.as_str())).collect::<Vec<_>>(),
        [("1", "submitted"), ("2", "leased")]
    );
    let mut resumed = running.open("GET", &path, &token, &[("last-event-id", "1")], vec![]).await;
    let cost = json!({"usd": 0.0, "calls": 0, "wall_s": 0.0});
    running.ask("POST", &format!("/v1/tasks/{id}/cancel"), &token).await;
    let end = json!({"kind": "cancelled", "cost": cost});
    assert_eq!(running.post(&format!("/v1/leases/{id}/1/result"), &worker, end).await.status, 204);
    let rest = read_events(&mut stream, usize::MAX).await;
    assert_eq!(rest.iter().map(|one| one.1.as_str()).collect::<Vec<_>>(), ["cancel_asked", "ended"]);
    let resumed = read_events(&mut resumed, usize::MAX).await;
    assert_eq!(
        resumed.iter().map(|one| one.1.as_str()).collect::<Vec<_>>(),
        ["leased", "cancel_asked", "ended"]
    );
    assert_eq!(resumed[2].2["state"], "cancelled");
    // A browser connects again when a stream ends, unless it is told that there is no more.
    let over = running.send("GET", &path, &token, &[("last-event-id", &resumed[2].0)], vec![]).await;
    assert_eq!((over.status, over.body.len()), (204, 0));
    let wrong = running.send("GET", &path, &token, &[("last-event-id", "x")], vec![]).await;
    assert_eq!(wrong.code(), "bad_request");
}

#[tokio::test]
async fn a_stream_beats_and_ends_when_its_token_does() {
    let timeouts = Timeouts { heartbeat: Duration::from_millis(20), ..Timeouts::default() };
    let setup = Setup { settings: Settings { timeouts, ..Settings::default() }, ..Setup::default() };
    let (running, token, _, id) = with_lease(setup).await;
    let mut stream = running.open("GET", &format!("/v1/tasks/{id}/events"), &token, &[], vec![]).await;
    read_events(&mut stream, 2).await;
    assert_eq!(stream.chunk().await.unwrap().unwrap(), ": \n\n");
    running.store.revoke_token(&token[4..20], running.now()).unwrap();
    tokio::time::timeout(LONG, async { while stream.chunk().await.unwrap().is_some() {} }).await.unwrap();
}

#[tokio::test]
async fn one_token_has_so_many_streams_and_gets_its_places_back() {
    let mut settings = Settings::default();
    settings.caps.streams_of_one = 2;
    let (running, token, _, id) = with_lease(Setup { settings, ..Setup::default() }).await;
    let path = format!("/v1/tasks/{id}/events");
    let one = running.open("GET", &path, &token, &[], vec![]).await;
    let two = running.open("GET", &path, &token, &[], vec![]).await;
    let refused = running.ask("GET", &path, &token).await;
    assert_eq!((refused.status, refused.code()), (429, "rate_limited".into()));
    drop((one, two));
    // The server sees that they are gone when it looks at the connections next.
    let again = async {
        while running.open("GET", &path, &token, &[], vec![]).await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, again).await.unwrap();
}

fn signed(body: &[u8], secret: &str) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[tokio::test]
async fn deliveries_are_kept_once_and_only_with_the_secrets_signature() {
    let settings = Settings { github_secret: Some("a secret".into()), ..Settings::default() };
    let running = Running::with(Setup { settings, ..Setup::default() }).await;
    let body = b"{\"action\":\"labeled\"}".to_vec();
    let good = signed(&body, "a secret");
    let send = async |signature: &str, id: &str, body: &[u8]| {
        let headers = [
            ("content-type", "application/json"),
            ("x-hub-signature-256", signature),
            ("x-github-delivery", id),
            ("x-github-event", "issues"),
        ];
        running.send("POST", "/hooks/github", "", &headers, body.to_vec()).await
    };
    assert_eq!(send(&good, "d1", &body).await.status, 202);
    assert_eq!(send(&good, "d1", &body).await.status, 202);
    // A signature is checked before anything of the body or the other headers is looked at.
    for bad in ["", "sha256=", &signed(&body, "another"), &good[7..], &good.to_uppercase(), &good[..70]] {
        assert_eq!(send(bad, "d 2", b"not json").await.code(), "bad_signature", "{bad}");
    }
    assert_eq!(send(&good, "d3", b"{\"action\":\"closed\"}").await.code(), "bad_signature");
    assert_eq!(send(&good, "d 4", &body).await.code(), "bad_request");
    let kept = running.store.deliveries(10, Duration::from_secs(60), running.now()).unwrap();
    assert_eq!(
        kept.iter().map(|one| (one.id.as_str(), one.body.as_slice())).collect::<Vec<_>>(),
        [("d1", body.as_slice())]
    );
    let without = Running::start().await;
    let headers = [("content-type", "application/json"), ("x-hub-signature-256", good.as_str())];
    assert_eq!(without.send("POST", "/hooks/github", "", &headers, body).await.code(), "bad_signature");
}
