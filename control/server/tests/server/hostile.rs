//! Clients that mean harm, on raw connections: nothing but the documented codes, in time, and the server goes on.

use std::time::Duration;

use gloaming_api::access::Scope;
use gloaming_api::worker::PROTOCOL;
use gloaming_server::{Settings, Timeouts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::published::signed;
use crate::support::{LONG, Running, Setup, code_of, read_all};

async fn hasty() -> Running {
    let short = Duration::from_millis(150);
    let timeouts = Timeouts { head: short, body: short, idle: short, write: short, ..Timeouts::default() };
    Running::with(Setup { settings: Settings { timeouts, ..Settings::default() }, ..Setup::default() }).await
}

#[tokio::test]
async fn a_head_that_is_not_finished_is_answered_when_its_time_is_over() {
    let running = hasty().await;
    for half in [
        "G",
        "PRI",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b",
        "GET / HTTP/1.1\r\nHost: x\r\n",
    ] {
        let mut stream = running.raw(half.as_bytes()).await;
        let answer = read_all(&mut stream).await;
        if half == "PRI" {
            // That begins HTTP/2, which has no such answer.
            continue;
        }
        assert!(answer.starts_with("HTTP/1.1 408 "), "{half:?}: {answer}");
        assert_eq!(code_of(&answer), "request_timeout");
    }
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_has_no_more_time_than_one_that_does_not() {
    let running = hasty().await;
    let mut stream = running.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n").await;
    let (mut read, mut write) = stream.split();
    let drip = async {
        loop {
            if write.write_all(b"A: b\r\n").await.is_err() {
                break;
            }
            let _ = tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>()).await;
        }
    };
    let mut answer = Vec::new();
    let ended = async {
        let _ = read.read_to_end(&mut answer).await;
    };
    tokio::time::timeout(LONG, async {
        tokio::select! { () = drip => {}, () = ended => {} }
    })
    .await
    .expect("the server ends it");
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_and_nothing_is_said() {
    let running = hasty().await;
    let mut stream = running.raw(b"").await;
    assert_eq!(read_all(&mut stream).await, "");
    let answer = running.talk(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok\n"), "{answer}");
}

fn submit(token: &str, rest: &str) -> String {
    format!(
        "POST /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n{rest}"
    )
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_when_its_time_is_over() {
    let running = hasty().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    for half in [
        "Content-Length: 10\r\n\r\n{",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        "Transfer-Encoding: chunked\r\n\r\n",
    ] {
        let answer = running.talk(submit(&token, half).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{half:?}: {answer}");
        assert_eq!(code_of(&answer), "request_timeout");
    }
}

#[tokio::test]
async fn a_body_too_large_is_refused_before_it_is_read() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    // No byte of it is sent, nor is one asked for.
    for length in ["2097153", "26214400", "18446744073709551613"] {
        let rest = format!("Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n");
        let answer = running.talk(submit(&token, &rest).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{length}: {answer}");
        assert_eq!(code_of(&answer), "too_large");
    }
    // Whoever is not let in is not asked for the body either.
    let answer =
        running.talk(submit("glm_x", "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let read = running.talk(format!("GET /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 1\r\n\r\nx").as_bytes()).await;
    assert_eq!(code_of(&read), "too_large");
}

#[tokio::test]
async fn a_body_of_25_megabytes_and_one_without_end_stop_at_the_cap() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let mut huge = submit(&token, "Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..25 {
        huge.extend_from_slice(b"100000\r\n");
        huge.resize(huge.len() + 0x10_0000, b' ');
        huge.extend_from_slice(b"\r\n");
    }
    let mut stream = running.raw(b"").await;
    let (mut read, mut write) = stream.split();
    let mut answer = vec![0; 4096];
    let (count, _) = tokio::join!(tokio::time::timeout(LONG, read.read(&mut answer)), async {
        let _ = tokio::time::timeout(LONG, write.write_all(&huge)).await;
    });
    let answer = String::from_utf8_lossy(&answer[..count.unwrap().unwrap()]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(running.ask("GET", "/livez", "").await.status, 200);
}

#[tokio::test]
async fn heads_that_are_too_large_or_no_heads_are_refused_with_a_problem() {
    let running = Running::start().await;
    let long = "a".repeat(40_000);
    let many: String = (0..100).map(|count| format!("A{count}: b\r\n")).collect();
    for (head, code) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), "headers_too_large"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n"), "headers_too_large"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"), "headers_too_large"),
        ("GET /v1/\0tasks HTTP/1.1\r\nHost: x\r\n\r\n".into(), "bad_request"),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n".into(), "bad_request"),
        ("\u{16}\u{3}\u{1}\0\u{a5}\u{1}\0\0\u{a1}\r\n\r\n".into(), "bad_request"),
        ("GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n".into(), "bad_request"),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n".into(), "bad_request"),
        ("GET / HTTP/1.1\r\nHost: x\r\n folded: x\r\n\r\n".into(), "bad_request"),
        ("GET / HTTP/1.1\r\n\r\n".into(), "bad_request"),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".into(), "bad_request"),
    ] {
        let mut stream = running.raw(head.as_bytes()).await;
        stream.shutdown().await.ok();
        let answer = read_all(&mut stream).await;
        assert_eq!(code_of(&answer), code, "{:?}: {answer}", &head[..head.len().min(60)]);
    }
}

#[tokio::test]
async fn requests_that_two_servers_would_read_differently_are_one_or_none() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let inner =
        format!("GET /v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", running.admin);
    let bodies = [
        format!("Content-Length: 0\r\nContent-Length: {}\r\n\r\n{inner}", inner.len()),
        format!("Content-Length: +{}\r\n\r\n{inner}", inner.len()),
        format!("Content-Length: 0x10\r\n\r\n{inner}"),
        format!("Content-Length: 0, {}\r\n\r\n{inner}", inner.len()),
        format!(
            "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n",
            inner.len()
        ),
        format!("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}"),
        format!("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{inner}"),
        format!("Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{inner}"),
    ];
    for body in bodies {
        let answer = running.talk(submit(&token, &format!("Connection: close\r\n{body}")).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{body:?}: {answer}");
        // What was in the first one's body is never a request of its own.
        assert!(!answer.contains("\"scopes\""), "{body:?}: {answer}");
    }
}

#[tokio::test]
async fn path_tricks_find_nothing() {
    let running = Running::start().await;
    let token = running.token("bot", &[Scope::Submit], "acme/*");
    let id = running.submit(&token, "acme/api").await;
    for path in [
        "/v1/tasks/../tokens".to_owned(),
        "/v1/tasks/%2e%2e/tokens".into(),
        "/v1/tasks/..%2ftokens".into(),
        "//v1/tasks".into(),
        "/v1//tasks".into(),
        "/v1/tasks/".into(),
        "/./v1/tasks".into(),
        "/v1/%74asks".into(),
        "/v1/tasks;x=1".into(),
        format!("/v1/tasks/{}", id.to_uppercase()),
        format!("/v1/tasks/{id}%00"),
        format!("/v1/tasks/{id}/"),
        format!("/v1/tasks/{id}/events/.."),
        "/v1/repos/acme/../policy".into(),
        "/v1/repos/acme/%2e%2e/policy".into(),
        "/v1/repos/acme/api%2f..%2fweb/policy".into(),
        "/v1/repos/../acme/api/policy".into(),
        format!("/{}", "a/".repeat(10_000)),
        format!("/v1/tasks/{}", "9".repeat(20_000)),
        "*".into(),
    ] {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let answer = running.talk(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404 ") || path == "*", "{path}: {answer}");
        assert!(matches!(code_of(&answer).as_str(), "not_found" | "bad_request"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go() {
    let timeouts = Timeouts { write: Duration::from_millis(150), ..Timeouts::default() };
    let running =
        Running::with(Setup { settings: Settings { timeouts, ..Settings::default() }, ..Setup::default() })
            .await;
    let token = running.token("bot", &[Scope::Submit, Scope::Worker], "*");
    let id = running.submit(&token, "acme/api").await;
    let lease = serde_json::json!({"protocol": PROTOCOL, "worker": "w", "labels": [], "wait_s": 0});
    assert_eq!(running.post("/v1/leases", &token, lease).await.status, 200);
    // More than fits into what is between: 32 MB of journal.
    let line = format!("\"{}\"\n", "x".repeat(1 << 19));
    for from in 0..64 {
        let path = format!("/v1/leases/{id}/1/events?from={from}");
        let headers = [("content-type", "application/jsonl")];
        assert_eq!(running.send("POST", &path, &token, &headers, line.clone().into()).await.status, 200);
    }
    let head =
        format!("GET /v1/tasks/{id}/trajectory HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut stream = running.raw(head.as_bytes()).await;
    let mut hello = [0; 12];
    stream.read_exact(&mut hello).await.unwrap();
    // Nothing is read while others are served, until the server has given up.
    let gone = async {
        let told = "gloaming_connections_ended_total{reason=\"stuck\"}";
        while !running.ask("GET", "/metrics", &running.admin).await.text().contains(told) {}
    };
    tokio::time::timeout(LONG, gone).await.unwrap();
    assert!(read_all(&mut stream).await.len() < 24 << 20);
}

#[tokio::test]
async fn connections_beyond_the_cap_are_told_so_and_places_come_back() {
    let mut settings = Settings::default();
    settings.caps.connections = 2;
    let running = Running::with(Setup { settings, ..Setup::default() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = running.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut hello = [0; 12];
        stream.read_exact(&mut hello).await.unwrap();
        held.push(stream);
    }
    let mut third = running.raw(b"").await;
    let answer = read_all(&mut third).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1"), "{answer}");
    drop(held);
    let again = async {
        loop {
            let answer = running.talk(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
            if answer.starts_with("HTTP/1.1 200 ") {
                break;
            }
        }
    };
    tokio::time::timeout(LONG, again).await.unwrap();
}

#[tokio::test]
async fn too_much_at_once_is_shed_and_probes_are_answered_all_the_same() {
    let mut settings = Settings::default();
    settings.caps.requests = 1;
    let running = Running::with(Setup { settings, ..Setup::default() }).await;
    let token = running.token("bot", &[Scope::Submit], "*");
    let mut held =
        running.raw(submit(&token, "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n").as_bytes()).await;
    let mut hello = [0; 12];
    held.read_exact(&mut hello).await.unwrap();
    let shed = running.ask("GET", "/v1/tasks", &token).await;
    assert_eq!((shed.status, shed.code(), shed.header("retry-after")), (503, "overloaded".into(), "1"));
    for probe in ["/livez", "/readyz"] {
        assert_eq!(running.ask("GET", probe, "").await.text(), "ok\n");
    }
}

/// Begins a body of a stranger's, and returns when it is being read.
async fn begun(running: &Running, length: usize, sent: usize) -> tokio::net::TcpStream {
    let head = format!(
        "POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut stream = running.raw(head.as_bytes()).await;
    let mut hello = [0; 25];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&vec![b' '; sent]).await.unwrap();
    stream
}

#[tokio::test]
async fn bodies_of_strangers_leave_room_for_those_of_who_is_known() {
    let mut settings = Settings { rate_factor: 0, ..Settings::default() };
    settings.caps.body_bytes = 8 << 20;
    let running = Running::with(Setup { settings, ..Setup::default() }).await;
    // All but a little of a quarter of the room, and then no more.
    let _held = begun(&running, 3 << 20, (2 << 20) - 100).await;
    let full = async {
        let headers = [("content-type", "application/json")];
        loop {
            // Before all of the first is there the second is refused for its signature.
            let answer = running.send("POST", "/hooks/github", "", &headers, vec![b' '; 200]).await;
            if answer.status == 503 {
                break answer.code();
            }
        }
    };
    assert_eq!(tokio::time::timeout(LONG, full).await.unwrap(), "overloaded");
    let token = running.token("bot", &[Scope::Submit], "*");
    running.submit(&token, "acme/api").await;
}

#[tokio::test]
async fn slow_strangers_shut_nobody_out() {
    let stranger = Duration::from_millis(300);
    let timeouts = Timeouts { stranger, body: 2 * LONG, ..Timeouts::default() };
    let mut settings = Settings { timeouts, github_secret: Some("s3cret".into()), ..Settings::default() };
    settings.caps.requests = 1;
    let running = Running::with(Setup { settings, ..Setup::default() }).await;
    // As many as would fill the room by what they announce, each of them a place that is worked on.
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(begun(&running, 25 << 20, 100).await);
    }
    let body = b"{}";
    let signature = signed(body, "s3cret");
    let headers = [
        ("content-type", "application/json"),
        ("x-github-event", "ping"),
        ("x-github-delivery", "d1"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    let taken = running.send("POST", "/hooks/github", "", &headers, body.to_vec()).await;
    assert_eq!(taken.status, 202, "{}", taken.text());
    // Of them none has more than its time.
    for mut stream in held {
        assert_eq!(code_of(&read_all(&mut stream).await), "request_timeout");
    }
}

#[tokio::test]
async fn asking_whether_it_is_ready_does_not_make_it_write() {
    let running = Running::start().await;
    let written = || running.store.value("readyz").unwrap();
    for _ in 0..50 {
        assert_eq!(running.ask("GET", "/readyz", "").await.text(), "ok\n");
        let first = written();
        running.pass(Duration::from_millis(1));
        running.ask("GET", "/readyz", "").await;
        if written() == first {
            return;
        }
        // A second had gone by between the two.
    }
    panic!("it writes every time");
}
