//! What one decision costs, and how that grows with the number of rules.
//!
//! `cargo bench -p gloaming-policies --bench decide`. Criterion keeps the history of each figure; what is
//! quoted are the tables printed behind it, whose figures come from one run on one machine: p50 of a decision,
//! its ratio to that of the smallest policy, and the ratio of Cedar's to it, of the same policy and question.

mod generate;

use std::hint::black_box;
use std::time::{Duration, Instant};

use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, Schema};
use criterion::{BenchmarkId, Criterion};
use gloaming_policies::{Access, Grant, cedar_request};

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
    // Before anything else: memory that was used and freed would be taken again, and not be seen.
    let mut held = Vec::new();
    let grants: Vec<(usize, Grant)> = SIZES
        .iter()
        .map(|rules| {
            let before = resident();
            let grant = grant(*rules);
            held.push(resident().saturating_sub(before));
            (*rules, grant)
        })
        .collect();
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
    against_cedar(&grants);
    compilation(&held);
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
                let p50 = p50(BATCHES, || permit.allows(access, black_box(&path)));
                let ratio = p50.as_secs_f64() / first.get_or_insert(p50).as_secs_f64();
                print!("{:>22}", format!("{} ns ({ratio:.2})", p50.as_nanos()));
            }
            println!();
        }
    }
}

/// Prints what Cedar takes for the exported policies, in multiples of what the grant takes. Of Cedar only the
/// decision is timed: its request and entities are made before, while the grant is handed the path as it is.
fn against_cedar(grants: &[(usize, Grant)]) {
    println!("\none decision of `edit` by Cedar, p50 (the ratio to Gloaming's)");
    print!("{:<28}", "question");
    for size in SIZES {
        print!("{:>26}", format!("{size} rules"));
    }
    println!();
    let exported: Vec<(&Grant, PolicySet, Schema)> = grants
        .iter()
        .map(|(_, grant)| {
            let export = grant.to_cedar().unwrap_or_else(|faults| panic!("{}", faults[0]));
            let (schema, _) = Schema::from_cedarschema_str(&export.schema).expect("the schema parses");
            (grant, export.policies.parse().expect("the policies parse"), schema)
        })
        .collect();
    for question in QUESTIONS {
        let path = question.path();
        for access in [Access::Read, Access::Write] {
            print!("{:<28}", format!("{} {access:?}", question.name));
            for (grant, policies, schema) in &exported {
                let asked = cedar_request("edit", access, &path).expect("the path is not too deep");
                let uid = |text: &str| text.parse::<EntityUid>().expect("an entity");
                let (principal, action, resource) =
                    (uid(&asked.principal), uid(&asked.action), uid(&asked.resource));
                let request = Request::new(principal, action, resource, Context::empty(), Some(schema));
                let request = request.expect("the schema knows the request");
                let entities =
                    Entities::from_json_value(asked.entities, Some(schema)).expect("it knows them");
                let authorizer = Authorizer::new();
                let decide = || authorizer.is_authorized(black_box(&request), policies, &entities).decision();
                assert_eq!(decide() == Decision::Allow, question.allowed, "{}", question.name);
                let permit = grant.permit_tool("edit").expect("the policy allows it");
                let (theirs, ours) =
                    (p50(20, decide), p50(BATCHES, || permit.allows(access, black_box(&path))));
                let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
                print!("{:>26}", format!("{:.1} µs ({ratio:.0})", theirs.as_secs_f64() * 1e6));
            }
            println!();
        }
    }
}

/// Prints what building a grant from parsed files costs, and how much more memory the process held when it had
/// parsed and built each for the first time.
fn compilation(held: &[u64]) {
    println!("\nbuilding a grant from parsed files, p50 of 5");
    for (rules, held) in SIZES.into_iter().zip(held) {
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
            "{rules:>8} rules: {:.2} ms, {:.1} MiB more resident with its files",
            taken[2].as_secs_f64() * 1e3,
            *held as f64 / f64::from(1 << 20)
        );
    }
}

fn p50<T>(batches: usize, mut decide: impl FnMut() -> T) -> Duration {
    let mut taken: Vec<Duration> = (0..batches)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..BATCH {
                black_box(decide());
            }
            start.elapsed() / BATCH
        })
        .collect();
    taken.sort_unstable();
    taken[batches / 2]
}

/// Bytes of memory the process holds, as far as Linux tells.
#[expect(clippy::disallowed_methods, reason = "the process's own numbers, not a file of a workspace")]
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
