//! What ties an attempt to the worker that started it: whose attempt it is, and that it ends when the worker does.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use gloaming_api::journal::PolicyLayerText;
use gloaming_api::{Attempt, TaskId};
use gloaming_jobs::Cancel;
use serde::{Deserialize, Serialize};

use crate::context;
use crate::failure::{Failure, exit};
use crate::run::ASKER;

/// How long an attempt has to end in order after its worker died or let go of it.
const GRACE: Duration = Duration::from_secs(10);

/// Whose attempt this is, as the worker wrote it down for the process that it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leash {
    /// The task.
    pub(crate) task: TaskId,
    /// The attempt.
    pub(crate) attempt: Attempt,
    /// Who asked.
    pub(crate) asker: String,
    /// The policy layers that the control plane sent.
    #[serde(default)]
    pub(crate) policy: Vec<PolicyLayerText>,
}

impl Leash {
    /// Returns that of an attempt which a person started.
    pub(crate) fn of_nobody(task: &TaskId) -> Self {
        let (task, asker) = (task.clone(), ASKER.to_owned());
        Self { task, attempt: Attempt(1), asker, policy: Vec::new() }
    }

    /// Reads one.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = context::read_text(path, "the lease", context::FILE_CAP)?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::usage(format!("{} is no lease: {error}", path.display())).into())
    }
}

/// Cancels when standard input ends, which the worker holds open as long as it lives, and ends the process when that does
/// not end it soon: an attempt outlives neither its worker nor its lease.
pub(crate) fn hold(cancel: &Cancel) {
    let cancel = cancel.clone();
    std::thread::spawn(move || {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(1..)) {}
        cancel.cancel();
        let since = std::time::Instant::now();
        while let Some(left) = GRACE.checked_sub(since.elapsed()) {
            std::thread::park_timeout(left);
        }
        std::process::exit(i32::from(exit::CANCELLED));
    });
}
