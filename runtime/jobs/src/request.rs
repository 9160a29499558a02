//! What is asked of an engine: a job or a probe, checked, and said as an engine takes it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use gloaming_api::RelPath;
use gloaming_api::job::JobLimits;
use gloaming_api::path::WORKSPACE_MOUNT;
use gloaming_policies::JobPermit;

use crate::embedded::protocol::{Request, Secrets};
use crate::secrets::Given;
use crate::{Egress, Environment, Job, JobError, Mount, PROXY_PORT, Proxy, dependencies, network_env};

/// What is run, whoever permitted it.
pub(crate) struct Run<'a> {
    pub(crate) argv: &'a [String],
    pub(crate) cwd: &'a RelPath,
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) workspace: &'a Path,
    pub(crate) scratch: Option<&'a Path>,
    pub(crate) mounts: &'a [Mount],
    pub(crate) label: &'a str,
    pub(crate) limits: JobLimits,
    pub(crate) secrets: &'a Given,
    /// The proxy by which the job reaches what it may; none for a job without network.
    pub(crate) network: Option<(&'a Egress, &'a Proxy)>,
}

impl<'a> Run<'a> {
    /// Returns a job that was permitted, with the secrets that its permit names and the proxy it is to have.
    pub(crate) fn of(job: &'a Job, permit: &JobPermit, secrets: &'a Given, proxy: Option<&'a Proxy>) -> Self {
        Self {
            argv: &job.argv,
            cwd: &job.cwd,
            env: &job.env,
            workspace: &job.workspace,
            scratch: job.scratch.as_deref(),
            mounts: &job.mounts,
            label: &job.label,
            limits: permit.limits(),
            secrets,
            network: job.egress.as_ref().zip(proxy),
        }
    }

    /// Returns what every engine's probe runs: a program that does nothing, with all that a real job gets.
    pub(crate) fn probe(
        workspace: &'a Path,
        argv: &'a [String],
        cwd: &'a RelPath,
        secrets: &'a Given,
    ) -> Self {
        static NOTHING: BTreeMap<String, String> = BTreeMap::new();
        Self {
            argv,
            cwd,
            env: &NOTHING,
            workspace,
            scratch: None,
            mounts: &[],
            label: "probe",
            limits: JobLimits {
                memory: 128 << 20,
                cpus: 1.0,
                processes: 16,
                wall_s: 20,
                output: 64 << 10,
                scratch: 1 << 20,
            },
            secrets,
            network: None,
        }
    }
}

/// Checks what is asked for, and says it as an engine takes it: paths resolved, the environment whole.
pub(crate) fn request(
    run: &Run<'_>,
    environment: &Environment,
    containers: PathBuf,
) -> Result<Request, JobError> {
    let invalid = |reason: String| JobError::Invalid { label: run.label.to_owned(), reason };
    let program = run.argv.first().filter(|program| !program.is_empty());
    if program.is_none() {
        return Err(invalid("the command is empty".to_owned()));
    }
    if run.argv.iter().any(|word| word.contains('\0')) {
        return Err(invalid("the command holds a NUL byte".to_owned()));
    }
    let mut env = environment.env().clone();
    if let Some((egress, _)) = run.network {
        network_env(&mut env, egress, PROXY_PORT);
    }
    for (name, value) in run.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(invalid(format!("the variable {name:?} cannot be set")));
        }
        env.insert(name.clone(), value.clone());
    }
    // Tools count the machine's processors, not the share a job gets of them.
    let processors = (run.limits.cpus.ceil() as u64).max(1).to_string();
    for name in ["CARGO_BUILD_JOBS", "GOMAXPROCS"] {
        env.entry(name.to_owned()).or_insert_with(|| processors.clone());
    }
    let folder = |path: &Path, what: &str| {
        let real = path.canonicalize().map_err(|source| JobError::Io {
            doing: format!("finding the {what} {} of job {:?}", path.display(), run.label),
            source,
        })?;
        if !real.is_dir() || real.to_str().is_none() || real.parent().is_none() {
            return Err(invalid(format!("the {what} {} cannot be mounted", real.display())));
        }
        Ok(real)
    };
    let (mut mounts, mut prepare) = (environment.mounts.clone(), environment.scratch.clone());
    let own = run.mounts.iter().map(check_mount).collect::<Result<Vec<_>, _>>().map_err(invalid)?;
    dependencies::add(own, &mut mounts, &mut env, &mut prepare);
    Ok(Request {
        id: container_name(run.label),
        containers,
        argv: run.argv.to_vec(),
        cwd: if run.cwd.is_root() {
            WORKSPACE_MOUNT.to_owned()
        } else {
            format!("{WORKSPACE_MOUNT}/{}", run.cwd.as_str())
        },
        env,
        workspace: folder(run.workspace, "workspace")?,
        scratch: run.scratch.map(|path| folder(path, "scratch folder")).transpose()?,
        mounts,
        root: environment.root.clone(),
        prepare,
        proxy_port: run.network.map(|_| PROXY_PORT),
        limits: run.limits,
        secrets: Secrets(run.secrets.exposed()),
    })
}

fn check_mount(mount: &Mount) -> Result<Mount, String> {
    let host = mount
        .host
        .canonicalize()
        .map_err(|error| format!("the mount {} cannot be found: {error}", mount.host.display()))?;
    let parts: Vec<&str> = mount.container.split('/').collect();
    let normal = parts.first() == Some(&"")
        && parts.len() > 1
        && parts[1..].iter().all(|part| !matches!(*part, "" | "." | ".."));
    let ours = ["proc", "sys", "dev"].contains(parts.get(1).unwrap_or(&""));
    if !normal || ours || mount.container.contains('\0') {
        return Err(format!("nothing can be mounted at {:?}", mount.container));
    }
    if host.parent().is_none() || host.to_str().is_none() {
        return Err(format!("{} cannot be mounted", host.display()));
    }
    Ok(Mount { host, ..mount.clone() })
}

/// Returns a name that no other container of this machine has: the label, our process, a number.
pub(crate) fn container_name(label: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let label: String = label
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(30)
        .collect();
    // Process ids repeat, over time and between PID namespaces that share control groups.
    let random = RandomState::new().build_hasher().finish();
    format!("{label}-{}-{}-{random:016x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
