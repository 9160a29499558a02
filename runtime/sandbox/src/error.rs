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
    /// What the component imports is of the contract by its name, and not by its types.
    #[error("what the component imports is not what this host has by these names")]
    Link(#[source] Box<dyn Error + Send + Sync>),
    /// The component was built against another version of the contract.
    #[error("the component speaks gloaming:tool@{found}, this host gloaming:tool@{CONTRACT}; rebuild it")]
    Version {
        /// What the component imports.
        found: String,
    },
    /// The component's exports, or their types, are not those of a tool.
    #[error("the component is not a tool: {0}")]
    NotATool(String),
    /// A tool of this name is there already.
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

impl SandboxError {
    /// Returns what an author or operator can do about a component that is refused.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Imports(names) => {
                let any = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
                let mut advice = Vec::new();
                if any("wasi:http/") || any("wasi:sockets/") {
                    advice.push(
                        "a tool has no network: build it without (in JavaScript, give componentize-js \
                         `disableFeatures: [\"http\", \"fetch-event\"]`, or all of them for no WASI at all)",
                    );
                }
                if names.iter().any(|name| name.starts_with("wasi:") && !name.contains("@0.2.")) {
                    advice.push("build it against WASI 0.2");
                }
                if any("gloaming:tool/") {
                    advice.push("a newer Gloaming may have what it asks of gloaming:tool");
                }
                if advice.is_empty() {
                    advice.push("leave these imports out of its world, or compose the component with what exports them");
                }
                advice.join("; ")
            }
            Self::Version { .. } | Self::Link(_) => {
                "rebuild it against the WIT of this host: `gloaming tools new NAME` writes it to NAME/wit/deps".into()
            }
            Self::NotATool(_) => {
                "a tool is an exported function with a doc comment; where the toolchain lost those (rustc, \
                 componentize-js and componentize-py do), name the WIT with --wit"
                    .into()
            }
            _ => return None,
        })
    }
}
