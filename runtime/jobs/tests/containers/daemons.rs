//! The daemons that the suite runs on: private ones, started once per test process.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use gloaming_jobs::EngineKind;

use crate::machine;
use crate::support::is_root;

/// What a daemon says when it listens.
const READY: &[u8] = b"READY=1";
/// How long it may take to; the machine may have other things to do.
const STARTING: Duration = Duration::from_secs(300);
/// How long its word is waited for before a look whether it still lives.
const LOOK: Duration = Duration::from_secs(1);

/// A daemon that listens.
pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    /// Closed when this process ends; the daemon ends with it.
    _lifeline: ChildStdin,
}

/// Whether tests on an engine are to run: those that `GLOAMING_TEST_ENGINES` names, `embedded,docker,podman,kubernetes`, and
/// without it the embedded one, since a daemon's containers take minutes.
pub(crate) fn asked(kind: EngineKind) -> bool {
    let named = std::env::var("GLOAMING_TEST_ENGINES").unwrap_or_else(|_| "embedded".to_owned());
    named.split(',').any(|name| name.trim() == kind.as_str())
}

/// Whether it is a failure when they cannot run: in CI it is, but on a machine where no daemon can make containers.
pub(crate) fn required() -> bool {
    std::env::var_os("CI").is_some() && machine::cannot().is_none()
}

/// Returns the daemon of a kind, started when it is the first to ask; or why there is none.
pub(crate) fn daemon(kind: EngineKind) -> &'static Result<Daemon, String> {
    static DOCKER: OnceLock<Result<Daemon, String>> = OnceLock::new();
    static PODMAN: OnceLock<Result<Daemon, String>> = OnceLock::new();
    let cell = if kind == EngineKind::Docker { &DOCKER } else { &PODMAN };
    cell.get_or_init(|| start(kind))
}

/// Whether a program is on PATH.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn start(kind: EngineKind) -> Result<Daemon, String> {
    if !is_root() {
        return Err("only root can start a daemon of its own".to_owned());
    }
    if let Some(why) = machine::cannot() {
        return Err(why.to_owned());
    }
    let daemon = if kind == EngineKind::Docker { "dockerd" } else { "podman" };
    if let Some(program) = [daemon, "runc", "unshare", "mount"].into_iter().find(|name| !installed(name)) {
        return Err(format!("{program} is not installed (`make engines` installs what is needed)"));
    }
    let folder = tempfile::Builder::new()
        .prefix(&format!("gloaming-{kind}-"))
        .tempdir()
        .map_err(|error| error.to_string())?
        // The script removes it.
        .keep();
    // Where a daemon tells that it listens (see sd_notify(3)); nobody has to ask it again and again.
    let ready = folder.join("ready");
    let told = UnixDatagram::bind(&ready).map_err(|error| error.to_string())?;
    told.set_read_timeout(Some(LOOK)).map_err(|error| error.to_string())?;
    let mut child = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers/daemon.sh"))
        .arg(kind.as_str())
        .arg(&folder)
        .env("NOTIFY_SOCKET", &ready)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("the daemon's script: {error}"))?;
    let lifeline = child.stdin.take().expect("it is piped");
    let socket = folder.join("sock");
    let begun = Instant::now();
    let mut word = [0; 256];
    // Until the word or, once in a while without one, a look whether there is still somebody to say it.
    while !told
        .recv(&mut word)
        .is_ok_and(|length| word[..length].windows(READY.len()).any(|part| part == READY))
    {
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            let mut last = String::new();
            let _ = child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut last));
            return Err(format!("the daemon does not start: {}", last.trim().replace('\n', " / ")));
        }
        if begun.elapsed() > STARTING {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            let end: Vec<&str> = log.lines().rev().take(5).collect();
            return Err(format!("the daemon does not get ready: {}", end.join(" / ")));
        }
    }
    if let Err(error) = asked_once(&socket) {
        return Err(format!("the daemon says that it is ready and does not answer: {error}"));
    }
    eprintln!("{kind} answered after {:?}", begun.elapsed());
    Ok(Daemon { socket, _lifeline: lifeline })
}

fn asked_once(socket: &Path) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(STARTING))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: d\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    if answer.ends_with(b"200") {
        Ok(())
    } else {
        Err(std::io::Error::other(String::from_utf8_lossy(&answer).into_owned()))
    }
}
