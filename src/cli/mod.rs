//! The command line: every subcommand, option and default in one place.

#[cfg(feature = "worker")]
mod jobs;
#[cfg(feature = "worker")]
mod journal;
mod judge;
#[cfg(feature = "worker")]
mod models;
mod plane;
#[cfg(feature = "worker")]
mod policy;
#[cfg(feature = "worker")]
mod run;
#[cfg(feature = "worker")]
mod tools;
#[cfg(feature = "worker")]
mod trajectory;

#[cfg(feature = "worker")]
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use gloaming_api::RepoId;
use gloaming_api::journal::PolicyLayerText;

#[cfg(feature = "worker")]
pub(crate) use self::jobs::{JobsArgs, JobsCommand, JobsRunArgs, SecretsArgs, SecretsCommand};
#[cfg(feature = "worker")]
pub(crate) use self::journal::{JournalArgs, JournalCommand, ReplayArgs, Swap, UndoArgs};
pub(crate) use self::judge::{EvidenceArgs, EvidenceCommand, FitArgs, GateArgs, GateCommand, WeightsOf};
#[cfg(feature = "worker")]
pub(crate) use self::judge::{GateShowArgs, VerifyArgs};
#[cfg(feature = "worker")]
pub(crate) use self::models::{ModelsArgs, ModelsCommand, ModelsTestArgs};
pub(crate) use self::plane::{
    BackupArgs, DoctorArgs, EngineName, InitArgs, Left, LogFormat, PlaneArgs, ServeArgs, StatsArgs,
    SubmitArgs, TaskArgs, TaskCommand, TokenArgs, TokenCommand,
};
#[cfg(feature = "worker")]
pub(crate) use self::plane::{LogArgs, WorkerArgs};
#[cfg(feature = "worker")]
pub(crate) use self::policy::{Agent, PolicyArgs, PolicyCommand};
#[cfg(feature = "worker")]
pub(crate) use self::run::{
    ModelArgs, OnboardArgs, ProfileArgs, ReachArgs, ResumeArgs, RunArgs, TeamChoice, ToolsBy,
};
#[cfg(feature = "worker")]
pub(crate) use self::tools::{Language, ToolsArgs, ToolsCommand};
#[cfg(feature = "worker")]
pub(crate) use self::trajectory::{
    ExportArgs, ExportFormat, ImportArgs, ImportCommand, ImportTrajArgs, OutcomeArgs, OutcomeChoice,
};

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
    #[cfg(feature = "worker")]
    Run(Box<RunArgs>),
    /// Go on with a run whose process died, from its out folder
    #[cfg(feature = "worker")]
    Resume(ResumeArgs),
    /// Judge a patch, whoever wrote it
    #[cfg(feature = "worker")]
    Verify(Box<VerifyArgs>),
    /// Prove a repository's commands by running them, and tell what is missing and how ready it is
    #[cfg(feature = "worker")]
    Onboard(OnboardArgs),
    /// Show what is known of a repository; commands that were never proved are run
    #[cfg(feature = "worker")]
    Profile(ProfileArgs),
    /// Run one command as a job, in a container, and look at the engines that can
    #[cfg(feature = "worker")]
    Jobs(JobsArgs),
    /// Hold secrets for jobs; which job is handed one, policy says
    #[cfg(feature = "worker")]
    Secrets(SecretsArgs),
    /// Write, check, test, explain, compare and verify policies
    #[cfg(feature = "worker")]
    Policy(PolicyArgs),
    /// List, call and make sandboxed tools
    #[cfg(feature = "worker")]
    Tools(ToolsArgs),
    /// Check a model end to end, and show what models cost
    #[cfg(feature = "worker")]
    Models(ModelsArgs),
    /// Show what the runs of a day have spent together, and what they may
    #[cfg(feature = "worker")]
    Budget(BudgetArgs),
    /// Lend the sandboxed tools to other agents over the Model Context Protocol
    #[cfg(feature = "worker")]
    Mcp(McpArgs),
    /// Measure this machine
    #[cfg(feature = "worker")]
    Bench(BenchArgs),
    /// Read and check journals, and undo calls
    #[cfg(feature = "worker")]
    Journal(JournalArgs),
    /// Run a journal's attempt again, without model and jobs, and compare it event by event
    #[cfg(feature = "worker")]
    Replay(ReplayArgs),
    /// Write runs in the forms of others: trajectories, predictions, training data
    #[cfg(feature = "worker")]
    Export(ExportArgs),
    /// Make what another agent did again with our tools, and compare
    #[cfg(feature = "worker")]
    Import(ImportArgs),
    /// Record what became of a run's branch: merged, closed or reverted
    #[cfg(feature = "worker")]
    Outcome(OutcomeArgs),
    /// Write a configuration for the control plane, asking on a terminal for what no option says
    Init(InitArgs),
    /// Run the control plane and a worker in one process; needs no configuration
    #[cfg(feature = "worker")]
    Serve(ServeArgs),
    /// Run the control plane alone; workers come to it
    Control(ServeArgs),
    /// Take tasks of a control plane and work on them
    #[cfg(feature = "worker")]
    Worker(Box<WorkerArgs>),
    /// Ask a control plane for tasks, and see what becomes of them
    Task(TaskArgs),
    /// Make, list and revoke a control plane's tokens
    Token(TokenArgs),
    /// Show what came of a control plane's tasks: pull requests, why there was none, and what it cost
    Stats(StatsArgs),
    /// Say what of this machine's control plane works, what does not, and what to do about it
    Doctor(DoctorArgs),
    /// Copy the control plane's database, while it is being used
    Backup(BackupArgs),
    /// Make the control plane's database of a copy, where there is none
    Restore(BackupArgs),
    /// Read sealed evidence, and check who sealed it
    Evidence(EvidenceArgs),
    /// Show what patches are judged by, and fit the weights of the score
    Gate(GateArgs),
}

impl Command {
    /// Returns how the log of what goes on until it is stopped is written; none where the command ends by itself.
    pub(crate) fn log(&self) -> Option<LogFormat> {
        match self {
            #[cfg(feature = "worker")]
            Self::Serve(args) => Some(args.log.format),
            Self::Control(args) => Some(args.log.format),
            #[cfg(feature = "worker")]
            Self::Worker(args) => Some(args.log.format),
            _ => None,
        }
    }

    /// Whether one JSON object is asked for on standard output.
    pub(crate) fn json(&self) -> bool {
        match self {
            #[cfg(feature = "worker")]
            Self::Run(args) => args.json,
            #[cfg(feature = "worker")]
            Self::Resume(args) => args.json,
            #[cfg(feature = "worker")]
            Self::Verify(args) => args.json,
            #[cfg(feature = "worker")]
            Self::Onboard(args) => args.profile.json,
            #[cfg(feature = "worker")]
            Self::Profile(args) => args.json,
            #[cfg(feature = "worker")]
            Self::Jobs(JobsArgs { command }) => match command {
                JobsCommand::Run(args) => args.json,
                JobsCommand::Doctor { json } => *json,
            },
            #[cfg(feature = "worker")]
            Self::Budget(args) => args.json,
            #[cfg(feature = "worker")]
            Self::Secrets(SecretsArgs { command }) => match command {
                SecretsCommand::List { json } => *json,
                SecretsCommand::Set { .. } | SecretsCommand::Remove { .. } => false,
            },
            #[cfg(feature = "worker")]
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
            #[cfg(feature = "worker")]
            Self::Tools(ToolsArgs { command }) => match command {
                ToolsCommand::List { json, .. }
                | ToolsCommand::Describe { json, .. }
                | ToolsCommand::Add { json, .. }
                | ToolsCommand::Call { json, .. } => *json,
                ToolsCommand::Remove { .. } | ToolsCommand::New { .. } => false,
            },
            #[cfg(feature = "worker")]
            Self::Models(ModelsArgs { command }) => match command {
                ModelsCommand::Test(args) => args.json,
                ModelsCommand::List { json } => *json,
            },
            #[cfg(feature = "worker")]
            Self::Bench(BenchArgs { command: BenchCommand::Tools { json, .. } }) => *json,
            #[cfg(feature = "worker")]
            Self::Journal(JournalArgs { command }) => match command {
                JournalCommand::Show { json, .. } | JournalCommand::Verify { json, .. } => *json,
                JournalCommand::Undo(args) => args.json,
            },
            #[cfg(feature = "worker")]
            Self::Replay(args) => args.json,
            #[cfg(feature = "worker")]
            Self::Export(args) => args.json,
            #[cfg(feature = "worker")]
            Self::Outcome(args) => args.json,
            #[cfg(feature = "worker")]
            Self::Import(ImportArgs { command: ImportCommand::Traj(args) }) => args.json,
            Self::Evidence(EvidenceArgs { command }) => match command {
                EvidenceCommand::Show { json, .. } | EvidenceCommand::Verify { json, .. } => *json,
            },
            Self::Gate(GateArgs { command }) => match command {
                GateCommand::Fit(args) => args.json,
                #[cfg(feature = "worker")]
                GateCommand::Show(args) => args.json,
            },
            Self::Task(TaskArgs { command, .. }) => match command {
                TaskCommand::Submit(args) => args.json,
                TaskCommand::Onboard { json, .. }
                | TaskCommand::List { json, .. }
                | TaskCommand::Show { json, .. }
                | TaskCommand::Watch { json, .. }
                | TaskCommand::Cancel { json, .. }
                | TaskCommand::Retry { json, .. }
                | TaskCommand::Dead { json }
                | TaskCommand::Revive { json, .. } => *json,
                TaskCommand::Get { .. } => false,
            },
            Self::Token(TokenArgs { command, .. }) => match command {
                TokenCommand::Create { json, .. }
                | TokenCommand::List { json }
                | TokenCommand::Revoke { json, .. } => *json,
            },
            #[cfg(feature = "worker")]
            Self::Serve(args) => args.json,
            Self::Control(args) => args.json,
            Self::Init(args) => args.json,
            Self::Stats(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Backup(args) | Self::Restore(args) => args.json,
            #[cfg(feature = "worker")]
            Self::Worker(_) => false,
            // Its standard output belongs to the protocol.
            #[cfg(feature = "worker")]
            Self::Mcp(_) => false,
        }
    }
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
    /// What a control plane sent along with the task, beside which the file named here can only narrow
    #[arg(skip)]
    pub(crate) sent: Vec<PolicyLayerText>,
}

#[cfg(feature = "worker")]
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

#[cfg(feature = "worker")]
/// Options of `gloaming budget`.
#[derive(Debug, Args)]
pub(crate) struct BudgetArgs {
    /// The day, by UTC, like 2026-03-01; default: today
    #[arg(long, value_name = "DATE")]
    pub(crate) day: Option<jiff::civil::Date>,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "worker")]
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[cfg(feature = "worker")]
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_table_is_consistent() {
        super::Cli::command().debug_assert();
    }

    /// Each command of a page's shell blocks is one of this program's, with options that it takes.
    #[cfg(feature = "worker")]
    #[test]
    fn what_pages_tell_to_type_can_be_typed() {
        use clap::Parser as _;

        let pages = [
            ("README.md", include_str!("../../README.md")),
            ("operations.md", include_str!("../../docs/operations.md")),
            ("github.md", include_str!("../../docs/github.md")),
            ("slack.md", include_str!("../../docs/slack.md")),
            ("webhooks.md", include_str!("../../docs/webhooks.md")),
            ("api.md", include_str!("../../docs/api.md")),
            ("onboarding.md", include_str!("../../docs/onboarding.md")),
            ("store.md", include_str!("../../docs/store.md")),
            ("evidence.md", include_str!("../../docs/evidence.md")),
        ];
        let mut typed = 0;
        for (page, text) in pages {
            let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
            for line in blocks.flat_map(str::lines) {
                // What stands in for words of the reader's, and what the shell makes of the rest.
                let line = line.replace("$(date +%F)", "DATE").replace(" TASK", " t-01a21e65d60776308abc");
                let line = line.replace(" NUMBER", " 7");
                let Some(words) = shell_words::split(line.split(" #").next().unwrap_or_default()).ok() else {
                    panic!("{page}: {line}")
                };
                for command in words.split(|word| matches!(word.as_str(), "&&" | "|" | "<" | ";")) {
                    // Behind variables, and as the user of the same name.
                    let at = (0..command.len()).find(|at| {
                        command[*at] == "gloaming" && !command[..*at].ends_with(&["-u".to_owned()])
                    });
                    let Some(at) = at else { continue };
                    let leads = |word: &String| {
                        word.contains('=') || ["sudo", "env", "-u", "gloaming"].contains(&word.as_str())
                    };
                    if !command[..at].iter().all(leads) {
                        continue;
                    }
                    let parsed = super::Cli::try_parse_from(&command[at..]);
                    parsed.unwrap_or_else(|error| panic!("{page}: {line}\n{error}"));
                    typed += 1;
                }
            }
        }
        assert!(typed > 50, "{typed}");
    }
}
