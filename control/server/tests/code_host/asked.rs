//! What deliveries of GitHub come to: who is listened to, what begins, what goes on, what is noted.

use std::sync::Arc;

use gloaming_api::TaskId;
use gloaming_api::task::{PullRequestOutcome, Source, TaskState};
use gloaming_forge::host::{
    Account, Comment, FailedDelivery, IssueEvent, LineComment, Permission, RequestState,
};
use gloaming_forge::memory::{Fault, ME, MemoryHost};
use gloaming_server::hooks::github::{Called, Handled, HookError, Hooks};
use gloaming_store::{Delivery, Limits, TaskFilter};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::published::finished;
use crate::scene::{Changed, Scene, start};

pub(crate) struct Asked {
    pub(crate) host: Arc<MemoryHost>,
    pub(crate) scene: Scene,
    pub(crate) hooks: Hooks,
}

pub(crate) fn asked() -> Asked {
    asked_under(Limits::default(), "")
}

/// The same where a store's limits and more of an operator's policy count.
pub(crate) fn asked_under(limits: Limits, policy: &'static str) -> Asked {
    let host = Arc::new(MemoryHost::new(&[("src/lib.rs", "pub fn greet() {}\n")], start()));
    host.change(|state| {
        state.permissions = [
            ("alice".to_owned(), Permission::Write),
            ("carol".to_owned(), Permission::Triage),
            ("sweep[bot]".to_owned(), Permission::Write),
        ]
        .into();
    });
    let scene = Scene::under(host.clone(), "acme/api", limits, policy);
    let hooks = Hooks::new(scene.store.clone(), host.clone(), scene.grants.clone(), Called::default());
    Asked { host, scene, hooks }
}

pub(crate) fn user(login: &str) -> Value {
    json!({"login": login, "type": if login.ends_with("[bot]") { "Bot" } else { "User" }})
}

pub(crate) fn delivery(id: &str, event: &str, mut body: Value) -> Delivery {
    body["repository"] = json!({"full_name": "acme/api", "default_branch": "main"});
    Delivery {
        sender: "github".to_owned(),
        id: id.to_owned(),
        event: event.to_owned(),
        body: body.to_string().into_bytes(),
    }
}

pub(crate) fn labelled(id: &str, label: &str, by: &str) -> Delivery {
    let issue = json!({"number": 12, "title": "Greet by name", "body": "It says nothing.", "state": "open"});
    delivery(
        id,
        "issues",
        json!({"action": "labeled", "issue": issue, "label": {"name": label}, "sender": user(by)}),
    )
}

fn commented(id: &str, body: &str, by: &str) -> Delivery {
    let issue = json!({"number": 12, "title": "Greet by name", "body": "It says nothing.", "state": "open"});
    let comment = json!({"id": 7, "body": body, "user": user(by)});
    delivery(
        id,
        "issue_comment",
        json!({"action": "created", "issue": issue, "comment": comment, "sender": user(by)}),
    )
}

/// A comment of alice's on the pull request.
pub(crate) fn wished(id: u64) -> Delivery {
    let comment = json!({"id": id, "body": format!("@gloaming wish {id}"), "user": user("alice")});
    let issue = json!({"number": 100, "title": "t", "state": "open", "pull_request": {}});
    let body = json!({"action": "created", "comment": comment, "issue": issue});
    delivery(&format!("c-{id}"), "issue_comment", body)
}

pub(crate) fn pull(task: &TaskId, of: &str) -> Value {
    json!({"number": 100, "merged": true, "head": {"ref": task.branch(), "repo": {"full_name": of}}})
}

impl Asked {
    pub(crate) async fn says(&self, delivery: &Delivery) -> String {
        match self.hooks.handle(delivery, self.scene.now).await {
            Ok(Handled::Task(_)) => "a task".to_owned(),
            Ok(Handled::FollowUp(_)) => "a follow-up".to_owned(),
            Ok(Handled::Outcome(_, outcome)) => format!("{outcome:?}"),
            Ok(Handled::Nothing(why)) => why.to_owned(),
            Err(error) => error.to_string(),
        }
    }

    pub(crate) fn tasks(&self) -> usize {
        self.scene.store.tasks(&TaskFilter { limit: 99, ..TaskFilter::default() }).unwrap().len()
    }

    /// Begins a task by a label and has it published.
    pub(crate) async fn published(&mut self) -> TaskId {
        assert_eq!(self.says(&labelled("d-1", "gloaming", "alice")).await, "a task");
        let lease = self.scene.claim();
        finished(&self.host, &self.scene, &lease, "main", &[("src/lib.rs", "100644", Some("// one\n"))]);
        self.scene.work(None).await;
        assert_eq!(self.scene.record(&lease.task).view.state, TaskState::Published);
        lease.task
    }
}

#[tokio::test]
async fn who_may_write_is_listened_to_and_nobody_else() {
    let said = |delivery: Delivery| async move {
        let asked = asked();
        let said = asked.says(&delivery).await;
        format!("{} {}: {said}; {} tasks", delivery.event, delivery.id, asked.tasks())
    };
    let mut all = Vec::new();
    for one in [
        labelled("a writer", "Gloaming", "alice"),
        labelled("another label", "bug", "alice"),
        labelled("a triager", "gloaming", "carol"),
        labelled("a stranger", "gloaming", "mallory"),
        labelled("ourselves", "gloaming", ME),
        labelled("a program", "gloaming", "sweep[bot]"),
        commented("a writer", "@gloaming please", "alice"),
        commented("a stranger", "@gloaming please", "mallory"),
        commented("not to us", "I asked @gloaming", "alice"),
        commented("ourselves", "@gloaming please", ME),
        delivery("another event", "star", json!({"action": "created"})),
    ] {
        all.push(said(one).await);
    }
    let nonsense =
        Delivery { body: b"{\"action\": 3}".to_vec(), ..labelled("nonsense", "gloaming", "alice") };
    all.push(said(nonsense).await);
    insta::assert_snapshot!(all.join("\n"), @r"
    issues a writer: a task; 1 tasks
    issues another label: it asks for nothing here; 0 tasks
    issues a triager: whoever asks may not write to the repository; 0 tasks
    issues a stranger: whoever asks may not write to the repository; 0 tasks
    issues ourselves: whoever asks may not write to the repository; 0 tasks
    issues a program: a task; 1 tasks
    issue_comment a writer: a task; 1 tasks
    issue_comment a stranger: whoever asks may not write to the repository; 0 tasks
    issue_comment not to us: it asks for nothing here; 0 tasks
    issue_comment ourselves: whoever asks may not write to the repository; 0 tasks
    star another event: it asks for nothing here; 0 tasks
    issues nonsense: the delivery is not what its kind has: invalid type: integer `3`, expected a string at line 1 column 12; 0 tasks
    ");
}

#[tokio::test]
async fn an_issue_is_one_task_at_a_time_and_a_delivery_one_task_for_good() {
    let mut asked = asked();
    assert_eq!(asked.says(&labelled("d-1", "gloaming", "alice")).await, "a task");
    let view = asked.scene.only();
    assert_eq!((view.source, view.asker.as_str()), (Source::Issue { number: 12 }, "github:alice"));
    assert_eq!(view.text, "Greet by name\n\nIt says nothing.");
    assert!(asked.scene.record(&view.id).by_name);
    // The same again, another one meanwhile, and a comment.
    assert_eq!(asked.says(&labelled("d-1", "gloaming", "alice")).await, "a task");
    assert_eq!(asked.says(&labelled("d-2", "gloaming", "alice")).await, "a task is at it already");
    assert_eq!(asked.says(&commented("d-3", "@gloaming now", "alice")).await, "a task is at it already");
    assert_eq!(asked.tasks(), 1);
    // It bows out; the delivery that began it begins nothing new, another does.
    let lease = asked.scene.claim();
    let result =
        asked.scene.result(&lease, &"b".repeat(40), &"c".repeat(40), &[("src/lib.rs", "100644", None)]);
    asked.scene.finish(&crate::scene::Result { patch: b"other".to_vec(), ..result });
    asked.scene.work(None).await;
    assert_eq!(asked.scene.only().state, TaskState::BowedOut);
    assert_eq!(asked.says(&labelled("d-1", "gloaming", "alice")).await, "a task");
    assert_eq!(asked.tasks(), 1);
    assert_eq!(asked.says(&labelled("d-4", "gloaming", "alice")).await, "a task");
    assert_eq!(asked.says(&labelled("d-4", "gloaming", "alice")).await, "a task");
    assert_eq!(asked.tasks(), 2);
}

#[tokio::test]
async fn what_a_program_asks_for_is_asked_for_by_nobody() {
    let asked = asked();
    assert_eq!(asked.says(&labelled("d-1", "gloaming", "sweep[bot]")).await, "a task");
    assert!(!asked.scene.record(&asked.scene.only().id).by_name);
}

#[tokio::test]
async fn a_host_that_cannot_be_asked_makes_a_delivery_wait() {
    let asked = asked();
    asked.host.fail(1, Fault::Before);
    let one = labelled("d-1", "gloaming", "alice");
    assert!(matches!(asked.hooks.handle(&one, asked.scene.now).await, Err(HookError::NotNow(_))));
    assert_eq!(asked.tasks(), 0);
    assert!(asked.scene.store.deliver(&one, asked.scene.now).unwrap());
    assert!(asked.hooks.work(&one, asked.scene.now).await);
    assert_eq!(asked.tasks(), 1);
    let left = asked
        .scene
        .store
        .deliveries("github", 9, std::time::Duration::from_secs(60), asked.scene.now)
        .unwrap();
    assert_eq!(left, []);
}

#[tokio::test]
async fn a_review_goes_on_twice_whole_and_on_the_same_request() {
    let mut asked = asked();
    let task = asked.published().await;
    let review = |id: u64, by: &str| {
        let review = json!({"id": id, "state": "changes_requested", "body": "Not yet.", "user": user(by)});
        let body = json!({"action": "submitted", "review": review, "pull_request": pull(&task, "acme/api")});
        delivery(&format!("r-{id}"), "pull_request_review", body)
    };
    let remark = |id: u64, review: u64| {
        let comment = json!({"id": id, "body": "Why?", "path": "src/lib.rs", "line": 1, "user": user("alice"),
            "pull_request_review_id": review});
        let body = json!({"action": "created", "comment": comment, "pull_request": pull(&task, "acme/api")});
        delivery(&format!("c-{id}"), "pull_request_review_comment", body)
    };
    asked.host.change(|state| {
        let author = Account { login: "alice".to_owned(), bot: false };
        for id in 5..9 {
            let body = format!("Not yet {id}.");
            state.reviews.insert(id, Comment { id, author: author.clone(), body });
        }
        let remark = |id, review| LineComment {
            id,
            review: Some(review),
            author: author.clone(),
            body: format!("Why {id}?"),
            path: "src/lib.rs".to_owned(),
            line: Some(1),
        };
        state.line_comments.insert(100, vec![remark(1, 5), remark(2, 5), remark(3, 6)]);
    });
    assert_eq!(asked.says(&review(5, "mallory")).await, "whoever asks may not write to the repository");
    assert_eq!(asked.says(&review(5, "sweep[bot]")).await, "a program's remarks are not followed");
    // Its remarks come as deliveries of their own: one follow-up has all of them.
    assert_eq!(asked.says(&remark(1, 5)).await, "a follow-up");
    assert_eq!(asked.says(&review(5, "alice")).await, "a follow-up");
    assert_eq!(asked.says(&remark(2, 5)).await, "a follow-up");
    let view = asked.scene.only();
    assert!(view.text.ends_with(
        "[review 5 of github:alice]\n\nNot yet 5.\n\nOn src/lib.rs, line 1: Why 1?\n\nOn src/lib.rs, line 1: Why 2?"
    ));
    // The next waits for the end of this one.
    assert!(asked.says(&review(6, "alice")).await.starts_with("not now"));
    for id in [6, 7] {
        let lease = asked.scene.claim();
        let content = format!("// {id}\n");
        let change: &[Changed<'_>] = &[("src/lib.rs", "100644", Some(&content))];
        finished(&asked.host, &asked.scene, &lease, &task.branch(), change);
        asked.scene.work(None).await;
        assert_eq!(asked.scene.record(&task).view.state, TaskState::Published);
        let expect = if id == 6 { "a follow-up" } else { "it was followed up as often as it may be" };
        assert_eq!(asked.says(&review(id, "alice")).await, expect);
        assert_eq!(asked.says(&review(id, "alice")).await, expect);
    }
    asked.scene.work(None).await;
    asked.host.look(|state| {
        assert_eq!((state.requests.len(), state.branches.len()), (1, 2));
        assert_eq!(state.comments[&100].len(), 1);
    });
}

#[tokio::test]
async fn a_reviewer_may_say_more_after_a_follow_up_that_came_to_nothing() {
    let mut asked = asked();
    let task = asked.published().await;
    for id in [1, 2] {
        assert_eq!(asked.says(&wished(id)).await, "a follow-up");
        let lease = asked.scene.claim();
        // Made of another commit than the branch stands at, so it is not published.
        finished(&asked.host, &asked.scene, &lease, "main", &[("src/lib.rs", "100644", Some("// more\n"))]);
        asked.scene.work(None).await;
        assert_eq!(asked.scene.record(&task).view.state, TaskState::BowedOut);
    }
    assert!(asked.scene.only().text.ends_with("[comment 2 of github:alice]\n\nwish 2"));
    assert_eq!(asked.says(&wished(3)).await, "it was followed up as often as it may be");
    asked.scene.work(None).await;
    asked.host.look(|state| {
        let said: Vec<&str> = state.comments[&100].iter().map(|one| one.body.as_str()).collect();
        assert_eq!(
            said.iter().filter(|body| body.contains("What is left is for a person.")).count(),
            1,
            "{said:?}"
        );
        assert_eq!(said.len(), 3, "{said:?}");
    });
}

#[tokio::test]
async fn the_failed_checks_of_the_newest_commit_are_one_follow_up() {
    let mut asked = asked();
    let task = asked.published().await;
    let commit = asked.scene.only().pull_request.unwrap().commit;
    let check = |name: &str, commit: &str, app: &str, conclusion: &str| {
        let run = json!({"name": name, "head_sha": commit, "conclusion": conclusion, "app": {"slug": app},
            "output": {"title": "1 test failed", "summary": null}, "check_suite": {"head_branch": task.branch()}});
        delivery(
            "k-1",
            "check_run",
            json!({"action": "completed", "check_run": run, "sender": user("ci[bot]")}),
        )
    };
    let nothing = "it asks for nothing here";
    assert_eq!(asked.says(&check("ci / test", &commit, "ci", "success")).await, nothing);
    assert_eq!(asked.says(&check("ci / test", &commit, "gloaming", "failure")).await, nothing);
    let old = check("ci / test", &"0".repeat(40), "ci", "failure");
    assert_eq!(asked.says(&old).await, "not the newest commit");
    assert_eq!(asked.says(&check("ci / test", &commit, "ci", "failure")).await, "a follow-up");
    assert!(asked.scene.only().text.ends_with("ci / test: 1 test failed"));
    // It comes to nothing, so that the commit stays the newest; then the other checks of it are heard of.
    let lease = asked.scene.claim();
    finished(&asked.host, &asked.scene, &lease, "main", &[("src/lib.rs", "100644", Some("// more\n"))]);
    asked.scene.work(None).await;
    assert_eq!(asked.scene.record(&task).view.state, TaskState::BowedOut);
    let suite = json!({"head_sha": commit, "head_branch": task.branch(), "conclusion": "failure", "app": {"slug": "ci"}});
    let suite = json!({"action": "completed", "check_suite": suite, "sender": user("ci[bot]")});
    assert_eq!(asked.says(&check("ci / lint", &commit, "ci", "failure")).await, "a follow-up");
    assert_eq!(asked.says(&delivery("k-2", "check_suite", suite)).await, "a follow-up");
    let record = asked.scene.record(&task);
    assert_eq!((record.follow_ups, record.view.state), (1, TaskState::BowedOut));
}

#[tokio::test]
async fn outcomes_are_noted_of_our_own_requests_alone() {
    let mut asked = asked();
    let task = asked.published().await;
    let closed = |of: &str| {
        delivery("p-1", "pull_request", json!({"action": "closed", "pull_request": pull(&task, of)}))
    };
    assert_eq!(asked.says(&closed("mallory/api")).await, "it asks for nothing here");
    assert_eq!(asked.says(&closed("acme/api")).await, "Merged");
    assert_eq!(asked.says(&closed("acme/api")).await, "Merged");
    asked.host.change(|state| {
        state.requests[0].state = RequestState::Merged;
        state.requests[0].merged_as = Some("e".repeat(40));
    });
    let push = |message: &str| {
        delivery("u-1", "push", json!({"ref": "refs/heads/main", "commits": [{"message": message}]}))
    };
    assert_eq!(asked.says(&push("Reverts acme/api#1001")).await, "nothing of ours is taken back");
    assert_eq!(
        asked.says(&push(&format!("Revert\n\nThis reverts commit {}.", "e".repeat(40)))).await,
        "Reverted"
    );
    assert_eq!(asked.scene.only().pull_request.unwrap().outcome, Some(PullRequestOutcome::Reverted));
}

#[tokio::test]
async fn what_no_delivery_told_is_asked_for() {
    let mut asked = asked();
    let task = asked.published().await;
    asked.host.change(|state| {
        let failed = |id, guid: &str, hours| FailedDelivery {
            id,
            guid: guid.to_owned(),
            at: start() - SignedDuration::from_hours(hours),
        };
        state.failed = vec![failed(3, "a", 1), failed(2, "a", 2), failed(1, "b", 100)];
        state.requests[0].state = RequestState::Merged;
    });
    let first = asked.hooks.reconcile(asked.scene.now).await;
    assert_eq!((first.redelivered, first.errors), (1, Vec::new()));
    assert_eq!(first.outcomes, [(task.clone(), PullRequestOutcome::Merged)]);
    // Taken back on the default branch, and no push was delivered.
    asked.host.change(|state| {
        let at = state.branches["main"].clone();
        let tree = state.commits[&at].tree.clone();
        let taken = state.keep_commit("Revert \"x\"\n\nReverts acme/api#100", &tree, &[&at]);
        state.branches.insert("main".to_owned(), taken);
        assert_eq!(state.redelivered, [3]);
    });
    let second = asked.hooks.reconcile(asked.scene.now).await;
    assert_eq!(second.outcomes, [(task, PullRequestOutcome::Reverted)]);
    assert_eq!(asked.hooks.reconcile(asked.scene.now).await.outcomes, []);
}

#[tokio::test]
async fn an_open_request_is_asked_after_each_round_and_a_closed_one_once_a_day() {
    let mut asked = asked();
    asked.published().await;
    let mut rounds = async |count: usize| {
        asked.host.change(|state| state.calls.clear());
        for _ in 0..count {
            asked.scene.now += SignedDuration::from_mins(5);
            assert_eq!(asked.hooks.reconcile(asked.scene.now).await.errors, Vec::<String>::new());
        }
        asked.host.look(|state| state.calls.iter().filter(|call| **call == "request").count())
    };
    assert_eq!(rounds(12).await, 12);
    asked.host.change(|state| state.requests[0].state = RequestState::Closed);
    assert_eq!(rounds(1).await, 1);
    for _ in 0..3 {
        assert_eq!(rounds(288).await, 1);
    }
    // Opened again and merged, and no delivery told.
    asked.host.change(|state| state.requests[0].state = RequestState::Merged);
    rounds(288).await;
    assert_eq!(asked.scene.only().pull_request.unwrap().outcome, Some(PullRequestOutcome::Merged));
}

fn event(id: u64, issue: u64, minutes: i64) -> IssueEvent {
    let about =
        json!({"number": issue, "title": "Greet by name", "body": "It says nothing.", "state": "open"});
    let payload = json!({
        "action": "labeled", "issue": about, "label": {"name": "gloaming"}, "sender": user("alice"),
    });
    IssueEvent { id, at: start() + SignedDuration::from_mins(minutes), issue, payload }
}

impl Asked {
    /// Reconciles so many minutes after the start, where the host tells of these events, and works on what came of them.
    /// Returns how many were news, and how many tasks there are.
    async fn round(&self, events: Vec<IssueEvent>, minutes: i64) -> (usize, usize) {
        self.host.change(|state| state.issue_events = events);
        let now = start() + SignedDuration::from_mins(minutes);
        let done = self.hooks.reconcile(now).await;
        assert_eq!(done.errors, Vec::<String>::new());
        for delivery in
            self.scene.store.deliveries("github", 10, std::time::Duration::from_secs(60), now).unwrap()
        {
            self.hooks.work(&delivery, now).await;
        }
        (done.unheard, self.tasks())
    }
}

#[tokio::test]
async fn the_first_label_of_a_repository_is_no_past() {
    let asked = asked();
    asked.host.change(|state| state.token = true);
    asked.scene.submit(Source::Api, true);
    assert_eq!(asked.round(Vec::new(), 1).await, (0, 1));
    assert_eq!(asked.round(vec![event(1, 12, 2)], 5).await, (1, 2));
}

#[tokio::test]
async fn what_was_heard_and_began_nothing_begins_nothing_when_it_is_found_again() {
    let mut asked = asked();
    asked.host.change(|state| state.token = true);
    let at = |minutes: i64| start() + SignedDuration::from_mins(minutes);
    asked.hooks.handle(&labelled("d-1", "gloaming", "alice"), start()).await.unwrap();
    assert_eq!(asked.round(vec![event(1, 12, 0)], 1).await, (0, 1));
    // Set again while the task is at it, and heard; then the task ends without a pull request, and it is asked what happened.
    let again = asked.hooks.handle(&labelled("d-2", "gloaming", "alice"), at(10)).await.unwrap();
    assert_eq!(again, Handled::Nothing("a task is at it already"));
    asked.scene.now = at(11);
    let task = asked.scene.only().id;
    asked.scene.store.cancel(&task, "somebody", &[], at(11)).unwrap();
    assert_eq!(asked.round(vec![event(2, 12, 10), event(1, 12, 0)], 12).await, (0, 1));
    // One that nobody heard of begins the next; so does one that came a minute after that.
    assert_eq!(asked.round(vec![event(3, 12, 13)], 15).await, (1, 2));
    let next = asked.scene.store.tasks(&TaskFilter { limit: 1, ..TaskFilter::default() }).unwrap().remove(0);
    asked.scene.store.cancel(&next.id, "somebody", &[], at(16)).unwrap();
    assert_eq!(asked.round(vec![event(4, 12, 16)], 17).await, (1, 3));
}

#[tokio::test]
async fn a_round_asks_some_repositories_and_the_next_the_others() {
    let mut asked = asked();
    for number in 0..101 {
        asked.scene.repo = format!("acme/r{number:03}").parse().unwrap();
        asked.scene.submit(Source::Api, true);
    }
    let polled = async |minutes: i64| {
        asked.host.change(|state| state.calls.clear());
        asked.round(Vec::new(), minutes).await;
        let known = |number: u32| {
            let mark = format!("github:events:acme/r{number:03}");
            asked.scene.store.value(&mark).unwrap().is_some()
        };
        let asked_for =
            asked.host.look(|state| state.calls.iter().filter(|call| **call == "issue_events").count());
        (asked_for, (0..101).filter(|number| known(*number)).count())
    };
    // An App's missed deliveries are sent again.
    assert_eq!(polled(0).await, (0, 0));
    asked.host.change(|state| state.token = true);
    assert_eq!(polled(5).await, (100, 100));
    assert_eq!(polled(10).await, (100, 101));
}

#[tokio::test]
async fn an_open_request_is_asked_after_where_its_follow_up_came_to_nothing() {
    let mut asked = asked();
    let task = asked.published().await;
    let now = asked.scene.now;
    assert_eq!(asked.scene.store.follow_up(&task, "again", "github:bob", 2, now).unwrap(), Some(true));
    let lease = asked.scene.claim();
    finished(&asked.host, &asked.scene, &lease, "main", &[("src/lib.rs", "100644", Some("// more\n"))]);
    asked.scene.work(None).await;
    assert_eq!(asked.scene.record(&task).view.state, TaskState::BowedOut);
    asked.host.change(|state| state.requests[0].state = RequestState::Merged);
    let done = asked.hooks.reconcile(asked.scene.now).await;
    assert_eq!(done.outcomes, [(task, PullRequestOutcome::Merged)]);
}

#[tokio::test]
async fn labels_that_no_delivery_told_of_are_asked_for() {
    let asked = asked();
    asked.host.change(|state| state.token = true);
    let round = async |events, minutes| asked.round(events, minutes).await;
    // Of a repository that nothing was asked for in, nothing is asked.
    assert_eq!(round(vec![event(1, 12, 0)], 1).await, (0, 0));
    // Its first task comes by a delivery; what is past is left.
    asked.hooks.handle(&labelled("d-1", "gloaming", "alice"), start()).await.unwrap();
    assert_eq!(round(vec![event(2, 13, 1), event(1, 12, 0)], 2).await, (0, 1));
    // A label whose delivery was lost, and the one whose delivery came, told late.
    let all = vec![event(4, 14, 30), event(3, 12, 0), event(2, 13, 1), event(1, 12, 0)];
    assert_eq!(round(all.clone(), 31).await, (1, 2));
    let newest =
        asked.scene.store.tasks(&TaskFilter { limit: 1, ..TaskFilter::default() }).unwrap().remove(0);
    assert_eq!((newest.source, newest.asker.as_str()), (Source::Issue { number: 14 }, "github:alice"));
    // Once.
    assert_eq!(round(all, 40).await, (0, 2));
}
