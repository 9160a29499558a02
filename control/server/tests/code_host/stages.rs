//! The check that says at which stage a follow-up is, and how each of them ends.

use gloaming_api::TaskId;
use gloaming_api::bowout::{Cost, Stage};
use gloaming_api::worker::LeaseKey;
use gloaming_forge::host::CheckState;
use gloaming_forge::memory::Fault;
use gloaming_store::AttemptEnd;
use jiff::SignedDuration;

use crate::asked::{Asked, asked, wished};
use crate::published::finished;
use crate::scene::{Changed, TOKEN};

const MORE: &[Changed<'_>] = &[("src/lib.rs", "100644", Some("// more\n"))];

impl Asked {
    /// Has a reviewer ask for more. Returns the task.
    async fn followed_up(&mut self) -> TaskId {
        let task = self.published().await;
        assert_eq!(self.says(&wished(1)).await, "a follow-up");
        task
    }

    /// Has the worker say at which stage it is, and everything done that follows.
    async fn at(&mut self, lease: &LeaseKey, stage: Stage) -> String {
        self.scene.stage(lease, stage);
        self.scene.work(None).await;
        self.check()
    }

    /// Returns what the one check on the newest commit of the request says.
    fn check(&self) -> String {
        let commit = self.scene.only().pull_request.unwrap().commit;
        self.host.look(|state| {
            let ours: Vec<_> = state.checks.iter().filter(|(of, _)| *of == commit).collect();
            assert_eq!(ours.len(), 1, "{ours:?}");
            format!("{:?}, {}", ours[0].1.state, ours[0].1.title)
        })
    }

    fn edits(&self) -> usize {
        self.host.look(|state| state.calls.iter().filter(|call| **call == "edit_check").count())
    }
}

#[tokio::test]
async fn the_check_names_each_stage_once_and_ends_with_the_last_one_and_the_steps() {
    let mut asked = asked();
    let task = asked.followed_up().await;
    asked.scene.work(None).await;
    let mut told = vec![asked.check()];
    let lease = asked.scene.claim();
    for stage in [Stage::Baseline, Stage::Code, Stage::Code, Stage::Verify] {
        told.push(asked.at(&lease, stage).await);
    }
    assert_eq!(asked.edits(), 4, "one for the wait and one for each stage");
    let first = asked.scene.only().pull_request.unwrap().commit;
    finished(&asked.host, &asked.scene, &lease, &task.branch(), MORE);
    asked.scene.work(None).await;
    told.push(asked.check());
    asked.host.look(|state| {
        let (of, before) = &state.checks[0];
        assert_eq!((of, before.state), (&first, CheckState::Neutral));
        told.push(state.checks[1].1.summary.clone());
    });
    insta::assert_snapshot!(told.join("\n"), @r"
    Running, Follow-up 1: waits for a worker
    Running, Follow-up 1: baseline
    Running, Follow-up 1: code
    Running, Follow-up 1: code
    Running, Follow-up 1: verify
    Success, Published: every required step passed
    every required step passed; confidence 0.95, 0.60 needed

    Last stage: publish. Steps: V0 pass, V1 pass, V2 pass, V3 pass, V5 pass, V7 pass, V8 pass
    ");
    assert_eq!(asked.edits(), 5, "and the end of the one before");
}

#[tokio::test]
async fn what_was_left_behind_while_the_code_host_was_away_is_not_said_afterwards() {
    let mut asked = asked();
    let task = asked.followed_up().await;
    let lease = asked.scene.claim();
    for stage in [Stage::Baseline, Stage::Code, Stage::Verify] {
        asked.scene.stage(&lease, stage);
    }
    // The end is written down before anything of what happened in between was told.
    finished(&asked.host, &asked.scene, &lease, "main", MORE);
    asked.scene.work(None).await;
    assert_eq!(asked.check(), "Neutral, No pull request: duplicate_or_fixed, at publish");
    assert_eq!((asked.edits(), asked.scene.record(&task).follow_ups), (1, 1));
}

#[tokio::test]
async fn a_check_that_says_that_more_is_to_come_ends_however_the_attempt_does() {
    let mut told = Vec::new();
    for how in ["bows out", "fails", "is cancelled", "is cancelled while it waits", "loses its workers"] {
        let mut asked = asked();
        let task = asked.followed_up().await;
        let mut lease = asked.scene.claim();
        told.push(format!("{how}: {}", asked.at(&lease, Stage::Code).await));
        let failed = AttemptEnd::Failed { error: "no room on the disk".to_owned(), cost: Cost::default() };
        let store = asked.scene.store.clone();
        match how {
            "bows out" => finished(&asked.host, &asked.scene, &lease, "main", MORE),
            "fails" => {
                for left in (0..3).rev() {
                    store.finish(&lease, TOKEN, &failed, &[], asked.scene.now).unwrap().unwrap();
                    if left > 0 {
                        asked.scene.work(None).await;
                        told.push(format!("  {}", asked.check()));
                        asked.scene.now += SignedDuration::from_hours(24);
                        lease = asked.scene.claim();
                        asked.scene.stage(&lease, Stage::Code);
                    }
                }
            }
            "is cancelled" => {
                store.cancel(&task, "somebody", &[], asked.scene.now).unwrap();
                let end = AttemptEnd::Cancelled { cost: Cost::default() };
                store.finish(&lease, TOKEN, &end, &[], asked.scene.now).unwrap().unwrap();
            }
            "is cancelled while it waits" => {
                store.release(&lease, TOKEN, asked.scene.now).unwrap().unwrap();
                store.cancel(&task, "somebody", &[], asked.scene.now).unwrap();
            }
            _ => {
                for left in (0..3).rev() {
                    asked.scene.now += SignedDuration::from_hours(2);
                    assert_eq!(store.sweep(asked.scene.now).unwrap().len(), 1);
                    if left > 0 {
                        asked.scene.claim();
                    }
                }
            }
        }
        asked.scene.work(None).await;
        told.push(format!("  {}", asked.check()));
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    bows out: Running, Follow-up 1: code
      Neutral, No pull request: duplicate_or_fixed, at publish
    fails: Running, Follow-up 1: code
      Running, Follow-up 1: waits for a worker
      Running, Follow-up 1: waits for a worker
      Neutral, Follow-up 1: failed, at code
    is cancelled: Running, Follow-up 1: code
      Neutral, Follow-up 1: cancelled, at code
    is cancelled while it waits: Running, Follow-up 1: code
      Neutral, Follow-up 1: cancelled
    loses its workers: Running, Follow-up 1: code
      Neutral, Follow-up 1: quarantined
    ");
}

#[tokio::test]
async fn a_stage_that_cannot_be_said_keeps_nothing_and_its_end_is_said() {
    for fault in [Fault::Before, Fault::After, Fault::Limited] {
        for at in 0..2 {
            let mut asked = asked();
            let task = asked.followed_up().await;
            asked.scene.work(None).await;
            let lease = asked.scene.claim();
            asked.host.fail(at, fault);
            assert_eq!(asked.at(&lease, Stage::Code).await, "Running, Follow-up 1: code");
            finished(&asked.host, &asked.scene, &lease, &task.branch(), MORE);
            asked.scene.work(None).await;
            assert_eq!(asked.check(), "Success, Published: every required step passed");
        }
    }
}
