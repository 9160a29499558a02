//! `gloaming profile`: what is known of a repository, proved by running it.

use std::process::ExitCode;

use gloaming_api::path::escape_name;
use gloaming_api::profile::Profile;
use gloaming_worker::Update;
use gloaming_workspace::Repository;

use crate::cli::ProfileArgs;
use crate::console::{Console, print_json};
use crate::context::{self, Home};
use crate::failure::{Failure, exit};
use crate::run::{cancel_on_signal, repo_failure};

pub(crate) async fn main(args: ProfileArgs) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let work = home.work_dir(gloaming_api::TaskId::generate().as_str())?;
    let console = Console::new();
    let path = std::path::absolute(&args.repo)?;
    let repository = Repository::open(&path, &work.path().join("git")).map_err(repo_failure)?;
    let base = repository.resolve(args.base.as_deref()).map_err(repo_failure)?;
    for note in repository.notes(&base) {
        console.show(Update::Note(note));
    }
    let checkout = repository.checkout(&base, &work.path().join("tree")).map_err(repo_failure)?;
    let mut profile = gloaming_profile::detect(checkout.dir());
    if !args.no_run && !profile.commands.is_empty() {
        let repo = context::repo_name(&args.policy, &path);
        let grant = match context::resolve_policy(&args.policy, &repo, None)? {
            Ok(resolved) => resolved.grant,
            Err(diagnostics) => return Err(context::bad_policy(&diagnostics)),
        };
        let (engine, environment) = context::engine(&home)?;
        if let Err(error) = engine.probe().await {
            console.close();
            eprintln!(
                "no engine: {}\n  try: {}\n  (--no-run shows what was found without running it)",
                error.reason, error.hint
            );
            return Ok(ExitCode::from(exit::BOW_OUT));
        }
        console.show(Update::Stage(gloaming_api::Stage::Provision));
        let shown = console.clone();
        let cancel = cancel_on_signal();
        let proved = gloaming_profile::prove(
            &mut profile,
            &engine,
            environment.digest(),
            &grant,
            &|dir| repository.checkout(&base, dir).map(|_| ()).map_err(std::io::Error::other),
            &work.path().join("prove"),
            context::now(),
            &move |text: &str| shown.show(Update::Doing(text.to_owned())),
            &cancel,
        )
        .await;
        if let Err(error) = proved {
            if cancel.is_cancelled() {
                console.close();
                return Ok(ExitCode::from(exit::CANCELLED));
            }
            return Err(Failure::infrastructure("prove the profile", error).into());
        }
    }
    console.close();
    if args.json {
        print_json(&profile);
    } else {
        print!("{}", tell(&profile));
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(profile: &Profile) -> String {
    let mut text = String::new();
    let languages: Vec<String> = profile.ecosystems.iter().map(|e| format!("{e:?}").to_lowercase()).collect();
    text.push_str(&format!(
        "languages  {}\n",
        if languages.is_empty() { "none known".into() } else { languages.join(", ") }
    ));
    for command in &profile.commands {
        text.push_str(&format!(
            "\n{:<6} {}\n",
            command.kind.as_str(),
            escape_name(command.argv.join(" ").as_bytes())
        ));
        if !command.cwd.is_root() {
            text.push_str(&format!("       in {}\n", command.cwd));
        }
        text.push_str(&format!(
            "       from {}:{} ({})\n",
            command.source.file,
            command.source.line,
            escape_name(command.source.because.as_bytes())
        ));
        match &command.proof {
            None => text.push_str("       not run\n"),
            Some(proof) => {
                let ok = if proof.exit.success() { "works" } else { "fails" };
                text.push_str(&format!(
                    "       {ok}: {} in {:.1} s\n",
                    proof.exit,
                    proof.duration_ms as f64 / 1e3
                ));
                for line in proof.excerpt.lines().rev().take(6).collect::<Vec<_>>().into_iter().rev() {
                    text.push_str(&format!("         {}\n", escape_name(line.as_bytes())));
                }
            }
        }
    }
    for rejected in &profile.rejected {
        text.push_str(&format!(
            "\nnot used: {} at {}:{}\n       {}\n",
            escape_name(rejected.command.as_bytes()),
            rejected.source.file,
            rejected.source.line,
            escape_name(rejected.reason.as_bytes())
        ));
    }
    for gap in &profile.gaps {
        text.push_str(&format!("\nmissing: {}\n", escape_name(gap.as_bytes())));
    }
    text
}
