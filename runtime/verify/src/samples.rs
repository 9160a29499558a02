//! Evidence as it comes, for the tests of what is made of it.

use gloaming_api::evidence::{
    ChangedFile, ChangedLines, Evidence, FailsBy, FileChange, FileRole, Finding, Flake, LintFinding,
    LintLevel, Mutant, Mutants, NoticedByOwn, Origin, Runs, Signal, Step, StepResult, TestStatus, Verdict,
    VerdictKind, WithoutCode,
};
use gloaming_api::{Digest, ReasonCode, RelPath};

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn step(name: &str, result: StepResult, code: Option<Finding>, detail: &str) -> Step {
    Step { step: name.into(), result, code, detail: detail.into() }
}

/// A patch that nothing speaks against.
pub(crate) fn passed() -> (Evidence, Verdict) {
    let evidence = Evidence {
        schema_version: 1,
        task: None,
        attempt: None,
        repo: "acme/api".parse().unwrap(),
        base: "0123456789".repeat(4),
        patch: Digest::of(b"patch"),
        tree: Some("9876543210".repeat(4)),
        origin: Origin::External,
        grant: Digest::of(b"grant"),
        environment: None,
        commands: Vec::new(),
        files: vec![ChangedFile {
            path: path("src/a b.py"),
            change: FileChange::Modified,
            added: 3,
            removed: 1,
            binary: false,
            role: FileRole::Code,
        }],
        steps: vec![
            step("V0", StepResult::Pass, None, "applies"),
            step(
                "V7",
                StepResult::Pass,
                None,
                "2 tests on the base, 2 with the patch, none fails that passed",
            ),
            step("V9", StepResult::Pass, None, "the tests run 3 of 3 changed lines"),
        ],
        jobs: Vec::new(),
        baseline_tests: [("tests.test_a::t".into(), TestStatus::Passed)].into(),
        patched_tests: [
            ("tests.test_a::t".into(), TestStatus::Passed),
            ("tests.test_a::new".into(), TestStatus::Passed),
        ]
        .into(),
        fail_to_pass: vec!["tests.test_a::new".into()],
        without_code: vec![WithoutCode {
            id: "tests.test_a::new".into(),
            by: FailsBy::Assertion,
            said: "assert <1> == 2 | @all".into(),
        }],
        flaky: Vec::new(),
        flakes: Vec::new(),
        findings: Vec::new(),
        coverage: Some(ChangedLines { covered: 3, uncovered: 0, tool: "coverage.py".into() }),
        mutants: Some(Mutants {
            killed: 4,
            survived: 0,
            timed_out: 1,
            survivors: Vec::new(),
            own: Some(NoticedByOwn {
                noticed: 3,
                missed: 1,
                unknown: 1,
                by: vec!["tests.test_a::new".into()],
            }),
        }),
        asked: Some(gloaming_api::evidence::Asked::of("\n## Sum of <two> numbers\n\nIt is wrong.\n")),
        sent_back: 0,
        signals: Vec::new(),
        journal_head: None,
        journal_length: None,
    };
    let verdict = Verdict {
        verdict: VerdictKind::Pass,
        code: "ok".into(),
        reason_code: None,
        summary: "every required step passed; confidence 1.00, 0.50 needed".into(),
        steps: evidence.steps.clone(),
        confidence: 1.0,
        threshold: 0.5,
        calibrated: false,
        reasons: Vec::new(),
        moved: Vec::new(),
        p_merge: None,
        weights: None,
    };
    (evidence, verdict)
}

/// A patch with something of everything against it.
pub(crate) fn blocked() -> (Evidence, Verdict) {
    let (mut evidence, _) = passed();
    evidence.steps = vec![
        step("V0", StepResult::Pass, None, "applies"),
        step(
            "V4",
            StepResult::Fail,
            Some(Finding::NewLintFindings),
            "1 new finding: src/a b.py:3: `os` imported | unused (ruff F401)",
        ),
        step("V7", StepResult::Unknown, Some(Finding::Regression), "not known to hold: tests.test_a::t"),
        step("V8", StepResult::Skipped, None, "not reached: V4 decided"),
    ];
    evidence.flaky = vec!["tests.test_a::t".into()];
    evidence.flakes = vec![Flake {
        id: "tests.test_a::t[<b>]".into(),
        base: Runs { passed: 2, failed: 1, absent: 0 },
        patched: Runs { passed: 1, failed: 2, absent: 1 },
    }];
    evidence.findings = vec![
        LintFinding {
            tool: "ruff".into(),
            rule: "F401".into(),
            path: path("src/a b.py"),
            line: 3,
            message: "`os` imported | unused, says @someone".into(),
            level: LintLevel::Warning,
        },
        LintFinding {
            tool: "black".into(),
            rule: String::new(),
            path: path("src/a b.py"),
            line: 0,
            message: "not formatted".into(),
            level: LintLevel::Error,
        },
    ];
    evidence.mutants = Some(Mutants {
        killed: 1,
        survived: 1,
        timed_out: 0,
        survivors: vec![Mutant {
            path: path("src/a b.py"),
            line: 2,
            operator: "negate_comparison".into(),
            detail: "`a < b` → `a >= b`".into(),
        }],
        own: None,
    });
    evidence.signals = vec![Signal {
        name: "debug_print".into(),
        path: path("src/a b.py"),
        line: 4,
        detail: "print('<script>')".into(),
    }];
    let verdict = Verdict {
        verdict: VerdictKind::Block,
        code: "new_lint_findings".into(),
        reason_code: Some(ReasonCode::QualityGate),
        summary: "V4: 1 new finding: src/a b.py:3".into(),
        steps: evidence.steps.clone(),
        confidence: 0.7,
        threshold: 0.5,
        calibrated: false,
        reasons: vec!["debug_print ×1 (0.7)".into()],
        moved: Vec::new(),
        p_merge: None,
        weights: None,
    };
    (evidence, verdict)
}
