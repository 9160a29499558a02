//! The score: what it is made of, that it is monotone, and how a ratio of costs becomes a threshold.

use std::collections::BTreeMap;

use gloaming_api::Digest;
use gloaming_api::evidence::{
    ChangedLines, FileRole, Flake, LintFinding, LintLevel, Mutants, Runs, VerdictKind,
};
use gloaming_gate::weights::{CostRatio, Weights, built_in};
use gloaming_gate::{Features, features, judge, judge_with};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{good, signal};

/// Weights that call themselves calibrated, by a made-up report.
fn calibrated() -> Weights {
    let mut value = serde_json::to_value(built_in()).unwrap();
    value["calibrated"] = json!(true);
    value["fit"] = json!({
        "data": Digest::of("data"), "outcomes": 60, "merged": 40, "l2": 0.25, "folds": 5, "brier": 0.1,
        "brier_of_share": 0.2, "log_loss": 0.4, "log_loss_of_share": 0.6, "reliability": [], "seen": {}
    });
    serde_json::from_value(value).unwrap()
}

#[test]
fn each_feature_is_what_it_says() {
    let mut evidence = good();
    evidence.signals = vec![signal("todo"), signal("todo"), signal("new_kind")];
    evidence.flakes = vec![Flake {
        id: "a".into(),
        base: Runs { passed: 2, failed: 1, absent: 0 },
        patched: Runs::default(),
    }];
    evidence.sent_back = 2;
    evidence.files[0].added = 340;
    evidence.files[0].removed = 10;
    evidence.mutants =
        Some(Mutants { killed: 5, survived: 2, timed_out: 1, survivors: Vec::new(), own: None });
    evidence.coverage = Some(ChangedLines { covered: 30, uncovered: 10, tool: "llvm-cov".into() });
    insta::assert_json_snapshot!(features(&evidence), @r#"
    {
      "flaky_suite": 1.0,
      "new_kind": 1.0,
      "no_fail_to_pass": 1.0,
      "sent_back": 2.0,
      "size": 2.5,
      "surviving_share": 0.25,
      "todo": 2.0,
      "uncovered_share": 0.25
    }
    "#);
    let verdict = judge(&evidence);
    insta::assert_json_snapshot!(verdict.reasons, @r#"
    [
      "2 × todo: log-odds -0.84",
      "2 × sent_back: log-odds -0.80",
      "surviving_share 25 %: log-odds -0.30",
      "uncovered_share 25 %: log-odds -0.30",
      "1 × flaky_suite: log-odds -0.26",
      "1 × new_kind: log-odds -0.26",
      "size 2.50: log-odds -0.25"
    ]
    "#);
    let total: f64 = verdict.moved.iter().map(|part| part.log_odds).sum();
    let score = 1.0 / (1.0 + (total - built_in().bias()).exp());
    assert!((verdict.confidence - score).abs() < 1e-6);
    assert_eq!(verdict.weights, Some(built_in().digest().clone()));
}

#[test]
fn what_was_not_measured_and_what_was_found_whole_are_no_features() {
    let mut evidence = good();
    evidence.files[0].role = FileRole::Docs;
    evidence.files[0].added = 4000;
    evidence.mutants =
        Some(Mutants { killed: 5, survived: 0, timed_out: 1, survivors: Vec::new(), own: None });
    evidence.coverage = Some(ChangedLines { covered: 0, uncovered: 0, tool: "c8".into() });
    assert_eq!(features(&evidence), Features::new());
}

#[test]
fn coverage_and_mutants_alone_veto_nothing() {
    let mut evidence = good();
    evidence.mutants =
        Some(Mutants { killed: 0, survived: 9, timed_out: 0, survivors: Vec::new(), own: None });
    evidence.coverage = Some(ChangedLines { covered: 0, uncovered: 9, tool: "c8".into() });
    assert_eq!(judge(&evidence).verdict, VerdictKind::Pass);
}

#[test]
fn the_threshold_is_where_opening_begins_to_pay() {
    assert_eq!(CostRatio::default().threshold(), 0.6);
    for (ratio, threshold) in [(0.0, 0.0), (1.0, 0.5), (4.0, 0.8), (19.0, 0.95)] {
        let costs = CostRatio::try_from(ratio).unwrap();
        assert_eq!(costs.threshold(), threshold);
        // At the threshold, what is gained and what is lost are the same.
        assert!((threshold - (1.0 - threshold) * ratio).abs() < 1e-12);
    }
    for ratio in [-0.1, f64::NAN, f64::INFINITY, 1e7] {
        assert!(CostRatio::try_from(ratio).is_err(), "{ratio}");
    }
    let strict = judge_with(&good(), built_in(), CostRatio::try_from(99.0).unwrap());
    assert_eq!((strict.verdict, strict.code.as_str()), (VerdictKind::BowOut, "quality_gate"));
    assert_eq!(
        strict.summary,
        "confidence 0.95 is below 0.99: nothing speaks against the patch, the bar is higher"
    );
    let lax = judge_with(&good(), built_in(), CostRatio::try_from(0.0).unwrap());
    assert_eq!(lax.verdict, VerdictKind::Pass);
}

#[test]
fn a_probability_is_given_only_by_calibrated_weights() {
    assert_eq!(judge(&good()).p_merge, None);
    let verdict = judge_with(&good(), &calibrated(), CostRatio::default());
    assert_eq!((verdict.p_merge, verdict.calibrated), (Some(verdict.confidence), true));
}

#[test]
fn built_in_weights_say_they_are_set_by_hand() {
    assert!(!built_in().calibrated() && built_in().fit().is_none());
    // The boundary of the weights before: a stray file and a debug print are too much, three debug prints are not.
    let verdict = |names: &[&str]| {
        let mut evidence = good();
        evidence.signals = names.iter().map(|name| signal(name)).collect();
        judge(&evidence).verdict
    };
    assert_eq!(verdict(&["stray_file", "debug_print"]), VerdictKind::BowOut);
    assert_eq!(verdict(&["stray_file", "todo"]), VerdictKind::Pass);
    assert_eq!(verdict(&["debug_print"; 3]), VerdictKind::Pass);
    assert_eq!(verdict(&["debug_print"; 4]), VerdictKind::BowOut);
    assert_eq!(verdict(&["editor_file", "stray_file"]), VerdictKind::BowOut);
}

#[test]
fn weights_that_would_not_be_monotone_do_not_load() {
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(built_in()).unwrap();
        change(&mut value);
        serde_json::from_value::<Weights>(value).unwrap_err().to_string()
    };
    insta::assert_snapshot!(
        refused(&|v| v["features"]["todo"]["weight"] = json!(-0.1)),
        @r#"the weight of "todo" is -0.1; it must be a number from 0 to 1e6"#
    );
    insta::assert_snapshot!(
        refused(&|v| v["other"]["cap"] = json!(0)),
        @r#"the cap of "other" is 0.0; it must be a number above 0, at most 1e6"#
    );
    insta::assert_snapshot!(
        refused(&|v| v["bias"] = json!(1e300)),
        @"the bias is 1e300; it must be a number from -1e6 to 1e6"
    );
    insta::assert_snapshot!(
        refused(&|v| v["calibrated"] = json!(true)),
        @r#"weights that call themselves calibrated must tell how they were fitted, under "fit""#
    );
    insta::assert_snapshot!(
        refused(&|v| v["features"]["other"] = json!({"weight": 1, "cap": 1})),
        @r#"a feature cannot be called "other": that is the weight of all that have none"#
    );
    assert!(refused(&|v| v["threshold"] = json!(0.6)).contains("unknown field `threshold`"));
}

fn any_features() -> impl Strategy<Value = BTreeMap<String, f64>> {
    let name = prop::sample::select(vec![
        "todo",
        "debug_print",
        "size",
        "uncovered_share",
        "unheard_of",
        "sent_back",
    ]);
    let value = prop_oneof![0.0..12.0, (0..9_u32).prop_map(f64::from), Just(1e300)];
    prop::collection::btree_map(name.prop_map(str::to_owned), value, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_feature_ever_raises_the_score(
        features in any_features(), name in "[a-z_]{1,12}|todo|size|uncovered_share", more in 0.0..10.0f64,
        weights in prop::collection::vec((0.0..20.0f64, 0.01..50.0f64), 4), bias in -30.0..30.0f64
    ) {
        let weight = |i: usize| json!({"weight": weights[i].0, "cap": weights[i].1});
        let weights: Weights = serde_json::from_value(json!({
            "calibrated": false, "bias": bias, "other": weight(0),
            "features": {"todo": weight(1), "size": weight(2), "uncovered_share": weight(3)}
        })).unwrap();
        let (before, _) = weights.score(&features);
        let mut worse = features;
        *worse.entry(name).or_default() += more;
        let (after, moved) = weights.score(&worse);
        prop_assert!(after <= before, "{} > {}", after, before);
        prop_assert!((0.0..=1.0).contains(&after));
        prop_assert!(moved.is_sorted_by(|a, b| a.log_odds >= b.log_odds));
        prop_assert!(moved.iter().all(|part| part.log_odds > 0.0));
    }

    #[test]
    fn nothing_seen_against_a_patch_raises_its_score(
        mutants in prop::option::of((0..9_u32, 0..9_u32, 0..9_u32)), lines in prop::option::of((0..9_u32, 0..9_u32)),
        sent_back in 0..4_u32, added in 0..3000_u32, what in 0..7_u8, more in 1..500_u32
    ) {
        let mut evidence = good();
        evidence.mutants = mutants
            .map(|(killed, survived, timed_out)| Mutants { killed, survived, timed_out, survivors: Vec::new(), own: None });
        evidence.coverage =
            lines.map(|(covered, uncovered)| ChangedLines { covered, uncovered, tool: "c8".into() });
        evidence.sent_back = sent_back;
        evidence.files[0].added = added;
        let before = judge(&evidence);
        match what {
            0 => evidence.sent_back += more,
            1 => evidence.files[0].added += more,
            2 => evidence.flaky.push("a".into()),
            3 => evidence.findings.push(LintFinding {
                tool: "ruff".into(), rule: String::new(), path: evidence.files[0].path.clone(), line: more,
                message: String::new(), level: LintLevel::Warning,
            }),
            4 => evidence.signals.push(signal("anything")),
            5 => if let Some(mutants) = &mut evidence.mutants { mutants.survived += more },
            _ => if let Some(lines) = &mut evidence.coverage { lines.uncovered += more },
        }
        let after = judge(&evidence);
        prop_assert!(after.confidence <= before.confidence);
        prop_assert!(before.verdict == VerdictKind::Pass || after.verdict != VerdictKind::Pass);
    }

    #[test]
    fn a_higher_price_never_opens_more(signals in prop::collection::vec("todo|stray_file|debug_print", 0..5), ratio in 0.0..50.0f64, more in 0.0..50.0f64) {
        let mut evidence = good();
        evidence.signals = signals.iter().map(|name| signal(name)).collect();
        let at = |ratio: f64| judge_with(&evidence, built_in(), CostRatio::try_from(ratio).unwrap()).verdict;
        if at(ratio) != VerdictKind::Pass {
            prop_assert_ne!(at(ratio + more), VerdictKind::Pass);
        }
    }
}
