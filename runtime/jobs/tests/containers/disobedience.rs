//! A daemon that does not do what it is told: a proxy before a real one takes single promises out of the request.
//! Nothing is taken on its word, so each is noticed before the command starts.

use std::io::{self, Read, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use gloaming_api::job::JobPurpose;
use gloaming_jobs::{Cancel, Egress, Engine as _, EngineKind, Environment, JobError};
use serde_json::{Value, json};

use crate::support::{Lane, containers, docker, host};

/// What is taken out, how, and what is said of it.
type Fault = (&'static str, fn(&mut Value), &'static str);

const FAULTS: &[Fault] = &[
    ("no filter at all", |body| options(body, "seccomp=", Some("seccomp=unconfined")), "Seccomp is \"0\""),
    ("the daemon's own filter", |body| options(body, "seccomp=", None), "the system call filter is not ours"),
    ("new privileges", |body| options(body, "no-new-privileges", None), "NoNewPrivs is \"0\""),
    ("capabilities", |body| set(body, "CapDrop", json!([])), "CapBnd is"),
    ("another user", |body| body["User"] = json!("0:0"), "its user is 0"),
    ("further groups", |body| set(body, "GroupAdd", json!(["27"])), "it keeps the groups"),
    (
        "a root that can be written",
        |body| set(body, "ReadonlyRootfs", json!(false)),
        "its root can be written",
    ),
    (
        "the host's network",
        |body| {
            set(body, "NetworkMode", json!("host"));
            // A daemon refuses that one itself there.
            set(body, "Sysctls", json!({}));
        },
        "a route leads out",
    ),
    (
        "memory",
        |body| {
            set(body, "Memory", json!(0));
            set(body, "MemorySwap", json!(0));
        },
        "memory is not limited",
    ),
    ("processes", |body| set(body, "PidsLimit", json!(100_000)), "the number of processes is not limited"),
    ("processor time", |body| set(body, "NanoCpus", json!(0)), "processor time is not limited"),
];

fn set(body: &mut Value, name: &str, value: Value) {
    body["HostConfig"][name] = value;
}

/// Takes the security option that begins so out of the request, and puts another in its place.
fn options(body: &mut Value, beginning: &str, instead: Option<&str>) {
    let options = body["HostConfig"]["SecurityOpt"].as_array_mut().expect("there are some");
    let before = options.len();
    options.retain(|option| !option.as_str().is_some_and(|option| option.starts_with(beginning)));
    assert_eq!(options.len(), before - 1, "{beginning}");
    options.extend(instead.map(Value::from));
}

/// Listens in `folder` and hands everything on to a daemon, but for the description of a new container.
fn proxy(folder: &Path, daemon: &Path, fault: fn(&mut Value)) -> PathBuf {
    let socket = folder.join("proxy");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = daemon.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let daemon = daemon.clone();
            // A client that goes away half-way is no failure of the proxy's.
            std::thread::spawn(move || relay(client, &daemon, fault));
        }
    });
    socket
}

fn relay(mut client: UnixStream, daemon: &Path, fault: fn(&mut Value)) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut server = UnixStream::connect(daemon)?;
    if text.split(' ').nth(1).is_some_and(|path| path.contains("/containers/create")) {
        let length = text
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
            .expect("a description has a length");
        let mut body = vec![0; length];
        client.read_exact(&mut body)?;
        let mut body: Value = serde_json::from_slice(&body)?;
        fault(&mut body);
        let body = body.to_string();
        for line in
            text.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("content-length"))
        {
            write!(server, "{line}\r\n")?;
        }
        write!(server, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    } else {
        server.write_all(&head)?;
    }
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Both)
}

async fn what_a_daemon_leaves_out_is_noticed(kind: EngineKind) {
    let Some(lane) = Lane::open(kind).await else { return };
    let daemon = lane.socket().unwrap();
    let environment = Environment::detect(&host());
    // A job that is to have network, so that a proxy's socket would be handed over; the probe below has none.
    let permit = crate::egress::permit(JobPurpose::Test, &["forge.example".to_owned()]);
    for (what, fault, said) in FAULTS {
        let socket = proxy(lane.state.path(), &daemon, *fault);
        let engine = docker(&socket, environment.clone(), lane.state.path(), &lane.task()).await.unwrap();
        let mut job = lane.job(&["touch", "/workspace/ran"]);
        job.egress = Some(Egress::default());
        match engine.run(&permit, &job, &Cancel::new()).await {
            Err(JobError::Container { reason, .. }) => assert!(reason.contains(said), "{what}: {reason}"),
            other => panic!("{what}: {other:?}"),
        }
        assert!(!lane.workspace.path().join("ran").exists(), "{what}");
        assert!(engine.probe().await.is_err(), "{what}");
    }
    assert_eq!(containers(&daemon, &lane.task()).await, Vec::<String>::new());
    // The proxy itself is not why.
    let socket = proxy(lane.state.path(), &daemon, |_| {});
    let engine = docker(&socket, environment, lane.state.path(), &lane.task()).await.unwrap();
    engine.probe().await.unwrap();
}

/// Where the secrets go when the folder for them is not in memory: nowhere.
const NOT_IN_MEMORY: &[Fault] = &[
    ("left out", |body| no_folder(body), "/run/secrets"),
    (
        "on a disk",
        |body| {
            no_folder(body);
            let disk = json!({"Type": "bind", "Source": "/usr", "Target": "/run/secrets", "ReadOnly": true});
            body["HostConfig"]["Mounts"].as_array_mut().expect("there are some").push(disk);
        },
        "/run/secrets is not in memory",
    ),
];

fn no_folder(body: &mut Value) {
    let folders = body["HostConfig"]["Tmpfs"].as_object_mut().expect("there are some");
    assert!(folders.remove("/run/secrets").is_some());
}

async fn no_secret_goes_where_it_could_be_kept(kind: EngineKind) {
    let Some(lane) = Lane::open(kind).await else { return };
    let daemon = lane.socket().unwrap();
    for (what, fault, said) in NOT_IN_MEMORY {
        let socket = proxy(lane.state.path(), &daemon, *fault);
        let engine = docker(&socket, Environment::detect(&host()), lane.state.path(), &lane.task()).await;
        let engine = engine.unwrap().with_secrets(crate::secrets::vault());
        let job = lane.job(&["touch", "/workspace/ran"]);
        let permit = crate::secrets::permit(JobPurpose::Build);
        match engine.run(&permit, &job, &Cancel::new()).await {
            Err(JobError::Container { reason, .. }) => assert!(reason.contains(said), "{what}: {reason}"),
            other => panic!("{what}: {other:?}"),
        }
        assert!(!lane.workspace.path().join("ran").exists(), "{what}");
    }
}

#[tokio::test]
async fn no_secret_goes_where_docker_could_keep_it() {
    no_secret_goes_where_it_could_be_kept(EngineKind::Docker).await;
}

#[tokio::test]
async fn no_secret_goes_where_podman_could_keep_it() {
    no_secret_goes_where_it_could_be_kept(EngineKind::Podman).await;
}

#[tokio::test]
async fn what_docker_leaves_out_is_noticed() {
    what_a_daemon_leaves_out_is_noticed(EngineKind::Docker).await;
}

#[tokio::test]
async fn what_podman_leaves_out_is_noticed() {
    what_a_daemon_leaves_out_is_noticed(EngineKind::Podman).await;
}
