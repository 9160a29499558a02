//! A container's folder: its small root and its OCI configuration.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::protocol::Request;
use super::seccomp;
use crate::secrets::SECRETS_MOUNT;

/// User and group a job runs as. A number that systemd, Debian and Fedora give to nobody, so that on the host
/// too the job is nobody else's equal.
pub(super) const JOB_USER: u32 = 60900;

/// The most files a job may have open, unless we ourselves may open fewer.
const OPEN_FILES: u64 = 65_536;

/// Makes the container's root below `folder` and writes the configuration; returns the OCI bundle's folder.
pub(super) fn make(
    folder: &Path,
    request: &Request,
    cgroup: &str,
    namespaces: &[&str],
) -> io::Result<PathBuf> {
    let root = folder.join("rootfs");
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o755);
    for name in [
        "",
        "dev",
        "etc",
        "opt",
        "proc",
        "root",
        "run",
        "run/secrets",
        "scratch",
        "tmp",
        "usr",
        "var",
        "workspace",
    ] {
        builder.create(root.join(name))?;
    }
    for (path, target) in &request.root.links {
        let link = inside(&root, path);
        create_parents(&link)?;
        symlink(target, link)?;
    }
    for (path, host) in &request.root.copies {
        let copy = inside(&root, path);
        create_parents(&copy)?;
        fs::write(copy, fs::read(host)?)?;
    }
    symlink("../tmp", root.join("var/tmp"))?;
    for (name, content) in [
        (
            "passwd",
            format!("root:x:0:0:root:/:/bin/sh\ngloaming:x:{JOB_USER}:{JOB_USER}::/scratch/home:/bin/sh\n"),
        ),
        ("group", format!("root:x:0:\ngloaming:x:{JOB_USER}:\n")),
        ("hosts", "127.0.0.1 localhost job\n::1 localhost\n".to_owned()),
        ("hostname", "job\n".to_owned()),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
        // No name server: looking a name up fails at once instead of waiting for one that cannot be reached.
        ("resolv.conf", String::new()),
    ] {
        fs::write(root.join("etc").join(name), content)?;
    }
    fs::write(folder.join("config.json"), config(request, &root, cgroup, namespaces).to_string())?;
    Ok(folder.to_owned())
}

fn config(request: &Request, root: &Path, cgroup: &str, namespaces: &[&str]) -> Value {
    let env: Vec<String> = request.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .maximum
        .map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    let nothing: [&str; 0] = [];
    json!({
        "ociVersion": "1.0.2",
        "hostname": "job",
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
            "seccomp": seccomp::profile(),
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

fn mounts(request: &Request) -> Vec<Value> {
    // Files in memory count against the job's memory. Capped at a share of it, a full folder is the error "no
    // space left" and not a kill for want of memory; together they leave nothing, but then all are full.
    let (memory, scratch) = (request.limits.memory, request.limits.scratch);
    let (half, quarter) = (scratch.min(memory / 2), scratch.min(memory / 4));
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
        // In memory, so that no value is on a disk; they count against the job's memory.
        mounts
            .push(tmpfs(SECRETS_MOUNT, &format!("noexec,mode=0700,size=32m,uid={JOB_USER},gid={JOB_USER}")));
    }
    mounts.push(bind(&request.workspace, "/workspace", true));
    mounts.extend(request.mounts.iter().map(|mount| bind(&mount.host, &mount.container, mount.writable)));
    mounts
}

fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn create_parents(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}
