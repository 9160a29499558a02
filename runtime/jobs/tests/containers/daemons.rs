//! The daemons that the suite runs on: private ones, started once per test process.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use gloaming_jobs::EngineKind;

use crate::support::is_root;

/// A daemon that listens.
pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    /// Closed when this process ends; the daemon ends with it.
    _lifeline: ChildStdin,
}

/// Whether tests on an engine are to run: those that `GLOAMING_TEST_ENGINES` names, `embedded,docker,podman`, and
/// without it the embedded one, since a daemon's containers take minutes.
pub(crate) fn asked(kind: EngineKind) -> bool {
    let named = std::env::var("GLOAMING_TEST_ENGINES").unwrap_or_else(|_| "embedded".to_owned());
    named.split(',').any(|name| name.trim() == kind.as_str())
}

/// Whether it is a failure when they cannot run.
pub(crate) fn required() -> bool {
    std::env::var_os("CI").is_some()
}

/// Returns the daemon of a kind, started when it is the first to ask; or why there is none.
pub(crate) fn daemon(kind: EngineKind) -> &'static Result<Daemon, String> {
    static DOCKER: OnceLock<Result<Daemon, String>> = OnceLock::new();
    static PODMAN: OnceLock<Result<Daemon, String>> = OnceLock::new();
    let cell = if kind == EngineKind::Docker { &DOCKER } else { &PODMAN };
    cell.get_or_init(|| start(kind))
}

fn start(kind: EngineKind) -> Result<Daemon, String> {
    if !is_root() {
        return Err("only root can start a daemon of its own".to_owned());
    }
    for program in if kind == EngineKind::Docker { ["dockerd", "runc"] } else { ["podman", "runc"] } {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
            return Err(format!("{program} is not installed (`make engines` installs what is needed)"));
        }
    }
    let folder = tempfile::Builder::new()
        .prefix(&format!("gloaming-{kind}-"))
        .tempdir()
        .map_err(|error| error.to_string())?
        // The script removes it.
        .keep();
    let mut child = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers/daemon.sh"))
        .arg(kind.as_str())
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("the daemon's script: {error}"))?;
    let lifeline = child.stdin.take().expect("it is piped");
    let socket = folder.join("sock");
    let begun = Instant::now();
    while !answers(&socket) {
        if begun.elapsed() > Duration::from_secs(60) || child.try_wait().is_ok_and(|ended| ended.is_some()) {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            let end: Vec<&str> = log.lines().rev().take(5).collect();
            return Err(format!("the daemon does not start: {}", end.join(" / ")));
        }
        // It tells nobody when it listens.
        std::thread::sleep(Duration::from_millis(20));
    }
    eprintln!("{kind} answered after {:?}", begun.elapsed());
    Ok(Daemon { socket, _lifeline: lifeline })
}

fn answers(socket: &Path) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: d\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer.ends_with(b"200"))
    };
    ask().unwrap_or(false)
}
