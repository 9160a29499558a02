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

/// The longest that an attempt has to end in order after its worker died or let go of it, seconds.
const GRACE_S: u64 = 10;

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
    /// How long the attempt has to end in order after its worker died or let go of it, seconds.
    pub(crate) grace_s: u64,
}

impl Leash {
    /// Returns that of an attempt which a person started.
    pub(crate) fn of_nobody(task: &TaskId) -> Self {
        let (task, asker) = (task.clone(), ASKER.to_owned());
        Self { task, attempt: Attempt(1), asker, policy: Vec::new(), grace_s: GRACE_S }
    }

    /// Returns how long an attempt has whose lease holds for so many seconds. A worker that dies has renewed a third of that ago
    /// at most; a third more is left to whoever looks late.
    pub(crate) fn grace_s(lease_s: u64) -> u64 {
        (lease_s / 3).min(GRACE_S)
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
pub(crate) fn hold(cancel: &Cancel, grace_s: u64) {
    let (cancel, grace) = (cancel.clone(), Duration::from_secs(grace_s));
    std::thread::spawn(move || {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(1..)) {}
        cancel.cancel();
        let since = std::time::Instant::now();
        while let Some(left) = grace.checked_sub(since.elapsed()) {
            std::thread::park_timeout(left);
        }
        std::process::exit(i32::from(exit::CANCELLED));
    });
}
