//! The proxy over real sockets, attacked as a job would. What a container adds is in tests/containers/egress.rs.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gloaming_api::job::{EgressAttempt, EgressDecision};
use gloaming_policies::{Denial, RuleRef};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;

use super::*;

mod tunnels;

/// Names that the tests' resolver knows; all others are not found.
const HERE: &[&str] = &["forge.example", "other.example"];

/// Allows what is listed, as `scheme://host:port`, and nothing else.
fn decide(allowed: &[String]) -> Decide {
    let allowed = allowed.to_vec();
    let rule = |id: &str, because: &str| RuleRef {
        id: id.to_owned(),
        file: "policy.toml".to_owned(),
        line: 3,
        because: because.to_owned(),
    };
    Arc::new(move |scheme, host, port| {
        if allowed.contains(&format!("{scheme}://{host}:{port}")) {
            return Ok(rule("these", ""));
        }
        Err(Denial { rule: rule("default-deny", "No rule lets these jobs have it."), instead: None })
    })
}

struct Served {
    proxy: Proxy,
    address: SocketAddr,
    task: JoinHandle<()>,
}

async fn serve(allowed: &[String], change: impl FnOnce(&mut Egress)) -> Served {
    let resolver = Resolver::new(|host| {
        Box::pin(async move {
            if HERE.contains(&host.as_str()) {
                return Ok(vec!["127.0.0.1".parse().expect("an address")]);
            }
            Err(std::io::Error::other("no such name"))
        })
    });
    let mut egress = Egress {
        private: allowed.iter().filter_map(|text| Some(text.split_once("://")?.1.to_owned())).collect(),
        resolver,
        ..Egress::default()
    };
    change(&mut egress);
    let proxy = Proxy::new(&egress, decide(allowed)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = proxy.clone();
    let task = tokio::spawn(async move { match serving.serve(listener).await {} });
    Served { proxy, address, task }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and returns all that comes back.
    async fn say(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        all(&mut stream).await
    }

    /// Opens a tunnel and returns it with the answer's head.
    async fn tunnel(&self, to: &str) -> (TcpStream, String) {
        let mut stream = self.connect().await;
        stream.write_all(format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n").as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        (stream, head)
    }

    /// The attempts, when there are so many and all have ended.
    async fn attempts(&self, count: usize) -> Vec<EgressAttempt> {
        loop {
            let log = self.proxy.log();
            if log.attempts.len() >= count {
                return log.attempts;
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A server that keeps what it is sent and answers each connection with `answer` once it was sent `until`.
async fn origin(until: &'static str, answer: &'static [u8]) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = seen.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let keep = keep.clone();
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                while !bytes.ends_with(until.as_bytes()) {
                    if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                keep.lock().unwrap().push(String::from_utf8_lossy(&bytes).into_owned());
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (port, seen)
}

fn refusal(attempt: &EgressAttempt) -> (Option<&str>, &str) {
    match &attempt.decision {
        EgressDecision::Refused { rule, reason } => (rule.as_deref(), reason),
        EgressDecision::Allowed { .. } => panic!("{attempt:?}"),
    }
}

#[tokio::test]
async fn a_request_is_made_anew_for_its_host() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\nx-kept: 1\r\n\r\nok";
    let (port, seen) = origin("\r\n\r\n", answer).await;
    let served = serve(&[format!("http://forge.example:{port}")], |_| {}).await;
    let told = served
        .say(&format!(
            "GET http://Forge.example:{port}/a?b HTTP/1.1\r\nHost: forge.example:{port}\r\nConnection: x-mine, close\r\n\
             X-Mine: 1\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Kept: 1\r\n\r\n"
        ))
        .await
        .replace(&port.to_string(), "PORT");
    let sent = seen.lock().unwrap()[0].replace(&port.to_string(), "PORT");
    assert_eq!(sent, "GET /a?b HTTP/1.1\r\nhost: forge.example:PORT\r\nx-kept: 1\r\n\r\n");
    assert!(told.starts_with("HTTP/1.1 200 OK\r\n") && told.ends_with("\r\n\r\nok"), "{told}");
    assert!(told.contains("x-kept: 1") && !told.contains("x-hop") && !told.contains("keep-alive"), "{told}");
    let attempt = &served.attempts(1).await[0];
    assert_eq!(attempt.decision, EgressDecision::Allowed { rule: "these".into() });
    assert_eq!((attempt.method.as_str(), attempt.scheme.as_str(), attempt.port), ("GET", "http", port));
    assert_eq!(attempt.address.as_deref(), Some(&*format!("127.0.0.1:{port}")));
    assert!(attempt.up > 50 && attempt.down > 90, "{attempt:?}");
}

#[tokio::test]
async fn a_body_reaches_its_host_with_one_framing() {
    let (port, seen) = origin("0\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let served = serve(&[format!("http://forge.example:{port}")], |_| {}).await;
    // Two lengths: the parser keeps one, and one is what the host sees.
    let told = served
        .say(&format!(
            "POST http://forge.example:{port}/ HTTP/1.1\r\nhost: forge.example:{port}\r\ncontent-length: 3\r\n\
             transfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        ))
        .await;
    assert!(told.starts_with("HTTP/1.1 204"), "{told}");
    let sent = seen.lock().unwrap()[0].to_ascii_lowercase();
    assert!(sent.contains("transfer-encoding: chunked\r\n") && !sent.contains("content-length"), "{sent}");
    assert!(sent.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{sent}");
    for broken in [
        "content-length: 3\r\ncontent-length: 4",
        "content-length: +3",
        "transfer-encoding: chunked, identity",
    ] {
        let told = served
            .say(&format!("POST http://forge.example:{port}/ HTTP/1.1\r\nhost: forge.example:{port}\r\n{broken}\r\n\r\nabc"))
            .await;
        assert!(told.starts_with("HTTP/1.1 400"), "{broken}: {told}");
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn each_request_of_a_connection_is_decided_by_itself() {
    let (port, seen) = origin("\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let served = serve(&[format!("http://forge.example:{port}")], |_| {}).await;
    let told = served
        .say(&format!(
            "GET http://forge.example:{port}/ HTTP/1.1\r\nhost: forge.example:{port}\r\n\r\n\
             GET http://other.example:{port}/secret HTTP/1.1\r\nhost: other.example:{port}\r\nconnection: close\r\n\r\n"
        ))
        .await;
    assert!(
        told.contains("HTTP/1.1 200 OK") && told.contains("HTTP/1.1 403 refused by rule default-deny"),
        "{told}"
    );
    let why = format!(
        "gloaming: http://other.example:{port} is denied by rule default-deny (policy.toml:3): No rule lets these jobs have it.\n"
    );
    assert!(told.ends_with(&why), "{told}");
    assert_eq!(seen.lock().unwrap().len(), 1);
    let attempts = served.attempts(2).await;
    assert_eq!(refusal(&attempts[1]), (Some("default-deny"), "No rule lets these jobs have it."));
    assert_eq!((attempts[1].host.as_str(), attempts[1].up), ("other.example", 0));
}

#[tokio::test]
async fn where_a_name_leads_is_looked_at_once_and_then_gone_to() {
    let (port, seen) = origin("\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    // Where the operator lets it lead the first time, and to a cloud's metadata from then on.
    let rebinding = Resolver::new(move |_| {
        let first = count.fetch_add(1, Ordering::Relaxed) == 0;
        Box::pin(
            async move { Ok(vec![if first { "127.0.0.1" } else { "169.254.169.254" }.parse().unwrap()]) },
        )
    });
    let served = serve(&[format!("http://forge.example:{port}")], |egress| egress.resolver = rebinding).await;
    let request = format!(
        "GET http://forge.example:{port}/ HTTP/1.1\r\nhost: forge.example:{port}\r\nconnection: close\r\n\r\n"
    );
    // Asked twice for one connection, the second answer would have been taken.
    assert!(served.say(&request).await.starts_with("HTTP/1.1 200"));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let told = served.say(&request).await;
    assert!(told.starts_with("HTTP/1.1 403 refused address"), "{told}");
    // Without the operator's word the first was refused too.
    let served = serve(&[format!("http://forge.example:{port}")], |egress| egress.private.clear()).await;
    let told = served.say(&request).await;
    assert!(
        told.ends_with("gloaming: forge.example leads to 127.0.0.1, this machine's loopback\n"),
        "{told}"
    );
    assert_eq!(seen.lock().unwrap().len(), 1);
    assert!(refusal(&served.attempts(1).await[0]).1.contains("loopback"));
}

#[tokio::test]
async fn what_is_not_found_or_not_there_is_told_and_noted() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let served =
        serve(&["http://nowhere.example:80".into(), format!("http://forge.example:{free}")], |_| {}).await;
    let told = served
        .say("GET http://nowhere.example/ HTTP/1.1\r\nhost: nowhere.example\r\nconnection: close\r\n\r\n")
        .await;
    assert!(
        told.contains("502")
            && told.ends_with("gloaming: the name nowhere.example was not found: no such name\n"),
        "{told}"
    );
    let told = served.say(&format!("GET http://forge.example:{free}/ HTTP/1.0\r\n\r\n")).await;
    assert!(told.contains("502"), "{told}");
    let attempts = served.attempts(2).await;
    assert_eq!(attempts[0].failure.as_deref(), Some("the name nowhere.example was not found: no such name"));
    assert!(attempts[1].failure.as_deref().is_some_and(|why| why.contains("refused")), "{attempts:?}");
}

#[tokio::test]
async fn heads_are_bounded_in_size_and_time() {
    let served =
        serve(&["http://forge.example:80".into()], |egress| egress.limits.head = Duration::from_millis(300))
            .await;
    let large = format!(
        "GET http://forge.example/ HTTP/1.1\r\nhost: forge.example\r\nx: {}\r\n\r\n",
        "x".repeat(40 << 10)
    );
    let told = served.say(&large).await;
    assert!(told.starts_with("HTTP/1.1 431"), "{told}");
    let many = format!(
        "GET http://forge.example/ HTTP/1.1\r\nhost: forge.example\r\n{}\r\n",
        "x: 1\r\n".repeat(200)
    );
    assert!(served.say(&many).await.starts_with("HTTP/1.1 431"));
    let garbage = served.say("\x16\x03\x01\x02\x00\x01\r\n\r\n").await;
    assert!(garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    for attempt in served.attempts(3).await {
        assert!(refusal(&attempt).1.starts_with("what was asked cannot be read"), "{attempt:?}");
    }
    // A head that drips in is not waited for; nor is one that does not come.
    for begun in ["GET http://files.ex", ""] {
        let mut slow = served.connect().await;
        slow.write_all(begun.as_bytes()).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), all(&mut slow)).await;
        assert!(ended.is_ok(), "{begun:?}");
    }
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_one_to_end() {
    let (port, _) = origin("hello\n", b"banner\n").await;
    let served =
        serve(&[format!("tcp://forge.example:{port}")], |egress| egress.limits.connections = 2).await;
    let to = format!("forge.example:{port}");
    let (mut first, _) = served.tunnel(&to).await;
    let (_second, _) = served.tunnel(&to).await;
    let mut third = served.connect().await;
    third.write_all(format!("CONNECT {to} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(200), third.read(&mut byte)).await;
    assert!(early.is_err(), "it was served beside two others");
    first.write_all(b"hello\n").await.unwrap();
    assert_eq!(all(&mut first).await, "banner\n");
    drop(first);
    assert!(head(&mut third).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn bytes_are_bounded_over_all_connections() {
    let (port, _) = origin("\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let served = serve(&[format!("http://forge.example:{port}")], |egress| egress.limits.up = 100).await;
    let request = format!(
        "GET http://forge.example:{port}/{} HTTP/1.1\r\nhost: forge.example:{port}\r\nconnection: close\r\n\r\n",
        "x".repeat(100)
    );
    served.say(&request).await;
    let told = served.say(&request).await;
    let attempts = served.attempts(2).await;
    assert!(told.starts_with("HTTP/1.1 502"), "{told} {attempts:?}");
    let why = attempts[1].failure.as_deref().unwrap_or_default();
    assert!(why.contains("the job has sent as many bytes as it may"), "{attempts:?}");
}

#[tokio::test]
async fn a_job_that_tries_too_often_has_no_proxy_any_more() {
    let served = serve(&[], |egress| egress.limits.attempts = 3).await;
    let mut stream = served.connect().await;
    let request = "GET http://forge.example/ HTTP/1.1\r\nhost: forge.example\r\n\r\n";
    stream.write_all(request.repeat(5).as_bytes()).await.unwrap();
    let told = all(&mut stream).await;
    assert_eq!(
        (told.matches("HTTP/1.1 403").count(), told.matches("HTTP/1.1 429").count()),
        (3, 1),
        "{told}"
    );
    // One connection may have been waited for when it was too much; after it nobody listens.
    let _ = TcpStream::connect(served.address).await;
    while TcpStream::connect(served.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(served.proxy.log().attempts.len(), 3);
}

#[tokio::test]
async fn it_ends_every_connection_when_it_ends() {
    let (port, _) = origin("never", b"").await;
    let served = serve(&[format!("tcp://forge.example:{port}")], |_| {}).await;
    let (mut stream, _) = served.tunnel(&format!("forge.example:{port}")).await;
    assert_eq!(served.attempts(1).await[0].failure, None);
    served.task.abort();
    assert_eq!(all(&mut stream).await, "");
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn it_is_served_by_a_unix_socket_and_handed_on_to_it() {
    let (port, _) = origin("\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let served = serve(&[format!("http://forge.example:{port}")], |_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy");
    let proxy = served.proxy.clone();
    let socket = path.clone();
    let task = tokio::spawn(async move { proxy.serve_unix(&socket).await.map(|never| match never {}) });
    while !path.exists() {
        tokio::task::yield_now().await;
    }
    let request = format!(
        "GET http://forge.example:{port}/ HTTP/1.1\r\nhost: forge.example:{port}\r\nconnection: close\r\n\r\n"
    );
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(all(&mut stream).await.ends_with("ok"));
    // A thread of its own stands for the process in the container.
    let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::thread::spawn(move || egress_forward_main(&path, listening.port()));
    let mut stream = loop {
        match TcpStream::connect(listening).await {
            Ok(stream) => break stream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(all(&mut stream).await.ends_with("ok"));
    assert_eq!(served.attempts(2).await.len(), 2);
    task.abort();
}

#[test]
fn what_the_operator_writes_is_looked_at() {
    for wrong in ["mirror", "mirror:0", "http://mirror:80", "a b:1", "u@mirror:80", ":80", "127.1:80"] {
        let egress = Egress { private: vec![wrong.into()], ..Egress::default() };
        let told = Proxy::new(&egress, decide(&[])).err().unwrap_or_default();
        assert!(told.contains("write host:port"), "{wrong}: {told}");
    }
    let egress =
        Egress { private: vec!["Mirror.example:8080".into(), "10.0.0.1:80".into()], ..Egress::default() };
    assert!(Proxy::new(&egress, decide(&[])).is_ok());
}
