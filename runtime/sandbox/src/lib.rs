//! The WASM host for tools: one fresh instance per call, files only through one host function.
//!
//! What it is not: it does not choose which tool to call, makes no policy (it asks the permit it is
//! handed), and runs no process.
//!
//! Invariants:
//! - a tool runs only with a [`ToolPermit`](gloaming_policies::ToolPermit) that names it, and every path it
//!   touches is decided by that permit, whichever interface the tool was built against;
//! - no path is opened but beneath the workspace's directory handle, through no symbolic link, and only
//!   when it is a regular file with one link;
//! - a call ends at its deadline, and a tool that traps, loops, panics or grows costs that call only;
//! - a change of files happens whole or not at all.
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "loading compiled components is unsafe in wasmtime; see the module")]
mod cache;
mod call;
mod control;
mod convert;
mod engine;
mod error;
mod files;
mod host;
mod interface;
pub mod measure;
mod output;
mod registry;
mod space;
mod store;
mod wasi;
mod wit;

use std::path::PathBuf;
use std::time::Duration;

use gloaming_api::Digest;

pub use call::Call;
pub use control::{Control, Seen};
pub use error::SandboxError;
pub use files::{Base, BaseError, BaseFile, CallToUndo, Disturbed, Files, ImageError, UndoError, UndoPlan};
pub use interface::LeftOut;
pub use registry::{Inspected, Sandbox, inspect};
pub use store::{NewComponent, StoreError, StoredComponent, ToolStore};
pub use wit::{Wit, contract_files};

/// How the sandbox is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where compiled components are kept between runs (made with mode 0700); none compiles them anew.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of linear memory one call may use. Default 256 MiB.
    pub memory: u64,
    /// How long one call may take, from the moment it has its place. Default 10 s.
    pub deadline: Duration,
    /// How many calls may run at once; more wait. Default 32.
    pub max_instances: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_dir: None, memory: 256 << 20, deadline: Duration::from_secs(10), max_instances: 32 }
    }
}

/// Returns the digest a component is registered and pinned by.
pub fn component_digest(bytes: &[u8]) -> Digest {
    Digest::of(bytes)
}
