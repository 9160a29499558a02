//! Deliveries that wait: they cost the code host and the audit log nothing, and are not lost.

use gloaming_api::task::Source;
use gloaming_store::Limits;
use jiff::SignedDuration;
use serde_json::json;

use crate::asked::{Asked, asked, asked_under, delivery, labelled, pull, user, wished};

impl Asked {
    /// Returns what was asked of the code host since, but for who we are there, and how long the audit log is.
    fn spent(&self) -> (Vec<&'static str>, usize) {
        let calls =
            self.host.look(|state| state.calls.iter().copied().filter(|call| *call != "me").collect());
        (calls, self.scene.store.audit_log(0, 1_000).unwrap().len())
    }
}

#[tokio::test]
async fn what_waits_for_a_tasks_end_asks_nothing_of_the_code_host_and_writes_nothing() {
    let mut asked = asked();
    let task = asked.published().await;
    assert_eq!(asked.says(&wished(1)).await, "a follow-up");
    let review = json!({"id": 5, "state": "changes_requested", "body": "Not yet.", "user": user("alice")});
    let body = json!({"action": "submitted", "review": review, "pull_request": pull(&task, "acme/api")});
    let review = delivery("r-5", "pull_request_review", body);
    let before = asked.spent();
    for _ in 0..10 {
        for waits in [&wished(2), &review] {
            assert!(asked.says(waits).await.starts_with("not now"));
        }
        // The one that the task goes on for, sent again.
        assert_eq!(asked.says(&wished(1)).await, "a follow-up");
    }
    assert_eq!(asked.spent(), before);
}

#[tokio::test]
async fn a_label_waits_where_as_many_tasks_wait_as_may_and_begins_one_when_there_is_room() {
    let mut asked = asked_under(Limits { queued: 1, ..Limits::default() }, "");
    let other = asked.scene.submit(Source::Api, true);
    let label = labelled("d-1", "gloaming", "alice");
    assert!(asked.scene.store.deliver(&label, asked.scene.now).unwrap());
    assert!(!asked.hooks.work(&label, asked.scene.now).await, "it is to be taken again");
    let before = asked.spent();
    // Every 20 s for most of a minute, and another label beside it.
    for _ in 0..2 {
        asked.scene.now += SignedDuration::from_secs(20);
        assert!(!asked.hooks.work(&label, asked.scene.now).await);
        assert!(asked.says(&labelled("d-2", "gloaming", "alice")).await.starts_with("not now"));
    }
    assert_eq!(asked.spent(), before);
    asked.scene.store.cancel(&other, "somebody", &[], asked.scene.now).unwrap();
    asked.scene.now += SignedDuration::from_secs(20);
    assert!(asked.hooks.work(&label, asked.scene.now).await);
    assert_eq!(asked.tasks(), 2);
    let left = asked
        .scene
        .store
        .deliveries("github", 9, std::time::Duration::from_secs(60), asked.scene.now)
        .unwrap();
    assert_eq!(left, []);
}
