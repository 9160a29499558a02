//! One patch through the whole verification, in containers, and the gate's word on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use gloaming_api::evidence::{Evidence, Origin, StepResult};
use gloaming_api::profile::{Command, CommandKind, Profile, Source};
use gloaming_api::{Digest, RelPath, RepoId};
use gloaming_jobs::{Cancel, Embedded, Engine as _, Environment, HostFacts};
use gloaming_policies::{Grant, Layer};
use gloaming_verify::{Baseline, Baselines, Effort, Inputs};
use gloaming_workspace::Repository;
use jiff::Timestamp;

/// What the fixes are judged by: the standard policy, and existing tests may change.
const POLICY: &str = "schema = 1\nextends = [\"preset:standard\"]\n\n[change]\nexisting_tests = \"change\"\n";

use crate::fixes::Project;
use crate::{Outcome, Times};

/// What was decided of a patch, and by what.
pub(crate) struct Judged {
    /// `pass`, `block` or `bow_out`.
    pub(crate) verdict: String,
    pub(crate) code: String,
    /// The first step that neither passed nor was skipped.
    pub(crate) step: Option<String>,
    pub(crate) detail: String,
    pub(crate) times: Times,
}

/// Baselines of this run, and the milliseconds of jobs of the one that was handed out last.
#[derive(Default)]
struct Kept(Mutex<(BTreeMap<Digest, Baseline>, u64)>);

impl Baselines for Kept {
    fn get(&self, key: &Digest) -> Option<(Baseline, Timestamp)> {
        let mut kept = self.0.lock().ok()?;
        let found = kept.0.get(key).cloned()?;
        kept.1 = found.jobs.iter().map(|job| job.record.duration_ms).sum();
        // When does not matter here: nobody looks at these records.
        Some((found, Timestamp::UNIX_EPOCH))
    }

    fn put(&self, baseline: &Baseline) {
        if let Ok(mut kept) = self.0.lock() {
            kept.0.insert(baseline.key.clone(), baseline.clone());
        }
    }
}

/// Where the patches of one project are judged.
pub(crate) struct Bench {
    clone: PathBuf,
    work: tempfile::TempDir,
    repository: Repository,
    profile: Profile,
    grant: Grant,
    repo_id: RepoId,
    environment: Environment,
    engine: Embedded,
    kept: Kept,
    seed: u64,
}

impl Bench {
    pub(crate) async fn new(project: &Project, clones: &Path, seed: u64) -> Outcome<Self> {
        let clone = clones.join(project.folder());
        let work = tempfile::tempdir()?;
        let repository = Repository::open(&clone, &work.path().join("git"))?;
        let repo_id = RepoId::local(project.folder());
        // Fixes are judged with their tests, and people add rows and assertions to tests that are there.
        let policy =
            gloaming_policies::load("policy.toml", POLICY, &|name| Err(format!("no file {name}")))
                .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        let grant = Grant::resolve(&repo_id, vec![(Layer::Operator, policy)])
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        let environment = Environment::detect(&host());
        let helper = vec![std::env::current_exe()?.into(), "__job".into()];
        let engine = Embedded::new(helper, environment.clone(), work.path().join("jobs"));
        if let Err(error) = engine.probe().await {
            return Err(format!("no container can be made here: {error}; {}", error.hint).into());
        }
        let profile = profile(project)?;
        Ok(Self {
            clone,
            work,
            repository,
            profile,
            grant,
            repo_id,
            environment,
            engine,
            kept: Kept::default(),
            seed,
        })
    }

    pub(crate) fn clone_dir(&self) -> &Path {
        &self.clone
    }

    /// Judges the patch that makes this tree of a commit's parent, as code by a model is judged: a test has to fail
    /// without it. Faults are planted by this program, and coverage decides nothing, so neither is measured.
    pub(crate) async fn judge(&self, commit: &str, tree: &str) -> Outcome<Judged> {
        let base = self.repository.resolve(Some(&format!("{commit}^")))?;
        let patch =
            self.repository.patch_from_bytes(&base, &crate::mutate::diff(&self.clone, commit, tree)?)?;
        let work_dir = self.work.path().join("work");
        if let Ok(mut kept) = self.kept.0.lock() {
            kept.1 = 0;
        }
        let started = Instant::now();
        let evidence = gloaming_verify::verify(Inputs {
            provision: None,
            repository: &self.repository,
            base: &base,
            patch: &patch,
            grant: &self.grant,
            profile: &self.profile,
            engine: &self.engine,
            environment: self.environment.digest(),
            origin: Origin::Model("history".into()),
            task: None,
            repo_id: &self.repo_id,
            work_dir: &work_dir,
            baseline: None,
            seed: self.seed,
            effort: Effort { coverage: false, mutants: 0, ..Effort::default() },
            baselines: Some(&self.kept),
            progress: &|_| {},
            cancel: &Cancel::new(),
        })
        .await?;
        let wall = started.elapsed();
        // Trees of one patch are of no use to the next. A patch that is stopped by its paths has none.
        if work_dir.exists() {
            std::fs::remove_dir_all(&work_dir)?;
        }
        Ok(self.judged(&evidence, wall))
    }

    fn judged(&self, evidence: &Evidence, wall: Duration) -> Judged {
        let verdict = gloaming_gate::judge(evidence);
        let decisive =
            evidence.steps.iter().find(|step| matches!(step.result, StepResult::Fail | StepResult::Unknown));
        let all: u64 = evidence.jobs.iter().map(|job| job.record.duration_ms).sum();
        let reused = self.kept.0.lock().map(|kept| kept.1).unwrap_or_default();
        let kind = serde_json::to_value(verdict.verdict).ok();
        Judged {
            verdict: kind.and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default(),
            code: verdict.code,
            step: decisive.map(|step| step.step.clone()),
            detail: decisive.map_or(verdict.summary, |step| step.detail.clone()),
            times: Times { wall_ms: wall.as_millis() as u64, jobs_ms: all.saturating_sub(reused) },
        }
    }
}

/// What is known of a project: the one command that tests it.
fn profile(project: &Project) -> Outcome<Profile> {
    let command = Command {
        kind: CommandKind::Test,
        argv: project.test.clone(),
        cwd: RelPath::root(),
        env: BTreeMap::new(),
        runner: Some(project.runner),
        source: Source {
            file: RelPath::parse("fixes.toml")?,
            line: 1,
            because: "said in tests/history".into(),
        },
        proof: None,
    };
    Ok(Profile {
        schema_version: 1,
        ecosystems: Vec::new(),
        commands: vec![command],
        rejected: Vec::new(),
        gaps: Vec::new(),
        instructions: Vec::new(),
        instruction_files: Vec::new(),
        toolchains: Vec::new(),
        managers: Vec::new(),
        parts: Vec::new(),
        services: Vec::new(),
        protected: Vec::new(),
        setups: Vec::new(),
        corrections: Vec::new(),
        norms: None,
        readiness: None,
        mined_from: Digest::zero(),
    })
}

/// What this process itself runs with.
#[expect(clippy::disallowed_methods, reason = "a program for people reads its environment")]
fn host() -> HostFacts {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    HostFacts {
        path: std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default(),
        home: folder("HOME"),
        cargo_home: folder("CARGO_HOME"),
        rustup_home: folder("RUSTUP_HOME"),
        virtual_env: folder("VIRTUAL_ENV"),
    }
}
