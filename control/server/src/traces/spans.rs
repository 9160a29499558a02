//! The spans of an attempt, as a function of what is kept of it.

use gloaming_api::Attempt;
use gloaming_api::bowout::Stage;
use gloaming_api::journal::{Event, EventKind};
use gloaming_api::task::{Source, TaskEvent, TaskEventKind, TaskState, TaskView};
use jiff::{SignedDuration, Timestamp};

/// Spans of one trace: a worker is not trusted to be brief.
const MOST: usize = 4_000;

/// Something that took its time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    /// From a fixed list.
    pub(super) name: String,
    /// The number of the span that it is a part of; none of the first.
    pub(super) parent: Option<usize>,
    /// From when.
    pub(super) begin: Timestamp,
    /// To when, never before.
    pub(super) end: Timestamp,
    /// What is said of it.
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// Whether it came to nothing.
    pub(super) failed: bool,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A word.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number.
    Number(f64),
}

/// What a line of a journal says of time; none where it says nothing, or is none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Journaled {
    at: Timestamp,
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Begun(Stage),
    Done(Stage),
    Asked {
        role: &'static str,
        request: String,
    },
    Call {
        name: String,
        took: SignedDuration,
        request: Option<String>,
        attributes: Vec<(&'static str, Value)>,
        failed: bool,
    },
    Judged {
        passed: bool,
    },
    Else,
}

/// Reads a line of a journal, which a worker wrote: no text of it is kept.
pub(super) fn journaled(line: &str) -> Option<Journaled> {
    let event: Event = serde_json::from_str(line).ok()?;
    let ms = |ms: u64| SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    let what = match event.kind {
        EventKind::StageStarted { stage } => What::Begun(stage),
        EventKind::StageFinished { stage, .. } => What::Done(stage),
        EventKind::ModelAsked { role, request, .. } => {
            What::Asked { role: role.as_str(), request: request.hex().to_owned() }
        }
        EventKind::ModelCall { request, cost_usd, duration_ms, .. } => What::Call {
            name: "model".to_owned(),
            took: ms(duration_ms),
            request: Some(request.hex().to_owned()),
            attributes: vec![("gloaming.cost_usd", Value::Number(cost_usd))],
            failed: false,
        },
        EventKind::ModelFailed { request, .. } => What::Call {
            name: "model".to_owned(),
            took: SignedDuration::ZERO,
            request: Some(request.hex().to_owned()),
            attributes: Vec::new(),
            failed: true,
        },
        EventKind::ToolCall { record, .. } => What::Call {
            name: "tool".to_owned(),
            took: SignedDuration::from_micros(i64::try_from(record.duration_us.total).unwrap_or(i64::MAX)),
            request: None,
            attributes: vec![
                ("gloaming.tool", Value::Text(word(&record.tool))),
                ("gloaming.bytes_read", Value::Count(record.bytes_read)),
                ("gloaming.bytes_written", Value::Count(record.bytes_written)),
            ],
            failed: record.decision == gloaming_api::tool::Decided::Deny,
        },
        EventKind::Job { record, .. } => What::Call {
            name: "job".to_owned(),
            took: ms(record.duration_ms),
            request: None,
            attributes: vec![("gloaming.purpose", Value::Text(record.purpose.as_str().to_owned()))],
            failed: !record.exit.success(),
        },
        EventKind::Judged { verdict } => {
            What::Judged { passed: verdict.verdict == gloaming_api::evidence::VerdictKind::Pass }
        }
        _ => What::Else,
    };
    Some(Journaled { at: event.at, what })
}

/// A tool's name, where it is one that a tool can have; whatever else a worker wrote there is not passed on.
fn word(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    match !name.is_empty() && name.len() <= 32 && name.bytes().all(plain) {
        true => name.to_owned(),
        false => "other".to_owned(),
    }
}

/// Makes the spans of an attempt, the first of them the whole; none where it never began, or has not ended.
///
/// `attempt` holds `queue` (from when it could be begun), `work` (while a worker had it; with the journal's stages, and in
/// them `model`, `tool`, `job` and `judge`), `verify again` (from the journal's end to the result: another process, and what
/// is handed over) and `publish` (from the control plane's own verdict to the pull request).
pub(super) fn of_attempt(
    view: &TaskView,
    events: &[TaskEvent],
    attempt: Attempt,
    journal: &[Journaled],
) -> Vec<Span> {
    let leased =
        |event: &TaskEvent| matches!(event.kind, TaskEventKind::Leased { attempt: of, .. } if of == attempt);
    let Some(at) = events.iter().position(leased) else { return Vec::new() };
    let goes_on = |event: &&TaskEvent| {
        matches!(
            event.kind,
            TaskEventKind::Submitted { .. }
                | TaskEventKind::Retried { .. }
                | TaskEventKind::AttemptFailed { .. }
                | TaskEventKind::LeaseExpired { .. }
                | TaskEventKind::Released { .. }
        )
    };
    let taken = events[at].at;
    let begin = events[..at].iter().rev().find(goes_on).map_or(taken, |event| event.at).min(taken);
    let (mut verified, mut ended, mut state) = (None, None, "ended");
    for event in &events[at + 1..] {
        match &event.kind {
            TaskEventKind::Verified { .. } => verified = Some(event.at),
            TaskEventKind::AttemptFailed { .. } => (ended, state) = (ended.or(Some(event.at)), "failed"),
            TaskEventKind::LeaseExpired { .. } => (ended, state) = (ended.or(Some(event.at)), "lost"),
            TaskEventKind::Released { .. } => (ended, state) = (ended.or(Some(event.at)), "released"),
            TaskEventKind::Ended { state: into, .. } if ended.is_none() => {
                (ended, state) = (Some(event.at), into.as_str());
            }
            TaskEventKind::Leased { .. } => break,
            _ => {}
        }
        if ended.is_some() {
            break;
        }
    }
    let Some(end) = ended.map(|end| end.max(taken)) else { return Vec::new() };
    let source = match view.source {
        Source::Api => "api",
        Source::Issue { .. } => "issue",
        Source::Comment { .. } => "comment",
        Source::Chat { .. } => "chat",
        Source::Schedule { .. } => "schedule",
    };
    let mut attributes = vec![
        ("gloaming.task", Value::Text(view.id.to_string())),
        ("gloaming.attempt", Value::Count(attempt.0.into())),
        ("gloaming.repository", Value::Text(view.repo.to_string())),
        ("gloaming.source", Value::Text(source.to_owned())),
        ("gloaming.outcome", Value::Text(state.to_owned())),
    ];
    let published = state == TaskState::Published.as_str();
    if let Some(request) = view.pull_request.as_ref().filter(|_| published) {
        attributes.push(("gloaming.pull_request", Value::Count(request.number)));
    }
    if let Some(bow_out) = view.bow_out.as_ref().filter(|_| state == TaskState::BowedOut.as_str()) {
        attributes.push(("gloaming.reason", Value::Text(bow_out.reason_code.as_str().to_owned())));
    }
    let failed = matches!(state, "failed" | "lost" | "quarantined");
    let whole = |name: &str, parent, begin: Timestamp, end: Timestamp| Span {
        name: name.to_owned(),
        parent,
        begin,
        end: end.max(begin),
        attributes: Vec::new(),
        failed: false,
    };
    let mut spans = vec![Span { attributes, failed, ..whole("attempt", None, begin, end) }];
    spans.push(whole("queue", Some(0), begin, taken));
    // Without a verdict of ours it was the worker's to its end.
    let handed = verified.map_or(end, |at: Timestamp| at.clamp(taken, end));
    let work = spans.len();
    spans.push(Span { failed, ..whole("work", Some(0), taken, handed) });
    let last = staged(&mut spans, work, journal, taken, handed);
    if let Some(at) = verified {
        if let Some(last) = last {
            spans.push(whole("verify again", Some(work), last, handed));
        }
        spans.push(Span { failed: !published, ..whole("publish", Some(0), at.clamp(taken, end), end) });
    }
    spans
}

/// Adds what a journal tells, within the time in which a worker had the attempt. Returns the time of its last line.
fn staged(
    spans: &mut Vec<Span>,
    work: usize,
    journal: &[Journaled],
    from: Timestamp,
    to: Timestamp,
) -> Option<Timestamp> {
    let within = |at: Timestamp| at.clamp(from, to);
    let mut open: Vec<(Stage, usize)> = Vec::new();
    let mut role = None;
    for line in journal {
        let at = within(line.at);
        if spans.len() >= MOST {
            spans[work].attributes.push(("gloaming.cut", Value::Count(MOST as u64)));
            break;
        }
        let parent = Some(open.last().map_or(work, |(_, span)| *span));
        let point = |name: &str, begin, attributes, failed| Span {
            name: name.to_owned(),
            parent,
            begin,
            end: at,
            attributes,
            failed,
        };
        match &line.what {
            What::Begun(stage) => {
                open.push((*stage, spans.len()));
                // It has failed unless its end comes.
                spans.push(Span {
                    end: to,
                    ..point(&format!("stage {}", stage.as_str()), at, Vec::new(), true)
                });
            }
            What::Done(stage) => {
                if let Some(found) = open.iter().rposition(|(of, _)| of == stage) {
                    let (_, span) = open[found];
                    open.truncate(found);
                    (spans[span].end, spans[span].failed) = (at.max(spans[span].begin), false);
                }
            }
            What::Asked { role: of, request } => role = Some((*of, request.clone())),
            What::Call { name, took, request, attributes, failed } => {
                let mut attributes = attributes.clone();
                let asked = role.take_if(|(_, asked)| request.as_ref() == Some(asked));
                attributes.extend(asked.map(|(of, _)| ("gloaming.role", Value::Text(of.to_owned()))));
                let begin = line.at.checked_sub(*took).unwrap_or(from);
                spans.push(point(name, within(begin), attributes, *failed));
            }
            What::Judged { passed } => spans.push(point("judge", at, Vec::new(), !passed)),
            What::Else => {}
        }
    }
    journal.last().map(|line| within(line.at))
}
