//! Traces, one for each attempt, from the request for its task to the pull request.
//!
//! They are read from what is kept: the task's events and the attempt's journal, the truth from which everything else is
//! derived. So nothing is instrumented twice, an attempt whose worker was killed has its trace too, a worker behind a
//! firewall needs no way to the collector, and what a trace says is chosen here: names, numbers and states from fixed
//! lists, and never a text of a task, a repository, a tool or a job. Ids are made of task and attempt: a trace that is sent
//! twice is the same one.

mod spans;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gloaming_api::task::{TaskEvent, TaskEventKind};
use gloaming_api::{Attempt, TaskId};
use gloaming_store::{Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, Key, KeyValue};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

use spans::{Span, Value, of_attempt};

/// The name under which the position is kept.
const POSITION: &str = "feed:traced";
/// Events, and lines of a journal, that are read at a time.
const AT_ONCE: u32 = 200;
/// What ended longer ago is not sent any more: a collector that was away so long, or is new, is not flooded.
const LATE: SignedDuration = SignedDuration::from_hours(24);
/// After how many spans no further attempt is read before they are sent.
const SPANS: usize = 20_000;
/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Spans that are sent in one request.
const BATCH: usize = 500;

/// Nothing was sent, or not all of it; it is sent again.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The collector.
    #[error("the collector did not take a trace: {0}")]
    Export(String),
}

/// Sends the traces of attempts that ended.
pub struct Tracer {
    store: Arc<dyn Store>,
    exporter: opentelemetry_otlp::SpanExporter,
}

impl Tracer {
    /// Makes one that sends to an address, the whole of it; where none is given, to what the variables
    /// `OTEL_EXPORTER_OTLP_*` say.
    ///
    /// # Errors
    /// The address or a variable cannot be used; in words.
    pub fn new(store: Arc<dyn Store>, endpoint: Option<&str>) -> Result<Self, String> {
        // Fails only where a provider was chosen before; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE);
        let client = client.build().map_err(|error| error.to_string())?;
        let mut builder = opentelemetry_otlp::SpanExporter::builder().with_http().with_http_client(client);
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let mut exporter = builder.build().map_err(|error| error.to_string())?;
        exporter.set_resource(&resource());
        Ok(Self { store, exporter })
    }

    /// Sends the traces of attempts that ended since the last time. Returns how many spans; where it is none, all is sent.
    ///
    /// # Errors
    /// The store or the collector: what was not taken is sent again at the next pass.
    pub async fn pass(&self, now: Timestamp) -> Result<usize, TraceError> {
        let mut sent = 0;
        loop {
            let read = self.ask(move |store| read(store, now, SPANS)).await?;
            let Some((position, spans)) = read else { return Ok(sent) };
            sent += spans.len();
            for batch in spans.chunks(BATCH) {
                let batch = batch.to_vec();
                self.exporter.export(batch).await.map_err(|error| TraceError::Export(error.to_string()))?;
            }
            self.ask(move |store| store.set_value(POSITION, &position.to_string())).await?;
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, TraceError> {
        let store = Arc::clone(&self.store);
        let asked = tokio::task::spawn_blocking(move || ask(store.as_ref())).await;
        Ok(asked.map_err(|error| TraceError::Export(error.to_string()))??)
    }
}

/// Who sends: as `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, else `gloaming`.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let found = Resource::builder().with_attribute(version.clone()).build();
    let name = found.get(&Key::from_static_str("service.name"));
    match name.is_some_and(|name| !name.as_str().starts_with("unknown_service")) {
        true => found,
        false => Resource::builder().with_service_name("gloaming").with_attribute(version).build(),
    }
}

/// Reads the next events, and makes the traces of the attempts that ended by them, until there are so many spans. Returns the
/// last event's position; none where there are no more.
fn read(store: &dyn Store, now: Timestamp, most: usize) -> Result<Option<(u64, Vec<SpanData>)>, StoreError> {
    let after = store.value(POSITION)?.and_then(|value| value.parse().ok()).unwrap_or(0);
    let told = store.feed(after, AT_ONCE)?;
    let Some(last) = told.last() else { return Ok(None) };
    let mut done: Vec<(TaskId, Attempt)> = Vec::new();
    let mut spans = Vec::new();
    for one in told.iter().filter(|one| now.duration_since(one.event.at) < LATE) {
        let attempt = match &one.event.kind {
            TaskEventKind::AttemptFailed { attempt, .. }
            | TaskEventKind::LeaseExpired { attempt }
            | TaskEventKind::Released { attempt } => Some(*attempt),
            TaskEventKind::Ended { .. } => {
                let before = events(store, &one.task)?;
                before.iter().rev().filter(|event| event.seq < one.event.seq).find_map(leased)
            }
            _ => None,
        };
        let ending = attempt.map(|attempt| (one.task.clone(), attempt));
        let Some((task, attempt)) = ending.filter(|ending| !done.contains(ending)) else { continue };
        done.push((task.clone(), attempt));
        // One that is forgotten meanwhile has none.
        let Some(record) = store.task(&task)? else { continue };
        let (mut journal, mut from) = (Vec::new(), 0);
        loop {
            let lines = store.journal(&task, attempt, from, AT_ONCE)?;
            from += lines.len() as u64;
            journal.extend(lines.iter().filter_map(|line| spans::journaled(line)));
            if lines.len() < AT_ONCE as usize {
                break;
            }
        }
        let of = of_attempt(&record.view, &events(store, &task)?, attempt, &journal);
        spans.extend(of.iter().enumerate().map(|(number, span)| data(&task, attempt, number, span)));
        if spans.len() >= most {
            return Ok(Some((one.position, spans)));
        }
    }
    Ok(Some((last.position, spans)))
}

fn leased(event: &TaskEvent) -> Option<Attempt> {
    match &event.kind {
        TaskEventKind::Leased { attempt, .. } => Some(*attempt),
        _ => None,
    }
}

fn events(store: &dyn Store, task: &TaskId) -> Result<Vec<TaskEvent>, StoreError> {
    let mut all: Vec<TaskEvent> = Vec::new();
    loop {
        let after = all.last().map_or(0, |event| event.seq);
        let more = store.events(task, after, AT_ONCE)?;
        if more.is_empty() {
            return Ok(all);
        }
        all.extend(more);
    }
}

/// The id of an attempt's trace: 16 bytes of the digest of `gloaming:TASK/ATTEMPT`.
pub fn trace_id(task: &TaskId, attempt: Attempt) -> TraceId {
    TraceId::from_hex(&gloaming_api::Digest::of(format!("gloaming:{task}/{attempt}")).hex()[..32])
        .expect("it is hexadecimal")
}

fn span_id(task: &TaskId, attempt: Attempt, number: usize) -> SpanId {
    SpanId::from_hex(&gloaming_api::Digest::of(format!("gloaming:{task}/{attempt}/{number}")).hex()[..16])
        .expect("it is hexadecimal")
}

fn data(task: &TaskId, attempt: Attempt, number: usize, span: &Span) -> SpanData {
    let value = |value: &Value| match value {
        Value::Text(text) => opentelemetry::Value::from(text.clone()),
        Value::Count(count) => i64::try_from(*count).unwrap_or(i64::MAX).into(),
        Value::Number(number) => (*number).into(),
    };
    let context = SpanContext::new(
        trace_id(task, attempt),
        span_id(task, attempt, number),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    );
    SpanData {
        span_context: context,
        parent_span_id: span.parent.map_or(SpanId::INVALID, |parent| span_id(task, attempt, parent)),
        parent_span_is_remote: false,
        span_kind: if span.parent.is_none() { SpanKind::Server } else { SpanKind::Internal },
        name: Cow::Owned(span.name.clone()),
        start_time: time(span.begin),
        end_time: time(span.end),
        attributes: span.attributes.iter().map(|(key, of)| KeyValue::new(*key, value(of))).collect(),
        dropped_attributes_count: 0,
        events: opentelemetry_sdk::trace::SpanEvents::default(),
        links: opentelemetry_sdk::trace::SpanLinks::default(),
        status: if span.failed { Status::error("") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::builder("gloaming").build(),
    }
}

fn time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(at.as_microsecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use gloaming_store::{Claimant, MemoryStore, Submission};

    use super::*;

    #[test]
    fn after_so_many_spans_it_goes_on_with_the_next_event() {
        let store = MemoryStore::default();
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let claimant = Claimant {
            worker: "w".to_owned(),
            token: "w".to_owned(),
            labels: Vec::new(),
            repos: vec!["*".parse().unwrap()],
        };
        let mut leases = Vec::new();
        for _ in 0..2 {
            let submission = Submission {
                id: TaskId::generate(),
                new: serde_json::from_str(r#"{"repo": "acme/api", "text": "Fix it."}"#).unwrap(),
                source: gloaming_api::task::Source::Api,
                asker: "token:bot".to_owned(),
                by_name: true,
                idempotency: None,
                effects: Vec::new(),
            };
            store.submit(&submission, now).unwrap();
            leases.push(store.claim(&claimant, PATIENCE, now).unwrap().unwrap().lease);
        }
        for lease in &leases {
            store.release(lease, "w", now).unwrap().unwrap();
        }
        // Two events of each task, and then the two ends.
        let mut traced = Vec::new();
        while let Some((position, spans)) = read(&store, now, 1).unwrap() {
            let mut ids: Vec<TraceId> = spans.iter().map(|span| span.span_context.trace_id()).collect();
            ids.dedup();
            traced.push((position, ids));
            store.set_value(POSITION, &position.to_string()).unwrap();
        }
        let of = |at: usize| vec![trace_id(&leases[at].task, leases[at].attempt)];
        assert_eq!(traced, [(5, of(0)), (6, of(1))]);
        store.set_value(POSITION, "0").unwrap();
        assert_eq!(read(&store, now, SPANS).unwrap().map(|(position, _)| position), Some(6));
    }
}
