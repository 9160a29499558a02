//! Who made a container: written on it as labels, so that any later process can tell what nobody holds.

use std::collections::HashMap;
use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use crate::embedded::record::start_time;

/// The label of everything of ours; its value is the [`Owner`].
pub(crate) const OWNER: &str = "dev.gloaming.owner";
/// The label of an image that holds an environment's small root; its value is the environment's digest.
pub(crate) const ENVIRONMENT: &str = "dev.gloaming.environment";
const TASK: &str = "dev.gloaming.task";
const ATTEMPT: &str = "dev.gloaming.attempt";
const JOB: &str = "dev.gloaming.job";

/// Whose jobs an engine runs; written on each container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// The task; empty for what belongs to none.
    pub task: String,
    /// The attempt's number.
    pub attempt: u32,
}

/// A process, so that no other is taken for it: numbers are used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owner {
    pid: u32,
    /// The process's start, in the kernel's ticks since boot.
    start: u64,
    /// The kernel's name for this boot.
    boot: String,
    /// The namespace in which `pid` means anything.
    namespace: String,
}

impl Owner {
    /// Returns this process.
    ///
    /// # Errors
    /// When `/proc` does not tell.
    pub(crate) fn this_process() -> io::Result<Self> {
        let pid = std::process::id();
        let start = start_time(pid).ok_or_else(|| io::Error::other("/proc/self/stat makes no sense"))?;
        Ok(Self {
            pid,
            start,
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
            namespace: fs::read_link("/proc/self/ns/pid")?.to_string_lossy().into_owned(),
        })
    }

    /// Reads a label; none for what is not one of ours.
    pub(crate) fn parse(label: &str) -> Option<Self> {
        serde_json::from_str(label).ok()
    }

    /// Returns the label's value.
    pub(crate) fn label(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the process is gone, as far as `me` can tell: nothing is known of another PID namespace's.
    pub(crate) fn is_dead(&self, me: &Self) -> bool {
        if self.boot != me.boot {
            return true;
        }
        self.namespace == me.namespace && start_time(self.pid) != Some(self.start)
    }
}

/// Returns the labels of a container.
pub(crate) fn labels(owner: &Owner, holder: &Holder, job: &str) -> HashMap<String, String> {
    HashMap::from([
        (OWNER.to_owned(), owner.label()),
        (TASK.to_owned(), holder.task.clone()),
        (ATTEMPT.to_owned(), holder.attempt.to_string()),
        (JOB.to_owned(), job.to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_dead_when_its_number_is_anothers_and_never_when_it_cannot_be_seen() {
        let me = Owner::this_process().unwrap();
        assert_eq!(Owner::parse(&me.label()).as_ref(), Some(&me));
        assert!(!me.is_dead(&me));
        let again = Owner { start: me.start + 1, ..me.clone() };
        assert!(again.is_dead(&me));
        let elsewhere = Owner { namespace: "pid:[1]".to_owned(), ..again.clone() };
        assert!(!elsewhere.is_dead(&me));
        let before = Owner { boot: "another".to_owned(), ..elsewhere };
        assert!(before.is_dead(&me));
        for foreign in ["", "{}", "1", "null", "{\"pid\":-1}"] {
            assert_eq!(Owner::parse(foreign), None);
        }
    }
}
