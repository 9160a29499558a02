//! How good predictions are.

use std::collections::BTreeMap;

use gloaming_api::Digest;
use serde::{Deserialize, Serialize};

use super::Prediction;

/// How weights were fitted, and how well they predict outcomes they were not fitted on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Digest of the outcomes: each as canonical JSON, a line each, sorted.
    pub data: Digest,
    /// How many there were.
    pub outcomes: usize,
    /// How many of them were merged.
    pub merged: usize,
    /// How strongly the weights were drawn to what they were.
    pub l2: f64,
    /// How many folds the numbers below are of.
    pub folds: usize,
    /// Mean square of the error of the predicted probabilities (Brier, 1950), 0 to 1, less is better.
    pub brier: f64,
    /// The same of always predicting the share of merged outcomes.
    pub brier_of_share: f64,
    /// Mean negative logarithm of the probability given to what happened, less is better.
    pub log_loss: f64,
    /// The same of always predicting the share of merged outcomes.
    pub log_loss_of_share: f64,
    /// What was predicted against what happened.
    pub reliability: Vec<Bin>,
    /// How many outcomes show each feature. One that none shows has the weight it had before.
    pub seen: BTreeMap<String, usize>,
}

/// A bin of the reliability curve. Those without outcomes are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// The least probability in it.
    pub from: f64,
    /// The least probability above it.
    pub to: f64,
    /// Outcomes with a probability in between.
    pub outcomes: usize,
    /// The mean of their probabilities.
    pub predicted: f64,
    /// The share of them that was merged.
    pub merged: f64,
}

impl Report {
    /// Whether the weights predict better than the share of merged outcomes alone, by both measures.
    pub fn beats_the_share(&self) -> bool {
        self.brier < self.brier_of_share && self.log_loss < self.log_loss_of_share
    }

    /// Mean distance between what was predicted and what happened, over the bins by their outcomes (the expected
    /// calibration error), 0 to 1.
    pub fn calibration_error(&self) -> f64 {
        let all: usize = self.reliability.iter().map(|bin| bin.outcomes).sum();
        let off = |bin: &Bin| bin.outcomes as f64 * (bin.predicted - bin.merged).abs();
        self.reliability.iter().map(off).sum::<f64>() / all.max(1) as f64
    }
}

pub(super) fn brier(predictions: &[Prediction]) -> f64 {
    mean(predictions.iter().map(|prediction| {
        let error = prediction.p - happened(prediction);
        error * error
    }))
}

pub(super) fn log_loss(predictions: &[Prediction]) -> f64 {
    mean(predictions.iter().map(|prediction| {
        let p = if prediction.merged { prediction.p } else { 1.0 - prediction.p };
        // A probability that rounds to 0 would make the loss infinite, and no file holds that.
        -libm::log(p.max(1e-15))
    }))
}

pub(super) fn reliability(predictions: &[Prediction], bins: usize) -> Vec<Bin> {
    let edge = |bin: usize| bin as f64 / bins as f64;
    let of = |prediction: &Prediction| ((prediction.p * bins as f64) as usize).min(bins - 1);
    let mut sums = vec![(0, 0.0, 0.0); bins];
    for prediction in predictions {
        let sum = &mut sums[of(prediction)];
        sum.0 += 1;
        sum.1 += prediction.p;
        sum.2 += happened(prediction);
    }
    let made = |(bin, (outcomes, p, merged)): (usize, (usize, f64, f64))| Bin {
        from: edge(bin),
        to: edge(bin + 1),
        outcomes,
        predicted: p / outcomes as f64,
        merged: merged / outcomes as f64,
    };
    sums.into_iter().enumerate().filter(|(_, sum)| sum.0 > 0).map(made).collect()
}

fn happened(prediction: &Prediction) -> f64 {
    f64::from(u8::from(prediction.merged))
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    values.sum::<f64>() / count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions(spec: &[(f64, bool)]) -> Vec<Prediction> {
        spec.iter().map(|&(p, merged)| Prediction { p, merged }).collect()
    }

    #[test]
    fn a_constant_has_the_brier_score_and_loss_of_its_share() {
        // Three of four: q (1 - q) = 3/16, and the entropy of q.
        let constant = predictions(&[(0.75, true), (0.75, true), (0.75, false), (0.75, true)]);
        assert_eq!(brier(&constant), 0.1875);
        assert!((log_loss(&constant) - (-0.75 * 0.75_f64.ln() - 0.25 * 0.25_f64.ln())).abs() < 1e-12);
    }

    #[test]
    fn certainty_is_best_when_right_and_worst_when_wrong() {
        assert_eq!(brier(&predictions(&[(1.0, true), (0.0, false)])), 0.0);
        assert_eq!(brier(&predictions(&[(1.0, false), (0.0, true)])), 1.0);
        assert_eq!(log_loss(&predictions(&[(1.0, true), (0.0, false)])), 0.0);
        assert!(log_loss(&predictions(&[(1.0, false)])).is_finite());
    }

    #[test]
    fn bins_hold_every_prediction_once() {
        let made =
            predictions(&[(0.0, false), (0.09, true), (0.1, false), (0.95, true), (1.0, true), (0.5, false)]);
        let bins = reliability(&made, 10);
        assert_eq!(bins.iter().map(|bin| bin.outcomes).sum::<usize>(), 6);
        let merged: f64 = bins.iter().map(|bin| bin.merged * bin.outcomes as f64).sum();
        assert_eq!(merged, 3.0);
        let shown: Vec<_> = bins.iter().map(|bin| (bin.from, bin.outcomes)).collect();
        assert_eq!(shown, [(0.0, 2), (0.1, 1), (0.5, 1), (0.9, 2)]);
    }
}
