//! `gloaming export`, `gloaming import` and `gloaming outcome`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::PolicyChoice;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    pub(crate) command: ImportCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Make the calls of a SWE-agent trajectory again with our tools, and compare every answer
    Traj(ImportTrajArgs),
}

/// Options of `gloaming import traj`.
#[derive(Debug, Args)]
pub(crate) struct ImportTrajArgs {
    /// The trajectory, a .traj file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The repository it worked on
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) repo: PathBuf,
    /// The commit, branch or tag it began from; default: what is checked out
    #[arg(long, value_name = "REF")]
    pub(crate) base: Option<String>,
    /// Where to write report.json, report.md and patch.diff, a new or empty folder; default: nowhere
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) policy: PolicyChoice,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `gloaming export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Out folders of runs, or folders that hold some
    #[arg(value_name = "OUT", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// The form
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) format: ExportFormat,
    /// Where to write: a file, for `chat` and `preferences` a folder, for `atif` of several runs a folder; default: standard
    /// output, where that is one document
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) to: Option<PathBuf>,
    /// Print one JSON object on standard output: what was written, and what was left out and why
    #[arg(long, requires = "to")]
    pub(crate) json: bool,
}

/// A form that runs are exported in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Trajectories in the Agent Trajectory Interchange Format, version 1.7
    Atif,
    /// Patches as SWE-bench's harness reads them, a preds.json
    Preds,
    /// Conversations of merged runs as chat messages, for fine-tuning: data.jsonl and DATASHEET.md
    Chat,
    /// Pairs of a better and a worse run of the same task: data.jsonl and DATASHEET.md
    Preferences,
    /// Evidence and whether it was merged, for `gloaming gate fit`
    Outcomes,
}

/// Options of `gloaming outcome`.
#[derive(Debug, Args)]
pub(crate) struct OutcomeArgs {
    /// The out folder of a run that ended in a branch
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// What became of it; without it, what is recorded is shown
    #[arg(value_enum, value_name = "OUTCOME")]
    pub(crate) outcome: Option<OutcomeChoice>,
    /// Why, in a few words
    #[arg(long, value_name = "TEXT", requires = "outcome")]
    pub(crate) reason: Option<String>,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a person did with a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutcomeChoice {
    /// It was merged
    Merged,
    /// It was closed without being merged
    Closed,
    /// It was merged, and taken back later
    Reverted,
}
