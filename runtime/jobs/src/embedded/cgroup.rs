//! The control group of one container: limits, the counter of memory kills, and the end of everything in it.
//!
//! Written for both versions: version 1 as separate trees per controller, version 2 as one tree. We make the
//! group and write its limits ourselves (libcontainer only puts the first process in), so that a limit that
//! cannot be set is an error and never a warning.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gloaming_api::job::JobLimits;

/// The folder of ours at the root of each tree.
const OURS: &str = "gloaming";
/// Where version 2 wants the processes that are ours and no job's.
const SUPERVISOR: &str = "gloaming-supervisor";
/// The controllers without which there is no job.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// How the machine's control groups are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hierarchy {
    /// One mount per controller (or several controllers).
    V1(Vec<V1Mount>),
    /// One mount for all.
    V2(PathBuf),
}

/// A mounted version 1 tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct V1Mount {
    folder: PathBuf,
    controllers: Vec<String>,
}

/// What a container's group is made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parent {
    /// A folder of ours at the tree's root.
    Ours,
    /// The group we run in, which was delegated to us.
    Delegated,
}

/// One container's group.
#[derive(Debug)]
pub(crate) struct Group {
    hierarchy: Hierarchy,
    /// Below each tree's mount point, beginning with `/`.
    path: String,
}

impl Hierarchy {
    /// Reads how this machine mounts control groups.
    pub(crate) fn detect() -> io::Result<Self> {
        Self::parse(&fs::read_to_string("/proc/self/mountinfo")?)
            .ok_or_else(|| io::Error::other("no control groups are mounted under /sys/fs/cgroup"))
    }

    /// Returns the version of the control groups, 1 or 2.
    pub(crate) fn version(&self) -> u8 {
        match self {
            Self::V1(_) => 1,
            Self::V2(_) => 2,
        }
    }

    fn parse(mountinfo: &str) -> Option<Self> {
        let mut v1 = Vec::new();
        for line in mountinfo.lines() {
            let (mount, source) = line.split_once(" - ")?;
            let folder = mount.split(' ').nth(4)?;
            let mut source = source.split(' ');
            let (kind, options) = (source.next()?, source.nth(1).unwrap_or(""));
            match kind {
                "cgroup2" if folder == "/sys/fs/cgroup" => return Some(Self::V2(folder.into())),
                "cgroup" if !v1.iter().any(|known: &V1Mount| known.folder == Path::new(folder)) => {
                    v1.push(V1Mount {
                        folder: folder.into(),
                        controllers: options.split(',').map(str::to_owned).collect(),
                    });
                }
                _ => {}
            }
        }
        if v1.is_empty() { None } else { Some(Self::V1(v1)) }
    }
}

impl Group {
    /// Makes a group named `id` with the limits set.
    ///
    /// `own` is the content of `/proc/self/cgroup`; `privileged` whether we are the machine's root.
    pub(crate) fn create(
        hierarchy: Hierarchy,
        id: &str,
        limits: &JobLimits,
        own: &str,
        privileged: bool,
        uid: u32,
    ) -> Result<Self, String> {
        match hierarchy {
            Hierarchy::V1(mounts) => {
                let path =
                    if privileged { format!("/{OURS}/{id}") } else { format!("/{OURS}/user-{uid}/{id}") };
                let group = Self { hierarchy: Hierarchy::V1(mounts), path };
                let made = group.make_v1(limits);
                if made.is_err() {
                    group.remove();
                }
                made.map(|()| group)
            }
            Hierarchy::V2(mount) => {
                let mut reasons = Vec::new();
                let mut parents = Vec::new();
                if privileged {
                    parents.push((format!("/{OURS}"), Parent::Ours));
                }
                if let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::")) {
                    let parent = own.strip_suffix(&format!("/{SUPERVISOR}")).unwrap_or(own);
                    if !privileged || parent == "/" || parent.is_empty() {
                        parents.push((parent.trim_end_matches('/').to_owned(), Parent::Delegated));
                    }
                }
                for (parent, kind) in parents {
                    if kind == Parent::Delegated
                        && let Err(error) = step_aside(&below(&mount, &parent))
                    {
                        reasons.push(error);
                        continue;
                    }
                    let group =
                        Self { hierarchy: Hierarchy::V2(mount.clone()), path: format!("{parent}/{id}") };
                    match group.make_v2(&mount, &parent, limits) {
                        Ok(()) => return Ok(group),
                        Err(error) => {
                            group.remove();
                            reasons.push(error);
                        }
                    }
                }
                Err(reasons.join("; "))
            }
        }
    }

    /// Returns a group that a dead helper left behind.
    pub(crate) fn existing(hierarchy: Hierarchy, path: String) -> Self {
        Self { hierarchy, path }
    }

    /// Returns the group that a process is in, of a container that somebody else has made.
    ///
    /// `membership` is the content of the process's `/proc/<pid>/cgroup`.
    pub(crate) fn of_process(hierarchy: Hierarchy, membership: &str) -> Option<Self> {
        let path = membership.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            match &hierarchy {
                Hierarchy::V1(_) => controllers.split(',').any(|name| name == "memory").then_some(path),
                Hierarchy::V2(_) => controllers.is_empty().then_some(path),
            }
        })?;
        // `/..` is a group outside our namespace; the root is no container's.
        if path == "/" || path.split('/').any(|part| part == "..") {
            return None;
        }
        Some(Self { hierarchy, path: path.to_owned() })
    }

    /// Returns the content of a file of the group, in the tree of its controller.
    pub(crate) fn read(&self, controller: &str, file: &str) -> Option<String> {
        let folder = match &self.hierarchy {
            Hierarchy::V1(_) => self.v1(controller).ok()?,
            Hierarchy::V2(mount) => below(mount, &self.path),
        };
        fs::read_to_string(folder.join(file)).ok()
    }

    /// Returns the version of the hierarchy that the group is in, 1 or 2.
    pub(crate) fn version(&self) -> u8 {
        self.hierarchy.version()
    }

    /// Returns the path below each tree's mount point, as an OCI `cgroupsPath`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    fn make_v1(&self, limits: &JobLimits) -> Result<(), String> {
        let period = 100_000;
        let quota = quota(limits.cpus, period);
        let memory = self.v1("memory")?;
        make(&memory)?;
        set(&memory.join("memory.limit_in_bytes"), &limits.memory.to_string())?;
        // Absent where the kernel does not account swap; then there is none to be had in the group either way.
        let with_swap = memory.join("memory.memsw.limit_in_bytes");
        if with_swap.exists() {
            set(&with_swap, &limits.memory.to_string())?;
        }
        let pids = self.v1("pids")?;
        make(&pids)?;
        set(&pids.join("pids.max"), &processes(limits).to_string())?;
        let cpu = self.v1("cpu")?;
        make(&cpu)?;
        set(&cpu.join("cpu.cfs_period_us"), &period.to_string())?;
        set(&cpu.join("cpu.cfs_quota_us"), &quota.to_string())
    }

    fn make_v2(&self, mount: &Path, parent: &str, limits: &JobLimits) -> Result<(), String> {
        let parent = below(mount, parent);
        make(&parent)?;
        let mut folder = parent.as_path();
        let mut above = vec![folder];
        while folder != mount {
            folder = folder.parent().ok_or("the group lies outside its tree")?;
            above.push(folder);
        }
        for folder in above.iter().rev() {
            for controller in CONTROLLERS {
                // Not ours to enable everywhere, and enabled already in most places: the check is below.
                let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
            }
        }
        let group = below(mount, &self.path);
        make(&group)?;
        let missing: Vec<&str> = CONTROLLERS
            .into_iter()
            .filter(|controller| {
                let file = match *controller {
                    "memory" => "memory.max",
                    "pids" => "pids.max",
                    _ => "cpu.max",
                };
                !group.join(file).exists()
            })
            .collect();
        if !missing.is_empty() {
            return Err(format!("the cgroup controllers {} are not delegated to us", missing.join(", ")));
        }
        set(&group.join("memory.max"), &limits.memory.to_string())?;
        let swap = group.join("memory.swap.max");
        if swap.exists() {
            set(&swap, "0")?;
        }
        // One process too big ends the job, as the record says; a half-dead job would only confuse.
        set(&group.join("memory.oom.group"), "1")?;
        set(&group.join("pids.max"), &processes(limits).to_string())?;
        set(&group.join("cpu.max"), &format!("{} 100000", quota(limits.cpus, 100_000)))
    }

    /// Returns how many processes the kernel has killed for want of memory.
    pub(crate) fn memory_kills(&self) -> u64 {
        let file = match &self.hierarchy {
            Hierarchy::V1(_) => self.v1("memory").map(|folder| folder.join("memory.oom_control")),
            Hierarchy::V2(mount) => Ok(below(mount, &self.path).join("memory.events")),
        };
        file.ok().and_then(|file| fs::read_to_string(file).ok()).map_or(0, |text| counter(&text, "oom_kill"))
    }

    /// Returns the highest use of memory, in bytes, where the kernel tells.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let file = match &self.hierarchy {
            Hierarchy::V1(_) => self.v1("memory").ok()?.join("memory.max_usage_in_bytes"),
            Hierarchy::V2(mount) => below(mount, &self.path).join("memory.peak"),
        };
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    /// Kills every process in the group; returns whether it was seen empty within `patience`.
    pub(crate) fn kill_all(&self, patience: Duration) -> bool {
        let start = Instant::now();
        loop {
            if let Hierarchy::V2(mount) = &self.hierarchy {
                let _ = fs::write(below(mount, &self.path).join("cgroup.kill"), "1");
            }
            let mut empty = true;
            for folder in self.folders() {
                for pid in fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default().lines() {
                    if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
                        empty = false;
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    }
                }
            }
            if empty || start.elapsed() > patience {
                return empty;
            }
            // Waiting for the kernel to take the killed processes apart; it tells nobody when it has.
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Removes the group; a folder that still holds a process stays, for the reaper.
    pub(crate) fn remove(&self) -> bool {
        let mut gone = true;
        for folder in self.folders() {
            // A process that has just been reaped can keep its group busy for a moment.
            let removed = (0..100).any(|attempt| {
                if attempt > 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
                match fs::remove_dir(&folder) {
                    Ok(()) => true,
                    Err(error) => error.kind() == io::ErrorKind::NotFound,
                }
            });
            gone &= removed;
        }
        gone
    }

    fn folders(&self) -> Vec<PathBuf> {
        match &self.hierarchy {
            Hierarchy::V1(mounts) => mounts.iter().map(|mount| below(&mount.folder, &self.path)).collect(),
            Hierarchy::V2(mount) => vec![below(mount, &self.path)],
        }
    }

    fn v1(&self, controller: &str) -> Result<PathBuf, String> {
        let Hierarchy::V1(mounts) = &self.hierarchy else {
            return Err("not a version 1 hierarchy".to_owned());
        };
        mounts
            .iter()
            .find(|mount| mount.controllers.iter().any(|name| name == controller))
            .map(|mount| below(&mount.folder, &self.path))
            .ok_or_else(|| format!("the cgroup controller {controller} is not mounted"))
    }
}

/// Moves the processes of `group` into a group below it: version 2 allows limits only below a group that
/// holds no process itself. They are ours: the group was delegated to us (a systemd scope, a container).
fn step_aside(group: &Path) -> Result<(), String> {
    let supervisor = group.join(SUPERVISOR);
    make(&supervisor)?;
    let procs = fs::read_to_string(group.join("cgroup.procs")).map_err(|error| failed(group, &error))?;
    for pid in procs.lines() {
        match fs::write(supervisor.join("cgroup.procs"), pid) {
            // It ended meanwhile.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
            result => result.map_err(|error| failed(&supervisor, &error))?,
        }
    }
    Ok(())
}

fn below(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))
}

fn set(file: &Path, value: &str) -> Result<(), String> {
    fs::write(file, value).map_err(|error| format!("setting {} to {value}: {error}", file.display()))
}

fn failed(subject: &Path, error: &io::Error) -> String {
    format!("cgroup {}: {error}", subject.display())
}

/// The container's first process is ours and not the job's.
fn processes(limits: &JobLimits) -> u64 {
    u64::from(limits.processes) + 1
}

pub(crate) fn quota(cpus: f64, period: u64) -> u64 {
    // Below 1 ms the kernel refuses.
    ((cpus * period as f64) as u64).max(1000)
}

fn counter(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
24 1 0:20 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
25 24 0:21 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
26 24 0:22 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
27 24 0:23 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn hybrid_machines_are_version_1() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(
            Hierarchy::parse(HYBRID),
            Some(Hierarchy::V1(vec![
                V1Mount {
                    folder: "/sys/fs/cgroup/cpu,cpuacct".into(),
                    controllers: names(&["rw", "cpu", "cpuacct"])
                },
                V1Mount { folder: "/sys/fs/cgroup/memory".into(), controllers: names(&["rw", "memory"]) },
            ]))
        );
        let unified = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(Hierarchy::parse(unified), Some(Hierarchy::V2("/sys/fs/cgroup".into())));
        assert_eq!(Hierarchy::parse("1 0 8:1 / / rw - ext4 /dev/sda rw\n"), None);
    }

    #[test]
    fn the_counter_of_memory_kills_is_read_from_both_versions() {
        assert_eq!(counter("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill"), 3);
        assert_eq!(counter("low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 1\n", "oom_kill"), 1);
        assert_eq!(counter("", "oom_kill"), 0);
    }

    #[test]
    fn the_group_of_a_process_is_found_in_both_versions() {
        let v1 = Hierarchy::V1(Vec::new());
        let v2 = Hierarchy::V2("/sys/fs/cgroup".into());
        let path = |hierarchy: &Hierarchy, text: &str| {
            Group::of_process(hierarchy.clone(), text).map(|group| group.path().to_owned())
        };
        let text = "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n";
        assert_eq!(path(&v1, text).as_deref(), Some("/docker/abc"));
        assert_eq!(path(&v2, text), None);
        assert_eq!(path(&v2, "0::/machine/a:b\n").as_deref(), Some("/machine/a:b"));
        assert_eq!(path(&v2, "0::/../x\n"), None);
        assert_eq!(path(&v1, "nonsense"), None);
    }

    #[test]
    fn a_missing_controller_is_an_error_and_leaves_nothing() {
        let mount = tempfile::tempdir().unwrap();
        let hierarchy = Hierarchy::V2(mount.path().into());
        let limits = JobLimits { memory: 1, cpus: 1.0, processes: 1, wall_s: 1, output: 1, scratch: 1 };
        // A plain folder stands for a tree whose controllers are not delegated.
        let error = Group::create(hierarchy, "x", &limits, "0::/\n", true, 0).unwrap_err();
        assert!(
            error.starts_with("the cgroup controllers memory, pids, cpu are not delegated to us"),
            "{error}"
        );
        assert!(!mount.path().join("gloaming/x").exists());
    }
}
