//! Environments that are images by digest. The image is the host's own programs packed up: no registry is asked.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use gloaming_api::job::JobExit;
use gloaming_jobs::{Docker, Engine as _, EngineConfig, EngineKind, Engines, Holder, Sockets, Wanted};

use crate::support::{Lane, client, containers, helper, text};

/// Packs a shell, some programs and what they are linked to, with a variable, a volume and a health check.
fn image(tag: &str) -> Vec<u8> {
    let mut files = BTreeMap::new();
    for program in ["/usr/bin/dash", "/usr/bin/ls", "/usr/bin/cat", "/usr/bin/id", "/usr/bin/true"] {
        files.insert(program.to_owned(), program.to_owned());
        let linked = std::process::Command::new("ldd").arg(program).output().expect("ldd is there");
        for word in text(&linked.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
            files.insert(word.to_owned(), word.to_owned());
        }
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (path, host) in files {
        let content = std::fs::read(host).expect("a program of the host");
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, path.trim_start_matches('/'), content.as_slice()).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_size(tag.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "etc/tag", tag.as_bytes()).unwrap();
    archive.into_inner().unwrap()
}

/// Imports an image under a tag; returns its id.
pub(crate) async fn import(socket: &Path, tag: &str) -> String {
    let changes = [
        "ENV%20PATH=/usr/bin:/nowhere",
        "ENV%20FLAVOUR=bitter",
        "ENV%20HOME=/root",
        "VOLUME%20/data",
        "ENTRYPOINT%20%5B%22/bin/false%22%5D",
    ];
    let id = import_with(socket, tag, &changes);
    let client = client(socket).await;
    let options =
        bollard::query_parameters::TagImageOptionsBuilder::default().repo("gloaming-test").tag(tag).build();
    client.tag_image(&id, Some(options)).await.unwrap();
    id
}

/// Imports an image with these changes; returns its id. By hand: each change is a parameter of its own, which the client
/// joins and podman does not take apart.
pub(crate) fn import_with(socket: &Path, tag: &str, changes: &[&str]) -> String {
    let packed = image(tag);
    let changes: String = changes.iter().map(|change| format!("&changes={change}")).collect();
    let mut stream = UnixStream::connect(socket).unwrap();
    let head = format!(
        "POST /v1.40/images/create?fromSrc=-{changes} HTTP/1.0\r\nHost: d\r\nContent-Type: application/x-tar\r\n\
         Content-Length: {}\r\n\r\n",
        packed.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&packed).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
        .split('"')
        .find(|word| word.starts_with("sha256:"))
        .expect(&answer)
        .trim_end_matches("\\r\\n")
        .to_owned()
}

async fn a_job_in_an_image_is_held_to_the_same(kind: EngineKind) {
    let Some(lane) = Lane::open(kind).await else { return };
    let socket = lane.socket().unwrap();
    let id = import(&socket, "held").await;
    let environment = Docker::image(&socket, &id).await.unwrap();
    assert_eq!(environment.digest().to_string(), id);
    let lane = lane.with_environment(environment).await;
    lane.engine.probe().await.unwrap();
    std::fs::write(lane.workspace.path().join("mine"), "kept").unwrap();
    let output = lane
        .run(&[
            "dash",
            "-c",
            "id -u; cat /etc/tag /workspace/mine; echo; echo $FLAVOUR $HOME $PATH; ls /; echo > /data/x && ls /data; \
             for f in /x /etc/x /usr/x /.gloaming/x /workspace/x /scratch/x /tmp/x; do (: > $f) 2>/dev/null && echo wrote $f; done; \
             while read name value; do case $name in Seccomp:|NoNewPrivs:|CapBnd:) echo $name $value;; esac; done < /proc/self/status",
        ])
        .await;
    let stdout = text(&output.stdout);
    // Podman makes two folders of its own.
    let stdout = stdout.lines().filter(|line| !["run", "var"].contains(line)).collect::<Vec<_>>().join("\n");
    assert_eq!(
        stdout,
        "60900\nheldkept\nbitter /scratch/home /usr/bin:/nowhere\ndata\ndev\netc\nlib\nlib64\nproc\nscratch\nsys\ntmp\nusr\n\
         workspace\nx\nwrote /workspace/x\nwrote /scratch/x\nwrote /tmp/x\nCapBnd: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2",
        "{}",
        text(&output.stderr)
    );
    assert_eq!(output.record.environment.to_string(), id);
    let output = lane.run(&["cc", "x.c"]).await;
    assert_eq!(output.record.exit, JobExit::Code(127));
    assert_eq!(text(&output.stderr), "gloaming: cc: program not found\n");
    assert_eq!(containers(&socket, &lane.task()).await, Vec::<String>::new());
}

async fn a_tag_is_refused_with_the_digest_it_has_here(kind: EngineKind) {
    let Some(lane) = Lane::open(kind).await else { return };
    let socket = lane.socket().unwrap();
    let id = import(&socket, "moving").await;
    let refused = Docker::image(&socket, "gloaming-test:moving").await.unwrap_err();
    assert_eq!(refused.reason, "that is a name or a tag, and what it stands for can change");
    let written = refused.hint.strip_prefix("write ").and_then(|hint| hint.split(',').next()).unwrap();
    // What the hint says works, and is the same image.
    let environment = Docker::image(&socket, written).await.unwrap();
    let lane = lane.with_environment(environment).await;
    assert_eq!(text(&lane.run(&["cat", "/etc/tag"]).await.stdout), "moving");
    assert!(written.contains("@sha256:") || written == id, "{written}");

    let absent = Docker::image(&socket, "gloaming-test:none").await.unwrap_err();
    assert!(absent.hint.contains("has no such image"), "{absent:?}");
    let absent =
        Docker::image(&socket, &format!("gloaming-test@sha256:{}", "0".repeat(64))).await.unwrap_err();
    assert!(absent.hint.contains(&format!("{kind} pull gloaming-test@sha256:000")), "{absent:?}");
    assert!(Docker::image(&socket, "../containers").await.unwrap_err().reason.contains("not a name"));
}

async fn a_configured_image_chooses_the_daemon_that_has_it(kind: EngineKind) {
    let Some(lane) = Lane::open(kind).await else { return };
    let socket = lane.socket().unwrap();
    let id = import(&socket, "chosen").await;
    let config = EngineConfig {
        engine: None,
        helper: helper(),
        state_dir: lane.state.path().to_owned(),
        environment: Wanted::Image(id.clone()),
        sockets: Sockets { configured: Some(format!("unix://{}", socket.display())), ..Sockets::default() },
        cluster: gloaming_jobs::Cluster::default(),
        holder: Holder { task: lane.task(), attempt: 2 },
        secrets: gloaming_jobs::Vault::default(),
    };
    let chosen = Engines::choose(&config).await.unwrap();
    assert_eq!(chosen.engine.name(), kind.as_str());
    assert_eq!(chosen.environment.digest().to_string(), id);
    assert_eq!(chosen.tried[0].engine, EngineKind::Embedded);
    assert!(chosen.tried[0].error.reason.contains("cannot unpack images"), "{:?}", chosen.tried);
    assert!(chosen.why.starts_with("it works; not embedded:"), "{}", chosen.why);
    // The embedded engine says so itself, whoever makes it.
    let embedded = gloaming_jobs::Embedded::new(helper(), chosen.environment, lane.state.path().to_owned());
    assert!(embedded.probe().await.unwrap_err().reason.contains("cannot unpack images"));
    let job = lane.job(&["true"]);
    assert!(embedded.run(&lane.permit(), &job, &gloaming_jobs::Cancel::new()).await.is_err());
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
    a_job_in_an_image_is_held_to_the_same,
    a_tag_is_refused_with_the_digest_it_has_here,
    a_configured_image_chooses_the_daemon_that_has_it,
);
