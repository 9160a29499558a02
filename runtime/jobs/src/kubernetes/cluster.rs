//! Which cluster, and how it is spoken to.

use std::path::PathBuf;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::{Cluster, NoEngine};

const HINT: &str = "name a kubeconfig (KUBECONFIG) whose user may create, get, list and delete jobs, get, list and \
    delete pods, and create and get pods/exec and pods/attach in the namespace (docs/engines.md)";

/// A cluster that is known.
#[derive(Clone)]
pub(super) struct Connected {
    client: Client,
    pub(super) namespace: String,
    pub(super) address: String,
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.namespace, self.address)
    }
}

impl Connected {
    /// Reads what the configuration says of a cluster; it is asked nothing yet.
    ///
    /// # Errors
    /// When none is configured, or in words that make no sense.
    pub(super) async fn to(cluster: &Cluster) -> Result<Self, NoEngine> {
        let failed = |reason: String| NoEngine { reason, hint: HINT.to_owned() };
        let config = match &cluster.kubeconfig {
            Some(files) => {
                let mut merged = Kubeconfig::default();
                for file in std::env::split_paths(files).filter(|file| *file != PathBuf::new()) {
                    let read = Kubeconfig::read_from(&file)
                        .map_err(|error| failed(format!("{}: {error}", file.display())))?;
                    merged =
                        merged.merge(read).map_err(|error| failed(format!("{}: {error}", file.display())))?;
                }
                let options =
                    KubeConfigOptions { context: cluster.context.clone(), ..KubeConfigOptions::default() };
                Config::from_custom_kubeconfig(merged, &options)
                    .await
                    .map_err(|error| failed(format!("the kubeconfig: {error}")))?
            }
            None if cluster.inside => Config::incluster()
                .map_err(|error| failed(format!("this pod's own account cannot be used: {error}")))?,
            None => return Err(failed("no cluster is configured".to_owned())),
        };
        let namespace = cluster.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let address = config.cluster_url.to_string();
        let client =
            Client::try_from(config).map_err(|error| failed(format!("the cluster's address: {error}")))?;
        Ok(Self { client, namespace, address })
    }

    /// Asks the cluster for its version.
    pub(super) async fn version(&self) -> Result<String, NoEngine> {
        self.client
            .apiserver_version()
            .await
            .map(|info| info.git_version)
            .map_err(|error| self.does_not_answer(&error))
    }

    pub(super) fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn events(&self) -> Api<Event> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Says that the cluster cannot be used.
    pub(super) fn does_not_answer(&self, error: &kube::Error) -> NoEngine {
        NoEngine {
            reason: format!("the cluster at {} does not do what it is asked: {}", self.address, words(error)),
            hint: HINT.to_owned(),
        }
    }
}

/// Returns an error with its causes, in one line.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
}
