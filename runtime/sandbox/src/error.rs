//! What can go wrong before a tool runs. What goes wrong while it runs is the call's outcome.

use std::error::Error;
use std::io;
use std::path::PathBuf;

/// The version of the package `gloaming:tool` that this host speaks.
pub(crate) const CONTRACT: &str = "0.1.0";

/// Why the sandbox could not be made, a component could not be registered or a workspace not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine could not be set up.
    #[error("cannot set up the WASM engine")]
    Engine(#[source] Box<dyn Error + Send + Sync>),
    /// The bytes are not a component, or one that cannot be compiled.
    #[error("cannot read the component")]
    Component(#[source] Box<dyn Error + Send + Sync>),
    /// The WIT given beside a component cannot be read.
    #[error("cannot read the component's WIT")]
    Wit(#[source] Box<dyn Error + Send + Sync>),
    /// The component imports what no grant could give; all of it is named.
    #[error(
        "the component imports what no grant can give: {}; a tool may import workspace, changes, base, log and \
         types of gloaming:tool@{CONTRACT}, and cli, clocks, filesystem, io and random of wasi 0.2",
        .0.join(", ")
    )]
    Imports(Vec<String>),
    /// The component was built against another version of the contract.
    #[error("the component speaks gloaming:tool@{found}, this host gloaming:tool@{CONTRACT}; rebuild it")]
    Version {
        /// What the component imports.
        found: String,
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
