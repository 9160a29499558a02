//! Which engine is chosen, and what is said of those that are not.

use std::path::Path;

use gloaming_api::job::JobPurpose;
use gloaming_jobs::{
    Cancel, Chosen, Cluster, EngineConfig, EngineKind, Engines, Feature, Holder, Sockets, Support, Wanted,
};

use crate::support::{Lane, helper, host, text};

fn config(lane: &Lane) -> EngineConfig {
    EngineConfig {
        engine: None,
        helper: helper(),
        state_dir: lane.state.path().to_owned(),
        environment: Wanted::Host(host()),
        sockets: Sockets {
            configured: lane.socket().map(|socket| format!("unix://{}", socket.display())),
            ..Sockets::default()
        },
        cluster: Cluster::default(),
        holder: Holder { task: lane.task(), attempt: 1 },
        secrets: crate::secrets::vault(),
    }
}

/// The secrets of the configuration reach the jobs of the engine that was chosen.
async fn are_handed_on(lane: &Lane, chosen: &Chosen) {
    let job = lane.job(&["printenv", "REGISTRY_TOKEN"]);
    let permit = crate::secrets::permit(JobPurpose::Build);
    let output = chosen.engine.run(&permit, &job, &Cancel::new()).await.unwrap();
    assert_eq!(text(&output.stdout), "[secret REGISTRY_TOKEN]\n");
}

#[tokio::test]
async fn what_needs_no_daemon_is_chosen_first() {
    let Some(lane) = Lane::open(EngineKind::Embedded).await else { return };
    let chosen = Engines::choose(&config(&lane)).await.unwrap();
    assert_eq!((chosen.engine.name(), chosen.why.as_str()), ("embedded", "it works, and needs no daemon"));
    assert!(chosen.tried.is_empty() && chosen.facts.seccomp && chosen.facts.cgroups.is_some());
    let capabilities = chosen.engine.capabilities();
    assert!(capabilities.has(Feature::HostTools) && !capabilities.has(Feature::Images));
    assert!(capabilities.has(Feature::Hosts) && capabilities.has(Feature::Secrets));
    are_handed_on(&lane, &chosen).await;
}

#[tokio::test]
async fn where_nothing_works_every_reason_is_said() {
    let Some(lane) = Lane::open(EngineKind::Embedded).await else { return };
    let sockets =
        Sockets { configured: Some("unix:///nonexistent/the.sock".to_owned()), ..Sockets::default() };
    let nothing = EngineConfig { helper: vec!["/bin/true".into()], sockets, ..config(&lane) };
    let error = Engines::choose(&nothing).await.err().expect("there is none");
    for part in
        ["embedded: ", "docker: there is no socket /nonexistent/the.sock", "podman: there is no socket"]
    {
        assert!(error.reason.contains(part), "{error}");
    }
    assert!(error.hint.contains("docker: start the daemon"), "{}", error.hint);
    // A configured one is the only one, and its reason the whole answer.
    let one = EngineConfig { engine: Some(EngineKind::Podman), ..nothing.clone() };
    let error = Engines::choose(&one).await.err().expect("there is none");
    assert_eq!(error.reason, "there is no socket /nonexistent/the.sock");
    // A socket that nobody listens at is told from one that is not there.
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("dead");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let configured = Some(socket.display().to_string());
    let dead = EngineConfig { sockets: Sockets { configured, ..Sockets::default() }, ..one };
    let error = Engines::choose(&dead).await.err().expect("there is none");
    assert!(
        error.reason.contains("Connection refused") && error.hint.contains("nobody listens"),
        "{error:?}"
    );
    let surveyed = Engines::survey(&nothing).await;
    assert_eq!(surveyed.iter().map(|candidate| candidate.engine).collect::<Vec<_>>(), EngineKind::ALL);
    assert!(surveyed.iter().all(|candidate| candidate.result.is_err()));
}

async fn a_daemon_is_chosen_when_configured(kind: EngineKind) {
    let Some(lane) = Lane::open(kind).await else { return };
    let configured = EngineConfig { engine: Some(kind), ..config(&lane) };
    let chosen = Engines::choose(&configured).await.unwrap();
    assert_eq!((chosen.engine.name(), chosen.why.as_str()), (kind.as_str(), "it is the configured one"));
    let facts = &chosen.facts;
    assert!(facts.seccomp && !facts.rootless && !facts.version.is_empty(), "{facts:?}");
    assert_eq!(facts.address, lane.socket().map(|socket| format!("unix://{}", socket.display())));
    let version2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    assert_eq!(facts.cgroups, Some(if version2 { 2 } else { 1 }));
    let job = lane.job(&["echo", "chosen"]);
    let output = chosen.engine.run(&lane.permit(), &job, &Cancel::new()).await.unwrap();
    assert_eq!(text(&output.stdout), "chosen\n");
    let capabilities = chosen.engine.capabilities();
    assert!(capabilities.has(Feature::Images) && *capabilities.get(Feature::Seccomp) == Support::Yes);
    assert!(capabilities.has(Feature::Hosts) && capabilities.has(Feature::Secrets));
    are_handed_on(&lane, &chosen).await;

    let surveyed = Engines::survey(&config(&lane)).await;
    let found = surveyed.iter().find(|candidate| candidate.engine == kind).unwrap();
    assert_eq!(found.result.as_ref().map(|(facts, _)| facts), Ok(facts));
    assert!(lane.left_behind().await.is_empty());
}

#[tokio::test]
async fn docker_is_chosen_when_configured() {
    a_daemon_is_chosen_when_configured(EngineKind::Docker).await;
}

#[tokio::test]
async fn podman_is_chosen_when_configured() {
    a_daemon_is_chosen_when_configured(EngineKind::Podman).await;
}

#[cfg(feature = "kubernetes")]
#[tokio::test]
async fn kubernetes_is_chosen_when_configured_and_never_otherwise() {
    let Some(lane) = Lane::open(EngineKind::Kubernetes).await else { return };
    let cluster = crate::cluster::configured().unwrap();
    let image = Wanted::Image(crate::cluster::image());
    let open = EngineConfig {
        helper: crate::cluster::small_helper(),
        environment: image,
        cluster,
        sockets: Sockets {
            configured: Some("unix:///nonexistent/the.sock".to_owned()),
            ..Sockets::default()
        },
        ..config(&lane)
    };
    // It would work, and nobody has asked for it.
    let error = Engines::choose(&open).await.err().expect("there is none on this machine");
    assert!(!error.reason.contains("kubernetes"), "{error}");
    let surveyed = Engines::survey(&open).await;
    let Err(error) = &surveyed[3].result else { panic!("a pod was made") };
    assert!(error.reason.contains("not asked for by name"), "{error}");

    let configured = EngineConfig { engine: Some(EngineKind::Kubernetes), ..open };
    let chosen = Engines::choose(&configured).await.unwrap();
    assert_eq!((chosen.engine.name(), chosen.why.as_str()), ("kubernetes", "it is the configured one"));
    let facts = &chosen.facts;
    assert!(facts.seccomp && facts.version.starts_with("v1."), "{facts:?}");
    assert!(facts.address.as_ref().is_some_and(|address| address.starts_with("https://")), "{facts:?}");
    assert!(facts.notes[0].contains(&crate::cluster::namespace()), "{facts:?}");
    let capabilities = chosen.engine.capabilities();
    assert!(capabilities.has(Feature::Images) && *capabilities.get(Feature::Seccomp) == Support::Yes);
    assert!(!capabilities.has(Feature::HostTools) && capabilities.has(Feature::Hosts));
    are_handed_on(&lane, &chosen).await;
    let surveyed = Engines::survey(&configured).await;
    let found = surveyed.iter().find(|candidate| candidate.engine == EngineKind::Kubernetes).unwrap();
    assert_eq!(found.result.as_ref().map(|(facts, _)| facts), Ok(facts));

    // What cannot be is said before anything is asked of the cluster.
    let fails = async |config: EngineConfig| Engines::choose(&config).await.err().expect("it does not work");
    let error = fails(EngineConfig { environment: Wanted::Host(host()), ..configured.clone() }).await;
    assert!(error.reason.contains("no image is named for jobs"), "{error}");
    let tag = Wanted::Image("registry.example/job:1".to_owned());
    assert!(
        fails(EngineConfig { environment: tag, ..configured.clone() }).await.reason.contains("can change")
    );
    let error = fails(EngineConfig { cluster: Cluster::default(), ..configured.clone() }).await;
    assert_eq!(error.reason, "no cluster is configured");
    let nowhere = Cluster { kubeconfig: Some("/nonexistent/config".into()), ..Cluster::default() };
    let error = fails(EngineConfig { cluster: nowhere, ..configured }).await;
    assert!(error.reason.starts_with("/nonexistent/config: "), "{error}");
    assert!(lane.left_behind().await.is_empty());
}

#[cfg(not(feature = "kubernetes"))]
#[tokio::test]
async fn an_engine_that_was_left_out_says_so() {
    let Some(lane) = Lane::open(EngineKind::Embedded).await else { return };
    let configured = EngineConfig { engine: Some(EngineKind::Kubernetes), ..config(&lane) };
    let error = Engines::choose(&configured).await.err().expect("it was left out");
    assert_eq!(error.reason, "this program was built without it");
    assert!(error.hint.contains("--features kubernetes"), "{}", error.hint);
}
