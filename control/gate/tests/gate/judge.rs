//! The gate's decisions, whole verdicts compared, and its monotony as a property.

use gloaming_api::RelPath;
use gloaming_api::evidence::{
    Evidence, FileRole, Finding, LintFinding, LintLevel, Origin, Signal, Step, StepResult, TestStatus,
    VerdictKind,
};
use gloaming_gate::judge;
use proptest::prelude::*;

use crate::{good, set, shown, signal, step};

#[test]
fn good_evidence_passes_and_says_it_is_not_calibrated() {
    let verdict = judge(&good());
    assert_eq!(shown(&verdict), "pass ok -: every required step passed; confidence 0.95, 0.60 needed");
    assert_eq!((verdict.confidence, verdict.calibrated, verdict.p_merge), (0.952574, false, None));
    assert_eq!((verdict.reasons.len(), verdict.moved.len()), (0, 0));
    assert_eq!(verdict.steps, good().steps);
}

#[test]
fn each_finding_has_its_consequence() {
    use Finding::*;
    use StepResult::{Fail, Unknown};
    for (name, result, code, expect) in [
        ("V0", Fail, PatchDoesNotApply, "bow_out patch_does_not_apply verification_failed: V0: detail of V0"),
        ("V0", Fail, EmptyPatch, "bow_out empty_patch no_change_needed: V0: detail of V0"),
        ("V0", Fail, TooLarge, "bow_out too_large too_large: V0: detail of V0"),
        ("V1", Fail, ProtectedPath, "block protected_path protected_path: V1: detail of V1"),
        ("V2", Fail, ForbiddenContent, "block forbidden_content verification_failed: V2: detail of V2"),
        ("V3", Fail, BaselineRed, "bow_out baseline_red baseline_red: V3: detail of V3"),
        ("V3", Fail, BuildFailed, "block build_failed verification_failed: V3: detail of V3"),
        ("V3", Unknown, JobLimit, "bow_out job_limit verification_failed: V3: detail of V3"),
        ("V3", Unknown, NoEngine, "bow_out no_engine no_engine: V3: detail of V3"),
        ("V4", Fail, NewLintFindings, "block new_lint_findings quality_gate: V4: detail of V4"),
        ("V5", Fail, NoFailToPass, "bow_out no_fail_to_pass low_confidence: V5: detail of V5"),
        ("V7", Fail, Regression, "block regression verification_failed: V7: detail of V7"),
        ("V7", Unknown, NoTests, "bow_out no_tests low_confidence: V7: detail of V7"),
        ("V7", Fail, TestsWeakened, "block tests_weakened verification_failed: V7: detail of V7"),
        (
            "V8",
            Fail,
            RunnerConfigChanged,
            "block runner_config_changed verification_failed: V8: detail of V8",
        ),
        ("V8", Fail, SuiteNotRun, "block suite_not_run verification_failed: V8: detail of V8"),
        ("V8", Unknown, SuiteNotRun, "bow_out suite_not_run verification_failed: V8: detail of V8"),
    ] {
        let mut evidence = good();
        set(&mut evidence, name, result, Some(code));
        assert_eq!(shown(&judge(&evidence)), expect);
    }
}

#[test]
fn a_failure_without_a_code_blocks_and_an_unknown_one_bows_out() {
    let mut evidence = good();
    set(&mut evidence, "V9", StepResult::Unknown, None);
    assert_eq!(shown(&judge(&evidence)), "bow_out low_confidence low_confidence: V9: detail of V9");
    set(&mut evidence, "V8", StepResult::Fail, None);
    assert_eq!(shown(&judge(&evidence)), "block verification_failed verification_failed: V8: detail of V8");
}

#[test]
fn blocks_come_before_bow_outs_and_earlier_steps_before_later_ones() {
    let mut evidence = good();
    set(&mut evidence, "V0", StepResult::Fail, Some(Finding::TooLarge));
    set(&mut evidence, "V8", StepResult::Fail, Some(Finding::RunnerConfigChanged));
    set(&mut evidence, "V7", StepResult::Fail, Some(Finding::Regression));
    assert_eq!(judge(&evidence).code, "regression");
}

#[test]
fn required_steps_must_be_there_and_not_skipped() {
    for name in ["V0", "V1", "V2", "V3", "V7", "V8"] {
        let mut evidence = good();
        evidence.steps.retain(|step| step.step != name);
        assert_eq!(judge(&evidence).verdict, VerdictKind::BowOut, "{name} missing");
        set(&mut evidence, name, StepResult::Skipped, None);
        let expect = if name == "V3" { VerdictKind::Pass } else { VerdictKind::BowOut };
        assert_eq!(judge(&evidence).verdict, expect, "{name} skipped");
        // A second line for the same step cannot paper over the first.
        evidence.steps.push(step(name, StepResult::Pass, None));
        assert_eq!(judge(&evidence).verdict, expect, "{name} skipped and passed");
    }
    let mut evidence = good();
    evidence.steps.clear();
    assert_eq!(judge(&evidence).verdict, VerdictKind::BowOut);
    let mut evidence = good();
    evidence.steps.push(step("V99", StepResult::Pass, None));
    assert_eq!(judge(&evidence).verdict, VerdictKind::BowOut);
}

#[test]
fn evidence_that_contradicts_itself_is_not_believed() {
    let mut evidence = good();
    evidence.patched_tests.insert("a".into(), TestStatus::Failed);
    evidence.patched_tests.insert("b".into(), TestStatus::Passed);
    assert_eq!(
        shown(&judge(&evidence)),
        "block regression verification_failed: 1 tests held before the patch and fail with it, a first"
    );
    // What failed as it was marked to and now fails otherwise is one too.
    evidence.baseline_tests.insert("a".into(), TestStatus::ExpectedFailure);
    assert_eq!(judge(&evidence).code, "regression");
    evidence.flaky.push("a".into());
    assert_eq!(judge(&evidence).verdict, VerdictKind::Pass);

    let mut evidence = good();
    let finding = |level, message: &str| LintFinding {
        tool: "rustc".into(),
        rule: "E0308".into(),
        path: RelPath::parse("src/lib.rs").unwrap(),
        line: 3,
        message: message.into(),
        level,
    };
    evidence.findings = vec![finding(LintLevel::Warning, "unused"), finding(LintLevel::Note, "long")];
    assert_eq!(judge(&evidence).verdict, VerdictKind::Pass);
    evidence.findings.push(finding(LintLevel::Error, "mismatched types"));
    assert_eq!(
        shown(&judge(&evidence)),
        "block new_lint_findings quality_gate: 1 new errors of linters and type checkers, first in src/lib.rs:3: \
         mismatched types"
    );

    let mut evidence = good();
    evidence.patched_tests.clear();
    assert_eq!(judge(&evidence).code, "no_tests");
    let mut evidence = good();
    evidence.tree = None;
    assert_eq!(judge(&evidence).verdict, VerdictKind::BowOut);
    let mut evidence = good();
    evidence.schema_version = 2;
    assert_eq!(judge(&evidence).verdict, VerdictKind::BowOut);
}

#[test]
fn code_by_a_model_needs_a_test_that_it_turns_green() {
    let mut evidence = good();
    evidence.origin = Origin::Model("openai:x".into());
    assert_eq!(
        shown(&judge(&evidence)),
        "bow_out no_fail_to_pass low_confidence: a model changed code and no test fails without the change \
         and passes with it"
    );
    evidence.fail_to_pass.push("tests::new".into());
    assert_eq!(judge(&evidence).verdict, VerdictKind::Pass);
    set(&mut evidence, "V5", StepResult::Skipped, None);
    assert_eq!(judge(&evidence).verdict, VerdictKind::BowOut);
    evidence.files[0].role = FileRole::Docs;
    assert_eq!(judge(&evidence).verdict, VerdictKind::Pass);
    evidence.files[0].role = FileRole::Code;
    evidence.origin = Origin::Playbook("rename".into());
    assert_eq!(judge(&evidence).verdict, VerdictKind::Pass);
}

#[test]
fn enough_signals_bow_out_with_their_names() {
    let mut evidence = good();
    evidence.signals = vec![signal("todo"), signal("todo")];
    let verdict = judge(&evidence);
    assert_eq!(verdict.verdict, VerdictKind::Pass);
    assert_eq!(verdict.reasons, ["2 × todo: log-odds -0.84"]);
    evidence.signals.extend([signal("stray_file"), signal("debug_print"), signal("debug_print")]);
    assert_eq!(
        shown(&judge(&evidence)),
        "bow_out quality_gate quality_gate: confidence 0.21 is below 0.60: 1 × stray_file: log-odds -1.81; \
         2 × debug_print: log-odds -1.66; 2 × todo: log-odds -0.84"
    );
}

const FINDINGS: &[Finding] = &[
    Finding::PatchDoesNotApply,
    Finding::TooLarge,
    Finding::ProtectedPath,
    Finding::BaselineRed,
    Finding::Regression,
    Finding::NoTests,
    Finding::SuiteNotRun,
    Finding::NoFailToPass,
];

fn any_step() -> impl Strategy<Value = Step> {
    (0..13usize, 0..8usize, prop::option::of(0..FINDINGS.len())).prop_map(|(number, result, code)| {
        let result = match result {
            0 => StepResult::Fail,
            1 => StepResult::Unknown,
            2 => StepResult::Skipped,
            _ => StepResult::Pass,
        };
        step(&format!("V{number}"), result, code.map(|i| FINDINGS[i]))
    })
}

fn any_signal() -> impl Strategy<Value = Signal> {
    prop::sample::select(vec!["todo", "debug_print", "stray_file", "never_heard_of", "whitespace_only"])
        .prop_map(signal)
}

pub(crate) fn any_evidence() -> impl Strategy<Value = Evidence> {
    (
        prop::collection::vec(any_step(), 0..4),
        prop::collection::vec(any_signal(), 0..6),
        prop::sample::subsequence(vec!["V0", "V1", "V2", "V3", "V5", "V7", "V8"], 5..=7),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(extra, signals, kept, by_model, fail_to_pass)| {
            let mut evidence = good();
            evidence.steps.retain(|step| kept.contains(&step.step.as_str()));
            evidence.steps.extend(extra);
            evidence.signals = signals;
            if by_model {
                evidence.origin = Origin::Model("m".into());
            }
            if fail_to_pass {
                evidence.fail_to_pass.push("t".into());
            }
            evidence
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_failure_among_the_hard_steps_passes(evidence in any_evidence()) {
        let hard_failure = evidence.steps.iter().any(|step| {
            step.result == StepResult::Fail && ["V0", "V1", "V3", "V7", "V8"].contains(&step.step.as_str())
        });
        if hard_failure {
            prop_assert_ne!(judge(&evidence).verdict, VerdictKind::Pass);
        }
    }

    #[test]
    fn more_against_a_patch_never_makes_it_pass(
        evidence in any_evidence(), signal in any_signal(), number in 0..13usize, unknown in any::<bool>()
    ) {
        let before = judge(&evidence);
        let mut with_signal = evidence.clone();
        with_signal.signals.push(signal);
        prop_assert!(judge(&with_signal).confidence <= before.confidence);
        let mut with_failure = evidence.clone();
        let result = if unknown { StepResult::Unknown } else { StepResult::Fail };
        with_failure.steps.push(step(&format!("V{number}"), result, None));
        prop_assert_ne!(judge(&with_failure).verdict, VerdictKind::Pass);
        // A block stays a block: nothing added softens it.
        if before.verdict != VerdictKind::Pass {
            prop_assert_ne!(judge(&with_signal).verdict, VerdictKind::Pass);
        }
        if before.verdict == VerdictKind::Block {
            prop_assert_eq!(judge(&with_signal).verdict, VerdictKind::Block);
            prop_assert_eq!(judge(&with_failure).verdict, VerdictKind::Block);
        }
    }

    #[test]
    fn the_verdict_passes_exactly_when_its_code_is_ok(evidence in any_evidence()) {
        let verdict = judge(&evidence);
        let passes = verdict.verdict == VerdictKind::Pass;
        prop_assert_eq!(passes, verdict.code == "ok");
        prop_assert_eq!(passes, verdict.reason_code.is_none());
        prop_assert!(!passes || verdict.confidence >= verdict.threshold);
    }
}
