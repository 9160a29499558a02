//! Onboards folders in containers and prints each profile as JSON: what `gloaming onboard --again --json` does, without
//! a repository, a policy file or the rest of the program, for work on this crate.
//!
//! ```sh
//! cargo run -p gloaming-profile --example onboard -- FOLDER...
//! ```
#![expect(clippy::disallowed_methods, reason = "an example reads its own environment and prints")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is what it is for")]

use std::path::{Path, PathBuf};

use gloaming_api::RepoId;
use gloaming_jobs::{Cancel, Embedded, Engine as _, Environment, HostFacts};
use gloaming_policies::{Diagnostic, Grant};
use gloaming_profile::{Proving, known, prove};

// Commands run in containers whose helper is this very program.
gloaming_jobs::reenter_as_helper!();

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let environment = Environment::detect(&HostFacts {
        path: std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default(),
        home: var("HOME"),
        cargo_home: var("CARGO_HOME"),
        rustup_home: var("RUSTUP_HOME"),
        virtual_env: var("VIRTUAL_ENV"),
    });
    let digest = environment.digest().clone();
    let grant = Grant::resolve(&RepoId::local("example"), Vec::new()).map_err(lines)?;
    let state = tempfile::tempdir()?;
    let helper = vec![std::env::current_exe()?.into(), "__job".into()];
    let engine = Embedded::new(helper, environment, state.path().to_owned());
    engine.probe().await.map_err(|error| format!("{}; {}", error.reason, error.hint))?;
    for folder in std::env::args_os().skip(1).map(PathBuf::from) {
        let mut profile = known(&folder, None).map_err(lines)?;
        let work = tempfile::tempdir()?;
        let proving = Proving {
            engine: &engine,
            environment: &digest,
            grant: &grant,
            checkout: &|dir: &Path| gloaming_workspace::copy_tree(&folder, dir),
            work_dir: work.path(),
            now: jiff::Timestamp::now(),
            progress: &|text| eprintln!("{}: {text}", folder.display()),
            cancel: &Cancel::new(),
            count_tests: None,
        };
        let _records = prove(&mut profile, &proving).await?;
        println!("{}", serde_json::to_string_pretty(&profile)?);
    }
    Ok(())
}

fn lines(faults: Vec<Diagnostic>) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
