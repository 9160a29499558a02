//! The server: what it serves, who is connected, how it stops.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use std::{future, io};

use gloaming_api::RepoId;
use gloaming_api::journal::EventKind;
use gloaming_policies::Grant;
use gloaming_sandbox::{Files, Sandbox};
use rmcp::ServiceExt as _;
use rmcp::model::{Implementation, ServerCapabilities, ServerConfig, Tool};
use rmcp::service::ServerInitializeError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::Client;
use crate::{Record, tools};

/// How many calls run at once; more wait, without a thread of their own.
const PLACES: usize = 16;

/// How long calls that run when the server is told to stop may still take.
const GRACE: Duration = Duration::from_secs(5);

/// What is served.
pub struct Served {
    /// The tools.
    pub sandbox: Sandbox,
    /// The folder they work on.
    pub files: Files,
    /// What they may do there.
    pub grant: Grant,
    /// The name the folder goes by in policies.
    pub repo: RepoId,
    /// The folder's path, absolute and without links, as clients name it in their roots.
    pub folder: PathBuf,
    /// The program's version, as clients are told it.
    pub version: String,
}

/// Serves tools to other agents. Cheap to clone; clones serve the same.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

/// What all clients share.
pub(crate) struct Shared {
    pub(crate) served: Served,
    pub(crate) record: Arc<dyn Record>,
    /// The tools that are there, offered or not.
    pub(crate) known: BTreeSet<String>,
    /// The tools that are offered, by name.
    pub(crate) tools: Vec<Tool>,
    pub(crate) info: ServerConfig,
    pub(crate) places: Arc<Semaphore>,
    /// The calls that run or wait.
    pub(crate) running: TaskTracker,
    /// Whether the server was told to stop.
    pub(crate) closing: AtomicBool,
    /// Whether something could not be recorded.
    pub(crate) unrecorded: AtomicBool,
    pub(crate) clients: AtomicU32,
    pub(crate) calls: AtomicU64,
}

/// The stream's other end does not speak the protocol.
#[derive(Debug, thiserror::Error)]
#[error("the client does not speak the Model Context Protocol")]
pub struct StreamError(#[source] Box<ServerInitializeError>);

impl Server {
    /// Makes a server. Of the sandbox's tools those are offered that the grant does not deny as a whole.
    pub fn new(served: Served, record: Arc<dyn Record>) -> Self {
        let specs = served.sandbox.tools();
        let offered = specs.iter().filter(|spec| served.grant.offers(&spec.name));
        let writes = offered.clone().any(|spec| spec.writes);
        let tools =
            offered.map(|spec| tools::shown(spec, served.sandbox.output_schema(&spec.name))).collect();
        let implementation = Implementation::new("gloaming", served.version.clone())
            .with_title("Gloaming: sandboxed file tools");
        let info = ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(implementation)
            .with_instructions(instructions(&served, writes));
        let known = specs.into_iter().map(|spec| spec.name).collect();
        Self(Arc::new(Shared {
            served,
            record,
            known,
            tools,
            info,
            places: Arc::new(Semaphore::new(PLACES)),
            running: TaskTracker::new(),
            closing: AtomicBool::new(false),
            unrecorded: AtomicBool::new(false),
            clients: AtomicU32::new(0),
            calls: AtomicU64::new(0),
        }))
    }

    /// Returns the names of the tools that are offered, sorted.
    pub fn tool_names(&self) -> Vec<String> {
        self.0.tools.iter().map(|tool| tool.name.to_string()).collect()
    }

    /// Serves one client over a pair of streams until it closes them or `stop` ends. Calls that run then have
    /// a moment to end.
    ///
    /// # Errors
    /// The client does not speak the protocol.
    pub async fn serve_streams<R, W>(
        &self,
        read: R,
        write: W,
        stop: impl Future<Output = ()>,
    ) -> Result<(), StreamError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let end = CancellationToken::new();
        let serving = async {
            match self.client().serve_with_ct((read, write), end.clone()).await {
                Ok(running) => {
                    if let Err(error) = running.waiting().await {
                        tracing::error!(%error, "the connection's task broke");
                    }
                    Ok(())
                }
                Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => Ok(()),
                Err(error) => Err(StreamError(Box::new(error))),
            }
        };
        let stopping = async {
            stop.await;
            self.drain().await;
            end.cancel();
            future::pending().await
        };
        tokio::select! {
            ended = serving => ended,
            never = stopping => never,
        }
    }

    /// Waits for the last call and records the end. Every call ends at its deadline, so the wait does too.
    ///
    /// # Errors
    /// The end could not be recorded.
    pub async fn finish(self) -> io::Result<()> {
        self.0.closing.store(true, Ordering::Release);
        self.0.running.close();
        self.0.running.wait().await;
        let clients = self.0.clients.load(Ordering::Acquire);
        let calls = self.0.calls.load(Ordering::Acquire);
        self.0.note(EventKind::ServingEnded { clients, calls }).await
    }

    /// Returns a handler for one client.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.0.clone())
    }

    /// Takes no more calls and gives those that run a moment to end.
    pub(crate) async fn drain(&self) {
        self.0.closing.store(true, Ordering::Release);
        self.0.running.close();
        if tokio::time::timeout(GRACE, self.0.running.wait()).await.is_err() {
            tracing::warn!(calls = self.0.running.len(), "stopping calls that still run");
        }
    }
}

impl Shared {
    /// Records an event away from the threads that serve. After a failure no call runs any more: what follows
    /// would hang on an event that is not there.
    pub(crate) async fn note(self: &Arc<Self>, event: EventKind) -> io::Result<()> {
        let shared = self.clone();
        let noted = tokio::task::spawn_blocking(move || shared.note_now(event)).await;
        noted.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Like [`Shared::note`], on a thread that may block.
    pub(crate) fn note_now(&self, event: EventKind) -> io::Result<()> {
        if self.unrecorded.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier event could not be recorded"));
        }
        self.record.record(event).inspect_err(|error| {
            self.unrecorded.store(true, Ordering::Release);
            tracing::error!(%error, "cannot write the journal; no more calls are made");
        })
    }
}

/// What a client's model is told of the server.
fn instructions(served: &Served, writes: bool) -> String {
    let mut text = format!(
        "Sandboxed file tools on the folder {} ({}) and nothing else. Give paths relative to it, like \
         `src/lib.rs`. A policy decides on every path: what it denies is left out of listings and searches, and \
         an error names the rule and what to do instead; asking in another way does not help. No tool runs \
         programs or reaches a network.",
        served.folder.display(),
        served.repo,
    );
    let changes = if writes {
        " Changes are made at once, in the user's own working copy."
    } else {
        " Nothing can be changed: no writing tool is served."
    };
    text.push_str(changes);
    text
}
