//! `gloaming tools`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::PolicyChoice;

#[derive(Debug, Args)]
pub(crate) struct ToolsArgs {
    #[command(subcommand)]
    pub(crate) command: ToolsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ToolsCommand {
    /// List the tools with their descriptions
    List {
        #[command(flatten)]
        policy: PolicyChoice,
        /// Print one JSON object on standard output, with the arguments' JSON Schemas
        #[arg(long)]
        json: bool,
    },
    /// Say what a tool is: where it comes from, what it takes, what it may ask of the host
    Describe {
        /// The tool, or a component's file that is not registered
        #[arg(value_name = "NAME|FILE")]
        tool: String,
        /// For a file: the WIT it was made from
        #[arg(long, value_name = "FILE|DIR")]
        wit: Option<PathBuf>,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Register a component: each exported function with a doc comment becomes a tool that policies may allow
    Add {
        /// The component
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The WIT it was made from, where its toolchain lost the doc comments
        #[arg(long, value_name = "FILE|DIR")]
        wit: Option<PathBuf>,
        /// Take the place of registered components that have a tool of the same name
        #[arg(long)]
        replace: bool,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Forget a registered component, with all its tools
    Remove {
        /// One of its tools, or its digest
        #[arg(value_name = "NAME|DIGEST")]
        tool: String,
    },
    /// Make a folder with a tool of your own, ready to build
    New {
        /// The tool's name, like word-count; also the folder's
        #[arg(value_name = "NAME")]
        name: String,
        /// The language it is written in
        #[arg(long, value_enum, default_value_t = Language::Rust)]
        lang: Language,
    },
    /// Call a tool on a folder, in the sandbox and under the policy
    Call {
        /// The tool
        #[arg(value_name = "NAME")]
        tool: String,
        /// The folder it works on
        #[arg(long, default_value = ".", value_name = "DIR")]
        workspace: PathBuf,
        /// The arguments, a JSON object; - for standard input
        #[arg(long, default_value = "{}", value_name = "JSON")]
        args: String,
        #[command(flatten)]
        policy: PolicyChoice,
        /// Use the tool's build against WASI instead of our own interface (read and edit have one)
        #[arg(long)]
        wasi: bool,
        /// Print what the call did (paths, bytes, times) on standard error
        #[arg(long)]
        record: bool,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
}

/// A language that `gloaming tools new` has a template for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// A crate that is built with cargo
    Rust,
    /// A module that is built with jco and componentize-js, from npm
    Javascript,
}
