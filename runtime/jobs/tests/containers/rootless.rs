//! The same promises without root: root delegates control groups to a user and runs these tests again as that user.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use gloaming_jobs::EngineKind;

use crate::daemons::asked;
use crate::support::{is_root, names};

/// Nobody's number, and no other run's of these tests: the user's groups carry it in their name, and with one number for
/// all a run would remove the groups that another one uses.
fn user() -> u32 {
    2_000_000_000 + std::process::id()
}

#[test]
fn without_root_the_same_promises_hold() {
    let trees = Path::new("/sys/fs/cgroup");
    if !is_root() || !trees.join("memory/cgroup.procs").exists() {
        eprintln!(
            "SKIPPED: only root can delegate control groups, and only those of version 1 by folder alone"
        );
        return;
    }
    if !asked(EngineKind::Embedded) {
        eprintln!("SKIPPED: embedded is not asked for (GLOAMING_TEST_ENGINES)");
        return;
    }
    let user = user();
    let delegated: Vec<_> = names(trees)
        .map(|name| trees.join(name))
        .filter(|tree| tree.join("cgroup.procs").exists() && tree.join("tasks").exists())
        .map(|tree| tree.join(format!("gloaming/user-{user}")))
        .collect();
    for group in &delegated {
        std::fs::create_dir_all(group).unwrap();
        chown(group, Some(user), Some(user)).unwrap();
        for file in names(group) {
            chown(group.join(file), Some(user), Some(user)).unwrap();
        }
    }
    // The user reaches neither this program's folder nor the usual one for temporary files of root.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("containers");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let own = folder.path().join("own");
    std::fs::create_dir(&own).unwrap();
    chown(&own, Some(user), Some(user)).unwrap();

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
        .uid(user)
        .gid(user)
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
