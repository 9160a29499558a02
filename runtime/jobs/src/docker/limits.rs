//! Reads back the limits that a daemon was asked to set.

use gloaming_api::job::JobLimits;

use super::protocol::OURS;
use crate::embedded::cgroup::{Group, Hierarchy, quota};

/// Returns the control group of a process of this machine; none for one that our PID namespace does not hold, and
/// for one that has no group of its own.
pub(crate) fn group_of(pid: i32) -> Option<Group> {
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let membership = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    Group::of_process(Hierarchy::detect().ok()?, &membership)
}

/// Says which of the limits is not in force in a container's group.
pub(crate) fn missing(group: &Group, limits: &JobLimits) -> Option<&'static str> {
    memory(group, limits)
        .or_else(|| swap(group, limits))
        .or_else(|| processes(group, limits))
        .or_else(|| processor_time(group, limits))
}

fn number(group: &Group, controller: &str, file: &str) -> Option<u64> {
    group.read(controller, file)?.trim().parse().ok()
}

fn at_most(number: Option<u64>, limit: u64) -> bool {
    number.is_some_and(|number| number <= limit)
}

/// Says that memory is not limited.
pub(crate) fn memory(group: &Group, limits: &JobLimits) -> Option<&'static str> {
    let file = if group.version() == 1 { "memory.limit_in_bytes" } else { "memory.max" };
    (!at_most(number(group, "memory", file), limits.memory)).then_some("memory is not limited")
}

/// Says that swap is not limited.
pub(crate) fn swap(group: &Group, limits: &JobLimits) -> Option<&'static str> {
    let (file, most) = if group.version() == 1 {
        ("memory.memsw.limit_in_bytes", limits.memory)
    } else {
        ("memory.swap.max", 0)
    };
    // Where the file is absent the kernel does not account swap, and the group can have none.
    let is_there = group.read("memory", file).is_some();
    (is_there && !at_most(number(group, "memory", file), most)).then_some("swap is not limited")
}

fn processes(group: &Group, limits: &JobLimits) -> Option<&'static str> {
    (!at_most(number(group, "pids", "pids.max"), u64::from(limits.processes) + OURS))
        .then_some("the number of processes is not limited")
}

/// Says that processor time is not limited.
pub(crate) fn processor_time(group: &Group, limits: &JobLimits) -> Option<&'static str> {
    let (share, period) = if group.version() == 1 {
        // -1 is no limit.
        (number(group, "cpu", "cpu.cfs_quota_us"), number(group, "cpu", "cpu.cfs_period_us"))
    } else {
        let text = group.read("cpu", "cpu.max").unwrap_or_default();
        let mut words = text.split_whitespace().map(|word| word.parse().ok());
        (words.next().flatten(), words.next().flatten())
    };
    match (share, period) {
        // One more for the daemon's rounding.
        (Some(share), Some(period)) if share <= quota(limits.cpus, period).saturating_add(1) => None,
        _ => Some("processor time is not limited"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_was_not_set_is_noticed() {
        let mount = tempfile::tempdir().unwrap();
        let folder = mount.path().join("job");
        std::fs::create_dir(&folder).unwrap();
        let group = Group::existing(Hierarchy::V2(mount.path().into()), "/job".to_owned());
        let limits = JobLimits { memory: 1000, cpus: 0.5, processes: 10, wall_s: 1, output: 1, scratch: 1 };
        let files = [
            ("memory.max", "1000", "max", "memory is not limited"),
            ("memory.swap.max", "0", "max", "swap is not limited"),
            ("pids.max", "12", "13", "the number of processes is not limited"),
            ("cpu.max", "50000 100000", "max 100000", "processor time is not limited"),
        ];
        for (file, good, _, _) in files {
            std::fs::write(folder.join(file), good).unwrap();
        }
        assert_eq!(missing(&group, &limits), None);
        for (file, good, bad, said) in files {
            std::fs::write(folder.join(file), bad).unwrap();
            assert_eq!(missing(&group, &limits), Some(said));
            std::fs::write(folder.join(file), good).unwrap();
        }
        // A kernel without accounting of swap has no such file, and gives none.
        std::fs::remove_file(folder.join("memory.swap.max")).unwrap();
        assert_eq!(missing(&group, &limits), None);
        std::fs::remove_file(folder.join("memory.max")).unwrap();
        assert_eq!(missing(&group, &limits), Some("memory is not limited"));
    }

    #[test]
    fn no_process_has_no_group() {
        assert!(group_of(0).is_none() && group_of(-1).is_none() && group_of(i32::MAX).is_none());
    }
}
