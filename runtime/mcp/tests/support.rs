//! A folder, a policy, a journal in memory, and a client.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gloaming_api::journal::EventKind;
use gloaming_mcp::{Record, Served, Server};
use gloaming_policies::{Grant, Layer};
use gloaming_sandbox::{Files, Options, Sandbox};
use rmcp::model::{CallToolRequestParams, CallToolResult, ProgressNotificationParam};
use rmcp::service::{NotificationContext, RoleClient, RunningService};
use rmcp::{ClientHandler, ServiceExt as _};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(crate) const POLICY: &str = r#"
schema = 1
[[allow]]
id = "all"
tools = ["*"]
paths = ["**"]
[[deny]]
id = "no-secrets"
tools = ["*"]
paths = [".env*"]
because = "Secrets never enter a model's context."
instead = "Name the variable."
[[deny]]
id = "no-patches"
tools = ["patch"]
paths = ["**"]
because = "Edits are easier to read."
"#;

/// A journal in memory, which can be made to fail.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) events: Mutex<Vec<EventKind>>,
    pub(crate) full: AtomicBool,
}

impl Record for Memory {
    fn record(&self, event: EventKind) -> io::Result<()> {
        if self.full.load(Ordering::Acquire) {
            return Err(io::Error::other("no space left on device"));
        }
        self.events.lock().expect("nobody panics with it").push(event);
        Ok(())
    }
}

impl Memory {
    /// The calls so far: id, tool, error code if any, whether it took less than the time given.
    pub(crate) fn calls(&self) -> Vec<(String, String, Option<Value>, Duration)> {
        let events = self.events.lock().expect("nobody panics with it");
        let calls = events.iter().filter_map(|event| match event {
            EventKind::ToolCall { id, outcome, record, .. } => Some((
                id.clone(),
                record.tool.clone(),
                outcome.error.as_ref().map(|error| serde_json::to_value(error.code).expect("a word")),
                Duration::from_micros(record.duration_us.total),
            )),
            _ => None,
        });
        calls.collect()
    }

    /// Waits until there are so many calls.
    pub(crate) async fn until_calls(&self, count: usize) {
        let waiting = async {
            while self.calls().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("the calls are recorded");
    }
}

/// A folder that is served.
pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) journal: Arc<Memory>,
    pub(crate) server: Server,
}

/// Hands on the progress it is told.
pub(crate) struct Listening(mpsc::Sender<ProgressNotificationParam>);

impl ClientHandler for Listening {
    async fn on_progress(&self, progress: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        // A test that does not listen is told some of it.
        let _ = self.0.try_send(progress);
    }
}

/// A client that is connected over streams in memory.
pub(crate) struct Connected {
    pub(crate) client: RunningService<RoleClient, Listening>,
    /// How far its calls are, as it is told.
    pub(crate) progress: mpsc::Receiver<ProgressNotificationParam>,
    /// Ends the server's side.
    pub(crate) stop: tokio::sync::oneshot::Sender<()>,
    pub(crate) serving: JoinHandle<()>,
}

fn options() -> Options {
    Options {
        cache_dir: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled")),
        ..Options::default()
    }
}

/// A guest of `tools/test-guests`.
fn guest(name: &str) -> Vec<u8> {
    let components = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/target/components/test");
    let path = components.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make tools` first", path.display()))
}

impl Scene {
    /// Serves a folder of these files with the built-in tools and some guests that misbehave.
    pub(crate) fn new(files: &[(&str, &str)], guests: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (name, content) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("inside the folder")).expect("mkdir");
            std::fs::write(path, content).expect("write");
        }
        let mut sandbox = Sandbox::new(options()).expect("the sandbox is made");
        for name in guests {
            sandbox.register(&guest(name)).expect("the guest is registered");
        }
        // The guests are tools as an operator's are: known where the policy says so.
        let mut policy = POLICY.to_owned();
        for name in guests {
            policy.push_str(&format!("[[tool]]\nname = {:?}\n", name.replace('-', "_")));
        }
        let policy = gloaming_policies::parse("policy.toml", &policy).expect("the policy parses");
        let repo: gloaming_api::RepoId = "acme/api".parse().expect("a repository's name");
        let grant = Grant::resolve(&repo, vec![(Layer::Operator, policy)]).expect("the policy resolves");
        let journal = Arc::new(Memory::default());
        let served = Served {
            sandbox,
            files: Files::open(dir.path()).expect("the folder opens"),
            grant,
            repo,
            folder: dir.path().to_owned(),
            version: "0.0.0".to_owned(),
        };
        let server = Server::new(served, journal.clone());
        Self { dir, journal, server }
    }

    /// Connects a client over streams in memory.
    pub(crate) async fn connect(&self) -> Connected {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = self.server.clone();
        let serving = tokio::spawn(async move {
            let (read, write) = tokio::io::split(ours);
            let stopped = async move {
                if stopped.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            server.serve_streams(read, write, stopped).await.expect("the client speaks the protocol");
        });
        let (telling, progress) = mpsc::channel(64);
        let client = Listening(telling).serve(theirs).await.expect("the server speaks the protocol");
        Connected { client, progress, stop, serving }
    }
}

/// The parameters of a call.
pub(crate) fn params(tool: &'static str, args: Value) -> CallToolRequestParams {
    let mut params = CallToolRequestParams::new(tool);
    params.arguments = args.as_object().cloned();
    params
}

impl Connected {
    pub(crate) async fn call(&self, tool: &'static str, args: Value) -> CallToolResult {
        self.client.call_tool(params(tool, args)).await.expect("the call is answered")
    }
}

/// The text a model is shown.
pub(crate) fn text(result: &CallToolResult) -> String {
    let texts = result.content.iter().filter_map(|block| block.as_text());
    texts.map(|text| text.text.clone()).collect()
}
