//! The engine of Docker and Podman, by the interface that both speak over a socket.
//!
//! ```text
//! this process ── HTTP over the daemon's socket: import, create, start, remove ──> daemon
//!      ^                                                                             │ makes the container
//!      ├── a socket mounted into it: order, proxy's socket, status, lifeline ── process 1, our own program ──── command
//!      └── pipes handed over that socket: the job's standard output and error ──────────┘
//! ```
//!
//! The daemon is trusted to make containers, since whoever runs it is the machine's root or its user anyway; it
//! is not trusted to have understood us. The first process is ours ([`init`]) and looks at what it finds; the
//! limits are read back from the control group ([`run`]); what is not as asked for is an error and the command
//! does not start.
#![expect(
    clippy::disallowed_methods,
    reason = "owns its state folder, and reads its own and its containers' entries of /proc"
)]

mod folder;
mod image;
pub(crate) mod init;
pub(crate) mod limits;
pub(crate) mod owner;
pub(crate) mod program;
pub(crate) mod protocol;
mod roots;
mod run;
mod server;
mod spec;

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::ListContainersOptionsBuilder;
use gloaming_api::RelPath;
use gloaming_api::job::JobExit;
use gloaming_policies::JobPermit;
use tokio::sync::Mutex;

pub(crate) use init::init_main;
pub use owner::Holder;
pub(crate) use protocol::INIT;

use crate::engine::{Ended, proved, to_its_end};
use crate::request::{Run, request};
use crate::secrets::Given;
use crate::{
    BoxFuture, Cancel, Capabilities, Engine, Environment, Facts, Feature, ImageError, Job, JobError,
    JobOutput, NoEngine, Proxy, Support, Vault,
};
use owner::Owner;
use roots::Root;
use server::{Brand, Server, User};

/// The file in a container's folder that says whose it is.
const OWNER_FILE: &str = "owner.json";

/// A folder without an owner is being made right now, holds a probe's workspace, or its maker died.
const BEING_MADE: Duration = Duration::from_secs(600);

/// What an engine is made of.
#[derive(Debug, Clone)]
pub struct DockerOptions {
    /// The command that re-enters [`crate::helper_main`]: this very program's file and its hidden subcommand.
    pub helper: Vec<OsString>,
    /// What jobs see.
    pub environment: Environment,
    /// A folder for sockets and small files of containers, made private when it does not exist.
    pub state_dir: PathBuf,
    /// The daemon's socket.
    pub socket: PathBuf,
    /// Whose jobs they are.
    pub holder: Holder,
}

/// Runs each job in a container that Docker or Podman makes.
#[derive(Debug, Clone)]
pub struct Docker {
    server: Server,
    helper: Vec<OsString>,
    environment: Environment,
    state_dir: PathBuf,
    holder: Holder,
    vault: Vault,
    /// Whether the machine has IPv6.
    ipv6: bool,
    /// The image with the environment's root, once it is known.
    root: Arc<Mutex<Option<Root>>>,
    /// How many roots may stay at the daemon, but for those in use.
    roots_kept: usize,
}

impl Docker {
    /// Returns an engine of the daemon that listens at the socket.
    ///
    /// # Errors
    /// Why there is no daemon there, or none that jobs can be run with.
    pub async fn connect(options: DockerOptions) -> Result<Self, NoEngine> {
        let DockerOptions { helper, environment, state_dir, socket, holder } = options;
        let server = Server::connect(&socket).await?;
        Ok(Self {
            server,
            helper,
            environment,
            state_dir,
            holder,
            vault: Vault::default(),
            ipv6: Path::new("/proc/sys/net/ipv6/conf/all/disable_ipv6").exists(),
            root: Arc::default(),
            roots_kept: roots::KEPT,
        })
    }

    /// Hands jobs those of the secrets that their permits name.
    #[must_use]
    pub fn with_secrets(self, vault: Vault) -> Self {
        Self { vault, ..self }
    }

    /// Lets so many environments' small roots stay at the daemon; beyond that those used longest ago are removed, but none
    /// that is in use.
    #[must_use]
    pub fn keeping_roots(self, most: usize) -> Self {
        Self { roots_kept: most, ..self }
    }

    /// Returns the environment that is an image, `name@sha256:...` or `sha256:...`, of the daemon at a socket.
    /// Nothing is pulled.
    ///
    /// # Errors
    /// A tag (the hint names the digest it has here), an image that is not there or is for another kind of
    /// machine, and a daemon that does not answer.
    pub async fn image(socket: &Path, reference: &str) -> Result<Environment, ImageError> {
        let server = Server::connect(socket).await.map_err(|NoEngine { reason, hint }| ImageError {
            reference: reference.to_owned(),
            reason,
            hint,
        })?;
        image::environment(&server, reference).await
    }

    /// Removes what dead processes left behind: containers at this daemon that carry our labels, and their
    /// folders. Returns the names of what it removed. Those of a living process are left alone, whoever's.
    ///
    /// # Errors
    /// When the daemon does not list its containers.
    pub async fn reap(&self) -> Result<Vec<String>, NoEngine> {
        let no_engine = |error| server::no_daemon(&self.server.socket, &error);
        let me = Owner::this_process()
            .map_err(|error| NoEngine { reason: format!("/proc: {error}"), hint: String::new() })?;
        let filters = std::collections::HashMap::from([("label".to_owned(), vec![owner::OWNER.to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = self.server.client.list_containers(Some(options)).await.map_err(no_engine)?;
        let mut reaped = Vec::new();
        for container in containers {
            let owner = container.labels.as_ref().and_then(|labels| Owner::parse(labels.get(owner::OWNER)?));
            // A label that makes no sense is not ours to judge.
            let (Some(id), Some(owner)) = (container.id, owner) else { continue };
            if owner.is_dead(&me) {
                match run::remove(&self.server, &id).await {
                    Ok(()) => {
                        reaped.extend(container.names.unwrap_or_default().into_iter().next().or(Some(id)))
                    }
                    Err(reason) => {
                        tracing::warn!(container = id, reason, "a container that nobody holds stays")
                    }
                }
            }
        }
        let folder = self.folder();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let nobodys = match std::fs::read_to_string(path.join(OWNER_FILE)) {
                Ok(text) => Owner::parse(&text).is_some_and(|owner| owner.is_dead(&me)),
                Err(_) => made_long_ago(&path),
            };
            if nobodys && std::fs::remove_dir_all(&path).is_ok() {
                reaped.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        for name in &mut reaped {
            *name = name.trim_start_matches('/').to_owned();
        }
        reaped.sort();
        reaped.dedup();
        Ok(reaped)
    }

    fn folder(&self) -> PathBuf {
        self.state_dir.join("daemon")
    }

    fn make_folder(&self) -> std::io::Result<PathBuf> {
        let folder = self.folder();
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        folder.canonicalize()
    }

    async fn execute(&self, run: &Run<'_>, cancel: &Cancel) -> Result<Ended, JobError> {
        let containers = self.make_folder().map_err(|source| JobError::Io {
            doing: format!("making the folder {}", self.folder().display()),
            source,
        })?;
        let request = request(run, &self.environment, containers)?;
        if let Some(mount) = request.mounts.iter().find(|mount| !spec::may_mount(mount)) {
            return Err(JobError::Invalid {
                label: run.label.to_owned(),
                reason: format!("nothing can be mounted at {:?}", mount.container),
            });
        }
        let (docker, label, redactor) = (self.clone(), run.label.to_owned(), run.secrets.redactor.clone());
        let proxy = run.network.map(|(_, proxy)| proxy.clone());
        to_its_end(run.label, cancel, |stop| async move {
            run::run(&docker, request, &redactor, proxy, &label, stop).await
        })
        .await
    }

    async fn prove(&self) -> Result<(), NoEngine> {
        let no_engine = |reason: String| NoEngine { reason, hint: String::new() };
        let workspace = self
            .make_folder()
            .and_then(|folder| tempfile::Builder::new().prefix("probe-").tempdir_in(folder))
            .map_err(|error| no_engine(format!("{}: {error}", self.state_dir.display())))?;
        let (argv, cwd, none) = (["/bin/true".to_owned()], RelPath::root(), Given::default());
        match self.execute(&Run::probe(workspace.path(), &argv, &cwd, &none), &Cancel::new()).await {
            // An image need not have it; that the container stood is what was asked.
            Ok(Ended { exit: JobExit::Code(127), .. }) if self.environment.image().is_some() => Ok(()),
            result => proved(result),
        }
    }
}

/// Whether a folder that says nothing of its owner is not just being made.
fn made_long_ago(folder: &Path) -> bool {
    let modified = std::fs::symlink_metadata(folder).and_then(|meta| meta.modified());
    modified.ok().and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age > BEING_MADE)
}

impl Engine for Docker {
    fn name(&self) -> &str {
        self.server.brand.name()
    }

    fn run<'a>(
        &'a self,
        permit: &'a JobPermit,
        job: &'a Job,
        cancel: &'a Cancel,
    ) -> BoxFuture<'a, Result<JobOutput, JobError>> {
        Box::pin(async move {
            permit
                .admit(&job.argv, self.environment.digest())
                .map_err(|denial| JobError::Denied { label: job.label.clone(), denial: Box::new(denial) })?;
            let secrets = self.vault.given(permit);
            let proxy = Proxy::for_job(permit, job)?;
            let ended = self.execute(&Run::of(job, permit, &secrets, proxy.as_ref()), cancel).await?;
            let egress = proxy.map(|proxy| proxy.log());
            Ok(ended.into_output(permit, job, secrets, egress, self.name(), self.environment.digest()))
        })
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::all();
        capabilities.set(
            Feature::NothingLeft,
            Support::Partly(
                "the daemon removes the container when it has seen its first process end".to_owned(),
            ),
        );
        if self.server.brand == Brand::Podman {
            capabilities.set(
                Feature::TellsOutOfMemory,
                Support::Partly(
                    "podman does not tell; the counter of the control group is read while the container runs, \
                     so that one whose first process is killed within a tenth of a second passes for a signal"
                        .to_owned(),
                ),
            );
        }
        match self.server.user {
            User::Ourselves(_) | User::RootOfNamespace => capabilities.set(
                Feature::Unprivileged,
                Support::Partly("the job is the user we are: files cannot be given to another".to_owned()),
            ),
            User::Given(_) | User::Kept(_) => {}
        }
        capabilities
    }

    fn probe(&self) -> BoxFuture<'_, Result<Facts, NoEngine>> {
        Box::pin(async move {
            self.prove().await?;
            let mut notes = Vec::new();
            if let User::Ourselves(user) = self.server.user {
                notes.push(format!(
                    "the daemon is root's and we are not: jobs run as user {user}, which is ours, or they could \
                     not use the files"
                ));
            }
            if self.server.user == User::RootOfNamespace {
                notes.push("jobs are user 0 of the daemon's user namespace, without capabilities".to_owned());
            }
            Ok(Facts {
                engine: self.name().to_owned(),
                version: self.server.version.clone(),
                address: Some(format!("unix://{}", self.server.socket.display())),
                rootless: self.server.rootless,
                cgroups: self.server.cgroups,
                seccomp: self.server.seccomp,
                notes,
            })
        })
    }
}
