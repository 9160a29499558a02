//! V7: whether a test that fails with the patch fails *because* of it, or as it does without: the rule by which
//! tests are run again, and its error rates.
//!
//! A suspect is a test that failed in some run of the patched tree P and not in every run of the base B. The run
//! that made it one does not count; what both trees do afterwards does, as draws of two coins that fall on
//! "fails" with the unknown rates `b` on B and `p` on P. Two questions are asked after every run, each by a
//! likelihood ratio that may be looked at as often as one likes and that exceeds `1/a` with probability at most
//! `a` where its null hypothesis holds (Ville's inequality), so that there is no number of runs to be fixed before:
//!
//! - *Guilt*, against "p <= b, whatever b is": the ratio of the block's likelihood under two stated rates and
//!   under their weighted mean (Turner, Ly, Grünwald: Generic E-variables for exact sequential k-sample tests that
//!   allow for optional stopping, J. Statist. Plann. Inference 230, 2024), of which several are averaged. Each
//!   block's factor has an expectation of at most 1 for every b >= p: with the mean m the expectation is
//!   `l(b)^n * r(p)^k` where l falls, r rises, both are linear and 1 at m, and their weighted mean is 1, so
//!   that the inequality of the means bounds it.
//! - *Innocence*, against "p >= q": Wald's sequential ratio (Sequential Tests of Statistical Hypotheses, Ann. Math.
//!   Stat. 16, 1945) of the rate predicted from all runs so far against q. For a test that has been seen to flip on
//!   B, q is 0.9: it is not broken. For one that never has, q is 0.5: it would have been noticed.
//!
//! Promises, per patch: with every suspect innocent, one is found guilty with probability at most `alpha` (the mean
//! of the suspects' ratios is what is compared, which holds however tests depend on each other: Vovk, Wang:
//! E-values, Ann. Statist. 49, 2021); a test that the patch makes fail at a rate of q or more is cleared with
//! probability at most `beta`. What neither decides within the number of reruns is *unknown*. The tests
//! measure both rates.
//!
//! What is assumed: runs of one test on one tree are independent and alike. Runs of the whole suite and of
//! chosen tests are not alike, so a [`Trial`] holds runs of one sort.

#[cfg(test)]
mod simulation;

use std::collections::BTreeMap;

/// How much is run to tell flaky tests from broken ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RerunRule {
    /// How often the baseline's suite runs, at least 1; with less than 2, no test can be seen to flip.
    pub baseline_runs: u32,
    /// The most often a patch is blocked for tests that fail as often without it, a probability.
    pub alpha: f64,
    /// The most often a test is cleared that the patch broke, a probability.
    pub beta: f64,
    /// How often at most each tree is run again.
    pub reruns: u32,
}

impl Default for RerunRule {
    /// 3 runs of the baseline, both error rates 1 %, 20 reruns of each tree.
    fn default() -> Self {
        Self { baseline_runs: 3, alpha: 0.01, beta: 0.01, reruns: 20 }
    }
}

/// The alternatives of *guilt*: weight, rate on the base, rate with the patch. Most patches that break a test break
/// one that never failed, and break it for good.
const BROKEN: &[(f64, f64, f64)] = &[(0.94, 0.01, 0.99), (0.03, 0.2, 0.99), (0.03, 0.5, 0.99)];

/// The failure rate that is refuted of a test that has flipped on the base.
const BROKEN_RATE: f64 = 0.9;
/// The failure rate that is refuted of a test that has never failed on the base.
const NOTICED_RATE: f64 = 0.5;

/// What a prediction is made of before anything was seen: this many failures and as many passes.
const PRIOR: f64 = 0.1;

/// One of the two trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tree {
    Base,
    Patched,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Run this tree once more.
    Run(Tree),
    /// Nothing: the patch is to blame.
    Guilty,
    /// Nothing: every suspect is cleared.
    Cleared,
    /// Nothing: the reruns are used up.
    Unknown,
}

/// Whether each run of a test failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// Runs of the base, the baseline's first.
    pub(crate) base: Vec<bool>,
    /// Runs of the patched tree after the one that made the test a suspect.
    pub(crate) patched: Vec<bool>,
}

impl History {
    /// `failed 4 of 5 runs with the patch and 0 of 4 without`.
    pub(crate) fn tell(&self) -> String {
        let failed = |runs: &[bool]| runs.iter().filter(|failed| **failed).count();
        format!(
            "failed {} of {} reruns with the patch and {} of {} without",
            failed(&self.patched),
            self.patched.len(),
            failed(&self.base),
            self.base.len()
        )
    }
}

/// The suspects of one patch, and all that was run for them.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    rule: RerunRule,
    suspects: BTreeMap<String, Suspect>,
    /// Reruns of the base and of the patched tree.
    reruns: (u32, u32),
}

#[derive(Debug, Clone)]
struct Suspect {
    /// How many runs of the base were there before it became one.
    lead: usize,
    history: History,
}

impl Trial {
    pub(crate) fn new(rule: RerunRule) -> Self {
        Self { rule, suspects: BTreeMap::new(), reruns: (0, 0) }
    }

    /// Adds a suspect with the base's runs so far; one that is there already stays as it is.
    pub(crate) fn suspect(&mut self, id: &str, base: Vec<bool>) {
        let fresh = || Suspect { lead: base.len(), history: History { base, patched: Vec::new() } };
        if !self.suspects.contains_key(id) {
            self.suspects.insert(id.to_owned(), fresh());
        }
    }

    /// Adds a run: of each suspect that took part, whether it failed.
    pub(crate) fn add(&mut self, tree: Tree, run: &BTreeMap<String, bool>) {
        let reruns = match tree {
            Tree::Base => &mut self.reruns.0,
            Tree::Patched => &mut self.reruns.1,
        };
        *reruns += 1;
        for (id, failed) in run {
            let Some(suspect) = self.suspects.get_mut(id) else { continue };
            match tree {
                Tree::Base => suspect.history.base.push(*failed),
                Tree::Patched => suspect.history.patched.push(*failed),
            }
        }
    }

    /// Every suspect with its runs.
    pub(crate) fn histories(&self) -> impl Iterator<Item = (&str, &History)> {
        self.suspects.iter().map(|(id, suspect)| (id.as_str(), &suspect.history))
    }

    /// Suspects that are not cleared.
    pub(crate) fn open(&self) -> Vec<&str> {
        let open = |suspect: &Suspect| innocence(&suspect.history) * self.rule.beta < 1.0;
        self.suspects.iter().filter(|(_, suspect)| open(suspect)).map(|(id, _)| id.as_str()).collect()
    }

    /// Suspects that the patch broke; not empty once [`Trial::next`] says guilty.
    pub(crate) fn guilty(&self) -> Vec<&str> {
        self.suspects
            .iter()
            .filter(|(_, suspect)| guilt(&suspect.history, suspect.lead) * self.rule.alpha >= 1.0)
            .map(|(id, _)| id.as_str())
            .collect()
    }

    /// Decides, or says what to run.
    pub(crate) fn next(&self) -> Next {
        let ratios: f64 = self.suspects.values().map(|s| guilt(&s.history, s.lead)).sum();
        if !self.suspects.is_empty() && ratios * self.rule.alpha >= self.suspects.len() as f64 {
            return Next::Guilty;
        }
        let open = self.open();
        if open.is_empty() {
            return Next::Cleared;
        }
        // The base's next run is worth its time where a failure on the patched tree waits for it.
        let base_waited_for = open.iter().any(|id| {
            let suspect = &self.suspects[*id];
            suspect.history.patched.last() == Some(&true) && wants_base(&suspect.history, suspect.lead)
        });
        let (base, patched) = self.reruns;
        if base_waited_for && base < self.rule.reruns {
            Next::Run(Tree::Base)
        } else if patched < self.rule.reruns {
            Next::Run(Tree::Patched)
        } else {
            Next::Unknown
        }
    }
}

/// How many runs of each tree make the first block: the baseline's with two of the patched tree.
fn first_block(lead: usize) -> (usize, usize) {
    if lead == 0 { (1, 1) } else { (lead, 2) }
}

/// Blocks of runs in the order they were made: what is left over at the end waits for its other half.
fn blocks(history: &History, lead: usize) -> Vec<(&[bool], &[bool])> {
    let (mut base, mut patched) = (history.base.as_slice(), history.patched.as_slice());
    let (mut b, mut p) = first_block(lead);
    let mut out = Vec::new();
    while let (Some((base_block, base_rest)), Some((patched_block, patched_rest))) =
        (base.split_at_checked(b), patched.split_at_checked(p))
    {
        out.push((base_block, patched_block));
        (base, patched) = (base_rest, patched_rest);
        (b, p) = (1, 1);
    }
    out
}

/// Whether the next block has its runs of the patched tree and none of the base.
fn wants_base(history: &History, lead: usize) -> bool {
    let (b, p) = first_block(lead);
    let blocks = |runs: usize, first: usize| if runs < first { 0 } else { 1 + runs - first };
    blocks(history.base.len(), b) < blocks(history.patched.len(), p)
}

/// The ratio against "fails no more often with the patch than without".
pub(crate) fn guilt(history: &History, lead: usize) -> f64 {
    let blocks = blocks(history, lead);
    BROKEN
        .iter()
        .map(|(weight, on_base, on_patched)| {
            let log: f64 = blocks.iter().map(|(b, p)| block_log(b, p, *on_base, *on_patched)).sum();
            weight * log.exp()
        })
        .sum()
}

fn block_log(base: &[bool], patched: &[bool], on_base: f64, on_patched: f64) -> f64 {
    let (b, p) = (base.len() as f64, patched.len() as f64);
    let mean = (b * on_base + p * on_patched) / (b + p);
    likelihood_log(base, on_base) + likelihood_log(patched, on_patched)
        - likelihood_log(base, mean)
        - likelihood_log(patched, mean)
}

fn likelihood_log(runs: &[bool], rate: f64) -> f64 {
    runs.iter().map(|failed| if *failed { rate.ln() } else { (1.0 - rate).ln() }).sum()
}

/// The ratio against "fails with the patch at a rate that would be noticed": [`BROKEN_RATE`] or more where the base
/// was seen to fail, [`NOTICED_RATE`] or more where it was not.
pub(crate) fn innocence(history: &History) -> f64 {
    let failures = |runs: &[bool]| runs.iter().filter(|failed| **failed).count() as f64;
    let refuted = if history.base.contains(&true) { BROKEN_RATE } else { NOTICED_RATE };
    let (mut failed, mut seen) = (failures(&history.base), history.base.len() as f64);
    let mut ratio = 1.0;
    for run in &history.patched {
        // Predicted before the run is looked at; must stay below what is refuted.
        let predicted = ((failed + PRIOR) / (seen + 2.0 * PRIOR)).min(refuted * 0.6);
        ratio *= if *run { predicted / refuted } else { (1.0 - predicted) / (1.0 - refuted) };
        failed += f64::from(u8::from(*run));
        seen += 1.0;
    }
    ratio
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(base: &str, patched: &str) -> History {
        let runs = |text: &str| text.chars().map(|c| c == 'F').collect();
        History { base: runs(base), patched: runs(patched) }
    }

    fn next(base: &str, patched: &str) -> Next {
        let mut trial = Trial::new(RerunRule::default());
        let history = history(base, patched);
        trial.suspect("t", history.base[..3.min(history.base.len())].to_vec());
        for (tree, runs, skip) in [(Tree::Base, &history.base, 3), (Tree::Patched, &history.patched, 0)] {
            for failed in runs.iter().skip(skip) {
                trial.add(tree, &BTreeMap::from([("t".to_owned(), *failed)]));
            }
        }
        trial.next()
    }

    #[test]
    fn what_it_takes() {
        use Next::{Cleared, Guilty, Run};
        use Tree::{Base, Patched};
        // A test that never failed and now always does: three runs of the patched tree, one of the base.
        assert_eq!(next("...", ""), Run(Patched));
        assert_eq!(next("...", "F"), Run(Patched));
        assert_eq!(next("...", "FF"), Run(Patched));
        assert_eq!(next("...", "FFF"), Run(Base));
        assert_eq!(next("....", "FFF"), Guilty);
        // It fails on the base too, once one looks.
        assert_eq!(next("...F", "FFF"), Run(Patched));
        // One that failed once and never again, where the base never did, and where the base did.
        assert_eq!(next("...", "......"), Run(Patched));
        assert_eq!(next("...", "......."), Cleared);
        assert_eq!(next("..F", ".."), Run(Patched));
        assert_eq!(next("..F", "..."), Cleared);
        // Every tree as bad as the other.
        assert_eq!(next("F.F.F.F", "F.F.F.F"), Run(Base));
    }

    #[test]
    fn reruns_are_bounded() {
        let mut trial = Trial::new(RerunRule { reruns: 4, ..RerunRule::default() });
        trial.suspect("t", vec![false, true, false]);
        let mut steps = 0;
        loop {
            match trial.next() {
                Next::Run(tree) => trial.add(tree, &BTreeMap::from([("t".to_owned(), steps % 2 == 0)])),
                other => break assert_eq!(other, Next::Unknown),
            }
            steps += 1;
            assert!(steps <= 8);
        }
    }

    #[test]
    fn one_broken_test_is_found_among_flaky_ones_that_are_cleared() {
        let mut trial = Trial::new(RerunRule::default());
        for id in ["broken", "flaky"] {
            trial.suspect(id, vec![false; 3]);
        }
        while let Next::Run(tree) = trial.next() {
            let run = [("broken", tree == Tree::Patched), ("flaky", false)];
            trial.add(tree, &run.map(|(id, failed)| (id.to_owned(), failed)).into());
        }
        assert_eq!((trial.next(), trial.guilty()), (Next::Guilty, vec!["broken"]));
    }

    #[test]
    fn more_against_a_test_never_helps_it() {
        // Each run of the patched tree that fails instead of passing, and each of the base that passes instead.
        for bits in 0_u32..1 << 8 {
            let runs: Vec<bool> = (0..8).map(|bit| bits >> bit & 1 == 1).collect();
            let before = History { base: runs[..4].to_vec(), patched: runs[4..].to_vec() };
            for at in (0..4).filter(|at| !before.patched[*at]) {
                let mut after = before.clone();
                after.patched[at] = true;
                assert!(guilt(&after, 3) >= guilt(&before, 3) && innocence(&after) <= innocence(&before));
            }
            for at in (0..4).filter(|at| before.base[*at]) {
                let mut after = before.clone();
                after.base[at] = false;
                assert!(guilt(&after, 3) >= guilt(&before, 3), "{before:?}");
            }
        }
    }

    /// The expectation of the ratio of guilt after every run of a schedule, by trying all outcomes: at most 1 wherever
    /// the patch makes nothing worse.
    #[test]
    fn the_ratio_of_guilt_is_fair_to_the_innocent() {
        let (base, patched) = (5_usize, 4_usize);
        for (b, p) in [0.0, 0.01, 0.2, 0.4, 0.5, 0.8, 1.0].into_iter().flat_map(|b| {
            [0.0, 0.1, 0.3, 0.4, 0.5, 0.9, 1.0].into_iter().filter(move |p| *p <= b).map(move |p| (b, p))
        }) {
            let mut expected = 0.0;
            for bits in 0_u32..1 << (base + patched) {
                let runs: Vec<bool> = (0..base + patched).map(|bit| bits >> bit & 1 == 1).collect();
                let history = History { base: runs[..base].to_vec(), patched: runs[base..].to_vec() };
                let chance = |runs: &[bool], rate: f64| -> f64 {
                    runs.iter().map(|failed| if *failed { rate } else { 1.0 - rate }).product()
                };
                expected += chance(&history.base, b) * chance(&history.patched, p) * guilt(&history, 3);
            }
            assert!(expected <= 1.0 + 1e-9, "b {b}, p {p}: {expected}");
        }
    }

    /// The same of the ratio of innocence, wherever the patched tree fails at the refuted rate or above.
    #[test]
    fn the_ratio_of_innocence_is_fair_to_the_broken() {
        for (base, rates) in [("...", [0.5, 0.7, 1.0]), ("..F", [0.9, 0.95, 1.0])] {
            for p in rates {
                let mut expected = 0.0;
                for bits in 0_u32..1 << 9 {
                    let patched: Vec<bool> = (0..9).map(|bit| bits >> bit & 1 == 1).collect();
                    let chance: f64 =
                        patched.iter().map(|failed| if *failed { p } else { 1.0 - p }).product();
                    expected += chance * innocence(&History { patched, ..history(base, "") });
                }
                assert!(expected <= 1.0 + 1e-9, "base {base}, p {p}: {expected}");
            }
        }
    }
}
