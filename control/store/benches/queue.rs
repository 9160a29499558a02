//! What the queue costs: submit, claim, renew and finish with few and with thousands of tasks that wait, of 50 repositories,
//! each beside a bare transaction of an insert and an update on the same disk.
//!
//! `cargo bench -p gloaming-store`. Times are the disk's more than the code's: read the ratios.

use std::path::Path;
use std::time::{Duration, Instant};

use gloaming_api::Digest;
use gloaming_api::access::RepoPattern;
use gloaming_api::bowout::{Cost, Stage};
use gloaming_api::task::{NewTask, Source, TaskKind};
use gloaming_api::worker::Renewal;
use gloaming_store::{AttemptEnd, Claimant, Limits, NewEffect, SqliteStore, Store as _, Submission};
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

const REPOSITORIES: u64 = 50;
const ROUNDS: usize = 300;
const LEASE: Duration = Duration::from_secs(60);

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bare = Bare::open(&folder.path().join("bare.sqlite"));
    let file = |waiting: u64| folder.path().join(format!("{waiting}.sqlite"));
    let mut queues = [100, 1_000, 10_000].map(|waiting| Queue::open(&file(waiting), waiting));
    // One after another in each round: a disk is slower at times.
    let mut usual = Vec::new();
    for _ in 0..ROUNDS {
        timed(&mut usual, || bare.once());
        queues.iter_mut().for_each(Queue::round);
    }
    let usual = median(&usual);
    println!("medians of {ROUNDS} each; a bare transaction among them takes {:.2} ms\n", millis(usual));
    println!("| tasks that wait | submit | claim | renew | finish | all four | claim, no worker fits |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for queue in &queues {
        let [submit, claim, renew, finish, in_vain] = queue.times.each_ref().map(|times| median(times));
        let times = |time: Duration| format!("{:.2} ms ({:.2}x)", millis(time), ratio(time, usual));
        println!(
            "| {} | {} | {} | {} | {} | {:.1}x | {} |",
            queue.waiting,
            times(submit),
            times(claim),
            times(renew),
            times(finish),
            ratio(submit + claim + renew + finish, usual),
            times(in_vain)
        );
    }
    let [few, _, many] = &queues;
    let claims = |queue: &Queue| median(&queue.times[1]);
    println!("\na claim at 10000 that wait takes {:.2}x of one at 100", ratio(claims(many), claims(few)));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn ratio(time: Duration, of: Duration) -> f64 {
    time.as_secs_f64() / of.as_secs_f64()
}

fn timed(times: &mut Vec<Duration>, work: impl FnOnce()) {
    let begun = Instant::now();
    work();
    times.push(begun.elapsed());
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

/// A transaction as small as one that takes a lease can be, set up as the store is.
struct Bare(Connection, i64);

impl Bare {
    fn open(path: &Path) -> Self {
        let connection = Connection::open(path).expect("a database");
        connection.pragma_update(None, "journal_mode", "wal").expect("a log");
        connection.pragma_update(None, "synchronous", "full").expect("flushed");
        connection
            .execute_batch(
                "CREATE TABLE task (id INTEGER PRIMARY KEY, state TEXT NOT NULL) STRICT;
                 CREATE TABLE event (id INTEGER PRIMARY KEY, task INTEGER NOT NULL, kind TEXT NOT NULL) STRICT;
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
                 INSERT INTO task SELECT i, 'queued' FROM n;",
            )
            .expect("tables");
        Self(connection, 0)
    }

    fn once(&mut self) {
        self.1 = (self.1 + 31) % 10_000;
        let tx = self.0.transaction_with_behavior(TransactionBehavior::Immediate).expect("begins");
        tx.prepare_cached("UPDATE task SET state = 'running' WHERE id = ?1")
            .and_then(|mut update| update.execute([self.1 + 1]))
            .expect("updated");
        tx.prepare_cached("INSERT INTO event (task, kind) VALUES (?1, ?2)")
            .and_then(|mut insert| insert.execute(params![self.1, "leased"]))
            .expect("inserted");
        tx.commit().expect("committed");
    }
}

/// A store with so many tasks that wait, throughout.
struct Queue {
    store: SqliteStore,
    waiting: u64,
    submitted: u64,
    now: Timestamp,
    /// Of submit, claim, renew, finish, and a claim that finds nothing for its labels.
    times: [Vec<Duration>; 5],
}

impl Queue {
    fn open(path: &Path, waiting: u64) -> Self {
        let limits = Limits { running: 1_000, ..Limits::default() };
        let store = SqliteStore::open(path, limits).expect("the store opens");
        let now = "2026-03-01T00:00:00Z".parse().expect("a time");
        let mut queue = Self { store, waiting, submitted: 0, now, times: Default::default() };
        (0..waiting).for_each(|_| queue.submit());
        queue
    }

    fn submit(&mut self) {
        self.submitted += 1;
        let number = self.submitted;
        let new = NewTask {
            repo: format!("acme/r{}", number % REPOSITORIES).parse().expect("a repository"),
            kind: TaskKind::Change,
            text: "Bump the dependency past the advisory, and see that what uses it still does what it did."
                .into(),
            base: None,
            priority: 0,
            not_before: None,
            supersede: None,
            needs: vec!["engine:embedded".into()],
            cost_usd: None,
        };
        let submission = Submission {
            id: format!("t-{number:020}").parse().expect("an id"),
            new,
            source: Source::Api,
            asker: "token:bot".into(),
            by_name: true,
            idempotency: None,
            effects: vec![effect(&format!("check:{number}"))],
        };
        self.store.submit(&submission, self.now).expect("submitted");
    }

    fn round(&mut self) {
        let claimant = |labels: &[&str]| Claimant {
            worker: "w".into(),
            token: "k".into(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            repos: vec![RepoPattern::all()],
        };
        let [fits, does_not] = [claimant(&["engine:embedded", "arch:x86_64"]), claimant(&["arch:aarch64"])];
        let cost = Cost { usd: 0.1, calls: 3, tokens: 9_000, tool_bytes: 40_000, wall_s: 20.0 };
        let renewal = Renewal {
            stage: Some(Stage::Code),
            doing: "editing src/lib.rs".into(),
            cost,
            grant: Some(Digest::of("grant")),
        };
        let mut times = std::mem::take(&mut self.times);
        timed(&mut times[0], || self.submit());
        let (store, now) = (&self.store, self.now);
        timed(&mut times[4], || assert!(store.claim(&does_not, LEASE, now).expect("asked").is_none()));
        let mut claimed = None;
        timed(&mut times[1], || claimed = store.claim(&fits, LEASE, now).expect("claimed"));
        let lease = claimed.expect("there are tasks").lease;
        timed(&mut times[2], || {
            assert!(store.renew(&lease, "k", &renewal, LEASE, now).expect("renewed").is_ok())
        });
        let end = AttemptEnd::Cancelled { cost };
        timed(&mut times[3], || assert!(store.finish(&lease, "k", &end, &[], now).expect("ended").is_ok()));
        self.times = times;
    }
}

fn effect(key: &str) -> NewEffect {
    NewEffect { key: key.into(), kind: "check".into(), payload: serde_json::json!({ "of": key }) }
}
