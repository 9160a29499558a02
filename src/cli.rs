//! The command line: every subcommand, option and default in one table.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use gloaming_api::RepoId;
use gloaming_api::job::JobPurpose;
use gloaming_jobs::EngineKind;

const AFTER: &str = "\
Exit codes: 0 done or passed; 1 blocked, different, wider, broken or forged; 2 wrong use; 3 bowed out; 4 infrastructure failed; \
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
    /// Prove a repository's commands by running them, and tell what is missing and how ready it is
    Onboard(OnboardArgs),
    /// Show what is known of a repository; commands that were never proved are run
    Profile(ProfileArgs),
    /// Run one command as a job, in a container, and look at the engines that can
    Jobs(JobsArgs),
    /// Hold secrets for jobs; which job is handed one, policy says
    Secrets(SecretsArgs),
    /// Write, check, test, explain, compare and verify policies
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
    /// Read sealed evidence, and check who sealed it
    Evidence(EvidenceArgs),
    /// Fit the weights of the gate's score
    Gate(GateArgs),
}

impl Command {
    /// Whether one JSON object is asked for on standard output.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Run(args) => args.json,
            Self::Verify(args) => args.json,
            Self::Onboard(args) => args.profile.json,
            Self::Profile(args) => args.json,
            Self::Jobs(JobsArgs { command }) => match command {
                JobsCommand::Run(args) => args.json,
                JobsCommand::Doctor { json } => *json,
            },
            Self::Secrets(SecretsArgs { command }) => match command {
                SecretsCommand::List { json } => *json,
                SecretsCommand::Set { .. } | SecretsCommand::Remove { .. } => false,
            },
            Self::Policy(PolicyArgs { command }) => match command {
                PolicyCommand::Check { json, .. }
                | PolicyCommand::Test { json, .. }
                | PolicyCommand::Explain { json, .. }
                | PolicyCommand::Diff { json, .. }
                | PolicyCommand::Learn { json, .. }
                | PolicyCommand::Verify { json, .. }
                | PolicyCommand::Import { json, .. }
                | PolicyCommand::New { json, .. }
                | PolicyCommand::Show { json, .. } => *json,
                PolicyCommand::Schema { .. } | PolicyCommand::Export { .. } => false,
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
            Self::Evidence(EvidenceArgs { command }) => match command {
                EvidenceCommand::Show { json, .. } | EvidenceCommand::Verify { json, .. } => *json,
            },
            Self::Gate(GateArgs { command: GateCommand::Fit(args) }) => args.json,
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
    /// The operator's policy: a file, a folder of files (those for the repository count), or preset:NAME; default:
    /// preset:standard
    #[arg(long, value_name = "FILE|DIR|PRESET")]
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
    /// Where to write evidence.json, findings.sarif, summary.md and patch.diff; default: nowhere
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// The container engine: embedded, docker or podman; default: $GLOAMING_ENGINE, else the first that works
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<EngineKind>,
    /// Build and test the untouched tree again, whatever was seen of it before
    #[arg(long)]
    pub(crate) again: bool,
    #[command(flatten)]
    pub(crate) policy: PolicyChoice,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `gloaming onboard`.
#[derive(Debug, Args)]
pub(crate) struct OnboardArgs {
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Run every command again, whatever was proved before
    #[arg(long, conflicts_with = "no_run")]
    pub(crate) again: bool,
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
    /// The operator's corrections of what is found; they win over the repository's own .gloaming/profile.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) corrections: Option<PathBuf>,
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
        /// The files, or folders of them
        #[arg(required = true, value_name = "FILE|DIR")]
        files: Vec<PathBuf>,
        /// The repository's name that the inline tests are checked for
        #[arg(long = "as", value_name = "OWNER/NAME")]
        name: Option<RepoId>,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Run the inline tests of policy files; exit 1 when one fails
    Test {
        /// The files, or folders of them
        #[arg(required = true, value_name = "FILE|DIR")]
        files: Vec<PathBuf>,
        /// Name the rules that decided no test
        #[arg(long)]
        coverage: bool,
        /// The repository's name that the tests are run for
        #[arg(long = "as", value_name = "OWNER/NAME")]
        name: Option<RepoId>,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Say what a policy decides on a call, like "edit src/lib.rs", by which rule, and what would turn it round
    Explain {
        /// The repository: a folder, whose own policy counts too, or a name
        #[arg(long, value_name = "DIR|OWNER/NAME")]
        repo: Option<String>,
        #[command(flatten)]
        policy: PolicyChoice,
        /// The call: a tool and a path, or `check` and build, test or lint, with a command where that is in question.
        /// Other questions: connect test HOST, env test NAME, submit ASKER WHAT, model PROVIDER:MODEL
        #[arg(value_name = "CALL")]
        call: String,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// List what a new policy allows and an old one does not, and the other way; exit 1 when it allows anything more
    Diff {
        /// The policy as it was: a file, a folder of files, or preset:NAME
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// The policy as it will be
        #[arg(value_name = "NEW")]
        new: PathBuf,
        /// The repository whose files are asked about
        #[arg(long, value_name = "DIR")]
        tree: Option<PathBuf>,
        /// Journals whose calls are decided by both, or folders of them
        #[arg(long, value_name = "JOURNAL|DIR", num_args = 1..)]
        history: Vec<PathBuf>,
        /// The repository's name; default: one that the new policy is for
        #[arg(long = "as", value_name = "OWNER/NAME")]
        name: Option<RepoId>,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Write the tightest policy under which what journals tell would have happened
    Learn {
        /// The journals, or folders of them
        #[arg(long, required = true, value_name = "JOURNAL|DIR", num_args = 1..)]
        from: Vec<PathBuf>,
        /// The repository, for naming folders of which every file was used; default: where the journals say it is
        #[arg(long, value_name = "DIR")]
        repo: Option<PathBuf>,
        /// The file to write; `-` for standard output
        #[arg(long, short, default_value = "-", value_name = "FILE")]
        out: PathBuf,
        /// The repository's name; default: the one the journals have
        #[arg(long = "as", value_name = "OWNER/NAME")]
        name: Option<RepoId>,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Try every rule in a scratch copy, through the real tools and a real container; exit 1 when one does not hold
    Verify {
        /// The repository
        #[arg(long, default_value = ".", value_name = "DIR")]
        repo: PathBuf,
        #[command(flatten)]
        policy: PolicyChoice,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of policy files, for editors
    Schema {
        /// The file to write; `-` for standard output
        #[arg(long, short, default_value = "-", value_name = "FILE")]
        out: PathBuf,
    },
    /// Translate a policy, with its layers, for other tools
    Export {
        /// Cedar policies and their schema, for formal analysis
        #[arg(long, required = true)]
        cedar: bool,
        /// The repository: a folder, whose own policy counts too, or a name
        #[arg(long, value_name = "DIR|OWNER/NAME")]
        repo: Option<String>,
        #[command(flatten)]
        policy: PolicyChoice,
        /// The folder to write policy.cedar and policy.cedarschema into; default: the policies, on standard output
        #[arg(long, short, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Make a policy of another agent's permissions, and tell what did not carry over
    Import {
        /// Whose they are
        #[arg(value_enum, value_name = "AGENT")]
        from: Agent,
        /// The file: Claude Code's settings.json, Codex's config.toml or .rules, Gemini's policy TOML, goose's
        /// permission.yaml
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The policy to write; `-` for standard output, the report then goes to standard error
        #[arg(long, short, default_value = "-", value_name = "FILE")]
        out: PathBuf,
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
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Print a preset, ready to be copied and edited, or the whole policy that counts for a repository
    Show {
        /// The preset's name
        #[arg(value_name = "PRESET", conflicts_with_all = ["repo", "policy", "name"])]
        preset: Option<String>,
        /// The repository: a folder, whose own policy counts too, or a name
        #[arg(long, value_name = "DIR|OWNER/NAME")]
        repo: Option<String>,
        #[command(flatten)]
        policy: PolicyChoice,
        /// Print the grant: the compiled policy of all layers as one JSON object, with its digest
        #[arg(long, conflicts_with = "preset")]
        json: bool,
    },
}

/// An agent whose permissions can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Agent {
    /// Claude Code: settings.json
    Claude,
    /// Codex: config.toml or a .rules file
    Codex,
    /// Gemini CLI: a policy TOML
    Gemini,
    /// goose: permission.yaml
    Goose,
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

#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    #[command(subcommand)]
    pub(crate) command: JobsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// Try every container engine here: what each holds a job to, and what to do about one that does not work
    Doctor {
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Run a command of the profile, or one of your own for the same purpose, as an attempt would
    Run(Box<JobsRunArgs>),
}

/// Options of `gloaming jobs run`.
#[derive(Debug, Args)]
pub(crate) struct JobsRunArgs {
    /// What for: setup, build, test or lint
    #[arg(value_name = "PURPOSE", value_parser = purpose)]
    pub(crate) purpose: JobPurpose,
    /// The command, where it is not to be the profile's
    #[arg(value_name = "COMMAND", last = true)]
    pub(crate) argv: Vec<String>,
    /// The repository
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) repo: PathBuf,
    /// The commit, branch or tag to run on; default: what is checked out
    #[arg(long, value_name = "REF")]
    pub(crate) base: Option<String>,
    /// The container engine: embedded, docker or podman; default: $GLOAMING_ENGINE, else the first that works
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<EngineKind>,
    #[command(flatten)]
    pub(crate) policy: PolicyChoice,
    /// Print the job's record as one JSON object on standard output, and its output nowhere else
    #[arg(long)]
    pub(crate) json: bool,
}

fn purpose(text: &str) -> Result<JobPurpose, String> {
    let all = JobPurpose::ALL;
    all.iter().copied().find(|purpose| purpose.as_str() == text).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|purpose| purpose.as_str()).collect();
        format!("it is one of {}", names.join(", "))
    })
}

#[derive(Debug, Args)]
pub(crate) struct SecretsArgs {
    #[command(subcommand)]
    pub(crate) command: SecretsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Hold a secret, or replace it; the value is never a word of the command line
    Set {
        /// Its name, that of the variable jobs find it in
        #[arg(value_name = "NAME")]
        name: String,
        /// A file with the value; - for standard input
        #[arg(long, default_value = "-", value_name = "FILE")]
        file: PathBuf,
    },
    /// List the names
    List {
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Forget a secret
    Remove {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
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

#[derive(Debug, Args)]
pub(crate) struct EvidenceArgs {
    #[command(subcommand)]
    pub(crate) command: EvidenceCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Tell what was seen and decided; the signature is checked where its key is at hand
    Show {
        /// The evidence; - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The public key of whoever sealed it; default: this machine's own
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Check that it is what the holder of a key sealed, and that the gate decides the same; exit 1 when not
    Verify {
        /// The evidence; - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The public key of whoever sealed it; default: this machine's own
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct GateArgs {
    #[command(subcommand)]
    pub(crate) command: GateCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GateCommand {
    /// Fit the weights to outcomes: what spoke against each patch and whether it was merged
    Fit(FitArgs),
}

/// Options of `gloaming gate fit`.
#[derive(Debug, Args)]
pub(crate) struct FitArgs {
    /// The outcomes, one JSON object a line; - for standard input
    #[arg(value_name = "DATA")]
    pub(crate) data: PathBuf,
    /// The public key that sealed evidence among them is checked by
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// The weights that the fit starts from and is drawn to; default: this build's
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// How strongly weights are drawn to what they were
    #[arg(long, default_value_t = 0.25, value_name = "NUMBER")]
    pub(crate) l2: f64,
    /// How many parts the outcomes are divided into for measuring
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    pub(crate) folds: usize,
    /// The file to write; `-` for standard output, the report then goes to standard error
    #[arg(long, short, default_value = "-", value_name = "FILE")]
    pub(crate) out: PathBuf,
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
