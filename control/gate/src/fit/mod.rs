//! Weights from outcomes: patches that were opened, what spoke against each, and whether it was merged.
//!
//! A logistic regression whose weights are at least 0, drawn towards the weights that were there before (a penalty of
//! `l2 / 2 * (w - w0)^2` for each, measured at the feature's cap): a feature that no outcome shows keeps its weight.
//! The bias is free. There is exactly one optimum, and it does not depend on the order of the outcomes.
//!
//! How good the weights are is measured on outcomes they were not fitted on (cross-validation). They are called
//! calibrated only when they predict those better than the constant share of merged patches does.

mod data;
mod newton;
mod report;

use std::collections::BTreeMap;

use gloaming_api::{Digest, canonical_json};

pub use data::{DataError, Outcome, outcomes};
pub use report::{Bin, Report};

use crate::weights::{Weight, Weights, WeightsError, logistic};

/// The fewest outcomes weights are fitted on.
pub const LEAST_OUTCOMES: usize = 50;

/// The fewest merged ones among them, and the fewest that were not.
pub const LEAST_OF_A_KIND: usize = 10;

/// The most outcomes.
pub const MOST_OUTCOMES: usize = 1_000_000;

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How strongly weights are drawn to what they were; above 0. A weight's prior standard deviation, in log-odds at
    /// the feature's cap, is `1 / sqrt(l2)`.
    pub l2: f64,
    /// How many parts the outcomes are divided into for measuring; 2 to 10.
    pub folds: usize,
    /// How many bins of equal width the reliability curve has; 2 to 100.
    pub bins: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { l2: 0.25, folds: 5, bins: 10 }
    }
}

/// Weights cannot be fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// Too few outcomes to say anything.
    #[error(
        "{merged} merged and {closed} other outcomes; at least {LEAST_OUTCOMES} are needed, and {LEAST_OF_A_KIND} of \
         each kind"
    )]
    TooFew {
        /// Merged ones.
        merged: usize,
        /// Others.
        closed: usize,
    },
    /// More than there is memory for.
    #[error("{0} outcomes; at most {MOST_OUTCOMES}")]
    TooMany(usize),
    /// A feature is no number, or below 0.
    #[error("outcome {outcome} has {feature:?} at {value}; features are numbers from 0 on")]
    Feature {
        /// Counted from 1.
        outcome: usize,
        /// Its name.
        feature: String,
        /// Its value.
        value: f64,
    },
    /// An option is out of its range.
    #[error("{name} is {value}; it must be {range}")]
    Option {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// What came out are no weights.
    #[error("the fitted weights cannot be used")]
    Weights(#[from] WeightsError),
    /// The optimum was not reached.
    #[error("the fit did not settle with an l2 of {l2}; a larger one makes it easier")]
    NotSettled {
        /// The penalty.
        l2: f64,
    },
}

/// Fits `template`'s features and caps to outcomes. Features it does not name count as its `other`.
///
/// # Errors
/// Too few or too many outcomes, values or options that are not in their range, a fit that does not settle.
pub fn fit(template: &Weights, outcomes: &[Outcome], options: &Options) -> Result<Weights, FitError> {
    options.check()?;
    let merged = outcomes.iter().filter(|outcome| outcome.merged).count();
    let closed = outcomes.len() - merged;
    if outcomes.len() < LEAST_OUTCOMES || merged.min(closed) < LEAST_OF_A_KIND {
        return Err(FitError::TooFew { merged, closed });
    }
    if outcomes.len() > MOST_OUTCOMES {
        return Err(FitError::TooMany(outcomes.len()));
    }
    for (index, outcome) in outcomes.iter().enumerate() {
        if let Some((feature, value)) =
            outcome.features.iter().find(|(_, value)| !(value.is_finite() && **value >= 0.0))
        {
            return Err(FitError::Feature { outcome: index + 1, feature: feature.clone(), value: *value });
        }
    }

    let columns = Columns::of(template);
    // In the order of their text: neither the optimum's last digits nor the folds depend on the order they came in.
    let mut rows: Vec<(String, Row)> =
        outcomes.iter().map(|outcome| (canonical_json(outcome), columns.row(outcome))).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let data = Digest::of(rows.iter().flat_map(|row| [row.0.as_str(), "\n"]).collect::<String>());
    let rows: Vec<Row> = rows.into_iter().map(|row| row.1).collect();

    let prior = columns.prior(template);
    let (predictions, constant) = held_out(&rows, &prior, options)?;
    let report = Report {
        data,
        outcomes: rows.len(),
        merged,
        l2: options.l2,
        folds: options.folds,
        brier: report::brier(&predictions),
        brier_of_share: report::brier(&constant),
        log_loss: report::log_loss(&predictions),
        log_loss_of_share: report::log_loss(&constant),
        reliability: report::reliability(&predictions, options.bins),
        seen: columns.seen(&rows),
    };
    let solution = newton::solve(&rows.iter().collect::<Vec<_>>(), &prior, options.l2)?;
    let (other, features) = columns.weights(&solution);
    Ok(Weights::new(report.beats_the_share(), solution.bias, other, features, Some(report))?)
}

impl Options {
    fn check(&self) -> Result<(), FitError> {
        let wrong = |name, value, range| Err(FitError::Option { name, value, range });
        if !(1e-6..=1e6).contains(&self.l2) {
            return wrong("l2", self.l2, "from 1e-6 to 1e6");
        }
        // Each kind has at least as many outcomes, so that no fold lacks one.
        if !(2..=LEAST_OF_A_KIND).contains(&self.folds) {
            return wrong("folds", self.folds as f64, "from 2 to 10");
        }
        if !(2..=100).contains(&self.bins) {
            return wrong("bins", self.bins as f64, "from 2 to 100");
        }
        Ok(())
    }
}

/// One outcome in numbers: every feature as a share of its cap.
struct Row {
    features: Vec<f64>,
    merged: bool,
}

/// A probability and what came of it.
struct Prediction {
    p: f64,
    merged: bool,
}

/// Predicts every outcome by weights fitted on the other folds, and by the share of merged ones in the other folds.
fn held_out(
    rows: &[Row],
    prior: &[f64],
    options: &Options,
) -> Result<(Vec<Prediction>, Vec<Prediction>), FitError> {
    // Each kind is dealt out in turn, so that the folds have nearly the same share of it.
    let mut dealt = [0; 2];
    let folds: Vec<usize> = rows
        .iter()
        .map(|row| {
            let next = &mut dealt[usize::from(row.merged)];
            *next += 1;
            (*next - 1) % options.folds
        })
        .collect();
    let mut by_weights = Vec::with_capacity(rows.len());
    let mut by_share = Vec::with_capacity(rows.len());
    for fold in 0..options.folds {
        let (inside, outside): (Vec<_>, Vec<_>) = rows.iter().zip(&folds).partition(|(_, f)| **f == fold);
        let outside: Vec<&Row> = outside.into_iter().map(|(row, _)| row).collect();
        let solution = newton::solve(&outside, prior, options.l2)?;
        let share = outside.iter().filter(|row| row.merged).count() as f64 / outside.len() as f64;
        for (row, _) in inside {
            let merged = row.merged;
            by_weights.push(Prediction { p: logistic(solution.log_odds(row)), merged });
            by_share.push(Prediction { p: share, merged });
        }
    }
    Ok((by_weights, by_share))
}

/// The template's features in their order, and `other` last.
struct Columns {
    names: Vec<String>,
    caps: Vec<f64>,
}

impl Columns {
    fn of(template: &Weights) -> Self {
        let features = template.features();
        let caps = features.values().map(|weight| weight.cap).chain([template.other().cap]).collect();
        Self { names: features.keys().cloned().collect(), caps }
    }

    fn row(&self, outcome: &Outcome) -> Row {
        let mut features = vec![0.0; self.caps.len()];
        for (name, value) in &outcome.features {
            let column = self.names.binary_search(name).unwrap_or(self.names.len());
            features[column] += value.min(self.caps[column]) / self.caps[column];
        }
        Row { features, merged: outcome.merged }
    }

    /// What each weight takes from the log-odds at the feature's cap.
    fn prior(&self, template: &Weights) -> Vec<f64> {
        let weights = template.features().values().chain([&template.other()]).copied().collect::<Vec<_>>();
        weights.into_iter().map(|weight| weight.weight * weight.cap).collect()
    }

    /// How many outcomes show each feature.
    fn seen(&self, rows: &[Row]) -> BTreeMap<String, usize> {
        let count = |column: usize| rows.iter().filter(|row| row.features[column] > 0.0).count();
        let names = self.names.iter().map(String::as_str).chain(["other"]);
        names.enumerate().map(|(column, name)| (name.to_owned(), count(column))).collect()
    }

    fn weights(&self, solution: &newton::Solution) -> (Weight, BTreeMap<String, Weight>) {
        let of = |column: usize| {
            let cap = self.caps[column];
            Weight { weight: solution.weights[column] / cap, cap }
        };
        let features = self.names.iter().enumerate().map(|(column, name)| (name.clone(), of(column)));
        (of(self.names.len()), features.collect())
    }
}
