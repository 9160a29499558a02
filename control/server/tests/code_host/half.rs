//! What was half published is not forgotten: not by a cancellation, not by another try, not by taking it up again.

use std::sync::Arc;

use gloaming_api::task::{Source, TaskState, TaskView};
use gloaming_forge::host::CheckState;
use gloaming_forge::memory::{Fault, MemoryHost, State};
use gloaming_server::publish::revive;
use jiff::SignedDuration;

use crate::published::{CHANGE, begun, finished};
use crate::scene::Scene;

/// Has the publishing killed right after a call was done, and the first after it.
async fn killed_after(call: &str) -> (Arc<MemoryHost>, Scene) {
    let (other, mut whole) = begun(Source::Issue { number: 12 });
    whole.work(None).await;
    let at = other.look(|state| state.calls.iter().position(|made| *made == call)).expect("it is made");
    let (host, mut scene) = begun(Source::Issue { number: 12 });
    host.fail(at, Fault::After);
    let publish = scene.due().remove(0);
    scene.executor.run(&publish, scene.now).await;
    scene.now += SignedDuration::from_secs(61);
    (host, scene)
}

fn there(state: &State, task: &TaskView) -> (usize, usize, bool) {
    let head = state.branches.get(&task.id.branch());
    let noted = task.pull_request.as_ref().map(|request| &request.commit);
    (state.branches.len(), state.requests.len(), head == noted)
}

#[tokio::test]
async fn a_pull_request_that_was_opened_and_not_told_of_is_noted_though_it_is_cancelled() {
    for (call, state, requests) in [
        ("create_tree", TaskState::Cancelled, 0),
        ("create_branch", TaskState::Cancelled, 0),
        ("create_request", TaskState::Published, 1),
    ] {
        let (host, mut scene) = killed_after(call).await;
        let task = scene.only().id;
        assert_eq!(
            scene.store.cancel(&task, "somebody", &[], scene.now).unwrap(),
            Some(TaskState::Publishing)
        );
        assert_eq!(scene.work(None).await, Vec::<String>::new());
        let view = scene.only();
        assert_eq!((view.state, view.cancelling), (state, false), "{call}");
        host.look(|seen| {
            assert_eq!(seen.requests.len(), requests, "{call}");
            // Whatever is open, the task knows.
            assert_eq!(
                view.pull_request.as_ref().map(|one| one.number),
                seen.requests.first().map(|one| one.number)
            );
        });
    }
}

/// A task whose pull request nobody may open: its publishing was given up.
async fn given_up() -> (Arc<MemoryHost>, Scene) {
    let (host, mut scene) = begun(Source::Issue { number: 12 });
    host.change(|state| state.refuses = vec!["create_request"]);
    scene.work(None).await;
    assert_eq!(scene.only().state, TaskState::Failed);
    host.look(|state| assert_eq!(there(state, &scene.only()), (2, 0, false), "the branch is there"));
    host.change(|state| state.refuses.clear());
    (host, scene)
}

#[tokio::test]
async fn a_publishing_that_was_given_up_is_done_when_it_is_taken_up() {
    let (host, mut scene) = given_up().await;
    let (dead, _) = scene.store.dead_effects(9).unwrap().remove(0);
    assert_eq!(dead.what.kind, "publish");
    assert!(!revive(&*scene.store, dead.id + 99, "me", scene.now).unwrap());
    assert!(revive(&*scene.store, dead.id, "me", scene.now).unwrap());
    assert_eq!(scene.only().state, TaskState::Publishing);
    assert_eq!(scene.work(None).await, Vec::<String>::new());
    assert_eq!(scene.only().state, TaskState::Published);
    host.look(|state| {
        assert_eq!(there(state, &scene.only()), (2, 1, true));
        assert_eq!(
            state.checks.iter().map(|(_, check)| check.state).collect::<Vec<_>>(),
            [CheckState::Success]
        );
    });
}

#[tokio::test]
async fn what_has_gone_on_since_is_not_published_twice_by_taking_it_up() {
    let (host, mut scene) = given_up().await;
    let (dead, _) = scene.store.dead_effects(9).unwrap().remove(0);
    let task = scene.only().id;
    scene.store.retry(&task, "me", scene.now).unwrap().unwrap().unwrap();
    assert!(revive(&*scene.store, dead.id, "me", scene.now).unwrap());
    scene.work(None).await;
    assert_eq!(scene.only().state, TaskState::Queued);
    assert_eq!(scene.store.load(scene.now).unwrap().dead_effects, 0);
    host.look(|state| assert!(state.requests.is_empty()));
}

/// Retries it, on a default branch that has moved on.
fn retried(host: &MemoryHost, scene: &Scene) {
    let task = scene.only().id;
    scene.store.retry(&task, "me", scene.now).unwrap().unwrap().unwrap();
    host.change(|state| {
        let at = state.branches["main"].clone();
        let tree = state.commits[&at].tree.clone();
        let pushed = state.keep_commit("a person's", &tree, &[&at]);
        state.branches.insert("main".to_owned(), pushed);
    });
    let lease = scene.claim();
    finished(host, scene, &lease, "main", CHANGE);
}

/// How a call may go wrong: before it is done, after it was, and because there were too many.
const FAULTS: [Fault; 3] = [Fault::Before, Fault::After, Fault::Limited];

#[tokio::test]
async fn a_branch_of_an_attempt_before_is_moved_on_by_the_next() {
    let calls = {
        let (host, mut scene) = given_up().await;
        let before = host.look(|state| state.calls.len());
        retried(&host, &scene);
        assert_eq!(scene.work(None).await, Vec::<String>::new());
        host.look(|state| state.calls[before..].to_vec())
    };
    assert!(calls.contains(&"replace_branch"), "{calls:?}");
    let calls = calls.iter().enumerate();
    for ((at, call), fault) in calls.flat_map(|call| FAULTS.map(|fault| (call, fault))) {
        let (host, mut scene) = given_up().await;
        retried(&host, &scene);
        host.fail(at, fault);
        scene.work(None).await;
        let view = scene.only();
        assert_eq!(view.state, TaskState::Published, "{fault:?} at {call}: {view:?}");
        host.look(|state| {
            assert_eq!(there(state, &view), (2, 1, true), "{fault:?} at {call}");
            let head = &state.commits[&state.branches[&view.id.branch()]];
            assert_eq!(head.parents, [state.branches["main"].clone()]);
        });
    }
}

#[tokio::test]
async fn a_branch_that_somebody_else_moved_meanwhile_is_left_alone() {
    let (host, mut scene) = given_up().await;
    let theirs = host.change(|state| {
        let branch = scene.only().id.branch();
        let at = state.branches[&branch].clone();
        // It says whatever our own said.
        let (tree, message) = (state.commits[&at].tree.clone(), state.commits[&at].message.clone());
        let pushed = state.keep_commit(&format!("{message}\n"), &tree, &[&at]);
        state.branches.insert(branch, pushed.clone());
        pushed
    });
    retried(&host, &scene);
    scene.work(None).await;
    let view = scene.only();
    assert_eq!(view.state, TaskState::BowedOut);
    let why = view.bow_out.expect("why").summary;
    assert!(why.contains("there is a branch"), "{why}");
    host.look(|state| assert_eq!(state.branches[&view.id.branch()], theirs));
}
