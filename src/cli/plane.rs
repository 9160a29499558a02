//! `gloaming serve`, `control`, `worker`, `task`, `token`, and what an operator does beside: `init`, `stats`, `doctor`, `backup`,
//! `restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gloaming_api::access::{RepoPattern, Scope};
use gloaming_api::task::TaskState;
use gloaming_api::{RepoId, TaskId};

/// Which control plane is asked, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlaneArgs {
    /// The control plane's address; default: the one that `gloaming serve` started on this machine
    #[arg(long, value_name = "URL", env = "GLOAMING_CONTROL")]
    pub(crate) control: Option<String>,
    /// A file with the token; default: $GLOAMING_TOKEN, else the one that `gloaming serve` left for this machine's owner
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// Options of `gloaming worker`.
#[cfg(feature = "worker")]
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) plane: PlaneArgs,
    /// The worker's name, unique among the control plane's; default: the host's name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// What this worker has, beside its engine and architecture; tasks may ask for it. May be given several times
    #[arg(long = "label", value_name = "LABEL")]
    pub(crate) labels: Vec<String>,
    /// How many attempts run at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) jobs: u32,
    /// The policies of this worker's operator, which narrow what a control plane sends: a file, a folder or preset:NAME
    #[arg(long, value_name = "FILE|DIR|PRESET")]
    pub(crate) policy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) model: super::run::ModelArgs,
    /// The reviewer's model, where it is another than the coder's
    #[arg(long, value_name = "PROVIDER:MODEL[,...]", env = "GLOAMING_REVIEW_MODEL")]
    pub(crate) review_model: Option<String>,
    /// End after one attempt
    #[arg(long)]
    pub(crate) once: bool,
}

/// Options of `gloaming serve` and `gloaming control`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on, like 127.0.0.1:8787; default: what the configuration says, else 127.0.0.1:8787
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// The configuration; default: gloaming.toml under $GLOAMING_HOME, and none where that is not there
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object with the address once it listens
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    #[command(flatten)]
    pub(crate) plane: PlaneArgs,
    #[command(subcommand)]
    pub(crate) command: TaskCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Ask for a task; prints its id
    Submit(Box<SubmitArgs>),
    /// Have a worker find a repository's commands and prove them by running them; prints the task's id
    Onboard {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        repo: RepoId,
        /// A key of your own: the same request with the same key is the same task
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// Tell what happens to it until it ends
        #[arg(long)]
        watch: bool,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// List tasks, the newest first
    List {
        /// Of this repository alone
        #[arg(long, value_name = "OWNER/NAME")]
        repo: Option<RepoId>,
        /// In this state alone
        #[arg(long, value_name = "STATE", value_parser = state)]
        state: Option<TaskState>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Show a task
    Show {
        /// The task
        #[arg(value_name = "TASK")]
        task: TaskId,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Tell what happens to a task until it ends; exits as `gloaming run` would
    Watch {
        /// The task
        #[arg(value_name = "TASK")]
        task: TaskId,
        /// Print one JSON object for each event, a line each
        #[arg(long)]
        json: bool,
    },
    /// Stop a task
    Cancel {
        /// The task
        #[arg(value_name = "TASK")]
        task: TaskId,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Put a task that ended without a pull request back into the queue
    Retry {
        /// The task
        #[arg(value_name = "TASK")]
        task: TaskId,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// List what was to be done outside (a pull request, a comment, a message, a webhook) and was given up
    Dead {
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Try again what was given up
    Revive {
        /// Its number, as `dead` shows it
        #[arg(value_name = "NUMBER")]
        id: i64,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Write what a task left to standard output
    Get {
        /// The task
        #[arg(value_name = "TASK")]
        task: TaskId,
        /// What of it
        #[arg(value_enum, value_name = "WHAT")]
        what: Left,
    },
}

/// What a task leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Left {
    /// The patch
    Patch,
    /// The signed evidence
    Evidence,
    /// The journal of its latest attempt
    Trajectory,
    /// What the gate decided
    Verdict,
    /// The work of an attempt that bowed out, where it came so far; it is on no branch
    Partial,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The repository
    #[arg(value_name = "OWNER/NAME")]
    pub(crate) repo: RepoId,
    /// The task in words; - for standard input
    #[arg(value_name = "TEXT")]
    pub(crate) text: String,
    /// The branch, tag or commit to start from; default: the repository's default branch
    #[arg(long, value_name = "REF")]
    pub(crate) base: Option<String>,
    /// Higher goes first among the tasks of the same repository
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i32).range(-100..=100), allow_hyphen_values = true)]
    pub(crate) priority: i32,
    /// Not before this time, like 2026-03-01T06:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) not_before: Option<jiff::Timestamp>,
    /// Takes the place of a task of the repository that was asked for with the same key and has not ended
    #[arg(long, value_name = "KEY")]
    pub(crate) supersede: Option<String>,
    /// A label that the worker must have; may be given several times
    #[arg(long = "needs", value_name = "LABEL")]
    pub(crate) needs: Vec<String>,
    /// The most it may cost, US dollars
    #[arg(long, value_name = "USD")]
    pub(crate) cost: Option<f64>,
    /// A key of your own: the same request with the same key is the same task
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Tell what happens to it until it ends
    #[arg(long)]
    pub(crate) watch: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    pub(crate) plane: PlaneArgs,
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, once
    Create {
        /// What it is for: read, submit, worker or admin; may be given several times
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<Scope>,
        /// The repositories it is for: *, owner/* or owner/name; may be given several times
        #[arg(long = "repo", value_name = "PATTERN", required = true)]
        repos: Vec<RepoPattern>,
        /// How long it is taken, like 90d or 12h; default: for ever
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// What it is called; tasks asked for with it say so. Default: made of its scopes
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// List tokens, without their secrets
    List {
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token
    Revoke {
        /// Its id, as `list` shows it
        #[arg(value_name = "ID")]
        id: String,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
}

/// Options of `gloaming stats`.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    pub(crate) plane: PlaneArgs,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `gloaming doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The configuration; default: gloaming.toml under $GLOAMING_HOME, and none where that is not there
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `gloaming backup` and `gloaming restore`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The copy's file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `gloaming init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The configuration to write, a new file; default: gloaming.toml under $GLOAMING_HOME
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The address to listen on
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// Where workers clone from, {repo} in the place of owner/name; else through the control plane
    #[arg(long, value_name = "URL")]
    pub(crate) clone: Option<String>,
    /// The id of the GitHub App
    #[arg(long, value_name = "ID", requires = "github_key_file", conflicts_with = "github_token_file")]
    pub(crate) github_app: Option<u64>,
    /// A file with the App's private key, which is copied
    #[arg(long, value_name = "FILE", requires = "github_app")]
    pub(crate) github_key_file: Option<PathBuf>,
    /// A file with a token for GitHub, in the place of an App, which is copied
    #[arg(long, value_name = "FILE")]
    pub(crate) github_token_file: Option<PathBuf>,
    /// The address of GitHub Enterprise's API, like https://HOST/api/v3
    #[arg(long, value_name = "URL")]
    pub(crate) github_api: Option<String>,
    /// The model of the worker beside
    #[arg(long, value_name = "PROVIDER:MODEL[,...]")]
    pub(crate) model: Option<String>,
    /// A file with the model's key, which is copied
    #[arg(long, value_name = "FILE", requires = "model")]
    pub(crate) model_key_file: Option<PathBuf>,
    /// How many attempts run at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) jobs: Option<u32>,
    /// Ask nothing: what is not given is as it is by default
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

fn state(name: &str) -> Result<TaskState, String> {
    TaskState::named(name).ok_or_else(|| {
        let all: Vec<&str> = TaskState::ALL.iter().map(|state| state.as_str()).collect();
        format!("there are {}", all.join(", "))
    })
}
