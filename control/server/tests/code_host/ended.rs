//! Who is told when a task ends without a pull request or a newer commit: nobody is left waiting.

use std::sync::Arc;
use std::time::Duration;

use gloaming_api::TaskId;
use gloaming_api::bowout::Cost;
use gloaming_api::task::{Source, TaskState};
use gloaming_api::worker::{AttemptResult, Control as _, LeaseKey, LeaseRequest, PROTOCOL};
use gloaming_forge::host::CheckState;
use gloaming_forge::memory::MemoryHost;
use gloaming_server::hooks::github::{Called, Hooks};
use gloaming_server::{InProcess, Policies};
use gloaming_store::Kinds;
use jiff::SignedDuration;

use crate::published::finished;
use crate::scene::{Changed, Scene, TOKEN, start};

const CHANGE: &[Changed<'_>] = &[("src/lib.rs", "100644", Some("// changed\n"))];

/// The attempts that a task has by default, each of which fails.
const ATTEMPTS: usize = 3;

fn scene() -> (Arc<MemoryHost>, Scene) {
    let host = Arc::new(MemoryHost::new(&[("src/lib.rs", "")], start()));
    let scene = Scene::new(host.clone(), "acme/api");
    (host, scene)
}

/// What is said under the issue, and the checks.
fn told(host: &MemoryHost) -> (Vec<String>, Vec<CheckState>) {
    host.look(|state| {
        let said = state.comments.values().flatten();
        // But for the mark, which is another for each task.
        let said = said.map(|one| one.body.split("\n\n<!--").next().unwrap_or_default().to_owned());
        (said.collect(), state.checks.iter().map(|(_, check)| check.state).collect())
    })
}

#[tokio::test]
async fn a_task_that_fails_for_good_says_so_where_it_was_asked_for_and_once() {
    for by_name in [true, false] {
        let (host, mut scene) = scene();
        let task = scene.submit(Source::Issue { number: 12 }, by_name);
        for attempt in 1..=ATTEMPTS {
            assert_eq!(
                told(&host),
                (vec![], vec![]),
                "before attempt {attempt}: it may still come to something"
            );
            let lease = scene.claim();
            let failed = AttemptResult::Failed { error: "no route to host".into(), cost: Cost::default() };
            scene.end(&lease, &failed);
            scene.end(&lease, &failed);
            scene.work(None).await;
            scene.now += SignedDuration::from_hours(1);
        }
        assert_eq!(scene.record(&task).view.state, TaskState::Failed);
        let said = "**No pull request**: the infrastructure failed, not the change. no route to host\n\n\
                    Ask again when that is repaired.";
        let expect = match by_name {
            true => (vec![said.to_owned()], vec![]),
            false => (vec![], vec![CheckState::Neutral]),
        };
        assert_eq!(told(&host), expect);
    }
}

#[tokio::test]
async fn a_task_whose_repository_lost_its_policy_says_so() {
    let (host, mut scene) = scene();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.toml"), "schema = 1\nrepos = [\"other/*\"]\n").unwrap();
    let task = scene.submit(Source::Issue { number: 12 }, true);
    for _ in 0..ATTEMPTS {
        let request = LeaseRequest { protocol: PROTOCOL, worker: "w".into(), labels: vec![], wait_s: 0 };
        let policies = Policies::open(Some(dir.path().to_owned())).unwrap();
        let leased = scene.ask(policies, async |worker: InProcess| worker.lease(&request).await);
        assert_eq!(leased, None);
        scene.now += SignedDuration::from_hours(1);
    }
    assert_eq!(scene.record(&task).view.state, TaskState::Failed);
    scene.work(None).await;
    let (said, _) = told(&host);
    assert!(said.len() == 1 && said[0].contains("no policy lets this be worked on"), "{said:?}");
}

/// A task that is published and goes on after a review, with its check that says so.
async fn follow_up() -> (Arc<MemoryHost>, Scene, TaskId) {
    let (host, mut scene) = scene();
    let task = scene.submit(Source::Issue { number: 12 }, true);
    let lease = scene.claim();
    finished(&host, &scene, &lease, "main", CHANGE);
    scene.work(None).await;
    again(&mut scene, &task).await;
    assert_eq!(told(&host), (vec![], vec![CheckState::Running]));
    (host, scene, task)
}

async fn again(scene: &mut Scene, task: &TaskId) {
    assert_eq!(scene.store.follow_up(task, "again", "github:bob", 2, scene.now).unwrap(), Some(true));
    scene.work(None).await;
}

/// Asks for the end as whoever asks does.
fn cancel(scene: &Scene, task: &TaskId) {
    scene.store.cancel(task, "somebody", &[], scene.now).unwrap();
}

fn stopped() -> AttemptResult {
    AttemptResult::Cancelled { cost: Cost::default() }
}

#[tokio::test]
async fn however_a_follow_up_is_stopped_its_check_does_not_go_on_for_ever() {
    type Stop = fn(&MemoryHost, &mut Scene, &TaskId);
    let ways: [(&str, Stop); 6] = [
        ("while it waits", |_, scene, task| cancel(scene, task)),
        ("and its worker stops", |_, scene, task| {
            let lease = scene.claim();
            cancel(scene, task);
            scene.end(&lease, &stopped());
        }),
        ("and its worker fails", |_, scene, task| {
            let lease = scene.claim();
            cancel(scene, task);
            scene.end(&lease, &AttemptResult::Failed { error: "late".into(), cost: Cost::default() });
        }),
        ("and its worker gives it back", |_, scene, task| {
            let lease = scene.claim();
            cancel(scene, task);
            scene.store.release(&lease, TOKEN, scene.now).unwrap().unwrap();
        }),
        ("and its worker is gone", |_, scene, task| {
            scene.claim();
            cancel(scene, task);
            scene.now += SignedDuration::from_hours(2);
            let swept = scene.store.sweep(scene.now).unwrap();
            assert_eq!(swept.iter().map(|(id, _)| id).collect::<Vec<_>>(), [task]);
        }),
        ("before it is published", |host, scene, task| {
            let lease = scene.claim();
            finished(host, scene, &lease, &task.branch(), &[("src/lib.rs", "100644", Some("// more\n"))]);
            cancel(scene, task);
        }),
    ];
    for (how, stop) in ways {
        let (host, mut scene, task) = follow_up().await;
        stop(&host, &mut scene, &task);
        scene.work(None).await;
        assert_eq!(scene.record(&task).view.state, TaskState::Cancelled, "{how}");
        assert_eq!(told(&host), (vec![], vec![CheckState::Neutral]), "{how}");
        host.look(|state| assert_eq!(state.requests.len(), 1, "{how}"));
    }
}

#[tokio::test]
async fn a_second_follow_up_that_is_stopped_while_it_waits_ends_its_check_too() {
    let (host, mut scene, task) = follow_up().await;
    let lease: LeaseKey = scene.claim();
    // Of another commit than the branch stands at: it comes to nothing, and is said.
    finished(&host, &scene, &lease, "main", CHANGE);
    scene.work(None).await;
    assert_eq!(told(&host).1, [CheckState::Neutral]);
    again(&mut scene, &task).await;
    assert_eq!(told(&host).1, [CheckState::Running]);
    cancel(&scene, &task);
    scene.work(None).await;
    assert_eq!(told(&host).1, [CheckState::Neutral]);
}

#[tokio::test]
async fn a_follow_up_whose_worker_is_lost_for_good_is_told_of() {
    let (host, mut scene, task) = follow_up().await;
    for _ in 0..ATTEMPTS {
        scene.claim();
        scene.now += SignedDuration::from_hours(2);
        scene.store.sweep(scene.now).unwrap();
    }
    assert_eq!(scene.record(&task).view.state, TaskState::Quarantined);
    let hooks = Hooks::new(scene.store.clone(), host.clone(), scene.grants.clone(), Called::default());
    assert_eq!(hooks.reconcile(scene.now).await.errors, Vec::<String>::new());
    scene.work(None).await;
    let (said, checks) = told(&host);
    assert_eq!((said.len(), checks), (1, vec![CheckState::Neutral]), "{said:?}");
    assert_eq!(scene.store.effects(Kinds::ALL, 10, Duration::from_secs(60), scene.now).unwrap(), []);
}
