//! What the journal of an attempt tells: its stages, calls and jobs. A worker hands it over, so nothing in it is taken for more
//! than words.

use gloaming_api::job::JobRecord;
use gloaming_api::journal::{Event, EventKind, counting};
use gloaming_api::tool::Decided;
use gloaming_api::{Attempt, Stage, TaskId};
use jiff::Timestamp;
use maud::{Markup, html};

use super::evidence::command;
use super::text::{long, mark, name_of, shown, table, time, took, words};
use crate::answer::Fault;
use crate::app::App;

/// Lines of a journal that a page looks at.
const LINES: usize = 5000;
/// Lines that are read at once.
const AT_ONCE: u32 = 500;
/// Calls and jobs that are shown, the latest.
const ROWS: usize = 200;

/// A stage that was begun, and how long it took and what it found where it ended.
struct Ran<'a> {
    stage: Stage,
    at: Timestamp,
    end: Option<(u64, &'a str)>,
}

/// What was read of a journal.
pub(super) struct Journal {
    events: Vec<Event>,
    /// Lines that are no events.
    unknown: usize,
    more: bool,
}

impl Journal {
    pub(super) fn read(app: &App, task: &TaskId, attempt: Attempt) -> Result<Self, Fault> {
        let mut lines = Vec::new();
        while attempt != Attempt(0) && lines.len() < LINES {
            let read = app.store.journal(task, attempt, lines.len() as u64, AT_ONCE)?;
            let whole = read.len() < AT_ONCE as usize;
            lines.extend(read);
            if whole {
                break;
            }
        }
        let more = lines.len() >= LINES;
        let events: Vec<Event> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Self { unknown: lines.len() - events.len(), events, more })
    }

    /// Shows it; of a task that has ended nothing goes on.
    pub(super) fn shown(&self, over: bool) -> Markup {
        html! {
            @if self.more {
                p class="hint" { "The journal is longer; of its first " (LINES) " lines this is told." }
            }
            @if self.unknown > 0 {
                p class="hint" { "Lines of the journal that this version does not know: " (self.unknown) "." }
            }
            (self.stages(over))
            (self.calls())
            (self.jobs())
        }
    }

    fn stages(&self, over: bool) -> Markup {
        let mut stages: Vec<Ran<'_>> = Vec::new();
        for event in counting(&self.events) {
            match &event.kind {
                EventKind::StageStarted { stage } => {
                    stages.push(Ran { stage: *stage, at: event.at, end: None });
                }
                EventKind::StageFinished { stage, detail, wall_ms, .. } => {
                    let open = |ran: &&mut Ran<'_>| ran.stage == *stage && ran.end.is_none();
                    if let Some(ran) = stages.iter_mut().rev().find(open) {
                        ran.end = Some((*wall_ms, detail));
                    }
                }
                _ => {}
            }
        }
        let rows: Vec<Vec<Markup>> = stages
            .iter()
            .map(|ran| {
                let (spent, detail) = match ran.end {
                    Some((ms, detail)) => (html! { (took(ms)) }, shown(detail)),
                    None if over => (mark("Not ended", "quiet"), html! {}),
                    None => (mark("Going on", "busy"), html! {}),
                };
                vec![html! { (words(ran.stage.as_str())) }, time(ran.at), spent, detail]
            })
            .collect();
        section("stages", "Stages", rows.len(), || {
            table("Stages of the latest attempt", &["Stage", "Begun", "Took", "What it found"], &rows)
        })
    }

    fn calls(&self) -> Markup {
        let all: Vec<(&Event, Vec<Markup>)> = self
            .events
            .iter()
            .filter_map(|event| {
                let EventKind::ToolCall { id, args, outcome, record } = &event.kind else { return None };
                let end = match (record.decision, outcome.ok) {
                    (Decided::Deny, _) => mark("Denied", "bad"),
                    (_, true) => mark("Done", "good"),
                    (_, false) => mark("Failed", "warn"),
                };
                let denials = html! {
                    @for denial in &record.denials {
                        p class="hint" { code { (shown(&denial.path)) } " by the rule " code { (shown(&denial.rule)) } }
                    }
                };
                let args = html! { code { (shown(&gloaming_api::bowout::shorten(&args.to_string(), 300))) } };
                let said = outcome.for_model();
                let said = html! { @if !said.is_empty() { (long(&format!("call-{}", event.seq), "Answer", &said)) } };
                let row = vec![
                    html! { (shown(id)) },
                    html! { code { (shown(&record.tool)) } },
                    args,
                    html! { (end) (denials) },
                    said,
                    html! { (took(record.duration_us.total / 1000)) },
                ];
                Some((event, row))
            })
            .collect();
        let rows: Vec<Vec<Markup>> =
            all.iter().skip(all.len().saturating_sub(ROWS)).map(|(_, row)| row.clone()).collect();
        section("calls", "Tool calls", all.len(), || {
            table(
                "Tool calls of the latest attempt",
                &["Call", "Tool", "Arguments", "End", "Answer", "Time"],
                &rows,
            )
        })
    }

    fn jobs(&self) -> Markup {
        let all: Vec<(&Event, &String, &JobRecord)> = self
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::Job { label, record } => Some((event, label, &**record)),
                _ => None,
            })
            .collect();
        let rows: Vec<Vec<Markup>> = all
            .iter()
            .skip(all.len().saturating_sub(ROWS))
            .map(|(event, label, record)| {
                vec![
                    html! { (shown(label)) },
                    html! { (words(&name_of(&record.purpose))) },
                    command(&format!("job-{}", event.seq), record),
                    mark(
                        &words(&record.exit.to_string()),
                        if record.exit.success() { "good" } else { "warn" },
                    ),
                    html! { (took(record.duration_ms)) },
                ]
            })
            .collect();
        section("jobs", "Container jobs", all.len(), || {
            table("Container jobs of the latest attempt", &["Job", "For", "Command", "End", "Time"], &rows)
        })
    }
}

fn section(id: &str, heading: &str, count: usize, content: impl FnOnce() -> Markup) -> Markup {
    html! {
        @if count > 0 {
            section aria-labelledby=(id) {
                h2 id=(id) { (heading) }
                @if count > ROWS { p class="hint" { "The latest " (ROWS) " of " (count) "." } }
                (content())
            }
        }
    }
}
