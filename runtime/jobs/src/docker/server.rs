//! The daemon behind a socket: which it is, what it can do, and who a job is to be there.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bollard::API_DEFAULT_VERSION;
use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum, SystemVersion};
use gloaming_api::Digest;

use crate::NoEngine;
use crate::root::JOB_USER;

/// Seconds that the daemon may take for one answer.
const PATIENCE: u64 = 120;

/// Whose daemon it is; they agree on the interface and differ in what they make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brand {
    Docker,
    Podman,
}

impl Brand {
    /// Returns the name that is written in job records.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

/// Who a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// This number, on the host and in the container; we are root and give it the files.
    Given(u32),
    /// This number in the container, and on the host the user that we and the daemon are.
    Kept(u32),
    /// This number, which is our own: the daemon is root's, and we cannot give files away.
    Ourselves(u32),
    /// Root of a user namespace, which on the host is the user that we and the daemon are.
    RootOfNamespace,
}

impl User {
    /// Returns the number in the container.
    pub(super) fn id(self) -> u32 {
        match self {
            Self::Given(user) | Self::Kept(user) | Self::Ourselves(user) => user,
            Self::RootOfNamespace => 0,
        }
    }
}

/// A daemon that answers.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) client: bollard::Docker,
    pub(super) socket: PathBuf,
    pub(super) brand: Brand,
    pub(super) version: String,
    pub(super) rootless: bool,
    /// Whether containers have a user namespace of their own by default.
    pub(super) remapped: bool,
    pub(super) cgroups: Option<u8>,
    pub(super) seccomp: bool,
    pub(super) user: User,
    /// Tells the daemon from others that have been, or may be, at the same socket: another place for its images is
    /// another daemon. Only ever a name for what is known of it, and no proof of anything.
    pub(super) identity: Digest,
}

impl Server {
    /// Asks the daemon who it is.
    ///
    /// # Errors
    /// Why there is none, or none that can be used.
    pub(super) async fn connect(socket: &Path) -> Result<Self, NoEngine> {
        let path = socket.to_str().ok_or_else(|| NoEngine {
            reason: format!("the socket's name {} is no text", socket.display()),
            hint: String::new(),
        })?;
        let failed = |error: bollard::errors::Error| no_daemon(socket, &error);
        // Only a socket file: without this, a missing one and one that nobody listens at look alike.
        if !socket.exists() {
            return Err(NoEngine {
                reason: format!("there is no socket {}", socket.display()),
                hint: "start the daemon, or name its socket as unix:///path".to_owned(),
            });
        }
        let client = bollard::Docker::connect_with_unix(path, PATIENCE, API_DEFAULT_VERSION)
            .map_err(failed)?
            .negotiate_version()
            .await
            .map_err(failed)?;
        let version = client.version().await.map_err(failed)?;
        let info = client.info().await.map_err(failed)?;
        let brand = brand(&version);
        let (said, remapped, seccomp) = security(&info);
        // Podman says it where this interface has no place for it; whose socket it is says the same.
        let rootless = said || socket.metadata().is_ok_and(|socket| socket.uid() != 0);
        let user = user(brand, rootless, rustix::process::geteuid().as_raw())?;
        if !seccomp {
            return Err(NoEngine {
                reason: format!("{} at {} has no system call filter", brand.name(), socket.display()),
                hint: "use a build of it and a kernel with seccomp".to_owned(),
            });
        }
        let place = info.docker_root_dir.as_deref().unwrap_or_default();
        let identity = Digest::of(format!("{}\n{path}\n{place}", brand.name()));
        Ok(Self {
            identity,
            client,
            socket: socket.to_owned(),
            brand,
            version: version.version.unwrap_or_default(),
            rootless,
            remapped,
            cgroups: match info.cgroup_version {
                Some(SystemInfoCgroupVersionEnum::_1) => Some(1),
                Some(SystemInfoCgroupVersionEnum::_2) => Some(2),
                _ => None,
            },
            seccomp,
            user,
        })
    }

    /// Returns the daemon in words.
    pub(super) fn describe(&self) -> String {
        format!("{} at {}", self.brand.name(), self.socket.display())
    }
}

fn brand(version: &SystemVersion) -> Brand {
    let components = version.components.iter().flatten();
    let podman = components.map(|component| component.name.as_str()).any(|name| name.starts_with("Podman"));
    if podman { Brand::Podman } else { Brand::Docker }
}

/// Returns whether the daemon is a plain user's, whether it maps users, and whether it filters system calls.
fn security(info: &SystemInfo) -> (bool, bool, bool) {
    let has = |wanted: &str| {
        info.security_options
            .iter()
            .flatten()
            .any(|option| option.split(',').any(|part| part == wanted || part == format!("name={wanted}")))
    };
    (has("rootless"), has("userns"), has("seccomp"))
}

fn user(brand: Brand, rootless: bool, us: u32) -> Result<User, NoEngine> {
    match (rootless, us) {
        (false, 0) => Ok(User::Given(JOB_USER)),
        (false, us) => Ok(User::Ourselves(us)),
        (true, 0) => Err(NoEngine {
            reason: "the daemon is a plain user's and we are root: what is root's it cannot mount".to_owned(),
            hint: "run as that user, or name the socket of root's daemon".to_owned(),
        }),
        (true, _) => match brand {
            Brand::Podman => Ok(User::Kept(JOB_USER)),
            Brand::Docker => Ok(User::RootOfNamespace),
        },
    }
}

/// Says why a daemon did not answer.
pub(super) fn no_daemon(socket: &Path, error: &bollard::errors::Error) -> NoEngine {
    let reason = words(error);
    let hint = if reason.contains("Permission denied") {
        "add yourself to the socket's group (which makes you root's equal), or run the daemon rootless"
    } else if reason.contains("Connection refused") {
        "nobody listens there: start the daemon (`systemctl start docker`, `systemctl --user start podman.socket`)"
    } else {
        ""
    };
    NoEngine { reason: format!("the daemon at {}: {reason}", socket.display()), hint: hint.to_owned() }
}

/// Returns an error with its causes, each once.
pub(super) fn words(error: &bollard::errors::Error) -> String {
    if let bollard::errors::Error::DockerResponseServerError { message, .. } = error {
        return message.trim().chars().take(2000).collect();
    }
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_whoever_can_use_the_files() {
        assert_eq!(user(Brand::Docker, false, 0).map(User::id), Ok(JOB_USER));
        assert_eq!(user(Brand::Docker, false, 1000), Ok(User::Ourselves(1000)));
        assert_eq!(user(Brand::Podman, true, 1000), Ok(User::Kept(JOB_USER)));
        assert_eq!(user(Brand::Docker, true, 1000).map(User::id), Ok(0));
        assert!(user(Brand::Podman, true, 0).is_err());
    }

    #[test]
    fn what_a_daemon_says_of_its_security_is_read_in_both_dialects() {
        let info = |options: &[&str]| SystemInfo {
            security_options: Some(options.iter().map(|option| (*option).to_owned()).collect()),
            ..SystemInfo::default()
        };
        assert_eq!(security(&info(&["name=seccomp,profile=default"])), (false, false, true));
        assert_eq!(security(&info(&["name=seccomp,profile=builtin", "name=rootless"])), (true, false, true));
        assert_eq!(security(&info(&["name=userns", "seccomp"])), (false, true, true));
        assert_eq!(security(&SystemInfo::default()), (false, false, false));
    }
}
