//! What an engine can hold a job to, and what was found out about one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something that is promised of a job, or that its engine may offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// No network but the job's own loopback.
    NoNetwork,
    /// Named hosts through our proxy and nothing else.
    Hosts,
    /// Secrets as files and variables of one job, on no disk and in no daemon's account of a container.
    Secrets,
    /// The host's own tools, mounted read-only, as the environment.
    HostTools,
    /// Environments that are images by digest.
    Images,
    /// System calls are filtered by our list.
    Seccomp,
    /// No capabilities, no way to new privileges, a root that cannot be written.
    Unprivileged,
    /// A limit on memory, with no swap.
    Memory,
    /// A limit on CPUs.
    Cpu,
    /// A limit on processes and threads.
    Processes,
    /// Limits on open files, the size of a file, and dumps of memory.
    Files,
    /// A limit on folders in memory.
    Scratch,
    /// A limit on output.
    Output,
    /// A limit on time, after which everything is killed.
    Time,
    /// A job that ran out of memory is told from one that failed.
    TellsOutOfMemory,
    /// The highest use of memory is known.
    PeakMemory,
    /// Nothing is left when we are killed.
    NothingLeft,
}

impl Feature {
    /// Every feature, in the order a person would read them.
    pub const ALL: [Self; 17] = [
        Self::NoNetwork,
        Self::Hosts,
        Self::Secrets,
        Self::HostTools,
        Self::Images,
        Self::Seccomp,
        Self::Unprivileged,
        Self::Memory,
        Self::Cpu,
        Self::Processes,
        Self::Files,
        Self::Scratch,
        Self::Output,
        Self::Time,
        Self::TellsOutOfMemory,
        Self::PeakMemory,
        Self::NothingLeft,
    ];
}

/// Whether an engine has a feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// It has, and a job that cannot be held to it is not started.
    Yes,
    /// It has with this reservation.
    Partly(String),
    /// It has not, for this reason.
    No(String),
}

/// What an engine can hold a job to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities(BTreeMap<Feature, Support>);

impl Capabilities {
    /// Returns all features: those of which an engine says otherwise are taken back by [`Capabilities::set`].
    pub fn all() -> Self {
        Self(Feature::ALL.into_iter().map(|feature| (feature, Support::Yes)).collect())
    }

    /// Says of one feature whether the engine has it.
    pub fn set(&mut self, feature: Feature, support: Support) {
        self.0.insert(feature, support);
    }

    /// Returns whether the engine has a feature.
    pub fn get(&self, feature: Feature) -> &Support {
        // Whoever makes one begins with all of them.
        self.0.get(&feature).unwrap_or(&Support::Yes)
    }

    /// Whether a feature is there, with or without a reservation.
    pub fn has(&self, feature: Feature) -> bool {
        !matches!(self.get(feature), Support::No(_))
    }

    /// Returns every feature with what is said of it, in the order of [`Feature::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Feature, &Support)> {
        Feature::ALL.into_iter().map(|feature| (feature, self.get(feature)))
    }
}

/// What a probe found out about an engine that works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The engine's name, as it is written in job records.
    pub engine: String,
    /// Its version.
    pub version: String,
    /// Where its daemon listens; none where there is no daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether its containers have no more rights on the host than a plain user.
    pub rootless: bool,
    /// The version of the control groups, 1 or 2, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroups: Option<u8>,
    /// Whether our system call filter was on in the probe's container.
    pub seccomp: bool,
    /// What else a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}
