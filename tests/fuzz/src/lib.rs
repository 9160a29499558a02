//! What holds for any input, each as a function of bytes: the fuzz targets call them, and so does the replay of
//! the corpus on the stable toolchain (tests/replay.rs).
//!
//! Inputs are text that a person can read and write: parts between lines of `====`, each with a head, its first
//! line, and a body. What is no such text is an input too, of less.
#![forbid(unsafe_code)]

pub mod command;
pub mod decide;
pub mod edit;
pub mod glob;
pub mod import;
pub mod patch;
pub mod path;
mod places;
pub mod policy;
mod tree;

/// Holds an input against all that must be true of it, and panics where it is not.
pub type Check = fn(&[u8]);

/// Every target's name and check.
pub const TARGETS: &[(&str, Check)] = &[
    ("command", command::check),
    ("decide", decide::check),
    ("edit", edit::check),
    ("glob", glob::check),
    ("import", import::check),
    ("patch", patch::check),
    ("path", path::check),
    ("policy", policy::check),
];

/// Splits an input into the heads and bodies of its parts. The newlines around a `====` belong to it.
fn parts(data: &[u8]) -> Vec<(&str, &[u8])> {
    const BORDER: &[u8] = b"\n====\n";
    let mut parts = Vec::new();
    let mut rest = Some(data);
    while let Some(from) = rest {
        let border = from.windows(BORDER.len()).position(|window| window == BORDER);
        let part = &from[..border.unwrap_or(from.len())];
        rest = border.map(|at| &from[at + BORDER.len()..]);
        let head = part.iter().position(|byte| *byte == b'\n').unwrap_or(part.len());
        let body = part.get(head + 1..).unwrap_or_default();
        parts.extend(std::str::from_utf8(&part[..head]).map(|head| (head, body)));
    }
    parts
}
