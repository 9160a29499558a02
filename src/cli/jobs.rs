//! `gloaming jobs` and `gloaming secrets`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gloaming_api::job::JobPurpose;
use gloaming_jobs::EngineKind;

use super::PolicyChoice;

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
    /// The container engine: embedded, docker, podman or kubernetes; default: $GLOAMING_ENGINE, else the first of this machine that works
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<EngineKind>,
    /// The operator's corrections of the profile; default: corrections/OWNER/NAME.toml under $GLOAMING_HOME
    #[arg(long, value_name = "FILE")]
    pub(crate) corrections: Option<PathBuf>,
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
