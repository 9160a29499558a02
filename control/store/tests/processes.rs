//! One budget, a thousand runs at once in several processes, some of which are killed; and a store whose process is killed.
//!
//! The binary is the runs' processes too: with the variable below it spends, without it starts those that do.
#![expect(clippy::disallowed_methods, reason = "it starts itself, and is told by the environment what to do")]

#[path = "plane/script/mod.rs"]
mod script;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use gloaming_api::Digest;
use gloaming_api::budget::{Call, DayCaps, Spend};
use gloaming_store::{BudgetLedger, Limits, MemoryStore, SqliteStore};

/// `FILE ROLE SEED RUNS`: what a process is to do.
const ROLE: &str = "GLOAMING_TEST_SPENDER";

const PROCESSES: usize = 4;
const RUNS: usize = 250;
/// US dollars: about a third of what all runs would like to spend.
const CAP: DayCaps = DayCaps { cost_usd: Some(40.0), tokens: None };
const MACHINE: DayCaps = DayCaps { cost_usd: None, tokens: Some(2_000_000) };

fn main() {
    if let Ok(told) = std::env::var(ROLE) {
        let told: Vec<&str> = told.split(' ').collect();
        let number = |at: usize| told[at].parse().expect("a number");
        match told[1] {
            "spend" => spend(Path::new(told[0]), number(2), number(3)),
            "keep" => keep(Path::new(told[0]), number(2), number(3)),
            "die" => die(Path::new(told[0]), told[2]),
            other => panic!("no role {other}"),
        }
        return;
    }
    // Named as tests are, so that a filter leaves them out.
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let tests: [(&str, fn()); 3] = [
        ("a_thousand_runs_at_once_stay_within_one_budget", a_thousand_runs_at_once_stay_within_one_budget),
        ("a_killed_process_leaves_its_bound_and_takes_nothing_back", killed),
        ("a_killed_store_has_what_was_acknowledged_and_nothing_by_halves", killed_store),
    ];
    for (name, test) in tests {
        if filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())) {
            test();
            println!("test {name} ... ok");
        }
    }
}

/// Numbers that differ from run to run and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn call(attempt: &str, number: u32, repo: usize) -> Call {
    Call {
        attempt: Digest::of(attempt),
        number,
        repo: format!("acme/r{repo}").parse().expect("a name"),
        at: "2026-03-01T12:00:00Z".parse().expect("a time"),
    }
}

/// What all runs took together, with what is set aside: US dollars of the one repository with a cap, and tokens.
fn taken(ledger: &BudgetLedger) -> (f64, u64) {
    let day = ledger.day("2026-03-01".parse().expect("a day")).expect("the ledger is read");
    let capped = day.iter().find(|repo| repo.repo == "acme/r0");
    let usd = capped.map_or(0.0, |repo| repo.spent.usd + repo.held.usd);
    (usd, day.iter().map(|repo| repo.spent.tokens + repo.held.tokens).sum())
}

/// Runs at once in one process: each asks until it is refused or has its fill; half of each bound is not used, and one
/// call in fifty costs more than it could: by what it is over is said.
fn spend(file: &Path, seed: u64, runs: u64) {
    let ledger = Arc::new(BudgetLedger::open(file).expect("the ledger opens"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .build()
        .expect("a runtime");
    let over: f64 = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for run in 0..runs {
            let ledger = ledger.clone();
            tasks.spawn_blocking(move || one_run(&ledger, seed, run));
        }
        tasks.join_all().await.into_iter().sum()
    });
    println!("{over}");
}

fn one_run(ledger: &BudgetLedger, seed: u64, run: u64) -> f64 {
    let mut random = Random(seed * 7919 + run);
    let repo = usize::from(random.below(2) == 0);
    let mut over = 0.0;
    for number in 1..=4 {
        let bound = Spend { usd: random.below(200_000_000) as f64 / 1e9, tokens: random.below(4_000) };
        let call = call(&format!("{seed} {run}"), number, repo);
        let caps = if repo == 0 { CAP } else { DayCaps::default() };
        if ledger.reserve(&call, bound, caps, MACHINE).expect("the ledger is written").is_some() {
            break;
        }
        let (_, total) = taken(ledger);
        assert!(total <= MACHINE.tokens.unwrap_or(0), "{total} tokens are set aside and spent");
        let mut actual = Spend { usd: bound.usd * 0.5, tokens: bound.tokens / 2 };
        if random.below(50) == 0 {
            actual.usd = bound.usd * 1.5;
            over += if repo == 0 { bound.usd * 0.5 } else { 0.0 };
        }
        ledger.settle(&call, actual).expect("the ledger is written");
    }
    over
}

fn start(role: &str) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .env(ROLE, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test starts itself")
}

fn a_thousand_runs_at_once_stay_within_one_budget() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.sqlite");
    let children: Vec<Child> =
        (0..PROCESSES).map(|seed| start(&format!("{} spend {seed} {RUNS}", file.display()))).collect();
    let mut over = 0.0;
    for mut child in children {
        let mut said = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut said).expect("it says by how much");
        assert!(child.wait().expect("it ends").success());
        over += said.trim().parse::<f64>().expect("a number");
    }
    let ledger = BudgetLedger::open(&file).expect("the ledger opens");
    let (spent, tokens) = taken(&ledger);
    let cap = CAP.cost_usd.unwrap_or(0.0);
    assert!(over > 0.0, "some calls cost more than they could");
    // By what the calls in flight were over their bounds, and by nothing else.
    assert!(spent <= cap + over, "${spent} of ${cap}, {over} over bounds");
    assert!(spent > cap * 0.9, "the budget is used: ${spent} of ${cap}");
    assert!(tokens <= MACHINE.tokens.unwrap_or(0), "{tokens}");
    let day = ledger.day("2026-03-01".parse().expect("a day")).expect("read");
    assert!(day.iter().all(|repo| repo.held == Spend::default()), "all are settled: {day:?}");
    assert!(day.iter().map(|repo| repo.calls).sum::<u64>() > 1_000, "{day:?}");
}

/// Reserves, says so, and waits to be killed; or settles first.
fn die(file: &Path, settles: &str) {
    let ledger = BudgetLedger::open(file).expect("the ledger opens");
    let (call, bound) = (call("dies", 1, 0), Spend { usd: 30.0, tokens: 500 });
    assert_eq!(ledger.reserve(&call, bound, CAP, MACHINE).expect("written"), None);
    if settles == "settled" {
        ledger.settle(&call, Spend { usd: 2.0, tokens: 100 }).expect("written");
    }
    println!("done");
    let _ = std::io::stdin().read(&mut [0]);
}

fn killed() {
    for (settles, spent) in [("reserved", 30.0), ("settled", 2.0)] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ledger.sqlite");
        let mut child = start(&format!("{} die {settles}", file.display()));
        let mut said = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut said).expect("it says when");
        assert_eq!(said, "done\n");
        child.kill().expect("it is killed");
        child.wait().expect("it ends");

        let ledger = BudgetLedger::open(&file).expect("the ledger opens");
        assert_eq!(taken(&ledger).0, spent, "{settles}");
        let next = ledger.reserve(&call("next", 1, 0), Spend { usd: 10.5, tokens: 1 }, CAP, MACHINE);
        assert_eq!(next.expect("written").is_some(), settles == "reserved");
        // Whoever goes on with the attempt knows what that call came to, or takes its bound.
        ledger.settle(&call("dies", 1, 0), Spend { usd: 2.0, tokens: 100 }).expect("written");
        assert_eq!(taken(&ledger).0, if settles == "reserved" { 2.0 } else { 12.5 }, "{settles}");
    }
}

const LIMITS: Limits = Limits {
    failures: 2,
    losses: 2,
    backoff: std::time::Duration::from_secs(5),
    running: 3,
    queued: 8,
    bytes: 4_000,
};

/// How many tasks, how often a store's process is killed, and how many calls it makes before at most.
const TASKS: u64 = 12;
const KILLS: u64 = 40;
const CALLS: u64 = 60;

/// The same calls each time for a seed, each chosen by what those before came to.
struct Calls {
    random: Random,
    model: MemoryStore,
    now: u64,
    leases: Vec<String>,
}

impl Calls {
    fn new(seed: u64, made: u64) -> Self {
        let mut calls =
            Self { random: Random(seed), model: MemoryStore::new(LIMITS), now: 0, leases: Vec::new() };
        (0..made).for_each(|_| drop(calls.next()));
        calls
    }

    /// The next call, and what it has to be answered.
    fn next(&mut self) -> (String, String) {
        self.now += self.random.below(3);
        let call = self.choose();
        let line = format!("{}s {call}", self.now);
        let answer = script::answer(&self.model, &line);
        if answer.contains(" until ") {
            let lease = answer.split(' ').next().expect("TASK/ATTEMPT");
            self.leases.push(format!("{lease} w"));
        }
        (line, answer)
    }

    fn choose(&mut self) -> String {
        let task = 1 + self.random.below(TASKS);
        let repo = self.random.below(3);
        let ago = self.random.below(3) as usize;
        let lease = self.leases.iter().rev().nth(ago).cloned().unwrap_or("1/1 w".into());
        let end = ["verified", "bowed", "failed", "verified"][self.random.below(4) as usize];
        let number = self.random.below(1_000);
        match self.random.below(16) {
            0..=2 => format!(
                "submit {task} acme/r{repo} effect=check-{task},note-{number} once=k{number}:x key=k{repo}"
            ),
            3..=5 => "claim w hold=20".into(),
            6 => format!("renew {lease} stage=code doing=it usd=0.5 hold=20"),
            7 => format!("append {lease} from=0 {}", "line ".repeat(self.random.below(9) as usize)),
            8 => format!("artifact {lease} {}", "content".repeat(1 + self.random.below(2) as usize * 400)),
            9 | 10 => format!("finish {lease} {end} effect=publish-{task}-{number}"),
            11 => format!("published {task} 7 effect=chat-{task}-{number}"),
            12 => format!("retry {task}"),
            13 => "effects limit=3 hold=5".into(),
            14 => format!("effect-done {}", 1 + self.random.below(40)),
            _ if number < 400 => format!("audit w allow acme/r{repo}"),
            _ if number < 500 => format!("forget {}s", self.now.saturating_sub(30)),
            _ => format!("cancel {task} me"),
        }
    }

    fn dump(&self) -> String {
        script::dump(&self.model, TASKS, &[])
    }
}

/// Makes calls one after another from one on, says the number of each that was answered, and copies the file now and then.
fn keep(file: &Path, seed: u64, from: u64) {
    let store = SqliteStore::open(file, LIMITS).expect("the store opens");
    let mut calls = Calls::new(seed, from);
    for number in from.. {
        let (line, wanted) = calls.next();
        assert_eq!(script::answer(&store, &line), wanted, "{line}");
        println!("{}", number + 1);
        if number % 23 == 22 {
            store.backup(&file.with_extension(format!("copy-{from}-{number}"))).expect("it is copied");
        }
    }
}

fn killed_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("store.sqlite");
    let (seed, mut random) = (7, Random(7));
    let (mut made, mut in_between) = (0, 0_u64);
    for kill in 0..KILLS {
        let mut child = start(&format!("{} keep {seed} {made}", file.display()));
        let mut said = BufReader::new(child.stdout.take().expect("piped")).lines();
        // It goes on while it is being killed, wherever it is by then.
        let enough = random.below(CALLS);
        let mut acknowledged = made;
        let mut hear =
            |line: std::io::Result<String>| acknowledged = line.expect("text").parse().expect("a number");
        said.by_ref().take(enough as usize).for_each(&mut hear);
        child.kill().expect("it is killed");
        said.for_each(&mut hear);
        let status = child.wait().expect("it ends");
        assert!(status.code().is_none(), "it ended by itself: {status}");

        let store = SqliteStore::open(&file, LIMITS).expect("the store opens");
        let health = store.check().expect("it is read");
        assert!(health.is_sound(), "{health:?}");
        // All that it said was done is there, and at most one more: done, and not said any more.
        let kept = script::dump(&store, TASKS, &[]);
        let mut calls = Calls::new(seed, acknowledged);
        let before = calls.dump();
        let (line, wanted) = calls.next();
        let one_more = if kept == before {
            // Which effects are held is in no dump: a copy is asked.
            let copy = file.with_extension(format!("probe-{acknowledged}-{kill}"));
            store.backup(&copy).expect("it is copied");
            let copy = SqliteStore::open(&copy, LIMITS).expect("the copy opens");
            script::answer(&copy, &line) != wanted
        } else {
            assert_eq!(kept, calls.dump(), "after {acknowledged} calls, the next of them {line}");
            true
        };
        made = acknowledged + u64::from(one_more);
        in_between += u64::from(one_more);
    }
    let copies: Vec<_> = std::fs::read_dir(folder.path())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension().is_some_and(|end| {
                let end = end.to_string_lossy();
                end.starts_with("copy-") && !end.ends_with(".part")
            })
        })
        .collect();
    assert!(copies.len() > 5 && made > KILLS * CALLS / 4, "{} copies of {made} calls", copies.len());
    for copy in copies {
        assert!(SqliteStore::check_file(&copy).expect("a copy is whole").is_sound(), "{}", copy.display());
    }
    println!("{made} calls, {KILLS} kills, {in_between} of them between a commit and its answer");
}
