//! One repository on a code host, one store, and a worker's result: what every test here begins with.

use std::sync::Arc;
use std::time::Duration;

use gloaming_api::access::NewToken;
use gloaming_api::bowout::{Cost, Stage};
use gloaming_api::evidence::Evidence;
use gloaming_api::task::{NewTask, Source, TaskView};
use gloaming_api::worker::{
    AttemptResult, ChangedBlob, Control as _, ControlError, LeaseKey, Renewal, VerifiedChange,
};
use gloaming_api::{Digest, RepoId, TaskId, canonical_json};
use gloaming_forge::CodeHost;
use gloaming_gate::Gate;
use gloaming_gate::envelope::SigningKey;
use gloaming_policies::{Grant, Layer, parse};
use gloaming_server::feed::Teller;
use gloaming_server::publish::{Executor, Grants, Publisher};
use gloaming_server::{
    Acceptor, Claim, Clock, InProcess, Policies, Refusal, Server, Settings, envelope_value,
};
use gloaming_store::{
    Claimant, Effect, EffectEnd, Kinds, Limits, MemoryStore, Store, Submission, Submitted, TaskFilter,
    TaskRecord,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub(crate) const TOKEN: &str = "w";
const LEASE: Duration = Duration::from_secs(3_600);

/// The time at which every test begins.
pub(crate) fn start() -> Timestamp {
    "2026-11-27T12:00:00Z".parse().expect("a time")
}

/// What evidence is sealed with.
pub(crate) fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// A file of a change: its path, mode and content; none where it is removed.
pub(crate) type Changed<'a> = (&'a str, &'a str, Option<&'a str>);

/// A worker's result, with what it uploads.
#[derive(Clone)]
pub(crate) struct Result {
    pub(crate) lease: LeaseKey,
    pub(crate) change: VerifiedChange,
    pub(crate) evidence: Vec<u8>,
    pub(crate) patch: Vec<u8>,
}

/// A store and a code host, and the time between them.
pub(crate) struct Scene {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) executor: Executor,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) grants: Grants,
    pub(crate) repo: RepoId,
    pub(crate) now: Timestamp,
}

impl Scene {
    pub(crate) fn new(host: Arc<dyn CodeHost>, repo: &str) -> Self {
        Self::under(host, repo, Limits::default(), "")
    }

    /// Makes one in which a store's limits and more of an operator's policy count.
    pub(crate) fn under(host: Arc<dyn CodeHost>, repo: &str, limits: Limits, policy: &'static str) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(limits));
        let grants: Grants = Arc::new(move |repo: &RepoId| {
            let text = format!("schema = 1\nrepos = [\"*\"]\nextends = [\"preset:standard\"]\n{policy}");
            let file = parse("operator.toml", &text).map_err(|found| format!("{found:?}"))?;
            Grant::resolve(repo, vec![(Layer::Operator, file)]).map_err(|found| format!("{found:?}"))
        });
        let publisher = Arc::new(Publisher::new(Gate::default(), grants.clone()));
        let worker: NewToken =
            serde_json::from_value(json!({"name": "one", "scopes": ["worker"], "repos": ["*"]}))
                .expect("a token");
        store.add_token(TOKEN, &Digest::of("its secret"), &worker, start()).expect("a store");
        let executor = Executor::new(store.clone(), host, Gate::default(), key());
        let repo = repo.parse().expect("a repository");
        Self { store, executor, publisher, grants, repo, now: start() }
    }

    /// Has effects done on another code host, or the same by another client.
    pub(crate) fn host_is(&mut self, host: Arc<dyn CodeHost>) {
        self.executor = Executor::new(self.store.clone(), host, Gate::default(), key());
    }

    pub(crate) fn submit(&self, source: Source, by_name: bool) -> TaskId {
        let new: NewTask =
            serde_json::from_value(json!({"repo": self.repo, "text": "Greet by name"})).expect("a task");
        let submission = Submission {
            id: TaskId::generate(),
            new,
            source,
            asker: "github:alice".to_owned(),
            by_name,
            idempotency: None,
            effects: Vec::new(),
        };
        match self.store.submit(&submission, self.now).expect("a store") {
            Submitted::New(task) => task,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn claim(&self) -> LeaseKey {
        let claimant = Claimant {
            worker: "one".to_owned(),
            token: TOKEN.to_owned(),
            labels: Vec::new(),
            repos: vec!["*".parse().expect("a pattern")],
        };
        self.store.claim(&claimant, LEASE, self.now).expect("a store").expect("a task").lease
    }

    /// Has the worker say at which stage it is.
    pub(crate) fn stage(&self, lease: &LeaseKey, stage: Stage) {
        let doing = "something".to_owned();
        let renewal = Renewal { stage: Some(stage), doing, cost: Cost::default(), grant: None };
        let renewed = self.store.renew(lease, TOKEN, &renewal, LEASE, self.now).expect("a store");
        renewed.expect("it holds");
    }

    /// Makes and uploads what a worker would say of a change that makes `tree` of `base`.
    pub(crate) fn result(&self, lease: &LeaseKey, base: &str, tree: &str, files: &[Changed<'_>]) -> Result {
        let patch = format!("a patch to {tree}\n").into_bytes();
        let mut blobs = Vec::new();
        for (path, mode, content) in files {
            let content = content.map(|content| self.upload(lease, content.as_bytes()));
            let path = path.parse_path();
            blobs.push(ChangedBlob { path, mode: (*mode).to_owned(), content });
        }
        let evidence: Evidence =
            serde_json::from_value(evidence(lease, &self.repo, base, tree, &patch, files)).expect("evidence");
        let bytes = canonical_json(&evidence).into_bytes();
        let change = VerifiedChange {
            base: base.to_owned(),
            tree: tree.to_owned(),
            blobs,
            patch: self.upload(lease, &patch),
            evidence: self.upload(lease, &bytes),
            description: "It greets by name now.".to_owned(),
            cost: Cost::default(),
        };
        Result { lease: lease.clone(), change, evidence: bytes, patch }
    }

    fn upload(&self, lease: &LeaseKey, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let kept = self.store.put_artifact(lease, TOKEN, &digest, content, self.now).expect("a store");
        kept.expect("the lease holds");
        digest
    }

    /// Returns the only task.
    pub(crate) fn only(&self) -> TaskView {
        let mut all = self.store.tasks(&TaskFilter { limit: 9, ..TaskFilter::default() }).expect("a store");
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// Returns the sealed evidence of an attempt, where there is any.
    pub(crate) fn sealed(&self, lease: &LeaseKey) -> Option<Vec<u8>> {
        let digest = self.store.value(&envelope_value(&lease.task, lease.attempt)).expect("a store")?;
        self.store.artifact(&lease.task, &digest.parse().expect("a digest")).expect("a store")
    }

    pub(crate) fn record(&self, task: &TaskId) -> TaskRecord {
        self.store.task(task).expect("a store").expect("a task")
    }

    /// Judges a result.
    pub(crate) fn judge(&self, result: &Result) -> std::result::Result<gloaming_server::Accepted, Refusal> {
        let record = self.record(&result.lease.task);
        self.publisher.accept(&Claim {
            lease: &result.lease,
            task: &record,
            change: &result.change,
            evidence: &result.evidence,
            patch: &result.patch,
        })
    }

    /// Asks the server as a worker in its process does, under some policies.
    pub(crate) fn ask<T: Send>(
        &self,
        policies: Policies,
        ask: impl AsyncFnOnce(InProcess) -> std::result::Result<T, ControlError> + Send,
    ) -> T {
        let (now, publisher) = (self.now, Arc::clone(&self.publisher));
        let clock: Clock = Arc::new(move || now);
        let server = Server::new(self.store.clone(), Settings::default(), clock, policies, publisher);
        let worker = server.expect("no TLS").in_process(TOKEN);
        // A thread of its own: who asks may be in the middle of another runtime.
        let asked = move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            runtime.block_on(ask(worker))
        };
        std::thread::scope(|threads| threads.spawn(asked).join()).expect("no panic").expect("it is taken")
    }

    /// Tells the server how an attempt ended.
    pub(crate) fn end(&self, lease: &LeaseKey, result: &AttemptResult) {
        let policies = Policies::open(None).expect("the preset is good");
        self.ask(policies, async |worker: InProcess| worker.result(lease, result).await);
    }

    /// Hands a change over, which ends its attempt.
    pub(crate) fn finish(&self, result: &Result) {
        self.end(&result.lease, &AttemptResult::Verified(Box::new(result.change.clone())));
    }

    pub(crate) fn due(&self) -> Vec<Effect> {
        self.store.effects(Kinds::ALL, 10, Duration::from_secs(60), self.now).expect("a store")
    }

    /// Does everything that was written down, however long it takes. `lose` says of which run, counted from 0, the process
    /// is killed after the effect and before the store hears of it.
    pub(crate) async fn work(&mut self, lose: Option<usize>) -> Vec<String> {
        let mut told = Vec::new();
        let teller = Teller::new(self.store.clone(), Vec::new(), false).with_checks(true);
        for run in 0..200 {
            while teller.pass(self.now).expect("a store") > 0 {}
            let Some(effect) = self.due().into_iter().next() else {
                let load = self.store.load(self.now).expect("a store");
                if load.effects == 0 {
                    return told;
                }
                self.now += SignedDuration::from_secs(61);
                continue;
            };
            let end = self.executor.run(&effect, self.now).await;
            if let EffectEnd::Dead { error } | EffectEnd::Later { error, .. } = &end {
                told.push(format!("{}: {error}", effect.what.kind));
            }
            if lose == Some(run) {
                self.now += SignedDuration::from_secs(61);
                continue;
            }
            self.store.effect_ended(effect.id, &end, self.now).expect("a store");
        }
        panic!("effects do not end: {told:?}");
    }
}

trait ParsePath {
    fn parse_path(&self) -> gloaming_api::RelPath;
}

impl ParsePath for &str {
    fn parse_path(&self) -> gloaming_api::RelPath {
        gloaming_api::RelPath::parse(self).expect("a path")
    }
}

fn evidence(
    lease: &LeaseKey,
    repo: &RepoId,
    base: &str,
    tree: &str,
    patch: &[u8],
    files: &[Changed<'_>],
) -> Value {
    let files: Vec<Value> = files
        .iter()
        .map(|(path, _, content)| {
            let change = if content.is_some() { "modified" } else { "deleted" };
            let role = if path.starts_with("tests") { "test" } else { "code" };
            json!({"path": path, "change": change, "added": 1, "removed": 1, "binary": false, "role": role})
        })
        .collect();
    let steps: Vec<Value> = ["V0", "V1", "V2", "V3", "V5", "V7", "V8"]
        .map(|step| json!({"step": step, "result": "pass", "detail": "seen"}))
        .into();
    json!({
        "schema_version": 1, "task": lease.task, "attempt": lease.attempt, "repo": repo, "base": base,
        "patch": Digest::of(patch), "tree": tree, "origin": {"kind": "model", "name": "openai:gpt-5"},
        "grant": Digest::of("grant"), "files": files, "steps": steps, "jobs": [],
        "baseline_tests": {"greets": "passed"}, "patched_tests": {"greets": "passed", "by_name": "passed"},
        "fail_to_pass": ["by_name"], "flaky": [], "signals": []
    })
}
