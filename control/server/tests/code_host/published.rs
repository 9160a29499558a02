//! One branch, one pull request, one check, one comment, whatever fails or is killed on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use gloaming_api::Attempt;
use gloaming_api::task::{Source, TaskState};
use gloaming_api::worker::LeaseKey;
use gloaming_forge::host::{CheckState, RequestState};
use gloaming_forge::memory::{Fault, MemoryHost, State, tree_id};
use gloaming_gate::envelope;
use jiff::SignedDuration;

use crate::scene::{Changed, Scene, key, start};

const FILES: &[(&str, &str)] = &[
    ("src/lib.rs", "pub fn greet() {}\n"),
    ("src/old.rs", "// gone soon\n"),
    ("README.md", "# Greeter\n"),
    (".github/pull_request_template.md", "## Summary\n\n## Testing\n"),
];

pub(crate) const CHANGE: &[Changed<'_>] = &[
    ("src/lib.rs", "100644", Some("pub fn greet(name: &str) {}\n")),
    ("src/old.rs", "100644", None),
    ("src/run.sh", "100755", Some("#!/bin/sh\n")),
];

/// Returns the newest commit of the base branch, and the tree that a change makes of it, by git's rules.
fn changed(host: &MemoryHost, branch: &str, change: &[Changed<'_>]) -> (String, String) {
    host.look(|state| {
        let base = state.branches[branch].clone();
        let mut files: BTreeMap<_, _> = state.trees[&state.commits[&base].tree].clone();
        for (path, mode, content) in change {
            match content {
                None => drop(files.remove(*path)),
                Some(content) => {
                    files.insert((*path).to_owned(), ((*mode).to_owned(), content.as_bytes().to_vec()));
                }
            }
        }
        (base, tree_id(&files))
    })
}

/// Ends an attempt with a change that stands on the newest commit of a branch.
pub(crate) fn finished(
    host: &MemoryHost,
    scene: &Scene,
    lease: &LeaseKey,
    branch: &str,
    change: &[Changed<'_>],
) {
    let (base, tree) = changed(host, branch, change);
    let result = scene.result(lease, &base, &tree, change);
    scene.finish(&result);
}

pub(crate) fn begun(source: Source) -> (Arc<MemoryHost>, Scene) {
    let host = Arc::new(MemoryHost::new(FILES, start()));
    let scene = Scene::new(host.clone(), "acme/api");
    let task = scene.submit(source, true);
    let lease = scene.claim();
    assert_eq!(lease.task, task);
    finished(&host, &scene, &lease, "main", CHANGE);
    (host, scene)
}

/// What there is once, told in a line.
fn there(state: &State, scene: &Scene) -> String {
    let task = scene.only();
    let branch = task.id.branch();
    let head = &state.commits[&state.branches[&branch]];
    let request = task.pull_request.as_ref().expect("a pull request");
    assert_eq!((&request.commit, &request.branch), (&head.sha, &branch));
    assert_eq!(head.parents, [state.branches["main"].clone()]);
    assert!(state.requests[0].body.starts_with("Fixes #12\n\n## Summary\n"), "{}", state.requests[0].body);
    format!(
        "{:?}; branches {}; requests {}; comments {}; checks {:?}",
        task.state,
        state.branches.len(),
        state.requests.len(),
        state.comments.values().map(Vec::len).sum::<usize>(),
        state.checks.iter().map(|(_, check)| check.state).collect::<Vec<_>>()
    )
}

const ONCE: &str = "Published; branches 2; requests 1; comments 0; checks [Success]";

#[tokio::test]
async fn what_any_call_comes_to_there_is_one_branch_one_request_and_one_check() {
    let (host, mut scene) = begun(Source::Issue { number: 12 });
    assert_eq!(scene.work(None).await, Vec::<String>::new());
    let calls = host.look(|state| state.calls.clone());
    assert_eq!(host.look(|state| there(state, &scene)), ONCE);
    for made in
        ["create_blob", "create_tree", "create_commit", "create_branch", "create_request", "create_check"]
    {
        assert!(calls.contains(&made), "{made} is not among {calls:?}");
    }
    for at in 0..calls.len() {
        for fault in [Fault::Before, Fault::After, Fault::Limited] {
            // Once told of it, once killed at it.
            for killed in [false, true] {
                let (host, mut scene) = begun(Source::Issue { number: 12 });
                host.fail(at, fault);
                let runs =
                    usize::from(at >= calls.iter().position(|call| *call == "find_check").unwrap() - 1);
                let told = scene.work(killed.then_some(runs)).await;
                assert_eq!(
                    host.look(|state| there(state, &scene)),
                    ONCE,
                    "{fault:?} at {}: {told:?}",
                    calls[at]
                );
            }
        }
    }
}

#[tokio::test]
async fn evidence_is_sealed_once_base_and_tree_are_found_to_be_what_it_says_and_before_there_is_a_commit() {
    let (host, mut scene) = begun(Source::Issue { number: 12 });
    let lease = LeaseKey { task: scene.only().id, attempt: Attempt(1) };
    assert_eq!(scene.sealed(&lease), None, "nobody has looked");
    scene.work(None).await;
    let sealed = scene.sealed(&lease).expect("it is published");
    let opened = envelope::open(&sealed, &key().verifying_key()).expect("genuine");
    let change = scene.record(&lease.task).change.expect("a change");
    assert_eq!((opened.evidence.base, opened.evidence.tree), (change.base, Some(change.tree)));
    let calls = host.look(|state| {
        let head = &state.commits[&state.branches[&lease.task.branch()]];
        assert!(
            head.message.contains(&format!("Gloaming-Evidence: {}", change.evidence)),
            "{}",
            head.message
        );
        state.calls.clone()
    });
    let commit = calls.iter().position(|call| *call == "create_commit").expect("it is made");
    for (at, call) in calls.iter().enumerate() {
        let (host, mut scene) = begun(Source::Issue { number: 12 });
        let lease = LeaseKey { task: scene.only().id, attempt: Attempt(1) };
        host.fail(at, Fault::After);
        let publish = scene.due().remove(0);
        scene.executor.run(&publish, scene.now).await;
        let sealed = scene.sealed(&lease);
        assert_eq!(sealed.is_some(), at >= commit, "killed at {call}");
        scene.now += SignedDuration::from_secs(61);
        scene.work(None).await;
        assert_eq!(host.look(|state| there(state, &scene)), ONCE);
        assert!(sealed.is_none() || sealed == scene.sealed(&lease), "sealed once");
    }
}

#[tokio::test]
async fn killed_before_the_store_hears_of_it_changes_nothing() {
    for run in 0..2 {
        let (host, mut scene) = begun(Source::Issue { number: 12 });
        scene.work(Some(run)).await;
        assert_eq!(host.look(|state| there(state, &scene)), ONCE);
    }
}

#[tokio::test]
async fn a_comment_is_made_once_whatever_any_call_comes_to() {
    let said = |host: &MemoryHost| host.look(|state| state.comments.get(&12).map_or(0, Vec::len));
    for at in 0..4 {
        for fault in [Fault::Before, Fault::After, Fault::Limited] {
            let host = Arc::new(MemoryHost::new(FILES, start()));
            let mut scene = Scene::new(host.clone(), "acme/api");
            scene.submit(Source::Issue { number: 12 }, true);
            let lease = scene.claim();
            let (base, _) = changed(&host, "main", CHANGE);
            // Not what the files make: there is no commit, and it is said why.
            let result = scene.result(&lease, &base, &"a".repeat(40), CHANGE);
            scene.finish(&result);
            host.fail(at, fault);
            scene.work(None).await;
            assert_eq!(said(&host), 1);
            host.look(|state| {
                assert_eq!((state.branches.len(), state.requests.len(), state.commits.len()), (1, 0, 1));
                let body = &state.comments[&12][0].body;
                assert!(body.contains("the evidence is about aaaaaaaa"), "{body}");
            });
            assert_eq!(scene.record(&lease.task).view.state, TaskState::BowedOut);
            assert_eq!(scene.sealed(&lease), None, "of a tree that the files do not make");
        }
    }
}

#[tokio::test]
async fn a_comment_is_found_in_a_talk_that_is_longer_than_what_is_told_of_it() {
    use gloaming_forge::host::{Account, Comment};
    for fault in [Fault::After, Fault::Before] {
        let host = Arc::new(MemoryHost::new(FILES, start()));
        let mut scene = Scene::new(host.clone(), "acme/api");
        scene.submit(Source::Issue { number: 12 }, true);
        let lease = scene.claim();
        let talk = (1..=1_000).map(|id| {
            let author = Account { login: "alice".to_owned(), bot: false };
            Comment { id, author, body: format!("{id}") }
        });
        host.change(|state| state.comments.insert(12, talk.collect()));
        let (base, _) = changed(&host, "main", CHANGE);
        scene.finish(&scene.result(&lease, &base, &"a".repeat(40), CHANGE));
        // The comment is written, and that is not known.
        let calls = host.look(|state| state.calls.len());
        scene.work(None).await;
        let write =
            host.look(|state| state.calls.iter().skip(calls).position(|call| *call == "create_comment"));
        assert_eq!(host.look(|state| state.comments[&12].len()), 1_001);
        host.change(|state| state.comments.get_mut(&12).map(|all| all.truncate(1_000)));
        let again = scene.submit(Source::Issue { number: 12 }, true);
        let lease = scene.claim();
        assert_eq!(lease.task, again);
        scene.finish(&scene.result(&lease, &base, &"a".repeat(40), CHANGE));
        host.fail(write.unwrap(), fault);
        assert_eq!(scene.work(None).await.len(), 1, "{fault:?}");
        assert_eq!(host.look(|state| state.comments[&12].len()), 1_001, "{fault:?}");
    }
}

#[tokio::test]
async fn what_nobody_asked_for_by_name_leaves_a_neutral_check_and_no_comment() {
    let host = Arc::new(MemoryHost::new(FILES, start()));
    let mut scene = Scene::new(host.clone(), "acme/api");
    scene.submit(Source::Issue { number: 12 }, false);
    let lease = scene.claim();
    let (base, _) = changed(&host, "main", CHANGE);
    let result = scene.result(&lease, &base, &"a".repeat(40), CHANGE);
    scene.finish(&result);
    scene.work(None).await;
    host.look(|state| {
        assert!(state.comments.is_empty());
        let (commit, check) = &state.checks[0];
        assert_eq!((commit, check.state, state.checks.len()), (&base, CheckState::Neutral, 1));
    });
}

#[tokio::test]
async fn with_a_token_no_check_is_asked_for_and_the_rest_goes_on() {
    let (host, mut scene) = begun(Source::Issue { number: 12 });
    host.change(|state| state.token = true);
    assert_eq!(scene.work(None).await, Vec::<String>::new());
    assert_eq!(scene.only().state, TaskState::Published);
    host.look(|state| {
        assert!(state.checks.is_empty() && !state.calls.contains(&"create_check"), "{:?}", state.calls);
    });
    assert_eq!(scene.store.load(scene.now).expect("a store").dead_effects, 0);
}

#[tokio::test]
async fn a_follow_up_is_a_second_commit_on_the_same_request() {
    let (host, mut scene) = begun(Source::Issue { number: 12 });
    scene.work(None).await;
    let task = scene.only();
    let again = |scene: &Scene, content: &str| {
        assert_eq!(scene.store.follow_up(&task.id, "again", "github:bob", 2, scene.now).unwrap(), Some(true));
        let lease = scene.claim();
        let change: &[Changed<'_>] = &[("src/lib.rs", "100644", Some(content))];
        finished(&host, scene, &lease, &task.id.branch(), change);
    };
    again(&scene, "pub fn greet(who: &str) {}\n");
    scene.work(None).await;
    host.look(|state| {
        assert_eq!((state.branches.len(), state.requests.len()), (2, 1));
        let head = &state.commits[&state.branches[&task.id.branch()]];
        assert_eq!(head.parents, [task.pull_request.as_ref().unwrap().commit.clone()]);
        assert!(state.requests[0].body.contains("attempt=2"), "the description is of the new commit");
        let states: Vec<CheckState> = state.checks.iter().map(|(_, check)| check.state).collect();
        assert_eq!(states, [CheckState::Neutral, CheckState::Success]);
    });

    // Somebody pushes to the branch while it is worked on: what was verified does not stand there.
    again(&scene, "pub fn greet(me: &str) {}\n");
    host.change(|state| {
        let at = state.branches[&task.id.branch()].clone();
        let tree = state.commits[&at].tree.clone();
        let pushed = state.keep_commit("a person's", &tree, &[&at]);
        state.branches.insert(task.id.branch(), pushed);
    });
    scene.work(None).await;
    let record = scene.record(&task.id);
    assert_eq!(record.view.state, TaskState::BowedOut);
    let bow_out = record.view.bow_out.expect("why");
    assert!(bow_out.summary.contains("has moved on"), "{}", bow_out.summary);
    host.look(|state| assert_eq!(state.comments[&100].len(), 1, "said under the request"));
}

#[tokio::test]
async fn a_reviewer_is_answered_under_the_request_wherever_its_task_was_asked_for() {
    let chat = Source::Chat { team: "T1".into(), channel: "C1".into(), thread: String::new() };
    let (host, mut scene) = begun(chat);
    scene.work(None).await;
    let task = scene.only();
    assert_eq!(scene.store.follow_up(&task.id, "again", "github:bob", 2, scene.now).unwrap(), Some(true));
    scene.work(None).await;
    let lease = scene.claim();
    finished(&host, &scene, &lease, "main", CHANGE);
    scene.work(None).await;
    assert_eq!(scene.record(&task.id).view.state, TaskState::BowedOut);
    host.look(|state| {
        let body = &state.comments[&100][0].body;
        assert!(body.contains("what was verified stands on"), "{body}");
        let states: Vec<CheckState> = state.checks.iter().map(|(_, check)| check.state).collect();
        assert_eq!(
            (states, state.comments.len()),
            (vec![CheckState::Neutral], 1),
            "nobody waits for a check"
        );
    });
}

#[tokio::test]
async fn nothing_is_written_to_the_branch_of_a_closed_request() {
    let (host, mut scene) = begun(Source::Issue { number: 12 });
    scene.work(None).await;
    let task = scene.only();
    assert_eq!(scene.store.follow_up(&task.id, "again", "github:bob", 2, scene.now).unwrap(), Some(true));
    let lease = scene.claim();
    finished(&host, &scene, &lease, &task.id.branch(), &[("src/lib.rs", "100644", Some("// more\n"))]);
    let before = host.change(|state| {
        state.requests[0].state = RequestState::Closed;
        state.branches.clone()
    });
    scene.work(None).await;
    let view = scene.record(&task.id).view;
    assert_eq!(view.state, TaskState::BowedOut);
    assert!(view.bow_out.expect("why").summary.contains("was closed or merged"));
    host.look(|state| assert_eq!((&state.branches, state.requests.len()), (&before, 1)));
}

#[tokio::test]
async fn a_commit_of_no_branch_is_nothing_to_stand_on() {
    let host = Arc::new(MemoryHost::new(FILES, start()));
    let mut scene = Scene::new(host.clone(), "acme/api");
    scene.submit(Source::Issue { number: 12 }, true);
    let lease = scene.claim();
    // As a fork's is: the code host knows it under the same repository.
    let foreign = host.change(|state| {
        let tree = state.commits[&state.branches["main"]].tree.clone();
        let foreign = state.keep_commit("of a fork", &tree, &[]);
        state.branches.insert("theirs".to_owned(), foreign.clone());
        foreign
    });
    let (_, tree) = changed(&host, "theirs", CHANGE);
    let result = scene.result(&lease, &foreign, &tree, CHANGE);
    scene.finish(&result);
    scene.work(None).await;
    let bow_out = scene.record(&lease.task).view.bow_out.expect("why");
    assert!(bow_out.summary.contains("is no commit of main"), "{}", bow_out.summary);
    assert_eq!(scene.sealed(&lease), None);
    host.look(|state| assert!(state.requests.is_empty() && state.branches.len() == 2));
}

#[tokio::test]
async fn a_comment_of_somebody_else_with_our_mark_is_not_ours() {
    use gloaming_forge::host::{Account, Comment};
    let host = Arc::new(MemoryHost::new(FILES, start()));
    let mut scene = Scene::new(host.clone(), "acme/api");
    let task = scene.submit(Source::Issue { number: 12 }, true);
    let lease = scene.claim();
    let forged = format!("<!-- gloaming task={task} attempt=1 -->");
    host.change(|state| {
        let author = Account { login: "mallory".to_owned(), bot: false };
        state.comments.insert(12, vec![Comment { id: 1, author, body: forged.clone() }]);
    });
    let (base, _) = changed(&host, "main", CHANGE);
    scene.finish(&scene.result(&lease, &base, &"a".repeat(40), CHANGE));
    scene.work(None).await;
    host.look(|state| {
        assert_eq!(state.comments[&12].len(), 2);
        assert_eq!(state.comments[&12][0].body, forged);
    });
}

#[tokio::test]
async fn what_is_refused_for_good_ends_and_is_seen() {
    let (host, mut scene) = begun(Source::Issue { number: 12 });
    // A branch that somebody made, with nothing of ours.
    let task = scene.only();
    host.change(|state| {
        let at = state.branches["main"].clone();
        state.branches.insert(task.id.branch(), at);
    });
    scene.work(None).await;
    let view = scene.record(&task.id).view;
    assert_eq!(view.state, TaskState::BowedOut);
    host.look(|state| assert!(!state.requests.iter().any(|one| one.state == RequestState::Open)));
}
