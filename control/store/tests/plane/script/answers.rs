//! What a store answered, in a line. Times are seconds after the script began, digests their first digits.

use gloaming_api::TaskId;
use gloaming_api::access::TokenView;
use gloaming_api::bowout::Cost;
use gloaming_api::task::{TaskEvent, TaskEventKind, TaskKind};
use gloaming_store::{AuditEntry, Claimed, Effect, Figure, Load, Refused, Submitted, TaskRecord};
use jiff::Timestamp;
use serde_json::Value;

pub(crate) fn short(id: &TaskId) -> String {
    id.as_str().trim_start_matches("t-").trim_start_matches('0').to_owned()
}

fn time(at: Timestamp) -> String {
    let since = at.duration_since(super::epoch());
    if since.subsec_nanos() == 0 { format!("{}s", since.as_secs()) } else { at.to_string() }
}

pub(crate) fn listed<T>(list: &[T], between: &str, one: impl Fn(&T) -> String) -> String {
    match list {
        [] => "none".into(),
        _ => list.iter().map(one).collect::<Vec<_>>().join(between),
    }
}

pub(crate) fn known<T>(found: Option<T>, one: impl FnOnce(T) -> String) -> String {
    found.map_or("unknown".into(), one)
}

pub(crate) fn taken<T>(done: Result<T, Refused>, one: impl FnOnce(T) -> String) -> String {
    match done {
        Ok(value) => one(value),
        Err(Refused::Lost) => "refused: the lease is lost".into(),
        Err(Refused::Gap(next)) => format!("refused: {next} is wanted next"),
        Err(Refused::Ended) => "refused: it ended in another way".into(),
        Err(Refused::Full) => "refused: it is too much".into(),
    }
}

pub(crate) fn submitted(done: &Submitted) -> String {
    match done {
        Submitted::New(task) => format!("new {}", short(task)),
        Submitted::Again(task) => format!("again {}", short(task)),
        Submitted::Conflict => "conflict".into(),
        Submitted::Full => "full".into(),
    }
}

pub(crate) fn claimed(done: &Claimed) -> String {
    let (task, attempt) = (short(&done.lease.task), done.lease.attempt);
    assert_eq!((&done.task.id, done.task.attempt), (&done.lease.task, attempt), "the lease is of the task");
    format!("{task}/{attempt} {} until {}", done.task.repo, time(done.expires_at))
}

/// What is not usual of a task: whatever is none, nothing, or the same for each task of a script, is left out.
pub(crate) fn shown(record: &TaskRecord) -> String {
    let view = &record.view;
    let mut said = vec![
        view.state.as_str().to_owned(),
        format!("{} attempt {} at {}", view.repo, view.attempt, time(view.updated_at)),
    ];
    let mut say =
        |what: &str, value: Option<String>| said.extend(value.map(|value| format!("{what} {value}")));
    say("priority", Some(view.priority.to_string()).filter(|_| view.priority != 0));
    say("not before", view.not_before.map(time));
    say("asked", view.cancelling.then(|| "to stop".into()));
    say("stage", view.stage.map(|stage| stage.as_str().into()));
    say("doing", view.doing.clone());
    say("usd", Some(view.cost.usd.to_string()).filter(|_| view.cost.usd != 0.0));
    say("tokens", Some(view.cost.tokens.to_string()).filter(|_| view.cost.tokens != 0));
    say(
        "pull request",
        view.pull_request.as_ref().map(|request| {
            let outcome = request.outcome.map_or(Value::Null, |outcome| serde_json::json!(outcome));
            format!("{} {outcome}", request.number)
        }),
    );
    say(
        "bow-out",
        view.bow_out.as_ref().map(|bow_out| format!("{} {:?}", bow_out.summary, bow_out.threshold)),
    );
    say("failure", view.failure.clone());
    say("superseded by", view.superseded_by.as_ref().map(short));
    say("grant", view.grant.as_ref().map(|grant| grant.hex()[..8].to_owned()));
    say("change of", record.change.as_ref().map(|change| change.description.clone()));
    say("follow-ups", Some(record.follow_ups.to_string()).filter(|_| record.follow_ups != 0));
    say("text", Some(format!("{:?}", view.text)).filter(|_| view.text != record.new.text));
    said.join(", ")
}

pub(crate) fn event(event: &TaskEvent) -> String {
    use TaskEventKind as Kind;
    let what = match &event.kind {
        Kind::Submitted { asker } => format!("submitted by {asker}"),
        Kind::Leased { attempt, worker } => format!("leased {attempt} to {worker}"),
        Kind::Progress { attempt, stage, detail } => {
            format!("progress {attempt} {} {detail}", stage.as_str())
        }
        Kind::LeaseExpired { attempt } => format!("expired {attempt}"),
        Kind::Released { attempt } => format!("released {attempt}"),
        Kind::AttemptFailed { attempt, error } => format!("failed {attempt}: {error}"),
        Kind::Verified { attempt } => format!("verified {attempt}"),
        Kind::Ended { state, detail } => format!("ended {}: {detail}", state.as_str()),
        Kind::CancelAsked { by } => format!("cancel asked by {by}"),
        Kind::Retried { by } => format!("retried by {by}"),
        Kind::Outcome { outcome } => format!("outcome {}", serde_json::json!(outcome)),
    };
    format!("{} at {} {what}", event.seq, time(event.at))
}

/// What an attempt took, where it took anything.
pub(crate) fn told_cost(took: &Cost) -> String {
    if took.usd > 0.0 { format!(" after usd {}", took.usd) } else { String::new() }
}

pub(crate) fn one_effect(effect: &Effect) -> String {
    let task = effect.task.as_ref().map(|task| format!(" of {}", short(task))).unwrap_or_default();
    let what = &effect.what;
    assert_eq!(what.payload, super::effect(&what.key).payload, "the payload comes back as it was given");
    let before = if effect.tried && effect.tries == 0 { ", and before" } else { "" };
    format!("{} {} {}{task} tried {}{before}", effect.id, what.kind, what.key, effect.tries)
}

pub(crate) fn figure(figure: &Figure) -> String {
    let reason = figure.reason.map_or("-", |reason| reason.as_str());
    let request = figure.pull_request.map_or("-".into(), |outcome| serde_json::json!(outcome).to_string());
    format!(
        "{}{} {} from {} to {} request {request} reason {reason} usd {}",
        figure.repo,
        if figure.kind == TaskKind::Onboard { " onboarding" } else { "" },
        figure.state.as_str(),
        time(figure.created_at),
        time(figure.updated_at),
        figure.cost.usd
    )
}

pub(crate) fn load(load: &Load) -> String {
    let tasks: Vec<(&str, &u64)> = load.tasks.iter().map(|(state, count)| (state.as_str(), count)).collect();
    let tasks = listed(&tasks, " ", |(state, count)| format!("{state} {count}"));
    let since = load.ready_since.map_or("-".into(), time);
    format!(
        "{tasks}; ready {} since {since}; effects {} dead {}; deliveries {}",
        load.ready, load.effects, load.dead_effects, load.deliveries
    )
}

pub(crate) fn token(view: &TokenView) -> String {
    let scopes: Vec<&str> = view.scopes.iter().map(|scope| scope.as_str()).collect();
    let repos: Vec<&str> = view.repos.iter().map(|repo| repo.as_str()).collect();
    let at = |at: Option<Timestamp>| at.map_or("-".into(), time);
    format!(
        "{} {} of {} made {} expires {} used {} revoked {}",
        view.name,
        scopes.join(","),
        repos.join(","),
        time(view.created_at),
        at(view.expires_at),
        at(view.last_used_at),
        at(view.revoked_at)
    )
}

pub(crate) fn audited(entry: &AuditEntry) -> String {
    let (prev, hash) = (&entry.prev.hex()[..8], &entry.hash.hex()[..8]);
    format!(
        "{} at {} {} {} {} {:?} {prev}>{hash}",
        entry.seq,
        time(entry.at),
        entry.who,
        entry.decision,
        entry.action,
        entry.subject
    )
}
