//! The pages in a real browser: `make browser`. Without `GLOAMING_BROWSER_DIR`, which has what drives one, it is skipped.
#![expect(
    clippy::disallowed_methods,
    reason = "the test starts a browser's driver, where the environment says so"
)]

use std::process::Stdio;
use std::time::Duration;

use gloaming_api::access::Scope;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::scene::{Scene, task};
use crate::support::Running;

/// Longer than the browser takes on a busy machine.
const LONGEST: Duration = Duration::from_secs(400);

#[tokio::test]
async fn people_use_the_pages_with_and_without_a_script() {
    let Some(dir) = std::env::var_os("GLOAMING_BROWSER_DIR") else {
        println!("skipped: GLOAMING_BROWSER_DIR is not set; `make browser` runs this");
        return;
    };
    let running = Running::start().await;
    let scene = Scene::new(&running, "");
    scene.all();
    scene.profile();
    let shots = std::env::var("GLOAMING_BROWSER_SHOTS").ok().filter(|shots| !shots.is_empty());
    let temporary = tempfile::tempdir().unwrap();
    let mut driver = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/browser.mjs"))
        .env("GLOAMING_BROWSER_DIR", dir)
        .env("SHOTS", shots.map_or_else(|| temporary.path().join("shots"), Into::into))
        .env("PROFILE", temporary.path().join("profile"))
        .env("URL", format!("http://{}", running.address))
        .env("TOKEN", running.token("anna", &[Scope::Submit], "*"))
        .env("PUBLISHED", task(1).as_str())
        .env("BOWED_OUT", task(2).as_str())
        .env("QUEUED", task(4).as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    let mut answers = driver.stdin.take().unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let done = tokio::time::timeout(LONGEST, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            // What the driver asks for changes the store, as a worker would; anything else it says is for people.
            match line.as_str() {
                "want: claim" => _ = scene.claim(4),
                "want: work" => scene.work(&Scene::lease(4)),
                "want: publish" => scene.publish(&Scene::lease(4)),
                "want: revoke" => {
                    let tokens = running.store.tokens().unwrap();
                    let anna = tokens.iter().find(|token| token.name == "anna").unwrap();
                    assert!(running.store.revoke_token(&anna.id, running.now()).unwrap());
                }
                said => {
                    println!("browser: {said}");
                    continue;
                }
            }
            answers.write_all(b"done\n").await.unwrap();
        }
        driver.wait().await.unwrap()
    });
    let status = done.await.expect("the browser ends in time");
    assert!(status.success(), "{status}");
}
