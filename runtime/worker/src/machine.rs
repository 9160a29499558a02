//! The blueprint as a machine: each state is a stage with what the stages before it handed on, and leads to the next or
//! to an end. A stage gets what its state holds and nothing else.

use std::sync::Arc;

use gloaming_agent::{Choice, Done, Plan, Playbook, Review, ReviewFinding, Shown, Source, choose};
use gloaming_api::bowout::{Attempted, BowOutEvidence, ReasonCode, Stage, Unblock, shorten};
use gloaming_api::evidence::{ChangedFile, Evidence, Finding, Origin, StepResult, Verdict, VerdictKind};
use gloaming_api::journal::EventKind;
use gloaming_api::profile::CommandKind;
use gloaming_api::triage::TaskFeatures;
use gloaming_model::Model;
use gloaming_verify::Baseline;
use gloaming_workspace::Patch;

use crate::blueprint::{ROUNDS, Run, choose_origin, freeze, keep, may_work, parts, verify};
use crate::bow::{Draft, from_verdict};
use crate::end::{End, Unpublished, Verified, WorkerError};
use crate::provision::{Bench, Ground, baseline, provision, set_up_for};
use crate::team::{Failing, REPRODUCER_TRIES, Reproducer};
use crate::{code, facts, playbook, team, triage};

/// Where an attempt is.
enum State {
    Intake,
    Triage(Choice),
    Provision(Chosen),
    Baseline(Chosen, Box<Bench>),
    Reproduce(Ready),
    Plan(Ready, Option<Failing>),
    Code(Box<Work>),
    Freeze(Box<Work>, Made),
    Verify(Box<Work>, Made, Patch),
    Review(Box<Work>, Made, Patch, Box<Evidence>),
    Gate(Box<Work>, Made, Patch, Box<Evidence>, Option<Review>),
    HandOver(Box<Work>, Made, Patch, HandedOver),
    Done(Box<Verified>),
}

/// Who is to work on the task.
struct Chosen {
    origin: Origin,
    choice: Choice,
    /// Whether the task reports something that works otherwise than it should; false where nobody has read it.
    bug: bool,
    /// The workspace, where triage has looked into it.
    ground: Option<Ground>,
}

/// What all work on the task begins with.
struct Ready {
    chosen: Chosen,
    bench: Box<Bench>,
    baseline: Baseline,
    /// What of the code matters for the task, where a model works on it.
    map: Option<Shown>,
}

/// What the work is done with, over all its rounds.
struct Work {
    origin: Origin,
    bench: Box<Bench>,
    baseline: Baseline,
    maker: Maker,
    /// The number of the try, from 1.
    round: u32,
    /// What the verifier or the reviewer found in the last one.
    findings: Option<String>,
    failing: Option<Failing>,
    plan: Option<Plan>,
    /// Whether a reviewer has sent it back already.
    reviewed: bool,
    /// Whether it was sent back because its own tests notice no planted fault.
    idle: bool,
    /// What a playbook did before a model went on, in its words.
    before: Option<String>,
}

/// Who works on the task, with what it takes to.
enum Maker {
    Playbook(Box<Playbook>),
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
                let origin = choose_origin(run, &choice)?;
                let mut ground = None;
                let bug = match &origin {
                    Origin::Model(_) => {
                        facts::foreseen(run)?;
                        worth_beginning(run, &mut ground).await?
                    }
                    _ => false,
                };
                run.finish(match &origin {
                    Origin::Playbook(name) => format!("playbook {name}, no model needed"),
                    Origin::Model(spec) => format!("for the model {spec}"),
                    Origin::External => "somebody else".to_owned(),
                })?;
                State::Provision(Chosen { origin, choice, bug, ground })
            }
            State::Provision(mut chosen) => {
                run.begin(Stage::Provision)?;
                let bench = provision(run, chosen.ground.take()).await?;
                State::Baseline(chosen, Box::new(bench))
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
                let map = match chosen.origin {
                    Origin::Model(_) => team::map(run, &bench).await?,
                    _ => None,
                };
                let ready = Ready { chosen, bench, baseline, map };
                match ready.chosen.origin {
                    Origin::Model(_) if run.equipment.team.reproducer => State::Reproduce(ready),
                    _ => State::Plan(ready, None),
                }
            }
            State::Reproduce(mut ready) => {
                let failing = reproduce(run, &mut ready).await?;
                State::Plan(ready, failing)
            }
            State::Plan(ready, failing) => {
                let wanted = matches!(ready.chosen.origin, Origin::Model(_)) && run.equipment.team.planner;
                let plan = if wanted && team::wants_plan(run, failing.as_ref())? {
                    run.begin(Stage::Plan)?;
                    let model = run.equipment.model.clone().expect("triage chose the model");
                    let plan = team::plan(run, &ready.bench, ready.map.clone(), model.as_ref()).await?;
                    run.finish(format!("{} steps in {} files", plan.steps.len(), plan.files.len()))?;
                    Some(plan)
                } else {
                    None
                };
                State::Code(Box::new(Work::begin(run, ready, failing, plan).await?))
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
                        let mut evidence =
                            verify(run, &work.bench, &work.baseline, &patch, &work.origin, work.round)
                                .await?;
                        if let Some(plan) = &work.plan {
                            team::outside_plan(&mut evidence, plan);
                        }
                        let pass = evidence.steps.iter().filter(|s| s.result == StepResult::Pass).count();
                        run.record(EventKind::Verified {
                            evidence: gloaming_api::Digest::of_json(&evidence),
                            round: work.round,
                        })?;
                        run.hand_on(format!("{pass} of {} steps pass", evidence.steps.len()), &evidence)?;
                        evidence
                    }
                };
                State::Review(work, made, patch, Box::new(evidence))
            }
            State::Review(work, made, patch, evidence) => {
                let review = review(run, &work, &patch, &evidence).await?;
                State::Gate(work, made, patch, evidence, review)
            }
            State::Gate(work, made, patch, evidence, review) => {
                gate(run, work, made, patch, evidence, review)?
            }
            State::HandOver(work, made, patch, handed) => {
                State::Code(Box::new(work.hand_over(run, made, &patch, handed).await?))
            }
            State::Done(verified) => return Ok(*verified),
        };
    }
}

impl Work {
    async fn begin(
        run: &mut Run<'_>,
        ready: Ready,
        failing: Option<Failing>,
        plan: Option<Plan>,
    ) -> Result<Self, End> {
        let Ready { chosen, bench, baseline, map } = ready;
        let maker = match chosen.choice {
            Choice::Playbook(playbook) => Maker::Playbook(playbook),
            _ => {
                let model = run.equipment.model.clone().expect("triage chose the model");
                let shown = map.into_iter().collect();
                let session = team::coder(run, &bench, shown, failing.as_ref(), plan.as_ref()).await?;
                Maker::Model(model, Box::new(session))
            }
        };
        Ok(Self {
            origin: chosen.origin,
            bench,
            baseline,
            maker,
            round: 1,
            findings: None,
            failing,
            plan,
            reviewed: false,
            idle: false,
            before: None,
        })
    }

    /// Hands a playbook's work to a model, which goes on in the same workspace. From here on all of it is judged as the
    /// model's: nobody looks at who wrote which line.
    async fn hand_over(
        mut self: Box<Self>,
        run: &mut Run<'_>,
        made: Made,
        patch: &Patch,
        handed: HandedOver,
    ) -> Result<Self, End> {
        let HandedOver { model, findings, because } = handed;
        let origin = Origin::Model(model.spec().to_owned());
        run.record(EventKind::OriginChosen { origin: origin.clone(), because })?;
        let dependencies = set_up_for(run, &self.bench, patch).await?;
        self.bench.handed = dependencies;
        let map = team::map(run, &self.bench).await?;
        let shown = vec![
            Shown {
                source: Source::Team,
                title: "A playbook did this part of the task already; keep it",
                text: made.summary.clone(),
            },
            Shown {
                source: Source::Team,
                title: "What verification found of it, which is left for you",
                text: findings,
            },
        ];
        let shown = map.into_iter().chain(shown).collect();
        let session = team::coder(run, &self.bench, shown, None, None).await?;
        self.origin = origin;
        self.maker = Maker::Model(model, Box::new(session));
        self.before = Some(made.summary);
        Ok(*self)
    }

    async fn perform(&mut self, run: &mut Run<'_>) -> Result<Made, End> {
        let summary = match &mut self.maker {
            Maker::Playbook(playbook) => playbook::perform(run, &self.bench, playbook).await?,
            Maker::Model(model, session) => {
                let findings = self.findings.take();
                match session.perform(run, Some(&self.bench), model.as_ref(), findings).await? {
                    Done::Finished { summary } => summary,
                    other => {
                        let reason = format!("the coder ended as another of the team does: {other:?}");
                        return Err(WorkerError::Diverged(reason).into());
                    }
                }
            }
        };
        let summary = match &self.before {
            Some(before) => format!("{before}\n\nWhat that left was done by the model:\n\n{summary}"),
            None => summary,
        };
        Ok(Made { summary })
    }
}

/// Who goes on with a playbook's work, and with what.
struct HandedOver {
    model: Arc<dyn Model>,
    findings: String,
    because: String,
}

/// Returns the model that goes on where a playbook's change breaks the code around it; none where there is no model, the
/// policy does not let it see the code, or something else is wrong with the change too.
fn taker(run: &Run<'_>, work: &Work, verdict: &Verdict) -> Option<Arc<dyn Model>> {
    let left = |code| matches!(code, Some(Finding::BuildFailed | Finding::Regression));
    let mut failed = verdict.steps.iter().filter(|step| step.result == StepResult::Fail).peekable();
    let for_a_model = matches!(work.maker, Maker::Playbook(_))
        && work.round < ROUNDS
        && failed.peek().is_some()
        && failed.all(|step| left(step.code));
    let model = run.equipment.model.clone().filter(|_| for_a_model)?;
    may_work(run, &Origin::Model(model.spec().to_owned())).is_ok().then_some(model)
}

/// Looks at what is known, has the task read, and ends where it is not worth beginning. Returns whether it reports a bug.
async fn worth_beginning(run: &mut Run<'_>, ground: &mut Option<Ground>) -> Result<bool, End> {
    let Some(feasible) = run.equipment.team.feasible.clone() else { return Ok(false) };
    let facts = facts::look(run, ground)?;
    let judge = |run: &mut Run<'_>, features: TaskFeatures, asked: bool| {
        let feasibility = feasible(&features);
        if asked || !feasibility.is_enough() {
            run.record(EventKind::Triaged { features, feasibility: feasibility.clone() })?;
        }
        if feasibility.is_enough() {
            return Ok(());
        }
        let mut draft = triage::declined(&feasibility, &facts.because, asked);
        draft.unblock.extend(parts(run));
        Err(End::from(draft))
    };
    // What costs nothing first: it can only lower the score.
    judge(run, facts.features.clone(), false)?;
    let model = run.equipment.model.clone().expect("triage chose the model");
    let reading = team::read_task(run, model.as_ref()).await?;
    let mut features = triage::features(&run.assignment.text, reading);
    features.extend(facts.features.clone());
    judge(run, features, true)?;
    Ok(reading.bug)
}

/// Has a failing test written and tries it, as often as it may be; none where the task can do without.
async fn reproduce(run: &mut Run<'_>, ready: &mut Ready) -> Result<Option<Failing>, End> {
    let model = run.equipment.model.clone().expect("triage chose the model");
    let mut reproducer = Reproducer::new(run, &ready.bench, ready.map.clone());
    let mut refused: Option<String> = None;
    for _ in 0..REPRODUCER_TRIES {
        run.begin(Stage::Reproduce)?;
        let written = reproducer.write(run, &ready.bench, model.as_ref(), refused.take()).await;
        let (reproduced, patch) = match written {
            Ok(written) => written,
            Err(End::BowOut(draft, _)) if !ready.chosen.bug && draft.code == ReasonCode::NotReproducible => {
                run.finish("no test shows it beforehand")?;
                ready.bench.renew(run)?;
                return Ok(None);
            }
            Err(end) => return Err(end),
        };
        run.finish(format!("{} files of tests", patch.files.len()))?;
        run.begin(Stage::ValidateReproducer)?;
        let validated = match run.handed_on::<Result<Failing, String>>(Stage::ValidateReproducer)? {
            Some(validated) => validated,
            None => {
                let validated =
                    team::validate(run, &ready.bench, &ready.baseline, &reproduced, &patch).await?;
                let detail = match &validated {
                    Ok(failing) => format!("fails each time: {}", failing.reproduction.tests.join(", ")),
                    Err(why) => why.clone(),
                };
                run.hand_on(shorten(&detail, 200), &validated)?;
                validated
            }
        };
        match validated {
            Ok(failing) => return Ok(Some(failing)),
            Err(why) => refused = Some(why),
        }
    }
    if ready.chosen.bug {
        return Err(team::not_reproducible(&refused.unwrap_or_default()).into());
    }
    ready.bench.renew(run)?;
    Ok(None)
}

/// Has a change read that would pass otherwise: what does not pass costs nobody's time.
async fn review(
    run: &mut Run<'_>,
    work: &Work,
    patch: &Patch,
    evidence: &Evidence,
) -> Result<Option<Review>, End> {
    let by_a_model = matches!(work.maker, Maker::Model(..));
    if !by_a_model
        || !run.equipment.team.reviewer
        || (run.equipment.judge)(evidence).verdict != VerdictKind::Pass
    {
        return Ok(None);
    }
    run.begin(Stage::Review)?;
    let team = &run.equipment.team;
    let model = team.review_model.clone().or_else(|| run.equipment.model.clone());
    let model = model.expect("triage chose the model");
    let review = team::review(run, model.as_ref(), patch, evidence).await?;
    let line = |finding: &ReviewFinding| format!("{}:{}: {}", finding.path, finding.line, finding.problem);
    let findings = review.findings.iter().map(line).collect();
    run.record(EventKind::Reviewed { veto: review.veto, findings })?;
    run.finish(if review.veto { "vetoed" } else { "no veto" })?;
    Ok(Some(review))
}

/// Decides; sends a model's work back with what was found, as often as it may be.
fn gate(
    run: &mut Run<'_>,
    mut work: Box<Work>,
    made: Made,
    patch: Patch,
    evidence: Box<Evidence>,
    review: Option<Review>,
) -> Result<State, End> {
    run.begin(Stage::Gate)?;
    let verdict = (run.equipment.judge)(&evidence);
    run.record(EventKind::Judged { verdict: verdict.clone() })?;
    let accepted = accepted(&work, &evidence).map(|said| format!("; {said}")).unwrap_or_default();
    run.finish(format!("{}: {}{accepted}", verdict.code, verdict.summary))?;
    let veto = review.filter(|review| review.veto);
    // Once: it may be that no test can notice what was broken, and the score says the rest.
    if let Some(text) = idle(&work, &evidence)
        && veto.is_none()
        && verdict.verdict == VerdictKind::Pass
        && work.round < ROUNDS
    {
        run.record(EventKind::FindingsTold { round: work.round, text: text.clone() })?;
        work.idle = true;
        work.findings = Some(text);
        work.round += 1;
        return Ok(State::Code(work));
    }
    let mut draft = match &veto {
        None if verdict.verdict == VerdictKind::Pass => match unshown(&work, &evidence) {
            None => {
                let evidence = *evidence;
                let verified = Verified { patch, evidence, verdict, summary: made.summary, cost: run.cost };
                return Ok(State::Done(Box::new(verified)));
            }
            Some(draft) => draft,
        },
        None => from_verdict(&verdict),
        Some(review) => team::vetoed(review),
    };
    // A playbook would do the same again; a model may learn from what was seen. A reviewer sends back once.
    let again = work.round < ROUNDS
        && matches!(work.maker, Maker::Model(..))
        && (verdict.verdict != VerdictKind::Pass || (veto.is_some() && !work.reviewed));
    if let Some(model) = taker(run, &work, &verdict) {
        let findings = code::findings(&verdict, &evidence);
        run.record(EventKind::FindingsTold { round: work.round, text: findings.clone() })?;
        work.round += 1;
        let because =
            format!("what the playbook did is kept, and what it breaks is for a model: {}", verdict.summary);
        return Ok(State::HandOver(work, made, patch, HandedOver { model, findings, because }));
    }
    if !again {
        if let Maker::Playbook(playbook) = &work.maker
            && draft.code == ReasonCode::TooLarge
        {
            draft.unblock.extend(divided(run, playbook, &patch));
        }
        draft.attempted.push(Attempted {
            approach: shorten(&made.summary, 400),
            outcome: format!("{} after {} of {ROUNDS} tries", draft.code.as_str(), work.round),
        });
        let unpublished = Unpublished { patch, evidence: Some(*evidence) };
        return Err(End::BowOut(Box::new(draft), Some(Box::new(unpublished))));
    }
    let text = match &veto {
        Some(review) => team::told(review),
        None => code::findings(&verdict, &evidence),
    };
    run.record(EventKind::FindingsTold { round: work.round, text: text.clone() })?;
    work.reviewed |= veto.is_some();
    work.findings = Some(text);
    work.round += 1;
    Ok(State::Code(work))
}

/// Returns the tasks that together do what was too large for one.
fn divided(run: &Run<'_>, playbook: &Playbook, patch: &Patch) -> impl Iterator<Item = Unblock> {
    let caps = run.equipment.grant.change();
    let lines = |file: &ChangedFile| u64::from(file.added) + u64::from(file.removed);
    let files: Vec<(String, u64)> =
        patch.files.iter().map(|file| (file.path.to_string(), lines(file))).collect();
    let tasks = gloaming_agent::divided(playbook, &files, (caps.files as usize, u64::from(caps.lines)));
    let of = tasks.len();
    tasks
        .into_iter()
        .enumerate()
        .map(move |(at, task)| Unblock::by_task(format!("ask for it in parts, {} of {of}", at + 1), task))
}

/// What keeps a change that passes from being shown right: the failing test is not what it was measured by, or notices
/// nothing of what was changed.
fn unshown(work: &Work, evidence: &Evidence) -> Option<Draft> {
    let failing = work.failing.as_ref()?;
    let fixed = |id: &String| evidence.fail_to_pass.contains(id);
    let why = if !failing.reproduction.tests.iter().all(fixed) {
        "the test that was written for the task is not among those that fail without the change and pass with it"
    } else if idle_reproduction(failing, evidence) {
        "the test that was written for the task does not notice when the changed lines are broken again"
    } else {
        return None;
    };
    Some(
        Draft::new(
            Stage::Gate,
            ReasonCode::LowConfidence,
            format!("The change passes its checks, but {why}."),
        )
        .evidence(BowOutEvidence::note("verification", why)),
    )
}

/// Whether the failing test that was written for the task notices no fault planted in the change.
fn idle_reproduction(failing: &Failing, evidence: &Evidence) -> bool {
    // A test that did not compile before has no name yet then.
    let tests = match &failing.reproduction.tests {
        named if named.is_empty() => &evidence.fail_to_pass,
        named => named,
    };
    evidence.mutants.as_ref().is_some_and(|mutants| mutants.unnoticed_by(tests))
}

/// What the failing test that was written for the task is accepted for, for the journal.
fn accepted(work: &Work, evidence: &Evidence) -> Option<String> {
    let failing = work.failing.as_ref()?;
    let own = evidence.mutants.as_ref()?.own.as_ref()?;
    let by: Vec<&str> =
        own.by.iter().filter(|id| failing.reproduction.tests.contains(id)).map(String::as_str).collect();
    Some(if by.is_empty() {
        "no planted fault is known to be noticed by the test that was written for the task".to_owned()
    } else {
        format!("the test that was written for the task notices a planted fault: {}", by.join(", "))
    })
}

/// What a model is told whose change passes, once, where the tests that came with it notice none of the faults planted in
/// it.
fn idle(work: &Work, evidence: &Evidence) -> Option<String> {
    if work.idle || !matches!(work.maker, Maker::Model(..)) {
        return None;
    }
    let signal = evidence.signals.iter().find(|signal| signal.name == gloaming_verify::IDLE_TESTS);
    let of_reproducer = work.failing.as_ref().is_some_and(|failing| idle_reproduction(failing, evidence));
    let mut text = match signal {
        Some(signal) => format!("- {} at {}:{}: {}\n", signal.name, signal.path, signal.line, signal.detail),
        None if of_reproducer => format!(
            "- {}: the failing test that was written for the task passes whatever was broken in the changed lines\n",
            gloaming_verify::IDLE_TESTS
        ),
        None => return None,
    };
    text.insert_str(
        0,
        "The change passes, but the tests that came with it do not show that its lines are right:\n",
    );
    text.push_str(if of_reproducer {
        "Keep the change to what the failing test is about: what is measured are the lines you change.\n"
    } else {
        "Test what the changed lines do, with values that a small mistake in them would change.\n"
    });
    Some(text)
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
