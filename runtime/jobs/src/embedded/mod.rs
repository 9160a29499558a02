//! The engine without a daemon: libcontainer, run from a helper process of the same binary.
//!
//! ```text
//! this process (tokio) ── socket pair: request, reply, lifeline ──> helper (single-threaded, one per job)
//!        ^                                                             │ makes the control group and namespaces
//!        └───────── pipes: the job's standard output and error ──── process 1 of the container ── command
//! ```
#![expect(
    clippy::disallowed_methods,
    reason = "starts the container helper, and owns its state folder, control groups and /proc"
)]

pub(crate) mod bundle;
pub(crate) mod cgroup;
mod conversation;
mod helper;
pub(crate) mod init;
pub(crate) mod listener;
pub(crate) mod loopback;
pub(crate) mod output;
pub(crate) mod ownership;
pub(crate) mod protocol;
pub(crate) mod record;
pub(crate) mod seccomp;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use gloaming_api::RelPath;
use gloaming_api::job::JobExit;
use gloaming_policies::JobPermit;
use tokio::net::{TcpListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

pub(crate) use helper::helper_main;
pub use record::reap;

use crate::engine::{Ended, proved};
use crate::request::{Run, request};
use crate::secrets::Given;
use crate::{
    BoxFuture, Cancel, Capabilities, Engine, Environment, Facts, Feature, Job, JobError, JobOutput, NoEngine,
    Proxy, Support, Vault,
};
use conversation::Conversation;
use output::Captured;
use protocol::{Blame, LISTENING, Reply, Request};

/// How much longer than the wall-clock limit a helper may take: to make the container, and to end it.
const GRACE: Duration = Duration::from_secs(60);
/// How long a helper that was told to stop may take before it is killed itself.
const STOPPING: Duration = Duration::from_secs(25);
/// How long the pipes may stay open once the container is gone.
const DRAINING: Duration = Duration::from_secs(5);

/// Runs each job in a container of its own, made by a helper process that lives as long as the job.
#[derive(Debug, Clone)]
pub struct Embedded {
    helper: Vec<OsString>,
    environment: Environment,
    state_dir: PathBuf,
    vault: Vault,
}

impl Embedded {
    /// Returns an engine. `helper` is the command that re-enters [`crate::helper_main`] (this binary and its hidden
    /// subcommand); `state_dir` is a folder for containers' roots, made private when it does not exist.
    pub fn new(helper: Vec<OsString>, environment: Environment, state_dir: PathBuf) -> Self {
        Self { helper, environment, state_dir, vault: Vault::default() }
    }

    /// Hands jobs those of the secrets that their permits name.
    #[must_use]
    pub fn with_secrets(self, vault: Vault) -> Self {
        Self { vault, ..self }
    }

    async fn prove(&self) -> Result<(), NoEngine> {
        let no_engine = |reason: String| NoEngine { reason, hint: String::new() };
        self.environment.needs_no_image()?;
        let workspace = self
            .make_state_dir()
            .and_then(|folder| tempfile::Builder::new().prefix("probe-").tempdir_in(folder))
            .map_err(|error| no_engine(format!("{}: {error}", self.state_dir.display())))?;
        let (argv, cwd, none) = (["/bin/true".to_owned()], RelPath::root(), Given::default());
        let run = Run::probe(workspace.path(), &argv, &cwd, &none);
        proved(self.execute(&run, &Cancel::new()).await)
    }

    fn make_state_dir(&self) -> io::Result<PathBuf> {
        let folder = record::containers(&self.state_dir);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        folder.canonicalize()
    }

    fn request(&self, run: &Run<'_>) -> Result<Request, JobError> {
        let containers = self.make_state_dir().map_err(|source| JobError::Io {
            doing: format!("making the folder {}", self.state_dir.display()),
            source,
        })?;
        request(run, &self.environment, containers)
    }

    async fn execute(&self, run: &Run<'_>, cancel: &Cancel) -> Result<Ended, JobError> {
        let request = self.request(run)?;
        let doing = |what: &str, source: io::Error| JobError::Io {
            doing: format!("{what} the helper of job {:?}", run.label),
            source,
        };
        if cancel.is_cancelled() {
            return Ok(Ended::before_it_began());
        }
        tracing::debug!(container = request.id, argv = ?request.argv, "starting a container");
        let (mut child, socket) = self.spawn().map_err(|error| doing("starting", error))?;
        let folder = request.containers.join(&request.id);
        let stdout =
            child.stdout.take().ok_or_else(|| doing("starting", io::ErrorKind::BrokenPipe.into()))?;
        let stderr =
            child.stderr.take().ok_or_else(|| doing("starting", io::ErrorKind::BrokenPipe.into()))?;
        let redactor = &run.secrets.redactor;
        let (mut out, mut err) = (Captured::new(redactor), Captured::new(redactor));

        let reply = {
            let limit = request.limits.output;
            let (listening, listener) = oneshot::channel();
            let conversation = converse(&mut child, socket, &request, cancel, listening);
            // Lives as long as the container: dropped with this block, it ends every connection.
            let serving = async {
                if let (Some((_, proxy)), Ok(listener)) = (run.network, listener.await) {
                    proxy.serve(listener).await;
                }
                std::future::pending::<()>().await
            };
            let mut serving = Box::pin(serving);
            let mut reading_out = Box::pin(out.fill(stdout, limit));
            let mut reading_err = Box::pin(err.fill(stderr, limit));
            let mut conversation = Box::pin(conversation);
            let (mut out_done, mut err_done) = (false, false);
            let reply = loop {
                tokio::select! {
                    reply = &mut conversation => break reply,
                    _ = &mut reading_out, if !out_done => out_done = true,
                    _ = &mut reading_err, if !err_done => err_done = true,
                    () = &mut serving => {}
                }
            };
            // Every process of the container is gone and so is the helper: the pipes hold what is left in
            // them, and end. The patience is for a process that could not be killed.
            let rest = async {
                if !out_done {
                    let _ = reading_out.await;
                }
                if !err_done {
                    let _ = reading_err.await;
                }
            };
            let _ = timeout(DRAINING, rest).await;
            reply
        };
        clean_up(folder).await;
        match reply {
            Ok(Reply::Finished { exit, duration_ms, peak_memory }) => {
                Ok(Ended { exit, duration_ms, peak_memory, stdout: out, stderr: err })
            }
            Ok(Reply::Failed { blame: Blame::Machine, reason, hint }) => {
                Err(NoEngine { reason, hint }.into())
            }
            Ok(Reply::Failed { blame: Blame::Container, reason, hint }) => {
                Err(JobError::Container { label: run.label.to_owned(), reason, hint })
            }
            // The helper was killed because it would not stop, or somebody else did it.
            Err(_) if cancel.is_cancelled() => Ok(Ended {
                exit: JobExit::Cancelled,
                duration_ms: 0,
                peak_memory: None,
                stdout: out,
                stderr: err,
            }),
            Err(reason) => {
                Err(JobError::Container { label: run.label.to_owned(), reason, hint: String::new() })
            }
        }
    }

    fn spawn(&self) -> io::Result<(Child, UnixStream)> {
        let (program, arguments) =
            self.helper.split_first().ok_or_else(|| io::Error::other("no helper command is configured"))?;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Out of the terminal's reach: Ctrl-C is ours to act on, in order.
            .process_group(0)
            .spawn()?;
        Ok((child, UnixStream::from_std(ours)?))
    }
}

impl Engine for Embedded {
    fn name(&self) -> &str {
        "embedded"
    }

    fn run<'a>(
        &'a self,
        permit: &'a JobPermit,
        job: &'a Job,
        cancel: &'a Cancel,
    ) -> BoxFuture<'a, Result<JobOutput, JobError>> {
        Box::pin(async move {
            permit
                .admit(&job.argv, self.environment.digest())
                .map_err(|denial| JobError::Denied { label: job.label.clone(), denial: Box::new(denial) })?;
            self.environment.needs_no_image()?;
            let secrets = self.vault.given(permit);
            let proxy = Proxy::for_job(permit, job)?;
            let run = Run::of(job, permit, &secrets, proxy.as_ref());
            let ended = self.execute(&run, cancel).await?;
            let egress = proxy.map(|proxy| proxy.log());
            Ok(ended.into_output(permit, job, secrets, egress, self.name(), self.environment.digest()))
        })
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::all();
        capabilities.set(Feature::Images, Support::No("an image has to be unpacked by a daemon".to_owned()));
        capabilities
    }

    fn probe(&self) -> BoxFuture<'_, Result<Facts, NoEngine>> {
        Box::pin(async move {
            self.prove().await?;
            Ok(Facts {
                engine: self.name().to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                address: None,
                rootless: !rustix::process::geteuid().is_root(),
                cgroups: cgroup::Hierarchy::detect().ok().map(|hierarchy| hierarchy.version()),
                // Proved by the first process of the probe's container, or there would be none.
                seccomp: true,
                notes: Vec::new(),
            })
        })
    }
}

/// Sends the request, hands on the socket that the proxy listens at, and waits for the reply and the helper's end; tells it to stop when cancelled, and kills
/// it when it takes longer than it may. In every case the helper is gone afterwards.
async fn converse(
    child: &mut Child,
    socket: UnixStream,
    request: &Request,
    cancel: &Cancel,
    listening: oneshot::Sender<TcpListener>,
) -> Result<Reply, String> {
    let wall = Duration::from_secs(request.limits.wall_s).saturating_add(GRACE);
    let talk = async {
        let mut line = serde_json::to_vec(request).map_err(|error| error.to_string())?;
        line.push(b'\n');
        let mut conversation = Conversation::new(&socket);
        conversation.send(&line).await.map_err(|error| format!("it took no request: {error}"))?;
        let mut listening = request.proxy_port.map(|_| listening);
        let answer = loop {
            let line = tokio::select! {
                line = conversation.line() => line,
                () = cancel.cancelled() => {
                    // The helper sees its lifeline close, ends the container, and still answers.
                    conversation.end().map_err(|error| error.to_string())?;
                    match timeout(STOPPING, conversation.line()).await {
                        Ok(line) => line,
                        Err(_) => return Err("it did not stop when told to".to_owned()),
                    }
                }
            };
            let (line, descriptor) = line.map_err(|error| error.to_string())?;
            if line != LISTENING {
                break line;
            }
            let (Some(listening), Some(descriptor)) = (listening.take(), descriptor) else {
                return Err("it handed over no socket, or a second one".to_owned());
            };
            let listener = listener::accepted_here(descriptor);
            // Nobody takes it where the job is not served any more.
            let _ = listening.send(listener.map_err(|error| error.to_string())?);
        };
        if answer.is_empty() {
            return Err(String::new());
        }
        serde_json::from_slice(&answer).map_err(|error| format!("its reply makes no sense: {error}"))
    };
    let reply = timeout(wall, talk).await.unwrap_or_else(|_| Err("it did not answer in time".to_owned()));
    if reply.is_err() || timeout(STOPPING, child.wait()).await.is_err() {
        // Its container goes with it: the kernel kills process 1 when the helper dies.
        let _ = child.start_kill();
    }
    let status = timeout(DRAINING, child.wait()).await;
    match (reply, status) {
        (Err(reason), Ok(Ok(status))) if reason.is_empty() => {
            Err(format!("the helper process ended with {status}"))
        }
        (Err(reason), _) => Err(format!("the helper process failed: {reason}")),
        (reply, _) => reply,
    }
}

/// Removes what a helper that was killed left behind; one that answered has left nothing.
///
/// A run that is dropped half-way never gets here: its lifeline closes, and its helper cleans up by itself.
async fn clean_up(folder: PathBuf) {
    if folder.exists() {
        // Blocks for as long as the kernel takes to kill what is left.
        let _ = tokio::task::spawn_blocking(move || record::reap_one(&folder)).await;
    }
}
