//! The container's first process. It runs our code, not the job's: it starts the command, takes in orphans,
//! and tells the helper how the command ended over a pipe that the command does not have.
//!
//! Why not let the command be process 1: a process 1 ignores the signals a test suite raises on itself, has to
//! reap strangers, and could switch off the death signal that ties the container to its helper.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use rustix::process::{Signal, WaitOptions};

use super::protocol::Secrets;
use crate::environment::ScratchFiles;
use crate::secrets::SECRETS_MOUNT;

/// The bytes that say how the command ended: a kind, then a number.
pub(crate) const STATUS_BYTES: usize = 5;
const EXITED: u8 = b'x';
const KILLED: u8 = b's';

/// `TMPFS_MAGIC`, from the kernel's `linux/magic.h`.
pub(crate) const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// Program not found, as shells say it.
const NOT_FOUND: i32 = 127;
/// Program found and not startable.
const NOT_STARTABLE: i32 = 126;

/// What the first process does once the container stands.
#[derive(Clone)]
pub(crate) struct Init {
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// Absolute folder.
    pub(crate) cwd: String,
    /// What is put into `/scratch`.
    pub(crate) prepare: ScratchFiles,
    /// Values that become variables and files.
    pub(crate) secrets: Secrets,
    /// The command's whole environment without them; none for this process's own.
    pub(crate) env: Option<BTreeMap<String, String>>,
    /// Whether supplementary groups could be dropped.
    pub(crate) groups_dropped: bool,
    /// Where the status goes.
    pub(crate) status: Arc<OwnedFd>,
}

impl Executor for Init {
    /// Runs in the finished container, before the helper is told that it is ready: what does not hold here is
    /// an error of creation, and the command never starts.
    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        let wrong = |what: String| ExecutorValidationError::ArgValidationError(what);
        // Not earlier: the kernel forgets the signal when a process changes its user. And not later: when the
        // helper is gone already, telling it fails, and this process ends by itself.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|error| wrong(format!("the death signal cannot be set: {error}")))?;
        // The command runs as the same user; this keeps it from reading or tracing us.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
            .map_err(|error| wrong(format!("tracing cannot be switched off: {error}")))?;
        let status = fs::read_to_string("/proc/self/status")
            .map_err(|error| wrong(format!("/proc/self/status cannot be read: {error}")))?;
        confined(&status, self.groups_dropped).map_err(wrong)?;
        self.secrets.in_memory().map_err(wrong)
    }

    fn exec(&self, _spec: &Spec) -> Result<(), ExecutorError> {
        let message = status_bytes(self.run());
        // Five bytes into an empty pipe: whole or not at all. Without them the helper goes by our own end.
        let _ = rustix::io::write(&*self.status, &message);
        std::process::exit(0)
    }
}

impl Init {
    /// Runs the command to its end; returns how it ended, as it is written on the pipe.
    pub(crate) fn run(&self) -> (u8, i32) {
        if let Err(error) = self.prepare_scratch() {
            say(format_args!("/scratch cannot be prepared: {error}"));
            return (EXITED, NOT_STARTABLE);
        }
        if let Err(error) = self.hand_over_secrets() {
            say(format_args!("{SECRETS_MOUNT} cannot be written: {error}"));
            return (EXITED, NOT_STARTABLE);
        }
        let program = &self.argv[0];
        match fs::metadata(&self.cwd) {
            Ok(folder) if folder.is_dir() => {}
            Ok(_) => {
                say(format_args!("{} is not a folder", self.cwd));
                return (EXITED, NOT_FOUND);
            }
            Err(error) => {
                say(format_args!("folder {}: {error}", self.cwd));
                return (EXITED, NOT_FOUND);
            }
        }
        let mut command = Command::new(program);
        command.args(&self.argv[1..]).current_dir(&self.cwd).process_group(0);
        // Otherwise this process's own has been set from the configuration and nothing else.
        if let Some(env) = &self.env {
            command.env_clear().envs(env);
        }
        command.envs(&self.secrets.0);
        let command = match command.spawn() {
            Ok(child) => child.id(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                say(format_args!("{program}: program not found"));
                return (EXITED, NOT_FOUND);
            }
            Err(error) => {
                say(format_args!("{program}: cannot be started: {error}"));
                return (EXITED, NOT_STARTABLE);
            }
        };
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) if pid.as_raw_nonzero().get().unsigned_abs() == command => {
                    if let Some(code) = status.exit_status() {
                        return (EXITED, code);
                    }
                    if let Some(signal) = status.terminating_signal() {
                        return (KILLED, signal);
                    }
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    say(format_args!("waiting for {program}: {error}"));
                    return (EXITED, NOT_STARTABLE);
                }
            }
        }
    }

    fn hand_over_secrets(&self) -> io::Result<()> {
        for (name, value) in &self.secrets.0 {
            let path = Path::new(SECRETS_MOUNT).join(name);
            fs::write(&path, value)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400))?;
        }
        Ok(())
    }

    /// Done by the job's own user, inside: whatever an earlier job has put into a kept folder, a link that
    /// leads somewhere reaches no further than the job itself does.
    fn prepare_scratch(&self) -> io::Result<()> {
        for folder in &self.prepare.folders {
            fs::create_dir_all(folder)?;
        }
        for (path, target) in &self.prepare.links {
            if fs::read_link(path).is_ok_and(|now| now == Path::new(target)) {
                continue;
            }
            remove(Path::new(path))?;
            symlink(target, path)?;
        }
        for (path, content) in &self.prepare.files {
            if fs::read_to_string(path).is_ok_and(|now| now == *content) {
                continue;
            }
            remove(Path::new(path))?;
            fs::write(path, content)?;
        }
        Ok(())
    }
}

/// Returns the bytes on the pipe that say how the command ended.
pub(crate) fn status_bytes((kind, number): (u8, i32)) -> [u8; STATUS_BYTES] {
    let mut message = [kind, 0, 0, 0, 0];
    message[1..].copy_from_slice(&number.to_le_bytes());
    message
}

/// Returns how the command ended, from the bytes on the pipe.
pub(crate) fn parse_status(bytes: &[u8]) -> Option<gloaming_api::job::JobExit> {
    let (kind, number) = bytes.split_first()?;
    let number = i32::from_le_bytes(number.try_into().ok()?);
    match *kind {
        EXITED => Some(gloaming_api::job::JobExit::Code(number)),
        KILLED => Some(gloaming_api::job::JobExit::Signal(number)),
        _ => None,
    }
}

/// Tells the job's reader; nobody listening is no reason to fail.
fn say(message: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "gloaming: {message}");
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

impl Secrets {
    /// Checks that the folder they are to be written to is in memory: a daemon may have put something else there.
    pub(crate) fn in_memory(&self) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        match rustix::fs::statfs(SECRETS_MOUNT) {
            Ok(found) if found.f_type == TMPFS => Ok(()),
            Ok(_) => Err(format!("{SECRETS_MOUNT} is not in memory, so no secret can be put there")),
            Err(error) => Err(format!("{SECRETS_MOUNT}: {error}")),
        }
    }
}

/// Checks, from the kernel's own account of this process, that it is as confined as was asked for. A runtime
/// built without seccomp ignores the filter silently; here that is an error.
pub(crate) fn confined(status: &str, groups_dropped: bool) -> Result<(), String> {
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map_or("", str::trim)
    };
    for (name, want) in [("Seccomp", "2"), ("NoNewPrivs", "1")] {
        if field(name) != want {
            return Err(format!("the container is not confined: {name} is {:?} and not {want}", field(name)));
        }
    }
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        if field(name).is_empty() || field(name).chars().any(|digit| digit != '0') {
            return Err(format!("the container is not confined: {name} is {:?}", field(name)));
        }
    }
    // A daemon's runtime counts the job's own group among them.
    let (own, groups) = (field("Gid"), field("Groups"));
    let own = own.split_whitespace().next();
    if groups_dropped && groups.split_whitespace().any(|group| Some(group) != own) {
        return Err(format!("the container is not confined: it keeps the groups {groups}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gloaming_api::job::JobExit;

    use super::*;

    const CONFINED: &str = "Name:\tx\nGid:\t7\t7\t7\t7\nGroups:\t \nNoNewPrivs:\t1\nSeccomp:\t2\nCapInh:\t0000000000000000\n\
        CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n";

    #[test]
    fn a_container_without_filter_capability_bounds_or_with_groups_is_refused() {
        assert_eq!(confined(CONFINED, true), Ok(()));
        for (from, to) in [
            ("Seccomp:\t2", "Seccomp:\t0"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("CapBnd:\t0000000000000000", "CapBnd:\t0000000000000001"),
            ("CapEff:\t0000000000000000\n", ""),
            ("Groups:\t ", "Groups:\t0 6 "),
        ] {
            let status = CONFINED.replace(from, to);
            assert!(
                confined(&status, true).unwrap_err().starts_with("the container is not confined"),
                "{to}"
            );
        }
        assert_eq!(confined(&CONFINED.replace("Groups:\t ", "Groups:\t27 "), false), Ok(()));
        assert_eq!(confined(&CONFINED.replace("Groups:\t ", "Groups:\t7 "), true), Ok(()));
    }

    #[test]
    fn the_status_is_five_bytes_or_nothing() {
        assert_eq!(parse_status(&[b'x', 3, 0, 0, 0]), Some(JobExit::Code(3)));
        assert_eq!(parse_status(&[b's', 9, 0, 0, 0]), Some(JobExit::Signal(9)));
        for broken in [&b""[..], b"x", b"x\0\0\0", b"x\0\0\0\0\0", b"?\0\0\0\0"] {
            assert_eq!(parse_status(broken), None);
        }
    }
}
