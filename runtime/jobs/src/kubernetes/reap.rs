//! Whose a job is, and what becomes of those that nobody holds.

use std::collections::BTreeMap;
use std::io;

use gloaming_api::Digest;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, ListParams};
use serde::{Deserialize, Serialize};

use super::cluster::{Connected, words};
use crate::NoEngine;
use crate::docker::Holder;
use crate::docker::owner::Owner as Process;

/// The label of everything of ours, and the annotation with what it cannot hold.
const OWNER: &str = "dev.gloaming.owner";
const TASK: &str = "dev.gloaming.task";
const ATTEMPT: &str = "dev.gloaming.attempt";
const JOB: &str = "dev.gloaming.job";
/// The label that only one run carries.
pub(super) const RUN: &str = "dev.gloaming.run";

/// A process of a machine: a cluster serves several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    machine: String,
    process: Process,
}

impl Owner {
    fn this_process() -> io::Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        // Copies of one disk have the same number, and are told apart by their names.
        let machine =
            Digest::of(format!("{} {}", read("/etc/machine-id"), read("/proc/sys/kernel/hostname")));
        Ok(Self { machine: machine.hex()[..32].to_owned(), process: Process::this_process()? })
    }

    /// Whether the process is gone, as far as `me` can tell: nothing is known of another machine's.
    fn is_dead(&self, me: &Self) -> bool {
        self.machine == me.machine && self.process.is_dead(&me.process)
    }
}

/// What is written on a job.
pub(super) struct Marks {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// Returns what is written on a job of this process.
pub(super) fn marks(holder: &Holder, job: &str, run: &str) -> io::Result<Marks> {
    let owner = Owner::this_process()?;
    let mut labels = BTreeMap::from([
        (OWNER.to_owned(), owner.machine.clone()),
        (ATTEMPT.to_owned(), holder.attempt.to_string()),
        (RUN.to_owned(), run.to_owned()),
    ]);
    let mut annotations =
        BTreeMap::from([(OWNER.to_owned(), serde_json::to_string(&owner).unwrap_or_default())]);
    for (name, value) in [(TASK, holder.task.as_str()), (JOB, job)] {
        labels.insert(name.to_owned(), label(value));
        annotations.insert(name.to_owned(), value.to_owned());
    }
    Ok(Marks { labels, annotations })
}

/// Returns a text as a label can hold it: what it cannot is kept as an annotation.
fn label(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .take(63)
        .collect();
    plain.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// Removes the jobs whose owners are dead.
pub(super) async fn reap(connected: &Connected) -> Result<Vec<String>, NoEngine> {
    let me = Owner::this_process()
        .map_err(|error| NoEngine { reason: format!("/proc: {error}"), hint: String::new() })?;
    let jobs = connected.jobs();
    let mine = ListParams::default().labels(&format!("{OWNER}={}", me.machine));
    let listed = jobs.list(&mine).await.map_err(|error| connected.does_not_answer(&error))?;
    let mut reaped = Vec::new();
    for job in listed {
        let (Some(name), Some(owner)) = (job.metadata.name.clone(), owner_of(&job)) else { continue };
        if !owner.is_dead(&me) {
            continue;
        }
        match jobs.delete(&name, &DeleteParams::background()).await {
            Ok(_) => reaped.push(name),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                tracing::warn!(job = name, reason = words(&error), "a job that nobody holds stays");
            }
        }
    }
    reaped.sort();
    Ok(reaped)
}

/// A mark that makes no sense is not ours to judge.
fn owner_of(job: &Job) -> Option<Owner> {
    serde_json::from_str(job.metadata.annotations.as_ref()?.get(OWNER)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dead_process_of_this_very_machine_is_dead() {
        let me = Owner::this_process().unwrap();
        let text = serde_json::to_string(&me).unwrap();
        assert_eq!(serde_json::from_str::<Owner>(&text).unwrap(), me);
        assert!(!me.is_dead(&me));
        let before = text.replace("\"boot\":\"", "\"boot\":\"another");
        let dead: Owner = serde_json::from_str(&before).unwrap();
        assert!(dead.is_dead(&me));
        // Another machine has another boot, and is none of our business.
        assert!(!Owner { machine: "other".to_owned(), ..dead }.is_dead(&me));
    }

    #[test]
    fn whatever_a_task_is_called_fits_a_label() {
        for (task, fits) in [
            ("task-1", "task-1"),
            ("/tmp/.tmpX1", "tmp-.tmpX1"),
            ("", ""),
            ("ü", ""),
            (&"x".repeat(70), &"x".repeat(63)),
        ] {
            assert_eq!(label(task), fits);
        }
        let marks = marks(&Holder { task: "/a b".to_owned(), attempt: 2 }, "test", "test-1").unwrap();
        assert_eq!((marks.labels[TASK].as_str(), marks.annotations[TASK].as_str()), ("a-b", "/a b"));
        assert!(marks.labels.values().all(|value| value.len() <= 63));
    }
}
