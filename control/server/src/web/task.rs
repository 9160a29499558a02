//! The page of one task.

use std::sync::Arc;

use gloaming_api::access::Scope;
use gloaming_api::bowout::{BowOut, Cost};
use gloaming_api::evidence::{Evidence, Verdict};
use gloaming_api::task::{PullRequest, Source, TaskEvent, TaskEventKind, TaskState, TaskView};
use gloaming_api::{Attempt, Digest, TaskId};
use gloaming_store::TaskRecord;
use http::StatusCode;
use maud::{Markup, html};

use super::frame::Frame;
use super::journal::Journal;
use super::list::{state_mark, usd};
use super::text::{code, facts, long, name_of, plain, shown, time, title, took_s, words};
use super::{change, evidence, forms, page as answer, task_path};
use crate::accept::verdict_value;
use crate::answer::{Answered, Fault};
use crate::app::{App, Asked};
use crate::handlers::tasks::{kept, of_task};

/// Events that are shown at most, the latest.
const EVENTS: usize = 100;
/// Events that are read at once.
const AT_ONCE: u32 = 500;

/// Everything that the page of a task shows.
struct Known {
    task: TaskRecord,
    events: Vec<TaskEvent>,
    last: u64,
    journal: Journal,
    patch: Option<Vec<u8>>,
    /// The work of one that bowed out.
    partial: Option<Vec<u8>>,
    evidence: Option<Evidence>,
    verdict: Option<Verdict>,
}

pub(super) async fn page(app: &Arc<App>, asked: &Asked) -> Answered {
    let known = of_task(app, asked, |app, task, _| Known::of(app, task)).await?;
    let frame = Frame::of(asked);
    Ok(answer(StatusCode::OK, frame.live_page(&title(&known.task.view.text, 60), shown_task(&frame, &known))))
}

impl Known {
    fn of(app: &App, task: TaskRecord) -> Result<Self, Fault> {
        let id = &task.view.id;
        let (mut events, mut last): (Vec<TaskEvent>, u64) = (Vec::new(), 0);
        loop {
            let more = app.store.events(id, last, AT_ONCE)?;
            let whole = more.len() < AT_ONCE as usize;
            last = more.last().map_or(last, |event| event.seq);
            events.extend(more);
            events.drain(..events.len().saturating_sub(EVENTS));
            if whole {
                break;
            }
        }
        let change = task.change.as_ref();
        let artifact = |digest: &Digest| app.store.artifact(id, digest);
        let patch = change.map(|change| artifact(&change.patch)).transpose()?.flatten();
        // What a worker names so need not be there.
        let partial = task.view.bow_out.as_ref().and_then(|bow_out| bow_out.partial());
        let partial = partial.map(|digest| artifact(&digest)).transpose()?.flatten();
        let seen = change.map(|change| artifact(&change.evidence)).transpose()?.flatten();
        let verdict = kept(app, &task, verdict_value)?;
        Ok(Self {
            journal: Journal::read(app, id, task.view.attempt)?,
            // What a worker sent as evidence need not be any.
            evidence: seen.and_then(|seen| serde_json::from_slice(&seen).ok()),
            verdict: verdict.and_then(|verdict| serde_json::from_slice(&verdict).ok()),
            patch,
            partial,
            events,
            last,
            task,
        })
    }
}

fn shown_task(frame: &Frame, known: &Known) -> Markup {
    let task = &known.task.view;
    // Where nothing more happens the page does not ask.
    let watched =
        (!task.state.is_end()).then(|| format!("{}/events?after={}", task_path(&task.id), known.last));
    html! {
        p class="crumbs" { a href="/web" { "Tasks" } }
        h1 { (shown(&title(&task.text, 200))) }
        p id="announce" class="for-ears" role="status" {}
        div id="live" data-events=[watched] data-state=(words(task.state.as_str())) {
            (standing(frame, task))
            (came_of(task))
            @if let Some(verdict) = &known.verdict { (evidence::verdict(verdict)) }
            @if let Some(seen) = &known.evidence { (evidence::evidence(seen)) }
            @if let Some(patch) = &known.patch { (change::diff("Change", patch)) }
            @if let Some(patch) = &known.partial { (change::diff("Work that did not pass", patch)) }
            (known.journal.shown(task.state.is_end()))
            (cost(&task.cost))
            (happened(&known.events))
        }
        section aria-labelledby="asked" {
            h2 id="asked" { "What was asked for" }
            pre class="words" tabindex="0" { (shown(&task.text)) }
        }
    }
}

fn standing(frame: &Frame, task: &TaskView) -> Markup {
    let doing = task.stage.map(|stage| html! {
        (words(stage.as_str()))
        @if let Some(doing) = task.doing.as_ref().filter(|doing| !doing.is_empty()) { ": " (shown(doing)) }
    });
    let may_again = matches!(
        task.state,
        TaskState::BowedOut | TaskState::Failed | TaskState::Quarantined | TaskState::Cancelled
    );
    html! {
        section aria-labelledby="standing" {
            h2 id="standing" class="for-ears" { "Where it stands" }
            p class="state" { (state_mark(task)) }
            (facts(&[
                ("Now", doing.filter(|_| !task.state.is_end())),
                ("Pull request", task.pull_request.as_ref().map(pull_request)),
                ("Repository", Some(html! { a href={ "/web/repos/" (task.repo) } { (shown(task.repo.as_str())) } })),
                ("Starts from", task.base.as_ref().and_then(code)),
                ("Asked by", Some(html! { (shown(&task.asker)) ", " (source(&task.source)) })),
                ("Asked for", Some(time(task.created_at))),
                ("Changed", Some(time(task.updated_at))),
                ("Not before", task.not_before.map(time)),
                ("Attempt", (task.attempt != Attempt(0)).then(|| html! { (task.attempt) })),
                ("Priority", (task.priority != 0).then(|| html! { (task.priority) })),
                ("Taken over by", task.superseded_by.as_ref().map(|by| html! { a href=(task_path(by)) { (by) } })),
                ("Grant", task.grant.as_ref().and_then(code)),
                ("Task", code(&task.id)),
            ]))
            @if frame.may(Scope::Submit) {
                @if !task.state.is_end() && !task.cancelling { (action(frame, "web_cancel", &task.id, "cancel", "Stop task")) }
                @if may_again { (action(frame, "web_retry", &task.id, "retry", "Try again")) }
            }
            @if !task.state.is_end() {
                noscript { p { a href=(task_path(&task.id)) { "Look again" } } }
            }
        }
    }
}

fn action(frame: &Frame, endpoint: &str, task: &TaskId, verb: &str, label: &str) -> Markup {
    html! {
        form method="post" action={ (task_path(task)) "/" (verb) } class="actions" {
            (forms::check_field(&frame.check(endpoint)))
            button id=(endpoint) type="submit" { (label) }
        }
    }
}

fn source(source: &Source) -> Markup {
    match source {
        Source::Api => html! { "by the API or this page" },
        Source::Issue { number } => html! { "in issue " (number) },
        Source::Comment { number, .. } => html! { "in a comment on " (number) },
        Source::Chat { channel, .. } => html! { "in the chat " (shown(channel)) },
        Source::Schedule { name } => html! { "by the schedule " (shown(name)) },
    }
}

fn pull_request(request: &PullRequest) -> Markup {
    // What a code host calls its page is a link where it is one.
    let link = ["https://", "http://"].iter().any(|scheme| request.url.starts_with(scheme));
    html! {
        @if link { a href=(request.url) rel="noreferrer" { "#" (request.number) } } @else { "#" (request.number) }
        " on " code { (shown(&request.branch)) }
        @if let Some(outcome) = &request.outcome { ", " (name_of(outcome)) }
    }
}

fn came_of(task: &TaskView) -> Markup {
    html! {
        @if let Some(bow_out) = &task.bow_out { (bowed_out(bow_out)) }
        @if let Some(failure) = &task.failure {
            section aria-labelledby="failed" {
                h2 id="failed" { "What failed" }
                div class="notice bad" { pre class="words" tabindex="0" { (shown(failure)) } }
            }
        }
    }
}

fn bowed_out(bow_out: &BowOut) -> Markup {
    let reached = bow_out.confidence.zip(bow_out.threshold);
    html! {
        section aria-labelledby="bow-out" {
            h2 id="bow-out" { "Why there is no pull request" }
            div class="notice warn" {
                p { strong { (words(bow_out.reason_code.as_str())) } " at " (words(bow_out.stage.as_str()).to_lowercase()) }
                p { (shown(&bow_out.summary)) }
                @if let Some((confidence, threshold)) = reached {
                    p { "Confidence " (format!("{confidence:.2}")) ", needed " (format!("{threshold:.2}")) }
                }
            }
            h3 { "What would unblock it" }
            ul {
                @for one in &bow_out.what_would_unblock {
                    li {
                        strong { (shown(&one.action)) }
                        @if !one.detail.is_empty() { br; span class="words" { (shown(&one.detail)) } }
                        @if one.patchable { br; span class="hint" { "Gloaming can do this itself: submit that text as a task." } }
                    }
                }
            }
            @if !bow_out.questions.is_empty() {
                h3 { "Questions" }
                ul { @for question in &bow_out.questions { li { (shown(question)) } } }
            }
            @if !bow_out.attempted.is_empty() {
                h3 { "What was tried" }
                ul { @for tried in &bow_out.attempted { li { (shown(&tried.approach)) ": " (shown(&tried.outcome)) } } }
            }
            @if !bow_out.evidence.is_empty() {
                h3 { "What was seen" }
                @for (at, seen) in bow_out.evidence.iter().enumerate() {
                    (long(&format!("seen-{at}"), &seen_of(seen), &seen.excerpt))
                }
            }
        }
    }
}

fn seen_of(seen: &gloaming_api::bowout::BowOutEvidence) -> String {
    let mut text = words(&seen.kind);
    if !seen.argv.is_empty() {
        text.push_str(&format!(": {}", seen.argv.join(" ")));
    }
    if let Some(exit) = seen.exit {
        text.push_str(&format!(", exit {exit}"));
    }
    text
}

fn cost(cost: &Cost) -> Markup {
    html! {
        section aria-labelledby="cost" {
            h2 id="cost" { "Cost" }
            (facts(&[
                ("US dollars", plain(usd(cost.usd))),
                ("Calls of a model", plain(cost.calls)),
                ("Tokens", plain(cost.tokens)),
                ("Bytes of tools' answers", plain(cost.tool_bytes)),
                ("Time", plain(took_s(cost.wall_s))),
            ]))
        }
    }
}

fn happened(events: &[TaskEvent]) -> Markup {
    html! {
        section aria-labelledby="happened" {
            h2 id="happened" { "What happened" }
            ol class="events" reversed {
                @for event in events.iter().rev() { li value=(event.seq) { (time(event.at)) " " (told(&event.kind)) } }
            }
        }
    }
}

fn told(kind: &TaskEventKind) -> Markup {
    match kind {
        TaskEventKind::Submitted { asker } => html! { "Asked for by " (shown(asker)) },
        TaskEventKind::Leased { attempt, worker } => {
            html! { "Attempt " (attempt) " taken by the worker " (shown(worker)) }
        }
        TaskEventKind::Progress { attempt, stage, detail } => {
            html! { "Attempt " (attempt) ", " (words(stage.as_str()).to_lowercase()) ": " (shown(detail)) }
        }
        TaskEventKind::LeaseExpired { attempt } => {
            html! { "The worker of attempt " (attempt) " was not heard of in time" }
        }
        TaskEventKind::Released { attempt } => html! { "Attempt " (attempt) " given back by its worker" },
        TaskEventKind::AttemptFailed { attempt, error } => {
            html! { "Attempt " (attempt) " failed: " (shown(error)) }
        }
        TaskEventKind::Verified { attempt } => html! { "Attempt " (attempt) " handed over a change" },
        TaskEventKind::Ended { state, detail } => html! { (words(state.as_str())) ": " (shown(detail)) },
        TaskEventKind::CancelAsked { by } => html! { "Stop asked for by " (shown(by)) },
        TaskEventKind::Retried { by } => html! { "Put back into the queue by " (shown(by)) },
        TaskEventKind::Outcome { outcome } => html! { "Pull request " (name_of(outcome)) },
    }
}
