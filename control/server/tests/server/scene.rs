//! Tasks in every state that a page tells of, with what workers hand over.

use std::time::Duration;

use gloaming_api::evidence::{Evidence, Verdict};
use gloaming_api::journal::{Chain, EventKind};
use gloaming_api::task::{PullRequest, Source};
use gloaming_api::worker::{LeaseKey, Renewal, VerifiedChange};
use gloaming_api::{Attempt, BowOut, Digest, RepoId, TaskId};
use gloaming_server::verdict_value;
use gloaming_store::{AttemptEnd, Claimant, Store, Submission};
use serde_json::{Value, json};

use crate::support::Running;

/// The token that the scene's worker shows.
const WORKER: &str = "scene";
const LEASE: Duration = Duration::from_secs(3600);

/// A scene in which whatever is free text ends with `evil`.
pub(crate) struct Scene<'a> {
    running: &'a Running,
    evil: &'a str,
}

pub(crate) fn task(number: u32) -> TaskId {
    format!("t-{number:020x}").parse().unwrap()
}

fn cost() -> Value {
    json!({"usd": 0.42, "calls": 7, "tokens": 51_200, "tool_bytes": 9000, "wall_s": 83.5})
}

impl<'a> Scene<'a> {
    pub(crate) fn new(running: &'a Running, evil: &'a str) -> Self {
        Self { running, evil }
    }

    fn store(&self) -> &dyn Store {
        &*self.running.store
    }

    fn text(&self, text: &str) -> String {
        format!("{text}{}", self.evil)
    }

    /// Waiting, published, bowed out, failed: in this order, `acme/api` but for the last.
    pub(crate) fn all(&self) {
        self.published(1);
        self.bowed_out(2);
        self.failed(3);
        self.queue(4, "acme/api", "Speed up the parser\n\nIt is slow.");
    }

    pub(crate) fn queue(&self, number: u32, repo: &str, text: &str) {
        let submission = Submission {
            id: task(number),
            new: serde_json::from_value(json!({"repo": repo, "text": self.text(text)})).unwrap(),
            source: Source::Schedule { name: self.text("nightly") },
            asker: self.text("github:octo"),
            by_name: true,
            idempotency: None,
            effects: vec![],
        };
        self.store().submit(&submission, self.running.now()).unwrap();
        self.running.pass(Duration::from_secs(1));
    }

    /// A worker takes the task that is due.
    pub(crate) fn claim(&self, number: u32) -> LeaseKey {
        let claimant = Claimant {
            worker: self.text("worker-1"),
            token: WORKER.into(),
            labels: vec![],
            repos: vec!["*".parse().unwrap()],
        };
        let claimed =
            self.store().claim(&claimant, LEASE, self.running.now()).unwrap().expect("a task is due");
        assert_eq!(claimed.lease.task, task(number));
        claimed.lease
    }

    /// The worker says what it does, and hands over its journal.
    pub(crate) fn work(&self, lease: &LeaseKey) {
        let renewal: Renewal = serde_json::from_value(json!({
            "stage": "code", "doing": self.text("reading src/parse.rs"), "cost": cost(), "grant": Digest::of("grant"),
        }))
        .unwrap();
        let now = self.running.now();
        self.store().renew(lease, WORKER, &renewal, LEASE, now).unwrap().unwrap();
        let lines = self.journal();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        self.store().append(lease, WORKER, 0, &lines, now).unwrap().unwrap();
    }

    fn journal(&self) -> Vec<String> {
        let record = |tool: &str, decision: &str, denials: Value| {
            json!({
                "tool": tool, "grant": Digest::of("grant"), "args_digest": Digest::of("args"), "decision": decision,
                "denials": denials, "reads_total": 1, "bytes_read": 10, "bytes_written": 0,
                "duration_us": {"total": 1500, "instantiate": 100, "host": 50}, "peak_memory": 1,
            })
        };
        let events = [
            json!({"event": "stage_started", "data": {"stage": "baseline"}}),
            json!({"event": "job", "data": {"label": self.text("baseline"), "record": self.job("test", 0)}}),
            json!({"event": "stage_finished", "data": {"stage": "baseline", "detail": self.text("42 tests pass"), "wall_ms": 65_000}}),
            json!({"event": "stage_started", "data": {"stage": "code"}}),
            json!({"event": "tool_call", "data": {
                "id": "1", "args": {"path": self.text("src/parse.rs")},
                "outcome": {"ok": true, "output": {"text": self.text("fn parse() {}")}},
                "record": record("read", "allow", json!([])),
            }}),
            json!({"event": "tool_call", "data": {
                "id": "2", "args": {"path": self.text("ci.yml")},
                "outcome": {"ok": false, "error": {"code": "denied", "rule": "no-ci", "message": self.text("the path is protected")}},
                "record": record("edit", "deny", json!([{"path": self.text("ci.yml"), "rule": self.text("no-ci")}])),
            }}),
        ];
        let mut chain = Chain::default();
        let now = self.running.now();
        let mut lines: Vec<String> = events
            .into_iter()
            .map(|event| {
                let kind: EventKind = serde_json::from_value(event).unwrap();
                serde_json::to_string(&chain.append(now, kind)).unwrap()
            })
            .collect();
        lines.push(json!({"event": "of_a_later_version"}).to_string());
        lines
    }

    fn job(&self, purpose: &str, exit: i32) -> Value {
        json!({
            "purpose": purpose, "argv": ["cargo", purpose, self.text("--workspace")], "cwd": ".", "engine": "embedded",
            "environment": Digest::of("environment"), "grant": Digest::of("grant"), "exit": {"how": "code", "value": exit},
            "duration_ms": 61_500,
            "limits": {"memory": 1, "cpus": 1.0, "processes": 1, "wall_s": 1, "output": 1, "scratch": 1},
            "stdout_tail": self.text("test result: ok."), "stderr_tail": "",
        })
    }

    fn patch(&self) -> String {
        [
            "diff --git a/src/parse.rs b/src/parse.rs",
            "--- a/src/parse.rs",
            "+++ b/src/parse.rs",
            "@@ -1,3 +1,4 @@ fn parse(text: &str) -> Vec<Token> {",
            " let mut tokens = Vec::new();",
            "-for c in text.chars().collect::<Vec<_>>() {",
            "+tokens.reserve(text.len() / 4);",
            &self.text("+for c in text.chars() { // "),
            "     tokens.push(c.into());",
            "",
        ]
        .join("\n")
    }

    fn evidence(&self) -> Evidence {
        let job: Value = {
            let mut job = self.job("test", 0);
            job["tree"] = json!("patched");
            job["step"] = json!("V5");
            job
        };
        serde_json::from_value(json!({
            "schema_version": 1, "repo": "acme/api", "base": "1".repeat(40), "patch": Digest::of(self.patch()),
            "tree": "2".repeat(40), "origin": {"kind": "model", "name": self.text("anthropic:claude")}, "grant": Digest::of("grant"),
            "files": [{"path": "src/parse.rs", "change": "modified", "added": 2, "removed": 1, "binary": false, "role": "code"}],
            "steps": self.steps(), "jobs": [job],
            "baseline_tests": {"a": "passed", "b": "failed"},
            "patched_tests": {"a": "passed", "b": "passed", "c": "skipped"},
            "fail_to_pass": [self.text("parse::is_fast")],
            "without_code": [{"id": self.text("parse::is_fast"), "by": "assertion", "said": self.text("took 3 s")}],
            "flaky": [self.text("net::retries")],
            "findings": [{"tool": self.text("clippy"), "rule": self.text("needless_collect"), "path": "src/parse.rs", "line": 3, "message": self.text("collect is not needed"), "level": "warning"}],
            "coverage": {"covered": 2, "uncovered": 1, "tool": self.text("llvm-cov")},
            "mutants": {"killed": 3, "survived": 1, "timed_out": 0},
            "signals": [{"name": self.text("churn"), "path": "src/parse.rs", "line": 0, "detail": self.text("changed often")}],
        }))
        .unwrap()
    }

    fn steps(&self) -> Value {
        json!([
            {"step": "V0", "result": "pass", "detail": self.text("the patch applies")},
            {"step": "V3", "result": "fail", "code": "new_lint_findings", "detail": self.text("1 new finding of clippy")},
            {"step": "V9", "result": "unknown", "detail": self.text("mutants were not run")},
            {"step": "V12", "result": "skipped", "detail": self.text("no secrets")},
        ])
    }

    fn verdict(&self) -> Verdict {
        serde_json::from_value(json!({
            "verdict": "pass", "code": "ok", "summary": self.text("Worth a reviewer's time."), "steps": self.steps(),
            "confidence": 0.83, "threshold": 0.6, "calibrated": false,
            "reasons": [self.text("one new finding of a linter takes 0.4")],
        }))
        .unwrap()
    }

    /// The worker hands over a change, and the control plane makes a pull request of it.
    pub(crate) fn publish(&self, lease: &LeaseKey) {
        let now = self.running.now();
        let evidence = serde_json::to_vec(&self.evidence()).unwrap();
        let verdict = serde_json::to_vec(&self.verdict()).unwrap();
        let kept = |content: &[u8]| {
            let digest = Digest::of(content);
            self.store().put_artifact(lease, WORKER, &digest, content, now).unwrap().unwrap();
            digest
        };
        let change = VerifiedChange {
            base: "1".repeat(40),
            tree: "2".repeat(40),
            blobs: vec![],
            patch: kept(self.patch().as_bytes()),
            evidence: kept(&evidence),
            description: self.text("Reserves."),
            cost: serde_json::from_value(cost()).unwrap(),
        };
        let verdict = kept(&verdict);
        self.store().set_value(&verdict_value(&lease.task, lease.attempt), verdict.as_str()).unwrap();
        self.store()
            .finish(lease, WORKER, &AttemptEnd::Verified(Box::new(change)), &[], now)
            .unwrap()
            .unwrap();
        let url = if self.evil.is_empty() {
            "https://github.com/acme/api/pull/9".into()
        } else {
            self.text("javascript:alert(1)")
        };
        let request = PullRequest {
            number: 9,
            url,
            branch: self.text("gloaming/x"),
            commit: "3".repeat(40),
            outcome: None,
        };
        assert!(self.store().published(&lease.task, &request, &[], now).unwrap());
        self.running.pass(Duration::from_secs(1));
    }

    fn published(&self, number: u32) {
        self.queue(number, "acme/api", "Reserve room for tokens\n\nThe parser grows its list one by one.");
        let lease = self.claim(number);
        self.work(&lease);
        self.publish(&lease);
    }

    fn bowed_out(&self, number: u32) {
        self.queue(number, "acme/api", "Make it faster");
        let lease = self.claim(number);
        let partial = self.text("--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -1 +1 @@\n-slow()\n+fast()\n");
        let digest = Digest::of(&partial);
        let kept = self.store().put_artifact(&lease, WORKER, &digest, partial.as_bytes(), self.running.now());
        kept.unwrap().unwrap();
        let bow_out: BowOut = serde_json::from_value(json!({
            "schema_version": 1, "task_id": task(number), "attempt": 1, "stage": "triage", "reason_code": "underspecified",
            "summary": self.text("Nothing says what is slow."),
            "evidence": [{"kind": "command", "argv": ["cargo", self.text("bench")], "exit": 101, "excerpt": self.text("no benchmarks")},
                {"kind": "file", "excerpt": "attempt.diff: the work that did not pass", "artifact": digest}],
            "attempted": [{"approach": self.text("profiling"), "outcome": self.text("nothing stood out")}],
            "what_would_unblock": [
                {"action": self.text("name the function"), "detail": self.text("with a benchmark"), "patchable": false},
                {"action": self.text("add a benchmark"), "detail": self.text("Add a benchmark of parse."), "patchable": true},
            ],
            "questions": [self.text("Which input is slow?")], "confidence": 0.2, "threshold": 0.6, "cost": cost(), "retryable": false,
        }))
        .unwrap();
        let end = AttemptEnd::BowedOut(Box::new(bow_out));
        self.store().finish(&lease, WORKER, &end, &[], self.running.now()).unwrap().unwrap();
        self.running.pass(Duration::from_secs(1));
    }

    fn failed(&self, number: u32) {
        self.queue(number, "other/site", "Update the logo");
        for _ in 0..3 {
            let lease = self.claim(number);
            let end = AttemptEnd::Failed {
                error: self.text("the engine is gone"),
                cost: serde_json::from_value(cost()).unwrap(),
            };
            self.store().finish(&lease, WORKER, &end, &[], self.running.now()).unwrap().unwrap();
            self.running.pass(Duration::from_secs(600));
        }
    }

    /// What is known of `acme/api`.
    pub(crate) fn profile(&self) {
        let repo: RepoId = "acme/api".parse().unwrap();
        let profile = json!({
            "schema_version": 1, "ecosystems": ["rust"],
            "commands": [{"kind": "test", "argv": ["cargo", self.text("test")], "cwd": "."}],
            "gaps": [self.text("no linter is set up")], "rejected": [],
        });
        self.store().put_profile(&repo, &Digest::of("profile"), &profile, self.running.now()).unwrap();
    }

    pub(crate) fn lease(number: u32) -> LeaseKey {
        LeaseKey { task: task(number), attempt: Attempt(1) }
    }
}
