//! The first process of a pod's job: what the one of a daemon's container does, and what a daemon would have done:
//! limits that the cluster's interface has no word for, the filter, a network of its own, and a look at the control group from
//! the inside.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libcontainer::oci_spec::runtime::LinuxSeccomp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit, Signal, WaitOptions};

use super::wire::{Ended, First};
use super::{BESIDE, READY, network};
use crate::docker::init::{confine, listen, receive_pipes};
use crate::docker::limits;
use crate::docker::protocol::{Found, LISTENING, MAX_LINE, OURS, SOCKET};
use crate::embedded::cgroup::{Group, Hierarchy};
use crate::embedded::init::{Init, TMPFS, parse_status, status_bytes};
use crate::embedded::{listener, seccomp};

/// Between two looks at the counter of memory kills.
const WATCH: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// When the machine itself runs out of memory, a job goes first.
const LIKELY: i32 = 500;
/// What the kernel adds to a size that is not one of whole pages.
const PAGE: u64 = 64 << 10;

/// Runs a job as its first process.
pub(super) fn serve() -> io::Result<()> {
    // Opened by the bridge when it listens: nobody has to look again and again.
    drop(fs::File::open(READY)?);
    let mut socket = UnixStream::connect(SOCKET)?;
    more_likely_to_be_killed()?;
    let network = network::leave();
    // The command runs as the same user; this keeps it from reading or tracing us.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    for (number, end) in receive_pipes(&socket)?.into_iter().enumerate() {
        if number == 0 {
            rustix::stdio::dup2_stdout(end)?;
        } else {
            rustix::stdio::dup2_stderr(end)?;
        }
    }
    let mut line = Vec::new();
    BufReader::new((&socket).take(MAX_LINE)).read_until(b'\n', &mut line)?;
    let first: First = serde_json::from_slice(&line)?;
    let held = held(&first, network).and_then(|group| Ok((group, listen(first.order.proxy_port)?)));
    let (group, listener) = match held {
        Ok(held) => held,
        Err(reason) => return say(&mut socket, &Found::Refused(reason)),
    };
    say(&mut socket, &Found::Confined)?;
    if let Some(listener) = listener {
        listener::hand_over(&socket, &listener, &[LISTENING])?;
    }
    let group = Arc::new(group);
    let done = Arc::new(AtomicBool::new(false));
    {
        let (socket, group, done) = (socket.try_clone()?, Arc::clone(&group), Arc::clone(&done));
        std::thread::Builder::new().stack_size(128 << 10).spawn(move || watch(&socket, &group, &done))?;
    }
    let mut order = first.order;
    of_the_image(&mut order.env);
    let init = Init {
        argv: order.argv,
        cwd: order.cwd,
        prepare: order.prepare,
        secrets: order.secrets,
        env: Some(order.env),
        groups_dropped: true,
        status: Arc::new(OwnedFd::from(socket.try_clone()?)),
    };
    let status = status_bytes(init.run());
    // What comes back is looked at when this is told: nothing may still be writing it.
    end_the_rest();
    done.store(true, Ordering::Release);
    let ended = Ended {
        exit: parse_status(&status),
        memory_kills: group.memory_kills(),
        peak_memory: group.peak_memory(),
    };
    say(&mut socket, &ended)
}

fn say(socket: &mut UnixStream, what: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    socket.write_all(&line)
}

/// A cluster gives a pod whose memory is all set aside for it the opposite.
fn more_likely_to_be_killed() -> io::Result<()> {
    const PATH: &str = "/proc/self/oom_score_adj";
    let now: i32 = fs::read_to_string(PATH)?.trim().parse().map_err(io::Error::other)?;
    if now < LIKELY { fs::write(PATH, LIKELY.to_string()) } else { Ok(()) }
}

/// Ends the job when the bridge says so, when the bridge is gone, and when its memory has run out.
fn watch(socket: &UnixStream, group: &Group, done: &AtomicBool) {
    let (mut stop, mut deaf) = (false, false);
    while !done.load(Ordering::Acquire) {
        let mut waiting = [PollFd::new(socket, PollFlags::IN)];
        // Once it is closed it is always ready, and the pause would be none.
        let waiting = if deaf { &mut [][..] } else { &mut waiting[..] };
        match poll(waiting, Some(&WATCH)) {
            Ok(0) => {}
            Ok(_) => {
                (stop, deaf) = (true, true);
                let hung_up = |fd: &PollFd<'_>| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR);
                if waiting.iter().any(hung_up) {
                    // Nobody is there to be told; with process 1 all others end.
                    std::process::exit(0);
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => std::process::exit(0),
        }
        stop |= group.memory_kills() > 0;
        if stop && !done.load(Ordering::Acquire) {
            kill_all();
        }
    }
}

/// Kills every other process of the container.
fn kill_all() {
    // The group of process 1, to `kill`, is everybody but the one who asks.
    let _ = rustix::process::kill_process_group(Pid::INIT, Signal::KILL);
}

fn end_the_rest() {
    loop {
        kill_all();
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// The variables that the image sets, but for those that are ours: a cluster does not tell them before.
fn of_the_image(env: &mut std::collections::BTreeMap<String, String>) {
    let own = |name: &str| name == "HOSTNAME" || name.starts_with("KUBERNETES_");
    #[expect(clippy::disallowed_methods, reason = "the first process's environment is the image's")]
    for (name, value) in std::env::vars().filter(|(name, _)| !own(name)) {
        env.entry(name).or_insert(value);
    }
    env.entry("PATH".to_owned())
        .or_insert_with(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
}

/// Sets what a process can set for itself, and checks the rest.
fn held(first: &First, network: Result<bool, String>) -> Result<Group, String> {
    let not = |what: String| format!("the container is not as asked for: {what}");
    // Counted by user, and this user's number is no other job's.
    // Those of another user namespace do not count.
    let beside = BESIDE + u64::from(first.order.proxy_port.is_some());
    let most = u64::from(first.limits.processes) + if network? { OURS } else { OURS + beside };
    rustix::process::setrlimit(Resource::Nproc, Rlimit { current: Some(most), maximum: Some(most) })
        .map_err(|error| not(format!("the number of processes cannot be limited: {error}")))?;
    let filtered = filter();
    // What keeps the filter from being loaded is told first.
    confine(&first.order).map_err(|reason| match &filtered {
        Err(error) if reason.contains("filter") => format!("{reason}: {error}"),
        _ => reason,
    })?;
    filtered?;
    let group = Group::existing(
        Hierarchy::detect().map_err(|error| not(format!("its control group cannot be seen: {error}")))?,
        "/".to_owned(),
    );
    let swap = || if swap_on_the_node() { limits::swap(&group, &first.limits) } else { None };
    let missing = limits::memory(&group, &first.limits)
        .or_else(swap)
        .or_else(|| limits::processor_time(&group, &first.limits));
    if let Some(missing) = missing {
        return Err(not(missing.to_owned()));
    }
    for (folder, most) in &first.in_memory {
        let found = rustix::fs::statfs(folder.as_str()).map_err(|error| not(format!("{folder}: {error}")))?;
        let size = u64::try_from(found.f_bsize).unwrap_or(u64::MAX).saturating_mul(found.f_blocks);
        if found.f_type != TMPFS || size > most.saturating_add(PAGE) {
            return Err(not(format!("{folder} is no folder in memory of limited size")));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| not(error.to_string()))?;
    match beyond(&mounts, &first.writable) {
        None => Ok(group),
        Some(path) => Err(not(format!(
            "{path} can be written to without a limit; an image with volumes cannot be used here"
        ))),
    }
}

/// Loads the list that every engine's jobs are under, over whatever the cluster has put there.
fn filter() -> Result<(), String> {
    let profile: LinuxSeccomp = serde_json::from_value(seccomp::profile(seccomp::Mask::Second))
        .map_err(|error| format!("the filter makes no sense: {error}"))?;
    libcontainer::seccomp::initialize_seccomp(&profile)
        .map(|_| ())
        .map_err(|error| format!("our system call filter cannot be loaded: {error:?}"))
}

fn swap_on_the_node() -> bool {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().find_map(|line| line.strip_prefix("SwapTotal:"));
    total.and_then(|total| total.split_whitespace().next()) != Some("0")
}

/// Returns the first place that can be written to and should not be.
fn beyond(mountinfo: &str, writable: &[String]) -> Option<String> {
    let is_rw = |options: &str| options.split(',').any(|option| option == "rw");
    mountinfo.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let (path, options) = (mount.split(' ').nth(4)?, mount.split(' ').nth(5)?);
        let ours = writable.iter().any(|known| known == path)
            || ["/proc", "/dev", "/sys"].iter().any(|known| {
                path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
        let open = is_rw(options) && source.rsplit(' ').next().is_some_and(is_rw);
        (open && !ours).then(|| path.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_nobody_limits_is_noticed() {
        let mounts = "\
20 1 0:1 / / ro,relatime - overlay overlay rw,lowerdir=x
21 20 0:2 / /proc rw,nosuid - proc proc rw
22 20 0:3 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k
23 22 254:0 /x /dev/termination-log rw,relatime - ext4 /dev/vda rw
24 20 254:0 /y /workspace rw,relatime - ext4 /dev/vda rw
25 20 254:0 /z /.gloaming ro,relatime - ext4 /dev/vda rw
26 20 0:9 / /sys ro - sysfs sysfs ro
";
        let writable = ["/workspace".to_owned()];
        assert_eq!(beyond(mounts, &writable), None);
        let volume = format!("{mounts}27 20 254:0 /v /data rw,relatime - ext4 /dev/vda rw\n");
        assert_eq!(beyond(&volume, &writable), Some("/data".to_owned()));
        assert_eq!(beyond(&volume.replace("/data rw", "/data ro"), &writable), None);
        assert_eq!(beyond(&mounts.replace("/ / ro", "/ / rw"), &writable), Some("/".to_owned()));
    }
}
