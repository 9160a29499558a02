//! The store's file: copies of it, what a look at it finds, and who may open it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use gloaming_store::{Health, Limits, Sizes, SqliteStore, Store};
use rusqlite::Connection;

use crate::script::{answer, dump};
use crate::sqlite;

/// What a store of some history was asked.
const HISTORY: &[&str] = &[
    "0s submit 1 acme/api effect=check-1",
    "0s submit 2 acme/api",
    "0s claim w",
    "1s append 1/1 w one two three",
    "1s artifact 1/1 w content",
    "2s finish 1/1 w verified effect=publish-1",
    "2s claim w",
    "3s audit w allow acme/api",
    "4s audit w deny other/one",
    "5s audit operator allow",
    "6s token t1 scopes=read",
];

fn made(folder: &Path) -> SqliteStore {
    let store = sqlite(&folder.join("store.sqlite"), Limits::default());
    for line in HISTORY {
        let said = answer(&store, line);
        assert!(!said.starts_with("refused") && !said.starts_with("error"), "{line}: {said}");
    }
    store
}

/// A call's error with its causes.
fn told<T>(done: Result<T, gloaming_store::StoreError>, folder: &Path) -> String {
    let error = done.err().unwrap();
    let cause = error.source.as_ref();
    format!("{error}: {cause}").replace(&folder.display().to_string(), "FOLDER")
}

#[test]
fn a_copy_is_whole_and_takes_the_place_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let store = made(folder.path());
    // What is not checkpointed yet is in it, and what is written while it is made does no harm.
    std::thread::scope(|scope| {
        scope.spawn(|| (10..60).for_each(|task| drop(answer(&store, &format!("7s submit {task} acme/web")))));
        for number in 0..5 {
            store.backup(&at(&format!("copy-{number}"))).unwrap();
        }
    });
    store.backup(&at("copy")).unwrap();
    // Hashes of tokens and the texts of private repositories' tasks are in them.
    for entry in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert!(
            mode == 0o600 || entry.path().extension().is_some_and(|end| end == "lock"),
            "{entry:?} {mode:o}"
        );
    }
    let health = SqliteStore::check_file(&at("copy")).unwrap();
    let (sizes, wanted) =
        (health.sizes, Health { tasks: 52, audited_from: 1, audited: 3, ..Health::default() });
    assert_eq!(Health { sizes: Sizes::default(), ..health }, wanted);
    assert_eq!(sizes.file, std::fs::metadata(at("copy")).unwrap().len());
    // "one", "two", "three"; "content".
    assert_eq!((sizes.journals, sizes.artifacts), (11, 7));
    for number in 0..5 {
        let health = SqliteStore::check_file(&at(&format!("copy-{number}"))).unwrap();
        assert!(health.is_sound() && (2..=52).contains(&health.tasks), "{health:?}");
    }
    let refused = "back up to FOLDER/copy (store FOLDER/store.sqlite): there is a file FOLDER/copy already; move it away, \
                   or name another";
    assert_eq!(told(store.backup(&at("copy")), folder.path()), format!("could not {refused}"));

    SqliteStore::restore(&at("copy"), &at("restored.sqlite")).unwrap();
    let restored = sqlite(&at("restored.sqlite"), Limits::default());
    assert_eq!(dump(&restored, 60, &[]), dump(&store, 60, &[]));
    // It goes on where the other was, the numbers of events and effects among it.
    for line in
        ["8s submit 70 acme/api effect=check-70", "8s audit w allow", "9s claim v", "9s feed after=50"]
    {
        assert_eq!(answer(&restored, line), answer(&store, line), "{line}");
    }
    assert_eq!(
        told(SqliteStore::restore(&at("copy"), &at("restored.sqlite")), folder.path()),
        "could not restore FOLDER/copy to FOLDER/restored.sqlite: there is a file FOLDER/restored.sqlite already; move it \
         away, or name another"
    );
    // A log that was left of another store would be read into it.
    std::fs::write(at("new.sqlite-wal"), "of another").unwrap();
    let beside = told(SqliteStore::restore(&at("copy"), &at("new.sqlite")), folder.path());
    assert!(beside.contains("new.sqlite-wal already"), "{beside}");
    assert!(!at("new.sqlite").exists());
}

#[test]
fn what_is_left_of_the_audit_log_can_be_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let store = made(folder.path());
    assert_eq!(answer(&store, "9s forget-audit 5s"), "2 entries");
    let health = SqliteStore::check_file(&path).unwrap();
    assert!(health.is_sound(), "{health:?}");
    // What said that they were forgotten is the fourth.
    assert_eq!((health.audited_from, health.audited), (3, 4));
    // A beginning that goes otherwise is missed.
    Connection::open(&path).unwrap().execute("DELETE FROM audit WHERE seq = 3", []).unwrap();
    let broken = SqliteStore::check_file(&path).unwrap().audit.unwrap();
    assert_eq!(broken.to_string(), "the audit log is broken at entry 4: an entry before it is missing");
}

#[test]
fn a_file_of_the_first_version_is_looked_at_and_brought_forward() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    drop(made(folder.path()));
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "DROP TABLE share; DROP TABLE audit_base; ALTER TABLE effect DROP COLUMN tried;
             ALTER TABLE task DROP COLUMN spelt; ALTER TABLE task DROP COLUMN kind;
             DROP TABLE value;
             CREATE TABLE value (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
             ALTER TABLE repository ADD COLUMN weight INTEGER;
             ALTER TABLE repository ADD COLUMN running INTEGER; UPDATE repository SET weight = 7, running = 9;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    let health = SqliteStore::check_file(&path).unwrap();
    assert!(health.is_sound() && health.audited == 3, "{health:?}");
    let store = sqlite(&path, Limits::default());
    assert_eq!(answer(&store, "9s share-of acme/api"), "9 of 7");
    assert_eq!(answer(&store, "9s forget-audit 4s"), "1 entries");
    let other = tempfile::tempdir().unwrap();
    let fresh = made(other.path());
    for line in ["9s show 1", "9s figures 0", "9s load"] {
        assert_eq!(answer(&store, line), answer(&fresh, line), "{line}");
    }
}

#[test]
fn what_is_not_a_store_of_this_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    drop(made(folder.path()));
    std::fs::copy(at("store.sqlite"), at("newer.sqlite")).unwrap();
    Connection::open(at("newer.sqlite")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let newer = "it was made by a newer version: its form is number 99, and this one knows 6 of them; start the newer \
                 version, or restore a backup that this one made";
    let before = std::fs::read(at("newer.sqlite")).unwrap();
    assert_eq!(
        told(SqliteStore::open(&at("newer.sqlite"), Limits::default()), folder.path()),
        format!("could not open the store FOLDER/newer.sqlite: {newer}")
    );
    assert_eq!(std::fs::read(at("newer.sqlite")).unwrap(), before, "nothing was done to it");
    for refused in [
        told(SqliteStore::check_file(&at("newer.sqlite")), folder.path()),
        told(SqliteStore::restore(&at("newer.sqlite"), &at("restored.sqlite")), folder.path()),
    ] {
        assert!(refused.ends_with(newer), "{refused}");
    }
    std::fs::write(at("text"), "this is no database, however long it is ".repeat(40)).unwrap();
    assert!(
        told(SqliteStore::open(&at("text"), Limits::default()), folder.path()).contains("not a database")
    );
    assert!(told(SqliteStore::check_file(&at("text")), folder.path()).contains("not a database"));
    assert!(told(SqliteStore::check_file(&at("none")), folder.path()).contains("unable to open"));
    std::fs::write(at("empty"), "").unwrap();
    assert!(told(SqliteStore::check_file(&at("empty")), folder.path()).contains("no store"));
}

/// What is done to a file behind the store's back, and what a look at it says then.
const TAMPERED: &[(&str, &str)] = &[
    ("UPDATE audit SET who = 'nobody' WHERE seq = 2", "audit 2: it was changed: its hash is another"),
    ("UPDATE audit SET at = at + 1 WHERE seq = 1", "audit 1: it was changed: its hash is another"),
    ("UPDATE audit SET prev = hash WHERE seq = 3", "audit 3: it does not follow after the one before it"),
    ("DELETE FROM audit WHERE seq = 2", "audit 3: an entry before it is missing"),
    ("DELETE FROM audit WHERE seq = 1", "audit 2: an entry before it is missing"),
    (
        "DELETE FROM audit WHERE seq = 3",
        "audit 2: the entries after it are missing, or were never noted as the log's",
    ),
    (
        "INSERT INTO audit SELECT 4, at, who, 'allow', action, subject, detail, hash, hash FROM audit WHERE seq = 3",
        "audit 4: it was changed: its hash is another",
    ),
    (
        "UPDATE audit_head SET seq = 2",
        "audit 3: the entries after it are missing, or were never noted as the log's",
    ),
    (
        "UPDATE task SET state = 'failed', expires_at = NULL WHERE seq = 2",
        "a task's row does not say what is searched for: t-00000000000000000002",
    ),
    ("DELETE FROM asked WHERE task = 1", "a task has no text: t-00000000000000000001"),
    ("DELETE FROM attempt WHERE task = 2", "a task's latest attempt is not there: t-00000000000000000002"),
    (
        "DELETE FROM journal WHERE line = 1",
        "a journal is not as long as was said: t-00000000000000000001 attempt 1",
    ),
    ("DELETE FROM event WHERE task = 1 AND seq = 2", "events of a task are missing: t-00000000000000000001"),
    ("DELETE FROM tally WHERE state = 'running'", "tasks are not counted right: running"),
    ("UPDATE tally SET tasks = 7 WHERE state = 'running'", "tasks are not counted right: running"),
    (
        "PRAGMA foreign_keys = 0; DELETE FROM content",
        "a row names one that is not there: artifact of content",
    ),
];

#[test]
fn what_was_changed_behind_its_back_is_found() {
    for (sql, wanted) in TAMPERED {
        let folder = tempfile::tempdir().unwrap();
        let store = made(folder.path());
        assert!(store.check().unwrap().is_sound());
        Connection::open(folder.path().join("store.sqlite")).unwrap().execute_batch(sql).unwrap();
        let health = store.check().unwrap();
        let audit = health.audit.as_ref().map(|broken| format!("audit {}: {}", broken.seq, broken.why));
        let found: Vec<String> = health.damage.iter().cloned().chain(audit).collect();
        assert!(found.iter().any(|line| line.starts_with(wanted.trim_end())), "{sql}\n{found:?}");
        assert_eq!(found.len(), 1, "{sql}\n{found:?}");
        // Entries that are written later follow after the noted end, so what was cut off stays missing.
        answer(&store, "9s audit w allow");
        assert_eq!(store.check().unwrap().audit.is_some(), health.audit.is_some(), "{sql}");
        store.backup(&folder.path().join("copy")).unwrap();
        let restored = SqliteStore::restore(&folder.path().join("copy"), &folder.path().join("restored"));
        assert!(restored.is_err(), "{sql}");
    }
}

#[test]
fn broken_pages_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    drop(made(folder.path()));
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 3 * 4096..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    match SqliteStore::check_file(&path) {
        Ok(health) => assert!(!health.damage.is_empty(), "{health:?}"),
        Err(error) => assert!(error.source.to_string().contains("malformed"), "{}", error.source),
    }
}

/// Several threads and two processes' worth of stores at one file: no task is handed out twice, no call is lost.
#[test]
fn many_at_once_have_a_task_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let limits = Limits { running: 1_000, ..Limits::default() };
    let stores = [sqlite(&path, limits.clone()), sqlite(&path, limits)];
    (1..=40).for_each(|task| drop(answer(&stores[0], &format!("0s submit {task} acme/r{}", task % 3))));
    let claimed: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let store = &stores[worker % 2];
                scope.spawn(move || {
                    let claim = || answer(store, &format!("1s claim w{worker}"));
                    std::iter::repeat_with(claim)
                        .take_while(|said| said != "nothing")
                        .inspect(|said| {
                            let lease = said.split(' ').next().unwrap();
                            assert_eq!(answer(store, &format!("2s renew {lease} w{worker}")), "60 s");
                            assert_eq!(
                                answer(store, &format!("3s finish {lease} w{worker} bowed")),
                                "bowed_out"
                            );
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let tasks: BTreeSet<&String> = claimed.iter().collect();
    assert_eq!((claimed.len(), tasks.len()), (40, 40));
    assert_eq!(
        answer(&stores[1], "4s load"),
        "bowed_out 40; ready 0 since -; effects 0 dead 0; deliveries 0"
    );
    assert!(stores[0].check().unwrap().is_sound());
}

/// A thread that reads is not kept waiting by one that writes, and does not see half of what it does.
#[test]
fn readers_see_whole_calls() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(&folder.path().join("store.sqlite"), Limits::default());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for task in 1..=30 {
                answer(&store, &format!("0s submit {task} acme/api key=k effect=check-{task}"));
            }
        });
        while !writer.is_finished() {
            let load = store.load(crate::script::epoch()).unwrap();
            let tasks: u64 = load.tasks.values().sum();
            assert_eq!((load.effects, load.ready), (tasks, tasks.min(1)), "{load:?}");
        }
    });
}

/// Statistics read every task: nothing of what was asked for, whose text may be long, is among it.
#[test]
fn what_came_of_tasks_is_told_without_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let store = sqlite(&path, Limits::default());
    answer(&store, "0s submit 1 Acme/API");
    let told = answer(&store, "1s figures 0");
    assert!(told.starts_with("Acme/API queued"), "{told}");
    Connection::open(&path).unwrap().execute_batch("UPDATE asked SET asked = 'no JSON'").unwrap();
    assert_eq!(answer(&store, "1s figures 0"), told);
    // Of a store from before these columns they are what was asked for.
    drop(store);
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            r#"UPDATE asked SET asked = '{"new": {"repo": "Acme/API"}}';
               ALTER TABLE task DROP COLUMN spelt; ALTER TABLE task DROP COLUMN kind;
               DROP TABLE value;
             CREATE TABLE value (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID; PRAGMA user_version = 4;"#,
        )
        .unwrap();
    assert_eq!(answer(&sqlite(&path, Limits::default()), "1s figures 0"), told);
}
