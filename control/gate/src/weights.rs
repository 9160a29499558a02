//! The score: a logistic function of the features, and the weights it is made with (`weights.json`).
//!
//! `log-odds = bias - sum of weight * min(feature, cap)`, every weight at least 0: more against a patch never raises
//! its score.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use gloaming_api::Digest;
use gloaming_api::evidence::Moved;
use serde::{Deserialize, Serialize};

use crate::features::Features;
use crate::fit::Report;

/// How much one feature lowers the score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// What a unit of it takes from the log-odds; at least 0.
    pub weight: f64,
    /// From which value on more adds nothing; above 0.
    pub cap: f64,
}

/// The gate's weights. They can only be made in such a way that the score is monotone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Weights {
    calibrated: bool,
    bias: f64,
    other: Weight,
    features: BTreeMap<String, Weight>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fit: Option<Report>,
    /// Of the above; every verdict names it.
    #[serde(skip)]
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    calibrated: bool,
    bias: f64,
    other: Weight,
    features: BTreeMap<String, Weight>,
    #[serde(default)]
    fit: Option<Report>,
}

/// Weights that make no score.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WeightsError {
    /// The bias is no number, or too large.
    #[error("the bias is {0:?}; it must be a number from -1e6 to 1e6")]
    Bias(f64),
    /// A weight that is no number, too large, or would make the score rise.
    #[error("the weight of {0:?} is {1:?}; it must be a number from 0 to 1e6")]
    Weight(String, f64),
    /// A cap that is no number, too large, or lets nothing count.
    #[error("the cap of {0:?} is {1:?}; it must be a number above 0, at most 1e6")]
    Cap(String, f64),
    /// Calibrated on nothing.
    #[error("weights that call themselves calibrated must tell how they were fitted, under \"fit\"")]
    NoFit,
    /// A feature that goes by the name of all others.
    #[error("a feature cannot be called \"other\": that is the weight of all that have none")]
    Other,
    /// More features than a gate can have.
    #[error("{0} features; at most 1000")]
    Many(usize),
}

impl TryFrom<Unchecked> for Weights {
    type Error = WeightsError;

    fn try_from(given: Unchecked) -> Result<Self, WeightsError> {
        let Unchecked { calibrated, bias, other, features, fit } = given;
        Self::new(calibrated, bias, other, features, fit)
    }
}

static BUILT_IN: LazyLock<Weights> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../weights.json")).expect("a test parses the built-in weights")
});

/// Returns the weights this build was made with.
pub fn built_in() -> &'static Weights {
    &BUILT_IN
}

impl Weights {
    pub(crate) fn new(
        calibrated: bool,
        bias: f64,
        other: Weight,
        features: BTreeMap<String, Weight>,
        fit: Option<Report>,
    ) -> Result<Self, WeightsError> {
        const MOST: f64 = 1e6;
        if !(-MOST..=MOST).contains(&bias) {
            return Err(WeightsError::Bias(bias));
        }
        for (name, weight) in features.iter().chain([(&"other".to_owned(), &other)]) {
            if !(0.0..=MOST).contains(&weight.weight) {
                return Err(WeightsError::Weight(name.clone(), weight.weight));
            }
            if !(f64::MIN_POSITIVE..=MOST).contains(&weight.cap) {
                return Err(WeightsError::Cap(name.clone(), weight.cap));
            }
        }
        if features.len() > 1000 {
            return Err(WeightsError::Many(features.len()));
        }
        if features.contains_key("other") {
            return Err(WeightsError::Other);
        }
        if calibrated && fit.is_none() {
            return Err(WeightsError::NoFit);
        }
        let mut weights = Self { calibrated, bias, other, features, fit, digest: Digest::zero() };
        weights.digest = Digest::of_json(&weights);
        Ok(weights)
    }

    /// Whether they were fitted on outcomes, and predict outcomes they were not fitted on better than a constant.
    pub fn calibrated(&self) -> bool {
        self.calibrated
    }

    /// The log-odds of a patch that nothing speaks against.
    pub fn bias(&self) -> f64 {
        self.bias
    }

    /// The weight of each feature that has one of its own.
    pub fn features(&self) -> &BTreeMap<String, Weight> {
        &self.features
    }

    /// The weight of every other feature.
    pub fn other(&self) -> Weight {
        self.other
    }

    /// How they were fitted, where they were.
    pub fn fit(&self) -> Option<&Report> {
        self.fit.as_ref()
    }

    /// Returns the digest of the canonical JSON of these weights, by which verdicts name them.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the score of `features`, 0 to 1, and what moved it, the largest part first.
    ///
    /// The score is rounded to six digits, so that it is the number that is written down. It is computed without the
    /// platform's mathematics library: it is the same everywhere.
    pub fn score(&self, features: &Features) -> (f64, Vec<Moved>) {
        let mut moved: Vec<Moved> = features
            .iter()
            .map(|(name, &value)| {
                let weight = self.features.get(name).unwrap_or(&self.other);
                Moved { feature: name.clone(), value, log_odds: weight.weight * value.clamp(0.0, weight.cap) }
            })
            .filter(|part| part.log_odds > 0.0)
            .collect();
        // In the order of names: a sum in the order of size could be rounded the other way when a part is added.
        let against: f64 = moved.iter().map(|part| part.log_odds).sum();
        moved.sort_by(|a, b| b.log_odds.total_cmp(&a.log_odds));
        let score = (logistic(self.bias - against) * 1e6).round() / 1e6;
        (score, moved)
    }
}

/// Returns `1 / (1 + e^-x)`, without overflow for any `x`.
pub(crate) fn logistic(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + libm::exp(-x))
    } else {
        let e = libm::exp(x);
        e / (1.0 + e)
    }
}

/// What a bad pull request costs, in units of what a good one gains: at least 0.
///
/// Opening a pull request that is merged with probability `p` is worth `p - (1 - p) c`, bowing out nothing. So it pays
/// from `p = c / (1 + c)` on.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct CostRatio(f64);

/// A ratio of costs that is none.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is no ratio of costs: want a number from 0 (open everything) to 1e6 (open next to nothing)")]
pub struct CostRatioError(f64);

impl CostRatio {
    /// Returns the score that is needed, 0 to 1.
    pub fn threshold(self) -> f64 {
        self.0 / (1.0 + self.0)
    }
}

impl Default for CostRatio {
    /// One and a half: a score of 0.6 is needed.
    fn default() -> Self {
        Self(1.5)
    }
}

impl TryFrom<f64> for CostRatio {
    type Error = CostRatioError;

    fn try_from(ratio: f64) -> Result<Self, CostRatioError> {
        if (0.0..=1e6).contains(&ratio) { Ok(Self(ratio)) } else { Err(CostRatioError(ratio)) }
    }
}

impl From<CostRatio> for f64 {
    fn from(ratio: CostRatio) -> Self {
        ratio.0
    }
}
