//! What a container sees of the host.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gloaming_api::Digest;

use crate::Mount;

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
    env: BTreeMap<String, String>,
    digest: Digest,
    describe: Vec<String>,
}

impl Environment {
    /// Looks at the host's folders and decides what jobs get to see.
    pub fn detect(_host: &HostFacts) -> Self {
        Self { mounts: Vec::new(), env: BTreeMap::new(), digest: Digest::zero(), describe: Vec::new() }
    }

    /// Returns the digest of what is mounted and set: equal digests mean that a job's result can be reused.
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
