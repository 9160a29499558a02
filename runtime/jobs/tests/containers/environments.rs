//! What a job can use.

use gloaming_api::job::JobExit;
use gloaming_jobs::{Environment, HostFacts, Mount};

use crate::support::{Lane, host, on_every_engine, on_every_local_engine, text};

// What the host has is not there in a pod.
on_every_local_engine!(
    cargo_builds_and_tests_a_crate_with_a_dependency_that_was_fetched,
    a_virtual_environment_is_there_at_its_own_path_and_read_only,
);

on_every_engine!(python_runs_with_a_clean_state, further_mounts_are_there_read_only_or_writable_as_said,);

async fn cargo_builds_and_tests_a_crate_with_a_dependency_that_was_fetched(mut lane: Lane) {
    if !Environment::detect(&host()).describe().iter().any(|line| line.contains("cargo has fetched")) {
        eprintln!("SKIPPED: no crates were fetched here");
        return;
    }
    let root = lane.workspace.path().to_owned();
    std::fs::create_dir(root.join("src")).unwrap();
    // This workspace itself depends on it, so that it was fetched before this test was built.
    std::fs::write(
        root.join("Cargo.toml"),
        "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\ncfg-if = \"1\"\n[workspace]\n",
    )
    .unwrap();
    std::fs::write(
        root.join("src/lib.rs"),
        "cfg_if::cfg_if! { if #[cfg(unix)] { pub fn two() -> u32 { 2 } } }\n\
         #[test] fn passes() { assert_eq!(two(), 2); }\n#[test] fn fails() { assert_eq!(two(), 3); }\n",
    )
    .unwrap();
    let scratch = tempfile::tempdir().unwrap();
    lane.scratch = Some(scratch.path().to_owned());
    let lane = lane.limited("timeout = \"300s\"");
    let output = lane.run(&["cargo", "test"]).await;
    assert_eq!(output.record.exit, JobExit::Code(101), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("test result: FAILED. 1 passed; 1 failed"),
        "{}",
        text(&output.stdout)
    );
    assert!(text(&output.stderr).contains("Compiling cfg-if"));
    // A kept scratch folder is a warm cache for the next job.
    let output = lane.run(&["cargo", "test", "passes"]).await;
    assert_eq!(output.record.exit, JobExit::Code(0), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("Compiling cfg-if"), "{}", text(&output.stderr));
    assert!(scratch.path().join("target/debug").is_dir());
    assert!(!root.join("target").exists());
    // And what an earlier job put there to lead the next one astray is put right.
    let output = lane
        .sh("rm -rf /scratch/cargo/registry; ln -s /workspace/evil /scratch/cargo/registry; rmdir /scratch/home; \
             ln -s /nowhere /scratch/cargo/config.toml; chmod 700 /scratch")
        .await;
    assert_eq!(output.record.exit, JobExit::Code(0), "{}", text(&output.stderr));
    let output = lane.run(&["readlink", "/scratch/cargo/registry"]).await;
    assert_eq!(text(&output.stdout), "/opt/gloaming/cargo-registry\n");
}

async fn python_runs_with_a_clean_state(lane: Lane) {
    let output = lane
        .run(&["python3", "-c", "import ssl, sqlite3, multiprocessing, sys, os, tempfile\nprint(hash('a') == hash('a'), sys.dont_write_bytecode)\nq = multiprocessing.Queue(); q.put(1); print(q.get())\nprint(tempfile.gettempdir(), os.path.expanduser('~'))"])
        .await;
    assert_eq!(text(&output.stdout), "True True\n1\n/tmp /scratch/home\n", "{}", text(&output.stderr));
}

async fn a_virtual_environment_is_there_at_its_own_path_and_read_only(lane: Lane) {
    let folder = tempfile::tempdir().unwrap();
    let venv = folder.path().join("venv");
    let made =
        std::process::Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&venv).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: python3 cannot make a virtual environment here");
        return;
    }
    let environment = Environment::detect(&HostFacts { virtual_env: Some(venv.clone()), ..host() });
    let lane = lane.with_environment(environment).await;
    let output = lane
        .sh("python -c 'import sys; print(sys.prefix, sys.prefix != sys.base_prefix)'; touch $VIRTUAL_ENV/x || echo denied")
        .await;
    assert_eq!(text(&output.stdout), format!("{} True\ndenied\n", venv.canonicalize().unwrap().display()));
}

async fn further_mounts_are_there_read_only_or_writable_as_said(lane: Lane) {
    let (kept, given) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(kept.path().join("file"), "content").unwrap();
    let mut job =
        lane.job(&["sh", "-c", "cat /opt/a/file /opt/one; touch /opt/a/x || echo refused; ls -d /opt/b"]);
    job.mounts = vec![
        Mount { host: kept.path().into(), container: "/opt/a".into(), writable: false },
        Mount { host: given.path().into(), container: "/opt/b".into(), writable: true },
        Mount { host: kept.path().join("file"), container: "/opt/one".into(), writable: false },
    ];
    // Readable by others, as whoever mounts a folder for a job has to see to.
    for folder in [&kept, &given] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), mode).unwrap();
    }
    let output = lane.run_job(&job).await.unwrap();
    assert_eq!(text(&output.stdout), "contentcontentrefused\n/opt/b\n", "{}", text(&output.stderr));
}

#[test]
fn an_environment_tells_itself_and_its_changes() {
    let home = tempfile::tempdir().unwrap();
    let toolchain = home.path().join(".rustup/toolchains/stable-x/bin");
    std::fs::create_dir_all(&toolchain).unwrap();
    std::fs::create_dir_all(home.path().join(".cargo/registry")).unwrap();
    for name in ["cargo", "rustc"] {
        std::fs::write(toolchain.join(name), "").unwrap();
    }
    std::fs::write(home.path().join(".rustup/settings.toml"), "default_toolchain = \"stable-x\"").unwrap();
    std::fs::write(home.path().join(".cargo/credentials.toml"), "token = \"secret\"").unwrap();
    let host = HostFacts { home: Some(home.path().to_owned()), ..HostFacts::default() };

    let one = Environment::detect(&host);
    assert_eq!(
        one.describe(),
        [
            "the system's /usr, read-only",
            "Rust toolchain stable-x, read-only",
            "crates that cargo has fetched, read-only"
        ]
    );
    assert_eq!(
        one.env().get("PATH").unwrap(),
        "/opt/gloaming/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    );
    assert_eq!(one.digest(), Environment::detect(&host).digest());
    std::fs::write(toolchain.join("rustc"), "another compiler").unwrap();
    assert_ne!(one.digest(), Environment::detect(&host).digest());
    assert_ne!(one.digest(), Environment::detect(&HostFacts::default()).digest());
}
