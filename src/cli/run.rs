//! `gloaming run`, `gloaming onboard` and `gloaming profile`.

use std::path::PathBuf;

use clap::Args;

use super::PolicyChoice;

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
    /// The operator's corrections of the profile; default: corrections/OWNER/NAME.toml under $GLOAMING_HOME
    #[arg(long, value_name = "FILE")]
    pub(crate) corrections: Option<PathBuf>,
    /// A folder of advisories in the OSV format, for bumps past one; default: advisories under $GLOAMING_HOME
    #[arg(long, value_name = "DIR")]
    pub(crate) advisories: Option<PathBuf>,
    /// Build and test the untouched tree again, whatever was seen of it before
    #[arg(long)]
    pub(crate) again: bool,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Who works on the task, where a model does
    #[arg(long, value_enum, default_value = "full", value_name = "WHO")]
    pub(crate) team: TeamChoice,
    /// The reviewer's model, where it is another than the coder's; several as with --model
    #[arg(long, value_name = "PROVIDER:MODEL[,...]", env = "GLOAMING_REVIEW_MODEL")]
    pub(crate) review_model: Option<String>,
    /// Whose attempt this is, of a worker's that holds standard input open as long as it may run
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) lease: Option<PathBuf>,
    /// Print one JSON object at the end, and nothing else, on standard output, whatever the end
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who works on a task that a model works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TeamChoice {
    /// Triage, a reproducer, a planner where one helps, the coder and a reviewer
    Full,
    /// The coder alone
    Coder,
}

/// Options of `gloaming resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The out folder of the run
    #[arg(value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The operator's corrections of the profile; default: corrections/OWNER/NAME.toml under $GLOAMING_HOME
    #[arg(long, value_name = "FILE")]
    pub(crate) corrections: Option<PathBuf>,
    /// A folder of advisories in the OSV format, for bumps past one; default: advisories under $GLOAMING_HOME
    #[arg(long, value_name = "DIR")]
    pub(crate) advisories: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) model: ReachArgs,
    /// Print one JSON object at the end, and nothing else, on standard output, whatever the end
    #[arg(long)]
    pub(crate) json: bool,
}

/// The model and how to reach it.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// The model, like openai:gpt-5 or anthropic:claude-sonnet-4-5, or several with commas between: the next is asked
    /// where the one before fails for good. Without one only playbooks work
    #[arg(long, value_name = "PROVIDER:MODEL[,...]", env = "GLOAMING_MODEL")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// How to reach a model; of several the first, and others of its provider.
#[derive(Debug, Args)]
pub(crate) struct ReachArgs {
    /// The provider's address, for a server that speaks its API
    #[arg(long, value_name = "URL", env = "GLOAMING_MODEL_URL")]
    pub(crate) model_url: Option<String>,
    /// A file with the key; default: what OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY holds
    #[arg(long, value_name = "FILE")]
    pub(crate) model_key_file: Option<PathBuf>,
    /// US dollars per million tokens in and out, for a model that is not in the price table
    #[arg(long, value_name = "IN,OUT")]
    pub(crate) model_price: Option<String>,
    /// The most requests per minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) model_rpm: Option<u32>,
    /// The most tokens per minute, those of the question and those the answer may have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) model_tpm: Option<u32>,
    /// How the model calls tools: natively, or by a JSON schema for one that has no calls of its own; default: native
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) model_tools: Option<ToolsBy>,
    /// Ask for whole answers instead of a stream
    #[arg(long)]
    pub(crate) no_stream: bool,
}

/// How a model calls tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToolsBy {
    /// By its API's own tool calls
    Native,
    /// By answers held to a JSON schema
    Schema,
}

/// Options of `gloaming onboard`.
#[derive(Debug, Args)]
pub(crate) struct OnboardArgs {
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    /// Run every command again, whatever was proved before
    #[arg(long, conflicts_with = "no_run")]
    pub(crate) again: bool,
    /// Whose attempt this is, of a worker's that holds standard input open as long as it may run
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) lease: Option<PathBuf>,
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
    /// The operator's corrections of what is found; they win over the repository's own .gloaming/profile.toml. Default:
    /// corrections/OWNER/NAME.toml under $GLOAMING_HOME
    #[arg(long, value_name = "FILE")]
    pub(crate) corrections: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) policy: PolicyChoice,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}
