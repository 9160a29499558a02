//! Model servers that nobody here wrote, as `tests/wire/setup.sh` installs them.

mod aimock;
mod llmock;

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::wires::KEY;

/// The folder the partners are in; none, and a line that says so, where they are not installed.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("GLOAMING_WIRE_DIR");
    if folder.is_none() {
        eprintln!("skipped: GLOAMING_WIRE_DIR is not set (make test sets it)");
    }
    folder.map(PathBuf::from)
}

/// A file that lies beside `setup.sh`.
fn beside_setup(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire").join(name)
}

/// A running partner; it is killed when the value is dropped.
struct Partner {
    _child: Killed,
    url: String,
    control: reqwest::Client,
}

/// Made at once after the start: whatever fails from there on, the child does not outlive the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Partner {
    /// Starts a partner and waits until it has said where it listens: in a line with `sign` before its URL.
    /// It chooses a free port itself.
    fn start(command: &mut Command, sign: &'static str) -> Self {
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = Killed(started.unwrap_or_else(|error| {
            panic!("{command:?} does not start: {error}; run tests/wire/setup.sh again")
        }));
        let log = Arc::new(Mutex::new(String::new()));
        let (said, url) = sync_channel(1);
        read_on(child.0.stdout.take().expect("it is a pipe"), sign, said.clone(), Arc::clone(&log));
        read_on(child.0.stderr.take().expect("it is a pipe"), sign, said, Arc::clone(&log));
        let url = url.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| {
            panic!(
                "{command:?} did not say where it listens:\n{}",
                log.lock().expect("nobody panics with it")
            )
        });
        // The clients do the same; the first wins.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let control = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .timeout(Duration::from_secs(20))
            .build()
            .expect("a client without TLS");
        Self { _child: child, url, control }
    }

    /// The address of a model API, `path` below the root.
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.control(self.control.post(self.url(path)).body(body.to_string())).await
    }

    async fn get(&self, path: &str) -> Value {
        self.control(self.control.get(self.url(path))).await
    }

    async fn control(&self, request: reqwest::RequestBuilder) -> Value {
        let request = request.bearer_auth(KEY).header("content-type", "application/json");
        let response = request.send().await.expect("the partner answers");
        let (status, text) = (response.status(), response.text().await.expect("the partner answers in full"));
        assert!(status.is_success(), "{status}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// Reads a partner's output to its end, so that it never waits for a reader.
fn read_on(
    output: impl Read + Send + 'static,
    sign: &'static str,
    said: SyncSender<String>,
    log: Arc<Mutex<String>>,
) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once(sign) {
                let url = rest.split_whitespace().next().unwrap_or("").trim_end_matches('/');
                // Who waits has it after the first.
                let _ = said.try_send(url.to_owned());
            }
            let mut log = log.lock().expect("nobody panics with it");
            log.push_str(&line);
            log.push('\n');
        }
    });
}
