//! `gloaming journal` and `gloaming replay`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
    /// The repository; default: the base that is kept beside the journal, else where the journal says it was
    #[arg(long, value_name = "DIR")]
    pub(crate) repo: Option<PathBuf>,
    /// Decide the recorded run anew by other weights of the gate, or by another policy of the operator's, instead of
    /// replaying it
    #[arg(long, value_name = "gate=FILE|policy=FILE")]
    pub(crate) swap: Vec<Swap>,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a recorded run is decided by instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Swap {
    Gate(PathBuf),
    Policy(PathBuf),
}

impl std::str::FromStr for Swap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("gate", file)) if !file.is_empty() => Ok(Self::Gate(file.into())),
            Some(("policy", file)) if !file.is_empty() => Ok(Self::Policy(file.into())),
            _ => {
                Err("write gate=FILE (weights of the gate) or policy=FILE (the operator's policy)".to_owned())
            }
        }
    }
}
