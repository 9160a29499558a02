//! Nothing of a job outlives it, whoever dies first.

use std::path::{Path, PathBuf};

use gloaming_api::job::JobExit;
use gloaming_jobs::{Cancel, Engine as _, EngineKind, JobError, NoEngine, reap};

use crate::support::{Lane, names, on_every_engine, processes_naming};
use crate::waiting::{Looks, until};

on_every_engine!(a_run_that_is_dropped_ends_its_container, a_killed_parent_takes_everything_along);

/// A word that only the job's own processes carry in their command line, and a time to sleep: a year and the name of
/// the workspace in digits behind the point.
fn mark(lane: &Lane) -> String {
    let name = lane.workspace.path().file_name().expect("it is in a folder").as_encoded_bytes();
    let digits: String = name.iter().map(|byte| format!("{byte:03}")).collect();
    format!("31536000.{digits}")
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

/// Waits until a lane has left nothing behind: a helper cleans up after its parent, a daemon after both.
async fn nothing_is_left(lane: &Lane) {
    let mut looks = Looks::new();
    #[cfg(feature = "kubernetes")]
    if lane.kind == EngineKind::Kubernetes {
        let engine =
            crate::cluster::engine(crate::cluster::environment().unwrap(), lane.state.path(), "").await;
        // The pod has ended; the cluster's account of it goes when somebody asks, and a probe's folder with its owner.
        while !lane.left_behind().await.is_empty() {
            engine.as_ref().unwrap().reap().await.unwrap();
            looks.next("the cluster forgets the job").await;
        }
        return;
    }
    loop {
        let left = lane.left_behind().await;
        // The folder of a killed parent is a file or two, and the reaper's.
        let only_folder =
            lane.kind != EngineKind::Embedded && left.iter().all(|name| name.starts_with("test-"));
        if left.is_empty() || only_folder {
            break;
        }
        looks.next(format_args!("the end of {left:?}")).await;
    }
    if let Some(socket) = lane.socket() {
        let environment = gloaming_jobs::Environment::detect(&crate::support::host());
        let engine = crate::support::docker(&socket, environment, lane.state.path(), "").await.unwrap();
        engine.reap().await.unwrap();
    }
    assert_eq!(lane.left_behind().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_killed_helper_takes_its_container_along() {
    let Some(lane) = Lane::open(EngineKind::Embedded).await else { return };
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
    assert_eq!(lane.left_behind().await, Vec::<String>::new());
    assert_eq!(lane.sh("exit 5").await.record.exit, JobExit::Code(5));
}

async fn a_run_that_is_dropped_ends_its_container(lane: Lane) {
    let mark = mark(&lane);
    let job = lane.job(&["/bin/sh", "-c", &format!("echo > begun; sleep {mark}")]);
    let permit = lane.permit();
    let cancel = Cancel::new();
    {
        let begun = lane.until_made("begun");
        let run = lane.engine.run(&permit, &job, &cancel);
        tokio::select! {
            result = run => panic!("it cannot end: {result:?}"),
            _ = begun => {}
        }
    }
    until("the processes are gone", || processes_naming(&mark).is_empty()).await;
    nothing_is_left(&lane).await;
}

#[tokio::test]
#[ignore = "takes as long as a helper is given to stop, 25 seconds"]
async fn a_helper_that_hangs_is_killed_with_its_container() {
    let Some(lane) = Lane::open(EngineKind::Embedded).await else { return };
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
    assert_eq!(lane.left_behind().await, Vec::<String>::new());
}

/// The parent dies without a chance to do anything: a child process of this test plays it.
async fn a_killed_parent_takes_everything_along(lane: Lane) {
    let mark = mark(&lane);
    // The very program and request that the engine uses, with a parent that can be killed.
    let script = format!("echo > begun; sleep {mark}");
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "survival::play_the_parent", "--ignored", "--nocapture"])
        .env("GLOAMING_TEST_STATE", lane.state.path())
        .env("GLOAMING_TEST_WORKSPACE", lane.workspace.path())
        .env("GLOAMING_TEST_SCRIPT", script)
        .env("GLOAMING_TEST_ENGINE", lane.kind.as_str())
        .envs(lane.socket().map(|socket| ("GLOAMING_TEST_SOCKET", socket)))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    lane.until_made("begun").await;
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("the processes are gone", || processes_naming(&mark).is_empty()).await;
    nothing_is_left(&lane).await;
}

#[tokio::test]
#[ignore = "the parent that another test kills"]
async fn play_the_parent() {
    let variable = |name: &str| std::env::var_os(name);
    let (Some(state), Some(workspace), Some(kind)) = (
        variable("GLOAMING_TEST_STATE").map(PathBuf::from),
        variable("GLOAMING_TEST_WORKSPACE").map(PathBuf::from),
        std::env::var("GLOAMING_TEST_ENGINE").ok(),
    ) else {
        return;
    };
    let lane = Lane::open(kind.parse().unwrap()).await.unwrap();
    let environment = crate::support::environment(lane.kind).unwrap();
    let task = state.display().to_string();
    let engine =
        crate::support::engine(lane.kind, environment, &state, &task, gloaming_jobs::Vault::default())
            .await
            .unwrap();
    let mut job = lane.job(&["/bin/sh", "-c", &std::env::var("GLOAMING_TEST_SCRIPT").unwrap()]);
    job.workspace = workspace;
    engine.run(&lane.permit(), &job, &Cancel::new()).await.unwrap();
}

/// Helper and parent die at once, and the kernel's death signal is all there is: what is left is folders.
#[tokio::test]
async fn the_reaper_removes_what_the_dead_left() {
    let Some(lane) = Lane::open(EngineKind::Embedded).await else { return };
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
    let mut looks = Looks::new();
    while !lane.left_behind().await.is_empty() {
        let _ = reap(lane.state.path());
        looks.next("the helper is dead").await;
    }
}

/// What a process killed between making and starting a container leaves: nothing runs, so nothing ends it.
async fn the_daemons_reaper_removes_what_nobody_holds(kind: EngineKind) {
    let Some(lane) = Lane::open(kind).await else { return };
    let socket = lane.socket().unwrap();
    let image = crate::images::import(&socket, "reaped").await;
    let client = crate::support::client(&socket).await;
    let read = |path: &str| std::fs::read_to_string(path).unwrap().trim().to_owned();
    let owner = |pid: u32, start: u64| {
        serde_json::json!({
            "pid": pid, "start": start, "boot": read("/proc/sys/kernel/random/boot_id"),
            "namespace": std::fs::read_link("/proc/self/ns/pid").unwrap(),
        })
        .to_string()
    };
    let stat = read("/proc/self/stat");
    let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    let me = std::process::id();
    let name = |what: &str| format!("{what}-{}", lane.task().trim_start_matches("/tmp/").replace('/', "-"));
    for (what, label) in [
        ("dead", owner(me, start + 1)),
        ("living", owner(me, start)),
        ("foreign", "somebody else's".to_owned()),
    ] {
        let labels =
            [("dev.gloaming.owner".to_owned(), label), ("dev.gloaming.task".to_owned(), lane.task())];
        let body = bollard::models::ContainerCreateBody {
            image: Some(image.clone()),
            labels: Some(labels.into()),
            ..Default::default()
        };
        let options =
            bollard::query_parameters::CreateContainerOptionsBuilder::default().name(&name(what)).build();
        client.create_container(Some(options), body).await.unwrap();
    }
    let environment = gloaming_jobs::Environment::detect(&crate::support::host());
    let engine = crate::support::docker(&socket, environment, lane.state.path(), "").await.unwrap();
    // Another test's reaper may have been first.
    engine.reap().await.unwrap();
    let mut left = lane.left_behind().await;
    left.sort();
    assert_eq!(left, [format!("/{}", name("foreign")), format!("/{}", name("living"))]);
    for what in ["living", "foreign"] {
        let options = bollard::query_parameters::RemoveContainerOptionsBuilder::default().force(true).build();
        client.remove_container(&name(what), Some(options)).await.unwrap();
    }
}

#[tokio::test]
async fn dockers_reaper_removes_what_nobody_holds() {
    the_daemons_reaper_removes_what_nobody_holds(EngineKind::Docker).await;
}

#[tokio::test]
async fn podmans_reaper_removes_what_nobody_holds() {
    the_daemons_reaper_removes_what_nobody_holds(EngineKind::Podman).await;
}

#[tokio::test]
async fn no_engine_is_said_in_plain_words_and_nothing_runs_on_the_host() {
    let Some(lane) = Lane::open(EngineKind::Embedded).await else { return };
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
