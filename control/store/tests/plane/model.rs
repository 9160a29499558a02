//! The store in SQLite against the one in memory: the same calls at the same times are answered alike, and what must always
//! hold does after each.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::TaskId;
use gloaming_api::task::{TaskEventKind, TaskState};
use gloaming_store::{Limits, MemoryStore, SqliteStore, Store, TaskFilter};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::script::{self, answer, dump};

const LIMITS: Limits = Limits {
    failures: 2,
    losses: 2,
    backoff: std::time::Duration::from_secs(7),
    running: 2,
    queued: 4,
    bytes: 30,
};

/// Tasks, attempts, effects and the like are taken from so few that calls meet.
const TASKS: u64 = 9;
const REPOS: [&str; 4] = ["acme/api", "Acme/API", "acme/web", "other/one"];
const TOKENS: [&str; 3] = ["w1", "w2", "w3"];

/// A call without its time, and how many seconds after the one before it is made.
fn call() -> impl Strategy<Value = (u64, String)> {
    let after = prop_oneof![6 => 0u64..3, 1 => 3u64..40];
    (after, prop_oneof![8 => queue(), 6 => worker(), 4 => people(), 3 => outbox(), 1 => rest()])
}

fn any_of(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(words)
}

fn maybe(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop_oneof![2 => Just(""), 1 => any_of(words)]
}

fn effect_keys() -> impl Strategy<Value = &'static str> {
    maybe(&["effect=a-1", "effect=a-2,b-1", "effect=b-2", "effect=c-1,c-2"])
}

fn queue() -> impl Strategy<Value = String> {
    let submit = (
        (1..=TASKS, any_of(&REPOS), -2i32..3),
        maybe(&["needs=gpu", "needs=gpu,arm", "needs=arm,gpu"]),
        maybe(&["after=20s", "after=60s", "after=200s"]),
        maybe(&["key=k1", "key=k2"]),
        maybe(&["once=r1:x", "once=r1:y", "once=r2:x"]),
        effect_keys(),
    )
        .prop_map(|((task, repo, priority), needs, after, key, once, effect)| {
            format!("submit {task} {repo} priority={priority} {needs} {after} {key} {once} {effect}")
        });
    let claim = (
        any_of(&TOKENS),
        maybe(&["labels=gpu", "labels=arm,gpu", "labels=gpu,arm"]),
        any_of(&["repos=*", "repos=*", "repos=acme/*", "repos=other/one,ACME/web", "repos=third/*"]),
        any_of(&["hold=60", "hold=10", "hold=5"]),
    )
        .prop_map(|(worker, labels, repos, hold)| format!("claim {worker} {labels} {repos} {hold}"));
    prop_oneof![5 => submit, 6 => claim, 1 => any_of(&["sweep", "sweep", "grace hold=9"]).prop_map(str::to_owned)]
}

fn worker() -> impl Strategy<Value = String> {
    // Mostly one that was handed out, as `LEASE` and how many claims ago.
    let lease = || {
        let any = (1..=TASKS, 1u32..4, any_of(&TOKENS));
        prop_oneof![
            5 => (0usize..4).prop_map(|ago| format!("LEASE{ago}")),
            1 => any.prop_map(|(task, attempt, token)| format!("{task}/{attempt} {token}")),
        ]
    };
    let ends = any_of(&["verified", "verified", "bowed", "failed", "stopped", "onboarded"]);
    prop_oneof![
        4 => (lease(), maybe(&["stage=code", "stage=verify"]), 1u32..9)
            .prop_map(|(lease, stage, usd)| format!("renew {lease} {stage} doing=it usd=0.{usd} hold=20")),
        1 => (lease(), 0u32..5, 0usize..4, any_of(&["line ", "{\"event\":\"model_call\",\"data\":{\"cost_usd\":0.25}} "]))
            .prop_map(|(lease, from, lines, line)| format!("append {lease} from={from} {}", line.repeat(lines))),
        2 => (lease(), any_of(&["content", "other", "quite_long_so_that_it_may_not_fit"]))
            .prop_map(|(lease, content)| format!("artifact {lease} {content}")),
        1 => (1..=TASKS, any_of(&["content", "sealed"])).prop_map(|(task, content)| format!("keep {task} {content}")),
        4 => (lease(), ends, effect_keys()).prop_map(|(lease, end, effect)| format!("finish {lease} {end} {effect}")),
        2 => lease().prop_map(|lease| format!("finish {lease} failed")),
        1 => lease().prop_map(|lease| format!("release {lease}")),
        1 => lease().prop_map(|lease| format!("holds {lease}")),
    ]
}

fn people() -> impl Strategy<Value = String> {
    let task = || 1..=TASKS;
    let or_any = |named: &'static str| prop_oneof![4 => Just(named.to_owned()), 1 => (1..=TASKS).prop_map(|task| task.to_string())];
    let publishing = || or_any("IN-publishing");
    let published = || or_any("IN-published");
    prop_oneof![
        2 => (or_any("IN-running"), effect_keys()).prop_map(|(task, effect)| format!("cancel {task} me {effect}")),
        3 => prop_oneof![task().prop_map(|task| task.to_string()), published()].prop_map(|task| format!("retry {task}")),
        2 => published().prop_map(|task| format!("follow-up {task} rename-it")),
        3 => (publishing(), 1u64..9, effect_keys())
            .prop_map(|(task, number, effect)| format!("published {task} {number} {effect}")),
        1 => (publishing(), any_of(&["bowed", "failed", "stopped", "verified", "onboarded"]), effect_keys())
            .prop_map(|(task, end, effect)| format!("unpublished {task} {end} {effect}")),
        1 => (or_any("IN-failed"), 1u32..4).prop_map(|(task, attempt)| format!("publish-again {task} me attempt={attempt}")),
        1 => (published(), any_of(&["merged", "closed", "reverted"]))
            .prop_map(|(task, outcome)| format!("outcome {task} {outcome}")),
        1 => (any_of(&REPOS), 1u32..1_200, 0u32..4)
            .prop_map(|(repo, weight, running)| format!("share {repo} weight={weight} running={running}")),
        1 => (maybe(&["repos=acme/*", "repos=other/one", "repos="]), maybe(&["state=queued", "state=running"]), 1u32..5)
            .prop_map(|(repos, state, limit)| format!("list {repos} {state} limit={limit}")),
        1 => (maybe(&["before=4", "repo=ACME/api"])).prop_map(|other| format!("list {other}")),
    ]
}

fn outbox() -> impl Strategy<Value = String> {
    let id = || 1i64..9;
    prop_oneof![
        3 => (1u32..4, 1u32..20, maybe(&["kinds=a,d", "but=a", "kinds=b"]))
            .prop_map(|(limit, hold, kinds)| format!("effects limit={limit} hold={hold} {kinds}")),
        3 => id().prop_map(|id| format!("effect-done {id}")),
        1 => (id(), 1u64..300).prop_map(|(id, at)| format!("effect-later {id} {at}s")),
        1 => id().prop_map(|id| format!("effect-dead {id}")),
        1 => id().prop_map(|id| format!("revive {id}")),
        1 => (any_of(&["d-1", "d-2"]), maybe(&["1", "2"])).prop_map(|(key, task)| format!("effect {key} {task}")),
        2 => any_of(&["deliver github d1", "deliver github d2", "deliver github d3", "deliver slack d1"])
            .prop_map(str::to_owned),
        1 => any_of(&["delivered github d1", "delivered slack d1 bad"]).prop_map(str::to_owned),
        2 => (any_of(&["github", "slack"]), 1u32..3, 1u32..20)
            .prop_map(|(sender, limit, hold)| format!("deliveries {sender} limit={limit} hold={hold}")),
        1 => Just("let-go".to_owned()),
    ]
}

fn rest() -> impl Strategy<Value = String> {
    prop_oneof![
        any_of(&[
            "token t1 scopes=read",
            "token t2 scopes=admin expires=9",
            "token-used t1",
            "revoke t1",
            "tokens"
        ])
        .prop_map(str::to_owned),
        any_of(&["audit t1 allow acme/api", "audit t2 deny", "profile-put acme/api a", "profile ACME/API"])
            .prop_map(str::to_owned),
        (any_of(&["set v1 a", "set v1 b", "value v1"]), maybe(&["1", "2"]))
            .prop_map(|(set, task)| format!("{set} {task}")),
        (0u64..400).prop_map(|before| format!("forget {before}s")),
        (0u64..400).prop_map(|before| format!("forget-audit {before}s")),
    ]
}

/// What always holds, read from a store without knowing how it keeps it.
fn check(store: &dyn Store) {
    let tasks = store.tasks(&TaskFilter { limit: 1_000, ..TaskFilter::default() }).unwrap();
    let mut leased: BTreeMap<TaskId, u32> = BTreeMap::new();
    let mut ended: BTreeMap<TaskId, TaskState> = BTreeMap::new();
    let mut position = 0;
    for told in store.feed(0, 10_000).unwrap() {
        assert!(told.position > position, "positions grow");
        position = told.position;
        let task = told.task;
        match told.event.kind {
            TaskEventKind::Leased { attempt, .. } => {
                assert_eq!(leased.insert(task.clone(), attempt.0), None, "{task} was leased twice at once");
                assert!(!ended.contains_key(&task), "{task} had ended");
            }
            TaskEventKind::LeaseExpired { attempt }
            | TaskEventKind::Released { attempt }
            | TaskEventKind::AttemptFailed { attempt, .. }
            | TaskEventKind::Verified { attempt } => {
                assert_eq!(leased.remove(&task), Some(attempt.0), "{task} was held by this attempt");
            }
            TaskEventKind::Ended { state, .. } => {
                leased.remove(&task);
                assert_eq!(ended.insert(task.clone(), state), None, "{task} ended twice");
            }
            TaskEventKind::Retried { .. } => assert!(ended.remove(&task).is_some(), "{task} had not ended"),
            _ => {}
        }
    }
    for task in &tasks {
        assert_eq!(
            leased.contains_key(&task.id),
            task.state == TaskState::Running,
            "{} {:?}",
            task.id,
            task.state
        );
        assert_eq!(
            ended.get(&task.id).copied(),
            Some(task.state).filter(|state| state.is_end()),
            "{}",
            task.id
        );
        let events = store.events(&task.id, 0, 10_000).unwrap();
        assert!(events.iter().map(|event| event.seq).eq(1..=events.len() as u64), "{}", task.id);
    }
}

/// Effects that are being tried, until when; and those that were said to be done: nobody gets them meanwhile.
#[derive(Default)]
struct Outside {
    held: BTreeMap<i64, u64>,
    done: BTreeSet<i64>,
}

impl Outside {
    fn note(&mut self, now: u64, call: &str, answer: &str) {
        let words: Vec<&str> = call.split_whitespace().collect();
        let id = words.get(1).and_then(|id| id.parse().ok());
        match (words[0], id) {
            ("effects", _) => {
                let hold = call
                    .split("hold=")
                    .nth(1)
                    .map_or(60, |hold| hold.split(' ').next().unwrap().parse().unwrap());
                for told in answer.split("; ").filter(|told| *told != "none") {
                    let id: i64 = told.split(' ').next().unwrap().parse().unwrap();
                    assert!(
                        self.held.insert(id, now + hold).is_none_or(|until| until <= now),
                        "{id} is held"
                    );
                    assert!(!self.done.contains(&id), "{id} was done");
                }
            }
            // What was said of one that was never handed out, or is dead, is not counted upon.
            ("effect-done", Some(id)) if self.held.remove(&id).is_some() => {
                self.done.insert(id);
            }
            ("effect-later" | "effect-dead", Some(id)) => {
                self.held.remove(&id);
            }
            ("let-go", _) => self.held.clear(),
            _ => {}
        }
    }
}

/// How many of each repository may run at once: whatever was handed out last made it no more than that.
#[derive(Default)]
struct Caps(BTreeMap<String, u32>);

impl Caps {
    fn note(&mut self, call: &str, answer: &str, store: &dyn Store) {
        let repo = |text: &str| text.split_whitespace().nth(1).unwrap().to_ascii_lowercase();
        if let Some((share, running)) = call.split_once(" running=").filter(|_| call.starts_with("share ")) {
            self.0.insert(repo(share), running.parse().unwrap());
        } else if answer.contains(" until ") {
            let repo = repo(answer);
            let filter = TaskFilter {
                repo: Some(repo.parse().unwrap()),
                state: Some(TaskState::Running),
                limit: 100,
                ..TaskFilter::default()
            };
            let running = store.tasks(&filter).unwrap().len();
            let most = self.0.get(&repo).copied().unwrap_or(LIMITS.running);
            assert!(running <= most as usize, "{running} of {repo} run, and {most} may");
        }
    }
}

/// Puts a lease that was handed out, or a task that stands somewhere, in the place of its name.
fn filled(call: &str, leases: &[String], store: &dyn Store) -> String {
    let words = call.split_whitespace().map(|word| {
        if let Some(ago) = word.strip_prefix("LEASE") {
            let ago: usize = ago.parse().unwrap();
            let at = leases.len().checked_sub(1 + ago).or(leases.len().checked_sub(1));
            return at.map_or("1/1 w1".to_owned(), |at| leases[at].clone());
        }
        if let Some(state) = word.strip_prefix("IN-") {
            let listed = answer(store, &format!("0s list state={state}"));
            return listed.split(' ').next().filter(|task| *task != "none").unwrap_or("1").to_owned();
        }
        word.to_owned()
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What has to have been answered at least once by all runs together, or they prove little.
const REACHED: &[&str] = &[
    "conflict",
    "again",
    "full",
    "nothing",
    "until",
    "stop",
    "lease is lost",
    "wanted next",
    "in another way",
    "too much",
    "queued",
    "publishing",
    "published",
    "bowed_out",
    "failed",
    "quarantined",
    "cancelled",
    "superseded",
    "no: published",
    "1 tasks",
    "true",
    "tried 1",
];

/// Always the same calls, so that what they reach is always the same.
#[test]
fn sqlite_answers_as_the_model_does() {
    let config = ProptestConfig {
        cases: 72,
        max_shrink_iters: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let reached = compare(TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)));
    let missing: Vec<_> = REACHED.iter().filter(|word| !reached.contains(*word)).collect();
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

/// Others each time. `PROPTEST_CASES` says how many.
#[test]
fn sqlite_answers_as_the_model_does_today() {
    let usual = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { usual.cases } else { 24 };
    compare(TestRunner::new(ProptestConfig {
        cases,
        max_shrink_iters: 100,
        failure_persistence: None,
        ..usual
    }));
}

/// Runs calls against both. Returns which of [`REACHED`] were answered.
fn compare(mut runner: TestRunner) -> BTreeSet<&'static str> {
    let reached = RefCell::new(BTreeSet::<&str>::new());
    let run = runner.run(&proptest::collection::vec(call(), 1..180), |calls| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        let mut sqlite = SqliteStore::open(&path, LIMITS).unwrap();
        let memory = MemoryStore::new(LIMITS);
        let mut caps = Caps::default();
        let (mut now, mut said, mut outside, mut leases) = (0, String::new(), Outside::default(), Vec::new());
        for (number, (after, call)) in calls.into_iter().enumerate() {
            now += after;
            let call = filled(&call, &leases, &memory);
            let line = format!("{now}s {call}");
            let (wanted, given) = (answer(&memory, &line), answer(&sqlite, &line));
            said += &format!("{line} = {given}\n");
            prop_assert_eq!(&wanted, &given, "after\n{}", said);
            if given.contains(" until ") {
                let worker = call.split(' ').nth(1).unwrap();
                leases.push(format!("{} {worker}", given.split(' ').next().unwrap()));
            }
            let seen = |word: &&&str| given.contains(**word);
            reached.borrow_mut().extend(REACHED.iter().filter(seen).copied());
            outside.note(now, &call, &given);
            caps.note(&call, &given, &sqlite);
            check(&sqlite);
            if number % 32 == 31 {
                let health = sqlite.check().unwrap();
                prop_assert!(health.is_sound(), "{health:?} after\n{said}");
                // It forgets nothing by being closed.
                drop(sqlite);
                sqlite = SqliteStore::open(&path, LIMITS).unwrap();
            }
        }
        let keys = ["a-1", "a-2", "b-1", "b-2", "c-1", "c-2", "d-1", "d-2"].map(str::to_owned);
        prop_assert_eq!(dump(&memory, TASKS, &keys), dump(&sqlite, TASKS, &keys), "after\n{}", said);
        prop_assert!(sqlite.check().unwrap().is_sound());
        for (state, count) in memory.load(script::epoch()).unwrap().tasks {
            reached
                .borrow_mut()
                .extend(REACHED.iter().filter(|word| **word == state.as_str() && count > 0).copied());
        }
        Ok(())
    });
    run.unwrap_or_else(|failed| panic!("{failed}"));
    reached.into_inner()
}

proptest! {
    /// While several repositories have tasks that wait, none is ahead of another by more than one task of each, for its
    /// weight; one that was idle has no more than the others from when it comes on.
    #[test]
    fn each_has_its_share(
        weights in proptest::collection::vec(1u32..40, 2..6),
        late in 0usize..3,
        steps in 20usize..120,
    ) {
        let limits = Limits { running: 10_000, ..Limits::default() };
        let store = MemoryStore::new(limits);
        let mut next = 0;
        let mut submit = |repo: usize| {
            next += 1;
            answer(&store, &format!("0s submit {next} acme/r{repo}"));
        };
        for (repo, weight) in weights.iter().enumerate() {
            answer(&store, &format!("0s share acme/r{repo} weight={weight} running=10000"));
        }
        let late = late.min(weights.len() - 1);
        let mut had = vec![0.0; weights.len()];
        // Each has two that wait, but for the first few repositories, which come when half is done.
        (late..weights.len()).for_each(|repo| (0..2).for_each(|_| submit(repo)));
        for step in 0..steps {
            if step == steps / 2 {
                (0..late).for_each(|repo| (0..2).for_each(|_| submit(repo)));
                had = vec![0.0; weights.len()];
            }
            let claimed = answer(&store, "0s claim w hold=1000");
            let repo: usize = claimed.split("acme/r").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            submit(repo);
            had[repo] += 1.0 / f64::from(weights[repo]);
            let here = if step < steps / 2 { late..weights.len() } else { 0..weights.len() };
            for (a, b) in here.clone().flat_map(|a| here.clone().map(move |b| (a, b))) {
                let most = 1.0 / f64::from(weights[a]) + 1.0 / f64::from(weights[b]);
                prop_assert!(had[a] - had[b] <= most * 1.001, "{had:?} of {weights:?}");
            }
        }
    }
}
