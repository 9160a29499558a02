use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gloaming_api::job::JobPurpose;
use gloaming_api::{RelPath, RepoId};
use gloaming_jobs::{
    Cancel, Docker, DockerOptions, Embedded, Engine, EngineKind, Environment, Holder, HostFacts, Job,
    JobError, JobOutput, NoEngine, Vault,
};
use gloaming_policies::{Grant, JobPermit, Layer};

use crate::daemons::{asked, daemon, required};
use crate::waiting::Looks;

/// Makes of each function one test per engine of this machine. A function that is not named here is dead code, and fails.
macro_rules! on_every_local_engine {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            $crate::support::on_engine!($name, embedded, Embedded);
            $crate::support::on_engine!($name, docker, Docker);
            $crate::support::on_engine!($name, podman, Podman);
        }
    )*};
}
pub(crate) use on_every_local_engine;

/// Makes of each function one test per engine.
macro_rules! on_every_engine {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            $crate::support::on_engine!($name, embedded, Embedded);
            $crate::support::on_engine!($name, docker, Docker);
            $crate::support::on_engine!($name, podman, Podman);
            #[cfg(feature = "kubernetes")]
            $crate::support::on_engine!($name, kubernetes, Kubernetes);
        }
    )*};
}
pub(crate) use on_every_engine;

macro_rules! on_engine {
    ($name:ident, $test:ident, $kind:ident) => {
        #[tokio::test]
        async fn $test() {
            if let Some(lane) = $crate::support::Lane::open(gloaming_jobs::EngineKind::$kind).await {
                super::$name(lane).await;
            }
        }
    };
}
pub(crate) use on_engine;

/// An engine with a state folder and a workspace of its own.
pub(crate) struct Lane {
    pub(crate) kind: EngineKind,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) state: tempfile::TempDir,
    pub(crate) workspace: tempfile::TempDir,
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) limits: &'static str,
}

/// The command that makes this test binary a helper.
pub(crate) fn helper() -> Vec<std::ffi::OsString> {
    vec![std::env::current_exe().expect("this test has a path").into(), "__job".into()]
}

/// Returns an engine that holds secrets; of a daemon, the containers carry `task`.
pub(crate) async fn engine(
    kind: EngineKind,
    environment: Environment,
    state: &Path,
    task: &str,
    vault: Vault,
) -> Result<Arc<dyn Engine>, NoEngine> {
    if kind == EngineKind::Embedded {
        return Ok(Arc::new(Embedded::new(helper(), environment, state.to_owned()).with_secrets(vault)));
    }
    #[cfg(feature = "kubernetes")]
    if kind == EngineKind::Kubernetes {
        return Ok(Arc::new(crate::cluster::engine(environment, state, task).await?.with_secrets(vault)));
    }
    Ok(Arc::new(docker(&socket(kind)?, environment, state, task).await?.with_secrets(vault)))
}

/// What a lane's jobs see when nothing else is said: the host's own tools, or where there is no host the image that holds
/// the same programs.
pub(crate) fn environment(kind: EngineKind) -> Result<Environment, NoEngine> {
    #[cfg(feature = "kubernetes")]
    if kind == EngineKind::Kubernetes {
        return crate::cluster::environment();
    }
    let _ = kind;
    Ok(Environment::detect(&host()))
}

/// Returns the socket that this test process is handed, or that of a daemon it starts.
pub(crate) fn socket(kind: EngineKind) -> Result<PathBuf, NoEngine> {
    if let Some(handed) = std::env::var_os("GLOAMING_TEST_SOCKET") {
        return Ok(handed.into());
    }
    match daemon(kind) {
        Ok(daemon) => Ok(daemon.socket.clone()),
        Err(reason) => Err(NoEngine { reason: reason.clone(), hint: String::new() }),
    }
}

pub(crate) async fn docker(
    socket: &Path,
    environment: Environment,
    state: &Path,
    task: &str,
) -> Result<Docker, NoEngine> {
    Docker::connect(DockerOptions {
        helper: helper(),
        environment,
        state_dir: state.to_owned(),
        socket: socket.to_owned(),
        holder: Holder { task: task.to_owned(), attempt: 1 },
    })
    .await
}

/// A client of our own, to look at what an engine does.
pub(crate) async fn client(socket: &Path) -> bollard::Docker {
    bollard::Docker::connect_with_unix(&socket.display().to_string(), 60, bollard::API_DEFAULT_VERSION)
        .expect("the daemon's socket is there")
        .negotiate_version()
        .await
        .expect("the daemon answers")
}

/// The containers of a daemon that carry a task, by name.
pub(crate) async fn containers(socket: &Path, task: &str) -> Vec<String> {
    let client = client(socket).await;
    let filters = HashMap::from([("label".to_owned(), vec![format!("dev.gloaming.task={task}")])]);
    let options = bollard::query_parameters::ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    let listed = client.list_containers(Some(options)).await.expect("the daemon lists");
    listed.into_iter().flat_map(|container| container.names.unwrap_or_default()).collect()
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
    pub(crate) async fn open(kind: EngineKind) -> Option<Self> {
        if !asked(kind) {
            eprintln!("SKIPPED: {kind} is not asked for (GLOAMING_TEST_ENGINES, `make engines`)");
            return None;
        }
        let state = tempfile::tempdir().expect("a temporary folder can be made");
        let task = state.path().display().to_string();
        let opened = match environment(kind) {
            Ok(environment) => engine(kind, environment, state.path(), &task, Vault::default()).await,
            Err(error) => Err(error),
        };
        let opened = match opened {
            // A daemon is proved by the tests themselves; this proves the machine.
            Ok(engine) if kind == EngineKind::Embedded => engine.probe().await.map(|_| engine),
            opened => opened,
        };
        // Root can always make one without a daemon.
        let may_be_missing = if kind == EngineKind::Embedded { !is_root() } else { !required() };
        let engine = match opened {
            Ok(engine) => engine,
            Err(NoEngine { reason, hint }) if may_be_missing => {
                eprintln!("SKIPPED: no container can be made here by {kind}: {reason}; {hint}");
                return None;
            }
            Err(error) => panic!("{kind} must be able to make a container: {error}; {}", error.hint),
        };
        assert_eq!(engine.name(), kind.as_str());
        let workspace = tempfile::tempdir().expect("a temporary folder can be made");
        Some(Self { kind, engine, state, workspace, scratch: None, limits: "timeout = \"600s\"" })
    }

    /// The socket of the lane's daemon; none where there is no daemon.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        matches!(self.kind, EngineKind::Docker | EngineKind::Podman)
            .then(|| socket(self.kind).expect("it was there before"))
    }

    /// Waits until the job that runs has made a file in its workspace; returns the folder that it knows as that.
    pub(crate) async fn until_made(&self, name: &str) -> PathBuf {
        let mut looks = Looks::new();
        loop {
            let folder = self.live_workspace().await;
            if let Some(folder) = folder.filter(|folder| folder.join(name).exists()) {
                return folder;
            }
            looks.next(format_args!("the job makes {name}")).await;
        }
    }

    #[cfg(not(feature = "kubernetes"))]
    async fn live_workspace(&self) -> Option<PathBuf> {
        Some(self.workspace.path().to_owned())
    }

    /// Where the workspace is while a job runs: in a pod it is a copy.
    #[cfg(feature = "kubernetes")]
    async fn live_workspace(&self) -> Option<PathBuf> {
        match self.kind {
            EngineKind::Kubernetes => crate::cluster::workspace(&self.task()).await,
            _ => Some(self.workspace.path().to_owned()),
        }
    }

    /// The task on this lane's containers.
    pub(crate) fn task(&self) -> String {
        self.state.path().display().to_string()
    }

    /// Returns the lane with an engine of the same kind and another environment.
    pub(crate) async fn with_environment(self, environment: Environment) -> Self {
        let engine = engine(self.kind, environment, self.state.path(), &self.task(), Vault::default()).await;
        Self { engine: engine.expect("it was there before"), ..self }
    }

    /// Returns the lane with an engine of the same kind that holds secrets.
    pub(crate) async fn with_secrets(self, vault: Vault) -> Self {
        let environment = environment(self.kind).expect("it was there before");
        let engine = engine(self.kind, environment, self.state.path(), &self.task(), vault).await;
        Self { engine: engine.expect("it was there before"), ..self }
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

    /// The containers, their folders and processes that this lane has left behind.
    pub(crate) async fn left_behind(&self) -> Vec<String> {
        let mut left = Vec::new();
        for folder in ["containers", "daemon", "kubernetes"] {
            left.extend(names(&self.state.path().join(folder)).filter(|name| !name.starts_with("probe-")));
        }
        if let Some(socket) = self.socket() {
            left.extend(containers(&socket, &self.task()).await);
        }
        #[cfg(feature = "kubernetes")]
        if self.kind == EngineKind::Kubernetes {
            left.extend(crate::cluster::pods(&self.task()).await);
        }
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

/// What a job says of itself, with the number of the user that it is: in a pod each job is another.
pub(crate) fn with_user(text: &str) -> String {
    let mut said = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let length = rest[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - start);
        let number = &rest[start..start + length];
        let of_a_pod =
            number.parse().is_ok_and(|number: u64| (1_900_000_000..2_100_000_000).contains(&number));
        said.push_str(&rest[..start]);
        said.push_str(if of_a_pod { "60900" } else { number });
        rest = &rest[start + length..];
    }
    said + rest
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
