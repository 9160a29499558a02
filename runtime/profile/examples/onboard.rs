//! Onboards repositories or plain folders in containers and prints each profile as JSON: what
//! `gloaming onboard --again --json` does, without a policy file or the rest of the program, for work on this crate.
//! It takes the same words, so that `tests/onboard/real.sh` drives either.
//!
//! ```sh
//! cargo run -p gloaming-profile --example onboard -- onboard FOLDER...
//! ```
#![expect(clippy::disallowed_methods, reason = "an example reads its own environment and prints")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is what it is for")]

use std::path::{Path, PathBuf};

use gloaming_api::RepoId;
use gloaming_jobs::{Cancel, Embedded, Engine as _, Environment, HostFacts};
use gloaming_policies::{Diagnostic, Grant};
use gloaming_profile::{Proving, known, prove};
use gloaming_workspace::Repository;

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
    let words = std::env::args_os().skip(1).filter(|word| word != "onboard");
    for folder in words.filter(|word| !word.to_string_lossy().starts_with("--")).map(PathBuf::from) {
        let work = tempfile::tempdir()?;
        let checkout = checkout(std::path::absolute(&folder)?, &work.path().join("git"))?;
        let tree = work.path().join("tree");
        checkout(&tree)?;
        let mut profile = known(&tree, None).map_err(lines)?;
        let proving = Proving {
            provision: None,
            engine: &engine,
            environment: &digest,
            grant: &grant,
            checkout: &*checkout,
            work_dir: &work.path().join("prove"),
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

type Checkout = dyn Fn(&Path) -> std::io::Result<()> + Sync;

/// Makes trees of a repository's commit, or of a folder as it lies there.
fn checkout(folder: PathBuf, state: &Path) -> Result<Box<Checkout>, Box<dyn std::error::Error>> {
    if !folder.join(".git").exists() {
        return Ok(Box::new(move |dir| gloaming_workspace::copy_tree(&folder, dir)));
    }
    let repository = Repository::open(&folder, state)?;
    let base = repository.resolve(None)?;
    Ok(Box::new(move |dir| repository.checkout(&base, dir).map(|_| ()).map_err(std::io::Error::other)))
}

fn lines(faults: Vec<Diagnostic>) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
