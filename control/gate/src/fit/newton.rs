//! The optimum of a logistic regression whose weights may not be negative.
//!
//! Minimises, over the bias `b` and weights `w >= 0`,
//! `sum of ln(1 + e^z) - y z, plus l2 / 2 * |w - w0|^2`, where `z = b - w x` and `y` is 1 for a merged outcome.
//! The method is Bertsekas' projected Newton ("Projected Newton Methods for Optimization Problems with Simple
//! Constraints", SIAM J. Control and Optimization 20, 1982): weights that stand at 0 and would go below are held, the
//! others take a Newton step, and what ends below 0 is put back to 0. The function is strictly convex, so that there is
//! one optimum.

use super::{FitError, Row};
use crate::weights::logistic;

/// A bias, and what each feature takes from it at its cap.
#[derive(Debug, Clone)]
pub(super) struct Solution {
    pub(super) bias: f64,
    pub(super) weights: Vec<f64>,
}

impl Solution {
    pub(super) fn log_odds(&self, row: &Row) -> f64 {
        self.bias - self.weights.iter().zip(&row.features).map(|(w, x)| w * x).sum::<f64>()
    }
}

/// Newton steps; it settles in a dozen.
const MOST_STEPS: usize = 200;

/// Halvings of one step.
const MOST_HALVINGS: i32 = 60;

/// Returns the optimum for `rows`, which hold both kinds.
pub(super) fn solve(rows: &[&Row], prior: &[f64], l2: f64) -> Result<Solution, FitError> {
    let problem = Problem { rows, prior, l2 };
    let merged = rows.iter().filter(|row| row.merged).count() as f64;
    // Position 0 is the bias, whatever stands for features follows.
    let mut at = vec![libm::log(merged / (rows.len() as f64 - merged))];
    at.extend_from_slice(prior);
    let mut value = problem.value(&at);
    for _ in 0..MOST_STEPS {
        let (gradient, hessian) = problem.derivatives(&at);
        let moves: Vec<f64> = (0..at.len()).map(|j| at[j] - projected(j, at[j] - gradient[j])).collect();
        let distance = moves.iter().fold(0.0_f64, |most, step| most.max(step.abs()));
        if distance <= 1e-9 * rows.len() as f64 {
            return Ok(Solution { bias: at[0], weights: at.split_off(1) });
        }
        let near = distance.min(1e-9);
        let held: Vec<bool> = (0..at.len()).map(|j| j > 0 && at[j] <= near && gradient[j] > 0.0).collect();
        let step = newton_step(&gradient, &hessian, &held);
        let Some(next) = problem.search(&at, value, &gradient, &step, &held) else {
            return Err(FitError::NotSettled { l2 });
        };
        (at, value) = next;
    }
    Err(FitError::NotSettled { l2 })
}

fn projected(position: usize, value: f64) -> f64 {
    if position == 0 { value } else { value.max(0.0) }
}

struct Problem<'a> {
    rows: &'a [&'a Row],
    prior: &'a [f64],
    l2: f64,
}

impl Problem<'_> {
    fn log_odds(row: &Row, at: &[f64]) -> f64 {
        at[0] - at[1..].iter().zip(&row.features).map(|(w, x)| w * x).sum::<f64>()
    }

    fn value(&self, at: &[f64]) -> f64 {
        let loss: f64 = self
            .rows
            .iter()
            .map(|row| {
                let z = Self::log_odds(row, at);
                // ln(1 + e^z) without overflow.
                z.max(0.0) + libm::log1p(libm::exp(-z.abs())) - if row.merged { z } else { 0.0 }
            })
            .sum();
        let drawn: f64 = at[1..].iter().zip(self.prior).map(|(w, w0)| (w - w0) * (w - w0)).sum();
        loss + self.l2 / 2.0 * drawn
    }

    /// Returns the gradient and the matrix of second derivatives.
    fn derivatives(&self, at: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
        let size = at.len();
        let mut gradient = vec![0.0; size];
        let mut hessian = vec![vec![0.0; size]; size];
        for row in self.rows {
            let p = logistic(Self::log_odds(row, at));
            let error = p - f64::from(u8::from(row.merged));
            let curve = p * (1.0 - p);
            // Most features of most outcomes are 0.
            let present: Vec<(usize, f64)> = std::iter::once((0, 1.0))
                .chain(row.features.iter().enumerate().filter(|(_, x)| **x != 0.0).map(|(j, x)| (j + 1, -x)))
                .collect();
            for &(j, x) in &present {
                gradient[j] += error * x;
                for &(k, y) in &present {
                    hessian[j][k] += curve * x * y;
                }
            }
        }
        for j in 1..size {
            gradient[j] += self.l2 * (at[j] - self.prior[j - 1]);
            hessian[j][j] += self.l2;
        }
        (gradient, hessian)
    }

    /// Returns a point along the step, projected, that is better by a fair part of what the gradient promises (Armijo's
    /// rule), and its value.
    fn search(
        &self,
        at: &[f64],
        value: f64,
        gradient: &[f64],
        step: &[f64],
        held: &[bool],
    ) -> Option<(Vec<f64>, f64)> {
        // Close to the optimum the gain of a step is smaller than what rounding does to the value, and the step is right.
        let rounding = 1e-12 * (1.0 + value.abs());
        (0..MOST_HALVINGS).find_map(|halving| {
            let length = 0.5_f64.powi(halving);
            let next: Vec<f64> = (0..at.len()).map(|j| projected(j, at[j] - length * step[j])).collect();
            let promised: f64 = (0..at.len())
                .map(|j| gradient[j] * if held[j] { at[j] - next[j] } else { length * step[j] })
                .sum();
            let reached = self.value(&next);
            (reached <= value - 1e-4 * promised + rounding).then_some((next, reached))
        })
    }
}

/// Returns the Newton step of the positions that are not held, and a scaled gradient step of those that are.
fn newton_step(gradient: &[f64], hessian: &[Vec<f64>], held: &[bool]) -> Vec<f64> {
    let free: Vec<usize> = (0..gradient.len()).filter(|j| !held[*j]).collect();
    let matrix: Vec<Vec<f64>> = free.iter().map(|j| free.iter().map(|k| hessian[*j][*k]).collect()).collect();
    let right: Vec<f64> = free.iter().map(|j| gradient[*j]).collect();
    let mut step: Vec<f64> = (0..gradient.len()).map(|j| gradient[j] / hessian[j][j].max(1e-12)).collect();
    for (j, part) in free.into_iter().zip(solve_positive(matrix, right)) {
        step[j] = part;
    }
    step
}

/// Solves a symmetric positive definite system by Cholesky's factorisation. A pivot that rounding has brought to 0 is
/// raised: the step is shorter then, and still one downwards.
fn solve_positive(mut a: Vec<Vec<f64>>, mut x: Vec<f64>) -> Vec<f64> {
    let n = x.len();
    for j in 0..n {
        for k in 0..j {
            let factor = a[j][k];
            for row in &mut a[j..] {
                row[j] -= row[k] * factor;
            }
        }
        let pivot = a[j][j].max(1e-12).sqrt();
        for row in &mut a[j..] {
            row[j] /= pivot;
        }
        a[j][j] = pivot;
    }
    for j in 0..n {
        for k in 0..j {
            x[j] -= a[j][k] * x[k];
        }
        x[j] /= a[j][j];
    }
    for j in (0..n).rev() {
        for k in j + 1..n {
            x[j] -= a[k][j] * x[k];
        }
        x[j] /= a[j][j];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(spec: &[(&[f64], bool, usize)]) -> Vec<Row> {
        spec.iter()
            .flat_map(|(features, merged, times)| {
                (0..*times).map(|_| Row { features: features.to_vec(), merged: *merged })
            })
            .collect()
    }

    #[test]
    fn a_positive_system_is_solved() {
        let a = vec![vec![4.0, 2.0, 0.4], vec![2.0, 5.0, 1.0], vec![0.4, 1.0, 3.0]];
        let x = [1.5, -2.0, 0.25];
        let right = a.iter().map(|row| row.iter().zip(&x).map(|(p, q)| p * q).sum()).collect();
        for (found, wanted) in solve_positive(a, right).into_iter().zip(x) {
            assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
        }
    }

    #[test]
    fn one_feature_has_the_weight_of_its_odds() {
        // 30 of 40 without it are merged, 10 of 40 with it: log-odds ln 3 and -ln 3.
        let rows = rows(&[(&[0.0], true, 30), (&[0.0], false, 10), (&[1.0], true, 10), (&[1.0], false, 30)]);
        let solution = solve(&rows.iter().collect::<Vec<_>>(), &[0.0], 1e-6).unwrap();
        let log_3 = 3.0_f64.ln();
        assert!((solution.bias - log_3).abs() < 1e-5, "{solution:?}");
        assert!((solution.weights[0] - 2.0 * log_3).abs() < 1e-5, "{solution:?}");
    }

    #[test]
    fn what_speaks_for_a_patch_gets_no_weight() {
        let rows = rows(&[(&[0.0], true, 10), (&[0.0], false, 30), (&[1.0], true, 30), (&[1.0], false, 10)]);
        let solution = solve(&rows.iter().collect::<Vec<_>>(), &[0.7], 0.25).unwrap();
        assert_eq!(solution.weights, [0.0]);
        // The bias is then the share of merged ones: one half.
        assert!(solution.bias.abs() < 1e-9, "{solution:?}");
    }

    #[test]
    fn a_feature_that_decides_everything_stays_finite() {
        let rows = rows(&[(&[0.0, 1.0], true, 40), (&[1.0, 1.0], false, 40)]);
        let solution = solve(&rows.iter().collect::<Vec<_>>(), &[0.0, 0.5], 0.25).unwrap();
        assert!(solution.weights[0] > 3.0 && solution.weights[0] < 20.0, "{solution:?}");
        let p = logistic(solution.log_odds(&rows[0]));
        assert!(p > 0.9 && p < 1.0, "{p}");
    }

    #[test]
    fn the_optimum_meets_the_conditions_of_one() {
        // Karush, Kuhn and Tucker: the slope is 0 where a weight is free, and not negative where it is held at 0.
        let rows = rows(&[
            (&[0.0, 0.2, 0.9], true, 25),
            (&[1.0, 0.0, 0.1], false, 9),
            (&[0.5, 1.0, 0.0], true, 14),
            (&[0.25, 0.6, 1.0], false, 17),
            (&[0.0, 0.0, 0.0], true, 31),
            (&[1.0, 1.0, 1.0], false, 12),
        ]);
        let all: Vec<&Row> = rows.iter().collect();
        let prior = [0.4, 1.2, 0.0];
        let solution = solve(&all, &prior, 0.25).unwrap();
        let mut at = vec![solution.bias];
        at.extend(&solution.weights);
        let (gradient, _) = Problem { rows: &all, prior: &prior, l2: 0.25 }.derivatives(&at);
        for j in 0..at.len() {
            let free = j == 0 || at[j] > 0.0;
            assert!(
                if free { gradient[j].abs() < 1e-6 } else { gradient[j] >= 0.0 },
                "{j} {at:?} {gradient:?}"
            );
        }
    }
}
