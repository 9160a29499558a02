//! One lease, from its begin to the result that is told.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gloaming_api::bowout::{BowOut, BowOutEvidence, Cost, Unblock, shorten};
use gloaming_api::task::TaskKind;
use gloaming_api::worker::{AttemptResult, Control, ControlError, Lease, LeaseKey, Renewal, VerifiedChange};
use gloaming_api::{Digest, Profile, ReasonCode, Stage};
use gloaming_jobs::Cancel;
use gloaming_worker::lease::{Follower, Stop, keep, persist};
use gloaming_workspace::{Interrupt, Repository};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::child::{Attempt, Ended, Log};
use crate::cli::WorkerArgs;
use crate::context::{self, Home, WorkDir};
use crate::failure::{Failure, exit, in_one_line};
use crate::hand_over;
use crate::leash::Leash;
use crate::run::repo_failure;
use crate::told::write;

/// How long an attempt that is given back has to hand over what it has, where the control plane does not answer.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What was seen of the work of an attempt that bowed out, in its out folder.
const SEALED: &str = "evidence.json";

/// How often the journal is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What every attempt of a worker works with.
pub(crate) struct Equipment {
    home: Home,
    program: PathBuf,
    /// Options that every process for an attempt has.
    options: Vec<OsString>,
    /// Those that one which asks models has.
    models: Vec<OsString>,
    /// Variables that every process for an attempt has beside this one's.
    variables: Vec<(&'static str, &'static str)>,
}

impl Equipment {
    /// Takes a worker's options apart for the processes that it starts.
    pub(crate) fn of(home: Home, args: &WorkerArgs) -> anyhow::Result<Self> {
        let mut options = Vec::new();
        if let Some(policy) = &args.policy {
            options.extend(["--policy".into(), absolute(policy)?]);
        }
        let mut models: Vec<OsString> = Vec::new();
        let mut add = |name: &str, value: Option<OsString>| {
            models.extend(value.map(|value| [OsString::from(name), value]).into_iter().flatten());
        };
        let reach = &args.model.reach;
        add("--model", args.model.model.clone().map(Into::into));
        add("--review-model", args.review_model.clone().map(Into::into));
        add("--model-url", reach.model_url.clone().map(Into::into));
        add("--model-key-file", reach.model_key_file.as_deref().map(absolute).transpose()?);
        add("--model-price", reach.model_price.clone().map(Into::into));
        add("--model-rpm", reach.model_rpm.map(|most| most.to_string().into()));
        add("--model-tpm", reach.model_tpm.map(|most| most.to_string().into()));
        if let Some(how) = reach.model_tools {
            use clap::ValueEnum as _;
            let value = how.to_possible_value().map(|value| value.get_name().to_owned());
            add("--model-tools", value.map(Into::into));
        }
        if reach.no_stream {
            models.push("--no-stream".into());
        }
        let variables = args.engine.map(|engine| ("GLOAMING_ENGINE", engine.as_str())).into_iter().collect();
        Ok(Self { home, program: super::own_program()?, options, models, variables })
    }
}

fn absolute(path: &Path) -> anyhow::Result<OsString> {
    // `preset:NAME` is no path.
    if path.to_str().is_some_and(|text| text.starts_with("preset:")) {
        return Ok(path.into());
    }
    Ok(std::path::absolute(path)?.into_os_string())
}

/// Why an attempt is to stop before it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halt {
    Cancelled,
    Lost,
    GivenBack,
}

/// How an attempt ended, as far as the control plane is to know.
enum End {
    Result(Box<AttemptResult>),
    Halted(Halt),
}

/// Works on a lease to its end: a result that is told, a lease that is lost, or one that is given back.
pub(super) async fn follow<C: Control>(control: &C, equipment: &Equipment, lease: Lease, cancel: &Cancel) {
    let key = LeaseKey { task: lease.task.clone(), attempt: lease.attempt };
    tracing::info!(task = %key.task, attempt = %key.attempt, repo = %lease.repo, "begins");
    let nothing = Renewal { stage: None, doing: String::new(), cost: Cost::default(), grant: None };
    let (report, reported) = watch::channel(nothing);
    let (halt, halted) = watch::channel(None);
    let hold = Duration::from_secs(lease.expires_s);
    let keeper = async {
        let stop = keep(control, &key, hold, &reported).await;
        if stop == Stop::Cancelled {
            halt.send_replace(Some(Halt::Cancelled));
            // The last renewal holds for as long as an attempt may take to end in order and to tell that it was cancelled.
            sleep_until(Instant::now() + hold * 3 / 4).await;
        }
        halt.send_replace(Some(Halt::Lost));
        std::future::pending::<()>().await;
    };
    let leaving = async {
        cancel.cancelled().await;
        halt.send_if_modified(|why| why.is_none() && why.replace(Halt::GivenBack).is_none());
        std::future::pending::<()>().await;
    };
    let work = async {
        let mut course = Course { control, equipment, lease: &lease, key: &key, report: &report, halted };
        let end = course.run().await;
        course.tell(end).await
    };
    let told = tokio::select! {
        told = work => told,
        () = keeper => unreachable!("it waits for ever"),
        () = leaving => unreachable!("it waits for ever"),
    };
    match told {
        Ok(what) => tracing::info!(task = %key.task, attempt = %key.attempt, "{what}"),
        Err(error) => tracing::warn!(task = %key.task, attempt = %key.attempt, %error, "ended untold"),
    }
}

struct Course<'a, C> {
    control: &'a C,
    equipment: &'a Equipment,
    lease: &'a Lease,
    key: &'a LeaseKey,
    report: &'a watch::Sender<Renewal>,
    halted: watch::Receiver<Option<Halt>>,
}

impl<C: Control> Course<'_, C> {
    async fn run(&mut self) -> End {
        match self.attempt().await {
            Ok(end) => end,
            Err(error) => match (self.halt(), error.downcast_ref::<ControlError>()) {
                (Some(halt), _) => End::Halted(halt),
                (None, Some(ControlError::Lost { .. })) => End::Halted(Halt::Lost),
                (None, _) => self.failed(in_one_line(&error)),
            },
        }
    }

    fn halt(&self) -> Option<Halt> {
        *self.halted.borrow()
    }

    fn cost(&self) -> Cost {
        self.report.borrow().cost
    }

    fn failed(&self, error: String) -> End {
        End::Result(Box::new(AttemptResult::Failed { error, cost: self.cost() }))
    }

    /// Tells the control plane how it ended.
    async fn tell(&self, end: End) -> Result<&'static str, ControlError> {
        let result = match end {
            End::Halted(Halt::Lost) => return Ok("the lease is lost, and the attempt is gone"),
            End::Halted(Halt::GivenBack) => {
                // A control plane that is away takes it back by itself when the lease runs out.
                return self.control.release(self.key).await.map(|()| "given back");
            }
            End::Halted(Halt::Cancelled) => AttemptResult::Cancelled { cost: self.cost() },
            End::Result(result) => *result,
        };
        tokio::select! {
            told = persist(|| self.control.result(self.key, &result)) => told.map(|()| "told"),
            () = self.over() => Ok("the lease is lost, or this worker leaves, before the result is told"),
        }
    }

    async fn attempt(&mut self) -> anyhow::Result<End> {
        let home = &self.equipment.home;
        let work = home.work_dir(&format!("lease-{}-{}", self.key.task, self.key.attempt))?;
        let folder = work.path();
        let leash = Leash {
            task: self.key.task.clone(),
            attempt: self.key.attempt,
            asker: self.lease.asker.clone(),
            policy: self.lease.policy.clone(),
            grace_s: Leash::grace_s(self.lease.expires_s),
        };
        write(folder, "lease.json", &serde_json::to_vec(&leash)?)?;
        write(folder, "task.md", self.lease.text.as_bytes())?;

        self.doing(Stage::Provision, "cloning");
        let pristine = folder.join("pristine.git");
        match self.clone(self.lease.clone.clone(), pristine.clone(), folder).await? {
            Ok(()) => {}
            Err(halt) => return Ok(End::Halted(halt)),
        }
        if self.lease.kind == TaskKind::Onboard {
            return self.onboard(&pristine, folder).await;
        }
        let at_work = folder.join("work.git");
        if let Err(halt) = self.copy(&pristine, at_work.clone(), folder).await? {
            return Ok(End::Halted(halt));
        }

        let out = folder.join("out");
        // A follow-up goes on from the branch of its pull request.
        let base = self.lease.onto.as_deref().or(self.lease.base.as_deref());
        let mut args = self.options("run", &at_work, &out, base);
        args.extend(["--task-file".into(), folder.join("task.md").into_os_string()]);
        args.extend(self.equipment.models.iter().cloned());
        let mut child =
            Attempt::start(&self.equipment.program, &args, &self.equipment.variables, folder, "run")?;
        let mut follower = Follower::new(&out.join("journal.jsonl"));
        let ended = match self.follow(&mut child, &mut follower).await? {
            Ok(ended) => ended,
            Err(halt) => return Ok(End::Halted(halt)),
        };
        drop(child);
        self.learnt(&out).await;
        let outcome = ended.said.as_ref().and_then(|said| said["outcome"].as_str()).unwrap_or_default();
        match (outcome, ended.status.code()) {
            ("branch", Some(0)) => {}
            ("bow_out", Some(code)) if code == i32::from(exit::BOW_OUT) => {
                return self.bowed_out(&out).await;
            }
            _ => return Ok(self.failed(ended.error())),
        }
        let said = ended.said.unwrap_or_default();
        self.verified_again(work, &pristine, &said).await
    }

    /// Has the repository's commands found and proved by a process of its own, and hands over what is known then.
    async fn onboard(&mut self, repo: &Path, folder: &Path) -> anyhow::Result<End> {
        let began = Instant::now();
        self.doing(Stage::Provision, "finding its commands");
        let mut args: Vec<OsString> = vec!["onboard".into(), repo.into()];
        // Whoever asks for it wants to know what is so now.
        args.extend(["--again".into(), "--json".into()]);
        args.extend(["--as".into(), OsString::from(self.lease.repo.as_str())]);
        args.extend(["--lease".into(), folder.join("lease.json").into_os_string()]);
        args.extend(self.equipment.options.iter().cloned());
        let mut child =
            Attempt::start(&self.equipment.program, &args, &self.equipment.variables, folder, "onboard")?;
        let ended = self.end_of(&mut child, |log| {
            self.report.send_modify(|report| {
                report.doing = log.doing().unwrap_or_else(|| report.doing.clone());
                report.cost.wall_s = began.elapsed().as_secs_f64();
            });
        });
        let ended = match ended.await? {
            Ok(ended) => ended,
            Err(halt) => return Ok(End::Halted(halt)),
        };
        self.report.send_modify(|report| report.cost.wall_s = began.elapsed().as_secs_f64());
        match ended.status.code() {
            Some(0) => {}
            Some(code) if code == i32::from(exit::BOW_OUT) => return Ok(self.not_onboarded(&ended)),
            _ => return Ok(self.failed(ended.error())),
        }
        let profile: Profile = serde_json::from_value(ended.said.unwrap_or_default())?;
        self.in_time(persist(|| self.control.profile(self.key, &profile))).await?;
        Ok(End::Result(Box::new(AttemptResult::Onboarded { cost: self.cost() })))
    }

    /// A repository that nothing can be proved of here: no engine, or a policy of its own that does not load.
    fn not_onboarded(&self, ended: &Ended) -> End {
        let said = ended.said.clone().unwrap_or_default();
        let reason = said["reason_code"].as_str().and_then(ReasonCode::named);
        let why = ended.error();
        let bow_out = BowOut {
            schema_version: 1,
            task_id: self.key.task.clone(),
            attempt: self.key.attempt,
            stage: Stage::Provision,
            reason_code: reason.unwrap_or(ReasonCode::EnvUnbuildable),
            summary: shorten(why.lines().next().unwrap_or_default(), 280),
            evidence: vec![BowOutEvidence::note("system", shorten(&why, 2_000))],
            attempted: Vec::new(),
            what_would_unblock: vec![Unblock::by_hand(
                "make it possible to run the repository's commands",
                said["hint"].as_str().unwrap_or("see the evidence"),
            )],
            questions: Vec::new(),
            confidence: None,
            threshold: None,
            cost: self.cost(),
            retryable: true,
        };
        End::Result(Box::new(AttemptResult::BowedOut { bow_out: Box::new(bow_out) }))
    }

    fn doing(&self, stage: Stage, doing: &str) {
        self.report.send_modify(|report| (report.stage, report.doing) = (Some(stage), doing.to_owned()));
    }

    /// Options of a process for this attempt.
    fn options(&self, command: &str, repo: &Path, out: &Path, base: Option<&str>) -> Vec<OsString> {
        let folder = out.parent().unwrap_or(out);
        let mut args: Vec<OsString> = vec![command.into()];
        args.extend(["--repo".into(), repo.into(), "--out".into(), out.into(), "--json".into()]);
        args.extend(["--as".into(), OsString::from(self.lease.repo.as_str())]);
        args.extend(["--lease".into(), folder.join("lease.json").into_os_string()]);
        args.extend(base.map(|base| [OsString::from("--base"), base.into()]).into_iter().flatten());
        args.extend(self.equipment.options.iter().cloned());
        args
    }

    /// Clones the repository; stops when the attempt is to.
    async fn clone(&mut self, from: String, into: PathBuf, state: &Path) -> anyhow::Result<Result<(), Halt>> {
        let interrupt = Interrupt::default();
        let state = state.join("state");
        let cloning = tokio::task::spawn_blocking({
            let interrupt = interrupt.clone();
            move || Repository::clone_url(&from, &into, &state, &interrupt).map(|_| ())
        });
        let mut halted = self.halted.clone();
        tokio::select! {
            cloned = cloning => {
                let cloned = cloned.map_err(|error| Failure::infrastructure("clone the repository", error))?;
                cloned.map_err(repo_failure)?;
                Ok(Ok(()))
            }
            halt = stopping(&mut halted) => {
                interrupt.trigger();
                Ok(Err(halt))
            }
        }
    }

    /// Copies a bare repository for a process to work in.
    async fn copy(&mut self, from: &Path, to: PathBuf, state: &Path) -> anyhow::Result<Result<(), Halt>> {
        self.clone(format!("file://{}", from.display()), to, state).await
    }

    /// Stops a process in order, as long as the lease is ours: whoever has it next must not meet this one.
    async fn stop(&self, child: &mut Attempt) {
        let mut halted = self.halted.clone();
        tokio::select! {
            () = child.stop() => {}
            _ = halted.wait_for(|halt| *halt == Some(Halt::Lost)) => {}
        }
    }

    /// Waits for a process's end, and looks at it from time to time; stops it when the attempt is to.
    async fn end_of(
        &self,
        child: &mut Attempt,
        mut look: impl FnMut(&Log),
    ) -> anyhow::Result<Result<Ended, Halt>> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut halted = self.halted.clone();
        let log = child.log().clone();
        let ended = {
            let mut ended = std::pin::pin!(child.ended());
            loop {
                tokio::select! {
                    ended = &mut ended => break Ok(ended?),
                    halt = stopping(&mut halted) => break Err(halt),
                    _ = looks.tick() => look(&log),
                }
            }
        };
        if ended.is_err() {
            self.stop(child).await;
        }
        Ok(ended)
    }

    /// Waits for a process's end while its journal is handed over as it grows.
    async fn follow(
        &mut self,
        child: &mut Attempt,
        follower: &mut Follower,
    ) -> anyhow::Result<Result<Ended, Halt>> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut halted = self.halted.clone();
        let ended = {
            let mut ended = std::pin::pin!(child.ended());
            loop {
                tokio::select! {
                    ended = &mut ended => break Ok(ended?),
                    halt = stopping(&mut halted) => break Err(halt),
                    handed = async {
                        looks.tick().await;
                        follower.hand_over(self.control, self.key).await
                    } => handed?,
                }
                self.report.send_replace(follower.standing().clone());
            }
        };
        if ended.is_err() {
            self.stop(child).await;
        }
        if ended.as_ref().err() != Some(&Halt::Lost) {
            self.in_time(follower.hand_over(self.control, self.key)).await?;
            self.report.send_replace(follower.standing().clone());
        }
        Ok(ended)
    }

    /// Hands over what the attempt found to be known of the repository. Nothing of it hangs on that.
    async fn learnt(&self, out: &Path) {
        let told = match gloaming_worker::journal::profile_of(&out.join("journal.jsonl")) {
            Ok(Some(profile)) => {
                let told = self.in_time(self.control.profile(self.key, &profile)).await;
                told.map_err(|error| error.to_string())
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = told {
            tracing::warn!(task = %self.key.task, error, "what was found of the repository is not kept");
        }
    }

    async fn bowed_out(&self, out: &Path) -> anyhow::Result<End> {
        let bytes = context::read_bytes(&out.join("bowout.json"), "the bow-out", context::FILE_CAP)?;
        let mut bow_out: BowOut = serde_json::from_slice(&bytes)?;
        // Partial work is kept, and never pushed.
        for (name, what) in [
            (BowOut::PARTIAL, "the work that did not pass; it is on no branch"),
            (SEALED, "what was seen of it"),
        ] {
            let file = out.join(name);
            if !file.exists() {
                continue;
            }
            let bytes = context::read_bytes(&file, "the partial work", context::RECORD_CAP)?;
            match self.artifact(bytes).await {
                Ok(digest) => {
                    let artifact = Some(digest.to_string());
                    let excerpt = format!("{name}: {what}");
                    bow_out
                        .evidence
                        .push(BowOutEvidence { artifact, ..BowOutEvidence::note("file", excerpt) });
                }
                Err(error) => tracing::warn!(%error, "the partial work is not kept"),
            }
        }
        Ok(End::Result(Box::new(AttemptResult::BowedOut { bow_out: Box::new(bow_out) })))
    }

    async fn artifact(&self, bytes: Vec<u8>) -> Result<Digest, ControlError> {
        let digest = Digest::of(&bytes);
        self.in_time(persist(|| self.control.artifact(self.key, &digest, bytes.clone()))).await?;
        Ok(digest)
    }

    /// Does something that goes on as long as the control plane is away; not longer than the lease is ours, and not long
    /// after this worker was told to stop.
    async fn in_time<T>(
        &self,
        doing: impl Future<Output = Result<T, ControlError>>,
    ) -> Result<T, ControlError> {
        tokio::select! {
            done = doing => done,
            () = self.over() => Err(ControlError::Lost { task: self.key.task.clone(), attempt: self.key.attempt }),
        }
    }

    /// Waits until the lease is lost, or this worker was told to stop a while ago.
    async fn over(&self) {
        let mut halted = self.halted.clone();
        let left = stopping(&mut halted).await == Halt::GivenBack;
        let lost = halted.wait_for(|halt| *halt == Some(Halt::Lost));
        if left {
            let _ = timeout(LAST_WORDS, lost).await;
        } else {
            let _ = lost.await;
        }
    }

    /// Has the change verified by a process that never ran the attempt, from a clone that it never saw, and hands it over.
    async fn verified_again(
        &mut self,
        work: WorkDir,
        pristine: &Path,
        said: &serde_json::Value,
    ) -> anyhow::Result<End> {
        let folder = work.path();
        self.doing(Stage::Verify, "verifying again, by a process that never ran the attempt");
        let (out, again) = (folder.join("out"), folder.join("verified"));
        let fresh = folder.join("verify.git");
        if let Err(halt) = self.copy(pristine, fresh.clone(), folder).await? {
            return Ok(End::Halted(halt));
        }
        let base = hand_over::first(&out.join("evidence.json"))?.base;
        let mut args = self.options("verify", &fresh, &again, Some(&base));
        args.extend(["--patch".into(), out.join("patch.diff").into_os_string()]);
        args.extend(["--task".into(), folder.join("task.md").into_os_string()]);
        args.extend(["--of".into(), out.join("evidence.json").into_os_string(), "--again".into()]);
        let mut child =
            Attempt::start(&self.equipment.program, &args, &self.equipment.variables, folder, "verify")?;
        // The cost and the grant are the attempt's, which this process adds nothing to.
        let ended = match self.end_of(&mut child, |_| {}).await? {
            Ok(ended) => ended,
            Err(halt) => return Ok(End::Halted(halt)),
        };
        drop(child);
        match ended.status.code() {
            Some(0) => {}
            Some(code) if code == i32::from(exit::BLOCK) || code == i32::from(exit::BOW_OUT) => {
                return Ok(self.not_again(&ended));
            }
            _ => return Ok(self.failed(format!("the second verification failed: {}", ended.error()))),
        }
        let change = self.hand_over(&out, &again, said).await?;
        Ok(End::Result(Box::new(AttemptResult::Verified(Box::new(change)))))
    }

    /// A change that passed where it was made and does not where it was not.
    fn not_again(&self, ended: &Ended) -> End {
        let said = ended.said.clone().unwrap_or_default();
        let why = said["summary"].as_str().unwrap_or("the verdict was not told").to_owned();
        let reason = said["reason_code"].as_str().unwrap_or("verification_failed");
        let reason = ReasonCode::named(reason);
        let bow_out = BowOut {
            schema_version: 1,
            task_id: self.key.task.clone(),
            attempt: self.key.attempt,
            stage: Stage::Verify,
            reason_code: reason.unwrap_or(ReasonCode::VerificationFailed),
            summary: shorten(
                &format!("the change passed once, and not when it was verified again: {why}"),
                280,
            ),
            evidence: vec![BowOutEvidence::note("verification", shorten(&why, 2_000))],
            attempted: Vec::new(),
            what_would_unblock: vec![Unblock::by_hand(
                "find what differs from run to run",
                "run the repository's tests several times on an untouched checkout, in a fresh clone; what a test needs \
                 that is not in the repository, or flips, is what to repair first",
            )],
            questions: Vec::new(),
            confidence: said["confidence"].as_f64(),
            threshold: said["threshold"].as_f64(),
            cost: self.cost(),
            retryable: true,
        };
        End::Result(Box::new(AttemptResult::BowedOut { bow_out: Box::new(bow_out) }))
    }

    async fn hand_over(
        &self,
        out: &Path,
        again: &Path,
        said: &serde_json::Value,
    ) -> anyhow::Result<VerifiedChange> {
        let read = |path: &Path| context::read_bytes(path, "what is handed over", context::RECORD_CAP);
        let change: hand_over::Change = serde_json::from_slice(&read(&again.join(hand_over::CHANGE))?)?;
        for content in change.blobs.iter().filter_map(|blob| blob.content.as_ref()) {
            self.artifact(read(&again.join(hand_over::BLOBS).join(content.hex()))?).await?;
        }
        Ok(VerifiedChange {
            base: change.base,
            tree: change.tree,
            blobs: change.blobs,
            patch: self.artifact(read(&out.join("patch.diff"))?).await?,
            evidence: self.artifact(read(&again.join(hand_over::EVIDENCE))?).await?,
            description: said["summary"].as_str().unwrap_or_default().to_owned(),
            cost: serde_json::from_value(said["cost"].clone()).unwrap_or_else(|_| self.cost()),
        })
    }
}

/// Waits until an attempt is to stop.
async fn stopping(halted: &mut watch::Receiver<Option<Halt>>) -> Halt {
    let halt = halted.wait_for(Option::is_some).await.ok().and_then(|halt| *halt);
    match halt {
        Some(halt) => halt,
        // Nobody is left who could stop it.
        None => std::future::pending().await,
    }
}
