//! The same against a GitHub that nobody here wrote: from a label to a merge, and with requests that go wrong.

mod partner;
mod slack;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use gloaming_api::bowout::Stage;
use gloaming_api::task::{PullRequestOutcome, TaskState};
use gloaming_api::worker::LeaseKey;
use gloaming_forge::CodeHost;
use gloaming_server::hooks::github::{Called, Handled, Hooks};
use gloaming_store::Delivery;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::scene::{Changed, Scene};
use partner::{Partner, installed};

fn git(folder: &Path, header: &str, words: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", &format!("http.extraHeader={header}")])
        .args(words)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// A task's way against the partner.
struct World {
    partner: Partner,
    host: Arc<dyn CodeHost>,
    scene: Scene,
    hooks: Hooks,
}

impl World {
    fn start() -> Option<Self> {
        let partner = Partner::start(installed()?);
        let host: Arc<dyn CodeHost> = Arc::new(partner.host());
        let mut scene = Scene::new(host.clone(), "acme/api");
        scene.now = Timestamp::now();
        let hooks = Hooks::new(scene.store.clone(), host.clone(), scene.grants.clone(), Called::default());
        Some(Self { partner, host, scene, hooks })
    }

    async fn handle(&self, delivery: &Delivery) -> Handled {
        self.hooks.handle(delivery, self.scene.now).await.expect("it can be worked on")
    }

    /// Opens an issue and gives it the label. Returns its number.
    async fn ask(&self, by: &str) -> u64 {
        let issue =
            self.partner.by(by, "POST", "issues", json!({"title": "Greet", "body": "By name."})).await;
        let number = issue["number"].as_u64().expect("a number");
        self.partner
            .by("alice", "POST", &format!("issues/{number}/labels"), json!({"labels": ["gloaming"]}))
            .await;
        number
    }

    /// Clones a branch as a worker would, with what the control plane has for it. Returns where, and its newest commit.
    async fn clone(&self, branch: &str) -> (PathBuf, String) {
        let access = self.host.read_access(&self.scene.repo, None).await.expect("read access");
        let header = format!("Authorization: {}", access.authorization.expose_secret());
        let at = self.partner.dir.path().join(branch.replace('/', "-"));
        let target = at.to_str().expect("UTF-8");
        git(self.partner.dir.path(), &header, &["clone", "-q", "-b", branch, &access.url, target]);
        let base = git(&at, "", &["rev-parse", "HEAD"]);
        (at, base)
    }

    /// Makes a change in a clone and ends the attempt with it.
    fn change(&self, lease: &LeaseKey, (clone, base): &(PathBuf, String), files: &[Changed<'_>]) {
        for (path, mode, content) in files {
            let path = clone.join(path);
            match content {
                None => std::fs::remove_file(&path).expect("it is there"),
                Some(content) => {
                    std::fs::create_dir_all(path.parent().expect("inside")).expect("a folder");
                    std::fs::write(&path, content).expect("a file");
                    let executable = if *mode == "100755" { "755" } else { "644" };
                    assert!(
                        Command::new("chmod").arg(executable).arg(&path).status().expect("chmod").success()
                    );
                }
            }
        }
        git(clone, "", &["add", "-A"]);
        let tree = git(clone, "", &["write-tree"]);
        let result = self.scene.result(lease, base, &tree, files);
        self.scene.finish(&result);
    }
}

impl World {
    /// Has a change published by a new client, with one of its requests going wrong, and counts what there is then. Returns
    /// the requests, and what the executor said of those that did not do.
    async fn publish(
        &mut self,
        clone: &(PathBuf, String),
        fault: Option<(usize, &str)>,
    ) -> (Vec<Value>, Vec<String>) {
        self.ask("alice").await;
        let delivery = self.partner.delivered("issues", "labeled");
        let Handled::Task(task) = self.handle(&delivery).await else { panic!("no task") };
        let lease = self.scene.claim();
        let content = format!("// {fault:?}\n");
        self.change(&lease, clone, &[("src/lib.rs", "100644", Some(&content))]);
        self.scene.host_is(Arc::new(self.partner.host()));
        let before = self.partner.calls().await.len();
        if let Some((at, how)) = fault {
            self.partner.fail(at, how).await;
        }
        let told = self.scene.work(None).await;
        let view = self.scene.record(&task).view;
        assert_eq!(view.state, TaskState::Published, "{fault:?}: {told:?}");
        let noted = view.pull_request.expect("it is noted");
        let pulls = self.partner.see(&format!("pulls?state=all&head=acme:{}", task.branch())).await;
        assert_eq!(pulls.as_array().map(Vec::len), Some(1), "{fault:?}");
        let checks = self.partner.see(&format!("commits/{}/check-runs", noted.commit)).await;
        assert_eq!(checks["total_count"], json!(1), "{fault:?}");
        let head = self.partner.see(&format!("git/ref/heads/{}", task.branch())).await;
        assert_eq!(head["object"]["sha"], json!(noted.commit), "{fault:?}");
        (self.partner.calls().await.split_off(before), told)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_label_to_a_merge_and_nothing_that_github_would_not_take() {
    let Some(mut world) = World::start() else { return };
    let issue = world.ask("alice").await;
    let delivery = world.partner.delivered("issues", "labeled");
    let Handled::Task(task) = world.handle(&delivery).await else { panic!("no task") };
    let lease = world.scene.claim();
    let change: &[Changed<'_>] = &[
        ("src/lib.rs", "100644", Some("pub fn greet(name: &str) {}\n")),
        ("src/run.sh", "100755", Some("#!/bin/sh\n")),
        ("README.md", "100644", None),
    ];
    world.change(&lease, &world.clone("main").await, change);
    assert_eq!(world.scene.work(None).await, Vec::<String>::new());

    let pulls = world.partner.see("pulls?state=all").await;
    let pull = &pulls[0];
    assert_eq!(
        (pulls.as_array().map(Vec::len), &pull["draft"], &pull["head"]["ref"]),
        (Some(1), &json!(true), &json!(task.branch()))
    );
    assert_eq!(pull["user"]["login"], world.host.me().await.expect("our name"));
    assert!(pull["body"].as_str().expect("a body").starts_with(&format!("Fixes #{issue}\n")));
    let noted = world.scene.record(&task).view.pull_request.expect("it is noted");
    assert_eq!((&pull["head"]["sha"], &pull["number"]), (&json!(noted.commit), &json!(noted.number)));
    let checks = world.partner.see(&format!("commits/{}/check-runs", noted.commit)).await;
    assert_eq!(
        (&checks["total_count"], &checks["check_runs"][0]["conclusion"]),
        (&json!(1), &json!("success"))
    );

    // A reviewer asks for more: a second commit on the same request.
    let number = noted.number;
    let review = json!({"event": "REQUEST_CHANGES", "body": "Say hello, too."});
    world.partner.by("alice", "POST", &format!("pulls/{number}/reviews"), review).await;
    let delivery = world.partner.delivered("pull_request_review", "submitted");
    assert_eq!(world.handle(&delivery).await, Handled::FollowUp(task.clone()));
    assert!(world.scene.record(&task).view.text.ends_with("Say hello, too."));
    let again = world.scene.claim();
    world.scene.stage(&again, Stage::Verify);
    world.scene.work(None).await;
    let checks = world.partner.see(&format!("commits/{}/check-runs", noted.commit)).await;
    let check = &checks["check_runs"][0];
    assert_eq!(
        (&checks["total_count"], &check["status"], &check["output"]["title"]),
        (&json!(1), &json!("in_progress"), &json!("Follow-up 1: verify"))
    );
    let change: &[Changed<'_>] = &[("src/lib.rs", "100644", Some("pub fn hello(name: &str) {}\n"))];
    world.change(&again, &world.clone(&task.branch()).await, change);
    world.scene.work(None).await;
    let second = world.scene.record(&task).view.pull_request.expect("it is noted");
    assert_eq!((second.number, second.commit != noted.commit), (number, true));
    let head = world.partner.see(&format!("git/ref/heads/{}", task.branch())).await;
    assert_eq!(head["object"]["sha"], json!(second.commit));
    let commit = world.partner.see(&format!("git/commits/{}", second.commit)).await;
    assert_eq!(commit["parents"][0]["sha"], json!(noted.commit));
    assert_eq!(world.partner.see("pulls?state=all").await.as_array().map(Vec::len), Some(1));

    // It is merged.
    world.partner.by("alice", "PATCH", &format!("pulls/{number}"), json!({"draft": false})).await;
    world.partner.by("alice", "PUT", &format!("pulls/{number}/merge"), json!({})).await;
    let delivery = world.partner.delivered("pull_request", "closed");
    assert_eq!(world.handle(&delivery).await, Handled::Outcome(task.clone(), PullRequestOutcome::Merged));
    assert_eq!(
        world.scene.record(&task).view.pull_request.and_then(|one| one.outcome),
        Some(PullRequestOutcome::Merged)
    );

    // Another one bows out: one comment, by us. Its label came from a stranger's issue, and that is no matter.
    let issue = world.ask("mallory").await;
    let delivery = world.partner.delivered("issues", "labeled");
    let Handled::Task(other) = world.handle(&delivery).await else { panic!("no task") };
    let lease = world.scene.claim();
    let base =
        world.partner.see("git/ref/heads/main").await["object"]["sha"].as_str().expect("a hash").to_owned();
    let result = world.scene.result(&lease, &base, &"a".repeat(40), &[("a.txt", "100644", Some("a\n"))]);
    world.scene.finish(&result);
    world.scene.work(None).await;
    assert_eq!(world.scene.record(&other).view.state, TaskState::BowedOut);
    let comments = world.partner.see(&format!("issues/{issue}/comments")).await;
    assert_eq!(comments.as_array().map(Vec::len), Some(1));
    assert!(comments[0]["body"].as_str().expect("a body").contains("**No pull request**"));
    // Said once, however often it is done.
    let heads = world.partner.see("git/matching-refs/heads/").await;
    assert_eq!(heads.as_array().map(Vec::len), Some(2), "a branch for a change that was not taken");

    // A stranger's word.
    let body = json!({"body": "@gloaming do as I say"});
    world.partner.by("mallory", "POST", &format!("issues/{issue}/comments"), body).await;
    let mut delivery = world.partner.delivered("issue_comment", "created");
    while !String::from_utf8_lossy(&delivery.body).contains("do as I say") {
        delivery = world.partner.delivered("issue_comment", "created");
    }
    assert!(matches!(world.handle(&delivery).await, Handled::Nothing(_)));

    let said = world.partner.keeps_to_the_contract().await;
    assert!(said.ends_with(" 0 of them wrong\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_comes_to_there_is_one_of_each() {
    let Some(mut world) = World::start() else { return };
    let clone = world.clone("main").await;
    // Which requests there are; then whichever writes goes wrong in each way, with tokens that are not yet made. What only
    // reads is tried against the host in memory.
    let (calls, told) = world.publish(&clone, None).await;
    assert_eq!(told, Vec::<String>::new());
    let writes = (0..calls.len()).filter(|at| calls[*at]["method"] != "GET");
    let mut tried = 0;
    for (at, how) in writes.flat_map(|at| ["after", "drop", "before", "limited"].map(|how| (at, how))) {
        let (_, told) = world.publish(&clone, Some((at, how))).await;
        assert!(!told.is_empty(), "{how} at {at} went by unseen: {}", calls[at]);
        tried += 1;
    }
    assert!(tried >= 7 * 4, "{tried} requests that write");
    let said = world.partner.keeps_to_the_contract().await;
    assert!(said.ends_with(" 0 of them wrong\n"), "{said}");
}
