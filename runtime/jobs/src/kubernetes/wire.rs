//! What the engine and the bridge in the pod say to each other: frames over the streams of one `exec`.
//!
//! ```text
//! engine                                     bridge
//!    ── order ──────────────────────────────>  hands it to the job's first process
//!    <──────────── found: confined, or why not
//!    <──────────── output and errors, as the command writes them
//!    ── stop, perhaps ──────────────────────>  every process of the job is killed
//!    <──────────── over: how the command ended; none of its processes is left
//!    <──────────── archive: what it has left in its folders, in pieces, and end
//!    ── closes: at any time ────────────────>  the bridge ends, and with it the pod
//! ```

use std::io;

use gloaming_api::job::{JobExit, JobLimits};
use serde::{Deserialize, Serialize};

use crate::docker::protocol::Order;

/// The longest frame: an order has as many bytes at most.
const LONGEST: usize = 16 << 20;
/// Before a frame's content: its kind, then its length.
pub(super) const HEAD: usize = 5;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An [`Errand`], to the bridge.
    Errand,
    /// To the bridge: end the job.
    Stop,
    /// A [`crate::docker::protocol::Found`].
    Found,
    /// Bytes of the job's standard output.
    Output,
    /// Bytes of its standard error.
    Errors,
    /// An [`Over`].
    Over,
    /// Bytes of the archive of what the job left.
    Archive,
    /// Nothing follows.
    End,
    /// What went wrong in the bridge, in words.
    Broken,
}

const KINDS: [(Kind, u8); 9] = [
    (Kind::Errand, b'i'),
    (Kind::Stop, b's'),
    (Kind::Found, b'f'),
    (Kind::Output, b'o'),
    (Kind::Errors, b'e'),
    (Kind::Over, b'x'),
    (Kind::Archive, b'a'),
    (Kind::End, b'z'),
    (Kind::Broken, b'b'),
];

/// Returns the bytes of a frame.
pub(super) fn frame(kind: Kind, content: &[u8]) -> Vec<u8> {
    let letter = KINDS.iter().find(|(known, _)| *known == kind).map_or(b'?', |(_, letter)| *letter);
    let mut bytes = Vec::with_capacity(HEAD + content.len());
    bytes.push(letter);
    bytes.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// Returns the kind and length that a frame begins with.
///
/// # Errors
/// Bytes that begin no frame.
pub(super) fn head(bytes: [u8; HEAD]) -> io::Result<(Kind, usize)> {
    let [letter, length @ ..] = bytes;
    let kind = KINDS.iter().find(|(_, known)| *known == letter).map(|(kind, _)| *kind);
    let length = u32::from_le_bytes(length) as usize;
    match kind {
        Some(kind) if length <= LONGEST => Ok((kind, length)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "that is no frame of the bridge's")),
    }
}

/// What the bridge is to have done.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Errand {
    /// What is handed on to the job's first process.
    pub(super) order: First,
    /// The folders, below that of the pod's files, that come back.
    pub(super) returned: Vec<String>,
}

/// What the first process of a pod's job is told: what it would be told in a daemon's container, and what there
/// somebody else sees to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct First {
    pub(super) order: Order,
    /// Limits that it sets, or reads back.
    pub(super) limits: JobLimits,
    /// Folders in memory, each with the bytes that it may hold.
    pub(super) in_memory: Vec<(String, u64)>,
    /// All places that can be written to, but for devices.
    pub(super) writable: Vec<String>,
}

/// How the command ended, from its first process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// None where the first process itself did not live to tell.
    pub(super) exit: Option<JobExit>,
    /// How often the kernel had no memory left for it.
    pub(super) memory_kills: u64,
    /// Bytes, where the kernel tells.
    pub(super) peak_memory: Option<u64>,
}

/// The same, with the time it took by the bridge's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Over {
    pub(super) ended: Ended,
    pub(super) duration_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_apart_as_they_were_put_together() {
        for (kind, letter) in KINDS {
            let bytes = frame(kind, b"content");
            assert_eq!(bytes[0], letter);
            assert_eq!(head(bytes[..HEAD].try_into().unwrap()).unwrap(), (kind, 7));
            assert_eq!(&bytes[HEAD..], b"content");
        }
        for broken in [*b"?\0\0\0\0", [b'o', 1, 0, 0, 1]] {
            assert!(head(broken).is_err());
        }
    }
}
