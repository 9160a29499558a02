//! Set-ups that fail: when one is run again, and what one may write before it is stopped.

use gloaming_api::job::{JobExit, JobPurpose};
use gloaming_api::profile::Ecosystem;
use gloaming_jobs::Cancel;
use gloaming_profile::{Proving, Provision, known, prove};

use crate::folder;
use crate::setup::{Machine, install, rust_package};

#[tokio::test]
async fn a_set_up_that_failed_without_network_is_not_run_again_until_something_is_another() {
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let tree = folder(&[("a.py", ""), ("answer", "no such package\n")]);
    // It fails of a file that does not decide what is fetched.
    let script = "cat answer; [ ! -e works ] && exit 3; echo x > /opt/gloaming/venv/x";
    let command = install(&["sh", "-c", script]);
    let set_up = async || machine.set_up("acme/x", tree.path(), &command, Ecosystem::Python).await;
    let first = set_up().await;
    assert!(!first.reused() && first.records().iter().all(|record| record.cached.is_none()));
    assert!(first.lack().unwrap().detail.contains("no such package"), "{:?}", first.lack());
    let again = set_up().await;
    let lack = again.lack().unwrap();
    assert!(again.reused() && again.is_empty() && lack.failed, "{lack}");
    assert_eq!(lack.code, first.lack().unwrap().code);
    assert!(lack.detail.contains("no such package") && lack.detail.contains("not run again"), "{lack}");
    assert!(lack.unblock.contains("gloaming onboard --again"), "{}", lack.unblock);
    let last = again.records().last().unwrap();
    assert_eq!((last.exit, last.cached.is_some()), (JobExit::Code(3), true));
    // Another repository's failure is its own.
    assert!(!machine.set_up("acme/y", tree.path(), &command, Ecosystem::Python).await.reused());
    // Any file of the tree may be what it fails of.
    std::fs::write(tree.path().join("answer"), "another\n").unwrap();
    let changed = set_up().await;
    assert!(!changed.reused() && changed.lack().unwrap().detail.contains("another"), "{:?}", changed.lack());
    assert!(set_up().await.reused());
    std::fs::write(tree.path().join("works"), "").unwrap();
    let made = set_up().await;
    assert!(made.lack().is_none() && !made.reused(), "{:?}", made.lack());
    assert!(set_up().await.lack().is_none());
    // It failed with that file away, and what is there now is the cache.
    std::fs::remove_file(tree.path().join("works")).unwrap();
    assert!(set_up().await.lack().is_none());
}

#[tokio::test]
async fn a_set_up_that_failed_with_network_is_run_again() {
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let machine = machine.reaching(9);
    let tree = folder(&[("a.py", "")]);
    let command = install(&["sh", "-c", "exit 3"]);
    for _ in 0..2 {
        let made = machine.set_up("acme/x", tree.path(), &command, Ecosystem::Python).await;
        assert!(made.lack().is_some() && !made.reused());
    }
}

#[tokio::test]
async fn proving_runs_a_set_up_again_that_is_known_to_fail() {
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let tree = rust_package(9);
    let repo = "acme/x".parse().unwrap();
    let fetch = install(&["cargo", "fetch"]);
    assert!(machine.set_up("acme/x", tree.path(), &fetch, Ecosystem::Rust).await.lack().is_some());
    assert!(machine.set_up("acme/x", tree.path(), &fetch, Ecosystem::Rust).await.reused());
    let mut profile = known(tree.path(), None).unwrap();
    let work_dir = machine.fresh("prove");
    std::fs::create_dir(&work_dir).unwrap();
    let proving = Proving {
        engine: &machine.engine,
        environment: &machine.environment,
        grant: &machine.grant,
        checkout: &|dir| gloaming_workspace::copy_tree(tree.path(), dir),
        work_dir: &work_dir,
        now: jiff::Timestamp::UNIX_EPOCH,
        progress: &|_| {},
        cancel: &Cancel::new(),
        provision: Some(Provision { repo: &repo, caches: &machine.caches, egress: None, base: None }),
        count_tests: None,
    };
    let records = prove(&mut profile, &proving).await.unwrap();
    let set_ups = records.iter().filter(|record| record.purpose == JobPurpose::Setup);
    assert_eq!(set_ups.count(), 1);
}

#[tokio::test]
async fn a_set_up_that_would_fill_the_disk_is_stopped_and_leaves_nothing() {
    let Some(machine) = Machine::new(48 << 20).await else { return };
    let tree = folder(&[("a.py", "")]);
    // It never ends by itself, and no file of it is large; whatever it has room for, it keeps in both places.
    let fill = |folder: &str| {
        let script = format!(
            "i=0; while true; do dd if=/dev/zero of={folder}/$i bs=1M count=4 2>/dev/null || exit 0; i=$((i+1)); \
             [ $i -gt 500 ] && exec tail -f /dev/null; done"
        );
        install(&["sh", "-c", &script])
    };
    for folder in ["/opt/gloaming/venv", "."] {
        let made = machine.set_up("acme/x", tree.path(), &fill(folder), Ecosystem::Python).await;
        let lack = made.lack().unwrap();
        assert!(
            lack.detail.contains("was stopped: it had ") && lack.detail.contains("is 48.0 MiB"),
            "{lack}"
        );
        assert!(lack.unblock.contains("GLOAMING_CACHE_SIZE") && lack.failed, "{lack:?}");
        assert_eq!(made.records().last().unwrap().exit, JobExit::Cancelled);
        assert!(made.is_empty() && machine.entries().is_empty(), "{:?}", machine.entries());
    }
}
