//! Requests a second and latencies of the server beside a bare hyper "hello", in the same process and run, by the same clients.
//!
//! The clients write bytes on connections that they keep and read what `Content-Length` says: what they cost is the same for
//! all. Rounds alternate, and the median of each is told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gloaming_api::access::{NewToken, RepoPattern, Scope};
use gloaming_server::{Clock, Policies, RefuseAll, Server, Settings, make_token};
use gloaming_store::{Limits, MemoryStore, SqliteStore, Store};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Connections at once.
const CLIENTS: usize = 8;
/// Rounds of each.
const ROUNDS: usize = 5;
/// How long a round is.
const ROUND: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let limits = Limits { queued: u32::MAX, ..Limits::default() };
    let folder = tempfile::tempdir().expect("a folder");
    let disk = SqliteStore::open(&folder.path().join("plane.db"), limits.clone()).expect("a store");
    let mut cases =
        vec![("hyper \"hello\"".to_owned(), bare().await, "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned())];
    let stores: [(&str, Arc<dyn Store>); 2] =
        [("memory", Arc::new(MemoryStore::new(limits))), ("SQLite", Arc::new(disk))];
    for (name, store) in stores {
        let (address, requests) = serve(store).await;
        cases.extend(
            requests.into_iter().map(|(what, request)| (format!("{what}, {name}"), address, request)),
        );
    }
    let mut rounds: Vec<Vec<(f64, f64, f64)>> = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (case, (_, address, request)) in cases.iter().enumerate() {
            rounds[case].push(round(*address, request).await);
        }
    }
    println!("| {CLIENTS} connections | requests/s | of hello | p50 ms | p99 ms | of hello |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let median = |case: usize, pick: fn(&(f64, f64, f64)) -> f64| {
        let mut values: Vec<f64> = rounds[case].iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    for (case, (name, ..)) in cases.iter().enumerate() {
        let (rate, p50, p99) =
            (median(case, |one| one.0), median(case, |one| one.1), median(case, |one| one.2));
        let (of_rate, of_p99) = (rate / median(0, |one| one.0), p99 / median(0, |one| one.2));
        println!("| {name} | {rate:.0} | {of_rate:.2} | {p50:.3} | {p99:.3} | {of_p99:.2} |");
    }
}

/// Starts a server over a store with a task in it; returns where it is, and what it is asked.
async fn serve(store: Arc<dyn Store>) -> (SocketAddr, Vec<(&'static str, String)>) {
    let clock: Clock = Arc::new(|| jiff::Timestamp::from_second(1_790_000_000).expect("it is a time"));
    let settings = Settings { rate_factor: 0, ..Settings::default() };
    let policies = Policies::open(None).expect("the preset is good");
    let server =
        Server::new(store, settings, Arc::clone(&clock), policies, Arc::new(RefuseAll)).expect("no TLS");
    let new = NewToken {
        name: "bench".into(),
        scopes: vec![Scope::Submit],
        repos: vec![RepoPattern::all()],
        expires_s: None,
    };
    let token = make_token(&*server.store(), &new, clock()).expect("the store").expect("it is sound").token;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { server.serve(listener, std::future::pending()).await });

    let body = r#"{"repo":"acme/api","text":"Bump serde past its advisory."}"#;
    let post = format!(
        "POST /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut one = TcpStream::connect(address).await.expect("it listens");
    let made = ask(&mut one, post.as_bytes(), &mut Vec::new()).await;
    let id = made.split_once("\"id\":\"").and_then(|(_, rest)| rest.split_once('"')).expect("a task").0;
    let get = format!("GET /v1/tasks/{id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let live = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
    (address, vec![("GET /livez", live), ("GET /v1/tasks/{id}", get), ("POST /v1/tasks", post)])
}

async fn bare() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a socket");
            let answer = service_fn(|_: Request<Incoming>| async {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    address
}

/// Asks as fast as answers come, on every connection; returns requests a second, and the 50th and 99th of 100 latencies in ms.
async fn round(address: SocketAddr, request: &str) -> (f64, f64, f64) {
    let begun = Instant::now();
    let clients = (0..CLIENTS).map(|_| {
        let request = request.to_owned();
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.set_nodelay(true).expect("a socket");
            let (mut buffer, mut took) = (Vec::new(), Vec::new());
            while begun.elapsed() < ROUND {
                let sent = Instant::now();
                let answer = ask(&mut stream, request.as_bytes(), &mut buffer).await;
                assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
                took.push(sent.elapsed().as_secs_f64() * 1000.0);
            }
            took
        })
    });
    let mut took = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        took.extend(client.await.expect("it asks"));
    }
    let seconds = begun.elapsed().as_secs_f64();
    took.sort_by(f64::total_cmp);
    let at = |part: usize| took[took.len() * part / 100];
    (took.len() as f64 / seconds, at(50), at(99))
}

/// Sends a request and reads its answer whole.
async fn ask(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> String {
    stream.write_all(request).await.expect("it takes requests");
    buffer.clear();
    loop {
        let read = stream.read_buf(buffer).await.expect("it answers");
        assert!(read > 0, "the server closed: {}", String::from_utf8_lossy(buffer));
        let text = std::str::from_utf8(buffer).expect("ASCII");
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let size = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |size| size.parse().expect("a number"));
        if body.len() >= size {
            return text.to_owned();
        }
    }
}
