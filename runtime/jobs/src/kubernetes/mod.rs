//! The engine of a Kubernetes cluster: a `Job` of one pod per run, and no mount of any host.
//!
//! ```text
//! this process ── the cluster's interface: create, watch, delete ──────────────> cluster
//!   │  ── attach: an archive of our program and of the job's files ──> container `carry`, before the others: tar
//!   │                                                                         v a folder of the pod
//!   └── exec: order, output, end, archive of what is left ──> container `bridge` ── socket ── container `job`:
//!   │                                                          our own program       process 1, our own ── command
//!   └── a second exec, of a job with network: its connections to our proxy ──> the same container
//! ```
//!
//! A cluster is trusted no further than a daemon is (see [`crate::docker`]): process 1 of the job is ours, sets what the
//! cluster's interface has no word for (processes, files, the filter), and looks at the rest before the command starts.
#![expect(
    clippy::disallowed_methods,
    reason = "owns its state folder, its job's folders, and its containers' entries of /proc"
)]

mod archive;
mod bridge;
mod cluster;
mod first;
mod network;
mod pack;
mod pod;
mod reap;
mod run;
mod spec;
mod tunnel;
mod wire;

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use gloaming_api::RelPath;
use gloaming_api::job::JobExit;
use gloaming_policies::JobPermit;

use crate::docker::program::{OURS, Program};
use crate::docker::{Holder, program};
use crate::engine::{Ended, proved, to_its_end};
use crate::request::{Run, request};
use crate::secrets::Given;
use crate::{
    BoxFuture, Cancel, Capabilities, Cluster, Engine, Environment, Facts, Feature, Image, ImageError, Job,
    JobError, JobOutput, NoEngine, Proxy, Support, Vault,
};
use cluster::Connected;
use spec::Filter;

/// Where the pod's files are in the containers that are ours.
const FILES: &str = "/files";
/// Where our program is, below them.
const PROGRAM: &str = "program";
/// The pipe that opens when the job's first process is listened to.
const READY: &str = "/.gloaming/ready";
/// Processes of the job's user in the other container: the holder, and the bridge. A job with network has one more.
const BESIDE: u64 = 2;

/// The arguments that make a helper the job's first process, the holder of a pod, the bridge, or what carries a job's
/// connections.
const FIRST: &str = "pod-first";
const HOLD: &str = "pod-hold";
const SPEAK: &str = "pod-speak";
const CARRY: &str = "pod-carry";

/// Becomes one of the processes of a pod, when the argument names one.
pub(crate) fn enter(argument: &std::ffi::OsStr) {
    let result = match argument.to_str() {
        Some(FIRST) => first::serve(),
        Some(HOLD) => bridge::hold(),
        Some(SPEAK) => bridge::speak(),
        Some(CARRY) => tunnel::carry(),
        _ => return,
    };
    let code = match result {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "gloaming: {}: {error}", argument.display());
            70
        }
    };
    std::process::exit(code)
}

/// What an engine is made of.
#[derive(Debug, Clone)]
pub struct KubernetesOptions {
    /// The command that re-enters [`crate::helper_main`]: this very program's file and its hidden subcommand.
    pub helper: Vec<OsString>,
    /// What jobs see: an image.
    pub environment: Environment,
    /// A folder for archives on their way, made private when it does not exist.
    pub state_dir: PathBuf,
    /// Which cluster.
    pub cluster: Cluster,
    /// Whose jobs they are.
    pub holder: Holder,
}

/// Runs each job in a pod of a cluster.
#[derive(Debug, Clone)]
pub struct Kubernetes {
    connected: Connected,
    filter: Filter,
    helper: Vec<OsString>,
    environment: Environment,
    state_dir: PathBuf,
    holder: Holder,
    vault: Vault,
}

impl Kubernetes {
    /// Returns an engine of a cluster.
    ///
    /// # Errors
    /// Why no cluster answers, or why its jobs cannot see what they are to see.
    pub async fn connect(options: KubernetesOptions) -> Result<Self, NoEngine> {
        let KubernetesOptions { helper, environment, state_dir, cluster, holder } = options;
        if environment.image().is_none() {
            return Err(needs_an_image());
        }
        let filter = Filter::parse(cluster.filter.as_deref())?;
        let connected = Connected::to(&cluster).await?;
        Ok(Self { connected, filter, helper, environment, state_dir, holder, vault: Vault::default() })
    }

    /// Hands jobs those of the secrets that their permits name.
    #[must_use]
    pub fn with_secrets(self, vault: Vault) -> Self {
        Self { vault, ..self }
    }

    /// Returns the environment that is an image, `name@sha256:...`. Nobody is asked: what the image sets is found out by
    /// the pod's own first process.
    ///
    /// # Errors
    /// A tag, an id, and what is no name of an image.
    pub fn image(reference: &str) -> Result<Environment, ImageError> {
        let wrong = |reason: &str| {
            ImageError {
            reference: reference.to_owned(),
            reason: reason.to_owned(),
            hint: "write name@sha256:<digest>: a cluster's nodes find an image by its name and the digest of its \
                   manifest"
                .to_owned(),
        }
        };
        let image = Image::parse(reference)?
            .ok_or_else(|| wrong("that is a name or a tag, and what it stands for can change"))?;
        if reference.starts_with("sha256:") {
            return Err(wrong("that is an image's id, and has no name"));
        }
        Ok(Environment::of_image(image, &[]))
    }

    /// Removes what dead processes of this machine left at the cluster: jobs that carry our labels. Returns their names.
    ///
    /// # Errors
    /// When the cluster does not list its jobs.
    pub async fn reap(&self) -> Result<Vec<String>, NoEngine> {
        reap::reap(&self.connected).await
    }

    fn make_folder(&self) -> std::io::Result<PathBuf> {
        let folder = self.state_dir.join("kubernetes");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        folder.canonicalize()
    }

    fn program(&self) -> std::io::Result<Program> {
        let (file, arguments) = self
            .helper
            .split_first()
            .ok_or_else(|| std::io::Error::other("no helper command is configured"))?;
        let arguments: Option<Vec<String>> =
            arguments.iter().map(|word| word.to_str().map(str::to_owned)).collect();
        let arguments = arguments.ok_or_else(|| std::io::Error::other("our own path is no text"))?;
        program::own(&Path::new(file).canonicalize()?, &arguments)
    }

    async fn execute(&self, run: &Run<'_>, cancel: &Cancel) -> Result<Ended, JobError> {
        let containers = self.make_folder().map_err(|source| JobError::Io {
            doing: format!("making the folder {}", self.state_dir.display()),
            source,
        })?;
        let mut request = request(run, &self.environment, containers)?;
        let invalid = |reason: String| JobError::Invalid { label: run.label.to_owned(), reason };
        for mount in &request.mounts {
            if Path::new(&mount.container).starts_with(OURS) {
                return Err(invalid(format!("nothing can be mounted at {:?}", mount.container)));
            }
            if mount.writable && !mount.host.is_dir() {
                return Err(invalid(format!(
                    "{} is no folder and could not come back",
                    mount.host.display()
                )));
            }
        }
        // The image's own, which its first process knows, where the job has none.
        if !run.env.contains_key("PATH") {
            request.env.remove("PATH");
        }
        let (engine, label, redactor) = (self.clone(), run.label.to_owned(), run.secrets.redactor.clone());
        let proxy = run.network.map(|(_, proxy)| proxy.clone());
        to_its_end(run.label, cancel, |stop| async move {
            run::run(&engine, request, &redactor, proxy, &label, stop).await
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
            Ok(Ended { exit: JobExit::Code(127), .. }) => Ok(()),
            result => proved(result),
        }
    }
}

/// What is said where the environment is the host's own tools.
pub(crate) fn needs_an_image() -> NoEngine {
    NoEngine {
        reason: "its pods see nothing of this machine, and no image is named for jobs".to_owned(),
        hint: "name one as name@sha256:<digest> (GLOAMING_IMAGE); it needs sh, head and tar".to_owned(),
    }
}

impl Engine for Kubernetes {
    fn name(&self) -> &str {
        "kubernetes"
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
        for (feature, support) in [
            (Feature::HostTools, Support::No("its pods see nothing of this machine".to_owned())),
            (
                Feature::Secrets,
                Support::Partly(
                    "on no disk and not in the cluster's store; whoever may run programs in its pods reads them \
                     there"
                        .to_owned(),
                ),
            ),
            (
                Feature::Scratch,
                Support::Partly(
                    "of folders in memory; a workspace or kept scratch folder that grows by more than 8 GiB ends \
                     the job when the node next looks"
                        .to_owned(),
                ),
            ),
            (
                Feature::NothingLeft,
                Support::Partly(
                    "the pod ends with us; the cluster's record of it goes with our next run on this machine, or \
                     minutes later where the cluster removes finished jobs"
                        .to_owned(),
                ),
            ),
        ] {
            capabilities.set(feature, support);
        }
        capabilities
    }

    fn probe(&self) -> BoxFuture<'_, Result<Facts, NoEngine>> {
        Box::pin(async move {
            let version = self.connected.version().await?;
            self.prove().await?;
            Ok(Facts {
                engine: self.name().to_owned(),
                version,
                address: Some(self.connected.address.clone()),
                rootless: false,
                cgroups: None,
                seccomp: true,
                notes: vec![
                    format!("pods are made in the namespace {:?}", self.connected.namespace),
                    "each job is a user of its own number".to_owned(),
                ],
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_with_a_digest_is_an_image_of_a_cluster() {
        let hex = "a".repeat(64);
        let environment = Kubernetes::image(&format!("registry.example/job@sha256:{hex}")).unwrap();
        assert_eq!(environment.digest().to_string(), format!("sha256:{hex}"));
        for (reference, said) in [
            ("registry.example/job:1".to_owned(), "can change"),
            (format!("sha256:{hex}"), "has no name"),
            ("a b".to_owned(), "not a name"),
        ] {
            let error = Kubernetes::image(&reference).unwrap_err();
            assert!(error.reason.contains(said), "{error}");
        }
    }
}
