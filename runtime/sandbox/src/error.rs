//! What can go wrong before a tool runs. What goes wrong while it runs is the call's outcome.

use std::io;
use std::path::PathBuf;

/// Why the sandbox could not be made, a component could not be registered or a workspace not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine refused its configuration.
    #[error("cannot set up the WASM engine")]
    Engine(#[source] wasmtime::Error),
    /// The bytes are not a component, or one that cannot be compiled.
    #[error("cannot read the component")]
    Component(#[source] wasmtime::Error),
    /// The component imports what no grant can give.
    #[error(
        "the component imports what no grant can give: {}; a tool may import gloaming:tool/{{types,workspace,changes,log}} and wasi:{{cli,clocks,filesystem,io,random}} 0.2",
        .0.join(", ")
    )]
    Imports(Vec<String>),
    /// The component was built against another version of the contract.
    #[error("the component speaks gloaming:tool@{found}, this host gloaming:tool@{supported}; rebuild it")]
    Version {
        /// What the component imports.
        found: String,
        /// What the host has.
        supported: &'static str,
    },
    /// The component's exports, or their types, are not those of a tool.
    #[error("the component is not a tool: {0}")]
    NotATool(String),
    /// A tool of this name is registered already.
    #[error("a tool named {0} is registered already")]
    Duplicate(String),
    /// A folder could not be opened as a workspace.
    #[error("cannot open the workspace {}", .path.display())]
    Workspace {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}
