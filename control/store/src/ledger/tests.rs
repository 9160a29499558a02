use gloaming_api::Digest;
use proptest::prelude::*;
use rusqlite::Connection;

use super::*;

fn call(attempt: &str, number: u32, repo: &str, at: &str) -> Call {
    Call {
        attempt: Digest::of(attempt),
        number,
        repo: repo.parse().expect("a name"),
        at: at.parse().expect("a time"),
    }
}

fn today(attempt: &str, number: u32) -> Call {
    call(attempt, number, "acme/api", "2026-03-01T12:00:00Z")
}

fn usd(usd: f64) -> Spend {
    Spend { usd, tokens: 0 }
}

fn caps(cost_usd: f64) -> DayCaps {
    DayCaps { cost_usd: Some(cost_usd), tokens: None }
}

fn fresh() -> (tempfile::TempDir, BudgetLedger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = BudgetLedger::open(&folder.path().join("ledger.sqlite")).unwrap();
    (folder, ledger)
}

fn told(refusal: Option<Refusal>) -> String {
    refusal.map_or("fits".to_owned(), |r| {
        format!(
            "{:?} {:?}: {} spent and {} held of {}, {} needed",
            r.whose, r.counted, r.spent, r.held, r.cap, r.needed
        )
    })
}

#[test]
fn what_is_set_aside_counts_until_it_is_settled() {
    let (_folder, ledger) = fresh();
    let reserve = |number, bound| {
        told(ledger.reserve(&today("a", number), usd(bound), caps(1.0), DayCaps::default()).unwrap())
    };
    assert_eq!(reserve(1, 0.6), "fits");
    assert_eq!(reserve(2, 0.5), "Repository CostUsd: 0 spent and 0.6 held of 1, 0.5 needed");
    ledger.settle(&today("a", 1), usd(0.1)).unwrap();
    assert_eq!(reserve(2, 0.5), "fits");
    assert_eq!(reserve(3, 0.5), "Repository CostUsd: 0.1 spent and 0.5 held of 1, 0.5 needed");
    assert_eq!(reserve(3, 0.4), "fits", "to the last of it");
    assert_eq!(reserve(4, 1e-9), "Repository CostUsd: 0.1 spent and 0.9 held of 1, 0.000000001 needed");
    assert_eq!(reserve(4, 0.0), "fits", "what costs nothing");
}

#[test]
fn each_cap_is_held_and_each_day_has_its_own() {
    let (_folder, ledger) = fresh();
    let (repository, machine) =
        (DayCaps { cost_usd: None, tokens: Some(100) }, DayCaps { cost_usd: Some(1.0), tokens: None });
    let spend = Spend { usd: 0.4, tokens: 60 };
    let reserve = |attempt, repo, at| {
        told(ledger.reserve(&call(attempt, 1, repo, at), spend, repository, machine).unwrap())
    };
    assert_eq!(reserve("a", "acme/api", "2026-03-01T00:00:00Z"), "fits");
    assert_eq!(
        reserve("b", "acme/api", "2026-03-01T23:59:59.999Z"),
        "Repository Tokens: 0 spent and 60 held of 100, 60 needed"
    );
    assert_eq!(reserve("c", "acme/web", "2026-03-01T08:00:00Z"), "fits");
    assert_eq!(
        reserve("d", "acme/cli", "2026-03-01T08:00:00Z"),
        "Machine CostUsd: 0 spent and 0.8 held of 1, 0.4 needed"
    );
    assert_eq!(reserve("d", "acme/cli", "2026-03-02T00:00:00Z"), "fits", "the next day, by UTC");
    let day = ledger.day("2026-03-01".parse().unwrap()).unwrap();
    let names: Vec<_> = day.iter().map(|repo| (repo.repo.as_str(), repo.calls, repo.caps)).collect();
    assert_eq!(names, [("acme/api", 1, DayCaps::default()), ("acme/web", 1, DayCaps::default())]);
}

#[test]
fn a_second_settlement_and_a_second_reservation_of_one_call_count_once() {
    let (_folder, ledger) = fresh();
    let call = today("a", 1);
    // It died before the question was recorded: the next process sets it aside anew.
    for _ in 0..2 {
        assert_eq!(ledger.reserve(&call, usd(0.7), caps(1.0), DayCaps::default()).unwrap(), None);
    }
    for cost in [0.2, 0.9] {
        ledger.settle(&call, usd(cost)).unwrap();
    }
    // One that this ledger has never seen: its attempt was begun on another machine.
    ledger.settle(&today("b", 4), usd(0.1)).unwrap();
    let day = ledger.day(call.day()).unwrap();
    assert_eq!(
        day,
        [RepositoryDay {
            repo: "acme/api".to_owned(),
            spent: usd(0.3),
            held: Spend::default(),
            calls: 2,
            caps: DayCaps { cost_usd: Some(1.0), tokens: None },
        }]
    );
    let copied = ledger.reserve(&call, usd(0.1), caps(1.0), DayCaps::default()).unwrap_err();
    assert!(copied.source.to_string().contains("a copy of its journal"), "{copied:?}");
}

#[test]
fn a_call_that_took_more_than_can_be_counted_has_spent_it_all() {
    let (_folder, ledger) = fresh();
    let absurd = Spend { usd: 2e13, tokens: 18_000_000_000_000_000_000 };
    ledger.settle(&today("a", 1), absurd).unwrap();
    assert_eq!(
        told(ledger.reserve(&today("a", 2), usd(0.1), caps(1.0), DayCaps::default()).unwrap()),
        "Repository CostUsd: 1000000000 spent and 0 held of 1, 0.1 needed"
    );
}

#[test]
fn what_cannot_be_counted_or_read_is_no_fit() {
    let (folder, ledger) = fresh();
    for bad in [f64::NAN, f64::INFINITY, -0.1] {
        assert!(ledger.reserve(&today("a", 1), usd(bad), caps(1.0), DayCaps::default()).is_err(), "{bad}");
        assert_eq!(ledger.settle(&today("b", 1), usd(bad)).is_ok(), bad == f64::INFINITY, "{bad}");
        let cap = ledger.reserve(&today("a", 1), usd(0.1), caps(bad), DayCaps::default());
        assert_eq!(cap.is_ok(), bad == f64::INFINITY, "a cap of {bad}");
    }
    drop(ledger);

    let path = folder.path().join("ledger.sqlite");
    let words = |path: &Path| {
        let error = BudgetLedger::open(path).unwrap_err();
        format!("{error}: {}", error.source).replace(&folder.path().display().to_string(), "HOME")
    };
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(words(&path).starts_with("could not open the ledger HOME/ledger.sqlite: "), "{}", words(&path));
    let other = folder.path().join("other.sqlite");
    std::fs::write(&other, "not a database, but long enough to be taken for one ".repeat(40)).unwrap();
    assert_eq!(words(&other), "could not open the ledger HOME/other.sqlite: file is not a database");
    assert_eq!(
        words(&folder.path().join("nowhere/ledger.sqlite")).split(": ").next().unwrap(),
        "could not open the ledger HOME/nowhere/ledger.sqlite"
    );
}

/// One call of a run: the most it can cost, the part of it that it does cost, and whether its process dies first.
#[derive(Debug, Clone)]
struct Step {
    bound: u32,
    part: f64,
    dies: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is reserved, settled and lost in whatever order: honest bounds never let a sum pass its cap, and the
    /// ledger's sum is that of a slow reference.
    #[test]
    fn no_order_of_calls_passes_a_cap(
        cap in 1u32..2_000,
        steps in proptest::collection::vec(
            (1u32..900, 0.0f64..=1.0, proptest::bool::weighted(0.1)).prop_map(|(bound, part, dies)| Step { bound, part, dies }),
            1..40,
        ),
        order in proptest::collection::vec(0usize..4, 40),
    ) {
        let (_folder, ledger) = fresh();
        let (caps, machine) = (caps(f64::from(cap) / 100.0), DayCaps::default());
        let mut open: Vec<(Call, f64, bool)> = Vec::new();
        let mut reference = 0.0;
        for (number, step) in steps.iter().enumerate() {
            let call = today("a", u32::try_from(number).unwrap());
            let bound = f64::from(step.bound) / 100.0;
            let held: f64 = open.iter().map(|(_, bound, _)| bound).sum();
            let fits = reference + held + bound <= caps.cost_usd.unwrap() + 1e-9;
            let refused = ledger.reserve(&call, usd(bound), caps, machine).unwrap();
            if (reference + held + bound - caps.cost_usd.unwrap()).abs() > 1e-6 {
                prop_assert_eq!(refused.is_none(), fits);
            }
            if refused.is_none() {
                open.push((call, bound, step.dies));
            }
            // Some of those in flight come back.
            for _ in 0..order[number] {
                if let Some(at) = open.iter().position(|(_, _, dies)| !dies) {
                    let (call, bound, _) = open.remove(at);
                    ledger.settle(&call, usd(bound * step.part)).unwrap();
                    reference += bound * step.part;
                }
            }
            let day = ledger.day(today("a", 0).day()).unwrap();
            let (spent, held): (f64, f64) =
                (day.iter().map(|d| d.spent.usd).sum(), day.iter().map(|d| d.held.usd).sum());
            prop_assert!(spent + held <= caps.cost_usd.unwrap() + 1e-9, "{spent} + {held}");
            prop_assert!((spent - reference).abs() < 1e-6 && held >= 0.0, "{spent} is not {reference}");
        }
    }
}
