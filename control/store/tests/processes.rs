//! One budget, a thousand runs at once in several processes, some of which are killed.
//!
//! The binary is the runs' processes too: with the variable below it spends, without it starts those that do.
#![expect(clippy::disallowed_methods, reason = "it starts itself, and is told by the environment what to do")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use gloaming_api::Digest;
use gloaming_api::budget::{Call, DayCaps, Spend};
use gloaming_store::BudgetLedger;

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
            "die" => die(Path::new(told[0]), told[2]),
            other => panic!("no role {other}"),
        }
        return;
    }
    // Named as tests are, so that a filter leaves them out.
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let tests: [(&str, fn()); 2] = [
        ("a_thousand_runs_at_once_stay_within_one_budget", a_thousand_runs_at_once_stay_within_one_budget),
        ("a_killed_process_leaves_its_bound_and_takes_nothing_back", killed),
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
