//! A server on loopback, and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use gloaming_api::access::{NewToken, RepoPattern, Scope};
use gloaming_server::{Acceptor, Clock, Policies, RefuseAll, Server, Settings, make_token};
use gloaming_store::{Limits, MemoryStore, Store};
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes; a test that hangs fails by it.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A server that runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) server: Server,
    pub(crate) clock: Arc<AtomicI64>,
    pub(crate) admin: String,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<usize>>,
    client: reqwest::Client,
}

/// What a server is made with.
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    pub(crate) policies: Policies,
    pub(crate) acceptor: Arc<dyn Acceptor>,
    pub(crate) limits: Limits,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            policies: Policies::open(None).unwrap(),
            acceptor: Arc::new(RefuseAll),
            limits: Limits::default(),
        }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the problem's code; what is no problem fails the test.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["request_id"], self.headers["x-request-id"].to_str().unwrap());
        assert_eq!(problem["status"], self.status);
        problem["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let mut running = Self::on(Arc::new(MemoryStore::new(setup.limits.clone())), setup).await;
        running.admin = running.token("admin", &[Scope::Admin], "*");
        running
    }

    pub(crate) async fn on(store: Arc<dyn Store>, setup: Setup) -> Self {
        let clock = Arc::new(AtomicI64::new(1_790_000_000_000));
        let shown = Arc::clone(&clock);
        let time: Clock =
            Arc::new(move || Timestamp::from_millisecond(shown.load(Ordering::SeqCst)).unwrap());
        let server =
            Server::new(store, setup.settings, Arc::clone(&time), setup.policies, setup.acceptor).unwrap();
        let store = server.store();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = server.clone();
        let served = tokio::spawn(async move {
            serving
                .serve(listener, async {
                    let _ = stopped.await;
                })
                .await
        });
        Self {
            address,
            store,
            server,
            clock,
            admin: String::new(),
            stop: Some(stop),
            served: Some(served),
            client: client(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.clock.load(Ordering::SeqCst)).unwrap()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn token(&self, name: &str, scopes: &[Scope], repos: &str) -> String {
        let repos = vec![repos.parse::<RepoPattern>().unwrap()];
        let new = NewToken { name: name.into(), scopes: scopes.to_vec(), repos, expires_s: None };
        make_token(&*self.store, &new, self.now()).unwrap().unwrap().token
    }

    /// Asks with a token, and reads the answer.
    pub(crate) async fn ask(&self, method: &str, path: &str, token: &str) -> Answer {
        self.send(method, path, token, &[], Vec::new()).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.send("POST", path, token, &[("content-type", "application/json")], body.to_string().into()).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let response = self.open(method, path, token, headers, body).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = tokio::time::timeout(LONG, response.bytes()).await.unwrap().unwrap().to_vec();
        Answer { status, headers, body }
    }

    /// Asks, and returns before the answer's body is read.
    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> reqwest::Response {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.body(body);
        }
        tokio::time::timeout(LONG, request.send()).await.unwrap().unwrap()
    }

    /// Submits a task and returns its id.
    pub(crate) async fn submit(&self, token: &str, repo: &str) -> String {
        let answer =
            self.post("/v1/tasks", token, serde_json::json!({"repo": repo, "text": "Fix it."})).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn begin_stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Waits until the server has ended; returns how many connections were cut.
    pub(crate) async fn stopped(&mut self) -> usize {
        tokio::time::timeout(LONG, self.served.take().unwrap()).await.unwrap().unwrap()
    }

    /// Opens a connection and writes bytes on it.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// Writes bytes on a connection of their own and returns all that is answered until the server closes it.
    pub(crate) async fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A server that refuses may close before it has taken all.
        let _ = stream.write_all(bytes).await;
        read_all(&mut stream).await
    }
}

pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    // A reset ends the answer, too.
    let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut read)).await.expect("the server closes");
    String::from_utf8_lossy(&read).into_owned()
}

/// Returns the code of the first problem in an answer as it came over the wire.
#[track_caller]
pub(crate) fn code_of(raw: &str) -> String {
    let body = raw.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {raw:?}")).1;
    let mut stream = serde_json::Deserializer::from_str(body).into_iter::<Value>();
    let problem = stream.next().unwrap_or_else(|| panic!("no problem: {raw:?}")).unwrap();
    assert!(raw.contains("x-request-id: "), "{raw}");
    problem["code"].as_str().unwrap_or_else(|| panic!("{raw}")).to_owned()
}

impl Running {
    /// Like [`Running::start`], over a store that has something in it.
    pub(crate) async fn over(store: MemoryStore) -> Self {
        Self::on(Arc::new(store), Setup::default()).await
    }
}

fn client() -> reqwest::Client {
    // A second time it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}
