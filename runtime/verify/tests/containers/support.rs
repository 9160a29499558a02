//! A repository, a patch, and what verification says of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Mutex;
use std::time::Duration;

use gloaming_api::evidence::{Evidence, Origin, Step};
use gloaming_api::profile::{Command, CommandKind, Ecosystem, Profile, Source, TestRunner};
use gloaming_api::{Digest, RelPath, RepoId};
use gloaming_jobs::{Caches, Cancel, Embedded, Engine as _, Environment, HostFacts, NoEngine, Vault};
use gloaming_policies::Grant;
use gloaming_profile::Provision;
use gloaming_verify::{Baseline, Baselines, Effort, Inputs};
use gloaming_workspace::Repository;
use jiff::Timestamp;

/// A repository with its commands.
pub(crate) struct Case {
    dir: tempfile::TempDir,
    commands: Vec<Command>,
    pub(crate) effort: Effort,
    pub(crate) baselines: Option<Box<Memory>>,
    /// Where dependencies are kept; none where none are set up.
    pub(crate) caches: Option<Caches>,
    pub(crate) grant: Grant,
    pub(crate) vault: Vault,
}

/// Baselines in memory, with how often one was kept.
#[derive(Default)]
pub(crate) struct Memory(Mutex<(BTreeMap<Digest, Baseline>, usize)>);

impl Memory {
    pub(crate) fn kept(&self) -> usize {
        self.0.lock().unwrap().1
    }

    /// Changes what is kept.
    pub(crate) fn change(&self, change: impl Fn(&mut Baseline)) {
        self.0.lock().unwrap().0.values_mut().for_each(change);
    }
}

impl Baselines for Memory {
    fn get(&self, key: &Digest) -> Option<(Baseline, Timestamp)> {
        self.0.lock().unwrap().0.get(key).cloned().map(|baseline| (baseline, Timestamp::UNIX_EPOCH))
    }

    fn put(&self, baseline: &Baseline) {
        let mut kept = self.0.lock().unwrap();
        kept.0.insert(baseline.key.clone(), baseline.clone());
        kept.1 += 1;
    }
}

/// The name of every case's repository.
pub(crate) fn repo_id() -> RepoId {
    RepoId::local("demo")
}

pub(crate) fn command(kind: CommandKind, runner: Option<TestRunner>, argv: &[&str]) -> Command {
    Command {
        kind,
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        cwd: RelPath::root(),
        env: BTreeMap::new(),
        runner,
        source: Source { file: RelPath::parse("manifest").unwrap(), line: 1, because: String::new() },
        proof: None,
    }
}

/// A suite of Python's own.
pub(crate) fn unittest() -> Command {
    command(
        CommandKind::Test,
        Some(TestRunner::Unittest),
        &["python3", "-m", "unittest", "discover", "-s", "tests", "-t", "."],
    )
}

impl Case {
    /// A repository of these files, committed.
    pub(crate) fn new(commands: Vec<Command>, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // However slow the machine is.
        let long = Duration::from_secs(600);
        let effort = Effort { alone_from: long, mutant_time: long, ..Effort::default() };
        let case = Self {
            dir,
            commands,
            effort,
            baselines: None,
            caches: None,
            grant: Grant::resolve(&repo_id(), Vec::new()).unwrap(),
            vault: Vault::default(),
        };
        std::fs::create_dir(case.repo()).unwrap();
        case.git(&["init", "-q", "-b", "main"]);
        case.write(files);
        case.git(&["add", "-A"]);
        case.git(&["commit", "-q", "-m", "base"]);
        case
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (path, content) in files {
            let path = self.repo().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    }

    fn git(&self, args: &[&str]) -> Vec<u8> {
        let output = Process::new("git")
            .current_dir(self.repo())
            .args(["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"])
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Verifies the patch that makes these files of the repository; none where containers cannot be made.
    pub(crate) async fn verify(&self, files: &[(&str, &str)]) -> Option<Evidence> {
        let facts = host();
        let state = self.dir.path().join("state");
        let helper = vec![std::env::current_exe().unwrap().into(), "__job".into()];
        let environment = Environment::detect(&facts);
        let engine =
            Embedded::new(helper, environment.clone(), state.join("jobs")).with_secrets(self.vault.clone());
        match engine.probe().await {
            Ok(_) => {}
            Err(NoEngine { reason, hint }) if !rustix::process::geteuid().is_root() => {
                eprintln!("SKIPPED: no container can be made here: {reason}; {hint}");
                return None;
            }
            Err(error) => panic!("root must be able to make a container: {error}; {}", error.hint),
        }
        self.write(files);
        self.git(&["add", "-A", "-N"]);
        let diff = self.git(&["diff", "--binary", "HEAD"]);
        let repository = Repository::open(&self.repo(), &state.join("git")).unwrap();
        let base = repository.resolve(None).unwrap();
        let patch = repository.patch_from_bytes(&base, &diff).unwrap();
        let repo_id = repo_id();
        let profile = Profile {
            schema_version: 1,
            ecosystems: vec![Ecosystem::Python],
            commands: self.commands.clone(),
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
        };
        let evidence = gloaming_verify::verify(Inputs {
            repository: &repository,
            base: &base,
            patch: &patch,
            grant: &self.grant,
            profile: &profile,
            engine: &engine,
            environment: environment.digest(),
            provision: self.caches.as_ref().map(|caches| Provision {
                repo: &repo_id,
                caches,
                egress: None,
                base: None,
            }),
            origin: Origin::External,
            task: None,
            repo_id: &repo_id,
            work_dir: &self.dir.path().join("work"),
            baseline: None,
            seed: 7,
            effort: self.effort,
            baselines: self.baselines.as_deref().map(|kept| kept as &dyn Baselines),
            progress: &|_| {},
            cancel: &Cancel::new(),
        })
        .await
        .unwrap();
        Some(evidence)
    }
}

/// What the test process itself runs with.
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

/// Whether a Python module is there for jobs; where it is not, the test says so and is skipped.
pub(crate) fn has_python(module: &str) -> bool {
    let python = std::env::var_os("VIRTUAL_ENV")
        .map_or_else(|| PathBuf::from("python3"), |folder| Path::new(&folder).join("bin/python"));
    let found = Process::new(python).args(["-c", &format!("import {module}")]).output();
    let there = found.is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("SKIPPED: Python has no {module} here");
    }
    there
}

pub(crate) fn step<'e>(evidence: &'e Evidence, name: &str) -> &'e Step {
    evidence.steps.iter().find(|step| step.step == name).unwrap()
}

/// `pass: detail` of a step.
pub(crate) fn told(evidence: &Evidence, name: &str) -> String {
    let step = step(evidence, name);
    format!("{}: {}", format!("{:?}", step.result).to_lowercase(), step.detail)
}

/// The runs of a step, in order.
pub(crate) fn runs(evidence: &Evidence, step: &str) -> Vec<String> {
    evidence.jobs.iter().filter(|job| job.step == step).map(|job| job.tree.clone()).collect()
}
