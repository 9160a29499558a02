//! `gloaming`: file at dusk, review at dawn. One file per subcommand; the only place where every crate meets.

#[cfg(feature = "worker")]
mod advisories;
#[cfg(feature = "worker")]
mod attempt;
#[cfg(feature = "worker")]
mod baselines;
#[cfg(feature = "worker")]
mod bench;
#[cfg(feature = "worker")]
mod budget;
mod cli;
#[cfg(feature = "worker")]
mod console;
mod context;
#[cfg(feature = "worker")]
mod engine;
mod evidence;
#[cfg(feature = "worker")]
mod export;
mod failure;
mod gate;
#[cfg(feature = "worker")]
mod hand_over;
#[cfg(feature = "worker")]
mod import;
#[cfg(feature = "worker")]
mod jobs;
#[cfg(feature = "worker")]
mod journal;
mod keys;
#[cfg(feature = "worker")]
mod known;
#[cfg(feature = "worker")]
mod leash;
mod logs;
#[cfg(feature = "worker")]
mod mcp;
#[cfg(feature = "worker")]
mod model;
#[cfg(feature = "worker")]
mod models;
#[cfg(feature = "worker")]
mod network;
#[cfg(feature = "worker")]
mod onboard;
#[cfg(feature = "worker")]
mod outcome;
mod plane;
#[cfg(feature = "worker")]
mod policy;
#[cfg(feature = "worker")]
mod profile;
#[cfg(feature = "worker")]
mod registered;
#[cfg(feature = "worker")]
mod replay;
#[cfg(feature = "worker")]
mod resume;
#[cfg(feature = "worker")]
mod run;
#[cfg(feature = "worker")]
mod secrets;
mod signals;
#[cfg(feature = "worker")]
mod supplies;
#[cfg(feature = "worker")]
mod swap;
#[cfg(feature = "worker")]
mod team;
#[cfg(feature = "worker")]
mod template;
mod told;
#[cfg(feature = "worker")]
mod tools;
#[cfg(feature = "worker")]
mod undo;
#[cfg(feature = "worker")]
mod verify;
#[cfg(feature = "worker")]
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // Before anything starts a thread: the container helper must be single-threaded.
    #[cfg(feature = "worker")]
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
    logs::open(cli.command.log());
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
            #[cfg(feature = "worker")]
            cli::Command::Run(args) => Ok(run::main(args).await),
            #[cfg(feature = "worker")]
            cli::Command::Resume(args) => Ok(resume::main(args).await),
            #[cfg(feature = "worker")]
            cli::Command::Verify(args) => verify::main(args).await,
            #[cfg(feature = "worker")]
            cli::Command::Onboard(args) => onboard::main(args).await,
            #[cfg(feature = "worker")]
            cli::Command::Profile(args) => profile::main(args).await,
            #[cfg(feature = "worker")]
            cli::Command::Jobs(args) => jobs::main(args).await,
            #[cfg(feature = "worker")]
            cli::Command::Secrets(args) => secrets::main(args),
            #[cfg(feature = "worker")]
            cli::Command::Policy(args) => policy::main(args).await,
            #[cfg(feature = "worker")]
            cli::Command::Tools(args) => tools::main(args).await,
            #[cfg(feature = "worker")]
            cli::Command::Models(args) => models::main(args).await,
            #[cfg(feature = "worker")]
            cli::Command::Mcp(args) => mcp::main(args).await,
            #[cfg(feature = "worker")]
            cli::Command::Budget(args) => budget::main(&args),
            #[cfg(feature = "worker")]
            cli::Command::Bench(args) => bench::main(args),
            #[cfg(feature = "worker")]
            cli::Command::Journal(args) => journal::main(args),
            #[cfg(feature = "worker")]
            cli::Command::Replay(args) => replay::main(args).await,
            #[cfg(feature = "worker")]
            cli::Command::Export(args) => export::main(&args),
            #[cfg(feature = "worker")]
            cli::Command::Outcome(args) => outcome::main(&args),
            #[cfg(feature = "worker")]
            cli::Command::Import(args) => import::main(args).await,
            cli::Command::Init(args) => plane::init(args),
            cli::Command::Stats(args) => plane::stats(&args).await,
            cli::Command::Doctor(args) => plane::doctor(args).await,
            cli::Command::Backup(args) => plane::backup(&args),
            cli::Command::Restore(args) => plane::restore(&args),
            #[cfg(feature = "worker")]
            cli::Command::Serve(args) => plane::serve(args, plane::beside).await,
            cli::Command::Control(args) => plane::serve(args, plane::alone).await,
            #[cfg(feature = "worker")]
            cli::Command::Worker(args) => worker::main(*args).await,
            cli::Command::Task(args) => plane::task(args).await,
            cli::Command::Token(args) => plane::token(args).await,
            cli::Command::Evidence(args) => evidence::main(args),
            cli::Command::Gate(args) => gate::main(args),
        }
    });
    // A blocking call that outlives its run (a tool at its deadline) must not hold the exit up.
    runtime.shutdown_background();
    code.unwrap_or_else(|error| failure::report(&error, json.then(|| serde_json::json!({}))))
}
