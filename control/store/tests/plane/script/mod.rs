//! A store as it is talked to in a test: a line asks for something at a time, and the answer is a line.
//!
//! `2s claim w1 labels=gpu` is what worker `w1` asks for two seconds after the script began, with a token of the same name.
//! Tasks are numbers, an attempt is `TASK/NUMBER`. Whatever a store answers wrongly shows in a line, so one text says what
//! every backend has to do.

mod answers;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use answers::*;
use gloaming_api::access::{NewToken, RepoPattern};
use gloaming_api::bowout::{BowOut, Cost, Stage, Unblock};
use gloaming_api::task::{NewTask, PullRequest, Source, TaskKind, TaskState};
use gloaming_api::worker::{ChangedBlob, LeaseKey, Renewal, VerifiedChange};
use gloaming_api::{Attempt, Digest, ReasonCode, RepoId, TaskId};
use gloaming_store::{
    AttemptEnd, Claimant, Delivery, EffectEnd, Idempotency, Kinds, NewEffect, Share, Store, Submission,
    TaskFilter,
};
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::json;

/// When scripts begin.
pub(crate) fn epoch() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().expect("a time")
}

/// The id of a task of a script.
pub(crate) fn task_id(number: u64) -> TaskId {
    format!("t-{number:020}").parse().expect("an id")
}

/// Reads a line: a time, a call, its subjects, and what else is named.
struct Line<'a> {
    now: Timestamp,
    call: &'a str,
    words: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Self {
        let mut parts = line.split_whitespace();
        let now = epoch() + seconds(parts.next().expect("a time"));
        let call = parts.next().expect("a call");
        let (named, words): (Vec<&str>, Vec<&str>) = parts.partition(|part| part.contains('='));
        let named = named.into_iter().filter_map(|part| part.split_once('=')).collect();
        Self { now, call, words, named }
    }

    fn word(&self, at: usize) -> &'a str {
        self.words.get(at).copied().unwrap_or_else(|| panic!("{} wants more words", self.call))
    }

    fn task(&self) -> TaskId {
        task_id(number(self.word(0)))
    }

    fn repo(&self) -> RepoId {
        self.word(0).parse().expect("a repository")
    }

    /// The lease of the first word, and the token of the second.
    fn lease(&self) -> (LeaseKey, &'a str) {
        let (task, attempt) = self.word(0).split_once('/').expect("TASK/NUMBER");
        let attempt = Attempt(number(attempt));
        (LeaseKey { task: task_id(number(task)), attempt }, self.word(1))
    }

    fn list(&self, name: &str) -> Vec<String> {
        let listed = self.named.get(name).into_iter().flat_map(|list| list.split(','));
        listed.filter(|one| !one.is_empty()).map(str::to_owned).collect()
    }

    fn number<T: std::str::FromStr>(&self, name: &str, usual: T) -> T {
        self.named.get(name).map_or(usual, |text| number(text))
    }

    fn hold(&self) -> Duration {
        Duration::from_secs(self.number("hold", 60))
    }

    fn effects(&self) -> Vec<NewEffect> {
        self.list("effect").into_iter().map(|key| effect(&key)).collect()
    }

    fn patterns(&self, usual: &str) -> Vec<RepoPattern> {
        let listed = self.named.get("repos").copied().unwrap_or(usual).split(',');
        listed.filter(|one| !one.is_empty()).map(|one| one.parse().expect("a pattern")).collect()
    }

    fn end(&self, kind: &str, task: &TaskId, attempt: Attempt) -> AttemptEnd {
        let cost = cost(self.number("usd", 1.0));
        match kind {
            "verified" => AttemptEnd::Verified(Box::new(change(cost))),
            "bowed" => AttemptEnd::BowedOut(Box::new(bow_out(task, attempt, cost))),
            "failed" => AttemptEnd::Failed { error: "no route to host".into(), cost },
            "onboarded" => AttemptEnd::Onboarded { cost },
            "stopped" => AttemptEnd::Cancelled { cost },
            other => panic!("no end is called {other}"),
        }
    }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn seconds(text: &str) -> SignedDuration {
    SignedDuration::from_secs(number(text.trim_end_matches('s')))
}

fn worded<T: DeserializeOwned>(word: &str) -> T {
    serde_json::from_value(json!(word)).unwrap_or_else(|_| panic!("nothing is called {word:?}"))
}

fn cost(usd: f64) -> Cost {
    Cost { usd, calls: 2, tokens: 100, tool_bytes: 10, wall_s: usd / 3.0 }
}

fn effect(key: &str) -> NewEffect {
    let kind = key.split(['-', ':']).next().unwrap_or(key);
    NewEffect {
        key: key.to_owned(),
        kind: kind.to_owned(),
        payload: json!({ "of": key, "share": 1.0 / 3.0 }),
    }
}

fn change(cost: Cost) -> VerifiedChange {
    let blob = ChangedBlob {
        path: gloaming_api::RelPath::parse("src/lib.rs").expect("a path"),
        mode: "100644".into(),
        content: Some(Digest::of("content")),
    };
    VerifiedChange {
        base: "b".repeat(40),
        tree: "c".repeat(40),
        blobs: vec![blob],
        patch: Digest::of("patch"),
        evidence: Digest::of("evidence"),
        description: "It is done.".into(),
        cost,
    }
}

fn bow_out(task: &TaskId, attempt: Attempt, cost: Cost) -> BowOut {
    BowOut {
        schema_version: 1,
        task_id: task.clone(),
        attempt,
        stage: Stage::Code,
        reason_code: ReasonCode::Stuck,
        summary: "It got stuck.".into(),
        evidence: Vec::new(),
        attempted: Vec::new(),
        what_would_unblock: vec![Unblock::by_hand("split it", "ask for less at once")],
        questions: Vec::new(),
        confidence: None,
        threshold: Some(0.1 + 0.2),
        cost,
        retryable: true,
    }
}

/// Does what a line asks for, and returns the answer.
pub(crate) fn answer(store: &dyn Store, line: &str) -> String {
    let line = Line::read(line);
    let done =
        ask_queue(store, &line).or_else(|| ask_outbox(store, &line)).or_else(|| ask_rest(store, &line));
    match done.unwrap_or_else(|| panic!("no call is named {}", line.call)) {
        Ok(answer) => answer,
        Err(error) => format!("error: {}", error.source),
    }
}

type Answer = Option<Result<String, gloaming_store::StoreError>>;

fn ask_queue(store: &dyn Store, line: &Line<'_>) -> Answer {
    let now = line.now;
    Some(match line.call {
        "submit" => {
            let after = line.named.get("after").map(|after| epoch() + seconds(after));
            let new = NewTask {
                repo: line.word(1).parse().expect("a repository"),
                kind: if line.named.contains_key("onboard") { TaskKind::Onboard } else { TaskKind::Change },
                text: "Fix it.".into(),
                base: None,
                priority: line.number("priority", 0),
                not_before: after,
                supersede: line.named.get("key").map(|key| (*key).to_owned()),
                needs: line.list("needs"),
                cost_usd: None,
            };
            let idempotency = line.named.get("once").map(|once| {
                let (key, request) = once.split_once(':').expect("once=KEY:REQUEST");
                Idempotency { scope: "token".into(), key: key.into(), request: Digest::of(request) }
            });
            let submission = Submission {
                id: line.task(),
                new,
                source: Source::Api,
                asker: "token:bot".into(),
                by_name: true,
                idempotency,
                effects: line.effects(),
            };
            store.submit(&submission, now).map(|done| submitted(&done))
        }
        "claim" => {
            let worker = line.word(0).to_owned();
            let token = line.named.get("token").map_or_else(|| worker.clone(), |token| (*token).to_owned());
            let claimant = Claimant { worker, token, labels: line.list("labels"), repos: line.patterns("*") };
            store
                .claim(&claimant, line.hold(), now)
                .map(|done| done.map_or("nothing".into(), |done| claimed(&done)))
        }
        "renew" => {
            let (lease, token) = line.lease();
            let renewal = Renewal {
                stage: line.named.get("stage").map(|stage| worded(stage)),
                doing: line.named.get("doing").copied().unwrap_or_default().to_owned(),
                cost: cost(line.number("usd", 0.0)),
                grant: line.named.get("grant").map(Digest::of),
            };
            let done = store.renew(&lease, token, &renewal, line.hold(), now);
            done.map(|done| {
                taken(done, |renewed| {
                    format!("{} s{}", renewed.expires_s, if renewed.cancel { ", stop" } else { "" })
                })
            })
        }
        "holds" => {
            let (lease, token) = line.lease();
            store.holds(&lease, token, now).map(|holds| holds.to_string())
        }
        "append" => {
            let (lease, token) = line.lease();
            let done = store.append(&lease, token, line.number("from", 0), &line.words[2..], now);
            done.map(|done| taken(done, |next| format!("next is {next}")))
        }
        "artifact" => {
            let (lease, token) = line.lease();
            let content = line.word(2);
            let done = store.put_artifact(&lease, token, &Digest::of(content), content.as_bytes(), now);
            done.map(|done| taken(done, |()| "kept".into()))
        }
        "keep" => {
            let content = line.word(1);
            let kept = store.keep_artifact(&line.task(), &Digest::of(content), content.as_bytes());
            kept.map(|kept| kept.to_string())
        }
        "finish" => {
            let (lease, token) = line.lease();
            let end = line.end(line.word(2), &lease.task, lease.attempt);
            let done = store.finish(&lease, token, &end, &line.effects(), now);
            done.map(|done| taken(done, |state| state.as_str().into()))
        }
        "release" => {
            let (lease, token) = line.lease();
            store
                .release(&lease, token, now)
                .map(|done| taken(done, |took| format!("taken back{}", told_cost(&took))))
        }
        "sweep" => store
            .sweep(now)
            .map(|lost| listed(&lost, " ", |(task, took)| format!("{}{}", short(task), told_cost(took)))),
        "grace" => store.grace(line.hold(), now).map(|held| format!("{held} leases")),
        "let-go" => store.let_go(now).map(|taken| format!("{taken} taken")),
        "cancel" => {
            let by = line.words.get(1).copied().unwrap_or("somebody");
            store
                .cancel(&line.task(), by, &line.effects(), now)
                .map(|state| known(state, |state| state.as_str().into()))
        }
        "retry" => store.retry(&line.task(), "somebody", now).map(|done| {
            known(done, |done| {
                done.map_or_else(|state| format!("no: {}", state.as_str()), |()| "queued".into())
            })
        }),
        "follow-up" => {
            let most = line.number("most", 2);
            let done = store.follow_up(&line.task(), line.word(1), "reviewer", most, now);
            done.map(|done| known(done, |done| done.to_string()))
        }
        "published" => {
            let number = number(line.word(1));
            let request = PullRequest {
                number,
                url: format!("https://forge.example/{number}"),
                branch: line.task().branch(),
                commit: "d".repeat(40),
                outcome: None,
            };
            store.published(&line.task(), &request, &line.effects(), now).map(|done| done.to_string())
        }
        "unpublished" => {
            let task = line.task();
            let end = line.end(line.word(1), &task, Attempt(1));
            store.unpublished(&task, &end, &line.effects(), now).map(|done| done.to_string())
        }
        "publish-again" => {
            let attempt = Attempt(line.number("attempt", 1));
            store
                .publish_again(&line.task(), attempt, line.number("effect", 0), line.word(1), now)
                .map(|done| done.to_string())
        }
        "outcome" => store.outcome(&line.task(), worded(line.word(1)), now).map(|done| done.to_string()),
        "share" => {
            let share = Share { weight: line.number("weight", 100), running: line.number("running", 4) };
            let of: RepoPattern = line.word(0).parse().expect("repositories");
            store.shares().and_then(|mut shares| {
                shares.push((of, share));
                store.set_shares(&shares, now).map(|()| "set".into())
            })
        }
        "unshare" => store.set_shares(&[], now).map(|()| "set".into()),
        "shares" => store.shares().map(|shares| {
            listed(&shares, "; ", |(of, share)| format!("{of} {} of {}", share.running, share.weight))
        }),
        "share-of" => store.share(&line.repo()).map(|share| format!("{} of {}", share.running, share.weight)),
        "show" => store.task(&line.task()).map(|record| known(record, |record| shown(&record))),
        "list" => {
            let filter = TaskFilter {
                repos: line.named.contains_key("repos").then(|| line.patterns("")),
                repo: line.named.get("repo").map(|repo| repo.parse().expect("a repository")),
                state: line.named.get("state").and_then(|state| TaskState::named(state)),
                before: line.named.get("before").map(|before| task_id(number(before))),
                limit: line.number("limit", 100),
            };
            store.tasks(&filter).map(|tasks| listed(&tasks, " ", |task| short(&task.id)))
        }
        "events" => store
            .events(&line.task(), line.number("after", 0), line.number("limit", 100))
            .map(|events| listed(&events, "; ", event)),
        "feed" => store.feed(line.number("after", 0), line.number("limit", 100)).map(|told| {
            listed(&told, "; ", |told| {
                format!("{}: {} {}", told.position, short(&told.task), event(&told.event))
            })
        }),
        "journal" => {
            let (lease, _) = line.lease();
            let (from, limit) = (line.number("from", 0), line.number("limit", 100));
            store
                .journal(&lease.task, lease.attempt, from, limit)
                .map(|lines| listed(&lines, " ", String::clone))
        }
        "get" => store
            .artifact(&line.task(), &Digest::of(line.word(1)))
            .map(|content| known(content, |content| String::from_utf8_lossy(&content).into_owned())),
        "figures" => store.figures(epoch() + seconds(line.word(0))).map(|tasks| listed(&tasks, "; ", figure)),
        "load" => store.load(now).map(|there| load(&there)),
        "forget" => {
            let before = epoch() + seconds(line.word(0));
            store.forget(before, now).map(|gone| {
                format!("{} tasks{}", gone.tasks, if gone.more { ", and there are more" } else { "" })
            })
        }
        "forget-audit" => {
            let before = epoch() + seconds(line.word(0));
            store.forget_audit(before, now).map(|entries| format!("{entries} entries"))
        }
        _ => return None,
    })
}

fn ask_outbox(store: &dyn Store, line: &Line<'_>) -> Answer {
    let now = line.now;
    let limit = line.number("limit", 100);
    Some(match line.call {
        "effect" => {
            let task = line.words.get(1).map(|task| task_id(number(task)));
            store.add_effect(task.as_ref(), &effect(line.word(0)), now).map(|()| "written down".into())
        }
        "effects" => {
            let (only, except) = (line.list("kinds"), line.list("but"));
            let only: Vec<&str> = only.iter().map(String::as_str).collect();
            let except: Vec<&str> = except.iter().map(String::as_str).collect();
            let kinds = if only.is_empty() { Kinds::Except(&except) } else { Kinds::Only(&only) };
            store.effects(kinds, limit, line.hold(), now).map(|due| listed(&due, "; ", one_effect))
        }
        "effect-done" => {
            let end = EffectEnd::Done(json!({ "url": line.word(0), "share": 0.1 + 0.2 }));
            store.effect_ended(number(line.word(0)), &end, now).map(|()| "noted".into())
        }
        "effect-later" => {
            let end = EffectEnd::Later { at: epoch() + seconds(line.word(1)), error: "503".into() };
            store.effect_ended(number(line.word(0)), &end, now).map(|()| "noted".into())
        }
        "effect-dead" => {
            let end = EffectEnd::Dead { error: "410".into() };
            store.effect_ended(number(line.word(0)), &end, now).map(|()| "noted".into())
        }
        "dead" => store
            .dead_effects(limit)
            .map(|dead| listed(&dead, "; ", |(effect, error)| format!("{} {error}", one_effect(effect)))),
        "revive" => store.revive_effect(number(line.word(0)), now).map(|done| done.to_string()),
        "result" => store.effect_done(line.word(0)).map(|value| known(value, |value| value.to_string())),
        "deliver" => {
            let body = format!("{{\"id\": {:?}}}", line.word(1)).into_bytes();
            let (sender, id) = (line.word(0).to_owned(), line.word(1).to_owned());
            let delivery = Delivery { sender, id, event: "issues".into(), body };
            store.deliver(&delivery, now).map(|fresh| fresh.to_string())
        }
        "deliveries" => store.deliveries(line.word(0), limit, line.hold(), now).map(|due| {
            listed(&due, "; ", |one| {
                format!("{} {} {} {}", one.sender, one.id, one.event, String::from_utf8_lossy(&one.body))
            })
        }),
        "delivered" => {
            let error = line.words.get(2).copied();
            store.delivered(line.word(0), line.word(1), error, now).map(|()| "noted".into())
        }
        _ => return None,
    })
}

fn ask_rest(store: &dyn Store, line: &Line<'_>) -> Answer {
    let now = line.now;
    Some(match line.call {
        "token" => {
            let new = NewToken {
                name: format!("name-of-{}", line.word(0)),
                scopes: line.list("scopes").iter().map(|scope| scope.parse().expect("a scope")).collect(),
                repos: line.patterns("*"),
                expires_s: line.named.get("expires").map(|expires| number(expires)),
            };
            let id = line.word(0);
            store.add_token(id, &Digest::of(id), &new, now).map(|()| "kept".into())
        }
        "token-show" => store.token(line.word(0)).map(|found| known(found, |(view, _)| token(&view))),
        "token-secret" => store
            .token(line.word(0))
            .map(|found| known(found, |(_, secret)| (secret == Digest::of(line.word(0))).to_string())),
        "tokens" => store.tokens().map(|tokens| listed(&tokens, " ", |view| view.id.clone())),
        "token-used" => store.token_used(line.word(0), now).map(|()| "noted".into()),
        "revoke" => store.revoke_token(line.word(0), now).map(|done| done.to_string()),
        "audit" => {
            let subject = line.words.get(2).copied().unwrap_or_default();
            store
                .audit(line.word(0), line.word(1), "submit_task", subject, "", now)
                .map(|()| "written".into())
        }
        "audit-log" => store
            .audit_log(line.number("after", 0), line.number("limit", 100))
            .map(|entries| listed(&entries, "; ", audited)),
        "profile-put" => {
            let key = Digest::of(line.word(1));
            let profile = json!({ "of": line.word(1), "share": 1.0 / 3.0 });
            store.put_profile(&line.repo(), &key, &profile, now).map(|()| "kept".into())
        }
        "profile" => store
            .profile(&line.repo())
            .map(|found| known(found, |(key, profile)| format!("{profile} of {}", &key.hex()[..8]))),
        "profile-key" => {
            store.profile_key(&line.repo()).map(|found| known(found, |key| key.hex()[..8].to_owned()))
        }
        "set" => match line.words.get(2) {
            None => store.set_value(line.word(0), line.word(1)),
            Some(task) => store.set_value_of(&task_id(number(task)), line.word(0), line.word(1)),
        }
        .map(|()| "kept".into()),
        "value" => store.value(line.word(0)).map(|value| known(value, |value| value)),
        _ => return None,
    })
}

/// Everything that a store can be asked without changing it, to compare two.
pub(crate) fn dump(store: &dyn Store, tasks: u64, effects: &[String]) -> String {
    let mut all = String::new();
    let mut ask = |line: String| writeln!(all, "{line} = {}", answer(store, &line)).expect("text");
    for task in 1..=tasks {
        ask(format!("0 show {task}"));
        ask(format!("0 events {task} limit=1000"));
        ask(format!("0 get {task} content"));
        for attempt in 1..=3 {
            ask(format!("0 journal {task}/{attempt} - limit=1000"));
        }
    }
    for line in [
        "list limit=1000",
        "feed limit=10000",
        "dead",
        "tokens",
        "audit-log limit=10000",
        "load",
        "figures 0",
    ] {
        ask(format!("0 {line}"));
    }
    effects.iter().for_each(|key| ask(format!("0 result {key}")));
    all
}
