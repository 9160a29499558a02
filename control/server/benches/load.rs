//! A queue of thousands over 50 repositories and 200 workers that poll over HTTP: who gets how much, and how long everything
//! takes meanwhile. Server, store on disk and workers share one process and its cores.
//!
//! The repositories are of four kinds: one that asks for most of all there is, ten with four times the weight, one with a cap
//! of two, and the rest. Each worker does what a worker says on the wire for a task (claim, renew, lines of its journal, the
//! result) and nothing between: the workers ask as fast as they are answered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gloaming_api::access::{NewToken, RepoPattern, Scope};
use gloaming_api::bowout::{BowOut, Stage};
use gloaming_api::worker::{AttemptResult, Control as _, LeaseKey, LeaseRequest, PROTOCOL, Renewal};
use gloaming_client::{Ask, Client};
use gloaming_server::{Clock, Policies, RefuseAll, Server, Settings, make_token};
use gloaming_store::{Limits, Share, SqliteStore};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Barrier;

/// Workers that poll at once.
const WORKERS: usize = 200;
/// Repositories.
const REPOS: usize = 50;
/// Tasks of the one that floods the queue.
const FLOOD: usize = 3000;
/// Tasks of each other.
const EACH: usize = 60;
/// How often a task is asked for while all workers wait.
const WAKES: usize = 200;

/// What a repository of a number is given: its kind, its weight and its cap.
fn share(repo: usize) -> (&'static str, Share) {
    match repo {
        0 => ("floods the queue", Share { weight: 100, running: u32::MAX }),
        1 => ("two at once at most", Share { weight: 100, running: 2 }),
        2..=11 => ("weight 400", Share { weight: 400, running: u32::MAX }),
        _ => ("weight 100", Share { weight: 100, running: u32::MAX }),
    }
}

fn name(repo: usize) -> String {
    format!("acme/r{repo:02}")
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = Limits { queued: u32::MAX, ..Limits::default() };
    let store = SqliteStore::open(&folder.path().join("plane.db"), limits).expect("a store");
    // Time goes by as it does, from a day of the bench's own.
    let (day, begun) = (jiff::Timestamp::from_second(1_790_000_000).expect("it is a time"), Instant::now());
    let clock: Clock = Arc::new(move || day + begun.elapsed());
    let settings = Settings { rate_factor: 0, ..Settings::default() };
    let policies = Policies::open(None).expect("the preset is good");
    let server = Server::new(Arc::new(store), settings, Arc::clone(&clock), policies, Arc::new(RefuseAll))
        .expect("no TLS");
    let shares: Vec<(RepoPattern, Share)> =
        (0..REPOS).map(|repo| (name(repo).parse().expect("a repository"), share(repo).1)).collect();
    server.store().set_shares(&shares, clock()).expect("the store");
    let token = |scope| {
        let new = NewToken {
            name: "bench".into(),
            scopes: vec![scope],
            repos: vec![RepoPattern::all()],
            expires_s: None,
        };
        make_token(&*server.store(), &new, clock()).expect("the store").expect("it is sound").token
    };
    let (submit, work) = (token(Scope::Submit), token(Scope::Worker));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
    let asker = Arc::new(client(address, &submit));

    println!("| what | n | a second | p50 ms | p99 ms | most ms |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let queue: Vec<usize> = {
        // The flood comes first: whoever comes later must not wait for its end.
        let others = (0..EACH).flat_map(|_| 1..REPOS);
        std::iter::repeat_n(0, FLOOD).chain(others).collect()
    };
    let (waits, first) = submitted(&asker, &queue).await;
    told("POST /v1/tasks, 8 clients", &waits, first);

    let (done, reads) = drained(address, &work, &asker, queue.len()).await;
    let claims: Vec<Duration> = done.iter().map(|claim| claim.asked).collect();
    let most = done.iter().map(|claim| claim.at).max().unwrap_or_default();
    told("a claim, 200 workers", &claims, most);
    told("a whole attempt (4 requests)", &done.iter().map(|claim| claim.all).collect::<Vec<_>>(), most);
    told("GET /v1/tasks/{id} meanwhile, 1 client", &reads, most);
    let (wakes, took) = woken(address, &work, &asker).await;
    told("from POST to a worker that waited", &wakes, took);

    println!();
    fairness(&done);
}

fn client(address: SocketAddr, token: &str) -> Client {
    Client::new(&format!("http://{address}"), &token.to_owned().into()).expect("an address")
}

/// Prints how long a thing took, of how many, in how long all together.
fn told(what: &str, took: &[Duration], all: Duration) {
    let mut ms: Vec<f64> = took.iter().map(|one| one.as_secs_f64() * 1000.0).collect();
    ms.sort_by(f64::total_cmp);
    let at = |part: usize| ms[(ms.len() - 1) * part / 100];
    let rate = ms.len() as f64 / all.as_secs_f64();
    println!("| {what} | {} | {rate:.0} | {:.1} | {:.1} | {:.1} |", ms.len(), at(50), at(99), at(100));
}

async fn post(asker: &Client, repo: usize) -> String {
    let body = json!({ "repo": name(repo), "text": "Bump serde past its advisory." });
    let made: Value = asker.json(Ask::of("submit_task", &[]).with(&body)).await.expect("it takes tasks");
    made["id"].as_str().expect("an id").to_owned()
}

/// Asks for all tasks, eight clients at once and in order.
async fn submitted(asker: &Arc<Client>, queue: &[usize]) -> (Vec<Duration>, Duration) {
    let begun = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (asker, next, queue) = (Arc::clone(asker), Arc::clone(&next), queue.to_owned());
            tokio::spawn(async move {
                let mut took = Vec::new();
                while let Some(repo) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let sent = Instant::now();
                    post(&asker, *repo).await;
                    took.push(sent.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for client in clients {
        took.extend(client.await.expect("it asks"));
    }
    (took, begun.elapsed())
}

/// One task that was worked on.
struct Claim {
    repo: String,
    /// Since the workers began.
    at: Duration,
    /// From the request for a task to the lease.
    asked: Duration,
    /// From the request for a task to the answer to its result.
    all: Duration,
}

/// Lets all workers work until nothing waits, while somebody reads.
async fn drained(
    address: SocketAddr,
    token: &str,
    asker: &Arc<Client>,
    tasks: usize,
) -> (Vec<Claim>, Vec<Duration>) {
    let one = post(asker, 2).await;
    let left = Arc::new(AtomicUsize::new(tasks + 1));
    let start = Arc::new(Barrier::new(WORKERS + 1));
    let claims = Arc::new(Mutex::new(Vec::new()));
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        let (client, left, start) = (client(address, token), Arc::clone(&left), Arc::clone(&start));
        let claims = Arc::clone(&claims);
        workers.push(tokio::spawn(async move {
            start.wait().await;
            let begun = Instant::now();
            while left.load(Ordering::Relaxed) > 0 {
                let asked = Instant::now();
                let Some((repo, key)) = claim(&client, number, 1).await else { continue };
                let (at, got) = (begun.elapsed(), asked.elapsed());
                attempt(&client, &key).await;
                left.fetch_sub(1, Ordering::Relaxed);
                claims.lock().expect("no panic").push(Claim { repo, at, asked: got, all: asked.elapsed() });
            }
        }));
    }
    let mut reads = Vec::new();
    start.wait().await;
    while left.load(Ordering::Relaxed) > 0 {
        let sent = Instant::now();
        let _: Value = asker.json(Ask::of("show_task", &[&one])).await.expect("it answers");
        reads.push(sent.elapsed());
    }
    for worker in workers {
        worker.await.expect("it works");
    }
    let mut done = std::mem::take(&mut *claims.lock().expect("no panic"));
    done.sort_by_key(|claim| claim.at);
    (done, reads)
}

async fn claim(client: &Client, number: usize, wait_s: u64) -> Option<(String, LeaseKey)> {
    let request = LeaseRequest {
        protocol: PROTOCOL,
        worker: format!("w{number}"),
        labels: vec!["arch:x86_64".into(), "engine:embedded".into()],
        wait_s,
    };
    let lease = client.lease(&request).await.expect("it answers")?;
    Some((lease.repo.to_string(), LeaseKey { task: lease.task, attempt: lease.attempt }))
}

/// Says what a worker says of an attempt.
async fn attempt(client: &Client, key: &LeaseKey) {
    let bow_out: BowOut = serde_json::from_value(json!({
        "schema_version": 1, "task_id": key.task, "attempt": key.attempt, "stage": "triage", "reason_code": "underspecified",
        "summary": "Nothing says what is slow.",
        "evidence": [{ "kind": "command", "argv": ["cargo", "bench"], "exit": 101, "excerpt": "no benchmarks" }],
        "attempted": [], "what_would_unblock": [{ "action": "name the function", "detail": "with a benchmark", "patchable": false }],
        "questions": [], "confidence": 0.2, "threshold": 0.6,
        "cost": { "usd": 0.01, "calls": 1, "wall_s": 1.0 }, "retryable": false,
    }))
    .expect("it is one");
    let renewal =
        Renewal { stage: Some(Stage::Triage), doing: "reading".into(), cost: bow_out.cost, grant: None };
    client.renew(key, &renewal).await.expect("the lease holds");
    let lines: String = (0..10)
        .map(|seq| format!("{}\n", json!({ "seq": seq, "kind": "bench", "text": "x".repeat(200) })))
        .collect();
    client.events(key, 0, &lines).await.expect("the lease holds");
    let result = AttemptResult::BowedOut { bow_out: Box::new(bow_out) };
    client.result(key, &result).await.expect("the lease holds");
}

/// Asks for one task after another while all workers wait; returns how long each was under way to one of them.
async fn woken(address: SocketAddr, token: &str, asker: &Arc<Client>) -> (Vec<Duration>, Duration) {
    let (tell, mut got) = tokio::sync::mpsc::channel(WORKERS);
    for number in 0..WORKERS {
        let (client, tell) = (client(address, token), tell.clone());
        tokio::spawn(async move {
            loop {
                let Some((_, key)) = claim(&client, number, 30).await else { continue };
                if tell.send(Instant::now()).await.is_err() {
                    return;
                }
                attempt(&client, &key).await;
            }
        });
    }
    let (begun, mut took) = (Instant::now(), Vec::new());
    for wake in 0..WAKES {
        let sent = Instant::now();
        post(asker, wake % REPOS).await;
        took.push(got.recv().await.expect("workers wait") - sent);
    }
    (took, begun.elapsed())
}

/// Prints what each kind of repository was handed while all had something that waited, beside what its weight says.
fn fairness(done: &[Claim]) {
    let all: HashMap<String, usize> = (0..REPOS).map(|repo| (name(repo), repo)).collect();
    let mut last: HashMap<usize, usize> = HashMap::new();
    for (position, claim) in done.iter().enumerate() {
        last.insert(all[&claim.repo], position);
    }
    // Until the first of those that may run as they like has nothing left, all compete.
    let until = last.iter().filter(|(repo, _)| **repo != 1).map(|(_, position)| *position).min().unwrap_or(0);
    let competing = &done[..=until];
    let weights: u32 = (0..REPOS).filter(|repo| *repo != 1).map(|repo| share(repo).1.weight).sum();
    println!(
        "| repositories | how many | claims while all compete | by weight | least and most of one | last claim, s |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for kind in ["floods the queue", "two at once at most", "weight 400", "weight 100"] {
        let repos: Vec<usize> = (0..REPOS).filter(|repo| share(*repo).0 == kind).collect();
        let counts: Vec<usize> = repos
            .iter()
            .map(|repo| competing.iter().filter(|claim| all[&claim.repo] == *repo).count())
            .collect();
        let capped = competing.iter().filter(|claim| all[&claim.repo] == 1).count();
        let weight: u32 = repos.iter().map(|repo| share(*repo).1.weight).sum();
        let expected = match kind {
            "two at once at most" => "its cap".to_owned(),
            _ => format!("{:.0}", f64::from(weight) / f64::from(weights) * (competing.len() - capped) as f64),
        };
        let end = repos.iter().map(|repo| done[last[repo]].at).max().unwrap_or_default();
        println!(
            "| {kind} | {} | {} | {expected} | {} to {} | {:.1} |",
            repos.len(),
            counts.iter().sum::<usize>(),
            counts.iter().min().unwrap_or(&0),
            counts.iter().max().unwrap_or(&0),
            end.as_secs_f64(),
        );
    }
}
