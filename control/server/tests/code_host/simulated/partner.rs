//! A GitHub that nobody here wrote, as `tests/support/github/setup.sh` installs it, with our gateway before it.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use gloaming_forge::GitHub;
use gloaming_forge::github::{Identity, Settings};
use gloaming_store::Delivery;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;

/// With what deliveries are signed.
const SECRET: &str = "it is a secret";

/// How long anything may take before the test fails.
const LONGEST: Duration = Duration::from_secs(60);

pub(super) struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The folder it is installed in; none, and a line that says so, where it is not.
pub(super) fn installed() -> Option<PathBuf> {
    let folder = std::env::var_os("GLOAMING_GITHUB_DIR");
    if folder.is_none() {
        eprintln!("skipped: GLOAMING_GITHUB_DIR is not set (make test sets it)");
    }
    folder.map(PathBuf::from)
}

pub(super) fn support(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/support/github").join(name)
}

/// A running GitHub; it ends with the value.
pub(super) struct Partner {
    url: String,
    behind: String,
    pub(super) dir: TempDir,
    folder: PathBuf,
    key: String,
    deliveries: Receiver<Delivery>,
    client: reqwest::Client,
    _children: [Killed; 2],
}

/// Starts a program and waits for the first line of its output that `find` makes something of.
pub(super) fn started(command: &mut Command, find: impl Fn(&str) -> Option<String>) -> (Killed, String) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = Killed(child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}")));
    let mut out = BufReader::new(child.0.stdout.take().expect("it is a pipe"));
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        let read = out.read_line(&mut line).expect("a pipe can be read");
        assert!(read > 0, "{command:?} ended before it listened:\n{seen}");
        if let Some(found) = find(&line) {
            // Whoever writes to a pipe that nobody reads stops.
            std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
            return (child, found);
        }
        seen.push_str(&line);
    }
}

impl Partner {
    pub(super) fn start(folder: PathBuf) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let (hook, deliveries) = listen();
        let key =
            Command::new("openssl").args(["genrsa", "-traditional", "2048"]).output().expect("openssl runs");
        let key = String::from_utf8(key.stdout).expect("PEM is text");
        let seed = std::fs::read_to_string(support("acme.yaml")).expect("it is beside setup.sh");
        let seed = seed
            .replace("@KEY@", &key.trim_end().replace('\n', "\\n"))
            .replace("@HOOK@", &hook)
            .replace("@SECRET@", SECRET);
        let path = dir.path().join("seed.yaml");
        std::fs::write(&path, seed).expect("a temporary file");
        // It takes no port 0: one that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let mut emulate = Command::new("node");
        emulate
            .arg(folder.join("node_modules/emulate/dist/index.js"))
            .args(["start", "--service", "github", "--port", &port.to_string(), "--seed"])
            .arg(&path)
            .current_dir(dir.path());
        let wanted = format!("localhost:{port}");
        let (emulate, _) = started(&mut emulate, |line| line.contains(&wanted).then(String::new));
        let mut gateway = Command::new("python3");
        let behind = format!("http://127.0.0.1:{port}");
        gateway.arg(support("gateway.py")).arg(&behind).arg(dir.path().join("git"));
        let (gateway, url) = started(&mut gateway, |line| Some(line.trim().to_owned()));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(LONGEST).build();
        Self {
            url,
            behind,
            dir,
            folder,
            key,
            deliveries,
            client: client.expect("a client without TLS"),
            _children: [emulate, gateway],
        }
    }

    /// Returns our client, as the App.
    pub(super) fn host(&self) -> GitHub {
        let identity = Identity::App { id: 4711, key: self.key.clone().into() };
        GitHub::new(Settings { api: self.url.clone(), identity }, Arc::new(Timestamp::now))
            .expect("good settings")
    }

    /// Does something as a person; not through the gateway, which notes what is ours.
    pub(super) async fn by(&self, who: &str, method: &str, path: &str, body: Value) -> Value {
        let method = method.parse().expect("a method");
        let request = self.client.request(method, format!("{}/repos/acme/api/{path}", self.behind));
        let request = request.header("authorization", format!("Bearer {who}-token")).body(body.to_string());
        let answer = request.header("content-type", "application/json").send().await.expect("an answer");
        let status = answer.status();
        let body = answer.text().await.expect("a body");
        assert!(status.is_success(), "{path}: {status} {body}");
        serde_json::from_str(&body).unwrap_or_default()
    }

    /// Returns a list or thing as a person sees it.
    pub(super) async fn see(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}/repos/acme/api/{path}", self.behind));
        let answer = request.header("authorization", "Bearer alice-token").send().await.expect("an answer");
        serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
    }

    /// Makes a request of ours go wrong, see `gateway.py`. Returns how many there were before.
    pub(super) async fn fail(&self, at: usize, how: &str) {
        let body = json!({"at": at, "how": how}).to_string();
        let sent = self.client.post(format!("{}/_gateway/fault", self.url)).body(body).send().await;
        assert!(sent.expect("an answer").status().is_success());
    }

    /// Returns every request so far.
    pub(super) async fn calls(&self) -> Vec<Value> {
        let answer = self.client.get(format!("{}/_gateway/calls", self.url)).send().await.expect("an answer");
        serde_json::from_str(&answer.text().await.expect("a body")).expect("a list")
    }

    /// Holds every request so far against GitHub's own description of its API.
    pub(super) async fn keeps_to_the_contract(&self) -> String {
        let calls = serde_json::to_vec(&self.calls().await).expect("JSON");
        let mut check = Command::new("node")
            .arg(support("contract.mjs"))
            .arg(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        check.stdin.take().expect("it is a pipe").write_all(&calls).expect("it reads");
        String::from_utf8(check.wait_with_output().expect("it ends").stdout).expect("text")
    }

    /// Waits for the next delivery of a kind and action; what comes before is passed over.
    pub(super) fn delivered(&self, event: &str, action: &str) -> Delivery {
        loop {
            let one = self
                .deliveries
                .recv_timeout(LONGEST)
                .unwrap_or_else(|_| panic!("no delivery of {event} {action}"));
            let body: Value = serde_json::from_slice(&one.body).expect("JSON");
            if one.event == event && (action.is_empty() || body["action"] == action) {
                return one;
            }
        }
    }
}

/// Takes deliveries: those that are signed with the secret.
fn listen() -> (String, Receiver<Delivery>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hooks/github", listener.local_addr().expect("it is bound"));
    let (said, deliveries) = sync_channel(1_000);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Some(delivery) = stream.ok().and_then(|stream| read(stream).ok()) else { continue };
            if said.send(delivery).is_err() {
                return;
            }
        }
    });
    (url, deliveries)
}

fn read(stream: TcpStream) -> std::io::Result<Delivery> {
    let mut from = BufReader::new(stream);
    let mut headers = std::collections::BTreeMap::new();
    let mut line = String::new();
    while from.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        line.clear();
    }
    let length = headers["content-length"].parse().expect("a length");
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    from.into_inner()
        .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key of any length");
    mac.update(&body);
    let right: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(headers["x-hub-signature-256"], format!("sha256={right}"));
    let (id, event) = (headers["x-github-delivery"].clone(), headers["x-github-event"].clone());
    Ok(Delivery { sender: "github".to_owned(), id, event, body })
}
