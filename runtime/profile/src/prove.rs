//! Running the chosen commands as jobs: the proof that they work here.

use std::io;
use std::path::Path;

use gloaming_api::bowout::shorten;
use gloaming_api::job::{JobExit, JobPurpose, JobRecord};
use gloaming_api::profile::{Command, CommandKind, Proof, Rejected};
use gloaming_api::{Digest, Profile};
use gloaming_jobs::{Cancel, Engine, Job, JobError, JobOutput};
use gloaming_policies::{Denial, Grant};
use jiff::Timestamp;

use crate::choose::{Survey, words};

/// So much of a failed command's output goes into its proof, in characters.
const EXCERPT: usize = 2_000;

/// A profile could not be proved; never a command's own failure.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It was told to stop.
    #[error("proving the profile was cancelled")]
    Cancelled,
    /// No job could be run.
    #[error("cannot run the {kind} command as a job", kind = .kind.as_str())]
    Job {
        /// Of which command.
        kind: CommandKind,
        /// What the engine said.
        #[source]
        source: JobError,
    },
    /// A tree to run in could not be made.
    #[error("cannot make a fresh checkout for the {kind} command", kind = .kind.as_str())]
    Checkout {
        /// Of which command.
        kind: CommandKind,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// Runs the profile's commands, each on a fresh checkout in a container, and writes the proofs into the profile.
///
/// Where a command's program is missing, the next one that was found of the same kind is tried and takes its place.
/// A command that fails keeps its place, with the failure as its proof and a gap that says so. `checkout` makes a
/// fresh tree of the base in a folder that does not exist yet; `work_dir` is an empty folder of the host for these
/// trees and for what builds leave behind; `now` is written into the proofs. Returns the records of all jobs.
///
/// # Errors
/// When no job can be run at all, or it was cancelled.
#[expect(clippy::too_many_arguments, reason = "each is one thing of the caller's that this needs")]
pub async fn prove(
    profile: &mut Profile,
    engine: &dyn Engine,
    environment: &Digest,
    grant: &Grant,
    checkout: &(dyn Fn(&Path) -> io::Result<()> + Sync),
    work_dir: &Path,
    now: Timestamp,
    progress: &(dyn Fn(&str) + Sync),
    cancel: &Cancel,
) -> Result<Vec<JobRecord>, ProfileError> {
    let mut records = Vec::new();
    let mut survey = None;
    let mut trees = 0;
    // One scratch folder for all, so that tests find what the build compiled.
    let scratch = work_dir.join("scratch");
    for kind in [CommandKind::Build, CommandKind::Test, CommandKind::Lint] {
        let Some(position) = profile.commands.iter().position(|command| command.kind == kind) else {
            continue;
        };
        let not_permitted = |denial: Denial| {
            let rule = denial.rule;
            format!(
                "policy permits no {} job (rule {} of {}:{})",
                kind.as_str(),
                rule.id,
                rule.file,
                rule.line
            )
        };
        let mut tried: Vec<Command> = Vec::new();
        let mut next = Some(profile.commands[position].clone());
        while let Some(mut command) = next.take() {
            if cancel.is_cancelled() {
                return Err(ProfileError::Cancelled);
            }
            let permit = match grant.permit_command(purpose(kind), &command.argv, command.env.keys()) {
                Ok(permit) => permit,
                Err(denial) => {
                    profile.gaps.push(not_permitted(denial));
                    break;
                }
            };
            let tree = work_dir.join(format!("tree-{trees}"));
            trees += 1;
            // As in an attempt: what the policy lets nobody read, no job sees.
            let prepared = std::fs::create_dir_all(&scratch)
                .and_then(|()| checkout(&tree))
                .and_then(|()| gloaming_workspace::withhold(&tree, &|path| grant.withheld(path).is_some()));
            prepared.map_err(|source| ProfileError::Checkout { kind, source })?;
            let others = survey.get_or_insert_with(|| Survey::of(&tree)).commands(kind);
            progress(&format!("{}: {}", kind.as_str(), words(&command)));
            let job = Job {
                argv: command.argv.clone(),
                cwd: command.cwd.clone(),
                env: command.env.clone(),
                workspace: tree.clone(),
                scratch: Some(scratch.clone()),
                mounts: Vec::new(),
                label: format!("profile-{}", kind.as_str()),
            };
            let output = match engine.run(&permit, &job, cancel).await {
                Err(JobError::Denied { denial, .. }) => {
                    profile.gaps.push(not_permitted(*denial));
                    break;
                }
                output => output.map_err(|source| ProfileError::Job { kind, source })?,
            };
            // Of no use any more; what cannot be removed goes with the work folder.
            let _ = std::fs::remove_dir_all(&tree);
            let exit = output.record.exit;
            records.push(output.record.clone());
            if exit == JobExit::Cancelled {
                return Err(ProfileError::Cancelled);
            }
            command.proof = Some(Proof {
                exit,
                duration_ms: output.record.duration_ms,
                at: now,
                environment: environment.clone(),
                tests: None,
                excerpt: if exit.success() { String::new() } else { excerpt(&output) },
            });
            let missing = missing_program(&command, &output);
            tried.push(command);
            if missing.is_some() {
                next = others.into_iter().find(|other| {
                    tried.iter().all(|known| known.argv != other.argv || known.cwd != other.cwd)
                });
            }
        }
        if !tried.is_empty() {
            settle(profile, position, tried);
        }
    }
    Ok(records)
}

fn purpose(kind: CommandKind) -> JobPurpose {
    match kind {
        CommandKind::Build => JobPurpose::Build,
        CommandKind::Test => JobPurpose::Test,
        CommandKind::Lint => JobPurpose::Lint,
    }
}

/// Puts the first command that could be run into the profile, and the others among the rejected.
fn settle(profile: &mut Profile, position: usize, tried: Vec<Command>) {
    let failed_to_start = |command: &Command| {
        let proof = command.proof.as_ref()?;
        missing_in(command, proof.exit, &proof.excerpt)
    };
    let chosen = tried.iter().position(|command| failed_to_start(command).is_none()).unwrap_or(0);
    for (i, command) in tried.into_iter().enumerate() {
        let missing = failed_to_start(&command);
        if i != chosen {
            let reason = format!("{} is missing in the jobs' environment", missing.unwrap_or_default());
            let command_words = words(&command);
            profile.rejected.push(Rejected { command: command_words, source: command.source, reason });
            continue;
        }
        profile
            .rejected
            .retain(|rejected| rejected.command != words(&command) || rejected.source != command.source);
        if let Some(gap) = gap(&command, missing) {
            profile.gaps.push(gap);
        }
        profile.commands[position] = command;
    }
}

/// Returns what a person can do about a command that fails on the untouched tree.
fn gap(command: &Command, missing: Option<String>) -> Option<String> {
    let proof = command.proof.as_ref()?;
    if proof.exit.success() {
        return None;
    }
    let kind = command.kind.as_str();
    let words = words(command);
    if let Some(program) = missing {
        let node = command.argv.first().is_some_and(|program| program.starts_with("node_modules/"));
        let remedy = if node {
            "packages of npm are not installed in jobs yet"
        } else {
            "install it where the jobs' environment is taken from"
        };
        return Some(format!("the {kind} command `{words}` cannot be run: {program} is missing; {remedy}"));
    }
    let offline = ["--offline was specified", "no matching package named", "failed to download", "dial tcp"];
    let remedy = if offline.iter().any(|sign| proof.excerpt.contains(sign)) {
        "; jobs have no network: fetch the dependencies on the host first (cargo fetch, go mod download)"
    } else {
        ""
    };
    Some(format!("the {kind} command `{words}` fails on the untouched tree: {}{remedy}", proof.exit))
}

fn missing_program(command: &Command, output: &JobOutput) -> Option<String> {
    missing_in(command, output.record.exit, &excerpt(output))
}

/// Returns the name of the program that a failed command lacks.
fn missing_in(command: &Command, exit: JobExit, excerpt: &str) -> Option<String> {
    let code = exit.code()?;
    if matches!(code, 126 | 127) {
        return command.argv.first().cloned();
    }
    match command.argv.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        // Of the program's own module, not of one that a test wants.
        ["python3", "-m", module, ..] if excerpt.contains(&format!("python3: No module named {module}")) => {
            Some((*module).to_owned())
        }
        ["python3", "-m", module, ..]
            if excerpt.lines().any(|line| line.ends_with(&format!(": No module named {module}"))) =>
        {
            Some((*module).to_owned())
        }
        ["cargo", part, ..]
            if excerpt.contains(&format!("no such command: `{part}`"))
                || excerpt.contains(&format!("'cargo-{part}' is not installed")) =>
        {
            Some(format!("cargo-{part}"))
        }
        _ => None,
    }
}

/// Returns the end of what a command said, standard error first choice of the two where both are long.
fn excerpt(output: &JobOutput) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let both = match (stdout.is_empty(), stderr.is_empty()) {
        (false, false) => format!("{}\n{}", tail(&stdout, EXCERPT / 2), tail(&stderr, EXCERPT / 2)),
        (true, _) => tail(&stderr, EXCERPT),
        (_, true) => tail(&stdout, EXCERPT),
    };
    shorten(&both, EXCERPT + 1)
}

fn tail(text: &str, most: usize) -> String {
    let skip = text.chars().count().saturating_sub(most);
    text.chars().skip(skip).collect()
}
