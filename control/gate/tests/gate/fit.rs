//! Fitting weights: what is recovered from outcomes that were drawn by known weights, what is refused, and that the
//! numbers reported are what they are called.

use std::collections::BTreeMap;

use gloaming_gate::envelope::{key_id, seal};
use gloaming_gate::features;
use gloaming_gate::fit::{Bin, FitError, Options, Outcome, fit, outcomes};
use gloaming_gate::weights::{CostRatio, Weights, built_in};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::envelope::{key, rich, sealed};

/// A stream of numbers from 0 to 1 that is the same every time (SplitMix64).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Outcomes whose log-odds are `bias` less what `weights` take for each feature.
fn drawn(count: usize, bias: f64, weights: [(&str, f64, f64); 4]) -> Vec<Outcome> {
    let mut draws = Draws(1);
    (0..count)
        .map(|_| {
            let mut features = BTreeMap::new();
            let mut log_odds = bias;
            for (name, weight, most) in weights {
                // Half of the patches do not show the feature at all.
                let value = if draws.next() < 0.5 { 0.0 } else { draws.next() * most };
                let value = if most > 1.0 { value.ceil() } else { value };
                log_odds -= weight * value;
                features.insert(name.to_owned(), value);
            }
            Outcome { features, merged: draws.next() < 1.0 / (1.0 + (-log_odds).exp()) }
        })
        .collect()
}

const TRUE: [(&str, f64, f64); 4] =
    [("todo", 0.2, 4.0), ("debug_print", 0.7, 4.0), ("stray_file", 1.4, 3.0), ("uncovered_share", 2.0, 1.0)];

/// The weights of `TRUE` as found.
fn found(weights: &Weights) -> [f64; 4] {
    TRUE.map(|(name, ..)| weights.features()[name].weight)
}

/// Weights like the built-in ones, all 0.
fn blank() -> Weights {
    let mut value = serde_json::to_value(built_in()).unwrap();
    for weight in value["features"].as_object_mut().unwrap().values_mut() {
        weight["weight"] = json!(0);
    }
    value["other"]["weight"] = json!(0);
    serde_json::from_value(value).unwrap()
}

#[test]
fn weights_that_made_the_outcomes_are_found_again() {
    let fitted = fit(&blank(), &drawn(4000, 2.0, TRUE), &Options { l2: 1e-3, ..Options::default() }).unwrap();
    for (found, (name, wanted, _)) in found(&fitted).into_iter().zip(TRUE) {
        assert!((found - wanted).abs() < 0.25 * wanted + 0.05, "{name}: {found}, not {wanted}");
    }
    assert!((fitted.bias() - 2.0).abs() < 0.3, "{}", fitted.bias());
    assert!(fitted.calibrated());
    let report = fitted.fit().unwrap();
    assert!(report.brier < 0.9 * report.brier_of_share, "{report:?}");
    assert!(report.calibration_error() < 0.05, "{report:?}");
    // It is the Brier score of the constant share: q (1 - q), but for what a fold leaves out.
    let q = report.merged as f64 / report.outcomes as f64;
    assert!((report.brier_of_share - q * (1.0 - q)).abs() < 1e-3);
}

#[test]
fn a_feature_that_no_outcome_shows_keeps_its_weight_and_few_outcomes_move_it_little() {
    let outcomes = drawn(60, 1.0, TRUE);
    let fitted = fit(built_in(), &outcomes, &Options::default()).unwrap();
    let (before, after) = (built_in().features(), fitted.features());
    assert_eq!(fitted.fit().unwrap().seen["editor_file"], 0);
    assert!((after["editor_file"].weight - before["editor_file"].weight).abs() < 1e-9);
    assert!((fitted.other().weight - built_in().other().weight).abs() < 1e-9);
    let strong = fit(built_in(), &outcomes, &Options { l2: 1e6, ..Options::default() }).unwrap();
    for (name, weight) in before {
        assert!((strong.features()[name].weight - weight.weight).abs() < 1e-3, "{name}");
    }
}

#[test]
fn what_speaks_for_a_patch_ends_at_nothing() {
    // Merged the more often, the more `todo`s it has; and a signal without a row counts under `other`.
    let mut outcomes =
        drawn(600, 0.0, [("todo", -0.8, 4.0), ("new_signal", 0.9, 3.0), ("a", 0.0, 1.0), ("b", 0.0, 1.0)]);
    let fitted = fit(&blank(), &outcomes, &Options::default()).unwrap();
    assert_eq!(fitted.features()["todo"].weight, 0.0);
    assert!(fitted.other().weight > 0.2, "{:?}", fitted.other());
    // Whatever comes of it scores a patch the lower the more it has.
    let score = |todos: f64| fitted.score(&BTreeMap::from([("todo".to_owned(), todos)])).0;
    assert_eq!(score(0.0), score(4.0));
    // Which order the outcomes came in does not matter, to the last digit.
    outcomes.reverse();
    assert_eq!(fit(&blank(), &outcomes, &Options::default()).unwrap(), fitted);
}

#[test]
fn outcomes_that_nothing_explains_calibrate_nothing() {
    // Whatever features a merged patch has, another that was not merged has them too.
    let merged = drawn(40, 100.0, TRUE.map(|(name, _, most)| (name, 0.0, most)));
    let closed = merged.iter().map(|outcome| Outcome { merged: false, ..outcome.clone() });
    let outcomes: Vec<Outcome> = closed.chain(merged.iter().cloned()).collect();
    let fitted = fit(built_in(), &outcomes, &Options::default()).unwrap();
    let report = fitted.fit().unwrap();
    assert!(!report.beats_the_share() && !fitted.calibrated(), "{report:?}");
}

#[test]
fn a_feature_that_decides_everything_is_fitted_all_the_same() {
    let outcome = |merged| Outcome {
        features: BTreeMap::from([("stray_file".to_owned(), if merged { 0.0 } else { 1e300 })]),
        merged,
    };
    let outcomes: Vec<Outcome> = (0..60).map(|i| outcome(i % 3 != 0)).collect();
    let fitted = fit(&blank(), &outcomes, &Options::default()).unwrap();
    assert!(fitted.calibrated() && fitted.features()["stray_file"].weight.is_finite());
    let (clean, _) = fitted.score(&BTreeMap::new());
    let (stray, _) = fitted.score(&BTreeMap::from([("stray_file".to_owned(), 3.0)]));
    assert!(clean > 0.9 && stray < 0.1, "{clean} {stray}");
}

#[test]
fn the_reliability_curve_holds_every_outcome_once() {
    let outcomes = drawn(500, 1.5, TRUE);
    let fitted = fit(built_in(), &outcomes, &Options { bins: 7, ..Options::default() }).unwrap();
    let report = fitted.fit().unwrap();
    let sum = |of: &dyn Fn(&Bin) -> f64| report.reliability.iter().map(of).sum::<f64>();
    assert_eq!(sum(&|bin| bin.outcomes as f64), 500.0);
    assert!((sum(&|bin| bin.merged * bin.outcomes as f64) - report.merged as f64).abs() < 1e-6);
    for bin in &report.reliability {
        assert!(bin.from <= bin.predicted && bin.predicted < bin.to, "{bin:?}");
    }
    assert_eq!(report.merged, outcomes.iter().filter(|outcome| outcome.merged).count());
}

#[test]
fn too_little_and_what_is_no_number_are_refused() {
    let all = drawn(400, 1.5, TRUE);
    let take = |merged: usize, closed: usize| -> Vec<Outcome> {
        let of =
            |kind: bool, count| all.iter().filter(move |outcome| outcome.merged == kind).take(count).cloned();
        of(true, merged).chain(of(false, closed)).collect()
    };
    let refused =
        |outcomes: &[Outcome], options: &Options| fit(built_in(), outcomes, options).unwrap_err().to_string();
    let default = Options::default();
    for (merged, closed) in [(0, 0), (39, 10), (60, 9), (9, 60)] {
        let error = fit(built_in(), &take(merged, closed), &default).unwrap_err();
        assert_eq!(error, FitError::TooFew { merged, closed });
    }
    insta::assert_snapshot!(
        refused(&take(60, 9), &default),
        @"60 merged and 9 other outcomes; at least 50 are needed, and 10 of each kind"
    );
    assert!(fit(built_in(), &take(40, 10), &default).is_ok());
    for value in [f64::NAN, f64::INFINITY, -1.0] {
        let mut outcomes = take(40, 20);
        outcomes[2].features.insert("todo".into(), value);
        let error = refused(&outcomes, &default);
        assert!(error.starts_with("outcome 3 has \"todo\" at "), "{error}");
    }
    let enough = take(40, 20);
    insta::assert_snapshot!(refused(&enough, &Options { l2: 0.0, ..default }), @"l2 is 0; it must be from 1e-6 to 1e6");
    insta::assert_snapshot!(refused(&enough, &Options { folds: 11, ..default }), @"folds is 11; it must be from 2 to 10");
    insta::assert_snapshot!(refused(&enough, &Options { bins: 1, ..default }), @"bins is 1; it must be from 2 to 100");
}

#[test]
fn fitted_weights_are_a_file_that_loads() {
    let fitted = fit(built_in(), &drawn(300, 1.5, TRUE), &Options::default()).unwrap();
    let text = serde_json::to_string_pretty(&fitted).unwrap();
    let loaded: Weights = serde_json::from_str(&text).unwrap();
    assert_eq!(loaded, fitted);
    assert_eq!(loaded.digest(), fitted.digest());
    // Evidence that was judged with them opens without them at hand.
    let costs = CostRatio::default();
    let verdict = gloaming_gate::judge_with(&rich(), &fitted, costs);
    assert_eq!(verdict.p_merge, Some(verdict.confidence));
    let sealed = seal(&rich(), &verdict, &fitted, costs, &key(7)).unwrap();
    let opened = gloaming_gate::envelope::open(&sealed, &key(7).verifying_key()).unwrap();
    assert_eq!((opened.weights, opened.verdict), (fitted, verdict));
}

#[test]
fn data_is_json_lines_of_features_or_of_sealed_evidence() {
    let envelope: Value = serde_json::from_slice(&sealed(&rich())).unwrap();
    let text = format!(
        "{{\"features\": {{\"todo\": 2}}, \"merged\": true}}\n\n{}\r\n",
        json!({"merged": false, "envelope": envelope})
    );
    let public = key(7).verifying_key();
    let read = outcomes(&text, Some(&public)).unwrap();
    assert_eq!(
        read,
        [
            Outcome { features: BTreeMap::from([("todo".to_owned(), 2.0)]), merged: true },
            Outcome { features: features(&rich()), merged: false }
        ]
    );
    // A verdict that another gate gave is no reason to leave the outcome out; a forged one is.
    let refused = |text: &str, key: Option<&gloaming_gate::envelope::VerifyingKey>| {
        let mut error: &dyn std::error::Error = &outcomes(text, key).unwrap_err();
        let mut said = error.to_string();
        while let Some(cause) = error.source() {
            said.push_str(": ");
            said.push_str(&cause.to_string());
            error = cause;
        }
        said
    };
    insta::assert_snapshot!(refused(&text, None), @"line 3 of the data is no outcome: it holds sealed evidence, and no public key was given to check it by");
    let mut other = envelope.clone();
    other["signatures"][0]["keyid"] = json!(key_id(&key(8).verifying_key()));
    let forged = json!({"merged": true, "envelope": other}).to_string();
    insta::assert_snapshot!(refused(&forged, Some(&key(8).verifying_key())), @"line 1 of the data is no outcome: its sealed evidence is refused: its signature does not hold: it was changed, or signed by somebody else");
    for line in [
        "nonsense",
        "{}",
        r#"{"merged": true}"#,
        r#"{"features": {}, "merged": 1}"#,
        r#"{"features": {"a": "b"}, "merged": true}"#,
        r#"{"features": {}, "envelope": {}, "merged": true}"#,
        r#"{"features": {"a": 1e999}, "merged": true}"#,
        r#"{"features": {}, "merged": true, "extra": 1}"#,
        r#"{"features": {}, "merged": true} x"#,
    ] {
        assert!(refused(line, Some(&public)).starts_with("line 1 of the data is no outcome: "), "{line}");
    }
    assert_eq!(outcomes("", None).unwrap(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_outcomes_make_weights_that_load_or_an_error(
        rows in prop::collection::vec(
            (prop::collection::btree_map("todo|size|x|uncovered_share", prop_oneof![0.0..5.0f64, Just(1e308), Just(5e-324)], 0..3), any::<bool>()),
            0..120
        ),
        l2 in prop_oneof![Just(1e-6), Just(0.25), Just(1e6)], folds in 2..=10usize
    ) {
        let outcomes: Vec<Outcome> = rows.into_iter().map(|(features, merged)| Outcome { features, merged }).collect();
        match fit(built_in(), &outcomes, &Options { l2, folds, bins: 10 }) {
            Ok(fitted) => {
                let text = serde_json::to_string(&fitted).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Weights>(&text).unwrap(), &fitted);
                prop_assert!(fitted.features().values().all(|weight| weight.weight >= 0.0));
            }
            Err(error) => prop_assert!(matches!(error, FitError::TooFew { .. }), "{}", error),
        }
    }
}
