//! `gloaming models`.

use clap::{Args, Subcommand};

use super::ReachArgs;

#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub(crate) command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Ask a model for what a run needs: whole and streamed answers, a tool call and its result, usage and price
    Test(ModelsTestArgs),
    /// Show the models whose price is known, and where each price comes from
    List {
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
}

/// Options of `gloaming models test`.
#[derive(Debug, Args)]
pub(crate) struct ModelsTestArgs {
    /// The model, like openai:gpt-5 or anthropic:claude-sonnet-4-5, or several with commas between
    #[arg(value_name = "PROVIDER:MODEL[,...]", env = "GLOAMING_MODEL")]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}
