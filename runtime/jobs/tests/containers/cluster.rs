//! The cluster that the suite runs on: one of this machine's own (`make kubernetes` makes it), so that what runs in it can
//! be seen from here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use gloaming_jobs::{Cluster, Environment, Holder, Kubernetes, KubernetesOptions, NoEngine};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::support::helper;

fn variable(name: &str) -> Result<OsString, NoEngine> {
    std::env::var_os(name).ok_or_else(|| NoEngine {
        reason: format!("{name} is not set"),
        hint: "`make kubernetes` makes a cluster and sets it".to_owned(),
    })
}

fn text(name: &str) -> String {
    variable(name).expect("it was there before").into_string().expect("it is text")
}

pub(crate) fn namespace() -> String {
    text("GLOAMING_TEST_NAMESPACE")
}

/// The image for jobs: the programs that the suite uses.
pub(crate) fn image() -> String {
    text("GLOAMING_TEST_IMAGE")
}

pub(crate) fn configured() -> Result<Cluster, NoEngine> {
    Ok(Cluster {
        kubeconfig: Some(variable("KUBECONFIG")?),
        namespace: Some(variable("GLOAMING_TEST_NAMESPACE")?.into_string().expect("it is text")),
        ..Cluster::default()
    })
}

pub(crate) fn environment() -> Result<Environment, NoEngine> {
    variable("GLOAMING_TEST_IMAGE")?;
    Ok(Kubernetes::image(&image()).expect("it is named by its digest"))
}

/// This program without what only a debugger reads: it goes into every pod.
pub(crate) fn small_helper() -> Vec<OsString> {
    static SMALL: OnceLock<Option<PathBuf>> = OnceLock::new();
    let mut helper = helper();
    let small = SMALL.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (new, small) = (
            folder.join(format!("engines-{}", std::process::id())),
            folder.join("engines-without-debug-information"),
        );
        let done = Command::new("strip").arg("-o").args([&new, Path::new(&helper[0])]).status();
        (done.is_ok_and(|status| status.success()) && std::fs::rename(new, &small).is_ok()).then_some(small)
    });
    if let Some(small) = small {
        helper[0] = small.clone().into_os_string();
    }
    helper
}

pub(crate) async fn engine(
    environment: Environment,
    state: &Path,
    task: &str,
) -> Result<Kubernetes, NoEngine> {
    Kubernetes::connect(KubernetesOptions {
        helper: small_helper(),
        environment,
        state_dir: state.to_owned(),
        cluster: configured()?,
        holder: Holder { task: task.to_owned(), attempt: 1 },
    })
    .await
}

/// A client of our own, to look at what an engine does.
pub(crate) async fn client() -> Client {
    let file = variable("KUBECONFIG").expect("it was there before");
    let config =
        Config::from_custom_kubeconfig(Kubeconfig::read_from(file).unwrap(), &KubeConfigOptions::default())
            .await
            .unwrap();
    Client::try_from(config).unwrap()
}

async fn pods_of(task: &str) -> Vec<Pod> {
    let pods: Api<Pod> = Api::namespaced(client().await, &namespace());
    let ours = ListParams::default().labels("dev.gloaming.owner");
    let listed = pods.list(&ours).await.expect("the cluster lists its pods").items;
    let of_task = |pod: &Pod| {
        let marks = pod.metadata.annotations.as_ref();
        marks.is_some_and(|marks| marks.get("dev.gloaming.task").is_some_and(|of| of == task))
    };
    listed.into_iter().filter(of_task).collect()
}

/// The names of the jobs and pods that carry a task.
pub(crate) async fn pods(task: &str) -> Vec<String> {
    let mut names: Vec<String> =
        pods_of(task).await.into_iter().filter_map(|pod| pod.metadata.name).collect();
    let jobs: Api<Job> = Api::namespaced(client().await, &namespace());
    let listed = jobs.list(&ListParams::default()).await.expect("the cluster lists its jobs").items;
    names.extend(listed.into_iter().filter_map(|job| {
        let of = job.metadata.annotations?.get("dev.gloaming.task")? == task;
        job.metadata.name.filter(|_| of)
    }));
    names
}

/// What is written on a pod.
pub(crate) struct Marks {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What is written on a task's pod.
pub(crate) async fn marks(task: &str) -> Marks {
    let pod = pods_of(task).await.into_iter().next().expect("it has one");
    let mut labels = pod.metadata.labels.unwrap_or_default();
    labels.retain(|name, _| name.starts_with("dev.gloaming."));
    Marks { labels, annotations: pod.metadata.annotations.unwrap_or_default() }
}

/// All that the cluster says of a task's jobs and pods.
pub(crate) async fn told(task: &str) -> String {
    let jobs: Api<Job> = Api::namespaced(client().await, &namespace());
    let listed = jobs.list(&ListParams::default()).await.expect("the cluster lists its jobs").items;
    serde_json::to_string(&(listed, pods_of(task).await)).expect("it is data")
}

/// Where the cluster keeps what it is told.
pub(crate) fn store() -> PathBuf {
    PathBuf::from(text("GLOAMING_TEST_KUBELET")).with_file_name("etcd")
}

/// Where this machine's kubelet keeps the workspace of a task's pod.
pub(crate) async fn workspace(task: &str) -> Option<PathBuf> {
    let uid = pods_of(task).await.into_iter().next()?.metadata.uid?;
    let kubelet = PathBuf::from(text("GLOAMING_TEST_KUBELET"));
    Some(kubelet.join("pods").join(uid).join("volumes/kubernetes.io~empty-dir/files/workspace"))
}
