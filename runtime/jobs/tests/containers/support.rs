use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gloaming_api::job::JobPurpose;
use gloaming_api::{RelPath, RepoId};
use gloaming_jobs::{
    Cancel, Embedded, Engine as _, Environment, HostFacts, Job, JobError, JobOutput, NoEngine,
};
use gloaming_policies::{Grant, JobPermit, Layer};

/// An engine with a state folder and a workspace of its own.
pub(crate) struct Lane {
    pub(crate) engine: Embedded,
    pub(crate) state: tempfile::TempDir,
    pub(crate) workspace: tempfile::TempDir,
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) limits: &'static str,
}

/// What the test process itself runs with.
pub(crate) fn host() -> HostFacts {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    HostFacts {
        path: std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default(),
        home: folder("HOME"),
        cargo_home: folder("CARGO_HOME"),
        rustup_home: folder("RUSTUP_HOME"),
        virtual_env: folder("VIRTUAL_ENV"),
    }
}

impl Lane {
    /// Returns a lane, or none, with a word why, where containers cannot be made.
    pub(crate) async fn open() -> Option<Self> {
        let state = tempfile::tempdir().expect("a temporary folder can be made");
        let helper = vec![std::env::current_exe().expect("this test has a path").into(), "__job".into()];
        let engine = Embedded::new(helper, Environment::detect(&host()), state.path().to_owned());
        match engine.probe().await {
            Ok(()) => {}
            Err(NoEngine { reason, hint }) if !is_root() => {
                eprintln!("SKIPPED: no container can be made here: {reason}; {hint}");
                return None;
            }
            Err(error) => panic!("root must be able to make a container: {error}; {}", error.hint),
        }
        let workspace = tempfile::tempdir().expect("a temporary folder can be made");
        Some(Self { engine, state, workspace, scratch: None, limits: "timeout = \"60s\"" })
    }

    /// Sets the limits, in the words of a policy's `[jobs.test]`.
    pub(crate) fn limited(mut self, limits: &'static str) -> Self {
        self.limits = limits;
        self
    }

    pub(crate) fn permit(&self) -> JobPermit {
        let text = format!("schema = 1\n[jobs.test]\n{}\n", self.limits);
        let file = gloaming_policies::parse("test.toml", &text).expect("the limits are a policy");
        let grant = Grant::resolve(&RepoId::local("test"), vec![(Layer::Task, file)]).expect("it resolves");
        grant.permit_job(JobPurpose::Test).expect("tests are permitted")
    }

    pub(crate) fn job(&self, argv: &[&str]) -> Job {
        Job {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            cwd: RelPath::root(),
            env: BTreeMap::new(),
            workspace: self.workspace.path().to_owned(),
            scratch: self.scratch.clone(),
            mounts: Vec::new(),
            egress: None,
            label: "test".to_owned(),
        }
    }

    pub(crate) async fn run_job(&self, job: &Job) -> Result<JobOutput, JobError> {
        self.engine.run(&self.permit(), job, &Cancel::new()).await
    }

    pub(crate) async fn run(&self, argv: &[&str]) -> JobOutput {
        self.run_job(&self.job(argv)).await.expect("a container can be made")
    }

    /// Runs a shell script.
    pub(crate) async fn sh(&self, script: &str) -> JobOutput {
        self.run(&["/bin/sh", "-c", script]).await
    }

    /// The control groups, containers' folders and processes that this lane has left behind.
    pub(crate) fn left_behind(&self) -> Vec<String> {
        let containers = self.state.path().join("containers");
        let mut left: Vec<String> = names(&containers).filter(|name| !name.starts_with("probe-")).collect();
        left.extend(processes_naming(&self.workspace.path().display().to_string()));
        left
    }
}

pub(crate) fn names(folder: &Path) -> impl Iterator<Item = String> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
}

/// The command lines of processes that hold `word`.
pub(crate) fn processes_naming(word: &str) -> Vec<String> {
    names(Path::new("/proc"))
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(word))
        .collect()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
