//! The helper process: makes one container, watches it, tells how it ended, leaves nothing behind.
//!
//! It is single-threaded (namespaces and forks of a threaded process are a trap), a process of its own per
//! job, and ends the container when its parent goes away: the parent's end of the socket on standard input
//! closes whatever kills the parent. Standard output and error are the job's.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gloaming_api::job::JobExit;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SendFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use rustix::thread::UnshareFlags;

use super::bundle;
use super::cgroup::{Group, Hierarchy};
use super::init::{Init, STATUS_BYTES, parse_status};
use super::protocol::{Blame, LISTENING, MAX_REQUEST, Reply, Request};
use super::record::{Record, discard};
use super::{listener, loopback, ownership};
use crate::root::JOB_USER;

/// How often the counter of memory kills is looked at.
const WATCH: Duration = Duration::from_millis(100);
/// How long killed processes may take to go; one stuck in the kernel cannot be waited for.
const DYING: Duration = Duration::from_secs(10);

/// A container could not be made.
struct Failure {
    blame: Blame,
    reason: String,
    hint: &'static str,
}

const HINT_ROOT: &str = "run as root, or on a system with delegated version 2 control groups";
const HINT_CGROUP: &str = "as root, /sys/fs/cgroup must be writable; without root, start it with \
    `systemd-run --user --scope -p Delegate=yes ...`, or, where control groups are of version 1, have an \
    administrator give you the folder gloaming/user-<your uid> in each of them";
const HINT_USERNS: &str = "allow unprivileged user namespaces (sysctls kernel.unprivileged_userns_clone=1, \
    kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces), or run as root";
const HINT_MOUNT: &str =
    "inside another container this needs a privileged one; else a kernel of 5.12 or newer";

/// Entry of the helper process, see [`crate::helper_main`].
pub(crate) fn helper_main() -> ! {
    let helper = std::process::id();
    // The container's processes are forks of this one. A panic there must not unwind into code that
    // believes to be the helper.
    std::panic::set_hook(Box::new(move |_| {
        if std::process::id() != helper {
            std::process::abort();
        }
    }));
    let reply = match std::panic::catch_unwind(serve) {
        Ok(reply) => reply,
        Err(panic) => {
            let what = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("unknown");
            Reply::Failed {
                blame: Blame::Container,
                reason: format!("the helper process panicked: {what}"),
                hint: String::new(),
            }
        }
    };
    let mut line = serde_json::to_vec(&reply).unwrap_or_default();
    line.push(b'\n');
    let mut rest = line.as_slice();
    while !rest.is_empty() {
        match rustix::net::send(lifeline(), rest, SendFlags::NOSIGNAL) {
            Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    std::process::exit(0)
}

fn lifeline() -> BorrowedFd<'static> {
    rustix::stdio::stdin()
}

fn serve() -> Reply {
    match read_request().and_then(|request| run(&request)) {
        Ok(reply) => reply,
        Err(failure) => {
            Reply::Failed { blame: failure.blame, reason: failure.reason, hint: failure.hint.to_owned() }
        }
    }
}

fn read_request() -> Result<Request, Failure> {
    let mut line = Vec::new();
    BufReader::new(io::stdin().take(MAX_REQUEST))
        .read_until(b'\n', &mut line)
        .map_err(|error| failure("the request cannot be read", &error, ""))?;
    serde_json::from_slice(&line).map_err(|error| failure("the request makes no sense", &error, ""))
}

fn run(request: &Request) -> Result<Reply, Failure> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let uid = rustix::process::geteuid();
    let privileged = uid.is_root();
    let mut left = Left { folder: request.containers.join(&request.id), group: None };
    Record::for_this_process(None)
        .and_then(|record| record.create(&left.folder))
        .map_err(|error| failure("the container's folder cannot be made", &error, ""))?;

    let hierarchy = Hierarchy::detect()
        .map_err(|error| machine_failure("control groups cannot be found", &error, HINT_CGROUP))?;
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = Group::create(hierarchy, &request.id, &request.limits, &own, privileged, uid.as_raw())
        .map_err(|reason| Failure {
            blame: Blame::Machine,
            reason: format!("limits cannot be set: {reason}"),
            hint: HINT_CGROUP,
        })?;
    let cgroup = group.path().to_owned();
    left.group = Some(group);
    Record::for_this_process(Some(cgroup.clone()))
        .and_then(|record| record.replace(&left.folder))
        .map_err(|error| failure("the container's record cannot be written", &error, ""))?;

    if privileged {
        // libcontainer leaves the groups of its caller in place when none are asked for.
        rustix::thread::set_thread_groups(&[])
            .map_err(|error| machine_failure("groups cannot be dropped", &error, HINT_ROOT))?;
        ownership::give(&request.workspace, JOB_USER)
            .map_err(|error| failure("the workspace cannot be given to the job's user", &error, HINT_ROOT))?;
        if let Some(scratch) = &request.scratch
            && fs::symlink_metadata(scratch).is_ok_and(|meta| meta.uid() != JOB_USER)
        {
            ownership::give(scratch, JOB_USER).map_err(|error| {
                failure("the scratch folder cannot be given to the job's user", &error, "")
            })?;
        }
        // So that the job can open `/dev/stdout` by name.
        for stream in [rustix::stdio::stdout(), rustix::stdio::stderr()] {
            let user = rustix::fs::Uid::from_raw(JOB_USER);
            let _ = rustix::fs::fchown(stream, Some(user), None);
        }
    } else {
        enter_user_namespace()
            .map_err(|error| machine_failure("no user namespace can be made", &error, HINT_USERNS))?;
    }
    unshare(UnshareFlags::NEWNET)
        .and_then(|()| loopback::bring_up())
        .map_err(|error| machine_failure("no network namespace can be made", &error, HINT_USERNS))?;

    if let Some(port) = request.proxy_port {
        listener::listen(port)
            .and_then(|listener| listener::hand_over(lifeline(), &listener, LISTENING))
            .map_err(|error| {
                machine_failure("no proxy can be put into the container's network", &error, "")
            })?;
    }

    let mut namespaces = vec!["mount", "pid", "ipc", "uts"];
    if Path::new("/proc/self/ns/cgroup").exists() {
        namespaces.push("cgroup");
    }
    let bundle = bundle::make(&left.folder, request, &cgroup, &namespaces)
        .map_err(|error| failure("the container's root cannot be made", &error, ""))?;
    let (status, status_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .map_err(|error| failure("no pipe can be made", &error, ""))?;
    let init = Init {
        argv: request.argv.clone(),
        cwd: request.cwd.clone(),
        prepare: request.prepare.clone(),
        secrets: request.secrets.clone(),
        env: None,
        groups_dropped: privileged,
        status: Arc::new(status_end),
    };
    let process = start(request, &left.folder, &bundle, init)?;
    let started = Instant::now();
    let cause = watch(&process, left.group.as_ref(), started, Duration::from_secs(request.limits.wall_s))?;
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);

    let mut bytes = [0; STATUS_BYTES];
    let length = rustix::io::read(&status, &mut bytes).unwrap_or(0);
    let kills = left.group.as_ref().map_or(0, Group::memory_kills);
    let exit = match (parse_status(bytes.get(..length).unwrap_or_default()), cause) {
        _ if kills > 0 => JobExit::OutOfMemory,
        // It ended by itself before it was killed.
        (Some(exit), _) => exit,
        (None, Some(cause)) => cause,
        (None, None) => JobExit::Signal(Signal::KILL.as_raw()),
    };
    let peak_memory = left.group.as_ref().and_then(Group::peak_memory);
    Ok(Reply::Finished { exit, duration_ms, peak_memory })
}

/// What has to go at the end, however it comes.
struct Left {
    folder: PathBuf,
    group: Option<Group>,
}

impl Drop for Left {
    fn drop(&mut self) {
        let emptied = self.group.take().is_none_or(|group| group.kill_all(DYING) && group.remove());
        // The folder holds the record by which the reaper finds a group that could not be removed.
        if emptied {
            let _kept_for_the_reaper = !discard(&self.folder);
        }
    }
}

/// The container's first process, as the helper holds it.
struct Process {
    pid: Pid,
    handle: OwnedFd,
}

fn start(request: &Request, folder: &Path, bundle: &Path, init: Init) -> Result<Process, Failure> {
    let not_made = |error: &dyn Error| failure("the container cannot be made", error, HINT_MOUNT);
    let state = folder.join("state");
    fs::create_dir(&state).map_err(|error| not_made(&error))?;
    let nothing = fs::File::open("/dev/null").map_err(|error| not_made(&error))?;
    let mut container = ContainerBuilder::new(request.id.clone(), SyscallType::default())
        .with_root_path(state)
        .map_err(|error| not_made(&error))?
        .with_executor(init)
        .with_stdin(nothing)
        .validate_id()
        .map_err(|error| not_made(&error))?
        .as_init(bundle)
        .with_systemd(false)
        .build()
        .map_err(|error| not_made(&error))?;
    let pid = container.pid().and_then(|pid| Pid::from_raw(pid.as_raw())).ok_or_else(|| Failure {
        blame: Blame::Container,
        reason: "the container has no process".to_owned(),
        hint: "",
    })?;
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|error| not_made(&error))?;
    let process = Process { pid, handle };
    if let Err(error) = container.start() {
        let _ = rustix::process::pidfd_send_signal(&process.handle, Signal::KILL);
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
        return Err(not_made(&error));
    }
    Ok(process)
}

/// Waits until the container's first process, and with it every other, has ended; returns why it was killed,
/// if it was.
fn watch(
    process: &Process,
    group: Option<&Group>,
    started: Instant,
    wall: Duration,
) -> Result<Option<JobExit>, Failure> {
    let mut cause: Option<(JobExit, Instant)> = None;
    loop {
        let patience = WATCH.min(wall.saturating_sub(started.elapsed()).max(Duration::from_millis(1)));
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
        let mut events = vec![PollFd::new(&process.handle, PollFlags::IN)];
        let parent = lifeline();
        // Once the parent's end is closed it stays so, and polling it would only spin.
        if cause.is_none() {
            events.push(PollFd::new(&parent, PollFlags::IN | PollFlags::RDHUP));
        }
        match poll(&mut events, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failure("the container cannot be watched", &error, "")),
        }
        let ended = events.first().is_some_and(|event| !event.revents().is_empty());
        let left_alone = events.get(1).is_some_and(|event| !event.revents().is_empty());
        if ended {
            let _ = rustix::process::waitpid(Some(process.pid), WaitOptions::empty());
            return Ok(cause.map(|(exit, _)| exit));
        }
        match cause {
            Some((_, since)) if since.elapsed() > DYING => {
                return Err(Failure {
                    blame: Blame::Container,
                    reason: "the container's processes cannot be killed".to_owned(),
                    hint: "a process is stuck in the kernel; look for a hanging disk or network file system",
                });
            }
            Some(_) => {}
            None => {
                let why = if left_alone {
                    JobExit::Cancelled
                } else if started.elapsed() >= wall {
                    JobExit::TimedOut
                } else if group.is_some_and(|group| group.memory_kills() > 0) {
                    JobExit::OutOfMemory
                } else {
                    continue;
                };
                // The first process of a PID namespace takes all others along.
                let _ = rustix::process::pidfd_send_signal(process.handle.as_fd(), Signal::KILL);
                cause = Some((why, Instant::now()));
            }
        }
    }
}

/// Enters a user namespace in which we are the job's user, and nobody else is anybody.
fn enter_user_namespace() -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    unshare(UnshareFlags::NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{JOB_USER} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{JOB_USER} {gid} 1"))
}

#[expect(unsafe_code, reason = "unshare is unsafe for the sake of one flag")]
fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: only `UnshareFlags::FILES` can pull file descriptors from under other code; it is never passed,
    // and this process has one thread.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

fn machine_failure(what: &str, error: &dyn Error, hint: &'static str) -> Failure {
    Failure { blame: Blame::Machine, ..failure(what, error, hint) }
}

fn failure(what: &str, error: &dyn Error, hint: &'static str) -> Failure {
    let mut reason = format!("{what}: {error}");
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !reason.ends_with(&text) {
            reason.push_str(": ");
            reason.push_str(&text);
        }
        next = cause.source();
    }
    Failure { blame: Blame::Container, reason, hint }
}
