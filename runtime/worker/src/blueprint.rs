//! The blueprint: the stages of an attempt, in order, each able to end it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gloaming_agent::{Choice, choose};
use gloaming_api::bowout::{BowOutEvidence, Cost, ReasonCode, Stage};
use gloaming_api::evidence::{Evidence, Origin, VerdictKind};
use gloaming_api::job::{JobRecord, RefusedHost};
use gloaming_api::journal::EventKind;
use gloaming_api::profile::{CommandKind, Profile};
use gloaming_api::tool::ToolOutcome;
use gloaming_api::{Attempt, Digest, Judge, RepoId, TaskId};
use gloaming_jobs::{Caches, Cancel, Egress, Engine, NoEngine};
use gloaming_model::Model;
use gloaming_policies::{Decision, Diagnostic, Grant};
use gloaming_sandbox::Sandbox;
use gloaming_verify::Baseline;
use gloaming_workspace::{CommitId, Patch, Repository};

use crate::bow::{Draft, from_verdict};
use crate::end::{End, Outcome, Unpublished, Verified, WorkerError};
use crate::journal::Journal;
use crate::progress::{Progress, Update};
use crate::provision::{Bench, baseline, provision, told};
use crate::{check, code, rename};

/// How often findings of the verifier go back to the coder.
pub(crate) const ROUNDS: u32 = 3;

/// Jobs beyond this number that were refused a host say nothing new of it.
const MOST_REFUSED: usize = 200;

/// How many of the hosts that jobs were refused a bow-out names.
const MOST_HOSTS: usize = 5;

/// The folder below an attempt's own in which the tools work.
pub const WORKSPACE: &str = "workspace";

/// One attempt at a task.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// The repository's name.
    pub repo: RepoId,
    /// The task's text.
    pub text: String,
    /// The commit to start from.
    pub base: CommitId,
    /// Who asked, as a policy's `[submit]` names them: `local`, `token:NAME`, `github:LOGIN`.
    pub asker: String,
    /// Seeds the names of control tests; known to nobody before the patch is frozen.
    pub seed: u64,
}

/// Returns the profile of a checkout, or what is wrong with the repository's own corrections of it.
pub type Learn = Box<dyn Fn(&std::path::Path) -> Result<Profile, Vec<Diagnostic>> + Send + Sync>;

/// What an attempt works with.
pub struct Equipment {
    /// The repository.
    pub repository: Repository,
    /// What is known of the repository by its checkout.
    pub learn: Learn,
    /// The policy.
    pub grant: Grant,
    /// The tools.
    pub sandbox: Sandbox,
    /// Where jobs run, or why they cannot.
    pub engine: Result<Arc<dyn Engine>, NoEngine>,
    /// Digest of what jobs see of the host.
    pub environment: Digest,
    /// Where dependencies are kept, and by which road they are fetched; none where jobs have what the machine has.
    pub supplies: Option<Supplies>,
    /// The model, where one is configured.
    pub model: Option<Arc<dyn Model>>,
    /// The gate.
    pub judge: Judge,
    /// Where baselines are kept between attempts; none makes each anew.
    pub baselines: Option<Box<dyn gloaming_verify::Baselines>>,
    /// A fresh host folder of our own; the caller removes it.
    pub work_dir: PathBuf,
    /// Where contents that the tools replace or remove are kept, so that calls can be undone; none keeps none.
    pub images: Option<PathBuf>,
    /// Stops the attempt.
    pub cancel: Cancel,
    /// For a replay: the recorded answers of `check`, in order, played instead of running jobs (whose output
    /// holds times and so differs from run to run). The verifier's jobs are run anew all the same.
    pub recorded_checks: Option<Mutex<VecDeque<RecordedCheck>>>,
    /// For a replay: what the model was told of each failed verification, in order, told again.
    pub recorded_findings: Option<Mutex<VecDeque<String>>>,
}

/// What the set-up phase works with.
#[derive(Debug, Clone)]
pub struct Supplies {
    /// The name under which what is fetched for this repository is kept; no other repository has it.
    pub owner: RepoId,
    /// The caches of all repositories.
    pub caches: Caches,
    /// What the operator says about jobs' network; none where jobs have none.
    pub egress: Option<Egress>,
}

/// One recorded call of `check`.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedCheck {
    /// The arguments; a replay that asks with others has diverged.
    pub args: serde_json::Value,
    /// The answer.
    pub outcome: ToolOutcome,
}

/// An attempt on its way: what every stage needs.
pub(crate) struct Run<'a> {
    pub(crate) assignment: &'a Assignment,
    pub(crate) equipment: &'a Equipment,
    pub(crate) journal: &'a mut Journal,
    pub(crate) progress: &'a Progress,
    /// Cancelled by the caller's cancellation and by the wall-clock budget.
    pub(crate) stop: Cancel,
    pub(crate) started: Instant,
    pub(crate) cost: Cost,
    stage: (Stage, Instant),
    /// The records of jobs that were refused a host.
    refused: Vec<JobRecord>,
    /// What there was of a patch when the work was given up or stopped.
    kept: Option<Box<Unpublished>>,
}

/// Runs one attempt to its end. The journal ends in `bowed_out`, `cancelled` or `failed`; for a verified
/// patch the caller appends `published`.
pub async fn run(
    assignment: &Assignment,
    equipment: &Equipment,
    journal: &mut Journal,
    progress: &Progress,
) -> Result<Outcome, WorkerError> {
    let stop = Cancel::new();
    let started = Instant::now();
    let mut run = Run {
        assignment,
        equipment,
        journal,
        progress,
        stop: stop.clone(),
        started,
        cost: Cost::default(),
        stage: (Stage::Intake, started),
        refused: Vec::new(),
        kept: None,
    };
    let wall = equipment.grant.budget().wall;
    let mut overdue = false;
    let result = {
        let stages = stages(&mut run);
        tokio::pin!(stages);
        tokio::select! {
            result = &mut stages => result,
            () = equipment.cancel.cancelled() => { stop.cancel(); stages.await }
            () = tokio::time::sleep(wall) => { overdue = true; stop.cancel(); stages.await }
        }
    };
    run.cost.wall_s = started.elapsed().as_secs_f64();
    let (task, attempt, cost) = (&assignment.task, assignment.attempt, run.cost);
    let refused = RefusedHost::of(&run.refused);
    let bow_out = |mut draft: Draft| {
        let hosts = refused.iter().take(MOST_HOSTS);
        draft.evidence.extend(hosts.map(|host| BowOutEvidence::note("network", host.to_string())));
        draft.finish(task, attempt, cost)
    };
    match result {
        Ok(mut verified) => {
            verified.cost = cost;
            Ok(Outcome::Verified(Box::new(verified)))
        }
        Err(End::BowOut(draft, patch)) => {
            let bow_out = bow_out(*draft);
            let patch = patch.or_else(|| run.kept.take());
            run.record(EventKind::BowedOut { bow_out: Box::new(bow_out.clone()) })?;
            Ok(Outcome::BowedOut(Box::new(bow_out), patch))
        }
        Err(End::Stopped) if overdue && !equipment.cancel.is_cancelled() => {
            let stage = run.stage.0;
            let bow_out = bow_out(Draft::new(
                stage,
                ReasonCode::BudgetExhausted,
                format!("The time allowed ({}) ran out in the stage {}.", human(wall), stage.as_str()),
            ));
            run.record(EventKind::BowedOut { bow_out: Box::new(bow_out.clone()) })?;
            Ok(Outcome::BowedOut(Box::new(bow_out), run.kept.take()))
        }
        Err(End::Stopped) => {
            run.record(EventKind::Cancelled)?;
            Ok(Outcome::Cancelled)
        }
        Err(End::Error(error)) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text.push_str(": ");
                text.push_str(&cause.to_string());
                source = cause.source();
            }
            // The error itself matters more than failing to write it down (the disk may be full).
            let _ = run.record(EventKind::Failed { error: text });
            Err(error)
        }
    }
}

impl Run<'_> {
    pub(crate) fn record(&mut self, kind: EventKind) -> Result<(), WorkerError> {
        if let EventKind::Job { record, .. } = &kind
            && self.refused.len() < MOST_REFUSED
            && record.cached.is_none()
            && record.egress.iter().any(|log| log.refused().next().is_some())
        {
            self.refused.push(JobRecord::clone(record));
        }
        self.journal.append(kind).map_err(|source| WorkerError::Write { what: "the journal", source })
    }

    fn begin(&mut self, stage: Stage) -> Result<(), End> {
        if self.stop.is_cancelled() {
            return Err(End::Stopped);
        }
        self.stage = (stage, Instant::now());
        (self.progress)(Update::Stage(stage));
        Ok(self.record(EventKind::StageStarted { stage })?)
    }

    fn finish(&mut self, detail: impl Into<String>) -> Result<(), End> {
        let (stage, since) = self.stage;
        let detail = detail.into();
        (self.progress)(Update::Finished { stage, detail: detail.clone() });
        let wall_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(self.record(EventKind::StageFinished { stage, detail, wall_ms })?)
    }

    pub(crate) fn doing(&self, text: impl Into<String>) {
        (self.progress)(Update::Doing(text.into()));
    }
}

/// Who works on the task, with what it takes to.
enum Maker {
    Rename(gloaming_agent::playbook::rename::Rename),
    Model(Arc<dyn Model>, Box<code::Session>),
}

async fn stages(run: &mut Run<'_>) -> Result<Verified, End> {
    run.begin(Stage::Intake)?;
    let choice = choose(&run.assignment.text);
    run.finish(format!("{} bytes of task text", run.assignment.text.len()))?;

    run.begin(Stage::Triage)?;
    let origin = triage(run, &choice)?;
    run.finish(match &origin {
        Origin::Playbook(name) => format!("playbook {name}, no model needed"),
        Origin::Model(spec) => format!("for the model {spec}"),
        Origin::External => "somebody else".to_owned(),
    })?;

    run.begin(Stage::Provision)?;
    let bench = provision(run).await?;
    let test = bench.profile.command(CommandKind::Test).map(|c| c.argv.join(" ")).unwrap_or_default();
    run.finish(format!("tests: {test}{}", told(&bench.dependencies)))?;

    run.begin(Stage::Baseline)?;
    let baseline = baseline(run, &bench).await?;
    run.finish(format!("{} tests, {} flaky", baseline.tests.len(), baseline.flips.len()))?;

    let mut maker = match choice {
        Choice::Playbook(rename) => Maker::Rename(rename),
        _ => {
            let model = run.equipment.model.clone().expect("triage chose the model");
            Maker::Model(model, Box::new(code::Session::new(run, &bench)))
        }
    };
    let mut findings: Option<String> = None;
    for round in 1..=ROUNDS {
        run.begin(Stage::Code)?;
        let made = match &mut maker {
            Maker::Rename(rename) => rename::perform(run, &bench, rename).await,
            Maker::Model(model, session) => {
                session.perform(run, &bench, model.as_ref(), findings.take()).await
            }
        };
        if matches!(made, Err(End::BowOut(_, None) | End::Stopped)) {
            run.kept = keep(run, &bench);
        }
        let summary = made?;
        run.finish(gloaming_api::bowout::shorten(&summary, 120))?;

        run.begin(Stage::Freeze)?;
        let patch = freeze(run, &bench)?;
        run.finish(format!("{} files changed", patch.files.len()))?;

        run.begin(Stage::Verify)?;
        let evidence = verify(run, &bench, &baseline, &patch, &origin, round).await?;
        let judged =
            evidence.steps.iter().filter(|s| s.result == gloaming_api::evidence::StepResult::Pass).count();
        let digest = Digest::of_json(&evidence);
        run.record(EventKind::Verified { evidence: digest, round })?;
        run.finish(format!("{judged} of {} steps pass", evidence.steps.len()))?;

        run.begin(Stage::Gate)?;
        let verdict = (run.equipment.judge)(&evidence);
        run.record(EventKind::Judged { verdict: verdict.clone() })?;
        run.finish(format!("{}: {}", verdict.code, verdict.summary))?;
        if verdict.verdict == VerdictKind::Pass {
            return Ok(Verified { patch, evidence, verdict, summary, cost: run.cost });
        }
        // A playbook would do the same again; a model may learn from what was seen.
        let again = round < ROUNDS && matches!(maker, Maker::Model(..));
        if !again {
            let mut draft = from_verdict(&verdict);
            draft.attempted.push(gloaming_api::bowout::Attempted {
                approach: gloaming_api::bowout::shorten(&summary, 400),
                outcome: format!("{} after {round} of {ROUNDS} tries", verdict.code),
            });
            return Err(End::BowOut(
                Box::new(draft),
                Some(Box::new(Unpublished { patch, evidence: Some(evidence) })),
            ));
        }
        let text = match &run.equipment.recorded_findings {
            None => code::findings(&verdict, &evidence),
            Some(queue) => queue
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .pop_front()
                .ok_or_else(|| {
                    WorkerError::Diverged(format!("verification {round} did not pass, and did in the record"))
                })?,
        };
        run.record(EventKind::FindingsTold { round, text: text.clone() })?;
        findings = Some(text);
    }
    unreachable!("the last round returns")
}

/// Returns the workspace's changes as they stand, for a person to look at; none where there are none.
fn keep(run: &Run<'_>, bench: &Bench) -> Option<Box<Unpublished>> {
    match run.equipment.repository.freeze(&bench.checkout) {
        Ok(patch) if !patch.is_empty() => Some(Box::new(Unpublished { patch, evidence: None })),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(%error, "what there was of a patch could not be kept");
            None
        }
    }
}

/// Holds who asked against the policy, and which model would see the code, before either costs anything.
fn may_work(run: &Run<'_>, origin: &Origin) -> Result<(), End> {
    let grant = &run.equipment.grant;
    let blocked = |summary: String, evidence: String, action: &str, detail: String| {
        let draft = Draft::new(Stage::Authorize, ReasonCode::PolicyBlocked, summary);
        draft.evidence(BowOutEvidence::note("policy", evidence)).unblock(action, detail)
    };
    let what = match origin {
        Origin::Playbook(name) => name.as_str(),
        _ => "model",
    };
    let asker = &run.assignment.asker;
    if let Decision::Deny(denial) = grant.decide_submit(asker, what) {
        let place = format!("[submit] in {}:{}", denial.rule.file, denial.rule.line);
        let summary = format!("The policy does not let `{asker}` ask for `{what}` here.");
        return Err(blocked(
            summary,
            denial.to_string(),
            "let somebody ask who may, or name the asker",
            place,
        )
        .into());
    }
    let Origin::Model(model) = origin else { return Ok(()) };
    let address = run.equipment.model.as_ref().and_then(|model| model.address());
    let denied = match grant.decide_model(model, address.as_deref()) {
        Ok(Decision::Allow(_)) => return Ok(()),
        Ok(Decision::Deny(denial)) => denial.to_string(),
        Err(wrong) => wrong,
    };
    let summary = format!("The policy does not let this repository's code be sent to {model}.");
    let detail = format!("`gloaming policy explain \"model {model}\"` tells which file's [model] decides");
    Err(blocked(summary, denied, "use a model that may see the code", detail).into())
}

fn triage(run: &mut Run<'_>, choice: &Choice) -> Result<Origin, End> {
    let (origin, because) = match choice {
        Choice::Playbook(rename) => (
            Origin::Playbook("rename".into()),
            format!("the task asks for a rename and nothing else: {}", rename.describe()),
        ),
        Choice::Model => match &run.equipment.model {
            Some(model) => (Origin::Model(model.spec().to_owned()), "no playbook fits the task".to_owned()),
            None => {
                return Err(Draft::new(
                    Stage::Triage,
                    ReasonCode::NoModel,
                    "No playbook fits this task and no model is configured.",
                )
                .evidence(BowOutEvidence::note("system", gloaming_agent::declined(&run.assignment.text)))
                .unblock(
                    "configure a model",
                    "run again with --model openai:MODEL or --model anthropic:MODEL and its key",
                )
                .unblock(
                    "use a playbook's words",
                    "like: Rename the function foo_bar to parse_bar everywhere",
                )
                .into());
            }
        },
        Choice::BowOut { code, summary, questions } => {
            let mut draft = Draft::new(Stage::Triage, *code, summary.clone());
            draft.questions = questions.clone();
            return Err(draft.into());
        }
    };
    may_work(run, &origin)?;
    run.record(EventKind::OriginChosen { origin: origin.clone(), because })?;
    Ok(origin)
}

fn freeze(run: &mut Run<'_>, bench: &Bench) -> Result<Patch, End> {
    let patch = run.equipment.repository.freeze(&bench.checkout)?;
    run.record(EventKind::Frozen {
        patch: patch.digest.clone(),
        tree: patch.tree.to_string(),
        files: patch.files.clone(),
    })?;
    if patch.is_empty() {
        return Err(Draft::new(
            Stage::Freeze,
            ReasonCode::NoChangeNeeded,
            "The work ended without any change to the files.",
        )
        .evidence(BowOutEvidence::note("system", "the workspace equals the base commit"))
        .into());
    }
    Ok(patch)
}

async fn verify(
    run: &mut Run<'_>,
    bench: &Bench,
    baseline: &Baseline,
    patch: &Patch,
    origin: &Origin,
    round: u32,
) -> Result<Evidence, End> {
    let progress = run.progress;
    let work_dir = run.equipment.work_dir.join("verify");
    let mut evidence = gloaming_verify::verify(gloaming_verify::Inputs {
        repository: &run.equipment.repository,
        base: &run.assignment.base,
        patch,
        grant: &run.equipment.grant,
        profile: &bench.profile,
        engine: bench.engine.as_ref(),
        environment: &run.equipment.environment,
        provision: bench.provision(run),
        origin: origin.clone(),
        task: Some((run.assignment.task.clone(), run.assignment.attempt)),
        repo_id: &run.assignment.repo,
        work_dir: &work_dir,
        baseline: Some(baseline),
        seed: seed_of_round(run.assignment.seed, round),
        effort: gloaming_verify::Effort::default(),
        baselines: None,
        progress: &|update: gloaming_verify::Progress| progress(Update::Doing(update.to_string())),
        cancel: &run.stop,
    })
    .await?;
    evidence.asked = Some(gloaming_api::evidence::Asked::of(&run.assignment.text));
    for job in evidence.jobs.iter().filter(|job| !baseline.jobs.contains(job)) {
        run.record(EventKind::Job {
            label: format!("{} {}", job.tree, job.step),
            record: Box::new(job.record.clone()),
        })?;
    }
    evidence.journal_head = Some(run.journal.chain().head().clone());
    evidence.journal_length = Some(run.journal.chain().length());
    let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(work_dir)).await;
    Ok(evidence)
}

/// Returns a seed of one round's own, from which nobody finds the next round's: what a model has seen of one round's
/// control tests says nothing of those of the next.
fn seed_of_round(seed: u64, round: u32) -> u64 {
    let digest = Digest::of(format!("control tests {seed} {round}"));
    u64::from_str_radix(&digest.hex()[..16], 16).expect("a digest is hexadecimal")
}

pub(crate) fn tail_of(text: &str, max: usize) -> String {
    let count = text.chars().count();
    if count <= max { text.to_owned() } else { text.chars().skip(count - max).collect() }
}

pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 120 { format!("{} minutes", seconds / 60) } else { format!("{seconds} seconds") }
}

/// Names the commands a model may run.
pub(crate) fn facts(bench: &Bench) -> Vec<String> {
    check::facts(&bench.profile)
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_round_has_control_tests_of_its_own() {
        let seeds: std::collections::BTreeSet<u64> =
            (1..=3).map(|round| super::seed_of_round(7, round)).collect();
        assert_eq!(seeds.len(), 3);
        assert!(!seeds.contains(&7));
    }
}
