//! Traces to the collector that the environment names.

use std::sync::Arc;
use std::time::Duration;

use gloaming_server::traces::Tracer;
use gloaming_store::Store;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::context;
use crate::failure::Failure;

/// How often it is looked for attempts that ended.
const LOOK: Duration = Duration::from_secs(5);

/// The variables of which one has to be set, so that nothing is sent anywhere by default.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Opens what sends traces; none where the environment names no collector.
pub(crate) fn open(store: Arc<dyn Store>) -> anyhow::Result<Option<Tracer>> {
    let disabled =
        context::variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if disabled || !ENDPOINTS.iter().any(|name| context::variable(name).is_some()) {
        return Ok(None);
    }
    let tracer = Tracer::new(store, None);
    Ok(Some(tracer.map_err(|why| Failure::usage(format!("the variables OTEL_EXPORTER_OTLP_*: {why}")))?))
}

/// Sends until it is told to stop.
pub(crate) async fn send(tracer: Tracer, stop: CancellationToken) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stop.cancelled() => return,
        }
        match tracer.pass(context::now()).await {
            Ok(_) => told = false,
            Err(error) => {
                // Once, and not every five seconds while a collector is away.
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "traces are not sent; they are as soon as the collector takes them");
                }
            }
        }
    }
}
