//! One job of a cluster, from its making to its removal.

use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Seek as _};
use std::time::Duration;

use futures::StreamExt as _;
use gloaming_api::job::JobExit;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{AttachParams, DeleteParams, PostParams};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, interval, sleep_until, timeout};

use super::archive::{Returned, unpack};
use super::cluster::words;
use super::pack::{self, Packed};
use super::pod::{Look, Watched};
use super::reap::{RUN, marks};
use super::wire::{Errand, First, HEAD, Kind, Over, frame, head};
use super::{CARRY, Kubernetes, SPEAK, spec, tunnel};
use crate::docker::program::Program;
use crate::docker::protocol::{Found, Order};
use crate::embedded::bundle::open_files;
use crate::embedded::output::Captured;
use crate::embedded::protocol::Request;
use crate::engine::Ended;
use crate::{BoxFuture, Cancel, JobError, Proxy, Redactor};

/// How long the first process may take to look around.
const STARTING: Duration = Duration::from_secs(120);
/// How long every process of a job may take to end when it is told to.
const ENDING: Duration = Duration::from_secs(60);
/// How long what is left may be on its way without a byte of it.
const STALLED: Duration = Duration::from_secs(120);
/// How long a pod may take to go.
const GOING: Duration = Duration::from_secs(120);
/// Between two looks at a pod that is to do something, and at one that does.
const LOOK: Duration = Duration::from_millis(100);
const WATCH: Duration = Duration::from_secs(3);
/// So many looks in a row may go unanswered: a server that is replaced comes back.
const UNANSWERED: u32 = 10;
/// How long what carries a job's connections may take to say why it has ended, and in how many bytes.
const SAYING: Duration = Duration::from_secs(2);
const LAST_WORDS: u64 = 2000;
/// How long after a job's connections broke off the word may come that the job has ended.
const SETTLING: Duration = Duration::from_secs(10);
/// What fits between us and the cluster's interface.
const BUFFER: usize = 256 << 10;

/// The numbers of users that neither a distribution nor systemd gives to anybody.
const USERS: std::ops::Range<u64> = 1_900_000_000..2_100_000_000;

const HINT_NETWORK: &str = "let the pods of the namespace have a network of loopback alone, or let the first process leave \
    theirs: GLOAMING_ENGINE_SECCOMP=unconfined, or localhost/NAME with a filter that allows unshare (docs/engines.md); \
    a network policy is no help, since nothing inside can see that it holds";
const HINT_MEMORY: &str = "let the nodes' kubelets limit folders in memory: SizeMemoryBackedVolumes, the default \
    since Kubernetes 1.22";

/// Runs one job to its end. Everything it made is gone afterwards, and whoever raises one of the flags still waits for
/// that.
pub(super) async fn run(
    engine: &Kubernetes,
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
    let say = Words { label };
    let user = new_user();
    let program = engine.program().map_err(io("finding our own program for"))?;
    let (packed, request, program) = tokio::task::spawn_blocking(move || {
        let packed = pack::pack(&request.containers, &request, &program, user)?;
        Ok((packed, request, program))
    })
    .await
    .map_err(|error| io("packing the files of")(error.into()))?
    .map_err(io("packing the files of"))?;
    let name = request.id.trim_matches('-').to_owned();
    let marks = marks(&engine.holder, label, &name).map_err(io("finding out who we are for"))?;
    let image = engine.environment.image().map(ToString::to_string).unwrap_or_default();
    let request = Request { id: name.clone(), ..request };
    let described = spec::job(&spec::Parts {
        request: &request,
        image: &image,
        program: &program.argv,
        archive: packed.size,
        user,
        filter: &engine.filter,
        labels: &marks.labels,
        annotations: &marks.annotations,
    })
    .map_err(|error| say.container(format!("the job cannot be described: {error}"), ""))?;
    tracing::debug!(job = name, argv = ?request.argv, "starting a pod");
    let watched = Watched { connected: &engine.connected, name: &name };
    engine.connected.jobs().create(&PostParams::default(), &described).await.map_err(
        |error| match &error {
            // What one job's description is refused for another's need not be.
            kube::Error::Api(status) if [400, 422].contains(&status.code) => {
                say.container(format!("the cluster does not take its description: {}", words(&error)), "")
            }
            _ => engine.connected.does_not_answer(&error).into(),
        },
    )?;

    let (mut out, mut err) = (Captured::new(redactor), Captured::new(redactor));
    let told = {
        let mut conversation = Conversation {
            engine,
            request: &request,
            program: &program,
            proxy,
            user,
            watched: &watched,
            stop: &stop,
            out: &mut out,
            err: &mut err,
            say: &say,
        };
        conversation.hold(packed).await
    };
    let gone = remove(&watched).await;
    let told = match (told, gone) {
        (Ok(_), Err(reason)) => return Err(say.container(format!("the pod cannot be removed: {reason}"), "")),
        (told, _) => told?,
    };
    if let Some(left) = told.left {
        let returned = pack::returned(&request);
        take_back(left, returned)
            .await
            .map_err(|error| say.container(format!("what it left cannot be unpacked: {error}"), ""))?;
    }
    Ok(Ended {
        exit: told.exit,
        duration_ms: told.duration_ms,
        peak_memory: told.peak_memory,
        stdout: out,
        stderr: err,
    })
}

/// Returns a number that no other job has: the kernel counts processes by it.
fn new_user() -> u32 {
    let random = RandomState::new().build_hasher().finish();
    u32::try_from(USERS.start + random % (USERS.end - USERS.start)).unwrap_or(crate::root::JOB_USER)
}

async fn take_back(mut left: File, returned: Vec<Returned>) -> io::Result<()> {
    tokio::task::spawn_blocking(move || {
        left.rewind()?;
        unpack(io::BufReader::with_capacity(1 << 20, left), &returned)
    })
    .await
    .map_err(io::Error::other)?
}

/// How a pod ended.
struct Told {
    exit: JobExit,
    duration_ms: u64,
    peak_memory: Option<u64>,
    /// The archive of what the job left; none where it did not begin, or nobody wants it.
    left: Option<File>,
}

impl Told {
    fn cancelled() -> Self {
        Self { exit: JobExit::Cancelled, duration_ms: 0, peak_memory: None, left: None }
    }
}

/// Makes the errors of one job.
pub(super) struct Words<'a> {
    label: &'a str,
}

impl Words<'_> {
    fn container(&self, reason: String, hint: &str) -> JobError {
        JobError::Container { label: self.label.to_owned(), reason, hint: hint.to_owned() }
    }
}

/// Returns when one of the flags is up.
async fn raised(stop: &[Cancel; 2]) {
    tokio::select! {
        () = stop[0].cancelled() => {}
        () = stop[1].cancelled() => {}
    }
}

struct Conversation<'a> {
    engine: &'a Kubernetes,
    request: &'a Request,
    program: &'a Program,
    /// Of a job with network.
    proxy: Option<Proxy>,
    user: u32,
    watched: &'a Watched<'a>,
    stop: &'a [Cancel; 2],
    out: &'a mut Captured,
    err: &'a mut Captured,
    say: &'a Words<'a>,
}

impl Conversation<'_> {
    /// Fills the pod, has the job run in it, and takes what it left.
    async fn hold(&mut self, packed: Packed) -> Result<Told, JobError> {
        let stop = self.stop;
        let begun = tokio::select! {
            begun = self.begin(&packed) => begun?,
            () = raised(stop) => return Ok(Told::cancelled()),
        };
        let most = packed.size.saturating_add(spec::GROWTH);
        // What it was filled with is needed no more.
        drop(packed);
        self.run(begun, most).await
    }

    /// Waits until the pod's containers stand, with all files in their place.
    async fn begin(&self, packed: &Packed) -> Result<Pod, JobError> {
        let trouble = |reason: String| self.say.container(reason, "");
        self.until(|pod| pod.is_running(spec::CARRY) || pod.has_ended_well(spec::CARRY)).await?;
        self.fill(packed).await.map_err(|error| trouble(format!("the pod cannot be filled: {error}")))?;
        self.until(|pod| pod.is_running(spec::JOB) && pod.is_running(spec::BRIDGE)).await
    }

    async fn until(&self, condition: impl Fn(&Look<'_>) -> bool) -> Result<Pod, JobError> {
        let mut looks = interval(LOOK);
        let (since, mut unanswered) = (Instant::now(), 0);
        loop {
            looks.tick().await;
            let pod = match self.watched.look().await {
                Ok(pod) => pod,
                Err(error) if unanswered >= UNANSWERED => return Err(self.lost(&error)),
                Err(_) => {
                    unanswered += 1;
                    continue;
                }
            };
            unanswered = 0;
            if let Some(pod) = &pod {
                let look = Look(pod);
                if condition(&look) {
                    return Ok(pod.clone());
                }
                if let Some(reason) = look.trouble(since.elapsed()) {
                    let last = self.watched.last_words(pod).await;
                    return Err(self.say.container(format!("{reason}{last}"), look.hint()));
                }
            } else if let Some(reason) = self.watched.no_pod(since.elapsed()).await {
                return Err(self.say.container(reason, ""));
            }
        }
    }

    fn lost(&self, error: &kube::Error) -> JobError {
        self.engine.connected.does_not_answer(error).into()
    }

    /// Sends the archive to the container that unpacks it, which ends with its last byte.
    async fn fill(&self, packed: &Packed) -> Result<(), String> {
        let pod = self.watched.pod_name().await?;
        let parameters = AttachParams::default()
            .container(spec::CARRY)
            .stdin(true)
            .stdout(false)
            .stderr(false)
            .max_stdin_buf_size(BUFFER);
        let pods = self.engine.connected.pods();
        let mut attached = pods.attach(&pod, &parameters).await.map_err(|error| words(&error))?;
        let mut input = attached.stdin().ok_or("it takes no input")?;
        let file = packed.file.try_clone().map_err(|error| error.to_string())?;
        let mut file = tokio::fs::File::from_std(file);
        let mut piece = vec![0; BUFFER];
        loop {
            let length = file.read(&mut piece).await.map_err(|error| error.to_string())?;
            if length == 0 {
                break;
            }
            match timeout(STALLED, input.write_all(&piece[..length])).await {
                Ok(Ok(())) => {}
                // An end of the stream says nothing; the container's own end does.
                Ok(Err(_)) => break,
                Err(_) => return Err("it does not take its files".to_owned()),
            }
        }
        // The stream has to stand until all is taken.
        let mut looks = interval(LOOK);
        let since = Instant::now();
        loop {
            looks.tick().await;
            if since.elapsed() > STALLED {
                return Err("it does not unpack its files".to_owned());
            }
            let pod = self.watched.look().await.map_err(|error| words(&error))?.ok_or("it is gone")?;
            if Look(&pod).has_ended(spec::CARRY) {
                let ended = Look(&pod).has_ended_well(spec::CARRY);
                return if ended {
                    Ok(())
                } else {
                    Err(format!("its image needs sh, head and tar{}", self.watched.last_words(&pod).await))
                };
            }
        }
    }

    /// Speaks with the bridge, from the order to the end.
    async fn run(&mut self, pod: Pod, most: u64) -> Result<Told, JobError> {
        let trouble = |say: &Words<'_>, reason: String| say.container(reason, "");
        let command = |what: &str| -> Vec<String> {
            self.program.argv.iter().cloned().chain([what.to_owned()]).collect()
        };
        let pods = self.engine.connected.pods();
        let name = pod.metadata.name.clone().unwrap_or_default();
        let carrying = command(CARRY);
        let mut spoken =
            pods.exec(&name, command(SPEAK), &streams()).await.map_err(|error| self.lost(&error))?;
        let (Some(mut input), Some(mut output)) = (spoken.stdin(), spoken.stdout()) else {
            return Err(trouble(self.say, "the bridge has no streams".to_owned()));
        };
        let errand = serde_json::to_vec(&self.errand())
            .map_err(|error| trouble(self.say, format!("the order cannot be written: {error}")))?;
        let gone = |say: &Words<'_>, error: io::Error| {
            trouble(say, format!("the pod cannot be spoken to any more: {error}"))
        };
        input.write_all(&frame(Kind::Errand, &errand)).await.map_err(|error| gone(self.say, error))?;
        drop(errand);

        let limit = self.request.limits.output;
        let mut left = tempfile::tempfile_in(&self.request.containers)
            .map(tokio::fs::File::from_std)
            .map_err(|error| gone(self.say, error))?;
        // A frame that is half there is kept for the next look.
        let frames = futures::stream::try_unfold(&mut output, |output| async move {
            Ok::<_, io::Error>(Some((read(&mut *output).await?, output)))
        });
        let mut frames = std::pin::pin!(frames);
        let (mut found, mut over, mut cause, mut taken) = (false, None::<Over>, None, 0_u64);
        // What has to have happened by then: first that it looked around, then that its time is over, and so on.
        let mut deadline = Instant::now() + STARTING;
        let mut looks = interval(WATCH);
        let mut unanswered = 0;
        // What carries the job's connections, from when its command starts to its end.
        let mut carried: BoxFuture<'_, String> = Box::pin(std::future::pending());
        let mut cut = None::<String>;
        loop {
            let event = tokio::select! {
                broken = &mut carried => Event::Cut(broken),
                frame = frames.next() => Event::Frame(frame.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))),
                () = raised(self.stop), if cause.is_none() && over.is_none() => Event::Stop(JobExit::Cancelled),
                () = self.stop[1].cancelled(), if cause.is_some() || over.is_some() => Event::Abandoned,
                () = sleep_until(deadline) => Event::Late,
                _ = looks.tick() => Event::Look,
            };
            match event {
                Event::Frame(Ok((Kind::Found, content))) => match serde_json::from_slice(&content) {
                    Ok(Found::Confined) => {
                        found = true;
                        deadline = Instant::now() + Duration::from_secs(self.request.limits.wall_s);
                        if let Some(proxy) = self.proxy.take() {
                            carried = Box::pin(carry(pods.clone(), name.clone(), carrying.clone(), proxy));
                        }
                    }
                    Ok(Found::Refused(reason)) => {
                        let hint = hint(&reason);
                        return Err(self.say.container(reason, hint));
                    }
                    Err(error) => return Err(gone(self.say, error.into())),
                },
                Event::Frame(Ok((Kind::Output, bytes))) => self.out.take(&bytes, limit),
                Event::Frame(Ok((Kind::Errors, bytes))) => self.err.take(&bytes, limit),
                Event::Frame(Ok((Kind::Over, content))) => {
                    let told =
                        serde_json::from_slice(&content).map_err(|error| gone(self.say, error.into()))?;
                    over = Some(told);
                    carried = Box::pin(std::future::pending());
                    self.out.take(&[], limit);
                    self.err.take(&[], limit);
                    deadline = Instant::now() + STALLED;
                }
                Event::Frame(Ok((Kind::Archive, bytes))) => {
                    taken += bytes.len() as u64;
                    if taken > most {
                        return Err(trouble(
                            self.say,
                            "what the job left has grown by more than 8 GiB".to_owned(),
                        ));
                    }
                    left.write_all(&bytes).await.map_err(|error| gone(self.say, error))?;
                    deadline = Instant::now() + STALLED;
                }
                Event::Frame(Ok((Kind::End, _))) => break,
                Event::Frame(Ok((Kind::Broken, words))) => {
                    let words = String::from_utf8_lossy(&words).into_owned();
                    return Err(trouble(self.say, format!("the pod's bridge broke: {words}")));
                }
                Event::Frame(Ok((kind, _))) => {
                    return Err(trouble(
                        self.say,
                        format!("the pod's bridge says what makes no sense: {kind:?}"),
                    ));
                }
                Event::Frame(Err(error)) => {
                    // The pod's own account says more than the end of a stream.
                    let reason = match self.watched.look().await {
                        Ok(Some(pod)) => Look(&pod).trouble(Duration::ZERO),
                        Ok(None) => Some("it is gone".to_owned()),
                        Err(_) => None,
                    };
                    return Err(match reason {
                        Some(reason) => trouble(self.say, reason),
                        None => gone(self.say, error),
                    });
                }
                Event::Cut(reason) => {
                    // It also ends with the pod, and that the pod's end was the job's may still be on its way.
                    cut = Some(reason);
                    carried = Box::pin(std::future::pending());
                    if cause.is_none() && over.is_none() {
                        deadline = deadline.min(Instant::now() + SETTLING);
                    }
                }
                Event::Abandoned => return Ok(Told::cancelled()),
                Event::Stop(_) if !found => return Ok(Told::cancelled()),
                Event::Stop(exit) => {
                    if self.stop[1].is_cancelled() {
                        return Ok(Told::cancelled());
                    }
                    cause = Some(exit);
                    deadline = Instant::now() + ENDING;
                    input.write_all(&frame(Kind::Stop, &[])).await.map_err(|error| gone(self.say, error))?;
                }
                Event::Late if !found => {
                    return Err(trouble(self.say, "the container's first process did not answer".to_owned()));
                }
                Event::Late
                    if let Some(reason) = cut.as_ref().filter(|_| over.is_none() && cause.is_none()) =>
                {
                    return Err(trouble(self.say, format!("the job was cut off from its proxy: {reason}")));
                }
                Event::Late if over.is_none() && cause.is_none() => {
                    cause = Some(JobExit::TimedOut);
                    deadline = Instant::now() + ENDING;
                    input.write_all(&frame(Kind::Stop, &[])).await.map_err(|error| gone(self.say, error))?;
                }
                Event::Late => {
                    return Err(trouble(
                        self.say,
                        "the pod does not end, or what it left does not arrive".to_owned(),
                    ));
                }
                Event::Look => {
                    let reason = match self.watched.look().await {
                        Ok(pod) => {
                            unanswered = 0;
                            pod.map_or_else(
                                || Some("the pod was removed by somebody else".to_owned()),
                                |pod| Look(&pod).taken_away(),
                            )
                        }
                        Err(error) if unanswered >= UNANSWERED => return Err(self.lost(&error)),
                        Err(_) => {
                            unanswered += 1;
                            None
                        }
                    };
                    if let Some(reason) = reason {
                        return Err(trouble(self.say, reason));
                    }
                }
            }
        }
        let Some(over) = over else {
            return Err(trouble(self.say, "the pod's bridge did not say how the job ended".to_owned()));
        };
        left.flush().await.map_err(|error| gone(self.say, error))?;
        let exit = match (over.ended.exit, cause) {
            _ if over.ended.memory_kills > 0 => JobExit::OutOfMemory,
            (_, Some(cause)) => cause,
            (Some(exit), None) => exit,
            // The first process itself was killed; the kernel does that when the whole group has no memory left.
            (None, None) if self.watched.ran_out_of_memory().await => JobExit::OutOfMemory,
            (None, None) => JobExit::Signal(Signal::KILL.as_raw()),
        };
        Ok(Told {
            exit,
            duration_ms: over.duration_ms,
            peak_memory: over.ended.peak_memory,
            left: Some(left.into_std().await),
        })
    }

    fn errand(&self) -> Errand {
        let request = self.request;
        Errand {
            order: First {
                order: Order {
                    argv: request.argv.clone(),
                    cwd: request.cwd.clone(),
                    env: request.env.clone(),
                    prepare: request.prepare.clone(),
                    secrets: request.secrets.clone(),
                    proxy_port: request.proxy_port,
                    user: self.user,
                    open_files: open_files(),
                    file_size: request.limits.scratch,
                },
                limits: request.limits,
                in_memory: spec::in_memory(request),
                writable: spec::writable(request),
            },
            returned: pack::returned(request).into_iter().map(|returned| returned.name).collect(),
        }
    }
}

/// The streams of an `exec` in the container beside the job's.
fn streams() -> AttachParams {
    AttachParams::default()
        .container(spec::BRIDGE)
        .stdin(true)
        .stdout(true)
        .stderr(false)
        .max_stdin_buf_size(BUFFER)
        .max_stdout_buf_size(BUFFER)
}

/// Lets a job's connections come to its proxy, as long as they can; returns why they no longer can.
async fn carry(pods: Api<Pod>, pod: String, command: Vec<String>, proxy: Proxy) -> String {
    let mut carrier = match pods.exec(&pod, command, &streams().stderr(true)).await {
        Ok(carrier) => carrier,
        Err(error) => return words(&error),
    };
    let (Some(input), Some(output), Some(errors)) = (carrier.stdin(), carrier.stdout(), carrier.stderr())
    else {
        return "what carries its connections has no streams".to_owned();
    };
    let ended = match tunnel::serve(tokio::io::join(output, input), &proxy).await {
        Ok(()) => "what carries its connections has ended".to_owned(),
        Err(error) => error.to_string(),
    };
    // Why, it has said itself, or the cluster does.
    let mut said = Vec::new();
    let status = carrier.take_status();
    let told = async {
        let status = async { status?.await?.message };
        let mut errors = errors.take(LAST_WORDS);
        let (status, _) = tokio::join!(status, errors.read_to_end(&mut said));
        status
    };
    let status = timeout(SAYING, told).await.ok().flatten().unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let words = [ended.as_str(), said.trim(), status.trim()];
    words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(": ")
}

enum Event {
    Frame(io::Result<(Kind, Vec<u8>)>),
    Stop(JobExit),
    Cut(String),
    Abandoned,
    Late,
    Look,
}

fn hint(reason: &str) -> &'static str {
    if reason.contains("a route leads out") {
        HINT_NETWORK
    } else if reason.contains("folder in memory") {
        HINT_MEMORY
    } else {
        ""
    }
}

/// Reads a frame.
async fn read(output: &mut (impl AsyncRead + Unpin)) -> io::Result<(Kind, Vec<u8>)> {
    let mut bytes = [0; HEAD];
    output.read_exact(&mut bytes).await?;
    let (kind, length) = head(bytes)?;
    let mut content = vec![0; length];
    output.read_exact(&mut content).await?;
    Ok((kind, content))
}

/// Ends and removes a job; returns when it and its pod are gone.
async fn remove(watched: &Watched<'_>) -> Result<(), String> {
    let mut last = format!("it is still there ({RUN}={})", watched.name);
    let gone = async {
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            match removed(watched).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => last = words(&error),
            }
        }
    };
    let gone = timeout(GOING, gone).await;
    gone.map_err(|_| last)
}

/// Asks for the removal of whatever is there; returns whether that was nothing.
async fn removed(watched: &Watched<'_>) -> kube::Result<bool> {
    let there = |result: kube::Result<()>| match result {
        Ok(()) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    };
    let jobs = watched.connected.jobs();
    let job = there(jobs.delete(watched.name, &DeleteParams::background()).await.map(|_| ()))?;
    let Some(pod) = watched.look().await? else { return Ok(!job) };
    // The cluster's own collector would get to it, in its time.
    if pod.metadata.deletion_timestamp.is_none() {
        let name = pod.metadata.name.unwrap_or_default();
        there(watched.connected.pods().delete(&name, &DeleteParams::default()).await.map(|_| ()))?;
    }
    Ok(false)
}
