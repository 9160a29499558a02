//! What the queue costs: submit, claim, renew and finish with few and with thousands of tasks that wait, of 50 repositories,
//! against one bare transaction of an insert and an update on the same disk in the same run.
//!
//! `cargo bench -p gloaming-store`. Times are the disk's more than the code's: read the ratios.

use std::path::Path;
use std::time::{Duration, Instant};

use gloaming_api::access::RepoPattern;
use gloaming_api::bowout::{Cost, Stage};
use gloaming_api::task::{NewTask, Source};
use gloaming_api::worker::Renewal;
use gloaming_api::{Digest, TaskId};
use gloaming_store::{AttemptEnd, Claimant, Limits, NewEffect, SqliteStore, Store as _, Submission};
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

const REPOSITORIES: u64 = 50;
const ROUNDS: usize = 300;
const LEASE: Duration = Duration::from_secs(60);

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let bare = bare(&folder.path().join("bare.sqlite"));
    println!("one bare transaction (insert and update, flushed): {:.3} ms", millis(bare));
    println!(
        "\n| tasks that wait | submit | claim | renew | finish | all four, of the bare one | claim, no worker fits |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut claims = Vec::new();
    for waiting in [100, 1_000, 10_000] {
        let took = measure(&folder.path().join(format!("{waiting}.sqlite")), waiting);
        let times = |time: Duration| format!("{:.3} ms ({:.2}x)", millis(time), ratio(time, bare));
        let [submit, claim, renew, finish, in_vain] = took;
        let all = submit + claim + renew + finish;
        println!(
            "| {waiting} | {} | {} | {} | {} | {:.1}x | {} |",
            times(submit),
            times(claim),
            times(renew),
            times(finish),
            ratio(all, bare),
            times(in_vain)
        );
        claims.push(claim);
    }
    println!("\na claim at 10000 that wait takes {:.2}x of one at 100", ratio(claims[2], claims[0]));
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

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A transaction as small as one that takes a lease can be, set up as the store is.
fn bare(path: &Path) -> Duration {
    let mut connection = Connection::open(path).expect("a database");
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
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        timed(&mut times, || {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).expect("begins");
            let task = (round * 31) % 10_000 + 1;
            tx.prepare_cached("UPDATE task SET state = 'running' WHERE id = ?1")
                .and_then(|mut update| update.execute([task]))
                .expect("updated");
            tx.prepare_cached("INSERT INTO event (task, kind) VALUES (?1, ?2)")
                .and_then(|mut insert| insert.execute(params![task, "leased"]))
                .expect("inserted");
            tx.commit().expect("committed");
        });
    }
    median(times)
}

/// The medians of submit, claim, renew, finish, and a claim that finds nothing for its labels, with so many that wait
/// throughout.
fn measure(path: &Path, waiting: u64) -> [Duration; 5] {
    let limits = Limits { running: 1_000, ..Limits::default() };
    let store = SqliteStore::open(path, limits).expect("the store opens");
    let now: Timestamp = "2026-03-01T00:00:00Z".parse().expect("a time");
    let mut next = 0;
    let mut submit = || {
        next += 1;
        let new = NewTask {
            repo: format!("acme/r{}", next % REPOSITORIES).parse().expect("a repository"),
            text: "Bump the dependency past the advisory, and see that what uses it still does what it did."
                .into(),
            base: None,
            priority: 0,
            not_before: None,
            supersede: None,
            needs: vec!["engine:embedded".into()],
            cost_usd: None,
        };
        let id: TaskId = format!("t-{next:020}").parse().expect("an id");
        let effects = vec![effect(&format!("check:{next}"))];
        let submission = Submission {
            id,
            new,
            source: Source::Api,
            asker: "token:bot".into(),
            by_name: true,
            idempotency: None,
            effects,
        };
        store.submit(&submission, now).expect("submitted");
    };
    (0..waiting).for_each(|_| submit());
    let claimant = |labels: &[&str]| Claimant {
        worker: "w".into(),
        token: "k".into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        repos: vec![RepoPattern::all()],
    };
    let [fits, does_not] = [claimant(&["engine:embedded", "arch:x86_64"]), claimant(&["arch:aarch64"])];
    let renewal = Renewal {
        stage: Some(Stage::Code),
        doing: "editing src/lib.rs".into(),
        cost: Cost { usd: 0.1, calls: 3, tokens: 9_000, tool_bytes: 40_000, wall_s: 20.0 },
        grant: Some(Digest::of("grant")),
    };
    let mut times: [Vec<Duration>; 5] = Default::default();
    let [submits, claims, renews, finishes, in_vain] = &mut times;
    for _ in 0..ROUNDS {
        timed(submits, &mut submit);
        timed(in_vain, || assert!(store.claim(&does_not, LEASE, now).expect("asked").is_none()));
        let mut lease = None;
        timed(claims, || lease = store.claim(&fits, LEASE, now).expect("claimed"));
        let lease = lease.expect("there are tasks").lease;
        timed(renews, || assert!(store.renew(&lease, "k", &renewal, LEASE, now).expect("renewed").is_ok()));
        let end = AttemptEnd::Failed { error: "no route to host".into(), cost: renewal.cost };
        timed(finishes, || {
            assert!(store.finish(&lease, "k", &end, &[effect("never")], now).expect("ended").is_ok())
        });
    }
    times.map(median)
}

fn effect(key: &str) -> NewEffect {
    NewEffect { key: key.into(), kind: "check".into(), payload: serde_json::json!({ "of": key }) }
}
