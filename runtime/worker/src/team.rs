//! The team around the coder: who reads the task, who writes a test that fails, who plans, and who reviews. Each has a
//! conversation of its own, sees no more than it needs, and decides nothing: what counts is run, or is a veto.

use std::collections::BTreeSet;
use std::sync::Arc;

use gloaming_agent::{Done, Plan, Reading, Reproduced, Review, Shown, Source};
use gloaming_api::RelPath;
use gloaming_api::bowout::{BowOutEvidence, ReasonCode, Stage, shorten};
use gloaming_api::evidence::{Evidence, FileRole, Signal, StepResult};
use gloaming_api::journal::AgentRole;
use gloaming_model::Model;
use gloaming_policies::RuleRef;
use gloaming_verify::{Baseline, Reproduction};
use gloaming_workspace::{Patch, role};

use crate::blueprint::Run;
use crate::bow::Draft;
use crate::code::{Bounds, Session, Start, call_tool};
use crate::end::{End, WorkerError};
use crate::progress::Update;
use crate::provision::Bench;

/// The most answers of each role but the coder, whose are the policy's to say.
const TRIAGE_STEPS: u32 = 2;
const REPRODUCER_STEPS: u32 = 24;
const PLANNER_STEPS: u32 = 12;
const REVIEWER_STEPS: u32 = 3;

/// How often a reproducer may try.
pub(crate) const REPRODUCER_TRIES: u32 = 2;

/// Up to so many files of code a plan adds nothing: the whole is seen at once.
const SMALL: usize = 12;

/// Bytes of a patch that a reviewer is shown.
const DIFF: usize = 40 << 10;

/// What somebody has read in the task; none where nobody was asked.
pub(crate) async fn read_task(run: &mut Run<'_>, model: &dyn Model) -> Result<Reading, End> {
    let start = Start {
        role: AgentRole::Triage,
        bench: None,
        shown: Vec::new(),
        steps: TRIAGE_STEPS,
        bounds: None,
        lent: Vec::new(),
    };
    let mut session = Session::new(run, start);
    match session.perform(run, None, model, None).await? {
        Done::Read(reading) => Ok(reading),
        other => Err(odd(&other)),
    }
}

/// Tokens that a map of the repository may have, about.
const MAP: u32 = 1500;
/// Bytes of the task's text that the map is drawn for.
const MAPPED: usize = 8 << 10;

/// Has a map of what matters for the task drawn, for all who look for where to begin; none where the policy does not let
/// it, or there is no code to draw.
pub(crate) async fn map(run: &mut Run<'_>, bench: &Bench) -> Result<Option<Shown>, End> {
    if !run.equipment.grant.offers("outline") {
        return Ok(None);
    }
    run.doing("drawing a map of the repository");
    let text = &run.assignment.text;
    let about = &text[..text.floor_char_boundary(MAPPED)];
    let args = serde_json::json!({"about": about, "tokens": MAP});
    let outcome = call_tool(run, bench, "map", "outline", args, None).await?;
    let drawn =
        outcome.output.as_ref().is_some_and(|map| map["symbols"].as_array().is_some_and(|s| !s.is_empty()));
    let title = "A map of the code that shares most with the task's words, with lines (`outline` shows more)";
    Ok(drawn.then(|| Shown { source: Source::Tool, title, text: outcome.for_model() }))
}

/// A test that fails on the untouched code.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Failing {
    pub(crate) reproduced: Reproduced,
    pub(crate) reproduction: Reproduction,
    /// The files that hold it.
    pub(crate) files: Vec<RelPath>,
}

/// The reproducer and its conversation.
pub(crate) struct Reproducer(Session);

impl Reproducer {
    pub(crate) fn new(run: &Run<'_>, bench: &Bench, map: Option<Shown>) -> Self {
        let rule = RuleRef {
            id: "role-reproducer".to_owned(),
            file: "builtin:roles".to_owned(),
            line: 1,
            because: "Who writes the failing test writes tests and nothing else.".to_owned(),
        };
        let bounds: Bounds = (rule, Arc::new(|path: &RelPath| role(path) == FileRole::Test));
        Self(Session::new(
            run,
            Start {
                role: AgentRole::Reproducer,
                bench: Some(bench),
                shown: map.into_iter().collect(),
                steps: REPRODUCER_STEPS,
                bounds: Some(bounds),
                lent: Vec::new(),
            },
        ))
    }

    /// Has a test written; returns it with the patch that adds it.
    pub(crate) async fn write(
        &mut self,
        run: &mut Run<'_>,
        bench: &Bench,
        model: &dyn Model,
        refused: Option<String>,
    ) -> Result<(Reproduced, Patch), End> {
        let reproduced = match self.0.perform(run, Some(bench), model, refused).await? {
            Done::Reproduced(reproduced) => reproduced,
            other => return Err(odd(&other)),
        };
        Ok((reproduced, run.equipment.repository.freeze(&bench.checkout)?))
    }
}

/// Runs a reproducer's test on the untouched code. The inner error says why it shows nothing.
pub(crate) async fn validate(
    run: &mut Run<'_>,
    bench: &Bench,
    baseline: &Baseline,
    reproduced: &Reproduced,
    patch: &Patch,
) -> Result<Result<Failing, String>, End> {
    let files: Vec<RelPath> = patch.files.iter().map(|file| file.path.clone()).collect();
    if files.is_empty() {
        return Ok(Err("no test was written".to_owned()));
    }
    if let Some(path) = files.iter().find(|path| role(path) != FileRole::Test) {
        return Ok(Err(format!("{path} is no test")));
    }
    let progress = run.progress;
    let progress = |update: gloaming_verify::Progress| progress(Update::Doing(update.to_string()));
    let work_dir = run.equipment.work_dir.join("reproduce");
    let inputs = bench.untouched(run, &work_dir, &progress);
    let reproduction = gloaming_verify::reproduce(inputs, patch, baseline, &reproduced.fails_with).await?;
    run.record_jobs(&reproduction.jobs)?;
    Ok(match reproduction.refused.clone() {
        Some(why) => Err(why),
        None => Ok(Failing { reproduced: reproduced.clone(), reproduction, files }),
    })
}

/// What a person is told where no test could show what the task reports.
pub(crate) fn not_reproducible(why: &str) -> Draft {
    Draft::new(
        Stage::ValidateReproducer,
        ReasonCode::NotReproducible,
        format!("No test could be written that fails for the task's reason: {why}"),
    )
    .evidence(BowOutEvidence::note("verification", why.to_owned()))
    .unblock(
        "add a failing test",
        "or the input, what comes of it and what should, so that one can be written",
    )
}

/// Whether somebody should plan: not where the failing test or the task itself says where to look, nor where there is
/// next to nothing to look through.
pub(crate) fn wants_plan(run: &Run<'_>, failing: Option<&Failing>) -> Result<bool, End> {
    if failing.is_some() {
        return Ok(false);
    }
    let files = run.equipment.repository.list_files(&run.assignment.base)?;
    let code: Vec<RelPath> = files
        .into_iter()
        .filter_map(|entry| entry.path)
        .filter(|path| role(path) == FileRole::Code)
        .collect();
    let text = &run.assignment.text;
    let named = code.iter().any(|path| path.as_str().contains('/') && text.contains(path.as_str()));
    Ok(code.len() > SMALL && !named)
}

/// Has the work planned.
pub(crate) async fn plan(
    run: &mut Run<'_>,
    bench: &Bench,
    map: Option<Shown>,
    model: &dyn Model,
) -> Result<Plan, End> {
    let start = Start {
        role: AgentRole::Planner,
        bench: Some(bench),
        shown: map.into_iter().collect(),
        steps: PLANNER_STEPS,
        bounds: None,
        lent: Vec::new(),
    };
    let mut session = Session::new(run, start);
    match session.perform(run, Some(bench), model, None).await? {
        Done::Planned(plan) => Ok(plan),
        other => Err(odd(&other)),
    }
}

/// Returns the coder, told what is known by now, with the tools that MCP servers lend it, and kept from the files of the
/// failing test.
pub(crate) async fn coder(
    run: &mut Run<'_>,
    bench: &Bench,
    mut shown: Vec<Shown>,
    failing: Option<&Failing>,
    plan: Option<&Plan>,
) -> Result<Session, End> {
    let lent = crate::theirs::lent(run, bench).await?;
    if let Some(failing) = failing {
        let files: Vec<&str> = failing.files.iter().map(RelPath::as_str).collect();
        let ids = failing.reproduction.tests.join("\n");
        let text = format!(
            "In {}. It fails with: {}\n{ids}\n{}",
            files.join(", "),
            failing.reproduced.fails_with,
            failing.reproduced.summary
        );
        let title = "A test that fails on the code as it is was written for this task; it cannot be changed, and has to \
                     pass in the end";
        shown.push(Shown { source: Source::Team, title, text });
    }
    if let Some(plan) = plan {
        let text = format!("{}\nFiles: {}", plan.steps.join("\n"), plan.files.join(", "));
        shown.push(Shown { source: Source::Team, title: "A plan by somebody who has read the code", text });
    }
    let bounds = failing.map(|failing| -> Bounds {
        let rule = RuleRef {
            id: "role-coder".to_owned(),
            file: "builtin:roles".to_owned(),
            line: 2,
            because: "The failing test was written by somebody else, and is what the change is measured by."
                .to_owned(),
        };
        let kept: BTreeSet<RelPath> = failing.files.iter().cloned().collect();
        (rule, Arc::new(move |path: &RelPath| !kept.contains(path)))
    });
    let start = Start { role: AgentRole::Coder, bench: Some(bench), shown, steps: u32::MAX, bounds, lent };
    Ok(Session::new(run, start))
}

/// Notes what a change does outside of its plan. Tests are nobody's worry.
pub(crate) fn outside_plan(evidence: &mut Evidence, plan: &Plan) {
    let planned: Vec<RelPath> = plan.files.iter().filter_map(|file| RelPath::parse(file).ok()).collect();
    let within = |path: &RelPath| planned.iter().any(|planned| path.is_within(planned));
    let outside: Vec<Signal> = evidence
        .files
        .iter()
        .filter(|file| file.role != FileRole::Test && !within(&file.path))
        .map(|file| Signal {
            name: "outside_plan".to_owned(),
            path: file.path.clone(),
            line: 0,
            detail: "the plan for this change does not name this file".to_owned(),
        })
        .collect();
    evidence.signals.extend(outside);
}

/// Has a finished change read by somebody who has not made it.
pub(crate) async fn review(
    run: &mut Run<'_>,
    model: &dyn Model,
    patch: &Patch,
    evidence: &Evidence,
) -> Result<Review, End> {
    let diff = String::from_utf8_lossy(&patch.diff);
    let of_it = |title, text| Shown { source: Source::Change, title, text };
    let shown = vec![of_it("The change", cut(&diff)), of_it("What the system saw of it", seen(evidence))];
    let start = Start {
        role: AgentRole::Reviewer,
        bench: None,
        shown,
        steps: REVIEWER_STEPS,
        bounds: None,
        lent: Vec::new(),
    };
    let mut session = Session::new(run, start);
    match session.perform(run, None, model, None).await? {
        Done::Reviewed(review) => Ok(review),
        other => Err(odd(&other)),
    }
}

/// The findings of a review, for the coder.
pub(crate) fn told(review: &Review) -> String {
    let mut text = String::from("A reviewer would send the change back:\n");
    for finding in &review.findings {
        text.push_str(&format!(
            "- {}:{} ({}): {}\n",
            finding.path, finding.line, finding.on, finding.problem
        ));
    }
    text
}

/// What a person is told of a change that was vetoed.
pub(crate) fn vetoed(review: &Review) -> Draft {
    let first = review.findings.first().map(|finding| finding.problem.as_str()).unwrap_or_default();
    let mut draft = Draft::new(
        Stage::Review,
        ReasonCode::LowConfidence,
        format!("The change passes verification, and its reviewer vetoed it: {first}"),
    );
    for finding in &review.findings {
        let place = format!("{}:{} ({}): {}", finding.path, finding.line, finding.on, finding.problem);
        draft = draft.evidence(BowOutEvidence::note("model", place));
    }
    draft.unblock(
        "look at the kept patch",
        "attempt.diff; a person may find the review wrong, or the task unclear",
    )
}

fn cut(diff: &str) -> String {
    if diff.len() <= DIFF {
        return diff.to_owned();
    }
    let end = (0..=DIFF).rev().find(|at| diff.is_char_boundary(*at)).unwrap_or(0);
    format!("{}\n[{} more bytes]", &diff[..end], diff.len() - end)
}

/// The evidence in some lines: no output of jobs, which a patch's own code could have written.
fn seen(evidence: &Evidence) -> String {
    let mut text = String::new();
    for step in evidence.steps.iter().filter(|step| step.result != StepResult::Skipped) {
        text.push_str(&format!("{} {:?}: {}\n", step.step, step.result, shorten(&step.detail, 300)));
    }
    for test in evidence.fail_to_pass.iter().take(20) {
        text.push_str(&format!("fails without the change, passes with it: {test}\n"));
    }
    for signal in evidence.signals.iter().take(20) {
        text.push_str(&format!("{} at {}:{}\n", signal.name, signal.path, signal.line));
    }
    text
}

fn odd(done: &Done) -> End {
    WorkerError::Diverged(format!("one of the team ended as another does: {done:?}")).into()
}

#[cfg(test)]
mod tests {
    use gloaming_api::Digest;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_outside_of_its_plan_is_noted_but_for_tests() {
        let file = |path: &str, role: &str| json!({"path": path, "change": "modified", "role": role, "added": 1, "removed": 1, "binary": false});
        let evidence: Evidence = serde_json::from_value(json!({
            "schema_version": 1, "repo": "a/b", "base": "0".repeat(40), "patch": Digest::of("p"),
            "origin": {"kind": "external"}, "grant": Digest::of("g"),
            "files": [file("src/a.py", "code"), file("lib/b.py", "code"), file("tests/test_a.py", "test")],
            "steps": [], "jobs": [], "baseline_tests": {}, "patched_tests": {}, "fail_to_pass": [], "flaky": [],
            "signals": []
        }))
        .expect("the evidence is valid");
        let outside = |files: &[&str]| {
            let files = files.iter().map(|file| (*file).to_owned()).collect();
            let mut evidence = evidence.clone();
            outside_plan(&mut evidence, &Plan { steps: vec!["s".to_owned()], files });
            evidence.signals.iter().map(|signal| signal.path.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(outside(&["./src/a.py"]), ["lib/b.py"]);
        assert_eq!(outside(&["src/", "lib/b.py"]), [""; 0]);
        assert_eq!(outside(&["."]), [""; 0]);
        assert_eq!(outside(&["../x", "srcs"]), ["src/a.py", "lib/b.py"]);
    }
}
