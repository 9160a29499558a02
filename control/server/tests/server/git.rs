//! Git's reads under a lease: whose they are, what of them reaches the code host, and what of its answers comes back.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gloaming_api::access::Scope;
use gloaming_api::worker::PROTOCOL;
use gloaming_forge::MemoryHost;
use gloaming_server::{Reads, Settings, Timeouts};
use serde_json::json;

use crate::receiver::{Came, Receiver};
use crate::support::{Answer, LONG, Running, Setup};

const REFS: &str = "info/refs?service=git-upload-pack";
const ADVERTISED: &str = "application/x-git-upload-pack-advertisement";
const ASKED: &str = "application/x-git-upload-pack-request";
const RESULT: &str = "application/x-git-upload-pack-result";

/// A server that reads from `url` for workers, a task of acme/api and the token that works on it.
struct Reading {
    running: Running,
    worker: String,
    /// What the lease says to clone.
    clone: String,
}

impl Reading {
    async fn from(url: &str) -> Self {
        let host = MemoryHost::new(&[], jiff::Timestamp::UNIX_EPOCH);
        host.change(|state| state.git = Some(url.to_owned()));
        let timeouts = Timeouts {
            host: Duration::from_millis(300),
            body: Duration::from_millis(300),
            ..Timeouts::default()
        };
        let reads = Some(Arc::new(Reads::new(Arc::new(host))));
        let settings = Settings { reads, timeouts, ..Settings::default() };
        let running = Running::with(Setup { settings, ..Setup::default() }).await;
        let bot = running.token("bot", &[Scope::Submit], "*");
        let worker = running.token("worker", &[Scope::Worker], "*");
        running.submit(&bot, "acme/api").await;
        let clone = leased(&running, &worker).await;
        Self { running, worker, clone }
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        let password = basic(token);
        let headers = [("authorization", password.as_str()), ("git-protocol", "version=2")];
        self.running.send("GET", path, "", &headers, Vec::new()).await
    }

    async fn refs(&self) -> Answer {
        self.get(&format!("{}/{REFS}", self.clone), &self.worker).await
    }

    async fn post(&self, kind: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let password = basic(&self.worker);
        let mut all = vec![("authorization", password.as_str()), ("content-type", kind)];
        all.extend(headers);
        self.running.send("POST", &format!("{}/git-upload-pack", self.clone), "", &all, body).await
    }
}

async fn leased(running: &Running, worker: &str) -> String {
    let ask = json!({"protocol": PROTOCOL, "worker": "w", "labels": [], "wait_s": 0});
    let lease = running.post("/v1/leases", worker, ask).await.json();
    lease["clone"].as_str().unwrap().to_owned()
}

fn basic(token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("lease:{token}")))
}

fn answers(came: &Came, _: usize) -> (String, String) {
    match came.path.as_str() {
        "/acme/api.git/info/refs?service=git-upload-pack" => {
            (format!("200 OK\r\ncontent-type: {ADVERTISED}\r\nset-cookie: secret=1"), "refs".into())
        }
        "/acme/api.git/git-upload-pack" => {
            (format!("200 OK\r\ncontent-type: {RESULT}"), format!("pack of {}", came.body))
        }
        path => (format!("404 {path}"), String::new()),
    }
}

#[tokio::test]
async fn what_git_asks_goes_on_with_the_code_hosts_credential_and_comes_back_without() {
    let host = Receiver::start(answers);
    let reading = Reading::from(&host.url).await;
    assert!(
        reading.clone.starts_with("/v1/leases/t-") && reading.clone.ends_with("/1/git"),
        "{}",
        reading.clone
    );
    let refs = reading.refs().await;
    assert_eq!((refs.status, refs.text().as_str(), refs.header("content-type")), (200, "refs", ADVERTISED));
    assert_eq!((refs.header("set-cookie"), refs.header("cache-control")), ("", "no-store"));
    let pack = reading.post(ASKED, &[("git-protocol", "version=2")], b"0011command=fetch".to_vec()).await;
    assert_eq!((pack.text().as_str(), pack.header("content-type")), ("pack of 0011command=fetch", RESULT));
    let zipped = reading.post(ASKED, &[("content-encoding", "gzip")], b"as it is".to_vec()).await;
    assert_eq!(zipped.text(), "pack of as it is");
    let came = host.came();
    for one in &came {
        assert_eq!(one.headers["authorization"], "Basic b2xk");
        assert!(one.headers["user-agent"].starts_with("git/"));
        assert!(!format!("{one:?}").contains(&reading.worker), "{one:?}");
    }
    let told = |at: usize, name: &str| came[at].headers.get(name).map_or("", String::as_str).to_owned();
    assert_eq!([told(0, "git-protocol"), told(0, "accept")], ["version=2", ADVERTISED]);
    assert_eq!([told(1, "git-protocol"), told(1, "accept")], ["version=2", RESULT]);
    assert_eq!([told(1, "content-type"), told(1, "content-encoding")], [ASKED, ""]);
    assert_eq!([told(2, "content-encoding"), told(2, "content-length")], ["gzip", "8"]);
}

#[tokio::test]
async fn only_whoever_holds_the_lease_reads_and_only_its_repository() {
    let host = Receiver::start(answers);
    let reading = Reading::from(&host.url).await;
    let running = &reading.running;
    let refs = format!("{}/{REFS}", reading.clone);

    // Nobody, somebody without the scope, and another worker with a lease of its own.
    let nobody = running.ask("GET", &refs, "").await;
    assert_eq!(
        (nobody.header("www-authenticate"), nobody.code()),
        ("Basic realm=\"gloaming\"", "unauthorized".into())
    );
    assert_eq!(reading.get(&refs, "glm_0000000000000000_0").await.code(), "unauthorized");
    let bot = running.token("other-bot", &[Scope::Submit], "*");
    assert_eq!(reading.get(&refs, &bot).await.code(), "forbidden");
    let other = running.token("other", &[Scope::Worker], "*");
    running.submit(&bot, "acme/other").await;
    let theirs = leased(running, &other).await;
    assert_ne!(theirs, reading.clone);
    assert_eq!(reading.get(&refs, &other).await.code(), "lease_lost");
    assert_eq!(reading.get(&format!("{theirs}/{REFS}"), &reading.worker).await.code(), "lease_lost");
    let later = refs.replace("/1/git", "/2/git");
    assert_eq!(reading.get(&later, &reading.worker).await.code(), "lease_lost");
    // The other one's is a repository that the code host does not have.
    let missing = reading.get(&format!("{theirs}/{REFS}"), &other).await;
    assert_eq!(missing.code(), "not_found");
    let seen: Vec<String> = host.came().into_iter().map(|one| one.path).collect();
    assert_eq!(seen, ["/acme/other.git/info/refs?service=git-upload-pack"]);

    // Nothing is written, whatever it is called.
    let write = refs.replace("git-upload-pack", "git-receive-pack");
    assert_eq!(reading.get(&write, &reading.worker).await.code(), "forbidden");
    let push = format!("{}/git-receive-pack", reading.clone);
    let pushed =
        running.send("POST", &push, &reading.worker, &[("content-type", ASKED)], b"0000".to_vec()).await;
    assert_eq!(pushed.code(), "not_found");
    assert_eq!(reading.get(&format!("{}/HEAD", reading.clone), &reading.worker).await.code(), "not_found");
    assert_eq!(
        reading.get(&format!("{}/info/refs", reading.clone), &reading.worker).await.code(),
        "bad_request"
    );
    assert_eq!(reading.post("application/json", &[], b"{}".to_vec()).await.code(), "unsupported_media_type");
    let coded = reading.post(ASKED, &[("content-encoding", "br")], b"0000".to_vec()).await;
    assert_eq!(coded.code(), "unsupported_media_type");
    assert_eq!(reading.post(ASKED, &[], vec![b'0'; (16 << 20) + 1]).await.code(), "too_large");
    assert_eq!(host.came().len(), 1);

    running.pass(Duration::from_secs(61));
    assert_eq!(reading.refs().await.code(), "lease_lost");
    assert_eq!(reading.post(ASKED, &[], b"0000".to_vec()).await.code(), "lease_lost");
    assert_eq!(host.came().len(), 1);
}

#[tokio::test]
async fn a_body_of_no_told_length_is_cut_where_it_is_too_long_and_when_it_stops() {
    // It answers when all has come, which it never has.
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", host.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in host.incoming() {
            let _ = std::io::copy(&mut stream.unwrap(), &mut std::io::sink());
        }
    });
    let reading = Reading::from(&url).await;
    let head = format!(
        "POST {}/git-upload-pack HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: {ASKED}\r\nTransfer-Encoding: chunked\r\n\r\n",
        reading.clone,
        basic(&reading.worker)
    );
    let answer = reading.running.talk(format!("{head}4\r\n0000\r\n").as_bytes()).await;
    assert_eq!(crate::support::code_of(&answer), "request_timeout");
    let mut long = head.into_bytes();
    for _ in 0..17 {
        long.extend_from_slice(b"100000\r\n");
        long.extend(std::iter::repeat_n(b'0', 1 << 20));
        long.extend_from_slice(b"\r\n");
    }
    let answer = reading.running.talk(&long).await;
    assert_eq!(crate::support::code_of(&answer), "too_large");
}

#[tokio::test]
async fn what_goes_wrong_at_the_code_host_is_told_in_our_words() {
    let secret = "a word of the code host's";
    for (head, code, status) in [
        ("404 Not Found", "not_found", 404),
        ("403 Forbidden", "not_found", 404),
        ("401 Unauthorized", "not_found", 404),
        ("500 Oh", "host_failed", 502),
        ("429 Slowly\r\nretry-after: 7", "overloaded", 503),
        ("503 Busy", "overloaded", 503),
        ("301 Moved\r\nlocation: http://127.0.0.1:9/acme/new.git/info/refs", "host_failed", 502),
        ("200 OK\r\ncontent-type: text/html", "host_failed", 502),
        (
            "200 OK\r\ncontent-type: application/x-git-upload-pack-advertisement\r\ncontent-encoding: gzip",
            "host_failed",
            502,
        ),
        ("none of HTTP", "host_failed", 502),
    ] {
        let host = Receiver::start(move |_, _| (head.to_owned(), secret.to_owned()));
        let reading = Reading::from(&host.url).await;
        let answer = reading.refs().await;
        assert_eq!((answer.code().as_str(), answer.status), (code, status), "{head}");
        let told = format!("{} {:?}", answer.text(), answer.headers);
        for hidden in [secret, "Basic b2", host.url.as_str(), "127.0.0.1:9"] {
            assert!(!told.contains(hidden), "{head}: {told}");
        }
        if head.starts_with("429") {
            assert_eq!(answer.header("retry-after"), "7");
        }
    }
    // One that takes connections and says nothing, and one that is not there.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let reading = Reading::from(&format!("http://{}", silent.local_addr().unwrap())).await;
    assert_eq!(reading.refs().await.code(), "host_failed");
    drop(silent);
    assert_eq!(reading.refs().await.code(), "host_failed");
}

#[tokio::test]
async fn a_credential_that_was_taken_back_is_made_anew_once() {
    let host = Receiver::start(|came, before| match came.headers["authorization"].as_str() {
        "Basic bmV3" => answers(came, before),
        _ => ("401 Unauthorized\r\nwww-authenticate: Basic realm=\"host\"".to_owned(), String::new()),
    });
    let reading = Reading::from(&host.url).await;
    assert_eq!(reading.refs().await.text(), "refs");
    assert_eq!(host.came().len(), 2);
}

#[tokio::test]
async fn a_server_that_reads_nothing_says_where_else() {
    let running = Running::start().await;
    let (bot, worker) =
        (running.token("bot", &[Scope::Submit], "*"), running.token("w", &[Scope::Worker], "*"));
    let id = running.submit(&bot, "acme/api").await;
    assert_eq!(leased(&running, &worker).await, "https://github.com/acme/api.git");
    let answer = running.ask("GET", &format!("/v1/leases/{id}/1/git/{REFS}"), &worker).await;
    assert_eq!(answer.code(), "not_found");
}

/// An answer that goes on for long ends with the lease, and does not look whole.
#[tokio::test]
async fn a_read_ends_with_its_lease() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (go_on, told) = channel::<()>();
    let host = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0_u8; 4096];
        assert!(stream.read(&mut head).unwrap() > 0);
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: {ADVERTISED}\r\nconnection: close\r\n\r\none")
            .unwrap();
        while told.recv().is_ok() {
            if stream.write_all(b"more").is_err() {
                return;
            }
        }
    });
    let reading = Reading::from(&url).await;
    let password = basic(&reading.worker);
    let path = format!("{}/{REFS}", reading.clone);
    let mut answer =
        reading.running.open("GET", &path, "", &[("authorization", password.as_str())], Vec::new()).await;
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "one");
    reading.running.pass(Duration::from_secs(61));
    let ended = tokio::time::timeout(LONG, async {
        loop {
            // What was waited for before the time passed still comes.
            let _ = go_on.send(());
            match answer.chunk().await {
                Ok(Some(_)) => {}
                ended => return ended,
            }
        }
    });
    assert!(ended.await.unwrap().is_err(), "it was cut");
    drop(go_on);
    host.join().unwrap();
}

#[tokio::test]
async fn a_lease_has_few_reads_at_once() {
    // A code host that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let reading = Reading::from(&format!("http://{}", silent.local_addr().unwrap())).await;
    let all = futures::future::join_all((0..16).map(|_| reading.refs())).await;
    let count = |code: &str| all.iter().filter(|answer| answer.code() == code).count();
    let (waited, refused) = (count("host_failed"), count("rate_limited"));
    assert!(waited >= 4 && refused >= 1 && waited + refused == 16, "{waited} waited, {refused} were refused");
    assert_eq!(reading.refs().await.code(), "host_failed", "a place comes back");
}
