//! `gloaming jobs`: the container lane, by hand.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use gloaming_api::job::{JobExit, JobPurpose};
use gloaming_api::path::escape_name;
use gloaming_api::profile::CommandKind;
use gloaming_api::{Profile, ReasonCode, RelPath, Stage};
use gloaming_jobs::{Cancel, Job, JobError, JobOutput};
use gloaming_policies::Denial;
use gloaming_profile::Dependencies;
use gloaming_worker::Update;
use gloaming_workspace::Repository;

use crate::cli::{JobsArgs, JobsCommand, JobsRunArgs};
use crate::console::Console;
use crate::context::{self, Home};
use crate::failure::{Failure, exit, unless_cancelled};
use crate::known::{Known, bad_corrections};
use crate::run::{cancel_on_signal, policy_for_jobs, repo_failure};
use crate::supplies::SetUp;
use crate::told::print_json;

pub(crate) async fn main(args: JobsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        JobsCommand::Doctor { json } => {
            let found = crate::engine::doctor(&Home::open()?).await?;
            if json {
                print_json(&found.to_json());
            } else {
                print!("{found}");
            }
            Ok(ExitCode::from(if found.works() { exit::OK } else { exit::BOW_OUT }))
        }
        JobsCommand::Run(args) => {
            let console = Console::new();
            let cancel = Cancel::new();
            let output = run(&args, &console, &cancel).await;
            console.close();
            let output = output.map_err(|error| unless_cancelled(error, &cancel, "cancelled"))?;
            tell(&output, args.json)
        }
    }
}

async fn run(args: &JobsRunArgs, console: &Console, cancel: &Cancel) -> anyhow::Result<JobOutput> {
    let home = Home::open()?;
    let work = home.work_dir(gloaming_api::TaskId::generate().as_str())?;
    cancel_on_signal(cancel);
    console.show(Update::Stage(Stage::Provision));
    let path = std::path::absolute(&args.repo)?;
    let repository = Repository::open(&path, &work.path().join("git")).map_err(repo_failure)?;
    let base = repository.resolve(args.base.as_deref()).map_err(repo_failure)?;
    for note in repository.notes(&base) {
        console.show(Update::Note(note));
    }
    let repo = context::repo_name(&args.policy, &path);
    let grant = match policy_for_jobs(&args.policy, &repo, &repository, &base)? {
        Ok(resolved) => resolved.grant,
        Err(diagnostics) => {
            let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            let summary = format!("the repository's own policy does not load\n{}", lines.join("\n"));
            return Err(Failure::bow_out(ReasonCode::PolicyBlocked, summary).hint("repair it").into());
        }
    };
    let tree = work.path().join("tree");
    let checkout = repository.checkout(&base, &tree).map_err(repo_failure)?;
    let lane = crate::engine::open(&home, &grant, args.engine, None).await?;
    let profile = Known::open(&home, &repo, args.corrections.as_deref())?
        .profile(checkout.dir(), &grant, lane.environment.digest())
        .map_err(bad_corrections)?;
    let mut job = job_of(args, &profile, &tree)?;
    // As in an attempt: what the policy lets nobody read, no job sees.
    gloaming_workspace::withhold(&tree, &|path| grant.withheld(path).is_some())
        .map_err(|error| Failure::disk("take out of the tree what no job may see", error))?;
    let permit =
        grant.permit_command(args.purpose, &job.argv, job.env.keys()).map_err(|denial| denied(&denial))?;
    let engine = lane.engine.map_err(|error| {
        Failure::bow_out(ReasonCode::NoEngine, format!("no container engine works here: {}", error.reason))
            .hint(error.hint)
    })?;
    // A set-up of one's own is run bare: nothing of it is kept. What others fetched is held as long as the job runs.
    let mut dependencies = Dependencies::default();
    if args.purpose != JobPurpose::Setup {
        let supplies = crate::supplies::open(&home, &repo, &path.to_string_lossy())?;
        let set_up = SetUp {
            supplies: &supplies,
            profile: &profile,
            grant: &grant,
            engine: engine.as_ref(),
            environment: lane.environment.digest(),
            tree: checkout.dir(),
            work_dir: &work.path().join("setup"),
        };
        dependencies = set_up.run(console, cancel).await?;
        dependencies
            .equip(&mut job, &work.path().join("own"))
            .map_err(|error| Failure::disk("show the job its dependencies", error))?;
    }
    console.show(Update::Doing(format!("{}: {}", args.purpose.as_str(), job.argv.join(" "))));
    let ran = engine.run(&permit, &job, cancel).await;
    drop(dependencies);
    match ran {
        Ok(output) if output.record.exit == JobExit::Cancelled => Err(Failure::cancelled("cancelled").into()),
        Ok(output) => Ok(output),
        Err(JobError::Denied { denial, .. }) => Err(denied(&denial)),
        Err(error) => Err(Failure::infrastructure("run the job", error).into()),
    }
}

/// The job of the command that was asked for, or of the profile's.
fn job_of(args: &JobsRunArgs, profile: &Profile, tree: &Path) -> anyhow::Result<Job> {
    let label = format!("run-{}", args.purpose.as_str());
    let job = |argv: Vec<String>, cwd: RelPath, env| Job {
        argv,
        cwd,
        env,
        workspace: tree.to_owned(),
        scratch: None,
        mounts: Vec::new(),
        egress: None,
        label,
    };
    if !args.argv.is_empty() {
        return Ok(job(args.argv.clone(), RelPath::root(), Default::default()));
    }
    let kind = match args.purpose {
        JobPurpose::Setup => CommandKind::Install,
        JobPurpose::Build => CommandKind::Build,
        JobPurpose::Test => CommandKind::Test,
        JobPurpose::Lint => CommandKind::Lint,
    };
    let Some(command) = profile.command(kind) else {
        let why = profile.gaps.join("; ");
        return Err(Failure::usage(format!("the profile has no {} command: {why}", kind.as_str()))
            .hint(format!("give one: gloaming jobs run {} -- COMMAND", kind.as_str()))
            .into());
    };
    Ok(job(command.argv.clone(), command.cwd.clone(), command.env.clone()))
}

fn denied(denial: &Denial) -> anyhow::Error {
    let failure = Failure::denied(format!("the policy denies it: {denial}"));
    failure.into()
}

/// What a repository's command prints is bytes for a file or a pipe; a terminal would obey some of them.
fn shown(bytes: &[u8], terminal: bool) -> Vec<u8> {
    if !terminal {
        return bytes.to_vec();
    }
    let mut text = String::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (line, end) = match line.strip_suffix(b"\n") {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        let words: Vec<String> = line.split(|byte| *byte == b'\t').map(escape_name).collect();
        text.push_str(&words.join("\t"));
        text.push_str(end);
    }
    text.into_bytes()
}

/// Prints what the job printed, or its record, and ends as it did.
fn tell(output: &JobOutput, json: bool) -> anyhow::Result<ExitCode> {
    let record = &output.record;
    if json {
        print_json(record);
    } else {
        let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
        let (to_terminal, errors_to_terminal) = (out.is_terminal(), err.is_terminal());
        out.write_all(&shown(&output.stdout, to_terminal))?;
        err.write_all(&shown(&output.stderr, errors_to_terminal))?;
        if output.dropped > 0 {
            eprintln!("gloaming: {} further bytes were printed and dropped", output.dropped);
        }
        let memory = record.peak_memory.map_or(String::new(), |bytes| format!(", {} MiB", bytes >> 20));
        eprintln!(
            "gloaming: {} in {:.1} s{memory} ({}, {})",
            record.exit,
            record.duration_ms as f64 / 1e3,
            escape_name(record.argv.join(" ").as_bytes()),
            record.engine,
        );
    }
    Ok(ExitCode::from(if record.exit.success() { exit::OK } else { exit::BLOCK }))
}
