//! A cluster that does not do what it is told, as one does whose administrator has other ideas: a proxy before a real one
//! takes single promises out of the description of a job. Nothing is taken on its word, so each is noticed before the
//! command starts. And what is left at a cluster when we die.

use std::path::Path;
use std::sync::Arc;

use gloaming_api::job::JobPurpose;
use gloaming_jobs::{
    Cancel, Cluster, Egress, Engine as _, EngineKind, Holder, JobError, Kubernetes, KubernetesOptions,
};
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::cluster::{client, configured, environment, namespace, small_helper};
use crate::support::{Lane, names, text, with_user};

/// What is taken out, how, and what is said of it.
type Fault = (&'static str, fn(&mut Value), &'static str);

const FAULTS: &[Fault] = &[
    ("new privileges", |pod| security(pod, "allowPrivilegeEscalation", json!(true)), "NoNewPrivs is \"0\""),
    ("capabilities", |pod| security(pod, "capabilities", json!({})), "CapBnd is"),
    (
        "another user",
        |pod| {
            for kind in ["containers", "initContainers"] {
                for container in pod[kind].as_array_mut().expect("there are some") {
                    container["securityContext"]["runAsUser"] = json!(1234);
                }
            }
        },
        "its user is 1234",
    ),
    (
        "further groups",
        |pod| pod["securityContext"] = json!({"supplementalGroups": [27]}),
        "it keeps the groups",
    ),
    (
        "a root that can be written",
        |pod| security(pod, "readOnlyRootFilesystem", json!(false)),
        "its root can be written",
    ),
    ("the node's network", |pod| pod["hostNetwork"] = json!(true), "and no network of its own can be made"),
    ("memory", |pod| unlimited(pod, "memory"), "memory is not limited"),
    ("processor time", |pod| unlimited(pod, "cpu"), "processor time is not limited"),
    (
        "a folder in memory",
        |pod| volume(pod, "tmp", json!({"medium": "Memory"})),
        "/tmp is no folder in memory",
    ),
    ("a folder on a disk", |pod| volume(pod, "scratch", json!({})), "/scratch is no folder in memory"),
    (
        "a folder that nobody limits",
        |pod| {
            let mounts = pod["containers"][0]["volumeMounts"].as_array_mut().expect("there are some");
            mounts.push(json!({"name": "files", "mountPath": "/data", "subPath": "workspace"}));
        },
        "/data can be written to without a limit",
    ),
];

fn security(pod: &mut Value, name: &str, value: Value) {
    assert_eq!(pod["containers"][0]["name"], "job");
    let was = std::mem::replace(&mut pod["containers"][0]["securityContext"][name], value);
    assert_ne!(was, Value::Null, "{name}");
}

fn unlimited(pod: &mut Value, name: &str) {
    for kind in ["limits", "requests"] {
        let resources = pod["containers"][0]["resources"][kind].as_object_mut().expect("there are some");
        assert!(resources.remove(name).is_some());
    }
}

fn volume(pod: &mut Value, name: &str, instead: Value) {
    let volumes = pod["volumes"].as_array_mut().expect("there are some");
    let volume = volumes.iter_mut().find(|volume| volume["name"] == name).expect("it is there");
    volume["emptyDir"] = instead;
}

/// Listens on loopback and hands everything on to the cluster, as the user of its kubeconfig, but for the description of a
/// new job. Returns a kubeconfig that leads to it.
async fn proxy(folder: &Path, fault: fn(&mut Value)) -> Cluster {
    let cluster = configured().unwrap();
    let known = Kubeconfig::read_from(cluster.kubeconfig.as_ref().unwrap()).unwrap();
    let (server, user) =
        (known.clusters[0].cluster.clone().unwrap(), known.auth_infos[0].auth_info.clone().unwrap());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.certificate_authority.unwrap()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(user.client_certificate.unwrap()).unwrap()],
            PrivateKeyDer::from_pem_file(user.client_key.unwrap()).unwrap(),
        )
        .unwrap();
    let tls = TlsConnector::from(Arc::new(config));
    let address = server.server.unwrap().trim_start_matches("https://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, address) = (tls.clone(), address.clone());
            // A client that goes away half-way is no failure of the proxy's.
            tokio::spawn(async move { relay(stream, &tls, &address, fault).await });
        }
    });
    let file = folder.join("proxied.json");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&file, config.to_string()).unwrap();
    Cluster { kubeconfig: Some(file.into_os_string()), ..cluster }
}

async fn relay(
    mut client: TcpStream,
    tls: &TlsConnector,
    address: &str,
    fault: fn(&mut Value),
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines: Vec<&str> = text.trim_end().lines().collect();
    let header = |line: &str, name: &str| line.to_ascii_lowercase().starts_with(name);
    let mut body = Vec::new();
    if lines[0].starts_with("POST ") && lines[0].contains("/jobs?") {
        let length =
            lines.iter().find(|line| header(line, "content-length:")).expect("a description has a length");
        body = vec![0; length.split(':').nth(1).unwrap().trim().parse().unwrap()];
        client.read_exact(&mut body).await?;
        let mut job: Value = serde_json::from_slice(&body)?;
        fault(&mut job["spec"]["template"]["spec"]);
        body = job.to_string().into_bytes();
        lines.retain(|line| !header(line, "content-length:"));
    }
    let length = format!("Content-Length: {}", body.len());
    if !body.is_empty() {
        lines.push(&length);
    }
    if !lines.iter().any(|line| header(line, "upgrade:")) {
        // The next request is looked at too.
        lines.push("Connection: close");
    }
    let server = TcpStream::connect(address).await?;
    let name = ServerName::try_from(address.split(':').next().unwrap().to_owned()).unwrap();
    let mut server = tls.connect(name, server).await?;
    server.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes()).await?;
    server.write_all(&body).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn engine(lane: &Lane, cluster: Cluster) -> Kubernetes {
    Kubernetes::connect(KubernetesOptions {
        helper: small_helper(),
        environment: environment().unwrap(),
        state_dir: lane.state.path().to_owned(),
        cluster,
        holder: Holder { task: lane.task(), attempt: 1 },
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn what_a_cluster_leaves_out_is_noticed_kubernetes() {
    let Some(lane) = Lane::open(EngineKind::Kubernetes).await else { return };
    for (what, fault, said) in FAULTS {
        let engine = engine(&lane, proxy(lane.state.path(), *fault).await).await;
        match engine.run(&lane.permit(), &lane.job(&["touch", "/workspace/ran"]), &Cancel::new()).await {
            Err(JobError::Container { reason, .. }) => assert!(reason.contains(said), "{what}: {reason}"),
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(names(lane.workspace.path()).count(), 0, "{what}");
    }
    assert_eq!(lane.left_behind().await, Vec::<String>::new());
    // The proxy itself is not why.
    engine(&lane, proxy(lane.state.path(), |_| {}).await).await.probe().await.unwrap();
}

/// In a pod with a network like most have, and with the cluster's own filter left out: the job gets one of its own, and is
/// held to all the rest.
#[tokio::test]
async fn a_pods_network_is_left_where_the_cluster_lets_it_kubernetes() {
    let Some(mut lane) = Lane::open(EngineKind::Kubernetes).await else { return };
    let filter = Some("unconfined".to_owned());
    let host = proxy(lane.state.path(), |pod| pod["hostNetwork"] = json!(true)).await;
    lane.engine = Arc::new(engine(&lane, Cluster { filter: filter.clone(), ..host }).await);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let lane = lane.limited("timeout = \"600s\"\nprocesses = 40");
    let script = format!(
        "for to in 127.0.0.1/{port} 192.0.2.1/80; do bash -c \"exec 3<>/dev/tcp/$to\" 2>&1 | grep -o 'connect: .*'; done; \
         tail -n +3 /proc/net/dev | cut -d: -f1; grep -E '^(Seccomp|NoNewPrivs|CapBnd|CapPrm):' /proc/self/status | tr -s '\\t' ' '; \
         id -u; unshare -n true 2>/dev/null && echo left again; \
         n=0; while :; do sleep 6000 & n=$((n+1)); echo $n; done"
    );
    let output = lane.run(&["sh", "-c", &script]).await;
    let stdout = with_user(&text(&output.stdout));
    let said: Vec<&str> = stdout.lines().collect();
    let none = "0000000000000000";
    let begins = format!(
        "connect: Connection refused|connect: Network is unreachable|    lo|CapPrm: {none}|CapBnd: {none}|NoNewPrivs: 1|Seccomp: 2|60900|1"
    );
    assert!(said.join("|").starts_with(&begins), "{stdout} {}", text(&output.stderr));
    // The limit on processes is the same in the namespace.
    assert_eq!(said.last(), Some(&"39"), "{stdout}");
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);

    // Its proxy is in that network, and nothing else is.
    let permit = crate::egress::permit(JobPurpose::Test, &["forge.example".to_owned()]);
    let script = format!(
        "curl -s -o /dev/null -w '%{{http_code}} ' http://other.example/; curl --noproxy '*' -s http://127.0.0.1:{port}/; echo $?"
    );
    let output = crate::egress::run(&lane, &permit, Egress::default(), &["sh", "-c", &script]).await;
    assert_eq!(text(&output.stdout), "403 7\n", "{}", text(&output.stderr));
    assert_eq!(crate::egress::attempts(&output).len(), 1);

    // Without a filter of the cluster's nothing else changes.
    lane.engine.probe().await.unwrap();
    let plain = engine(&lane, Cluster { filter, ..configured().unwrap() }).await;
    plain.probe().await.unwrap();
}

#[tokio::test]
async fn no_secret_goes_where_a_node_could_keep_it_kubernetes() {
    let Some(lane) = Lane::open(EngineKind::Kubernetes).await else { return };
    let faults: &[Fault] = &[
        ("on a disk", |pod| volume(pod, "secrets", json!({})), "/run/secrets is no"),
        (
            "left out",
            |pod| {
                let mounts = pod["containers"][0]["volumeMounts"].as_array_mut().expect("there are some");
                mounts.retain(|mount| mount["name"] != "secrets");
            },
            "/run/secrets",
        ),
    ];
    for (what, fault, said) in faults {
        let engine = engine(&lane, proxy(lane.state.path(), *fault).await).await;
        let engine = engine.with_secrets(crate::secrets::vault());
        let permit = crate::secrets::permit(JobPurpose::Build);
        match engine.run(&permit, &lane.job(&["touch", "/workspace/ran"]), &Cancel::new()).await {
            Err(JobError::Container { reason, .. }) => assert!(reason.contains(said), "{what}: {reason}"),
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(names(lane.workspace.path()).count(), 0, "{what}");
    }
}

#[tokio::test]
async fn an_image_that_no_node_has_is_said_with_what_to_do_kubernetes() {
    let Some(lane) = Lane::open(EngineKind::Kubernetes).await else { return };
    let nobodys = format!("registry.example/none@sha256:{}", "0".repeat(64));
    let lane = lane.with_environment(Kubernetes::image(&nobodys).unwrap()).await;
    match lane.run_job(&lane.job(&["true"])).await {
        Err(JobError::Container { reason, hint, .. }) => {
            assert!(reason.contains("does not start"), "{reason}");
            assert!(hint.contains("the nodes have to have the image"), "{hint}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(lane.left_behind().await, Vec::<String>::new());
}

/// What a process killed between making a job and speaking with its pod leaves: nobody ends it.
#[tokio::test]
async fn the_clusters_reaper_removes_what_nobody_holds_kubernetes() {
    let Some(lane) = Lane::open(EngineKind::Kubernetes).await else { return };
    // A real one shows how its owner is written.
    let cancel = Cancel::new();
    let (job, permit) = (lane.job(&["/bin/sh", "-c", "echo > begun; sleep 600"]), lane.permit());
    let mut running = lane.engine.run(&permit, &job, &cancel);
    let marks = tokio::select! {
        ended = &mut running => panic!("it cannot end: {ended:?}"),
        marks = async {
            lane.until_made("begun").await;
            crate::cluster::marks(&lane.task()).await
        } => marks,
    };
    let living = marks.annotations["dev.gloaming.owner"].clone();
    let mut owner: Value = serde_json::from_str(&living).unwrap();
    owner["process"]["start"] = json!(1);
    let dead = owner.to_string();
    owner["machine"] = json!("another");
    let jobs: Api<Job> = Api::namespaced(client().await, &namespace());
    let name = |what: &str| {
        format!(
            "{what}-{}",
            lane.task()
                .trim_matches(|c: char| !c.is_alphanumeric())
                .to_lowercase()
                .replace(|c: char| !c.is_alphanumeric(), "-")
        )
    };
    for (what, mark) in
        [("dead", dead), ("living", living), ("elsewhere", owner.to_string()), ("foreign", "?".to_owned())]
    {
        let mut annotations = marks.annotations.clone();
        annotations.insert("dev.gloaming.owner".to_owned(), mark);
        let mut labels = marks.labels.clone();
        labels.remove("dev.gloaming.run");
        let job = json!({
            "metadata": {"name": name(what), "labels": labels, "annotations": annotations},
            // No pod: nothing runs, so nothing ends it.
            "spec": {"parallelism": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "none"}]}}},
        });
        jobs.create(&PostParams::default(), &serde_json::from_value(job).unwrap()).await.unwrap();
    }
    cancel.cancel();
    running.await.unwrap();
    engine(&lane, configured().unwrap()).await.reap().await.unwrap();
    let mut left = lane.left_behind().await;
    left.sort();
    let kept = ["elsewhere", "foreign", "living"];
    assert_eq!(left, kept.map(name));
    for what in kept {
        jobs.delete(&name(what), &DeleteParams::background()).await.unwrap();
    }
}
