//! A process of this program that works on an attempt, and ends when this one does.
#![expect(clippy::disallowed_methods, reason = "this program starts itself, and nothing else")]

use std::ffi::OsString;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::failure::Failure;

/// The most of its standard output that is read, bytes: one JSON object.
const SAID_CAP: u64 = 8 << 20;

/// How much of its standard error an error message has, bytes.
const TAIL: u64 = 2_000;

/// How long one that was asked to stop may take to end in order.
const GRACE: Duration = Duration::from_secs(12);

/// Variables of this process's that one that works on an attempt has no use for: credentials for others.
const WITHHELD: &[&str] = &[
    "GLOAMING_TOKEN",
    "GLOAMING_CONTROL",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
];

/// A process that works on an attempt. It is killed with its group when this is dropped.
pub(super) struct Attempt {
    child: Child,
    /// Held open: its end tells the process to stop.
    leash: Option<ChildStdin>,
    group: Pid,
    log: Log,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The JSON object it printed.
    pub(super) said: Option<Value>,
    /// The end of what it wrote to standard error.
    pub(super) complained: String,
}

impl Attempt {
    /// Starts `program` with arguments, and variables beside those of this process, in a folder; what it complains of goes into a file there.
    pub(super) fn start(
        program: &Path,
        args: &[OsString],
        variables: &[(&str, &str)],
        folder: &Path,
        name: &str,
    ) -> anyhow::Result<Self> {
        let complaints = folder.join(format!("{name}.log"));
        let failed = |error| Failure::disk(&format!("write {}", complaints.display()), error);
        let file = std::fs::File::create(&complaints).map_err(failed)?;
        let mut command = tokio::process::Command::new(program);
        command.args(args).current_dir(folder).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        for variable in WITHHELD {
            command.env_remove(variable);
        }
        command.envs(variables.iter().copied());
        let mut child = command
            .spawn()
            .map_err(|error| Failure::infrastructure("start a process for the attempt", error))?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let group = group.expect("a process that was just started has an id");
        let leash = child.stdin.take();
        Ok(Self { child, leash, group, log: Log(complaints) })
    }

    /// Waits for its end. Whoever stops waiting may call [`Attempt::stop`], or drop it.
    pub(super) async fn ended(&mut self) -> anyhow::Result<Ended> {
        let stdout = self.child.stdout.take();
        let failed = |error| Failure::infrastructure("wait for the attempt's process", error);
        let (said, status) = tokio::join!(read(stdout), self.child.wait());
        let status = status.map_err(failed)?;
        Ok(Ended { status, said, complained: self.log.end() })
    }

    /// Asks it to stop, and kills it where that takes too long.
    pub(super) async fn stop(&mut self) {
        drop(self.leash.take());
        if timeout(GRACE, self.child.wait()).await.is_err() {
            self.kill();
            let _ = self.child.wait().await;
        }
    }

    fn kill(&self) {
        // It may have ended by itself; then there is nobody to kill.
        let _ = kill_process_group(self.group, Signal::KILL);
    }

    /// Where its standard error goes.
    pub(super) fn log(&self) -> &Log {
        &self.log
    }
}

/// What a process writes to standard error, in a file.
#[derive(Debug, Clone)]
pub(super) struct Log(PathBuf);

impl Log {
    /// Returns the last line of those that say what it does: they are set in, and what is logged is not.
    pub(super) fn doing(&self) -> Option<String> {
        let end = self.end();
        Some(end.lines().rfind(|line| line.starts_with("  "))?.trim().to_owned())
    }

    /// Returns the end of it.
    fn end(&self) -> String {
        let mut bytes = Vec::new();
        // What cannot be read says nothing.
        let _ = std::fs::File::open(&self.0).and_then(|mut file| {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
            file.take(TAIL).read_to_end(&mut bytes)
        });
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn read(stdout: Option<ChildStdout>) -> Option<Value> {
    let mut bytes = Vec::new();
    stdout?.take(SAID_CAP).read_to_end(&mut bytes).await.ok()?;
    serde_json::from_slice(&bytes).ok()
}

impl Ended {
    /// What went wrong, in words.
    pub(super) fn error(&self) -> String {
        let error = self.said.as_ref().and_then(|said| said["error"].as_str()).map(str::to_owned);
        error.unwrap_or_else(|| match self.complained.is_empty() {
            true => format!("the attempt's process ended with {}", self.status),
            false => format!("the attempt's process ended with {}: {}", self.status, self.complained),
        })
    }
}
