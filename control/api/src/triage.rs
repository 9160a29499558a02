//! Whether a task is worth beginning.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evidence::Moved;

/// Numbers by name, each at least 0 and each speaking against a task the more the larger it is. A name that is missing is 0.
pub type TaskFeatures = BTreeMap<String, f64>;

/// How likely a task is to end in a change that is merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feasibility {
    /// 0 to 1; a probability only where `calibrated` is true.
    pub score: f64,
    /// What is needed to begin.
    pub threshold: f64,
    /// Whether the weights were fitted to outcomes.
    pub calibrated: bool,
    /// What lowered it, the largest part first.
    pub moved: Vec<Moved>,
}

impl Feasibility {
    /// Whether the task is worth beginning.
    pub fn is_enough(&self) -> bool {
        self.score >= self.threshold
    }
}

/// Judges the features of a task.
pub type Feasible = Arc<dyn Fn(&TaskFeatures) -> Feasibility + Send + Sync>;
