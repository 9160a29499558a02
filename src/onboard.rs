//! `gloaming onboard`: a repository's profile proved by running it, what is missing, and how ready it is.

use std::process::ExitCode;

use gloaming_api::path::escape_name;
use gloaming_api::profile::{CheckState, Profile};
use gloaming_api::{ReasonCode, TaskId};
use gloaming_jobs::Cancel;
use gloaming_profile::Proving;
use gloaming_worker::Update;
use gloaming_workspace::Repository;

use crate::cli::{OnboardArgs, ProfileArgs};
use crate::console::Console;
use crate::context::{self, Home};
use crate::engine::JobLane;
use crate::failure::{Failure, unless_cancelled};
use crate::known::{Known, bad_corrections};
use crate::leash::Leash;
use crate::profile::tell;
use crate::run::{cancel_on_signal, policy_for_jobs, repo_failure};
use crate::told::print_json;

/// Whether commands are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    /// Never.
    No,
    /// Where they were not proved before, for the same files, policy and environment.
    Unproved,
    /// Always.
    Again,
}

pub(crate) async fn main(mut args: OnboardArgs) -> anyhow::Result<ExitCode> {
    let leash = args.lease.as_deref().map(Leash::read).transpose()?;
    if let Some(leash) = &leash {
        args.profile.policy.sent = leash.policy.clone();
    }
    let run = match (args.profile.no_run, args.again) {
        (true, _) => Run::No,
        (false, true) => Run::Again,
        (false, false) => Run::Unproved,
    };
    show(&args.profile, run, leash.as_ref(), |profile| {
        format!("{}{}", tell(profile), tell_readiness(profile))
    })
    .await
}

/// Learns a profile, of a worker's attempt where there is one, and prints it, as JSON or in the words of `tell`.
pub(crate) async fn show(
    args: &ProfileArgs,
    run: Run,
    leash: Option<&Leash>,
    tell: impl FnOnce(&Profile) -> String,
) -> anyhow::Result<ExitCode> {
    let console = if leash.is_some() { Console::telling_all() } else { Console::new() };
    let cancel = Cancel::new();
    if let Some(leash) = leash {
        crate::leash::hold(&cancel, leash.grace_s);
    }
    let task = leash.map(|leash| &leash.task);
    let profile = learn(args, run, task, &console, &cancel).await;
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

async fn learn(
    args: &ProfileArgs,
    run: Run,
    task: Option<&TaskId>,
    console: &Console,
    cancel: &Cancel,
) -> anyhow::Result<Profile> {
    let home = Home::open()?;
    let work = home.work_dir(TaskId::generate().as_str())?;
    cancel_on_signal(cancel);
    let path = std::path::absolute(&args.repo)?;
    let repository = Repository::open(&path, &work.path().join("git")).map_err(repo_failure)?;
    let base = repository.resolve(args.base.as_deref()).map_err(repo_failure)?;
    for note in repository.notes(&base) {
        console.show(Update::Note(note));
    }
    let checkout = repository.checkout(&base, &work.path().join("tree")).map_err(repo_failure)?;
    let repo = context::repo_name(&args.policy, &path);
    let known = Known::open(&home, &repo, args.corrections.as_deref())?;
    let profile = known.mined(checkout.dir()).map_err(|faults| match (bad_corrections(faults), task) {
        (error, None) => error,
        // Whoever asked a control plane for it is told why, and it is not tried again.
        (error, Some(_)) => Failure::bow_out(ReasonCode::EnvUnbuildable, error.to_string())
            .hint("repair .gloaming/profile.toml on the default branch; `gloaming onboard . --no-run` checks it")
            .into(),
    })?;
    let otherwise = match task {
        None => "--no-run shows what was found without running it",
        Some(_) => "`gloaming onboard . --no-run` in a clone shows what is found without running it",
    };
    let mut profile = gloaming_profile::with_norms(profile, &repository, &base);
    if run == Run::No || profile.commands.is_empty() {
        return Ok(profile);
    }
    let grant = match policy_for_jobs(&args.policy, &repo, &repository, &base)? {
        Ok(resolved) => resolved.grant,
        Err(diagnostics) => {
            let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            let summary = format!("the repository's own policy does not load\n{}", lines.join("\n"));
            return Err(Failure::bow_out(ReasonCode::PolicyBlocked, summary)
                .hint(format!("repair it; {otherwise}"))
                .into());
        }
    };
    let JobLane { engine, environment } = crate::engine::open(&home, &grant, None, task).await?;
    if run == Run::Unproved
        && let Some(proved) = known.proved(&profile, &grant, environment.digest())
    {
        // What was merged since has changed no fact that a proof holds for.
        return Ok(Profile { norms: profile.norms, ..proved });
    }
    let engine = engine.map_err(|error| {
        let hint =
            if error.hint.is_empty() { otherwise.to_owned() } else { format!("{}; {otherwise}", error.hint) };
        Failure::bow_out(ReasonCode::NoEngine, format!("no container engine works here: {}", error.reason))
            .hint(hint)
    })?;
    console.show(Update::Stage(gloaming_api::Stage::Provision));
    let shown = console.clone();
    let supplies = crate::supplies::open(&home, &repo, &path.to_string_lossy())?;
    let proving = Proving {
        engine: engine.as_ref(),
        environment: environment.digest(),
        grant: &grant,
        checkout: &|dir| repository.checkout(&base, dir).map(|_| ()).map_err(std::io::Error::other),
        work_dir: &work.path().join("prove"),
        now: context::now(),
        progress: &move |text: &str| shown.show(Update::Doing(text.to_owned())),
        cancel,
        provision: Some(crate::supplies::provision(&supplies, None)),
        count_tests: None,
    };
    gloaming_profile::prove(&mut profile, &proving)
        .await
        .map_err(|error| Failure::infrastructure("prove the profile", error))?;
    known.keep(&profile, &grant, environment.digest());
    Ok(profile)
}

/// Returns how ready the repository is, in words.
fn tell_readiness(profile: &Profile) -> String {
    let Some(readiness) = &profile.readiness else { return String::new() };
    let mut text = format!("\nready      {} of 100\n", readiness.score);
    for check in &readiness.checks {
        let mark = match check.state {
            CheckState::Holds => "yes",
            CheckState::Fails => "no",
            CheckState::Unknown => "not run",
        };
        let name = serde_json::to_value(check.name).ok().and_then(|name| name.as_str().map(str::to_owned));
        text.push_str(&format!(
            "  {mark:<8} {:<22} {}\n",
            name.unwrap_or_default().replace('_', " "),
            escape_name(check.detail.as_bytes())
        ));
    }
    if let Some(help) = &readiness.most_help {
        text.push_str(&format!("\nwould help most: {}\n", escape_name(help.as_bytes())));
    }
    text
}
