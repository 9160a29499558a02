//! What the operator's `[submit]` says of who asks on the code host.

use std::sync::Arc;

use gloaming_api::task::TaskState;
use gloaming_forge::host::CheckState;
use gloaming_server::hooks::github::{Called, Hooks};
use gloaming_store::Limits;
use serde_json::json;

use crate::asked::{Asked, asked, asked_under, delivery, labelled, user, wished};

const ALICE_ALONE: &str = "[submit]\n\"github:alice\" = [\"model\"]\n";
const REFUSED: &str = "no policy lets whoever asks";

impl Asked {
    /// Returns what was decided, by whom it is about and where.
    fn decided(&self) -> Vec<String> {
        let log = self.scene.store.audit_log(0, 100).unwrap();
        let lines = log.iter().map(|one| {
            // A grant's digest is of every rule that there is.
            let detail = match one.detail.split_once("grant sha256:") {
                Some((before, digest)) => format!("{before}grant of {} digits", digest.len()),
                None => one.detail.clone(),
            };
            format!("{} {} {} {}: {detail}", one.who, one.decision, one.action, one.subject)
        });
        lines.collect()
    }

    /// Returns what was said under an issue or pull request.
    fn said(&self, number: u64) -> Vec<String> {
        let comments =
            |said: &Vec<gloaming_forge::host::Comment>| said.iter().map(|one| one.body.clone()).collect();
        self.host.look(|state| state.comments.get(&number).map(comments)).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_label_of_somebody_whom_no_policy_names_is_answered_and_begins_nothing() {
    let mut asked = asked_under(Limits::default(), "[submit]\n\"github:bob\" = [\"model\"]\n");
    // However often it is asked, and however often a delivery is worked on.
    for id in ["d-1", "d-1", "d-2"] {
        assert_eq!(asked.says(&labelled(id, "gloaming", "alice")).await, REFUSED);
    }
    asked.scene.work(None).await;
    assert_eq!(asked.tasks(), 0);
    insta::assert_snapshot!(asked.decided()[..2].join("\n"), @r"
    github:alice allow github acme/api: Write on the repository; write is needed
    github:alice deny github acme/api: denied by rule submit (operator.toml:4): `github:alice` may not ask for `model` here. Ask somebody who is named there.; grant of 64 digits
    ");
    let said = asked.said(12);
    assert_eq!(said.len(), 1);
    insta::assert_snapshot!(said[0].split("<!--").next().unwrap(), @r"
    **Not begun**: denied by rule submit (operator.toml:4): \`github:alice\` may not ask for \`model\` here. Ask somebody who is named there.

    Who may ask for what is in the policies of this Gloaming; whoever runs it can change them.
    ");
    // A program is answered by a check, and no comment.
    assert_eq!(asked.says(&labelled("d-3", "gloaming", "sweep[bot]")).await, REFUSED);
    asked.scene.work(None).await;
    asked.host.look(|state| {
        let (commit, check) = &state.checks[0];
        assert_eq!((commit, check.state), (&state.branches["main"], CheckState::Neutral));
        assert_eq!((check.title.as_str(), state.checks.len()), ("Not begun: #12", 1));
        assert_eq!(state.comments[&12].len(), 1);
    });
}

#[tokio::test]
async fn whoever_is_named_is_let_in_and_the_grant_is_written_down() {
    let asked = asked_under(Limits::default(), ALICE_ALONE);
    assert_eq!(asked.says(&labelled("d-1", "gloaming", "alice")).await, "a task");
    insta::assert_snapshot!(asked.decided().join("\n"), @r"
    github:alice allow github acme/api: Write on the repository; write is needed
    github:alice allow github acme/api: grant of 64 digits
    ");
}

#[tokio::test]
async fn a_reviewer_whom_no_policy_names_is_answered_under_the_request() {
    let mut asked = asked_under(Limits::default(), ALICE_ALONE);
    let task = asked.published().await;
    asked.host.change(|state| {
        state.permissions.insert("bob".to_owned(), gloaming_forge::host::Permission::Admin);
    });
    let comment = json!({"id": 8, "body": "@gloaming rename it", "user": user("bob")});
    let issue = json!({"number": 100, "title": "t", "state": "open", "pull_request": {}});
    let body = json!({"action": "created", "comment": comment, "issue": issue});
    assert_eq!(asked.says(&delivery("c-8", "issue_comment", body)).await, REFUSED);
    asked.scene.work(None).await;
    let record = asked.scene.record(&task);
    assert_eq!((record.view.state, record.follow_ups), (TaskState::Published, 0));
    let said = asked.said(100);
    assert!(said.len() == 1 && said[0].starts_with("**Not begun**: denied by rule submit"), "{said:?}");
    assert_eq!(asked.says(&wished(1)).await, "a follow-up");
}

#[tokio::test]
async fn a_failed_check_goes_on_only_while_whoever_asked_for_the_task_may() {
    let mut asked = asked();
    let task = asked.published().await;
    let commit = asked.scene.only().pull_request.unwrap().commit;
    let run = json!({"name": "ci", "head_sha": commit, "conclusion": "failure", "app": {"slug": "ci"},
        "check_suite": {"head_branch": task.branch()}});
    let body = json!({"action": "completed", "check_run": run, "sender": user("ci[bot]")});
    let failed = delivery("k-1", "check_run", body);
    let under = |policy| {
        let grants = asked_under(Limits::default(), policy).scene.grants;
        Hooks::new(asked.scene.store.clone(), asked.host.clone(), grants, Called::default())
    };
    let (then, now) = (
        under("[submit]\n\"github:bob\" = [\"model\"]\n"),
        under("[submit]\n\"github:alice\" = [\"model\"]\n"),
    );
    asked.hooks = then;
    assert_eq!(asked.says(&failed).await, "no policy lets whoever asked for the task");
    asked.hooks = now;
    assert_eq!(asked.says(&failed).await, "a follow-up");
}

#[tokio::test]
async fn a_repository_that_no_policy_is_for_is_refused_at_once() {
    let mut asked = asked();
    let grants =
        Arc::new(|repo: &gloaming_api::RepoId| Err(format!("no policy of this control plane is for {repo}")));
    asked.hooks = Hooks::new(asked.scene.store.clone(), asked.host.clone(), grants, Called::default());
    assert_eq!(asked.says(&labelled("d-1", "gloaming", "alice")).await, REFUSED);
    asked.scene.work(None).await;
    assert_eq!(asked.tasks(), 0);
    let said = asked.said(12);
    let expect = "**Not begun**: no policy of this control plane is for acme/api\n";
    assert!(said.len() == 1 && said[0].starts_with(expect), "{said:?}");
}
