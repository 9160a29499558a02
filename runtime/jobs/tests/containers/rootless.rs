//! The same promises without root: root delegates control groups to a user and runs these tests again as that user.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::{is_root, names};

/// Nobody's number.
const USER: u32 = 60901;

#[test]
fn without_root_the_same_promises_hold() {
    let trees = Path::new("/sys/fs/cgroup");
    if !is_root() || !trees.join("memory/cgroup.procs").exists() {
        eprintln!(
            "SKIPPED: only root can delegate control groups, and only those of version 1 by folder alone"
        );
        return;
    }
    let delegated: Vec<_> = names(trees)
        .map(|name| trees.join(name))
        .filter(|tree| tree.join("cgroup.procs").exists() && tree.join("tasks").exists())
        .map(|tree| tree.join(format!("gloaming/user-{USER}")))
        .collect();
    for group in &delegated {
        std::fs::create_dir_all(group).unwrap();
        chown(group, Some(USER), Some(USER)).unwrap();
        for file in names(group) {
            chown(group.join(file), Some(USER), Some(USER)).unwrap();
        }
    }
    // The user reaches neither this program's folder nor the usual one for temporary files of root.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("containers");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let own = folder.path().join("own");
    std::fs::create_dir(&own).unwrap();
    chown(&own, Some(USER), Some(USER)).unwrap();

    let output = Command::new(&program)
        .args(["--nocapture", "--skip", "rootless::"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", &own)
        .env("TMPDIR", &own)
        .env("CARGO_MANIFEST_DIR", "set")
        // Daemons of a user's own are another matter.
        .env("GLOAMING_TEST_ENGINES", "embedded")
        .current_dir("/")
        .uid(USER)
        .gid(USER)
        .output()
        .unwrap();
    for group in &delegated {
        // Empty, or a container was left behind.
        std::fs::remove_dir(group).unwrap();
    }
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("no container can be made here"), "{text}");
}
