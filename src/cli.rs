//! The command line: every subcommand, option and default in one table.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use gloaming_api::RepoId;

const AFTER: &str = "\
Exit codes: 0 done or passed; 1 blocked, different or broken; 2 wrong use; 3 bowed out; 4 infrastructure failed; \
5 denied; 130 interrupted.

State (caches, object stores) lives under $GLOAMING_HOME, by default in the platform's data and cache folders. \
Nothing else is written but --out and the branch.";

/// File at dusk, review at dawn: a background coding agent that returns a change worth reviewing, or says why
/// there is none.
#[derive(Debug, Parser)]
#[command(name = "gloaming", version, about, after_help = AFTER, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Work on one task: ends in a branch `gloaming/TASK`, or in a bow-out that says why not
    Run(Box<RunArgs>),
    /// Judge a patch, whoever wrote it
    Verify(Box<VerifyArgs>),
    /// Find a repository's build, test and lint commands, and prove them by running them
    Profile(ProfileArgs),
    /// Check and explain policies
    Policy(PolicyArgs),
    /// List, call and make sandboxed tools
    Tools(ToolsArgs),
    /// Lend the sandboxed tools to other agents over the Model Context Protocol
    Mcp(McpArgs),
    /// Measure this machine
    Bench(BenchArgs),
    /// Read and check journals, and undo calls
    Journal(JournalArgs),
    /// Run a journal's attempt again without model or network and compare patch and verdict
    Replay(ReplayArgs),
}

impl Command {
    /// Whether one JSON object is asked for on standard output.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Run(args) => args.json,
            Self::Verify(args) => args.json,
            Self::Profile(args) => args.json,
            Self::Policy(PolicyArgs { command }) => match command {
                PolicyCommand::Check { json, .. } | PolicyCommand::Explain { json, .. } => *json,
                PolicyCommand::Show { .. } | PolicyCommand::New { .. } => false,
            },
            Self::Tools(ToolsArgs { command }) => match command {
                ToolsCommand::List { json, .. }
                | ToolsCommand::Describe { json, .. }
                | ToolsCommand::Add { json, .. }
                | ToolsCommand::Call { json, .. } => *json,
                ToolsCommand::Remove { .. } | ToolsCommand::New { .. } => false,
            },
            Self::Bench(BenchArgs { command: BenchCommand::Tools { json, .. } }) => *json,
            Self::Journal(JournalArgs { command }) => match command {
                JournalCommand::Show { json, .. } | JournalCommand::Verify { json, .. } => *json,
                JournalCommand::Undo(args) => args.json,
            },
            Self::Replay(args) => args.json,
            // Its standard output belongs to the protocol.
            Self::Mcp(_) => false,
        }
    }
}

/// Options of `gloaming run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The repository: a folder, or a URL to clone
    #[arg(long, default_value = ".", value_name = "DIR|URL")]
    pub(crate) repo: String,
    /// The task in words
    #[arg(long, value_name = "TEXT", required_unless_present = "task_file", conflicts_with = "task_file")]
    pub(crate) task: Option<String>,
    /// A file with the task; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) task_file: Option<PathBuf>,
    /// The commit, branch or tag to start from; default: what is checked out
    #[arg(long, value_name = "REF")]
    pub(crate) base: Option<String>,
    /// Where results go; default: a folder of the task under $GLOAMING_HOME
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) policy: PolicyChoice,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Print one JSON object at the end, and nothing else, on standard output, whatever the end
    #[arg(long)]
    pub(crate) json: bool,
}

/// The policy and the name it hangs on.
#[derive(Debug, Args)]
pub(crate) struct PolicyChoice {
    /// The operator's policy; default: preset:standard
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// The name the repository goes by in policies; default: local/FOLDER
    #[arg(long = "as", value_name = "OWNER/NAME")]
    pub(crate) name: Option<RepoId>,
}

/// The model and how to reach it.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// The model, like openai:gpt-5 or anthropic:claude-sonnet-4-5; without one only playbooks work
    #[arg(long, value_name = "PROVIDER:MODEL", env = "GLOAMING_MODEL")]
    pub(crate) model: Option<String>,
    /// The provider's address, for a server that speaks its API
    #[arg(long, value_name = "URL", env = "GLOAMING_MODEL_URL")]
    pub(crate) model_url: Option<String>,
    /// A file with the key; default: OPENAI_API_KEY or ANTHROPIC_API_KEY
    #[arg(long, value_name = "FILE")]
    pub(crate) model_key_file: Option<PathBuf>,
    /// US dollars per million tokens in and out, for a model that is not in the price table
    #[arg(long, value_name = "IN,OUT")]
    pub(crate) model_price: Option<String>,
    /// Ask for whole answers instead of a stream
    #[arg(long)]
    pub(crate) no_stream: bool,
}

/// Options of `gloaming verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The repository
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) repo: PathBuf,
    /// The commit, branch or tag the patch is for; default: what is checked out
    #[arg(long, value_name = "REF")]
    pub(crate) base: Option<String>,
    /// The patch, a unified diff; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) patch: PathBuf,
    /// Where to write evidence.json and patch.diff; default: nowhere
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) policy: PolicyChoice,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `gloaming profile`.
#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    /// The repository
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) repo: PathBuf,
    /// The commit, branch or tag to look at; default: what is checked out
    #[arg(long, value_name = "REF")]
    pub(crate) base: Option<String>,
    /// Only find the commands, do not run them
    #[arg(long)]
    pub(crate) no_run: bool,
    #[command(flatten)]
    pub(crate) policy: PolicyChoice,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check policy files; each error with file, line and column
    Check {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The repository's name that the inline tests are checked for
        #[arg(long = "as", value_name = "OWNER/NAME")]
        name: Option<RepoId>,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Say what a policy decides on a call, like "edit src/lib.rs", and by which rule
    Explain {
        #[command(flatten)]
        policy: PolicyChoice,
        /// The call: a tool and a path, or `check` and build, test or lint
        #[arg(value_name = "CALL")]
        call: String,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Write a commented policy for a repository, ready to be edited
    New {
        /// The repository, or `owner/*` for all of an owner's
        #[arg(value_name = "OWNER/NAME")]
        repo: String,
        /// The preset it narrows: standard, read-only, rust-library, python-service, node-web or docs-only
        #[arg(long, default_value = "standard", value_name = "PRESET")]
        from: String,
        /// The file to write; `-` for standard output [default: OWNER-NAME.toml]
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print a preset, ready to be copied and edited
    Show {
        /// The preset's name
        #[arg(default_value = "standard", value_name = "PRESET")]
        preset: String,
    },
}

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

/// Options of `gloaming mcp`.
#[derive(Debug, Args)]
pub(crate) struct McpArgs {
    /// The folder the tools work on, in place; a git repository's own policy narrows what they may do
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) repo: PathBuf,
    #[command(flatten)]
    pub(crate) policy: PolicyChoice,
    /// Serve over HTTP on this address, like 127.0.0.1:8931; default: standard input and output
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,
    /// A file with the bearer token that HTTP clients must send; needed where others can reach the address
    #[arg(long, value_name = "FILE", requires = "http")]
    pub(crate) token_file: Option<PathBuf>,
    /// Where every call is recorded, a new file; default: a file under $GLOAMING_HOME
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Serve only the tools that change nothing
    #[arg(long)]
    pub(crate) read_only: bool,
}

/// A language that `gloaming tools new` has a template for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// A crate that is built with cargo
    Rust,
    /// A module that is built with jco and componentize-js, from npm
    Javascript,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Measure the sandboxed tools against native programs, in one run
    Tools {
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
        /// The folder to list and search; default: 32,000 files made for the run
        #[arg(long, value_name = "DIR", env = "GLOAMING_BENCH_TREE")]
        tree: Option<PathBuf>,
        /// Few rounds on few files: whether it works, not how fast
        #[arg(long)]
        quick: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct JournalArgs {
    #[command(subcommand)]
    pub(crate) command: JournalCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Tell the story
    Show {
        /// The journal
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Put back what a call changed, where nothing else was changed there since
    Undo(UndoArgs),
    /// Check the chain of hashes
    Verify {
        /// The journal
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
}

/// Options of `gloaming journal undo`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("calls").required(true))]
pub(crate) struct UndoArgs {
    /// The journal
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The call: its number as `gloaming journal show` has it, or its id, like 1.3
    #[arg(value_name = "CALL", group = "calls")]
    pub(crate) call: Option<String>,
    /// Undo this call and all calls after it, as one change
    #[arg(long, value_name = "CALL", group = "calls")]
    pub(crate) since: Option<String>,
    /// The folder, where it has moved; default: where the journal says it is
    #[arg(long, value_name = "DIR")]
    pub(crate) repo: Option<PathBuf>,
    /// A policy that must allow it too, besides the journal's own and the repository's as it is committed now
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Say what would be put back, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `gloaming replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The journal
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The repository; default: where the journal says it was
    #[arg(long, value_name = "DIR")]
    pub(crate) repo: Option<PathBuf>,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_table_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
