//! Schemathesis (PyPI): requests made from the OpenAPI document, right ones and wrong ones, and what is answered held to it.
//! `make schemathesis` installs it and names it by GLOAMING_SCHEMATHESIS; elsewhere nothing is asked.

use std::time::Duration;

use gloaming_api::access::Scope;
use gloaming_server::{Settings, Timeouts};
use serde_json::json;

use crate::support::{Running, Setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_described_is_what_is_answered() {
    let Ok(program) = std::env::var("GLOAMING_SCHEMATHESIS") else {
        println!("skipped: GLOAMING_SCHEMATHESIS is not set; `make schemathesis` runs this");
        return;
    };
    // Limits would answer most of it; each is tested by itself.
    let timeouts = Timeouts { heartbeat: Duration::from_millis(100), ..Timeouts::default() };
    let settings = Settings { rate_factor: 0, timeouts, ..Settings::default() };
    let running = Running::with(Setup { settings, ..Setup::default() }).await;
    let all = running.token("all", &[Scope::Admin, Scope::Worker], "*");
    let id = running.submit(&all, "acme/api").await;
    running.submit(&all, "acme/api").await;
    running.ask("POST", &format!("/v1/tasks/{id}/cancel"), &all).await;
    let repo = "acme/api".parse().unwrap();
    let key = gloaming_api::Digest::of("x");
    running.store.put_profile(&repo, &key, &json!({}), running.now()).unwrap();
    let url = format!("http://{}", running.address);
    let hostile = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/hostile");
    // It leaves its notes where it runs.
    let folder = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(program);
    command.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", hostile);
    command.args([
        "--config-file",
        &format!("{hostile}/schemathesis.toml"),
        "run",
        &format!("{url}/openapi.json"),
        "--url",
        &url,
        "--header",
    ]);
    command.arg(format!("Authorization: Bearer {all}"));
    command.args([
        "--max-examples",
        "60",
        "--seed",
        "7",
        "--request-timeout",
        "40",
        "--no-color",
        "--continue-on-failure",
    ]);
    // A stream of events that has no end, and a wait that is as long as asked for.
    command.args(["--exclude-name", "GET /v1/tasks/{id}/events", "--exclude-name", "POST /v1/leases"]);
    let ran = command.current_dir(folder.path()).kill_on_drop(true).output().await.unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{told}\n{}", String::from_utf8_lossy(&ran.stderr));
    println!("{told}");
}
