//! What an engine and the first process of its container say to each other, over a socket that is mounted into
//! the container. The first process connects before anything of the job runs, and then nobody listens any
//! more: there is no second connection.
//!
//! ```text
//! engine                                     first process
//!    <────────────── connects ───────────────
//!    ── one byte, with the ends of two pipes: standard output and error ──>
//!    ── one line: the order ────────────────>
//!    <──────────────────── one line: confined as promised, or why not ──
//!    <─ with network, one byte, with the socket that the proxy listens at ──
//!    <──────────────────── five bytes: how the command ended ───────────
//!    ── closes: then, or at any time ───────>  ends, and with it every process of the container
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::embedded::protocol::Secrets;
use crate::environment::ScratchFiles;

/// The argument that makes a helper the first process of a container.
pub(crate) const INIT: &str = "init";
/// Where the socket is in the container.
pub(crate) const SOCKET: &str = "/.gloaming/control";
/// The byte that carries the pipes.
pub(crate) const PIPES: u8 = b'p';
/// The byte that carries the socket at which the container's proxy listens.
pub(crate) const LISTENING: u8 = b'l';
/// The longest order or answer, in bytes.
pub(crate) const MAX_LINE: u64 = 8 << 20;
/// Threads and processes of a container that are ours: the first process and its watch over the socket.
pub(crate) const OURS: u64 = 2;

/// What to run.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// Absolute folder in the container to run in.
    pub(crate) cwd: String,
    /// The whole environment, without the secrets.
    pub(crate) env: BTreeMap<String, String>,
    /// What is put into `/scratch`.
    pub(crate) prepare: ScratchFiles,
    /// Secrets by name. On this socket and nowhere else on their way: whoever has the daemon's socket can read a
    /// container's configuration, but not what is said here.
    pub(crate) secrets: Secrets,
    /// The port of the container's loopback to listen at for the proxy; none for a job without network.
    pub(crate) proxy_port: Option<u16>,
    /// User and group that the job must be.
    pub(crate) user: u32,
    /// Files that may be open at once.
    pub(crate) open_files: u64,
    /// Bytes of the longest file that may be written.
    pub(crate) file_size: u64,
}

/// What the first process found.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Found {
    /// All that was promised holds; the command starts.
    Confined,
    /// It does not, or the order cannot be followed; nothing was started.
    Refused(String),
}
