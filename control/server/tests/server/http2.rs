//! HTTP/2, in the clear and over TLS.

use std::sync::Arc;

use gloaming_server::{Settings, Timeouts, Tls};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{LONG, Running, Setup};

async fn get<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static>(
    io: T,
    authority: &str,
) -> (u16, String) {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    let request =
        http::Request::get(format!("https://{authority}/livez")).body(Empty::<bytes::Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    assert!(response.headers().contains_key("x-request-id"));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn http2_is_spoken_to_whoever_begins_it() {
    let running = Running::start().await;
    let stream = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(get(stream, "control.acme.example").await, (200, "ok\n".into()));
}

/// Git on this machine, which cannot know the certificate's name, is answered in the clear beside those with TLS.
#[tokio::test]
async fn beside_a_listener_with_tls_one_may_be_without() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path(), "control.acme.example");
    let tls = Some(Tls { certificate: dir.path().join("cert.pem"), key: dir.path().join("key.pem") });
    let running =
        Running::with(Setup { settings: Settings { tls, ..Settings::default() }, ..Setup::default() }).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let beside = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (secure, plain) = (listener.local_addr().unwrap(), beside.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = running.server.clone();
    let served = tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        server.serve_beside(listener, Some(beside), shutdown).await
    });
    let mut answers = Vec::new();
    for address in [plain, secure] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        answers.push(crate::support::read_all(&mut stream).await);
    }
    assert!(answers[0].starts_with("HTTP/1.1 200 ") && answers[0].ends_with("ok\n"), "{answers:?}");
    assert!(!answers[1].contains("200"), "{answers:?}");
    stop.send(()).unwrap();
    assert_eq!(tokio::time::timeout(LONG, served).await.unwrap().unwrap(), 0);
}

fn certificate(dir: &std::path::Path, name: &str) -> rustls::pki_types::CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    rustls::pki_types::CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()
}

async fn over_tls(
    running: &Running,
    trusted: &rustls::pki_types::CertificateDer<'static>,
    name: &'static str,
    alpn: &[u8],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(running.address).await?;
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from(name).unwrap(), stream)
        .await
}

#[tokio::test]
async fn tls_speaks_both_and_a_new_certificate_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let first = certificate(dir.path(), "one.acme.example");
    let tls = Some(Tls { certificate: dir.path().join("cert.pem"), key: dir.path().join("key.pem") });
    let tick = std::time::Duration::from_millis(20);
    let settings = Settings { tls, tick, ..Settings::default() };
    let running = Running::with(Setup { settings, ..Setup::default() }).await;
    let stream = over_tls(&running, &first, "one.acme.example", b"h2").await.unwrap();
    assert_eq!(get(stream, "one.acme.example").await, (200, "ok\n".into()));
    let mut stream = over_tls(&running, &first, "one.acme.example", b"http/1.1").await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.ends_with(b"ok\n"));
    // Half a pair, as there is between the two writes, changes nothing; the whole one counts when it is seen.
    std::fs::write(dir.path().join("key.pem"), "none").unwrap();
    assert!(over_tls(&running, &first, "one.acme.example", b"h2").await.is_ok());
    let second = certificate(dir.path(), "two.acme.example");
    let taken = async { while over_tls(&running, &second, "two.acme.example", b"h2").await.is_err() {} };
    tokio::time::timeout(LONG, taken).await.unwrap();
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_without_end_are_ended() {
    let running = Running::start().await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // :method GET, :scheme http, :path /, :authority x: of the static table, the last as a literal.
    let headers = [0x82, 0x86, 0x84, 0x41, 0x01, b'x'];
    for count in 0..10_000_u32 {
        let id = (count * 2 + 1).to_be_bytes();
        bytes.extend_from_slice(&[0, 0, headers.len() as u8, 1, 5]);
        bytes.extend_from_slice(&id);
        bytes.extend_from_slice(&headers);
        bytes.extend_from_slice(&[0, 0, 4, 3, 0]);
        bytes.extend_from_slice(&id);
        bytes.extend_from_slice(&[0, 0, 0, 8]);
    }
    let mut answer = Vec::new();
    let (mut read, mut write) = stream.split();
    let ended = async {
        let _ = tokio::join!(write.write_all(&bytes), read.read_to_end(&mut answer));
    };
    tokio::time::timeout(LONG, ended).await.expect("the server ends the connection");
    // GOAWAY, with ENHANCE_YOUR_CALM where it still could be told.
    assert_eq!(running.ask("GET", "/livez", "").await.status, 200);
}

/// Begins an HTTP/2 connection on which the server may send heads of answers and, of each one's body, so many bytes.
async fn with_window(
    running: &Running,
    window: u32,
) -> (hyper::client::conn::http2::SendRequest<Empty<bytes::Bytes>>, tokio::task::JoinHandle<hyper::Result<()>>)
{
    let stream = TcpStream::connect(running.address).await.unwrap();
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn asking(path: &str, token: &str) -> http::Request<Empty<bytes::Bytes>> {
    let request = http::Request::get(format!("http://control.acme.example{path}"));
    request.header("authorization", format!("Bearer {token}")).body(Empty::new()).unwrap()
}

fn hasty() -> Settings {
    let write = std::time::Duration::from_millis(200);
    Settings { timeouts: Timeouts { write, ..Timeouts::default() }, ..Settings::default() }
}

/// The socket takes whatever is written, and pings are answered: only the answer's body is not taken.
#[tokio::test]
async fn a_client_that_grants_no_window_is_let_go() {
    let running = Running::with(Setup { settings: hasty(), ..Setup::default() }).await;
    let token = running.token("bot", &[gloaming_api::access::Scope::Submit], "*");
    let text = "x".repeat(100 << 10);
    let task = serde_json::json!({"repo": "acme/api", "text": text});
    let id = running.post("/v1/tasks", &token, task).await.json()["id"].as_str().unwrap().to_owned();
    // None at all; and some, but no more of it when that is used up.
    for window in [0, 1, 40 << 10] {
        let (mut sender, ended) = with_window(&running, window).await;
        let response = sender.send_request(asking(&format!("/v1/tasks/{id}"), &token)).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let _ = tokio::time::timeout(LONG, ended).await.expect("the server ends the connection").unwrap();
        assert!(sender.is_closed());
    }
    let metrics = running.ask("GET", "/metrics", &running.admin).await.text();
    assert!(metrics.contains("gloaming_connections_ended_total{reason=\"stuck\"}"), "{metrics}");
    // An answer that is waited for is not one that is not taken.
    let (mut sender, _ended) = with_window(&running, 1 << 20).await;
    let events = sender.send_request(asking(&format!("/v1/tasks/{id}/events"), &token)).await.unwrap();
    let mut body = events.into_body();
    body.frame().await.unwrap().unwrap();
    let (mut waits, gone) = with_window(&running, 0).await;
    let _held = waits.send_request(asking("/livez", "")).await.unwrap();
    let _ = tokio::time::timeout(LONG, gone).await.expect("it ends").unwrap();
    running.post(&format!("/v1/tasks/{id}/cancel"), &token, serde_json::json!({})).await;
    let told = tokio::time::timeout(LONG, body.collect()).await.unwrap().unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&told).contains("event: ended"), "{told:?}");
}

#[tokio::test]
async fn large_answers_that_are_not_taken_are_few() {
    let mut settings = hasty();
    settings.caps.answer_bytes = 1 << 20;
    let running = Running::with(Setup { settings, ..Setup::default() }).await;
    let (one, other) = (
        running.token("one", &[gloaming_api::access::Scope::Submit], "*"),
        running.token("other", &[gloaming_api::access::Scope::Submit], "*"),
    );
    // Twice as long as JSON has it.
    let task = serde_json::json!({"repo": "acme/api", "text": "\"".repeat(256 << 10)});
    let id = running.post("/v1/tasks", &one, task).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/tasks/{id}");
    let (mut sender, ended) = with_window(&running, 0).await;
    let mut asked = Vec::new();
    for _ in 0..2 {
        asked.push(sender.send_request(asking(&path, &one)).await.unwrap());
    }
    let codes: Vec<u16> = asked.iter().map(|answer| answer.status().as_u16()).collect();
    assert_eq!(codes, [200, 503], "one client has a quarter of the room, or one answer");
    let shed = running.ask("GET", &path, &other).await;
    assert_eq!((shed.status, shed.code(), shed.header("retry-after")), (503, "overloaded".into(), "1"));
    // What was not taken in time is given up, and its room is there again.
    let _ = tokio::time::timeout(LONG, ended).await.expect("the server ends the connection").unwrap();
    let again = async { while running.ask("GET", &path, &other).await.status != 200 {} };
    tokio::time::timeout(LONG, again).await.unwrap();
}

#[tokio::test]
async fn a_connection_without_requests_is_ended() {
    let timeouts = Timeouts { idle: std::time::Duration::from_millis(300), ..Timeouts::default() };
    let settings = Settings { timeouts, ..Settings::default() };
    let running = Running::with(Setup { settings, ..Setup::default() }).await;
    let stream = TcpStream::connect(running.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let ended = tokio::spawn(connection);
    let request =
        http::Request::get("http://control.acme.example/livez").body(Empty::<bytes::Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok\n");
    // The sender is held: it is the server that ends it, and in order.
    tokio::time::timeout(LONG, ended).await.unwrap().unwrap().unwrap();
    assert!(sender.is_closed());
}
