//! The workers' protocol, over HTTP and in this process.

use std::time::Duration;

use gloaming_api::Digest;
use gloaming_api::access::Scope;
use gloaming_api::worker::{Control, ControlError, LEASE, LeaseKey, LeaseRequest, PROTOCOL};
use serde_json::{Value, json};

use crate::support::{LONG, Running};

fn request(wait_s: u64) -> Value {
    json!({"protocol": PROTOCOL, "worker": "w1", "labels": ["arch:x86_64"], "wait_s": wait_s})
}

fn cost() -> Value {
    json!({"usd": 0.5, "calls": 1, "tokens": 10, "wall_s": 1.0})
}

const LINES: [(&str, &str); 1] = [("content-type", "application/jsonl")];
const BYTES: [(&str, &str); 1] = [("content-type", "application/octet-stream")];

#[tokio::test]
async fn a_lease_is_worked_under_and_ends() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let worker = running.token("worker", &[Scope::Worker], "acme/*");
    let body = json!({"repo": "acme/api", "text": "x", "cost_usd": 0.25});
    let id = running.post("/v1/tasks", &token, body).await.json()["id"].as_str().unwrap().to_owned();
    let lease = running.post("/v1/leases", &worker, request(0)).await.json();
    let told = (&lease["task"], &lease["attempt"], &lease["expires_s"], &lease["clone"], &lease["asker"]);
    assert_eq!(
        told,
        (
            &json!(id),
            &json!(1),
            &json!(LEASE.as_secs()),
            &json!("https://github.com/acme/api.git"),
            &json!("token:bot")
        )
    );
    assert_eq!(
        lease["policy"],
        json!([{"layer": "task", "file": "task", "text": "schema = 1\n\n[budget]\ncost_usd = 0.25\n"}])
    );
    let path = format!("/v1/leases/{id}/1");
    let renewal = json!({"doing": "reading", "cost": cost()}).to_string();
    let json_type = [("content-type", "application/json")];
    let renewed = running.send("PUT", &path, &worker, &json_type, renewal.clone().into()).await;
    assert_eq!(renewed.json(), json!({"expires_s": LEASE.as_secs(), "cancel": false}));

    // A cost below nothing would take back what others spent. Found by schemathesis.
    // One near the greatest number that there is makes a sum that is none.
    for cost in [
        json!({"usd": -1.0, "calls": 1, "wall_s": 1.0}),
        json!({"usd": 1.0, "calls": 1, "wall_s": -1.0}),
        json!({"usd": 1.7e308, "calls": 1, "wall_s": 1.0}),
        json!({"usd": 1.0, "calls": 1, "wall_s": 1.7e308}),
    ] {
        let renewal = json!({"cost": cost}).to_string();
        assert_eq!(
            running.send("PUT", &path, &worker, &json_type, renewal.into()).await.code(),
            "invalid_body"
        );
        let end = json!({"kind": "cancelled", "cost": cost});
        assert_eq!(running.post(&format!("{path}/result"), &worker, end).await.code(), "invalid_body");
    }
    let lines = b"{\"seq\":0}\n{\"seq\":1}\n".to_vec();
    let upload = async |from: u64, lines: Vec<u8>| {
        running.send("POST", &format!("{path}/events?from={from}"), &worker, &LINES, lines).await
    };
    assert_eq!(upload(0, lines.clone()).await.json(), json!({"next": 2}));
    assert_eq!(upload(1, b"{\"seq\":1}\n{\"seq\":2}".to_vec()).await.json(), json!({"next": 3}));
    assert_eq!(upload(7, lines.clone()).await.json(), json!({"next": 3}));
    assert_eq!(upload(3, b"{\n".to_vec()).await.code(), "invalid_body");
    assert_eq!(upload(3, b"\xff\n".to_vec()).await.code(), "invalid_body");
    let told = running.ask("GET", &format!("/v1/tasks/{id}/trajectory"), &token).await;
    assert_eq!(told.text(), "{\"seq\":0}\n{\"seq\":1}\n{\"seq\":2}\n");
    assert_eq!(told.header("content-type"), "application/jsonl");

    let put = async |digest: &Digest, content: &[u8]| {
        running.send("PUT", &format!("{path}/artifacts/{digest}"), &worker, &BYTES, content.to_vec()).await
    };
    assert_eq!(put(&Digest::of("a patch"), b"a patch").await.status, 204);
    assert_eq!(put(&Digest::of("a patch"), b"another").await.code(), "invalid_body");

    running.ask("POST", &format!("/v1/tasks/{id}/cancel"), &token).await;
    let renewed = running.send("PUT", &path, &worker, &json_type, renewal.into()).await;
    assert_eq!(renewed.json()["cancel"], true);
    let end = json!({"kind": "cancelled", "cost": cost()});
    assert_eq!(running.post(&format!("{path}/result"), &worker, end.clone()).await.status, 204);
    assert_eq!(running.post(&format!("{path}/result"), &worker, end).await.status, 204);
    let other = json!({"kind": "failed", "error": "x", "cost": cost()});
    assert_eq!(running.post(&format!("{path}/result"), &worker, other).await.status, 409);
    let shown = running.ask("GET", &format!("/v1/tasks/{id}"), &token).await.json();
    assert_eq!((&shown["state"], &shown["cost"]["usd"]), (&json!("cancelled"), &json!(0.5)));
}

/// What an attempt learnt is its repository's, under its lease alone; what was proved stands before what is only read.
#[tokio::test]
async fn what_an_attempt_learnt_is_kept_and_shown_with_its_own_tag() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let worker = running.token("worker", &[Scope::Worker], "*");
    let other = running.token("other", &[Scope::Worker], "*");
    let id = running.submit(&token, "acme/api").await;
    running.post("/v1/leases", &worker, request(0)).await;
    let shown = async || running.ask("GET", "/v1/repos/acme/api/profile", &token).await;
    assert_eq!(shown().await.code(), "not_found");
    let put = async |path: &str, token: &str, profile: String| {
        let json_type = [("content-type", "application/json")];
        running.send("PUT", &format!("/v1/leases/{path}/profile"), token, &json_type, profile.into()).await
    };
    let first = format!("{id}/1");
    let profile = |files: &str, argv: &str, proved: bool| {
        let mut profile = serde_json::to_value(gloaming_api::Profile::empty()).unwrap();
        let source = json!({"file": "Cargo.toml", "line": 1, "because": "a package"});
        let mut command = json!({"kind": "test", "argv": [argv], "cwd": ".", "source": source});
        if proved {
            command["proof"] = json!({
                "exit": {"how": "code", "value": 0}, "duration_ms": 1, "at": "2026-11-27T12:00:00Z",
                "environment": Digest::of("x"),
            });
        }
        profile["commands"] = json!([command]);
        profile["mined_from"] = json!(Digest::of(files));
        profile
    };
    let mined = profile("one", "mined", false);
    assert_eq!(put(&first, &other, mined.to_string()).await.code(), "lease_lost");
    assert_eq!(put(&first, &worker, json!({"schema_version": 1}).to_string()).await.code(), "invalid_body");
    let mut newer = mined.clone();
    newer["schema_version"] = json!(2);
    assert_eq!(put(&first, &worker, newer.to_string()).await.code(), "invalid_body");
    assert_eq!(put(&first, &worker, " ".repeat((2 << 20) + 1)).await.code(), "too_large");
    assert_eq!(shown().await.code(), "not_found");

    assert_eq!(put(&first, &worker, mined.to_string()).await.status, 204);
    let told = shown().await;
    assert_eq!(told.json(), mined);
    let proved = profile("one", "proved", true);
    assert_eq!(put(&first, &worker, proved.to_string()).await.status, 204);
    let now = shown().await;
    assert_eq!(now.json()["commands"][0]["argv"], json!(["proved"]), "{}", now.text());
    assert_ne!(now.header("etag"), told.header("etag"));
    // The same files again, only read: no news. Other files are.
    assert_eq!(put(&first, &worker, mined.to_string()).await.status, 204);
    assert_eq!(shown().await.header("etag"), now.header("etag"));
    assert_eq!(put(&first, &worker, profile("two", "mined", false).to_string()).await.status, 204);
    assert_eq!(shown().await.json()["mined_from"], json!(Digest::of("two")));

    // Of another branch nothing is kept, and another repository has its own.
    let body = json!({"repo": "acme/api", "text": "x", "base": "release"});
    let branch = running.post("/v1/tasks", &token, body).await.json()["id"].as_str().unwrap().to_owned();
    running.post("/v1/leases", &other, request(0)).await;
    let three = profile("three", "mined", false).to_string();
    assert_eq!(put(&format!("{branch}/1"), &other, three.clone()).await.status, 204);
    assert_eq!(shown().await.json()["mined_from"], json!(Digest::of("two")));
    assert_eq!(running.ask("GET", "/v1/repos/acme/web/profile", &token).await.code(), "not_found");
    running.pass(Duration::from_secs(61));
    assert_eq!(put(&first, &worker, three).await.code(), "lease_lost");
}

/// The most that a task may cost is one sum, and not one for each attempt.
#[tokio::test]
async fn an_attempt_may_spend_what_those_before_it_left() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let worker = running.token("worker", &[Scope::Worker], "*");
    let body = json!({"repo": "acme/api", "text": "x", "cost_usd": 0.25});
    let id = running.post("/v1/tasks", &token, body).await.json()["id"].as_str().unwrap().to_owned();
    for (attempt, left, took) in [(1, "0.25", 0.125), (2, "0.125", 0.5)] {
        let lease = running.post("/v1/leases", &worker, request(0)).await.json();
        assert_eq!((&lease["task"], &lease["attempt"]), (&json!(id), &json!(attempt)), "{lease:#}");
        let text = format!("schema = 1\n\n[budget]\ncost_usd = {left}\n");
        assert_eq!(lease["policy"], json!([{"layer": "task", "file": "task", "text": text}]));
        let cost = json!({"usd": took, "calls": 1, "wall_s": 1.0});
        let failed = json!({"kind": "failed", "error": "no disk", "cost": cost});
        let path = format!("/v1/leases/{id}/{attempt}/result");
        assert_eq!(running.post(&path, &worker, failed).await.status, 204);
        running.pass(Duration::from_secs(300));
    }
    assert_eq!(running.post("/v1/leases", &worker, request(0)).await.status, 204);
    let shown = running.ask("GET", &format!("/v1/tasks/{id}"), &token).await.json();
    let bow_out = &shown["bow_out"];
    assert_eq!(
        json!([shown["state"], bow_out["reason_code"], bow_out["attempt"], shown["cost"]["usd"]]),
        json!(["bowed_out", "budget_exhausted", 3, 0.625]),
        "{shown:#}"
    );
    assert_eq!(bow_out["summary"], "the task may cost 0.25 US dollars, and its attempts took 0.6250");
    // What may cost nothing is worked on: some work costs nothing.
    let body = json!({"repo": "acme/api", "text": "y", "cost_usd": 0.0});
    let free = running.post("/v1/tasks", &token, body).await.json();
    assert_eq!(running.post("/v1/leases", &worker, request(0)).await.json()["task"], free["id"]);
}

#[tokio::test]
async fn what_a_worker_lost_is_refused_and_the_task_is_anothers() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let first = running.token("first", &[Scope::Worker], "*");
    let second = running.token("second", &[Scope::Worker], "*");
    let id = running.submit(&token, "acme/api").await;
    running.post("/v1/leases", &first, request(0)).await;
    let path = format!("/v1/leases/{id}/1");
    // Another token of the same scope writes nothing under it.
    assert_eq!(running.ask("DELETE", &path, &second).await.code(), "lease_lost");
    running.pass(Duration::from_secs(61));
    let lease = running.post("/v1/leases", &second, request(0)).await.json();
    assert_eq!(lease["attempt"], 2);
    let renewal = json!({"cost": cost()}).to_string();
    let late =
        running.send("PUT", &path, &first, &[("content-type", "application/json")], renewal.into()).await;
    assert_eq!(late.code(), "lease_lost");
    for (method, path, headers) in [
        ("POST", format!("{path}/events?from=0"), LINES),
        ("PUT", format!("{path}/artifacts/{}", Digest::of("x")), BYTES),
    ] {
        let late = running.send(method, &path, &first, &headers, b"\"x\"".to_vec()).await;
        assert_eq!(late.code(), "lease_lost", "{path}");
    }
    assert_eq!(running.ask("DELETE", &format!("/v1/leases/{id}/2"), &second).await.status, 204);
    let shown = running.ask("GET", &format!("/v1/tasks/{id}"), &token).await.json();
    assert_eq!(shown["state"], "queued");
}

#[tokio::test]
async fn a_worker_of_another_release_is_told_so() {
    let running = Running::start().await;
    let worker = running.token("worker", &[Scope::Worker], "*");
    let body = json!({"protocol": PROTOCOL + 1, "worker": "w", "labels": [], "wait_s": 0});
    let answer = running.post("/v1/leases", &worker, body).await;
    assert_eq!((answer.status, answer.code()), (426, "protocol_version".into()));
}

#[tokio::test]
async fn waiting_workers_are_woken_by_what_fits_them_and_each_task_is_one_workers() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let acme = running.token("acme", &[Scope::Worker], "acme/*");
    let other = running.token("other", &[Scope::Worker], "other/*");
    assert_eq!(running.post("/v1/leases", &acme, request(0)).await.status, 204);
    let waits = async {
        let mut tasks = Vec::new();
        let all =
            futures::future::join_all((0..3).map(|_| running.post("/v1/leases", &acme, request(30)))).await;
        for answer in all {
            tasks.push(answer.json()["task"].as_str().unwrap().to_owned());
        }
        tasks.sort();
        tasks
    };
    let asks = async {
        let mut tasks = Vec::new();
        for repo in ["acme/a", "acme/b", "acme/c"] {
            tasks.push(running.submit(&token, repo).await);
        }
        let theirs = running.submit(&token, "other/a").await;
        let lease = running.post("/v1/leases", &other, request(30)).await.json();
        assert_eq!(lease["task"], theirs.as_str());
        tasks.sort();
        tasks
    };
    let (got, asked) = tokio::time::timeout(LONG, async { tokio::join!(waits, asks) }).await.unwrap();
    assert_eq!(got, asked);
}

#[tokio::test]
async fn a_task_whose_time_comes_wakes_a_worker() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let worker = running.token("worker", &[Scope::Worker], "*");
    let later = running.now() + Duration::from_secs(3600);
    let body = json!({"repo": "acme/api", "text": "x", "not_before": later});
    assert_eq!(running.post("/v1/tasks", &token, body).await.status, 202);
    assert_eq!(running.post("/v1/leases", &worker, request(0)).await.status, 204);
    let (answer, ()) = tokio::join!(running.post("/v1/leases", &worker, request(30)), async {
        running.pass(Duration::from_secs(3600));
    });
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_worker_that_hangs_up_while_it_waits_takes_nothing_with_it() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let worker = running.token("worker", &[Scope::Worker], "*");
    let gone = running.post("/v1/leases", &worker, request(30));
    assert!(tokio::time::timeout(Duration::from_millis(200), gone).await.is_err());
    let id = running.submit(&token, "acme/api").await;
    let lease = running.post("/v1/leases", &worker, request(20)).await;
    assert_eq!(lease.json()["task"], id.as_str());
}

#[tokio::test]
async fn a_worker_in_this_process_is_answered_the_same() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let worker = running.token("worker", &[Scope::Worker], "*");
    let id = &worker[4..20];
    let control = running.server.in_process(id);
    let ask = LeaseRequest { protocol: PROTOCOL, worker: "w".into(), labels: vec![], wait_s: 20 };
    let (lease, task) = tokio::join!(control.lease(&ask), running.submit(&token, "acme/api"));
    let lease = lease.unwrap().unwrap();
    assert_eq!(lease.task.as_str(), task);
    let key = LeaseKey { task: lease.task, attempt: lease.attempt };
    assert_eq!(control.events(&key, 0, "{}\n{}\n").await.unwrap().next, 2);
    control.artifact(&key, &Digest::of("x"), b"x".to_vec()).await.unwrap();
    assert!(matches!(
        control.artifact(&key, &Digest::of("x"), b"y".to_vec()).await,
        Err(ControlError::Refused(_))
    ));
    control.release(&key).await.unwrap();
    assert!(matches!(control.release(&key).await, Err(ControlError::Lost { .. })));
    running.store.revoke_token(id, running.now()).unwrap();
    assert!(matches!(control.lease(&ask).await, Err(ControlError::Refused(_))));
}

/// To be onboarded is a task of its own kind: nothing but a profile ends it well, and a profile ends nothing else.
#[tokio::test]
async fn a_repository_is_onboarded_once_its_profile_is_handed_over() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "acme/*");
    let worker = running.token("worker", &[Scope::Worker], "*");
    let json_type = [("content-type", "application/json")];
    let onboard = async |headers: &[(&str, &str)]| {
        running.send("POST", "/v1/repos/acme/api/onboard", &token, headers, vec![]).await
    };
    let state =
        async |id: &str| running.ask("GET", &format!("/v1/tasks/{id}"), &token).await.json()["state"].clone();
    let asked = onboard(&[("idempotency-key", "once")]).await;
    let first = asked.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((asked.status, asked.header("location")), (202, format!("/v1/tasks/{first}").as_str()));
    assert_eq!(onboard(&[("idempotency-key", "once")]).await.json()["id"], json!(first));
    // Asked for again, it is the newest files that count.
    let id = onboard(&[]).await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(state(&first).await, "superseded");
    let other = running.send("POST", "/v1/repos/other/api/onboard", &token, &[], vec![]).await;
    assert_eq!(other.code(), "not_found");

    let end = async |id: &str, attempt: u32, end: Value| {
        running.post(&format!("/v1/leases/{id}/{attempt}/result"), &worker, end).await.status
    };
    let onboarded = json!({"kind": "onboarded", "cost": cost()});
    let lease = running.post("/v1/leases", &worker, request(0)).await.json();
    assert_eq!((&lease["task"], &lease["kind"]), (&json!(id), &json!("onboard")));
    // Nothing was handed over: it is tried again.
    assert_eq!(end(&id, 1, onboarded.clone()).await, 204);
    assert_eq!(state(&id).await, "queued");
    running.pass(Duration::from_secs(3600));
    running.post("/v1/leases", &worker, request(0)).await;
    let profile = serde_json::to_vec(&gloaming_api::Profile::empty()).unwrap();
    let place = format!("/v1/leases/{id}/2/profile");
    assert_eq!(running.send("PUT", &place, &worker, &json_type, profile).await.status, 204);
    assert_eq!(end(&id, 2, onboarded.clone()).await, 204);
    assert_eq!(state(&id).await, "onboarded");
    assert_eq!(running.ask("GET", "/v1/repos/acme/api/profile", &token).await.status, 200);
    // It is no change that was asked for, and counts among none.
    let stats = running.ask("GET", "/v1/stats", &token).await.json();
    assert_eq!((&stats["total"]["tasks"], &stats["total"]["onboardings"]), (&json!(0), &json!(2)));

    // A change is no profile.
    let change = running.submit(&token, "acme/api").await;
    let lease = running.post("/v1/leases", &worker, request(0)).await.json();
    assert_eq!((&lease["task"], &lease["kind"]), (&json!(change), &Value::Null));
    assert_eq!(end(&change, 1, onboarded).await, 204);
    let shown = running.ask("GET", &format!("/v1/tasks/{change}"), &token).await.json();
    assert_eq!(shown["state"], "queued");
    assert!(shown["failure"].as_str().unwrap().contains("only a profile"), "{shown:#}");

    // Of a branch nothing would be kept.
    let branch = json!({"repo": "acme/api", "text": "x", "kind": "onboard", "base": "release"});
    assert_eq!(running.post("/v1/tasks", &token, branch).await.code(), "invalid_body");
}
