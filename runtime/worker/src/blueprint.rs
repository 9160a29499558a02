//! The blueprint: the stages of an attempt, in order, each able to end it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gloaming_agent::Choice;
use gloaming_api::bowout::{BowOutEvidence, Cost, ReasonCode, Stage, Unblock, shorten};
use gloaming_api::budget::Ledger;
use gloaming_api::evidence::{Evidence, JobEvidence, Origin};
use gloaming_api::job::{JobRecord, RefusedHost};
use gloaming_api::journal::EventKind;
use gloaming_api::profile::Profile;
use gloaming_api::triage::Feasible;
use gloaming_api::{Attempt, Digest, Judge, RepoId, TaskId};
use gloaming_jobs::{Caches, Cancel, Egress, Engine, NoEngine};
use gloaming_model::Model;
use gloaming_policies::{Decision, Diagnostic, Grant};
use gloaming_sandbox::Sandbox;
use gloaming_verify::Baseline;
use gloaming_workspace::{CommitId, Patch, Repository};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::advisories::Advisories;
use crate::bow::Draft;
use crate::end::{End, Outcome, Unpublished, WorkerError};
use crate::journal::Journal;
use crate::progress::{Progress, Update};
use crate::provision::Bench;
use crate::{check, machine};

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
    /// Who works beside the coder, where a model does.
    pub team: Team,
    /// The gate.
    pub judge: Judge,
    /// What the runs of the machine spend together; none where this one alone is held to its budget, as a replay is.
    pub ledger: Option<Arc<dyn Ledger>>,
    /// The operator's advisories; none where there are none, as in a replay, whose record has what was found.
    pub advisories: Option<Advisories>,
    /// Where baselines are kept between attempts; none makes each anew.
    pub baselines: Option<Box<dyn gloaming_verify::Baselines>>,
    /// A fresh host folder of our own; the caller removes it.
    pub work_dir: PathBuf,
    /// Where contents that the tools replace or remove are kept, so that calls can be undone; none keeps none.
    pub images: Option<PathBuf>,
    /// Stops the attempt.
    pub cancel: Cancel,
}

/// Who works beside the coder.
#[derive(Clone)]
pub struct Team {
    /// How feasible a task is, by what is read in it; none begins every task.
    pub feasible: Option<Feasible>,
    /// Whether somebody writes a failing test before the code is changed.
    pub reproducer: bool,
    /// Whether somebody plans the work where that helps.
    pub planner: bool,
    /// Whether somebody reads the finished change, who may veto it.
    pub reviewer: bool,
    /// The reviewer's model; none for the coder's.
    pub review_model: Option<Arc<dyn Model>>,
}

impl Team {
    /// Returns a coder alone.
    pub fn alone() -> Self {
        Self { feasible: None, reproducer: false, planner: false, reviewer: false, review_model: None }
    }
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

/// An attempt on its way: what every stage needs.
pub(crate) struct Run<'a> {
    pub(crate) assignment: &'a Assignment,
    pub(crate) equipment: &'a Equipment,
    pub(crate) journal: &'a mut Journal,
    pub(crate) progress: &'a Progress,
    /// Cancelled by the caller's cancellation and by the wall-clock budget.
    pub(crate) stop: Cancel,
    pub(crate) cost: Cost,
    /// How many questions models were asked, answered or not.
    pub(crate) asked: u32,
    pub(crate) stage: (Stage, Instant),
    /// The records of jobs that were refused a host.
    refused: Vec<JobRecord>,
    /// What there was of a patch when the work was given up or stopped.
    pub(crate) kept: Option<Box<Unpublished>>,
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
    let mut run = Run {
        assignment,
        equipment,
        journal,
        progress,
        stop: stop.clone(),
        cost: Cost::default(),
        asked: 0,
        stage: (Stage::Intake, Instant::now()),
        refused: Vec::new(),
        kept: None,
    };
    let wall = equipment.grant.budget().wall;
    let mut overdue = false;
    // What was worked before the process that goes on counts too.
    let left = wall.saturating_sub(run.journal.recorded_time());
    let result = {
        let stages = machine::run(&mut run);
        tokio::pin!(stages);
        tokio::select! {
            result = &mut stages => result,
            () = equipment.cancel.cancelled() => { stop.cancel(); stages.await }
            () = tokio::time::sleep(left) => { overdue = true; stop.cancel(); stages.await }
        }
    };
    run.cost.wall_s = run.elapsed().as_secs_f64();
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
        Err(End::Recorded(bow_out)) => {
            run.journal.keep_next().map_err(WorkerError::from)?;
            Ok(Outcome::BowedOut(bow_out, run.kept.take()))
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
        Ok(self.journal.append(kind)?)
    }

    /// Records jobs of the verifier.
    pub(crate) fn record_jobs<'j>(
        &mut self,
        jobs: impl IntoIterator<Item = &'j JobEvidence>,
    ) -> Result<(), WorkerError> {
        jobs.into_iter().try_for_each(|job| {
            let label = format!("{} {}", job.tree, job.step);
            self.record(EventKind::Job { label, record: Box::new(job.record.clone()) })
        })
    }

    /// Returns how long the attempt was worked on: by the journal's times, which a replay has too.
    pub(crate) fn elapsed(&self) -> Duration {
        self.journal.elapsed()
    }

    /// Begins a stage.
    pub(crate) fn begin(&mut self, stage: Stage) -> Result<(), End> {
        self.go_on()?;
        self.stage = (stage, Instant::now());
        (self.progress)(Update::Stage(stage));
        Ok(self.record(EventKind::StageStarted { stage })?)
    }

    /// Ends the stage that has begun.
    pub(crate) fn finish(&mut self, detail: impl Into<String>) -> Result<(), End> {
        self.finish_with(detail, None)
    }

    /// Ends a stage whose work is not done again, with what it hands on.
    pub(crate) fn hand_on(&mut self, detail: impl Into<String>, output: &impl Serialize) -> Result<(), End> {
        let output = self.journal.put(output).map_err(artifact)?;
        self.finish_with(detail, Some(output))
    }

    fn finish_with(&mut self, detail: impl Into<String>, output: Option<Digest>) -> Result<(), End> {
        let (stage, since) = self.stage;
        let detail = detail.into();
        (self.progress)(Update::Finished { stage, detail: detail.clone() });
        let wall_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(self.record(EventKind::StageFinished { stage, detail, wall_ms, output })?)
    }

    /// Returns what the stage that has begun handed on, where the record has its end; its events are taken over.
    pub(crate) fn handed_on<T: DeserializeOwned>(&mut self, stage: Stage) -> Result<Option<T>, End> {
        match self.journal.ended(stage).map_err(WorkerError::from)? {
            None if self.journal.is_replay() => {
                Err(WorkerError::Diverged(format!("the record has no end of the stage {}", stage.as_str()))
                    .into())
            }
            None => Ok(None),
            Some(EventKind::StageFinished { output: Some(digest), detail, .. }) => {
                let output = self.journal.get(&digest).map_err(artifact)?;
                self.journal.keep_next().map_err(WorkerError::from)?;
                (self.progress)(Update::Finished { stage, detail });
                Ok(Some(output))
            }
            Some(EventKind::BowedOut { bow_out }) => Err(End::Recorded(bow_out)),
            Some(other) => Err(WorkerError::Diverged(format!(
                "the record has nothing of what the stage {} handed on: {}",
                stage.as_str(),
                crate::tape::told(&other)
            ))
            .into()),
        }
    }

    /// Ends the attempt where it was stopped, now or in the record, before it would do something more.
    pub(crate) fn go_on(&mut self) -> Result<(), End> {
        match self.journal.recorded().map_err(WorkerError::from)? {
            Some(EventKind::BowedOut { bow_out }) if bow_out.reason_code == ReasonCode::BudgetExhausted => {
                Err(End::Recorded(bow_out.clone()))
            }
            _ if self.stop.is_cancelled() => Err(End::Stopped),
            _ => Ok(()),
        }
    }

    pub(crate) fn doing(&self, text: impl Into<String>) {
        (self.progress)(Update::Doing(text.into()));
    }
}

/// Returns the workspace's changes as they stand, for a person to look at; none where there are none.
pub(crate) fn keep(run: &Run<'_>, bench: &Bench) -> Option<Box<Unpublished>> {
    match run.equipment.repository.freeze(&bench.checkout) {
        Ok(patch) if !patch.is_empty() => Some(Box::new(Unpublished { patch, evidence: None })),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(%error, "what there was of a patch could not be kept");
            None
        }
    }
}

fn artifact(source: std::io::Error) -> End {
    WorkerError::Write { what: "or read what a stage hands on", source }.into()
}

/// Holds who asked against the policy, and which model would see the code, before either costs anything.
pub(crate) fn may_work(run: &Run<'_>, origin: &Origin) -> Result<(), End> {
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
    if !matches!(origin, Origin::Model(_)) {
        return Ok(());
    }
    // Who is asked only when another fails, or only at the review, sees the code all the same.
    let team = &run.equipment.team;
    let models = run.equipment.model.iter().chain(team.review_model.iter().filter(|_| team.reviewer));
    for (model, address) in models.flat_map(|model| model.readers()) {
        let denied = match grant.decide_model(&model, address.as_deref()) {
            Ok(Decision::Allow(_)) => continue,
            Ok(Decision::Deny(denial)) => denial.to_string(),
            Err(wrong) => wrong,
        };
        let summary = format!("The policy does not let this repository's code be sent to {model}.");
        let detail =
            format!("`gloaming policy explain \"model {model}\"` tells which file's [model] decides");
        return Err(blocked(summary, denied, "use a model that may see the code", detail).into());
    }
    Ok(())
}

/// Ends a task for another version of a dependency where manifests and lockfiles are to stay as they are: whatever would be
/// made of them could not pass.
fn may_change_dependencies(run: &Run<'_>, playbook: &str) -> Result<(), End> {
    let Err(denial) = run.equipment.grant.permit_lockfiles() else { return Ok(()) };
    let summary = format!(
        "The policy keeps this repository's dependencies as they are, so `{playbook}` was not begun."
    );
    Err(Draft::new(Stage::Triage, ReasonCode::PolicyBlocked, summary)
        .evidence(BowOutEvidence::note("policy", denial.to_string()))
        .unblock(
            "let dependencies change",
            "in the operator's policy: `[change]` with `dependencies = \"change\"`, and no layer with \"keep\"; set-up jobs reach the \
             package registry by `[jobs.setup]` with `network = [\"registry\"]`",
        )
        .into())
}

pub(crate) fn choose_origin(run: &mut Run<'_>, choice: &Choice) -> Result<Origin, End> {
    let (origin, because) = match choice {
        Choice::Playbook(playbook) => {
            let (name, what) = (playbook.name(), playbook.describe());
            (Origin::Playbook(name.into()), format!("the task asks for a {name} and nothing else: {what}"))
        }
        Choice::Model => match &run.equipment.model {
            Some(model) => (Origin::Model(model.spec().to_owned()), "no playbook fits the task".to_owned()),
            None => {
                let mut draft = Draft::new(
                    Stage::Triage,
                    ReasonCode::NoModel,
                    "No playbook fits this task and no model is configured.",
                );
                for why in gloaming_agent::declined(&run.assignment.text) {
                    draft = draft.evidence(BowOutEvidence::note("system", why));
                }
                draft.unblock.extend(parts(run));
                return Err(draft
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
            let text = shorten(run.assignment.text.trim(), 400);
            let told = if text.is_empty() { "the task has no text".to_owned() } else { text };
            return Err(draft.evidence(BowOutEvidence::note("task", told)).into());
        }
    };
    may_work(run, &origin)?;
    if let Choice::Playbook(playbook) = choice
        && playbook.changes_dependencies()
    {
        may_change_dependencies(run, playbook.name())?;
    }
    run.record(EventKind::OriginChosen { origin: origin.clone(), because })?;
    Ok(origin)
}

/// Returns the parts of the task that a playbook would do.
pub(crate) fn parts(run: &Run<'_>) -> impl Iterator<Item = Unblock> {
    let parts = gloaming_agent::parts(&run.assignment.text);
    parts.into_iter().map(|part| Unblock::by_task("ask for this part alone", part))
}

pub(crate) fn freeze(run: &mut Run<'_>, bench: &Bench) -> Result<Patch, End> {
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

pub(crate) async fn verify(
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
    run.record_jobs(evidence.jobs.iter().filter(|job| !baseline.jobs.contains(job)))?;
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
