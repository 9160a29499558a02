//! What strangers and pages send over HTTP.

use std::time::Duration;

use gloaming_mcp::{Listener, Token};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::Scene;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}"#;

/// A server on a free port.
struct Http {
    address: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    scene: Scene,
}

impl Http {
    async fn new(token: Option<&str>) -> Self {
        let scene = Scene::new(&[("a.txt", "a\n")], &[]);
        let token = token.map(|token| Token::new(token).unwrap());
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), token).await.unwrap();
        let address = listener.url().replace("http://", "").replace("/mcp", "");
        let (stop, stopped) = oneshot::channel::<()>();
        let server = scene.server.clone();
        let serving = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            server.serve_http(listener, stopped).await;
        });
        Self { address, stop, serving, scene }
    }

    /// Sends bytes and returns all that comes back until the other side closes or is silent for good.
    async fn send(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        // The other side may answer and close before it has taken everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let reading = async {
            let mut part = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut part).await {
                answer.extend_from_slice(&part[..read]);
                // An event stream stays open; its first event is all that is waited for.
                if answer.windows(6).any(|six| six == b"\"id\":1") {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reading).await.expect("an answer comes");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Posts an `initialize` with these headers besides the needed ones and returns the status.
    async fn post(&self, headers: &[(&str, &str)], body: &str) -> u16 {
        let mut request = String::from("POST /mcp HTTP/1.1\r\nConnection: close\r\n");
        let given = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        if !given("host") {
            request.push_str(&format!("Host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n");
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        status(&self.send(request.as_bytes()).await)
    }
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no status: {answer:?}"))
}

#[tokio::test]
async fn a_page_that_rebinds_a_name_to_this_machine_is_refused() {
    let http = Http::new(None).await;
    assert_eq!(http.post(&[], INITIALIZE).await, 200);
    assert_eq!(http.post(&[("Host", "localhost:80")], INITIALIZE).await, 200);
    for headers in [
        [("Host", "evil.example"), ("X", "y")],
        [("Host", "127.0.0.1.evil.example"), ("X", "y")],
        [("Origin", "http://evil.example"), ("X", "y")],
        [("Origin", "null"), ("X", "y")],
        [("Origin", "http://localhost:3000"), ("X", "y")],
    ] {
        assert_eq!(http.post(&headers, INITIALIZE).await, 403, "{headers:?}");
    }
}

#[tokio::test]
async fn nothing_is_served_without_the_token() {
    let http = Http::new(Some(TOKEN)).await;
    let right = format!("Bearer {TOKEN}");
    assert_eq!(http.post(&[("Authorization", &right)], INITIALIZE).await, 200);
    for wrong in ["", "Bearer", "Bearer x", "Basic x", &right[..right.len() - 1], &format!("{right}0")] {
        assert_eq!(http.post(&[("Authorization", wrong)], INITIALIZE).await, 401, "{wrong:?}");
    }
    assert_eq!(http.post(&[], INITIALIZE).await, 401);
    // Not even that a path is not there.
    assert_eq!(
        status(&http.send(b"GET /elsewhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await),
        401
    );
    assert_eq!(http.scene.journal.events.lock().unwrap().len(), 1, "one client joined");
}

#[tokio::test]
async fn what_is_too_large_or_no_request_is_refused_and_the_next_one_is_served() {
    let http = Http::new(None).await;
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(17 << 20));
    assert_eq!(http.post(&[], &large).await, 413);
    let headers = format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    assert_eq!(status(&http.send(headers.as_bytes()).await), 431);
    assert_eq!(
        status(&http.send(b"GET /.env HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await),
        404
    );
    assert_eq!(status(&http.send(b"nonsense\r\n\r\n").await), 400);
    for bad in ["", "[]", "{}", "null", "{\"jsonrpc\":\"2.0\"", &"[".repeat(100_000)] {
        let code = http.post(&[], bad).await;
        assert!((400..500).contains(&code), "{code} for {:?}", &bad[..bad.len().min(40)]);
    }
    assert_eq!(http.post(&[], INITIALIZE).await, 200);
}

#[tokio::test]
async fn sessions_are_capped_and_a_stop_ends_them() {
    let http = Http::new(None).await;
    let mut codes = Vec::new();
    for _ in 0..130 {
        codes.push(http.post(&[], INITIALIZE).await);
    }
    assert_eq!(codes[..128], [200; 128]);
    assert_eq!(codes[128..], [503; 2]);
    http.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), http.serving).await.expect("it ends").unwrap();
    http.scene.server.clone().finish().await.unwrap();
    assert!(TcpStream::connect(&http.address).await.is_err());
}
