//! What parent and helper say to each other: one request line, one reply line, over a socket pair that is
//! also the lifeline: when either end closes, the other side ends the container. Before the reply to a job with
//! network comes [`LISTENING`], and with it the listening socket.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gloaming_api::job::{JobExit, JobLimits};
use serde::{Deserialize, Serialize};

use crate::Mount;
use crate::environment::{RootFiles, ScratchFiles};

/// The longest request a helper reads, in bytes.
pub(crate) const MAX_REQUEST: u64 = 8 << 20;

/// The line with which the helper hands over the socket at which the container's proxy listens.
pub(super) const LISTENING: &[u8] = b"\"Listening\"\n";

/// One container to run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The container's name; a file name.
    pub(crate) id: String,
    /// The folder that containers' folders are made in.
    pub(crate) containers: PathBuf,
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// Absolute folder in the container to run in.
    pub(crate) cwd: String,
    /// The whole environment.
    pub(crate) env: BTreeMap<String, String>,
    /// Host folder for `/workspace`.
    pub(crate) workspace: PathBuf,
    /// Host folder for `/scratch`; none for one in memory.
    pub(crate) scratch: Option<PathBuf>,
    /// What else is mounted.
    pub(crate) mounts: Vec<Mount>,
    /// The small files of the root.
    pub(crate) root: RootFiles,
    /// What is put into `/scratch`.
    pub(crate) prepare: ScratchFiles,
    /// The port of the container's loopback to listen at for the proxy; none for a job without network.
    pub(crate) proxy_port: Option<u16>,
    /// Limits.
    pub(crate) limits: JobLimits,
    /// Secrets by name.
    pub(crate) secrets: Secrets,
}

/// Secrets on their way to the container. They are in no other part of the request, whose rest is written to disk.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secrets(pub(crate) BTreeMap<String, String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The command ran, or could not be started for a reason of its own.
    Finished {
        /// How it ended.
        exit: JobExit,
        /// Milliseconds between the command's start and the end of its last process.
        duration_ms: u64,
        /// Bytes, where the kernel tells.
        peak_memory: Option<u64>,
    },
    /// No container could be made.
    Failed {
        /// Whether any other job would have fared the same.
        blame: Blame,
        /// What went wrong.
        reason: String,
        /// What a person can do about it.
        hint: String,
    },
}

/// Whose fault it is that there is no container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Blame {
    /// The machine's: no job can run here.
    Machine,
    /// This container's: a mount that cannot be made, a folder that cannot be read, or a fault of ours.
    Container,
}
