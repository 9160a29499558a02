//! What verification is given, tells while it works, and fails with.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use gloaming_api::evidence::Origin;
use gloaming_api::job::JobPurpose;
use gloaming_api::{Attempt, Digest, Profile, RepoId, TaskId};
use gloaming_jobs::{Cancel, Engine, JobError};
use gloaming_policies::{Denial, Grant};
use gloaming_profile::{Provision, SetupError};
use gloaming_workspace::{CommitId, Patch, RepoError, Repository};
use jiff::Timestamp;

use crate::{Baseline, RerunRule};

/// Where progress goes; called from the verifying task, must not block for long.
pub type ProgressSink<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// How much is run beyond what every patch needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// When tests are run again, and how often.
    pub reruns: RerunRule,
    /// Where the whole suite takes longer than this, tests that differ are rerun without the others, where the
    /// runner can be told which.
    pub alone_from: Duration,
    /// Whether one more run of the suite measures which changed lines the tests run.
    pub coverage: bool,
    /// How many faults at most are planted in the changed lines; 0 for none.
    pub mutants: u32,
    /// How long all of them together may take.
    pub mutant_time: Duration,
}

impl Default for Effort {
    /// The default rule of reruns, tests are rerun alone where the suite takes more than 10 seconds; coverage, and 10
    /// faults in a minute.
    fn default() -> Self {
        Self {
            reruns: RerunRule::default(),
            alone_from: Duration::from_secs(10),
            coverage: true,
            mutants: 10,
            mutant_time: Duration::from_secs(60),
        }
    }
}

/// Keeps baselines between runs.
pub trait Baselines: Send + Sync {
    /// Returns the baseline with this key, if it is kept, and when it was made.
    fn get(&self, key: &Digest) -> Option<(Baseline, Timestamp)>;

    /// Keeps a baseline under its key. What cannot be kept is made anew the next time.
    fn put(&self, baseline: &Baseline);
}

/// What the baseline is made of.
#[derive(Clone, Copy)]
pub struct BaselineInputs<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The commit a patch is made against.
    pub base: &'a CommitId,
    /// The policy of the attempt.
    pub grant: &'a Grant,
    /// What is known of the repository; its commands are the ones that run.
    pub profile: &'a Profile,
    /// Where jobs run.
    pub engine: &'a dyn Engine,
    /// Digest of the environment jobs run in.
    pub environment: &'a Digest,
    /// How jobs come by the repository's dependencies, and by the network that policy lets them have; none where they
    /// have what the environment has.
    pub provision: Option<Provision<'a>>,
    /// A folder of the host for trees, build output and reports; made when it is missing. What is in it
    /// afterwards is of no use to anybody.
    pub work_dir: &'a Path,
    /// Chooses the names of the control tests. Must not be known to whoever wrote the patch.
    pub seed: u64,
    /// How much is run.
    pub effort: Effort,
    /// Where baselines are kept, and looked for first; none makes each anew.
    pub baselines: Option<&'a dyn Baselines>,
    /// Where progress goes.
    pub progress: ProgressSink<'a>,
    /// Stops the work.
    pub cancel: &'a Cancel,
}

/// What a patch is verified with.
#[derive(Clone)]
pub struct Inputs<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The commit the patch is made against.
    pub base: &'a CommitId,
    /// The patch.
    pub patch: &'a Patch,
    /// The policy of the attempt.
    pub grant: &'a Grant,
    /// What is known of the repository; its commands are the ones that run.
    pub profile: &'a Profile,
    /// Where jobs run.
    pub engine: &'a dyn Engine,
    /// Digest of the environment jobs run in.
    pub environment: &'a Digest,
    /// How jobs come by the repository's dependencies, and by the network that policy lets them have; none where they
    /// have what the environment has.
    pub provision: Option<Provision<'a>>,
    /// Who made the patch.
    pub origin: Origin,
    /// The task and attempt, where there are any.
    pub task: Option<(TaskId, Attempt)>,
    /// The repository's name.
    pub repo_id: &'a RepoId,
    /// A folder of the host for trees, build output and reports; made when it is missing. No agent may
    /// have written to it.
    pub work_dir: &'a Path,
    /// A baseline made before; one that does not fit (another base, environment or set of commands) is
    /// made anew.
    pub baseline: Option<&'a Baseline>,
    /// Chooses the names of the control tests. Must not be known to whoever wrote the patch.
    pub seed: u64,
    /// How much is run.
    pub effort: Effort,
    /// Where baselines are kept, and looked for first; none makes each anew.
    pub baselines: Option<&'a dyn Baselines>,
    /// Where progress goes.
    pub progress: ProgressSink<'a>,
    /// Stops the work.
    pub cancel: &'a Cancel,
}

impl<'a> Inputs<'a> {
    /// Returns the part a baseline is made of.
    pub fn for_baseline(&self) -> BaselineInputs<'a> {
        BaselineInputs {
            repository: self.repository,
            base: self.base,
            grant: self.grant,
            profile: self.profile,
            engine: self.engine,
            environment: self.environment,
            provision: self.provision,
            work_dir: self.work_dir,
            seed: self.seed,
            effort: self.effort,
            baselines: self.baselines,
            progress: self.progress,
            cancel: self.cancel,
        }
    }
}

/// One thing worth telling while verification runs. Prints as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The step, `V0` to `V10`; `baseline` while the untouched tree is looked at.
    pub step: String,
    /// What is being done.
    pub doing: String,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.doing)
    }
}

/// Verification could not be carried through; never a judgement of the patch.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It was told to stop.
    #[error("verification was cancelled")]
    Cancelled,
    /// A job could not be run.
    #[error("cannot run a job")]
    Job(#[from] JobError),
    /// The repository could not be read.
    #[error("cannot read the repository")]
    Repository(#[from] RepoError),
    /// The policy permits no job of a purpose that is needed.
    #[error("the policy permits no {} jobs: {denial}", purpose.as_str())]
    Denied {
        /// The purpose.
        purpose: JobPurpose,
        /// The policy's answer.
        denial: Denial,
    },
    /// A folder or file of the host failed us.
    #[error("{doing}")]
    Io {
        /// Operation and subject.
        doing: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl From<SetupError> for VerifyError {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Cancelled => Self::Cancelled,
            SetupError::Job(error) => Self::Job(error),
            SetupError::Io { doing, source } => Self::Io { doing, source },
        }
    }
}

impl VerifyError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
