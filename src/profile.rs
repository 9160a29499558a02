//! `gloaming profile`: what is known of a repository, proved by running it.

use std::process::ExitCode;

use gloaming_api::ReasonCode;
use gloaming_api::path::escape_name;
use gloaming_api::profile::Profile;
use gloaming_jobs::Cancel;
use gloaming_worker::Update;
use gloaming_workspace::Repository;

use crate::cli::ProfileArgs;
use crate::console::{Console, print_json};
use crate::context::{self, Home};
use crate::failure::{Failure, unless_cancelled};
use crate::run::{cancel_on_signal, policy_at, repo_failure};

pub(crate) async fn main(args: ProfileArgs) -> anyhow::Result<ExitCode> {
    let console = Console::new();
    let cancel = Cancel::new();
    let profile = profile(&args, &console, &cancel).await;
    console.close();
    let profile = profile
        .map_err(|error| unless_cancelled(error, &cancel, "cancelled; the commands were not all run"))?;
    if args.json {
        print_json(&profile);
    } else {
        print!("{}", tell(&profile));
    }
    Ok(ExitCode::SUCCESS)
}

async fn profile(args: &ProfileArgs, console: &Console, cancel: &Cancel) -> anyhow::Result<Profile> {
    let home = Home::open()?;
    let work = home.work_dir(gloaming_api::TaskId::generate().as_str())?;
    cancel_on_signal(cancel);
    let path = std::path::absolute(&args.repo)?;
    let repository = Repository::open(&path, &work.path().join("git")).map_err(repo_failure)?;
    let base = repository.resolve(args.base.as_deref()).map_err(repo_failure)?;
    for note in repository.notes(&base) {
        console.show(Update::Note(note));
    }
    let checkout = repository.checkout(&base, &work.path().join("tree")).map_err(repo_failure)?;
    let mut profile = gloaming_profile::detect(checkout.dir());
    if args.no_run || profile.commands.is_empty() {
        return Ok(profile);
    }
    let repo = context::repo_name(&args.policy, &path);
    let grant = match policy_at(&args.policy, &repo, &repository, &base)? {
        Ok(resolved) => resolved.grant,
        Err(diagnostics) => {
            let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            let summary = format!("the repository's own policy does not load\n{}", lines.join("\n"));
            return Err(Failure::bow_out(ReasonCode::PolicyBlocked, summary)
                .hint("repair it; --no-run shows what was found without running it")
                .into());
        }
    };
    let (engine, environment) = context::engine(&home)?;
    engine.probe().await.map_err(|error| {
        let otherwise = "--no-run shows what was found without running it";
        let hint =
            if error.hint.is_empty() { otherwise.to_owned() } else { format!("{}; {otherwise}", error.hint) };
        Failure::bow_out(ReasonCode::NoEngine, format!("no container engine works here: {}", error.reason))
            .hint(hint)
    })?;
    console.show(Update::Stage(gloaming_api::Stage::Provision));
    let shown = console.clone();
    gloaming_profile::prove(
        &mut profile,
        &engine,
        environment.digest(),
        &grant,
        &|dir| repository.checkout(&base, dir).map(|_| ()).map_err(std::io::Error::other),
        &work.path().join("prove"),
        context::now(),
        &move |text: &str| shown.show(Update::Doing(text.to_owned())),
        cancel,
    )
    .await
    .map_err(|error| Failure::infrastructure("prove the profile", error))?;
    Ok(profile)
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
