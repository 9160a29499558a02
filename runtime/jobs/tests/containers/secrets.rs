//! Secrets reach the job that may have them, and nothing else.

use gloaming_api::RepoId;
use gloaming_api::job::{JobExit, JobPurpose};
use gloaming_jobs::{Cancel, Engine as _, Vault};
use gloaming_policies::{Grant, JobPermit, Lanes, Layer};

use crate::support::Lane;

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

fn permit(purpose: JobPurpose) -> JobPermit {
    let file = gloaming_policies::parse("p.toml", POLICY).expect("it parses");
    let lanes = Lanes { secrets: true, ..Lanes::default() };
    let repo: RepoId = "acme/api".parse().expect("a name");
    let grant = Grant::resolve_on(&repo, vec![(Layer::Operator, file)], lanes).expect("it loads");
    grant.permit_job(purpose).expect("it may be run")
}

fn vault() -> Vault {
    let mut vault = Vault::default();
    for (name, value) in [("REGISTRY_TOKEN", "tok-0123456789\n"), ("OTHER", "never-given-to-it")] {
        vault.add(name, &value.to_owned().into()).expect("it can be held");
    }
    vault
}

#[tokio::test]
async fn a_job_is_handed_the_secrets_of_its_grant_and_prints_none() {
    let Some(lane) = Lane::open().await else { return };
    let engine = lane.engine.clone().with_secrets(vault());
    let script = "set -e; test \"$REGISTRY_TOKEN\" = tok-0\"123456789\"; \
                  test \"$(cat /run/secrets/REGISTRY_TOKEN)\" = tok-0\"123456789\"; \
                  test \"$(stat -c %a /run/secrets/REGISTRY_TOKEN)\" = 400; ls /run/secrets; test -z \"$OTHER\"; env; \
                  env >&2; printf %s \"$REGISTRY_TOKEN\" | base64; printf %s tok-01234; sleep 0.05; echo 56789";
    let output = engine
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

#[tokio::test]
async fn a_job_of_another_purpose_has_none() {
    let Some(lane) = Lane::open().await else { return };
    let engine = lane.engine.clone().with_secrets(vault());
    let script = "test -z \"$REGISTRY_TOKEN$OTHER\" && test -z \"$(ls /run/secrets)\"";
    let output = engine
        .run(&permit(JobPurpose::Test), &lane.job(&["sh", "-c", script]), &Cancel::new())
        .await
        .expect("it runs");
    assert_eq!(output.record.exit, JobExit::Code(0));
    assert!(output.record.secrets.is_empty());
}

/// The container's folder is the only place on a disk that its making writes to.
#[tokio::test]
async fn no_value_is_written_to_a_disk() {
    let Some(lane) = Lane::open().await else { return };
    let engine = lane.engine.clone().with_secrets(vault());
    let state = lane.state.path();
    let script = "touch /workspace/there; while [ ! -e /workspace/go ]; do sleep 0.02; done";
    let job = lane.job(&["sh", "-c", script]);
    let cancel = Cancel::new();
    let permit = permit(JobPurpose::Build);
    let looking = async {
        while !lane.workspace.path().join("there").exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let found = files_with(state, b"tok-0123456789");
        std::fs::write(lane.workspace.path().join("go"), "").expect("the job waits for it");
        found
    };
    let (output, found) = tokio::join!(engine.run(&permit, &job, &cancel), looking);
    assert_eq!(output.expect("it runs").record.exit, JobExit::Code(0));
    assert_eq!(found, Vec::<std::path::PathBuf>::new());
}

fn files_with(dir: &std::path::Path, needle: &[u8]) -> Vec<std::path::PathBuf> {
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
