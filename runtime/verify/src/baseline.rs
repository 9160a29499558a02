//! The untouched tree: does it build, does its suite run, which of its tests are flaky.

use std::collections::BTreeMap;
use std::fmt;

use gloaming_api::Digest;
use gloaming_api::evidence::{Finding, JobEvidence, TestResults};
use serde::{Deserialize, Serialize};

use crate::{BaselineInputs, VerifyError};

/// What was seen of the untouched tree. Reusable for every patch against the same base in the same
/// environment under the same policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Digest over everything the baseline depends on; see [`Baseline::fits`].
    pub key: Digest,
    /// The base commit.
    pub base: String,
    /// The environment of the jobs.
    pub environment: Digest,
    /// Why no patch against this base can be verified, where that is so.
    pub red: Option<Red>,
    /// Results of the first run of the suite.
    pub tests: TestResults,
    /// Tests whose result differed between the runs.
    pub flaky: Vec<String>,
    /// Findings of the linter, by how often each was seen; none where there is no linter or it does not
    /// run.
    pub lint: Option<BTreeMap<String, u32>>,
    /// Every container run.
    pub jobs: Vec<JobEvidence>,
}

/// Why a base is of no use for verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Red {
    /// `baseline_red`, `no_tests` or `job_limit`.
    pub code: Finding,
    /// One line for a reviewer.
    pub detail: String,
}

impl fmt::Display for Red {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// Builds the untouched tree and runs its suite twice.
pub async fn baseline(inputs: BaselineInputs<'_>) -> Result<Baseline, VerifyError> {
    let _ = inputs;
    todo!()
}
