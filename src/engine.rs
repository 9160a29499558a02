//! Which container engine jobs run with: the configured one, else the first that works.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use gloaming_api::TaskId;
use gloaming_api::job::JobPurpose;
use gloaming_jobs::{
    Candidate, Capabilities, Cluster, Engine, EngineConfig, EngineKind, Engines, Environment, Facts, Feature,
    Holder, HostFacts, Networked, NoEngine, Sockets, Support, Wanted,
};
use gloaming_policies::{Grant, HOST_SETS};
use serde_json::{Value, json};

use crate::context::{self, Home, JOB_HELPER};
use crate::failure::Failure;

/// The engine and what its jobs see.
pub(crate) struct JobLane {
    /// The engine, or why none works here.
    pub(crate) engine: Result<Arc<dyn Engine>, NoEngine>,
    /// What its jobs see; where no engine works, what those of the embedded one would.
    pub(crate) environment: Environment,
}

/// Finds the engine for jobs under a grant, of a task or of none; `kind` stands before `GLOAMING_ENGINE`. What jobs
/// reach of the network is the grant's to say, and one that the engine cannot hold them to is as if there were none.
pub(crate) async fn open(
    home: &Home,
    grant: &Grant,
    kind: Option<EngineKind>,
    task: Option<&TaskId>,
) -> anyhow::Result<JobLane> {
    let egress = crate::network::egress(home)?;
    let mut config = config(home, kind)?;
    if let Some(task) = task {
        config.holder = Holder { task: task.to_string(), attempt: 1 };
    }
    Ok(match Engines::choose(&config).await {
        Ok(chosen) => {
            tracing::debug!(engine = chosen.engine.name(), why = chosen.why, "container engine");
            let engine = holds(grant, chosen.engine.as_ref())
                .map(|()| Arc::new(Networked::new(chosen.engine, egress)) as Arc<dyn Engine>);
            JobLane { engine, environment: chosen.environment }
        }
        Err(error) => JobLane { engine: Err(error), environment: Environment::detect(&host()) },
    })
}

/// Returns the name of the engine that jobs run with here; none where none works. `kind` stands before `GLOAMING_ENGINE`.
pub(crate) async fn name(home: &Home, kind: Option<EngineKind>) -> anyhow::Result<Option<String>> {
    let chosen = Engines::choose(&config(home, kind)?).await;
    Ok(chosen.ok().map(|chosen| chosen.engine.name().to_owned()))
}

/// Refuses an engine that cannot hold back the hosts that a policy does not name.
fn holds(grant: &Grant, engine: &dyn Engine) -> Result<(), NoEngine> {
    if engine.capabilities().has(Feature::Hosts) {
        return Ok(());
    }
    let reaching = JobPurpose::ALL
        .iter()
        .copied()
        .find(|purpose| grant.permit_job(*purpose).is_ok_and(|permit| permit.has_network()));
    reaching.map_or(Ok(()), |purpose| {
        Err(NoEngine {
            reason: format!(
                "the policy lets {} jobs reach some hosts, and the engine {} cannot hold the others back",
                purpose.as_str(),
                engine.name()
            ),
            hint: "use another engine, or take the hosts out of the policy".to_owned(),
        })
    })
}

fn config(home: &Home, kind: Option<EngineKind>) -> anyhow::Result<EngineConfig> {
    let engine = match (kind, context::variable("GLOAMING_ENGINE")) {
        (Some(kind), _) => Some(kind),
        (None, Some(name)) => {
            let named = name.parse::<EngineKind>();
            Some(named.map_err(|error| Failure::usage(format!("GLOAMING_ENGINE: {error}")))?)
        }
        (None, None) => None,
    };
    let helper: Vec<OsString> = vec![
        std::env::current_exe().context("find this program's own file")?.into_os_string(),
        JOB_HELPER.into(),
    ];
    Ok(EngineConfig {
        engine,
        helper,
        state_dir: home.cache.join("jobs"),
        environment: match context::variable("GLOAMING_IMAGE") {
            Some(image) => Wanted::Image(image),
            None => Wanted::Host(host()),
        },
        sockets: Sockets {
            configured: context::variable("GLOAMING_ENGINE_SOCKET"),
            docker_host: context::variable("DOCKER_HOST"),
            container_host: context::variable("CONTAINER_HOST"),
            runtime_dir: context::variable("XDG_RUNTIME_DIR").map(PathBuf::from),
        },
        cluster: Cluster {
            kubeconfig: context::variable_os("KUBECONFIG"),
            context: context::variable("GLOAMING_ENGINE_CONTEXT"),
            namespace: context::variable("GLOAMING_ENGINE_NAMESPACE"),
            filter: context::variable("GLOAMING_ENGINE_SECCOMP"),
            inside: context::variable("KUBERNETES_SERVICE_HOST").is_some(),
        },
        holder: Holder::default(),
        secrets: crate::secrets::vault(home)?,
    })
}

fn host() -> HostFacts {
    let path = |name: &str| context::variable_os(name).map(PathBuf::from);
    let home_dir = path("HOME");
    HostFacts {
        path: context::variable_os("PATH")
            .map(|all| std::env::split_paths(&all).collect())
            .unwrap_or_default(),
        cargo_home: path("CARGO_HOME").or_else(|| home_dir.as_ref().map(|home| home.join(".cargo"))),
        rustup_home: path("RUSTUP_HOME").or_else(|| home_dir.as_ref().map(|home| home.join(".rustup"))),
        virtual_env: path("VIRTUAL_ENV"),
        home: home_dir,
    }
}

/// What `gloaming jobs doctor` found.
pub(crate) struct Checkup {
    candidates: Vec<Candidate>,
    chosen: Result<(String, String), NoEngine>,
    sees: Vec<String>,
    /// The hosts of each set that policies can name.
    hosts: Vec<(String, Vec<String>)>,
}

/// Tries every engine.
pub(crate) async fn doctor(home: &Home) -> anyhow::Result<Checkup> {
    let config = config(home, None)?;
    let candidates = Engines::survey(&config).await;
    let (chosen, sees) = match Engines::choose(&config).await {
        Ok(chosen) => (Ok((chosen.engine.name().to_owned(), chosen.why)), chosen.environment.describe()),
        Err(error) => (Err(error), Vec::new()),
    };
    let egress = crate::network::egress(home)?;
    let hosts = HOST_SETS.iter().map(|set| ((*set).to_owned(), egress.sets.hosts(set))).collect();
    Ok(Checkup { candidates, chosen, sees, hosts })
}

impl Checkup {
    /// Whether jobs can run here.
    pub(crate) fn works(&self) -> bool {
        self.chosen.is_ok()
    }

    pub(crate) fn to_json(&self) -> Value {
        let engines: Vec<Value> = self
            .candidates
            .iter()
            .map(|candidate| match &candidate.result {
                Ok((facts, capabilities)) => {
                    let can: serde_json::Map<String, Value> = capabilities
                        .iter()
                        .map(|(feature, support)| {
                            (json!(feature).as_str().unwrap_or_default().to_owned(), json!(support))
                        })
                        .collect();
                    json!({"engine": candidate.engine, "works": true, "facts": facts, "capabilities": can})
                }
                Err(error) => json!({
                    "engine": candidate.engine, "works": false, "reason": error.reason, "hint": error.hint,
                }),
            })
            .collect();
        let (engine, why) = match &self.chosen {
            Ok((engine, why)) => (Some(engine), why.clone()),
            Err(error) => (None, error.reason.clone()),
        };
        let hosts: BTreeMap<&String, &Vec<String>> =
            self.hosts.iter().map(|(set, hosts)| (set, hosts)).collect();
        json!({"engine": engine, "why": why, "engines": engines, "environment": self.sees, "hosts": hosts})
    }
}

impl std::fmt::Display for Checkup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for candidate in &self.candidates {
            match &candidate.result {
                Ok((facts, capabilities)) => working(f, candidate.engine, facts, capabilities)?,
                Err(error) => {
                    writeln!(f, "{:<10} does not work: {}", candidate.engine, error.reason)?;
                    if !error.hint.is_empty() {
                        writeln!(f, "           try: {}", error.hint)?;
                    }
                }
            }
            writeln!(f)?;
        }
        match &self.chosen {
            Ok((engine, why)) => writeln!(f, "jobs run with {engine}: {why}")?,
            Err(_) => writeln!(f, "no job can run here, and nothing is ever run without a container")?,
        }
        for line in &self.sees {
            writeln!(f, "  sees {line}")?;
        }
        for (set, hosts) in &self.hosts {
            let hosts = if hosts.is_empty() {
                "nothing; docs/network.md says how to fill it".to_owned()
            } else {
                hosts.join(", ")
            };
            writeln!(f, "where a policy says so, reaches `{set}`: {hosts}")?;
        }
        Ok(())
    }
}

fn working(
    f: &mut std::fmt::Formatter<'_>,
    engine: EngineKind,
    facts: &Facts,
    capabilities: &Capabilities,
) -> std::fmt::Result {
    write!(f, "{engine:<10} works: version {}", facts.version)?;
    write!(f, ", {}", if facts.rootless { "rootless" } else { "as root" })?;
    if let Some(version) = facts.cgroups {
        write!(f, ", control groups v{version}")?;
    }
    if let Some(address) = &facts.address {
        write!(f, ", at {address}")?;
    }
    writeln!(f)?;
    for note in &facts.notes {
        writeln!(f, "           note: {note}")?;
    }
    let mut held = Vec::new();
    for (feature, support) in capabilities.iter() {
        let name = json!(feature).as_str().unwrap_or_default().replace('_', " ");
        match support {
            Support::Yes => held.push(name),
            Support::Partly(how) => writeln!(f, "           partly: {name}: {how}")?,
            Support::No(why) => writeln!(f, "           not: {name}: {why}")?,
        }
    }
    writeln!(f, "           holds: {}", held.join(", "))
}
