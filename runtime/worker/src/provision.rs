//! What an attempt starts from: the base's checkout, profile and dependencies, and what its own checks say of it.

use std::path::Path;
use std::sync::Arc;

use gloaming_api::bowout::{BowOutEvidence, ReasonCode, Stage};
use gloaming_api::job::{JobPurpose, JobRecord};
use gloaming_api::profile::{CommandKind, Profile};
use gloaming_jobs::Engine;
use gloaming_profile::{Dependencies, Provision, SetupInputs, SetupTree};
use gloaming_sandbox::Files;
use gloaming_verify::{Baseline, BaselineInputs, ProgressSink};
use gloaming_workspace::Checkout;

use crate::base::GitBase;
use crate::blueprint::{Run, WORKSPACE, tail_of};
use crate::bow::Draft;
use crate::check;
use crate::end::{End, WorkerError, no_engine};
use crate::machine::{Provisioned, tests_of};
use crate::progress::Update;

/// What provisioning made ready.
pub(crate) struct Bench {
    pub(crate) checkout: Checkout,
    pub(crate) files: Files,
    pub(crate) profile: Profile,
    pub(crate) engine: Arc<dyn Engine>,
    /// What the set-up phase fetched for the base.
    pub(crate) dependencies: Dependencies,
    /// What it fetched for what a playbook left, where a model goes on with that: `check` shows these. Verification does
    /// not, for it sets each tree up by itself.
    pub(crate) handed: Option<Dependencies>,
}

impl Bench {
    /// Makes the workspace anew, as the base has it.
    pub(crate) fn renew(&mut self, run: &Run<'_>) -> Result<(), End> {
        std::fs::remove_dir_all(self.checkout.dir())
            .map_err(|source| WorkerError::Write { what: "the workspace", source })?;
        let Ground { checkout, files } = workspace(run)?;
        (self.checkout, self.files) = (checkout, files);
        Ok(())
    }

    /// Returns how jobs come by dependencies and network; none where they have what the environment has.
    pub(crate) fn provision<'a>(&'a self, run: &'a Run<'_>) -> Option<Provision<'a>> {
        let supplies = run.equipment.supplies.as_ref()?;
        Some(Provision {
            repo: &supplies.owner,
            caches: &supplies.caches,
            egress: supplies.egress.as_ref(),
            base: Some(&self.dependencies),
        })
    }

    /// Returns what jobs on the untouched tree are given; their results are not kept for other attempts.
    pub(crate) fn untouched<'a>(
        &'a self,
        run: &'a Run<'_>,
        work_dir: &'a Path,
        progress: ProgressSink<'a>,
    ) -> BaselineInputs<'a> {
        BaselineInputs {
            repository: &run.equipment.repository,
            base: &run.assignment.base,
            grant: &run.equipment.grant,
            profile: &self.profile,
            engine: self.engine.as_ref(),
            environment: &run.equipment.environment,
            provision: self.provision(run),
            work_dir,
            seed: run.assignment.seed,
            effort: gloaming_verify::Effort::default(),
            baselines: None,
            progress,
            cancel: &run.stop,
        }
    }
}

/// The base, checked out for the tools.
pub(crate) struct Ground {
    pub(crate) checkout: Checkout,
    files: Files,
}

/// Does the stage, from its begin to its end, on a workspace that nothing was done in where there is one. The checkout is made again by whoever goes on with an attempt; what was
/// learned of it is not learned again.
pub(crate) async fn provision(run: &mut Run<'_>, ground: Option<Ground>) -> Result<Bench, End> {
    let known = run.handed_on::<Provisioned>(Stage::Provision)?;
    let engine = match &run.equipment.engine {
        Ok(engine) => Arc::clone(engine),
        Err(error) => return Err(no_engine(error).into()),
    };
    run.doing("checking out the base");
    let repository = &run.equipment.repository;
    for note in repository.notes(&run.assignment.base) {
        (run.progress)(Update::Note(note));
    }
    let Ground { checkout, files } = match ground {
        Some(ground) => ground,
        None => workspace(run)?,
    };
    let hidden = withheld(run)?;
    if !hidden.is_empty() {
        (run.progress)(Update::Note(check::withheld_note(&hidden)));
    }
    let again = known.is_some();
    let profile = match known {
        Some(Provisioned { profile }) => profile,
        None => {
            let profile = (run.equipment.learn)(checkout.dir()).map_err(|faults| bad_profile(&faults))?;
            gloaming_profile::with_norms(profile, repository, &run.assignment.base)
        }
    };
    let test = profile.command(CommandKind::Test);
    if test.is_none_or(|command| command.runner.is_none()) {
        let summary = match test {
            None => "No test command was found in this repository, so no change to it can be verified.",
            Some(_) => {
                "The results of this repository's test command cannot be read test by test, so no change to \
                        it can be verified."
            }
        };
        let mut draft = Draft::new(Stage::Provision, ReasonCode::EnvUnbuildable, summary);
        for gap in &profile.gaps {
            draft = draft.evidence(BowOutEvidence::note("file", gap.clone()));
        }
        for rejected in &profile.rejected {
            draft = draft.evidence(BowOutEvidence::note(
                "file",
                format!(
                    "{}:{}: {} — {}",
                    rejected.source.file, rejected.source.line, rejected.command, rejected.reason
                ),
            ));
        }
        return Err(draft
            .unblock("add a test command", "a Cargo.toml, pytest configuration, npm test script or go.mod with tests; see `gloaming profile`")
            .into());
    }
    // A replay runs no jobs.
    let dependencies = if run.journal.is_replay() {
        Dependencies::default()
    } else {
        set_up(run, checkout.dir(), &profile, engine.as_ref(), SetupTree::Base).await?
    };
    let bench = Bench { checkout, files, profile, engine, dependencies, handed: None };
    if !again {
        let detail = format!("tests: {}{}", tests_of(&bench), told(&bench.dependencies));
        run.hand_on(detail, &Provisioned { profile: bench.profile.clone() })?;
    }
    Ok(bench)
}

/// Checks the base out, and opens it for tools.
pub(crate) fn workspace(run: &Run<'_>) -> Result<Ground, End> {
    let repository = &run.equipment.repository;
    let checkout = repository.checkout(&run.assignment.base, &run.equipment.work_dir.join(WORKSPACE))?;
    let base = GitBase::of(repository.clone(), run.assignment.base.clone());
    let mut files = Files::open(checkout.dir()).map_err(WorkerError::Sandbox)?.with_base(Arc::new(base));
    if let Some(images) = &run.equipment.images {
        files = files
            .with_images(images)
            .map_err(|source| WorkerError::Write { what: "the folder for undoing", source })?;
    }
    Ok(Ground { checkout, files })
}

/// Runs the set-up phase on what a playbook made of the workspace, before a model writes to it; none where nothing is
/// fetched.
pub(crate) async fn set_up_for(
    run: &Run<'_>,
    bench: &Bench,
    patch: &gloaming_workspace::Patch,
) -> Result<Option<Dependencies>, End> {
    // A replay runs no jobs.
    if run.journal.is_replay() {
        return Ok(None);
    }
    let (dir, tree) = (bench.checkout.dir(), patch.tree.to_string());
    let made = set_up(run, dir, &bench.profile, bench.engine.as_ref(), SetupTree::Patched(&tree)).await?;
    Ok(Some(made).filter(|made| !made.is_empty()))
}

/// Runs the set-up phase on a tree that no model wrote to: the base, or what a playbook made of it.
async fn set_up(
    run: &Run<'_>,
    base: &std::path::Path,
    profile: &Profile,
    engine: &dyn Engine,
    whose: SetupTree<'_>,
) -> Result<Dependencies, End> {
    let Some(supplies) = &run.equipment.supplies else { return Ok(Dependencies::default()) };
    let progress = run.progress;
    let made = gloaming_profile::set_up(&SetupInputs {
        provision: Provision {
            repo: &supplies.owner,
            caches: &supplies.caches,
            egress: supplies.egress.as_ref(),
            base: None,
        },
        command: profile.command(CommandKind::Install),
        ecosystems: &profile.ecosystems,
        grant: &run.equipment.grant,
        engine,
        environment: &run.equipment.environment,
        tree: base,
        whose,
        work_dir: &run.equipment.work_dir.join("setup"),
        progress: &|doing: &str| progress(Update::Doing(doing.to_owned())),
        cancel: &run.stop,
    })
    .await
    .map_err(gloaming_verify::VerifyError::from)?;
    if let Some(lack) = made.lack() {
        progress(Update::Note(format!("{lack}; jobs go on with what this machine has")));
    }
    Ok(made)
}

/// Says of a set-up what came of it, behind something else.
fn told(dependencies: &Dependencies) -> &'static str {
    match (dependencies.is_empty(), dependencies.reused(), dependencies.lack()) {
        (_, _, Some(_)) => "; dependencies were not set up",
        (false, true, None) => "; dependencies from the cache",
        (false, false, None) => "; dependencies set up",
        (true, _, None) => "",
    }
}

/// Bows out where the repository's corrections of its profile do not load: what they would have said is not known.
fn bad_profile(faults: &[gloaming_policies::Diagnostic]) -> Draft {
    let mut draft = Draft::new(
        Stage::Provision,
        ReasonCode::EnvUnbuildable,
        "The repository's own .gloaming/profile.toml does not load on the base commit.",
    );
    for fault in faults {
        draft = draft.evidence(BowOutEvidence::note("file", fault.to_string()));
    }
    draft.unblock("repair the file", "`gloaming profile --no-run` shows each error with line and column")
}

/// Returns the base's files that no job sees.
fn withheld(run: &Run<'_>) -> Result<Vec<gloaming_api::RelPath>, End> {
    let files = run.equipment.repository.list_files(&run.assignment.base)?;
    let hidden = files.into_iter().filter_map(|entry| entry.path);
    Ok(hidden.filter(|path| run.equipment.grant.withheld(path).is_some()).collect())
}

pub(crate) async fn baseline(run: &mut Run<'_>, bench: &Bench) -> Result<Baseline, End> {
    let progress = run.progress;
    let progress = |update: gloaming_verify::Progress| progress(Update::Doing(update.to_string()));
    let work_dir = run.equipment.work_dir.join("baseline");
    let kept = run.equipment.baselines.as_deref();
    let inputs = BaselineInputs { baselines: kept, ..bench.untouched(run, &work_dir, &progress) };
    let baseline = gloaming_verify::baseline(inputs).await?;
    run.record_jobs(&baseline.jobs)?;
    if let Some(red) = &baseline.red {
        // Without its dependencies a repository says nothing of its own state.
        let lack = baseline.lack.as_ref();
        let failed: Vec<(&JobRecord, &String)> = baseline
            .jobs
            .iter()
            .map(|job| &job.record)
            .filter(|record| !record.exit.success() && record.purpose != JobPurpose::Setup)
            .map(|record| {
                let said = !record.stderr_tail.trim().is_empty();
                (record, if said { &record.stderr_tail } else { &record.stdout_tail })
            })
            .collect();
        let wanting = gloaming_profile::lacks_dependencies(&red.detail)
            || failed.iter().any(|(_, tail)| gloaming_profile::lacks_dependencies(tail));
        let (code, summary) = match lack.filter(|lack| lack.failed && wanting) {
            Some(lack) => (lack.code, format!("The repository's dependencies could not be set up: {lack}")),
            None => {
                let summary = format!("The untouched repository does not pass its own checks here: {red}");
                (ReasonCode::BaselineRed, summary)
            }
        };
        let mut draft = Draft::new(Stage::Baseline, code, summary);
        if let Some(lack) = lack {
            draft = draft
                .evidence(BowOutEvidence::note("system", lack.to_string()))
                .evidence(BowOutEvidence::note("system", red.to_string()))
                .unblock("let the dependencies be set up", lack.unblock.clone());
        }
        for (record, tail) in failed {
            draft = draft.evidence(BowOutEvidence {
                kind: "command".into(),
                argv: record.argv.clone(),
                exit: record.exit.code(),
                excerpt: tail_of(tail, 2000),
                artifact: None,
            });
        }
        let hidden = withheld(run)?;
        if !hidden.is_empty() {
            draft = draft.evidence(BowOutEvidence::note("policy", check::withheld_note(&hidden)));
        }
        return Err(draft
            .unblock(
                "make the base pass in the container",
                "`gloaming onboard .` runs the same commands and finds out which work; what they need is fetched by the set-up \
                 phase where the policy gives it network (`[jobs.setup]`), or installed on this machine (cargo fetch, an \
                 activated virtual environment)",
            )
            .into());
    }
    Ok(baseline)
}
