//! Starting git: one environment, one configuration, a time limit, and no way in for anybody else's.
//!
//! Every command is given `GIT_DIR` by name, so git never looks for a repository itself, and a cleared
//! environment. What protects from a repository's own settings is where the command runs (see
//! `store`): in a folder of ours. What is set here guards against the machine's and the user's.
#![expect(
    clippy::disallowed_methods,
    reason = "the one place that starts git and tells it where programs are"
)]

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::RepoError;

/// The oldest git that has what we use.
pub(crate) const OLDEST: &str = "2.38";

/// Long enough for a large repository on a slow disk; local commands never wait for a person or a server.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(600);

/// What git may hold in memory for us: a diff of a patch, a listing of a tree.
const OUTPUT_LIMIT: u64 = 1 << 30;

const STDERR_LIMIT: u64 = 64 * 1024;

/// Settings given to every command at the highest precedence, above any file's.
const SETTINGS: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.autocrlf", "false"),
    ("core.fileMode", "true"),
    ("core.symlinks", "true"),
    ("core.quotePath", "true"),
    ("core.logAllRefUpdates", "false"),
    ("core.pager", "cat"),
    ("core.askPass", "false"),
    ("core.editor", "false"),
    ("core.sshCommand", "false"),
    ("credential.helper", ""),
    ("safe.directory", "*"),
    ("gc.auto", "0"),
    ("gc.autoDetach", "false"),
    ("maintenance.auto", "false"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("protocol.allow", "never"),
    ("i18n.commitEncoding", "UTF-8"),
    ("advice.detachedHead", "false"),
];

/// A git command being put together.
pub(crate) struct Git {
    operation: &'static str,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    settings: Vec<(String, String)>,
    stdin: Input,
    timeout: Duration,
    interrupt: Interrupt,
    settings_of_the_operator: bool,
}

/// Stops a git command from another thread; clones of one value are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<(Mutex<Watch>, Condvar)>);

impl Interrupt {
    /// Stops the command that is running, or the next one as soon as it starts.
    pub fn trigger(&self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).asked = true;
        self.0.1.notify_all();
    }
}

/// Writes a command's standard input.
type Writer = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

enum Input {
    Nothing,
    Bytes(Vec<u8>),
    Written(Writer),
}

/// A finished command.
pub(crate) struct Finished {
    /// Whether it exited with 0.
    pub(crate) success: bool,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Git {
    /// Begins a command in the git folder `dir`. `operation` completes "git could not ...".
    pub(crate) fn new(operation: &'static str, dir: &Path, command: &str) -> Self {
        let mut git = Self {
            operation,
            args: vec![command.into()],
            env: Vec::new(),
            settings: Vec::new(),
            stdin: Input::Nothing,
            timeout: LOCAL_TIMEOUT,
            interrupt: Interrupt::default(),
            settings_of_the_operator: false,
        };
        git.env("GIT_DIR", dir);
        git
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<I: IntoIterator<Item = A>, A: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    fn env(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.env.push((name.into(), value.as_ref().to_owned()));
    }

    pub(crate) fn with_env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env(name, value);
        self
    }

    /// Adds a setting that wins over the fixed ones.
    pub(crate) fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes(bytes.into());
        self
    }

    pub(crate) fn write_stdin(
        mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) -> Self {
        self.stdin = Input::Written(Box::new(write));
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Lets another thread stop the command.
    pub(crate) fn stopped_by(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = interrupt.clone();
        self
    }

    /// Shows the command the settings files of the machine and of whoever runs us. Only for asking what they say.
    fn with_operators_settings(mut self) -> Self {
        self.settings_of_the_operator = true;
        self
    }

    /// Runs the command to its end, whatever its exit code.
    pub(crate) fn run(self) -> Result<Finished, RepoError> {
        let operation = self.operation;
        let mut running = self.start()?;
        let mut stdout = Vec::new();
        let read = running.stdout().take(OUTPUT_LIMIT + 1).read_to_end(&mut stdout);
        if stdout.len() as u64 > OUTPUT_LIMIT {
            return Err(RepoError::Git { operation, stderr: "the output has more than 1 GiB".into() });
        }
        let mut finished = running.finish()?;
        if let Err(source) = read {
            return Err(RepoError::Io { operation: "read the output of", path: "git".into(), source });
        }
        finished.stdout = stdout;
        Ok(finished)
    }

    /// Runs the command and returns its standard output; an exit code other than 0 is an error.
    pub(crate) fn output(self) -> Result<Vec<u8>, RepoError> {
        let operation = self.operation;
        let finished = self.run()?;
        if finished.success { Ok(finished.stdout) } else { Err(failure(operation, &finished.stderr)) }
    }

    /// Runs the command and returns the object id it prints.
    pub(crate) fn object_id(self) -> Result<String, RepoError> {
        let operation = self.operation;
        let output = self.output()?;
        match std::str::from_utf8(&output).map(str::trim) {
            Ok(id) if crate::is_object_id(id) => Ok(id.to_owned()),
            _ => Err(RepoError::Git { operation, stderr: "it printed no object id".into() }),
        }
    }

    /// Starts the command; its standard output is the caller's to read.
    pub(crate) fn start(self) -> Result<Running, RepoError> {
        let mut command = Command::new(program()?);
        command.env_clear().current_dir("/").args(["--no-pager", "--no-optional-locks"]).args(&self.args);
        for (name, value) in [
            ("LC_ALL", "C"),
            ("TERM", "dumb"),
            // Only root's crontab-like daemons lack it; nothing of ours is looked up beneath it.
            ("HOME", "/nonexistent"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "false"),
            ("SSH_ASKPASS", "false"),
            ("GIT_SSH_COMMAND", "false"),
            ("GIT_EDITOR", "false"),
            ("GIT_PAGER", "cat"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_LITERAL_PATHSPECS", "1"),
            ("GIT_ALLOW_PROTOCOL", ""),
            ("GIT_PROTOCOL_FROM_USER", "0"),
        ] {
            command.env(name, value);
        }
        if let Some(path) = search_path() {
            command.env("PATH", path);
        }
        if self.settings_of_the_operator {
            for name in
                ["HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"]
            {
                match std::env::var_os(name) {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
        }
        let fixed = SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings: Vec<_> = fixed.chain(self.settings).collect();
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (i, (name, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{i}"), name).env(format!("GIT_CONFIG_VALUE_{i}"), value);
        }
        command.envs(self.env);
        let stdin = if matches!(self.stdin, Input::Nothing) { Stdio::null() } else { Stdio::piped() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Out of the terminal's reach: Ctrl-C is ours to act on, in order.
        command.process_group(0);
        let mut child = command.spawn().map_err(RepoError::GitMissing)?;
        let stdout = child.stdout.take().expect("standard output was asked to be piped");
        let stderr = child.stderr.take().expect("standard error was asked to be piped");
        let stderr = std::thread::spawn(move || read_capped(stderr));
        let stdin = child.stdin.take().and_then(|pipe| feed(pipe, self.stdin));
        let watchdog = Watchdog::start(&child, self.timeout, self.interrupt);
        Ok(Running {
            operation: self.operation,
            timeout: self.timeout,
            stdout: Some(stdout),
            process: Process { child, watchdog, reaped: false },
            stderr: Some(stderr),
            stdin,
        })
    }
}

fn feed(mut pipe: ChildStdin, input: Input) -> Option<JoinHandle<io::Result<()>>> {
    let write: Writer = match input {
        Input::Nothing => return None,
        Input::Bytes(bytes) => Box::new(move |pipe| pipe.write_all(&bytes)),
        Input::Written(write) => write,
    };
    Some(std::thread::spawn(move || {
        let mut buffered = io::BufWriter::with_capacity(64 * 1024, &mut pipe);
        write(&mut buffered)?;
        buffered.flush()
    }))
}

/// Reads to the end and keeps the first part, so that a command is never blocked by a full pipe.
fn read_capped(mut from: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    // An error ends the stream as its end does: what git said so far is all there is.
    let _ = (&mut from).take(STDERR_LIMIT).read_to_end(&mut kept);
    let _ = io::copy(&mut from, &mut io::sink());
    kept
}

/// A command that is running; dropped, it is killed.
pub(crate) struct Running {
    operation: &'static str,
    timeout: Duration,
    stdout: Option<ChildStdout>,
    process: Process,
    stderr: Option<JoinHandle<Vec<u8>>>,
    stdin: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// Returns the command's standard output.
    pub(crate) fn stdout(&mut self) -> &mut ChildStdout {
        self.stdout.as_mut().expect("it is only taken by finish, which consumes the command")
    }

    /// Hands the command's standard output over.
    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Waits for the end. An error of whoever wrote standard input is reported before the command's own.
    pub(crate) fn finish(mut self) -> Result<Finished, RepoError> {
        let operation = self.operation;
        // A command that still writes is told that nobody listens.
        drop(self.stdout.take());
        let (status, stopped) = self.process.wait().map_err(|source| RepoError::Io {
            operation: "wait for",
            path: "git".into(),
            source,
        })?;
        // A child of its that left its group may hold the pipes open: their readers are left to themselves.
        match stopped {
            Some(Stopped::Overdue) => return Err(RepoError::TimedOut { operation, after: self.timeout }),
            Some(Stopped::Asked) => return Err(RepoError::Interrupted { operation }),
            None => {}
        }
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        if let Some(Ok(Err(source))) = self.stdin.take().map(JoinHandle::join)
            && source.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(RepoError::Io { operation: "read files for", path: "git".into(), source });
        }
        Ok(Finished { success: status.success(), stdout: Vec::new(), stderr })
    }
}

struct Process {
    child: Child,
    watchdog: Watchdog,
    reaped: bool,
}

impl Process {
    fn wait(&mut self) -> io::Result<(std::process::ExitStatus, Option<Stopped>)> {
        if let Some(pid) = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0)) {
            // Wait without reaping, so that the watchdog can never signal a recycled process id.
            while let Err(error) =
                rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            {
                if error != rustix::io::Errno::INTR {
                    return Err(error.into());
                }
            }
        }
        let stopped = self.watchdog.stop();
        let status = self.child.wait()?;
        self.reaped = true;
        Ok((status, stopped))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped {
            // Already gone is as good as killed.
            let _ = self.child.kill();
            let _ = self.wait();
        }
    }
}

/// Stops a command and its children when their time is over or somebody asks: politely first, so that git
/// removes its lock files.
struct Watchdog(Interrupt);

#[derive(Debug, Default)]
struct Watch {
    /// Counts up when a command starts and when it ends, so that no watch outlives its own command.
    moment: u64,
    /// Somebody wants it stopped.
    asked: bool,
    /// The command was sent a signal.
    fired: bool,
}

/// Why a command was stopped.
enum Stopped {
    Overdue,
    Asked,
}

impl Watchdog {
    fn start(child: &Child, timeout: Duration, shared: Interrupt) -> Self {
        let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
            return Self(shared);
        };
        let moment = {
            let mut watch = shared.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            watch.fired = false;
            watch.moment += 1;
            watch.moment
        };
        let watched = shared.clone();
        std::thread::spawn(move || {
            let (lock, changed) = &*watched.0;
            let mut wait = timeout;
            for signal in [Signal::TERM, Signal::KILL] {
                let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
                let (mut watch, _) = changed
                    .wait_timeout_while(guard, wait, |watch| {
                        watch.moment == moment && (watch.fired || !watch.asked)
                    })
                    .unwrap_or_else(PoisonError::into_inner);
                if watch.moment != moment {
                    return;
                }
                watch.fired = true;
                // The process may just have ended; it is not reaped while we hold the lock.
                let _ = rustix::process::kill_process_group(group, signal);
                wait = Duration::from_secs(2);
            }
        });
        Self(shared)
    }

    /// Ends the watch; returns why it had to stop the process, if it had to.
    fn stop(&self) -> Option<Stopped> {
        let mut watch = self.0.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        watch.moment += 1;
        self.0.0.1.notify_all();
        match (watch.fired, watch.asked) {
            (false, _) => None,
            (true, true) => Some(Stopped::Asked),
            (true, false) => Some(Stopped::Overdue),
        }
    }
}

fn search_path() -> Option<OsString> {
    std::env::var_os("PATH")
}

/// Returns variables of ours that a clone over the network needs: proxies, certificates, the ssh agent.
pub(crate) fn network_environment() -> Vec<(&'static str, OsString)> {
    [
        "http_proxy",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "SSH_AUTH_SOCK",
    ]
    .into_iter()
    .filter_map(|name| Some((name, std::env::var_os(name)?)))
    .collect()
}

/// Returns the file of certificates that whoever runs us has set for an address in their own git configuration
/// (`http.sslCAInfo`). Only this is taken from there: who vouches for a server is a fact about the network, and runs
/// nothing.
pub(crate) fn operators_certificates(address: &str) -> Option<String> {
    let asked = Git::new("read your git settings", Path::new("/nonexistent"), "config")
        .args(["--type=path", "--get-urlmatch", "http.sslCAInfo"])
        .arg(address)
        .with_operators_settings();
    let said = String::from_utf8(asked.output().ok()?).ok()?;
    Some(said.trim_end_matches('\n').to_owned()).filter(|path| !path.is_empty())
}

/// Returns git's absolute path, checked once for its version.
fn program() -> Result<&'static Path, RepoError> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(found) = PROGRAM.get() {
        return Ok(found);
    }
    let found = search_path()
        .iter()
        .flat_map(std::env::split_paths)
        // A relative entry of PATH would find whatever lies in the folder we happen to be in.
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("git"))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| RepoError::GitMissing(io::Error::from(io::ErrorKind::NotFound)))?;
    let output = Command::new(&found)
        .arg("--version")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .map_err(RepoError::GitMissing)?;
    check_version(&String::from_utf8_lossy(&output.stdout))?;
    Ok(PROGRAM.get_or_init(|| found))
}

/// Checks the line `git version 2.47.3 (Apple Git-1)`.
fn check_version(line: &str) -> Result<(), RepoError> {
    let found = line.trim().strip_prefix("git version ").unwrap_or(line.trim());
    let mut numbers = found.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let mut oldest = OLDEST.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    let oldest = (oldest.next().unwrap_or(0), oldest.next().unwrap_or(0));
    if version < oldest { Err(RepoError::GitTooOld { found: found.to_owned() }) } else { Ok(()) }
}

/// Turns what git said into an error, told apart where a person can act on it.
pub(crate) fn failure(operation: &'static str, stderr: &str) -> RepoError {
    if stderr.contains("No space left on device") || stderr.contains("Disk quota exceeded") {
        return RepoError::DiskFull { operation, path: "git's object store".into() };
    }
    let lines: Vec<&str> =
        stderr.lines().filter(|line| !line.is_empty() && !line.starts_with("hint:")).take(6).collect();
    let text = gloaming_api::bowout::shorten(&lines.join("; "), 600);
    RepoError::Git { operation, stderr: gloaming_api::path::escape_name(text.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for good in [
            "git version 2.38.0",
            "git version 2.47.3",
            "git version 2.50.1 (Apple Git-155)",
            "git version 3.0",
        ] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in ["git version 2.9.5", "git version 2.37.9", "git version 1.99", "", "no such thing"] {
            assert!(matches!(check_version(bad), Err(RepoError::GitTooOld { .. })), "{bad}");
        }
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let said =
            "error: unable to write file .git/objects/ab/cd: No space left on device\nfatal: unpack failed";
        assert!(matches!(failure("write", said), RepoError::DiskFull { .. }));
        let error = failure("write", "hint: x\nfatal: one\n\nfatal: two\x1b[2J\n").to_string();
        assert_eq!(error, "git could not write: fatal: one; fatal: two\\u{1b}[2J");
    }

    #[test]
    fn a_command_past_its_time_is_stopped() {
        // Waits for standard input that never comes.
        let (hold, released) = std::sync::mpsc::sync_channel::<()>(0);
        let result = Git::new("wait", Path::new("/nonexistent"), "hash-object")
            .arg("--stdin")
            .write_stdin(move |_| {
                let _ = released.recv();
                Ok(())
            })
            .timeout(Duration::from_millis(50))
            .run();
        assert!(matches!(result, Err(RepoError::TimedOut { operation: "wait", .. })));
        drop(hold);
    }

    #[test]
    fn a_command_is_stopped_when_somebody_asks_before_or_after_it_starts() {
        for before in [true, false] {
            let interrupt = Interrupt::default();
            if before {
                interrupt.trigger();
            }
            let (hold, released) = std::sync::mpsc::sync_channel::<()>(0);
            let trigger = interrupt.clone();
            let result = Git::new("wait", Path::new("/nonexistent"), "hash-object")
                .arg("--stdin")
                .stopped_by(&interrupt)
                .write_stdin(move |_| {
                    trigger.trigger();
                    let _ = released.recv();
                    Ok(())
                })
                .run();
            assert!(matches!(result, Err(RepoError::Interrupted { operation: "wait" })));
            drop(hold);
        }
    }
}
