//! Whether a daemon could make containers on this machine at all, whatever is installed on it.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::daemons::installed;
use crate::support::is_root;

/// Returns why not; none where it could.
///
/// It is tried with the kernel itself and nothing of ours, so that what is broken in an engine never counts as a
/// machine that cannot. Who is not root is no such machine: being root can be had, and so can a program that is missing.
pub(crate) fn cannot() -> Option<&'static str> {
    static WHY: OnceLock<Option<String>> = OnceLock::new();
    let why = WHY.get_or_init(|| {
        let why = if is_root() { namespaces().or_else(control_groups) } else { None };
        if let Some(why) = &why {
            // Not by the macro: that is shown of tests that fail, and these count as passed.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: every test on Docker and Podman. No daemon can make containers on this machine: {why}"
            );
        }
        why
    });
    why.as_deref()
}

fn namespaces() -> Option<String> {
    // What unshare cannot start is missing, and excuses nothing.
    if !["unshare", "mount"].into_iter().all(installed) {
        return None;
    }
    let tried = Command::new("unshare")
        .args(["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--propagation", "private"])
        .args(["mount", "-t", "tmpfs", "none", "/tmp"])
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "a file system cannot be mounted in namespaces of its own: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(_) => None,
    }
}

fn control_groups() -> Option<String> {
    let tree = Path::new("/sys/fs/cgroup");
    let version1 = tree.join("memory");
    let parent = if version1.join("cgroup.procs").exists() { version1 } else { tree.to_owned() };
    let folder = parent.join(format!("gloaming-tried-{}", std::process::id()));
    match std::fs::create_dir(&folder) {
        Ok(()) => {
            std::fs::remove_dir(&folder).expect("it is ours, and empty");
            None
        }
        Err(error) => Some(format!("no control group can be made in {}: {error}", parent.display())),
    }
}
