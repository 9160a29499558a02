//! Nothing of a job outlives it, whoever dies first.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gloaming_api::job::JobExit;
use gloaming_jobs::{Cancel, Engine as _, JobError, NoEngine, reap};

use crate::support::{Lane, names, processes_naming};

/// A word that only the job's own processes carry in their command line.
fn mark(lane: &Lane) -> String {
    format!("31536{}", lane.workspace.path().display().to_string().bytes().map(u64::from).sum::<u64>())
}

fn helper_pid(lane: &Lane) -> Option<i32> {
    let containers = lane.state.path().join("containers");
    let name = names(&containers).find(|name| name.starts_with("test-"))?;
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(containers.join(name).join("helper.json")).ok()?).ok()?;
    i32::try_from(record.get("pid")?.as_i64()?).ok()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Waits for the kernel or a helper, which tell nobody; fails after a generous while.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_killed_helper_takes_its_container_along() {
    let Some(lane) = Lane::open().await else { return };
    let mark = mark(&lane);
    let job = lane.job(&["/bin/sh", "-c", &format!("(setsid sleep {mark} &); echo > begun; sleep {mark}")]);
    let permit = lane.permit();
    let cancel = Cancel::new();
    let attack = async {
        until("the job begins", || lane.workspace.path().join("begun").exists()).await;
        assert!(!processes_naming(&mark).is_empty());
        kill(helper_pid(&lane).expect("the container has a record"));
    };
    let (result, ()) = tokio::join!(lane.engine.run(&permit, &job, &cancel), attack);
    assert!(matches!(result, Err(JobError::Container { .. })), "{result:?}");
    until("the processes are gone", || processes_naming(&mark).is_empty()).await;
    assert_eq!(lane.left_behind(), Vec::<String>::new());
    assert_eq!(lane.sh("exit 5").await.record.exit, JobExit::Code(5));
}

#[tokio::test]
async fn a_run_that_is_dropped_ends_its_container() {
    let Some(lane) = Lane::open().await else { return };
    let mark = mark(&lane);
    let job = lane.job(&["/bin/sh", "-c", &format!("echo > begun; sleep {mark}")]);
    let permit = lane.permit();
    let cancel = Cancel::new();
    {
        let begun = until("the job begins", || lane.workspace.path().join("begun").exists());
        let run = lane.engine.run(&permit, &job, &cancel);
        tokio::select! {
            result = run => panic!("it cannot end: {result:?}"),
            () = begun => {}
        }
    }
    until("the processes are gone", || processes_naming(&mark).is_empty()).await;
    until("the helper has cleaned up", || lane.left_behind().is_empty()).await;
}

#[tokio::test]
#[ignore = "takes as long as a helper is given to stop, 25 seconds"]
async fn a_helper_that_hangs_is_killed_with_its_container() {
    let Some(lane) = Lane::open().await else { return };
    let mark = mark(&lane);
    let job = lane.job(&["/bin/sh", "-c", &format!("echo > begun; sleep {mark}")]);
    let permit = lane.permit();
    let cancel = Cancel::new();
    let hang = async {
        until("the job begins", || lane.workspace.path().join("begun").exists()).await;
        let pid = rustix::process::Pid::from_raw(helper_pid(&lane).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        cancel.cancel();
    };
    let (output, ()) = tokio::join!(lane.engine.run(&permit, &job, &cancel), hang);
    assert_eq!(output.unwrap().record.exit, JobExit::Cancelled);
    until("the processes are gone", || processes_naming(&mark).is_empty()).await;
    assert_eq!(lane.left_behind(), Vec::<String>::new());
}

/// The parent dies without a chance to do anything: a child process of this test plays it.
#[tokio::test]
async fn a_killed_parent_takes_everything_along() {
    let Some(lane) = Lane::open().await else { return };
    let mark = mark(&lane);
    // The very program and request that the engine uses, with a parent that can be killed.
    let script = format!("echo > begun; sleep {mark}");
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "survival::play_the_parent", "--ignored", "--nocapture"])
        .env("GLOAMING_TEST_STATE", lane.state.path())
        .env("GLOAMING_TEST_WORKSPACE", lane.workspace.path())
        .env("GLOAMING_TEST_SCRIPT", script)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("the job begins", || lane.workspace.path().join("begun").exists()).await;
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("the processes are gone", || processes_naming(&mark).is_empty()).await;
    until("the helper has cleaned up", || lane.left_behind().is_empty()).await;
}

#[tokio::test]
#[ignore = "the parent that another test kills"]
async fn play_the_parent() {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(state), Some(workspace)) = (folder("GLOAMING_TEST_STATE"), folder("GLOAMING_TEST_WORKSPACE"))
    else {
        return;
    };
    let lane = Lane::open().await.unwrap();
    let helper = vec![std::env::current_exe().unwrap().into(), "__job".into()];
    let environment = gloaming_jobs::Environment::detect(&crate::support::host());
    let engine = gloaming_jobs::Embedded::new(helper, environment, state);
    let mut job = lane.job(&["/bin/sh", "-c", &std::env::var("GLOAMING_TEST_SCRIPT").unwrap()]);
    job.workspace = workspace;
    engine.run(&lane.permit(), &job, &Cancel::new()).await.unwrap();
}

/// Helper and parent die at once, and the kernel's death signal is all there is: what is left is folders.
#[tokio::test]
async fn the_reaper_removes_what_the_dead_left() {
    let Some(lane) = Lane::open().await else { return };
    let mark = mark(&lane);
    let job = lane.job(&["/bin/sh", "-c", &format!("echo > begun; sleep {mark}")]);
    let permit = lane.permit();
    let cancel = Cancel::new();
    let helper = {
        let begun = until("the job begins", || lane.workspace.path().join("begun").exists());
        let run = lane.engine.run(&permit, &job, &cancel);
        tokio::select! {
            result = run => panic!("it cannot end: {result:?}"),
            () = begun => {}
        }
        // While it lives, it is left alone.
        assert_eq!(reap(lane.state.path()).unwrap(), Vec::<String>::new());
        helper_pid(&lane)
    };
    if let Some(helper) = helper.and_then(rustix::process::Pid::from_raw) {
        // It may have seen its lifeline close first.
        let _ = rustix::process::kill_process(helper, rustix::process::Signal::KILL);
    }
    until("the processes are gone", || processes_naming(&mark).is_empty()).await;
    until("the helper is dead", || {
        let _ = reap(lane.state.path());
        lane.left_behind().is_empty()
    })
    .await;
}

#[tokio::test]
async fn no_engine_is_said_in_plain_words_and_nothing_runs_on_the_host() {
    let Some(lane) = Lane::open().await else { return };
    let state = tempfile::tempdir().unwrap();
    let environment = gloaming_jobs::Environment::detect(&crate::support::host());
    let engine = |helper: &[&str]| {
        gloaming_jobs::Embedded::new(
            helper.iter().map(|word| (*word).into()).collect(),
            environment.clone(),
            state.path().to_owned(),
        )
    };
    for helper in [&[][..], &["/nonexistent/helper"], &["/bin/true"]] {
        let NoEngine { reason, .. } = engine(helper).probe().await.unwrap_err();
        assert!(reason.contains("helper"), "{reason}");
    }
    let marker = lane.workspace.path().join("ran");
    let job = lane.job(&["touch", &marker.display().to_string()]);
    assert!(engine(&["/bin/true"]).run(&lane.permit(), &job, &Cancel::new()).await.is_err());
    assert!(!marker.exists());
    assert!(Path::new("/bin/true").exists());
}
