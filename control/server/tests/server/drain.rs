//! How a server ends.

use std::sync::Arc;
use std::time::Duration;

use gloaming_api::access::Scope;
use gloaming_api::worker::PROTOCOL;
use gloaming_server::{Settings, Timeouts};
use gloaming_store::{Limits, SqliteStore};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use crate::support::{LONG, Running, Setup, read_all};

fn quick(drain: Duration) -> Setup {
    let timeouts = Timeouts { drain, ..Timeouts::default() };
    Setup { settings: Settings { timeouts, ..Settings::default() }, ..Setup::default() }
}

#[tokio::test]
async fn streams_and_waits_end_when_the_server_drains_and_nothing_is_cut() {
    let mut running = Running::with(quick(Duration::from_secs(15))).await;
    let token = running.token("bot", &[Scope::Submit, Scope::Worker], "*");
    let id = running.submit(&token, "acme/api").await;
    let mut stream = running.open("GET", &format!("/v1/tasks/{id}/events"), &token, &[], vec![]).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert!(stream.chunk().await.unwrap().is_some());
    let idle = running.raw(b"").await;
    // A worker that waits for a task of its own kind, which there is none of.
    let body = json!({"protocol": PROTOCOL, "worker": "w", "labels": [], "wait_s": 30}).to_string();
    let other = running.token("worker", &[Scope::Worker], "other/*");
    let head = format!(
        "POST /v1/leases HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {other}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut wait = running.raw(head.as_bytes()).await;
    // The one that is served says that the other was, too: connections are taken in their order.
    assert_eq!(running.ask("GET", "/livez", "").await.status, 200);
    running.begin_stop();
    let mut rest = String::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        rest.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(rest.contains("event: submitted") || rest.is_empty(), "{rest}");
    assert!(read_all(&mut wait).await.starts_with("HTTP/1.1 204"));
    assert_eq!(running.stopped().await, 0);
    drop(idle);
}

#[tokio::test]
async fn what_does_not_end_by_itself_is_cut() {
    let mut running = Running::with(quick(Duration::from_millis(200))).await;
    let token = running.token("bot", &[Scope::Submit], "*");
    // A request whose body never comes whole.
    let mut stream = running
        .raw(format!("POST /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n").as_bytes())
        .await;
    let mut hello = [0; 12];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"HTTP/1.1 100");
    running.begin_stop();
    assert_eq!(running.stopped().await, 1);
    read_all(&mut stream).await;
}

#[tokio::test]
async fn a_connection_that_is_kept_is_told_to_close() {
    let mut running = Running::with(quick(Duration::from_secs(15))).await;
    let mut stream = running.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut buffer = vec![0; 4096];
    let count = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..count].ends_with(b"ok\n"));
    running.begin_stop();
    assert_eq!(read_all(&mut stream).await, "");
    assert_eq!(running.stopped().await, 0);
}

#[tokio::test]
async fn a_database_that_cannot_be_written_is_said_soon() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plane.db");
    let store = SqliteStore::open(&path, Limits::default()).unwrap();
    let running = Running::on(Arc::new(store), Setup::default()).await;
    // Somebody holds the file, as a disk does that hangs: a write waits for a minute before it fails.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = tokio::time::timeout(LONG, running.ask("GET", "/readyz", "")).await.unwrap();
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (503, "the database cannot be written; the log has more\n")
    );
    assert_eq!(running.ask("GET", "/livez", "").await.status, 200);
    other.execute_batch("ROLLBACK").unwrap();
    let mut probes = tokio::time::interval(Duration::from_millis(250));
    let again = async {
        while running.ask("GET", "/readyz", "").await.status != 200 {
            probes.tick().await;
        }
    };
    tokio::time::timeout(LONG, again).await.unwrap();
}

#[tokio::test]
async fn whoever_watches_a_task_is_told_at_once_that_another_took_its_place() {
    let timeouts = Timeouts { heartbeat: Duration::from_secs(3_600), ..Timeouts::default() };
    let settings = Settings { timeouts, ..Settings::default() };
    let running = Running::with(Setup { settings, ..Setup::default() }).await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let body = json!({"repo": "acme/api", "text": "Fix it.", "supersede": "nightly"});
    let id = running.post("/v1/tasks", &token, body.clone()).await.json()["id"].as_str().unwrap().to_owned();
    let mut stream = running.open("GET", &format!("/v1/tasks/{id}/events"), &token, &[], vec![]).await;
    let mut told = String::new();
    while !told.contains("event: submitted") {
        told.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
    }
    assert_eq!(running.post("/v1/tasks", &token, body).await.status, 202);
    let rest = async {
        while let Some(chunk) = stream.chunk().await.unwrap() {
            told.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    tokio::time::timeout(LONG, rest).await.unwrap();
    assert!(told.contains("superseded"), "{told}");
}
