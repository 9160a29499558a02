//! The rule on a model suite: how often an innocent patch is blocked and a breaking one passed, and what the
//! reruns cost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Next, RerunRule, Tree, Trial};
use crate::names::Random;

/// Tests of the model suite.
const TESTS: usize = 40;
/// Patches of each sort.
const PATCHES: u32 = 1000;

/// A suite in which tests fail at their own rates.
struct Suite {
    base: Vec<f64>,
    patched: Vec<f64>,
    random: Random,
}

impl Suite {
    /// `flaky` tests at one rate; the patch makes one test fail always, where it breaks one.
    fn new(flaky: usize, rate: f64, broken: Option<usize>, random: Random) -> Self {
        let base: Vec<f64> = (0..TESTS).map(|test| if test < flaky { rate } else { 0.0 }).collect();
        let mut patched = base.clone();
        if let Some(broken) = broken {
            patched[broken] = 1.0;
        }
        Self { base, patched, random }
    }

    /// Which tests fail in one run.
    fn run(&mut self, tree: Tree) -> BTreeSet<usize> {
        let rates = match tree {
            Tree::Base => &self.base,
            Tree::Patched => &self.patched,
        };
        let random = &mut self.random;
        rates.iter().enumerate().filter(|(_, rate)| random.chance() < **rate).map(|(test, _)| test).collect()
    }
}

#[derive(Default)]
struct Tally {
    blocked: u32,
    unknown: u32,
    passed: u32,
    base: u32,
    patched: u32,
}

/// One patch, as `reruns` does it with whole suites: the baseline, the first look and its reruns, the second look and its.
fn patch(suite: &mut Suite, rule: RerunRule, tally: &mut Tally) {
    let baseline: Vec<BTreeSet<usize>> = (0..rule.baseline_runs).map(|_| suite.run(Tree::Base)).collect();
    let mut trial = Trial::new(rule);
    let mut bases = baseline;
    let mut blamed: BTreeSet<usize> = BTreeSet::new();
    for look in 0..2 {
        let failing = suite.run(Tree::Patched);
        if look > 0 && trial.histories().next().is_some() {
            trial.add(Tree::Patched, &of_suspects(&trial, &failing));
        }
        suspect(&mut trial, &bases, failing.iter());
        blamed.extend(&failing);
        loop {
            match trial.next() {
                Next::Run(tree) => {
                    let failing = suite.run(tree);
                    trial.add(tree, &of_suspects(&trial, &failing));
                    match tree {
                        Tree::Base => {
                            bases.push(failing);
                            tally.base += 1;
                        }
                        Tree::Patched => {
                            suspect(&mut trial, &bases, failing.intersection(&blamed));
                            blamed.extend(&failing);
                            tally.patched += 1;
                        }
                    }
                }
                Next::Guilty => return tally.blocked += 1,
                Next::Unknown => return tally.unknown += 1,
                Next::Cleared => break,
            }
        }
    }
    tally.passed += 1;
}

fn of_suspects(trial: &Trial, failing: &BTreeSet<usize>) -> BTreeMap<String, bool> {
    trial.histories().map(|(id, _)| (id.to_owned(), failing.contains(&id.parse().unwrap()))).collect()
}

fn suspect<'t>(trial: &mut Trial, bases: &[BTreeSet<usize>], tests: impl Iterator<Item = &'t usize>) {
    for test in tests {
        let base: Vec<bool> = bases.iter().map(|run| run.contains(test)).collect();
        if base.contains(&false) {
            trial.suspect(&test.to_string(), base);
        }
    }
}

fn tally(rule: RerunRule, flaky: usize, rate: f64, broken: Option<usize>) -> Tally {
    let mut tally = Tally::default();
    let mut random = Random::new(flaky as u64 ^ rate.to_bits() ^ broken.map_or(0, |test| test as u64 + 1));
    for _ in 0..PATCHES {
        let mut suite = Suite::new(flaky, rate, broken, Random::new(random.next()));
        patch(&mut suite, rule, &mut tally);
    }
    tally
}

#[test]
fn the_promise_holds_on_a_model_suite() {
    let rule = RerunRule::default();
    let percent = |count: u32| 100.0 * f64::from(count) / f64::from(PATCHES);
    let mean = |count: u32| f64::from(count) / f64::from(PATCHES);
    let mut table =
        String::from("rate  flaky  patch            blocked  unknown   passed  reruns with, without\n");
    for rate in [0.01, 0.05, 0.2, 0.5] {
        for flaky in [1, 20] {
            for (name, broken) in
                [("innocent", None), ("breaks a stable", Some(TESTS - 1)), ("breaks a flaky", Some(0))]
            {
                let tally = tally(rule, flaky, rate, broken);
                writeln!(
                    table,
                    "{:>3.0}%  {flaky:>5}  {name:<15}  {:>6.1}%  {:>6.1}%  {:>6.1}%  {:>5.1} {:>5.1}",
                    rate * 100.0,
                    percent(tally.blocked),
                    percent(tally.unknown),
                    percent(tally.passed),
                    mean(tally.patched),
                    mean(tally.base),
                )
                .unwrap();
                // The promise, with three standard errors of so many patches.
                let most = |rate: f64| rate + 3.0 * (rate * (1.0 - rate) / f64::from(PATCHES)).sqrt();
                match broken {
                    None => assert!(percent(tally.blocked) / 100.0 <= most(rule.alpha), "{table}"),
                    // One that failed in every run of the baseline is not compared: nothing of that is the rule's.
                    Some(_) => {
                        let unseen = if broken == Some(0) { rate.powi(3) } else { 0.0 };
                        assert!(percent(tally.passed) / 100.0 <= most(rule.beta + unseen), "{table}");
                    }
                }
            }
        }
    }
    insta::assert_snapshot!(table, @r"
    rate  flaky  patch            blocked  unknown   passed  reruns with, without
      1%      1  innocent            0.0%     0.0%   100.0%    0.1   0.0
      1%      1  breaks a stable   100.0%     0.0%     0.0%    3.0   1.0
      1%      1  breaks a flaky    100.0%     0.0%     0.0%    3.1   1.1
      1%     20  innocent            0.0%     1.1%    98.9%    2.9   0.1
      1%     20  breaks a stable   100.0%     0.0%     0.0%    3.2   1.2
      1%     20  breaks a flaky    100.0%     0.0%     0.0%    3.3   1.3
      5%      1  innocent            0.0%     0.4%    99.6%    1.0   0.1
      5%      1  breaks a stable   100.0%     0.0%     0.0%    3.1   1.1
      5%      1  breaks a flaky    100.0%     0.0%     0.0%    3.6   1.6
      5%     20  innocent            0.0%    56.9%    43.1%   14.0   4.9
      5%     20  breaks a stable   100.0%     0.0%     0.0%    3.7   1.7
      5%     20  breaks a flaky    100.0%     0.0%     0.0%    4.6   2.6
     20%      1  innocent            0.1%     0.1%    99.8%    2.6   1.0
     20%      1  breaks a stable   100.0%     0.0%     0.0%    3.3   1.3
     20%      1  breaks a flaky     99.2%     0.0%     0.8%    6.8   4.8
     20%     20  innocent            0.0%    90.2%     9.8%   19.8  11.4
     20%     20  breaks a stable   100.0%     0.0%     0.0%    4.9   2.9
     20%     20  breaks a flaky     98.7%     1.3%     0.0%   10.5   8.5
     50%      1  innocent            0.4%     6.3%    93.3%    6.5   4.2
     50%      1  breaks a stable   100.0%     0.0%     0.0%    3.7   1.7
     50%      1  breaks a flaky     56.5%    30.5%    13.0%   13.9  12.2
     50%     20  innocent            0.4%    98.9%     0.7%   19.9  17.1
     50%     20  breaks a stable   100.0%     0.0%     0.0%    5.9   3.9
     50%     20  breaks a flaky     17.2%    82.8%     0.0%   19.4  17.3
    ");
}
