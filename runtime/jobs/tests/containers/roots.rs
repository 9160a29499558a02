//! The small roots that are imported at a daemon: which image a job gets, and how many stay.

use std::path::{Path, PathBuf};

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions, RemoveImageOptions};
use gloaming_api::job::JobExit;
use gloaming_jobs::{Docker, Engine as _, EngineKind, Environment, HostFacts};

use crate::images::import_with;
use crate::support::{Lane, client, docker, host, names, text};

/// The records of a state folder, by what is in them.
fn records(state: &Path) -> Vec<(PathBuf, serde_json::Value)> {
    let roots = state.join("roots");
    let daemons: Vec<String> = names(&roots).collect();
    let mut found = Vec::new();
    for daemon in daemons {
        for name in names(&roots.join(&daemon)).filter(|name| name.ends_with(".json")) {
            let path = roots.join(&daemon).join(name);
            let record = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            found.push((path, record));
        }
    }
    found
}

fn image_of(record: &serde_json::Value) -> String {
    record["image"].as_str().unwrap().to_owned()
}

async fn is_there(socket: &Path, image: &str) -> bool {
    client(socket).await.inspect_image(image).await.is_ok()
}

async fn only_the_image_that_was_imported_is_used_whatever_labels_another_carries(kind: EngineKind) {
    let Some(lane) = Lane::open(kind).await else { return };
    let socket = lane.socket().unwrap();
    let environment = Environment::detect(&host());
    let label = format!("LABEL%20dev.gloaming.environment={}", environment.digest());
    let evil = import_with(&socket, "evil", &[&label]);
    let look = "cat /etc/tag; ls -d /etc/passwd";
    let output = lane.sh(look).await;
    assert_eq!((output.record.exit, text(&output.stdout).as_str()), (JobExit::Code(0), "/etc/passwd\n"));
    let [(path, record)] = records(lane.state.path()).try_into().unwrap();
    let image = image_of(&record);
    assert_ne!(image, evil);

    // The next process finds it by what was written down.
    let lane = lane.with_environment(environment.clone()).await;
    lane.sh("true").await;
    assert_eq!(records(lane.state.path()), [(path.clone(), record.clone())]);

    // What does not consist of what was imported is noticed, also where the record itself leads to it.
    let led = serde_json::json!({ "image": evil, "layer": record["layer"] });
    std::fs::write(&path, led.to_string()).unwrap();
    let lane = lane.with_environment(environment.clone()).await;
    let output = lane.sh(look).await;
    assert_eq!(text(&output.stdout), "/etc/passwd\n");
    let again = image_of(&records(lane.state.path())[0].1);
    assert!(again != evil && is_there(&socket, &again).await);
    // It is nobody's to remove but who made it.
    assert!(is_there(&socket, &evil).await);

    // An image that somebody has removed is imported again.
    let client = client(&socket).await;
    client.remove_image(&again, None::<RemoveImageOptions>, None).await.unwrap();
    let output = lane.sh(look).await;
    assert_eq!(text(&output.stdout), "/etc/passwd\n", "{}", text(&output.stderr));
}

/// Environments that differ in a variable.
fn environment(dir: &Path, name: &str) -> Environment {
    let venv = dir.join(name);
    std::fs::create_dir_all(venv.join("bin")).unwrap();
    std::fs::write(venv.join("pyvenv.cfg"), "").unwrap();
    Environment::detect(&HostFacts { virtual_env: Some(venv), ..host() })
}

async fn roots_that_were_used_longest_ago_go_and_those_in_use_stay(kind: EngineKind) {
    let Some(lane) = Lane::open(kind).await else { return };
    let (socket, dir) = (lane.socket().unwrap(), tempfile::tempdir().unwrap());
    let state = lane.state.path();
    // Uses an environment's root; returns the engine and the image.
    let used = async |name: &str, kept: usize| -> (Docker, String) {
        let environment = environment(dir.path(), name);
        let digest = environment.digest().hex().to_owned();
        let engine = docker(&socket, environment, state, &lane.task()).await.unwrap().keeping_roots(kept);
        let output =
            engine.run(&lane.permit(), &lane.job(&["true"]), &gloaming_jobs::Cancel::new()).await.unwrap();
        assert!(output.record.exit.success(), "{}", text(&output.stderr));
        let of = |path: &Path| path.file_stem().is_some_and(|stem| *stem == *digest);
        let record = records(state).into_iter().find(|(path, _)| of(path)).unwrap().1;
        (engine, image_of(&record))
    };
    let (held, first) = used("first", 2).await;
    let (engine, second) = used("second", 2).await;
    drop(engine);
    let (engine, third) = used("third", 2).await;
    assert!(is_there(&socket, &first).await && is_there(&socket, &third).await);
    assert!(!is_there(&socket, &second).await, "the one that nobody uses stays");
    drop((held, engine));

    // A container of somebody's holds the third; the first nobody.
    let client = client(&socket).await;
    let body = ContainerCreateBody {
        image: Some(third.clone()),
        cmd: Some(vec!["/bin/true".to_owned()]),
        ..ContainerCreateBody::default()
    };
    let container = client.create_container(None::<CreateContainerOptions>, body).await.unwrap().id;
    let (engine, fourth) = used("fourth", 1).await;
    drop(engine);
    assert!(!is_there(&socket, &first).await && is_there(&socket, &third).await);
    assert_eq!(records(state).len(), 2);
    client.remove_container(&container, None::<RemoveContainerOptions>).await.unwrap();
    // Whoever used one is used last, however old it is.
    let (_engine, again) = used("first", 1).await;
    assert!(!is_there(&socket, &third).await && !is_there(&socket, &fourth).await);
    assert!(is_there(&socket, &again).await);
    assert_eq!(records(state).len(), 1);
}

macro_rules! on_daemons {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use gloaming_jobs::EngineKind;

            #[tokio::test]
            async fn docker() {
                super::$name(EngineKind::Docker).await;
            }

            #[tokio::test]
            async fn podman() {
                super::$name(EngineKind::Podman).await;
            }
        }
    )*};
}

on_daemons!(
    only_the_image_that_was_imported_is_used_whatever_labels_another_carries,
    roots_that_were_used_longest_ago_go_and_those_in_use_stay,
);
