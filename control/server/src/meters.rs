//! What is counted: names and units are told in `docs/metrics.md`, and a test holds the two equal.

use std::sync::OnceLock;
use std::time::Duration;

use gloaming_api::bowout::Cost;
use gloaming_api::task::TaskState;
use gloaming_store::Load;
use jiff::Timestamp;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Every metric: name, kind, what it says.
pub const METRICS: &[(&str, &str, &str)] = &[
    (
        "gloaming_http_request_seconds",
        "histogram",
        "From a request's head to its answer's head, by endpoint and status.",
    ),
    (
        "gloaming_http_in_flight",
        "gauge",
        "Requests that are worked on, waiting workers and streams among them.",
    ),
    ("gloaming_http_refused_total", "counter", "Requests turned away before they were worked on, by code."),
    (
        "gloaming_connections_ended_total",
        "counter",
        "Connections that the server ended, by reason: head, idle, stuck.",
    ),
    ("gloaming_ready", "gauge", "1 while the server can do its work, else 0."),
    ("gloaming_tasks", "gauge", "Tasks, by state."),
    ("gloaming_queue_ready", "gauge", "Tasks that wait and may be begun."),
    (
        "gloaming_queue_oldest_seconds",
        "gauge",
        "How long the one of these waits that waits the longest; 0 where there is none.",
    ),
    ("gloaming_effects", "gauge", "Effects on the outside, by state: waiting, dead."),
    ("gloaming_deliveries_waiting", "gauge", "Deliveries that nobody is done with."),
    ("gloaming_queue_wait_seconds", "histogram", "From when a task could be begun to its first lease."),
    ("gloaming_leases_total", "counter", "Tasks handed to workers."),
    ("gloaming_lease_expiries_total", "counter", "Leases that ran out."),
    ("gloaming_renew_refusals_total", "counter", "Renewals of a lease that was lost."),
    (
        "gloaming_attempts_total",
        "counter",
        "Attempts that ended, by outcome: verified, bowed_out, onboarded, failed, cancelled, released, expired.",
    ),
    ("gloaming_webhooks_total", "counter", "Deliveries, by sender and outcome: taken, known, refused."),
    ("gloaming_tokens_total", "counter", "Tokens of models that ended attempts took."),
    ("gloaming_cost_usd_total", "gauge", "US dollars that ended attempts took."),
    ("gloaming_gate_verdicts_total", "counter", "Changes judged again, by verdict: pass, refused."),
    (
        "gloaming_forgotten_total",
        "counter",
        "What was old enough to be forgotten, by what it was: tasks, audit.",
    ),
    ("gloaming_schedules_total", "counter", "Times of schedules that came, by outcome: asked, refused."),
    ("gloaming_store_write_seconds", "histogram", "Writes of the store, by call."),
];

/// Durations' buckets, seconds.
const BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Waiting times' buckets, seconds.
const WAITS: &[f64] = &[0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0];

/// Returns what `/metrics` is made from. A process has one recorder: that of the first server in it.
pub(crate) fn recorder() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets(BUCKETS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Full("gloaming_queue_wait_seconds".to_owned()), WAITS)
            })
            .expect("there are buckets");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // A program that counts into a recorder of its own keeps it, and `/metrics` is empty.
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another recorder of metrics is installed; /metrics stays empty");
        }
        for (name, kind, about) in METRICS {
            match *kind {
                "counter" => describe_counter!(*name, *about),
                "gauge" => describe_gauge!(*name, *about),
                _ => describe_histogram!(*name, *about),
            }
        }
        handle
    })
}

pub(crate) fn answered(endpoint: &'static str, status: u16, took: Duration) {
    histogram!("gloaming_http_request_seconds", "endpoint" => endpoint, "status" => status.to_string())
        .record(took.as_secs_f64());
}

pub(crate) fn in_flight(by: f64) {
    gauge!("gloaming_http_in_flight").increment(by);
}

pub(crate) fn turned_away(code: &'static str) {
    counter!("gloaming_http_refused_total", "code" => code).increment(1);
}

pub(crate) fn connection_ended(reason: &'static str) {
    counter!("gloaming_connections_ended_total", "reason" => reason).increment(1);
}

pub(crate) fn ready(ready: bool) {
    gauge!("gloaming_ready").set(f64::from(u8::from(ready)));
}

pub(crate) fn load(load: &Load, now: Timestamp) {
    for state in TaskState::ALL {
        let count = load.tasks.get(state).copied().unwrap_or(0);
        gauge!("gloaming_tasks", "state" => state.as_str()).set(count as f64);
    }
    gauge!("gloaming_queue_ready").set(load.ready as f64);
    let oldest = load.ready_since.map_or(0.0, |since| now.duration_since(since).as_secs_f64());
    gauge!("gloaming_queue_oldest_seconds").set(oldest.max(0.0));
    gauge!("gloaming_effects", "state" => "waiting").set(load.effects as f64);
    gauge!("gloaming_effects", "state" => "dead").set(load.dead_effects as f64);
    gauge!("gloaming_deliveries_waiting").set(load.deliveries as f64);
}

pub(crate) fn leased(waited: Option<Duration>) {
    counter!("gloaming_leases_total").increment(1);
    if let Some(waited) = waited {
        histogram!("gloaming_queue_wait_seconds").record(waited.as_secs_f64());
    }
}

pub(crate) fn expired(leases: usize) {
    counter!("gloaming_lease_expiries_total").increment(leases as u64);
}

pub(crate) fn renew_refused() {
    counter!("gloaming_renew_refusals_total").increment(1);
}

pub(crate) fn attempt_ended(outcome: &'static str, cost: &Cost) {
    counter!("gloaming_attempts_total", "outcome" => outcome).increment(1);
    counter!("gloaming_tokens_total").increment(cost.tokens);
    // Counters of this library hold whole numbers; a gauge that only grows is the same to who reads it.
    if cost.usd.is_finite() && cost.usd > 0.0 {
        gauge!("gloaming_cost_usd_total").increment(cost.usd);
    }
}

pub(crate) fn delivered(sender: &'static str, outcome: &'static str) {
    counter!("gloaming_webhooks_total", "sender" => sender, "outcome" => outcome).increment(1);
}

pub(crate) fn forgotten(what: &'static str, count: u64) {
    counter!("gloaming_forgotten_total", "what" => what).increment(count);
}

pub(crate) fn scheduled(outcome: &'static str) {
    counter!("gloaming_schedules_total", "outcome" => outcome).increment(1);
}

pub(crate) fn judged(verdict: &'static str) {
    counter!("gloaming_gate_verdicts_total", "verdict" => verdict).increment(1);
}

pub(crate) fn wrote(call: &'static str, took: Duration) {
    histogram!("gloaming_store_write_seconds", "call" => call).record(took.as_secs_f64());
}
