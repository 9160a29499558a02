//! One container of a daemon, from its making to its removal.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use bollard::errors::Error;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures::StreamExt as _;
use gloaming_api::job::JobExit;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::time::{interval, sleep, timeout};

use super::folder::{Folder, Pipes, give};
use super::limits::{group_of, missing};
use super::owner::{Owner, labels};
use super::program::{self, Program};
use super::protocol::{Found, INIT, LISTENING, MAX_LINE, Order, PIPES};
use super::roots::Roots;
use super::server::{Server, User, words};
use super::{Docker, spec};
use crate::embedded::bundle::open_files;
use crate::embedded::init::{STATUS_BYTES, parse_status};
use crate::embedded::listener;
use crate::embedded::output::Captured;
use crate::embedded::protocol::Request;
use crate::engine::Ended;
use crate::{Cancel, JobError, Proxy, Redactor};

/// How long the daemon and the first process may take to be ready.
const STARTING: Duration = Duration::from_secs(60);
/// How long a container may take to go.
const GOING: Duration = Duration::from_secs(30);
/// How often the counter of memory kills is looked at.
const WATCH: Duration = Duration::from_millis(100);
/// How long the pipes may stay open once the container is gone.
const DRAINING: Duration = Duration::from_secs(5);
/// Between two looks at whether a container is gone, which podman tells nobody.
const POLLING: Duration = Duration::from_millis(20);

const HINT_MOUNT: &str = "the daemon has to see this machine's files at their own paths: one in a virtual \
    machine or in another container does not";
const HINT_LIMITS: &str = "let the daemon set limits: for rootless podman that needs control groups of version 2 \
    with the memory, pids and cpu controllers delegated to the user (`systemctl edit user@.service`, Delegate=yes)";
const HINT_FILTER: &str = "let the daemon apply the system call filter it is given; a runtime such as gVisor or \
    Kata has none of the kernel's own";

/// Runs one container to its end. Everything it made is gone afterwards, and whoever raises one of the flags
/// still waits for that.
pub(super) async fn run(
    docker: &Docker,
    request: Request,
    redactor: &Redactor,
    proxy: Option<Proxy>,
    label: &str,
    stop: [Cancel; 2],
) -> Result<Ended, JobError> {
    let io = |what: &'static str| {
        move |source: io::Error| JobError::Io { doing: format!("{what} job {label:?}"), source }
    };
    if stop.iter().any(Cancel::is_cancelled) {
        return Ok(Ended::before_it_began());
    }
    let words = Words { label };
    let folder = Folder::make(&request, docker).map_err(io("making the folder of"))?;
    if let User::Given(user) = docker.server.user {
        let (workspace, scratch) = (request.workspace.clone(), request.scratch.clone());
        tokio::task::spawn_blocking(move || give(&workspace, scratch.as_deref(), user))
            .await
            .map_err(|error| io("giving the files to")(error.into()))?
            .map_err(io("giving the files to"))?;
    }
    let listener = folder.listen().map_err(io("making the socket of"))?;
    let pipes = Pipes::make(docker.server.user).map_err(io("making the pipes of"))?;
    let program = docker.program().map_err(io("finding our own program for"))?;
    let id = create(docker, &request, &program, &folder, &words).await?;
    tracing::debug!(container = request.id, engine = docker.server.brand.name(), argv = ?request.argv, "starting a container");

    let (mut out, mut err) = (Captured::new(redactor), Captured::new(redactor));
    let told = {
        let limit = request.limits.output;
        let Pipes { stdout, stderr, ends } = pipes;
        let (listening, proxys) = oneshot::channel();
        let ours = Ours { control: listener, ends, listening };
        let conversation = async {
            let told = converse(docker, &request, &id, ours, &stop, &words).await;
            let gone = remove(&docker.server, &id).await;
            match (told, gone) {
                (Ok(_), Err(reason)) => {
                    Err(words.container(format!("the container cannot be removed: {reason}"), ""))
                }
                (told, _) => told,
            }
        };
        // Lives as long as the container: dropped with this block, it ends every connection.
        let serving = async {
            if let (Some(proxy), Ok(listener)) = (proxy, proxys.await) {
                proxy.serve(listener).await;
            }
            std::future::pending::<()>().await
        };
        let mut serving = Box::pin(serving);
        let mut conversation = Box::pin(conversation);
        let mut reading_out = Box::pin(out.fill(stdout, limit));
        let mut reading_err = Box::pin(err.fill(stderr, limit));
        let (mut out_done, mut err_done) = (false, false);
        let told = loop {
            tokio::select! {
                told = &mut conversation => break told,
                _ = &mut reading_out, if !out_done => out_done = true,
                _ = &mut reading_err, if !err_done => err_done = true,
                () = &mut serving => {}
            }
        };
        // Every process of the container is gone: the pipes hold what is left in them, and end.
        let rest = async {
            if !out_done {
                let _ = reading_out.await;
            }
            if !err_done {
                let _ = reading_err.await;
            }
        };
        let _ = timeout(DRAINING, rest).await;
        told
    };
    let Told { exit, duration, peak_memory } = told?;
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Ok(Ended { exit, duration_ms, peak_memory, stdout: out, stderr: err })
}

/// What a conversation begins with, and what comes of it before its end.
struct Ours {
    /// The socket that is mounted into the container.
    control: UnixListener,
    /// The pipes' ends that are handed over.
    ends: [OwnedFd; 2],
    /// Takes the socket that the proxy listens at, of a job with network.
    listening: oneshot::Sender<TcpListener>,
}

/// How a container ended.
struct Told {
    exit: JobExit,
    duration: Duration,
    peak_memory: Option<u64>,
}

/// Makes the errors of one job.
struct Words<'a> {
    label: &'a str,
}

impl Words<'_> {
    fn container(&self, reason: String, hint: &str) -> JobError {
        JobError::Container { label: self.label.to_owned(), reason, hint: hint.to_owned() }
    }
}

async fn create(
    docker: &Docker,
    request: &Request,
    program: &Program,
    folder: &Folder,
    say: &Words<'_>,
) -> Result<String, JobError> {
    let server = &docker.server;
    let failed = |reason: String| say.container(reason, "");
    let owner =
        Owner::this_process().map_err(|error| failed(format!("/proc does not tell who we are: {error}")))?;
    let named = docker.environment.image();
    // A second time when somebody has removed the image since.
    for again in [false, true] {
        let image = match named {
            Some(image) => image.to_string(),
            None => docker.root_image(again).await.map_err(failed)?,
        };
        let body = spec::container(spec::Parts {
            server,
            request,
            image: &image,
            volumes: named.map_or(&[], |image| image.volumes()),
            program,
            folder: &folder.path,
            seccomp: &folder.seccomp,
            labels: labels(&owner, &docker.holder, say.label),
            ipv6: docker.ipv6,
        });
        let options = CreateContainerOptionsBuilder::default().name(&request.id).build();
        match server.client.create_container(Some(options), body).await {
            Ok(created) => {
                for warning in &created.warnings {
                    tracing::warn!(container = request.id, warning, "the daemon warns");
                }
                return Ok(created.id);
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) if !again && named.is_none() => {}
            Err(error) => return Err(refused(server, &error, say)),
        }
    }
    Err(failed("the daemon has lost the image it was just given".to_owned()))
}

/// Starts the container, gives it its order, and waits for its end, one way or another.
async fn converse(
    docker: &Docker,
    request: &Request,
    id: &str,
    ours: Ours,
    stop: &[Cancel; 2],
    say: &Words<'_>,
) -> Result<Told, JobError> {
    let server = &docker.server;
    let Ours { control: listener, ends, listening } = ours;
    let cancelled = || Told { exit: JobExit::Cancelled, duration: Duration::ZERO, peak_memory: None };
    server.client.start_container(id, None).await.map_err(|error| refused(server, &error, say))?;
    let stream = tokio::select! {
        accepted = timeout(STARTING, listener.accept()) => accepted,
        reason = ended(server, id) => return Err(say.container(reason, HINT_MOUNT)),
        () = raised(stop) => return Ok(cancelled()),
    };
    let mut stream = match stream {
        Ok(Ok((stream, _))) => stream,
        Ok(Err(error)) => {
            return Err(say.container(format!("the container cannot be spoken to: {error}"), ""));
        }
        Err(_) => {
            return Err(say.container("the container's first process did not report".to_owned(), HINT_MOUNT));
        }
    };
    // One connection, made before anything of the job runs, and no other.
    drop(listener);
    let limits = |missing: &str| say.container(format!("{}: {missing}", server.describe()), HINT_LIMITS);
    let group = stream.peer_cred().ok().and_then(|peer| peer.pid()).and_then(group_of).ok_or_else(|| {
        limits("its container has no control group of its own that could be seen from here")
    })?;
    if let Some(missing) = missing(&group, &request.limits) {
        return Err(limits(missing));
    }
    let found = tokio::select! {
        found = timeout(STARTING, introduce(&mut stream, request, server.user, ends)) => found,
        () = raised(stop) => return Ok(cancelled()),
    };
    match found {
        Ok(Ok((Found::Confined, listener))) => {
            if let Some(listener) = listener {
                // Taken for as long as the container stands.
                let _ = listening.send(listener);
            }
        }
        Ok(Ok((Found::Refused(reason), _))) => {
            let about_filter = reason.contains("Seccomp") || reason.contains("filter");
            return Err(say.container(reason, if about_filter { HINT_FILTER } else { "" }));
        }
        Ok(Err(error)) => {
            return Err(say.container(format!("the container's first process broke: {error}"), ""));
        }
        Err(_) => return Err(say.container("the container's first process did not answer".to_owned(), "")),
    }

    let started = Instant::now();
    let mut status = [0; STATUS_BYTES];
    let mut tick = interval(WATCH);
    let kills = || group.memory_kills();
    let (told, cause) = {
        let mut reading = Box::pin(stream.read_exact(&mut status));
        let mut wall = Box::pin(sleep(Duration::from_secs(request.limits.wall_s)));
        loop {
            tokio::select! {
                read = &mut reading => break (read.is_ok(), None),
                () = &mut wall => break (false, Some(JobExit::TimedOut)),
                () = raised(stop) => break (false, Some(JobExit::Cancelled)),
                _ = tick.tick() => if kills() > 0 {
                    break (false, Some(JobExit::OutOfMemory));
                },
            }
        }
    };
    let duration = started.elapsed();
    // Now, while the first process still stands: the counters go with it.
    let (kills, peak_memory) = (kills(), group.peak_memory());
    let exit = match (told.then(|| parse_status(&status)).flatten(), cause) {
        _ if kills > 0 => JobExit::OutOfMemory,
        (Some(exit), _) => exit,
        (None, Some(cause)) => cause,
        // The first process itself was killed; the kernel does that when the whole group has no memory left.
        (None, None) if out_of_memory(server, id).await => JobExit::OutOfMemory,
        (None, None) => JobExit::Signal(Signal::KILL.as_raw()),
    };
    Ok(Told { exit, duration, peak_memory })
}

/// Hands over pipes and order; returns what the first process found, and where the job has network the socket that its
/// proxy listens at.
async fn introduce(
    stream: &mut UnixStream,
    request: &Request,
    user: User,
    ends: [OwnedFd; 2],
) -> io::Result<(Found, Option<TcpListener>)> {
    stream.writable().await?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let borrowed = [ends[0].as_fd(), ends[1].as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&borrowed));
    // One byte into an empty socket: it does not block.
    rustix::net::sendmsg(&*stream, &[IoSlice::new(&[PIPES])], &mut control, SendFlags::NOSIGNAL)?;
    drop(ends);
    let mut line = serde_json::to_vec(&Order {
        argv: request.argv.clone(),
        cwd: request.cwd.clone(),
        env: request.env.clone(),
        prepare: request.prepare.clone(),
        secrets: request.secrets.clone(),
        proxy_port: request.proxy_port,
        user: user.id(),
        open_files: open_files(),
        file_size: request.limits.scratch,
    })?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    // The line ends before the status, which is not in a buffer of ours: the command has not started when it
    // is written, but may have ended when it is read.
    let mut answer = Vec::new();
    let mut byte = [0];
    while answer.len() as u64 <= MAX_LINE {
        stream.read_exact(&mut byte).await?;
        if byte == *b"\n" {
            let found = serde_json::from_slice(&answer)?;
            let listens = found == Found::Confined && request.proxy_port.is_some();
            let listener = if listens { Some(take_listener(stream).await?) } else { None };
            return Ok((found, listener));
        }
        answer.extend(byte);
    }
    Err(io::Error::other("its answer has no end"))
}

/// Takes the socket that the proxy listens at.
async fn take_listener(stream: &UnixStream) -> io::Result<TcpListener> {
    // No byte more: the next ones are the status.
    let mut byte = [0];
    match stream.async_io(Interest::READABLE, || listener::receive(stream, &mut byte)).await? {
        (1, Some(descriptor)) if byte == [LISTENING] => listener::accepted_here(descriptor),
        _ => Err(io::Error::other("it handed over no socket for the proxy")),
    }
}

/// Returns when one of the flags is up.
async fn raised(stop: &[Cancel; 2]) {
    tokio::select! {
        () = stop[0].cancelled() => {}
        () = stop[1].cancelled() => {}
    }
}

/// Returns when the container has ended, with what is known of it. For as long as starting may take.
async fn ended(server: &Server, id: &str) -> String {
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let mut waiting = server.client.wait_container(id, Some(options));
    let code = match waiting.next().await {
        Some(Ok(response)) => format!(" with {}", response.status_code),
        Some(Err(Error::DockerContainerWaitError { error, code })) => format!(" with {code} {error}"),
        _ => String::new(),
    };
    format!("the container's first process ended before it reported{code}")
}

/// Whether the daemon says that the container ran out of memory. Docker tells it; podman never does.
async fn out_of_memory(server: &Server, id: &str) -> bool {
    let inspected = server.client.inspect_container(id, None).await;
    inspected.ok().and_then(|container| container.state?.oom_killed).unwrap_or(false)
}

/// Ends and removes a container; returns when it is gone.
///
/// # Errors
/// Why it is still there.
pub(super) async fn remove(server: &Server, id: &str) -> Result<(), String> {
    let options = || RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let mut last = String::new();
    let gone = async {
        loop {
            match server.client.remove_container(id, Some(options())).await {
                Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(()),
                // It is removing it already, or has seen it end between two steps of its own.
                Err(error @ Error::DockerResponseServerError { .. }) => last = words(&error),
                Err(error) => return Err(words(&error)),
            }
            sleep(POLLING).await;
        }
    };
    match timeout(GOING, gone).await {
        Ok(gone) => gone,
        Err(_) => Err(last),
    }
}

fn refused(server: &Server, error: &Error, say: &Words<'_>) -> JobError {
    match error {
        Error::DockerResponseServerError { .. } => {
            say.container(format!("{}: {}", server.describe(), words(error)), hint(&words(error)))
        }
        error => super::server::no_daemon(&server.socket, error).into(),
    }
}

fn hint(message: &str) -> &'static str {
    if message.contains("mount") || message.contains("bind source") || message.contains("no such file") {
        HINT_MOUNT
    } else if message.contains("cgroup") {
        HINT_LIMITS
    } else if message.contains("rlimit") {
        "the daemon may not raise limits on open files or processes: raise its own, or set default_ulimits in \
         containers.conf"
    } else {
        ""
    }
}

impl Docker {
    fn program(&self) -> io::Result<Program> {
        let text = |word: &std::ffi::OsString| {
            word.to_str().map(str::to_owned).ok_or_else(|| io::Error::other("our own path is no text"))
        };
        let (file, arguments) =
            self.helper.split_first().ok_or_else(|| io::Error::other("no helper command is configured"))?;
        let mut arguments = arguments.iter().map(text).collect::<io::Result<Vec<_>>>()?;
        arguments.push(INIT.to_owned());
        program::own(&Path::new(file).canonicalize()?, &arguments)
    }

    /// Returns the id of the image with the environment's root; `afresh` when the daemon has lost it.
    async fn root_image(&self, afresh: bool) -> Result<String, String> {
        let mut known = self.root.lock().await;
        if let Some(root) = known.as_ref().filter(|_| !afresh) {
            return Ok(root.image.clone());
        }
        let roots = Roots::of(&self.server, &self.state_dir);
        let root = roots.get(&self.environment).await?;
        let image = root.image.clone();
        // Held for as long as this engine lives.
        *known = Some(root);
        match roots.evict(self.roots_kept).await {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => tracing::debug!(?gone, "container roots that were used longest ago are removed"),
            Err(reason) => tracing::warn!(reason, "old container roots stay at the daemon"),
        }
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_comes_with_what_can_be_done() {
        for (message, begins) in [
            (
                "invalid mount config for type \"bind\": bind source path does not exist: /x",
                "the daemon has to see",
            ),
            ("crun: controller `memory` is not available under cgroup", "let the daemon set limits"),
            ("error setting rlimit type 7: operation not permitted", "the daemon may not raise"),
            ("something else", ""),
        ] {
            assert!(hint(message).starts_with(begins), "{message}");
        }
    }
}
