//! Schedules, shares and retention by a simulated clock, on each store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gloaming_api::TaskId;
use gloaming_api::access::RepoPattern;
use gloaming_api::bowout::{BowOut, Cost, Stage};
use gloaming_api::task::{NewTask, Source, TaskKind};
use gloaming_api::{Digest, ReasonCode};
use gloaming_server::publish::{Grants, of_end};
use gloaming_server::upkeep::{Forgotten, Keep, Schedule, Standing, Upkeep};
use gloaming_store::{
    AttemptEnd, Claimant, Limits, MemoryStore, SqliteStore, Store, Submission, Submitted, TaskFilter,
};
use jiff::{SignedDuration, Timestamp};

/// Each store, in a folder.
fn stores(folder: &Path, limits: &Limits) -> Vec<Arc<dyn Store>> {
    let sqlite = SqliteStore::open(&folder.join("plane.db"), limits.clone()).unwrap();
    vec![Arc::new(MemoryStore::new(limits.clone())), Arc::new(sqlite)]
}

fn grants() -> Grants {
    let none = gloaming_server::Policies::open(None).unwrap();
    let server = gloaming_server::Server::new(
        Arc::new(MemoryStore::new(Limits::default())),
        gloaming_server::Settings::default(),
        Arc::new(|| Timestamp::UNIX_EPOCH),
        none,
        Arc::new(gloaming_server::RefuseAll),
    );
    server.unwrap().grants()
}

fn new(repo: &str) -> NewTask {
    NewTask {
        repo: repo.parse().unwrap(),
        kind: TaskKind::Change,
        text: "tidy up".to_owned(),
        base: None,
        priority: 0,
        not_before: None,
        supersede: None,
        needs: Vec::new(),
        cost_usd: None,
    }
}

fn schedules(cron: &str, zone: &str) -> Standing {
    let schedule = Schedule::new("nightly", cron, zone, new("acme/api")).unwrap();
    Standing { schedules: vec![schedule], ..Standing::default() }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Every time for which something was asked, and how many tasks there are.
fn pass(upkeep: &mut Upkeep, store: &dyn Store, now: &str) -> String {
    let passed = upkeep.pass(at(now)).unwrap();
    let due: Vec<String> = passed
        .schedules
        .iter()
        .map(|one| match &one.task {
            Ok(_) => one.due.to_string(),
            Err(why) => format!("{}: {why}", one.due),
        })
        .collect();
    let tasks = store.tasks(&TaskFilter { limit: 100, ..TaskFilter::default() }).unwrap();
    format!("{} / {}", due.join(", "), tasks.len())
}

#[test]
fn each_time_is_asked_for_once_and_of_missed_ones_the_latest() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path(), &Limits::default()) {
        let start = |cron: &str, now: &str| {
            let mut upkeep = Upkeep::new(store.clone(), grants());
            upkeep.set(schedules(cron, "Europe/Berlin"), at(now)).unwrap();
            upkeep
        };
        let mut upkeep = start("30 2 * * *", "2026-03-01T12:00:00Z");
        // New: what is past is not made up for.
        assert_eq!(pass(&mut upkeep, &*store, "2026-03-01T12:00:00Z"), " / 0");
        assert_eq!(pass(&mut upkeep, &*store, "2026-03-02T01:29:59.999Z"), " / 0");
        assert_eq!(pass(&mut upkeep, &*store, "2026-03-02T01:30:00.5Z"), "2026-03-02T01:30:00Z / 1");
        assert_eq!(pass(&mut upkeep, &*store, "2026-03-02T01:30:01Z"), " / 1");
        // A process that died after it asked and before it noted that asks again, and that is the same task.
        let mark = store.value("schedule:nightly").unwrap().unwrap();
        store.set_value("schedule:nightly", &mark.replace("2026-03-02T01", "2026-03-01T01")).unwrap();
        let mut upkeep = start("30 2 * * *", "2026-03-02T01:31:00Z");
        assert_eq!(pass(&mut upkeep, &*store, "2026-03-02T01:31:00Z"), "2026-03-02T01:30:00Z / 1");
        // Away for four days.
        let mut upkeep = start("30 2 * * *", "2026-03-06T09:00:00Z");
        assert_eq!(pass(&mut upkeep, &*store, "2026-03-06T09:00:00Z"), "2026-03-06T01:30:00Z / 2");
        // A clock that is set back, and comes forward again.
        assert_eq!(pass(&mut upkeep, &*store, "2026-03-05T09:00:00Z"), " / 2");
        assert_eq!(pass(&mut upkeep, &*store, "2026-03-06T10:00:00Z"), " / 2");
        // In the night of the 29th there is no 2:30.
        assert_eq!(pass(&mut upkeep, &*store, "2026-03-28T12:00:00Z"), "2026-03-28T01:30:00Z / 3");
        assert_eq!(pass(&mut upkeep, &*store, "2026-03-29T12:00:00Z"), "2026-03-29T01:00:00Z / 4");
        assert_eq!(pass(&mut upkeep, &*store, "2026-03-30T12:00:00Z"), "2026-03-30T00:30:00Z / 5");
        // In that of 25 October there are two: one of them counts.
        assert_eq!(pass(&mut upkeep, &*store, "2026-10-24T12:00:00Z"), "2026-10-24T00:30:00Z / 6");
        assert_eq!(pass(&mut upkeep, &*store, "2026-10-25T00:45:00Z"), "2026-10-25T00:30:00Z / 7");
        assert_eq!(pass(&mut upkeep, &*store, "2026-10-25T12:00:00Z"), " / 7");
        // Other times begin now, though they were due before.
        let mut upkeep = start("0 * * * *", "2026-10-25T12:10:00Z");
        assert_eq!(pass(&mut upkeep, &*store, "2026-10-25T12:10:00Z"), " / 7");
        assert_eq!(pass(&mut upkeep, &*store, "2026-10-25T13:00:00Z"), "2026-10-25T13:00:00Z / 8");
        let log = store.audit_log(0, 100).unwrap();
        assert!(log.iter().all(|entry| entry.who == "schedule:nightly" && entry.action == "submit_task"));
        assert_eq!(log.len(), 9, "one for each, and for the one that was asked for twice");
    }
}

#[test]
fn where_too_many_wait_a_time_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { queued: 1, ..Limits::default() };
    for store in stores(folder.path(), &limits) {
        let mut upkeep = Upkeep::new(store.clone(), grants());
        upkeep.set(schedules("@daily", "UTC"), at("2026-03-01T12:00:00Z")).unwrap();
        pass(&mut upkeep, &*store, "2026-03-01T12:00:00Z");
        let task = submit(&*store, "acme/web", at("2026-03-01T13:00:00Z"));
        assert_eq!(
            pass(&mut upkeep, &*store, "2026-03-02T00:00:00Z"),
            "2026-03-02T00:00:00Z: as many tasks wait as may / 1"
        );
        // Not each second; and that it may is said when there is a task.
        assert_eq!(pass(&mut upkeep, &*store, "2026-03-02T00:00:01Z"), " / 1");
        assert_eq!(store.audit_log(0, 100).unwrap().len(), 0);
        store.cancel(&task, "me", &[], at("2026-03-02T00:01:00Z")).unwrap();
        assert_eq!(pass(&mut upkeep, &*store, "2026-03-02T00:02:00Z"), "2026-03-02T00:00:00Z / 2");
    }
}

#[test]
fn nobody_asked_by_name_and_a_bow_out_is_a_neutral_check() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Limits::default()));
    let mut upkeep = Upkeep::new(store.clone(), grants());
    upkeep.set(schedules("@hourly", "UTC"), at("2026-03-01T12:10:00Z")).unwrap();
    upkeep.pass(at("2026-03-01T12:10:00Z")).unwrap();
    let passed = upkeep.pass(at("2026-03-01T13:00:00Z")).unwrap();
    let task = passed.schedules[0].task.clone().unwrap();
    let record = store.task(&task).unwrap().unwrap();
    assert_eq!(record.view.source, Source::Schedule { name: "nightly".to_owned() });
    assert_eq!((record.by_name, record.view.asker.as_str()), (false, "schedule:nightly"));
    let effects = of_end(&record, record.view.attempt, &bow_out(&task));
    assert_eq!(effects.len(), 1);
    assert_eq!(
        (effects[0].kind.as_str(), &effects[0].payload["check"]["state"]),
        ("check", &"neutral".into())
    );
    assert_eq!(effects[0].payload.get("commit"), None, "the default branch's newest");
}

fn submit(store: &dyn Store, repo: &str, now: Timestamp) -> TaskId {
    let submission = Submission {
        id: TaskId::generate(),
        new: new(repo),
        source: Source::Api,
        asker: "token:bot".to_owned(),
        by_name: true,
        idempotency: None,
        effects: Vec::new(),
    };
    match store.submit(&submission, now).unwrap() {
        Submitted::New(task) => task,
        other => panic!("{other:?}"),
    }
}

fn bow_out(task: &TaskId) -> AttemptEnd {
    AttemptEnd::BowedOut(Box::new(BowOut {
        schema_version: 1,
        task_id: task.clone(),
        attempt: gloaming_api::Attempt(1),
        stage: Stage::Triage,
        reason_code: ReasonCode::TooLarge,
        summary: "too large".to_owned(),
        evidence: Vec::new(),
        attempted: Vec::new(),
        what_would_unblock: Vec::new(),
        questions: Vec::new(),
        confidence: None,
        threshold: None,
        cost: Cost::default(),
        retryable: false,
    }))
}

/// Runs a task to its end, with an artifact and a journal.
fn run(store: &dyn Store, content: &[u8], now: Timestamp) -> TaskId {
    submit(store, "acme/api", now);
    let claimant = Claimant {
        worker: "w".to_owned(),
        token: "w".to_owned(),
        labels: Vec::new(),
        repos: vec![RepoPattern::all()],
    };
    let lease = store.claim(&claimant, Duration::from_secs(60), now).unwrap().unwrap().lease;
    store.append(&lease, "w", 0, &["a line"], now).unwrap().unwrap();
    store.put_artifact(&lease, "w", &Digest::of(content), content, now).unwrap().unwrap();
    store.finish(&lease, "w", &bow_out(&lease.task), &[], now).unwrap().unwrap();
    lease.task
}

#[test]
fn what_is_old_is_forgotten_and_said() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path(), &Limits::default()) {
        let begin = at("2026-01-01T00:00:00Z");
        let day = |days: i64| begin + SignedDuration::from_hours(24 * days);
        store.audit("token:bot", "allow", "submit_task", "acme/api", "", begin).unwrap();
        let old = run(&*store, b"of both", begin);
        let young = run(&*store, b"of both", day(20));
        let waits = submit(&*store, "acme/api", begin);
        store.audit("token:bot", "allow", "submit_task", "acme/api", "", day(20)).unwrap();
        let mut upkeep = Upkeep::new(store.clone(), grants());
        upkeep.set(Standing { keep: Keep::days(10, 30).unwrap(), ..Standing::default() }, begin).unwrap();
        let mut forgotten = |now: Timestamp| {
            let Forgotten { tasks, audit, more } = upkeep.pass(now).unwrap().forgotten;
            (tasks, audit, more)
        };
        assert_eq!(forgotten(day(10)), (0, 0, false));
        // Looked at once an hour.
        assert_eq!(forgotten(day(10) + SignedDuration::from_mins(59)), (0, 0, false));
        assert_eq!(forgotten(day(10) + SignedDuration::from_mins(60)), (1, 0, false));
        assert_eq!(store.task(&old).unwrap(), None);
        let kept = |task: &TaskId| store.artifact(task, &Digest::of(b"of both")).unwrap();
        assert_eq!((kept(&old), kept(&young).as_deref()), (None, Some(&b"of both"[..])));
        assert!(store.task(&waits).unwrap().is_some(), "it has not ended, however old");
        let last = store.audit_log(0, 100).unwrap().pop().unwrap();
        assert_eq!(
            (last.who.as_str(), last.action.as_str(), last.subject.as_str()),
            ("system", "forget", "1 task")
        );
        assert!(last.detail.contains(old.as_str()), "{}", last.detail);
        // The log's first goes; what says so stays.
        assert_eq!(forgotten(day(31)), (1, 1, false));
        assert_eq!(kept(&young), None);
        let log = store.audit_log(0, 100).unwrap();
        assert_eq!(log[0].at, day(20));
        assert_eq!(log.last().unwrap().subject, "1 audit entry");
    }
}

#[test]
fn more_than_is_forgotten_at_once_is_gone_on_with() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Limits::default()));
    let begin = at("2026-01-01T00:00:00Z");
    for _ in 0..250 {
        run(&*store, b"content", begin);
    }
    let mut upkeep = Upkeep::new(store.clone(), grants());
    upkeep.set(Standing { keep: Keep::days(10, 0).unwrap(), ..Standing::default() }, begin).unwrap();
    let later = at("2026-02-01T00:00:00Z");
    assert_eq!(upkeep.pass(later).unwrap().forgotten, Forgotten { tasks: 200, audit: 0, more: true });
    assert_eq!(upkeep.pass(later).unwrap().forgotten, Forgotten { tasks: 50, audit: 0, more: false });
}
