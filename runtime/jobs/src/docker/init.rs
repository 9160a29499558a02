//! The first process of a container that a daemon has made: checks that the container is what was asked for,
//! runs the command, tells how it ended, and takes everything along when the engine is gone.

use std::fs;
use std::io::{self, BufRead as _, BufReader, IoSliceMut, Read, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::fs::StatVfsMountFlags;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit};

use super::protocol::{Found, LISTENING, MAX_LINE, Order, PIPES, SOCKET};
use crate::embedded::init::{Init, confined, status_bytes};
use crate::embedded::listener;

/// `AF_ALG`: refused by our filter, and by hardly any other.
const CRYPTO: u16 = 38;

/// Entry of a container's first process; the socket is where the engine has mounted it.
pub(crate) fn init_main() -> ! {
    let code = match serve() {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "gloaming: the container's first process: {error}");
            70
        }
    };
    std::process::exit(code)
}

fn serve() -> io::Result<()> {
    let mut socket = UnixStream::connect(SOCKET)?;
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
    let order: Order = serde_json::from_slice(&line)?;
    let (found, listener) = match confine(&order).and_then(|()| listen(order.proxy_port)) {
        Ok(listener) => (Found::Confined, listener),
        Err(reason) => (Found::Refused(reason), None),
    };
    let refused = found != Found::Confined;
    let mut answer = serde_json::to_vec(&found)?;
    answer.push(b'\n');
    socket.write_all(&answer)?;
    if let Some(listener) = listener {
        listener::hand_over(&socket, &listener, &[LISTENING])?;
    }
    let lifeline = socket.try_clone()?;
    let watch = std::thread::Builder::new().stack_size(128 << 10).spawn(move || end_with(lifeline))?;
    if !refused {
        let init = Init {
            argv: order.argv,
            cwd: order.cwd,
            prepare: order.prepare,
            secrets: order.secrets,
            env: Some(order.env),
            groups_dropped: true,
            status: Arc::new(OwnedFd::from(socket.try_clone()?)),
        };
        socket.write_all(&status_bytes(init.run()))?;
    }
    // The engine still has to look at the container's counters, which go when this process does.
    let _ = watch.join();
    Ok(())
}

/// Waits for the engine to close its end, by will or by death, and ends the process, and with process 1 all
/// others.
fn end_with(mut lifeline: UnixStream) {
    let mut nothing = [0; 64];
    loop {
        match lifeline.read(&mut nothing) {
            Ok(0) => std::process::exit(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) => {}
            Err(_) => std::process::exit(0),
        }
    }
}

/// Takes the pipes that the job prints to: of standard output and of standard error.
pub(crate) fn receive_pipes(socket: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(
        socket.as_fd(),
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let ends: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(ends) => Some(ends),
            _ => None,
        })
        .flatten()
        .collect();
    if byte != [PIPES] || ends.len() != 2 {
        return Err(io::Error::other("the engine sent no pipes"));
    }
    Ok(ends)
}

/// Listens for the proxy, where the job has network: in the network whose routes have been looked at, and before
/// the command could.
pub(crate) fn listen(port: Option<u16>) -> Result<Option<std::net::TcpListener>, String> {
    let listening = port.map(listener::listen).transpose();
    listening.map_err(|error| format!("no proxy can be put into the container's network: {error}"))
}

/// Sets what a process sets for itself, and checks the rest; nothing is taken on the daemon's word.
pub(crate) fn confine(order: &Order) -> Result<(), String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    for (resource, limit) in
        [(Resource::Core, 0), (Resource::Nofile, order.open_files), (Resource::Fsize, order.file_size)]
    {
        let hard = rustix::process::getrlimit(resource).maximum.map_or(limit, |hard| hard.min(limit));
        rustix::process::setrlimit(resource, Rlimit { current: Some(hard), maximum: Some(hard) })
            .map_err(|error| failed("a limit cannot be set", &error))?;
    }
    let read = |path: &str| fs::read_to_string(path).map_err(|error| failed(path, &error));
    confined(&read("/proc/self/status")?, true)?;
    let is = rustix::process::getuid().as_raw();
    if is != order.user {
        return Err(format!("the container is not confined: its user is {is} and not {}", order.user));
    }
    // A mode of 2 says that there is a filter, not that it is ours.
    match rustix::net::socket_with(
        AddressFamily::from_raw(CRYPTO),
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    ) {
        Err(rustix::io::Errno::PERM) => {}
        _ => return Err("the container is not confined: the system call filter is not ours".to_owned()),
    }
    let root = rustix::fs::statvfs("/").map_err(|error| failed("/", &error))?;
    if !root.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err("the container is not confined: its root can be written".to_owned());
    }
    order.secrets.in_memory().map_err(|reason| format!("the container is not as asked for: {reason}"))?;
    no_way_out()
}

/// Whether no route leads out of the network that this process is in.
pub(crate) fn no_way_out() -> Result<(), String> {
    // Absent where the kernel has no such protocol.
    let routes = |path: &str| fs::read_to_string(path).unwrap_or_default();
    only_loopback(&routes("/proc/net/route"), &routes("/proc/net/ipv6_route"))
}

/// Whether no route leads out of the container. Interfaces are no sign: some kernels put idle ones into every
/// namespace.
fn only_loopback(route: &str, route6: &str) -> Result<(), String> {
    let other = route
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .chain(route6.lines().filter_map(|line| line.split_whitespace().last()))
        .find(|name| *name != "lo");
    match other {
        None => Ok(()),
        Some(name) => Err(format!("the container is not confined: a route leads out through {name:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
    const LOOPBACK6: &str = "00000000000000000000000000000001 80 00000000000000000000000000000000 00 \
        00000000000000000000000000000000 00000000 00000002 00000000 80200001       lo\n";

    #[test]
    fn a_route_that_leads_out_is_noticed() {
        assert_eq!(only_loopback("", ""), Ok(()));
        assert_eq!(only_loopback(HEADER, LOOPBACK6), Ok(()));
        let out = format!("{HEADER}eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
        assert!(only_loopback(&out, LOOPBACK6).unwrap_err().contains("eth0"));
        assert!(only_loopback(HEADER, &LOOPBACK6.replace("lo\n", "eth1\n")).unwrap_err().contains("eth1"));
    }
}
