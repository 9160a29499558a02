//! Running the chosen commands as jobs: the proof that they work here.

use std::io;
use std::path::{Path, PathBuf};

use gloaming_api::bowout::shorten;
use gloaming_api::job::{JobExit, JobPurpose, JobRecord};
use gloaming_api::profile::{Command, CommandKind, Proof, Rejected, TestRunner};
use gloaming_api::{Digest, Profile};
use gloaming_jobs::{Cancel, Engine, Job, JobError, JobOutput};
use gloaming_policies::{Denial, Grant};
use jiff::Timestamp;

use crate::choose::{Survey, words};
use crate::setup::{Dependencies, Provision, SetupError, SetupInputs, SetupTree, set_up_again};

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

/// Tells how many tests a test command's job ran; none where it cannot say.
pub type CountTests<'a> = dyn Fn(&Command, &JobOutput) -> Option<u32> + Sync + 'a;

/// What proving needs of its caller.
pub struct Proving<'a> {
    /// Runs the jobs.
    pub engine: &'a dyn Engine,
    /// The engine's environment.
    pub environment: &'a Digest,
    /// Decides what may be run.
    pub grant: &'a Grant,
    /// Makes a fresh tree of the base in a folder that does not exist yet.
    pub checkout: &'a (dyn Fn(&Path) -> io::Result<()> + Sync),
    /// An empty folder of the host for these trees and for what builds leave behind.
    pub work_dir: &'a Path,
    /// Written into the proofs.
    pub now: Timestamp,
    /// Told what is being run.
    pub progress: &'a (dyn Fn(&str) + Sync),
    /// Ends it early.
    pub cancel: &'a Cancel,
    /// Where dependencies are kept, and by which road they are fetched; none where jobs have what the environment has, and
    /// what installing left in a tree.
    pub provision: Option<Provision<'a>>,
    /// Counts a test command's tests, where the caller can.
    pub count_tests: Option<&'a CountTests<'a>>,
}

/// The kinds that are run, in this order. One test alone is not: it has no name yet.
const PROVED: &[CommandKind] = &[
    CommandKind::Install,
    CommandKind::Build,
    CommandKind::Format,
    CommandKind::Lint,
    CommandKind::Typecheck,
    CommandKind::Test,
];

/// Candidates of one kind beyond this number are not tried.
const MOST_TRIES: usize = 6;

/// Runs the profile's commands, each on a fresh tree in a container, and writes the proofs into the profile.
///
/// Installing comes first, and what it left in its tree is in those of the commands after it. Where a command fails,
/// its program is missing or policy denies it, the next one that was found of the same kind is tried; the first that
/// succeeds is the profile's, and those before it are listed with their proofs as rejected. Where none does, the first
/// that could be run keeps its place, with the failure as its proof and a gap that says so. A command that somebody's
/// correction set is the only one of its kind. Returns the records of all jobs.
/// A test command that works in place of one that fails may run fewer tests: the profile says so.
///
/// To prove again, hand in the profile as [`crate::known`] finds it.
///
/// # Errors
/// When no job can be run at all, or it was cancelled.
pub async fn prove(profile: &mut Profile, with: &Proving<'_>) -> Result<Vec<JobRecord>, ProfileError> {
    let mut prover = Prover {
        with,
        survey: None,
        installed: None,
        dependencies: Dependencies::default(),
        trees: 0,
        // One scratch folder for all, so that tests find what the build compiled.
        scratch: with.work_dir.join("scratch"),
        records: Vec::new(),
    };
    for kind in PROVED {
        if let Some(position) = profile.commands.iter().position(|command| command.kind == *kind) {
            prover.prove_kind(profile, position).await?;
        }
    }
    crate::choose::finish(profile);
    Ok(prover.records)
}

struct Prover<'a> {
    with: &'a Proving<'a>,
    survey: Option<Survey>,
    /// The tree that installing left.
    installed: Option<PathBuf>,
    /// What installing fetched, where that is kept.
    dependencies: Dependencies,
    trees: u32,
    scratch: PathBuf,
    records: Vec<JobRecord>,
}

/// A command and what came of it.
struct Tried {
    command: Command,
    outcome: Outcome,
}

#[derive(PartialEq)]
enum Outcome {
    Works,
    /// The program that is missing.
    Missing(String),
    /// The rule that denies it.
    Denied(String),
    /// It exits well and ran no test.
    NoTest,
    Fails,
}

impl Prover<'_> {
    async fn prove_kind(&mut self, profile: &mut Profile, position: usize) -> Result<(), ProfileError> {
        let first = profile.commands[position].clone();
        let kind = first.kind;
        let field = format!("commands.{}", kind.as_str());
        let corrected = profile.corrections.iter().any(|correction| correction.field == field);
        let mut tried: Vec<Tried> = Vec::new();
        let mut next = Some(first);
        while let Some(command) = next.take() {
            if self.with.cancel.is_cancelled() {
                return Err(ProfileError::Cancelled);
            }
            let one = self.run(command).await?;
            // Another one would take as long.
            let spent = one.command.proof.as_ref().is_some_and(|proof| proof.exit == JobExit::TimedOut);
            let works = one.outcome == Outcome::Works;
            tried.push(one);
            if !works && !corrected && !spent && tried.len() < MOST_TRIES {
                let others = self.survey()?.commands(kind);
                next = others.into_iter().find(|other| {
                    tried.iter().all(|one| one.command.argv != other.argv || one.command.cwd != other.cwd)
                });
            }
        }
        settle(profile, position, tried);
        Ok(())
    }

    /// Looks at the repository's files once, for the other candidates.
    fn survey(&mut self) -> Result<&Survey, ProfileError> {
        let survey = match self.survey.take() {
            Some(survey) => survey,
            None => {
                let tree = self.with.work_dir.join("survey");
                (self.with.checkout)(&tree)
                    .map_err(|source| ProfileError::Checkout { kind: CommandKind::Test, source })?;
                let survey = Survey::of(&tree);
                let _ = std::fs::remove_dir_all(&tree);
                survey
            }
        };
        Ok(self.survey.insert(survey))
    }

    /// Makes a tree to run in: the base's files without what policy lets nobody read, or what installing made of them.
    fn tree(&mut self) -> io::Result<PathBuf> {
        let tree = self.with.work_dir.join(format!("tree-{}", self.trees));
        self.trees += 1;
        std::fs::create_dir_all(&self.scratch)?;
        match &self.installed {
            Some(installed) => gloaming_workspace::copy_tree(installed, &tree)?,
            None => {
                (self.with.checkout)(&tree)?;
                // As in an attempt: what the policy lets nobody read, no job sees.
                gloaming_workspace::withhold(&tree, &|path| self.with.grant.withheld(path).is_some())?;
            }
        }
        Ok(tree)
    }

    async fn run(&mut self, mut command: Command) -> Result<Tried, ProfileError> {
        let kind = command.kind;
        let denied = |command, denial: &Denial| {
            let rule = &denial.rule;
            let rule = format!("rule {} of {}:{}", rule.id, rule.file, rule.line);
            Ok(Tried { command, outcome: Outcome::Denied(rule) })
        };
        let asked = self.with.grant.permit_command(purpose(kind), &command.argv, command.env.keys());
        let permit = match asked {
            Ok(permit) => permit,
            Err(denial) => return denied(command, &denial),
        };
        if kind == CommandKind::Install
            && let Some(provision) = self.with.provision
            && let Some(tried) = self.set_up(provision, &command).await?
        {
            return Ok(tried);
        }
        let tree = self.tree().map_err(|source| ProfileError::Checkout { kind, source })?;
        (self.with.progress)(&format!("{}: {}", kind.as_str(), words(&command)));
        let provision = self.with.provision;
        let mut job = Job {
            argv: command.argv.clone(),
            cwd: command.cwd.clone(),
            env: command.env.clone(),
            workspace: tree.clone(),
            scratch: Some(self.scratch.clone()),
            mounts: Vec::new(),
            egress: provision.and_then(|provision| provision.egress_for(self.with.engine, &permit)),
            label: format!("profile-{}", kind.as_str()),
        };
        let own = self.with.work_dir.join(format!("own-{}", self.trees));
        self.dependencies.equip(&mut job, &own).map_err(|source| ProfileError::Checkout { kind, source })?;
        let output = match self.with.engine.run(&permit, &job, self.with.cancel).await {
            Err(JobError::Denied { denial, .. }) => return denied(command, &denial),
            output => output.map_err(|source| ProfileError::Job { kind, source })?,
        };
        let exit = output.record.exit;
        self.records.push(output.record.clone());
        if exit == JobExit::Cancelled {
            return Err(ProfileError::Cancelled);
        }
        if kind == CommandKind::Install && exit.success() {
            self.installed = Some(tree);
        } else {
            // Of no use any more; what cannot be removed goes with the work folder.
            let _ = std::fs::remove_dir_all(&tree);
        }
        let tests = match (kind, self.with.count_tests) {
            (CommandKind::Test, Some(count)) => count(&command, &output),
            _ => None,
        };
        let outcome = if !exit.success() {
            crate::remedy::missing_program(&command, exit, &excerpt(&output))
                .map_or(Outcome::Fails, Outcome::Missing)
        } else if kind == CommandKind::Test
            && tests.map_or_else(|| ran_nothing(&command, &output), |tests| tests == 0)
        {
            Outcome::NoTest
        } else {
            Outcome::Works
        };
        command.proof = Some(Proof {
            exit,
            duration_ms: output.record.duration_ms,
            at: self.with.now,
            environment: self.with.environment.clone(),
            tests,
            excerpt: if outcome == Outcome::Works { String::new() } else { excerpt(&output) },
        });
        Ok(Tried { command, outcome })
    }
}

impl Prover<'_> {
    /// Runs an install command as the set-up phase does, so that the commands behind it see what an attempt's will; none
    /// where what it fetches cannot be kept.
    async fn set_up(
        &mut self,
        provision: Provision<'_>,
        command: &Command,
    ) -> Result<Option<Tried>, ProfileError> {
        let kind = command.kind;
        let tree = self.tree().map_err(|source| ProfileError::Checkout { kind, source })?;
        let work_dir = self.with.work_dir.join(format!("setup-{}", self.trees));
        let ecosystems = Survey::of(&tree).profile().ecosystems;
        let made = set_up_again(&SetupInputs {
            provision,
            command: Some(command),
            ecosystems: &ecosystems,
            grant: self.with.grant,
            engine: self.with.engine,
            environment: self.with.environment,
            tree: &tree,
            whose: SetupTree::Base,
            work_dir: &work_dir,
            progress: self.with.progress,
            cancel: self.with.cancel,
        })
        .await;
        let _ = std::fs::remove_dir_all(&tree);
        let made = made.map_err(|error| match error {
            SetupError::Cancelled => ProfileError::Cancelled,
            SetupError::Job(source) => ProfileError::Job { kind, source },
            SetupError::Io { doing, source } => ProfileError::Checkout {
                kind,
                source: io::Error::new(source.kind(), format!("{doing}: {source}")),
            },
        })?;
        let Some(record) = made.installed().cloned() else { return Ok(None) };
        if !made.reused() {
            self.records.extend_from_slice(made.records());
        }
        let excerpt = made.lack().map(ToString::to_string).unwrap_or_default();
        let outcome = if made.lack().is_none() {
            Outcome::Works
        } else if record.exit.success() {
            return Ok(None);
        } else {
            crate::remedy::missing_program(command, record.exit, &excerpt)
                .map_or(Outcome::Fails, Outcome::Missing)
        };
        let proof = Proof {
            exit: record.exit,
            duration_ms: record.duration_ms,
            at: self.with.now,
            environment: self.with.environment.clone(),
            tests: None,
            excerpt,
        };
        self.dependencies = made;
        Ok(Some(Tried { command: Command { proof: Some(proof), ..command.clone() }, outcome }))
    }
}

/// Returns the purpose that policy grants a kind of command under.
fn purpose(kind: CommandKind) -> JobPurpose {
    match kind {
        CommandKind::Install => JobPurpose::Setup,
        CommandKind::Build => JobPurpose::Build,
        CommandKind::Test | CommandKind::TestOne => JobPurpose::Test,
        CommandKind::Format | CommandKind::Lint | CommandKind::Typecheck => JobPurpose::Lint,
    }
}

/// Puts the first command that works into the profile, else the first that could be run, and the others among the
/// rejected.
fn settle(profile: &mut Profile, position: usize, tried: Vec<Tried>) {
    let find = |fits: fn(&Outcome) -> bool| tried.iter().position(|one| fits(&one.outcome));
    let chosen = find(|outcome| *outcome == Outcome::Works)
        .or_else(|| find(|outcome| matches!(outcome, Outcome::Fails | Outcome::NoTest)))
        .unwrap_or(0);
    let stand_in = &tried[chosen];
    if stand_in.command.kind == CommandKind::Test
        && stand_in.outcome == Outcome::Works
        && let Some(failed) = tried[..chosen].iter().find(|one| one.outcome == Outcome::Fails)
    {
        // Half of a suite may pass where the whole does not.
        profile.gaps.push(format!(
            "the test command `{}` stands in for `{}`, which {}, and may run fewer tests",
            words(&stand_in.command),
            words(&failed.command),
            reason(&failed.command, &failed.outcome).trim_start_matches("it ")
        ));
    }
    if stand_in.outcome == Outcome::Fails {
        // The better one was not even tried: its program is what a person would install first.
        let mut named = Vec::new();
        for one in &tried[..chosen] {
            if let Outcome::Missing(program) = &one.outcome
                && !named.contains(&program)
            {
                profile.gaps.extend(gap(&one.command, &one.outcome));
                named.push(program);
            }
        }
    }
    for (i, Tried { command, outcome }) in tried.into_iter().enumerate() {
        // What was only not preferred before has a better reason now.
        let before = words(&command);
        profile.rejected.retain(|rejected| {
            rejected.command != before || rejected.source != command.source || rejected.proof.is_some()
        });
        if i == chosen {
            profile.gaps.extend(gap(&command, &outcome));
            profile.commands[position] = command;
        } else {
            let reason = reason(&command, &outcome);
            profile.rejected.insert(
                0,
                Rejected { command: before, source: command.source, reason, proof: command.proof },
            );
        }
    }
}

fn reason(command: &Command, outcome: &Outcome) -> String {
    let kind = command.kind.as_str();
    match outcome {
        Outcome::Works => "another one is preferred".to_owned(),
        Outcome::Missing(program) => format!("{program} is missing in the jobs' environment"),
        Outcome::Denied(rule) => format!("policy permits no such {kind} job ({rule})"),
        Outcome::NoTest => "it ran no test".to_owned(),
        Outcome::Fails => {
            let exit = command.proof.as_ref().map(|proof| proof.exit.to_string()).unwrap_or_default();
            format!("it fails on the untouched tree: {exit}")
        }
    }
}

/// Returns what a person can do about a command that does not work on the untouched tree.
fn gap(command: &Command, outcome: &Outcome) -> Option<String> {
    let kind = command.kind.as_str();
    let words = words(command);
    let excerpt = command.proof.as_ref().map(|proof| proof.excerpt.as_str()).unwrap_or_default();
    let exit = command.proof.as_ref().map(|proof| proof.exit.to_string()).unwrap_or_default();
    Some(match outcome {
        Outcome::Works => return None,
        Outcome::Denied(rule) => format!("policy permits no {kind} job ({rule})"),
        Outcome::NoTest => format!("the {kind} command `{words}` ran no test"),
        Outcome::Missing(program) => {
            let remedy = crate::remedy::missing(command, program);
            format!("the {kind} command `{words}` cannot be run: {program} is missing; {remedy}")
        }
        Outcome::Fails if command.kind == CommandKind::Install => {
            let why = if crate::remedy::is_offline(excerpt) { "jobs have no network" } else { exit.as_str() };
            format!(
                "the install command `{words}` did not work: {why}; what the other commands need must be in the jobs' \
                 environment or in the repository"
            )
        }
        Outcome::Fails => {
            let remedy = crate::remedy::failed(command, excerpt).map(|remedy| format!("; {remedy}"));
            format!(
                "the {kind} command `{words}` fails on the untouched tree: {exit}{}",
                remedy.unwrap_or_default()
            )
        }
    })
}

/// Whether a runner says itself that there was no test. Only ever a reason to try another command: that tests were
/// run is never believed of an output.
fn ran_nothing(command: &Command, output: &JobOutput) -> bool {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match command.runner {
        Some(TestRunner::Unittest) => stderr.lines().any(|line| line.starts_with("Ran 0 tests in ")),
        Some(TestRunner::NodeTest) => {
            stdout.lines().any(|line| matches!(line.trim(), "# tests 0" | "\u{2139} tests 0"))
        }
        Some(TestRunner::Cargo) => {
            let mut counts = stdout.lines().filter_map(|line| line.strip_prefix("running ")).peekable();
            counts.peek().is_some() && counts.all(|rest| rest == "0 tests")
        }
        Some(TestRunner::GoTest) => {
            let mut lines = stdout.lines().filter(|line| !line.trim().is_empty()).peekable();
            lines.peek().is_some()
                && lines.all(|line| line.contains("[no test files]") || line.contains("[no tests to run]"))
        }
        Some(TestRunner::Surefire) => stdout.contains("No tests to run.") && !stdout.contains("Tests run:"),
        _ => false,
    }
}

/// Returns the end of what a command said, standard error first choice of the two where both are long.
pub(crate) fn excerpt(output: &JobOutput) -> String {
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
