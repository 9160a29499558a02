//! A container's folder: its small root and its OCI configuration.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use gloaming_api::job::JobLimits;
use serde_json::{Value, json};

use super::protocol::Request;
use super::seccomp;
use crate::root::{HOST_NAME, JOB_USER, Node, nodes};
use crate::secrets::SECRETS_MOUNT;

/// The most files a job may have open, unless we ourselves may open fewer.
const OPEN_FILES: u64 = 65_536;

/// What of `/proc` a job does not see.
pub(crate) const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
];

/// What of `/proc` nobody may write, root included.
pub(crate) const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Makes the container's root below `folder` and writes the configuration; returns the OCI bundle's folder.
pub(super) fn make(
    folder: &Path,
    request: &Request,
    cgroup: &str,
    namespaces: &[&str],
) -> io::Result<PathBuf> {
    let root = folder.join("rootfs");
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o755).create(&root)?;
    for (path, node) in nodes(&request.root)? {
        let path = root.join(path);
        match node {
            Node::Folder(mode) => builder.mode(mode).create(path)?,
            Node::Link(target) => symlink(target, path)?,
            Node::File(content) => fs::write(path, content)?,
        }
    }
    fs::write(folder.join("config.json"), config(request, &root, cgroup, namespaces).to_string())?;
    Ok(folder.to_owned())
}

fn config(request: &Request, root: &Path, cgroup: &str, namespaces: &[&str]) -> Value {
    let env: Vec<String> = request.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let files = open_files();
    let nothing: [&str; 0] = [];
    json!({
        "ociVersion": "1.0.2",
        "hostname": HOST_NAME,
        "root": {"path": root, "readonly": true},
        "process": {
            "user": {"uid": JOB_USER, "gid": JOB_USER, "umask": 0o022},
            "args": request.argv,
            "env": env,
            // The executor goes on to the job's folder: a missing one is the job's failure, not ours.
            "cwd": "/workspace",
            "capabilities": {
                "bounding": nothing, "effective": nothing, "inheritable": nothing, "permitted": nothing,
                "ambient": nothing,
            },
            "rlimits": [
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                {"type": "RLIMIT_NOFILE", "soft": files, "hard": files},
                {"type": "RLIMIT_FSIZE", "soft": request.limits.scratch, "hard": request.limits.scratch},
            ],
            "noNewPrivileges": true,
            // When the machine itself runs out of memory, a job goes first.
            "oomScoreAdj": 500,
        },
        "mounts": mounts(request),
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": namespaces.iter().map(|kind| json!({"type": kind})).collect::<Vec<_>>(),
            "seccomp": seccomp::profile(seccomp::Mask::Second),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    })
}

/// Returns how many files a job may have open.
pub(crate) fn open_files() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .maximum
        .map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES))
}

/// Returns the sizes of the folders in memory, in bytes: `/scratch`, and each of `/tmp` and `/dev/shm`.
///
/// Files in memory count against the job's memory. Capped at a share of it, a full folder is the error "no
/// space left" and not a kill for want of memory; together they leave nothing, but then all are full.
pub(crate) fn sizes(limits: &JobLimits) -> (u64, u64) {
    (limits.scratch.min(limits.memory / 2), limits.scratch.min(limits.memory / 4))
}

fn mounts(request: &Request) -> Vec<Value> {
    let (half, quarter) = sizes(&request.limits);
    let tmpfs = |path: &str, options: &str| {
        let options: Vec<String> =
            ["nosuid", "nodev"].into_iter().chain(options.split(',')).map(str::to_owned).collect();
        json!({"destination": path, "type": "tmpfs", "source": "tmpfs", "options": options})
    };
    let bind = |host: &Path, path: &str, writable: bool| {
        // Recursive, and so are the flags: a disk mounted below the folder is neither hidden nor writable.
        let options = if writable {
            ["rbind", "rnosuid", "rnodev"].as_slice()
        } else {
            ["rbind", "ro", "rro", "rnosuid", "rnodev"].as_slice()
        };
        json!({"destination": path, "type": "bind", "source": host, "options": options})
    };
    let mut mounts = vec![
        json!({
            "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"],
        }),
        json!({
            "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "noexec", "strictatime", "mode=755", "size=64k"],
        }),
        json!({
            "destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        }),
        tmpfs("/dev/shm", &format!("noexec,mode=1777,size={quarter}")),
        tmpfs("/tmp", &format!("mode=1777,size={quarter}")),
    ];
    match &request.scratch {
        Some(host) => mounts.push(bind(host, "/scratch", true)),
        None => {
            mounts.push(tmpfs("/scratch", &format!("mode=0700,uid={JOB_USER},gid={JOB_USER},size={half}")))
        }
    }
    if !request.secrets.0.is_empty() {
        // In memory, so that no value is on a disk (its mount point is the runtime's to make); they count against the job's memory.
        mounts
            .push(tmpfs(SECRETS_MOUNT, &format!("noexec,mode=0700,size=32m,uid={JOB_USER},gid={JOB_USER}")));
    }
    mounts.push(bind(&request.workspace, "/workspace", true));
    mounts.extend(request.mounts.iter().map(|mount| bind(&mount.host, &mount.container, mount.writable)));
    mounts
}
