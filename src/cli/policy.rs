//! `gloaming policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gloaming_api::RepoId;

use super::PolicyChoice;

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
