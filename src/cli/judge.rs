//! `gloaming verify`, `gloaming evidence` and `gloaming gate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
#[cfg(feature = "worker")]
use gloaming_jobs::EngineKind;

#[cfg(feature = "worker")]
use super::PolicyChoice;

/// Options of `gloaming verify`.
#[cfg(feature = "worker")]
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
    /// What the patch is for, an issue or a description; its title and digest go into the evidence
    #[arg(long, value_name = "FILE")]
    pub(crate) task: Option<PathBuf>,
    /// Where to write evidence.json, findings.sarif, summary.md and patch.diff; default: nowhere
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// The container engine: embedded, docker, podman or kubernetes; default: $GLOAMING_ENGINE, else the first of this machine that works
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<EngineKind>,
    /// Build and test the untouched tree again, whatever was seen of it before
    #[arg(long)]
    pub(crate) again: bool,
    /// The operator's corrections of the profile; default: corrections/OWNER/NAME.toml under $GLOAMING_HOME
    #[arg(long, value_name = "FILE")]
    pub(crate) corrections: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) policy: PolicyChoice,
    /// The sealed evidence of the attempt whose patch this is: it is judged as that attempt's, and what is to be handed over
    /// is written beside the rest. For workers
    #[arg(long, value_name = "FILE", hide = true, requires = "out")]
    pub(crate) of: Option<PathBuf>,
    /// Whose attempt this is, of a worker's that holds standard input open as long as it may run
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) lease: Option<PathBuf>,
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
    /// Show what patches are judged by here: the weights, and the score that the policy asks for
    #[cfg(feature = "worker")]
    Show(GateShowArgs),
}

/// What weights judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum WeightsOf {
    /// The gate's: patches, by what spoke against each
    Patches,
    /// Triage's: tasks, by what spoke against beginning each
    Tasks,
}

/// Options of `gloaming gate show`.
#[cfg(feature = "worker")]
#[derive(Debug, Args)]
pub(crate) struct GateShowArgs {
    /// The repository, for its name
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) repo: PathBuf,
    #[command(flatten)]
    pub(crate) policy: PolicyChoice,
    /// Whose weights
    #[arg(long, value_enum, default_value_t = WeightsOf::Patches, value_name = "WHAT")]
    pub(crate) of: WeightsOf,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `gloaming gate fit`.
#[derive(Debug, Args)]
pub(crate) struct FitArgs {
    /// The outcomes, one JSON object a line; - for standard input
    #[arg(value_name = "DATA")]
    pub(crate) data: PathBuf,
    /// Whose weights
    #[arg(long, value_enum, default_value_t = WeightsOf::Patches, value_name = "WHAT")]
    pub(crate) of: WeightsOf,
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
