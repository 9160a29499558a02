//! Which engine: the one that configuration names, else the first that works.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Capabilities, Docker, DockerOptions, Embedded, Engine, Environment, Facts, Holder, HostFacts, NoEngine,
    Vault,
};

/// A kind of engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// Without a daemon.
    Embedded,
    /// Docker, or what listens in its place.
    Docker,
    /// Podman's service.
    Podman,
    /// A cluster of Kubernetes.
    Kubernetes,
}

impl EngineKind {
    /// Every kind, in the order a person would read them.
    pub const ALL: [Self; 4] = [Self::Embedded, Self::Docker, Self::Podman, Self::Kubernetes];

    /// Those of this machine, in the order they are tried where none is configured: nobody's jobs go to a cluster
    /// because a kubeconfig lies about.
    pub const TRIED: [Self; 3] = [Self::Embedded, Self::Docker, Self::Podman];

    /// Returns the kind as it is written in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Kubernetes => "kubernetes",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            format!("{text:?} is no container engine: want embedded, docker, podman or kubernetes")
        })
    }
}

/// Where daemons may listen. The environment's variables are handed in as values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sockets {
    /// What configuration says, `unix:///path` or a path; then no other is tried.
    pub configured: Option<String>,
    /// `DOCKER_HOST`.
    pub docker_host: Option<String>,
    /// `CONTAINER_HOST`, podman's.
    pub container_host: Option<String>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
}

impl Sockets {
    /// Returns the sockets of one kind of daemon, in the order they are tried.
    ///
    /// # Errors
    /// An address that is not a socket of this machine.
    fn of(&self, kind: EngineKind) -> Result<Vec<PathBuf>, NoEngine> {
        let named = match kind {
            EngineKind::Embedded | EngineKind::Kubernetes => return Ok(Vec::new()),
            _ if self.configured.is_some() => ("the configured address", &self.configured),
            EngineKind::Docker => ("DOCKER_HOST", &self.docker_host),
            EngineKind::Podman => ("CONTAINER_HOST", &self.container_host),
        };
        if let (what, Some(address)) = named {
            return Ok(vec![socket(what, address)?]);
        }
        let in_runtime = |name: &str| self.runtime_dir.as_ref().map(|folder| folder.join(name));
        Ok(match kind {
            // The system's first: a rootless one cannot mount what is root's.
            EngineKind::Docker => [
                Some("/run/docker.sock".into()),
                Some("/var/run/docker.sock".into()),
                in_runtime("docker.sock"),
            ]
            .into_iter()
            .flatten()
            .collect(),
            // The user's own first: it needs no rights that the user has not.
            _ => in_runtime("podman/podman.sock")
                .into_iter()
                .chain(["/run/podman/podman.sock".into()])
                .collect(),
        })
    }
}

fn socket(what: &str, address: &str) -> Result<PathBuf, NoEngine> {
    let path = address.strip_prefix("unix://").unwrap_or(address);
    if path.starts_with('/') {
        return Ok(path.into());
    }
    Err(NoEngine {
        reason: format!("{what}, {address:?}, is not a socket of this machine"),
        hint: "a job's files are mounted, so the daemon has to be on this machine: unix:///path/to/the.sock"
            .to_owned(),
    })
}

/// Which cluster the engine `kubernetes` speaks to. The environment's variables are handed in as values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// `KUBECONFIG`: one file, or several with colons between them.
    pub kubeconfig: Option<OsString>,
    /// The context of it; none for its current one.
    pub context: Option<String>,
    /// The namespace for pods; none for the context's own.
    pub namespace: Option<String>,
    /// The system call filter that the cluster puts on jobs, under our own: `runtime-default`, which is what none stands
    /// for, `localhost/NAME` or `unconfined`.
    pub filter: Option<String>,
    /// Whether this process is in a pod itself, and without a kubeconfig means the cluster it is in.
    pub inside: bool,
}

/// What jobs are to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The host's own tools, read-only.
    Host(HostFacts),
    /// An image by digest, `name@sha256:...` or `sha256:...`, that a daemon has.
    Image(String),
}

/// What engines are chosen and made by.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The engine to use and no other; none for the first that works.
    pub engine: Option<EngineKind>,
    /// The command that re-enters [`crate::helper_main`]: this very program's file and its hidden subcommand.
    pub helper: Vec<OsString>,
    /// A folder for containers' state, made private when it does not exist.
    pub state_dir: PathBuf,
    /// What jobs see.
    pub environment: Wanted,
    /// Where daemons may listen.
    pub sockets: Sockets,
    /// Which cluster.
    pub cluster: Cluster,
    /// Whose jobs they are; written on containers.
    pub holder: Holder,
    /// What jobs may be handed, each what its permit names.
    pub secrets: Vault,
}

/// The engine that jobs are run with.
#[derive(Clone)]
pub struct Chosen {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// What its jobs see.
    pub environment: Environment,
    /// What its probe found out.
    pub facts: Facts,
    /// Why it is this one, for people.
    pub why: String,
    /// What was tried before and did not work.
    pub tried: Vec<Tried>,
}

/// An engine that does not work here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Which.
    pub engine: EngineKind,
    /// Why not, and what can be done.
    pub error: NoEngine,
}

/// One engine with what is known of it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Which.
    pub engine: EngineKind,
    /// What its probe found out and what it can hold a job to, or why it does not work.
    pub result: Result<(Facts, Capabilities), NoEngine>,
}

/// Makes engines from configuration.
#[derive(Debug)]
pub struct Engines;

impl Engines {
    /// Returns the configured engine, or the first of [`EngineKind::TRIED`] whose probe runs a container.
    ///
    /// # Errors
    /// When the configured one does not work, or none does: every reason, each with its hint.
    pub async fn choose(config: &EngineConfig) -> Result<Chosen, NoEngine> {
        let kinds = config.engine.map_or(EngineKind::TRIED.to_vec(), |kind| vec![kind]);
        let mut tried = Vec::new();
        for kind in kinds {
            match Self::open(config, kind).await {
                Ok((engine, environment, facts)) => {
                    let why = match (config.engine, tried.is_empty()) {
                        (Some(_), _) => "it is the configured one".to_owned(),
                        (None, true) => "it works, and needs no daemon".to_owned(),
                        (None, false) => format!("it works; not {}", said(&tried, false)),
                    };
                    return Ok(Chosen { engine, environment, facts, why, tried });
                }
                Err(error) if config.engine.is_some() => return Err(error),
                Err(error) => tried.push(Tried { engine: kind, error }),
            }
        }
        Err(NoEngine { reason: said(&tried, false), hint: said(&tried, true) })
    }

    /// Returns every kind with what its probe found out.
    pub async fn survey(config: &EngineConfig) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for kind in EngineKind::ALL {
            // Everything else that is tried is this machine's.
            if kind == EngineKind::Kubernetes && config.engine != Some(kind) && cfg!(feature = "kubernetes") {
                let error = NoEngine {
                    reason: "no pod is made at a cluster that is not asked for by name".to_owned(),
                    hint: "GLOAMING_ENGINE=kubernetes, with KUBECONFIG, GLOAMING_ENGINE_NAMESPACE and GLOAMING_IMAGE \
                           (docs/engines.md)"
                        .to_owned(),
                };
                candidates.push(Candidate { engine: kind, result: Err(error) });
                continue;
            }
            let result =
                Self::open(config, kind).await.map(|(engine, _, facts)| (facts, engine.capabilities()));
            candidates.push(Candidate { engine: kind, result });
        }
        candidates
    }

    async fn open(
        config: &EngineConfig,
        kind: EngineKind,
    ) -> Result<(Arc<dyn Engine>, Environment, Facts), NoEngine> {
        if kind == EngineKind::Embedded {
            let environment = match &config.environment {
                Wanted::Host(facts) => Environment::detect(facts),
                Wanted::Image(reference) => return Err(NoEngine {
                    reason: format!(
                        "the environment is the image {reference:?}, and this engine cannot unpack images"
                    ),
                    hint:
                        "choose the engine docker or podman, or let the host's own tools be the environment"
                            .to_owned(),
                }),
            };
            let engine = Embedded::new(config.helper.clone(), environment.clone(), config.state_dir.clone())
                .with_secrets(config.secrets.clone());
            told_of_the_dead(crate::reap(&config.state_dir));
            let facts = engine.probe().await?;
            return Ok((Arc::new(engine), environment, facts));
        }
        if kind == EngineKind::Kubernetes {
            return Self::open_cluster(config).await;
        }
        let mut tried = Vec::new();
        for socket in config.sockets.of(kind)? {
            let opened = match Self::connect(config, socket).await {
                Ok((engine, environment)) => engine.probe().await.map(|facts| (engine, environment, facts)),
                Err(error) => Err(error),
            };
            match opened {
                Ok((engine, environment, facts)) => return Ok((Arc::new(engine), environment, facts)),
                Err(error) => tried.push(error),
            }
        }
        // One that is there and does not work says more than those that are not there.
        let best =
            tried.iter().position(|error| !error.reason.starts_with("there is no socket")).unwrap_or(0);
        Err(tried.into_iter().nth(best).unwrap_or(NoEngine {
            reason: format!("no socket of {kind} is known"),
            hint: "name one as unix:///path".to_owned(),
        }))
    }

    #[cfg(feature = "kubernetes")]
    async fn open_cluster(config: &EngineConfig) -> Result<(Arc<dyn Engine>, Environment, Facts), NoEngine> {
        let Wanted::Image(reference) = &config.environment else {
            return Err(crate::kubernetes::needs_an_image());
        };
        let environment = crate::Kubernetes::image(reference)
            .map_err(|error| NoEngine { reason: error.to_string(), hint: error.hint })?;
        let engine = crate::Kubernetes::connect(crate::KubernetesOptions {
            helper: config.helper.clone(),
            environment: environment.clone(),
            state_dir: config.state_dir.clone(),
            cluster: config.cluster.clone(),
            holder: config.holder.clone(),
        })
        .await?
        .with_secrets(config.secrets.clone());
        told_of_the_dead(engine.reap().await);
        let facts = engine.probe().await?;
        Ok((Arc::new(engine), environment, facts))
    }

    #[cfg(not(feature = "kubernetes"))]
    async fn open_cluster(_config: &EngineConfig) -> Result<(Arc<dyn Engine>, Environment, Facts), NoEngine> {
        Err(NoEngine {
            reason: "this program was built without it".to_owned(),
            hint: "build it with `cargo build --release --features kubernetes`".to_owned(),
        })
    }

    async fn connect(config: &EngineConfig, socket: PathBuf) -> Result<(Docker, Environment), NoEngine> {
        let environment = match &config.environment {
            Wanted::Host(facts) => Environment::detect(facts),
            Wanted::Image(reference) => Docker::image(&socket, reference)
                .await
                .map_err(|error| NoEngine { reason: error.to_string(), hint: error.hint })?,
        };
        let engine = Docker::connect(DockerOptions {
            helper: config.helper.clone(),
            environment: environment.clone(),
            state_dir: config.state_dir.clone(),
            socket,
            holder: config.holder.clone(),
        })
        .await?
        .with_secrets(config.secrets.clone());
        told_of_the_dead(engine.reap().await);
        Ok((engine, environment))
    }
}

/// Tells what a killed run of ours had left; what belongs to living processes was left alone.
fn told_of_the_dead<E: std::fmt::Display>(reaped: Result<Vec<String>, E>) {
    match reaped {
        Ok(left) if !left.is_empty() => {
            tracing::warn!(containers = left.len(), "removed containers that a killed run left");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "could not look for containers that a killed run left"),
    }
}

fn said(tried: &[Tried], hints: bool) -> String {
    let parts: Vec<String> = tried
        .iter()
        .map(|Tried { engine, error }| (engine, if hints { &error.hint } else { &error.reason }))
        .filter(|(_, text)| !text.is_empty())
        .map(|(engine, text)| format!("{engine}: {text}"))
        .collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_tried_in_a_stated_order() {
        let paths = |sockets: &Sockets, kind| {
            sockets.of(kind).map(|paths| {
                paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
            })
        };
        let none = Sockets::default();
        assert_eq!(paths(&none, EngineKind::Docker).unwrap(), "/run/docker.sock /var/run/docker.sock");
        assert_eq!(paths(&none, EngineKind::Podman).unwrap(), "/run/podman/podman.sock");
        let user = Sockets { runtime_dir: Some("/run/user/7".into()), ..none.clone() };
        assert_eq!(
            paths(&user, EngineKind::Docker).unwrap(),
            "/run/docker.sock /var/run/docker.sock /run/user/7/docker.sock"
        );
        assert_eq!(
            paths(&user, EngineKind::Podman).unwrap(),
            "/run/user/7/podman/podman.sock /run/podman/podman.sock"
        );
        let variables = Sockets {
            docker_host: Some("unix:///a.sock".to_owned()),
            container_host: Some("unix:///b.sock".to_owned()),
            ..user
        };
        assert_eq!(paths(&variables, EngineKind::Docker).unwrap(), "/a.sock");
        assert_eq!(paths(&variables, EngineKind::Podman).unwrap(), "/b.sock");
        let configured = Sockets { configured: Some("/c.sock".to_owned()), ..variables };
        assert_eq!(paths(&configured, EngineKind::Docker).unwrap(), "/c.sock");
        assert_eq!(paths(&configured, EngineKind::Podman).unwrap(), "/c.sock");
        let far = Sockets { docker_host: Some("tcp://10.0.0.1:2375".to_owned()), ..none };
        assert!(paths(&far, EngineKind::Docker).unwrap_err().reason.contains("not a socket of this machine"));
    }

    #[test]
    fn an_engine_is_named_in_configuration() {
        for kind in EngineKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!(
            "containerd"
                .parse::<EngineKind>()
                .unwrap_err()
                .contains("want embedded, docker, podman or kubernetes")
        );
    }
}
