//! What every engine offers: one job in, one record and its output back.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use gloaming_api::job::{EgressLog, JobExit, JobRecord};
use gloaming_api::{Digest, RelPath};
use gloaming_policies::{Denial, JobPermit};
use serde::{Deserialize, Serialize};

use crate::embedded::output::Captured;
use crate::secrets::Given;
use crate::{Cancel, Capabilities, Egress, Facts, Redactor};

/// A future that can be sent between threads and be behind a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs jobs in containers.
pub trait Engine: Send + Sync {
    /// Returns the engine's name as it is written in job records.
    fn name(&self) -> &str;

    /// Runs one job to its end, when the permit admits its command and the engine's environment.
    ///
    /// A job has network only where its permit names hosts and [`Job::egress`] is there, and then only what a
    /// [`crate::Proxy`] of it lets through.
    ///
    /// A command that fails, is missing, runs out of time or memory, or is cancelled is `Ok`: its exit says so
    /// (a program that does not exist exits with 127 and one that cannot be executed with 126, as in a shell,
    /// with a line on standard error).
    ///
    /// # Errors
    /// Only what is wrong with the machine or with us: no engine, a folder that is missing, a container that
    /// could not be made.
    fn run<'a>(
        &'a self,
        permit: &'a JobPermit,
        job: &'a Job,
        cancel: &'a Cancel,
    ) -> BoxFuture<'a, Result<JobOutput, JobError>>;

    /// Returns what the engine can hold a job to. Answers without asking anybody.
    fn capabilities(&self) -> Capabilities;

    /// Runs a program that does nothing in a container, with all that a real job gets.
    ///
    /// # Errors
    /// Why that did not work, in plain words, with what can be done about it.
    fn probe(&self) -> BoxFuture<'_, Result<Facts, NoEngine>>;
}

/// One command to run in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Program and arguments; the program is looked up in the environment's `PATH`.
    pub argv: Vec<String>,
    /// The folder inside the workspace to run in.
    pub cwd: RelPath,
    /// Variables beyond the environment's own; the same name replaces the environment's.
    pub env: BTreeMap<String, String>,
    /// Host folder mounted read-write at `/workspace`. A disposable copy: run as root, the engine gives its
    /// files to the container's user.
    pub workspace: PathBuf,
    /// Host folder mounted read-write at `/scratch` and kept between jobs; none for a fresh one in memory.
    pub scratch: Option<PathBuf>,
    /// Further folders and files of the host. Unlike the workspace they keep their owners: what a job is to
    /// read or write has to be readable or writable by others, or by user 60900.
    pub mounts: Vec<Mount>,
    /// What the operator says about network, where the job may have any; none for a job that has none whatever its
    /// policy says. What may be reached is always the permit's to say ([`JobPermit::reaches`]).
    pub egress: Option<Egress>,
    /// A word for logs and for the container's name.
    pub label: String,
}

/// A folder or file of the host that a container sees.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is on the host; absolute.
    pub host: PathBuf,
    /// Where the container sees it; absolute.
    pub container: String,
    /// Whether the job may change it.
    pub writable: bool,
}

/// A finished job.
#[derive(Debug, Clone)]
pub struct JobOutput {
    /// What is recorded of it.
    pub record: JobRecord,
    /// Standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// Standard error, up to the limit.
    pub stderr: Vec<u8>,
    /// Bytes of both that were beyond the limit.
    pub dropped: u64,
    /// Takes out of anything else the job wrote the secrets that it was handed; from its output they are gone.
    pub redactor: Redactor,
}

/// No container can be made on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no container engine works here: {reason}")]
pub struct NoEngine {
    /// What went wrong, in plain words.
    pub reason: String,
    /// What a person can do about it.
    pub hint: String,
}

/// A job could not be run; never the job's own failure.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// No container can be made on this machine.
    #[error(transparent)]
    NoEngine(#[from] NoEngine),
    /// The job's description makes no sense.
    #[error("job {label:?} cannot be run: {reason}")]
    Invalid {
        /// The job's label.
        label: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The policy denies what was about to be started.
    #[error("job {label:?} is not let run: {denial}")]
    Denied {
        /// The job's label.
        label: String,
        /// The rule.
        denial: Box<Denial>,
    },
    /// Something on the host failed.
    #[error("{doing}")]
    Io {
        /// Operation and subject.
        doing: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The container could not be made or its helper process broke.
    #[error("the container of job {label:?} failed: {reason}")]
    Container {
        /// The job's label.
        label: String,
        /// What the helper said.
        reason: String,
        /// What a person can do about it; may be empty.
        hint: String,
    },
}

/// Runs a job as a task of its own, told to stop when this future is dropped half-way: a request that is under way is seen
/// to its end, and what it made is removed. `work` gets the asker's flag and the one of that.
pub(crate) async fn to_its_end<F>(
    label: &str,
    cancel: &Cancel,
    work: impl FnOnce([Cancel; 2]) -> F,
) -> Result<Ended, JobError>
where
    F: Future<Output = Result<Ended, JobError>> + Send + 'static,
{
    /// Raises a flag when it is dropped.
    struct Abandon(Cancel);

    impl Drop for Abandon {
        fn drop(&mut self) {
            self.0.cancel();
        }
    }

    let abandoned = Cancel::new();
    let guard = Abandon(abandoned.clone());
    let result = tokio::spawn(work([cancel.clone(), abandoned])).await;
    drop(guard);
    result.unwrap_or_else(|error| {
        Err(JobError::Container {
            label: label.to_owned(),
            reason: format!("the task that watches it broke: {error}"),
            hint: String::new(),
        })
    })
}

/// A container that ended, with what it printed.
pub(crate) struct Ended {
    pub(crate) exit: JobExit,
    pub(crate) duration_ms: u64,
    pub(crate) peak_memory: Option<u64>,
    pub(crate) stdout: Captured,
    pub(crate) stderr: Captured,
}

impl Ended {
    /// Returns what is said of a job that was cancelled before anything was made for it.
    pub(crate) fn before_it_began() -> Self {
        Self {
            exit: JobExit::Cancelled,
            duration_ms: 0,
            peak_memory: None,
            stdout: Captured::new(&Redactor::default()),
            stderr: Captured::new(&Redactor::default()),
        }
    }

    /// Returns the job's output and its record.
    pub(crate) fn into_output(
        self,
        permit: &JobPermit,
        job: &Job,
        secrets: Given,
        egress: Option<EgressLog>,
        engine: &str,
        environment: &Digest,
    ) -> JobOutput {
        JobOutput {
            record: JobRecord {
                purpose: permit.purpose(),
                argv: job.argv.clone(),
                command: permit.command().filter(|command| *command != job.argv).map(<[String]>::to_vec),
                cwd: job.cwd.to_string(),
                env: job.env.clone(),
                secrets: secrets.names(),
                engine: engine.to_owned(),
                environment: environment.clone(),
                grant: permit.grant_digest().clone(),
                warnings: permit.warnings().to_vec(),
                egress,
                exit: self.exit,
                duration_ms: self.duration_ms,
                peak_memory: self.peak_memory,
                limits: permit.limits(),
                stdout_tail: self.stdout.tail(),
                stderr_tail: self.stderr.tail(),
                cached: None,
            },
            dropped: self.stdout.dropped + self.stderr.dropped,
            stdout: self.stdout.kept,
            stderr: self.stderr.kept,
            redactor: secrets.redactor,
        }
    }
}

/// Returns what a probe's end says about its engine.
pub(crate) fn proved(result: Result<Ended, JobError>) -> Result<(), NoEngine> {
    let no_engine = |reason: String| NoEngine { reason, hint: String::new() };
    match result {
        Ok(Ended { exit: JobExit::Code(0), .. }) => Ok(()),
        Ok(ended) => Err(no_engine(format!(
            "a program that does nothing, in a container, ended with: {}. {}",
            ended.exit,
            ended.stderr.tail().trim()
        ))),
        Err(JobError::NoEngine(error)) => Err(error),
        // With nothing of a job's own in it, a container that fails is the machine's failure.
        Err(JobError::Container { reason, hint, .. }) => Err(NoEngine { reason, hint }),
        Err(JobError::Io { doing, source }) => Err(no_engine(format!("{doing}: {source}"))),
        Err(error) => Err(no_engine(error.to_string())),
    }
}
