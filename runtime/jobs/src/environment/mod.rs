//! What a container sees of the host, found once and then the same for every job.
//!
//! There is no image registry: the host's own `/usr` and toolchains are the image, bound read-only. What is
//! *not* bound is the point: no home folder, no `/etc` but the few files named here, no credentials
//! (`credentials.toml`, `.netrc`, `.ssh`, npm's and pip's configuration), nothing of the environment.
#![expect(
    clippy::disallowed_methods,
    reason = "reads the settings of the host's own toolchains, never a workspace"
)]

mod image;
mod java;
mod system;
mod toolchains;

use std::collections::BTreeMap;
use std::path::PathBuf;

use gloaming_api::Digest;
use serde::{Deserialize, Serialize};

use crate::{Mount, NoEngine};
pub use image::{Image, ImageError};

/// Where folders that are not mounted at their own path appear.
const OPT: &str = "/opt/gloaming";

/// Facts of the host that only the binary may read from its own environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// The folders of `PATH`, in order.
    pub path: Vec<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `CARGO_HOME`; `~/.cargo` where it is none.
    pub cargo_home: Option<PathBuf>,
    /// `RUSTUP_HOME`; `~/.rustup` where it is none.
    pub rustup_home: Option<PathBuf>,
    /// `VIRTUAL_ENV`.
    pub virtual_env: Option<PathBuf>,
}

/// What the container sees of the host: `/usr`, toolchains, dependency registries, all read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    pub(crate) mounts: Vec<Mount>,
    pub(crate) root: RootFiles,
    pub(crate) scratch: ScratchFiles,
    env: BTreeMap<String, String>,
    digest: Digest,
    describe: Vec<String>,
    image: Option<Image>,
}

/// What a container's own small root holds beside the mount points.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootFiles {
    /// Symbolic links: path in the container, target.
    pub(crate) links: BTreeMap<String, String>,
    /// Files copied from the host: path in the container, path on the host.
    pub(crate) copies: BTreeMap<String, PathBuf>,
}

/// What is put into `/scratch` by the job's own user before the command starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScratchFiles {
    /// Folders.
    pub(crate) folders: Vec<String>,
    /// Symbolic links: path in the container, target.
    pub(crate) links: BTreeMap<String, String>,
    /// Files: path in the container, content.
    pub(crate) files: BTreeMap<String, String>,
}

impl Environment {
    /// Looks at the host's folders and decides what jobs get to see.
    ///
    /// A toolchain that cannot be bound safely (its prefix is a home folder, or the root) is left out and
    /// [`Environment::describe`] says so; that is never an error.
    pub fn detect(host: &HostFacts) -> Self {
        let mut draft = Draft::default();
        system::add(&mut draft);
        toolchains::rust(&mut draft, host);
        toolchains::python(&mut draft, host);
        toolchains::others(&mut draft, host);
        toolchains::python_managers(&mut draft, host);
        java::add(&mut draft, host);
        draft.finish()
    }

    /// Returns the image that the jobs run in; none for the host's own tools.
    pub fn image(&self) -> Option<&Image> {
        self.image.as_ref()
    }

    /// Refuses to be the environment of an engine that has no images.
    pub(crate) fn needs_no_image(&self) -> Result<(), NoEngine> {
        match &self.image {
            None => Ok(()),
            Some(image) => Err(NoEngine {
                reason: format!("the environment is the image {image}, and this engine cannot unpack images"),
                hint: "choose the engine docker or podman, or let the host's own tools be the environment"
                    .to_owned(),
            }),
        }
    }

    /// Returns the digest of what is mounted and set: equal digests mean that a job's result can be reused.
    ///
    /// It covers the paths and the identity (size and modification time of what decides) of each toolchain
    /// and of `/usr`, not the contents of dependency registries, which a project's own lock file pins.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns what is mounted, in words for people.
    pub fn describe(&self) -> Vec<String> {
        self.describe.clone()
    }

    /// Returns the variables every job gets.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }
}

/// An environment in the making.
#[derive(Default)]
struct Draft {
    mounts: Vec<Mount>,
    root: RootFiles,
    scratch: ScratchFiles,
    env: BTreeMap<String, String>,
    /// Folders of the container's `PATH` before the system's own.
    path: Vec<String>,
    /// What decides whether two environments are the same one.
    identity: Vec<String>,
    describe: Vec<String>,
}

impl Draft {
    fn bind(&mut self, host: impl Into<PathBuf>, container: impl Into<String>) {
        let mount = Mount { host: host.into(), container: container.into(), writable: false };
        if !self.mounts.iter().any(|other| other.container == mount.container) {
            self.mounts.push(mount);
        }
    }

    fn add_path(&mut self, folder: impl Into<String>) {
        let folder = folder.into();
        if !self.path.contains(&folder) {
            self.path.push(folder);
        }
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.env.insert(name.to_owned(), value.into());
    }

    fn finish(mut self) -> Environment {
        for folder in ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
            self.add_path(folder);
        }
        let path = self.path.join(":");
        self.set("PATH", path);
        for (name, value) in FIXED_ENV {
            self.set(name, *value);
        }
        for folder in ["/scratch/home", "/scratch/cargo", "/scratch/target"] {
            self.scratch.folders.push(folder.to_owned());
        }
        let digest =
            Digest::of_json(&(&self.mounts_as_text(), &self.root, &self.scratch, &self.env, &self.identity));
        Environment {
            mounts: self.mounts,
            root: self.root,
            scratch: self.scratch,
            env: self.env,
            digest,
            describe: self.describe,
            image: None,
        }
    }

    fn mounts_as_text(&self) -> Vec<(String, &str)> {
        self.mounts.iter().map(|mount| (mount.host.display().to_string(), mount.container.as_str())).collect()
    }
}

/// What every job is told, whatever the host has: no network, no prompts, no colours, nothing written
/// outside `/scratch` and `/tmp`.
const FIXED_ENV: &[(&str, &str)] = &[
    ("CARGO_HOME", "/scratch/cargo"),
    ("CARGO_NET_OFFLINE", "true"),
    ("CARGO_TARGET_DIR", "/scratch/target"),
    ("CARGO_TERM_COLOR", "never"),
    ("CI", "true"),
    ("GOCACHE", "/scratch/go/build"),
    ("GOPATH", "/scratch/go/path"),
    ("GOPROXY", "off"),
    ("GOSUMDB", "off"),
    ("GOTOOLCHAIN", "local"),
    ("HOME", "/scratch/home"),
    ("LANG", "C.UTF-8"),
    ("LOGNAME", "gloaming"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("PIP_NO_INDEX", "1"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    // One seed for baseline and patched tree: a test that depends on set order must not flip between them.
    ("PYTHONHASHSEED", "0"),
    ("SHELL", "/bin/sh"),
    ("TERM", "dumb"),
    ("TMPDIR", "/tmp"),
    ("USER", "gloaming"),
    ("npm_config_audit", "false"),
    ("npm_config_cache", "/scratch/npm"),
    ("npm_config_fund", "false"),
    ("npm_config_offline", "true"),
    ("npm_config_update_notifier", "false"),
];
