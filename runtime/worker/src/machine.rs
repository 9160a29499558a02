//! The blueprint as a machine: each state is a stage with what the stages before it handed on, and leads to the next or
//! to an end. A stage gets what its state holds and nothing else.

use std::sync::Arc;

use gloaming_agent::playbook::rename::Rename;
use gloaming_agent::{Choice, choose};
use gloaming_api::bowout::{Attempted, Stage, shorten};
use gloaming_api::evidence::{Evidence, Origin, StepResult, VerdictKind};
use gloaming_api::journal::EventKind;
use gloaming_api::profile::CommandKind;
use gloaming_model::Model;
use gloaming_verify::Baseline;
use gloaming_workspace::Patch;

use crate::blueprint::{ROUNDS, Run, freeze, keep, triage, verify};
use crate::bow::from_verdict;
use crate::end::{End, Unpublished, Verified};
use crate::provision::{Bench, baseline, provision};
use crate::{code, rename};

/// Where an attempt is.
enum State {
    Intake,
    Triage(Choice),
    Provision(Chosen),
    Baseline(Chosen, Box<Bench>),
    Code(Box<Work>),
    Freeze(Box<Work>, Made),
    Verify(Box<Work>, Made, Patch),
    Gate(Box<Work>, Made, Patch, Box<Evidence>),
    Done(Box<Verified>),
}

/// Who is to work on the task.
struct Chosen {
    origin: Origin,
    choice: Choice,
}

/// What the work is done with, over all its rounds.
struct Work {
    origin: Origin,
    bench: Box<Bench>,
    baseline: Baseline,
    maker: Maker,
    /// The number of the try, from 1.
    round: u32,
    /// What the verifier found in the last one.
    findings: Option<String>,
}

/// Who works on the task, with what it takes to.
enum Maker {
    Rename(Rename),
    Model(Arc<dyn Model>, Box<code::Session>),
}

/// What a round has made, in the words of who made it.
struct Made {
    summary: String,
}

/// Runs the stages to the gate's pass, or to an end before it.
pub(crate) async fn run(run: &mut Run<'_>) -> Result<Verified, End> {
    let mut state = State::Intake;
    loop {
        state = match state {
            State::Intake => {
                run.begin(Stage::Intake)?;
                let choice = choose(&run.assignment.text);
                run.finish(format!("{} bytes of task text", run.assignment.text.len()))?;
                State::Triage(choice)
            }
            State::Triage(choice) => {
                run.begin(Stage::Triage)?;
                let origin = triage(run, &choice)?;
                run.finish(match &origin {
                    Origin::Playbook(name) => format!("playbook {name}, no model needed"),
                    Origin::Model(spec) => format!("for the model {spec}"),
                    Origin::External => "somebody else".to_owned(),
                })?;
                State::Provision(Chosen { origin, choice })
            }
            State::Provision(chosen) => {
                run.begin(Stage::Provision)?;
                State::Baseline(chosen, Box::new(provision(run).await?))
            }
            State::Baseline(chosen, bench) => {
                run.begin(Stage::Baseline)?;
                let baseline = match run.handed_on::<Baseline>(Stage::Baseline)? {
                    Some(baseline) => baseline,
                    None => {
                        let baseline = baseline(run, &bench).await?;
                        let detail =
                            format!("{} tests, {} flaky", baseline.tests.len(), baseline.flips.len());
                        run.hand_on(detail, &baseline)?;
                        baseline
                    }
                };
                State::Code(Box::new(Work::begin(run, chosen, bench, baseline)))
            }
            State::Code(mut work) => {
                run.begin(Stage::Code)?;
                let made = work.perform(run).await;
                if matches!(made, Err(End::BowOut(_, None) | End::Stopped | End::Recorded(_))) {
                    run.kept = keep(run, &work.bench);
                }
                let made = made?;
                run.finish(shorten(&made.summary, 120))?;
                State::Freeze(work, made)
            }
            State::Freeze(work, made) => {
                run.begin(Stage::Freeze)?;
                let patch = freeze(run, &work.bench)?;
                run.finish(format!("{} files changed", patch.files.len()))?;
                State::Verify(work, made, patch)
            }
            State::Verify(work, made, patch) => {
                run.begin(Stage::Verify)?;
                let evidence = match run.handed_on::<Evidence>(Stage::Verify)? {
                    Some(evidence) => evidence,
                    None => {
                        let evidence =
                            verify(run, &work.bench, &work.baseline, &patch, &work.origin, work.round)
                                .await?;
                        let pass = evidence.steps.iter().filter(|s| s.result == StepResult::Pass).count();
                        run.record(EventKind::Verified {
                            evidence: gloaming_api::Digest::of_json(&evidence),
                            round: work.round,
                        })?;
                        run.hand_on(format!("{pass} of {} steps pass", evidence.steps.len()), &evidence)?;
                        evidence
                    }
                };
                State::Gate(work, made, patch, Box::new(evidence))
            }
            State::Gate(work, made, patch, evidence) => gate(run, work, made, patch, evidence)?,
            State::Done(verified) => return Ok(*verified),
        };
    }
}

impl Work {
    fn begin(run: &Run<'_>, chosen: Chosen, bench: Box<Bench>, baseline: Baseline) -> Self {
        let maker = match chosen.choice {
            Choice::Playbook(rename) => Maker::Rename(rename),
            _ => {
                let model = run.equipment.model.clone().expect("triage chose the model");
                Maker::Model(model, Box::new(code::Session::new(run, &bench)))
            }
        };
        Self { origin: chosen.origin, bench, baseline, maker, round: 1, findings: None }
    }

    async fn perform(&mut self, run: &mut Run<'_>) -> Result<Made, End> {
        let summary = match &mut self.maker {
            Maker::Rename(rename) => rename::perform(run, &self.bench, rename).await?,
            Maker::Model(model, session) => {
                session.perform(run, &self.bench, model.as_ref(), self.findings.take()).await?
            }
        };
        Ok(Made { summary })
    }
}

/// Decides; sends a model's work back with what was found, as often as it may be.
fn gate(
    run: &mut Run<'_>,
    mut work: Box<Work>,
    made: Made,
    patch: Patch,
    evidence: Box<Evidence>,
) -> Result<State, End> {
    run.begin(Stage::Gate)?;
    let verdict = (run.equipment.judge)(&evidence);
    run.record(EventKind::Judged { verdict: verdict.clone() })?;
    run.finish(format!("{}: {}", verdict.code, verdict.summary))?;
    if verdict.verdict == VerdictKind::Pass {
        let evidence = *evidence;
        let verified = Verified { patch, evidence, verdict, summary: made.summary, cost: run.cost };
        return Ok(State::Done(Box::new(verified)));
    }
    // A playbook would do the same again; a model may learn from what was seen.
    if work.round >= ROUNDS || !matches!(work.maker, Maker::Model(..)) {
        let mut draft = from_verdict(&verdict);
        draft.attempted.push(Attempted {
            approach: shorten(&made.summary, 400),
            outcome: format!("{} after {} of {ROUNDS} tries", verdict.code, work.round),
        });
        let unpublished = Unpublished { patch, evidence: Some(*evidence) };
        return Err(End::BowOut(Box::new(draft), Some(Box::new(unpublished))));
    }
    let text = code::findings(&verdict, &evidence);
    run.record(EventKind::FindingsTold { round: work.round, text: text.clone() })?;
    work.findings = Some(text);
    work.round += 1;
    Ok(State::Code(work))
}

/// What provisioning hands on, beside the checkout, which is made anew.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Provisioned {
    pub(crate) profile: gloaming_api::Profile,
}

/// Says which tests a bench has, behind what was set up.
pub(crate) fn tests_of(bench: &Bench) -> String {
    bench.profile.command(CommandKind::Test).map(|command| command.argv.join(" ")).unwrap_or_default()
}
