//! What one decision costs, and how that grows with the number of rules.
//!
//! `cargo bench -p gloaming-policies --bench decide`. Criterion keeps the history of each figure; what is
//! quoted is the table printed behind it, whose figures come from one run on one machine: p50 over single
//! decisions, and its ratio to that of the smallest policy.

mod generate;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use gloaming_policies::{Access, Grant};

use generate::{QUESTIONS, grant, layers};

/// Numbers of rules.
const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
/// Decisions timed together: one alone is not much longer than reading the clock.
const BATCH: u32 = 16;
/// Batches per figure.
const BATCHES: usize = 4_000;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let grants: Vec<(usize, Grant)> = SIZES.iter().map(|rules| (*rules, grant(*rules))).collect();
    for (rules, grant) in &grants {
        let permit = grant.permit_tool("edit").expect("the policy allows it");
        let mut group = criterion.benchmark_group("decide");
        for question in QUESTIONS {
            let path = question.path();
            for access in [Access::Read, Access::Write] {
                let name = format!("{}/{access:?}", question.name);
                group.bench_function(BenchmarkId::new(name, rules), |bencher| {
                    bencher.iter(|| permit.allows(access, black_box(&path)));
                });
            }
        }
        group.finish();
    }
    criterion.final_summary();
    // `cargo test --benches` only asks whether it runs, and a profiler wants what criterion runs alone.
    if std::env::args().any(|argument| argument == "--test" || argument == "--profile-time") {
        return;
    }
    decisions(&grants);
    compilation();
}

/// Prints what a decision costs.
fn decisions(grants: &[(usize, Grant)]) {
    println!("\none decision of `edit`, p50 (the ratio to {} rules)", SIZES[0]);
    print!("{:<28}", "question");
    for size in SIZES {
        print!("{:>22}", format!("{size} rules"));
    }
    println!();
    for question in QUESTIONS {
        let path = question.path();
        for access in [Access::Read, Access::Write] {
            print!("{:<28}", format!("{} {access:?}", question.name));
            let mut first = None;
            for (_, grant) in grants {
                assert_eq!(grant.allows("edit", access, &path), question.allowed, "{}", question.name);
                let permit = grant.permit_tool("edit").expect("the policy allows it");
                let p50 = p50(|| permit.allows(access, black_box(&path)));
                let ratio = p50.as_secs_f64() / first.get_or_insert(p50).as_secs_f64();
                print!("{:>22}", format!("{} ns ({ratio:.2})", p50.as_nanos()));
            }
            println!();
        }
    }
}

/// Prints what building a grant from parsed files costs, and how much more memory the process holds then.
fn compilation() {
    println!("\nbuilding a grant from parsed files, p50 of 5");
    for rules in SIZES {
        let before = resident();
        let held = grant(rules);
        let after = resident();
        drop(held);
        let mut taken: Vec<Duration> = (0..5)
            .map(|_| {
                let layers = layers(rules);
                let start = Instant::now();
                let grant = generate::resolve(layers);
                let taken = start.elapsed();
                drop(grant);
                taken
            })
            .collect();
        taken.sort_unstable();
        println!(
            "{rules:>8} rules: {:.2} ms, {:.1} MiB more resident",
            taken[2].as_secs_f64() * 1e3,
            after.saturating_sub(before) as f64 / f64::from(1 << 20)
        );
    }
}

fn p50<T>(mut decide: impl FnMut() -> T) -> Duration {
    let mut taken: Vec<Duration> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..BATCH {
                black_box(decide());
            }
            start.elapsed() / BATCH
        })
        .collect();
    taken.sort_unstable();
    taken[BATCHES / 2]
}

/// Bytes of memory the process holds, as far as Linux tells.
#[expect(clippy::disallowed_methods, reason = "the process's own numbers, not a file of a workspace")]
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
