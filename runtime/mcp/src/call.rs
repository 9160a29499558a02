//! One call: decided, run, recorded, answered.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gloaming_api::journal::EventKind;
use gloaming_api::tool::{CallRecord, Decided, PathDenial, ToolError, ToolErrorCode, ToolOutcome};
use gloaming_policies::ToolPermit;
use gloaming_sandbox::Control;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ContentBlock, MetaObject, ProgressNotificationParam, ProgressToken,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::Value;
use tokio::time::Instant;

use crate::server::Shared;

/// How many calls may run and wait together.
const WAITING: usize = 256;

/// How often a client that asked for it is told how far a call is.
const PROGRESS: Duration = Duration::from_millis(500);

/// Where a result holds our error object and the id the call has in the journal. An error is not put into
/// `structuredContent`: what stands there must fit the tool's output schema, and clients check it.
const ERROR: &str = "gloaming/error";
const CALL: &str = "gloaming/call";

/// What is to be done about a call.
enum Decision {
    Run(ToolPermit),
    Refuse(ToolError),
    /// There is no such tool.
    Unknown(ToolError),
}

impl Shared {
    /// Makes a call for a client. What goes wrong with it is a result; only what is no call of a tool of ours is
    /// an error of the protocol.
    pub(crate) async fn call(
        self: &Arc<Self>,
        client: u32,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        // Taken before the flag is looked at: whoever drains sets the flag first, then waits for the tokens.
        let running = self.running.token();
        if self.closing.load(Ordering::Acquire) {
            return Err(ErrorData::internal_error("the server is stopping", None));
        }
        if self.unrecorded.load(Ordering::Acquire) {
            return Ok(answer(ToolOutcome::error(unrecorded()), None));
        }
        if self.running.len() > WAITING {
            let error = ToolError::new(ToolErrorCode::Internal, "too many calls are waiting")
                .instead("Wait for some of them.");
            return Ok(answer(ToolOutcome::error(error), None));
        }
        let id = format!("{client}.{}", self.calls.fetch_add(1, Ordering::AcqRel) + 1);
        let name = request.name.into_owned();
        let args = Value::Object(request.arguments.unwrap_or_default());
        let decision = self.decide(&name);
        let unknown = match &decision {
            Decision::Unknown(error) => Some(error.message.clone()),
            _ => None,
        };
        let control = Control::default();
        let place = match decision {
            Decision::Run(_) => tokio::select! {
                place = self.places.clone().acquire_owned() => place.ok(),
                () = context.ct.cancelled() => {
                    control.cancel();
                    None
                }
            },
            _ => None,
        };
        let work = {
            let (shared, id, control) = (self.clone(), id.clone(), control.clone());
            move || {
                // Held until the call is recorded, whatever becomes of the request.
                let _held = (running, place);
                shared.perform(id, name, args, decision, &control)
            }
        };
        let outcome = finished(tokio::task::spawn_blocking(work), &control, context).await;
        match unknown {
            Some(message) => Err(ErrorData::invalid_params(message, None)),
            None => Ok(answer(outcome, Some(&id))),
        }
    }

    fn decide(&self, name: &str) -> Decision {
        if !self.known.contains(name) {
            let names: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_ref()).collect();
            let message = format!("there is no tool {name:?}; the tools are {}", names.join(", "));
            return Decision::Unknown(ToolError::new(ToolErrorCode::NotFound, message));
        }
        match self.served.grant.permit_tool(name) {
            Ok(permit) => Decision::Run(permit),
            Err(denial) => Decision::Refuse(denial.of_tool(name)),
        }
    }

    /// Does what was decided and records it.
    fn perform(
        &self,
        id: String,
        name: String,
        args: Value,
        decision: Decision,
        control: &Control,
    ) -> ToolOutcome {
        let without_run = |error: &ToolError, decided: Decided| {
            let mut record = CallRecord::without_run(&name, self.served.grant.digest(), &args, decided);
            if let Some(rule) = &error.rule {
                record.denials.push(PathDenial { path: String::new(), rule: rule.clone() });
            }
            record
        };
        let (outcome, record) = match decision {
            Decision::Refuse(error) => {
                let record = without_run(&error, Decided::Deny);
                (ToolOutcome::error(error), record)
            }
            Decision::Unknown(error) => {
                let record = without_run(&error, Decided::Allow);
                (ToolOutcome::error(error), record)
            }
            Decision::Run(permit) => {
                let served = &self.served;
                let call = served.sandbox.call_controlled(&permit, &served.files, &args, control);
                for line in &call.log {
                    tracing::warn!(tool = name, "{line}");
                }
                (call.outcome, call.record)
            }
        };
        let event = EventKind::ToolCall { id, args, outcome: outcome.clone(), record: Box::new(record) };
        match self.note_now(event) {
            Ok(()) => outcome,
            Err(_) => ToolOutcome::error(unrecorded()),
        }
    }
}

/// Waits for a call, hands on its cancellation and tells the client how far it is.
async fn finished(
    work: tokio::task::JoinHandle<ToolOutcome>,
    control: &Control,
    context: &RequestContext<RoleServer>,
) -> ToolOutcome {
    let mut work = work;
    let token = context.meta.get_progress_token();
    let begun = Instant::now();
    let mut ticks = tokio::time::interval_at(begun + PROGRESS, PROGRESS);
    loop {
        tokio::select! {
            ended = &mut work => return ended.unwrap_or_else(|error| {
                tracing::error!(%error, "a call broke its thread");
                ToolOutcome::error(ToolError::new(ToolErrorCode::Internal, "the host of the tool broke"))
            }),
            () = context.ct.cancelled(), if !control.is_cancelled() => control.cancel(),
            _ = ticks.tick() => {
                if let Some(token) = token.clone().filter(|_| !control.is_cancelled()) {
                    tell(token, begun, control, context).await;
                }
            }
        }
    }
}

/// Sends one notification. How long a call still takes cannot be known, so its progress is the time it has taken.
async fn tell(token: ProgressToken, begun: Instant, control: &Control, context: &RequestContext<RoleServer>) {
    let seen = control.seen();
    let message = match seen.running {
        true => format!("{} files read, {} KiB", seen.files, seen.bytes >> 10),
        false => "waiting for its turn".to_owned(),
    };
    let progress = ProgressNotificationParam::new(token, begun.elapsed().as_secs_f64()).with_message(message);
    // A client that does not read must not keep the call from being stopped.
    if let Ok(Err(error)) = tokio::time::timeout(PROGRESS, context.peer.notify_progress(progress)).await {
        tracing::debug!(%error, "could not tell the client how far the call is");
    }
}

/// Puts an outcome as the protocol has it: text for a model, the output as it is for programs.
fn answer(outcome: ToolOutcome, id: Option<&str>) -> CallToolResult {
    let text = vec![ContentBlock::text(outcome.for_model())];
    let mut meta = MetaObject::new();
    if let Some(id) = id {
        meta.insert(CALL.to_owned(), id.into());
    }
    let mut result = match outcome.error {
        None => {
            let mut result = CallToolResult::success(text);
            result.structured_content = outcome.output.filter(Value::is_object);
            // There are clients that show a model nothing else.
            if let (Some(note), Some(Value::String(text))) =
                (outcome.note, result.structured_content.as_mut().and_then(|output| output.get_mut("text")))
            {
                text.push_str(&note);
            }
            result
        }
        Some(error) => {
            let error = serde_json::to_value(error).expect("an error serialises: it holds only text");
            meta.insert(ERROR.to_owned(), error);
            CallToolResult::error(text)
        }
    };
    result.meta = Some(meta);
    result
}

fn unrecorded() -> ToolError {
    ToolError::new(
        ToolErrorCode::Internal,
        "the call cannot be written to the journal, and the server makes no calls that are not",
    )
    .instead("Tell the user: the server's log says what stands in the way.")
}
