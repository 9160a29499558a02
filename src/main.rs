//! `gloaming`: file at dusk, review at dawn. One file per subcommand; the only place where every crate meets.

mod advisories;
mod attempt;
mod baselines;
mod bench;
mod budget;
mod cli;
mod console;
mod context;
mod engine;
mod evidence;
mod export;

mod failure;
mod gate;
mod import;
mod jobs;
mod journal;
mod keys;
mod known;
mod mcp;
mod model;
mod models;
mod network;
mod onboard;
mod outcome;

mod policy;
mod profile;
mod registered;
mod replay;
mod resume;
mod run;
mod secrets;
mod supplies;
mod swap;
mod team;
mod template;
mod tools;
mod undo;
mod verify;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // Before anything starts a thread: the container helper must be single-threaded.
    if std::env::args_os().nth(1).is_some_and(|arg| arg == context::JOB_HELPER) {
        gloaming_jobs::helper_main();
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(context::log_filter())
        .without_time()
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = failure::Failure::infrastructure("start the runtime", error).into();
            return failure::report(&error, None);
        }
    };
    let json = cli.command.json();
    let code = runtime.block_on(async {
        match cli.command {
            cli::Command::Run(args) => Ok(run::main(args).await),
            cli::Command::Resume(args) => Ok(resume::main(args).await),
            cli::Command::Verify(args) => verify::main(args).await,
            cli::Command::Onboard(args) => onboard::main(args).await,
            cli::Command::Profile(args) => profile::main(args).await,
            cli::Command::Jobs(args) => jobs::main(args).await,
            cli::Command::Secrets(args) => secrets::main(args),
            cli::Command::Policy(args) => policy::main(args).await,
            cli::Command::Tools(args) => tools::main(args).await,
            cli::Command::Models(args) => models::main(args).await,
            cli::Command::Mcp(args) => mcp::main(args).await,
            cli::Command::Budget(args) => budget::main(&args),
            cli::Command::Bench(args) => bench::main(args),
            cli::Command::Journal(args) => journal::main(args),
            cli::Command::Replay(args) => replay::main(args).await,
            cli::Command::Export(args) => export::main(&args),
            cli::Command::Outcome(args) => outcome::main(&args),
            cli::Command::Import(args) => import::main(args).await,
            cli::Command::Evidence(args) => evidence::main(args),
            cli::Command::Gate(args) => gate::main(args),
        }
    });
    // A blocking call that outlives its run (a tool at its deadline) must not hold the exit up.
    runtime.shutdown_background();
    code.unwrap_or_else(|error| failure::report(&error, json.then(|| serde_json::json!({}))))
}
