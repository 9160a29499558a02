//! The container beside the job's in a pod: it speaks to the engine over the streams of an `exec`, and to the job's
//! first process over a socket that both see. Of its own it has one process that holds the pod open ([`hold`]) and,
//! for as long as the engine is there, one that speaks ([`speak`]), and for a job with network one that carries
//! ([`tunnel::carry`](super::tunnel::carry)).
//!
//! The job cannot reach it: its processes are in another PID namespace, whatever they kill.

use std::fs;
use std::io::{self, BufWriter, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::DumpableBehavior;

use super::archive::{Closed, add};
use super::wire::{Ended, Errand, HEAD, Kind, Over, frame, head};
use super::{FILES, PROGRAM};
use crate::docker::protocol::{Found, LISTENING, MAX_LINE, PIPES};
use crate::embedded::listener;

/// How long the job's pipes may stay open when its first process did not live to tell.
const DRAINING: Duration = Duration::from_secs(5);
/// Between two looks at the clock while they do.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// Read at once.
const PIECE: usize = 32 << 10;

/// The name of the pipe by which the holder learns that nobody speaks any more.
pub(super) const HELD: &str = "held";
/// The name of the pipe by which the job's first process learns that it is listened to.
pub(super) const READY: &str = "ready";
/// The name of the socket that is for the process that carries a job's connections.
pub(super) const CARRIED: &str = "carried";
/// The name of the socket.
const CONTROL: &str = "control";

/// Holds the pod open until the engine has come and gone.
pub(super) fn hold() -> io::Result<()> {
    // Opens when the bridge opens the other end, and ends with the bridge.
    let mut held = fs::File::open(Path::new(FILES).join(HELD))?;
    let mut nothing = [0; 16];
    while held.read(&mut nothing)? > 0 {}
    Ok(())
}

/// Speaks for the engine to the job's first process, to the job's end.
pub(super) fn speak() -> io::Result<()> {
    // The job runs as the same user.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let files = Path::new(FILES);
    let _held = fs::OpenOptions::new().write(true).open(files.join(HELD))?;
    let mut engine = Engine { input: io::stdin(), output: io::stdout() };
    match converse(&mut engine, files) {
        Ok(()) => Ok(()),
        Err(error) => {
            engine.tell(Kind::Broken, error.to_string().as_bytes())?;
            Err(error)
        }
    }
}

struct Engine {
    input: io::Stdin,
    output: io::Stdout,
}

impl Engine {
    fn tell(&mut self, kind: Kind, content: &[u8]) -> io::Result<()> {
        let mut output = self.output.lock();
        output.write_all(&frame(kind, content))?;
        output.flush()
    }

    fn hear(&mut self) -> io::Result<(Kind, Vec<u8>)> {
        // Not through a buffer, which would hide from `poll` what it holds.
        let mut bytes = [0; HEAD];
        read_exact(&self.input, &mut bytes)?;
        let (kind, length) = head(bytes)?;
        let mut content = vec![0; length];
        read_exact(&self.input, &mut content)?;
        Ok((kind, content))
    }
}

fn read_exact(from: impl AsFd, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::read(&from, &mut *bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => bytes = &mut bytes[length..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn converse(engine: &mut Engine, files: &Path) -> io::Result<()> {
    let (kind, content) = engine.hear()?;
    if kind != Kind::Errand {
        return Err(io::Error::other("the engine began with something else than an order"));
    }
    let errand: Errand = serde_json::from_slice(&content)?;
    let mut socket = meet(&files.join(PROGRAM))?;
    let [(out, out_end), (err, err_end)] = [pipe()?, pipe()?];
    hand_over(&socket, [out_end, err_end])?;
    let mut line = serde_json::to_vec(&errand.order)?;
    line.push(b'\n');
    socket.write_all(&line)?;
    let found: Found = serde_json::from_slice(&read_line(&mut socket)?)?;
    let confined = found == Found::Confined;
    let mut door = match errand.order.order.proxy_port {
        Some(_) if confined => Some(Door::open(&socket, files)?),
        _ => None,
    };
    engine.tell(Kind::Found, &serde_json::to_vec(&found)?)?;
    if !confined {
        return Ok(());
    }
    let over = relay(engine, &mut socket, &out, &err, &mut door)?;
    engine.tell(Kind::Over, &serde_json::to_vec(&over)?)?;
    let mut archive = tar::Builder::new(BufWriter::with_capacity(PIECE, Pieces(engine)));
    for name in &errand.returned {
        add(&mut archive, &files.join(name), Path::new(name), Closed::Opened)?;
    }
    archive.into_inner()?.flush()?;
    engine.tell(Kind::End, b"")
}

/// Lets the job's first process connect, and nobody after it.
fn meet(folder: &Path) -> io::Result<UnixStream> {
    let control = folder.join(CONTROL);
    let listener = UnixListener::bind(&control)?;
    drop(fs::OpenOptions::new().write(true).open(folder.join(READY))?);
    let (socket, _) = listener.accept()?;
    fs::remove_file(control)?;
    fs::remove_file(folder.join(READY))?;
    Ok(socket)
}

/// Where the process that carries a job's connections gets the socket that they come to. Of the pod's files, and so not
/// seen by the job.
struct Door {
    of_the_carrier: UnixListener,
    of_the_job: TcpListener,
}

impl Door {
    /// Takes the socket from the job's first process.
    fn open(first: &UnixStream, files: &Path) -> io::Result<Self> {
        let of_the_carrier = UnixListener::bind(files.join(CARRIED))?;
        Ok(Self { of_the_carrier, of_the_job: taken(first)? })
    }

    /// Gives it to who has come for it.
    fn hand_over(self) -> io::Result<()> {
        let (carrier, _) = self.of_the_carrier.accept()?;
        listener::hand_over(&carrier, &self.of_the_job, &[LISTENING])
    }
}

/// Takes the socket at which a job's proxy listens from whoever has it.
pub(super) fn taken(from: &UnixStream) -> io::Result<TcpListener> {
    let mut word = [0];
    match listener::receive(from, &mut word)? {
        (1, Some(descriptor)) if word == [LISTENING] => Ok(TcpListener::from(descriptor)),
        _ => Err(io::Error::other("no socket for the proxy was handed over")),
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

fn hand_over(socket: &UnixStream, ends: [OwnedFd; 2]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let borrowed = [ends[0].as_fd(), ends[1].as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&borrowed));
    rustix::net::sendmsg(socket, &[IoSlice::new(&[PIPES])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn read_line(socket: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() as u64 <= MAX_LINE {
        socket.read_exact(&mut byte)?;
        if byte == *b"\n" {
            return Ok(line);
        }
        line.extend(byte);
    }
    Err(io::Error::other("the first process's answer has no end"))
}

/// Passes on what the job prints, until it has ended and nothing is left in its pipes.
fn relay(
    engine: &mut Engine,
    socket: &mut UnixStream,
    out: &OwnedFd,
    err: &OwnedFd,
    door: &mut Option<Door>,
) -> io::Result<Over> {
    let started = Instant::now();
    let mut ended: Option<(Over, Instant)> = None;
    let mut said = Vec::new();
    let mut open = [(Kind::Output, out, true), (Kind::Errors, err, true)];
    let mut piece = vec![0; PIECE];
    loop {
        let printing = open.iter().any(|(_, _, open)| *open);
        match &ended {
            Some((over, at)) if !printing || at.elapsed() > DRAINING => return Ok(over.clone()),
            _ => {}
        }
        let interest = |on: bool| if on { PollFlags::IN } else { PollFlags::empty() };
        let (listening, input) = (ended.is_none(), engine.input.lock());
        let mut waiting = vec![PollFd::new(&input, PollFlags::IN)];
        if listening {
            waiting.push(PollFd::new(&*socket, PollFlags::IN));
        }
        if let Some(door) = &*door {
            waiting.push(PollFd::new(&door.of_the_carrier, PollFlags::IN));
        }
        waiting.extend(
            open.iter().filter(|(_, _, open)| *open).map(|(_, pipe, _)| PollFd::new(*pipe, interest(true))),
        );
        match poll(&mut waiting, (!listening).then_some(&LOOK)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut ready: Vec<bool> = waiting.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(waiting);
        drop(input);
        let mut ready = ready.drain(..);
        if ready.next() == Some(true) {
            match engine.hear()? {
                // The first process kills all others, and then tells how the command ended.
                (Kind::Stop, _) => match socket.shutdown(std::net::Shutdown::Write) {
                    Err(error) if error.kind() != io::ErrorKind::NotConnected => return Err(error),
                    _ => {}
                },
                _ => return Err(io::Error::other("the engine says what makes no sense")),
            }
        }
        if listening && ready.next() == Some(true) {
            let length = socket.read(&mut piece).unwrap_or(0);
            said.extend_from_slice(&piece[..length]);
            if length == 0 || said.ends_with(b"\n") {
                let nothing = Ended { exit: None, memory_kills: 0, peak_memory: None };
                let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                let told = serde_json::from_slice(&said).unwrap_or(nothing);
                ended = Some((Over { ended: told, duration_ms }, Instant::now()));
            }
        }
        if door.is_some()
            && ready.next() == Some(true)
            && let Some(door) = door.take()
        {
            door.hand_over()?;
        }
        for (kind, pipe, open) in open.iter_mut().filter(|(_, _, open)| *open) {
            if ready.next() != Some(true) {
                continue;
            }
            match rustix::io::read(&**pipe, &mut piece[..]) {
                Ok(0) => *open = false,
                Ok(length) => engine.tell(*kind, &piece[..length])?,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Writes an archive as frames.
struct Pieces<'a>(&'a mut Engine);

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.tell(Kind::Archive, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
