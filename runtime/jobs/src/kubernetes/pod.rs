//! What the cluster says of a job's pod.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::api::{ListParams, LogParams};
use tokio::time::interval;

use super::cluster::{Connected, words};
use super::reap::RUN;
use super::spec::{BRIDGE, CARRY, JOB};

/// How long a cluster may look for a node with room.
const PLACING: Duration = Duration::from_secs(300);
/// How long a node may take to begin, an image included.
const BEGINNING: Duration = Duration::from_secs(900);
/// How long a cluster may take to make a pod of a job.
const MAKING: Duration = Duration::from_secs(60);
/// How long a node may take to tell how a container ended.
const TELLING: u32 = 100;
const LOOK: Duration = Duration::from_millis(100);

/// Why a container waits, where waiting longer changes nothing.
const HOPELESS: [&str; 8] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

/// A job at a cluster.
pub(super) struct Watched<'a> {
    pub(super) connected: &'a Connected,
    pub(super) name: &'a str,
}

impl Watched<'_> {
    /// Returns the pod; none where there is none yet, or none any more.
    pub(super) async fn look(&self) -> kube::Result<Option<Pod>> {
        let ours = ListParams::default().labels(&format!("{RUN}={}", self.name));
        Ok(self.connected.pods().list(&ours).await?.items.into_iter().next())
    }

    pub(super) async fn pod_name(&self) -> Result<String, String> {
        let pod = self.look().await.map_err(|error| words(&error))?;
        pod.and_then(|pod| pod.metadata.name).ok_or_else(|| "it is gone".to_owned())
    }

    /// Says why there is no pod, when there has been none for too long.
    pub(super) async fn no_pod(&self, since: Duration) -> Option<String> {
        if since < MAKING {
            return None;
        }
        let about = ListParams::default().fields(&format!("involvedObject.name={}", self.name));
        let events = self.connected.events().list(&about).await.map(|events| events.items);
        let said: Vec<String> =
            events.unwrap_or_default().into_iter().filter_map(|event| event.message).collect();
        Some(format!("the cluster makes no pod of the job. {}", said.join("; ")))
    }

    /// Returns the end of what the pod's containers printed, which before the command starts is ours.
    pub(super) async fn last_words(&self, pod: &Pod) -> String {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let mut said = String::new();
        for container in [CARRY, JOB, BRIDGE] {
            let parameters = LogParams {
                container: Some(container.to_owned()),
                tail_lines: Some(3),
                limit_bytes: Some(2000),
                ..LogParams::default()
            };
            let logged = self.connected.pods().logs(&name, &parameters).await.unwrap_or_default();
            if !logged.trim().is_empty() {
                said.push_str(&format!(" ({container}: {})", logged.trim().replace('\n', " / ")));
            }
        }
        said
    }

    /// Whether the job's first process was killed for want of memory.
    pub(super) async fn ran_out_of_memory(&self) -> bool {
        let mut looks = interval(LOOK);
        for _ in 0..TELLING {
            looks.tick().await;
            let Ok(Some(pod)) = self.look().await else { return false };
            if let Some(ended) = Look(&pod).state(JOB).and_then(|state| state.terminated.as_ref()) {
                return ended.reason.as_deref() == Some("OOMKilled");
            }
        }
        false
    }
}

/// A pod, looked at.
pub(super) struct Look<'a>(pub(super) &'a Pod);

impl Look<'_> {
    fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        let status = self.0.status.as_ref();
        let first = status.and_then(|status| status.init_container_statuses.as_ref());
        let then = status.and_then(|status| status.container_statuses.as_ref());
        first.into_iter().chain(then).flatten()
    }

    fn state(&self, container: &str) -> Option<&ContainerState> {
        self.containers().find(|status| status.name == container)?.state.as_ref()
    }

    pub(super) fn is_running(&self, container: &str) -> bool {
        self.state(container).is_some_and(|state| state.running.is_some())
    }

    pub(super) fn has_ended(&self, container: &str) -> bool {
        self.state(container).is_some_and(|state| state.terminated.is_some())
    }

    pub(super) fn has_ended_well(&self, container: &str) -> bool {
        self.state(container)
            .and_then(|state| state.terminated.as_ref())
            .is_some_and(|ended| ended.exit_code == 0)
    }

    /// Says why the pod will not do what it is waited for.
    pub(super) fn trouble(&self, since: Duration) -> Option<String> {
        if let Some(reason) = self.taken_away() {
            return Some(reason);
        }
        for status in self.containers() {
            let Some(state) = &status.state else { continue };
            let waiting = state.waiting.as_ref();
            if let Some((waiting, reason)) =
                waiting.and_then(|waiting| Some((waiting, waiting.reason.as_deref()?)))
                && HOPELESS.contains(&reason)
            {
                let message = waiting.message.clone().unwrap_or_default();
                return Some(format!("its container {} does not start: {reason}: {message}", status.name));
            }
            if let Some(ended) = &state.terminated
                && (status.name != CARRY || ended.exit_code != 0)
            {
                let why = ended.reason.clone().unwrap_or_default();
                let message = ended.message.clone().unwrap_or_default();
                return Some(format!(
                    "its container {} ended with {} {why} {message}",
                    status.name, ended.exit_code
                ));
            }
        }
        if let Some(message) = self.has_no_place()
            && since > PLACING
        {
            return Some(format!("no node of the cluster takes it: {message}"));
        }
        (since > BEGINNING).then(|| "its pod does not start".to_owned())
    }

    /// Says why the cluster has ended the pod.
    pub(super) fn taken_away(&self) -> Option<String> {
        let status = self.0.status.as_ref()?;
        let reason = status.reason.as_deref().filter(|_| status.phase.as_deref() == Some("Failed"))?;
        let message = status.message.as_deref().unwrap_or_default();
        Some(format!("the cluster has ended its pod: {reason}: {message}"))
    }

    fn has_no_place(&self) -> Option<String> {
        let conditions = self.0.status.as_ref()?.conditions.as_ref()?;
        let placed = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
        (placed.status == "False").then(|| placed.message.clone().unwrap_or_default())
    }

    /// Returns what a person can do about what is wrong.
    pub(super) fn hint(&self) -> &'static str {
        let why = |wanted: &str| {
            self.containers().any(|status| {
                let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
                waiting.and_then(|waiting| waiting.reason.as_deref()).is_some_and(|why| why.contains(wanted))
            })
        };
        if why("Image") {
            "the nodes have to have the image, or to be able to fetch it by its digest"
        } else if self.has_no_place().is_some() {
            "give the cluster room, or lower the limits of the policy"
        } else {
            ""
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({ "status": status })).unwrap()
    }

    #[test]
    fn what_will_never_be_is_told_from_what_takes_its_time() {
        let carry = |state: Value| {
            pod(json!({"phase": "Pending", "initContainerStatuses": [
                {"name": "carry", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state},
            ]}))
        };
        let soon = Duration::from_secs(1);
        for state in [
            json!({"waiting": {"reason": "PodInitializing"}}),
            json!({"running": {}}),
            json!({"terminated": {"exitCode": 0}}),
        ] {
            assert_eq!(Look(&carry(state)).trouble(soon), None);
        }
        assert!(Look(&carry(json!({"running": {}}))).is_running("carry"));
        assert!(Look(&carry(json!({"terminated": {"exitCode": 0}}))).has_ended_well("carry"));
        let pulled = carry(json!({"waiting": {"reason": "ErrImagePull", "message": "no such host"}}));
        assert!(Look(&pulled).trouble(soon).unwrap().contains("ErrImagePull: no such host"));
        assert!(Look(&pulled).hint().contains("fetch it by its digest"));
        let failed = carry(json!({"terminated": {"exitCode": 2, "reason": "Error"}}));
        assert!(Look(&failed).trouble(soon).unwrap().contains("carry ended with 2 Error"));
        let evicted = pod(json!({"phase": "Failed", "reason": "Evicted", "message": "disk"}));
        assert!(Look(&evicted).trouble(soon).unwrap().contains("Evicted: disk"));
        let placed = json!([{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]);
        let placed = pod(json!({"phase": "Pending", "conditions": placed}));
        assert_eq!(Look(&placed).trouble(soon), None);
        assert!(Look(&placed).trouble(PLACING * 2).unwrap().contains("0/1 nodes"));
    }
}
