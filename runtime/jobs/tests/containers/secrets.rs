//! Secrets reach the job that may have them, and nothing else.

use std::path::{Path, PathBuf};

use gloaming_api::RepoId;
use gloaming_api::job::{JobExit, JobPurpose};
use gloaming_jobs::{Cancel, Vault};
use gloaming_policies::{Grant, JobPermit, Lanes, Layer};

use crate::support::{Lane, client, containers, on_every_engine};

on_every_engine!(
    a_job_is_handed_the_secrets_of_its_grant_and_prints_none,
    a_job_of_another_purpose_has_none,
    no_value_is_written_to_a_disk_or_told_a_daemon,
);

const POLICY: &str = r#"
schema = 1
repos = ["*"]

[[allow]]
id = "files"
tools = ["*"]
paths = ["**"]

[[allow]]
id = "registry-token"
jobs = ["build"]
secrets = ["REGISTRY_*"]
"#;

pub(crate) fn permit(purpose: JobPurpose) -> JobPermit {
    let file = gloaming_policies::parse("p.toml", POLICY).expect("it parses");
    let lanes = Lanes { secrets: true, ..Lanes::default() };
    let repo: RepoId = "acme/api".parse().expect("a name");
    let grant = Grant::resolve_on(&repo, vec![(Layer::Operator, file)], lanes).expect("it loads");
    grant.permit_job(purpose).expect("it may be run")
}

pub(crate) fn vault() -> Vault {
    let mut vault = Vault::default();
    for (name, value) in [("REGISTRY_TOKEN", "tok-0123456789\n"), ("OTHER", "never-given-to-it")] {
        vault.add(name, &value.to_owned().into()).expect("it can be held");
    }
    vault
}

async fn a_job_is_handed_the_secrets_of_its_grant_and_prints_none(lane: Lane) {
    let lane = lane.with_secrets(vault()).await;
    let script = "set -e; test \"$REGISTRY_TOKEN\" = tok-0\"123456789\"; \
                  test \"$(cat /run/secrets/REGISTRY_TOKEN)\" = tok-0\"123456789\"; \
                  test \"$(stat -c %a /run/secrets/REGISTRY_TOKEN)\" = 400; ls /run/secrets; test -z \"$OTHER\"; env; \
                  env >&2; printf %s \"$REGISTRY_TOKEN\" | base64; printf %s tok-01234; sleep 0.05; echo 56789";
    let output = lane
        .engine
        .run(&permit(JobPurpose::Build), &lane.job(&["sh", "-c", script]), &Cancel::new())
        .await
        .expect("it runs");
    let shown = format!(
        "{}{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        serde_json::to_string(&output.record).expect("it is data")
    );
    assert_eq!(output.record.exit, JobExit::Code(0), "{shown}");
    assert_eq!(output.record.secrets, ["REGISTRY_TOKEN"]);
    assert!(!shown.contains("tok-0123456789") && !shown.contains("dG9rLTAxMjM0NTY3"), "{shown}");
    assert!(shown.matches("REGISTRY_TOKEN=[secret REGISTRY_TOKEN]").count() >= 2, "{shown}");
    assert!(!shown.contains("never-given-to-it"));
}

async fn a_job_of_another_purpose_has_none(lane: Lane) {
    let lane = lane.with_secrets(vault()).await;
    let script = "test -z \"$REGISTRY_TOKEN$OTHER\" && test -z \"$(ls /run/secrets)\"";
    let output = lane
        .engine
        .run(&permit(JobPurpose::Test), &lane.job(&["sh", "-c", script]), &Cancel::new())
        .await
        .expect("it runs");
    assert_eq!(output.record.exit, JobExit::Code(0));
    assert!(output.record.secrets.is_empty());
}

/// On our side, the container's folder is the only place on a disk that its making writes to; on a daemon's, all that it
/// keeps is in its own folder, and whoever has its socket can have it inspected.
async fn no_value_is_written_to_a_disk_or_told_a_daemon(lane: Lane) {
    let lane = lane.with_secrets(vault()).await;
    let script = "touch /workspace/there; while [ ! -e /workspace/go ]; do sleep 0.02; done";
    let (job, permit, cancel) = (lane.job(&["sh", "-c", script]), permit(JobPurpose::Build), Cancel::new());
    let mut running = lane.engine.run(&permit, &job, &cancel);
    let workspace = tokio::select! {
        output = &mut running => panic!("it waits to be looked at: {output:?}"),
        workspace = lane.until_made("there") => workspace,
    };
    let mut folders = vec![lane.state.path().to_owned()];
    if let Some(socket) = lane.socket() {
        let names = containers(&socket, &lane.task()).await;
        assert_eq!(names.len(), 1);
        let client = client(&socket).await;
        let inspected = client.inspect_container(names[0].trim_start_matches('/'), None).await;
        let told = serde_json::to_string(&inspected.expect("it runs")).expect("it is data");
        // What is looked at is the whole of it: where the secrets are is there, what they are is not.
        assert!(told.contains("/run/secrets"), "{told}");
        for untold in ["0123456789", "REGISTRY_TOKEN", "dG9r"] {
            assert!(!told.contains(untold), "{told}");
        }
        folders.push(socket.parent().expect("it is in a folder").to_owned());
    }
    #[cfg(feature = "kubernetes")]
    if lane.kind == gloaming_jobs::EngineKind::Kubernetes {
        let told = crate::cluster::told(&lane.task()).await;
        assert!(told.contains("/run/secrets"), "{told}");
        for untold in ["0123456789", "REGISTRY_TOKEN", "dG9r"] {
            assert!(!told.contains(untold), "{told}");
        }
        // What pods have printed, and the cluster's own store.
        folders.extend(["/var/log/pods".into(), crate::cluster::store()]);
    }
    for folder in &folders {
        assert_eq!(files_with(folder, b"tok-0123456789"), Vec::<PathBuf>::new());
    }
    let last = folders.last().expect("there is one");
    assert_ne!(
        files_with(last, b"/run/secrets"),
        Vec::<PathBuf>::new(),
        "the container's description is there"
    );
    std::fs::write(workspace.join("go"), "").expect("the job waits for it");
    assert_eq!(running.await.expect("it runs").record.exit, JobExit::Code(0));
}

fn files_with(dir: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            found.extend(files_with(&path, needle));
        } else if meta.is_file()
            && std::fs::read(&path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|part| part == needle))
        {
            found.push(path);
        }
    }
    found
}
