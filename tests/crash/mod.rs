//! Crash proof: server and worker killed at every call between them and to the code host, before it is handed on and before
//! its answer is, and the code host failing in each way at every request of the server's. Whatever happens, a task comes to
//! the end it would have come to, there is one of everything outside, and it is paid for once.
//!
//! `make crash` does all of it and prints a table; the default suite does every so many.

mod plant;
mod proxy;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

use gloaming_api::worker::LEASE;
use serde_json::{Value, json};

use crate::evil_model::calls;
use crate::resume::NEW_TEST;
use crate::support::{partner, tell};
use plant::{Plant, Standing, now};
use proxy::{How, Key, Kill, Lane, Passed};

/// How long leases hold in the enumeration, seconds: a worker's death is waited for as long.
const LEASE_S: u64 = 6;

/// The longest that anything may stand still, seconds.
const RESUMED: f64 = 60.0;

/// What a worker tells in the end.
const RESULT: &str = "POST /v1/leases/{task}/{n}/result";

/// What a task comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    PullRequest,
    Comment,
    /// A reviewer's wish on a request that is open: what goes wrong goes wrong from there on.
    FollowUp,
}

/// What a reviewer wishes.
const WISH: &str = "zero for an empty list, please";
const WISHED_TEST: &str = "import unittest\n\nfrom calc import mean\n\n\nclass NoneTest(unittest.TestCase):\n    def test_none(self):\n        \
                           self.assertEqual(mean([]), 0)\n";

impl Sort {
    fn transcript(self) -> Value {
        match self {
            Self::PullRequest => json!([
                calls(&[
                    ("read", json!({"path": "calc/core.py"})),
                    ("write", json!({"path": "tests/test_three.py", "content": NEW_TEST})),
                    ("edit", json!({"path": "calc/core.py", "old": "n + 2", "new": "n * 2"})),
                ]),
                calls(&[("finish", json!({"summary": "twice doubles"}))]),
            ]),
            Self::FollowUp => json!({
                "coder": Self::PullRequest.transcript(),
                "told": {WISH: {"coder": [
                    calls(&[
                        ("write", json!({"path": "tests/test_none.py", "content": WISHED_TEST})),
                        ("edit", json!({"path": "calc/core.py", "old": "len(values)", "new": "(len(values) or 1)"})),
                    ]),
                    calls(&[("finish", json!({"summary": "the mean of nothing is 0"}))]),
                ]}},
            }),
            Self::Comment => json!([
                calls(&[("read", json!({"path": "calc/core.py"}))]),
                calls(&[("give_up", json!({"reason": "underspecified", "summary": "which of them?"}))]),
            ]),
        }
    }

    fn state(self) -> &'static str {
        match self {
            Self::PullRequest | Self::FollowUp => "published",
            Self::Comment => "bowed_out",
        }
    }
}

/// A call that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    how: How,
    key: Key,
    /// Whether it is tried from where a worker's result has been taken, see [`Prepared`].
    told: bool,
}

/// What came of one run.
struct Came {
    case: Option<Case>,
    /// Whether the call came by at all.
    struck: bool,
    /// From the moment at which it went wrong to the next transition, seconds.
    resumed: f64,
    wrong: Vec<String>,
    passed: Vec<Passed>,
}

/// Asks for a task by an issue's label. Returns the issue's number.
fn asked(plant: &Plant) -> u64 {
    let issue = plant.by_alice("POST", "issues", Some(&json!({"title": "twice(3) should be 6"})));
    let issue = issue["number"].as_u64().expect("a number");
    plant.by_alice("POST", &format!("issues/{issue}/labels"), Some(&json!({"labels": ["gloaming"]})));
    issue
}

/// Waits until an issue is a task.
fn task_of(plant: &Plant, issue: u64) -> String {
    plant.gate.until("the issue is a task", || {
        let tasks = plant.json("/v1/tasks?limit=5")?;
        let of_issue = |task: &&Value| task["source"]["number"] == issue;
        Some(tasks["tasks"].as_array()?.iter().find(of_issue)?["id"].as_str()?.to_owned())
    })
}

/// Waits until a task has ended and what follows is done outside. Returns the task, and what is wrong; `journals` passed
/// before.
fn end_of(plant: &Plant, sort: Sort, issue: u64, task: &str, journals: &[Passed]) -> (Value, Vec<String>) {
    let view = plant.gate.until("the task ends", || {
        let view = plant.json(&format!("/v1/tasks/{task}"))?;
        if sort == Sort::FollowUp && view["attempt"] == 1 {
            return None;
        }
        let over = ["published", "bowed_out", "failed", "cancelled", "quarantined", "superseded"];
        over.contains(&view["state"].as_str()?).then_some(view)
    });
    let mut wrong = Vec::new();
    if view["state"] == sort.state() {
        plant.gate.until_good("what is told outside", || outside(plant, sort, issue, &view));
    } else {
        let (failure, summary) = (&view["failure"], &view["bow_out"]["summary"]);
        wrong.push(format!("it ended as {}: {failure} {summary}", view["state"]));
    }
    wrong.extend(cost_fault(&view, &[journals, &plant.gate.passed()].concat()));
    (view, wrong)
}

/// What came of a run that has ended.
fn came(plant: &Plant, task: &str, case: Option<Case>, mut wrong: Vec<String>) -> Came {
    let passed = plant.gate.passed();
    let struck = plant.gate.struck();
    plant.gate.disarm();
    let resumed = struck.map_or(0.0, |at| resumed(plant, task, &passed, at));
    if resumed > RESUMED {
        wrong.push(format!("it went on after {resumed:.1} s"));
    }
    if let Some(case) = case.as_ref().filter(|_| !wrong.is_empty() || asked_for().is_some()) {
        let (Key { lane, shape, number }, how) = (&case.key, case.how);
        let met = if struck.is_some() { format!("{resumed:.1} s") } else { "not met".to_owned() };
        tell(&format!("{how:?} of {lane:?} {shape} {number}: {met} {}\n", wrong.join("; ")));
    }
    Came { case, struck: struck.is_some(), resumed, wrong, passed }
}

/// A task from an issue to its end, with a call that goes wrong.
fn run(plant: &Plant, sort: Sort, case: Option<Case>) -> Came {
    let mut armed = case.clone().map(|case| (case.key, case.how));
    let begin = |armed| {
        plant.kill(Kill::Both);
        plant.gate.begin(armed);
        plant.start_again(Kill::Both);
    };
    begin(if sort == Sort::FollowUp { None } else { armed.take() });
    let issue = asked(plant);
    let task = task_of(plant, issue);
    let mut journals = Vec::new();
    if sort == Sort::FollowUp {
        let (view, wrong) = end_of(plant, Sort::PullRequest, issue, &task, &[]);
        assert!(wrong.is_empty(), "undisturbed: {wrong:?}");
        journals = plant.gate.passed();
        plant.look_at(view["pull_request"]["branch"].as_str().expect("a branch"));
        begin(armed);
        let review = json!({"event": "COMMENT", "body": format!("@gloaming {WISH}")});
        let number = &view["pull_request"]["number"];
        plant.by_alice("POST", &format!("pulls/{number}/reviews"), Some(&review));
    }
    let (_, wrong) = end_of(plant, sort, issue, &task, &journals);
    came(plant, &task, case, wrong)
}

/// A control plane whose server died when a worker's result had just been taken: everything outside is still to be done, and
/// no attempt is run again to try that in every way.
struct Prepared {
    plant: Standing,
    issue: u64,
    task: String,
    passed: Vec<Passed>,
}

impl Prepared {
    fn new(partner: &Path, sort: Sort) -> Self {
        let plant = Plant::start(partner, &sort.transcript(), LEASE_S);
        plant.open();
        let result = Key { lane: Lane::Worker, shape: RESULT.to_owned(), number: 1 };
        plant.gate.begin(Some((result, How::KillAfter(Kill::Server))));
        plant.start_again(Kill::Worker);
        let issue = asked(&plant);
        let task = task_of(&plant, issue);
        plant.end_with_what_dies();
        plant.gate.until("the server dies", || plant.is_dead().then_some(()));
        plant.kill(Kill::Both);
        let passed = plant.gate.passed();
        Self { plant, issue, task, passed }
    }

    /// Goes on from there to the end, with a call to the code host that goes wrong.
    fn go_on(&self, partner: &Path, sort: Sort, case: Option<Case>) -> Came {
        let plant = Plant::start(partner, &sort.transcript(), LEASE_S);
        plant.inherit(&self.plant);
        let issue = plant.by_alice("POST", "issues", Some(&json!({"title": "twice(3) should be 6"})));
        assert_eq!(issue["number"], self.issue, "another issue");
        plant.gate.begin(case.clone().map(|case| (case.key, case.how)));
        plant.start_again(Kill::Server);
        let (_, wrong) = end_of(&plant, sort, self.issue, &self.task, &self.passed);
        let mut came = came(&plant, &self.task, case, wrong);
        came.wrong.extend(ended(&plant));
        came
    }
}

/// How long after a moment the task went on: its next event, or where there is none, what was done outside last.
fn resumed(plant: &Plant, task: &str, passed: &[Passed], struck: f64) -> f64 {
    let events =
        plant.gate.until("the events can be read", || plant.read(&format!("/v1/tasks/{task}/events")));
    let times = events.lines().filter_map(|line| {
        let event: Value = serde_json::from_str(line.strip_prefix("data: ")?).ok()?;
        let at: jiff::Timestamp = event["at"].as_str()?.parse().ok()?;
        Some(at.as_microsecond() as f64 / 1e6)
    });
    let next = times.filter(|at| *at > struck).fold(f64::INFINITY, f64::min);
    let done = |one: &&Passed| one.key.lane == Lane::Host && one.at > struck && one.status.is_some();
    let last = passed.iter().filter(done).map(|one| one.at).fold(struck, f64::max);
    if next.is_finite() { next - struck } else { last - struck }
}

/// Whether there is exactly one of everything on the code host.
fn outside(plant: &Plant, sort: Sort, issue: u64, view: &Value) -> Result<(), String> {
    let comments = plant.by_alice("GET", &format!("issues/{issue}/comments"), None);
    let comments = comments.as_array().map_or(0, Vec::len);
    let task = view["id"].as_str().unwrap_or_default();
    let pulls = plant.by_alice("GET", &format!("pulls?state=all&head=acme:gloaming/{task}"), None);
    let pulls = pulls.as_array().cloned().unwrap_or_default();
    let branches = plant.by_alice("GET", &format!("git/matching-refs/heads/gloaming/{task}"), None);
    let branches = branches.as_array().map_or(0, Vec::len);
    if sort == Sort::Comment {
        let found = (comments, pulls.len(), branches);
        return if found == (1, 0, 0) {
            Ok(())
        } else {
            Err(format!("comments, requests, branches: {found:?}"))
        };
    }
    let commit = view["pull_request"]["commit"].as_str().unwrap_or_default();
    let checks = plant.by_alice("GET", &format!("commits/{commit}/check-runs"), None);
    if sort == Sort::FollowUp {
        // One commit on the one before, which stands on what there was; and the check there has ended.
        let parent = |commit: &str| {
            let commit = plant.by_alice("GET", &format!("git/commits/{commit}"), None);
            commit["parents"][0]["sha"].as_str().unwrap_or_default().to_owned()
        };
        let first = parent(commit);
        let main = plant.by_alice("GET", "git/ref/heads/main", None);
        let old = plant.by_alice("GET", &format!("commits/{first}/check-runs"), None);
        let told = json!([old["total_count"], old["check_runs"][0]["conclusion"]]);
        if json!(parent(&first)) != main["object"]["sha"] || told != json!([1, "neutral"]) {
            return Err(format!("the commit before is {first}, its check {told}"));
        }
    }
    let found = (comments, pulls.len(), branches, checks["total_count"].as_u64());
    if found != (0, 1, 1, Some(1)) {
        return Err(format!("comments, requests, branches, checks: {found:?}"));
    }
    let said = &checks["check_runs"][0]["conclusion"];
    // The code host in memory does not note at the request that its branch went on.
    let head = plant.by_alice("GET", &format!("git/ref/heads/gloaming/{task}"), None);
    let (number, at) = (&pulls[0]["number"], &head["object"]["sha"]);
    if *number != view["pull_request"]["number"] || *at != json!(commit) || said != "success" {
        return Err(format!("the request is {number} at {at}, its check {said}"));
    }
    Ok(())
}

/// Whether what the task cost is what the journals of its attempts say, as they were handed over.
fn cost_fault(view: &Value, passed: &[Passed]) -> Option<String> {
    let mut lines: BTreeMap<(String, u64), f64> = BTreeMap::new();
    for one in passed.iter().filter(|one| one.status == Some(200) && one.key.shape.ends_with("/events")) {
        let (path, query) = one.path.split_once('?').unwrap_or((&one.path, ""));
        let from: u64 = query.trim_start_matches("from=").parse().unwrap_or(0);
        for (at, line) in (from..).zip(String::from_utf8_lossy(&one.body).lines()) {
            let event: Value = serde_json::from_str(line).unwrap_or_default();
            if event["event"] == "model_call" {
                lines.insert((path.to_owned(), at), event["data"]["cost_usd"].as_f64().unwrap_or(0.0));
            }
        }
    }
    let (told, paid): (f64, f64) = (lines.values().sum(), view["cost"]["usd"].as_f64().unwrap_or(0.0));
    let same = (told - paid).abs() < 1e-9 && told > 0.0;
    (!same).then(|| {
        format!(
            "the task cost {paid}, and its journals say {told}: {:?}",
            lines.keys().collect::<BTreeSet<_>>()
        )
    })
}

/// Every call that can go wrong, and how.
fn all(passed: &[Passed], told: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for key in passed.iter().map(|one| &one.key) {
        let mut add =
            |hows: &[How]| cases.extend(hows.iter().map(|how| Case { how: *how, key: key.clone(), told }));
        add(&[How::KillBefore(Kill::Server), How::KillAfter(Kill::Server)]);
        match key.lane {
            Lane::Hook => {}
            Lane::Worker => {
                for kill in [Kill::Worker, Kill::Both] {
                    add(&[How::KillBefore(kill), How::KillAfter(kill)]);
                }
            }
            // The code host in memory lacks these.
            Lane::Host if key.shape.contains("/app/hook/") => {}
            // Whether it was done is no matter.
            Lane::Host if key.shape.starts_with("GET") => add(&[How::Refused, How::Cut, How::TooMany]),
            Lane::Host => add(&[How::Refused, How::BadGateway, How::Cut, How::TooMany, How::Secondary]),
        }
    }
    cases.sort();
    cases.dedup();
    cases
}

/// Does cases one after the other: those of what follows a result from there, the others with one set of processes, which is
/// looked at in the end.
fn chain(
    partner: &Path,
    sort: Sort,
    lease_s: u64,
    prepared: Option<&Prepared>,
    next: &(dyn Fn() -> Option<Case> + Sync),
) -> Vec<Came> {
    let plant = Plant::start(partner, &sort.transcript(), lease_s);
    plant.open();
    let mut came = Vec::new();
    while let Some(case) = next() {
        came.push(match prepared.filter(|_| case.told) {
            Some(prepared) => prepared.go_on(partner, sort, Some(case)),
            None => run(&plant, sort, Some(case)),
        });
    }
    let faults = ended(&plant);
    if let (Some(last), false) = (came.last_mut(), faults.is_empty()) {
        last.wrong.extend(faults);
    }
    came
}

/// What is wrong with what all runs left.
fn ended(plant: &Plant) -> Vec<String> {
    let mut faults = Vec::new();
    let waiting = |name: &str| {
        let metrics = plant.read("/metrics")?;
        metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
    };
    for name in ["gloaming_effects{state=\"waiting\"}", "gloaming_deliveries_waiting"] {
        plant.gate.until(name, || (waiting(name)? == 0.0).then_some(()));
    }
    let dead = plant.home.gloaming(&["task", "dead"]);
    if dead.stdout != "nothing was given up\n" {
        faults.push(dead.stdout);
    }
    let told = plant.home.gloaming(&["doctor", "--config", "gloaming.toml", "--json"]).json();
    for what in ["store", "audit", "server"] {
        let check =
            told["checks"].as_array().and_then(|all| all.iter().find(|check| check["what"] == what).cloned());
        if check.as_ref().is_none_or(|check| check["standing"] != "ok") {
            faults.push(format!("doctor: {check:?}"));
        }
    }
    plant.kill(Kill::Both);
    // What a worker that was killed had started ends by itself, ten seconds later at most.
    let since = now();
    plant
        .gate
        .until("no process is left", || (plant.left().is_empty() || now() - since > 20.0).then_some(()));
    faults.extend(plant.left().into_iter().map(|line| format!("a process is left: {line}")));
    faults
}

/// Which cases are tried, of a sort's.
struct Choice {
    lease_s: u64,
    /// Every so many.
    step: usize,
    /// Sets of processes at once.
    chains: usize,
    of: fn(&Case) -> bool,
}

/// Tries cases. Returns the table, and what is wrong.
fn enumerate(partner: &Path, sort: Sort, choice: &Choice) -> (String, Vec<String>) {
    let lease_s = choice.lease_s;
    // A request that is open is on the code host in memory, which cannot be handed over.
    let prepared = (sort != Sort::FollowUp).then(|| Prepared::new(partner, sort));
    let whole = match &prepared {
        Some(prepared) => prepared.go_on(partner, sort, None),
        None => {
            let plant = Plant::start(partner, &sort.transcript(), lease_s);
            plant.open();
            run(&plant, sort, None)
        }
    };
    assert!(whole.wrong.is_empty(), "undisturbed: {:?}", whole.wrong);
    let before = prepared.as_ref().map(|prepared| all(&prepared.passed, false));
    let mut cases = [before.unwrap_or_default(), all(&whole.passed, prepared.is_some())].concat();
    cases.retain(choice.of);
    let some: Vec<Case> = cases.iter().skip(choice.step / 2).step_by(choice.step).cloned().collect();
    let left = Mutex::new(some.into_iter());
    let next = || left.lock().expect("no panic holds it").next();
    let came: Vec<Came> = std::thread::scope(|scope| {
        let chains: Vec<_> = (0..choice.chains)
            .map(|_| scope.spawn(|| chain(partner, sort, lease_s, prepared.as_ref(), &next)))
            .collect();
        chains.into_iter().flat_map(|chain| chain.join().expect("it does not panic")).collect()
    });
    let mut rows: BTreeMap<String, (usize, usize, usize, f64)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for one in &came {
        let case = one.case.as_ref().expect("each has one");
        let row = rows.entry(format!("{:?} of {:?}", case.how, case.key.lane)).or_default();
        row.0 += 1;
        row.1 += usize::from(!one.struck);
        row.2 += usize::from(!one.wrong.is_empty());
        row.3 = row.3.max(one.resumed);
        wrong.extend(one.wrong.iter().map(|what| format!("{:?} {:?}: {what}", case.how, case.key)));
    }
    let mut table = format!("{sort:?}: {} of {} cases, leases of {lease_s} s\n", came.len(), cases.len());
    for (name, (count, missed, wrong, slowest)) in rows {
        let _ = writeln!(
            table,
            "{name:<36} {count:>4} done {missed:>3} not met {wrong:>3} wrong {slowest:>6.1} s"
        );
    }
    // How often a worker renews follows the clock, so that the last renewals may not come by; everything else does.
    let struck = came.iter().filter(|one| one.struck).count();
    if struck * 2 < came.len() {
        wrong.push(format!("only {struck} of {} calls came by", came.len()));
    }
    (table, wrong)
}

/// Every so many cases, where more are asked for than the default suite does.
fn asked_for() -> Option<usize> {
    std::env::var("GLOAMING_CRASH").ok().map(|step| step.parse().expect("GLOAMING_CRASH is a number"))
}

fn share(test: &str, sort: Sort, step: usize) {
    let Some(partner) = partner("GLOAMING_GITHUB_DIR", test) else { return };
    let some = Choice { lease_s: LEASE_S, step, chains: 1, of: |_| true };
    let choices = match asked_for() {
        None => vec![some],
        // And the deaths that are waited for the longest, with leases as they are for everybody.
        Some(step) => vec![
            Choice { step, chains: 4, ..some },
            Choice {
                lease_s: LEASE.as_secs(),
                step: 1,
                chains: 2,
                of: |case| {
                    case.key.lane == Lane::Worker
                        && case.key.number == 1
                        && matches!(case.how, How::KillAfter(Kill::Worker | Kill::Both))
                        && (case.key.shape.ends_with("leases") || case.key.shape.ends_with("events"))
                },
            },
        ],
    };
    let mut faults = Vec::new();
    for choice in choices {
        let (table, wrong) = enumerate(&partner, sort, &choice);
        tell(&table);
        faults.extend(wrong);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_pull_request_is_made_once_whatever_dies() {
    share("a_pull_request_is_made_once", Sort::PullRequest, 60);
}

#[test]
fn a_comment_is_made_once_whatever_dies() {
    share("a_comment_is_made_once", Sort::Comment, 30);
}

#[test]
fn a_reviewers_commit_is_made_once_whatever_dies() {
    share("a_reviewers_commit_is_made_once", Sort::FollowUp, 80);
}

#[test]
fn who_is_told_to_stop_gives_back_what_it_is_at() {
    let Some(partner) = partner("GLOAMING_GITHUB_DIR", "who_is_told_to_stop") else { return };
    let plant = Plant::start(&partner, &Sort::PullRequest.transcript(), LEASE.as_secs());
    let at_work = || {
        let journal = |one: &Passed| one.key.shape.ends_with("/events") && one.status == Some(200);
        plant
            .gate
            .until("a journal is handed over", || plant.gate.passed().iter().any(journal).then_some(()));
    };
    // The worker: its attempt is stopped and given back, and the next one is begun at once.
    plant.open();
    plant.gate.begin(None);
    plant.start_again(Kill::Worker);
    let issue = asked(&plant);
    let task = task_of(&plant, issue);
    at_work();
    assert_eq!(plant.ask_to_stop(Kill::Worker), Some(0));
    assert_eq!(plant.left(), Vec::<String>::new());
    let waits = plant.json(&format!("/v1/tasks/{task}")).expect("the server answers");
    assert_eq!(json!([waits["state"], waits["attempt"]]), json!(["queued", 1]));
    plant.start_again(Kill::Worker);
    let (view, wrong) = end_of(&plant, Sort::PullRequest, issue, &task, &[]);
    assert_eq!((view["attempt"].as_u64(), wrong), (Some(2), Vec::new()));
    // The server: the worker goes on, and finds it again.
    plant.gate.begin(None);
    let issue = asked(&plant);
    let task = task_of(&plant, issue);
    at_work();
    assert_eq!(plant.ask_to_stop(Kill::Server), Some(0));
    plant.start_again(Kill::Server);
    let (view, wrong) = end_of(&plant, Sort::PullRequest, issue, &task, &[]);
    assert_eq!((view["attempt"].as_u64(), wrong), (Some(1), Vec::new()));
    // While nobody answers, a worker that is told to stop ends all the same.
    plant.gate.begin(None);
    task_of(&plant, asked(&plant));
    at_work();
    plant.kill(Kill::Server);
    assert_eq!(plant.ask_to_stop(Kill::Worker), Some(0));
    assert_eq!(plant.left(), Vec::<String>::new());
}
