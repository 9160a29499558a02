//! Deliveries that wait: they cost the code host and the audit log nothing, and are not lost.

use serde_json::json;

use crate::asked::{Asked, asked, delivery, pull, user, wished};

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
